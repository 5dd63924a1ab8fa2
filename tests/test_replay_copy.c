/* replay: what is copied, mirrored and exported, between two logs of local::memory:, and their faults. */
#include "../producers/replay/mirror.h"

#include "genesis.h"
#include "hash.h"
#include "header.h"
#include "json.h"
#include "schema.h"
#include "support/installation.h"
#include "support/replayed.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- fixture ---- */

static struct replayed f;
static int calls, stop_at;
static enum log_memory_fate fate;

static bool stop_later(void)
{
	calls++;
	return stop_at && calls >= stop_at;
}

static int setup(void **state)
{
	(void)state;
	calls = stop_at = 0;
	fate = LOG_MEMORY_WRITE;
	replayed_init(&f, stop_later);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	replayed_fini(&f);
	return 0;
}

static enum status copy_with(const struct copy_config *config)
{
	struct copy *copy;
	struct replay_sink sink;
	f.result = (struct replay_result){0};
	enum status status = copy_open(config, &f.selection, &f.result, &copy, &sink, &f.err);
	if (status == OK)
		status = replayed_run(&f, &sink);
	copy_close(copy);
	return status;
}

static enum status copy(struct log *target, const char *topic)
{
	return copy_with(&(struct copy_config){.source = f.flow.log,
	                                       .target = target,
	                                       .seam = &f.flow.seam,
	                                       .topic = topic,
	                                       .patience_ms = 60000,
	                                       .stopped = stop_later});
}

/* The values of a topic's records, partition by partition, separated by spaces. */
static const char *values(struct log *log, const char *topic)
{
	struct buf text = {0};
	struct log_topic info;
	assert_int_equal(log_topic_describe(log, topic, &f.arena, &info, NULL), OK);
	for (int32_t p = 0; p < info.partitions; p++) {
		struct log_reader *reader;
		const struct log_record *record;
		assert_int_equal(log_reader_open(log, topic, p, 0, &reader, NULL), OK);
		while (log_reader_next(reader, 0, &record, NULL) == OK && record)
			buf_putf(&text, "%.*s ", (int)record->value.len, (const char *)record->value.data);
		log_reader_close(reader);
		buf_putf(&text, "/ ");
	}
	const char *kept = arena_copy(&f.arena, buf_text(&text), text.len);
	buf_fini(&text);
	return kept;
}

/* ---- copying ---- */

static void a_plain_copy_keeps_key_value_headers_and_time(void **state)
{
	(void)state;
	struct log_record a, b;
	bool found;
	replayed_fill(&f, 12);
	replayed_topic(f.other, "copied", 2);
	assert_int_equal(copy(f.other, "copied"), OK);
	assert_int_equal(f.result.taken, 12);
	assert_int_equal(f.result.moved, 0);
	assert_string_equal(values(f.other, "copied"), values(f.flow.log, "plain"));
	for (int64_t offset = 0; offset < 6; offset++) {
		static const uint8_t key[HASH_KEY_BYTES];
		assert_int_equal(log_read_at(f.flow.log, "plain", 1, offset, &f.arena, &a, &found, NULL), OK);
		assert_int_equal(log_read_at(f.other, "copied", 1, offset, &f.arena, &b, &found, NULL), OK);
		assert_true(found && hash_record(key, &a) == hash_record(key, &b));
	}
	/* a second time their times would go back */
	assert_int_equal(copy(f.other, "copied"), OK);
	assert_int_equal(f.result.taken, 12);
	assert_int_equal(f.result.moved, 10);
}

static void another_count_places_by_key_and_control_records_stay_behind(void **state)
{
	(void)state;
	static const char *const topics[] = {"plain", "orders"};
	replayed_fill(&f, 12);
	replayed_topic(f.other, "copied", 5);
	f.selection.topics = topics;
	f.selection.topic_count = 2;
	assert_int_equal(copy(f.other, "copied"), OK);
	assert_int_equal(f.result.taken, 12);
	assert_int_equal(f.result.skipped[REPLAY_CONTROL], 2);
	for (int32_t p = 0; p < 5; p++) {
		int64_t low, high;
		assert_int_equal(log_bounds(f.other, "copied", p, &low, &high, NULL), OK);
		int64_t expected = (p == log_partition_of("a", 1, 5)) * 8 + (p == log_partition_of("b", 1, 5)) * 4;
		assert_int_equal(high, expected);
	}
}

static void a_missing_target_is_made_only_on_request(void **state)
{
	(void)state;
	struct log_topic topic;
	struct copy_config config = {.source = f.flow.log,
	                             .target = f.flow.log,
	                             .seam = &f.flow.seam,
	                             .topic = "fresh",
	                             .patience_ms = 1000};
	replayed_fill(&f, 4);
	assert_int_equal(copy_with(&config), FATAL);
	assert_non_null(strstr(f.err.text, "there is no topic fresh; --create-topic makes it"));
	config.create = config.dry_run = true;
	assert_int_equal(copy_with(&config), OK);
	assert_int_equal(f.result.taken, 4);
	assert_int_equal(log_topic_describe(f.flow.log, "fresh", &f.arena, &topic, NULL), OK);
	assert_false(topic.exists);
	config.dry_run = false;
	assert_int_equal(copy_with(&config), OK);
	assert_string_equal(values(f.flow.log, "fresh"), values(f.flow.log, "plain"));
}

/* A flow of both services, with a dead letter. */
static void run_flow(void)
{
	struct flow_worker workers[2];
	flow_start(&f.flow, &workers[0], "order", NULL, 0);
	flow_start(&f.flow, &workers[1], "inventory", NULL, 0);
	flow_receive(&f.flow, "R", "A", 100);
	for (int i = 0; i < 20; i++) {
		char id[16];
		snprintf(id, sizeof id, "o%d", i);
		flow_order_one(&f.flow, id, "A", i + 1);
	}
	flow_cancel(&f.flow, "o3");
	flow_order(&f.flow, "empty", &(struct order_line){.sku = "A"}, 0);
	flow_rest(&f.flow, workers, 2);
	flow_close(&workers[0]);
	flow_close(&workers[1]);
}

static enum log_memory_fate fail_some(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)topic;
	(void)record;
	(void)delay_us;
	f.flow.now_us += 1000;
	return ++calls % 7 == 3 ? fate : LOG_MEMORY_WRITE;
}

struct seen {
	int64_t records, wrong;
	bool ids[21]; /* o0..o19, empty */
	bool cancel;
};

static void see(void *arg, const struct log_record *record)
{
	struct seen *seen = arg;
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	char key[16] = "";
	assert_true(event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len));
	const struct event_type *type = event_type_of_writer(fingerprint);
	memcpy(key, record->key.data, record->key.len < 15 ? (size_t)record->key.len : 15);
	seen->records++;
	seen->wrong += type->origin != EVENT_PUBLISHER || record->header_count ||
	               record->partition != log_partition_of(key, strlen(key), 3);
	if (type == &order_cancel_requested_type)
		seen->cancel = true;
	else
		seen->ids[strcmp(key, "empty") == 0 ? 20 : atoi(key + 1) % 20] = true;
}

/* Some of what is sent meets this fate. */
static enum status copy_into_an_installation(enum log_memory_fate what)
{
	static const char *const topics[] = {"orders"};
	run_flow();
	installation_make(f.other, 7, 3, 1);
	f.selection.topics = topics;
	fate = what;
	calls = 0;
	log_memory_set_faults(f.memory, &(struct log_memory_faults){.produce = fail_some});
	enum status status = copy(f.other, NULL);
	log_memory_set_faults(f.memory, NULL);
	return status;
}

static void a_copy_into_an_installation_is_a_publishers(enum log_memory_fate what)
{
	struct seen seen = {0};
	assert_int_equal(copy_into_an_installation(what), OK);
	assert_int_equal(f.result.taken, 22);
	assert_int_equal(f.result.skipped[REPLAY_CONTROL], 2);
	assert_true(f.result.skipped[REPLAY_WORKERS] >= 20);
	installation_read(f.other, "orders", see, &seen);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.cancel && (what == LOG_MEMORY_WRITE ? seen.records == 22 : seen.records >= 22));
	for (size_t i = 0; i < 21; i++)
		assert_true(seen.ids[i]);
}

static void an_installation_gets_publishers_events_as_a_publisher_sends_them(void **state)
{
	(void)state;
	a_copy_into_an_installation_is_a_publishers(LOG_MEMORY_WRITE);
}

static void a_lost_record_is_sent_again(void **state)
{
	(void)state;
	a_copy_into_an_installation_is_a_publishers(LOG_MEMORY_LOSE);
}

static void a_record_whose_acknowledgement_is_lost_arrives_again(void **state)
{
	(void)state;
	a_copy_into_an_installation_is_a_publishers(LOG_MEMORY_UNKNOWN);
}

static void a_refused_record_ends_the_copy_and_says_where(void **state)
{
	(void)state;
	assert_int_equal(copy_into_an_installation(LOG_MEMORY_REFUSE), FATAL);
	assert_string_equal(f.err.code, "io");
	assert_true(f.slices[0].next < f.slices[0].to);
	assert_true(f.slices[0].next <= 3); /* the third record was refused; offset 0 is the genesis */
}

static void a_dead_letter_is_redriven_without_what_made_it_one(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders.dlq"};
	struct log_record record;
	int64_t low, high;
	bool found;
	run_flow();
	int32_t p = log_partition_of("empty", 5, 2);
	f.selection.topics = topics;
	assert_int_equal(copy(f.flow.log, "orders"), OK);
	assert_int_equal(f.result.taken, 1);
	assert_int_equal(log_bounds(f.flow.log, "orders", p, &low, &high, NULL), OK);
	assert_int_equal(log_read_at(f.flow.log, "orders", p, high - 1, &f.arena, &record, &found, NULL), OK);
	assert_true(found && record.header_count == 0 && record.key.len == 5);
}

static void a_topic_that_only_workers_write_is_no_target(void **state)
{
	(void)state;
	static const char *const targets[] = {"order-events", "inventory.dlq", "plain"};
	static const char *const texts[] = {"only its workers write to it", "only its workers write to it",
	                                    "as source and target"};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(copy(f.flow.log, targets[i]), REJECT);
		assert_string_equal(f.err.code, "usage");
		assert_non_null(strstr(f.err.text, texts[i]));
	}
}

/* ---- mirror ---- */

static void compare_logs(struct log *a, struct log *b, const char *topic, int32_t partitions)
{
	static const uint8_t key[HASH_KEY_BYTES];
	for (int32_t p = 0; p < partitions; p++) {
		struct log_reader *readers[2];
		const struct log_record *x, *y;
		assert_int_equal(log_reader_open(a, topic, p, 0, &readers[0], NULL), OK);
		assert_int_equal(log_reader_open(b, topic, p, 0, &readers[1], NULL), OK);
		do {
			assert_int_equal(log_reader_next(readers[0], 0, &x, NULL), OK);
			assert_int_equal(log_reader_next(readers[1], 0, &y, NULL), OK);
			assert_int_equal(!x, !y);
			if (x)
				assert_true(hash_record(key, x) == hash_record(key, y));
		} while (x);
		log_reader_close(readers[0]);
		log_reader_close(readers[1]);
	}
}

static enum status mirror(struct mirror_result *result)
{
	const struct mirror_config config = {
		.source = f.flow.log, .target = f.other, .seam = &f.flow.seam, .stopped = stop_later};
	return mirror_run(&config, result, &f.err);
}

static void a_mirror_is_the_installation_record_by_record_and_verifies(void **state)
{
	(void)state;
	struct mirror_result result;
	struct verify_result verified;
	run_flow();
	assert_int_equal(mirror(&result), OK);
	assert_int_equal(result.topics, 6);
	assert_int_equal(result.partitions, 4 * 2 + 2 * 3);
	compare_logs(f.flow.log, f.other, "orders", 2);
	compare_logs(f.flow.log, f.other, "orders.dlq", 2);
	compare_logs(f.flow.log, f.other, "order-events", 2);
	compare_logs(f.flow.log, f.other, "inventory", 3);
	for (int32_t p = 0; p < 2; p++) {
		const struct verify_config config = {
			.service = flow_service("order"), .log = f.other, .data = f.flow.data, .partition = p};
		assert_int_equal(verify_partition(&config, &verified, &f.err), OK);
		assert_true(verified.same && verified.records > 0);
	}
	assert_int_equal(mirror(&result), FATAL);
	assert_string_equal(f.err.code, "not_empty");
}

/* Somebody orders, and both workers answer, while the mirror is made. */
static struct flow_worker busy[2];

static bool work_meanwhile(void)
{
	if (++calls % 5 == 0 && calls <= 50) {
		char id[24];
		snprintf(id, sizeof id, "late-%d", calls);
		flow_order_one(&f.flow, id, "A", 1);
		flow_rest(&f.flow, busy, 2);
	}
	return false;
}

/* Else an answer could be in it without what it answers: what folds the mirror would number other events like those. */
static void a_mirror_ends_everywhere_at_the_moment_it_began(void **state)
{
	(void)state;
	int64_t low, ends[2][3];
	static const char *const topics[] = {"orders", "inventory"};
	struct mirror_result result;
	flow_start(&f.flow, &busy[0], "order", NULL, 0);
	flow_start(&f.flow, &busy[1], "inventory", NULL, 0);
	flow_receive(&f.flow, "r", "A", 1000);
	for (int i = 0; i < 10; i++) {
		char id[16];
		snprintf(id, sizeof id, "o-%d", i);
		flow_order_one(&f.flow, id, "A", 1);
	}
	flow_rest(&f.flow, busy, 2);
	for (int t = 0; t < 2; t++)
		for (int32_t p = 0; p < 2 + t; p++)
			assert_int_equal(log_bounds(f.flow.log, topics[t], p, &low, &ends[t][p], &f.err), OK);
	const struct mirror_config config = {
		.source = f.flow.log, .target = f.other, .seam = &f.flow.seam, .stopped = work_meanwhile};
	enum status status = mirror_run(&config, &result, &f.err);
	flow_close(&busy[0]);
	flow_close(&busy[1]);
	assert_int_equal(status, OK);
	assert_true(calls > 50);
	for (int t = 0; t < 2; t++) {
		for (int32_t p = 0; p < 2 + t; p++) {
			int64_t end;
			assert_int_equal(log_bounds(f.other, topics[t], p, &low, &end, &f.err), OK);
			assert_int_equal(end, ends[t][p]);
		}
	}
}

static void a_mirror_keeps_holes(void **state)
{
	(void)state;
	static const char *const topics[] = {"holes"};
	struct mirror_result result;
	int64_t low, high;
	replayed_topic(f.flow.log, "holes", 1);
	const struct log_record records[] = {{.offset = 3, .timestamp_ms = 1, .key = {NULL, -1}, .value = {"a", 1}},
	                                     {.offset = 7, .timestamp_ms = 2, .key = {NULL, -1}, .value = {"b", 1}}};
	assert_int_equal(log_import(f.flow.log, "holes", 0, records, 2, NULL), OK);
	const struct mirror_config config = {
		.source = f.flow.log, .target = f.other, .seam = &f.flow.seam, .topics = topics, .topic_count = 1};
	assert_int_equal(mirror_run(&config, &result, &f.err), OK);
	assert_int_equal(result.records, 2);
	assert_int_equal(log_bounds(f.other, "holes", 0, &low, &high, NULL), OK);
	assert_int_equal(low, 3);
	assert_int_equal(high, 8);
}

static void a_log_that_lost_its_beginning_makes_no_mirror(void **state)
{
	(void)state;
	struct mirror_result result;
	run_flow();
	log_memory_trim(f.flow.memory, "orders", 1, 2);
	assert_int_equal(mirror(&result), FATAL);
	assert_string_equal(f.err.code, "truncated");
	assert_non_null(strstr(f.err.text, "orders/1 begins at offset 2, expected 0"));
}

static void what_was_not_mirrored_is_told_by_a_stop(void **state)
{
	(void)state;
	struct mirror_result result;
	run_flow();
	calls = 0;
	stop_at = 11; /* it is asked once before the first record */
	assert_int_equal(mirror(&result), RETRY);
	assert_string_equal(f.err.code, "interrupted");
	assert_int_equal(result.records, 9);
}

/* ---- export ---- */

static void an_export_holds_the_events_of_its_type(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders"};
	static const char *const codecs[] = {"null", "deflate"};
	run_flow();
	f.selection.topics = topics;
	f.selection.type = &order_placed_type;
	for (size_t i = 0; i < 2; i++) {
		struct export *export;
		struct replay_sink sink;
		struct event_file *file;
		const uint8_t *body;
		size_t len, count = 0;
		const char *path = arena_format(&f.arena, "%s/orders.avro", f.flow.data);
		f.result = (struct replay_result){0};
		assert_int_equal(
			export_open(path, &order_placed_type, codecs[i], false, &f.result, &export, &sink, &f.err), OK);
		assert_int_equal(replayed_run(&f, &sink), OK);
		export_close(export);
		assert_int_equal(f.result.taken, 21);
		assert_int_equal(event_file_open(path, &file, &f.err), OK);
		json_t *schema = json_loads(event_file_schema(file), 0, NULL);
		uint64_t fingerprint;
		assert_int_equal(schema_fingerprint(schema, &fingerprint, &f.err), OK);
		assert_true(fingerprint == order_placed_type.fingerprint);
		json_decref(schema);
		while (event_file_next(file, &f.arena, &body, &len, &f.err) == OK && body) {
			struct order_placed placed;
			assert_int_equal(event_decode(&order_placed_type, order_placed_type.fingerprint, body, len,
			                              &f.arena, &placed, &f.err),
			                 OK);
			count++;
		}
		assert_int_equal(count, 21);
		assert_int_equal(event_file_close(file, &f.err), OK);
	}
}

static void an_export_that_does_not_end_leaves_no_file(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders"};
	struct export *export;
	struct replay_sink sink;
	run_flow();
	f.selection.topics = topics;
	f.selection.type = &order_placed_type;
	calls = 0;
	stop_at = 9;
	const char *path = arena_format(&f.arena, "%s/orders.avro", f.flow.data);
	assert_int_equal(export_open(path, &order_placed_type, "null", false, &f.result, &export, &sink, &f.err), OK);
	assert_int_equal(replayed_run(&f, &sink), RETRY);
	export_close(export);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_not_equal(access(arena_format(&f.arena, "%s.part", path), F_OK), 0);
	export_close(NULL);
}
int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_plain_copy_keeps_key_value_headers_and_time),
		TEST(another_count_places_by_key_and_control_records_stay_behind),
		TEST(a_missing_target_is_made_only_on_request),
		TEST(an_installation_gets_publishers_events_as_a_publisher_sends_them),
		TEST(a_lost_record_is_sent_again),
		TEST(a_record_whose_acknowledgement_is_lost_arrives_again),
		TEST(a_refused_record_ends_the_copy_and_says_where),
		TEST(a_dead_letter_is_redriven_without_what_made_it_one),
		TEST(a_topic_that_only_workers_write_is_no_target),
		TEST(a_mirror_is_the_installation_record_by_record_and_verifies),
		TEST(a_mirror_ends_everywhere_at_the_moment_it_began),
		TEST(a_mirror_keeps_holes),
		TEST(a_log_that_lost_its_beginning_makes_no_mirror),
		TEST(what_was_not_mirrored_is_told_by_a_stop),
		TEST(an_export_holds_the_events_of_its_type),
		TEST(an_export_that_does_not_end_leaves_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
