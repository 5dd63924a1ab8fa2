/* mirror: topics into a new, empty local log, record by record as they are: offsets with their holes, timestamps, keys,
 * headers, genesis. What folds the mirror comes to the same state, so files of a production log are verified against it
 * offline. Kafka gives its own offsets and takes no mirror.
 *
 * A mirror of a whole installation is one moment of it: it holds what the log dates before a time just after the mirror was
 * asked for. So no worker's event is in it without what that answers; what folds the mirror numbers its own events behind
 * those that are there. The time is the brokers': between two of them it must differ by less than an event takes through a
 * worker, and from this machine's by less than half a second. */
#ifndef TANDEM_REPLAY_MIRROR_H
#define TANDEM_REPLAY_MIRROR_H

#include "replay.h"

struct mirror_config {
	struct log *source, *target; /* borrowed; the same namespace, since dead letters carry full names */
	const struct seam *seam;
	const char *const *topics; /* none: every topic of the source's installation */
	size_t topic_count;
	bool has_until; /* what is dated before until_ms alone */
	int64_t until_ms;
	bool dry_run;
	bool (*stopped)(void); /* NULL: never */
	bool progress;
	FILE *notes;
};

struct mirror_result {
	size_t topics;
	int64_t partitions, records;
};

/* The log URL of a mirror's target: a URL as it is, a folder as local:DIR (in the arena). NULL: it is no local log. */
const char *mirror_url(const char *text, struct arena *arena);

/* FATAL not_empty: the target has topics; no_genesis, installation: see installation_find; truncated: a partition of an
 * installation does not begin at offset 0. RETRY "interrupted". What was written stays. Blocks. */
enum status mirror_run(const struct mirror_config *config, struct mirror_result *result, struct err *err);

#endif
