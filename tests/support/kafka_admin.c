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

/* ---- access control ---- */

static rd_kafka_AclOperation_t operation_named(const char *name)
{
	static const struct {
		const char *name;
		rd_kafka_AclOperation_t operation;
	} all[] = {{"Read", RD_KAFKA_ACL_OPERATION_READ},
	           {"Write", RD_KAFKA_ACL_OPERATION_WRITE},
	           {"Create", RD_KAFKA_ACL_OPERATION_CREATE},
	           {"Delete", RD_KAFKA_ACL_OPERATION_DELETE},
	           {"Describe", RD_KAFKA_ACL_OPERATION_DESCRIBE},
	           {"DescribeConfigs", RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS}};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i].operation;
	fail_msg("%s is no operation that these tests know", name);
	return RD_KAFKA_ACL_OPERATION_UNKNOWN;
}

static rd_kafka_ResourceType_t resource_named(const char *name)
{
	return strcmp(name, "Group") == 0 ? RD_KAFKA_RESOURCE_GROUP : RD_KAFKA_RESOURCE_TOPIC;
}

static rd_kafka_AclBindingFilter_t *filter_of(const struct kafka_acl *acl)
{
	char text[200];
	rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
		resource_named(acl->resource), acl->name, RD_KAFKA_RESOURCE_PATTERN_LITERAL, acl->principal, "*",
		operation_named(acl->operation), RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof text);
	assert_non_null(filter);
	return filter;
}

/* What the broker goes by: it hears of a change a moment after the controller has taken it. */
static void await_acl(const struct kafka_acl *acl, bool there)
{
	for (int i = 0; i < 600; i++) {
		struct admin admin;
		size_t count = 0;
		rd_kafka_AclBindingFilter_t *filter = filter_of(acl);
		begin(&admin);
		rd_kafka_DescribeAcls(admin.client, filter, NULL, admin.queue);
		await(&admin);
		const rd_kafka_DescribeAcls_result_t *result = rd_kafka_event_DescribeAcls_result(admin.answer);
		if (result)
			rd_kafka_DescribeAcls_result_acls(result, &count);
		rd_kafka_AclBinding_destroy(filter);
		assert_string_equal(end(&admin, 0), "");
		if ((count > 0) == there)
			return;
	}
	fail_msg("the broker does not go by %s on %s %s", acl->operation, acl->resource, acl->name);
}

const char *kafka_admin_grant(const struct kafka_acl *acls, size_t count)
{
	struct admin admin;
	char text[200];
	size_t results = 0;
	rd_kafka_AclBinding_t **bindings = calloc(count, sizeof(rd_kafka_AclBinding_t *));
	assert_non_null(bindings);
	begin(&admin);
	for (size_t i = 0; i < count; i++) {
		bindings[i] = rd_kafka_AclBinding_new(resource_named(acls[i].resource), acls[i].name,
		                                      RD_KAFKA_RESOURCE_PATTERN_LITERAL, acls[i].principal, "*",
		                                      operation_named(acls[i].operation),
		                                      RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof text);
		assert_non_null(bindings[i]);
	}
	rd_kafka_CreateAcls(admin.client, bindings, count, NULL, admin.queue);
	await(&admin);
	const rd_kafka_CreateAcls_result_t *result = rd_kafka_event_CreateAcls_result(admin.answer);
	const rd_kafka_acl_result_t **each = result ? rd_kafka_CreateAcls_result_acls(result, &results) : NULL;
	rd_kafka_resp_err_t error = 0;
	for (size_t i = 0; i < results && !error; i++)
		if (rd_kafka_acl_result_error(each[i]))
			error = rd_kafka_error_code(rd_kafka_acl_result_error(each[i]));
	rd_kafka_AclBinding_destroy_array(bindings, count);
	free(bindings);
	const char *said = end(&admin, error);
	if (!*said)
		await_acl(&acls[count - 1], true);
	return said;
}

const char *kafka_admin_revoke(const struct kafka_acl *acl)
{
	struct admin admin;
	rd_kafka_AclBindingFilter_t *filter = filter_of(acl);
	begin(&admin);
	rd_kafka_DeleteAcls(admin.client, &filter, 1, NULL, admin.queue);
	await(&admin);
	rd_kafka_AclBinding_destroy(filter);
	const char *said = end(&admin, 0);
	if (!*said)
		await_acl(acl, false);
	return said;
}
