#include "pace.h"

#define SLICE_MS 100   /* how often it asks whether it should stop */
#define AHEAD_US 10000 /* so much may be let through early: waits are not made for microseconds */

enum status pace_admit(struct pace *pace, const struct replay_sink *sink, bool (*stopped)(void), struct err *err)
{
	if (!pace->rate)
		return OK;
	int64_t now_us = seam_monotonic_us(pace->seam);
	if (!pace->admitted)
		pace->started_us = now_us;
	int64_t due_us = pace->started_us + (int64_t)((double)pace->admitted * 1e6 / (double)pace->rate);
	enum status status = OK;
	while (status == OK && due_us - now_us >= AHEAD_US) {
		int64_t left_ms = (due_us - now_us + 999) / 1000;
		if (stopped && stopped())
			return err_set(err, RETRY, "interrupted", "interrupted");
		if (sink->idle)
			status = sink->idle(sink->arg, err);
		log_wait(pace->log, (int)(left_ms < SLICE_MS ? left_ms : SLICE_MS));
		now_us = seam_monotonic_us(pace->seam);
	}
	pace->admitted += status == OK;
	return status;
}
