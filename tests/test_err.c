/* What an error says is safe to write anywhere, whatever it quotes. */
#include "err.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void what_is_quoted_cannot_drive_a_terminal_or_forge_a_line(void **state)
{
	(void)state;
	struct err err = {0};
	err_set(&err, REJECT, "x", "order %s", "a\n2026 error \x1b[2J\x7f\xc2\x9b\tz");
	assert_string_equal(err.text, "order a?2026 error ?[2J???"
	                              "?z");
	err_context(&err, REJECT, "line\r%s", "\xff");
	assert_string_equal(err.text, "line??: order a?2026 error ?[2J???"
	                              "?z");
}

static void what_is_not_utf8_is_marked_and_what_is_stays(void **state)
{
	(void)state;
	struct err err = {0};
	err_set(&err, REJECT, "x", "%s", "\xe2\x82\xac \xc3\xa9 \xf0\x9f\x9b\x92 \xc3(\x80");
	assert_string_equal(err.text, "\xe2\x82\xac \xc3\xa9 \xf0\x9f\x9b\x92 ?(?");
	err_set(&err, REJECT, "x", "%.3s", "ab\xc3\xa9");
	assert_string_equal(err.text, "ab?");
}

static void a_text_that_does_not_fit_is_utf8_where_it_is_cut(void **state)
{
	(void)state;
	char text[1001];
	struct err err = {0};
	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'a', shift);
		for (size_t at = shift; at + 3 < sizeof text; at += 3)
			memcpy(text + at, "\xe2\x82\xac", 4);
		err_set(&err, FATAL, "x", "%s", text);
		assert_int_equal(strlen(err.text), sizeof err.text - 1);
		assert_true(wire_text_valid(err.text, strlen(err.text)));
		err_context(&err, FATAL, "%s", "\xe2\x82\xac");
		assert_true(wire_text_valid(err.text, strlen(err.text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_quoted_cannot_drive_a_terminal_or_forge_a_line),
		cmocka_unit_test(what_is_not_utf8_is_marked_and_what_is_stays),
		cmocka_unit_test(a_text_that_does_not_fit_is_utf8_where_it_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
