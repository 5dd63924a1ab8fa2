/* Topics, groups and what is committed: questions to the brokers, each bounded by the log's timeout. */
#include "log_kafka.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS       1000 /* one question about metadata, before the client's errors are looked at */
#define LOOK_AGAIN_MS 20
#define ASK_MS        1000 /* one question of several within a call */
#define REPLICAS_MAX  3    /* where the caller gives no number */
#define KNOWN_US      1000000

/* ---- metadata ---- */

/* What the brokers know of one topic (NULL: of all of them). The caller destroys it. */
static enum status metadata_get(struct kafka_log *log, const char *topic, const rd_kafka_metadata_t **out,
                                struct err *err)
{
	enum status status;
	struct kafka_client *client = kafka_log_client(log, &status, err);
	if (!client)
		return status;
	rd_kafka_topic_t *only = topic ? rd_kafka_topic_new(client->rk, topic, NULL) : NULL;
	struct kafka_call call;
	kafka_call_begin(&call, log, client);
	for (;;) {
		int wait_ms = log->base.timeout_ms < LOOK_MS ? log->base.timeout_ms : LOOK_MS;
		rd_kafka_resp_err_t error = rd_kafka_metadata(client->rk, !topic, only, out, wait_ms);
		const char *code;
		if (!error)
			break;
		if (kafka_classify(error, &code) != RETRY) {
			status = kafka_err(err, error, NULL, "%s: metadata", log->base.url);
			kafka_denied(err, status, "Describe", "Topic", topic ? topic : "*");
			break;
		}
		if (!kafka_call_go_on(&call, "metadata", &status, err))
			break;
	}
	if (only)
		rd_kafka_topic_destroy(only);
	return status;
}

static const rd_kafka_metadata_topic_t *topic_in(const rd_kafka_metadata_t *metadata, const char *topic)
{
	for (int i = 0; i < metadata->topic_cnt; i++)
		if (strcmp(metadata->topics[i].topic, topic) == 0)
			return &metadata->topics[i];
	return NULL;
}

static bool missing(const rd_kafka_metadata_topic_t *topic)
{
	return !topic || topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
	       topic->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

/* Sets *partitions to how many there are. */
static enum status topic_check(struct kafka_log *log, const char *topic, int32_t *partitions, struct err *err)
{
	const rd_kafka_metadata_t *metadata;
	enum status status = metadata_get(log, topic, &metadata, err);
	if (status != OK)
		return status;
	const rd_kafka_metadata_topic_t *found = topic_in(metadata, topic);
	if (missing(found))
		status = err_set(err, FATAL, "unknown_topic", "there is no topic %s", topic);
	else if (found->err && found->err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		status = kafka_denied(err, kafka_err(err, found->err, NULL, "topic %s", topic), "Describe", "Topic",
		                      topic);
	else
		*partitions = found->partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	return status;
}

enum status kafka_partition_check(struct kafka_log *log, const char *topic, int32_t partition, struct err *err)
{
	int64_t now_us = seam_monotonic_us(log->base.seam);
	if (log->known.topic != topic || now_us - log->known.at_us > KNOWN_US) {
		log->known.topic = NULL;
		enum status status = topic_check(log, topic, &log->known.partitions, err);
		if (status != OK)
			return status;
		log->known.topic = topic;
		log->known.at_us = now_us;
	}
	if (partition >= 0 && partition < log->known.partitions)
		return OK;
	return err_set(err, FATAL, "unknown_partition", "topic %s has no partition %d, it has %d", topic,
	               (int)partition, (int)log->known.partitions);
}

enum status kafka_node_count(struct log *base, int *nodes, struct err *err)
{
	const rd_kafka_metadata_t *metadata;
	enum status status = metadata_get(kafka_of(base), NULL, &metadata, err);
	if (status != OK)
		return status;
	*nodes = metadata->broker_cnt;
	rd_kafka_metadata_destroy(metadata);
	return OK;
}

enum status kafka_topic_list(struct log *base, struct arena *arena, const char ***names, size_t *count, struct err *err)
{
	const rd_kafka_metadata_t *metadata;
	enum status status = metadata_get(kafka_of(base), NULL, &metadata, err);
	if (status != OK)
		return status;
	*names = arena_alloc(arena, (size_t)metadata->topic_cnt * sizeof **names);
	*count = 0;
	for (int i = 0; i < metadata->topic_cnt; i++) {
		const char *name = metadata->topics[i].topic;
		if (strncmp(name, "__", 2) != 0) /* the brokers' own */
			(*names)[(*count)++] = arena_copy(arena, name, strlen(name));
	}
	rd_kafka_metadata_destroy(metadata);
	return OK;
}

/* ---- questions whose answer comes to a queue ---- */

static rd_kafka_AdminOptions_t *admin_options(const struct kafka_log *log, rd_kafka_t *rk, rd_kafka_admin_op_t kind)
{
	char text[200];
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, kind);
	rd_kafka_AdminOptions_set_request_timeout(options, log->base.timeout_ms, text, sizeof text);
	if (kind == RD_KAFKA_ADMIN_OP_CREATETOPICS || kind == RD_KAFKA_ADMIN_OP_DELETETOPICS)
		rd_kafka_AdminOptions_set_operation_timeout(options, log->base.timeout_ms, text, sizeof text);
	return options;
}

struct question {
	struct kafka_call call;
	rd_kafka_queue_t *queue;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t *answer;
};

static enum status question_begin(struct question *q, struct kafka_log *log, rd_kafka_admin_op_t kind, struct err *err)
{
	enum status status;
	struct kafka_client *client = kafka_log_client(log, &status, err);
	if (!client)
		return status;
	*q = (struct question){.queue = rd_kafka_queue_new(client->rk),
	                       .options = admin_options(log, client->rk, kind)};
	kafka_call_begin(&q->call, log, client);
	return OK;
}

static enum status question_wait(struct question *q, const char *what, struct err *err)
{
	enum status status = OK;
	while (!(q->answer = rd_kafka_queue_poll(q->queue, kafka_call_slice_ms(&q->call))))
		if (!kafka_call_go_on(&q->call, what, &status, err))
			return status;
	rd_kafka_resp_err_t error = rd_kafka_event_error(q->answer);
	return error ? kafka_err(err, error, rd_kafka_event_error_string(q->answer), "%s", what) : OK;
}

static void question_end(struct question *q)
{
	if (q->answer)
		rd_kafka_event_destroy(q->answer);
	rd_kafka_AdminOptions_destroy(q->options);
	rd_kafka_queue_destroy(q->queue);
}

static enum status topic_result(const rd_kafka_topic_result_t **results, size_t count, const char *what,
                                const char *name, struct err *err)
{
	if (count != 1)
		return err_set(err, RETRY, "transport", "%s %s: an answer without a result", what, name);
	rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[0]);
	return error ? kafka_err(err, error, rd_kafka_topic_result_error_string(results[0]), "%s %s", what, name) : OK;
}

/* ---- making and deleting topics ---- */

static bool all_led(const rd_kafka_metadata_topic_t *topic, int32_t partitions)
{
	if (!topic || topic->err || topic->partition_cnt != partitions)
		return false;
	for (int i = 0; i < topic->partition_cnt; i++)
		if (topic->partitions[i].leader < 0)
			return false;
	return true;
}

/* Until the brokers show it with so many partitions, each with a leader; 0: until they do not know it any more. */
static enum status topic_await(struct kafka_log *log, const char *name, int32_t partitions, struct err *err)
{
	enum status status = OK;
	struct kafka_call call;
	kafka_call_begin(&call, log, &log->client);
	do {
		const rd_kafka_metadata_t *metadata;
		status = metadata_get(log, name, &metadata, err);
		if (status != OK)
			return status;
		const rd_kafka_metadata_topic_t *topic = topic_in(metadata, name);
		bool there = partitions ? all_led(topic, partitions) : missing(topic);
		rd_kafka_metadata_destroy(metadata);
		if (there)
			return OK;
		rd_kafka_poll(log->client.rk, LOOK_AGAIN_MS);
	} while (kafka_call_go_on(&call, partitions ? "wait for the new topic" : "wait until the topic is gone",
	                          &status, err));
	return err_context(err, status, "topic %s", name);
}

static enum status replicas_choose(struct kafka_log *log, const struct log_topic *topic, int *replicas, struct err *err)
{
	*replicas = topic->replicas;
	if (*replicas > 0)
		return OK;
	enum status status = kafka_node_count(&log->base, replicas, err);
	if (*replicas > REPLICAS_MAX)
		*replicas = REPLICAS_MAX;
	return status;
}

enum status kafka_topic_create(struct log *base, const struct log_topic *topic, struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	int replicas;
	char text[200];
	struct question q;
	enum status status = replicas_choose(log, topic, &replicas, err);
	if (status == OK)
		status = question_begin(&q, log, RD_KAFKA_ADMIN_OP_CREATETOPICS, err);
	if (status != OK)
		return status;
	rd_kafka_NewTopic_t *fresh = rd_kafka_NewTopic_new(topic->name, topic->partitions, replicas, text, sizeof text);
	if (!fresh) {
		question_end(&q);
		return err_set(err, REJECT, "invalid", "topic %s: %s", topic->name, text);
	}
	for (size_t i = 0; i < topic->setting_count; i++)
		rd_kafka_NewTopic_set_config(fresh, topic->settings[i].name, topic->settings[i].value);
	rd_kafka_CreateTopics(log->client.rk, &fresh, 1, q.options, q.queue);
	status = question_wait(&q, "create a topic", err);
	if (status == OK) {
		size_t count;
		const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(q.answer);
		const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(result, &count);
		status = topic_result(results, count, "create topic", topic->name, err);
		kafka_denied(err, status, "Create", "Topic", topic->name);
	}
	rd_kafka_NewTopic_destroy(fresh);
	question_end(&q);
	return status == OK ? topic_await(log, topic->name, topic->partitions, err) : status;
}

enum status kafka_topic_delete(struct log *base, const char *name, struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	struct question q;
	log->known.topic = NULL;
	enum status status = question_begin(&q, log, RD_KAFKA_ADMIN_OP_DELETETOPICS, err);
	if (status != OK)
		return status;
	rd_kafka_DeleteTopic_t *old = rd_kafka_DeleteTopic_new(name);
	rd_kafka_DeleteTopics(log->client.rk, &old, 1, q.options, q.queue);
	status = question_wait(&q, "delete a topic", err);
	if (status == OK) {
		size_t count;
		const rd_kafka_DeleteTopics_result_t *result = rd_kafka_event_DeleteTopics_result(q.answer);
		const rd_kafka_topic_result_t **results = rd_kafka_DeleteTopics_result_topics(result, &count);
		status = topic_result(results, count, "delete topic", name, err);
		kafka_denied(err, status, "Delete", "Topic", name);
	}
	rd_kafka_DeleteTopic_destroy(old);
	question_end(&q);
	if (status == FATAL && err_is(err, "unknown_topic"))
		return REJECT;
	return status == OK ? topic_await(log, name, 0, err) : status;
}

/* ---- describing topics ---- */

static void settings_copy(const rd_kafka_ConfigResource_t *resource, struct arena *arena, struct log_topic *out)
{
	size_t count;
	const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
	struct log_setting *settings = arena_alloc(arena, count * sizeof *settings);
	for (size_t i = 0; i < count; i++) {
		const char *name = rd_kafka_ConfigEntry_name(entries[i]),
			   *value = rd_kafka_ConfigEntry_value(entries[i]);
		if (!value) /* a secret, or unset */
			continue;
		settings[out->setting_count++] = (struct log_setting){arena_copy(arena, name, strlen(name)),
		                                                      arena_copy(arena, value, strlen(value))};
	}
	out->settings = settings;
	out->settings_known = true;
}

static enum status settings_get(struct kafka_log *log, const char *name, struct arena *arena, struct log_topic *out,
                                struct err *err)
{
	struct question q;
	size_t count;
	enum status status = question_begin(&q, log, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, err);
	if (status != OK)
		return status;
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
	rd_kafka_DescribeConfigs(log->client.rk, &resource, 1, q.options, q.queue);
	status = question_wait(&q, "read a topic's settings", err);
	if (status == OK) {
		const rd_kafka_ConfigResource_t **found = rd_kafka_DescribeConfigs_result_resources(
			rd_kafka_event_DescribeConfigs_result(q.answer), &count);
		rd_kafka_resp_err_t error =
			count == 1 ? rd_kafka_ConfigResource_error(found[0]) : RD_KAFKA_RESP_ERR__FAIL;
		if (!error)
			settings_copy(found[0], arena, out);
		else
			status = kafka_err(err, error, NULL, "settings of topic %s", name);
	}
	rd_kafka_ConfigResource_destroy(resource);
	question_end(&q);
	return err_is(err, "not_authorized") && status != OK ? OK : status;
}

enum status kafka_topic_describe(struct log *base, const char *name, struct arena *arena, struct log_topic *out,
                                 struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	const rd_kafka_metadata_t *metadata;
	struct err own = {0};
	err = err ? err : &own;
	enum status status = metadata_get(log, name, &metadata, err);
	if (status != OK)
		return status;
	const rd_kafka_metadata_topic_t *topic = topic_in(metadata, name);
	out->exists = !missing(topic);
	if (out->exists && topic->err && topic->err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		status = kafka_denied(err, kafka_err(err, topic->err, NULL, "topic %s", name), "Describe", "Topic",
		                      name);
	if (out->exists) {
		out->partitions = topic->partition_cnt;
		out->replicas = topic->partition_cnt > 0 ? topic->partitions[0].replica_cnt : 0;
	}
	rd_kafka_metadata_destroy(metadata);
	return status == OK && out->exists ? settings_get(log, name, arena, out, err) : status;
}

/* ---- groups ---- */

void kafka_mark(const rd_kafka_topic_partition_t *element, struct log_mark *mark)
{
	size_t room = sizeof mark->metadata - 1;
	*mark = (struct log_mark){.partition = element->partition,
	                          .offset = element->offset >= 0 ? element->offset : -1};
	if (mark->offset >= 0 && element->metadata && element->metadata_size <= room)
		memcpy(mark->metadata, element->metadata, element->metadata_size);
}

/* A group's coordinator may be on the move, or still reading: it is asked again, within the call's time. */
static bool ask_again(struct kafka_log *log, int64_t begin_us, enum status status, const struct err *err)
{
	if (status != RETRY || !err_is(err, "busy") ||
	    seam_monotonic_us(log->base.seam) - begin_us > (int64_t)log->base.timeout_ms * 1000)
		return false;
	rd_kafka_poll(log->client.rk, LOOK_AGAIN_MS);
	return true;
}

/* A client that knows the group and never joins it; of the group asked for last. (librdkafka's admin call for this,
 * ListConsumerGroupOffsets, ends the process with SIGSEGV when the group's coordinator has moved: its answer is handed to the
 * group of the asking client, which has none; up to 2.11 at least.) */
static enum status asker_open(struct kafka_log *log, const char *group, struct err *err)
{
	if (log->asker.group && strcmp(log->asker.group, group) == 0)
		return OK;
	kafka_asker_close(log);
	const struct log_setting more[] = {{"group.id", group}, {0}};
	enum status status = kafka_asking_open(log, more, &log->asker.client, err);
	if (status == OK)
		log->asker.group = mem_strdup(group);
	return status;
}

void kafka_asker_close(struct kafka_log *log)
{
	kafka_client_close(&log->asker.client);
	mem_free(log->asker.group);
	log->asker.group = NULL;
}

static enum status denied_of(struct err *err, enum status status, rd_kafka_resp_err_t error, const char *group,
                             const char *topic)
{
	bool of_group = error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
	return kafka_denied(err, status, "Describe", of_group ? "Group" : "Topic", of_group ? group : topic);
}

/* A coordinator may be on the move, or still reading: it is asked again, within the call's time. */
enum status kafka_committed(struct log *base, const char *group, const char *topic, struct log_mark *mark,
                            struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	struct kafka_call call;
	*mark = (struct log_mark){.partition = mark->partition, .offset = -1};
	enum status status = asker_open(log, group, err);
	if (status != OK)
		return status;
	kafka_call_begin(&call, log, &log->asker.client);
	for (;;) {
		const char *code;
		rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
		rd_kafka_topic_partition_list_add(list, topic, mark->partition);
		rd_kafka_resp_err_t error = rd_kafka_committed(log->asker.client.rk, list, ASK_MS);
		if (!error)
			error = list->elems[0].err;
		if (!error)
			kafka_mark(&list->elems[0], mark);
		rd_kafka_topic_partition_list_destroy(list);
		if (!error)
			return OK;
		if (kafka_classify(error, &code) != RETRY)
			return denied_of(err, kafka_err(err, error, NULL, "group %s: what is committed", group), error,
			                 group, topic);
		if (!kafka_call_go_on(&call, "read what is committed", &status, err))
			return err_context(err, status, "group %s", group);
		rd_kafka_poll(log->asker.client.rk, LOOK_AGAIN_MS);
	}
}

static enum status group_delete(struct kafka_log *log, const char *group, struct err *err)
{
	struct question q;
	size_t count;
	enum status status = question_begin(&q, log, RD_KAFKA_ADMIN_OP_DELETEGROUPS, err);
	if (status != OK)
		return status;
	rd_kafka_DeleteGroup_t *old = rd_kafka_DeleteGroup_new(group);
	rd_kafka_DeleteGroups(log->client.rk, &old, 1, q.options, q.queue);
	status = question_wait(&q, "delete a group", err);
	if (status == OK) {
		const rd_kafka_group_result_t **groups =
			rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(q.answer), &count);
		const rd_kafka_error_t *error = count == 1 ? rd_kafka_group_result_error(groups[0]) : NULL;
		if (error && rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND)
			status = kafka_denied(err,
			                      kafka_err(err, rd_kafka_error_code(error), rd_kafka_error_string(error),
			                                "delete group %s", group),
			                      "Delete", "Group", group);
	}
	rd_kafka_DeleteGroup_destroy(old);
	question_end(&q);
	return status;
}

enum status kafka_group_delete(struct log *base, const char *group, struct err *err)
{
	struct kafka_log *log = kafka_of(base);
	struct err own = {0};
	int64_t begin_us = seam_monotonic_us(base->seam);
	enum status status;
	do
		status = group_delete(log, group, err ? err : &own);
	while (ask_again(log, begin_us, status, err ? err : &own));
	return status;
}
