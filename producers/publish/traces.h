/* traces: which of a publisher's events begin a W3C trace, under which ids, and the span of each.
 *
 * An event is chosen by the seed and its name (type and natural key), whatever was published before. Ids come from the
 * system's random numbers, or from the seed and the name too: then a run that is repeated says the same again. */
#ifndef TANDEM_PUBLISH_TRACES_H
#define TANDEM_PUBLISH_TRACES_H

#include "event.h"
#include "header.h"
#include "tracer.h"

enum traces_ids { TRACES_RANDOM, TRACES_SEED };

struct traces_config {
	int64_t one_in; /* begin a trace for one in so many events; 0: for none */
	uint64_t seed;
	enum traces_ids ids;
	struct span_export *export; /* NULL: spans go nowhere. Borrowed */
	int64_t export_one_in;      /* >= 1 */
};

struct traces {
	struct traces_config config;
	struct trace_clock clock;
	/* the event being sent */
	bool begun;
	struct header_trace trace;
	char text[HEADER_TRACE_ROOM];
	int64_t begun_us;
};

void traces_init(struct traces *traces, const struct traces_config *config, const struct seam *seam);

/* Is it one? Then its header, whose value lives until the next call. name: type and natural key. */
bool traces_begin(struct traces *traces, const char *name, struct log_header *header);
/* The log has it. full_topic must outlive the export. */
void traces_sent(struct traces *traces, const char *full_topic, const struct log_record *record,
                 const struct event_type *type);

#endif
