#include "flow.h"

#include "check.h"
#include "command.h"
#include "genesis.h"
#include "header.h"
#include "policy.h"
#include "store.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define STEPS_MAX 2000000

static int64_t virtual_wall(void *arg)
{
	return 1700000000000 + ((struct flow *)arg)->now_us / 1000;
}

static int64_t virtual_monotonic(void *arg)
{
	return ((struct flow *)arg)->now_us;
}

static void virtual_random(void *arg, void *out, size_t len)
{
	struct flow *flow = arg;
	for (size_t i = 0; i < len; i++) {
		flow->random = flow->random * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)out)[i] = (uint8_t)(flow->random >> 56);
	}
}

static struct log *open_log(struct flow *flow)
{
	struct log *log;
	struct err err = {0};
	const struct log_config config = {.seam = &flow->seam, .memory = flow->memory};
	check(log_open("local::memory:", &config, &log, &err), &err);
	return log;
}

const struct service *flow_service(const char *name)
{
	const struct service *service = command_service(name);
	assert_non_null(service);
	return service;
}

static void make_topic(struct flow *flow, struct genesis *genesis, size_t index)
{
	struct err err = {0};
	struct log_setting settings[POLICY_SETTINGS_MAX];
	const struct genesis_topic *of = &genesis->topics.items[index];
	struct log_topic topic = {.name = of->name, .partitions = of->partitions, .settings = settings};
	topic.setting_count = policy_settings(true, settings);
	check(log_topic_create(flow->log, &topic, &err), &err);
	genesis->topic = of->name;
	for (int32_t p = 0; p < of->partitions; p++) {
		struct log_record record;
		genesis->partition = p;
		check(genesis_record(genesis, &flow->arena, &record, &err), &err);
		assert_int_equal(flow_write(flow, of->name, &record), 0);
	}
}

static void make_installation(struct flow *flow)
{
	struct genesis_topic topics[] = {
		{.name = "inventory", .partitions = flow->inventory_partitions},
		{.name = "inventory.dlq", .partitions = flow->inventory_partitions},
		{.name = "order-events", .partitions = flow->order_partitions, .headers = HEADER_FORM_CLOUDEVENTS},
		{.name = "order-events.dlq", .partitions = flow->order_partitions},
		{.name = "orders", .partitions = flow->order_partitions},
		{.name = "orders.dlq", .partitions = flow->order_partitions},
	};
	struct genesis genesis = {.single_replica = true, .logic_version = 1};
	seam_random(&flow->seam, genesis.installation, sizeof genesis.installation);
	genesis.topics.items = topics;
	genesis.topics.count = sizeof topics / sizeof *topics;
	for (size_t i = 0; i < genesis.topics.count; i++)
		make_topic(flow, &genesis, i);
}

void flow_init(struct flow *flow, int32_t order_partitions, int32_t inventory_partitions)
{
	struct err err = {0};
	*flow = (struct flow){
		.order_partitions = order_partitions, .inventory_partitions = inventory_partitions, .random = 1};
	flow->seam = (struct seam){virtual_wall, virtual_monotonic, virtual_random, flow};
	flow->memory = log_memory_new(&flow->seam);
	flow->log = open_log(flow);
	/* In memory where there is such a folder: nothing here depends on a disk, and an fsync takes its time. */
	strcpy(flow->data, access("/dev/shm", W_OK) == 0 ? "/dev/shm/tandem-flow-XXXXXX" : "/tmp/tandem-flow-XXXXXX");
	assert_non_null(mkdtemp(flow->data));
	check(log_producer_open(flow->log, &flow->producer, &err), &err);
	make_installation(flow);
}

static void remove_folder(const char *path)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", path);
	if (system(command) != 0)
		print_message("could not remove %s\n", path);
}

void flow_fini(struct flow *flow)
{
	log_producer_close(flow->producer);
	log_close(flow->log);
	log_memory_free(flow->memory);
	arena_fini(&flow->arena);
	remove_folder(flow->data);
}

/* ---- workers ---- */

void flow_start_with(struct flow *flow, struct flow_worker *out, const struct worker_config *config)
{
	struct err err = {0};
	struct worker_config full = *config;
	*out = (struct flow_worker){.log = open_log(flow), .service = config->service->name};
	full.log = out->log;
	full.seam = &flow->seam;
	full.data = config->data ? config->data : flow->data;
	full.reverse = getenv("TANDEM_REVERSE") != NULL;
	check(worker_open(&full, &out->worker, &err), &err);
}

void flow_start(struct flow *flow, struct flow_worker *out, const char *service, const int32_t *partitions,
                size_t count)
{
	flow_start_with(flow, out,
	                &(struct worker_config){
				.service = flow_service(service), .partitions = partitions, .partition_count = count});
}

void flow_drop(struct flow_worker *worker)
{
	worker_drop(worker->worker);
	log_close(worker->log);
	*worker = (struct flow_worker){0};
}

void flow_close(struct flow_worker *worker)
{
	worker_close(worker->worker);
	log_close(worker->log);
	*worker = (struct flow_worker){0};
}

void flow_rest(struct flow *flow, struct flow_worker *workers, size_t count)
{
	int64_t quiet_since = flow->now_us;
	for (int steps = 0; flow->now_us - quiet_since < 1000000; steps++) {
		bool moved = false;
		for (size_t i = 0; i < count; i++)
			moved = (workers[i].worker && worker_step(workers[i].worker) != WORKER_IDLE) || moved;
		flow->now_us += moved ? 5 : 20000;
		if (moved)
			quiet_since = flow->now_us;
		if (steps > STEPS_MAX)
			fail_msg("the workers do not come to rest");
	}
}

/* ---- publishing ---- */

int64_t flow_write(struct flow *flow, const char *topic, const struct log_record *record)
{
	struct err err = {0};
	struct log_ack ack;
	check(log_produce(flow->producer, log_producer_topic(flow->producer, topic), record, 1, &err), &err);
	log_producer_flush(flow->producer);
	while (!log_producer_ack(flow->producer, &ack))
		flow->now_us += 1000;
	check(ack.status, &ack.err);
	return ack.offset;
}

void flow_publish(struct flow *flow, const struct event_type *type, const void *event)
{
	struct err err = {0};
	struct buf value = {0};
	check(event_encode(type, event, &value, &err), &err);
	const char *key = type->key(event);
	int32_t count = strcmp(type->topic, "orders") == 0 ? flow->order_partitions : flow->inventory_partitions;
	struct log_record record = {.partition = log_partition_of(key, strlen(key), count),
	                            .key = {key, (int32_t)strlen(key)},
	                            .value = {value.data, (int32_t)value.len}};
	flow_write(flow, type->topic, &record);
	buf_fini(&value);
}

void flow_order(struct flow *flow, const char *order_id, const struct order_line *lines, size_t count)
{
	struct order_placed placed = {.order_id = order_id, .currency = "GBP", .placed_at = 1291191960000};
	struct order_line *copy = arena_alloc(&flow->arena, count * sizeof *copy);
	memcpy(copy, lines, count * sizeof *copy);
	placed.lines.items = copy;
	placed.lines.count = count;
	flow_publish(flow, &order_placed_type, &placed);
}

void flow_order_one(struct flow *flow, const char *order_id, const char *sku, int64_t quantity)
{
	struct order_line line = {.sku = sku, .quantity = quantity, .unit_price_minor = 255};
	flow_order(flow, order_id, &line, 1);
}

void flow_cancel(struct flow *flow, const char *order_id)
{
	struct order_cancel_requested request = {.order_id = order_id, .requested_at = 1291191960000};
	flow_publish(flow, &order_cancel_requested_type, &request);
}

void flow_receive(struct flow *flow, const char *receipt_id, const char *sku, int64_t quantity)
{
	struct stock_received received = {
		.receipt_id = receipt_id, .sku = sku, .quantity = quantity, .received_at = 1291191960000};
	flow_publish(flow, &stock_received_type, &received);
}

/* ---- looking ---- */

static bool is_of_type(const struct log_record *record, const struct event_type *type)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	return record->value.len > 0 &&
	       event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len) &&
	       event_type_of_writer(fingerprint) == type;
}

size_t flow_count(struct flow *flow, const char *topic, const struct event_type *type)
{
	size_t count = 0;
	struct err err = {0};
	struct log_topic info;
	check(log_topic_describe(flow->log, topic, &flow->arena, &info, &err), &err);
	for (int32_t p = 0; p < info.partitions; p++) {
		uint64_t last[64] = {0}; /* by source partition; one service writes to each topic's events */
		struct log_reader *reader;
		const struct log_record *record;
		check(log_reader_open(flow->log, topic, p, 0, &reader, &err), &err);
		for (;;) {
			check(log_reader_next(reader, 0, &record, &err), &err);
			if (!record)
				break;
			struct header_stream stream;
			enum header_found found = header_stream_parse(record, &stream);
			if (found == HEADER_VALID && stream.number != last[stream.partition] + 1)
				continue;
			if (found == HEADER_VALID)
				last[stream.partition] = stream.number;
			count += is_of_type(record, type);
		}
		log_reader_close(reader);
	}
	return count;
}

int64_t flow_number(struct flow *flow, const char *service, int32_t partition, const char *sql)
{
	char path[128];
	struct store *store;
	struct store_statement *s;
	struct err err = {0};
	bool row;
	snprintf(path, sizeof path, "%s/%s/%d.db", flow->data, service, partition);
	check(store_open(&(struct store_config){.path = path, .mode = STORE_READ}, &store, &err), &err);
	check(store_prepare(store, sql, &s, &err), &err);
	check(store_step(s, &row, &err), &err);
	int64_t number = row ? store_int(s, 0) : 0;
	store_close(store);
	return number;
}

int64_t flow_sum(struct flow *flow, const char *service, const char *sql)
{
	int64_t sum = 0;
	int32_t count = strcmp(service, "inventory") == 0 ? flow->inventory_partitions : flow->order_partitions;
	for (int32_t p = 0; p < count; p++)
		sum += flow_number(flow, service, p, sql);
	return sum;
}

static void verify_one(struct flow *flow, const struct service *service, const char *data, int32_t partition,
                       bool reverse)
{
	struct err err = {0};
	struct verify_result result;
	const struct verify_config config = {
		.service = service, .log = flow->log, .data = data, .partition = partition, .reverse = reverse};
	check(verify_partition(&config, &result, &err), &err);
	const struct verify_difference *d = &result.difference;
	if (!result.same)
		fail_msg("%s/%d differs: %s %s %s: file %s, folded %s (offset %lld)", service->name, partition,
		         d->table, d->key, d->column, d->file, d->folded, (long long)d->offset);
}

void flow_verify_service(struct flow *flow, const struct service *service, const char *data)
{
	int32_t count = strcmp(service->name, "inventory") == 0 ? flow->inventory_partitions : flow->order_partitions;
	for (int reverse = 0; reverse < 2; reverse++)
		for (int32_t p = 0; p < count; p++)
			verify_one(flow, service, data ? data : flow->data, p, reverse);
}

void flow_verify(struct flow *flow)
{
	flow_verify_service(flow, flow_service("order"), NULL);
	flow_verify_service(flow, flow_service("inventory"), NULL);
}
