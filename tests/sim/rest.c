/* Running everything, without faults, until nothing moves: bounded, and every process is alive. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#define STEPS_MAX 400000
#define QUIET_US 2000000LL
#define QUIET_HALTED_US 130000000LL /* a halted task is tried again once a minute */

/* Whatever moves when something happens. */
static uint64_t motion(struct world *world)
{
	uint64_t sum = (uint64_t)world->item_next;
	for (int t = 0; t < SIM_TOPICS; t++)
		for (int32_t p = 0; p < world->topics[t].partitions; p++)
			sum = sum * 31 + (uint64_t)world_end(world, t, p);
	for (int i = 0; i < world->process_count; i++) {
		const struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			struct task_position position = {0};
			worker_task(process->worker, t, &task);
			if (task.task)
				task_position(task.task, &position);
			sum = sum * 31 + (uint64_t)position.next_offset + (uint64_t)(task.task && task_is_open(task.task));
		}
	}
	return sum;
}

/* Something is set aside for another reason than that another process has it. */
static bool anything_halted(const struct world *world)
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
	int64_t quiet_since = world->now_us, idle_us = 1000;
	int64_t quiet_us = QUIET_US + 2000LL * world->plan.session_timeout_ms;
	uint64_t before = 0;
	for (int steps = 0; steps < STEPS_MAX; steps++) {
		if (!input_all_done(world))
			input_step(world);
		bool moved = step_all(world);
		if (moved) {
			world->now_us += 5;
			idle_us = 1000;
			continue;
		}
		uint64_t now = motion(world);
		if (now != before || !input_all_done(world)) {
			before = now;
			quiet_since = world->now_us;
		}
		if (world->now_us - quiet_since > (anything_halted(world) ? QUIET_HALTED_US : quiet_us))
			return true;
		world->now_us += idle_us;
		if (idle_us < 100000)
			idle_us *= 2;
	}
	return world_fail(world, "it does not come to rest in %d rounds", STEPS_MAX);
}
