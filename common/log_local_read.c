/* Reading a partition of the local log. A read transaction lasts for one batch, which is copied out before anybody sees a
 * record: an open reader would keep the writer's checkpoint from ever starting the WAL anew. Nothing here takes a lock. */
#include "log_local_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define READ_BUSY_MS   1000 /* while another process recovers the WAL's index after a crash */
#define READ_CACHE_KIB 256  /* one way, from page to page */
#define HEADERS_MAX    100000

struct local_reader {
	struct log_reader base;
	struct local_partition *partition;
	struct local_batch batch;
	int64_t offset; /* the next to hand out */
};

/* ---- opening ---- */

static enum status store_ready(struct local_partition *partition, struct err *err)
{
	if (partition->store)
		return OK;
	struct store_config config = {.path = partition->path,
	                              .mode = STORE_READ,
	                              .keep_wal = true,
	                              .busy_timeout_ms = READ_BUSY_MS,
	                              .cache_kib = READ_CACHE_KIB};
	struct store *store;
	enum status status = store_open(&config, &store, err);
	if (status != OK)
		return status;
	status = store_prepare(store,
	                       "SELECT \"offset\", timestamp, key, value, headers FROM record WHERE \"offset\" >= ?1 "
	                       "ORDER BY \"offset\" LIMIT ?2",
	                       &partition->read, err);
	if (status == OK)
		status = store_prepare(
			store, "SELECT (SELECT min(\"offset\") FROM record), (SELECT max(\"offset\") FROM record)",
			&partition->bounds, err);
	if (status == OK)
		status = store_prepare(store,
		                       "SELECT \"offset\", timestamp FROM record WHERE \"offset\" >= ?1 "
		                       "ORDER BY \"offset\" LIMIT 1",
		                       &partition->from, err);
	if (status != OK) {
		store_close(store);
		return status;
	}
	partition->store = store;
	return OK;
}

/* A broken store is opened anew at the next use; a file that is gone with its topic is said to be. */
static enum status read_failed(struct local_partition *partition, enum status status, struct err *err)
{
	store_close(partition->store);
	partition->store = NULL;
	struct err gone;
	if (local_partition_gone(partition, &gone) == OK)
		return status;
	if (err)
		*err = gone;
	return FATAL;
}

enum status local_partition_open(struct local_log *log, const char *topic, int32_t number, struct local_partition **out,
                                 struct err *err)
{
	enum status status = local_topic_has(log, topic, number, NULL, err);
	if (status != OK)
		return status;
	struct local_partition *partition = mem_zalloc(1, sizeof *partition);
	partition->topic = mem_strdup(topic);
	partition->number = number;
	partition->path = local_partition_path(log, topic, number, ".db");
	partition->lock.fd = -1;
	status = local_lock_open(&partition->lock, local_partition_path(log, topic, number, ".lock"), err);
	if (status == OK)
		status = store_ready(partition, err);
	if (status != OK) {
		if (access(partition->path, F_OK) != 0 && errno == ENOENT)
			status = local_unknown_topic(topic, err);
		local_partition_close(partition);
		return status;
	}
	*out = partition;
	return OK;
}

void local_partition_close(struct local_partition *partition)
{
	if (!partition)
		return;
	store_close(partition->store);
	local_lock_close(&partition->lock);
	mem_free(partition->topic);
	mem_free(partition->path);
	mem_free(partition);
}

enum status local_partition_gone(const struct local_partition *partition, struct err *err)
{
	return local_lock_current(&partition->lock) ? OK : local_unknown_topic(partition->topic, err);
}

/* ---- records ---- */

void local_headers_put(struct buf *out, const struct log_header *headers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(headers[i].name);
		buf_put_be32(out, (uint32_t)len);
		buf_put(out, headers[i].name, len);
		buf_put_be32(out, (uint32_t)headers[i].value.len);
		if (headers[i].value.len > 0)
			buf_put(out, headers[i].value.data, (size_t)headers[i].value.len);
	}
}

/* Steps over one header; false: the bytes are wrong. */
static bool header_next(const uint8_t **at, const uint8_t *end, struct arena *arena, struct log_header *header)
{
	const uint8_t *p = *at;
	if (end - p < 4)
		return false;
	uint32_t name_len = be32_get(p);
	p += 4;
	if ((size_t)(end - p) < (size_t)name_len + 4)
		return false;
	const uint8_t *name = p;
	p += name_len;
	int32_t value_len = (int32_t)be32_get(p);
	p += 4;
	if (value_len < -1 || (value_len > 0 && end - p < value_len))
		return false;
	if (arena) {
		header->name = arena_copy(arena, name, name_len);
		header->value =
			(struct log_bytes){value_len < 0 ? NULL : arena_copy(arena, p, (size_t)value_len), value_len};
	}
	*at = p + (value_len > 0 ? value_len : 0);
	return true;
}

static enum status headers_get(const uint8_t *bytes, size_t len, struct arena *arena, struct log_record *record,
                               struct err *err)
{
	const uint8_t *at = bytes, *end = bytes + len;
	size_t count = 0;
	while (at < end && count < HEADERS_MAX && header_next(&at, end, NULL, NULL))
		count++;
	if (at != end)
		return err_set(err, FATAL, "corrupt", "offset %" PRId64 ": its headers are damaged", record->offset);
	struct log_header *headers = arena_alloc(arena, count * sizeof *headers);
	at = bytes;
	for (size_t i = 0; i < count; i++)
		header_next(&at, end, arena, &headers[i]);
	record->headers = headers;
	record->header_count = count;
	return OK;
}

static struct log_bytes column_bytes(struct store_statement *row, int column, struct arena *arena)
{
	if (store_is_null(row, column))
		return (struct log_bytes){.len = -1};
	size_t len;
	const void *bytes = store_blob(row, column, &len);
	return (struct log_bytes){arena_copy(arena, bytes, len), (int32_t)len};
}

static enum status record_read(const struct local_partition *partition, struct arena *arena, struct log_record *record,
                               struct err *err)
{
	struct store_statement *row = partition->read;
	*record = (struct log_record){.offset = store_int(row, 0),
	                              .timestamp_ms = store_int(row, 1),
	                              .partition = partition->number,
	                              .key = column_bytes(row, 2, arena),
	                              .value = column_bytes(row, 3, arena)};
	if (store_is_null(row, 4))
		return OK;
	size_t len;
	const void *headers = store_blob(row, 4, &len);
	enum status status = headers_get(headers, len, arena, record, err);
	return status == OK ? OK : err_context(err, status, "%s", partition->path);
}

void local_batch_fini(struct local_batch *batch)
{
	arena_fini(&batch->arena);
	mem_free(batch->records);
	*batch = (struct local_batch){0};
}

enum status local_partition_read(struct local_partition *partition, int64_t offset, size_t count_max,
                                 struct local_batch *batch, struct err *err)
{
	arena_reset(&batch->arena);
	batch->count = batch->next = 0;
	batch->ended = false;
	if (!batch->records)
		batch->records = mem_zalloc(LOCAL_BATCH_RECORDS, sizeof *batch->records);
	enum status status = store_ready(partition, err);
	if (status != OK)
		return read_failed(partition, status, err);
	store_bind_int(partition->read, 1, offset);
	store_bind_int(partition->read, 2, (int64_t)count_max);
	size_t bytes = 0;
	bool row = true;
	while (batch->count < count_max && bytes < LOCAL_BATCH_BYTES) {
		status = store_step(partition->read, &row, err);
		if (status != OK || !row)
			break;
		struct log_record *record = &batch->records[batch->count];
		status = record_read(partition, &batch->arena, record, err);
		if (status != OK)
			break;
		batch->count++;
		bytes += (size_t)(record->key.len > 0 ? record->key.len : 0) +
		         (size_t)(record->value.len > 0 ? record->value.len : 0) + sizeof *record;
	}
	batch->ended = status == OK && !row;
	if (status != OK) {
		batch->count = 0;
		return read_failed(partition, status, err);
	}
	store_done(partition->read);
	return OK;
}

static enum status partition_bounds(struct local_partition *partition, int64_t *low, int64_t *high, struct err *err)
{
	*low = *high = 0;
	bool row;
	enum status status = store_ready(partition, err);
	if (status == OK)
		status = store_step(partition->bounds, &row, err);
	if (status != OK)
		return read_failed(partition, status, err);
	if (row && !store_is_null(partition->bounds, 0)) {
		*low = store_int(partition->bounds, 0);
		*high = store_int(partition->bounds, 1) + 1;
	}
	store_done(partition->bounds);
	return OK;
}

enum status local_range(struct local_partition *partition, int64_t offset, struct err *err)
{
	int64_t low, high;
	enum status status = partition_bounds(partition, &low, &high, err);
	if (status != OK || (offset >= low && offset <= high))
		return status;
	return err_set(err, FATAL, "out_of_range", "%s/%d: offset %" PRId64 " is not in %" PRId64 "..%" PRId64,
	               partition->topic, (int)partition->number, offset, low, high);
}

/* ---- questions ---- */

/* The handle's own connection to a partition; it is checked to be the topic that is there now. */
static enum status partition_get(struct log *base, const char *topic, int32_t number, struct local_partition **out,
                                 struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	for (struct local_partition **at = &log->partitions; *at; at = &(*at)->next) {
		struct local_partition *known = *at;
		if (known->number != number || strcmp(known->topic, topic) != 0)
			continue;
		if (local_partition_gone(known, NULL) == OK) {
			*out = known;
			return OK;
		}
		*at = known->next;
		local_partition_close(known);
		break;
	}
	enum status status = local_partition_open(log, topic, number, out, err);
	if (status == OK) {
		(*out)->next = log->partitions;
		log->partitions = *out;
	}
	return status;
}

enum status local_bounds(struct log *log, const char *topic, int32_t number, int64_t *low, int64_t *high,
                         struct err *err)
{
	struct local_partition *partition;
	enum status status = partition_get(log, topic, number, &partition, err);
	return status == OK ? partition_bounds(partition, low, high, err) : status;
}

enum status local_read_at(struct log *log, const char *topic, int32_t number, int64_t offset, struct arena *arena,
                          struct log_record *record, bool *found, struct err *err)
{
	struct local_partition *partition;
	struct local_batch batch = {0};
	enum status status = partition_get(log, topic, number, &partition, err);
	if (status == OK)
		status = local_partition_read(partition, offset, 1, &batch, err);
	*found = status == OK && batch.count && batch.records[0].offset == offset;
	if (*found)
		log_record_copy(record, &batch.records[0], arena);
	local_batch_fini(&batch);
	return status;
}

/* The first record at or behind offset: where it is and when. False: none. */
static enum status first_from(struct local_partition *partition, int64_t offset, bool *row, int64_t *at, int64_t *ms,
                              struct err *err)
{
	store_bind_int(partition->from, 1, offset);
	enum status status = store_step(partition->from, row, err);
	if (status != OK)
		return read_failed(partition, status, err);
	if (*row) {
		*at = store_int(partition->from, 0);
		*ms = store_int(partition->from, 1);
		store_done(partition->from);
	}
	return OK;
}

/* Times never go back, so a search by halves over offsets finds it; each look skips the hole it falls into. */
enum status local_offset_at(struct log *log, const char *topic, int32_t number, int64_t ms, int64_t *offset,
                            struct err *err)
{
	struct local_partition *partition;
	int64_t from, to;
	enum status status = partition_get(log, topic, number, &partition, err);
	if (status == OK)
		status = partition_bounds(partition, &from, &to, err);
	while (status == OK && from < to) {
		int64_t middle = from + (to - from) / 2, at = 0, at_ms = 0;
		bool row;
		status = first_from(partition, middle, &row, &at, &at_ms, err);
		if (status != OK)
			break;
		if (!row || at >= to || at_ms >= ms)
			to = middle;
		else
			from = at + 1;
	}
	if (status != OK)
		return status;
	/* `from` may be in the hole before the record that is meant. */
	bool row;
	int64_t at = from, at_ms;
	status = first_from(partition, from, &row, &at, &at_ms, err);
	*offset = row ? at : from;
	return status;
}

/* ---- readers ---- */

enum status local_reader_open(struct log *base, const char *topic, int32_t number, int64_t offset,
                              struct log_reader **out, struct err *err)
{
	struct local_partition *partition;
	enum status status = local_partition_open((struct local_log *)base, topic, number, &partition, err);
	if (status != OK)
		return status;
	status = local_range(partition, offset, err);
	if (status != OK) {
		local_partition_close(partition);
		return status;
	}
	struct local_reader *reader = mem_zalloc(1, sizeof *reader);
	reader->base.log = base;
	reader->partition = partition;
	reader->offset = offset;
	*out = &reader->base;
	return OK;
}

static enum status reader_fill(struct local_reader *reader, struct err *err)
{
	enum status status =
		local_partition_read(reader->partition, reader->offset, LOCAL_BATCH_RECORDS, &reader->batch, err);
	if (status != OK || reader->batch.count)
		return status;
	return local_partition_gone(reader->partition, err);
}

enum status local_reader_next(struct log_reader *base, int timeout_ms, const struct log_record **record,
                              struct err *err)
{
	struct local_reader *reader = (struct local_reader *)base;
	struct local_log *log = (struct local_log *)base->log;
	struct local_batch *batch = &reader->batch;
	int64_t start = 0;
	while (batch->next == batch->count) {
		uint32_t rings = local_rings(&log->bell);
		enum status status = reader_fill(reader, err);
		if (status != OK)
			return status;
		if (batch->count)
			break;
		int64_t now = timeout_ms > 0 ? seam_monotonic_us(base->log->seam) : 0;
		start = start ? start : now;
		int64_t left_ms = timeout_ms - (now - start) / 1000;
		if (timeout_ms <= 0 || left_ms <= 0)
			return OK;
		local_sleep(&log->bell, rings, left_ms < INT32_MAX ? (int)left_ms : INT32_MAX);
	}
	*record = &batch->records[batch->next++];
	reader->offset = (*record)->offset + 1;
	return OK;
}

void local_reader_close(struct log_reader *base)
{
	struct local_reader *reader = (struct local_reader *)base;
	local_batch_fini(&reader->batch);
	local_partition_close(reader->partition);
	mem_free(reader);
}
