/* replay: what is read and printed, over local::memory:, and the command. Copies are in test_replay_copy.c. */
#include "../producers/replay/format.h"
#include "../producers/replay/position.h"

#include "command.h"
#include "support/capture.h"
#include "support/installation.h"
#include "support/replayed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct command replay_command;

/* ---- fixture ---- */

static struct replayed f;
static char *text; /* what was printed */
static size_t text_len;
static int calls, stop_at;
static bool publish_when_asked;

static bool stop_later(void)
{
	calls++;
	if (publish_when_asked && calls == 3)
		replayed_write(&f, 1, "late", "late");
	return stop_at && calls >= stop_at;
}

static int setup(void **state)
{
	(void)state;
	calls = stop_at = 0;
	publish_when_asked = false;
	text = NULL;
	replayed_init(&f, stop_later);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(text);
	replayed_fini(&f);
	return 0;
}

/* Prints into text. */
static enum status print_by(struct print_config config)
{
	struct replay_sink sink;
	free(text);
	f.result = (struct replay_result){0};
	config.out = open_memstream(&text, &text_len);
	struct print *printer = print_open(&config, &f.result, &sink);
	enum status status = replayed_run(&f, &sink);
	print_close(printer);
	fclose(config.out);
	return status;
}

static enum status print(bool json)
{
	return print_by((struct print_config){.json = json});
}

static void print_format(const char *how, bool raw)
{
	const char *wrong = NULL;
	const struct format *format = format_parse(how, &f.arena, &wrong);
	if (!format)
		fail_msg("%s: %s", how, wrong);
	assert_int_equal(print_by((struct print_config){.format = format, .raw = raw}), OK);
}

static size_t lines(void)
{
	size_t n = 0;
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		n++;
	return n;
}

/* ---- where to begin and to end ---- */

static void positions_are_what_kcat_has(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum replay_at at;
		int64_t value;
	} good[] = {{"beginning", REPLAY_BEGINNING, 0},
	            {"end", REPLAY_END, 0},
	            {"0", REPLAY_OFFSET, 0},
	            {"9223372036854775807", REPLAY_OFFSET, INT64_MAX},
	            {"-10", REPLAY_BEFORE_END, 10},
	            {"@1291191960000", REPLAY_TIME, 1291191960000},
	            {"@2010-12-01T08:26:00Z", REPLAY_TIME, 1291191960000},
	            {"@2010-12-01T09:26+01:00", REPLAY_TIME, 1291191960000}};
	static const char *const bad[] = {
		"",   "-",           "begin", "endless", "1x",          "9223372036854775808", " 1", "--1", "@", "@x",
		"1 ", "@2010-13-01", "+1",    "0x1",     "@2010-02-30", "@2010-12-01T25:00"};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct replay_position position = {0};
		assert_true(position_parse(good[i].text, &position));
		assert_int_equal(position.at, good[i].at);
		assert_int_equal(position.value, good[i].value);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct replay_position position;
		if (position_parse(bad[i], &position))
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void a_selection_is_bounded_by_offsets_times_key_and_count(void **state)
{
	(void)state;
	replayed_fill(&f, 12); /* six in each partition; value i was written at base + i seconds */
	int64_t base = 1700000000000 + f.flow.now_us / 1000 - 11000;
	struct replay_selection all = f.selection;
	const struct {
		struct replay_selection selection;
		const char *expected;
	} table[] = {
		{all, "v0 v2 v4 v6 v8 v10 v1 v3 v5 v7 v9 v11 "},
		{{.partition = 1, .to_offset = -1}, "v1 v3 v5 v7 v9 v11 "},
		{{.partition = -1, .to_offset = 2}, "v0 v2 v1 v3 "},
		{{.partition = 0, .to_offset = -1, .from = {REPLAY_OFFSET, 4}}, "v8 v10 "},
		{{.partition = 0, .to_offset = -1, .from = {REPLAY_OFFSET, 99}}, ""},
		{{.partition = -1, .to_offset = -1, .from = {REPLAY_BEFORE_END, 1}}, "v10 v11 "},
		{{.partition = -1, .to_offset = -1, .from = {REPLAY_BEFORE_END, 100}, .count = 7},
	         "v0 v2 v4 v6 v8 v10 v1 "},
		{{.partition = -1, .to_offset = -1, .from = {REPLAY_END, 0}}, ""},
		{{.partition = -1, .to_offset = -1, .from = {REPLAY_TIME, base + 9000}}, "v10 v9 v11 "},
		{{.partition = -1, .to_offset = -1, .has_until = true, .until_ms = base + 2000}, "v0 v1 "},
		{{.partition = -1, .to_offset = -1, .key = "b"}, "v0 v6 v3 v9 "},
		{{.partition = -1, .to_offset = -1, .key = "b", .count = 3}, "v0 v6 v3 "},
		{{.partition = -1, .to_offset = -1, .type = &order_placed_type}, ""},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		f.selection = table[i].selection;
		f.selection.topics = replayed_plain;
		f.selection.topic_count = 1;
		assert_int_equal(print(false), OK);
		struct buf found = {0};
		for (char *at = text; (at = strstr(at, " \"v")); at++)
			buf_putf(&found, "%.*s ", (int)strcspn(at + 2, "\""), at + 2);
		if (strcmp(buf_text(&found), table[i].expected) != 0)
			fail_msg("case %zu: '%s', expected '%s'", i, buf_text(&found), table[i].expected);
		buf_fini(&found);
	}
}

static void what_retention_has_eaten_is_refused_never_skipped(void **state)
{
	(void)state;
	replayed_fill(&f, 12);
	log_memory_trim(f.flow.memory, "plain", 1, 3);
	f.selection.from = (struct replay_position){REPLAY_OFFSET, 2};
	assert_int_equal(print(false), FATAL);
	assert_string_equal(f.err.code, "out_of_range");
	assert_non_null(strstr(f.err.text, "plain/1 begins at offset 3, found -o 2"));
	f.selection.from = (struct replay_position){REPLAY_BEGINNING, 0};
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 9);
}

static void holes_are_passed_over(void **state)
{
	(void)state;
	replayed_topic(f.flow.log, "holes", 1);
	static const char *const topics[] = {"holes"};
	const struct log_record records[] = {{.offset = 3, .timestamp_ms = 1, .key = {NULL, -1}, .value = {"a", 1}},
	                                     {.offset = 7, .timestamp_ms = 2, .key = {NULL, -1}, .value = {"b", 1}}};
	assert_int_equal(log_import(f.flow.log, "holes", 0, records, 2, NULL), OK);
	f.selection.topics = topics;
	f.selection.from = (struct replay_position){REPLAY_OFFSET, 4};
	assert_int_equal(print(false), OK);
	assert_string_equal(text, "holes/0@7 1970-01-01T00:00:00.002Z not_an_event null \"b\"\n");
}

static void unknown_topics_and_partitions_are_named(void **state)
{
	(void)state;
	static const char *const topics[] = {"plan"};
	f.selection.partition = 2;
	assert_int_equal(print(false), REJECT);
	assert_string_equal(f.err.text, "-p: found 2, expected 0 to 1 of topic plain");
	f.selection.partition = -1;
	f.selection.topics = topics;
	assert_int_equal(print(false), FATAL);
	assert_non_null(strstr(f.err.text, "there is no topic plan; did you mean plain?"));
}

/* ---- what it looks like ---- */

static void an_event_is_one_line_with_its_headers_decoded(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders"};
	struct flow_worker workers[2];
	flow_start(&f.flow, &workers[0], "order", NULL, 0);
	flow_start(&f.flow, &workers[1], "inventory", NULL, 0);
	flow_order_one(&f.flow, "536365", "A", 3);
	flow_rest(&f.flow, workers, 2);
	flow_close(&workers[0]);
	flow_close(&workers[1]);
	f.selection.topics = topics;
	f.selection.key = "536365";
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 2);
	assert_non_null(strstr(text, "OrderPlaced \"536365\" {\"order_id\":\"536365\",\"customer_id\":null,"));
	assert_non_null(strstr(text, "StockRejected \"536365\" {\"order_id\":\"536365\",\"inventory_partition\":"));
	assert_non_null(strstr(text, " tandem=inventory/"));
	f.selection.key = NULL;
	f.selection.type = &genesis_type;
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 2);
	assert_non_null(strstr(text, " Genesis null {\"installation\":\""));
	assert_non_null(strstr(text, " tandem-control=\"1\"\n"));
}

static json_t *json_line(void)
{
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);
	if (!json)
		fail_msg("%s: %s", error.text, text);
	return json;
}

static void json_is_as_kcats_with_headers_as_pairs(void **state)
{
	(void)state;
	replayed_write(&f, 1, "k", "text");
	assert_int_equal(print(true), OK);
	json_t *json = json_line();
	char *headers = json_dumps(json_object_get(json, "headers"), JSON_COMPACT);
	assert_string_equal(headers, "[[\"h\",\"1\"],[\"h\",\"2\"],[\"empty\",null]]");
	assert_string_equal(json_string_value(json_object_get(json, "topic")), "plain");
	assert_int_equal(json_integer_value(json_object_get(json, "partition")), 1);
	assert_int_equal(json_integer_value(json_object_get(json, "offset")), 0);
	assert_string_equal(json_string_value(json_object_get(json, "tstype")), "logappend");
	assert_int_equal(json_integer_value(json_object_get(json, "ts")), 1700000000000 + f.flow.now_us / 1000);
	assert_string_equal(json_string_value(json_object_get(json, "key")), "k");
	assert_string_equal(json_string_value(json_object_get(json, "payload")), "text");
	assert_string_equal(json_string_value(json_object_get(json, "error")), "not_an_event");
	free(headers);
	json_decref(json);
}

static void hostile_bytes_come_out_in_a_safe_form(void **state)
{
	(void)state;
	static const char bytes[] = "\x1b[2J\n\"\\\xff\xc2\x9b\xc3\xa9\x7f";
	const struct log_header header = {"a\x1b", {bytes, sizeof bytes}};
	const struct log_record record = {.key = {bytes, sizeof bytes - 1},
	                                  .value = {bytes, sizeof bytes - 1},
	                                  .headers = &header,
	                                  .header_count = 1};
	flow_write(&f.flow, "plain", &record);
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 1);
	assert_non_null(strstr(text, " not_an_event \"\\x1b[2J\\x0a\\\"\\\\\\xff\\xc2\\x9b\xc3\xa9\\x7f\" "));
	for (const char *at = text; *at && *at != '\n'; at++)
		assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
	assert_int_equal(print(true), OK);
	json_t *json = json_line();
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "payload"), "hex")),
	                    "1b5b324a0a225cffc29bc3a97f");
	json_decref(json);
	for (const char *at = text; *at && *at != '\n'; at++)
		assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
}

static void what_is_no_event_says_why(void **state)
{
	(void)state;
	static const uint8_t unknown[] = {0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t cut[EVENT_HEADER_BYTES] = {0xc3, 1};
	for (int i = 0; i < 8; i++)
		cut[2 + i] = (uint8_t)(order_placed_type.fingerprint >> (8 * i));
	flow_write(&f.flow, "plain", &(struct log_record){.value = {unknown, sizeof unknown}, .key = {NULL, -1}});
	flow_write(&f.flow, "plain", &(struct log_record){.value = {cut, sizeof cut}, .key = {NULL, -1}});
	flow_write(&f.flow, "plain", &(struct log_record){.value = {NULL, -1}, .key = {NULL, -1}});
	assert_int_equal(print(false), OK);
	assert_non_null(strstr(text, " unknown_schema:0807060504030201 null "));
	assert_non_null(strstr(text, " OrderPlaced:malformed null "));
	assert_non_null(strstr(text, " null null null\n"));
	assert_int_equal(print(true), OK);
	assert_non_null(strstr(text, "\"error\":\"unknown_schema\",\"fingerprint\":\"0807060504030201\""));
	assert_non_null(strstr(text, "\"type\":\"OrderPlaced\",\"payload\":{\"hex\":"));
}

/* ---- formats ---- */

static void a_format_writes_what_kcats_does(void **state)
{
	(void)state;
	replayed_write(&f, 1, "k", "text");
	print_format("%t [%p] at %o: %k=%s, %K %S, %h 100%%\\\\\\n\\t\\r\\x41\\x0a", false);
	assert_string_equal(text, "plain [1] at 0: k=text, 1 4, h=1,h=2,empty=NULL 100%\\\n\t\rA\n");
	print_format("%T", false);
	assert_int_equal(strtoll(text, NULL, 10), 1700000000000 + f.flow.now_us / 1000);
	print_format("%R", false);
	assert_int_equal(text_len, 4);
	assert_memory_equal(text, "\0\0\0\4", 4);
	replayed_write(&f, 1, NULL, NULL);
	f.selection.from = (struct replay_position){REPLAY_BEFORE_END, 1};
	f.selection.partition = 1;
	print_format("<%k><%s>%K,%S,", true);
	assert_string_equal(text, "<><>-1,-1,");
	print_format("%R", true);
	assert_memory_equal(text, "\xff\xff\xff\xff", 4);
	print_format("", true);
	assert_int_equal(text_len, 0);
}

static void a_format_writes_events_as_json_and_headers_decoded(void **state)
{
	(void)state;
	flow_order_one(&f.flow, "A", "sku", 1);
	f.selection.topics = (const char *const[]){"orders"};
	f.selection.type = &order_placed_type;
	print_format("%k %s\n", true);
	assert_memory_equal(text, "A {\"", 4);
	assert_non_null(strstr(text, "\"order_id\":\"A\""));
	f.selection.type = &genesis_type;
	print_format("%s %h\n", true);
	assert_non_null(strstr(text, "tandem-control=1"));
	const uint8_t offset[8] = {0, 0, 0, 0, 0, 0, 1, 1};
	const struct log_header header = {"kafka_dlt-original-offset", {offset, sizeof offset}};
	flow_write(&f.flow, "plain",
	           &(struct log_record){.key = {NULL, -1}, .value = {NULL, -1}, .headers = &header, .header_count = 1});
	f.selection =
		(struct replay_selection){.topics = replayed_plain, .topic_count = 1, .partition = -1, .to_offset = -1};
	print_format("%h", true);
	assert_string_equal(text, "kafka_dlt-original-offset=257");
}

static void a_format_gives_bytes_as_they_are_but_to_a_terminal(void **state)
{
	(void)state;
	static const char bytes[] = "\x1b[2J\n\0\xff%s";
	const struct log_record record = {.key = {bytes, sizeof bytes - 1}, .value = {bytes, sizeof bytes - 1}};
	flow_write(&f.flow, "plain", &record);
	print_format("%k|%s", true);
	assert_int_equal(text_len, 2 * (sizeof bytes - 1) + 1);
	assert_memory_equal(text, bytes, sizeof bytes - 1);
	assert_memory_equal(text + sizeof bytes, bytes, sizeof bytes - 1);
	print_format("%k|%s", false);
	assert_string_equal(text, "\\x1b[2J\\x0a\\x00\\xff%s|\\x1b[2J\\x0a\\x00\\xff%s");
}

static void a_format_that_is_none_is_refused(void **state)
{
	(void)state;
	static const char *const formats[][2] = {
		{"%", "found '%'"},     {"%z", "found '%z'"},     {"a%t%", "found '%'"},      {"\\", "found '\\'"},
		{"\\q", "found '\\q'"}, {"\\x4", "found '\\x4'"}, {"\\x4g", "found '\\x4g'"}, {"%t\\0", "found '\\0'"}};
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		const char *wrong = NULL;
		assert_null(format_parse(formats[i][0], &f.arena, &wrong));
		assert_ptr_equal(strstr(wrong, formats[i][1]), wrong);
	}
}

/* ---- the rate, following, stopping ---- */

static void the_rate_is_kept(void **state)
{
	(void)state;
	replayed_fill(&f, 50);
	f.selection.rate = 10;
	int64_t before_us = f.flow.now_us;
	assert_int_equal(print(false), OK);
	assert_int_equal(f.result.taken, 50);
	assert_in_range(f.flow.now_us - before_us, 4850000, 6000000);
	f.selection.key = "b"; /* 17 of them: what is not asked for costs no time */
	before_us = f.flow.now_us;
	assert_int_equal(print(false), OK);
	assert_int_equal(f.result.taken, 17);
	assert_in_range(f.flow.now_us - before_us, 1550000, 2000000);
	stop_at = calls + 40;
	assert_int_equal(print(false), RETRY);
	assert_true(err_is(&f.err, "interrupted"));
}

static void following_shows_what_comes_until_it_is_stopped(void **state)
{
	(void)state;
	replayed_fill(&f, 2);
	f.selection.follow = true;
	publish_when_asked = true;
	stop_at = 30;
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 3);
	assert_non_null(strstr(text, "plain/1@1 "));
	publish_when_asked = false;
	f.selection.count = 2;
	calls = stop_at = 0;
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 2);
}

static void a_stop_says_how_far_each_partition_came(void **state)
{
	(void)state;
	replayed_fill(&f, 12);
	stop_at = 9; /* six of partition 0, two of partition 1 */
	assert_int_equal(print(false), RETRY);
	assert_string_equal(f.err.code, "interrupted");
	assert_int_equal(lines(), 8);
	assert_int_equal(f.slices[0].next, 6);
	assert_int_equal(f.slices[1].next, 2);
	assert_int_equal(f.slices[1].to, 6);
}

static void nothing_is_committed_and_no_group_is_joined(void **state)
{
	(void)state;
	static const char *const groups[] = {"tandem-order", "tandem-replay"};
	struct log_mark mark = {.partition = 0};
	replayed_fill(&f, 4);
	assert_int_equal(print(false), OK);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(log_committed(f.flow.log, groups[i], "plain", &mark, &f.err), OK);
		assert_int_equal(mark.offset, -1);
	}
}
/* ---- the command ---- */

static void wrong_inputs_are_told_with_their_exit_status(void **state)
{
	(void)state;
	char url[128], file[128];
	struct log *log;
	snprintf(url, sizeof url, "local:%s/log", f.flow.data);
	snprintf(file, sizeof file, "%s/none/x.avro", f.flow.data);
	assert_int_equal(log_open(url, &(struct log_config){.seam = &seam_system}, &log, &f.err), OK);
	installation_make(log, 3, 1, 1);
	log_close(log);
	const struct capture_case table[] = {
		{{"--log", url}, EXIT_USAGE, "found no topic, expected -t TOPIC"},
		{{"--log", url, "orders"}, EXIT_USAGE, "found 'orders', expected options alone"},
		{{"-t", "orders"}, EXIT_USAGE, "no log was named"},
		{{"--log", url, "-t", "order"}, EXIT_FAILED, "there is no topic order; did you mean orders?"},
		{{"--log", url, "-t", "orders", "-p", "1"}, EXIT_USAGE, "-p: found 1, expected 0 to 0 of topic orders"},
		{{"--log", url, "-t", "orders", "-p", "x"}, EXIT_USAGE, "--partition"},
		{{"--log", url, "-t", "orders", "-o", "stored"}, EXIT_USAGE, "-o: found 'stored', expected beginning"},
		{{"--log", url, "-t", "orders", "--until-time", "noon"},
	         EXIT_USAGE,
	         "--until-time: found 'noon', expected"},
		{{"--log", url, "-t", "orders", "--type", "OrderPlace"}, EXIT_USAGE, "did you mean OrderPlaced?"},
		{{"--log", url, "-t", "orders", "--type", "other.OrderPlaced"},
	         EXIT_USAGE,
	         "--type: found 'other.OrderPlaced', expected"},
		{{"--log", url, "-t", "orders", "-c", "-1"}, EXIT_USAGE, "--count"},
		{{"--log", url, "-t", "orders", "--export", file}, EXIT_USAGE, "--export needs --type"},
		{{"--log", url, "-t", "orders", "--type", "OrderPlaced", "--export", file},
	         EXIT_FAILED,
	         "No such file"},
		{{"--log", url, "-t", "orders", "--export", file, "--mirror", "m"}, EXIT_USAGE, "exclude each other"},
		{{"--log", url, "-t", "orders", "--follow", "--until-time", "1"}, EXIT_USAGE, "exclude each other"},
		{{"--log", url, "-t", "orders", "--create-topic"}, EXIT_USAGE, "--create-topic goes with"},
		{{"--log", url, "-t", "orders", "--codec", "snappy"}, EXIT_USAGE, "deflate, null"},
		{{"--log", url, "-t", "orders", "--to-topic", "orders"}, EXIT_USAGE, "as source and target"},
		{{"--log", url, "-t", "orders", "--to-topic", "order-events"}, EXIT_USAGE, "only its workers"},
		{{"--log", url, "-t", "orders", "--to-topic", "x"}, EXIT_FAILED, "--create-topic makes it"},
		{{"--log", url, "--mirror", "kafka://h"}, EXIT_USAGE, "Kafka gives records its own offsets"},
		{{"--log", url, "--mirror", "m", "-p", "0"}, EXIT_USAGE, "--mirror takes whole topics"},
		{{"--log", url, "--mirror", url}, EXIT_FAILED, "expected a new, empty log"},
		{{"--log", "kafka://127.0.0.1:1", "-X", "group.id=x", "-t", "orders"}, EXIT_USAGE, "group.id"},
		{{"--log", url, "-t", "orders", "-f", "%p %"},
	         EXIT_USAGE,
	         "--format: found '%', expected one of %t %p"},
		{{"--log", url, "-t", "orders", "-f", "\\q"}, EXIT_USAGE, "--format: found '\\q', expected one of \\n"},
		{{"--log", url, "-t", "orders", "-f", "%p", "-J"}, EXIT_USAGE, "--format prints: -J,"},
		{{"--log", url, "-t", "orders", "-f", "%p", "--to-topic", "x"}, EXIT_USAGE, "--format prints"},
		{{"--log", url, "-t", "orders", "--rate", "-1"}, EXIT_USAGE, "--rate"},
		{{"--log", url, "--mirror", "m", "--rate", "1"}, EXIT_USAGE, "--mirror takes whole topics"},
		{{"--log", url, "-t", "orders", "-f", "%p", "--rate", "5"}, EXIT_DONE, ""},
		{{"--log", url, "-t", "orders", "-n"}, EXIT_DONE, ""},
		{{"--log", url, "-t", "orders", "-J"}, EXIT_DONE, ""},
		{{"--help"}, EXIT_DONE, ""},
	};
	unsetenv("TANDEM_LOG");
	capture_commands(&replay_command, table, sizeof table / sizeof *table);
}
int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(positions_are_what_kcat_has),
		TEST(a_selection_is_bounded_by_offsets_times_key_and_count),
		TEST(what_retention_has_eaten_is_refused_never_skipped),
		TEST(holes_are_passed_over),
		TEST(unknown_topics_and_partitions_are_named),
		TEST(an_event_is_one_line_with_its_headers_decoded),
		TEST(json_is_as_kcats_with_headers_as_pairs),
		TEST(hostile_bytes_come_out_in_a_safe_form),
		TEST(what_is_no_event_says_why),
		TEST(a_format_writes_what_kcats_does),
		TEST(a_format_writes_events_as_json_and_headers_decoded),
		TEST(a_format_gives_bytes_as_they_are_but_to_a_terminal),
		TEST(a_format_that_is_none_is_refused),
		TEST(the_rate_is_kept),
		TEST(following_shows_what_comes_until_it_is_stopped),
		TEST(a_stop_says_how_far_each_partition_came),
		TEST(nothing_is_committed_and_no_group_is_joined),
		TEST(wrong_inputs_are_told_with_their_exit_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
