/* Writing a partition of the local log. Everything from begin to end happens under the partition's lock: opening the file,
 * the transaction, the checkpoint, closing after an error. So no commit ever meets a checkpoint of another connection,
 * which is what SQLite's WAL-reset bug (3.7.0 to 3.51.2) needs. A commit is synced (synchronous=FULL) and is told to the
 * others only afterwards: first the hint in the lock's page, then (by the caller) the acknowledgement and the bell. */
#include "log_local_impl.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define WAL_COMMIT_BYTES 12288 /* the pages that every commit writes anew */
#define WRITE_CACHE_KIB  128   /* records are only appended: nothing is read again but the last page */
#define BEGIN_TRIES_MAX  1000  /* a reader may be recovering the WAL's index */
#define CLOSE_WAIT_MS    1000

struct local_writer {
	struct local_log *log;
	char *topic, *path;
	int32_t number;
	int64_t record_bytes_max;
	struct local_lock lock;
	bool locked;
	struct store *store; /* NULL after an error */
	struct store_statement *insert, *last, *checkpoint;
	int64_t next, last_ms, written_bytes;
};

enum status local_partition_file_create(const char *path, struct err *err)
{
	struct store *store;
	struct store_config config = {.path = path, .mode = STORE_WRITE, .full_sync = true, .keep_wal = true};
	enum status status = store_open(&config, &store, err);
	if (status != OK)
		return status;
	status = store_exec(store,
	                    "BEGIN; CREATE TABLE record (\"offset\" INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, "
	                    "key BLOB, value BLOB, headers BLOB) STRICT; PRAGMA user_version=1; COMMIT",
	                    err);
	store_close(store);
	return status;
}

/* ---- opening and closing ---- */

enum status local_writer_open(struct local_log *log, const char *topic, int32_t partition, struct local_writer **out,
                              struct err *err)
{
	int64_t bytes_max;
	enum status status = local_topic_has(log, topic, partition, &bytes_max, err);
	if (status != OK)
		return status;
	struct local_lock lock;
	status = local_lock_open(&lock, local_partition_path(log, topic, partition, ".lock"), err);
	if (status != OK)
		return err_is(err, "missing") ? local_unknown_topic(topic, err) : status;
	struct local_writer *writer = mem_zalloc(1, sizeof *writer);
	*writer = (struct local_writer){.log = log,
	                                .topic = mem_strdup(topic),
	                                .path = local_partition_path(log, topic, partition, ".db"),
	                                .number = partition,
	                                .record_bytes_max = bytes_max,
	                                .lock = lock};
	*out = writer;
	return OK;
}

void local_writer_close(struct local_writer *writer)
{
	if (!writer)
		return;
	/* Where the lock is not to be had, closing is harmless all the same: it does not checkpoint. */
	if (writer->store)
		local_lock_take(&writer->lock, writer->log->base.seam, CLOSE_WAIT_MS, NULL, NULL);
	store_close(writer->store);
	local_lock_close(&writer->lock);
	mem_free(writer->topic);
	mem_free(writer->path);
	mem_free(writer);
}

int64_t local_writer_record_bytes_max(const struct local_writer *writer)
{
	return writer->record_bytes_max;
}

int64_t local_writer_last_ms(const struct local_writer *writer)
{
	return writer->last_ms;
}

static enum status store_ready(struct local_writer *writer, struct err *err)
{
	if (writer->store)
		return OK;
	struct store_config config = {.path = writer->path,
	                              .mode = STORE_WRITE,
	                              .full_sync = true,
	                              .keep_wal = true,
	                              .cache_kib = WRITE_CACHE_KIB};
	struct store *store;
	enum status status = store_open(&config, &store, err);
	if (status != OK)
		return status;
	status = store_prepare(store, "INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5)", &writer->insert, err);
	if (status == OK)
		status = store_prepare(store,
		                       "SELECT \"offset\", timestamp FROM record ORDER BY \"offset\" DESC LIMIT 1",
		                       &writer->last, err);
	if (status == OK)
		status = store_prepare(store, "PRAGMA wal_checkpoint(RESTART)", &writer->checkpoint, err);
	if (status != OK) {
		store_close(store);
		return status;
	}
	writer->store = store;
	return OK;
}

/* ---- one transaction ---- */

static void pause_ms(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Nobody else commits under our lock; only the recovery of the WAL's index can be in the way, and only for moments. */
static enum status begin_patiently(struct local_writer *writer, struct err *err)
{
	enum status status = RETRY;
	for (int i = 0; i < BEGIN_TRIES_MAX; i++) {
		struct err why = {0};
		status = store_ready(writer, &why);
		if (status == OK)
			status = store_begin(writer->store, &why);
		if (status == OK)
			return OK;
		if (err)
			*err = why;
		if (!err_is(&why, "busy"))
			break;
		pause_ms();
	}
	return status;
}

static enum status last_read(struct local_writer *writer, struct err *err)
{
	bool row;
	writer->next = writer->last_ms = 0;
	enum status status = store_step(writer->last, &row, err);
	if (status != OK || !row)
		return status;
	writer->next = store_int(writer->last, 0) + 1;
	writer->last_ms = store_int(writer->last, 1);
	store_done(writer->last);
	return OK;
}

enum status local_writer_begin(struct local_writer *writer, const atomic_bool *stop, int64_t *next, struct err *err)
{
	const struct log *log = &writer->log->base;
	writer->written_bytes = WAL_COMMIT_BYTES;
	enum status status = local_lock_take(&writer->lock, log->seam, log->timeout_ms, stop, err);
	if (status != OK)
		return status;
	writer->locked = true;
	if (!local_lock_current(&writer->lock))
		return local_unknown_topic(writer->topic, err);
	status = begin_patiently(writer, err);
	if (status == OK)
		status = last_read(writer, err);
	*next = writer->next;
	return status;
}

static void bind_bytes(struct store_statement *statement, int index, struct log_bytes bytes)
{
	if (bytes.len < 0)
		store_bind_null(statement, index);
	else
		store_bind_blob(statement, index, bytes.data, (size_t)bytes.len);
}

enum status local_writer_append(struct local_writer *writer, const struct local_row *row, struct err *err)
{
	store_bind_int(writer->insert, 1, row->offset);
	store_bind_int(writer->insert, 2, row->timestamp_ms);
	bind_bytes(writer->insert, 3, row->key);
	bind_bytes(writer->insert, 4, row->value);
	bind_bytes(writer->insert, 5, row->headers);
	enum status status = store_run(writer->insert, err);
	writer->next = row->offset + 1;
	writer->last_ms = row->timestamp_ms;
	writer->written_bytes += row->key.len + row->value.len + row->headers.len + 24;
	return status;
}

/* A reader in the middle of its batch keeps the WAL from starting anew; then it is tried again a little later. */
static void checkpoint(struct local_writer *writer)
{
	_Atomic int64_t *wal_bytes = &writer->lock.page->wal_bytes;
	if (atomic_fetch_add(wal_bytes, writer->written_bytes) + writer->written_bytes < LOCAL_WAL_BYTES)
		return;
	bool row;
	if (store_step(writer->checkpoint, &row, NULL) != OK) { /* the commit stands; the file is opened anew */
		store_close(writer->store);
		writer->store = NULL;
		return;
	}
	bool blocked = row && store_int(writer->checkpoint, 0);
	store_done(writer->checkpoint);
	atomic_store(wal_bytes, blocked ? LOCAL_WAL_BYTES / 4 * 3 : 0);
}

enum status local_writer_end(struct local_writer *writer, enum status so_far, struct err *err)
{
	enum status status = so_far;
	if (!writer->locked)
		return status;
	if (status == OK)
		status = store_commit(writer->store, err);
	if (status == OK) {
		atomic_store(&writer->lock.page->next, writer->next);
		checkpoint(writer);
	} else {
		store_close(writer->store);
		writer->store = NULL;
	}
	local_lock_release(&writer->lock);
	writer->locked = false;
	return status;
}

/* ---- import ---- */

static enum status importer_get(struct local_log *log, const char *topic, int32_t partition, struct err *err)
{
	struct local_writer *writer = log->importer;
	if (writer && writer->number == partition && strcmp(writer->topic, topic) == 0 &&
	    local_lock_current(&writer->lock))
		return OK;
	local_writer_close(writer);
	log->importer = NULL;
	return local_writer_open(log, topic, partition, &log->importer, err);
}

static enum status import_row(struct local_writer *writer, const struct log_record *record, struct buf *headers,
                              struct err *err)
{
	buf_reset(headers);
	local_headers_put(headers, record->headers, record->header_count);
	struct local_row row = {.offset = record->offset,
	                        .timestamp_ms = record->timestamp_ms,
	                        .key = record->key,
	                        .value = record->value,
	                        .headers = {headers->data, record->header_count ? (int32_t)headers->len : -1}};
	return local_writer_append(writer, &row, err);
}

enum status local_import(struct log *base, const char *topic, int32_t partition, const struct log_record *records,
                         size_t count, struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	enum status status = importer_get(log, topic, partition, err);
	if (status != OK || !count)
		return status;
	struct local_writer *writer = log->importer;
	int64_t next = 0;
	status = local_writer_begin(writer, NULL, &next, err);
	if (status == OK)
		status = log_import_check(records, count, next, writer->last_ms, err);
	struct buf headers = {0};
	for (size_t i = 0; i < count && status == OK; i++)
		status = import_row(writer, &records[i], &headers, err);
	buf_fini(&headers);
	status = local_writer_end(writer, status, err);
	if (status == OK)
		local_ring(&log->bell);
	return status;
}
