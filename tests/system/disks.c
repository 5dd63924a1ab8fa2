/* Disks that fail, dawdle and fill up, below the task files (over local:DIR or over Kafka, $KAFKA) and below the local log: strace
 * injects errors and delays into the system calls on these files, and a tmpfs is filled. Where a fault passes, work goes on by
 * itself; where it stays, the task halts with its reason and the process ends as documented; and once it is gone all is drained,
 * verified and audited, and the history of publisher and readers fits. */
#include "../support/disk.h"
#include "../support/recovery.h"
#include "../support/rig.h"
#include "../support/view.h"
#include "../support/witness.h"

#include "command.h"
#include "halt.h"
#include "seam.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define INVENTORY    2
#define WAIT_SECONDS 120
#define DISK_BYTES   (64 << 20)

static struct rig rig;
static struct disk disk;

static int open_rig(void **state)
{
	(void)state;
	rig_open(&rig);
	return 0;
}

/* The folder of the disk is unmounted when nothing uses it any more. */
static int close_rig(void **state)
{
	int status = rig_teardown(state);
	disk_unmount(&disk);
	return status;
}

static void create_topics(int32_t orders)
{
	rig.orders = orders;
	rig.inventory = INVENTORY;
	rig_ok(&rig, "topics create --single-replica --partitions-of orders=%d --partitions-of inventory=%d", orders,
	       INVENTORY);
}

/* ---- work ---- */

static void fold_everything(void)
{
	struct rig_process *order = rig_start(&rig, "order", "order run");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	rig_drain(&rig, WAIT_SECONDS);
	assert_int_equal(rig_end(&rig, order, SIGTERM, WAIT_SECONDS), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, WAIT_SECONDS), 0);
}

static void expect_whole(int64_t placed)
{
	struct view view;
	rig_verify_all(&rig);
	view_read(&rig, &view);
	print_message("placed %" PRId64 ": confirmed %" PRId64 ", rejected %" PRId64 ", cancelled %" PRId64 "; %" PRId64
	              " repeats on the wire\n",
	              view.placed, view.confirmed, view.rejected, view.cancelled, view.dropped);
	assert_int_equal(view.placed, placed);
	witness_expect_none(&rig);
	rig.passed = true;
}

struct words {
	const struct rig_process *process;
	const char *text;
};

static bool has_said(struct rig *of, void *arg)
{
	const struct words *words = arg;
	return strstr(rig_words(of, words->process), words->text) != NULL;
}

static void await_words(const struct rig_process *process, const char *text)
{
	struct words words = {process, text};
	rig_until(&rig, WAIT_SECONDS, text, has_said, &words);
}

/* ---- calls that fail ---- */

struct fault {
	const char *inject;  /* as strace has it; ?: a random place from 1 on */
	const char *files;   /* of the task's folder or of the log's; #: the partition */
	const char *reason;  /* NULL: it only takes longer */
	bool stays;          /* for ever: the task halts */
	bool repaired;       /* for ever, but after the first try that fails it is repaired */
	const char *options; /* of run */
};

#define RANDOM_MAX 20

struct attempt {
	const struct fault *fault;
	int32_t partition;
	const char *inject, *trace;
	struct rig_process *process;
	bool repaired;
};

/* Folder and words to a list of files. */
static const char *list_files(const char *folder, const char *files, int32_t partition)
{
	char words[400], *rest;
	const char *list = "";
	snprintf(words, sizeof words, "%s", files);
	for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		const char *hash = strchr(word, '#');
		list = hash ? arena_format(&rig.arena, "%s %s/%.*s%d%s", list, folder, (int)(hash - word), word,
		                           partition, hash + 1)
		            : arena_format(&rig.arena, "%s %s/%s", list, folder, word);
	}
	return list;
}

/* A worker of its own for each fault, on a partition of its own. */
static void start_attempt(struct attempt *attempt, const struct fault *fault, int32_t partition, const char *folder)
{
	const char *when = strchr(fault->inject, '?');
	attempt->fault = fault;
	attempt->partition = partition;
	attempt->inject = !when ? fault->inject
	                        : arena_format(&rig.arena, "%.*s%d%s", (int)(when - fault->inject), fault->inject,
	                                       1 + (int)rig_random(&rig, RANDOM_MAX), when + 1);
	attempt->trace = arena_format(&rig.arena, "%s/trace-%d", rig.folder, partition);
	rig.wrap = disk_injection(&rig, attempt->inject, list_files(folder, fault->files, partition), attempt->trace);
	attempt->process = rig_start(&rig, arena_format(&rig.arena, "order-%d", partition),
	                             "order run --until-end --partitions %d --commit-records 10 %s", partition,
	                             fault->options ? fault->options : "");
	rig.wrap = NULL;
}

static void expect_halted(const struct attempt *attempt)
{
	struct halt halt;
	struct rig_result status;
	const char *path = arena_format(&rig.arena, "%s/order/%d.halt", rig.data, attempt->partition);
	if (!halt_read(path, &rig.arena, &halt))
		fail_msg("%s: order/%d is not halted:\n%s", attempt->inject, attempt->partition,
		         rig_words(&rig, attempt->process));
	assert_string_equal(halt.reason, attempt->fault->reason);
	rig_run(&rig, &status, WAIT_SECONDS, "order status --partitions %d", attempt->partition);
	assert_int_equal(status.exit_status, 1);
	assert_non_null(strstr(status.out, halt.message));
}

static void end_attempt(struct attempt *attempt)
{
	const struct fault *fault = attempt->fault;
	int exit_status = rig_end(&rig, attempt->process, 0, WAIT_SECONDS);
	int count = disk_injected(attempt->trace);
	const char *words = rig_words(&rig, attempt->process);
	print_message("%-40s %-30s %4d times: ended with %d%s%s\n", attempt->inject, fault->files, count, exit_status,
	              fault->reason ? ", " : "", fault->reason ? fault->reason : "");
	if (count == 0)
		fail_msg("%s was not injected:\n%s", attempt->inject, words);
	if (exit_status != (fault->stays ? EXIT_PARTLY : EXIT_DONE))
		fail_msg("%s: ended with %d:\n%s", attempt->inject, exit_status, words);
	if (fault->reason && !strstr(words, arena_format(&rig.arena, "\"reason\":\"%s\"", fault->reason)))
		fail_msg("%s: does not say '%s':\n%s", attempt->inject, fault->reason, words);
	if (fault->stays)
		expect_halted(attempt);
}

struct attempts {
	struct attempt items[RIG_PARTITIONS_MAX];
	size_t count;
};

/* Whichever has failed first is repaired first: before it gives up. */
static bool all_repaired(struct rig *of, void *arg)
{
	struct attempts *attempts = arg;
	bool all = true;
	for (size_t i = 0; i < attempts->count; i++) {
		struct attempt *attempt = &attempts->items[i];
		struct words words = {attempt->process, "is tried again"};
		if (!attempt->fault->repaired || attempt->repaired)
			continue;
		attempt->repaired = has_said(of, &words);
		if (attempt->repaired)
			disk_repair(of, attempt->process);
		all = all && attempt->repaired;
	}
	return all;
}

static void try_all(const struct fault *faults, size_t count, const char *folder)
{
	struct attempts attempts = {.count = count};
	assert_int_equal(count, rig.orders);
	for (size_t i = 0; i < count; i++)
		start_attempt(&attempts.items[i], &faults[i], (int32_t)i, folder);
	rig_until(&rig, WAIT_SECONDS, "who is to be repaired has failed", all_repaired, &attempts);
	for (size_t i = 0; i < count; i++)
		end_attempt(&attempts.items[i]);
}

#define TASK_FILES "#.db #.db-wal #.db-shm #.db-journal"

static void a_call_that_fails_below_a_task_file_is_tried_again_or_halts_that_task_alone(void **state)
{
	(void)state;
	static const struct fault faults[] = {
		{.inject = "pwrite64:error=EIO:when=1", .files = TASK_FILES, .reason = "io"},
		{.inject = "pwrite64:error=EIO:when=?", .files = TASK_FILES, .reason = "io"},
		{.inject = "pwrite64:error=ENOSPC:when=?", .files = TASK_FILES, .reason = "disk_full"},
		{.inject = "pwrite64:retval=0:when=?", .files = "#.db-wal", .reason = "disk_full"}, /* a short write */
		{.inject = "pwrite64:error=EIO:when=9+", .files = TASK_FILES, .reason = "io", .stays = true},
		{.inject = "pwrite64:error=ENOSPC:when=4+", .files = TASK_FILES, .reason = "disk_full", .stays = true},
		{.inject = "fdatasync:error=EIO:when=2", .files = TASK_FILES, .reason = "io", .options = "--full-sync"},
		{.inject = "fdatasync:error=EIO:when=1+",
	         .files = TASK_FILES,
	         .reason = "io",
	         .stays = true,
	         .options = "--full-sync"},
		{.inject = "openat:error=EIO:when=1", .files = TASK_FILES, .reason = "io"},
		{.inject = "openat:error=EIO:when=1", .files = "#.db-wal", .reason = "io"},
		{.inject = "openat:error=ENOSPC:when=1+", .files = TASK_FILES, .reason = "disk_full", .stays = true},
		{.inject = "openat:error=EIO:when=1+", .files = TASK_FILES, .reason = "io", .repaired = true},
		{.inject = "fdatasync:delay_enter=100000", .files = TASK_FILES, .options = "--full-sync"},
		{.inject = "pwrite64:delay_enter=5000", .files = TASK_FILES},
	};
	struct recovery recovery;
	create_topics(sizeof faults / sizeof *faults);
	rig_receive(&rig, RIG_SKUS, 60);
	witness_open(&rig, 1);
	witness_orders(rig.witness, 120, 1, 0);
	witness_published(&rig, WAIT_SECONDS);
	fold_everything(); /* so that there is a file of each partition */
	witness_orders(rig.witness, 600, 2, 0);
	witness_published(&rig, WAIT_SECONDS);
	recovery_begin(&recovery, "disks", "calls fail below task files");
	try_all(faults, sizeof faults / sizeof *faults, arena_format(&rig.arena, "%s/order", rig.data));
	witness_orders(rig.witness, 60, 3, 0);
	fold_everything();
	recovery_end(&rig, &recovery);
	expect_whole(780);
}

/* ---- calls that fail below the local log ---- */

#define LOG_FILES "topics/inventory/0.db topics/inventory/0.db-wal topics/inventory/1.db topics/inventory/1.db-wal"

#define PUBLISH_AGAIN "publish --only orders --orders 100 --skus 40 --seed 4 --timeout 5s"

static struct rig_process *start_publisher(const char *trace)
{
	const char *folder = arena_format(&rig.arena, "%s/log", rig.folder);
	rig.wrap = disk_injection(&rig, "pwrite64:error=EIO:when=1+",
	                          list_files(folder, "topics/orders/0.db-wal topics/orders/1.db-wal", 0), trace);
	struct rig_process *publisher = rig_start(&rig, "publisher", PUBLISH_AGAIN);
	rig.wrap = NULL;
	return publisher;
}

/* It gives up, and says why; publishing again what may have arrived in part is safe. */
static void end_publisher(struct rig_process *publisher, const char *trace)
{
	int exit_status = rig_end(&rig, publisher, 0, WAIT_SECONDS);
	const char *words = rig_words(&rig, publisher);
	assert_true(disk_injected(trace) > 0);
	if ((exit_status != EXIT_FAILED && exit_status != EXIT_PARTLY) || !strstr(words, "disk I/O error"))
		fail_msg("publish ended with %d: %s", exit_status, words);
	rig_ok(&rig, PUBLISH_AGAIN);
}

static void a_call_that_fails_below_the_local_log_is_tried_again_or_halts_who_writes_there(void **state)
{
	(void)state;
	static const struct fault faults[] = {
		{.inject = "pwrite64:error=EIO:when=1+", .files = LOG_FILES, .reason = "io", .repaired = true},
		{.inject = "pwrite64:error=ENOSPC:when=3+",
	         .files = LOG_FILES,
	         .reason = "disk_full",
	         .repaired = true},
		{.inject = "pwrite64:error=EIO:when=2+", .files = LOG_FILES, .reason = "io", .stays = true},
		{.inject = "pwrite64:error=ENOSPC:when=5+", .files = LOG_FILES, .reason = "disk_full", .stays = true},
		{.inject = "fdatasync:error=EIO:when=2+", .files = LOG_FILES, .reason = "io", .repaired = true},
		{.inject = "fdatasync:error=EIO:when=1+", .files = LOG_FILES, .reason = "io", .stays = true},
		{.inject = "pwrite64:error=EIO:when=1+",
	         .files = "groups.db groups.db-wal",
	         .reason = "io",
	         .stays = true}, /* marks */
		{.inject = "fdatasync:delay_enter=50000", .files = LOG_FILES},
		{.inject = "openat:error=EIO:when=2",
	         .files = LOG_FILES,
	         .reason = "io",
	         .repaired = true}, /* of a thread */
		{.inject = "openat:error=EIO:when=1+", .files = LOG_FILES, .reason = "io", .repaired = true},
		{.inject = "openat:error=ENOSPC:when=1+", .files = LOG_FILES, .reason = "disk_full", .stays = true},
	};
	struct recovery recovery;
	create_topics(sizeof faults / sizeof *faults);
	rig_receive(&rig, RIG_SKUS, 60);
	witness_open(&rig, 1);
	witness_orders(rig.witness, 80, 1, 0);
	witness_published(&rig, WAIT_SECONDS);
	fold_everything();
	witness_orders(rig.witness, 400, 2, 0);
	witness_published(&rig, WAIT_SECONDS);
	recovery_begin(&recovery, "disks", "calls fail below the local log");
	const char *trace = arena_format(&rig.arena, "%s/trace-publish", rig.folder);
	struct rig_process *publisher = start_publisher(trace);
	try_all(faults, sizeof faults / sizeof *faults, arena_format(&rig.arena, "%s/log", rig.folder));
	end_publisher(publisher, trace);
	fold_everything();
	recovery_end(&rig, &recovery);
	expect_whole(580);
}

/* ---- topics that are being made ---- */

#define CREATE "topics create --single-replica --partitions 1"

/* True: the call came that was to fail. Then it said so, or it did without. */
static bool create_while(const char *call, const char *error, int nth, const char *files)
{
	struct rig_result result;
	const char *trace = arena_format(&rig.arena, "%s/trace-create", rig.folder);
	const char *inject = arena_format(&rig.arena, "%s:error=%s:when=%d", call, error, nth);
	rig.wrap = disk_injection(&rig, inject, files, trace);
	rig_run(&rig, &result, WAIT_SECONDS, CREATE);
	rig.wrap = NULL;
	bool failed = disk_injected(trace) > 0;
	bool said = result.exit_status == EXIT_FAILED && strstr(result.err, "the same command again goes on");
	if (!said && result.exit_status != EXIT_DONE)
		fail_msg("%s: topics create ended with %d: %s", inject, result.exit_status, result.err);
	return failed;
}

/* Some of the places of each call, the first ones more densely. */
static void a_call_that_fails_while_topics_are_made_leaves_what_the_same_command_goes_on_from(void **state)
{
	(void)state;
	const char *folder = arena_format(&rig.arena, "%s/log", rig.folder);
	const struct {
		const char *call, *error, *files;
	} faults[] = {
		{"write", "ENOSPC", "topics/.new-orders/topic.json topics/.new-inventory.dlq/topic.json"},
		{"fsync", "EIO", ""},
		{"fdatasync", "EIO", ""},
		{"pwrite64", "EIO", ""},
		{"fallocate", "ENOSPC", ""},
		{"rename", "EIO", ""},
		{"openat", "EIO",
	         "bell topics.lock topics/.new-orders/topic.json topics/.new-orders/0.lock"
	         " topics/.new-orders/0.db topics/.new-orders/0.db-wal topics/orders/0.db topics/orders/0.lock"},
	};
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		const char *files = list_files(folder, faults[i].files, 0);
		int tries = 0;
		for (int nth = 1; create_while(faults[i].call, faults[i].error, nth, files); tries++) {
			rig_ok(&rig, CREATE);
			rig_ok(&rig, "topics check");
			rig_ok(&rig, "topics delete --yes");
			nth += nth + (int)rig_random(&rig, (uint64_t)nth + 1);
		}
		rig_ok(&rig, "topics delete --yes");
		print_message("%-10s failed at %d places\n", faults[i].call, tries);
		assert_true(tries > 0);
	}
	rig.passed = true;
}

/* ---- full disks ---- */

/* status says why, whether or not there was room for a halt file. */
static void expect_full(const char *service)
{
	struct rig_result status;
	rig_run(&rig, &status, WAIT_SECONDS, "%s status", service);
	if (status.exit_status != 1 || !strstr(status.out, "disk_full"))
		fail_msg("%s status ended with %d: %s%s", service, status.exit_status, status.out, status.err);
}

static void a_full_disk_under_the_task_files_halts_until_there_is_room(void **state)
{
	(void)state;
	struct recovery recovery;
	disk_mount(&disk, DISK_BYTES);
	rig.data = arena_format(&rig.arena, "%s/state", disk.path);
	setenv("TANDEM_DATA", rig.data, 1);
	create_topics(2);
	rig_receive(&rig, RIG_SKUS, 60);
	witness_open(&rig, 1);
	witness_orders(rig.witness, 100, 1, 0);
	struct rig_process *order = rig_start(&rig, "order", "order run");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	witness_published(&rig, WAIT_SECONDS);
	rig_drain(&rig, WAIT_SECONDS);
	disk_fill(&disk);
	recovery_begin(&recovery, "disks", "disk of task files full");
	witness_orders(rig.witness, 3000, 2, 300);
	await_words(order, "task halted; the others go on");
	await_words(order, "\"reason\":\"disk_full\"");
	expect_full("order");
	disk_make_room(&disk);
	witness_published(&rig, WAIT_SECONDS);
	rig_drain(&rig, WAIT_SECONDS); /* by itself */
	recovery_end(&rig, &recovery);
	assert_int_equal(rig_end(&rig, order, SIGTERM, WAIT_SECONDS), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, WAIT_SECONDS), 0);
	expect_whole(3100);
}

static void a_full_disk_under_the_local_log_refuses_until_there_is_room(void **state)
{
	(void)state;
	struct recovery recovery;
	struct err err = {0};
	struct rig_result result;
	disk_mount(&disk, DISK_BYTES);
	rig.url = arena_format(&rig.arena, "local:%s/log", disk.path);
	setenv("TANDEM_LOG", rig.url, 1);
	log_close(rig.log);
	assert_int_equal(log_open(rig.url, &(struct log_config){.seam = &seam_system}, &rig.log, &err), OK);
	create_topics(2);
	rig_receive(&rig, RIG_SKUS, 60);
	witness_open(&rig, 1);
	witness_orders(rig.witness, 600, 1, 0);
	witness_published(&rig, WAIT_SECONDS);
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	disk_fill(&disk);
	recovery_begin(&recovery, "disks", "disk of the local log full");
	rig_run(&rig, &result, WAIT_SECONDS, "publish --only orders --orders 2000 --skus 40 --seed 5 --timeout 5s");
	print_message("publish: status %d in %.1f s: %s%s", result.exit_status, result.seconds, result.out, result.err);
	assert_true(result.exit_status == EXIT_FAILED || result.exit_status == EXIT_PARTLY);
	assert_non_null(strstr(result.err, "full"));
	struct rig_process *order = rig_start(&rig, "order", "order run");
	await_words(order, "\"reason\":\"disk_full\"");
	disk_make_room(&disk);
	rig_ok(&rig, "publish --only orders --orders 2000 --skus 40 --seed 5");
	rig_drain(&rig, WAIT_SECONDS); /* by itself */
	recovery_end(&rig, &recovery);
	assert_int_equal(rig_end(&rig, order, SIGTERM, WAIT_SECONDS), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, WAIT_SECONDS), 0);
	expect_whole(2600);
}

#define DISK(test) cmocka_unit_test_prestate_setup_teardown(test, open_rig, close_rig, &rig)

int main(void)
{
	const struct CMUnitTest everywhere[] = {
		DISK(a_call_that_fails_below_a_task_file_is_tried_again_or_halts_that_task_alone),
		DISK(a_full_disk_under_the_task_files_halts_until_there_is_room),
	};
	const struct CMUnitTest local[] = {
		DISK(a_call_that_fails_below_the_local_log_is_tried_again_or_halts_who_writes_there),
		DISK(a_call_that_fails_while_topics_are_made_leaves_what_the_same_command_goes_on_from),
		DISK(a_full_disk_under_the_local_log_refuses_until_there_is_room),
	};
	if (getenv("TANDEM_TEST"))
		cmocka_set_test_filter(getenv("TANDEM_TEST"));
	int failed = cmocka_run_group_tests(everywhere, NULL, NULL);
	return rig_wants_kafka() ? failed : failed + cmocka_run_group_tests(local, NULL, NULL);
}
