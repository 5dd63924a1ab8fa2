/* The producer: idempotent, acks from all in-sync replicas, and a timeout so high that a record is not given up while a
 * later one is written. Even so it may leave a gap; every failed delivery is reported, and the caller starts anew.
 *
 * Delivery reports come as events of the instance's main queue, in batches; a batch is held until all of it was told. What
 * librdkafka refuses at once is told like them.
 *
 * librdkafka lingers for more records to send together. The only way to tell it not to is rd_kafka_flush, which waits; so a
 * thread does that after each hint, for a moment. It uses the instance and its own lock, nothing else. */
#include "log_kafka.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define FLUSH_MS          50
#define FLUSH_SLICE_MS    5
#define FLUSH_RECORDS_MAX 1000

static_assert(sizeof(void *) >= sizeof(uint64_t), "a token travels as a message's opaque pointer");

struct flusher {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t hint;
	bool wanted, stop;
};

struct kafka_producer {
	struct log_producer base;
	struct kafka_client client;
	rd_kafka_queue_t *queue;
	struct kafka_wakeup wakeup;
	rd_kafka_topic_t **topics;
	int topic_count;
	rd_kafka_event_t *reports; /* being told */
	struct log_ack *refused;   /* told first */
	size_t refused_count, refused_room;
	size_t pending;
	struct flusher flusher;
};

static const struct kafka_role role = {
	.type = RD_KAFKA_PRODUCER,
	.polled = true,
	.defaults =
		(const struct log_setting[]){
			{"linger.ms", "20"},
			{"compression.type", "lz4"},
			{"queue.buffering.max.messages", "10000"},
			{"queue.buffering.max.kbytes", "8192"},
			{0},
		},
	.fixed =
		(const struct log_setting[]){
			{"enable.idempotence", "true"},
			{"acks", "all"},
			{"message.timeout.ms", "2147483647"},
			/* what a record may have is the topic's to say, and it answers for that record alone */
			{"message.max.bytes", "16777216"},
			{0},
		},
};

/* ---- the hint not to linger ---- */

/* While it flushes, librdkafka makes a request of whatever there is, one a partition at a time, and spins until it is answered.
 * Where many records are on their way that costs more than it gains: they fill requests by themselves. */
static void flush(rd_kafka_t *rk)
{
	for (int ms = 0; ms < FLUSH_MS; ms += FLUSH_SLICE_MS)
		if (!rd_kafka_flush(rk, FLUSH_SLICE_MS) || rd_kafka_outq_len(rk) > FLUSH_RECORDS_MAX)
			return;
}

static void *flush_run(void *arg)
{
	struct kafka_producer *p = arg;
	pthread_mutex_lock(&p->flusher.lock);
	while (!p->flusher.stop) {
		if (!p->flusher.wanted) {
			pthread_cond_wait(&p->flusher.hint, &p->flusher.lock);
			continue;
		}
		p->flusher.wanted = false;
		pthread_mutex_unlock(&p->flusher.lock);
		flush(p->client.rk);
		pthread_mutex_lock(&p->flusher.lock);
	}
	pthread_mutex_unlock(&p->flusher.lock);
	return NULL;
}

void kafka_producer_flush(struct log_producer *base)
{
	struct kafka_producer *p = (struct kafka_producer *)base;
	if (!p->pending)
		return;
	pthread_mutex_lock(&p->flusher.lock);
	p->flusher.wanted = true;
	pthread_cond_signal(&p->flusher.hint);
	pthread_mutex_unlock(&p->flusher.lock);
}

static void flusher_stop(struct kafka_producer *p)
{
	pthread_mutex_lock(&p->flusher.lock);
	p->flusher.stop = true;
	pthread_cond_signal(&p->flusher.hint);
	pthread_mutex_unlock(&p->flusher.lock);
	pthread_join(p->flusher.thread, NULL);
}

/* ---- writing ---- */

int kafka_producer_topic(struct log_producer *base, const char *topic)
{
	struct kafka_producer *p = (struct kafka_producer *)base;
	for (int i = 0; i < p->topic_count; i++)
		if (strcmp(rd_kafka_topic_name(p->topics[i]), topic) == 0)
			return i;
	p->topics = mem_realloc(p->topics, ((size_t)p->topic_count + 1) * sizeof(rd_kafka_topic_t *));
	p->topics[p->topic_count] = rd_kafka_topic_new(p->client.rk, topic, NULL);
	assert(p->topics[p->topic_count]); /* the name was checked by log.c */
	return p->topic_count++;
}

static rd_kafka_headers_t *headers_new(const struct log_record *record)
{
	if (!record->header_count)
		return NULL;
	rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);
	for (size_t i = 0; i < record->header_count; i++) {
		const struct log_header *h = &record->headers[i];
		/* null is a null pointer there, and empty is not */
		const void *value = h->value.len < 0 ? NULL : h->value.len ? h->value.data : "";
		rd_kafka_header_add(headers, h->name, -1, value, h->value.len < 0 ? 0 : h->value.len);
	}
	return headers;
}

static const void *bytes_of(const struct log_bytes *bytes, size_t *len)
{
	*len = bytes->len > 0 ? (size_t)bytes->len : 0;
	return bytes->len < 0 ? NULL : bytes->len ? bytes->data : "";
}

static rd_kafka_error_t *hand_over(const struct kafka_producer *p, rd_kafka_topic_t *topic,
                                   const struct log_record *record, uint64_t token)
{
	size_t key_len, value_len;
	const void *key = bytes_of(&record->key, &key_len), *value = bytes_of(&record->value, &value_len);
	rd_kafka_headers_t *headers = headers_new(record);
	rd_kafka_vu_t fields[] = {
		{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
		{.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key, key_len}},
		{.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value, value_len}},
		{.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)token},
		{.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
	};
	rd_kafka_error_t *error =
		rd_kafka_produceva(p->client.rk, fields, sizeof fields / sizeof *fields - (headers ? 0 : 1));
	if (error && headers)
		rd_kafka_headers_destroy(headers); /* it takes them only where it takes all */
	return error;
}

static struct log_ack *refused_add(struct kafka_producer *p)
{
	if (p->refused_count == p->refused_room) {
		p->refused_room = p->refused_room ? 2 * p->refused_room : 4;
		p->refused = mem_realloc(p->refused, p->refused_room * sizeof *p->refused);
	}
	kafka_wake(kafka_of(p->base.log));
	return &p->refused[p->refused_count++];
}

enum status kafka_produce(struct log_producer *base, int topic, const struct log_record *record, uint64_t token,
                          struct err *err)
{
	struct kafka_producer *p = (struct kafka_producer *)base;
	rd_kafka_error_t *error = hand_over(p, p->topics[topic], record, token);
	enum status status = OK;
	if (error && rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
		status = err_set(err, RETRY, "queue_full", "%zu records wait for their acknowledgement", p->pending);
	} else if (error) {
		struct log_ack *ack = refused_add(p);
		*ack = (struct log_ack){.token = token, .offset = -1};
		ack->status = kafka_err(&ack->err, rd_kafka_error_code(error), rd_kafka_error_string(error), "%s/%d",
		                        rd_kafka_topic_name(p->topics[topic]), (int)record->partition);
	}
	p->pending += status == OK;
	if (error)
		rd_kafka_error_destroy(error);
	return status;
}

/* ---- acknowledgements ---- */

/* Who may write to no topic at all is refused a producer's id, which is fatal to the instance: it throws away what it has, and its
 * reports say no more than that. */
static rd_kafka_resp_err_t reason_of(const struct kafka_producer *p, rd_kafka_resp_err_t error, char *why, size_t size)
{
	const char *code;
	if (error != RD_KAFKA_RESP_ERR__FATAL && error != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
	    error != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		return error;
	rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(p->client.rk, why, size);
	bool denied = fatal && kafka_classify(fatal, &code) == FATAL && strcmp(code, "not_authorized") == 0;
	return denied ? fatal : error;
}

static void ack_fill(const struct kafka_producer *p, const rd_kafka_message_t *message, struct log_ack *ack)
{
	*ack = (struct log_ack){.token = (uint64_t)(uintptr_t)message->_private,
	                        .offset = message->offset >= 0 ? message->offset : -1};
	if (!message->err)
		return;
	char why[300] = "";
	rd_kafka_resp_err_t error = reason_of(p, message->err, why, sizeof why);
	ack->offset = -1;
	ack->status =
		kafka_err(&ack->err, error, why, "%s/%d", rd_kafka_topic_name(message->rkt), (int)message->partition);
	kafka_denied(&ack->err, ack->status, "Write", "Topic", rd_kafka_topic_name(message->rkt));
}

/* What was reported is in librdkafka's queue, and counts there, as long as its reports live. */
static void reports_drop(struct kafka_producer *p)
{
	if (p->reports)
		rd_kafka_event_destroy(p->reports);
	p->reports = NULL;
}

bool kafka_producer_ack(struct log_producer *base, struct log_ack *ack)
{
	struct kafka_producer *p = (struct kafka_producer *)base;
	if (p->refused_count) {
		*ack = p->refused[--p->refused_count];
		p->pending--;
		return true;
	}
	for (;;) {
		const rd_kafka_message_t *message = p->reports ? rd_kafka_event_message_next(p->reports) : NULL;
		if (message) {
			ack_fill(p, message, ack);
			p->pending--;
			if (rd_kafka_event_message_count(p->reports) == 0)
				reports_drop(p);
			return true;
		}
		reports_drop(p);
		p->reports = rd_kafka_queue_poll(p->queue, 0);
		if (!p->reports)
			return false;
		if (rd_kafka_event_type(p->reports) !=
		    RD_KAFKA_EVENT_DR) { /* an error that passes, or one that reports tell, or statistics */
			kafka_statistics_event(&p->client, p->reports);
			reports_drop(p);
		}
	}
}

size_t kafka_producer_pending(const struct log_producer *base)
{
	return ((const struct kafka_producer *)base)->pending;
}

/* ---- opening and closing ---- */

static void prepare(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
}

enum status kafka_producer_open(struct log *base, struct log_producer **out, struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	struct kafka_producer *p = mem_zalloc(1, sizeof *p);
	struct kafka_role mine = role;
	p->base.log = base;
	mine.prepare = prepare;
	enum status status = kafka_client_open(log, &mine, NULL, &p->client, err);
	pthread_mutex_init(&p->flusher.lock, NULL);
	pthread_cond_init(&p->flusher.hint, NULL);
	if (status == OK && pthread_create(&p->flusher.thread, NULL, flush_run, p) != 0)
		status = err_set(err, RETRY, "io", "no thread for a producer");
	if (status != OK) {
		kafka_client_close(&p->client);
		mem_free(p);
		return status;
	}
	p->queue = rd_kafka_queue_get_main(p->client.rk);
	kafka_wakeup_add(log, &p->wakeup, p->queue);
	*out = &p->base;
	return OK;
}

void kafka_producer_close(struct log_producer *base)
{
	struct kafka_producer *p = (struct kafka_producer *)base;
	rd_kafka_purge(p->client.rk,
	               RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	flusher_stop(p);
	kafka_wakeup_remove(kafka_of(base->log), &p->wakeup);
	reports_drop(p);
	rd_kafka_queue_destroy(p->queue);
	for (int i = 0; i < p->topic_count; i++)
		rd_kafka_topic_destroy(p->topics[i]);
	kafka_client_close(&p->client);
	pthread_cond_destroy(&p->flusher.hint);
	pthread_mutex_destroy(&p->flusher.lock);
	mem_free(p->topics);
	mem_free(p->refused);
	mem_free(p);
}
