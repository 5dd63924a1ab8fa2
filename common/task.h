/* task: the deterministic fold of one partition into one SQLite file. It has no input or output of its own: it is given
 * records, in order, and says what they give: rows in its file, and outputs, numbered and chained, for its caller to send.
 *
 * The same records give the same rows and the same outputs, whoever folds them and however they were batched: run, verify,
 * rebuild, resend and every test use this one function, task_fold.
 *
 * Everything the task knows is in its file and moves in one transaction: tables meta, topic, inbound, outbound, gap, letter, and
 * the service's own. What a handler does not touch (positions, numbers, hashes) is kept in memory between commits and written
 * by task_commit.
 *
 * After RETRY or FATAL from any call the task is spent: task_close it; nothing since the last commit is kept.
 * One task, one thread. */
#ifndef TANDEM_TASK_H
#define TANDEM_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "event.h"
#include "hash.h"
#include "log.h"
#include "seal.h"
#include "service.h"
#include "store.h"

struct genesis;
struct task;

/* Constants of logic version 1. A publisher's record over them is a dead letter ("too_large"). */
#define TASK_VALUE_BYTES_MAX   950000
#define TASK_KEY_BYTES_MAX     1024
#define TASK_HEADERS_BYTES_MAX 32768
#define TASK_HEADERS_MAX       256
/* Of a service that holds: what may wait behind dead letters; beyond it a record becomes one ("held_full"). */
#define TASK_HELD_A_KEY_MAX       64
#define TASK_HELD_A_KEY_BYTES_MAX (2 << 20) /* values and headers */
#define TASK_HELD_MAX             10000
#define TASK_HELD_BYTES_MAX       (64 << 20)

/* What a task holds of its file at most: three parts of rows, three of pages, one of a filter of keys. */
#define TASK_MEMORY_BYTES     (7 << 20)
#define TASK_MEMORY_BYTES_MIN (448 << 10)
#define TASK_FIXED_BYTES      (768 << 10) /* what it takes besides: a connection, statements, arenas */

struct task_config {
	const struct service *service;
	int32_t partition;
	const char *path;    /* NULL: in memory */
	bool scratch;        /* a throw-away file: no journal on disk, no fsync */
	bool full_sync;      /* synchronous=FULL */
	bool reverse;        /* reverse_unordered_selects, for tests */
	const char *vfs;     /* NULL: the default */
	size_t memory_bytes; /* of rows, keys and pages; 0: TASK_MEMORY_BYTES */
	size_t held_bytes; /* of rows alone, before they are written and forgotten; 0: what is theirs of memory_bytes */
	const char *
		full_input; /* the input topic's name with the namespace, for dead letters' headers; NULL: without one */
	const struct secret
		*secret; /* of the installation, where its chains are keyed; outlives the task. NULL: none */
};

/* Opens or creates the file. Refusals (FATAL): foreign_file (another service, topic or partition), other_tables,
 * unknown_version, secret (the file's chains are keyed and there is none, or the other way round), corrupt, ddl. RETRY: I/O. *out is the caller's: task_close. */
enum status task_open(const struct task_config *config, struct task **out, struct err *err);
void task_close(struct task *task);   /* what is not committed is gone. NULL is fine */
void task_abandon(struct task *task); /* the same as a crash does it: descriptors only */

enum task_verdict {
	TASK_APPLIED,
	TASK_REJECTED,       /* a publisher's: a dead letter is among the outputs */
	TASK_REPEAT,         /* at or below the last number of its stream: dropped */
	TASK_GAP,            /* above the next number: consumed, not applied */
	TASK_FORK,           /* the number fits, the chain does not: consumed, not applied */
	TASK_UNKNOWN_SOURCE, /* consumed, not applied */
	TASK_CONTROL,        /* genesis, logic version, a dead letter that is given up */
	TASK_HELD,           /* a publisher's: it waits behind a dead letter of its key */
	TASK_FORGED, /* keyed chains: it claims to be a worker's, a control record or a redrive and does not verify:
	                        consumed, counted, and nothing else */
	TASK_VERDICTS
};

const char *task_verdict_name(enum task_verdict verdict);

/* Folds the record at or behind the position. Opens a transaction if none is open. Outputs of the record before are
 * forgotten, this one's are in task_outputs. RETRY: store errors. FATAL: the record cannot be applied and is no publisher's. */
enum status task_fold(struct task *task, const struct log_record *record, enum task_verdict *verdict, struct err *err);

struct task_output {
	const char *topic; /* without the namespace; lives as long as the task */
	int32_t partition;
	uint64_t number, chain;
	struct log_record record;      /* key, value, headers, partition; lives until the next task_fold */
	const struct event_type *type; /* NULL for a dead letter */
	int64_t cause;                 /* offset of the record it comes of: the one just folded, or one that was held */
};

const struct task_output *task_outputs(const struct task *task, size_t *count);
const struct err *task_rejection(const struct task *task); /* why the last record was TASK_REJECTED */

bool task_is_open(const struct task *task);                  /* something is folded and not committed */
enum status task_commit(struct task *task, struct err *err); /* nothing open: does nothing */

/* ---- what it knows ---- */

struct task_position {
	int64_t next_offset; /* 0: nothing consumed yet, not even the genesis */
	int64_t last_offset; /* -1: none */
	uint64_t last_hash, input_hash, output_hash;
	int logic_version;
};

struct task_stream {
	const char *name; /* inbound: the service; outbound: the topic */
	int32_t partition;
	uint64_t number, chain;
};

struct task_gap {
	const char *service; /* "" for all unknown sources together, and for all that is forged */
	int32_t partition;   /* -1 and -2 there */
	uint64_t first_missing, highest;
	int64_t first_offset, count; /* count 0: closed since the last commit */
	enum task_verdict verdict;
};

void task_position(const struct task *task, struct task_position *out);
const struct task_stream *task_inbound(const struct task *task, size_t *count);
const struct task_stream *task_outbound(const struct task *task, size_t *count);
const struct task_gap *task_gaps(const struct task *task, size_t *count);
/* Records with this verdict since genesis. One that is held is counted under TASK_HELD for as long as it waits, and under
 * another from then on. */
int64_t task_count(const struct task *task, enum task_verdict verdict);
int64_t task_stream_time_ms(const struct task *task);
int32_t task_partition_count(const struct task *task, const char *topic); /* 0: unknown */
bool task_has_genesis(const struct task *task);
const uint8_t *task_installation(const struct task *task); /* 16 bytes; zeros before the genesis */
const struct seal *task_seal(const struct task *task);     /* the keys of its hashes; zeros before the genesis */
struct store *task_store(struct task *task);               /* to look at: all that was folded is in its tables */
const struct service *task_service(const struct task *task);

/* Is the log whose record 0 says this the one the file was folded from? FATAL foreign_log,
 * also where it names not all topics of the service. A fresh task takes any. */
enum status task_check_genesis(const struct task *task, const struct genesis *genesis, struct err *err);

/* The mark being caught up to, kept in the file until it is confirmed; "" for none. Set opens and commits a transaction. */
const char *task_mark(const struct task *task);
enum status task_set_mark(struct task *task, const char *mark, struct err *err);
void task_clear_mark(struct task *task); /* written with the next commit */

#endif
