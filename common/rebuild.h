/* rebuild: a task's file made again from the log, up to the mark and never further: what lies behind the mark may not have
 * been sent, and is folded by `run` with outputs on. Blocks for as long as folding takes; progress may end it. One
 * call a thread, each with a log of its own. */
#ifndef TANDEM_REBUILD_H
#define TANDEM_REBUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "log.h"
#include "service.h"

struct rebuild_config {
	const struct service *service;
	struct log *log;
	const char *data;
	int32_t partition;
	size_t memory_bytes; /* of the fold, as in task_config */
	bool (*progress)(void *arg, int32_t partition, int64_t records); /* as in refold_config */
	void *arg;
};

/* Replaces the file by one that is folded up to the mark. REJECT "no_mark": no mark is committed, nothing was done. RETRY
 * "locked": a worker holds the partition. FATAL "mark_record", "mark_differs": the mark is not of this log, nothing was
 * replaced. */
enum status rebuild_partition(const struct rebuild_config *config, int64_t *records, struct err *err);

#endif
