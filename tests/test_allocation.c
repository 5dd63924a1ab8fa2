/* A decoder never allocates more than a small multiple of its input: measured, where each byte buys most. What malloc gives to
 * anybody is counted (fuzz/memory.c): to us, avro-c and jansson. The fuzz targets measure the same of any input. */
#include "../producers/publish/jsonl.h"
#include "event.h"
#include "events.h"
#include "fuzz/fuzz.h"
#include "support/random_event.h"
#include "test_events.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KIB          1024
#define BLOCK        (128 * KIB) /* an arena's first block, and what is rounded up */
#define FOREIGN      512         /* COSTS_PER_BYTE of event_avro.c */
#define FOREIGN_BASE (64 * KIB + BLOCK)
#define OF_SCHEMA    128 /* a byte of a schema, read twice as JSON and once by avro-c */
#define OF_JSON      80  /* jansson's for `{},` is 73 */

static void within(const char *what, size_t peak, size_t most)
{
	print_message("        %-60s %10zu of %zu\n", what, peak, most);
	if (peak > most)
		fail_msg("%s: %zu bytes were taken, at most %zu may be", what, peak, most);
}

/* ---- events of ours ---- */

static void decodes_within(const char *what, const struct event_type *type, const struct buf *body,
                           enum status expected)
{
	struct arena arena = {0};
	struct err err = {0};
	void *event = mem_alloc(type->size);
	memory_begin();
	enum status status = event_decode(type, type->fingerprint, body->data, body->len, &arena, event, &err);
	size_t peak = memory_end();
	assert_int_equal(status, expected);
	within(what, peak, body->len * type->decode_ratio + BLOCK);
	mem_free(event);
	arena_fini(&arena);
}

static void an_event_of_many_small_items_takes_what_its_type_says(void **state)
{
	(void)state;
	struct buf body = {0};
	buf_put(&body, "\x02o", 2);
	for (int i = 0; i < 100000; i++)
		buf_put(&body, "\x02\x00\x02", 3); /* a block of one line: sku "", quantity 1 */
	buf_put_u8(&body, 0);
	decodes_within("ReserveStock in blocks of one line", &reserve_stock_type, &body, OK);
	buf_fini(&body);
}

static void a_promise_of_more_than_there_is_allocates_nothing(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		char body[24];
		size_t len;
	} table[] = {
		{"a string of 2^62 bytes", "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", 9},
		{"a string of 1 GiB", "\x80\x80\x80\x80\x08x", 6},
		{"a negative length", "\x01", 1},
		{"2^63-1 lines", "\x02o\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12},
		{"a block of -1 lines and no bytes", "\x02o\x01\x00\x02\x00\x02", 7},
		{"a block of -2^63 lines", "\x02o\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x00", 14},
		{"a block of -1 lines in 2^62 bytes", "\x02o\x01\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", 12},
		{"a negative block within what is left", "\x02o\x05\x06\x02\x00\x02\x00", 8},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct buf body = {0};
		buf_put(&body, table[i].body, table[i].len);
		decodes_within(table[i].what, &reserve_stock_type, &body, REJECT);
		buf_fini(&body);
	}
}

static void no_type_of_ours_takes_more_than_64_bytes_for_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < event_type_count; i++)
		within(event_types[i]->name, event_types[i]->decode_ratio, 64);
}

/* ---- any schema ---- */

static enum status prints_within(const char *what, const char *schema, const struct buf *body)
{
	struct arena arena = {0};
	struct err err = {0};
	const char *text;
	memory_begin();
	enum status status = event_foreign_to_json(schema, body->data, body->len, &arena, &text, &err);
	within(what, memory_end(), body->len * FOREIGN + strlen(schema) * OF_SCHEMA + FOREIGN_BASE);
	arena_fini(&arena);
	return status;
}

/* An array of so many equal items. */
static void array_of(struct buf *body, int count, const char *item, size_t len)
{
	buf_reset(body);
	wire_put_long(body, count);
	for (int i = 0; i < count; i++)
		buf_put(body, item, len);
	buf_put_u8(body, 0);
}

#define RECORD(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define FIELD(name, type)    "{\"name\":\"" name "\",\"type\":" type "}"
#define ARRAY(items)         "{\"type\":\"array\",\"items\":" items "}"
#define MAP                  "{\"type\":\"map\",\"values\":\"null\"}"

static void what_takes_a_byte_is_printed_within_512_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *item;
		size_t len;
	} table[] = {
		{ARRAY("\"boolean\""), "", 1},
		{ARRAY("\"bytes\""), "", 1},
		{ARRAY("\"bytes\""), "\x0e\1\1\1\1\1\1\1", 8},
		{ARRAY("\"string\""), "", 1},
		{ARRAY("\"double\""), "\xff\xff\xff\xff\xff\xff\xef\xff", 8},
		{ARRAY("\"long\""), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
		{ARRAY(ARRAY("\"null\"")), "", 1},
		{ARRAY(MAP), "", 1},
		{ARRAY(MAP), "\x02\x02k\x00", 4},
		{ARRAY("[\"null\",\"bytes\"]"), "", 1},
		{ARRAY("[\"null\",\"bytes\"]"), "\x02\x00", 2},
		{ARRAY(RECORD("R", FIELD("a", "\"boolean\""))), "", 1},
		{ARRAY(RECORD("R", FIELD("a", "[\"null\",\"int\"]") "," FIELD("b", "[\"null\",\"int\"]"))), "\0\0", 2},
	};
	struct buf body = {0};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		array_of(&body, 50000, table[i].item, table[i].len);
		assert_int_equal(prints_within(table[i].schema, table[i].schema, &body), OK);
	}
	buf_fini(&body);
}

static void what_takes_no_byte_is_refused_where_it_is_much(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *item;
		size_t len;
	} table[] = {
		{ARRAY("\"null\""), NULL, 0},
		{ARRAY(RECORD("R", "")), NULL, 0},
		{ARRAY("{\"type\":\"fixed\",\"name\":\"F\",\"size\":0}"), NULL, 0},
		{ARRAY(RECORD("R", FIELD("a", RECORD("S", FIELD("b", "\"null\""))) "," FIELD("c", "\"S\"") "," FIELD(
					   "d", MAP))),
	         "", 1},
	};
	struct buf body = {0};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		array_of(&body, 100000, table[i].item, table[i].len);
		assert_int_equal(prints_within(table[i].schema, table[i].schema, &body), REJECT);
	}
	static const char huge[] = "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
	buf_reset(&body);
	buf_put(&body, huge, sizeof huge - 1);
	assert_int_equal(prints_within("2^63-1 nulls", ARRAY("\"null\""), &body), REJECT);
	assert_int_equal(prints_within("2^63-1 entries", MAP, &body), REJECT);
	assert_int_equal(prints_within("a string of 2^63-1", "\"string\"", &body), REJECT);
	buf_fini(&body);
}

/* A name stands in the schema once, and in what is printed wherever it is used. */
static void long_names_are_printed_as_often_as_the_bytes_pay_for(void **state)
{
	(void)state;
	char *name = mem_alloc(100001), *schema;
	struct buf body = {0};
	memset(name, 'a', 100000);
	name[100000] = 0;
	array_of(&body, 100000, "", 1);
	schema = mem_format(ARRAY("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"%s\"]}"), name);
	assert_int_equal(prints_within("an array of a symbol of 100,000 letters", schema, &body), REJECT);
	mem_free(schema);
	schema = mem_format(ARRAY(RECORD("R", FIELD("%s", "\"boolean\""))), name);
	assert_int_equal(prints_within("an array of a field of 100,000 letters", schema, &body), REJECT);
	mem_free(schema);
	schema = mem_format(ARRAY("[" RECORD("%s", "") "]"), name);
	assert_int_equal(prints_within("an array of a branch of 100,000 letters", schema, &body), REJECT);
	mem_free(schema);
	schema = mem_format(ARRAY("[{\"type\":\"fixed\",\"name\":\"F\",\"namespace\":\"%s\",\"size\":0}]"), name);
	assert_int_equal(prints_within("an array of a namespace of 100,000 letters", schema, &body), REJECT);
	mem_free(schema);
	mem_free(name);
	buf_fini(&body);
}

static void a_schema_takes_a_multiple_of_its_text(void **state)
{
	(void)state;
	struct buf schema = {0}, body = {0};
	buf_put_u8(&body, 0);
	buf_putf(&schema, "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"");
	for (int i = 0; i < 20000; i++)
		buf_putf(&schema, ",\"A%d\"", i);
	buf_putf(&schema, "]}");
	assert_int_equal(prints_within("20,001 symbols", buf_text(&schema), &body), OK);
	buf_reset(&schema);
	buf_putf(&schema, "[\"int\"");
	for (int i = 0; i < 4000; i++)
		buf_putf(&schema, ",{\"type\":\"record\",\"name\":\"r%d\",\"fields\":[]}", i);
	buf_putf(&schema, "]");
	buf_put_u8(&body, 0);
	assert_int_equal(prints_within("a union of 4,001", buf_text(&schema), &body), OK);
	buf_reset(&schema);
	buf_putf(&schema, "[");
	for (int i = 0; i < 60000; i++)
		buf_putf(&schema, "%s{}", i ? "," : "");
	buf_putf(&schema, "]");
	assert_int_equal(prints_within("60,000 objects that are no types", buf_text(&schema), &body), REJECT);
	buf_fini(&schema);
	buf_fini(&body);
}

/* ---- files ---- */

/* The header of a file of this codec whose schema is "int", and behind it these bytes. */
static size_t file_peak(const char *codec, const char *tail, size_t len, enum status *status)
{
	static const char sync[16] = "0123456789abcdef";
	char path[] = "/tmp/tandem-allocation-XXXXXX";
	struct buf bytes = {0};
	struct arena arena = {0};
	struct err err = {0};
	struct event_file *file;
	const uint8_t *body;
	size_t body_len;
	buf_put(&bytes,
	        "Obj\x01\x04\x14"
	        "avro.codec",
	        16);
	wire_put_string(&bytes, codec);
	buf_put(&bytes,
	        "\x16"
	        "avro.schema\x0a\"int\"\x00",
	        19);
	buf_put(&bytes, sync, sizeof sync);
	buf_put(&bytes, tail, len);
	int fd = mkstemp(path);
	assert_true(fd >= 0 && write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len);
	close(fd);
	memory_begin();
	*status = event_file_open(path, &file, &err);
	if (*status == OK)
		*status = event_file_next(file, &arena, &body, &body_len, &err);
	event_file_close(file, NULL);
	size_t peak = memory_end();
	unlink(path);
	arena_fini(&arena);
	buf_fini(&bytes);
	return peak;
}

static void a_file_takes_what_it_holds_and_not_what_it_claims(void **state)
{
	(void)state;
	static const struct {
		const char *what, *codec;
		char tail[32];
		size_t len;
		enum status status;
	} table[] = {
		{"one datum", "null",
	         "\x02\x02\x54"
	         "0123456789abcdef",
	         19, OK},
		{"a block that claims 64 MiB", "null", "\x02\x80\x80\x80\x40\x54", 6, REJECT},
		{"a block that claims 2^62", "null", "\x02\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x54", 11, REJECT},
		{"a block that claims 2^62 datums", "null",
	         "\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x02\x54"
	         "0123456789abcdef",
	         27, REJECT},
		{"a compressed block that claims 64 MiB", "deflate", "\x02\x80\x80\x80\x40\x54", 6, REJECT},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		enum status status;
		size_t peak = file_peak(table[i].codec, table[i].tail, table[i].len, &status);
		assert_int_equal(status, table[i].status);
		within(table[i].what, peak, 1024 * KIB);
	}
}

/* ---- JSON lines ---- */

static void parses_within(const char *begin, const char *piece)
{
	struct arena arena = {0};
	struct err err = {0};
	struct buf line = {0};
	const struct event_type *type;
	const void *event;
	buf_putf(&line, "%s", begin);
	while (line.len < 512 * KIB)
		buf_putf(&line, "%s", piece);
	buf_putf(&line, "1]}}");
	buf_text(&line);
	memory_begin();
	assert_int_equal(jsonl_parse((const char *)line.data, line.len, &arena, &type, &event, &err), REJECT);
	within(piece, memory_end(), line.len * OF_JSON + BLOCK);
	arena_fini(&arena);
	buf_fini(&line);
}

static void a_line_takes_at_most_80_bytes_for_one(void **state)
{
	(void)state;
	static const char *const pieces[] = {"{},",       "[],",          "1,", "\"\",",  "1.5,",
	                                     "{\"\":1},", "\"\\u0001\",", "[",  "{\"a\":"};
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
		parses_within("{\"type\":\"OrderPlaced\",\"event\":{\"lines\":[", pieces[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_of_many_small_items_takes_what_its_type_says),
		cmocka_unit_test(a_promise_of_more_than_there_is_allocates_nothing),
		cmocka_unit_test(no_type_of_ours_takes_more_than_64_bytes_for_one),
		cmocka_unit_test(what_takes_a_byte_is_printed_within_512_bytes),
		cmocka_unit_test(what_takes_no_byte_is_refused_where_it_is_much),
		cmocka_unit_test(long_names_are_printed_as_often_as_the_bytes_pay_for),
		cmocka_unit_test(a_schema_takes_a_multiple_of_its_text),
		cmocka_unit_test(a_file_takes_what_it_holds_and_not_what_it_claims),
		cmocka_unit_test(a_line_takes_at_most_80_bytes_for_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
