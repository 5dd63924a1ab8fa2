#include "otlp.h"

#include "bytes.h"
#include "version.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_ERROR 2

static void set(json_t *object, const char *name, const char *text)
{
	json_object_set_new(object, name, json_string(text));
}

/* One entry of a list of attributes; nothing where there is no text. */
static void add_text(json_t *list, const char *name, const char *text)
{
	if (text && *text)
		json_array_append_new(list, json_pack("{s:s, s:{s:s}}", "key", name, "value", "stringValue", text));
}

static void add_int(json_t *list, const char *name, int64_t number)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, number);
	json_array_append_new(list, json_pack("{s:s, s:{s:s}}", "key", name, "value", "intValue", text));
}

static void set_id(json_t *object, const char *name, const uint8_t *bytes, size_t len)
{
	char text[2 * SPAN_TRACE_BYTES + 1];
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	set(object, name, text);
}

static void set_span_id(json_t *object, const char *name, uint64_t id)
{
	uint8_t bytes[8];
	be64_put(bytes, id);
	set_id(object, name, bytes, sizeof bytes);
}

static void set_nanoseconds(json_t *object, const char *name, int64_t us)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRId64 "000", us);
	set(object, name, text);
}

static json_t *attributes_of(const struct otlp_source *source, const struct span *span)
{
	const bool consumer = span->kind == SPAN_CONSUMER;
	char partition[16];
	json_t *list = json_array();
	snprintf(partition, sizeof partition, "%" PRId32, span->partition);
	add_text(list, "messaging.system", source->system);
	add_text(list, "messaging.operation.name", consumer ? "process" : "send");
	add_text(list, "messaging.operation.type", consumer ? "process" : "send");
	add_text(list, "messaging.destination.name", span->topic);
	add_text(list, "messaging.destination.partition.id", partition);
	if (consumer)
		add_text(list, "messaging.consumer.group.name", source->group);
	if (span->offset >= 0)
		add_int(list, "messaging.kafka.offset", span->offset);
	add_text(list, "messaging.kafka.message.key", span->key);
	add_text(list, "tandem.key", span->key);
	add_text(list, "tandem.event", span->event);
	add_text(list, "tandem.verdict", span->verdict);
	add_text(list, "error.type", span->error);
	return list;
}

static json_t *span_json(const struct otlp_source *source, const struct span *span)
{
	json_t *object = json_object();
	char name[300];
	snprintf(name, sizeof name, "%s %s", span->kind == SPAN_CONSUMER ? "process" : "send", span->topic);
	set_id(object, "traceId", span->trace, SPAN_TRACE_BYTES);
	set_span_id(object, "spanId", span->id);
	if (span->parent)
		set_span_id(object, "parentSpanId", span->parent);
	set(object, "name", name);
	json_object_set_new(object, "kind", json_integer(span->kind));
	set_nanoseconds(object, "startTimeUnixNano", span->start_us);
	set_nanoseconds(object, "endTimeUnixNano", span->end_us);
	json_object_set_new(object, "attributes", attributes_of(source, span));
	if (span->error)
		json_object_set_new(object, "status",
		                    json_pack("{s:i, s:s}", "code", STATUS_ERROR, "message", span->error));
	return object;
}

static json_t *resource_json(const struct otlp_source *source)
{
	json_t *list = json_array();
	add_text(list, "service.name", source->service);
	add_text(list, "service.namespace", source->name_space);
	add_text(list, "service.instance.id", source->instance);
	add_text(list, "service.version", tandem_version);
	return json_pack("{s:o}", "attributes", list);
}

json_t *otlp_traces(const struct otlp_source *source, const struct span *spans, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, span_json(source, &spans[i]));
	return json_pack("{s:[{s:o, s:[{s:{s:s, s:s}, s:o, s:s}]}]}", "resourceSpans", "resource",
	                 resource_json(source), "scopeSpans", "scope", "name", "tandem", "version", tandem_version,
	                 "spans", list, "schemaUrl", OTLP_SCHEMA_URL);
}

int64_t otlp_refused(const void *body, size_t len, char *why, size_t room)
{
	json_t *answer = json_loadb(body, len, 0, NULL);
	json_t *partial = json_object_get(answer, "partialSuccess");
	json_t *refused =
		json_object_get(partial, "rejectedSpans"); /* a string in protobuf's JSON, a number in others' */
	const char *text = json_string_value(json_object_get(partial, "errorMessage"));
	int64_t count =
		json_is_string(refused) ? strtoll(json_string_value(refused), NULL, 10) : json_integer_value(refused);
	if (count > 0)
		snprintf(why, room, "%s", text ? text : "it does not say why");
	json_decref(answer);
	return count > 0 ? count : 0;
}
