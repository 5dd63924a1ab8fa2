/* pace: orders at a steady rate, and when each one's outcome reached a reader. A thread publishes by the clock, another reads
 * order-events; each has a log of its own. An order that should have gone out at a time counts from that time, also where the
 * publisher was late. The first outcome of an order counts. */
#ifndef TANDEM_TESTS_BENCH_PACE_H
#define TANDEM_TESTS_BENCH_PACE_H

#include "side.h"

struct pace;

/* Starts reading behind what is there. orders_max: of all runs together. */
struct pace *pace_open(struct side *side, int64_t orders_max);
/* Goes on from the last order. Does not wait. */
void pace_start(struct pace *pace, int64_t rate);
/* No more orders; waits until each has its outcome, or fails naming the first that has none. */
void pace_stop(struct pace *pace, int seconds_max);
/* No more orders; does not wait: a killed bare loses what it had committed and not yet sent on. */
void pace_leave(struct pace *pace);
int64_t pace_missing(const struct pace *pace); /* orders without an outcome so far */
void pace_close(struct pace *pace);            /* after pace_stop or pace_leave */

int64_t pace_sent(const struct pace *pace); /* orders so far: the number of the next one */
/* The outcomes of orders from..to-1: how long each took, sorted, in milliseconds. */
struct pace_times {
	double *ms; /* mem_free */
	size_t count;
};
void pace_times(const struct pace *pace, int64_t from, int64_t to, struct pace_times *out);
void pace_sort(struct pace_times *times);
double pace_quantile(const struct pace_times *times, double share); /* 0.5: the median; 1: the most */
/* When the first outcome of any order from `from` on came, as side_now; 0: none did yet. */
double pace_first(const struct pace *pace, int64_t from);
/* When the last of the first outcomes of orders from..to-1 came; 0: one has none yet. */
double pace_all(const struct pace *pace, int64_t from, int64_t to);

#endif
