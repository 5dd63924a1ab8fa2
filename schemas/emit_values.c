/* Of the generated source: encoding, comparing, defaults and the reflection tables. */
#include "emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void emit_literal(struct buf *out, const char *text, size_t len)
{
	buf_put_u8(out, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c == '"' || c == '\\')
			buf_putf(out, "\\%c", c);
		else if (c == '\n')
			buf_putf(out, "\\n");
		else if (c == '\t')
			buf_putf(out, "\\t");
		else if (c < 0x20 || c >= 0x7f || c == '?') /* three digits end an octal escape; no trigraphs */
			buf_putf(out, "\\%03o", c);
		else
			buf_put_u8(out, c);
	}
	buf_put_u8(out, '"');
}

bool emit_null_is_pointer(const struct type *type)
{
	return type->kind == KIND_STRING || type->kind == KIND_BYTES;
}

/* Encoding. A value is in->NAME in a record, in->items[i] in an array. */

struct place {
	const struct use *use;
	const char *value; /* "in->sku" */
	const char *has;   /* "in->has_x"; NULL: none */
	const char *label; /* "OrderLine.sku"; NULL: an item, whose index says where */
	int tabs;
};

static void indent(struct buf *out, int tabs)
{
	while (tabs--)
		buf_put_u8(out, '\t');
}

/* The line that leaves the encoder with what `refusal` returns. */
static void put_leave(struct buf *out, const struct place *p, const char *refusal)
{
	indent(out, p->tabs + 1);
	if (p->label)
		buf_putf(out, "return %s;\n", refusal);
	else
		buf_putf(out, "return err_context(err, %s, \"[%%zu]\", i);\n", refusal);
}

static void put_encode_value(struct model *model, const struct place *p, struct buf *out)
{
	const struct type *type = p->use->type;
	const char *label = p->label ? p->label : "item", *refusal = NULL, *test = NULL;
	struct arena *arena = &model->arena;
	switch (type->kind) {
	case KIND_BOOLEAN:
		indent(out, p->tabs);
		buf_putf(out, "buf_put_u8(out, %s);\n", p->value);
		return;
	case KIND_INT:
	case KIND_LONG:
		indent(out, p->tabs);
		buf_putf(out, "wire_put_long(out, %s);\n", p->value);
		return;
	case KIND_FIXED:
		indent(out, p->tabs);
		buf_putf(out, "buf_put(out, %s, %zu);\n", p->value, type->bytes);
		return;
	case KIND_STRING:
		test = arena_format(arena, "!wire_put_string(out, %s)", p->value);
		refusal = arena_format(arena, "wire_refuse_string(err, \"%s\", %s)", label, p->value);
		break;
	case KIND_BYTES:
		test = arena_format(arena, "!wire_put_bytes(out, %s)", p->value);
		refusal = arena_format(arena, "wire_refuse_null(err, \"%s\")", label);
		break;
	case KIND_ENUM:
		test = arena_format(arena, "(size_t)%s >= %zu", p->value, type->symbol_count);
		refusal = arena_format(arena, "wire_refuse_enum(err, \"%s\", %s, %zu)", label, p->value,
		                       type->symbol_count);
		break;
	case KIND_ARRAY:
	case KIND_RECORD:
		test = arena_format(arena, "encode_%s(&%s, out, err) != OK", type->c_name, p->value);
		refusal = p->label ? arena_format(arena, "err_context(err, REJECT, \"%s\")", label) : "REJECT";
		break;
	}
	indent(out, p->tabs);
	buf_putf(out, "if (%s)\n", test);
	put_leave(out, p, refusal);
	if (type->kind == KIND_ENUM) {
		indent(out, p->tabs);
		buf_putf(out, "wire_put_long(out, %s);\n", p->value);
	}
}

static void put_encode(struct model *model, struct place p, struct buf *out)
{
	if (!p.use->nullable) {
		put_encode_value(model, &p, out);
		return;
	}
	const char *data = p.use->type->kind == KIND_BYTES ? ".data" : "";
	indent(out, p.tabs);
	if (p.has)
		buf_putf(out, "buf_put_u8(out, %s ? %d : %d);\n", p.has, p.use->null_first ? 2 : 0,
		         p.use->null_first ? 0 : 2);
	else
		buf_putf(out, "buf_put_u8(out, %s%s ? %d : %d);\n", p.value, data, p.use->null_first ? 2 : 0,
		         p.use->null_first ? 0 : 2);
	indent(out, p.tabs);
	buf_putf(out, "if (%s%s) {\n", p.has ? p.has : p.value, p.has ? "" : data);
	p.tabs++;
	put_encode_value(model, &p, out);
	indent(out, p.tabs - 1);
	buf_putf(out, "}\n");
}

static void put_encode_record(struct model *model, const struct type *type, struct buf *out)
{
	for (size_t i = 0; i < type->field_count; i++) {
		const struct field *field = &type->fields[i];
		bool has = field->use.nullable && !emit_null_is_pointer(field->use.type);
		struct place p = {
			.use = &field->use,
			.value = arena_format(&model->arena, "in->%s", field->name),
			.has = has ? arena_format(&model->arena, "in->has_%s", field->name) : NULL,
			.label = arena_format(&model->arena, "%s.%s", type->name, field->name),
			.tabs = 1,
		};
		put_encode(model, p, out);
	}
}

static void put_encode_array(struct model *model, const struct type *type, struct buf *out)
{
	buf_putf(out, "\tif (in->count && !in->items)\n\t\treturn wire_refuse_null(err, \"items\");\n"
	              "\tif (in->count)\n\t\twire_put_long(out, (int64_t)in->count);\n"
	              "\tfor (size_t i = 0; i < in->count; i++) {\n");
	put_encode(model, (struct place){.use = &type->items, .value = "in->items[i]", .tabs = 2}, out);
	buf_putf(out, "\t}\n\tbuf_put_u8(out, 0);\n");
}

void emit_encoder(struct model *model, const struct type *type, struct buf *out)
{
	buf_putf(out,
	         "static enum status encode_%s(const struct %s *in, struct buf *out, struct err *err)\n{\n"
	         "\t(void)err;\n",
	         type->c_name, type->c_name);
	if (type->kind == KIND_RECORD)
		put_encode_record(model, type, out);
	else
		put_encode_array(model, type, out);
	buf_putf(out, "\treturn OK;\n}\n\n");
}

/* Comparing. */

/* An expression that is true where a and b (two names of values) are equal. */
static void put_equal_value(const struct use *use, const char *a, const char *b, struct buf *out)
{
	const struct type *type = use->type;
	switch (type->kind) {
	case KIND_BOOLEAN:
	case KIND_INT:
	case KIND_LONG:
	case KIND_ENUM:
		buf_putf(out, "%s == %s", a, b);
		break;
	case KIND_STRING:
		buf_putf(out, "wire_text_equal(%s, %s)", a, b);
		break;
	case KIND_BYTES:
		if (use->nullable)
			buf_putf(out, "!%s.data == !%s.data && ", a, b);
		buf_putf(out, "wire_bytes_equal(%s, %s)", a, b);
		break;
	case KIND_FIXED:
		buf_putf(out, "memcmp(%s, %s, %zu) == 0", a, b, type->bytes);
		break;
	case KIND_ARRAY:
	case KIND_RECORD:
		buf_putf(out, "equal_%s(&%s, &%s)", type->c_name, a, b);
		break;
	}
}

static void put_equal_field(struct model *model, const struct field *field, struct buf *out)
{
	struct arena *arena = &model->arena;
	const char *a = arena_format(arena, "a->%s", field->name), *b = arena_format(arena, "b->%s", field->name);
	bool has = field->use.nullable && !emit_null_is_pointer(field->use.type);
	if (has)
		buf_putf(out, "a->has_%s == b->has_%s && (!a->has_%s || (", field->name, field->name, field->name);
	put_equal_value(&field->use, a, b, out);
	if (has)
		buf_putf(out, "))");
}

void emit_equal(struct model *model, const struct type *type, struct buf *out)
{
	buf_putf(out, "static bool equal_%s(const struct %s *a, const struct %s *b)\n{\n", type->c_name, type->c_name,
	         type->c_name);
	if (type->kind == KIND_ARRAY) {
		buf_putf(out, "\tif (a->count != b->count)\n\t\treturn false;\n"
		              "\tfor (size_t i = 0; i < a->count; i++)\n\t\tif (!(");
		put_equal_value(&type->items, "a->items[i]", "b->items[i]", out);
		buf_putf(out, "))\n\t\t\treturn false;\n\treturn true;\n}\n\n");
		return;
	}
	for (size_t i = 0; i < type->field_count; i++) {
		buf_putf(out, i ? " &&\n\t       " : "\treturn ");
		put_equal_field(model, &type->fields[i], out);
	}
	buf_putf(out, ";\n}\n\n");
}

/* Defaults: one struct a record, with what its fields' defaults are. */

static void put_value(struct model *model, const struct use *use, const json_t *json, struct buf *out);

/* The bytes that a default's code points stand for. */
static size_t bytes_of_text(struct arena *arena, const json_t *json, char **bytes)
{
	const unsigned char *text = (const unsigned char *)json_string_value(json);
	size_t len = json_string_length(json), count = 0;
	*bytes = arena_alloc(arena, len);
	for (size_t i = 0; i < len; i++) {
		if (text[i] >= 0x80 && i + 1 < len) {
			(*bytes)[count++] = (char)(text[i] << 6 | (text[i + 1] & 0x3f));
			i++;
		} else {
			(*bytes)[count++] = (char)text[i];
		}
	}
	return count;
}

static void put_bytes_value(struct model *model, const struct type *type, const json_t *json, struct buf *out)
{
	char *bytes;
	size_t len = bytes_of_text(&model->arena, json, &bytes);
	if (type->kind == KIND_BYTES) {
		buf_putf(out, "{(const uint8_t *)");
		emit_literal(out, bytes, len);
		buf_putf(out, ", %zu}", len);
		return;
	}
	buf_putf(out, "{");
	for (size_t i = 0; i < len; i++)
		buf_putf(out, "%s0x%02x", i ? ", " : "", (unsigned char)bytes[i]);
	buf_putf(out, "}");
}

static void put_array_value(struct model *model, const struct type *type, const json_t *json, struct buf *out)
{
	const struct type *item = type->items.type;
	size_t count = json_array_size(json);
	if (!count) {
		buf_putf(out, "{.items = NULL, .count = 0}");
		return;
	}
	static const char *const names[] = {
		[KIND_BOOLEAN] = "bool",
		[KIND_INT] = "int32_t",
		[KIND_LONG] = "int64_t",
		[KIND_STRING] = "char *const",
		[KIND_BYTES] = "struct event_bytes",
	};
	buf_putf(out, "{.items = (void *)(const ");
	if (item->kind == KIND_FIXED)
		buf_putf(out, "uint8_t[][%zu]){", item->bytes);
	else if (item->kind == KIND_ENUM || item->kind > KIND_ENUM)
		buf_putf(out, "%s %s[]){", item->kind == KIND_ENUM ? "enum" : "struct", item->c_name);
	else
		buf_putf(out, "%s[]){", names[item->kind]);
	for (size_t i = 0; i < count; i++) {
		put_value(model, &type->items, json_array_get(json, i), out);
		buf_putf(out, ", ");
	}
	buf_putf(out, "}, .count = %zu}", count);
}

static void put_field_value(struct model *model, const struct field *field, const json_t *json, struct buf *out)
{
	bool has = field->use.nullable && !emit_null_is_pointer(field->use.type);
	bool null = field->use.nullable && field->use.null_first;
	if (has && null) {
		buf_putf(out, ".has_%s = false, ", field->name);
		return;
	}
	if (has)
		buf_putf(out, ".has_%s = true, ", field->name);
	buf_putf(out, ".%s = ", field->name);
	put_value(model, &field->use, json, out);
	buf_putf(out, ", ");
}

static void put_record_value(struct model *model, const struct type *type, const json_t *json, struct buf *out)
{
	buf_putf(out, "{");
	for (size_t i = 0; i < type->field_count; i++) {
		const json_t *given = json_object_get(json, type->fields[i].name);
		put_field_value(model, &type->fields[i], given ? given : type->fields[i].default_json, out);
	}
	buf_putf(out, "}");
}

static void put_long_value(int64_t value, struct buf *out)
{
	if (value == INT64_MIN)
		buf_putf(out, "INT64_MIN");
	else
		buf_putf(out, "INT64_C(%lld)", (long long)value);
}

/* An initialiser. */
static void put_value(struct model *model, const struct use *use, const json_t *json, struct buf *out)
{
	const struct type *type = use->type;
	if (use->nullable && use->null_first) {
		buf_putf(out, type->kind == KIND_STRING ? "NULL" : "{NULL, 0}");
		return;
	}
	switch (type->kind) {
	case KIND_BOOLEAN:
		buf_putf(out, json_is_true(json) ? "true" : "false");
		break;
	case KIND_INT:
	case KIND_LONG:
		put_long_value(json_integer_value(json), out);
		break;
	case KIND_STRING:
		emit_literal(out, json_string_value(json), json_string_length(json));
		break;
	case KIND_BYTES:
	case KIND_FIXED:
		put_bytes_value(model, type, json, out);
		break;
	case KIND_ENUM:
		buf_putf(out, "%s_%s", model_upper(&model->arena, type->c_name),
		         model_upper(&model->arena, json_string_value(json)));
		break;
	case KIND_ARRAY:
		put_array_value(model, type, json, out);
		break;
	case KIND_RECORD:
		put_record_value(model, type, json, out);
		break;
	}
}

void emit_defaults(struct model *model, const struct type *record, struct buf *out)
{
	bool any = false;
	buf_putf(out, "static const struct %s %s_defaults = {", record->c_name, record->c_name);
	for (size_t i = 0; i < record->field_count; i++) {
		const struct field *field = &record->fields[i];
		if (!field->default_json)
			continue;
		buf_putf(out, "\n\t");
		put_field_value(model, field, field->default_json, out);
		any = true;
	}
	buf_putf(out, any ? "\n};\n\n" : "0};\n\n");
}

/* Reflection. */

static void put_shape(const struct use *use, const char *value, struct buf *out)
{
	static const char *const kinds[] = {
		[KIND_BOOLEAN] = "BOOLEAN", [KIND_INT] = "INT",     [KIND_LONG] = "LONG",
		[KIND_STRING] = "STRING",   [KIND_BYTES] = "BYTES", [KIND_FIXED] = "FIXED",
		[KIND_ENUM] = "ENUM",       [KIND_ARRAY] = "ARRAY", [KIND_RECORD] = "RECORD",
	};
	const struct type *type = use->type;
	buf_putf(out, "{.kind = EVENT_%s, .nullable = %s, .size = sizeof %s, .type_name = \"%s\"", kinds[type->kind],
	         use->nullable ? "true" : "false", value, type->kind == KIND_ARRAY ? "array" : type->full_name);
	if (type->kind == KIND_ENUM)
		buf_putf(out, ", .symbols = &%s_symbols", type->c_name);
	if (type->kind == KIND_RECORD)
		buf_putf(out, ", .record = &%s_record", type->c_name);
	if (type->kind == KIND_ARRAY)
		buf_putf(out, ", .items = &%s_items", type->c_name);
	buf_putf(out, "}");
}

static void put_field_entry(const struct type *record, const struct field *field, struct buf *out)
{
	struct buf value = {0};
	bool has = field->use.nullable && !emit_null_is_pointer(field->use.type);
	buf_putf(&value, "((struct %s *)0)->%s", record->c_name, field->name);
	buf_putf(out, "\t{.name = \"%s\", .offset = offsetof(struct %s, %s), .has_default = %s,\n\t .has_offset = ",
	         field->name, record->c_name, field->name, field->default_json ? "true" : "false");
	if (has)
		buf_putf(out, "offsetof(struct %s, has_%s)", record->c_name, field->name);
	else
		buf_putf(out, "EVENT_NO_HAS");
	buf_putf(out, ",\n\t .shape = ");
	put_shape(&field->use, buf_text(&value), out);
	buf_putf(out, "},\n");
	buf_fini(&value);
}

static const struct type *sorting; /* qsort has no argument for its function; the generator has one thread */

static int by_field_name(const void *a, const void *b)
{
	return strcmp(sorting->fields[*(const size_t *)a].name, sorting->fields[*(const size_t *)b].name);
}

static void put_by_name(const struct type *record, struct buf *out)
{
	size_t *order = mem_alloc(record->field_count * sizeof *order);
	for (size_t i = 0; i < record->field_count; i++)
		order[i] = i;
	sorting = record;
	qsort(order, record->field_count, sizeof *order, by_field_name);
	buf_putf(out, "static const uint16_t %s_by_name[] = {", record->c_name);
	for (size_t i = 0; i < record->field_count; i++)
		buf_putf(out, "%s%zu", i ? ", " : "", order[i]);
	buf_putf(out, "};\n\n");
	mem_free(order);
}

void emit_reflection(const struct type *type, struct buf *out)
{
	const char *c = type->c_name;
	if (type->kind == KIND_ARRAY) {
		struct buf value = {0};
		buf_putf(&value, "*((struct %s *)0)->items", c);
		buf_putf(out, "static const struct event_shape %s_items = ", c);
		put_shape(&type->items, buf_text(&value), out);
		buf_putf(out, ";\n\n");
		buf_fini(&value);
		return;
	}
	buf_putf(out, "static const struct event_field %s_fields[] = {\n", c);
	for (size_t i = 0; i < type->field_count; i++)
		put_field_entry(type, &type->fields[i], out);
	buf_putf(out, "};\n\n");
	put_by_name(type, out);
	buf_putf(out,
	         "static const struct event_record %s_record = {\n"
	         "\t.full_name = \"%s\",\n\t.size = sizeof(struct %s),\n\t.fields = %s_fields,\n"
	         "\t.field_count = %zu,\n\t.by_name = %s_by_name,\n\t.defaults = &%s_defaults,\n};\n\n",
	         c, type->full_name, c, c, type->field_count, c, c);
}
