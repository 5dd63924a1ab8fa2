/* The fold: who sends what, streams, chains, gaps, control records; publishers' records are in test_task_publishers.c. The order
 * service serves as example; its own rules are in test_order.c. Every test folds its records twice (see support/records.h). */
#include "support/records.h"

#include "bytes.h"
#include "command.h"
#include "genesis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- headers of a wrong kind ---- */

static void gap_is(struct records *records, const char *service, int32_t partition, int64_t first_missing,
                   int64_t highest, int64_t count, const char *verdict)
{
	struct err err = {0};
	assert_int_equal(task_commit(records->task, &err), OK);
	const char *sql = arena_format(
		&records->arena,
		"SELECT count(*) FROM gap WHERE service = '%s' AND partition = %d AND first_missing = %lld"
		" AND highest = %lld AND count = %lld AND verdict = '%s'",
		service, partition, (long long)first_missing, (long long)highest, (long long)count, verdict);
	if (records_number(records, sql) != 1)
		fail_msg("no such row in\n%s", records_dump(records));
}

static int64_t gaps(struct records *records)
{
	struct err err = {0};
	assert_int_equal(task_commit(records->task, &err), OK);
	return records_number(records, "SELECT count(*) FROM gap");
}

static void a_malformed_or_doubled_header_is_an_unknown_source(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record order = records_order(&records, 1);
	const struct {
		const char *bytes;
		size_t len;
	} wrong[] = {
		{"", 0},
		{"\0", 1},
		{"\1", 1},
		{"\1\0\0\0\0"
	         "\0\0\0\0\0\0\0\1"
	         "12345678",
	         21}, /* no name */
		{"\1\0\0\0\0"
	         "\0\0\0\0\0\0\0\0"
	         "12345678inventory",
	         30}, /* number 0 */
		{"\1\xff\0\0\0"
	         "\0\0\0\0\0\0\0\1"
	         "12345678inventory",
	         30},
		{"\1\0\0\0\0"
	         "\xff\0\0\0\0\0\0\1"
	         "12345678inventory",
	         30},
		{"\1\0\0\0\0"
	         "\0\0\0\0\0\0\0\1"
	         "12345678inv\0ntory",
	         30},
	};
	size_t count = sizeof wrong / sizeof *wrong;
	for (size_t i = 0; i < count; i++) {
		struct log_record record =
			records_with_header(&records, &order, "tandem", wrong[i].bytes, wrong[i].len);
		assert_int_equal(records_fold(&records, &record), TASK_UNKNOWN_SOURCE);
		assert_int_equal(records_output_count(&records), 0);
	}
	const struct stock_reserved event = {.order_id = "A-1"};
	struct log_record doubled = records_numbered(&records, "inventory", 0, "A-1", &stock_reserved_type, &event);
	doubled = records_with_header(&records, &doubled, "tandem", doubled.headers[0].value.data,
	                              (size_t)doubled.headers[0].value.len);
	assert_int_equal(records_fold(&records, &doubled), TASK_UNKNOWN_SOURCE);
	gap_is(&records, "", -1, 0, 0, (int64_t)count + 1, "unknown_source");
	assert_int_equal(records_number(&records, "SELECT unknown_sources FROM meta"), (int64_t)count + 1);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM inbound"), 0);
	records_end(&records);
}

static void a_source_that_the_description_does_not_know_is_unknown(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct stock_reserved event = {.order_id = "A-1"};
	struct log_record record = records_numbered(&records, "payment", 0, "A-1", &stock_reserved_type, &event);
	assert_int_equal(records_fold(&records, &record), TASK_UNKNOWN_SOURCE);
	record = records_numbered(&records, "order", 0, "A-1", &stock_reserved_type, &event);
	assert_int_equal(records_fold(&records, &record), TASK_UNKNOWN_SOURCE);
	/* A partition that the source has not got. */
	record = records_numbered(&records, "inventory", RECORDS_INVENTORY_PARTITIONS, "A-1", &stock_reserved_type,
	                          &event);
	assert_int_equal(records_fold(&records, &record), TASK_UNKNOWN_SOURCE);
	records_end(&records);
}

static void a_newer_header_version_halts(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	record = records_with_header(&records, &record, "tandem", "\3", 1);
	assert_string_equal(records_refused(&records, &record), "newer_header");
	records_drop(&records);
}

static void a_publishers_type_that_comes_numbered_halts(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct order_placed event = records_order_placed(&records, records_order_id(&records, 1));
	struct log_record record =
		records_numbered(&records, "inventory", 0, event.order_id, &order_placed_type, &event);
	assert_string_equal(records_refused(&records, &record), "numbered_publisher_event");
	records_drop(&records);
}

static void an_unknown_schema_from_a_known_source_halts(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct commit_stock event = {.order_id = "A-1"}; /* which `order` does not take */
	struct log_record record = records_numbered(&records, "inventory", 0, "A-1", &commit_stock_type, &event);
	assert_string_equal(records_refused(&records, &record), "unknown_schema");
	records_drop(&records);
}

static void a_numbered_value_in_another_form_halts(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = {.key = {"A-1", 3}, .value = {"text", 4}};
	struct header_stream stream = {.service = "inventory", .number = 1};
	stream.chain =
		hash_chain(records_installation, hash_chain_start(records_installation, "inventory", 0, "orders", 0), 1,
	                   0, &record.key, "text", 4);
	record = records_restreamed(&records, &record, &stream);
	assert_string_equal(records_refused(&records, &record), "unknown_schema");
	records_drop(&records);
}

/* ---- streams ---- */

/* Asks for stock of a new order and gives the answer of the partition that was asked. */
static struct log_record an_answer(struct records *records, int from, int32_t *source)
{
	struct log_record order = records_order(records, from);
	assert_int_equal(records_fold(records, &order), TASK_APPLIED);
	*source = records_raw_output(records, 0)->partition;
	const char *order_id = arena_copy(&records->arena, order.key.data, (size_t)order.key.len);
	const struct stock_reserved event = {.order_id = order_id, .inventory_partition = *source};
	return records_numbered(records, "inventory", *source, order_id, &stock_reserved_type, &event);
}

static void a_repeat_is_dropped_whatever_it_is(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin(&records, "order", 0);
	struct log_record first = an_answer(&records, 1, &source), second = an_answer(&records, 100, &source);
	assert_int_equal(records_fold(&records, &first), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 2);
	assert_int_equal(records_fold(&records, &second), TASK_APPLIED);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(records_fold(&records, &first), TASK_REPEAT);
		assert_int_equal(records_output_count(&records), 0);
		assert_int_equal(records_fold(&records, &second), TASK_REPEAT);
	}
	assert_int_equal(gaps(&records), 0);
	assert_int_equal(records_number(&records, "SELECT repeats FROM meta"), 6);
	records_end(&records);
}

static void a_number_that_is_missing_is_a_gap_until_all_is_there(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin(&records, "order", 0);
	struct log_record answers[4];
	for (int i = 0; i < 4; i++)
		answers[i] = an_answer(&records, 1 + 100 * i, &source);
	assert_int_equal(records_fold(&records, &answers[0]), TASK_APPLIED);
	int64_t offset = records.offset;
	assert_int_equal(records_fold(&records, &answers[2]), TASK_GAP);
	assert_int_equal(records_output_count(&records), 0);
	assert_int_equal(records_fold(&records, &answers[3]), TASK_GAP);
	gap_is(&records, "inventory", source, 2, 4, 2, "gap");
	assert_int_equal(records_number(&records, "SELECT first_offset FROM gap"), offset);
	assert_int_equal(records_fold(&records, &answers[1]), TASK_APPLIED);
	assert_int_equal(records_fold(&records, &answers[2]), TASK_APPLIED);
	assert_int_equal(gaps(&records), 1);
	assert_int_equal(records_fold(&records, &answers[3]), TASK_APPLIED);
	assert_int_equal(gaps(&records), 0);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM orders WHERE status = 2"), 4);
	records_end(&records);
}

static void a_gap_of_one_stream_does_not_hold_the_others(void **state)
{
	(void)state;
	struct records records;
	int32_t source, other = -1;
	records_begin(&records, "order", 0);
	struct log_record missing = an_answer(&records, 1, &source), later = an_answer(&records, 100, &source);
	(void)missing;
	assert_int_equal(records_fold(&records, &later), TASK_GAP);
	/* An order of another SKU, which another partition owns. */
	const char *sku = records_id(&records, "SKU", 1, (source + 1) % RECORDS_INVENTORY_PARTITIONS,
	                             RECORDS_INVENTORY_PARTITIONS);
	struct order_placed event = records_order_placed(&records, records_order_id(&records, 200));
	event.lines.items[0].sku = sku;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	other = records_raw_output(&records, 0)->partition;
	assert_int_not_equal(other, source);
	const struct stock_reserved answer = {.order_id = event.order_id, .inventory_partition = other};
	assert_int_equal(records_send(&records, other, event.order_id, &stock_reserved_type, &answer), TASK_APPLIED);
	assert_int_equal(gaps(&records), 1);
	records_end(&records);
}

static void another_chain_is_a_fork(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin(&records, "order", 0);
	struct log_record answer = an_answer(&records, 1, &source);
	struct header_stream stream;
	assert_int_equal(header_stream_parse(&answer, &stream), HEADER_VALID);
	stream.chain ^= 1;
	struct log_record forked = records_restreamed(&records, &answer, &stream);
	assert_int_equal(records_fold(&records, &forked), TASK_FORK);
	gap_is(&records, "inventory", source, 1, 1, 1, "fork");
	assert_int_equal(records_number(&records, "SELECT count(*) FROM orders WHERE status = 1"), 1);
	/* The right one closes it; the fork is then a fork of the last number. */
	assert_int_equal(records_fold(&records, &answer), TASK_APPLIED);
	assert_int_equal(gaps(&records), 0);
	assert_int_equal(records_fold(&records, &forked), TASK_FORK);
	gap_is(&records, "inventory", source, 2, 1, 1, "fork");
	assert_int_equal(records_fold(&records, &answer), TASK_REPEAT);
	records_end(&records);
}

static void a_chain_is_of_type_key_body_and_installation(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin(&records, "order", 0);
	struct log_record answer = an_answer(&records, 1, &source), wrong = answer;
	wrong.key = (struct log_bytes){"other", 5};
	assert_int_equal(records_fold(&records, &wrong), TASK_FORK);
	wrong = answer;
	wrong.value.len--;
	assert_int_equal(records_fold(&records, &wrong), TASK_FORK);
	uint8_t value[256];
	memcpy(value, answer.value.data, (size_t)answer.value.len);
	value[2] ^= 1; /* the fingerprint */
	wrong.value = (struct log_bytes){value, answer.value.len};
	assert_int_equal(records_fold(&records, &wrong), TASK_FORK);
	/* The stream of another installation. */
	static const uint8_t other[HASH_KEY_BYTES] = {9};
	struct header_stream stream = {.service = "inventory", .partition = source, .number = 1};
	stream.chain = hash_chain(other, hash_chain_start(other, "inventory", source, "orders", 0), 1,
	                          stock_reserved_type.fingerprint, &answer.key,
	                          (const uint8_t *)answer.value.data + EVENT_HEADER_BYTES,
	                          (size_t)answer.value.len - EVENT_HEADER_BYTES);
	wrong = records_restreamed(&records, &answer, &stream);
	assert_int_equal(records_fold(&records, &wrong), TASK_FORK);
	assert_int_equal(records_fold(&records, &answer), TASK_APPLIED);
	records_end(&records);
}

static void nobody_adopts_a_number_in_the_middle_of_a_stream(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	records_begin(&records, "order", 0);
	an_answer(&records, 1, &source);
	struct log_record second = an_answer(&records, 100, &source);
	assert_int_equal(records_fold(&records, &second), TASK_GAP);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM inbound"), 0);
	records_end(&records);
}

/* ---- control records ---- */

static void a_genesis_elsewhere_changes_nothing(void **state)
{
	(void)state;
	struct records records;
	struct genesis genesis;
	records_begin(&records, "order", 0);
	records_genesis(&genesis, "orders", 0);
	genesis.installation[0] = 77;
	struct log_record record = records_control(&records, &genesis_type, &genesis);
	assert_int_equal(records_fold(&records, &record), TASK_CONTROL);
	assert_memory_equal(task_installation(records.task), records_installation, HASH_KEY_BYTES);
	assert_int_equal(records_output_count(&records), 0);
	records_end(&records);
}

static void a_program_that_needs_a_topic_more_does_not_go_on_with_the_file(void **state)
{
	(void)state;
	static const char *const outputs[] = {"inventory", "order-events", "shipments"};
	struct records records;
	struct genesis genesis;
	struct err err = {0};
	struct service newer = *command_service("order");
	newer.outputs = outputs;
	newer.output_count = 3;
	records_begin_file(&records, command_service("order"), 0);
	records_genesis(&genesis, "orders", 0);
	assert_int_equal(task_commit(records.task, &err), OK);
	records.service = &newer;
	records_reopen(&records);
	assert_int_equal(task_check_genesis(records.task, &genesis, &err), FATAL);
	assert_string_equal(err.code, "foreign_log");
	assert_non_null(strstr(err.text, "shipments"));
	records_drop(&records);
}

static void a_log_that_does_not_begin_with_a_genesis_halts(void **state)
{
	(void)state;
	struct records records;
	struct genesis genesis;
	records_begin(&records, "order", 0);
	struct err err = {0};
	struct task *fresh;
	enum task_verdict verdict;
	const struct task_config config = {.service = records.service};
	assert_int_equal(task_open(&config, &fresh, &err), OK);
	struct log_record record = records_order(&records, 1);
	assert_int_equal(task_fold(fresh, &record, &verdict, &err), FATAL);
	assert_string_equal(err.code, "no_genesis");
	task_close(fresh);
	assert_int_equal(task_open(&config, &fresh, &err), OK);
	records_genesis(&genesis, "orders", 0);
	record = records_control(&records, &genesis_type, &genesis);
	record.offset = 5; /* whoever opens a task has seen that record 0 is there */
	assert_int_equal(task_fold(fresh, &record, &verdict, &err), FATAL);
	assert_string_equal(err.code, "out_of_order");
	task_close(fresh);
	records_end(&records);
}

static void an_unknown_control_record_halts(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	record = records_with_header(&records, &record, GENESIS_CONTROL_HEADER, "1", 1);
	assert_string_equal(records_refused(&records, &record), "unknown_control");
	records_drop(&records);
	records_begin(&records, "order", 0);
	record = (struct log_record){.key = {NULL, -1}, .value = {"x", 1}};
	record = records_with_header(&records, &record, GENESIS_CONTROL_HEADER, "1", 1);
	assert_string_equal(records_refused(&records, &record), "unknown_control");
	records_drop(&records);
}

static void a_logic_version_that_is_not_known_halts(void **state)
{
	(void)state;
	struct records records;
	struct logic_version version = {.logic_version = 1};
	records_begin(&records, "order", 0);
	struct log_record record = records_control(&records, &logic_version_type, &version);
	assert_int_equal(records_fold(&records, &record), TASK_CONTROL);
	version.logic_version = 2;
	record = records_control(&records, &logic_version_type, &version);
	assert_string_equal(records_refused(&records, &record), "unknown_version");
	records_drop(&records);
}

/* ---- position, time, transactions ---- */

static void every_delivered_record_is_in_the_input_hash(void **state)
{
	(void)state;
	struct records records;
	int32_t source;
	struct task_position before, after;
	records_begin(&records, "order", 0);
	struct log_record answer = an_answer(&records, 1, &source), wrong = {.key = {NULL, -1}, .value = {"x", 1}};
	struct log_record unknown = records_with_header(&records, &wrong, "tandem", "", 0);
	const struct log_record *const all[] = {&wrong, &answer, &answer, &unknown};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct log_record record = *all[i];
		record.offset = records.offset;
		record.timestamp_ms = records.time_ms;
		task_position(records.task, &before);
		records_fold(&records, all[i]);
		task_position(records.task, &after);
		assert_true(after.last_hash == hash_record(records_installation, &record));
		assert_true(after.input_hash ==
		            hash_running_input(records_installation, before.input_hash, after.last_hash));
		assert_int_equal(after.next_offset, record.offset + 1);
	}
	records_end(&records);
}

static void stream_time_is_the_highest_of_what_was_accepted(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	records.time_ms = 5000;
	struct log_record order = records_order(&records, 1), wrong = {.key = {NULL, -1}, .value = {"x", 1}};
	records_fold(&records, &order);
	assert_int_equal(task_stream_time_ms(records.task), 5000);
	records.time_ms = 9000;
	records_fold(&records, &wrong);
	assert_int_equal(task_stream_time_ms(records.task), 5000);
	records.time_ms = 4000;
	order = records_order(&records, 100);
	records_fold(&records, &order);
	assert_int_equal(task_stream_time_ms(records.task), 5000);
	records_end(&records);
}

static void offsets_may_have_holes_but_never_go_back(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record order = records_order(&records, 1);
	records.offset += 10;
	assert_int_equal(records_fold(&records, &order), TASK_APPLIED);
	records.offset -= 1;
	assert_string_equal(records_refused(&records, &order), "out_of_order");
	records_drop(&records);
}

/* A store that is full in the middle of a record: RETRY, nothing since the last commit stays, and the second attempt gives
 * the rows and outputs that an undisturbed one gives (records_end compares). */
static void a_full_disk_is_retried_from_the_last_commit(void **state)
{
	(void)state;
	struct records records;
	struct err err = {0};
	enum task_verdict verdict;
	records_begin_file(&records, command_service("order"), 0);
	struct log_record first = records_order(&records, 1);
	records_fold(&records, &first);
	assert_int_equal(task_commit(records.task, &err), OK);
	size_t committed = records.folded_count;
	assert_int_equal(store_exec(task_store(records.task), "PRAGMA max_page_count = 1", &err), OK);
	enum status status = OK;
	for (int i = 2; status == OK && i < 100000; i += 2) {
		struct log_record order = records_order(&records, i);
		status = records_try(&records, &order, &verdict);
	}
	assert_int_equal(status, RETRY);
	assert_string_equal(records.err.code, "disk_full");
	assert_int_equal(records_output_count(&records), 0);
	records_reopen(&records);
	assert_int_equal(records.folded_count, committed);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM orders"), 1);
	struct log_record second = records_order(&records, 100);
	assert_int_equal(records_fold(&records, &second), TASK_APPLIED);
	assert_int_equal(records_raw_output(&records, 0)->number, 2);
	records_end(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_malformed_or_doubled_header_is_an_unknown_source),
		cmocka_unit_test(a_source_that_the_description_does_not_know_is_unknown),
		cmocka_unit_test(a_newer_header_version_halts),
		cmocka_unit_test(a_publishers_type_that_comes_numbered_halts),
		cmocka_unit_test(an_unknown_schema_from_a_known_source_halts),
		cmocka_unit_test(a_numbered_value_in_another_form_halts),
		cmocka_unit_test(a_repeat_is_dropped_whatever_it_is),
		cmocka_unit_test(a_number_that_is_missing_is_a_gap_until_all_is_there),
		cmocka_unit_test(a_gap_of_one_stream_does_not_hold_the_others),
		cmocka_unit_test(another_chain_is_a_fork),
		cmocka_unit_test(a_chain_is_of_type_key_body_and_installation),
		cmocka_unit_test(nobody_adopts_a_number_in_the_middle_of_a_stream),
		cmocka_unit_test(a_genesis_elsewhere_changes_nothing),
		cmocka_unit_test(a_program_that_needs_a_topic_more_does_not_go_on_with_the_file),
		cmocka_unit_test(a_log_that_does_not_begin_with_a_genesis_halts),
		cmocka_unit_test(an_unknown_control_record_halts),
		cmocka_unit_test(a_logic_version_that_is_not_known_halts),
		cmocka_unit_test(every_delivered_record_is_in_the_input_hash),
		cmocka_unit_test(stream_time_is_the_highest_of_what_was_accepted),
		cmocka_unit_test(offsets_may_have_holes_but_never_go_back),
		cmocka_unit_test(a_full_disk_is_retried_from_the_last_commit),
	};
	return cmocka_run_group_tests_name("task_fold", tests, NULL, NULL);
}
