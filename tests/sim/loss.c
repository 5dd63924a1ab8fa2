/* What the log itself loses: a tail (an unclean election), its head (retention), a whole topic. */
#include "sim.h"

#include "hash.h"
#include "policy.h"

#include <stdio.h>
#include <string.h>

/* Topics with readers of ours more often. */
static int any_topic(struct dice *dice)
{
	static const int topics[] = {SIM_ORDERS,      SIM_ORDERS, SIM_ORDERS, SIM_INVENTORIES, SIM_INVENTORIES,
	                             SIM_INVENTORIES, SIM_EVENTS, SIM_EVENTS, SIM_ORDERS_DLQ,  SIM_INVENTORIES_DLQ};
	return topics[dice_below(dice, (int)(sizeof topics / sizeof *topics))];
}

struct lost {
	int64_t offset;
	uint64_t hash;
	struct lost *next;
};

static uint64_t hash_of(const struct log_record *record)
{
	static const uint8_t key[HASH_KEY_BYTES];
	return hash_record(key, record);
}

static void remember(struct world *world, int topic, int32_t partition, int64_t from)
{
	struct log_record *all;
	size_t count = loss_read(world, topic, partition, &all);
	for (size_t i = 0; i < count; i++) {
		if (all[i].offset < from)
			continue;
		struct lost *lost = arena_alloc(&world->arena, sizeof *lost);
		*lost = (struct lost){all[i].offset, hash_of(&all[i]), world->lost[topic][partition]};
		world->lost[topic][partition] = lost;
	}
}

static bool came_again(const struct lost *lost, const struct log_record *record)
{
	while (lost && !(lost->offset == record->offset && lost->hash == hash_of(record)))
		lost = lost->next;
	return lost != NULL;
}

bool loss_came_again(struct world *world)
{
	for (int t = 0; t < SIM_TOPICS; t++)
		for (int32_t p = 0; p < world->topics[t].partitions; p++) {
			struct log_record *all;
			size_t count = world->lost[t][p] ? loss_read(world, t, p, &all) : 0;
			for (size_t i = 0; i < count; i++)
				if (came_again(world->lost[t][p], &all[i]))
					return true;
		}
	return false;
}

bool loss_tail(struct world *world, struct dice *dice, bool unread)
{
	int topic = any_topic(dice);
	int32_t partition = dice_below(dice, world->topics[topic].partitions);
	int64_t end = world_end(world, topic, partition), from = unread ? world->read_to[topic][partition] : end - 6;
	if (from < 1)
		from = 1; /* record 0 has been there for ever */
	if (from >= end)
		return false;
	int64_t cut = from + dice_below(dice, (int)(end - from));
	remember(world, topic, partition, cut);
	log_memory_truncate(world->memory, world->topics[topic].name, partition, cut);
	if (world->read_to[topic][partition] > cut)
		world->read_to[topic][partition] = cut;
	if (world->plan.told)
		log_memory_check(world->memory, world->topics[topic].name, partition);
	world_trace(world, "%s/%d loses %lld records from offset %lld on", world->topics[topic].name, partition,
	            (long long)(end - cut), (long long)cut);
	return true;
}

/* ---- retention ---- */

size_t loss_read(struct world *world, int topic, int32_t partition, struct log_record **out)
{
	struct log_reader *reader;
	const struct log_record *record;
	struct err err = {0};
	size_t count = 0;
	int64_t low = 0, high = 0;
	*out = NULL;
	if (log_bounds(world->log, world->topics[topic].name, partition, &low, &high, &err) != OK || low == high ||
	    log_reader_open(world->log, world->topics[topic].name, partition, low, &reader, &err) != OK)
		return 0;
	*out = arena_alloc(&world->arena, (size_t)(high - low) * sizeof **out);
	while (log_reader_next(reader, 0, &record, &err) == OK && record)
		log_record_copy(&(*out)[count++], record, &world->arena);
	log_reader_close(reader);
	return count;
}

bool loss_head(struct world *world, struct dice *dice)
{
	int topic = dice_chance(dice, 500) ? SIM_ORDERS : SIM_INVENTORIES;
	int32_t partition = dice_below(dice, world->topics[topic].partitions);
	int64_t end = world_end(world, topic, partition);
	if (world->head[topic][partition] || end < 2)
		return false;
	struct log_record *all;
	loss_read(world, topic, partition, &all);
	int64_t from = 1 + dice_below(dice, (int)end - 1);
	world->head[topic][partition] = all;
	world->head_count[topic][partition] = (size_t)from;
	log_memory_trim(world->memory, world->topics[topic].name, partition, from);
	world_trace(world, "%s/%d has lost its records before %lld", world->topics[topic].name, partition,
	            (long long)from);
	return true;
}

/* The topic is restored from a mirror: deleted, created, and every record put back at its offset with its time. */
static void restore(struct world *world, int topic)
{
	const char *name = world->topics[topic].name;
	int32_t count = world->topics[topic].partitions;
	struct err err = {0};
	struct log_record *rest[SIM_PARTITIONS_MAX];
	size_t rest_count[SIM_PARTITIONS_MAX];
	for (int32_t p = 0; p < count; p++)
		rest_count[p] = loss_read(world, topic, p, &rest[p]);
	struct log_setting settings[POLICY_SETTINGS_MAX];
	struct log_topic fresh = {.name = name, .partitions = count, .settings = settings};
	fresh.setting_count = policy_settings(true, settings);
	enum status status = world_topic_delete(world, topic, &err);
	if (status == OK)
		status = log_topic_create(world->log, &fresh, &err);
	for (int32_t p = 0; p < count && status == OK; p++) {
		if (world->head_count[topic][p])
			status = log_import(world->log, name, p, world->head[topic][p], world->head_count[topic][p],
			                    &err);
		if (status == OK && rest_count[p])
			status = log_import(world->log, name, p, rest[p], rest_count[p], &err);
		world->head[topic][p] = NULL;
		world->head_count[topic][p] = 0;
	}
	if (status != OK)
		world_fail(world, "%s cannot be restored: %s", name, err.text);
	world_trace(world, "%s is restored", name);
}

void loss_restore_head(struct world *world)
{
	for (int t = 0; t < SIM_TOPICS; t++)
		for (int32_t p = 0; p < world->topics[t].partitions; p++)
			if (world->head[t][p])
				restore(world, t);
}

/* ---- a topic alone ---- */

bool loss_recreate(struct world *world, struct dice *dice)
{
	struct err err = {0};
	int topic = any_topic(dice);
	if (world->recreated || world_topic_delete(world, topic, &err) != OK)
		return false;
	world->recreated = true;
	world_topic_again(world, topic, dice_chance(dice, 400));
	memset(world->read_to[topic], 0, sizeof world->read_to[topic]);
	world_trace(world, "%s is deleted and created again", world->topics[topic].name);
	return true;
}
