/* The revenue worker: bytes in, rows out; a database in memory, no log and no broker. */
#include "support/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY_MS 86400000LL

static void confirmed(struct records *records, const char *order_id, int64_t placed_at, int64_t total_minor)
{
	const struct order_confirmed event = {.order_id = order_id,
	                                      .currency = "GBP",
	                                      .total_minor = total_minor,
	                                      .line_count = 1,
	                                      .placed_at = placed_at};
	assert_int_equal(records_send(records, 0, order_id, &order_confirmed_type, &event), TASK_APPLIED);
}

static struct log_record cancelled(struct records *records, const char *order_id, int64_t total_minor,
                                   enum cancelled_from was)
{
	const struct order_cancelled event = {
	        .order_id = order_id, .currency = "GBP", .total_minor = total_minor, .was = was};
	return records_numbered(records, "order", 0, order_id, &order_cancelled_type, &event);
}

static void a_confirmed_order_counts_on_the_day_it_was_placed(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	confirmed(&records, "A-1", 3 * DAY_MS, 1250);
	confirmed(&records, "A-2", 4 * DAY_MS - 1, 750);
	confirmed(&records, "A-3", 4 * DAY_MS, 1);
	assert_int_equal(records_number(&records, "SELECT confirmed FROM revenue WHERE day = 3"), 2);
	assert_int_equal(records_number(&records, "SELECT confirmed_minor FROM revenue WHERE day = 3"), 2000);
	assert_int_equal(records_number(&records, "SELECT confirmed_minor FROM revenue WHERE day = 4"), 1);
	records_end(&records);
}

static void days_before_1970_are_rounded_down_too(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	confirmed(&records, "A-1", -1, 10);
	confirmed(&records, "A-2", -DAY_MS, 10);
	confirmed(&records, "A-3", -DAY_MS - 1, 10);
	confirmed(&records, "A-4", INT64_MIN, 10);
	assert_int_equal(records_number(&records, "SELECT confirmed FROM revenue WHERE day = -1"), 2);
	assert_int_equal(records_number(&records, "SELECT confirmed FROM revenue WHERE day = -2"), 1);
	assert_int_equal(records_number(&records, "SELECT min(day) FROM revenue"), INT64_MIN / DAY_MS - 1);
	records_end(&records);
}

static void a_confirmed_order_that_is_cancelled_is_taken_back_on_its_own_day(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	confirmed(&records, "A-1", 3 * DAY_MS, 1250);
	confirmed(&records, "A-2", 3 * DAY_MS, 100);
	records.time_ms += 30 * DAY_MS;
	struct log_record record = cancelled(&records, "A-1", 1250, CANCELLED_FROM_CONFIRMED);
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	assert_int_equal(records_number(&records, "SELECT confirmed FROM revenue"), 2);
	assert_int_equal(records_number(&records, "SELECT confirmed_minor FROM revenue"), 1350);
	assert_int_equal(records_number(&records, "SELECT cancelled FROM revenue"), 1);
	assert_int_equal(records_number(&records, "SELECT cancelled_minor FROM revenue"), 1250);
	records_end(&records);
}

static void what_was_never_confirmed_is_not_taken_back(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	struct log_record pending = cancelled(&records, "A-1", 1250, CANCELLED_FROM_PENDING);
	assert_int_equal(records_fold(&records, &pending), TASK_APPLIED);
	struct log_record unplaced = cancelled(&records, "A-2", 1250, CANCELLED_FROM_NOT_PLACED);
	assert_int_equal(records_fold(&records, &unplaced), TASK_APPLIED);
	const struct order_rejected rejected = {.order_id = "A-3", .currency = "GBP", .total_minor = 5};
	assert_int_equal(records_send(&records, 0, "A-3", &order_rejected_type, &rejected), TASK_APPLIED);
	assert_int_equal(records_number(&records, "SELECT count(*) FROM revenue"), 0);
	records_end(&records);
}

static void a_cancelled_order_that_was_not_confirmed_here_halts(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	struct log_record record = cancelled(&records, "A-1", 1250, CANCELLED_FROM_CONFIRMED);
	assert_string_equal(records_refused(&records, &record), "illegal_transition");
	records_drop(&records);
}

static void orders_of_any_size_fit_into_a_day(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	confirmed(&records, "A-1", 0, INT64_MAX);
	confirmed(&records, "A-2", 0, INT64_MAX);
	confirmed(&records, "A-3", 0, 999999999999999999);
	/* 2 * 9223372036854775807 + 999999999999999999 = 19446744073709551613 */
	assert_int_equal(records_number(&records, "SELECT confirmed_e18 FROM revenue"), 19);
	assert_int_equal(records_number(&records, "SELECT confirmed_minor FROM revenue"), 446744073709551613);
	records_end(&records);
}

static void currencies_are_counted_apart(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	confirmed(&records, "A-1", 0, 100);
	const struct order_confirmed euro = {.order_id = "A-2", .currency = "EUR", .total_minor = 7, .line_count = 1};
	assert_int_equal(records_send(&records, 0, "A-2", &order_confirmed_type, &euro), TASK_APPLIED);
	assert_int_equal(records_number(&records, "SELECT confirmed_minor FROM revenue WHERE currency = 'GBP'"), 100);
	assert_int_equal(records_number(&records, "SELECT confirmed_minor FROM revenue WHERE currency = 'EUR'"), 7);
	records_end(&records);
}

static void a_repeat_is_not_counted_twice(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	const struct order_confirmed event = {.order_id = "A-1", .currency = "GBP", .total_minor = 5, .line_count = 1};
	struct log_record record = records_numbered(&records, "order", 0, "A-1", &order_confirmed_type, &event);
	assert_int_equal(records_fold(&records, &record), TASK_APPLIED);
	assert_int_equal(records_fold(&records, &record), TASK_REPEAT);
	assert_int_equal(records_number(&records, "SELECT confirmed_minor FROM revenue"), 5);
	records_end(&records);
}

static void what_somebody_else_writes_to_order_events_is_a_dead_letter(void **state)
{
	(void)state;
	struct records records;
	records_begin(&records, "revenue", 0);
	const struct order_confirmed event = {.order_id = "A-1", .currency = "GBP", .total_minor = 5, .line_count = 1};
	assert_int_equal(records_publish(&records, &order_confirmed_type, &event), TASK_REJECTED);
	assert_string_equal(task_rejection(records.task)->code, "not_numbered");
	assert_string_equal(records_raw_output(&records, 0)->topic, "order-events.dlq");
	assert_int_equal(records_number(&records, "SELECT count(*) FROM revenue"), 0);
	records_end(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_confirmed_order_counts_on_the_day_it_was_placed),
	        cmocka_unit_test(days_before_1970_are_rounded_down_too),
	        cmocka_unit_test(a_confirmed_order_that_is_cancelled_is_taken_back_on_its_own_day),
	        cmocka_unit_test(what_was_never_confirmed_is_not_taken_back),
	        cmocka_unit_test(a_cancelled_order_that_was_not_confirmed_here_halts),
	        cmocka_unit_test(orders_of_any_size_fit_into_a_day),
	        cmocka_unit_test(currencies_are_counted_apart),
	        cmocka_unit_test(a_repeat_is_not_counted_twice),
	        cmocka_unit_test(what_somebody_else_writes_to_order_events_is_a_dead_letter),
	};
	return cmocka_run_group_tests_name("revenue", tests, NULL, NULL);
}
