/* librdkafka's properties: merged by name over the sources, and kept from what the protocol rests on. */
#include "config_private.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ENV_PREFIX        "TANDEM_X_"
#define COOPERATIVE_SINCE 0x020a0000 /* 2.10 */

extern char **environ;

static const struct {
	const char *name, *reason;
} refused[] = {
	{"group.id", "it is the service's name, and its marks are kept under it"},
	{"enable.auto.commit", "offsets are committed with the mark, after the task's file"},
	{"auto.commit.enable", "offsets are committed with the mark, after the task's file"},
	{"enable.auto.offset.store", "offsets are committed with the mark, after the task's file"},
	{"auto.offset.reset", "a worker never resets an offset by itself"},
	{"isolation.level", "it is always read_committed: readers see committed records only"},
	{"check.crcs", "it is always on: a flipped bit must not be folded"},
	{"enable.partition.eof", "it is always on: reading ends at the partition's end, never at a computed offset"},
	{"enable.idempotence", "it is always on: order within a partition rests on it"},
	{"acks", "it is always all: an output counts only when every in-sync replica has it"},
	{"request.required.acks", "it is always all: an output counts only when every in-sync replica has it"},
	{"partitioner", "partitions are computed (murmur2 over the pinned count) and passed explicitly"},
	{"message.timeout.ms", "a message that times out before one that is written leaves a gap"},
	{"delivery.timeout.ms", "a message that times out before one that is written leaves a gap"},
	{"message.max.bytes", "what a record may hold belongs to the logic version, and the topics are sized for it"},
	{"transactional.id", "the protocol does without Kafka's transactions"},
	{"session.timeout.ms", "it is given by --session-timeout"},
	{"max.poll.interval.ms", "it is the session's time, which --session-timeout gives"},
	{"heartbeat.interval.ms", "it follows from the session's time, which --session-timeout gives"},
	{"group.instance.id", "it is given by --instance-id"},
	{"allow.auto.create.topics",
         "it is always off: `tandem topics create` makes topics, with the partitions they keep"},
	{"bootstrap.servers", "the brokers are given by --log or -b"},
	{"metadata.broker.list", "the brokers are given by --log or -b"},
};

const char *config_property_refused(const char *name, const char *value, int librdkafka_version)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		if (strcasecmp(name, refused[i].name) == 0)
			return refused[i].reason;
	}
	if (strcasecmp(name, "partition.assignment.strategy") == 0 && strcasestr(value, "cooperative") &&
	    librdkafka_version < COOPERATIVE_SINCE)
		return "a cooperative assignment loses commits during a rebalance in librdkafka before 2.10";
	return NULL;
}

static bool is_secret(const char *name)
{
	static const char *const words[] = {"password", "secret", "token", "ssl.key.pem", "jaas", "oauthbearer.config"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcasestr(name, words[i]))
			return true;
	}
	return false;
}

/* Sets name to value; a later call wins. The settings have room for everything. */
static void merge(struct config *config, const char *name, const char *value)
{
	for (size_t i = 0; i < config->setting_count; i++) {
		if (strcmp(config->settings[i].name, name) == 0) {
			config->settings[i].value = value;
			return;
		}
	}
	config->settings[config->setting_count++] = (struct log_setting){name, value};
}

/* "name" or "name-file" and its value. */
static bool take(struct config_state *state, struct config *config, const char *name, const char *value)
{
	static const char suffix[] = "-file";
	size_t len = strlen(name);
	if (len > sizeof suffix - 1 && strcmp(name + len - (sizeof suffix - 1), suffix) == 0) {
		name = arena_copy(&state->arena, name, len - (sizeof suffix - 1));
		value = config_read_file(state, value);
		if (!value)
			return false;
	}
	const char *reason = config_property_refused(name, value, log_kafka_version());
	if (reason)
		return config_complain(state, "property '%s' cannot be set: %s", name, reason);
	merge(config, name, value);
	return true;
}

/* What stands on a command line everybody on the machine can read. */
static bool refuse_shown(struct config_state *state, const char *name)
{
	return config_complain(
		state,
		"'-X %s=...': a command line can be read by every user of this machine; put the value into a"
		" file: -X %s-file=PATH",
		name, name);
}

static bool take_pair(struct config_state *state, struct config *config, const char *pair, bool shown)
{
	const char *equals = strchr(pair, '=');
	if (!equals || equals == pair)
		return config_complain(state, "'-X %s': found no name=value, expected for example -X client.id=shop",
		                       pair);
	const char *name = arena_copy(&state->arena, pair, (size_t)(equals - pair));
	size_t len = strlen(name);
	if (shown && is_secret(name) && !(len > 5 && strcmp(name + len - 5, "-file") == 0))
		return refuse_shown(state, name);
	return take(state, config, name, equals + 1);
}

/* TANDEM_X_SSL_CA_LOCATION=path is ssl.ca.location, TANDEM_X_SASL_PASSWORD_FILE=path is sasl.password-file. */
static bool take_environment(struct config_state *state, struct config *config, const char *variable)
{
	const char *equals = strchr(variable, '=');
	size_t len = (size_t)(equals - variable) - (sizeof ENV_PREFIX - 1);
	char *name = arena_copy(&state->arena, variable + sizeof ENV_PREFIX - 1, len);
	for (char *c = name; *c; c++)
		*c = (char)(*c == '_' ? '.' : *c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	if (len > 5 && strcmp(name + len - 5, ".file") == 0)
		name[len - 5] = '-';
	return take(state, config, name, arena_copy(&state->arena, equals + 1, strlen(equals + 1)));
}

static bool from_environment(const char *variable)
{
	return strncmp(variable, ENV_PREFIX, sizeof ENV_PREFIX - 1) == 0 && strchr(variable, '=') &&
	       variable[sizeof ENV_PREFIX - 1] != '=';
}

static bool take_list(struct config_state *state, struct config *config, const struct config_list *list, bool shown)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!take_pair(state, config, list->items[i], shown))
			return false;
	}
	return true;
}

bool config_properties(struct config_state *state, struct config *config)
{
	const struct config_list *in_file = &state->properties[FROM_FILE], *in_flags = &state->properties[FROM_FLAG];
	size_t room = in_file->count + in_flags->count;
	for (char **variable = environ; *variable; variable++)
		room += from_environment(*variable);
	config->settings = arena_alloc(&state->arena, room * sizeof *config->settings);
	if (!take_list(state, config, in_file, false))
		return false;
	for (char **variable = environ; *variable; variable++) {
		if (from_environment(*variable) && !take_environment(state, config, *variable))
			return false;
	}
	return take_list(state, config, in_flags, true);
}

void config_print_properties(const struct config *config)
{
	for (size_t i = 0; i < config->setting_count; i++)
		printf("property = %s=%s\n", config->settings[i].name,
		       is_secret(config->settings[i].name) ? "(redacted)" : config->settings[i].value);
}
