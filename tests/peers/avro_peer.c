/* Our half of tests/peers/avro.sh: writes what fastavro is to read, reads what fastavro wrote.
 *
 *     avro_peer write DIR    for each event: DIR/<Name>.ours (a JSON line {"hex", "json"} a value) and container files
 *                            DIR/<Name>.<codec>.avro of the same values
 *     avro_peer read DIR     DIR/theirs.jsonl (lines {"type", "writer", "hex", "json"}; json null: to be refused) and
 *                            DIR/<Name>.<codec>.theirs.avro with DIR/<Name>.theirs.json
 *
 * Exit status 1 with the first value that differs. */
#include "events.h"
#include "test_events.h"

#include "../support/random_event.h"

#include <stdlib.h>
#include <string.h>

#define VALUES 2000

static const char *const codecs[] = {"null", "deflate"};

static void die(const char *what, const struct err *err)
{
	fprintf(stderr, "avro_peer: %s: %s\n", what, err ? err->text : "");
	exit(1);
}

static FILE *open_in(const char *folder, const char *file, const char *mode)
{
	char *path = mem_format("%s/%s", folder, file);
	FILE *stream = fopen(path, mode);
	if (!stream)
		die(path, NULL);
	mem_free(path);
	return stream;
}

/* Writing. */

static void put_line(FILE *lines, const struct event_type *type, const void *event, const uint8_t *body, size_t len)
{
	struct buf hex = {0};
	for (size_t i = 0; i < len; i++)
		buf_putf(&hex, "%02x", body[i]);
	json_print_line(lines, json_pack("{s:s, s:o}", "hex", buf_text(&hex), "json", event_to_json(type, event)));
	buf_fini(&hex);
}

static void write_type(const char *folder, const struct event_type *type, struct rng *rng)
{
	struct err err = {0};
	struct event_file *files[2];
	char *name = mem_format("%s.ours", type->name);
	FILE *lines = open_in(folder, name, "w");
	for (int c = 0; c < 2; c++) {
		char *path = mem_format("%s/%s.%s.avro", folder, type->name, codecs[c]);
		if (event_file_create(path, type, codecs[c], &files[c], &err) != OK)
			die(path, &err);
		mem_free(path);
	}
	for (int i = 0; i < VALUES; i++) {
		struct arena arena = {0};
		struct buf out = {0};
		void *event = arena_alloc(&arena, type->size);
		random_event(rng, type->record, &arena, event);
		if (event_encode(type, event, &out, &err) != OK)
			die(type->name, &err);
		const uint8_t *body = out.data + EVENT_HEADER_BYTES;
		size_t len = out.len - EVENT_HEADER_BYTES;
		put_line(lines, type, event, body, len);
		for (int c = 0; c < 2; c++)
			if (event_file_append(files[c], body, len, &err) != OK)
				die(type->name, &err);
		buf_fini(&out);
		arena_fini(&arena);
	}
	for (int c = 0; c < 2; c++)
		if (event_file_close(files[c], &err) != OK)
			die(type->name, &err);
	fclose(lines);
	mem_free(name);
}

/* Reading. */

static const struct event_type *type_of(const char *name)
{
	for (size_t i = 0; every_event_type(i); i++)
		if (strcmp(every_event_type(i)->name, name) == 0)
			return every_event_type(i);
	return NULL;
}

static uint8_t *unhex(const char *hex, size_t *len)
{
	*len = strlen(hex) / 2;
	uint8_t *bytes = mem_alloc(*len);
	for (size_t i = 0; i < *len; i++) {
		char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
		bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return bytes;
}

static void differ(const char *what, const json_t *theirs, const json_t *ours)
{
	fprintf(stderr, "avro_peer: %s differs\n  theirs: ", what);
	json_dumpf(theirs, stderr, JSON_COMPACT | JSON_ENCODE_ANY);
	fprintf(stderr, "\n  ours:   ");
	json_dumpf(ours, stderr, JSON_COMPACT | JSON_ENCODE_ANY);
	fprintf(stderr, "\n");
	exit(1);
}

static void check_body(const struct event_type *type, uint64_t writer, const uint8_t *body, size_t len,
                       const json_t *expected, const char *what)
{
	struct arena arena = {0};
	struct err err = {0};
	void *event = arena_alloc(&arena, type->size);
	enum status status = event_decode(type, writer, body, len, &arena, event, &err);
	bool refused = status == REJECT && err_is(&err, "malformed");
	if (json_is_null(expected) != refused || (status != OK && !refused))
		die(what, &err);
	json_t *ours = status == OK ? event_to_json(type, event) : json_null();
	if (!json_equal(expected, ours))
		differ(what, expected, ours);
	json_decref(ours);
	arena_fini(&arena);
}

static size_t read_lines(const char *folder, size_t *refused)
{
	FILE *in = open_in(folder, "theirs.jsonl", "r");
	char *line = NULL;
	size_t room = 0, count = 0;
	while (getline(&line, &room, in) > 0) {
		json_t *json = json_loads(line, JSON_ALLOW_NUL, NULL);
		const struct event_type *type = type_of(json_string_value(json_object_get(json, "type")));
		if (!type)
			die(line, NULL);
		size_t len;
		uint8_t *body = unhex(json_string_value(json_object_get(json, "hex")), &len);
		uint64_t writer = strtoull(json_string_value(json_object_get(json, "writer")), NULL, 16);
		const json_t *expected = json_object_get(json, "json");
		check_body(type, writer, body, len, expected, line);
		*refused += json_is_null(expected);
		count++;
		mem_free(body);
		json_decref(json);
	}
	free(line);
	fclose(in);
	return count;
}

static size_t read_file(const char *folder, const struct event_type *type, const char *codec, const json_t *expected)
{
	struct err err = {0};
	struct event_file *file;
	char *path = mem_format("%s/%s.%s.theirs.avro", folder, type->name, codec);
	size_t count = 0;
	if (event_file_open(path, &file, &err) != OK)
		die(path, &err);
	for (;;) {
		struct arena arena = {0};
		const uint8_t *body;
		size_t len;
		if (event_file_next(file, &arena, &body, &len, &err) != OK)
			die(path, &err);
		if (body)
			check_body(type, type->fingerprint, body, len, json_array_get(expected, count++), path);
		arena_fini(&arena);
		if (!body)
			break;
	}
	if (count != json_array_size(expected))
		die("datums of a file", NULL);
	event_file_close(file, &err);
	mem_free(path);
	return count;
}

static size_t read_files(const char *folder)
{
	size_t count = 0;
	for (size_t i = 0; every_event_type(i); i++) {
		const struct event_type *type = every_event_type(i);
		char *name = mem_format("%s.theirs.json", type->name);
		FILE *in = open_in(folder, name, "r");
		json_t *expected = json_loadf(in, JSON_ALLOW_NUL, NULL);
		fclose(in);
		for (int c = 0; c < 2; c++)
			count += read_file(folder, type, codecs[c], expected);
		json_decref(expected);
		mem_free(name);
	}
	return count;
}

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[1], "write") != 0 && strcmp(argv[1], "read") != 0)) {
		fprintf(stderr, "usage: avro_peer write|read DIR\n");
		return 2;
	}
	if (strcmp(argv[1], "write") == 0) {
		struct rng rng = rng_begin(91);
		size_t types = 0;
		for (; every_event_type(types); types++)
			write_type(argv[2], every_event_type(types), &rng);
		printf("we wrote %zu events, %d values each, as bytes and in files of two codecs\n", types, VALUES);
		return 0;
	}
	size_t refused = 0, lines = read_lines(argv[2], &refused), datums = read_files(argv[2]);
	printf("we read %zu values of fastavro's as fastavro does (%zu refused by both), and %zu from its files\n",
	       lines, refused, datums);
	return lines > 10000 && refused > 100 && datums > 1000 ? 0 : 1;
}
