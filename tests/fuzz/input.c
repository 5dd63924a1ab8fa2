#include "fuzz.h"

#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	dprintf(STDERR_FILENO, "%s:%d: does not hold: %s: ", file, line, condition); /* stderr may be turned away */
	vdprintf(STDERR_FILENO, format, args);
	dprintf(STDERR_FILENO, "\n");
	va_end(args);
	abort();
}

size_t fuzz_left(const struct fuzz_input *input)
{
	return (size_t)(input->end - input->at);
}

uint8_t fuzz_u8(struct fuzz_input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

uint32_t fuzz_be32(struct fuzz_input *input)
{
	uint32_t value = 0;
	for (int i = 0; i < 4; i++)
		value = value << 8 | fuzz_u8(input);
	return value;
}

uint64_t fuzz_be64(struct fuzz_input *input)
{
	uint64_t high = fuzz_be32(input);
	return high << 32 | fuzz_be32(input);
}

size_t fuzz_below(struct fuzz_input *input, size_t bound)
{
	return fuzz_u8(input) % bound;
}

static void **pieces;
static size_t piece_count, piece_room;

static uint8_t *take(struct fuzz_input *input, size_t want, size_t more, size_t *len)
{
	size_t have = fuzz_left(input);
	*len = want < have ? want : have;
	if (piece_count == piece_room) {
		piece_room = 2 * piece_room + 16;
		pieces = mem_realloc(pieces, piece_room * sizeof *pieces);
	}
	uint8_t *piece = mem_alloc(*len + more);
	pieces[piece_count++] = piece;
	if (*len)
		memcpy(piece, input->at, *len);
	input->at += *len;
	return piece;
}

const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t want, size_t *len)
{
	return take(input, want, 0, len);
}

const char *fuzz_text(struct fuzz_input *input, size_t want)
{
	size_t len;
	uint8_t *text = take(input, want, 1, &len);
	text[len] = 0;
	return (const char *)text;
}

void fuzz_forget(void)
{
	while (piece_count)
		mem_free(pieces[--piece_count]);
	mem_free(pieces);
	pieces = NULL;
	piece_room = 0;
}

const char *fuzz_file(const void *bytes, size_t len)
{
	static char path[64];
	static int file = -1;
	if (file < 0)
		file = memfd_create("fuzz", MFD_CLOEXEC);
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	FUZZ_MUST(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, bytes, len, 0) == (ssize_t)len, "no file");
	return path;
}
