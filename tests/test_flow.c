/* One order from end to end, and what the workers do when things go wrong, in one process. */
#include "support/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void start_both(struct flow *flow, struct flow_worker workers[2])
{
	flow_start(flow, &workers[0], "order", NULL, 0);
	flow_start(flow, &workers[1], "inventory", NULL, 0);
}

static void stop_both(struct flow_worker workers[2])
{
	flow_close(&workers[0]);
	flow_close(&workers[1]);
}

static void an_order_that_stock_covers_is_confirmed_and_its_stock_leaves(void **state)
{
	(void)state;
	struct flow flow;
	struct flow_worker workers[2];
	flow_init(&flow, 2, 3);
	flow_receive(&flow, "R1", "85123A", 10);
	start_both(&flow, workers);
	flow_rest(&flow, workers, 2);
	flow_order_one(&flow, "536365", "85123A", 6);
	flow_rest(&flow, workers, 2);
	assert_int_equal(flow_count(&flow, "order-events", &order_confirmed_type), 1);
	assert_int_equal(flow_sum(&flow, "order", "SELECT count(*) FROM orders WHERE status = 2"), 1);
	assert_int_equal(flow_sum(&flow, "inventory", "SELECT sum(on_hand) FROM stock"), 4);
	assert_int_equal(flow_sum(&flow, "inventory", "SELECT sum(reserved) FROM stock"), 0);
	flow_verify(&flow);
	stop_both(workers);
	flow_fini(&flow);
}

static void an_order_over_many_partitions_is_reserved_whole_or_not_at_all(void **state)
{
	(void)state;
	struct flow flow;
	struct flow_worker workers[2];
	struct order_line lines[12];
	char skus[12][8];
	flow_init(&flow, 1, 4);
	for (int i = 0; i < 12; i++) {
		snprintf(skus[i], sizeof skus[i], "S%d", i);
		lines[i] = (struct order_line){.sku = skus[i], .quantity = 2, .unit_price_minor = 100};
		if (i < 11)
			flow_receive(&flow, "R", skus[i], 2);
	}
	start_both(&flow, workers);
	flow_rest(&flow, workers, 2);
	flow_order(&flow, "short", lines, 12);
	flow_rest(&flow, workers, 2);
	assert_int_equal(flow_count(&flow, "order-events", &order_rejected_type), 1);
	assert_int_equal(flow_sum(&flow, "inventory", "SELECT sum(reserved) FROM stock"), 0);
	assert_int_equal(flow_sum(&flow, "inventory", "SELECT count(lines) FROM reservation"), 0);
	flow_order(&flow, "covered", lines, 11);
	flow_rest(&flow, workers, 2);
	assert_int_equal(flow_count(&flow, "order-events", &order_confirmed_type), 1);
	assert_int_equal(flow_sum(&flow, "inventory", "SELECT sum(on_hand) FROM stock"), 0);
	flow_verify(&flow);
	stop_both(workers);
	flow_fini(&flow);
}

static void publishing_everything_again_changes_no_row(void **state)
{
	(void)state;
	struct flow flow;
	struct flow_worker workers[2];
	flow_init(&flow, 2, 2);
	start_both(&flow, workers);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 20; i++) {
			char id[16];
			snprintf(id, sizeof id, "R%d", i);
			flow_receive(&flow, id, i % 2 ? "A" : "B", 5);
		}
		flow_rest(&flow, workers, 2);
		for (int i = 0; i < 30; i++) {
			char id[16];
			snprintf(id, sizeof id, "O%d", i);
			flow_order_one(&flow, id, i % 2 ? "A" : "B", 3);
			if (i % 7 == 0)
				flow_cancel(&flow, id);
		}
		flow_rest(&flow, workers, 2);
		assert_int_equal(flow_sum(&flow, "order", "SELECT count(*) FROM orders"), 30);
		assert_int_equal(flow_sum(&flow, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0);
		assert_int_equal(flow_sum(&flow, "inventory", "SELECT sum(received) FROM stock"), 100);
		assert_int_equal(flow_sum(&flow, "order", "SELECT rejected FROM meta"), 0);
	}
	size_t ends = flow_count(&flow, "order-events", &order_confirmed_type) +
	              flow_count(&flow, "order-events", &order_rejected_type);
	assert_true(ends >= 25 && ends <= 35);
	flow_verify(&flow);
	stop_both(workers);
	flow_fini(&flow);
}

static void a_conflicting_repeat_becomes_a_dead_letter_and_changes_nothing(void **state)
{
	(void)state;
	struct flow flow;
	struct flow_worker workers[2];
	flow_init(&flow, 1, 1);
	start_both(&flow, workers);
	flow_receive(&flow, "R1", "A", 5);
	flow_receive(&flow, "R1", "A", 6);
	flow_rest(&flow, workers, 2);
	assert_int_equal(flow_count(&flow, "inventory.dlq", &stock_received_type), 1);
	assert_int_equal(flow_sum(&flow, "inventory", "SELECT on_hand FROM stock"), 5);
	flow_verify(&flow);
	stop_both(workers);
	flow_fini(&flow);
}

/* Runs the same small story, killing one worker after each single step in turn, and wants the same end. */
static void killed_after_any_step_the_workers_reach_the_same_end(void **state)
{
	(void)state;
	int64_t steps_in_all = 0, kills = 0;
	bool goes_on = true;
	int by_step[WORKER_STEPS] = {0};
	for (int victim = 0; victim < 2; victim++) {
		goes_on = true;
		for (int64_t kill_at = 1; goes_on; kill_at += 1) {
			struct flow flow;
			struct flow_worker workers[2];
			flow_init(&flow, 1, 2);
			flow_receive(&flow, "R1", "A", 10);
			flow_receive(&flow, "R2", "B", 1);
			struct order_line lines[] = {{.sku = "A", .quantity = 1, .unit_price_minor = 5},
			                             {.sku = "B", .quantity = 1, .unit_price_minor = 7}};
			flow_order(&flow, "1", lines, 2);
			flow_order(&flow, "2", lines, 2);
			flow_cancel(&flow, "1");
			start_both(&flow, workers);
			int64_t steps = 0, idle = 0;
			enum worker_step step = WORKER_IDLE;
			while (steps < kill_at && idle < 100) {
				worker_step(workers[1 - victim].worker);
				step = worker_step(workers[victim].worker);
				idle = step == WORKER_IDLE ? idle + 1 : 0;
				steps += step != WORKER_IDLE;
				flow.now_us += step == WORKER_IDLE ? 20000 : 50;
			}
			goes_on = steps == kill_at;
			by_step[step]++;
			flow_drop(&workers[victim]);
			flow_start(&flow, &workers[victim], victim ? "inventory" : "order", NULL, 0);
			flow.now_us += 60000000; /* the dead member's session ends */
			flow_rest(&flow, workers, 2);
			assert_int_equal(flow_sum(&flow, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0);
			assert_int_equal(flow_sum(&flow, "order", "SELECT count(*) FROM orders"), 2);
			assert_int_equal(flow_count(&flow, "order-events", &order_cancelled_type), 1);
			assert_int_equal(flow_sum(&flow, "inventory", "SELECT sum(reserved) FROM stock"), 0);
			assert_int_equal(flow_sum(&flow, "order", "SELECT count(*) FROM gap"), 0);
			assert_int_equal(flow_sum(&flow, "inventory", "SELECT count(*) FROM gap"), 0);
			flow_verify(&flow);
			stop_both(workers);
			flow_fini(&flow);
			steps_in_all += steps;
			kills++;
		}
	}
	print_message("%lld kills; after: ", (long long)kills);
	for (int i = 0; i < WORKER_STEPS; i++)
		if (by_step[i])
			print_message("%s %d ", worker_step_name((enum worker_step)i), by_step[i]);
	print_message("\n");
	assert_true(kills > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_order_that_stock_covers_is_confirmed_and_its_stock_leaves),
		cmocka_unit_test(an_order_over_many_partitions_is_reserved_whole_or_not_at_all),
		cmocka_unit_test(publishing_everything_again_changes_no_row),
		cmocka_unit_test(a_conflicting_repeat_becomes_a_dead_letter_and_changes_nothing),
		cmocka_unit_test(killed_after_any_step_the_workers_reach_the_same_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
