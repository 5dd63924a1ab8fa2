/* event: what the generated codecs and everything that handles events have in common.
 *
 * schemas/schemagen.c turns every schemas/X.avsc into build/gen/events.h and events.c: a plain struct, functions
 *     enum status x_encode(const struct x *event, struct buf *out, struct err *err)             -- event_encode
 *     enum status x_decode(writer, body, len, arena, struct x *event, struct err *err)          -- event_decode
 *     bool        x_equal(const struct x *a, const struct x *b)                                 -- event_equal
 *     const char *e_name(enum e value)                                                          -- an enum's symbol
 * and `extern const struct event_type x_type`,
 * where X is CamelCase in the schema and x is snake_case in C. One discipline for memory everywhere: a decoded event and
 * all it points to live in the caller's arena and go with it; there is nothing to free one by one.
 *
 * C types: boolean bool; int int32_t; long and timestamp-millis int64_t; string const char * (NUL-terminated UTF-8); bytes
 * struct event_bytes; fixed uint8_t[n]; enum a C enum; array struct { T *items; size_t count }; record a nested struct;
 * union [null, T]: strings and bytes NULL pointer for null, others a `bool has_<field>` before the field.
 *
 * On the wire: Avro single-object encoding (Avro 1.11 specification): C3 01, the CRC-64-AVRO fingerprint of the writer
 * schema's Parsing Canonical Form, 8 bytes little-endian, then the Avro binary body.
 *
 * Thread-safe: everything here is const or works on its arguments, but for what avro-c does. */
#ifndef TANDEM_EVENT_H
#define TANDEM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "err.h"
#include "json.h"
#include "mem.h"

#define EVENT_HEADER_BYTES 10

struct event_bytes {
	const uint8_t *data;
	size_t len;
};

enum event_origin {
	EVENT_PUBLISHER, /* comes from outside, unnumbered */
	EVENT_WORKER,    /* comes from a worker, numbered */
	EVENT_CONTROL,   /* genesis and other control records */
	EVENT_OTHER,     /* a record kept in state or made by a test; never on a topic of its own */
};

struct event_record; /* the reflection table, for JSON and the content hash; see event_reflect.h */

struct event_type {
	const char *name;         /* "OrderPlaced" */
	const char *full_name;    /* "tandem.OrderPlaced" */
	const char *schema;       /* the .avsc, verbatim */
	uint64_t fingerprint;     /* CRC-64-AVRO of its Parsing Canonical Form */
	enum event_origin origin; /* from the schema's attribute "tandem.origin" */
	const char *topic;        /* the input or outside topic it is for ("tandem.topic"), NULL where it has none */
	const char *(*key)(
		const void *event); /* the record key's text: the field "tandem.key" names; NULL where none */
	size_t size;                /* of the struct */
	const uint64_t *writers;    /* fingerprints of every writer schema that decode knows, this one first */
	size_t writer_count;
	const struct event_record *record;
	size_t decode_ratio; /* decoding a body of n bytes takes at most (n + 64) times this of the arena */
	/* Generated; call the functions below instead. */
	enum status (*encode)(const void *event, struct buf *out, struct err *err);
	enum status (*decode)(uint64_t writer, const uint8_t *body, size_t len, struct arena *arena, void *event,
	                      struct err *err);
	bool (*equal)(const void *a, const void *b);
};

extern const struct event_type *const event_types[]; /* every schema, sorted by name */
extern const size_t event_type_count;

const struct event_type *event_type_named(const char *name);         /* NULL: unknown */
const struct event_type *event_type_of_writer(uint64_t fingerprint); /* whose writer schema this is; NULL: unknown */

/* Appends the event in single-object encoding. REJECT ("null", "embedded_nul" does not arise, "invalid_utf8",
 * "enum_range") where the schema cannot hold what is in the struct; out is as before then. */
enum status event_encode(const struct event_type *type, const void *event, struct buf *out, struct err *err);

/* Splits single-object encoding. False where value is too short or does not begin with C3 01. */
bool event_split(const void *value, size_t len, uint64_t *fingerprint, const uint8_t **body, size_t *body_len);

/* Decodes a body written with the schema of this fingerprint into *event (type->size bytes), which points into the arena.
 * Bounded by its input before anything is allocated; consumes every byte or REJECTs (code "malformed"); a fingerprint that
 * is none of type->writers is REJECT "unknown_schema". */
enum status event_decode(const struct event_type *type, uint64_t writer, const uint8_t *body, size_t len,
                         struct arena *arena, void *event, struct err *err);

bool event_equal(const struct event_type *type, const void *a, const void *b);

/* The content hash: SipHash over (field name, value) of the fields that differ from their schema default, sorted by name,
 * so that a new field at its default changes nothing. key: 16 bytes. */
uint64_t event_content_hash(const struct event_type *type, const void *event, const uint8_t key[16]);

/* Avro's JSON encoding of the event; a new reference, the caller's. */
json_t *event_to_json(const struct event_type *type, const void *event);

/* From Avro's JSON encoding. Missing fields take their schema default; unknown fields are refused. REJECT "missing_field",
 * "unknown_field", "wrong_type", "out_of_range", "embedded_nul" names the path (lines[3].sku), what was found and what was
 * expected. Strings are copied into the arena. */
enum status event_from_json(const struct event_type *type, const json_t *json, struct arena *arena, void *event,
                            struct err *err);

/* ---- what avro-c does for us (event_avro.c is the only user of avro.h): one thread at a time in a process ---- */

/* Prints a body whose schema is not one of ours, as Avro's JSON in one line, into the arena. Bounded as event_decode is; any
 * schema is taken (maps, floating point, recursive types; bounds in event_avro.h). It and the body are checked before avro-c
 * sees them. REJECT "bad_schema", "malformed". */
enum status event_foreign_to_json(const char *schema, const uint8_t *body, size_t len, struct arena *arena,
                                  const char **text, struct err *err);

/* Avro container files, written and read by avro-c. A file that is written holds events of one type; the schema in it is the
 * current one as avro-c writes it, without documentation, defaults and logical types: its canonical form, and so its
 * fingerprint, is that of the schema in schemas/. Any file is read, whatever schema it has, each block checked before avro-c
 * sees it. Codecs null and deflate. What a file claims allocates nothing; a block may have 64 MiB. Blocks on the disk.
 * REJECT "unknown_codec", "malformed" (a file or a body that is not what it should be: the text says in which block,
 * counted from 1), "bad_schema"; FATAL "io". After a
 * failure only close makes sense. */
struct event_file;

enum status event_file_create(const char *path, const struct event_type *type, const char *codec,
                              struct event_file **out, struct err *err);
/* One event's body, which is checked: it must decode with the type's current schema. Copied. */
enum status event_file_append(struct event_file *file, const uint8_t *body, size_t len, struct err *err);

enum status event_file_open(const char *path, struct event_file **out, struct err *err);
/* The next datum's Avro binary, in the arena; *body NULL at the end. */
enum status event_file_next(struct event_file *file, struct arena *arena, const uint8_t **body, size_t *len,
                            struct err *err);
const char *event_file_schema(const struct event_file *file); /* that a file being read holds; lives until close */

/* Frees the file whatever comes of it (NULL is fine); a write that only fails now is reported here. */
enum status event_file_close(struct event_file *file, struct err *err);

#endif
