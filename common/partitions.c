#include "partitions.h"

#include "mem.h"

#include <errno.h>
#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

static bool parse_number(const char **at, int32_t *out)
{
	char *end;
	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	long value = strtol(*at, &end, 10);
	if (errno || value >= PARTITIONS_MAX)
		return false;
	*at = end;
	*out = (int32_t)value;
	return true;
}

static bool parse_range(const char **at, int32_t *first, int32_t *last)
{
	if (!parse_number(at, first))
		return false;
	*last = *first;
	if (**at != '-')
		return true;
	++*at;
	return parse_number(at, last) && *last >= *first;
}

static void add(struct partitions *partitions, int32_t partition)
{
	for (size_t i = 0; i < partitions->count; i++)
		if (partitions->items[i] == partition)
			return;
	partitions->items = mem_realloc(partitions->items, (partitions->count + 1) * sizeof *partitions->items);
	partitions->items[partitions->count++] = partition;
}

enum status partitions_parse(const char *text, struct partitions *out, struct err *err)
{
	*out = (struct partitions){0};
	for (const char *at = text;; at++) {
		int32_t first, last;
		if (!parse_range(&at, &first, &last) || (*at && *at != ',')) {
			partitions_fini(out);
			return err_set(err, REJECT, "usage",
			               "'%s' is no list of partitions, expected one like 0,2-4 (below %d)", text,
			               PARTITIONS_MAX);
		}
		for (int32_t p = first; p <= last; p++)
			add(out, p);
		if (!*at)
			break;
	}
	qsort(out->items, out->count, sizeof *out->items, by_number);
	return OK;
}

static enum status count_of(struct log *log, const char *topic, int32_t *count, struct err *err)
{
	struct arena arena = {0};
	struct log_topic found;
	enum status status = log_topic_describe(log, topic, &arena, &found, err);
	*count = status == OK ? found.partitions : 0;
	if (status == OK && !found.exists)
		status = err_set(err, FATAL, "unknown_topic", "topic %s does not exist; run `tandem topics create`",
		                 log_full_name(log, topic));
	arena_fini(&arena);
	return status;
}

enum status partitions_all(struct log *log, const char *topic, struct partitions *out, struct err *err)
{
	int32_t count;
	*out = (struct partitions){0};
	enum status status = count_of(log, topic, &count, err);
	for (int32_t p = 0; status == OK && p < count; p++)
		add(out, p);
	return status;
}

enum status partitions_choose(struct log *log, const char *topic, const char *text, struct partitions *out,
                              struct err *err)
{
	int32_t count;
	if (!text)
		return partitions_all(log, topic, out, err);
	enum status status = partitions_parse(text, out, err);
	if (status == OK)
		status = count_of(log, topic, &count, err);
	if (status == OK && out->items[out->count - 1] >= count)
		status = err_set(err, REJECT, "usage", "partition %d was asked for, %s has %d (0 to %d)",
		                 out->items[out->count - 1], log_full_name(log, topic), count, count - 1);
	if (status != OK)
		partitions_fini(out);
	return status;
}

void partitions_fini(struct partitions *partitions)
{
	mem_free(partitions->items);
	*partitions = (struct partitions){0};
}
