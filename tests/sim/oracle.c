#include "oracle.h"

#include <stdlib.h>
#include <string.h>

void *oracle_grow(struct arena *arena, void *old, size_t count, size_t size)
{
	if (count & (count - 1)) /* room for the next power of two is there */
		return old;
	void *more = arena_alloc(arena, 2 * (count + 1) * size);
	if (count)
		memcpy(more, old, count * size);
	return more;
}

static void *make(struct oracle *oracle, const void *bytes, size_t size)
{
	return memcpy(arena_alloc(oracle->arena, size), bytes, size);
}

#define EVENT(oracle, value) make((oracle), &(value), sizeof(value))

static void emit(struct oracle *oracle, enum oracle_to to, int32_t partition, const struct event_type *type,
                 const void *event)
{
	*ORACLE_GROW(oracle, oracle->outputs, oracle->output_count) =
		(struct oracle_output){to, partition, type, event, NULL, oracle->cause};
}

void oracle_dead_letter(struct oracle *oracle, const struct oracle_given *given)
{
	*ORACLE_GROW(oracle, oracle->outputs, oracle->output_count) =
		(struct oracle_output){TO_DEAD_LETTERS, oracle->partition, NULL, NULL, given->record, oracle->cause};
	oracle->letters++;
}

static bool good_id(const char *id)
{
	size_t len = strlen(id);
	for (size_t i = 0; i < len; i++)
		if (id[i] < ' ' || id[i] > '~')
			return false;
	return len >= 1 && len <= 64;
}

/* Is the record this publisher's event, under its own key, in the partition of that key? */
static bool in_place(const struct oracle *oracle, const struct oracle_given *given, const struct event_type *expected)
{
	if (given->type != expected || given->record->value.len > 950000)
		return false;
	const char *key = expected->key(given->event);
	const struct log_bytes *has = &given->record->key;
	return has->len == (int32_t)strlen(key) && memcmp(has->data, key, strlen(key)) == 0 &&
	       log_partition_of(key, strlen(key), oracle->own_count) == oracle->partition;
}

/* ---- orders ---- */

static struct oracle_order *order_of(struct oracle *oracle, const char *id, bool add)
{
	for (size_t i = 0; i < oracle->order_count; i++) {
		struct oracle_order *order = &oracle->orders[i];
		if (strcmp(order->placed ? order->placed->order_id : order->cancel->order_id, id) == 0)
			return order;
	}
	if (!add)
		return NULL;
	struct oracle_order *order = ORACLE_GROW(oracle, oracle->orders, oracle->order_count);
	*order = (struct oracle_order){0};
	return order;
}

static bool good_order(const struct order_placed *placed, int64_t *total)
{
	int64_t units = 0;
	*total = 0;
	if (!good_id(placed->order_id) || strlen(placed->currency) != 3 ||
	    strspn(placed->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3 || placed->lines.count < 1 ||
	    placed->lines.count > 4096)
		return false;
	for (size_t i = 0; i < placed->lines.count; i++) {
		const struct order_line *line = &placed->lines.items[i];
		int64_t amount;
		if (!good_id(line->sku) || line->quantity < 1 || line->unit_price_minor < 0 ||
		    (line->currency && strcmp(line->currency, placed->currency) != 0) ||
		    __builtin_mul_overflow(line->quantity, line->unit_price_minor, &amount) ||
		    __builtin_add_overflow(*total, amount, total) ||
		    __builtin_add_overflow(units, line->quantity, &units))
			return false;
	}
	return true;
}

static void tell_cancelled(struct oracle *oracle, const struct oracle_order *order, enum cancelled_from was)
{
	struct order_cancelled event = {.order_id = order->placed->order_id,
	                                .currency = order->placed->currency,
	                                .total_minor = order->total,
	                                .was = was};
	emit(oracle, TO_EVENTS, oracle->partition, &order_cancelled_type, EVENT(oracle, event));
}

static void command(struct oracle *oracle, const struct oracle_order *order, int32_t partition,
                    const struct event_type *type)
{
	struct commit_stock commit = {.order_id = order->placed->order_id};
	struct release_stock release = {.order_id = order->placed->order_id};
	emit(oracle, TO_INVENTORY, partition, type,
	     type == &commit_stock_type ? EVENT(oracle, commit) : EVENT(oracle, release));
}

/* What the order wants of one partition: SKUs in order, each once. */
static void add_line(struct reserve_line_array *lines, const char *sku, int64_t quantity)
{
	size_t at = 0;
	while (at < lines->count && strcmp(lines->items[at].sku, sku) < 0)
		at++;
	if (at < lines->count && strcmp(lines->items[at].sku, sku) == 0) {
		lines->items[at].quantity += quantity;
		return;
	}
	memmove(&lines->items[at + 1], &lines->items[at], (lines->count - at) * sizeof *lines->items);
	lines->items[at] = (struct reserve_line){.sku = sku, .quantity = quantity};
	lines->count++;
}

static void ask_for_stock(struct oracle *oracle, struct oracle_order *order)
{
	for (int32_t p = 0; p < oracle->inventory_count; p++) {
		struct reserve_stock reserve = {.order_id = order->placed->order_id};
		reserve.lines.items =
			arena_alloc(oracle->arena, (order->placed->lines.count + 1) * sizeof *reserve.lines.items);
		for (size_t i = 0; i < order->placed->lines.count; i++) {
			const struct order_line *line = &order->placed->lines.items[i];
			if (log_partition_of(line->sku, strlen(line->sku), oracle->inventory_count) == p)
				add_line(&reserve.lines, line->sku, line->quantity);
		}
		if (!reserve.lines.count)
			continue;
		order->answer[p] = 'W';
		emit(oracle, TO_INVENTORY, p, &reserve_stock_type, EVENT(oracle, reserve));
	}
}

static void placed(struct oracle *oracle, const struct oracle_given *given)
{
	const struct order_placed *event = given->event;
	int64_t total;
	if (!good_order(event, &total)) {
		oracle_dead_letter(oracle, given);
		return;
	}
	struct oracle_order *order = order_of(oracle, event->order_id, true);
	if (order->placed) {
		if (!event_equal(&order_placed_type, order->placed, event))
			oracle_dead_letter(oracle, given);
		return;
	}
	order->placed = event;
	order->total = total;
	order->end = order->cancel ? DEAD : OPEN;
	if (order->cancel)
		tell_cancelled(oracle, order, CANCELLED_FROM_NOT_PLACED);
	else
		ask_for_stock(oracle, order);
}

static void give_back(struct oracle *oracle, struct oracle_order *order)
{
	for (int32_t p = 0; p < oracle->inventory_count; p++) {
		if (order->answer[p] != 'R')
			continue;
		order->answer[p] = 'L';
		command(oracle, order, p, &release_stock_type);
	}
}

static void cancelled(struct oracle *oracle, const struct oracle_given *given)
{
	const struct order_cancel_requested *event = given->event;
	struct oracle_order *order = good_id(event->order_id) ? order_of(oracle, event->order_id, true) : NULL;
	if (!order || (order->cancel && !event_equal(&order_cancel_requested_type, order->cancel, event))) {
		oracle_dead_letter(oracle, given);
		return;
	}
	if (order->cancel)
		return;
	order->cancel = event;
	if (!order->placed || (order->end != OPEN && order->end != DONE))
		return;
	enum cancelled_from was = order->end == OPEN ? CANCELLED_FROM_PENDING : CANCELLED_FROM_CONFIRMED;
	order->end = DEAD;
	give_back(oracle, order);
	tell_cancelled(oracle, order, was);
}

static bool all_reserved(const struct oracle *oracle, const struct oracle_order *order)
{
	for (int32_t p = 0; p < oracle->inventory_count; p++)
		if (order->answer[p] && order->answer[p] != 'R')
			return false;
	return true;
}

static void confirm(struct oracle *oracle, struct oracle_order *order)
{
	order->end = DONE;
	for (int32_t p = 0; p < oracle->inventory_count; p++)
		if (order->answer[p])
			command(oracle, order, p, &commit_stock_type);
	struct order_confirmed event = {.order_id = order->placed->order_id,
	                                .currency = order->placed->currency,
	                                .total_minor = order->total,
	                                .line_count = (int32_t)order->placed->lines.count,
	                                .placed_at = order->placed->placed_at};
	emit(oracle, TO_EVENTS, oracle->partition, &order_confirmed_type, EVENT(oracle, event));
}

static struct oracle_order *asked(struct oracle *oracle, const char *id, int32_t from)
{
	struct oracle_order *order = order_of(oracle, id, false);
	if (order && order->placed && order->answer[from] == 'W')
		return order;
	oracle->absurd = "an answer that nobody waits for";
	return NULL;
}

static void reserved(struct oracle *oracle, const struct oracle_given *given)
{
	struct oracle_order *order =
		asked(oracle, ((const struct stock_reserved *)given->event)->order_id, given->from);
	if (!order)
		return;
	order->answer[given->from] = 'R';
	if (order->end != OPEN)
		give_back(oracle, order);
	else if (all_reserved(oracle, order))
		confirm(oracle, order);
}

static void refused(struct oracle *oracle, const struct oracle_given *given)
{
	const struct stock_rejected *why = given->event;
	struct oracle_order *order = asked(oracle, why->order_id, given->from);
	if (!order)
		return;
	order->answer[given->from] = 'X';
	if (order->end != OPEN)
		return;
	order->end = SHORT;
	give_back(oracle, order);
	struct order_rejected event = {.order_id = order->placed->order_id,
	                               .currency = order->placed->currency,
	                               .total_minor = order->total,
	                               .inventory_partition = why->inventory_partition,
	                               .reason = why->reason,
	                               .shortages = why->shortages,
	                               .shortage_count = why->shortage_count};
	emit(oracle, TO_EVENTS, oracle->partition, &order_rejected_type, EVENT(oracle, event));
}

static void order_publisher(struct oracle *oracle, const struct oracle_given *given)
{
	if (in_place(oracle, given, &order_placed_type))
		placed(oracle, given);
	else if (in_place(oracle, given, &order_cancel_requested_type))
		cancelled(oracle, given);
	else
		oracle_dead_letter(oracle, given);
}

void oracle_take_order(struct oracle *oracle, const struct oracle_given *given)
{
	oracle->cause = given->record->offset;
	oracle->publisher = order_publisher;
	if (given->from < 0)
		oracle_take_publisher(oracle, given, "orders.dlq");
	else if (given->type == &stock_reserved_type)
		reserved(oracle, given);
	else if (given->type == &stock_rejected_type)
		refused(oracle, given);
	else
		oracle->absurd = "an answer of a type that is none";
}

/* ---- inventory ---- */

static struct oracle_stock *stock_of(struct oracle *oracle, const char *sku)
{
	for (size_t i = 0; i < oracle->stock_count; i++)
		if (strcmp(oracle->stock[i].sku, sku) == 0)
			return &oracle->stock[i];
	return NULL;
}

static void received(struct oracle *oracle, const struct oracle_given *given)
{
	const struct stock_received *event = given->event;
	for (size_t i = 0; i < oracle->receipt_count; i++) {
		const struct stock_received *before = oracle->receipts[i];
		if (strcmp(before->receipt_id, event->receipt_id) != 0 || strcmp(before->sku, event->sku) != 0)
			continue;
		if (!event_equal(&stock_received_type, before, event))
			oracle_dead_letter(oracle, given);
		return;
	}
	struct oracle_stock *stock = stock_of(oracle, event->sku);
	int64_t sum;
	if (!good_id(event->receipt_id) || !good_id(event->sku) || event->quantity < 1 ||
	    __builtin_add_overflow(stock ? stock->received : 0, event->quantity, &sum)) {
		oracle_dead_letter(oracle, given);
		return;
	}
	*ORACLE_GROW(oracle, oracle->receipts, oracle->receipt_count) = event;
	if (!stock) {
		stock = ORACLE_GROW(oracle, oracle->stock, oracle->stock_count);
		*stock = (struct oracle_stock){.sku = event->sku};
	}
	stock->on_hand += event->quantity;
	stock->received += event->quantity;
}

static struct oracle_hold *hold_of(struct oracle *oracle, const char *order_id)
{
	for (size_t i = 0; i < oracle->hold_count; i++)
		if (strcmp(oracle->holds[i].command->order_id, order_id) == 0)
			return &oracle->holds[i];
	oracle->absurd = "a command for stock that nobody holds";
	return NULL;
}

static void find_shortages(struct oracle *oracle, const struct reserve_stock *wanted, struct stock_rejected *refusal)
{
	refusal->shortages.items = arena_alloc(oracle->arena, 20 * sizeof *refusal->shortages.items);
	for (size_t i = 0; i < wanted->lines.count; i++) {
		const struct reserve_line *line = &wanted->lines.items[i];
		const struct oracle_stock *stock = stock_of(oracle, line->sku);
		if (stock && stock->on_hand - stock->reserved >= line->quantity)
			continue;
		if (!stock)
			refusal->reason = REJECT_REASON_UNKNOWN_SKU;
		if (refusal->shortage_count++ < 20)
			refusal->shortages.items[refusal->shortages.count++] =
				(struct shortage){.sku = line->sku,
			                          .known = stock != NULL,
			                          .wanted = line->quantity,
			                          .on_hand = stock ? stock->on_hand : 0,
			                          .reserved = stock ? stock->reserved : 0};
	}
}

static void reserve(struct oracle *oracle, const struct oracle_given *given)
{
	const struct reserve_stock *wanted = given->event;
	struct stock_rejected refusal = {.order_id = wanted->order_id,
	                                 .inventory_partition = oracle->partition,
	                                 .reason = REJECT_REASON_INSUFFICIENT_STOCK};
	find_shortages(oracle, wanted, &refusal);
	struct oracle_hold *hold = ORACLE_GROW(oracle, oracle->holds, oracle->hold_count);
	*hold = (struct oracle_hold){.command = wanted, .state = refusal.shortage_count ? 4 : 1};
	if (refusal.shortage_count) {
		hold->refusal = EVENT(oracle, refusal);
		emit(oracle, TO_ORDERS, given->from, &stock_rejected_type, hold->refusal);
		return;
	}
	for (size_t i = 0; i < wanted->lines.count; i++)
		stock_of(oracle, wanted->lines.items[i].sku)->reserved += wanted->lines.items[i].quantity;
	struct stock_reserved answer = {.order_id = wanted->order_id, .inventory_partition = oracle->partition};
	emit(oracle, TO_ORDERS, given->from, &stock_reserved_type, EVENT(oracle, answer));
}

static void end_hold(struct oracle *oracle, const char *order_id, bool commit)
{
	struct oracle_hold *hold = hold_of(oracle, order_id);
	if (!hold)
		return;
	if (hold->state > 2 || (commit && hold->state != 1)) {
		oracle->absurd = "a command that does not fit what is held";
		return;
	}
	for (size_t i = 0; i < hold->command->lines.count; i++) {
		const struct reserve_line *line = &hold->command->lines.items[i];
		struct oracle_stock *stock = stock_of(oracle, line->sku);
		if (hold->state == 1)
			stock->reserved -= line->quantity;
		if (commit)
			stock->on_hand -= line->quantity;
		else if (hold->state == 2)
			stock->on_hand += line->quantity;
	}
	hold->state = commit ? 2 : 3;
}

static void inventory_publisher(struct oracle *oracle, const struct oracle_given *given)
{
	if (in_place(oracle, given, &stock_received_type))
		received(oracle, given);
	else
		oracle_dead_letter(oracle, given);
}

void oracle_take_inventory(struct oracle *oracle, const struct oracle_given *given)
{
	oracle->cause = given->record->offset;
	oracle->publisher = inventory_publisher;
	if (given->from < 0)
		oracle_take_publisher(oracle, given, "inventory.dlq");
	else if (given->type == &reserve_stock_type)
		reserve(oracle, given);
	else if (given->type == &commit_stock_type)
		end_hold(oracle, ((const struct commit_stock *)given->event)->order_id, true);
	else if (given->type == &release_stock_type)
		end_hold(oracle, ((const struct release_stock *)given->event)->order_id, false);
	else
		oracle->absurd = "a command of a type that is none";
}
