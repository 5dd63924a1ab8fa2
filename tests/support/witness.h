/* witness: a publisher and several readers, threads of the test, which note in a history (history.h) what they do while a test
 * lets things go wrong. Each has a handle of its own to the rig's log, and opens its readers anew at every round, so that it
 * begins at many offsets. Followers read every topic of the installation from its beginning and go on after every error where
 * they were; one reader more goes back at random and reads again what it knows.
 *
 *   witness_open(&rig, 2);
 *   witness_publish(rig.witness, &(struct generate_options){...}, 300);
 *   ... faults; then, when all is drained and the workers have ended ...
 *   witness_expect_none(&rig);
 *
 * What the publisher is told is not there, or not known to be, it sends again under another id until all is acknowledged.
 * Called from the test's thread alone. */
#ifndef TANDEM_TESTS_WITNESS_H
#define TANDEM_TESTS_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "../../producers/publish/generate.h"
#include "history.h"
#include "rig.h"

struct witness;

/* rig->witness; rig_close closes it. The topics must be there. The readers begin at once. */
void witness_open(struct rig *rig, int followers);

/* Begins to publish what the options generate, at so many events a second (0: as fast as it goes). One at a time. */
void witness_publish(struct witness *witness, const struct generate_options *options, int64_t rate);
/* The same with orders of 1 to 4 lines over RIG_SKUS, one in 15 of them cancelled. */
void witness_orders(struct witness *witness, int64_t orders, uint64_t seed, int64_t rate);
/* Is everything acknowledged? Fails the test where the publisher has given up. */
bool witness_has_published(struct witness *witness);
/* Waits for it, at most so long. */
void witness_published(struct rig *rig, int seconds_max);
/* Nothing more is generated; waits until what was is acknowledged. Returns how many orders that are. For a test that needs
 * orders until it has seen something, however long that takes: WITNESS_ENDLESS of them. */
int64_t witness_enough(struct rig *rig, int seconds_max);
#define WITNESS_ENDLESS 10000000

/* Waits until what is published is acknowledged and every reader has read every partition to its end as of now, and judges. */
void witness_end(struct rig *rig, struct history_result *out);
/* The same, and fails the test unless nothing is wrong. */
void witness_expect_none(struct rig *rig);

void witness_close(struct witness *witness); /* NULL is fine */

#endif
