/* otlp: spans as OTLP's JSON (OpenTelemetry protocol 1.x, ExportTraceServiceRequest), and what a collector answers.
 *
 * Names of attributes are those of OpenTelemetry's semantic conventions for messaging (OTLP_SCHEMA_URL) and, beginning with
 * "tandem.", our own. Ids are hexadecimal, 64-bit integers are strings, as OTLP's JSON has them. */
#ifndef TANDEM_OTLP_H
#define TANDEM_OTLP_H

#include "json.h"
#include "span.h"

#define OTLP_SCHEMA_URL "https://opentelemetry.io/schemas/1.30.0"

struct otlp_source {            /* whose spans they are */
	const char *service;    /* service.name */
	const char *name_space; /* service.namespace; "": none */
	const char *instance;   /* service.instance.id */
	const char *system;     /* messaging.system: "kafka", ... */
	const char *group;      /* of consumers; NULL: none */
};

/* The request's body; a new reference, the caller's. */
json_t *otlp_traces(const struct otlp_source *source, const struct span *spans, size_t count);

/* How many of these spans the collector has refused, by the body of an answer of status 200; *why (its words, UTF-8, cut to
 * room) only where there are any. A body that is nothing of the kind refuses none. */
int64_t otlp_refused(const void *body, size_t len, char *why, size_t room);

#endif
