/* resend: heals a stream whose destination has lost what it had acknowledged. Folds the input from its beginning with its
 * state thrown away, and sends the outputs of one stream from a number on. Readers drop repeats, so it is safe at any time,
 * beside running workers.
 *
 * A live worker may write a later number between ours, and a reader that stands before the gap consumes it as one more gap.
 * So after the last of ours is acknowledged the destination is read back: while a higher number of the stream stands
 * before it, that is folded and sent too, and looked at again. Blocks for as long as folding takes;
 * progress may end it. One call a thread, each with a log of its own. */
#ifndef TANDEM_RESEND_H
#define TANDEM_RESEND_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "log.h"
#include "service.h"

struct resend_config {
	const struct service *service;
	struct log *log;
	const struct seam *seam; /* for the time it waits; NULL: the machine's */
	int32_t partition;       /* of the input: the stream's source */
	const char *topic;       /* one of the service's outputs, or its dead-letter topic */
	int32_t to_partition;
	int64_t from;                                                    /* the first number to send, at least 1 */
	bool dry_run;                                                    /* counts, sends nothing */
	bool (*progress)(void *arg, int32_t partition, int64_t records); /* as in refold_config */
	void *arg;
};

struct resend_result {
	int64_t folded, sent, first, last; /* numbers; 0: none was sent */
	int rounds;                        /* how often the destination was looked at */
};

/* RETRY: a passing fault; run it again. REJECT "usage": no such output. FATAL: what refold or the producer says. */
enum status resend_stream(const struct resend_config *config, struct resend_result *result, struct err *err);

#endif
