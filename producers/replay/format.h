/* format: records as `kcat -f` writes them: what stands in the text, %-letters replaced (format_help has the list), and
 * nothing behind it.
 *
 * As kcat does it: lengths are of the record's own bytes, -1 for null; null is written as nothing, a header's as NULL. An event
 * is written as its JSON, headers of the protocol decoded, as everywhere here. Thread-safe. */
#ifndef TANDEM_REPLAY_FORMAT_H
#define TANDEM_REPLAY_FORMAT_H

#include <stdbool.h>

#include "bytes.h"
#include "mem.h"
#include "record_view.h"

struct format;

/* In the arena; borrows the text. NULL: *wrong (in the arena) says what was found and what was expected. */
const struct format *format_parse(const char *text, struct arena *arena, const char **wrong);

/* Appends a record. raw: keys, values and headers as the bytes they are; else what is no printable UTF-8 as \xNN, for terminals. */
void format_put(const struct format *format, const struct record_view *view, const char *topic, bool raw,
                struct buf *out);

#endif
