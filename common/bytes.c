#include "bytes.h"

#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint8_t *buf_grow(struct buf *buf, size_t more)
{
	if (more > SIZE_MAX / 4)
		mem_out(more);
	if (buf->room - buf->len < more) {
		size_t room = buf->room * 2 > buf->len + more ? buf->room * 2 : buf->len + more;
		if (room < 64)
			room = 64;
		buf->data = mem_realloc(buf->data, room);
		buf->room = room;
	}
	return buf->data + buf->len;
}

void buf_put(struct buf *buf, const void *bytes, size_t len)
{
	if (!len)
		return;
	memcpy(buf_grow(buf, len), bytes, len);
	buf->len += len;
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
	*buf_grow(buf, 1) = value;
	buf->len++;
}

void buf_put_be32(struct buf *buf, uint32_t value)
{
	be32_put(buf_grow(buf, 4), value);
	buf->len += 4;
}

void buf_put_be64(struct buf *buf, uint64_t value)
{
	be64_put(buf_grow(buf, 8), value);
	buf->len += 8;
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
