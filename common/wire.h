/* wire: Avro's binary primitives (Avro 1.11 specification, "Binary Encoding"), written and read. The generated codecs are
 * made of these.
 *
 * The reader trusts nothing: it looks at what is left before it reads, and at what an array can hold before it allocates.
 * Stricter than the specification where a writer has no choice: a varint is as short as it can be, a boolean is 0 or 1, a
 * string is UTF-8 without NUL, an int fits 32 bits. Pure functions on their arguments; thread-safe.
 *
 * Memory: the body is copied into the arena once, and strings and bytes point into that copy. A string's length prefix
 * takes at least a byte, so that its NUL always has a place: over the first byte of the prefix that follows. Only what is
 * copied out before (numbers, fixed) may come between. */
#ifndef TANDEM_WIRE_H
#define TANDEM_WIRE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bytes.h"
#include "err.h"
#include "event.h"
#include "mem.h"

#define WIRE_LONG_BYTES_MAX 10

/* Writing. */

void wire_put_long(struct buf *out, int64_t value);             /* int, long, enum index, union branch, block count */
bool wire_put_string(struct buf *out, const char *text);        /* false, nothing put: NULL or not UTF-8 */
bool wire_put_bytes(struct buf *out, struct event_bytes bytes); /* false, nothing put: NULL with a length */

/* Why a value was refused: REJECT "null", "invalid_utf8" or "enum_range", naming the field. */
enum status wire_refuse_string(struct err *err, const char *field, const char *text);
enum status wire_refuse_null(struct err *err, const char *field);
enum status wire_refuse_enum(struct err *err, const char *field, long long value, size_t symbol_count);

/* Is it UTF-8 (no surrogates, nothing overlong, up to U+10FFFF) without NUL? */
bool wire_text_valid(const void *text, size_t len);

/* Reading. Every wire_get_* returns false on bytes that are wrong, with `problem` set; *out is undefined then. */

struct wire_reader {
	const uint8_t *start, *at, *end;
	char *copy; /* of start..end and one byte more */
	struct arena *arena;
	const char *problem; /* what was wrong at `at`; NULL while nothing was */
	const char *field;   /* in which field */
};

/* Begins reading a body, which must live until wire_finish; what is read lives in the arena. */
void wire_begin(struct wire_reader *in, const uint8_t *body, size_t len, struct arena *arena);

/* Ends it: OK where decoded is true and every byte was consumed, else REJECT "malformed" that names type, field and byte. */
enum status wire_finish(struct wire_reader *in, bool decoded, const char *type, struct err *err);

/* The fingerprint is of no schema that the decoder knows: REJECT "unknown_schema". */
enum status wire_unknown(const char *type, uint64_t writer, struct err *err);

bool wire_fail(struct wire_reader *in, const char *problem); /* sets the problem unless there is one; returns false */
bool wire_at(struct wire_reader *in, const char *field); /* says in which field it was; the innermost stands; false */

bool wire_get_long_slow(struct wire_reader *in, int64_t *out);
bool wire_get_boolean(struct wire_reader *in, bool *out);
bool wire_get_string(struct wire_reader *in, const char **out);
bool wire_get_bytes(struct wire_reader *in, struct event_bytes *out);
bool wire_get_fixed(struct wire_reader *in, uint8_t *out, size_t len);
bool wire_get_index(struct wire_reader *in, size_t count,
                    size_t *out); /* of an enum or union with so many; below count */

static inline bool wire_get_long(struct wire_reader *in, int64_t *out)
{
	if (in->at < in->end && *in->at < 0x80) {
		uint64_t raw = *in->at++;
		*out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
		return true;
	}
	return wire_get_long_slow(in, out);
}

static inline bool wire_get_int(struct wire_reader *in, int32_t *out)
{
	int64_t value = 0;
	if (!wire_get_long(in, &value))
		return false;
	if (value < INT32_MIN || value > INT32_MAX)
		return wire_fail(in, "integer beyond 32 bits");
	*out = (int32_t)value;
	return true;
}

/* A writer's int, read as the reader's long. */
static inline bool wire_get_long_of_int(struct wire_reader *in, int64_t *out)
{
	int32_t value = 0;
	if (!wire_get_int(in, &value))
		return false;
	*out = value;
	return true;
}

/* What the reader has not got is checked as if it had. */
bool wire_skip_boolean(struct wire_reader *in);
bool wire_skip_int(struct wire_reader *in);
bool wire_skip_long(struct wire_reader *in);
bool wire_skip_string(struct wire_reader *in);
bool wire_skip_bytes(struct wire_reader *in);
bool wire_skip_fixed(struct wire_reader *in, size_t len);
bool wire_skip_index(struct wire_reader *in, size_t count);

/* One block of an array: so many items, and where they end when the writer said it. */
struct wire_block {
	size_t count;
	const uint8_t *end; /* NULL: not said */
};

/* The next block's head. count 0 is the array's end. item_bytes_min: the fewest bytes an item takes, at least 1; a count
 * that what is left cannot hold is refused. */
bool wire_get_block(struct wire_reader *in, size_t item_bytes_min, struct wire_block *block);
/* The same where an item may take no byte, and the caller bounds the items itself. */
bool wire_get_counted_block(struct wire_reader *in, struct wire_block *block);
bool wire_end_block(struct wire_reader *in, const struct wire_block *block); /* after its items */

/* Room for `more` items of `size` bytes behind the `count` that are there. *room is the caller's, 0 at first. The first
 * block gets what it needs, later ones double: all arrays of a writer that writes several blocks take at most four times
 * their items. */
void *wire_items(struct wire_reader *in, void *items, size_t count, size_t *room, size_t more, size_t size);

/* Comparing. NULL equals NULL alone. */
bool wire_text_equal(const char *a, const char *b);
bool wire_bytes_equal(struct event_bytes a, struct event_bytes b); /* data NULL is null where it may be */

#endif
