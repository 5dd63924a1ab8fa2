#include "kafka_metrics.h"

#include "json.h"
#include "mem.h"
#include "metrics.h"

#include <stdbool.h>
#include <string.h>

enum client { CONSUMER, PRODUCER, CLIENTS };
static const char *const client_names[CLIENTS] = {"consumer", "producer"};

struct kafka_metrics {
	json_t *said[CLIENTS]; /* NULL: nothing yet */
};

struct kafka_metrics *kafka_metrics_new(void)
{
	return mem_zalloc(1, sizeof(struct kafka_metrics));
}

void kafka_metrics_free(struct kafka_metrics *metrics)
{
	for (int i = 0; metrics && i < CLIENTS; i++)
		json_decref(metrics->said[i]);
	mem_free(metrics);
}

void kafka_metrics_take(struct kafka_metrics *metrics, const char *text, size_t len)
{
	json_t *json = json_loadb(text, len, 0, NULL);
	const char *type = json_string_value(json_object_get(json, "type"));
	for (int i = 0; type && i < CLIENTS; i++) {
		if (strcmp(type, client_names[i]) != 0)
			continue;
		json_decref(metrics->said[i]);
		metrics->said[i] = json_incref(json);
	}
	json_decref(json);
}

static int64_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* ---- a client ---- */

static const struct {
	const char *field, *name, *kind, *help;
} client_fields[] = {
	{"msg_cnt", "tandem_kafka_queue_messages", "gauge",
         "Messages in the producer's queue, in flight ones included."},
	{"msg_size", "tandem_kafka_queue_bytes", "gauge", "Bytes in the producer's queue, in flight ones included."},
	{"replyq", "tandem_kafka_waiting_events", "gauge", "Events that wait for the worker to look at them."},
	{"tx", "tandem_kafka_requests_total", "counter", "Requests sent to brokers."},
	{"tx_bytes", "tandem_kafka_sent_bytes_total", "counter", "Bytes sent to brokers."},
	{"rx_bytes", "tandem_kafka_received_bytes_total", "counter", "Bytes received from brokers."},
	{"txmsgs", "tandem_kafka_sent_messages_total", "counter", "Messages sent to brokers."},
	{"rxmsgs", "tandem_kafka_received_messages_total", "counter",
         "Messages received from brokers, before they are folded."},
};

static void put_clients(const struct kafka_metrics *metrics, struct buf *page)
{
	for (size_t f = 0; f < sizeof client_fields / sizeof *client_fields; f++) {
		metrics_family(page, client_fields[f].name, client_fields[f].kind, client_fields[f].help);
		for (int i = 0; i < CLIENTS; i++)
			if (metrics->said[i])
				metrics_sample(page, client_fields[f].name,
				               number(metrics->said[i], client_fields[f].field),
				               METRICS_TEXT("client", client_names[i]));
	}
}

/* ---- its brokers ---- */

static const struct {
	const char *field, *kind;
} broker_faults[] = {
	{"txerrs", "send"},          {"rxerrs", "receive"},         {"txretries", "retry"},
	{"req_timeouts", "timeout"}, {"disconnects", "disconnect"},
};

static const struct {
	const char *field, *percentile;
} percentiles[] = {{"p50", "50"}, {"p99", "99"}};

typedef void broker_function(struct buf *page, const char *client, const json_t *broker);

static void put_up(struct buf *page, const char *client, const json_t *broker)
{
	const char *state = json_string_value(json_object_get(broker, "state"));
	metrics_sample(page, "tandem_kafka_broker_up", state && strcmp(state, "UP") == 0,
	               METRICS_TEXT("client", client), METRICS_INT("broker", number(broker, "nodeid")));
}

static void put_percentiles(struct buf *page, const char *name, const char *window, const char *client,
                            const json_t *broker)
{
	const json_t *values = json_object_get(broker, window);
	for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++)
		metrics_seconds(page, name, number(values, percentiles[i].field), METRICS_TEXT("client", client),
		                METRICS_INT("broker", number(broker, "nodeid")),
		                METRICS_TEXT("percentile", percentiles[i].percentile));
}

static void put_round_trip(struct buf *page, const char *client, const json_t *broker)
{
	put_percentiles(page, "tandem_kafka_broker_round_trip_seconds", "rtt", client, broker);
}

static void put_queueing(struct buf *page, const char *client, const json_t *broker)
{
	put_percentiles(page, "tandem_kafka_broker_queue_seconds", "int_latency", client, broker);
}

static void put_waiting(struct buf *page, const char *client, const json_t *broker)
{
	metrics_sample(page, "tandem_kafka_broker_requests_waiting",
	               number(broker, "outbuf_cnt") + number(broker, "waitresp_cnt"), METRICS_TEXT("client", client),
	               METRICS_INT("broker", number(broker, "nodeid")));
}

static void put_faults(struct buf *page, const char *client, const json_t *broker)
{
	for (size_t i = 0; i < sizeof broker_faults / sizeof *broker_faults; i++)
		metrics_sample(page, "tandem_kafka_broker_faults_total", number(broker, broker_faults[i].field),
		               METRICS_TEXT("client", client), METRICS_INT("broker", number(broker, "nodeid")),
		               METRICS_TEXT("kind", broker_faults[i].kind));
}

static const struct {
	const char *name, *kind, *help;
	broker_function *put;
} broker_families[] = {
	{"tandem_kafka_broker_up", "gauge", "Is there a connection to the broker? Idle ones are opened when needed.",
         put_up},
	{"tandem_kafka_broker_round_trip_seconds", "gauge", "Time of a request, within the last interval.",
         put_round_trip},
	{"tandem_kafka_broker_queue_seconds", "gauge",
         "Time a message waits before it is sent, within the last interval.", put_queueing},
	{"tandem_kafka_broker_requests_waiting", "gauge", "Requests to be sent or answered.", put_waiting},
	{"tandem_kafka_broker_faults_total", "counter", "Failed requests, retries, timeouts and lost connections.",
         put_faults},
};

/* Bootstrap addresses and the group's coordinator are listed there, too, as brokers without a number. */
static void put_brokers(const struct kafka_metrics *metrics, struct buf *page)
{
	for (size_t f = 0; f < sizeof broker_families / sizeof *broker_families; f++) {
		metrics_family(page, broker_families[f].name, broker_families[f].kind, broker_families[f].help);
		for (int i = 0; i < CLIENTS; i++) {
			const char *name;
			json_t *broker;
			json_object_foreach(json_object_get(metrics->said[i], "brokers"), name, broker)
			{
				const char *source = json_string_value(json_object_get(broker, "source"));
				if (number(broker, "nodeid") >= 0 && source && strcmp(source, "logical") != 0)
					broker_families[f].put(page, client_names[i], broker);
			}
		}
	}
}

/* ---- what is fetched and sent ---- */

static void put_group(const struct kafka_metrics *metrics, struct buf *page)
{
	const json_t *group = json_object_get(metrics->said[CONSUMER], "cgrp");
	if (!group)
		return;
	metrics_family(page, "tandem_kafka_rebalances_total", "counter",
	               "Rebalances of the consumer group that this member saw.");
	metrics_sample(page, "tandem_kafka_rebalances_total", number(group, "rebalance_cnt"));
	metrics_family(page, "tandem_kafka_assigned_partitions", "gauge",
	               "Partitions that the group has given this member.");
	metrics_sample(page, "tandem_kafka_assigned_partitions", number(group, "assignment_size"));
}

static int64_t fetched(const json_t *consumer, const char *field)
{
	const char *name;
	json_t *topic, *partition;
	int64_t sum = 0;
	json_object_foreach(json_object_get(consumer, "topics"), name, topic)
	{
		json_object_foreach(json_object_get(topic, "partitions"), name, partition)
		{
			sum += number(partition, field);
		}
	}
	return sum;
}

static void put_fetched(const struct kafka_metrics *metrics, struct buf *page)
{
	if (!metrics->said[CONSUMER])
		return;
	metrics_family(page, "tandem_kafka_fetched_messages", "gauge", "Messages fetched and not folded yet.");
	metrics_sample(page, "tandem_kafka_fetched_messages", fetched(metrics->said[CONSUMER], "fetchq_cnt"));
	metrics_family(page, "tandem_kafka_fetched_bytes", "gauge", "Bytes fetched and not folded yet.");
	metrics_sample(page, "tandem_kafka_fetched_bytes", fetched(metrics->said[CONSUMER], "fetchq_size"));
}

static void put_batches(const struct kafka_metrics *metrics, struct buf *page)
{
	const char *name;
	json_t *topic;
	if (!metrics->said[PRODUCER])
		return;
	metrics_family(page, "tandem_kafka_batch_messages", "gauge",
	               "Messages in a batch on average, within the last interval.");
	json_object_foreach(json_object_get(metrics->said[PRODUCER], "topics"), name, topic)
	{
		metrics_sample(page, "tandem_kafka_batch_messages", number(json_object_get(topic, "batchcnt"), "avg"),
		               METRICS_TEXT("topic", name));
	}
}

void kafka_metrics_put(const struct kafka_metrics *metrics, struct buf *page)
{
	if (!metrics->said[CONSUMER] && !metrics->said[PRODUCER])
		return;
	put_clients(metrics, page);
	put_brokers(metrics, page);
	put_group(metrics, page);
	put_fetched(metrics, page);
	put_batches(metrics, page);
}
