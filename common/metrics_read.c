#include "metrics_read.h"

#include <stdlib.h>
#include <string.h>

struct line { /* being read; ends with NUL */
	const char *at;
	struct arena *arena;
};

static void skip_space(struct line *line)
{
	while (*line->at == ' ' || *line->at == '\t')
		line->at++;
}

static bool take(struct line *line, char c)
{
	skip_space(line);
	if (*line->at != c)
		return false;
	line->at++;
	return true;
}

static bool is_name(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
	       (!first && c >= '0' && c <= '9');
}

static const char *take_name(struct line *line)
{
	skip_space(line);
	const char *begin = line->at;
	while (is_name(*line->at, line->at == begin))
		line->at++;
	return line->at > begin ? arena_copy(line->arena, begin, (size_t)(line->at - begin)) : NULL;
}

/* In quotes, with \\, \" and \n. */
static const char *take_value(struct line *line)
{
	if (!take(line, '"'))
		return NULL;
	const char *end = line->at;
	while (*end && *end != '"')
		end += end[0] == '\\' && end[1] ? 2 : 1;
	if (*end != '"')
		return NULL;
	char *value = arena_copy(line->arena, line->at, (size_t)(end - line->at)), *to = value;
	for (const char *from = value; *from; from++, to++) {
		if (*from == '\\' && from[1])
			*to = *++from == 'n' ? '\n' : *from;
		else
			*to = *from;
	}
	*to = 0;
	line->at = end + 1;
	return value;
}

/* Behind the brace. */
static bool take_labels(struct line *line, struct metrics_read_sample *out)
{
	while (!take(line, '}')) {
		const char *name = take_name(line), *value = name && take(line, '=') ? take_value(line) : NULL;
		if (!value)
			return false;
		if (out->label_count < METRICS_READ_LABELS) {
			out->labels[out->label_count].name = name;
			out->labels[out->label_count++].value = value;
		}
		if (!take(line, ',') && *line->at != '}')
			return false;
	}
	return true;
}

/* A time stamp may stand behind the value. */
static bool take_sample(struct line *line, struct metrics_read_sample *out)
{
	char *end;
	*out = (struct metrics_read_sample){.name = take_name(line)};
	if (!out->name || (take(line, '{') && !take_labels(line, out)))
		return false;
	skip_space(line);
	out->value = strtod(line->at, &end);
	return end != line->at && (!*end || *end == ' ' || *end == '\t' || *end == '\r');
}

bool metrics_read_next(struct metrics_read *read, struct arena *arena, struct metrics_read_sample *out)
{
	while (read->at < read->len) {
		const char *begin = read->page + read->at;
		const char *end = memchr(begin, '\n', read->len - read->at);
		size_t len = end ? (size_t)(end - begin) : read->len - read->at;
		read->at += len + (end != NULL);
		if (!len || *begin == '#')
			continue;
		struct line line = {arena_copy(arena, begin, len), arena};
		if (take_sample(&line, out))
			return true;
	}
	return false;
}

const char *metrics_read_label(const struct metrics_read_sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->label_count; i++)
		if (strcmp(sample->labels[i].name, name) == 0)
			return sample->labels[i].value;
	return "";
}
