#include "run.h"

#include <inttypes.h>

static void put(FILE *out, int indent, const char *what, int64_t number)
{
	fprintf(out, "%*s%-*s %10" PRId64 "\n", indent, "", 58 - indent, what, number);
}

static void print_rows(const struct publish_result *result, FILE *out)
{
	put(out, 0, "rows", result->rows);
	for (size_t i = 0; i < RETAIL_ROW_KINDS; i++)
		put(out, 2, retail_row_texts[i], result->row_counts[i]);
	fputs("of these\n", out);
	for (size_t i = 0; i < RETAIL_NOTES; i++)
		put(out, 2, retail_note_texts[i], result->notes[i]);
}

void publish_print(const struct publish_result *result, bool dry_run, FILE *out)
{
	if (result->has_rows)
		print_rows(result, out);
	fputs(dry_run ? "events that would be sent\n" : "events sent\n", out);
	for (size_t i = 0; result->types[i].type; i++)
		put(out, 2, result->types[i].type->name, result->types[i].events);
	if (dry_run)
		return;
	put(out, 0, "acknowledged", result->sent.acknowledged);
	if (result->sent.resent)
		put(out, 0, "sent again", result->sent.resent);
}

static json_t *numbers(const char *const *names, const int64_t *values, size_t count)
{
	json_t *object = json_object();
	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, names[i], json_integer(values[i]));
	return object;
}

json_t *publish_json(const struct publish_result *result, bool dry_run, bool complete)
{
	json_t *object = json_object(), *events = json_object();
	if (result->has_rows) {
		json_object_set_new(object, "rows", json_integer(result->rows));
		json_object_set_new(object, "row_counts",
		                    numbers(retail_row_names, result->row_counts, RETAIL_ROW_KINDS));
		json_object_set_new(object, "notes", numbers(retail_note_names, result->notes, RETAIL_NOTES));
	}
	for (size_t i = 0; result->types[i].type; i++)
		json_object_set_new(events, result->types[i].type->name, json_integer(result->types[i].events));
	json_object_set_new(object, "events", events);
	json_object_set_new(object, "acknowledged", json_integer(result->sent.acknowledged));
	json_object_set_new(object, "sent_again", json_integer(result->sent.resent));
	json_object_set_new(object, "dry_run", json_boolean(dry_run));
	json_object_set_new(object, "complete", json_boolean(complete));
	return object;
}
