/* refold: folding a log again from its beginning, with nothing sent: what verify, rebuild, resend and audit share. */
#ifndef TANDEM_REFOLD_H
#define TANDEM_REFOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "log.h"
#include "service.h"
#include "task.h"

struct refold;

struct refold_config {
	const struct service *service;
	struct log *log; /* borrowed */
	int32_t partition;
	const char *path; /* the file to fold into, fresh; NULL: in memory */
	bool scratch;     /* no fsync, no journal on disk */
	bool reverse;
	size_t memory_bytes; /* as in task_config */
	/* Called every few thousand records with how many were folded so far; false stops (RETRY "interrupted"). NULL: none. */
	bool (*progress)(void *arg, int32_t partition, int64_t records);
	void *arg;
};

/* FATAL "retention" where the log does not begin at offset 0; genesis_read's codes. *out is the caller's: refold_close. */
enum status refold_open(const struct refold_config *config, struct refold **out, struct err *err);
void refold_close(struct refold *refold); /* what is not committed is gone. NULL is fine */

/* Folds the next record. *folded is false at the end of the log (waits at most timeout_ms for more) and where the next
 * record stands at or behind the offset `until` (-1: no limit), which is then not consumed. */
enum status refold_next(struct refold *refold, int64_t until, int timeout_ms, bool *folded, struct err *err);

/* refold_next until it folds no more, then commits. */
enum status refold_to(struct refold *refold, int64_t until, struct err *err);

struct task *refold_task(struct refold *refold);
int64_t refold_records(const struct refold *refold);

#endif
