#include "rows_impl.h"

#include <stdlib.h>
#include <string.h>

#define SEEN_SHARE     3   /* the filter takes a third of what is held, beside it */
#define PLACES_SHARE   4   /* and the places begin with a quarter of it at most */
#define STATEMENT_ROWS 256 /* SQLite keeps a copy of each page that one statement has changed */

/* Two keys whose orders differ are in this order. */
static uint64_t order_of(const struct entry *entry)
{
	struct store_value key;
	uint8_t bytes[8] = {0};
	rows_unpack(entry->key.bytes, &key, 1);
	uint64_t order = (uint64_t)key.number ^ UINT64_C(1) << 63;
	if (key.kind != STORE_INT) {
		if (key.len)
			memcpy(bytes, key.bytes, key.len < sizeof bytes ? key.len : sizeof bytes);
		order = be64_get(bytes);
	}
	return (uint64_t)key.kind << 61 | order >> 3;
}

void rows_set_dirty(struct rows *rows, struct entry *entry)
{
	struct table *table = &rows->tables[entry->table];
	entry->dirty = true;
	if (entry->listed)
		return;
	entry->listed = true;
	if (table->dirty_count == table->dirty_room) {
		table->dirty_room = table->dirty_room ? 2 * table->dirty_room : 64;
		table->dirty = mem_realloc(table->dirty, table->dirty_room * sizeof *table->dirty);
	}
	rows->bytes += sizeof *table->dirty;
	table->dirty[table->dirty_count++] = (struct dirty){order_of(entry), entry};
}

static int by_key(const void *a, const void *b, void *table)
{
	const struct dirty *x = a, *y = b;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return rows_compare(table, &x->entry->key, &y->entry->key);
}

/* Of what was written of a table the highest key; its row may be deleted: it is a bound. */
static void raise_last(struct table *table, const struct entry *highest)
{
	struct store_value key[ROWS_KEY_COLUMNS_MAX];
	if (!highest || !rows_beyond_last(table, &highest->key))
		return;
	rows_unpack(highest->key.bytes, key, table->key_count);
	rows_set_key(table, &table->last, key);
}

/* Dirty entries of one table, by key. */
struct run {
	const struct table *table;
	const struct dirty *at, *end;
	size_t left; /* rows of this statement */
	struct store_value values[ROWS_COLUMNS_MAX];
};

/* The next row: a feed of REPLACE. */
static const struct store_value *next_row(void *arg)
{
	struct run *run = arg;
	for (; run->at < run->end && run->left; run->at++) {
		struct entry *entry = run->at->entry;
		if (!entry->dirty || entry->waits || !entry->row)
			continue;
		run->left--;
		run->at++;
		entry->dirty = false;
		entry->stored = true;
		rows_values(run->table, entry, run->values);
		return run->values;
	}
	return NULL;
}

static enum status write_rows(const struct table *table, struct err *err)
{
	struct run run = {.table = table, .at = table->dirty, .end = table->dirty + table->dirty_count};
	enum status status = OK;
	while (run.at < run.end && status == OK) {
		run.left = STATEMENT_ROWS;
		status = store_run_fed(table->replace, next_row, &run, err);
	}
	return status;
}

static enum status delete_row(const struct table *table, struct entry *entry, struct err *err)
{
	entry->dirty = false;
	if (!entry->stored)
		return OK;
	entry->stored = false;
	rows_bind_key(table->delete, table, &entry->key);
	return store_run(table->delete, err);
}

/* What changes again and again is not written each time that others are forgotten. room: for such, in bytes, with a place and a line
 * of the list for each. */
static bool may_wait(const struct entry *entry, size_t *room)
{
	if (!entry->again || !entry->stored || !entry->row)
		return false;
	size_t size = sizeof *entry + entry->key.size + sizeof *entry->row + entry->row->size +
	              2 * sizeof(struct place) + sizeof(struct dirty);
	if (size > *room)
		return false;
	*room -= size;
	return true;
}

static enum status write_table(struct rows *rows, struct table *table, size_t *room, struct err *err)
{
	const struct dirty *end = table->dirty + table->dirty_count;
	const struct entry *highest = NULL;
	qsort_r(table->dirty, table->dirty_count, sizeof *table->dirty, by_key, table);
	for (const struct dirty *at = table->dirty; at < end; at++) {
		struct entry *entry = at->entry;
		entry->listed = false;
		if (!entry->dirty) /* what made it so was undone */
			continue;
		highest = entry;
		entry->waits = may_wait(entry, room);
	}
	enum status status = write_rows(table, err);
	for (const struct dirty *at = table->dirty; at < end && status == OK; at++)
		if (at->entry->dirty && !at->entry->row)
			status = delete_row(table, at->entry, err);
	if (status != OK)
		return status;
	rows->bytes -= table->dirty_count * sizeof *table->dirty;
	table->dirty_count = 0;
	raise_last(table, highest);
	return OK;
}

/* Into the memory that is used from now on. */
static void keep_entry(struct rows *rows, const struct entry *old, uint64_t hash)
{
	struct entry *entry = rows_add(rows, &rows->tables[old->table], old->key.bytes, old->key.size, hash);
	entry->stored = true;
	entry->row = rows_image_copy(rows, old->row->bytes, old->row->size);
	if (old->dirty)
		rows_set_dirty(rows, entry);
}

/* Nothing is dirty but what waits. What was looked for more than once stays, up to half of what may be held; the rest is forgotten. */
enum status rows_forget(struct rows *rows, struct err *err)
{
	enum status status = OK;
	struct place *old = rows->places;
	struct arena memory = rows->memory;
	if (!rows->seen)
		rows->seen = rows_seen_new(rows->bytes_max / SEEN_SHARE);
	const size_t old_count = rows->place_count;
	size_t count = old_count;
	while (count > ROWS_PLACES_MIN && count * sizeof *old > rows->bytes_max / PLACES_SHARE)
		count /= 2;
	rows->memory = (struct arena){0};
	memset(rows->spare, 0, sizeof rows->spare);
	rows->piece_left = rows->entry_count = rows->bytes = 0;
	rows->places = NULL;
	rows->place_count = 0;
	rows_add_places(rows, count);
	for (size_t i = 0; i < old_count; i++) {
		const struct entry *entry = old[i].entry;
		if (!entry || !entry->stored)
			continue;
		if (entry->dirty || (entry->again && entry->row && rows->bytes < rows->bytes_max / 2))
			keep_entry(rows, entry, old[i].hash);
		else
			rows_seen_add(rows->seen, old[i].hash);
	}
	mem_free(old);
	arena_fini(&memory);
	for (size_t i = 0; i < rows->table_count && status == OK; i++) {
		rows->tables[i].recent = NULL;
		if (!rows->tables[i].all)
			status = rows_scan(rows, &rows->tables[i], err);
	}
	return status;
}

enum status rows_write(struct rows *rows, size_t room, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < rows->table_count && status == OK; i++)
		if (rows->tables[i].dirty_count)
			status = write_table(rows, &rows->tables[i], &room, err);
	return status;
}
