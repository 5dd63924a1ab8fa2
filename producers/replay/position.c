#include "position.h"

#include "nearest.h"
#include "timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool position_parse(const char *text, struct replay_position *out)
{
	if (strcmp(text, "beginning") == 0 || strcmp(text, "end") == 0) {
		out->at = *text == 'b' ? REPLAY_BEGINNING : REPLAY_END;
		return true;
	}
	if (*text == '@') {
		out->at = REPLAY_TIME;
		return timestamp_parse(text + 1, &out->value);
	}
	bool back = *text == '-';
	const char *digits = text + back;
	if (!*digits || strspn(digits, "0123456789") != strlen(digits))
		return false;
	errno = 0;
	out->at = back ? REPLAY_BEFORE_END : REPLAY_OFFSET;
	out->value = strtoll(digits, NULL, 10);
	return !errno;
}

/* ---- topics ---- */

static const char *name_at(const void *names, size_t i)
{
	return ((const char *const *)names)[i];
}

static enum status unknown_topic(struct log *log, const char *topic, struct arena *arena, struct err *err)
{
	const char **names, *near = NULL;
	size_t count;
	if (log_topic_list(log, arena, &names, &count, NULL) == OK && count) {
		const char **ended = arena_alloc(arena, (count + 1) * sizeof *ended);
		memcpy(ended, names, count * sizeof *ended);
		ended[count] = NULL;
		near = nearest(topic, name_at, ended);
	}
	return err_set(err, FATAL, "unknown_topic", "%s: there is no topic %s%s%s%s", log_url(log), topic,
	               near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static const char *tstype_of(const struct log_topic *topic)
{
	for (size_t i = 0; i < topic->setting_count; i++) {
		if (strcmp(topic->settings[i].name, "message.timestamp.type") == 0)
			return strcmp(topic->settings[i].value, "LogAppendTime") == 0 ? "logappend" : "create";
	}
	return "unknown";
}

static enum status describe(const struct replay_run *run, const char *name, struct arena *arena,
                            struct replay_topic **out, struct err *err)
{
	struct log_topic topic;
	enum status status = log_topic_describe(run->log, name, arena, &topic, err);
	if (status != OK)
		return err_context(err, status, "topic %s", name);
	if (!topic.exists)
		return unknown_topic(run->log, name, arena, err);
	int64_t partition = run->selection->partition;
	if (partition >= topic.partitions)
		return err_set(err, REJECT, "usage", "-p: found %" PRId64 ", expected 0 to %" PRId32 " of topic %s",
		               partition, topic.partitions - 1, name);
	*out = arena_alloc(arena, sizeof **out);
	**out = (struct replay_topic){.name = name, .partitions = topic.partitions, .tstype = tstype_of(&topic)};
	return OK;
}

/* ---- offsets ---- */

static enum status begin_of(const struct replay_run *run, struct replay_slice *slice, int64_t low, int64_t high,
                            struct err *err)
{
	const struct replay_position *from = &run->selection->from;
	const char *topic = slice->topic->name;
	enum status status = OK;
	switch (from->at) {
	case REPLAY_BEGINNING:
		slice->from = low;
		break;
	case REPLAY_END:
		slice->from = high;
		break;
	case REPLAY_BEFORE_END:
		slice->from = from->value < high - low ? high - from->value : low;
		break;
	case REPLAY_TIME:
		status = log_offset_at(run->log, topic, slice->partition, from->value, &slice->from, err);
		break;
	case REPLAY_OFFSET:
		slice->from = from->value;
		if (from->value < low)
			status = err_set(err, FATAL, "out_of_range",
			                 "%s/%" PRId32 " begins at offset %" PRId64 ", found -o %" PRId64
			                 ": what was before is gone; -o beginning takes what is left",
			                 topic, slice->partition, low, from->value);
		else if (from->value > high && run->notes)
			fprintf(run->notes,
			        "tandem replay: %s/%" PRId32 " ends at offset %" PRId64 ", before %" PRId64 "\n", topic,
			        slice->partition, high, from->value);
		break;
	}
	if (slice->from > high)
		slice->from = high;
	return status;
}

static enum status end_of(const struct replay_run *run, struct replay_slice *slice, int64_t high, struct err *err)
{
	const struct replay_selection *selection = run->selection;
	slice->to = selection->follow ? INT64_MAX : high;
	if (selection->to_offset >= 0 && selection->to_offset < slice->to)
		slice->to = selection->to_offset;
	if (!selection->has_until)
		return OK;
	int64_t until;
	enum status status =
		log_offset_at(run->log, slice->topic->name, slice->partition, selection->until_ms, &until, err);
	if (status == OK && until < slice->to)
		slice->to = until;
	return status;
}

static enum status make_slice(const struct replay_run *run, struct replay_slice *slice, struct err *err)
{
	int64_t low, high;
	enum status status = log_bounds(run->log, slice->topic->name, slice->partition, &low, &high, err);
	if (status == OK)
		status = begin_of(run, slice, low, high, err);
	if (status == OK)
		status = end_of(run, slice, high, err);
	slice->next = slice->from;
	return status;
}

static enum status topic_slices(const struct replay_run *run, const char *name, struct arena *arena,
                                struct replay_slice **slices, size_t *count, struct err *err)
{
	struct replay_topic *topic = NULL;
	enum status status = describe(run, name, arena, &topic, err);
	if (status != OK)
		return status;
	struct replay_slice *all = arena_alloc(arena, (*count + (size_t)topic->partitions) * sizeof *all);
	if (*count)
		memcpy(all, *slices, *count * sizeof *all);
	for (int32_t p = 0; p < topic->partitions && status == OK; p++) {
		if (run->selection->partition >= 0 && run->selection->partition != p)
			continue;
		all[*count] = (struct replay_slice){.topic = topic, .partition = p};
		status = make_slice(run, &all[(*count)++], err);
	}
	*slices = all;
	return status;
}

enum status position_slices(const struct replay_run *run, struct arena *arena, struct replay_slice **slices,
                            size_t *count, struct err *err)
{
	enum status status = OK;
	*slices = NULL;
	*count = 0;
	for (size_t i = 0; i < run->selection->topic_count && status == OK; i++)
		status = topic_slices(run, run->selection->topics[i], arena, slices, count, err);
	return status;
}
