/* rows: a service's tables as its handlers see them, a row at a time by its whole key, in front of a task's store.
 *
 * What a handler writes stays in memory until it is flushed: at COMMIT, when somebody looks at the tables, or when it has become
 * too much. So a row that changes ten times between two commits is written once, in the order of its table, and what a rejected
 * event did is undone without SQLite. What was read or written lately is kept, up to a bound, and read again from there.
 *
 * A table's key are its first columns, which are its PRIMARY KEY. A row is an array of its columns' values, in their order.
 * One task, one thread. Errors are the store's; after RETRY or FATAL the task is spent, and its rows with it. */
#ifndef TANDEM_ROWS_H
#define TANDEM_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "store.h"

struct rows;

#define ROWS_KEY_COLUMNS_MAX 8
#define ROWS_COLUMNS_MAX     64

/* The tables must be there. FATAL "ddl": one whose key is not its first columns. The store outlives the rows. *out is the
 * caller's, whatever is returned. bytes_max: what is kept between two commits, and at most held within one; 0: 3 MiB. A
 * third of it comes on top, for a filter of keys. */
enum status rows_open(struct store *store, const char *const *tables, size_t count, size_t bytes_max, struct rows **out,
                      struct err *err);
void rows_close(struct rows *rows); /* what is not flushed is gone. NULL is fine */

/* *row: the row with this key, all its columns, until the next rows_keep or rows_undo; NULL: there is none. */
enum status rows_get(struct rows *rows, size_t table, const struct store_value *key, const struct store_value **row,
                     struct err *err);
/* In place of the row with its key, or as a new one. Copied. FATAL "handler": a value that the column cannot hold. */
enum status rows_put(struct rows *rows, size_t table, const struct store_value *row, struct err *err);
enum status rows_delete(struct rows *rows, size_t table, const struct store_value *key, struct err *err);

/* Since the last of these two: it counts, or never was. Keeping may flush, where too much is held. */
enum status rows_keep(struct rows *rows, struct err *err);
void rows_undo(struct rows *rows);

/* Everything is in the tables, in the store's open transaction. */
enum status rows_flush(struct rows *rows, struct err *err);

#endif
