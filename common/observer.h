/* observer: what a worker shows of itself over HTTP while it runs.
 *
 * From the beginning: before the log has answered for the first time it is alive, not ready, and says what it waits for.
 *
 *   /livez     200 while the worker's loop turns (within OBSERVER_LIVE_MS), whatever Kafka does; else 503: restart it
 *   /readyz    200 when partitions are assigned, every file is open, none is halted or catching up, and all are folded to
 *              within ready_lag_ms of the log's end; else 503 and a line for each thing that is missing. A worker that
 *              stops is not ready. One that its group gives no partition is
 *   /health    the same as JSON, component by component
 *   /metrics   Prometheus' text format
 *
 * Threads: the worker's calls observer_turn, which writes the page once in OBSERVER_PAGE_MS; the server's answers with the
 * last one; a third asks the log for its ends (lag_watch.h). The only things they share are behind one lock, never held for
 * long, and one atomic time. */
#ifndef TANDEM_OBSERVER_H
#define TANDEM_OBSERVER_H

#include "log.h"
#include "logging.h"
#include "meter.h"
#include "worker.h"

#define OBSERVER_LIVE_MS 60000 /* longer than any call that the worker waits for */
#define OBSERVER_PAGE_MS 1000
#define OBSERVER_LAG_MS  1500 /* so that it is asked with every other page */

struct observer;

struct observer_config {
	const char *address; /* as http_server_open takes it */
	const struct seam *seam;
	struct logging *logging; /* NULL: says nothing */
	const char *service;
	int64_t ready_lag_ms;
};

/* Listens from now on. On OK *out is the caller's: observer_close. REJECT: the address makes no sense. */
enum status observer_open(const struct observer_config *config, struct observer **out, struct err *err);

/* Until the worker is there: it waits for the log, and why; NULL: no more. Said at least every OBSERVER_LIVE_MS, or /livez
 * fails. NULL is fine. */
void observer_waits(struct observer *observer, const char *why);

struct observer_log {
	const char *topic;      /* the worker's input, without the namespace */
	const char *full_topic; /* with it */
	const char *url;        /* opened once more, to ask for ends */
	const char *name_space;
	const struct log_setting *settings;
	size_t setting_count;
};

/* Once, before the worker and its log are given anything of the observer. */
enum status observer_watch(struct observer *observer, const struct observer_log *log, struct err *err);
void observer_close(struct observer *observer); /* after the worker and its log. NULL is fine */

struct meter *observer_meter(struct observer *observer);                           /* for the worker's configuration */
const struct log_statistics *observer_statistics(const struct observer *observer); /* for its log */

/* Once a turn of the worker's loop; idle: there was nothing to do. Costs next to nothing but once in OBSERVER_PAGE_MS. NULL
 * is fine. */
void observer_turn(struct observer *observer, const struct worker *worker, const struct worker_config *config,
                   bool idle);

#endif
