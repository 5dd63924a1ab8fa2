/* Decoding of every event, with every schema it was ever written with.
 *
 * Input: which event (1 byte), which of its writer schemas (1 byte), the body. */
#include "event_reflect.h"
#include "events.h"
#include "fuzz.h"
#include "../support/random_event.h"

#include <string.h>

#define BLOCK_BYTES (128 * 1024) /* an arena's first block, and what is rounded up */
#define RATIO_MAX   64           /* what a decoder may take of a byte, whatever event of Tandem's */

static const uint8_t hash_key[16] = {1};

/* Written again, and as JSON, and read back from both: the same event. */
static void same_again(const struct event_type *type, const void *event, struct arena *arena)
{
	struct buf out = {0};
	struct err err = {0};
	void *again = arena_alloc(arena, type->size), *told = arena_alloc(arena, type->size);
	FUZZ_MUST(event_encode(type, event, &out, &err) == OK, "%s", err.text);
	FUZZ_MUST(event_decode(type, type->fingerprint, out.data + EVENT_HEADER_BYTES, out.len - EVENT_HEADER_BYTES,
	                       arena, again, &err) == OK,
	          "%s", err.text);
	FUZZ_MUST(event_equal(type, event, again), "%s", type->name);
	FUZZ_MUST(event_content_hash(type, event, hash_key) == event_content_hash(type, again, hash_key), "%s",
	          type->name);
	json_t *json = event_to_json(type, event);
	FUZZ_MUST(event_from_json(type, json, arena, told, &err) == OK, "%s", err.text);
	FUZZ_MUST(event_equal(type, event, told), "%s", type->name);
	json_decref(json);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	struct arena arena = {0}, kept = {0};
	struct err err = {0};
	size_t count = 0, len;
	while (every_event_type(count))
		count++;
	const struct event_type *type = every_event_type(fuzz_below(&input, count));
	uint64_t writer = type->writers[fuzz_below(&input, type->writer_count)];
	const uint8_t *body = fuzz_bytes(&input, SIZE_MAX, &len);
	void *event = arena_alloc(&kept, type->size);

	memory_begin();
	enum status status = event_decode(type, writer, body, len, &arena, event, &err);
	size_t peak = memory_end();
	FUZZ_MUST(type->decode_ratio <= RATIO_MAX || type != event_type_named(type->name), "%s: %zu", type->name,
	          type->decode_ratio);
	FUZZ_MUST(arena_used(&arena) <= (len + 64) * type->decode_ratio, "%s: %zu bytes took %zu", type->name, len,
	          arena_used(&arena));
	FUZZ_WITHIN(type->name, peak, len, type->decode_ratio, BLOCK_BYTES);
	if (status == OK)
		same_again(type, event, &arena);
	else
		FUZZ_MUST(status == REJECT && err_is(&err, "malformed"), "%s: %s", type->name, err.text);
	arena_fini(&arena);
	arena_fini(&kept);
	fuzz_forget();
	return 0;
}
