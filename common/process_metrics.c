#include "process_metrics.h"

#include "metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t us_of(const struct timeval *time)
{
	return (int64_t)time->tv_sec * 1000000 + time->tv_usec;
}

static void put(struct buf *page, const char *name, const char *help, int64_t value)
{
	metrics_family(page, name, "gauge", help);
	metrics_sample(page, name, value);
}

static void put_cpu(struct buf *page)
{
	struct rusage used;
	if (getrusage(RUSAGE_SELF, &used) != 0)
		return;
	metrics_family(page, "process_cpu_seconds_total", "counter", "CPU time of the process, user and system.");
	metrics_seconds(page, "process_cpu_seconds_total", us_of(&used.ru_utime) + us_of(&used.ru_stime));
}

static void put_memory(struct buf *page)
{
	long long all, resident;
	FILE *file = fopen("/proc/self/statm", "re");
	if (!file)
		return;
	if (fscanf(file, "%lld %lld", &all, &resident) == 2)
		put(page, "process_resident_memory_bytes", "Memory of the process that is resident.",
		    resident * sysconf(_SC_PAGESIZE));
	fclose(file);
}

static void put_descriptors(struct buf *page)
{
	struct rlimit limit;
	int64_t count = -3; /* two dots, and the folder's own */
	DIR *folder = opendir("/proc/self/fd");
	if (folder) {
		while (readdir(folder))
			count++;
		closedir(folder);
		put(page, "process_open_fds", "Descriptors that are open.", count);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		put(page, "process_max_fds", "Descriptors that may be open.", (int64_t)limit.rlim_cur);
}

void process_metrics(struct buf *page, int64_t started_ms)
{
	metrics_family(page, "process_start_time_seconds", "gauge", "When the process began, seconds since 1970.");
	metrics_seconds(page, "process_start_time_seconds", started_ms * 1000);
	put_cpu(page);
	put_memory(page);
	put_descriptors(page);
}
