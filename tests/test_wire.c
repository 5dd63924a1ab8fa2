/* The primitives of Avro's binary encoding: see common/wire.h. */
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A reader over the bytes of a string literal. */
#define READ(in, arena, bytes) wire_begin((in), (const uint8_t *)(bytes), sizeof(bytes) - 1, (arena))

static void numbers_are_zigzag_and_variable_in_length(void **state)
{
	(void)state;
	static const struct {
		int64_t value;
		const char *bytes;
		size_t len;
	} table[] = {
		{0, "\x00", 1},
		{-1, "\x01", 1},
		{1, "\x02", 1},
		{-64, "\x7f", 1},
		{64, "\x80\x01", 2},
		{8192, "\x80\x80\x01", 3},
		{INT32_MAX, "\xfe\xff\xff\xff\x0f", 5},
		{INT32_MIN, "\xff\xff\xff\xff\x0f", 5},
		{INT64_MAX, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
		{INT64_MIN, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
	};
	struct arena arena = {0};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct buf out = {0};
		struct wire_reader in;
		int64_t value = 7;
		wire_put_long(&out, table[i].value);
		assert_int_equal(out.len, table[i].len);
		assert_memory_equal(out.data, table[i].bytes, out.len);
		wire_begin(&in, out.data, out.len, &arena);
		assert_true(wire_get_long(&in, &value));
		assert_true(value == table[i].value && in.at == in.end);
		buf_fini(&out);
	}
	arena_fini(&arena);
}

static void every_bit_of_a_number_survives(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct buf out = {0};
	for (unsigned shift = 0; shift < 64; shift++)
		for (int64_t near = -2; near <= 2; near++) {
			int64_t value = (int64_t)((UINT64_C(1) << shift) + (uint64_t)near), back = 0;
			struct wire_reader in;
			buf_reset(&out);
			arena_reset(&arena);
			wire_put_long(&out, value);
			wire_begin(&in, out.data, out.len, &arena);
			assert_true(wire_get_long(&in, &back) && back == value);
		}
	buf_fini(&out);
	arena_fini(&arena);
}

static bool long_is_read(const char *bytes, size_t len, const char **problem)
{
	struct arena arena = {0};
	struct wire_reader in;
	int64_t value;
	wire_begin(&in, (const uint8_t *)bytes, len, &arena);
	bool read = wire_get_long(&in, &value);
	assert_true(read || in.at == in.start);
	*problem = in.problem;
	arena_fini(&arena);
	return read;
}

static void numbers_that_no_writer_writes_are_refused(void **state)
{
	(void)state;
	const char *problem;
	assert_false(long_is_read("", 0, &problem));
	assert_string_equal(problem, "ends within a number");
	assert_false(long_is_read("\xff\xff", 2, &problem));
	assert_string_equal(problem, "ends within a number");
	assert_false(long_is_read("\x80\x00", 2, &problem));
	assert_string_equal(problem, "integer longer than it needs to be");
	assert_false(long_is_read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, &problem));
	assert_string_equal(problem, "integer beyond 64 bits");
	assert_false(long_is_read("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11, &problem));
	assert_string_equal(problem, "integer beyond 64 bits");
}

static void an_int_must_fit_32_bits(void **state)
{
	(void)state;
	static const int64_t values[] = {INT32_MIN, INT32_MAX, (int64_t)INT32_MIN - 1, (int64_t)INT32_MAX + 1,
	                                 INT64_MIN};
	struct arena arena = {0};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct buf out = {0};
		struct wire_reader in;
		int32_t value = 0;
		int64_t wide = 0;
		wire_put_long(&out, values[i]);
		wire_begin(&in, out.data, out.len, &arena);
		assert_int_equal(wire_get_int(&in, &value), i < 2);
		assert_true(i >= 2 || value == values[i]);
		wire_begin(&in, out.data, out.len, &arena);
		assert_int_equal(wire_get_long_of_int(&in, &wide), i < 2);
		assert_true(i >= 2 || wide == values[i]);
		buf_fini(&out);
	}
	arena_fini(&arena);
}

static const struct {
	const char *text;
	bool valid;
} texts[] = {
	{"", true},
	{"plain ASCII, longer than eight bytes", true},
	{"\x7f", true},
	{"caf\xc3\xa9", true},
	{"\xc2\x80 \xdf\xbf", true},
	{"\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf", true},
	{"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", true},
	{"\x80", false},             /* a continuation alone */
	{"\xc3", false},             /* cut */
	{"\xc3(", false},            /* no continuation */
	{"\xc0\xaf", false},         /* overlong */
	{"\xc1\xbf", false},         /* overlong */
	{"\xe0\x9f\xbf", false},     /* overlong */
	{"\xf0\x8f\xbf\xbf", false}, /* overlong */
	{"\xed\xa0\x80", false},     /* a surrogate */
	{"\xed\xbf\xbf", false},     /* a surrogate */
	{"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
	{"\xf5\x80\x80\x80", false}, /* above U+10FFFF */
	{"\xff", false},
	{"12345678\xe2\x82", false}, /* cut behind eight plain bytes */
	{"1234567\xe2\x82\xac"
         "12345678",
         true},
};

static void a_string_is_utf8(void **state)
{
	(void)state;
	struct arena arena = {0};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct buf out = {0};
		struct wire_reader in;
		const char *back = NULL;
		size_t len = strlen(texts[i].text);
		assert_int_equal(wire_text_valid(texts[i].text, len), texts[i].valid);
		assert_int_equal(wire_put_string(&out, texts[i].text), texts[i].valid);
		assert_int_equal(out.len, texts[i].valid ? len + 1 : 0);
		buf_reset(&out);
		assert_true(wire_put_bytes(&out, (struct event_bytes){(const uint8_t *)texts[i].text, len}));
		wire_begin(&in, out.data, out.len, &arena);
		assert_int_equal(wire_get_string(&in, &back), texts[i].valid);
		if (texts[i].valid)
			assert_string_equal(back, texts[i].text);
		else
			assert_string_equal(in.problem, "string that is not UTF-8");
		buf_fini(&out);
	}
	arena_fini(&arena);
}

static void a_string_holds_no_nul_wherever_it_stands(void **state)
{
	(void)state;
	for (size_t len = 1; len < 40; len++)
		for (size_t nul = 0; nul < len; nul++) {
			char text[40];
			memset(text, 'x', sizeof text);
			text[nul] = 0;
			assert_false(wire_text_valid(text, len));
		}
	struct arena arena = {0};
	struct wire_reader in;
	const char *text;
	READ(&in, &arena,
	     "\x06"
	     "a\0b");
	assert_false(wire_get_string(&in, &text));
	assert_string_equal(in.problem, "NUL within a string");
	arena_fini(&arena);
}

static void null_is_no_string_and_no_bytes_with_a_length(void **state)
{
	(void)state;
	struct buf out = {0};
	assert_false(wire_put_string(&out, NULL));
	assert_false(wire_put_bytes(&out, (struct event_bytes){NULL, 1}));
	assert_int_equal(out.len, 0);
	assert_true(wire_put_bytes(&out, (struct event_bytes){NULL, 0}));
	assert_int_equal(out.len, 1);
	buf_fini(&out);
}

/* What follows a string is read from the body, not from the copy in which the string's NUL stands. */
static void strings_that_follow_each_other_end_with_nul(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct wire_reader in;
	const char *a, *b, *c;
	struct event_bytes bytes;
	uint8_t fixed[2];
	bool boolean;
	READ(&in, &arena,
	     "\x02"
	     "a"
	     "\x04"
	     "bc"
	     "\x01"
	     "\x02"
	     "\x00"
	     "FX"
	     "\x00");
	assert_true(wire_get_string(&in, &a) && wire_get_string(&in, &b) && wire_get_boolean(&in, &boolean));
	assert_true(wire_get_bytes(&in, &bytes) && wire_get_fixed(&in, fixed, 2) && wire_get_string(&in, &c));
	assert_int_equal(wire_finish(&in, true, "x", NULL), OK);
	assert_string_equal(a, "a");
	assert_string_equal(b, "bc");
	assert_string_equal(c, "");
	assert_true(boolean && bytes.len == 1 && bytes.data[0] == 0 && fixed[0] == 'F' && fixed[1] == 'X');
	arena_fini(&arena);
}

static void a_length_is_believed_only_as_far_as_there_are_bytes(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct wire_reader in;
	struct event_bytes bytes;
	READ(&in, &arena,
	     "\x06"
	     "ab");
	assert_false(wire_get_bytes(&in, &bytes));
	assert_string_equal(in.problem, "length beyond what is left");
	READ(&in, &arena, "\x01");
	assert_false(wire_get_bytes(&in, &bytes));
	assert_string_equal(in.problem, "negative length");
	READ(&in, &arena, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	assert_false(wire_get_bytes(&in, &bytes));
	READ(&in, &arena, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	assert_false(wire_get_bytes(&in, &bytes));
	uint8_t fixed[4];
	READ(&in, &arena, "abc");
	assert_false(wire_get_fixed(&in, fixed, 4));
	READ(&in, &arena, "abc");
	assert_false(wire_skip_fixed(&in, 4));
	arena_fini(&arena);
}

static void booleans_and_indices_have_a_range(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct wire_reader in;
	bool boolean;
	size_t index = 0;
	READ(&in, &arena, "\x02");
	assert_false(wire_get_boolean(&in, &boolean));
	READ(&in, &arena, "");
	assert_false(wire_get_boolean(&in, &boolean));
	READ(&in, &arena, "\x04");
	assert_true(wire_get_index(&in, 3, &index) && index == 2);
	READ(&in, &arena, "\x06");
	assert_false(wire_get_index(&in, 3, &index));
	READ(&in, &arena, "\x01");
	assert_false(wire_get_index(&in, 3, &index));
	arena_fini(&arena);
}

static void a_block_has_no_more_items_than_its_bytes_can_hold(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct wire_reader in;
	struct wire_block block;
	READ(&in, &arena,
	     "\x04"
	     "xxxx");
	assert_true(wire_get_block(&in, 2, &block) && block.count == 2 && !block.end);
	READ(&in, &arena,
	     "\x06"
	     "xxxxx");
	assert_false(wire_get_block(&in, 2, &block));
	assert_string_equal(in.problem, "more items than the bytes left can hold");
	READ(&in, &arena,
	     "\x03\x08"
	     "xxxx"); /* minus two items in four bytes */
	assert_true(wire_get_block(&in, 2, &block) && block.count == 2 && block.end == in.end);
	READ(&in, &arena,
	     "\x05\x08"
	     "xxxxxxx"); /* three items of two bytes, in four bytes */
	assert_false(wire_get_block(&in, 2, &block));
	READ(&in, &arena,
	     "\x03\x0a"
	     "xxxx"); /* a size beyond the end */
	assert_false(wire_get_block(&in, 2, &block));
	READ(&in, &arena,
	     "\x03\x01"
	     "xxxx"); /* a negative size */
	assert_false(wire_get_block(&in, 2, &block));
	READ(&in, &arena, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"); /* as many as a number can say */
	assert_false(wire_get_block(&in, 1, &block));
	READ(&in, &arena, "\x00");
	assert_true(wire_get_block(&in, 1, &block) && block.count == 0);
	arena_fini(&arena);
}

static void a_block_is_as_long_as_it_says(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct wire_reader in;
	struct wire_block block;
	READ(&in, &arena,
	     "\x01\x04"
	     "xx");
	assert_true(wire_get_block(&in, 1, &block));
	in.at++;
	assert_false(wire_end_block(&in, &block));
	in.at++;
	in.problem = NULL;
	assert_true(wire_end_block(&in, &block));
	arena_fini(&arena);
}

static void an_error_names_the_innermost_field_the_first_problem_and_the_byte(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct wire_reader in;
	struct err err = {0};
	int64_t value;
	READ(&in, &arena, "\x02\x80");
	assert_true(wire_get_long(&in, &value));
	assert_false(wire_get_long(&in, &value));
	wire_fail(&in, "another problem");
	wire_at(&in, "Line.quantity");
	wire_at(&in, "Order.lines");
	assert_int_equal(wire_finish(&in, false, "Order", &err), REJECT);
	assert_true(err_is(&err, "malformed"));
	assert_string_equal(err.text, "Line.quantity: ends within a number (byte 1 of 2)");
	READ(&in, &arena, "\x02\x02");
	assert_true(wire_get_long(&in, &value));
	assert_int_equal(wire_finish(&in, true, "Order", &err), REJECT);
	assert_string_equal(err.text, "Order: more bytes than its schema has (byte 1 of 2)");
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_zigzag_and_variable_in_length),
		cmocka_unit_test(every_bit_of_a_number_survives),
		cmocka_unit_test(numbers_that_no_writer_writes_are_refused),
		cmocka_unit_test(an_int_must_fit_32_bits),
		cmocka_unit_test(a_string_is_utf8),
		cmocka_unit_test(a_string_holds_no_nul_wherever_it_stands),
		cmocka_unit_test(null_is_no_string_and_no_bytes_with_a_length),
		cmocka_unit_test(strings_that_follow_each_other_end_with_nul),
		cmocka_unit_test(a_length_is_believed_only_as_far_as_there_are_bytes),
		cmocka_unit_test(booleans_and_indices_have_a_range),
		cmocka_unit_test(a_block_has_no_more_items_than_its_bytes_can_hold),
		cmocka_unit_test(a_block_is_as_long_as_it_says),
		cmocka_unit_test(an_error_names_the_innermost_field_the_first_problem_and_the_byte),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
