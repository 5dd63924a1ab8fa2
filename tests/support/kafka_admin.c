#include "kafka_admin.h"

#include <librdkafka/rdkafka.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ANSWER_MS 30000

struct admin {
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *answer;
};

static const char *full_name(struct rig *rig, const char *name)
{
	return arena_format(&rig->arena, "%s%s%s", rig->name_space, *rig->name_space ? "." : "", name);
}

static void begin(struct admin *admin)
{
	char text[200];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (rd_kafka_conf_set(conf, "bootstrap.servers", getenv("KAFKA"), text, sizeof text) != RD_KAFKA_CONF_OK)
		fail_msg("%s", text);
	admin->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	assert_non_null(admin->client);
	admin->queue = rd_kafka_queue_new(admin->client);
}

static void await(struct admin *admin)
{
	admin->answer = rd_kafka_queue_poll(admin->queue, ANSWER_MS);
	assert_non_null(admin->answer);
}

static const char *end(struct admin *admin, rd_kafka_resp_err_t of_one)
{
	rd_kafka_resp_err_t error = rd_kafka_event_error(admin->answer);
	rd_kafka_event_destroy(admin->answer);
	rd_kafka_queue_destroy(admin->queue);
	rd_kafka_destroy(admin->client);
	error = error ? error : of_one;
	return error ? rd_kafka_err2name(error) : "";
}

static rd_kafka_resp_err_t error_in(const rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; list && i < list->cnt; i++)
		if (list->elems[i].err)
			return list->elems[i].err;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

const char *kafka_admin_delete_records(struct rig *rig, const char *topic, int32_t partition, int64_t before)
{
	struct admin admin;
	begin(&admin);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, full_name(rig, topic), partition)->offset = before;
	rd_kafka_DeleteRecords_t *what = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(admin.client, &what, 1, NULL, admin.queue);
	await(&admin);
	const rd_kafka_DeleteRecords_result_t *result = rd_kafka_event_DeleteRecords_result(admin.answer);
	rd_kafka_resp_err_t error = result ? error_in(rd_kafka_DeleteRecords_result_offsets(result)) : 0;
	rd_kafka_DeleteRecords_destroy(what);
	rd_kafka_topic_partition_list_destroy(list);
	return end(&admin, error);
}

const char *kafka_admin_add_partitions(struct rig *rig, const char *topic, int32_t count)
{
	struct admin admin;
	char text[200];
	size_t results;
	begin(&admin);
	rd_kafka_NewPartitions_t *what =
		rd_kafka_NewPartitions_new(full_name(rig, topic), (size_t)count, text, sizeof text);
	assert_non_null(what);
	rd_kafka_CreatePartitions(admin.client, &what, 1, NULL, admin.queue);
	await(&admin);
	const rd_kafka_CreatePartitions_result_t *result = rd_kafka_event_CreatePartitions_result(admin.answer);
	const rd_kafka_topic_result_t **topics =
		result ? rd_kafka_CreatePartitions_result_topics(result, &results) : NULL;
	rd_kafka_resp_err_t error = topics ? rd_kafka_topic_result_error(topics[0]) : 0;
	rd_kafka_NewPartitions_destroy(what);
	return end(&admin, error);
}

const char *kafka_admin_delete_offsets(struct rig *rig, const char *group, const char *topic, int32_t partitions)
{
	struct admin admin;
	size_t results;
	begin(&admin);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	for (int32_t p = 0; p < partitions; p++)
		rd_kafka_topic_partition_list_add(list, full_name(rig, topic), p);
	rd_kafka_DeleteConsumerGroupOffsets_t *what =
		rd_kafka_DeleteConsumerGroupOffsets_new(full_name(rig, group), list);
	rd_kafka_DeleteConsumerGroupOffsets(admin.client, &what, 1, NULL, admin.queue);
	await(&admin);
	const rd_kafka_DeleteConsumerGroupOffsets_result_t *result =
		rd_kafka_event_DeleteConsumerGroupOffsets_result(admin.answer);
	const rd_kafka_group_result_t **groups =
		result ? rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &results) : NULL;
	const rd_kafka_error_t *failed = groups ? rd_kafka_group_result_error(groups[0]) : NULL;
	rd_kafka_resp_err_t error = failed ? rd_kafka_error_code(failed) : 0;
	if (!error && groups)
		error = error_in(rd_kafka_group_result_partitions(groups[0]));
	rd_kafka_DeleteConsumerGroupOffsets_destroy(what);
	rd_kafka_topic_partition_list_destroy(list);
	return end(&admin, error);
}
