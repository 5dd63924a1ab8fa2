#include "view.h"

#include "check.h"
#include "events.h"
#include "genesis.h"
#include "hash.h"
#include "header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum kind { PLACED, REQUESTED, CONFIRMED, REJECTED, CANCELLED, KINDS };

struct entry { /* something that was said about an order */
	char order_id[65];
	enum kind kind;
	uint32_t at; /* the order of reading */
};

struct source { /* of one destination partition */
	char service[HEADER_SERVICE_MAX + 1];
	int32_t partition;
	uint64_t last, chain, highest;
};

struct reading {
	struct rig *rig;
	struct view *view;
	struct entry *entries;
	size_t entry_count, entry_room;
	struct arena arena;
	uint8_t installation[HASH_KEY_BYTES];
	const char *topic;
	int32_t partition;
	struct source sources[2 * RIG_PARTITIONS_MAX];
	size_t source_count;
};

static uint64_t mix(uint64_t hash, const void *bytes, size_t len) /* FNV-1a */
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
	return hash;
}

static void note(struct reading *reading, const char *order_id, enum kind kind)
{
	if (reading->entry_count == reading->entry_room) {
		reading->entry_room = reading->entry_room ? 2 * reading->entry_room : 1024;
		reading->entries = mem_realloc(reading->entries, reading->entry_room * sizeof *reading->entries);
	}
	struct entry *entry = &reading->entries[reading->entry_count];
	snprintf(entry->order_id, sizeof entry->order_id, "%s", order_id);
	entry->kind = kind;
	entry->at = (uint32_t)reading->entry_count++;
}

static void note_event(struct reading *reading, const struct log_record *record)
{
	static const struct {
		const struct event_type *type;
		enum kind kind;
	} kinds[] = {{&order_placed_type, PLACED},
	             {&order_cancel_requested_type, REQUESTED},
	             {&order_confirmed_type, CONFIRMED},
	             {&order_rejected_type, REJECTED},
	             {&order_cancelled_type, CANCELLED}};
	uint64_t writer;
	const uint8_t *body;
	size_t len;
	if (!event_split(record->value.data, (size_t)record->value.len, &writer, &body, &len))
		return;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (event_type_of_writer(writer) == kinds[i].type)
			note(reading, arena_copy(&reading->arena, record->key.data, (size_t)record->key.len),
			     kinds[i].kind);
}

static struct source *find_source(struct reading *reading, const struct header_stream *stream)
{
	for (size_t i = 0; i < reading->source_count; i++)
		if (reading->sources[i].partition == stream->partition &&
		    strcmp(reading->sources[i].service, stream->service) == 0)
			return &reading->sources[i];
	assert_in_range(reading->source_count, 0, sizeof reading->sources / sizeof *reading->sources - 1);
	struct source *source = &reading->sources[reading->source_count++];
	*source = (struct source){.partition = stream->partition};
	snprintf(source->service, sizeof source->service, "%s", stream->service);
	source->chain = hash_chain_start(reading->installation, stream->service, stream->partition, reading->topic,
	                                 reading->partition);
	return source;
}

static bool is_dead_letters(const char *topic)
{
	size_t len = strlen(topic);
	return len > 4 && strcmp(topic + len - 4, ".dlq") == 0;
}

static void take_numbered(struct reading *reading, const struct log_record *record, const struct header_stream *stream)
{
	struct source *source = find_source(reading, stream);
	uint64_t fingerprint = 0;
	const uint8_t *body = record->value.data;
	size_t len = record->value.len < 0 ? 0 : (size_t)record->value.len;
	if (stream->number > source->highest)
		source->highest = stream->number;
	if (stream->number != source->last + 1) {
		reading->view->dropped++;
		return;
	}
	bool dead = is_dead_letters(reading->topic);
	if (!dead && !event_split(record->value.data, len, &fingerprint, &body, &len))
		fail_msg("%s/%d offset %lld: no event", reading->topic, reading->partition, (long long)record->offset);
	source->chain =
		hash_chain(reading->installation, source->chain, stream->number, fingerprint, &record->key, body, len);
	if (source->chain != stream->chain)
		fail_msg("%s/%d offset %lld: the chain of %s/%d does not hold at %llu", reading->topic,
		         reading->partition, (long long)record->offset, source->service, source->partition,
		         (unsigned long long)stream->number);
	source->last = stream->number;
	reading->view->taken++;
	reading->view->dead_letters += dead;
	if (!dead)
		note_event(reading, record);
}

static void end_partition(struct reading *reading)
{
	for (size_t i = 0; i < reading->source_count; i++) {
		const struct source *source = &reading->sources[i];
		if (source->highest != source->last)
			fail_msg("%s/%d: the stream of %s/%d has %llu, but is whole only to %llu", reading->topic,
			         reading->partition, source->service, source->partition,
			         (unsigned long long)source->highest, (unsigned long long)source->last);
	}
}

static int by_source(const void *a, const void *b)
{
	const struct source *x = a, *y = b;
	int order = strcmp(x->service, y->service);
	return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* The chain's last hash stands for the stream's whole content. */
static void mix_partition(struct reading *reading)
{
	qsort(reading->sources, reading->source_count, sizeof *reading->sources, by_source);
	uint64_t hash = mix(reading->view->hash, reading->topic, strlen(reading->topic));
	hash = mix(hash, &reading->partition, sizeof reading->partition);
	for (size_t i = 0; i < reading->source_count; i++) {
		hash = mix(hash, &reading->sources[i].last, sizeof reading->sources[i].last);
		hash = mix(hash, &reading->sources[i].chain, sizeof reading->sources[i].chain);
	}
	reading->view->hash = hash;
}

static void read_partition(struct reading *reading)
{
	struct err err = {0};
	struct log_reader *reader;
	int64_t low, high;
	reading->source_count = 0;
	check(log_bounds(reading->rig->log, reading->topic, reading->partition, &low, &high, &err), &err);
	check(log_reader_open(reading->rig->log, reading->topic, reading->partition, 0, &reader, &err), &err);
	for (;;) {
		const struct log_record *record;
		struct header_stream stream;
		check(log_reader_next(reader, 5000, &record, &err), &err);
		if (!record)
			fail_msg("%s/%d ends before %lld", reading->topic, reading->partition, (long long)high);
		if (header_stream_parse(record, &stream) == HEADER_VALID)
			take_numbered(reading, record, &stream);
		else if (record->value.len >= 0 && record->key.len > 0)
			note_event(reading, record); /* a publisher's */
		if (record->offset >= high - 1)
			break;
	}
	log_reader_close(reader);
	end_partition(reading);
	mix_partition(reading);
	arena_reset(&reading->arena);
}

/* ---- what became of the orders ---- */

static int by_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = strcmp(x->order_id, y->order_id);
	return order ? order : (x->at > y->at) - (x->at < y->at);
}

static void check_order(struct view *view, const struct entry *entries, size_t count)
{
	int64_t counts[KINDS] = {0};
	const char *id = entries->order_id;
	bool cancelled_before_confirmed = false;
	for (size_t i = 0; i < count; i++) {
		counts[entries[i].kind]++;
		cancelled_before_confirmed |= entries[i].kind == CONFIRMED && counts[CANCELLED] > 0;
	}
	bool placed = counts[PLACED] > 0; /* a publisher may say it twice */
	bool once = counts[CONFIRMED] <= 1 && counts[REJECTED] <= 1 && counts[CANCELLED] <= 1 &&
	            !cancelled_before_confirmed && !(counts[REJECTED] && (counts[CONFIRMED] || counts[CANCELLED]));
	bool ended = counts[CONFIRMED] || counts[REJECTED] || counts[CANCELLED];
	if (!once || placed != ended)
		fail_msg("order %s: placed %lld, confirmed %lld, rejected %lld, cancelled %lld", id,
		         (long long)counts[PLACED], (long long)counts[CONFIRMED], (long long)counts[REJECTED],
		         (long long)counts[CANCELLED]);
	if (placed && counts[REQUESTED] && !counts[CANCELLED] && !counts[REJECTED])
		fail_msg("order %s: the cancel that was asked for did not come", id);
	if (!counts[REQUESTED] && counts[CANCELLED])
		fail_msg("order %s: cancelled by nobody", id);
	view->placed += placed;
	view->confirmed += counts[CONFIRMED];
	view->rejected += counts[REJECTED];
	view->cancelled += counts[CANCELLED];
	view->cancel_requests += counts[REQUESTED] > 0;
}

static void check_orders(struct reading *reading)
{
	size_t from = 0;
	if (reading->entry_count)
		qsort(reading->entries, reading->entry_count, sizeof *reading->entries, by_order);
	for (size_t i = 1; i <= reading->entry_count; i++) {
		if (i < reading->entry_count &&
		    strcmp(reading->entries[i].order_id, reading->entries[from].order_id) == 0)
			continue;
		check_order(reading->view, &reading->entries[from], i - from);
		from = i;
	}
}

void view_read(struct rig *rig, struct view *view)
{
	static const char *const topics[] = {"orders", "inventory", "order-events", "orders.dlq", "inventory.dlq"};
	struct reading reading = {.rig = rig, .view = view};
	struct err err = {0};
	struct genesis genesis;
	*view = (struct view){.hash = 0xcbf29ce484222325};
	check(genesis_read(rig->log, "orders", 0, &reading.arena, &genesis, &err), &err);
	memcpy(reading.installation, genesis.installation, sizeof reading.installation);
	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
		reading.topic = topics[i];
		int32_t count = strncmp(topics[i], "inventory", 9) == 0 ? rig->inventory : rig->orders;
		for (reading.partition = 0; reading.partition < count; reading.partition++)
			read_partition(&reading);
	}
	check_orders(&reading);
	mem_free(reading.entries);
	arena_fini(&reading.arena);
}
