/* verify: is a task's file what its log determines? Folds the log afresh up to the file's position and compares every
 * table: positions, running hashes, streams, gaps, and all rows of the worker.
 *
 * Works on a consistent copy of a live file while its worker runs. Blocking; one call a thread, each with a log of its own. */
#ifndef TANDEM_VERIFY_H
#define TANDEM_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "log.h"
#include "refold.h"
#include "service.h"

struct verify_config {
	const struct service *service;
	struct log *log;
	const char *data;
	int32_t partition;
	size_t memory_bytes; /* of the fold, as in task_config */
	bool reverse;
	bool (*progress)(void *arg, int32_t partition, int64_t records); /* as in refold_config */
	void *arg;
};

struct verify_difference {
	char table[64];
	char key[256];    /* "order_id='536365'" */
	char column[64];  /* "" where the row is on one side only */
	char file[256];   /* the value in the file; "no row" */
	char folded[256]; /* the value that the log gives; "no row" */
	int64_t offset;   /* of the last record that wrote that row when folded; -1: no record */
};

struct verify_result {
	bool same;
	int64_t records, next_offset;
	uint64_t state_hash;                 /* over all compared tables of the file: equal states, equal hashes */
	struct verify_difference difference; /* the first, where not same */
};

/* OK: compared, see result. REJECT "no_file": there is nothing to verify. FATAL, RETRY: it could not be done. */
enum status verify_partition(const struct verify_config *config, struct verify_result *result, struct err *err);

/* Compares two open tasks of one service, table by table: the part of verify_partition that folds nothing. What is
 * committed and what is not are seen alike. Of *result, same, difference (without its offset) and state_hash are set. */
enum status verify_tasks(struct task *file, struct task *folded, struct verify_result *result, struct err *err);

#endif
