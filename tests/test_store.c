/* What the store promises: see common/store.h. */
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/faulty_vfs.h"
#include "support/folder.h"

static struct store *memory(bool deterministic)
{
	struct store *store;
	struct err err = {0};
	assert_int_equal(
		store_open(&(struct store_config){.mode = STORE_SCRATCH, .deterministic = deterministic}, &store, &err),
		OK);
	return store;
}

static int64_t number(struct store *store, const char *sql)
{
	struct store_statement *s;
	struct err err = {0};
	bool row;
	assert_int_equal(store_prepare(store, sql, &s, &err), OK);
	assert_int_equal(store_step(s, &row, &err), OK);
	assert_true(row);
	int64_t value = store_int(s, 0);
	store_done(s);
	return value;
}

static void after_an_error_nothing_more_is_done(void **state)
{
	(void)state;
	struct err err = {0};
	struct store *store = memory(false);
	assert_int_equal(store_exec(store, "CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT", &err), OK);
	assert_int_equal(store_begin(store, &err), OK);
	assert_int_equal(store_exec(store, "INSERT INTO t VALUES (1)", &err), OK);
	assert_int_equal(store_exec(store, "INSERT INTO t VALUES (1)", &err), FATAL);
	assert_true(err_is(&err, "constraint"));
	assert_int_equal(store_exec(store, "INSERT INTO t VALUES (2)", &err), FATAL);
	assert_int_equal(store_commit(store, &err), FATAL);
	assert_true(err_is(&err, "constraint"));
	store_close(store);
}

static void clocks_and_random_numbers_fail(void **state)
{
	(void)state;
	static const char *const wrong[] = {"INSERT INTO t VALUES (random())", "INSERT INTO t VALUES (unixepoch())",
	                                    "INSERT INTO t VALUES (CAST(strftime('%s','now') AS INTEGER))",
	                                    "INSERT INTO t VALUES (length(CURRENT_TIMESTAMP))",
	                                    "INSERT INTO d DEFAULT VALUES"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct err err = {0};
		struct store *store = memory(true);
		assert_int_equal(store_exec(store,
		                            "CREATE TABLE t (a INTEGER) STRICT;"
		                            "CREATE TABLE d (a TEXT DEFAULT CURRENT_TIMESTAMP) STRICT",
		                            &err),
		                 OK);
		assert_int_equal(store_exec(store, wrong[i], &err), FATAL);
		assert_non_null(strstr(err.text, "deterministic"));
		store_close(store);
	}
}

static void a_canonical_uuid_is_kept_in_16_bytes_and_anything_else_as_text(void **state)
{
	(void)state;
	static const struct {
		const char *id;
		int64_t stored_bytes;
	} cases[] = {{"0190a8f6-7b1c-7def-8a3b-0123456789ab", 16},
	             {"0190A8F6-7B1C-7DEF-8A3B-0123456789AB", 36},
	             {"0190a8f67b1c-7def-8a3b-0123456789abc", 36},
	             {"536365", 6},
	             {"0123456789abcdef", 16}};
	struct err err = {0};
	struct arena arena = {0};
	struct store *store = memory(false);
	assert_int_equal(store_exec(store, "CREATE TABLE t (id ANY PRIMARY KEY) STRICT", &err), OK);
	struct store_statement *put, *get;
	assert_int_equal(store_prepare(store, "INSERT INTO t VALUES (?1)", &put, &err), OK);
	assert_int_equal(store_prepare(store, "SELECT id, length(CAST(id AS BLOB)) FROM t WHERE id = ?1", &get, &err),
	                 OK);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool row;
		store_bind_id(put, 1, cases[i].id);
		assert_int_equal(store_run(put, &err), OK);
		store_bind_id(get, 1, cases[i].id);
		assert_int_equal(store_step(get, &row, &err), OK);
		assert_true(row);
		assert_string_equal(store_id(get, 0, &arena), cases[i].id);
		assert_int_equal(store_int(get, 1), cases[i].stored_bytes);
		store_done(get);
	}
	arena_fini(&arena);
	store_close(store);
}

/* Every character in every place: what is packed comes back as it was, and whatever is no such digit stays text. */
static void only_lower_case_hexadecimal_digits_make_a_uuid(void **state)
{
	(void)state;
	static const char good[] = "0190a8f6-7b1c-7def-8a3b-0123456789ab";
	struct arena arena = {0};
	for (size_t at = 0; at < sizeof good - 1; at++)
		for (int c = 1; c < 256; c++) {
			char id[sizeof good];
			memcpy(id, good, sizeof id);
			id[at] = (char)c;
			bool uuid = good[at] == '-' ? c == '-' : strchr("0123456789abcdef", c) != NULL;
			struct store_value value = store_value_of_id(id, &arena);
			assert_int_equal(value.kind, uuid ? STORE_BLOB : STORE_TEXT);
			assert_int_equal(value.len, uuid ? 16 : sizeof good - 1);
			assert_string_equal(uuid ? store_value_text(&value, &arena) : value.bytes, id);
			arena_reset(&arena);
		}
	arena_fini(&arena);
}

struct feed {
	struct store_value row[3];
	int64_t at, count;
	char text[16];
};

static const struct store_value *next_row(void *arg)
{
	struct feed *feed = arg;
	if (feed->at == feed->count)
		return NULL;
	snprintf(feed->text, sizeof feed->text, "t%d", (int)feed->at);
	feed->row[0] = (struct store_value){.kind = STORE_INT, .number = feed->at++};
	feed->row[1] =
		(struct store_value){.kind = STORE_TEXT, .len = (uint32_t)strlen(feed->text), .bytes = feed->text};
	feed->row[2] = (struct store_value){.kind = STORE_BLOB};
	return feed->row;
}

static void a_feed_is_taken_whole_by_one_statement_and_what_contradicts_it_breaks_the_store(void **state)
{
	(void)state;
	struct err err = {0};
	struct store *store = memory(true);
	struct store_statement *insert, *sum, *count;
	struct feed feed = {.count = 1000}, again = {.at = 999, .count = 1001}, none = {0};
	bool row;
	assert_int_equal(store_exec(store,
	                            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL, c BLOB NOT NULL) STRICT",
	                            &err),
	                 OK);
	assert_int_equal(store_prepare(store, "INSERT OR ROLLBACK INTO t SELECT c0, c1, c2 FROM feed", &insert, &err),
	                 OK);
	assert_int_equal(store_prepare(store, "SELECT count(*), sum(a), min(b), sum(length(c)) FROM t", &sum, &err),
	                 OK);
	assert_int_equal(store_prepare(store, "SELECT count(*) FROM feed", &count, &err), OK);
	assert_int_equal(store_begin(store, &err), OK);
	assert_int_equal(store_run_fed(insert, next_row, &feed, &err), OK);
	assert_int_equal(store_run_fed(insert, next_row, &none, &err), OK);
	assert_int_equal(store_step(sum, &row, &err), OK);
	assert_int_equal(store_int(sum, 0), 1000);
	assert_int_equal(store_int(sum, 1), 499500);
	assert_string_equal(store_text(sum, 2), "t0");
	assert_int_equal(store_int(sum, 3), 0);
	store_done(sum);
	assert_int_equal(store_step(count, &row, &err), OK); /* outside of such a run it is empty */
	assert_int_equal(store_int(count, 0), 0);
	store_done(count);
	assert_int_equal(store_run_fed(insert, next_row, &again, &err), FATAL);
	assert_true(err_is(&err, "constraint"));
	assert_int_equal(store_commit(store, &err), FATAL);
	store_close(store);
}

static void the_linter_wants_strict_tables_without_floats_or_computed_defaults(void **state)
{
	(void)state;
	static const struct {
		const char *ddl;
		enum status status;
	} cases[] = {
		{"CREATE TABLE t (a INTEGER DEFAULT 0, b TEXT DEFAULT 'x y') STRICT", OK},
		{"CREATE TABLE t (a INTEGER NOT NULL DEFAULT -1) WITHOUT ROWID, STRICT", OK},
		{"CREATE TABLE t (a INTEGER)", REJECT},
		{"CREATE TABLE t (a REAL) STRICT", REJECT},
		{"CREATE TABLE t (a real) STRICT", REJECT},
		{"CREATE TABLE t (a TEXT DEFAULT CURRENT_TIMESTAMP) STRICT", REJECT},
		{"CREATE TABLE t (a INTEGER DEFAULT (random())) STRICT", REJECT},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(store_lint(cases[i].ddl, NULL), cases[i].status);
}

static void a_copy_is_consistent_beside_an_open_transaction_and_what_was_abandoned_is_gone(void **state)
{
	(void)state;
	char dir[] = "/tmp/tandem-store-XXXXXX";
	assert_non_null(mkdtemp(dir));
	struct arena arena = {0};
	char *path = arena_format(&arena, "%s/live.db", dir), *copy = arena_format(&arena, "%s/copy.db", dir);
	struct err err = {0};
	struct store *live, *other;
	struct store_config config = {.path = path, .mode = STORE_WRITE};
	assert_int_equal(store_open(&config, &live, &err), OK);
	assert_int_equal(store_exec(live, "CREATE TABLE t (a INTEGER) STRICT; INSERT INTO t VALUES (1)", &err), OK);
	assert_int_equal(store_begin(live, &err), OK);
	assert_int_equal(store_exec(live, "INSERT INTO t VALUES (2)", &err), OK);
	assert_int_equal(store_copy(path, copy, &err), OK);
	assert_int_equal(store_open(&(struct store_config){.path = copy, .mode = STORE_READ}, &other, &err), OK);
	assert_int_equal(number(other, "SELECT count(*) FROM t"), 1);
	assert_int_equal(store_exec(other, "INSERT INTO t VALUES (3)", &err), FATAL);
	store_close(other);
	store_abandon(live);
	assert_int_equal(store_open(&config, &live, &err), OK);
	assert_int_equal(number(live, "SELECT count(*) FROM t"), 1);
	store_close(live);
	unlink(path);
	unlink(copy);
	unlink(arena_format(&arena, "%s-wal", path));
	unlink(arena_format(&arena, "%s-shm", path));
	rmdir(dir);
	arena_fini(&arena);
}

/* SQLite opens for reading what it cannot open for writing, and says so at the first write: that passes. */
static void a_file_that_could_not_be_opened_for_writing_is_tried_again(void **state)
{
	(void)state;
	static const char *const parts[] = {"one.db", "one.db-wal"};
	struct folder folder;
	struct store *store;
	struct err err = {0};
	folder_make(&folder);
	faulty_vfs_install();
	char *path = mem_format("%s/one.db", folder.path);
	const struct store_config config = {.path = path, .mode = STORE_WRITE, .vfs = FAULTY_VFS};
	assert_int_equal(store_open(&config, &store, &err), OK);
	assert_int_equal(store_exec(store, "CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT", &err), OK);
	store_abandon(store); /* its WAL stays */
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		faulty_vfs_fail(parts[i], FAULTY_OPEN);
		enum status status = store_open(&config, &store, &err);
		if (status == OK) {
			status = store_exec(store, "INSERT INTO t DEFAULT VALUES", &err);
			store_abandon(store);
		}
		faulty_vfs_fail(parts[i], FAULTY_NONE);
		assert_int_equal(status, RETRY);
		assert_string_equal(err.code, "io");
		assert_int_equal(store_open(&config, &store, &err), OK);
		assert_int_equal(store_exec(store, "INSERT INTO t DEFAULT VALUES", &err), OK);
		store_abandon(store);
	}
	mem_free(path);
	folder_remove(&folder);
}

static void null_reads_as_empty_text(void **state)
{
	(void)state;
	struct err err = {0};
	struct store *store = memory(false);
	struct store_statement *s;
	bool row;
	assert_int_equal(store_prepare(store, "SELECT NULL", &s, &err), OK);
	assert_int_equal(store_step(s, &row, &err), OK);
	assert_string_equal(store_text(s, 0), "");
	assert_true(store_is_null(s, 0));
	assert_int_equal(store_step(s, &row, &err), OK);
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_could_not_be_opened_for_writing_is_tried_again),
		cmocka_unit_test(null_reads_as_empty_text),
		cmocka_unit_test(after_an_error_nothing_more_is_done),
		cmocka_unit_test(clocks_and_random_numbers_fail),
		cmocka_unit_test(a_canonical_uuid_is_kept_in_16_bytes_and_anything_else_as_text),
		cmocka_unit_test(only_lower_case_hexadecimal_digits_make_a_uuid),
		cmocka_unit_test(a_feed_is_taken_whole_by_one_statement_and_what_contradicts_it_breaks_the_store),
		cmocka_unit_test(the_linter_wants_strict_tables_without_floats_or_computed_defaults),
		cmocka_unit_test(a_copy_is_consistent_beside_an_open_transaction_and_what_was_abandoned_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
