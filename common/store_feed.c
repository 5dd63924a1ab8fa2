#include "store_feed.h"

#include "bytes.h"

#include <sqlite3.h>

struct feed_table {
	sqlite3_vtab base;
	struct store_feed *feed;
};

struct feed_cursor {
	sqlite3_vtab_cursor base;
	const struct store_value *row;
	int64_t number;
};

static int feed_connect(sqlite3 *db, void *feed, int argc, const char *const *argv, sqlite3_vtab **out, char **error)
{
	struct buf sql = {0};
	(void)argc;
	(void)argv;
	(void)error;
	for (int i = 0; i < STORE_FEED_COLUMNS; i++)
		buf_putf(&sql, "%sc%d", i ? ", " : "CREATE TABLE feed (", i);
	buf_putf(&sql, ")");
	int rc = sqlite3_declare_vtab(db, buf_text(&sql));
	buf_fini(&sql);
	struct feed_table *table = rc == SQLITE_OK ? sqlite3_malloc(sizeof *table) : NULL;
	if (!table)
		return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
	*table = (struct feed_table){.feed = feed};
	*out = &table->base;
	return SQLITE_OK;
}

static int feed_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

static int feed_plan(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	(void)info; /* one way: from the first to the last */
	return SQLITE_OK;
}

static int feed_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
	(void)table;
	struct feed_cursor *cursor = sqlite3_malloc(sizeof *cursor);
	if (!cursor)
		return SQLITE_NOMEM;
	*cursor = (struct feed_cursor){0};
	*out = &cursor->base;
	return SQLITE_OK;
}

static int feed_close(sqlite3_vtab_cursor *cursor)
{
	sqlite3_free(cursor);
	return SQLITE_OK;
}

static int feed_next(sqlite3_vtab_cursor *base)
{
	struct feed_cursor *cursor = (struct feed_cursor *)base;
	const struct store_feed *feed = ((struct feed_table *)base->pVtab)->feed;
	cursor->row = feed->next ? feed->next(feed->arg) : NULL;
	cursor->number++;
	return SQLITE_OK;
}

static int feed_filter(sqlite3_vtab_cursor *base, int plan, const char *text, int argc, sqlite3_value **argv)
{
	(void)plan;
	(void)text;
	(void)argc;
	(void)argv;
	return feed_next(base);
}

static int feed_eof(sqlite3_vtab_cursor *base)
{
	return !((struct feed_cursor *)base)->row;
}

static int feed_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int column)
{
	const struct store_value *value = &((struct feed_cursor *)base)->row[column];
	switch (value->kind) {
	case STORE_NULL:
		sqlite3_result_null(out);
		break;
	case STORE_INT:
		sqlite3_result_int64(out, value->number);
		break;
	case STORE_BLOB:
		sqlite3_result_blob64(out, value->len ? value->bytes : "", value->len, SQLITE_STATIC);
		break;
	default:
		sqlite3_result_text64(out, value->len ? value->bytes : "", value->len, SQLITE_STATIC, SQLITE_UTF8);
	}
	return SQLITE_OK;
}

static int feed_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
	*out = ((struct feed_cursor *)base)->number;
	return SQLITE_OK;
}

static const sqlite3_module feed_module = {
	.xConnect = feed_connect, /* without xCreate it is a table by itself, and there can be no other */
	.xBestIndex = feed_plan,
	.xDisconnect = feed_disconnect,
	.xOpen = feed_open,
	.xClose = feed_close,
	.xFilter = feed_filter,
	.xNext = feed_next,
	.xEof = feed_eof,
	.xColumn = feed_column,
	.xRowid = feed_rowid,
};

int store_feed_register(sqlite3 *db, struct store_feed *feed)
{
	return sqlite3_create_module(db, "feed", &feed_module, feed);
}
