/* The order worker: every transition of an order and every rule of OrderPlaced and OrderCancelRequested. The rules of all
 * records are in test_task_fold.c and test_task_publishers.c. */
#include "support/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LINES_MAX 4096
#define TEXT_MAX  256

static const struct order_line one_line[] = {{.sku = "SKU", .quantity = 2, .unit_price_minor = 150}};

static struct order_placed an_order(const char *order_id, const struct order_line *lines, size_t count)
{
	struct order_placed event = {.order_id = order_id, .currency = "GBP", .placed_at = 1291191960000};
	event.lines.items = (struct order_line *)lines;
	event.lines.count = count;
	return event;
}

static const char *own_id(struct records *records, int from)
{
	return records_id(records, "A", from, records->partition, RECORDS_ORDER_PARTITIONS);
}

static const char *sku_of(struct records *records, int32_t partition)
{
	return records_id(records, "SKU", 1, partition, RECORDS_INVENTORY_PARTITIONS);
}

/* Places an order with one line in each of the first `groups` inventory partitions. Its id. */
static const char *place(struct records *records, int32_t groups)
{
	struct order_line lines[RECORDS_INVENTORY_PARTITIONS];
	const char *order_id = own_id(records, 1);
	for (int32_t p = 0; p < groups; p++)
		lines[p] = (struct order_line){.sku = sku_of(records, p), .quantity = p + 1, .unit_price_minor = 100};
	const struct order_placed event = an_order(order_id, lines, (size_t)groups);
	assert_int_equal(records_publish(records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(records), groups);
	return order_id;
}

static enum task_verdict reserved(struct records *records, const char *order_id, int32_t partition)
{
	const struct stock_reserved event = {.order_id = order_id, .inventory_partition = partition};
	return records_send(records, partition, order_id, &stock_reserved_type, &event);
}

static enum task_verdict refused(struct records *records, const char *order_id, int32_t partition)
{
	static struct shortage shortages[] = {{.sku = "SKU", .known = true, .wanted = 5, .on_hand = 3, .reserved = 1}};
	struct stock_rejected event = {.order_id = order_id,
	                               .inventory_partition = partition,
	                               .reason = REJECT_REASON_INSUFFICIENT_STOCK,
	                               .shortage_count = 1};
	event.shortages.items = shortages;
	event.shortages.count = 1;
	return records_send(records, partition, order_id, &stock_rejected_type, &event);
}

static enum task_verdict cancel(struct records *records, const char *order_id)
{
	const struct order_cancel_requested event = {.order_id = order_id, .requested_at = 7};
	return records_publish(records, &order_cancel_requested_type, &event);
}

static void order_is(struct records *records, int64_t status, const char *groups)
{
	const char *sql =
		arena_format(&records->arena, "SELECT count(*) FROM orders WHERE status = %lld AND groups = '%s'",
	                     (long long)status, groups);
	if (records_number(records, sql) != 1)
		fail_msg("expected status %lld, groups %s in\n%s", (long long)status, groups, records_dump(records));
}

enum { PENDING = 1, CONFIRMED, REJECTED, CANCELLED };

/* Output i is this command, to this partition, with the order as key. */
static void told(struct records *records, size_t i, const struct event_type *type, int32_t partition,
                 const char *order_id)
{
	const struct task_output *output = records_raw_output(records, i);
	records_output(records, i, type);
	assert_string_equal(output->topic, "inventory");
	assert_int_equal(output->partition, partition);
	assert_int_equal(output->record.key.len, strlen(order_id));
	assert_memory_equal(output->record.key.data, order_id, strlen(order_id));
}

static const void *everybody_told(struct records *records, size_t i, const struct event_type *type)
{
	const struct task_output *output = records_raw_output(records, i);
	assert_int_equal(records_output_count(records), i + 1);
	assert_string_equal(output->topic, "order-events");
	assert_int_equal(output->partition, records->partition);
	return records_output(records, i, type);
}

/* ---- OrderPlaced ---- */

static void lines_are_grouped_by_partition_and_summed_by_sku(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *a = sku_of(&records, 1), *b = records_id(&records, "T", 1, 1, RECORDS_INVENTORY_PARTITIONS),
		   *c = sku_of(&records, 3);
	const struct order_line lines[] = {{.sku = b, .quantity = 4, .unit_price_minor = 1},
	                                   {.sku = c, .quantity = 1, .unit_price_minor = 0},
	                                   {.sku = a, .quantity = 2, .unit_price_minor = 10},
	                                   {.sku = b, .quantity = 3, .unit_price_minor = 2}};
	const char *order_id = own_id(&records, 1);
	const struct order_placed event = an_order(order_id, lines, 4);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 2);
	told(&records, 0, &reserve_stock_type, 1, order_id);
	told(&records, 1, &reserve_stock_type, 3, order_id);
	const struct reserve_stock *first = records_output(&records, 0, &reserve_stock_type);
	assert_string_equal(first->order_id, order_id);
	assert_int_equal(first->lines.count, 2);
	assert_string_equal(first->lines.items[0].sku, a);
	assert_int_equal(first->lines.items[0].quantity, 2);
	assert_string_equal(first->lines.items[1].sku, b);
	assert_int_equal(first->lines.items[1].quantity, 7);
	order_is(&records, PENDING, "1W 3W");
	assert_int_equal(records_number(&records, "SELECT total_minor FROM orders"), 4 + 20 + 6);
	assert_int_equal(records_number(&records, "SELECT line_count FROM orders"), 4);
	assert_int_equal(records_number(&records, "SELECT placed_at FROM orders"), 1291191960000);
	assert_int_equal(records_number(&records, "SELECT decided_offset IS NULL FROM orders"), 1);
	records_end(&records);
}

static void skus_that_differ_in_case_are_different(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct order_line lines[] = {{.sku = "15056bl", .quantity = 1},
	                                   {.sku = "15056BL", .quantity = 2},
	                                   {.sku = "BANK CHARGES", .quantity = 3}};
	const struct order_placed event = an_order(own_id(&records, 1), lines, 3);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	int64_t units = 0;
	size_t count = 0;
	for (size_t i = 0; i < records_output_count(&records); i++) {
		const struct reserve_stock *command = records_output(&records, i, &reserve_stock_type);
		for (size_t l = 0; l < command->lines.count; l++, count++)
			units += command->lines.items[l].quantity;
	}
	assert_int_equal(count, 3);
	assert_int_equal(units, 6);
	records_end(&records);
}

static void not_taken(struct records *records, const struct order_placed *event, const char *reason)
{
	struct log_record record = records_publisher(records, &order_placed_type, event);
	assert_int_equal(records_fold(records, &record), TASK_REJECTED);
	assert_string_equal(task_rejection(records->task)->code, reason);
	assert_int_equal(records_output_count(records), 1);
	assert_string_equal(records_raw_output(records, 0)->topic, "orders.dlq");
	assert_int_equal(records_number(records, "SELECT count(*) FROM orders"), 0);
}

static void an_order_needs_lines_and_not_too_many(void **state)
{
	(void)state;
	struct records records;
	static struct order_line lines[LINES_MAX + 1];
	records_begin(&records, "order", 0);
	for (size_t i = 0; i < LINES_MAX + 1; i++)
		lines[i] = one_line[0];
	struct order_placed event = an_order(own_id(&records, 1), lines, 0);
	not_taken(&records, &event, "invalid_lines");
	event.lines.count = LINES_MAX + 1;
	not_taken(&records, &event, "invalid_lines");
	event.lines.count = LINES_MAX;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 1);
	records_end(&records);
}

static void the_largest_order_gives_commands_that_fit(void **state)
{
	(void)state;
	struct records records;
	static struct order_line lines[LINES_MAX];
	records_begin(&records, "order", 0);
	for (size_t i = 0; i < LINES_MAX; i++) {
		char *sku = arena_format(&records.arena, "%064zu", i);
		lines[i] = (struct order_line){.sku = sku, .quantity = INT64_MAX / LINES_MAX};
	}
	const struct order_placed event = an_order(own_id(&records, 1), lines, LINES_MAX);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), RECORDS_INVENTORY_PARTITIONS);
	for (size_t i = 0; i < records_output_count(&records); i++)
		assert_true(records_raw_output(&records, i)->record.value.len < TASK_VALUE_BYTES_MAX);
	records_end(&records);
}

static void a_quantity_below_one_is_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct order_line lines[] = {one_line[0], one_line[0]};
	const struct order_placed event = an_order(own_id(&records, 1), lines, 2);
	static const int64_t wrong[] = {0, -1, INT64_MIN};
	for (size_t i = 0; i < 3; i++) {
		lines[1].quantity = wrong[i];
		not_taken(&records, &event, "invalid_quantity");
	}
	lines[1].quantity = 1;
	lines[1].unit_price_minor = -1;
	not_taken(&records, &event, "invalid_price");
	records_end(&records);
}

static void amounts_end_at_two_to_the_63_minus_one(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct order_line lines[] = {{.sku = "SKU", .quantity = INT64_MAX, .unit_price_minor = 2},
	                             {.sku = "SKU", .quantity = 1, .unit_price_minor = 0}};
	struct order_placed event = an_order(own_id(&records, 1), lines, 1);
	not_taken(&records, &event, "amount_overflow"); /* a line */
	lines[0].unit_price_minor = 1;
	event.lines.count = 2;
	not_taken(&records, &event, "amount_overflow"); /* the units */
	lines[0].quantity = INT64_MAX - 1;
	lines[1].unit_price_minor = 2;
	not_taken(&records, &event, "amount_overflow"); /* the total */
	lines[1].unit_price_minor = 1;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_number(&records, "SELECT total_minor FROM orders"), INT64_MAX);
	const struct reserve_stock *command = records_output(&records, 0, &reserve_stock_type);
	assert_int_equal(command->lines.items[0].quantity, INT64_MAX);
	records_end(&records);
}

static void an_order_has_one_currency(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct order_line lines[] = {one_line[0], one_line[0]};
	struct order_placed event = an_order(own_id(&records, 1), lines, 2);
	lines[1].currency = "EUR";
	not_taken(&records, &event, "mixed_currency");
	static const char *const wrong[] = {"", "GB", "gbp", "GBPX", "G1P", "\xc2\xa3"};
	lines[1].currency = NULL;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		event.currency = wrong[i];
		not_taken(&records, &event, "invalid_currency");
	}
	event.currency = "EUR";
	lines[1].currency = "EUR";
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	records_end(&records);
}

static void identifiers_are_1_to_64_printable_ascii_bytes(void **state)
{
	(void)state;
	struct records records;
	char longest[66] = {0};
	memset(longest, 'x', 65);
	static const char *const wrong[] = {"", "A\n", "\x7f", "caf\xc3\xa9"};
	records_begin(&records, "order", log_partition_of("", 0, RECORDS_ORDER_PARTITIONS));
	struct order_placed empty = an_order("", one_line, 1);
	not_taken(&records, &empty, "invalid_id");
	struct order_line line = one_line[0];
	struct order_placed event = an_order(own_id(&records, 1), &line, 1);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		line.sku = wrong[i];
		not_taken(&records, &event, "invalid_id");
	}
	line.sku = longest;
	not_taken(&records, &event, "invalid_id");
	longest[64] = 0;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	records_end(&records);
}

static void a_free_text_has_a_limit(void **state)
{
	(void)state;
	struct records records;
	char text[TEXT_MAX + 2] = {0};
	records_begin(&records, "order", 0);
	memset(text, 'x', TEXT_MAX + 1);
	struct order_placed event = an_order(own_id(&records, 1), one_line, 1);
	event.customer_id = text;
	not_taken(&records, &event, "too_large");
	struct order_cancel_requested request = {.order_id = event.order_id, .reason = text};
	assert_int_equal(records_publish(&records, &order_cancel_requested_type, &request), TASK_REJECTED);
	text[TEXT_MAX] = 0;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_publish(&records, &order_cancel_requested_type, &request), TASK_APPLIED);
	records_end(&records);
}

static void the_same_order_again_changes_nothing(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct order_placed event = an_order(own_id(&records, 1), one_line, 1);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	const int32_t source = records_raw_output(&records, 0)->partition;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	assert_int_equal(reserved(&records, event.order_id, source), TASK_APPLIED);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	assert_int_equal(records_number(&records, "SELECT status FROM orders"), CONFIRMED);
	records_end(&records);
}

static void the_same_order_with_other_content_is_a_conflict(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct order_placed event = an_order(own_id(&records, 1), one_line, 1);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	struct order_line line = one_line[0];
	struct order_placed other[4] = {event, event, event, event};
	other[0].placed_at++;
	other[1].customer_id = "";
	other[2].currency = "EUR";
	line.quantity++;
	other[3].lines.items = &line;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(records_publish(&records, &order_placed_type, &other[i]), TASK_REJECTED);
		assert_string_equal(task_rejection(records.task)->code, "conflict");
		assert_int_equal(records_output_count(&records), 1);
	}
	assert_int_equal(records_number(&records, "SELECT total_minor FROM orders"), 300);
	records_end(&records);
}

static void a_uuid_is_kept_in_its_16_bytes_and_comes_out_as_text(void **state)
{
	(void)state;
	struct records records;
	static const char uuid[] = "0188c1a2-7b3c-7d4e-8f90-123456789abc";
	records_begin(&records, "order", log_partition_of(uuid, strlen(uuid), RECORDS_ORDER_PARTITIONS));
	const struct order_placed event = an_order(uuid, one_line, 1);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(
		records_number(&records, "SELECT length(order_id) FROM orders WHERE typeof(order_id) = 'blob'"), 16);
	const struct reserve_stock *command = records_output(&records, 0, &reserve_stock_type);
	assert_string_equal(command->order_id, uuid);
	assert_int_equal(reserved(&records, uuid, records_raw_output(&records, 0)->partition), TASK_APPLIED);
	const struct order_confirmed *confirmed = everybody_told(&records, 1, &order_confirmed_type);
	assert_string_equal(confirmed->order_id, uuid);
	records_end(&records);
}

/* ---- answers ---- */

static void an_order_is_confirmed_when_every_group_is_reserved(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 1);
	const char *order_id = place(&records, 3);
	assert_int_equal(reserved(&records, order_id, 2), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	assert_int_equal(reserved(&records, order_id, 0), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	order_is(&records, PENDING, "0R 1W 2R");
	int64_t offset = records.offset;
	assert_int_equal(reserved(&records, order_id, 1), TASK_APPLIED);
	for (int32_t p = 0; p < 3; p++)
		told(&records, (size_t)p, &commit_stock_type, p, order_id);
	const struct order_confirmed *event = everybody_told(&records, 3, &order_confirmed_type);
	assert_string_equal(event->order_id, order_id);
	assert_string_equal(event->currency, "GBP");
	assert_int_equal(event->total_minor, 600);
	assert_int_equal(event->line_count, 3);
	assert_int_equal(event->placed_at, 1291191960000);
	order_is(&records, CONFIRMED, "0R 1R 2R");
	assert_int_equal(records_number(&records, "SELECT decided_offset FROM orders"), offset);
	records_end(&records);
}

static void one_refusal_rejects_the_order_and_releases_what_was_reserved(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = place(&records, 4);
	assert_int_equal(reserved(&records, order_id, 0), TASK_APPLIED);
	assert_int_equal(reserved(&records, order_id, 3), TASK_APPLIED);
	assert_int_equal(refused(&records, order_id, 1), TASK_APPLIED);
	told(&records, 0, &release_stock_type, 0, order_id);
	told(&records, 1, &release_stock_type, 3, order_id);
	const struct order_rejected *event = everybody_told(&records, 2, &order_rejected_type);
	assert_int_equal(event->inventory_partition, 1);
	assert_int_equal(event->reason, REJECT_REASON_INSUFFICIENT_STOCK);
	assert_int_equal(event->shortage_count, 1);
	assert_int_equal(event->shortages.count, 1);
	assert_int_equal(event->shortages.items[0].wanted, 5);
	assert_int_equal(event->shortages.items[0].on_hand, 3);
	assert_int_equal(event->shortages.items[0].reserved, 1);
	order_is(&records, REJECTED, "0L 1X 2W 3L");
	/* Too late: released as well, and nobody is told twice. */
	assert_int_equal(reserved(&records, order_id, 2), TASK_APPLIED);
	told(&records, 0, &release_stock_type, 2, order_id);
	assert_int_equal(records_output_count(&records), 1);
	order_is(&records, REJECTED, "0L 1X 2L 3L");
	records_end(&records);
}

static void a_second_refusal_changes_nothing_more(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = place(&records, 2);
	assert_int_equal(refused(&records, order_id, 0), TASK_APPLIED);
	int64_t decided = records_number(&records, "SELECT decided_offset FROM orders");
	assert_int_equal(refused(&records, order_id, 1), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	order_is(&records, REJECTED, "0X 1X");
	assert_int_equal(records_number(&records, "SELECT decided_offset FROM orders"), decided);
	records_end(&records);
}

static void the_same_answer_under_a_new_number_changes_nothing(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = place(&records, 1);
	assert_int_equal(reserved(&records, order_id, 0), TASK_APPLIED);
	assert_int_equal(reserved(&records, order_id, 0), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	order_is(&records, CONFIRMED, "0R");
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	assert_int_equal(reserved(&records, order_id, 0), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	order_is(&records, CANCELLED, "0L");
	records_end(&records);
}

static void an_answer_that_contradicts_the_one_before_halts(void **state)
{
	(void)state;
	struct records records;
	for (int first = 0; first < 3; first++) {
		records_begin(&records, "order", 0);
		const char *order_id = place(&records, 2);
		assert_int_equal(first ? reserved(&records, order_id, 0) : refused(&records, order_id, 0),
		                 TASK_APPLIED);
		if (first == 2)
			assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
		const struct stock_reserved yes = {.order_id = order_id};
		const struct stock_rejected no = {.order_id = order_id, .reason = REJECT_REASON_UNKNOWN_SKU};
		struct log_record record =
			first ? records_numbered(&records, "inventory", 0, order_id, &stock_rejected_type, &no)
			      : records_numbered(&records, "inventory", 0, order_id, &stock_reserved_type, &yes);
		assert_string_equal(records_refused(&records, &record), "contradiction");
		records_drop(&records);
	}
}

static void an_answer_nobody_asked_for_halts(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const struct stock_reserved nobodys = {.order_id = "A-1"};
	struct log_record record = records_numbered(&records, "inventory", 0, "A-1", &stock_reserved_type, &nobodys);
	assert_string_equal(records_refused(&records, &record), "unknown_order");
	records_drop(&records);

	records_begin(&records, "order", 0); /* a partition that has no line of it */
	const char *order_id = place(&records, 2);
	const struct stock_reserved other = {.order_id = order_id, .inventory_partition = 3};
	record = records_numbered(&records, "inventory", 3, order_id, &stock_reserved_type, &other);
	assert_string_equal(records_refused(&records, &record), "unknown_order");
	records_drop(&records);

	records_begin(&records, "order", 0); /* one that answers for another */
	order_id = place(&records, 2);
	const struct stock_reserved wrong = {.order_id = order_id, .inventory_partition = 1};
	record = records_numbered(&records, "inventory", 0, order_id, &stock_reserved_type, &wrong);
	assert_string_equal(records_refused(&records, &record), "unknown_order");
	records_drop(&records);
}

/* ---- OrderCancelRequested ---- */

static const struct order_cancelled *is_cancelled(struct records *records, size_t i, enum cancelled_from was)
{
	const struct order_cancelled *event = everybody_told(records, i, &order_cancelled_type);
	assert_int_equal(event->was, was);
	return event;
}

static void a_pending_order_that_is_cancelled_releases_now_and_later(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = place(&records, 3);
	assert_int_equal(reserved(&records, order_id, 1), TASK_APPLIED);
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	told(&records, 0, &release_stock_type, 1, order_id);
	const struct order_cancelled *event = is_cancelled(&records, 1, CANCELLED_FROM_PENDING);
	assert_string_equal(event->order_id, order_id);
	assert_int_equal(event->total_minor, 600);
	assert_string_equal(event->currency, "GBP");
	assert_int_equal(reserved(&records, order_id, 0), TASK_APPLIED);
	told(&records, 0, &release_stock_type, 0, order_id);
	assert_int_equal(records_output_count(&records), 1);
	assert_int_equal(refused(&records, order_id, 2), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	order_is(&records, CANCELLED, "0L 1L 2X");
	records_end(&records);
}

static void a_confirmed_order_that_is_cancelled_gives_all_back(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = place(&records, 2);
	assert_int_equal(reserved(&records, order_id, 0), TASK_APPLIED);
	assert_int_equal(reserved(&records, order_id, 1), TASK_APPLIED);
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	told(&records, 0, &release_stock_type, 0, order_id);
	told(&records, 1, &release_stock_type, 1, order_id);
	is_cancelled(&records, 2, CANCELLED_FROM_CONFIRMED);
	order_is(&records, CANCELLED, "0L 1L");
	records_end(&records);
}

static void cancelling_a_dead_order_is_accepted_and_changes_nothing(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = place(&records, 1);
	assert_int_equal(refused(&records, order_id, 0), TASK_APPLIED);
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	order_is(&records, REJECTED, "0X");
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	records_end(&records);
}

static void a_cancel_before_its_order_is_kept_and_nothing_is_reserved(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = own_id(&records, 1);
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM cancel_request"), 1);
	const struct order_placed event = an_order(order_id, one_line, 1);
	int64_t offset = records.offset;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	is_cancelled(&records, 0, CANCELLED_FROM_NOT_PLACED);
	order_is(&records, CANCELLED, "");
	assert_int_equal(records_number(&records, "SELECT decided_offset FROM orders"), offset);
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	records_end(&records);
}

static void the_same_cancel_with_other_content_is_a_conflict(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	const char *order_id = place(&records, 1);
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	assert_int_equal(cancel(&records, order_id), TASK_APPLIED);
	assert_int_equal(records_output_count(&records), 0);
	const struct order_cancel_requested other[] = {{.order_id = order_id, .requested_at = 8},
	                                               {.order_id = order_id, .requested_at = 7, .reason = "late"}};
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(records_publish(&records, &order_cancel_requested_type, &other[i]), TASK_REJECTED);
		assert_string_equal(task_rejection(records.task)->code, "conflict");
	}
	records_end(&records);
}

static void an_order_that_was_not_taken_can_come_again_right(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "order", 0);
	struct order_line line = one_line[0];
	line.quantity = 0;
	struct order_placed event = an_order(own_id(&records, 1), &line, 1);
	not_taken(&records, &event, "invalid_quantity");
	line.quantity = 1;
	assert_int_equal(records_publish(&records, &order_placed_type, &event), TASK_APPLIED);
	order_is(&records, PENDING, arena_format(&records.arena, "%dW", records_raw_output(&records, 0)->partition));
	records_end(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_grouped_by_partition_and_summed_by_sku),
		cmocka_unit_test(skus_that_differ_in_case_are_different),
		cmocka_unit_test(an_order_needs_lines_and_not_too_many),
		cmocka_unit_test(the_largest_order_gives_commands_that_fit),
		cmocka_unit_test(a_quantity_below_one_is_a_dead_letter),
		cmocka_unit_test(amounts_end_at_two_to_the_63_minus_one),
		cmocka_unit_test(an_order_has_one_currency),
		cmocka_unit_test(identifiers_are_1_to_64_printable_ascii_bytes),
		cmocka_unit_test(a_free_text_has_a_limit),
		cmocka_unit_test(the_same_order_again_changes_nothing),
		cmocka_unit_test(the_same_order_with_other_content_is_a_conflict),
		cmocka_unit_test(a_uuid_is_kept_in_its_16_bytes_and_comes_out_as_text),
		cmocka_unit_test(an_order_is_confirmed_when_every_group_is_reserved),
		cmocka_unit_test(one_refusal_rejects_the_order_and_releases_what_was_reserved),
		cmocka_unit_test(a_second_refusal_changes_nothing_more),
		cmocka_unit_test(the_same_answer_under_a_new_number_changes_nothing),
		cmocka_unit_test(an_answer_that_contradicts_the_one_before_halts),
		cmocka_unit_test(an_answer_nobody_asked_for_halts),
		cmocka_unit_test(a_pending_order_that_is_cancelled_releases_now_and_later),
		cmocka_unit_test(a_confirmed_order_that_is_cancelled_gives_all_back),
		cmocka_unit_test(cancelling_a_dead_order_is_accepted_and_changes_nothing),
		cmocka_unit_test(a_cancel_before_its_order_is_kept_and_nothing_is_reserved),
		cmocka_unit_test(the_same_cancel_with_other_content_is_a_conflict),
		cmocka_unit_test(an_order_that_was_not_taken_can_come_again_right),
	};
	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
