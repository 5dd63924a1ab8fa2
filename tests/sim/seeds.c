#include "seeds.h"

#include "heap.h"
#include "mem.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX       64
#define LEFT_BYTES_MAX (256 << 10) /* more than after the first seed: something is never given back */

double seeds_now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* ---- one ---- */

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void seeds_clean(const struct settings *settings)
{
	nftw(settings->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void run_one(const struct settings *settings, uint64_t seed, const struct options *base,
                    struct run_result *result)
{
	struct options options = *base;
	char folder[96];
	snprintf(folder, sizeof folder, "%s/%d", settings->folder, (int)getpid());
	mkdir(folder, 0755);
	options.folder = folder;
	run_seed(seed, &options, result);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void print_plan(const struct plan *plan)
{
	printf("  plan: orders %d partitions %d processes, inventory %d and %d;%s%s%s%s batches of %lld ms, %lld records;"
	       " %d orders, %d SKUs%s%s%s\n",
	       plan->partitions[SIM_ORDER], plan->processes[SIM_ORDER], plan->partitions[SIM_INVENTORY],
	       plan->processes[SIM_INVENTORY], plan->shared_folder ? " one folder;" : "",
	       plan->fixed ? " no group;" : "", plan->named ? " static members;" : "",
	       plan->reverse ? " reversed;" : "", (long long)plan->commit_interval_ms,
	       (long long)plan->commit_records_max, plan->orders, plan->skus, plan->covered ? ", stock for all" : "",
	       plan->holds[SIM_ORDER] ? ", order holds keys" : "",
	       plan->holds[SIM_INVENTORY] ? ", inventory holds keys" : "");
}

static void print_again(uint64_t seed)
{
	printf("again: build/sim --seed %llu --trace    fewer faults: build/sim --seed %llu --shrink\n",
	       (unsigned long long)seed, (unsigned long long)seed);
	fflush(stdout);
}

static void print_failure(uint64_t seed, const struct run_result *result)
{
	printf("\nseed %llu FAILED: %s\n", (unsigned long long)seed, result->failure);
	print_plan(&result->plan);
	size_t shown = result->trace_count < SIM_TRACE_LINES ? result->trace_count : SIM_TRACE_LINES;
	for (size_t i = result->trace_count - shown; i < result->trace_count; i++)
		printf("  %s\n", result->trace[i % SIM_TRACE_LINES]);
	print_again(seed);
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

/* ---- adding up ---- */

static void add_result(struct totals *totals, const struct run_result *result)
{
	totals->seeds++;
	totals->failed += result->failed;
	totals->first[result->first]++;
	totals->remedied += result->remedies > 0;
	totals->steps += result->steps;
	totals->records += result->records;
	tally_add(&totals->tally, &result->tally);
}

void seeds_add(struct totals *total, const struct totals *one)
{
	total->seeds += one->seeds;
	total->failed += one->failed;
	for (int i = 0; i < 3; i++)
		total->first[i] += one->first[i];
	total->remedied += one->remedied;
	total->steps += one->steps;
	total->records += one->records;
	tally_add(&total->tally, &one->tally);
}

/* Everything that a seed took it has given back. */
static void check_left(struct totals *totals, struct run_result *result)
{
	int64_t held = heap_held();
	if (!totals->left_bytes)
		totals->left_bytes = held;
	if (result->failed || held - totals->left_bytes < LEFT_BYTES_MAX)
		return;
	result->failed = true;
	snprintf(result->failure, sizeof result->failure, "%lld KiB were not given back",
	         (long long)((held - totals->left_bytes) / 1024));
	totals->left_bytes = held;
}

static void check_twice(const struct settings *settings, uint64_t seed, struct run_result *result)
{
	struct run_result again;
	const struct options options = {.trace = settings->trace};
	run_one(settings, seed, &options, &again);
	result->failed = again.trace_hash != result->trace_hash;
	if (result->failed)
		snprintf(result->failure, sizeof result->failure, "a second run is another one: %016llx, %016llx",
		         (unsigned long long)result->trace_hash, (unsigned long long)again.trace_hash);
}

bool seeds_try(const struct settings *settings, uint64_t seed, struct totals *totals)
{
	struct run_result result;
	const struct options options = {.trace = settings->trace};
	run_one(settings, seed, &options, &result);
	if (settings->twice && !result.failed)
		check_twice(settings, seed, &result);
	check_left(totals, &result);
	add_result(totals, &result);
	if (settings->trace)
		printf("seed %llu: trace %016llx\n", (unsigned long long)seed, (unsigned long long)result.trace_hash);
	if (!result.failed)
		return true;
	print_failure(seed, &result);
	if (settings->shrink)
		shrink(settings, seed, result.faults_offered);
	return false;
}

/* ---- many ---- */

/* What children and parent share: a child writes its own totals alone. */
struct job {
	pid_t pid; /* 0: it has ended */
	int64_t at;
	struct totals totals;
};

struct jobs {
	_Atomic int64_t stop_at; /* no seed behind this one is begun */
	double started;
	struct job jobs[];
};

static bool over(const struct settings *settings, struct jobs *jobs, int64_t at)
{
	return (settings->seeds >= 0 && at >= settings->seeds) || at > jobs->stop_at ||
	       (settings->minutes > 0 && seeds_now() - jobs->started > settings->minutes * 60);
}

static void failed_at(const struct settings *settings, struct jobs *jobs, int64_t at)
{
	int64_t stop_at = jobs->stop_at;
	while (!settings->keep_going && at < stop_at && !atomic_compare_exchange_weak(&jobs->stop_at, &stop_at, at))
		;
}

static void work(const struct settings *settings, struct jobs *jobs, struct job *job)
{
	int step = settings->jobs ? settings->jobs : 1;
	for (; !over(settings, jobs, job->at); job->at += step)
		if (!seeds_try(settings, settings->seed + (uint64_t)job->at, &job->totals))
			failed_at(settings, jobs, job->at);
}

static void begin(const struct settings *settings, struct jobs *jobs, struct job *job)
{
	static char buffer[1 << 16]; /* what one prints of a failure stays together */
	fflush(stdout);
	pid_t pid = fork(); /* the job is shared: only the parent says whose it is */
	if (pid < 0) {
		perror("fork");
		job->totals.failed++;
	}
	if (pid) {
		job->pid = pid > 0 ? pid : 0;
		return;
	}
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	work(settings, jobs, job);
	fflush(stdout);
	_exit(0);
}

/* A child that crashed in the middle of a seed: that seed has failed, and the next ones are for another child. */
static void ended(const struct settings *settings, struct jobs *jobs, struct job *job, int status)
{
	job->pid = 0;
	if (status == 0)
		return;
	uint64_t seed = settings->seed + (uint64_t)job->at;
	printf("\nseed %llu FAILED: the program ended with status %#x in the middle of it\n", (unsigned long long)seed,
	       (unsigned)status);
	print_again(seed);
	job->totals.seeds++;
	job->totals.failed++;
	failed_at(settings, jobs, job->at);
	job->at += settings->jobs;
	if (!over(settings, jobs, job->at))
		begin(settings, jobs, job);
}

static bool any_left(const struct settings *settings, const struct jobs *jobs)
{
	for (int j = 0; j < settings->jobs; j++)
		if (jobs->jobs[j].pid)
			return true;
	return false;
}

static void take_ended(const struct settings *settings, struct jobs *jobs)
{
	for (int j = 0; j < settings->jobs; j++) {
		int status;
		if (jobs->jobs[j].pid && waitpid(jobs->jobs[j].pid, &status, WNOHANG) == jobs->jobs[j].pid)
			ended(settings, jobs, &jobs->jobs[j], status);
	}
}

static void sum(const struct settings *settings, const struct jobs *jobs, struct totals *totals)
{
	*totals = (struct totals){0};
	for (int j = 0; j < (settings->jobs ? settings->jobs : 1); j++)
		seeds_add(totals, &jobs->jobs[j].totals);
}

static void watch(const struct settings *settings, struct jobs *jobs, double every, void (*tell)(const struct totals *),
                  struct totals *totals)
{
	double told = seeds_now();
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (any_left(settings, jobs)) {
		double left = tell ? told + every - seeds_now() : 60;
		const struct timespec wait = {.tv_sec = left > 0 ? (time_t)left : 0, .tv_nsec = 1000000};
		sigtimedwait(&child, NULL, &wait);
		take_ended(settings, jobs);
		if (!tell || seeds_now() - told < every || !any_left(settings, jobs))
			continue;
		told += every;
		sum(settings, jobs, totals);
		tell(totals);
	}
}

void seeds_run(const struct settings *settings, double every, void (*tell)(const struct totals *),
               struct totals *totals)
{
	int count = settings->jobs ? settings->jobs : 1;
	size_t size = sizeof(struct jobs) + (size_t)count * sizeof(struct job);
	struct jobs *jobs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (jobs == MAP_FAILED || count > JOBS_MAX) {
		perror("mmap");
		totals->failed++;
		return;
	}
	jobs->stop_at = INT64_MAX;
	jobs->started = seeds_now();
	sigset_t child, before;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	for (int j = 0; j < count; j++) {
		jobs->jobs[j].at = j;
		if (settings->jobs)
			begin(settings, jobs, &jobs->jobs[j]);
		else
			work(settings, jobs, &jobs->jobs[j]);
	}
	watch(settings, jobs, every, tell, totals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	sum(settings, jobs, totals);
	munmap(jobs, size);
}
