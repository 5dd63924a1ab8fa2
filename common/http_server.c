/* The thread waits on libmicrohttpd's epoll descriptor and an eventfd that ends it, and lets the library run when there is
 * something to do. The library's own time limit is one of silence, so a client that sends a byte now and then would stay for
 * ever: connections are listed with the time they began, and those that are too old are shut down. */
#include "http_server.h"

#include "mem.h"

#include <microhttpd.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG         64
#define SILENCE_S       3
#define LOOK_EVERY_MS   1000
#define HOST_ROOM       256
#define ADDRESS_EXAMPLE "expected PORT, HOST:PORT or [IPV6]:PORT"

struct connection {
	int fd; /* -1: free */
	time_t since_s;
};

struct http_server {
	http_handler *handler;
	void *arg;
	struct MHD_Daemon *daemon;
	int listen_fd, epoll_fd, end_fd;
	pthread_t thread;
	bool has_thread;
	struct connection connections[HTTP_CONNECTIONS_MAX]; /* the thread's */
	char url[HOST_ROOM + 32];
};

/* ---- addresses ---- */

static enum status bad_address(const char *address, const char *why, struct err *err)
{
	return err_set(err, REJECT, "invalid", "'%s' is no address to listen on (%s); " ADDRESS_EXAMPLE, address, why);
}

/* host has HOST_ROOM bytes. */
static bool split(const char *address, char *host, const char **port)
{
	const char *colon = strrchr(address, ':');
	snprintf(host, HOST_ROOM, "127.0.0.1");
	*port = colon ? colon + 1 : address;
	if (colon && colon != address) {
		bool bracketed = address[0] == '[' && colon[-1] == ']';
		const char *begin = address + bracketed;
		size_t len = (size_t)(colon - begin) - bracketed;
		if (len == 0 || len >= HOST_ROOM || (!bracketed && memchr(begin, ':', len)))
			return false;
		memcpy(host, begin, len);
		host[len] = 0;
	}
	size_t digits = strspn(*port, "0123456789");
	return digits > 0 && digits <= 5 && !(*port)[digits] && atoi(*port) <= 65535; /* getaddrinfo would cut it */
}

static enum status resolve(const char *address, struct addrinfo **found, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	char host[HOST_ROOM];
	const char *port;
	if (!split(address, host, &port))
		return bad_address(address, "it has no host and port", err);
	int failure = getaddrinfo(host, port, &hints, found);
	return failure ? bad_address(address, gai_strerror(failure), err) : OK;
}

static enum status listen_on(const char *address, int *out, struct err *err)
{
	static const int yes = 1;
	struct addrinfo *found;
	enum status status = resolve(address, &found, err);
	if (status != OK)
		return status;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		status = err_set(err, FATAL, "io", "cannot listen on %s: %s; give another address, or end who has it",
		                 address, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	freeaddrinfo(found);
	*out = fd;
	return status;
}

static void name_url(struct http_server *server)
{
	struct sockaddr_storage bound = {0};
	socklen_t len = sizeof bound;
	char host[HOST_ROOM] = "?", port[8] = "0";
	getsockname(server->listen_fd, (struct sockaddr *)&bound, &len);
	getnameinfo((struct sockaddr *)&bound, len, host, sizeof host, port, sizeof port,
	            NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(server->url, sizeof server->url, strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

/* ---- answering ---- */

static enum MHD_Result put_answer(struct MHD_Connection *connection, const struct http_answer *answer)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(answer->body.len, answer->body.data, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", answer->content_type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "Connection", "close");
	if (answer->status == 405)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	enum MHD_Result result = MHD_queue_response(connection, (unsigned)answer->status, response);
	MHD_destroy_response(response);
	return result;
}

/* Called with the headers, before a body is read: the answer is queued at once, and the body never looked at. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *body, size_t *body_len, void **state)
{
	struct http_server *server = arg;
	struct http_answer answer = {.status = 404, .content_type = "text/plain; charset=utf-8"};
	(void)version;
	(void)body;
	(void)body_len;
	(void)state;
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
		server->handler(server->arg, path, &answer);
	else
		answer.status = 405;
	if (!answer.body.len && answer.status != 200)
		buf_putf(&answer.body, "%s\n", answer.status == 405 ? "only GET and HEAD" : "no such page");
	enum MHD_Result result = put_answer(connection, &answer);
	buf_fini(&answer.body);
	return result;
}

/* ---- connections ---- */

static time_t now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = arg;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	int fd = info ? info->connect_fd : -1;
	bool begins = code == MHD_CONNECTION_NOTIFY_STARTED;
	(void)context;
	for (size_t i = 0; i < HTTP_CONNECTIONS_MAX && fd >= 0; i++) {
		struct connection *known = &server->connections[i];
		if (known->fd == (begins ? -1 : fd)) {
			*known = (struct connection){begins ? fd : -1, now_s()};
			return;
		}
	}
}

/* The library sees the end of it and closes it. */
static void end_old_ones(struct http_server *server)
{
	time_t now = now_s();
	for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		if (server->connections[i].fd >= 0 && now - server->connections[i].since_s >= HTTP_SECONDS_MAX)
			shutdown(server->connections[i].fd, SHUT_RDWR);
}

static void *serve(void *arg)
{
	struct http_server *server = arg;
	struct pollfd ready[] = {{.fd = server->end_fd, .events = POLLIN}, {.fd = server->epoll_fd, .events = POLLIN}};
	while (!(ready[0].revents & POLLIN)) {
		MHD_UNSIGNED_LONG_LONG due_ms;
		MHD_run(server->daemon);
		end_old_ones(server);
		if (MHD_get_timeout(server->daemon, &due_ms) != MHD_YES || due_ms > LOOK_EVERY_MS)
			due_ms = LOOK_EVERY_MS;
		poll(ready, 2, (int)due_ms);
	}
	return NULL;
}

/* ---- open and close ---- */

static void say_nothing(void *arg, const char *format, va_list values)
{
	(void)arg;
	(void)format;
	(void)values;
}

static enum status start(struct http_server *server, struct err *err)
{
	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER,
		say_nothing, NULL, MHD_OPTION_LISTEN_SOCKET, server->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST_BYTES_MAX, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, server, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		server->daemon ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	server->end_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (info && server->end_fd >= 0) {
		server->epoll_fd = info->epoll_fd;
		server->has_thread = pthread_create(&server->thread, NULL, serve, server) == 0;
	}
	return server->has_thread ? OK
	                          : err_set(err, FATAL, "io",
	                                    "no thread or descriptor for the HTTP server: raise the"
	                                    " limits (ulimit -n, ulimit -u)");
}

enum status http_server_open(const char *address, http_handler *handler, void *arg, struct http_server **out,
                             struct err *err)
{
	struct http_server *server = mem_zalloc(1, sizeof *server);
	*server = (struct http_server){.handler = handler, .arg = arg, .listen_fd = -1, .end_fd = -1};
	for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		server->connections[i].fd = -1;
	enum status status = listen_on(address, &server->listen_fd, err);
	if (status == OK) {
		name_url(server);
		status = start(server, err);
	}
	if (status != OK) {
		http_server_close(server);
		return status;
	}
	*out = server;
	return OK;
}

const char *http_server_url(const struct http_server *server)
{
	return server->url;
}

void http_server_close(struct http_server *server)
{
	static const uint64_t one = 1;
	if (!server)
		return;
	if (server->has_thread && write(server->end_fd, &one, sizeof one) == sizeof one)
		pthread_join(server->thread, NULL);
	if (server->daemon)
		MHD_stop_daemon(server->daemon); /* closes the socket, too */
	else if (server->listen_fd >= 0)
		close(server->listen_fd);
	if (server->end_fd >= 0)
		close(server->end_fd);
	mem_free(server);
}
