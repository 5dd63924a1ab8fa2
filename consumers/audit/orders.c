/* Orders against stock. What concerns one task alone holds at any time: it moves in one transaction. What concerns two
 * holds when everything is drained: every order then has an end, what is confirmed is committed in every partition that
 * was asked, and nothing is held for the dead. */
#include "audit.h"

#include "store.h"

#include <stdlib.h>
#include <string.h>

/* As the workers keep them: consumers/order.c, consumers/inventory.c. */
enum { PENDING = 1, CONFIRMED, REJECTED, CANCELLED };
enum { NONE, RESERVED, COMMITTED, RELEASED, REFUSED };

static const char *const order_words[] = {"unknown", "pending", "confirmed", "rejected", "cancelled"};
static const char *const reservation_words[] = {"missing", "reserved", "committed", "released", "refused"};

static const char *word(const char *const words[5], int64_t status)
{
	return status >= 0 && status < 5 ? words[status] : "of an unknown status";
}

static void wrong(struct audit *audit, enum audit_rules rule, const char *text)
{
	struct audit_rule *of = &audit->rules[rule];
	of->wrong++;
	if (of->shown_count < AUDIT_SHOWN)
		of->shown[of->shown_count++] = text;
}

static struct audit_view *view_of(struct audit *audit, const char *service, int32_t partition)
{
	for (size_t i = 0; i < audit->view_count; i++)
		if (audit->views[i].partition == partition && strcmp(audit->views[i].service->name, service) == 0)
			return &audit->views[i];
	return NULL;
}

/* ---- the stock of one partition ---- */

/* Three lists in the order of their SKU, read side by side. */
struct cursor {
	struct store_statement *rows;
	bool row;
};

static enum status advance(struct cursor *cursor, struct err *err)
{
	return store_step(cursor->rows, &cursor->row, err);
}

static enum status open_cursor(const struct audit_view *view, const char *sql, struct cursor *cursor, struct err *err)
{
	enum status status = store_prepare(task_store(view->task), sql, &cursor->rows, err);
	return status == OK ? advance(cursor, err) : status;
}

static bool is_at(const struct cursor *cursor, const char *sku)
{
	return cursor->row && strcmp(store_text(cursor->rows, 0), sku) == 0;
}

struct balance {
	const char *sku;
	bool known, overflow;
	int64_t on_hand, reserved, received;
	int64_t receipts, held, committed; /* sums */
};

static void add(struct balance *balance, int64_t *sum, int64_t quantity)
{
	if (quantity < 0 || __builtin_add_overflow(*sum, quantity, sum))
		balance->overflow = true;
}

static void check_balance(struct audit *audit, const struct audit_view *view, const struct balance *b)
{
	const char *where = audit_text(audit, "%s/%d, SKU %s", view->service->name, view->partition, b->sku);
	int64_t there = 0;
	for (int rule = RULE_BOUNDS; rule <= RULE_RESERVED; rule++)
		audit->rules[rule].checked++;
	if (b->overflow) {
		wrong(audit, RULE_RECEIPTS,
		      audit_text(audit, "%s: its quantities are negative, or pass 2^63-1", where));
		return;
	}
	if (b->reserved < 0 || b->reserved > b->on_hand)
		wrong(audit, RULE_BOUNDS,
		      audit_text(audit, "%s: reserved %lld, on hand %lld", where, (long long)b->reserved,
		                 (long long)b->on_hand));
	if (!b->known || b->received != b->receipts)
		wrong(audit, RULE_RECEIPTS,
		      audit_text(audit, "%s: received %lld, its receipts say %lld", where, (long long)b->received,
		                 (long long)b->receipts));
	if (__builtin_add_overflow(b->on_hand, b->committed, &there) || there != b->received)
		wrong(audit, RULE_COMMITTED,
		      audit_text(audit, "%s: received %lld, on hand %lld, committed %lld", where,
		                 (long long)b->received, (long long)b->on_hand, (long long)b->committed));
	if (b->held != b->reserved)
		wrong(audit, RULE_RESERVED,
		      audit_text(audit, "%s: reserved %lld, reservations hold %lld", where, (long long)b->reserved,
		                 (long long)b->held));
}

static const char *next_sku(struct audit *audit, const struct cursor cursors[3])
{
	const char *least = NULL;
	for (int i = 0; i < 3; i++) {
		const char *sku = cursors[i].row ? store_text(cursors[i].rows, 0) : NULL;
		if (sku && (!least || strcmp(sku, least) < 0))
			least = sku;
	}
	return least ? arena_copy(&audit->arena, least, strlen(least)) : NULL;
}

static enum status sum_sku(struct cursor cursors[3], struct balance *b, struct err *err)
{
	enum status status = OK;
	struct cursor *stock = &cursors[0], *receipts = &cursors[1], *lines = &cursors[2];
	b->known = is_at(stock, b->sku);
	if (b->known) {
		b->on_hand = store_int(stock->rows, 1);
		b->reserved = store_int(stock->rows, 2);
		b->received = store_int(stock->rows, 3);
		status = advance(stock, err);
	}
	while (status == OK && is_at(receipts, b->sku)) {
		add(b, &b->receipts, store_int(receipts->rows, 1));
		status = advance(receipts, err);
	}
	while (status == OK && is_at(lines, b->sku)) {
		int64_t of = store_int(lines->rows, 2);
		if (of == RESERVED || of == COMMITTED)
			add(b, of == RESERVED ? &b->held : &b->committed, store_int(lines->rows, 1));
		status = advance(lines, err);
	}
	return status;
}

static enum status check_stock(struct audit *audit, const struct audit_view *view, struct err *err)
{
	static const char *const lists[3] = {
		"SELECT sku, on_hand, reserved, received FROM stock ORDER BY sku",
		"SELECT sku, quantity FROM receipt ORDER BY sku",
		"SELECT l.key, l.value, r.status FROM reservation r, json_each(r.lines) l ORDER BY l.key",
	};
	struct cursor cursors[3];
	enum status status = OK;
	for (int i = 0; i < 3 && status == OK; i++)
		status = open_cursor(view, lists[i], &cursors[i], err);
	while (status == OK) {
		struct balance balance = {.sku = next_sku(audit, cursors)};
		if (!balance.sku)
			break;
		status = sum_sku(cursors, &balance, err);
		if (status == OK)
			check_balance(audit, view, &balance);
	}
	return status;
}

/* ---- orders and reservations ---- */

/* A lookup by order in every partition of one service. */
struct lookup {
	struct store_statement **by_partition;
	int32_t count;
};

static enum status prepare_lookup(struct audit *audit, const char *service, const char *topic, const char *sql,
                                  struct lookup *lookup, struct err *err)
{
	enum status status = OK;
	lookup->count = genesis_topic(&audit->genesis, topic)->partitions;
	lookup->by_partition = arena_alloc(&audit->arena, (size_t)lookup->count * sizeof(struct store_statement *));
	for (int32_t p = 0; p < lookup->count && status == OK; p++)
		status =
			store_prepare(task_store(view_of(audit, service, p)->task), sql, &lookup->by_partition[p], err);
	return status;
}

/* The status in that partition's row; 0: no row. */
static enum status look_up(const struct lookup *lookup, int32_t partition, const struct store_value *order_id,
                           int64_t *found, struct err *err)
{
	bool row;
	*found = 0;
	if (partition < 0 || partition >= lookup->count)
		return OK;
	struct store_statement *s = lookup->by_partition[partition];
	store_value_bind(s, 1, order_id);
	enum status status = store_step(s, &row, err);
	if (status == OK && row)
		*found = store_int(s, 0);
	store_done(s);
	return status;
}

static void check_group(struct audit *audit, struct store_statement *order, const struct audit_view *view,
                        int64_t status, int32_t group, int64_t reservation)
{
	enum audit_rules rule = status == CONFIRMED ? RULE_CONFIRMED : RULE_DEAD;
	bool right = status == CONFIRMED ? reservation == COMMITTED : reservation == RELEASED || reservation == REFUSED;
	if (right)
		return;
	wrong(audit, rule,
	      audit_text(audit, "%s/%d, order %s is %s, its reservation in inventory/%d is %s", view->service->name,
	                 view->partition, store_id(order, 0, &audit->arena), word(order_words, status), group,
	                 word(reservation_words, reservation)));
}

/* groups: "0R 3W", an inventory partition and a letter each. */
static enum status check_groups(struct audit *audit, const struct audit_view *view, struct store_statement *order,
                                const struct lookup *reservations, struct err *err)
{
	enum status status = OK;
	struct store_value order_id;
	int64_t order_status = store_int(order, 1), reservation;
	const char *groups = store_text(order, 2);
	store_value(order, 0, &order_id);
	for (char *end; *groups && status == OK; groups = *end ? end + 1 : end) {
		int32_t group = (int32_t)strtol(groups, &end, 10);
		if (end == groups || !*end)
			break;
		end++;
		status = look_up(reservations, group, &order_id, &reservation, err);
		if (status == OK)
			check_group(audit, order, view, order_status, group, reservation);
	}
	return status;
}

static enum status check_order(struct audit *audit, const struct audit_view *view, struct store_statement *order,
                               const struct lookup *reservations, struct err *err)
{
	int64_t status = store_int(order, 1);
	audit->orders[0]++;
	if (status >= PENDING && status <= CANCELLED)
		audit->orders[status]++;
	if (!audit->settled)
		return OK;
	audit->rules[RULE_ENDED].checked++;
	if (status == CONFIRMED || status == REJECTED || status == CANCELLED) {
		audit->rules[status == CONFIRMED ? RULE_CONFIRMED : RULE_DEAD].checked++;
		return check_groups(audit, view, order, reservations, err);
	}
	wrong(audit, RULE_ENDED,
	      audit_text(audit, "%s/%d, order %s is %s", view->service->name, view->partition,
	                 store_id(order, 0, &audit->arena), word(order_words, status)));
	return OK;
}

static enum status check_orders(struct audit *audit, const struct audit_view *view, const struct lookup *reservations,
                                struct err *err)
{
	struct store_statement *s;
	enum status status = store_prepare(task_store(view->task),
	                                   "SELECT order_id, status, groups FROM orders ORDER BY order_id", &s, err);
	for (bool row = true; status == OK && row;) {
		status = store_step(s, &row, err);
		if (status == OK && row)
			status = check_order(audit, view, s, reservations, err);
	}
	return status;
}

/* The other way round: what is held or gone is so for an order that says the same. */
static enum status check_reservation(struct audit *audit, const struct audit_view *view, struct store_statement *s,
                                     const struct lookup *orders, struct arena *arena, struct err *err)
{
	struct store_value value;
	int64_t now = store_int(s, 1), order;
	const char *order_id = store_id(s, 0, arena);
	store_value(s, 0, &value);
	enum status status =
		look_up(orders, log_partition_of(order_id, strlen(order_id), orders->count), &value, &order, err);
	audit->rules[RULE_ORPHAN].checked++;
	if (status == OK && !(now == COMMITTED && order == CONFIRMED))
		wrong(audit, RULE_ORPHAN,
		      audit_text(audit, "%s/%d, the reservation of order %s is %s, the order is %s",
		                 view->service->name, view->partition, order_id, word(reservation_words, now),
		                 word(order_words, order)));
	return status;
}

static enum status check_reservations(struct audit *audit, const struct audit_view *view, const struct lookup *orders,
                                      struct err *err)
{
	struct store_statement *s;
	struct arena arena = {0};
	enum status status = store_prepare(
		task_store(view->task),
		"SELECT order_id, status FROM reservation WHERE status IN (1, 2) ORDER BY order_id", &s, err);
	for (bool row = true; status == OK && row;) {
		arena_reset(&arena);
		status = store_step(s, &row, err);
		if (status == OK && row)
			status = check_reservation(audit, view, s, orders, &arena, err);
	}
	arena_fini(&arena);
	return status;
}

/* ---- all of it ---- */

static void name_rules(struct audit *audit)
{
	static const char *const texts[AUDIT_RULES] = {
		[RULE_BOUNDS] = "0 <= reserved <= on hand",
		[RULE_RECEIPTS] = "stock received = sum of the receipts",
		[RULE_COMMITTED] = "stock received = on hand + committed",
		[RULE_RESERVED] = "stock reserved = what reservations hold",
		[RULE_ENDED] = "every order has an end",
		[RULE_CONFIRMED] = "every line of a confirmed order is committed",
		[RULE_DEAD] = "no dead order holds stock",
		[RULE_ORPHAN] = "nothing is held or gone but for a confirmed order",
	};
	for (int i = 0; i < AUDIT_RULES; i++)
		audit->rules[i] = (struct audit_rule){.text = texts[i], .judged = i <= RULE_RESERVED || audit->settled};
}

static bool can_see(struct audit *audit, const char *service, const char *topic)
{
	const struct genesis_topic *of = genesis_topic(&audit->genesis, topic);
	for (int32_t p = 0; of && p < of->partitions; p++) {
		const struct audit_view *view = view_of(audit, service, p);
		if (!view || !view->task)
			return false;
	}
	return of != NULL;
}

static enum status check_view(struct audit *audit, const struct audit_view *view, const struct lookup *orders,
                              const struct lookup *reservations, struct err *err)
{
	if (strcmp(view->service->name, "order") == 0)
		return check_orders(audit, view, reservations, err);
	if (strcmp(view->service->name, "inventory") != 0)
		return OK;
	enum status status = check_stock(audit, view, err);
	return status == OK && audit->settled ? check_reservations(audit, view, orders, err) : status;
}

void orders_check(struct audit *audit)
{
	struct lookup orders, reservations;
	struct err err = {0};
	name_rules(audit);
	memset(audit->orders, 0, sizeof audit->orders);
	audit->has_orders = can_see(audit, "order", "orders") && can_see(audit, "inventory", "inventory");
	if (!audit->has_orders)
		return;
	enum status status = prepare_lookup(audit, "order", "orders", "SELECT status FROM orders WHERE order_id = ?1",
	                                    &orders, &err);
	if (status == OK)
		status = prepare_lookup(audit, "inventory", "inventory",
		                        "SELECT status FROM reservation WHERE order_id = ?1", &reservations, &err);
	for (size_t i = 0; i < audit->view_count && status == OK; i++) {
		status = check_view(audit, &audit->views[i], &orders, &reservations, &err);
		if (status != OK)
			audit->views[i].why = err;
	}
}
