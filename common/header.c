#include "header.h"

#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STREAM_PUBLIC      1
#define STREAM_KEYED       2
#define STREAM_FIXED_BYTES 21 /* version, partition, number, chain */
#define STREAM_PROOF_BYTES 8
#define TRACE_LEN          55 /* 00-<32 hex>-<16 hex>-<2 hex> */

const struct log_header *header_find(const struct log_record *record, const char *name)
{
	for (size_t i = 0; i < record->header_count; i++)
		if (strcmp(record->headers[i].name, name) == 0)
			return &record->headers[i];
	return NULL;
}

static enum header_found stream_parse_value(const struct log_bytes *value, struct header_stream *out)
{
	const uint8_t *bytes = value->data;
	if (value->len < 1)
		return HEADER_MALFORMED;
	if (bytes[0] > STREAM_KEYED)
		return HEADER_NEWER;
	bool keyed = bytes[0] == STREAM_KEYED;
	int32_t fixed = STREAM_FIXED_BYTES + (keyed ? STREAM_PROOF_BYTES : 0), name_len = value->len - fixed;
	if (bytes[0] < STREAM_PUBLIC || name_len < 1 || name_len > HEADER_SERVICE_MAX)
		return HEADER_MALFORMED;
	const uint8_t *name = bytes + fixed;
	if (memchr(name, 0, (size_t)name_len))
		return HEADER_MALFORMED;
	memcpy(out->service, name, (size_t)name_len);
	out->service[name_len] = 0;
	out->partition = (int32_t)be32_get(bytes + 1);
	out->number = be64_get(bytes + 5);
	out->chain = be64_get(bytes + 13);
	out->keyed = keyed;
	out->proof = keyed ? be64_get(bytes + STREAM_FIXED_BYTES) : 0;
	/* Numbers are kept as SQLite integers, which end at 2^63-1. */
	return out->number == 0 || out->number > INT64_MAX || out->partition < 0 ? HEADER_MALFORMED : HEADER_VALID;
}

enum header_found header_stream_parse(const struct log_record *record, struct header_stream *out)
{
	const struct log_header *found = NULL;
	for (size_t i = 0; i < record->header_count; i++) {
		if (strcmp(record->headers[i].name, HEADER_STREAM) != 0)
			continue;
		if (found)
			return HEADER_MALFORMED;
		found = &record->headers[i];
	}
	return found ? stream_parse_value(&found->value, out) : HEADER_NONE;
}

void header_list_init(struct header_list *list, struct arena *arena, size_t room)
{
	*list = (struct header_list){.arena = arena, .room = room};
	list->items = arena_alloc(arena, room * sizeof *list->items);
}

static void add(struct header_list *list, const char *name, const void *value, int32_t len)
{
	if (list->count == list->room) {
		struct log_header *more = arena_alloc(list->arena, 2 * (list->room + 1) * sizeof *more);
		if (list->count)
			memcpy(more, list->items, list->count * sizeof *more);
		list->items = more;
		list->room = 2 * (list->room + 1);
	}
	list->items[list->count++] = (struct log_header){name, {value, len}};
}

void header_add(struct header_list *list, const char *name, const void *value, size_t len)
{
	add(list, name, arena_copy(list->arena, value, len), (int32_t)len);
}

void header_add_constant(struct header_list *list, const char *name, const char *text)
{
	add(list, name, text, (int32_t)strlen(text));
}

void header_add_text(struct header_list *list, const char *name, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	size_t kept = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
	header_add(list, name, text, kept);
}

void header_add_be32(struct header_list *list, const char *name, int32_t value)
{
	uint8_t bytes[4];
	be32_put(bytes, (uint32_t)value);
	header_add(list, name, bytes, sizeof bytes);
}

void header_add_be64(struct header_list *list, const char *name, int64_t value)
{
	uint8_t bytes[8];
	be64_put(bytes, (uint64_t)value);
	header_add(list, name, bytes, sizeof bytes);
}

void header_add_stream(struct header_list *list, const struct header_stream *stream)
{
	size_t name_len = strlen(stream->service);
	size_t fixed = STREAM_FIXED_BYTES + (stream->keyed ? STREAM_PROOF_BYTES : 0);
	uint8_t *bytes = arena_alloc(list->arena, fixed + name_len);
	bytes[0] = stream->keyed ? STREAM_KEYED : STREAM_PUBLIC;
	be32_put(bytes + 1, (uint32_t)stream->partition);
	be64_put(bytes + 5, stream->number);
	be64_put(bytes + 13, stream->chain);
	if (stream->keyed)
		be64_put(bytes + STREAM_FIXED_BYTES, stream->proof);
	memcpy(bytes + fixed, stream->service, name_len);
	add(list, HEADER_STREAM, bytes, (int32_t)(fixed + name_len));
	list->stream = bytes;
}

void header_set_proof(const struct header_list *list, uint64_t proof)
{
	be64_put(list->stream + STREAM_FIXED_BYTES, proof);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool hex_not_zero(const char *text, size_t len)
{
	bool not_zero = false;
	for (size_t i = 0; i < len; i++) {
		if (!is_hex(text[i]))
			return false;
		not_zero = not_zero || text[i] != '0';
	}
	return not_zero;
}

bool header_trace_valid(const struct log_header *header)
{
	const char *text = header->value.data;
	return header->value.len == TRACE_LEN && memcmp(text, "00-", 3) == 0 && text[35] == '-' && text[52] == '-' &&
	       hex_not_zero(text + 3, 32) && hex_not_zero(text + 36, 16) && is_hex(text[53]) && is_hex(text[54]);
}

static uint64_t hex_number(const char *text, size_t len)
{
	uint64_t number = 0;
	for (size_t i = 0; i < len; i++)
		number = number << 4 | (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
	return number;
}

bool header_trace_parse(const struct log_header *header, struct header_trace *out)
{
	const char *text = header->value.data;
	if (!header_trace_valid(header))
		return false;
	be64_put(out->id, hex_number(text + 3, 16));
	be64_put(out->id + 8, hex_number(text + 19, 16));
	out->span = hex_number(text + 36, 16);
	out->sampled = hex_number(text + 53, 2) & 1;
	return true;
}

void header_trace_print(const struct header_trace *trace, char out[HEADER_TRACE_ROOM])
{
	snprintf(out, HEADER_TRACE_ROOM, "00-%016llx%016llx-%016llx-%02x", (unsigned long long)be64_get(trace->id),
	         (unsigned long long)be64_get(trace->id + 8), (unsigned long long)trace->span,
	         (unsigned)trace->sampled);
}

void header_add_trace(struct header_list *list, const struct log_header *parent, uint64_t span)
{
	const char *text = parent->value.data;
	header_add_text(list, HEADER_TRACE, "%.36s%016llx%.3s", text, (unsigned long long)(span ? span : 1), text + 52);
}
