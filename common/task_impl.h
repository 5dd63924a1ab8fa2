/* task_impl: what task.c, task_file.c (the file), task_fold.c (the fold) and task_letters.c share. Nobody else includes it. */
#ifndef TANDEM_TASK_IMPL_H
#define TANDEM_TASK_IMPL_H

#include "bytes.h"
#include "header.h"
#include "rows.h"
#include "task.h"

#define GAP_UNKNOWN_PARTITION (-1)
#define GAP_FORGED_PARTITION  (-2)

enum headers_form { HEADERS_COMPACT, HEADERS_CLOUDEVENTS };

struct streams {
	struct task_stream *items;
	bool *dirty;
	size_t count, room;
};

struct gap_row {
	bool dirty, gone; /* gone: to be deleted from the file */
};

struct topic {
	const char *name;
	int32_t partitions;
	enum headers_form form;
};

struct accepts { /* one writer schema that a handler takes */
	uint64_t fingerprint;
	const struct service_handler *handler;
};

struct task {
	const struct service *service;
	int32_t partition;
	struct store *store;
	struct arena names; /* lives as long as the task */
	char *full_input, *dead_letter_topic;
	struct header_stream own; /* what every output's header has in common */
	char *ce_source, *ce_id;  /* of CloudEvents; ce_id up to the offset. NULL before the first that needs them */

	/* meta */
	bool has_genesis, single_replica;
	uint8_t installation[16];
	struct seal seal;            /* opened with the genesis, or with the file that has it */
	const struct secret *secret; /* NULL: none was given */
	struct task_position position;
	int64_t stream_time_ms;
	int64_t counts[TASK_VERDICTS];
	char *mark;
	struct topic *topics;
	size_t topic_count;
	struct streams inbound, outbound;
	struct task_gap *gaps;
	struct gap_row *gap_rows;
	size_t gap_count, gap_room;
	bool topics_dirty;

	const char **row_tables; /* the service's, and behind them those of letters */
	size_t row_table_count;
	struct rows *rows;              /* of row_tables */
	int64_t held_count, held_bytes; /* publisher's records that wait behind a dead letter of their key */
	struct store_statement *put_meta, *put_topic, *put_inbound, *put_outbound, *put_gap, *delete_gap, *put_keyed;

	struct accepts *accepts;
	size_t accept_count;

	/* the record being folded */
	struct arena decoded, emitted;
	struct buf encoded; /* an output's value, before it is copied where it stays */
	struct task_output *outputs;
	size_t output_count, output_room;
	struct err rejection;
};

struct fold {
	struct task *task;
	const struct log_record *record;
	int32_t source_partition; /* -1: a publisher's */
	int64_t stream_time_ms;
	size_t first_output; /* of the event being handled: a record may let others go on */
};

struct task_stream *streams_get(struct streams *streams, const char *name, int32_t partition); /* NULL: none yet */
struct task_stream *streams_put(struct task *task, struct streams *streams, const char *name, int32_t partition);
void streams_touch(struct streams *streams, const struct task_stream *stream);
const struct topic *task_topic(const struct task *task, const char *name);

/* Both only add: there is none such yet. */
void task_add_topic(struct task *task, const char *name, int32_t partitions, enum headers_form form);
struct task_gap *task_add_gap(struct task *task, const char *service, int32_t partition);

enum status task_take_genesis(struct task *task, const struct genesis *genesis, struct err *err);

/* The stream's gap row, new (count 0) where there is none; to be written at the next commit. */
struct task_gap *task_gap_put(struct task *task, const char *service, int32_t partition);
/* inbound has reached this number: a gap up to it is closed. */
void task_gap_close(struct task *task, const char *service, int32_t partition, uint64_t number);

bool task_owns(const struct task *task, const void *key, size_t len);

/* A publisher's record: applied, or REJECT with nothing changed. */
enum status task_fold_publisher(struct fold *fold, struct err *err);
/* Sends the record as a dead letter, and says which number it has. */
uint64_t task_send_letter(struct fold *fold, const struct err *why);

/* ---- task_file.c ---- */

/* Opens or makes the file, checks that it is this task's, and reads all but the service's rows. */
enum status task_open_file(struct task *task, const struct task_config *config, struct err *err);
/* Is it the file that is at fault: unreadable, or rows that contradict each other? */
bool task_blames_file(const struct err *err);
/* Says what to do about it, where FATAL is the file's fault. Returns status. */
enum status task_file_advice(enum status status, struct err *err);

/* ---- task_letters.c: dead letters that come back, and what waits behind them ---- */

#define TASK_LETTER_TABLES 3
extern const char *const task_letter_tables[TASK_LETTER_TABLES];
size_t task_letter_table_count(const struct service *service); /* the first ones of them */

/* A publisher's record with a `tandem-redrive` header, or of a service that holds. REJECT: it is to be a dead letter that nobody
 * waits for; one that somebody does was sent. */
enum status task_fold_letter(struct fold *fold, enum task_verdict *verdict, struct err *err);
struct letter_discarded;
enum status task_discard_letter(struct fold *fold, const struct letter_discarded *event, struct err *err);

#endif
