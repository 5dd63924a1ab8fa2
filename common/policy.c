#include "policy.h"

#include <stdlib.h>
#include <string.h>

static const struct log_setting required[POLICY_SETTINGS_MAX] = {
	{"cleanup.policy", "delete"}, {"message.timestamp.type", "LogAppendTime"},
	{"retention.ms", "-1"},       {"retention.bytes", "-1"},
	{"min.insync.replicas", "2"}, {"unclean.leader.election.enable", "false"},
};

#define REQUIRED_ALWAYS 4

size_t policy_settings(bool single_replica, struct log_setting out[POLICY_SETTINGS_MAX])
{
	size_t count = single_replica ? REQUIRED_ALWAYS : POLICY_SETTINGS_MAX;
	memcpy(out, required, count * sizeof *out);
	return count;
}

static const char *value_of(const struct log_topic *topic, const char *name)
{
	for (size_t i = 0; i < topic->setting_count; i++)
		if (strcmp(topic->settings[i].name, name) == 0)
			return topic->settings[i].value;
	return NULL;
}

static bool holds(const struct log_setting *setting, const char *found)
{
	if (strcmp(setting->name, "min.insync.replicas") == 0)
		return found && atoi(found) >= 2;
	return found && strcmp(found, setting->value) == 0;
}

enum status policy_check(const struct log_topic *found, int32_t partitions, bool single_replica, struct err *err)
{
	if (!found->exists)
		return err_set(err, FATAL, "unknown_topic", "topic %s does not exist; run `tandem topics create`",
		               found->name);
	if (found->partitions != partitions)
		return err_set(
			err, FATAL, "partition_count",
			"topic %s has %d partitions, its genesis pins %d; keys would move to other partitions. Partitions"
			" cannot be taken away: create a new installation and copy the publishers' events (`tandem replay`)",
			found->name, found->partitions, partitions);
	size_t count = single_replica ? REQUIRED_ALWAYS : POLICY_SETTINGS_MAX;
	for (size_t i = 0; i < count && found->settings_known; i++) {
		const char *value = value_of(found, required[i].name);
		if (!holds(&required[i], value))
			return err_set(
				err, FATAL, "topic_settings",
				"topic %s has %s=%s, expected %s%s; set it with your Kafka tools (kafka-configs --alter)",
				found->name, required[i].name, value ? value : "(not set)",
				i == REQUIRED_ALWAYS ? ">=" : "", required[i].value);
	}
	return OK;
}
