/* What a worker logs of records that were not simply applied: what, where, whose, and what to do; many of a kind are counted. */
#include "json.h"
#include "support/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct flow flow;
	struct flow_worker workers[2];
	FILE *out;
	char *text;
	size_t size;
	struct logging *logging;
};

static void begin(struct fixture *f)
{
	flow_init(&f->flow, 1, 1);
	f->out = open_memstream(&f->text, &f->size);
	f->logging = logging_new(&(struct logging_config){.seam = &f->flow.seam,
	                                                  .out = f->out,
	                                                  .level = LOGGING_INFO,
	                                                  .format = LOGGING_JSON,
	                                                  .service = "order"});
	flow_start_with(&f->flow, &f->workers[0],
	                &(struct worker_config){.service = flow_service("order"), .logging = f->logging});
	flow_start(&f->flow, &f->workers[1], "inventory", NULL, 0);
	flow_rest(&f->flow, f->workers, 2);
}

static void end(struct fixture *f)
{
	flow_close(&f->workers[0]);
	flow_close(&f->workers[1]);
	logging_free(f->logging);
	fclose(f->out);
	free(f->text);
	flow_fini(&f->flow);
}

/* The n-th line whose msg has this in it, from 0; a new reference. NULL: there is none. */
static json_t *line_with(struct fixture *f, const char *piece, size_t n)
{
	fflush(f->out);
	for (const char *at = f->text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		json_t *line = json_loadb(at, strcspn(at, "\n"), 0, NULL);
		assert_non_null(line);
		if (strstr(json_string_value(json_object_get(line, "msg")), piece) && n-- == 0)
			return line;
		json_decref(line);
	}
	return NULL;
}

static const char *text_of(const json_t *line, const char *field)
{
	const char *text = json_string_value(json_object_get(line, field));
	return text ? text : "(none)";
}

static void a_dead_letter_is_said_with_reason_place_and_ids(void **state)
{
	(void)state;
	static const char trace[] = "00-0123456789abcdef0123456789abcdef-fedcba9876543210-01";
	struct fixture f;
	begin(&f);
	const struct order_placed order = {.order_id = "o1", .currency = "GBP"}; /* without a line */
	struct buf value = {0};
	assert_int_equal(event_encode(&order_placed_type, &order, &value, NULL), OK);
	const struct log_header headers[] = {{"ce_id", {"shop-17", 7}}, {"traceparent", {trace, sizeof trace - 1}}};
	int64_t offset = flow_write(&f.flow, "orders",
	                            &(struct log_record){.key = {"o1", 2},
	                                                 .value = {value.data, (int32_t)value.len},
	                                                 .headers = headers,
	                                                 .header_count = 2});
	flow_rest(&f.flow, f.workers, 2);
	json_t *line = line_with(&f, "becomes a dead letter", 0);
	assert_non_null(line);
	assert_string_equal(text_of(line, "level"), "warning");
	assert_string_equal(text_of(line, "service"), "order");
	assert_string_equal(text_of(line, "topic"), "orders");
	assert_string_equal(text_of(line, "reason"), "invalid_lines");
	assert_string_equal(text_of(line, "order_id"), "o1");
	assert_string_equal(text_of(line, "event_id"), "shop-17");
	assert_string_equal(text_of(line, "trace_id"), "0123456789abcdef0123456789abcdef");
	assert_string_equal(text_of(line, "span_id"), "fedcba9876543210");
	assert_int_equal(json_integer_value(json_object_get(line, "offset")), offset);
	json_decref(line);
	buf_fini(&value);
	end(&f);
}

static void many_of_a_kind_are_counted(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	for (int i = 0; i < 100; i++)
		flow_write(&f.flow, "orders", &(struct log_record){.key = {NULL, -1}, .value = {"junk", 4}});
	flow_rest(&f.flow, f.workers, 2);
	json_t *last = line_with(&f, "becomes a dead letter", LOGGING_BURST - 1);
	assert_non_null(last);
	json_decref(last);
	assert_null(line_with(&f, "becomes a dead letter", LOGGING_BURST));
	f.flow.now_us += LOGGING_WINDOW_MS * 2000LL;
	flow_write(&f.flow, "orders", &(struct log_record){.key = {NULL, -1}, .value = {"junk", 4}});
	flow_rest(&f.flow, f.workers, 2);
	json_t *next = line_with(&f, "becomes a dead letter", LOGGING_BURST);
	assert_non_null(next);
	assert_int_equal(json_integer_value(json_object_get(next, "repeated")), 100 - LOGGING_BURST);
	json_decref(next);
	end(&f);
}

static void a_record_of_an_unknown_source_is_said_with_the_way_to_its_writer(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	const struct log_header header = {"tandem", {"\x01junk", 5}};
	flow_write(&f.flow, "orders",
	           &(struct log_record){
			   .key = {"\xff\n", 2}, .value = {"x", 1}, .headers = &header, .header_count = 1});
	flow_rest(&f.flow, f.workers, 2);
	json_t *line = line_with(&f, "unknown source", 0);
	assert_non_null(line);
	assert_non_null(strstr(text_of(line, "msg"), "`status`"));
	assert_string_equal(text_of(line, "key"), "\xef\xbf\xbd\n");
	json_decref(line);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_letter_is_said_with_reason_place_and_ids),
		cmocka_unit_test(many_of_a_kind_are_counted),
		cmocka_unit_test(a_record_of_an_unknown_source_is_said_with_the_way_to_its_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
