/* publish: what the parts of `tandem publish` share.
 *
 *   input_*     where lines come from: a file, or a stream that is waited for without stopping the sender
 *   csv_*       RFC 4180
 *   retail_*    Online Retail's CSV to orders and receipts
 *   generate_*  orders from a seed
 *   sender_*    to the log: keys, partitions, acknowledgements, sending again
 *
 * A source hands its events to a sink, one by one and in order. Checking is a sink that counts; sending is the
 * sender's. */
#ifndef TANDEM_PUBLISH_H
#define TANDEM_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "event.h"

/* Takes an event, which is only borrowed. Not OK: the source stops and returns that status. */
struct publish_sink {
	enum status (*take)(void *arg, const struct event_type *type, const void *event, struct err *err);
	void *arg;
};

static inline enum status publish_take(const struct publish_sink *sink, const struct event_type *type,
                                       const void *event, struct err *err)
{
	return sink->take(sink->arg, type, event, err);
}

/* Which of its events a source gives. */
enum publish_only { PUBLISH_ALL, PUBLISH_RECEIPTS, PUBLISH_ORDERS };

/* Is a share of 1 in n, chosen by the seed, this one? n 0: never. The same answer for the same arguments for ever. */
bool publish_chosen(uint64_t seed, const char *id, int64_t n);

/* A well mixed number of the seed and a number (SplitMix64, Steele, Lea and Flood, 2014). */
uint64_t publish_mix(uint64_t seed, uint64_t number);

/* The place of id in a seeded order: FNV-1a through publish_mix. */
uint64_t publish_hash(uint64_t seed, const char *id);

#endif
