/* rows_impl: what the files of rows share: rows.c what handlers call, rows_table.c the tables and their statements, rows_entries.c
 * what is held, rows_read.c and rows_write.c what SQLite has of it. */
#ifndef TANDEM_ROWS_IMPL_H
#define TANDEM_ROWS_IMPL_H

#include "rows.h"

#include "bytes.h"
#include "mem.h"
#include "rows_pack.h"
#include "rows_seen.h"

struct column {
	enum store_kind kind; /* STORE_NULL: ANY */
	bool required;
};

/* Packed values. */
struct image {
	uint32_t size; /* of the bytes */
	uint8_t bytes[];
};

/* What is known of the row with a key. */
struct entry {
	struct image *row; /* all columns but the key's; NULL: there is none */
	uint16_t table;    /* in the list */
	bool stored : 1;   /* SQLite has a row with this key */
	bool dirty : 1;    /* and it is another than ours */
	bool listed : 1;   /* among those that may be dirty */
	bool again : 1;    /* looked for again since it came */
	bool ahead : 1;    /* nobody has looked for it yet */
	bool waits : 1;    /* dirty, and written later: it stays when others are forgotten */
	struct image key;
};

/* What is written next, in the order of the table. */
struct dirty {
	uint64_t order; /* the beginning of the key, in its order: most are told apart by it */
	struct entry *entry;
};

struct table {
	char name[STORE_NAME_ROOM];
	uint16_t at; /* in the service's list */
	struct column columns[ROWS_COLUMNS_MAX];
	size_t column_count, key_count;
	struct store_statement *get, *replace, *delete;
	struct image *last;           /* no key in SQLite is above it; NULL: there is none at all */
	struct entry *recent;         /* who was looked up last: a handler puts what it has just got */
	struct store_statement *from; /* rows from a key on, in order, so many */
	size_t ahead;                 /* how many are read at a time */
	size_t loads, ahead_read, ahead_used;
	struct store_statement *scan; /* keys below one, from the highest down */
	struct image *scanned;        /* keys from here on are held, or seen; NULL: none but those of `all` */
	bool all;                     /* there are no others */
	struct dirty *dirty;          /* every dirty entry, in the order in which they became it */
	size_t dirty_count, dirty_room;
};

/* A hash table with open addressing; a key that is not there is mostly known by the hashes alone. */
struct place {
	uint64_t hash;
	struct entry *entry; /* NULL: free */
};

struct change { /* what to go back to */
	struct entry *entry;
	struct image *row;
	bool dirty;
};

#define ROWS_PLACES_MIN    64
#define ROWS_SPARE_CLASSES 64 /* of 8 bytes each */

struct rows {
	struct store *store;
	struct table *tables;
	size_t table_count;
	uint64_t secrets[2];
	struct place *places; /* a power of two of them */
	size_t place_count, entry_count;
	size_t bytes, bytes_max; /* of all that is held: entries, images, places, what is dirty */
	size_t scan_keys;        /* at a time */
	struct arena memory;     /* of entries and images, until all are forgotten */
	uint8_t *piece;          /* of it: what is left of the last one */
	size_t piece_left;
	struct image *spare[ROWS_SPARE_CLASSES];
	struct rows_seen *seen; /* keys of rows that SQLite has and that were forgotten; NULL: none was */
	struct change *changes;
	size_t change_count, change_room;
	struct arena shown;  /* rows as they were asked for since the last keep or undo */
	struct buf key, row; /* being packed */
};

/* ---- rows_table.c ---- */

enum status rows_open_table(struct rows *rows, struct table *table, const char *ddl, struct err *err);
bool rows_fits(const struct column *column, const struct store_value *value);
/* The first columns of the row the statement stands at. What a damaged page gives is no number or text of ours, whatever the
 * table's declaration says: FATAL "corrupt". */
enum status rows_read_columns(const struct table *table, struct store_statement *s, size_t count,
                              struct store_value values[ROWS_COLUMNS_MAX], struct err *err);
/* A key that is kept with its table: allocated alone. */
void rows_set_key(const struct table *table, struct image **kept, const struct store_value *key);
int rows_compare(const struct table *table, const struct image *a, const struct image *b);

/* ---- rows_entries.c ---- */

void rows_add_places(struct rows *rows, size_t count);
/* The key, packed, is in rows->key until the next one is: what rows_hash, rows_find and rows_is_key are about. */
void rows_pack_key(struct rows *rows, const struct table *table, const struct store_value *key);
uint64_t rows_hash(const struct rows *rows, const struct table *table);
struct entry *rows_find(const struct rows *rows, const struct table *table, uint64_t hash);
struct entry *rows_add(struct rows *rows, const struct table *table, const void *key, size_t size, uint64_t hash);
/* A row's columns behind its key. */
struct image *rows_image(struct rows *rows, const struct table *table, const struct store_value *row);
struct image *rows_image_copy(struct rows *rows, const void *packed, size_t size);
void rows_image_free(struct rows *rows, struct image *image); /* NULL is fine */
bool rows_is_key(const struct rows *rows, const struct entry *entry);
void rows_values(const struct table *table, const struct entry *entry, struct store_value values[ROWS_COLUMNS_MAX]);

/* ---- rows_read.c ---- */

bool rows_beyond_last(const struct table *table, const struct image *key);
void rows_bind_key(struct store_statement *s, const struct table *table, const struct image *key);
enum status rows_load(struct rows *rows, struct table *table, struct entry *entry, uint64_t hash, struct err *err);
/* More keys that SQLite has are in the filter. */
enum status rows_scan(struct rows *rows, struct table *table, struct err *err);

/* ---- rows_write.c ---- */

void rows_set_dirty(struct rows *rows, struct entry *entry);
/* What changes again and again is not written, up to so many bytes of it. */
enum status rows_write(struct rows *rows, size_t room, struct err *err);
enum status rows_forget(struct rows *rows, struct err *err);

#endif
