#include "observer.h"

#include "http_server.h"
#include "json.h"
#include "kafka_metrics.h"
#include "lag_watch.h"
#include "metrics.h"
#include "process_metrics.h"
#include "tracer.h"
#include "worker_metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LOOK_EVERY     64 /* turns between two looks at the clock */
#define STATISTICS_MS  5000
#define ASK_TIMEOUT_MS 3000

/* What /readyz goes by, as of the last page. */
struct shown {
	bool joined, stopping;
	size_t tasks, open, halted, catching_up, unknown_lag;
	int64_t lag, lag_age_ms; /* the largest */
	int64_t log_failing_ms;
};

struct observer {
	const struct seam *seam;
	int64_t ready_lag_ms, started_ms;
	struct meter *meter;
	struct kafka_metrics *kafka;
	struct log_statistics statistics;
	struct lag_watch *lag;
	struct http_server *server;
	struct buf next; /* the page being written; the worker's thread's */
	unsigned turns;
	int64_t page_at_us;
	_Atomic int64_t turned_us;
	pthread_mutex_t lock; /* page, paged_us, shown, waits_for */
	struct buf page;
	int64_t paged_us; /* when it was made */
	struct shown shown;
	char waits_for[sizeof((struct err *)NULL)->text]; /* "": the worker is there */
	int64_t waiting_us;                               /* since when */
};

/* ---- the worker's thread ---- */

static void take_statistics(void *arg, const char *json, size_t len)
{
	struct observer *observer = arg;
	kafka_metrics_take(observer->kafka, json, len);
}

static void tell_places(struct observer *observer, const struct worker *worker)
{
	size_t count = worker_task_count(worker), told = 0;
	struct lag_place *places = mem_zalloc(count, sizeof *places);
	for (size_t i = 0; i < count; i++) {
		struct worker_task task;
		struct task_position position = {0};
		worker_task(worker, i, &task);
		if (task.task)
			task_position(task.task, &position);
		else if (task.stopped_next <= 0)
			continue; /* it was never open: nobody knows where it is */
		places[told++] = (struct lag_place){task.partition,
		                                    task.task ? position.next_offset : task.stopped_next, task.last_ms};
	}
	lag_watch_tell(observer->lag, places, told);
	mem_free(places);
}

static void look_at_task(struct observer *observer, const struct worker_task *task, struct shown *shown)
{
	struct lag lag;
	shown->tasks++;
	shown->open += task->task != NULL || task->catching_up;
	shown->halted += task->halted;
	shown->catching_up += task->catching_up;
	if (!lag_watch_get(observer->lag, task->partition, &lag)) {
		shown->unknown_lag++;
		return;
	}
	shown->lag += lag.records;
	if (lag.age_ms > shown->lag_age_ms)
		shown->lag_age_ms = lag.age_ms;
}

static struct shown look(struct observer *observer, const struct worker *worker, int64_t now_us)
{
	struct shown shown = {.joined = worker_joined(worker), .stopping = worker_stopping(worker)};
	int64_t failing_us = lag_watch_failing_us(observer->lag);
	shown.log_failing_ms = failing_us ? (now_us - failing_us) / 1000 : 0;
	for (size_t i = 0; i < worker_task_count(worker); i++) {
		struct worker_task task;
		worker_task(worker, i, &task);
		look_at_task(observer, &task, &shown);
	}
	return shown;
}

static void write_page(struct observer *observer, const struct worker *worker, const struct worker_config *config,
                       int64_t now_us)
{
	tell_places(observer, worker);
	struct shown shown = look(observer, worker, now_us);
	buf_reset(&observer->next);
	worker_metrics(worker, config, observer->lag, &observer->next);
	kafka_metrics_put(observer->kafka, &observer->next);
	tracer_metrics(config->tracer, &observer->next);
	pthread_mutex_lock(&observer->lock);
	struct buf old = observer->page;
	observer->page = observer->next;
	observer->paged_us = now_us;
	observer->shown = shown;
	pthread_mutex_unlock(&observer->lock);
	observer->next = old;
}

void observer_turn(struct observer *observer, const struct worker *worker, const struct worker_config *config,
                   bool idle)
{
	if (!observer || (!idle && observer->turns++ % LOOK_EVERY))
		return;
	int64_t now_us = seam_monotonic_us(observer->seam);
	atomic_store_explicit(&observer->turned_us, now_us, memory_order_relaxed);
	if (now_us < observer->page_at_us)
		return;
	observer->page_at_us = now_us + OBSERVER_PAGE_MS * 1000;
	write_page(observer, worker, config, now_us);
}

void observer_waits(struct observer *observer, const char *why)
{
	if (!observer)
		return;
	int64_t now_us = seam_monotonic_us(observer->seam);
	atomic_store_explicit(&observer->turned_us, now_us, memory_order_relaxed);
	pthread_mutex_lock(&observer->lock);
	if (!*observer->waits_for)
		observer->waiting_us = now_us;
	snprintf(observer->waits_for, sizeof observer->waits_for, "%s", why ? why : "");
	pthread_mutex_unlock(&observer->lock);
}

/* ---- the server's thread ---- */

enum component { LOOP, ASSIGNMENT, TASKS, LAG, LOG, COMPONENTS };
static const char *const component_names[COMPONENTS] = {"loop", "assignment", "tasks", "lag", "log"};

struct health {
	struct shown shown;
	int64_t silent_ms;             /* since the loop turned */
	const char *wrong[COMPONENTS]; /* NULL: it is well */
	char waits_for[sizeof((struct err *)NULL)->text];
};

static int64_t silent_ms(const struct observer *observer)
{
	int64_t turned_us = atomic_load_explicit(&observer->turned_us, memory_order_relaxed);
	return (seam_monotonic_us(observer->seam) - turned_us) / 1000;
}

static const char *wrong_tasks(const struct shown *shown)
{
	if (shown->halted)
		return "a task is halted: `status` says why and what to do";
	if (shown->open < shown->tasks)
		return "not every file is open yet";
	return shown->catching_up ? "a file is being made again, up to the mark" : NULL;
}

static void judge(struct observer *observer, struct health *out)
{
	*out = (struct health){.silent_ms = silent_ms(observer)};
	struct shown *shown = &out->shown;
	pthread_mutex_lock(&observer->lock);
	*shown = observer->shown;
	if (*observer->waits_for) {
		memcpy(out->waits_for, observer->waits_for, sizeof out->waits_for);
		shown->log_failing_ms = (seam_monotonic_us(observer->seam) - observer->waiting_us) / 1000;
	}
	pthread_mutex_unlock(&observer->lock);
	if (out->silent_ms > OBSERVER_LIVE_MS)
		out->wrong[LOOP] = "the loop does not turn";
	if (shown->stopping)
		out->wrong[ASSIGNMENT] = "the worker stops";
	else if (!shown->joined)
		out->wrong[ASSIGNMENT] = "no partitions were assigned yet";
	out->wrong[TASKS] = wrong_tasks(shown);
	if (shown->unknown_lag)
		out->wrong[LAG] = "the log's end is not known yet";
	else if (shown->lag_age_ms > observer->ready_lag_ms)
		out->wrong[LAG] = "behind the log by more than --ready-lag";
	if (*out->waits_for)
		out->wrong[LOG] = out->waits_for;
	else if (shown->log_failing_ms > observer->ready_lag_ms)
		out->wrong[LOG] = "the log does not answer";
}

static bool is_well(const struct health *health)
{
	for (int i = 0; i < COMPONENTS; i++)
		if (health->wrong[i])
			return false;
	return true;
}

static void answer_live(struct observer *observer, struct http_answer *answer)
{
	int64_t ms = silent_ms(observer);
	answer->status = ms <= OBSERVER_LIVE_MS ? 200 : 503;
	if (answer->status == 200)
		buf_putf(&answer->body, "alive\n");
	else
		buf_putf(&answer->body, "the loop has not turned for %lld s\n", (long long)ms / 1000);
}

static void answer_ready(struct observer *observer, struct http_answer *answer)
{
	struct health health;
	judge(observer, &health);
	answer->status = is_well(&health) ? 200 : 503;
	if (answer->status == 200)
		buf_putf(&answer->body, "ready\n");
	for (int i = 0; i < COMPONENTS; i++)
		if (health.wrong[i])
			buf_putf(&answer->body, "%s: %s\n", component_names[i], health.wrong[i]);
}

static json_t *details(const struct health *health, enum component component)
{
	const struct shown *shown = &health->shown;
	switch (component) {
	case LOOP:
		return json_pack("{s:I}", "silent_ms", (json_int_t)health->silent_ms);
	case ASSIGNMENT:
		return json_pack("{s:b, s:b}", "assigned", shown->joined, "stopping", shown->stopping);
	case TASKS:
		return json_pack("{s:I, s:I, s:I, s:I}", "count", (json_int_t)shown->tasks, "open",
		                 (json_int_t)shown->open, "halted", (json_int_t)shown->halted, "catching_up",
		                 (json_int_t)shown->catching_up);
	case LAG:
		return json_pack("{s:I, s:I}", "records", (json_int_t)shown->lag, "age_ms",
		                 (json_int_t)shown->lag_age_ms);
	default:
		return json_pack("{s:I}", "failing_ms", (json_int_t)shown->log_failing_ms);
	}
}

static int put_bytes(const char *bytes, size_t len, void *body)
{
	buf_put(body, bytes, len);
	return 0;
}

static void answer_health(struct observer *observer, struct http_answer *answer)
{
	struct health health;
	judge(observer, &health);
	json_t *components = json_object();
	for (int i = 0; i < COMPONENTS; i++) {
		json_t *one = json_pack("{s:s}", "status", health.wrong[i] ? "DOWN" : "UP"),
		       *more = details(&health, (enum component)i);
		if (health.wrong[i])
			json_object_set_new(more, "reason", json_string(health.wrong[i]));
		json_object_set_new(one, "details", more);
		json_object_set_new(components, component_names[i], one);
	}
	json_t *whole = json_pack("{s:s, s:o}", "status", is_well(&health) ? "UP" : "DOWN", "components", components);
	answer->status = is_well(&health) ? 200 : 503;
	answer->content_type = "application/json";
	json_dump_callback(whole, put_bytes, &answer->body, JSON_COMPACT);
	buf_put_u8(&answer->body, '\n');
	json_decref(whole);
}

static void answer_metrics(struct observer *observer, struct http_answer *answer)
{
	struct health health;
	judge(observer, &health);
	answer->status = 200;
	answer->content_type = METRICS_CONTENT_TYPE;
	pthread_mutex_lock(&observer->lock);
	buf_put(&answer->body, observer->page.data, observer->page.len);
	int64_t paged_us = observer->paged_us;
	pthread_mutex_unlock(&observer->lock);
	metrics_family(&answer->body, "tandem_page_age_seconds", "gauge", "Since what is above was looked at.");
	metrics_seconds(&answer->body, "tandem_page_age_seconds", seam_monotonic_us(observer->seam) - paged_us);
	metrics_family(&answer->body, "tandem_ready", "gauge", "1 where /readyz says so.");
	metrics_sample(&answer->body, "tandem_ready", is_well(&health));
	metrics_family(&answer->body, "tandem_loop_silent_seconds", "gauge", "Since the worker's loop turned last.");
	metrics_seconds(&answer->body, "tandem_loop_silent_seconds", health.silent_ms * 1000);
	process_metrics(&answer->body, observer->started_ms);
}

static const struct {
	const char *path;
	void (*answer)(struct observer *observer, struct http_answer *answer);
} pages[] = {
	{"/livez", answer_live}, {"/readyz", answer_ready}, {"/health", answer_health}, {"/metrics", answer_metrics}};

static void handle(void *arg, const char *path, struct http_answer *answer)
{
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (strcmp(pages[i].path, path) == 0)
			pages[i].answer(arg, answer);
}

/* ---- open and close ---- */

enum status observer_open(const struct observer_config *config, struct observer **out, struct err *err)
{
	struct observer *observer = mem_zalloc(1, sizeof *observer);
	observer->seam = config->seam;
	observer->ready_lag_ms = config->ready_lag_ms;
	observer->started_ms = seam_wall_ms(config->seam);
	observer->paged_us = seam_monotonic_us(config->seam);
	atomic_store(&observer->turned_us, observer->paged_us);
	observer->kafka = kafka_metrics_new();
	observer->statistics = (struct log_statistics){STATISTICS_MS, take_statistics, observer};
	worker_metrics_build(config->service, &observer->page);
	pthread_mutex_init(&observer->lock, NULL);
	enum status status = http_server_open(config->address, handle, observer, &observer->server, err);
	if (status != OK) {
		observer_close(observer);
		return status;
	}
	logging_write(config->logging, LOGGING_INFO, "listening",
	              LOGGING_TEXT("url", http_server_url(observer->server)));
	*out = observer;
	return OK;
}

enum status observer_watch(struct observer *observer, const struct observer_log *to, struct err *err)
{
	struct log *log;
	const struct log_config config = {.seam = observer->seam,
	                                  .name_space = to->name_space,
	                                  .settings = to->settings,
	                                  .setting_count = to->setting_count,
	                                  .timeout_ms = ASK_TIMEOUT_MS};
	enum status status = log_open(to->url, &config, &log, err);
	if (status != OK)
		return status;
	observer->meter = meter_new(observer->seam, to->full_topic);
	return lag_watch_open(log, to->topic, observer->seam, OBSERVER_LAG_MS, &observer->lag, err);
}

void observer_close(struct observer *observer)
{
	if (!observer)
		return;
	http_server_close(observer->server);
	lag_watch_close(observer->lag);
	meter_free(observer->meter);
	kafka_metrics_free(observer->kafka);
	buf_fini(&observer->next);
	buf_fini(&observer->page);
	pthread_mutex_destroy(&observer->lock);
	mem_free(observer);
}

struct meter *observer_meter(struct observer *observer)
{
	return observer ? observer->meter : NULL;
}

const struct log_statistics *observer_statistics(const struct observer *observer)
{
	return observer ? &observer->statistics : NULL;
}
