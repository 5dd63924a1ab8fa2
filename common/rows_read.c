#include "rows_impl.h"

#include "rows_seen.h"

#define AHEAD_MAX    32  /* rows read for one that is wanted: those behind it in its table are often wanted next */
#define AHEAD_WINDOW 512 /* of rows that were read ahead it is judged how many were wanted */
#define AHEAD_TRY    16  /* where none is read ahead, one is with every so many */
#define AHEAD_SHARE  128 /* and so much of the rows that are held at most */

/* Every key that SQLite has is held, or seen, or below what was scanned: a random key that is new costs no search either. */
static bool never_written(const struct rows *rows, const struct table *table, const struct entry *entry, uint64_t hash)
{
	if (!table->all && !(table->scanned && rows_compare(table, &entry->key, table->scanned) >= 0))
		return false;
	return !rows->seen || !rows_seen_has(rows->seen, hash);
}

bool rows_beyond_last(const struct table *table, const struct image *key)
{
	return !table->last || rows_compare(table, key, table->last) > 0;
}

void rows_bind_key(struct store_statement *s, const struct table *table, const struct image *key)
{
	struct store_value values[ROWS_KEY_COLUMNS_MAX];
	rows_unpack(key->bytes, values, table->key_count);
	for (size_t i = 0; i < table->key_count; i++)
		store_value_bind(s, (int)i + 1, &values[i]);
}

static enum status load_one(struct rows *rows, const struct table *table, struct entry *entry, struct err *err)
{
	struct store_value values[ROWS_COLUMNS_MAX];
	bool stored;
	rows_bind_key(table->get, table, &entry->key);
	enum status status = store_step(table->get, &stored, err);
	if (status == OK && stored)
		status = rows_read_columns(table, table->get, table->column_count, values, err);
	entry->stored = status == OK && stored;
	if (entry->stored)
		entry->row = rows_image(rows, table, values);
	store_done(table->get);
	return status;
}

/* What is held already is newer, or the same. A row that is damaged is left to whoever looks for it. */
static void take_ahead(struct rows *rows, struct table *table)
{
	struct store_value values[ROWS_COLUMNS_MAX];
	if (rows_read_columns(table, table->from, table->key_count, values, NULL) != OK)
		return;
	rows_pack_key(rows, table, values);
	uint64_t hash = rows_hash(rows, table);
	if (rows_find(rows, table, hash))
		return;
	if (rows_read_columns(table, table->from, table->column_count, values, NULL) != OK)
		return;
	struct entry *entry = rows_add(rows, table, rows->key.data, rows->key.len, hash);
	entry->row = rows_image(rows, table, values);
	entry->stored = entry->ahead = true;
	table->ahead_read++;
}

/* The row that is wanted, where there is one, and those behind it. */
static enum status load_from(struct rows *rows, struct table *table, struct entry *entry, size_t count, struct err *err)
{
	struct store_statement *s = table->from;
	struct store_value values[ROWS_COLUMNS_MAX];
	size_t bytes_max = rows->bytes + rows->bytes_max / AHEAD_SHARE;
	enum status status = OK;
	bool row = true;
	rows_bind_key(s, table, &entry->key);
	store_bind_int(s, (int)table->key_count + 1, (int64_t)count);
	for (size_t i = 0; status == OK && row && i < count && rows->bytes < bytes_max; i++) {
		status = store_step(s, &row, err);
		if (status != OK || !row)
			break;
		if (i > 0) {
			take_ahead(rows, table);
			continue;
		}
		status = rows_read_columns(table, s, table->column_count, values, err);
		if (status != OK)
			break;
		rows_pack_key(rows, table, values);
		entry->stored = rows_is_key(rows, entry);
		if (entry->stored)
			entry->row = rows_image(rows, table, values);
	}
	store_done(s);
	return status;
}

/* To read a row ahead costs a fifth of what it costs to look for it. */
static size_t rows_to_read(struct table *table)
{
	if (table->ahead_read >= AHEAD_WINDOW) {
		if (table->ahead_used >= table->ahead_read / 2 && table->ahead < AHEAD_MAX)
			table->ahead *= 2;
		else if (table->ahead_used < table->ahead_read / 4 && table->ahead > 1)
			table->ahead /= 2;
		table->ahead_read = table->ahead_used = 0;
	}
	return table->ahead > 1 || table->loads++ % AHEAD_TRY ? table->ahead : 2;
}

enum status rows_load(struct rows *rows, struct table *table, struct entry *entry, uint64_t hash, struct err *err)
{
	if (rows_beyond_last(table, &entry->key) || never_written(rows, table, entry, hash))
		return OK;
	size_t count = rows_to_read(table);
	return count > 1 ? load_from(rows, table, entry, count, err) : load_one(rows, table, entry, err);
}

static void see(struct rows *rows, const struct table *table, const struct store_value *key)
{
	rows_pack_key(rows, table, key);
	rows_seen_add(rows->seen, rows_hash(rows, table));
}

enum status rows_scan(struct rows *rows, struct table *table, struct err *err)
{
	struct store_statement *s = table->scan;
	struct store_value key[ROWS_COLUMNS_MAX];
	if (!table->scanned) { /* the scan goes on below it */
		rows_unpack(table->last->bytes, key, table->key_count);
		rows_set_key(table, &table->scanned, key);
		see(rows, table, key);
	}
	rows_bind_key(s, table, table->scanned);
	store_bind_int(s, (int)table->key_count + 1, (int64_t)rows->scan_keys);
	for (size_t count = 1;; count++) {
		bool row;
		enum status status = store_step(s, &row, err);
		if (status == OK && row)
			status = rows_read_columns(table, s, table->key_count, key, err);
		if (status != OK)
			return status;
		table->all = !row;
		if (!row)
			return OK;
		see(rows, table, key);
		if (count == rows->scan_keys) {
			rows_set_key(table, &table->scanned, key);
			store_done(s);
			return OK;
		}
	}
}
