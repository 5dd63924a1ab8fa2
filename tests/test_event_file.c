/* Container files: see common/event.h. What fastavro makes of them is tested by `make peers`. */
#include "events.h"
#include "test_events.h"

#include "schema.h"
#include "support/peer_avro.h"
#include "support/random_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/tandem-test-event-file-XXXXXX";

static int make_path(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

/* Writes so many seeded events of this type; their JSON is returned. */
static json_t *write_events(const struct event_type *type, const char *codec, size_t count)
{
	struct rng rng = rng_begin(31);
	struct err err = {0};
	struct event_file *file;
	json_t *written = json_array();
	assert_int_equal(event_file_create(path, type, codec, &file, &err), OK);
	for (size_t i = 0; i < count; i++) {
		struct arena arena = {0};
		struct buf out = {0};
		void *event = arena_alloc(&arena, type->size);
		random_event(&rng, type->record, &arena, event);
		assert_int_equal(event_encode(type, event, &out, &err), OK);
		assert_int_equal(
			event_file_append(file, out.data + EVENT_HEADER_BYTES, out.len - EVENT_HEADER_BYTES, &err), OK);
		json_array_append_new(written, event_to_json(type, event));
		buf_fini(&out);
		arena_fini(&arena);
	}
	assert_int_equal(event_file_close(file, &err), OK);
	return written;
}

/* Reads them all back as JSON; *status is what the last read said. */
static json_t *read_events(const struct event_type *type, enum status *status, struct err *err)
{
	struct event_file *file;
	json_t *events = json_array();
	*status = event_file_open(path, &file, err);
	if (*status != OK)
		return events;
	for (;;) {
		struct arena arena = {0};
		const uint8_t *body;
		size_t len;
		*status = event_file_next(file, &arena, &body, &len, err);
		if (*status == OK && body) {
			void *event = arena_alloc(&arena, type->size);
			assert_int_equal(event_decode(type, type->fingerprint, body, len, &arena, event, err), OK);
			json_array_append_new(events, event_to_json(type, event));
		}
		arena_fini(&arena);
		if (*status != OK || !body)
			break;
	}
	event_file_close(file, err);
	return events;
}

static void check_back(const char *codec, size_t count)
{
	enum status status;
	struct err err = {0};
	json_t *written = write_events(&order_placed_type, codec, count);
	json_t *read = read_events(&order_placed_type, &status, &err);
	assert_int_equal(status, OK);
	assert_int_equal(json_array_size(read), count);
	assert_true(json_equal(written, read));
	json_decref(written);
	json_decref(read);
}

static void a_file_comes_back_with_every_codec_and_in_many_blocks(void **state)
{
	(void)state;
	check_back("null", 0);
	check_back("null", 1);
	check_back("null", 2000);
	check_back("deflate", 0);
	check_back("deflate", 2000);
}

/* avro-c leaves out what reading needs not: documentation, defaults, logical types. */
static void the_schema_in_a_file_has_the_events_fingerprint(void **state)
{
	(void)state;
	struct err err = {0};
	struct event_file *file;
	json_decref(write_events(&order_placed_type, "null", 1));
	assert_int_equal(event_file_open(path, &file, &err), OK);
	json_t *schema = json_loads(event_file_schema(file), 0, NULL);
	uint64_t fingerprint;
	assert_int_equal(schema_fingerprint(schema, &fingerprint, &err), OK);
	assert_true(fingerprint == order_placed_type.fingerprint);
	json_decref(schema);
	assert_int_equal(event_file_close(file, &err), OK);
}

static void avro_c_reads_our_files(void **state)
{
	(void)state;
	static const char *const codecs[] = {"null", "deflate"};
	for (size_t i = 0; i < 2; i++) {
		json_t *written = write_events(&everything_type, codecs[i], 300), *read = peer_file_read(path);
		assert_non_null(read);
		assert_true(json_equal(written, read));
		json_decref(written);
		json_decref(read);
	}
}

static void we_read_avro_cs_files(void **state)
{
	(void)state;
	static const char *const codecs[] = {"null", "deflate"};
	for (size_t i = 0; i < 2; i++) {
		enum status status;
		struct err err = {0};
		json_t *written = write_events(&everything_type, "null", 300);
		struct peer *peer = peer_open(everything_type.schema);
		unlink(path); /* avro-c makes it anew */
		assert_true(peer_file_write(peer, path, codecs[i], written));
		json_t *read = read_events(&everything_type, &status, &err);
		assert_int_equal(status, OK);
		assert_true(json_equal(written, read));
		peer_close(peer);
		json_decref(written);
		json_decref(read);
	}
}

static void a_body_of_another_schema_is_not_appended(void **state)
{
	(void)state;
	struct err err = {0};
	struct event_file *file;
	assert_int_equal(event_file_create(path, &commit_stock_type, "null", &file, &err), OK);
	assert_int_equal(event_file_append(file, (const uint8_t *)"\x02oo", 3, &err), REJECT);
	assert_true(err_is(&err, "malformed"));
	assert_int_equal(event_file_close(file, &err), OK);
}

static void codecs_and_paths_that_do_not_work_are_named(void **state)
{
	(void)state;
	struct err err = {0};
	struct event_file *file;
	assert_int_equal(event_file_create(path, &commit_stock_type, "snappy", &file, &err), REJECT);
	assert_true(err_is(&err, "unknown_codec"));
	assert_null(file);
	assert_int_equal(event_file_create("/nonexistent/file", &commit_stock_type, "null", &file, &err), FATAL);
	assert_true(err_is(&err, "io"));
	assert_int_equal(event_file_open("/nonexistent/file", &file, &err), FATAL);
	assert_true(err_is(&err, "io"));
	assert_int_equal(event_file_close(NULL, &err), OK);
}

static void a_full_disk_is_reported_when_the_file_is_closed(void **state)
{
	(void)state;
	struct err err = {0};
	struct event_file *file;
	if (event_file_create("/dev/full", &commit_stock_type, "null", &file, &err) != OK)
		fail_msg("/dev/full is needed: %s", err.text);
	assert_int_equal(event_file_append(file, (const uint8_t *)"\x02o", 2, &err), OK);
	assert_int_equal(event_file_close(file, &err), FATAL);
	assert_true(err_is(&err, "io"));
}

static void a_full_disk_is_reported_when_a_block_is_written(void **state)
{
	(void)state;
	struct err err = {0};
	struct event_file *file;
	enum status status = OK;
	assert_int_equal(event_file_create("/dev/full", &commit_stock_type, "null", &file, &err), OK);
	for (int i = 0; status == OK && i < 1000000; i++)
		status = event_file_append(file, (const uint8_t *)"\x02o", 2, &err);
	assert_int_equal(status, FATAL);
	assert_true(err_is(&err, "io"));
	assert_non_null(strstr(err.text, "No space left on device"));
	assert_int_equal(event_file_close(file, &err), FATAL);
}

/* The file as bytes, and back. */

static struct buf slurp(void)
{
	struct buf bytes = {0};
	FILE *in = fopen(path, "rb");
	assert_non_null(in);
	size_t got;
	while ((got = fread(buf_grow(&bytes, 4096), 1, 4096, in)) > 0)
		bytes.len += got;
	fclose(in);
	return bytes;
}

static void spill(const void *bytes, size_t len)
{
	FILE *out = fopen(path, "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, len, out), len);
	fclose(out);
}

static void what_a_file_claims_allocates_nothing(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		const char *code, *text;
	} table[] = {
#define CASE(bytes, code, text) {bytes, sizeof(bytes) - 1, code, text}
#define HEAD                    "Obj\x01"
#define LONG                    "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
#define MIN                     "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
#define META                                                                                                           \
	HEAD "\x02\x16"                                                                                                \
	     "avro.schema"                                                                                             \
	     "\x0a"                                                                                                    \
	     "\"int\""                                                                                                 \
	     "\x00"                                                                                                    \
	     "0123456789abcdef"
#define NULLS                                                                                                          \
	HEAD "\x02\x16"                                                                                                \
	     "avro.schema"                                                                                             \
	     "\x0c"                                                                                                    \
	     "\"null\""                                                                                                \
	     "\x00"                                                                                                    \
	     "0123456789abcdef"
		CASE("", "malformed", "no Avro container file"),
		CASE("Obj\x02", "malformed", "no Avro container file"),
		CASE(HEAD, "malformed", "ends too early"),
		CASE(HEAD LONG, "malformed", "ends too early"),
		CASE(HEAD "\x02" LONG, "malformed", "metadata that is too long"),
		CASE(HEAD "\x02\x01", "malformed", "metadata that is too long"),
		CASE(HEAD MIN "\x00", "malformed", "ends too early"),
		CASE(HEAD "\x00"
	                  "0123456789abcdef",
	             "malformed", "names no schema"),
		CASE(HEAD "\x02\x16"
	                  "avro.schema"
	                  "\x04"
	                  "{}"
	                  "\x00"
	                  "0123456789abcdef",
	             "bad_schema", ""),
		CASE(HEAD "\x02\x14"
	                  "avro.codec"
	                  "\x0c"
	                  "snappy",
	             "unknown_codec", "codec snappy; supported: null, deflate"),
		CASE(META "\x02" LONG, "malformed", "a block of a negative size, or of more than 64 MiB"),
		CASE(META "\x01\x02"
	                  "\x02",
	             "malformed", "a block of a negative size, or of more than 64 MiB"),
		CASE(META "\x02\x01", "malformed", "a block of a negative size, or of more than 64 MiB"),
		CASE(META "\x02\xfe\xff\xff\x3f"
	                  "x",
	             "malformed", "ends too early"),
		CASE(META "\x02\x02"
	                  "\x02"
	                  "0123456789abcdeX",
	             "malformed", "a block without the file's sync marker"),
		CASE(META "\x02\x02"
	                  "\x02"
	                  "0123456789",
	             "malformed", "ends too early"),
		CASE(META "\x04\x02"
	                  "\x02"
	                  "0123456789abcdef",
	             "malformed", "ends within a number"),
		CASE(META "\x02\x04"
	                  "\x02\x02"
	                  "0123456789abcdef",
	             "malformed", "more bytes than its schema has"),
		CASE(META "\x00\x02"
	                  "\x02"
	                  "0123456789abcdef",
	             "malformed", "a block of bytes without datums"),
		CASE(META "\x82\x00", "malformed", "longer than it needs to be"),
		CASE(NULLS LONG "\x00"
	                        "0123456789abcdef",
	             "malformed", "datum of no bytes"),
#undef CASE
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct err err = {0};
		struct event_file *file = NULL;
		struct arena arena = {0};
		const uint8_t *body = NULL;
		size_t len;
		spill(table[i].bytes, table[i].len);
		enum status status = event_file_open(path, &file, &err);
		do {
			if (status == OK)
				status = event_file_next(file, &arena, &body, &len, &err);
		} while (status == OK && body);
		assert_int_equal(status, REJECT);
		assert_string_equal(err.code, table[i].code);
		if (!strstr(err.text, table[i].text))
			assert_string_equal(err.text, table[i].text);
		assert_true(arena_used(&arena) < 1000);
		event_file_close(file, &err);
		arena_fini(&arena);
	}
}

/* A codec may be missing, a block empty; strings may hold NUL, arrays come in blocks, map keys in any order. */
static void what_others_may_write_is_read(void **state)
{
	(void)state;
	static const char bytes[] =
		"Obj\x01\x02\x16"
		"avro.schema"
		"\x96\x01"
		"[\"string\",{\"type\":\"array\",\"items\":\"long\"},{\"type\":\"map\",\"values\":\"null\"}]  "
		"\x00"
		"0123456789abcdef"
		"\x00\x00"
		"0123456789abcdef"
		"\x06\x26"
		"\x00\x06"
		"a\0b"
		"\x02\x02\x05\x01\x02\x06\x00"
		"\x04\x04\x02z\x02y\x00"
		"0123456789abcdef";
	static const struct event_bytes expected[] = {
		{(const uint8_t *)"\x00\x06"
	                          "a\0b",
	         5},
		{(const uint8_t *)"\x02\x04\x05\x06\x00", 5},
		{(const uint8_t *)"\x04\x04\x02z\x02y\x00", 7},
	};
	struct err err = {0};
	struct event_file *file;
	struct arena arena = {0};
	const uint8_t *body;
	size_t len;
	spill(bytes, sizeof bytes - 1);
	assert_int_equal(event_file_open(path, &file, &err), OK);
	for (size_t i = 0; i < 3; i++) {
		if (event_file_next(file, &arena, &body, &len, &err) != OK)
			fail_msg("%s", err.text);
		assert_int_equal(len, expected[i].len);
		assert_memory_equal(body, expected[i].data, len);
	}
	assert_int_equal(event_file_next(file, &arena, &body, &len, &err), OK);
	assert_null(body);
	assert_int_equal(event_file_close(file, &err), OK);
	arena_fini(&arena);
}

static void a_block_that_inflates_without_end_is_refused(void **state)
{
	(void)state;
	/* One order whose text is long: 66 MiB of one character, which deflate makes 66 KiB of. */
	struct err err = {0};
	struct event_file *file;
	size_t len = 66 << 20;
	struct buf bytes = {0};
	const char head[] = "Obj\x01\x04\x16"
			    "avro.schema"
			    "\x10"
			    "\"string\""
			    "\x14"
			    "avro.codec"
			    "\x0e"
			    "deflate"
			    "\x00"
			    "0123456789abcdef";
	buf_put(&bytes, head, sizeof head - 1);
	/* deflate, by hand: a fixed Huffman block of one literal and then copies of it */
	struct buf packed = {0};
	uint64_t bits = 0;
	unsigned count = 0;
#define BITS(value, n)                                                                                                 \
	do {                                                                                                           \
		bits |= (uint64_t)(value) << count;                                                                    \
		for (count += (n); count >= 8; count -= 8, bits >>= 8)                                                 \
			buf_put_u8(&packed, (uint8_t)bits);                                                            \
	} while (0)
	BITS(1, 1);    /* the last block */
	BITS(1, 2);    /* fixed codes */
	BITS(0x0c, 8); /* the literal 0: its code is 00110000, first bit first */
	for (size_t done = 1; done < len; done += 258) {
		BITS(0xa3, 8); /* length 258: code 11000101 */
		BITS(0, 5);    /* distance 1 */
	}
	BITS(0, 7); /* the end */
	BITS(0, 8);
	buf_put(&bytes, "\x02", 1);
	uint64_t size = packed.len * 2;
	for (; size >= 0x80; size >>= 7)
		buf_put_u8(&bytes, (uint8_t)(size | 0x80));
	buf_put_u8(&bytes, (uint8_t)size);
	buf_put(&bytes, packed.data, packed.len);
	buf_put(&bytes, "0123456789abcdef", 16);
	spill(bytes.data, bytes.len);
	struct arena arena = {0};
	const uint8_t *body;
	assert_int_equal(event_file_open(path, &file, &err), OK);
	assert_int_equal(event_file_next(file, &arena, &body, &len, &err), REJECT);
	assert_non_null(strstr(err.text, "inflates to more than 64 MiB"));
	event_file_close(file, &err);
	arena_fini(&arena);
	buf_fini(&packed);
	buf_fini(&bytes);
}

static void a_file_with_any_byte_changed_is_read_or_refused(void **state)
{
	(void)state;
	static const char *const codecs[] = {"null", "deflate"};
	for (size_t c = 0; c < 2; c++) {
		json_decref(write_events(&stock_rejected_type, codecs[c], 20));
		struct buf bytes = slurp();
		struct rng rng = rng_begin(32);
		for (int round = 0; round < 600; round++) {
			size_t at = rng_below(&rng, bytes.len);
			if (round % 2) /* half of them behind the schema */
				at = bytes.len - 1 - rng_below(&rng, bytes.len / 4);
			uint8_t before = bytes.data[at];
			struct err err = {0};
			struct event_file *file = NULL;
			struct arena arena = {0};
			const uint8_t *body = NULL;
			size_t len;
			bytes.data[at] = (uint8_t)rng_next(&rng);
			spill(bytes.data, rng_below(&rng, 4) ? bytes.len : at);
			enum status status = event_file_open(path, &file, &err);
			do {
				if (status == OK)
					status = event_file_next(file, &arena, &body, &len, &err);
			} while (status == OK && body);
			assert_true(status == OK || status == REJECT);
			event_file_close(file, &err);
			arena_fini(&arena);
			bytes.data[at] = before;
		}
		buf_fini(&bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_comes_back_with_every_codec_and_in_many_blocks),
		cmocka_unit_test(the_schema_in_a_file_has_the_events_fingerprint),
		cmocka_unit_test(avro_c_reads_our_files),
		cmocka_unit_test(we_read_avro_cs_files),
		cmocka_unit_test(a_body_of_another_schema_is_not_appended),
		cmocka_unit_test(codecs_and_paths_that_do_not_work_are_named),
		cmocka_unit_test(a_full_disk_is_reported_when_the_file_is_closed),
		cmocka_unit_test(a_full_disk_is_reported_when_a_block_is_written),
		cmocka_unit_test(what_a_file_claims_allocates_nothing),
		cmocka_unit_test(what_others_may_write_is_read),
		cmocka_unit_test(a_block_that_inflates_without_end_is_refused),
		cmocka_unit_test(a_file_with_any_byte_changed_is_read_or_refused),
	};
	return cmocka_run_group_tests(tests, make_path, remove_path);
}
