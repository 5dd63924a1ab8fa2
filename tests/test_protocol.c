/* The commit protocol under faults, and a seeded run over everything that can go wrong and heal. After each: rest, no open
 * gap, every order ended, the stock balanced, every file verified. */
#include "support/faulty_vfs.h"
#include "support/stage.h"

#include "header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* ---- what holds in the end ---- */

static void all_is_well(struct stage *stage)
{
	static const char *const services[] = {"order", "inventory"};
	stage_run(stage, 200000);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(flow_sum(&stage->flow, services[i], "SELECT count(*) FROM gap"), 0);
		assert_int_equal(flow_sum(&stage->flow, services[i], "SELECT forks + unknown_sources FROM meta"), 0);
	}
	assert_int_equal(flow_sum(&stage->flow, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0);
	assert_int_equal(flow_sum(&stage->flow, "inventory", "SELECT sum(reserved) FROM stock"), 0);
	assert_int_equal(
		flow_sum(&stage->flow, "inventory",
	                 "SELECT coalesce((SELECT sum(received) FROM stock), 0)"
	                 " - coalesce((SELECT sum(on_hand) FROM stock), 0)"
	                 " - coalesce((SELECT sum(value) FROM reservation, json_each(lines) WHERE status = 2), 0)"),
		0);
	flow_verify(&stage->flow);
}

/* ---- one write in turn goes wrong ---- */

struct one_fault {
	int at, seen;
	enum log_memory_fate fate;
	int64_t delay_us;
};

static enum log_memory_fate one_fault(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	struct one_fault *fault = arg;
	(void)topic;
	if (!header_find(record, HEADER_STREAM) || fault->seen++ != fault->at)
		return LOG_MEMORY_WRITE;
	*delay_us = fault->delay_us;
	return fault->fate;
}

/* The same small story with a fault at every single output in turn; true: the fault was reached. */
static bool story(struct one_fault *fault, int64_t *rollbacks)
{
	struct stage stage;
	struct worker_counts counts;
	stage_make(&stage, 1, 2);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.arg = fault, .produce = one_fault});
	stage_start(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_INVENTORY);
	stage_order(&stage, 0, 0);
	flow_cancel(&stage.flow, stage_order(&stage, 0, 1));
	flow_order_one(&stage.flow, "short", "nothing", 1);
	all_is_well(&stage);
	for (int which = 0; which < 2; which++) {
		worker_counts(stage.workers[which].worker, &counts);
		*rollbacks += counts.rollbacks;
	}
	assert_int_equal(flow_count(&stage.flow, "order-events", &order_rejected_type), 1);
	stage_close(&stage);
	return fault->seen > fault->at;
}

static void at_every_output(enum log_memory_fate fate, int64_t delay_us, bool rolls_back)
{
	int64_t rollbacks = 0;
	int at = 0;
	for (bool reached = true; reached; at++) {
		struct one_fault fault = {.at = at, .fate = fate, .delay_us = delay_us};
		reached = story(&fault, &rollbacks);
	}
	assert_true(at > 8);
	assert_int_equal(rollbacks > 0, rolls_back);
}

static void an_output_that_is_lost_is_sent_again(void **state)
{
	(void)state;
	at_every_output(LOG_MEMORY_LOSE, 0, true);
}

static void an_output_that_was_written_without_an_acknowledgement_is_sent_again_and_dropped(void **state)
{
	(void)state;
	at_every_output(LOG_MEMORY_UNKNOWN, 0, true);
}

static void an_output_that_is_written_twice_is_dropped_once(void **state)
{
	(void)state;
	at_every_output(LOG_MEMORY_DOUBLE, 0, false);
}

static void an_output_that_is_acknowledged_late_is_waited_for(void **state)
{
	(void)state;
	at_every_output(LOG_MEMORY_WRITE, 5000000, false);
}

static void a_failure_that_is_reported_late_rolls_back_what_is_still_open(void **state)
{
	(void)state;
	at_every_output(LOG_MEMORY_LOSE, 3000000, true);
}

/* A producer dies with its worker; what it had under way lands when the next owner has sent the same. */
static void what_a_dead_worker_had_under_way_lands_late_and_is_dropped(void **state)
{
	(void)state;
	for (int at = 0; at < 6; at++) {
		struct stage stage;
		struct one_fault fault = {.at = at, .delay_us = 70000000};
		stage_make(&stage, 1, 1);
		log_memory_set_faults(stage.flow.memory,
		                      &(struct log_memory_faults){.arg = &fault, .produce = one_fault});
		stage_start(&stage, STAGE_ORDER);
		stage_start(&stage, STAGE_INVENTORY);
		for (int i = 0; i < 4; i++)
			stage_order(&stage, 0, 0);
		stage_run(&stage, 400);
		stage_crash(&stage, STAGE_ORDER);
		stage_crash(&stage, STAGE_INVENTORY);
		stage_start(&stage, STAGE_ORDER);
		stage_start(&stage, STAGE_INVENTORY);
		all_is_well(&stage);
		stage_close(&stage);
	}
}

/* ---- two owners ---- */

/* The first owner is paused after each of its steps, the second takes over with a folder of its own, the first wakes. */
static void a_zombie_that_wakes_after_a_takeover_changes_nothing(void **state)
{
	(void)state;
	static const int32_t all[] = {0};
	bool goes_on = true;
	for (int pause_at = 1; goes_on; pause_at += 3) {
		struct stage stage;
		stage_open(&stage, 1, 1);
		stage_stop(&stage, STAGE_ORDER);
		const char *own = arena_format(&stage.flow.arena, "%s/zombie", stage.flow.data);
		struct flow_worker zombie;
		flow_start_with(&stage.flow, &zombie,
		                &(struct worker_config){.service = flow_service("order"),
		                                        .data = own,
		                                        .partitions = all,
		                                        .partition_count = 1});
		for (int i = 0; i < 3; i++)
			stage_order(&stage, 0, 0);
		int steps = 0;
		for (int idle = 0; steps < pause_at && idle < 60;) {
			bool moved = worker_step(zombie.worker) != WORKER_IDLE;
			idle = moved ? 0 : idle + 1;
			steps += moved;
			stage.flow.now_us += moved ? 50 : 20000;
		}
		goes_on = steps == pause_at;
		stage_start_with(&stage, STAGE_ORDER, &(struct worker_config){.partitions = all, .partition_count = 1});
		stage_rest(&stage);
		stage_order(&stage, 0, 0);
		stage_rest(&stage);
		for (int i = 0; i < 400; i++) { /* it sends, commits its file, and puts the mark back */
			worker_step(zombie.worker);
			stage.flow.now_us += 2000;
		}
		stage_run(&stage, 2000);
		flow_drop(&zombie);
		stage_crash(&stage, STAGE_ORDER);
		stage_delete(&stage, STAGE_ORDER, 0); /* only the mark says now what was sent */
		stage_start_with(&stage, STAGE_ORDER, &(struct worker_config){.partitions = all, .partition_count = 1});
		all_is_well(&stage);
		assert_int_equal(flow_count(&stage.flow, "order-events", &order_confirmed_type), 4);
		stage_close(&stage);
	}
}

static void a_member_that_was_thrown_out_drops_its_batch_and_the_same_comes_out_again(void **state)
{
	(void)state;
	for (int at = 1; at < 40; at++) {
		struct stage stage;
		stage_open(&stage, 2, 1);
		for (int i = 0; i < 4; i++)
			stage_order(&stage, i % 2, 0);
		for (int i = 0; i < at; i++) {
			worker_step(stage.workers[STAGE_ORDER].worker);
			stage.flow.now_us += 10;
		}
		log_memory_expel(stage.flow.memory, "tandem-order");
		all_is_well(&stage);
		assert_int_equal(flow_count(&stage.flow, "order-events", &order_confirmed_type), 4);
		stage_close(&stage);
	}
}

/* ---- files and marks ---- */

static void copy_file(struct stage *stage, const char *from, const char *to)
{
	char command[400];
	(void)stage;
	snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
	assert_int_equal(system(command), 0);
}

static void a_file_restored_from_an_earlier_moment_catches_up_in_silence(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 1, 1);
	stage_order(&stage, 0, 0);
	stage_rest(&stage);
	for (int which = 0; which < 2; which++) {
		stage_stop(&stage, which);
		const char *live = stage_path(&stage, which, 0, ".db"), *kept = stage_path(&stage, which, 0, ".kept");
		copy_file(&stage, live, kept);
		stage_start(&stage, which);
		for (int i = 0; i < 3; i++)
			stage_order(&stage, 0, 0);
		stage_rest(&stage);
		stage_stop(&stage, which);
		const int64_t events = stage_end(&stage, "order-events", 0),
			      commands = stage_end(&stage, "inventory", 0);
		stage_delete(&stage, which, 0);
		copy_file(&stage, kept, live);
		stage_start(&stage, which);
		stage_rest(&stage);
		assert_true(stage_task(&stage, which, 0).suppressed > 0);
		assert_false(stage_task(&stage, which, 0).catching_up);
		assert_int_equal(stage_end(&stage, "order-events", 0), events);
		assert_int_equal(stage_end(&stage, "inventory", 0), commands);
	}
	all_is_well(&stage);
	stage_close(&stage);
}

static void without_file_and_without_marks_everything_is_sent_again_and_dropped(void **state)
{
	(void)state;
	for (int marks = 0; marks < 2; marks++) {
		struct stage stage;
		stage_open(&stage, 2, 2);
		for (int i = 0; i < 6; i++)
			stage_order(&stage, i % 2, i % 2);
		stage_rest(&stage);
		const int64_t before = stage_end(&stage, "order-events", 0);
		stage_stop(&stage, STAGE_ORDER);
		stage_delete(&stage, STAGE_ORDER, 0);
		if (!marks)
			stage_delete_marks(&stage, STAGE_ORDER);
		stage_start(&stage, STAGE_ORDER);
		stage_rest(&stage);
		assert_int_equal(stage_end(&stage, "order-events", 0) > before, !marks);
		all_is_well(&stage);
		assert_int_equal(flow_count(&stage.flow, "order-events", &order_confirmed_type), 6);
		stage_close(&stage);
	}
}

static void a_mark_older_than_the_file_does_not_move_it_back(void **state)
{
	(void)state;
	struct stage stage;
	static const int32_t all[] = {0};
	struct err err = {0};
	struct log_consumer *tool;
	stage_open(&stage, 1, 1);
	struct log_mark old = {.partition = 0};
	assert_int_equal(log_committed(stage.flow.log, "tandem-order", "orders", &old, &err), OK);
	stage_order(&stage, 0, 0);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	const struct log_consumer_config config = {
		.topic = "orders", .group = "tandem-order", .partitions = all, .partition_count = 1};
	assert_int_equal(log_consumer_open(stage.flow.log, &config, &tool, &err), OK);
	assert_int_equal(log_consumer_commit(tool, &old, 1, &err), OK);
	log_consumer_close(tool, true);
	const int64_t events = stage_end(&stage, "order-events", 0);
	stage_start(&stage, STAGE_ORDER);
	all_is_well(&stage);
	assert_int_equal(stage_end(&stage, "order-events", 0), events);
	assert_int_equal(log_committed(stage.flow.log, "tandem-order", "orders", &old, &err), OK);
	assert_int_equal(old.offset, stage_end(&stage, "orders", 0)); /* and the mark is put right */
	stage_close(&stage);
}

static void a_commit_that_fails_in_one_task_leaves_the_others_and_is_folded_again(void **state)
{
	(void)state;
	struct stage stage;
	struct worker_counts before, after;
	faulty_vfs_install();
	stage_make(&stage, 2, 2);
	stage_start_with(&stage, STAGE_ORDER, &(struct worker_config){.vfs = FAULTY_VFS});
	stage_start(&stage, STAGE_INVENTORY);
	stage_rest(&stage);
	worker_counts(stage.workers[STAGE_ORDER].worker, &before);
	stage_order(&stage, 0, 0);
	stage_order(&stage, 1, 1);
	faulty_vfs_fail("order/1.db-wal", FAULTY_IO);
	stage_until(&stage, STAGE_ORDER, WORKER_BACKED_OFF);
	stage_until(&stage, STAGE_ORDER, WORKER_MARKED);
	worker_counts(stage.workers[STAGE_ORDER].worker, &after);
	assert_true(after.commits > before.commits);
	assert_true(flow_number(&stage.flow, "order", 0, "SELECT count(*) FROM orders") == 1);
	assert_true(flow_number(&stage.flow, "order", 1, "SELECT count(*) FROM orders") == 0);
	faulty_vfs_fail("", FAULTY_NONE);
	all_is_well(&stage);
	assert_int_equal(flow_count(&stage.flow, "order-events", &order_confirmed_type), 2);
	stage_close(&stage);
}

/* ---- at random ---- */

struct dice {
	uint64_t state;
	bool calm;
};

static uint32_t roll(struct dice *dice, uint32_t sides)
{
	dice->state = dice->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(dice->state >> 33) % sides;
}

static enum log_memory_fate random_fate(void *arg, const char *topic, const struct log_record *record,
                                        int64_t *delay_us)
{
	struct dice *dice = arg;
	(void)topic;
	if (dice->calm || !header_find(record, HEADER_STREAM))
		return LOG_MEMORY_WRITE;
	if (roll(dice, 6) == 0)
		*delay_us = roll(dice, 400000);
	switch (roll(dice, 30)) {
	case 0:
		return LOG_MEMORY_LOSE;
	case 1:
		return LOG_MEMORY_UNKNOWN;
	case 2:
		return LOG_MEMORY_DOUBLE;
	default:
		return LOG_MEMORY_WRITE;
	}
}

static enum status random_commit(void *arg, const char *group, const char *topic, struct err *err)
{
	struct dice *dice = arg;
	(void)group;
	(void)topic;
	if (dice->calm || roll(dice, 12))
		return OK;
	return err_set(err, roll(dice, 2) ? FATAL : RETRY, "fenced", "at random");
}

static void publish_at_random(struct stage *stage, struct dice *dice)
{
	static const char *const skus[] = {"A", "B", "C", "D"};
	struct order_line lines[3];
	const char *id = arena_format(&stage->flow.arena, "%d", (int)roll(dice, 12));
	const char *fresh = arena_format(&stage->flow.arena, "R%d", stage->serial++);
	const size_t count = 1 + roll(dice, 3);
	dice->calm = true; /* the publisher's own writes are right: what it repeats is in the story */
	for (size_t i = 0; i < count; i++)
		lines[i] = (struct order_line){.sku = skus[(strlen(id) + (size_t)id[0] + i) % 4], .quantity = 1};
	switch (roll(dice, 4)) {
	case 0:
		flow_receive(&stage->flow, fresh, skus[roll(dice, 4)], 1 + roll(dice, 3));
		break;
	case 1:
		flow_cancel(&stage->flow, id);
		break;
	default: /* the same id may come with other lines: a conflict, which is a dead letter */
		flow_order(&stage->flow, id, lines, count);
	}
	dice->calm = false;
}

static void go_wrong_at_random(struct stage *stage, struct dice *dice)
{
	static const char *const groups[] = {"tandem-order", "tandem-inventory"};
	const int which = (int)roll(dice, 2);
	switch (roll(dice, 8)) {
	case 0:
	case 1:
	case 2:
		stage_crash(stage, which);
		if (roll(dice, 4) == 0)
			stage_delete(stage, which, (int32_t)roll(dice, 2));
		stage_start(stage, which);
		break;
	case 3:
		log_memory_expel(stage->flow.memory, groups[which]);
		break;
	case 4:
		log_memory_check(stage->flow.memory, which ? "inventory" : "orders", -1);
		break;
	case 5: /* paused for longer than a session */
		for (int i = 0; i < 300; i++) {
			worker_step(stage->workers[1 - which].worker);
			stage->flow.now_us += 200000;
		}
		break;
	case 6:
		dice->calm = true; /* a clean stop and start */
		stage_stop(stage, which);
		stage_start(stage, which);
		dice->calm = false;
		break;
	default:
		stage->flow.now_us += 1000000;
	}
}

static void run_at_random(uint64_t seed)
{
	struct stage stage;
	struct dice dice = {.state = seed};
	stage_make(&stage, 2, 2);
	log_memory_set_faults(
		stage.flow.memory,
		&(struct log_memory_faults){.arg = &dice, .produce = random_fate, .commit = random_commit});
	stage_start(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_INVENTORY);
	for (int i = 0; i < 30; i++) {
		publish_at_random(&stage, &dice);
		for (uint32_t steps = roll(&dice, 60); steps; steps--) {
			bool moved = worker_step(stage.workers[roll(&dice, 2)].worker) != WORKER_IDLE;
			stage.flow.now_us += moved ? 200 : 30000;
		}
		if (roll(&dice, 6) == 0)
			go_wrong_at_random(&stage, &dice);
	}
	dice.calm = true;
	all_is_well(&stage);
	stage_close(&stage);
}

static uint64_t seed_now; /* of the run under way */

static int say_seed(void **state)
{
	(void)state;
	if (seed_now)
		print_error("seed %llu; again: TANDEM_SEED=%llu build/tests/test_protocol\n",
		            (unsigned long long)seed_now, (unsigned long long)seed_now);
	return 0;
}

static void whatever_goes_wrong_at_random_heals(void **state)
{
	(void)state;
	const char *given = getenv("TANDEM_SEED"), *longer = getenv("TANDEM_SECONDS");
	const long seconds = longer ? strtol(longer, NULL, 10) : 5;
	struct timespec start, now;
	int runs = 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		seed_now = given ? strtoull(given, NULL, 10) : (uint64_t)runs + 1;
		run_at_random(seed_now);
		runs++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!given && (longer || runs < 2000) && now.tv_sec - start.tv_sec < seconds);
	seed_now = 0;
	print_message("%d schedules\n", runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_output_that_is_lost_is_sent_again),
		cmocka_unit_test(an_output_that_was_written_without_an_acknowledgement_is_sent_again_and_dropped),
		cmocka_unit_test(an_output_that_is_written_twice_is_dropped_once),
		cmocka_unit_test(an_output_that_is_acknowledged_late_is_waited_for),
		cmocka_unit_test(a_failure_that_is_reported_late_rolls_back_what_is_still_open),
		cmocka_unit_test(what_a_dead_worker_had_under_way_lands_late_and_is_dropped),
		cmocka_unit_test(a_zombie_that_wakes_after_a_takeover_changes_nothing),
		cmocka_unit_test(a_member_that_was_thrown_out_drops_its_batch_and_the_same_comes_out_again),
		cmocka_unit_test(a_file_restored_from_an_earlier_moment_catches_up_in_silence),
		cmocka_unit_test(without_file_and_without_marks_everything_is_sent_again_and_dropped),
		cmocka_unit_test(a_mark_older_than_the_file_does_not_move_it_back),
		cmocka_unit_test(a_commit_that_fails_in_one_task_leaves_the_others_and_is_folded_again),
		cmocka_unit_test_teardown(whatever_goes_wrong_at_random_heals, say_seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
