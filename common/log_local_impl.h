/* log_local_impl: what the files of the local log share. docs/local-log.md shows the folder to operators.
 *
 *   DIR/bell                  a futex that every commit rings
 *   DIR/topics.lock           held while a topic is made or deleted
 *   DIR/topics/T/topic.json   partition count and settings; written once
 *   DIR/topics/T/P.db         the records of a partition (SQLite, WAL)
 *   DIR/topics/T/P.lock       held (flock) for every append, checkpoint, open and close of a writer; its first page is shared
 *   DIR/groups.db, .lock      groups, members, marks; the same rule
 *   DIR/members/ID            held (flock) by a living group member; its first page holds the time of its last poll
 *
 * Lock order: topics.lock, then partitions by number; groups.lock alone. No lock is held while a caller's code runs. */
#ifndef TANDEM_LOG_LOCAL_IMPL_H
#define TANDEM_LOG_LOCAL_IMPL_H

#include <stdatomic.h>
#include <sys/types.h>

#include "bytes.h"
#include "log_group.h"
#include "log_impl.h"
#include "store.h"

#define LOCAL_ASK_US        100000 /* without a bell for so long, the file is asked */
#define LOCAL_BATCH_RECORDS 1000   /* one read transaction */
#define LOCAL_BATCH_BYTES   (1024 * 1024)
#define LOCAL_WAL_BYTES     (8 * 1024 * 1024) /* checkpointed when about so much was written */

/* The first page of a lock file or the bell, shared by all processes. Everything in it is a hint: what it says may be old or
 * lost, and the files decide. */
struct local_page {
	_Atomic int64_t next;      /* a partition: the high watermark as of the last commit */
	_Atomic int64_t wal_bytes; /* about how much was written since the last checkpoint */
	_Atomic uint32_t wanted;   /* somebody waits for the lock */
	_Atomic uint32_t rings;    /* the bell: the futex. groups: how often they changed */
	_Atomic uint32_t sleepers;
	_Atomic int64_t seen_ms; /* a member: its last poll */
};

/* A file with such a page. */
struct local_lock {
	int fd; /* -1: not open */
	char *path;
	struct local_page *page;
};

struct local_groups;
struct local_partition;
struct local_writer;
struct local_consumer;
struct local_producer;

struct local_log {
	struct log base;
	char *dir;
	struct local_lock bell; /* fd -1 while DIR is not there */
	uint32_t rings_seen;
	struct local_groups *groups;        /* NULL until it is needed */
	struct local_partition *partitions; /* for questions without a consumer or reader */
	struct local_writer *importer;      /* the last partition that was imported into */
	struct local_consumer *consumers;
	struct local_producer *producers;
};

/* ---- files (log_local_file.c) ---- */

enum status local_io(struct err *err, const char *doing, const char *path); /* from errno: disk_full, io; RETRY */
enum status local_mkdir(const char *path, struct err *err);                 /* there already is fine */
enum status local_sync_dir(const char *path, struct err *err);
enum status local_remove_tree(const char *path, struct err *err);

/* Opens and maps; a file that is not there is made. No folder to make it in: FATAL "missing". */
enum status local_lock_open(struct local_lock *lock, char *path_taken, struct err *err);
void local_lock_close(struct local_lock *lock); /* lets go of it, too */

/* Waits for the lock, at most timeout_ms, or until *stop (may be NULL) is set: RETRY "busy". */
enum status local_lock_take(struct local_lock *lock, const struct seam *seam, int timeout_ms, const atomic_bool *stop,
                            struct err *err);
void local_lock_release(struct local_lock *lock);
bool local_lock_current(const struct local_lock *lock); /* is the file still the one at its path? */

void local_ring(struct local_lock *bell);
/* Sleeps until the bell has rung since `seen`, at most timeout_ms (which is cut to LOCAL_ASK_US). */
void local_sleep(struct local_lock *bell, uint32_t seen, int timeout_ms);
uint32_t local_rings(const struct local_lock *bell);

/* Opens DIR/bell if DIR is there. False: it is not. */
bool local_root_open(struct local_log *log);
enum status local_root_create(struct local_log *log, struct err *err);

/* ---- topics (log_local_topic.c) ---- */

struct local_topic {
	int32_t partitions;
	const struct log_setting *settings; /* in the arena */
	size_t setting_count;
	int64_t record_bytes_max;
	struct arena arena;
};

enum status local_topic_load(struct local_log *log, const char *name, struct local_topic *topic, struct err *err);
void local_topic_fini(struct local_topic *topic);
/* Is there this partition? FATAL unknown_topic, unknown_partition. record_bytes_max (of the topic) may be NULL. */
enum status local_topic_has(struct local_log *log, const char *name, int32_t partition, int64_t *record_bytes_max,
                            struct err *err);
char *local_partition_path(const struct local_log *log, const char *topic, int32_t partition, const char *suffix);
enum status local_unknown_topic(const char *topic, struct err *err);
enum status local_topic_create(struct log *log, const struct log_topic *topic, struct err *err);
enum status local_topic_delete(struct log *log, const char *name, struct err *err);
enum status local_topic_describe(struct log *log, const char *name, struct arena *arena, struct log_topic *out,
                                 struct err *err);
enum status local_topic_list(struct log *log, struct arena *arena, const char ***names, size_t *count, struct err *err);

/* ---- a partition's records, reading (log_local_read.c) ---- */

struct local_partition {
	struct local_partition *next;
	char *topic, *path;
	int32_t number;
	struct local_lock lock; /* never taken here: only its page is looked at */
	struct store *store;    /* NULL after an error, opened again at next use */
	struct store_statement *read, *bounds, *from;
};

struct local_batch {
	struct arena arena;
	struct log_record *records;
	size_t count, next;
	bool ended; /* there was no more when it was read */
};

enum status local_partition_open(struct local_log *log, const char *topic, int32_t number, struct local_partition **out,
                                 struct err *err);
void local_partition_close(struct local_partition *partition); /* NULL is fine */
/* Records from the offset on, copied; the read has ended when it returns. */
enum status local_partition_read(struct local_partition *partition, int64_t offset, size_t count_max,
                                 struct local_batch *batch, struct err *err);
enum status local_partition_gone(const struct local_partition *partition, struct err *err); /* OK while it is there */
enum status local_range(struct local_partition *partition, int64_t offset, struct err *err);
void local_batch_fini(struct local_batch *batch);

enum status local_reader_open(struct log *log, const char *topic, int32_t partition, int64_t offset,
                              struct log_reader **out, struct err *err);
enum status local_reader_next(struct log_reader *reader, int timeout_ms, const struct log_record **record,
                              struct err *err);
void local_reader_close(struct log_reader *reader);
enum status local_read_at(struct log *log, const char *topic, int32_t partition, int64_t offset, struct arena *arena,
                          struct log_record *record, bool *found, struct err *err);
enum status local_bounds(struct log *log, const char *topic, int32_t partition, int64_t *low, int64_t *high,
                         struct err *err);
enum status local_offset_at(struct log *log, const char *topic, int32_t partition, int64_t ms, int64_t *offset,
                            struct err *err);

/* ---- writing (log_local_write.c) ---- */

/* Compiles against a new partition file. */
enum status local_partition_file_create(const char *path, struct err *err);

enum status local_writer_open(struct local_log *log, const char *topic, int32_t partition, struct local_writer **out,
                              struct err *err);
void local_writer_close(struct local_writer *writer); /* NULL is fine */
int64_t local_writer_record_bytes_max(const struct local_writer *writer);

/* One transaction: begin (takes the lock), append any number, then end, which gives the status of the whole. After any
 * failure end must still be called; it undoes everything. *next: the offset the first one gets. */
enum status local_writer_begin(struct local_writer *writer, const atomic_bool *stop, int64_t *next, struct err *err);
struct local_row {
	int64_t offset, timestamp_ms;
	struct log_bytes key, value, headers; /* headers in the file's form; len -1: none */
};
enum status local_writer_append(struct local_writer *writer, const struct local_row *row, struct err *err);
int64_t local_writer_last_ms(const struct local_writer *writer); /* of the last record, within begin and end */
enum status local_writer_end(struct local_writer *writer, enum status so_far, struct err *err);

/* Headers as the file holds them: for each the name's length (4), the name, the value's length (4, -1 for null), the value;
 * big-endian. */
void local_headers_put(struct buf *out, const struct log_header *headers, size_t count);

enum status local_import(struct log *log, const char *topic, int32_t partition, const struct log_record *records,
                         size_t count, struct err *err);

/* ---- producing (log_local_producer.c) ---- */

enum status local_producer_open(struct log *log, struct log_producer **out, struct err *err);
int local_producer_topic(struct log_producer *producer, const char *topic);
enum status local_produce(struct log_producer *producer, int topic, const struct log_record *record, uint64_t token,
                          struct err *err);
void local_producer_flush(struct log_producer *producer);
bool local_producer_ack(struct log_producer *producer, struct log_ack *ack);
size_t local_producer_pending(const struct log_producer *producer);
void local_producer_close(struct log_producer *producer);
bool local_producers_ready(const struct local_log *log); /* is there an acknowledgement to take? */

/* ---- consuming (log_local_consumer.c) ---- */

enum status local_consumer_open(struct log *log, const struct log_consumer_config *config, struct log_consumer **out,
                                struct err *err);
void local_consumer_close(struct log_consumer *consumer, bool leave);
void local_consumer_poll(struct log_consumer *consumer, struct log_event *event);
enum status local_consumer_assign(struct log_consumer *consumer, const struct log_position *positions, size_t count,
                                  struct err *err);
void local_consumer_hold(struct log_consumer *consumer, bool hold);
enum status local_consumer_commit(struct log_consumer *consumer, const struct log_mark *marks, size_t count,
                                  struct err *err);
enum status local_consumer_committed(struct log_consumer *consumer, struct log_mark *mark, struct err *err);
bool local_consumers_ready(const struct local_log *log); /* may a poll give something right now? */

/* ---- groups (log_local_group.c) ---- */

/* A consumer's membership of a group, through groups.db. */
struct local_member {
	struct log_membership membership;
	const char *group, *topic, *instance; /* the consumer's */
	int session_timeout_ms;
	struct local_lock alive; /* fd -1 while it is no member */
	uint32_t changes_seen;
	int64_t looked_us; /* 0: never */
	enum status told;  /* of the tries to join since the last that did; OK: nothing */
};

/* Looks at the group if it changed or was not looked at for a while. True: *event says something; its partitions point into
 * *group, which the caller frees (log_group_fini) in any case. */
bool local_member_step(struct local_log *log, struct local_member *member, struct log_event *event,
                       struct log_group *group);
void local_member_give_back(struct local_log *log, struct local_member *member);
void local_member_close(struct local_log *log, struct local_member *member, bool leave);
enum status local_member_commit(struct local_log *log, struct local_member *member, bool joined,
                                const struct log_mark *marks, size_t count, struct err *err);
enum status local_committed(struct log *log, const char *group, const char *topic, struct log_mark *mark,
                            struct err *err);
enum status local_group_delete(struct log *log, const char *group, struct err *err);
enum status local_groups_forget(struct local_log *log, const char *topic,
                                struct err *err); /* its marks, in all groups */
void local_groups_close(struct local_log *log);

#endif
