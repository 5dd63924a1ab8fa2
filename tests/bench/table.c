/* table: what the workloads wrote (FOLDER/<workload>.json) as one table, in Markdown, and as one file, FOLDER.json.
 *
 *   table FOLDER WORKLOAD...
 *
 * Each row: the median, how far the rounds lie apart, the baseline of the same rounds and the median ratio to it, the target
 * and whether it is met. What falls short is counted below. A workload that wrote nothing is named, and the exit status 1. */
#include "json.h"
#include "log.h"
#include "mem.h"
#include "store.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

struct table {
	int targets, missed, lost;
};

/* Three digits that count, and all before the point. */
static const char *figure_text(double value, char out[32])
{
	if (value >= 100 || value <= -100)
		snprintf(out, 32, "%.0f", value);
	else
		snprintf(out, 32, "%.3g", value);
	return out;
}

static const char *member_text(const json_t *figure, const char *name, char out[32])
{
	const json_t *value = json_object_get(figure, name);
	out[0] = 0;
	return json_is_number(value) ? figure_text(json_number_value(value), out) : out;
}

static void print_target(struct table *table, const json_t *figure)
{
	char limit[32];
	const json_t *target = json_object_get(figure, "target");
	if (!target) {
		printf(" | |");
		return;
	}
	bool met = json_is_true(json_object_get(figure, "met"));
	table->targets++;
	table->missed += !met;
	printf(" %s %s%s | %s |", json_string_value(json_object_get(target, "relation")),
	       figure_text(json_number_value(json_object_get(target, "limit")), limit),
	       json_is_true(json_object_get(target, "of_base")) ? " of it" : "", met ? "yes" : "**short**");
}

static void print_figure(struct table *table, const json_t *figure)
{
	char median[32], low[32], high[32], base[32], ratio[32];
	bool several = json_array_size(json_object_get(figure, "values")) > 1;
	printf("| %s | %s %s | %s%s%s | %s | %s |", json_string_value(json_object_get(figure, "name")),
	       member_text(figure, "median", median), json_string_value(json_object_get(figure, "unit")),
	       several ? member_text(figure, "low", low) : "", several ? "–" : "",
	       several ? member_text(figure, "high", high) : "", member_text(figure, "base", base),
	       member_text(figure, "ratio", ratio));
	print_target(table, figure);
	putchar('\n');
}

static void print_workload(struct table *table, const json_t *workload)
{
	size_t i;
	json_t *figure;
	const char *remark = json_string_value(json_object_get(workload, "remark"));
	printf("\n### %s\n\n", json_string_value(json_object_get(workload, "workload")));
	if (remark)
		printf("%s.\n\n", remark);
	printf("| figure | median | rounds | beside | ratio | target | met |\n"
	       "| --- | ---: | ---: | ---: | ---: | --- | --- |\n");
	json_array_foreach(json_object_get(workload, "figures"), i, figure) print_figure(table, figure);
}

static json_t *sqlite_version(void)
{
	struct err err = {0};
	struct store *store;
	struct store_statement *statement;
	bool row;
	const struct store_config config = {.mode = STORE_SCRATCH};
	if (store_open(&config, &store, &err) != OK)
		return json_null();
	json_t *version = NULL;
	if (store_prepare(store, "SELECT sqlite_version()", &statement, &err) == OK &&
	    store_step(statement, &row, &err) == OK && row)
		version = json_string(store_text(statement, 0));
	store_close(store);
	return version ? version : json_null();
}

static void add_versions(json_t *whole)
{
	struct utsname machine;
	char when[32], processor[128] = "";
	time_t now = time(NULL);
	struct tm utc;
	int rdkafka = log_kafka_version();
	double load[1] = {0};
	strftime(when, sizeof when, "%Y-%m-%dT%H:%MZ", gmtime_r(&now, &utc));
	FILE *file = fopen("/proc/cpuinfo", "r");
	for (char line[256]; file && !processor[0] && fgets(line, sizeof line, file);)
		sscanf(line, "model name : %127[^\n]", processor);
	if (file)
		fclose(file);
	uname(&machine);
	getloadavg(load, 1);
	char *library = mem_format("%d.%d.%d", rdkafka >> 24 & 0xff, rdkafka >> 16 & 0xff, rdkafka >> 8 & 0xff);
	json_object_set_new(whole, "date", json_string(when));
	json_object_set_new(whole, "tandem", json_string(tandem_version));
	json_object_set_new(whole, "processor", json_string(processor));
	json_object_set_new(whole, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(whole, "kernel", json_string(machine.release));
	json_object_set_new(whole, "librdkafka", json_string(library));
	json_object_set_new(whole, "sqlite", sqlite_version());
	json_object_set_new(whole, "load_at_end", json_real(load[0]));
	mem_free(library);
}

static void print_head(const json_t *whole)
{
	printf("%s, tandem %s, %lld cores (%s), Linux %s, librdkafka %s, SQLite %s; load at the end %.1f\n",
	       json_string_value(json_object_get(whole, "date")), json_string_value(json_object_get(whole, "tandem")),
	       (long long)json_integer_value(json_object_get(whole, "cores")),
	       json_string_value(json_object_get(whole, "processor")),
	       json_string_value(json_object_get(whole, "kernel")),
	       json_string_value(json_object_get(whole, "librdkafka")),
	       json_string_value(json_object_get(whole, "sqlite")),
	       json_number_value(json_object_get(whole, "load_at_end")));
}

static json_t *read_workload(struct table *table, const char *folder, const char *name)
{
	json_error_t error;
	char *path = mem_format("%s/%s.json", folder, name);
	json_t *workload = json_load_file(path, 0, &error);
	if (!workload) {
		fprintf(stderr, "table: %s: %s\n", path, error.text);
		table->lost++;
	}
	mem_free(path);
	return workload;
}

static int write_whole(const json_t *whole, const char *folder)
{
	char *path = mem_format("%s.json", folder);
	int failed = json_dump_file(whole, path, JSON_INDENT(1));
	if (failed)
		fprintf(stderr, "table: %s cannot be written\n", path);
	mem_free(path);
	return failed;
}

int main(int argc, char **argv)
{
	struct table table = {0};
	if (argc < 3) {
		fprintf(stderr, "usage: table FOLDER WORKLOAD...\n");
		return 2;
	}
	json_t *whole = json_object(), *workloads = json_array();
	add_versions(whole);
	print_head(whole);
	for (int i = 2; i < argc; i++) {
		json_t *workload = read_workload(&table, argv[1], argv[i]);
		if (!workload)
			continue;
		print_workload(&table, workload);
		json_array_append_new(workloads, workload);
	}
	json_object_set_new(whole, "workloads", workloads);
	printf("\n%d of %d targets met, %d short\n", table.targets - table.missed, table.targets, table.missed);
	int failed = write_whole(whole, argv[1]);
	json_decref(whole);
	return table.lost || failed ? 1 : 0;
}
