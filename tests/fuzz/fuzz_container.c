/* Avro container files, read as event_file reads them. Input: the file. */
#include "event.h"
#include "fuzz.h"

#include <string.h>

/* Deflate makes at most 1032 bytes of one, and a block may have 64 MiB: then what it inflates to is the input. */
#define PER_BYTE      1024
#define DEFLATE_RATIO 1032
#define BASE          (1024 * 1024)
#define DATUMS_MAX    100000

static bool has(const uint8_t *data, size_t size, const char *text)
{
	return memmem(data, size, text, strlen(text)) != NULL;
}

static void known(enum status status, const struct err *err)
{
	FUZZ_MUST(status == REJECT &&
	                  (err_is(err, "unknown_codec") || err_is(err, "malformed") || err_is(err, "bad_schema")),
	          "%s: %s", err->code, err->text);
}

/* Reads it all; the most that one block and its datums took. */
static void read_all(struct event_file *file)
{
	struct arena arena = {0};
	struct err err = {0};
	const uint8_t *body;
	size_t len;
	enum status status = OK;
	for (int i = 0; i < DATUMS_MAX; i++) {
		arena_reset(&arena);
		status = event_file_next(file, &arena, &body, &len, &err);
		if (status != OK || !body)
			break;
		/* What is handed out was checked: it is a datum of the file's schema, all of it. */
		const char *text;
		status = event_foreign_to_json(event_file_schema(file), body, len, &arena, &text, &err);
		FUZZ_MUST(status == OK, "%s", err.text);
	}
	if (status != OK)
		known(status, &err);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_file *file;
	struct err err = {0};
	const char *path = fuzz_file(data, size);
	memory_begin();
	enum status status = event_file_open(path, &file, &err);
	if (status == OK)
		read_all(file);
	else
		known(status, &err);
	event_file_close(file, NULL);
	size_t peak = memory_end();
	FUZZ_WITHIN("file", peak, has(data, size, "deflate") ? size * DEFLATE_RATIO : size, PER_BYTE, BASE);
	return 0;
}
