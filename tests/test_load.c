/* replay --import: what of an Avro container file reaches an installation, and what is refused before anything does. */
#include "../producers/replay/replay.h"

#include "event.h"
#include "header.h"
#include "support/flow.h"
#include "test_events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct fixture {
	struct flow flow;
	const char *path;
	struct replay_result result;
	struct err err;
	int calls, stop_at;
	enum log_memory_fate fate;
} f;

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){0};
	flow_init(&f.flow, 2, 2);
	f.path = arena_format(&f.flow.arena, "%s/events.avro", f.flow.data);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	flow_fini(&f.flow);
	return 0;
}

/* ---- files ---- */

static void append(struct event_file *file, const struct event_type *type, const void *event)
{
	struct buf value = {0};
	assert_int_equal(event_encode(type, event, &value, &f.err), OK);
	assert_int_equal(
		event_file_append(file, value.data + EVENT_HEADER_BYTES, value.len - EVENT_HEADER_BYTES, &f.err), OK);
	buf_fini(&value);
}

static struct event_file *create(const struct event_type *type, const char *codec)
{
	struct event_file *file;
	assert_int_equal(event_file_create(f.path, type, codec, &file, &f.err), OK);
	return file;
}

static struct stock_received receipt(int number)
{
	return (struct stock_received){.receipt_id = "import",
	                               .sku = arena_format(&f.flow.arena, "S%d", number),
	                               .quantity = number + 1,
	                               .received_at = 1291191960000};
}

static void write_receipts(int count, const char *codec)
{
	struct event_file *file = create(&stock_received_type, codec);
	for (int i = 0; i < count; i++) {
		const struct stock_received event = receipt(i);
		append(file, &stock_received_type, &event);
	}
	assert_int_equal(event_file_close(file, &f.err), OK);
}

static FILE *open_to_edit(void)
{
	FILE *file = fopen(f.path, "r+b");
	assert_non_null(file);
	return file;
}

static void cut_file(long at)
{
	FILE *file = open_to_edit();
	assert_int_equal(ftruncate(fileno(file), at), 0);
	fclose(file);
}

/* Done again, the bytes are as they were. */
static void spoil_file(long at, int count)
{
	FILE *file = open_to_edit();
	for (long end = at + count; at < end; at++) {
		assert_int_equal(fseek(file, at, SEEK_SET), 0);
		int byte = fgetc(file);
		assert_int_equal(fseek(file, at, SEEK_SET), 0);
		fputc(byte ^ 0xaa, file);
	}
	fclose(file);
}

static long file_bytes(void)
{
	FILE *file = fopen(f.path, "rb");
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	long len = ftell(file);
	fclose(file);
	return len;
}

/* ---- loading ---- */

static bool stop_later(void)
{
	return f.stop_at && ++f.calls >= f.stop_at;
}

static enum status load(bool dry_run)
{
	const struct load_config config = {.path = f.path,
	                                   .log = f.flow.log,
	                                   .seam = &f.flow.seam,
	                                   .dry_run = dry_run,
	                                   .patience_ms = 60000,
	                                   .stopped = stop_later};
	return load_run(&config, &f.result, &f.err);
}

static int64_t written(const char *topic)
{
	int64_t sum = 0, low, high;
	for (int32_t p = 0; p < 2; p++) {
		assert_int_equal(log_bounds(f.flow.log, topic, p, &low, &high, &f.err), OK);
		sum += high - 1; /* the genesis */
	}
	return sum;
}

static void refused(const char *code, const char *says)
{
	assert_int_equal(load(false), REJECT);
	assert_string_equal(f.err.code, code);
	if (!strstr(f.err.text, says) || strncmp(f.err.text, f.path, strlen(f.path)) != 0)
		fail_msg("expected '%s: %s' in: %s", f.path, says, f.err.text);
	assert_int_equal(f.result.taken, 0);
	assert_int_equal(written("inventory"), 0);
	assert_int_equal(written("orders"), 0);
}

/* ---- what arrives ---- */

/* Numbers grow within a partition: the file's order is kept. */
static void check_receipt(const struct log_record *record, int *before)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	struct stock_received event;
	assert_int_equal(record->header_count, 0);
	assert_true(event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len));
	assert_true(fingerprint == stock_received_type.fingerprint);
	assert_int_equal(event_decode(&stock_received_type, fingerprint, body, len, &f.flow.arena, &event, &f.err), OK);
	int number = (int)event.quantity - 1;
	const struct stock_received expected = receipt(number);
	assert_true(event_equal(&stock_received_type, &event, &expected));
	assert_int_equal(record->key.len, strlen(event.sku));
	assert_memory_equal(record->key.data, event.sku, strlen(event.sku));
	assert_int_equal(record->partition, log_partition_of(event.sku, strlen(event.sku), 2));
	assert_true(number > *before);
	*before = number;
}

static void events_arrive_as_a_publisher_sends_them(void **state)
{
	(void)state;
	int64_t count = 0;
	write_receipts(200, "null");
	assert_int_equal(load(false), OK);
	assert_int_equal(f.result.read, 200);
	assert_int_equal(f.result.taken, 200);
	for (int32_t p = 0; p < 2; p++) {
		struct log_reader *reader;
		const struct log_record *record;
		int before = -1;
		assert_int_equal(log_reader_open(f.flow.log, "inventory", p, 1, &reader, &f.err), OK);
		for (; log_reader_next(reader, 0, &record, &f.err) == OK && record; count++)
			check_receipt(record, &before);
		log_reader_close(reader);
	}
	assert_int_equal(count, 200);
}

static void a_file_that_is_imported_twice_changes_nothing(void **state)
{
	(void)state;
	struct flow_worker worker;
	flow_start(&f.flow, &worker, "inventory", NULL, 0);
	write_receipts(100, "deflate");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(load(false), OK);
		flow_rest(&f.flow, &worker, 1);
		assert_int_equal(flow_sum(&f.flow, "inventory", "SELECT count(*) FROM receipt"), 100);
		assert_int_equal(flow_sum(&f.flow, "inventory", "SELECT sum(on_hand) FROM stock"), 5050);
	}
	assert_int_equal(written("inventory"), 200);
	flow_close(&worker);
	flow_verify_service(&f.flow, flow_service("inventory"), NULL);
}

static void a_dry_run_sends_nothing(void **state)
{
	(void)state;
	write_receipts(10, "null");
	assert_int_equal(load(true), OK);
	assert_int_equal(f.result.taken, 10);
	assert_int_equal(written("inventory"), 0);
}

/* ---- what goes wrong on the way ---- */

static enum log_memory_fate every_seventh(void *arg, const char *topic, const struct log_record *record,
                                          int64_t *delay_us)
{
	(void)arg;
	(void)topic;
	(void)record;
	(void)delay_us;
	return ++f.calls % 7 ? LOG_MEMORY_WRITE : f.fate;
}

static void wait(void *arg, int timeout_ms)
{
	((struct flow *)arg)->now_us += timeout_ms * 1000;
}

static void nothing_is_lost_whatever_becomes_of_a_write(void **state)
{
	(void)state;
	static const enum log_memory_fate fates[] = {LOG_MEMORY_LOSE, LOG_MEMORY_UNKNOWN};
	struct flow_worker worker;
	write_receipts(50, "null");
	for (size_t i = 0; i < 2; i++) {
		f.fate = fates[i];
		log_memory_set_faults(f.flow.memory, &(struct log_memory_faults){
							     .arg = &f.flow, .produce = every_seventh, .wait = wait});
		assert_int_equal(load(false), OK);
		assert_int_equal(f.result.taken, 50);
	}
	log_memory_set_faults(f.flow.memory, NULL);
	flow_start(&f.flow, &worker, "inventory", NULL, 0);
	flow_rest(&f.flow, &worker, 1);
	assert_int_equal(flow_sum(&f.flow, "inventory", "SELECT sum(on_hand) FROM stock"), 1275);
	flow_close(&worker);
}

static void a_refused_write_and_a_stop_end_it(void **state)
{
	(void)state;
	write_receipts(50, "null");
	f.fate = LOG_MEMORY_REFUSE;
	log_memory_set_faults(f.flow.memory,
	                      &(struct log_memory_faults){.arg = &f.flow, .produce = every_seventh, .wait = wait});
	assert_int_equal(load(false), FATAL);
	assert_string_equal(f.err.code, "io");
	assert_true(f.result.taken < 50);
	log_memory_set_faults(f.flow.memory, NULL);
	f.calls = 0;
	f.stop_at = 20; /* while it is checked */
	const int64_t before = written("inventory");
	assert_int_equal(load(false), RETRY);
	assert_string_equal(f.err.code, "interrupted");
	assert_int_equal(written("inventory"), before);
}

/* ---- what is refused ---- */

static void a_broken_file_sends_nothing_and_its_block_is_named(void **state)
{
	(void)state;
	write_receipts(8000, "null"); /* three blocks */
	const long whole = file_bytes();
	assert_in_range(whole, 2 * 65536, 4 * 65536);
	spoil_file(whole - 3, 1); /* the last block's marker */
	refused("malformed", "block 3: a block without the file's sync marker");
	spoil_file(whole - 3, 1);
	spoil_file(100000, 40); /* some events */
	refused("malformed", "block 2: ");
	spoil_file(100000, 40);
	cut_file(whole - 1000);
	refused("malformed", "block 3: ends too early");
	cut_file(90000);
	refused("malformed", "block 2: ends too early");
	cut_file(20);
	refused("malformed", "ends too early");
	spoil_file(0, 1);
	refused("malformed", "no Avro container file");
}

static void what_no_publisher_sends_is_refused(void **state)
{
	(void)state;
	const struct order_confirmed confirmed = {.order_id = "1", .currency = "GBP"};
	struct event_file *file = create(&order_confirmed_type, "null");
	append(file, &order_confirmed_type, &confirmed);
	assert_int_equal(event_file_close(file, &f.err), OK);
	refused("not_publishers", "holds OrderConfirmed, expected events that publishers send");
	file = create(&evolved_type, "null");
	assert_int_equal(event_file_close(file, &f.err), OK);
	refused("unknown_schema", "holds Evolved written with schema ");
}

static void an_identifier_that_cannot_be_is_refused_with_its_event(void **state)
{
	(void)state;
	struct event_file *file = create(&stock_received_type, "null");
	struct stock_received event = receipt(0);
	append(file, &stock_received_type, &event);
	event.sku = "";
	append(file, &stock_received_type, &event);
	assert_int_equal(event_file_close(file, &f.err), OK);
	refused("identifier", "event 2: found the key ''");
}

static void a_log_without_an_installation_is_no_target(void **state)
{
	(void)state;
	write_receipts(3, "null");
	assert_int_equal(log_topic_delete(f.flow.log, "inventory", &f.err), OK);
	assert_int_equal(load(false), FATAL);
	assert_non_null(strstr(f.err.text, "there is no topic inventory; `tandem topics create` makes it"));
	assert_int_equal(
		log_topic_create(f.flow.log, &(struct log_topic){.name = "inventory", .partitions = 2}, &f.err), OK);
	assert_int_equal(load(false), REJECT);
	assert_non_null(strstr(f.err.text, "topic inventory is of no installation"));
}

static void a_file_that_is_not_there_is_said(void **state)
{
	(void)state;
	assert_int_equal(load(false), FATAL);
	assert_string_equal(f.err.code, "io");
	assert_non_null(strstr(f.err.text, "No such file"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(events_arrive_as_a_publisher_sends_them),
		TEST(a_file_that_is_imported_twice_changes_nothing),
		TEST(a_dry_run_sends_nothing),
		TEST(nothing_is_lost_whatever_becomes_of_a_write),
		TEST(a_refused_write_and_a_stop_end_it),
		TEST(a_broken_file_sends_nothing_and_its_block_is_named),
		TEST(what_no_publisher_sends_is_refused),
		TEST(an_identifier_that_cannot_be_is_refused_with_its_event),
		TEST(a_log_without_an_installation_is_no_target),
		TEST(a_file_that_is_not_there_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
