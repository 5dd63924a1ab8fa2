/* Trials of topics and files that are not what they must be: other partitions, other settings, another installation's, another
 * partition's, cut. */
#include "trial.h"

#include <string.h>

#define SETTINGS_US 601000000LL /* a running worker looks at the settings every ten minutes */

/* ---- topics ---- */

bool trial_partitions_added(struct trial *trial)
{
	struct world *world = trial->world;
	const struct genesis_topic *topic = &world->topics[dice_below(trial->dice, SIM_TOPICS)];
	log_memory_grow(world->memory, topic->name, topic->partitions + 1);
	world->now_us += SETTINGS_US;
	if (!trial_is_refused(trial, TRIAL_ANY, TRIAL_ANY, "partition_count"))
		return false;
	remedy_begin_anew(world);
	return trial_has_recovered(trial);
}

bool trial_setting(struct trial *trial)
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
	if (!trial_is_refused(trial, TRIAL_ANY, TRIAL_ANY, "topic_settings"))
		return false;
	log_memory_set(world->memory, topic, wrong[which].name, right[which]);
	return trial_has_recovered(trial);
}

static bool recreate(struct trial *trial, int topic)
{
	struct err err = {0};
	if (world_topic_delete(trial->world, topic, &err) != OK)
		return trial_fail(trial, err.text);
	world_topic_again(trial->world, topic, false);
	memset(trial->world->read_to[topic], 0, sizeof trial->world->read_to[topic]);
	return true;
}

/* The input alone is another installation's. */
bool trial_foreign_log(struct trial *trial)
{
	trial_close_service(trial->world, trial->service);
	if (!recreate(trial, trial->topic) || !trial_is_refused(trial, trial->service, TRIAL_ANY, "foreign_log"))
		return false;
	remedy_begin_anew(trial->world);
	return trial_has_recovered(trial);
}

/* Where a dead letter goes is another installation's: whoever has one to send refuses. */
bool trial_foreign_destination(struct trial *trial)
{
	struct world *world = trial->world;
	struct log_record wrong = {.partition = trial->partition, .value = {"x", 1}, .key = {NULL, -1}};
	wrong.offset = trial->end;
	wrong.timestamp_ms = seam_wall_ms(&world->seam);
	if (trial->records[trial->count - 1].timestamp_ms > wrong.timestamp_ms)
		wrong.timestamp_ms = trial->records[trial->count - 1].timestamp_ms;
	trial_close_service(world, trial->service);
	if (!recreate(trial, trial->topic == SIM_ORDERS ? SIM_ORDERS_DLQ : SIM_INVENTORIES_DLQ))
		return false;
	trial_append(trial, &wrong, 1);
	if (!trial_is_refused(trial, trial->service, trial->partition, "foreign_destination"))
		return false;
	remedy_begin_anew(world);
	return trial_has_recovered(trial);
}

/* ---- files ---- */

/* The folder in which somebody has this partition open, and so has folded it; -1: nobody. */
static int folder_of(const struct world *world, int service, int32_t partition)
{
	for (int i = 0; i < world->process_count; i++)
		if (world->processes[i].service == service && world->processes[i].has[partition])
			return world->processes[i].folder;
	return -1;
}

/* Another partition's file, or where there is none the other service's. */
bool trial_foreign_file(struct trial *trial)
{
	struct world *world = trial->world;
	int service = trial->service;
	int32_t partition = (trial->partition + 1) % world->plan.partitions[service];
	bool same = partition != trial->partition;
	if (!same)
		service = 1 - service;
	int folder = folder_of(world, service, partition);
	if (folder < 0)
		return true;
	trial_close_service(world, 0);
	trial_close_service(world, 1);
	for (int f = 0; f < (world->plan.shared_folder ? 1 : world->plan.processes[trial->service]); f++)
		files_copy(world, service, folder, partition, trial->service, f, trial->partition);
	if (!trial_is_refused(trial, trial->service, trial->partition, same ? "foreign_file" : "other_tables"))
		return false;
	trial_delete_files(trial);
	return trial_has_recovered(trial);
}

static bool cut_once(struct trial *trial)
{
	struct world *world = trial->world;
	const struct plan *plan = &world->plan;
	trial_close_service(world, trial->service);
	if (dice_chance(trial->dice, 600)) {
		input_again(world);
		if (!rest_reach(world))
			return false;
		for (int i = 0; i < world->process_count; i++)
			if (world->processes[i].service == trial->service)
				world_drop(world, &world->processes[i]);
	}
	for (int f = 0; f < (plan->shared_folder ? 1 : plan->processes[trial->service]); f++)
		files_cut_one(world, trial->dice, trial->service, f, trial->partition, "db");
	if (!rest_reach(world))
		return false;
	if (rest_anything_halted(world)) {
		if (!trial_is_refused(trial, trial->service, trial->partition, "corrupt"))
			return false;
		trial_delete_files(trial);
	}
	return trial_has_recovered(trial);
}

/* The file has lost its end, in the middle of a page or between two. Where its WAL has all that is missing, or nothing was there
 * that counts, it comes right; else it is refused. There is nothing between the two. Only some places tell. */
bool trial_file_short(struct trial *trial)
{
	for (int i = 0; i < 5; i++)
		if (!cut_once(trial))
			return false;
	return true;
}
