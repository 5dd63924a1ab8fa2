/* mem: memory that is there or the process ends. Nothing in Tandem handles a failed allocation: what was not committed is
 * folded again. Every allocation of ours goes through here, and out of memory ends in one function. Thread-safe. */
#ifndef TANDEM_MEM_H
#define TANDEM_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Never NULL (size 0 counts as 1). The caller owns it: mem_free. */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t count, size_t size); /* zeroed; count * size is checked for overflow */
void *mem_realloc(void *old, size_t size);   /* old may be NULL; contents kept */
char *mem_strdup(const char *text);
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *memory); /* NULL is fine */

/* Says so on stderr and ends the process (exit status 1, without destructors). */
_Noreturn void mem_out(size_t size);

/* An arena: many small pieces that live and die together. Not thread-safe. Zero-initialise it, then use it. */
struct arena {
	struct arena_block *first, *block; /* block: the one being filled */
};

void *arena_alloc(struct arena *arena, size_t size); /* never NULL, aligned for anything, lives until reset or fini */
char *arena_copy(struct arena *arena, const void *bytes, size_t len); /* and a NUL behind it */
char *arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *arena); /* bytes handed out since the last reset, each piece rounded up */
void arena_reset(struct arena *arena);        /* all pieces are gone; keeps at most one block of 64 KiB */
void arena_fini(struct arena *arena);

#endif
