#include "generate.h"

#include "events.h"
#include "mem.h"

#include <inttypes.h>
#include <stdio.h>

#define QUANTITY_MAX    5
#define CUSTOMERS       10000
#define CANCEL_AFTER_MS 1000

/* What a random number of an order is for: a stream each, so that one more line changes nothing else. */
enum purpose { FOR_ID = 1, FOR_ID_TAIL, FOR_CUSTOMER, FOR_LINE_COUNT, FOR_LINES };

#define SKU_BYTES 32

struct generator {
	const struct generate_options *options;
	const struct publish_sink *sink;
	char (*skus)[SKU_BYTES]; /* of one order's lines */
	struct order_line *lines;
};

static uint64_t number_of(const struct generate_options *options, uint64_t order, enum purpose purpose, uint64_t index)
{
	return publish_mix(publish_mix(publish_mix(options->seed, order), purpose), index);
}

static int64_t time_of(uint64_t order)
{
	return GENERATE_START_MS + (int64_t)order * GENERATE_INTERVAL_MS;
}

void generate_id(const struct generate_options *options, uint64_t n, char out[37])
{
	bool by_time = options->ids == GENERATE_TIME;
	uint64_t head = number_of(options, n, FOR_ID, 0), tail = number_of(options, n, FOR_ID_TAIL, 0);
	if (by_time)
		head = (uint64_t)time_of(n) << 16 | (head & 0xfff);
	head = (head & ~(uint64_t)0xf000) | (by_time ? 0x7000 : 0x4000);
	tail = (tail & 0x3fffffffffffffff) | 0x8000000000000000;
	snprintf(out, 37, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, head >> 32,
	         head >> 16 & 0xffff, head & 0xffff, tail >> 48, tail & 0xffffffffffff);
}

static void sku_name(uint64_t number, char out[SKU_BYTES])
{
	snprintf(out, SKU_BYTES, "sku-%06" PRIu64, number + 1);
}

static enum status give_receipts(const struct generator *g, struct err *err)
{
	const struct generate_options *o = g->options;
	char receipt_id[64], sku[SKU_BYTES];
	enum status status = OK;
	snprintf(receipt_id, sizeof receipt_id, "generated-%" PRIu64 "-%" PRId64, o->seed, o->stock);
	for (int64_t i = 0; i < o->skus && o->stock && status == OK; i++) {
		sku_name((uint64_t)i, sku);
		const struct stock_received event = {
			.receipt_id = receipt_id, .sku = sku, .quantity = o->stock, .received_at = GENERATE_START_MS};
		status = publish_take(g->sink, &stock_received_type, &event, err);
	}
	return status;
}

static void make_line(const struct generator *g, uint64_t order, uint64_t index)
{
	const struct generate_options *o = g->options;
	uint64_t random = number_of(o, order, FOR_LINES, index);
	bool hot = (int64_t)(random % 100) < o->hot_percent;
	int64_t hot_skus = o->hot_skus < o->skus ? o->hot_skus : o->skus;
	uint64_t sku = random / 100 % (uint64_t)(hot ? hot_skus : o->skus);
	sku_name(sku, g->skus[index]);
	g->lines[index] = (struct order_line){.sku = g->skus[index],
	                                      .quantity = 1 + (int64_t)(random >> 56) % QUANTITY_MAX,
	                                      .unit_price_minor = 100 + (int64_t)(publish_mix(o->seed, sku) % 9900)};
}

static enum status give_order(const struct generator *g, uint64_t order, struct err *err)
{
	const struct generate_options *o = g->options;
	char id[37], customer[32];
	uint64_t spread = (uint64_t)(o->lines_max - o->lines_min + 1);
	uint64_t count = (uint64_t)o->lines_min + number_of(o, order, FOR_LINE_COUNT, 0) % spread;
	generate_id(o, order, id);
	snprintf(customer, sizeof customer, "customer-%04" PRIu64, number_of(o, order, FOR_CUSTOMER, 0) % CUSTOMERS);
	for (uint64_t i = 0; i < count; i++)
		make_line(g, order, i);
	const struct order_placed event = {.order_id = id,
	                                   .customer_id = customer,
	                                   .currency = "GBP",
	                                   .placed_at = time_of(order),
	                                   .lines = {g->lines, count}};
	return publish_take(g->sink, &order_placed_type, &event, err);
}

static enum status give_cancel(const struct generator *g, uint64_t order, struct err *err)
{
	char id[37];
	generate_id(g->options, order, id);
	if (!publish_chosen(g->options->seed, id, g->options->cancel_one_in))
		return OK;
	const struct order_cancel_requested event = {.order_id = id, .requested_at = time_of(order) + CANCEL_AFTER_MS};
	return publish_take(g->sink, &order_cancel_requested_type, &event, err);
}

static enum status give_orders(const struct generator *g, struct err *err)
{
	uint64_t count = (uint64_t)g->options->orders, lag = g->options->cancel_one_in ? GENERATE_CANCEL_LAG : 0;
	enum status status = OK;
	for (uint64_t i = 0; i < count + lag && status == OK; i++) {
		if (i < count)
			status = give_order(g, i, err);
		if (status == OK && lag && i >= lag)
			status = give_cancel(g, i - lag, err);
	}
	return status;
}

enum status generate_each(const struct generate_options *options, const struct publish_sink *sink, struct err *err)
{
	size_t room = (size_t)options->lines_max;
	struct generator g = {options, sink, mem_alloc(room * SKU_BYTES), mem_alloc(room * sizeof *g.lines)};
	enum status status = OK;
	if (options->only != PUBLISH_ORDERS)
		status = give_receipts(&g, err);
	if (status == OK && options->only != PUBLISH_RECEIPTS)
		status = give_orders(&g, err);
	mem_free(g.skus);
	mem_free(g.lines);
	return status;
}
