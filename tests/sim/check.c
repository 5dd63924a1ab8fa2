/* The verdict on a world at rest: what an operator sees (halts, gaps, audit, verify), and what is not as the oracle has it. */
#include "compare.h"
#include "sim.h"

#include "../../consumers/audit/audit.h"

#include "rebuild.h"
#include "verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void sign(struct verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void sign(struct verdict *verdict, const char *format, ...)
{
	size_t used = strlen(verdict->signs);
	va_list args;
	va_start(args, format);
	if (used + 2 < sizeof verdict->signs) {
		used += (size_t)snprintf(verdict->signs + used, sizeof verdict->signs - used, "%s", used ? "; " : "");
		if (used < sizeof verdict->signs)
			vsnprintf(verdict->signs + used, sizeof verdict->signs - used, format, args);
	}
	va_end(args);
}

static void wrong(struct verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct verdict *verdict, const char *format, ...)
{
	if (*verdict->what)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(verdict->what, sizeof verdict->what, format, args);
	va_end(args);
}

/* ---- tasks ---- */

/* The folder of the file that is furthest, of those that a running worker has open. */
static void look_at_tasks(struct world *world, struct verdict *verdict, int folders[SIM_SERVICES][SIM_PARTITIONS_MAX])
{
	int64_t next[SIM_SERVICES][SIM_PARTITIONS_MAX] = {0};
	memset(folders, -1, sizeof(int[SIM_SERVICES][SIM_PARTITIONS_MAX]));
	for (int i = 0; i < world->process_count; i++) {
		const struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			struct task_position position = {0};
			worker_task(process->worker, t, &task);
			if (task.why && !err_is(task.why, "locked"))
				sign(verdict, "halted %s/%d %s", process->name, task.partition, task.why->code);
			if (!task.task)
				continue;
			task_position(task.task, &position);
			if (position.next_offset > next[process->service][task.partition]) {
				next[process->service][task.partition] = position.next_offset;
				folders[process->service][task.partition] = process->folder;
			}
			if (task_is_open(task.task))
				wrong(verdict, "%s/%d is at rest with a batch open", process->name, task.partition);
		}
	}
	for (int s = 0; s < SIM_SERVICES; s++) {
		for (int32_t p = 0; p < world->plan.partitions[s]; p++) {
			int64_t end = world_end(world, s == SIM_ORDER ? SIM_ORDERS : SIM_INVENTORIES, p);
			if (folders[s][p] < 0)
				wrong(verdict, "nobody folds %s/%d", world_service(s)->name, p);
			else if (next[s][p] != end)
				wrong(verdict, "%s/%d is at %lld of %lld", world_service(s)->name, p,
				      (long long)next[s][p], (long long)end);
			else if (!world->plan.may[FAULT_MARK] && !world->plan.may[FAULT_HEAD] &&
			         world->last_mark[s][p].offset != next[s][p])
				wrong(verdict, "%s/%d is at %lld and its mark at %lld", world_service(s)->name, p,
				      (long long)next[s][p], (long long)world->last_mark[s][p].offset);
		}
	}
}

static void look_at_gaps(struct world *world, struct verdict *verdict)
{
	for (int i = 0; i < world->process_count; i++) {
		const struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			size_t count = 0;
			worker_task(process->worker, t, &task);
			const struct task_gap *gaps = task.task ? task_gaps(task.task, &count) : NULL;
			for (size_t g = 0; g < count; g++)
				if (*gaps[g].service && gaps[g].count)
					sign(verdict, "gap %s/%d from %s/%d at %llu", process->name, task.partition,
					     gaps[g].service, gaps[g].partition,
					     (unsigned long long)gaps[g].first_missing);
		}
	}
}

/* ---- verify, rebuild ---- */

static enum status verify(struct world *world, int service, const char *data, int32_t partition,
                          struct verify_result *result, struct err *err)
{
	const struct verify_config config = {.service = world_service(service),
	                                     .log = world->log,
	                                     .data = data,
	                                     .partition = partition,
	                                     .reverse = world->schedule.state % 2};
	return verify_partition(&config, result, err);
}

/* Another process's file of the same partition, made from nothing: the same state. */
static void check_rebuilt(struct world *world, struct verdict *verdict, int service, int32_t partition,
                          const struct verify_result *live)
{
	struct err err = {0};
	struct verify_result again;
	int64_t records;
	const char *data = arena_format(&world->arena, "%s/rebuilt", world->folder);
	const struct rebuild_config config = {
		.service = world_service(service), .log = world->log, .data = data, .partition = partition};
	enum status status = rebuild_partition(&config, &records, &err);
	if (status == REJECT && err_is(&err, "no_mark"))
		return;
	if (status == OK)
		status = verify(world, service, data, partition, &again, &err);
	if (status != OK)
		sign(verdict, "rebuild %s/%d %s", world_service(service)->name, partition, err.code);
	else if (!again.same || (again.next_offset == live->next_offset && again.state_hash != live->state_hash))
		wrong(verdict, "%s/%d is another when it is rebuilt", world_service(service)->name, partition);
	else
		world->tally.seen[SEEN_REBUILT] += again.next_offset == live->next_offset;
}

/* Where only verify and audit can tell that something is wrong they are always asked; else often enough. */
static bool thorough(const struct world *world)
{
	const struct plan *plan = &world->plan;
	return sim_may_be_loud(plan) || plan->may[FAULT_TAIL] || plan->may[FAULT_RECREATED] ||
	       plan->may[FAULT_FILE_SHORT];
}

static void sign_difference(struct verdict *verdict, int service, int folder, int32_t partition,
                            const struct verify_difference *difference)
{
	sign(verdict, "verify %s/%d in %d differs %s %s %s: %s, %s", world_service(service)->name, partition, folder,
	     difference->table, difference->key, difference->column, difference->file, difference->folded);
}

static void check_files(struct world *world, struct verdict *verdict, int folders[SIM_SERVICES][SIM_PARTITIONS_MAX])
{
	for (int s = 0; s < SIM_SERVICES; s++) {
		int32_t rebuilt = dice_below(&world->schedule, world->plan.partitions[s]);
		int count = world->plan.shared_folder ? 1 : world->plan.processes[s];
		for (int f = 0; f < count; f++) {
			for (int32_t p = 0; p < world->plan.partitions[s]; p++) {
				struct err err = {0};
				struct verify_result result;
				bool live = folders[s][p] == f;
				/* One that nobody has open any more must be right as well, as far as it goes. */
				if (!files_there(world, s, f, p) ||
				    !(dice_chance(&world->schedule, live ? 400 : 200) || (live && thorough(world))))
					continue;
				enum status status = verify(world, s, world_path(world, s, f), p, &result, &err);
				world->tally.seen[SEEN_VERIFIED]++;
				world_trace(world, "verify %s/%d in %d: %d %016llx", world_service(s)->name, p, f,
				            (int)status, status == OK ? (unsigned long long)result.state_hash : 0);
				if (status != OK && !err_is(&err, "no_file"))
					sign(verdict, "verify %s/%d in %d %s", world_service(s)->name, p, f, err.code);
				else if (status == OK && !result.same)
					sign_difference(verdict, s, f, p, &result.difference);
				else if (status == OK && live && p == rebuilt)
					check_rebuilt(world, verdict, s, p, &result);
				verdict->live_differs |= status == OK && live && !result.same;
			}
		}
	}
}

/* ---- audit ---- */

static void look_at_audit(struct world *world, struct verdict *verdict)
{
	const char *data[SIM_PROCESSES_MAX];
	size_t count = 0;
	struct err err = {0};
	struct audit *audit;
	for (int i = 0; i < world->process_count; i++)
		data[count++] = world_path(world, world->processes[i].service, world->processes[i].folder);
	const struct audit_config config = {.log = world->log, .data = data, .data_count = count};
	enum status status = audit_open(&config, &audit, &err);
	if (status != OK) {
		sign(verdict, "audit %s", err.code);
		return;
	}
	status = audit_look(audit, &err);
	world->tally.seen[SEEN_AUDITED]++;
	if (status != OK)
		sign(verdict, "audit %s", err.code);
	else if (audit->verdict != AUDIT_HOLDS)
		sign(verdict, "audit %s", audit_verdict_name(audit->verdict));
	if (status == OK && world->options->trace)
		audit_print(audit, stdout);
	audit_close(audit);
}

void check_all(struct world *world, struct verdict *verdict)
{
	int folders[SIM_SERVICES][SIM_PARTITIONS_MAX];
	struct view view;
	*verdict = (struct verdict){0};
	look_at_tasks(world, verdict, folders);
	look_at_gaps(world, verdict);
	view_read(world, &view);
	if (*view.odd)
		wrong(verdict, "%s", view.odd);
	compare_outputs(world, &view, verdict->what, sizeof verdict->what);
	compare_tables(world, &view, folders, verdict->what, sizeof verdict->what);
	check_files(world, verdict, folders);
	if (thorough(world) || dice_chance(&world->schedule, 400))
		look_at_audit(world, verdict);
	view_free(&view);
	verdict->outcome = *verdict->signs ? LOUD : *verdict->what ? WRONG : RIGHT;
	world_trace(world, "%s: %s | %s",
	            verdict->outcome == RIGHT  ? "right"
	            : verdict->outcome == LOUD ? "loud"
	                                       : "wrong",
	            verdict->signs, verdict->what);
}

void check_places(struct world *world)
{
	char what[200] = "";
	struct view view;
	view_read(world, &view);
	compare_outputs(world, &view, what, sizeof what);
	view_free(&view);
}
