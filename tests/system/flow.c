/* The whole flow as processes, over local:DIR or over Kafka ($KAFKA): topics, stock, orders that one partition fills and
 * orders over many, cancels in time, too early and too late; each ends in verify of every partition of every service, in
 * audit, and in what an outside reader sees. */
#include "../support/rig.h"
#include "../support/view.h"

#include "json.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_SECONDS 120

static struct rig rig;

static int open_small(void **state)
{
	(void)state;
	rig_open_topics(&rig, 2, 5);
	return 0;
}

static void start_both(struct rig_process *workers[2])
{
	workers[0] = rig_start(&rig, "order", "order run");
	workers[1] = rig_start(&rig, "inventory", "inventory run");
}

static void stop_both(struct rig_process *workers[2])
{
	assert_int_equal(rig_end(&rig, workers[0], SIGTERM, WAIT_SECONDS), 0);
	assert_int_equal(rig_end(&rig, workers[1], SIGTERM, WAIT_SECONDS), 0);
}

static void publish_lines(const char *lines)
{
	struct rig_result result;
	rig_run_with(&rig, &result, 60, lines, "publish -");
	if (result.exit_status != 0)
		fail_msg("publish ended with %d: %s", result.exit_status, result.err);
}

static int64_t json_number(const char *text, const char *object, const char *name)
{
	json_t *json = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	json_t *in = *object ? json_object_get(json, object) : json;
	json_t *value = json_object_get(in, name);
	if (!json_is_integer(value))
		fail_msg("no number %s in %s", name, text);
	int64_t number = json_integer_value(value);
	json_decref(json);
	return number;
}

/* Every unit that came in is on hand, or went out with a confirmed order; nothing is held any more. */
static void check_stock(void)
{
	int64_t received = rig_sum(&rig, "inventory", "SELECT sum(received) FROM stock");
	int64_t on_hand = rig_sum(&rig, "inventory", "SELECT sum(on_hand) FROM stock");
	int64_t gone =
		rig_sum(&rig, "inventory", "SELECT sum(value) FROM reservation, json_each(lines) WHERE status = 2");
	assert_int_equal(received, on_hand + gone);
	assert_int_equal(rig_sum(&rig, "inventory", "SELECT sum(reserved) FROM stock"), 0);
}

static void end_whole(struct rig_process *workers[2], struct view *view)
{
	rig_drain(&rig, 2 * WAIT_SECONDS);
	stop_both(workers);
	rig_verify_all(&rig);
	view_read(&rig, view);
	check_stock();
	print_message(
		"placed %lld: confirmed %lld, rejected %lld, cancelled %lld; %lld numbered events taken, %lld dropped\n",
		(long long)view->placed, (long long)view->confirmed, (long long)view->rejected,
		(long long)view->cancelled, (long long)view->taken, (long long)view->dropped);
}

#define RECEIPT(id, sku, quantity)                                                                                     \
	"{\"type\": \"StockReceived\", \"event\": {\"receipt_id\": \"" id "\", \"sku\": \"" sku                        \
	"\", \"quantity\": " quantity ", \"received_at\": 1291191960000}}\n"
#define LINE(sku, quantity, price)                                                                                     \
	"{\"sku\": \"" sku "\", \"quantity\": " quantity ", \"unit_price_minor\": " price ", \"currency\": null}"
#define ORDER(id, lines)                                                                                               \
	"{\"type\": \"OrderPlaced\", \"event\": {\"order_id\": \"" id                                                  \
	"\", \"customer_id\": null, \"currency\": \"GBP\","                                                            \
	" \"placed_at\": 1291191960000, \"lines\": [" lines "]}}\n"
#define CANCEL(id)                                                                                                     \
	"{\"type\": \"OrderCancelRequested\", \"event\": {\"order_id\": \"" id "\", \"requested_at\": 1291191970000,"  \
	" \"reason\": null}}\n"

static int64_t status_of(const char *order_id)
{
	char sql[128];
	snprintf(sql, sizeof sql, "SELECT status FROM orders WHERE order_id = '%s'", order_id);
	return rig_sum(&rig, "order", sql);
}

static void each_kind_of_order_ends_as_the_rules_say(void **state)
{
	(void)state;
	struct rig_process *workers[2];
	struct view view;
	publish_lines(RECEIPT("R1", "A", "10") RECEIPT("R1", "B", "10") RECEIPT("R1", "C", "10") RECEIPT(
		"R1", "D", "10") RECEIPT("R1", "E", "10") RECEIPT("R1", "E", "10") RECEIPT("R2", "BANK CHARGES", "1"));
	rig_ok(&rig, "inventory run --until-end");
	start_both(workers);
	publish_lines(
		ORDER("one", LINE("A", "2", "100"))                                  /* confirmed */
		ORDER("two-of-one", LINE("B", "5", "100") ", " LINE("B", "5", "90")) /* their sum fits */
		ORDER("three-of-one", LINE("C", "6", "1") ", " LINE("C", "5", "1"))  /* their sum does not */
		ORDER("wide", LINE("A", "1", "1") ", " LINE("C", "1", "1") ", " LINE("D", "1", "1") ", " LINE(
				      "E", "1", "1") ", " LINE("BANK CHARGES", "1", "1"))
			ORDER("wide-short", LINE("A", "1", "1") ", " LINE("D", "1", "1") ", " LINE("E", "100", "1"))
				ORDER("unknown", LINE("no such", "1", "1")) CANCEL("early")
					ORDER("early", LINE("A", "1", "1")));
	rig_drain(&rig, 2 * WAIT_SECONDS);
	publish_lines(CANCEL("one") CANCEL("unknown") CANCEL("early") ORDER("one", LINE("A", "2", "100")) /* a repeat */
	              ORDER("wide", LINE("A", "9", "100")) /* the same key, another order: a dead letter */
	              RECEIPT("R1", "A", "11"));           /* the same, of stock */
	end_whole(workers, &view);
	assert_int_equal(view.placed, 7);
	assert_int_equal(view.confirmed, 3);
	assert_int_equal(view.rejected, 3);
	assert_int_equal(view.cancelled, 2);
	assert_int_equal(view.dead_letters, 2);
	assert_int_equal(status_of("two-of-one"), status_of("wide"));
	assert_int_equal(rig_sum(&rig, "inventory", "SELECT sum(on_hand) FROM stock"), 51 - 10 - 5);
	rig.passed = true;
}

static void generated_orders_over_many_partitions_end_once_each(void **state)
{
	(void)state;
	struct rig_process *workers[2];
	struct view view;
	unsigned seed = (unsigned)rig.seed;
	rig_ok(&rig, "publish --only receipts --orders 2000 --skus 100 --stock 40 --seed %u", seed);
	rig_ok(&rig, "inventory run --until-end");
	start_both(workers);
	rig_ok(&rig,
	       "publish --only orders --orders 2000 --skus 100 --stock 40 --lines 1-8 --cancel-one-in 10 --seed %u",
	       seed);
	end_whole(workers, &view);
	assert_int_equal(view.placed, 2000);
	assert_true(view.confirmed > 0 && view.rejected > 0 && view.cancelled > 0);
	rig.passed = true;
}

/* Each try is an order more: the first ones may find a producer that is not connected yet. */
static bool has_an_outcome(struct rig *in, void *tries)
{
	int64_t low, high;
	char id[16], line[512];
	snprintf(id, sizeof id, "try-%d", ++*(int *)tries);
	snprintf(line, sizeof line,
	         "{\"type\": \"OrderPlaced\", \"event\": {\"order_id\": \"%s\", \"customer_id\": null,"
	         " \"currency\": \"GBP\", \"placed_at\": 1291191960000, \"lines\": [" LINE("A", "1", "1") "]}}\n",
	         id);
	publish_lines(line);
	for (int32_t partition = 0; partition < 2; partition++)
		if (log_bounds(in->log, "order-events", partition, &low, &high, NULL) == OK && high > 1)
			return true;
	return false;
}

static void an_outcome_waits_neither_for_a_commit_nor_for_more_to_send(void **state)
{
	(void)state;
	struct rig_process *workers[2];
	struct view view;
	int tries = 0;
	publish_lines(RECEIPT("R1", "A", "1000000"));
	rig_ok(&rig, "inventory run --until-end");
	workers[0] = rig_start(&rig, "order", "order run --commit-interval 60s -X linger.ms=600000");
	workers[1] = rig_start(&rig, "inventory", "inventory run --commit-interval 60s -X linger.ms=600000");
	rig_until(&rig, 50, "an order has its outcome", has_an_outcome, &tries);
	stop_both(workers);
	start_both(workers);
	end_whole(workers, &view);
	assert_int_equal(view.confirmed, tries);
	rig.passed = true;
}

static void real_orders_are_all_accounted_for(void **state)
{
	(void)state;
	struct rig_process *workers[2];
	struct view view;
	const char *sample = "tests/data/online-retail-sample.csv";
	const char *receipts = rig_ok(&rig, "publish -J --only receipts --stock-cover 90 %s", sample);
	rig_ok(&rig, "inventory run --until-end");
	start_both(workers);
	const char *orders = rig_ok(&rig, "publish -J --only orders --stock-cover 90 --cancel-one-in 50 %s", sample);
	end_whole(workers, &view);
	assert_int_equal(json_number(orders, "", "rows"), 15790);
	assert_int_equal(view.placed, json_number(orders, "events", "OrderPlaced"));
	assert_int_equal(rig_sum(&rig, "order", "SELECT count(*) FROM orders"), view.placed);
	assert_int_equal(rig_sum(&rig, "inventory", "SELECT count(*) FROM receipt"),
	                 json_number(receipts, "events", "StockReceived"));
	assert_int_equal(view.dead_letters, 0);
	rig.passed = true;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(each_kind_of_order_ends_as_the_rules_say, open_small,
	                                                 rig_teardown, &rig),
		cmocka_unit_test_prestate_setup_teardown(generated_orders_over_many_partitions_end_once_each,
	                                                 open_small, rig_teardown, &rig),
		cmocka_unit_test_prestate_setup_teardown(an_outcome_waits_neither_for_a_commit_nor_for_more_to_send,
	                                                 open_small, rig_teardown, &rig),
		cmocka_unit_test_prestate_setup_teardown(real_orders_are_all_accounted_for, open_small, rig_teardown,
	                                                 &rig),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
