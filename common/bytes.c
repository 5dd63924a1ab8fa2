#include "bytes.h"

#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_enlarge(struct buf *buf, size_t more)
{
	if (more > SIZE_MAX / 4)
		mem_out(more);
	size_t room = buf->room * 2 > buf->len + more ? buf->room * 2 : buf->len + more;
	if (room < 256) /* most events and keys fit: one allocation */
		room = 256;
	buf->data = mem_realloc(buf->data, room);
	buf->room = room;
}

void buf_putf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len <= 0)
		return;
	va_start(args, format);
	vsnprintf((char *)buf_grow(buf, (size_t)len + 1), (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
}

const char *buf_text(struct buf *buf)
{
	*buf_grow(buf, 1) = 0;
	return (const char *)buf->data;
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
}

void buf_fini(struct buf *buf)
{
	mem_free(buf->data);
	*buf = (struct buf){0};
}

size_t decimal_put(char *out, uint64_t number)
{
	char digits[20];
	size_t count = 0;
	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	for (size_t i = 0; i < count; i++)
		out[i] = digits[count - 1 - i];
	return count;
}

size_t utf8_bytes(const void *text, size_t left)
{
	const uint8_t *at = text;
	uint8_t low = 0x80, high = 0xbf;
	size_t len;
	if (*at >= 0x01 && *at <= 0x7f)
		return 1;
	if (*at >= 0xc2 && *at <= 0xdf) {
		len = 2;
	} else if (*at >= 0xe0 && *at <= 0xef) {
		len = 3;
		low = *at == 0xe0 ? 0xa0 : 0x80;  /* overlong */
		high = *at == 0xed ? 0x9f : 0xbf; /* surrogates */
	} else if (*at >= 0xf0 && *at <= 0xf4) {
		len = 4;
		low = *at == 0xf0 ? 0x90 : 0x80;
		high = *at == 0xf4 ? 0x8f : 0xbf; /* above U+10FFFF */
	} else {
		return 0;
	}
	if (left < len || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return len;
}
