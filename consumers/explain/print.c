/* The story as a tree: what follows from a record stands under it, with the time since. Events of one cause are in the order
 * of their time. Causes form no circle, since each is found by a rule that leads back to a publisher's record; a walk that is
 * deeper than any story ends all the same. */
#include "story.h"

#include "timestamp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16
#define ITEMS_MAX 20 /* lines of an order that are shown */

struct walk {
	const struct story *story;
	FILE *out;
	bool tree;
	struct buf line;
	size_t *order; /* indices as they were visited */
	size_t count;
};

/* ---- order ---- */

static int rank(const struct story_event *event)
{
	static const char *const topics[] = {"orders", "inventory", "order-events", "orders.dlq"};
	for (int i = 0; i < 4; i++)
		if (strcmp(event->topic, topics[i]) == 0)
			return i;
	return 4;
}

static bool before(const struct story_event *a, const struct story_event *b)
{
	if (a->topic == b->topic || strcmp(a->topic, b->topic) == 0) {
		if (a->record.partition == b->record.partition)
			return a->record.offset < b->record.offset;
		if (a->record.timestamp_ms == b->record.timestamp_ms)
			return a->record.partition < b->record.partition;
	}
	if (a->record.timestamp_ms != b->record.timestamp_ms)
		return a->record.timestamp_ms < b->record.timestamp_ms;
	return rank(a) < rank(b);
}

/* The events of this cause, sorted, in the story's arena-less array; the caller frees. */
static size_t *children(const struct story *story, int cause, size_t *count)
{
	size_t *list = mem_alloc((story->event_count + 1) * sizeof *list);
	*count = 0;
	for (size_t i = 0; i < story->event_count; i++) {
		if (story->events[i].cause != cause)
			continue;
		size_t at = (*count)++;
		for (; at && before(&story->events[i], &story->events[list[at - 1]]); at--)
			list[at] = list[at - 1];
		list[at] = i;
	}
	return list;
}

/* ---- details ---- */

static void put_placed(const struct order_placed *placed, struct buf *out)
{
	buf_putf(out, "%zu line%s:", placed->lines.count, placed->lines.count == 1 ? "" : "s");
	for (size_t i = 0; i < placed->lines.count && i < ITEMS_MAX; i++) {
		buf_putf(out, "%s", i ? ", " : " ");
		record_view_text(placed->lines.items[i].sku, out);
		buf_putf(out, " x %" PRId64, placed->lines.items[i].quantity);
	}
	if (placed->lines.count > ITEMS_MAX)
		buf_putf(out, ", and %zu more", placed->lines.count - ITEMS_MAX);
}

static void put_reserve(const struct reserve_stock *command, struct buf *out)
{
	for (size_t i = 0; i < command->lines.count && i < ITEMS_MAX; i++) {
		buf_putf(out, "%s", i ? ", " : "");
		record_view_text(command->lines.items[i].sku, out);
		buf_putf(out, " x %" PRId64, command->lines.items[i].quantity);
	}
	if (command->lines.count > ITEMS_MAX)
		buf_putf(out, ", and %zu more", command->lines.count - ITEMS_MAX);
}

static void put_shortages(const struct shortage_array *shortages, int32_t count, struct buf *out)
{
	for (size_t i = 0; i < shortages->count; i++) {
		const struct shortage *s = &shortages->items[i];
		buf_putf(out, "%s", i ? "; " : "");
		record_view_text(s->sku, out);
		if (s->known)
			buf_putf(out, " wanted %" PRId64 ", on hand %" PRId64 ", reserved %" PRId64, s->wanted,
			         s->on_hand, s->reserved);
		else
			buf_putf(out, " wanted %" PRId64 ", never received", s->wanted);
	}
	if (count > 0 && (size_t)count > shortages->count)
		buf_putf(out, "; and %zu more", (size_t)count - shortages->count);
}

static void put_letter(const struct story_event *event, struct buf *out)
{
	static const char *const names[] = {"kafka_dlt-exception-fqcn", "kafka_dlt-exception-message"};
	buf_putf(out, "dead letter");
	for (size_t i = 0; i < 2; i++) {
		const struct log_header *header = header_find(&event->record, names[i]);
		if (!header || header->value.len < 0)
			continue;
		char *text = mem_format("%.*s", (int)header->value.len, (const char *)header->value.data);
		buf_putf(out, ": ");
		record_view_text(text, out);
		mem_free(text);
	}
}

static void put_details(const struct story_event *event, struct buf *out)
{
	const void *e = event->view.event;
	const struct event_type *type = event->view.type;
	if (strcmp(event->topic, "orders.dlq") == 0) {
		put_letter(event, out);
	} else if (!e) {
		return;
	} else if (type == &order_placed_type) {
		put_placed(e, out);
	} else if (type == &reserve_stock_type) {
		put_reserve(e, out);
	} else if (type == &stock_reserved_type) {
		buf_putf(out, "by inventory/%" PRId32, ((const struct stock_reserved *)e)->inventory_partition);
	} else if (type == &stock_rejected_type) {
		const struct stock_rejected *rejected = e;
		buf_putf(out, "by inventory/%" PRId32 ": ", rejected->inventory_partition);
		put_shortages(&rejected->shortages, rejected->shortage_count, out);
	} else if (type == &order_rejected_type) {
		const struct order_rejected *rejected = e;
		put_shortages(&rejected->shortages, rejected->shortage_count, out);
	} else if (type == &order_confirmed_type) {
		const struct order_confirmed *confirmed = e;
		buf_putf(out, "total_minor %" PRId64 " ", confirmed->total_minor);
		record_view_text(confirmed->currency, out);
	} else if (type == &order_cancelled_type) {
		const char *was = cancelled_from_name(((const struct order_cancelled *)e)->was);
		buf_putf(out, "was %s", was ? was : "UNKNOWN");
	} else if (type == &order_cancel_requested_type) {
		const char *reason = ((const struct order_cancel_requested *)e)->reason;
		if (reason)
			record_view_text(reason, out);
	}
}

/* ---- the tree ---- */

static void put_since(int64_t ms, struct buf *out)
{
	if (ms < 10000 && ms > -10000)
		buf_putf(out, "%+" PRId64 " ms", ms);
	else
		buf_putf(out, "%+" PRId64 ".%03d s", ms / 1000, (int)llabs(ms % 1000));
}

static void put_event(struct walk *walk, const struct story_event *event)
{
	struct buf *out = &walk->line;
	char time[TIMESTAMP_TEXT_BYTES];
	size_t start;
	buf_putf(out, "%s  %s/%" PRId32 "@%" PRId64 "  ", event->view.type ? event->view.type->name : "(no event)",
	         event->topic, event->record.partition, event->record.offset);
	if (event->cause >= 0)
		put_since(event->record.timestamp_ms - walk->story->events[event->cause].record.timestamp_ms, out);
	else
		buf_putf(out, "%s", timestamp_text(event->record.timestamp_ms, time));
	buf_putf(out, "  ");
	start = out->len;
	put_details(event, out);
	if (event->note) {
		buf_putf(out, out->len > start ? "  (" : "(");
		record_view_text(event->note, out);
		buf_putf(out, ")");
	}
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
}

static void walk_events(struct walk *walk, int cause, const char *indent, int depth)
{
	size_t count;
	size_t *list = children(walk->story, cause, &count);
	for (size_t i = 0; i < count && depth < DEPTH_MAX; i++) {
		bool last = i + 1 == count;
		walk->order[walk->count++] = list[i];
		if (walk->out) {
			buf_reset(&walk->line);
			if (depth)
				buf_putf(&walk->line, "%s%s", indent, !walk->tree ? "  " : last ? "└─ " : "├─ ");
			put_event(walk, &walk->story->events[list[i]]);
			fprintf(walk->out, "%s\n", buf_text(&walk->line));
		}
		char *deeper = mem_format("%s%s", indent, !depth ? "" : !walk->tree ? "  " : last ? "   " : "│  ");
		walk_events(walk, (int)list[i], deeper, depth + 1);
		mem_free(deeper);
	}
	mem_free(list);
}

static void walk_story(struct walk *walk)
{
	walk->order = mem_alloc((walk->story->event_count + 1) * sizeof *walk->order);
	walk_events(walk, -1, "", 0);
	buf_fini(&walk->line);
}

const char *story_status_text(const struct story *story)
{
	static const char *const texts[] = {"unknown", "pending", "confirmed", "rejected", "cancelled"};
	if (!story->placed)
		return story->cancel_requested ? "not placed" : story->event_count ? "refused" : "unknown";
	return story->status >= STORY_PENDING && story->status <= STORY_CANCELLED ? texts[story->status] : texts[0];
}

static void print_waiting(const struct story *story, FILE *out)
{
	for (size_t i = 0; i < story->group_count; i++) {
		int32_t partition = story->groups[i].partition;
		if (story->groups[i].state != 'W')
			continue;
		fprintf(out, "waits for inventory/%" PRId32 "%s\n", partition,
		        story_answer(story, partition) >= 0
		                ? ", whose answer is in the log: the order worker has not taken it yet"
		                : "");
	}
}

void story_print(const struct story *story, FILE *out, bool tree)
{
	struct walk walk = {.story = story, .out = out, .tree = tree};
	struct buf id = {0};
	record_view_text(story->order_id, &id);
	fprintf(out, "order %s: %s", buf_text(&id), story_status_text(story));
	if (story->placed)
		fprintf(out, ", %" PRId64 " line%s, total_minor %" PRId64 " %s", story->line_count,
		        story->line_count == 1 ? "" : "s", story->total_minor, story->currency);
	else if (story->cancel_requested)
		fputs("; its cancelling was requested, and is kept for when it comes", out);
	fputs("\n", out);
	walk_story(&walk);
	print_waiting(story, out);
	for (size_t i = 0; i < story->missing_count; i++)
		fprintf(out, "not found: %s\n", story->missing[i]);
	mem_free(walk.order);
	buf_fini(&id);
}

/* ---- JSON ---- */

static json_t *json_event(const struct walk *walk, const struct story_event *event)
{
	json_t *json = record_view_json(&event->view, event->topic, "logappend");
	struct buf details = {0};
	json_t *cause = json_null(), *since = json_null();
	for (size_t i = 0; i < walk->count && event->cause >= 0; i++) {
		if (walk->order[i] != (size_t)event->cause)
			continue;
		cause = json_integer((json_int_t)i);
		since = json_integer(event->record.timestamp_ms -
		                     walk->story->events[event->cause].record.timestamp_ms);
	}
	put_details(event, &details);
	json_object_set_new(json, "cause", cause);
	json_object_set_new(json, "since_ms", since);
	json_object_set_new(json, "repeat", json_boolean(event->repeat));
	json_object_set_new(json, "details", json_string(buf_text(&details)));
	json_object_set_new(json, "note", event->note ? json_string(event->note) : json_null());
	buf_fini(&details);
	return json;
}

static json_t *json_texts(const char **texts, size_t count)
{
	json_t *json = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(json, json_string(texts[i]));
	return json;
}

void story_print_json(const struct story *story, FILE *out)
{
	struct walk walk = {.story = story};
	struct buf line = {0};
	json_t *json = json_object(), *events = json_array();
	walk_story(&walk);
	for (size_t i = 0; i < walk.count; i++)
		json_array_append_new(events, json_event(&walk, &story->events[walk.order[i]]));
	json_object_set_new(json, "order_id", json_string(story->order_id));
	json_object_set_new(json, "status", json_string(story_status_text(story)));
	json_object_set_new(json, "partition", json_integer(story->partition));
	json_object_set_new(json, "events", events);
	json_object_set_new(json, "not_found", json_texts(story->missing, story->missing_count));
	json_object_set_new(json, "looked_at", json_texts(story->looked_at, story->looked_count));
	record_view_dump(json, &line);
	fprintf(out, "%s\n", buf_text(&line));
	json_decref(json);
	mem_free(walk.order);
	buf_fini(&line);
}
