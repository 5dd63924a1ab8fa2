/* jsonl: one event a line: {"type": "OrderPlaced", "event": {...}}, the event in Avro's JSON encoding. */
#ifndef TANDEM_PUBLISH_JSONL_H
#define TANDEM_PUBLISH_JSONL_H

#include <stddef.h>

#include "err.h"
#include "event.h"
#include "mem.h"

/* One line to an event of a publisher's type, in the arena. REJECT: what was found and what was expected, by field. */
enum status jsonl_parse(const char *line, size_t len, struct arena *arena, const struct event_type **type,
                        const void **event, struct err *err);

#endif
