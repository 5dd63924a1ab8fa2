/* worker_metrics: what a worker and its tasks are doing, as metrics. Called in the worker's thread: it reads what the worker
 * holds in memory, stats its files, and asks nobody. */
#ifndef TANDEM_WORKER_METRICS_H
#define TANDEM_WORKER_METRICS_H

#include "lag_watch.h"
#include "worker.h"

/* Adds its families to the page. lag may be NULL: without the lag. */
void worker_metrics(const struct worker *worker, const struct worker_config *config, struct lag_watch *lag,
                    struct buf *page);

/* What is known before there is a worker: the program, and which one it will be. */
void worker_metrics_build(const char *service, struct buf *out);

#endif
