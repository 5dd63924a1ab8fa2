#include "rows.h"

#include "bytes.h"
#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_BYTES_MAX  (3 << 20)
#define PLACES_MIN      1024
#define SPARE_STEP      16 /* images of up to so many bytes more are of one class */
#define SPARE_CLASSES   64
#define SEEN_BLOCKS_MAX 16384 /* of 64 bytes; powers of two. Two million keys leave one wrong guess in five */
#define SEEN_BLOCKS_MIN 64
#define SEEN_SHARE      3  /* the filter takes a third of what is held, beside it */
#define AHEAD_MAX       32 /* rows read for one that is wanted: those behind it in its table are often wanted next */
#define AHEAD_FIRST     8
#define AHEAD_WINDOW    512 /* of rows that were read ahead it is judged how many were wanted */
#define STATEMENT_ROWS  256 /* SQLite keeps a copy of each page that one statement has changed */
#define AHEAD_TRY       16  /* where none is read ahead, one is with every so many */
#define AHEAD_SHARE     128 /* and so much of the rows that are held at most */
#define SCAN_BYTES                                                                                                     \
	192 /* of what is held: a key of a table that was not empty is read each time that all is forgotten */

struct column {
	enum store_kind kind; /* STORE_NULL: ANY */
	bool required;
};

/* What is written next, in the order of the table. */
struct dirty {
	uint64_t order; /* the beginning of the key, in its order: most are told apart by it */
	struct entry *entry;
};

struct table {
	char name[64];
	size_t at; /* in the service's list */
	struct column columns[ROWS_COLUMNS_MAX];
	size_t column_count, key_count;
	struct store_statement *get, *replace, *delete;
	struct image *last;           /* no key in SQLite is above it; NULL: there is none at all */
	struct entry *recent;         /* who was looked up last: a handler puts what it has just got */
	struct store_statement *from; /* rows from a key on, in order, so many */
	size_t ahead;                 /* so many: 1 to AHEAD_MAX */
	size_t loads, ahead_read, ahead_used;
	struct store_statement *scan; /* keys below one, from the highest down */
	struct image *scanned;        /* keys from here on are held, or seen; NULL: none but those of `all` */
	bool all;                     /* there are no others */
	struct dirty *dirty;          /* every dirty entry, in the order in which they became it */
	size_t dirty_count, dirty_room;
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
	struct table *table;
	struct image *row; /* NULL: there is none */
	bool stored;       /* SQLite has a row with this key */
	bool dirty;        /* and it is another than ours */
	bool listed;       /* among those that may be dirty */
	bool again;        /* looked for again since it came */
	bool ahead;        /* nobody has looked for it yet */
	bool waits;        /* dirty, and written later: it stays when others are forgotten */
	struct image key;
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

struct rows {
	struct store *store;
	struct table *tables;
	size_t table_count;
	uint64_t secrets[2];
	struct place *places; /* a power of two of them */
	size_t place_count, entry_count, bytes, bytes_max;
	size_t scan_keys;    /* at a time */
	struct arena memory; /* of entries and images, until all are forgotten */
	struct image *spare[SPARE_CLASSES];
	struct seen *seen; /* keys of rows that SQLite has and that were forgotten; NULL: none was */
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

/* Written at once. What is read first is the kernel's one page of zeros, and to replace it where threads run on other cores
 * interrupts them all. */
static struct place *places_new(size_t count)
{
	struct place *places = mem_alloc(count * sizeof *places);
	memset(places, 0, count * sizeof *places);
	return places;
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
	rows->place_count = PLACES_MIN;
	rows->places = places_new(rows->place_count);
	for (size_t i = 0; i < count && status == OK; i++) {
		struct table *table = &rows->tables[i];
		table->at = i;
		table->ahead = AHEAD_FIRST;
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
		mem_free(rows->tables[i].dirty);
		mem_free(rows->tables[i].last);
		mem_free(rows->tables[i].scanned);
	}
	mem_free(rows->seen);
	arena_fini(&rows->memory);
	mem_free(rows->changes);
	mem_free(rows->places);
	mem_free(rows->tables);
	mem_free(rows);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Places are nobody's business outside: any hash will do that outsiders, who choose the keys, cannot foresee. */
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
	for (size_t at = hash;; at++) {
		const struct place *place = &rows->places[at & (rows->place_count - 1)];
		if (!place->entry)
			return NULL;
		if (place->hash == hash && place->entry->table == table &&
		    values_equal(place->entry->key.values, key, table->key_count))
			return place->entry;
	}
}

static void place_put(struct rows *rows, uint64_t hash, struct entry *entry)
{
	size_t at = hash;
	while (rows->places[at & (rows->place_count - 1)].entry)
		at++;
	rows->places[at & (rows->place_count - 1)] = (struct place){hash, entry};
}

static void more_places(struct rows *rows)
{
	struct place *old = rows->places;
	size_t old_count = rows->place_count;
	rows->place_count *= 2;
	rows->places = places_new(rows->place_count);
	for (size_t i = 0; i < old_count; i++)
		if (old[i].entry)
			place_put(rows, old[i].hash, old[i].entry);
	mem_free(old);
}

static struct entry *add(struct rows *rows, struct table *table, const struct store_value *key, uint64_t hash)
{
	if (rows->entry_count >= rows->place_count / 4 * 3)
		more_places(rows);
	size_t size = image_size(key, table->key_count);
	struct entry *entry = take(rows, offsetof(struct entry, key) + size);
	*entry = (struct entry){.table = table};
	entry->key.size = size;
	image_fill(&entry->key, key, table->key_count);
	place_put(rows, hash, entry);
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
static bool never_written(const struct rows *rows, const struct entry *entry, uint64_t hash)
{
	const struct table *table = entry->table;
	if (!table->all && !(table->scanned && compare_keys(table, &entry->key, table->scanned) >= 0))
		return false;
	return !rows->seen || !seen_has(rows->seen, hash);
}

static bool beyond_last(const struct entry *entry)
{
	const struct image *last = entry->table->last;
	return !last || compare_keys(entry->table, &entry->key, last) > 0;
}

static void bind_key(struct store_statement *s, const struct table *table, const struct image *key)
{
	for (size_t i = 0; i < table->key_count; i++)
		store_value_bind(s, (int)i + 1, &key->values[i]);
}

static enum status load_one(struct rows *rows, struct entry *entry, struct err *err)
{
	const struct table *table = entry->table;
	struct store_value values[ROWS_COLUMNS_MAX];
	bind_key(table->get, table, &entry->key);
	enum status status = store_step(table->get, &entry->stored, err);
	if (status == OK && entry->stored)
		status = read_row(table, table->get, table->column_count, values, err);
	if (status == OK && entry->stored)
		entry->row = image_new(rows, values, table->column_count);
	store_done(table->get);
	return status;
}

/* What is held already is newer, or the same. A row that is damaged is left to whoever looks for it. */
static void take_ahead(struct rows *rows, struct table *table)
{
	struct store_value values[ROWS_COLUMNS_MAX];
	if (read_row(table, table->from, table->key_count, values, NULL) != OK)
		return;
	uint64_t hash = hash_of(rows, table, values);
	if (find(rows, table, values, hash))
		return;
	if (read_row(table, table->from, table->column_count, values, NULL) != OK)
		return;
	struct entry *entry = add(rows, table, values, hash);
	entry->row = image_new(rows, values, table->column_count);
	entry->stored = entry->ahead = true;
	table->ahead_read++;
}

/* The row that is wanted, where there is one, and those behind it. */
static enum status load_from(struct rows *rows, struct entry *entry, size_t count, struct err *err)
{
	struct table *table = entry->table;
	struct store_statement *s = table->from;
	struct store_value values[ROWS_COLUMNS_MAX];
	size_t bytes_max = rows->bytes + rows->bytes_max / AHEAD_SHARE;
	enum status status = OK;
	bool row = true;
	bind_key(s, table, &entry->key);
	store_bind_int(s, (int)table->key_count + 1, (int64_t)count);
	for (size_t i = 0; status == OK && row && i < count && rows->bytes < bytes_max; i++) {
		status = store_step(s, &row, err);
		if (status != OK || !row)
			break;
		if (i > 0) {
			take_ahead(rows, table);
			continue;
		}
		status = read_row(table, s, table->column_count, values, err);
		entry->stored = status == OK && values_equal(values, entry->key.values, table->key_count);
		if (entry->stored)
			entry->row = image_new(rows, values, table->column_count);
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

static enum status load(struct rows *rows, struct entry *entry, uint64_t hash, struct err *err)
{
	if (beyond_last(entry) || never_written(rows, entry, hash))
		return OK;
	size_t count = rows_to_read(entry->table);
	return count > 1 ? load_from(rows, entry, count, err) : load_one(rows, entry, err);
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
		table->ahead_used += (*out)->ahead;
		(*out)->again = !(*out)->ahead;
		(*out)->ahead = false;
	} else {
		*out = add(rows, table, key, hash);
		status = load(rows, *out, hash, err);
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

/* Two keys whose orders differ are in this order. */
static uint64_t order_of(const struct store_value *key)
{
	uint8_t bytes[8] = {0};
	uint64_t order = (uint64_t)key->number ^ UINT64_C(1) << 63;
	if (has_bytes(key)) {
		if (key->len)
			memcpy(bytes, key->bytes, key->len < sizeof bytes ? key->len : sizeof bytes);
		order = be64_get(bytes);
	}
	return (uint64_t)key->kind << 61 | order >> 3;
}

static void set_dirty(struct entry *entry)
{
	struct table *table = entry->table;
	entry->dirty = true;
	if (entry->listed)
		return;
	entry->listed = true;
	if (table->dirty_count == table->dirty_room) {
		table->dirty_room = table->dirty_room ? 2 * table->dirty_room : 64;
		table->dirty = mem_realloc(table->dirty, table->dirty_room * sizeof *table->dirty);
	}
	table->dirty[table->dirty_count++] = (struct dirty){order_of(entry->key.values), entry};
}

static void change(struct rows *rows, struct entry *entry, struct image *row)
{
	if (rows->change_count == rows->change_room) {
		rows->change_room = rows->change_room ? 2 * rows->change_room : 64;
		rows->changes = mem_realloc(rows->changes, rows->change_room * sizeof *rows->changes);
	}
	rows->changes[rows->change_count++] = (struct change){entry, entry->row, entry->dirty};
	entry->row = row;
	set_dirty(entry);
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

/* ---- flushing ---- */

static int by_key(const void *a, const void *b)
{
	const struct dirty *x = a, *y = b;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return compare_keys(x->entry->table, &x->entry->key, &y->entry->key);
}

/* Of what was written of a table the highest key; its row may be deleted: it is a bound. */
static void raise_last(const struct entry *highest)
{
	if (highest && beyond_last(highest))
		set_key(highest->table, &highest->table->last, highest->key.values);
}

/* Dirty entries of one table, by key. */
struct run {
	const struct dirty *at, *end;
	size_t left; /* rows of this statement */
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
		return entry->row->values;
	}
	return NULL;
}

static enum status write_rows(const struct table *table, struct err *err)
{
	struct run run = {.at = table->dirty, .end = table->dirty + table->dirty_count};
	enum status status = OK;
	while (run.at < run.end && status == OK) {
		run.left = STATEMENT_ROWS;
		status = store_run_fed(table->replace, next_row, &run, err);
	}
	return status;
}

static enum status delete_row(struct entry *entry, struct err *err)
{
	entry->dirty = false;
	if (!entry->stored)
		return OK;
	entry->stored = false;
	bind_key(entry->table->delete, entry->table, &entry->key);
	return store_run(entry->table->delete, err);
}

/* What changes again and again is not written each time that others are forgotten. room: for such, in bytes. */
static bool may_wait(const struct entry *entry, size_t *room)
{
	size_t size = entry->row ? sizeof *entry + entry->key.size + entry->row->size : 0;
	if (!entry->again || !entry->stored || !size || size > *room)
		return false;
	*room -= size;
	return true;
}

static enum status write_table(struct table *table, size_t *room, struct err *err)
{
	const struct dirty *end = table->dirty + table->dirty_count;
	const struct entry *highest = NULL;
	qsort(table->dirty, table->dirty_count, sizeof *table->dirty, by_key);
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
			status = delete_row(at->entry, err);
	if (status != OK)
		return status;
	table->dirty_count = 0;
	raise_last(highest);
	return OK;
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
	bind_key(s, table, from);
	store_bind_int(s, (int)table->key_count + 1, (int64_t)rows->scan_keys);
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
static void keep_entry(struct rows *rows, const struct entry *old, uint64_t hash)
{
	struct entry *entry = add(rows, old->table, old->key.values, hash);
	entry->stored = true;
	entry->row = image_new(rows, old->row->values, old->table->column_count);
	if (old->dirty)
		set_dirty(entry);
}

/* Nothing is dirty but what waits. What was looked for more than once stays, up to half of what may be held; the rest is forgotten. */
static enum status forget(struct rows *rows, struct err *err)
{
	enum status status = OK;
	struct place *old = rows->places;
	struct arena memory = rows->memory;
	if (!rows->seen)
		rows->seen = seen_new(rows->bytes_max);
	size_t old_count = rows->place_count;
	rows->places = places_new(rows->place_count);
	rows->memory = (struct arena){0};
	memset(rows->spare, 0, sizeof rows->spare);
	rows->entry_count = rows->bytes = 0;
	for (size_t i = 0; i < old_count; i++) {
		const struct entry *entry = old[i].entry;
		if (!entry || !entry->stored)
			continue;
		if (entry->dirty || (entry->again && entry->row && rows->bytes < rows->bytes_max / 2))
			keep_entry(rows, entry, old[i].hash);
		else
			seen_add(rows->seen, old[i].hash);
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

static enum status write_all(struct rows *rows, size_t room, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < rows->table_count && status == OK; i++)
		if (rows->tables[i].dirty_count)
			status = write_table(&rows->tables[i], &room, err);
	return status;
}

enum status rows_flush(struct rows *rows, struct err *err)
{
	enum status status = write_all(rows, 0, err);
	return status == OK && rows->bytes > rows->bytes_max ? forget(rows, err) : status;
}

enum status rows_keep(struct rows *rows, struct err *err)
{
	for (size_t i = 0; i < rows->change_count; i++)
		image_free(rows, rows->changes[i].row);
	rows->change_count = 0;
	if (rows->bytes <= rows->bytes_max)
		return OK;
	enum status status = write_all(rows, rows->bytes_max / 2, err);
	return status == OK ? forget(rows, err) : status;
}
