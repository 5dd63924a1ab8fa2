/* tracer: the spans of a worker. For each record that is in a sampled trace one of kind CONSUMER, for each of its events one
 * of kind PRODUCER, so that a trace hangs together over all hops:
 *
 *   the record's traceparent names the span that sent it
 *     └─ process TOPIC   id: a hash of service, topic, partition and offset
 *          └─ send TOPIC    id: the one in the event's traceparent, which the fold has chosen (docs/wire.md)
 *
 * Both ids come from places in the log, so what is folded twice gives the same spans twice. The fold knows nothing of this:
 * the worker says what it did, and only of what goes out (not while it catches up). What a record that was held sends, later, is
 * below its own span, which has the verdict "held". A trace is sampled where its flag says so,
 * and of those one in one_in, chosen by the trace's id alone: every service chooses the same. A NULL tracer does nothing. One
 * thread. */
#ifndef TANDEM_TRACER_H
#define TANDEM_TRACER_H

#include "seam.h"
#include "span_export.h"
#include "task.h"

struct tracer_config {
	const struct seam *seam;
	struct log *log;            /* names topics; it must outlive the export */
	const char *service;        /* as in struct service; kept */
	const char *input;          /* its input topic; kept */
	struct span_export *export; /* borrowed */
	int64_t one_in;             /* >= 1 */
};

struct tracer;

struct tracer *tracer_new(const struct tracer_config *config);
void tracer_free(struct tracer *tracer); /* NULL is fine */

/* Before and behind task_fold; what it sends is told before the next record begins. */
void tracer_begin(struct tracer *tracer, const struct log_record *record);
void tracer_folded(struct tracer *tracer, const struct task *task, const struct log_record *record,
                   enum task_verdict verdict);
/* The producer has taken it. */
void tracer_sent(struct tracer *tracer, const struct task *task, const struct task_output *output);

/* Adds its family to the page of metrics; nothing without a tracer. */
void tracer_metrics(const struct tracer *tracer, struct buf *page);

/* ---- shared with publishers ---- */

/* Is this trace one of one in n? n >= 1. */
bool trace_chosen(const uint8_t trace[SPAN_TRACE_BYTES], int64_t n);

/* Microseconds since 1970, as fine as the monotonic clock; follows the wall clock where that jumps. */
struct trace_clock {
	const struct seam *seam;
	int64_t ahead_us; /* of the monotonic clock */
};
int64_t trace_now_us(struct trace_clock *clock);

#endif
