/* warm: what a broker gets before anything is measured on it. One that has just been started interprets its code and compiles it,
 * and takes twice the CPU an order of one that has run for a while, as a user's has.
 *
 *   WARM    seconds that this takes at most (40; 0: nothing is done)      SIDES   bare,kafka (all)
 *
 * Orders at a steady rate go through bare and through Tandem in turn, which is most requests for least work, each with topics and
 * groups of its own, until the broker's CPU an order (of both together) has not fallen twice in a row, or the time is over. */
#include "bench.h"
#include "pace.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#define DRAINED      30000 /* orders that wait: the large batches' code */
#define RATE         2000
#define SPAN         2.5  /* seconds */
#define FALLS        0.95 /* of the least so far */
#define PATIENCE     2
#define WAIT_SECONDS 60
#define STEPS_MAX    64

/* The broker's CPU an order, in us; NAN where it is not known. */
static double step(enum side_kind kind)
{
	struct side side;
	struct side_batch batch;
	struct side_rate rate;
	struct side_cpu before, after;
	struct generate_options orders = side_orders(DRAINED), receipts = orders;
	const struct timespec span = {.tv_sec = (time_t)SPAN, .tv_nsec = (long)((SPAN - (int)SPAN) * 1e9)};
	receipts.only = PUBLISH_RECEIPTS;
	orders.seed = 2; /* other ids than the pacer's */
	side_open(&side, kind);
	side.more = kind == SIDE_BARE ? " --linger 0" : "";
	side_publish(&side, &receipts, 0);
	side_publish(&side, &orders, 0);
	side_begin(&side, &batch, DRAINED);
	side_start(&side);
	side_end(&side, &batch, WAIT_SECONDS, &rate);
	struct pace *pace = pace_open(&side, RATE * ((int64_t)SPAN + 2));
	side_cpu(&side, &before);
	pace_start(pace, RATE);
	nanosleep(&span, NULL);
	pace_stop(pace, WAIT_SECONDS);
	side_cpu(&side, &after);
	double paced = (double)pace_sent(pace);
	pace_close(pace);
	side_stop(&side);
	side_close(&side);
	return after.broker > 0 ? (after.broker - before.broker) * 1e6 / paced : NAN;
}

int main(void)
{
	int64_t seconds_max = bench_setting("WARM", 40);
	bool on[SIDE_KINDS];
	double start = side_now(), least = INFINITY, longest = 0;
	int unchanged = 0;
	side_choose(on);
	for (int i = 0; i < STEPS_MAX && unchanged < PATIENCE && (on[SIDE_BARE] || on[SIDE_KAFKA]); i++) {
		double begun = side_now(), us = 0;
		if (begun - start + longest >= (double)seconds_max)
			break;
		for (int kind = SIDE_BARE; kind <= SIDE_KAFKA; kind++)
			us += on[kind] ? step((enum side_kind)kind) : 0;
		us /= on[SIDE_BARE] + on[SIDE_KAFKA];
		unchanged = us < FALLS * least || !isfinite(us) ? 0 : unchanged + 1;
		least = fmin(least, us);
		longest = fmax(longest, side_now() - begun);
		bench_say("warm: %.1f s: broker %.0f us/order", side_now() - start, us);
	}
	return 0;
}
