#include "conformance.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_LIMIT_S 600

struct leg leg;
struct err failure;

static const struct conformance_case {
	int legs; /* which logs promise it */
	const char *name;
	void (*run)(void);
} cases[] = {
#define CASE(legs, name)                                                                                               \
	{                                                                                                              \
		legs, #name, name                                                                                      \
	}
	CASE(ALL, records_come_in_the_order_they_were_written),
	CASE(ALL, a_record_goes_to_the_partition_it_names),
	CASE(ALL, null_and_empty_keys_and_values_are_told_apart),
	CASE(ALL, headers_keep_order_repeats_and_nulls),
	CASE(ALL, large_records_come_back_whole),
	CASE(ALL, timestamps_are_the_logs_and_never_go_back),
	CASE(ALL, every_token_is_acknowledged_once_with_its_offset),
	CASE(ALL, an_acknowledged_record_is_read_at_once),
	CASE(ALL, a_record_that_is_too_large_fails_alone),
	CASE(ALL, an_unknown_topic_shows_in_the_acknowledgement),
	CASE(ALL, an_unknown_partition_shows_in_the_acknowledgement),
	CASE(ALL, a_full_queue_takes_nothing_and_recovers),
	CASE(ALL, a_producer_closed_early_drops_what_waits),
	CASE(ALL, waiting_ends_in_time),

	CASE(ALL, the_end_of_a_partition_is_told),
	CASE(ALL, several_partitions_are_read_to_their_ends),
	CASE(ALL, watermarks_follow_the_records),
	CASE(ALL, reading_begins_at_any_offset),
	CASE(ALL, an_offset_out_of_range_is_never_reset),
	CASE(ALL, a_time_finds_its_offset),
	CASE(ALL, a_held_consumer_delivers_no_record),
	CASE(ALL, a_paused_partition_is_not_read),
	CASE(ALL, a_replaced_assignment_delivers_nothing_stale),
	CASE(ALL, a_record_lives_until_the_next_call_and_its_copy_longer),
	CASE(ALL, keys_find_their_partition_as_in_java),

	CASE(ALL, a_topic_is_made_with_its_settings),
	CASE(ALL, a_topic_is_made_only_once),
	CASE(MEMORY | LOCAL, settings_that_cannot_be_kept_are_refused), /* a broker can keep them all */
	CASE(ALL, namespaces_do_not_see_each_other),
	CASE(MEMORY | LOCAL, readers_of_a_deleted_topic_are_told), /* a broker's clients hear of it after minutes */
	CASE(MEMORY | LOCAL, a_topic_made_again_is_empty_and_has_no_marks), /* a broker deletes in the background */
	CASE(MEMORY | LOCAL, an_import_keeps_offsets_holes_and_times),
	CASE(MEMORY | LOCAL, an_import_out_of_order_is_refused),
	CASE(KAFKA, an_import_is_unsupported),

	CASE(ALL, marks_are_kept_with_their_metadata),
	CASE(ALL, a_group_shares_its_partitions),
	CASE(ALL, a_member_that_leaves_is_followed_at_once),
	CASE(ALL, a_commit_after_the_revoke_is_refused),
	CASE(ALL, static_partitions_commit_only_without_members),
	CASE(ALL, a_static_member_comes_back_to_its_partitions),
	CASE(ALL, a_group_with_members_is_not_deleted),
	CASE(ALL, a_consumer_of_an_unknown_topic_is_told),
	CASE(ALL, a_consumer_of_an_unknown_partition_is_told),

	CASE(PROCESSES, two_processes_write_and_read_at_once),
	CASE(PROCESSES, a_waiting_reader_is_woken_by_another_process),
	CASE(PROCESSES, a_killed_member_is_followed_by_another),
	CASE(PROCESSES, a_stopped_member_is_fenced),
	CASE(PROCESSES, killed_writers_lose_nothing_acknowledged),

	CASE(FILES, a_full_disk_fails_records_and_keeps_the_rest), /* the broker's disk is the broker's */
	CASE(FILES, lost_hints_hide_nothing),
	CASE(FILES, an_append_waits_for_the_partitions_lock),
	CASE(FILES, damaged_files_are_errors),
	CASE(FILES, a_long_log_is_checkpointed_while_it_is_read),
};

#define CASE_COUNT (sizeof cases / sizeof *cases)

/* How many cases there must be at least, so that none is lost unseen: raised with each that is added. */
static const struct conformance_leg {
	const char *name;
	int kind;
	size_t cases_min;
} legs[] = {{"memory", MEMORY, 42}, {"local", LOCAL, 52}, {"kafka", KAFKA, 43}};

/* ---- checks ---- */

int64_t now_ms(void)
{
	return seam_monotonic_us(&seam_system) / 1000;
}

static _Noreturn void failed(const char *file, int line)
{
	fprintf(stderr, "    at %s:%d\n", file, line);
	fflush(NULL);
	_exit(1);
}

void check(bool holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "    does not hold: %s\n", what);
	failed(file, line);
}

void check_int(int64_t is, int64_t expected, const char *what, const char *file, int line)
{
	if (is == expected)
		return;
	fprintf(stderr, "    %s is %lld, expected %lld\n", what, (long long)is, (long long)expected);
	failed(file, line);
}

void check_text(const char *is, const char *expected, const char *what, const char *file, int line)
{
	if (is && strcmp(is, expected) == 0)
		return;
	fprintf(stderr, "    %s is %s, expected %s\n", what, is ? is : "NULL", expected);
	failed(file, line);
}

void check_ok(enum status status, const struct err *err, const char *what, const char *file, int line)
{
	if (status == OK)
		return;
	fprintf(stderr, "    %s: status %d, %s: %s\n", what, (int)status, err->code ? err->code : "-", err->text);
	failed(file, line);
}

/* ---- one case ---- */

struct log *leg_open(const char *name_space)
{
	struct log *log;
	struct log_config config = {
		.seam = &seam_system, .name_space = name_space ? name_space : leg.name_space, .memory = leg.memory};
	CHECK_OK(log_open(leg.url, &config, &log, &failure));
	return log;
}

static void topics_delete(void)
{
	struct arena arena = {0};
	const char **names;
	size_t count;
	if (log_topic_list(leg.log, &arena, &names, &count, &failure) == OK)
		for (size_t i = 0; i < count; i++)
			log_topic_delete(leg.log, names[i], &failure);
	arena_fini(&arena);
}

static int case_run(const struct conformance_case *c, int kind, const char *dir)
{
	leg.kind = kind;
	leg.session_ms = SESSION_MS;
	snprintf(leg.dir, sizeof leg.dir, "%s", dir);
	snprintf(leg.name_space, sizeof leg.name_space, "conf%d-%lld", (int)getpid(), (long long)time(NULL));
	if (kind == KAFKA)
		snprintf(leg.url, sizeof leg.url, "kafka://%s", getenv("KAFKA"));
	else
		snprintf(leg.url, sizeof leg.url, kind == MEMORY ? "local::memory:" : "local:%s/log", dir);
	leg.memory = kind == MEMORY ? log_memory_new(&seam_system) : NULL;
	leg.log = leg_open(NULL);
	c->run();
	if (kind == KAFKA)
		topics_delete();
	log_close(leg.log);
	log_memory_free(leg.memory);
	return 0;
}

/* ---- all of them ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A case that failed may have left its small file system mounted. */
static void dir_remove(const char *dir)
{
	char mounted[300];
	snprintf(mounted, sizeof mounted, "%s/log", dir);
	umount2(mounted, MNT_DETACH);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int wait_limited(pid_t pid)
{
	int64_t limit = now_ms() + CASE_LIMIT_S * 1000;
	int status;
	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (now_ms() > limit) {
			fprintf(stderr, "    not done within %d s\n", CASE_LIMIT_S);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return 124;
		}
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}

static bool case_spawn(const char *program, const char *leg_name, const char *name)
{
	char dir[] = "/tmp/conformance-XXXXXX";
	CHECK(mkdtemp(dir) != NULL);
	int64_t start = now_ms();
	pid_t pid = fork();
	if (pid == 0) {
		execl(program, program, "--case", leg_name, name, dir, (char *)NULL);
		_exit(127);
	}
	CHECK(pid > 0);
	int status = wait_limited(pid);
	dir_remove(dir);
	printf("%s %s: %s (%lld ms)\n", status ? "not ok" : "ok", leg_name, name, (long long)(now_ms() - start));
	if (status)
		printf("    status %d; again: %s %s %s\n", status, program, leg_name, name);
	fflush(stdout);
	return status == 0;
}

static const struct conformance_leg *leg_named(const char *name)
{
	for (size_t i = 0; i < sizeof legs / sizeof *legs; i++)
		if (strcmp(legs[i].name, name) == 0)
			return &legs[i];
	return NULL;
}

static int run_all(const char *program, const struct conformance_leg *on, const char *only)
{
	size_t ran = 0, good = 0, expected = only ? 1 : on->cases_min;
	for (size_t i = 0; i < CASE_COUNT; i++) {
		if (!(cases[i].legs & on->kind) || (only && strcmp(only, cases[i].name) != 0))
			continue;
		ran++;
		good += case_spawn(program, on->name, cases[i].name);
	}
	printf("conformance %s: %zu cases ran, %zu passed, %zu failed\n", on->name, ran, good, ran - good);
	if (ran < expected)
		printf("conformance %s: FAILED, %zu cases were expected\n", on->name, expected);
	return ran >= expected && good == ran ? 0 : 1;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 3 && strcmp(argv[1], "--helper") == 0)
		return helper_main(argc - 2, argv + 2);
	if (argc == 5 && strcmp(argv[1], "--case") == 0 && leg_named(argv[2])) {
		for (size_t i = 0; i < CASE_COUNT; i++)
			if (strcmp(cases[i].name, argv[3]) == 0)
				return case_run(&cases[i], leg_named(argv[2])->kind, argv[4]);
		return 1;
	}
	if (argc < 2 || argc > 3 || !leg_named(argv[1])) {
		fprintf(stderr, "usage: conformance memory|local|kafka [CASE]\n");
		return 2;
	}
	if (leg_named(argv[1])->kind == KAFKA && (!getenv("KAFKA") || !*getenv("KAFKA"))) {
		fprintf(stderr, "conformance kafka: KAFKA=host:port must name a broker\n");
		return 1;
	}
	char program[4096];
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	CHECK(len > 0);
	program[len] = 0;
	return run_all(program, leg_named(argv[1]), argc == 3 ? argv[2] : NULL);
}
