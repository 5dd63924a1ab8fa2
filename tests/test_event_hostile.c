/* No bytes make a decoder crash or take more of the arena than its type says: random bytes, and valid bodies with bytes
 * changed, put in, taken out and repeated, for every event and every schema it was ever written with. Run it with the
 * sanitizers too. */
#include "events.h"
#include "test_events.h"

#include "event_avro.h"
#include "support/random_event.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 1500

static void mutate(struct rng *rng, struct buf *body)
{
	static const uint8_t telling[] = {0, 1, 2, 3, 0x7e, 0x7f, 0x80, 0xff};
	for (size_t changes = 1 + rng_below(rng, 4); changes && body->len; changes--) {
		size_t at = rng_below(rng, body->len);
		switch (rng_below(rng, 5)) {
		case 0:
			body->data[at] = telling[rng_below(rng, sizeof telling)];
			break;
		case 1:
			body->data[at] ^= (uint8_t)(1u << rng_below(rng, 8));
			break;
		case 2: /* take some out */
			body->len = at;
			break;
		case 3: { /* the length prefix that asks for most */
			static const uint8_t huge[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
			size_t len = body->len - at < sizeof huge ? body->len - at : sizeof huge;
			memcpy(body->data + at, huge + sizeof huge - len, len);
			break;
		}
		default: { /* repeat a piece */
			uint8_t piece[64];
			size_t len = body->len - at < sizeof piece ? body->len - at : sizeof piece;
			memcpy(piece, body->data + at, len);
			buf_put(body, piece, len);
		}
		}
	}
}

/* Decodes from memory of exactly this size; checks the bound; what was accepted must survive another round. */
static bool decode_bounded(const struct event_type *type, uint64_t writer, const uint8_t *bytes, size_t len)
{
	struct arena arena = {0};
	struct err err = {0};
	uint8_t *exact = mem_alloc(len);
	void *event = mem_alloc(type->size), *again = mem_alloc(type->size);
	if (len)
		memcpy(exact, bytes, len);
	enum status status = event_decode(type, writer, exact, len, &arena, event, &err);
	size_t used = arena_used(&arena), allowed = (len + 64) * type->decode_ratio;
	if (used > allowed)
		fail_msg("%s: %zu bytes took %zu of the arena, %zu are allowed", type->name, len, used, allowed);
	if (status == OK) {
		struct buf out = {0};
		assert_int_equal(event_encode(type, event, &out, &err), OK);
		assert_int_equal(event_decode(type, type->fingerprint, out.data + EVENT_HEADER_BYTES,
		                              out.len - EVENT_HEADER_BYTES, &arena, again, &err),
		                 OK);
		assert_true(event_equal(type, event, again));
		buf_fini(&out);
	} else {
		assert_int_equal(status, REJECT);
		assert_true(err_is(&err, "malformed"));
	}
	mem_free(event);
	mem_free(again);
	mem_free(exact);
	arena_fini(&arena);
	return status == OK;
}

static void changed_bodies_are_refused_or_read_within_bounds(void **state)
{
	(void)state;
	struct rng rng = rng_begin(77);
	size_t read = 0, refused = 0;
	for (size_t i = 0; every_event_type(i); i++) {
		const struct event_type *type = every_event_type(i);
		for (int round = 0; round < ROUNDS; round++) {
			struct arena arena = {0};
			struct err err = {0};
			struct buf out = {0}, body = {0};
			void *event = arena_alloc(&arena, type->size);
			random_event(&rng, type->record, &arena, event);
			assert_int_equal(event_encode(type, event, &out, &err), OK);
			buf_put(&body, out.data + EVENT_HEADER_BYTES, out.len - EVENT_HEADER_BYTES);
			mutate(&rng, &body);
			for (size_t w = 0; w < type->writer_count; w++) {
				bool done = decode_bounded(type, type->writers[w], body.data, body.len);
				read += done;
				refused += !done;
			}
			buf_fini(&out);
			buf_fini(&body);
			arena_fini(&arena);
		}
	}
	assert_true(read > 1000 && refused > 1000); /* both ways were gone often enough to say something */
}

static void random_bytes_are_refused_or_read_within_bounds(void **state)
{
	(void)state;
	struct rng rng = rng_begin(78);
	for (size_t i = 0; every_event_type(i); i++) {
		const struct event_type *type = every_event_type(i);
		for (int round = 0; round < ROUNDS; round++) {
			uint8_t bytes[300];
			size_t len = rng_below(&rng, sizeof bytes);
			unsigned small = (unsigned)rng_below(&rng, 3); /* small numbers get further */
			for (size_t b = 0; b < len; b++)
				bytes[b] = (uint8_t)(rng_next(&rng) >> 20) & (small ? small == 1 ? 0x0f : 0x03 : 0xff);
			for (size_t w = 0; w < type->writer_count; w++)
				decode_bounded(type, type->writers[w], bytes, len);
		}
	}
}

/* The input that makes most of each byte: an array in blocks of one item, each item as small as it can be. */
static void an_array_in_many_blocks_takes_a_small_multiple_of_its_bytes(void **state)
{
	(void)state;
	struct buf body = {0};
	const size_t blocks = 100000;
	buf_put(&body, "\x02o", 2);
	for (size_t i = 0; i < blocks; i++)
		buf_put(&body, "\x02\x00\x02", 3); /* one line: sku "", quantity 1 */
	buf_put_u8(&body, 0);
	assert_true(decode_bounded(&reserve_stock_type, reserve_stock_type.fingerprint, body.data, body.len));
	buf_fini(&body);
}

static void a_count_of_many_items_in_few_bytes_allocates_nothing(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct err err = {0};
	struct reserve_stock event;
	static const char body[] = "\x02o\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
	assert_int_equal(reserve_stock_decode(reserve_stock_type.fingerprint, (const uint8_t *)body, sizeof body - 1,
	                                      &arena, &event, &err),
	                 REJECT);
	assert_true(arena_used(&arena) <= 32);
	arena_fini(&arena);
}

/* Two readers that share nothing: the generated one, and avro-c behind its check. */
static void what_is_accepted_avro_c_reads_the_same(void **state)
{
	(void)state;
	struct rng rng = rng_begin(79);
	size_t compared = 0;
	for (size_t i = 0; every_event_type(i); i++) {
		const struct event_type *type = every_event_type(i);
		struct event_avro *avro;
		struct err err = {0};
		assert_int_equal(event_avro_parse(type->schema, &avro, &err), OK);
		for (int round = 0; round < ROUNDS; round++) {
			struct arena arena = {0};
			struct buf out = {0}, body = {0};
			void *event = arena_alloc(&arena, type->size);
			random_event(&rng, type->record, &arena, event);
			assert_int_equal(event_encode(type, event, &out, &err), OK);
			buf_put(&body, out.data + EVENT_HEADER_BYTES, out.len - EVENT_HEADER_BYTES);
			mutate(&rng, &body);
			if (event_decode(type, type->fingerprint, body.data, body.len, &arena, event, &err) == OK) {
				struct wire_reader in;
				json_t *ours = event_to_json(type, event);
				wire_begin(&in, body.data, body.len, &arena);
				assert_true(event_avro_check(avro, &in) && in.at == in.end);
				json_t *theirs = event_avro_to_json(avro, body.data, body.len);
				assert_true(json_equal(ours, theirs));
				json_decref(ours);
				json_decref(theirs);
				compared++;
			}
			buf_fini(&out);
			buf_fini(&body);
			arena_fini(&arena);
		}
		event_avro_free(avro);
	}
	assert_true(compared > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changed_bodies_are_refused_or_read_within_bounds),
		cmocka_unit_test(random_bytes_are_refused_or_read_within_bounds),
		cmocka_unit_test(an_array_in_many_blocks_takes_a_small_multiple_of_its_bytes),
		cmocka_unit_test(a_count_of_many_items_in_few_bytes_allocates_nothing),
		cmocka_unit_test(what_is_accepted_avro_c_reads_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
