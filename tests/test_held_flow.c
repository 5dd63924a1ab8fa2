/* Dead letters and what waits behind them, with a worker at work: killed after any step, beside a zombie, with its file lost, the
 * same is taken, in the same order, and said once. The fold alone is in test_held.c. */
#include "status.h"
#include "support/flow.h"
#include "support/gated.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Makes records; nothing is folded by it. */
static struct records maker;

static struct flow flow;

static int setup(void **state)
{
	(void)state;
	maker = (struct records){0};
	flow_init(&flow, 2, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	flow_fini(&flow);
	arena_fini(&maker.arena);
	return 0;
}

/* As a member of the group, or with the partition that has everything, since the place of a member that was killed is free only later. */
static void start(struct flow_worker *worker, const char *data, bool as_member)
{
	static const int32_t first = 0;
	flow_start_with(&flow, worker,
	                &(struct worker_config){.service = &gated_holds,
	                                        .data = data,
	                                        .partitions = as_member ? NULL : &first,
	                                        .partition_count = as_member ? 0 : 1,
	                                        .commit_records_max = 3});
}

static void append(const struct log_record *record)
{
	flow_write(&flow, "orders", record);
}

static void place(int key, const char *currency, int64_t what)
{
	struct log_record record = gated_order(&maker, gated_key(&maker, key), currency, what);
	append(&record);
}

static void redrive(int key, int64_t what, uint64_t number)
{
	struct log_record record = gated_order(&maker, gated_key(&maker, key), "EUR", what);
	record = gated_redrive(&maker, &record, 0, number);
	append(&record);
}

static void discard(int64_t number)
{
	struct log_record record = gated_discard(&maker, 0, number);
	append(&record);
}

/* Two keys, letters 1 to 3 (2 is 21's; 3 is 13's, when it is let go), each redriven twice. */
static void write_first_half(void)
{
	place(1, "EUR", 11);
	place(1, "GBP", 12);
	place(2, "EUR", 21);
	place(1, "EUR", 13);
	place(1, "GBP", 14);
	place(2, "GBP", 22);
}

static void write_second_half(void)
{
	place(9, "GAT", 0);
	redrive(1, 11, 1);
	redrive(1, 11, 1);
	place(9, "GAT", 0);
	discard(2);
	discard(2);
	redrive(2, 21, 2);
	place(1, "GBP", 15);
	place(2, "GBP", 23);
}

/* 11, 12, 13 and 14 go on with letter 1, since the gate is open then; 22 with letter 2. */
static void check_the_end(const char *data)
{
	static const char wanted[] = "11 12 13 14 22 15 23";
	struct err err = {0};
	struct verify_result result;
	const struct verify_config verify = {
		.service = &gated_holds, .log = flow.log, .data = data ? data : flow.data, .reverse = true};
	assert_int_equal(verify_partition(&verify, &result, &err), OK);
	assert_true(result.same);
	const char *own = arena_format(&flow.arena, "%s", flow.data);
	if (data)
		snprintf(flow.data, sizeof flow.data, "%s", data);
	static const int64_t expected[] = {11, 12, 13, 14, 22, 15, 23};
	for (int n = 0; n < 7; n++) {
		const char *sql = arena_format(&flow.arena, "SELECT what FROM entry WHERE n = %d", n + 1);
		if (flow_number(&flow, "gated", 0, sql) != expected[n])
			fail_msg("entry %d is not as in %s", n + 1, wanted);
	}
	assert_int_equal(flow_number(&flow, "gated", 0, "SELECT count(*) FROM entry"), 7);
	assert_int_equal(flow_number(&flow, "gated", 0, "SELECT count(*) FROM held"), 0);
	snprintf(flow.data, sizeof flow.data, "%s", own);
	assert_int_equal(flow_count(&flow, "order-events", &order_confirmed_type), 7);
	assert_int_equal(flow_count(&flow, "orders.dlq", &order_placed_type), 2);
}

static void killed_after_any_step_it_comes_to_the_same_end(void **state)
{
	(void)state;
	bool killed = true;
	int kills = 0;
	for (int kill_at = 1; killed; kill_at++) {
		struct flow_worker worker;
		setup(NULL);
		write_first_half();
		write_second_half();
		start(&worker, NULL, false);
		killed = false;
		for (int steps = 0, idle = 0; idle < 50 && !killed; steps++) {
			idle = worker_step(worker.worker) == WORKER_IDLE ? idle + 1 : 0;
			flow.now_us += idle ? 20000 : 5;
			killed = steps == kill_at;
		}
		if (killed) {
			kills++;
			flow_drop(&worker);
			start(&worker, NULL, false);
		}
		flow_rest(&flow, &worker, 1);
		check_the_end(NULL);
		flow_close(&worker);
		teardown(NULL);
	}
	assert_true(kills > 20);
}

static void a_lost_file_comes_back_with_what_waits(void **state)
{
	(void)state;
	struct flow_worker worker;
	setup(NULL);
	write_first_half();
	start(&worker, NULL, false);
	flow_rest(&flow, &worker, 1);
	assert_int_equal(flow_number(&flow, "gated", 0, "SELECT sum(held) FROM held_key"), 4);
	flow_close(&worker);
	unlink(arena_format(&flow.arena, "%s/gated/0.db", flow.data));
	write_second_half();
	start(&worker, NULL, false);
	flow_rest(&flow, &worker, 1);
	check_the_end(NULL);
	flow_close(&worker);
	teardown(NULL);
}

/* It sleeps with its batch open, another takes over, and it wakes. */
static void a_zombie_says_nothing_twice(void **state)
{
	(void)state;
	for (int asleep_at = 2; asleep_at < 40; asleep_at += 3) {
		struct flow_worker workers[2];
		setup(NULL);
		const char *other = arena_format(&flow.arena, "%s/other", flow.data);
		write_first_half();
		write_second_half();
		start(&workers[0], NULL, true);
		for (int steps = 0; steps < asleep_at; steps++) {
			worker_step(workers[0].worker);
			flow.now_us += 5;
		}
		log_memory_expel(flow.memory, "tandem-gated");
		start(&workers[1], other, true);
		flow_rest(&flow, &workers[1], 1);
		flow_rest(&flow, workers, 2);
		flow_close(&workers[0]); /* whoever has it goes on */
		flow_rest(&flow, &workers[1], 1);
		check_the_end(other);
		flow_close(&workers[1]);
		teardown(NULL);
	}
}

static void status_names_the_keys_that_wait(void **state)
{
	(void)state;
	struct flow_worker worker;
	struct status_report report;
	struct err err = {0};
	setup(NULL);
	write_first_half();
	start(&worker, NULL, false);
	flow_rest(&flow, &worker, 1);
	assert_int_equal(status_read(&gated_holds, flow.data, 0, flow.log, &flow.seam, &flow.arena, &report, &err), OK);
	assert_int_equal(report.held_keys, 2);
	assert_int_equal(report.held_records, 4);
	assert_int_equal(report.held_count, 2);
	const char *key = arena_format(&flow.arena, "\"%s\"", gated_key(&maker, 1));
	int first = strcmp(report.held[0].key, key) == 0 ? 0 : 1;
	assert_string_equal(report.held[first].key, key);
	assert_int_equal(report.held[first].letter, 1);
	assert_int_equal(report.held[first].records, 3);
	assert_int_equal(report.held[1 - first].records, 1);
	assert_non_null(strstr(report.held[0].what_to_do, "tandem dlq show -t orders -p 0"));
	for (int key_n = 10; key_n < 40; key_n++)
		place(key_n, "EUR", key_n);
	flow_rest(&flow, &worker, 1);
	assert_int_equal(status_read(&gated_holds, flow.data, 0, flow.log, &flow.seam, &flow.arena, &report, &err), OK);
	assert_int_equal(report.held_keys, 32);
	assert_int_equal(report.held_count, STATUS_HELD_SHOWN);
	flow_close(&worker);
	teardown(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_after_any_step_it_comes_to_the_same_end),
		cmocka_unit_test(a_lost_file_comes_back_with_what_waits),
		cmocka_unit_test(a_zombie_says_nothing_twice),
		cmocka_unit_test(status_names_the_keys_that_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
