/* The generated source: all its parts, and the tables of events. */
#include "emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_symbols(const struct type *type, struct buf *out)
{
	const char *c = type->c_name;
	buf_putf(out,
	         "_Static_assert(sizeof(enum %s) == sizeof(unsigned), \"event_reflect takes enums as unsigned\");\n\n",
	         c);
	buf_putf(out, "static const char *const %s_symbol_names[] = {", c);
	for (size_t i = 0; i < type->symbol_count; i++)
		buf_putf(out, "%s\"%s\"", i ? ", " : "", type->symbols[i]);
	buf_putf(out, "};\n\nstatic const struct event_symbols %s_symbols = {\"%s\", %s_symbol_names, %zu};\n\n", c,
	         type->full_name, c, type->symbol_count);
	buf_putf(out,
	         "const char *%s_name(enum %s value)\n{\n"
	         "\treturn (size_t)value < %zu ? %s_symbol_names[value] : NULL;\n}\n\n",
	         c, c, type->symbol_count, c);
}

static void put_type(struct model *model, const struct type *type, struct buf *out)
{
	if (type->kind == KIND_FIXED)
		return;
	if (type->kind == KIND_ENUM) {
		put_symbols(type, out);
		return;
	}
	if (type->kind == KIND_RECORD)
		emit_defaults(model, type, out);
	emit_encoder(model, type, out);
	emit_equal(model, type, out);
	emit_reflection(type, out);
}

/* What event_type wants has other argument types than what is generated for one event. */
static void put_wrappers(const struct type *root, struct buf *out)
{
	const char *c = root->c_name;
	buf_putf(out,
	         "static enum status any_encode_%s(const void *event, struct buf *out, struct err *err)\n{\n"
	         "\treturn encode_%s(event, out, err);\n}\n\n",
	         c, c);
	buf_putf(out, "static bool any_equal_%s(const void *a, const void *b)\n{\n\treturn equal_%s(a, b);\n}\n\n", c,
	         c);
}

static void put_key(const struct schema *schema, struct buf *out)
{
	if (schema->key)
		buf_putf(out,
		         "static const char *key_%s(const void *event)\n{\n"
		         "\treturn ((const struct %s *)event)->%s;\n}\n\n",
		         schema->root->c_name, schema->root->c_name, schema->key);
}

static bool known_before(const struct event *event, size_t history)
{
	bool known = event->current.fingerprint == event->history[history].fingerprint;
	for (size_t i = 0; i < history; i++)
		known |= event->history[i].fingerprint == event->history[history].fingerprint;
	return known;
}

/* The function that chooses the decoder by the writer's fingerprint, and the list of writers. */
static size_t put_decode(struct decoders *decoders, const struct event *event, struct buf *out)
{
	const struct schema *current = &event->current;
	const char *c = current->root->c_name;
	struct buf cases = {0}, writers = {0};
	size_t ratio = 0;
	for (size_t i = 0; i <= event->history_count; i++) {
		const struct schema *writer = i ? &event->history[i - 1] : current;
		if (i && known_before(event, i - 1))
			continue;
		const char *function = emit_decoders(decoders, current, writer, &ratio);
		unsigned long long fingerprint = writer->fingerprint;
		buf_putf(&cases,
		         "\tcase UINT64_C(0x%016llx): /* %s */\n\t\twire_begin(&in, body, len, arena);\n"
		         "\t\treturn wire_finish(&in, %s(&in, event), \"%s\", err);\n",
		         fingerprint, writer->path, function, current->root->name);
		buf_putf(&writers, "\tUINT64_C(0x%016llx),\n", fingerprint);
	}
	buf_putf(out,
	         "static enum status any_decode_%s(uint64_t writer, const uint8_t *body, size_t len,\n"
	         "\t\tstruct arena *arena, void *event, struct err *err)\n{\n\tstruct wire_reader in;\n"
	         "\tswitch (writer) {\n%s\t}\n\treturn wire_unknown(\"%s\", writer, err);\n}\n\n",
	         c, buf_text(&cases), current->root->name);
	buf_putf(out, "static const uint64_t %s_writers[] = {\n%s};\n\n", c, buf_text(&writers));
	buf_fini(&cases);
	buf_fini(&writers);
	return ratio;
}

static void put_text(const char *text, struct buf *out)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		len += text[len] == '\n';
		buf_putf(out, "\n\t\t");
		emit_literal(out, text, len);
		text += len;
	}
}

static void put_event_type(const struct event *event, size_t ratio, struct buf *out)
{
	static const char *const origins[] = {
		[EVENT_PUBLISHER] = "EVENT_PUBLISHER",
		[EVENT_WORKER] = "EVENT_WORKER",
		[EVENT_CONTROL] = "EVENT_CONTROL",
		[EVENT_OTHER] = "EVENT_OTHER",
	};
	const struct schema *schema = &event->current;
	const char *c = schema->root->c_name;
	buf_putf(out, "const struct event_type %s_type = {\n\t.name = \"%s\",\n\t.full_name = \"%s\",\n\t.schema =", c,
	         schema->root->name, schema->root->full_name);
	put_text(schema->text, out);
	buf_putf(out, ",\n\t.fingerprint = UINT64_C(0x%016llx),\n\t.origin = %s,\n\t.topic = ",
	         (unsigned long long)schema->fingerprint, origins[schema->origin]);
	if (schema->topic)
		emit_literal(out, schema->topic, strlen(schema->topic));
	else
		buf_putf(out, "NULL");
	buf_putf(out,
	         ",\n\t.key = %s%s,\n\t.size = sizeof(struct %s),\n\t.writers = %s_writers,\n"
	         "\t.writer_count = sizeof %s_writers / sizeof *%s_writers,\n\t.record = &%s_record,\n"
	         "\t.decode_ratio = %zu,\n\t.encode = any_encode_%s,\n\t.decode = any_decode_%s,\n"
	         "\t.equal = any_equal_%s,\n};\n\n",
	         schema->key ? "key_" : "NULL", schema->key ? c : "", c, c, c, c, c, ratio, c, c, c);
}

/* Tables. */

struct writer {
	uint64_t fingerprint;
	const char *c_name;
};

static int by_fingerprint(const void *a, const void *b)
{
	uint64_t x = ((const struct writer *)a)->fingerprint, y = ((const struct writer *)b)->fingerprint;
	return x < y ? -1 : x > y;
}

static struct writer *gather_writers(const struct model *model, size_t *count)
{
	size_t room = 0;
	for (size_t i = 0; i < model->event_count; i++)
		room += 1 + model->events[i].history_count;
	struct writer *writers = mem_alloc(room * sizeof *writers);
	*count = 0;
	for (size_t i = 0; i < model->event_count; i++) {
		const struct event *event = &model->events[i];
		const char *c = event->current.root->c_name;
		writers[(*count)++] = (struct writer){event->current.fingerprint, c};
		for (size_t h = 0; h < event->history_count; h++)
			if (!known_before(event, h))
				writers[(*count)++] = (struct writer){event->history[h].fingerprint, c};
	}
	qsort(writers, *count, sizeof *writers, by_fingerprint);
	return writers;
}

/* events: event_types, event_type_count, event_writers, event_writer_count; other names likewise without their s. */
static void put_tables(struct model *model, const char *name, struct buf *out)
{
	size_t len = strlen(name), count;
	const char *prefix = arena_copy(&model->arena, name, name[len - 1] == 's' ? len - 1 : len);
	buf_putf(out, "const struct event_type *const %s_types[] = {\n", prefix);
	for (size_t i = 0; i < model->event_count; i++)
		buf_putf(out, "\t&%s_type,\n", model->events[i].current.root->c_name);
	buf_putf(out, "};\n\nconst size_t %s_type_count = sizeof %s_types / sizeof *%s_types;\n\n", prefix, prefix,
	         prefix);
	struct writer *writers = gather_writers(model, &count);
	buf_putf(out, "const struct event_writer %s_writers[] = {\n", prefix);
	for (size_t i = 0; i < count; i++)
		buf_putf(out, "\t{UINT64_C(0x%016llx), &%s_type},\n", (unsigned long long)writers[i].fingerprint,
		         writers[i].c_name);
	buf_putf(out, "};\n\nconst size_t %s_writer_count = sizeof %s_writers / sizeof *%s_writers;\n", prefix, prefix,
	         prefix);
	mem_free(writers);
}

void emit_source(struct model *model, const char *name, struct buf *out)
{
	struct decoders decoders = {.model = model, .out = out};
	buf_putf(out,
	         "/* Generated by schemagen. Do not edit: edit the schemas. */\n"
	         "#include \"%s.h\"\n\n#include \"event_reflect.h\"\n#include \"wire.h\"\n\n#include <string.h>\n\n",
	         name);
	for (size_t i = 0; i < model->type_count; i++)
		put_type(model, model->types[i], out);
	for (size_t i = 0; i < model->event_count; i++) {
		const struct event *event = &model->events[i];
		put_wrappers(event->current.root, out);
		put_key(&event->current, out);
		put_event_type(event, put_decode(&decoders, event, out), out);
	}
	put_tables(model, name, out);
}
