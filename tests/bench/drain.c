/* drain: how fast preloaded orders go through both workers. N orders (300,000) of one line over 10,000 SKUs, and Online Retail,
 * over Kafka and over local:, beside bare, which passes the same messages through the same broker in the same minute.
 *
 *   N        orders a batch              ROUNDS   rounds, alternating which side is first (3)
 *   RETAIL   online-retail.csv[.xz]; without it the sample of tests/data, several times over
 *   SIDES    bare,kafka,local (all): only these      UNIFORM   1: the orders of one line alone
 *
 * cold: fresh processes on fresh files. warm: a second batch through the same processes, which are stopped while it is loaded.
 * A rate is orders by the seconds between the first command's and the last outcome's record in the log, as the log stamped
 * them; CPU is all that the processes used until everything was consumed and committed, cold with their start. */
#include "bench.h"
#include "side.h"

#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_SECONDS 300
#define SAMPLE        "tests/data/online-retail-sample.csv"
#define SAMPLE_TIMES  24 /* about as many orders as the whole has */

enum { COLD, WARM, PHASES };
static const char *const phases[PHASES] = {"cold", "warm"};

struct drain {
	struct bench bench;
	int64_t orders;
	bool on[SIDE_KINDS];
	struct side_rate uniform[SIDE_KINDS][PHASES]; /* of this round */
};

static double order_us(const struct side_rate *rate)
{
	return rate->worker_us * rate->cpu.order / (rate->cpu.order + rate->cpu.inventory);
}

static void note(struct drain *drain, const char *name, const struct side_rate *rate, const struct side_rate *base)
{
	struct bench *bench = &drain->bench;
	bench_note(bench, "orders/s", rate->orders_per_second, base ? base->orders_per_second : NAN, "%s", name);
	bench_note(bench, "us/order", rate->worker_us, base ? base->worker_us : NAN, "%s, workers' CPU", name);
	bench_note(bench, "us/order", order_us(rate), base ? order_us(base) : NAN, "%s, order worker's CPU", name);
	if (isfinite(rate->broker_us))
		bench_note(bench, "us/order", rate->broker_us, base ? base->broker_us : NAN, "%s, broker's CPU", name);
	bench_say("%s: %.0f orders/s, CPU us/order: order %.1f inventory %.1f broker %.1f; whole %.2f s", name,
	          rate->orders_per_second, order_us(rate), rate->worker_us - order_us(rate), rate->broker_us,
	          rate->whole_seconds);
}

static void preload_stock(struct side *side, const struct generate_options *orders)
{
	struct generate_options receipts = *orders;
	receipts.only = PUBLISH_RECEIPTS;
	side_publish(side, &receipts, 0);
}

/* One side, one or two batches. bare gets the receipts too, and passes over them. */
static void run(struct drain *drain, enum side_kind kind, const char *more, int64_t hot_percent, int phase_count,
                struct side_rate out[PHASES])
{
	struct side side;
	struct side_batch batch;
	side_open(&side, kind);
	side.more = more;
	for (int phase = 0; phase < phase_count; phase++) {
		struct generate_options orders = side_orders(drain->orders * (phase + 1));
		orders.hot_percent = hot_percent;
		if (phase == COLD)
			preload_stock(&side, &orders);
		else
			side_pause(&side);
		side_publish(&side, &orders, drain->orders * phase);
		side_begin(&side, &batch, drain->orders);
		if (phase == COLD)
			side_start(&side);
		else
			side_resume(&side);
		side_end(&side, &batch, DRAIN_SECONDS, &out[phase]);
	}
	side_stop(&side);
	if (phase_count == PHASES)
		side_note_memory(&side, &drain->bench, "uniform");
	side_close(&side);
}

static void uniform(struct drain *drain, enum side_kind kind)
{
	char name[BENCH_NAME_MAX];
	if (!drain->on[kind])
		return;
	run(drain, kind, "", 0, PHASES, drain->uniform[kind]);
	for (int phase = 0; phase < PHASES && kind == SIDE_BARE; phase++) {
		snprintf(name, sizeof name, "bare, uniform, %s", phases[phase]);
		note(drain, name, &drain->uniform[kind][phase], NULL);
	}
}

/* Tandem's figures are noted when all sides have run: the bases are known then. local is held against Tandem on Kafka. */
static void compare(struct drain *drain)
{
	char name[BENCH_NAME_MAX];
	for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++) {
		int base = kind == SIDE_KAFKA ? SIDE_BARE : SIDE_KAFKA;
		for (int phase = 0; phase < PHASES && drain->on[kind]; phase++) {
			snprintf(name, sizeof name, "%s, uniform, %s", side_names[kind], phases[phase]);
			note(drain, name, &drain->uniform[kind][phase],
			     drain->on[base] ? &drain->uniform[base][phase] : NULL);
		}
	}
}

static void hot(struct drain *drain, enum side_kind kind)
{
	char name[BENCH_NAME_MAX];
	struct side_rate rate[PHASES];
	if (!drain->on[kind])
		return;
	run(drain, kind, "", 90, 1, rate);
	snprintf(name, sizeof name, "%s, 90 %% on 10 SKUs, cold", side_names[kind]);
	note(drain, name, &rate[COLD], &drain->uniform[kind][COLD]);
}

/* What it costs the client to write headers, and what it gains by fetching further ahead than it does as it comes. */
static void bare_otherwise(struct drain *drain)
{
	static const struct {
		const char *name, *more;
	} ways[] = {{"bare, 1 header", " --headers 1"},
	            {"bare, 10 headers", " --headers 10"},
	            {"bare, fetching far ahead", " --ahead 1000000"}};
	char name[BENCH_NAME_MAX];
	struct side_rate rate[PHASES];
	for (size_t i = 0; i < sizeof ways / sizeof *ways && drain->on[SIDE_BARE]; i++) {
		snprintf(name, sizeof name, "%s, cold", ways[i].name);
		run(drain, SIDE_BARE, ways[i].more, 0, 1, rate);
		note(drain, name, &rate[COLD], &drain->uniform[SIDE_BARE][COLD]);
	}
}

/* ---- Online Retail ---- */

/* Each row's invoice gets the copy's number behind it. */
static void copy_sample(FILE *in, FILE *out, int copy)
{
	char line[4096];
	rewind(in);
	for (bool header = true; fgets(line, sizeof line, in); header = false) {
		char *comma = strchr(line, ',');
		if (!comma || (header && copy > 0))
			continue;
		if (header)
			fputs(line, out);
		else
			fprintf(out, "%.*s-%d\"%s", (int)(comma - line) - 1, line, copy, comma);
	}
}

static const char *sample_path(struct side *side)
{
	const char *path = arena_format(&side->rig.arena, "%s/sample.csv", side->rig.folder);
	FILE *in = fopen(SAMPLE, "r"), *out = fopen(path, "w");
	if (!in || !out) {
		bench_say("%s or %s cannot be opened", SAMPLE, path);
		exit(1);
	}
	for (int copy = 0; copy < SAMPLE_TIMES; copy++)
		copy_sample(in, out, copy);
	fclose(in);
	fclose(out);
	return path;
}

static const char *retail_path(struct side *side)
{
	const char *given = getenv("RETAIL");
	if (!given || !*given)
		return sample_path(side);
	size_t len = strlen(given);
	if (len < 3 || strcmp(given + len - 3, ".xz") != 0)
		return given;
	const char *path = arena_format(&side->rig.arena, "%s/online-retail.csv", side->rig.folder);
	if (system(arena_format(&side->rig.arena, "xz -dc '%s' > '%s'", given, path)) != 0) {
		bench_say("%s could not be unpacked by xz", given);
		exit(1);
	}
	return path;
}

static void count_published(const char *said, int64_t *orders, int64_t *lines)
{
	json_t *json = json_loads(said, JSON_DISABLE_EOF_CHECK, NULL);
	*orders = json_integer_value(json_object_get(json_object_get(json, "events"), "OrderPlaced"));
	*lines = json_integer_value(json_object_iter_value(json_object_iter(json_object_get(json, "row_counts"))));
	json_decref(json);
}

static void retail(struct drain *drain, enum side_kind kind)
{
	struct side side;
	struct side_batch batch;
	struct side_rate rate;
	int64_t orders, lines;
	if (!drain->on[kind])
		return;
	side_open(&side, kind);
	const char *path = retail_path(&side);
	rig_ok(&side.rig, "publish --only receipts --stock-cover 90 %s", path);
	count_published(rig_ok(&side.rig, "publish -J --only orders --stock-cover 90 %s", path), &orders, &lines);
	side_begin(&side, &batch, orders);
	side_start(&side);
	side_end(&side, &batch, DRAIN_SECONDS, &rate);
	bench_note(&drain->bench, "lines/s", (double)lines / rate.seconds, drain->uniform[kind][COLD].orders_per_second,
	           "%s, Online Retail, cold", side_names[kind]);
	bench_note(&drain->bench, "us/line", rate.worker_us * (double)orders / (double)lines,
	           drain->uniform[kind][COLD].worker_us, "%s, Online Retail, cold, workers' CPU", side_names[kind]);
	bench_say("%s, Online Retail: %lld orders, %lld lines in %.2f s: %.0f lines/s", side_names[kind],
	          (long long)orders, (long long)lines, rate.seconds, (double)lines / rate.seconds);
	side_stop(&side);
	side_note_memory(&side, &drain->bench, "Online Retail");
	side_close(&side);
}

/* ---- all ---- */

static void want(struct drain *drain, bool uniform_only)
{
	struct bench *bench = &drain->bench;
	for (int phase = 0; phase < PHASES; phase++) {
		if (drain->on[SIDE_KAFKA] && drain->on[SIDE_BARE]) {
			bench_want(bench, BENCH_AT_LEAST, true, 0.7, "kafka, uniform, %s", phases[phase]);
			bench_want(bench, BENCH_AT_MOST, true, 3, "kafka, uniform, %s, workers' CPU", phases[phase]);
		}
		if (drain->on[SIDE_KAFKA] && drain->on[SIDE_LOCAL])
			bench_want(bench, BENCH_AT_LEAST, true, 1, "local, uniform, %s", phases[phase]);
	}
	for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++) {
		if (!drain->on[kind] || uniform_only)
			continue;
		bench_want(bench, BENCH_AT_LEAST, true, 1, "%s, 90 %% on 10 SKUs, cold", side_names[kind]);
		bench_want(bench, BENCH_AT_LEAST, true, 4, "%s, Online Retail, cold", side_names[kind]);
	}
}

int main(void)
{
	struct drain drain = {.orders = bench_setting("N", 300000)};
	int64_t rounds = bench_setting("ROUNDS", 3);
	const char *file = getenv("RETAIL");
	bench_open(&drain.bench, "drain");
	if (!file || !*file)
		drain.bench.remark = "Online Retail: the sample of tests/data, 24 times over (RETAIL= was not given)";
	side_choose(drain.on);
	for (int64_t round = 0; round < rounds; round++) {
		bench_say("drain: round %lld of %lld", (long long)round + 1, (long long)rounds);
		for (int i = 0; i < SIDE_KINDS; i++)
			uniform(&drain, (enum side_kind)(round % 2 ? SIDE_KINDS - 1 - i : i));
		compare(&drain);
		if (bench_setting("UNIFORM", 0))
			continue;
		for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++) {
			hot(&drain, (enum side_kind)kind);
			retail(&drain, (enum side_kind)kind);
		}
		bare_otherwise(&drain);
	}
	want(&drain, bench_setting("UNIFORM", 0) != 0);
	bench_close(&drain.bench);
	return 0;
}
