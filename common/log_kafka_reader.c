/* Reading without a group: librdkafka's simple consumer, one partition at a time, so that nothing is joined, committed or
 * asked of a coordinator. Connecting costs, so the client of a closed reader is kept for the next one. */
#include "log_kafka.h"

#include <inttypes.h>
#include <string.h>

#define BATCH_RECORDS 1000
#define IDLE_MAX      4 /* clients kept */

struct kafka_source {
	struct kafka_source *next;
	struct kafka_client client;
	rd_kafka_queue_t *queue;
};

struct kafka_reader {
	struct log_reader base;
	struct kafka_source *source;
	rd_kafka_topic_t *topic;
	int32_t partition;
	int64_t next; /* nothing below it is delivered */
	bool at_end;  /* everything was delivered as of the last look */
	rd_kafka_message_t *batch[BATCH_RECORDS];
	size_t count, at; /* batch[at] is next; all before it are gone, but for the last, whose memory the caller has */
	struct kafka_headers headers;
	struct log_record record;
};

static const struct kafka_role streaming = {
	.type = RD_KAFKA_CONSUMER,
	.defaults =
		(const struct log_setting[]){
			{"fetch.wait.max.ms", "20"},
			{"fetch.error.backoff.ms", "50"},
			{"fetch.message.max.bytes", "1048576"},
			{"queued.min.messages", "30000"},
			{"queued.max.messages.kbytes", "16384"},
			{0},
		},
	.fixed = (const struct log_setting[]){KAFKA_READING, {0}},
};

/* ---- records ---- */

static bool headers_fill(const rd_kafka_headers_t *found, struct kafka_headers *headers, struct log_record *record)
{
	size_t count = rd_kafka_header_cnt(found);
	if (count > headers->room) {
		headers->items = mem_realloc(headers->items, count * sizeof *headers->items);
		headers->room = count;
	}
	for (size_t i = 0; i < count; i++) {
		const char *name;
		const void *value;
		size_t len;
		if (rd_kafka_header_get_all(found, i, &name, &value, &len))
			return false;
		headers->items[i] = (struct log_header){name, {value, value ? (int32_t)len : -1}};
	}
	record->headers = headers->items;
	record->header_count = count;
	return true;
}

bool kafka_record(const rd_kafka_message_t *message, struct kafka_headers *headers, struct log_record *record)
{
	rd_kafka_headers_t *found;
	*record = (struct log_record){
		.offset = message->offset,
		.timestamp_ms = rd_kafka_message_timestamp(message, NULL),
		.partition = message->partition,
		.key = {message->key, message->key ? (int32_t)message->key_len : -1},
		.value = {message->payload, message->payload ? (int32_t)message->len : -1},
	};
	rd_kafka_resp_err_t error = rd_kafka_message_headers(message, &found);
	if (error == RD_KAFKA_RESP_ERR__NOENT)
		return true;
	return !error && headers_fill(found, headers, record);
}

/* ---- clients ---- */

static enum status source_open(struct kafka_log *log, struct kafka_source **out, struct err *err)
{
	struct kafka_source *source = mem_zalloc(1, sizeof *source);
	enum status status = kafka_client_open(log, &streaming, NULL, &source->client, err);
	if (status != OK) {
		mem_free(source);
		return status;
	}
	source->queue = rd_kafka_queue_new(source->client.rk);
	*out = source;
	return OK;
}

static void source_close(struct kafka_source *source)
{
	rd_kafka_queue_destroy(source->queue);
	kafka_client_close(&source->client);
	mem_free(source);
}

void kafka_sources_close(struct kafka_log *log)
{
	while (log->idle) {
		struct kafka_source *source = log->idle;
		log->idle = source->next;
		source_close(source);
	}
}

static enum status source_take(struct kafka_log *log, struct kafka_source **out, struct err *err)
{
	if (!log->idle)
		return source_open(log, out, err);
	*out = log->idle;
	log->idle = log->idle->next;
	return OK;
}

static void source_give(struct kafka_log *log, struct kafka_source *source)
{
	size_t count = 0;
	for (const struct kafka_source *s = log->idle; s; s = s->next)
		count++;
	if (count >= IDLE_MAX) {
		source_close(source);
		return;
	}
	source->next = log->idle;
	log->idle = source;
}

static enum status start(struct kafka_client *client, rd_kafka_queue_t *queue, rd_kafka_topic_t *topic,
                         int32_t partition, int64_t offset, struct err *err)
{
	if (rd_kafka_consume_start_queue(topic, partition, offset, queue) == 0) {
		kafka_client_nudge(client);
		return OK;
	}
	return kafka_err(err, rd_kafka_last_error(), NULL, "%s/%d", rd_kafka_topic_name(topic), (int)partition);
}

/* After it nothing of this partition comes from the queue any more. */
static void stop(rd_kafka_queue_t *queue, rd_kafka_topic_t *topic, int32_t partition)
{
	rd_kafka_message_t *message;
	rd_kafka_consume_stop(topic, partition);
	while ((message = rd_kafka_consume_queue(queue, 0)))
		rd_kafka_message_destroy(message);
	rd_kafka_topic_destroy(topic);
}

/* ---- readers ---- */

enum status kafka_reader_open(struct log *base, const char *topic, int32_t partition, int64_t offset,
                              struct log_reader **out, struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	int64_t low, high;
	enum status status = kafka_bounds(base, topic, partition, &low, &high, err);
	if (status == OK && (offset < low || offset > high))
		status =
			err_set(err, FATAL, "out_of_range", "%s/%d: offset %" PRId64 " is not in %" PRId64 "..%" PRId64,
		                topic, (int)partition, offset, low, high);
	if (status != OK)
		return status;
	struct kafka_reader *reader = mem_zalloc(1, sizeof *reader);
	reader->base.log = base;
	reader->partition = partition;
	reader->next = offset;
	status = source_take(log, &reader->source, err);
	if (status != OK) {
		mem_free(reader);
		return status;
	}
	reader->topic = rd_kafka_topic_new(reader->source->client.rk, topic, NULL);
	status = start(&reader->source->client, reader->source->queue, reader->topic, partition, offset, err);
	if (status == OK)
		*out = &reader->base;
	else
		kafka_reader_close(&reader->base);
	return status;
}

static void batch_drop(struct kafka_reader *reader)
{
	for (size_t i = 0; i < reader->count; i++)
		if (reader->batch[i])
			rd_kafka_message_destroy(reader->batch[i]);
	reader->count = reader->at = 0;
}

/* Waits for the first only: librdkafka would wait for all. */
static void batch_fill(struct kafka_reader *reader, int timeout_ms)
{
	batch_drop(reader);
	reader->batch[0] = rd_kafka_consume_queue(reader->source->queue, timeout_ms);
	if (!reader->batch[0])
		return;
	ssize_t more = rd_kafka_consume_batch_queue(reader->source->queue, 0, reader->batch + 1, BATCH_RECORDS - 1);
	reader->count = 1 + (more > 0 ? (size_t)more : 0);
}

static enum status take_error(struct kafka_reader *reader, const rd_kafka_message_t *message, struct err *err)
{
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		reader->at_end = message->offset >= reader->next;
		return OK;
	}
	enum status status = kafka_err(err, message->err, rd_kafka_message_errstr(message), "%s/%d at offset %" PRId64,
	                               rd_kafka_topic_name(reader->topic), (int)reader->partition, reader->next);
	return kafka_denied(err, status, "Read", "Topic", rd_kafka_topic_name(reader->topic));
}

/* The next record of the batch; *record stays NULL where there is none. */
static enum status take_record(struct kafka_reader *reader, const struct log_record **record, struct err *err)
{
	enum status status = OK;
	while (status == OK && !*record && reader->at < reader->count) {
		if (reader->at) {
			rd_kafka_message_destroy(reader->batch[reader->at - 1]);
			reader->batch[reader->at - 1] = NULL;
		}
		const rd_kafka_message_t *message = reader->batch[reader->at++];
		if (message->err) {
			status = take_error(reader, message, err);
			continue;
		}
		if (message->offset < reader->next)
			continue;
		if (!kafka_record(message, &reader->headers, &reader->record))
			return err_set(err, FATAL, "corrupt", "%s/%d: the headers of offset %" PRId64 " make no sense",
			               rd_kafka_topic_name(reader->topic), (int)reader->partition, message->offset);
		reader->next = message->offset + 1;
		reader->at_end = false;
		kafka_client_delivered(&reader->source->client, &reader->record);
		*record = &reader->record;
	}
	return status;
}

/* What is left of the time to wait at the end. */
static int idle_ms(const struct kafka_log *log, int64_t end_us)
{
	int64_t left_us = end_us - seam_monotonic_us(log->base.seam);
	return left_us <= 0 ? 0 : (int)(left_us / 1000) + 1;
}

/* Before the first look the end is not known: until then the log's timeout bounds it, then timeout_ms does. */
enum status kafka_reader_next(struct log_reader *base, int timeout_ms, const struct log_record **record,
                              struct err *err)
{
	struct kafka_reader *reader = (struct kafka_reader *)base;
	struct kafka_log *log = kafka_of(base->log);
	enum status status = take_record(reader, record, err);
	if (status != OK || *record)
		return status;
	struct kafka_call call;
	kafka_client_empty(&reader->source->client);
	kafka_call_begin(&call, log, &reader->source->client);
	for (;;) {
		bool waits = reader->at_end;
		int left_ms = waits ? idle_ms(log, call.begin_us + (int64_t)timeout_ms * 1000) : 0;
		batch_fill(reader, waits ? left_ms : kafka_call_slice_ms(&call));
		status = take_record(reader, record, err);
		if (status != OK || *record || (waits && !left_ms))
			return status;
		if (!reader->at_end && !kafka_call_go_on(&call, "read", &status, err))
			return err_context(err, status, "%s/%d", rd_kafka_topic_name(reader->topic),
			                   (int)reader->partition);
	}
}

void kafka_reader_close(struct log_reader *base)
{
	struct kafka_reader *reader = (struct kafka_reader *)base;
	batch_drop(reader);
	stop(reader->source->queue, reader->topic, reader->partition);
	source_give(kafka_of(base->log), reader->source);
	mem_free(reader->headers.items);
	mem_free(reader);
}

/* ---- single records and offsets ---- */

/* Looks at what comes first at or behind the offset. *done: it is known. */
static enum status pick(const rd_kafka_message_t *message, int64_t offset, struct arena *arena,
                        struct log_record *record, bool *found, bool *done, struct err *err)
{
	struct kafka_headers headers = {0};
	struct log_record seen;
	enum status status = OK;
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || (!message->err && message->offset > offset)) {
		*done = true;
	} else if (message->err) {
		const char *code;
		status = kafka_classify(message->err, &code);
		*done = strcmp(code, "out_of_range") == 0; /* before the first or beyond the end: it is not there */
		if (*done)
			status = OK;
		else if (status != OK)
			status = kafka_denied(err,
			                      kafka_err(err, message->err, rd_kafka_message_errstr(message),
			                                "%s/%d at offset %" PRId64, rd_kafka_topic_name(message->rkt),
			                                (int)message->partition, offset),
			                      "Read", "Topic", rd_kafka_topic_name(message->rkt));
	} else if (message->offset == offset) {
		*found = *done = true;
		if (kafka_record(message, &headers, &seen))
			log_record_copy(record, &seen, arena);
		else
			status = err_set(err, FATAL, "corrupt", "the headers of offset %" PRId64 " make no sense",
			                 offset);
	}
	mem_free(headers.items);
	return status;
}

enum status kafka_read_at(struct log *base, const char *topic, int32_t partition, int64_t offset, struct arena *arena,
                          struct log_record *record, bool *found, struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	enum status status = kafka_partition_check(log, topic, partition, err);
	struct kafka_client *client = status == OK ? kafka_log_client(log, &status, err) : NULL;
	if (!client || offset < 0)
		return status;
	struct kafka_call call;
	kafka_call_begin(&call, log, client);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(client->rk, topic, NULL);
	status = start(client, queue, rkt, partition, offset, err);
	for (bool done = false; status == OK && !done;) {
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, kafka_call_slice_ms(&call));
		if (message) {
			status = pick(message, offset, arena, record, found, &done, err);
			rd_kafka_message_destroy(message);
		} else if (!kafka_call_go_on(&call, "read", &status, err)) {
			err_context(err, status, "%s/%d at offset %" PRId64, topic, (int)partition, offset);
		}
	}
	stop(queue, rkt, partition);
	rd_kafka_queue_destroy(queue);
	if (status == RETRY) { /* perhaps because it is not there any more */
		log->known.topic = NULL;
		enum status there = kafka_partition_check(log, topic, partition, err);
		return there == FATAL ? FATAL : status;
	}
	return status;
}

/* The offset at a time of the log, RD_KAFKA_OFFSET_BEGINNING and RD_KAFKA_OFFSET_END included; -1: none is that late. Asked
 * again where the brokers were away, within the handle's time. (rd_kafka_query_watermark_offsets asks the same, but waits by
 * the socket's timeout and its retries whatever it is told: a minute and more beside a broker that hangs.) */
static enum status list_offset(struct kafka_log *log, struct kafka_client *client, const char *topic, int32_t partition,
                               int64_t time, int64_t *offset, struct err *err)
{
	enum status status;
	struct kafka_call call;
	kafka_call_begin(&call, log, client);
	for (;;) {
		rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
		rd_kafka_topic_partition_list_add(list, topic, partition)->offset = time;
		rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(client->rk, list, 1000);
		if (!error)
			error = list->elems[0].err;
		*offset = list->elems[0].offset;
		rd_kafka_topic_partition_list_destroy(list);
		const char *code;
		if (!error)
			return OK;
		if (kafka_classify(error, &code) != RETRY)
			return kafka_denied(
				err, kafka_err(err, error, NULL, "%s/%d: asking for an offset", topic, (int)partition),
				"Describe", "Topic", topic);
		if (!kafka_call_go_on(&call, "asking for an offset", &status, err))
			return err_context(err, status, "%s/%d", topic, (int)partition);
	}
}

enum status kafka_bounds(struct log *base, const char *topic, int32_t partition, int64_t *low, int64_t *high,
                         struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	enum status status = kafka_partition_check(log, topic, partition, err);
	struct kafka_client *client = status == OK ? kafka_log_client(log, &status, err) : NULL;
	if (!client)
		return status;
	status = list_offset(log, client, topic, partition, RD_KAFKA_OFFSET_BEGINNING, low, err);
	return status == OK ? list_offset(log, client, topic, partition, RD_KAFKA_OFFSET_END, high, err) : status;
}

enum status kafka_offset_at(struct log *base, const char *topic, int32_t partition, int64_t ms, int64_t *offset,
                            struct err *err)
{
	int64_t low, high;
	enum status status = kafka_bounds(base, topic, partition, &low, &high, err);
	if (status != OK)
		return status;
	struct kafka_log *log = kafka_of(base);
	status = list_offset(log, &log->client, topic, partition, ms < 0 ? 0 : ms, offset, err);
	if (status == OK && *offset < 0)
		*offset = high;
	return status;
}
