#include "names.h"

#include "publish.h"

#include <string.h>

static uint32_t *slot_of(const struct names *names, const char *text)
{
	size_t at = publish_hash(0, text) & (names->slot_count - 1);
	while (names->slots[at] && strcmp(names->texts[names->slots[at] - 1], text) != 0)
		at = (at + 1) & (names->slot_count - 1);
	return &names->slots[at];
}

static void grow(struct names *names)
{
	names->room = names->room ? 2 * names->room : 1024;
	names->texts = mem_realloc(names->texts, names->room * sizeof *names->texts);
	mem_free(names->slots);
	names->slot_count = 2 * names->room;
	names->slots = mem_zalloc(names->slot_count, sizeof *names->slots);
	for (size_t i = 0; i < names->count; i++)
		*slot_of(names, names->texts[i]) = (uint32_t)i + 1;
}

uint32_t names_add(struct names *names, const char *text)
{
	if (names->count == names->room)
		grow(names);
	uint32_t *slot = slot_of(names, text);
	if (!*slot) {
		names->texts[names->count] = arena_copy(&names->arena, text, strlen(text));
		*slot = (uint32_t)++names->count;
	}
	return *slot - 1;
}

void names_fini(struct names *names)
{
	mem_free(names->texts);
	mem_free(names->slots);
	arena_fini(&names->arena);
	*names = (struct names){0};
}
