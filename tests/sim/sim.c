/* build/sim: see sim.h. Runs seeds and says what was injected and what came of it. */
#include "seeds.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char usage[] = "usage: build/sim [options]\n"
			    "  --seeds N        so many seeds (1)\n"
			    "  --seed S         the first one (1; `random`: any)\n"
			    "  --minutes N      fresh seeds for so long, a summary a minute\n"
			    "  --list FILE      the seeds in this file, one a line\n"
			    "  --jobs N         in N children\n"
			    "  --trace          print every step\n"
			    "  --shrink         leave out faults as long as it still fails\n"
			    "  --twice          run each seed twice: the same, byte for byte?\n"
			    "  --keep-going     do not stop at the first seed that fails\n";

static double started;

/* Of this process and the children that have ended. */
static double processor_seconds(void)
{
	struct rusage self, children;
	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec + children.ru_utime.tv_sec +
	                children.ru_stime.tv_sec) +
	       (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec + children.ru_utime.tv_usec +
	                children.ru_stime.tv_usec) /
	               1e6;
}

static void print_totals(const struct totals *totals)
{
	double seconds = seeds_now() - started;
	printf("%lld seeds in %.1f s (%.1f a second), %lld steps, %lld records: %lld right at once, %lld loud at first, %lld"
	       " with a way out followed; violations: %lld\n",
	       (long long)totals->seeds, seconds, (double)totals->seeds / (seconds > 0 ? seconds : 1),
	       (long long)totals->steps, (long long)totals->records, (long long)totals->first[RIGHT],
	       (long long)totals->first[LOUD], (long long)totals->remedied, (long long)totals->failed);
}

static void print_all(const struct totals *totals)
{
	print_totals(totals);
	printf("  %.1f seeds a second of a processor's time\n", (double)totals->seeds / (processor_seconds() + 0.01));
	tally_print(&totals->tally);
	printf("%lld passed, %lld failed\n", (long long)(totals->seeds - totals->failed), (long long)totals->failed);
	fflush(stdout);
}

/* A line a minute, and the faults so far in another. */
static void print_minute(const struct totals *totals)
{
	printf("minute %.0f: ", (seeds_now() - started) / 60);
	print_totals(totals);
	printf("  faults:");
	for (int class = 0; class < FAULT_CLASSES; class ++)
		printf("%s %s %lld", class ? "," : "", tally_classes[class], (long long)totals->tally.fired[class]);
	printf("\n");
	fflush(stdout);
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
			seeds_try(settings, strtoull(line, NULL, 10), totals);
	fclose(in);
}

static uint64_t parse_seed(const char *text)
{
	struct timespec at;
	if (strcmp(text, "random") != 0)
		return strtoull(text, NULL, 10);
	clock_gettime(CLOCK_REALTIME, &at);
	return (uint64_t)at.tv_sec * 1000000u;
}

static bool parse_one(int c, const char *arg, struct settings *settings)
{
	switch (c) {
	case 'n':
		settings->seeds = atoll(arg);
		return true;
	case 's':
		settings->seed = parse_seed(arg);
		return true;
	case 'm':
		settings->minutes = atof(arg);
		settings->seeds = -1;
		return true;
	case 'l':
		settings->list = arg;
		return true;
	case 'j':
		settings->jobs = atoi(arg);
		return settings->jobs >= 0 && settings->jobs <= 64;
	case 't':
		return settings->trace = true;
	case 'x':
		return settings->shrink = true;
	case '2':
		return settings->twice = true;
	case 'k':
		return settings->keep_going = true;
	default:
		return false;
	}
}

static bool parse(int argc, char **argv, struct settings *settings)
{
	static const struct option options[] = {{"seeds", 1, NULL, 'n'},      {"seed", 1, NULL, 's'},
	                                        {"minutes", 1, NULL, 'm'},    {"list", 1, NULL, 'l'},
	                                        {"jobs", 1, NULL, 'j'},       {"trace", 0, NULL, 't'},
	                                        {"shrink", 0, NULL, 'x'},     {"twice", 0, NULL, '2'},
	                                        {"keep-going", 0, NULL, 'k'}, {NULL, 0, NULL, 0}};
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (!parse_one(c, optarg, settings))
			return false;
	return optind == argc;
}

static bool make_folder(struct settings *settings)
{
	strcpy(settings->folder, "/dev/shm/tandem-sim-XXXXXX");
	if (mkdtemp(settings->folder))
		return true;
	strcpy(settings->folder, "/tmp/tandem-sim-XXXXXX");
	if (mkdtemp(settings->folder))
		return true;
	perror(settings->folder);
	return false;
}

int main(int argc, char **argv)
{
	struct settings settings = {.seed = 1, .seeds = 1};
	struct totals totals = {0};
	started = seeds_now();
	if (!parse(argc, argv, &settings)) {
		fputs(usage, stderr);
		return 2;
	}
	if (!make_folder(&settings))
		return 1;
	if (!vfs_install()) {
		fputs("SQLite does not take another file system\n", stderr);
		return 1;
	}
	if (settings.list)
		run_list(&settings, &totals);
	else
		seeds_run(&settings, 60, settings.minutes > 0 ? print_minute : NULL, &totals);
	seeds_clean(&settings);
	print_all(&totals);
	return totals.failed ? 1 : 0;
}
