/* schema: an Avro schema's Parsing Canonical Form and its CRC-64-AVRO fingerprint (Avro 1.11 specification, "Parsing
 * Canonical Form for Schemas" and "Schema Fingerprints").
 *
 * The generator uses it at build time, so nothing here may depend on generated code. Vectors of the Avro project's
 * schema-tests stand in tests/test_schema.c. Pure functions, thread-safe. */
#ifndef TANDEM_SCHEMA_H
#define TANDEM_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "err.h"
#include "json.h"

/* A schema nested deeper than this is refused, so that no recursion over one is unbounded. */
#define SCHEMA_DEPTH_MAX 64

/* Appends the Parsing Canonical Form. REJECT "bad_schema" where it is no schema whose form is defined (no type, a name that
 * is missing, attributes of the wrong kind, nested too deep); out is as before then. Names that are used are not looked up:
 * a schema that refers to a type it does not define has a form. */
enum status schema_canonical(const json_t *schema, struct buf *out, struct err *err);

/* CRC-64-AVRO of these bytes; of none it is 0xc15d213aa4d7a795. */
uint64_t schema_crc64(const void *bytes, size_t len);

/* The fingerprint: CRC-64-AVRO of the Parsing Canonical Form. */
enum status schema_fingerprint(const json_t *schema, uint64_t *fingerprint, struct err *err);

/* The full name that a name (or a reference) has in this enclosing namespace ("" for none): itself where it has a dot, else
 * namespace.name. Appended with no NUL. */
void schema_full_name(struct buf *out, const char *name, const char *name_space);

/* Is it one of the eight primitive type names? */
bool schema_is_primitive(const char *name);

#endif
