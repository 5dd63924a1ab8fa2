/* The inventory worker: folds `inventory` into the stock of every SKU this partition owns, and answers the order worker.
 *
 *   StockReceived ──▶ on_hand grows
 *   ReserveStock  ──▶ all lines of the group are reserved, StockReserved; or none, StockRejected with the numbers
 *   CommitStock   ──▶ what was reserved leaves the stock
 *   ReleaseStock  ──▶ what was reserved is free again; what was committed comes back
 *
 * 0 <= reserved <= on_hand holds after every event, and received = on_hand + committed. A second ReserveStock for an order
 * is answered with the outcome the first had. */
#include "bytes.h"
#include "command.h"
#include "events.h"
#include "service.h"

#include <string.h>

/* A constant of logic version 1. */
#define SHORTAGES_MAX 20

enum reservation_status { RESERVED = 1, COMMITTED = 2, RELEASED = 3, REFUSED = 4 };

enum { STOCK, RECEIPT, RESERVATION };
enum { STOCK_SKU, ON_HAND, RESERVED_UNITS, RECEIVED, STOCK_COLUMNS };
enum { RECEIPT_ID, RECEIPT_SKU, RECEIPT_QUANTITY, RECEIPT_CONTENT, RECEIPT_COLUMNS };
enum { ORDER_ID, STATUS, AT_OFFSET, LINES, REFUSAL, RESERVATION_COLUMNS };

static const char *const tables[] = {
	[STOCK] =
		"CREATE TABLE stock (sku TEXT PRIMARY KEY NOT NULL, on_hand INTEGER NOT NULL, reserved INTEGER NOT NULL,"
		" received INTEGER NOT NULL, CHECK (0 <= reserved AND reserved <= on_hand AND on_hand <= received))"
		" WITHOUT ROWID, STRICT",
	[RECEIPT] = "CREATE TABLE receipt (receipt_id ANY NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,"
		    " content INTEGER NOT NULL, PRIMARY KEY (receipt_id, sku)) WITHOUT ROWID, STRICT",
	/* status: 1 reserved, 2 committed, 3 released, 4 refused. lines: units by SKU of what is reserved or committed, as in
           {"22423":1,"85123A":6}; json_each(lines) has them as rows. refusal: the StockRejected that was sent. */
	[RESERVATION] = "CREATE TABLE reservation (order_id ANY PRIMARY KEY NOT NULL, status INTEGER NOT NULL,"
			" at_offset INTEGER NOT NULL, lines TEXT, refusal BLOB) WITHOUT ROWID, STRICT",
};

/* The legality of every transition of a reservation. */
static bool transition(enum reservation_status from, enum reservation_status to)
{
	return (to == COMMITTED && from == RESERVED) || (to == RELEASED && (from == RESERVED || from == COMMITTED));
}

/* ---- stock ---- */

struct stock {
	bool known;
	int64_t on_hand, reserved, received;
};

static enum status get_stock(struct fold *fold, const char *sku, struct stock *stock, struct err *err)
{
	struct store_value key = value_text(sku);
	const struct store_value *row;
	enum status status = fold_get(fold, STOCK, &key, &row, err);
	*stock = (struct stock){0};
	if (row)
		*stock = (struct stock){true, row[ON_HAND].number, row[RESERVED_UNITS].number, row[RECEIVED].number};
	return status;
}

static enum status put_stock(struct fold *fold, const char *sku, const struct stock *stock, struct err *err)
{
	if (stock->reserved < 0 || stock->reserved > stock->on_hand || stock->on_hand > stock->received)
		return err_set(err, FATAL, "corrupt",
		               "%s would have %lld units on hand, %lld of them reserved, of %lld", sku,
		               (long long)stock->on_hand, (long long)stock->reserved, (long long)stock->received);
	const struct store_value row[STOCK_COLUMNS] = {
		[STOCK_SKU] = value_text(sku),
		[ON_HAND] = value_int(stock->on_hand),
		[RESERVED_UNITS] = value_int(stock->reserved),
		[RECEIVED] = value_int(stock->received),
	};
	return fold_put(fold, STOCK, row, err);
}

/* ---- StockReceived ---- */

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
	const struct store_value key[] = {value_id(fold, received->receipt_id), value_text(received->sku)};
	const struct store_value *row;
	enum status status = fold_get(fold, RECEIPT, key, &row, err);
	*found = row != NULL;
	if (row && (uint64_t)row[RECEIPT_CONTENT].number != content)
		return fold_reject(err, "conflict", "receipt %s of %s came before with other content",
		                   received->receipt_id, received->sku);
	return status;
}

static enum status put_receipt(struct fold *fold, const struct stock_received *received, uint64_t content,
                               struct err *err)
{
	const struct store_value row[RECEIPT_COLUMNS] = {
		[RECEIPT_ID] = value_id(fold, received->receipt_id),
		[RECEIPT_SKU] = value_text(received->sku),
		[RECEIPT_QUANTITY] = value_int(received->quantity),
		[RECEIPT_CONTENT] = value_int((int64_t)content),
	};
	return fold_put(fold, RECEIPT, row, err);
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
	(void)__builtin_add_overflow(stock.on_hand, received->quantity, &stock.on_hand);
	status = put_receipt(fold, received, content, err);
	return status == OK ? put_stock(fold, received->sku, &stock, err) : status;
}

/* ---- a reservation's lines ---- */

/* What is held was received, so its SKU is printable ASCII: of that JSON escapes these two. */
static bool escaped(char c)
{
	return c == '"' || c == '\\';
}

static struct store_value lines_value(struct arena *arena, const struct reserve_line_array *lines)
{
	size_t room = 2;
	for (size_t i = 0; i < lines->count; i++)
		room += 2 * strlen(lines->items[i].sku) + sizeof ",\"\":9223372036854775807";
	char *text = arena_alloc(arena, room), *at = text;
	for (size_t i = 0; i < lines->count; i++) {
		*at++ = i ? ',' : '{';
		*at++ = '"';
		for (const char *in = lines->items[i].sku; *in; *at++ = *in++)
			if (escaped(*in))
				*at++ = '\\';
		*at++ = '"';
		*at++ = ':';
		at += decimal_put(at, (uint64_t)lines->items[i].quantity);
	}
	*at++ = '}';
	*at = 0;
	return value_text(text);
}

static bool take_quantity(char **at, int64_t *quantity)
{
	char *in = *at;
	if (*in < '1' || *in > '9')
		return false;
	for (*quantity = 0; *in >= '0' && *in <= '9'; in++)
		if (__builtin_mul_overflow(*quantity, 10, quantity) ||
		    __builtin_add_overflow(*quantity, *in - '0', quantity))
			return false;
	*at = in;
	return true;
}

/* The SKU stays where it is, and loses its escapes. */
static bool take_line(char **at, char before, struct reserve_line *line)
{
	char *in = *at, *out;
	if (in[0] != before || in[1] != '"')
		return false;
	line->sku = out = in += 2;
	for (; *in && *in != '"'; *out++ = *in++)
		if (*in == '\\' && !escaped(*++in))
			return false;
	if (in[0] != '"' || in[1] != ':')
		return false;
	*out = 0;
	*at = in + 2;
	return service_id_valid(line->sku) && take_quantity(at, &line->quantity);
}

/* False: this is not what lines_value wrote, the file is damaged. */
static bool read_lines(struct arena *arena, const struct store_value *value, struct reserve_line_array *lines)
{
	if (value->kind != STORE_TEXT)
		return false;
	char *at = arena_copy(arena, value->bytes, value->len), *end = at + value->len, before = '{';
	size_t room = value->len / sizeof "{\"\":1" + 1;
	*lines = (struct reserve_line_array){arena_alloc(arena, room * sizeof *lines->items), 0};
	do {
		if (!take_line(&at, before, &lines->items[lines->count++]))
			return false;
		before = ',';
	} while (*at != '}');
	return at + 1 == end;
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

struct reservation {
	struct store_value id; /* its order's */
	enum reservation_status status;
	int64_t at_offset;
	struct store_value lines, refusal;
};

static enum status get_reservation(struct fold *fold, const char *order_id, bool *found, struct reservation *out,
                                   struct err *err)
{
	const struct store_value id = value_id(fold, order_id), *row;
	enum status status = fold_get(fold, RESERVATION, &id, &row, err);
	*found = row != NULL;
	*out = (struct reservation){.id = id};
	if (row)
		*out = (struct reservation){id, (enum reservation_status)row[STATUS].number, row[AT_OFFSET].number,
		                            row[LINES], row[REFUSAL]};
	return status;
}

static enum status put_reservation(struct fold *fold, const struct reservation *reservation, struct err *err)
{
	const struct store_value row[RESERVATION_COLUMNS] = {
		[ORDER_ID] = reservation->id,
		[STATUS] = value_int(reservation->status),
		[AT_OFFSET] = value_int(reservation->at_offset),
		[LINES] = reservation->lines,
		[REFUSAL] = reservation->refusal,
	};
	return fold_put(fold, RESERVATION, row, err);
}

/* A second ReserveStock is answered as the first was. */
static enum status answer_again(struct fold *fold, const char *order_id, const struct reservation *reservation,
                                struct err *err)
{
	struct stock_rejected refusal;
	uint64_t writer;
	const uint8_t *body;
	size_t len;
	if (reservation->status != REFUSED)
		return answer_reserved(fold, order_id, err);
	if (reservation->refusal.kind != STORE_BLOB ||
	    !event_split(reservation->refusal.bytes, reservation->refusal.len, &writer, &body, &len) ||
	    event_decode(&stock_rejected_type, writer, body, len, fold_arena(fold), &refusal, err) != OK)
		return err_set(err, FATAL, "corrupt", "the refusal kept for order %s cannot be read", order_id);
	return answer(fold, order_id, &stock_rejected_type, &refusal, err);
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

static enum status get_stocks(struct fold *fold, const struct reserve_line_array *lines, struct stock *stocks,
                              struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < lines->count && status == OK; i++)
		status = get_stock(fold, lines->items[i].sku, &stocks[i], err);
	return status;
}

/* shortage_count 0: everything is there. */
static struct stock_rejected find_shortages(struct fold *fold, const struct reserve_stock *command,
                                            const struct stock *stocks)
{
	struct stock_rejected refusal = {.order_id = command->order_id,
	                                 .inventory_partition = fold_partition(fold),
	                                 .reason = REJECT_REASON_INSUFFICIENT_STOCK};
	refusal.shortages.items = arena_alloc(fold_arena(fold), SHORTAGES_MAX * sizeof *refusal.shortages.items);
	for (size_t i = 0; i < command->lines.count; i++) {
		const struct reserve_line *line = &command->lines.items[i];
		const struct stock *stock = &stocks[i];
		if (stock->known && stock->on_hand - stock->reserved >= line->quantity)
			continue;
		if (!stock->known)
			refusal.reason = REJECT_REASON_UNKNOWN_SKU;
		if (refusal.shortage_count++ < SHORTAGES_MAX)
			refusal.shortages.items[refusal.shortages.count++] =
				(struct shortage){.sku = line->sku,
			                          .known = stock->known,
			                          .wanted = line->quantity,
			                          .on_hand = stock->on_hand,
			                          .reserved = stock->reserved};
	}
	return refusal;
}

static enum status refuse(struct fold *fold, const struct stock_rejected *refusal, struct reservation *reservation,
                          struct err *err)
{
	struct buf value = {0};
	enum status status = event_encode(&stock_rejected_type, refusal, &value, err);
	reservation->status = REFUSED;
	reservation->refusal = value_blob(value.data, value.len);
	if (status == OK)
		status = put_reservation(fold, reservation, err);
	buf_fini(&value);
	return status == OK ? answer(fold, refusal->order_id, &stock_rejected_type, refusal, err) : status;
}

static enum status hold(struct fold *fold, const struct reserve_stock *command, struct stock *stocks,
                        struct reservation *reservation, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < command->lines.count && status == OK; i++) {
		stocks[i].reserved += command->lines.items[i].quantity;
		status = put_stock(fold, command->lines.items[i].sku, &stocks[i], err);
	}
	reservation->status = RESERVED;
	reservation->lines = lines_value(fold_arena(fold), &command->lines);
	if (status == OK)
		status = put_reservation(fold, reservation, err);
	return status == OK ? answer_reserved(fold, command->order_id, err) : status;
}

static enum status on_reserve_stock(struct fold *fold, const void *event, struct err *err)
{
	const struct reserve_stock *command = event;
	struct reservation reservation;
	bool found;
	enum status status = check_command(fold, command, err);
	if (status == OK)
		status = get_reservation(fold, command->order_id, &found, &reservation, err);
	if (status != OK)
		return status;
	if (found)
		return answer_again(fold, command->order_id, &reservation, err);
	struct stock *stocks = arena_alloc(fold_arena(fold), command->lines.count * sizeof *stocks);
	status = get_stocks(fold, &command->lines, stocks, err);
	if (status != OK)
		return status;
	reservation.at_offset = fold_offset(fold);
	const struct stock_rejected refusal = find_shortages(fold, command, stocks);
	if (refusal.shortage_count)
		return refuse(fold, &refusal, &reservation, err);
	return hold(fold, command, stocks, &reservation, err);
}

/* ---- CommitStock, ReleaseStock ---- */

/* What one unit does to the stock. */
struct move {
	int on_hand, reserved;
};

static enum status move_line(struct fold *fold, const struct reserve_line *line, const struct move *move,
                             struct err *err)
{
	struct stock stock;
	enum status status = get_stock(fold, line->sku, &stock, err);
	if (status != OK)
		return status;
	/* Where a damaged row makes one overflow, what comes out is no stock that can be. */
	(void)__builtin_add_overflow(stock.on_hand, move->on_hand * line->quantity, &stock.on_hand);
	(void)__builtin_add_overflow(stock.reserved, move->reserved * line->quantity, &stock.reserved);
	return put_stock(fold, line->sku, &stock, err);
}

static enum status move_lines(struct fold *fold, const char *order_id, const struct reservation *reservation,
                              const struct move *move, struct err *err)
{
	struct reserve_line_array lines;
	enum status status = OK;
	if (!read_lines(fold_arena(fold), &reservation->lines, &lines))
		return err_set(err, FATAL, "corrupt", "the lines kept for order %s cannot be read", order_id);
	for (size_t i = 0; i < lines.count && status == OK; i++)
		status = move_line(fold, &lines.items[i], move, err);
	return status;
}

static enum status end_reservation(struct fold *fold, const char *order_id, enum reservation_status to, struct err *err)
{
	struct reservation reservation = {0};
	bool found;
	enum status status = get_reservation(fold, order_id, &found, &reservation, err);
	if (status != OK)
		return status;
	enum reservation_status now = reservation.status;
	if (!found || !transition(now, to))
		return err_set(err, FATAL, "illegal_transition", "%s for order %s, whose reservation is %s",
		               to == COMMITTED ? "CommitStock" : "ReleaseStock", order_id,
		               !found             ? "unknown"
		               : now == RESERVED  ? "reserved"
		               : now == COMMITTED ? "committed"
		               : now == RELEASED  ? "released"
		                                  : "refused");
	const struct move move = to == COMMITTED   ? (struct move){.on_hand = -1, .reserved = -1}
	                         : now == RESERVED ? (struct move){.reserved = -1}
	                                           : (struct move){.on_hand = 1};
	status = move_lines(fold, order_id, &reservation, &move, err);
	reservation.status = to;
	if (to == RELEASED)
		reservation.lines = value_null();
	return status == OK ? put_reservation(fold, &reservation, err) : status;
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
	.handlers = handlers,
	.handler_count = COUNT(handlers),
};

const struct command inventory_command = {
	.name = "inventory",
	.summary = "worker: keeps the stock, reserves it for orders, commits and releases it",
	.service = &inventory_service,
};
