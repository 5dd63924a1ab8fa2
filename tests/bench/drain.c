/* drain: how fast preloaded orders go through both workers. N orders (300,000) of one line over 10,000 SKUs, and Online Retail,
 * over Kafka and over local:, beside bare, which passes the same messages through the same broker in the same minute.
 *
 *   N        orders a batch              ROUNDS   rounds, alternating which side is first (3)
 *   RETAIL   online-retail.csv[.xz]; without it the sample of tests/data, several times over
 *   SIDES    bare,kafka,local (all): only these      UNIFORM   1: the orders of one line alone
 *
 * cold: fresh processes on fresh files. warm: a second batch through the same processes, which are stopped while it is loaded.
 * A rate is orders by the seconds between the first command's and the last outcome's record in the log, as the log stamped
 * them; CPU is all that the processes used until everything was consumed and committed, cold with their start.
 *
 * bare runs at the beginning and at the end of a round, and what the rates are judged by is the time of all rounds together: as
 * librdkafka ships, some of its runs stop for a second and some do not (see --ahead in bare.c), and a median of a few rounds is
 * either. Beside it stands bare that fetches so far ahead that it never stops, and the same by the time of the whole run. */
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

#define FAR_AHEAD " --ahead 1000000"

enum { COLD, WARM, PHASES };
static const char *const phases[PHASES] = {"cold", "warm"};

/* Who drains the orders of one line: the sides, and bare otherwise. */
enum racer { BARE = SIDE_BARE, KAFKA = SIDE_KAFKA, LOCAL = SIDE_LOCAL, AHEAD = SIDE_KINDS, RACERS };

struct tally {
	double orders, seconds, whole_seconds; /* of all rounds */
};

struct drain {
	struct bench bench;
	int64_t orders;
	bool on[SIDE_KINDS];
	struct side_rate uniform[RACERS][PHASES]; /* of this round */
	struct tally tally[RACERS][PHASES];
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
	char broker[32] = "";
	if (isfinite(rate->broker_us)) {
		bench_note(bench, "us/order", rate->broker_us, base ? base->broker_us : NAN, "%s, broker's CPU", name);
		snprintf(broker, sizeof broker, " broker %.1f", rate->broker_us);
	}
	bench_say("%s: %.0f orders/s, CPU us/order: order %.1f inventory %.1f%s; whole %.2f s", name,
	          rate->orders_per_second, order_us(rate), rate->worker_us - order_us(rate), broker,
	          rate->whole_seconds);
}

static void preload_stock(struct side *side, const struct generate_options *orders)
{
	struct generate_options receipts = *orders;
	receipts.only = PUBLISH_RECEIPTS;
	side_publish(side, &receipts, 0);
}

/* One side, one or two batches; named: what its memory is noted under, NULL: it is not. bare gets the receipts too, and passes
 * over them. */
static void run(struct drain *drain, enum side_kind kind, const char *more, int64_t hot_percent, int phase_count,
                const char *named, struct side_rate out[PHASES])
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
	if (named)
		side_note_memory(&side, &drain->bench, named);
	side_close(&side);
}

/* Twice in a round: together, they are its bare. */
static void put_together(struct side_rate *all, const struct side_rate *one)
{
	all->orders_per_second = 2 / (1 / all->orders_per_second + 1 / one->orders_per_second);
	all->whole_seconds = (all->whole_seconds + one->whole_seconds) / 2;
	all->worker_us = (all->worker_us + one->worker_us) / 2;
	all->broker_us = (all->broker_us + one->broker_us) / 2;
	all->cpu.order += one->cpu.order;
	all->cpu.inventory += one->cpu.inventory;
}

static void uniform(struct drain *drain, enum racer racer, bool again)
{
	enum side_kind kind = racer == AHEAD ? SIDE_BARE : (enum side_kind)racer;
	bool ahead = racer == AHEAD;
	struct side_rate rates[PHASES];
	if (!drain->on[kind])
		return;
	run(drain, kind, ahead ? FAR_AHEAD : "", 0, PHASES, ahead ? "uniform, fetching far ahead" : "uniform", rates);
	for (int phase = 0; phase < PHASES; phase++) {
		struct tally *tally = &drain->tally[racer][phase];
		tally->orders += (double)drain->orders;
		tally->seconds += rates[phase].seconds;
		tally->whole_seconds += rates[phase].whole_seconds;
		if (again)
			put_together(&drain->uniform[racer][phase], &rates[phase]);
		else
			drain->uniform[racer][phase] = rates[phase];
		if (kind == SIDE_BARE)
			bench_say("bare%s, %s: %.0f orders/s, whole %.2f s", ahead ? " far ahead" : "", phases[phase],
			          rates[phase].orders_per_second, rates[phase].whole_seconds);
	}
}

/* Figures are noted when all have run: the bases are known then. local is held against Tandem on Kafka. */
static void compare(struct drain *drain)
{
	static const struct {
		enum racer racer, base;
		const char *name;
	} rows[] = {{BARE, RACERS, "bare, uniform"},
	            {AHEAD, BARE, "bare fetching far ahead, uniform"},
	            {KAFKA, BARE, "kafka, uniform"},
	            {LOCAL, KAFKA, "local, uniform"}};
	char name[BENCH_NAME_MAX];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int phase = 0; phase < PHASES; phase++) {
			enum racer racer = rows[i].racer, base = rows[i].base;
			if (!drain->tally[racer][phase].orders)
				continue;
			snprintf(name, sizeof name, "%s, %s", rows[i].name, phases[phase]);
			note(drain, name, &drain->uniform[racer][phase],
			     base < RACERS && drain->tally[base][phase].orders ? &drain->uniform[base][phase] : NULL);
		}
}

/* Rates of all rounds together. */
static void compare_all(struct drain *drain)
{
	static const struct {
		enum racer base;
		bool whole;
		const char *name;
	} rows[] = {{BARE, false, "against bare"},
	            {AHEAD, false, "against bare fetching far ahead"},
	            {BARE, true, "whole run, against bare"},
	            {AHEAD, true, "whole run, against bare fetching far ahead"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int phase = 0; phase < PHASES; phase++) {
			const struct tally *mine = &drain->tally[KAFKA][phase];
			const struct tally *base = &drain->tally[rows[i].base][phase];
			double seconds = rows[i].whole ? mine->whole_seconds : mine->seconds;
			double base_seconds = rows[i].whole ? base->whole_seconds : base->seconds;
			if (mine->orders && base->orders)
				bench_note(&drain->bench, "of bare",
				           mine->orders / seconds / (base->orders / base_seconds), NAN,
				           "kafka, uniform, %s, all rounds, %s", phases[phase], rows[i].name);
		}
}

static void hot(struct drain *drain, enum side_kind kind)
{
	char name[BENCH_NAME_MAX];
	struct side_rate rate[PHASES];
	if (!drain->on[kind])
		return;
	run(drain, kind, "", 90, 1, NULL, rate);
	snprintf(name, sizeof name, "%s, 90 %% on 10 SKUs, cold", side_names[kind]);
	note(drain, name, &rate[COLD], &drain->uniform[kind][COLD]);
}

/* What headers cost the client, and what the headers that Tandem writes and rows by plain statements cost, without any of its
 * checks and promises: what could be had with this client and SQLite. */
static void bare_with_more(struct drain *drain)
{
	static const struct {
		const char *name, *more;
		int phase_count;
	} ways[] = {{"bare, 1 header", " --headers 1", 1},
	            {"bare, 10 headers", " --headers 10", 1},
	            {"bare, headers and rows", " --headers 1 --state", PHASES}};
	char name[BENCH_NAME_MAX];
	struct side_rate rate[PHASES];
	for (size_t i = 0; i < sizeof ways / sizeof *ways && drain->on[SIDE_BARE]; i++) {
		run(drain, SIDE_BARE, ways[i].more, 0, ways[i].phase_count, NULL, rate);
		for (int phase = 0; phase < ways[i].phase_count; phase++) {
			snprintf(name, sizeof name, "%s, %s", ways[i].name, phases[phase]);
			note(drain, name, &rate[phase], &drain->uniform[SIDE_BARE][phase]);
		}
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
			bench_want(bench, BENCH_AT_LEAST, false, 0.7, "kafka, uniform, %s, all rounds, against bare",
			           phases[phase]);
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
		const enum racer between[] = {KAFKA, LOCAL, AHEAD};
		uniform(&drain, BARE, false);
		for (int i = 0; i < 3; i++)
			uniform(&drain, between[round % 2 ? 2 - i : i], false);
		uniform(&drain, BARE, true);
		compare(&drain);
		if (bench_setting("UNIFORM", 0))
			continue;
		for (int kind = SIDE_KAFKA; kind <= SIDE_LOCAL; kind++) {
			hot(&drain, (enum side_kind)kind);
			retail(&drain, (enum side_kind)kind);
		}
		bare_with_more(&drain);
	}
	compare_all(&drain);
	want(&drain, bench_setting("UNIFORM", 0) != 0);
	bench_close(&drain.bench);
	return 0;
}
