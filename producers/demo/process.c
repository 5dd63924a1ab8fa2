#include "demo.h"

#include "command.h"
#include "interrupt.h"
#include "lock.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64
#define KILL_WAIT_MS  10000
#define LOOK_NS       200000 /* between two looks at a worker's state */

void demo_say(const char *text)
{
	printf("\n== %s\n", text);
	fflush(stdout);
}

/* ---- the folder ---- */

static bool make_folder(struct demo *demo, const char *local)
{
	if (!local) {
		const char *tmp = getenv("TMPDIR");
		demo->folder = mem_format("%s/tandem-demo-XXXXXX", tmp ? tmp : "/tmp");
		return mkdtemp(demo->folder) != NULL;
	}
	demo->keep = true;
	demo->folder = mem_strdup(local);
	if (mkdir(local, 0755) == 0)
		return true;
	return errno == EEXIST && rmdir(local) == 0 && mkdir(local, 0755) == 0; /* only an empty one can be removed */
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info;
	(void)kind;
	(void)walk;
	return remove(path);
}

int demo_open(struct demo *demo, const struct config *config, const char *local, int partitions)
{
	demo->config = config;
	demo->order.name = "order";
	demo->inventory.name = "inventory";
	demo->csv = config->rest_count ? config->rest[0] : NULL;
	demo->start_us = seam_monotonic_us(&seam_system);
	snprintf(demo->partitions, sizeof demo->partitions, "%d", partitions);
	ssize_t len = readlink("/proc/self/exe", demo->program, sizeof demo->program - 1);
	if (len < 0 || !make_folder(demo, local)) {
		fprintf(stderr, "tandem demo: %s: %s; expected a new or empty folder\n",
		        demo->folder ? demo->folder : "?", strerror(errno));
		mem_free(demo->folder);
		demo->folder = NULL;
		return EXIT_USAGE;
	}
	if (demo->csv && access(demo->csv, R_OK) != 0) {
		fprintf(stderr, "tandem demo: %s: %s\n", demo->csv, strerror(errno));
		return EXIT_USAGE;
	}
	uint32_t random;
	seam_random(&seam_system, &random, sizeof random);
	demo->data = mem_format("%s/state", demo->folder);
	demo->on_broker = config->log != NULL;
	demo->log_url = demo->on_broker ? mem_strdup(config->log) : mem_format("local:%s/log", demo->folder);
	demo->name_space = demo->on_broker ? mem_format("demo-%08x", random) : mem_strdup("");
	demo->log_options = demo->on_broker ? mem_format("--log %s --namespace %s", demo->log_url, demo->name_space)
	                                    : mem_format("--log %s", demo->log_url);
	return EXIT_DONE;
}

static void end_process(struct demo_process *process)
{
	if (!process->pid)
		return;
	kill(process->pid, SIGKILL);
	waitpid(process->pid, NULL, 0);
	process->pid = 0;
}

void demo_close(struct demo *demo)
{
	end_process(&demo->order);
	end_process(&demo->inventory);
	if (demo->on_broker && !demo->keep && demo->log_url)
		demo_run(demo, "topics", "delete", "--yes", "--wait", "20s", NULL);
	if (demo->folder && !demo->keep)
		nftw(demo->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	mem_free(demo->folder);
	mem_free(demo->data);
	mem_free(demo->log_url);
	mem_free(demo->name_space);
	mem_free(demo->log_options);
}

/* ---- commands ---- */

struct arguments {
	const char *items[ARGUMENTS_MAX];
	size_t count;
};

static void add(struct arguments *arguments, const char *argument)
{
	if (arguments->count + 1 < ARGUMENTS_MAX)
		arguments->items[arguments->count++] = argument;
}

static bool takes_data(const char *command)
{
	return strcmp(command, "publish") != 0 && strcmp(command, "topics") != 0;
}

static void collect(struct arguments *arguments, const struct demo *demo, const char *first, va_list rest)
{
	add(arguments, "tandem");
	for (const char *argument = first; argument; argument = va_arg(rest, const char *))
		add(arguments, argument);
	add(arguments, "--log");
	add(arguments, demo->log_url);
	if (*demo->name_space) {
		add(arguments, "--namespace");
		add(arguments, demo->name_space);
	}
	if (demo->config->secret_file && strcmp(first, "publish") != 0) { /* which needs none */
		add(arguments, "--secret-file");
		add(arguments, demo->config->secret_file);
	}
	if (takes_data(first)) {
		add(arguments, "--data");
		add(arguments, demo->data);
	}
}

static void show(const struct arguments *arguments)
{
	printf("$");
	for (size_t i = 0; i < arguments->count; i++)
		printf(" %s", arguments->items[i]);
	printf("\n");
	fflush(stdout);
}

/* In the child. Workers write to a file, other commands where we do. */
static _Noreturn void become(const struct demo *demo, struct arguments *arguments, const char *log_name)
{
	if (log_name) {
		char path[4200];
		snprintf(path, sizeof path, "%s/%s.log", demo->folder, log_name);
		int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (fd >= 0) {
			dup2(fd, STDOUT_FILENO);
			dup2(fd, STDERR_FILENO);
		}
	}
	setpgid(0, 0); /* Ctrl-C is ours; we end them */
	execv(demo->program, (char *const *)(uintptr_t)arguments->items);
	_exit(127);
}

static bool spawn(struct demo *demo, struct demo_process *process, struct arguments *arguments, const char *log_name)
{
	show(arguments);
	process->pid = fork();
	if (process->pid == 0)
		become(demo, arguments, log_name);
	if (process->pid > 0)
		return true;
	perror("tandem demo: fork");
	process->pid = 0;
	return false;
}

bool demo_wait(struct demo *demo, struct demo_process *process)
{
	(void)demo;
	int status;
	while (waitpid(process->pid, &status, 0) < 0) {
		if (errno != EINTR || interrupt_requested()) {
			end_process(process);
			return false;
		}
	}
	process->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	fprintf(stderr, "tandem demo: %s ended with %s %d; its words stand above, or in the folder's .log files\n",
	        process->name, WIFEXITED(status) ? "status" : "signal",
	        WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return false;
}

bool demo_spawn(struct demo *demo, struct demo_process *process, const char *first, ...)
{
	struct arguments arguments = {0};
	va_list rest;
	va_start(rest, first);
	collect(&arguments, demo, first, rest);
	va_end(rest);
	return spawn(demo, process, &arguments, NULL);
}

bool demo_run(struct demo *demo, const char *first, ...)
{
	struct arguments arguments = {0};
	struct demo_process process = {.name = first};
	va_list rest;
	va_start(rest, first);
	collect(&arguments, demo, first, rest);
	va_end(rest);
	return spawn(demo, &process, &arguments, NULL) && demo_wait(demo, &process);
}

static void collect_worker(struct arguments *arguments, const struct demo *demo, const char *name, ...)
{
	va_list rest;
	va_start(rest, name);
	collect(arguments, demo, name, rest);
	va_end(rest);
}

bool demo_start(struct demo *demo, struct demo_process *worker)
{
	struct arguments arguments = {0};
	/* A static member comes back at once after a crash, where others wait for its session to end; and it is one for as
	 * long after its own end, which the deletion of the topics waits for. */
	collect_worker(&arguments, demo, worker->name, "run", "--instance-id", "demo", "--session-timeout", "6s", NULL);
	return spawn(demo, worker, &arguments, worker->name);
}

bool demo_stop(struct demo *demo, struct demo_process *worker)
{
	kill(worker->pid, SIGTERM);
	return demo_wait(demo, worker);
}

/* ---- the kill ---- */

static bool busy(const struct demo *demo, const struct demo_process *worker, enum lock_state *state)
{
	for (int partition = 0; partition < atoi(demo->partitions); partition++) {
		char path[4200];
		pid_t pid;
		snprintf(path, sizeof path, "%s/%s/%d.lock", demo->data, worker->name, partition);
		if (lock_holder(path, &pid, state) && pid == worker->pid &&
		    (*state == LOCK_FOLDING || *state == LOCK_SENDING || *state == LOCK_ACKS || *state == LOCK_COMMIT))
			return true;
	}
	return false;
}

bool demo_kill_busy(struct demo *demo, struct demo_process *worker)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};
	int64_t until = seam_monotonic_us(&seam_system) + KILL_WAIT_MS * 1000LL;
	enum lock_state state = LOCK_READY;
	while (!busy(demo, worker, &state)) {
		if (seam_monotonic_us(&seam_system) > until || interrupt_requested()) {
			fprintf(stderr, "tandem demo: the worker was not seen at work within %d s\n",
			        KILL_WAIT_MS / 1000);
			return false;
		}
		nanosleep(&look, NULL);
	}
	kill(worker->pid, SIGKILL);
	waitpid(worker->pid, NULL, 0);
	printf("kill -9 %d    the %s worker was %s\n", (int)worker->pid, worker->name, lock_state_name(state));
	worker->pid = 0;
	return true;
}
