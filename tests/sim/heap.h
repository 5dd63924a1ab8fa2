/* heap: the simulator's memory. SQLite's pieces come from lists of our own, since opening and closing its files is most of
 * what a seed costs; how much is held can be asked, so that what is not given back is seen; and an allocation can fail. */
#ifndef TANDEM_SIM_HEAP_H
#define TANDEM_SIM_HEAP_H

#include <stdint.h>

/* SQLite's. NULL: there is none left. `old` may not be NULL. Aligned to 8. */
void *heap_get(int size);
void *heap_resize(void *old, int size);
void heap_put(void *piece);
int heap_size(void *piece); /* that may be used */
int heap_round(int size);   /* what one of this size would have */

/* Bytes held now: SQLite's pieces and malloc's. */
int64_t heap_held(void);

/* From now on so many allocations succeed (malloc, calloc, realloc, whoever calls them, SQLite's included), and then none. A
 * process that has none left ends: so this is for a child of the simulator's. -1: all succeed. */
void heap_fail_after(int64_t count);

#endif
