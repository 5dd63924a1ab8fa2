/* The one file of the tests that includes avro-c. */
#include "peer_avro.h"

#include "mem.h"

#include <avro.h>
#include <string.h>

struct peer {
	avro_schema_t schema;
	avro_value_iface_t *class;
};

struct peer *peer_open(const char *text)
{
	avro_schema_t schema;
	if (avro_schema_from_json_length(text, strlen(text), &schema) != 0)
		return NULL;
	struct peer *peer = mem_alloc(sizeof *peer);
	*peer = (struct peer){schema, avro_generic_class_from_schema(schema)};
	return peer;
}

void peer_close(struct peer *peer)
{
	if (!peer)
		return;
	avro_value_iface_decref(peer->class);
	avro_schema_decref(peer->schema);
	mem_free(peer);
}

/* By its getters, since avro_value_to_json ends bytes at a NUL. */
static json_t *json_of(avro_value_t *value);

static json_t *json_of_record(avro_value_t *value)
{
	size_t count;
	json_t *json = json_object();
	avro_value_get_size(value, &count);
	for (size_t i = 0; i < count; i++) {
		avro_value_t field;
		const char *name;
		avro_value_get_by_index(value, i, &field, &name);
		json_object_set_new(json, name, json_of(&field));
	}
	return json;
}

static json_t *json_of_array(avro_value_t *value)
{
	size_t count;
	json_t *json = json_array();
	avro_value_get_size(value, &count);
	for (size_t i = 0; i < count; i++) {
		avro_value_t item;
		avro_value_get_by_index(value, i, &item, NULL);
		json_array_append_new(json, json_of(&item));
	}
	return json;
}

static json_t *json_of_union(avro_value_t *value)
{
	avro_value_t branch;
	avro_value_get_current_branch(value, &branch);
	if (avro_value_get_type(&branch) == AVRO_NULL)
		return json_null();
	avro_schema_t schema = avro_value_get_schema(&branch);
	bool named = is_avro_record(schema) || is_avro_enum(schema) || is_avro_fixed(schema);
	const char *name = avro_schema_type_name(schema), *name_space = named ? avro_schema_namespace(schema) : NULL;
	char *full = mem_format("%s%s%s", name_space ? name_space : "", name_space ? "." : "", name);
	json_t *json = json_object();
	json_object_set_new(json, full, json_of(&branch));
	mem_free(full);
	return json;
}

static json_t *json_of_enum(avro_value_t *value)
{
	int index;
	avro_value_get_enum(value, &index);
	return json_string(avro_schema_enum_get(avro_value_get_schema(value), index));
}

static json_t *json_of(avro_value_t *value)
{
	int boolean = 0;
	int32_t number = 0;
	int64_t wide = 0;
	const char *text = "";
	const void *bytes = NULL;
	size_t len = 0;
	switch (avro_value_get_type(value)) {
	case AVRO_BOOLEAN:
		avro_value_get_boolean(value, &boolean);
		return json_boolean(boolean);
	case AVRO_INT32:
		avro_value_get_int(value, &number);
		return json_integer(number);
	case AVRO_INT64:
		avro_value_get_long(value, &wide);
		return json_integer(wide);
	case AVRO_STRING:
		avro_value_get_string(value, &text, &len);
		return json_stringn(text, len - 1);
	case AVRO_BYTES:
		avro_value_get_bytes(value, &bytes, &len);
		return json_of_bytes(bytes, len);
	case AVRO_FIXED:
		avro_value_get_fixed(value, &bytes, &len);
		return json_of_bytes(bytes, len);
	case AVRO_ENUM:
		return json_of_enum(value);
	case AVRO_ARRAY:
		return json_of_array(value);
	case AVRO_UNION:
		return json_of_union(value);
	case AVRO_RECORD:
		return json_of_record(value);
	default:
		return NULL;
	}
}

json_t *peer_read(struct peer *peer, const uint8_t *body, size_t len)
{
	avro_value_t value;
	avro_generic_value_new(peer->class, &value);
	avro_reader_t reader = avro_reader_memory((const char *)body, (int64_t)len);
	size_t again = 0;
	json_t *json = NULL;
	/* The size avro-c would write is the size it has read: ours has one block an array, as its. */
	if (avro_value_read(reader, &value) == 0 && avro_value_sizeof(&value, &again) == 0 && again == len)
		json = json_of(&value);
	avro_reader_free(reader);
	avro_value_decref(&value);
	return json;
}

static bool fill(avro_value_t *value, const json_t *json);

static bool fill_record(avro_value_t *value, const json_t *json)
{
	size_t count;
	avro_value_get_size(value, &count);
	for (size_t i = 0; i < count; i++) {
		avro_value_t field;
		const char *name;
		if (avro_value_get_by_index(value, i, &field, &name) != 0 || !fill(&field, json_object_get(json, name)))
			return false;
	}
	return true;
}

static bool fill_array(avro_value_t *value, const json_t *json)
{
	for (size_t i = 0; i < json_array_size(json); i++) {
		avro_value_t item;
		if (avro_value_append(value, &item, NULL) != 0 || !fill(&item, json_array_get(json, i)))
			return false;
	}
	return true;
}

/* Null, or the branch that is not null. */
static bool fill_union(avro_value_t *value, const json_t *json)
{
	avro_schema_t schema = avro_value_get_schema(value);
	bool null_first = is_avro_null(avro_schema_union_branch(schema, 0));
	avro_value_t branch;
	if (avro_value_set_branch(value, json_is_null(json) ? !null_first : null_first, &branch) != 0)
		return false;
	if (json_is_null(json))
		return avro_value_set_null(&branch) == 0;
	return fill(&branch, json_object_iter_value(json_object_iter((json_t *)(uintptr_t)json)));
}

/* The bytes that the code points of a JSON string are. */
static bool fill_bytes(avro_value_t *value, const json_t *json)
{
	const uint8_t *text = (const uint8_t *)json_string_value(json);
	size_t len = json_string_length(json), count = 0;
	uint8_t *bytes = mem_alloc(len);
	for (size_t i = 0; i < len; i++) {
		bool two = text[i] >= 0x80 && i + 1 < len;
		bytes[count++] = (uint8_t)(two ? text[i] << 6 | (text[i + 1] & 0x3f) : text[i]);
		i += two;
	}
	int failed = avro_value_get_type(value) == AVRO_FIXED ? avro_value_set_fixed(value, bytes, count)
	                                                      : avro_value_set_bytes(value, bytes, count);
	mem_free(bytes);
	return !failed;
}

static bool fill(avro_value_t *value, const json_t *json)
{
	switch (avro_value_get_type(value)) {
	case AVRO_BOOLEAN:
		return avro_value_set_boolean(value, json_is_true(json)) == 0;
	case AVRO_INT32:
		return avro_value_set_int(value, (int32_t)json_integer_value(json)) == 0;
	case AVRO_INT64:
		return avro_value_set_long(value, json_integer_value(json)) == 0;
	case AVRO_STRING:
		return avro_value_set_string(value, json_string_value(json)) == 0;
	case AVRO_BYTES:
	case AVRO_FIXED:
		return fill_bytes(value, json);
	case AVRO_ENUM:
		return avro_value_set_enum(value, avro_schema_enum_get_by_name(avro_value_get_schema(value),
		                                                               json_string_value(json))) == 0;
	case AVRO_ARRAY:
		return fill_array(value, json);
	case AVRO_UNION:
		return fill_union(value, json);
	case AVRO_RECORD:
		return fill_record(value, json);
	default:
		return false;
	}
}

bool peer_write(struct peer *peer, const json_t *json, struct buf *out)
{
	avro_value_t value;
	size_t len = 0;
	avro_generic_value_new(peer->class, &value);
	bool done = fill(&value, json) && avro_value_sizeof(&value, &len) == 0;
	if (done) {
		avro_writer_t writer = avro_writer_memory((char *)buf_grow(out, len), (int64_t)len);
		done = avro_value_write(writer, &value) == 0;
		out->len += done ? len : 0;
		avro_writer_free(writer);
	}
	avro_value_decref(&value);
	return done;
}

bool peer_file_write(struct peer *peer, const char *path, const char *codec, const json_t *datums)
{
	avro_file_writer_t writer;
	if (avro_file_writer_create_with_codec(path, peer->schema, &writer, codec, 64 * 1024) != 0)
		return false;
	bool done = true;
	for (size_t i = 0; done && i < json_array_size(datums); i++) {
		avro_value_t value;
		avro_generic_value_new(peer->class, &value);
		done = fill(&value, json_array_get(datums, i)) && avro_file_writer_append_value(writer, &value) == 0;
		avro_value_decref(&value);
	}
	return avro_file_writer_close(writer) == 0 && done;
}

json_t *peer_file_read(const char *path)
{
	avro_file_reader_t reader;
	if (avro_file_reader(path, &reader) != 0)
		return NULL;
	avro_schema_t schema = avro_file_reader_get_writer_schema(reader);
	avro_value_iface_t *class = avro_generic_class_from_schema(schema);
	avro_value_t value;
	avro_generic_value_new(class, &value);
	json_t *datums = json_array();
	int result;
	while ((result = avro_file_reader_read_value(reader, &value)) == 0) {
		json_array_append_new(datums, json_of(&value));
		avro_value_reset(&value);
	}
	avro_value_decref(&value);
	avro_value_iface_decref(class);
	avro_schema_decref(schema);
	avro_file_reader_close(reader);
	if (result == EOF)
		return datums;
	json_decref(datums);
	return NULL;
}
