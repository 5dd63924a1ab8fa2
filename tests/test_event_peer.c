/* The same bytes as another implementation: avro-c reads what we wrote, and we read what it wrote. */
#include "events.h"
#include "test_events.h"

#include "support/peer_avro.h"
#include "support/random_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 400

static void with_random_events(uint64_t seed, void (*check)(const struct event_type *, const void *, struct peer *))
{
	struct rng rng = rng_begin(seed);
	for (size_t i = 0; every_event_type(i); i++) {
		const struct event_type *type = every_event_type(i);
		struct peer *peer = peer_open(type->schema);
		assert_non_null(peer);
		for (int round = 0; round < ROUNDS; round++) {
			struct arena arena = {0};
			void *event = arena_alloc(&arena, type->size);
			random_event(&rng, type->record, &arena, event);
			check(type, event, peer);
			arena_fini(&arena);
		}
		peer_close(peer);
	}
}

static void check_peer_reads(const struct event_type *type, const void *event, struct peer *peer)
{
	struct buf out = {0};
	struct err err = {0};
	assert_int_equal(event_encode(type, event, &out, &err), OK);
	json_t *ours = event_to_json(type, event);
	json_t *theirs = peer_read(peer, out.data + EVENT_HEADER_BYTES, out.len - EVENT_HEADER_BYTES);
	assert_non_null(theirs);
	if (!json_equal(ours, theirs)) {
		char *a = json_dumps(ours, JSON_COMPACT), *b = json_dumps(theirs, JSON_COMPACT);
		assert_string_equal(a, b);
	}
	json_decref(ours);
	json_decref(theirs);
	buf_fini(&out);
}

static void avro_c_reads_what_we_wrote(void **state)
{
	(void)state;
	with_random_events(51, check_peer_reads);
}

static void check_peer_writes(const struct event_type *type, const void *event, struct peer *peer)
{
	struct arena arena = {0};
	struct buf out = {0}, theirs = {0};
	struct err err = {0};
	void *back = arena_alloc(&arena, type->size);
	json_t *json = event_to_json(type, event);
	assert_true(peer_write(peer, json, &theirs));
	assert_int_equal(event_decode(type, type->fingerprint, theirs.data, theirs.len, &arena, back, &err), OK);
	assert_true(event_equal(type, event, back));
	assert_int_equal(event_encode(type, event, &out, &err), OK);
	assert_int_equal(out.len - EVENT_HEADER_BYTES, theirs.len);
	if (theirs.len)
		assert_memory_equal(out.data + EVENT_HEADER_BYTES, theirs.data, theirs.len);
	json_decref(json);
	buf_fini(&out);
	buf_fini(&theirs);
	arena_fini(&arena);
}

static void we_read_what_avro_c_wrote_and_write_the_same_bytes(void **state)
{
	(void)state;
	with_random_events(52, check_peer_writes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(avro_c_reads_what_we_wrote),
		cmocka_unit_test(we_read_what_avro_c_wrote_and_write_the_same_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
