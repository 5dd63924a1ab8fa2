/* timestamp: milliseconds to text and back. */
#include "timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void times_are_written_in_utc_with_milliseconds(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} table[] = {{0, "1970-01-01T00:00:00.000Z"},
	             {1291191960123, "2010-12-01T08:26:00.123Z"},
	             {-1, "1969-12-31T23:59:59.999Z"},
	             {INT64_C(-62167219200000), "0000-01-01T00:00:00.000Z"},
	             {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
	             {INT64_C(253402300800000), "253402300800000"},
	             {INT64_MAX, "9223372036854775807"},
	             {INT64_MIN, "-9223372036854775808"}};
	char text[TIMESTAMP_TEXT_BYTES];
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		assert_string_equal(timestamp_text(table[i].ms, text), table[i].text);
}

static void what_is_written_is_read(void **state)
{
	(void)state;
	char text[TIMESTAMP_TEXT_BYTES];
	for (int64_t ms = INT64_C(-62167219200000); ms < INT64_C(253402300799999); ms += INT64_C(98765432101)) {
		int64_t read;
		assert_true(timestamp_parse(timestamp_text(ms, text), &read));
		assert_int_equal(read, ms);
	}
}

static void other_forms_are_read_or_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"0", 0},
	            {"-5", -5},
	            {"1970-01-02", 86400000},
	            {"1970-01-01 00:01", 60000},
	            {"1970-01-01T00:00:01.5", 1500},
	            {"1970-01-01T01:00:00+01:00", 0},
	            {"1970-01-01T00:00:00-00:30", 1800000},
	            {"2024-02-29", 1709164800000}};
	static const char *const bad[] = {"",
	                                  "-",
	                                  "x",
	                                  "1970-1-1",
	                                  "1970-01-32",
	                                  "2023-02-29",
	                                  "1970-01-01T",
	                                  "1970-01-01T24:00",
	                                  "1970-01-01T00:00:00.1234",
	                                  "1970-01-01T00:00:00Zx",
	                                  "99999999999999999999",
	                                  "1970-01-01T00:00:00+1"};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		int64_t ms = 7;
		assert_true(timestamp_parse(good[i].text, &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int64_t ms = 7;
		if (timestamp_parse(bad[i], &ms) || ms != 7)
			fail_msg("'%s' was read", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_written_in_utc_with_milliseconds),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(other_forms_are_read_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
