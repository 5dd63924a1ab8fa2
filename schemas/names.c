/* Two names of the schemas must not be one in C. */
#include "model.h"

#include <stdio.h>
#include <string.h>

/* What a C identifier was made for. Tags (struct, enum) and ordinary identifiers are spaces of their own in C. */
struct made {
	const char *name, *from;
	bool tag;
};

struct names {
	struct made *made;
	size_t count, room;
	struct err *err;
};

static bool listed(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

#define LISTED(name, list) listed(name, list, sizeof(list) / sizeof *(list))

static bool is_c_word(const char *name)
{
	static const char *const words[] = {
		"auto",     "break",        "case",          "char",     "const",    "continue", "default",  "do",
		"double",   "else",         "enum",          "extern",   "float",    "for",      "goto",     "if",
		"inline",   "int",          "long",          "register", "restrict", "return",   "short",    "signed",
		"sizeof",   "static",       "struct",        "switch",   "typedef",  "union",    "unsigned", "void",
		"volatile", "while",        "asm",           "typeof",   "bool",     "true",     "false",    "alignas",
		"alignof",  "thread_local", "static_assert", "errno",    "stdin",    "stdout",   "stderr",   "EOF",
		"NULL",
	};
	return LISTED(name, words);
}

/* Tags that the headers which events.h includes have. */
static bool is_house_tag(const char *name)
{
	static const char *const tags[] = {"buf", "err", "arena", "status", "arena_block", "event", "wire"};
	return LISTED(name, tags) || strncmp(name, "event_", 6) == 0 || strncmp(name, "wire_", 5) == 0;
}

static enum status take(struct names *names, const char *name, bool tag, const char *from)
{
	if (is_c_word(name) || (tag && is_house_tag(name)))
		return err_set(names->err, REJECT, "bad_schema",
		               "%s: its name in C would be %s, which C or common/ has already; supported: another name",
		               from, name);
	for (size_t i = 0; i < names->count; i++)
		if (names->made[i].tag == tag && strcmp(names->made[i].name, name) == 0)
			return err_set(names->err, REJECT, "bad_schema", "%s and %s would both be %s in C",
			               names->made[i].from, from, name);
	if (names->count == names->room) {
		names->room = names->room * 2 + 64;
		names->made = mem_realloc(names->made, names->room * sizeof *names->made);
	}
	names->made[names->count++] = (struct made){name, from, tag};
	return OK;
}

static enum status take_symbols(struct names *names, struct arena *arena, const struct type *type)
{
	enum status status = OK;
	for (size_t i = 0; i < type->symbol_count && status == OK; i++)
		status = take(names,
		              arena_format(arena, "%s_%s", model_upper(arena, type->c_name),
		                           model_upper(arena, type->symbols[i])),
		              false, arena_format(arena, "%s.%s", type->full_name, type->symbols[i]));
	if (status == OK)
		status = take(names, arena_format(arena, "%s_name", type->c_name), false, type->full_name);
	return status;
}

/* The members of one struct. */
static enum status check_members(struct arena *arena, const struct type *type, struct err *err)
{
	struct names members = {.err = err};
	enum status status = OK;
	for (size_t i = 0; i < type->field_count && status == OK; i++) {
		const struct field *field = &type->fields[i];
		const char *from = arena_format(arena, "%s.%s", type->name, field->name);
		enum kind kind = field->use.type->kind;
		status = take(&members, field->name, false, from);
		if (status == OK && field->use.nullable && kind != KIND_STRING && kind != KIND_BYTES)
			status = take(&members, arena_format(arena, "has_%s", field->name), false, from);
	}
	mem_free(members.made);
	return status;
}

static enum status take_type(struct names *names, struct arena *arena, const struct type *type)
{
	enum status status = OK;
	if (type->kind != KIND_FIXED)
		status = take(names, type->c_name, true, type->full_name);
	if (status == OK && type->kind == KIND_ENUM)
		status = take_symbols(names, arena, type);
	if (status == OK && type->kind == KIND_RECORD)
		status = check_members(arena, type, names->err);
	return status;
}

static enum status take_event(struct names *names, struct arena *arena, const struct type *root)
{
	static const char *const suffixes[] = {"type", "encode", "decode", "equal"};
	enum status status = OK;
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes && status == OK; i++)
		status = take(names, arena_format(arena, "%s_%s", root->c_name, suffixes[i]), false, root->full_name);
	return status;
}

enum status model_check_names(struct model *model, struct err *err)
{
	struct names names = {.err = err};
	enum status status = OK;
	for (size_t i = 0; i < model->type_count && status == OK; i++)
		status = take_type(&names, &model->arena, model->types[i]);
	for (size_t i = 0; i < model->event_count && status == OK; i++)
		status = take_event(&names, &model->arena, model->events[i].current.root);
	mem_free(names.made);
	return status;
}
