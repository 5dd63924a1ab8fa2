#include "delivery.h"

#include "bytes.h"
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

struct target {
	struct target *next;
	char *name;
	int number; /* of the present producer; -1: not asked for yet */
};

/* A record until it is acknowledged. All it points to is in one buffer. */
struct waiting {
	struct buf bytes;
	struct log_record record;
	struct target *target;
	struct delivery_origin origin;
	bool acknowledged;
};

struct delivery {
	struct delivery_config config;
	struct log_producer *producer;
	struct target *targets;
	struct waiting *window;
	uint64_t first, next; /* numbers: first is the oldest not acknowledged, next the one to be taken */
	size_t window_bytes;
	struct delivery_counts counts;
	int64_t progress_us; /* of the last acknowledgement, or of the first record behind an idle time */
	int fruitless;       /* producers since the last acknowledgement */
	bool broken;
	struct err why; /* of broken */
};

struct delivery *delivery_open(const struct delivery_config *config)
{
	struct delivery *delivery = mem_zalloc(1, sizeof *delivery);
	delivery->config = *config;
	delivery->window = mem_zalloc(WINDOW_RECORDS, sizeof *delivery->window);
	return delivery;
}

void delivery_close(struct delivery *delivery)
{
	if (!delivery)
		return;
	log_producer_close(delivery->producer);
	for (size_t i = 0; i < WINDOW_RECORDS; i++)
		buf_fini(&delivery->window[i].bytes);
	for (struct target *target = delivery->targets, *next; target; target = next) {
		next = target->next;
		mem_free(target->name);
		mem_free(target);
	}
	mem_free(delivery->window);
	mem_free(delivery);
}

const struct delivery_counts *delivery_counts(const struct delivery *delivery)
{
	return &delivery->counts;
}

static struct waiting *place(const struct delivery *delivery, uint64_t number)
{
	return &delivery->window[number % WINDOW_RECORDS];
}

bool delivery_oldest(const struct delivery *delivery, const void *from, int64_t *offset)
{
	bool any = false;
	for (uint64_t number = delivery->first; number < delivery->next; number++) {
		const struct waiting *w = place(delivery, number);
		if (w->acknowledged || w->origin.from != from || (any && w->origin.offset >= *offset))
			continue;
		*offset = w->origin.offset;
		any = true;
	}
	return any;
}

static bool stopped(const struct delivery *delivery)
{
	return delivery->config.stopped && delivery->config.stopped();
}

static int64_t now_us(const struct delivery *delivery)
{
	return seam_monotonic_us(delivery->config.seam);
}

static enum status interrupted(struct err *err)
{
	return err_set(err, RETRY, "interrupted", "interrupted");
}

/* RETRY "queue_full": not now. Any other failure breaks the producer. */
static enum status produce(struct delivery *delivery, uint64_t number, struct err *err)
{
	const struct waiting *w = place(delivery, number);
	if (w->target->number < 0)
		w->target->number = log_producer_topic(delivery->producer, w->target->name);
	return log_produce(delivery->producer, w->target->number, &w->record, number, err);
}

/* ---- acknowledgements ---- */

static void release(struct delivery *delivery)
{
	while (delivery->first < delivery->next && place(delivery, delivery->first)->acknowledged) {
		struct waiting *w = place(delivery, delivery->first++);
		delivery->window_bytes -= w->bytes.len;
		if (w->bytes.room > KEEP_BYTES)
			buf_fini(&w->bytes);
	}
}

static enum status take_ack(struct delivery *delivery, const struct log_ack *ack, struct err *err)
{
	if (ack->token < delivery->first || ack->token >= delivery->next)
		return OK;
	struct waiting *w = place(delivery, ack->token);
	if (ack->status == FATAL || ack->status == REJECT) {
		*err = ack->err;
		return err_context(err, FATAL, "topic %s", w->target->name);
	}
	if (ack->status == RETRY) {
		delivery->broken = true;
		delivery->why = ack->err;
	} else if (!w->acknowledged) {
		w->acknowledged = true;
		delivery->counts.acknowledged++;
		delivery->progress_us = now_us(delivery);
		delivery->fruitless = 0;
	}
	return OK;
}

static enum status take_acks(struct delivery *delivery, struct err *err)
{
	struct log_ack ack;
	enum status status = OK;
	while (status == OK && delivery->producer && log_producer_ack(delivery->producer, &ack))
		status = take_ack(delivery, &ack, err);
	release(delivery);
	if (delivery->config.progress)
		progress_update(delivery->config.progress, delivery->counts.acknowledged);
	return status;
}

/* ---- again ---- */

static enum status pause_ms(struct delivery *delivery, int64_t ms, struct err *err)
{
	int64_t until = now_us(delivery) + ms * 1000;
	for (int64_t left = ms; left > 0; left = (until - now_us(delivery)) / 1000) {
		if (stopped(delivery))
			return interrupted(err);
		log_wait(delivery->config.log, (int)(left < WAIT_MS ? left : WAIT_MS));
	}
	return OK;
}

/* Every unacknowledged record once more, in order, by the present producer. */
static enum status produce_again(struct delivery *delivery, struct err *err)
{
	for (uint64_t number = delivery->first; number < delivery->next && !delivery->broken;) {
		enum status status = place(delivery, number)->acknowledged ? OK : produce(delivery, number, err);
		if (status == OK) {
			delivery->counts.resent += !place(delivery, number)->acknowledged;
			number++;
			continue;
		}
		if (!err_is(err, "queue_full"))
			return status;
		log_wait(delivery->config.log, WAIT_MS);
		status = take_acks(delivery, err);
		if (status != OK)
			return status;
		if (stopped(delivery))
			return interrupted(err);
		if (number < delivery->first)
			number = delivery->first;
	}
	return OK;
}

static enum status reopen(struct delivery *delivery, struct err *err)
{
	log_producer_close(delivery->producer);
	delivery->producer = NULL;
	delivery->broken = false;
	for (struct target *target = delivery->targets; target; target = target->next)
		target->number = -1;
	enum status status = log_producer_open(delivery->config.log, &delivery->producer, err);
	return status == OK ? produce_again(delivery, err) : status;
}

/* Keeps a working producer; bounded in attempts without an acknowledgement. */
static enum status recover(struct delivery *delivery, struct err *err)
{
	enum status status = OK;
	while (!delivery->producer || delivery->broken || status == RETRY) {
		if (delivery->fruitless) {
			int64_t backoff = BACKOFF_FIRST_MS << (delivery->fruitless - 1);
			status = pause_ms(delivery, backoff < BACKOFF_MAX_MS ? backoff : BACKOFF_MAX_MS, err);
			if (status != OK)
				return status;
		}
		if (++delivery->fruitless > ATTEMPTS) {
			*err = delivery->why;
			return err_context(err, RETRY, "given up after %d attempts", ATTEMPTS);
		}
		status = reopen(delivery, err);
		if (status == FATAL || err_is(err, "interrupted"))
			return status;
		if (status == RETRY)
			delivery->why = *err;
	}
	return status;
}

enum status delivery_step(struct delivery *delivery, int timeout_ms, struct err *err)
{
	struct err own = {0};
	err = err ? err : &own;
	if (delivery->producer && timeout_ms && delivery->first < delivery->next)
		log_wait(delivery->config.log, timeout_ms);
	enum status status = take_acks(delivery, err);
	if (status == OK && delivery->broken)
		status = recover(delivery, err);
	if (status == OK && delivery->first < delivery->next &&
	    now_us(delivery) - delivery->progress_us > delivery->config.patience_ms * 1000)
		status = err_set(err, RETRY, "timeout",
		                 "nothing was acknowledged for %" PRId64 " s; %" PRIu64 " records wait%s%.300s",
		                 delivery->config.patience_ms / 1000, delivery->next - delivery->first,
		                 delivery->fruitless ? "; the last try: " : "",
		                 delivery->fruitless ? delivery->why.text : "");
	return status;
}

/* ---- taking ---- */

static struct target *target_of(struct delivery *delivery, const char *topic)
{
	struct target *target = delivery->targets;
	while (target && strcmp(target->name, topic) != 0)
		target = target->next;
	if (target)
		return target;
	target = mem_alloc(sizeof *target);
	*target = (struct target){.next = delivery->targets, .name = mem_strdup(topic), .number = -1};
	delivery->targets = target;
	return target;
}

static size_t bytes_len(const struct log_bytes *bytes)
{
	return bytes->len > 0 ? (size_t)bytes->len : 0;
}

static struct log_bytes pack(struct buf *out, const struct log_bytes *bytes)
{
	struct log_bytes copy = {bytes->len < 0 ? NULL : out->data + out->len, bytes->len};
	buf_put(out, bytes->data, bytes_len(bytes));
	return copy;
}

/* The header array first, for its alignment. The buffer is given its whole room before, so nothing in it moves. */
static void fill(struct waiting *w, const struct log_record *record)
{
	size_t array = record->header_count * sizeof(struct log_header);
	size_t total = array + bytes_len(&record->key) + bytes_len(&record->value);
	for (size_t i = 0; i < record->header_count; i++)
		total += strlen(record->headers[i].name) + 1 + bytes_len(&record->headers[i].value);
	buf_reset(&w->bytes);
	struct log_header *headers = (struct log_header *)(void *)buf_grow(&w->bytes, total);
	w->bytes.len = array;
	w->record = (struct log_record){.partition = record->partition,
	                                .key = pack(&w->bytes, &record->key),
	                                .value = pack(&w->bytes, &record->value),
	                                .headers = headers,
	                                .header_count = record->header_count};
	for (size_t i = 0; i < record->header_count; i++) {
		const char *name = record->headers[i].name;
		headers[i].name = (const char *)w->bytes.data + w->bytes.len;
		buf_put(&w->bytes, name, strlen(name) + 1);
		headers[i].value = pack(&w->bytes, &record->headers[i].value);
	}
}

static enum status admit(struct delivery *delivery, struct err *err)
{
	enum status status = OK;
	while (status == OK &&
	       (delivery->next - delivery->first == WINDOW_RECORDS || delivery->window_bytes > WINDOW_BYTES)) {
		if (stopped(delivery))
			return interrupted(err);
		status = delivery_step(delivery, WAIT_MS, err);
	}
	return status == OK && stopped(delivery) ? interrupted(err) : status;
}

/* Hands the newest record to the producer; where that breaks, it goes out again with all others. */
static enum status hand_over(struct delivery *delivery, uint64_t number, struct err *err)
{
	enum status status;
	while ((status = produce(delivery, number, err)) != OK) {
		if (status == FATAL)
			return status;
		if (!err_is(err, "queue_full")) {
			delivery->broken = true;
			delivery->why = *err;
			return delivery_step(delivery, 0, err);
		}
		int64_t resent = delivery->counts.resent;
		status = delivery_step(delivery, WAIT_MS, err);
		if (status != OK || resent != delivery->counts.resent) /* a new producer was given everything */
			return status;
		if (stopped(delivery))
			return interrupted(err);
	}
	return OK;
}

enum status delivery_take(struct delivery *delivery, const char *topic, const struct log_record *record,
                          struct delivery_origin origin, struct err *err)
{
	struct err own = {0};
	err = err ? err : &own;
	enum status status = admit(delivery, err);
	if (status == OK && !delivery->producer)
		status = recover(delivery, err);
	if (status != OK)
		return status;
	if (delivery->first == delivery->next)
		delivery->progress_us = now_us(delivery);
	uint64_t number = delivery->next++;
	struct waiting *w = place(delivery, number);
	fill(w, record);
	w->target = target_of(delivery, topic);
	w->origin = origin;
	w->acknowledged = false;
	delivery->window_bytes += w->bytes.len;
	delivery->counts.taken++;
	status = hand_over(delivery, number, err);
	return status != OK || number % 64 ? status : delivery_step(delivery, 0, err);
}

void delivery_flush(struct delivery *delivery)
{
	if (delivery->producer)
		log_producer_flush(delivery->producer);
}

enum status delivery_finish(struct delivery *delivery, int64_t grace_ms, struct err *err)
{
	struct err own = {0};
	int64_t stop_us = 0;
	enum status status = OK;
	err = err ? err : &own;
	delivery_flush(delivery);
	while (status == OK && delivery->first < delivery->next) {
		if (stopped(delivery) && !stop_us)
			stop_us = now_us(delivery) + grace_ms * 1000;
		if (stop_us && now_us(delivery) > stop_us)
			return interrupted(err);
		status = delivery_step(delivery, WAIT_MS, err);
	}
	return status;
}
