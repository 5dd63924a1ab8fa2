/* log_settings: a topic's settings where we are the log ourselves (local:). Private to log*.c.
 *
 * They are Kafka's names. Those that the local logs can only do one way (delete, never; append time) are refused with
 * another value, since a setting that is kept and not honoured would lie; all others are kept as given. */
#ifndef TANDEM_LOG_SETTINGS_H
#define TANDEM_LOG_SETTINGS_H

#include "log.h"

/* REJECT "invalid": a setting or a replica count that is not honoured here. */
enum status log_settings_check(const struct log_topic *topic, struct err *err);

/* The settings with the defaults of what was not given, sorted by name, copied into the arena. */
const struct log_setting *log_settings_effective(const struct log_setting *given, size_t given_count,
                                                 struct arena *arena, size_t *count);
int64_t log_settings_record_bytes_max(const struct log_setting *settings, size_t count);

/* What a record counts against max.message.bytes: about what it takes in a batch of its own. */
int64_t log_settings_record_bytes(const struct log_record *record);

#endif
