#include "mem.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With its head: an allocator's own size, where a little more is rounded up to the next. */
#define ARENA_BLOCK_BYTES 65536

void mem_out(size_t size)
{
	char text[80];
	int len = snprintf(text, sizeof text, "tandem: out of memory (%zu bytes wanted)\n", size);
	if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
		_exit(1);
	_exit(1);
}

void *mem_alloc(size_t size)
{
	void *memory = malloc(size ? size : 1);
	if (!memory)
		mem_out(size);
	return memory;
}

void *mem_zalloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);
	if (!memory)
		mem_out(count * size);
	return memory;
}

void *mem_realloc(void *old, size_t size)
{
	void *memory = realloc(old, size ? size : 1);
	if (!memory)
		mem_out(size);
	return memory;
}

char *mem_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	return memcpy(mem_alloc(size), text, size);
}

static size_t format_len(const char *format, va_list args)
{
	int len = vsnprintf(NULL, 0, format, args);
	return len < 0 ? 0 : (size_t)len;
}

char *mem_format(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	size_t len = format_len(format, args);
	va_end(args);
	char *text = mem_alloc(len + 1);
	va_start(args, format);
	vsnprintf(text, len + 1, format, args);
	va_end(args);
	return text;
}

void mem_free(void *memory)
{
	free(memory);
}

struct arena_block {
	struct arena_block *next;
	size_t used, room;
	alignas(max_align_t) unsigned char data[];
};

#define ARENA_ROOM (ARENA_BLOCK_BYTES - sizeof(struct arena_block))

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);
	if (size > SIZE_MAX / 2)
		mem_out(size);
	size = (size + align - 1) / align * align;
	struct arena_block *block = arena->block;
	if (!block || block->room - block->used < size) {
		size_t room = size > ARENA_ROOM ? size : ARENA_ROOM;
		block = mem_alloc(sizeof *block + room);
		*block = (struct arena_block){.room = room};
		if (arena->block)
			arena->block->next = block;
		else
			arena->first = block;
		arena->block = block;
	}
	void *piece = block->data + block->used;
	block->used += size;
	return piece;
}

char *arena_copy(struct arena *arena, const void *bytes, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);
	if (len)
		memcpy(copy, bytes, len);
	copy[len] = 0;
	return copy;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	size_t len = format_len(format, args);
	va_end(args);
	char *text = arena_alloc(arena, len + 1);
	va_start(args, format);
	vsnprintf(text, len + 1, format, args);
	va_end(args);
	return text;
}

size_t arena_used(const struct arena *arena)
{
	size_t used = 0;
	for (const struct arena_block *block = arena->first; block; block = block->next)
		used += block->used;
	return used;
}

static void blocks_free(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;
		mem_free(block);
		block = next;
	}
}

void arena_reset(struct arena *arena)
{
	struct arena_block *first = arena->first;
	if (!first)
		return;
	if (first->room > ARENA_ROOM) {
		arena_fini(arena);
		return;
	}
	blocks_free(first->next);
	first->next = NULL;
	first->used = 0;
	arena->block = first;
}

void arena_fini(struct arena *arena)
{
	blocks_free(arena->first);
	*arena = (struct arena){0};
}
