/* What a publisher may send, and what becomes of it: applied, or a dead letter; and what of it goes out with the events that
 * follow. Streams and control records are in test_task_fold.c. Every test folds its records twice (see support/records.h). */
#include "support/records.h"

#include "bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Folds; it must be a dead letter with this reason and nothing else. */
static void rejected(struct records *records, const struct log_record *record, const char *reason)
{
	assert_int_equal(records_fold(records, record), TASK_REJECTED);
	assert_string_equal(task_rejection(records->task)->code, reason);
	assert_int_equal(records_output_count(records), 1);
	assert_string_equal(records_raw_output(records, 0)->topic, "orders.dlq");
	assert_null(records_raw_output(records, 0)->type);
}

/* ---- publishers' records ---- */

static void a_key_that_is_not_the_natural_key_is_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	record.key = (struct log_bytes){"other", 5};
	rejected(&records, &record, "wrong_key");
	record.key = (struct log_bytes){NULL, -1};
	rejected(&records, &record, "wrong_key");
	record.key = (struct log_bytes){"", 0};
	rejected(&records, &record, "wrong_key");
	assert_int_equal(records_number(&records, "SELECT count(*) FROM orders"), 0);
	records_end(&records);
}

static void a_record_in_the_wrong_partition_is_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct order_placed event =
		records_order_placed(&records, records_id(&records, "A", 1, 1, RECORDS_ORDER_PARTITIONS));
	struct log_record record = records_publisher(&records, &order_placed_type, &event);
	rejected(&records, &record, "wrong_partition");
	records_end(&records);
}

static void an_event_that_belongs_to_another_topic_is_an_unknown_schema(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct stock_received event = {.receipt_id = "R-1", .sku = "SKU", .quantity = 1};
	struct log_record record = records_publisher(&records, &stock_received_type, &event);
	rejected(&records, &record, "unknown_schema");
	record.value = (struct log_bytes){"\xc3\x01"
	                                  "12345678"
	                                  "body",
	                                  14};
	rejected(&records, &record, "unknown_schema");
	records_end(&records);
}

static void a_value_in_another_form_is_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	const struct log_bytes values[] = {
		{"\x00\x00\x00\x00\x07"
	         "body",
	         9}, /* a registry's */
		{"{\"order_id\": \"A\"}", 17},
		{"\xc3\x01"
	         "1234567",
	         9}, /* a byte short */
		{"\xc3", 1},
		{"", 0},
		{NULL, -1},
	};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		record.value = values[i];
		rejected(&records, &record, "unknown_form");
		assert_int_equal(records_raw_output(&records, 0)->record.value.len, values[i].len);
	}
	records_end(&records);
}

static void bytes_that_are_not_their_schema_are_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	uint8_t longer[256];
	memcpy(longer, record.value.data, (size_t)record.value.len);
	longer[record.value.len] = 0;
	struct log_record wrong = record;
	wrong.value = (struct log_bytes){longer, record.value.len + 1};
	rejected(&records, &wrong, "malformed");
	for (int32_t len = EVENT_HEADER_BYTES; len < record.value.len; len++) {
		wrong.value = (struct log_bytes){record.value.data, len};
		rejected(&records, &wrong, "malformed");
	}
	records_end(&records);
}

static void a_workers_event_without_its_header_is_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct stock_reserved event = {.order_id = "A-1"};
	struct log_record record = records_publisher(&records, &stock_reserved_type, &event);
	rejected(&records, &record, "not_numbered");
	records_end(&records);
}

static void a_record_over_a_size_limit_is_a_dead_letter_that_keeps_everything(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1), wrong = record;
	char *large = arena_alloc(&records.arena, TASK_VALUE_BYTES_MAX + 1);
	memset(large, 'x', TASK_VALUE_BYTES_MAX + 1);
	wrong.value = (struct log_bytes){large, TASK_VALUE_BYTES_MAX + 1};
	rejected(&records, &wrong, "too_large");
	assert_int_equal(records_raw_output(&records, 0)->record.value.len, TASK_VALUE_BYTES_MAX + 1);
	wrong = record;
	wrong.key = (struct log_bytes){large, TASK_KEY_BYTES_MAX + 1};
	rejected(&records, &wrong, "too_large");
	wrong = records_with_header(&records, &record, "note", large, TASK_HEADERS_BYTES_MAX);
	rejected(&records, &wrong, "too_large");
	wrong = record;
	for (int i = 0; i < TASK_HEADERS_MAX + 1; i++)
		wrong = records_with_header(&records, &wrong, "n", "", 0);
	rejected(&records, &wrong, "too_large");
	assert_int_equal(records_raw_output(&records, 0)->record.header_count, TASK_HEADERS_MAX + 1 + 8);
	records_end(&records);
}

static void a_record_at_the_size_limits_is_taken(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	char *large = arena_alloc(&records.arena, TASK_HEADERS_BYTES_MAX);
	memset(large, 'x', TASK_HEADERS_BYTES_MAX);
	record = records_with_header(&records, &record, "note", large,
	                             TASK_HEADERS_BYTES_MAX - 4 - (TASK_HEADERS_MAX - 1));
	while (record.header_count < TASK_HEADERS_MAX)
		record = records_with_header(&records, &record, "n", "", 0);
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	records_end(&records);
}

/* ---- dead letters ---- */

static void header_is(const struct log_record *record, size_t index, const char *name, const void *value, size_t len)
{
	assert_true(index < record->header_count);
	assert_string_equal(record->headers[index].name, name);
	assert_int_equal(record->headers[index].value.len, len);
	assert_memory_equal(record->headers[index].value.data, value, len);
}

static void text_is(const struct log_record *record, size_t index, const char *name, const char *value)
{
	header_is(record, index, name, value, strlen(value));
}

static void a_dead_letter_is_the_record_with_its_headers_and_springs(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 1);
	records.offset = 0x0102030405;
	records.time_ms = 0x0203040506;
	struct log_record record = records_order(&records, 1);
	record.key = (struct log_bytes){"other", 5};
	record = records_with_header(&records, &record, "ce_id", "abc", 3);
	record = records_with_header(&records, &record, "ce_id", "twice", 5);
	record = records_with_header(&records, &record, "none", NULL, 0);
	rejected(&records, &record, "wrong_key");
	const struct task_output *output = records_raw_output(&records, 0);
	assert_int_equal(output->partition, 1);
	assert_int_equal(output->number, 1);
	assert_memory_equal(output->record.key.data, "other", 5);
	assert_int_equal(output->record.value.len, record.value.len);
	assert_memory_equal(output->record.value.data, record.value.data, (size_t)record.value.len);
	text_is(&output->record, 0, "ce_id", "abc");
	text_is(&output->record, 1, "ce_id", "twice");
	text_is(&output->record, 2, "none", "");
	text_is(&output->record, 3, "kafka_dlt-original-topic", "orders");
	header_is(&output->record, 4, "kafka_dlt-original-partition", "\0\0\0\1", 4);
	header_is(&output->record, 5, "kafka_dlt-original-offset", "\0\0\0\1\2\3\4\5", 8);
	header_is(&output->record, 6, "kafka_dlt-original-timestamp", "\0\0\0\2\3\4\5\6", 8);
	text_is(&output->record, 7, "kafka_dlt-original-consumer-group", "tandem-order");
	text_is(&output->record, 8, "kafka_dlt-exception-fqcn", "wrong_key");
	text_is(&output->record, 9, "kafka_dlt-exception-message", task_rejection(records.task)->text);
	uint8_t stream[26] = {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
	uint64_t chain =
		hash_chain(records_installation, hash_chain_start(records_installation, "order", 1, "orders.dlq", 1), 1,
	                   0, &record.key, record.value.data, (size_t)record.value.len);
	be64_put(stream + 13, chain);
	static const char service[5] = {'o', 'r', 'd', 'e', 'r'}; /* without a NUL */
	memcpy(stream + 21, service, sizeof service);
	header_is(&output->record, 10, "tandem", stream, sizeof stream);
	assert_int_equal(output->record.header_count, 11);
	records_end(&records);
}

static void a_dead_letter_of_nothing_keeps_its_nulls(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = {.key = {NULL, -1}, .value = {NULL, -1}};
	rejected(&records, &record, "unknown_form");
	const struct task_output *output = records_raw_output(&records, 0);
	assert_int_equal(output->record.key.len, -1);
	assert_int_equal(output->record.value.len, -1);
	assert_true(output->chain == hash_chain(records_installation,
	                                        hash_chain_start(records_installation, "order", 0, "orders.dlq", 0), 1,
	                                        0, &record.key, NULL, 0));
	records_end(&records);
}

static void dead_letters_are_one_numbered_stream(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = {.key = {"k", 1}, .value = {"v", 1}};
	uint64_t chain = hash_chain_start(records_installation, "order", 0, "orders.dlq", 0);
	for (uint64_t number = 1; number <= 3; number++) {
		rejected(&records, &record, "unknown_form");
		chain = hash_chain(records_installation, chain, number, 0, &record.key, "v", 1);
		assert_int_equal(records_raw_output(&records, 0)->number, number);
		assert_true(records_raw_output(&records, 0)->chain == chain);
	}
	records_end(&records);
}

/* ---- what goes out ---- */

static const struct log_record *cancelled_at_once(struct records *records, const struct log_record *order,
                                                  const char *order_id)
{
	const struct order_cancel_requested request = {.order_id = order_id, .requested_at = 1};
	assert_int_equal(records_publish(records, &order_cancel_requested_type, &request), TASK_APPLIED);
	assert_int_equal(records_fold(records, order), TASK_APPLIED);
	records_output(records, 0, &order_cancelled_type);
	return &records_raw_output(records, 0)->record;
}

static void events_for_everybody_carry_cloudevents_headers(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record order = records_order(&records, 1);
	const struct log_record *out = cancelled_at_once(&records, &order, records_order_id(&records, 1));
	assert_int_equal(out->header_count, 7);
	assert_string_equal(out->headers[0].name, "tandem");
	text_is(out, 1, "ce_specversion", "1.0");
	text_is(out, 2, "ce_id", "orders-0-2-0");
	text_is(out, 3, "ce_source", "/tandem/000102030405060708090a0b0c0d0e0f/order/0");
	text_is(out, 4, "ce_type", "tandem.OrderCancelled");
	text_is(out, 5, "content-type", "application/avro");
	text_is(out, 6, "ce_sequence", "1");
	records_end(&records);
}

static void events_between_workers_carry_one_header(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	const struct task_output *output = records_raw_output(&records, 0);
	assert_int_equal(output->record.header_count, 1);
	struct header_stream stream;
	assert_int_equal(header_stream_parse(&output->record, &stream), HEADER_VALID);
	assert_string_equal(stream.service, "order");
	assert_int_equal(stream.partition, 0);
	assert_int_equal(stream.number, 1);
	const uint8_t *value = output->record.value.data;
	uint64_t start = hash_chain_start(records_installation, "order", 0, "inventory", output->partition);
	assert_true(stream.chain == hash_chain(records_installation, start, 1, reserve_stock_type.fingerprint,
	                                       &output->record.key, value + EVENT_HEADER_BYTES,
	                                       (size_t)output->record.value.len - EVENT_HEADER_BYTES));
	records_end(&records);
}

static void a_trace_is_carried_on_with_another_span(void **state)
{
	(void)state;
	static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	static const char nobody[] = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
	static const char no_flags[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-\0\0";
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	record = records_with_header(&records, &record, "traceparent", parent, strlen(parent));
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	const struct log_header *trace = header_find(&records_raw_output(&records, 0)->record, "traceparent");
	assert_non_null(trace);
	assert_int_equal(trace->value.len, 55);
	assert_memory_equal(trace->value.data, parent, 36);
	assert_memory_not_equal((const char *)trace->value.data + 36, parent + 36, 16);
	assert_memory_equal((const char *)trace->value.data + 52, "-01", 3);
	record = records_order(&records, 100);
	record = records_with_header(&records, &record, "traceparent", nobody, strlen(nobody));
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	assert_null(header_find(&records_raw_output(&records, 0)->record, "traceparent"));
	record = records_order(&records, 200);
	record = records_with_header(&records, &record, "traceparent", no_flags, sizeof no_flags - 1);
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	assert_null(header_find(&records_raw_output(&records, 0)->record, "traceparent"));
	records_end(&records);
}

static void publishers_cloudevents_headers_are_never_required(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record record = records_order(&records, 1);
	record = records_with_header(&records, &record, "ce_id", "1", 1);
	record = records_with_header(&records, &record, "content-type", "text/html", 9);
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	records_end(&records);
}

/* ---- undone ---- */

static void a_rejected_record_leaves_nothing_but_its_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct log_record order = records_order(&records, 1);
	records_fold(&records, &order);
	struct err err = {0};
	assert_int_equal(task_commit(records.task, &err), OK);
	int64_t sent = records_number(&records, "SELECT sum(number) FROM outbound WHERE topic = 'inventory'");
	struct order_placed other = records_order_placed(&records, records_order_id(&records, 1));
	other.placed_at = 2;
	struct log_record conflict = records_publisher(&records, &order_placed_type, &other);
	rejected(&records, &conflict, "conflict");
	assert_int_equal(task_commit(records.task, &err), OK);
	assert_int_equal(records_number(&records, "SELECT sum(number) FROM outbound WHERE topic = 'inventory'"), sent);
	assert_int_equal(records_number(&records, "SELECT number FROM outbound WHERE topic = 'orders.dlq'"), 1);
	assert_int_equal(records_number(&records, "SELECT placed_at FROM orders"), 1);
	assert_int_equal(records_number(&records, "SELECT rejected FROM meta"), 1);
	records_end(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_that_is_not_the_natural_key_is_a_dead_letter),
		cmocka_unit_test(a_record_in_the_wrong_partition_is_a_dead_letter),
		cmocka_unit_test(an_event_that_belongs_to_another_topic_is_an_unknown_schema),
		cmocka_unit_test(a_value_in_another_form_is_a_dead_letter),
		cmocka_unit_test(bytes_that_are_not_their_schema_are_a_dead_letter),
		cmocka_unit_test(a_workers_event_without_its_header_is_a_dead_letter),
		cmocka_unit_test(a_record_over_a_size_limit_is_a_dead_letter_that_keeps_everything),
		cmocka_unit_test(a_record_at_the_size_limits_is_taken),
		cmocka_unit_test(a_dead_letter_is_the_record_with_its_headers_and_springs),
		cmocka_unit_test(a_dead_letter_of_nothing_keeps_its_nulls),
		cmocka_unit_test(dead_letters_are_one_numbered_stream),
		cmocka_unit_test(events_for_everybody_carry_cloudevents_headers),
		cmocka_unit_test(events_between_workers_carry_one_header),
		cmocka_unit_test(a_trace_is_carried_on_with_another_span),
		cmocka_unit_test(publishers_cloudevents_headers_are_never_required),
		cmocka_unit_test(a_rejected_record_leaves_nothing_but_its_dead_letter),
	};
	return cmocka_run_group_tests_name("task_publishers", tests, NULL, NULL);
}
