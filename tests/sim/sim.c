/* build/sim: see sim.h. Runs seeds and says what was injected and what came of it. */
#include "sim.h"

#include "mem.h"

#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char usage[] = "usage: build/sim [options]\n"
			    "  --seeds N        so many seeds (1)\n"
			    "  --seed S         the first one (1; `random`: any)\n"
			    "  --minutes N      fresh seeds for so long, a summary a minute\n"
			    "  --list FILE      the seeds in this file, one a line\n"
			    "  --trace          print every step\n"
			    "  --shrink         leave out faults as long as it still fails\n"
			    "  --twice          run each seed twice: the same, byte for byte?\n"
			    "  --keep-going     do not stop at the first seed that fails\n";

struct totals {
	int64_t seeds, failed, first[3], remedied, steps, records;
	int64_t injected[FAULT_CLASSES], disk[DISK_FAULTS];
	double started;
};

struct settings {
	uint64_t seed;
	int64_t seeds;
	double minutes;
	const char *list;
	bool trace, shrink, twice, keep_going;
	char folder[64];
};

/* The machine's clock is for the summary alone. */
static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void run_one(const struct settings *settings, uint64_t seed, const struct options *base,
                    struct run_result *result)
{
	struct options options = *base;
	char folder[96];
	snprintf(folder, sizeof folder, "%s/run", settings->folder);
	mkdir(folder, 0755);
	options.folder = folder;
	run_seed(seed, &options, result);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what is printed ---- */

static void print_plan(const struct plan *plan)
{
	printf("  plan: orders %d partitions %d processes, inventory %d and %d;%s%s%s%s batches of %lld ms, %lld records;"
	       " %d orders, %d SKUs%s\n",
	       plan->partitions[SIM_ORDER], plan->processes[SIM_ORDER], plan->partitions[SIM_INVENTORY],
	       plan->processes[SIM_INVENTORY], plan->shared_folder ? " one folder;" : "",
	       plan->fixed ? " no group;" : "", plan->named ? " static members;" : "",
	       plan->reverse ? " reversed;" : "", (long long)plan->commit_interval_ms,
	       (long long)plan->commit_records_max, plan->orders, plan->skus, plan->covered ? ", stock for all" : "");
}

static void print_failure(uint64_t seed, const struct run_result *result)
{
	printf("\nseed %llu FAILED: %s\n", (unsigned long long)seed, result->failure);
	print_plan(&result->plan);
	size_t shown = result->trace_count < SIM_TRACE_LINES ? result->trace_count : SIM_TRACE_LINES;
	for (size_t i = result->trace_count - shown; i < result->trace_count; i++)
		printf("  %s\n", result->trace[i % SIM_TRACE_LINES]);
	printf("again: build/sim --seed %llu --trace    fewer faults: build/sim --seed %llu --shrink\n",
	       (unsigned long long)seed, (unsigned long long)seed);
	fflush(stdout);
}

static void print_injected(const struct totals *totals)
{
	printf("  faults:");
	for (int class = 0; class < FAULT_CLASSES; class ++)
		if (totals->injected[class])
			printf(" %s %lld,", sim_class_names[class], (long long)totals->injected[class]);
	printf("\n  failed calls of SQLite's:");
	for (int fault = DISK_SOUND + 1; fault < DISK_FAULTS; fault++)
		printf(" %s %lld%s", disk_fault_name((enum disk_fault)fault), (long long)totals->disk[fault],
		       fault < DISK_FAULTS - 1 ? "," : "\n");
}

static void print_totals(const struct totals *totals)
{
	double seconds = now() - totals->started;
	printf("%lld seeds in %.1f s (%.1f a second), %lld steps, %lld records: %lld right at once, %lld loud at first, %lld"
	       " with a way out followed\n",
	       (long long)totals->seeds, seconds, (double)totals->seeds / (seconds > 0 ? seconds : 1),
	       (long long)totals->steps, (long long)totals->records, (long long)totals->first[RIGHT],
	       (long long)totals->first[LOUD], (long long)totals->remedied);
	print_injected(totals);
	printf("%lld passed, %lld failed\n", (long long)(totals->seeds - totals->failed), (long long)totals->failed);
	fflush(stdout);
}

static void add_up(struct totals *totals, const struct run_result *result)
{
	totals->seeds++;
	totals->failed += result->failed;
	totals->first[result->first]++;
	totals->remedied += result->remedies > 0;
	totals->steps += result->steps;
	totals->records += result->records;
	for (int i = 0; i < FAULT_CLASSES; i++)
		totals->injected[i] += result->injected[i];
	for (int i = 0; i < DISK_FAULTS; i++)
		totals->disk[i] += result->disk_failures[i];
}

/* ---- fewer faults ---- */

static bool still_fails(const struct settings *settings, uint64_t seed, const uint8_t *left_out, size_t count)
{
	struct run_result result;
	const struct options options = {.left_out = left_out, .left_out_count = count};
	run_one(settings, seed, &options, &result);
	return result.failed;
}

/* Leaves out as many as it can: large pieces first, the latest first, since what comes before stays the same. */
static void shrink(const struct settings *settings, uint64_t seed, size_t offered)
{
	uint8_t *left_out = mem_zalloc(offered + 1, 1), *tried = mem_zalloc(offered + 1, 1);
	for (size_t piece = offered; piece > 0; piece /= 2) {
		for (size_t end = offered; end > 0; end = end > piece ? end - piece : 0) {
			memcpy(tried, left_out, offered);
			for (size_t i = end > piece ? end - piece : 0; i < end; i++)
				tried[i] = 1;
			if (memcmp(tried, left_out, offered) != 0 && still_fails(settings, seed, tried, offered))
				memcpy(left_out, tried, offered);
		}
	}
	struct run_result result;
	const struct options options = {.left_out = left_out, .left_out_count = offered, .trace = true};
	run_one(settings, seed, &options, &result);
	print_failure(seed, &result);
	mem_free(left_out);
	mem_free(tried);
}

/* ---- seeds ---- */

/* False: it failed. */
static bool try_seed(const struct settings *settings, uint64_t seed, struct totals *totals)
{
	struct run_result result, again;
	const struct options options = {.trace = settings->trace};
	run_one(settings, seed, &options, &result);
	if (settings->twice && !result.failed) {
		run_one(settings, seed, &options, &again);
		result.failed = again.trace_hash != result.trace_hash;
		if (result.failed)
			snprintf(result.failure, sizeof result.failure, "a second run is another one: %016llx, %016llx",
			         (unsigned long long)result.trace_hash, (unsigned long long)again.trace_hash);
	}
	add_up(totals, &result);
	if (settings->trace)
		printf("seed %llu: trace %016llx\n", (unsigned long long)seed, (unsigned long long)result.trace_hash);
	if (!result.failed)
		return true;
	print_failure(seed, &result);
	if (settings->shrink)
		shrink(settings, seed, result.faults_offered);
	return false;
}

static void run_list(const struct settings *settings, struct totals *totals)
{
	char line[256];
	FILE *in = fopen(settings->list, "r");
	if (!in) {
		perror(settings->list);
		totals->failed++;
		return;
	}
	while (fgets(line, sizeof line, in))
		if (*line >= '0' && *line <= '9')
			try_seed(settings, strtoull(line, NULL, 10), totals);
	fclose(in);
}

static void run_all(const struct settings *settings, struct totals *totals)
{
	double told = now();
	for (int64_t i = 0; settings->minutes > 0 || i < settings->seeds; i++) {
		bool passed = try_seed(settings, settings->seed + (uint64_t)i, totals);
		if (settings->minutes > 0 && now() - told >= 60) {
			told = now();
			print_totals(totals);
		}
		if ((!passed && !settings->keep_going) ||
		    (settings->minutes > 0 && now() - totals->started > settings->minutes * 60))
			return;
	}
}

static uint64_t parse_seed(const char *text)
{
	struct timespec at;
	if (strcmp(text, "random") != 0)
		return strtoull(text, NULL, 10);
	clock_gettime(CLOCK_REALTIME, &at);
	return (uint64_t)at.tv_sec * 1000000u;
}

static bool parse(int argc, char **argv, struct settings *settings)
{
	static const struct option options[] = {
		{"seeds", 1, NULL, 'n'}, {"seed", 1, NULL, 's'},       {"minutes", 1, NULL, 'm'},
		{"list", 1, NULL, 'l'},  {"trace", 0, NULL, 't'},      {"shrink", 0, NULL, 'x'},
		{"twice", 0, NULL, '2'}, {"keep-going", 0, NULL, 'k'}, {NULL, 0, NULL, 0}};
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'n':
			settings->seeds = atoll(optarg);
			break;
		case 's':
			settings->seed = parse_seed(optarg);
			break;
		case 'm':
			settings->minutes = atof(optarg);
			break;
		case 'l':
			settings->list = optarg;
			break;
		case 't':
			settings->trace = true;
			break;
		case 'x':
			settings->shrink = true;
			break;
		case '2':
			settings->twice = true;
			break;
		case 'k':
			settings->keep_going = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	struct settings settings = {.seed = 1, .seeds = 1, .folder = "/dev/shm/tandem-sim-XXXXXX"};
	struct totals totals = {.started = now()};
	if (!parse(argc, argv, &settings)) {
		fputs(usage, stderr);
		return 2;
	}
	if (!mkdtemp(settings.folder)) {
		strcpy(settings.folder, "/tmp/tandem-sim-XXXXXX");
		if (!mkdtemp(settings.folder)) {
			perror(settings.folder);
			return 1;
		}
	}
	if (!vfs_install()) {
		fputs("SQLite does not take another file system\n", stderr);
		return 1;
	}
	if (settings.list)
		run_list(&settings, &totals);
	else
		run_all(&settings, &totals);
	rmdir(settings.folder);
	print_totals(&totals);
	return totals.failed ? 1 : 0;
}
