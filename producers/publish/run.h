/* run: one `tandem publish`: check all there is, send it, say what became of it. */
#ifndef TANDEM_PUBLISH_RUN_H
#define TANDEM_PUBLISH_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "generate.h"
#include "json.h"
#include "log.h"
#include "retail.h"
#include "sender.h"

enum publish_source { PUBLISH_JSONL, PUBLISH_CSV, PUBLISH_GENERATED };

struct publish_options {
	enum publish_source source;
	const char *const *files; /* JSON lines: any number; CSV: one; "-" is stdin */
	size_t file_count;
	struct retail_options retail;
	struct generate_options generate;
	bool dry_run;
	struct sender_config sender; /* log NULL in a dry run; progress is set here */
	FILE *errors;                /* where wrong lines are told, each with file, line and field */
};

struct publish_type_count {
	const struct event_type *type;
	int64_t events;
};

struct publish_result {
	struct publish_type_count types[8]; /* handed over, in a dry run checked; a NULL type ends them */
	int64_t total;                      /* events there are to send; -1: unknown, a stream */
	struct sender_counts sent;
	bool has_rows; /* a CSV: */
	int64_t rows, row_counts[RETAIL_ROW_KINDS], notes[RETAIL_NOTES];
};

/* OK: every event is acknowledged (dry run: may be sent). REJECT "told": the input is wrong, and errors has it; else as
 * sender_take. result is filled in any case. Files are checked whole before the first record is sent. */
enum status publish_run(const struct publish_options *options, struct publish_result *result, struct err *err);

void publish_print(const struct publish_result *result, bool dry_run, FILE *out);       /* a table */
json_t *publish_json(const struct publish_result *result, bool dry_run, bool complete); /* the caller's reference */

#endif
