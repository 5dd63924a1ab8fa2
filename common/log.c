/* Dispatch to the implementation behind the URL, and the namespace: the only place that puts it before a name or takes it
 * off. Full names are interned, since topics and groups are few and asked for often. */
#include "log_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KAFKA_PREFIX "kafka://"
#define LOCAL_PREFIX "local:"
#define MEMORY_URL   "local::memory:"
#define DLQ_SUFFIX   ".dlq"
#define NAME_LEN_MAX 249

struct log_name {
	struct log_name *next;
	const char *name, *full;
};

bool log_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(name);
	return len >= 1 && len <= NAME_LEN_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

void log_set_statistics(struct log *log, const struct log_statistics *statistics)
{
	log->statistics = statistics;
}

const char *log_full_name(struct log *log, const char *name)
{
	struct log_name *known = log->names;
	while (known && strcmp(known->name, name) != 0)
		known = known->next;
	if (known)
		return known->full;
	known = arena_alloc(&log->arena, sizeof *known);
	known->name = arena_copy(&log->arena, name, strlen(name));
	known->full = *log->name_space ? arena_format(&log->arena, "%s.%s", log->name_space, name) : known->name;
	known->next = log->names;
	log->names = known;
	return known->full;
}

void log_base_init(struct log *log, const struct log_ops *ops, const char *url, const struct log_config *config)
{
	log->ops = ops;
	log->seam = config->seam;
	log->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : LOG_TIMEOUT_MS_DEFAULT;
	log->arena = (struct arena){0};
	log->names = NULL;
	const char *name_space = config->name_space ? config->name_space : "";
	log->url = arena_copy(&log->arena, url, strlen(url));
	log->name_space = arena_copy(&log->arena, name_space, strlen(name_space));
	log->secret = NULL;
	if (config->secret) {
		log->secret = mem_alloc(sizeof *log->secret);
		*log->secret = *config->secret;
	}
}

static void forget_secret(struct secret *secret)
{
	if (secret)
		secret_wipe(secret);
	mem_free(secret);
}

void log_base_fini(struct log *log)
{
	forget_secret(log->secret);
	arena_fini(&log->arena);
}

enum status log_open(const char *url, const struct log_config *config, struct log **out, struct err *err)
{
	*out = NULL;
	if (config->name_space && *config->name_space && !log_name_valid(config->name_space))
		return err_set(err, REJECT, "invalid", "namespace '%s': letters, digits, '_', '-' and '.' only",
		               config->name_space);
	if (strcmp(url, MEMORY_URL) == 0)
		return log_memory_open(url, "", config, out, err);
	if (strncmp(url, KAFKA_PREFIX, strlen(KAFKA_PREFIX)) == 0)
		return log_kafka_open(url, url + strlen(KAFKA_PREFIX), config, out, err);
	if (strncmp(url, LOCAL_PREFIX, strlen(LOCAL_PREFIX)) == 0 && url[strlen(LOCAL_PREFIX)])
		return log_local_open(url, url + strlen(LOCAL_PREFIX), config, out, err);
	return err_set(err, REJECT, "invalid", "log '%s' is neither kafka://HOST:PORT,... nor local:DIR", url);
}

void log_close(struct log *log)
{
	if (!log)
		return;
	struct arena arena = log->arena;
	struct secret *secret = log->secret;
	log->ops->close(log);
	forget_secret(secret);
	arena_fini(&arena);
}

bool log_is_local(const struct log *log)
{
	return log->ops->local;
}

const char *log_url(const struct log *log)
{
	return log->url;
}

const struct secret *log_secret(const struct log *log)
{
	return log->secret;
}

void log_wait(struct log *log, int timeout_ms)
{
	log->ops->wait(log, timeout_ms > 0 ? timeout_ms : 0);
}

/* ---- records ---- */

static struct log_bytes bytes_copy(struct log_bytes bytes, struct arena *arena)
{
	if (bytes.len < 0)
		return (struct log_bytes){.len = -1};
	return (struct log_bytes){.data = arena_copy(arena, bytes.data, (size_t)bytes.len), .len = bytes.len};
}

void log_record_copy(struct log_record *out, const struct log_record *record, struct arena *arena)
{
	struct log_record copy = *record;
	copy.key = bytes_copy(record->key, arena);
	copy.value = bytes_copy(record->value, arena);
	copy.headers = NULL;
	if (record->header_count) {
		struct log_header *headers = arena_alloc(arena, record->header_count * sizeof *headers);
		for (size_t i = 0; i < record->header_count; i++) {
			headers[i].name = arena_copy(arena, record->headers[i].name, strlen(record->headers[i].name));
			headers[i].value = bytes_copy(record->headers[i].value, arena);
		}
		copy.headers = headers;
	}
	*out = copy;
}

/* ---- consuming ---- */

enum status log_consumer_open(struct log *log, const struct log_consumer_config *config, struct log_consumer **out,
                              struct err *err)
{
	struct log_consumer_config full = *config;
	full.topic = log_full_name(log, config->topic);
	full.group = log_full_name(log, config->group);
	if (full.session_timeout_ms <= 0)
		full.session_timeout_ms = LOG_SESSION_TIMEOUT_MS_DEFAULT;
	*out = NULL;
	return log->ops->consumer_open(log, &full, out, err);
}

void log_consumer_close(struct log_consumer *consumer, bool leave)
{
	if (consumer)
		consumer->log->ops->consumer_close(consumer, leave);
}

void log_consumer_poll(struct log_consumer *consumer, struct log_event *event)
{
	*event = (struct log_event){.kind = LOG_NOTHING, .partition = -1, .offset = -1};
	consumer->log->ops->consumer_poll(consumer, event);
}

enum status log_consumer_assign(struct log_consumer *consumer, const struct log_position *positions, size_t count,
                                struct err *err)
{
	return consumer->log->ops->consumer_assign(consumer, positions, count, err);
}

void log_consumer_hold(struct log_consumer *consumer, bool hold)
{
	consumer->log->ops->consumer_hold(consumer, hold);
}

enum status log_consumer_commit(struct log_consumer *consumer, const struct log_mark *marks, size_t count,
                                struct err *err)
{
	return consumer->log->ops->consumer_commit(consumer, marks, count, err);
}

enum status log_consumer_committed(struct log_consumer *consumer, struct log_mark *mark, struct err *err)
{
	return consumer->log->ops->consumer_committed(consumer, mark, err);
}

enum status log_committed(struct log *log, const char *group, const char *topic, struct log_mark *mark, struct err *err)
{
	return log->ops->committed(log, log_full_name(log, group), log_full_name(log, topic), mark, err);
}

/* ---- producing ---- */

enum status log_producer_open(struct log *log, struct log_producer **out, struct err *err)
{
	*out = NULL;
	return log->ops->producer_open(log, out, err);
}

int log_producer_topic(struct log_producer *producer, const char *topic)
{
	return producer->log->ops->producer_topic(producer, log_full_name(producer->log, topic));
}

enum status log_produce(struct log_producer *producer, int topic, const struct log_record *record, uint64_t token,
                        struct err *err)
{
	return producer->log->ops->produce(producer, topic, record, token, err);
}

void log_producer_flush(struct log_producer *producer)
{
	producer->log->ops->producer_flush(producer);
}

bool log_producer_ack(struct log_producer *producer, struct log_ack *ack)
{
	return producer->log->ops->producer_ack(producer, ack);
}

size_t log_producer_pending(const struct log_producer *producer)
{
	return producer->log->ops->producer_pending(producer);
}

void log_producer_close(struct log_producer *producer)
{
	if (producer)
		producer->log->ops->producer_close(producer);
}

/* ---- reading ---- */

enum status log_reader_open(struct log *log, const char *topic, int32_t partition, int64_t offset,
                            struct log_reader **out, struct err *err)
{
	*out = NULL;
	return log->ops->reader_open(log, log_full_name(log, topic), partition, offset, out, err);
}

enum status log_reader_next(struct log_reader *reader, int timeout_ms, const struct log_record **record,
                            struct err *err)
{
	*record = NULL;
	return reader->log->ops->reader_next(reader, timeout_ms, record, err);
}

void log_reader_close(struct log_reader *reader)
{
	if (reader)
		reader->log->ops->reader_close(reader);
}

enum status log_read_at(struct log *log, const char *topic, int32_t partition, int64_t offset, struct arena *arena,
                        struct log_record *record, bool *found, struct err *err)
{
	*found = false;
	return log->ops->read_at(log, log_full_name(log, topic), partition, offset, arena, record, found, err);
}

enum status log_bounds(struct log *log, const char *topic, int32_t partition, int64_t *low, int64_t *high,
                       struct err *err)
{
	return log->ops->bounds(log, log_full_name(log, topic), partition, low, high, err);
}

enum status log_offset_at(struct log *log, const char *topic, int32_t partition, int64_t ms, int64_t *offset,
                          struct err *err)
{
	return log->ops->offset_at(log, log_full_name(log, topic), partition, ms, offset, err);
}

/* ---- topics ---- */

enum status log_topic_create(struct log *log, const struct log_topic *topic, struct err *err)
{
	struct log_topic full = *topic;
	full.name = log_full_name(log, topic->name);
	if (!log_name_valid(full.name))
		return err_set(err, REJECT, "invalid", "topic name '%s': 1 to %d of a-z A-Z 0-9 . _ - and no dot first",
		               full.name, NAME_LEN_MAX);
	if (topic->partitions < 1)
		return err_set(err, REJECT, "invalid", "topic %s with %d partitions", full.name,
		               (int)topic->partitions);
	return log->ops->topic_create(log, &full, err);
}

enum status log_topic_delete(struct log *log, const char *name, struct err *err)
{
	return log->ops->topic_delete(log, log_full_name(log, name), err);
}

enum status log_topic_describe(struct log *log, const char *name, struct arena *arena, struct log_topic *out,
                               struct err *err)
{
	*out = (struct log_topic){0};
	enum status status = log->ops->topic_describe(log, log_full_name(log, name), arena, out, err);
	out->name = arena_copy(arena, name, strlen(name));
	return status;
}

/* The name within the namespace, or NULL where it is none of it. */
static const char *within(const struct log *log, const char *full)
{
	size_t len = strlen(log->name_space);
	if (len)
		return strncmp(full, log->name_space, len) == 0 && full[len] == '.' && full[len + 1] ? full + len + 1
		                                                                                     : NULL;
	if (strncmp(full, "__", 2) == 0) /* a broker's own */
		return NULL;
	const char *dot = strchr(full, '.');
	return !dot || strcmp(dot, DLQ_SUFFIX) == 0 ? full : NULL;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum status log_topic_list(struct log *log, struct arena *arena, const char ***names, size_t *count, struct err *err)
{
	*names = NULL;
	*count = 0;
	const char **all;
	size_t all_count = 0, kept = 0;
	enum status status = log->ops->topic_list(log, arena, &all, &all_count, err);
	if (status != OK || !all_count)
		return status;
	for (size_t i = 0; i < all_count; i++) {
		const char *name = within(log, all[i]);
		if (name)
			all[kept++] = name;
	}
	qsort(all, kept, sizeof *all, name_compare);
	*names = all;
	*count = kept;
	return OK;
}

enum status log_group_delete(struct log *log, const char *group, struct err *err)
{
	return log->ops->group_delete(log, log_full_name(log, group), err);
}

enum status log_node_count(struct log *log, int *nodes, struct err *err)
{
	return log->ops->node_count(log, nodes, err);
}

enum status log_import(struct log *log, const char *topic, int32_t partition, const struct log_record *records,
                       size_t count, struct err *err)
{
	if (!log->ops->import)
		return err_set(err, REJECT, "unsupported", "%s takes no records with their offsets", log->url);
	return log->ops->import(log, log_full_name(log, topic), partition, records, count, err);
}

int log_partition_compare(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

void log_partitions_set(int32_t **to, size_t *to_count, const int32_t *from, size_t count)
{
	*to = mem_realloc(*to, count * sizeof **to);
	if (count)
		memcpy(*to, from, count * sizeof **to);
	*to_count = count;
	qsort(*to, count, sizeof **to, log_partition_compare);
}

enum status log_import_check(const struct log_record *records, size_t count, int64_t next, int64_t last_ms,
                             struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct log_record *record = &records[i];
		if (record->offset < next || record->offset == INT64_MAX)
			return err_set(err, REJECT, "invalid", "offset %" PRId64 " where the next is %" PRId64,
			               record->offset, next);
		if (record->timestamp_ms < last_ms)
			return err_set(err, REJECT, "invalid",
			               "offset %" PRId64 ": its time %" PRId64 " is before the last %" PRId64,
			               record->offset, record->timestamp_ms, last_ms);
		next = record->offset + 1;
		last_ms = record->timestamp_ms;
	}
	return OK;
}
