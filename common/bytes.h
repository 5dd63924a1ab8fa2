/* bytes: a growing buffer, integers in network byte order, and where a UTF-8 character ends. One thread a buffer. */
#ifndef TANDEM_BYTES_H
#define TANDEM_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A growing buffer. Zero-initialise it; buf_fini frees. Never fails (see mem.h). Not thread-safe. */
struct buf {
	uint8_t *data; /* NULL while nothing was put */
	size_t len, room;
};

static inline uint8_t *buf_grow(struct buf *buf,
                                size_t more); /* room for more bytes behind len; returns where they go */
static inline void buf_put(struct buf *buf, const void *bytes, size_t len);
static inline void buf_put_u8(struct buf *buf, uint8_t value);
static inline void buf_put_be32(struct buf *buf, uint32_t value);
static inline void buf_put_be64(struct buf *buf, uint64_t value);
void buf_putf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3))); /* without the NUL */
const char *
buf_text(struct buf *buf);       /* NUL-terminated view (the NUL is not counted in len); valid until the next put */
void buf_reset(struct buf *buf); /* len 0, the memory is kept */
void buf_fini(struct buf *buf);

/* The number in decimal digits, without a NUL; returns how many, 20 at most. */
size_t decimal_put(char *out, uint64_t number);

/* How many bytes the UTF-8 character at the beginning takes (Unicode 15, table 3-7); 0: there is none, or NUL. left > 0. */
size_t utf8_bytes(const void *text, size_t left);

static inline void be32_put(uint8_t *out, uint32_t v)
{
	v = htobe32(v);
	memcpy(out, &v, sizeof v);
}

static inline void be64_put(uint8_t *out, uint64_t v)
{
	v = htobe64(v);
	memcpy(out, &v, sizeof v);
}

static inline uint32_t be32_get(const uint8_t *in)
{
	uint32_t v;
	memcpy(&v, in, sizeof v);
	return be32toh(v);
}

static inline uint64_t be64_get(const uint8_t *in)
{
	uint64_t v;
	memcpy(&v, in, sizeof v);
	return be64toh(v);
}

void buf_enlarge(struct buf *buf, size_t more); /* what buf_grow does where there is no room */

static inline uint8_t *buf_grow(struct buf *buf, size_t more)
{
	if (buf->room - buf->len < more)
		buf_enlarge(buf, more);
	return buf->data + buf->len;
}

static inline void buf_put(struct buf *buf, const void *bytes, size_t len)
{
	if (!len)
		return;
	memcpy(buf_grow(buf, len), bytes, len);
	buf->len += len;
}

static inline void buf_put_u8(struct buf *buf, uint8_t value)
{
	*buf_grow(buf, 1) = value;
	buf->len++;
}

static inline void buf_put_be32(struct buf *buf, uint32_t value)
{
	be32_put(buf_grow(buf, sizeof value), value);
	buf->len += sizeof value;
}

static inline void buf_put_be64(struct buf *buf, uint64_t value)
{
	be64_put(buf_grow(buf, sizeof value), value);
	buf->len += sizeof value;
}

#endif
