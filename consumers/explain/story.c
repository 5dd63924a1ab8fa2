#include "story.h"

#include "genesis.h"

#include <stdarg.h>
#include <string.h>

static void add_text(struct story *story, const char ***texts, size_t *count, const char *format, va_list args)
{
	struct buf text = {0};
	char line[400];
	vsnprintf(line, sizeof line, format, args);
	record_view_text(line, &text);
	const char **more = arena_alloc(&story->arena, (*count + 1) * sizeof *more);
	if (*count)
		memcpy(more, *texts, *count * sizeof *more);
	more[(*count)++] = arena_copy(&story->arena, text.data, text.len);
	*texts = more;
	buf_fini(&text);
}

void story_looked(struct story *story, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_text(story, &story->looked_at, &story->looked_count, format, args);
	va_end(args);
}

void story_missing(struct story *story, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_text(story, &story->missing, &story->missing_count, format, args);
	va_end(args);
}

int story_at(const struct story *story, const char *topic, int32_t partition, int64_t offset)
{
	for (size_t i = 0; i < story->event_count; i++) {
		const struct story_event *event = &story->events[i];
		if (event->record.offset == offset && event->record.partition == partition &&
		    strcmp(event->topic, topic) == 0)
			return (int)i;
	}
	return -1;
}

static bool same_number(const struct story_event *a, const struct story_event *b)
{
	return a->view.numbered == HEADER_VALID && b->view.numbered == HEADER_VALID &&
	       a->record.partition == b->record.partition && a->view.stream.number == b->view.stream.number &&
	       a->view.stream.partition == b->view.stream.partition &&
	       strcmp(a->view.stream.service, b->view.stream.service) == 0 && strcmp(a->topic, b->topic) == 0;
}

/* Of copies the first is the one that counts. */
static void mark_repeats(struct story *story, struct story_event *event)
{
	for (size_t i = 0; i < story->event_count; i++) {
		struct story_event *other = &story->events[i];
		if (other == event || !same_number(event, other))
			continue;
		struct story_event *later = other->record.offset > event->record.offset ? other : event;
		later->repeat = true;
	}
}

size_t story_add(struct story *story, const char *topic, const struct log_record *record)
{
	int found = story_at(story, topic, record->partition, record->offset);
	if (found >= 0)
		return (size_t)found;
	if (story->event_count == story->event_room) {
		size_t room = story->event_room ? 2 * story->event_room : 32;
		struct story_event *more = arena_alloc(&story->arena, room * sizeof *more);
		for (size_t i = 0; i < story->event_count; i++) {
			more[i] = story->events[i];
			more[i].view.record = &more[i].record;
		}
		story->events = more;
		story->event_room = room;
	}
	struct story_event *event = &story->events[story->event_count++];
	*event = (struct story_event){.topic = arena_copy(&story->arena, topic, strlen(topic)), .cause = -1};
	log_record_copy(&event->record, record, &story->arena);
	record_view(&event->record, &story->arena, &event->view);
	mark_repeats(story, event);
	return story->event_count - 1;
}

/* Every event of the two services has the order's id; a StockReceived has none. */
static const char *order_id_of(const struct record_view *view)
{
	const void *event = view->event;
	const struct event_type *type = view->type;
	if (!event)
		return NULL;
	if (type == &order_placed_type)
		return ((const struct order_placed *)event)->order_id;
	if (type == &order_cancel_requested_type)
		return ((const struct order_cancel_requested *)event)->order_id;
	if (type == &reserve_stock_type)
		return ((const struct reserve_stock *)event)->order_id;
	if (type == &commit_stock_type)
		return ((const struct commit_stock *)event)->order_id;
	if (type == &release_stock_type)
		return ((const struct release_stock *)event)->order_id;
	if (type == &stock_reserved_type)
		return ((const struct stock_reserved *)event)->order_id;
	if (type == &stock_rejected_type)
		return ((const struct stock_rejected *)event)->order_id;
	if (type == &order_confirmed_type)
		return ((const struct order_confirmed *)event)->order_id;
	if (type == &order_rejected_type)
		return ((const struct order_rejected *)event)->order_id;
	if (type == &order_cancelled_type)
		return ((const struct order_cancelled *)event)->order_id;
	return NULL;
}

bool story_is_about(const struct story *story, const struct record_view *view)
{
	const char *id = order_id_of(view);
	return id && strcmp(id, story->order_id) == 0;
}

static int32_t inventory_of(const struct record_view *view)
{
	if (view->event && view->type == &stock_reserved_type)
		return ((const struct stock_reserved *)view->event)->inventory_partition;
	if (view->event && view->type == &stock_rejected_type)
		return ((const struct stock_rejected *)view->event)->inventory_partition;
	return -1;
}

int story_find(const struct story *story, const char *topic, int32_t partition, const struct event_type *type,
               int32_t inventory)
{
	int best = -1;
	for (size_t i = 0; i < story->event_count; i++) {
		const struct story_event *event = &story->events[i];
		bool fits = !event->repeat && event->view.event && event->view.type == type &&
		            event->record.partition == partition && inventory_of(&event->view) == inventory &&
		            strcmp(event->topic, topic) == 0;
		if (fits && (best < 0 || event->record.offset < story->events[best].record.offset))
			best = (int)i;
	}
	return best;
}

int story_answer(const struct story *story, int32_t inventory)
{
	int reserved = story_find(story, "orders", story->partition, &stock_reserved_type, inventory);
	return reserved >= 0 ? reserved
	                     : story_find(story, "orders", story->partition, &stock_rejected_type, inventory);
}

int story_confirming(const struct story *story)
{
	int last = -1;
	if (story->status == STORY_CONFIRMED)
		return story_at(story, "orders", story->partition, story->decided_offset);
	if (story->status != STORY_CANCELLED)
		return -1;
	for (size_t i = 0; i < story->group_count; i++) {
		int answer =
			story_find(story, "orders", story->partition, &stock_reserved_type, story->groups[i].partition);
		if (answer < 0)
			return -1;
		int64_t offset = story->events[answer].record.offset;
		if (offset > story->decided_offset) /* it was dead by then */
			return -1;
		if (last < 0 || offset > story->events[last].record.offset)
			last = answer;
	}
	return last;
}

enum status story_tell(struct story *story, struct log *log, const char *order_id, const char *const *data,
                       size_t data_count, struct err *err)
{
	*story = (struct story){.log = log, .placed_offset = -1, .decided_offset = -1, .cancel_offset = -1};
	story->order_id = arena_copy(&story->arena, order_id, strlen(order_id));
	enum status status = genesis_read(log, "orders", 0, &story->arena, &story->genesis, err);
	if (status == OK)
		status = seal_open(story->genesis.installation, story->genesis.chain == CHAIN_KEY_KEYED,
		                   log_secret(log), &story->seal, err);
	if (status != OK)
		return err_context(err, status, "topic orders");
	story->partition =
		log_partition_of(order_id, strlen(order_id), genesis_topic(&story->genesis, "orders")->partitions);
	status = state_read(story, data, data_count, err);
	if (status == OK && (story->placed || story->cancel_requested))
		status = search(story, err);
	else if (status == OK)
		status = search_letters(story, err);
	if (status == OK)
		causes_find(story);
	return status;
}

void story_free(struct story *story)
{
	arena_fini(&story->arena);
}
