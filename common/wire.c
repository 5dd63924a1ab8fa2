#include "wire.h"

/* Writing. */

void wire_put_long(struct buf *out, int64_t value)
{
	uint64_t raw = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	uint8_t *at = buf_grow(out, WIRE_LONG_BYTES_MAX);
	size_t len = 0;
	for (; raw >= 0x80; raw >>= 7)
		at[len++] = (uint8_t)(raw | 0x80);
	at[len++] = (uint8_t)raw;
	out->len += len;
}

bool wire_put_string(struct buf *out, const char *text)
{
	if (!text)
		return false;
	size_t len = strlen(text);
	if (!wire_text_valid(text, len))
		return false;
	wire_put_long(out, (int64_t)len);
	buf_put(out, text, len);
	return true;
}

bool wire_put_bytes(struct buf *out, struct event_bytes bytes)
{
	if (!bytes.data && bytes.len)
		return false;
	wire_put_long(out, (int64_t)bytes.len);
	buf_put(out, bytes.data, bytes.len);
	return true;
}

enum status wire_refuse_null(struct err *err, const char *field)
{
	return err_set(err, REJECT, "null", "%s: found NULL where a value is needed", field);
}

enum status wire_refuse_string(struct err *err, const char *field, const char *text)
{
	if (!text)
		return wire_refuse_null(err, field);
	return err_set(err, REJECT, "invalid_utf8", "%s: found bytes that are not UTF-8", field);
}

enum status wire_refuse_enum(struct err *err, const char *field, long long value, size_t symbol_count)
{
	return err_set(err, REJECT, "enum_range", "%s: found %lld, but its enum has 0 to %zu", field, value,
	               symbol_count - 1);
}

/* UTF-8. */

/* Eight bytes that are ASCII and not NUL. */
static bool plain8(const uint8_t *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof word);
	const uint64_t high = UINT64_C(0x8080808080808080), ones = UINT64_C(0x0101010101010101);
	return !((word | (word - ones)) & high);
}

bool wire_text_valid(const void *text, size_t len)
{
	const uint8_t *at = text;
	while (len) {
		if (len >= 8 && plain8(at)) {
			at += 8;
			len -= 8;
			continue;
		}
		size_t step = *at && *at < 0x80 ? 1 : utf8_bytes(at, len);
		if (!step)
			return false;
		at += step;
		len -= step;
	}
	return true;
}

/* Reading. */

void wire_begin(struct wire_reader *in, const uint8_t *body, size_t len, struct arena *arena)
{
	static const uint8_t none[1];
	if (!len)
		body = none;
	*in = (struct wire_reader){.start = body, .at = body, .end = body + len, .arena = arena};
	in->copy = arena_copy(arena, body, len);
}

enum status wire_finish(struct wire_reader *in, bool decoded, const char *type, struct err *err)
{
	if (decoded && in->at == in->end)
		return OK;
	if (decoded)
		in->problem = "more bytes than its schema has";
	return err_set(err, REJECT, "malformed", "%s: %s (byte %zu of %zu)", in->field ? in->field : type,
	               in->problem ? in->problem : "malformed", (size_t)(in->at - in->start),
	               (size_t)(in->end - in->start));
}

enum status wire_unknown(const char *type, uint64_t writer, struct err *err)
{
	return err_set(err, REJECT, "unknown_schema", "%s: written with schema %016llx, which no known version has",
	               type, (unsigned long long)writer);
}

bool wire_fail(struct wire_reader *in, const char *problem)
{
	if (!in->problem)
		in->problem = problem;
	return false;
}

bool wire_at(struct wire_reader *in, const char *field)
{
	if (!in->field)
		in->field = field;
	return false;
}

bool wire_get_long_slow(struct wire_reader *in, int64_t *out)
{
	uint64_t raw = 0;
	const uint8_t *at = in->at;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (at == in->end)
			return wire_fail(in, "ends within a number");
		uint8_t byte = *at++;
		if (shift == 63 && byte > 1)
			return wire_fail(in, "integer beyond 64 bits");
		raw |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (!byte && shift)
			return wire_fail(in, "integer longer than it needs to be");
		in->at = at;
		*out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
		return true;
	}
	return wire_fail(in, "integer beyond 64 bits");
}

bool wire_get_boolean(struct wire_reader *in, bool *out)
{
	if (in->at == in->end)
		return wire_fail(in, "ends before a boolean");
	if (*in->at > 1)
		return wire_fail(in, "boolean that is neither 0 nor 1");
	*out = *in->at++;
	return true;
}

/* A length that what is left can hold; the cursor moves only then. */
static bool get_len(struct wire_reader *in, size_t *len)
{
	const uint8_t *before = in->at;
	int64_t value;
	if (!wire_get_long(in, &value))
		return false;
	if (value >= 0 && (uint64_t)value <= (uint64_t)(in->end - in->at)) {
		*len = (size_t)value;
		return true;
	}
	in->at = before;
	return wire_fail(in, value < 0 ? "negative length" : "length beyond what is left");
}

bool wire_get_string(struct wire_reader *in, const char **out)
{
	size_t len;
	if (!get_len(in, &len))
		return false;
	if (!wire_text_valid(in->at, len))
		return wire_fail(in, memchr(in->at, 0, len) ? "NUL within a string" : "string that is not UTF-8");
	char *text = in->copy + (in->at - in->start);
	text[len] = 0;
	*out = text;
	in->at += len;
	return true;
}

bool wire_get_bytes(struct wire_reader *in, struct event_bytes *out)
{
	size_t len;
	if (!get_len(in, &len))
		return false;
	*out = (struct event_bytes){(const uint8_t *)in->copy + (in->at - in->start), len};
	in->at += len;
	return true;
}

bool wire_get_fixed(struct wire_reader *in, uint8_t *out, size_t len)
{
	if ((size_t)(in->end - in->at) < len)
		return wire_fail(in, "ends within a fixed");
	memcpy(out, in->at, len);
	in->at += len;
	return true;
}

bool wire_get_index(struct wire_reader *in, size_t count, size_t *out)
{
	const uint8_t *before = in->at;
	int64_t value;
	if (!wire_get_long(in, &value))
		return false;
	if (value >= 0 && (uint64_t)value < count) {
		*out = (size_t)value;
		return true;
	}
	in->at = before;
	return wire_fail(in, "index of an enum or a union out of range");
}

bool wire_skip_boolean(struct wire_reader *in)
{
	bool unused;
	return wire_get_boolean(in, &unused);
}

bool wire_skip_int(struct wire_reader *in)
{
	int32_t unused;
	return wire_get_int(in, &unused);
}

bool wire_skip_long(struct wire_reader *in)
{
	int64_t unused;
	return wire_get_long(in, &unused);
}

bool wire_skip_string(struct wire_reader *in)
{
	const char *unused;
	return wire_get_string(in, &unused);
}

bool wire_skip_bytes(struct wire_reader *in)
{
	struct event_bytes unused;
	return wire_get_bytes(in, &unused);
}

bool wire_skip_fixed(struct wire_reader *in, size_t len)
{
	if ((size_t)(in->end - in->at) < len)
		return wire_fail(in, "ends within a fixed");
	in->at += len;
	return true;
}

bool wire_skip_index(struct wire_reader *in, size_t count)
{
	size_t unused;
	return wire_get_index(in, count, &unused);
}

bool wire_get_counted_block(struct wire_reader *in, struct wire_block *block)
{
	int64_t count;
	*block = (struct wire_block){0};
	if (!wire_get_long(in, &count))
		return false;
	if (count < 0) {
		size_t len;
		if (!get_len(in, &len))
			return false;
		block->end = in->at + len;
	}
	/* -INT64_MIN has no int64_t, but its bits read as unsigned are the number. */
	block->count = count < 0 ? -(uint64_t)count : (uint64_t)count;
	return true;
}

bool wire_get_block(struct wire_reader *in, size_t item_bytes_min, struct wire_block *block)
{
	const uint8_t *before = in->at;
	if (!wire_get_counted_block(in, block))
		return false;
	size_t left = (size_t)((block->end ? block->end : in->end) - in->at);
	if (block->count <= left / item_bytes_min)
		return true;
	in->at = before;
	return wire_fail(in, "more items than the bytes left can hold");
}

bool wire_end_block(struct wire_reader *in, const struct wire_block *block)
{
	if (block->end && block->end != in->at)
		return wire_fail(in, "block that is not as long as it says");
	return true;
}

void *wire_items(struct wire_reader *in, void *items, size_t count, size_t *room, size_t more, size_t size)
{
	if (*room - count >= more)
		return items;
	*room = count + more > count * 2 ? count + more : count * 2;
	void *grown = arena_alloc(in->arena, *room * size); /* no overflow: room is below the body's bytes times two */
	if (count)
		memcpy(grown, items, count * size);
	return grown;
}

/* Comparing. */

bool wire_text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool wire_bytes_equal(struct event_bytes a, struct event_bytes b)
{
	return a.len == b.len && (!a.len || memcmp(a.data, b.data, a.len) == 0);
}
