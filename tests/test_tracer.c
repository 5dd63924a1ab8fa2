/* tracer: the spans of workers. Both services in one process, and a collector beside them. */
#include "header.h"
#include "support/collector.h"
#include "support/fake_clock.h"
#include "support/flow.h"
#include "support/gated.h"
#include "tracer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

enum { ORDER, INVENTORY, SERVICES };
static const char *const names[] = {"order", "inventory"};
static const char *const inputs[] = {"orders", "inventory"};

static struct fixture {
	struct flow flow;
	struct flow_worker workers[SERVICES];
	struct collector *collector;
	struct span_export *exports[SERVICES];
	struct tracer *tracers[SERVICES];
	json_t *spans;
} f;

static void open_tracer(int which, int64_t one_in)
{
	char service[32];
	struct err err = {0};
	snprintf(service, sizeof service, "tandem-%s", names[which]);
	const struct span_export_config config = {.url = collector_url(f.collector),
	                                          .source = {.service = service},
	                                          .seam = &seam_system,
	                                          .flush_ms = 60000,
	                                          .tick_ms = 2};
	assert_int_equal(span_export_open(&config, &f.exports[which], &err), OK);
	f.tracers[which] = tracer_new(&(struct tracer_config){.seam = &f.flow.seam,
	                                                      .log = f.flow.log,
	                                                      .service = names[which],
	                                                      .input = inputs[which],
	                                                      .export = f.exports[which],
	                                                      .one_in = one_in});
}

static void start(int which)
{
	static const int32_t partition = 0; /* without a group, which would wait for a member that crashed */
	flow_start_with(&f.flow, &f.workers[which],
	                &(struct worker_config){.service = flow_service(names[which]),
	                                        .partitions = &partition,
	                                        .partition_count = 1,
	                                        .tracer = f.tracers[which]});
}

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.collector = collector_open()};
	flow_init(&f.flow, 1, 1);
	for (int i = 0; i < SERVICES; i++) {
		open_tracer(i, 1);
		start(i);
	}
	flow_receive(&f.flow, "R", "S", 100);
	flow_rest(&f.flow, f.workers, SERVICES);
	return 0;
}

static void close_exports(void)
{
	for (int i = 0; i < SERVICES; i++) {
		span_export_close(f.exports[i]);
		f.exports[i] = NULL;
	}
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < SERVICES; i++)
		if (f.workers[i].worker)
			flow_close(&f.workers[i]);
	close_exports();
	for (int i = 0; i < SERVICES; i++)
		tracer_free(f.tracers[i]);
	json_decref(f.spans);
	flow_fini(&f.flow);
	collector_close(f.collector);
	return 0;
}

/* Everything at rest, then all spans there were, in f.spans. */
static size_t collect(void)
{
	flow_rest(&f.flow, f.workers, SERVICES);
	close_exports();
	json_decref(f.spans);
	f.spans = collector_spans(f.collector);
	return json_array_size(f.spans);
}

/* An order for one S, with this header (NULL: one without a value); len -1: as long as the text. */
static int64_t publish(const char *order_id, const char *traceparent, int32_t len)
{
	struct order_line line = {.sku = "S", .quantity = 1, .unit_price_minor = 255};
	const struct order_placed placed = {.order_id = order_id,
	                                    .currency = "GBP",
	                                    .placed_at = 1291191960000,
	                                    .lines = {.items = &line, .count = 1}};
	struct buf value = {0};
	struct err err = {0};
	assert_int_equal(event_encode(&order_placed_type, &placed, &value, &err), OK);
	if (traceparent && len < 0)
		len = (int32_t)strlen(traceparent);
	const struct log_header header = {"traceparent", {traceparent, len}};
	const struct log_record record = {.key = {order_id, (int32_t)strlen(order_id)},
	                                  .value = {value.data, (int32_t)value.len},
	                                  .headers = &header,
	                                  .header_count = 1};
	int64_t offset = flow_write(&f.flow, "orders", &record);
	buf_fini(&value);
	return offset;
}

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));
	return text ? text : "";
}

/* The first of this name whose parent is this one; NULL: none. */
static const json_t *child_of(const char *parent, const char *name)
{
	const json_t *span;
	size_t i;
	json_array_foreach(f.spans, i, span) if (strcmp(text_of(span, "parentSpanId"), parent) == 0 &&
	                                         strcmp(text_of(span, "name"), name) == 0) return span;
	return NULL;
}

static void one_trace_leads_from_the_record_through_both_services_and_out(void **state)
{
	(void)state;
	static const char *const hops[][2] = {
		{"process orders", "OrderPlaced"},     {"send inventory", "ReserveStock"},
		{"process inventory", "ReserveStock"}, {"send orders", "StockReserved"},
		{"process orders", "StockReserved"},   {"send order-events", "OrderConfirmed"},
	};
	publish("A", "00-" TRACE "-" PARENT "-01", -1);
	/* order: 2 records, ReserveStock, CommitStock and OrderConfirmed; inventory: 2 records, StockReserved */
	assert_int_equal(collect(), 2 + 3 + 2 + 1);
	const char *parent = PARENT;
	for (size_t i = 0; i < sizeof hops / sizeof *hops; i++) {
		const json_t *span = child_of(parent, hops[i][0]);
		if (!span)
			fail_msg("no '%s' below %s", hops[i][0], parent);
		assert_string_equal(text_of(span, "traceId"), TRACE);
		assert_string_equal(collector_attribute(span, "tandem.event"), hops[i][1]);
		assert_string_equal(collector_attribute(span, "tandem.key"), "A");
		assert_string_equal(collector_attribute(span, "tandem.verdict"), i % 2 ? "" : "applied");
		assert_true(strcmp(text_of(span, "startTimeUnixNano"), text_of(span, "endTimeUnixNano")) <= 0);
		parent = text_of(span, "spanId");
	}
}

/* What the fold writes into its outputs is what the spans say. */
static void an_events_traceparent_names_the_span_that_sent_it(void **state)
{
	(void)state;
	struct log_record record;
	struct arena arena = {0};
	struct err err = {0};
	bool found;
	publish("A", "00-" TRACE "-" PARENT "-01", -1);
	collect();
	assert_int_equal(log_read_at(f.flow.log, "inventory", 0, 2, &arena, &record, &found, &err), OK);
	assert_true(found);
	const struct log_header *header = header_find(&record, "traceparent");
	assert_non_null(header);
	char id[17];
	snprintf(id, sizeof id, "%.16s", (const char *)header->value.data + 36);
	const json_t *processed = child_of(PARENT, "process orders");
	assert_non_null(processed);
	const json_t *sent = child_of(text_of(processed, "spanId"), "send inventory");
	assert_non_null(sent);
	assert_string_equal(text_of(sent, "spanId"), id);
	arena_fini(&arena);
}

static void what_is_in_no_sampled_trace_gives_no_span(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int32_t len;
	} hostile[] = {
		{"00-" TRACE "-" PARENT "-00", -1}, /* well-formed, not sampled */
		{"00-" TRACE "-" PARENT "-fe", -1},
		{"", -1},
		{NULL, -1},
		{"00-" TRACE "-" PARENT "-0", -1},
		{"00-" TRACE "-" PARENT "-01-", -1},
		{"01-" TRACE "-" PARENT "-01", -1},
		{"00-00000000000000000000000000000000-" PARENT "-01", -1},
		{"00-" TRACE "-0000000000000000-01", -1},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", -1},
		{"00_" TRACE "-" PARENT "-01", -1},
		{"00-" TRACE "-" PARENT "-0g", -1},
		{"00-" TRACE "-" PARENT "-\0001", 55},
		{"00-4bf92f3577b34da6\xff\xff"
	         "ce929d0e0e4736-" PARENT "-01",
	         -1},
	};
	for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
		char id[16];
		snprintf(id, sizeof id, "A%zu", i);
		publish(id, hostile[i].text, hostile[i].len);
	}
	assert_int_equal(collect(), 0);
	assert_int_equal(flow_sum(&f.flow, "order", "SELECT count(*) FROM orders"), sizeof hostile / sizeof *hostile);
}

static void what_was_not_applied_has_an_error(void **state)
{
	(void)state;
	publish("A", "00-" TRACE "-" PARENT "-01", -1);
	const struct log_header header = {"traceparent", {"00-" TRACE "-" PARENT "-01", 55}};
	const struct log_record nonsense = {
		.key = {"B", 1}, .value = {"nonsense", 8}, .headers = &header, .header_count = 1};
	flow_write(&f.flow, "orders", &nonsense);
	const struct log_header forged[] = {header,
	                                    {"tandem", {"\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0nobody", 27}}};
	const struct log_record foreign = {.key = {"C", 1}, .value = {"x", 1}, .headers = forged, .header_count = 2};
	flow_write(&f.flow, "orders", &foreign);
	collect();
	size_t i, errors = 0;
	const json_t *span;
	json_array_foreach(f.spans, i, span)
	{
		const char *error = collector_attribute(span, "error.type"),
			   *key = collector_attribute(span, "tandem.key");
		bool ended_badly = json_integer_value(json_object_get(json_object_get(span, "status"), "code")) == 2;
		assert_int_equal(ended_badly, *error != 0);
		assert_string_equal(error, *key == 'B' ? "unknown_form" : *key == 'C' ? "unknown_source" : "");
		errors += ended_badly;
	}
	assert_int_equal(errors, 2); /* the dead letter is no event: it keeps its record's traceparent */
}

static void what_is_folded_in_silence_is_in_no_span(void **state)
{
	(void)state;
	publish("A", "00-" TRACE "-" PARENT "-01", -1);
	flow_rest(&f.flow, f.workers, SERVICES);
	for (int i = 0; i < SERVICES; i++) {
		char path[128];
		flow_close(&f.workers[i]);
		snprintf(path, sizeof path, "%s/%s/0.db", f.flow.data, names[i]);
		assert_int_equal(remove(path), 0);
		start(i);
	}
	assert_int_equal(collect(), 8);
	struct worker_task task;
	worker_task(f.workers[ORDER].worker, 0, &task);
	assert_int_equal(task.suppressed, 3);
}

static void what_is_folded_twice_gives_the_same_spans(void **state)
{
	(void)state;
	flow_close(&f.workers[INVENTORY]);
	publish("A", "00-" TRACE "-" PARENT "-01", -1);
	struct worker *order = f.workers[ORDER].worker;
	for (enum worker_step step = WORKER_IDLE; step != WORKER_SENT; step = worker_step(order))
		f.flow.now_us += 1000;
	flow_drop(&f.workers[ORDER]); /* not committed */
	start(ORDER);
	flow_rest(&f.flow, f.workers, 1);
	start(INVENTORY);
	/* two spans come again; and inventory sees a repeat: one more */
	assert_int_equal(collect(), 8 + 2 + 1);
	const json_t *first = child_of(PARENT, "process orders"), *span;
	assert_non_null(first);
	size_t i, copies = 0, sent = 0, repeats = 0;
	json_array_foreach(f.spans, i, span)
	{
		copies += strcmp(text_of(span, "spanId"), text_of(first, "spanId")) == 0;
		sent += strcmp(text_of(span, "parentSpanId"), text_of(first, "spanId")) == 0;
		repeats += strcmp(collector_attribute(span, "tandem.verdict"), "repeat") == 0;
	}
	assert_int_equal(copies, 2);
	assert_int_equal(sent, 2);
	assert_int_equal(repeats, 1);
}

/* What waited behind a dead letter of its key goes out when that one is taken: in its own trace, below its own span. */
static void what_was_held_sends_in_its_own_trace(void **state)
{
	(void)state;
	struct records records;
	records_begin_service(&records, &gated_holds, 0);
	const char *key = gated_key(&records, 1), *other = "00-af7651916cd43dd8448eb211c80319c0-b7ad6b7169203331-01";
	const struct log_record shut = gated_order(&records, key, "EUR", 1),
				waits = gated_order(&records, key, "GBP", 2);
	struct log_record again = gated_redrive(&records, &shut, 0, 1);
	const struct {
		struct log_record record;
		enum task_verdict verdict;
		bool turned;
	} steps[] = {
		{records_with_header(&records, &shut, "traceparent", "00-" TRACE "-" PARENT "-01", 55), TASK_REJECTED,
	         false},
		{records_with_header(&records, &waits, "traceparent", other, 55), TASK_HELD, false},
		{records_with_header(&records, &again, "traceparent", "00-" TRACE "-" PARENT "-01", 55), TASK_APPLIED,
	         true},
	};
	for (size_t i = 0; i < 3; i++) {
		size_t count;
		if (steps[i].turned)
			gated_turn(&records);
		struct log_record record = steps[i].record;
		tracer_begin(f.tracers[ORDER], &record);
		assert_int_equal(records_fold(&records, &record), steps[i].verdict);
		record.offset = records.offset - 1;
		tracer_folded(f.tracers[ORDER], records.task, &record, steps[i].verdict);
		const struct task_output *outputs = task_outputs(records.task, &count);
		for (size_t o = 0; o < count; o++)
			tracer_sent(f.tracers[ORDER], records.task, &outputs[o]);
	}
	assert_int_equal(collect(), 3 + 2);
	const json_t *held = child_of("b7ad6b7169203331", "process orders");
	assert_non_null(held);
	assert_string_equal(collector_attribute(held, "tandem.verdict"), "held");
	const json_t *sent = child_of(text_of(held, "spanId"), "send order-events");
	assert_non_null(sent);
	assert_string_equal(text_of(sent, "traceId"), "af7651916cd43dd8448eb211c80319c0");
	records_end(&records);
}

/* Rows, positions and every output's hash are what they are without. */
static void spans_change_nothing_of_what_is_folded(void **state)
{
	(void)state;
	publish("A", "00-" TRACE "-" PARENT "-01", -1);
	publish("B", "00-" TRACE "-" PARENT "-00", -1);
	assert_true(collect() > 0);
	flow_verify(&f.flow);
}

static void one_in_n_is_chosen_by_the_traces_id_alone(void **state)
{
	(void)state;
	uint8_t id[SPAN_TRACE_BYTES] = {0};
	int chosen = 0;
	for (int i = 0; i < 10000; i++) {
		seam_random(&seam_system, id, sizeof id);
		assert_true(trace_chosen(id, 1));
		chosen += trace_chosen(id, 10);
		assert_true(!trace_chosen(id, 20) || trace_chosen(id, 10)); /* a part of a part */
	}
	assert_in_range(chosen, 800, 1200);
	memset(id, 0xff, sizeof id);
	assert_true(trace_chosen(id, 1));
	assert_false(trace_chosen(id, 2));
	memset(id + 8, 0, 8);
	assert_true(trace_chosen(id, 1000000000));
}

static void a_trace_is_sent_by_every_service_or_by_none(void **state)
{
	(void)state;
	for (int i = 0; i < SERVICES; i++) {
		flow_close(&f.workers[i]);
		span_export_close(f.exports[i]);
		tracer_free(f.tracers[i]);
		open_tracer(i, 2);
		start(i);
	}
	publish("A", "00-4bf92f3577b34da6a37e929d0e0e4736-" PARENT "-01", -1);
	publish("B", "00-4bf92f3577b34da6a38e929d0e0e4736-" PARENT "-01", -1);
	assert_int_equal(collect(), 8);
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(collector_attribute(json_array_get(f.spans, i), "tandem.key"), "A");
}

static void a_clock_is_as_fine_as_the_monotonic_one_and_follows_the_wall(void **state)
{
	(void)state;
	struct fake_clock fake;
	struct trace_clock clock = {.seam = &fake.seam};
	fake_clock_init(&fake);
	fake.wall_ms = 1700000000000;
	fake.monotonic_us = 5;
	assert_int_equal(trace_now_us(&clock), 1700000000000000);
	fake.monotonic_us += 999;
	assert_int_equal(trace_now_us(&clock), 1700000000000999);
	fake.wall_ms += 1;
	fake.monotonic_us += 1;
	assert_int_equal(trace_now_us(&clock), 1700000000001000);
	fake.wall_ms -= 3600000;
	assert_int_equal(trace_now_us(&clock), 1699996400001000);
	fake.wall_ms += 7200000;
	fake.monotonic_us += 10;
	assert_int_equal(trace_now_us(&clock), 1700003600001000);
}

static void a_traceparent_is_printed_as_it_is_read(void **state)
{
	(void)state;
	static const char *const texts[] = {"00-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-00",
	                                    "00-00000000000000000000000000000001-0000000000000001-01",
	                                    "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct header_trace trace;
		char text[HEADER_TRACE_ROOM];
		assert_true(header_trace_parse(&(struct log_header){"traceparent", {texts[i], 55}}, &trace));
		header_trace_print(&trace, text);
		assert_string_equal(text, texts[i]);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_trace_leads_from_the_record_through_both_services_and_out),
		TEST(an_events_traceparent_names_the_span_that_sent_it),
		TEST(what_is_in_no_sampled_trace_gives_no_span),
		TEST(what_was_not_applied_has_an_error),
		TEST(what_is_folded_in_silence_is_in_no_span),
		TEST(what_is_folded_twice_gives_the_same_spans),
		TEST(what_was_held_sends_in_its_own_trace),
		TEST(spans_change_nothing_of_what_is_folded),
		TEST(one_in_n_is_chosen_by_the_traces_id_alone),
		TEST(a_trace_is_sent_by_every_service_or_by_none),
		cmocka_unit_test(a_clock_is_as_fine_as_the_monotonic_one_and_follows_the_wall),
		cmocka_unit_test(a_traceparent_is_printed_as_it_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
