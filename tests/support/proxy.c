#include "proxy.h"

#include "mem.h"
#include "seam.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNK_BYTES   65536
#define WAY_BYTES_MAX (8 << 20) /* under way in one direction; beyond it nothing more is read */

struct chunk {
	struct chunk *next;
	int64_t due_us;
	size_t len, at;
	uint8_t bytes[];
};

/* One direction of a connection. */
struct way {
	int from, to;
	struct chunk *first, **last;
	size_t bytes;
	bool ended; /* nothing more comes; `to` is told when all is through */
	bool shut;
};

struct connection {
	struct connection *next;
	struct route *route;
	struct way up, down; /* up: from the client to the broker */
	bool broken;
	size_t polled; /* where its two descriptors stand */
};

struct route {
	int listener, target_port;
	/* under the proxy's lock */
	enum proxy_weather weather;
	int delay_ms;
	struct proxy_counts counts;
	/* the thread's copy of them */
	enum proxy_weather now;
	int now_delay_ms;
	struct proxy_counts counted; /* not told yet */
};

struct proxy {
	pthread_t thread;
	pthread_mutex_t lock; /* guards count, stop and what the routes are told */
	int wake_fd;
	bool stop;
	int count;
	struct route routes[PROXY_ROUTES_MAX];
	/* the thread's alone */
	struct connection *connections;
	struct pollfd *polls;
	size_t poll_room;
};

/* ---- sockets ---- */

static struct sockaddr_in local(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void make_quick(int fd)
{
	const int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* The peer sees a reset, not an end. */
static void reset(int fd)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	close(fd);
}

static int connect_to(int port)
{
	const struct sockaddr_in address = local(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	make_quick(fd);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* ---- ways ---- */

static void way_init(struct way *way, int from, int to)
{
	*way = (struct way){.from = from, .to = to};
	way->last = &way->first;
}

static void way_clear(struct way *way)
{
	while (way->first) {
		struct chunk *chunk = way->first;
		way->first = chunk->next;
		mem_free(chunk);
	}
}

static bool is_held(const struct route *route, bool up)
{
	return route->now == PROXY_HOLE || (route->now == PROXY_MUTE && !up);
}

static bool may_read(const struct way *way)
{
	return !way->ended && way->bytes < WAY_BYTES_MAX;
}

/* What is due to be written; -1: nothing waits, else in so many milliseconds. */
static int due_in_ms(const struct way *way, int64_t now_us)
{
	if (!way->first)
		return -1;
	return way->first->due_us <= now_us ? 0 : (int)((way->first->due_us - now_us) / 1000) + 1;
}

/* False: the connection is broken. */
static bool way_read(struct way *way, const struct route *route, int64_t now_us)
{
	struct chunk *chunk = mem_alloc(sizeof *chunk + CHUNK_BYTES);
	ssize_t len = read(way->from, chunk->bytes, CHUNK_BYTES);
	int error = errno;
	if (len <= 0) {
		mem_free(chunk);
		way->ended = len == 0;
		return len == 0 || error == EAGAIN || error == EINTR;
	}
	chunk->next = NULL;
	chunk->len = (size_t)len;
	chunk->at = 0;
	chunk->due_us = now_us + (route->now == PROXY_SLOW ? route->now_delay_ms * 1000LL : 0);
	way->bytes += chunk->len;
	*way->last = chunk;
	way->last = &chunk->next;
	return true;
}

static bool way_write(struct way *way, int64_t now_us, long *passed)
{
	while (due_in_ms(way, now_us) == 0) {
		struct chunk *chunk = way->first;
		ssize_t len = send(way->to, chunk->bytes + chunk->at, chunk->len - chunk->at, MSG_NOSIGNAL);
		if (len < 0)
			return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
		chunk->at += (size_t)len;
		way->bytes -= (size_t)len;
		*passed += len;
		if (chunk->at < chunk->len)
			return true;
		way->first = chunk->next;
		if (!way->first)
			way->last = &way->first;
		mem_free(chunk);
	}
	if (way->ended && !way->first && !way->shut) {
		way->shut = true;
		shutdown(way->to, SHUT_WR);
	}
	return true;
}

/* ---- connections ---- */

static void accept_one(struct proxy *proxy, struct route *route)
{
	int client = accept4(route->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client < 0)
		return;
	route->counted.connections++;
	int broker = route->now == PROXY_RESET ? -1 : connect_to(route->target_port);
	if (broker < 0) {
		reset(client);
		return;
	}
	make_quick(client);
	struct connection *connection = mem_zalloc(1, sizeof *connection);
	connection->route = route;
	way_init(&connection->up, client, broker);
	way_init(&connection->down, broker, client);
	connection->next = proxy->connections;
	proxy->connections = connection;
}

static void connection_free(struct connection *connection)
{
	way_clear(&connection->up);
	way_clear(&connection->down);
	reset(connection->up.from);
	reset(connection->down.from);
	mem_free(connection);
}

static bool is_over(const struct connection *connection)
{
	return connection->broken || connection->route->now == PROXY_RESET ||
	       (connection->up.shut && connection->down.shut);
}

static void drop_over(struct proxy *proxy)
{
	for (struct connection **at = &proxy->connections; *at;) {
		struct connection *connection = *at;
		if (is_over(connection)) {
			*at = connection->next;
			connection_free(connection);
		} else {
			at = &connection->next;
		}
	}
}

static void move_way(struct connection *connection, struct way *way, bool readable, int64_t now_us)
{
	struct route *route = connection->route;
	bool up = way == &connection->up;
	long passed = 0;
	if (is_held(route, up))
		return;
	if (readable && may_read(way) && !way_read(way, route, now_us))
		connection->broken = true;
	if (!connection->broken && !way_write(way, now_us, &passed))
		connection->broken = true;
	if (up)
		route->counted.bytes_up += passed;
}

/* ---- the thread ---- */

static bool take_orders(struct proxy *proxy, int *count)
{
	uint64_t times;
	if (read(proxy->wake_fd, &times, sizeof times) < 0)
		times = 0; /* nobody called */
	pthread_mutex_lock(&proxy->lock);
	*count = proxy->count;
	for (int i = 0; i < *count; i++) {
		struct route *route = &proxy->routes[i];
		route->now = route->weather;
		route->now_delay_ms = route->delay_ms;
		route->counts.connections += route->counted.connections;
		route->counts.bytes_up += route->counted.bytes_up;
		route->counted = (struct proxy_counts){0};
	}
	bool stop = proxy->stop;
	pthread_mutex_unlock(&proxy->lock);
	return !stop;
}

static size_t poll_add(struct proxy *proxy, size_t at, int fd, short events)
{
	if (at == proxy->poll_room) {
		proxy->poll_room = proxy->poll_room ? 2 * proxy->poll_room : 64;
		proxy->polls = mem_realloc(proxy->polls, proxy->poll_room * sizeof *proxy->polls);
	}
	proxy->polls[at] = (struct pollfd){.fd = events ? fd : -1, .events = events};
	return at + 1;
}

/* What one end waits for: `in` comes from it, `out` goes to it. */
static short events_of(const struct connection *connection, const struct way *in, const struct way *out, int64_t now_us,
                       int *timeout_ms)
{
	bool in_held = is_held(connection->route, in == &connection->up);
	bool out_held = is_held(connection->route, out == &connection->up);
	int due_ms = out_held ? -1 : due_in_ms(out, now_us);
	if (due_ms > 0 && (*timeout_ms < 0 || due_ms < *timeout_ms))
		*timeout_ms = due_ms;
	return (short)((!in_held && may_read(in) ? POLLIN : 0) | (due_ms == 0 ? POLLOUT : 0));
}

static void wait_for_news(struct proxy *proxy, int count)
{
	int64_t now_us = seam_monotonic_us(&seam_system);
	int timeout_ms = -1;
	size_t at = poll_add(proxy, 0, proxy->wake_fd, POLLIN);
	for (int i = 0; i < count; i++)
		at = poll_add(proxy, at, proxy->routes[i].listener, POLLIN);
	for (struct connection *c = proxy->connections; c; c = c->next) {
		c->polled = at;
		at = poll_add(proxy, at, c->up.from, events_of(c, &c->up, &c->down, now_us, &timeout_ms));
		at = poll_add(proxy, at, c->down.from, events_of(c, &c->down, &c->up, now_us, &timeout_ms));
	}
	poll(proxy->polls, at, timeout_ms);
}

static bool came(const struct proxy *proxy, size_t at)
{
	return proxy->polls[at].revents & (POLLIN | POLLHUP | POLLERR);
}

static void *run(void *arg)
{
	struct proxy *proxy = arg;
	int count;
	while (take_orders(proxy, &count)) {
		drop_over(proxy);
		wait_for_news(proxy, count);
		int64_t now_us = seam_monotonic_us(&seam_system);
		for (struct connection *c = proxy->connections; c; c = c->next) {
			move_way(c, &c->up, came(proxy, c->polled), now_us);
			move_way(c, &c->down, came(proxy, c->polled + 1), now_us);
		}
		for (int i = 0; i < count; i++)
			if (came(proxy, (size_t)i + 1))
				accept_one(proxy, &proxy->routes[i]);
	}
	return NULL;
}

/* ---- from outside ---- */

static void wake(const struct proxy *proxy)
{
	static const uint64_t one = 1;
	if (write(proxy->wake_fd, &one, sizeof one) < 0)
		return; /* full: it is awake */
}

struct proxy *proxy_open(void)
{
	struct proxy *proxy = mem_zalloc(1, sizeof *proxy);
	proxy->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&proxy->lock, NULL);
	assert_true(proxy->wake_fd >= 0);
	assert_int_equal(pthread_create(&proxy->thread, NULL, run, proxy), 0);
	return proxy;
}

int proxy_add(struct proxy *proxy, int target_port, int *route)
{
	struct sockaddr_in address = local(0);
	socklen_t len = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 128), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	assert_true(proxy->count < PROXY_ROUTES_MAX);
	pthread_mutex_lock(&proxy->lock);
	*route = proxy->count++;
	proxy->routes[*route] = (struct route){.listener = listener, .target_port = target_port};
	pthread_mutex_unlock(&proxy->lock);
	wake(proxy);
	return ntohs(address.sin_port);
}

void proxy_set(struct proxy *proxy, int route, enum proxy_weather weather, int delay_ms)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->routes[route].weather = weather;
	proxy->routes[route].delay_ms = delay_ms;
	pthread_mutex_unlock(&proxy->lock);
	wake(proxy);
}

void proxy_counts(struct proxy *proxy, int route, struct proxy_counts *out)
{
	pthread_mutex_lock(&proxy->lock);
	*out = proxy->routes[route].counts;
	pthread_mutex_unlock(&proxy->lock);
}

void proxy_close(struct proxy *proxy)
{
	if (!proxy)
		return;
	pthread_mutex_lock(&proxy->lock);
	proxy->stop = true;
	pthread_mutex_unlock(&proxy->lock);
	wake(proxy);
	pthread_join(proxy->thread, NULL);
	while (proxy->connections) {
		struct connection *next = proxy->connections->next;
		connection_free(proxy->connections);
		proxy->connections = next;
	}
	for (int i = 0; i < proxy->count; i++)
		close(proxy->routes[i].listener);
	close(proxy->wake_fd);
	pthread_mutex_destroy(&proxy->lock);
	mem_free(proxy->polls);
	mem_free(proxy);
}
