/* Of the generated source: decoding what a writer's schema wrote into the reader's struct. Resolution (Avro 1.11
 * specification, "Schema Resolution") happens here, at build time: what is generated knows both schemas.
 *
 * Functions are named <what>_<type>_<signature of the writer's type> and made once, whoever needs them. compat_can_read has
 * said yes before. */
#include "emit.h"

#include <stdio.h>
#include <string.h>

#define SIG             "%016llx"
#define SIGNATURE(type) ((unsigned long long)(type)->signature)

static const char *reader_function(struct decoders *d, const struct type *reader, const struct type *writer);
static const char *skip_call(struct decoders *d, const struct type *writer);

static bool is_done(struct decoders *d, const char *name)
{
	for (size_t i = 0; i < d->done_count; i++)
		if (strcmp(d->done[i], name) == 0)
			return true;
	const char **done = arena_alloc(&d->model->arena, (d->done_count + 1) * sizeof *done);
	if (d->done_count)
		memcpy(done, d->done, d->done_count * sizeof *done);
	done[d->done_count++] = name;
	d->done = done;
	return false;
}

static struct arena *arena_of(struct decoders *d)
{
	return &d->model->arena;
}

/* The call that reads one value of the writer's type into target; true where it could. */
static const char *read_call(struct decoders *d, const struct type *reader, const struct type *writer,
                             const char *target)
{
	struct arena *arena = arena_of(d);
	switch (reader->kind) {
	case KIND_BOOLEAN:
		return arena_format(arena, "wire_get_boolean(in, &%s)", target);
	case KIND_INT:
		return arena_format(arena, "wire_get_int(in, &%s)", target);
	case KIND_LONG:
		return arena_format(arena, "wire_get_long%s(in, &%s)", writer->kind == KIND_INT ? "_of_int" : "",
		                    target);
	case KIND_STRING: /* a writer's bytes must be a string */
		return arena_format(arena, "wire_get_string(in, &%s)", target);
	case KIND_BYTES:
		return arena_format(arena, "wire_get_bytes(in, &%s)", target);
	case KIND_FIXED:
		return arena_format(arena, "wire_get_fixed(in, %s, %zu)", target, reader->bytes);
	case KIND_ENUM:
	case KIND_ARRAY:
	case KIND_RECORD:
		break;
	}
	return arena_format(arena, "%s(in, &%s)", reader_function(d, reader, writer), target);
}

static const char *tabs_of(struct decoders *d, int tabs)
{
	return arena_copy(arena_of(d), "\t\t\t\t\t\t", (size_t)tabs);
}

/* Where a value goes, and what to do when it cannot. */
struct target {
	const char *value; /* "out->sku" */
	const char *has;   /* "out->has_x"; NULL: none */
	const char *leave; /* "return wire_at(in, \"OrderLine.sku\")" */
	int tabs;
};

static void put_null(struct decoders *d, const struct use *reader, const struct target *to, struct buf *out)
{
	const char *tabs = tabs_of(d, to->tabs);
	if (!reader->nullable)
		buf_putf(out, "%swire_fail(in, \"null, which the schema it is read with has not\");\n%s%s;\n", tabs,
		         tabs, to->leave);
	else if (to->has)
		buf_putf(out, "%s%s = false;\n%smemset(&%s, 0, sizeof %s);\n", tabs, to->has, tabs, to->value,
		         to->value);
	else
		buf_putf(out,
		         reader->type->kind == KIND_STRING ? "%s%s = NULL;\n" : "%s%s = (struct event_bytes){0};\n",
		         tabs, to->value);
}

static void put_read(struct decoders *d, const struct use *reader, const struct use *writer, const struct target *to,
                     struct buf *out)
{
	const char *tabs = tabs_of(d, to->tabs);
	buf_putf(out, "%sif (!%s)\n%s\t%s;\n", tabs, read_call(d, reader->type, writer->type, to->value), tabs,
	         to->leave);
	if (reader->nullable && to->has)
		buf_putf(out, "%s%s = true;\n", tabs, to->has);
}

static void put_decode(struct decoders *d, const struct use *reader, const struct use *writer, struct target to,
                       struct buf *out)
{
	if (!writer->nullable) {
		put_read(d, reader, writer, &to, out);
		return;
	}
	const char *tabs = tabs_of(d, to.tabs);
	buf_putf(out, "%sif (!wire_get_index(in, 2, &branch))\n%s\t%s;\n", tabs, tabs, to.leave);
	buf_putf(out, "%sif (branch == %d) {\n", tabs, writer->null_first ? 0 : 1);
	to.tabs++;
	put_null(d, reader, &to, out);
	buf_putf(out, "%s} else {\n", tabs);
	put_read(d, reader, writer, &to, out);
	buf_putf(out, "%s}\n", tabs);
}

static void put_skip(struct decoders *d, const struct use *writer, const char *leave, int tab_count, struct buf *out)
{
	const char *tabs = tabs_of(d, tab_count), *call = skip_call(d, writer->type);
	if (writer->nullable) {
		buf_putf(out, "%sif (!wire_get_index(in, 2, &branch))\n%s\t%s;\n", tabs, tabs, leave);
		call = arena_format(arena_of(d), "branch == %d && !%s", writer->null_first ? 1 : 0, call);
	} else {
		call = arena_format(arena_of(d), "!%s", call);
	}
	buf_putf(out, "%sif (%s)\n%s\t%s;\n", tabs, call, tabs, leave);
}

/* Skipping checks what it skips as reading does. */

static void put_skip_record(struct decoders *d, const struct type *writer, struct buf *out)
{
	for (size_t i = 0; i < writer->field_count; i++) {
		const struct field *field = &writer->fields[i];
		const char *leave =
			arena_format(arena_of(d), "return wire_at(in, \"%s.%s\")", writer->name, field->name);
		put_skip(d, &field->use, leave, 1, out);
	}
	buf_putf(out, "\treturn true;\n");
}

static void put_skip_array(struct decoders *d, const struct type *writer, struct buf *out)
{
	const struct use *items = &writer->items;
	buf_putf(out,
	         "\tstruct wire_block block;\n\tfor (;;) {\n"
	         "\t\tif (!wire_get_block(in, %zu, &block))\n\t\t\treturn false;\n"
	         "\t\tif (!block.count)\n\t\t\treturn true;\n"
	         "\t\tfor (; block.count; block.count--) {\n",
	         items->nullable ? 1 : items->type->bytes_min);
	put_skip(d, items, "return false", 3, out);
	buf_putf(out, "\t\t}\n\t\tif (!wire_end_block(in, &block))\n\t\t\treturn false;\n\t}\n");
}

static const char *skip_function(struct decoders *d, const struct type *writer)
{
	const char *name = arena_format(arena_of(d), "skip_%s_" SIG, writer->c_name, SIGNATURE(writer));
	if (is_done(d, name))
		return name;
	struct buf body = {0};
	if (writer->kind == KIND_ARRAY)
		put_skip_array(d, writer, &body);
	else
		put_skip_record(d, writer, &body);
	buf_putf(d->out, "static bool %s(struct wire_reader *in)\n{\n%s%s}\n\n", name,
	         strstr(buf_text(&body), "&branch") ? "\tsize_t branch;\n" : "", buf_text(&body));
	buf_fini(&body);
	return name;
}

static const char *skip_call(struct decoders *d, const struct type *writer)
{
	switch (writer->kind) {
	case KIND_BOOLEAN:
	case KIND_INT:
	case KIND_LONG:
	case KIND_STRING:
	case KIND_BYTES:
		return arena_format(arena_of(d), "wire_skip_%s(in)", writer->name);
	case KIND_FIXED:
		return arena_format(arena_of(d), "wire_skip_fixed(in, %zu)", writer->bytes);
	case KIND_ENUM:
		return arena_format(arena_of(d), "wire_skip_index(in, %zu)", writer->symbol_count);
	case KIND_ARRAY:
	case KIND_RECORD:
		break;
	}
	return arena_format(arena_of(d), "%s(in)", skip_function(d, writer));
}

/* Enums, arrays, records. */

/* By symbol; a symbol that the reader has not is the reader's default. */
static void put_enum(const struct type *reader, const struct type *writer, const char *name, struct buf *out)
{
	buf_putf(out, "static bool %s(struct wire_reader *in, enum %s *out)\n{\n\tstatic const uint16_t symbols[] = {",
	         name, reader->c_name);
	for (size_t w = 0; w < writer->symbol_count; w++) {
		size_t found = reader->symbol_default;
		for (size_t r = 0; r < reader->symbol_count; r++)
			if (strcmp(reader->symbols[r], writer->symbols[w]) == 0)
				found = r;
		buf_putf(out, "%s%zu", w ? ", " : "", found);
	}
	buf_putf(out,
	         "};\n\tsize_t index;\n\tif (!wire_get_index(in, %zu, &index))\n\t\treturn false;\n"
	         "\t*out = (enum %s)symbols[index];\n\treturn true;\n}\n\n",
	         writer->symbol_count, reader->c_name);
}

static void put_array(struct decoders *d, const struct type *reader, const struct type *writer, struct buf *out)
{
	const struct use *items = &writer->items;
	buf_putf(out,
	         "\tstruct wire_block block;\n\tsize_t room = 0;\n"
	         "\t*out = (struct %s){0};\n\tfor (;;) {\n"
	         "\t\tif (!wire_get_block(in, %zu, &block))\n\t\t\treturn false;\n"
	         "\t\tif (!block.count)\n\t\t\treturn true;\n"
	         "\t\tout->items = wire_items(in, out->items, out->count, &room, block.count, "
	         "sizeof *out->items);\n"
	         "\t\tfor (; block.count; block.count--) {\n",
	         reader->c_name, items->nullable ? 1 : items->type->bytes_min);
	put_decode(d, &reader->items, items,
	           (struct target){.value = "out->items[out->count]", .leave = "return false", .tabs = 3}, out);
	buf_putf(out, "\t\t\tout->count++;\n\t\t}\n\t\tif (!wire_end_block(in, &block))\n\t\t\treturn false;\n\t}\n");
}

static void put_field(struct decoders *d, const struct type *record, const struct field *field,
                      const struct field *written, struct buf *out)
{
	struct arena *arena = arena_of(d);
	bool has = field->use.nullable && !emit_null_is_pointer(field->use.type);
	struct target to = {
		.value = arena_format(arena, "out->%s", field->name),
		.has = has ? arena_format(arena, "out->has_%s", field->name) : NULL,
		.leave = arena_format(arena, "return wire_at(in, \"%s.%s\")", record->name, field->name),
		.tabs = 1,
	};
	if (written) {
		put_decode(d, &field->use, &written->use, to, out);
		return;
	}
	if (has)
		buf_putf(out, "\t%s = %s_defaults.has_%s;\n", to.has, record->c_name, field->name);
	if (field->use.type->kind == KIND_FIXED)
		buf_putf(out, "\tmemcpy(%s, %s_defaults.%s, %zu);\n", to.value, record->c_name, field->name,
		         field->use.type->bytes);
	else
		buf_putf(out, "\t%s = %s_defaults.%s;\n", to.value, record->c_name, field->name);
}

/* In the writer's order; then what the writer has not got. */
static void put_record(struct decoders *d, const struct type *reader, const struct type *writer, struct buf *out)
{
	for (size_t i = 0; i < writer->field_count; i++) {
		const struct field *written = &writer->fields[i], *field = type_field(reader, written->name);
		const char *leave =
			arena_format(arena_of(d), "return wire_at(in, \"%s.%s\")", writer->name, written->name);
		if (field)
			put_field(d, reader, field, written, out);
		else
			put_skip(d, &written->use, leave, 1, out);
	}
	for (size_t i = 0; i < reader->field_count; i++)
		if (!type_field(writer, reader->fields[i].name))
			put_field(d, reader, &reader->fields[i], NULL, out);
	buf_putf(out, "\treturn true;\n");
}

static const char *reader_function(struct decoders *d, const struct type *reader, const struct type *writer)
{
	const char *name = arena_format(arena_of(d), "decode_%s_" SIG, reader->c_name, SIGNATURE(writer));
	if (is_done(d, name))
		return name;
	if (reader->kind == KIND_ENUM) {
		put_enum(reader, writer, name, d->out);
		return name;
	}
	struct buf body = {0};
	if (reader->kind == KIND_ARRAY)
		put_array(d, reader, writer, &body);
	else
		put_record(d, reader, writer, &body);
	buf_putf(d->out, "static bool %s(struct wire_reader *in, struct %s *out)\n{\n%s%s}\n\n", name, reader->c_name,
	         strstr(buf_text(&body), "&branch") ? "\tsize_t branch;\n" : "", buf_text(&body));
	buf_fini(&body);
	return name;
}

/* How much of the arena a byte may take. */

/* At least sizeof the C value, on any machine. */
static size_t c_size(const struct type *type)
{
	size_t size = 0;
	switch (type->kind) {
	case KIND_FIXED:
		return (type->bytes + 7) / 8 * 8;
	case KIND_BYTES:
	case KIND_ARRAY:
		return 16;
	case KIND_RECORD:
		for (size_t i = 0; i < type->field_count; i++)
			size += c_size(type->fields[i].use.type) + (type->fields[i].use.nullable ? 8 : 0);
		return size;
	default:
		return 8;
	}
}

/* For each array: four times its items (see wire_items), and 8 for rounding up a small one that takes two bytes and more. */
static size_t arrays_ratio(const struct type *reader, const struct type *writer)
{
	size_t ratio = 0;
	if (reader->kind == KIND_ARRAY) {
		size_t bytes_min = writer->items.nullable ? 1 : writer->items.type->bytes_min;
		ratio = 8 + 4 * ((c_size(reader->items.type) + bytes_min - 1) / bytes_min);
		return ratio + arrays_ratio(reader->items.type, writer->items.type);
	}
	for (size_t i = 0; i < reader->field_count; i++) {
		const struct field *written = type_field(writer, reader->fields[i].name);
		if (written)
			ratio += arrays_ratio(reader->fields[i].use.type, written->use.type);
	}
	return ratio;
}

const char *emit_decoders(struct decoders *decoders, const struct schema *reader, const struct schema *writer,
                          size_t *ratio)
{
	size_t needed = 2 + arrays_ratio(reader->root, writer->root);
	if (*ratio < needed)
		*ratio = needed;
	return reader_function(decoders, reader->root, writer->root);
}
