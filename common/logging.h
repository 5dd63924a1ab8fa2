/* logging: one line an event on stderr: a JSON object (ts, level, msg, service and typed fields), or plain text where
 * stderr is a terminal.
 *
 * msg is a constant text; what varies goes into fields, under the names that docs/operations.md lists (topic,
 * partition, offset, event_id, order_id, trace_id, span_id, reason, ...). That is what lines are counted by: of one
 * level and msg at most LOGGING_BURST are written within LOGGING_WINDOW_MS; the rest is counted, and the count goes out
 * with the next line of that msg (`"repeated": n`), by logging_poll or by logging_free. Bytes that are no UTF-8 are
 * written as U+FFFD, control characters escaped: nothing that comes from a record can forge a line or drive a terminal.
 *
 * A struct logging is passed to whoever logs; NULL is fine everywhere and logs nothing. Thread-safe. */
#ifndef TANDEM_LOGGING_H
#define TANDEM_LOGGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "seam.h"

#define LOGGING_BURST     10
#define LOGGING_WINDOW_MS 10000

enum logging_level { LOGGING_DEBUG, LOGGING_INFO, LOGGING_WARNING, LOGGING_ERROR };
enum logging_format { LOGGING_AUTO, LOGGING_JSON, LOGGING_PLAIN }; /* auto: plain on a terminal, else JSON */

struct logging_config {
	const struct seam *seam;  /* required: ts is its wall clock, windows are its monotonic one */
	FILE *out;                /* NULL: stderr. Borrowed */
	enum logging_level level; /* lines below it are not written */
	enum logging_format format;
	const char *service; /* a field of every line; copied. NULL: none */
};

struct logging;

struct logging *logging_new(const struct logging_config *config);
void logging_free(struct logging *logging); /* writes the counts that are left */
void logging_poll(struct logging *logging); /* writes the counts whose window is over; call now and then */

enum logging_kind { LOGGING_KIND_TEXT, LOGGING_KIND_INT, LOGGING_KIND_BOOL };

struct logging_field {
	const char *name;
	enum logging_kind kind;
	const char *text; /* NULL: the field is left out */
	int64_t number;
};

#define LOGGING_TEXT(name, value) ((struct logging_field){(name), LOGGING_KIND_TEXT, (value), 0})
#define LOGGING_INT(name, value)  ((struct logging_field){(name), LOGGING_KIND_INT, NULL, (value)})
#define LOGGING_BOOL(name, value) ((struct logging_field){(name), LOGGING_KIND_BOOL, NULL, (value)})

/* logging_write(logging, LOGGING_INFO, "task opened", LOGGING_TEXT("topic", t), LOGGING_INT("partition", p)); */
#define logging_write(logging, level, ...) LOGGING_ARGUMENTS(logging, level, __VA_ARGS__, {0})
#define LOGGING_ARGUMENTS(logging, level, msg, ...)                                                                    \
	logging_write_fields((logging), (level), (msg), (const struct logging_field[]){__VA_ARGS__})

/* fields end with one whose name is NULL. */
void logging_write_fields(struct logging *logging, enum logging_level level, const char *msg,
                          const struct logging_field *fields);

extern const char *const logging_levels[];  /* names by enum logging_level, NULL behind the last */
extern const char *const logging_formats[]; /* "auto", "json", "text" */

#endif
