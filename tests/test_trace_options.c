/* trace_options: who says where spans go. */
#include "support/collector.h"
#include "trace_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const variables[] = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                                        "OTEL_EXPORTER_OTLP_HEADERS",  "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                                        "OTEL_SERVICE_NAME",           "OTEL_SDK_DISABLED"};

static struct collector *collector;
static struct trace_options options;
static struct config config;
static struct err err;

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	collector = collector_open();
	options = (struct trace_options)TRACE_OPTIONS_DEFAULT;
	config = (struct config){.log = "kafka://b:9092", .name_space = ""};
	err = (struct err){0};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	collector_close(collector);
	return 0;
}

/* Sends a span; returns it as it arrived, the caller's. NULL: there is no export. */
static json_t *send_one(void)
{
	const struct otlp_source source = {.service = "tandem-order", .group = "tandem-order"};
	const struct span span = {.trace = {1}, .id = 1, .kind = SPAN_CONSUMER, .topic = "orders"};
	struct span_export *export = NULL;
	assert_int_equal(trace_options_open(&options, &config, &source, NULL, &export, &err), OK);
	if (!export)
		return NULL;
	span_export_put(export, &span);
	assert_true(collector_wait(collector, 1));
	span_export_close(export);
	json_t *body = json_loads(collector_body(collector, 0), 0, NULL), *only = NULL;
	json_unpack(body, "{s:[O]}", "resourceSpans", &only);
	json_decref(body);
	return only;
}

static bool head_has(const char *text)
{
	return strstr(collector_head(collector, 0), text) != NULL;
}

static void set(const char *name, const char *path)
{
	char *url = mem_format("%s%s", collector_url(collector), path);
	setenv(name, url, 1);
	mem_free(url);
}

static void without_an_endpoint_there_is_no_export(void **state)
{
	(void)state;
	assert_null(send_one());
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "", 1);
	setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b", 1);
	assert_null(send_one());
	options.endpoint = "";
	assert_null(send_one());
}

static void an_endpoint_gets_the_path_of_traces(void **state)
{
	(void)state;
	char *url = mem_format("%s//", collector_url(collector));
	options.endpoint = url;
	set("OTEL_EXPORTER_OTLP_ENDPOINT", "/other");
	json_t *sent = send_one();
	assert_non_null(sent);
	assert_true(head_has("POST /v1/traces HTTP"));
	const json_t *resource = json_object_get(sent, "resource");
	assert_string_equal(collector_attribute(resource, "service.name"), "tandem-order");
	assert_string_not_equal(collector_attribute(resource, "service.instance.id"), "");
	json_decref(sent);
	mem_free(url);
}

static void opentelemetrys_variables_count_where_nothing_else_is_said(void **state)
{
	(void)state;
	set("OTEL_EXPORTER_OTLP_ENDPOINT", "/base");
	setenv("OTEL_EXPORTER_OTLP_HEADERS", " authorization=Bearer%20of%20news, x-tenant=a=b ,", 1);
	setenv("OTEL_SERVICE_NAME", "shop-orders", 1);
	json_t *sent = send_one();
	assert_non_null(sent);
	assert_true(head_has("POST /base/v1/traces HTTP"));
	assert_true(head_has("\r\nauthorization: Bearer of news\r\n"));
	assert_true(head_has("\r\nx-tenant: a=b"));
	assert_string_equal(collector_attribute(json_object_get(sent, "resource"), "service.name"), "shop-orders");
	json_decref(sent);
}

static void the_variable_for_traces_is_the_whole_url(void **state)
{
	(void)state;
	set("OTEL_EXPORTER_OTLP_ENDPOINT", "/base");
	set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/mine");
	setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b", 1);
	setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "c=d", 1);
	json_decref(send_one());
	assert_true(head_has("POST /mine HTTP"));
	assert_true(head_has("\r\nc: d\r\n"));
	assert_false(head_has("\r\na: b\r\n"));
}

static void they_can_be_turned_off_but_the_flag_stands(void **state)
{
	(void)state;
	set("OTEL_EXPORTER_OTLP_ENDPOINT", "");
	setenv("OTEL_SDK_DISABLED", "True", 1);
	assert_null(send_one());
	options.endpoint = collector_url(collector);
	json_t *sent = send_one();
	assert_non_null(sent);
	json_decref(sent);
}

static void what_makes_no_sense_is_refused_without_repeating_a_secret(void **state)
{
	(void)state;
	static const char *const wrong[] = {"secret", "=secret", "a=b,secret", "a=secret%0d%0aX-Y: z", "a=secret\n"};
	const struct otlp_source source = {.service = "tandem-order"};
	struct span_export *export;
	options.endpoint = collector_url(collector);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		options.headers = wrong[i];
		assert_int_equal(trace_options_open(&options, &config, &source, NULL, &export, &err), REJECT);
		assert_null(export);
		assert_null(strstr(err.text, "secret"));
	}
	options.headers = NULL;
	options.endpoint = "collector:4318";
	assert_int_equal(trace_options_open(&options, &config, &source, NULL, &export, &err), REJECT);
	assert_non_null(strstr(err.text, "collector:4318"));
}

static void the_group_is_named_as_the_broker_knows_it(void **state)
{
	(void)state;
	config.name_space = "shop";
	options.endpoint = collector_url(collector);
	json_decref(send_one());
	assert_non_null(strstr(collector_body(collector, 0), "\"shop.tandem-order\""));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_an_endpoint_there_is_no_export),
		TEST(an_endpoint_gets_the_path_of_traces),
		TEST(opentelemetrys_variables_count_where_nothing_else_is_said),
		TEST(the_variable_for_traces_is_the_whole_url),
		TEST(they_can_be_turned_off_but_the_flag_stands),
		TEST(the_group_is_named_as_the_broker_knows_it),
		TEST(what_makes_no_sense_is_refused_without_repeating_a_secret),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
