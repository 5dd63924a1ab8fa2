#include "event_foreign.h"

#include "event.h"
#include "schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A compiled schema: a graph, since a named type may hold itself. */

enum node_kind {
	NODE_NULL, NODE_BOOLEAN, NODE_INT, NODE_LONG, NODE_FLOAT, NODE_DOUBLE, NODE_BYTES, NODE_STRING,
	NODE_FIXED, NODE_ENUM, NODE_ARRAY, NODE_MAP, NODE_UNION, NODE_RECORD,
};

struct node {
	enum node_kind kind;
	const char *name;    /* full name, or Avro's word: what JSON calls the branch of a union */
	size_t bytes;        /* of a fixed */
	size_t count;        /* of names and nodes */
	const char **names;  /* an enum's symbols, a record's fields */
	struct node **nodes; /* a record's fields, a union's branches, one for items and values */
};

struct foreign {
	struct arena arena;
	struct node *root;
	struct node **named; /* of named types */
	size_t named_count;
};

struct compile {
	struct foreign *foreign;
	const char *name_space;
	int depth;
	struct err *err;
};

#define refuse(c, ...) (err_set((c)->err, REJECT, "bad_schema", __VA_ARGS__), NULL)

static struct node *compile(struct compile c, const json_t *json);

static const char *full_name(const struct compile *c, const char *name)
{
	struct buf full = {0};
	schema_full_name(&full, name, c->name_space);
	const char *copy = arena_copy(&c->foreign->arena, full.data, full.len);
	buf_fini(&full);
	return copy;
}

static struct node *find(const struct foreign *foreign, const char *name)
{
	for (size_t i = 0; i < foreign->named_count; i++)
		if (strcmp(foreign->named[i]->name, name) == 0)
			return foreign->named[i];
	return NULL;
}

static struct node *node_new(struct compile *c, enum node_kind kind, const char *name, size_t count)
{
	struct node *node = arena_alloc(&c->foreign->arena, sizeof *node);
	*node = (struct node){.kind = kind, .name = name, .count = count};
	node->names = arena_alloc(&c->foreign->arena, count * sizeof *node->names);
	node->nodes = arena_alloc(&c->foreign->arena, count * sizeof *node->nodes);
	return node;
}

static struct node *compile_name(struct compile *c, const char *name)
{
	static const char *const primitives[] = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"};
	for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
		if (strcmp(name, primitives[i]) == 0)
			return node_new(c, (enum node_kind)i, primitives[i], 0);
	struct node *node = find(c->foreign, full_name(c, name));
	return node ? node : refuse(c, "found the type %.100s, which is not defined", name);
}

static struct node *compile_union(struct compile c, const json_t *json)
{
	size_t count = json_array_size(json);
	struct node *node = node_new(&c, NODE_UNION, "union", count);
	for (size_t i = 0; i < count; i++) {
		node->nodes[i] = compile(c, json_array_get(json, i));
		if (!node->nodes[i])
			return NULL;
		if (node->nodes[i]->kind == NODE_UNION)
			return refuse(&c, "found a union within a union");
	}
	return node;
}

static struct node *compile_collection(struct compile c, enum node_kind kind, const json_t *json)
{
	struct node *node = node_new(&c, kind, kind == NODE_MAP ? "map" : "array", 1);
	node->nodes[0] = compile(c, json_object_get(json, kind == NODE_MAP ? "values" : "items"));
	return node->nodes[0] ? node : NULL;
}

static struct node *compile_fields(struct compile c, struct node *node, const json_t *fields)
{
	for (size_t i = 0; i < node->count; i++) {
		const json_t *field = json_array_get(fields, i);
		const char *name = json_string_value(json_object_get(field, "name"));
		if (!name)
			return refuse(&c, "%.100s has a field without a name", node->name);
		node->names[i] = arena_copy(&c.foreign->arena, name, strlen(name));
		node->nodes[i] = compile(c, json_object_get(field, "type"));
		if (!node->nodes[i])
			return NULL;
	}
	return node;
}

static struct node *compile_symbols(struct compile *c, struct node *node, const json_t *symbols)
{
	for (size_t i = 0; i < node->count; i++) {
		const char *symbol = json_string_value(json_array_get(symbols, i));
		if (!symbol)
			return refuse(c, "%.100s has a symbol that is no string", node->name);
		node->names[i] = arena_copy(&c->foreign->arena, symbol, strlen(symbol));
	}
	return node->count ? node : refuse(c, "%.100s has no symbols", node->name);
}

static struct node *compile_size(struct compile *c, struct node *node, const json_t *size)
{
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return refuse(c, "%.100s has no size", node->name);
	node->bytes = (size_t)json_integer_value(size);
	return node;
}

/* The table of named types is grown before what the type holds is compiled: it may hold itself. */
static void remember(struct foreign *foreign, struct node *node)
{
	if ((foreign->named_count & (foreign->named_count - 1)) == 0) {
		struct node **named = arena_alloc(&foreign->arena, (foreign->named_count * 2 + 1) * sizeof(struct node *));
		if (foreign->named_count)
			memcpy(named, foreign->named, foreign->named_count * sizeof(struct node *));
		foreign->named = named;
	}
	foreign->named[foreign->named_count++] = node;
}

static struct node *compile_named(struct compile c, enum node_kind kind, const json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	const char *name_space = json_string_value(json_object_get(json, "namespace"));
	if (!name)
		return refuse(&c, "found a named type without a name");
	const char *dot = strrchr(name, '.');
	if (dot)
		c.name_space = arena_copy(&c.foreign->arena, name, (size_t)(dot - name));
	else if (name_space)
		c.name_space = arena_copy(&c.foreign->arena, name_space, strlen(name_space));
	const char *full = full_name(&c, name);
	if (find(c.foreign, full))
		return refuse(&c, "%.100s is defined twice", full);
	const json_t *parts = json_object_get(json, kind == NODE_ENUM ? "symbols" : "fields");
	if (kind != NODE_FIXED && !json_is_array(parts))
		return refuse(&c, "%.100s has no array of %s", full, kind == NODE_ENUM ? "symbols" : "fields");
	struct node *node = node_new(&c, kind, full, kind == NODE_FIXED ? 0 : json_array_size(parts));
	remember(c.foreign, node);
	if (kind == NODE_FIXED)
		return compile_size(&c, node, json_object_get(json, "size"));
	return kind == NODE_ENUM ? compile_symbols(&c, node, parts) : compile_fields(c, node, parts);
}

static struct node *compile_object(struct compile c, const json_t *json)
{
	static const struct {
		const char *word;
		enum node_kind kind;
	} words[] = {{"array", NODE_ARRAY}, {"map", NODE_MAP},       {"record", NODE_RECORD},
	             {"enum", NODE_ENUM},   {"fixed", NODE_FIXED},   {"error", NODE_RECORD}};
	const json_t *type = json_object_get(json, "type");
	const char *word = json_string_value(type);
	for (size_t i = 0; word && i < sizeof words / sizeof *words; i++) {
		if (strcmp(word, words[i].word) != 0)
			continue;
		if (words[i].kind == NODE_ARRAY || words[i].kind == NODE_MAP)
			return compile_collection(c, words[i].kind, json);
		return compile_named(c, words[i].kind, json);
	}
	return compile(c, type);
}

static struct node *compile(struct compile c, const json_t *json)
{
	if (++c.depth > SCHEMA_DEPTH_MAX)
		return refuse(&c, "nested deeper than %d", SCHEMA_DEPTH_MAX);
	if (json_is_string(json))
		return compile_name(&c, json_string_value(json));
	if (json_is_array(json))
		return compile_union(c, json);
	if (json_is_object(json))
		return compile_object(c, json);
	return refuse(&c, "found a type that is neither a name, an object nor a union");
}

enum status foreign_compile(const char *schema, struct foreign **out, struct err *err)
{
	*out = NULL;
	json_error_t error;
	size_t len = strlen(schema);
	if (len > FOREIGN_SCHEMA_BYTES_MAX)
		return err_set(err, REJECT, "bad_schema", "a schema of %zu bytes; at most %d are read", len,
		               FOREIGN_SCHEMA_BYTES_MAX);
	json_t *json = json_loadb(schema, len, JSON_DECODE_ANY, &error);
	if (!json && schema_is_primitive(schema)) /* what files of other libraries hold for a bare name */
		json = json_string(schema);
	if (!json)
		return err_set(err, REJECT, "bad_schema", "a schema that is no JSON (line %d: %s)", error.line, error.text);
	struct foreign *foreign = mem_zalloc(1, sizeof *foreign);
	foreign->root = compile((struct compile){.foreign = foreign, .name_space = "", .err = err}, json);
	json_decref(json);
	if (!foreign->root) {
		foreign_free(foreign);
		return REJECT;
	}
	*out = foreign;
	return OK;
}

void foreign_free(struct foreign *foreign)
{
	if (!foreign)
		return;
	arena_fini(&foreign->arena);
	mem_free(foreign);
}

/* A value takes a byte, but for records, for what a union chose, and for those that take none, which an array or a schema of
 * a few bytes could have any number of. */
#define VALUES_FREE     256
#define VALUES_PER_BYTE 4

/* Reading. Each function puts what it read into *json, where that is not NULL; on false *json is untouched. */

struct walk {
	struct wire_reader *in;
	const uint8_t *from; /* where the datum began */
	int depth;
	size_t values; /* read so far */
};

static bool read_value(struct walk *walk, const struct node *node, json_t **json);

static bool give(json_t **json, json_t *taken)
{
	if (json)
		*json = taken;
	else
		json_decref(taken);
	return true;
}

static json_t *json_of_real(double real)
{
	if (isnan(real))
		return json_string("NaN");
	if (isinf(real))
		return json_string(real < 0 ? "-Infinity" : "Infinity");
	return json_real(real);
}

static bool read_real(struct wire_reader *in, size_t len, json_t **json)
{
	uint8_t bytes[8];
	uint64_t raw = 0;
	if (!wire_get_fixed(in, bytes, len))
		return false;
	for (size_t i = 0; i < len; i++)
		raw |= (uint64_t)bytes[i] << (8 * i);
	uint32_t raw32 = (uint32_t)raw;
	double real;
	float real32;
	memcpy(&real, &raw, sizeof real);
	memcpy(&real32, &raw32, sizeof real32);
	return json ? give(json, json_of_real(len == 4 ? (double)real32 : real)) : true;
}

/* A string may hold NUL here. */
static bool read_string(struct wire_reader *in, json_t **json)
{
	struct event_bytes bytes;
	if (!wire_get_bytes(in, &bytes))
		return false;
	json_t *text = json_stringn((const char *)bytes.data, bytes.len);
	if (!text)
		return wire_fail(in, "string that is not UTF-8");
	return give(json, text);
}

static bool read_fixed(struct wire_reader *in, size_t len, json_t **json)
{
	const uint8_t *from = in->at;
	if (!wire_skip_fixed(in, len))
		return false;
	return json ? give(json, json_of_bytes(from, len)) : true;
}

static bool read_enum(struct wire_reader *in, const struct node *node, json_t **json)
{
	size_t index;
	if (!wire_get_index(in, node->count, &index))
		return false;
	return json ? give(json, json_string(node->names[index])) : true;
}

static bool read_record(struct walk *walk, const struct node *node, json_t **json)
{
	json_t *object = json ? json_object() : NULL, *value = NULL;
	for (size_t i = 0; i < node->count; i++) {
		if (!read_value(walk, node->nodes[i], json ? &value : NULL)) {
			json_decref(object);
			return wire_at(walk->in, node->names[i]);
		}
		if (json)
			json_object_set_new(object, node->names[i], value);
	}
	return json ? give(json, object) : true;
}

static bool read_union(struct walk *walk, const struct node *node, json_t **json)
{
	size_t index;
	json_t *value = NULL;
	if (!wire_get_index(walk->in, node->count, &index))
		return false;
	const struct node *branch = node->nodes[index];
	if (!read_value(walk, branch, json ? &value : NULL))
		return false;
	if (!json)
		return true;
	if (branch->kind == NODE_NULL)
		return give(json, value);
	json_t *object = json_object();
	json_object_set_new(object, branch->name, value);
	return give(json, object);
}

/* One item of an array, or one entry of a map. */
static bool read_item(struct walk *walk, const struct node *node, json_t *into)
{
	json_t *value = NULL;
	struct event_bytes key = {0};
	if (node->kind == NODE_MAP) {
		const uint8_t *before = walk->in->at;
		if (!wire_get_bytes(walk->in, &key))
			return false;
		if (!wire_text_valid(key.data, key.len)) {
			walk->in->at = before;
			return wire_fail(walk->in, "key of a map that is not UTF-8 without NUL");
		}
	}
	if (!read_value(walk, node->nodes[0], into ? &value : NULL))
		return false;
	if (!into)
		return true;
	if (node->kind == NODE_ARRAY)
		return json_array_append_new(into, value) == 0;
	char *name = arena_copy(walk->in->arena, key.data, key.len);
	return json_object_set_new(into, name, value) == 0;
}

/* Items may take no bytes (null, an empty record): VALUES_FREE bounds them. */
static bool read_collection(struct walk *walk, const struct node *node, json_t **json)
{
	json_t *into = !json ? NULL : node->kind == NODE_ARRAY ? json_array() : json_object();
	for (;;) {
		struct wire_block block;
		bool read = wire_get_counted_block(walk->in, &block);
		if (read && !block.count)
			return json ? give(json, into) : true;
		for (; read && block.count; block.count--)
			read = read_item(walk, node, into);
		if (!read || !wire_end_block(walk->in, &block)) {
			json_decref(into);
			return false;
		}
	}
}

static bool read_number(struct wire_reader *in, bool is_int, json_t **json)
{
	int64_t number;
	if (is_int ? !wire_get_long_of_int(in, &number) : !wire_get_long(in, &number))
		return false;
	return json ? give(json, json_integer(number)) : true;
}

static bool read_kind(struct walk *walk, const struct node *node, json_t **json)
{
	struct event_bytes bytes;
	bool boolean;
	switch (node->kind) {
	case NODE_NULL:
		return give(json, json_null());
	case NODE_BOOLEAN:
		return wire_get_boolean(walk->in, &boolean) && give(json, json_boolean(boolean));
	case NODE_INT:
	case NODE_LONG:
		return read_number(walk->in, node->kind == NODE_INT, json);
	case NODE_FLOAT:
	case NODE_DOUBLE:
		return read_real(walk->in, node->kind == NODE_FLOAT ? 4 : 8, json);
	case NODE_BYTES:
		return wire_get_bytes(walk->in, &bytes) &&
		       (!json || give(json, json_of_bytes(bytes.data, bytes.len)));
	case NODE_STRING:
		return read_string(walk->in, json);
	case NODE_FIXED:
		return read_fixed(walk->in, node->bytes, json);
	case NODE_ENUM:
		return read_enum(walk->in, node, json);
	case NODE_ARRAY:
	case NODE_MAP:
		return read_collection(walk, node, json);
	case NODE_UNION:
		return read_union(walk, node, json);
	case NODE_RECORD:
		return read_record(walk, node, json);
	}
	return wire_fail(walk->in, "schema of an unknown kind");
}

static bool read_value(struct walk *walk, const struct node *node, json_t **json)
{
	if (walk->depth == FOREIGN_DEPTH_MAX)
		return wire_fail(walk->in, "values nested too deep");
	if (walk->values++ > VALUES_FREE + VALUES_PER_BYTE * (size_t)(walk->in->at - walk->from))
		return wire_fail(walk->in, "more values than so few bytes may have");
	walk->depth++;
	bool read = read_kind(walk, node, json);
	walk->depth--;
	return read;
}

bool foreign_read(const struct foreign *foreign, struct wire_reader *in, json_t **json)
{
	struct walk walk = {.in = in, .from = in->at};
	return read_value(&walk, foreign->root, json);
}

enum status event_foreign_to_json(const char *schema, const uint8_t *body, size_t len, struct arena *arena,
                                  const char **text, struct err *err)
{
	struct foreign *foreign;
	enum status status = foreign_compile(schema, &foreign, err);
	if (status != OK)
		return status;
	struct wire_reader in;
	json_t *json = NULL;
	wire_begin(&in, body, len, arena);
	status = wire_finish(&in, foreign_read(foreign, &in, &json), "datum", err);
	if (status == OK) {
		char *dump = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
		*text = arena_copy(arena, dump ? dump : "null", dump ? strlen(dump) : 4);
		free(dump);
	}
	json_decref(json);
	foreign_free(foreign);
	return status;
}
