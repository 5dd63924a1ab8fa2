/* log: the one interface to records in partitions. Two implementations behind a URL:
 *
 *   kafka://host:port,...   librdkafka (log_kafka.c)
 *   local:DIR               one SQLite file a partition, shared by several processes (log_local.c)
 *   local::memory:          the same promises inside one process, for tests and the simulator (log_memory.c)
 *
 * What holds on every one of them, and is checked by tests/conformance:
 * - A partition is an ordered list of records; offsets grow, with holes allowed; a written record never changes.
 * - A record's timestamp is the log's own (append time) and never goes back within a partition.
 * - An acknowledged record is durable and is read by every reader from then on. Order of writing is order of log_produce
 *   for one producer and partition, but a failed one may be missing before a written one.
 * - Readers see committed records only.
 *
 * Topic and group names are given without the namespace; log_open's config holds it and it is put before each name here.
 * Names are Kafka's: 1 to 249 of [a-zA-Z0-9._-], none that begins with a dot.
 * A handle and everything opened from it belong to one thread at a time. Functions return a status (err.h); unless said
 * otherwise RETRY is a passing fault (code "timeout", "transport", "busy"), FATAL one that stays. Codes used here:
 *   unknown_topic, unknown_partition, out_of_range, topic_exists, not_authorized, authentication, too_large, queue_full,
 *   disk_full, group_busy, partition_count, fenced, timeout, transport, busy, io, corrupt, invalid, unsupported
 */
#ifndef TANDEM_LOG_H
#define TANDEM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"
#include "seam.h"

struct secret;

struct log;          /* a connection; owns a client or a folder */
struct log_consumer; /* reads assigned partitions of one topic, with or without a group */
struct log_producer; /* writes, and reports what became of each write */
struct log_reader;   /* reads one partition from an offset; no group, no side effect */
struct log_memory;   /* the records behind local::memory:, shared by several handles of one process */

struct log_setting {
	const char *name, *value;
};

struct log_config {
	const struct seam *seam;            /* required */
	const char *name_space;             /* NULL or "" for none; "NAME." is put before topics and groups */
	const struct log_setting *settings; /* librdkafka properties (-X), already checked; ignored by local: */
	size_t setting_count;
	const struct secret *secret; /* of the installation in it, where its chains are keyed; copied. NULL: none */
	struct log_memory *memory;   /* required for local::memory:, else NULL */
	int timeout_ms;              /* bound of every blocking call below; 0: 10000 */
};

/* Opens a log. On OK *out is the caller's: log_close. Does not wait for a broker: an unreachable one shows at first use. */
enum status log_open(const char *url, const struct log_config *config, struct log **out, struct err *err);
void log_close(struct log *log); /* NULL is fine. Everything opened from it must be closed before. */
bool log_is_local(const struct log *log);
const char *log_url(const struct log *log);
const struct secret *log_secret(const struct log *log);        /* NULL: none was given */
const char *log_full_name(struct log *log, const char *topic); /* with the namespace; valid until log_close */

/* What the client library says of itself every interval_ms, as JSON: for consumers and producers that are opened later, in the
 * thread that polls them. Borrowed until those are closed. On Kafka alone; the others say nothing. */
struct log_statistics {
	int interval_ms;
	void (*take)(void *arg, const char *json, size_t len);
	void *arg;
};
void log_set_statistics(struct log *log, const struct log_statistics *statistics);

/* Waits until a consumer or a producer of this handle may have something to report, at most timeout_ms (>= 0).
 * May return early. Never blocks longer. */
void log_wait(struct log *log, int timeout_ms);

/* ---- records ---- */

struct log_bytes {
	const void *data;
	int32_t len; /* -1: null, which is not the same as empty */
};

struct log_header {
	const char *name; /* NUL-terminated */
	struct log_bytes value;
};

struct log_record {
	int64_t offset;
	int64_t timestamp_ms;
	int32_t partition;
	struct log_bytes key, value;
	const struct log_header *headers; /* in the order they were written; names may repeat */
	size_t header_count;
};

/* A deep copy into the arena. */
void log_record_copy(struct log_record *out, const struct log_record *record, struct arena *arena);

/* ---- consuming ---- */

struct log_consumer_config {
	const char *topic;
	const char *group;         /* marks are kept under it, also with static partitions; required */
	const int32_t *partitions; /* NULL: join the group. Else: exactly these, without joining */
	size_t partition_count;
	const char *instance_id; /* static member, or NULL */
	int session_timeout_ms;  /* 0: the default, 45000 */
};

enum log_event_kind {
	LOG_NOTHING, /* nothing is there now */
	LOG_RECORD,  /* record; its memory lives until the next call on this consumer */
	LOG_END, /* everything of this partition up to now was delivered (may be repeated); offset = where it ends */
	LOG_ASSIGNED, /* the consumer now owns exactly partitions[]: answer with log_consumer_assign. Static partitions come
	                  so too, once, at the first poll */
	LOG_REVOKED, /* it owns none any more: answer with log_consumer_assign of nothing. lost: somebody else may own them */
	LOG_CHECK, /* the partition (-1: all) may have another leader or history: compare the last record, assign again */
	LOG_COMMITTED, /* what became of the group commit under way: status, err */
	LOG_FAILED,    /* this partition (-1: all) cannot be read: status, err (out_of_range, unknown_topic, ...) */
};

struct log_event {
	enum log_event_kind kind;
	int32_t partition;
	int64_t offset;
	struct log_record record;
	const int32_t *partitions; /* LOG_ASSIGNED: sorted; valid until the next call on this consumer */
	size_t partition_count;
	bool lost;
	enum status status;
	struct err err;
};

struct log_position {
	int32_t partition;
	int64_t offset; /* the first record to deliver; exact, never reset: out of range is LOG_FAILED */
	bool paused;    /* owned, not read */
};

struct log_mark {
	int32_t partition;
	int64_t offset;     /* -1: no offset is committed */
	char metadata[256]; /* NUL-terminated ASCII; "" where there is none */
};

enum status log_consumer_open(struct log *log, const struct log_consumer_config *config, struct log_consumer **out,
                              struct err *err);

/* Leaves the group (leave; a static member does not) or vanishes without a word, as a crash does. NULL is fine. */
void log_consumer_close(struct log_consumer *consumer, bool leave);

/* The next event, never waiting. A call also keeps the membership alive. */
void log_consumer_poll(struct log_consumer *consumer, struct log_event *event);

/* Replaces the whole assignment: afterwards nothing of an earlier one is delivered. count 0: reads nothing. */
enum status log_consumer_assign(struct log_consumer *consumer, const struct log_position *positions, size_t count,
                                struct err *err);

/* While held nothing is delivered but events other than LOG_RECORD and LOG_END; membership is kept alive by polling. */
void log_consumer_hold(struct log_consumer *consumer, bool hold);

/* Starts a group commit (offset and metadata); its result comes as one LOG_COMMITTED. Only one may be under way. Refused
 * ones (not the owner any more: "fenced"; static partitions while the group has members: "group_busy") come there too. */
enum status log_consumer_commit(struct log_consumer *consumer, const struct log_mark *marks, size_t count,
                                struct err *err);

/* What is committed for a partition of the consumer's topic. Blocks, bounded. */
enum status log_consumer_committed(struct log_consumer *consumer, struct log_mark *mark, struct err *err);

/* The same without a consumer; changes nothing, joins nothing. mark->partition is the question. Blocks, bounded. */
enum status log_committed(struct log *log, const char *group, const char *topic, struct log_mark *mark,
                          struct err *err);

/* ---- producing ---- */

struct log_ack {
	uint64_t token;
	enum status status; /* OK: durable, at offset. RETRY: it may or may not be there. FATAL: no retry cures it */
	int64_t offset;     /* -1 where unknown */
	struct err err;
};

enum status log_producer_open(struct log *log, struct log_producer **out, struct err *err);

/* A number for a topic, for log_produce. Never fails: what is wrong with the topic shows in the acknowledgement. */
int log_producer_topic(struct log_producer *producer, const char *topic);

/* Hands a record over (copied; offset and timestamp of record are ignored, its partition counts). One acknowledgement with
 * this token follows, in any order. RETRY "queue_full": nothing was taken, poll acknowledgements and call again. Never
 * waits. */
enum status log_produce(struct log_producer *producer, int topic, const struct log_record *record, uint64_t token,
                        struct err *err);
void log_producer_flush(struct log_producer *producer);                    /* a hint: do not linger. Never waits */
bool log_producer_ack(struct log_producer *producer, struct log_ack *ack); /* the next one, if any. Never waits */
size_t log_producer_pending(const struct log_producer *producer);          /* handed over, not acknowledged yet */
void log_producer_close(
	struct log_producer *producer); /* drops what waits; what was sent may still land. NULL is fine */

/* ---- reading without a group ---- */

enum status log_reader_open(struct log *log, const char *topic, int32_t partition, int64_t offset,
                            struct log_reader **out, struct err *err);

/* The next record at or behind the position; its memory lives until the next call. At the end (as of the last look)
 * *record is NULL and the status OK. Waits at most timeout_ms for a first record where it is at the end. */
enum status log_reader_next(struct log_reader *reader, int timeout_ms, const struct log_record **record,
                            struct err *err);
void log_reader_close(struct log_reader *reader);

/* The record at exactly this offset, copied into the arena; *found is false beyond the end and in a hole. Bounded. */
enum status log_read_at(struct log *log, const char *topic, int32_t partition, int64_t offset, struct arena *arena,
                        struct log_record *record, bool *found, struct err *err);

/* low: the first offset that is still there; high: the one the next record gets. Bounded. */
enum status log_bounds(struct log *log, const char *topic, int32_t partition, int64_t *low, int64_t *high,
                       struct err *err);

/* The first offset whose timestamp is at or after ms; the high watermark where there is none. Bounded. */
enum status log_offset_at(struct log *log, const char *topic, int32_t partition, int64_t ms, int64_t *offset,
                          struct err *err);

/* ---- topics ---- */

struct log_topic {
	const char *name; /* without the namespace */
	bool exists;
	int32_t partitions;
	int32_t replicas;
	bool settings_known; /* false: the right to read them is missing */
	const struct log_setting *settings;
	size_t setting_count;
};

/* Creates it with exactly these partitions and settings. "topic_exists" (REJECT) where it is there already. Bounded. */
enum status log_topic_create(struct log *log, const struct log_topic *topic, struct err *err);
/* Its marks go with it, in every group. unknown_topic is REJECT. */
enum status log_topic_delete(struct log *log, const char *name, struct err *err);
enum status log_topic_describe(struct log *log, const char *name, struct arena *arena, struct log_topic *out,
                               struct err *err); /* a topic that is not there: OK, exists false */
/* All topics of the namespace, sorted. With an empty namespace: all without a dot but for a last ".dlq". */
enum status log_topic_list(struct log *log, struct arena *arena, const char ***names, size_t *count, struct err *err);
/* With its marks. RETRY "group_busy" while it has members; a group that is not there: OK. */
enum status log_group_delete(struct log *log, const char *group, struct err *err);
enum status log_node_count(struct log *log, int *nodes, struct err *err); /* brokers; 1 for local: */

/* Writes records with their offsets (holes kept) and timestamps into an empty partition or behind its end: for a mirror.
 * Only local: and local::memory:; "unsupported" on Kafka. Durable on return. */
enum status log_import(struct log *log, const char *topic, int32_t partition, const struct log_record *records,
                       size_t count, struct err *err);

/* ---- keys ---- */

/* The partition of a key: murmur2 as Java clients do it. count > 0. */
int32_t log_partition_of(const void *key, size_t len, int32_t count);

/* librdkafka's version as 0xMMmmrrxx, as rd_kafka_version() has it (log_kafka_version.c). */
int log_kafka_version(void);

/* ---- local::memory: ---- */

struct log_memory *log_memory_new(const struct seam *seam);
void log_memory_free(struct log_memory *memory); /* every handle must be closed */

#endif
