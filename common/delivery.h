/* delivery: records into a log, each acknowledged or told about. For tools that publish and copy; workers number their
 * outputs, and roll back instead.
 *
 * A record stays here until it is acknowledged. Where one may or may not have arrived, the producer is dropped and everything
 * unacknowledged is sent again by a new one, in order: a record may arrive twice, none is lost. What waits is bounded in
 * records and bytes: taking one more waits for acknowledgements. One thread. */
#ifndef TANDEM_DELIVERY_H
#define TANDEM_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "log.h"
#include "progress.h"
#include "seam.h"

struct delivery_config {
	struct log *log; /* borrowed */
	const struct seam *seam;
	int64_t patience_ms;       /* gives up when nothing was acknowledged for so long */
	bool (*stopped)(void);     /* asked while waiting; true: give up. NULL: never */
	struct progress *progress; /* shown the acknowledged count; NULL: none */
};

struct delivery_counts {
	int64_t taken, acknowledged, resent;
};

struct delivery;

struct delivery *delivery_open(const struct delivery_config *config);
void delivery_close(struct delivery *delivery); /* what waits may still land. NULL is fine */

/* Where a record came from, in the caller's terms. */
struct delivery_origin {
	const void *from;
	int64_t offset;
};

/* Hands a record over: key, value, headers and partition, copied.
 * RETRY "interrupted": stopped() said so; RETRY else: the log did not take what waits, though it was tried again; FATAL: an
 * error that no retry cures. */
enum status delivery_take(struct delivery *delivery, const char *topic, const struct log_record *record,
                          struct delivery_origin origin, struct err *err);

/* Looks for acknowledgements, at most for so long, and sends again what has to be. As delivery_take. */
enum status delivery_step(struct delivery *delivery, int timeout_ms, struct err *err);

void delivery_flush(struct delivery *delivery); /* a hint: do not linger */

/* Waits until everything taken is acknowledged. As delivery_take; at a stop, it waits grace_ms more. */
enum status delivery_finish(struct delivery *delivery, int64_t grace_ms, struct err *err);

/* The lowest offset of the records from `from` that are not acknowledged. False: there is none. */
bool delivery_oldest(const struct delivery *delivery, const void *from, int64_t *offset);

const struct delivery_counts *delivery_counts(const struct delivery *delivery);

#endif
