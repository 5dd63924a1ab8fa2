/* Reading what older writers wrote: schemas in tests/schemas/history, resolved when the decoders were generated. What many
 * generated values resolve to is compared with another implementation by `make peers`. */
#include "test_events.h"

#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* writers: the current schema, then history 1, 2, ... */
#define VERSION(type, n) ((type).writers[n])

static struct arena arena;
static struct err err;

static int reset(void **state)
{
	(void)state;
	arena_fini(&arena);
	err = (struct err){0};
	return 0;
}

static struct evolved evolved(int version, const char *body, size_t len)
{
	struct evolved event;
	memset(&event, 0xa5, sizeof event);
	assert_int_equal(
		evolved_decode(VERSION(evolved_type, version), (const uint8_t *)body, len, &arena, &event, &err), OK);
	return event;
}

static void the_test_schemas_have_the_history_that_is_tested_here(void **state)
{
	(void)state;
	assert_int_equal(evolved_type.writer_count, 3);
	assert_int_equal(promoted_type.writer_count, 2);
	assert_int_equal(everything_type.writer_count, 1);
}

/* id "i"; gone: two of them; state DROPPED; count -3; parts: one with weight, one without; note bytes "n"; flag true */
#define GONE_FULL                                                                                                      \
	"\x02t"                                                                                                        \
	"\x04\x00\x02\x02x\x00"                                                                                        \
	"\x02\x0e"                                                                                                     \
	"ABC"                                                                                                          \
	"\x02"
#define GONE_EMPTY                                                                                                     \
	"\x00"                                                                                                         \
	"\x00"                                                                                                         \
	"\x00"                                                                                                         \
	"abc"                                                                                                          \
	"\x00"
#define FIRST(state)                                                                                                   \
	"\x02i"                                                                                                        \
	"\x04" GONE_FULL GONE_EMPTY "\x00" state "\x05"                                                                \
	"\x04\x02p\x02\x08\x02q\x00\x00"                                                                               \
	"\x02n"                                                                                                        \
	"\x01"

static void fields_come_by_name_and_what_is_gone_is_skipped(void **state)
{
	(void)state;
	static const char body[] = FIRST("\x04");
	struct evolved event = evolved(1, body, sizeof body - 1);
	assert_string_equal(event.id, "i");
	assert_int_equal(event.count, -3);
	assert_string_equal(event.note, "n");
	assert_int_equal(event.parts.count, 2);
	assert_string_equal(event.parts.items[0].sku, "p");
	assert_string_equal(event.parts.items[1].sku, "q");
}

static void fields_that_the_writer_has_not_take_the_readers_defaults(void **state)
{
	(void)state;
	static const char body[] = FIRST("\x04");
	struct evolved event = evolved(1, body, sizeof body - 1);
	assert_int_equal(event.added_first, 42);
	assert_null(event.added_text);
	assert_string_equal(event.parts.items[1].colour, "grey");
	assert_int_equal(event.parts.items[1].tags.count, 1);
	assert_string_equal(event.parts.items[1].tags.items[0], "none");
	assert_string_equal(event.added_part.sku, "none");
	assert_string_equal(event.added_part.colour, "none");
	assert_int_equal(event.added_part.tags.count, 1);
	assert_memory_equal(event.added_fixed, "\xff\x01", 2);
	assert_true(event.has_added_state && event.added_state == EVOLVED_STATE_LATER);
	assert_false(event.has_added_maybe);
}

static void symbols_come_by_name_and_unknown_ones_as_the_readers_default(void **state)
{
	(void)state;
	static const char unknown[] = FIRST("\x00"), new[] = FIRST("\x02"), old[] = FIRST("\x04"),
			  dropped[] = FIRST("\x06");
	assert_int_equal(evolved(1, unknown, sizeof unknown - 1).state, EVOLVED_STATE_UNKNOWN);
	assert_int_equal(evolved(1, new, sizeof new - 1).state, EVOLVED_STATE_NEW);
	assert_int_equal(evolved(1, old, sizeof old - 1).state, EVOLVED_STATE_UNKNOWN);
	assert_int_equal(evolved(1, dropped, sizeof dropped - 1).state, EVOLVED_STATE_UNKNOWN);
	static const char later[] = "\x02i"
				    "\x06"
				    "\x00"
				    "\x00"
				    "\x00"
				    "\x00"
				    "\x02\x02t";
	struct evolved event = evolved(2, later, sizeof later - 1);
	assert_int_equal(event.state, EVOLVED_STATE_LATER);
	assert_string_equal(event.added_text, "t");
}

static enum status try_evolved(int version, const char *body, size_t len)
{
	struct evolved event;
	return evolved_decode(VERSION(evolved_type, version), (const uint8_t *)body, len, &arena, &event, &err);
}

static void what_is_skipped_is_checked_as_what_is_read(void **state)
{
	(void)state;
	static const char good[] = FIRST("\x00");
	char body[sizeof good];
	static const struct {
		size_t at;
		char byte;
		const char *text;
	} table[] = {
		{4, '\xff', "Gone.text: string that is not UTF-8"},
		{4, '\0', "Gone.text: NUL within a string"},
		{2, '\x7e', "Evolved.gone: more items than the bytes left can hold"},
		{6, '\x04', "Gone.numbers: index of an enum or a union out of range"},
		{11, '\x06', "Gone.maybe: index of an enum or a union out of range"},
		{16, '\x04', "Gone.kind: index of an enum or a union out of range"},
		{sizeof good - 2, '\x02', "Evolved.removed_flag: boolean that is neither 0 nor 1"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		memcpy(body, good, sizeof body);
		body[table[i].at] = table[i].byte;
		assert_int_equal(try_evolved(1, body, sizeof body - 1), REJECT);
		if (strncmp(err.text, table[i].text, strlen(table[i].text)) != 0)
			assert_string_equal(err.text, table[i].text);
	}
	for (size_t len = 0; len < sizeof good - 1; len++)
		assert_int_equal(try_evolved(1, good, len), REJECT);
}

static void a_string_that_was_bytes_must_be_one(void **state)
{
	(void)state;
	static const char no_utf8[] = "\x02i"
				      "\x00"
				      "\x00"
				      "\x00"
				      "\x00"
				      "\x02\xff"
				      "\x00";
	static const char nul[] = "\x02i"
				  "\x00"
				  "\x00"
				  "\x00"
				  "\x00"
				  "\x02\x00"
				  "\x00";
	assert_int_equal(try_evolved(1, no_utf8, sizeof no_utf8 - 1), REJECT);
	assert_string_equal(err.text, "Evolved.note: string that is not UTF-8 (byte 7 of 9)");
	assert_int_equal(try_evolved(1, nul, sizeof nul - 1), REJECT);
	assert_string_equal(err.text, "Evolved.note: NUL within a string (byte 7 of 9)");
}

#define PROMOTED(maybe, turned)                                                                                        \
	"\x07"                                                                                                         \
	"\x02\x02\x00"                                                                                                 \
	"\x02t"                                                                                                        \
	"\x02"                                                                                                         \
	"b"                                                                                                            \
	"\x0b"                                                                                                         \
	"\x02p" maybe "\x00\x02m" turned "\x02"                                                                        \
	"\x04\x02x\x00\x00"                                                                                            \
	"\x09"

static void values_are_promoted_and_unions_resolved(void **state)
{
	(void)state;
	static const char body[] = PROMOTED("\x02\x01", "\x02\x03");
	struct promoted event;
	memset(&event, 0xa5, sizeof event);
	assert_int_equal(promoted_decode(VERSION(promoted_type, 1), (const uint8_t *)body, sizeof body - 1, &arena,
	                                 &event, &err),
	                 OK);
	assert_int_equal(event.number, -4);
	assert_true(event.numbers.count == 1 && event.numbers.items[0] == 1);
	assert_true(event.text.len == 1 && event.text.data[0] == 't');
	assert_string_equal(event.bytes, "b");
	assert_true(event.has_plain && event.plain == -6);
	assert_string_equal(event.plain_text, "p");
	assert_int_equal(event.maybe, -1);
	assert_true(event.maybe_text.len == 1 && event.maybe_text.data[0] == 'm');
	assert_true(event.has_turned && event.turned == -2);
	assert_null(event.turned_text);
	assert_true(event.texts.count == 2 && event.texts.items[0].len == 1 && event.texts.items[1].len == 0);
	assert_non_null(event.texts.items[1].data); /* empty, not null */
	assert_true(event.has_part && event.part.amount == -5);
}

static void null_moves_with_its_branch(void **state)
{
	(void)state;
	static const char body[] = PROMOTED("\x02\x01", "\x00");
	struct promoted event;
	assert_int_equal(promoted_decode(VERSION(promoted_type, 1), (const uint8_t *)body, sizeof body - 1, &arena,
	                                 &event, &err),
	                 OK);
	assert_false(event.has_turned);
}

static void null_is_refused_where_the_reader_has_none(void **state)
{
	(void)state;
	static const char body[] = PROMOTED("\x00", "\x00");
	struct promoted event;
	assert_int_equal(promoted_decode(VERSION(promoted_type, 1), (const uint8_t *)body, sizeof body - 1, &arena,
	                                 &event, &err),
	                 REJECT);
	assert_non_null(strstr(err.text, "Promoted.maybe: null, which the schema it is read with has not"));
}

/* An int beyond 32 bits is no int, though the reader's long could hold it. */
static void a_promoted_int_is_still_an_int(void **state)
{
	(void)state;
	static const char body[] = "\x80\x80\x80\x80\x20";
	struct promoted event;
	assert_int_equal(promoted_decode(VERSION(promoted_type, 1), (const uint8_t *)body, sizeof body - 1, &arena,
	                                 &event, &err),
	                 REJECT);
	assert_string_equal(err.text, "Promoted.number: integer beyond 32 bits (byte 5 of 5)");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, reset)
	const struct CMUnitTest tests[] = {
		TEST(the_test_schemas_have_the_history_that_is_tested_here),
		TEST(fields_come_by_name_and_what_is_gone_is_skipped),
		TEST(fields_that_the_writer_has_not_take_the_readers_defaults),
		TEST(symbols_come_by_name_and_unknown_ones_as_the_readers_default),
		TEST(what_is_skipped_is_checked_as_what_is_read),
		TEST(a_string_that_was_bytes_must_be_one),
		TEST(values_are_promoted_and_unions_resolved),
		TEST(null_moves_with_its_branch),
		TEST(null_is_refused_where_the_reader_has_none),
		TEST(a_promoted_int_is_still_an_int),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
