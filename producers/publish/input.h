/* input: a file or a stream, by lines or as bytes, through one buffer that never grows beyond INPUT_MAX_BYTES. */
#ifndef TANDEM_PUBLISH_INPUT_H
#define TANDEM_PUBLISH_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "err.h"

#define INPUT_MAX_BYTES (4 << 20) /* the longest line */

struct input {
	const char *name; /* "-" is shown as "stdin" */
	int fd;
	bool stream; /* stdin, a pipe: cannot be read twice */
	bool last;   /* nothing follows what is in the buffer */
	struct buf buf;
	size_t at;    /* bytes before it are used */
	int64_t line; /* the line that was given last, from 1 */
};

enum input_result { INPUT_SOME, INPUT_NONE, INPUT_END, INPUT_FAILED };

/* path "-": stdin. REJECT: cannot be opened. Borrows path. */
enum status input_open(struct input *input, const char *path, struct err *err);
void input_close(struct input *input);

/* The next line without its end, NUL-terminated, valid until the next call. INPUT_NONE: none is there within timeout_ms
 * (-1: waits, but ends at a signal), which only a stream does. INPUT_FAILED: err. */
enum input_result input_line(struct input *input, int timeout_ms, const char **line, size_t *len, struct err *err);

/* Reads more behind what is in the buffer. As above. */
enum input_result input_fill(struct input *input, int timeout_ms, struct err *err);

static inline const char *input_bytes(const struct input *input, size_t *len)
{
	*len = input->buf.len - input->at;
	return input->buf.data ? (const char *)input->buf.data + input->at : ""; /* nothing was read yet */
}

static inline void input_use(struct input *input, size_t len)
{
	input->at += len;
}

#endif
