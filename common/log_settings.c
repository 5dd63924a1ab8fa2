#include "log_settings.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_OVERHEAD_BYTES 80 /* a batch's header (61) and the lengths */
#define HEADER_OVERHEAD_BYTES 4
#define MESSAGE_BYTES_MAX     1048588 /* Kafka's default */

static const struct {
	struct log_setting setting;
	bool fixed; /* the only value there is */
} known[] = {
	{{"cleanup.policy", "delete"}, true},
	{{"max.message.bytes", "1048588"}, false},
	{{"message.timestamp.type", "LogAppendTime"}, true},
	{{"min.insync.replicas", "1"}, false},
	{{"retention.bytes", "-1"}, true},
	{{"retention.ms", "-1"}, true},
	{{"unclean.leader.election.enable", "false"}, false},
};

#define KNOWN_COUNT (sizeof known / sizeof *known)

static const char *find(const struct log_setting *settings, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(settings[i].name, name) == 0)
			return settings[i].value;
	return NULL;
}

static bool parse_bytes(const char *text, int64_t *out)
{
	char *end;
	long long value = strtoll(text, &end, 10);
	*out = value;
	return *text && !*end && value >= 0 && value <= INT32_MAX;
}

int64_t log_settings_record_bytes_max(const struct log_setting *settings, size_t count)
{
	int64_t bytes;
	const char *text = find(settings, count, "max.message.bytes");
	return text && parse_bytes(text, &bytes) ? bytes : MESSAGE_BYTES_MAX;
}

int64_t log_settings_record_bytes(const struct log_record *record)
{
	int64_t bytes = RECORD_OVERHEAD_BYTES;
	bytes += record->key.len > 0 ? record->key.len : 0;
	bytes += record->value.len > 0 ? record->value.len : 0;
	for (size_t i = 0; i < record->header_count; i++) {
		const struct log_header *header = &record->headers[i];
		bytes += HEADER_OVERHEAD_BYTES + (int64_t)strlen(header->name);
		bytes += header->value.len > 0 ? header->value.len : 0;
	}
	return bytes;
}

enum status log_settings_check(const struct log_topic *topic, struct err *err)
{
	if (topic->replicas > 1)
		return err_set(err, REJECT, "invalid", "topic %s: %d replicas, but a local log is on one machine",
		               topic->name, (int)topic->replicas);
	for (size_t i = 0; i < KNOWN_COUNT; i++) {
		const struct log_setting *only = &known[i].setting;
		const char *value = find(topic->settings, topic->setting_count, only->name);
		if (known[i].fixed && value && strcmp(value, only->value) != 0)
			return err_set(err, REJECT, "invalid", "topic %s: %s is always %s in a local log, not %s",
			               topic->name, only->name, only->value, value);
	}
	int64_t bytes;
	const char *limit = find(topic->settings, topic->setting_count, "max.message.bytes");
	if (limit && !parse_bytes(limit, &bytes))
		return err_set(err, REJECT, "invalid", "topic %s: max.message.bytes=%s is no number of bytes",
		               topic->name, limit);
	return OK;
}

static int setting_compare(const void *a, const void *b)
{
	return strcmp(((const struct log_setting *)a)->name, ((const struct log_setting *)b)->name);
}

const struct log_setting *log_settings_effective(const struct log_setting *given, size_t given_count,
                                                 struct arena *arena, size_t *count)
{
	struct log_setting *all = arena_alloc(arena, (given_count + KNOWN_COUNT) * sizeof *all);
	size_t n = 0;
	for (size_t i = 0; i < given_count; i++)
		all[n++] = (struct log_setting){arena_copy(arena, given[i].name, strlen(given[i].name)),
		                                arena_copy(arena, given[i].value, strlen(given[i].value))};
	for (size_t i = 0; i < KNOWN_COUNT; i++)
		if (!find(given, given_count, known[i].setting.name))
			all[n++] = known[i].setting;
	qsort(all, n, sizeof *all, setting_compare);
	*count = n;
	return all;
}
