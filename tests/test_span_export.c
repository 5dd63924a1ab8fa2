/* span_export: what reaches a collector, and that no collector, however it behaves, holds up who puts spans. */
#include "mem.h"
#include "span_export.h"
#include "support/collector.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_US 120000000

static struct fixture {
	struct collector *collector;
	struct span_export *export;
	struct logging *logging;
	FILE *out;
	char *said;
	size_t said_len;
	struct span_export_counts counts; /* after end */
} f;

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.collector = collector_open()};
	f.out = open_memstream(&f.said, &f.said_len);
	f.logging = logging_new(&(struct logging_config){
		.seam = &seam_system, .out = f.out, .level = LOGGING_INFO, .format = LOGGING_JSON});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	span_export_close(f.export);
	logging_free(f.logging);
	fclose(f.out);
	free(f.said);
	collector_close(f.collector);
	return 0;
}

static void begin(struct span_export_config config)
{
	struct err err = {0};
	if (!config.url)
		config.url = collector_url(f.collector);
	config.source = (struct otlp_source){.service = "tandem-order",
	                                     .name_space = "shop",
	                                     .instance = "order-0",
	                                     .system = "kafka",
	                                     .group = "tandem-order"};
	config.logging = f.logging;
	config.seam = &seam_system;
	config.pause_ms = 1;
	config.tick_ms = 2;
	config.flush_ms = config.flush_ms ? config.flush_ms : 60000;
	assert_int_equal(span_export_open(&config, &f.export, &err), OK);
}

/* Sends what is left. */
static void end(void)
{
	span_export_close(f.export);
	f.export = NULL;
	fflush(f.out);
}

static struct span make(uint64_t number)
{
	const struct log_bytes key = {"A-1", 3};
	struct span span = {.trace = {0x4b, 0xf9, [15] = 1},
	                    .id = number + 1,
	                    .parent = 7,
	                    .kind = SPAN_CONSUMER,
	                    .start_us = 1700000000000001,
	                    .end_us = 1700000000002000,
	                    .topic = "shop.orders",
	                    .partition = 3,
	                    .offset = 42,
	                    .event = "OrderPlaced",
	                    .verdict = "applied"};
	span_set_key(&span, &key);
	return span;
}

static void put(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct span span = make(i);
		span_export_put(f.export, &span);
	}
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "(none)";
}

/* Waits (PATIENCE_US) until the counts say that so many were dropped, by whatever reason. */
static bool dropped(int64_t wanted)
{
	const int64_t until = seam_monotonic_us(&seam_system) + PATIENCE_US;
	do {
		span_export_counts(f.export, &f.counts);
		if (f.counts.full + f.counts.refused + f.counts.given_up >= wanted)
			return true;
	} while (sched_yield() == 0 && seam_monotonic_us(&seam_system) < until);
	return false;
}

static void a_span_is_what_opentelemetry_expects(void **state)
{
	(void)state;
	begin((struct span_export_config){0});
	put(1);
	end();
	assert_non_null(strstr(collector_head(f.collector, 0), "\r\nContent-Type: application/json\r\n"));
	json_t *request = json_loads(collector_body(f.collector, 0), 0, NULL), *resource, *scope, *span;
	assert_int_equal(json_unpack(request, "{s:[{s:o, s:[{s:o, s:[o]}]}]}", "resourceSpans", "resource", &resource,
	                             "scopeSpans", "scope", &scope, "spans", &span),
	                 0);
	assert_string_equal(collector_attribute(resource, "service.name"), "tandem-order");
	assert_string_equal(collector_attribute(resource, "service.namespace"), "shop");
	assert_string_equal(collector_attribute(resource, "service.instance.id"), "order-0");
	assert_string_equal(text_of(scope, "name"), "tandem");
	assert_string_equal(text_of(span, "traceId"), "4bf90000000000000000000000000001");
	assert_string_equal(text_of(span, "spanId"), "0000000000000001");
	assert_string_equal(text_of(span, "parentSpanId"), "0000000000000007");
	assert_string_equal(text_of(span, "name"), "process shop.orders");
	assert_int_equal(json_integer_value(json_object_get(span, "kind")), 5);
	assert_string_equal(text_of(span, "startTimeUnixNano"), "1700000000000001000");
	assert_string_equal(text_of(span, "endTimeUnixNano"), "1700000000002000000");
	assert_null(json_object_get(span, "status"));
	static const char *const attributes[][2] = {
		{"messaging.system", "kafka"},
		{"messaging.operation.name", "process"},
		{"messaging.operation.type", "process"},
		{"messaging.destination.name", "shop.orders"},
		{"messaging.destination.partition.id", "3"},
		{"messaging.consumer.group.name", "tandem-order"},
		{"messaging.kafka.offset", "42"},
		{"messaging.kafka.message.key", "A-1"},
		{"tandem.key", "A-1"},
		{"tandem.event", "OrderPlaced"},
		{"tandem.verdict", "applied"},
		{"error.type", ""},
	};
	for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
		assert_string_equal(collector_attribute(span, attributes[i][0]), attributes[i][1]);
	json_decref(request);
}

static void a_span_that_ended_badly_says_so_and_one_that_begins_has_no_parent(void **state)
{
	(void)state;
	begin((struct span_export_config){0});
	struct span span = make(0);
	span.parent = 0;
	span.kind = SPAN_PRODUCER;
	span.offset = -1;
	span.verdict = NULL;
	span.error = "conflict";
	span_export_put(f.export, &span);
	end();
	json_t *spans = collector_spans(f.collector), *only = json_array_get(spans, 0);
	assert_int_equal(json_array_size(spans), 1);
	assert_string_equal(text_of(only, "name"), "send shop.orders");
	assert_null(json_object_get(only, "parentSpanId"));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(only, "status"), "code")), 2);
	assert_string_equal(collector_attribute(only, "error.type"), "conflict");
	assert_string_equal(collector_attribute(only, "messaging.kafka.offset"), "");
	assert_string_equal(collector_attribute(only, "messaging.consumer.group.name"), "");
	json_decref(spans);
}

static void a_key_of_any_bytes_is_cut_and_printable(void **state)
{
	(void)state;
	char bytes[1024];
	memset(bytes, 'x', sizeof bytes);
	memcpy(bytes, "a\"\\\xff\x00\n\xc3\xa9", 8);
	const struct log_bytes keys[] = {{bytes, sizeof bytes}, {bytes, 0}, {NULL, -1}};
	begin((struct span_export_config){0});
	for (size_t i = 0; i < 3; i++) {
		struct span span = make(i);
		span_set_key(&span, &keys[i]);
		span_export_put(f.export, &span);
	}
	end();
	json_t *spans = collector_spans(f.collector);
	assert_int_equal(json_array_size(spans), 3);
	const char *key = collector_attribute(json_array_get(spans, 0), "tandem.key");
	assert_memory_equal(key, "a\"\\?????xxx", 11);
	assert_int_equal(strlen(key), SPAN_KEY_ROOM - 1);
	assert_string_equal(collector_attribute(json_array_get(spans, 1), "tandem.key"), "");
	assert_string_equal(collector_attribute(json_array_get(spans, 2), "tandem.key"), "");
	json_decref(spans);
}

/* Waits (PATIENCE_US) until the collector has taken so many. */
static bool taken(int64_t wanted)
{
	const int64_t until = seam_monotonic_us(&seam_system) + PATIENCE_US;
	do {
		span_export_counts(f.export, &f.counts);
		if (f.counts.taken >= wanted)
			return true;
	} while (sched_yield() == 0 && seam_monotonic_us(&seam_system) < until);
	return false;
}

static void each_of_many_spans_arrives_once_and_in_order(void **state)
{
	(void)state;
	enum {
		ROUND = SPAN_EXPORT_ROOM - SPAN_EXPORT_BATCH,
		ROUNDS = 2
	}; /* the last batch's places may not be free yet */
	begin((struct span_export_config){0});
	for (int round = 1; round <= ROUNDS; round++) {
		put(ROUND);
		assert_true(taken(round * ROUND));
	}
	end();
	json_t *spans = collector_spans(f.collector);
	assert_int_equal(json_array_size(spans), ROUNDS * ROUND);
	for (size_t i = 0; i < json_array_size(spans); i++) {
		char id[20];
		snprintf(id, sizeof id, "%016zx", i % ROUND + 1);
		assert_string_equal(text_of(json_array_get(spans, i), "spanId"), id);
	}
	json_decref(spans);
	assert_string_equal(f.said, "");
}

static void beside_a_collector_that_hangs_spans_are_dropped_counted_and_nobody_waits(void **state)
{
	(void)state;
	collector_answer(f.collector, COLLECTOR_HANGS, "", 0);
	begin((struct span_export_config){.timeout_ms = 600000, .flush_ms = 1});
	put(SPAN_EXPORT_BATCH);
	assert_true(collector_wait(f.collector, 1)); /* it is being sent, and will be for ten minutes */
	put(SPAN_EXPORT_ROOM + 1000);
	span_export_counts(f.export, &f.counts);
	assert_int_equal(f.counts.full, SPAN_EXPORT_BATCH + 1000);
	assert_int_equal(f.counts.taken, 0);
	end();
	assert_non_null(strstr(f.said, "\"msg\":\"spans were dropped\",\"count\":9704,\"no_room\":1512,\"refused\":0,"
	                               "\"given_up\":8192"));
	assert_int_equal(collector_requests(f.collector), 1);
}

static void where_nobody_listens_spans_are_given_up_after_five_tries(void **state)
{
	(void)state;
	char url[64];
	collector_nobody(url);
	begin((struct span_export_config){.url = url});
	put(1);
	assert_true(dropped(1));
	assert_int_equal(f.counts.given_up, 1);
	end();
	assert_non_null(strstr(f.said, "spans cannot be sent"));
	assert_non_null(strstr(f.said, url));
	assert_non_null(strstr(f.said, "\"msg\":\"spans were dropped\",\"count\":1,"));
}

static void a_collector_that_is_busy_gets_the_same_spans_again(void **state)
{
	(void)state;
	static const int busy[] = {429, 502, 503, 504};
	begin((struct span_export_config){0});
	for (size_t i = 0; i < 4; i++) {
		collector_answer(f.collector, busy[i], "later", 1);
		put(1); /* several might go out in two requests */
		assert_true(collector_wait(f.collector, 2 * (i + 1)));
		assert_string_equal(collector_body(f.collector, 2 * i), collector_body(f.collector, 2 * i + 1));
	}
	end();
	json_t *spans = collector_spans(f.collector);
	assert_int_equal(json_array_size(spans), 4);
	json_decref(spans);
	assert_non_null(strstr(f.said, "spans cannot be sent"));
	assert_non_null(strstr(f.said, "status 503: later"));
	assert_non_null(strstr(f.said, "spans are sent again"));
	assert_null(strstr(f.said, "spans were dropped"));
}

static void a_collector_that_stays_busy_gets_five_tries(void **state)
{
	(void)state;
	collector_answer(f.collector, 503, "never", 0);
	begin((struct span_export_config){0});
	put(1);
	assert_true(dropped(1));
	assert_int_equal(f.counts.given_up, 1);
	assert_int_equal(collector_requests(f.collector), 5);
	end();
}

static void what_a_collector_refuses_is_not_tried_again(void **state)
{
	(void)state;
	static const int wrong[] = {400, 401, 404, 500, 302};
	begin((struct span_export_config){0});
	for (size_t i = 0; i < 5; i++) {
		collector_answer(f.collector, wrong[i], "no\x01\xff such thing", 1);
		put(1);
		assert_true(dropped((int64_t)i + 1));
	}
	assert_int_equal(f.counts.refused, 5);
	assert_int_equal(collector_requests(f.collector), 5);
	end();
	/* said at once, and what came within the minute at the end */
	int64_t said = 0;
	int lines = 0;
	for (const char *at = f.said; (at = strstr(at, "\"msg\":\"spans were dropped\",\"count\":")); lines++) {
		at += strlen("\"msg\":\"spans were dropped\",\"count\":");
		said += strtoll(at, NULL, 10);
	}
	assert_int_equal(said, 5);
	assert_in_range(lines, 1, 2);
	assert_non_null(strstr(f.said, "status 400: no"));
}

static void what_a_collector_takes_in_part_is_counted(void **state)
{
	(void)state;
	static const struct {
		const char *answer;
		int64_t refused;
	} answers[] = {
		{"{\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"too old\"}}", 1},
		{"{\"partialSuccess\":{\"rejectedSpans\":1}}", 1},
		{"{\"partialSuccess\":{\"rejectedSpans\":\"9223372036854775807\"}}", 1}, /* of one */
		{"{\"partialSuccess\":{\"rejectedSpans\":-5}}", 0},
		{"{\"partialSuccess\":{\"errorMessage\":\"a warning\"}}", 0},
		{"{\"partialSuccess\":[1,2]}", 0},
		{"[[[", 0},
		{"", 0},
	};
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		collector_answer(f.collector, 200, answers[i].answer, 1);
		begin((struct span_export_config){0});
		put(1);
		assert_true(collector_wait(f.collector, i + 1));
		do /* the answer is read behind the request */
			span_export_counts(f.export, &f.counts);
		while (f.counts.taken + f.counts.refused < 1);
		assert_int_equal(f.counts.refused, answers[i].refused);
		assert_int_equal(f.counts.taken, 1 - answers[i].refused);
		end();
	}
	assert_non_null(strstr(f.said, "too old"));
}

/* How many of those that put() made: who was answered too late sends again what has arrived. */
static uint64_t arrived(uint64_t count)
{
	json_t *spans = collector_spans(f.collector), *span;
	uint64_t all = 0;
	size_t at;
	for (uint64_t i = 1; i <= count; i++) {
		char id[20];
		bool found = false;
		snprintf(id, sizeof id, "%016llx", (unsigned long long)i);
		json_array_foreach(spans, at, span) found = found || strcmp(text_of(span, "spanId"), id) == 0;
		all += found;
	}
	json_decref(spans);
	return all;
}

static void a_collector_that_comes_back_gets_what_waited(void **state)
{
	(void)state;
	collector_answer(f.collector, COLLECTOR_HANGS, "", 1);
	begin((struct span_export_config){.timeout_ms = 2000});
	put(5);
	assert_true(collector_wait(f.collector, 2));
	end();
	assert_int_equal(arrived(5), 5);
}

static void what_cannot_be_an_endpoint_is_refused(void **state)
{
	(void)state;
	struct err err = {0};
	struct span_export *export = NULL;
	const struct span_export_config config = {.url = "localhost:4318", .seam = &seam_system};
	assert_int_equal(span_export_open(&config, &export, &err), REJECT);
	assert_null(export);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_span_is_what_opentelemetry_expects),
		TEST(a_span_that_ended_badly_says_so_and_one_that_begins_has_no_parent),
		TEST(a_key_of_any_bytes_is_cut_and_printable),
		TEST(each_of_many_spans_arrives_once_and_in_order),
		TEST(beside_a_collector_that_hangs_spans_are_dropped_counted_and_nobody_waits),
		TEST(where_nobody_listens_spans_are_given_up_after_five_tries),
		TEST(a_collector_that_is_busy_gets_the_same_spans_again),
		TEST(a_collector_that_stays_busy_gets_five_tries),
		TEST(what_a_collector_refuses_is_not_tried_again),
		TEST(what_a_collector_takes_in_part_is_counted),
		TEST(a_collector_that_comes_back_gets_what_waited),
		TEST(what_cannot_be_an_endpoint_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
