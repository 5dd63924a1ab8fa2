/* collector: an HTTP server in a thread, for tests of who posts to one: it keeps the bodies, and answers as it is told. */
#ifndef TANDEM_TESTS_COLLECTOR_H
#define TANDEM_TESTS_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "json.h"

#define COLLECTOR_HANGS (-1) /* for a status: it takes the request, and never answers */

struct collector;

struct collector *collector_open(void); /* answers 200 "{}" */
void collector_close(struct collector *collector);
const char *collector_url(const struct collector *collector); /* "http://127.0.0.1:PORT" */

/* From the next request on; answer must live as long. `times`: so many requests, then 200 again; 0: for ever. */
void collector_answer(struct collector *collector, int status, const char *answer, int times);

size_t collector_requests(struct collector *collector); /* taken so far */
/* Waits (two minutes) until so many requests were taken. False: they were not. */
bool collector_wait(struct collector *collector, size_t requests);

/* A request's head and body, as text; live until collector_close. */
const char *collector_head(struct collector *collector, size_t index);
const char *collector_body(struct collector *collector, size_t index);

/* The spans of all requests that were answered with 200, as OTLP's JSON has them. A new reference, the caller's. */
json_t *collector_spans(struct collector *collector);
/* An attribute's text; "" where there is none. */
const char *collector_attribute(const json_t *span, const char *name);

/* The URL of a port where nobody listens. */
void collector_nobody(char url[64]);

#endif
