/* process_metrics: what this process takes of the machine, under the names that all client libraries of Prometheus use. */
#ifndef TANDEM_PROCESS_METRICS_H
#define TANDEM_PROCESS_METRICS_H

#include "bytes.h"

/* Any thread. What the system does not tell is left out. */
void process_metrics(struct buf *page, int64_t started_ms);

#endif
