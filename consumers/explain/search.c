/* Reads the records whose offsets the files know, and looks for the others around the time of what led to them: from there
 * STORY_REACH records on, then as many back, until what is expected was found. Clocks of brokers differ, hence both ways.
 * On the way every record that names the order is taken, so that repeats show. */
#include "story.h"

#include "genesis.h"

#include <inttypes.h>
#include <string.h>

/* Where something is looked for, and whether all of it is there. */
struct place {
	const char *topic;
	int32_t partition;
	int64_t least; /* no earlier offset can be it */
	bool (*complete)(const struct story *story, const struct place *place);
	const struct story_group *group; /* of complete */
	int64_t from, to;                /* what was looked at last; from > to: nothing */
};

static bool never(const struct story *story, const struct place *place)
{
	(void)story;
	(void)place;
	return false;
}

static int32_t partitions_of(const struct story *story, const char *topic)
{
	const struct genesis_topic *known = genesis_topic(&story->genesis, topic);
	return known ? known->partitions : 0;
}

static bool has_key(const struct log_record *record, const char *key)
{
	return record->key.len >= 0 && (size_t)record->key.len == strlen(key) &&
	       memcmp(record->key.data, key, strlen(key)) == 0;
}

/* ---- reading ---- */

/* The record at exactly this offset becomes an event; *found is false where there is none. */
static enum status take_at(struct story *story, const char *topic, int32_t partition, int64_t offset, bool *found,
                           struct err *err)
{
	struct arena arena = {0};
	struct log_record record;
	enum status status = log_read_at(story->log, topic, partition, offset, &arena, &record, found, err);
	if (status == OK && *found)
		story_add(story, topic, &record);
	arena_fini(&arena);
	return status;
}

static void consider(struct story *story, const char *topic, const struct log_record *record)
{
	struct arena arena = {0};
	struct record_view view;
	if (!has_key(record, story->order_id) || !seal_holds(&story->seal, topic, record->partition, record))
		return;
	record_view(record, &arena, &view);
	if (story_is_about(story, &view) || !view.event) /* what cannot be decoded has its key to be told by */
		story_add(story, topic, record);
	arena_fini(&arena);
}

/* Records from *from to `to` - 1, until the place is complete; *from: how far it came. */
static enum status scan(struct story *story, const struct place *place, int64_t *from, int64_t to, struct err *err)
{
	struct log_reader *reader;
	if (*from >= to || place->complete(story, place))
		return OK;
	enum status status = log_reader_open(story->log, place->topic, place->partition, *from, &reader, err);
	while (status == OK && !place->complete(story, place)) {
		const struct log_record *record;
		status = log_reader_next(reader, 0, &record, err);
		if (status != OK)
			break;
		*from = record && record->offset < to ? record->offset + 1 : to;
		if (*from == to && (!record || record->offset >= to))
			break;
		consider(story, place->topic, record);
	}
	log_reader_close(reader);
	return status;
}

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* Looks around an offset: onwards first. */
static enum status look_around(struct story *story, struct place *place, int64_t offset, struct err *err)
{
	int64_t low, high;
	if (place->complete(story, place))
		return OK;
	enum status status = log_bounds(story->log, place->topic, place->partition, &low, &high, err);
	if (status != OK)
		return status;
	low = place->least > low ? place->least : low;
	if (low > high)
		return OK;
	int64_t at = clamp(offset, low, high), onwards = at;
	if (place->from <= at && at < place->to) /* looked at a moment ago */
		onwards = place->to;
	int64_t back = clamp(at - STORY_REACH, low, at), least = back;
	status = scan(story, place, &onwards, at > high - STORY_REACH ? high : at + STORY_REACH, err);
	bool need_back = !place->complete(story, place);
	if (status == OK && need_back)
		status = scan(story, place, &back, place->from <= at && at < place->to ? place->from : at, err);
	place->from = need_back ? least : at;
	place->to = onwards;
	if (place->from < place->to)
		story_looked(story, "%s/%" PRId32 ": offsets %" PRId64 " to %" PRId64, place->topic, place->partition,
		             place->from, place->to - 1);
	return status;
}

/* Looks around the time of an event. cause -1: it was not found, nothing is known. */
static enum status look_after(struct story *story, struct place *place, int cause, struct err *err)
{
	int64_t offset;
	if (cause < 0 || place->complete(story, place))
		return OK;
	int64_t ms = story->events[cause].record.timestamp_ms;
	enum status status = log_offset_at(story->log, place->topic, place->partition, ms, &offset, err);
	return status == OK ? look_around(story, place, offset, err) : status;
}

static void report(struct story *story, const struct place *place, const char *what, bool found)
{
	if (found)
		return;
	if (place->from < place->to)
		story_missing(story, "%s in %s/%" PRId32 ", offsets %" PRId64 " to %" PRId64, what, place->topic,
		              place->partition, place->from, place->to - 1);
	else if (place->from == place->to)
		story_missing(story, "%s in %s/%" PRId32 ", which has no record there", what, place->topic,
		              place->partition);
	else
		story_missing(story, "%s in %s/%" PRId32 ": what leads to it was not found", what, place->topic,
		              place->partition);
}

static struct place place_of(const char *topic, int32_t partition, int64_t least,
                             bool (*complete)(const struct story *, const struct place *),
                             const struct story_group *group)
{
	return (struct place){topic, partition, least, complete, group, 0, -1};
}

/* ---- what is expected where ---- */

static int index_at(const struct story *story, int64_t offset)
{
	return offset < 0 ? -1 : story_at(story, "orders", story->partition, offset);
}

static enum status take_known(struct story *story, int64_t offset, const char *what, struct err *err)
{
	bool found;
	if (offset < 0)
		return OK;
	enum status status = take_at(story, "orders", story->partition, offset, &found, err);
	if (status == OK && !found)
		story_missing(story, "%s at orders/%" PRId32 "@%" PRId64 ": the file knows it, the log has it no more",
		              what, story->partition, offset);
	return status;
}

static bool has_command(const struct story *story, const struct place *place)
{
	return story_find(story, "inventory", place->partition, &reserve_stock_type, -1) >= 0;
}

static enum status find_command(struct story *story, const struct story_group *group, struct err *err)
{
	struct place place = place_of("inventory", group->partition, 1, has_command, group);
	bool found = false;
	enum status status = OK;
	if (group->partition < 0 || group->partition >= partitions_of(story, "inventory"))
		return OK;
	if (group->known)
		status = take_at(story, "inventory", group->partition, group->at_offset, &found, err);
	if (status == OK && !found)
		status = look_after(story, &place, index_at(story, story->placed_offset), err);
	if (status == OK)
		report(story, &place, "ReserveStock", has_command(story, &place));
	return status;
}

static bool expects_answer(const struct story_group *group)
{
	return group->state != 'W' || group->known;
}

static bool has_answer(const struct story *story, const struct place *place)
{
	return story_answer(story, place->group->partition) >= 0;
}

static bool has_answers(const struct story *story, const struct place *place)
{
	(void)place;
	for (size_t i = 0; i < story->group_count; i++)
		if (expects_answer(&story->groups[i]) && story_answer(story, story->groups[i].partition) < 0)
			return false;
	return true;
}

/* Behind the order itself first, where all of them mostly are; then around the time each was asked for. */
static enum status find_answers(struct story *story, struct err *err)
{
	struct place all = place_of("orders", story->partition, story->placed_offset + 1, has_answers, NULL);
	enum status status = look_around(story, &all, story->placed_offset + 1, err);
	for (size_t i = 0; i < story->group_count && status == OK; i++) {
		const struct story_group *group = &story->groups[i];
		struct place one = place_of("orders", story->partition, story->placed_offset + 1, has_answer, group);
		if (!expects_answer(group))
			continue;
		int command = story_find(story, "inventory", group->partition, &reserve_stock_type, -1);
		status = look_after(story, &one, command, err);
		if (!has_answer(story, &one) && one.from > one.to)
			one.from = all.from, one.to = all.to;
		report(story, &one, arena_format(&story->arena, "the answer of inventory/%" PRId32, group->partition),
		       has_answer(story, &one));
	}
	return status;
}

static bool has_commit(const struct story *story, const struct place *place)
{
	return story_find(story, "inventory", place->partition, &commit_stock_type, -1) >= 0;
}

static bool has_release(const struct story *story, const struct place *place)
{
	return story_find(story, "inventory", place->partition, &release_stock_type, -1) >= 0;
}

/* What ended the order, or its group's answer where that came later. */
static int releasing(const struct story *story, const struct story_group *group)
{
	int answer = story_answer(story, group->partition);
	bool late = answer >= 0 && story->events[answer].record.offset > story->decided_offset;
	return late ? answer : index_at(story, story->decided_offset);
}

static enum status find_end_of_group(struct story *story, const struct story_group *group, struct err *err)
{
	int command = story_find(story, "inventory", group->partition, &reserve_stock_type, -1);
	int64_t least = command >= 0 ? story->events[command].record.offset + 1 : 1;
	struct place commit = place_of("inventory", group->partition, least, has_commit, group);
	struct place release = place_of("inventory", group->partition, least, has_release, group);
	bool confirmed = story->status == STORY_CONFIRMED || story_confirming(story) >= 0;
	enum status status = OK;
	if (confirmed) {
		status = look_after(story, &commit, story_confirming(story), err);
		report(story, &commit, "CommitStock", has_commit(story, &commit));
	}
	if (status == OK && group->state == 'L') {
		status = look_after(story, &release, releasing(story, group), err);
		report(story, &release, "ReleaseStock", has_release(story, &release));
	}
	return status;
}

static bool has_outcome(const struct story *story, const struct place *place)
{
	const struct event_type *type = story->status == STORY_CONFIRMED  ? &order_confirmed_type
	                                : story->status == STORY_REJECTED ? &order_rejected_type
	                                                                  : &order_cancelled_type;
	return story_find(story, "order-events", place->partition, type, -1) >= 0;
}

static bool has_confirmed(const struct story *story, const struct place *place)
{
	return story_find(story, "order-events", place->partition, &order_confirmed_type, -1) >= 0;
}

static enum status find_outcomes(struct story *story, struct err *err)
{
	struct place outcome = place_of("order-events", story->partition, 1, has_outcome, NULL);
	struct place confirmed = place_of("order-events", story->partition, 1, has_confirmed, NULL);
	enum status status = OK;
	if (story->status == STORY_CANCELLED && story_confirming(story) >= 0) {
		status = look_after(story, &confirmed, story_confirming(story), err);
		report(story, &confirmed, "OrderConfirmed", has_confirmed(story, &confirmed));
	}
	if (status != OK || !story->placed || story->status == STORY_PENDING)
		return status;
	status = look_after(story, &outcome, index_at(story, story->decided_offset), err);
	report(story, &outcome,
	       story->status == STORY_CONFIRMED  ? "OrderConfirmed"
	       : story->status == STORY_REJECTED ? "OrderRejected"
	                                         : "OrderCancelled",
	       has_outcome(story, &outcome));
	return status;
}

/* The record that a dead letter was made of. */
static enum status take_original(struct story *story, const struct log_record *letter, struct err *err)
{
	const struct log_header *offset = header_find(letter, "kafka_dlt-original-offset");
	bool found;
	if (!offset || offset->value.len != 8)
		return OK;
	return take_at(story, "orders", letter->partition, (int64_t)be64_get(offset->value.data), &found, err);
}

static enum status take_originals(struct story *story, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0, count = story->event_count; i < count && status == OK; i++)
		if (strcmp(story->events[i].topic, "orders.dlq") == 0)
			status = take_original(story, &story->events[i].record, err);
	return status;
}

static enum status find_dead_letters(struct story *story, struct err *err)
{
	struct place place = place_of("orders.dlq", story->partition, 1, never, NULL);
	const int64_t anchors[] = {story->placed_offset, story->cancel_offset, story->decided_offset};
	enum status status = OK;
	if (partitions_of(story, "orders.dlq") <= story->partition)
		return OK;
	for (size_t i = 0; i < sizeof anchors / sizeof *anchors && status == OK; i++)
		status = look_after(story, &place, index_at(story, anchors[i]), err);
	return status == OK ? take_originals(story, err) : status;
}

/* A letter may have another key than its event (`wrong_key`), or no event that can be read. */
static void consider_letter(struct story *story, const struct log_record *record)
{
	struct arena arena = {0};
	struct record_view view;
	if (!seal_holds(&story->seal, "orders.dlq", record->partition, record))
		return;
	record_view(record, &arena, &view);
	if (story_is_about(story, &view) || (!view.event && has_key(record, story->order_id)))
		story_add(story, "orders.dlq", record);
	arena_fini(&arena);
}

/* The newest letters of a partition, at most *left, which is what remains then. */
static enum status scan_letters(struct story *story, int32_t partition, int64_t *left, struct err *err)
{
	int64_t low, high;
	struct log_reader *reader;
	enum status status = log_bounds(story->log, "orders.dlq", partition, &low, &high, err);
	if (status != OK)
		return status;
	low = low < 1 ? 1 : low; /* a genesis is no letter */
	int64_t from = high - low > *left ? high - *left : low;
	story->older_letters = story->older_letters || (from > low && high > low);
	if (from >= high)
		return OK;
	*left -= high - from;
	story_looked(story, "orders.dlq/%" PRId32 ": offsets %" PRId64 " to %" PRId64, partition, from, high - 1);
	status = log_reader_open(story->log, "orders.dlq", partition, from, &reader, err);
	while (status == OK) {
		const struct log_record *record;
		status = log_reader_next(reader, 0, &record, err);
		if (status != OK || !record || record->offset >= high)
			break;
		consider_letter(story, record);
	}
	log_reader_close(reader);
	return status;
}

enum status search_letters(struct story *story, struct err *err)
{
	int32_t count = partitions_of(story, "orders.dlq");
	int64_t left = STORY_REACH;
	enum status status = OK;
	for (int32_t i = 0; i < count && status == OK; i++)
		status = scan_letters(story, (story->partition + i) % count, &left, err);
	return status == OK ? take_originals(story, err) : status;
}

enum status search(struct story *story, struct err *err)
{
	enum status status = take_known(story, story->placed_offset, "OrderPlaced", err);
	if (status == OK)
		status = take_known(story, story->cancel_offset, "OrderCancelRequested", err);
	if (status == OK)
		status = take_known(story, story->decided_offset, "what decided the order", err);
	for (size_t i = 0; i < story->group_count && status == OK; i++)
		status = find_command(story, &story->groups[i], err);
	if (status == OK && story->group_count)
		status = find_answers(story, err);
	for (size_t i = 0; i < story->group_count && status == OK; i++)
		status = find_end_of_group(story, &story->groups[i], err);
	if (status == OK)
		status = find_outcomes(story, err);
	return status == OK ? find_dead_letters(story, err) : status;
}
