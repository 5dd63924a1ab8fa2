/* An installation with keyed chains as people run it: somebody who may write to every topic forges records and marks, and
 * nothing comes of it; and the secret is nowhere to be seen. */
#include "../support/rig.h"
#include "genesis.h"
#include "hash.h"
#include "header.h"
#include "secret.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define SECRET "7d0c3b1e9f8a46525d4c7f6e8b9a0c1d2e3f405162738495a6b7c8d9eafb0c1d"
#define OTHER  "00000000000000000000000000000000000000000000000000000000000000ff"

static struct rig rig;

static const char *write_secret(const char *name, const char *text, mode_t mode)
{
	const char *path = arena_format(&rig.arena, "%s/%s", rig.folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%s\n", text);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

/* The programs take it from the environment, as an operator would have it. */
static int open_keyed(void **state)
{
	*state = &rig;
	rig_open(&rig);
	rig.orders = rig.inventory = 2;
	setenv("TANDEM_SECRET_FILE", write_secret("secret", SECRET, 0600), 1);
	rig_ok(&rig, "topics create --keyed --partitions 2 --single-replica");
	return 0;
}

static int close_keyed(void **state)
{
	unsetenv("TANDEM_SECRET_FILE");
	return rig_teardown(state);
}

/* ---- forging ---- */

struct forger {
	struct log_producer *producer;
	struct arena arena;
	int64_t written;
};

static void put(struct forger *forger, const char *topic, const struct log_record *record)
{
	struct err err = {0};
	struct log_ack ack;
	int number = log_producer_topic(forger->producer, topic);
	assert_int_equal(log_produce(forger->producer, number, record, 0, &err), OK);
	log_producer_flush(forger->producer);
	for (int i = 0; !log_producer_ack(forger->producer, &ack); i++) {
		assert_true(i < 600);
		log_wait(rig.log, 100);
	}
	assert_int_equal(ack.status, OK);
	forger->written++;
}

static void put_streamed(struct forger *forger, const char *topic, const struct log_record *like,
                         const struct header_stream *stream)
{
	struct header_list list;
	struct log_record record = *like;
	header_list_init(&list, &forger->arena, 1);
	header_add_stream(&list, stream);
	record.headers = list.items;
	record.header_count = list.count;
	put(forger, topic, &record);
}

/* The last event of a worker's in this partition. */
static void last_numbered(struct forger *forger, const char *topic, int32_t partition, struct log_record *record,
                          struct header_stream *stream)
{
	int64_t low, high;
	bool found = false;
	struct err err = {0};
	assert_int_equal(log_bounds(rig.log, topic, partition, &low, &high, &err), OK);
	for (int64_t at = high - 1; at > 0; at--) {
		assert_int_equal(log_read_at(rig.log, topic, partition, at, &forger->arena, record, &found, &err), OK);
		if (found && header_stream_parse(record, stream) == HEADER_VALID)
			return;
	}
	fail_msg("%s/%d holds no worker's event", topic, (int)partition);
}

static void forge_at(struct forger *forger, const char *topic, int32_t partition)
{
	struct log_record record;
	struct header_stream stream, next;
	last_numbered(forger, topic, partition, &record, &stream);
	next = stream;
	next.number++;
	put_streamed(forger, topic, &record, &next); /* the next one */
	next.number += 1000000;
	put_streamed(forger, topic, &record, &next); /* a gap, for ever */
	next = stream;
	next.chain ^= 1;
	put_streamed(forger, topic, &record, &next); /* a fork */
	next.keyed = false;
	next.number = stream.number + 1;
	put_streamed(forger, topic, &record, &next); /* as public chains have it */
	record.key = (struct log_bytes){"nobody", 6};
	put_streamed(forger, topic, &record, &stream); /* a genuine header on something else */
	const struct log_header newer = {HEADER_STREAM, {"\x09", 1}};
	put(forger, topic,
	    &(struct log_record){.partition = partition,
	                         .key = {NULL, -1},
	                         .value = {"x", 1},
	                         .headers = &newer,
	                         .header_count = 1});
	const struct log_header control[] = {{GENESIS_CONTROL_HEADER, {"1", 1}}, {"tandem-proof", {"12345678", 8}}};
	put(forger, topic,
	    &(struct log_record){.partition = partition,
	                         .key = {NULL, -1},
	                         .value = {"x", 1},
	                         .headers = control,
	                         .header_count = 2});
}

static void forge_everywhere(struct forger *forger)
{
	static const char *const topics[] = {"orders", "inventory", "order-events"};
	struct err err = {0};
	assert_int_equal(log_producer_open(rig.log, &forger->producer, &err), OK);
	for (size_t t = 0; t < sizeof topics / sizeof *topics; t++)
		for (int32_t p = 0; p < 2; p++)
			forge_at(forger, topics[t], p);
	log_producer_close(forger->producer);
	arena_fini(&forger->arena);
}

static int64_t forged_in_files(void)
{
	static const char sql[] = "SELECT coalesce(sum(forged), 0) FROM keyed";
	return rig_sum(&rig, "order", sql) + rig_sum(&rig, "inventory", sql);
}

static bool all_seen(struct rig *all, void *arg)
{
	(void)all;
	return forged_in_files() == *(int64_t *)arg;
}

static void nothing_comes_of_what_is_forged_while_workers_run(void **state)
{
	(void)state;
	struct forger forger = {0};
	struct rig_process *order = rig_start(&rig, "order", "order run");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	rig_ok(&rig, "publish --orders 300 --skus 10 --stock 200");
	rig_drain(&rig, 300);
	forge_everywhere(&forger);
	int64_t expected = forger.written * 2 / 3; /* nobody here folds order-events */
	rig_until(&rig, 240, "the forged records to be counted", all_seen, &expected);
	rig_ok(&rig, "publish --orders 200 --seed 7 --skus 10 --stock 200");
	rig_drain(&rig, 300);
	assert_int_equal(rig_end(&rig, order, SIGTERM, 60), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, 60), 0);
	assert_int_equal(forged_in_files(), expected);
	assert_int_equal(rig_sum(&rig, "order", "SELECT count(*) FROM gap WHERE service <> ''"), 0);
	assert_int_equal(rig_sum(&rig, "inventory", "SELECT gaps + forks FROM meta"), 0);
	assert_non_null(strstr(rig_words(&rig, order), "does not verify: it was not applied"));
	const char *status = rig_ok(&rig, "order status");
	assert_non_null(strstr(status, "7 forged records, not applied, since offset"));
	assert_non_null(strstr(status, "tandem replay -t orders -p 0"));
	rig_verify_all(&rig);

	/* A file that is gone comes back to the same, and a stream is sent again past what was forged into it. */
	uint64_t before = rig_tables_hash(&rig, "order");
	rig_ok(&rig, "order rebuild");
	assert_true(rig_tables_hash(&rig, "order") == before);
	rig_ok(&rig, "order resend --to inventory/1 --from 2");
	rig_ok(&rig, "order resend --to order-events/0 --partitions 0");
	rig_ok(&rig, "inventory run --until-end");
	rig_verify_all(&rig);
	rig.passed = true;
}

static void letters_are_sent_back_and_given_up_with_the_secret(void **state)
{
	(void)state;
	struct rig_result result;
	static const char letters[] =
		"{\"type\": \"OrderPlaced\", \"event\": {\"order_id\": \"L-1\", \"currency\": \"gbp\", \"placed_at\": 1, "
		"\"lines\": [{\"sku\": \"s\", \"quantity\": 1, \"unit_price_minor\": 1}]}}\n"
		"{\"type\": \"OrderPlaced\", \"event\": {\"order_id\": \"L-2\", \"currency\": \"gbp\", \"placed_at\": 1, "
		"\"lines\": [{\"sku\": \"s\", \"quantity\": 1, \"unit_price_minor\": 1}]}}\n";
	rig_run_with(&rig, &result, 60, letters, "publish -");
	assert_int_equal(result.exit_status, 0);
	rig_ok(&rig, "order run --until-end");
	rig_ok(&rig, "dlq -t orders redrive --key L-1 --yes");
	rig_ok(&rig, "dlq -t orders discard --key L-2 --yes");
	rig_ok(&rig, "order run --until-end");
	assert_int_equal(rig_sum(&rig, "order", "SELECT forged FROM keyed"), 0);
	assert_int_equal(rig_sum(&rig, "order", "SELECT count(*) FROM letter"), 2);
	rig_verify(&rig, "order", NULL, NULL);
	rig.passed = true;
}

/* ---- a mark ---- */

static void await_event(struct log_consumer *consumer, enum log_event_kind kind, struct log_event *event)
{
	*event = (struct log_event){0};
	for (int i = 0; event->kind != kind; i++) {
		assert_true(i < 1200);
		log_consumer_poll(consumer, event);
		if (event->kind == LOG_NOTHING)
			log_wait(rig.log, 100);
	}
}

static void forged_marks(const char *service, const char *topic)
{
	struct err err = {0};
	struct log_consumer *consumer;
	const char *group = arena_format(&rig.arena, "tandem-%s", service);
	const int32_t partitions[] = {0, 1};
	const struct log_consumer_config config = {
		.topic = topic, .group = group, .partitions = partitions, .partition_count = 2};
	struct log_mark marks[2] = {{.partition = 0}, {.partition = 1}};
	struct log_event event;
	for (int32_t p = 0; p < 2; p++) {
		int64_t low;
		assert_int_equal(log_bounds(rig.log, topic, p, &low, &marks[p].offset, &err), OK);
		snprintf(marks[p].metadata, sizeof marks[p].metadata,
		         "tandem1 %lld %lld 0123456789abcdef 0123456789abcdef 0123456789abcdef 1 0123456789abcdef",
		         (long long)marks[p].offset, (long long)marks[p].offset - 1);
	}
	assert_int_equal(log_consumer_open(rig.log, &config, &consumer, &err), OK);
	await_event(consumer, LOG_ASSIGNED, &event);
	assert_int_equal(log_consumer_assign(consumer, NULL, 0, &err), OK);
	assert_int_equal(log_consumer_commit(consumer, marks, 2, &err), OK);
	await_event(consumer, LOG_COMMITTED, &event);
	assert_int_equal(event.status, OK);
	log_consumer_close(consumer, true);
}

static void a_forged_mark_is_no_mark_and_everything_is_sent(void **state)
{
	(void)state;
	rig_ok(&rig, "publish --orders 100 --skus 10 --stock 200");
	forged_marks("order", "orders");
	struct rig_process *order = rig_start(&rig, "order", "order run");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	rig_drain(&rig, 300);
	assert_non_null(strstr(rig_words(&rig, order), "not a mark of ours and is ignored"));
	assert_int_equal(rig_end(&rig, order, SIGTERM, 60), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, 60), 0);
	rig_verify_all(&rig);
	rig.passed = true;
}

/* ---- the secret ---- */

static void refused(const char *secret_file, const char *command, int exit_status, const char *says)
{
	struct rig_result result;
	if (secret_file)
		setenv("TANDEM_SECRET_FILE", secret_file, 1);
	else
		unsetenv("TANDEM_SECRET_FILE");
	rig_run(&rig, &result, 60, "%s", command);
	if (result.exit_status != exit_status || !strstr(result.err, says) || strstr(result.err, SECRET))
		fail_msg("tandem %s: %d, not %d with '%s': %s", command, result.exit_status, exit_status, says,
		         result.err);
	assert_null(strstr(strstr(result.err, says) + 1, says)); /* once */
}

static void a_secret_that_is_not_the_installations_ends_every_program_with_one_line(void **state)
{
	(void)state;
	static const char *const commands[] = {
		"order run --until-end",         "inventory verify", "order rebuild",     "audit",
		"order resend --to inventory/0", "explain 4711",     "dlq -t orders list"};
	const char *own = getenv("TANDEM_SECRET_FILE"), *other = write_secret("other", OTHER, 0600);
	own = arena_copy(&rig.arena, own, strlen(own));
	rig_ok(&rig, "publish --orders 20 --skus 10 --stock 200");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		refused(other, commands[i], 2, "is not the one that");
		refused(NULL, commands[i], 2, "no secret was given: --secret-file");
	}
	refused(other, "publish --orders 1", 2, "is not the one that");
	refused(other, "topics check", 2, "is not the one that");
	refused(other, arena_format(&rig.arena, "replay --mirror %s/copy", rig.folder), 2, "is not the one that");
	refused(arena_format(&rig.arena, "%s/nothing", rig.folder), "order run", 2, "No such file");
	refused(write_secret("open", SECRET, 0644), "order run", 2, "every user of this machine has rights to it");
	refused(write_secret("short", "secret", 0600), "order run", 2, "found 6 bytes, expected at least 32");
	refused(rig.folder, "order run", 2, "found a folder");
	unsetenv("TANDEM_SECRET_FILE");
	rig_ok(&rig, "publish --orders 20 --seed 3 --skus 10"); /* which needs none */
	rig_ok(&rig, "replay -t orders -c 3");
	setenv("TANDEM_SECRET_FILE", own, 1);
	rig.passed = true;
}

static void a_public_installation_takes_no_secret(void **state)
{
	(void)state;
	const char *own = getenv("TANDEM_SECRET_FILE");
	own = arena_copy(&rig.arena, own, strlen(own));
	const char *public = arena_format(&rig.arena, "--log local:%s/public", rig.folder);
	unsetenv("TANDEM_SECRET_FILE");
	rig_ok(&rig, "topics create %s --partitions 1", public);
	rig_ok(&rig, "publish --orders 5 %s", public);
	refused(own, arena_format(&rig.arena, "order run --until-end %s", public), 2, "are public: leave it out");
	refused(own, arena_format(&rig.arena, "publish --orders 5 %s", public), 2, "are public: leave it out");
	refused(own, arena_format(&rig.arena, "topics create %s", public), 2, "--secret-file without --keyed");
	refused(NULL, arena_format(&rig.arena, "topics create --keyed %s", public), 2, "--keyed without --secret-file");
	refused(own, arena_format(&rig.arena, "topics create --keyed --partitions 1 %s", public), 2,
	        "are public: leave it out");
	setenv("TANDEM_SECRET_FILE", own, 1);
	rig.passed = true;
}

/* Everything that a program says or leaves, and what ps shows of it. */
static void the_secret_is_nowhere_to_be_seen(void **state)
{
	(void)state;
	struct rig_result result;
	struct rig_process *order = rig_start(&rig, "order", "order run --log-level debug");
	rig_ok(&rig, "publish --orders 20 --skus 10 --stock 200");
	rig_ok(&rig, "inventory run --until-end");
	const char *shown = rig_ok(&rig, "order run --print-config");
	assert_non_null(strstr(shown, "secret-file = "));
	assert_null(strstr(shown, SECRET));
	const char *grep = arena_format(&rig.arena,
	                                "! tr '\\0' '\\n' </proc/%d/cmdline | grep -q " SECRET
	                                " && ! tr '\\0' '\\n' </proc/%d/environ | grep -q " SECRET
	                                " && ! grep -rqa " SECRET " %s --exclude secret",
	                                (int)order->pid, (int)order->pid, rig.folder);
	assert_int_equal(system(grep), 0);
	assert_int_equal(rig_end(&rig, order, SIGTERM, 60), 0);
	assert_null(strstr(rig_words(&rig, order), SECRET));
	rig_run(&rig, &result, 60, "order run --secret-file=%s/secret --nosuch", rig.folder);
	assert_int_equal(result.exit_status, 2);
	assert_null(strstr(result.err, SECRET));
	rig.passed = true;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_comes_of_what_is_forged_while_workers_run, open_keyed,
	                                        close_keyed),
		cmocka_unit_test_setup_teardown(letters_are_sent_back_and_given_up_with_the_secret, open_keyed,
	                                        close_keyed),
		cmocka_unit_test_setup_teardown(a_forged_mark_is_no_mark_and_everything_is_sent, open_keyed,
	                                        close_keyed),
		cmocka_unit_test_setup_teardown(a_secret_that_is_not_the_installations_ends_every_program_with_one_line,
	                                        open_keyed, close_keyed),
		cmocka_unit_test_setup_teardown(a_public_installation_takes_no_secret, open_keyed, close_keyed),
		cmocka_unit_test_setup_teardown(the_secret_is_nowhere_to_be_seen, open_keyed, close_keyed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
