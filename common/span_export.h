/* span_export: spans to an OpenTelemetry collector, by OTLP over HTTP in JSON, in a thread of its own.
 *
 * Whoever puts a span never waits: not for the collector, and not for a lock, since there is none between the two threads:
 * a ring of SPAN_EXPORT_ROOM places, one writer, one reader. Where it is full the span is dropped and counted. The thread
 * looks at the ring four times a second, and sends what is there when it is a batch, or waited half a second.
 *
 * A batch that the collector cannot take now (no connection, no answer in time, status 429, 502, 503, 504: OTLP 1.x, "retryable")
 * is tried again a few times, with growing pauses; one that it refuses is dropped. What was dropped is said in the log when it
 * begins and then at most once a minute, with the count; so is an outage, when it begins and when it ends. Spans are never
 * worth more than that: nothing here can fail its caller. */
#ifndef TANDEM_SPAN_EXPORT_H
#define TANDEM_SPAN_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "logging.h"
#include "otlp.h"
#include "seam.h"
#include "span.h"

#define SPAN_EXPORT_ROOM  8192
#define SPAN_EXPORT_BATCH 512

struct span_export_config {
	const char *url;            /* the whole of it: http://localhost:4318/v1/traces */
	const char *const *headers; /* "Name: value" */
	size_t header_count;
	struct otlp_source source; /* copied */
	struct logging *logging;   /* NULL: says nothing. Used by the thread */
	const struct seam *seam;   /* for how often things are said; used by the thread */
	int timeout_ms;            /* of a request. 0: 10000 */
	int flush_ms;              /* at most so long span_export_close waits for the collector. 0: 5000 */
	int pause_ms;              /* before the first try again, doubled at each. 0: 1000 */
	int tick_ms;               /* between two looks at the ring. 0: 250 */
};

struct span_export;

/* Starts the thread. On OK *out is the caller's: span_export_close. REJECT: no such URL, no such header. */
enum status span_export_open(const struct span_export_config *config, struct span_export **out, struct err *err);

/* Sends what is left, for flush_ms (and up to a second until curl looks); what is left then is dropped, counted and said.
 * NULL is fine. */
void span_export_close(struct span_export *export);

/* From one thread. Copied. */
void span_export_put(struct span_export *export, const struct span *span);

struct span_export_counts {
	int64_t taken;    /* by the collector */
	int64_t full;     /* dropped: there was no room */
	int64_t refused;  /* dropped: the collector did not want them */
	int64_t given_up; /* dropped: it did not answer */
};

/* From any thread. */
void span_export_counts(const struct span_export *export, struct span_export_counts *out);

#endif
