#include "import.h"

#include "mem.h"

#include <string.h>

#define PENDING_RECORDS_MAX 5000
#define PENDING_BYTES_MAX   (16 << 20)
#define ATTEMPTS            10 /* of a batch that another writer overtakes */

/* What waits for one partition. */
struct batch {
	struct batch *next;
	const char *topic;
	int32_t partition;
	struct arena arena;
	struct log_record *records;
	struct delivery_origin *origins;
	size_t count, room;
};

struct import {
	struct log *log;
	struct batch *batches;
	size_t pending, pending_bytes;
	int64_t written, moved;
};

struct import *import_open(struct log *log)
{
	struct import *import = mem_zalloc(1, sizeof *import);
	import->log = log;
	return import;
}

void import_close(struct import *import)
{
	for (struct batch *batch = import ? import->batches : NULL, *next; batch; batch = next) {
		next = batch->next;
		arena_fini(&batch->arena);
		mem_free(batch->records);
		mem_free(batch->origins);
		mem_free(batch);
	}
	mem_free(import);
}

int64_t import_written(const struct import *import)
{
	return import->written;
}

int64_t import_moved(const struct import *import)
{
	return import->moved;
}

bool import_oldest(const struct import *import, const void *from, int64_t *offset)
{
	bool any = false;
	for (const struct batch *batch = import->batches; batch; batch = batch->next) {
		for (size_t i = 0; i < batch->count; i++) {
			if (batch->origins[i].from != from || (any && batch->origins[i].offset >= *offset))
				continue;
			*offset = batch->origins[i].offset;
			any = true;
		}
	}
	return any;
}

static struct batch *batch_of(struct import *import, const char *topic, int32_t partition)
{
	struct batch *batch = import->batches;
	while (batch && (batch->partition != partition || strcmp(batch->topic, topic) != 0))
		batch = batch->next;
	if (batch)
		return batch;
	batch = mem_zalloc(1, sizeof *batch);
	batch->topic = topic;
	batch->partition = partition;
	batch->next = import->batches;
	import->batches = batch;
	return batch;
}

/* Offsets and times behind what is there now. *moved: so many got another time. */
static enum status place_batch(struct import *import, struct batch *batch, struct log_record *out, int64_t *moved,
                               struct err *err)
{
	struct arena arena = {0};
	struct log_record last;
	int64_t low, high, time = INT64_MIN;
	bool found = false;
	enum status status = log_bounds(import->log, batch->topic, batch->partition, &low, &high, err);
	if (status == OK && high > low)
		status = log_read_at(import->log, batch->topic, batch->partition, high - 1, &arena, &last, &found, err);
	if (found)
		time = last.timestamp_ms;
	arena_fini(&arena);
	*moved = 0;
	for (size_t i = 0; i < batch->count && status == OK; i++) {
		out[i] = batch->records[i];
		out[i].offset = high + (int64_t)i;
		*moved += out[i].timestamp_ms < time;
		time = out[i].timestamp_ms < time ? time : out[i].timestamp_ms;
		out[i].timestamp_ms = time;
	}
	return status;
}

static enum status batch_write(struct import *import, struct batch *batch, struct err *err)
{
	struct log_record *placed = mem_alloc(batch->count * sizeof *placed);
	int64_t moved;
	enum status status = REJECT;
	for (int attempt = 0; attempt < ATTEMPTS && status == REJECT; attempt++) {
		status = place_batch(import, batch, placed, &moved, err);
		if (status == OK)
			status = log_import(import->log, batch->topic, batch->partition, placed, batch->count, err);
	}
	mem_free(placed);
	if (status != OK)
		return err_context(err, status, "topic %s", batch->topic);
	import->written += (int64_t)batch->count;
	import->moved += moved;
	batch->count = 0;
	arena_reset(&batch->arena);
	return OK;
}

enum status import_flush(struct import *import, struct err *err)
{
	enum status status = OK;
	for (struct batch *batch = import->batches; batch && status == OK; batch = batch->next)
		if (batch->count)
			status = batch_write(import, batch, err);
	if (status == OK)
		import->pending = import->pending_bytes = 0;
	return status;
}

enum status import_take(struct import *import, const char *topic, const struct log_record *record,
                        struct delivery_origin origin, struct err *err)
{
	struct batch *batch = batch_of(import, topic, record->partition);
	if (batch->count == batch->room) {
		batch->room = batch->room ? 2 * batch->room : 64;
		batch->records = mem_realloc(batch->records, batch->room * sizeof *batch->records);
		batch->origins = mem_realloc(batch->origins, batch->room * sizeof *batch->origins);
	}
	log_record_copy(&batch->records[batch->count], record, &batch->arena);
	batch->origins[batch->count++] = origin;
	import->pending++;
	import->pending_bytes += (size_t)(record->value.len > 0 ? record->value.len : 0);
	if (import->pending < PENDING_RECORDS_MAX && import->pending_bytes < PENDING_BYTES_MAX)
		return OK;
	return import_flush(import, err);
}
