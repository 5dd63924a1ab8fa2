/* Producing to the local log. The caller's thread copies records into queues, one for each partition; one writer thread a
 * producer takes a whole queue at a time and makes one transaction of it (more, where it is very long), so a commit carries
 * everything that came in while the one before was synced. Nothing of the caller's ever waits for a disk or a lock of
 * another process; the mutex is held for moments only.
 *
 * Order: a queue is written in the order of log_produce, and the next is not begun before the commit of the one before has
 * ended. A transaction that fails fails all its records, and those behind it are written all the same. The order of
 * events is COMMIT, published offset, acknowledgements, bell.
 *
 * The mutex guards the queues, the acknowledgements and `stop`; the caller alone has topics, counts and `taken`; the
 * thread alone has writers and `current`. */
#include "log_local_impl.h"
#include "log_settings.h"
#include "thread.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#define PENDING_MAX       200000
#define PENDING_BYTES_MAX (4 * 1024 * 1024)
#define COMMIT_BYTES      (4 * 1024 * 1024)
#define QUEUES_BYTES_KEPT (4 * 1024 * 1024) /* of all partitions */
#define SLOT_MAX          100000

struct queued {
	uint64_t token;
	size_t at; /* of its bytes: key, value, headers */
	int32_t key_len, value_len, headers_len;
	int64_t record_bytes;
};

struct queue {
	struct queued *items;
	size_t count, room;
	struct buf bytes;
};

struct slot {
	const char *topic; /* full name, the producer's */
	int32_t partition;
	struct queue waiting; /* under the mutex */
	struct queue current; /* the thread's */
	struct local_writer *writer;
};

struct done {
	uint64_t token;
	int64_t offset, bytes;
	enum status status;
	size_t why; /* index into errs, where status is not OK */
};

struct acks {
	struct done *items;
	size_t count, room, next;
	struct err *errs;
	size_t err_count;
};

struct local_producer {
	struct log_producer base;
	struct local_producer *next;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t work;
	bool has_work; /* under the mutex, as are the slots' list, their waiting queues and acks */
	atomic_bool stop;
	struct slot **slots;
	size_t slot_count;
	struct acks acks;
	atomic_bool has_acks; /* acks are there, for log_wait without the mutex */
	struct acks made;     /* the thread's, before they go to acks */
	size_t slots_known;   /* the thread's: slot_count as of its last look */
	/* the caller's */
	char **topics;
	size_t topic_count;
	struct acks taken;
	size_t pending;
	int64_t pending_bytes;
};

/* ---- acknowledgements ---- */

static void acks_put(struct acks *acks, const struct queued *item, enum status status, int64_t offset, size_t why)
{
	if (acks->count == acks->room) {
		acks->room = acks->room ? 2 * acks->room : 256;
		acks->items = mem_realloc(acks->items, acks->room * sizeof *acks->items);
	}
	acks->items[acks->count++] = (struct done){
		.token = item->token, .offset = offset, .bytes = item->record_bytes, .status = status, .why = why};
}

static size_t acks_err(struct acks *acks, const struct err *err)
{
	acks->errs = mem_realloc(acks->errs, (acks->err_count + 1) * sizeof *acks->errs);
	acks->errs[acks->err_count] = *err;
	return acks->err_count++;
}

static void acks_reset(struct acks *acks)
{
	acks->count = acks->next = acks->err_count = 0;
}

static void acks_fini(struct acks *acks)
{
	mem_free(acks->items);
	mem_free(acks->errs);
}

/* Hands over what the thread made. */
static void acks_publish(struct local_producer *producer)
{
	struct acks *made = &producer->made, *acks = &producer->acks;
	pthread_mutex_lock(&producer->mutex);
	if (!acks->count) {
		struct acks empty = *acks;
		*acks = *made;
		*made = empty;
	} else {
		for (size_t i = 0; i < made->count; i++) {
			const struct done *d = &made->items[i];
			acks_put(acks, &(struct queued){.token = d->token, .record_bytes = d->bytes}, d->status,
			         d->offset, d->why + acks->err_count);
		}
		for (size_t i = 0; i < made->err_count; i++)
			acks_err(acks, &made->errs[i]);
	}
	atomic_store(&producer->has_acks, acks->count > 0);
	pthread_mutex_unlock(&producer->mutex);
	acks_reset(made);
	local_ring(&((struct local_log *)producer->base.log)->bell);
}

bool local_producer_ack(struct log_producer *base, struct log_ack *ack)
{
	struct local_producer *producer = (struct local_producer *)base;
	struct acks *taken = &producer->taken;
	if (taken->next == taken->count) {
		if (!atomic_load(&producer->has_acks))
			return false;
		acks_reset(taken);
		pthread_mutex_lock(&producer->mutex);
		struct acks empty = *taken;
		*taken = producer->acks;
		producer->acks = empty;
		atomic_store(&producer->has_acks, false);
		pthread_mutex_unlock(&producer->mutex);
	}
	const struct done *done = &taken->items[taken->next++];
	ack->token = done->token;
	ack->status = done->status;
	ack->offset = done->offset;
	if (done->status == OK) {
		ack->err.code = NULL;
		ack->err.text[0] = 0;
	} else {
		ack->err = taken->errs[done->why];
	}
	producer->pending--;
	producer->pending_bytes -= done->bytes;
	return true;
}

bool local_producers_ready(const struct local_log *log)
{
	for (struct local_producer *p = log->producers; p; p = p->next)
		if (p->taken.next < p->taken.count || atomic_load(&p->has_acks))
			return true;
	return false;
}

/* ---- the writer thread ---- */

/* Every partition has two of them, of two pieces: what a rush has made large is given back. */
static void queue_reset(struct queue *queue, size_t slot_count)
{
	const size_t kept = QUEUES_BYTES_KEPT / (4 * slot_count);
	if (queue->bytes.room > kept || queue->room * sizeof *queue->items > kept) {
		buf_fini(&queue->bytes);
		mem_free(queue->items);
		*queue = (struct queue){0};
	}
	queue->count = 0;
	buf_reset(&queue->bytes);
}

/* All records from `from` up to `to` have failed the same way. */
static void fail(struct local_producer *producer, const struct slot *slot, size_t from, size_t to, enum status status,
                 const struct err *err)
{
	size_t why = acks_err(&producer->made, err);
	for (size_t i = from; i < to; i++)
		acks_put(&producer->made, &slot->current.items[i], status, -1, why);
}

static bool too_large(const struct slot *slot, const struct queued *item)
{
	return item->record_bytes > local_writer_record_bytes_max(slot->writer);
}

static void fail_too_large(struct local_producer *producer, const struct slot *slot, size_t at)
{
	struct err err;
	const struct queued *item = &slot->current.items[at];
	enum status status = err_set(&err, FATAL, "too_large", "a record of %" PRId64 " bytes, topic %s takes %" PRId64,
	                             item->record_bytes, slot->topic, local_writer_record_bytes_max(slot->writer));
	fail(producer, slot, at, at + 1, status, &err);
}

static struct local_row row_of(const struct queue *queue, const struct queued *item)
{
	const uint8_t *at = queue->bytes.data ? queue->bytes.data + item->at : NULL;
	struct local_row row = {.key = {at, item->key_len}};
	at = at && item->key_len > 0 ? at + item->key_len : at;
	row.value = (struct log_bytes){at, item->value_len};
	at = at && item->value_len > 0 ? at + item->value_len : at;
	row.headers = (struct log_bytes){at, item->headers_len};
	return row;
}

static enum status append_all(struct local_producer *producer, struct slot *slot, size_t from, size_t to, int64_t next,
                              struct err *err)
{
	int64_t last_ms = local_writer_last_ms(slot->writer), now_ms = seam_wall_ms(producer->base.log->seam);
	for (size_t i = from; i < to; i++) {
		const struct queued *item = &slot->current.items[i];
		if (too_large(slot, item))
			continue;
		struct local_row row = row_of(&slot->current, item);
		row.offset = next++;
		row.timestamp_ms = now_ms > last_ms ? now_ms : last_ms;
		enum status status = local_writer_append(slot->writer, &row, err);
		if (status != OK)
			return status;
	}
	return OK;
}

/* One transaction. */
static enum status write_some(struct local_producer *producer, struct slot *slot, size_t from, size_t to)
{
	struct err err = {0};
	int64_t next = 0;
	enum status status = local_writer_begin(slot->writer, &producer->stop, &next, &err);
	if (status == OK)
		status = append_all(producer, slot, from, to, next, &err);
	status = local_writer_end(slot->writer, status, &err);
	if (status != OK) {
		fail(producer, slot, from, to, status, &err);
		return status;
	}
	for (size_t i = from; i < to; i++) {
		if (too_large(slot, &slot->current.items[i]))
			fail_too_large(producer, slot, i);
		else
			acks_put(&producer->made, &slot->current.items[i], OK, next++, 0);
	}
	return OK;
}

static enum status writer_ready(struct local_producer *producer, struct slot *slot, struct err *err)
{
	struct local_log *log = (struct local_log *)producer->base.log;
	return slot->writer ? OK : local_writer_open(log, slot->topic, slot->partition, &slot->writer, err);
}

static void write_slot(struct local_producer *producer, struct slot *slot)
{
	const struct queue *queue = &slot->current;
	struct err err = {0};
	bool gone = false;
	enum status status = writer_ready(producer, slot, &err);
	if (status != OK) {
		fail(producer, slot, 0, queue->count, status, &err);
		acks_publish(producer);
	}
	for (size_t from = 0, to; status == OK && from < queue->count && !atomic_load(&producer->stop); from = to) {
		size_t begin = queue->items[from].at;
		for (to = from + 1; to < queue->count && queue->items[to].at - begin < COMMIT_BYTES;)
			to++;
		gone = write_some(producer, slot, from, to) == FATAL || gone;
		acks_publish(producer);
	}
	if (gone) { /* with its topic, which may be made again */
		local_writer_close(slot->writer);
		slot->writer = NULL;
	}
	queue_reset(&slot->current, producer->slots_known);
}

/* Takes what waits for one partition, in turn. NULL: nothing waits. Called with the mutex. */
static struct slot *next_work(struct local_producer *producer, size_t *turn)
{
	producer->slots_known = producer->slot_count;
	for (size_t i = 0; i < producer->slot_count; i++) {
		struct slot *slot = producer->slots[(*turn + i) % producer->slot_count];
		if (!slot->waiting.count)
			continue;
		*turn = (*turn + i + 1) % producer->slot_count;
		struct queue empty = slot->current;
		slot->current = slot->waiting;
		slot->waiting = empty;
		return slot;
	}
	producer->has_work = false;
	return NULL;
}

static void *writer_thread(void *arg)
{
	struct local_producer *producer = arg;
	size_t turn = 0;
	pthread_mutex_lock(&producer->mutex);
	while (!atomic_load(&producer->stop)) {
		struct slot *slot = next_work(producer, &turn);
		if (!slot) {
			pthread_cond_wait(&producer->work, &producer->mutex);
			continue;
		}
		pthread_mutex_unlock(&producer->mutex);
		write_slot(producer, slot);
		pthread_mutex_lock(&producer->mutex);
	}
	pthread_mutex_unlock(&producer->mutex);
	for (size_t i = 0; i < producer->slot_count; i++)
		local_writer_close(producer->slots[i]->writer);
	return NULL;
}

/* ---- the caller's side ---- */

/* Signals are for the program's own threads. */
enum status local_producer_open(struct log *base, struct log_producer **out, struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	enum status status = local_root_create(log, err);
	if (status != OK)
		return status;
	struct local_producer *producer = mem_zalloc(1, sizeof *producer);
	producer->base.log = base;
	pthread_mutex_init(&producer->mutex, NULL);
	pthread_cond_init(&producer->work, NULL);
	int rc = thread_start(&producer->thread, writer_thread, producer);
	if (rc != 0) {
		pthread_cond_destroy(&producer->work);
		pthread_mutex_destroy(&producer->mutex);
		mem_free(producer);
		return err_set(err, RETRY, "io", "cannot start a thread: %d", rc);
	}
	producer->next = log->producers;
	log->producers = producer;
	*out = &producer->base;
	return OK;
}

int local_producer_topic(struct log_producer *base, const char *topic)
{
	struct local_producer *producer = (struct local_producer *)base;
	for (size_t i = 0; i < producer->topic_count; i++)
		if (strcmp(producer->topics[i], topic) == 0)
			return (int)i;
	producer->topics = mem_realloc(producer->topics, (producer->topic_count + 1) * sizeof *producer->topics);
	producer->topics[producer->topic_count] = mem_strdup(topic);
	return (int)producer->topic_count++;
}

/* Called with the mutex; NULL: too many. */
static struct slot *slot_get(struct local_producer *producer, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < producer->slot_count; i++)
		if (producer->slots[i]->partition == partition && producer->slots[i]->topic == topic)
			return producer->slots[i];
	if (producer->slot_count == SLOT_MAX)
		return NULL;
	struct slot *slot = mem_zalloc(1, sizeof *slot);
	slot->topic = topic;
	slot->partition = partition;
	producer->slots = mem_realloc(producer->slots, (producer->slot_count + 1) * sizeof *producer->slots);
	producer->slots[producer->slot_count++] = slot;
	return slot;
}

static void queue_put(struct queue *queue, const struct log_record *record, uint64_t token, int64_t record_bytes)
{
	if (queue->count == queue->room) {
		queue->room = queue->room ? 2 * queue->room : 64;
		queue->items = mem_realloc(queue->items, queue->room * sizeof *queue->items);
	}
	struct queued *item = &queue->items[queue->count++];
	*item = (struct queued){.token = token,
	                        .at = queue->bytes.len,
	                        .key_len = record->key.len,
	                        .value_len = record->value.len,
	                        .headers_len = -1,
	                        .record_bytes = record_bytes};
	if (record->key.len > 0)
		buf_put(&queue->bytes, record->key.data, (size_t)record->key.len);
	if (record->value.len > 0)
		buf_put(&queue->bytes, record->value.data, (size_t)record->value.len);
	if (!record->header_count)
		return;
	size_t before = queue->bytes.len;
	local_headers_put(&queue->bytes, record->headers, record->header_count);
	item->headers_len = (int32_t)(queue->bytes.len - before);
}

enum status local_produce(struct log_producer *base, int topic, const struct log_record *record, uint64_t token,
                          struct err *err)
{
	struct local_producer *producer = (struct local_producer *)base;
	int64_t bytes = log_settings_record_bytes(record);
	/* One record always fits, however large: its topic says what it thinks of it. */
	if (producer->pending &&
	    (producer->pending >= PENDING_MAX || producer->pending_bytes + bytes > PENDING_BYTES_MAX))
		return err_set(err, RETRY, "queue_full", "%zu records wait for their acknowledgement",
		               producer->pending);
	pthread_mutex_lock(&producer->mutex);
	struct slot *slot = slot_get(producer, producer->topics[topic], record->partition);
	bool wake = false;
	if (slot) {
		queue_put(&slot->waiting, record, token, bytes);
		wake = !producer->has_work;
		producer->has_work = true;
	}
	pthread_mutex_unlock(&producer->mutex);
	if (!slot)
		return err_set(err, FATAL, "invalid", "more than %d partitions through one producer", SLOT_MAX);
	if (wake)
		pthread_cond_signal(&producer->work);
	producer->pending++;
	producer->pending_bytes += bytes;
	return OK;
}

/* Nothing lingers here. */
void local_producer_flush(struct log_producer *base)
{
	(void)base;
}

size_t local_producer_pending(const struct log_producer *base)
{
	return ((const struct local_producer *)base)->pending;
}

static void slot_free(struct slot *slot)
{
	buf_fini(&slot->waiting.bytes);
	buf_fini(&slot->current.bytes);
	mem_free(slot->waiting.items);
	mem_free(slot->current.items);
	mem_free(slot);
}

/* Waits for the transaction that is being written, if one is. */
void local_producer_close(struct log_producer *base)
{
	struct local_producer *producer = (struct local_producer *)base;
	struct local_log *log = (struct local_log *)base->log;
	pthread_mutex_lock(&producer->mutex);
	atomic_store(&producer->stop, true);
	pthread_cond_signal(&producer->work);
	pthread_mutex_unlock(&producer->mutex);
	pthread_join(producer->thread, NULL);
	struct local_producer **at = &log->producers;
	while (*at != producer)
		at = &(*at)->next;
	*at = producer->next;
	for (size_t i = 0; i < producer->slot_count; i++)
		slot_free(producer->slots[i]);
	for (size_t i = 0; i < producer->topic_count; i++)
		mem_free(producer->topics[i]);
	mem_free(producer->slots);
	mem_free(producer->topics);
	acks_fini(&producer->acks);
	acks_fini(&producer->made);
	acks_fini(&producer->taken);
	pthread_cond_destroy(&producer->work);
	pthread_mutex_destroy(&producer->mutex);
	mem_free(producer);
}
