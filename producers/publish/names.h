/* names: texts to dense numbers, in the order they were first seen. */
#ifndef TANDEM_PUBLISH_NAMES_H
#define TANDEM_PUBLISH_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "mem.h"

/* Zero-initialise; names_fini. */
struct names {
	const char **texts; /* by number; owned */
	size_t count, room;
	uint32_t *slots;   /* number + 1, 0: free */
	size_t slot_count; /* a power of two, at least twice count */
	struct arena arena;
};

uint32_t names_add(struct names *names, const char *text); /* its number, new or old */
void names_fini(struct names *names);

#endif
