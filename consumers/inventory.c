/* The inventory worker: folds `inventory` into the stock of every SKU this partition owns, and answers the order worker.
 *
 *   StockReceived ──▶ on_hand grows
 *   ReserveStock  ──▶ all lines of the group are reserved, StockReserved; or none, StockRejected with the numbers
 *   CommitStock   ──▶ what was reserved leaves the stock
 *   ReleaseStock  ──▶ what was reserved is free again; what was committed comes back
 *
 * 0 <= reserved <= on_hand holds after every event, and received = on_hand + committed. A second ReserveStock for an order
 * is answered with the outcome the first had. */
#include "command.h"
#include "events.h"
#include "service.h"

#include <string.h>

/* A constant of logic version 1. */
#define SHORTAGES_MAX 20

enum reservation_status { RESERVED = 1, COMMITTED = 2, RELEASED = 3, REFUSED = 4 };

enum {
	GET_STOCK,
	RECEIVE,
	HOLD,
	MOVE,
	GET_RECEIPT,
	PUT_RECEIPT,
	GET_RESERVATION,
	PUT_RESERVATION,
	SET_RESERVATION,
	PUT_LINE,
	GET_LINES,
	DELETE_LINES
};

static const char *const tables[] = {
	"CREATE TABLE stock (sku TEXT PRIMARY KEY NOT NULL, on_hand INTEGER NOT NULL, reserved INTEGER NOT NULL,"
	" received INTEGER NOT NULL, CHECK (0 <= reserved AND reserved <= on_hand AND on_hand <= received))"
	" WITHOUT ROWID, STRICT",
	"CREATE TABLE receipt (receipt_id ANY NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,"
	" content INTEGER NOT NULL, PRIMARY KEY (receipt_id, sku)) WITHOUT ROWID, STRICT",
	/* status: 1 reserved, 2 committed, 3 released, 4 refused. refusal: the StockRejected that was sent. */
	"CREATE TABLE reservation (order_id ANY PRIMARY KEY NOT NULL, status INTEGER NOT NULL, at_offset INTEGER NOT NULL,"
	" refusal BLOB) WITHOUT ROWID, STRICT",
	"CREATE TABLE reservation_line (order_id ANY NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,"
	" PRIMARY KEY (order_id, sku)) WITHOUT ROWID, STRICT",
};

static const char *const statements[] = {
	[GET_STOCK] = "SELECT on_hand, reserved, received FROM stock WHERE sku = ?1",
	[RECEIVE] = "INSERT INTO stock VALUES (?1, ?2, 0, ?2) ON CONFLICT (sku) DO UPDATE SET"
		    " on_hand = on_hand + excluded.on_hand, received = received + excluded.received",
	[HOLD] = "UPDATE stock SET reserved = reserved + ?2 WHERE sku = ?1",
	[MOVE] = "UPDATE stock SET on_hand = on_hand + ?2, reserved = reserved + ?3 WHERE sku = ?1",
	[GET_RECEIPT] = "SELECT content FROM receipt WHERE receipt_id = ?1 AND sku = ?2",
	[PUT_RECEIPT] = "INSERT INTO receipt VALUES (?1, ?2, ?3, ?4)",
	[GET_RESERVATION] = "SELECT status, refusal FROM reservation WHERE order_id = ?1",
	[PUT_RESERVATION] = "INSERT INTO reservation VALUES (?1, ?2, ?3, ?4)",
	[SET_RESERVATION] = "UPDATE reservation SET status = ?2 WHERE order_id = ?1",
	[PUT_LINE] = "INSERT INTO reservation_line VALUES (?1, ?2, ?3)",
	[GET_LINES] = "SELECT sku, quantity FROM reservation_line WHERE order_id = ?1 ORDER BY sku",
	[DELETE_LINES] = "DELETE FROM reservation_line WHERE order_id = ?1",
};

/* The legality of every transition of a reservation. */
static bool transition(enum reservation_status from, enum reservation_status to)
{
	return (to == COMMITTED && from == RESERVED) || (to == RELEASED && (from == RESERVED || from == COMMITTED));
}

/* ---- StockReceived ---- */

struct stock {
	bool known;
	int64_t on_hand, reserved, received;
};

static enum status get_stock(struct fold *fold, const char *sku, struct stock *stock, struct err *err)
{
	struct store_statement *s = fold_statement(fold, GET_STOCK);
	*stock = (struct stock){0};
	store_bind_text(s, 1, sku);
	enum status status = store_step(s, &stock->known, err);
	if (status == OK && stock->known) {
		stock->on_hand = store_int(s, 0);
		stock->reserved = store_int(s, 1);
		stock->received = store_int(s, 2);
	}
	store_done(s);
	return status;
}

static enum status check_received(const struct stock_received *received, struct err *err)
{
	if (!service_id_valid(received->receipt_id))
		return fold_reject(err, "invalid_id", "receipt_id is not 1 to 64 printable ASCII bytes");
	if (!service_id_valid(received->sku))
		return fold_reject(err, "invalid_id", "sku is not 1 to 64 printable ASCII bytes");
	if (received->quantity < 1)
		return fold_reject(err, "invalid_quantity", "quantity %lld, expected at least 1",
		                   (long long)received->quantity);
	return OK;
}

static enum status repeated(struct fold *fold, const struct stock_received *received, uint64_t content, bool *found,
                            struct err *err)
{
	struct store_statement *s = fold_statement(fold, GET_RECEIPT);
	store_bind_id(s, 1, received->receipt_id);
	store_bind_text(s, 2, received->sku);
	enum status status = store_step(s, found, err);
	bool same = status == OK && *found && (uint64_t)store_int(s, 0) == content;
	store_done(s);
	if (status == OK && *found && !same)
		return fold_reject(err, "conflict", "receipt %s of %s came before with other content",
		                   received->receipt_id, received->sku);
	return status;
}

static enum status put_receipt(struct fold *fold, const struct stock_received *received, uint64_t content,
                               struct err *err)
{
	struct store_statement *s = fold_statement(fold, PUT_RECEIPT);
	store_bind_id(s, 1, received->receipt_id);
	store_bind_text(s, 2, received->sku);
	store_bind_int(s, 3, received->quantity);
	store_bind_int(s, 4, (int64_t)content);
	return store_run(s, err);
}

static enum status on_stock_received(struct fold *fold, const void *event, struct err *err)
{
	const struct stock_received *received = event;
	uint64_t content = fold_content_hash(fold, &stock_received_type, received);
	struct stock stock = {0};
	bool found;
	enum status status = check_received(received, err);
	if (status == OK)
		status = repeated(fold, received, content, &found, err);
	if (status != OK || found)
		return status;
	status = get_stock(fold, received->sku, &stock, err);
	if (status != OK)
		return status;
	/* All that ever came bounds what can be there, so goods that return always fit. */
	if (__builtin_add_overflow(stock.received, received->quantity, &stock.received))
		return fold_reject(err, "stock_overflow", "all receipts of %s together pass 2^63-1 units",
		                   received->sku);
	status = put_receipt(fold, received, content, err);
	if (status != OK)
		return status;
	struct store_statement *s = fold_statement(fold, RECEIVE);
	store_bind_text(s, 1, received->sku);
	store_bind_int(s, 2, received->quantity);
	return store_run(s, err);
}

/* ---- ReserveStock ---- */

static enum status answer(struct fold *fold, const char *order_id, const struct event_type *type, const void *event,
                          struct err *err)
{
	return fold_emit(fold, "orders", fold_source_partition(fold), order_id, type, event, err);
}

static enum status answer_reserved(struct fold *fold, const char *order_id, struct err *err)
{
	struct stock_reserved event = {.order_id = order_id, .inventory_partition = fold_partition(fold)};
	return answer(fold, order_id, &stock_reserved_type, &event, err);
}

static enum status get_reservation(struct fold *fold, const char *order_id, bool *found, enum reservation_status *now,
                                   struct stock_rejected *refusal, struct err *err)
{
	struct store_statement *s = fold_statement(fold, GET_RESERVATION);
	store_bind_id(s, 1, order_id);
	enum status status = store_step(s, found, err);
	if (status == OK && *found) {
		*now = (enum reservation_status)store_int(s, 0);
		if (*now == REFUSED && refusal) {
			size_t len;
			const void *value = store_blob(s, 1, &len);
			uint64_t writer = 0;
			const uint8_t *body = NULL;
			if (!event_split(value, len, &writer, &body, &len) ||
			    event_decode(&stock_rejected_type, writer, body, len, fold_arena(fold), refusal, err) != OK)
				status = err_set(err, FATAL, "corrupt", "the refusal kept for order %s cannot be read",
				                 order_id);
		}
	}
	store_done(s);
	return status;
}

static enum status put_reservation(struct fold *fold, const char *order_id, enum reservation_status now,
                                   const struct buf *refusal, struct err *err)
{
	struct store_statement *s = fold_statement(fold, PUT_RESERVATION);
	store_bind_id(s, 1, order_id);
	store_bind_int(s, 2, now);
	store_bind_int(s, 3, fold_offset(fold));
	if (refusal)
		store_bind_blob(s, 4, refusal->data, refusal->len);
	else
		store_bind_null(s, 4);
	return store_run(s, err);
}

static enum status check_command(struct fold *fold, const struct reserve_stock *command, struct err *err)
{
	const char *before = NULL;
	for (size_t i = 0; i < command->lines.count; i++) {
		const struct reserve_line *line = &command->lines.items[i];
		if (!fold_owns(fold, line->sku))
			return err_set(err, FATAL, "not_owned",
			               "ReserveStock for order %s names %s, which partition %d does not own",
			               command->order_id, line->sku, fold_partition(fold));
		if (line->quantity < 1 || (before && strcmp(before, line->sku) >= 0))
			return err_set(err, FATAL, "malformed_command",
			               "ReserveStock for order %s: its lines are not in order", command->order_id);
		before = line->sku;
	}
	return command->lines.count ? OK
	                            : err_set(err, FATAL, "malformed_command", "ReserveStock for order %s has no line",
	                                      command->order_id);
}

/* Fills the refusal; shortage_count 0: everything is there. */
static enum status find_shortages(struct fold *fold, const struct reserve_stock *command,
                                  struct stock_rejected *refusal, struct err *err)
{
	struct shortage *short_lines = arena_alloc(fold_arena(fold), SHORTAGES_MAX * sizeof *short_lines);
	*refusal = (struct stock_rejected){.order_id = command->order_id,
	                                   .inventory_partition = fold_partition(fold),
	                                   .reason = REJECT_REASON_INSUFFICIENT_STOCK};
	refusal->shortages.items = short_lines;
	enum status status = OK;
	for (size_t i = 0; i < command->lines.count && status == OK; i++) {
		const struct reserve_line *line = &command->lines.items[i];
		struct stock stock;
		status = get_stock(fold, line->sku, &stock, err);
		if (status != OK || (stock.known && stock.on_hand - stock.reserved >= line->quantity))
			continue;
		if (!stock.known)
			refusal->reason = REJECT_REASON_UNKNOWN_SKU;
		if (refusal->shortage_count++ < SHORTAGES_MAX)
			short_lines[refusal->shortages.count++] = (struct shortage){.sku = line->sku,
			                                                            .known = stock.known,
			                                                            .wanted = line->quantity,
			                                                            .on_hand = stock.on_hand,
			                                                            .reserved = stock.reserved};
	}
	return status;
}

static enum status refuse(struct fold *fold, const struct stock_rejected *refusal, struct err *err)
{
	struct buf value = {0};
	enum status status = event_encode(&stock_rejected_type, refusal, &value, err);
	if (status == OK)
		status = put_reservation(fold, refusal->order_id, REFUSED, &value, err);
	buf_fini(&value);
	return status == OK ? answer(fold, refusal->order_id, &stock_rejected_type, refusal, err) : status;
}

static enum status hold_line(struct fold *fold, const char *order_id, const struct reserve_line *line, struct err *err)
{
	struct store_statement *s = fold_statement(fold, HOLD);
	store_bind_text(s, 1, line->sku);
	store_bind_int(s, 2, line->quantity);
	enum status status = store_run(s, err);
	if (status != OK)
		return status;
	s = fold_statement(fold, PUT_LINE);
	store_bind_id(s, 1, order_id);
	store_bind_text(s, 2, line->sku);
	store_bind_int(s, 3, line->quantity);
	return store_run(s, err);
}

static enum status on_reserve_stock(struct fold *fold, const void *event, struct err *err)
{
	const struct reserve_stock *command = event;
	struct stock_rejected refusal;
	enum reservation_status now;
	bool found;
	enum status status = check_command(fold, command, err);
	if (status == OK)
		status = get_reservation(fold, command->order_id, &found, &now, &refusal, err);
	if (status != OK)
		return status;
	if (found)
		return now == REFUSED ? answer(fold, command->order_id, &stock_rejected_type, &refusal, err)
		                      : answer_reserved(fold, command->order_id, err);
	status = find_shortages(fold, command, &refusal, err);
	if (status != OK)
		return status;
	if (refusal.shortage_count)
		return refuse(fold, &refusal, err);
	for (size_t i = 0; i < command->lines.count && status == OK; i++)
		status = hold_line(fold, command->order_id, &command->lines.items[i], err);
	if (status == OK)
		status = put_reservation(fold, command->order_id, RESERVED, NULL, err);
	return status == OK ? answer_reserved(fold, command->order_id, err) : status;
}

/* ---- CommitStock, ReleaseStock ---- */

static enum status move_line(struct fold *fold, const char *sku, int64_t on_hand, int64_t reserved, struct err *err)
{
	struct store_statement *s = fold_statement(fold, MOVE);
	store_bind_text(s, 1, sku);
	store_bind_int(s, 2, on_hand);
	store_bind_int(s, 3, reserved);
	return store_run(s, err);
}

/* Moves every line of the reservation; the factors say what one unit does to on_hand and reserved. */
static enum status move_lines(struct fold *fold, const char *order_id, int on_hand, int reserved, struct err *err)
{
	struct store_statement *s = fold_statement(fold, GET_LINES);
	store_bind_id(s, 1, order_id);
	enum status status;
	for (bool row;;) {
		status = store_step(s, &row, err);
		if (status != OK || !row)
			break;
		int64_t quantity = store_int(s, 1);
		status = move_line(fold, store_text(s, 0), on_hand * quantity, reserved * quantity, err);
		if (status != OK)
			break;
	}
	store_done(s);
	return status;
}

static enum status end_reservation(struct fold *fold, const char *order_id, enum reservation_status to, struct err *err)
{
	enum reservation_status now = 0;
	bool found;
	enum status status = get_reservation(fold, order_id, &found, &now, NULL, err);
	if (status != OK)
		return status;
	if (!found || !transition(now, to))
		return err_set(err, FATAL, "illegal_transition", "%s for order %s, whose reservation is %s",
		               to == COMMITTED ? "CommitStock" : "ReleaseStock", order_id,
		               !found             ? "unknown"
		               : now == RESERVED  ? "reserved"
		               : now == COMMITTED ? "committed"
		               : now == RELEASED  ? "released"
		                                  : "refused");
	if (to == COMMITTED)
		status = move_lines(fold, order_id, -1, -1, err);
	else
		status = now == RESERVED ? move_lines(fold, order_id, 0, -1, err)
		                         : move_lines(fold, order_id, 1, 0, err);
	if (status == OK && to == RELEASED) { /* it holds nothing any more */
		struct store_statement *s = fold_statement(fold, DELETE_LINES);
		store_bind_id(s, 1, order_id);
		status = store_run(s, err);
	}
	if (status != OK)
		return status;
	struct store_statement *s = fold_statement(fold, SET_RESERVATION);
	store_bind_id(s, 1, order_id);
	store_bind_int(s, 2, to);
	return store_run(s, err);
}

static enum status on_commit_stock(struct fold *fold, const void *event, struct err *err)
{
	return end_reservation(fold, ((const struct commit_stock *)event)->order_id, COMMITTED, err);
}

static enum status on_release_stock(struct fold *fold, const void *event, struct err *err)
{
	return end_reservation(fold, ((const struct release_stock *)event)->order_id, RELEASED, err);
}

static const struct service_source sources[] = {{"order", "orders"}};
static const char *const outputs[] = {"orders"};
static const struct service_handler handlers[] = {
	{&stock_received_type, on_stock_received},
	{&reserve_stock_type, on_reserve_stock},
	{&commit_stock_type, on_commit_stock},
	{&release_stock_type, on_release_stock},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct service inventory_service = {
	.name = "inventory",
	.summary = "keeps the stock, reserves it for orders, commits and releases it",
	.input = "inventory",
	.sources = sources,
	.source_count = COUNT(sources),
	.outputs = outputs,
	.output_count = COUNT(outputs),
	.logic_version = 1,
	.tables = tables,
	.table_count = COUNT(tables),
	.statements = statements,
	.statement_count = COUNT(statements),
	.handlers = handlers,
	.handler_count = COUNT(handlers),
};

const struct command inventory_command = {
	.name = "inventory",
	.summary = "worker: keeps the stock, reserves it for orders, commits and releases it",
	.service = &inventory_service,
};
