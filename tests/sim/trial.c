/* Refusals, one in every other seed: see sim.h. Everything is at rest and right, so that it is known what must be refused, by whom
 * and with which words, and that nothing else may come of it. docs/operations.md names the reasons and the ways out. */
#include "trial.h"

#include <string.h>

bool trial_fail(struct trial *trial, const char *what)
{
	return world_fail(trial->world, "trial of %s at %s/%d: %s", trial->name, world_service(trial->service)->name,
	                  trial->partition, what);
}

/* ---- what a trial does ---- */

void trial_close_service(struct world *world, int service)
{
	for (int i = 0; i < world->process_count; i++)
		if (world->processes[i].service == service)
			world_close_process(world, &world->processes[i]);
}

void trial_delete_files(struct trial *trial)
{
	const struct plan *plan = &trial->world->plan;
	for (int f = 0; f < (plan->shared_folder ? 1 : plan->processes[trial->service]); f++)
		files_delete(trial->world, trial->service, f, trial->partition);
}

void trial_cut(struct trial *trial, int64_t from)
{
	log_memory_truncate(trial->world->memory, trial->world->topics[trial->topic].name, trial->partition, from);
}

void trial_append(struct trial *trial, const struct log_record *records, size_t count)
{
	struct err err = {0};
	if (log_import(trial->world->log, trial->world->topics[trial->topic].name, trial->partition, records, count,
	               &err) != OK)
		trial_fail(trial, err.text);
}

/* From this offset on, as it was. */
void trial_put_back(struct trial *trial, int64_t from)
{
	size_t at = 0;
	while (at < trial->count && trial->records[at].offset < from)
		at++;
	trial_cut(trial, from);
	trial_append(trial, trial->records + at, trial->count - at);
	trial->world->mark_count = 0; /* what was measured in between is not what stands there */
}

/* ---- what must come of it ---- */

static bool concerned(int service, int32_t partition, int of_service, int32_t of_partition)
{
	return (service == TRIAL_ANY || service == of_service) && (partition == TRIAL_ANY || partition == of_partition);
}

/* Those are set aside with this reason, and no others with another one. (Who has lost file and mark sends everything again, and
 * so finds that his destination is another's whoever it was tried with.) */
static bool check_refused(struct trial *trial, int service, int32_t partition, const char *code)
{
	struct world *world = trial->world;
	int refused = 0;
	for (int i = 0; i < world->process_count; i++) {
		const struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			worker_task(process->worker, t, &task);
			if (task.why && err_is(task.why, "locked"))
				continue;
			bool must = concerned(service, partition, process->service, task.partition) &&
			            task.partition < world->plan.partitions[process->service];
			if (must && !(task.why && err_is(task.why, code)))
				return world_fail(world, "trial of %s: %s/%d is not refused with %s but %s",
				                  trial->name, process->name, task.partition, code,
				                  task.why ? task.why->code : "goes on");
			if (!must && task.why && task.partition < world->plan.partitions[process->service] &&
			    !(err_is(task.why, code) && err_is(task.why, "foreign_destination")))
				return world_fail(world, "trial of %s: %s/%d is refused as well: %s", trial->name,
				                  process->name, task.partition, task.why->code);
			refused += must;
		}
	}
	return refused > 0 || trial_fail(trial, "nobody has refused it");
}

bool trial_is_refused(struct trial *trial, int service, int32_t partition, const char *code)
{
	return rest_reach(trial->world) && check_refused(trial, service, partition, code);
}

bool trial_has_recovered(struct trial *trial)
{
	struct verdict verdict;
	return remedy_recover(trial->world, &verdict) ||
	       world_fail(trial->world, "after the trial of %s at %s/%d: %s | %s", trial->name,
	                  world_service(trial->service)->name, trial->partition, verdict.signs, verdict.what);
}

/* ---- which ---- */

static const struct {
	const char *name;
	bool (*run)(struct trial *trial);
	bool one_file; /* who opens the partition has the file that was folded last */
} trials[TRIAL_KINDS] = {
	[TRIAL_PARTITIONS] = {"partitions added", trial_partitions_added, false},
	[TRIAL_TRUNCATED] = {"truncated", trial_truncated, true},
	[TRIAL_FORKED] = {"forked", trial_forked, true},
	[TRIAL_TWIN] = {"a twin", trial_forked, true},
	[TRIAL_MARK_RECORD] = {"mark_record", trial_mark_record, false},
	[TRIAL_MARK_DIFFERS] = {"mark_differs", trial_mark_differs, false},
	[TRIAL_MARK_KEPT] = {"a mark that is kept", trial_mark_kept, true},
	[TRIAL_RETENTION] = {"retention", trial_retention, false},
	[TRIAL_FOREIGN_LOG] = {"foreign_log", trial_foreign_log, true},
	[TRIAL_DESTINATION] = {"foreign_destination", trial_foreign_destination, false},
	[TRIAL_FILE] = {"foreign_file", trial_foreign_file, false},
	[TRIAL_FILE_SHORT] = {"a cut file", trial_file_short, true},
	[TRIAL_SETTING] = {"topic_settings", trial_setting, false},
};

static bool one_file(const struct world *world, int service)
{
	const struct plan *plan = &world->plan;
	return plan->shared_folder || plan->processes[service] == 1;
}

/* No damaged file lies about that somebody may open when he is given another partition. */
static bool no_damage(const struct world *world)
{
	const int64_t *fired = world->tally.fired;
	return !fired[FAULT_FILE_OTHER] && !fired[FAULT_FILE_SHORT] && !fired[FAULT_FILE_BIT] && !fired[FAULT_DISK] &&
	       !fired[FAULT_MEMORY];
}

void trial_run(struct world *world)
{
	struct dice dice = dice_make(world->seed, 7);
	int kind = dice_below(&dice, TRIAL_KINDS), service = dice_below(&dice, SIM_SERVICES);
	bool one = one_file(world, SIM_ORDER) && one_file(world, SIM_INVENTORY);
	if (!dice_chance(&dice, 500) || (!one && (trials[kind].one_file || !no_damage(world))))
		return;
	struct trial trial = {.world = world,
	                      .dice = &dice,
	                      .name = trials[kind].name,
	                      .service = service,
	                      .topic = service == SIM_ORDER ? SIM_ORDERS : SIM_INVENTORIES,
	                      .partition = dice_below(&dice, world->plan.partitions[service])};
	trial.count = loss_read(world, trial.topic, trial.partition, &trial.records);
	trial.end = world_end(world, trial.topic, trial.partition);
	world_trace(world, "TRIAL of %s at %s/%d", trial.name, world_service(service)->name, trial.partition);
	if (trials[kind].run(&trial))
		world->tally.trials[kind]++;
}
