/* http_server: a small HTTP/1.1 server for looking at a program from outside: GET and HEAD of a few paths, nothing else.
 *
 * libmicrohttpd speaks HTTP; it runs in one thread of its own, which calls the handler. What a client may cost is bounded:
 * HTTP_CONNECTIONS_MAX at a time, HTTP_REQUEST_BYTES_MAX for a request's line and headers, HTTP_SECONDS_MAX for a whole
 * connection, however slowly it sends or reads; one request a connection. Bodies are not read, any other method is answered
 * with 405. No TLS and no credentials: it listens where its operator says, and on loopback where he says nothing. */
#ifndef TANDEM_HTTP_SERVER_H
#define TANDEM_HTTP_SERVER_H

#include "bytes.h"
#include "err.h"

#define HTTP_CONNECTIONS_MAX   32
#define HTTP_REQUEST_BYTES_MAX 8192
#define HTTP_SECONDS_MAX       5

struct http_answer {
	int status;               /* 200, 404, 503, ... */
	const char *content_type; /* static storage */
	struct buf body;          /* the server's to free */
};

/* Fills the answer, which is a 404 before. Called in the server's thread: it must not block. */
typedef void http_handler(void *arg, const char *path, struct http_answer *answer);

struct http_server;

/* address: "PORT" (on 127.0.0.1), "HOST:PORT", "[IPV6]:PORT"; port 0: any that is free. On OK *out is the caller's:
 * http_server_close. REJECT "invalid": no such address. FATAL "io": it cannot be listened on. */
enum status http_server_open(const char *address, http_handler *handler, void *arg, struct http_server **out,
                             struct err *err);
const char *http_server_url(const struct http_server *server); /* "http://127.0.0.1:9464"; lives until close */
void http_server_close(struct http_server *server);            /* waits for the answer under way. NULL is fine */

#endif
