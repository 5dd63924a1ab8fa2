/* Which writer's schema a reader's schema can read (Avro 1.11 specification, "Schema Resolution"). */
#include "model.h"

#include <stdio.h>
#include <string.h>

/* One reader and one writer, and where in them we are. */
struct pair {
	struct arena *arena;
	const char *at; /* "OrderPlaced.lines[].sku" */
	bool strict;    /* every value must be readable; else only some must be */
	struct err *err;
};

#define refuse(p, ...) err_context((p).err, err_set((p).err, REJECT, "incompatible", __VA_ARGS__), "%s", (p).at)

static enum status can_read_use(struct pair p, const struct use *reader, const struct use *writer);

static enum status can_read_record(struct pair p, const struct type *reader, const struct type *writer)
{
	const char *outer = p.at;
	for (size_t i = 0; i < reader->field_count; i++) {
		const struct field *field = &reader->fields[i], *written = type_field(writer, field->name);
		p.at = arena_format(p.arena, "%s.%s", outer, field->name);
		if (!written && !field->default_json)
			return refuse(p, "the writer has not got this field, and the reader has no default for it");
		enum status status = written ? can_read_use(p, &field->use, &written->use) : OK;
		if (status != OK)
			return status;
	}
	return OK; /* fields that only the writer has are skipped; an enum always has a default */
}

/* int to long; string and bytes both ways. float and double are not supported at all. */
static bool promotes(enum kind writer, enum kind reader)
{
	return (writer == KIND_INT && reader == KIND_LONG) || (writer == KIND_STRING && reader == KIND_BYTES) ||
	       (writer == KIND_BYTES && reader == KIND_STRING);
}

static enum status can_read(struct pair p, const struct type *reader, const struct type *writer)
{
	if (promotes(writer->kind, reader->kind))
		return OK;
	if (reader->kind != writer->kind)
		return refuse(p,
		              "the writer's %s cannot be read as the reader's %s (promotion: int to long, string to "
		              "bytes, bytes to string)",
		              writer->name, reader->name);
	bool named = reader->kind == KIND_RECORD || reader->kind == KIND_ENUM || reader->kind == KIND_FIXED;
	if (named && strcmp(reader->name, writer->name) != 0)
		return refuse(p, "the writer's type is called %s, the reader's %s (named types match by name)",
		              writer->name, reader->name);
	if (reader->kind == KIND_FIXED && reader->bytes != writer->bytes)
		return refuse(p, "the writer's fixed has %zu bytes, the reader's %zu (sizes must match)", writer->bytes,
		              reader->bytes);
	if (reader->kind == KIND_RECORD)
		return can_read_record(p, reader, writer);
	if (reader->kind == KIND_ARRAY) {
		p.at = arena_format(p.arena, "%s[]", p.at);
		return can_read_use(p, &reader->items, &writer->items);
	}
	return OK;
}

static enum status can_read_use(struct pair p, const struct use *reader, const struct use *writer)
{
	if (p.strict && writer->nullable && !reader->nullable)
		return refuse(p,
		              "the writer may write null, and the reader has no null (every branch must be readable)");
	return can_read(p, reader->type, writer->type);
}

static enum status schemas_readable(const struct schema *reader, const struct schema *writer, bool strict,
                                    struct err *err)
{
	struct arena arena = {0};
	struct pair p = {.arena = &arena, .at = reader->root->name, .strict = strict, .err = err};
	enum status status = can_read(p, reader->root, writer->root);
	arena_fini(&arena);
	return status == OK ? OK : err_context(err, status, "%s cannot read what %s wrote", reader->path, writer->path);
}

enum status compat_can_read(const struct schema *reader, const struct schema *writer, struct err *err)
{
	return schemas_readable(reader, writer, false, err);
}

/* Defaults stay what they were: a record that lacks the field is folded with it, and content hashes leave it out. */

static enum status defaults_kept(struct pair p, const struct type *now, const struct type *then);

static enum status field_default_kept(struct pair p, const struct field *now, const struct field *then)
{
	const char *outer = p.at;
	p.at = arena_format(p.arena, "%s.%s", outer, now->name);
	if (!now->default_json != !then->default_json ||
	    (now->default_json && !json_equal(now->default_json, then->default_json)))
		return refuse(p, "its default is another one (the default of a published field never changes: stored "
		                 "records and hashes are read with it)");
	return defaults_kept(p, now->use.type, then->use.type);
}

static enum status defaults_kept(struct pair p, const struct type *now, const struct type *then)
{
	if (now->kind != then->kind)
		return OK;
	if (now->kind == KIND_ARRAY) {
		p.at = arena_format(p.arena, "%s[]", p.at);
		return defaults_kept(p, now->items.type, then->items.type);
	}
	if (now->kind == KIND_ENUM &&
	    strcmp(now->symbols[now->symbol_default], then->symbols[then->symbol_default]) != 0)
		return refuse(p, "the enum's default was %s and is %s (the default of a published enum never changes)",
		              then->symbols[then->symbol_default], now->symbols[now->symbol_default]);
	for (size_t i = 0; i < now->field_count; i++) {
		const struct field *old = type_field(then, now->fields[i].name);
		enum status status = old ? field_default_kept(p, &now->fields[i], old) : OK;
		if (status != OK)
			return status;
	}
	return OK;
}

static enum status schemas_keep_defaults(const struct schema *now, const struct schema *then, struct err *err)
{
	struct arena arena = {0};
	struct pair p = {.arena = &arena, .at = now->root->name, .err = err};
	enum status status = defaults_kept(p, now->root, then->root);
	arena_fini(&arena);
	return status == OK ? OK : err_context(err, status, "%s differs from %s", now->path, then->path);
}

static enum status event_check(const struct event *event, struct err *err)
{
	for (size_t i = 0; i < event->history_count; i++) {
		const struct schema *now = &event->current, *then = &event->history[i];
		enum status status = schemas_readable(now, then, true, err);
		if (status == OK)
			status = schemas_readable(then, now, true, err);
		if (status == OK)
			status = schemas_keep_defaults(now, then, err);
		if (status != OK)
			return status;
	}
	return OK;
}

enum status compat_check(const struct model *model, struct err *err)
{
	for (size_t i = 0; i < model->event_count; i++) {
		enum status status = event_check(&model->events[i], err);
		if (status != OK)
			return status;
	}
	return OK;
}
