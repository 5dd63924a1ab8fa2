/* bare: the limit that Tandem is held against. The order worker's and the inventory worker's messages with librdkafka alone:
 * the same topics, keys and Avro bodies, four consumed and four produced an order (OrderPlaced, ReserveStock, StockReserved,
 * CommitStock; the outcome is written and not read), idempotent, acks=all, lz4, a consumer group; no state, no check, no file.
 *
 *   bare order|inventory [--headers N] [--state] [--linger MS] [--ahead N] [--instance-id ID]
 *
 * --headers 0: none (default). 1: the `tandem` header, its chain hashed, written and parsed at each hop. 10: that one and nine
 * more of the size that CloudEvents have, written and parsed.
 * --state: rows of orders and stock in $TANDEM_DATA (bare_state.h), and the headers that Tandem writes: with --headers 1 an
 * outcome has seven. No check and no promise all the same: offsets are committed by time, rows by number.
 * --ahead: messages a partition to fetch ahead (librdkafka's queued.min.messages, 100000 as it comes). Where it has as many,
 * 2.0.2 looks again a second later; a million lets a drain of bare run on.
 * The broker and the namespace are TANDEM_LOG and TANDEM_NAMESPACE, as for Tandem. Only orders of one line are taken: several
 * answers to one order cannot be told to be complete without state. SIGTERM ends it; a message that was not delivered: exit 1. */
#include "bare_state.h"
#include "events.h"
#include "hash.h"
#include "header.h"
#include "interrupt.h"
#include "log.h"

#include <librdkafka/rdkafka.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS       100
#define REPORTS_EVERY 1000 /* messages between two looks at the delivery reports */
#define HEADERS_MAX   10
#define OUTCOME_MORE  6 /* headers that Tandem's outcome has besides, for who reads it as a CloudEvent */

struct bare {
	const char *role, *linger_ms, *ahead, *instance_id;
	int headers;
	bool with_state;
	struct bare_state *state; /* NULL: none */
	rd_kafka_t *consumer, *producer;
	rd_kafka_topic_t *orders, *inventory, *outcomes;
	int32_t inventory_partitions;
	uint64_t chain, number;
	int64_t consumed, acknowledged, failed;
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bare: %s: %s\n", what, why);
	exit(1);
}

/* ---- as much of Avro as is needed; the writer is Tandem, on the same machine ---- */

struct reader {
	const uint8_t *at, *end;
};

static int64_t read_long(struct reader *in)
{
	uint64_t value = 0;
	for (int shift = 0; in->at < in->end && shift < 64; shift += 7) {
		uint8_t byte = *in->at++;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static struct log_bytes read_string(struct reader *in)
{
	int64_t len = read_long(in);
	if (len < 0 || len > in->end - in->at)
		die("message", "a string is longer than it");
	const struct log_bytes text = {in->at, (int32_t)len};
	in->at += len;
	return text;
}

static void put_long(struct buf *out, int64_t value)
{
	uint64_t rest = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	for (; rest > 0x7f; rest >>= 7)
		buf_put_u8(out, (uint8_t)(rest | 0x80));
	buf_put_u8(out, (uint8_t)rest);
}

static void put_string(struct buf *out, struct log_bytes text)
{
	put_long(out, text.len);
	buf_put(out, text.data, (size_t)text.len);
}

static void begin(struct buf *out, const struct event_type *type)
{
	buf_reset(out);
	buf_put_u8(out, 0xc3);
	buf_put_u8(out, 0x01);
	for (int i = 0; i < 8; i++)
		buf_put_u8(out, (uint8_t)(type->fingerprint >> 8 * i));
}

/* ---- sending ---- */

static rd_kafka_headers_t *make_headers(struct bare *bare, int count, struct log_bytes key, const struct buf *value)
{
	static const uint8_t installation[HASH_KEY_BYTES];
	static const char text[] = "/tandem/00000000-0000-0000";
	uint8_t stream[21 + 9] = {1};
	bare->chain = hash_chain(installation, bare->chain, ++bare->number, 0, &key, value->data, value->len);
	be64_put(stream + 5, bare->number);
	be64_put(stream + 13, bare->chain);
	memcpy(stream + 21, "inventory", 9);
	rd_kafka_headers_t *headers = rd_kafka_headers_new((size_t)count);
	rd_kafka_header_add(headers, HEADER_STREAM, -1, stream, sizeof stream);
	for (int i = 1; i < count; i++)
		rd_kafka_header_add(headers, "ce_attribute", -1, text, sizeof text - 1);
	return headers;
}

static rd_kafka_resp_err_t hand_over(struct bare *bare, rd_kafka_topic_t *topic, int32_t partition,
                                     struct log_bytes key, const struct buf *value)
{
	if (!bare->headers)
		return rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value->data, value->len, key.data,
		                        (size_t)key.len, NULL)
		               ? rd_kafka_last_error()
		               : RD_KAFKA_RESP_ERR_NO_ERROR;
	int count = bare->headers + (bare->state && topic == bare->outcomes ? OUTCOME_MORE : 0);
	rd_kafka_headers_t *headers = make_headers(bare, count, key, value);
	rd_kafka_resp_err_t error = rd_kafka_producev(
		bare->producer, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(partition),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value->data, value->len),
		RD_KAFKA_V_KEY(key.data, (size_t)key.len), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
	if (error)
		rd_kafka_headers_destroy(headers);
	return error;
}

static void produce(struct bare *bare, rd_kafka_topic_t *topic, int32_t partition, struct log_bytes key,
                    const struct buf *value)
{
	for (;;) {
		rd_kafka_resp_err_t error = hand_over(bare, topic, partition, key, value);
		if (!error)
			return;
		if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce", rd_kafka_err2str(error));
		rd_kafka_poll(bare->producer, 1);
	}
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	struct bare *bare = opaque;
	(void)rk;
	if (message->err)
		bare->failed++;
	else
		bare->acknowledged++;
}

/* ---- the flow ---- */

static void on_placed(struct bare *bare, struct reader *in, struct buf *out)
{
	struct log_bytes order_id = read_string(in);
	if (read_long(in)) /* customer_id */
		read_string(in);
	read_string(in); /* currency */
	int64_t placed_at = read_long(in);
	int64_t lines = read_long(in);
	if (lines != 1)
		die("message", "an order has other than one line");
	struct log_bytes sku = read_string(in);
	int64_t quantity = read_long(in);
	if (bare->state)
		bare_state_place(bare->state, order_id, quantity * read_long(in), placed_at);
	begin(out, &reserve_stock_type);
	put_string(out, order_id);
	put_long(out, 1);
	put_string(out, sku);
	put_long(out, quantity);
	put_long(out, 0);
	produce(bare, bare->inventory, log_partition_of(sku.data, (size_t)sku.len, bare->inventory_partitions),
	        order_id, out);
}

static void on_received(struct bare *bare, struct reader *in)
{
	read_string(in); /* receipt_id */
	struct log_bytes sku = read_string(in);
	bare_state_receive(bare->state, sku, read_long(in));
}

static void on_reserve(struct bare *bare, int32_t partition, struct reader *in, struct buf *out)
{
	struct log_bytes order_id = read_string(in);
	if (bare->state) {
		read_long(in); /* one line */
		struct log_bytes sku = read_string(in);
		bare_state_reserve(bare->state, order_id, sku, read_long(in));
	}
	begin(out, &stock_reserved_type);
	put_string(out, order_id);
	put_long(out, partition);
	/* the partition of orders that asked: without state, the one its key belongs to */
	produce(bare, bare->orders, log_partition_of(order_id.data, (size_t)order_id.len, bare->inventory_partitions),
	        order_id, out);
}

static void on_reserved(struct bare *bare, int32_t partition, struct reader *in, struct buf *out)
{
	struct log_bytes order_id = read_string(in);
	int64_t from = read_long(in);
	if (from < 0 || from >= bare->inventory_partitions)
		die("message", "an answer from no partition");
	if (bare->state)
		bare_state_confirm(bare->state, order_id);
	begin(out, &commit_stock_type);
	put_string(out, order_id);
	produce(bare, bare->inventory, (int32_t)from, order_id, out);
	begin(out, &order_confirmed_type);
	put_string(out, order_id);
	put_string(out, (struct log_bytes){"GBP", 3});
	put_long(out, 12345);
	put_long(out, 1);
	put_long(out, 1767225600000);
	produce(bare, bare->outcomes, partition, order_id, out);
}

/* What a reader of the `tandem` header must do: find it, read it, hash the event for the comparison. */
static void check_headers(struct bare *bare, const rd_kafka_message_t *message)
{
	static const uint8_t installation[HASH_KEY_BYTES];
	rd_kafka_headers_t *headers;
	const void *value;
	size_t len;
	if (rd_kafka_message_headers(message, &headers) ||
	    rd_kafka_header_get_last(headers, HEADER_STREAM, &value, &len) || len < 21)
		return;
	const struct log_bytes key = {message->key, (int32_t)message->key_len};
	uint64_t chain = hash_chain(installation, be64_get((const uint8_t *)value + 13),
	                            be64_get((const uint8_t *)value + 5), 0, &key, message->payload, message->len);
	bare->failed += chain == 0;
}

static void take(rd_kafka_message_t *message, void *opaque)
{
	static struct buf out;
	struct bare *bare = opaque;
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	if (message->err)
		die("consume", rd_kafka_message_errstr(message));
	if (++bare->consumed % REPORTS_EVERY == 0)
		rd_kafka_poll(bare->producer, 0);
	if (!event_split(message->payload, message->len, &fingerprint, &body, &len))
		return;
	if (bare->headers)
		check_headers(bare, message);
	struct reader in = {body, body + len};
	if (fingerprint == order_placed_type.fingerprint)
		on_placed(bare, &in, &out);
	else if (fingerprint == reserve_stock_type.fingerprint)
		on_reserve(bare, message->partition, &in, &out);
	else if (fingerprint == stock_reserved_type.fingerprint)
		on_reserved(bare, message->partition, &in, &out);
	else if (bare->state && fingerprint == stock_received_type.fingerprint)
		on_received(bare, &in);
	else if (bare->state && fingerprint == commit_stock_type.fingerprint)
		bare_state_commit(bare->state, read_string(&in));
}

/* ---- the clients ---- */

static const char *full_name(const char *topic)
{
	const char *name_space = getenv("TANDEM_NAMESPACE");
	return name_space && *name_space ? mem_format("%s.%s", name_space, topic) : topic;
}

static rd_kafka_t *open_client(struct bare *bare, rd_kafka_type_t type, const char *const settings[][2])
{
	char text[300];
	const char *url = getenv("TANDEM_LOG");
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (!url || strncmp(url, "kafka://", 8) != 0)
		die("TANDEM_LOG", "expected kafka://HOST:PORT");
	rd_kafka_conf_set(conf, "bootstrap.servers", url + 8, NULL, 0);
	rd_kafka_conf_set_opaque(conf, bare);
	if (type == RD_KAFKA_PRODUCER)
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	for (size_t i = 0; settings[i][0]; i++)
		if (settings[i][1] && rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text))
			die(settings[i][0], text);
	rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
	if (!rk)
		die("librdkafka", text);
	return rk;
}

static void open_producer(struct bare *bare)
{
	const char *const settings[][2] = {{"enable.idempotence", "true"},
	                                   {"acks", "all"},
	                                   {"compression.type", "lz4"},
	                                   {"linger.ms", bare->linger_ms},
	                                   {"queue.buffering.max.messages", "1000000"},
	                                   {NULL, NULL}};
	const struct rd_kafka_metadata *metadata;
	bare->producer = open_client(bare, RD_KAFKA_PRODUCER, settings);
	bare->orders = rd_kafka_topic_new(bare->producer, full_name("orders"), NULL);
	bare->inventory = rd_kafka_topic_new(bare->producer, full_name("inventory"), NULL);
	bare->outcomes = rd_kafka_topic_new(bare->producer, full_name("order-events"), NULL);
	rd_kafka_resp_err_t error = rd_kafka_metadata(bare->producer, 0, bare->inventory, &metadata, 10000);
	if (error || metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt < 1)
		die("inventory", error ? rd_kafka_err2str(error) : "no such topic");
	bare->inventory_partitions = metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
}

static rd_kafka_queue_t *open_consumer(struct bare *bare)
{
	const char *const settings[][2] = {{"group.id", full_name(mem_format("bare-%s", bare->role))},
	                                   {"group.instance.id", bare->instance_id},
	                                   {"auto.offset.reset", "earliest"},
	                                   {"auto.commit.interval.ms", "200"},
	                                   {"queued.min.messages", bare->ahead},
	                                   {NULL, NULL}};
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	bare->consumer = open_client(bare, RD_KAFKA_CONSUMER, settings);
	rd_kafka_poll_set_consumer(bare->consumer);
	rd_kafka_topic_partition_list_add(topics, full_name(strcmp(bare->role, "order") == 0 ? "orders" : "inventory"),
	                                  RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t error = rd_kafka_subscribe(bare->consumer, topics);
	if (error)
		die("subscribe", rd_kafka_err2str(error));
	rd_kafka_topic_partition_list_destroy(topics);
	return rd_kafka_queue_get_consumer(bare->consumer);
}

static void close_clients(struct bare *bare, rd_kafka_queue_t *queue)
{
	rd_kafka_queue_destroy(queue);
	rd_kafka_flush(bare->producer, 10000);
	rd_kafka_consumer_close(bare->consumer);
	rd_kafka_destroy(bare->consumer);
	rd_kafka_topic_destroy(bare->orders);
	rd_kafka_topic_destroy(bare->inventory);
	rd_kafka_topic_destroy(bare->outcomes);
	rd_kafka_destroy(bare->producer);
}

static void parse(int argc, char **argv, struct bare *bare)
{
	static const struct option options[] = {
		{"headers", required_argument, NULL, 'h'},     {"state", no_argument, NULL, 's'},
		{"linger", required_argument, NULL, 'l'},      {"ahead", required_argument, NULL, 'a'},
		{"instance-id", required_argument, NULL, 'i'}, {0}};
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'h')
			bare->headers = atoi(optarg);
		else if (option == 's')
			bare->with_state = true;
		else if (option == 'l')
			bare->linger_ms = optarg;
		else if (option == 'a')
			bare->ahead = optarg;
		else if (option == 'i')
			bare->instance_id = optarg;
		else
			exit(2);
	}
	if (bare->headers < 0 || bare->headers > HEADERS_MAX || (bare->with_state && !bare->headers) ||
	    optind + 1 != argc) {
		fputs("usage: bare order|inventory [--headers 0..10] [--state] (with headers) [--linger MS] [--ahead N] "
		      "[--instance-id ID]\n",
		      stderr);
		exit(2);
	}
	bare->role = argv[optind];
}

int main(int argc, char **argv)
{
	struct bare bare = {.linger_ms = "5"};
	parse(argc, argv, &bare);
	interrupt_install();
	if (bare.with_state)
		bare.state = bare_state_open(bare.role);
	open_producer(&bare);
	rd_kafka_queue_t *queue = open_consumer(&bare);
	while (!interrupt_requested()) {
		rd_kafka_consume_callback_queue(queue, POLL_MS, take, &bare);
		rd_kafka_poll(bare.producer, 0);
	}
	close_clients(&bare, queue);
	bare_state_close(bare.state);
	fprintf(stderr, "bare %s: consumed %lld, acknowledged %lld, failed %lld\n", bare.role, (long long)bare.consumed,
	        (long long)bare.acknowledged, (long long)bare.failed);
	return bare.failed != 0;
}
