/* The inventory worker: stock, reservations and every answer. After each test's last event the stock is checked against
 * receipts and reservations (balanced). The rules of all records are in test_task_fold.c and test_task_publishers.c. */
#include "json.h"
#include "support/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHORTAGES_MAX 20

enum { RESERVED = 1, COMMITTED, RELEASED, REFUSED };

static void begin(struct records *records)
{
	records_begin(records, "inventory", 2);
}

static const char *own_sku(struct records *records, int from)
{
	return records_id(records, "SKU", from, records->partition, RECORDS_INVENTORY_PARTITIONS);
}

static struct stock_received delivery(const char *receipt_id, const char *sku, int64_t quantity)
{
	return (struct stock_received){
		.receipt_id = receipt_id, .sku = sku, .quantity = quantity, .received_at = 1291191960000};
}

static void receive(struct records *records, const char *receipt_id, const char *sku, int64_t quantity)
{
	const struct stock_received event = delivery(receipt_id, sku, quantity);
	assert_int_equal(records_publish(records, &stock_received_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(records), 0);
}

static struct log_record reserve_record(struct records *records, const char *order_id, const struct reserve_line *lines,
                                        size_t count)
{
	struct reserve_stock event = {.order_id = order_id};
	event.lines.items = (struct reserve_line *)lines;
	event.lines.count = count;
	return records_numbered(records, "order", 1, order_id, &reserve_stock_type, &event);
}

/* Every command has one answer, to the partition of `orders` that asked. */
static const void *answered(struct records *records, const struct event_type *type, const char *order_id)
{
	assert_int_equal(records_output_count(records), 1);
	const struct task_output *output = records_raw_output(records, 0);
	assert_string_equal(output->topic, "orders");
	assert_int_equal(output->partition, 1);
	assert_int_equal(output->record.key.len, strlen(order_id));
	assert_memory_equal(output->record.key.data, order_id, strlen(order_id));
	return records_output(records, 0, type);
}

static void reserve(struct records *records, const char *order_id, const struct reserve_line *lines, size_t count)
{
	struct log_record record = reserve_record(records, order_id, lines, count);
	assert_int_equal(records_fold(records, &record), TASK_APPLIED);
}

static void reserved(struct records *records, const char *order_id, const char *sku, int64_t quantity)
{
	const struct reserve_line line = {.sku = sku, .quantity = quantity};
	reserve(records, order_id, &line, 1);
	const struct stock_reserved *answer = answered(records, &stock_reserved_type, order_id);
	assert_string_equal(answer->order_id, order_id);
	assert_int_equal(answer->inventory_partition, records->partition);
}

static struct log_record commit_record(struct records *records, const char *order_id)
{
	const struct commit_stock event = {.order_id = order_id};
	return records_numbered(records, "order", 1, order_id, &commit_stock_type, &event);
}

static struct log_record release_record(struct records *records, const char *order_id)
{
	const struct release_stock event = {.order_id = order_id};
	return records_numbered(records, "order", 1, order_id, &release_stock_type, &event);
}

static void commit(struct records *records, const char *order_id)
{
	struct log_record record = commit_record(records, order_id);
	assert_int_equal(records_fold(records, &record), TASK_APPLIED);
	assert_int_equal(records_output_count(records), 0);
}

static void release(struct records *records, const char *order_id)
{
	struct log_record record = release_record(records, order_id);
	assert_int_equal(records_fold(records, &record), TASK_APPLIED);
	assert_int_equal(records_output_count(records), 0);
}

static void stock_is(struct records *records, const char *sku, int64_t on_hand, int64_t held, int64_t received)
{
	const char *sql =
		arena_format(&records->arena,
	                     "SELECT count(*) FROM stock WHERE sku = '%s' AND on_hand = %lld AND reserved = %lld"
	                     " AND received = %lld",
	                     sku, (long long)on_hand, (long long)held, (long long)received);
	if (records_number(records, sql) != 1)
		fail_msg("expected %s: on hand %lld, reserved %lld, received %lld in\n%s", sku, (long long)on_hand,
		         (long long)held, (long long)received, records_dump(records));
}

static void reservation_is(struct records *records, const char *order_id, int64_t status)
{
	const char *sql =
		arena_format(&records->arena, "SELECT status FROM reservation WHERE order_id = '%s'", order_id);
	assert_int_equal(records_number(records, sql), status);
}

static void balanced(struct records *records)
{
	static const char lines[] =
		"(SELECT ifnull(sum(value), 0) FROM reservation, json_each(lines) WHERE key = stock.sku AND status = %d)";
	char held[256], gone[256];
	snprintf(held, sizeof held, lines, RESERVED);
	snprintf(gone, sizeof gone, lines, COMMITTED);
	const char *sql = arena_format(
		&records->arena,
		"SELECT count(*) FROM stock WHERE NOT (0 <= reserved AND reserved <= on_hand AND reserved ="
		" %s AND received = on_hand + %s AND received = (SELECT sum(quantity) FROM receipt WHERE"
		" receipt.sku = stock.sku))",
		held, gone);
	if (records_number(records, sql) != 0)
		fail_msg("the stock does not balance in\n%s", records_dump(records));
}

static void end(struct records *records)
{
	balanced(records);
	records_end(records);
}

/* ---- StockReceived ---- */

static void receipts_add_up(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1), *other = own_sku(&records, 100);
	receive(&records, "R-1", sku, 10);
	receive(&records, "R-2", sku, 5);
	receive(&records, "R-1", other, 1); /* the natural key is receipt and SKU */
	stock_is(&records, sku, 15, 0, 15);
	stock_is(&records, other, 1, 0, 1);
	end(&records);
}

static void not_taken(struct records *records, const struct stock_received *event, const char *reason)
{
	assert_int_equal(records_publish(records, &stock_received_type, event), TASK_REJECTED);
	assert_string_equal(task_rejection(records->task)->code, reason);
	assert_int_equal(records_output_count(records), 1);
	assert_string_equal(records_raw_output(records, 0)->topic, "inventory.dlq");
	assert_int_equal(records_raw_output(records, 0)->partition, records->partition);
}

static void the_same_receipt_again_changes_nothing(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1);
	receive(&records, "R-1", sku, 10);
	receive(&records, "R-1", sku, 10);
	stock_is(&records, sku, 10, 0, 10);
	struct stock_received other = delivery("R-1", sku, 11);
	not_taken(&records, &other, "conflict");
	other = delivery("R-1", sku, 10);
	other.received_at++;
	not_taken(&records, &other, "conflict");
	stock_is(&records, sku, 10, 0, 10);
	end(&records);
}

static void what_is_no_receipt_is_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	char longest[66] = {0};
	memset(longest, 'R', 65);
	begin(&records);
	const char *sku = own_sku(&records, 1);
	static const int64_t quantities[] = {0, -1, INT64_MIN};
	for (size_t i = 0; i < 3; i++) {
		const struct stock_received event = delivery("R-1", sku, quantities[i]);
		not_taken(&records, &event, "invalid_quantity");
	}
	const char *const ids[] = {"", "R\t1", "\xc3\xa9", longest};
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		const struct stock_received event = delivery(ids[i], sku, 1);
		not_taken(&records, &event, "invalid_id");
	}
	const char *accented = records_id(&records, "\xc3\xa9", 1, records.partition, RECORDS_INVENTORY_PARTITIONS);
	const struct stock_received event = delivery("R-1", accented, 1);
	not_taken(&records, &event, "invalid_id");
	assert_int_equal(
		records_number(&records, "SELECT (SELECT count(*) FROM stock) + (SELECT count(*) FROM receipt)"), 0);
	end(&records);
}

static void stock_ends_at_two_to_the_63_minus_one(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1);
	receive(&records, "R-1", sku, INT64_MAX - 1);
	const struct stock_received event = delivery("R-2", sku, 2);
	not_taken(&records, &event, "stock_overflow");
	receive(&records, "R-3", sku, 1);
	reserved(&records, "A-1", sku, INT64_MAX);
	commit(&records, "A-1");
	stock_is(&records, sku, 0, 0, INT64_MAX);
	/* What was committed may come back, so it counts. */
	const struct stock_received more = delivery("R-4", sku, 1);
	not_taken(&records, &more, "stock_overflow");
	release(&records, "A-1");
	stock_is(&records, sku, INT64_MAX, 0, INT64_MAX);
	end(&records);
}

/* ---- ReserveStock ---- */

static void all_lines_are_reserved(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *a = own_sku(&records, 1), *b = records_id(&records, "T", 1, 2, RECORDS_INVENTORY_PARTITIONS);
	receive(&records, "R-1", a, 10);
	receive(&records, "R-1", b, 3);
	const struct reserve_line lines[] = {{.sku = a, .quantity = 4}, {.sku = b, .quantity = 3}};
	reserve(&records, "A-1", lines, 2);
	answered(&records, &stock_reserved_type, "A-1");
	stock_is(&records, a, 10, 4, 10);
	stock_is(&records, b, 3, 3, 3);
	reservation_is(&records, "A-1", RESERVED);
	reserved(&records, "A-2", a, 6);
	stock_is(&records, a, 10, 10, 10);
	end(&records);
}

static void or_none_is(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *a = own_sku(&records, 1), *b = records_id(&records, "T", 1, 2, RECORDS_INVENTORY_PARTITIONS);
	receive(&records, "R-1", a, 10);
	receive(&records, "R-1", b, 3);
	reserved(&records, "A-0", b, 1);
	const struct reserve_line lines[] = {{.sku = a, .quantity = 4}, {.sku = b, .quantity = 3}};
	reserve(&records, "A-1", lines, 2);
	const struct stock_rejected *answer = answered(&records, &stock_rejected_type, "A-1");
	assert_string_equal(answer->order_id, "A-1");
	assert_int_equal(answer->inventory_partition, 2);
	assert_int_equal(answer->reason, REJECT_REASON_INSUFFICIENT_STOCK);
	assert_int_equal(answer->shortage_count, 1);
	assert_int_equal(answer->shortages.count, 1);
	const struct shortage *shortage = &answer->shortages.items[0];
	assert_string_equal(shortage->sku, b);
	assert_true(shortage->known);
	assert_int_equal(shortage->wanted, 3);
	assert_int_equal(shortage->on_hand, 3);
	assert_int_equal(shortage->reserved, 1);
	stock_is(&records, a, 10, 0, 10);
	reservation_is(&records, "A-1", REFUSED);
	assert_int_equal(records_number(&records, "SELECT count(lines) FROM reservation WHERE order_id = 'A-1'"), 0);
	end(&records);
}

static void an_unknown_sku_is_named(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *a = own_sku(&records, 1), *b = records_id(&records, "T", 1, 2, RECORDS_INVENTORY_PARTITIONS);
	receive(&records, "R-1", a, 1);
	const struct reserve_line lines[] = {{.sku = a, .quantity = 2}, {.sku = b, .quantity = 1}};
	reserve(&records, "A-1", lines, 2);
	const struct stock_rejected *answer = answered(&records, &stock_rejected_type, "A-1");
	assert_int_equal(answer->reason, REJECT_REASON_UNKNOWN_SKU);
	assert_int_equal(answer->shortage_count, 2);
	assert_string_equal(answer->shortages.items[0].sku, a);
	assert_true(answer->shortages.items[0].known);
	assert_string_equal(answer->shortages.items[1].sku, b);
	assert_false(answer->shortages.items[1].known);
	assert_int_equal(answer->shortages.items[1].on_hand, 0);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM stock"), 1);
	end(&records);
}

static void at_most_20_shortages_are_named_and_all_are_counted(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	struct reserve_line lines[SHORTAGES_MAX + 5];
	size_t count = 0;
	for (int i = 1000; count < SHORTAGES_MAX + 5; i++) {
		char *sku = arena_format(&records.arena, "S%d", i);
		if (log_partition_of(sku, strlen(sku), RECORDS_INVENTORY_PARTITIONS) == records.partition)
			lines[count++] = (struct reserve_line){.sku = sku, .quantity = INT64_MAX};
	}
	reserve(&records, "A-1", lines, count);
	const struct stock_rejected *answer = answered(&records, &stock_rejected_type, "A-1");
	assert_int_equal(answer->shortages.count, SHORTAGES_MAX);
	assert_int_equal(answer->shortage_count, SHORTAGES_MAX + 5);
	for (size_t i = 0; i < SHORTAGES_MAX; i++)
		assert_string_equal(answer->shortages.items[i].sku, lines[i].sku);
	reserve(&records, "A-2", lines, SHORTAGES_MAX);
	answer = answered(&records, &stock_rejected_type, "A-2");
	assert_int_equal(answer->shortages.count, SHORTAGES_MAX);
	assert_int_equal(answer->shortage_count, SHORTAGES_MAX);
	end(&records);
}

static void a_second_command_for_an_order_gets_the_first_outcome(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1);
	const struct reserve_line line = {.sku = sku, .quantity = 5};
	reserve(&records, "A-1", &line, 1);
	assert_int_equal(((const struct stock_rejected *)answered(&records, &stock_rejected_type, "A-1"))->reason,
	                 REJECT_REASON_UNKNOWN_SKU);
	receive(&records, "R-1", sku, 10); /* there would be enough now */
	reserve(&records, "A-1", &line, 1);
	const struct stock_rejected *answer = answered(&records, &stock_rejected_type, "A-1");
	assert_int_equal(answer->reason, REJECT_REASON_UNKNOWN_SKU);
	assert_int_equal(answer->shortages.items[0].on_hand, 0);
	stock_is(&records, sku, 10, 0, 10);

	reserved(&records, "A-2", sku, 5);
	reserved(&records, "A-2", sku, 5);
	stock_is(&records, sku, 10, 5, 10);
	commit(&records, "A-2");
	reserved(&records, "A-2", sku, 5);
	stock_is(&records, sku, 5, 0, 10);
	release(&records, "A-2");
	reserved(&records, "A-2", sku, 5);
	stock_is(&records, sku, 10, 0, 10);
	reservation_is(&records, "A-2", RELEASED);
	end(&records);
}

static void a_command_that_does_not_fit_halts(struct records *records, const struct reserve_line *lines, size_t count,
                                              const char *code)
{
	begin(records);
	struct log_record record = reserve_record(records, "A-1", lines, count);
	assert_string_equal(records_refused(records, &record), code);
	records_drop(records);
}

static void lines_that_this_partition_does_not_own_halt(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	struct arena arena = {0};
	const char *foreign = records_id(&records, "SKU", 1, 3, RECORDS_INVENTORY_PARTITIONS);
	struct reserve_line line = {.sku = arena_copy(&arena, foreign, strlen(foreign)), .quantity = 1};
	records_drop(&records);
	a_command_that_does_not_fit_halts(&records, &line, 1, "not_owned");
	arena_fini(&arena);
}

static void lines_that_are_not_in_order_halt(void **state)
{
	(void)state;
	struct records records;
	struct arena arena = {0};
	begin(&records);
	const char *sku = own_sku(&records, 1);
	struct reserve_line lines[2] = {{.sku = arena_copy(&arena, sku, strlen(sku)), .quantity = 1}};
	lines[1] = lines[0];
	records_drop(&records);
	a_command_that_does_not_fit_halts(&records, lines, 2, "malformed_command"); /* twice the same */
	a_command_that_does_not_fit_halts(&records, lines, 0, "malformed_command");
	lines[0].quantity = 0;
	a_command_that_does_not_fit_halts(&records, lines, 1, "malformed_command");
	arena_fini(&arena);
}

/* ---- a reservation's lines ---- */

static int lines_kept(struct records *records, const char *order_id, const char *text)
{
	return (int)records_number(records, arena_format(&records->arena,
	                                                 "SELECT count(*) FROM reservation WHERE order_id = '%s' AND"
	                                                 " lines IS %s",
	                                                 order_id, text));
}

/* As SQLite's json_each reads it, and jansson writes it. */
static const char *as_json(struct records *records, const struct reserve_line *lines, size_t count)
{
	json_t *object = json_object();
	for (size_t i = 0; i < count; i++)
		assert_int_equal(json_object_set_new(object, lines[i].sku, json_integer(lines[i].quantity)), 0);
	char *text = json_dumps(object, JSON_COMPACT);
	assert_non_null(text);
	const char *quoted = arena_format(&records->arena, "'%s'", text);
	free(text);
	json_decref(object);
	return quoted;
}

static void lines_are_kept_as_json_until_they_are_released(void **state)
{
	(void)state;
	static const char *const skus[] = {
		" ",
		"A",
		"B \"",
		"C\\",
		"D\\\"\\\\\" ",
		"E/{}:,",
		"F012345678901234567890123456789012345678901234567890123",
	};
	struct records records;
	struct reserve_line lines[sizeof skus / sizeof *skus];
	size_t count = sizeof skus / sizeof *skus;
	begin(&records);
	for (size_t i = 0; i < count; i++) {
		lines[i].sku = records_id(&records, skus[i], 1000000, records.partition, RECORDS_INVENTORY_PARTITIONS);
		lines[i].quantity = i ? INT64_MAX >> 9 * i : INT64_MAX;
		receive(&records, "R-1", lines[i].sku, lines[i].quantity);
	}
	const char *text = as_json(&records, lines, count);
	reserve(&records, "A-1", lines, count);
	assert_int_equal(lines_kept(&records, "A-1", text), 1);
	for (size_t i = 0; i < count; i++)
		stock_is(&records, lines[i].sku, lines[i].quantity, lines[i].quantity, lines[i].quantity);
	commit(&records, "A-1");
	assert_int_equal(lines_kept(&records, "A-1", text), 1);
	release(&records, "A-1");
	assert_int_equal(lines_kept(&records, "A-1", "NULL"), 1);
	for (size_t i = 0; i < count; i++)
		stock_is(&records, lines[i].sku, lines[i].quantity, 0, lines[i].quantity);
	end(&records);
}

/* ---- CommitStock, ReleaseStock ---- */

static void what_is_committed_leaves_the_stock(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1);
	receive(&records, "R-1", sku, 10);
	reserved(&records, "A-1", sku, 4);
	commit(&records, "A-1");
	stock_is(&records, sku, 6, 0, 10);
	reservation_is(&records, "A-1", COMMITTED);
	end(&records);
}

static void what_is_released_is_free_again(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1);
	receive(&records, "R-1", sku, 10);
	reserved(&records, "A-1", sku, 4);
	reserved(&records, "A-2", sku, 6);
	release(&records, "A-1");
	stock_is(&records, sku, 10, 6, 10);
	reservation_is(&records, "A-1", RELEASED);
	reserved(&records, "A-3", sku, 4);
	end(&records);
}

static void what_was_committed_comes_back(void **state)
{
	(void)state;
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1);
	receive(&records, "R-1", sku, 10);
	reserved(&records, "A-1", sku, 10);
	commit(&records, "A-1");
	release(&records, "A-1");
	stock_is(&records, sku, 10, 0, 10);
	reservation_is(&records, "A-1", RELEASED);
	reserved(&records, "A-2", sku, 10);
	end(&records);
}

enum command { COMMIT, RELEASE };

static void illegal(const enum command *commands, size_t count, bool refused)
{
	struct records records;
	begin(&records);
	const char *sku = own_sku(&records, 1);
	receive(&records, "R-1", sku, 10);
	const struct reserve_line line = {.sku = sku, .quantity = refused ? 11 : 5};
	reserve(&records, "A-1", &line, 1);
	for (size_t i = 0; i < count; i++) {
		struct log_record record =
			commands[i] == COMMIT ? commit_record(&records, "A-1") : release_record(&records, "A-1");
		if (i + 1 < count)
			assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
		else
			assert_string_equal(records_refused(&records, &record), "illegal_transition");
	}
	records_drop(&records);
}

static void what_does_not_fit_the_reservation_halts(void **state)
{
	(void)state;
	illegal((enum command[]){COMMIT, COMMIT}, 2, false);
	illegal((enum command[]){RELEASE, COMMIT}, 2, false);
	illegal((enum command[]){RELEASE, RELEASE}, 2, false);
	illegal((enum command[]){COMMIT, RELEASE, RELEASE}, 3, false);
	illegal((enum command[]){COMMIT, RELEASE, COMMIT}, 3, false);
	illegal((enum command[]){COMMIT}, 1, true);
	illegal((enum command[]){RELEASE}, 1, true);
	struct records records;
	begin(&records);
	struct log_record record = commit_record(&records, "A-9"); /* nobody reserved */
	assert_string_equal(records_refused(&records, &record), "illegal_transition");
	records_drop(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(receipts_add_up),
		cmocka_unit_test(the_same_receipt_again_changes_nothing),
		cmocka_unit_test(what_is_no_receipt_is_a_dead_letter),
		cmocka_unit_test(stock_ends_at_two_to_the_63_minus_one),
		cmocka_unit_test(all_lines_are_reserved),
		cmocka_unit_test(or_none_is),
		cmocka_unit_test(an_unknown_sku_is_named),
		cmocka_unit_test(at_most_20_shortages_are_named_and_all_are_counted),
		cmocka_unit_test(a_second_command_for_an_order_gets_the_first_outcome),
		cmocka_unit_test(lines_that_this_partition_does_not_own_halt),
		cmocka_unit_test(lines_that_are_not_in_order_halt),
		cmocka_unit_test(lines_are_kept_as_json_until_they_are_released),
		cmocka_unit_test(what_is_committed_leaves_the_stock),
		cmocka_unit_test(what_is_released_is_free_again),
		cmocka_unit_test(what_was_committed_comes_back),
		cmocka_unit_test(what_does_not_fit_the_reservation_halts),
	};
	return cmocka_run_group_tests_name("inventory", tests, NULL, NULL);
}
