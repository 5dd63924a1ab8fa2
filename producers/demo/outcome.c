#include "demo.h"

#include "events.h"
#include "header.h"
#include "log.h"
#include "seam.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outcome {
	int64_t confirmed, rejected, cancelled, unknown_sku, insufficient, repeats, other;
	int64_t confirmed_minor, returned_minor;
	size_t story_partitions; /* the more shortages, the better a story */
};

static void note_rejected(struct demo *demo, struct outcome *outcome, const struct order_rejected *event)
{
	outcome->rejected++;
	if (event->reason == REJECT_REASON_UNKNOWN_SKU)
		outcome->unknown_sku++;
	else
		outcome->insufficient++;
	if (outcome->story_partitions == 0 && event->shortages.count >= 1) {
		outcome->story_partitions = event->shortages.count;
		snprintf(demo->story, sizeof demo->story, "%s", event->order_id);
	}
}

static void note_cancelled(struct outcome *outcome, const struct order_cancelled *event)
{
	outcome->cancelled++;
	if (event->was != CANCELLED_FROM_CONFIRMED)
		return;
	outcome->returned_minor += event->total_minor;
}

static void note_record(struct demo *demo, struct outcome *outcome, const struct log_record *record,
                        struct arena *arena)
{
	union {
		struct order_confirmed confirmed;
		struct order_rejected rejected;
		struct order_cancelled cancelled;
	} event;
	uint64_t writer;
	const uint8_t *body;
	size_t len;
	if (record->value.len < 0 || !event_split(record->value.data, (size_t)record->value.len, &writer, &body, &len))
		return;
	const struct event_type *type = event_type_of_writer(writer);
	if ((type != &order_confirmed_type && type != &order_rejected_type && type != &order_cancelled_type) ||
	    event_decode(type, writer, body, len, arena, &event, NULL) != OK) {
		outcome->other++;
	} else if (type == &order_confirmed_type) {
		outcome->confirmed++;
		outcome->confirmed_minor += event.confirmed.total_minor;
	} else if (type == &order_rejected_type) {
		note_rejected(demo, outcome, &event.rejected);
	} else {
		note_cancelled(outcome, &event.cancelled);
	}
}

/* A reader who drops repeats needs one number a source: the last it took. */
static enum status read_partition(struct demo *demo, struct log *log, int32_t partition, struct outcome *outcome,
                                  struct err *err)
{
	struct log_reader *reader;
	struct arena arena = {0};
	uint64_t last = 0;
	enum status status = log_reader_open(log, "order-events", partition, 0, &reader, err);
	while (status == OK) {
		const struct log_record *record;
		struct header_stream stream;
		status = log_reader_next(reader, 0, &record, err);
		if (status != OK || !record)
			break;
		if (header_stream_parse(record, &stream) != HEADER_VALID)
			continue;
		if (stream.number != last + 1) {
			outcome->repeats++;
			continue;
		}
		last = stream.number;
		note_record(demo, outcome, record, &arena);
		arena_reset(&arena);
	}
	if (status == OK)
		log_reader_close(reader);
	arena_fini(&arena);
	return status;
}

static enum status count_records(struct log *log, int64_t *count, struct err *err)
{
	struct arena arena = {0};
	const char **names;
	size_t name_count;
	enum status status = log_topic_list(log, &arena, &names, &name_count, err);
	for (size_t i = 0; i < name_count && status == OK; i++) {
		struct log_topic topic;
		status = log_topic_describe(log, names[i], &arena, &topic, err);
		for (int32_t p = 0; p < topic.partitions && status == OK; p++) {
			int64_t low, high = 0;
			status = log_bounds(log, names[i], p, &low, &high, err);
			*count += high;
		}
	}
	arena_fini(&arena);
	return status;
}

static void print_outcome(const struct demo *demo, const struct outcome *outcome, int64_t records)
{
	double seconds = (double)(seam_monotonic_us(&seam_system) - demo->start_us) / 1e6;
	printf("orders confirmed   %8" PRId64 "   %9" PRId64 ".%02" PRId64 " GBP in all\n", outcome->confirmed,
	       outcome->confirmed_minor / 100, outcome->confirmed_minor % 100);
	printf("orders rejected    %8" PRId64 "   too little stock %" PRId64 ", unknown SKU %" PRId64 "\n",
	       outcome->rejected, outcome->insufficient, outcome->unknown_sku);
	printf("orders cancelled   %8" PRId64 "   %9" PRId64 ".%02" PRId64 " GBP of it given back\n",
	       outcome->cancelled, outcome->returned_minor / 100, outcome->returned_minor % 100);
	printf("events             %8" PRId64 "   in all logs, %.0f a second over %.1f s, %" PRId64
	       " repeats on order-events\n",
	       records, (double)records / seconds, seconds, outcome->repeats);
}

bool demo_outcome(struct demo *demo)
{
	struct err err = {0};
	struct log *log;
	struct outcome outcome = {0};
	int64_t records = 0;
	const struct log_config config = {.seam = &seam_system,
	                                  .name_space = demo->name_space,
	                                  .settings = demo->config->settings,
	                                  .setting_count = demo->config->setting_count};
	demo_say("The outcome, as anybody reads it from order-events.");
	enum status status = log_open(demo->log_url, &config, &log, &err);
	if (status != OK) {
		fprintf(stderr, "tandem demo: %s\n", err.text);
		return false;
	}
	int32_t partitions = (int32_t)strtol(demo->partitions, NULL, 10);
	for (int32_t p = 0; p < partitions && status == OK; p++)
		status = read_partition(demo, log, p, &outcome, &err);
	if (status == OK)
		status = count_records(log, &records, &err);
	log_close(log);
	if (status != OK) {
		fprintf(stderr, "tandem demo: reading order-events: %s\n", err.text);
		return false;
	}
	print_outcome(demo, &outcome, records);
	return true;
}
