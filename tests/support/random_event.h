/* random_event: values of any event, from a seed: through the reflection tables, so that it knows every new event. Half of
 * the values are such that mistakes show: extremes, empty, null, defaults, multi-byte characters. */
#ifndef TANDEM_TESTS_RANDOM_EVENT_H
#define TANDEM_TESTS_RANDOM_EVENT_H

#include "event_reflect.h"

/* xorshift64*; any seed but 0. */
struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *rng);
size_t rng_below(struct rng *rng, size_t bound);

/* From the seed TANDEM_TEST_SEED where it is set, else from this; says how to run it again. */
struct rng rng_begin(uint64_t usual);

/* Fills *value (record->size bytes), which points into the arena. */
void random_event(struct rng *rng, const struct event_record *record, struct arena *arena, void *value);

/* Every event there is, the tests' own too, by index; NULL behind the last. */
const struct event_type *every_event_type(size_t index);

#endif
