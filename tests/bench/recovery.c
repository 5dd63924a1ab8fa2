/* recovery: 1,000 orders a second, and a worker is killed (kill -9) and started again at once: how long until an order that
 * was placed after the restart has its outcome. The same with the worker's files deleted behind many orders, and the longest
 * that an order waits while a second order worker joins, and leaves.
 *
 *   WIPED    orders before the files are deleted (300000; 3000000 is the long form)      WIPES   of each worker (3)
 *   ROUNDS   (1)      KILLS   of each worker in a round (3)      TAKEOVER   seconds that one is watched (5)
 *   SIDES    bare,kafka,local (all)
 *
 * Who is killed is a static member (--instance-id): without, its group waits for its session to be over. */
#include "bench.h"
#include "pace.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RATE          1000
#define WARM_ORDERS   5000
#define WAIT_SECONDS  120
#define DRAIN_SECONDS 600
#define SETTLE        1.0 /* seconds before each blow */
#define EVERY_WHERE   100 /* so many orders are in every partition */
#define LOST          3.0 /* seconds after which an outcome will not come any more */
#define ORDERS_MAX    (RATE * 600)

struct recovery {
	struct bench bench;
	int64_t wiped, wipes, kills, takeover;
	bool on[SIDE_KINDS];
};

static void nap(double seconds)
{
	usleep((useconds_t)(seconds * 1e6));
}

/* Both programs, having drained so many orders. */
static void begin(struct side *side, enum side_kind kind, const char *more, int64_t orders_count)
{
	struct side_batch batch;
	struct side_rate rate;
	struct generate_options orders = side_orders(orders_count), receipts = orders;
	receipts.only = PUBLISH_RECEIPTS;
	orders.seed = 2; /* other ids than the pacer's */
	side_open(side, kind);
	side->more = more;
	side_publish(side, &receipts, 0);
	side_publish(side, &orders, 0);
	side_begin(side, &batch, orders_count);
	side_start(side);
	side_end(side, &batch, DRAIN_SECONDS, &rate);
}

/* bare need not find everything again: it may have committed what it had not sent on. */
static void finish(struct recovery *recovery, struct side *side, struct pace *pace, const char *during)
{
	if (side->kind == SIDE_BARE) {
		pace_leave(pace);
		nap(LOST);
	} else {
		pace_stop(pace, WAIT_SECONDS);
	}
	bench_note(&recovery->bench, "orders", (double)pace_missing(pace), NAN, "%s, %s, without an outcome",
	           side_names[side->kind], during);
	pace_close(pace);
	side_stop(side);
	if (side->kind != SIDE_BARE)
		side_note_memory(side, &recovery->bench, during);
	side_close(side);
}

struct first {
	struct pace *pace;
	int64_t from;
};

static bool has_come(struct rig *rig, void *arg)
{
	struct first *first = arg;
	(void)rig;
	return pace_first(first->pace, first->from) > 0;
}

static void delete_files(struct side *side, const char *role)
{
	if (system(arena_format(&side->rig.arena, "rm -rf '%s/%s'", side->rig.data, role)) != 0)
		bench_say("the files of the %s worker could not be deleted", role);
}

static bool have_all_come(struct rig *rig, void *arg)
{
	struct first *first = arg;
	(void)rig;
	return pace_all(first->pace, first->from, first->from + EVERY_WHERE) > 0;
}

/* Returns seconds from the blow to the first outcome of an order placed after the restart; *all, where the files were wiped:
 * until there is one from every partition. */
static double kill_one(struct side *side, struct pace *pace, bool order, bool wipe, double *all)
{
	struct rig_process **victim = order ? &side->order : &side->inventory;
	const char *role = order ? "order" : "inventory";
	nap(SETTLE);
	double blow = side_now();
	rig_end(&side->rig, *victim, SIGKILL, 10);
	if (wipe)
		delete_files(side, role);
	*victim = side_start_one(side, role);
	struct first first = {pace, pace_sent(pace)};
	rig_until(&side->rig, WAIT_SECONDS, "a new order has its outcome", has_come, &first);
	if (wipe)
		rig_until(&side->rig, WAIT_SECONDS, "new orders of all partitions have theirs", have_all_come, &first);
	*all = pace_all(pace, first.from, first.from + EVERY_WHERE) - blow;
	return pace_first(pace, first.from) - blow;
}

/* Its session is short only because the group is deleted at the end, when it is over. */
static const char *static_member(enum side_kind kind)
{
	return kind == SIDE_BARE ? " --instance-id bench" : " --instance-id bench --session-timeout 6s";
}

static void kills(struct recovery *recovery, enum side_kind kind)
{
	struct side side;
	begin(&side, kind, static_member(kind), WARM_ORDERS);
	struct pace *pace = pace_open(&side, ORDERS_MAX);
	pace_start(pace, RATE);
	for (int64_t i = 0; i < 2 * recovery->kills; i++) {
		double all, seconds = kill_one(&side, pace, i % 2 == 0, false, &all);
		bench_note(&recovery->bench, "s", seconds, NAN, "%s, kill -9 of the %s worker", side_names[kind],
		           i % 2 ? "inventory" : "order");
	}
	finish(recovery, &side, pace, "killed");
}

static void wipe_one(struct recovery *recovery, struct side *side, struct pace *pace, bool order)
{
	const char *name = side_names[side->kind], *role = order ? "order" : "inventory";
	int64_t records = side_records(side, order ? "orders" : "inventory");
	struct side_cpu before, after;
	side_cpu(side, &before);
	double all, seconds = kill_one(side, pace, order, true, &all);
	side_cpu(side, &after);
	bench_say("%s: the %s worker's files deleted behind %lld records: %.2f s, all partitions %.2f s; CPU until "
	          "then, and %.0f s before: it %.2f s, the other worker %.2f s, the broker %.2f s",
	          name, role, (long long)records, seconds, all, SETTLE, order ? after.order : after.inventory,
	          order ? after.inventory - before.inventory : after.order - before.order,
	          after.broker - before.broker);
	bench_note(&recovery->bench, "s", seconds, NAN, "%s, files of the %s worker deleted", name, role);
	bench_note(&recovery->bench, "s", all, NAN, "%s, files of the %s worker deleted, all partitions", name, role);
	bench_note(&recovery->bench, "records/s", (double)records / all, NAN,
	           "%s, files of the %s worker deleted, folded", name, role);
}

static void wipes(struct recovery *recovery, enum side_kind kind)
{
	struct side side;
	begin(&side, kind, static_member(kind), recovery->wiped);
	struct pace *pace = pace_open(&side, ORDERS_MAX);
	pace_start(pace, RATE);
	for (int64_t i = 0; i < 2 * recovery->wipes; i++)
		wipe_one(recovery, &side, pace, i % 2 == 0);
	finish(recovery, &side, pace, "files deleted");
}

static double longest_ms(struct pace *pace, int64_t from)
{
	struct pace_times times;
	pace_times(pace, from, pace_sent(pace), &times);
	double longest = pace_quantile(&times, 1);
	mem_free(times.ms);
	return longest;
}

static void takeovers(struct recovery *recovery, enum side_kind kind)
{
	struct side side;
	begin(&side, kind, "", WARM_ORDERS);
	struct pace *pace = pace_open(&side, ORDERS_MAX);
	pace_start(pace, RATE);
	nap(SETTLE);
	int64_t from = pace_sent(pace);
	struct rig_process *second = rig_start(&side.rig, "second", "order run");
	nap((double)recovery->takeover);
	pace_stop(pace, WAIT_SECONDS);
	double joined = longest_ms(pace, from);
	from = pace_sent(pace);
	pace_start(pace, RATE);
	nap(SETTLE);
	rig_end(&side.rig, second, SIGTERM, 30);
	nap((double)recovery->takeover);
	pace_stop(pace, WAIT_SECONDS);
	double left = longest_ms(pace, from);
	bench_note(&recovery->bench, "ms", joined, NAN, "%s, a second order worker joins, longest wait",
	           side_names[kind]);
	bench_note(&recovery->bench, "ms", left, NAN, "%s, the second leaves, longest wait", side_names[kind]);
	bench_say("%s: takeover, longest wait of an order: 1 to 2 %.0f ms, 2 to 1 %.0f ms", side_names[kind], joined,
	          left);
	finish(recovery, &side, pace, "takeovers");
}

static void want(struct recovery *recovery)
{
	static const char *const roles[] = {"order", "inventory"};
	for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++)
		if (recovery->on[kind])
			bench_want(&recovery->bench, BENCH_AT_MOST, false, 0, "%s, killed, without an outcome",
			           side_names[kind]);
	for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++)
		for (size_t i = 0; i < 2 && recovery->on[kind]; i++) {
			if (recovery->kills)
				bench_want(&recovery->bench, BENCH_AT_MOST, false, 0.5, "%s, kill -9 of the %s worker",
				           side_names[kind], roles[i]);
			if (recovery->wiped == 300000)
				bench_want(&recovery->bench, BENCH_AT_MOST, false, 2.5,
				           "%s, files of the %s worker deleted", side_names[kind], roles[i]);
			bench_want(&recovery->bench, BENCH_AT_LEAST, false, 200000,
			           "%s, files of the %s worker deleted, folded", side_names[kind], roles[i]);
		}
}

int main(void)
{
	struct recovery recovery = {.wiped = bench_setting("WIPED", 300000),
	                            .wipes = bench_setting("WIPES", 3),
	                            .kills = bench_setting("KILLS", 3),
	                            .takeover = bench_setting("TAKEOVER", 5)};
	int64_t rounds = bench_setting("ROUNDS", 1);
	bench_open(&recovery.bench, "recovery");
	side_choose(recovery.on);
	for (int64_t round = 0; round < rounds; round++) {
		for (int kind = 0; kind < SIDE_KINDS; kind++)
			if (recovery.on[kind])
				kills(&recovery, (enum side_kind)kind);
		for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++)
			if (recovery.on[kind]) {
				wipes(&recovery, (enum side_kind)kind);
				takeovers(&recovery, (enum side_kind)kind);
			}
	}
	want(&recovery);
	bench_close(&recovery.bench);
	return 0;
}
