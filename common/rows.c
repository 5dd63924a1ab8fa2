#include "rows.h"

#include "bytes.h"
#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_BYTES_MAX  (3 << 20)
#define BUCKETS_MIN     1024
#define SPARE_STEP      16 /* images of up to so many bytes more are of one class */
#define SPARE_CLASSES   64
#define SEEN_BLOCKS_MAX 16384 /* of 64 bytes; powers of two. Two million keys leave one wrong guess in five */
#define SEEN_BLOCKS_MIN 64
#define SEEN_SHARE      3 /* the filter takes a third of what is held, beside it */
#define SCAN_BYTES                                                                                                     \
	192 /* of what is held: a key of a table that was not empty is read each time that all is forgotten */

struct column {
	enum store_kind kind; /* STORE_NULL: ANY */
	bool required;
};

struct table {
	char name[64];
	size_t at; /* in the service's list */
	struct column columns[ROWS_COLUMNS_MAX];
	size_t column_count, key_count;
	struct store_statement *get, *insert, *update, *delete; /* update: NULL where there is nothing but a key */
	struct image *last;           /* no key in SQLite is above it; NULL: there is none at all */
	struct entry *recent;         /* who was looked up last: a handler puts what it has just got */
	struct store_statement *scan; /* keys below one, from the highest down */
	struct image *scanned;        /* keys from here on are held, or seen; NULL: none but those of `all` */
	bool all;                     /* there are no others */
};

/* A filter of 512 bits a block, two bits a key: what is not in it was never put into it. */
struct seen {
	size_t blocks;
	uint64_t words[][8];
};

/* Values in one piece of memory: they, then their bytes, each with a NUL behind it. */
struct image {
	union {
		size_t size;
		struct image *next; /* of the spare ones of its class */
	};
	struct store_value values[];
};

struct entry {
	struct entry *next; /* in its bucket */
	uint64_t hash;
	struct table *table;
	struct image *row; /* NULL: there is none */
	bool stored;       /* SQLite has a row with this key */
	bool dirty;        /* and it is another than ours */
	bool listed;       /* among those that may be dirty */
	bool again;        /* looked for again since it came */
	struct image key;
};

struct change { /* what to go back to */
	struct entry *entry;
	struct image *row;
	bool dirty;
};

struct rows {
	struct store *store;
	struct table *tables;
	size_t table_count;
	uint64_t secrets[2];
	struct entry **buckets; /* a power of two of them */
	size_t bucket_count, entry_count, bytes, bytes_max;
	size_t scan_keys;    /* at a time */
	struct arena memory; /* of entries and images, until all are forgotten */
	struct image *spare[SPARE_CLASSES];
	struct seen *seen;    /* keys of rows that SQLite has and that were forgotten; NULL: none was */
	struct entry **dirty; /* every dirty one, in the order in which they became it */
	size_t dirty_count, dirty_room;
	struct change *changes;
	size_t change_count, change_room;
};

/* ---- images ---- */

static bool has_bytes(const struct store_value *value)
{
	return value->kind != STORE_INT && value->kind != STORE_NULL;
}

static void *take(struct rows *rows, size_t size)
{
	rows->bytes += size;
	return arena_alloc(&rows->memory, size);
}

static struct image *image_room(struct rows *rows, size_t size)
{
	size_t class = (size + SPARE_STEP - 1) / SPARE_STEP;
	struct image *image = class < SPARE_CLASSES ? rows->spare[class] : NULL;
	if (image)
		rows->spare[class] = image->next;
	else
		image = take(rows, class * SPARE_STEP);
	image->size = size;
	return image;
}

static void image_free(struct rows *rows, struct image *image)
{
	size_t class = image ? (image->size + SPARE_STEP - 1) / SPARE_STEP : SPARE_CLASSES;
	if (class >= SPARE_CLASSES)
		return;
	image->next = rows->spare[class];
	rows->spare[class] = image;
}

static size_t image_size(const struct store_value *values, size_t count)
{
	size_t size = sizeof(struct image) + count * sizeof *values;
	for (size_t i = 0; i < count; i++)
		size += has_bytes(&values[i]) ? values[i].len + 1 : 0;
	return size;
}

static struct image *image_fill(struct image *image, const struct store_value *values, size_t count)
{
	uint8_t *at = (uint8_t *)&image->values[count];
	for (size_t i = 0; i < count; i++) {
		image->values[i] = values[i];
		if (!has_bytes(&values[i]))
			continue;
		image->values[i].bytes = at;
		if (values[i].len)
			memcpy(at, values[i].bytes, values[i].len);
		at += values[i].len;
		*at++ = 0;
	}
	return image;
}

static struct image *image_new(struct rows *rows, const struct store_value *values, size_t count)
{
	return image_fill(image_room(rows, image_size(values, count)), values, count);
}

static bool values_equal(const struct store_value *a, const struct store_value *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!store_value_equal(&a[i], &b[i]))
			return false;
	return true;
}

/* ---- the tables ---- */

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

/* `SELECT * FROM t WHERE (a, b) < (?1, ?2) ORDER BY 1 DESC, 2 DESC LIMIT 100` */
static enum status prepare_scan(struct rows *rows, struct table *table, struct buf *names, struct err *err)
{
	struct buf sql = {0};
	buf_putf(&sql, "SELECT * FROM %s WHERE (%s) < (", table->name, buf_text(names));
	for (size_t i = 0; i < table->key_count; i++)
		buf_putf(&sql, "%s?%d", i ? ", " : "", (int)i + 1);
	for (size_t i = 0; i < table->key_count; i++)
		buf_putf(&sql, "%s %d DESC", i ? "," : ") ORDER BY", (int)i + 1);
	buf_putf(&sql, " LIMIT %zu", rows->scan_keys);
	enum status status = store_prepare(rows->store, buf_text(&sql), &table->scan, err);
	buf_fini(&sql);
	return status;
}

/* ` WHERE a = ?1 AND b = ?2` and ` SET c = ?3, d = ?4`, the names from the file; and the key's, with commas. */
static enum status list_columns(struct rows *rows, const struct table *table, struct buf *where, struct buf *set,
                                struct buf *key_names, struct err *err)
{
	struct store_statement *s;
	enum status status =
		store_prepare(rows->store, "SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid", &s, err);
	if (status != OK)
		return status;
	store_bind_text(s, 1, table->name);
	for (int at = 1; status == OK; at++) {
		bool row;
		status = store_step(s, &row, err);
		if (status != OK || !row)
			break;
		bool key = store_int(s, 1) > 0;
		struct buf *list = key ? where : set;
		if (key)
			buf_putf(key_names, "%s%s", key_names->len ? ", " : "", store_text(s, 0));
		buf_putf(list, "%s %s = ?%d",
		         !list->len ? key ? " WHERE" : " SET"
		         : key      ? " AND"
		                    : ",",
		         store_text(s, 0), at);
	}
	store_done(s);
	return status;
}

static enum status compile(struct rows *rows, const char *verb, const struct table *table, struct buf *set,
                           struct buf *where, struct store_statement **out, struct err *err)
{
	struct buf sql = {0};
	buf_putf(&sql, "%s %s%s%s", verb, table->name, buf_text(set), buf_text(where));
	enum status status = store_prepare(rows->store, buf_text(&sql), out, err);
	buf_fini(&sql);
	return status;
}

static bool fits(const struct column *column, const struct store_value *value)
{
	if (value->kind == STORE_NULL)
		return !column->required;
	return column->kind == STORE_NULL ? value->kind != STORE_REAL : value->kind == column->kind;
}

/* The columns of the row the statement stands at. What a damaged page gives is no number or text of ours, whatever the table's
 * declaration says. */
static enum status read_row(const struct table *table, struct store_statement *s, size_t count,
                            struct store_value values[ROWS_COLUMNS_MAX], struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		store_value(s, (int)i, &values[i]);
		if (!fits(&table->columns[i], &values[i]))
			return err_set(err, FATAL, "corrupt", "column %zu of a row of %s holds what it cannot hold",
			               i + 1, table->name);
	}
	return OK;
}

static void set_key(const struct table *table, struct image **kept, const struct store_value *key)
{
	size_t size = image_size(key, table->key_count);
	struct image *image = mem_alloc(size);
	image->size = size;
	mem_free(*kept);
	*kept = image_fill(image, key, table->key_count);
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
		status = read_row(table, s, table->key_count, key, err);
	if (status == OK && row)
		set_key(table, &table->last, key);
	if (status == OK)
		store_done(s);
	table->all = !row;
	buf_fini(&sql);
	return status;
}

static enum status prepare(struct rows *rows, struct table *table, struct err *err)
{
	struct buf where = {0}, set = {0}, none = {0}, values = {0}, names = {0};
	enum status status = list_columns(rows, table, &where, &set, &names, err);
	for (size_t i = 0; i < table->column_count; i++)
		buf_putf(&values, "%sc%zu", i ? ", " : " SELECT ", i);
	buf_putf(&values, " FROM feed");
	if (status == OK)
		status = compile(rows, "SELECT * FROM", table, &none, &where, &table->get, err);
	if (status == OK)
		status = compile(rows, "INSERT OR ROLLBACK INTO", table, &values, &none, &table->insert, err);
	if (status == OK && set.len)
		status = compile(rows, "UPDATE", table, &set, &where, &table->update, err);
	if (status == OK)
		status = compile(rows, "DELETE FROM", table, &none, &where, &table->delete, err);
	if (status == OK)
		status = find_last(rows, table, err);
	if (status == OK && !table->all)
		status = prepare_scan(rows, table, &names, err);
	buf_fini(&names);
	buf_fini(&where);
	buf_fini(&set);
	buf_fini(&none);
	buf_fini(&values);
	return status;
}

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
	rows->bucket_count = BUCKETS_MIN;
	rows->buckets = mem_zalloc(rows->bucket_count, sizeof *rows->buckets);
	for (size_t i = 0; i < count && status == OK; i++) {
		struct table *table = &rows->tables[i];
		table->at = i;
		store_table_name(tables[i], table->name);
		status = read_columns(rows, table, err);
		if (status == OK)
			status = prepare(rows, table, err);
	}
	*out = rows;
	return status;
}

/* ---- entries ---- */

void rows_close(struct rows *rows)
{
	if (!rows)
		return;
	for (size_t i = 0; i < rows->table_count; i++) {
		mem_free(rows->tables[i].last);
		mem_free(rows->tables[i].scanned);
	}
	mem_free(rows->seen);
	arena_fini(&rows->memory);
	mem_free(rows->dirty);
	mem_free(rows->changes);
	mem_free(rows->buckets);
	mem_free(rows->tables);
	mem_free(rows);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Buckets are nobody's business outside: any hash will do that outsiders, who choose the keys, cannot foresee. */
static uint64_t hash_of(const struct rows *rows, const struct table *table, const struct store_value *key)
{
	const uint64_t *secrets = rows->secrets;
	uint64_t hash = mix(secrets[0] ^ table->at, secrets[1]);
	for (size_t i = 0; i < table->key_count; i++) {
		hash = mix(hash ^ (uint64_t)key[i].kind << 32 ^ key[i].len, secrets[1]);
		if (!has_bytes(&key[i])) {
			hash = mix(hash ^ (uint64_t)key[i].number, secrets[0]);
			continue;
		}
		const uint8_t *at = key[i].bytes;
		for (size_t left = key[i].len; left;) {
			uint64_t word = 0;
			size_t len = left < sizeof word ? left : sizeof word;
			memcpy(&word, at, len);
			hash = mix(hash ^ word, secrets[0]);
			at += len;
			left -= len;
		}
	}
	return hash;
}

static struct entry *find(struct rows *rows, const struct table *table, const struct store_value *key, uint64_t hash)
{
	for (struct entry *entry = rows->buckets[hash & (rows->bucket_count - 1)]; entry; entry = entry->next)
		if (entry->hash == hash && entry->table == table &&
		    values_equal(entry->key.values, key, table->key_count))
			return entry;
	return NULL;
}

static void more_buckets(struct rows *rows)
{
	size_t count = 2 * rows->bucket_count;
	struct entry **buckets = mem_zalloc(count, sizeof *buckets);
	for (size_t i = 0; i < rows->bucket_count; i++)
		for (struct entry *entry = rows->buckets[i], *next; entry; entry = next) {
			next = entry->next;
			entry->next = buckets[entry->hash & (count - 1)];
			buckets[entry->hash & (count - 1)] = entry;
		}
	mem_free(rows->buckets);
	rows->buckets = buckets;
	rows->bucket_count = count;
}

static struct entry *add(struct rows *rows, struct table *table, const struct store_value *key, uint64_t hash)
{
	if (rows->entry_count >= rows->bucket_count)
		more_buckets(rows);
	size_t size = image_size(key, table->key_count);
	struct entry *entry = take(rows, offsetof(struct entry, key) + size);
	*entry = (struct entry){.hash = hash, .table = table};
	entry->key.size = size;
	image_fill(&entry->key, key, table->key_count);
	entry->next = rows->buckets[hash & (rows->bucket_count - 1)];
	rows->buckets[hash & (rows->bucket_count - 1)] = entry;
	rows->entry_count++;
	return entry;
}

/* ---- reading ---- */

static int compare_keys(const struct table *table, const struct image *a, const struct image *b)
{
	for (size_t i = 0; i < table->key_count; i++) {
		int order = store_value_compare(&a->values[i], &b->values[i]);
		if (order)
			return order;
	}
	return 0;
}

/* One line of memory a key. */
static struct seen *seen_new(size_t bytes_max)
{
	size_t blocks = SEEN_BLOCKS_MAX;
	while (blocks > SEEN_BLOCKS_MIN && blocks * sizeof(uint64_t[8]) > bytes_max / SEEN_SHARE)
		blocks /= 2;
	struct seen *seen = mem_zalloc(1, sizeof *seen + blocks * sizeof *seen->words);
	seen->blocks = blocks;
	return seen;
}

static uint64_t *seen_block(struct seen *seen, uint64_t hash)
{
	return seen->words[hash >> 32 & (seen->blocks - 1)];
}

static void seen_add(struct seen *seen, uint64_t hash)
{
	uint64_t *words = seen_block(seen, hash);
	words[hash >> 6 & 7] |= UINT64_C(1) << (hash & 63);
	words[hash >> 15 & 7] |= UINT64_C(1) << (hash >> 9 & 63);
}

static bool seen_has(struct seen *seen, uint64_t hash)
{
	const uint64_t *words = seen_block(seen, hash);
	return (words[hash >> 6 & 7] >> (hash & 63) & 1) && (words[hash >> 15 & 7] >> (hash >> 9 & 63) & 1);
}

/* Every key that SQLite has is held, or seen, or below what was scanned: a random key that is new costs no search either. */
static bool never_written(const struct rows *rows, const struct entry *entry)
{
	const struct table *table = entry->table;
	if (!table->all && !(table->scanned && compare_keys(table, &entry->key, table->scanned) >= 0))
		return false;
	return !rows->seen || !seen_has(rows->seen, entry->hash);
}

static bool beyond_last(const struct entry *entry)
{
	const struct image *last = entry->table->last;
	return !last || compare_keys(entry->table, &entry->key, last) > 0;
}

static enum status load(struct rows *rows, struct entry *entry, struct err *err)
{
	const struct table *table = entry->table;
	struct store_statement *s = table->get;
	struct store_value values[ROWS_COLUMNS_MAX];
	if (beyond_last(entry) || never_written(rows, entry))
		return OK;
	for (size_t i = 0; i < table->key_count; i++)
		store_value_bind(s, (int)i + 1, &entry->key.values[i]);
	enum status status = store_step(s, &entry->stored, err);
	if (status == OK && entry->stored)
		status = read_row(table, s, table->column_count, values, err);
	if (status == OK && entry->stored)
		entry->row = image_new(rows, values, table->column_count);
	store_done(s);
	return status;
}

static enum status look_up(struct rows *rows, struct table *table, const struct store_value *key, struct entry **out,
                           struct err *err)
{
	for (size_t i = 0; i < table->key_count; i++)
		if (!fits(&table->columns[i], &key[i]))
			return err_set(
				err, FATAL, "handler",
				"a key of table %s has another type than its column %zu: a fault of this program;"
				" run one without it",
				table->name, i + 1);
	if (table->recent && values_equal(table->recent->key.values, key, table->key_count)) {
		*out = table->recent;
		return OK;
	}
	uint64_t hash = hash_of(rows, table, key);
	enum status status = OK;
	*out = find(rows, table, key, hash);
	if (*out) {
		(*out)->again = true;
	} else {
		*out = add(rows, table, key, hash);
		status = load(rows, *out, err);
	}
	table->recent = *out;
	return status;
}

enum status rows_get(struct rows *rows, size_t table, const struct store_value *key, const struct store_value **row,
                     struct err *err)
{
	struct entry *entry;
	enum status status = look_up(rows, &rows->tables[table], key, &entry, err);
	*row = status == OK && entry->row ? entry->row->values : NULL;
	return status;
}

/* ---- writing ---- */

static void set_dirty(struct rows *rows, struct entry *entry)
{
	entry->dirty = true;
	if (entry->listed)
		return;
	entry->listed = true;
	if (rows->dirty_count == rows->dirty_room) {
		rows->dirty_room = rows->dirty_room ? 2 * rows->dirty_room : 1024;
		rows->dirty = mem_realloc(rows->dirty, rows->dirty_room * sizeof *rows->dirty);
	}
	rows->dirty[rows->dirty_count++] = entry;
}

static void change(struct rows *rows, struct entry *entry, struct image *row)
{
	if (rows->change_count == rows->change_room) {
		rows->change_room = rows->change_room ? 2 * rows->change_room : 64;
		rows->changes = mem_realloc(rows->changes, rows->change_room * sizeof *rows->changes);
	}
	rows->changes[rows->change_count++] = (struct change){entry, entry->row, entry->dirty};
	entry->row = row;
	set_dirty(rows, entry);
}

enum status rows_put(struct rows *rows, size_t at, const struct store_value *row, struct err *err)
{
	struct table *table = &rows->tables[at];
	struct entry *entry;
	for (size_t i = 0; i < table->column_count; i++)
		if (!fits(&table->columns[i], &row[i]))
			return err_set(err, FATAL, "handler",
			               "a row for table %s has a value that its column %zu cannot hold: a fault of this"
			               " program; run one without it",
			               table->name, i + 1);
	enum status status = look_up(rows, table, row, &entry, err);
	if (status == OK && !(entry->row && values_equal(entry->row->values, row, table->column_count)))
		change(rows, entry, image_new(rows, row, table->column_count));
	return status;
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
		image_free(rows, last->entry->row);
		last->entry->row = last->row;
		last->entry->dirty = last->dirty;
	}
}

enum status rows_keep(struct rows *rows, struct err *err)
{
	for (size_t i = 0; i < rows->change_count; i++)
		image_free(rows, rows->changes[i].row);
	rows->change_count = 0;
	return rows->bytes > rows->bytes_max ? rows_flush(rows, err) : OK;
}

/* ---- flushing ---- */

static int by_key(const void *a, const void *b)
{
	const struct entry *x = *(const struct entry *const *)a, *y = *(const struct entry *const *)b;
	if (x->table != y->table)
		return x->table->at < y->table->at ? -1 : 1;
	return compare_keys(x->table, &x->key, &y->key);
}

/* Of what was written of a table the highest key; its row may be deleted: it is a bound. */
static void raise_last(const struct entry *highest)
{
	if (highest && beyond_last(highest))
		set_key(highest->table, &highest->table->last, highest->key.values);
}

/* Dirty entries of one table, by key. */
struct run {
	struct entry **at, **end;
};

/* The next one that SQLite has no row for: a feed of the INSERT, which takes them all. */
static const struct store_value *next_new(void *arg)
{
	struct run *run = arg;
	while (run->at < run->end) {
		struct entry *entry = *run->at++;
		if (!entry->dirty || !entry->row || entry->stored)
			continue;
		entry->dirty = false;
		entry->stored = true;
		return entry->row->values;
	}
	return NULL;
}

static enum status write_changed(struct entry *entry, struct err *err)
{
	const struct table *table = entry->table;
	const struct image *image = entry->row ? entry->row : &entry->key;
	struct store_statement *s = entry->row ? table->update : table->delete;
	if (!s || !entry->stored)
		return OK;
	for (size_t i = 0; i < (entry->row ? table->column_count : table->key_count); i++)
		store_value_bind(s, (int)i + 1, &image->values[i]);
	return store_run(s, err);
}

static enum status write_table(struct table *table, struct run all, struct err *err)
{
	struct run fresh = all;
	const struct entry *highest = NULL;
	enum status status = OK;
	bool any_new = false;
	for (struct entry **at = all.at; at < all.end; at++) {
		struct entry *entry = *at;
		entry->listed = false;
		if (!entry->dirty) /* what made it so was undone */
			continue;
		highest = entry;
		any_new = any_new || (entry->row && !entry->stored);
	}
	if (any_new)
		status = store_run_fed(table->insert, next_new, &fresh, err);
	for (struct entry **at = all.at; at < all.end && status == OK; at++) {
		struct entry *entry = *at;
		if (!entry->dirty)
			continue;
		status = write_changed(entry, err);
		entry->dirty = false;
		entry->stored = entry->row != NULL;
	}
	if (status == OK)
		raise_last(highest);
	return status;
}

static enum status scan_some(struct rows *rows, struct table *table, struct err *err)
{
	struct store_statement *s = table->scan;
	struct store_value key[ROWS_COLUMNS_MAX];
	const struct image *from = table->scanned ? table->scanned : table->last;
	if (!table->scanned) { /* the scan goes on below it */
		set_key(table, &table->scanned, from->values);
		from = table->scanned;
		seen_add(rows->seen, hash_of(rows, table, from->values));
	}
	for (size_t i = 0; i < table->key_count; i++)
		store_value_bind(s, (int)i + 1, &from->values[i]);
	for (size_t count = 1;; count++) {
		bool row;
		enum status status = store_step(s, &row, err);
		if (status == OK && row)
			status = read_row(table, s, table->key_count, key, err);
		if (status != OK)
			return status;
		table->all = !row;
		if (!row)
			return OK;
		seen_add(rows->seen, hash_of(rows, table, key));
		if (count == rows->scan_keys) {
			set_key(table, &table->scanned, key);
			store_done(s);
			return OK;
		}
	}
}

/* Into the memory that is used from now on. */
static void keep_entry(struct rows *rows, const struct entry *old)
{
	struct entry *entry = add(rows, old->table, old->key.values, old->hash);
	entry->stored = true;
	entry->row = image_new(rows, old->row->values, old->table->column_count);
}

/* Nothing is dirty. What was looked for more than once stays, up to half of what may be held; the rest is forgotten. */
static enum status forget(struct rows *rows, struct err *err)
{
	enum status status = OK;
	struct entry **old = rows->buckets;
	struct arena memory = rows->memory;
	if (!rows->seen)
		rows->seen = seen_new(rows->bytes_max);
	rows->buckets = mem_zalloc(rows->bucket_count, sizeof *rows->buckets);
	rows->memory = (struct arena){0};
	memset(rows->spare, 0, sizeof rows->spare);
	size_t old_count = rows->bucket_count;
	rows->entry_count = rows->bytes = 0;
	for (size_t i = 0; i < old_count; i++)
		for (const struct entry *entry = old[i]; entry; entry = entry->next) {
			if (!entry->stored)
				continue;
			if (entry->again && entry->row && rows->bytes < rows->bytes_max / 2)
				keep_entry(rows, entry);
			else
				seen_add(rows->seen, entry->hash);
		}
	mem_free(old);
	arena_fini(&memory);
	for (size_t i = 0; i < rows->table_count && status == OK; i++) {
		rows->tables[i].recent = NULL;
		if (!rows->tables[i].all)
			status = scan_some(rows, &rows->tables[i], err);
	}
	return status;
}

enum status rows_flush(struct rows *rows, struct err *err)
{
	enum status status = OK;
	if (rows->dirty_count)
		qsort(rows->dirty, rows->dirty_count, sizeof *rows->dirty, by_key);
	for (size_t from = 0, to; from < rows->dirty_count && status == OK; from = to) {
		struct table *table = rows->dirty[from]->table;
		for (to = from + 1; to < rows->dirty_count && rows->dirty[to]->table == table;)
			to++;
		status = write_table(table, (struct run){rows->dirty + from, rows->dirty + to}, err);
	}
	if (status != OK)
		return status;
	rows->dirty_count = 0;
	return rows->bytes > rows->bytes_max ? forget(rows, err) : OK;
}
