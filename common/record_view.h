/* record_view: a record as it is shown to people and to programs: `replay`, `explain`, `audit`.
 *
 * Whatever a record's bytes are, they come out in a safe form: in lines, what is no printable UTF-8 is written as \xNN; in
 * JSON, what is no UTF-8 is an object {"hex": "..."}. Control characters are escaped in both, so nothing that is in a record
 * forges a line or drives a terminal. Headers of the protocol are decoded: `tandem` to service/partition/number/chain,
 * `tandem-redrive` to topic/partition/number@offset, the numbers of `kafka_dlt-original-*` to decimals. Pure functions, thread-safe. */
#ifndef TANDEM_RECORD_VIEW_H
#define TANDEM_RECORD_VIEW_H

#include <stdbool.h>

#include "bytes.h"
#include "event.h"
#include "header.h"
#include "json.h"
#include "log.h"
#include "mem.h"

struct record_view {
	const struct log_record *record; /* borrowed */
	const struct event_type *type;   /* NULL: no event of ours */
	const void *event;               /* decoded, in the arena; NULL: see why */
	const char *why;      /* event is NULL: "null", "not_an_event", "unknown_schema", "malformed"; else NULL */
	uint64_t fingerprint; /* of the writer's schema; 0: not_an_event or null */
	enum header_found numbered;
	struct header_stream stream; /* where numbered is HEADER_VALID */
	bool control;                /* it has the header `tandem-control` */
};

/* Looks at a record. Never fails: what cannot be decoded says why. */
void record_view(const struct log_record *record, struct arena *arena, struct record_view *out);

/* Whose writer schema the record's value was written with, without decoding it; NULL: no event of ours. */
const struct event_type *record_type(const struct log_record *record);

/* One line without a newline:
 *   orders/0@17 2026-11-23T04:27:40.123Z OrderPlaced "536365" {"order_id":"536365",...} name="value" ... */
void record_view_line(const struct record_view *view, const char *topic, struct buf *out);

/* As kcat -J: topic, partition, offset, tstype (as given), ts, key, headers (an array of pairs), payload; and type (the
 * event's name, null where it is none), with `error` (view->why) where payload is not decoded. A new reference. */
json_t *record_view_json(const struct record_view *view, const char *topic, const char *tstype);

/* The decoded event (view->event is not NULL) as compact JSON. */
void record_view_event(const struct record_view *view, struct buf *out);

/* The value of a header of the protocol, decoded. False: it is none, and nothing was put. */
bool record_view_header(const struct log_header *header, struct buf *out);

/* Bytes in quotes, safe: null is written null. */
void record_view_quoted(const struct log_bytes *bytes, struct buf *out);

/* The same in JSON: text, an object {"hex": "..."} where it is no UTF-8, or null. A new reference. */
json_t *record_view_bytes_json(const struct log_bytes *bytes);
/* The same without quotes; null is nothing. */
void record_view_safe(const struct log_bytes *bytes, struct buf *out);

/* Text without quotes, as safe. */
void record_view_text(const char *text, struct buf *out);

/* Compact JSON in UTF-8 without raw control characters (DEL and C1 too). Keeps the reference. */
void record_view_dump(const json_t *json, struct buf *out);

#endif
