#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 262144

enum status input_open(struct input *input, const char *path, struct err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct stat found;
	*input = (struct input){.name = is_stdin ? "stdin" : path, .fd = STDIN_FILENO};
	if (!is_stdin)
		input->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (input->fd < 0)
		return err_set(err, REJECT, "input", "%s: %s", path, strerror(errno));
	if (fstat(input->fd, &found) == 0 && S_ISDIR(found.st_mode)) {
		input_close(input);
		return err_set(err, REJECT, "input", "%s: found a folder, expected a file", path);
	}
	input->stream = is_stdin || !S_ISREG(found.st_mode);
	return OK;
}

void input_close(struct input *input)
{
	if (input->fd > STDIN_FILENO)
		close(input->fd);
	buf_fini(&input->buf);
	*input = (struct input){.fd = -1};
}

/* Moves what is left to the front. */
static void compact(struct input *input)
{
	size_t left = input->buf.len - input->at;
	if (input->at && left)
		memmove(input->buf.data, input->buf.data + input->at, left);
	input->buf.len = left;
	input->at = 0;
}

enum input_result input_fill(struct input *input, int timeout_ms, struct err *err)
{
	if (input->last)
		return INPUT_END;
	compact(input);
	if (input->stream) {
		struct pollfd wait = {.fd = input->fd, .events = POLLIN};
		int ready = poll(&wait, 1, timeout_ms);
		if (ready == 0 || (ready < 0 && errno == EINTR))
			return INPUT_NONE;
	}
	uint8_t *to = buf_grow(&input->buf, READ_BYTES + 1); /* and a NUL for input_line */
	ssize_t got = read(input->fd, to, READ_BYTES);
	if (got < 0 && errno == EINTR)
		return INPUT_NONE;
	if (got < 0) {
		err_set(err, REJECT, "input", "%s: %s", input->name, strerror(errno));
		return INPUT_FAILED;
	}
	input->buf.len += (size_t)got;
	input->last = got == 0;
	return got ? INPUT_SOME : INPUT_END;
}

/* Gives the len bytes at the buffer's beginning as a line; skip: its line end. */
static enum input_result give(struct input *input, size_t len, size_t skip, const char **line, size_t *line_len)
{
	uint8_t *text = input->buf.data + input->at;
	input->at += len + skip;
	input->line++;
	if (len && text[len - 1] == '\r')
		len--;
	text[len] = 0;
	*line = (const char *)text;
	*line_len = len;
	return INPUT_SOME;
}

enum input_result input_line(struct input *input, int timeout_ms, const char **line, size_t *len, struct err *err)
{
	size_t looked = 0;
	for (;;) {
		size_t left;
		const char *bytes = input_bytes(input, &left);
		const char *end = left > looked ? memchr(bytes + looked, '\n', left - looked) : NULL;
		if (end)
			return give(input, (size_t)(end - bytes), 1, line, len);
		if (left > INPUT_MAX_BYTES) {
			err_set(err, REJECT, "input", "%s:%lld: found a line longer than 4 MiB", input->name,
			        (long long)input->line + 1);
			return INPUT_FAILED;
		}
		looked = left;
		enum input_result result = input_fill(input, timeout_ms, err);
		if (result == INPUT_END && left)
			return give(input, left, 0, line, len);
		if (result != INPUT_SOME)
			return result;
	}
}
