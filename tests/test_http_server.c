/* http_server: what is answered, what is refused, and that no client, however hostile or slow, keeps it from answering others. */
#include "http_server.h"
#include "mem.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 60000
#define ROUNDS      300

struct fixture {
	struct http_server *server;
	int port;
};

static void handle(void *arg, const char *path, struct http_answer *answer)
{
	(void)arg;
	if (strcmp(path, "/here") != 0)
		return;
	answer->status = 200;
	buf_putf(&answer->body, "hello\n");
}

static int set_up(void **state)
{
	static struct fixture fixture;
	struct err err = {0};
	if (http_server_open("0", handle, NULL, &fixture.server, &err) != OK) {
		print_error("%s\n", err.text);
		return -1;
	}
	fixture.port = atoi(strrchr(http_server_url(fixture.server), ':') + 1);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	http_server_close(fixture->server);
	return 0;
}

/* ---- a client ---- */

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int dial(const struct fixture *fixture)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)fixture->port),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static bool say(int fd, const void *bytes, size_t len)
{
	return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Everything up to the end of the connection, which must come within PATIENCE_MS. */
static size_t hear(int fd, char *out, size_t room)
{
	size_t len = 0;
	int64_t end = now_ms() + PATIENCE_MS;
	while (len + 1 < room) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		int64_t left = end - now_ms();
		assert_true(left > 0 && poll(&ready, 1, (int)left) == 1);
		ssize_t got = recv(fd, out + len, room - len - 1, 0);
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	out[len] = 0;
	return len;
}

static const char *ask(const struct fixture *fixture, const char *request)
{
	static char answer[4096];
	int fd = dial(fixture);
	say(fd, request, strlen(request));
	hear(fd, answer, sizeof answer);
	close(fd);
	return answer;
}

static void answers_others(const struct fixture *fixture)
{
	const char *answer = ask(fixture, "GET /here HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(answer, "200 OK"));
	assert_non_null(strstr(answer, "\r\n\r\nhello\n"));
}

static int descriptors(void)
{
	int count = 0;
	DIR *folder = opendir("/proc/self/fd");
	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* ---- tests ---- */

static void a_page_is_answered_and_the_connection_closed(void **state)
{
	answers_others(*state);
	assert_non_null(strstr(ask(*state, "GET /here HTTP/1.0\r\n\r\n"), "200 OK"));
	assert_non_null(strstr(ask(*state, "GET /here?a=b HTTP/1.1\r\nHost: a\r\n\r\n"), "200 OK"));
	assert_non_null(strstr(ask(*state, "GET /there HTTP/1.1\r\nHost: a\r\n\r\n"), "404 Not Found"));
}

static void head_has_the_length_and_no_body(void **state)
{
	const char *answer = ask(*state, "HEAD /here HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_non_null(strstr(answer, "Content-Length: 6"));
	assert_null(strstr(answer, "hello"));
}

static void other_methods_are_refused_without_reading_a_body(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"};
	char request[200];
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
		snprintf(request, sizeof request, "%s /here HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n",
		         methods[i]);
		const char *answer = ask(*state, request);
		assert_non_null(strstr(answer, "405"));
		assert_non_null(strstr(answer, "Allow: GET, HEAD"));
	}
}

static void a_request_over_the_bound_is_refused(void **state)
{
	size_t len = (size_t)HTTP_REQUEST_BYTES_MAX * 4;
	char *request = mem_alloc(len + 100);
	size_t at = (size_t)sprintf(request, "GET /here HTTP/1.1\r\nHost: a\r\nX: ");
	memset(request + at, 'x', len);
	strcpy(request + at + len, "\r\n\r\n");
	assert_null(strstr(ask(*state, request), "200 OK"));
	memset(request, '/', len);
	memcpy(request, "GET /", 5);
	assert_null(strstr(ask(*state, request), "200 OK"));
	mem_free(request);
	answers_others(*state);
}

/* A byte now and then, for as long as the server takes it. */
static void a_client_that_dawdles_is_ended(void **state)
{
	char answer[1024];
	int fd = dial(*state);
	int64_t begin = now_ms();
	bool ended = say(fd, "GET /here HTTP/1.1\r\nX: ", 23) == false;
	while (!ended && now_ms() - begin < PATIENCE_MS) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		say(fd, "x", 1);
		if (poll(&ready, 1, 100) == 1)
			ended = recv(fd, answer, sizeof answer, 0) <= 0;
	}
	close(fd);
	assert_true(ended);
	assert_true(now_ms() - begin >= (HTTP_SECONDS_MAX - 2) * 1000);
}

static void connections_that_say_nothing_make_room_for_others(void **state)
{
	int silent[HTTP_CONNECTIONS_MAX * 2], before = descriptors();
	for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
		silent[i] = dial(*state);
	answers_others(*state); /* when those that were first are given up */
	assert_true(descriptors() - before <= HTTP_CONNECTIONS_MAX * 3 + 2);
	for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
		close(silent[i]);
	answers_others(*state);
}

static void addresses_are_taken_as_written_and_loopback_is_what_is_not_said(void **state)
{
	static const struct {
		const char *address, *url;
	} good[] = {{"0", "http://127.0.0.1:"},
	            {":0", "http://127.0.0.1:"},
	            {"127.0.0.2:0", "http://127.0.0.2:"},
	            {"0.0.0.0:0", "http://0.0.0.0:"}};
	static const char *const bad[] = {"",   ":",          "a",     "1:2:3", "[::1]",    "[]:1",   "-1",
	                                  "1 ", "127.0.0.1:", "65536", "99999", "65536999", "[::1:0", "256.0.0.1:1x"};
	struct http_server *server;
	struct err err = {0};
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(http_server_open(good[i].address, handle, NULL, &server, &err), OK);
		assert_ptr_equal(strstr(http_server_url(server), good[i].url), http_server_url(server));
		http_server_close(server);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		err = (struct err){0};
		assert_int_equal(http_server_open(bad[i], handle, NULL, &server, &err), REJECT);
		assert_non_null(strstr(err.text, "expected PORT"));
	}
}

static void an_address_in_use_is_said(void **state)
{
	struct fixture *fixture = *state;
	struct http_server *server;
	struct err err = {0};
	char address[32];
	snprintf(address, sizeof address, "%d", fixture->port);
	assert_int_equal(http_server_open(address, handle, NULL, &server, &err), FATAL);
	assert_non_null(strstr(err.text, "in use"));
}

/* ---- hostile bytes ---- */

static uint64_t dice; /* xorshift */

static uint64_t random_below(uint64_t below)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice % below;
}

static const char *const pieces[] = {
	"GET ",
	"HEAD ",
	"POST ",
	"/here",
	"/",
	"http://a/here",
	"*",
	" HTTP/1.1",
	" HTTP/1.0",
	" HTTP/9.9",
	"\r\n",
	"\n",
	"\r",
	"\r\n\r\n",
	"Host: a",
	"Host:",
	"Content-Length: ",
	"99999999999999999999",
	"-1",
	"Transfer-Encoding: chunked",
	"ffffffffffffffff\r\n",
	"0\r\n\r\n",
	"Expect: 100-continue",
	"Connection: keep-alive",
	"Connection: Upgrade",
	"Cookie: a=b",
	":",
	" ",
	"%00",
	"%2e%2e/",
	"Authorization: Basic ====",
	"Range: bytes=0-",
	"\t folded",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
};

static size_t make_hostile(char *out, size_t room)
{
	size_t len = 0, count = 1 + random_below(24);
	for (size_t i = 0; i < count && len + 64 < room; i++) {
		const char *piece = pieces[random_below(sizeof pieces / sizeof *pieces)];
		size_t piece_len = strlen(piece);
		if (random_below(6) == 0) {
			piece_len = random_below(48);
			for (size_t b = 0; b < piece_len; b++)
				out[len + b] = (char)random_below(256);
		} else {
			memcpy(out + len, piece, piece_len);
		}
		len += piece_len;
	}
	for (size_t i = random_below(4); i > 0 && len > 0; i--)
		out[random_below(len)] = (char)random_below(256);
	return len;
}

/* Says something, looks or does not look at the answer, leaves politely or not. */
static void be_hostile(const struct fixture *fixture)
{
	char bytes[4096];
	size_t len = make_hostile(bytes, sizeof bytes);
	int fd = dial(fixture);
	for (size_t at = 0; at < len;) {
		size_t take = random_below(3) ? len - at : 1 + random_below(len - at);
		if (!say(fd, bytes + at, take))
			break;
		at += take;
	}
	if (random_below(3) == 0)
		shutdown(fd, SHUT_WR);
	if (random_below(3) == 0)
		recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (random_below(4) == 0) { /* a reset */
		struct linger now = {.l_onoff = 1, .l_linger = 0};
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	}
	close(fd);
}

static void hostile_clients_do_not_keep_it_from_answering(void **state)
{
	const char *given = getenv("TANDEM_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)now_ms() ^ (uint64_t)getpid() << 32;
	print_message("again: TANDEM_TEST_SEED=%llu\n", (unsigned long long)seed);
	dice = seed | 1;
	answers_others(*state);
	int before = descriptors();
	for (int round = 0; round < ROUNDS; round++) {
		be_hostile(*state);
		if (round % 20 == 0)
			answers_others(*state);
	}
	answers_others(*state);
	assert_true(descriptors() <= before + HTTP_CONNECTIONS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_page_is_answered_and_the_connection_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(head_has_the_length_and_no_body, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_methods_are_refused_without_reading_a_body, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_request_over_the_bound_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_that_dawdles_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(connections_that_say_nothing_make_room_for_others, set_up, tear_down),
		cmocka_unit_test(addresses_are_taken_as_written_and_loopback_is_what_is_not_said),
		cmocka_unit_test_setup_teardown(an_address_in_use_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile_clients_do_not_keep_it_from_answering, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
