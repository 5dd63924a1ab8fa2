#include "lag_watch.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

struct seen { /* one partition */
	struct lag_place place;
	struct lag lag;
	bool known;
	int64_t looked_next;  /* the position it was found for */
	int64_t caught_up_ms; /* when it was last seen with nothing behind it; 0: never */
	int64_t first_offset; /* the record whose time is first_ms: the first not folded */
	int64_t first_ms;     /* 0: not read */
};

struct lag_watch {
	struct log *log; /* the thread's */
	char *topic;
	const struct seam *seam;
	int64_t interval_us;
	pthread_t thread;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t changed;
	bool ending, told;
	struct seen *seen;
	size_t count;
	int64_t failing_us;
};

/* ---- the thread ---- */

/* The time of the first record at the position, asked once for each. 0: not known. */
static int64_t first_ms(struct lag_watch *watch, struct seen *seen)
{
	struct arena arena = {0};
	struct log_record record;
	bool found = false;
	if (seen->first_ms && seen->first_offset == seen->place.next)
		return seen->first_ms;
	seen->first_offset = seen->place.next;
	seen->first_ms = 0;
	if (log_read_at(watch->log, watch->topic, seen->place.partition, seen->place.next, &arena, &record, &found,
	                NULL) == OK &&
	    found)
		seen->first_ms = record.timestamp_ms;
	arena_fini(&arena);
	return seen->first_ms;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool look_at(struct lag_watch *watch, struct seen *seen)
{
	int64_t low, end;
	bool stands_still = seen->known && seen->looked_next == seen->place.next;
	if (log_bounds(watch->log, watch->topic, seen->place.partition, &low, &end, NULL) != OK)
		return false;
	int64_t now_ms = seam_wall_ms(watch->seam);
	struct lag lag = {.end = end, .records = larger(0, end - seen->place.next)};
	if (lag.records == 0) {
		seen->caught_up_ms = now_ms;
	} else {
		int64_t since = stands_still || !seen->place.last_ms ? first_ms(watch, seen) : 0;
		if (!since)
			since = larger(seen->place.last_ms, seen->caught_up_ms);
		lag.age_ms = since ? larger(0, now_ms - since) : 0;
	}
	seen->lag = lag;
	seen->known = true;
	seen->looked_next = seen->place.next;
	return true;
}

static struct seen *find(struct seen *seen, size_t count, int32_t partition)
{
	for (size_t i = 0; i < count; i++)
		if (seen[i].place.partition == partition)
			return &seen[i];
	return NULL;
}

/* Looks at all that was told, without the lock; what was told meanwhile stays. */
static void look(struct lag_watch *watch, struct seen *mine, size_t count)
{
	bool all = true;
	for (size_t i = 0; i < count && all; i++)
		all = look_at(watch, &mine[i]);
	pthread_mutex_lock(&watch->lock);
	for (size_t i = 0; i < count; i++) {
		struct seen *to = find(watch->seen, watch->count, mine[i].place.partition);
		if (to) {
			struct lag_place place = to->place;
			*to = mine[i];
			to->place = place;
		}
	}
	if (all)
		watch->failing_us = 0;
	else if (!watch->failing_us)
		watch->failing_us = seam_monotonic_us(watch->seam);
	pthread_mutex_unlock(&watch->lock);
}

/* With the lock; until the interval is over, or the end. */
static void rest(struct lag_watch *watch)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	int64_t ns = until.tv_nsec + watch->interval_us % 1000000 * 1000;
	until.tv_sec += watch->interval_us / 1000000 + ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	while (!watch->ending && pthread_cond_timedwait(&watch->changed, &watch->lock, &until) == 0)
		;
}

static void *run(void *arg)
{
	struct lag_watch *watch = arg;
	pthread_mutex_lock(&watch->lock);
	while (!watch->ending) {
		if (!watch->told) {
			pthread_cond_wait(&watch->changed, &watch->lock);
			continue;
		}
		size_t count = watch->count;
		struct seen *mine = mem_zalloc(count, sizeof *mine);
		watch->told = false;
		if (count)
			memcpy(mine, watch->seen, count * sizeof *mine);
		pthread_mutex_unlock(&watch->lock);
		look(watch, mine, count);
		mem_free(mine);
		pthread_mutex_lock(&watch->lock);
		rest(watch);
		watch->told = false; /* more has been folded since: the next that is told is asked with */
	}
	pthread_mutex_unlock(&watch->lock);
	return NULL;
}

/* ---- the worker's side ---- */

enum status lag_watch_open(struct log *log, const char *topic, const struct seam *seam, int interval_ms,
                           struct lag_watch **out, struct err *err)
{
	struct lag_watch *watch = mem_zalloc(1, sizeof *watch);
	pthread_condattr_t attributes;
	watch->log = log;
	watch->topic = mem_strdup(topic);
	watch->seam = seam;
	watch->interval_us = interval_ms * 1000LL;
	pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (pthread_create(&watch->thread, NULL, run, watch) == 0) {
		*out = watch;
		return OK;
	}
	watch->ending = true;
	lag_watch_close(watch);
	return err_set(err, RETRY, "io", "no thread to watch the lag: raise the limit (ulimit -u)");
}

void lag_watch_close(struct lag_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	bool runs = !watch->ending;
	watch->ending = true;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
	if (runs)
		pthread_join(watch->thread, NULL);
	pthread_cond_destroy(&watch->changed);
	pthread_mutex_destroy(&watch->lock);
	log_close(watch->log);
	mem_free(watch->seen);
	mem_free(watch->topic);
	mem_free(watch);
}

void lag_watch_tell(struct lag_watch *watch, const struct lag_place *places, size_t count)
{
	struct seen *seen = mem_zalloc(count, sizeof *seen);
	pthread_mutex_lock(&watch->lock);
	for (size_t i = 0; i < count; i++) {
		const struct seen *old = find(watch->seen, watch->count, places[i].partition);
		if (old)
			seen[i] = *old;
		seen[i].place = places[i];
	}
	mem_free(watch->seen);
	watch->seen = seen;
	watch->count = count;
	watch->told = true;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
}

bool lag_watch_get(struct lag_watch *watch, int32_t partition, struct lag *out)
{
	pthread_mutex_lock(&watch->lock);
	const struct seen *seen = find(watch->seen, watch->count, partition);
	bool known = seen && seen->known;
	if (known)
		*out = seen->lag;
	pthread_mutex_unlock(&watch->lock);
	return known;
}

int64_t lag_watch_failing_us(struct lag_watch *watch)
{
	pthread_mutex_lock(&watch->lock);
	int64_t since = watch->failing_us;
	pthread_mutex_unlock(&watch->lock);
	return since;
}
