/* The revenue worker: folds `order-events` into what was sold per day and currency, and what of it was taken back.
 *
 *   OrderConfirmed                      ──▶ counts as confirmed on the day the order was placed
 *   OrderCancelled, which was CONFIRMED ──▶ counts as cancelled on that same day
 *   OrderCancelled otherwise, OrderRejected ──▶ nothing was sold
 *
 * It emits nothing. docs/writing-a-worker.md takes this file apart, piece by piece. */
#include "command.h"
#include "events.h"
#include "service.h"

static const char *const tables[] = {
        /* day: days since 1970-01-01 UTC (SQL shows it as date(day * 86400, 'unixepoch')). A sum of money is
           e18 * 10^18 + minor, 0 <= minor < 10^18: orders of any size fit, and none can halt the worker. */
        "CREATE TABLE revenue (day INTEGER NOT NULL, currency TEXT NOT NULL,"
        " confirmed INTEGER NOT NULL, confirmed_e18 INTEGER NOT NULL, confirmed_minor INTEGER NOT NULL,"
        " cancelled INTEGER NOT NULL, cancelled_e18 INTEGER NOT NULL, cancelled_minor INTEGER NOT NULL,"
        " PRIMARY KEY (day, currency)) WITHOUT ROWID, STRICT",
        /* Every confirmed order, since OrderCancelled does not say when it was placed. */
        "CREATE TABLE sale (order_id ANY PRIMARY KEY NOT NULL, day INTEGER NOT NULL, cancelled INTEGER NOT NULL)"
        " WITHOUT ROWID, STRICT",
};

enum { GET_DAY, PUT_DAY, GET_SALE, PUT_SALE, CANCEL_SALE };

static const char *const statements[] = {
        [GET_DAY] = "SELECT confirmed, confirmed_e18, confirmed_minor, cancelled, cancelled_e18, cancelled_minor"
                    " FROM revenue WHERE day = ?1 AND currency = ?2",
        [PUT_DAY] = "INSERT OR REPLACE INTO revenue VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        [GET_SALE] = "SELECT day, cancelled FROM sale WHERE order_id = ?1",
        [PUT_SALE] = "INSERT INTO sale VALUES (?1, ?2, 0)",
        [CANCEL_SALE] = "UPDATE sale SET cancelled = 1 WHERE order_id = ?1",
};

/* ---- days and sums ---- */

#define DAY_MS 86400000
#define E18    1000000000000000000

/* The day, UTC, rounded down before 1970 as well. */
static int64_t day_of(int64_t ms)
{
	return ms / DAY_MS - (ms % DAY_MS < 0);
}

struct sum {
	int64_t count, e18, minor;
};

static void sum_add(struct sum *sum, int64_t minor)
{
	sum->count++;
	sum->e18 += minor / E18;
	sum->minor += minor % E18;
	if (sum->minor >= E18) {
		sum->minor -= E18;
		sum->e18++;
	}
}

/* ---- rows ---- */

static enum status get_day(struct fold *fold, int64_t day, const char *currency, struct sum *confirmed,
                           struct sum *cancelled, struct err *err)
{
	struct store_statement *s = fold_statement(fold, GET_DAY);
	bool found;
	store_bind_int(s, 1, day);
	store_bind_text(s, 2, currency);
	enum status status = store_step(s, &found, err);
	*confirmed = *cancelled = (struct sum){0};
	if (status == OK && found) {
		*confirmed = (struct sum){store_int(s, 0), store_int(s, 1), store_int(s, 2)};
		*cancelled = (struct sum){store_int(s, 3), store_int(s, 4), store_int(s, 5)};
	}
	store_done(s);
	return status;
}

static enum status put_day(struct fold *fold, int64_t day, const char *currency, const struct sum *confirmed,
                           const struct sum *cancelled, struct err *err)
{
	struct store_statement *s = fold_statement(fold, PUT_DAY);
	store_bind_int(s, 1, day);
	store_bind_text(s, 2, currency);
	store_bind_int(s, 3, confirmed->count);
	store_bind_int(s, 4, confirmed->e18);
	store_bind_int(s, 5, confirmed->minor);
	store_bind_int(s, 6, cancelled->count);
	store_bind_int(s, 7, cancelled->e18);
	store_bind_int(s, 8, cancelled->minor);
	return store_run(s, err);
}

static enum status get_sale(struct fold *fold, const char *order_id, bool *found, int64_t *day, bool *cancelled,
                            struct err *err)
{
	struct store_statement *s = fold_statement(fold, GET_SALE);
	store_bind_id(s, 1, order_id);
	enum status status = store_step(s, found, err);
	if (status == OK && *found) {
		*day = store_int(s, 0);
		*cancelled = store_int(s, 1) != 0;
	}
	store_done(s);
	return status;
}

/* ---- handlers ---- */

static enum status on_order_confirmed(struct fold *fold, const void *event, struct err *err)
{
	const struct order_confirmed *order = event;
	int64_t day = day_of(order->placed_at);
	struct store_statement *s = fold_statement(fold, PUT_SALE);
	store_bind_id(s, 1, order->order_id);
	store_bind_int(s, 2, day);
	enum status status = store_run(s, err);
	if (status != OK)
		return status;
	struct sum confirmed, cancelled;
	status = get_day(fold, day, order->currency, &confirmed, &cancelled, err);
	if (status != OK)
		return status;
	sum_add(&confirmed, order->total_minor);
	return put_day(fold, day, order->currency, &confirmed, &cancelled, err);
}

static enum status on_order_cancelled(struct fold *fold, const void *event, struct err *err)
{
	const struct order_cancelled *order = event;
	if (order->was != CANCELLED_FROM_CONFIRMED)
		return OK;
	int64_t day = 0;
	bool found, before = false;
	enum status status = get_sale(fold, order->order_id, &found, &day, &before, err);
	if (status != OK)
		return status;
	if (!found || before)
		return err_set(err, FATAL, "illegal_transition", "order %s was cancelled after it was confirmed, but it is %s here",
		               order->order_id, found ? "cancelled already" : "not confirmed");
	struct store_statement *s = fold_statement(fold, CANCEL_SALE);
	store_bind_id(s, 1, order->order_id);
	status = store_run(s, err);
	if (status != OK)
		return status;
	struct sum confirmed, cancelled;
	status = get_day(fold, day, order->currency, &confirmed, &cancelled, err);
	if (status != OK)
		return status;
	sum_add(&cancelled, order->total_minor);
	return put_day(fold, day, order->currency, &confirmed, &cancelled, err);
}

/* A numbered event of a type that a worker does not take halts it, so every type of the topic is named. */
static enum status on_order_rejected(struct fold *fold, const void *event, struct err *err)
{
	(void)fold;
	(void)event;
	(void)err;
	return OK;
}

/* ---- the description ---- */

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct service_source sources[] = {{"order", "orders"}};
static const struct service_handler handlers[] = {
        {&order_confirmed_type, on_order_confirmed},
        {&order_cancelled_type, on_order_cancelled},
        {&order_rejected_type, on_order_rejected},
};

static const struct service revenue_service = {
        .name = "revenue",
        .summary = "counts confirmed orders and their value per day and currency",
        .input = "order-events",
        .sources = sources,
        .source_count = COUNT(sources),
        .logic_version = 1,
        .tables = tables,
        .table_count = COUNT(tables),
        .statements = statements,
        .statement_count = COUNT(statements),
        .handlers = handlers,
        .handler_count = COUNT(handlers),
};

const struct command revenue_command = {
        .name = "revenue",
        .summary = "worker: counts confirmed orders and their value per day and currency (the example of"
                   " docs/writing-a-worker.md)",
        .service = &revenue_service,
};
