/* csv: RFC 4180, and bytes that are nothing of the kind. */
#include "../producers/publish/csv.h"
#include "bytes.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct csv_record record;
static size_t used, lines;
static const char *wrong;

static enum csv_result parse(const char *text, size_t len, bool last)
{
	return csv_parse(text, len, last, &record, &used, &lines, &wrong);
}

static void fields_are_separated_by_commas_and_records_by_line_ends(void **state)
{
	(void)state;
	const char *text = "a,,c\r\nnext\n";
	assert_int_equal(parse(text, strlen(text), false), CSV_RECORD);
	assert_int_equal(record.count, 3);
	assert_string_equal(record.fields[0], "a");
	assert_string_equal(record.fields[1], "");
	assert_string_equal(record.fields[2], "c");
	assert_int_equal(used, 6);
	assert_int_equal(lines, 1);
	assert_int_equal(parse(text + used, strlen(text) - used, true), CSV_RECORD);
	assert_string_equal(record.fields[0], "next");
	assert_int_equal(parse("", 0, true), CSV_END);
	assert_int_equal(parse("", 0, false), CSV_MORE);
}

static void the_last_record_needs_no_line_end(void **state)
{
	(void)state;
	assert_int_equal(parse("a,", 2, false), CSV_MORE);
	assert_int_equal(parse("a,", 2, true), CSV_RECORD);
	assert_int_equal(record.count, 2);
	assert_int_equal(parse("\"a\"", 3, true), CSV_RECORD);
	assert_string_equal(record.fields[0], "a");
}

static void quotes_hold_commas_line_ends_and_quotes(void **state)
{
	(void)state;
	const char *text = "\"a, \"\"b\"\"\",\"two\r\nlines\",x\n";
	assert_int_equal(parse(text, strlen(text), false), CSV_RECORD);
	assert_int_equal(record.count, 3);
	assert_string_equal(record.fields[0], "a, \"b\"");
	assert_string_equal(record.fields[1], "two\r\nlines");
	assert_int_equal(lines, 2);
}

static void what_is_no_csv_is_refused_with_the_reason(void **state)
{
	(void)state;
	static const struct {
		const char *text, *reason;
	} cases[] = {{"a\"b\n", "quote within an unquoted field"}, {"\"a\"b\n", "text behind a closing quote"},
	             {"\"a", "end of the file within quotes"},     {"a\rb\n", "CR alone"},
	             {"a\r", "CR at the end of the file"},         {"\"a\"\rb", "CR alone"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), true), CSV_BAD);
		assert_non_null(strstr(wrong, cases[i].reason));
	}
	assert_int_equal(parse("a\0b\n", 4, true), CSV_BAD);
	assert_int_equal(parse("\"a\0b\"\n", 6, true), CSV_BAD);
}

static void a_record_is_bounded_in_bytes_and_fields(void **state)
{
	(void)state;
	char *text = mem_alloc(CSV_RECORD_BYTES + 10);
	memset(text, 'x', CSV_RECORD_BYTES + 10);
	assert_int_equal(parse(text, CSV_RECORD_BYTES - 1, false), CSV_MORE);
	assert_int_equal(parse(text, CSV_RECORD_BYTES + 10, false), CSV_BAD);
	assert_int_equal(parse(text, CSV_RECORD_BYTES + 10, true), CSV_BAD);
	text[0] = '"';
	assert_int_equal(parse(text, CSV_RECORD_BYTES + 10, true), CSV_BAD);
	assert_non_null(strstr(wrong, "closing quote missing"));
	memset(text, ',', 100);
	assert_int_equal(parse(text, CSV_FIELDS - 1, true), CSV_RECORD);
	assert_int_equal(record.count, CSV_FIELDS);
	assert_int_equal(parse(text, CSV_FIELDS, true), CSV_BAD);
	mem_free(text);
}

static void put_quoted(struct buf *out, const char *field)
{
	buf_put_u8(out, '"');
	for (; *field; field++) {
		if (*field == '"')
			buf_put_u8(out, '"');
		buf_put_u8(out, (uint8_t)*field);
	}
	buf_put_u8(out, '"');
}

/* Random fields, written and read back; every shorter part of the text asks for more. */
static void what_is_written_is_read_back(void **state)
{
	(void)state;
	static const char alphabet[] = "a,\"\n\r 'b";
	unsigned seed = 1;
	for (int round = 0; round < 2000; round++) {
		char fields[4][8] = {{0}};
		struct buf text = {0};
		size_t count = 1 + (size_t)rand_r(&seed) % 4;
		for (size_t i = 0; i < count; i++) {
			for (size_t c = 0, len = (size_t)rand_r(&seed) % 7; c < len; c++)
				fields[i][c] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
			if (i)
				buf_put_u8(&text, ',');
			put_quoted(&text, fields[i]);
		}
		buf_put(&text, "\r\n", 2);
		for (size_t cut = 0; cut < text.len; cut++)
			assert_int_equal(parse((char *)text.data, cut, false), CSV_MORE);
		assert_int_equal(parse((char *)text.data, text.len, false), CSV_RECORD);
		assert_int_equal(used, text.len);
		assert_int_equal(record.count, count);
		for (size_t i = 0; i < count; i++)
			assert_string_equal(record.fields[i], fields[i]);
		buf_fini(&text);
	}
}

/* Any bytes: it ends, stays within its bounds (the sanitizers watch) and moves on. */
static void any_bytes_are_survived(void **state)
{
	(void)state;
	static const char alphabet[] = "a,\"\n\r\0\xff";
	unsigned seed = 7;
	for (int round = 0; round < 20000; round++) {
		char bytes[64];
		size_t len = (size_t)rand_r(&seed) % sizeof bytes, at = 0;
		for (size_t i = 0; i < len; i++)
			bytes[i] = alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
		char *exact = mem_alloc(len);
		memcpy(exact, bytes, len);
		while (parse(exact + at, len - at, true) == CSV_RECORD) {
			assert_true(used > 0 && used <= len - at);
			at += used;
		}
		mem_free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_separated_by_commas_and_records_by_line_ends),
		cmocka_unit_test(the_last_record_needs_no_line_end),
		cmocka_unit_test(quotes_hold_commas_line_ends_and_quotes),
		cmocka_unit_test(what_is_no_csv_is_refused_with_the_reason),
		cmocka_unit_test(a_record_is_bounded_in_bytes_and_fields),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(any_bytes_are_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
