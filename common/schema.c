#include "schema.h"

#include <string.h>

/* Where in the schema we are: what names mean there, and how deep it is. */
struct place {
	const char *name_space; /* not NUL-terminated beyond name_space_len */
	size_t name_space_len;
	int depth;
};

static enum status canonical(const json_t *schema, struct place place, struct buf *out, struct err *err);

static enum status bad(struct err *err, const char *what)
{
	return err_set(err, REJECT, "bad_schema", "%s", what);
}

bool schema_is_primitive(const char *name)
{
	static const char *const names[] = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void put_text(struct buf *out, const char *text)
{
	buf_put(out, text, strlen(text));
}

static void put_full_name(struct buf *out, const char *name, const char *name_space, size_t name_space_len)
{
	if (!strchr(name, '.') && name_space_len) {
		buf_put(out, name_space, name_space_len);
		buf_put_u8(out, '.');
	}
	put_text(out, name);
}

void schema_full_name(struct buf *out, const char *name, const char *name_space)
{
	put_full_name(out, name, name_space, strlen(name_space));
}

/* [STRINGS]: a JSON string without escapes but those JSON cannot do without. */
static void put_quoted(struct buf *out, const char *text)
{
	buf_put_u8(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_put_u8(out, '\\');
		buf_put_u8(out, (uint8_t)*text);
	}
	buf_put_u8(out, '"');
}

static void put_quoted_name(struct buf *out, const char *name, struct place place)
{
	buf_put_u8(out, '"');
	put_full_name(out, name, place.name_space, place.name_space_len);
	buf_put_u8(out, '"');
}

/* [FULLNAMES]: the namespace that names within a named type are relative to. */
static struct place place_within(const json_t *schema, const char *name, struct place place)
{
	const char *dot = strrchr(name, '.');
	const char *given = json_string_value(json_object_get(schema, "namespace"));
	if (dot) {
		place.name_space = name;
		place.name_space_len = (size_t)(dot - name);
	} else if (given) {
		place.name_space = given;
		place.name_space_len = strlen(given);
	}
	return place;
}

static enum status canonical_fields(const json_t *schema, struct place place, struct buf *out, struct err *err)
{
	const json_t *fields = json_object_get(schema, "fields");
	if (!json_is_array(fields))
		return bad(err, "a record without an array \"fields\"");
	put_text(out, ",\"fields\":[");
	for (size_t i = 0; i < json_array_size(fields); i++) {
		const json_t *field = json_array_get(fields, i);
		const char *name = json_string_value(json_object_get(field, "name"));
		if (!name)
			return bad(err, "a field without a name");
		put_text(out, i ? ",{\"name\":" : "{\"name\":");
		put_quoted(out, name);
		put_text(out, ",\"type\":");
		enum status status = canonical(json_object_get(field, "type"), place, out, err);
		if (status != OK)
			return err_context(err, status, "field %s", name);
		buf_put_u8(out, '}');
	}
	buf_put_u8(out, ']');
	return OK;
}

static enum status canonical_symbols(const json_t *schema, struct buf *out, struct err *err)
{
	const json_t *symbols = json_object_get(schema, "symbols");
	if (!json_is_array(symbols))
		return bad(err, "an enum without an array \"symbols\"");
	put_text(out, ",\"symbols\":[");
	for (size_t i = 0; i < json_array_size(symbols); i++) {
		const char *symbol = json_string_value(json_array_get(symbols, i));
		if (!symbol)
			return bad(err, "a symbol that is not a string");
		if (i)
			buf_put_u8(out, ',');
		put_quoted(out, symbol);
	}
	buf_put_u8(out, ']');
	return OK;
}

/* [INTEGERS]: no quotes, no leading zeros. */
static enum status canonical_size(const json_t *schema, struct buf *out, struct err *err)
{
	const json_t *size = json_object_get(schema, "size");
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return bad(err, "a fixed without an integer \"size\"");
	buf_putf(out, ",\"size\":%lld", (long long)json_integer_value(size));
	return OK;
}

static enum status canonical_named(const json_t *schema, const char *kind, struct place place, struct buf *out,
                                   struct err *err)
{
	const char *name = json_string_value(json_object_get(schema, "name"));
	if (!name)
		return err_set(err, REJECT, "bad_schema", "a type \"%s\" without a name", kind);
	place = place_within(schema, name, place);
	put_text(out, "{\"name\":");
	put_quoted_name(out, name, place);
	put_text(out, ",\"type\":");
	put_quoted(out, strcmp(kind, "error") == 0 ? "record" : kind);
	enum status status;
	if (strcmp(kind, "fixed") == 0)
		status = canonical_size(schema, out, err);
	else if (strcmp(kind, "enum") == 0)
		status = canonical_symbols(schema, out, err);
	else
		status = canonical_fields(schema, place, out, err);
	buf_put_u8(out, '}');
	return status;
}

static enum status canonical_object(const json_t *schema, struct place place, struct buf *out, struct err *err)
{
	const json_t *type = json_object_get(schema, "type");
	const char *kind = json_string_value(type);
	if (!kind) /* {"type": {...}} and {"type": [...]} mean what they hold */
		return canonical(type, place, out, err);
	bool array = strcmp(kind, "array") == 0;
	if (array || strcmp(kind, "map") == 0) {
		put_text(out, array ? "{\"type\":\"array\",\"items\":" : "{\"type\":\"map\",\"values\":");
		enum status status = canonical(json_object_get(schema, array ? "items" : "values"), place, out, err);
		buf_put_u8(out, '}');
		return status;
	}
	static const char *const named[] = {"record", "error", "enum", "fixed"};
	for (size_t i = 0; i < sizeof named / sizeof *named; i++)
		if (strcmp(kind, named[i]) == 0)
			return canonical_named(schema, kind, place, out, err);
	return canonical(type, place, out, err); /* [PRIMITIVES] */
}

static enum status canonical_union(const json_t *schema, struct place place, struct buf *out, struct err *err)
{
	buf_put_u8(out, '[');
	for (size_t i = 0; i < json_array_size(schema); i++) {
		if (i)
			buf_put_u8(out, ',');
		enum status status = canonical(json_array_get(schema, i), place, out, err);
		if (status != OK)
			return status;
	}
	buf_put_u8(out, ']');
	return OK;
}

static enum status canonical(const json_t *schema, struct place place, struct buf *out, struct err *err)
{
	if (++place.depth > SCHEMA_DEPTH_MAX)
		return bad(err, "nested too deep");
	if (json_is_string(schema)) {
		const char *name = json_string_value(schema);
		if (schema_is_primitive(name))
			put_quoted(out, name);
		else
			put_quoted_name(out, name, place);
		return OK;
	}
	if (json_is_array(schema))
		return canonical_union(schema, place, out, err);
	if (json_is_object(schema))
		return canonical_object(schema, place, out, err);
	return bad(err, schema ? "a type that is neither a name, an object nor a union" : "a type is missing");
}

enum status schema_canonical(const json_t *schema, struct buf *out, struct err *err)
{
	size_t before = out->len;
	enum status status = canonical(schema, (struct place){.name_space = ""}, out, err);
	if (status != OK)
		out->len = before;
	return status;
}

uint64_t schema_crc64(const void *bytes, size_t len)
{
	const uint64_t empty = UINT64_C(0xc15d213aa4d7a795);
	const uint8_t *at = bytes;
	uint64_t crc = empty;
	for (size_t i = 0; i < len; i++) {
		crc ^= at[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (empty & -(crc & 1));
	}
	return crc;
}

enum status schema_fingerprint(const json_t *schema, uint64_t *fingerprint, struct err *err)
{
	struct buf form = {0};
	enum status status = schema_canonical(schema, &form, err);
	if (status == OK)
		*fingerprint = schema_crc64(form.data, form.len);
	buf_fini(&form);
	return status;
}
