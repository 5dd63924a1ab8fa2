/* The ways out that refusals name, gone as a person goes them, over local:DIR: the refusal is provoked with processes, what its
 * message says is done by the commands that it names, and work goes on. */
#include "../support/rig.h"

#include "halt.h"
#include "store.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PARTITIONS   2
#define WAIT_SECONDS 120
#define LATE                                                                                                           \
	"{\"type\": \"StockReceived\", \"event\": {\"receipt_id\": \"late\", \"sku\": \"LATE\", \"quantity\": 7, \"received_at\": 1291191960000}}\n"

static struct rig rig;

static int open_folder(void **state)
{
	(void)state;
	rig_open(&rig);
	return 0;
}

static int open_installation(void **state)
{
	(void)state;
	rig_open_topics(&rig, PARTITIONS, PARTITIONS);
	return 0;
}

/* ---- work ---- */

static void publish_and_fold(int seed)
{
	rig_ok(&rig, "publish --orders 60 --skus 20 --stock 50 --seed %d", seed);
	struct rig_process *order = rig_start(&rig, "order", "order run");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	rig_drain(&rig, WAIT_SECONDS);
	assert_int_equal(rig_end(&rig, order, SIGTERM, WAIT_SECONDS), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, WAIT_SECONDS), 0);
}

static void publish_late(void)
{
	struct rig_result result;
	rig_run_with(&rig, &result, WAIT_SECONDS, LATE, "publish -");
	assert_int_equal(result.exit_status, 0);
}

/* On a partition of the log that nobody has open. */
static void exec_in_log(const char *topic, int32_t partition, const char *sql)
{
	struct store *store;
	struct err err = {0};
	const char *path = arena_format(&rig.arena, "%s/log/topics/%s/%d.db", rig.folder, topic, partition);
	if (store_open(&(struct store_config){.path = path, .mode = STORE_WRITE}, &store, &err) != OK ||
	    store_exec(store, sql, &err) != OK)
		fail_msg("%s: %s", path, err.text);
	store_close(store);
}

/* ---- what is said ---- */

/* What follows `before` in the text, up to the first of the characters in `end`. */
static const char *cut(const char *text, const char *before, const char *end)
{
	const char *at = strstr(text, before);
	if (!at)
		fail_msg("'%s' does not say '%s'", text, before);
	at += strlen(before);
	return arena_format(&rig.arena, "%.*s", (int)strcspn(at, end), at);
}

static const char *halt_message(const char *service, int32_t partition, const char *code)
{
	struct halt halt;
	if (!halt_read(arena_format(&rig.arena, "%s/%s/%d.halt", rig.data, service, partition), &rig.arena, &halt))
		fail_msg("%s/%d is not halted", service, partition);
	assert_string_equal(halt.reason, code);
	return halt.message;
}

static void halts(const char *service)
{
	struct rig_result result;
	rig_run(&rig, &result, WAIT_SECONDS, "%s run --until-end", service);
	assert_int_equal(result.exit_status, 3);
	rig_run(&rig, &result, WAIT_SECONDS, "%s status", service);
	assert_int_equal(result.exit_status, 1);
}

/* ---- a log that has lost its tail ---- */

static void a_lost_tail_is_accepted_by_deleting_the_file_and_the_marks(void **state)
{
	(void)state;
	const int32_t partition = log_partition_of("LATE", 4, PARTITIONS);
	publish_and_fold(1);
	publish_late();
	rig_ok(&rig, "inventory run --until-end");
	exec_in_log("inventory", partition,
	            "DELETE FROM record WHERE \"offset\" = (SELECT max(\"offset\") FROM record)");
	halts("inventory");
	const char *message = halt_message("inventory", partition, "truncated");
	const char *file = cut(message, "delete ", " ");
	const char *command = cut(message, "`tandem ", "`");
	assert_string_equal(command, "inventory rebuild --delete-marks");
	static const char *const endings[] = {"", "-wal", "-shm"};
	assert_int_equal(access(file, F_OK), 0);
	for (int i = 0; i < 3; i++)
		unlink(arena_format(&rig.arena, "%s%s", file, endings[i]));
	halts("inventory"); /* the file alone is not enough: the mark says that the record was there */
	halt_message("inventory", partition, "mark_record");
	assert_non_null(strstr(rig_ok(&rig, "%s", command), "the marks of all partitions are deleted"));
	publish_late();
	rig_ok(&rig, "inventory run --until-end");
	assert_int_equal(rig_sum(&rig, "inventory", "SELECT count(*) FROM receipt WHERE receipt_id = 'late'"), 1);
	rig_ok(&rig, "inventory status");
	publish_and_fold(2);
	rig_verify_all(&rig);
	rig.passed = true;
}

static bool has_joined(struct rig *of, void *arg)
{
	return strstr(rig_words(of, arg), "partitions assigned") != NULL;
}

static void marks_are_not_deleted_under_a_running_worker(void **state)
{
	(void)state;
	struct rig_result result;
	publish_and_fold(1);
	struct rig_process *worker = rig_start(&rig, "worker", "inventory run");
	rig_until(&rig, WAIT_SECONDS, "the worker is a member of its group", has_joined, worker);
	rig_run(&rig, &result, WAIT_SECONDS, "inventory rebuild --delete-marks");
	assert_int_equal(result.exit_status, 1);
	assert_non_null(strstr(result.err, "stop the workers first"));
	assert_int_equal(rig_end(&rig, worker, SIGTERM, WAIT_SECONDS), 0);
	rig_ok(&rig, "inventory rebuild --delete-marks");
	rig_run(&rig, &result, WAIT_SECONDS, "inventory rebuild");
	assert_int_equal(result.exit_status, 3);
	assert_non_null(strstr(result.err, "has no mark"));
	publish_and_fold(2); /* as that says: `run` sends everything */
	rig_ok(&rig, "inventory rebuild");
	rig_verify_all(&rig);
	rig.passed = true;
}

/* ---- a log that has lost its head ---- */

static void a_lost_head_is_restored_from_a_mirror(void **state)
{
	(void)state;
	publish_and_fold(1);
	const char *mirror = arena_format(&rig.arena, "%s/mirror", rig.folder);
	rig_ok(&rig, "replay --mirror %s", mirror);
	exec_in_log("orders", 0, "DELETE FROM record WHERE \"offset\" < 3");
	halts("order");
	assert_non_null(strstr(halt_message("order", 0, "retention"), "restore the topic"));
	const char *lost = arena_format(&rig.arena, "%s/log", rig.folder);
	assert_int_equal(rename(lost, arena_format(&rig.arena, "%s/lost", rig.folder)), 0);
	assert_int_equal(rename(mirror, lost), 0);
	publish_and_fold(2);
	rig_verify_all(&rig);
	rig.passed = true;
}

/* ---- what is missing or in the way ---- */

static int32_t partitions_of(const char *topic)
{
	struct err err = {0};
	struct log_topic info;
	if (log_topic_describe(rig.log, topic, &rig.arena, &info, &err) != OK)
		fail_msg("%s", err.text);
	return info.partitions;
}

static void a_worker_without_topics_names_the_command_that_makes_them(void **state)
{
	(void)state;
	struct rig_result result;
	rig_run(&rig, &result, WAIT_SECONDS, "order run --until-end");
	assert_int_equal(result.exit_status, 1);
	const char *command = cut(result.err, "`tandem ", "`");
	rig_run(&rig, &result, WAIT_SECONDS, "audit");
	assert_int_equal(result.exit_status, 1);
	assert_string_equal(cut(result.err, "`tandem ", "`"), command);
	rig_ok(&rig, "%s", command);
	rig_ok(&rig, "audit");
	rig.orders = partitions_of("orders");
	rig.inventory = partitions_of("inventory");
	publish_and_fold(1);
	rig_verify_all(&rig);
	rig.passed = true;
}

static bool says_group_busy(struct rig *of, void *arg)
{
	return strstr(rig_words(of, arg), "group_busy") != NULL;
}

static bool runs_again(struct rig *of, void *arg)
{
	struct rig_result result;
	(void)arg;
	rig_run(of, &result, WAIT_SECONDS, "order status");
	return result.exit_status == 0;
}

static void a_worker_beside_a_group_waits_until_the_group_has_ended(void **state)
{
	(void)state;
	publish_and_fold(1);
	struct rig_process *group = rig_start(&rig, "group", "order run --data %s/group", rig.folder);
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	rig_until(&rig, WAIT_SECONDS, "there is a group", has_joined, group);
	struct rig_process *own = rig_start(&rig, "own", "order run --partitions 0-%d", PARTITIONS - 1);
	rig_ok(&rig, "publish --only orders --orders 200 --skus 20 --seed 2 --rate 100");
	rig_until(&rig, WAIT_SECONDS, "the worker beside the group says group_busy", says_group_busy, own);
	assert_non_null(strstr(rig_words(&rig, own), "stop the group's workers, or run this one without --partitions"));
	assert_int_equal(rig_end(&rig, group, SIGTERM, WAIT_SECONDS), 0);
	rig_until(&rig, 2 * WAIT_SECONDS, "every task runs", runs_again, NULL);
	rig_drain(&rig, WAIT_SECONDS);
	assert_int_equal(rig_end(&rig, own, SIGTERM, WAIT_SECONDS), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, WAIT_SECONDS), 0);
	rig_verify_all(&rig);
	rig.passed = true;
}

/* ---- a gap ---- */

static bool shows_a_gap(struct rig *of, void *arg)
{
	struct rig_result result;
	const bool *wanted = arg;
	rig_run(of, &result, WAIT_SECONDS, "inventory status");
	return (strstr(result.out, " gap in the stream of order/") != NULL) == *wanted;
}

/* Runs every resend that status shows, as it stands there. */
static int follow_resends(void)
{
	struct rig_result result;
	int count = 0;
	rig_run(&rig, &result, WAIT_SECONDS, "inventory status");
	for (const char *at = result.out; (at = strstr(at, "tandem order resend ")); at++) {
		const char *words = at + strlen("tandem ");
		rig_ok(&rig, "%.*s", (int)strcspn(words, "\n"), words);
		count++;
	}
	return count;
}

/* The log loses what it had acknowledged and nobody had read; tests/cluster/elections.c has brokers do that. */
static void a_gap_is_healed_by_the_command_that_status_shows(void **state)
{
	(void)state;
	static bool yes = true, no;
	rig_ok(&rig, "publish --orders 60 --skus 20 --stock 50 --seed 1");
	rig_ok(&rig, "inventory run --until-end");
	rig_ok(&rig, "order run --until-end"); /* its commands are not read yet */
	for (int32_t p = 0; p < PARTITIONS; p++)
		exec_in_log("inventory", p,
		            "DELETE FROM record WHERE \"offset\" > (SELECT max(\"offset\") FROM record) - 5");
	rig_ok(&rig,
	       "publish --only orders --orders 90 --skus 20 --seed 1"); /* the same and more, behind what is lost */
	struct rig_process *order = rig_start(&rig, "order", "order run");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	rig_until(&rig, WAIT_SECONDS, "status shows a gap", shows_a_gap, &yes);
	int followed = follow_resends();
	assert_true(followed > 0);
	for (int more = 1; more && followed < 100; followed += more) /* of a stream whose gap showed later */
		more = follow_resends();
	rig_until(&rig, WAIT_SECONDS, "status shows none any more", shows_a_gap, &no);
	rig_drain(&rig, WAIT_SECONDS);
	assert_int_equal(rig_end(&rig, order, SIGTERM, WAIT_SECONDS), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, WAIT_SECONDS), 0);
	rig_verify_all(&rig);
	rig.passed = true;
}

#define WAY(test, open) cmocka_unit_test_prestate_setup_teardown(test, open, rig_teardown, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAY(a_lost_tail_is_accepted_by_deleting_the_file_and_the_marks, open_installation),
		WAY(marks_are_not_deleted_under_a_running_worker, open_installation),
		WAY(a_lost_head_is_restored_from_a_mirror, open_installation),
		WAY(a_worker_without_topics_names_the_command_that_makes_them, open_folder),
		WAY(a_worker_beside_a_group_waits_until_the_group_has_ended, open_installation),
		WAY(a_gap_is_healed_by_the_command_that_status_shows, open_installation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
