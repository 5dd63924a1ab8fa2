/* A consumer of one topic: a librdkafka instance of its own, in the group or with partitions that are given.
 *
 * Eager assignment. librdkafka's rebalance callback, which runs inside a poll, only notes what happened; the poll tells it
 * as LOG_ASSIGNED or LOG_REVOKED, and librdkafka waits until log_consumer_assign answers. A paused position is one that
 * librdkafka is not told of: it reads only what it is given, and a commit does not ask what is read.
 *
 * Held: records that come while polls keep the membership alive go to a queue of ours. Only when that is full is the
 * reading paused inside librdkafka, which throws away what it has fetched ahead. */
#include "log_kafka.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STASH_RECORDS_MAX 4096
#define STASH_BYTES_MAX   (4 << 20)
#define LEAVE_MS          3000
#define CLOSE_SLICE_MS    20
#define HEARTBEAT_MS_MAX  500

enum answer { NO_ANSWER, ANSWER_ASSIGNED, ANSWER_REVOKED }; /* what librdkafka waits for */

struct reading {
	int32_t partition;
	int64_t next; /* nothing below it is delivered */
	bool failed;  /* LOG_FAILED was told: nothing is delivered until it is assigned again */
};

struct stash {
	rd_kafka_message_t **items;
	size_t count, at, room, bytes;
};

struct kafka_consumer {
	struct log_consumer base;
	struct kafka_client client;
	rd_kafka_queue_t *queue, *commits;
	struct kafka_wakeup queue_wakeup, commits_wakeup;
	struct kafka_watch *watch;
	char *topic, *group;
	bool joins;

	/* the membership */
	enum answer rebalance; /* noted by the callback, not told yet */
	enum answer owed;      /* told, not answered yet */
	bool owner, lost, closing;
	int32_t *partitions; /* what is owned */
	size_t partition_count;
	int32_t topic_partitions; /* as of the last look; 0: not known */

	/* what is read */
	struct reading *readings; /* sorted */
	size_t reading_count;
	rd_kafka_message_t *current; /* the one whose memory the caller has */
	struct kafka_headers headers;
	struct stash stash;
	bool held, paused; /* paused: inside librdkafka too */

	/* the commit under way */
	bool committing, refused;                   /* refused: by us, it is told next */
	bool read_back;                             /* the next one that succeeds is read back */
	rd_kafka_topic_partition_list_t *committed; /* being read back */
	bool authentication_told, missing_told;
};

static const struct kafka_role role = {
	.type = RD_KAFKA_CONSUMER,
	.polled = true,
	.defaults =
		(const struct log_setting[]){
			{"partition.assignment.strategy", "range"},
			{"fetch.wait.max.ms", "100"},
			{"fetch.error.backoff.ms", "100"},
			{"fetch.message.max.bytes", "131072"},
			{"fetch.max.bytes", "2097152"},
			{"queued.min.messages", "10000"},
			{"queued.max.messages.kbytes", "4096"},
			{0},
		},
	.fixed =
		(const struct log_setting[]){
			{"enable.auto.commit", "false"},
			{"enable.auto.offset.store", "false"},
			{"auto.offset.reset", "error"},
			{"isolation.level", "read_committed"},
			{"check.crcs", "true"},
			{"enable.partition.eof", "true"},
			{"allow.auto.create.topics", "false"},
			{0},
		},
};

/* ---- the membership ---- */

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	/* Every callback's opaque is the client; ours stands in the consumer. */
	struct kafka_consumer *c = (struct kafka_consumer *)((char *)opaque - offsetof(struct kafka_consumer, client));
	if (c->closing ||
	    (error != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && error != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
		rd_kafka_assign(rk, NULL);
		return;
	}
	if (error == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
		c->rebalance = ANSWER_REVOKED;
		c->lost = rd_kafka_assignment_lost(rk);
	} else {
		c->rebalance = ANSWER_ASSIGNED;
		c->partitions = mem_realloc(c->partitions, (size_t)list->cnt * sizeof *c->partitions);
		c->partition_count = (size_t)list->cnt;
		for (int i = 0; i < list->cnt; i++)
			c->partitions[i] = list->elems[i].partition;
		qsort(c->partitions, c->partition_count, sizeof *c->partitions, log_partition_compare);
	}
	rd_kafka_yield(rk); /* the poll returns now */
}

static void prepare(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
}

/* ---- what is read ---- */

static void stash_clear(struct stash *stash)
{
	while (stash->at < stash->count)
		rd_kafka_message_destroy(stash->items[stash->at++]);
	stash->at = stash->count = stash->bytes = 0;
}

static void stash_put(struct stash *stash, rd_kafka_message_t *message)
{
	if (stash->count == stash->room) {
		stash->room = stash->room ? 2 * stash->room : 64;
		stash->items = mem_realloc(stash->items, stash->room * sizeof(rd_kafka_message_t *));
	}
	stash->items[stash->count++] = message;
	stash->bytes += message->len + message->key_len;
}

static rd_kafka_message_t *stash_take(struct stash *stash)
{
	if (stash->at == stash->count)
		return NULL;
	rd_kafka_message_t *message = stash->items[stash->at++];
	if (stash->at == stash->count)
		stash->at = stash->count = stash->bytes = 0;
	return message;
}

static void current_drop(struct kafka_consumer *c)
{
	if (c->current)
		rd_kafka_message_destroy(c->current);
	c->current = NULL;
}

static struct reading *reading_find(struct kafka_consumer *c, int32_t partition)
{
	/* partition comes first in both */
	return c->reading_count
	               ? bsearch(&partition, c->readings, c->reading_count, sizeof *c->readings, log_partition_compare)
	               : NULL;
}

static rd_kafka_topic_partition_list_t *reading_list(const struct kafka_consumer *c)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->reading_count);
	for (size_t i = 0; i < c->reading_count; i++)
		rd_kafka_topic_partition_list_add(list, c->topic, c->readings[i].partition)->offset =
			c->readings[i].next;
	return list;
}

static void pause_reading(struct kafka_consumer *c, bool pause)
{
	if (c->paused == pause)
		return;
	rd_kafka_topic_partition_list_t *list = reading_list(c);
	if (pause)
		rd_kafka_pause_partitions(c->client.rk, list);
	else
		rd_kafka_resume_partitions(c->client.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	c->paused = pause;
}

static void readings_clear(struct kafka_consumer *c)
{
	pause_reading(c, false); /* the pause would outlive the assignment */
	stash_clear(&c->stash);
	current_drop(c);
	c->reading_count = 0;
}

static void readings_set(struct kafka_consumer *c, const struct log_position *positions, size_t count)
{
	readings_clear(c);
	c->readings = mem_realloc(c->readings, count * sizeof *c->readings);
	for (size_t i = 0; i < count; i++) {
		if (!positions[i].paused)
			c->readings[c->reading_count++] =
				(struct reading){.partition = positions[i].partition, .next = positions[i].offset};
	}
	qsort(c->readings, c->reading_count, sizeof *c->readings, log_partition_compare);
}

/* A revocation is answered by "no assignment", which is not the same as an empty one. */
static enum status assign_now(struct kafka_consumer *c, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = c->owed == ANSWER_REVOKED ? NULL : reading_list(c);
	rd_kafka_resp_err_t error = rd_kafka_assign(c->client.rk, list);
	if (list)
		rd_kafka_topic_partition_list_destroy(list);
	c->owed = NO_ANSWER;
	c->authentication_told = c->missing_told = false;
	return error ? kafka_err(err, error, NULL, "%s: assign", c->topic) : OK;
}

enum status kafka_consumer_assign(struct log_consumer *base, const struct log_position *positions, size_t count,
                                  struct err *err)
{
	struct kafka_consumer *c = (struct kafka_consumer *)base;
	if (count && !c->owner)
		return err_set(err, REJECT, "fenced", "group %s: nothing is assigned to this consumer", c->group);
	for (size_t i = 0; i < count; i++)
		if (positions[i].offset < 0)
			return err_set(err, REJECT, "invalid", "%s/%d: cannot read from offset %" PRId64, c->topic,
			               (int)positions[i].partition, positions[i].offset);
	readings_set(c, positions, count);
	c->read_back = true;
	return assign_now(c, err);
}

void kafka_consumer_hold(struct log_consumer *base, bool hold)
{
	struct kafka_consumer *c = (struct kafka_consumer *)base;
	c->held = hold;
	if (!hold)
		pause_reading(c, false);
}

/* ---- events ---- */

static void tell_failed(struct log_event *event, int32_t partition, int64_t offset, enum status status)
{
	event->kind = LOG_FAILED;
	event->partition = partition;
	event->offset = offset;
	event->status = status;
}

/* A record or an end of something that is read, in its place. Takes the message. */
static void deliver(struct kafka_consumer *c, rd_kafka_message_t *message, struct log_event *event)
{
	struct reading *reading = reading_find(c, message->partition);
	current_drop(c);
	c->current = message;
	if (!reading || reading->failed || message->offset < reading->next)
		return; /* of an earlier assignment */
	event->partition = message->partition;
	event->offset = message->offset;
	if (message->err) {
		event->kind = LOG_END;
		reading->next = message->offset; /* behind a hole, it may be */
		return;
	}
	if (!kafka_record(message, &c->headers, &event->record)) {
		reading->failed = true;
		tell_failed(event, message->partition, message->offset,
		            err_set(&event->err, FATAL, "corrupt",
		                    "%s/%d: the headers of offset %" PRId64 " make no sense", c->topic,
		                    (int)message->partition, message->offset));
		return;
	}
	event->kind = LOG_RECORD;
	reading->next = message->offset + 1;
	kafka_client_delivered(&c->client, &event->record);
}

/* Errors about the group or the client, not about a partition. */
static bool tell_group_failed(struct kafka_consumer *c, const rd_kafka_message_t *message, struct log_event *event)
{
	char why[300] = "";
	rd_kafka_resp_err_t error = message->err;
	if (error == RD_KAFKA_RESP_ERR__FATAL)
		error = rd_kafka_fatal_error(c->client.rk, why, sizeof why);
	const char *code;
	if (kafka_classify(error, &code) != FATAL)
		return false; /* librdkafka tries again by itself; _MAX_POLL_EXCEEDED shows as a revocation */
	bool of_group = error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
	enum status status = kafka_err(&event->err, error, *why ? why : rd_kafka_message_errstr(message),
	                               "group %s, topic %s", c->group, c->topic);
	tell_failed(event, -1, -1, status);
	kafka_denied(&event->err, status, "Read", of_group ? "Group" : "Topic", of_group ? c->group : c->topic);
	return true;
}

static bool of_partition(const rd_kafka_message_t *message)
{
	return message->rkt && message->partition >= 0;
}

static void tell_error(struct kafka_consumer *c, const rd_kafka_message_t *message, struct log_event *event)
{
	if (!of_partition(message)) {
		tell_group_failed(c, message, event);
		return;
	}
	struct reading *reading = reading_find(c, message->partition);
	const char *code;
	if (!reading || reading->failed)
		return;
	if (kafka_classify(message->err, &code) != FATAL) {
		event->kind = LOG_CHECK;
		event->partition = message->partition;
		return;
	}
	reading->failed = true;
	tell_failed(event, message->partition, reading->next,
	            kafka_err(&event->err, message->err, rd_kafka_message_errstr(message), "%s/%d at offset %" PRId64,
	                      c->topic, (int)message->partition, reading->next));
	kafka_denied(&event->err, event->status, "Read", "Topic", c->topic);
}

static bool tell_rebalance(struct kafka_consumer *c, struct log_event *event)
{
	if (c->rebalance == NO_ANSWER)
		return false;
	c->owed = c->rebalance;
	c->rebalance = NO_ANSWER;
	readings_clear(c);
	c->owner = c->owed == ANSWER_ASSIGNED;
	if (!c->owner) {
		event->kind = LOG_REVOKED;
		event->lost = c->lost;
		return true;
	}
	event->kind = LOG_ASSIGNED;
	event->partitions = c->partitions;
	event->partition_count = c->partition_count;
	return true;
}

/* ---- the commit under way ---- */

static const rd_kafka_topic_partition_t *element_find(const rd_kafka_topic_partition_list_t *list, int32_t partition)
{
	for (int i = 0; i < list->cnt; i++)
		if (list->elems[i].partition == partition)
			return &list->elems[i];
	return NULL;
}

static void tell_committed(struct kafka_consumer *c, struct log_event *event, enum status status)
{
	if (c->committed)
		rd_kafka_topic_partition_list_destroy(c->committed);
	c->committed = NULL;
	c->committing = false;
	event->kind = LOG_COMMITTED;
	event->status = status;
}

static enum status commit_status(const struct kafka_consumer *c, rd_kafka_event_t *result, struct err *err)
{
	rd_kafka_resp_err_t error = rd_kafka_event_error(result);
	const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(result);
	for (int i = 0; !error && list && i < list->cnt; i++)
		error = list->elems[i].err;
	if (!error)
		return OK;
	enum status status = kafka_err(err, error, NULL, "group %s: commit", c->group);
	bool of_group = error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
	kafka_denied(err, status, "Read", of_group ? "Group" : "Topic", of_group ? c->group : c->topic);
	if (!c->joins && err_is(err, "fenced"))
		return err_set(err, FATAL, "group_busy", "group %s has members: a group runs here", c->group);
	return status;
}

/* One case was seen where a member's commit was acknowledged and lost. So the first one after each assignment is read back
 * before it counts. */
static void read_back(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
	c->committed = rd_kafka_topic_partition_list_copy(list);
	kafka_watch_ask(c->watch, rd_kafka_topic_partition_list_copy(list));
}

static enum status read_back_compare(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *found,
                                     struct err *err)
{
	for (int i = 0; i < c->committed->cnt; i++) {
		const rd_kafka_topic_partition_t *want = &c->committed->elems[i];
		const rd_kafka_topic_partition_t *have = element_find(found, want->partition);
		struct log_mark expected, seen = {.offset = -1};
		kafka_mark(want, &expected);
		if (have)
			kafka_mark(have, &seen);
		if (have &&
		    (have->err || (seen.offset == expected.offset && strcmp(seen.metadata, expected.metadata) == 0)))
			continue;
		return err_set(err, RETRY, "io",
		               "group %s: the mark of %s/%d was acknowledged at %" PRId64
		               ", and reads back as %" PRId64,
		               c->group, c->topic, (int)want->partition, expected.offset, seen.offset);
	}
	return OK;
}

/* What could not be read back counts as committed: it was acknowledged. The next commit is read back again. */
static bool look_at_read_back(struct kafka_consumer *c, struct log_event *event)
{
	rd_kafka_resp_err_t error;
	rd_kafka_topic_partition_list_t *answer = c->committed ? kafka_watch_answer(c->watch, &error) : NULL;
	if (!answer)
		return false;
	c->read_back = error != RD_KAFKA_RESP_ERR_NO_ERROR;
	tell_committed(c, event, error ? OK : read_back_compare(c, answer, &event->err));
	rd_kafka_topic_partition_list_destroy(answer);
	return true;
}

static bool look_at_commit(struct kafka_consumer *c, struct log_event *event)
{
	if (c->refused) {
		c->refused = false;
		tell_committed(c, event,
		               err_set(&event->err, FATAL, "fenced", "group %s: this consumer owns nothing any more",
		                       c->group));
		return true;
	}
	if (c->committed)
		return look_at_read_back(c, event);
	rd_kafka_event_t *result = c->committing ? rd_kafka_queue_poll(c->commits, 0) : NULL;
	if (!result)
		return false;
	if (rd_kafka_event_type(result) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
		enum status status = commit_status(c, result, &event->err);
		if (status == OK && c->joins && c->read_back)
			read_back(c, rd_kafka_event_topic_partition_list(result));
		else
			tell_committed(c, event, status);
	}
	rd_kafka_event_destroy(result);
	return event->kind != LOG_NOTHING;
}

enum status kafka_consumer_commit(struct log_consumer *base, const struct log_mark *marks, size_t count,
                                  struct err *err)
{
	struct kafka_consumer *c = (struct kafka_consumer *)base;
	if (c->committing)
		return err_set(err, RETRY, "busy", "group %s: a commit is under way", c->group);
	if (!c->owner) { /* the group's last generation would still pass, or none at all where the group is empty */
		c->committing = c->refused = true;
		kafka_wake(kafka_of(base->log));
		return OK;
	}
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
	for (size_t i = 0; i < count; i++) {
		rd_kafka_topic_partition_t *element =
			rd_kafka_topic_partition_list_add(list, c->topic, marks[i].partition);
		element->offset = marks[i].offset;
		element->metadata_size = strnlen(marks[i].metadata, sizeof marks[i].metadata - 1);
		/* the list frees it, with free */
		element->metadata = mem_format("%.*s", (int)element->metadata_size, marks[i].metadata);
	}
	rd_kafka_resp_err_t error = rd_kafka_commit_queue(c->client.rk, list, c->commits, NULL, NULL);
	rd_kafka_topic_partition_list_destroy(list);
	c->committing = !error;
	return error ? kafka_err(err, error, NULL, "group %s: commit", c->group) : OK;
}

enum status kafka_consumer_committed(struct log_consumer *base, struct log_mark *mark, struct err *err)
{
	struct kafka_consumer *c = (struct kafka_consumer *)base;
	return kafka_committed(base->log, c->group, c->topic, mark, err);
}

/* ---- polling ---- */

/* librdkafka's next message about what is read; errors and rebalances are told at once. NULL: nothing, or it was told. */
static rd_kafka_message_t *poll_message(struct kafka_consumer *c, struct log_event *event)
{
	rd_kafka_message_t *message = rd_kafka_consumer_poll(c->client.rk, 0);
	if (tell_rebalance(c, event)) {
		if (message)
			rd_kafka_message_destroy(message);
		return NULL;
	}
	if (message && message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		tell_error(c, message, event);
		rd_kafka_message_destroy(message);
		return NULL;
	}
	return message;
}

/* What comes is put by, until that is full: then it stops coming. */
static void poll_held(struct kafka_consumer *c, struct log_event *event)
{
	rd_kafka_message_t *message;
	while ((message = poll_message(c, event))) {
		stash_put(&c->stash, message);
		if (c->stash.count >= STASH_RECORDS_MAX || c->stash.bytes >= STASH_BYTES_MAX) {
			pause_reading(c, true);
			return;
		}
	}
}

static bool look_at_client(struct kafka_consumer *c, struct log_event *event)
{
	if (c->client.error != RD_KAFKA_RESP_ERR__AUTHENTICATION)
		return false;
	c->client.error = RD_KAFKA_RESP_ERR_NO_ERROR;
	if (c->authentication_told)
		return false;
	c->authentication_told = true;
	tell_failed(event, -1, -1,
	            kafka_err(&event->err, RD_KAFKA_RESP_ERR__AUTHENTICATION, c->client.why, "%s", c->base.log->url));
	return true;
}

/* So many partitions there are. What is read and is not one of them cannot be read. More than there were: whoever reads must
 * look at the topic again. (librdkafka gives them to somebody, five minutes later.) */
static void look_at_count(struct kafka_consumer *c, int32_t count, struct log_event *event)
{
	int32_t before = c->topic_partitions;
	c->topic_partitions = count ? count : before;
	if (before && count > before)
		tell_failed(event, -1, -1,
		            err_set(&event->err, RETRY, "partition_count", "topic %s has %d partitions now, it had %d",
		                    c->topic, (int)count, (int)before));
	if (!count && !c->missing_told)
		tell_failed(event, -1, -1,
		            err_set(&event->err, FATAL, "unknown_topic", "there is no topic %s", c->topic));
	c->missing_told = !count;
	for (size_t i = 0; count && event->kind == LOG_NOTHING && i < c->reading_count; i++) {
		struct reading *reading = &c->readings[i];
		if (reading->failed || reading->partition < count)
			continue;
		reading->failed = true;
		tell_failed(event, reading->partition, reading->next,
		            err_set(&event->err, FATAL, "unknown_partition", "topic %s has no partition %d, it has %d",
		                    c->topic, (int)reading->partition, (int)count));
	}
}

static bool look_at_topic(struct kafka_consumer *c, struct log_event *event)
{
	struct kafka_sight sight;
	if (!kafka_watch_next(c->watch, &sight))
		return false;
	if (sight.kind == SIGHT_COUNT) {
		look_at_count(c, sight.count, event);
	} else if (c->reading_count && (sight.kind == SIGHT_BACK || reading_find(c, sight.partition))) {
		event->kind = LOG_CHECK;
		event->partition = sight.kind == SIGHT_BACK ? -1 : sight.partition;
	}
	return event->kind != LOG_NOTHING;
}

static bool look_at_static(struct kafka_consumer *c, struct log_event *event)
{
	if (c->joins || c->owner)
		return false;
	c->rebalance = ANSWER_ASSIGNED;
	return tell_rebalance(c, event);
}

void kafka_consumer_poll(struct log_consumer *base, struct log_event *event)
{
	struct kafka_consumer *c = (struct kafka_consumer *)base;
	if (look_at_static(c, event) || look_at_commit(c, event) || look_at_topic(c, event))
		return;
	if (c->held) {
		poll_held(c, event);
	} else {
		rd_kafka_message_t *message = stash_take(&c->stash);
		if (!message)
			message = poll_message(c, event);
		if (message)
			deliver(c, message, event);
		else
			kafka_client_empty(&c->client);
	}
	if (event->kind == LOG_NOTHING)
		look_at_client(c, event);
}

/* ---- opening and closing ---- */

/* That another member has left is the answer to a heartbeat, and nobody reads its partitions until all members have heard. */
static int heartbeat_ms(int session_ms)
{
	int ms = session_ms / 3;
	return ms < 1 ? 1 : ms > HEARTBEAT_MS_MAX ? HEARTBEAT_MS_MAX : ms;
}

static enum status client_open(struct kafka_consumer *c, const struct log_consumer_config *config, struct err *err)
{
	/* Who does not poll for a session's time is out, as on every log. */
	char session[12], heartbeat[12];
	snprintf(session, sizeof session, "%d", config->session_timeout_ms);
	snprintf(heartbeat, sizeof heartbeat, "%d", heartbeat_ms(config->session_timeout_ms));
	const struct log_setting settings[] = {
		{"group.id", config->group},
		{"session.timeout.ms", session},
		{"max.poll.interval.ms", session},
		{"heartbeat.interval.ms", heartbeat},
		{config->instance_id && c->joins ? "group.instance.id" : NULL, config->instance_id},
		{0},
	};
	struct kafka_role mine = role;
	mine.prepare = prepare;
	return kafka_client_open(kafka_of(c->base.log), &mine, settings, &c->client, err);
}

static enum status subscribe(struct kafka_consumer *c, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, c->topic, RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t error = rd_kafka_subscribe(c->client.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return error ? kafka_err(err, error, NULL, "group %s: subscribe to %s", c->group, c->topic) : OK;
}

static void consumer_free(struct kafka_consumer *c)
{
	mem_free(c->stash.items);
	mem_free(c->headers.items);
	mem_free(c->partitions);
	mem_free(c->readings);
	mem_free(c->topic);
	mem_free(c->group);
	mem_free(c);
}

enum status kafka_consumer_open(struct log *base, const struct log_consumer_config *config, struct log_consumer **out,
                                struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	struct kafka_consumer *c = mem_zalloc(1, sizeof *c);
	c->base.log = base;
	c->topic = mem_strdup(config->topic);
	c->group = mem_strdup(config->group);
	c->joins = !config->partitions;
	if (!c->joins)
		log_partitions_set(&c->partitions, &c->partition_count, config->partitions, config->partition_count);
	enum status status = client_open(c, config, err);
	if (status != OK) {
		consumer_free(c);
		return status;
	}
	rd_kafka_poll_set_consumer(c->client.rk);
	c->queue = rd_kafka_queue_get_consumer(c->client.rk);
	c->commits = rd_kafka_queue_new(c->client.rk);
	kafka_wakeup_add(log, &c->queue_wakeup, c->queue);
	kafka_wakeup_add(log, &c->commits_wakeup, c->commits);
	c->watch = kafka_watch_start(c->client.rk, c->topic, log->wake_fd);
	status = c->watch ? OK : err_set(err, RETRY, "io", "no thread to watch the leaders of %s", c->topic);
	if (status == OK && c->joins)
		status = subscribe(c, err);
	if (status != OK)
		kafka_consumer_close(&c->base, false);
	else
		*out = &c->base;
	return status;
}

/* Leaving is a courtesy to the others, and waits for brokers that may be dead: it is tried for a while, then let go. Messages
 * that were fetched come to this queue, too: rd_kafka_queue_poll_callback would end the process at one (an assert in
 * librdkafka). */
static void leave_group(struct kafka_consumer *c)
{
	const struct seam *seam = c->base.log->seam;
	int64_t end_us = seam_monotonic_us(seam) + LEAVE_MS * 1000;
	if (c->rebalance != NO_ANSWER || c->owed != NO_ANSWER) { /* it would wait for the answer */
		c->owed = c->rebalance != NO_ANSWER ? c->rebalance : c->owed;
		c->reading_count = 0;
		assign_now(c, NULL);
	}
	rd_kafka_queue_t *queue = rd_kafka_queue_new(c->client.rk);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(c->client.rk, queue);
	while (!error && !rd_kafka_consumer_closed(c->client.rk) && seam_monotonic_us(seam) < end_us) {
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, CLOSE_SLICE_MS);
		if (message)
			rd_kafka_message_destroy(message);
	}
	if (error)
		rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
}

void kafka_consumer_close(struct log_consumer *base, bool leave)
{
	struct kafka_consumer *c = (struct kafka_consumer *)base;
	struct kafka_log *log = kafka_of(base->log);
	c->closing = true;
	kafka_client_nudge(&c->client); /* a look under way ends sooner */
	kafka_watch_stop(c->watch);
	kafka_wakeup_remove(log, &c->queue_wakeup);
	kafka_wakeup_remove(log, &c->commits_wakeup);
	stash_clear(&c->stash);
	current_drop(c);
	if (leave && c->joins)
		leave_group(c);
	if (c->committed) /* librdkafka ends only when nothing of it is held */
		rd_kafka_topic_partition_list_destroy(c->committed);
	rd_kafka_queue_destroy(c->queue);
	rd_kafka_queue_destroy(c->commits);
	if (kafka_client_close(&c->client))
		consumer_free(c);
}
