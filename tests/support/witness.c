#include "witness.h"

#include "bytes.h"
#include "events.h"
#include "seam.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define READERS_MAX     8
#define VIEWS_MAX       (5 * RIG_PARTITIONS_MAX)
#define ROUND_RECORDS   2000     /* of one partition at a time */
#define BACK_RECORDS    100      /* how far a jump goes, but for one in 50 */
#define ROUND_NS        50000000 /* between two rounds of a reader: it is not to be the load */
#define WAIT_MS         20
#define PATIENCE_US     120000000 /* without an acknowledgement */
#define PUBLISH_SECONDS 180
#define READ_SECONDS    120

static const char *const topics[] = {"orders", "inventory", "order-events", "orders.dlq", "inventory.dlq"};

struct publication { /* one event; sent until it is acknowledged */
	const char *topic;
	int32_t partition;
	struct log_bytes key, value;
	uint64_t sequence; /* of the last attempt */
	bool acknowledged;
};

struct publisher {
	struct witness *witness;
	pthread_t thread;
	bool started, joined;
	struct generate_options options;
	int64_t rate;
	struct history_writer *writer;
	struct log *log;
	struct log_producer *producer;
	struct publication *items;
	size_t count, room, waiting;
	bool broken; /* the producer is to be replaced */
	struct arena arena;
	int64_t started_us, progress_us;
	int64_t orders;            /* generated; read when it has ended */
	char failure[400];         /* the same */
	atomic_bool enough, ended; /* enough: generate no more */
};

struct reader {
	struct witness *witness;
	pthread_t thread;
	bool jumps;
	struct log *log;
	struct history_view *views[VIEWS_MAX];
	int view_topics[VIEWS_MAX];
	int32_t view_partitions[VIEWS_MAX];
	size_t view_count;
	uint64_t random;
	char failure[400]; /* the last, and "" once it is overcome; read when the thread has ended */
	atomic_bool ended;
};

struct witness {
	struct history *history;
	char *url, *name_space;
	int32_t orders, inventory;
	struct publisher publisher;
	struct reader readers[READERS_MAX];
	int reader_count;
	atomic_bool finish, stop; /* finish: to the end, then end. stop: end */
};

static int64_t now_us(void)
{
	return seam_monotonic_us(&seam_system);
}

static struct log *open_log(const struct witness *witness, char failure[400])
{
	struct err err = {0};
	struct log *log = NULL;
	const struct log_config config = {.seam = &seam_system, .name_space = witness->name_space};
	if (log_open(witness->url, &config, &log, &err) != OK)
		snprintf(failure, 400, "%.390s", err.text);
	return log;
}

/* ---- publishing ---- */

static enum status give_up(struct publisher *publisher, const char *text)
{
	snprintf(publisher->failure, sizeof publisher->failure, "%.390s", text);
	return FATAL;
}

static enum status take_acknowledgements(struct publisher *publisher)
{
	struct log_ack ack;
	while (publisher->producer && log_producer_ack(publisher->producer, &ack)) {
		struct publication *item = &publisher->items[ack.token];
		if (ack.status == FATAL)
			return give_up(publisher, ack.err.text);
		if (ack.status != OK) {
			publisher->broken = true;
			continue;
		}
		history_acknowledged(publisher->writer, item->sequence, ack.offset);
		item->acknowledged = true;
		publisher->waiting--;
		publisher->progress_us = now_us();
	}
	return OK;
}

/* One attempt. Where it fails the producer is replaced. */
static enum status send_one(struct publisher *publisher, size_t index)
{
	struct err err = {0};
	struct publication *item = &publisher->items[index];
	const char *id;
	item->sequence = history_sent(publisher->writer, item->topic, item->partition, &item->key, &id);
	const struct log_header header = {HISTORY_HEADER, {id, (int32_t)strlen(id)}};
	const struct log_record record = {.partition = item->partition,
	                                  .key = item->key,
	                                  .value = item->value,
	                                  .headers = &header,
	                                  .header_count = 1};
	for (;;) {
		enum status status =
			publisher->producer ? OK : log_producer_open(publisher->log, &publisher->producer, &err);
		if (status == OK)
			status = log_produce(publisher->producer, log_producer_topic(publisher->producer, item->topic),
			                     &record, index, &err);
		if (status != RETRY || strcmp(err.code, "queue_full") != 0) {
			publisher->broken = publisher->broken || status != OK;
			return status == FATAL ? give_up(publisher, err.text) : OK;
		}
		if (take_acknowledgements(publisher) != OK)
			return FATAL;
		log_wait(publisher->log, WAIT_MS);
	}
}

/* A new producer, and all that was not acknowledged, in its order, under new ids. */
static enum status send_again(struct publisher *publisher)
{
	log_producer_close(publisher->producer);
	publisher->producer = NULL;
	publisher->broken = false;
	log_wait(publisher->log, WAIT_MS);
	for (size_t i = 0; i < publisher->count && !publisher->broken; i++)
		if (!publisher->items[i].acknowledged && send_one(publisher, i) != OK)
			return FATAL;
	return OK;
}

static enum status look_after(struct publisher *publisher)
{
	enum status status = take_acknowledgements(publisher);
	if (status == OK && publisher->broken)
		status = send_again(publisher);
	if (status == OK && publisher->waiting && now_us() - publisher->progress_us > PATIENCE_US)
		status = give_up(publisher, "nothing was acknowledged for 120 s");
	return status == OK && atomic_load(&publisher->witness->stop) ? give_up(publisher, "it was told to end")
	                                                              : status;
}

static enum status keep_rate(struct publisher *publisher)
{
	enum status status = look_after(publisher);
	for (;;) {
		int64_t due_us = publisher->started_us +
		                 (publisher->rate ? (int64_t)publisher->count * 1000000 / publisher->rate : 0);
		int64_t left_us = due_us - now_us();
		if (status != OK || !publisher->rate || left_us <= 0)
			return status;
		log_wait(publisher->log, left_us > WAIT_MS * 1000 ? WAIT_MS : (int)(left_us / 1000) + 1);
		status = look_after(publisher);
	}
}

static enum status publish_one(void *arg, const struct event_type *type, const void *event, struct err *err)
{
	struct publisher *publisher = arg;
	struct buf value = {0};
	enum status status = keep_rate(publisher);
	if (status == OK && atomic_load(&publisher->enough))
		return REJECT; /* the generator stops */
	if (status != OK || event_encode(type, event, &value, err) != OK)
		return FATAL;
	publisher->orders += type == &order_placed_type;
	if (publisher->count == publisher->room) {
		publisher->room = publisher->room ? 2 * publisher->room : 256;
		publisher->items = mem_realloc(publisher->items, publisher->room * sizeof *publisher->items);
	}
	const char *key = arena_format(&publisher->arena, "%s", type->key(event));
	int32_t partitions =
		strcmp(type->topic, "orders") == 0 ? publisher->witness->orders : publisher->witness->inventory;
	struct publication *item = &publisher->items[publisher->count];
	*item = (struct publication){
		.topic = type->topic,
		.partition = log_partition_of(key, strlen(key), partitions),
		.key = {key, (int32_t)strlen(key)},
		.value = {arena_copy(&publisher->arena, value.data, value.len), (int32_t)value.len}};
	buf_fini(&value);
	if (!publisher->waiting++)
		publisher->progress_us = now_us();
	return send_one(publisher, publisher->count++);
}

static void *publisher_thread(void *arg)
{
	struct publisher *publisher = arg;
	struct err err = {0};
	const struct publish_sink sink = {publish_one, publisher};
	publisher->log = open_log(publisher->witness, publisher->failure);
	enum status status = publisher->log ? generate_each(&publisher->options, &sink, &err) : FATAL;
	status = status == REJECT ? OK : status;
	while (status == OK && publisher->waiting) {
		if (publisher->producer)
			log_producer_flush(publisher->producer);
		log_wait(publisher->log, WAIT_MS);
		status = look_after(publisher);
	}
	if (status != OK && !publisher->failure[0])
		give_up(publisher, err.text);
	log_producer_close(publisher->producer);
	log_close(publisher->log);
	publisher->producer = NULL;
	publisher->log = NULL;
	atomic_store(&publisher->ended, true);
	return NULL;
}

static void join_publisher(struct publisher *publisher)
{
	if (publisher->started && !publisher->joined)
		pthread_join(publisher->thread, NULL);
	publisher->joined = true;
}

void witness_publish(struct witness *witness, const struct generate_options *options, int64_t rate)
{
	struct publisher *publisher = &witness->publisher;
	assert_true(!publisher->started || atomic_load(&publisher->ended));
	join_publisher(publisher);
	mem_free(publisher->items);
	arena_reset(&publisher->arena);
	publisher->items = NULL;
	publisher->count = publisher->room = publisher->waiting = 0;
	publisher->broken = publisher->joined = false;
	publisher->options = *options;
	publisher->rate = rate;
	publisher->started_us = publisher->progress_us = now_us();
	publisher->orders = 0;
	atomic_store(&publisher->enough, false);
	atomic_store(&publisher->ended, false);
	publisher->started = true;
	assert_int_equal(pthread_create(&publisher->thread, NULL, publisher_thread, publisher), 0);
}

void witness_orders(struct witness *witness, int64_t orders, uint64_t seed, int64_t rate)
{
	const struct generate_options options = {.only = PUBLISH_ORDERS,
	                                         .seed = seed,
	                                         .orders = orders,
	                                         .skus = RIG_SKUS,
	                                         .hot_skus = 10,
	                                         .lines_min = 1,
	                                         .lines_max = 4,
	                                         .cancel_one_in = 15};
	witness_publish(witness, &options, rate);
}

bool witness_has_published(struct witness *witness)
{
	struct publisher *publisher = &witness->publisher;
	if (!publisher->started)
		return true;
	if (!atomic_load(&publisher->ended))
		return false;
	join_publisher(publisher);
	if (publisher->failure[0])
		fail_msg("the publisher gave up: %s", publisher->failure);
	return true;
}

static bool has_published(struct rig *rig, void *arg)
{
	(void)rig;
	return witness_has_published(arg);
}

void witness_published(struct rig *rig, int seconds_max)
{
	rig_until(rig, seconds_max, "everything published is acknowledged", has_published, rig->witness);
}

int64_t witness_enough(struct rig *rig, int seconds_max)
{
	struct publisher *publisher = &rig->witness->publisher;
	atomic_store(&publisher->enough, true);
	witness_published(rig, seconds_max);
	return publisher->orders;
}

/* ---- reading ---- */

static bool must_stop(const struct reader *reader)
{
	return atomic_load(&reader->witness->stop);
}

/* The view's next records; *at_end: there was no more. Errors are gone over: the view goes on where it is. */
static void read_some(struct reader *reader, size_t index, bool *at_end)
{
	struct err err = {0};
	struct log_reader *from;
	struct history_view *view = reader->views[index];
	const char *topic = topics[reader->view_topics[index]];
	size_t count = 0;
	*at_end = false;
	enum status status =
		log_reader_open(reader->log, topic, reader->view_partitions[index], history_next(view), &from, &err);
	if (status == OK) {
		while (status == OK && !*at_end && count < ROUND_RECORDS && !must_stop(reader)) {
			const struct log_record *record;
			status = log_reader_next(from, 0, &record, &err);
			*at_end = status == OK && !record;
			if (status != OK || !record)
				continue;
			history_read(view, record);
			count++;
		}
		log_reader_close(from);
	}
	if (status != OK)
		snprintf(reader->failure, sizeof reader->failure, "%s/%d: %.300s", topic,
		         reader->view_partitions[index], err.text);
}

static uint64_t next_random(struct reader *reader, uint64_t below)
{
	reader->random = reader->random * 6364136223846793005u + 1442695040888963407u;
	return (reader->random >> 33) % below;
}

static void read_round(struct reader *reader)
{
	bool at_end;
	for (size_t i = 0; i < reader->view_count && !must_stop(reader); i++) {
		int64_t next = history_next(reader->views[i]);
		int64_t back = next < BACK_RECORDS || next_random(reader, 50) == 0 ? next : BACK_RECORDS;
		if (reader->jumps && next > 0 && next_random(reader, 4) == 0)
			history_placed(reader->views[i], next - 1 - (int64_t)next_random(reader, (uint64_t)back));
		read_some(reader, i, &at_end);
	}
}

/* To what is the end now. */
static void read_to_end(struct reader *reader, size_t index)
{
	struct err err = {0};
	int64_t low, high, until_us = now_us() + READ_SECONDS * 1000000LL;
	bool at_end = false;
	while (now_us() < until_us && !must_stop(reader)) {
		if (log_bounds(reader->log, topics[reader->view_topics[index]], reader->view_partitions[index], &low,
		               &high, &err) != OK) {
			snprintf(reader->failure, sizeof reader->failure, "%.390s", err.text);
			log_wait(reader->log, WAIT_MS);
			continue;
		}
		while (!must_stop(reader) && now_us() < until_us && history_next(reader->views[index]) < high &&
		       !at_end)
			read_some(reader, index, &at_end);
		history_read_all(reader->views[index], high);
		reader->failure[0] = 0;
		return;
	}
}

static void *reader_thread(void *arg)
{
	struct reader *reader = arg;
	reader->log = open_log(reader->witness, reader->failure);
	while (reader->log && !must_stop(reader) && !atomic_load(&reader->witness->finish)) {
		read_round(reader);
		nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
	}
	for (size_t i = 0; reader->log && i < reader->view_count && !must_stop(reader); i++)
		read_to_end(reader, i);
	log_close(reader->log);
	atomic_store(&reader->ended, true);
	return NULL;
}

static void start_reader(struct witness *witness, bool jumps)
{
	char name[16];
	struct reader *reader = &witness->readers[witness->reader_count];
	snprintf(name, sizeof name, "%s-%d", jumps ? "jumper" : "follower", witness->reader_count);
	reader->witness = witness;
	reader->jumps = jumps;
	reader->random = (uint64_t)now_us();
	for (int t = 0; t < (int)(sizeof topics / sizeof *topics); t++) {
		int32_t count = strncmp(topics[t], "inventory", 9) == 0 ? witness->inventory : witness->orders;
		for (int32_t p = 0; p < count; p++) {
			size_t at = reader->view_count++;
			assert_true(at < VIEWS_MAX);
			reader->views[at] = history_view(witness->history, name, topics[t], p, 0);
			reader->view_topics[at] = t;
			reader->view_partitions[at] = p;
		}
	}
	witness->reader_count++;
}

void witness_open(struct rig *rig, int followers)
{
	struct witness *witness = mem_zalloc(1, sizeof *witness);
	assert_in_range(followers, 1, READERS_MAX - 1);
	assert_null(rig->witness);
	rig->witness = witness;
	witness->history = history_new();
	witness->url = mem_strdup(rig->url);
	witness->name_space = mem_strdup(rig->name_space);
	witness->orders = rig->orders;
	witness->inventory = rig->inventory;
	witness->publisher.witness = witness;
	witness->publisher.writer = history_writer(witness->history, "witness");
	for (int i = 0; i < followers; i++)
		start_reader(witness, false);
	start_reader(witness, true);
	for (int i = 0; i < witness->reader_count; i++) /* the history is whole now */
		assert_int_equal(pthread_create(&witness->readers[i].thread, NULL, reader_thread, &witness->readers[i]),
		                 0);
}

/* ---- ending ---- */

static bool readers_ended(struct rig *rig, void *arg)
{
	const struct witness *witness = arg;
	bool ended = true;
	(void)rig;
	for (int i = 0; i < witness->reader_count; i++)
		ended = ended && atomic_load(&witness->readers[i].ended);
	return ended;
}

static void join_readers(struct witness *witness)
{
	for (int i = 0; i < witness->reader_count; i++)
		pthread_join(witness->readers[i].thread, NULL);
	witness->reader_count = 0;
}

void witness_end(struct rig *rig, struct history_result *out)
{
	struct witness *witness = rig->witness;
	witness_published(rig, PUBLISH_SECONDS);
	atomic_store(&witness->finish, true);
	rig_until(rig, READ_SECONDS + 30, "every reader has read to the end", readers_ended, witness);
	for (int i = 0; i < witness->reader_count; i++)
		if (witness->readers[i].failure[0])
			fail_msg("a reader did not come to the end: %s", witness->readers[i].failure);
	join_readers(witness);
	history_check(witness->history, out);
}

void witness_expect_none(struct rig *rig)
{
	struct history_result result;
	witness_end(rig, &result);
	history_expect_none(&result);
	assert_true(result.acknowledged > 0 && result.places >= result.acknowledged && result.taken > 0);
}

void witness_close(struct witness *witness)
{
	if (!witness)
		return;
	atomic_store(&witness->stop, true);
	join_publisher(&witness->publisher);
	join_readers(witness);
	mem_free(witness->publisher.items);
	arena_fini(&witness->publisher.arena);
	history_free(witness->history);
	mem_free(witness->url);
	mem_free(witness->name_space);
	mem_free(witness);
}
