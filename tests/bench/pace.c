#include "pace.h"

#include "bench.h"
#include "events.h"
#include "seam.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ID_FORMAT  "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx64 "-8456-%012" PRIx64 /* a UUID of version 7; its tail is n */
#define ID_BYTES   36
#define TAIL_BYTES 12
#define WAIT_MS    20

struct pace {
	struct side *side;
	int64_t orders_max;
	_Atomic int64_t *sent_us, *got_us; /* by order; got 0: not yet */
	_Atomic int64_t sent, got, rate;
	_Atomic bool reading, end;
	_Atomic(const char *) failed; /* what a thread could not do */
	pthread_t publisher, reader;
};

static int64_t now_us(void)
{
	return seam_monotonic_us(&seam_system);
}

static void give_up(struct pace *pace, const struct err *err)
{
	const char *expected = NULL;
	atomic_compare_exchange_strong(&pace->failed, &expected, mem_format("%s: %s", err->code, err->text));
}

static bool goes_on(const struct pace *pace)
{
	return !atomic_load(&pace->end) && !atomic_load(&pace->failed);
}

static struct log *open_log(struct pace *pace, const struct log_setting *settings, size_t count)
{
	struct err err = {0};
	struct log *log = NULL;
	const struct log_config config = {.seam = &seam_system,
	                                  .name_space = pace->side->rig.name_space,
	                                  .settings = settings,
	                                  .setting_count = count};
	if (log_open(pace->side->rig.url, &config, &log, &err) != OK)
		give_up(pace, &err);
	return log;
}

/* ---- publishing ---- */

static void take_acks(struct pace *pace, struct log_producer *producer)
{
	struct log_ack ack;
	while (log_producer_ack(producer, &ack))
		if (ack.status != OK)
			give_up(pace, &ack.err);
}

static void publish(struct pace *pace, struct log_producer *producer, int topic, int64_t number, struct buf *value)
{
	char id[ID_BYTES + 1], sku[16];
	struct err err = {0};
	uint64_t n = (uint64_t)number, ms = GENERATE_START_MS + n * GENERATE_INTERVAL_MS;
	snprintf(id, sizeof id, ID_FORMAT, ms >> 16 & 0xffffffff, ms & 0xffff, n & 0xfff, n & 0xffffffffffff);
	snprintf(sku, sizeof sku, "sku-%06" PRIu64, publish_mix(1, n) % 10000 + 1);
	struct order_line line = {.sku = sku, .quantity = 1, .unit_price_minor = 100};
	const struct order_placed event = {
		.order_id = id, .currency = "GBP", .placed_at = (int64_t)ms, .lines = {&line, 1}};
	buf_reset(value);
	enum status status = event_encode(&order_placed_type, &event, value, &err);
	const struct log_record record = {.partition = log_partition_of(id, ID_BYTES, SIDE_PARTITIONS),
	                                  .key = {id, ID_BYTES},
	                                  .value = {value->data, (int32_t)value->len}};
	for (; status == OK && goes_on(pace); log_producer_flush(producer), take_acks(pace, producer)) {
		status = log_produce(producer, topic, &record, n, &err);
		if (status == OK)
			return;
		if (status == RETRY)
			status = OK; /* full: once more when acknowledgements were taken */
	}
	if (status != OK)
		give_up(pace, &err);
}

static void publish_by_the_clock(struct pace *pace, struct log *log, struct log_producer *producer)
{
	struct buf value = {0};
	int topic = log_producer_topic(producer, "orders");
	int64_t rate = 0, start_us = 0, first = 0;
	while (goes_on(pace)) {
		int64_t wanted = atomic_load(&pace->rate), number = atomic_load(&pace->sent);
		if (wanted != rate) {
			rate = wanted;
			start_us = now_us();
			first = number;
		}
		int64_t due_us = rate ? start_us + (number - first) * 1000000 / rate : INT64_MAX;
		int64_t left_us = due_us - now_us();
		if (left_us <= 0 && number < pace->orders_max) {
			atomic_store(&pace->sent_us[number], due_us);
			publish(pace, producer, topic, number, &value);
			atomic_store(&pace->sent, number + 1);
			continue;
		}
		log_producer_flush(producer);
		take_acks(pace, producer);
		if (left_us > 2000)
			log_wait(log, (int)(left_us < WAIT_MS * 1000 ? left_us / 1000 : WAIT_MS));
		else if (left_us > 0)
			nanosleep(&(struct timespec){.tv_nsec = left_us * 1000}, NULL);
	}
	buf_fini(&value);
}

static void *publisher(void *arg)
{
	static const struct log_setting now[] = {{"linger.ms", "0"}};
	struct pace *pace = arg;
	struct err err = {0};
	struct log_producer *producer;
	struct log *log = open_log(pace, now, 1);
	if (!log)
		return NULL;
	if (log_producer_open(log, &producer, &err) == OK) {
		publish_by_the_clock(pace, log, producer);
		log_producer_close(producer);
	} else {
		give_up(pace, &err);
	}
	log_close(log);
	return NULL;
}

/* ---- reading ---- */

static void take(struct pace *pace, const struct log_record *record)
{
	char tail[TAIL_BYTES + 1] = {0};
	if (record->key.len != ID_BYTES)
		return;
	memcpy(tail, (const char *)record->key.data + ID_BYTES - TAIL_BYTES, TAIL_BYTES);
	uint64_t number = strtoull(tail, NULL, 16);
	if (number >= (uint64_t)pace->orders_max || atomic_load(&pace->got_us[number]) ||
	    !atomic_load(&pace->sent_us[number]))
		return;
	atomic_store(&pace->got_us[number], now_us());
	atomic_fetch_add(&pace->got, 1);
}

/* Reads on where the log ends now. */
static void assign(struct pace *pace, struct log *log, struct log_consumer *consumer)
{
	struct err err = {0};
	struct log_position positions[SIDE_PARTITIONS];
	enum status status = OK;
	for (int32_t p = 0; p < SIDE_PARTITIONS && status == OK; p++) {
		int64_t low, high = 0;
		status = log_bounds(log, "order-events", p, &low, &high, &err);
		positions[p] = (struct log_position){.partition = p, .offset = high};
	}
	if (status == OK)
		status = log_consumer_assign(consumer, positions, SIDE_PARTITIONS, &err);
	if (status != OK)
		give_up(pace, &err);
}

static void read_all(struct pace *pace, struct log *log, struct log_consumer *consumer)
{
	struct log_event event;
	while (goes_on(pace)) {
		log_consumer_poll(consumer, &event);
		if (event.kind == LOG_RECORD)
			take(pace, &event.record);
		else if (event.kind == LOG_ASSIGNED || event.kind == LOG_CHECK)
			assign(pace, log, consumer);
		else if (event.kind == LOG_FAILED && event.status != RETRY)
			give_up(pace, &event.err);
		else if (event.kind == LOG_NOTHING)
			log_wait(log, WAIT_MS);
		if (event.kind == LOG_END)
			atomic_store(&pace->reading, true);
	}
}

static void *reader(void *arg)
{
	struct pace *pace = arg;
	struct err err = {0};
	static const int32_t partitions[SIDE_PARTITIONS] = {0, 1, 2, 3};
	const struct log_consumer_config config = {.topic = "order-events",
	                                           .group = "bench-reader",
	                                           .partitions = partitions,
	                                           .partition_count = SIDE_PARTITIONS};
	struct log_consumer *consumer;
	struct log *log = open_log(pace, NULL, 0);
	if (!log)
		return NULL;
	if (log_consumer_open(log, &config, &consumer, &err) == OK) {
		read_all(pace, log, consumer);
		log_consumer_close(consumer, true);
	} else {
		give_up(pace, &err);
	}
	log_close(log);
	return NULL;
}

/* ---- for the one who measures ---- */

static void check(const struct pace *pace)
{
	const char *failed = atomic_load(&pace->failed);
	if (failed)
		fail_msg("%s: the pacer: %s", side_names[pace->side->kind], failed);
}

static bool is_reading(struct rig *rig, void *arg)
{
	struct pace *pace = arg;
	(void)rig;
	check(pace);
	return atomic_load(&pace->reading);
}

struct pace *pace_open(struct side *side, int64_t orders_max)
{
	struct pace *pace = mem_zalloc(1, sizeof *pace);
	pace->side = side;
	pace->orders_max = orders_max;
	pace->sent_us = mem_zalloc((size_t)orders_max, sizeof *pace->sent_us);
	pace->got_us = mem_zalloc((size_t)orders_max, sizeof *pace->got_us);
	if (pthread_create(&pace->reader, NULL, reader, pace) != 0 ||
	    pthread_create(&pace->publisher, NULL, publisher, pace) != 0)
		fail_msg("no thread could be had");
	rig_until(&side->rig, 30, "the reader of order-events is there", is_reading, pace);
	return pace;
}

void pace_start(struct pace *pace, int64_t rate)
{
	atomic_store(&pace->rate, rate);
}

void pace_leave(struct pace *pace)
{
	const struct timespec rest = {.tv_nsec = 50000000};
	atomic_store(&pace->rate, 0);
	nanosleep(&rest, NULL); /* the order that was due may be under way */
}

int64_t pace_missing(const struct pace *pace)
{
	return atomic_load(&pace->sent) - atomic_load(&pace->got);
}

static int64_t first_without(const struct pace *pace)
{
	int64_t number = 0, sent = atomic_load(&pace->sent);
	while (number < sent && atomic_load(&pace->got_us[number]))
		number++;
	return number;
}

void pace_stop(struct pace *pace, int seconds_max)
{
	const struct timespec look = {.tv_nsec = 5000000};
	double until = side_now() + seconds_max;
	pace_leave(pace);
	while (pace_missing(pace) > 0) {
		check(pace);
		if (side_now() > until)
			fail_msg(
				"%s: %lld of %lld orders have their outcome after %d s; the first without is number %lld",
				side_names[pace->side->kind], (long long)atomic_load(&pace->got),
				(long long)atomic_load(&pace->sent), seconds_max, (long long)first_without(pace));
		nanosleep(&look, NULL);
	}
}

void pace_close(struct pace *pace)
{
	atomic_store(&pace->end, true);
	pthread_join(pace->publisher, NULL);
	pthread_join(pace->reader, NULL);
	check(pace);
	mem_free((void *)pace->sent_us);
	mem_free((void *)pace->got_us);
	mem_free(pace);
}

int64_t pace_sent(const struct pace *pace)
{
	check(pace);
	return atomic_load(&pace->sent);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void pace_sort(struct pace_times *times)
{
	qsort(times->ms, times->count, sizeof(double), by_size);
}

void pace_times(const struct pace *pace, int64_t from, int64_t to, struct pace_times *out)
{
	*out = (struct pace_times){.ms = mem_zalloc((size_t)(to - from) + 1, sizeof(double))};
	for (int64_t n = from; n < to; n++) {
		int64_t got_us = atomic_load(&pace->got_us[n]);
		if (got_us)
			out->ms[out->count++] = (double)(got_us - atomic_load(&pace->sent_us[n])) / 1e3;
	}
	pace_sort(out);
}

double pace_quantile(const struct pace_times *times, double share)
{
	if (!times->count)
		return 0;
	size_t index = (size_t)(share * (double)(times->count - 1) + 0.5);
	return times->ms[index];
}

double pace_first(const struct pace *pace, int64_t from)
{
	int64_t first = 0;
	check(pace);
	for (int64_t n = from; n < atomic_load(&pace->sent); n++) {
		int64_t got_us = atomic_load(&pace->got_us[n]);
		if (got_us && (!first || got_us < first))
			first = got_us;
	}
	return (double)first / 1e6;
}

double pace_all(const struct pace *pace, int64_t from, int64_t to)
{
	int64_t last = 0;
	check(pace);
	for (int64_t n = from; n < to; n++) {
		int64_t got_us = n < atomic_load(&pace->sent) ? atomic_load(&pace->got_us[n]) : 0;
		if (!got_us)
			return 0;
		if (got_us > last)
			last = got_us;
	}
	return (double)last / 1e6;
}
