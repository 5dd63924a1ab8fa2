/* timestamp: milliseconds since 1970-01-01T00:00Z to and from text. Pure functions, thread-safe. */
#ifndef TANDEM_TIMESTAMP_H
#define TANDEM_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#define TIMESTAMP_TEXT_BYTES 32 /* with the NUL */

/* ISO 8601 in UTC, with milliseconds: 2026-11-23T04:27:40.123Z. A time outside the years 0 to 9999 is written as its number
 * of milliseconds. Returns out. */
const char *timestamp_text(int64_t ms, char out[TIMESTAMP_TEXT_BYTES]);

/* A number of milliseconds, or ISO 8601: a date, with or without a time (hh:mm, seconds, up to three decimals) and an offset
 * (Z, +hh:mm, -hh:mm; none means UTC). False: neither; *ms is as before then. */
bool timestamp_parse(const char *text, int64_t *ms);

#endif
