/* store: SQLite as Tandem uses it, and the only user of sqlite3.h.
 *
 * One connection, one thread. After any error but SQLITE_BUSY at begin the transaction may be gone behind our back, so the
 * store is broken from then on: every call returns the first error's status until it is closed (store_close) and opened
 * anew. RETRY: busy, full, I/O, out of memory. FATAL: everything else (corrupt, constraint, misuse).
 *
 * Statements are compiled once and kept; each is reset before it is used again and when store_done is called. */
#ifndef TANDEM_STORE_H
#define TANDEM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"

struct store;
struct store_statement;

/* Of pages; a process has one store a partition, and a worker is to live in 64 MB. */
#define STORE_CACHE_KIB 3072

enum store_mode {
	STORE_WRITE,   /* create if missing, WAL, no automatic checkpoint unless the profile says so */
	STORE_READ,    /* read-only, query_only; never checkpoints; may be used beside a writer */
	STORE_SCRATCH, /* a throw-away file (or NULL path: memory): no journal, no fsync */
};

/* A value of any column, comparable across stores. One that was read from a statement lives until its next step. */
enum store_kind { STORE_NULL, STORE_INT, STORE_TEXT, STORE_BLOB, STORE_REAL };
struct store_value {
	enum store_kind kind;
	uint32_t len; /* of bytes; 0 for a number */
	union {
		int64_t number;    /* STORE_INT */
		const void *bytes; /* the others; text without its NUL */
	};
};

struct store_config {
	const char *path; /* NULL: in memory */
	enum store_mode mode;
	bool full_sync;      /* synchronous=FULL instead of NORMAL (STORE_WRITE only) */
	bool keep_wal;       /* no automatic checkpoint, and none on close (the local log's files) */
	bool deterministic;  /* SQL's clock and random functions fail */
	bool reverse;        /* PRAGMA reverse_unordered_selects=ON, for tests */
	int busy_timeout_ms; /* 0: none */
	const char *vfs;     /* NULL: the default; a fault-injecting one in tests */
	int cache_kib;       /* 0: STORE_CACHE_KIB */
};

enum status store_open(const struct store_config *config, struct store **out, struct err *err);
/* Is the file as long as its header says? SQLite reads zeros behind the end, and takes part of a page for a page. Where it is
 * shorter, as a checkpoint that was interrupted leaves it too, the whole is checked: FATAL "corrupt" unless it is sound. */
enum status store_check_length(struct store *store, struct err *err);

void store_close(struct store *store); /* rolls back what is open. NULL is fine */

/* Ends the connection as a crash does: closes the descriptors, no rollback, no checkpoint, the WAL stays. */
void store_abandon(struct store *store);

enum status store_exec(struct store *store, const char *sql, struct err *err); /* one or more statements, no rows */
enum status store_begin(struct store *store, struct err *err);                 /* BEGIN IMMEDIATE */
enum status store_commit(struct store *store, struct err *err);                /* never retried: failed means broken */
bool store_in_transaction(const struct store *store);
/* OK, or the error that has broken it: whoever was told of it and went on, or read a value that could not be read, finds out here. */
enum status store_check(struct store *store, struct err *err);

/* ---- statements ---- */

/* Compiles one statement. Owned by the store, lives until it is closed. */
enum status store_prepare(struct store *store, const char *sql, struct store_statement **out, struct err *err);

/* Binding begins a new execution (it resets). Index from 1. Text and blobs must stay valid until store_done or the next
 * bind round. Errors surface at the next step. */
void store_bind_int(struct store_statement *statement, int index, int64_t value);
void store_bind_text(struct store_statement *statement, int index, const char *text); /* NULL binds null */
void store_bind_blob(struct store_statement *statement, int index, const void *bytes, size_t len);
void store_bind_null(struct store_statement *statement, int index);

/* Steps. *row: a row is there and its columns can be read until the next step, bind or done; false: finished (and reset). */
enum status store_step(struct store_statement *statement, bool *row, struct err *err);

/* Rows that one execution of a statement takes, all of them: it selects from the table `feed`, whose columns are c0, c1, and so
 * on. next gives them one after the other, each until it is called again; NULL: there are no more. */
#define STORE_FEED_COLUMNS 64
typedef const struct store_value *(*store_feed_next)(void *arg);
enum status store_run_fed(struct store_statement *statement, store_feed_next next, void *arg, struct err *err);

/* Steps a statement that gives no row, and resets it. */
enum status store_run(struct store_statement *statement, struct err *err);
void store_done(struct store_statement *statement); /* resets; after reading one row of several */

int64_t store_int(struct store_statement *statement, int column); /* from 0; 0 for null */
/* Never NULL: "" for null (see store_is_null), and where memory ran out: then the store is broken. Lives until the next step. */
const char *store_text(struct store_statement *statement, int column);
const void *store_blob(struct store_statement *statement, int column, size_t *len);
bool store_is_null(struct store_statement *statement, int column);

/* An identifier (order_id, ...) is kept as text, or in 16 bytes where it is a UUID in canonical lower-case
 * form; its column is of type ANY. */
void store_bind_id(struct store_statement *statement, int index, const char *id);
struct store_value store_value_of_id(const char *id, struct arena *arena); /* text stays where it is */
/* Back to text, into the arena. */
const char *store_id(struct store_statement *statement, int column, struct arena *arena);

/* ---- whole tables, for verify ---- */

/* Opens a consistent copy of a live file, made beside the writer (VACUUM INTO), at `copy`, which must not exist. */
enum status store_copy(const char *path, const char *copy, struct err *err);

int store_column_count(struct store_statement *statement);
const char *store_column_name(struct store_statement *statement, int column);
void store_value(struct store_statement *statement, int column, struct store_value *out);
bool store_value_equal(const struct store_value *a, const struct store_value *b);
int store_value_compare(const struct store_value *a, const struct store_value *b);  /* SQLite's BINARY order */
const char *store_value_text(const struct store_value *value, struct arena *arena); /* for people */
void store_value_bind(struct store_statement *statement, int index, const struct store_value *value);

/* The name behind CREATE TABLE; "" where there is none. */
#define STORE_NAME_ROOM 64
void store_table_name(const char *ddl, char name[STORE_NAME_ROOM]);

/* Checks CREATE TABLE statements: STRICT, no REAL column, no DEFAULT but a literal. REJECT "ddl". */
enum status store_lint(const char *ddl, struct err *err);

#endif
