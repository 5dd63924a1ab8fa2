/* policy: the settings that every topic of an installation must have, or the fold could not be repeated. `tandem topics
 * create` sets them, workers check them at start and every ten minutes. Pure functions. */
#ifndef TANDEM_POLICY_H
#define TANDEM_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define POLICY_SETTINGS_MAX 6

/* Fills out with the required settings (static storage); returns how many. An installation with single_replica is let off
 * the last two: min.insync.replicas>=2 and unclean.leader.election.enable=false. */
size_t policy_settings(bool single_replica, struct log_setting out[POLICY_SETTINGS_MAX]);

/* Is the topic as it must be? FATAL: unknown_topic; partition_count (another than pinned); topic_settings, naming the first
 * setting that differs, what it is, what it must be, and what to do. Settings that may not be read are passed over: see
 * found->settings_known. */
enum status policy_check(const struct log_topic *found, int32_t partitions, bool single_replica, struct err *err);

#endif
