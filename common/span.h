/* span: one step of a trace, as OpenTelemetry understands it: a record that was handled, or one that was sent.
 *
 * A plain value without anything to free: texts are static or outlive whoever exports it, but for the key, which is cut. */
#ifndef TANDEM_SPAN_H
#define TANDEM_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define SPAN_TRACE_BYTES 16
#define SPAN_KEY_ROOM    65 /* an order_id, receipt_id or sku, and a NUL */

enum span_kind { SPAN_PRODUCER = 4, SPAN_CONSUMER = 5 }; /* OTLP's numbers */

struct span {
	uint8_t trace[SPAN_TRACE_BYTES];
	uint64_t id, parent; /* parent 0: the trace begins here */
	enum span_kind kind;
	int64_t start_us, end_us; /* since 1970 */
	const char *topic;        /* with its namespace */
	int32_t partition;
	int64_t offset;      /* -1: not known */
	const char *event;   /* the event's name; NULL: not known */
	const char *verdict; /* what came of a consumed record; NULL: does not apply */
	const char *error;   /* a reason code; NULL: none */
	char key[SPAN_KEY_ROOM];
};

/* Keeps what fits of a record's key; what is no printable ASCII becomes '?'. */
static inline void span_set_key(struct span *span, const struct log_bytes *key)
{
	size_t len = key->len > 0 ? (size_t)key->len : 0;
	if (len > SPAN_KEY_ROOM - 1)
		len = SPAN_KEY_ROOM - 1;
	for (size_t i = 0; i < len; i++) {
		char c = ((const char *)key->data)[i];
		span->key[i] = c >= 0x20 && c <= 0x7e ? c : '?';
	}
	span->key[len] = 0;
}

#endif
