/* event_reflect: the tables that describe events field by field, and what walks them: JSON and the content hash. Encoding,
 * decoding and comparing are generated code and do not come here.
 *
 * The generator writes the tables; event.c calls the functions; nobody else needs them. */
#ifndef TANDEM_EVENT_REFLECT_H
#define TANDEM_EVENT_REFLECT_H

#include "event.h"

enum event_kind {
	EVENT_BOOLEAN, /* bool */
	EVENT_INT,     /* int32_t */
	EVENT_LONG,    /* int64_t */
	EVENT_STRING,  /* const char * */
	EVENT_BYTES,   /* struct event_bytes */
	EVENT_FIXED,   /* uint8_t[size] */
	EVENT_ENUM,    /* a C enum, which is an unsigned int in gcc and clang */
	EVENT_ARRAY,   /* struct event_array */
	EVENT_RECORD,  /* the nested struct */
};

struct event_record;

struct event_symbols {
	const char *full_name;
	const char *const *names;
	size_t count;
};

/* What a C value is. A nullable one is a union [null, T] or [T, null]. */
struct event_shape {
	enum event_kind kind;
	bool nullable;
	size_t size;           /* of the C value, without its bool has_* */
	const char *type_name; /* Avro's, for JSON's {"type": value} in a union: "string", "tandem.Shortage" */
	const struct event_shape *items;     /* EVENT_ARRAY */
	const struct event_record *record;   /* EVENT_RECORD */
	const struct event_symbols *symbols; /* EVENT_ENUM */
};

/* What every generated struct x_array is laid out as; the compiler must not think that it is another. */
struct event_array {
	void *items;
	size_t count;
} __attribute__((may_alias));

struct event_field {
	const char *name;
	size_t offset;
	size_t has_offset; /* of its bool has_*; EVENT_NO_HAS where it has none (a NULL pointer is its null) */
	bool has_default;  /* then the record's defaults hold it at the same place */
	struct event_shape shape;
};

#define EVENT_NO_HAS SIZE_MAX

struct event_record {
	const char *full_name;
	size_t size;
	const struct event_field *fields; /* in the schema's order */
	size_t field_count;
	const uint16_t *by_name; /* indices of fields, sorted by name */
	const void *defaults;    /* a struct of its type: fields with a default hold it, the others zero */
};

/* Fingerprints of every writer schema of every event, sorted, and whose they are. */
struct event_writer {
	uint64_t fingerprint;
	const struct event_type *type;
};

extern const struct event_writer event_writers[];
extern const size_t event_writer_count;

/* Appends what the content hash of a record is over: `{`, then for each field that differs from its default, by name,
 * `f` name value, then `}`. Values: `n` null; `b` a boolean, `i` an int or long; `s` a string, bytes or fixed, `e` an enum's
 * symbol; `a` a count and as many values; a record as above. Numbers and lengths are 8 bytes, big-endian; names, strings and
 * symbols have their length before them. Tables keep hashes of it: it never changes. */
void event_reflect_content(const struct event_record *record, const void *value, struct buf *out);

json_t *event_reflect_to_json(const struct event_record *record, const void *value);
enum status event_reflect_from_json(const struct event_record *record, const json_t *json, struct arena *arena,
                                    void *value, struct err *err);

#endif
