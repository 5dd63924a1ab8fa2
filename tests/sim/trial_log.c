/* Trials of a log that has another history than the one that was folded, and of marks that speak for one. */
#include "trial.h"

#include "hash.h"
#include "mark.h"

#include <stdio.h>
#include <string.h>

#define CATCH_UP_ROUNDS 2000

/* ---- the log ---- */

bool trial_truncated(struct trial *trial)
{
	int64_t from = trial->end - 1 - dice_below(trial->dice, 2);
	if (from < 1)
		return true;
	trial_close_service(trial->world, trial->service);
	trial_cut(trial, from);
	if (!trial_is_refused(trial, trial->service, trial->partition, "truncated"))
		return false;
	trial_put_back(trial, from);
	return trial_has_recovered(trial);
}

/* Another record stands where the last one was: one with other bytes, or its twin, written a little later. */
bool trial_forked(struct trial *trial)
{
	struct log_record other = trial->records[trial->count - 1];
	if (trial->count < 2)
		return true;
	other.timestamp_ms++;
	if (strcmp(trial->name, "forked") == 0)
		other.value = (struct log_bytes){"x", 1};
	trial_close_service(trial->world, trial->service);
	trial_cut(trial, other.offset);
	trial_append(trial, &other, 1);
	if (!trial_is_refused(trial, trial->service, trial->partition, "forked"))
		return false;
	trial_put_back(trial, other.offset);
	return trial_has_recovered(trial);
}

/* The file is lost, and the record before the mark is gone or another. */
bool trial_mark_record(struct trial *trial)
{
	struct log_record other = trial->records[trial->count - 1];
	if (trial->count < 2 || trial->world->last_mark[trial->service][trial->partition].offset != trial->end)
		return true;
	trial_close_service(trial->world, trial->service);
	trial_delete_files(trial);
	trial_cut(trial, other.offset);
	other.timestamp_ms++;
	if (dice_chance(trial->dice, 700))
		trial_append(trial, &other, 1);
	if (!trial_is_refused(trial, trial->service, trial->partition, "mark_record"))
		return false;
	trial_put_back(trial, other.offset);
	return trial_has_recovered(trial);
}

/* The file is lost, and a record long before the mark is another: only the running hashes can tell. The file that was folded
 * from it must be gone before the halt, since what it counts as sent was not. */
bool trial_mark_differs(struct trial *trial)
{
	static const struct log_header note = {.name = "note", .value = {"1", 1}};
	if (trial->count < 4 || trial->world->last_mark[trial->service][trial->partition].offset != trial->end)
		return true;
	size_t at = 1 + (size_t)dice_below(trial->dice, (int)trial->count - 2);
	struct log_record other = trial->records[at];
	struct log_header *headers = arena_alloc(&trial->world->arena, (other.header_count + 1) * sizeof *headers);
	for (size_t i = 0; i < other.header_count; i++)
		headers[i] = other.headers[i];
	headers[other.header_count++] = note;
	other.headers = headers;
	/* With keyed chains the note makes it a forged one, which is not applied: then its events are seen to be missing first. */
	if (seal_holds(&trial->world->seal, trial->world->topics[trial->topic].name, trial->partition,
	               &trial->records[at]) !=
	    seal_holds(&trial->world->seal, trial->world->topics[trial->topic].name, trial->partition, &other))
		return true;
	trial_close_service(trial->world, trial->service);
	trial_delete_files(trial);
	trial_cut(trial, other.offset);
	trial_append(trial, &other, 1);
	trial_append(trial, trial->records + at + 1, trial->count - at - 1);
	if (!trial_is_refused(trial, trial->service, trial->partition, "mark_differs"))
		return false;
	for (int i = 0; i < trial->world->process_count; i++) {
		const struct process *process = &trial->world->processes[i];
		if (process->service == trial->service && process->why[trial->partition] &&
		    strcmp(process->why[trial->partition], "mark_differs") == 0 &&
		    files_there(trial->world, trial->service, process->folder, trial->partition))
			return trial_fail(trial, "the file is still there");
	}
	trial_put_back(trial, other.offset);
	return trial_has_recovered(trial);
}

bool trial_retention(struct trial *trial)
{
	struct world *world = trial->world;
	if (trial->count < 2)
		return true;
	int64_t low = trial->records[1 + (size_t)dice_below(trial->dice, (int)trial->count - 1)].offset;
	trial_close_service(world, trial->service);
	world->head[trial->topic][trial->partition] = trial->records;
	while (trial->records[world->head_count[trial->topic][trial->partition]].offset < low)
		world->head_count[trial->topic][trial->partition]++;
	log_memory_trim(world->memory, world->topics[trial->topic].name, trial->partition, low);
	if (!trial_is_refused(trial, trial->service, trial->partition, "retention"))
		return false;
	loss_restore_head(world);
	world->mark_count = 0;
	trial_close_service(world, trial->service); /* marks went with the topic, and are made again at a start */
	return trial_has_recovered(trial);
}

/* ---- a mark that lies ---- */

/* Says of records that nobody has folded that their outputs are published: the record before it is the right one, the hashes
 * are not. */
static void forge(struct trial *trial, struct log_mark *mark)
{
	struct world *world = trial->world;
	char group[32];
	const struct log_record *last = &trial->records[trial->count - 1];
	const struct task_position position = {.next_offset = last->offset + 1,
	                                       .last_offset = last->offset,
	                                       .last_hash = hash_record(world->seal.key, last),
	                                       .input_hash = 1,
	                                       .output_hash = 2,
	                                       .logic_version = 1};
	*mark = (struct log_mark){.partition = trial->partition, .offset = position.next_offset};
	mark_write(&position, &world->seal, world_service(trial->service)->name, trial->partition, mark->metadata);
	snprintf(group, sizeof group, "tandem-%s", world_service(trial->service)->name);
	log_memory_mark(world->memory, group, world_service(trial->service)->input, mark);
	world->last_mark[trial->service][trial->partition] = *mark;
}

/* One that catches up has committed a part of it; true: that has been seen. */
static bool catch_up_in_part(struct trial *trial)
{
	struct world *world = trial->world;
	for (int i = 0; i < CATCH_UP_ROUNDS; i++) {
		for (int p = 0; p < world->process_count; p++) {
			struct process *process = &world->processes[p];
			if (process->service != trial->service)
				continue;
			if (!process->worker)
				world_start(world, process);
			enum worker_step step = world_step(world, process);
			for (size_t t = 0; step == WORKER_COMMITTED && t < worker_task_count(process->worker); t++) {
				struct worker_task task;
				struct task_position position;
				worker_task(process->worker, t, &task);
				if (task.partition != trial->partition || !task.catching_up || task_is_open(task.task))
					continue;
				task_position(task.task, &position);
				if (position.next_offset > 1)
					return true;
			}
		}
		world->now_us += 1000;
	}
	return false;
}

/* A file that catches up keeps the mark that it goes by: who takes the mark away meanwhile changes nothing, and the lie is
 * found out. And while it catches up no mark of its own takes the place of that one. */
bool trial_mark_kept(struct trial *trial)
{
	struct world *world = trial->world;
	struct log_mark mark;
	if (trial->count < 4)
		return true;
	trial_close_service(world, trial->service);
	trial_delete_files(trial);
	forge(trial, &mark);
	world->hidden_from[trial->topic][trial->partition] = trial->records[trial->count - 1].offset;
	world->halted[trial->service][trial->partition] = NULL;
	bool seen = catch_up_in_part(trial);
	for (int i = 0; i < 200 && seen; i++) { /* a mark would have been committed by now */
		for (int p = 0; p < world->process_count; p++)
			if (world->processes[p].service == trial->service && world->processes[p].worker)
				world_step(world, &world->processes[p]);
		world->now_us += 1000;
	}
	world->hidden_from[trial->topic][trial->partition] = 0;
	if (seen && world->last_mark[trial->service][trial->partition].offset != mark.offset)
		return trial_fail(trial, "a mark was committed while it caught up");
	for (int p = 0; p < world->process_count; p++)
		if (world->processes[p].service == trial->service)
			world_drop(world, &world->processes[p]);
	remedy_delete_marks(world, trial->service);
	if (!rest_reach(world))
		return false;
	const char *code = world->halted[trial->service][trial->partition];
	if (seen && !(code && strcmp(code, "mark_differs") == 0))
		return trial_fail(trial, "the mark that the file kept was not compared");
	return trial_has_recovered(trial);
}
