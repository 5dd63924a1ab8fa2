#include "rows_pack.h"

#include <string.h>

/* A value begins with its kind and, in the other five bits, its length. */
#define LEN_BITS 5
#define LEN_LONG ((1U << LEN_BITS) - 1) /* four bytes have it */

/* 0, 1, 2, 4 or 8 bytes. */
static uint8_t number_len(int64_t number)
{
	if (number == 0)
		return 0;
	if (number == (int8_t)number)
		return 1;
	if (number == (int16_t)number)
		return 2;
	return number == (int32_t)number ? 4 : 8;
}

static uint8_t *put_number(uint8_t *at, int64_t number)
{
	uint8_t len = number_len(number);
	uint8_t bytes[8];
	be64_put(bytes, (uint64_t)number);
	*at++ = (uint8_t)(STORE_INT << LEN_BITS | len);
	memcpy(at, bytes + sizeof bytes - len, len);
	return at + len;
}

static int64_t get_number(const uint8_t *at, size_t len)
{
	switch (len) {
	case 0:
		return 0;
	case 1:
		return (int8_t)*at;
	case 2:
		return (int16_t)(at[0] << 8 | at[1]);
	case 4:
		return (int32_t)be32_get(at);
	default:
		return (int64_t)be64_get(at);
	}
}

static bool has_bytes(const struct store_value *value)
{
	return value->kind != STORE_INT && value->kind != STORE_NULL;
}

static uint8_t *put_bytes(uint8_t *at, const struct store_value *value)
{
	if (value->len < LEN_LONG) {
		*at++ = (uint8_t)(value->kind << LEN_BITS | value->len);
	} else {
		*at++ = (uint8_t)(value->kind << LEN_BITS | LEN_LONG);
		be32_put(at, value->len);
		at += sizeof(uint32_t);
	}
	if (value->len)
		memcpy(at, value->bytes, value->len);
	at += value->len;
	*at++ = 0;
	return at;
}

void rows_pack(struct buf *out, const struct store_value *values, size_t count)
{
	size_t most = 9 * count + 1;
	for (size_t i = 0; i < count; i++)
		most += has_bytes(&values[i]) ? values[i].len : 0;
	uint8_t *at = buf_grow(out, most);
	for (size_t i = 0; i < count; i++)
		if (has_bytes(&values[i]))
			at = put_bytes(at, &values[i]);
		else if (values[i].kind == STORE_INT)
			at = put_number(at, values[i].number);
		else
			*at++ = STORE_NULL << LEN_BITS;
	out->len = (size_t)(at - out->data);
}

const uint8_t *rows_unpack(const uint8_t *packed, struct store_value *values, size_t count)
{
	const uint8_t *at = packed;
	for (struct store_value *value = values; value < values + count; value++) {
		*value = (struct store_value){.kind = (enum store_kind)(*at >> LEN_BITS)};
		uint32_t len = *at++ & LEN_LONG;
		if (value->kind == STORE_INT) {
			value->number = get_number(at, len);
			at += len;
		} else if (value->kind != STORE_NULL) {
			if (len == LEN_LONG) {
				len = be32_get(at);
				at += sizeof len;
			}
			value->len = len;
			value->bytes = at;
			at += len + 1;
		}
	}
	return at;
}
