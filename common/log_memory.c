/* local::memory:. Plain arrays behind several handles of one process, all in the caller's thread.
 *
 * A record is written inside log_produce and its acknowledgement waits in the producer's queue, unless a fault delays it:
 * then it waits in that queue unwritten, and everything behind it too, so the order of one producer always stands. Time
 * comes from the seam and nowhere else, so the same calls at the same times give the same answers. */
#include "log_memory_impl.h"
#include "log_settings.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define PENDING_MAX     100000
#define TOPIC_PARTS_MAX 100000

struct memory_sent {
	struct memory_sent *next;
	const char *topic; /* the producer's name list */
	struct log_record
		record; /* the caller's until produce returns, then a copy in the arena; of no use once landed */
	struct arena arena;
	enum log_memory_fate fate;
	int64_t due_us;
	struct log_ack ack;
};

struct memory_producer {
	struct log_producer base;
	struct memory_producer *next;
	struct log_memory *memory;
	const char **topics;
	size_t topic_count;
	struct arena names;
	struct memory_sent *first, **last; /* oldest first; landed ones wait for log_producer_ack */
	struct memory_sent *waiting;       /* the first that has not landed, NULL: none */
	size_t pending;
	bool closed;
};

struct memory_reader {
	struct log_reader base;
	struct memory_topic *topic;
	int32_t partition;
	int64_t offset;
	struct log_record record;
};

/* ---- the memory ---- */

struct log_memory *log_memory_new(const struct seam *seam)
{
	struct log_memory *memory = mem_zalloc(1, sizeof *memory);
	memory->seam = seam;
	return memory;
}

static void topic_unlink(struct log_memory *memory, struct memory_topic *topic)
{
	struct memory_topic **at = &memory->topics;
	while (*at != topic)
		at = &(*at)->next;
	*at = topic->next;
	topic->gone = true;
	memory_topic_put(topic);
}

static void producer_free(struct memory_producer *producer);

void log_memory_free(struct log_memory *memory)
{
	if (!memory)
		return;
	assert(memory->handles == 0);
	while (memory->producers)
		producer_free(memory->producers);
	while (memory->topics)
		topic_unlink(memory, memory->topics);
	memory_groups_free(memory);
	mem_free(memory);
}

void log_memory_set_faults(struct log_memory *memory, const struct log_memory_faults *faults)
{
	memory->faults = faults ? *faults : (struct log_memory_faults){0};
}

/* ---- topics ---- */

struct memory_topic *memory_topic_get(struct memory_topic *topic)
{
	topic->references++;
	return topic;
}

void memory_topic_put(struct memory_topic *topic)
{
	if (!topic || --topic->references)
		return;
	for (int32_t i = 0; i < topic->partition_count; i++)
		mem_free(topic->partitions[i].records);
	mem_free(topic->partitions);
	mem_free(topic->name);
	arena_fini(&topic->arena);
	mem_free(topic);
}

struct memory_topic *memory_topic_find(const struct log_memory *memory, const char *name)
{
	struct memory_topic *topic = memory->topics;
	while (topic && strcmp(topic->name, name) != 0)
		topic = topic->next;
	return topic;
}

enum status memory_gone(const char *topic, struct err *err)
{
	return err_set(err, FATAL, "unknown_topic", "there is no topic %s", topic);
}

static enum status topic_need(const struct log_memory *memory, const char *name, struct memory_topic **out,
                              struct err *err)
{
	*out = memory_topic_find(memory, name);
	return *out ? OK : memory_gone(name, err);
}

static enum status partition_need(const struct log_memory *memory, const char *name, int32_t partition,
                                  struct memory_topic **topic, struct memory_partition **out, struct err *err)
{
	enum status status = topic_need(memory, name, topic, err);
	if (status != OK)
		return status;
	if (partition < 0 || partition >= (*topic)->partition_count)
		return err_set(err, FATAL, "unknown_partition", "topic %s has no partition %d, it has %d", name,
		               (int)partition, (int)(*topic)->partition_count);
	*out = &(*topic)->partitions[partition];
	return OK;
}

enum status memory_range(const struct memory_partition *partition, const char *topic, int32_t number, int64_t offset,
                         struct err *err)
{
	if (offset >= partition->low && offset <= partition->next)
		return OK;
	return err_set(err, FATAL, "out_of_range", "%s/%d: offset %" PRId64 " is not in %" PRId64 "..%" PRId64, topic,
	               (int)number, offset, partition->low, partition->next);
}

static enum status topic_create(struct log *log, const struct log_topic *topic, struct err *err)
{
	struct log_memory *memory = memory_of(log);
	if (memory_topic_find(memory, topic->name))
		return err_set(err, REJECT, "topic_exists", "topic %s is there already", topic->name);
	if (topic->partitions > TOPIC_PARTS_MAX)
		return err_set(err, REJECT, "invalid", "topic %s: at most %d partitions", topic->name, TOPIC_PARTS_MAX);
	enum status status = log_settings_check(topic, err);
	if (status != OK)
		return status;
	struct memory_topic *fresh = mem_zalloc(1, sizeof *fresh);
	fresh->name = mem_strdup(topic->name);
	fresh->references = 1;
	fresh->partition_count = topic->partitions;
	fresh->partitions = mem_zalloc((size_t)topic->partitions, sizeof *fresh->partitions);
	fresh->settings =
		log_settings_effective(topic->settings, topic->setting_count, &fresh->arena, &fresh->setting_count);
	fresh->record_bytes_max = log_settings_record_bytes_max(fresh->settings, fresh->setting_count);
	fresh->next = memory->topics;
	memory->topics = fresh;
	return OK;
}

static enum status topic_delete(struct log *log, const char *name, struct err *err)
{
	struct memory_topic *topic = memory_topic_find(memory_of(log), name);
	if (!topic)
		return err_set(err, REJECT, "unknown_topic", "there is no topic %s", name);
	memory_groups_forget(memory_of(log), name);
	topic_unlink(memory_of(log), topic);
	return OK;
}

static enum status topic_describe(struct log *log, const char *name, struct arena *arena, struct log_topic *out,
                                  struct err *err)
{
	(void)err;
	const struct memory_topic *topic = memory_topic_find(memory_of(log), name);
	if (!topic)
		return OK;
	out->exists = true;
	out->partitions = topic->partition_count;
	out->replicas = 1;
	out->settings_known = true;
	out->settings = log_settings_effective(topic->settings, topic->setting_count, arena, &out->setting_count);
	return OK;
}

static enum status topic_list(struct log *log, struct arena *arena, const char ***names, size_t *count, struct err *err)
{
	(void)err;
	*count = 0;
	for (struct memory_topic *t = memory_of(log)->topics; t; t = t->next)
		++*count;
	*names = arena_alloc(arena, *count * sizeof **names);
	size_t i = 0;
	for (struct memory_topic *t = memory_of(log)->topics; t; t = t->next)
		(*names)[i++] = arena_copy(arena, t->name, strlen(t->name));
	return OK;
}

static enum status node_count(struct log *log, int *nodes, struct err *err)
{
	(void)log;
	(void)err;
	*nodes = 1;
	return OK;
}

/* ---- records ---- */

size_t memory_at(const struct memory_partition *partition, int64_t offset)
{
	size_t from = 0, to = partition->count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (partition->records[middle].offset < offset)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void append(struct memory_topic *topic, const struct log_record *record, int32_t number, int64_t offset,
                   int64_t ms)
{
	struct memory_partition *partition = &topic->partitions[number];
	if (partition->count == partition->room) {
		partition->room = partition->room ? 2 * partition->room : 64;
		partition->records = mem_realloc(partition->records, partition->room * sizeof *partition->records);
	}
	struct log_record *copy = &partition->records[partition->count++];
	log_record_copy(copy, record, &topic->arena);
	copy->partition = number;
	copy->offset = offset;
	copy->timestamp_ms = partition->last_ms = ms;
	partition->next = offset + 1;
}

static int64_t append_now(const struct log_memory *memory, struct memory_topic *topic, const struct log_record *record)
{
	struct memory_partition *partition = &topic->partitions[record->partition];
	int64_t now = seam_wall_ms(memory->seam), offset = partition->next;
	append(topic, record, record->partition, offset, now > partition->last_ms ? now : partition->last_ms);
	return offset;
}

static enum status import(struct log *log, const char *name, int32_t number, const struct log_record *records,
                          size_t count, struct err *err)
{
	struct memory_topic *topic;
	struct memory_partition *partition;
	memory_advance(memory_of(log));
	enum status status = partition_need(memory_of(log), name, number, &topic, &partition, err);
	if (status == OK)
		status = log_import_check(records, count, partition->next, partition->last_ms, err);
	if (status != OK)
		return status;
	if (count && !partition->next)
		partition->low = records[0].offset;
	for (size_t i = 0; i < count; i++)
		append(topic, &records[i], number, records[i].offset, records[i].timestamp_ms);
	return OK;
}

static enum status bounds(struct log *log, const char *name, int32_t number, int64_t *low, int64_t *high,
                          struct err *err)
{
	struct memory_topic *topic;
	struct memory_partition *partition;
	memory_advance(memory_of(log));
	enum status status = partition_need(memory_of(log), name, number, &topic, &partition, err);
	if (status != OK)
		return status;
	*low = partition->low;
	*high = partition->next;
	return OK;
}

static enum status offset_at(struct log *log, const char *name, int32_t number, int64_t ms, int64_t *offset,
                             struct err *err)
{
	struct memory_topic *topic;
	struct memory_partition *partition;
	memory_advance(memory_of(log));
	enum status status = partition_need(memory_of(log), name, number, &topic, &partition, err);
	if (status != OK)
		return status;
	size_t from = 0, to = partition->count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (partition->records[middle].timestamp_ms < ms)
			from = middle + 1;
		else
			to = middle;
	}
	*offset = from < partition->count ? partition->records[from].offset : partition->next;
	return OK;
}

static enum status read_at(struct log *log, const char *name, int32_t number, int64_t offset, struct arena *arena,
                           struct log_record *record, bool *found, struct err *err)
{
	struct memory_topic *topic;
	struct memory_partition *partition;
	memory_advance(memory_of(log));
	enum status status = partition_need(memory_of(log), name, number, &topic, &partition, err);
	if (status != OK)
		return status;
	size_t at = memory_at(partition, offset);
	*found = at < partition->count && partition->records[at].offset == offset;
	if (*found)
		log_record_copy(record, &partition->records[at], arena);
	return OK;
}

/* ---- readers ---- */

static enum status reader_open(struct log *log, const char *name, int32_t number, int64_t offset,
                               struct log_reader **out, struct err *err)
{
	struct memory_topic *topic;
	struct memory_partition *partition;
	enum status status = partition_need(memory_of(log), name, number, &topic, &partition, err);
	if (status == OK)
		status = memory_range(partition, name, number, offset, err);
	if (status != OK)
		return status;
	struct memory_reader *reader = mem_zalloc(1, sizeof *reader);
	*reader = (struct memory_reader){
		.base.log = log, .topic = memory_topic_get(topic), .partition = number, .offset = offset};
	*out = &reader->base;
	return OK;
}

static enum status reader_next(struct log_reader *base, int timeout_ms, const struct log_record **record,
                               struct err *err)
{
	(void)timeout_ms; /* nothing comes while we wait */
	struct memory_reader *reader = (struct memory_reader *)base;
	memory_advance(memory_of(base->log));
	if (reader->topic->gone)
		return memory_gone(reader->topic->name, err);
	const struct memory_partition *partition = &reader->topic->partitions[reader->partition];
	enum status status = memory_range(partition, reader->topic->name, reader->partition, reader->offset, err);
	if (status != OK)
		return status;
	size_t at = memory_at(partition, reader->offset);
	if (at == partition->count)
		return OK;
	reader->record = partition->records[at];
	reader->offset = reader->record.offset + 1;
	*record = &reader->record;
	return OK;
}

static void reader_close(struct log_reader *base)
{
	struct memory_reader *reader = (struct memory_reader *)base;
	memory_topic_put(reader->topic);
	mem_free(reader);
}

/* ---- producers ---- */

static enum status producer_open(struct log *log, struct log_producer **out, struct err *err)
{
	(void)err;
	struct log_memory *memory = memory_of(log);
	struct memory_producer *producer = mem_zalloc(1, sizeof *producer);
	producer->base.log = log;
	producer->memory = memory;
	producer->last = &producer->first;
	producer->next = memory->producers;
	memory->producers = producer;
	*out = &producer->base;
	return OK;
}

static void sent_free(struct memory_sent *sent)
{
	arena_fini(&sent->arena);
	mem_free(sent);
}

static void producer_free(struct memory_producer *producer)
{
	struct memory_producer **at = &producer->memory->producers;
	while (*at != producer)
		at = &(*at)->next;
	*at = producer->next;
	while (producer->first) {
		struct memory_sent *sent = producer->first;
		producer->first = sent->next;
		sent_free(sent);
	}
	arena_fini(&producer->names);
	mem_free(producer->topics);
	mem_free(producer);
}

static int producer_topic(struct log_producer *base, const char *topic)
{
	struct memory_producer *producer = (struct memory_producer *)base;
	for (size_t i = 0; i < producer->topic_count; i++)
		if (strcmp(producer->topics[i], topic) == 0)
			return (int)i;
	producer->topics = mem_realloc(producer->topics, (producer->topic_count + 1) * sizeof *producer->topics);
	producer->topics[producer->topic_count] = arena_copy(&producer->names, topic, strlen(topic));
	return (int)producer->topic_count++;
}

static enum status write_sent(const struct log_memory *memory, struct memory_sent *sent, struct err *err)
{
	struct memory_topic *topic;
	struct memory_partition *partition;
	enum status status = partition_need(memory, sent->topic, sent->record.partition, &topic, &partition, err);
	if (status != OK)
		return status;
	int64_t bytes = log_settings_record_bytes(&sent->record);
	if (bytes > topic->record_bytes_max)
		return err_set(err, FATAL, "too_large", "a record of %" PRId64 " bytes, topic %s takes %" PRId64, bytes,
		               sent->topic, topic->record_bytes_max);
	if (sent->fate == LOG_MEMORY_REFUSE)
		return err_set(err, FATAL, "io", "the log refused the record");
	if (sent->fate == LOG_MEMORY_LOSE)
		return err_set(err, RETRY, "timeout", "no acknowledgement in time");
	sent->ack.offset = append_now(memory, topic, &sent->record);
	if (sent->fate == LOG_MEMORY_DOUBLE)
		append_now(memory, topic, &sent->record);
	if (sent->fate != LOG_MEMORY_UNKNOWN)
		return OK;
	sent->ack.offset = -1;
	return err_set(err, RETRY, "timeout", "no acknowledgement in time");
}

static void producer_advance(struct memory_producer *producer, int64_t now_us)
{
	while (producer->waiting && producer->waiting->due_us <= now_us) {
		struct memory_sent *sent = producer->waiting;
		sent->ack.status = write_sent(producer->memory, sent, &sent->ack.err);
		arena_fini(&sent->arena);
		producer->waiting = sent->next;
	}
}

void memory_advance(struct log_memory *memory)
{
	int64_t now_us = seam_monotonic_us(memory->seam);
	for (struct memory_producer *producer = memory->producers; producer;) {
		struct memory_producer *next = producer->next;
		producer_advance(producer, now_us);
		if (producer->closed && !producer->waiting)
			producer_free(producer);
		producer = next;
	}
}

static enum status produce(struct log_producer *base, int topic, const struct log_record *record, uint64_t token,
                           struct err *err)
{
	struct memory_producer *producer = (struct memory_producer *)base;
	struct log_memory *memory = producer->memory;
	if (producer->pending >= PENDING_MAX)
		return err_set(err, RETRY, "queue_full", "%zu records wait for their acknowledgement",
		               producer->pending);
	int64_t delay_us = 0;
	enum log_memory_fate fate = LOG_MEMORY_WRITE;
	if (memory->faults.produce)
		fate = memory->faults.produce(memory->faults.arg, producer->topics[topic], record, &delay_us);
	if (fate == LOG_MEMORY_FULL)
		return err_set(err, RETRY, "queue_full", "the producer takes nothing now");
	if (fate == LOG_MEMORY_BROKEN)
		return err_set(err, FATAL, "io", "the producer is broken");
	struct memory_sent *sent = mem_zalloc(1, sizeof *sent);
	sent->topic = producer->topics[topic];
	sent->record = *record;
	sent->fate = fate;
	sent->ack = (struct log_ack){.token = token, .offset = -1};
	sent->due_us = seam_monotonic_us(memory->seam) + delay_us;
	*producer->last = sent;
	producer->last = &sent->next;
	if (!producer->waiting)
		producer->waiting = sent;
	producer->pending++;
	producer_advance(producer, seam_monotonic_us(memory->seam));
	if (producer->waiting)
		log_record_copy(&sent->record, record, &sent->arena);
	return OK;
}

static void producer_flush(struct log_producer *base)
{
	(void)base;
}

static bool producer_ack(struct log_producer *base, struct log_ack *ack)
{
	struct memory_producer *producer = (struct memory_producer *)base;
	memory_advance(producer->memory);
	struct memory_sent *sent = producer->first;
	if (!sent || sent == producer->waiting)
		return false;
	*ack = sent->ack;
	producer->first = sent->next;
	if (!producer->first)
		producer->last = &producer->first;
	producer->pending--;
	sent_free(sent);
	return true;
}

static size_t producer_pending(const struct log_producer *base)
{
	return ((const struct memory_producer *)base)->pending;
}

/* What is under way still lands, later; nobody hears of it. */
static void producer_close(struct log_producer *base)
{
	struct memory_producer *producer = (struct memory_producer *)base;
	producer->closed = true;
	memory_advance(producer->memory);
}

/* ---- the handle ---- */

static void memory_wait(struct log *log, int timeout_ms)
{
	struct log_memory *memory = memory_of(log);
	if (memory->faults.wait)
		memory->faults.wait(memory->faults.arg, timeout_ms);
	memory_advance(memory);
}

static void memory_close(struct log *log)
{
	memory_of(log)->handles--;
	mem_free(log);
}

static const struct log_ops memory_ops = {
	.local = true,
	.close = memory_close,
	.wait = memory_wait,
	.consumer_open = memory_consumer_open,
	.consumer_close = memory_consumer_close,
	.consumer_poll = memory_consumer_poll,
	.consumer_assign = memory_consumer_assign,
	.consumer_hold = memory_consumer_hold,
	.consumer_commit = memory_consumer_commit,
	.consumer_committed = memory_consumer_committed,
	.committed = memory_committed,
	.producer_open = producer_open,
	.producer_topic = producer_topic,
	.produce = produce,
	.producer_flush = producer_flush,
	.producer_ack = producer_ack,
	.producer_pending = producer_pending,
	.producer_close = producer_close,
	.reader_open = reader_open,
	.reader_next = reader_next,
	.reader_close = reader_close,
	.read_at = read_at,
	.bounds = bounds,
	.offset_at = offset_at,
	.topic_create = topic_create,
	.topic_delete = topic_delete,
	.topic_describe = topic_describe,
	.topic_list = topic_list,
	.group_delete = memory_group_delete,
	.node_count = node_count,
	.import = import,
};

enum status log_memory_open(const char *url, const char *rest, const struct log_config *config, struct log **out,
                            struct err *err)
{
	(void)rest;
	if (!config->memory)
		return err_set(err, REJECT, "invalid", "%s is for tests and the simulator: it lives inside one process",
		               url);
	struct memory_log *log = mem_zalloc(1, sizeof *log);
	log_base_init(&log->base, &memory_ops, url, config);
	log->memory = config->memory;
	log->memory->handles++;
	*out = &log->base;
	return OK;
}

/* ---- for the simulator ---- */

void log_memory_truncate(struct log_memory *memory, const char *topic, int32_t partition, int64_t offset)
{
	struct memory_topic *at;
	struct memory_partition *p;
	if (partition_need(memory, topic, partition, &at, &p, NULL) != OK || offset >= p->next)
		return;
	p->count = memory_at(p, offset);
	p->next = offset > p->low ? offset : p->low;
	p->last_ms = p->count ? p->records[p->count - 1].timestamp_ms : 0; /* what is put back keeps its times */
}

void log_memory_trim(struct log_memory *memory, const char *topic, int32_t partition, int64_t offset)
{
	struct memory_topic *at;
	struct memory_partition *p;
	if (partition_need(memory, topic, partition, &at, &p, NULL) != OK || offset <= p->low)
		return;
	p->low = offset < p->next ? offset : p->next;
	size_t dropped = memory_at(p, p->low);
	p->count -= dropped;
	memmove(p->records, p->records + dropped, p->count * sizeof *p->records);
}

bool log_memory_grow(struct log_memory *memory, const char *topic, int32_t partitions)
{
	struct memory_topic *at = memory_topic_find(memory, topic);
	if (!at || partitions <= at->partition_count)
		return false;
	at->partitions = mem_realloc(at->partitions, (size_t)partitions * sizeof *at->partitions);
	for (int32_t i = at->partition_count; i < partitions; i++)
		at->partitions[i] = (struct memory_partition){0};
	at->partition_count = partitions;
	return true;
}

bool log_memory_set(struct log_memory *memory, const char *topic, const char *name, const char *value)
{
	struct memory_topic *at = memory_topic_find(memory, topic);
	if (!at)
		return false;
	struct log_setting *settings = arena_alloc(&at->arena, (at->setting_count + 1) * sizeof *settings);
	size_t count = 0;
	for (size_t i = 0; i < at->setting_count; i++)
		if (strcmp(at->settings[i].name, name) != 0)
			settings[count++] = at->settings[i];
	settings[count++] = (struct log_setting){arena_copy(&at->arena, name, strlen(name)),
	                                         arena_copy(&at->arena, value, strlen(value))};
	at->settings = settings;
	at->setting_count = count;
	at->record_bytes_max = log_settings_record_bytes_max(settings, count);
	return true;
}
