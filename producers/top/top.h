/* The parts of tandem top: a table of partitions, who fills it (the files of this machine, or workers asked over HTTP), and how it
 * is shown. */
#ifndef TANDEM_PRODUCERS_TOP_H
#define TANDEM_PRODUCERS_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "mem.h"
#include "seam.h"

struct top_row { /* one partition of a service; -1: not known */
	const char *service, *state;
	const char *wrong; /* "": nothing */
	const char *url;   /* of the worker that was asked; NULL: its files were read */
	int32_t partition;
	int64_t next_offset, per_second, lag, behind_ms, latency_us;
	bool running, halted, silent; /* silent: wrong says why there is no more */
};

struct top_table { /* of one look */
	struct top_row *rows;
	size_t count;
	struct arena arena; /* texts */
	bool remote;        /* rows have a latency and a URL */
};

void top_table_reset(struct top_table *table);
void top_table_fini(struct top_table *table);
struct top_row *top_table_add(struct top_table *table, const char *service,
                              int32_t partition); /* valid until the next */

/* What a source is told of its command line. */
struct top_settings {
	const struct config *config; /* operands: only these services */
	const struct seam *seam;
	const char *data;
	struct config_list urls;
	int64_t timeout_ms; /* for an answer over HTTP */
};

/* The files of this machine's workers, and the log. */
struct top_files;
/* NULL: said on stderr, and *exit_status set. */
struct top_files *top_files_open(const struct top_settings *settings, int *exit_status);
void top_files_close(struct top_files *files); /* NULL is fine */
void top_files_look(struct top_files *files, struct top_table *table);

/* Workers anywhere, asked for /metrics. All of them at a time, so that one that does not answer holds nobody up. */
struct top_workers;
struct top_workers *top_workers_open(const struct top_settings *settings, int *exit_status);
void top_workers_close(struct top_workers *workers);                         /* NULL is fine */
bool top_workers_look(struct top_workers *workers, struct top_table *table); /* false: nobody has answered */

/* Each writes the whole table to stdout. */
void top_show_plainly(struct top_table *table, const struct seam *seam);
void top_show_on_terminal(struct top_table *table, const struct seam *seam);
void top_show_json(const struct top_table *table, const struct seam *seam);

#endif
