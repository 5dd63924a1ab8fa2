#include "record_view.h"

#include "genesis.h"
#include "redrive.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- what it is ---- */

static bool split(const struct log_record *record, uint64_t *fingerprint, const uint8_t **body, size_t *len)
{
	return record->value.len >= 0 &&
	       event_split(record->value.data, (size_t)record->value.len, fingerprint, body, len);
}

const struct event_type *record_type(const struct log_record *record)
{
	uint64_t fingerprint;
	const uint8_t *body;
	size_t len;
	return split(record, &fingerprint, &body, &len) ? event_type_of_writer(fingerprint) : NULL;
}

static void decode(struct record_view *view, struct arena *arena)
{
	const uint8_t *body;
	size_t len;
	if (view->record->value.len < 0) {
		view->why = "null";
	} else if (!split(view->record, &view->fingerprint, &body, &len)) {
		view->why = "not_an_event";
	} else if (!(view->type = event_type_of_writer(view->fingerprint))) {
		view->why = "unknown_schema";
	} else {
		void *event = arena_alloc(arena, view->type->size);
		if (event_decode(view->type, view->fingerprint, body, len, arena, event, NULL) == OK)
			view->event = event;
		else
			view->why = "malformed";
	}
}

void record_view(const struct log_record *record, struct arena *arena, struct record_view *out)
{
	*out = (struct record_view){.record = record, .control = genesis_is_control(record)};
	out->numbered = header_stream_parse(record, &out->stream);
	decode(out, arena);
}

/* ---- safe text ---- */

/* The length of the printable UTF-8 character at the beginning; 0: there is none. */
static size_t printable(const uint8_t *at, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (at[0] < 0x80)
		return at[0] >= 0x20 && at[0] != 0x7f;
	size_t need = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
	if (at[0] < 0xc2 || at[0] > 0xf4 || need > len)
		return 0;
	uint32_t point = at[0] & (0xffu >> (need + 1));
	for (size_t i = 1; i < need; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (at[i] & 0x3f);
	}
	bool surrogate = point >= 0xd800 && point <= 0xdfff;
	return point >= least[need] && point >= 0xa0 && point <= 0x10ffff && !surrogate ? need : 0;
}

static void put_safe(struct buf *out, const uint8_t *at, size_t len)
{
	while (len) {
		size_t step = printable(at, len);
		if (!step)
			buf_putf(out, "\\x%02x", *at);
		else if (*at == '"' || *at == '\\')
			buf_putf(out, "\\%c", *at);
		else
			buf_put(out, at, step);
		at += step ? step : 1;
		len -= step ? step : 1;
	}
}

void record_view_quoted(const struct log_bytes *bytes, struct buf *out)
{
	if (bytes->len < 0) {
		buf_putf(out, "null");
		return;
	}
	buf_put_u8(out, '"');
	put_safe(out, bytes->data, (size_t)bytes->len);
	buf_put_u8(out, '"');
}

void record_view_safe(const struct log_bytes *bytes, struct buf *out)
{
	if (bytes->len > 0)
		put_safe(out, bytes->data, (size_t)bytes->len);
}

void record_view_text(const char *text, struct buf *out)
{
	put_safe(out, (const uint8_t *)text, strlen(text));
}

/* Raw DEL and C1 characters stand only inside strings, where an escape means the same. */
void record_view_dump(const json_t *json, struct buf *out)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	for (const char *at = text ? text : "null"; *at; at++) {
		uint8_t byte = (uint8_t)*at, next = (uint8_t)at[1];
		if (byte == 0x7f) {
			buf_putf(out, "\\u007f");
		} else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {
			buf_putf(out, "\\u00%02x", next);
			at++;
		} else {
			buf_put_u8(out, byte);
		}
	}
	free(text); /* jansson's malloc */
}

static json_t *json_hex(const struct log_bytes *bytes)
{
	const uint8_t *at = bytes->data;
	struct buf hex = {0};
	for (int32_t i = 0; i < bytes->len; i++)
		buf_putf(&hex, "%02x", at[i]);
	json_t *json = json_object();
	json_object_set_new(json, "hex", json_string(buf_text(&hex)));
	buf_fini(&hex);
	return json;
}

json_t *record_view_bytes_json(const struct log_bytes *bytes)
{
	if (bytes->len < 0)
		return json_null();
	json_t *text = bytes->len ? json_stringn(bytes->data, (size_t)bytes->len) : json_string("");
	return text ? text : json_hex(bytes);
}

/* ---- headers ---- */

/* `service/partition/number/chain`, the chain in 16 hexadecimal digits. */
static void put_stream(const struct header_stream *stream, struct buf *out)
{
	put_safe(out, (const uint8_t *)stream->service, strlen(stream->service));
	buf_putf(out, "/%" PRId32 "/%" PRIu64 "/%016" PRIx64, stream->partition, stream->number, stream->chain);
}

static bool decode_stream(const struct log_header *header, struct buf *out)
{
	const struct log_header alone = {HEADER_STREAM, header->value};
	const struct log_record record = {.headers = &alone, .header_count = 1};
	struct header_stream stream;
	if (strcmp(header->name, HEADER_STREAM) != 0 && strcmp(header->name, HEADER_STREAM_ORIGINAL) != 0)
		return false;
	if (header_stream_parse(&record, &stream) != HEADER_VALID)
		return false;
	put_stream(&stream, out);
	return true;
}

static bool decode_redrive(const struct log_header *header, struct buf *out)
{
	const struct log_record record = {.headers = header, .header_count = 1};
	struct redrive redrive;
	if (redrive_parse(&record, &redrive) != HEADER_VALID)
		return false;
	put_safe(out, (const uint8_t *)redrive.topic, strlen(redrive.topic));
	buf_putf(out, "/%" PRId32 "/%" PRIu64 "@%" PRId64, redrive.partition, redrive.number, redrive.offset);
	return true;
}

static bool decode_number(const struct log_header *header, struct buf *out)
{
	if (strcmp(header->name, "kafka_dlt-original-partition") == 0 && header->value.len == 4)
		buf_putf(out, "%" PRId32, (int32_t)be32_get(header->value.data));
	else if ((strcmp(header->name, "kafka_dlt-original-offset") == 0 ||
	          strcmp(header->name, "kafka_dlt-original-timestamp") == 0) &&
	         header->value.len == 8)
		buf_putf(out, "%" PRId64, (int64_t)be64_get(header->value.data));
	else
		return false;
	return true;
}

bool record_view_header(const struct log_header *header, struct buf *out)
{
	return decode_stream(header, out) || decode_redrive(header, out) || decode_number(header, out);
}

static json_t *json_headers(const struct log_record *record)
{
	json_t *headers = json_array();
	for (size_t i = 0; i < record->header_count; i++) {
		struct buf known = {0};
		const struct log_header *header = &record->headers[i];
		const struct log_bytes name = {header->name, (int32_t)strlen(header->name)};
		json_t *pair = json_array();
		json_array_append_new(pair, record_view_bytes_json(&name));
		json_array_append_new(pair, record_view_header(header, &known)
		                                    ? json_string(buf_text(&known))
		                                    : record_view_bytes_json(&header->value));
		json_array_append_new(headers, pair);
		buf_fini(&known);
	}
	return headers;
}

static void put_headers(const struct log_record *record, struct buf *out)
{
	for (size_t i = 0; i < record->header_count; i++) {
		const struct log_header *header = &record->headers[i];
		buf_put_u8(out, ' ');
		put_safe(out, (const uint8_t *)header->name, strlen(header->name));
		buf_put_u8(out, '=');
		if (!record_view_header(header, out))
			record_view_quoted(&header->value, out);
	}
}

/* ---- whole records ---- */

static const char *type_text(const struct record_view *view, char out[64])
{
	if (view->type)
		return view->type->name;
	if (strcmp(view->why, "unknown_schema") != 0)
		return view->why;
	snprintf(out, 64, "unknown_schema:%016" PRIx64, view->fingerprint);
	return out;
}

static json_t *json_id(const uint8_t installation[16])
{
	struct arena arena = {0};
	json_t *json = json_string(genesis_id_text(installation, &arena));
	arena_fini(&arena);
	return json;
}

void record_view_event(const struct record_view *view, struct buf *out)
{
	json_t *event = event_to_json(view->type, view->event);
	if (view->type == &genesis_type) /* Avro's JSON has 16 bytes as 16 characters */
		json_object_set_new(event, "installation",
		                    json_id(((const struct genesis *)view->event)->installation));
	record_view_dump(event, out);
	json_decref(event);
}

void record_view_line(const struct record_view *view, const char *topic, struct buf *out)
{
	const struct log_record *record = view->record;
	char time[TIMESTAMP_TEXT_BYTES], type[64];
	buf_putf(out, "%s/%" PRId32 "@%" PRId64 " %s %s%s ", topic, record->partition, record->offset,
	         timestamp_text(record->timestamp_ms, time), type_text(view, type),
	         view->type && !view->event ? ":malformed" : "");
	record_view_quoted(&record->key, out);
	buf_put_u8(out, ' ');
	if (view->event)
		record_view_event(view, out);
	else
		record_view_quoted(&record->value, out);
	put_headers(record, out);
}

json_t *record_view_json(const struct record_view *view, const char *topic, const char *tstype)
{
	const struct log_record *record = view->record;
	json_t *json = json_object();
	json_object_set_new(json, "topic", json_string(topic));
	json_object_set_new(json, "partition", json_integer(record->partition));
	json_object_set_new(json, "offset", json_integer(record->offset));
	json_object_set_new(json, "tstype", json_string(tstype));
	json_object_set_new(json, "ts", json_integer(record->timestamp_ms));
	json_object_set_new(json, "key", record_view_bytes_json(&record->key));
	json_object_set_new(json, "headers", json_headers(record));
	json_object_set_new(json, "type", view->type ? json_string(view->type->name) : json_null());
	if (view->event) {
		json_object_set_new(json, "payload", event_to_json(view->type, view->event));
		return json;
	}
	json_object_set_new(json, "payload", record_view_bytes_json(&record->value));
	if (record->value.len >= 0)
		json_object_set_new(json, "error", json_string(view->why));
	if (view->fingerprint && !view->type) {
		char text[17];
		snprintf(text, sizeof text, "%016" PRIx64, view->fingerprint);
		json_object_set_new(json, "fingerprint", json_string(text));
	}
	return json;
}
