#include "rows_impl.h"

#include "hash.h"

#include <string.h>

#define ROWS_BYTES_MAX (3 << 20)
#define SCAN_BYTES                                                                                                     \
	192 /* of what is held: a key of a table that was not empty is read each time that all is forgotten */

enum status rows_open(struct store *store, const char *const *tables, size_t count, size_t bytes_max, struct rows **out,
                      struct err *err)
{
	struct rows *rows = mem_zalloc(1, sizeof *rows);
	enum status status = OK;
	rows->store = store;
	hash_random(rows->secrets, sizeof rows->secrets);
	rows->bytes_max = bytes_max ? bytes_max : ROWS_BYTES_MAX;
	rows->scan_keys = rows->bytes_max / SCAN_BYTES + 1;
	rows->table_count = count;
	rows->tables = mem_zalloc(count, sizeof *rows->tables);
	rows_add_places(rows, ROWS_PLACES_MIN);
	for (size_t i = 0; i < count && status == OK; i++) {
		rows->tables[i].at = (uint16_t)i;
		status = rows_open_table(rows, &rows->tables[i], tables[i], err);
	}
	*out = rows;
	return status;
}

void rows_close(struct rows *rows)
{
	if (!rows)
		return;
	for (size_t i = 0; i < rows->table_count; i++) {
		mem_free(rows->tables[i].dirty);
		mem_free(rows->tables[i].last);
		mem_free(rows->tables[i].scanned);
	}
	mem_free(rows->seen);
	arena_fini(&rows->memory);
	arena_fini(&rows->shown);
	buf_fini(&rows->key);
	buf_fini(&rows->row);
	mem_free(rows->changes);
	mem_free(rows->places);
	mem_free(rows->tables);
	mem_free(rows);
}

static enum status look_up(struct rows *rows, struct table *table, const struct store_value *key, struct entry **out,
                           struct err *err)
{
	for (size_t i = 0; i < table->key_count; i++)
		if (!rows_fits(&table->columns[i], &key[i]))
			return err_set(
				err, FATAL, "handler",
				"a key of table %s has another type than its column %zu: a fault of this program;"
				" run one without it",
				table->name, i + 1);
	rows_pack_key(rows, table, key);
	if (table->recent && rows_is_key(rows, table->recent)) {
		*out = table->recent;
		return OK;
	}
	enum status status = OK;
	uint64_t hash = rows_hash(rows, table);
	*out = rows_find(rows, table, hash);
	if (*out) {
		table->ahead_used += (*out)->ahead;
		(*out)->again = !(*out)->ahead;
		(*out)->ahead = false;
	} else {
		*out = rows_add(rows, table, rows->key.data, rows->key.len, hash);
		status = rows_load(rows, table, *out, hash, err);
	}
	table->recent = *out;
	return status;
}

enum status rows_get(struct rows *rows, size_t at, const struct store_value *key, const struct store_value **row,
                     struct err *err)
{
	struct table *table = &rows->tables[at];
	struct entry *entry;
	enum status status = look_up(rows, table, key, &entry, err);
	*row = NULL;
	if (status != OK || !entry->row)
		return status;
	struct store_value *values = arena_alloc(&rows->shown, table->column_count * sizeof *values);
	rows_values(table, entry, values);
	*row = values;
	return OK;
}

static void change(struct rows *rows, struct entry *entry, struct image *row)
{
	if (rows->change_count == rows->change_room) {
		rows->change_room = rows->change_room ? 2 * rows->change_room : 64;
		rows->changes = mem_realloc(rows->changes, rows->change_room * sizeof *rows->changes);
	}
	rows->changes[rows->change_count++] = (struct change){entry, entry->row, entry->dirty};
	entry->row = row;
	rows_set_dirty(rows, entry);
}

enum status rows_put(struct rows *rows, size_t at, const struct store_value *row, struct err *err)
{
	struct table *table = &rows->tables[at];
	struct entry *entry;
	for (size_t i = 0; i < table->column_count; i++)
		if (!rows_fits(&table->columns[i], &row[i]))
			return err_set(err, FATAL, "handler",
			               "a row for table %s has a value that its column %zu cannot hold: a fault of this"
			               " program; run one without it",
			               table->name, i + 1);
	enum status status = look_up(rows, table, row, &entry, err);
	if (status != OK)
		return status;
	buf_reset(&rows->row);
	rows_pack(&rows->row, row + table->key_count, table->column_count - table->key_count);
	const struct image *now = entry->row;
	if (!now || now->size != rows->row.len || memcmp(now->bytes, rows->row.data, now->size) != 0)
		change(rows, entry, rows_image_copy(rows, rows->row.data, rows->row.len));
	return OK;
}

enum status rows_delete(struct rows *rows, size_t table, const struct store_value *key, struct err *err)
{
	struct entry *entry;
	enum status status = look_up(rows, &rows->tables[table], key, &entry, err);
	if (status == OK && entry->row)
		change(rows, entry, NULL);
	return status;
}

void rows_undo(struct rows *rows)
{
	while (rows->change_count) {
		struct change *last = &rows->changes[--rows->change_count];
		rows_image_free(rows, last->entry->row);
		last->entry->row = last->row;
		last->entry->dirty = last->dirty;
	}
	arena_reset(&rows->shown);
}

enum status rows_flush(struct rows *rows, struct err *err)
{
	enum status status = rows_write(rows, 0, err);
	return status == OK && rows->bytes > rows->bytes_max ? rows_forget(rows, err) : status;
}

enum status rows_keep(struct rows *rows, struct err *err)
{
	for (size_t i = 0; i < rows->change_count; i++)
		rows_image_free(rows, rows->changes[i].row);
	rows->change_count = 0;
	arena_reset(&rows->shown);
	if (rows->bytes <= rows->bytes_max)
		return OK;
	enum status status = rows_write(rows, rows->bytes_max / 2, err);
	return status == OK ? rows_forget(rows, err) : status;
}
