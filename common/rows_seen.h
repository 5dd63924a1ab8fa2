/* rows_seen: which keys may have been written. A filter of 512 bits a block, two bits a key: what is not in
 * it was never put into it. */
#ifndef TANDEM_ROWS_SEEN_H
#define TANDEM_ROWS_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rows_seen;

struct rows_seen *rows_seen_new(size_t bytes_max); /* a power of two of bytes, 1 MiB at most. The caller's: mem_free */
void rows_seen_add(struct rows_seen *seen, uint64_t hash);
bool rows_seen_has(const struct rows_seen *seen, uint64_t hash);

#endif
