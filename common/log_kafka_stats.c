/* kafka://: what librdkafka says of a client that is polled all the time, handed on as it is. Clients that only ask are left
 * out: nobody would take it out of their queues. */
#include "log_kafka.h"

#include <stdio.h>
#include <string.h>

static int on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
	(void)rk;
	const struct log_statistics *to = ((struct kafka_client *)opaque)->statistics;
	if (to)
		to->take(to->arg, json, len);
	return 0; /* librdkafka frees it */
}

void kafka_statistics_set(const struct kafka_log *log, rd_kafka_conf_t *conf, struct kafka_client *client)
{
	char ms[12];
	client->statistics = log->base.statistics;
	if (!client->statistics)
		return;
	for (size_t i = 0; i < log->setting_count; i++)
		if (strcmp(log->settings[i].name, "statistics.interval.ms") == 0)
			return rd_kafka_conf_set_stats_cb(conf, on_statistics);
	snprintf(ms, sizeof ms, "%d", client->statistics->interval_ms);
	rd_kafka_conf_set(conf, "statistics.interval.ms", ms, NULL, 0);
	rd_kafka_conf_set_stats_cb(conf, on_statistics);
}

void kafka_statistics_event(const struct kafka_client *client, rd_kafka_event_t *event)
{
	if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_STATS || !client->statistics)
		return;
	const char *json = rd_kafka_event_stats(event);
	client->statistics->take(client->statistics->arg, json, strlen(json));
}
