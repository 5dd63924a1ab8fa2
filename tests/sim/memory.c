/* malloc that fails from the n-th call on. A process that has no memory left ends, and ours is that process: so it happens in a
 * child, which goes on with what a worker has, up to the first step that writes to the log or to a file. What the child leaves
 * on the disk is there; what it has written to the log of this process is not, as if that one output or mark had been lost. A
 * COMMIT comes after acknowledgements that we have seen ourselves, so that is a history that can be. */
#include "sim.h"

#include "heap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WENT_ON   77
#define STEPS_MAX 60

static _Noreturn void be_child(struct world *world, struct process *process, int64_t count, int out)
{
	static const struct options silent = {0};
	world->options = &silent;
	dup2(out, STDERR_FILENO);
	heap_fail_after(count);
	for (int i = 0; i < STEPS_MAX; i++) {
		enum worker_step step = world_step(world, process);
		if (step == WORKER_IDLE || step == WORKER_SENT || step == WORKER_COMMITTED || step == WORKER_MARKED ||
		    step == WORKER_DONE)
			break;
	}
	_exit(WENT_ON);
}

static void read_all(int fd, char *text, size_t room)
{
	size_t used = 0;
	for (ssize_t got = 1; got > 0 && used < room - 1;) {
		got = read(fd, text + used, room - 1 - used);
		used += got > 0 ? (size_t)got : 0;
	}
	text[used] = 0;
}

/* The one way in which a process without memory ends (common/mem.h). */
static bool ended_as_documented(int status, const char *text)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 1 && strncmp(text, "tandem: out of memory (", 23) == 0 &&
	       strchr(text, '\n') == text + strlen(text) - 1;
}

/* Where only SQLite, or nobody, was denied anything it goes on; it must be silent. */
static bool went_on(int status, const char *text)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == WENT_ON && !*text;
}

bool memory_runs_out(struct world *world, struct dice *dice)
{
	int out[2], status = 0;
	char text[200];
	struct process *process = fault_any_up(world, dice);
	int64_t count = dice_below(dice, dice_chance(dice, 400) ? 4 : dice_chance(dice, 500) ? 60 : 2500);
	int64_t pause_us = dice_below(dice, 20000);
	if (process && dice_chance(dice, 500)) { /* from its start on: opening is where most is allocated */
		world_drop(world, process);
		world_start(world, process);
	}
	if (!process || process->awake_at_us > world->now_us || pipe(out) != 0)
		return false;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		be_child(world, process, count, out[1]);
	close(out[1]);
	if (child > 0)
		read_all(out[0], text, sizeof text);
	close(out[0]);
	if (child < 0)
		return false;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	bool ended = ended_as_documented(status, text);
	if (!ended && !went_on(status, text))
		world_fail(world, "%s had no memory at allocation %lld and ended with status %#x: %s", process->name,
		           (long long)count, (unsigned)status, text);
	world->tally.seen[ended ? SEEN_MEMORY_ENDS : SEEN_MEMORY_GOES]++;
	world_trace(world, "%s has memory for %lld allocations: it %s", process->name, (long long)count,
	            ended ? "ends" : "goes on, and is killed");
	files_are_synced(world, process->service, process->folder);
	world_drop(world, process);
	process->up_at_us = world->now_us + pause_us;
	return ended;
}
