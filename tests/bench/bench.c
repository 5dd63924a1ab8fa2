#include "bench.h"

#include "json.h"
#include "mem.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void bench_say(const char *format, ...)
{
	va_list rest;
	va_start(rest, format);
	vfprintf(stderr, format, rest);
	va_end(rest);
	fputc('\n', stderr);
}

int64_t bench_setting(const char *name, int64_t fallback)
{
	const char *text = getenv(name);
	char *end;
	if (!text || !*text)
		return fallback;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno || *end || value < 0) {
		bench_say("%s=%s: expected a number", name, text);
		exit(2);
	}
	return value;
}

static void choose_one(const char *name, const char *const *words, size_t count, bool *on, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0) {
			on[i] = true;
			return;
		}
	fprintf(stderr, "bench: %s=%s: expected one of", name, word);
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, " %s", words[i]);
	fprintf(stderr, ", or several with commas\n");
	exit(2);
}

void bench_choose(const char *name, const char *const *words, size_t count, bool *on)
{
	const char *given = getenv(name);
	bool all = !given || !*given;
	for (size_t i = 0; i < count; i++)
		on[i] = all;
	if (all)
		return;
	char *list = mem_strdup(given), *rest = NULL;
	for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		choose_one(name, words, count, on, word);
	mem_free(list);
}

void bench_open(struct bench *bench, const char *workload)
{
	*bench = (struct bench){.workload = workload,
	                        .figures = mem_zalloc(BENCH_FIGURES_MAX, sizeof(struct bench_figure)),
	                        .points = mem_zalloc(BENCH_POINTS_MAX, sizeof(struct bench_point))};
}

static struct bench_figure *figure_of(struct bench *bench, const char *format, va_list rest)
{
	char name[BENCH_NAME_MAX];
	vsnprintf(name, sizeof name, format, rest);
	for (size_t i = 0; i < bench->figure_count; i++)
		if (strcmp(bench->figures[i].name, name) == 0)
			return &bench->figures[i];
	if (bench->figure_count == BENCH_FIGURES_MAX) {
		bench_say("bench: more than %d figures", BENCH_FIGURES_MAX);
		exit(1);
	}
	struct bench_figure *figure = &bench->figures[bench->figure_count++];
	memcpy(figure->name, name, sizeof name);
	return figure;
}

void bench_note(struct bench *bench, const char *unit, double value, double base, const char *name, ...)
{
	va_list rest;
	va_start(rest, name);
	struct bench_figure *figure = figure_of(bench, name, rest);
	va_end(rest);
	figure->unit = unit;
	if (figure->count == BENCH_ROUNDS_MAX)
		return;
	figure->values[figure->count] = value;
	figure->bases[figure->count++] = base;
}

void bench_want(struct bench *bench, enum bench_relation relation, bool of_base, double limit, const char *name, ...)
{
	va_list rest;
	va_start(rest, name);
	struct bench_figure *figure = figure_of(bench, name, rest);
	va_end(rest);
	figure->relation = relation;
	figure->of_base = of_base;
	figure->limit = limit;
}

void bench_point(struct bench *bench, double x, double y, const char *series, ...)
{
	va_list rest;
	if (bench->point_count == BENCH_POINTS_MAX)
		return;
	struct bench_point *point = &bench->points[bench->point_count++];
	va_start(rest, series);
	vsnprintf(point->series, sizeof point->series, series, rest);
	va_end(rest);
	point->x = x;
	point->y = y;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double bench_median(const double *values, size_t count)
{
	double sorted[BENCH_ROUNDS_MAX];
	if (!count || count > BENCH_ROUNDS_MAX)
		return NAN;
	memcpy(sorted, values, count * sizeof *values);
	qsort(sorted, count, sizeof *sorted, by_size);
	return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* ---- what it comes to ---- */

struct summary {
	double median, low, high, base, ratio;
	bool met;
};

static void sum_up(const struct bench_figure *figure, struct summary *out)
{
	double ratios[BENCH_ROUNDS_MAX];
	*out = (struct summary){.median = bench_median(figure->values, figure->count),
	                        .low = INFINITY,
	                        .high = -INFINITY,
	                        .base = bench_median(figure->bases, figure->count)};
	for (size_t i = 0; i < figure->count; i++) {
		out->low = fmin(out->low, figure->values[i]);
		out->high = fmax(out->high, figure->values[i]);
		ratios[i] = figure->values[i] / figure->bases[i];
	}
	out->ratio = bench_median(ratios, figure->count);
	double judged = figure->of_base ? out->ratio : out->median;
	out->met = figure->relation == BENCH_AT_LEAST ? judged >= figure->limit : judged <= figure->limit;
}

/* jansson has no way to say NaN: null. */
static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *numbers(const double *values, size_t count)
{
	json_t *array = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, number(values[i]));
	return array;
}

static json_t *figure_json(const struct bench_figure *figure)
{
	struct summary sum;
	sum_up(figure, &sum);
	json_t *json = json_object();
	json_object_set_new(json, "name", json_string(figure->name));
	json_object_set_new(json, "unit", json_string(figure->unit ? figure->unit : ""));
	json_object_set_new(json, "median", number(sum.median));
	json_object_set_new(json, "low", number(sum.low));
	json_object_set_new(json, "high", number(sum.high));
	json_object_set_new(json, "values", numbers(figure->values, figure->count));
	if (isfinite(sum.base)) {
		json_object_set_new(json, "base", number(sum.base));
		json_object_set_new(json, "bases", numbers(figure->bases, figure->count));
		json_object_set_new(json, "ratio", number(sum.ratio));
	}
	if (figure->relation == BENCH_NO_TARGET)
		return json;
	json_object_set_new(json, "target",
	                    json_pack("{s:s, s:b, s:f}", "relation",
	                              figure->relation == BENCH_AT_LEAST ? "at least" : "at most", "of_base",
	                              figure->of_base, "limit", figure->limit));
	json_object_set_new(json, "met", json_boolean(sum.met && figure->count > 0));
	return json;
}

static json_t *points_json(const struct bench *bench)
{
	json_t *array = json_array();
	for (size_t i = 0; i < bench->point_count; i++)
		json_array_append_new(array, json_pack("{s:s, s:o, s:o}", "series", bench->points[i].series, "x",
		                                       number(bench->points[i].x), "y", number(bench->points[i].y)));
	return array;
}

static void write_file(const struct bench *bench, json_t *taken)
{
	const char *given = getenv("BENCH_OUT"), *folder = given && *given ? given : "build/bench";
	char *path = mem_format("%s/%s.json", folder, bench->workload);
	mkdir(folder, 0755);
	if (json_dump_file(taken, path, JSON_INDENT(1)) != 0) {
		bench_say("%s: %s", path, strerror(errno));
		exit(1);
	}
	json_decref(taken);
	mem_free(path);
}

static void print_line(const struct bench_figure *figure, const struct summary *sum)
{
	char beside[64] = "";
	if (isfinite(sum->base))
		snprintf(beside, sizeof beside, "  %.3g times %.4g", sum->ratio, sum->base);
	bench_say("  %-54s %10.4g %-10s (%.4g to %.4g)%s", figure->name, sum->median, figure->unit ? figure->unit : "",
	          sum->low, sum->high, beside);
}

void bench_close(struct bench *bench)
{
	if (bench->figure_count == 0) {
		bench_say("bench: %s: nothing was measured: SIDES, IDS and KAFKA leave nothing that it can run",
		          bench->workload);
		exit(2);
	}
	json_t *figures = json_array();
	for (size_t i = 0; i < bench->figure_count; i++) {
		struct summary sum;
		const struct bench_figure *figure = &bench->figures[i];
		sum_up(figure, &sum);
		print_line(figure, &sum);
		json_array_append_new(figures, figure_json(figure));
	}
	json_t *whole = json_pack("{s:s, s:o}", "workload", bench->workload, "figures", figures);
	json_object_set_new(whole, "points", points_json(bench));
	if (bench->remark)
		json_object_set_new(whole, "remark", json_string(bench->remark));
	write_file(bench, whole);
	mem_free(bench->figures);
	mem_free(bench->points);
}
