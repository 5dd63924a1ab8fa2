/* fake_clock: a seam whose time and random bytes are what the test says. One thread. */
#ifndef TANDEM_TESTS_FAKE_CLOCK_H
#define TANDEM_TESTS_FAKE_CLOCK_H

#include "seam.h"

struct fake_clock {
	struct seam seam; /* of this clock; which must stay where it is */
	int64_t wall_ms, monotonic_us;
	int64_t tick_us;         /* monotonic time goes on by it before each answer: what waits ends */
	int random, random_step; /* the byte that is drawn, all over; what it grows by behind each draw */
};

/* Stands still, in November 2026; 7 is drawn. */
void fake_clock_init(struct fake_clock *clock);

#endif
