#include "sender.h"

#include "bytes.h"
#include "delivery.h"
#include "events.h"
#include "genesis.h"
#include "mem.h"

#include <inttypes.h>
#include <string.h>

#define WAIT_MS    100 /* how often stopped() is asked */
#define TOPICS     8
#define CE_HEADERS 5
#define HEADERS    (CE_HEADERS + 1)

struct target {
	const char *name; /* of the topic; an event type's */
	int32_t partitions;
};

struct sender {
	struct sender_config config;
	struct delivery *delivery;
	struct target targets[TOPICS];
	int target_count;
	struct genesis genesis; /* of the first topic; the others must agree */
	struct arena arena;
	struct buf value, name; /* of the event being taken */
	struct traces traces;
	struct sender_counts counts;
	int64_t started_us;
};

struct sender *sender_open(const struct sender_config *config)
{
	struct sender *sender = mem_zalloc(1, sizeof *sender);
	sender->config = *config;
	sender->started_us = seam_monotonic_us(config->seam);
	traces_init(&sender->traces, &config->traces, config->seam);
	sender->delivery = delivery_open(&(struct delivery_config){.log = config->log,
	                                                           .seam = config->seam,
	                                                           .patience_ms = config->patience_ms,
	                                                           .stopped = config->stopped,
	                                                           .progress = config->progress});
	return sender;
}

void sender_close(struct sender *sender)
{
	if (!sender)
		return;
	delivery_close(sender->delivery);
	buf_fini(&sender->value);
	buf_fini(&sender->name);
	arena_fini(&sender->arena);
	mem_free(sender);
}

/* What the delivery counts, also where it failed. */
static enum status counted(struct sender *sender, enum status status)
{
	const struct delivery_counts *counts = delivery_counts(sender->delivery);
	sender->counts = (struct sender_counts){counts->taken, counts->acknowledged, counts->resent};
	return status;
}

const struct sender_counts *sender_counts(const struct sender *sender)
{
	return &sender->counts;
}

static int64_t now_us(const struct sender *sender)
{
	return seam_monotonic_us(sender->config.seam);
}

/* ---- where to ---- */

static enum status target_read(struct sender *sender, const char *topic, struct target *target, struct err *err)
{
	struct genesis genesis;
	enum status status = genesis_read(sender->config.log, topic, 0, &sender->arena, &genesis, err);
	if (status != OK)
		return err_context(err, status, "topic %s", topic);
	if (!sender->target_count)
		sender->genesis = genesis;
	status = genesis_same(&sender->genesis, &genesis, err);
	if (status != OK)
		return status;
	const struct genesis_topic *pinned = genesis_topic(&genesis, topic);
	if (!pinned || pinned->partitions < 1)
		return err_set(err, FATAL, "bad_genesis", "topic %s: its genesis names no partition count for it",
		               topic);
	*target = (struct target){.name = topic, .partitions = pinned->partitions};
	return OK;
}

static enum status target_of(struct sender *sender, const char *topic, int *index, struct err *err)
{
	for (*index = 0; *index < sender->target_count; ++*index) {
		if (strcmp(sender->targets[*index].name, topic) == 0)
			return OK;
	}
	if (sender->target_count == TOPICS)
		return err_set(err, FATAL, "invalid", "more than %d topics", TOPICS);
	enum status status = target_read(sender, topic, &sender->targets[sender->target_count], err);
	if (status == OK)
		sender->target_count++;
	return status;
}

/* ---- taking ---- */

/* The natural key is the record's key, of a receipt also its id. */
static const char *receipt_id(const struct event_type *type, const void *event)
{
	return type == &stock_received_type ? ((const struct stock_received *)event)->receipt_id : NULL;
}

/* Type and natural key: a repeat has the same one. Lives until the next event. */
static const char *name_event(struct sender *sender, const struct event_type *type, const void *event, const char *key)
{
	const char *receipt = receipt_id(type, event);
	buf_reset(&sender->name);
	buf_putf(&sender->name, "%s/%s%s%s", type->name, receipt ? receipt : "", receipt ? "/" : "", key);
	return buf_text(&sender->name);
}

/* CloudEvents 1.0, Kafka binding, binary mode. */
static void ce_headers(const struct event_type *type, const char *name, struct log_header headers[CE_HEADERS])
{
	const char *const pairs[CE_HEADERS][2] = {{"ce_specversion", "1.0"},
	                                          {"ce_id", name},
	                                          {"ce_source", "/tandem/publish"},
	                                          {"ce_type", type->full_name},
	                                          {"content-type", "application/avro"}};
	for (size_t i = 0; i < CE_HEADERS; i++)
		headers[i] = (struct log_header){pairs[i][0], {pairs[i][1], (int32_t)strlen(pairs[i][1])}};
}

static size_t add_headers(struct sender *sender, const struct event_type *type, const void *event, const char *key,
                          struct log_header headers[HEADERS])
{
	size_t count = 0;
	if (!sender->config.cloudevents && !sender->config.traces.one_in)
		return 0;
	const char *name = name_event(sender, type, event, key);
	if (sender->config.cloudevents) {
		ce_headers(type, name, headers);
		count = CE_HEADERS;
	}
	return traces_begin(&sender->traces, name, &headers[count]) ? count + 1 : count;
}

/* Waits until the rate allows one more. */
static enum status admit(struct sender *sender, struct err *err)
{
	const struct sender_config *config = &sender->config;
	enum status status = OK;
	int64_t due_us = sender->started_us;
	if (config->rate)
		due_us += (int64_t)((double)sender->counts.taken * 1e6 / (double)config->rate);
	for (int64_t left_us; status == OK && config->rate && (left_us = due_us - now_us(sender)) > 0;) {
		if (config->stopped && config->stopped())
			return err_set(err, RETRY, "interrupted", "interrupted");
		int64_t left_ms = (left_us + 999) / 1000;
		log_wait(config->log, (int)(left_ms < WAIT_MS ? left_ms : WAIT_MS));
		status = delivery_step(sender->delivery, 0, err);
	}
	return status;
}

static enum status hand_over(struct sender *sender, const struct event_type *type, const void *event, struct err *err)
{
	struct log_header headers[HEADERS];
	const char *key = type->key ? type->key(event) : NULL;
	int target;
	if (!type->topic || !key)
		return err_set(err, REJECT, "invalid", "%s has no topic or no key to publish it under", type->name);
	enum status status = target_of(sender, type->topic, &target, err);
	buf_reset(&sender->value);
	if (status == OK)
		status = event_encode(type, event, &sender->value, err);
	if (status != OK)
		return status;
	size_t key_len = strlen(key);
	struct log_record record = {.partition = log_partition_of(key, key_len, sender->targets[target].partitions),
	                            .key = {key, (int32_t)key_len},
	                            .value = {sender->value.data, (int32_t)sender->value.len},
	                            .headers = headers};
	record.header_count = add_headers(sender, type, event, key, headers);
	status = delivery_take(sender->delivery, type->topic, &record, (struct delivery_origin){0}, err);
	if (status == OK)
		traces_sent(&sender->traces, log_full_name(sender->config.log, type->topic), &record, type);
	return status;
}

enum status sender_take(struct sender *sender, const struct event_type *type, const void *event, struct err *err)
{
	enum status status = admit(sender, err);
	if (status == OK)
		status = hand_over(sender, type, event, err);
	return counted(sender, status);
}

enum status sender_step(struct sender *sender, int timeout_ms, struct err *err)
{
	return counted(sender, delivery_step(sender->delivery, timeout_ms, err));
}

void sender_flush(struct sender *sender)
{
	delivery_flush(sender->delivery);
}

enum status sender_finish(struct sender *sender, int64_t grace_ms, struct err *err)
{
	return counted(sender, delivery_finish(sender->delivery, grace_ms, err));
}
