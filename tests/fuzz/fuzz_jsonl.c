/* JSON lines as `tandem publish` reads them: a file, line by line, each to an event. Input: the file. */
#include "../../producers/publish/input.h"
#include "../../producers/publish/jsonl.h"
#include "fuzz.h"

#include <string.h>

#define PER_BYTE 80
#define BASE     (1280 * 1024) /* the reader's buffer, old and new while it grows, and an arena's blocks */

/* An event that was taken is one that can be sent. */
static void can_be_sent(const struct event_type *type, const void *event)
{
	struct buf out = {0};
	struct err err = {0};
	struct arena arena = {0};
	void *again = arena_alloc(&arena, type->size);
	FUZZ_MUST(type->origin == EVENT_PUBLISHER && type->key && *type->key(event), "%s", type->name);
	FUZZ_MUST(event_encode(type, event, &out, &err) == OK, "%s", err.text);
	FUZZ_MUST(event_decode(type, type->fingerprint, out.data + EVENT_HEADER_BYTES, out.len - EVENT_HEADER_BYTES,
	                       &arena, again, &err) == OK &&
	                  event_equal(type, event, again),
	          "%s: %s", type->name, err.text);
	buf_fini(&out);
	arena_fini(&arena);
}

static void one_line(const char *line, size_t len)
{
	struct arena arena = {0};
	struct err err = {0};
	const struct event_type *type;
	const void *event;
	FUZZ_MUST(!memchr(line, '\n', len) && !line[len], "no line");
	enum status status = jsonl_parse(line, len, &arena, &type, &event, &err);
	FUZZ_MUST(status == OK || (status == REJECT && err.code && *err.text), "%d %s", status, err.text);
	if (status == OK)
		can_be_sent(type, event);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input;
	struct err err = {0};
	const char *line;
	size_t len, seen = 0;
	const char *path = fuzz_file(data, size);
	memory_begin();
	FUZZ_MUST(input_open(&input, path, &err) == OK, "%s", err.text);
	enum input_result result;
	while ((result = input_line(&input, -1, &line, &len, &err)) == INPUT_SOME) {
		one_line(line, len);
		seen += len;
	}
	FUZZ_MUST(result == INPUT_END, "%d %s", result, err.text); /* no line is as long as is refused */
	FUZZ_MUST(seen <= size && input.line <= (int64_t)size, "more than there is");
	input_close(&input);
	FUZZ_WITHIN("lines", memory_end(), size, PER_BYTE, BASE);
	return 0;
}
