/* Running everything, without faults, until nothing moves: bounded, and every process is alive. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX      200000
#define QUIET_US        2000000LL
#define QUIET_HALTED_US 130000000LL /* a halted task is tried again once a minute */

/* How much each task has ever taken. A halted one sends repeats and rolls back every time it is tried: neither that nor reading
 * those repeats is progress. */
struct progress {
	int64_t most[SIM_PROCESSES_MAX][SIM_PARTITIONS_MAX];
};

static bool look_for_progress(struct world *world, struct progress *progress)
{
	bool any = false;
	for (int i = 0; i < world->process_count; i++) {
		const struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			worker_task(process->worker, t, &task);
			int64_t *most = &progress->most[i][task.partition], taken = 0;
			if (task.task)
				taken = task_count(task.task, TASK_APPLIED) + task_count(task.task, TASK_REJECTED);
			any = any || taken > *most;
			if (taken > *most)
				*most = taken;
		}
	}
	return any;
}

/* Something is set aside for another reason than that another process has it. */
bool rest_anything_halted(const struct world *world)
{
	for (int i = 0; i < world->process_count; i++) {
		const struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			worker_task(process->worker, t, &task);
			if (task.why && !err_is(task.why, "locked"))
				return true;
		}
	}
	return false;
}

static bool step_all(struct world *world)
{
	bool moved = false;
	for (int i = 0; i < world->process_count; i++) {
		struct process *process = &world->processes[i];
		if (!process->worker)
			world_start(world, process);
		enum worker_step step = world_step(world, process);
		if (step == WORKER_DONE)
			world_close_process(world, process);
		moved = moved || step != WORKER_IDLE;
	}
	return moved;
}

bool rest_reach(struct world *world)
{
	int64_t moved_at = world->now_us, progress_at = world->now_us, idle_us = 1000;
	int64_t quiet_us = QUIET_US + 2000LL * world->plan.session_timeout_ms;
	struct progress progress = {0};
	for (int rounds = 0; rounds < ROUNDS_MAX; rounds++) {
		if (!input_all_done(world))
			input_step(world);
		if (step_all(world)) {
			moved_at = world->now_us += 5;
			idle_us = 1000;
			continue;
		}
		if (look_for_progress(world, &progress) || !input_all_done(world))
			progress_at = world->now_us;
		if (rounds > world->tally.rounds_max)
			world->tally.rounds_max = rounds;
		if (world->now_us -
		            (rest_anything_halted(world) ? progress_at + QUIET_HALTED_US : moved_at + quiet_us) >
		    0)
			return true;
		world->now_us += idle_us;
		if (idle_us < 100000)
			idle_us *= 2;
	}
	return world_fail(world, "it does not come to rest in %d rounds", ROUNDS_MAX);
}
