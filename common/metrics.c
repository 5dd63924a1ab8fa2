#include "metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define US 1000000

static const int64_t bounds[HISTOGRAM_BOUNDS] = {
	1,     2,     5,      10,     20,     50,      100,     200,     500,      1000,     2000,     5000,      10000,
	20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000, 50000000, 100000000,
};

void metrics_family(struct buf *page, const char *name, const char *kind, const char *help)
{
	buf_putf(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void put_text(struct buf *page, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		size_t len = utf8_bytes(text, left);
		if (len == 0) {
			buf_put_u8(page, '?');
			len = 1;
		} else if (*text == '\n') {
			buf_put(page, "\\n", 2);
		} else {
			if (*text == '"' || *text == '\\')
				buf_put_u8(page, '\\');
			buf_put(page, text, len);
		}
		text += len;
		left -= len;
	}
}

static void put_labels(struct buf *page, const struct metrics_label *labels)
{
	if (!labels || !labels->name)
		return;
	buf_put_u8(page, '{');
	for (const struct metrics_label *label = labels; label->name; label++) {
		buf_putf(page, "%s%s=\"", label == labels ? "" : ",", label->name);
		if (label->text)
			put_text(page, label->text);
		else
			buf_putf(page, "%" PRId64, label->number);
		buf_put_u8(page, '"');
	}
	buf_put_u8(page, '}');
}

static void put_seconds(struct buf *page, int64_t us)
{
	uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
	buf_putf(page, "%s%" PRIu64 ".%06" PRIu64, us < 0 ? "-" : "", size / US, size % US);
}

void metrics_put(struct buf *page, const char *name, const struct metrics_label *labels, int64_t value)
{
	buf_put(page, name, strlen(name));
	put_labels(page, labels);
	buf_putf(page, " %" PRId64 "\n", value);
}

void metrics_put_us(struct buf *page, const char *name, const struct metrics_label *labels, int64_t microseconds)
{
	buf_put(page, name, strlen(name));
	put_labels(page, labels);
	buf_put_u8(page, ' ');
	put_seconds(page, microseconds);
	buf_put_u8(page, '\n');
}

void histogram_add(struct histogram *histogram, int64_t value)
{
	size_t i = 0;
	if (value < 0)
		value = 0;
	while (i < HISTOGRAM_BOUNDS && value > bounds[i])
		i++;
	histogram->buckets[i]++;
	histogram->sum += value;
	histogram->count++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		to->buckets[i] += from->buckets[i];
	to->sum += from->sum;
	to->count += from->count;
}

static void put_part(struct buf *page, const char *name, const char *part, const struct metrics_label *labels)
{
	buf_putf(page, "%s_%s", name, part);
	put_labels(page, labels);
	buf_put_u8(page, ' ');
}

/* "0.00002" and "0.5", as everybody writes them: no zeros behind. */
static void bound_text(char *out, size_t room, int64_t bound, bool is_us)
{
	if (!is_us || bound % US == 0) {
		snprintf(out, room, "%" PRId64, is_us ? bound / US : bound);
		return;
	}
	snprintf(out, room, "%" PRId64 ".%06" PRId64, bound / US, bound % US);
	for (size_t len = strlen(out); out[len - 1] == '0'; len--)
		out[len - 1] = 0;
}

static void put_histogram(struct buf *page, const char *name, const struct metrics_label *given,
                          const struct histogram *histogram, bool is_us)
{
	struct metrics_label labels[METRICS_LABELS_MAX + 2] = {{0}};
	char bound[24] = "+Inf";
	size_t count = 0;
	for (; given && given[count].name; count++) {
		assert(count < METRICS_LABELS_MAX);
		labels[count] = given[count];
	}
	int64_t below = 0;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		below += histogram->buckets[i];
		bound_text(bound, sizeof bound, bounds[i], is_us);
		labels[count] = METRICS_TEXT("le", bound);
		put_part(page, name, "bucket", labels);
		buf_putf(page, "%" PRId64 "\n", below);
	}
	labels[count] = METRICS_TEXT("le", "+Inf");
	put_part(page, name, "bucket", labels);
	buf_putf(page, "%" PRId64 "\n", histogram->count);
	labels[count] = (struct metrics_label){0};
	put_part(page, name, "sum", labels);
	if (is_us)
		put_seconds(page, histogram->sum);
	else
		buf_putf(page, "%" PRId64, histogram->sum);
	buf_put_u8(page, '\n');
	put_part(page, name, "count", labels);
	buf_putf(page, "%" PRId64 "\n", histogram->count);
}

void metrics_histogram(struct buf *page, const char *name, const struct metrics_label *labels,
                       const struct histogram *histogram)
{
	put_histogram(page, name, labels, histogram, false);
}

void metrics_histogram_us(struct buf *page, const char *name, const struct metrics_label *labels,
                          const struct histogram *histogram)
{
	put_histogram(page, name, labels, histogram, true);
}
