/* The worker as a whole: how it stops, ends, backs off and marks. */
#include "lock.h"
#include "support/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- marks ---- */

static enum status refuse_mark(void *arg, const char *group, const char *topic, struct err *err)
{
	int *left = arg;
	(void)group;
	(void)topic;
	return (*left)-- > 0 ? err_set(err, FATAL, "fenced", "another member has it") : OK;
}

static void a_refused_mark_keeps_the_file_and_looks_at_everything_again(void **state)
{
	(void)state;
	struct stage stage;
	struct worker_counts counts;
	int left = 2;
	stage_open(&stage, 2, 2);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.arg = &left, .commit = refuse_mark});
	stage_feed(&stage, STAGE_ORDER, 0);
	stage_until(&stage, STAGE_ORDER, WORKER_ROLLED_BACK);
	assert_string_equal(stage_task(&stage, STAGE_ORDER, 0).why->code, "fenced");
	assert_int_equal(access(stage_path(&stage, STAGE_ORDER, 0, ".halt"), F_OK), -1);
	assert_int_equal(flow_number(&stage.flow, "order", 0, "SELECT next_offset FROM meta"),
	                 stage_end(&stage, "orders", 0));
	stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
	worker_counts(stage.workers[STAGE_ORDER].worker, &counts);
	assert_int_equal(counts.halts, 0);
	stage_close(&stage);
}

/* What `status` shows of it. */
static void a_task_that_was_folded_in_silence_is_ready_though_it_needs_no_mark(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	stage_start(&stage, STAGE_ORDER);
	stage_rest(&stage);
	for (int32_t p = 0; p < 2; p++) {
		pid_t pid;
		enum lock_state shown;
		assert_true(lock_holder(stage_path(&stage, STAGE_ORDER, p, ".lock"), &pid, &shown));
		assert_string_equal(lock_state_name(shown), "ready");
	}
	stage_close(&stage);
}

/* ---- stopping and ending ---- */

static enum log_memory_fate late(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)topic;
	(void)record;
	*delay_us = *(const int64_t *)arg;
	return LOG_MEMORY_WRITE;
}

static void a_stop_commits_and_marks_the_open_batch(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	int64_t delay_us = 3000000;
	stage_open(&stage, 2, 2);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.arg = &delay_us, .produce = late});
	const char *order = stage_id(&stage, "O", 0, 2);
	delay_us = 0;
	flow_order_one(&stage.flow, order, "S", 1);
	delay_us = 3000000;
	stage_until(&stage, STAGE_ORDER, WORKER_SENT);
	worker_stop(stage.workers[STAGE_ORDER].worker);
	stage_until(&stage, STAGE_ORDER, WORKER_DONE);
	assert_int_equal(worker_result(stage.workers[STAGE_ORDER].worker, &err), OK);
	flow_close(&stage.workers[STAGE_ORDER]);
	struct log_mark mark = {.partition = 0};
	assert_int_equal(log_committed(stage.flow.log, "tandem-order", "orders", &mark, &err), OK);
	assert_int_equal(mark.offset, stage_end(&stage, "orders", 0));
	assert_int_equal(flow_number(&stage.flow, "order", 0, "SELECT next_offset FROM meta"), mark.offset);
	flow_verify(&stage.flow);
	stage_close(&stage);
}

static void a_stop_that_waits_for_acknowledgements_gives_up_after_30_s(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	int64_t delay_us = 0;
	stage_open(&stage, 2, 2);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.arg = &delay_us, .produce = late});
	flow_order_one(&stage.flow, stage_id(&stage, "O", 0, 2), "S", 1);
	delay_us = 3600000000;
	stage_until(&stage, STAGE_ORDER, WORKER_SENT);
	const int64_t stopped_us = stage.flow.now_us;
	worker_stop(stage.workers[STAGE_ORDER].worker);
	stage_until(&stage, STAGE_ORDER, WORKER_DONE);
	assert_in_range(stage.flow.now_us - stopped_us, 30000000, 30100000);
	assert_int_equal(worker_result(stage.workers[STAGE_ORDER].worker, &err), FATAL);
	assert_string_equal(err.code, "timeout");
	assert_non_null(strstr(err.text, "could not be committed within 30 s"));
	assert_non_null(strstr(err.text, "Nothing is lost: start again, and the batch is folded again"));
	stage_provoked("timeout");
	flow_close(&stage.workers[STAGE_ORDER]);
	log_memory_set_faults(stage.flow.memory, NULL);
	stage_start(&stage, STAGE_ORDER); /* as it says */
	stage_recovers(&stage, STAGE_ORDER, 0);
	assert_int_equal(flow_sum(&stage.flow, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0);
	stage_close(&stage);
}

/* A client that is wedged reports neither success nor failure. */
static void acknowledgements_that_stay_away_are_waited_for_30_s_and_then_a_new_producer_sends_the_batch(void **state)
{
	(void)state;
	struct stage stage;
	struct worker_counts before, after;
	int64_t delay_us = 0;
	stage_open(&stage, 2, 2);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.arg = &delay_us, .produce = late});
	struct worker *order = stage.workers[STAGE_ORDER].worker;
	stage_rest(&stage);
	worker_counts(order, &before);
	flow_order_one(&stage.flow, stage_id(&stage, "O", 0, 2), "S", 1);
	delay_us = 3600000000;
	const int64_t began_us = stage.flow.now_us;
	stage_until(&stage, STAGE_ORDER, WORKER_SENT);
	stage_until(&stage, STAGE_ORDER, WORKER_ROLLED_BACK);
	assert_in_range(stage.flow.now_us - began_us, 30000000, 31000000);
	worker_counts(order, &after);
	assert_int_equal(after.rollbacks, before.rollbacks + 1);
	assert_int_equal(after.commits, before.commits); /* nothing that is not acknowledged */
	delay_us = 0;
	stage_rest(&stage);
	assert_int_equal(flow_sum(&stage.flow, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0);
	flow_verify(&stage.flow);
	stage_close(&stage);
}

static void until_end_ends_with_everything_folded_and_marked(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	stage_open(&stage, 2, 2);
	stage_stop(&stage, STAGE_ORDER);
	for (int i = 0; i < 5; i++)
		stage_feed(&stage, STAGE_ORDER, i % 2);
	stage_start_with(&stage, STAGE_ORDER, &(struct worker_config){.until_end = true});
	stage_until(&stage, STAGE_ORDER, WORKER_DONE);
	assert_int_equal(worker_result(stage.workers[STAGE_ORDER].worker, &err), OK);
	flow_close(&stage.workers[STAGE_ORDER]);
	for (int32_t p = 0; p < 2; p++) {
		struct log_mark mark = {.partition = p};
		assert_int_equal(log_committed(stage.flow.log, "tandem-order", "orders", &mark, &err), OK);
		assert_int_equal(mark.offset, stage_end(&stage, "orders", p));
	}
	flow_verify(&stage.flow);
	stage_close(&stage);
}

static void until_end_with_a_halted_task_is_done_in_part(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct log_mark mark = {.partition = 1};
	stage_open(&stage, 2, 2);
	stage_stop(&stage, STAGE_ORDER);
	log_memory_trim(stage.flow.memory, "orders", 0, 1);
	stage_feed(&stage, STAGE_ORDER, 1);
	stage_start_with(&stage, STAGE_ORDER, &(struct worker_config){.until_end = true});
	stage_until(&stage, STAGE_ORDER, WORKER_DONE);
	assert_int_equal(worker_result(stage.workers[STAGE_ORDER].worker, &err), RETRY);
	assert_string_equal(err.code, "retention");
	flow_close(&stage.workers[STAGE_ORDER]);
	assert_int_equal(log_committed(stage.flow.log, "tandem-order", "orders", &mark, &err), OK);
	assert_int_equal(mark.offset, stage_end(&stage, "orders", 1));
	stage_close(&stage);
}

/* ---- backing off ---- */

static void a_halted_task_is_tried_again_after_pauses_that_grow_to_a_minute(void **state)
{
	(void)state;
	struct stage stage;
	int64_t last_us = 0, pause_us[14];
	stage_open(&stage, 1, 1);
	log_memory_trim(stage.flow.memory, "orders", 0, 1);
	log_memory_check(stage.flow.memory, "orders", -1);
	for (int i = 0; i < 14; i++) {
		stage_until(&stage, STAGE_ORDER, WORKER_HALTED);
		pause_us[i] = stage.flow.now_us - last_us;
		last_us = stage.flow.now_us;
	}
	for (int i = 1; i < 14; i++) {
		int64_t expected_us = i - 1 < 8 ? 250000LL << (i - 1) : 60000000;
		if (expected_us > 60000000)
			expected_us = 60000000;
		assert_in_range(pause_us[i], expected_us, expected_us + 60000);
	}
	stage_close(&stage);
}

static bool slow(void *arg, const char *topic, int32_t partition, int64_t offset)
{
	struct flow *flow = arg;
	(void)partition;
	(void)offset;
	if (strcmp(topic, "orders") == 0)
		flow->now_us += 400000; /* a commit every few records, though more are there */
	return true;
}

static void other_key(struct log_record *record, void *arg)
{
	(void)arg;
	if (record->offset == 1)
		record->key = (struct log_bytes){"another", 7};
}

static void pauses_grow_also_where_commits_happen_before_the_task_halts(void **state)
{
	(void)state;
	struct stage stage;
	struct worker_counts counts;
	stage_open(&stage, 1, 1);
	for (int i = 0; i < 8; i++)
		stage_feed(&stage, STAGE_ORDER, 0);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	struct stage_copy *copy = stage_save(&stage, "orders");
	log_memory_truncate(stage.flow.memory, "orders", 0, 1);
	stage_restore_tail(&stage, copy, 0, 1, other_key,
	                   NULL); /* the mark's hashes differ, its last record does not */
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.arg = &stage.flow, .deliver = slow});
	stage_start(&stage, STAGE_ORDER);
	stage_run(&stage, 300000);
	worker_counts(stage.workers[STAGE_ORDER].worker, &counts);
	assert_true(counts.commits >= 2 * counts.halts); /* while it catches up */
	assert_in_range(counts.halts, 8, 14);
	stage_close(&stage);
}

static void every_refusal_promised_here_was_provoked(void **state)
{
	(void)state;
	stage_promises("test_worker.c");
}

/* ---- the length of a batch ---- */

static void receive(struct stage *stage, int count)
{
	static int number;
	char id[32];
	for (int i = 0; i < count; i++) {
		snprintf(id, sizeof id, "delivery-%d", number++);
		flow_receive(&stage->flow, id, "TEA", 1);
	}
	while (worker_step(stage->workers[STAGE_INVENTORY].worker) != WORKER_IDLE)
		;
}

static bool commits_after(struct stage *stage, int64_t ms)
{
	stage->flow.now_us += ms * 1000;
	return worker_step(stage->workers[STAGE_INVENTORY].worker) == WORKER_HELD;
}

static void a_batch_lasts_four_times_as_long_as_its_commit_will_take(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 1, 1);
	receive(&stage, 1200);
	assert_false(commits_after(&stage, 199));
	assert_true(commits_after(&stage, 1));
	stage_until(&stage, STAGE_INVENTORY, WORKER_ACKED);
	stage.flow.now_us += 120000; /* a COMMIT of 0.1 ms a record */
	stage_until(&stage, STAGE_INVENTORY, WORKER_MARKED);
	receive(&stage, 600);
	assert_false(commits_after(&stage, 235));
	assert_true(commits_after(&stage, 10));
	stage_until(&stage, STAGE_INVENTORY, WORKER_MARKED);
	receive(&stage, 4000);
	assert_false(commits_after(&stage, 999)); /* five intervals at most */
	assert_true(commits_after(&stage, 1));
	stage_until(&stage, STAGE_INVENTORY, WORKER_MARKED);
	receive(&stage, 10);
	assert_false(commits_after(&stage, 199));
	assert_true(commits_after(&stage, 1));
	stage_close(&stage);
}

/* ---- membership ---- */

/* Opening asks the log several things, and beside a log that is slow each takes seconds: 20 s a file, three files, a session of
 * 45 s. */
static void a_worker_stays_a_member_while_it_opens_its_files_beside_a_slow_log(void **state)
{
	(void)state;
	struct stage stage;
	struct worker_counts before, after;
	enum worker_step step = WORKER_IDLE;
	stage_open(&stage, 6, 2);
	stage_start(&stage, STAGE_SECOND_ORDER);
	stage_rest(&stage);
	struct worker *first = stage.workers[STAGE_ORDER].worker, *second = stage.workers[STAGE_SECOND_ORDER].worker;
	assert_int_equal(worker_task_count(first), 3);
	worker_counts(first, &before);
	log_memory_check(stage.flow.memory, "orders", -1);
	for (int i = 0; i < 1000 && step != WORKER_ASSIGNED; i++) {
		step = worker_step(first);
		if (step == WORKER_OPENED)
			stage.flow.now_us += 20000000;
		for (int j = 0; j < 20; j++)
			worker_step(second);
	}
	stage_rest(&stage);
	worker_counts(first, &after);
	assert_int_equal(worker_task_count(first), 3);
	assert_int_equal(after.rollbacks, before.rollbacks + 1); /* of the check: nothing was revoked */
	flow_verify(&stage.flow);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_mark_keeps_the_file_and_looks_at_everything_again),
		cmocka_unit_test(a_task_that_was_folded_in_silence_is_ready_though_it_needs_no_mark),
		cmocka_unit_test(a_stop_commits_and_marks_the_open_batch),
		cmocka_unit_test(a_stop_that_waits_for_acknowledgements_gives_up_after_30_s),
		cmocka_unit_test(
			acknowledgements_that_stay_away_are_waited_for_30_s_and_then_a_new_producer_sends_the_batch),
		cmocka_unit_test(until_end_ends_with_everything_folded_and_marked),
		cmocka_unit_test(until_end_with_a_halted_task_is_done_in_part),
		cmocka_unit_test(a_halted_task_is_tried_again_after_pauses_that_grow_to_a_minute),
		cmocka_unit_test(pauses_grow_also_where_commits_happen_before_the_task_halts),
		cmocka_unit_test(a_batch_lasts_four_times_as_long_as_its_commit_will_take),
		cmocka_unit_test(a_worker_stays_a_member_while_it_opens_its_files_beside_a_slow_log),
		cmocka_unit_test(every_refusal_promised_here_was_provoked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
