/* rows_pack: values of columns in few bytes, as rows are held: a kind and a length, and what there is of them. The same values are
 * the same bytes, and others are others; a number takes what it needs, text and blobs have a NUL behind them. */
#ifndef TANDEM_ROWS_PACK_H
#define TANDEM_ROWS_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "store.h"

/* Behind what the buffer holds. NULL, INT, TEXT and BLOB: the other kinds are in no table. */
void rows_pack(struct buf *out, const struct store_value *values, size_t count);

/* Text and blobs stay where they are packed. Returns what is behind them. */
const uint8_t *rows_unpack(const uint8_t *packed, struct store_value *values, size_t count);

#endif
