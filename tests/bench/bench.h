/* bench: what the workloads of `make bench` share: figures over several rounds, each beside its baseline of the same minute,
 * with a target where there is one; a table, a JSON file.
 *
 * A workload is a program: bench_open, bench_note for every figure of every round, bench_want for those that have a target,
 * bench_close. It ends with 0 also where a target is missed: the table marks it (see table.c), and machines differ. */
#ifndef TANDEM_TESTS_BENCH_H
#define TANDEM_TESTS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_ROUNDS_MAX  32
#define BENCH_FIGURES_MAX 128
#define BENCH_POINTS_MAX  1024
#define BENCH_NAME_MAX    96

enum bench_relation { BENCH_NO_TARGET, BENCH_AT_LEAST, BENCH_AT_MOST };

struct bench_figure {
	char name[BENCH_NAME_MAX];
	const char *unit;
	double values[BENCH_ROUNDS_MAX], bases[BENCH_ROUNDS_MAX]; /* of each round; bases NAN where there is none */
	size_t count;
	enum bench_relation relation;
	bool of_base; /* the limit is on value / base */
	double limit;
};

struct bench_point {
	char series[BENCH_NAME_MAX];
	double x, y;
};

struct bench {
	const char *workload;
	struct bench_figure *figures;
	struct bench_point *points;
	size_t figure_count, point_count;
	const char *remark; /* what a reader must know of this run; NULL: nothing. Borrowed */
};

void bench_open(struct bench *bench, const char *workload);

/* One round's value; base: what the baseline had in the same round, NAN for none. unit is borrowed. */
void bench_note(struct bench *bench, const char *unit, double value, double base, const char *name, ...)
	__attribute__((format(printf, 5, 6)));

/* Its median is to be at least, at most this; of_base: its median ratio to the baseline is. */
void bench_want(struct bench *bench, enum bench_relation relation, bool of_base, double limit, const char *name, ...)
	__attribute__((format(printf, 5, 6)));

/* A point of a curve, for bench-plot; not in the table. */
void bench_point(struct bench *bench, double x, double y, const char *series, ...)
	__attribute__((format(printf, 4, 5)));

/* Writes $BENCH_OUT/<workload>.json (build/bench by default), prints the figures to stderr, frees. Without any figure it ends the
 * program, with 2: what ran nothing did not go well. */
void bench_close(struct bench *bench);

/* A number of the environment, such as N; fallback where it is not set. Ends the program where it makes no sense. */
int64_t bench_setting(const char *name, int64_t fallback);
/* Those of the words that the environment's NAME lists, with commas; all where it lists none. Ends the program at another one. */
void bench_choose(const char *name, const char *const *words, size_t count, bool *on);

double bench_median(const double *values, size_t count); /* NAN for none */

/* A line on stderr, for who waits. */
void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
