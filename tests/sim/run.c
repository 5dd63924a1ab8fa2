/* One seed from its plan to its verdict. */
#include "sim.h"

#include "heap.h"

#include <stdio.h>
#include <string.h>

#define TURNS_MAX      60000
#define REMEDIES_MAX   6
#define HELD_BYTES_MAX (8 << 20)

static void up_or_awake(struct world *world, struct process *process)
{
	if (!process->worker && process->up_at_us >= 0 && process->up_at_us <= world->now_us)
		world_start(world, process);
}

/* Steps one process a few times; true: something moved. */
static bool burst(struct world *world)
{
	struct process *process = &world->processes[dice_below(&world->schedule, world->process_count)];
	bool moved = false;
	up_or_awake(world, process);
	for (int i = dice_from(&world->schedule, 1, 12);
	     i > 0 && process->worker && process->awake_at_us <= world->now_us; i--) {
		enum worker_step step = world_step(world, process);
		world->now_us += dice_below(&world->schedule, 40);
		if (step == WORKER_IDLE)
			break;
		moved = true;
		if (step == WORKER_DONE)
			world_close_process(world, process);
		else
			fault_hits(world, process, step);
		if (!process->worker)
			process->up_at_us = world->now_us + dice_below(&world->schedule, 50000);
	}
	return moved;
}

/* The part with faults: until everything is published, and then some more. */
static void play(struct world *world)
{
	int idle = 0, after = dice_from(&world->schedule, 50, 2000);
	for (int turn = 0; turn < TURNS_MAX && after > 0; turn++) {
		if (dice_chance(&world->schedule, 150))
			input_step(world);
		forge_step(world);
		letters_step(world);
		bool moved = burst(world);
		faults_turn(world);
		idle = moved ? 0 : idle + 1;
		if (!moved)
			world->now_us += dice_below(&world->schedule, idle < 10 ? 500 : 20000);
		if (input_all_done(world))
			after--;
	}
}

/* A worker that is told of another leader compares its last record before it reads on: what it has folded is the log's, or it
 * halts. (A bit that was turned over in a file is for verify to see; so is a file that nobody has open any more, where another
 * worker has begun anew because the mark was lost as well; and so is another history that has the last record at its place.) */
static bool only_verify_sees(struct world *world, const struct verdict *verdict)
{
	return world->plan.told && !world->plan.may[FAULT_FILE_BIT] && !world->recreated && verdict->live_differs &&
	       !strstr(verdict->signs, "halted") && !loss_came_again(world);
}

/* The way out is followed as long as there is one to follow. */
static void judge(struct world *world, struct run_result *result)
{
	struct verdict verdict;
	check_all(world, &verdict);
	result->first = verdict.outcome;
	if (verdict.outcome == LOUD && !remedy_is_due(world))
		world_fail(world, "loud where it must be right: %s%s%s", verdict.signs, *verdict.what ? " | " : "",
		           verdict.what);
	if (only_verify_sees(world, &verdict))
		world_fail(world, "no worker has seen it: %s", verdict.signs);
	bool lost = world->recreated || world->tally.fired[FAULT_TAIL] || world->tally.fired[FAULT_TAIL_READ];
	while (result->remedies < REMEDIES_MAX && !*world->failure &&
	       (verdict.outcome == LOUD || (result->remedies == 0 && lost && verdict.outcome == RIGHT))) {
		if (!remedy_apply(world, &verdict))
			break;
		result->remedies++;
		if (!rest_reach(world))
			return;
		check_all(world, &verdict);
	}
	if (verdict.outcome == WRONG)
		world_fail(world, "silently wrong%s: %s", result->remedies ? " after the way out" : "", verdict.what);
	else if (verdict.outcome == LOUD && !sim_may_be_loud(&world->plan))
		world_fail(world, "loud where it must come right%s: %s%s%s",
		           result->remedies ? ", after the way out" : "", verdict.signs, *verdict.what ? " | " : "",
		           verdict.what);
	if (verdict.outcome == RIGHT && !*world->failure && letters_clear(world))
		trial_run(world);
}

/* What a process at rest has, it gives back when it is closed; and it is little, whatever has gone through it. */
static void check_held(struct world *world)
{
	for (int i = 0; i < world->process_count; i++) {
		int64_t held = heap_held();
		world_close_process(world, &world->processes[i]);
		held -= heap_held();
		if (held > world->tally.held_max)
			world->tally.held_max = held;
		if (held > HELD_BYTES_MAX)
			world_fail(world, "%s held %lld KiB at rest", world->processes[i].name,
			           (long long)(held / 1024));
	}
}

void run_seed(uint64_t seed, const struct options *options, struct run_result *result)
{
	struct world world;
	*result = (struct run_result){0};
	world_open(&world, seed, options);
	input_make(&world);
	faults_install(&world);
	for (int i = 0; i < world.process_count; i++)
		world.processes[i].up_at_us = dice_chance(&world.faults, 700) ? 0 : dice_below(&world.faults, 400000);
	play(&world);
	faults_stop(&world);
	if (rest_reach(&world))
		judge(&world, result);
	check_held(&world);
	probe_run(&world);
	result->failed = *world.failure != 0;
	memcpy(result->failure, world.failure, sizeof result->failure);
	result->trace_hash = world.trace_hash;
	result->steps = world.steps;
	for (int t = 0; t < SIM_TOPICS; t++)
		for (int32_t p = 0; p < world.topics[t].partitions; p++)
			result->records += world_end(&world, t, p);
	result->faults_offered = world.fault_index;
	result->tally = world.tally;
	result->plan = world.plan;
	memcpy(result->trace, world.trace, sizeof result->trace);
	result->trace_count = world.trace_count;
	world_close(&world);
}
