/* metrics_read: reads a page of metrics in Prometheus' text format (version 0.0.4), a sample at a time; what metrics.h writes, and
 * what anybody else does.
 *
 * Format: https://prometheus.io/docs/instrumenting/exposition_formats/ . The page is a peer's: a line that is no sample is
 * skipped, labels behind METRICS_READ_LABELS are dropped, and a sample takes memory for what its line holds. Not thread-safe. */
#ifndef TANDEM_METRICS_READ_H
#define TANDEM_METRICS_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "mem.h"

#define METRICS_READ_LABELS 16

struct metrics_read { /* {page, len}, and nothing else set, to begin with */
	const char *page;
	size_t len, at;
};

struct metrics_read_sample {
	const char *name;
	struct {
		const char *name, *value;
	} labels[METRICS_READ_LABELS];
	size_t label_count;
	double value; /* may be infinite, or no number */
};

/* The next sample, its texts in the arena; false: there is none any more. */
bool metrics_read_next(struct metrics_read *read, struct arena *arena, struct metrics_read_sample *out);

/* The value of a label; "" where the sample has none of that name. */
const char *metrics_read_label(const struct metrics_read_sample *sample, const char *name);

#endif
