/* log_memory_impl: what log_memory.c (records) and log_memory_group.c (consumers, groups) share. */
#ifndef TANDEM_LOG_MEMORY_IMPL_H
#define TANDEM_LOG_MEMORY_IMPL_H

#include "log_group.h"
#include "log_impl.h"
#include "log_memory.h"

struct memory_partition {
	struct log_record *records; /* by offset; what they point to is in the topic's arena */
	size_t count, room;
	int64_t low, next;
	int64_t last_ms;
};

/* Kept while anybody refers to it, so that a record that was handed out outlives a deletion. */
struct memory_topic {
	struct memory_topic *next;
	char *name;
	size_t references;
	bool gone;
	struct memory_partition *partitions;
	int32_t partition_count;
	const struct log_setting *settings;
	size_t setting_count;
	int64_t record_bytes_max;
	struct arena arena;
};

struct memory_mark {
	struct memory_mark *next;
	char *topic;
	struct log_mark mark;
};

struct memory_group {
	struct memory_group *next;
	char *name;
	struct log_group group;
	struct memory_mark *marks;
};

struct memory_consumer;
struct memory_producer;

struct log_memory {
	const struct seam *seam;
	struct log_memory_faults faults;
	struct memory_topic *topics;
	struct memory_group *groups;
	struct memory_consumer *consumers;
	struct memory_producer *producers; /* closed ones too, while something of theirs is under way */
	size_t handles;
};

struct memory_log {
	struct log base;
	struct log_memory *memory;
};

static inline struct log_memory *memory_of(const struct log *log)
{
	return ((const struct memory_log *)log)->memory;
}

/* Lets everything happen whose time has come. */
void memory_advance(struct log_memory *memory);

struct memory_topic *memory_topic_find(const struct log_memory *memory, const char *name); /* NULL: none */
struct memory_topic *memory_topic_get(struct memory_topic *topic);                         /* one reference more */
void memory_topic_put(struct memory_topic *topic);                                         /* NULL is fine */

/* The index of the first record at or behind offset. */
size_t memory_at(const struct memory_partition *partition, int64_t offset);
enum status memory_gone(const char *topic, struct err *err);
enum status memory_range(const struct memory_partition *partition, const char *topic, int32_t number, int64_t offset,
                         struct err *err);

void memory_groups_free(struct log_memory *memory);
void memory_groups_forget(struct log_memory *memory, const char *topic); /* its marks, in all groups */
enum status memory_consumer_open(struct log *log, const struct log_consumer_config *config, struct log_consumer **out,
                                 struct err *err);
void memory_consumer_close(struct log_consumer *consumer, bool leave);
void memory_consumer_poll(struct log_consumer *consumer, struct log_event *event);
enum status memory_consumer_assign(struct log_consumer *consumer, const struct log_position *positions, size_t count,
                                   struct err *err);
void memory_consumer_hold(struct log_consumer *consumer, bool hold);
enum status memory_consumer_commit(struct log_consumer *consumer, const struct log_mark *marks, size_t count,
                                   struct err *err);
enum status memory_consumer_committed(struct log_consumer *consumer, struct log_mark *mark, struct err *err);
enum status memory_committed(struct log *log, const char *group, const char *topic, struct log_mark *mark,
                             struct err *err);
enum status memory_group_delete(struct log *log, const char *group, struct err *err);

#endif
