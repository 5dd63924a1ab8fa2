#include "history.h"

#include "event.h"
#include "header.h"
#include "mem.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HASH_BEGIN   0xcbf29ce484222325
#define SOURCES_MAX  64
#define NO_SOURCE    UINT32_MAX
#define NO_SEQUENCE  UINT64_MAX
#define NO_CAUSE     (-1)
#define WRITERS_MAX  16
#define UNKNOWN_NAME WRITERS_MAX

struct sending {
	char topic[HISTORY_TOPIC_MAX + 1];
	int32_t partition;
	uint64_t key; /* its hash */
	bool acknowledged;
	int64_t offset;
};

struct history_writer {
	char name[HISTORY_NAME_MAX + 1];
	struct sending *sendings; /* by sequence */
	size_t count, room;
	struct arena ids;
};

struct seen {
	int64_t offset;
	uint64_t hash; /* of all of it */
	uint64_t sequence;
	uint32_t writer; /* index; UNKNOWN_NAME: nobody's; sequence NO_SEQUENCE: it has no id */
	uint32_t source; /* index into the view's; NO_SOURCE: not numbered */
	uint64_t number;
	uint64_t event;   /* hash of type and key: what it is about */
	uint64_t content; /* and of its body and chain */
	int64_t cause_offset, cause_index;
	int64_t placed_at; /* where the reader was placed before it read this; -1: it came from the one before */
};

struct source {
	char service[HEADER_SERVICE_MAX + 1];
	int32_t partition;
};

struct history_view {
	struct history *history;
	char reader[HISTORY_NAME_MAX + 1], topic[HISTORY_TOPIC_MAX + 1];
	int32_t partition;
	int64_t from, next, end; /* end -1: not known to have come to it */
	int64_t placed_at;       /* -1: it goes on behind the last one */
	bool placed_ever;
	struct seen *seen;
	size_t count, room;
	struct source sources[SOURCES_MAX];
	uint32_t source_count;
};

struct history {
	struct history_writer *writers[WRITERS_MAX];
	size_t writer_count;
	struct history_view **views;
	size_t view_count;
};

static const char *const names[HISTORY_ANOMALIES] = {"lost", "duplicated", "reordered", "unseen", "changed", "unsent"};

const char *history_anomaly_name(enum history_anomaly anomaly)
{
	return names[anomaly];
}

struct history *history_new(void)
{
	return mem_zalloc(1, sizeof(struct history));
}

void history_free(struct history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < history->writer_count; i++) {
		arena_fini(&history->writers[i]->ids);
		mem_free(history->writers[i]->sendings);
		mem_free(history->writers[i]);
	}
	for (size_t i = 0; i < history->view_count; i++) {
		mem_free(history->views[i]->seen);
		mem_free(history->views[i]);
	}
	mem_free(history->views);
	mem_free(history);
}

static void copy_name(char *out, size_t room, const char *name)
{
	assert_true(strlen(name) < room);
	memcpy(out, name, strlen(name) + 1);
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len) /* FNV-1a */
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
	return hash;
}

static uint64_t mix_bytes(uint64_t hash, const struct log_bytes *bytes)
{
	hash = mix(hash, &bytes->len, sizeof bytes->len);
	return bytes->len > 0 ? mix(hash, bytes->data, (size_t)bytes->len) : hash;
}

/* ---- writing ---- */

struct history_writer *history_writer(struct history *history, const char *name)
{
	struct history_writer *writer = mem_zalloc(1, sizeof *writer);
	assert_true(history->writer_count < WRITERS_MAX);
	copy_name(writer->name, sizeof writer->name, name);
	history->writers[history->writer_count++] = writer;
	return writer;
}

uint64_t history_sent(struct history_writer *writer, const char *topic, int32_t partition, const struct log_bytes *key,
                      const char **id)
{
	if (writer->count == writer->room) {
		writer->room = writer->room ? 2 * writer->room : 256;
		writer->sendings = mem_realloc(writer->sendings, writer->room * sizeof *writer->sendings);
	}
	struct sending *sending = &writer->sendings[writer->count];
	*sending = (struct sending){.partition = partition, .key = mix_bytes(HASH_BEGIN, key), .offset = -1};
	snprintf(sending->topic, sizeof sending->topic, "%s", topic);
	*id = arena_format(&writer->ids, "%s/%zu", writer->name, writer->count);
	return writer->count++;
}

void history_acknowledged(struct history_writer *writer, uint64_t sequence, int64_t offset)
{
	writer->sendings[sequence].acknowledged = true;
	writer->sendings[sequence].offset = offset;
}

/* ---- reading ---- */

struct history_view *history_view(struct history *history, const char *reader, const char *topic, int32_t partition,
                                  int64_t from)
{
	struct history_view *view = mem_zalloc(1, sizeof *view);
	*view = (struct history_view){
		.history = history, .partition = partition, .from = from, .next = from, .end = -1, .placed_at = -1};
	copy_name(view->reader, sizeof view->reader, reader);
	copy_name(view->topic, sizeof view->topic, topic);
	history->views = mem_realloc(history->views, (history->view_count + 1) * sizeof *history->views);
	history->views[history->view_count++] = view;
	return view;
}

static uint64_t hash_all(const struct log_record *record)
{
	uint64_t hash = mix(HASH_BEGIN, &record->timestamp_ms, sizeof record->timestamp_ms);
	hash = mix_bytes(mix_bytes(hash, &record->key), &record->value);
	for (size_t i = 0; i < record->header_count; i++) {
		hash = mix(hash, record->headers[i].name, strlen(record->headers[i].name) + 1);
		hash = mix_bytes(hash, &record->headers[i].value);
	}
	return hash;
}

static void note_id(const struct history *history, const struct log_record *record, struct seen *seen)
{
	char id[HISTORY_NAME_MAX + 24] = "", writer[HISTORY_NAME_MAX + 1];
	const struct log_header *header = header_find(record, HISTORY_HEADER);
	seen->sequence = NO_SEQUENCE;
	seen->writer = UNKNOWN_NAME;
	if (!header || header->value.len < 0)
		return;
	seen->sequence = 0;
	snprintf(id, sizeof id, "%.*s", (int)header->value.len, (const char *)header->value.data);
	if (sscanf(id, "%31[^/]/%" SCNu64, writer, &seen->sequence) != 2)
		return;
	for (uint32_t i = 0; i < history->writer_count; i++)
		if (strcmp(history->writers[i]->name, writer) == 0)
			seen->writer = i;
}

static uint32_t source_of(struct history_view *view, const struct header_stream *stream)
{
	for (uint32_t i = 0; i < view->source_count; i++)
		if (view->sources[i].partition == stream->partition &&
		    strcmp(view->sources[i].service, stream->service) == 0)
			return i;
	if (view->source_count == SOURCES_MAX)
		return NO_SOURCE;
	struct source *source = &view->sources[view->source_count];
	source->partition = stream->partition;
	memcpy(source->service, stream->service, sizeof source->service);
	return view->source_count++;
}

/* ce_id, <topic>-<partition>-<offset>-<index>: the place of the record that caused the event. */
static void note_cause(const struct log_record *record, struct seen *seen)
{
	char id[300];
	const struct log_header *header = header_find(record, "ce_id");
	seen->cause_offset = NO_CAUSE;
	if (!header || header->value.len <= 0 || header->value.len >= (int32_t)sizeof id)
		return;
	snprintf(id, sizeof id, "%.*s", (int)header->value.len, (const char *)header->value.data);
	char *index = strrchr(id, '-');
	if (!index)
		return;
	*index++ = 0;
	char *offset = strrchr(id, '-');
	if (!offset || sscanf(offset + 1, "%" SCNd64, &seen->cause_offset) != 1 ||
	    sscanf(index, "%" SCNd64, &seen->cause_index) != 1)
		seen->cause_offset = NO_CAUSE;
}

static void note_number(struct history_view *view, const struct log_record *record, struct seen *seen)
{
	struct header_stream stream;
	uint64_t fingerprint = 0;
	const uint8_t *body;
	size_t len;
	seen->source = NO_SOURCE;
	if (header_stream_parse(record, &stream) != HEADER_VALID)
		return;
	seen->source = source_of(view, &stream);
	seen->number = stream.number;
	if (record->value.len > 0)
		(void)event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len);
	seen->event = mix_bytes(mix(HASH_BEGIN, &fingerprint, sizeof fingerprint), &record->key);
	seen->content = mix(mix_bytes(seen->event, &record->value), &stream.chain, sizeof stream.chain);
	note_cause(record, seen);
}

void history_read(struct history_view *view, const struct log_record *record)
{
	if (view->count == view->room) {
		view->room = view->room ? 2 * view->room : 256;
		view->seen = mem_realloc(view->seen, view->room * sizeof *view->seen);
	}
	struct seen *seen = &view->seen[view->count++];
	*seen = (struct seen){.offset = record->offset, .hash = hash_all(record), .placed_at = view->placed_at};
	note_id(view->history, record, seen);
	note_number(view, record, seen);
	view->placed_at = -1;
	view->next = record->offset + 1;
}

void history_placed(struct history_view *view, int64_t offset)
{
	view->placed_ever = true;
	view->placed_at = view->next = offset;
}

int64_t history_next(const struct history_view *view)
{
	return view->next;
}

void history_read_all(struct history_view *view, int64_t end)
{
	view->end = end;
}

/* ---- judging ---- */

__attribute__((format(printf, 3, 4))) static void state(struct history_result *result, enum history_anomaly anomaly,
                                                        const char *format, ...)
{
	result->counts[anomaly]++;
	if (result->stated == HISTORY_STATED_MAX)
		return;
	char *text = result->texts[result->stated++];
	int len = snprintf(text, sizeof result->texts[0], "%s: ", names[anomaly]);
	va_list rest;
	va_start(rest, format);
	vsnprintf(text + len, sizeof result->texts[0] - (size_t)len, format, rest);
	va_end(rest);
}

/* A record at its place, as one view saw it; or, view NULL, as an acknowledgement promised it. */
struct place {
	const struct history_view *view;
	int64_t offset;
	uint64_t hash, sequence;
	uint32_t writer;
};

struct places { /* of one partition, by offset, the acknowledgements last */
	const char *topic;
	int32_t partition;
	struct place *items;
	size_t count, room;
};

static int by_offset(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return !x->view - !y->view;
}

static void put_place(struct places *places, struct place place)
{
	if (places->count == places->room) {
		places->room = places->room ? 2 * places->room : 256;
		places->items = mem_realloc(places->items, places->room * sizeof *places->items);
	}
	places->items[places->count++] = place;
}

static bool is_of(const struct history_view *view, const struct places *places)
{
	return view->partition == places->partition && strcmp(view->topic, places->topic) == 0;
}

static void gather(const struct history *history, struct places *places)
{
	for (size_t v = 0; v < history->view_count; v++) {
		const struct history_view *view = history->views[v];
		for (size_t i = 0; is_of(view, places) && i < view->count; i++)
			put_place(places, (struct place){view, view->seen[i].offset, view->seen[i].hash,
			                                 view->seen[i].sequence, view->seen[i].writer});
	}
	for (uint32_t w = 0; w < history->writer_count; w++) {
		const struct history_writer *writer = history->writers[w];
		for (size_t s = 0; s < writer->count; s++) {
			const struct sending *sending = &writer->sendings[s];
			if (sending->acknowledged && sending->offset >= 0 && sending->partition == places->partition &&
			    strcmp(sending->topic, places->topic) == 0)
				put_place(places, (struct place){NULL, sending->offset, 0, s, w});
		}
	}
	if (places->count)
		qsort(places->items, places->count, sizeof *places->items, by_offset);
}

/* Did a reader come past it without a jump of its own? */
static bool somebody_passed(const struct history *history, const struct places *places, int64_t offset)
{
	for (size_t v = 0; v < history->view_count; v++) {
		const struct history_view *view = history->views[v];
		if (is_of(view, places) && !view->placed_ever && view->from <= offset &&
		    (view->end > offset || view->next > offset))
			return true;
	}
	return false;
}

static const char *writer_name(const struct history *history, uint32_t writer)
{
	return writer == UNKNOWN_NAME ? "?" : history->writers[writer]->name;
}

static void check_promise(const struct history *history, const struct places *places, const struct place *promise,
                          const struct place *found, struct history_result *result)
{
	const char *name = writer_name(history, promise->writer);
	if (!found && somebody_passed(history, places, promise->offset))
		state(result, HISTORY_LOST,
		      "%s/%" PRIu64 " was acknowledged at %s/%d offset %" PRId64 ", where no record is", name,
		      promise->sequence, places->topic, places->partition, promise->offset);
	else if (!found)
		state(result, HISTORY_UNSEEN,
		      "%s/%" PRIu64 ", acknowledged at %s/%d offset %" PRId64 ": nobody read so far", name,
		      promise->sequence, places->topic, places->partition, promise->offset);
	else if (found->writer != promise->writer || found->sequence != promise->sequence)
		state(result, HISTORY_LOST,
		      "%s/%" PRIu64 " was acknowledged at %s/%d offset %" PRId64 ", where another record is", name,
		      promise->sequence, places->topic, places->partition, promise->offset);
}

/* All that is known of each offset. */
static void check_places(const struct history *history, const struct places *places, struct history_result *result)
{
	const struct place *first = NULL;
	for (size_t i = 0; i < places->count; i++) {
		const struct place *place = &places->items[i];
		bool fresh = i == 0 || place->offset != places->items[i - 1].offset;
		if (fresh)
			first = place->view ? place : NULL;
		if (!place->view) {
			check_promise(history, places, place, first, result);
			continue;
		}
		result->places += fresh;
		if (first && place->hash != first->hash)
			state(result, HISTORY_CHANGED, "%s/%d offset %" PRId64 ": %s saw another record than %s",
			      places->topic, places->partition, place->offset, place->view->reader,
			      first->view->reader);
	}
}

/* The first known place at or behind this offset; count: none. */
static size_t find_place(const struct places *places, int64_t offset)
{
	size_t low = 0, high = places->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (places->items[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What is known in [from, to) and was not read by this view. What was only promised is check_promise's. */
static void check_jump(const struct places *places, const struct history_view *view, int64_t from, int64_t to,
                       struct history_result *result)
{
	int64_t last = -1;
	for (size_t i = find_place(places, from); i < places->count && places->items[i].offset < to; i++) {
		const struct place *place = &places->items[i];
		if (!place->view || place->offset == last)
			continue;
		last = place->offset;
		state(result, HISTORY_UNSEEN,
		      "%s went from %s/%d offset %" PRId64 " to %" PRId64 ", %s read %" PRId64 " there", view->reader,
		      places->topic, places->partition, from, to, place->view->reader, place->offset);
	}
}

static void check_way(const struct places *places, const struct history_view *view, struct history_result *result)
{
	int64_t next = view->from;
	for (size_t i = 0; i < view->count; i++) {
		const struct seen *seen = &view->seen[i];
		next = seen->placed_at >= 0 ? seen->placed_at : next;
		if (seen->offset < next)
			state(result, HISTORY_REORDERED, "%s read %s/%d offset %" PRId64 " behind %" PRId64,
			      view->reader, places->topic, places->partition, seen->offset, next - 1);
		else
			check_jump(places, view, next, seen->offset, result);
		next = seen->offset + 1;
	}
	next = view->placed_at >= 0 ? view->placed_at : next;
	if (view->end > next)
		check_jump(places, view, next, view->end, result);
}

/* ---- the streams of one view ---- */

struct numbered {
	uint64_t content; /* 0: not seen */
};

struct stream {
	const struct history_view *view;
	uint32_t source;
	uint64_t last, highest;
	struct numbered *numbers; /* by number */
	uint64_t room;
	uint64_t *events; /* taken, for doubles; sorted in the end */
	size_t event_count;
	int64_t cause_offset, cause_index;
};

#define NUMBERS_MAX 10000000

static void state_stream(struct history_result *result, enum history_anomaly anomaly, const struct stream *stream,
                         uint64_t number, const char *what)
{
	const struct source *source = &stream->view->sources[stream->source];
	state(result, anomaly, "%s, %s/%d: number %" PRIu64 " of %s/%d %s", stream->view->reader, stream->view->topic,
	      stream->view->partition, number, source->service, source->partition, what);
}

static void take_number(struct stream *stream, const struct seen *seen, struct history_result *result)
{
	stream->last = seen->number;
	result->taken++;
	if (stream->event_count % 1024 == 0)
		stream->events = mem_realloc(stream->events, (stream->event_count + 1024) * sizeof *stream->events);
	stream->events[stream->event_count++] = seen->event;
	if (seen->cause_offset == NO_CAUSE)
		return;
	if (seen->cause_offset < stream->cause_offset ||
	    (seen->cause_offset == stream->cause_offset && seen->cause_index < stream->cause_index))
		state_stream(result, HISTORY_REORDERED, stream, seen->number, "was caused before the one before it");
	if (seen->cause_offset == stream->cause_offset && seen->cause_index == stream->cause_index)
		state_stream(result, HISTORY_DUPLICATED, stream, seen->number, "has the cause of the one before it");
	stream->cause_offset = seen->cause_offset;
	stream->cause_index = seen->cause_index;
}

static void see_number(struct stream *stream, const struct seen *seen, struct history_result *result)
{
	if (seen->number >= stream->room && seen->number < NUMBERS_MAX) {
		uint64_t room = 2 * (seen->number + 512);
		stream->numbers = mem_realloc(stream->numbers, room * sizeof *stream->numbers);
		memset(stream->numbers + stream->room, 0, (room - stream->room) * sizeof *stream->numbers);
		stream->room = room;
	}
	stream->highest = seen->number > stream->highest ? seen->number : stream->highest;
	if (seen->number < stream->room) {
		struct numbered *numbered = &stream->numbers[seen->number];
		if (numbered->content && numbered->content != seen->content)
			state_stream(result, HISTORY_CHANGED, stream, seen->number, "is there with two contents");
		numbered->content = numbered->content ? numbered->content : seen->content;
	}
	if (seen->number == stream->last + 1)
		take_number(stream, seen, result);
	else
		result->repeats++;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static bool is_dead_letters(const char *topic)
{
	size_t len = strlen(topic);
	return len > 4 && strcmp(topic + len - 4, ".dlq") == 0;
}

static void end_stream(struct stream *stream, struct history_result *result)
{
	if (stream->view->end >= 0 && stream->highest > stream->last)
		state_stream(result, HISTORY_LOST, stream, stream->last + 1, "is missing, there are higher ones");
	if (stream->event_count &&
	    !is_dead_letters(stream->view->topic)) /* a publisher may send the same wrong thing twice */
		qsort(stream->events, stream->event_count, sizeof *stream->events, by_value);
	for (size_t i = 1; i < stream->event_count && !is_dead_letters(stream->view->topic); i++)
		if (stream->events[i] == stream->events[i - 1])
			state_stream(result, HISTORY_DUPLICATED, stream, stream->last,
			             "(or one below): the same event twice");
	mem_free(stream->numbers);
	mem_free(stream->events);
}

/* Who was not there from the beginning, or jumped, cannot tell. */
static void check_streams(const struct history_view *view, struct history_result *result)
{
	if (view->from != 0 || view->placed_ever)
		return;
	for (uint32_t source = 0; source < view->source_count; source++) {
		struct stream stream = {.view = view, .source = source, .cause_offset = NO_CAUSE};
		for (size_t i = 0; i < view->count; i++)
			if (view->seen[i].source == source)
				see_number(&stream, &view->seen[i], result);
		end_stream(&stream, result);
	}
}

/* ---- the writers' records ---- */

struct standing { /* where an id stands */
	uint32_t writer;
	uint64_t sequence, key;
	const char *topic;
	int32_t partition;
	int64_t offset;
	bool acknowledged;
};

struct standings {
	struct standing *items;
	size_t count, room;
};

static int by_place(const struct standing *x, const struct standing *y)
{
	int topic = strcmp(x->topic, y->topic);
	if (topic)
		return topic;
	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_id(const void *a, const void *b)
{
	const struct standing *x = a, *y = b;
	if (x->writer != y->writer)
		return x->writer < y->writer ? -1 : 1;
	if (x->sequence != y->sequence)
		return x->sequence < y->sequence ? -1 : 1;
	return by_place(x, y);
}

static int by_key(const void *a, const void *b)
{
	const struct standing *x = a, *y = b;
	if (x->writer != y->writer)
		return x->writer < y->writer ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return by_place(x, y);
}

static void put_standing(const struct history *history, struct standings *standings, const struct history_view *view,
                         const struct seen *seen, struct history_result *result)
{
	const struct history_writer *writer = seen->writer == UNKNOWN_NAME ? NULL : history->writers[seen->writer];
	if (!writer || seen->sequence >= writer->count) {
		state(result, HISTORY_UNSENT, "%s/%d offset %" PRId64 ": %s/%" PRIu64 " was never sent", view->topic,
		      view->partition, seen->offset, writer_name(history, seen->writer), seen->sequence);
		return;
	}
	if (standings->count == standings->room) {
		standings->room = standings->room ? 2 * standings->room : 256;
		standings->items = mem_realloc(standings->items, standings->room * sizeof *standings->items);
	}
	const struct sending *sending = &writer->sendings[seen->sequence];
	standings->items[standings->count++] =
		(struct standing){seen->writer,    seen->sequence, sending->key,         view->topic,
	                          view->partition, seen->offset,   sending->acknowledged};
}

/* Sorted by id; each place once, however many have read it. */
static void gather_standings(const struct history *history, struct standings *standings, struct history_result *result)
{
	for (size_t v = 0; v < history->view_count; v++) {
		const struct history_view *view = history->views[v];
		for (size_t i = 0; i < view->count; i++)
			if (view->seen[i].sequence != NO_SEQUENCE)
				put_standing(history, standings, view, &view->seen[i], result);
	}
	if (!standings->count)
		return;
	qsort(standings->items, standings->count, sizeof *standings->items, by_id);
	size_t kept = 1;
	for (size_t i = 1; i < standings->count; i++)
		if (by_id(&standings->items[i], &standings->items[kept - 1]) != 0)
			standings->items[kept++] = standings->items[i];
	standings->count = kept;
}

static void check_ids(const struct history *history, const struct standings *standings, struct history_result *result)
{
	for (size_t i = 1; i < standings->count; i++) {
		const struct standing *a = &standings->items[i - 1], *b = &standings->items[i];
		if (a->writer == b->writer && a->sequence == b->sequence)
			state(result, HISTORY_DUPLICATED,
			      "%s/%" PRIu64 " stands at %s/%d offset %" PRId64 " and at %s/%d offset %" PRId64,
			      writer_name(history, a->writer), a->sequence, a->topic, a->partition, a->offset, b->topic,
			      b->partition, b->offset);
	}
}

static void check_order(const struct history *history, struct standings *standings, struct history_result *result)
{
	const struct standing *before = NULL;
	if (standings->count)
		qsort(standings->items, standings->count, sizeof *standings->items, by_key);
	for (size_t i = 0; i < standings->count; i++) {
		const struct standing *s = &standings->items[i];
		if (!s->acknowledged)
			continue;
		bool same = before && before->writer == s->writer && before->key == s->key &&
		            before->partition == s->partition && strcmp(before->topic, s->topic) == 0;
		if (same && s->sequence < before->sequence)
			state(result, HISTORY_REORDERED,
			      "%s/%d: %s/%" PRIu64 " stands at offset %" PRId64 ", behind %" PRIu64 " of the same key",
			      s->topic, s->partition, writer_name(history, s->writer), s->sequence, s->offset,
			      before->sequence);
		before = s;
	}
}

/* Acknowledged without a place: it must stand somewhere. */
static void check_placeless(const struct history *history, const struct standings *standings,
                            struct history_result *result)
{
	for (uint32_t w = 0; w < history->writer_count; w++)
		for (size_t s = 0; s < history->writers[w]->count; s++) {
			const struct sending *sending = &history->writers[w]->sendings[s];
			bool found = !sending->acknowledged || sending->offset >= 0;
			for (size_t i = 0; i < standings->count && !found; i++)
				found = standings->items[i].writer == w && standings->items[i].sequence == s;
			if (!found)
				state(result, HISTORY_LOST, "%s/%zu was acknowledged and stands nowhere",
				      history->writers[w]->name, s);
		}
}

static void check_writers(const struct history *history, struct history_result *result)
{
	struct standings standings = {0};
	for (size_t w = 0; w < history->writer_count; w++) {
		result->sent += history->writers[w]->count;
		for (size_t s = 0; s < history->writers[w]->count; s++)
			result->acknowledged += history->writers[w]->sendings[s].acknowledged;
	}
	gather_standings(history, &standings, result);
	check_ids(history, &standings, result);
	check_placeless(history, &standings, result);
	check_order(history, &standings, result);
	mem_free(standings.items);
}

static void check_partition(const struct history *history, const char *topic, int32_t partition,
                            struct history_result *result)
{
	struct places places = {.topic = topic, .partition = partition};
	gather(history, &places);
	check_places(history, &places, result);
	for (size_t v = 0; v < history->view_count; v++) {
		if (!is_of(history->views[v], &places))
			continue;
		result->read += history->views[v]->count;
		check_way(&places, history->views[v], result);
		check_streams(history->views[v], result);
	}
	mem_free(places.items);
}

static bool first_of_its_partition(const struct history *history, size_t at)
{
	const struct places places = {.topic = history->views[at]->topic, .partition = history->views[at]->partition};
	for (size_t v = 0; v < at; v++)
		if (is_of(history->views[v], &places))
			return false;
	return true;
}

/* What was acknowledged in a partition that nobody reads. */
static void check_unread(const struct history *history, struct history_result *result)
{
	for (size_t w = 0; w < history->writer_count; w++)
		for (size_t s = 0; s < history->writers[w]->count; s++) {
			const struct sending *sending = &history->writers[w]->sendings[s];
			const struct places places = {.topic = sending->topic, .partition = sending->partition};
			bool read = !sending->acknowledged || sending->offset < 0;
			for (size_t v = 0; v < history->view_count && !read; v++)
				read = is_of(history->views[v], &places);
			if (!read)
				state(result, HISTORY_UNSEEN, "%s/%zu was acknowledged in %s/%d, which nobody reads",
				      history->writers[w]->name, s, sending->topic, sending->partition);
		}
}

void history_check(const struct history *history, struct history_result *out)
{
	*out = (struct history_result){0};
	for (size_t v = 0; v < history->view_count; v++)
		if (first_of_its_partition(history, v))
			check_partition(history, history->views[v]->topic, history->views[v]->partition, out);
	check_writers(history, out);
	check_unread(history, out);
}

void history_expect_none(const struct history_result *result)
{
	size_t found = 0;
	print_message("history: %zu sent, %zu acknowledged; %zu records read, of %zu places; streams: %zu taken, %zu"
	              " repeats;",
	              result->sent, result->acknowledged, result->read, result->places, result->taken, result->repeats);
	for (int i = 0; i < HISTORY_ANOMALIES; i++) {
		print_message(" %s %zu", names[i], result->counts[i]);
		found += result->counts[i];
	}
	print_message("\n");
	for (size_t i = 0; i < result->stated; i++)
		print_message("  %s\n", result->texts[i]);
	if (found)
		fail_msg("%zu anomalies in the history: %s", found, result->texts[0]);
}
