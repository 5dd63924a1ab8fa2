/* latency: orders at 100, 1,000 and 5,000 a second through warm workers: how long from when each was due to when its outcome
 * reached a reader, over Kafka and over local:, beside bare that does not linger.
 *
 *   SPAN     seconds at each rate (5)      ROUNDS   (3)      SIDES   bare,kafka,local (all)
 *   RATE     only this one of the three
 *   LINGER   of bare, in ms (0: the workers do not wait for more to send where there is nothing more to fold)
 *
 * The publisher does not linger. local: stands beside one fdatasync of a page, on the same disk in the same run. */
#include "bench.h"
#include "pace.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_ORDERS  5000
#define SYNCS        1000
#define WAIT_SECONDS 60
#define RATES        3
#define JUDGED       1 /* the rate that has targets: 1,000 */
#define QUANTILES    5

static const int64_t rates[RATES] = {100, 1000, 5000};
static const double shares[QUANTILES] = {0.5, 0.95, 0.99, 0.999, 1};
static const char *const share_names[QUANTILES] = {"p50", "p95", "p99", "p99.9", "max"};

struct latency {
	struct bench bench;
	int64_t span;
	bool on[SIDE_KINDS];
	double ms[SIDE_KINDS][RATES][QUANTILES];                           /* of this round */
	double worker_us[SIDE_KINDS][RATES], broker_us[SIDE_KINDS][RATES]; /* CPU an order */
	double sync_ms, sync_p99_ms;
};

/* $RATE: only this one. */
static bool runs(size_t r)
{
	int64_t only = bench_setting("RATE", 0);
	return !only || rates[r] == only;
}

static void warm_up(struct side *side)
{
	struct side_batch batch;
	struct side_rate rate;
	struct generate_options orders = side_orders(WARM_ORDERS), receipts = orders;
	receipts.only = PUBLISH_RECEIPTS;
	orders.seed = 2;
	side_publish(side, &receipts, 0);
	side_publish(side, &orders, 0);
	side_begin(side, &batch, WARM_ORDERS);
	side_start(side);
	side_end(side, &batch, WAIT_SECONDS, &rate);
}

static void nap(double seconds)
{
	usleep((useconds_t)(seconds * 1e6));
}

static void note_cpu(struct latency *latency, enum side_kind kind, size_t r, const struct side_cpu cpu[2],
                     size_t orders)
{
	double us = 1e6 / (double)(orders ? orders : 1);
	latency->worker_us[kind][r] = (cpu[1].order - cpu[0].order + cpu[1].inventory - cpu[0].inventory) * us;
	latency->broker_us[kind][r] = cpu[1].broker > 0 ? (cpu[1].broker - cpu[0].broker) * us : NAN;
}

/* Against the share that takes longer: 0.5, 0.2, 0.1, ... */
static void curve(struct latency *latency, enum side_kind kind, int64_t rate, const struct pace_times *times)
{
	static const double longer[] = {0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001};
	for (size_t i = 0; i < sizeof longer / sizeof *longer; i++)
		if (longer[i] * (double)times->count >= 1)
			bench_point(&latency->bench, longer[i], pace_quantile(times, 1 - longer[i]), "%s, %lld/s",
			            side_names[kind], (long long)rate);
}

static void run(struct latency *latency, enum side_kind kind, int64_t round)
{
	struct side side;
	side_open(&side, kind);
	if (kind == SIDE_BARE)
		side.more = arena_format(&side.rig.arena, " --linger %lld", (long long)bench_setting("LINGER", 0));
	warm_up(&side);
	struct pace *pace = pace_open(&side, (rates[0] + rates[1] + rates[2]) * (latency->span + 1));
	for (size_t r = 0; r < RATES; r++) {
		if (!runs(r))
			continue;
		struct pace_times times;
		struct side_cpu cpu[2];
		int64_t from = pace_sent(pace);
		side_cpu(&side, &cpu[0]);
		pace_start(pace, rates[r]);
		nap((double)latency->span);
		pace_stop(pace, WAIT_SECONDS);
		side_cpu(&side, &cpu[1]);
		pace_times(pace, from, pace_sent(pace), &times);
		note_cpu(latency, kind, r, cpu, times.count);
		for (size_t q = 0; q < QUANTILES; q++)
			latency->ms[kind][r][q] = pace_quantile(&times, shares[q]);
		char broker[32] = "";
		if (isfinite(latency->broker_us[kind][r]))
			snprintf(broker, sizeof broker, " broker %.0f", latency->broker_us[kind][r]);
		bench_say("%s, %lld/s: %zu orders, p50 %.2f p99 %.2f max %.2f ms, CPU us/order: workers %.0f%s",
		          side_names[kind], (long long)rates[r], times.count, latency->ms[kind][r][0],
		          latency->ms[kind][r][2], latency->ms[kind][r][4], latency->worker_us[kind][r], broker);
		if (round == 0)
			curve(latency, kind, rates[r], &times);
		mem_free(times.ms);
	}
	pace_close(pace);
	side_stop(&side);
	side_note_memory(&side, &latency->bench, "paced");
	side_close(&side);
}

/* A page written and synced: the least that an acknowledgement of local: can take. */
static void raw_sync(struct latency *latency)
{
	static const char page[4096];
	char path[] = "/tmp/tandem-sync-XXXXXX";
	double ms[SYNCS];
	int fd = mkstemp(path);
	size_t count = 0;
	unlink(path);
	for (; count < SYNCS; count++) {
		double start = side_now();
		if (fd < 0 || write(fd, page, sizeof page) != sizeof page || fdatasync(fd) != 0)
			break;
		ms[count] = (side_now() - start) * 1e3;
	}
	close(fd);
	struct pace_times times = {ms, count};
	pace_sort(&times);
	latency->sync_ms = pace_quantile(&times, 0.5);
	latency->sync_p99_ms = pace_quantile(&times, 0.99);
}

static void note_times(struct latency *latency, enum side_kind kind, size_t r)
{
	bool bare = kind == SIDE_KAFKA && latency->on[SIDE_BARE];
	for (size_t q = 0; q < QUANTILES; q++) {
		double base = bare ? latency->ms[SIDE_BARE][r][q] : kind == SIDE_LOCAL ? latency->sync_ms : NAN;
		bench_note(&latency->bench, "ms", latency->ms[kind][r][q], base, "%s, %lld/s, %s", side_names[kind],
		           (long long)rates[r], share_names[q]);
	}
	bench_note(&latency->bench, "us/order", latency->worker_us[kind][r],
	           bare ? latency->worker_us[SIDE_BARE][r] : NAN, "%s, %lld/s, workers' CPU", side_names[kind],
	           (long long)rates[r]);
	if (isfinite(latency->broker_us[kind][r]))
		bench_note(&latency->bench, "us/order", latency->broker_us[kind][r],
		           bare ? latency->broker_us[SIDE_BARE][r] : NAN, "%s, %lld/s, broker's CPU", side_names[kind],
		           (long long)rates[r]);
}

static void note(struct latency *latency)
{
	for (int kind = 0; kind < SIDE_KINDS; kind++)
		for (size_t r = 0; r < RATES; r++)
			if (latency->on[kind] && runs(r))
				note_times(latency, (enum side_kind)kind, r);
	if (latency->on[SIDE_LOCAL]) {
		bench_note(&latency->bench, "ms", latency->sync_ms, NAN, "a page written and synced, p50");
		bench_note(&latency->bench, "ms", latency->sync_p99_ms, NAN, "a page written and synced, p99");
	}
	if (!latency->on[SIDE_KAFKA] || !latency->on[SIDE_BARE] || !runs(JUDGED))
		return;
	for (size_t q = 0; q < QUANTILES; q += 2)
		bench_note(&latency->bench, "of bare",
		           latency->ms[SIDE_KAFKA][JUDGED][q] / latency->ms[SIDE_BARE][JUDGED][q], NAN,
		           "kafka, 1000/s, %s, against bare", share_names[q]);
}

static void want(struct latency *latency)
{
	if (!latency->on[SIDE_KAFKA] || !runs(JUDGED))
		return;
	bench_want(&latency->bench, BENCH_AT_MOST, false, 5, "kafka, 1000/s, p50");
	bench_want(&latency->bench, BENCH_AT_MOST, false, 15, "kafka, 1000/s, p99");
	if (!latency->on[SIDE_BARE])
		return;
	bench_want(&latency->bench, BENCH_AT_MOST, false, 1.5, "kafka, 1000/s, p50, against bare");
	bench_want(&latency->bench, BENCH_AT_MOST, false, 1.5, "kafka, 1000/s, p99, against bare");
}

int main(void)
{
	struct latency latency = {.span = bench_setting("SPAN", 5)};
	int64_t rounds = bench_setting("ROUNDS", 3);
	bench_open(&latency.bench, "latency");
	side_choose(latency.on);
	for (int64_t round = 0; round < rounds; round++) {
		bench_say("latency: round %lld of %lld", (long long)round + 1, (long long)rounds);
		raw_sync(&latency);
		for (int i = 0; i < SIDE_KINDS; i++) {
			int kind = round % 2 ? SIDE_KINDS - 1 - i : i;
			if (latency.on[kind])
				run(&latency, (enum side_kind)kind, round);
		}
		note(&latency);
	}
	want(&latency);
	bench_close(&latency.bench);
	return 0;
}
