/* The order worker: folds `orders` into one row an order, asks the inventory to reserve, and tells everybody how it ended.
 *
 *   OrderPlaced ──▶ ReserveStock to every inventory partition that owns one of the order's SKUs (a group)
 *   StockReserved from every group ──▶ CommitStock to each, OrderConfirmed
 *   StockRejected from any group   ──▶ ReleaseStock to every group that is reserved, or becomes so later; OrderRejected
 *   OrderCancelRequested           ──▶ ReleaseStock likewise; OrderCancelled. Before its order: kept, and that order dies at
 *                                      once and reserves nothing
 *
 * A dead order's late StockReserved is released when it comes, so nothing stays reserved for it. */
#include "bytes.h"
#include "command.h"
#include "events.h"
#include "service.h"

#include <stdlib.h>
#include <string.h>

/* Constants of logic version 1. */
#define ORDER_LINES_MAX 4096
#define ORDER_TEXT_MAX  256 /* bytes of a free text */

enum order_status { PENDING = 1, CONFIRMED = 2, REJECTED = 3, CANCELLED = 4 };
enum order_cause { ALL_RESERVED, GROUP_REJECTED, CANCEL_REQUESTED };

/* What a group's answer was: waiting, reserved, refused, released (or to be: the command is out). */
enum group_state { WAITING = 'W', RESERVED = 'R', REFUSED = 'X', RELEASED = 'L' };

struct group {
	int32_t partition; /* of the inventory */
	enum group_state state;
};

struct order {
	const char *order_id;
	struct store_value id; /* the same, as it is kept */
	enum order_status status;
	uint64_t content;
	const char *currency;
	int64_t total_minor, line_count, placed_at;
	struct group *groups; /* by partition */
	size_t group_count;
	int64_t placed_offset, decided_offset; /* decided_offset: -1 while it is not */
};

enum { ORDERS, CANCEL_REQUEST };
enum {
	ORDER_ID,
	CONTENT,
	STATUS,
	CURRENCY,
	TOTAL_MINOR,
	LINE_COUNT,
	PLACED_AT,
	GROUPS,
	PLACED_OFFSET,
	DECIDED_OFFSET,
	ORDER_COLUMNS
};
enum { CANCELLED_ID, CANCEL_CONTENT, CANCEL_OFFSET, CANCEL_COLUMNS };

static const char *const tables[] = {
	/* status: 1 pending, 2 confirmed, 3 rejected, 4 cancelled. groups: inventory partition and W waiting, R reserved,
           X refused, L released, as in `0R 3W`. placed_at: milliseconds. */
	[ORDERS] =
		"CREATE TABLE orders (order_id ANY PRIMARY KEY NOT NULL, content INTEGER NOT NULL, status INTEGER NOT NULL,"
		" currency TEXT NOT NULL, total_minor INTEGER NOT NULL, line_count INTEGER NOT NULL, placed_at INTEGER NOT NULL,"
		" groups TEXT NOT NULL, placed_offset INTEGER NOT NULL, decided_offset INTEGER) WITHOUT ROWID, STRICT",
	[CANCEL_REQUEST] = "CREATE TABLE cancel_request (order_id ANY PRIMARY KEY NOT NULL, content INTEGER NOT NULL,"
			   " at_offset INTEGER NOT NULL) WITHOUT ROWID, STRICT",
};

/* The legality of every transition. False: the cause changes nothing. */
static bool transition(enum order_status from, enum order_cause cause, enum order_status *to)
{
	switch (from) {
	case PENDING:
		*to = cause == ALL_RESERVED ? CONFIRMED : cause == GROUP_REJECTED ? REJECTED : CANCELLED;
		return true;
	case CONFIRMED:
		*to = CANCELLED;
		return cause == CANCEL_REQUESTED;
	default:
		return false;
	}
}

/* ---- rows ---- */

static const char *groups_text(const struct order *order, struct arena *arena)
{
	char *text = arena_alloc(arena, order->group_count * 22 + 1), *at = text;
	for (size_t i = 0; i < order->group_count; i++) {
		if (i)
			*at++ = ' ';
		at += decimal_put(at, (uint64_t)order->groups[i].partition);
		*at++ = (char)order->groups[i].state;
	}
	*at = 0;
	return text;
}

static void groups_parse(const char *text, struct order *order, struct arena *arena)
{
	order->groups = arena_alloc(arena, (strlen(text) / 2 + 1) * sizeof *order->groups);
	order->group_count = 0;
	for (char *end; *text; text = *end ? end + 1 : end) {
		long partition = strtol(text, &end, 10);
		if (end == text || !*end)
			return;
		order->groups[order->group_count++] = (struct group){(int32_t)partition, (enum group_state) * end};
		end++;
	}
}

static enum status get_order(struct fold *fold, const char *order_id, struct order *order, bool *found, struct err *err)
{
	const struct store_value id = value_id(fold, order_id), *row;
	enum status status = fold_get(fold, ORDERS, &id, &row, err);
	*order = (struct order){.order_id = order_id, .id = id};
	*found = row != NULL;
	if (!row)
		return status;
	*order = (struct order){.order_id = order_id,
	                        .id = id,
	                        .content = (uint64_t)row[CONTENT].number,
	                        .status = (enum order_status)row[STATUS].number,
	                        .currency = row[CURRENCY].bytes,
	                        .total_minor = row[TOTAL_MINOR].number,
	                        .line_count = row[LINE_COUNT].number,
	                        .placed_at = row[PLACED_AT].number,
	                        .placed_offset = row[PLACED_OFFSET].number,
	                        .decided_offset =
	                                row[DECIDED_OFFSET].kind == STORE_NULL ? -1 : row[DECIDED_OFFSET].number};
	groups_parse(row[GROUPS].bytes, order, fold_arena(fold));
	return OK;
}

static enum status put_order(struct fold *fold, const struct order *order, struct err *err)
{
	const struct store_value row[ORDER_COLUMNS] = {
		[ORDER_ID] = order->id,
		[CONTENT] = value_int((int64_t)order->content),
		[STATUS] = value_int(order->status),
		[CURRENCY] = value_text(order->currency),
		[TOTAL_MINOR] = value_int(order->total_minor),
		[LINE_COUNT] = value_int(order->line_count),
		[PLACED_AT] = value_int(order->placed_at),
		[GROUPS] = value_text(groups_text(order, fold_arena(fold))),
		[PLACED_OFFSET] = value_int(order->placed_offset),
		[DECIDED_OFFSET] = order->decided_offset < 0 ? value_null() : value_int(order->decided_offset),
	};
	return fold_put(fold, ORDERS, row, err);
}

/* ---- what goes out ---- */

static enum status tell_group(struct fold *fold, const struct order *order, int32_t partition,
                              const struct event_type *command, struct err *err)
{
	/* CommitStock and ReleaseStock have the order's id and nothing else. */
	if (command == &commit_stock_type) {
		struct commit_stock commit = {.order_id = order->order_id};
		return fold_emit(fold, "inventory", partition, order->order_id, command, &commit, err);
	}
	struct release_stock release = {.order_id = order->order_id};
	return fold_emit(fold, "inventory", partition, order->order_id, command, &release, err);
}

static enum status release_reserved(struct fold *fold, struct order *order, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < order->group_count && status == OK; i++) {
		if (order->groups[i].state != RESERVED)
			continue;
		status = tell_group(fold, order, order->groups[i].partition, &release_stock_type, err);
		order->groups[i].state = RELEASED;
	}
	return status;
}

static enum status tell_everybody(struct fold *fold, const struct order *order, const struct event_type *type,
                                  const void *event, struct err *err)
{
	return fold_emit(fold, "order-events", fold_partition(fold), order->order_id, type, event, err);
}

static enum status confirm(struct fold *fold, struct order *order, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < order->group_count && status == OK; i++)
		status = tell_group(fold, order, order->groups[i].partition, &commit_stock_type, err);
	struct order_confirmed event = {.order_id = order->order_id,
	                                .currency = order->currency,
	                                .total_minor = order->total_minor,
	                                .line_count = (int32_t)order->line_count,
	                                .placed_at = order->placed_at};
	return status == OK ? tell_everybody(fold, order, &order_confirmed_type, &event, err) : status;
}

static enum status reject(struct fold *fold, struct order *order, const struct stock_rejected *why, struct err *err)
{
	enum status status = release_reserved(fold, order, err);
	struct order_rejected event = {.order_id = order->order_id,
	                               .currency = order->currency,
	                               .total_minor = order->total_minor,
	                               .inventory_partition = why->inventory_partition,
	                               .reason = why->reason,
	                               .shortages = why->shortages,
	                               .shortage_count = why->shortage_count};
	return status == OK ? tell_everybody(fold, order, &order_rejected_type, &event, err) : status;
}

static enum status tell_cancelled(struct fold *fold, const struct order *order, enum cancelled_from was,
                                  struct err *err)
{
	struct order_cancelled event = {.order_id = order->order_id,
	                                .currency = order->currency,
	                                .total_minor = order->total_minor,
	                                .was = was};
	return tell_everybody(fold, order, &order_cancelled_type, &event, err);
}

/* ---- OrderPlaced ---- */

static bool currency_valid(const char *currency)
{
	for (int i = 0; i < 3; i++)
		if (currency[i] < 'A' || currency[i] > 'Z')
			return false;
	return currency[3] == 0;
}

static enum status check_line(const struct order_placed *placed, size_t i, int64_t *units, int64_t *total,
                              struct err *err)
{
	const struct order_line *line = &placed->lines.items[i];
	int64_t amount;
	if (!service_id_valid(line->sku))
		return fold_reject(err, "invalid_id", "line %zu: sku is not 1 to 64 printable ASCII bytes", i + 1);
	if (line->quantity < 1)
		return fold_reject(err, "invalid_quantity", "line %zu: quantity %lld, expected at least 1", i + 1,
		                   (long long)line->quantity);
	if (line->unit_price_minor < 0)
		return fold_reject(err, "invalid_price", "line %zu: unit price %lld, expected at least 0", i + 1,
		                   (long long)line->unit_price_minor);
	if (line->currency && strcmp(line->currency, placed->currency) != 0)
		return fold_reject(err, "mixed_currency", "line %zu: another currency than the order's", i + 1);
	if (__builtin_mul_overflow(line->quantity, line->unit_price_minor, &amount) ||
	    __builtin_add_overflow(*total, amount, total))
		return fold_reject(err, "amount_overflow", "line %zu: the sum of the amounts passes 2^63-1", i + 1);
	if (__builtin_add_overflow(*units, line->quantity, units))
		return fold_reject(err, "amount_overflow", "line %zu: the sum of the quantities passes 2^63-1", i + 1);
	return OK;
}

static enum status check_placed(const struct order_placed *placed, int64_t *total, struct err *err)
{
	if (!service_id_valid(placed->order_id))
		return fold_reject(err, "invalid_id", "order_id is not 1 to 64 printable ASCII bytes");
	if (!currency_valid(placed->currency))
		return fold_reject(err, "invalid_currency", "the currency is not three capital letters");
	if (placed->customer_id && strlen(placed->customer_id) > ORDER_TEXT_MAX)
		return fold_reject(err, "too_large", "customer_id is longer than %d bytes", ORDER_TEXT_MAX);
	if (placed->lines.count < 1 || placed->lines.count > ORDER_LINES_MAX)
		return fold_reject(err, "invalid_lines", "%zu lines, expected 1 to %d", placed->lines.count,
		                   ORDER_LINES_MAX);
	int64_t units = 0;
	enum status status = OK;
	*total = 0;
	for (size_t i = 0; i < placed->lines.count && status == OK; i++)
		status = check_line(placed, i, &units, total, err);
	return status;
}

struct wanted {
	int32_t partition;
	struct reserve_line line;
};

static int by_partition_and_sku(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return strcmp(x->line.sku, y->line.sku);
}

/* The order's lines by inventory partition and SKU, each SKU once. */
static struct wanted *group_lines(struct fold *fold, const struct order_placed *placed, size_t *count)
{
	struct wanted *wanted = arena_alloc(fold_arena(fold), placed->lines.count * sizeof *wanted);
	for (size_t i = 0; i < placed->lines.count; i++) {
		const struct order_line *line = &placed->lines.items[i];
		wanted[i] = (struct wanted){fold_partition_of(fold, "inventory", line->sku),
		                            {.sku = line->sku, .quantity = line->quantity}};
	}
	qsort(wanted, placed->lines.count, sizeof *wanted, by_partition_and_sku);
	size_t kept = 0;
	for (size_t i = 0; i < placed->lines.count; i++) {
		if (kept && by_partition_and_sku(&wanted[kept - 1], &wanted[i]) == 0)
			wanted[kept - 1].line.quantity += wanted[i].line.quantity;
		else
			wanted[kept++] = wanted[i];
	}
	*count = kept;
	return wanted;
}

static enum status reserve(struct fold *fold, struct order *order, const struct order_placed *placed, struct err *err)
{
	size_t count;
	struct wanted *wanted = group_lines(fold, placed, &count);
	struct reserve_line *lines = arena_alloc(fold_arena(fold), count * sizeof *lines);
	order->groups = arena_alloc(fold_arena(fold), count * sizeof *order->groups);
	enum status status = OK;
	for (size_t first = 0, end; first < count && status == OK; first = end) {
		for (end = first; end < count && wanted[end].partition == wanted[first].partition; end++)
			lines[end] = wanted[end].line;
		struct reserve_stock command = {.order_id = order->order_id};
		command.lines.items = lines + first;
		command.lines.count = end - first;
		order->groups[order->group_count++] = (struct group){wanted[first].partition, WAITING};
		status = fold_emit(fold, "inventory", wanted[first].partition, order->order_id, &reserve_stock_type,
		                   &command, err);
	}
	return status;
}

static enum status cancel_requested_before(struct fold *fold, const struct store_value *id, bool *found,
                                           uint64_t *content, struct err *err)
{
	const struct store_value *row;
	enum status status = fold_get(fold, CANCEL_REQUEST, id, &row, err);
	*found = row != NULL;
	if (row)
		*content = (uint64_t)row[CANCEL_CONTENT].number;
	return status;
}

static enum status on_order_placed(struct fold *fold, const void *event, struct err *err)
{
	const struct order_placed *placed = event;
	int64_t total = 0;
	enum status status = check_placed(placed, &total, err);
	if (status != OK)
		return status;
	struct order order;
	bool found, cancelled;
	uint64_t content = fold_content_hash(fold, &order_placed_type, placed), ignored;
	status = get_order(fold, placed->order_id, &order, &found, err);
	if (status != OK)
		return status;
	if (found)
		return order.content == content
		               ? OK
		               : fold_reject(err, "conflict", "order %s was placed before with other content",
		                             placed->order_id);
	order = (struct order){.order_id = placed->order_id,
	                       .id = order.id,
	                       .status = PENDING,
	                       .content = content,
	                       .currency = placed->currency,
	                       .total_minor = total,
	                       .line_count = (int64_t)placed->lines.count,
	                       .placed_at = placed->placed_at,
	                       .placed_offset = fold_offset(fold),
	                       .decided_offset = -1};
	status = cancel_requested_before(fold, &order.id, &cancelled, &ignored, err);
	if (status != OK)
		return status;
	if (cancelled) {
		order.status = CANCELLED;
		order.decided_offset = fold_offset(fold);
		status = tell_cancelled(fold, &order, CANCELLED_FROM_NOT_PLACED, err);
	} else {
		status = reserve(fold, &order, placed, err);
	}
	return status == OK ? put_order(fold, &order, err) : status;
}

/* ---- answers ---- */

/* The order and the group that an answer is about. FATAL where there is none: our own command led to it. */
static enum status answered(struct fold *fold, const char *order_id, int32_t partition, struct order *order,
                            struct group **group, struct err *err)
{
	bool found;
	enum status status = get_order(fold, order_id, order, &found, err);
	if (status != OK)
		return status;
	for (size_t i = 0; found && i < order->group_count; i++) {
		*group = &order->groups[i];
		if ((*group)->partition == partition && fold_source_partition(fold) == partition)
			return OK;
	}
	return err_set(
		err, FATAL, "unknown_order",
		"inventory partition %d answers for order %s, which asked it for nothing; the input log has lost records:"
		" run `tandem audit`",
		fold_source_partition(fold), order_id);
}

/* The same answer again changes nothing; another than the one before would mean that two decisions were taken. */
static enum status repeated(const struct order *order, const struct group *group, bool agrees, struct err *err)
{
	if (agrees)
		return OK;
	return err_set(
		err, FATAL, "contradiction",
		"inventory partition %d answered for order %s before, and now the opposite; run `tandem inventory verify`",
		group->partition, order->order_id);
}

static bool all_reserved(const struct order *order)
{
	for (size_t i = 0; i < order->group_count; i++)
		if (order->groups[i].state != RESERVED)
			return false;
	return true;
}

static enum status on_stock_reserved(struct fold *fold, const void *event, struct err *err)
{
	const struct stock_reserved *answer = event;
	struct order order;
	struct group *group;
	enum status status = answered(fold, answer->order_id, answer->inventory_partition, &order, &group, err);
	if (status != OK)
		return status;
	if (group->state != WAITING)
		return repeated(&order, group, group->state != REFUSED, err);
	group->state = RESERVED;
	if (order.status != PENDING) { /* too late: the order is dead */
		status = tell_group(fold, &order, group->partition, &release_stock_type, err);
		group->state = RELEASED;
	} else if (all_reserved(&order) && transition(order.status, ALL_RESERVED, &order.status)) {
		order.decided_offset = fold_offset(fold);
		status = confirm(fold, &order, err);
	}
	return status == OK ? put_order(fold, &order, err) : status;
}

static enum status on_stock_rejected(struct fold *fold, const void *event, struct err *err)
{
	const struct stock_rejected *answer = event;
	struct order order;
	struct group *group;
	enum status status = answered(fold, answer->order_id, answer->inventory_partition, &order, &group, err);
	if (status != OK)
		return status;
	if (group->state != WAITING)
		return repeated(&order, group, group->state == REFUSED, err);
	group->state = REFUSED;
	if (transition(order.status, GROUP_REJECTED, &order.status)) {
		order.decided_offset = fold_offset(fold);
		status = reject(fold, &order, answer, err);
	}
	return status == OK ? put_order(fold, &order, err) : status;
}

/* ---- OrderCancelRequested ---- */

static enum status keep_request(struct fold *fold, const struct store_value *id, uint64_t content, struct err *err)
{
	const struct store_value row[CANCEL_COLUMNS] = {
		[CANCELLED_ID] = *id,
		[CANCEL_CONTENT] = value_int((int64_t)content),
		[CANCEL_OFFSET] = value_int(fold_offset(fold)),
	};
	return fold_put(fold, CANCEL_REQUEST, row, err);
}

static enum status cancel(struct fold *fold, struct order *order, struct err *err)
{
	enum cancelled_from was = order->status == CONFIRMED ? CANCELLED_FROM_CONFIRMED : CANCELLED_FROM_PENDING;
	if (!transition(order->status, CANCEL_REQUESTED, &order->status))
		return OK;
	order->decided_offset = fold_offset(fold);
	enum status status = release_reserved(fold, order, err);
	if (status == OK)
		status = tell_cancelled(fold, order, was, err);
	return status == OK ? put_order(fold, order, err) : status;
}

static enum status on_order_cancel_requested(struct fold *fold, const void *event, struct err *err)
{
	const struct order_cancel_requested *request = event;
	if (!service_id_valid(request->order_id))
		return fold_reject(err, "invalid_id", "order_id is not 1 to 64 printable ASCII bytes");
	if (request->reason && strlen(request->reason) > ORDER_TEXT_MAX)
		return fold_reject(err, "too_large", "reason is longer than %d bytes", ORDER_TEXT_MAX);
	const struct store_value id = value_id(fold, request->order_id);
	uint64_t content = fold_content_hash(fold, &order_cancel_requested_type, request), before;
	bool found;
	enum status status = cancel_requested_before(fold, &id, &found, &before, err);
	if (status != OK)
		return status;
	if (found)
		return before == content ? OK
		                         : fold_reject(err, "conflict",
		                                       "cancelling order %s was requested before with other content",
		                                       request->order_id);
	struct order order;
	status = keep_request(fold, &id, content, err);
	if (status == OK)
		status = get_order(fold, request->order_id, &order, &found, err);
	return status == OK && found ? cancel(fold, &order, err) : status;
}

static const struct service_source sources[] = {{"inventory", "inventory"}};
static const char *const outputs[] = {"inventory", "order-events"};
static const struct service_handler handlers[] = {
	{&order_placed_type, on_order_placed},
	{&order_cancel_requested_type, on_order_cancel_requested},
	{&stock_reserved_type, on_stock_reserved},
	{&stock_rejected_type, on_stock_rejected},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct service order_service = {
	.name = "order",
	.summary = "takes orders, has their stock reserved, confirms, rejects or cancels them",
	.input = "orders",
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

const struct command order_command = {
	.name = "order",
	.summary = "worker: takes orders, has their stock reserved, confirms, rejects or cancels them",
	.service = &order_service,
};
