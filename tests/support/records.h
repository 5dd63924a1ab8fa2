/* records: one task in memory, the records that are folded into it, and what comes out. No log, no broker.
 *
 * The installation has two partitions of `orders` and four of `inventory`. Every record that was folded is kept: records_end
 * folds them all again into a fresh task, with reverse_unordered_selects turned over and a COMMIT behind every record, and
 * fails the test unless every table and the output hash are the same. So each test is a test of determinism as well. */
#ifndef TANDEM_TESTS_RECORDS_H
#define TANDEM_TESTS_RECORDS_H

#include "events.h"
#include "folder.h"
#include "header.h"
#include "log.h"
#include "task.h"

#define RECORDS_ORDER_PARTITIONS     2
#define RECORDS_INVENTORY_PARTITIONS 4

struct records_peer { /* the stream of a service that the task reads from */
	char service[HEADER_SERVICE_MAX + 1];
	int32_t partition;
	uint64_t number, chain; /* of the last event made */
};

struct records {
	const struct service *service;
	int32_t partition;
	const char *path; /* NULL: in memory; else in a folder of its own */
	struct folder folder;
	bool reverse;
	struct task *task;
	struct arena arena; /* whatever is made for the test */
	struct log_record *folded;
	size_t folded_count;
	int64_t offset, time_ms; /* of the next record; a test may move both forward */
	struct records_peer peers[16];
	size_t peer_count;
	struct err err;              /* of the last fold that failed */
	const struct secret *secret; /* the installation's chains are keyed with it; NULL: public */
	struct seal seal;
};

extern const uint8_t records_installation[HASH_KEY_BYTES]; /* 00 01 02 ... 0f */

/* Opens a task of the service and folds the genesis. TANDEM_REVERSE in the environment turns unordered SELECTs over. */
void records_begin(struct records *records, const char *service, int32_t partition);
/* A service of the test's own; in a file, which goes with the records: for records_reopen and records_edit. */
void records_begin_service(struct records *records, const struct service *service, int32_t partition);
void records_begin_file(struct records *records, const struct service *service, int32_t partition);
/* The same in an installation whose chains are keyed. The secret outlives the records. */
void records_begin_keyed(struct records *records, const char *service, int32_t partition, const struct secret *secret);
void records_end(struct records *records);    /* the second fold; closes */
void records_drop(struct records *records);   /* closes without it */
void records_reopen(struct records *records); /* a file: closes, opens, and forgets what was not committed */
void records_edit(struct records *records, const char *sql); /* the same, with a change of the file in between */

/* The genesis of this test installation, for topic and partition. */
void records_genesis(struct genesis *out, const char *topic, int32_t partition);

/* Makes records: all but offset and timestamp, which records_fold sets. */
struct log_record records_publisher(struct records *records, const struct event_type *type, const void *event);
/* An order of one line: its id begins with A and belongs to this partition, as records_id has it. */
const char *records_order_id(struct records *records, int from);
struct order_placed records_order_placed(struct records *records, const char *order_id);
struct log_record records_order(struct records *records, int from);
struct log_record records_control(struct records *records, const struct event_type *type, const void *event);
/* The next event of the stream from service/source to this task, numbered and chained. */
struct log_record records_numbered(struct records *records, const char *service, int32_t source, const char *key,
                                   const struct event_type *type, const void *event);
/* A record with these headers behind its own. */
struct log_record records_with_header(struct records *records, const struct log_record *record, const char *name,
                                      const void *value, size_t len);
/* The same record with another `tandem` header. */
struct log_record records_restreamed(struct records *records, const struct log_record *record,
                                     const struct header_stream *stream);
struct records_peer *records_peer(struct records *records, const char *service, int32_t source);

/* Folds. _fold fails the test unless the status is OK; _refused expects FATAL and gives the code; the task is spent then. */
enum task_verdict records_fold(struct records *records, const struct log_record *record);
const char *records_refused(struct records *records, const struct log_record *record);
enum status records_try(struct records *records, const struct log_record *record, enum task_verdict *verdict);

enum task_verdict records_publish(struct records *records, const struct event_type *type, const void *event);
enum task_verdict records_send(struct records *records, int32_t source, const char *key, const struct event_type *type,
                               const void *event); /* from the service's only source */

/* What the last record gave. _output fails the test unless output i is of this type, and gives its event. */
size_t records_output_count(const struct records *records);
const struct task_output *records_raw_output(const struct records *records, size_t index);
const void *records_output(struct records *records, size_t index, const struct event_type *type);

/* One integer; the open transaction is seen. */
int64_t records_number(struct records *records, const char *sql);

/* "prefix-N" for the smallest N >= from whose key belongs to this partition of so many. */
const char *records_id(struct records *records, const char *prefix, int from, int32_t partition, int32_t count);

/* Every table of the task's own and the service's as text, for comparing. */
const char *records_dump(struct records *records);

#endif
