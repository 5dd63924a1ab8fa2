/* kafka_metrics: what librdkafka says of itself (statistics.interval.ms), as metrics. Keeps the last of each client.
 *
 * Fields: https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md . What is missing there is 0 here; text that
 * is no JSON object is dropped. Not thread-safe. */
#ifndef TANDEM_KAFKA_METRICS_H
#define TANDEM_KAFKA_METRICS_H

#include <stddef.h>

#include "bytes.h"

struct kafka_metrics;

struct kafka_metrics *kafka_metrics_new(void);
void kafka_metrics_free(struct kafka_metrics *metrics); /* NULL is fine */

/* A client's statistics as they came; a client is told by its "type", consumer or producer. */
void kafka_metrics_take(struct kafka_metrics *metrics, const char *json, size_t len);

/* Adds its families to the page; none before the first statistics. */
void kafka_metrics_put(const struct kafka_metrics *metrics, struct buf *page);

#endif
