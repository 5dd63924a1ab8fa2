#include "view.h"

#include "genesis.h"
#include "hash.h"
#include "header.h"
#include "record_view.h"

#include <stdio.h>
#include <string.h>

static bool same_bytes(const struct log_bytes *a, const struct log_bytes *b)
{
	return a->len == b->len && (a->len <= 0 || memcmp(a->data, b->data, (size_t)a->len) == 0);
}

static bool same_record(const struct log_record *a, const struct log_record *b, bool headers_may_differ)
{
	if (!same_bytes(&a->key, &b->key) || !same_bytes(&a->value, &b->value))
		return false;
	if (headers_may_differ)
		return true;
	if (a->header_count != b->header_count)
		return false;
	for (size_t i = 0; i < a->header_count; i++)
		if (strcmp(a->headers[i].name, b->headers[i].name) != 0 ||
		    !same_bytes(&a->headers[i].value, &b->headers[i].value))
			return false;
	return true;
}

static void odd(struct view *view, const char *what, const char *topic, const struct log_record *record)
{
	if (!*view->odd && !view->strangers_may_be)
		snprintf(view->odd, sizeof view->odd, "%s/%d offset %lld: %s", topic, record->partition,
		         (long long)record->offset, what);
}

/* Which services write to a topic. A topic's dead letters are its reader's. */
static bool known_source(const struct world *world, int topic, const struct header_stream *stream, int *service)
{
	*service =
		topic == SIM_INVENTORIES || topic == SIM_EVENTS || topic == SIM_ORDERS_DLQ ? SIM_ORDER : SIM_INVENTORY;
	return topic != SIM_EVENTS_DLQ && strcmp(stream->service, world_service(*service)->name) == 0 &&
	       stream->partition >= 0 && stream->partition < world->plan.partitions[*service];
}

/* The hash that the event must carry as the next one of its stream. */
static uint64_t chain_of(const struct world *world, int topic, int service, const struct view_stream *last,
                         const struct header_stream *stream, const struct log_record *record)
{
	uint64_t fingerprint = 0, previous = last->chain;
	const uint8_t *body = record->value.data;
	size_t len = record->value.len > 0 ? (size_t)record->value.len : 0;
	bool dead_letter = topic == SIM_ORDERS_DLQ || topic == SIM_INVENTORIES_DLQ;
	if (!dead_letter)
		event_split(record->value.data, len, &fingerprint, &body, &len);
	if (!last->number)
		previous = hash_chain_start(world->seal.key, world_service(service)->name, stream->partition,
		                            world->topics[topic].name, record->partition);
	return hash_chain(world->seal.key, previous, stream->number, fingerprint, &record->key, body, len);
}

static void keep_copy(struct view *view, struct view_stream *stream, const struct log_record *record)
{
	uint64_t count = stream->number;
	if ((count & (count - 1)) == 0) {
		const struct log_record **copies = arena_alloc(&view->arena, 2 * (count + 1) * sizeof(void *));
		int64_t *offsets = arena_alloc(&view->arena, 2 * (count + 1) * sizeof *offsets);
		if (count) {
			memcpy(copies, stream->copies, count * sizeof(void *));
			memcpy(offsets, stream->offsets, count * sizeof *offsets);
		}
		stream->copies = copies;
		stream->offsets = offsets;
	}
	stream->copies[count] = record;
	stream->offsets[count] = record->offset;
}

static void decode(struct view *view, struct oracle_given *given)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	const struct log_bytes *value = &given->record->value;
	if (value->len < 0 || !event_split(value->data, (size_t)value->len, &fingerprint, &body, &len))
		return;
	const struct event_type *type = event_type_of_writer(fingerprint);
	if (!type)
		return;
	void *event = arena_alloc(&view->arena, type->size);
	if (event_decode(type, fingerprint, body, len, &view->arena, event, NULL) != OK)
		return;
	given->type = type;
	given->event = event;
}

static void take(struct view *view, struct view_log *log, const struct log_record *record, int32_t from)
{
	if ((log->count & (log->count - 1)) == 0) {
		struct oracle_given *more = arena_alloc(&view->arena, 2 * (log->count + 1) * sizeof *more);
		if (log->count)
			memcpy(more, log->taken, log->count * sizeof *more);
		log->taken = more;
	}
	struct oracle_given *given = &log->taken[log->count++];
	*given = (struct oracle_given){.from = from, .record = record};
	decode(view, given);
}

/* Of control records only these say something that a fold needs. */
static void take_discard(struct view *view, struct view_log *log, const struct log_record *record)
{
	if (record_type(record) != &letter_discarded_type)
		return;
	take(view, log, record, -1);
	log->taken[log->count - 1].discarded = true;
}

static void take_numbered(struct world *world, struct view *view, int topic, const struct log_record *record,
                          const struct header_stream *stream)
{
	int service;
	const char *name = world->topics[topic].name;
	struct view_log *log = &view->logs[topic][record->partition];
	if (!known_source(world, topic, stream, &service)) {
		log->unknown++;
		return;
	}
	struct view_stream *last = &log->from[service][stream->partition];
	bool flipped = world->flipped[service][stream->partition];
	if (stream->number > last->highest)
		last->highest = stream->number;
	if (stream->number <= last->number) {
		if (!flipped && !same_record(last->copies[stream->number - 1], record, view->headers_may_differ))
			odd(view, "the same number with other bytes", name, record);
		return;
	}
	if (stream->number != last->number + 1)
		return; /* too early: it must come again */
	uint64_t chain = chain_of(world, topic, service, last, stream, record);
	if (chain != stream->chain) {
		if (!flipped)
			odd(view, "the number fits and the chain does not: a fork", name, record);
		return;
	}
	keep_copy(view, last, record);
	last->number = stream->number;
	last->chain = chain;
	take(view, log, record, stream->partition);
}

static void read_record(struct world *world, struct view *view, int topic, const struct log_record *record)
{
	struct header_stream stream;
	struct view_log *log = &view->logs[topic][record->partition];
	struct log_record *copy = arena_alloc(&view->arena, sizeof *copy);
	log_record_copy(copy, record, &view->arena);
	if (!seal_holds(&world->seal, world->topics[topic].name, record->partition, record))
		return;
	if (genesis_is_control(record)) {
		take_discard(view, log, copy);
		return;
	}
	switch (header_stream_parse(record, &stream)) {
	case HEADER_NONE:
		take(view, log, copy, -1);
		return;
	case HEADER_VALID:
		take_numbered(world, view, topic, copy, &stream);
		return;
	default:
		log->unknown++;
		return;
	}
}

void view_read(struct world *world, struct view *view)
{
	/* The identity of an output is type, body and key; where an input has lost records its offset may be another. And what was
	 * made of a history that is gone may still stand there, as long as nobody takes it. */
	*view = (struct view){.headers_may_differ = world->plan.may[FAULT_TAIL],
	                      .strangers_may_be = world->plan.may[FAULT_TAIL_READ]};
	for (int t = 0; t < SIM_TOPICS; t++) {
		for (int32_t p = 0; p < world->topics[t].partitions; p++) {
			struct log_reader *reader;
			const struct log_record *record = NULL;
			struct err err = {0};
			enum status status = log_reader_open(world->log, world->topics[t].name, p, 0, &reader, &err);
			while (status == OK && (status = log_reader_next(reader, 0, &record, &err)) == OK && record)
				read_record(world, view, t, record);
			log_reader_close(reader);
			if (status != OK && !*view->odd)
				snprintf(view->odd, sizeof view->odd, "%s/%d cannot be read: %.200s",
				         world->topics[t].name, p, err.text);
		}
	}
}

void view_free(struct view *view)
{
	arena_fini(&view->arena);
}
