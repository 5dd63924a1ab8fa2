/* Workers anywhere, by what their /metrics say. All are asked at a time, each in a thread of its own that lives for the look. */
#include "top.h"

#include "command.h"
#include "http_client.h"
#include "interrupt.h"
#include "metrics_read.h"
#include "thread.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES_MAX (16 << 20)
#define TASKS_MAX      4096 /* of a page; a worker that has more is shown in part */
#define BUCKETS_MAX    64
#define US             1000000
#define PERCENTILE     0.99

/* A histogram as pages tell it: how many were at most so long. */
struct latencies {
	double bound_s[BUCKETS_MAX], count[BUCKETS_MAX];
	size_t buckets;
};

struct task { /* of one page */
	int32_t partition;
	const char *state, *halted, *gap; /* NULL: none; in the look's arena */
	double next, lag, behind_s;       /* NAN: not told */
	bool running;
};

struct place { /* where a task was, and when */
	int32_t partition;
	int64_t next, at_us, per_second;
};

struct worker {
	char *url;
	char *service; /* NULL: it has never answered */
	struct http_client *client;
	struct http_reply reply;
	enum status status;
	struct err err;
	int64_t answered_us;
	struct place *places; /* of the last answer */
	size_t place_count;
	struct latencies last;
	bool told; /* last holds something */
};

struct page { /* what the answer says */
	const char *service, *wrong;
	int64_t at_us; /* when it was true */
	struct task tasks[TASKS_MAX];
	size_t count;
	struct latencies latencies;
};

struct top_workers {
	const struct top_settings *settings;
	struct worker *items;
	size_t count;
	struct page page; /* being read */
};

/* ---- opening ---- */

/* /metrics is meant where the URL names no path. */
static char *whole_url(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = strchr(host ? host + 3 : url, '/');
	bool bare = !path || !path[1];
	return mem_format("%.*s%s", (int)(path && bare ? path - url : (long)strlen(url)), url, bare ? "/metrics" : "");
}

/* Who looks at many says http and metrics of none. */
static const char *short_url(struct arena *arena, const char *url)
{
	static const char begin[] = "http://", end[] = "/metrics";
	const char *from = strncmp(url, begin, sizeof begin - 1) == 0 ? url + sizeof begin - 1 : url;
	size_t len = strlen(from);
	if (len > sizeof end - 1 && strcmp(from + len - (sizeof end - 1), end) == 0)
		len -= sizeof end - 1;
	return arena_copy(arena, from, len);
}

static bool stopped(void *arg)
{
	(void)arg;
	return interrupt_requested();
}

struct top_workers *top_workers_open(const struct top_settings *settings, int *exit_status)
{
	struct top_workers *workers = mem_zalloc(1, sizeof *workers);
	workers->settings = settings;
	workers->items = mem_zalloc(settings->urls.count, sizeof *workers->items);
	for (size_t i = 0; i < settings->urls.count; i++) {
		struct worker *worker = &workers->items[workers->count++];
		worker->url = whole_url(settings->urls.items[i]);
		const struct http_client_config config = {.url = worker->url,
		                                          .timeout_ms = (int)settings->timeout_ms,
		                                          .direct = true,
		                                          .answer_bytes_max = PAGE_BYTES_MAX,
		                                          .stopped = stopped};
		if (http_client_open(&config, &worker->client, &worker->err) == OK)
			continue;
		*exit_status = config_misuse(settings->config, "--url: %s", worker->err.text);
		top_workers_close(workers);
		return NULL;
	}
	return workers;
}

void top_workers_close(struct top_workers *workers)
{
	if (!workers)
		return;
	for (size_t i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->items[i];
		http_client_close(worker->client);
		buf_fini(&worker->reply.body);
		mem_free(worker->places);
		mem_free(worker->service);
		mem_free(worker->url);
	}
	mem_free(workers->items);
	mem_free(workers);
}

/* ---- asking ---- */

static void *ask(void *arg)
{
	static const struct http_request request = {.method = "GET", .path = ""};
	struct worker *worker = arg;
	worker->err = (struct err){0};
	worker->status = http_client_send(worker->client, &request, &worker->reply, &worker->err);
	worker->answered_us = seam_monotonic_us(&seam_system);
	return NULL;
}

static void ask_all(struct top_workers *workers)
{
	pthread_t *threads = mem_zalloc(workers->count, sizeof *threads);
	bool *started = mem_zalloc(workers->count, sizeof *started);
	for (size_t i = 0; i < workers->count; i++) {
		started[i] = thread_start(&threads[i], ask, &workers->items[i]) == 0;
		if (!started[i])
			ask(&workers->items[i]);
	}
	for (size_t i = 0; i < workers->count; i++)
		if (started[i])
			pthread_join(threads[i], NULL);
	mem_free(started);
	mem_free(threads);
}

/* ---- reading a page ---- */

static struct task *task_of(struct page *page, const struct metrics_read_sample *sample)
{
	const char *text = metrics_read_label(sample, "partition");
	char *end;
	long partition = strtol(text, &end, 10);
	if (end == text || *end || partition < 0 || partition > INT32_MAX)
		return NULL;
	for (size_t i = 0; i < page->count; i++)
		if (page->tasks[i].partition == partition)
			return &page->tasks[i];
	if (page->count == TASKS_MAX)
		return NULL;
	struct task *task = &page->tasks[page->count++];
	*task = (struct task){.partition = (int32_t)partition, .next = NAN, .lag = NAN, .behind_s = NAN};
	return task;
}

static void add_bucket(struct latencies *latencies, const struct metrics_read_sample *sample)
{
	char *end;
	const char *text = metrics_read_label(sample, "le");
	double bound = strtod(text, &end);
	size_t i = 0;
	if (end == text || isnan(bound))
		return;
	while (i < latencies->buckets && latencies->bound_s[i] != bound)
		i++;
	if (i == BUCKETS_MAX)
		return;
	if (i == latencies->buckets) {
		latencies->bound_s[i] = bound;
		latencies->count[i] = 0;
		latencies->buckets++;
	}
	latencies->count[i] += sample->value;
}

/* A family with a sample a partition. */
static void take_of_task(struct page *page, const struct metrics_read_sample *sample)
{
	static const char *const families[] = {
		"tandem_task_state",   "tandem_task_halted",          "tandem_task_running", "tandem_next_offset",
		"tandem_consumer_lag", "tandem_consumer_lag_seconds", "tandem_gaps"};
	enum { STATE, HALTED, RUNNING, NEXT, LAG, BEHIND, GAPS, FAMILIES } family = STATE;
	while (family < FAMILIES && strcmp(families[family], sample->name) != 0)
		family++;
	struct task *task = family < FAMILIES ? task_of(page, sample) : NULL;
	if (!task)
		return;
	switch (family) {
	case STATE:
		task->state = metrics_read_label(sample, "state");
		break;
	case HALTED:
		task->halted = metrics_read_label(sample, "reason");
		break;
	case RUNNING:
		task->running = sample->value > 0;
		break;
	case NEXT:
		task->next = sample->value;
		break;
	case LAG:
		task->lag = sample->value;
		break;
	case BEHIND:
		task->behind_s = sample->value;
		break;
	default:
		if (sample->value > 0)
			task->gap = metrics_read_label(sample, "verdict");
	}
}

static void read_page(struct page *page, const struct worker *worker, struct arena *arena)
{
	struct metrics_read read = {.page = (const char *)worker->reply.body.data, .len = worker->reply.body.len};
	struct metrics_read_sample sample;
	page->service = page->wrong = NULL;
	page->at_us = worker->answered_us;
	page->count = page->latencies.buckets = 0;
	while (metrics_read_next(&read, arena, &sample)) {
		if (strcmp(sample.name, "tandem_build_info") == 0)
			page->service = metrics_read_label(&sample, "service");
		else if (strcmp(sample.name, "tandem_page_age_seconds") == 0 && sample.value > 0 && sample.value < 3600)
			page->at_us = worker->answered_us - (int64_t)(sample.value * US);
		else if (strcmp(sample.name, "tandem_log_answers") == 0 && sample.value == 0)
			page->wrong = "log is silent";
		else if (strcmp(sample.name, "tandem_end_to_end_seconds_bucket") == 0)
			add_bucket(&page->latencies, &sample);
		else
			take_of_task(page, &sample);
	}
}

/* ---- what follows from two pages ---- */

static int64_t whole(double value, double times)
{
	value *= times;
	return value >= 0 && value < 9e18 ? (int64_t)value : -1; /* NAN is neither */
}

/* How many were at most bound_s[i], of those since the page before. */
static double since(const struct latencies *now, const struct worker *worker, size_t i)
{
	for (size_t k = 0; worker->told && k < worker->last.buckets; k++)
		if (worker->last.bound_s[k] == now->bound_s[i])
			return now->count[i] - worker->last.count[k];
	return worker->told ? now->count[i] : 0;
}

/* Below which PERCENTILE of those since the page before were: the bound of a bucket's end, between bounds in proportion. -1: there were
 * none. */
static int64_t latency_us(const struct latencies *now, const struct worker *worker)
{
	double all = 0, below_s = 0, below = 0;
	for (size_t i = 0; i < now->buckets; i++)
		all = fmax(all, since(now, worker, i));
	for (size_t i = 0; i < now->buckets && all > 0; i++) {
		double count = since(now, worker, i), wanted = all * PERCENTILE;
		if (isinf(now->bound_s[i]))
			return whole(below_s, US);
		if (count >= wanted)
			return whole(below_s + (now->bound_s[i] - below_s) * (wanted - below) / (count - below), US);
		below = count;
		below_s = now->bound_s[i];
	}
	return -1;
}

/* A page is made once a second: what two looks find on the same one is the rate that was found before. */
static int64_t rate(const struct worker *worker, int32_t partition, int64_t next, int64_t at_us)
{
	for (size_t i = 0; i < worker->place_count; i++) {
		const struct place *place = &worker->places[i];
		if (place->partition != partition || place->next < 0 || next < place->next)
			continue;
		if (at_us - place->at_us < US / 10)
			return place->per_second;
		return (int64_t)((double)(next - place->next) * US / (double)(at_us - place->at_us));
	}
	return -1;
}

static const char *wrong_text(const struct page *page, const struct task *task)
{
	if (task->halted)
		return task->halted;
	if (task->gap)
		return task->gap;
	return page->wrong ? page->wrong : "";
}

static void add_row(struct top_table *table, const struct worker *worker, const struct page *page,
                    const struct task *task, int64_t latency)
{
	struct top_row *row = top_table_add(table, page->service, task->partition);
	row->url = worker->url;
	row->state = task->state ? task->state : "?";
	row->next_offset = whole(task->next, 1);
	row->lag = whole(task->lag, 1);
	row->behind_ms = whole(task->behind_s, 1000);
	row->latency_us = latency;
	row->per_second = row->next_offset < 0 ? -1 : rate(worker, task->partition, row->next_offset, page->at_us);
	row->running = task->running;
	row->halted = task->halted != NULL;
	row->wrong = wrong_text(page, task);
}

static void remember(struct worker *worker, const struct page *page, const struct top_row *rows)
{
	struct place *places = mem_zalloc(page->count, sizeof *places);
	for (size_t i = 0; i < page->count; i++)
		places[i] = (struct place){rows[i].partition, rows[i].next_offset, page->at_us, rows[i].per_second};
	mem_free(worker->places);
	worker->places = places;
	worker->place_count = page->count;
	worker->last = page->latencies;
	worker->told = true;
}

static bool is_wanted(const struct top_workers *workers, const char *service)
{
	const struct config *config = workers->settings->config;
	for (size_t i = 0; i < config->rest_count; i++)
		if (strcmp(config->rest[i], service) == 0)
			return true;
	return config->rest_count == 0;
}

/* ---- a look ---- */

static const char *silence_text(struct arena *arena, const struct worker *worker)
{
	const char *url = short_url(arena, worker->url);
	if (worker->status == OK && worker->reply.status == 200)
		return arena_format(arena, "%s: found no worker's metrics", url);
	if (worker->status == OK)
		return arena_format(arena, "%s: answers %d", url, worker->reply.status);
	if (err_is(&worker->err, "timeout"))
		return arena_format(arena, "%s: no answer in time", url);
	return arena_format(arena, "%s: %s", url,
	                    err_is(&worker->err, "too_large") ? "the answer is too long" : "cannot be reached");
}

/* Its partitions as they were known, if they were. */
static void add_silent(struct top_table *table, const struct worker *worker)
{
	const char *wrong = silence_text(&table->arena, worker);
	size_t count = worker->place_count ? worker->place_count : 1;
	for (size_t i = 0; i < count; i++) {
		struct top_row *row = top_table_add(table, worker->service ? worker->service : "",
		                                    i < worker->place_count ? worker->places[i].partition : -1);
		row->url = worker->url;
		row->state = "no answer";
		row->silent = true;
		row->wrong = wrong;
	}
}

static bool look_at(struct top_workers *workers, struct worker *worker, struct top_table *table)
{
	struct page *page = &workers->page;
	page->service = NULL;
	if (worker->status == OK && worker->reply.status == 200)
		read_page(page, worker, &table->arena);
	if (!page->service) {
		if (!worker->service || is_wanted(workers, worker->service))
			add_silent(table, worker);
		return false;
	}
	mem_free(worker->service);
	worker->service = mem_strdup(page->service);
	if (!is_wanted(workers, page->service))
		return true;
	int64_t latency = latency_us(&page->latencies, worker);
	if (page->count == 0) { /* its group gives it none, or it waits for the log */
		struct top_row *row = top_table_add(table, page->service, -1);
		row->url = worker->url;
		row->state = "no tasks";
		row->wrong = page->wrong ? page->wrong : "";
	}
	size_t first = table->count;
	for (size_t i = 0; i < page->count; i++)
		add_row(table, worker, page, &page->tasks[i], latency);
	remember(worker, page, table->rows + first);
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct top_row *one = a, *other = b;
	int order = strcmp(one->service, other->service);
	if (!order)
		order = (one->partition > other->partition) - (one->partition < other->partition);
	return order ? order : strcmp(one->url, other->url);
}

bool top_workers_look(struct top_workers *workers, struct top_table *table)
{
	bool answered = false;
	ask_all(workers);
	for (size_t i = 0; i < workers->count && !interrupt_requested(); i++)
		answered |= look_at(workers, &workers->items[i], table);
	if (table->count)
		qsort(table->rows, table->count, sizeof *table->rows, compare);
	return answered;
}
