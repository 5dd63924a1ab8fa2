#include "heap.h"

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_BITS 5
#define LARGEST_BITS  17
#define CHUNK_BYTES   (1 << 20)

/* In front of each piece. */
union head {
	union head *next; /* free: in its list */
	int64_t bits;     /* in use: it has 1 << bits bytes with its head; 0: malloc's */
};

static union head *lists[LARGEST_BITS + 1];
static uint8_t *chunk;
static size_t chunk_left;
static int64_t held, left = -1;

/* ---- failing ---- */

static bool fails(void)
{
	if (left < 0)
		return false;
	if (left == 0)
		return true;
	left--;
	return false;
}

void heap_fail_after(int64_t count)
{
	left = count;
}

/* glibc's own, under the names that it gives them for this. A sanitizer brings its own malloc, which is left alone. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
#endif

/* ---- SQLite's ---- */

static int bits_for(int size)
{
	unsigned bytes = (unsigned)size + (unsigned)sizeof(union head);
	int bits = 32 - __builtin_clz(bytes - 1);
	return bits < SMALLEST_BITS ? SMALLEST_BITS : bits;
}

int heap_round(int size)
{
	int bits = bits_for(size);
	return bits > LARGEST_BITS ? (size + 7) & ~7 : (1 << bits) - (int)sizeof(union head);
}

static union head *fresh(size_t bytes)
{
	if (chunk_left < bytes) { /* what is left of the old one is not worth keeping */
		chunk = malloc(CHUNK_BYTES);
		chunk_left = chunk ? CHUNK_BYTES : 0;
		held -= chunk_left ? CHUNK_BYTES : 0; /* it stays ours for ever */
	}
	if (!chunk_left)
		return NULL;
	union head *head = (union head *)(void *)chunk;
	chunk += bytes;
	chunk_left -= bytes;
	return head;
}

static union head *head_of(void *piece)
{
	return (union head *)piece - 1;
}

void *heap_get(int size)
{
	if (fails())
		return NULL;
	int bits = bits_for(size);
	if (bits > LARGEST_BITS) {
		union head *large = malloc((size_t)heap_round(size) + sizeof *large);
		if (large)
			large->bits = 0;
		return large ? large + 1 : NULL;
	}
	union head *head = lists[bits];
	if (head)
		lists[bits] = head->next;
	else
		head = fresh((size_t)1 << bits);
	if (!head)
		return NULL;
	head->bits = bits;
	held += 1 << bits;
	return head + 1;
}

void heap_put(void *piece)
{
	if (!piece)
		return;
	union head *head = head_of(piece);
	int64_t bits = head->bits;
	if (!bits) {
		free(head);
		return;
	}
	head->next = lists[bits];
	lists[bits] = head;
	held -= 1 << bits;
}

int heap_size(void *piece)
{
	if (!piece)
		return 0;
	const union head *head = head_of(piece);
	return head->bits ? (1 << head->bits) - (int)sizeof *head
	                  : (int)(malloc_usable_size(head_of(piece)) - sizeof *head);
}

void *heap_resize(void *old, int size)
{
	if (heap_size(old) >= size && size > heap_size(old) / 4)
		return old;
	void *piece = heap_get(size);
	if (!piece)
		return NULL;
	memcpy(piece, old, (size_t)(heap_size(old) < size ? heap_size(old) : size));
	heap_put(old);
	return piece;
}

int64_t heap_held(void)
{
	struct mallinfo2 info = mallinfo2();
	return held + (int64_t)info.uordblks + (int64_t)info.hblkhd;
}
