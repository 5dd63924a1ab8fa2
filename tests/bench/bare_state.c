#include "bare_state.h"

#include "mem.h"

#include <sqlite3.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHANGES_A_TRANSACTION 20000
#define ID_BYTES              16

static const char set_up[] =
	"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536; PRAGMA wal_autocheckpoint=8192;"
	"CREATE TABLE orders (order_id BLOB PRIMARY KEY, status INTEGER, total_minor INTEGER, placed_at INTEGER) WITHOUT ROWID;"
	"CREATE TABLE stock (sku TEXT PRIMARY KEY, on_hand INTEGER, reserved INTEGER) WITHOUT ROWID;"
	"CREATE TABLE reservation (order_id BLOB PRIMARY KEY, status INTEGER, sku TEXT, quantity INTEGER) WITHOUT ROWID;"
	"BEGIN";

enum { PLACE, CONFIRM, RECEIVE, RESERVE_STOCK, RESERVE, COMMIT_READ, COMMIT_STOCK, COMMIT, STATEMENTS };

static const char *const statements[STATEMENTS] = {
	[PLACE] = "INSERT INTO orders VALUES (?, 1, ?, ?)",
	[CONFIRM] = "UPDATE orders SET status = 2 WHERE order_id = ?",
	[RECEIVE] = "INSERT INTO stock VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET on_hand = on_hand + excluded.on_hand",
	[RESERVE_STOCK] = "UPDATE stock SET reserved = reserved + ? WHERE sku = ? AND on_hand - reserved >= ?1",
	[RESERVE] = "INSERT INTO reservation VALUES (?, 1, ?, ?)",
	[COMMIT_READ] = "SELECT sku, quantity FROM reservation WHERE order_id = ? AND status = 1",
	[COMMIT_STOCK] = "UPDATE stock SET on_hand = on_hand - ?, reserved = reserved - ?1 WHERE sku = ?",
	[COMMIT] = "UPDATE reservation SET status = 2 WHERE order_id = ?",
};

struct bare_state {
	sqlite3 *db;
	sqlite3_stmt *prepared[STATEMENTS];
	int changes; /* of this transaction */
};

static _Noreturn void die(struct bare_state *state, const char *what)
{
	fprintf(stderr, "bare: %s: %s\n", what, sqlite3_errmsg(state->db));
	exit(1);
}

static void exec(struct bare_state *state, const char *sql)
{
	if (sqlite3_exec(state->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(state, sql);
}

struct bare_state *bare_state_open(const char *role)
{
	const char *folder = getenv("TANDEM_DATA");
	struct bare_state *state = mem_zalloc(1, sizeof *state);
	if (folder && *folder && mkdir(folder, 0777) != 0 && errno != EEXIST) {
		fprintf(stderr, "bare: %s: %s\n", folder, strerror(errno));
		exit(1);
	}
	char *path = mem_format("%s/bare-%s.db", folder && *folder ? folder : ".", role);
	if (sqlite3_open_v2(path, &state->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL))
		die(state, path);
	mem_free(path);
	exec(state, set_up);
	for (int i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(state->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &state->prepared[i],
		                       NULL))
			die(state, statements[i]);
	return state;
}

void bare_state_close(struct bare_state *state)
{
	if (!state)
		return;
	exec(state, "COMMIT");
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(state->prepared[i]);
	sqlite3_close(state->db);
	mem_free(state);
}

static void bind_id(sqlite3_stmt *statement, int at, struct log_bytes text)
{
	uint8_t id[ID_BYTES] = {0};
	int digits = 0;
	for (int32_t i = 0; i < text.len && digits < 2 * ID_BYTES; i++) {
		int c = ((const uint8_t *)text.data)[i];
		if (c == '-')
			continue;
		int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | (digit & 0xf));
		digits++;
	}
	sqlite3_bind_blob(statement, at, id, ID_BYTES, SQLITE_TRANSIENT);
}

static void bind_text(sqlite3_stmt *statement, int at, struct log_bytes text)
{
	sqlite3_bind_text(statement, at, (const char *)text.data, text.len, SQLITE_STATIC);
}

/* A row for each order and each reservation is what the figures stand on. */
static void change_one(struct bare_state *state, int statement)
{
	if (sqlite3_step(state->prepared[statement]) != SQLITE_DONE || sqlite3_changes(state->db) != 1)
		die(state, statements[statement]);
	sqlite3_reset(state->prepared[statement]);
	if (++state->changes < CHANGES_A_TRANSACTION)
		return;
	state->changes = 0;
	exec(state, "COMMIT; BEGIN");
}

void bare_state_place(struct bare_state *state, struct log_bytes order_id, int64_t total_minor, int64_t placed_at)
{
	bind_id(state->prepared[PLACE], 1, order_id);
	sqlite3_bind_int64(state->prepared[PLACE], 2, total_minor);
	sqlite3_bind_int64(state->prepared[PLACE], 3, placed_at);
	change_one(state, PLACE);
}

void bare_state_confirm(struct bare_state *state, struct log_bytes order_id)
{
	bind_id(state->prepared[CONFIRM], 1, order_id);
	change_one(state, CONFIRM);
}

void bare_state_receive(struct bare_state *state, struct log_bytes sku, int64_t quantity)
{
	bind_text(state->prepared[RECEIVE], 1, sku);
	sqlite3_bind_int64(state->prepared[RECEIVE], 2, quantity);
	change_one(state, RECEIVE);
}

void bare_state_reserve(struct bare_state *state, struct log_bytes order_id, struct log_bytes sku, int64_t quantity)
{
	sqlite3_bind_int64(state->prepared[RESERVE_STOCK], 1, quantity);
	bind_text(state->prepared[RESERVE_STOCK], 2, sku);
	change_one(state, RESERVE_STOCK);
	bind_id(state->prepared[RESERVE], 1, order_id);
	bind_text(state->prepared[RESERVE], 2, sku);
	sqlite3_bind_int64(state->prepared[RESERVE], 3, quantity);
	change_one(state, RESERVE);
}

void bare_state_commit(struct bare_state *state, struct log_bytes order_id)
{
	sqlite3_stmt *read = state->prepared[COMMIT_READ];
	bind_id(read, 1, order_id);
	if (sqlite3_step(read) != SQLITE_ROW)
		die(state, "no such reservation");
	bind_text(state->prepared[COMMIT_STOCK], 2,
	          (struct log_bytes){sqlite3_column_text(read, 0), sqlite3_column_bytes(read, 0)});
	sqlite3_bind_int64(state->prepared[COMMIT_STOCK], 1, sqlite3_column_int64(read, 1));
	change_one(state, COMMIT_STOCK);
	sqlite3_reset(read);
	bind_id(state->prepared[COMMIT], 1, order_id);
	change_one(state, COMMIT);
}
