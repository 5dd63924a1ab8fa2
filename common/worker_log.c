/* What a worker says of a record that was not simply applied: what it was, whose, where, and what to do about it. Lines of one
 * kind are counted, not repeated, when there are many (logging.h). */
#include "worker_impl.h"

#include "event_reflect.h"
#include "header.h"

#include <stdio.h>
#include <string.h>

#define TEXT_ROOM 128 /* of an id from a record, cut */

struct said { /* of the record; "" where it has none */
	char key[TEXT_ROOM], event_id[TEXT_ROOM], trace_id[33], span_id[17];
	bool key_is_order;
};

static void copy(char *to, size_t room, const struct log_bytes *from)
{
	size_t len = from->len < 0 ? 0 : (size_t)from->len;
	len = len < room ? len : room - 1;
	if (len)
		memcpy(to, from->data, len);
	to[len] = 0;
}

/* Events that have an order_id have it as their key. */
static bool is_of_an_order(const struct log_record *record)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	if (record->value.len < 0 ||
	    !event_split(record->value.data, (size_t)record->value.len, &fingerprint, &body, &len))
		return false;
	const struct event_type *type = event_type_of_writer(fingerprint);
	for (size_t i = 0; type && i < type->record->field_count; i++)
		if (strcmp(type->record->fields[i].name, "order_id") == 0)
			return true;
	return false;
}

static void look_at(const struct log_record *record, struct said *said)
{
	const struct log_header *id = header_find(record, "ce_id"), *trace = header_find(record, "traceparent");
	*said = (struct said){.key_is_order = is_of_an_order(record)};
	copy(said->key, sizeof said->key, &record->key);
	if (id)
		copy(said->event_id, sizeof said->event_id, &id->value);
	if (trace && header_trace_valid(trace)) { /* 00-<32 hex>-<16 hex>-<2 hex> */
		const char *text = trace->value.data;
		snprintf(said->trace_id, sizeof said->trace_id, "%.32s", text + 3);
		snprintf(said->span_id, sizeof said->span_id, "%.16s", text + 36);
	}
}

static const char *unless_empty(const char *text)
{
	return *text ? text : NULL;
}

static void say(const struct worker *worker, const struct slot *slot, const struct log_record *record, const char *msg,
                const struct header_stream *stream, const struct err *why)
{
	struct said said;
	look_at(record, &said);
	logging_write(worker->config.logging, LOGGING_WARNING, msg, LOGGING_TEXT("topic", worker->full_input),
	              LOGGING_INT("partition", slot->partition), LOGGING_INT("offset", record->offset),
	              LOGGING_TEXT("reason", why ? why->code : NULL), LOGGING_TEXT("detail", why ? why->text : NULL),
	              LOGGING_TEXT("source", stream ? unless_empty(stream->service) : NULL),
	              LOGGING_TEXT(said.key_is_order ? "order_id" : "key", unless_empty(said.key)),
	              LOGGING_TEXT("event_id", unless_empty(said.event_id)),
	              LOGGING_TEXT("trace_id", unless_empty(said.trace_id)),
	              LOGGING_TEXT("span_id", unless_empty(said.span_id)));
}

void worker_say_verdict(const struct worker *worker, const struct slot *slot, const struct log_record *record,
                        enum task_verdict verdict)
{
	struct header_stream stream = {0};
	if (!worker->config.logging || slot->catching_up)
		return;
	header_stream_parse(record, &stream);
	switch (verdict) {
	case TASK_REJECTED:
		say(worker, slot, record,
		    "a publisher's record is refused and becomes a dead letter; docs/dead-letters.md says what to do about its"
		    " reason",
		    NULL, task_rejection(slot->task));
		return;
	case TASK_GAP:
		say(worker, slot, record,
		    "a number of a stream is missing: what comes behind it is not applied; if it stands, `status` prints the"
		    " command that heals it",
		    &stream, NULL);
		return;
	case TASK_FORK:
		say(worker, slot, record,
		    "an event does not continue its stream: the source has two histories, and it is not applied; run `audit`"
		    " before anything else",
		    &stream, NULL);
		return;
	case TASK_UNKNOWN_SOURCE:
		say(worker, slot, record,
		    "a record of an unknown source is not applied; find who writes it: `status` prints the command that shows"
		    " it",
		    &stream, NULL);
		return;
	default:
		return;
	}
}
