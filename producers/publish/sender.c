#include "sender.h"

#include "bytes.h"
#include "events.h"
#include "genesis.h"
#include "mem.h"

#include <inttypes.h>
#include <string.h>

#define WINDOW_RECORDS   16384 /* a power of two: a record's place is its number modulo this */
#define WINDOW_BYTES     (64 << 20)
#define KEEP_BYTES       4096 /* a bigger buffer is given back when its record is acknowledged */
#define ATTEMPTS         10   /* producers in a row that got nothing acknowledged */
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS   5000
#define WAIT_MS          100 /* how often stopped() is asked */
#define TOPICS           8
#define CE_HEADERS       5

struct target {
	const char *name; /* of the topic; an event type's */
	int32_t partitions;
	int number; /* of the present producer */
};

/* A record until it is acknowledged. All its bytes are in one buffer. */
struct waiting {
	struct buf bytes; /* value, key, ce_id */
	size_t value_len, key_len;
	const struct event_type *type;
	int target;
	int32_t partition;
	bool acknowledged;
};

struct sender {
	struct sender_config config;
	struct log_producer *producer;
	struct target targets[TOPICS];
	int target_count;
	struct genesis genesis; /* of the first topic; the others must agree */
	struct arena arena;
	struct waiting *window;
	uint64_t first, next; /* numbers: first is the oldest not acknowledged, next the one to be taken */
	size_t window_bytes;
	struct sender_counts counts;
	int64_t started_us, progress_us; /* of the last acknowledgement, or of the first record behind an idle time */
	int fruitless;                   /* producers since the last acknowledgement */
	bool broken;
	struct err why; /* of broken */
};

struct sender *sender_open(const struct sender_config *config)
{
	struct sender *sender = mem_zalloc(1, sizeof *sender);
	sender->config = *config;
	sender->window = mem_zalloc(WINDOW_RECORDS, sizeof *sender->window);
	sender->started_us = sender->progress_us = seam_monotonic_us(config->seam);
	return sender;
}

void sender_close(struct sender *sender)
{
	if (!sender)
		return;
	log_producer_close(sender->producer);
	for (size_t i = 0; i < WINDOW_RECORDS; i++)
		buf_fini(&sender->window[i].bytes);
	mem_free(sender->window);
	arena_fini(&sender->arena);
	mem_free(sender);
}

const struct sender_counts *sender_counts(const struct sender *sender)
{
	return &sender->counts;
}

static struct waiting *place(struct sender *sender, uint64_t number)
{
	return &sender->window[number % WINDOW_RECORDS];
}

static bool stopped(const struct sender *sender)
{
	return sender->config.stopped && sender->config.stopped();
}

static int64_t now_us(const struct sender *sender)
{
	return seam_monotonic_us(sender->config.seam);
}

static enum status interrupted(struct err *err)
{
	return err_set(err, RETRY, "interrupted", "interrupted");
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
	*target = (struct target){.name = topic, .partitions = pinned->partitions, .number = -1};
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

/* ---- handing over ---- */

/* CloudEvents 1.0, Kafka binding, binary mode. ce_id is the natural key: a repeat has the same one. */
static size_t ce_headers(const struct waiting *w, struct log_header headers[CE_HEADERS])
{
	const char *id = (const char *)w->bytes.data + w->value_len + w->key_len;
	const char *const pairs[CE_HEADERS][2] = {{"ce_specversion", "1.0"},
						  {"ce_id", id},
						  {"ce_source", "/tandem/publish"},
						  {"ce_type", w->type->full_name},
						  {"content-type", "application/avro"}};
	for (size_t i = 0; i < CE_HEADERS; i++)
		headers[i] = (struct log_header){pairs[i][0], {pairs[i][1], (int32_t)strlen(pairs[i][1])}};
	return CE_HEADERS;
}

/* RETRY "queue_full": not now. Any other failure breaks the producer. */
static enum status produce(struct sender *sender, uint64_t number, struct err *err)
{
	const struct waiting *w = place(sender, number);
	struct target *target = &sender->targets[w->target];
	struct log_header headers[CE_HEADERS];
	struct log_record record = {.partition = w->partition,
				    .key = {w->bytes.data + w->value_len, (int32_t)w->key_len},
				    .value = {w->bytes.data, (int32_t)w->value_len},
				    .headers = headers};
	if (sender->config.cloudevents)
		record.header_count = ce_headers(w, headers);
	if (target->number < 0)
		target->number = log_producer_topic(sender->producer, target->name);
	return log_produce(sender->producer, target->number, &record, number, err);
}

/* ---- acknowledgements ---- */

static void release(struct sender *sender)
{
	while (sender->first < sender->next && place(sender, sender->first)->acknowledged) {
		struct waiting *w = place(sender, sender->first++);
		sender->window_bytes -= w->bytes.len;
		if (w->bytes.room > KEEP_BYTES)
			buf_fini(&w->bytes);
	}
}

static enum status take_ack(struct sender *sender, const struct log_ack *ack, struct err *err)
{
	if (ack->token < sender->first || ack->token >= sender->next)
		return OK;
	if (ack->status == FATAL || ack->status == REJECT) {
		*err = ack->err;
		return err_context(err, FATAL, "topic %s", sender->targets[place(sender, ack->token)->target].name);
	}
	if (ack->status == RETRY) {
		sender->broken = true;
		sender->why = ack->err;
		return OK;
	}
	struct waiting *w = place(sender, ack->token);
	if (!w->acknowledged) {
		w->acknowledged = true;
		sender->counts.acknowledged++;
		sender->progress_us = now_us(sender);
		sender->fruitless = 0;
	}
	return OK;
}

static enum status take_acks(struct sender *sender, struct err *err)
{
	struct log_ack ack;
	enum status status = OK;
	while (status == OK && sender->producer && log_producer_ack(sender->producer, &ack))
		status = take_ack(sender, &ack, err);
	release(sender);
	if (sender->config.progress)
		progress_update(sender->config.progress, sender->counts.acknowledged);
	return status;
}

/* ---- again ---- */

static enum status pause_ms(struct sender *sender, int64_t ms, struct err *err)
{
	int64_t until = now_us(sender) + ms * 1000;
	for (int64_t left = ms; left > 0; left = (until - now_us(sender)) / 1000) {
		if (stopped(sender))
			return interrupted(err);
		log_wait(sender->config.log, (int)(left < WAIT_MS ? left : WAIT_MS));
	}
	return OK;
}

/* Every unacknowledged record once more, in order, by the present producer. */
static enum status produce_again(struct sender *sender, struct err *err)
{
	for (uint64_t number = sender->first; number < sender->next && !sender->broken;) {
		if (place(sender, number)->acknowledged) {
			number++;
			continue;
		}
		enum status status = produce(sender, number, err);
		if (status == OK) {
			sender->counts.resent++;
			number++;
		} else if (err_is(err, "queue_full")) {
			log_wait(sender->config.log, WAIT_MS);
			status = take_acks(sender, err);
			if (status != OK)
				return status;
			if (stopped(sender))
				return interrupted(err);
			if (number < sender->first)
				number = sender->first;
		} else {
			return status;
		}
	}
	return OK;
}

static enum status reopen(struct sender *sender, struct err *err)
{
	log_producer_close(sender->producer);
	sender->producer = NULL;
	sender->broken = false;
	for (int i = 0; i < sender->target_count; i++)
		sender->targets[i].number = -1;
	enum status status = log_producer_open(sender->config.log, &sender->producer, err);
	sender->counts.producers += status == OK;
	return status == OK ? produce_again(sender, err) : status;
}

/* Keeps a working producer; bounded in attempts without an acknowledgement. */
static enum status recover(struct sender *sender, struct err *err)
{
	enum status status = OK;
	while (!sender->producer || sender->broken || status == RETRY) {
		if (sender->fruitless) {
			int64_t backoff = BACKOFF_FIRST_MS << (sender->fruitless - 1);
			status = pause_ms(sender, backoff < BACKOFF_MAX_MS ? backoff : BACKOFF_MAX_MS, err);
			if (status != OK)
				return status;
		}
		if (++sender->fruitless > ATTEMPTS) {
			*err = sender->why;
			return err_context(err, RETRY, "given up after %d attempts", ATTEMPTS);
		}
		status = reopen(sender, err);
		if (status == FATAL || err_is(err, "interrupted"))
			return status;
		if (status == RETRY)
			sender->why = *err;
	}
	return status;
}

static enum status out_of_patience(const struct sender *sender, struct err *err)
{
	return err_set(err, RETRY, "timeout", "nothing was acknowledged for %" PRId64 " s; %" PRIu64 " records wait",
		       sender->config.patience_ms / 1000, sender->next - sender->first);
}

enum status sender_step(struct sender *sender, int timeout_ms, struct err *err)
{
	if (sender->producer && timeout_ms && sender->first < sender->next)
		log_wait(sender->config.log, timeout_ms);
	enum status status = take_acks(sender, err);
	if (status == OK && sender->broken)
		status = recover(sender, err);
	if (status == OK && sender->first < sender->next &&
	    now_us(sender) - sender->progress_us > sender->config.patience_ms * 1000)
		status = out_of_patience(sender, err);
	return status;
}

/* ---- taking ---- */

/* The natural key is the record's key, of a receipt also its id. */
static const char *receipt_id(const struct event_type *type, const void *event)
{
	return type == &stock_received_type ? ((const struct stock_received *)event)->receipt_id : NULL;
}

static bool window_full(const struct sender *sender)
{
	return sender->next - sender->first == WINDOW_RECORDS || sender->window_bytes > WINDOW_BYTES;
}

/* Waits until the rate and the window allow one more. */
static enum status admit(struct sender *sender, struct err *err)
{
	enum status status = OK;
	int64_t due_us = sender->started_us;
	if (sender->config.rate)
		due_us += (int64_t)((double)sender->counts.taken * 1e6 / (double)sender->config.rate);
	while (status == OK && (window_full(sender) || (sender->config.rate && now_us(sender) < due_us))) {
		int64_t early_ms = (due_us - now_us(sender) + 999) / 1000;
		if (stopped(sender))
			return interrupted(err);
		if (window_full(sender) || sender->first < sender->next)
			status = sender_step(sender, early_ms > 0 && early_ms < WAIT_MS ? (int)early_ms : WAIT_MS, err);
		else
			status = pause_ms(sender, early_ms, err);
	}
	if (stopped(sender))
		return interrupted(err);
	return status;
}

/* Encodes into the next place, which is not counted yet. */
static enum status fill(struct sender *sender, const struct event_type *type, const void *event, struct err *err)
{
	struct waiting *w = place(sender, sender->next);
	const char *key = type->key ? type->key(event) : NULL;
	if (!type->topic || !key)
		return err_set(err, REJECT, "invalid", "%s has no topic or no key to publish it under", type->name);
	buf_reset(&w->bytes);
	w->acknowledged = false;
	w->type = type;
	enum status status = target_of(sender, type->topic, &w->target, err);
	if (status == OK)
		status = event_encode(type, event, &w->bytes, err);
	if (status != OK)
		return status;
	w->value_len = w->bytes.len;
	w->key_len = strlen(key);
	buf_put(&w->bytes, key, w->key_len);
	if (sender->config.cloudevents) {
		const char *receipt = receipt_id(type, event);
		buf_putf(&w->bytes, "%s/%s%s%s", type->name, receipt ? receipt : "", receipt ? "/" : "", key);
		buf_put_u8(&w->bytes, 0);
	}
	w->partition = log_partition_of(key, w->key_len, sender->targets[w->target].partitions);
	return OK;
}

enum status sender_take(struct sender *sender, const struct event_type *type, const void *event, struct err *err)
{
	enum status status = admit(sender, err);
	if (status == OK)
		status = fill(sender, type, event, err);
	if (status == OK && !sender->producer)
		status = recover(sender, err);
	if (status != OK)
		return status;
	if (sender->first == sender->next)
		sender->progress_us = now_us(sender);
	uint64_t number = sender->next++;
	sender->window_bytes += place(sender, number)->bytes.len;
	sender->counts.taken++;
	while ((status = produce(sender, number, err)) != OK) {
		if (status == FATAL)
			return status;
		if (!err_is(err, "queue_full")) { /* the record is sent again with all others */
			sender->broken = true;
			sender->why = *err;
			return sender_step(sender, 0, err);
		}
		uint64_t producers = (uint64_t)sender->counts.producers;
		status = sender_step(sender, WAIT_MS, err);
		if (status != OK || producers != (uint64_t)sender->counts.producers)
			return status;
		if (stopped(sender))
			return interrupted(err);
	}
	return number % 64 ? OK : sender_step(sender, 0, err);
}

void sender_flush(struct sender *sender)
{
	if (sender->producer)
		log_producer_flush(sender->producer);
}

enum status sender_finish(struct sender *sender, int64_t grace_ms, struct err *err)
{
	int64_t stop_us = 0;
	enum status status = OK;
	sender_flush(sender);
	while (status == OK && sender->first < sender->next) {
		if (stopped(sender) && !stop_us)
			stop_us = now_us(sender) + grace_ms * 1000;
		if (stop_us && now_us(sender) > stop_us)
			return interrupted(err);
		status = sender_step(sender, WAIT_MS, err);
	}
	return status;
}
