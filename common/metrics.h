/* metrics: a page of metrics in Prometheus' text format, version 0.0.4, and histograms to put into it.
 *
 * Format: https://prometheus.io/docs/instrumenting/exposition_formats/ . All samples of a family stand together behind
 * metrics_family. Label values are escaped, and bytes that are no UTF-8 become '?': any text is fine. Seconds are counted in
 * microseconds and printed in seconds. Nothing here allocates but the page. Not thread-safe. */
#ifndef TANDEM_METRICS_H
#define TANDEM_METRICS_H

#include <stdint.h>

#include "bytes.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_label {
	const char *name;
	const char *text; /* NULL: the number */
	int64_t number;
};

#define METRICS_TEXT(name, value) ((struct metrics_label){(name), (value), 0})
#define METRICS_INT(name, value)  ((struct metrics_label){(name), NULL, (value)})

/* kind: "counter", "gauge" or "histogram". help: one sentence without line breaks. */
void metrics_family(struct buf *page, const char *name, const char *kind, const char *help);

/* Labels end with one whose name is NULL; NULL: none. */
void metrics_put(struct buf *page, const char *name, const struct metrics_label *labels, int64_t value);
void metrics_put_us(struct buf *page, const char *name, const struct metrics_label *labels, int64_t microseconds);

/* metrics_sample(page, "tandem_consumer_lag", lag, METRICS_TEXT("topic", t), METRICS_INT("partition", p)); */
#define metrics_sample(page, name, ...)  METRICS_ARGUMENTS(metrics_put, page, name, __VA_ARGS__, {0})
#define metrics_seconds(page, name, ...) METRICS_ARGUMENTS(metrics_put_us, page, name, __VA_ARGS__, {0})
#define METRICS_ARGUMENTS(put, page, name, value, ...)                                                                 \
	put((page), (name), (const struct metrics_label[]){__VA_ARGS__}, (value))

/* Bounds 1, 2, 5, 10, ... 10^8, and one bucket above: microseconds up to 100 s, or plain numbers. Zero-initialise it. */
#define HISTOGRAM_BOUNDS 25
struct histogram {
	int64_t buckets[HISTOGRAM_BOUNDS + 1];
	int64_t sum, count;
};

void histogram_add(struct histogram *histogram, int64_t value); /* a negative one counts as 0 */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* At most METRICS_LABELS_MAX labels. */
#define METRICS_LABELS_MAX 6
void metrics_histogram(struct buf *page, const char *name, const struct metrics_label *labels,
                       const struct histogram *histogram);
void metrics_histogram_us(struct buf *page, const char *name, const struct metrics_label *labels,
                          const struct histogram *histogram);

#endif
