/* What may happen on one broker ($KAFKA) to a group and to the topics under it: a member that sleeps through its session and wakes
 * in any state of the protocol, offsets deleted under workers and behind their backs, a head that retention has eaten, a topic
 * made again, partitions added. A publisher and readers are there meanwhile, and the history must fit; where a fault is refused,
 * the way out that the refusal names is gone to its end. */
#include "../support/check.h"
#include "../support/kafka_admin.h"
#include "../support/recovery.h"
#include "../support/rig.h"
#include "../support/view.h"
#include "../support/witness.h"

#include "command.h"
#include "halt.h"
#include "interrupt.h"
#include "lock.h"
#include "seam.h"

#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ORDERS       3
#define INVENTORY    2
#define WAIT_SECONDS 120
#define SESSION      "3s"

static struct rig rig;

static int open_installation(void **state)
{
	(void)state;
	if (!rig_wants_kafka())
		fail_msg("KAFKA names no broker: tests/system/kafka/with-kafka.sh starts one");
	rig_open_topics(&rig, ORDERS, INVENTORY);
	return 0;
}

/* ---- work ---- */

static void publish_more(int orders, int seed)
{
	rig_ok(&rig, "publish --only orders --orders %d --seed %d --skus 40 --lines 1-4 --cancel-one-in 15", orders,
	       seed);
}

static void stop(struct rig_process *worker)
{
	assert_int_equal(rig_end(&rig, worker, SIGTERM, WAIT_SECONDS), 0);
}

static void fold_everything(void)
{
	struct rig_process *order = rig_start(&rig, "order", "order run");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	rig_drain(&rig, WAIT_SECONDS);
	stop(order);
	stop(inventory);
}

/* Verified, audited, every order with its one end, and the history fits. other_data: the folder of a second order worker. */
static void expect_whole(int64_t placed, const char *other_data)
{
	struct view view;
	if (other_data) {
		rig_ok(&rig, "audit --data %s --data %s", rig.data, other_data);
		rig_verify(&rig, "order", NULL, NULL);
		rig_verify(&rig, "order", other_data, NULL);
		rig_verify(&rig, "inventory", NULL, NULL);
	} else {
		rig_verify_all(&rig);
	}
	view_read(&rig, &view);
	print_message("placed %" PRId64 ": confirmed %" PRId64 ", rejected %" PRId64 ", cancelled %" PRId64 "; %" PRId64
	              " repeats on the wire\n",
	              view.placed, view.confirmed, view.rejected, view.cancelled, view.dropped);
	assert_int_equal(view.placed, placed);
	if (rig.witness)
		witness_expect_none(&rig);
	rig.passed = true;
}

/* ---- looking ---- */

static bool holds(const char *data, int32_t partition, pid_t pid, enum lock_state *state)
{
	pid_t holder;
	char path[160];
	snprintf(path, sizeof path, "%s/order/%d.lock", data, partition);
	return lock_holder(path, &holder, state) && holder == pid && *state != LOCK_OPENING && *state != LOCK_HALTED;
}

static bool any_in(const char *data, pid_t pid, enum lock_state wanted)
{
	enum lock_state state;
	for (int32_t p = 0; p < ORDERS; p++)
		if (holds(data, p, pid, &state) && state == wanted)
			return true;
	return false;
}

struct owner {
	const char *data;
	const struct rig_process *worker;
};

static bool holds_all(struct rig *of, void *arg)
{
	const struct owner *owner = arg;
	enum lock_state state;
	int32_t held = 0;
	for (int32_t p = 0; p < of->orders; p++)
		held += holds(owner->data, p, owner->worker->pid, &state);
	return held == of->orders;
}

static bool holds_some(struct rig *of, void *arg)
{
	const struct owner *owner = arg;
	enum lock_state state;
	for (int32_t p = 0; p < of->orders; p++)
		if (holds(owner->data, p, owner->worker->pid, &state))
			return true;
	return false;
}

/* Stopped where one of its tasks stands in this state. */
static void stop_in(const struct owner *owner, enum lock_state wanted)
{
	int64_t until = seam_monotonic_us(&seam_system) + WAIT_SECONDS * 1000000LL;
	pid_t pid = owner->worker->pid;
	int status;
	for (;;) {
		if (seam_monotonic_us(&seam_system) > until || interrupt_requested())
			fail_msg("%s was not seen %s within %d s", owner->worker->name, lock_state_name(wanted),
			         WAIT_SECONDS);
		if (!any_in(owner->data, pid, wanted)) {
			sched_yield();
			continue;
		}
		kill(pid, SIGSTOP);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		if (any_in(owner->data, pid, wanted))
			return;
		kill(pid, SIGCONT);
	}
}

struct words {
	const struct rig_process *process;
	const char *text;
	size_t behind; /* of what it wrote */
};

static bool has_said(struct rig *of, void *arg)
{
	const struct words *words = arg;
	return strstr(rig_words(of, words->process) + words->behind, words->text) != NULL;
}

static void await_words(const struct rig_process *process, size_t behind, const char *text)
{
	struct words words = {process, text, behind};
	rig_until(&rig, WAIT_SECONDS, text, has_said, &words);
}

/* ---- zombies ---- */

static void a_member_that_slept_through_its_session_wakes_in_any_state_and_nothing_counts_twice(void **state)
{
	(void)state;
	static const enum lock_state states[] = {LOCK_SENDING, LOCK_ACKS, LOCK_COMMIT};
	struct recovery recoveries[sizeof states / sizeof *states];
	rig_receive(&rig, RIG_SKUS, 100);
	publish_more(60, 15);
	fold_everything(); /* so that there is a file of each partition */
	witness_open(&rig, 1);
	const char *other_data = arena_format(&rig.arena, "%s/other", rig.folder);
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *zombie = rig_start(&rig, "zombie", "order run --session-timeout " SESSION);
	struct rig_process *other =
		rig_start(&rig, "other", "order run --session-timeout " SESSION " --data %s", other_data);
	struct owner sleeper = {rig.data, zombie}, heir = {other_data, other};
	witness_orders(rig.witness, WITNESS_ENDLESS, 1, 200);
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		rig_until(&rig, WAIT_SECONDS, "it has partitions again", holds_some, &sleeper);
		stop_in(&sleeper, states[i]);
		recovery_begin(&recoveries[i], "groups",
		               arena_format(&rig.arena, "worker asleep, %s", lock_state_name(states[i])));
		rig_until(&rig, WAIT_SECONDS, "the other has taken all partitions", holds_all, &heir);
		size_t said = strlen(rig_words(&rig, zombie));
		kill(zombie->pid, SIGCONT);
		await_words(zombie, said, "partitions revoked");
		await_words(zombie, said, "partitions assigned");
	}
	int64_t orders = witness_enough(&rig, WAIT_SECONDS);
	rig_ok(&rig, "audit --wait --timeout 110s --data %s --data %s", rig.data, other_data);
	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		recovery_end(&rig, &recoveries[i]);
	stop(zombie);
	stop(other);
	stop(inventory);
	expect_whole(60 + orders, other_data);
}

static void who_sleeps_on_a_shared_file_is_named_until_it_wakes(void **state)
{
	(void)state;
	struct recovery recovery;
	char pid[32];
	rig_receive(&rig, RIG_SKUS, 100);
	witness_open(&rig, 1);
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *zombie = rig_start(&rig, "zombie", "order run --session-timeout " SESSION);
	struct owner sleeper = {rig.data, zombie};
	witness_orders(rig.witness, WITNESS_ENDLESS, 2, 200);
	rig_until(&rig, WAIT_SECONDS, "it has all partitions", holds_all, &sleeper);
	stop_in(&sleeper, LOCK_SENDING);
	recovery_begin(&recovery, "groups", "worker asleep on shared files");
	struct rig_process *other = rig_start(&rig, "other", "order run --session-timeout " SESSION);
	snprintf(pid, sizeof pid, "%d", zombie->pid);
	await_words(other, 0, "\"reason\":\"locked\"");
	await_words(other, 0, pid);
	assert_null(strstr(rig_words(&rig, other), "task halted")); /* it is waited for */
	size_t said = strlen(rig_words(&rig, zombie));
	kill(zombie->pid, SIGCONT);
	await_words(zombie, said, "partitions revoked");
	int64_t orders = witness_enough(&rig, WAIT_SECONDS);
	rig_drain(&rig, WAIT_SECONDS);
	recovery_end(&rig, &recovery);
	stop(zombie);
	stop(other);
	stop(inventory);
	expect_whole(orders, NULL);
}

/* ---- offsets ---- */

static int64_t mark_sum(void)
{
	int64_t sum = 0;
	for (int32_t p = 0; p < ORDERS; p++) {
		struct err err = {0};
		struct log_mark mark = {.partition = p};
		check(log_committed(rig.log, "tandem-order", "orders", &mark, &err), &err);
		sum += mark.offset;
	}
	return sum;
}

static bool marks_are_back(struct rig *of, void *arg)
{
	(void)of;
	(void)arg;
	return mark_sum() > 0;
}

static void offsets_are_not_deleted_under_a_member_and_without_members_come_again(void **state)
{
	(void)state;
	struct recovery recovery;
	struct err err = {0};
	rig_receive(&rig, RIG_SKUS, 100);
	witness_open(&rig, 1);
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *order = rig_start(&rig, "order", "order run");
	witness_orders(rig.witness, WITNESS_ENDLESS, 3, 150);
	rig_until(&rig, WAIT_SECONDS, "marks are committed", marks_are_back, NULL);
	assert_string_equal(kafka_admin_delete_offsets(&rig, "tandem-order", "orders", ORDERS),
	                    "GROUP_SUBSCRIBED_TO_TOPIC");
	assert_int_equal(log_group_delete(rig.log, "tandem-order", &err), RETRY);
	assert_string_equal(err.code, "group_busy");
	stop(order);
	order = rig_start(&rig, "order", "order run --partitions 0-%d", ORDERS - 1); /* no member of the group */
	await_words(order, 0, "partitions assigned");
	recovery_begin(&recovery, "groups", "offsets deleted under workers");
	for (int i = 0; i < 5; i++) {
		assert_string_equal(kafka_admin_delete_offsets(&rig, "tandem-order", "orders", ORDERS), "");
		rig_until(&rig, WAIT_SECONDS, "marks are committed again", marks_are_back, NULL);
	}
	int64_t orders = witness_enough(&rig, WAIT_SECONDS);
	rig_drain(&rig, WAIT_SECONDS);
	recovery_end(&rig, &recovery);
	stop(order);
	stop(inventory);
	expect_whole(orders, NULL);
}

static void delete_file(int32_t partition)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	for (int i = 0; i < 3; i++)
		unlink(arena_format(&rig.arena, "%s/order/%d.db%s", rig.data, partition, endings[i]));
}

static void offsets_and_a_file_that_are_gone_after_a_kill_send_everything_again_and_nothing_new(void **state)
{
	(void)state;
	struct recovery recovery;
	struct view before, after;
	rig_receive(&rig, RIG_SKUS, 100);
	witness_open(&rig, 1);
	witness_orders(rig.witness, 1200, 4, 400);
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *order = rig_start(&rig, "order", "order run --partitions 0-%d", ORDERS - 1);
	witness_published(&rig, WAIT_SECONDS);
	rig_drain(&rig, WAIT_SECONDS);
	view_read(&rig, &before);
	witness_orders(rig.witness, WITNESS_ENDLESS, 5, 300);
	struct owner owner = {rig.data, order};
	stop_in(&owner, LOCK_SENDING);
	recovery_begin(&recovery, "groups", "worker killed, its file and offsets deleted");
	assert_int_equal(rig_end(&rig, order, SIGKILL, WAIT_SECONDS), -SIGKILL);
	assert_string_equal(kafka_admin_delete_offsets(&rig, "tandem-order", "orders", ORDERS), "");
	assert_int_equal(mark_sum(), -ORDERS);
	for (int32_t p = 0; p < ORDERS; p++)
		delete_file(p);
	order = rig_start(&rig, "order", "order run");
	int64_t orders = witness_enough(&rig, WAIT_SECONDS);
	rig_drain(&rig, WAIT_SECONDS);
	recovery_end(&rig, &recovery);
	stop(order);
	stop(inventory);
	view_read(&rig, &after);
	assert_true(after.dropped >= before.dropped + 1200); /* each order's outputs were there again */
	expect_whole(1200 + orders, NULL);
}

/* ---- topics that are not what they were ---- */

/* "" while it is not halted. */
static const char *halt_reason(int32_t partition)
{
	struct halt halt;
	const char *path = arena_format(&rig.arena, "%s/order/%d.halt", rig.data, partition);
	return halt_read(path, &rig.arena, &halt) ? halt.reason : "";
}

static const char *halt_message(int32_t partition)
{
	struct halt halt;
	const char *path = arena_format(&rig.arena, "%s/order/%d.halt", rig.data, partition);
	assert_true(halt_read(path, &rig.arena, &halt));
	return halt.message;
}

struct refusal {
	int32_t partition;
	const char *reason;
};

static bool is_refused(struct rig *of, void *arg)
{
	const struct refusal *refusal = arg;
	(void)of;
	return strcmp(halt_reason(refusal->partition), refusal->reason) == 0;
}

/* The task halts with this reason; its message and status say what to do. */
static void expect_refused(int32_t partition, const char *reason, const char *words)
{
	struct refusal refusal = {partition, reason};
	struct rig_result status;
	rig_until(&rig, WAIT_SECONDS, arena_format(&rig.arena, "order/%d is refused with %s", partition, reason),
	          is_refused, &refusal);
	if (!strstr(halt_message(partition), words))
		fail_msg("'%s' does not say '%s'", halt_message(partition), words);
	rig_run(&rig, &status, WAIT_SECONDS, "order status");
	assert_int_equal(status.exit_status, 1);
	if (!strstr(status.out, halt_message(partition)))
		fail_msg("status does not say '%s': %s", halt_message(partition), status.out);
}

/* A new installation, into which the publishers' events are copied: first, where there is one, from a mirror, then from what the
 * topics still hold. From here on the rig is there; the old topics are deleted. */
static void move_to_a_new_installation(const char *mirror)
{
	struct err err = {0};
	const char *old = rig.name_space, *fresh = arena_format(&rig.arena, "%s-new", old);
	rig_ok(&rig,
	       "topics create --single-replica --partitions-of orders=%d --partitions-of inventory=%d --namespace %s",
	       ORDERS, INVENTORY, fresh);
	static const char *const topics[] = {"inventory", "orders"}; /* stock first */
	rig.data = arena_format(&rig.arena, "%s/new", rig.folder);
	for (int i = 0; i < 2; i++) {
		if (mirror)
			rig_ok(&rig, "replay --log local:%s -t %s --to-log %s --to-namespace %s", mirror, topics[i],
			       rig.url, fresh);
		rig_ok(&rig, "replay -t %s --to-namespace %s", topics[i], fresh);
		if (i == 0)
			rig_ok(&rig, "inventory run --until-end --namespace %s --data %s", fresh, rig.data);
	}
	rig_ok(&rig, "topics delete --yes");
	rig.name_space = fresh;
	setenv("TANDEM_NAMESPACE", fresh, 1);
	setenv("TANDEM_DATA", rig.data, 1);
	log_close(rig.log);
	check(log_open(rig.url, &(struct log_config){.seam = &seam_system, .name_space = fresh}, &rig.log, &err), &err);
}

/* Drained, and the publisher and readers have ended: what follows is another log. */
static void publish_and_fold(int64_t orders, uint64_t seed)
{
	witness_open(&rig, 1);
	witness_orders(rig.witness, orders, seed, 0);
	witness_published(&rig, WAIT_SECONDS);
	fold_everything();
	witness_expect_none(&rig);
	witness_close(rig.witness);
	rig.witness = NULL;
}

static const char *make_mirror(void)
{
	const char *mirror = arena_format(&rig.arena, "%s/mirror", rig.folder);
	rig_ok(&rig, "replay --mirror %s", mirror);
	return mirror;
}

static int64_t end_of(const char *topic, int32_t partition)
{
	struct err err = {0};
	int64_t low, high;
	check(log_bounds(rig.log, topic, partition, &low, &high, &err), &err);
	return high;
}

static void a_head_that_retention_has_eaten_is_refused_and_a_mirror_is_the_way_out(void **state)
{
	(void)state;
	struct recovery recovery;
	struct rig_result result;
	int status;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(400, 6);
	const char *mirror = make_mirror();
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *order = rig_start(&rig, "order", "order run --partitions 0-%d", ORDERS - 1);
	struct owner owner = {rig.data, order};
	rig_until(&rig, WAIT_SECONDS, "it has opened all its files, and looked at their logs", holds_all, &owner);
	rig_drain(&rig, WAIT_SECONDS);
	kill(order->pid, SIGSTOP);
	assert_int_equal(waitpid(order->pid, &status, WUNTRACED), order->pid);
	publish_more(150, 7);
	publish_more(150, 14); /* the first ones may have been on their way to it */
	/* What is before its position is not missed by a running worker; what it has not read is. */
	assert_string_equal(kafka_admin_delete_records(&rig, "orders", 0, 10), "");
	assert_string_equal(kafka_admin_delete_records(&rig, "orders", 1, end_of("orders", 1) - 5), "");
	recovery_begin(&recovery, "groups", "head of a partition deleted");
	kill(order->pid, SIGCONT);
	expect_refused(1, "retention", "expected 0: records are gone");
	assert_string_equal(halt_reason(0), "");
	assert_string_equal(halt_reason(2), "");
	stop(order);
	order = rig_start(&rig, "order", "order run");
	expect_refused(0, "retention", "expected 0: records are gone"); /* who starts looks at its whole log */
	stop(order);
	stop(inventory);
	rig_run(&rig, &result, WAIT_SECONDS, "publish --only orders --orders 1 --seed 13"); /* publishers look, too */
	assert_int_equal(result.exit_status, 1);
	assert_non_null(strstr(result.err, "expected 0: records are gone"));
	move_to_a_new_installation(mirror);
	publish_more(150, 7); /* what the hole has taken, its publisher says again */
	publish_more(150, 14);
	fold_everything();
	recovery_end(&rig, &recovery);
	expect_whole(700, NULL);
}

static void make_again(const char *topic)
{
	struct err err = {0};
	struct log_topic info;
	check(log_topic_describe(rig.log, topic, &rig.arena, &info, &err), &err);
	check(log_topic_delete(rig.log, topic, &err), &err);
	info.name = topic;
	check(log_topic_create(rig.log, &info, &err), &err);
}

static void a_topic_made_again_under_its_workers_is_refused_and_a_mirror_is_the_way_out(void **state)
{
	(void)state;
	struct recovery recovery;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(400, 8);
	const char *mirror = make_mirror();
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *order = rig_start(&rig, "order", "order run --session-timeout " SESSION);
	publish_more(100, 9);
	rig_drain(&rig, WAIT_SECONDS);
	int64_t outcomes = end_of("order-events", 0);
	recovery_begin(&recovery, "groups", "topic made again");
	make_again("orders");
	rig_ok(&rig, "topics create --single-replica --partitions-of orders=%d --partitions-of inventory=%d", ORDERS,
	       INVENTORY);
	for (int32_t p = 0; p < ORDERS; p++)
		expect_refused(p, "truncated", "the log has lost its tail");
	publish_more(50, 10); /* nobody folds it: there is a log behind it that is not the file's */
	stop(order);
	assert_int_equal(end_of("order-events", 0), outcomes);
	stop(inventory);
	move_to_a_new_installation(mirror);
	publish_more(100, 9);
	fold_everything();
	recovery_end(&rig, &recovery);
	expect_whole(550, NULL);
}

static void partitions_added_under_workers_are_refused_and_a_new_installation_is_the_way_out(void **state)
{
	(void)state;
	struct recovery recovery;
	struct rig_result result;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(400, 11);
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *order = rig_start(&rig, "order", "order run");
	rig_drain(&rig, WAIT_SECONDS);
	recovery_begin(&recovery, "groups", "partitions added");
	assert_string_equal(kafka_admin_add_partitions(&rig, "orders", ORDERS + 1), "");
	publish_more(100, 12); /* by the pinned count: publishers go on as before */
	for (int32_t p = 0; p < ORDERS; p++)
		expect_refused(p, "partition_count", "new installation");
	rig_run(&rig, &result, WAIT_SECONDS, "topics check");
	assert_int_equal(result.exit_status, EXIT_DIFFERS);
	stop(order);
	stop(inventory);
	move_to_a_new_installation(NULL);
	fold_everything();
	recovery_end(&rig, &recovery);
	expect_whole(500, NULL);
}

#define GROUP(test) cmocka_unit_test_prestate_setup_teardown(test, open_installation, rig_teardown, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GROUP(a_member_that_slept_through_its_session_wakes_in_any_state_and_nothing_counts_twice),
		GROUP(who_sleeps_on_a_shared_file_is_named_until_it_wakes),
		GROUP(offsets_are_not_deleted_under_a_member_and_without_members_come_again),
		GROUP(offsets_and_a_file_that_are_gone_after_a_kill_send_everything_again_and_nothing_new),
		GROUP(a_head_that_retention_has_eaten_is_refused_and_a_mirror_is_the_way_out),
		GROUP(a_topic_made_again_under_its_workers_is_refused_and_a_mirror_is_the_way_out),
		GROUP(partitions_added_under_workers_are_refused_and_a_new_installation_is_the_way_out),
	};
	if (getenv("TANDEM_TEST"))
		cmocka_set_test_filter(getenv("TANDEM_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
