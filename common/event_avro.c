#include "event_avro.h"

#include "event.h"
#include "schema.h"

#include <avro.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Schemas. */

struct event_avro {
	avro_schema_t schema;
	avro_value_iface_t *class;
	struct buf canonical; /* the text that avro-c has parsed */
};

/* What avro-c takes though it is no schema (a union within a union), and what it leaks over (a name defined twice). The depth
 * of a canonical form is bounded. */
static enum status check_definitions(const json_t *type, json_t *seen, struct err *err)
{
	const char *name = json_string_value(json_object_get(type, "name"));
	const json_t *fields = json_object_get(type, "fields");
	enum status status = OK;
	if (name && json_object_get(seen, name))
		return err_set(err, REJECT, "bad_schema", "%.100s is defined twice", name);
	if (name)
		json_object_set_new(seen, name, json_true());
	for (size_t i = 0; status == OK && i < json_array_size(type); i++) {
		const json_t *branch = json_array_get(type, i);
		if (json_is_array(branch))
			return err_set(err, REJECT, "bad_schema", "found a union within a union");
		status = check_definitions(branch, seen, err);
	}
	for (size_t i = 0; status == OK && i < json_array_size(fields); i++)
		status = check_definitions(json_object_get(json_array_get(fields, i), "type"), seen, err);
	const json_t *items = json_object_get(type, "items"), *values = json_object_get(type, "values");
	if (status == OK && (items || values))
		status = check_definitions(items ? items : values, seen, err);
	return status;
}

static enum status check_canonical(const struct buf *canonical, struct err *err)
{
	json_error_t error;
	json_t *json = json_loadb((const char *)canonical->data, canonical->len, JSON_DECODE_ANY, &error);
	json_t *seen = json_object();
	enum status status = json ? check_definitions(json, seen, err)
	                          : err_set(err, REJECT, "bad_schema", "a name that is none (%s)", error.text);
	json_decref(seen);
	json_decref(json);
	return status;
}

/* The schema's canonical form: nothing in it that is not needed to read data, its depth bounded, names in full. */
static enum status make_canonical(const char *schema, struct buf *out, struct err *err)
{
	json_error_t error;
	size_t len = strlen(schema);
	if (len > EVENT_AVRO_SCHEMA_BYTES_MAX)
		return err_set(err, REJECT, "bad_schema", "a schema of %zu bytes; at most %d are read", len,
		               EVENT_AVRO_SCHEMA_BYTES_MAX);
	json_t *json = json_loadb(schema, len, JSON_DECODE_ANY, &error);
	if (!json && schema_is_primitive(schema)) /* what files of other libraries hold for a bare name */
		json = json_string(schema);
	if (!json)
		return err_set(err, REJECT, "bad_schema", "a schema that is no JSON (line %d: %s)", error.line,
		               error.text);
	enum status status = schema_canonical(json, out, err);
	json_decref(json);
	return status == OK ? check_canonical(out, err) : status;
}

static enum status parse(struct event_avro *avro, const char *schema, struct err *err)
{
	enum status status = make_canonical(schema, &avro->canonical, err);
	if (status != OK)
		return status;
	avro_schema_t parsed;
	avro_set_error("%s", "");
	if (avro_schema_from_json_length((const char *)avro->canonical.data, avro->canonical.len, &parsed) != 0)
		return err_set(err, REJECT, "bad_schema", "%s", avro_strerror());
	avro->schema = parsed;
	avro->class = avro_generic_class_from_schema(parsed);
	return avro->class ? OK : err_set(err, REJECT, "bad_schema", "%s", avro_strerror());
}

enum status event_avro_parse(const char *schema, struct event_avro **out, struct err *err)
{
	struct event_avro *avro = mem_zalloc(1, sizeof *avro);
	enum status status = parse(avro, schema, err);
	if (status != OK) {
		event_avro_free(avro);
		avro = NULL;
	}
	*out = avro;
	return status;
}

void event_avro_free(struct event_avro *avro)
{
	if (!avro)
		return;
	if (avro->class)
		avro_value_iface_decref(avro->class);
	if (avro->schema)
		avro_schema_decref(avro->schema);
	buf_fini(&avro->canonical);
	mem_free(avro);
}

/* Checking bytes. */

/* What a value takes at most in bytes of memory, as avro-c's value, as jansson's, and as text while it grows and is copied:
 * tests/test_allocation.c measures it. A datum may take so much for each of its bytes, and a little for nothing: a record, what
 * a union chose, and null take no byte, and names stand in the schema alone, which an array or a schema of a few bytes could
 * have any number of. */
#define COST_VALUE     48 /* any; what follows comes on top */
#define COST_TEXT      160
#define COST_TEXT_BYTE 32 /* a byte that is six characters of JSON */
#define COST_NAME_BYTE 8  /* of a field, a symbol, a branch's type */
#define COST_ARRAY     128
#define COST_MAP       352
#define COST_ENTRY     96 /* of a map; a field of a record */
#define COST_UNION     64
#define COST_BRANCH    256 /* of a union, but null */
#define COST_RECORD    160
#define COSTS_FREE     (64 * 1024)
#define COSTS_PER_BYTE 512

struct walk {
	struct wire_reader *in;
	const uint8_t *from; /* where the datum began */
	int depth;
	size_t values, costs; /* passed so far */
};

static bool spend(struct walk *walk, size_t cost)
{
	walk->costs += cost;
	return walk->costs <= COSTS_FREE + COSTS_PER_BYTE * (size_t)(walk->in->at - walk->from) ||
	       wire_fail(walk->in, "more values, or longer names, than so few bytes may have");
}

static bool spend_name(struct walk *walk, const char *name)
{
	return spend(walk, name ? COST_NAME_BYTE * strlen(name) : 0);
}

static bool check_value(struct walk *walk, avro_schema_t schema);

static bool check_bytes(struct walk *walk, struct event_bytes *out)
{
	return wire_get_bytes(walk->in, out) && spend(walk, COST_TEXT + COST_TEXT_BYTE * out->len);
}

/* A string may hold NUL here. */
static bool check_string(struct walk *walk)
{
	struct wire_reader *in = walk->in;
	struct event_bytes left;
	if (!check_bytes(walk, &left))
		return false;
	while (left.len) {
		const uint8_t *nul = memchr(left.data, 0, left.len);
		size_t len = nul ? (size_t)(nul - left.data) : left.len;
		if (!wire_text_valid(left.data, len))
			return wire_fail(in, "string that is not UTF-8");
		len += nul != NULL;
		left = (struct event_bytes){left.data + len, left.len - len};
	}
	return true;
}

static bool check_key(struct walk *walk)
{
	struct wire_reader *in = walk->in;
	struct event_bytes key;
	const uint8_t *before = in->at;
	if (!spend(walk, COST_ENTRY) || !check_bytes(walk, &key))
		return false;
	if (wire_text_valid(key.data, key.len))
		return true;
	in->at = before;
	return wire_fail(in, "key of a map that is not UTF-8 without NUL");
}

/* Items may take no bytes (null): COSTS_FREE bounds them. */
static bool check_collection(struct walk *walk, avro_schema_t items, bool map)
{
	struct wire_block block;
	if (!spend(walk, map ? COST_MAP : COST_ARRAY))
		return false;
	do {
		if (!wire_get_counted_block(walk->in, &block))
			return false;
		for (size_t i = 0; i < block.count; i++)
			if ((map && !check_key(walk)) || !check_value(walk, items))
				return false;
		if (!wire_end_block(walk->in, &block))
			return false;
	} while (block.count);
	return true;
}

static bool check_union(struct walk *walk, avro_schema_t schema)
{
	size_t index;
	if (!spend(walk, COST_UNION) || !wire_get_index(walk->in, avro_schema_union_size(schema), &index))
		return false;
	avro_schema_t branch = avro_schema_union_branch(schema, (int)index);
	if (avro_typeof(branch) == AVRO_NULL)
		return check_value(walk, branch);
	return spend(walk, COST_BRANCH) && spend_name(walk, avro_schema_type_name(branch)) &&
	       spend_name(walk, is_avro_named_type(branch) ? avro_schema_namespace(branch) : NULL) &&
	       check_value(walk, branch);
}

static bool check_record(struct walk *walk, avro_schema_t schema)
{
	size_t count = avro_schema_record_size(schema);
	if (!spend(walk, COST_RECORD))
		return false;
	for (int i = 0; (size_t)i < count; i++) {
		const char *name = avro_schema_record_field_name(schema, i);
		if (!spend(walk, COST_ENTRY) || !spend_name(walk, name) ||
		    !check_value(walk, avro_schema_record_field_get_by_index(schema, i)))
			return wire_at(walk->in, name);
	}
	return true;
}

static bool check_enum(struct walk *walk, avro_schema_t schema)
{
	size_t index;
	return wire_get_index(walk->in, (size_t)avro_schema_enum_number_of_symbols(schema), &index) &&
	       spend(walk, COST_TEXT) && spend_name(walk, avro_schema_enum_get(schema, (int)index));
}

static bool check_fixed(struct walk *walk, avro_schema_t schema)
{
	size_t len = (size_t)avro_schema_fixed_size(schema);
	return wire_skip_fixed(walk->in, len) && spend(walk, COST_TEXT + COST_TEXT_BYTE * len);
}

static bool check_kind(struct walk *walk, avro_schema_t schema)
{
	struct event_bytes unused;
	switch (avro_typeof(schema)) {
	case AVRO_NULL:
		return true;
	case AVRO_BOOLEAN:
		return wire_skip_boolean(walk->in);
	case AVRO_INT32:
		return wire_skip_int(walk->in);
	case AVRO_INT64:
		return wire_skip_long(walk->in);
	case AVRO_FLOAT:
		return wire_skip_fixed(walk->in, sizeof(float));
	case AVRO_DOUBLE:
		return wire_skip_fixed(walk->in, sizeof(double));
	case AVRO_BYTES:
		return check_bytes(walk, &unused);
	case AVRO_STRING:
		return check_string(walk);
	case AVRO_FIXED:
		return check_fixed(walk, schema);
	case AVRO_ENUM:
		return check_enum(walk, schema);
	case AVRO_ARRAY:
		return check_collection(walk, avro_schema_array_items(schema), false);
	case AVRO_MAP:
		return check_collection(walk, avro_schema_map_values(schema), true);
	case AVRO_UNION:
		return check_union(walk, schema);
	case AVRO_RECORD:
		return check_record(walk, schema);
	case AVRO_LINK:
		return check_kind(walk, avro_schema_link_target(schema));
	}
	return wire_fail(walk->in, "schema of an unknown kind");
}

static bool check_value(struct walk *walk, avro_schema_t schema)
{
	if (walk->depth == EVENT_AVRO_DEPTH_MAX)
		return wire_fail(walk->in, "values nested too deep");
	if (walk->values++ == EVENT_AVRO_VALUES_MAX)
		return wire_fail(walk->in, "more values than are read at once");
	if (!spend(walk, COST_VALUE))
		return false;
	walk->depth++;
	bool passed = check_kind(walk, schema);
	walk->depth--;
	return passed;
}

bool event_avro_check(const struct event_avro *avro, struct wire_reader *in)
{
	struct walk walk = {.in = in, .from = in->at};
	return check_value(&walk, avro->schema);
}

/* Printing: by the getters, since avro_value_to_json ends bytes and fixed at a NUL. */

static json_t *json_of(const avro_value_t *value);

static json_t *json_of_record(const avro_value_t *value, size_t count)
{
	json_t *json = json_object();
	for (size_t i = 0; i < count; i++) {
		avro_value_t field;
		const char *name;
		if (avro_value_get_by_index(value, i, &field, &name) != 0 ||
		    json_object_set_new(json, name, json_of(&field)) != 0) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}

static json_t *json_of_array(const avro_value_t *value, size_t count)
{
	json_t *json = json_array();
	for (size_t i = 0; i < count; i++) {
		avro_value_t item;
		if (avro_value_get_by_index(value, i, &item, NULL) != 0 ||
		    json_array_append_new(json, json_of(&item)) != 0) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}

static json_t *json_of_union(const avro_value_t *value)
{
	avro_value_t branch;
	if (avro_value_get_current_branch(value, &branch) != 0)
		return NULL;
	if (avro_value_get_type(&branch) == AVRO_NULL)
		return json_null();
	avro_schema_t schema = avro_value_get_schema(&branch);
	const char *name_space = is_avro_named_type(schema) ? avro_schema_namespace(schema) : NULL;
	struct buf full = {0};
	schema_full_name(&full, avro_schema_type_name(schema), name_space ? name_space : "");
	json_t *json = json_object();
	if (json_object_set_new(json, buf_text(&full), json_of(&branch)) != 0) {
		json_decref(json);
		json = NULL;
	}
	buf_fini(&full);
	return json;
}

static json_t *json_of_real(double real)
{
	if (isnan(real))
		return json_string("NaN");
	if (isinf(real))
		return json_string(real < 0 ? "-Infinity" : "Infinity");
	return json_real(real);
}

static json_t *json_of_number(const avro_value_t *value, avro_type_t type)
{
	int32_t narrow;
	int64_t wide;
	float real32;
	double real;
	switch (type) {
	case AVRO_INT32:
		return avro_value_get_int(value, &narrow) == 0 ? json_integer(narrow) : NULL;
	case AVRO_INT64:
		return avro_value_get_long(value, &wide) == 0 ? json_integer(wide) : NULL;
	case AVRO_FLOAT:
		return avro_value_get_float(value, &real32) == 0 ? json_of_real((double)real32) : NULL;
	default:
		return avro_value_get_double(value, &real) == 0 ? json_of_real(real) : NULL;
	}
}

static json_t *json_of_compound(const avro_value_t *value, avro_type_t type)
{
	size_t count;
	if (type == AVRO_UNION)
		return json_of_union(value);
	if (avro_value_get_size(value, &count) != 0)
		return NULL;
	return type == AVRO_ARRAY ? json_of_array(value, count) : json_of_record(value, count); /* a map too */
}

static json_t *json_of(const avro_value_t *value)
{
	avro_type_t type = avro_value_get_type(value);
	const void *bytes;
	const char *text;
	size_t len;
	int number;
	switch (type) {
	case AVRO_NULL:
		return json_null();
	case AVRO_BOOLEAN:
		return avro_value_get_boolean(value, &number) == 0 ? json_boolean(number) : NULL;
	case AVRO_BYTES:
		return avro_value_get_bytes(value, &bytes, &len) == 0 ? json_of_bytes(bytes, len) : NULL;
	case AVRO_FIXED:
		return avro_value_get_fixed(value, &bytes, &len) == 0 ? json_of_bytes(bytes, len) : NULL;
	case AVRO_STRING: /* its size counts the NUL */
		return avro_value_get_string(value, &text, &len) == 0 ? json_stringn(text, len - 1) : NULL;
	case AVRO_ENUM:
		return avro_value_get_enum(value, &number) == 0
		               ? json_string(avro_schema_enum_get(avro_value_get_schema(value), number))
		               : NULL;
	case AVRO_INT32:
	case AVRO_INT64:
	case AVRO_FLOAT:
	case AVRO_DOUBLE:
		return json_of_number(value, type);
	default:
		return json_of_compound(value, type);
	}
}

json_t *event_avro_to_json(const struct event_avro *avro, const uint8_t *body, size_t len)
{
	avro_value_t value;
	avro_set_error("%s", ""); /* it grows by prefixes */
	if (avro_generic_value_new(avro->class, &value) != 0)
		return NULL;
	avro_reader_t reader = avro_reader_memory((const char *)body, (int64_t)len);
	json_t *json = avro_value_read(reader, &value) == 0 ? json_of(&value) : NULL;
	avro_reader_free(reader);
	avro_value_decref(&value);
	return json;
}

enum status event_foreign_to_json(const char *schema, const uint8_t *body, size_t len, struct arena *arena,
                                  const char **text, struct err *err)
{
	struct event_avro *avro;
	struct wire_reader in;
	enum status status = event_avro_parse(schema, &avro, err);
	if (status != OK)
		return status;
	wire_begin(&in, body, len, arena);
	status = wire_finish(&in, event_avro_check(avro, &in), "datum", err);
	json_t *json = status == OK ? event_avro_to_json(avro, body, len) : NULL;
	char *dump = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	if (dump)
		*text = arena_copy(arena, dump, strlen(dump));
	else if (status == OK)
		status = err_set(err, REJECT, "malformed", "datum: avro-c refuses it");
	free(dump);
	json_decref(json);
	event_avro_free(avro);
	return status;
}

/* Writing files. */

struct event_avro_writer {
	avro_file_writer_t file;
};

bool event_avro_writer_open(const struct event_avro *avro, FILE *stream, const char *codec, size_t block_bytes_max,
                            struct event_avro_writer **out)
{
	avro_file_writer_t file;
	*out = NULL;
	avro_set_error("%s", "");
	if (avro_file_writer_create_with_codec_fp(stream, "", 0, avro->schema, &file, codec, block_bytes_max) != 0)
		return false;
	*out = mem_alloc(sizeof **out);
	(*out)->file = file;
	return true;
}

bool event_avro_writer_append(struct event_avro_writer *writer, const uint8_t *body, size_t len)
{
	return avro_file_writer_append_encoded(writer->file, body, (int64_t)len) == 0;
}

bool event_avro_writer_end_block(struct event_avro_writer *writer)
{
	return avro_file_writer_flush(writer->file) == 0;
}

bool event_avro_writer_close(struct event_avro_writer *writer)
{
	bool closed = !writer || avro_file_writer_close(writer->file) == 0;
	mem_free(writer);
	return closed;
}

/* Reading files. */

struct event_avro_block {
	avro_file_reader_t file;
	avro_value_t value;
	struct buf image; /* what avro-c takes for a file */
};

static void put_text(struct buf *out, const char *text, size_t len)
{
	wire_put_bytes(out, (struct event_bytes){(const uint8_t *)text, len});
}

/* A container file of one block (Avro 1.11 specification, "Object Container Files"). */
static void make_image(const struct event_avro *avro, size_t count, const uint8_t *datums, size_t len, struct buf *out)
{
	static const uint8_t sync[16];
	buf_put(out, "Obj\x01", 4);
	wire_put_long(out, 2);
	put_text(out, "avro.codec", 10);
	put_text(out, "null", 4);
	put_text(out, "avro.schema", 11);
	put_text(out, (const char *)avro->canonical.data, avro->canonical.len);
	wire_put_long(out, 0);
	buf_put(out, sync, sizeof sync);
	wire_put_long(out, (int64_t)count);
	wire_put_long(out, (int64_t)len);
	buf_put(out, datums, len);
	buf_put(out, sync, sizeof sync);
}

struct event_avro_block *event_avro_block_open(const struct event_avro *avro, size_t count, const uint8_t *datums,
                                               size_t len)
{
	struct event_avro_block *block = mem_zalloc(1, sizeof *block);
	make_image(avro, count, datums, len, &block->image);
	FILE *stream = fmemopen(block->image.data, block->image.len, "rb");
	avro_set_error("%s", "");
	if (stream && avro_file_reader_fp(stream, "", 1, &block->file) == 0 &&
	    avro_generic_value_new(avro->class, &block->value) == 0)
		return block;
	event_avro_block_close(block);
	return NULL;
}

bool event_avro_block_next(struct event_avro_block *block, struct arena *arena, const uint8_t **body, size_t *len)
{
	if (avro_file_reader_read_value(block->file, &block->value) != 0 || avro_value_sizeof(&block->value, len) != 0)
		return false;
	char *bytes = arena_alloc(arena, *len);
	avro_writer_t writer = avro_writer_memory(bytes, (int64_t)*len);
	bool written = avro_value_write(writer, &block->value) == 0;
	avro_writer_free(writer);
	*body = (const uint8_t *)bytes;
	return written;
}

void event_avro_block_close(struct event_avro_block *block)
{
	if (!block)
		return;
	if (block->value.iface)
		avro_value_decref(&block->value);
	if (block->file)
		avro_file_reader_close(block->file);
	buf_fini(&block->image);
	mem_free(block);
}
