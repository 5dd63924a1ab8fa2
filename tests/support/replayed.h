/* What the tests of replay share: two logs over local::memory:, a topic `plain` in the first, and a selection of its records.
 * A test program has one; asserts, so on the main thread only. */
#ifndef TESTS_SUPPORT_REPLAYED_H
#define TESTS_SUPPORT_REPLAYED_H

#include "../../producers/replay/replay.h"
#include "flow.h"

struct replayed {
	struct flow flow;
	struct log_memory *memory; /* a second log */
	struct log *other;
	struct arena arena;
	struct replay_selection selection;
	struct replay_result result;
	struct replay_slice *slices;
	size_t slice_count;
	struct err err;
	bool (*stopped)(void); /* is asked before each record */
};

extern const char *const replayed_plain[]; /* one topic, as a selection names it */

void replayed_init(struct replayed *f, bool (*stopped)(void));
void replayed_fini(struct replayed *f);

void replayed_topic(struct log *log, const char *name, int32_t partitions);

/* Writes a record to topic plain, a second after the one before. NULL: it has none. */
void replayed_write(struct replayed *f, int32_t partition, const char *key, const char *value);

/* n records in both partitions of plain, every third with key b, the others with a. */
void replayed_fill(struct replayed *f, int n);

/* Takes what is selected of the first log into sink. */
enum status replayed_run(struct replayed *f, const struct replay_sink *sink);

#endif
