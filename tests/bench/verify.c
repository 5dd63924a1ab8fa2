/* verify: N orders (100,000) are drained, then both services' files are proved and made again from the log: records a second,
 * beside the records a second that the drain folded. Over Kafka and over local:.
 *
 *   N, ROUNDS (3), SIDES   kafka,local */
#include "bench.h"
#include "side.h"

#include <math.h>
#include <stdio.h>

#define DRAIN_SECONDS  300
#define VERIFY_SECONDS 300

struct proof {
	struct bench bench;
	int64_t orders;
};

static double seconds_of(struct side *side, const char *command)
{
	struct rig_result result;
	rig_run(&side->rig, &result, VERIFY_SECONDS, "%s", command);
	if (result.exit_status != 0) {
		bench_say("%s ended with %d:\n%s%s", command, result.exit_status, result.out, result.err);
		rig_ok(&side->rig, "%s", command); /* ends the program */
	}
	return result.seconds;
}

static double both(struct side *side, const char *action)
{
	char command[4200];
	double seconds = 0;
	snprintf(command, sizeof command, "order %s", action);
	seconds += seconds_of(side, command);
	snprintf(command, sizeof command, "inventory %s", action);
	return seconds + seconds_of(side, command);
}

/* Events: what both services read, as in the drain. */
static void run(struct proof *proof, enum side_kind kind)
{
	struct side side;
	struct side_batch batch;
	struct side_rate rate;
	struct generate_options orders = side_orders(proof->orders), receipts = orders;
	const char *name = side_names[kind];
	receipts.only = PUBLISH_RECEIPTS;
	side_open(&side, kind);
	side_publish(&side, &receipts, 0);
	side_publish(&side, &orders, 0);
	side_begin(&side, &batch, proof->orders);
	side_start(&side);
	side_end(&side, &batch, DRAIN_SECONDS, &rate);
	side_stop(&side);
	double events = (double)(side_records(&side, "orders") + side_records(&side, "inventory"));
	double drained = events / rate.seconds;
	double all = events / both(&side, "verify");
	double one = events / SIDE_PARTITIONS / both(&side, "verify --partitions 0");
	double again =
		events / both(&side, arena_format(&side.rig.arena, "rebuild --data %s/rebuilt", side.rig.folder));
	bench_note(&proof->bench, "events/s", all, drained, "%s, verify, all partitions", name);
	bench_note(&proof->bench, "events/s", one, drained / SIDE_PARTITIONS, "%s, verify, one partition", name);
	bench_note(&proof->bench, "events/s", again, drained, "%s, rebuild, all partitions", name);
	bench_say("%s: drained %.0f, verified %.0f (one partition alone: %.0f), rebuilt %.0f events a second", name,
	          drained, all, one, again);
	side_close(&side);
}

int main(void)
{
	struct proof proof = {.orders = bench_setting("N", 100000)};
	int64_t rounds = bench_setting("ROUNDS", 3);
	bool on[SIDE_KINDS];
	bench_open(&proof.bench, "verify");
	side_choose(on);
	for (int64_t round = 0; round < rounds; round++)
		for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++)
			if (on[kind])
				run(&proof, (enum side_kind)kind);
	for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++) {
		if (!on[kind])
			continue;
		bench_want(&proof.bench, BENCH_AT_LEAST, true, 1.5, "%s, verify, all partitions", side_names[kind]);
		bench_want(&proof.bench, BENCH_AT_LEAST, true, 1.5, "%s, verify, one partition", side_names[kind]);
	}
	bench_close(&proof.bench);
	return 0;
}
