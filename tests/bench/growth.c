/* growth: how the drain slows down as state grows, and what an order takes on disk, with time-ordered and with random ids.
 *
 *   ORDERS   in state in the end (1000000; 10000000 is the long form)     BATCH   orders of each measured drain (30000)
 *   SIDES    kafka,local (local: SQLite is the same on both)     IDS     time,random (both)
 *
 * Through warm workers: BATCHES drains behind 10,000 orders, then on to ORDERS, and BATCHES drains there. */
#include "bench.h"
#include "side.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SMALL         10000
#define BATCHES       3
#define STEPS         10 /* on the way */
#define DRAIN_SECONDS 600

struct growth {
	struct bench bench;
	int64_t orders, batch;
	struct side side;
	struct generate_options options;
	int64_t done; /* orders drained so far */
};

static struct side_rate drain(struct growth *growth, int64_t count)
{
	struct side_batch batch;
	struct side_rate rate;
	growth->options.orders = growth->done + count;
	if (growth->side.order)
		side_pause(&growth->side);
	side_publish(&growth->side, &growth->options, growth->done);
	side_begin(&growth->side, &batch, count);
	if (growth->side.order)
		side_resume(&growth->side);
	else
		side_start(&growth->side);
	side_end(&growth->side, &batch, DRAIN_SECONDS, &rate);
	growth->done += count;
	return rate;
}

static double state_bytes(struct growth *growth)
{
	static const char sql[] = "SELECT (SELECT * FROM pragma_page_count) * (SELECT * FROM pragma_page_size)";
	return (double)(rig_sum(&growth->side.rig, "order", sql) + rig_sum(&growth->side.rig, "inventory", sql));
}

struct level {
	double rates[BATCHES], cpu_us[BATCHES];
};

static void measure(struct growth *growth, struct level *level)
{
	for (int i = 0; i < BATCHES; i++) {
		struct side_rate rate = drain(growth, growth->batch);
		level->rates[i] = rate.orders_per_second;
		level->cpu_us[i] = rate.worker_us;
	}
}

static void note_level(struct growth *growth, const char *ids, int64_t orders, const struct level *level,
                       const struct level *base)
{
	const char *side = side_names[growth->side.kind];
	double rate = base ? bench_median(base->rates, BATCHES) : NAN;
	double cpu_us = base ? bench_median(base->cpu_us, BATCHES) : NAN;
	for (int i = 0; i < BATCHES; i++) {
		bench_note(&growth->bench, "orders/s", level->rates[i], rate, "%s, %s ids, behind %lld orders", side,
		           ids, (long long)orders);
		bench_note(&growth->bench, "us/order", level->cpu_us[i], cpu_us,
		           "%s, %s ids, behind %lld orders, workers' CPU", side, ids, (long long)orders);
	}
}

static void run(struct growth *growth, enum side_kind kind, enum generate_ids kind_of_ids, const char *ids)
{
	struct level small, large;
	growth->options = side_orders(0);
	growth->options.ids = kind_of_ids;
	growth->done = 0;
	side_open(&growth->side, kind);
	struct generate_options receipts = growth->options;
	receipts.only = PUBLISH_RECEIPTS;
	side_publish(&growth->side, &receipts, 0);
	drain(growth, SMALL);
	double bytes = state_bytes(growth);
	int64_t before = growth->done;
	measure(growth, &small);
	int64_t step = (growth->orders - growth->done) / STEPS + 1;
	while (growth->done < growth->orders) {
		int64_t left = growth->orders - growth->done;
		double rate = drain(growth, left < step ? left : step).orders_per_second;
		bench_point(&growth->bench, (double)growth->done, rate, "%s, %s ids", side_names[kind], ids);
		bench_say("growth: %s, %s ids: %lld orders, the last at %.0f a second, %.0f bytes each",
		          side_names[kind], ids, (long long)growth->done, rate,
		          (state_bytes(growth) - bytes) / (double)(growth->done - before));
	}
	bytes = (state_bytes(growth) - bytes) / (double)(growth->done - before);
	measure(growth, &large);
	note_level(growth, ids, SMALL, &small, NULL);
	note_level(growth, ids, growth->orders, &large, &small);
	bench_note(&growth->bench, "bytes", bytes, NAN, "%s, %s ids, state an order", side_names[kind], ids);
	side_stop(&growth->side);
	side_note_memory(&growth->side, &growth->bench, ids);
	side_close(&growth->side);
}

static const char *const options[] = {[GENERATE_TIME] = "time", [GENERATE_RANDOM] = "random"};
#define IDS (sizeof options / sizeof *options)

static void run_ids(struct growth *growth, enum side_kind kind, enum generate_ids ids)
{
	static const struct {
		const char *name;
		double share; /* of the rate at first */
	} kinds[IDS] = {[GENERATE_TIME] = {"time-ordered", 0.8}, [GENERATE_RANDOM] = {"random", 0.5}};
	const char *name = kinds[ids].name;
	run(growth, kind, ids, name);
	bench_want(&growth->bench, BENCH_AT_LEAST, true, kinds[ids].share, "%s, %s ids, behind %lld orders",
	           side_names[kind], name, (long long)growth->orders);
	bench_want(&growth->bench, BENCH_AT_MOST, false, 150, "%s, %s ids, state an order", side_names[kind], name);
}

int main(void)
{
	struct growth growth = {.orders = bench_setting("ORDERS", 1000000), .batch = bench_setting("BATCH", 30000)};
	bool on[SIDE_KINDS], wanted[IDS];
	side_choose(on);
	bench_choose("IDS", options, IDS, wanted);
	on[SIDE_BARE] = false;
	if (!getenv("SIDES"))
		on[SIDE_KAFKA] = false;
	bench_open(&growth.bench, "growth");
	for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++)
		for (size_t ids = 0; ids < IDS; ids++)
			if (on[kind] && wanted[ids])
				run_ids(&growth, (enum side_kind)kind, (enum generate_ids)ids);
	bench_close(&growth.bench);
	return 0;
}
