/* Which record led to which, from the two services' rules (consumers/order.c, consumers/inventory.c): an event of
 * order-events names its cause itself (ce_id); a command and an answer are told by order, partition and type. */
#include "story.h"

#include "events.h"

#include <string.h>

static int at_orders(const struct story *story, int64_t offset)
{
	return offset < 0 ? -1 : story_at(story, "orders", story->partition, offset);
}

/* ce_id: <topic>-<partition>-<offset>-<index>. */
static int cause_named(const struct story *story, const struct story_event *event)
{
	const struct log_header *id = header_find(&event->record, "ce_id");
	char text[64], rest;
	long long offset;
	int partition, index;
	if (!id || id->value.len <= 0 || (size_t)id->value.len >= sizeof text)
		return -1;
	memcpy(text, id->value.data, (size_t)id->value.len);
	text[id->value.len] = 0;
	if (sscanf(text, "orders-%d-%lld-%d%c", &partition, &offset, &index, &rest) != 3 ||
	    partition != story->partition)
		return -1;
	return at_orders(story, offset);
}

static int cause_of_release(const struct story *story, const struct story_event *event)
{
	int answer = story_answer(story, event->record.partition);
	if (answer >= 0 && story->events[answer].record.offset > story->decided_offset)
		return answer;
	return at_orders(story, story->decided_offset);
}

static int cause_of_letter(const struct story *story, const struct story_event *event)
{
	const struct log_header *offset = header_find(&event->record, "kafka_dlt-original-offset");
	return offset && offset->value.len == 8
	               ? story_at(story, "orders", event->record.partition, (int64_t)be64_get(offset->value.data))
	               : -1;
}

static int cause_of(const struct story *story, const struct story_event *event)
{
	const struct event_type *type = event->view.type;
	if (strcmp(event->topic, "orders.dlq") == 0)
		return cause_of_letter(story, event);
	if (strcmp(event->topic, "order-events") == 0)
		return cause_named(story, event);
	if (type == &reserve_stock_type)
		return at_orders(story, story->placed_offset);
	if (type == &commit_stock_type)
		return story_confirming(story);
	if (type == &release_stock_type)
		return cause_of_release(story, event);
	if (type == &stock_reserved_type || type == &stock_rejected_type)
		return story_find(story, "inventory",
		                  type == &stock_reserved_type
		                          ? ((const struct stock_reserved *)event->view.event)->inventory_partition
		                          : ((const struct stock_rejected *)event->view.event)->inventory_partition,
		                  &reserve_stock_type, -1);
	return -1;
}

/* Was it there again by the publisher's hand? Then it changed nothing, or it is a dead letter. */
static const char *note_on_publishers(const struct story *story, const struct story_event *event)
{
	const struct event_type *type = event->view.type;
	int64_t first = type == &order_placed_type             ? story->placed_offset
	                : type == &order_cancel_requested_type ? story->cancel_offset
	                                                       : -1;
	int original = at_orders(story, first);
	if (original < 0 || event->record.offset == first || strcmp(event->topic, "orders") != 0)
		return NULL;
	const void *before = story->events[original].view.event;
	return before && event_equal(type, before, event->view.event) ? "sent again: it changes nothing"
	                                                              : "sent again with other content: a conflict";
}

static const char *note_on(const struct story *story, const struct story_event *event, bool numbered)
{
	if (event->repeat)
		return "a repeat: dropped";
	if (!event->view.event)
		return event->view.why;
	if (numbered && event->cause < 0)
		return "its cause was not found";
	return numbered ? NULL : note_on_publishers(story, event);
}

void causes_find(struct story *story)
{
	for (size_t i = 0; i < story->event_count; i++) {
		struct story_event *event = &story->events[i];
		bool numbered = event->view.numbered == HEADER_VALID;
		bool letter = strcmp(event->topic, "orders.dlq") == 0;
		int cause = numbered && (event->view.event || letter) ? cause_of(story, event) : -1;
		event->cause = cause == (int)i ? -1 : cause;
		event->note = note_on(story, event, numbered);
	}
}
