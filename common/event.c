#include "event.h"

#include "event_reflect.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

#define CONTENT_BYTES 1000 /* what most contents fit in at once, an order of a few lines */

static int by_name(const void *name, const void *element)
{
	return strcmp(name, (*(const struct event_type *const *)element)->name);
}

const struct event_type *event_type_named(const char *name)
{
	const struct event_type *const *found =
		bsearch(name, event_types, event_type_count, sizeof *event_types, by_name);
	return found ? *found : NULL;
}

static int by_fingerprint(const void *fingerprint, const void *element)
{
	uint64_t a = *(const uint64_t *)fingerprint, b = ((const struct event_writer *)element)->fingerprint;
	return a < b ? -1 : a > b;
}

const struct event_type *event_type_of_writer(uint64_t fingerprint)
{
	const struct event_writer *found =
		bsearch(&fingerprint, event_writers, event_writer_count, sizeof *event_writers, by_fingerprint);
	return found ? found->type : NULL;
}

enum status event_encode(const struct event_type *type, const void *event, struct buf *out, struct err *err)
{
	size_t before = out->len;
	uint8_t *header = buf_grow(out, EVENT_HEADER_BYTES);
	header[0] = 0xc3;
	header[1] = 0x01;
	for (int i = 0; i < 8; i++)
		header[2 + i] = (uint8_t)(type->fingerprint >> (8 * i));
	out->len += EVENT_HEADER_BYTES;
	enum status status = type->encode(event, out, err);
	if (status == OK)
		return OK;
	out->len = before;
	return err_context(err, status, "%s", type->name);
}

bool event_split(const void *value, size_t len, uint64_t *fingerprint, const uint8_t **body, size_t *body_len)
{
	const uint8_t *bytes = value;
	if (len < EVENT_HEADER_BYTES || bytes[0] != 0xc3 || bytes[1] != 0x01)
		return false;
	*fingerprint = 0;
	for (int i = 0; i < 8; i++)
		*fingerprint |= (uint64_t)bytes[2 + i] << (8 * i);
	*body = bytes + EVENT_HEADER_BYTES;
	*body_len = len - EVENT_HEADER_BYTES;
	return true;
}

enum status event_decode(const struct event_type *type, uint64_t writer, const uint8_t *body, size_t len,
                         struct arena *arena, void *event, struct err *err)
{
	return type->decode(writer, body, len, arena, event, err);
}

bool event_equal(const struct event_type *type, const void *a, const void *b)
{
	return type->equal(a, b);
}

uint64_t event_content_hash(const struct event_type *type, const void *event, const uint8_t key[16])
{
	struct buf content = {0};
	buf_grow(&content, CONTENT_BYTES);
	event_reflect_content(type->record, event, &content);
	uint64_t hash = hash_bytes(key, content.data, content.len);
	buf_fini(&content);
	return hash;
}

json_t *event_to_json(const struct event_type *type, const void *event)
{
	return event_reflect_to_json(type->record, event);
}

enum status event_from_json(const struct event_type *type, const json_t *json, struct arena *arena, void *event,
                            struct err *err)
{
	enum status status = event_reflect_from_json(type->record, json, arena, event, err);
	return status == OK ? OK : err_context(err, status, "%s", type->name);
}
