#include "traces.h"

#include "bytes.h"
#include "publish.h"

#include <string.h>

void traces_init(struct traces *traces, const struct traces_config *config, const struct seam *seam)
{
	*traces = (struct traces){.config = *config, .clock = {.seam = seam}};
}

/* Trace and span; ids of zeros are none. */
static void make_ids(struct traces *traces, const char *name)
{
	uint64_t numbers[3];
	if (traces->config.ids == TRACES_SEED) {
		uint64_t hash = publish_hash(traces->config.seed, name);
		for (uint64_t i = 0; i < 3; i++)
			numbers[i] = publish_mix(hash, i);
	} else {
		seam_random(traces->clock.seam, numbers, sizeof numbers);
	}
	be64_put(traces->trace.id, numbers[0]);
	be64_put(traces->trace.id + 8, numbers[1] ? numbers[1] : 1);
	traces->trace.span = numbers[2] ? numbers[2] : 1;
	traces->trace.sampled = true;
}

bool traces_begin(struct traces *traces, const char *name, struct log_header *header)
{
	traces->begun = publish_chosen(traces->config.seed, name, traces->config.one_in);
	if (!traces->begun)
		return false;
	make_ids(traces, name);
	header_trace_print(&traces->trace, traces->text);
	*header = (struct log_header){HEADER_TRACE, {traces->text, (int32_t)strlen(traces->text)}};
	traces->begun_us = trace_now_us(&traces->clock);
	return true;
}

void traces_sent(struct traces *traces, const char *full_topic, const struct log_record *record,
                 const struct event_type *type)
{
	if (!traces->begun || !traces->config.export || !trace_chosen(traces->trace.id, traces->config.export_one_in))
		return;
	struct span span = {
		.id = traces->trace.span,
		.kind = SPAN_PRODUCER,
		.start_us = traces->begun_us,
		.end_us = trace_now_us(&traces->clock),
		.topic = full_topic,
		.partition = record->partition,
		.offset = -1,
		.event = type->name,
	};
	memcpy(span.trace, traces->trace.id, sizeof span.trace);
	span_set_key(&span, &record->key);
	span_export_put(traces->config.export, &span);
}
