/* sender: a publisher's records into the log, each acknowledged or told about.
 *
 * Key: the natural key's text. Partition: murmur2 of it over the count that the topic's genesis pins; without genesis
 * nothing is sent. A record stays here until it is acknowledged; where one may or may not have arrived, the producer is
 * dropped and everything unacknowledged is sent again by a new one, in order. A record that arrives twice changes
 * nothing downstream. What waits is bounded in records and bytes: taking one more waits for acknowledgements. One
 * thread. */
#ifndef TANDEM_PUBLISH_SENDER_H
#define TANDEM_PUBLISH_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "log.h"
#include "progress.h"
#include "seam.h"
#include "traces.h"

struct sender_config {
	struct log *log; /* borrowed */
	const struct seam *seam;
	int64_t rate;          /* events a second, 0: as fast as it goes */
	int64_t patience_ms;   /* gives up when nothing was acknowledged for so long */
	bool cloudevents;      /* CloudEvents 1.0 headers on every record */
	bool (*stopped)(void); /* asked while waiting; true: give up. NULL: never */
	struct traces_config traces;
	struct progress *progress; /* shown the acknowledged count; NULL: none */
};

struct sender_counts {
	int64_t taken, acknowledged, resent;
};

struct sender;

struct sender *sender_open(const struct sender_config *config);
void sender_close(struct sender *sender); /* what waits may still land */

/* Hands an event over. RETRY "interrupted": stopped() said so; RETRY else: the log did not take what waits, though it
 * was tried again; REJECT: the event or its key cannot be sent; FATAL: no genesis, or an error that no retry cures. */
enum status sender_take(struct sender *sender, const struct event_type *type, const void *event, struct err *err);

/* Looks for acknowledgements, at most for so long, and sends again what has to be. As sender_take. */
enum status sender_step(struct sender *sender, int timeout_ms, struct err *err);

void sender_flush(struct sender *sender); /* a hint: do not linger */

/* Waits until everything taken is acknowledged. As sender_take; at a stop, it waits grace_ms more. */
enum status sender_finish(struct sender *sender, int64_t grace_ms, struct err *err);

const struct sender_counts *sender_counts(const struct sender *sender);

#endif
