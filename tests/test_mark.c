/* The mark's text: what was printed is read, and nothing else is a mark. */
#include "mark.h"

#include "halt.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct task_position sample = {.next_offset = 42,
                                            .last_offset = 40,
                                            .last_hash = 0x0123456789abcdef,
                                            .input_hash = UINT64_MAX,
                                            .output_hash = 1,
                                            .logic_version = 3};

#define SAMPLE "tandem1 42 40 0123456789abcdef ffffffffffffffff 0000000000000001 3"

static void a_mark_is_the_text_that_the_details_say(void **state)
{
	(void)state;
	char text[MARK_TEXT_MAX + 1];
	mark_print(&sample, text);
	assert_string_equal(text, SAMPLE);
}

static void every_printed_mark_is_read_back(void **state)
{
	(void)state;
	uint64_t random = 7;
	for (int i = 0; i < 100000; i++) {
		struct task_position p, q;
		char text[MARK_TEXT_MAX + 1];
		uint64_t bits[5];
		for (int k = 0; k < 5; k++)
			bits[k] = random = random * 6364136223846793005u + 1442695040888963407u;
		p = (struct task_position){.last_offset = (int64_t)(bits[0] >> (1 + bits[4] % 63)),
		                           .last_hash = bits[1],
		                           .input_hash = bits[2],
		                           .output_hash = bits[3],
		                           .logic_version = 1 + (int)(bits[4] >> 40)};
		p.next_offset = p.last_offset + 1 + (int64_t)(bits[4] % 3);
		if (p.next_offset <= p.last_offset)
			continue;
		mark_print(&p, text);
		assert_true(strlen(text) <= MARK_TEXT_MAX);
		assert_true(mark_parse(text, p.next_offset, &q));
		assert_true(mark_equal(&p, &q));
		assert_false(mark_parse(text, p.next_offset + 1, &q));
	}
}

static void the_longest_mark_fits_200_bytes(void **state)
{
	(void)state;
	char text[MARK_TEXT_MAX + 1];
	struct task_position q;
	const struct task_position longest = {INT64_MAX, INT64_MAX - 1, UINT64_MAX, UINT64_MAX, UINT64_MAX, INT32_MAX};
	mark_print(&longest, text);
	assert_true(strlen(text) < MARK_TEXT_MAX);
	assert_true(mark_parse(text, INT64_MAX, &q));
	assert_true(mark_equal(&q, &longest));
}

static void anything_else_is_no_mark(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		" ",
		"tandem1",
		"tandem1 42",
		"{\"offset\":42}",
		"%s%n%s%n",
		" " SAMPLE,
		SAMPLE " ",
		SAMPLE "\n",
		SAMPLE " 4",
		"tandem2"
		""
		" 42 40 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1  42 40 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 +42 40 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 042 40 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 42 40 0123456789ABCDEF ffffffffffffffff 0000000000000001 3",
		"tandem1 42 40 0x23456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 42 40 123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 42 40 0123456789abcdef0 ffffffffffffffff 0000000000000001 3",
		"tandem1 42 -1 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 42 42 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 42 43 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 42 40 0123456789abcdef ffffffffffffffff 0000000000000001 0",
		"tandem1 42 40 0123456789abcdef ffffffffffffffff 0000000000000001 -3",
		"tandem1 42 40 0123456789abcdef ffffffffffffffff 0000000000000001 3.0",
		"tandem1 99999999999999999999 40 0123456789abcdef ffffffffffffffff 0000000000000001 3",
		"tandem1 42 40 0123456789abcdef ffffffffffffffff 0000000000000001 99999999999",
	};
	struct task_position q;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (mark_parse(texts[i], 42, &q))
			fail_msg("'%s' is taken for a mark", texts[i]);
}

static void a_text_of_any_length_is_read_no_further_than_a_mark_goes(void **state)
{
	(void)state;
	for (size_t len = MARK_TEXT_MAX - 2; len <= 255; len++) {
		char text[256];
		struct task_position q;
		memset(text, '0', sizeof text);
		memcpy(text, SAMPLE, strlen(SAMPLE));
		text[len] = 0;
		assert_false(mark_parse(text, 42, &q));
	}
}

/* ---- halt: the file beside the task's ---- */

static void a_halt_is_read_as_it_was_written_and_gone_when_removed(void **state)
{
	(void)state;
	char path[] = "/tmp/tandem-halt-XXXXXX";
	struct arena arena = {0};
	struct halt halt;
	close(mkstemp(path));
	assert_false(halt_read(path, &arena, &halt)); /* empty */
	struct err err = {.code = "retention", .text = "quote \" backslash \\ newline \n \xc3\xa9"};
	halt_write(path, &err, 1700000000123);
	assert_true(halt_read(path, &arena, &halt));
	assert_string_equal(halt.reason, "retention");
	assert_string_equal(halt.message, err.text);
	assert_int_equal(halt.since_ms, 1700000000123);
	halt_remove(path);
	assert_false(halt_read(path, &arena, &halt));
	halt_remove(path);
	arena_fini(&arena);
}

static void a_halt_whose_text_is_no_utf_8_is_written_all_the_same(void **state)
{
	(void)state;
	char path[] = "/tmp/tandem-halt-XXXXXX";
	struct arena arena = {0};
	struct halt halt;
	close(mkstemp(path));
	halt_write(path, &(struct err){.code = NULL, .text = "\xff\xfe"}, 1);
	assert_true(halt_read(path, &arena, &halt));
	assert_string_equal(halt.reason, "unknown");
	assert_non_null(strstr(halt.message, "see the log"));
	halt_remove(path);
	halt_write("/tmp/there-is-no-such-folder/0.halt", &(struct err){.code = "x"}, 1); /* no crash */
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_is_the_text_that_the_details_say),
		cmocka_unit_test(every_printed_mark_is_read_back),
		cmocka_unit_test(the_longest_mark_fits_200_bytes),
		cmocka_unit_test(anything_else_is_no_mark),
		cmocka_unit_test(a_text_of_any_length_is_read_no_further_than_a_mark_goes),
		cmocka_unit_test(a_halt_is_read_as_it_was_written_and_gone_when_removed),
		cmocka_unit_test(a_halt_whose_text_is_no_utf_8_is_written_all_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
