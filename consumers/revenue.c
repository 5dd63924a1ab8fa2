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

enum { REVENUE, SALE };
enum { DAY, CURRENCY, CONFIRMED, CONFIRMED_E18, CONFIRMED_MINOR, CANCELLED, CANCELLED_E18, CANCELLED_MINOR, REVENUE_COLUMNS };
enum { SALE_ID, SALE_DAY, SALE_CANCELLED, SALE_COLUMNS };

static const char *const tables[] = {
        /* day: days since 1970-01-01 UTC (SQL shows it as date(day * 86400, 'unixepoch')). A sum of money is
           e18 * 10^18 + minor, 0 <= minor < 10^18: orders of any size fit, and none can halt the worker. */
        [REVENUE] = "CREATE TABLE revenue (day INTEGER NOT NULL, currency TEXT NOT NULL,"
        " confirmed INTEGER NOT NULL, confirmed_e18 INTEGER NOT NULL, confirmed_minor INTEGER NOT NULL,"
        " cancelled INTEGER NOT NULL, cancelled_e18 INTEGER NOT NULL, cancelled_minor INTEGER NOT NULL,"
        " PRIMARY KEY (day, currency)) WITHOUT ROWID, STRICT",
        /* Every confirmed order, since OrderCancelled does not say when it was placed. */
        [SALE] = "CREATE TABLE sale (order_id ANY PRIMARY KEY NOT NULL, day INTEGER NOT NULL, cancelled INTEGER NOT NULL)"
        " WITHOUT ROWID, STRICT",
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
	const struct store_value key[] = {value_int(day), value_text(currency)};
	const struct store_value *row;
	enum status status = fold_get(fold, REVENUE, key, &row, err);
	*confirmed = *cancelled = (struct sum){0};
	if (row) {
		*confirmed = (struct sum){row[CONFIRMED].number, row[CONFIRMED_E18].number, row[CONFIRMED_MINOR].number};
		*cancelled = (struct sum){row[CANCELLED].number, row[CANCELLED_E18].number, row[CANCELLED_MINOR].number};
	}
	return status;
}

static enum status put_day(struct fold *fold, int64_t day, const char *currency, const struct sum *confirmed,
                           const struct sum *cancelled, struct err *err)
{
	const struct store_value row[REVENUE_COLUMNS] = {
		[DAY] = value_int(day),
		[CURRENCY] = value_text(currency),
		[CONFIRMED] = value_int(confirmed->count),
		[CONFIRMED_E18] = value_int(confirmed->e18),
		[CONFIRMED_MINOR] = value_int(confirmed->minor),
		[CANCELLED] = value_int(cancelled->count),
		[CANCELLED_E18] = value_int(cancelled->e18),
		[CANCELLED_MINOR] = value_int(cancelled->minor),
	};
	return fold_put(fold, REVENUE, row, err);
}

struct sale {
	bool known, cancelled;
	int64_t day;
};

static enum status get_sale(struct fold *fold, const char *order_id, struct sale *sale, struct err *err)
{
	const struct store_value key = value_id(fold, order_id), *row;
	enum status status = fold_get(fold, SALE, &key, &row, err);
	*sale = (struct sale){0};
	if (row)
		*sale = (struct sale){.known = true, .cancelled = row[SALE_CANCELLED].number != 0, .day = row[SALE_DAY].number};
	return status;
}

static enum status put_sale(struct fold *fold, const char *order_id, const struct sale *sale, struct err *err)
{
	const struct store_value row[SALE_COLUMNS] = {
		[SALE_ID] = value_id(fold, order_id),
		[SALE_DAY] = value_int(sale->day),
		[SALE_CANCELLED] = value_int(sale->cancelled),
	};
	return fold_put(fold, SALE, row, err);
}

/* ---- handlers ---- */

/* The stream has broken its promise: nothing to paper over. */
static enum status misfit(const char *order_id, const char *now, const struct sale *sale, struct err *err)
{
	return err_set(err, FATAL, "illegal_transition", "order %s was %s, but it is %s here", order_id, now,
	               !sale->known ? "not confirmed" : sale->cancelled ? "cancelled already" : "confirmed already");
}

static enum status on_order_confirmed(struct fold *fold, const void *event, struct err *err)
{
	const struct order_confirmed *order = event;
	struct sum confirmed, cancelled;
	struct sale sale;
	enum status status = get_sale(fold, order->order_id, &sale, err);
	if (status != OK)
		return status;
	if (sale.known)
		return misfit(order->order_id, "confirmed", &sale, err);
	sale = (struct sale){.day = day_of(order->placed_at)};
	status = put_sale(fold, order->order_id, &sale, err);
	if (status == OK)
		status = get_day(fold, sale.day, order->currency, &confirmed, &cancelled, err);
	if (status != OK)
		return status;
	sum_add(&confirmed, order->total_minor);
	return put_day(fold, sale.day, order->currency, &confirmed, &cancelled, err);
}

static enum status on_order_cancelled(struct fold *fold, const void *event, struct err *err)
{
	const struct order_cancelled *order = event;
	struct sum confirmed, cancelled;
	struct sale sale;
	if (order->was != CANCELLED_FROM_CONFIRMED)
		return OK;
	enum status status = get_sale(fold, order->order_id, &sale, err);
	if (status != OK)
		return status;
	if (!sale.known || sale.cancelled)
		return misfit(order->order_id, "cancelled after it was confirmed", &sale, err);
	sale.cancelled = true;
	status = put_sale(fold, order->order_id, &sale, err);
	if (status == OK)
		status = get_day(fold, sale.day, order->currency, &confirmed, &cancelled, err);
	if (status != OK)
		return status;
	sum_add(&cancelled, order->total_minor);
	return put_day(fold, sale.day, order->currency, &confirmed, &cancelled, err);
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
        .handlers = handlers,
        .handler_count = COUNT(handlers),
};

const struct command revenue_command = {
        .name = "revenue",
        .summary = "worker: counts confirmed orders and their value per day and currency (the example of"
                   " docs/writing-a-worker.md)",
        .service = &revenue_service,
};
