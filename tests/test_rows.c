/* Rows in front of a store: what is read is what was put, whenever it was written; what is undone was never there. */
#include "rows.h"
#include "service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAIRS, NAMES };

static const char *const tables[] = {
	"CREATE TABLE pair (a INTEGER NOT NULL, b TEXT NOT NULL, value INTEGER NOT NULL, note BLOB, PRIMARY KEY (a, b))"
	" WITHOUT ROWID, STRICT",
	"CREATE TABLE name (id ANY PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID, STRICT",
};

struct scene {
	struct store *store;
	struct rows *rows;
	struct err err;
};

static void begin(struct scene *scene)
{
	*scene = (struct scene){0};
	assert_int_equal(store_open(&(struct store_config){.mode = STORE_SCRATCH}, &scene->store, &scene->err), OK);
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		assert_int_equal(store_exec(scene->store, tables[i], &scene->err), OK);
	assert_int_equal(rows_open(scene->store, tables, 2, 0, &scene->rows, &scene->err), OK);
	assert_int_equal(store_begin(scene->store, &scene->err), OK);
}

static void end(struct scene *scene)
{
	rows_close(scene->rows);
	store_close(scene->store);
}

static void put(struct scene *scene, int64_t a, const char *b, int64_t value)
{
	const struct store_value row[] = {value_int(a), value_text(b), value_int(value), value_null()};
	assert_int_equal(rows_put(scene->rows, PAIRS, row, &scene->err), OK);
}

static void delete (struct scene *scene, int64_t a, const char *b)
{
	const struct store_value key[] = {value_int(a), value_text(b)};
	assert_int_equal(rows_delete(scene->rows, PAIRS, key, &scene->err), OK);
}

/* The value of the row; -1: there is none. */
static int64_t get(struct scene *scene, int64_t a, const char *b)
{
	const struct store_value key[] = {value_int(a), value_text(b)}, *row;
	assert_int_equal(rows_get(scene->rows, PAIRS, key, &row, &scene->err), OK);
	if (row)
		assert_string_equal(row[1].bytes, b);
	return row ? row[2].number : -1;
}

static void keep(struct scene *scene)
{
	assert_int_equal(rows_keep(scene->rows, &scene->err), OK);
}

static int64_t in_table(struct scene *scene, const char *sql)
{
	struct store_statement *s;
	bool row;
	assert_int_equal(store_prepare(scene->store, sql, &s, &scene->err), OK);
	assert_int_equal(store_step(s, &row, &scene->err), OK);
	int64_t value = row ? store_int(s, 0) : -1;
	store_done(s);
	return value;
}

static void a_row_is_read_back_before_and_after_it_is_written(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	assert_int_equal(get(&scene, 1, "x"), -1);
	put(&scene, 1, "x", 5);
	put(&scene, 1, "y", 6);
	assert_int_equal(get(&scene, 1, "x"), 5);
	keep(&scene);
	assert_int_equal(in_table(&scene, "SELECT count(*) FROM pair"), 0);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	assert_int_equal(in_table(&scene, "SELECT sum(value) FROM pair"), 11);
	assert_int_equal(get(&scene, 1, "y"), 6);
	end(&scene);
}

static void a_row_that_changes_often_is_written_once_as_it_is_in_the_end(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	for (int i = 0; i < 100; i++) {
		put(&scene, 1, "x", i);
		keep(&scene);
	}
	int64_t before = in_table(&scene, "SELECT total_changes()");
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	assert_int_equal(in_table(&scene, "SELECT total_changes()") - before, 1);
	assert_int_equal(in_table(&scene, "SELECT value FROM pair"), 99);
	end(&scene);
}

static void a_deleted_row_is_gone_from_the_table_too_and_can_come_back(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	put(&scene, 1, "x", 5);
	keep(&scene);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	delete (&scene, 1, "x");
	delete (&scene, 2, "never");
	assert_int_equal(get(&scene, 1, "x"), -1);
	keep(&scene);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	assert_int_equal(in_table(&scene, "SELECT count(*) FROM pair"), 0);
	put(&scene, 1, "x", 7);
	keep(&scene);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	assert_int_equal(in_table(&scene, "SELECT value FROM pair"), 7);
	end(&scene);
}

static void what_is_undone_was_never_there(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	put(&scene, 1, "new", 1);
	put(&scene, 1, "kept", 2);
	keep(&scene);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	put(&scene, 1, "kept", 3);
	put(&scene, 1, "kept", 4);
	put(&scene, 1, "other", 5);
	delete (&scene, 1, "new");
	rows_undo(scene.rows);
	assert_int_equal(get(&scene, 1, "kept"), 2);
	assert_int_equal(get(&scene, 1, "other"), -1);
	assert_int_equal(get(&scene, 1, "new"), 1);
	int64_t before = in_table(&scene, "SELECT total_changes()");
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	assert_int_equal(in_table(&scene, "SELECT total_changes()") - before, 0);
	end(&scene);
}

static void a_row_stays_readable_until_it_is_kept_even_if_it_is_replaced(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	put(&scene, 1, "x", 5);
	const struct store_value key[] = {value_int(1), value_text("x")}, *row;
	assert_int_equal(rows_get(scene.rows, PAIRS, key, &row, &scene.err), OK);
	put(&scene, 1, "x", 6);
	assert_int_equal(row[2].number, 5);
	assert_string_equal(row[1].bytes, "x");
	keep(&scene);
	end(&scene);
}

/* Text and number, or text and blob of the same bytes, are different keys, as they are for SQLite. */
static void keys_of_different_kinds_are_different(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	const struct store_value values[] = {value_int(1), value_text("1"), value_blob("1", 1), value_text(""),
	                                     value_blob("", 0)};
	size_t count = sizeof values / sizeof *values;
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < count; i++) {
			const struct store_value row[] = {values[i], value_int((int64_t)i)};
			assert_int_equal(rows_put(scene.rows, NAMES, row, &scene.err), OK);
		}
		keep(&scene);
		assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
		assert_int_equal(in_table(&scene, "SELECT count(*) FROM name"), count);
	}
	end(&scene);
}

static void a_value_that_its_column_cannot_hold_is_the_programs_fault(void **state)
{
	(void)state;
	const struct store_value wrong[][4] = {
		{value_text("1"), value_text("x"), value_int(1), value_null()},
		{value_int(1), value_null(), value_int(1), value_null()},
		{value_int(1), value_text("x"), value_blob("1", 1), value_null()},
		{value_int(1), value_text("x"), value_null(), value_null()},
		{value_int(1), value_text("x"), value_int(1), value_text("no blob")},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct scene scene;
		begin(&scene);
		assert_int_equal(rows_put(scene.rows, PAIRS, wrong[i], &scene.err), FATAL);
		assert_true(err_is(&scene.err, "handler"));
		end(&scene);
	}
	struct scene scene;
	const struct store_value *row;
	begin(&scene);
	assert_int_equal(rows_get(scene.rows, PAIRS, wrong[0], &row, &scene.err), FATAL);
	assert_true(err_is(&scene.err, "handler"));
	end(&scene);
}

/* Who asks for the same row twice in a row gets it without a search: whatever has happened to it in between. */
static void the_row_that_was_looked_at_last_is_as_it_is_now(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	put(&scene, 1, "x", 5);
	keep(&scene);
	put(&scene, 1, "x", 6);
	rows_undo(scene.rows);
	assert_int_equal(get(&scene, 1, "x"), 5);
	delete (&scene, 1, "x");
	assert_int_equal(get(&scene, 1, "x"), -1);
	rows_undo(scene.rows);
	assert_int_equal(get(&scene, 1, "x"), 5);
	for (int i = 0; i < 60000; i++) { /* so much that all is written and forgotten, x's row after it */
		put(&scene, 2, "y", i);
		put(&scene, 3 + i, "z", i);
		assert_int_equal(get(&scene, 1, "x"), 5);
		keep(&scene);
	}
	assert_true(in_table(&scene, "SELECT count(*) FROM pair") > 10000);
	assert_int_equal(get(&scene, 2, "y"), 59999);
	end(&scene);
}

static int64_t named(struct scene *scene, struct store_value key)
{
	const struct store_value *row;
	assert_int_equal(rows_get(scene->rows, NAMES, &key, &row, &scene->err), OK);
	return row ? row[1].number : -1;
}

static void keys_of_the_same_bytes_and_of_another_kind_or_length_are_other_keys(void **state)
{
	(void)state;
	static const char bytes[] = "0123456\0\0\0\0\0\0\0\0";
	struct scene scene;
	begin(&scene);
	for (uint32_t i = 0; i < sizeof bytes; i++) {
		const struct store_value blob = value_blob(bytes, i),
					 text = {.kind = STORE_TEXT, .len = i, .bytes = bytes}, number = value_int(i);
		const struct store_value row[] = {blob, value_int(i)};
		assert_int_equal(rows_put(scene.rows, NAMES, row, &scene.err), OK);
		assert_int_equal(named(&scene, text), -1);
		assert_int_equal(named(&scene, number), -1);
		assert_int_equal(named(&scene, blob), i);
	}
	for (uint32_t i = 0; i < sizeof bytes; i++)
		assert_int_equal(named(&scene, value_blob(bytes, i)), i);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	assert_int_equal(in_table(&scene, "SELECT count(*) FROM name"), sizeof bytes);
	end(&scene);
}

static void a_table_whose_key_is_not_its_first_columns_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"CREATE TABLE t (a INTEGER NOT NULL, b INTEGER PRIMARY KEY) STRICT",
		"CREATE TABLE t (a INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (b, a)) STRICT",
		"CREATE TABLE t (a INTEGER NOT NULL) STRICT",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct store *store;
		struct rows *rows;
		struct err err = {0};
		assert_int_equal(store_open(&(struct store_config){.mode = STORE_SCRATCH}, &store, &err), OK);
		assert_int_equal(store_exec(store, wrong[i], &err), OK);
		assert_int_equal(rows_open(store, &wrong[i], 1, 0, &rows, &err), FATAL);
		assert_true(err_is(&err, "ddl"));
		rows_close(rows);
		store_close(store);
	}
}

/* A page that was damaged may give any type in any column; a table without STRICT shows it. */
static void a_stored_value_of_the_wrong_kind_is_corruption_and_not_read(void **state)
{
	(void)state;
	static const char *const loose = "CREATE TABLE t (a INTEGER PRIMARY KEY NOT NULL, b INTEGER NOT NULL, c ANY)";
	static const char *const wrong[] = {"INSERT INTO t VALUES (1, 'text', 1)", "INSERT INTO t VALUES (1, x'00', 1)",
	                                    "INSERT INTO t VALUES (1, 1, 1.5)"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct store *store;
		struct rows *rows;
		struct err err = {0};
		const struct store_value one = value_int(1), *row;
		assert_int_equal(store_open(&(struct store_config){.mode = STORE_SCRATCH}, &store, &err), OK);
		assert_int_equal(store_exec(store, loose, &err), OK);
		assert_int_equal(store_exec(store, wrong[i], &err), OK);
		assert_int_equal(rows_open(store, &loose, 1, 0, &rows, &err), OK);
		assert_int_equal(rows_get(rows, 0, &one, &row, &err), FATAL);
		assert_true(err_is(&err, "corrupt"));
		assert_null(row);
		rows_close(rows);
		store_close(store);
	}
}

/* Who looks for the row before it gets it all the same. */
static void a_damaged_row_behind_the_one_that_is_wanted_is_left_alone(void **state)
{
	(void)state;
	static const char *const loose = "CREATE TABLE t (a INTEGER PRIMARY KEY NOT NULL, b INTEGER NOT NULL, c ANY)";
	struct store *store;
	struct rows *rows;
	struct err err = {0};
	const struct store_value one = value_int(1), two = value_int(2), three = value_int(3), *row;
	assert_int_equal(store_open(&(struct store_config){.mode = STORE_SCRATCH}, &store, &err), OK);
	assert_int_equal(store_exec(store, loose, &err), OK);
	assert_int_equal(store_exec(store, "INSERT INTO t VALUES (1, 1, 1), (2, 'text', 2), (3, 3, 3)", &err), OK);
	assert_int_equal(rows_open(store, &loose, 1, 0, &rows, &err), OK);
	assert_int_equal(rows_get(rows, 0, &one, &row, &err), OK);
	assert_int_equal(row[2].number, 1);
	assert_int_equal(rows_get(rows, 0, &three, &row, &err), OK);
	assert_int_equal(row[2].number, 3);
	assert_int_equal(rows_get(rows, 0, &two, &row, &err), FATAL);
	assert_true(err_is(&err, "corrupt"));
	rows_close(rows);
	store_close(store);
}

struct model {
	int64_t value[40]; /* -1: no row */
};

/* Any order of puts, deletes, keeps, undos and flushes gives what a plain array gives, and so do the tables. */
static void a_random_history_gives_what_an_array_gives(void **state)
{
	(void)state;
	const char *given = getenv("TANDEM_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 1, dice = seed;
	struct scene scene;
	struct model kept, now;
	begin(&scene);
	memset(&now, 0xff, sizeof now);
	kept = now;
	for (int step = 0; step < 20000; step++) {
		char name[16];
		int n = rand_r(&dice) % 40;
		snprintf(name, sizeof name, "n%d", n / 2);
		switch (rand_r(&dice) % 16) {
		default:
			put(&scene, n % 2, name, step);
			now.value[n] = step;
			break;
		case 1:
		case 2:
		case 3:
			delete (&scene, n % 2, name);
			now.value[n] = -1;
			break;
		case 4:
			rows_undo(scene.rows);
			now = kept;
			break;
		case 5:
		case 6:
			keep(&scene);
			kept = now;
			break;
		case 7:
			keep(&scene);
			kept = now;
			assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
		}
		if (get(&scene, n % 2, name) != now.value[n])
			fail_msg("step %d of TANDEM_SEED=%u: %s is another; TANDEM_SEED=%u make run-test_rows", step,
			         seed, name, seed);
	}
	keep(&scene);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	int64_t sum = 0, count = 0;
	for (int n = 0; n < 40; n++) {
		sum += now.value[n] < 0 ? 0 : now.value[n];
		count += now.value[n] >= 0;
	}
	assert_int_equal(in_table(&scene, "SELECT count(*) FROM pair"), count);
	assert_int_equal(in_table(&scene, "SELECT ifnull(sum(value), 0) FROM pair"), sum);
	end(&scene);
}

/* A commit may have millions of rows; what is held of them has a bound, and is read again from the table. */
static void more_than_the_bound_is_written_early_and_read_again(void **state)
{
	(void)state;
	struct scene scene;
	char name[32];
	begin(&scene);
	for (int i = 0; i < 50000; i++) {
		snprintf(name, sizeof name, "n%d", i);
		put(&scene, i, name, i);
		keep(&scene);
	}
	assert_true(in_table(&scene, "SELECT count(*) FROM pair") > 10000);
	for (int i = 0; i < 50000; i += 777) {
		snprintf(name, sizeof name, "n%d", i);
		assert_int_equal(get(&scene, i, name), i);
	}
	end(&scene);
}

/* The row with the highest key is written beside one above it that was undone. It must be found when it is no longer held. */
#define MANY       3000
#define NOTE_BYTES 12000 /* so that a few hundred rows are more than is held */

static void put_large(struct scene *scene, int64_t a, const char *b, int64_t value)
{
	static const uint8_t note[NOTE_BYTES];
	const struct store_value row[] = {value_int(a), value_text(b), value_int(value), value_blob(note, sizeof note)};
	assert_int_equal(rows_put(scene->rows, PAIRS, row, &scene->err), OK);
}

/* The rows are closed and opened again on the tables that they have left. */
static void open_again(struct scene *scene)
{
	keep(scene);
	assert_int_equal(rows_flush(scene->rows, &scene->err), OK);
	rows_close(scene->rows);
	assert_int_equal(rows_open(scene->store, tables, 2, 0, &scene->rows, &scene->err), OK);
}

/* A key that was never written is not looked for, one that was is found: before and after rows are forgotten, where the table was
 * empty and where it was not, while what was there before is made known. */
static void what_was_forgotten_is_known_to_be_there_and_nothing_else_is_lost(void **state)
{
	(void)state;
	const char *given = getenv("TANDEM_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 1, dice = seed;
	static int64_t now[MANY];
	struct scene scene;
	begin(&scene);
	memset(now, 0xff, sizeof now);
	for (int step = 0; step < 30000; step++) {
		char name[16];
		int n = rand_r(&dice) % MANY;
		snprintf(name, sizeof name, "n%d", n * 7919 % MANY);
		if (get(&scene, n % 3 - 1, name) != now[n])
			fail_msg("step %d of TANDEM_SEED=%u: %s is another; TANDEM_SEED=%u make run-test_rows", step,
			         seed, name, seed);
		switch (rand_r(&dice) % 16) {
		case 0:
		case 1:
		case 2:
		case 3:
			put_large(&scene, n % 3 - 1, name, step);
			now[n] = step;
			break;
		case 4:
			delete (&scene, n % 3 - 1, name);
			now[n] = -1;
			break;
		case 5:
			put_large(&scene, n % 3 - 1, name, step);
			rows_undo(scene.rows);
			break;
		case 6:
			if (rand_r(&dice) % 64 == 0)
				open_again(&scene);
		}
		keep(&scene);
	}
	open_again(&scene);
	int64_t count = 0;
	for (int n = 0; n < MANY; n++)
		count += now[n] >= 0;
	assert_int_equal(in_table(&scene, "SELECT count(*) FROM pair"), count);
	end(&scene);
}

/* Many small rows that were there before: found while they are made known, a part at a time. */
static void rows_of_before_are_found_while_they_are_made_known(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	assert_int_equal(store_exec(scene.store,
	                            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39999)"
	                            " INSERT INTO pair SELECT i * 7 % 1000, 'k' || i, i, NULL FROM n",
	                            &scene.err),
	                 OK);
	open_again(&scene);
	for (int64_t i = 0; i < 40000; i++) {
		char name[32];
		snprintf(name, sizeof name, "k%d", (int)(i * 7919 % 40000));
		assert_int_equal(get(&scene, i * 7919 % 40000 * 7 % 1000, name), i * 7919 % 40000);
		assert_int_equal(get(&scene, i % 1000, "none"), -1);
		if (i % 10 == 0)
			put_large(&scene, i % 1000, "new", i);
		keep(&scene);
	}
	end(&scene);
}

#define BEHIND       4000
#define BEHIND_BYTES 65536 /* some three hundred rows */

static void fill(struct scene *scene, int64_t now[BEHIND])
{
	char name[16];
	for (int n = 0; n < BEHIND; n += 1 + n % 3) {
		snprintf(name, sizeof name, "n%d", n % 3);
		put(scene, n / 3, name, n);
		keep(scene);
		now[n] = n;
	}
	assert_int_equal(rows_flush(scene->rows, &scene->err), OK);
}

/* Rows that are read with the one before them: those that are held are newer, some are gone, and some were never there. Keys are
 * asked for upwards, which reads more and more ahead, and at random, which stops it. */
static void a_row_that_was_read_ahead_is_as_it_was_last_written(void **state)
{
	(void)state;
	const char *given = getenv("TANDEM_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 1, dice = seed;
	static int64_t now[BEHIND];
	struct scene scene;
	char name[16];
	begin(&scene);
	memset(now, 0xff, sizeof now);
	rows_close(scene.rows);
	assert_int_equal(rows_open(scene.store, tables, 2, BEHIND_BYTES, &scene.rows, &scene.err), OK);
	fill(&scene, now);
	for (int step = 0; step < 60000; step++) {
		int n = step / BEHIND % 3 ? (step * 2 + step % 5) % BEHIND : rand_r(&dice) % BEHIND;
		snprintf(name, sizeof name, "n%d", n % 3);
		if (get(&scene, n / 3, name) != now[n])
			fail_msg("step %d of TANDEM_SEED=%u: row %d is another; TANDEM_SEED=%u make run-test_rows",
			         step, seed, n, seed);
		n = (n + rand_r(&dice) % 16) % BEHIND; /* often one that is read ahead next */
		snprintf(name, sizeof name, "n%d", n % 3);
		switch (rand_r(&dice) % 8) {
		case 0:
			put(&scene, n / 3, name, step);
			now[n] = step;
			break;
		case 1:
			delete (&scene, n / 3, name);
			now[n] = -1;
			break;
		case 2:
			put(&scene, n / 3, name, step);
			rows_undo(scene.rows);
		}
		keep(&scene);
	}
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	int64_t count = 0;
	for (int n = 0; n < BEHIND; n++)
		count += now[n] >= 0;
	assert_int_equal(in_table(&scene, "SELECT count(*) FROM pair"), count);
	end(&scene);
}

static void a_row_below_one_that_was_undone_is_found_again(void **state)
{
	(void)state;
	struct scene scene;
	char name[32];
	begin(&scene);
	put(&scene, 1, "a", 5);
	keep(&scene);
	put(&scene, 2, "b", 6);
	rows_undo(scene.rows);
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	for (int i = 1; i < 50000; i++) { /* until all are forgotten */
		snprintf(name, sizeof name, "n%d", i);
		put(&scene, -i, name, i);
		keep(&scene);
	}
	assert_int_equal(get(&scene, 1, "a"), 5);
	end(&scene);
}

static void numbers_and_lengths_of_all_sizes_come_back(void **state)
{
	(void)state;
	static const int64_t numbers[] = {0,         1,
	                                  -1,        127,
	                                  128,       -128,
	                                  -129,      255,
	                                  32767,     32768,
	                                  -32768,    -32769,
	                                  INT32_MAX, INT32_MAX + INT64_C(1),
	                                  INT32_MIN, INT32_MIN - INT64_C(1),
	                                  INT64_MAX, INT64_MIN};
	static const size_t lengths[] = {0, 1, 30, 31, 32, 70000};
	static char text[70001];
	struct scene scene;
	begin(&scene);
	memset(text, 'x', sizeof text - 1);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
			const char *b = text + sizeof text - 1 - lengths[j];
			const struct store_value put_row[] = {
				value_int(numbers[i]),
				value_text(b),
				value_int(numbers[i]),
				{.kind = STORE_BLOB, .len = (uint32_t)lengths[j], .bytes = b}};
			const struct store_value *row;
			assert_int_equal(rows_put(scene.rows, PAIRS, put_row, &scene.err), OK);
			assert_int_equal(rows_get(scene.rows, PAIRS, put_row, &row, &scene.err), OK);
			for (int column = 0; column < 4; column++)
				assert_true(store_value_equal(&row[column], &put_row[column]));
			keep(&scene);
		}
	}
	assert_int_equal(rows_flush(scene.rows, &scene.err), OK);
	assert_int_equal(in_table(&scene, "SELECT count(*) FROM pair WHERE a = value AND length(b) = length(note)"),
	                 108);
	end(&scene);
}

/* More rows than one statement takes, and the one in the middle is the one that is refused. */
static void a_row_that_its_table_refuses_breaks_the_store(void **state)
{
	(void)state;
	static const char *const checked[] = {
		"CREATE TABLE count (id INTEGER PRIMARY KEY NOT NULL, value INTEGER NOT NULL CHECK (value > 0))"
		" WITHOUT ROWID, STRICT"};
	struct scene scene = {0};
	assert_int_equal(store_open(&(struct store_config){.mode = STORE_WRITE}, &scene.store, &scene.err), OK);
	assert_int_equal(store_exec(scene.store, checked[0], &scene.err), OK);
	assert_int_equal(rows_open(scene.store, checked, 1, 0, &scene.rows, &scene.err), OK);
	assert_int_equal(store_begin(scene.store, &scene.err), OK);
	for (int64_t i = 0; i < 200; i++) {
		const struct store_value row[] = {value_int(i), value_int(i == 100 ? 0 : 1)};
		assert_int_equal(rows_put(scene.rows, 0, row, &scene.err), OK);
		keep(&scene);
	}
	assert_int_equal(rows_flush(scene.rows, &scene.err), FATAL);
	assert_true(err_is(&scene.err, "constraint"));
	assert_int_equal(store_commit(scene.store, &scene.err), FATAL);
	assert_true(err_is(&scene.err, "constraint"));
	end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_is_read_back_before_and_after_it_is_written),
		cmocka_unit_test(a_row_that_changes_often_is_written_once_as_it_is_in_the_end),
		cmocka_unit_test(a_deleted_row_is_gone_from_the_table_too_and_can_come_back),
		cmocka_unit_test(what_is_undone_was_never_there),
		cmocka_unit_test(a_row_stays_readable_until_it_is_kept_even_if_it_is_replaced),
		cmocka_unit_test(keys_of_different_kinds_are_different),
		cmocka_unit_test(a_value_that_its_column_cannot_hold_is_the_programs_fault),
		cmocka_unit_test(the_row_that_was_looked_at_last_is_as_it_is_now),
		cmocka_unit_test(keys_of_the_same_bytes_and_of_another_kind_or_length_are_other_keys),
		cmocka_unit_test(a_table_whose_key_is_not_its_first_columns_is_refused),
		cmocka_unit_test(a_stored_value_of_the_wrong_kind_is_corruption_and_not_read),
		cmocka_unit_test(a_damaged_row_behind_the_one_that_is_wanted_is_left_alone),
		cmocka_unit_test(a_random_history_gives_what_an_array_gives),
		cmocka_unit_test(more_than_the_bound_is_written_early_and_read_again),
		cmocka_unit_test(what_was_forgotten_is_known_to_be_there_and_nothing_else_is_lost),
		cmocka_unit_test(rows_of_before_are_found_while_they_are_made_known),
		cmocka_unit_test(a_row_that_was_read_ahead_is_as_it_was_last_written),
		cmocka_unit_test(a_row_below_one_that_was_undone_is_found_again),
		cmocka_unit_test(numbers_and_lengths_of_all_sizes_come_back),
		cmocka_unit_test(a_row_that_its_table_refuses_breaks_the_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
