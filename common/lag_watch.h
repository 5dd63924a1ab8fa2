/* lag_watch: how far a worker is behind the log, asked by a thread of its own, so that a log that does not answer never holds
 * the worker up. Partitions that are halted are looked at like all others.
 *
 * The worker tells its positions now and then, and that wakes the thread, but within interval_ms of its last look. The lag in records is
 * what stood behind the position when it was told. Its age is that of the first record not folded yet: the log's time of the
 * record itself where the position stands still; where it moves, that of the last record folded or, if that is later, of
 * when nothing was behind. By the wall clock here against the log's. */
#ifndef TANDEM_LAG_WATCH_H
#define TANDEM_LAG_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

struct lag_watch;

struct lag_place { /* where a task is */
	int32_t partition;
	int64_t next;    /* offset to be folded next */
	int64_t last_ms; /* the log's time of the last record folded; 0: not known */
};

struct lag {
	int64_t end, records, age_ms; /* end: where the partition ended */
};

/* Takes the log over: a handle of its own, closed with it. RETRY "io": no thread (the log is closed). */
enum status lag_watch_open(struct log *log, const char *topic, const struct seam *seam, int interval_ms,
                           struct lag_watch **out, struct err *err);
void lag_watch_close(struct lag_watch *watch); /* waits for the call to the log under way. NULL is fine */

/* These are the worker's partitions now. Copied; never waits for the log. */
void lag_watch_tell(struct lag_watch *watch, const struct lag_place *places, size_t count);

/* What was found last. False: nothing was found yet. */
bool lag_watch_get(struct lag_watch *watch, int32_t partition, struct lag *out);
/* Since when (monotonic, µs) the log does not answer; 0: it does, or was not asked yet. */
int64_t lag_watch_failing_us(struct lag_watch *watch);

#endif
