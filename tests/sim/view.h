/* view: the logs as a reader sees them who drops repeats: of each source's stream the next number with the right chain is
 * taken, whatever else comes is a repeat, too early or foreign. */
#ifndef TANDEM_SIM_VIEW_H
#define TANDEM_SIM_VIEW_H

#include "oracle.h"
#include "sim.h"

struct view_stream {                      /* from one source partition into one partition */
	uint64_t number, chain;           /* of the last taken */
	uint64_t highest;                 /* that stands anywhere */
	const struct log_record **copies; /* the first of each number taken, by number - 1 */
	int64_t *offsets;                 /* where it stands */
};

struct view_log {                   /* one partition of one topic */
	struct oracle_given *taken; /* publishers' records and first copies, in order; not control records */
	size_t count;
	int64_t unknown; /* records of no known source */
	struct view_stream from[SIM_SERVICES][SIM_PARTITIONS_MAX];
};

struct view {
	struct arena arena;
	struct view_log logs[SIM_TOPICS][SIM_PARTITIONS_MAX];
	bool headers_may_differ, strangers_may_be;
	char odd[300]; /* the first thing that no reader may ever see; "" for none */
};

void view_read(struct world *world, struct view *view);
void view_free(struct view *view);

#endif
