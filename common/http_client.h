/* http_client: requests to one HTTP server, by libcurl (this is its only user).
 *
 * A client keeps its connection open between requests. What an answer may cost is bounded: its bytes by
 * answer_bytes_max, its time by timeout_ms, connecting and resolving included. Redirects are not followed; a proxy is taken
 * from the environment (https_proxy, no_proxy, ...), certificates from the system. One thread a client; any number of
 * clients. SIGPIPE must be ignored or blocked (interrupt_install does it). */
#ifndef TANDEM_HTTP_CLIENT_H
#define TANDEM_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "err.h"

struct http_client_config {
	const char *url;            /* http:// or https://, what every request's path is put behind */
	const char *const *headers; /* "Name: value", of every request */
	size_t header_count;
	int timeout_ms;             /* 0: 10000 */
	bool direct;                /* without a proxy, whatever the environment says */
	size_t answer_bytes_max;    /* 0: 1 MiB */
	bool (*stopped)(void *arg); /* asked at least once a second while a request waits; true: give up. NULL: never */
	void *arg;
};

struct http_client;

/* Connects to nobody yet. On OK *out is the caller's: http_client_close. REJECT "invalid": no such URL or header. */
enum status http_client_open(const struct http_client_config *config, struct http_client **out, struct err *err);
void http_client_close(struct http_client *client); /* NULL is fine */

struct http_request {
	const char *method;       /* "GET", "POST", "PUT", "DELETE" */
	const char *path;         /* behind the URL; "" for none */
	const char *content_type; /* of the body; NULL: none */
	const void *body;
	size_t body_len;
};

struct http_reply {
	int status;      /* 100 to 599, whatever it means */
	struct buf body; /* the caller's to free (buf_fini), and to empty at first; used again by the next request */
};

/* Blocks until the answer is there. RETRY: there was none ("transport", "timeout", "interrupted"), or it was too long
 * ("too_large"). */
enum status http_client_send(struct http_client *client, const struct http_request *request, struct http_reply *reply,
                             struct err *err);

#endif
