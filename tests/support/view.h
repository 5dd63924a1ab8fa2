/* view: an installation as an outside reader sees it who drops repeats: of each source's stream the next number is taken,
 * whatever else comes is a repeat or too early. What is taken is checked against the chain. */
#ifndef TANDEM_TESTS_VIEW_H
#define TANDEM_TESTS_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "rig.h"

struct view {
	uint64_t hash;          /* over every stream: topic, partition, source, and each event taken in its order */
	int64_t taken, dropped; /* numbered records */
	int64_t dead_letters;   /* taken from .dlq topics */
	int64_t placed, confirmed, rejected, cancelled, cancel_requests; /* orders; placed: different ids */
};

/* Reads all topics. Fails the test where a chain does not hold, where a stream's numbers are not dense in the end, where an
 * order that was placed has no end or more than one, where one has an end that was not placed, or a requested cancel has
 * been forgotten. */
void view_read(struct rig *rig, struct view *view);

#endif
