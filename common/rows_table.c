#include "rows_impl.h"

#include <string.h>

#define AHEAD_FIRST 8 /* rows read at a time, at first */

static enum store_kind kind_of(const char *type)
{
	if (strncmp(type, "INT", 3) == 0)
		return STORE_INT;
	if (strcmp(type, "TEXT") == 0)
		return STORE_TEXT;
	return strcmp(type, "BLOB") == 0 ? STORE_BLOB : STORE_NULL;
}

static enum status add_column(struct table *table, struct store_statement *s, struct err *err)
{
	int64_t key = store_int(s, 2);
	if (table->column_count == ROWS_COLUMNS_MAX)
		return err_set(err, FATAL, "ddl", "table %s has more than %d columns", table->name, ROWS_COLUMNS_MAX);
	table->columns[table->column_count++] =
		(struct column){.kind = kind_of(store_text(s, 0)), .required = store_int(s, 1) != 0 || key > 0};
	if (key == 0)
		return OK;
	table->key_count++;
	if ((size_t)key == table->column_count && key <= ROWS_KEY_COLUMNS_MAX)
		return OK;
	return err_set(err, FATAL, "ddl",
	               "the PRIMARY KEY of table %s is not its first columns, in their order, %d at most", table->name,
	               ROWS_KEY_COLUMNS_MAX);
}

static enum status read_columns(struct rows *rows, struct table *table, struct err *err)
{
	struct store_statement *s;
	enum status status = store_prepare(
		rows->store, "SELECT type, \"notnull\", pk FROM pragma_table_info(?1) ORDER BY cid", &s, err);
	if (status != OK)
		return status;
	store_bind_text(s, 1, table->name);
	for (bool row = true; status == OK && row;) {
		status = store_step(s, &row, err);
		if (status == OK && row)
			status = add_column(table, s, err);
	}
	store_done(s);
	if (status == OK && !table->key_count)
		return err_set(err, FATAL, "ddl", "table %s has no PRIMARY KEY", table->name);
	return status;
}

/* `SELECT * FROM t WHERE (a, b) < (?1, ?2) ORDER BY 1 DESC, 2 DESC LIMIT ?3` */
static enum status prepare_range(struct rows *rows, const struct table *table, const char *beyond, const char *way,
                                 struct buf *names, struct store_statement **out, struct err *err)
{
	struct buf sql = {0};
	buf_putf(&sql, "SELECT * FROM %s WHERE (%s) %s (", table->name, buf_text(names), beyond);
	for (size_t i = 0; i < table->key_count; i++)
		buf_putf(&sql, "%s?%d", i ? ", " : "", (int)i + 1);
	for (size_t i = 0; i < table->key_count; i++)
		buf_putf(&sql, "%s %d%s", i ? "," : ") ORDER BY", (int)i + 1, way);
	buf_putf(&sql, " LIMIT ?%d", (int)table->key_count + 1);
	enum status status = store_prepare(rows->store, buf_text(&sql), out, err);
	buf_fini(&sql);
	return status;
}

/* ` WHERE a = ?1 AND b = ?2`, the names from the file; and these, with commas. */
static enum status list_key(struct rows *rows, const struct table *table, struct buf *where, struct buf *names,
                            struct err *err)
{
	struct store_statement *s;
	enum status status =
		store_prepare(rows->store, "SELECT name FROM pragma_table_info(?1) WHERE pk ORDER BY pk", &s, err);
	if (status != OK)
		return status;
	store_bind_text(s, 1, table->name);
	for (int at = 1; status == OK; at++) {
		bool row;
		status = store_step(s, &row, err);
		if (status != OK || !row)
			break;
		buf_putf(names, "%s%s", at > 1 ? ", " : "", store_text(s, 0));
		buf_putf(where, "%s %s = ?%d", at > 1 ? " AND" : " WHERE", store_text(s, 0), at);
	}
	store_done(s);
	return status;
}

static enum status compile(struct rows *rows, const char *verb, const struct table *table, struct buf *rest,
                           struct store_statement **out, struct err *err)
{
	struct buf sql = {0};
	buf_putf(&sql, "%s %s%s", verb, table->name, buf_text(rest));
	enum status status = store_prepare(rows->store, buf_text(&sql), out, err);
	buf_fini(&sql);
	return status;
}

bool rows_fits(const struct column *column, const struct store_value *value)
{
	if (value->kind == STORE_NULL)
		return !column->required;
	return column->kind == STORE_NULL ? value->kind != STORE_REAL : value->kind == column->kind;
}

enum status rows_read_columns(const struct table *table, struct store_statement *s, size_t count,
                              struct store_value values[ROWS_COLUMNS_MAX], struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		store_value(s, (int)i, &values[i]);
		if (!rows_fits(&table->columns[i], &values[i]))
			return err_set(err, FATAL, "corrupt", "column %zu of a row of %s holds what it cannot hold",
			               i + 1, table->name);
	}
	return OK;
}

void rows_set_key(const struct table *table, struct image **kept, const struct store_value *key)
{
	struct buf packed = {0};
	rows_pack(&packed, key, table->key_count);
	struct image *image = mem_alloc(sizeof *image + packed.len);
	image->size = (uint32_t)packed.len;
	memcpy(image->bytes, packed.data, packed.len);
	buf_fini(&packed);
	mem_free(*kept); /* the key may have been in it */
	*kept = image;
}

int rows_compare(const struct table *table, const struct image *a, const struct image *b)
{
	struct store_value x[ROWS_KEY_COLUMNS_MAX], y[ROWS_KEY_COLUMNS_MAX];
	int order = 0;
	rows_unpack(a->bytes, x, table->key_count);
	rows_unpack(b->bytes, y, table->key_count);
	for (size_t i = 0; i < table->key_count && !order; i++)
		order = store_value_compare(&x[i], &y[i]);
	return order;
}

/* A key above all others is looked for in vain: ids that grow with time cost no search. */
static enum status find_last(struct rows *rows, struct table *table, struct err *err)
{
	struct store_statement *s;
	struct buf sql = {0};
	struct store_value key[ROWS_COLUMNS_MAX];
	bool row = false;
	buf_putf(&sql, "SELECT * FROM %s", table->name);
	for (size_t i = 0; i < table->key_count; i++)
		buf_putf(&sql, "%s %d DESC", i ? "," : " ORDER BY", (int)i + 1);
	buf_putf(&sql, " LIMIT 1");
	enum status status = store_prepare(rows->store, buf_text(&sql), &s, err);
	if (status == OK)
		status = store_step(s, &row, err);
	if (status == OK && row)
		status = rows_read_columns(table, s, table->key_count, key, err);
	if (status == OK && row)
		rows_set_key(table, &table->last, key);
	if (status == OK)
		store_done(s);
	table->all = !row;
	buf_fini(&sql);
	return status;
}

static enum status prepare(struct rows *rows, struct table *table, struct err *err)
{
	struct buf where = {0}, feed = {0}, names = {0};
	enum status status = list_key(rows, table, &where, &names, err);
	for (size_t i = 0; i < table->column_count; i++)
		buf_putf(&feed, "%sc%zu", i ? ", " : " SELECT ", i);
	buf_putf(&feed, " FROM feed");
	if (status == OK)
		status = compile(rows, "SELECT * FROM", table, &where, &table->get, err);
	if (status == OK)
		status = compile(rows, "INSERT OR REPLACE INTO", table, &feed, &table->replace, err);
	if (status == OK)
		status = compile(rows, "DELETE FROM", table, &where, &table->delete, err);
	if (status == OK)
		status = find_last(rows, table, err);
	if (status == OK)
		status = prepare_range(rows, table, ">=", "", &names, &table->from, err);
	if (status == OK && !table->all)
		status = prepare_range(rows, table, "<", " DESC", &names, &table->scan, err);
	buf_fini(&names);
	buf_fini(&where);
	buf_fini(&feed);
	return status;
}

enum status rows_open_table(struct rows *rows, struct table *table, const char *ddl, struct err *err)
{
	table->ahead = AHEAD_FIRST;
	store_table_name(ddl, table->name);
	enum status status = read_columns(rows, table, err);
	return status == OK ? prepare(rows, table, err) : status;
}
