/* event_foreign: any Avro schema, and data written with it, for tools that print or copy what is not ours. Slower than the
 * generated codecs, and as careful: what is allocated is bounded by the input's length, nesting by a constant.
 *
 * Everything Avro 1.11 has is read: maps, unions, floating point, recursive types. Logical types are read as what they are
 * made of. Pure but for its own memory; a compiled schema may be used by one thread at a time. */
#ifndef TANDEM_EVENT_FOREIGN_H
#define TANDEM_EVENT_FOREIGN_H

#include "err.h"
#include "json.h"
#include "wire.h"

#define FOREIGN_SCHEMA_BYTES_MAX (1 << 20)
#define FOREIGN_DEPTH_MAX        64 /* values within values */

struct foreign;

/* Compiles a schema. REJECT "bad_schema": what is wrong with it. The caller's: foreign_free. */
enum status foreign_compile(const char *schema, struct foreign **out, struct err *err);
void foreign_free(struct foreign *foreign); /* NULL is fine */

/* Reads one datum, checking all of it. json: where its Avro JSON goes (a new reference, the caller's), or NULL to check
 * alone. False: malformed, in->problem says what. The reader moves behind the datum; more may follow. */
bool foreign_read(const struct foreign *foreign, struct wire_reader *in, json_t **json);

#endif
