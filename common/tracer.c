#include "tracer.h"

#include "bytes.h"
#include "event.h"
#include "hash.h"
#include "header.h"
#include "mem.h"
#include "metrics.h"

#include <string.h>

#define WALL_SLACK_US 2000 /* the wall clock is read in milliseconds */

struct tracer {
	struct tracer_config config;
	struct trace_clock clock;
	/* the record being handled */
	int32_t partition;
	bool sampled;
	struct header_trace trace;
	int64_t begun_us, folded_us; /* folded_us 0: it is in no sampled trace */
};

struct tracer *tracer_new(const struct tracer_config *config)
{
	struct tracer *tracer = mem_zalloc(1, sizeof *tracer);
	tracer->config = *config;
	tracer->clock.seam = config->seam;
	return tracer;
}

void tracer_free(struct tracer *tracer)
{
	mem_free(tracer);
}

int64_t trace_now_us(struct trace_clock *clock)
{
	int64_t monotonic = seam_monotonic_us(clock->seam), wall = seam_wall_ms(clock->seam) * 1000;
	int64_t now = monotonic + clock->ahead_us;
	if (now < wall - WALL_SLACK_US || now > wall + WALL_SLACK_US) {
		clock->ahead_us = wall - monotonic;
		now = wall;
	}
	return now;
}

/* The last 7 bytes are random in every generator's ids (W3C Trace Context, level 2). */
bool trace_chosen(const uint8_t trace[SPAN_TRACE_BYTES], int64_t n)
{
	const uint64_t random = be64_get(trace + SPAN_TRACE_BYTES - 8) & UINT64_C(0xffffffffffffff);
	return random < (UINT64_C(1) << 56) / (uint64_t)n;
}

static bool sampled(const struct tracer *tracer, const struct log_record *record, struct header_trace *trace)
{
	const struct log_header *header = header_find(record, HEADER_TRACE);
	return header && header_trace_parse(header, trace) && trace->sampled &&
	       trace_chosen(trace->id, tracer->config.one_in);
}

void tracer_begin(struct tracer *tracer, const struct log_record *record)
{
	if (!tracer)
		return;
	tracer->partition = record->partition;
	tracer->folded_us = 0;
	tracer->sampled = sampled(tracer, record, &tracer->trace);
	if (tracer->sampled)
		tracer->begun_us = trace_now_us(&tracer->clock);
}

/* Of the span that handles a record: H(K, service 00 topic 00 partition (4) offset (8)); never 0. */
static uint64_t span_of(const struct tracer *tracer, const struct task *task, int32_t partition, int64_t offset)
{
	struct buf place = {0};
	buf_put(&place, tracer->config.service, strlen(tracer->config.service) + 1);
	buf_put(&place, tracer->config.input, strlen(tracer->config.input) + 1);
	buf_put_be32(&place, (uint32_t)partition);
	buf_put_be64(&place, (uint64_t)offset);
	uint64_t id = hash_bytes(task_installation(task), place.data, place.len);
	buf_fini(&place);
	return id ? id : 1;
}

static const char *event_name(const struct log_record *record)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	if (record->value.len < 0 ||
	    !event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len))
		return NULL;
	const struct event_type *type = event_type_of_writer(fingerprint);
	return type ? type->name : NULL;
}

/* What is no success: the reason of a rejection, or the verdict itself. */
static const char *error_of(const struct task *task, enum task_verdict verdict)
{
	switch (verdict) {
	case TASK_REJECTED:
		return task_rejection(task)->code;
	case TASK_GAP:
	case TASK_FORK:
	case TASK_UNKNOWN_SOURCE:
	case TASK_FORGED:
		return task_verdict_name(verdict);
	default:
		return NULL;
	}
}

void tracer_folded(struct tracer *tracer, const struct task *task, const struct log_record *record,
                   enum task_verdict verdict)
{
	if (!tracer || !tracer->sampled)
		return;
	tracer->folded_us = trace_now_us(&tracer->clock);
	struct span span = {
		.id = span_of(tracer, task, record->partition, record->offset),
		.parent = tracer->trace.span,
		.kind = SPAN_CONSUMER,
		.start_us = tracer->begun_us,
		.end_us = tracer->folded_us,
		.topic = log_full_name(tracer->config.log, tracer->config.input),
		.partition = record->partition,
		.offset = record->offset,
		.event = event_name(record),
		.verdict = task_verdict_name(verdict),
		.error = error_of(task, verdict),
	};
	memcpy(span.trace, tracer->trace.id, sizeof span.trace);
	span_set_key(&span, &record->key);
	span_export_put(tracer->config.export, &span);
}

void tracer_sent(struct tracer *tracer, const struct task *task, const struct task_output *output)
{
	struct header_trace own;
	/* A dead letter keeps its record's traceparent. */
	if (!tracer || !output->type || !sampled(tracer, &output->record, &own))
		return;
	int64_t now_us = trace_now_us(&tracer->clock);
	struct span span = {
		.id = own.span,
		.parent = span_of(tracer, task, tracer->partition, output->cause),
		.kind = SPAN_PRODUCER,
		.start_us = tracer->folded_us ? tracer->folded_us : now_us,
		.end_us = now_us,
		.topic = log_full_name(tracer->config.log, output->topic),
		.partition = output->partition,
		.offset = -1,
		.event = output->type->name,
	};
	memcpy(span.trace, own.id, sizeof span.trace);
	span_set_key(&span, &output->record.key);
	span_export_put(tracer->config.export, &span);
}

void tracer_metrics(const struct tracer *tracer, struct buf *page)
{
	static const char name[] = "tandem_spans_total";
	struct span_export_counts counts;
	if (!tracer)
		return;
	span_export_counts(tracer->config.export, &counts);
	metrics_family(page, name, "counter", "Spans of traces: taken by the collector, or dropped, and why.");
	metrics_sample(page, name, counts.taken, METRICS_TEXT("result", "taken"));
	metrics_sample(page, name, counts.full, METRICS_TEXT("result", "no_room"));
	metrics_sample(page, name, counts.refused, METRICS_TEXT("result", "refused"));
	metrics_sample(page, name, counts.given_up, METRICS_TEXT("result", "given_up"));
}
