/* fuzz: what the targets in this folder have in common. A target is one file fuzz_X.c with LLVMFuzzerTestOneInput: it gives
 * any bytes to one reader of ours and says what must hold whatever they are. `make fuzz` links it with libFuzzer, `make
 * fuzz-corpus` with replay.c, which runs every file of tests/fuzz/corpus/X as an ordinary test. One thread. */
#ifndef TANDEM_TESTS_FUZZ_H
#define TANDEM_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, saying what does not hold, where it does not. */
#define FUZZ_MUST(condition, ...) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition, __VA_ARGS__))
_Noreturn void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- taking an input apart, from the front; what is no longer there reads as zeros ---- */

struct fuzz_input {
	const uint8_t *at, *end;
};

size_t fuzz_left(const struct fuzz_input *input);
uint8_t fuzz_u8(struct fuzz_input *input);
uint32_t fuzz_be32(struct fuzz_input *input);
uint64_t fuzz_be64(struct fuzz_input *input);
size_t fuzz_below(struct fuzz_input *input, size_t bound); /* by one byte; bound up to 256 */
/* At most want bytes, in memory of exactly that size, so that who reads behind it is seen. Lives until fuzz_forget. */
const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t want, size_t *len);
const char *fuzz_text(struct fuzz_input *input, size_t want); /* the same with a NUL behind; one within ends it */
void fuzz_forget(void);

/* A file with these bytes; the path is good until the next call. It lives in memory. */
const char *fuzz_file(const void *bytes, size_t len);

/* ---- how much is allocated (memory.c) ---- */

/* Counts what malloc gives, to whom ever: to us, avro-c, jansson, SQLite. Between begin and end one measurement is under way. */
void memory_begin(void);
size_t memory_end(void); /* the most bytes that were alive at a time, those from before not counted */

/* The promise: at most factor times the input, and base. */
#define FUZZ_WITHIN(what, peak, input, factor, base)                                                                   \
	FUZZ_MUST((peak) <= (size_t)(factor) * (input) + (size_t)(base), "%s: %zu bytes of input took %zu", (what),    \
	          (size_t)(input), (size_t)(peak))

#endif
