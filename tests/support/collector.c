#include "collector.h"

#include "bytes.h"
#include "mem.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS_MAX 4096
#define WAIT_S       120

struct request {
	char *head, *body;
	int status; /* it was answered with */
};

struct collector {
	int listener, stop[2];
	char url[64];
	pthread_t thread;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t came;
	int status, times;
	const char *answer;
	struct request requests[REQUESTS_MAX];
	size_t count;
};

/* ---- the thread ---- */

/* False: the end has come. */
static bool ready(struct collector *collector, int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = collector->stop[0], .events = POLLIN}};
	while (poll(fds, 2, -1) < 0) {
	}
	return !fds[1].revents;
}

static bool read_more(struct collector *collector, int fd, struct buf *in)
{
	if (!ready(collector, fd))
		return false;
	ssize_t len = recv(fd, buf_grow(in, 65536), 65536, 0);
	if (len > 0)
		in->len += (size_t)len;
	return len > 0;
}

static size_t body_len(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");
	return at ? (size_t)strtoul(at + 17, NULL, 10) : 0;
}

static bool read_request(struct collector *collector, int fd, struct request *request)
{
	struct buf in = {0};
	const char *end = NULL;
	while (!(end = strstr(buf_text(&in), "\r\n\r\n")) && read_more(collector, fd, &in)) {
	}
	size_t head = end ? (size_t)(end - buf_text(&in)) + 4 : 0, body = end ? body_len(buf_text(&in)) : 0;
	bool whole = end != NULL;
	while (whole && in.len < head + body)
		whole = read_more(collector, fd, &in);
	if (whole) {
		request->head = mem_format("%.*s", (int)head, buf_text(&in));
		request->body = mem_format("%.*s", (int)body, buf_text(&in) + head);
	}
	buf_fini(&in);
	return whole;
}

/* Keeps it, and says what to answer. */
static int keep(struct collector *collector, struct request *request, const char **answer)
{
	pthread_mutex_lock(&collector->lock);
	*answer = collector->answer;
	request->status = collector->status;
	if (collector->times > 0 && --collector->times == 0) {
		collector->status = 200;
		collector->answer = "{}";
	}
	if (collector->count < REQUESTS_MAX) {
		collector->requests[collector->count++] = *request;
	} else {
		mem_free(request->head);
		mem_free(request->body);
	}
	int status = request->status;
	pthread_cond_broadcast(&collector->came);
	pthread_mutex_unlock(&collector->lock);
	return status;
}

/* One request a connection: clients that stay connected would keep the others out. */
static void serve(struct collector *collector, int fd)
{
	struct request request;
	const char *answer;
	if (!read_request(collector, fd, &request))
		return;
	int status = keep(collector, &request, &answer);
	if (status == COLLECTOR_HANGS) {
		ready(collector, fd); /* until the client gives up, or the end */
		return;
	}
	char *text = mem_format("HTTP/1.1 %d said\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", status,
	                        strlen(answer), answer);
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		shutdown(fd, SHUT_WR);
	mem_free(text);
}

static void *run(void *arg)
{
	struct collector *collector = arg;
	while (ready(collector, collector->listener)) {
		int fd = accept(collector->listener, NULL, NULL);
		if (fd < 0)
			continue;
		serve(collector, fd);
		close(fd);
	}
	return NULL;
}

/* ---- outside ---- */

static int listen_somewhere(char url[64])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		abort();
	snprintf(url, 64, "http://127.0.0.1:%d", ntohs(address.sin_port));
	return fd;
}

void collector_nobody(char url[64])
{
	close(listen_somewhere(url));
}

struct collector *collector_open(void)
{
	struct collector *collector = mem_zalloc(1, sizeof *collector);
	collector->listener = listen_somewhere(collector->url);
	collector->status = 200;
	collector->answer = "{}";
	pthread_mutex_init(&collector->lock, NULL);
	pthread_cond_init(&collector->came, NULL);
	if (pipe(collector->stop) != 0 || pthread_create(&collector->thread, NULL, run, collector) != 0)
		abort();
	return collector;
}

void collector_close(struct collector *collector)
{
	if (write(collector->stop[1], "", 1) != 1)
		abort();
	pthread_join(collector->thread, NULL);
	close(collector->listener);
	close(collector->stop[0]);
	close(collector->stop[1]);
	for (size_t i = 0; i < collector->count; i++) {
		mem_free(collector->requests[i].head);
		mem_free(collector->requests[i].body);
	}
	pthread_mutex_destroy(&collector->lock);
	pthread_cond_destroy(&collector->came);
	mem_free(collector);
}

const char *collector_url(const struct collector *collector)
{
	return collector->url;
}

void collector_answer(struct collector *collector, int status, const char *answer, int times)
{
	pthread_mutex_lock(&collector->lock);
	collector->status = status;
	collector->answer = answer;
	collector->times = times;
	pthread_mutex_unlock(&collector->lock);
}

size_t collector_requests(struct collector *collector)
{
	pthread_mutex_lock(&collector->lock);
	size_t count = collector->count;
	pthread_mutex_unlock(&collector->lock);
	return count;
}

bool collector_wait(struct collector *collector, size_t requests)
{
	struct timespec until;
	int error = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&collector->lock);
	while (collector->count < requests && !error)
		error = pthread_cond_timedwait(&collector->came, &collector->lock, &until);
	bool came = collector->count >= requests;
	pthread_mutex_unlock(&collector->lock);
	return came;
}

static struct request request_at(struct collector *collector, size_t index)
{
	struct request request = {0};
	pthread_mutex_lock(&collector->lock);
	if (index < collector->count)
		request = collector->requests[index];
	pthread_mutex_unlock(&collector->lock);
	return request;
}

const char *collector_head(struct collector *collector, size_t index)
{
	const char *head = request_at(collector, index).head;
	return head ? head : "";
}

const char *collector_body(struct collector *collector, size_t index)
{
	const char *body = request_at(collector, index).body;
	return body ? body : "";
}

json_t *collector_spans(struct collector *collector)
{
	json_t *all = json_array();
	for (size_t i = 0; i < collector_requests(collector); i++) {
		struct request request = request_at(collector, i);
		json_t *json = request.status == 200 ? json_loads(request.body, 0, NULL) : NULL, *spans = NULL;
		json_unpack(json, "{s:[{s:[{s:o}]}]}", "resourceSpans", "scopeSpans", "spans", &spans);
		json_array_extend(all, spans);
		json_decref(json);
	}
	return all;
}

const char *collector_attribute(const json_t *span, const char *name)
{
	const json_t *attribute;
	size_t i;
	json_array_foreach(json_object_get(span, "attributes"), i, attribute)
	{
		const char *key, *text = NULL;
		if (json_unpack((json_t *)(uintptr_t)attribute, "{s:s, s:{s?s, s?s}}", "key", &key, "value",
		                "stringValue", &text, "intValue", &text) == 0 &&
		    strcmp(key, name) == 0 && text)
			return text;
	}
	return "";
}
