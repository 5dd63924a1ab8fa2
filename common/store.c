/* Why a store breaks on its first error: after a failed WAL write SQLite may have rolled the transaction back by itself,
 * and the next statement would run, and commit, alone. So nothing is done on a connection that has failed once, and
 * whether the transaction is still open is looked at before it is used or committed. */
#include "store.h"

#include "bytes.h"
#include "store_feed.h"

#include <sqlite3.h>

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STORE_BEGIN, STORE_COMMIT, STORE_OWN_COUNT };

static const char *const own_sql[STORE_OWN_COUNT] = {"BEGIN IMMEDIATE", "COMMIT"};

#define HEADER_BYTES 100

/* Of the WAL: 32 MB. Rows come in any order of their keys, so that between two checkpoints a page is written many times and moved
 * into the file once; after a crash so much is read again. */
#define CHECKPOINT_PAGES 8000

struct store_statement {
	sqlite3_stmt *stmt;
	struct store *store;
	struct store_statement *next;
	bool running;
	int bind_error;
};

struct store {
	sqlite3 *db;
	struct store_statement *own[STORE_OWN_COUNT];
	struct store_statement *statements; /* all of them */
	char *path;
	bool writes;            /* opened to be written */
	struct store_feed feed; /* of the statement that is run */
	enum status broken;     /* OK while it is not */
	struct err why;
};

/* ---- errors ---- */

/* What SQLite calls an I/O error, or a file that it cannot open, may be a full disk: the system said so. */
static enum status classify(int rc, int system_errno, const char **code)
{
	bool full = system_errno == ENOSPC || system_errno == EDQUOT;
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		*code = "busy";
		return RETRY;
	case SQLITE_FULL:
		*code = "disk_full";
		return RETRY;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		*code = full ? "disk_full" : "io";
		return RETRY;
	case SQLITE_PROTOCOL:
		*code = "io";
		return RETRY;
	case SQLITE_NOMEM:
		*code = "memory";
		return RETRY;
	case SQLITE_READONLY:
		*code = "readonly";
		return FATAL;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		*code = "corrupt";
		return FATAL;
	case SQLITE_CONSTRAINT:
		*code = "constraint";
		return FATAL;
	default:
		*code = "sql";
		return FATAL;
	}
}

/* A file or a WAL that cannot be opened for writing SQLite opens for reading, and says so at the first write, if at all. Where it
 * is not the file's mode that forbids it, the reason has passed. */
static bool may_be_written(const struct store *store)
{
	if (!store->path || !store->writes || access(store->path, W_OK) != 0)
		return false;
	char *wal = mem_format("%s-wal", store->path);
	bool may = access(wal, W_OK) == 0 || errno == ENOENT;
	mem_free(wal);
	return may;
}

static enum status failed(struct store *store, int rc, const char *doing, struct err *err)
{
	const char *code;
	enum status status = classify(rc, store->db ? sqlite3_system_errno(store->db) : 0, &code);
	const char *text = store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(rc);
	if ((rc & 0xff) == SQLITE_READONLY && may_be_written(store)) {
		status = RETRY;
		code = "io";
		text = "could not be opened for writing";
	}
	if (strcmp(code, "disk_full") == 0)
		text = "database or disk is full";
	err_set(&store->why, status, code, "%s: %s (%d) while it was to %s",
	        store->path ? store->path : "database in memory", text,
	        store->db ? sqlite3_extended_errcode(store->db) : rc, doing);
	store->broken = status;
	if (err)
		*err = store->why;
	return status;
}

static enum status broken(struct store *store, struct err *err)
{
	if (store->broken != OK && err)
		*err = store->why;
	return store->broken;
}

/* ---- opening ---- */

static void forbidden(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count;
	(void)values;
	sqlite3_result_error(context, "clock and random functions are not deterministic: use stream time", -1);
}

static int forbid_functions(sqlite3 *db)
{
	static const char *const names[] = {
		"random",   "randomblob", "date",         "time",         "datetime",          "julianday", "unixepoch",
		"strftime", "timediff",   "current_date", "current_time", "current_timestamp", "localtime", "gmtime"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int rc = sqlite3_create_function(db, names[i], -1, SQLITE_UTF8, NULL, forbidden, NULL, NULL);
		for (int args = 0; args < 3 && rc == SQLITE_OK; args++)
			rc = sqlite3_create_function(db, names[i], args, SQLITE_UTF8, NULL, forbidden, NULL, NULL);
		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

static enum status pragmas(struct store *store, const struct store_config *config, struct err *err)
{
	char sql[512];
	snprintf(sql, sizeof sql, "PRAGMA cache_size=-%d; PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY;%s",
	         config->cache_kib ? config->cache_kib : STORE_CACHE_KIB,
	         config->reverse ? "PRAGMA reverse_unordered_selects=ON;" : "");
	enum status status = store_exec(store, sql, err);
	if (status != OK)
		return status;
	switch (config->mode) {
	case STORE_READ:
		return store_exec(store, "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0", err);
	case STORE_SCRATCH: /* nobody goes on after an error */
		return store_exec(
			store, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE", err);
	case STORE_WRITE:
		break;
	}
	if (!config->path)
		return OK;
	snprintf(sql, sizeof sql, "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA wal_autocheckpoint=%d",
	         config->full_sync ? "FULL" : "NORMAL", config->keep_wal ? 0 : CHECKPOINT_PAGES);
	return store_exec(store, sql, err);
}

/* SQLite counts what it has allocated under one mutex for all connections; nobody asks. Refused, and harmless, where the program
 * has started SQLite already. */
static void no_statistics(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum status check_writable(struct store *store, struct err *err)
{
	if (!store->writes || sqlite3_db_readonly(store->db, "main") != 1 || !may_be_written(store))
		return OK;
	store->broken = err_set(&store->why, RETRY, "io", "%s could not be opened for writing", store->path);
	return broken(store, err);
}

enum status store_open(const struct store_config *config, struct store **out, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, no_statistics);
	struct store *store = mem_zalloc(1, sizeof *store);
	store->path = config->path ? mem_strdup(config->path) : NULL;
	store->writes = config->mode == STORE_WRITE;
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
	            (config->mode == STORE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	/* An empty name is a private temporary file that SQLite deletes; ":memory:" has no file at all. */
	int rc = sqlite3_open_v2(config->path ? config->path : ":memory:", &store->db, flags, config->vfs);
	if (rc == SQLITE_OK && config->busy_timeout_ms)
		rc = sqlite3_busy_timeout(store->db, config->busy_timeout_ms);
	if (rc == SQLITE_OK && config->deterministic)
		rc = forbid_functions(store->db);
	if (rc == SQLITE_OK)
		rc = store_feed_register(store->db, &store->feed);
	if (rc == SQLITE_OK && config->keep_wal)
		rc = sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	enum status status = rc == SQLITE_OK ? check_writable(store, err) : failed(store, rc, "open", err);
	if (status == OK)
		status = pragmas(store, config, err);
	for (int i = 0; i < STORE_OWN_COUNT && status == OK; i++)
		status = store_prepare(store, own_sql[i], &store->own[i], err);
	if (status != OK) {
		store_close(store);
		return status;
	}
	*out = store;
	return OK;
}

/* The length of the file and its first bytes, through the connection's own descriptor: closing another one would drop its
 * locks. False: there is no file, or it is new. */
static int read_header(struct store *store, int64_t *len, uint8_t header[HEADER_BYTES])
{
	sqlite3_file *file = NULL;
	sqlite3_int64 size = 0;
	int rc = sqlite3_file_control(store->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	if (rc == SQLITE_OK && file && file->pMethods)
		rc = file->pMethods->xFileSize(file, &size);
	if (rc == SQLITE_OK && size >= HEADER_BYTES)
		rc = file->pMethods->xRead(file, header, HEADER_BYTES, 0);
	*len = size;
	return rc;
}

/* https://www.sqlite.org/fileformat.html#the_database_header: page size at 16, pages at 28. */
static bool has_its_length(int64_t len, const uint8_t header[HEADER_BYTES])
{
	int64_t page = header[16] << 8 | header[17];
	int64_t pages = (int64_t)header[28] << 24 | header[29] << 16 | header[30] << 8 | header[31];
	page = page == 1 ? 65536 : page;
	return page > 0 && len % page == 0 && len >= pages * page;
}

enum status store_check_length(struct store *store, struct err *err)
{
	int64_t len;
	uint8_t header[HEADER_BYTES];
	struct store_statement *check;
	bool row;
	if (broken(store, err) != OK)
		return store->broken;
	int rc = read_header(store, &len, header);
	if (rc != SQLITE_OK)
		return failed(store, rc, "look at the file's length", err);
	if (len < HEADER_BYTES || has_its_length(len, header))
		return OK;
	enum status status = store_prepare(store, "PRAGMA integrity_check(1)", &check, err);
	if (status == OK)
		status = store_step(check, &row, err);
	if (status != OK)
		return status;
	bool sound = row && strcmp(store_text(check, 0), "ok") == 0;
	store_done(check);
	if (sound)
		return broken(store, err);
	store->broken = err_set(&store->why, FATAL, "corrupt", "%s has lost its end", store->path);
	return broken(store, err);
}

static void statements_free(struct store *store)
{
	for (struct store_statement *s = store->statements; s;) {
		struct store_statement *next = s->next;
		sqlite3_finalize(s->stmt);
		mem_free(s);
		s = next;
	}
	store->statements = NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	/* Nothing more is written through one that has failed: a checkpoint would give a file that was cut its length back. */
	if (store->broken != OK && store->db)
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	statements_free(store);
	sqlite3_close_v2(store->db);
	mem_free(store->path);
	mem_free(store);
}

void store_abandon(struct store *store)
{
	if (!store)
		return;
	/* Without a checkpoint the committed WAL stays for the next opener; the open transaction was never written as
	 * committed, so closing it loses exactly what a crash loses. */
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	store_close(store);
}

/* ---- transactions ---- */

enum status store_exec(struct store *store, const char *sql, struct err *err)
{
	if (broken(store, err) != OK)
		return store->broken;
	int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? OK : failed(store, rc, "execute a statement", err);
}

static enum status own(struct store *store, int which, struct err *err)
{
	if (broken(store, err) != OK)
		return store->broken;
	sqlite3_stmt *stmt = store->own[which]->stmt;
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_DONE)
		rc = SQLITE_OK;
	enum status status = OK;
	if (which == STORE_BEGIN && (rc & 0xff) == SQLITE_BUSY) /* nothing has begun, so nothing is lost */
		status = err_set(err, RETRY, "busy", "%s: another connection writes",
		                 store->path ? store->path : "memory");
	else if (rc != SQLITE_OK)
		status = failed(store, rc, own_sql[which], err);
	sqlite3_reset(stmt);
	return status;
}

enum status store_begin(struct store *store, struct err *err)
{
	return own(store, STORE_BEGIN, err);
}

/* SQLite rolls a whole transaction back behind some errors; going on outside of it would commit the next statement alone. An error
 * has broken the store before this is asked: it is for one that nobody was told of. */
static enum status lost_transaction(struct store *store, struct err *err)
{
	if (broken(store, err) != OK)
		return store->broken;
	if (!sqlite3_get_autocommit(store->db))
		return OK;
	store->broken = err_set(&store->why, RETRY, "io", "%s: the transaction is gone; the file is opened anew",
	                        store->path ? store->path : "database in memory");
	return broken(store, err);
}

enum status store_commit(struct store *store, struct err *err)
{
	enum status status = lost_transaction(store, err);
	return status == OK ? own(store, STORE_COMMIT, err) : status;
}

enum status store_check(struct store *store, struct err *err)
{
	return broken(store, err);
}

bool store_in_transaction(const struct store *store)
{
	return !sqlite3_get_autocommit(store->db);
}

/* ---- statements ---- */

enum status store_prepare(struct store *store, const char *sql, struct store_statement **out, struct err *err)
{
	if (broken(store, err) != OK)
		return store->broken;
	struct store_statement *s = mem_zalloc(1, sizeof *s);
	int rc = sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
	if (rc != SQLITE_OK) {
		mem_free(s);
		enum status status = failed(store, rc, "compile a statement", err);
		return err_context(err, status, "%s", sql);
	}
	s->store = store;
	s->next = store->statements;
	store->statements = s;
	*out = s;
	return OK;
}

static sqlite3_stmt *bindable(struct store_statement *s)
{
	if (s->running) {
		sqlite3_reset(s->stmt);
		s->running = false;
	}
	return s->stmt;
}

static void bound(struct store_statement *s, int rc)
{
	if (rc != SQLITE_OK && s->bind_error == SQLITE_OK)
		s->bind_error = rc;
}

void store_bind_int(struct store_statement *statement, int index, int64_t value)
{
	bound(statement, sqlite3_bind_int64(bindable(statement), index, value));
}

void store_bind_text(struct store_statement *statement, int index, const char *text)
{
	bound(statement, sqlite3_bind_text(bindable(statement), index, text, -1, SQLITE_STATIC));
}

void store_bind_blob(struct store_statement *statement, int index, const void *bytes, size_t len)
{
	bound(statement, sqlite3_bind_blob64(bindable(statement), index, len ? bytes : "", len, SQLITE_STATIC));
}

void store_bind_null(struct store_statement *statement, int index)
{
	bound(statement, sqlite3_bind_null(bindable(statement), index));
}

enum status store_step(struct store_statement *statement, bool *row, struct err *err)
{
	struct store *store = statement->store;
	*row = false;
	if (broken(store, err) != OK)
		return store->broken;
	int rc = statement->bind_error ? statement->bind_error : sqlite3_step(statement->stmt);
	statement->running = true;
	if (rc == SQLITE_ROW) {
		*row = true;
		return OK;
	}
	enum status status = OK;
	if (rc != SQLITE_DONE)
		status = failed(store, rc, sqlite3_sql(statement->stmt), err);
	store_done(statement);
	return status;
}

enum status store_run(struct store_statement *statement, struct err *err)
{
	bool row;
	enum status status = store_step(statement, &row, err);
	store_done(statement);
	return status;
}

void store_done(struct store_statement *statement)
{
	sqlite3_reset(statement->stmt);
	statement->running = false;
	statement->bind_error = SQLITE_OK;
}

enum status store_run_fed(struct store_statement *statement, store_feed_next next, void *arg, struct err *err)
{
	struct store_feed *feed = &statement->store->feed;
	*feed = (struct store_feed){next, arg};
	enum status status = store_run(statement, err);
	*feed = (struct store_feed){0};
	return status;
}

int64_t store_int(struct store_statement *statement, int column)
{
	return sqlite3_column_int64(statement->stmt, column);
}

/* SQLite may need memory to show a value, and gives nothing where there is none: whoever reads it must not take that for an
 * empty one, so the store is broken before the next step, release or COMMIT. */
static void unreadable(struct store_statement *statement)
{
	if (sqlite3_errcode(statement->store->db) == SQLITE_NOMEM && statement->store->broken == OK)
		failed(statement->store, SQLITE_NOMEM, "read a column", NULL);
}

const char *store_text(struct store_statement *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement->stmt, column);
	if (!text)
		unreadable(statement);
	return text ? text : "";
}

/* Of text and blobs as they are, of a number its text. */
static const void *bytes_of(struct store_statement *statement, sqlite3_value *value, size_t *len)
{
	const void *bytes = sqlite3_value_blob(value);
	*len = bytes ? (size_t)sqlite3_value_bytes(value) : 0;
	if (!bytes)
		unreadable(statement);
	return bytes ? bytes : "";
}

/* A column is looked for once, not by each of SQLite's functions that tell of it; on one thread that is as good. */
const void *store_blob(struct store_statement *statement, int column, size_t *len)
{
	return bytes_of(statement, sqlite3_column_value(statement->stmt, column), len);
}

bool store_is_null(struct store_statement *statement, int column)
{
	return sqlite3_column_type(statement->stmt, column) == SQLITE_NULL;
}

/* ---- identifiers ---- */

#define UUID_TEXT_LEN 36
#define UUID_BYTES    16

static bool is_dash(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

/* Eight lower-case hexadecimal digits at once, a byte each: 0x80 in every byte that is at least `from`, none above 0x7f. */
static uint64_t at_least(uint64_t digits, uint8_t from)
{
	return (digits + (uint64_t)(0x80 - from) * UINT64_C(0x0101010101010101)) & UINT64_C(0x8080808080808080);
}

static bool hex_pack(const char *first, const char *second, uint8_t out[4])
{
	uint8_t text[8];
	memcpy(text, first, 4);
	memcpy(text + 4, second, 4);
	uint64_t digits = be64_get(text), high = digits & UINT64_C(0x8080808080808080);
	uint64_t decimal = at_least(digits, '0') & ~at_least(digits, '9' + 1);
	uint64_t letter = at_least(digits, 'a') & ~at_least(digits, 'f' + 1);
	uint64_t values = (digits & UINT64_C(0x0f0f0f0f0f0f0f0f)) + (letter >> 7) * 9;
	values = (values | values >> 4) & UINT64_C(0x00ff00ff00ff00ff); /* two digits a byte, then those side by side */
	values = (values | values >> 8) & UINT64_C(0x0000ffff0000ffff);
	be32_put(out, (uint32_t)(values | values >> 16));
	return !high && (decimal | letter) == UINT64_C(0x8080808080808080);
}

static bool uuid_pack(const char *text, uint8_t out[UUID_BYTES])
{
	if (strnlen(text, UUID_TEXT_LEN + 1) != UUID_TEXT_LEN || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
	    text[23] != '-')
		return false;
	return hex_pack(text, text + 4, out) && hex_pack(text + 9, text + 14, out + 4) &&
	       hex_pack(text + 19, text + 24, out + 8) && hex_pack(text + 28, text + 32, out + 12);
}

struct store_value store_value_of_id(const char *id, struct arena *arena)
{
	uint8_t packed[UUID_BYTES];
	if (uuid_pack(id, packed))
		return (struct store_value){
			.kind = STORE_BLOB, .len = UUID_BYTES, .bytes = arena_copy(arena, packed, sizeof packed)};
	return (struct store_value){.kind = STORE_TEXT, .len = (uint32_t)strlen(id), .bytes = id};
}

void store_bind_id(struct store_statement *statement, int index, const char *id)
{
	uint8_t packed[UUID_BYTES];
	if (uuid_pack(id, packed))
		bound(statement, sqlite3_bind_blob(bindable(statement), index, packed, UUID_BYTES, SQLITE_TRANSIENT));
	else
		store_bind_text(statement, index, id);
}

static const char *uuid_text(const uint8_t *packed, struct arena *arena)
{
	char text[UUID_TEXT_LEN];
	size_t digit = 0;
	for (size_t i = 0; i < UUID_TEXT_LEN; i++) {
		if (is_dash(i)) {
			text[i] = '-';
			continue;
		}
		text[i] = "0123456789abcdef"[digit % 2 ? packed[digit / 2] & 15 : packed[digit / 2] >> 4];
		digit++;
	}
	return arena_copy(arena, text, sizeof text);
}

const char *store_id(struct store_statement *statement, int column, struct arena *arena)
{
	size_t len;
	const void *bytes = store_blob(statement, column, &len);
	if (sqlite3_column_type(statement->stmt, column) == SQLITE_BLOB && len == UUID_BYTES)
		return uuid_text(bytes, arena);
	return arena_copy(arena, bytes, len);
}

/* ---- whole tables ---- */

enum status store_copy(const char *path, const char *copy, struct err *err)
{
	struct store *store;
	enum status status = store_open(
		&(struct store_config){.path = path, .mode = STORE_READ, .busy_timeout_ms = 10000}, &store, err);
	if (status != OK)
		return status;
	struct store_statement *vacuum;
	/* query_only would refuse it, though it only writes the copy. */
	status = store_exec(store, "PRAGMA query_only=OFF", err);
	if (status == OK)
		status = store_prepare(store, "VACUUM INTO ?1", &vacuum, err);
	if (status == OK) {
		store_bind_text(vacuum, 1, copy);
		status = store_run(vacuum, err);
	}
	store_close(store);
	return status;
}

int store_column_count(struct store_statement *statement)
{
	return sqlite3_column_count(statement->stmt);
}

const char *store_column_name(struct store_statement *statement, int column)
{
	const char *name = sqlite3_column_name(statement->stmt, column);
	return name ? name : "?";
}

void store_value(struct store_statement *statement, int column, struct store_value *out)
{
	static const enum store_kind kinds[] = {[SQLITE_INTEGER] = STORE_INT,
	                                        [SQLITE_FLOAT] = STORE_REAL,
	                                        [SQLITE_TEXT] = STORE_TEXT,
	                                        [SQLITE_BLOB] = STORE_BLOB,
	                                        [SQLITE_NULL] = STORE_NULL};
	sqlite3_value *value = sqlite3_column_value(statement->stmt, column);
	size_t len; /* SQLite holds 10^9 bytes at most */
	*out = (struct store_value){.kind = kinds[sqlite3_value_type(value)]};
	if (out->kind == STORE_INT) {
		out->number = sqlite3_value_int64(value);
	} else if (out->kind != STORE_NULL) {
		out->bytes = bytes_of(statement, value, &len);
		out->len = (uint32_t)len;
	}
}

int store_value_compare(const struct store_value *a, const struct store_value *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == STORE_NULL)
		return 0;
	if (a->kind == STORE_INT)
		return (a->number > b->number) - (a->number < b->number);
	size_t len = a->len < b->len ? a->len : b->len;
	int order = len ? memcmp(a->bytes, b->bytes, len) : 0;
	return order ? order : (a->len > b->len) - (a->len < b->len);
}

bool store_value_equal(const struct store_value *a, const struct store_value *b)
{
	if (a->kind != b->kind || a->len != b->len)
		return false;
	if (a->kind == STORE_INT)
		return a->number == b->number;
	return a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0;
}

static const char *hex_text(const uint8_t *bytes, size_t len, struct arena *arena)
{
	char *text = arena_alloc(arena, 2 * len + 4);
	char *at = text + sprintf(text, "x'");
	for (size_t i = 0; i < len; i++)
		at += sprintf(at, "%02x", bytes[i]);
	*at++ = '\'';
	*at = 0;
	return text;
}

const char *store_value_text(const struct store_value *value, struct arena *arena)
{
	switch (value->kind) {
	case STORE_NULL:
		return "NULL";
	case STORE_INT:
		return arena_format(arena, "%lld", (long long)value->number);
	case STORE_BLOB:
		return value->len == UUID_BYTES ? uuid_text(value->bytes, arena)
		                                : hex_text(value->bytes, value->len, arena);
	case STORE_TEXT:
		return arena_format(arena, "'%.*s'", (int)value->len, (const char *)value->bytes);
	default:
		return arena_copy(arena, value->bytes, value->len);
	}
}

void store_value_bind(struct store_statement *statement, int index, const struct store_value *value)
{
	switch (value->kind) {
	case STORE_NULL:
		store_bind_null(statement, index);
		break;
	case STORE_INT:
		store_bind_int(statement, index, value->number);
		break;
	case STORE_BLOB:
		store_bind_blob(statement, index, value->bytes, value->len);
		break;
	default:
		bound(statement, sqlite3_bind_text64(bindable(statement), index, value->bytes, value->len,
		                                     SQLITE_STATIC, SQLITE_UTF8));
	}
}

/* ---- DDL ---- */

/* The words of a statement, upper case, quotes and punctuation as words of their own. */
static size_t next_word(const char **at, char *word, size_t room)
{
	const char *p = *at;
	while (isspace((unsigned char)*p))
		p++;
	size_t len = 0;
	if (*p == '\'') {
		do {
			p++;
		} while (*p && *p != '\'');
		p += *p == '\'';
		word[len++] = '\'';
	} else if (isalnum((unsigned char)*p) || *p == '_') {
		for (; isalnum((unsigned char)*p) || *p == '_'; p++)
			if (len + 1 < room)
				word[len++] = (char)toupper((unsigned char)*p);
	} else if (*p) {
		word[len++] = *p++;
	}
	word[len] = 0;
	*at = p;
	return len;
}

static bool literal(const char *word)
{
	return isdigit((unsigned char)*word) || *word == '\'' || *word == '-' || *word == '+' || !strcmp(word, "NULL");
}

void store_table_name(const char *ddl, char name[STORE_NAME_ROOM])
{
	name[0] = 0;
	sscanf(ddl, "CREATE TABLE %63[A-Za-z0-9_]", name);
}

enum status store_lint(const char *ddl, struct err *err)
{
	char word[80], last[80] = "";
	bool strict = false;
	for (const char *at = ddl; next_word(&at, word, sizeof word);) {
		if (!strcmp(word, "REAL") || !strcmp(word, "FLOAT") || !strcmp(word, "DOUBLE"))
			return err_set(err, REJECT, "ddl",
			               "a column of type %s: tables hold integers, text and blobs: %s", word, ddl);
		if (!strcmp(last, "DEFAULT") && !literal(word))
			return err_set(err, REJECT, "ddl",
			               "DEFAULT %s is no literal: it could differ on the next fold: %s", word, ddl);
		if (!strcmp(word, "STRICT"))
			strict = true;
		memcpy(last, word, sizeof last);
	}
	return strict ? OK : err_set(err, REJECT, "ddl", "the table is not STRICT: %s", ddl);
}
