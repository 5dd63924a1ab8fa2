/* Parsing Canonical Form and CRC-64-AVRO: see common/schema.h. Forms and fingerprints are the ones that the Avro project
 * publishes for its implementations (share/test/data/schema-tests.txt of Avro 1.11), as signed numbers there and here. */
#include "schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOO "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[]}"

static const struct {
	const char *schema, *form;
	int64_t fingerprint;
} vectors[] = {
	{"\"null\"", "\"null\"", INT64_C(7195948357588979594)},
	{"{\"type\": \"boolean\"}", "\"boolean\"", INT64_C(-6970731678124411036)},
	{"{\"type\": {\"type\": \"int\"}}", "\"int\"", INT64_C(8247732601305521295)},
	{"{\"type\": \"long\", \"logicalType\": \"timestamp-millis\"}", "\"long\"", INT64_C(-3434872931120570953)},
	{"\"float\"", "\"float\"", INT64_C(5583340709985441680)},
	{"\"double\"", "\"double\"", INT64_C(-8181574048448539266)},
	{"{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": 4}", "\"bytes\"",
         INT64_C(5746618253357095269)},
	{"\"string\"", "\"string\"", INT64_C(-8142146995180207161)},
	{"[]", "[]", INT64_C(-1241056759729112623)},
	{"[{\"type\": \"int\"}]", "[\"int\"]", INT64_C(-5232228896498058493)},
	{"[\"int\",\n\"boolean\"]", "[\"int\",\"boolean\"]", INT64_C(5392556393470105090)},
	{"{\"name\": \"foo\", \"type\": \"record\", \"fields\": []}", FOO, INT64_C(-4824392279771201922)},
	{"{\"doc\": \"d\", \"aliases\": [\"a\"], \"x\": {\"y\": 1}, \"fields\": [], \"name\": \"foo\", \"type\": "
         "\"record\"}",
         FOO, INT64_C(-4824392279771201922)},
	{"{\"type\": \"record\", \"namespace\": \"\", \"name\": \"foo\", \"fields\": []}", FOO,
         INT64_C(-4824392279771201922)},
	{"{\"type\": \"error\", \"name\": \"foo\", \"fields\": []}", FOO, INT64_C(-4824392279771201922)},
	{"{\"type\": \"record\", \"namespace\": \"x.y\", \"name\": \"foo\", \"fields\": []}",
         "{\"name\":\"x.y.foo\",\"type\":\"record\",\"fields\":[]}", INT64_C(5916914534497305771)},
	{"{\"type\": \"record\", \"namespace\": \"not.used\", \"name\": \"a.b.foo\", \"fields\": []}",
         "{\"name\":\"a.b.foo\",\"type\":\"record\",\"fields\":[]}", INT64_C(-4616218487480524110)},
	{"{\"type\": \"record\", \"name\": \"foo\", \"fields\": [{\"name\": \"f1\", \"type\": \"boolean\", "
         "\"default\": true}]}",
         "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[{\"name\":\"f1\",\"type\":\"boolean\"}]}",
         INT64_C(7843277075252814651)},
	{"{\"type\": \"record\", \"name\": \"foo\", \"fields\": [{\"name\": \"f1\", \"type\": {\"type\": \"boolean\"}},"
         " {\"type\": \"int\", \"doc\": \"d\", \"name\": \"f2\", \"order\": \"ignore\", \"default\": 7}]}",
         "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[{\"name\":\"f1\",\"type\":\"boolean\"},{\"name\":\"f2\","
         "\"type\":"
         "\"int\"}]}",
         INT64_C(-4860222112080293046)},
	{"{\"symbols\": [\"A1\"], \"default\": \"A1\", \"name\": \"foo\", \"type\": \"enum\"}",
         "{\"name\":\"foo\",\"type\":\"enum\",\"symbols\":[\"A1\"]}", INT64_C(-6342190197741309591)},
	{"{\"type\": \"enum\", \"name\": \"x.y.z.foo\", \"symbols\": [\"A1\", \"A2\"]}",
         "{\"name\":\"x.y.z.foo\",\"type\":\"enum\",\"symbols\":[\"A1\",\"A2\"]}", INT64_C(-4448647247586288245)},
	{"{\"size\": 15, \"type\": \"fixed\", \"name\": \"foo\"}", "{\"name\":\"foo\",\"type\":\"fixed\",\"size\":15}",
         INT64_C(1756455273707447556)},
	{"{\"type\": \"fixed\", \"name\": \"foo\", \"namespace\": \"x.y.z\", \"size\": 32}",
         "{\"name\":\"x.y.z.foo\",\"type\":\"fixed\",\"size\":32}", INT64_C(-3064184465700546786)},
	{"{\"items\": \"null\", \"type\": \"array\"}", "{\"type\":\"array\",\"items\":\"null\"}",
         INT64_C(-589620603366471059)},
	{"{\"values\": {\"type\": \"string\"}, \"type\": \"map\"}", "{\"type\":\"map\",\"values\":\"string\"}",
         INT64_C(-8732877298790414990)},
	{"{\"type\": \"record\", \"name\": \"PigValue\", \"fields\": ["
         "{\"type\": [{\"type\": \"null\"}, \"int\", \"long\", \"PigValue\"], \"name\": \"value\"}]}",
         "{\"name\":\"PigValue\",\"type\":\"record\",\"fields\":[{\"name\":\"value\",\"type\":[\"null\",\"int\","
         "\"long\","
         "\"PigValue\"]}]}",
         INT64_C(-1759257747318642341)},
};

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	assert_non_null(json);
	return json;
}

static void the_published_schemas_have_the_published_forms_and_fingerprints(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		struct buf form = {0};
		struct err err = {0};
		uint64_t fingerprint = 0;
		json_t *json = parse(vectors[i].schema);
		assert_int_equal(schema_canonical(json, &form, &err), OK);
		assert_string_equal(buf_text(&form), vectors[i].form);
		assert_int_equal(schema_fingerprint(json, &fingerprint, &err), OK);
		assert_true((int64_t)fingerprint == vectors[i].fingerprint);
		json_decref(json);
		buf_fini(&form);
	}
}

static void the_form_of_a_form_is_the_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		struct buf form = {0};
		struct err err = {0};
		json_t *json = parse(vectors[i].form);
		assert_int_equal(schema_canonical(json, &form, &err), OK);
		assert_string_equal(buf_text(&form), vectors[i].form);
		json_decref(json);
		buf_fini(&form);
	}
}

static void the_fingerprint_of_int_stands_on_the_wire_as_the_specification_shows(void **state)
{
	(void)state;
	assert_true(schema_crc64("\"int\"", 5) == UINT64_C(0x7275d51a3f395c8f));
	assert_true(schema_crc64("", 0) == UINT64_C(0xc15d213aa4d7a795));
	assert_true(schema_crc64(NULL, 0) == UINT64_C(0xc15d213aa4d7a795));
}

static void names_within_a_named_type_are_in_its_namespace(void **state)
{
	(void)state;
	struct buf form = {0};
	struct err err = {0};
	json_t *json = parse("{\"type\": \"record\", \"name\": \"A\", \"namespace\": \"n.a\", \"fields\": ["
	                     "{\"name\": \"b\", \"type\": {\"type\": \"record\", \"name\": \"other.B\", \"fields\": ["
	                     "{\"name\": \"c\", \"type\": {\"type\": \"fixed\", \"name\": \"C\", \"size\": 1}}]}},"
	                     "{\"name\": \"d\", \"type\": {\"type\": \"enum\", \"name\": \"D\", \"symbols\": [\"X\"]}},"
	                     "{\"name\": \"e\", \"type\": [\"null\", \"D\", \"other.C\"]},"
	                     "{\"name\": \"f\", \"type\": {\"type\": \"array\", \"items\": \"A\"}}]}");
	assert_int_equal(schema_canonical(json, &form, &err), OK);
	assert_string_equal(buf_text(&form),
	                    "{\"name\":\"n.a.A\",\"type\":\"record\",\"fields\":["
	                    "{\"name\":\"b\",\"type\":{\"name\":\"other.B\",\"type\":\"record\",\"fields\":["
	                    "{\"name\":\"c\",\"type\":{\"name\":\"other.C\",\"type\":\"fixed\",\"size\":1}}]}},"
	                    "{\"name\":\"d\",\"type\":{\"name\":\"n.a.D\",\"type\":\"enum\",\"symbols\":[\"X\"]}},"
	                    "{\"name\":\"e\",\"type\":[\"null\",\"n.a.D\",\"other.C\"]},"
	                    "{\"name\":\"f\",\"type\":{\"type\":\"array\",\"items\":\"n.a.A\"}}]}");
	json_decref(json);
	buf_fini(&form);
}

static void what_is_no_schema_is_refused_and_puts_nothing(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"1",
		"null",
		"{}",
		"{\"type\": 3}",
		"{\"type\": \"record\"}",
		"{\"type\": \"record\", \"name\": \"a\"}",
		"{\"type\": \"record\", \"name\": \"a\", \"fields\": [{\"type\": \"int\"}]}",
		"{\"type\": \"record\", \"name\": \"a\", \"fields\": [{\"name\": \"f\"}]}",
		"{\"type\": \"record\", \"name\": \"a\", \"fields\": [1]}",
		"{\"type\": \"enum\", \"name\": \"a\"}",
		"{\"type\": \"enum\", \"name\": \"a\", \"symbols\": [1]}",
		"{\"type\": \"fixed\", \"name\": \"a\"}",
		"{\"type\": \"fixed\", \"name\": \"a\", \"size\": -1}",
		"{\"type\": \"fixed\", \"name\": \"a\", \"size\": \"1\"}",
		"{\"type\": \"array\"}",
		"{\"type\": \"map\"}",
		"[\"int\", 1]",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct buf form = {0};
		struct err err = {0};
		json_t *json = parse(bad[i]);
		buf_put(&form, "x", 1);
		assert_int_equal(schema_canonical(json, &form, &err), REJECT);
		assert_true(err_is(&err, "bad_schema"));
		assert_int_equal(form.len, 1);
		json_decref(json);
		buf_fini(&form);
	}
}

static void a_schema_nested_too_deep_is_refused(void **state)
{
	(void)state;
	for (int depth = SCHEMA_DEPTH_MAX - 1; depth <= 2000;
	     depth = depth < SCHEMA_DEPTH_MAX ? depth + 1 : depth + 1936) {
		struct buf text = {0}, form = {0};
		struct err err = {0};
		for (int i = 0; i < depth; i++)
			buf_putf(&text, "{\"type\":\"array\",\"items\":");
		buf_putf(&text, "\"int\"");
		for (int i = 0; i < depth; i++)
			buf_putf(&text, "}");
		json_t *json = parse(buf_text(&text));
		assert_int_equal(schema_canonical(json, &form, &err), depth < SCHEMA_DEPTH_MAX ? OK : REJECT);
		json_decref(json);
		buf_fini(&text);
		buf_fini(&form);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_schemas_have_the_published_forms_and_fingerprints),
		cmocka_unit_test(the_form_of_a_form_is_the_form),
		cmocka_unit_test(the_fingerprint_of_int_stands_on_the_wire_as_the_specification_shows),
		cmocka_unit_test(names_within_a_named_type_are_in_its_namespace),
		cmocka_unit_test(what_is_no_schema_is_refused_and_puts_nothing),
		cmocka_unit_test(a_schema_nested_too_deep_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
