/* footprint: from the start of an order worker to the record of its first command, where orders are waiting, with and without
 * a group; what both workers take of a core when there is nothing to do; how large the program is.
 *
 *   STARTS   (5)      IDLE   seconds (10)      SIDES   bare,kafka,local (all) */
#include "bench.h"
#include "seam.h"
#include "side.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAITING       40 /* orders: each partition has some */
#define DRAIN_SECONDS 60
#define SETTLE        3 /* seconds */

struct footprint {
	struct bench bench;
	int64_t starts, idle;
};

struct batch_goal {
	struct side *side;
	int64_t commands;
};

static bool has_asked(struct rig *rig, void *arg)
{
	const struct batch_goal *goal = arg;
	(void)rig;
	return side_records(goal->side, "inventory") > goal->commands;
}

/* ms from before the process is made until its first command stands in the log, by the log's own clock. */
static double start_one(struct side *side, struct generate_options *orders)
{
	int64_t from = orders->orders, ends[SIDE_PARTITIONS];
	struct batch_goal goal = {side, side_records(side, "inventory")};
	orders->orders += WAITING;
	side_publish(side, orders, from);
	side_ends(side, "inventory", ends);
	int64_t begun_ms = seam_wall_ms(&seam_system);
	side->order = side_start_one(side, "order");
	rig_until(&side->rig, DRAIN_SECONDS, "the first command", has_asked, &goal);
	int64_t first_ms = side_first_ms(side, "inventory", ends);
	side_stop(side);
	return (double)(first_ms - begun_ms);
}

static void starts(struct footprint *footprint, enum side_kind kind, const char *more, const char *how, double limit)
{
	struct side side;
	struct generate_options orders = side_orders(0);
	side_open(&side, kind);
	side.more = more;
	for (int64_t i = 0; i < footprint->starts; i++)
		bench_note(&footprint->bench, "ms", start_one(&side, &orders), NAN,
		           "%s, start to the first command, %s", side_names[kind], how);
	if (kind != SIDE_BARE)
		bench_want(&footprint->bench, BENCH_AT_MOST, false, limit, "%s, start to the first command, %s",
		           side_names[kind], how);
	side_close(&side);
}

static void idle(struct footprint *footprint, enum side_kind kind)
{
	struct side side;
	struct side_batch batch;
	struct side_rate rate;
	struct side_cpu before, after;
	struct generate_options orders = side_orders(1000), receipts = orders;
	receipts.only = PUBLISH_RECEIPTS;
	side_open(&side, kind);
	side_publish(&side, &receipts, 0);
	side_publish(&side, &orders, 0);
	side_begin(&side, &batch, 1000);
	side_start(&side);
	side_end(&side, &batch, DRAIN_SECONDS, &rate);
	sleep(SETTLE); /* the clients that asked at the start have ended */
	side_cpu(&side, &before);
	sleep((unsigned)footprint->idle);
	side_cpu(&side, &after);
	double percent = 100 / (double)footprint->idle;
	bench_note(&footprint->bench, "% of a core", (after.order - before.order) * percent, NAN,
	           "%s, nothing to do, order", side_names[kind]);
	bench_note(&footprint->bench, "% of a core", (after.inventory - before.inventory) * percent, NAN,
	           "%s, nothing to do, inventory", side_names[kind]);
	if (kind != SIDE_BARE) {
		bench_want(&footprint->bench, BENCH_AT_MOST, false, 0.5, "%s, nothing to do, order", side_names[kind]);
		bench_want(&footprint->bench, BENCH_AT_MOST, false, 0.5, "%s, nothing to do, inventory",
		           side_names[kind]);
	}
	side_stop(&side);
	side_note_memory(&side, &footprint->bench, "1,000 orders");
	side_close(&side);
}

static double kib_of(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 ? (double)info.st_size / 1024 : NAN;
}

static void sizes(struct footprint *footprint)
{
	struct side side;
	side_open(&side, SIDE_LOCAL);
	struct rig *rig = &side.rig;
	const char *stripped = arena_format(&rig->arena, "%s/stripped", rig->folder);
	const char *packed = arena_format(&rig->arena, "%s/stripped.xz", rig->folder);
	bench_note(&footprint->bench, "KiB", kib_of(rig->program), NAN, "the program, with debug information");
	if (system(arena_format(&rig->arena, "strip -o '%s' '%s'", stripped, rig->program)) == 0)
		bench_note(&footprint->bench, "KiB", kib_of(stripped), NAN, "the program, stripped");
	if (system(arena_format(&rig->arena, "xz -c '%s' > '%s'", stripped, packed)) == 0)
		bench_note(&footprint->bench, "KiB", kib_of(packed), NAN, "the program, stripped and packed by xz");
	side_close(&side);
}

int main(void)
{
	struct footprint footprint = {.starts = bench_setting("STARTS", 5), .idle = bench_setting("IDLE", 10)};
	bool on[SIDE_KINDS];
	bench_open(&footprint.bench, "footprint");
	side_choose(on);
	for (int kind = 0; kind < SIDE_KINDS; kind++) {
		if (!on[kind])
			continue;
		starts(&footprint, (enum side_kind)kind, "", "in a group", 500);
		if (kind != SIDE_BARE)
			starts(&footprint, (enum side_kind)kind, " --partitions 0-3", "without a group", 150);
		idle(&footprint, (enum side_kind)kind);
	}
	sizes(&footprint);
	bench_close(&footprint.bench);
	return 0;
}
