/* The documented way out (docs/operations.md) of each thing that an operator can see, and nothing else. */
#include "sim.h"

#include "../../consumers/audit/audit.h"

#include "rebuild.h"
#include "resend.h"

#include <stdio.h>
#include <string.h>

static bool one_of(const char *code, const char *const *codes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(code, codes[i]) == 0)
			return true;
	return false;
}

static bool blames_file(const char *code)
{
	static const char *const codes[] = {"corrupt", "constraint", "foreign_file", "other_tables", "sql"};
	return one_of(code, codes, sizeof codes / sizeof *codes);
}

static bool blames_history(const char *code)
{
	static const char *const codes[] = {"truncated",    "forked",        "out_of_range",  "mark_record",
	                                    "mark_differs", "unknown_order", "contradiction", "illegal_transition"};
	return one_of(code, codes, sizeof codes / sizeof *codes);
}

void remedy_delete_marks(struct world *world, int service)
{
	char group[32];
	snprintf(group, sizeof group, "tandem-%s", world_service(service)->name);
	for (int32_t p = 0; p < world->plan.partitions[service]; p++) {
		const struct log_mark none = {.partition = p, .offset = -1};
		log_memory_mark(world->memory, group, world_service(service)->input, &none);
		world->last_mark[service][p] = none;
	}
	world_trace(world, "marks of %s are deleted", group);
}

static int folders_of(const struct world *world, int service)
{
	return world->plan.shared_folder ? 1 : world->plan.processes[service];
}

static void fold_afresh(struct world *world, int service, int32_t partition)
{
	for (int i = 0; i < world->process_count; i++)
		if (world->processes[i].service == service)
			world_close_process(world, &world->processes[i]);
	for (int f = 0; f < folders_of(world, service); f++)
		files_delete(world, service, f, partition);
	remedy_delete_marks(world, service);
}

/* ---- what each sign asks for ---- */

static bool heal_halted(struct world *world)
{
	bool done = false;
	for (int i = 0; i < world->process_count; i++) {
		struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			worker_task(process->worker, t, &task);
			if (!task.why || !(blames_file(task.why->code) || blames_history(task.why->code)))
				continue;
			world_trace(world, "the way out of %s for %s/%d", task.why->code, process->name,
			            task.partition);
			int32_t partition = task.partition;
			if (blames_file(task.why->code)) {
				world_close_process(world, process);
				files_delete(world, process->service, process->folder, partition);
			} else {
				fold_afresh(world, process->service, partition);
			}
			done = true;
		}
	}
	return done;
}

static int service_number(const struct service *service)
{
	return strcmp(service->name, "order") == 0 ? SIM_ORDER : SIM_INVENTORY;
}

/* Files that are not what the log says: verify named them. */
static bool heal_files(struct world *world, const struct verdict *verdict)
{
	bool done = false;
	for (int s = 0; s < SIM_SERVICES; s++) {
		for (int f = 0; f < folders_of(world, s); f++) {
			for (int32_t p = 0; p < world->plan.partitions[s]; p++) {
				char named[64];
				snprintf(named, sizeof named, "verify %s/%d in %d ", world_service(s)->name, p, f);
				if (!strstr(verdict->signs, named))
					continue;
				files_delete(world, s, f, p);
				done = true;
			}
		}
	}
	return done;
}

bool remedy_rebuild(struct world *world, int service, int folder, int32_t partition)
{
	struct err err = {0};
	int64_t records;
	const struct rebuild_config config = {.service = world_service(service),
	                                      .log = world->log,
	                                      .data = world_path(world, service, folder),
	                                      .partition = partition};
	enum status status = rebuild_partition(&config, &records, &err); /* "locked" where a worker has it */
	world_trace(world, "rebuild %s/%d in folder %d: %s", world_service(service)->name, partition, folder,
	            status == OK ? "ok" : err.code);
	return status == OK;
}

bool remedy_resend(struct world *world, int service, int32_t partition, const char *topic, int32_t to_partition,
                   uint64_t from)
{
	struct err err = {0};
	struct resend_result result;
	const struct resend_config config = {.service = world_service(service),
	                                     .log = world->log,
	                                     .seam = &world->seam,
	                                     .partition = partition,
	                                     .topic = topic,
	                                     .to_partition = to_partition,
	                                     .from = (int64_t)from};
	world->resend_race = dice_chance(&world->schedule, 500) ? dice_from(&world->schedule, 1, 30) : 0;
	int input = service == SIM_ORDER ? SIM_ORDERS : SIM_INVENTORIES;
	world->read_to[input][partition] =
		world_end(world, input, partition); /* it sends what no worker has read yet */
	enum status status = resend_stream(&config, &result, &err);
	world->resend_race = 0;
	world_trace(world, "resend %s/%d to %s/%d from %llu: %s, %lld sent", world_service(service)->name, partition,
	            topic, to_partition, (unsigned long long)from, status == OK ? "ok" : err.code,
	            (long long)result.sent);
	return status == OK;
}

/* A file that nobody has open, and that audit cannot read. */
static bool heal_unseen(struct world *world, const struct audit *audit)
{
	bool done = false;
	for (size_t i = 0; i < audit->view_count; i++) {
		const struct audit_view *view = &audit->views[i];
		if (!view->path || !view->why.code || !blames_file(view->why.code))
			continue;
		int service = service_number(view->service);
		for (int f = 0; f < folders_of(world, service); f++) {
			char *path = world_file(world, service, f, view->partition, "db");
			if (strcmp(path, view->path) == 0) {
				files_delete(world, service, f, view->partition);
				done = true;
			}
			mem_free(path);
		}
	}
	return done;
}

static bool heal_streams(struct world *world)
{
	const char *data[SIM_PROCESSES_MAX];
	size_t count = 0;
	bool done = false;
	struct err err = {0};
	struct audit *audit;
	for (int i = 0; i < world->process_count; i++)
		data[count++] = world_path(world, world->processes[i].service, world->processes[i].folder);
	const struct audit_config config = {.log = world->log, .data = data, .data_count = count};
	if (audit_open(&config, &audit, &err) != OK)
		return false;
	enum status status = audit_look(audit, &err);
	done = status == OK && heal_unseen(world, audit);
	for (size_t i = 0; i < audit->gap_count && status == OK; i++) {
		const struct audit_gap *gap = &audit->gaps[i];
		if (*gap->gap.service && gap->gap.verdict == TASK_GAP)
			done = remedy_resend(world, strcmp(gap->gap.service, "order") == 0 ? SIM_ORDER : SIM_INVENTORY,
			                     gap->gap.partition, gap->view->service->input, gap->view->partition,
			                     gap->gap.first_missing) ||
			       done;
	}
	for (size_t i = 0; i < audit->stream_count && status == OK; i++) {
		const struct audit_stream *stream = &audit->streams[i];
		if (stream->verdict == AUDIT_DIFFERS && stream->sent > stream->received)
			done = remedy_resend(world, service_number(stream->source->service), stream->source->partition,
			                     stream->topic, stream->partition, stream->received + 1) ||
			       done;
	}
	audit_close(audit);
	return done;
}

void remedy_begin_anew(struct world *world)
{
	struct err err = {0};
	for (int i = 0; i < world->process_count; i++)
		world_close_process(world, &world->processes[i]);
	for (int t = 0; t < SIM_TOPICS; t++)
		world_topic_delete(world, t, &err);
	world_topics(world);
	for (int s = 0; s < SIM_SERVICES; s++)
		for (int f = 0; f < folders_of(world, s); f++)
			for (int32_t p = 0; p < world->plan.partitions[s]; p++)
				files_delete(world, s, f, p);
	memset(world->last_mark, 0, sizeof world->last_mark);
	world->mark_count = 0;
	world->recreated = false;
	world_trace(world, "all topics are created again");
	input_again(world);
}

static bool lost_tail(const struct world *world)
{
	return world->tally.fired[FAULT_TAIL] || world->tally.fired[FAULT_TAIL_READ];
}

/* What an operator may have to do with: a file that was damaged, or what the log itself has lost. */
bool remedy_is_due(const struct world *world)
{
	const struct plan *plan = &world->plan;
	if (lost_tail(world) || world->recreated || plan->may[FAULT_FILE_BIT])
		return true;
	if (!world->tally.fired[FAULT_FILE_OTHER] && !world->tally.fired[FAULT_FILE_SHORT])
		return false;
	for (int i = 0; i < world->process_count; i++) {
		const struct process *process = &world->processes[i];
		for (size_t t = 0; process->worker && t < worker_task_count(process->worker); t++) {
			struct worker_task task;
			worker_task(process->worker, t, &task);
			if (task.why && !err_is(task.why, "locked") && !blames_file(task.why->code))
				return false;
		}
	}
	return true;
}

bool remedy_apply(struct world *world, const struct verdict *verdict)
{
	if (world->recreated) {
		remedy_begin_anew(world);
		return true;
	}
	if (lost_tail(world) && !world->published_again) {
		world->published_again = true;
		input_again(world);
		heal_halted(world);
		return true;
	}
	if (heal_halted(world) || heal_files(world, verdict))
		return true;
	return heal_streams(world);
}

bool remedy_recover(struct world *world, struct verdict *verdict)
{
	for (int i = 0; i < 4; i++) {
		if (!rest_reach(world))
			return false;
		check_all(world, verdict);
		if (verdict->outcome == RIGHT)
			return true;
		if (verdict->outcome != LOUD || !remedy_is_due(world) || !remedy_apply(world, verdict))
			break;
	}
	return false;
}
