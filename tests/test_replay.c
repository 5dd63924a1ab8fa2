/* replay: what is read, printed, copied, mirrored and exported, over local::memory: and its faults. */
#include "../producers/replay/format.h"
#include "../producers/replay/mirror.h"
#include "../producers/replay/position.h"
#include "../producers/replay/replay.h"

#include "command.h"
#include "genesis.h"
#include "hash.h"
#include "header.h"
#include "json.h"
#include "schema.h"
#include "support/capture.h"
#include "support/flow.h"
#include "support/installation.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct command replay_command;

static const char *const one_topic[] = {"plain"};

static struct fixture {
	struct flow flow;
	struct log_memory *memory; /* a second log */
	struct log *other;
	struct arena arena;
	struct replay_selection selection;
	struct replay_result result;
	struct replay_slice *slices;
	size_t slice_count;
	struct err err;
	char *text;
	size_t text_len;
	/* faults and stops */
	int calls, stop_at;
	enum log_memory_fate fate;
	bool publish_when_asked;
} f;

/* ---- fixture ---- */

static void make_topic(struct log *log, const char *name, int32_t partitions)
{
	struct err err = {0};
	const struct log_topic topic = {.name = name, .partitions = partitions, .replicas = 1};
	assert_int_equal(log_topic_create(log, &topic, &err), OK);
}

static void pass_time(void *arg, int timeout_ms)
{
	(void)arg;
	f.flow.now_us += timeout_ms * 1000;
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){0};
	flow_init(&f.flow, 2, 3);
	log_memory_set_faults(f.flow.memory, &(struct log_memory_faults){.wait = pass_time});
	f.memory = log_memory_new(&f.flow.seam);
	assert_int_equal(log_open("local::memory:", &(struct log_config){.seam = &f.flow.seam, .memory = f.memory},
	                          &f.other, NULL),
	                 OK);
	make_topic(f.flow.log, "plain", 2);
	f.selection =
		(struct replay_selection){.topics = one_topic, .topic_count = 1, .partition = -1, .to_offset = -1};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(f.text);
	arena_fini(&f.arena);
	log_close(f.other);
	log_memory_free(f.memory);
	flow_fini(&f.flow);
	return 0;
}

/* Writes a record to topic plain, a second after the one before. */
static void write_plain(int32_t partition, const char *key, const char *value)
{
	static const struct log_header headers[] = {{"h", {"1", 1}}, {"h", {"2", 1}}, {"empty", {NULL, -1}}};
	const struct log_record record = {.partition = partition,
	                                  .key = {key, key ? (int32_t)strlen(key) : -1},
	                                  .value = {value, value ? (int32_t)strlen(value) : -1},
	                                  .headers = headers,
	                                  .header_count = 3};
	f.flow.now_us += 1000000;
	flow_write(&f.flow, "plain", &record);
}

static void fill_plain(int n)
{
	for (int i = 0; i < n; i++) {
		char value[16];
		snprintf(value, sizeof value, "v%d", i);
		write_plain(i % 2, i % 3 ? "a" : "b", value);
	}
}

static bool stop_later(void)
{
	f.calls++;
	if (f.publish_when_asked && f.calls == 3)
		write_plain(1, "late", "late");
	return f.stop_at && f.calls >= f.stop_at;
}

static enum status run(const struct replay_sink *sink)
{
	const struct replay_run replay = {.log = f.flow.log,
	                                  .seam = &f.flow.seam,
	                                  .selection = &f.selection,
	                                  .sink = sink,
	                                  .stopped = stop_later};
	return replay_run(&replay, &f.arena, &f.slices, &f.slice_count, &f.result, &f.err);
}

/* Prints into f.text. */
static enum status print_by(struct print_config config)
{
	struct replay_sink sink;
	free(f.text);
	f.result = (struct replay_result){0};
	config.out = open_memstream(&f.text, &f.text_len);
	struct print *printer = print_open(&config, &f.result, &sink);
	enum status status = run(&sink);
	print_close(printer);
	fclose(config.out);
	return status;
}

static enum status print(bool json)
{
	return print_by((struct print_config){.json = json});
}

static void print_format(const char *text, bool raw)
{
	const char *wrong = NULL;
	const struct format *format = format_parse(text, &f.arena, &wrong);
	if (!format)
		fail_msg("%s: %s", text, wrong);
	assert_int_equal(print_by((struct print_config){.format = format, .raw = raw}), OK);
}

static enum status copy_with(const struct copy_config *config)
{
	struct copy *copy;
	struct replay_sink sink;
	f.result = (struct replay_result){0};
	enum status status = copy_open(config, &f.selection, &f.result, &copy, &sink, &f.err);
	if (status == OK)
		status = run(&sink);
	copy_close(copy);
	return status;
}

static enum status copy(struct log *target, const char *topic)
{
	return copy_with(&(struct copy_config){.source = f.flow.log,
	                                       .target = target,
	                                       .seam = &f.flow.seam,
	                                       .topic = topic,
	                                       .patience_ms = 60000,
	                                       .stopped = stop_later});
}

/* The values of a topic's records, partition by partition, separated by spaces. */
static const char *values(struct log *log, const char *topic)
{
	struct buf text = {0};
	struct log_topic info;
	assert_int_equal(log_topic_describe(log, topic, &f.arena, &info, NULL), OK);
	for (int32_t p = 0; p < info.partitions; p++) {
		struct log_reader *reader;
		const struct log_record *record;
		assert_int_equal(log_reader_open(log, topic, p, 0, &reader, NULL), OK);
		while (log_reader_next(reader, 0, &record, NULL) == OK && record)
			buf_putf(&text, "%.*s ", (int)record->value.len, (const char *)record->value.data);
		log_reader_close(reader);
		buf_putf(&text, "/ ");
	}
	const char *kept = arena_copy(&f.arena, buf_text(&text), text.len);
	buf_fini(&text);
	return kept;
}

static size_t lines(void)
{
	size_t n = 0;
	for (const char *at = f.text; (at = strchr(at, '\n')); at++)
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
	fill_plain(12); /* six in each partition; value i was written at base + i seconds */
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
		f.selection.topics = one_topic;
		f.selection.topic_count = 1;
		assert_int_equal(print(false), OK);
		struct buf found = {0};
		for (char *at = f.text; (at = strstr(at, " \"v")); at++)
			buf_putf(&found, "%.*s ", (int)strcspn(at + 2, "\""), at + 2);
		if (strcmp(buf_text(&found), table[i].expected) != 0)
			fail_msg("case %zu: '%s', expected '%s'", i, buf_text(&found), table[i].expected);
		buf_fini(&found);
	}
}

static void what_retention_has_eaten_is_refused_never_skipped(void **state)
{
	(void)state;
	fill_plain(12);
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
	make_topic(f.flow.log, "holes", 1);
	static const char *const topics[] = {"holes"};
	const struct log_record records[] = {{.offset = 3, .timestamp_ms = 1, .key = {NULL, -1}, .value = {"a", 1}},
	                                     {.offset = 7, .timestamp_ms = 2, .key = {NULL, -1}, .value = {"b", 1}}};
	assert_int_equal(log_import(f.flow.log, "holes", 0, records, 2, NULL), OK);
	f.selection.topics = topics;
	f.selection.from = (struct replay_position){REPLAY_OFFSET, 4};
	assert_int_equal(print(false), OK);
	assert_string_equal(f.text, "holes/0@7 1970-01-01T00:00:00.002Z not_an_event null \"b\"\n");
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
	assert_non_null(strstr(f.text, "OrderPlaced \"536365\" {\"order_id\":\"536365\",\"customer_id\":null,"));
	assert_non_null(strstr(f.text, "StockRejected \"536365\" {\"order_id\":\"536365\",\"inventory_partition\":"));
	assert_non_null(strstr(f.text, " tandem=inventory/"));
	f.selection.key = NULL;
	f.selection.type = &genesis_type;
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 2);
	assert_non_null(strstr(f.text, " Genesis null {\"installation\":\""));
	assert_non_null(strstr(f.text, " tandem-control=\"1\"\n"));
}

static json_t *json_line(void)
{
	json_error_t error;
	json_t *json = json_loads(f.text, 0, &error);
	if (!json)
		fail_msg("%s: %s", error.text, f.text);
	return json;
}

static void json_is_as_kcats_with_headers_as_pairs(void **state)
{
	(void)state;
	write_plain(1, "k", "text");
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
	assert_non_null(strstr(f.text, " not_an_event \"\\x1b[2J\\x0a\\\"\\\\\\xff\\xc2\\x9b\xc3\xa9\\x7f\" "));
	for (const char *at = f.text; *at && *at != '\n'; at++)
		assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
	assert_int_equal(print(true), OK);
	json_t *json = json_line();
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "payload"), "hex")),
	                    "1b5b324a0a225cffc29bc3a97f");
	json_decref(json);
	for (const char *at = f.text; *at && *at != '\n'; at++)
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
	assert_non_null(strstr(f.text, " unknown_schema:0807060504030201 null "));
	assert_non_null(strstr(f.text, " OrderPlaced:malformed null "));
	assert_non_null(strstr(f.text, " null null null\n"));
	assert_int_equal(print(true), OK);
	assert_non_null(strstr(f.text, "\"error\":\"unknown_schema\",\"fingerprint\":\"0807060504030201\""));
	assert_non_null(strstr(f.text, "\"type\":\"OrderPlaced\",\"payload\":{\"hex\":"));
}

/* ---- formats ---- */

static void a_format_writes_what_kcats_does(void **state)
{
	(void)state;
	write_plain(1, "k", "text");
	print_format("%t [%p] at %o: %k=%s, %K %S, %h 100%%\\\\\\n\\t\\r\\x41\\x0a", false);
	assert_string_equal(f.text, "plain [1] at 0: k=text, 1 4, h=1,h=2,empty=NULL 100%\\\n\t\rA\n");
	print_format("%T", false);
	assert_int_equal(strtoll(f.text, NULL, 10), 1700000000000 + f.flow.now_us / 1000);
	print_format("%R", false);
	assert_int_equal(f.text_len, 4);
	assert_memory_equal(f.text, "\0\0\0\4", 4);
	write_plain(1, NULL, NULL);
	f.selection.from = (struct replay_position){REPLAY_BEFORE_END, 1};
	f.selection.partition = 1;
	print_format("<%k><%s>%K,%S,", true);
	assert_string_equal(f.text, "<><>-1,-1,");
	print_format("%R", true);
	assert_memory_equal(f.text, "\xff\xff\xff\xff", 4);
	print_format("", true);
	assert_int_equal(f.text_len, 0);
}

static void a_format_writes_events_as_json_and_headers_decoded(void **state)
{
	(void)state;
	flow_order_one(&f.flow, "A", "sku", 1);
	f.selection.topics = (const char *const[]){"orders"};
	f.selection.type = &order_placed_type;
	print_format("%k %s\n", true);
	assert_memory_equal(f.text, "A {\"", 4);
	assert_non_null(strstr(f.text, "\"order_id\":\"A\""));
	f.selection.type = &genesis_type;
	print_format("%s %h\n", true);
	assert_non_null(strstr(f.text, "tandem-control=1"));
	const uint8_t offset[8] = {0, 0, 0, 0, 0, 0, 1, 1};
	const struct log_header header = {"kafka_dlt-original-offset", {offset, sizeof offset}};
	flow_write(&f.flow, "plain",
	           &(struct log_record){.key = {NULL, -1}, .value = {NULL, -1}, .headers = &header, .header_count = 1});
	f.selection =
		(struct replay_selection){.topics = one_topic, .topic_count = 1, .partition = -1, .to_offset = -1};
	print_format("%h", true);
	assert_string_equal(f.text, "kafka_dlt-original-offset=257");
}

static void a_format_gives_bytes_as_they_are_but_to_a_terminal(void **state)
{
	(void)state;
	static const char bytes[] = "\x1b[2J\n\0\xff%s";
	const struct log_record record = {.key = {bytes, sizeof bytes - 1}, .value = {bytes, sizeof bytes - 1}};
	flow_write(&f.flow, "plain", &record);
	print_format("%k|%s", true);
	assert_int_equal(f.text_len, 2 * (sizeof bytes - 1) + 1);
	assert_memory_equal(f.text, bytes, sizeof bytes - 1);
	assert_memory_equal(f.text + sizeof bytes, bytes, sizeof bytes - 1);
	print_format("%k|%s", false);
	assert_string_equal(f.text, "\\x1b[2J\\x0a\\x00\\xff%s|\\x1b[2J\\x0a\\x00\\xff%s");
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
	fill_plain(50);
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
	f.stop_at = f.calls + 40;
	assert_int_equal(print(false), RETRY);
	assert_true(err_is(&f.err, "interrupted"));
}

static void following_shows_what_comes_until_it_is_stopped(void **state)
{
	(void)state;
	fill_plain(2);
	f.selection.follow = true;
	f.publish_when_asked = true;
	f.stop_at = 30;
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 3);
	assert_non_null(strstr(f.text, "plain/1@1 "));
	f.publish_when_asked = false;
	f.selection.count = 2;
	f.calls = f.stop_at = 0;
	assert_int_equal(print(false), OK);
	assert_int_equal(lines(), 2);
}

static void a_stop_says_how_far_each_partition_came(void **state)
{
	(void)state;
	fill_plain(12);
	f.stop_at = 9; /* six of partition 0, two of partition 1 */
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
	fill_plain(4);
	assert_int_equal(print(false), OK);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(log_committed(f.flow.log, groups[i], "plain", &mark, &f.err), OK);
		assert_int_equal(mark.offset, -1);
	}
}

/* ---- copying ---- */

static void a_plain_copy_keeps_key_value_headers_and_time(void **state)
{
	(void)state;
	struct log_record a, b;
	bool found;
	fill_plain(12);
	make_topic(f.other, "copied", 2);
	assert_int_equal(copy(f.other, "copied"), OK);
	assert_int_equal(f.result.taken, 12);
	assert_int_equal(f.result.moved, 0);
	assert_string_equal(values(f.other, "copied"), values(f.flow.log, "plain"));
	for (int64_t offset = 0; offset < 6; offset++) {
		static const uint8_t key[HASH_KEY_BYTES];
		assert_int_equal(log_read_at(f.flow.log, "plain", 1, offset, &f.arena, &a, &found, NULL), OK);
		assert_int_equal(log_read_at(f.other, "copied", 1, offset, &f.arena, &b, &found, NULL), OK);
		assert_true(found && hash_record(key, &a) == hash_record(key, &b));
	}
	/* a second time their times would go back */
	assert_int_equal(copy(f.other, "copied"), OK);
	assert_int_equal(f.result.taken, 12);
	assert_int_equal(f.result.moved, 10);
}

static void another_count_places_by_key_and_control_records_stay_behind(void **state)
{
	(void)state;
	static const char *const topics[] = {"plain", "orders"};
	fill_plain(12);
	make_topic(f.other, "copied", 5);
	f.selection.topics = topics;
	f.selection.topic_count = 2;
	assert_int_equal(copy(f.other, "copied"), OK);
	assert_int_equal(f.result.taken, 12);
	assert_int_equal(f.result.skipped[REPLAY_CONTROL], 2);
	for (int32_t p = 0; p < 5; p++) {
		int64_t low, high;
		assert_int_equal(log_bounds(f.other, "copied", p, &low, &high, NULL), OK);
		int64_t expected = (p == log_partition_of("a", 1, 5)) * 8 + (p == log_partition_of("b", 1, 5)) * 4;
		assert_int_equal(high, expected);
	}
}

static void a_missing_target_is_made_only_on_request(void **state)
{
	(void)state;
	struct log_topic topic;
	struct copy_config config = {.source = f.flow.log,
	                             .target = f.flow.log,
	                             .seam = &f.flow.seam,
	                             .topic = "fresh",
	                             .patience_ms = 1000};
	fill_plain(4);
	assert_int_equal(copy_with(&config), FATAL);
	assert_non_null(strstr(f.err.text, "there is no topic fresh; --create-topic makes it"));
	config.create = config.dry_run = true;
	assert_int_equal(copy_with(&config), OK);
	assert_int_equal(f.result.taken, 4);
	assert_int_equal(log_topic_describe(f.flow.log, "fresh", &f.arena, &topic, NULL), OK);
	assert_false(topic.exists);
	config.dry_run = false;
	assert_int_equal(copy_with(&config), OK);
	assert_string_equal(values(f.flow.log, "fresh"), values(f.flow.log, "plain"));
}

/* A flow of both services, with a dead letter. */
static void run_flow(void)
{
	struct flow_worker workers[2];
	flow_start(&f.flow, &workers[0], "order", NULL, 0);
	flow_start(&f.flow, &workers[1], "inventory", NULL, 0);
	flow_receive(&f.flow, "R", "A", 100);
	for (int i = 0; i < 20; i++) {
		char id[16];
		snprintf(id, sizeof id, "o%d", i);
		flow_order_one(&f.flow, id, "A", i + 1);
	}
	flow_cancel(&f.flow, "o3");
	flow_order(&f.flow, "empty", &(struct order_line){.sku = "A"}, 0);
	flow_rest(&f.flow, workers, 2);
	flow_close(&workers[0]);
	flow_close(&workers[1]);
}

static enum log_memory_fate fail_some(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)topic;
	(void)record;
	(void)delay_us;
	f.flow.now_us += 1000;
	return ++f.calls % 7 == 3 ? f.fate : LOG_MEMORY_WRITE;
}

struct seen {
	int64_t records, wrong;
	bool ids[21]; /* o0..o19, empty */
	bool cancel;
};

static void see(void *arg, const struct log_record *record)
{
	struct seen *seen = arg;
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	char key[16] = "";
	assert_true(event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len));
	const struct event_type *type = event_type_of_writer(fingerprint);
	memcpy(key, record->key.data, record->key.len < 15 ? (size_t)record->key.len : 15);
	seen->records++;
	seen->wrong += type->origin != EVENT_PUBLISHER || record->header_count ||
	               record->partition != log_partition_of(key, strlen(key), 3);
	if (type == &order_cancel_requested_type)
		seen->cancel = true;
	else
		seen->ids[strcmp(key, "empty") == 0 ? 20 : atoi(key + 1) % 20] = true;
}

static void a_copy_into_an_installation_is_a_publishers(enum log_memory_fate fate)
{
	static const char *const topics[] = {"orders"};
	struct seen seen = {0};
	run_flow();
	installation_make(f.other, 7, 3, 1);
	f.selection.topics = topics;
	f.fate = fate;
	f.calls = 0;
	log_memory_set_faults(f.memory, &(struct log_memory_faults){.produce = fail_some});
	assert_int_equal(copy(f.other, NULL), OK);
	log_memory_set_faults(f.memory, NULL);
	assert_int_equal(f.result.taken, 22);
	assert_int_equal(f.result.skipped[REPLAY_CONTROL], 2);
	assert_true(f.result.skipped[REPLAY_WORKERS] >= 20);
	installation_read(f.other, "orders", see, &seen);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.cancel && (fate == LOG_MEMORY_WRITE ? seen.records == 22 : seen.records >= 22));
	for (size_t i = 0; i < 21; i++)
		assert_true(seen.ids[i]);
}

static void an_installation_gets_publishers_events_as_a_publisher_sends_them(void **state)
{
	(void)state;
	a_copy_into_an_installation_is_a_publishers(LOG_MEMORY_WRITE);
}

static void a_lost_record_is_sent_again(void **state)
{
	(void)state;
	a_copy_into_an_installation_is_a_publishers(LOG_MEMORY_LOSE);
}

static void a_record_whose_acknowledgement_is_lost_arrives_again(void **state)
{
	(void)state;
	a_copy_into_an_installation_is_a_publishers(LOG_MEMORY_UNKNOWN);
}

static void a_refused_record_ends_the_copy_and_says_where(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders"};
	run_flow();
	installation_make(f.other, 7, 3, 1);
	f.selection.topics = topics;
	f.fate = LOG_MEMORY_REFUSE;
	f.calls = 0;
	log_memory_set_faults(f.memory, &(struct log_memory_faults){.produce = fail_some});
	assert_int_equal(copy(f.other, NULL), FATAL);
	assert_string_equal(f.err.code, "io");
	assert_true(f.slices[0].next < f.slices[0].to);
	assert_true(f.slices[0].next <= 3); /* the third record was refused; offset 0 is the genesis */
}

static void a_dead_letter_is_redriven_without_what_made_it_one(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders.dlq"};
	struct log_record record;
	int64_t low, high;
	bool found;
	run_flow();
	int32_t p = log_partition_of("empty", 5, 2);
	f.selection.topics = topics;
	assert_int_equal(copy(f.flow.log, "orders"), OK);
	assert_int_equal(f.result.taken, 1);
	assert_int_equal(log_bounds(f.flow.log, "orders", p, &low, &high, NULL), OK);
	assert_int_equal(log_read_at(f.flow.log, "orders", p, high - 1, &f.arena, &record, &found, NULL), OK);
	assert_true(found && record.header_count == 0 && record.key.len == 5);
}

static void a_topic_that_only_workers_write_is_no_target(void **state)
{
	(void)state;
	static const char *const targets[] = {"order-events", "inventory.dlq", "plain"};
	static const char *const texts[] = {"only its workers write to it", "only its workers write to it",
	                                    "as source and target"};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(copy(f.flow.log, targets[i]), REJECT);
		assert_string_equal(f.err.code, "usage");
		assert_non_null(strstr(f.err.text, texts[i]));
	}
}

/* ---- mirror ---- */

static void compare_logs(struct log *a, struct log *b, const char *topic, int32_t partitions)
{
	static const uint8_t key[HASH_KEY_BYTES];
	for (int32_t p = 0; p < partitions; p++) {
		struct log_reader *readers[2];
		const struct log_record *x, *y;
		assert_int_equal(log_reader_open(a, topic, p, 0, &readers[0], NULL), OK);
		assert_int_equal(log_reader_open(b, topic, p, 0, &readers[1], NULL), OK);
		do {
			assert_int_equal(log_reader_next(readers[0], 0, &x, NULL), OK);
			assert_int_equal(log_reader_next(readers[1], 0, &y, NULL), OK);
			assert_int_equal(!x, !y);
			if (x)
				assert_true(hash_record(key, x) == hash_record(key, y));
		} while (x);
		log_reader_close(readers[0]);
		log_reader_close(readers[1]);
	}
}

static enum status mirror(struct mirror_result *result)
{
	const struct mirror_config config = {
		.source = f.flow.log, .target = f.other, .seam = &f.flow.seam, .stopped = stop_later};
	return mirror_run(&config, result, &f.err);
}

static void a_mirror_is_the_installation_record_by_record_and_verifies(void **state)
{
	(void)state;
	struct mirror_result result;
	struct verify_result verified;
	run_flow();
	assert_int_equal(mirror(&result), OK);
	assert_int_equal(result.topics, 6);
	assert_int_equal(result.partitions, 4 * 2 + 2 * 3);
	compare_logs(f.flow.log, f.other, "orders", 2);
	compare_logs(f.flow.log, f.other, "orders.dlq", 2);
	compare_logs(f.flow.log, f.other, "order-events", 2);
	compare_logs(f.flow.log, f.other, "inventory", 3);
	for (int32_t p = 0; p < 2; p++) {
		const struct verify_config config = {
			.service = flow_service("order"), .log = f.other, .data = f.flow.data, .partition = p};
		assert_int_equal(verify_partition(&config, &verified, &f.err), OK);
		assert_true(verified.same && verified.records > 0);
	}
	assert_int_equal(mirror(&result), FATAL);
	assert_string_equal(f.err.code, "not_empty");
}

/* Somebody orders, and both workers answer, while the mirror is made. */
static struct flow_worker busy[2];

static bool work_meanwhile(void)
{
	if (++f.calls % 5 == 0 && f.calls <= 50) {
		char id[24];
		snprintf(id, sizeof id, "late-%d", f.calls);
		flow_order_one(&f.flow, id, "A", 1);
		flow_rest(&f.flow, busy, 2);
	}
	return false;
}

/* Else an answer could be in it without what it answers: what folds the mirror would number other events like those. */
static void a_mirror_ends_everywhere_at_the_moment_it_began(void **state)
{
	(void)state;
	int64_t low, ends[2][3];
	static const char *const topics[] = {"orders", "inventory"};
	struct mirror_result result;
	flow_start(&f.flow, &busy[0], "order", NULL, 0);
	flow_start(&f.flow, &busy[1], "inventory", NULL, 0);
	flow_receive(&f.flow, "r", "A", 1000);
	for (int i = 0; i < 10; i++) {
		char id[16];
		snprintf(id, sizeof id, "o-%d", i);
		flow_order_one(&f.flow, id, "A", 1);
	}
	flow_rest(&f.flow, busy, 2);
	for (int t = 0; t < 2; t++)
		for (int32_t p = 0; p < 2 + t; p++)
			assert_int_equal(log_bounds(f.flow.log, topics[t], p, &low, &ends[t][p], &f.err), OK);
	const struct mirror_config config = {
		.source = f.flow.log, .target = f.other, .seam = &f.flow.seam, .stopped = work_meanwhile};
	enum status status = mirror_run(&config, &result, &f.err);
	flow_close(&busy[0]);
	flow_close(&busy[1]);
	assert_int_equal(status, OK);
	assert_true(f.calls > 50);
	for (int t = 0; t < 2; t++) {
		for (int32_t p = 0; p < 2 + t; p++) {
			int64_t end;
			assert_int_equal(log_bounds(f.other, topics[t], p, &low, &end, &f.err), OK);
			assert_int_equal(end, ends[t][p]);
		}
	}
}

static void a_mirror_keeps_holes(void **state)
{
	(void)state;
	static const char *const topics[] = {"holes"};
	struct mirror_result result;
	int64_t low, high;
	make_topic(f.flow.log, "holes", 1);
	const struct log_record records[] = {{.offset = 3, .timestamp_ms = 1, .key = {NULL, -1}, .value = {"a", 1}},
	                                     {.offset = 7, .timestamp_ms = 2, .key = {NULL, -1}, .value = {"b", 1}}};
	assert_int_equal(log_import(f.flow.log, "holes", 0, records, 2, NULL), OK);
	const struct mirror_config config = {
		.source = f.flow.log, .target = f.other, .seam = &f.flow.seam, .topics = topics, .topic_count = 1};
	assert_int_equal(mirror_run(&config, &result, &f.err), OK);
	assert_int_equal(result.records, 2);
	assert_int_equal(log_bounds(f.other, "holes", 0, &low, &high, NULL), OK);
	assert_int_equal(low, 3);
	assert_int_equal(high, 8);
}

static void a_log_that_lost_its_beginning_makes_no_mirror(void **state)
{
	(void)state;
	struct mirror_result result;
	run_flow();
	log_memory_trim(f.flow.memory, "orders", 1, 2);
	assert_int_equal(mirror(&result), FATAL);
	assert_string_equal(f.err.code, "truncated");
	assert_non_null(strstr(f.err.text, "orders/1 begins at offset 2, expected 0"));
}

static void what_was_not_mirrored_is_told_by_a_stop(void **state)
{
	(void)state;
	struct mirror_result result;
	run_flow();
	f.calls = 0;
	f.stop_at = 11; /* it is asked once before the first record */
	assert_int_equal(mirror(&result), RETRY);
	assert_string_equal(f.err.code, "interrupted");
	assert_int_equal(result.records, 9);
}

/* ---- export ---- */

static void an_export_holds_the_events_of_its_type(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders"};
	static const char *const codecs[] = {"null", "deflate"};
	run_flow();
	f.selection.topics = topics;
	f.selection.type = &order_placed_type;
	for (size_t i = 0; i < 2; i++) {
		struct export *export;
		struct replay_sink sink;
		struct event_file *file;
		const uint8_t *body;
		size_t len, count = 0;
		const char *path = arena_format(&f.arena, "%s/orders.avro", f.flow.data);
		f.result = (struct replay_result){0};
		assert_int_equal(
			export_open(path, &order_placed_type, codecs[i], false, &f.result, &export, &sink, &f.err), OK);
		assert_int_equal(run(&sink), OK);
		export_close(export);
		assert_int_equal(f.result.taken, 21);
		assert_int_equal(event_file_open(path, &file, &f.err), OK);
		json_t *schema = json_loads(event_file_schema(file), 0, NULL);
		uint64_t fingerprint;
		assert_int_equal(schema_fingerprint(schema, &fingerprint, &f.err), OK);
		assert_true(fingerprint == order_placed_type.fingerprint);
		json_decref(schema);
		while (event_file_next(file, &f.arena, &body, &len, &f.err) == OK && body) {
			struct order_placed placed;
			assert_int_equal(event_decode(&order_placed_type, order_placed_type.fingerprint, body, len,
			                              &f.arena, &placed, &f.err),
			                 OK);
			count++;
		}
		assert_int_equal(count, 21);
		assert_int_equal(event_file_close(file, &f.err), OK);
	}
}

static void an_export_that_does_not_end_leaves_no_file(void **state)
{
	(void)state;
	static const char *const topics[] = {"orders"};
	struct export *export;
	struct replay_sink sink;
	run_flow();
	f.selection.topics = topics;
	f.selection.type = &order_placed_type;
	f.calls = 0;
	f.stop_at = 9;
	const char *path = arena_format(&f.arena, "%s/orders.avro", f.flow.data);
	assert_int_equal(export_open(path, &order_placed_type, "null", false, &f.result, &export, &sink, &f.err), OK);
	assert_int_equal(run(&sink), RETRY);
	export_close(export);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_not_equal(access(arena_format(&f.arena, "%s.part", path), F_OK), 0);
	export_close(NULL);
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
		TEST(a_plain_copy_keeps_key_value_headers_and_time),
		TEST(another_count_places_by_key_and_control_records_stay_behind),
		TEST(a_missing_target_is_made_only_on_request),
		TEST(an_installation_gets_publishers_events_as_a_publisher_sends_them),
		TEST(a_lost_record_is_sent_again),
		TEST(a_record_whose_acknowledgement_is_lost_arrives_again),
		TEST(a_refused_record_ends_the_copy_and_says_where),
		TEST(a_dead_letter_is_redriven_without_what_made_it_one),
		TEST(a_topic_that_only_workers_write_is_no_target),
		TEST(a_mirror_is_the_installation_record_by_record_and_verifies),
		TEST(a_mirror_ends_everywhere_at_the_moment_it_began),
		TEST(a_mirror_keeps_holes),
		TEST(a_log_that_lost_its_beginning_makes_no_mirror),
		TEST(what_was_not_mirrored_is_told_by_a_stop),
		TEST(an_export_holds_the_events_of_its_type),
		TEST(an_export_that_does_not_end_leaves_no_file),
		TEST(wrong_inputs_are_told_with_their_exit_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
