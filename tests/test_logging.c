/* logging: JSON lines, plain lines, levels, and repeats that are counted. */
#include "json.h"
#include "logging.h"
#include "support/fake_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fake_clock fake;

struct fixture {
	struct logging *logging;
	FILE *out;
	char *text;
	size_t size;
};

static void begin(struct fixture *f, enum logging_format format)
{
	fake_clock_init(&fake);
	*f = (struct fixture){0};
	f->out = open_memstream(&f->text, &f->size);
	f->logging = logging_new(&(struct logging_config){
		.seam = &fake.seam, .out = f->out, .level = LOGGING_INFO, .format = format, .service = "order"});
}

static void end(struct fixture *f)
{
	logging_free(f->logging);
	fclose(f->out);
	free(f->text);
}

static size_t lines(const struct fixture *f)
{
	size_t count = 0;
	for (const char *c = f->text; *c; c++)
		count += *c == '\n';
	return count;
}

static void a_line_is_one_json_object_with_typed_fields(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, LOGGING_JSON);
	logging_write(f.logging, LOGGING_WARNING, "gap", LOGGING_TEXT("topic", "orders"), LOGGING_INT("partition", 3),
	              LOGGING_BOOL("standing", true), LOGGING_TEXT("absent", NULL));
	assert_string_equal(f.text, "{\"ts\":\"2026-11-23T04:00:35.042Z\",\"level\":\"warning\",\"msg\":\"gap\","
	                            "\"service\":\"order\",\"topic\":\"orders\",\"partition\":3,\"standing\":true}\n");
	end(&f);
}

static void plain_text_quotes_what_could_mislead(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, LOGGING_PLAIN);
	logging_write(f.logging, LOGGING_INFO, "started", LOGGING_TEXT("id", "a-1"),
	              LOGGING_TEXT("text", "a b\x1b[2J\n\"x"));
	assert_string_equal(f.text, "2026-11-23T04:00:35.042Z info    started service=order id=a-1 "
	                            "text=\"a b\\u001B[2J\\n\\\"x\"\n");
	end(&f);
}

static void hostile_bytes_still_give_one_valid_object(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, LOGGING_JSON);
	logging_write(f.logging, LOGGING_INFO, "seen", LOGGING_TEXT("id", "\xff\xfe\n{\"level\":\"error\"}"));
	assert_int_equal(lines(&f), 1);
	json_t *object = json_loads(f.text, 0, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "id")),
	                    "\xef\xbf\xbd\xef\xbf\xbd\n{\"level\":\"error\"}");
	json_decref(object);
	end(&f);
}

static void lines_below_the_level_are_not_written(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, LOGGING_JSON);
	logging_write(f.logging, LOGGING_DEBUG, "detail");
	fflush(f.out);
	assert_int_equal(f.size, 0);
	end(&f);
}

static void repeats_are_held_back_and_counted(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, LOGGING_JSON);
	for (int i = 0; i < LOGGING_BURST + 90; i++)
		logging_write(f.logging, LOGGING_ERROR, "broker down", LOGGING_INT("i", i));
	assert_int_equal(lines(&f), LOGGING_BURST);
	logging_write(f.logging, LOGGING_INFO, "something else");
	assert_int_equal(lines(&f), LOGGING_BURST + 1);
	fake.monotonic_us = LOGGING_WINDOW_MS * 1000;
	logging_write(f.logging, LOGGING_ERROR, "broker down", LOGGING_INT("i", -1));
	assert_int_equal(lines(&f), LOGGING_BURST + 2);
	assert_non_null(strstr(f.text, "\"i\":-1,\"repeated\":90}"));
	end(&f);
}

static void a_count_is_never_lost(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, LOGGING_JSON);
	for (int i = 0; i < LOGGING_BURST + 5; i++)
		logging_write(f.logging, LOGGING_INFO, "again");
	logging_poll(f.logging);
	assert_int_equal(lines(&f), LOGGING_BURST);
	fake.monotonic_us = LOGGING_WINDOW_MS * 1000;
	logging_poll(f.logging);
	assert_int_equal(lines(&f), LOGGING_BURST + 1);
	assert_non_null(strstr(f.text, "\"msg\":\"again\",\"service\":\"order\",\"repeated\":5}"));
	for (int i = 0; i < LOGGING_BURST + 7; i++)
		logging_write(f.logging, LOGGING_INFO, "again");
	logging_free(f.logging);
	f.logging = NULL;
	assert_non_null(strstr(f.text, "\"repeated\":7}"));
	end(&f);
}

static void no_logging_logs_nothing(void **state)
{
	(void)state;
	logging_write(NULL, LOGGING_ERROR, "nobody", LOGGING_INT("i", 1));
	logging_poll(NULL);
	logging_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_one_json_object_with_typed_fields),
		cmocka_unit_test(plain_text_quotes_what_could_mislead),
		cmocka_unit_test(hostile_bytes_still_give_one_valid_object),
		cmocka_unit_test(lines_below_the_level_are_not_written),
		cmocka_unit_test(repeats_are_held_back_and_counted),
		cmocka_unit_test(a_count_is_never_lost),
		cmocka_unit_test(no_logging_logs_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
