/* plan: which topics an installation has, and how each must be, derived from the services' descriptions. Pure functions. */
#ifndef TANDEM_TOPICS_PLAN_H
#define TANDEM_TOPICS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"
#include "config.h"
#include "events.h"
#include "policy.h"

#define PLAN_PARTITIONS_DEFAULT 4
#define PLAN_PARTITIONS_MAX     10000
#define PLAN_SETTINGS_MAX       (POLICY_SETTINGS_MAX + 1)

struct plan_request {
	int32_t partitions;               /* of every input */
	struct config_list partitions_of; /* TOPIC=N, for single inputs */
};

/* The topics, sorted by name, in the arena: every service's input, a dead-letter topic for each, and the outputs.
 *
 * An input of a service that writes is partitioned by key: its count is free. What only outsiders and services without
 * outputs read has the count of the input it is written from, since a writer keeps its partition; a dead-letter topic that of
 * its topic. Topics for outsiders carry CloudEvents headers, all others the compact one.
 * REJECT "usage": partitions_of makes no sense; the text names it. */
enum status plan_topics(const struct command *const *all, size_t count, const struct plan_request *request,
                        struct arena *arena, struct genesis_topic_array *out, struct err *err);

/* The settings a topic of this name gets: the policy's, and how large a record may be. Values have static storage. */
size_t plan_settings(const char *topic, bool single_replica, struct log_setting out[PLAN_SETTINGS_MAX]);

#endif
