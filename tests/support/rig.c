#include "rig.h"

#include "check.h"
#include "witness.h"

#include "command.h"
#include "interrupt.h"
#include "json.h"
#include "seam.h"
#include "service.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX    64
#define LOOK_NS          2000000 /* between two looks at a condition */
#define LOOK_NS_MAX      200000000
#define COMMAND_SECONDS  300
#define DELETE_SECONDS   180 /* longer than a session */
#define LAST_WORDS_BYTES 3000
#define BUSY_MS          60000 /* who ends checkpoints his file, and the disk may be slow */

static double now_seconds(void)
{
	return (double)seam_monotonic_us(&seam_system) / 1e6;
}

/* ---- the folder, the log, the seed ---- */

bool rig_wants_kafka(void)
{
	const char *brokers = getenv("KAFKA");
	return brokers && *brokers;
}

uint64_t rig_random(struct rig *rig, uint64_t below)
{
	rig->random = rig->random * 6364136223846793005u + 1442695040888963407u;
	return (rig->random >> 33) % below;
}

static void find_program(struct rig *rig)
{
	const char *given = getenv("TANDEM_PROGRAM");
	char self[sizeof rig->program];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	assert_true(len > 0);
	self[len] = 0;
	snprintf(rig->program, sizeof rig->program, "%.4000s", given ? given : "");
	for (int up = 0; up < 3 && !given; up++) { /* build/tandem, for build/tests/system/NAME and build/NAME */
		*strrchr(self, '/') = 0;
		snprintf(rig->program, sizeof rig->program, "%.4000s/tandem", self);
		if (access(rig->program, X_OK) == 0)
			break;
	}
	if (access(rig->program, X_OK) != 0)
		fail_msg("%s: %s; expected the program there", rig->program, strerror(errno));
}

static void choose_seed(struct rig *rig)
{
	const char *given = getenv("TANDEM_TEST_SEED");
	uint32_t random;
	seam_random(&seam_system, &random, sizeof random);
	rig->seed = given ? strtoull(given, NULL, 10) : random;
	rig->random = rig->seed;
	rig_random(rig, 1);
	print_message("seed %" PRIu64 " (again: TANDEM_TEST_SEED=%" PRIu64 ")\n", rig->seed, rig->seed);
}

static void open_log(struct rig *rig)
{
	struct err err = {0};
	const struct log_config config = {.seam = &seam_system, .name_space = rig->name_space};
	setenv("TANDEM_LOG", rig->url, 1);
	setenv("TANDEM_NAMESPACE", rig->name_space, 1);
	setenv("TANDEM_DATA", rig->data, 1);
	check(log_open(rig->url, &config, &rig->log, &err), &err);
}

void rig_move(struct rig *rig, const char *name_space)
{
	assert_true(rig->on_kafka);
	log_close(rig->log);
	rig->name_space = name_space;
	rig->data = arena_format(&rig->arena, "%s/%s", rig->folder, name_space);
	open_log(rig);
}

void rig_open(struct rig *rig)
{
	*rig = (struct rig){.on_kafka = rig_wants_kafka()};
	interrupt_install();
	strcpy(rig->folder, "/tmp/tandem-rig-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	find_program(rig);
	choose_seed(rig);
	rig->data = arena_format(&rig->arena, "%s/state", rig->folder);
	rig->url = rig->on_kafka ? arena_format(&rig->arena, "kafka://%s", getenv("KAFKA"))
	                         : arena_format(&rig->arena, "local:%s/log", rig->folder);
	rig->name_space = rig->on_kafka ? arena_format(&rig->arena, "test-%s", strrchr(rig->folder, '-') + 1) : "";
	open_log(rig);
}

void rig_open_topics(struct rig *rig, int32_t orders, int32_t inventory)
{
	rig_open(rig);
	rig->orders = orders;
	rig->inventory = inventory;
	rig_ok(rig, "topics create --single-replica --partitions-of orders=%d --partitions-of inventory=%d", orders,
	       inventory);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info;
	(void)kind;
	(void)walk;
	return remove(path);
}

/* Reads at most the last bytes of a file. */
static const char *read_end(struct rig *rig, const char *path, long bytes_max)
{
	FILE *file = fopen(path, "r");
	if (!file)
		return "";
	long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
	long from = bytes_max && size > bytes_max ? size - bytes_max : 0;
	char *text = arena_alloc(&rig->arena, (size_t)(size - from) + 1);
	size_t len = fseek(file, from, SEEK_SET) == 0 ? fread(text, 1, (size_t)(size - from), file) : 0;
	text[len] = 0;
	fclose(file);
	return text;
}

static void show_last_words(struct rig *rig)
{
	for (size_t i = 0; i < RIG_PROCESSES_MAX; i++) {
		if (!rig->processes[i].name[0])
			continue;
		const char *path = arena_format(&rig->arena, "%s/%s.log", rig->folder, rig->processes[i].name);
		print_message("---- %s\n%s\n", path, read_end(rig, path, LAST_WORDS_BYTES));
	}
}

/* Where each service stands, before its workers are ended. */
static void show_status(struct rig *rig)
{
	static const char *const services[] = {"order", "inventory"};
	for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
		struct rig_result result;
		if (access(arena_format(&rig->arena, "%s/%s", rig->data, services[i]), F_OK) != 0)
			continue;
		rig_run(rig, &result, COMMAND_SECONDS, "%s status", services[i]);
		print_message("---- %s status\n%s%s\n", services[i], result.out, result.err);
	}
}

static void end_processes(struct rig *rig)
{
	for (size_t i = 0; i < RIG_PROCESSES_MAX; i++) {
		struct rig_process *process = &rig->processes[i];
		if (!process->pid)
			continue;
		kill(process->pid, SIGKILL);
		waitpid(process->pid, NULL, 0);
		process->pid = 0;
	}
}

/* Who was killed is a member of its group until its session is over. */
static bool topics_deleted(struct rig *rig, void *arg)
{
	struct rig_result *result = arg;
	rig_run(rig, result, COMMAND_SECONDS, "topics delete --yes");
	return result->exit_status == 0 || !strstr(result->err, "not empty");
}

static void delete_topics(struct rig *rig)
{
	struct rig_result result;
	rig_until(rig, DELETE_SECONDS, "the groups have no member left", topics_deleted, &result);
	if (result.exit_status != 0)
		fail_msg("the topics of namespace %s were not deleted: %s", rig->name_space, result.err);
}

void rig_close(struct rig *rig)
{
	witness_close(rig->witness);
	if (!rig->passed)
		show_status(rig);
	end_processes(rig);
	if (!rig->passed)
		show_last_words(rig);
	log_close(rig->log);
	if (rig->on_kafka && rig->orders && !rig->keep_topics)
		delete_topics(rig);
	if (getenv("TANDEM_KEEP"))
		print_message("kept: %s\n", rig->folder);
	else
		nftw(rig->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	arena_fini(&rig->arena);
}

int rig_teardown(void **state)
{
	rig_close(*state);
	return 0;
}

/* ---- processes ---- */

static int split_words(char *text, char *argv[ARGUMENTS_MAX], int count)
{
	char *rest;
	for (char *word = strtok_r(text, " ", &rest); word && count < ARGUMENTS_MAX - 1;
	     word = strtok_r(NULL, " ", &rest))
		argv[count++] = word;
	return count;
}

static void split(struct rig *rig, char *command, char *argv[ARGUMENTS_MAX])
{
	int count = rig->wrap ? split_words(arena_format(&rig->arena, "%s", rig->wrap), argv, 0) : 0;
	argv[count++] = rig->wrap ? rig->program : (char *)(uintptr_t) "tandem";
	argv[split_words(command, argv, count)] = NULL;
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags, 0644);
	if (fd < 0)
		_exit(126);
	return fd;
}

/* In the child: it ends with the test, however that ends. */
static _Noreturn void become(const struct rig *rig, char **argv, const char *in, const char *out, const char *err,
                             pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(125);
	dup2(open_or_die(in, O_RDONLY), STDIN_FILENO);
	dup2(open_or_die(out, O_WRONLY | O_CREAT | O_APPEND), STDOUT_FILENO);
	dup2(open_or_die(err, O_WRONLY | O_CREAT | O_APPEND), STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	execvp(rig->wrap ? argv[0] : rig->program, argv);
	_exit(127);
}

static void spawn(struct rig *rig, struct rig_process *process, char *command, const char *in, const char *out,
                  const char *err)
{
	char *argv[ARGUMENTS_MAX];
	split(rig, command, argv);
	pid_t parent = getpid();
	process->pid = fork();
	if (process->pid == 0)
		become(rig, argv, in, out, err, parent);
	assert_true(process->pid > 0);
}

static int exit_status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void note_usage(struct rig_process *process, const struct rusage *usage)
{
	process->pid = 0;
	process->peak_kib = usage->ru_maxrss;
	process->cpu_seconds = (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
	                       (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

bool rig_has_ended(struct rig_process *process, int *exit_status)
{
	int status;
	struct rusage usage;
	if (wait4(process->pid, &status, WNOHANG, &usage) != process->pid)
		return false;
	note_usage(process, &usage);
	*exit_status = exit_status_of(status);
	return true;
}

/* False: it goes on after this long, or the test was told to end. */
static bool await_end(struct rig_process *process, int seconds_max, int *exit_status)
{
	int fd = pidfd_open(process->pid, 0);
	double until = now_seconds() + seconds_max;
	struct pollfd end = {.fd = fd, .events = POLLIN};
	bool ended = false;
	while (!ended && !interrupt_requested()) {
		int left_ms = (int)((until - now_seconds()) * 1000);
		if (left_ms <= 0)
			break;
		ended = poll(&end, 1, left_ms) == 1 && rig_has_ended(process, exit_status);
		sched_yield(); /* who traces it (disk.h) is told of its end first */
	}
	close(fd);
	return ended;
}

static struct rig_process *free_process(struct rig *rig, const char *name)
{
	struct rig_process *found = NULL;
	for (size_t i = 0; i < RIG_PROCESSES_MAX && !found; i++)
		if (!rig->processes[i].pid && (!rig->processes[i].name[0] || strcmp(rig->processes[i].name, name) == 0))
			found = &rig->processes[i];
	assert_non_null(found);
	*found = (struct rig_process){0};
	snprintf(found->name, sizeof found->name, "%s", name);
	return found;
}

static char *format_command(struct rig *rig, const char *format, va_list rest)
{
	char text[4096];
	int len = vsnprintf(text, sizeof text, format, rest);
	assert_in_range(len, 1, sizeof text - 1);
	return arena_copy(&rig->arena, text, (size_t)len);
}

struct rig_process *rig_start(struct rig *rig, const char *name, const char *format, ...)
{
	struct rig_process *process = free_process(rig, name);
	va_list rest;
	va_start(rest, format);
	char *command = format_command(rig, format, rest);
	va_end(rest);
	const char *out = arena_format(&rig->arena, "%s/%s.log", rig->folder, name);
	spawn(rig, process, command, "/dev/null", out, out);
	return process;
}

/* Is it the program by now, and not the copy of this one that becomes it? */
static bool has_begun(pid_t pid)
{
	char path[48], own[4096], other[4096];
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	ssize_t own_len = readlink("/proc/self/exe", own, sizeof own), len = readlink(path, other, sizeof other);
	return len > 0 && (len != own_len || memcmp(own, other, (size_t)len) != 0);
}

/* Has it a handler for SIGTERM, or ended? Before, the signal would end it and not ask it to. */
static bool hears_or_has_ended(struct rig *rig, void *arg)
{
	const struct rig_process *process = arg;
	char path[48], line[256], state = 0;
	unsigned long long caught = 0;
	(void)rig;
	snprintf(path, sizeof path, "/proc/%d/status", process->pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "State: %c", &state) != 1)
			sscanf(line, "SigCgt: %llx", &caught);
	if (file)
		fclose(file);
	return !file || state == 'Z' || (caught >> (SIGTERM - 1) & 1 && has_begun(process->pid));
}

int rig_end(struct rig *rig, struct rig_process *process, int number, int seconds_max)
{
	int exit_status = 0;
	if (number == SIGTERM)
		rig_until(rig, seconds_max, "it may be asked to end", hears_or_has_ended, process);
	if (number)
		kill(process->pid, number);
	if (!await_end(process, seconds_max, &exit_status))
		fail_msg("%s did not end within %d s; it wrote:\n%s", process->name, seconds_max,
		         rig_words(rig, process));
	return exit_status;
}

const char *rig_words(struct rig *rig, const struct rig_process *process)
{
	return read_end(rig, arena_format(&rig->arena, "%s/%s.log", rig->folder, process->name), 0);
}

/* ---- commands ---- */

static void run(struct rig *rig, struct rig_result *result, int seconds_max, const char *input, char *command)
{
	struct rig_process process = {.name = "command"};
	const char *shown = arena_format(&rig->arena, "%s", command);
	int number = rig->command_count++;
	const char *out = arena_format(&rig->arena, "%s/command-%d.out", rig->folder, number);
	const char *err = arena_format(&rig->arena, "%s/command-%d.err", rig->folder, number);
	const char *in = input ? arena_format(&rig->arena, "%s/command-%d.in", rig->folder, number) : "/dev/null";
	if (input) {
		FILE *file = fopen(in, "w");
		assert_non_null(file);
		fputs(input, file);
		fclose(file);
	}
	double started = now_seconds();
	spawn(rig, &process, command, in, out, err);
	bool ended = await_end(&process, seconds_max, &result->exit_status);
	if (!ended) {
		kill(process.pid, SIGKILL);
		waitpid(process.pid, NULL, 0);
	}
	result->seconds = now_seconds() - started;
	result->out = read_end(rig, out, 0);
	result->err = read_end(rig, err, 0);
	unlink(out);
	unlink(err);
	if (!ended)
		fail_msg("'tandem %s' did not end within %d s; it wrote:\n%s%s", shown, seconds_max, result->out,
		         result->err);
}

void rig_run(struct rig *rig, struct rig_result *result, int seconds_max, const char *format, ...)
{
	va_list rest;
	va_start(rest, format);
	char *command = format_command(rig, format, rest);
	va_end(rest);
	run(rig, result, seconds_max, NULL, command);
}

void rig_run_with(struct rig *rig, struct rig_result *result, int seconds_max, const char *input, const char *format,
                  ...)
{
	va_list rest;
	va_start(rest, format);
	char *command = format_command(rig, format, rest);
	va_end(rest);
	run(rig, result, seconds_max, input, command);
}

const char *rig_ok(struct rig *rig, const char *format, ...)
{
	struct rig_result result;
	va_list rest;
	va_start(rest, format);
	char *command = format_command(rig, format, rest);
	va_end(rest);
	const char *shown = arena_format(&rig->arena, "%s", command);
	run(rig, &result, COMMAND_SECONDS, NULL, command);
	if (result.exit_status != 0)
		fail_msg("'tandem %s' ended with %d:\n%s%s", shown, result.exit_status, result.out, result.err);
	return result.out;
}

void rig_receive(struct rig *rig, int skus, int stock)
{
	rig_ok(rig, "publish --only receipts --orders 1 --skus %d --stock %d", skus, stock);
	rig_ok(rig, "inventory run --until-end");
}

/* ---- waiting ---- */

/* Between two looks it rests as long as a look takes, twice: looking is not to be the load. */
void rig_until(struct rig *rig, int seconds_max, const char *what, bool (*met)(struct rig *rig, void *arg), void *arg)
{
	double until = now_seconds() + seconds_max;
	for (double began = now_seconds(); !met(rig, arg); began = now_seconds()) {
		double now = now_seconds();
		int64_t rest_ns = (int64_t)((now - began) * 2e9);
		if (now > until || interrupt_requested())
			fail_msg("waited %d s for this, in vain: %s", seconds_max, what);
		rest_ns = rest_ns < LOOK_NS ? LOOK_NS : rest_ns < LOOK_NS_MAX ? rest_ns : LOOK_NS_MAX;
		nanosleep(&(struct timespec){.tv_nsec = rest_ns}, NULL);
	}
}

/* ---- what the installation says of itself ---- */

int32_t rig_partitions(const struct rig *rig, const char *service)
{
	return strcmp(service, "inventory") == 0 ? rig->inventory : rig->orders;
}

static void verify_line(const char *line, size_t len, uint64_t hashes[RIG_PARTITIONS_MAX])
{
	const char *verdict, *state;
	int partition;
	json_t *json = json_loadb(line, len, 0, NULL);
	assert_non_null(json);
	assert_int_equal(
		json_unpack(json, "{s:s, s:i, s:s}", "verdict", &verdict, "partition", &partition, "state", &state), 0);
	if (strcmp(verdict, "same") != 0)
		fail_msg("verify: %.*s", (int)len, line);
	assert_in_range(partition, 0, RIG_PARTITIONS_MAX - 1);
	if (hashes)
		hashes[partition] = strtoull(state, NULL, 16);
	json_decref(json);
}

void rig_verify(struct rig *rig, const char *service, const char *data, uint64_t hashes[RIG_PARTITIONS_MAX])
{
	const char *line = rig_ok(rig, "%s verify -J --data %s", service, data ? data : rig->data);
	int count = 0;
	for (const char *end; (end = strchr(line, '\n')); line = end + 1, count++)
		verify_line(line, (size_t)(end - line), hashes);
	assert_int_equal(count, rig_partitions(rig, service));
}

void rig_verify_all(struct rig *rig)
{
	rig_ok(rig, "revenue run --until-end");
	rig_verify(rig, "order", NULL, NULL);
	rig_verify(rig, "inventory", NULL, NULL);
	rig_verify(rig, "revenue", NULL, NULL);
	rig_ok(rig, "audit");
}

void rig_drain(struct rig *rig, int seconds_max)
{
	struct rig_result result;
	rig_run(rig, &result, seconds_max, "audit --wait --timeout %ds", seconds_max - 1);
	if (result.exit_status != 0)
		fail_msg("audit --wait ended with %d:\n%s%s", result.exit_status, result.out, result.err);
}

/* ---- the files ---- */

static struct store *open_file(struct rig *rig, const char *service, int32_t partition)
{
	struct err err = {0};
	struct store *store;
	const struct store_config config = {
		.path = arena_format(&rig->arena, "%s/%s/%d.db", rig->data, service, partition),
		.mode = STORE_READ,
		.busy_timeout_ms = BUSY_MS};
	check(store_open(&config, &store, &err), &err);
	return store;
}

int64_t rig_number(struct rig *rig, const char *service, int32_t partition, const char *sql)
{
	struct err err = {0};
	struct store_statement *statement;
	bool row;
	struct store *store = open_file(rig, service, partition);
	check(store_prepare(store, sql, &statement, &err), &err);
	check(store_step(statement, &row, &err), &err);
	int64_t number = row ? store_int(statement, 0) : 0;
	store_close(store);
	return number;
}

int64_t rig_sum(struct rig *rig, const char *service, const char *sql)
{
	int64_t sum = 0;
	for (int32_t p = 0; p < rig_partitions(rig, service); p++)
		sum += rig_number(rig, service, p, sql);
	return sum;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len) /* FNV-1a */
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
	return hash;
}

static uint64_t mix_table(struct store *store, const char *name, uint64_t hash)
{
	struct err err = {0};
	struct store_statement *statement;
	char sql[128];
	bool row;
	snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY 1, 2", name);
	check(store_prepare(store, sql, &statement, &err), &err);
	for (check(store_step(statement, &row, &err), &err); row; check(store_step(statement, &row, &err), &err)) {
		for (int i = 0; i < store_column_count(statement); i++) {
			struct store_value value;
			store_value(statement, i, &value);
			hash = mix(hash, &value.kind, sizeof value.kind);
			hash = value.kind == STORE_INT ? mix(hash, &value.number, sizeof value.number) : hash;
			hash = value.len ? mix(hash, value.bytes, value.len) : hash;
		}
	}
	return hash;
}

uint64_t rig_tables_hash(struct rig *rig, const char *service)
{
	const struct service *description = command_service(service);
	uint64_t hash = 0xcbf29ce484222325;
	assert_non_null(description);
	for (int32_t p = 0; p < rig_partitions(rig, service); p++) {
		struct store *store = open_file(rig, service, p);
		for (size_t i = 0; i < description->table_count; i++) {
			char name[STORE_NAME_ROOM];
			store_table_name(description->tables[i], name);
			hash = mix_table(store, name, hash);
		}
		store_close(store);
	}
	return hash;
}
