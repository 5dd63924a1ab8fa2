/* What the generator refuses, and what its check calls compatible: it is run on small schemas in a folder of its own. */
#include "mem.h"
#include "support/folder.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct folder folder;
static char output[8192];

static int make(void **state)
{
	(void)state;
	folder_make(&folder);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	folder_remove(&folder);
	return 0;
}

/* Runs schemagen, which stands beside the folder of this program; returns its exit status, its output in `output`. */
static int schemagen(const char *arguments)
{
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	assert_true(len > 0);
	program[len] = 0;
	*strrchr(program, '/') = 0;
	char *command = mem_format("cd %s && %s/../schemagen %s 2>&1", folder.path, program, arguments);
	FILE *in = popen(command, "r");
	assert_non_null(in);
	size_t got = fread(output, 1, sizeof output - 1, in);
	output[got] = 0;
	int status = pclose(in);
	mem_free(command);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void expect_output(const char *text)
{
	if (!strstr(output, text))
		assert_string_equal(output, text);
}

/* An event called E with these fields (JSON objects without their braces' doc) and attributes. */
#define EVENT_HEAD                                                                                                     \
	"{\"type\": \"record\", \"name\": \"E\", \"namespace\": \"n\", \"doc\": \"d\", \"tandem.origin\": \"other\""
#define EVENT(fields)            EVENT_HEAD ", \"fields\": [" fields "]}"
#define FIELD(name, type)        "{\"name\": \"" name "\", \"doc\": \"d\", \"type\": " type "}"
#define DEFAULT(name, type, def) "{\"name\": \"" name "\", \"doc\": \"d\", \"type\": " type ", \"default\": " def "}"
#define ENUM(name, symbols)                                                                                            \
	"{\"type\": \"enum\", \"name\": \"" name "\", \"doc\": \"d\", \"default\": \"A\", \"symbols\": [" symbols "]}"
#define RECORD(name, fields) "{\"type\": \"record\", \"name\": \"" name "\", \"doc\": \"d\", \"fields\": [" fields "]}"
#define ARRAY(items)         "{\"type\": \"array\", \"items\": " items "}"
#define FIXED(name, size)    "{\"type\": \"fixed\", \"name\": \"" name "\", \"size\": " size "}"

static void what_is_not_supported_is_refused_with_file_field_and_what_is(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *text;
	} table[] = {
		{EVENT(FIELD("f", "\"double\"")),
	         "s/E.avsc: E.f: found \"double\"; events have no floating point; supported: int, long"},
		{EVENT(FIELD("f", "\"float\"")), "s/E.avsc: E.f: found \"float\""},
		{EVENT(FIELD("f", "{\"type\": \"map\", \"values\": \"int\"}")), "s/E.avsc: E.f: found a map"},
		{EVENT(FIELD("f", "\"null\"")), "s/E.avsc: E.f: found \"null\" as a type"},
		{EVENT(FIELD("f", ARRAY("\"null\""))), "s/E.avsc: E.f[]: found \"null\" as a type"},
		{EVENT(FIELD("f", ARRAY(RECORD("R", "")))), "s/E.avsc: R: a record without fields has no size"},
		{EVENT(FIELD("f", "[\"null\", \"int\", \"string\"]")),
	         "s/E.avsc: E.f: found a union of 3 branches; supported: [null, T] and [T, null]"},
		{EVENT(FIELD("f", "[\"int\", \"string\"]")),
	         "s/E.avsc: E.f: found a union of 2 branches without one null"},
		{EVENT(FIELD("f", "[\"null\", \"null\"]")),
	         "s/E.avsc: E.f: found a union of 2 branches; supported: [null, T] and [T, null]"},
		{EVENT(FIELD("f", "[\"null\"]")), "s/E.avsc: E.f: found a union of 1 branches"},
		{EVENT(FIELD("f", "[\"null\", {\"type\": [\"null\", \"int\"]}]")),
	         "s/E.avsc: E.f: found a union within a union"},
		{EVENT(FIELD("f", ARRAY("[\"null\", \"long\"]"))),
	         "s/E.avsc: E.f[]: found a union with null as an array's items; supported: string or bytes with null"},
		{EVENT(FIELD("f", "[\"null\", \"E\"]")), "s/E.avsc: E.f: found the type \"E\", which is not defined "
	                                                 "before this place (recursive types are not supported)"},
		{EVENT(FIELD("f", "\"Other\"")), "s/E.avsc: E.f: found the type \"Other\", which is not defined"},
		{EVENT(FIELD("f", "{\"type\": \"long\", \"logicalType\": \"timestamp-micros\"}")),
	         "s/E.avsc: E.f: found logicalType \"timestamp-micros\" on long; supported: timestamp-millis on long"},
		{EVENT(FIELD("f", "{\"type\": \"string\", \"logicalType\": \"uuid\"}")),
	         "s/E.avsc: E.f: found logicalType \"uuid\" on string"},
		{EVENT(FIELD("f", "{\"type\": \"enum\", \"name\": \"X\", \"doc\": \"d\", \"symbols\": [\"A\"]}")),
	         "s/E.avsc: X: an enum without a default"},
		{EVENT(FIELD("f", "{\"type\": \"enum\", \"name\": \"X\", \"doc\": \"d\", \"default\": \"B\", "
	                          "\"symbols\": [\"A\"]}")),
	         "s/E.avsc: X: the enum's default \"B\" is none of its symbols"},
		{EVENT(FIELD("f", ENUM("X", "\"A\", \"A\""))), "s/E.avsc: X: the symbol A is there twice"},
		{EVENT(FIELD("f", ENUM("X", "\"A\", \"a-b\""))), "s/E.avsc: X: found the symbol \"a-b\""},
		{EVENT(FIELD("f", ENUM("X", ""))), "s/E.avsc: X: an enum without symbols"},
		{EVENT(FIELD("f", FIXED("X", "0"))), "s/E.avsc: X: a fixed needs a size; supported: 1 to 4096"},
		{EVENT(FIELD("f", FIXED("X", "5000"))), "s/E.avsc: X: a fixed needs a size"},
		{EVENT("{\"name\": \"f\", \"type\": \"int\"}"), "s/E.avsc: E.f: no \"doc\""},
		{EVENT("{\"name\": \"f\", \"doc\": \"\", \"type\": \"int\"}"), "s/E.avsc: E.f: no \"doc\""},
		{EVENT("{\"name\": \"f\", \"doc\": \"d\"}"), "s/E.avsc: E.f: no \"type\""},
		{EVENT("{\"name\": \"f\", \"doc\": \"d\", \"type\": 1}"),
	         "s/E.avsc: E.f: a type must be a name, an object or a union"},
		{EVENT("{\"name\": \"f\", \"doc\": \"d\", \"type\": \"int\", \"aliases\": [\"g\"]}"),
	         "s/E.avsc: E.f: found \"aliases\""},
		{EVENT(FIELD("f", "{\"type\": \"record\", \"name\": \"R\", \"fields\": []}")),
	         "s/E.avsc: R: no \"doc\""},
		{EVENT(FIELD("a b", "\"int\"")), "s/E.avsc: E: found the field name \"a b\""},
		{EVENT(FIELD("_f", "\"int\"")), "s/E.avsc: E: found the field name \"_f\""},
		{EVENT(FIELD("f", "\"int\"") ", " FIELD("f", "\"int\"")), "s/E.avsc: E: the field f is there twice"},
		{EVENT(FIELD("f", FIXED("X", "1")) ", " FIELD("g", FIXED("X", "1"))),
	         "s/E.avsc: X: the name n.X is defined twice"},
		{EVENT(""), "s/E.avsc: E: a record without fields"},
		{EVENT(DEFAULT("f", "\"int\"", "\"x\"")), "s/E.avsc: E.f: the default \"x\" is no value of int"},
		{EVENT(DEFAULT("f", "\"int\"", "2147483648")),
	         "s/E.avsc: E.f: the default 2147483648 is no value of int"},
		{EVENT(DEFAULT("f", "[\"null\", \"int\"]", "1")),
	         "s/E.avsc: E.f: the default of [null, int] must be null"},
		{EVENT(DEFAULT("f", "[\"int\", \"null\"]", "null")),
	         "s/E.avsc: E.f: the default null is no value of int"},
		{EVENT(DEFAULT("f", FIXED("X", "2"), "\"abc\"")),
	         "s/E.avsc: E.f: the default \"abc\" is no value of X"},
		{EVENT(DEFAULT("f", "\"bytes\"", "\"\\u0100\"")), "s/E.avsc: E.f: the default"},
		{EVENT(DEFAULT("f", ENUM("X", "\"A\""), "\"B\"")), "s/E.avsc: E.f: the default \"B\" is no value of X"},
		{EVENT(DEFAULT("f", ARRAY("\"int\""), "[1, \"2\"]")),
	         "s/E.avsc: E.f: the default \"2\" is no value of int"},
		{EVENT(DEFAULT("f", RECORD("R", FIELD("a", "\"int\"")), "{}")),
	         "s/E.avsc: E.f: the default leaves out \"a\""},
		{EVENT(DEFAULT("f", RECORD("R", FIELD("a", "\"int\"")), "{\"a\": 1, \"b\": 2}")),
	         "s/E.avsc: E.f: the default has a field \"b\" that R has not"},
		{EVENT(FIELD("while", "\"int\"")),
	         "E.while: its name in C would be while, which C or common/ has already"},
		{EVENT(FIELD("f", RECORD("Buf", FIELD("a", "\"int\"")))), "n.Buf: its name in C would be buf"},
		{EVENT(FIELD("x", "[\"null\", \"int\"]") ", " FIELD("has_x", "\"int\"")),
	         "E.x and E.has_x would both be has_x in C"},
		{EVENT(FIELD("f", RECORD("OrderID", FIELD("a", "\"int\""))) ", " FIELD(
			 "g", RECORD("OrderId", FIELD("a", "\"int\"")))),
	         "n.OrderID and n.OrderId would both be order_id in C"},
		{EVENT(FIELD("f", ENUM("X", "\"A\", \"a\""))), "n.X.A and n.X.a would both be X_A in C"},
		{EVENT(FIELD("f", ENUM("Ab", "\"A\", \"C_D\"")) ", " FIELD("g", ENUM("AbC", "\"A\", \"D\""))),
	         "n.Ab.C_D and n.AbC.D would both be AB_C_D in C"},
		{EVENT(FIELD("f", RECORD("R", FIELD("a", "\"int\""))) ", " FIELD("g",
	                                                                         RECORD("m.R", FIELD("a", "\"int\"")))),
	         "n.R and m.R would both be r in C"},
		{"{\"type\": \"record\", \"name\": \"Z\", \"doc\": \"d\", \"tandem.origin\": \"other\", \"fields\": "
	         "[" FIELD("f", "\"int\"") "]}",
	         "s/E.avsc: E: the record is called Z; it must be called as its file is"},
		{"{\"type\": \"record\", \"name\": \"E\", \"doc\": \"d\", \"fields\": [" FIELD("f", "\"int\"") "]}",
	         "s/E.avsc: E: found nothing as \"tandem.origin\"; supported: publisher, worker, control, other"},
		{"{\"type\": \"record\", \"name\": \"E\", \"doc\": \"d\", \"tandem.origin\": \"me\", \"fields\": "
	         "[" FIELD("f", "\"int\"") "]}",
	         "s/E.avsc: E: found me as \"tandem.origin\""},
		{EVENT_HEAD ", \"tandem.key\": \"g\", \"fields\": [" FIELD("f", "\"string\"") "]}",
	         "s/E.avsc: E: \"tandem.key\" must name a field of the event that is a string and not null; found g"},
		{EVENT_HEAD ", \"tandem.key\": \"f\", \"fields\": [" FIELD("f", "[\"null\", \"string\"]") "]}",
	         "\"tandem.key\" must name a field"},
		{EVENT_HEAD ", \"tandem.topics\": \"f\", \"fields\": [" FIELD("f", "\"string\"") "]}",
	         "s/E.avsc: E: found \"tandem.topics\"; supported: tandem.origin, tandem.topic, tandem.key"},
		{EVENT_HEAD ", \"tandem.topic\": \"\", \"fields\": [" FIELD("f", "\"string\"") "]}",
	         "\"tandem.topic\" must be the name of a topic"},
		{EVENT_HEAD ", \"aliases\": [\"F\"], \"fields\": [" FIELD("f", "\"string\"") "]}",
	         "s/E.avsc: E: found \"aliases\""},
		{"\"int\"", "s/E.avsc: E: an event is a record"},
		{"{\"type\": \"enum\", \"name\": \"E\"}", "s/E.avsc: E: an event is a record"},
		{"{", "s/E.avsc:1:"},
		{"{\"type\": \"record\", \"type\": \"record\"}", "s/E.avsc:1:"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		folder_write(&folder, "s/E.avsc", table[i].schema);
		assert_int_equal(schemagen("--out . s"), 1);
		expect_output(table[i].text);
		assert_int_equal(schemagen("--check s"), 1);
		expect_output(table[i].text);
	}
	char *header = mem_format("%s/events.h", folder.path);
	assert_int_not_equal(access(header, F_OK), 0); /* nothing was written */
	mem_free(header);
}

static void a_schema_nested_without_end_is_refused(void **state)
{
	(void)state;
	char schema[8192] = "";
	for (int i = 0; i < 100; i++)
		strcat(schema, "{\"type\": \"array\", \"items\": ");
	strcat(schema, "\"int\"");
	for (int i = 0; i < 100; i++)
		strcat(schema, "}");
	char *event = mem_format(EVENT("{\"name\": \"f\", \"doc\": \"d\", \"type\": %s}"), schema);
	folder_write(&folder, "s/E.avsc", event);
	assert_int_equal(schemagen("--out . s"), 1);
	expect_output("nested deeper than 64");
	mem_free(event);
}

static void two_schemas_may_share_a_type_only_if_it_is_one(void **state)
{
	(void)state;
#define SHARING(name, shared)                                                                                          \
	"{\"type\": \"record\", \"name\": \"" name                                                                     \
	"\", \"doc\": \"d\", \"tandem.origin\": \"other\", \"fields\": [" FIELD("f", shared) "]}"
	folder_write(&folder, "s/A.avsc", SHARING("A", RECORD("R", DEFAULT("a", "\"int\"", "1"))));
	folder_write(&folder, "s/B.avsc", SHARING("B", RECORD("R", DEFAULT("a", "\"int\"", "1"))));
	assert_int_equal(schemagen("--out . s"), 0);
	static const char *const others[] = {
		SHARING("B", RECORD("R", DEFAULT("a", "\"long\"", "1"))),
		SHARING("B", RECORD("R", DEFAULT("a", "\"int\"", "2"))),
		SHARING("B", RECORD("R", FIELD("a", "\"int\""))),
		SHARING("B", "{\"type\": \"record\", \"name\": \"R\", \"doc\": \"another\", \"fields\": [" DEFAULT(
				     "a", "\"int\"", "1") "]}"),
		SHARING("B", ENUM("R", "\"A\"")),
	};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		folder_write(&folder, "s/B.avsc", others[i]);
		assert_int_equal(schemagen("--out . s"), 1);
		expect_output("s/B.avsc: R: another schema defines it differently");
	}
}

static void expect_in_file(const char *file, const char *const *texts)
{
	char *path = mem_format("%s/%s", folder.path, file), *all = mem_zalloc(1, 65536);
	FILE *in = fopen(path, "rb");
	assert_non_null(in);
	assert_true(fread(all, 1, 65535, in) > 0);
	fclose(in);
	for (; *texts; texts++)
		if (!strstr(all, *texts))
			fail_msg("%s does not hold: %s", path, *texts);
	mem_free(all);
	mem_free(path);
}

static void names_documentation_and_types_of_a_schema_are_those_of_the_header(void **state)
{
	(void)state;
	static const char *const header[] = {
		"/* Goods came. */\nstruct sku_received {\n",
		"\t/* The SKU. */\n\tconst char *sku;\n",
		"\t/* How many. */\n\tint64_t how_many;\n",
		"\t/* Why; ends *| not here. */\n\tenum why_not why;\n",
		"/* Why. */\nenum why_not {\n\tWHY_NOT_A,\n\tWHY_NOT_SO_WHAT,\n};\n",
		"const char *why_not_name(enum why_not value);",
		"struct part_array {\n\tstruct part *items;\n\tsize_t count;\n};\n",
		"\tstruct part_array parts;\n",
		"\tbool has_last; /* false: null */\n\tstruct part last;\n",
		"\t/* Said; or not. (NULL for null.) */\n\tconst char *said;\n",
		"\tstruct event_bytes raw;\n",
		"\tuint8_t id[16];\n",
		"extern const struct event_type sku_received_type;\n",
		"extern const struct event_type *const thing_types[];",
		NULL,
	};
	folder_write(
		&folder, "s/SKUReceived.avsc",
		"{\"type\": \"record\", \"name\": \"SKUReceived\", \"doc\": \"Goods came.\", \"tandem.origin\": "
		"\"other\","
		" \"fields\": ["
		"{\"name\": \"sku\", \"type\": \"string\", \"doc\": \"The SKU.\"},"
		"{\"name\": \"how_many\", \"type\": \"long\", \"doc\": \"How many.\"},"
		"{\"name\": \"why\", \"doc\": \"Why; ends */ not here.\", \"type\": {\"type\": \"enum\", \"name\": "
		"\"WhyNot\","
		" \"doc\": \"Why.\", \"symbols\": [\"A\", \"so_what\"], \"default\": \"A\"}}," FIELD(
			"parts",
			ARRAY(RECORD(
				"Part",
				FIELD("n",
	                              "\"int\"")))) "," FIELD("last",
	                                                      "[\"Part\", \"null\"]") ","
										      "{\"name\": \"said\", \"type\": "
										      "[\"null\", \"string\"], "
										      "\"doc\": \"Said; or "
										      "not.\"}," FIELD(
											      "raw",
											      "\"bytes"
											      "\"") "," FIELD("id",
	                                                                                                      FIXED("Id",
	                                                                                                            "16")) "]}");
	assert_int_equal(schemagen("--out . --name things s"), 0);
	expect_in_file("things.h", header);
	expect_in_file("things.c", (const char *const[]){"const struct event_type sku_received_type = {", NULL});
}

static void wrong_usage_exits_with_2(void **state)
{
	(void)state;
	static const char *const wrong[] = {"",           "s", "--out .", "--check", "--check --out . s", "--nothing s",
	                                    "--check s t"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(schemagen(wrong[i]), 2);
	expect_output("usage: schemagen");
	assert_int_equal(schemagen("--check nothing"), 1);
	expect_output("nothing: holds no .avsc");
	folder_write(&folder, "s/E.avsc", EVENT(FIELD("f", "\"int\"")));
	assert_int_equal(schemagen("--out nowhere s"), 1);
	expect_output("nowhere/events.h: No such file or directory");
}

/* The check. Each row: what was published, what it is now, and the rule that is broken (NULL: none). */
static void the_check_names_both_files_the_field_and_the_rule(void **state)
{
	(void)state;
#define A FIELD("a", "\"int\"")
	static const struct {
		const char *then, *now, *text;
	} table[] = {
		{EVENT(A), EVENT(A), NULL},
		{EVENT(A), EVENT(A ", " DEFAULT("b", "\"int\"", "1")), NULL},
		{EVENT(A ", " DEFAULT("b", "\"int\"", "1")), EVENT(A), NULL},
		{EVENT(A ", " FIELD("b", "\"string\"")), EVENT(FIELD("b", "\"bytes\"") ", " A), NULL},
		{EVENT(FIELD("a", "\"int\"")),
	         EVENT("{\"name\": \"a\", \"doc\": \"in other words\", \"type\": \"int\"}"), NULL},
		{EVENT(FIELD("a", ENUM("X", "\"A\", \"B\""))), EVENT(FIELD("a", ENUM("X", "\"C\", \"A\""))), NULL},
		{EVENT(FIELD("a", "[\"null\", \"int\"]")), EVENT(FIELD("a", "[\"int\", \"null\"]")), NULL},
		{EVENT(FIELD("a", ARRAY(RECORD("R", A)))),
	         EVENT(FIELD("a", ARRAY(RECORD("R", DEFAULT("b", "\"int\"", "1") ", " A)))), NULL},
		{EVENT(A), EVENT(A ", " FIELD("b", "\"int\"")),
	         "s/E.avsc cannot read what s/history/E/1.avsc wrote: E.b: the writer has not got this field, and the "
	         "reader has no default for it"},
		{EVENT(A ", " FIELD("b", "\"int\"")), EVENT(A),
	         "s/history/E/1.avsc cannot read what s/E.avsc wrote: E.b: the writer has not got this field, and the "
	         "reader has no default for it"},
		{EVENT(A), EVENT(FIELD("a", "\"long\"")),
	         "s/history/E/1.avsc cannot read what s/E.avsc wrote: E.a: the writer's long cannot be read as the "
	         "reader's int"},
		{EVENT(FIELD("a", "\"long\"")), EVENT(A),
	         "s/E.avsc cannot read what s/history/E/1.avsc wrote: E.a: the writer's long cannot be read as the "
	         "reader's int"},
		{EVENT(A), EVENT(FIELD("a", "\"string\"")),
	         "E.a: the writer's int cannot be read as the reader's string (promotion: int to long, string to "
	         "bytes, bytes to string)"},
		{EVENT(A), EVENT(FIELD("a", "[\"null\", \"int\"]")),
	         "s/history/E/1.avsc cannot read what s/E.avsc wrote: E.a: the writer may write null, and the reader "
	         "has no null"},
		{EVENT(FIELD("a", "[\"null\", \"int\"]")), EVENT(A),
	         "s/E.avsc cannot read what s/history/E/1.avsc wrote: E.a: the writer may write null, and the reader "
	         "has no null"},
		{EVENT(FIELD("a", FIXED("X", "1"))), EVENT(FIELD("a", FIXED("X", "2"))),
	         "E.a: the writer's fixed has 1 bytes, the reader's 2 (sizes must match)"},
		{EVENT(FIELD("a", FIXED("X", "1"))), EVENT(FIELD("a", FIXED("Y", "1"))),
	         "E.a: the writer's type is called X, the reader's Y (named types match by name)"},
		{EVENT(FIELD("a", ARRAY(RECORD("R", A)))),
	         EVENT(FIELD("a", ARRAY(RECORD("R", A ", " FIELD("b", "\"int\""))))),
	         "E.a[].b: the writer has not got this field"},
		{EVENT(FIELD("a", ARRAY("\"int\""))), EVENT(FIELD("a", ARRAY("\"string\""))),
	         "E.a[]: the writer's int cannot be read as the reader's string"},
		{EVENT(DEFAULT("a", "\"int\"", "1")), EVENT(DEFAULT("a", "\"int\"", "2")),
	         "s/E.avsc differs from s/history/E/1.avsc: E.a: its default is another one"},
		{EVENT(DEFAULT("a", "\"int\"", "1")), EVENT(A), "E.a: its default is another one"},
		{EVENT(FIELD("a", "{\"type\": \"enum\", \"name\": \"X\", \"doc\": \"d\", \"default\": \"B\", "
	                          "\"symbols\": [\"A\", \"B\"]}")),
	         EVENT(FIELD("a", ENUM("X", "\"A\", \"B\""))), "E.a: the enum's default was B and is A"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		folder_write(&folder, "s/history/E/1.avsc", table[i].then);
		folder_write(&folder, "s/E.avsc", table[i].now);
		assert_int_equal(schemagen("--check s"), table[i].text ? 1 : 0);
		expect_output(table[i].text ? table[i].text : "1 events, fully compatible with 1 published versions");
	}
}

/* Version 2 may be fine for 1 and for 3, and 3 not for 1. */
static void the_check_looks_at_every_version_not_at_the_last_alone(void **state)
{
	(void)state;
	folder_write(&folder, "s/history/E/1.avsc", EVENT(A));
	folder_write(&folder, "s/history/E/2.avsc", EVENT(A ", " DEFAULT("b", "\"int\"", "1")));
	folder_write(&folder, "s/history/E/10.avsc", EVENT(A ", " DEFAULT("b", "\"int\"", "1")));
	folder_write(&folder, "s/E.avsc", EVENT(A ", " FIELD("b", "\"int\"")));
	assert_int_equal(schemagen("--check s"), 1);
	expect_output("s/E.avsc cannot read what s/history/E/1.avsc wrote: E.b");
	assert_int_equal(schemagen("--out . s"), 1); /* nor can its decoder be made */
	expect_output("s/E.avsc cannot read what s/history/E/1.avsc wrote: E.b");
}

static void an_event_that_was_published_does_not_vanish(void **state)
{
	(void)state;
	folder_write(&folder, "s/history/E/1.avsc", EVENT(A));
	folder_write(&folder, "s/F.avsc",
	             "{\"type\": \"record\", \"name\": \"F\", \"doc\": \"d\", \"tandem.origin\": \"other\","
	             " \"fields\": [" A "]}");
	assert_int_equal(schemagen("--check s"), 1);
	expect_output("s/history/E: published, but s/E.avsc is gone; a log may still hold it");
}

static void a_schema_that_is_not_published_is_named(void **state)
{
	(void)state;
	folder_write(&folder, "s/E.avsc", EVENT(A));
	assert_int_equal(schemagen("--check s"), 0);
	expect_output("s/E.avsc: not in history: publish it before anything is written with it");
}

static void history_holds_numbered_versions_alone(void **state)
{
	(void)state;
	static const char *const wrong[] = {"0.avsc", "01.avsc", "x.avsc", "1.json", "-1.avsc", "1.avsc.orig"};
	folder_write(&folder, "s/E.avsc", EVENT(A));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		char *file = mem_format("s/history/E/%s", wrong[i]), *path = mem_format("%s/%s", folder.path, file);
		folder_write(&folder, file, EVENT(A));
		assert_int_equal(schemagen("--check s"), 1);
		expect_output("found this; expected 1.avsc, 2.avsc, ...");
		unlink(path);
		mem_free(file);
		mem_free(path);
	}
	assert_int_equal(schemagen("--check s"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_supported_is_refused_with_file_field_and_what_is),
		TEST(a_schema_nested_without_end_is_refused),
		TEST(two_schemas_may_share_a_type_only_if_it_is_one),
		TEST(names_documentation_and_types_of_a_schema_are_those_of_the_header),
		TEST(wrong_usage_exits_with_2),
		TEST(the_check_names_both_files_the_field_and_the_rule),
		TEST(the_check_looks_at_every_version_not_at_the_last_alone),
		TEST(an_event_that_was_published_does_not_vanish),
		TEST(a_schema_that_is_not_published_is_named),
		TEST(history_holds_numbered_versions_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
