/* service: what a worker is. A const description and its handlers, in one file of consumers/; the runtime gives it run,
 * verify, rebuild, status and resend.
 *
 * A handler is a pure function of its tables, the event and stream time. It reads and writes its tables a row at a time, by
 * the row's whole key, emits events, and returns
 *   OK      applied; what it emitted goes out
 *   REJECT  (fold_reject) a publisher's event that is wrong: all it did is undone, a dead letter goes out. From a
 *           numbered event this halts the task
 *   FATAL   a numbered event that does not fit: the task halts, nothing of it is committed
 *   RETRY   only passed on from the store
 * No clock, no random, no floating point.
 *
 * A worker has one thread, and calls a handler for one event at a time; several workers of a process may call it beside each
 * other for tasks of their own, so it keeps nothing in variables that outlive it. It blocks on its own file alone. The event,
 * and all it points to, is the runtime's until the handler has returned. The description and all it points to is never freed. */
#ifndef TANDEM_SERVICE_H
#define TANDEM_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "event.h"
#include "mem.h"
#include "store.h"

struct fold; /* what a handler may ask for while it handles one event */

struct service_handler {
	const struct event_type *type; /* its origin says whether it must come numbered */
	enum status (*handle)(struct fold *fold, const void *event, struct err *err);
};

struct service_source {
	const char *service; /* whose numbered events it takes */
	const char *input;   /* that service's input topic (its partition count is the count of source partitions) */
};

struct service {
	const char *name;    /* goes into every chain hash and never changes */
	const char *summary; /* one line for --help */
	const char *input;   /* the topic it folds */
	const struct service_source *sources;
	size_t source_count;
	const char *const *outputs; /* topics it writes to, without its dead-letter topic */
	size_t output_count;
	int logic_version; /* the newest this binary knows; it knows all from 1 */
	/* A publisher's event that was rejected: do later ones with its key wait, in order, until it was redriven and taken, or
	 * discarded? Else they go on without it. Part of the logic version. */
	bool holds_rejected_keys;
	/* CREATE TABLE ... STRICT, one statement each; the PRIMARY KEY is the first columns. */
	const char *const *tables;
	size_t table_count;
	const struct service_handler *handlers;
	size_t handler_count;
};

/* Rows of service->tables[table]: an array of values, one a column, in their order (store.h). The key are the first of them.
 * *row: lives until the handler returns; NULL: there is no row with this key. What is put takes the place of the row with its
 * key, and is copied. To delete what is not there is no error. RETRY and FATAL, from the store, are passed on; a value that
 * its column cannot hold is a programmer's error: FATAL, the task halts. */
enum status fold_get(struct fold *fold, size_t table, const struct store_value *key, const struct store_value **row,
                     struct err *err);
enum status fold_put(struct fold *fold, size_t table, const struct store_value *row, struct err *err);
enum status fold_delete(struct fold *fold, size_t table, const struct store_value *key, struct err *err);

/* Values. Text and blobs stay where they are until the call they are passed to has returned. */
static inline struct store_value value_int(int64_t number)
{
	return (struct store_value){.kind = STORE_INT, .number = number};
}

static inline struct store_value value_blob(const void *bytes, size_t len)
{
	return (struct store_value){.kind = STORE_BLOB, .len = (uint32_t)len, .bytes = bytes};
}

static inline struct store_value value_null(void)
{
	return (struct store_value){.kind = STORE_NULL};
}

struct store_value value_text(const char *text);
/* An identifier (order_id, ...): kept as text, or in 16 bytes where it is a UUID in canonical lower-case form; its column is of
 * type ANY. */
struct store_value value_id(struct fold *fold, const char *id);

int64_t fold_stream_time_ms(const struct fold *fold); /* highest broker timestamp accepted, this record's included */
int64_t fold_offset(const struct fold *fold);         /* of the record being handled */
int32_t fold_partition(const struct fold *fold);
int32_t fold_source_partition(const struct fold *fold); /* of a numbered event; -1 for a publisher's */
struct arena *fold_arena(struct fold *fold);            /* lives until the handler has returned */
/* What a later event with the same key is compared with: is it a repeat, or does it say something else? A number to keep in a
 * row; the same for every form of the same content, in this installation (event.h). */
uint64_t fold_content_hash(const struct fold *fold, const struct event_type *type, const void *event);

/* The partition of a topic of the installation that owns the key: murmur2 over the pinned count. -1: there is no such topic. */
int32_t fold_partition_of(const struct fold *fold, const char *topic, const char *key);

/* Does this partition own the key (murmur2 over the pinned count of the input topic)? */
bool fold_owns(const struct fold *fold, const char *key);

/* Emits an event to a partition of one of service->outputs, after all earlier ones. Key and event are copied. A schema that cannot
 * hold it is a programmer's error: FATAL, the task halts. Nothing goes out before the handler has returned OK. */
enum status fold_emit(struct fold *fold, const char *topic, int32_t partition, const char *key,
                      const struct event_type *type, const void *event, struct err *err);

/* return fold_reject(err, "conflict", "..."). The code has static storage; docs/dead-letters.md lists the handlers'. */
#define fold_reject(err, code, ...) err_set((err), REJECT, (code), __VA_ARGS__)

/* 1 to 64 printable ASCII bytes (0x20 to 0x7e: real stock codes have spaces): order_id, receipt_id, sku. */
bool service_id_valid(const char *id);

#endif
