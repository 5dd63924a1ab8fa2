/* http_client: requests and answers, and every way in which there is none. */
#include "http_client.h"
#include "support/collector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct collector *collector;
static struct http_client *client;
static struct http_reply reply;
static struct err err;

static int setup(void **state)
{
	(void)state;
	collector = collector_open();
	client = NULL;
	reply = (struct http_reply){0};
	err = (struct err){0};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_client_close(client);
	collector_close(collector);
	buf_fini(&reply.body);
	return 0;
}

static void open_with(struct http_client_config config)
{
	if (!config.url)
		config.url = collector_url(collector);
	assert_int_equal(http_client_open(&config, &client, &err), OK);
}

static enum status get(const char *path)
{
	return http_client_send(client, &(struct http_request){.method = "GET", .path = path}, &reply, &err);
}

static void a_request_arrives_as_it_was_sent(void **state)
{
	(void)state;
	const char *const headers[] = {"Authorization: Bearer of-news", "X-Tenant: a b"};
	open_with((struct http_client_config){.headers = headers, .header_count = 2});
	collector_answer(collector, 201, "made", 1);
	const struct http_request post = {.method = "POST",
	                                  .path = "/subjects",
	                                  .content_type = "application/json",
	                                  .body = "{\"a\":1}",
	                                  .body_len = 7};
	assert_int_equal(http_client_send(client, &post, &reply, &err), OK);
	assert_int_equal(reply.status, 201);
	assert_string_equal(buf_text(&reply.body), "made");
	assert_string_equal(collector_body(collector, 0), "{\"a\":1}");
	const char *head = collector_head(collector, 0);
	assert_ptr_equal(strstr(head, "POST /subjects HTTP/1.1\r\n"), head);
	assert_non_null(strstr(head, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(head, "\r\nAuthorization: Bearer of-news\r\n"));
	assert_non_null(strstr(head, "\r\nX-Tenant: a b\r\n"));
	assert_null(strstr(head, "Expect:"));

	assert_int_equal(get("/subjects/x?y=z"), OK); /* nothing of the one before is left */
	assert_int_equal(reply.status, 200);
	assert_string_equal(buf_text(&reply.body), "{}");
	head = collector_head(collector, 1);
	assert_ptr_equal(strstr(head, "GET /subjects/x?y=z HTTP/1.1\r\n"), head);
	assert_null(strstr(head, "Content-Type"));
	assert_string_equal(collector_body(collector, 1), "");
}

static void every_status_is_an_answer(void **state)
{
	(void)state;
	static const int statuses[] = {204, 302, 404, 409, 500, 503};
	open_with((struct http_client_config){0});
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
		collector_answer(collector, statuses[i], "", 1);
		assert_int_equal(get(""), OK);
		assert_int_equal(reply.status, statuses[i]);
	}
	assert_int_equal(collector_requests(collector), sizeof statuses / sizeof *statuses); /* none was followed */
}

static void nobody_there_is_said(void **state)
{
	(void)state;
	char url[64];
	collector_nobody(url);
	open_with((struct http_client_config){.url = url});
	assert_int_equal(get("/"), RETRY);
	assert_string_equal(err.code, "transport");
	assert_non_null(strstr(err.text, url));
}

static void an_answer_that_does_not_come_is_given_up_in_time(void **state)
{
	(void)state;
	open_with((struct http_client_config){.timeout_ms = 50});
	collector_answer(collector, COLLECTOR_HANGS, "", 0);
	assert_int_equal(get("/"), RETRY);
	assert_string_equal(err.code, "timeout");
}

static bool always(void *arg)
{
	++*(int *)arg;
	return true;
}

static void who_waits_may_give_up(void **state)
{
	(void)state;
	int asked = 0;
	open_with((struct http_client_config){.timeout_ms = 600000, .stopped = always, .arg = &asked});
	collector_answer(collector, COLLECTOR_HANGS, "", 0);
	assert_int_equal(get("/"), RETRY);
	assert_string_equal(err.code, "interrupted");
	assert_true(asked > 0);
}

static void an_answer_has_a_longest_length(void **state)
{
	(void)state;
	open_with((struct http_client_config){.answer_bytes_max = 10});
	collector_answer(collector, 200, "0123456789", 1);
	assert_int_equal(get("/"), OK);
	collector_answer(collector, 200, "0123456789a", 1);
	assert_int_equal(get("/"), RETRY);
	assert_string_equal(err.code, "too_large");
	assert_true(reply.body.len <= 10);
	assert_int_equal(get("/"), OK); /* and it goes on */
}

static void what_is_no_http_url_is_refused(void **state)
{
	(void)state;
	static const char *const urls[] = {"",        "localhost:4318", "ftp://x",     "file:///etc/passwd",
	                                   "http://", "http://a b",     "http://[::1", "http:/x"};
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		assert_int_equal(http_client_open(&(struct http_client_config){.url = urls[i]}, &client, &err), REJECT);
		assert_string_equal(err.code, "invalid");
	}
}

static void what_is_no_header_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {"", "Name", ": value", "A: b\r\nC: d", "A: b\n"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const struct http_client_config config = {
			.url = "http://127.0.0.1", .headers = &wrong[i], .header_count = 1};
		assert_int_equal(http_client_open(&config, &client, &err), REJECT);
		assert_string_equal(err.code, "invalid");
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_request_arrives_as_it_was_sent),
		TEST(every_status_is_an_answer),
		TEST(nobody_there_is_said),
		TEST(an_answer_that_does_not_come_is_given_up_in_time),
		TEST(who_waits_may_give_up),
		TEST(an_answer_has_a_longest_length),
		TEST(what_is_no_http_url_is_refused),
		TEST(what_is_no_header_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
