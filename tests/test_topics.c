/* topics: what is planned from the descriptions, and that an installation is made whole or not at all, wherever it is
 * interrupted. Over local::memory: with its faults. */
#include "../producers/topics/create.h"
#include "../producers/topics/plan.h"
#include "log_memory.h"
#include "service.h"
#include "support/fake_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOPICS     6
#define PARTITIONS 14 /* inventory and its dead letters have 3 each, the other four 2 */

static struct fake_clock fake;

static struct fixture {
	struct log_memory *memory;
	struct log *log;
	struct arena arena;
	struct create_request request;
	struct survey survey;
	FILE *out;
	char *text; /* the problems that were told */
	size_t text_len;
	struct err err;
	bool made;
	/* faults */
	int64_t steps, stop_at;
	int64_t produced, fail_at;
	enum log_memory_fate fate;
} f;

static const struct service order = {.name = "order",
                                     .input = "orders",
                                     .outputs = (const char *const[]){"inventory", "order-events"},
                                     .output_count = 2};
static const struct service inventory = {
	.name = "inventory", .input = "inventory", .outputs = (const char *const[]){"orders"}, .output_count = 1};
static const struct service revenue = {.name = "revenue", .input = "order-events"};
static const struct command *const all[] = {
	&(const struct command){.name = "inventory", .service = &inventory},
	&(const struct command){.name = "order", .service = &order},
	&(const struct command){.name = "publish"},
	&(const struct command){.name = "revenue", .service = &revenue},
};

static bool stopped(void)
{
	return f.stop_at && ++f.steps >= f.stop_at;
}

static enum log_memory_fate fate(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)topic;
	(void)record;
	(void)delay_us;
	return f.fail_at && ++f.produced == f.fail_at ? f.fate : LOG_MEMORY_WRITE;
}

static enum status plan(int32_t partitions, const char *of, struct genesis_topic_array *out)
{
	const struct plan_request request = {partitions, {&of, of != NULL}};
	return plan_topics(all, sizeof all / sizeof *all, &request, &f.arena, out, &f.err);
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){0};
	fake_clock_init(&fake);
	fake.tick_us = 1000;
	fake.random = fake.random_step = 1;
	f.memory = log_memory_new(&fake.seam);
	log_memory_set_faults(f.memory, &(struct log_memory_faults){.produce = fate});
	f.request = (struct create_request){.seam = &fake.seam, .single_replica = true, .patience_ms = 1000};
	f.out = open_memstream(&f.text, &f.text_len);
	if (log_open("local::memory:", &(struct log_config){.seam = &fake.seam, .memory = f.memory}, &f.log, &f.err) !=
	    OK)
		return 1;
	return plan(2, "inventory=3", &f.request.plan) != OK;
}

static int teardown(void **state)
{
	(void)state;
	log_close(f.log);
	log_memory_free(f.memory);
	arena_fini(&f.arena);
	fclose(f.out);
	free(f.text);
	return 0;
}

static enum status create(void)
{
	rewind(f.out);
	f.err = (struct err){0};
	f.steps = f.produced = 0;
	f.survey = (struct survey){.log = f.log, .arena = &f.arena, .out = f.out, .stopped = stopped};
	enum status status = create_run(&f.survey, &f.request, &f.made, &f.err);
	fflush(f.out);
	return status;
}

static void write_record(const char *topic, int32_t partition, const struct log_record *record)
{
	struct log_producer *producer;
	struct log_ack ack;
	struct log_record copy = *record;
	copy.partition = partition;
	assert_int_equal(log_producer_open(f.log, &producer, &f.err), OK);
	assert_int_equal(log_produce(producer, log_producer_topic(producer, topic), &copy, 0, &f.err), OK);
	assert_true(log_producer_ack(producer, &ack));
	assert_int_equal(ack.status, OK);
	log_producer_close(producer);
}

/* Every partition holds one genesis of one installation, and nothing else. */
static void assert_complete(void)
{
	struct genesis first, genesis;
	int32_t seen = 0;
	for (size_t i = 0; i < f.request.plan.count; i++) {
		const struct genesis_topic *topic = &f.request.plan.items[i];
		for (int32_t p = 0; p < topic->partitions; p++) {
			int64_t low, high;
			assert_int_equal(genesis_read(f.log, topic->name, p, &f.arena, &genesis, &f.err), OK);
			if (!seen++)
				first = genesis;
			assert_int_equal(genesis_same(&first, &genesis, &f.err), OK);
			assert_int_equal(log_bounds(f.log, topic->name, p, &low, &high, &f.err), OK);
			assert_int_equal(high, 1);
		}
	}
	assert_int_equal(seen, PARTITIONS);
	assert_memory_equal(first.installation, f.survey.genesis.installation, sizeof first.installation);
}

static size_t topic_count(void)
{
	const char **names;
	size_t count;
	assert_int_equal(log_topic_list(f.log, &f.arena, &names, &count, &f.err), OK);
	return count;
}

/* ---- the plan ---- */

static const struct genesis_topic *planned(const struct genesis_topic_array *topics, const char *name)
{
	for (size_t i = 0; i < topics->count; i++)
		if (strcmp(topics->items[i].name, name) == 0)
			return &topics->items[i];
	fail_msg("no topic %s is planned", name);
	return NULL;
}

static void each_input_has_a_dead_letter_topic_and_outputs_follow_their_writer(void **state)
{
	(void)state;
	struct genesis_topic_array topics;
	assert_int_equal(plan(4, "inventory=7", &topics), OK);
	assert_int_equal(topics.count, TOPICS);
	for (size_t i = 1; i < topics.count; i++)
		assert_true(strcmp(topics.items[i - 1].name, topics.items[i].name) < 0);
	assert_int_equal(planned(&topics, "orders")->partitions, 4);
	assert_int_equal(planned(&topics, "orders.dlq")->partitions, 4);
	assert_int_equal(planned(&topics, "inventory")->partitions, 7);
	assert_int_equal(planned(&topics, "inventory.dlq")->partitions, 7);
	assert_int_equal(planned(&topics, "order-events")->partitions, 4);
	assert_int_equal(planned(&topics, "order-events.dlq")->partitions, 4);
}

static void only_topics_for_outsiders_carry_cloudevents(void **state)
{
	(void)state;
	for (size_t i = 0; i < f.request.plan.count; i++) {
		const struct genesis_topic *topic = &f.request.plan.items[i];
		bool outside = strcmp(topic->name, "order-events") == 0;
		assert_int_equal(topic->headers, outside ? HEADER_FORM_CLOUDEVENTS : HEADER_FORM_COMPACT);
	}
}

static void a_count_for_a_topic_that_follows_others_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {"order-events=3", "orders.dlq=3", "nothing=3",
	                                    "orders",         "orders=",      "=3",
	                                    "orders=0",       "orders=3x",    "orders=99999999999"};
	struct genesis_topic_array topics;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(plan(4, wrong[i], &topics), REJECT);
		assert_non_null(strstr(f.err.text, wrong[i]));
	}
}

static void a_dead_letter_may_be_larger_than_its_record(void **state)
{
	(void)state;
	struct log_setting input[PLAN_SETTINGS_MAX], dlq[PLAN_SETTINGS_MAX];
	size_t count = plan_settings("orders", false, input);
	assert_int_equal(plan_settings("orders.dlq", false, dlq), count);
	assert_int_equal(count, PLAN_SETTINGS_MAX);
	assert_string_equal(input[count - 1].name, "max.message.bytes");
	assert_int_equal(atol(dlq[count - 1].value) - atol(input[count - 1].value), 64 * 1024);
}

/* ---- create ---- */

static void create_makes_everything_once(void **state)
{
	(void)state;
	assert_int_equal(create(), OK);
	assert_true(f.made);
	assert_int_equal(topic_count(), TOPICS);
	assert_complete();
	uint8_t id[16];
	memcpy(id, f.survey.genesis.installation, sizeof id);
	assert_int_equal(create(), OK);
	assert_false(f.made);
	assert_memory_equal(id, f.survey.genesis.installation, sizeof id);
	assert_complete();
}

static void a_dry_run_makes_nothing(void **state)
{
	(void)state;
	f.request.dry_run = true;
	assert_int_equal(create(), OK);
	assert_true(f.made);
	assert_int_equal(topic_count(), 0);
}

static void create_may_be_interrupted_anywhere_and_run_again(void **state)
{
	int64_t at = 1;
	for (;; at++) {
		f.stop_at = at;
		enum status status = create();
		if (status == OK)
			break;
		assert_int_equal(status, RETRY);
		assert_string_equal(f.err.code, "interrupted");
		f.stop_at = 0;
		assert_int_equal(create(), OK);
		assert_complete();
		teardown(state);
		assert_int_equal(setup(state), 0);
	}
	assert_complete();
	assert_true(at > 2 * PARTITIONS + TOPICS); /* it was stopped before every write, and in reading back */
}

static void create_goes_on_after_any_genesis_that_was_not_acknowledged(void **state)
{
	static const enum log_memory_fate fates[] = {LOG_MEMORY_LOSE, LOG_MEMORY_UNKNOWN, LOG_MEMORY_REFUSE};
	for (size_t i = 0; i < 3 * PARTITIONS; i++) {
		teardown(state);
		assert_int_equal(setup(state), 0);
		f.fate = fates[i % 3];
		f.fail_at = (int64_t)(i / 3) + 1;
		assert_int_equal(create(), f.fate == LOG_MEMORY_REFUSE ? FATAL : RETRY);
		f.fail_at = 0;
		assert_int_equal(create(), OK);
		assert_complete();
	}
}

static void create_adopts_the_installation_of_any_record_0(void **state)
{
	(void)state;
	struct log_record record;
	struct genesis genesis = {.topic = "orders",
	                          .partition = 1,
	                          .topics = f.request.plan,
	                          .single_replica = true,
	                          .chain = CHAIN_KEY_PUBLIC,
	                          .logic_version = 1};
	memset(genesis.installation, 0xab, sizeof genesis.installation);
	struct log_setting settings[PLAN_SETTINGS_MAX];
	struct log_topic topic = {.name = "orders", .partitions = 2, .settings = settings};
	topic.setting_count = plan_settings("orders", true, settings);
	assert_int_equal(log_topic_create(f.log, &topic, &f.err), OK);
	assert_int_equal(genesis_record(&genesis, &f.arena, &record, &f.err), OK);
	write_record("orders", 1, &record);
	assert_int_equal(create(), OK);
	assert_complete();
	assert_memory_equal(f.survey.genesis.installation, genesis.installation, sizeof genesis.installation);
}

static void two_installations_are_refused_naming_the_partition(void **state)
{
	(void)state;
	assert_int_equal(create(), OK);
	assert_int_equal(log_topic_delete(f.log, "inventory", &f.err), OK);
	struct log_setting settings[PLAN_SETTINGS_MAX];
	struct log_topic topic = {.name = "inventory", .partitions = 3, .settings = settings};
	topic.setting_count = plan_settings("inventory", true, settings);
	assert_int_equal(log_topic_create(f.log, &topic, &f.err), OK);
	struct genesis genesis = {.topic = "inventory",
	                          .partition = 2,
	                          .topics = f.request.plan,
	                          .single_replica = true,
	                          .chain = CHAIN_KEY_PUBLIC,
	                          .logic_version = 1};
	struct log_record record;
	assert_int_equal(genesis_record(&genesis, &f.arena, &record, &f.err), OK);
	write_record("inventory", 2, &record);
	assert_int_equal(create(), FATAL);
	assert_string_equal(f.err.code, "refused");
	assert_true(f.survey.must_delete);
	assert_non_null(strstr(f.text, "inventory/2"));
	int64_t low, high;
	assert_int_equal(log_bounds(f.log, "inventory", 0, &low, &high, &f.err), OK);
	assert_int_equal(high, 0);
}

static void a_record_that_is_no_genesis_is_refused_and_nothing_is_made(void **state)
{
	(void)state;
	assert_int_equal(log_topic_create(f.log, &(struct log_topic){.name = "orders", .partitions = 2}, &f.err), OK);
	write_record("orders", 0, &(struct log_record){.key.len = -1, .value = {"x", 1}});
	assert_int_equal(create(), FATAL);
	assert_true(f.survey.must_delete);
	assert_non_null(strstr(f.text, "orders/0"));
	assert_int_equal(topic_count(), 1);
}

static void a_topic_with_another_count_or_policy_is_refused_and_nothing_is_made(void **state)
{
	(void)state;
	assert_int_equal(log_topic_create(f.log, &(struct log_topic){.name = "orders.dlq", .partitions = 9}, &f.err),
	                 OK);
	assert_int_equal(create(), FATAL);
	assert_non_null(strstr(f.text, "orders.dlq has 9 partitions, expected 2"));
	assert_non_null(strstr(f.text, "orders.dlq has max.message.bytes=1048588, expected at least 1114124"));
	assert_int_equal(topic_count(), 1);
	f.request.single_replica = false;
	assert_int_equal(create(), FATAL);
	assert_non_null(strstr(f.text, "orders.dlq has 1 replica, expected at least 2"));
}

static void an_installation_is_not_made_over_one_that_was_told_otherwise(void **state)
{
	(void)state;
	assert_int_equal(create(), OK);
	assert_int_equal(plan(2, "inventory=4", &f.request.plan), OK);
	f.request.single_replica = false;
	assert_int_equal(create(), FATAL);
	assert_non_null(strstr(f.text, "inventory: the genesis that is there pins 3 partitions, expected 4"));
	assert_non_null(strstr(f.text, "created with --single-replica, expected without"));
	assert_false(f.survey.must_delete);
}

static void what_cannot_be_made_leaves_nothing_behind(void **state)
{
	(void)state;
	/* More than the log in memory makes: the last topic is refused when the others are there. */
	f.request.plan.items[f.request.plan.count - 1].partitions = 10000000;
	assert_int_equal(create(), REJECT);
	assert_int_equal(topic_count(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_input_has_a_dead_letter_topic_and_outputs_follow_their_writer),
		TEST(only_topics_for_outsiders_carry_cloudevents),
		TEST(a_count_for_a_topic_that_follows_others_is_refused),
		TEST(a_dead_letter_may_be_larger_than_its_record),
		TEST(create_makes_everything_once),
		TEST(a_dry_run_makes_nothing),
		TEST(create_may_be_interrupted_anywhere_and_run_again),
		TEST(create_goes_on_after_any_genesis_that_was_not_acknowledged),
		TEST(create_adopts_the_installation_of_any_record_0),
		TEST(two_installations_are_refused_naming_the_partition),
		TEST(a_record_that_is_no_genesis_is_refused_and_nothing_is_made),
		TEST(a_topic_with_another_count_or_policy_is_refused_and_nothing_is_made),
		TEST(an_installation_is_not_made_over_one_that_was_told_otherwise),
		TEST(what_cannot_be_made_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
