/* What a step of a process has changed: the marks it committed, who has which partition open, why a task is set aside. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

/* ---- marks ---- */

static void note_mark(struct world *world, int service, const struct log_mark *mark)
{
	if (world->mark_count == world->mark_room) {
		world->mark_room = world->mark_room ? 2 * world->mark_room : 64;
		world->marks = mem_realloc(world->marks, world->mark_room * sizeof *world->marks);
	}
	struct marked *marked = &world->marks[world->mark_count++];
	*marked = (struct marked){.service = service, .partition = mark->partition, .offset = mark->offset};
	for (int t = 0; t < SIM_TOPICS; t++)
		for (int32_t p = 0; p < world->topics[t].partitions; p++)
			marked->ends[t][p] = world_end(world, t, p);
	int *count = &world->old_mark_count[service][mark->partition];
	world->old_marks[service][mark->partition][(*count)++ % 4] = *mark;
}

/* Which marks has the last step committed? */
static void look_at_marks(struct world *world, int service)
{
	struct err err = {0};
	char group[32];
	snprintf(group, sizeof group, "tandem-%s", world_service(service)->name);
	for (int32_t p = 0; p < world->plan.partitions[service]; p++) {
		struct log_mark mark = {.partition = p}, *last = &world->last_mark[service][p];
		if (log_committed(world->log, group, world_service(service)->input, &mark, &err) != OK)
			continue; /* the topic is being created again */
		if (mark.offset == last->offset && strcmp(mark.metadata, last->metadata) == 0)
			continue;
		*last = mark;
		if (mark.offset >= 0)
			note_mark(world, service, &mark);
	}
}

/* ---- tasks ---- */

static bool another_has(const struct world *world, const struct process *process, int32_t partition)
{
	for (int i = 0; i < world->process_count; i++) {
		const struct process *other = &world->processes[i];
		if (other != process && other->worker && other->service == process->service && other->has[partition])
			return true;
	}
	return false;
}

/* It was gone beyond its session, and does not know. */
static void wake(struct world *world, struct process *process)
{
	bool zombie = false;
	process->paused = false;
	for (int32_t p = 0; p < SIM_PARTITIONS_MAX; p++)
		zombie = zombie || (process->has[p] && another_has(world, process, p));
	world->tally.seen[SEEN_ZOMBIE] += zombie;
}

static void set_aside(struct world *world, struct process *process, const struct worker_task *task)
{
	const char *code = task->why ? task->why->code : NULL;
	if (code && code != process->why[task->partition]) {
		tally_halt(&world->tally, code);
		if (strcmp(code, "locked") != 0)
			world->halted[process->service][task->partition] = code;
		world_trace(world, "%s %s: %d %s", process->name, worker_step_name(process->last), task->partition,
		            code);
	}
	process->why[task->partition] = code;
}

static void look_at_tasks(struct world *world, struct process *process)
{
	bool has[SIM_PARTITIONS_MAX] = {false};
	for (size_t t = 0; t < worker_task_count(process->worker); t++) {
		struct worker_task task;
		worker_task(process->worker, t, &task);
		has[task.partition] = task.task != NULL;
		set_aside(world, process, &task);
		if (has[task.partition] && !process->has[task.partition] && another_has(world, process, task.partition))
			world->tally.seen[SEEN_TWO_OWNERS]++;
	}
	memcpy(process->has, has, sizeof has);
}

void watch_step(struct world *world, struct process *process, enum worker_step step)
{
	if (process->paused)
		wake(world, process);
	if (step == WORKER_MARKED)
		look_at_marks(world, process->service);
	if (step == WORKER_IDLE)
		return;
	process->last = step;
	if (step == WORKER_ASSIGNED)
		world->tally.seen[SEEN_REVOKED]++;
	if (step == WORKER_OPENED || step == WORKER_HALTED || step == WORKER_BACKED_OFF || step == WORKER_ROLLED_BACK ||
	    step == WORKER_POLLED)
		look_at_tasks(world, process);
	world_trace(world, "%s %s", process->name, worker_step_name(step));
}

/* ---- processes ---- */

void watch_start(struct world *world, struct process *process)
{
	process->last = WORKER_IDLE;
	process->paused = false;
	memset(process->has, 0, sizeof process->has);
	memset(process->why, 0, sizeof process->why);
	for (int i = 0; i < world->process_count && world->faults_on; i++)
		if (&world->processes[i] != process && world->processes[i].service == process->service &&
		    world->processes[i].worker) {
			world->tally.seen[SEEN_SLOW_START]++;
			return;
		}
}

void watch_end(struct world *world, struct process *process, bool killed)
{
	struct worker_counts counts;
	struct worker_task task;
	worker_counts(process->worker, &counts);
	for (int v = 0; v < TASK_VERDICTS; v++)
		world->tally.verdicts[v] += counts.verdicts[v];
	world->tally.seen[SEEN_PRODUCERS] += counts.rollbacks;
	for (size_t t = 0; t < worker_task_count(process->worker); t++) {
		worker_task(process->worker, t, &task);
		world->tally.seen[SEEN_CAUGHT_UP] += task.suppressed; /* as far as it is still open */
	}
	if (killed)
		world->tally.crashed_after[process->last]++;
	memset(process->has, 0, sizeof process->has);
}
