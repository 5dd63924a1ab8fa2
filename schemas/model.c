#include "model.h"

#include "event_avro.h"
#include "schema.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_FILE_BYTES_MAX (1 << 20)
#define FIXED_BYTES_MAX       4096

/* One file being read: the named types it has defined so far, and where we are. */
struct parse {
	struct arena *arena;
	struct schema *schema;
	const char *name_space;
	const char *at; /* "OrderPlaced.lines[].sku" */
	int depth;
	struct err *err;
};

#define refuse(p, ...) refuse_at((p), err_set((p)->err, REJECT, "bad_schema", __VA_ARGS__))

static enum status refuse_at(const struct parse *p, enum status status)
{
	return err_context(p->err, status, "%s: %s", p->schema->path, p->at);
}

static enum status parse_use(struct parse p, const json_t *json, struct use *use);

/* Names. */

const char *model_snake(struct arena *arena, const char *camel)
{
	char *snake = arena_alloc(arena, 2 * strlen(camel) + 1), *to = snake;
	for (const char *c = camel; *c; c++) {
		bool upper = isupper((unsigned char)*c);
		bool after_lower = c > camel && !isupper((unsigned char)c[-1]) && c[-1] != '_';
		bool begins_word = c > camel && isupper((unsigned char)c[-1]) && islower((unsigned char)c[1]);
		if (upper && (after_lower || begins_word))
			*to++ = '_';
		*to++ = (char)tolower((unsigned char)*c);
	}
	*to = 0;
	return snake;
}

const char *model_upper(struct arena *arena, const char *text)
{
	char *upper = arena_copy(arena, text, strlen(text));
	for (char *c = upper; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return upper;
}

/* [A-Za-z][A-Za-z0-9_]*: Avro's, without the names that C keeps for itself. */
static bool name_valid(const char *name)
{
	if (!isalpha((unsigned char)*name))
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_')
			return false;
	return true;
}

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* Types. */

static void remember(struct parse *p, const struct type *type)
{
	struct schema *schema = p->schema;
	const struct type **types = arena_alloc(p->arena, (schema->type_count + 1) * sizeof *types);
	if (schema->type_count)
		memcpy(types, schema->types, schema->type_count * sizeof *types);
	types[schema->type_count++] = type;
	schema->types = types;
}

static const struct type *find(const struct schema *schema, const char *full_name)
{
	for (size_t i = 0; i < schema->type_count; i++)
		if (strcmp(schema->types[i]->full_name, full_name) == 0)
			return schema->types[i];
	return NULL;
}

static size_t use_bytes_min(const struct use *use)
{
	return use->nullable ? 1 : use->type->bytes_min;
}

/* The signature is over names, order and kinds, all nested ones through theirs; documentation and defaults are not in it. */
static void sign(struct type *type)
{
	struct buf text = {0};
	buf_putf(&text, "%d %s %zu", (int)type->kind, type->full_name, type->bytes);
	for (size_t i = 0; i < type->symbol_count; i++)
		buf_putf(&text, " %s", type->symbols[i]);
	if (type->kind == KIND_ARRAY)
		buf_putf(&text, " %d%d %016llx", type->items.nullable, type->items.null_first,
		         (unsigned long long)type->items.type->signature);
	for (size_t i = 0; i < type->field_count; i++) {
		const struct use *use = &type->fields[i].use;
		buf_putf(&text, " %s %d%d %016llx", type->fields[i].name, use->nullable, use->null_first,
		         (unsigned long long)use->type->signature);
	}
	type->signature = schema_crc64(text.data, text.len);
	buf_fini(&text);
}

static const struct type *primitive(struct parse *p, enum kind kind, const char *name, bool timestamp)
{
	struct type *type = arena_alloc(p->arena, sizeof *type);
	*type = (struct type){.kind = kind, .timestamp = timestamp, .name = name, .full_name = name, .bytes_min = 1};
	type->c_name = name;
	sign(type);
	return type;
}

static enum status parse_primitive(struct parse *p, const char *name, const json_t *json, struct use *use)
{
	static const char *const names[] = {
		[KIND_BOOLEAN] = "boolean", [KIND_INT] = "int",     [KIND_LONG] = "long",
		[KIND_STRING] = "string",   [KIND_BYTES] = "bytes",
	};
	const char *logical = json ? text_of(json, "logicalType") : NULL;
	bool timestamp = logical && strcmp(logical, "timestamp-millis") == 0 && strcmp(name, "long") == 0;
	if (logical && !timestamp)
		return refuse(p, "found logicalType \"%s\" on %s; supported: timestamp-millis on long", logical, name);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0) {
			use->type = primitive(p, (enum kind)i, names[i], timestamp);
			return OK;
		}
	if (strcmp(name, "float") == 0 || strcmp(name, "double") == 0)
		return refuse(p, "found \"%s\"; events have no floating point; supported: int, long", name);
	return refuse(p, "found \"null\" as a type; supported: null as one of the two branches of a union");
}

/* Defaults. */

static enum status check_default(struct parse p, const struct use *use, const json_t *json);

static enum status check_default_record(struct parse p, const struct type *type, const json_t *json)
{
	const char *key;
	json_t *value;
	if (!json_is_object(json))
		return refuse(&p, "the default of a record is no object");
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		if (!type_field(type, key))
			return refuse(&p, "the default has a field \"%s\" that %s has not", key, type->name);
	}
	for (size_t i = 0; i < type->field_count; i++) {
		const json_t *given = json_object_get(json, type->fields[i].name);
		if (!given)
			given = type->fields[i].default_json;
		if (!given)
			return refuse(&p, "the default leaves out \"%s\"", type->fields[i].name);
		enum status status = check_default(p, &type->fields[i].use, given);
		if (status != OK)
			return status;
	}
	return OK;
}

/* How many bytes a default's code points stand for; SIZE_MAX: one is above 255. */
static size_t default_bytes(const json_t *json)
{
	const unsigned char *text = (const unsigned char *)json_string_value(json);
	size_t count = 0;
	for (size_t i = 0; i < json_string_length(json); i++) {
		if (text[i] > 0xc3)
			return SIZE_MAX;
		count += (text[i] & 0xc0) != 0x80;
	}
	return count;
}

static bool is_symbol(const struct type *type, const char *text)
{
	for (size_t i = 0; text && i < type->symbol_count; i++)
		if (strcmp(type->symbols[i], text) == 0)
			return true;
	return false;
}

static bool default_fits(const struct type *type, const json_t *json)
{
	switch (type->kind) {
	case KIND_BOOLEAN:
		return json_is_boolean(json);
	case KIND_INT:
		return json_is_integer(json) && json_integer_value(json) >= INT32_MIN &&
		       json_integer_value(json) <= INT32_MAX;
	case KIND_LONG:
		return json_is_integer(json);
	case KIND_STRING:
		return json_is_string(json);
	case KIND_BYTES:
		return json_is_string(json) && default_bytes(json) != SIZE_MAX;
	case KIND_FIXED:
		return json_is_string(json) && default_bytes(json) == type->bytes;
	case KIND_ENUM:
		return is_symbol(type, json_string_value(json));
	case KIND_ARRAY:
		return json_is_array(json);
	case KIND_RECORD:
		return json_is_object(json);
	}
	return false;
}

/* Avro 1.11: a union's default is of its first branch. */
static enum status check_default(struct parse p, const struct use *use, const json_t *json)
{
	const struct type *type = use->type;
	if (use->nullable && use->null_first)
		return json_is_null(json) ? OK : refuse(&p, "the default of [null, %s] must be null", type->name);
	if (!default_fits(type, json)) {
		char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
		enum status status = refuse(&p, "the default %.100s is no value of %s", text ? text : "", type->name);
		free(text);
		return status;
	}
	if (type->kind == KIND_RECORD)
		return check_default_record(p, type, json);
	for (size_t i = 0; type->kind == KIND_ARRAY && i < json_array_size(json); i++) {
		enum status status = check_default(p, &type->items, json_array_get(json, i));
		if (status != OK)
			return status;
	}
	return OK;
}

/* Named types. */

static enum status parse_symbols(struct parse *p, const json_t *json, struct type *type)
{
	const json_t *symbols = json_object_get(json, "symbols");
	size_t count = json_array_size(symbols);
	if (!count)
		return refuse(p, "an enum without symbols");
	type->symbols = arena_alloc(p->arena, count * sizeof *type->symbols);
	for (size_t i = 0; i < count; i++) {
		const char *symbol = json_string_value(json_array_get(symbols, i));
		if (!symbol || !name_valid(symbol))
			return refuse(p,
			              "found the symbol \"%s\"; supported: letters, digits and _, beginning with a "
			              "letter",
			              symbol ? symbol : "(no string)");
		if (is_symbol(type, symbol))
			return refuse(p, "the symbol %s is there twice", symbol);
		type->symbols[type->symbol_count++] = symbol;
	}
	const char *symbol = text_of(json, "default");
	if (!symbol)
		return refuse(p, "an enum without a default: a reader could not take a newer writer's symbol");
	if (!is_symbol(type, symbol))
		return refuse(p, "the enum's default \"%s\" is none of its symbols", symbol);
	while (strcmp(type->symbols[type->symbol_default], symbol) != 0)
		type->symbol_default++;
	return OK;
}

static enum status parse_fixed(struct parse *p, const json_t *json, struct type *type)
{
	const json_t *size = json_object_get(json, "size");
	if (!json_is_integer(size) || json_integer_value(size) < 1 || json_integer_value(size) > FIXED_BYTES_MAX)
		return refuse(p, "a fixed needs a size; supported: 1 to %d", FIXED_BYTES_MAX);
	type->bytes = type->bytes_min = (size_t)json_integer_value(size);
	return OK;
}

static enum status parse_field(struct parse p, const json_t *json, struct type *type)
{
	struct field *field = &type->fields[type->field_count];
	*field = (struct field){.name = text_of(json, "name"), .doc = text_of(json, "doc")};
	if (!field->name || !name_valid(field->name))
		return refuse(&p,
		              "found the field name \"%s\"; supported: letters, digits and _, beginning with a letter",
		              field->name ? field->name : "(none)");
	if (type_field(type, field->name))
		return refuse(&p, "the field %s is there twice", field->name);
	p.at = arena_format(p.arena, "%s.%s", type->name, field->name);
	if (!field->doc || !*field->doc)
		return refuse(&p, "no \"doc\": say what the field means and in which unit");
	if (json_object_get(json, "aliases"))
		return refuse(&p, "found \"aliases\"; fields are matched by name alone");
	enum status status = parse_use(p, json_object_get(json, "type"), &field->use);
	if (status != OK)
		return status;
	field->default_json = json_object_get(json, "default");
	if (field->default_json)
		status = check_default(p, &field->use, field->default_json);
	type->bytes_min += use_bytes_min(&field->use);
	type->field_count++;
	return status;
}

static enum status parse_fields(struct parse *p, const json_t *json, struct type *type)
{
	const json_t *fields = json_object_get(json, "fields");
	size_t count = json_array_size(fields);
	if (!count)
		return refuse(p, "a record without fields has no size, in C and on the wire");
	type->fields = arena_alloc(p->arena, count * sizeof *type->fields);
	for (size_t i = 0; i < count; i++) {
		enum status status = parse_field(*p, json_array_get(fields, i), type);
		if (status != OK)
			return status;
	}
	return OK;
}

/* The name of a named type, and the namespace of what is in it. */
static enum status parse_name(struct parse *p, const json_t *json, struct type *type)
{
	const char *name = text_of(json, "name"), *name_space = text_of(json, "namespace");
	if (!name)
		return refuse(p, "a type without a name");
	const char *dot = strrchr(name, '.');
	if (dot)
		name_space = arena_copy(p->arena, name, (size_t)(dot - name));
	if (name_space)
		p->name_space = name_space;
	type->name = dot ? dot + 1 : name;
	if (!name_valid(type->name))
		return refuse(p, "found the name \"%s\"; supported: letters, digits and _, beginning with a letter",
		              name);
	type->full_name = *p->name_space ? arena_format(p->arena, "%s.%s", p->name_space, type->name) : type->name;
	type->c_name = model_snake(p->arena, type->name);
	type->doc = text_of(json, "doc");
	p->at = type->name;
	if (find(p->schema, type->full_name))
		return refuse(p, "the name %s is defined twice", type->full_name);
	if (type->kind != KIND_FIXED && (!type->doc || !*type->doc))
		return refuse(p, "no \"doc\": say what it is");
	if (json_object_get(json, "aliases"))
		return refuse(p, "found \"aliases\"; types are matched by name alone");
	return OK;
}

static enum status parse_named(struct parse p, enum kind kind, const json_t *json, struct use *use)
{
	struct type *type = arena_alloc(p.arena, sizeof *type);
	*type = (struct type){.kind = kind, .bytes_min = kind == KIND_ENUM};
	enum status status = parse_name(&p, json, type);
	if (status != OK)
		return status;
	if (kind == KIND_FIXED)
		status = parse_fixed(&p, json, type);
	else if (kind == KIND_ENUM)
		status = parse_symbols(&p, json, type);
	else
		status = parse_fields(&p, json, type);
	if (status != OK)
		return status;
	sign(type);
	remember(&p, type);
	use->type = type;
	return OK;
}

static enum status parse_array(struct parse p, const json_t *json, struct use *use)
{
	struct type *type = arena_alloc(p.arena, sizeof *type);
	*type = (struct type){.kind = KIND_ARRAY, .name = "array", .bytes_min = 1};
	p.at = arena_format(p.arena, "%s[]", p.at);
	enum status status = parse_use(p, json_object_get(json, "items"), &type->items);
	if (status != OK)
		return status;
	enum kind kind = type->items.type->kind;
	if (type->items.nullable && kind != KIND_STRING && kind != KIND_BYTES)
		return refuse(&p, "found a union with null as an array's items; supported: string or bytes with null; "
		                  "else put it into a record");
	/* The order of a union's branches is part of how items are written: [null, T] and [T, null] are two types. */
	const char *before = type->items.nullable && type->items.null_first ? "null_or_" : "";
	const char *behind = type->items.nullable && !type->items.null_first ? "_or_null" : "";
	type->c_name = arena_format(p.arena, "%s%s%s_array", before, type->items.type->c_name, behind);
	type->full_name = arena_format(p.arena, "array of %s%s%s", before, type->items.type->full_name, behind);
	sign(type);
	if (!find(p.schema, type->full_name))
		remember(&p, type);
	use->type = type;
	return OK;
}

static enum status parse_union(struct parse p, const json_t *json, struct use *use)
{
	const json_t *first = json_array_get(json, 0), *second = json_array_get(json, 1);
	const char *a = json_string_value(first), *b = json_string_value(second);
	bool a_null = a && strcmp(a, "null") == 0, b_null = b && strcmp(b, "null") == 0;
	if (json_array_size(json) != 2 || a_null == b_null)
		return refuse(&p, "found a union of %zu branches%s; supported: [null, T] and [T, null]",
		              json_array_size(json), a_null || b_null ? "" : " without one null");
	enum status status = parse_use(p, a_null ? second : first, use);
	if (status == OK && use->nullable)
		return refuse(&p, "found a union within a union");
	use->nullable = true;
	use->null_first = a_null;
	return status;
}

static enum status parse_reference(struct parse p, const char *name, const json_t *json, struct use *use)
{
	if (schema_is_primitive(name))
		return parse_primitive(&p, name, json, use);
	struct buf full = {0};
	schema_full_name(&full, name, p.name_space);
	use->type = find(p.schema, buf_text(&full));
	buf_fini(&full);
	if (use->type)
		return OK;
	return refuse(&p,
	              "found the type \"%s\", which is not defined before this place (recursive types are not "
	              "supported)",
	              name);
}

static enum status parse_object(struct parse p, const json_t *json, struct use *use)
{
	const json_t *type = json_object_get(json, "type");
	const char *word = json_string_value(type);
	if (!word)
		return parse_use(p, type, use);
	if (strcmp(word, "record") == 0)
		return parse_named(p, KIND_RECORD, json, use);
	if (strcmp(word, "enum") == 0)
		return parse_named(p, KIND_ENUM, json, use);
	if (strcmp(word, "fixed") == 0)
		return parse_named(p, KIND_FIXED, json, use);
	if (strcmp(word, "array") == 0)
		return parse_array(p, json, use);
	if (strcmp(word, "map") == 0)
		return refuse(&p, "found a map; its order is not fixed; supported: an array of records");
	return parse_reference(p, word, json, use);
}

static enum status parse_use(struct parse p, const json_t *json, struct use *use)
{
	*use = (struct use){0};
	if (++p.depth > SCHEMA_DEPTH_MAX)
		return refuse(&p, "nested deeper than %d", SCHEMA_DEPTH_MAX);
	if (json_is_string(json))
		return parse_reference(p, json_string_value(json), NULL, use);
	if (json_is_array(json))
		return parse_union(p, json, use);
	if (json_is_object(json))
		return parse_object(p, json, use);
	return refuse(&p, json ? "a type must be a name, an object or a union" : "no \"type\"");
}

/* Tandem's attributes. */

static enum status parse_origin(struct parse *p, const json_t *json)
{
	static const char *const words[] = {
		[EVENT_PUBLISHER] = "publisher",
		[EVENT_WORKER] = "worker",
		[EVENT_CONTROL] = "control",
		[EVENT_OTHER] = "other",
	};
	const char *word = text_of(json, "tandem.origin");
	for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
		if (strcmp(word, words[i]) == 0) {
			p->schema->origin = (enum event_origin)i;
			return OK;
		}
	return refuse(p, "found %s as \"tandem.origin\"; supported: publisher, worker, control, other",
	              word ? word : "nothing");
}

static enum status parse_key(struct parse *p, const json_t *json)
{
	p->schema->key = text_of(json, "tandem.key");
	if (!json_object_get(json, "tandem.key"))
		return OK;
	const struct field *field = p->schema->key ? type_field(p->schema->root, p->schema->key) : NULL;
	if (!field || field->use.nullable || field->use.type->kind != KIND_STRING)
		return refuse(p,
		              "\"tandem.key\" must name a field of the event that is a string and not null; found %s",
		              p->schema->key ? p->schema->key : "no string");
	return OK;
}

static enum status parse_attributes(struct parse *p, const json_t *json)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		if (strncmp(key, "tandem.", 7) == 0 && strcmp(key, "tandem.origin") != 0 &&
		    strcmp(key, "tandem.topic") != 0 && strcmp(key, "tandem.key") != 0)
			return refuse(p, "found \"%s\"; supported: tandem.origin, tandem.topic, tandem.key", key);
	}
	p->schema->topic = text_of(json, "tandem.topic");
	if (json_object_get(json, "tandem.topic") && (!p->schema->topic || !*p->schema->topic))
		return refuse(p, "\"tandem.topic\" must be the name of a topic");
	enum status status = parse_origin(p, json);
	return status == OK ? parse_key(p, json) : status;
}

/* Files. */

static enum status read_text(struct model *model, const char *path, const char **text, size_t *len, struct err *err)
{
	FILE *in = fopen(path, "rb");
	if (!in)
		return err_set(err, REJECT, "cannot_read", "%s: %s", path, strerror(errno));
	char *bytes = arena_alloc(&model->arena, SCHEMA_FILE_BYTES_MAX + 1);
	*len = fread(bytes, 1, SCHEMA_FILE_BYTES_MAX + 1, in);
	bool failed = ferror(in);
	fclose(in);
	if (failed)
		return err_set(err, REJECT, "cannot_read", "%s: cannot be read", path);
	if (*len > SCHEMA_FILE_BYTES_MAX)
		return err_set(err, REJECT, "bad_schema", "%s: longer than %d bytes", path, SCHEMA_FILE_BYTES_MAX);
	bytes[*len] = 0;
	*text = bytes;
	return OK;
}

/* avro-c takes it too: it writes it into container files. */
static enum status check_with_avro_c(const struct schema *schema, struct err *err)
{
	struct event_avro *avro;
	enum status status = event_avro_parse(schema->text, &avro, err);
	event_avro_free(avro);
	return status == OK ? OK : err_context(err, status, "%s: avro-c", schema->path);
}

enum status schema_load(struct model *model, const char *path, const char *event_name, struct schema *schema,
                        struct err *err)
{
	size_t len = 0;
	*schema = (struct schema){.path = path};
	enum status status = read_text(model, path, &schema->text, &len, err);
	if (status != OK)
		return status;
	json_error_t error;
	json_t *json = json_loadb(schema->text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!json)
		return err_set(err, REJECT, "bad_schema", "%s:%d:%d: %s", path, error.line, error.column, error.text);
	schema->json = json;
	struct parse p = {.arena = &model->arena, .schema = schema, .name_space = "", .at = event_name, .err = err};
	const char *word = text_of(json, "type");
	if (!word || strcmp(word, "record") != 0)
		return refuse(&p, "an event is a record");
	struct use root;
	status = parse_use(p, json, &root);
	if (status != OK)
		return status;
	schema->root = root.type;
	if (strcmp(root.type->name, event_name) != 0)
		return refuse(&p, "the record is called %s; it must be called as its file is", root.type->name);
	status = parse_attributes(&p, json);
	if (status == OK)
		status = check_with_avro_c(schema, err);
	return status == OK ? schema_fingerprint(json, &schema->fingerprint, err) : status;
}

/* Names in the folder that pass, sorted. */
static char **list_folder(struct model *model, const char *folder, int (*pass)(const struct dirent *), size_t *count)
{
	struct dirent **entries;
	int found = scandir(folder, &entries, pass, NULL);
	*count = found > 0 ? (size_t)found : 0;
	char **names = arena_alloc(&model->arena, *count * sizeof *names + 1);
	for (size_t i = 0; i < *count; i++) {
		names[i] = arena_copy(&model->arena, entries[i]->d_name, strlen(entries[i]->d_name));
		free(entries[i]);
	}
	if (found >= 0)
		free(entries);
	return names;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_versions(const void *a, const void *b)
{
	long x = strtol(*(char *const *)a, NULL, 10), y = strtol(*(char *const *)b, NULL, 10);
	return x < y ? -1 : x > y;
}

static int is_schema_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".avsc") == 0;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static const char *without_suffix(struct model *model, const char *file)
{
	return arena_copy(&model->arena, file, strlen(file) - 5);
}

static bool is_version(const char *name)
{
	size_t digits = strspn(name, "0123456789");
	return digits && digits < 7 && *name != '0' && strcmp(name + digits, ".avsc") == 0;
}

static enum status load_history(struct model *model, const char *folder, struct event *event, struct err *err)
{
	const char *name = event->current.root->name;
	const char *path = arena_format(&model->arena, "%s/history/%s", folder, name);
	size_t count;
	char **files = list_folder(model, path, is_visible, &count);
	for (size_t i = 0; i < count; i++)
		if (!is_version(files[i]))
			return err_set(err, REJECT, "bad_history", "%s/%s: found this; expected 1.avsc, 2.avsc, ...",
			               path, files[i]);
	qsort(files, count, sizeof *files, compare_versions);
	event->history = arena_alloc(&model->arena, count * sizeof *event->history + 1);
	for (; event->history_count < count; event->history_count++) {
		const char *file = arena_format(&model->arena, "%s/%s", path, files[event->history_count]);
		enum status status = schema_load(model, file, name, &event->history[event->history_count], err);
		if (status != OK)
			return status;
	}
	return OK;
}

static enum status check_vanished(struct model *model, const char *folder, struct err *err)
{
	const char *path = arena_format(&model->arena, "%s/history", folder);
	size_t count;
	char **names = list_folder(model, path, is_visible, &count);
	for (size_t i = 0; i < count; i++) {
		bool found = false;
		for (size_t e = 0; e < model->event_count; e++)
			found |= strcmp(model->events[e].current.root->name, names[i]) == 0;
		if (!found)
			return err_set(err, REJECT, "vanished",
			               "%s/%s: published, but %s/%s.avsc is gone; a log may still hold it", path,
			               names[i], folder, names[i]);
	}
	return OK;
}

static bool use_same(const struct use *a, const struct use *b)
{
	return a->nullable == b->nullable && a->null_first == b->null_first && type_same(a->type, b->type);
}

static bool text_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool field_same(const struct field *a, const struct field *b)
{
	return text_same(a->name, b->name) && text_same(a->doc, b->doc) && use_same(&a->use, &b->use) &&
	       a->use.type->timestamp == b->use.type->timestamp && !a->default_json == !b->default_json &&
	       (!a->default_json || json_equal(a->default_json, b->default_json));
}

bool type_same(const struct type *a, const struct type *b)
{
	if (a->kind != b->kind || a->signature != b->signature)
		return false;
	if (!text_same(a->doc, b->doc) || a->symbol_default != b->symbol_default)
		return false;
	if (a->kind == KIND_ARRAY && !use_same(&a->items, &b->items))
		return false;
	for (size_t i = 0; i < a->field_count; i++)
		if (!field_same(&a->fields[i], &b->fields[i]))
			return false;
	return true;
}

const struct field *type_field(const struct type *record, const char *name)
{
	for (size_t i = 0; i < record->field_count; i++)
		if (strcmp(record->fields[i].name, name) == 0)
			return &record->fields[i];
	return NULL;
}

/* A type that several events define is generated once; the definitions must be one. */
static enum status gather_types(struct model *model, const struct schema *schema, struct err *err)
{
	const struct type **types =
		arena_alloc(&model->arena, (model->type_count + schema->type_count) * sizeof *types);
	if (model->type_count)
		memcpy(types, model->types, model->type_count * sizeof *types);
	model->types = types;
	for (size_t i = 0; i < schema->type_count; i++) {
		const struct type *type = schema->types[i], *known = NULL;
		for (size_t k = 0; k < model->type_count && !known; k++)
			if (strcmp(types[k]->full_name, type->full_name) == 0)
				known = types[k];
		if (!known)
			types[model->type_count++] = type;
		else if (!type_same(known, type))
			return err_set(err, REJECT, "bad_schema",
			               "%s: %s: another schema defines it differently (fields, defaults and docs must "
			               "be the same)",
			               schema->path, type->full_name);
	}
	return OK;
}

static enum status load_event(struct model *model, const char *folder, const char *file, struct err *err)
{
	struct event *event = &model->events[model->event_count];
	*event = (struct event){0};
	const char *path = arena_format(&model->arena, "%s/%s", folder, file);
	enum status status = schema_load(model, path, without_suffix(model, file), &event->current, err);
	if (status == OK)
		status = load_history(model, folder, event, err);
	if (status == OK)
		status = gather_types(model, &event->current, err);
	model->event_count++;
	return status;
}

enum status model_load(struct model *model, const char *folder, struct err *err)
{
	size_t count;
	*model = (struct model){0};
	char **files = list_folder(model, folder, is_schema_file, &count);
	if (!count)
		return err_set(err, REJECT, "bad_schema", "%s: holds no .avsc", folder);
	qsort(files, count, sizeof *files, compare_names);
	model->events = arena_alloc(&model->arena, count * sizeof *model->events);
	for (size_t i = 0; i < count; i++) {
		enum status status = load_event(model, folder, files[i], err);
		if (status != OK)
			return status;
	}
	enum status status = check_vanished(model, folder, err);
	return status == OK ? model_check_names(model, err) : status;
}
