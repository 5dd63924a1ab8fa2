/* Any schema, and data that anybody wrote with it: see common/event_avro.h. */
#include "event.h"
#include "support/random_event.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;

static int forget(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

/* What it prints; or the text of the error. */
static const char *printed(const char *schema, const char *body, size_t len, enum status expected)
{
	static struct err err;
	const char *text = NULL;
	err = (struct err){0};
	uint8_t *exact = mem_alloc(len);
	if (len)
		memcpy(exact, body, len);
	assert_int_equal(event_foreign_to_json(schema, exact, len, &arena, &text, &err), expected);
	mem_free(exact);
	return expected == OK ? text : err.text;
}

#define PRINTED(schema, body) printed(schema, body, sizeof(body) - 1, OK)
#define REFUSED(schema, body) printed(schema, body, sizeof(body) - 1, REJECT)

static void every_type_is_printed_as_avros_json(void **state)
{
	(void)state;
	static const char schema[] =
		"{\"type\": \"record\", \"name\": \"n.R\", \"fields\": ["
		"{\"name\": \"nothing\", \"type\": \"null\"},"
		"{\"name\": \"boolean\", \"type\": \"boolean\"},"
		"{\"name\": \"int\", \"type\": {\"type\": \"int\", \"logicalType\": \"date\"}},"
		"{\"name\": \"long\", \"type\": \"long\"},"
		"{\"name\": \"float\", \"type\": \"float\"},"
		"{\"name\": \"double\", \"type\": \"double\"},"
		"{\"name\": \"bytes\", \"type\": \"bytes\"},"
		"{\"name\": \"string\", \"type\": \"string\"},"
		"{\"name\": \"fixed\", \"type\": {\"type\": \"fixed\", \"name\": \"F\", \"size\": 2}},"
		"{\"name\": \"enum\", \"type\": {\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\", \"B\"]}},"
		"{\"name\": \"array\", \"type\": {\"type\": \"array\", \"items\": \"n.E\"}},"
		"{\"name\": \"map\", \"type\": {\"type\": \"map\", \"values\": [\"null\", \"F\", \"int\"]}}]}";
	assert_string_equal(
		PRINTED(schema, "\x01"
	                        "\x03"
	                        "\x04"
	                        "\x00\x00\xc0\x3f"
	                        "\x00\x00\x00\x00\x00\x00\x04\xc0"
	                        "\x06\x00\xff"
	                        "A"
	                        "\x06"
	                        "a\0b"
	                        "\x80"
	                        "!"
	                        "\x02"
	                        "\x02\x02\x00"
	                        "\x06\x02x\x00\x02y\x02\x01\x02\x02z\x04\x08\x00"),
		"{\"nothing\":null,\"boolean\":true,\"int\":-2,\"long\":2,\"float\":1.5,\"double\":-2.5,"
		"\"bytes\":\"\\u0000\xc3\xbf"
		"A\",\"string\":\"a\\u0000b\",\"fixed\":\"\xc2\x80!\",\"enum\":\"B\","
		"\"array\":[\"B\"],\"map\":{\"x\":null,\"y\":{\"n.F\":\"\\u0001\\u0002\"},\"z\":{\"int\":4}}}");
	assert_string_equal(PRINTED("\"double\"", "\x00\x00\x00\x00\x00\x00\xf8\x7f"), "\"NaN\"");
	assert_string_equal(PRINTED("\"double\"", "\x00\x00\x00\x00\x00\x00\xf0\xff"), "\"-Infinity\"");
	assert_string_equal(PRINTED("\"float\"", "\x00\x00\x80\x7f"), "\"Infinity\"");
	assert_string_equal(PRINTED("int", "\x02"), "1"); /* a bare name, as some files have it */
	assert_string_equal(PRINTED("[\"null\", \"string\"]", "\x02\x02x"), "{\"string\":\"x\"}");
}

static void recursive_types_are_read_to_a_depth(void **state)
{
	(void)state;
	static const char list[] = "{\"type\": \"record\", \"name\": \"L\", \"fields\": ["
				   "{\"name\": \"next\", \"type\": [\"null\", \"L\"]}]}";
	char body[100];
	memset(body, 2, sizeof body);
	body[2] = 0;
	assert_string_equal(printed(list, body, 3, OK), "{\"next\":{\"L\":{\"next\":{\"L\":{\"next\":null}}}}}");
	body[2] = 2;
	body[99] = 0;
	assert_non_null(strstr(printed(list, body, 100, REJECT), "values nested too deep"));
}

/* avro-c makes a record with all the records in it before it reads: it must not see this one. */
static void a_record_that_always_holds_itself_has_no_datum(void **state)
{
	(void)state;
	assert_non_null(strstr(REFUSED("{\"type\": \"record\", \"name\": \"R\", \"fields\": ["
	                               "{\"name\": \"r\", \"type\": \"R\"}]}",
	                               "\x00"),
	                       "values nested too deep"));
}

static void types_that_hold_each_other_are_read(void **state)
{
	(void)state;
	static const char schema[] =
		"{\"type\": \"record\", \"name\": \"a.R\", \"fields\": [{\"name\": \"s\", \"type\": "
		"{\"type\": \"array\", \"items\": {\"type\": \"record\", \"name\": \"b.S\", \"fields\": "
		"[{\"name\": \"r\", \"type\": [\"S\", \"a.R\", \"int\"]}]}}}]}";
	assert_string_equal(PRINTED(schema, "\x02\x02\x02\x00\x04\x0e\x00\x00"),
	                    "{\"s\":[{\"r\":{\"a.R\":{\"s\":[{\"r\":{\"b.S\":{\"r\":{\"int\":7}}}}]}}}]}");
}

static void more_values_than_fit_in_memory_are_refused(void **state)
{
	(void)state;
	struct buf body = {0};
	const size_t count = 1 << 21;
	wire_put_long(&body, (int64_t)count);
	memset(buf_grow(&body, count + 1), 0, count + 1);
	body.len += count + 1;
	assert_non_null(strstr(
		printed("{\"type\": \"array\", \"items\": \"boolean\"}", (const char *)body.data, body.len, REJECT),
		"more values than are read at once"));
	buf_fini(&body);
}

static void datums_that_are_wrong_are_refused(void **state)
{
	(void)state;
	static const char doubling[] = /* 2^20 values and no byte */
		"{\"type\": \"record\", \"name\": \"A\", \"fields\": [{\"name\": \"a\", \"type\": "
		"{\"type\": \"record\", \"name\": \"B\", \"fields\": [{\"name\": \"a\", \"type\": "
		"{\"type\": \"record\", \"name\": \"C\", \"fields\": [{\"name\": \"a\", \"type\": {\"type\": "
		"\"array\", \"items\": \"null\"}},"
		"{\"name\": \"b\", \"type\": {\"type\": \"array\", \"items\": \"null\"}}]}}, {\"name\": \"b\", "
		"\"type\": \"C\"}]}},"
		"{\"name\": \"b\", \"type\": \"B\"}]}";
	assert_non_null(strstr(REFUSED("\"int\"", ""), "ends within a number"));
	assert_non_null(strstr(REFUSED("\"int\"", "\x02\x02"), "more bytes than its schema has"));
	assert_non_null(strstr(REFUSED("\"boolean\"", "\x02"), "boolean"));
	assert_non_null(strstr(REFUSED("\"string\"", "\x02\xff"), "UTF-8"));
	assert_non_null(strstr(REFUSED("\"string\"", "\xfe\xff\xff\xff\x0f"), "length beyond what is left"));
	assert_non_null(strstr(REFUSED("[\"null\"]", "\x02"), "out of range"));
	assert_non_null(strstr(REFUSED("{\"type\": \"fixed\", \"name\": \"F\", \"size\": 9223372036854775807}", "\x02"),
	                       "ends within a fixed"));
	assert_non_null(
		strstr(REFUSED("{\"type\": \"map\", \"values\": \"int\"}", "\x02\x02\xff\x02\x00"), "key of a map"));
	assert_non_null(
		strstr(REFUSED("{\"type\": \"array\", \"items\": \"null\"}", "\xfe\xff\xff\xff\xff\xff\x01\x00"),
	               "more values, or longer names, than so few bytes may have"));
	assert_non_null(strstr(REFUSED(doubling, "\xd0\x0f\x00\xd0\x0f\x00\xd0\x0f\x00\xd0\x0f\x00\xd0\x0f\x00"),
	                       "more values"));
	assert_true(arena_used(&arena) < 4000);
}

static void schemas_that_are_wrong_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *text;
	} table[] = {
		{"", "no JSON"},
		{"{", "no JSON"},
		{"nothing", "no JSON"},
		{"\"nothing\"", "Unknown Avro \"type\": nothing"},
		{"1", "a type that is neither a name, an object nor a union"},
		{"{\"type\": \"array\"}", "a type is missing"},
		{"{\"type\": \"record\", \"fields\": []}", "a type \"record\" without a name"},
		{"{\"type\": \"record\", \"name\": \"R\"}", "a record without an array \"fields\""},
		{"{\"type\": \"record\", \"name\": \"R\", \"fields\": [{}]}", "a field without a name"},
		{"{\"type\": \"enum\", \"name\": \"E\", \"symbols\": []}", "Enum type must have at least one symbol"},
		{"{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [1]}", "a symbol that is not a string"},
		{"{\"type\": \"fixed\", \"name\": \"F\"}", "a fixed without an integer \"size\""},
		{"[]", "Union type must have at least one branch"},
		{"[\"int\", [\"null\"]]", "a union within a union"},
		{"{\"type\": \"fixed\", \"name\": \"F F\", \"size\": 1}", "Invalid Avro identifier"},
		{"{\"type\": \"fixed\", \"name\": \"F\n\", \"size\": 1}", "no JSON"},
		{"{\"type\": \"fixed\", \"name\": \"F\\n\", \"size\": 1}", "a name that is none"},
		{"[{\"type\": \"fixed\", \"name\": \"F\", \"size\": 1}, {\"type\": \"fixed\", \"name\": \"F\", "
	         "\"size\": 1}]",
	         "F is defined twice"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strstr(printed(table[i].schema, "", 0, REJECT), table[i].text))
			assert_string_equal(printed(table[i].schema, "", 0, REJECT), table[i].text);
	char deep[4000] = "";
	for (int i = 0; i < 100; i++)
		strcat(deep, "{\"type\": \"array\", \"items\": ");
	assert_non_null(strstr(printed(deep, "", 0, REJECT), "no JSON"));
	strcat(deep, "\"int\"");
	for (int i = 0; i < 100; i++)
		strcat(deep, "}");
	assert_non_null(strstr(printed(deep, "", 0, REJECT), "nested too deep"));
	char *spaces = mem_alloc(300000);
	memset(spaces, ' ', 299999);
	spaces[299999] = 0;
	assert_non_null(strstr(printed(spaces, "", 0, REJECT), "a schema of 299999 bytes"));
	mem_free(spaces);
}

/* A schema with one piece replaced by another of it, and bytes of small numbers, which get further. */
static void changed_schemas_and_any_bytes_are_read_or_refused(void **state)
{
	(void)state;
	static const char schema[] =
		"{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\",\"R\",\"string\"]},"
		"{\"name\":\"b\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}}},"
		"{\"name\":\"c\",\"type\":{\"type\":\"map\",\"values\":\"E\"}},{\"name\":\"d\",\"type\":{\"type\":\"fixed\","
		"\"name\":\"F\",\"size\":2}},{\"name\":\"e\",\"type\":[\"F\",\"double\",\"int\",{\"type\":\"array\",\"items\":\"null\"}]}]}";
	struct rng rng = rng_begin(41);
	size_t read = 0, malformed = 0, bad_schemas = 0;
	for (int round = 0; round < 2000; round++) {
		char changed[sizeof schema], body[40];
		struct err err = {0};
		const char *text;
		size_t piece = rng_below(&rng, 12) * rng_below(&rng, 2);
		size_t from = rng_below(&rng, sizeof schema - piece), to = rng_below(&rng, sizeof schema - piece);
		memcpy(changed, schema, sizeof schema);
		memcpy(changed + to, schema + from, piece);
		changed[sizeof changed - 1] = 0;
		for (size_t i = 0; i < sizeof body; i++)
			body[i] = (char)(rng_next(&rng) >> 20 & 0x07 & ~(rng_below(&rng, 2) * 7));
		for (size_t len = 0; len < sizeof body; len += 1 + len / 4) {
			enum status status = event_foreign_to_json(changed, (uint8_t *)body, len, &arena, &text, &err);
			assert_true(status == OK || status == REJECT);
			read += status == OK;
			malformed += status == REJECT && err_is(&err, "malformed");
			bad_schemas += status == REJECT && err_is(&err, "bad_schema");
			arena_reset(&arena);
		}
	}
	assert_true(read > 50 && malformed > 1000 && bad_schemas > 1000); /* each way was gone */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, forget)
	const struct CMUnitTest tests[] = {
		TEST(every_type_is_printed_as_avros_json),
		TEST(recursive_types_are_read_to_a_depth),
		TEST(a_record_that_always_holds_itself_has_no_datum),
		TEST(types_that_hold_each_other_are_read),
		TEST(more_values_than_fit_in_memory_are_refused),
		TEST(datums_that_are_wrong_are_refused),
		TEST(schemas_that_are_wrong_are_refused),
		TEST(changed_schemas_and_any_bytes_are_read_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
