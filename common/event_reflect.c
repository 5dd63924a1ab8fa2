#include "event_reflect.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A field's value, as (shape, where it is, is it null). */

static bool field_is_null(const struct event_field *field, const void *record)
{
	const char *base = record;
	const void *value = base + field->offset;
	if (!field->shape.nullable)
		return false;
	if (field->has_offset != EVENT_NO_HAS)
		return !*(const bool *)(base + field->has_offset);
	if (field->shape.kind == EVENT_STRING)
		return !*(const char *const *)value;
	return !((const struct event_bytes *)value)->data;
}

static void field_set_has(const struct event_field *field, void *record, bool has)
{
	if (field->has_offset != EVENT_NO_HAS)
		*(bool *)((char *)record + field->has_offset) = has;
}

/* Comes between: an item of an array is null only where its pointer is. */
static bool item_is_null(const struct event_shape *shape, const void *value)
{
	if (!shape->nullable)
		return false;
	return shape->kind == EVENT_STRING ? !*(const char *const *)value : !((const struct event_bytes *)value)->data;
}

static const char *symbol_of(const struct event_shape *shape, const void *value)
{
	unsigned index;
	memcpy(&index, value, sizeof index);
	return index < shape->symbols->count ? shape->symbols->names[index] : NULL;
}

/* The content hash. What is hashed is laid out so that nothing depends on widths or on positions that a compatible schema
 * may change: int and long are one, string and bytes are one, an enum is its symbol, a value that may be null is hashed as
 * the value. All numbers are 8 bytes, big-endian. */

static void put_counted(struct buf *out, char tag, const void *bytes, size_t len)
{
	uint8_t *at = buf_grow(out, 9 + len);
	at[0] = (uint8_t)tag;
	be64_put(at + 1, len);
	if (len)
		memcpy(at + 9, bytes, len);
	out->len += 9 + len;
}

static void put_number(struct buf *out, char tag, int64_t number)
{
	uint8_t *at = buf_grow(out, 9);
	at[0] = (uint8_t)tag;
	be64_put(at + 1, (uint64_t)number);
	out->len += 9;
}

static void content(const struct event_shape *shape, const void *value, struct buf *out);

static void content_array(const struct event_shape *shape, const struct event_array *array, struct buf *out)
{
	put_number(out, 'a', (int64_t)array->count);
	for (size_t i = 0; i < array->count; i++) {
		const void *item = (const char *)array->items + i * shape->items->size;
		if (item_is_null(shape->items, item))
			buf_put_u8(out, 'n');
		else
			content(shape->items, item, out);
	}
}

static void content(const struct event_shape *shape, const void *value, struct buf *out)
{
	switch (shape->kind) {
	case EVENT_BOOLEAN:
		put_number(out, 'b', *(const bool *)value);
		break;
	case EVENT_INT:
		put_number(out, 'i', *(const int32_t *)value);
		break;
	case EVENT_LONG:
		put_number(out, 'i', *(const int64_t *)value);
		break;
	case EVENT_STRING: {
		const char *text = *(const char *const *)value;
		put_counted(out, 's', text, text ? strlen(text) : 0);
		break;
	}
	case EVENT_BYTES: {
		const struct event_bytes *bytes = value;
		put_counted(out, 's', bytes->data, bytes->len);
		break;
	}
	case EVENT_FIXED:
		put_counted(out, 's', value, shape->size);
		break;
	case EVENT_ENUM: {
		const char *symbol = symbol_of(shape, value);
		put_counted(out, 'e', symbol, symbol ? strlen(symbol) : 0);
		break;
	}
	case EVENT_ARRAY:
		content_array(shape, value, out);
		break;
	case EVENT_RECORD:
		event_reflect_content(shape->record, value, out);
		break;
	}
}

static void content_field(const struct event_field *field, const void *record, struct buf *out)
{
	if (field_is_null(field, record))
		buf_put_u8(out, 'n');
	else
		content(&field->shape, (const char *)record + field->offset, out);
}

/* Puts the field unless it is what its default is: two values are the same where their content is. */
static void content_named_field(const struct event_record *record, const struct event_field *field, const void *value,
                                struct buf *out)
{
	size_t before = out->len;
	put_counted(out, 'f', field->name, strlen(field->name));
	size_t from = out->len;
	content_field(field, value, out);
	if (!field->has_default)
		return;
	size_t len = out->len - from;
	content_field(field, record->defaults, out);
	bool same = out->len - from == 2 * len && memcmp(out->data + from, out->data + from + len, len) == 0;
	out->len = same ? before : from + len;
}

void event_reflect_content(const struct event_record *record, const void *value, struct buf *out)
{
	buf_put_u8(out, '{');
	for (size_t i = 0; i < record->field_count; i++)
		content_named_field(record, &record->fields[record->by_name[i]], value, out);
	buf_put_u8(out, '}');
}

/* To JSON. */

static json_t *to_json(const struct event_shape *shape, const void *value);

static json_t *in_union(const struct event_shape *shape, const void *value, bool null)
{
	if (null)
		return json_null();
	json_t *json = to_json(shape, value);
	if (!shape->nullable)
		return json;
	json_t *branch = json_object();
	json_object_set_new(branch, shape->type_name, json);
	return branch;
}

static json_t *json_of_array(const struct event_shape *shape, const struct event_array *array)
{
	json_t *json = json_array();
	for (size_t i = 0; i < array->count; i++) {
		const void *item = (const char *)array->items + i * shape->items->size;
		json_array_append_new(json, in_union(shape->items, item, item_is_null(shape->items, item)));
	}
	return json;
}

/* A value that the schema cannot hold becomes null, so that it can be seen. */
static json_t *json_of_text(const char *text)
{
	json_t *json = text ? json_string(text) : NULL;
	return json ? json : json_null();
}

static json_t *to_json(const struct event_shape *shape, const void *value)
{
	switch (shape->kind) {
	case EVENT_BOOLEAN:
		return json_boolean(*(const bool *)value);
	case EVENT_INT:
		return json_integer(*(const int32_t *)value);
	case EVENT_LONG:
		return json_integer(*(const int64_t *)value);
	case EVENT_STRING:
		return json_of_text(*(const char *const *)value);
	case EVENT_BYTES: {
		const struct event_bytes *bytes = value;
		return json_of_bytes(bytes->data, bytes->len);
	}
	case EVENT_FIXED:
		return json_of_bytes(value, shape->size);
	case EVENT_ENUM:
		return json_of_text(symbol_of(shape, value));
	case EVENT_ARRAY:
		return json_of_array(shape, value);
	case EVENT_RECORD:
		return event_reflect_to_json(shape->record, value);
	}
	return json_null();
}

json_t *event_reflect_to_json(const struct event_record *record, const void *value)
{
	json_t *json = json_object();
	for (size_t i = 0; i < record->field_count; i++) {
		const struct event_field *field = &record->fields[i];
		json_object_set_new(
			json, field->name,
			in_union(&field->shape, (const char *)value + field->offset, field_is_null(field, value)));
	}
	return json;
}

/* From JSON. */

/* Where in the event we are, for the text of an error: a list on the stack from the innermost step out. */
struct step {
	const struct step *outer;
	const char *field; /* NULL: an item */
	size_t index;
};

struct walk {
	struct arena *arena;
	struct err *err;
	const struct step *at;
};

static void put_path(struct buf *out, const struct step *step)
{
	if (!step)
		return;
	put_path(out, step->outer);
	if (step->field)
		buf_putf(out, step->outer ? ".%s" : "%s", step->field);
	else
		buf_putf(out, "[%zu]", step->index);
}

static enum status refuse(const struct walk *walk, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum status refuse(const struct walk *walk, const char *code, const char *format, ...)
{
	struct buf path = {0};
	char text[300];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	put_path(&path, walk->at);
	err_set(walk->err, REJECT, code, "%s%s%s", buf_text(&path), walk->at ? ": " : "", text);
	buf_fini(&path);
	return REJECT;
}

static const char *json_kind(const json_t *json)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "an array",
		[JSON_STRING] = "a string",
		[JSON_INTEGER] = "an integer",
		[JSON_REAL] = "a number with a fraction",
		[JSON_TRUE] = "true",
		[JSON_FALSE] = "false",
		[JSON_NULL] = "null",
	};
	return json ? names[json_typeof(json)] : "nothing";
}

static enum status wrong(const struct walk *walk, const json_t *json, const char *expected)
{
	return refuse(walk, "wrong_type", "found %s, expected %s", json_kind(json), expected);
}

static enum status from_json(struct walk walk, const struct event_shape *shape, const json_t *json, void *value);

static enum status integer_from(struct walk walk, const json_t *json, int64_t min, int64_t max, int64_t *out)
{
	if (!json_is_integer(json))
		return wrong(&walk, json, "an integer");
	*out = json_integer_value(json);
	if (*out < min || *out > max)
		return refuse(&walk, "out_of_range", "found %lld, expected %lld to %lld", (long long)*out,
		              (long long)min, (long long)max);
	return OK;
}

static enum status int_from(struct walk walk, const json_t *json, int32_t *out)
{
	int64_t number;
	enum status status = integer_from(walk, json, INT32_MIN, INT32_MAX, &number);
	if (status == OK)
		*out = (int32_t)number;
	return status;
}

static enum status boolean_from(struct walk walk, const json_t *json, bool *out)
{
	if (!json_is_boolean(json))
		return wrong(&walk, json, "true or false");
	*out = json_is_true(json);
	return OK;
}

static enum status text_from(struct walk walk, const json_t *json, const char **out)
{
	if (!json_is_string(json))
		return wrong(&walk, json, "a string");
	size_t len = json_string_length(json);
	if (memchr(json_string_value(json), 0, len))
		return refuse(&walk, "embedded_nul", "found a string with a NUL in it");
	*out = arena_copy(walk.arena, json_string_value(json), len);
	return OK;
}

/* The bytes that a string's code points are; jansson hands out valid UTF-8. */
static enum status bytes_from(struct walk walk, const json_t *json, struct event_bytes *out)
{
	if (!json_is_string(json))
		return wrong(&walk, json, "a string of code points up to 255");
	const uint8_t *text = (const uint8_t *)json_string_value(json);
	size_t left = json_string_length(json), len = 0;
	uint8_t *bytes = arena_alloc(walk.arena, left);
	for (; left; text++, left--) {
		if (*text < 0x80) {
			bytes[len++] = *text;
			continue;
		}
		if (*text > 0xc3 || left < 2)
			return refuse(&walk, "out_of_range", "found a code point above 255 in bytes");
		bytes[len++] = (uint8_t)(*text << 6 | (text[1] & 0x3f));
		text++;
		left--;
	}
	*out = (struct event_bytes){bytes, len};
	return OK;
}

static enum status fixed_from(struct walk walk, const struct event_shape *shape, const json_t *json, void *value)
{
	struct event_bytes bytes;
	enum status status = bytes_from(walk, json, &bytes);
	if (status != OK)
		return status;
	if (bytes.len != shape->size)
		return refuse(&walk, "out_of_range", "found %zu bytes, expected %zu", bytes.len, shape->size);
	memcpy(value, bytes.data, bytes.len);
	return OK;
}

static enum status enum_from(struct walk walk, const struct event_shape *shape, const json_t *json, void *value)
{
	const char *symbol = json_string_value(json);
	if (!symbol)
		return wrong(&walk, json, "a symbol (a string)");
	for (size_t i = 0; i < shape->symbols->count; i++) {
		if (strcmp(symbol, shape->symbols->names[i]) != 0)
			continue;
		unsigned index = (unsigned)i;
		memcpy(value, &index, sizeof index);
		return OK;
	}
	return refuse(&walk, "out_of_range", "found \"%s\", which is no symbol of %s", symbol,
	              shape->symbols->full_name);
}

/* Strips {"type": value}; *null where the value is null. */
static enum status branch_from(struct walk walk, const struct event_shape *shape, const json_t **json, bool *null)
{
	*null = shape->nullable && json_is_null(*json);
	if (!shape->nullable || *null)
		return OK;
	const json_t *value = json_object_get(*json, shape->type_name);
	if (!value || json_object_size(*json) != 1)
		return refuse(&walk, "wrong_type", "found %s, expected null or {\"%s\": ...}", json_kind(*json),
		              shape->type_name);
	*json = value;
	return OK;
}

static enum status item_from(struct walk walk, const struct event_shape *shape, const json_t *json, void *value)
{
	bool null;
	memset(value, 0, shape->size);
	enum status status = branch_from(walk, shape, &json, &null);
	return status != OK || null ? status : from_json(walk, shape, json, value);
}

static enum status array_from(struct walk walk, const struct event_shape *shape, const json_t *json,
                              struct event_array *array)
{
	if (!json_is_array(json))
		return wrong(&walk, json, "an array");
	size_t count = json_array_size(json), size = shape->items->size;
	struct step step = {.outer = walk.at};
	walk.at = &step;
	*array = (struct event_array){.items = count ? arena_alloc(walk.arena, count * size) : NULL, .count = count};
	for (; step.index < count; step.index++) {
		void *value = (char *)array->items + step.index * size;
		enum status status = item_from(walk, shape->items, json_array_get(json, step.index), value);
		if (status != OK)
			return status;
	}
	return OK;
}

static enum status field_from(struct walk walk, const struct event_record *record, const struct event_field *field,
                              const json_t *json, void *value)
{
	void *at = (char *)value + field->offset;
	bool null;
	if (!json && !field->has_default)
		return refuse(&walk, "missing_field", "missing, and its schema has no default");
	if (!json) {
		memcpy(at, (const char *)record->defaults + field->offset, field->shape.size);
		field_set_has(field, value, !field_is_null(field, record->defaults));
		return OK;
	}
	enum status status = branch_from(walk, &field->shape, &json, &null);
	if (status != OK || null)
		return status;
	field_set_has(field, value, true);
	return from_json(walk, &field->shape, json, at);
}

static bool has_field(const struct event_record *record, const char *name)
{
	for (size_t i = 0; i < record->field_count; i++)
		if (strcmp(record->fields[i].name, name) == 0)
			return true;
	return false;
}

static enum status record_from(struct walk walk, const struct event_record *record, const json_t *json, void *value)
{
	if (!json_is_object(json))
		return wrong(&walk, json, "an object");
	struct step step = {.outer = walk.at};
	walk.at = &step;
	memset(value, 0, record->size);
	const char *key;
	json_t *unused;
	json_object_foreach((json_t *)(uintptr_t)json, key, unused)
	{
		step.field = key;
		if (!has_field(record, key))
			return refuse(&walk, "unknown_field", "no such field in %s", record->full_name);
	}
	for (size_t i = 0; i < record->field_count; i++) {
		const struct event_field *field = &record->fields[i];
		step.field = field->name;
		enum status status = field_from(walk, record, field, json_object_get(json, field->name), value);
		if (status != OK)
			return status;
	}
	return OK;
}

static enum status from_json(struct walk walk, const struct event_shape *shape, const json_t *json, void *value)
{
	switch (shape->kind) {
	case EVENT_BOOLEAN:
		return boolean_from(walk, json, value);
	case EVENT_INT:
		return int_from(walk, json, value);
	case EVENT_LONG:
		return integer_from(walk, json, INT64_MIN, INT64_MAX, value);
	case EVENT_STRING:
		return text_from(walk, json, value);
	case EVENT_BYTES:
		return bytes_from(walk, json, value);
	case EVENT_FIXED:
		return fixed_from(walk, shape, json, value);
	case EVENT_ENUM:
		return enum_from(walk, shape, json, value);
	case EVENT_ARRAY:
		return array_from(walk, shape, json, value);
	case EVENT_RECORD:
		return record_from(walk, shape->record, json, value);
	}
	return wrong(&walk, json, "a value of a known kind");
}

enum status event_reflect_from_json(const struct event_record *record, const json_t *json, struct arena *arena,
                                    void *value, struct err *err)
{
	return record_from((struct walk){.arena = arena, .err = err}, record, json, value);
}
