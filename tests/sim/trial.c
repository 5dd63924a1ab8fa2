/* Refusals, one a seed: see sim.h. Everything is at rest and right, so that it is known what must be refused, by whom and with
 * which words, and that nothing else may come of it. docs/operations.md names the reasons and the ways out. */
#include "sim.h"

#include "hash.h"
#include "mark.h"

#include <stdio.h>
#include <string.h>

#define ANY             (-1)
#define SETTINGS_US     601000000LL /* a running worker looks at the settings every ten minutes */
#define CATCH_UP_ROUNDS 2000

struct trial {
	struct world *world;
	struct dice *dice;
	const char *name;
	int service, topic; /* and its input */
	int32_t partition;
	struct log_record *records; /* of the input's partition, before */
	size_t count;
	int64_t end;
};

static bool fail(struct trial *trial, const char *what)
{
	return world_fail(trial->world, "trial of %s at %s/%d: %s", trial->name, world_service(trial->service)->name,
	                  trial->partition, what);
}

/* ---- what a trial does ---- */

static void close_service(struct world *world, int service)
{
	for (int i = 0; i < world->process_count; i++)
		if (world->processes[i].service == service)
			world_close_process(world, &world->processes[i]);
}

static void delete_files(struct trial *trial)
{
	const struct plan *plan = &trial->world->plan;
	for (int f = 0; f < (plan->shared_folder ? 1 : plan->processes[trial->service]); f++)
		files_delete(trial->world, trial->service, f, trial->partition);
}

static void cut(struct trial *trial, int64_t from)
{
	log_memory_truncate(trial->world->memory, trial->world->topics[trial->topic].name, trial->partition, from);
}

static void append(struct trial *trial, const struct log_record *records, size_t count)
{
	struct err err = {0};
	if (log_import(trial->world->log, trial->world->topics[trial->topic].name, trial->partition, records, count, &err) !=
	    OK)
		fail(trial, err.text);
}

/* From this offset on, as it was. */
static void put_back(struct trial *trial, int64_t from)
{
	size_t at = 0;
	while (at < trial->count && trial->records[at].offset < from)
		at++;
	cut(trial, from);
	append(trial, trial->records + at, trial->count - at);
	trial->world->mark_count = 0; /* what was measured in between is not what stands there */
}

/* ---- what must come of it ---- */

static bool concerned(int service, int32_t partition, int of_service, int32_t of_partition)
{
	return (service == ANY || service == of_service) && (partition == ANY || partition == of_partition);
}

/* Those are set aside with this reason, and no others are. */
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
				return world_fail(world, "trial of %s: %s/%d is not refused with %s but %s", trial->name,
				                  process->name, task.partition, code,
				                  task.why ? task.why->code : "goes on");
			if (!must && task.why && task.partition < world->plan.partitions[process->service])
				return world_fail(world, "trial of %s: %s/%d is refused as well: %s", trial->name,
				                  process->name, task.partition, task.why->code);
			refused += must;
		}
	}
	return refused > 0 || fail(trial, "nobody has refused it");
}

static bool is_refused(struct trial *trial, int service, int32_t partition, const char *code)
{
	return rest_reach(trial->world) && check_refused(trial, service, partition, code);
}

/* What is left of the faults before the trial, as a damaged file that nobody has had open, is healed first. */
static bool has_recovered(struct trial *trial)
{
	struct verdict verdict;
	for (int i = 0; i < 4; i++) {
		if (!rest_reach(trial->world))
			return false;
		check_all(trial->world, &verdict);
		if (verdict.outcome == RIGHT)
			return true;
		if (verdict.outcome != LOUD || !remedy_is_due(trial->world) || !remedy_apply(trial->world, &verdict))
			break;
	}
	return world_fail(trial->world, "after the trial of %s at %s/%d: %s | %s", trial->name,
	                  world_service(trial->service)->name, trial->partition, verdict.signs, verdict.what);
}

/* ---- the log ---- */

static bool truncated(struct trial *trial)
{
	int64_t from = trial->end - 1 - dice_below(trial->dice, 2);
	if (from < 1)
		return true;
	close_service(trial->world, trial->service);
	cut(trial, from);
	if (!is_refused(trial, trial->service, trial->partition, "truncated"))
		return false;
	put_back(trial, from);
	return has_recovered(trial);
}

/* Another record stands where the last one was: one with other bytes, or its twin, written a little later. */
static bool forked(struct trial *trial)
{
	struct log_record other = trial->records[trial->count - 1];
	if (trial->count < 2)
		return true;
	other.timestamp_ms++;
	if (strcmp(trial->name, "forked") == 0)
		other.value = (struct log_bytes){"x", 1};
	close_service(trial->world, trial->service);
	cut(trial, other.offset);
	append(trial, &other, 1);
	if (!is_refused(trial, trial->service, trial->partition, "forked"))
		return false;
	put_back(trial, other.offset);
	return has_recovered(trial);
}

/* The file is lost, and the record before the mark is gone or another. */
static bool mark_record(struct trial *trial)
{
	struct log_record other = trial->records[trial->count - 1];
	if (trial->count < 2 || trial->world->last_mark[trial->service][trial->partition].offset != trial->end)
		return true;
	close_service(trial->world, trial->service);
	delete_files(trial);
	cut(trial, other.offset);
	other.timestamp_ms++;
	if (dice_chance(trial->dice, 700))
		append(trial, &other, 1);
	if (!is_refused(trial, trial->service, trial->partition, "mark_record"))
		return false;
	put_back(trial, other.offset);
	return has_recovered(trial);
}

/* The file is lost, and a record long before the mark is another: only the running hashes can tell. The file that was folded
 * from it must be gone before the halt, since what it counts as sent was not. */
static bool mark_differs(struct trial *trial)
{
	static const struct log_header note = {.name = "note", .value = {"1", 1}};
	if (trial->count < 4 || trial->world->last_mark[trial->service][trial->partition].offset != trial->end)
		return true;
	size_t at = 1 + (size_t)dice_below(trial->dice, (int)trial->count - 2);
	struct log_record other = trial->records[at];
	struct log_header *headers =
		arena_alloc(&trial->world->arena, (other.header_count + 1) * sizeof *headers);
	for (size_t i = 0; i < other.header_count; i++)
		headers[i] = other.headers[i];
	headers[other.header_count++] = note;
	other.headers = headers;
	close_service(trial->world, trial->service);
	delete_files(trial);
	cut(trial, other.offset);
	append(trial, &other, 1);
	append(trial, trial->records + at + 1, trial->count - at - 1);
	if (!is_refused(trial, trial->service, trial->partition, "mark_differs"))
		return false;
	for (int i = 0; i < trial->world->process_count; i++) {
		const struct process *process = &trial->world->processes[i];
		if (process->service == trial->service && process->why[trial->partition] &&
		    strcmp(process->why[trial->partition], "mark_differs") == 0 &&
		    files_there(trial->world, trial->service, process->folder, trial->partition))
			return fail(trial, "the file is still there");
	}
	put_back(trial, other.offset);
	return has_recovered(trial);
}

static bool retention(struct trial *trial)
{
	struct world *world = trial->world;
	if (trial->count < 2)
		return true;
	int64_t low = trial->records[1 + (size_t)dice_below(trial->dice, (int)trial->count - 1)].offset;
	close_service(world, trial->service);
	world->head[trial->topic][trial->partition] = trial->records;
	while (trial->records[world->head_count[trial->topic][trial->partition]].offset < low)
		world->head_count[trial->topic][trial->partition]++;
	log_memory_trim(world->memory, world->topics[trial->topic].name, trial->partition, low);
	if (!is_refused(trial, trial->service, trial->partition, "retention"))
		return false;
	loss_restore_head(world);
	world->mark_count = 0;
	close_service(world, trial->service); /* marks went with the topic, and are made again at a start */
	return has_recovered(trial);
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
	                                       .last_hash = hash_record(world->installation, last),
	                                       .input_hash = 1,
	                                       .output_hash = 2,
	                                       .logic_version = 1};
	*mark = (struct log_mark){.partition = trial->partition, .offset = position.next_offset};
	mark_print(&position, mark->metadata);
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
static bool mark_kept(struct trial *trial)
{
	struct world *world = trial->world;
	struct log_mark mark;
	if (trial->count < 4)
		return true;
	close_service(world, trial->service);
	delete_files(trial);
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
		return fail(trial, "a mark was committed while it caught up");
	for (int p = 0; p < world->process_count; p++)
		if (world->processes[p].service == trial->service)
			world_drop(world, &world->processes[p]);
	remedy_delete_marks(world, trial->service);
	if (!rest_reach(world))
		return false;
	const char *code = world->halted[trial->service][trial->partition];
	if (seen && !(code && strcmp(code, "mark_differs") == 0))
		return fail(trial, "the mark that the file kept was not compared");
	return has_recovered(trial);
}

/* ---- topics ---- */

static bool partitions_added(struct trial *trial)
{
	struct world *world = trial->world;
	const struct genesis_topic *topic = &world->topics[dice_below(trial->dice, SIM_TOPICS)];
	log_memory_grow(world->memory, topic->name, topic->partitions + 1);
	world->now_us += SETTINGS_US;
	if (!is_refused(trial, ANY, ANY, "partition_count"))
		return false;
	remedy_begin_anew(world);
	return has_recovered(trial);
}

static bool setting(struct trial *trial)
{
	struct world *world = trial->world;
	static const struct log_setting wrong[] = {{"retention.ms", "604800000"},
	                                           {"retention.bytes", "1000000"},
	                                           {"cleanup.policy", "compact"},
	                                           {"message.timestamp.type", "CreateTime"}};
	static const char *const right[] = {"-1", "-1", "delete", "LogAppendTime"};
	const char *topic = world->topics[dice_below(trial->dice, SIM_TOPICS)].name;
	int which = dice_below(trial->dice, 4);
	log_memory_set(world->memory, topic, wrong[which].name, wrong[which].value);
	world->now_us += SETTINGS_US;
	if (!is_refused(trial, ANY, ANY, "topic_settings"))
		return false;
	log_memory_set(world->memory, topic, wrong[which].name, right[which]);
	return has_recovered(trial);
}

static bool recreate(struct trial *trial, int topic)
{
	struct err err = {0};
	if (world_topic_delete(trial->world, topic, &err) != OK)
		return fail(trial, err.text);
	world_topic_again(trial->world, topic, false);
	memset(trial->world->read_to[topic], 0, sizeof trial->world->read_to[topic]);
	return true;
}

/* The input alone is another installation's. */
static bool foreign_log(struct trial *trial)
{
	close_service(trial->world, trial->service);
	if (!recreate(trial, trial->topic) || !is_refused(trial, trial->service, ANY, "foreign_log"))
		return false;
	remedy_begin_anew(trial->world);
	return has_recovered(trial);
}

/* Where a dead letter goes is another installation's: whoever has one to send refuses. */
static bool foreign_destination(struct trial *trial)
{
	struct world *world = trial->world;
	struct log_record wrong = {.partition = trial->partition, .value = {"x", 1}, .key = {NULL, -1}};
	wrong.offset = trial->end;
	wrong.timestamp_ms = seam_wall_ms(&world->seam);
	if (trial->records[trial->count - 1].timestamp_ms > wrong.timestamp_ms)
		wrong.timestamp_ms = trial->records[trial->count - 1].timestamp_ms;
	close_service(world, trial->service);
	if (!recreate(trial, trial->topic == SIM_ORDERS ? SIM_ORDERS_DLQ : SIM_INVENTORIES_DLQ))
		return false;
	append(trial, &wrong, 1);
	if (!is_refused(trial, trial->service, trial->partition, "foreign_destination"))
		return false;
	remedy_begin_anew(world);
	return has_recovered(trial);
}

/* ---- files ---- */

/* Another partition's file, or where there is none the other service's. */
static bool foreign_file(struct trial *trial)
{
	struct world *world = trial->world;
	int service = trial->service, folder = 0;
	int32_t partition = (trial->partition + 1) % world->plan.partitions[service];
	bool same = partition != trial->partition;
	if (!same)
		service = 1 - service;
	while (!files_there(world, service, folder, partition))
		if (++folder == SIM_PROCESSES_MAX)
			return true;
	close_service(world, 0);
	close_service(world, 1);
	for (int f = 0; f < (world->plan.shared_folder ? 1 : world->plan.processes[trial->service]); f++)
		files_copy(world, service, folder, partition, trial->service, f, trial->partition);
	if (!is_refused(trial, trial->service, trial->partition, same ? "foreign_file" : "other_tables"))
		return false;
	delete_files(trial);
	return has_recovered(trial);
}

/* The file has lost its end, in the middle of a page or between two. */
static bool file_short(struct trial *trial)
{
	struct world *world = trial->world;
	const struct plan *plan = &world->plan;
	close_service(world, trial->service);
	for (int f = 0; f < (plan->shared_folder ? 1 : plan->processes[trial->service]); f++)
		files_cut_one(world, trial->dice, trial->service, f, trial->partition, "db");
	if (!is_refused(trial, trial->service, trial->partition, "corrupt"))
		return false;
	delete_files(trial);
	return has_recovered(trial);
}

/* ---- which ---- */

static const struct {
	const char *name;
	bool (*run)(struct trial *trial);
	bool one_file; /* who opens the partition has the file that was folded last */
} trials[TRIAL_KINDS] = {
	[TRIAL_PARTITIONS] = {"partitions added", partitions_added, false},
	[TRIAL_TRUNCATED] = {"truncated", truncated, true},
	[TRIAL_FORKED] = {"forked", forked, true},
	[TRIAL_TWIN] = {"a twin", forked, true},
	[TRIAL_MARK_RECORD] = {"mark_record", mark_record, false},
	[TRIAL_MARK_DIFFERS] = {"mark_differs", mark_differs, false},
	[TRIAL_MARK_KEPT] = {"a mark that is kept", mark_kept, true},
	[TRIAL_RETENTION] = {"retention", retention, false},
	[TRIAL_FOREIGN_LOG] = {"foreign_log", foreign_log, true},
	[TRIAL_DESTINATION] = {"foreign_destination", foreign_destination, false},
	[TRIAL_FILE] = {"foreign_file", foreign_file, false},
	[TRIAL_FILE_SHORT] = {"a cut file", file_short, true},
	[TRIAL_SETTING] = {"topic_settings", setting, false},
};

static bool one_file(const struct world *world, int service)
{
	const struct plan *plan = &world->plan;
	return plan->shared_folder || plan->processes[service] == 1 || plan->fixed;
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
