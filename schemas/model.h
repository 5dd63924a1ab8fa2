/* model: what the generator knows of a folder of schemas, checked. Everything lives as long as the program.
 *
 * A folder holds <Name>.avsc, one event each, and history/<Name>/<n>.avsc, its published versions. Whatever the generator
 * does not support is refused here, with the file, the field, what was found and what is supported. */
#ifndef TANDEM_MODEL_H
#define TANDEM_MODEL_H

#include "err.h"
#include "event.h"
#include "json.h"

enum kind {
	KIND_BOOLEAN,
	KIND_INT,
	KIND_LONG,
	KIND_STRING,
	KIND_BYTES,
	KIND_FIXED,
	KIND_ENUM,
	KIND_ARRAY,
	KIND_RECORD
};

/* A type in a place: itself, or a union of it with null. */
struct use {
	const struct type *type;
	bool nullable;
	bool null_first; /* [null, T], else [T, null] */
};

struct field {
	const char *name, *doc;
	struct use use;
	const json_t *default_json; /* NULL: none */
};

struct type {
	enum kind kind;
	bool timestamp;        /* a long that is a timestamp-millis */
	const char *name;      /* of fixed, enum, record: "OrderLine"; else Avro's word for the kind */
	const char *full_name; /* "tandem.OrderLine" */
	const char *c_name;    /* "order_line"; of an array: "order_line_array" */
	const char *doc;       /* of enum and record */
	size_t bytes;          /* of a fixed */
	size_t bytes_min;      /* the fewest bytes a value takes on the wire, at least 1 */
	uint64_t signature;    /* of everything that its binary form depends on */
	const char **symbols;  /* enum */
	size_t symbol_count, symbol_default;
	struct use items;     /* array */
	struct field *fields; /* record */
	size_t field_count;
};

/* One .avsc. */
struct schema {
	const char *path;
	const char *text;   /* verbatim */
	const json_t *json; /* the model's strings and defaults are its */
	const struct type *root;
	uint64_t fingerprint;
	enum event_origin origin;
	const char *topic, *key;   /* NULL: none */
	const struct type **types; /* every named and array type in it, each before those that use it */
	size_t type_count;
};

struct event {
	struct schema current;
	struct schema *history; /* by version */
	size_t history_count;
};

struct model {
	struct event *events; /* sorted by name */
	size_t event_count;
	const struct type **types; /* of the current schemas, each once, each before those that use it */
	size_t type_count;
	struct arena arena;
};

/* Reads and checks a folder. REJECT with the first thing that is wrong. */
enum status model_load(struct model *model, const char *folder, struct err *err);

/* Reads and checks one file. */
enum status schema_load(struct model *model, const char *path, const char *event_name, struct schema *schema,
                        struct err *err);

/* Are they one type: name, documentation, defaults and all? */
bool type_same(const struct type *a, const struct type *b);

const struct field *type_field(const struct type *record, const char *name); /* NULL: it has none of that name */

/* snake_case of CamelCase: OrderPlaced order_placed, SKUReceived sku_received. */
const char *model_snake(struct arena *arena, const char *camel);
const char *model_upper(struct arena *arena, const char *text);

/* Refuses two things of one name in C. */
enum status model_check_names(struct model *model, struct err *err);

/* --check: each current schema reads every version in history and the other way round, by the rules of Avro 1.11. */
enum status compat_check(const struct model *model, struct err *err);
/* Whether the reader's decoder for this writer can be generated. */
enum status compat_can_read(const struct schema *reader, const struct schema *writer, struct err *err);

/* The pieces of the output. */
void emit_header(struct model *model, const char *name, struct buf *out);
void emit_source(struct model *model, const char *name, struct buf *out);

#endif
