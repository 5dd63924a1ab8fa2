/* What was read, as events. */
#include "retail.h"

#include "events.h"
#include "hash.h"

#include <inttypes.h>
#include <string.h>

#define CANCEL_AFTER_MS 600000
#define OPENING_SEED    0x6f70656e696e6700u /* other choices than the cancels' */

struct each {
	const struct retail *retail;
	const struct retail_options *options;
	const struct publish_sink *sink;
	struct order_line *lines; /* room for the longest order */
};

/* Where an invoice's lines begin: they stand in the invoices' order. */
static const struct retail_line *lines_of(const struct retail *retail, size_t *at, size_t invoice)
{
	const struct retail_line *lines = retail->lines + *at;
	*at += retail->invoices[invoice].lines;
	return lines;
}

static enum status give_receipt(const struct each *each, const char *receipt_id, uint32_t sku, int64_t quantity,
                                int64_t time_ms, struct err *err)
{
	const struct stock_received event = {.receipt_id = receipt_id,
	                                     .sku = each->retail->skus.texts[sku],
	                                     .quantity = quantity,
	                                     .received_at = time_ms};
	return publish_take(each->sink, &stock_received_type, &event, err);
}

/* ---- opening stock ---- */

static bool is_order(const struct retail *retail, size_t invoice)
{
	return !retail->invoices[invoice].returned && retail->invoices[invoice].lines;
}

static void add(int64_t *sum, int64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum))
		*sum = more > 0 ? INT64_MAX : INT64_MIN;
}

/* Demand by SKU, less what comes back. */
static void net_demand(const struct retail *retail, int64_t *demand)
{
	size_t at = 0;
	for (size_t i = 0; i < retail->invoice_ids.count; i++) {
		const struct retail_line *lines = lines_of(retail, &at, i);
		for (uint32_t l = 0; l < retail->invoices[i].lines; l++)
			add(&demand[lines[l].sku],
			    retail->invoices[i].returned ? -lines[l].quantity : lines[l].quantity);
	}
}

/* The SKU that the fewest of all want: its shortage meets few other orders. */
static uint32_t rarest(const struct retail_line *lines, uint32_t count, const int64_t *demand)
{
	uint32_t best = lines[0].sku;
	for (uint32_t l = 1; l < count; l++) {
		if (demand[lines[l].sku] < demand[best])
			best = lines[l].sku;
	}
	return best;
}

/* Stock that covers all but a seeded share of the orders: each of the share takes its rarest SKU's wanted units away.
 * Which orders then go short is decided by who comes first, about as many as were chosen. */
static int64_t *opening_stock(const struct retail *retail, const struct retail_options *options)
{
	int64_t *demand = mem_zalloc(retail->skus.count, sizeof *demand);
	int64_t *stock = mem_alloc(retail->skus.count * sizeof *stock);
	size_t at = 0;
	net_demand(retail, demand);
	memcpy(stock, demand, retail->skus.count * sizeof *stock);
	for (size_t i = 0; i < retail->invoice_ids.count; i++) {
		uint32_t count = retail->invoices[i].lines;
		const struct retail_line *lines = lines_of(retail, &at, i);
		const char *id = retail->invoice_ids.texts[i];
		if (!is_order(retail, i) ||
		    (int64_t)(publish_hash(options->seed ^ OPENING_SEED, id) % 100) < options->stock_cover)
			continue;
		uint32_t sku = rarest(lines, count, demand);
		for (uint32_t l = 0; l < count; l++)
			add(&stock[sku], lines[l].sku == sku ? -lines[l].quantity : 0);
	}
	mem_free(demand);
	return stock;
}

/* Named by what it holds: the same file and options give the same receipts, others other ones. */
static void opening_id(const struct retail *retail, const int64_t *stock, char *out, size_t size)
{
	static const uint8_t key[HASH_KEY_BYTES];
	struct buf text = {0};
	for (size_t i = 0; i < retail->skus.count; i++)
		buf_putf(&text, "%s=%" PRId64 "\n", retail->skus.texts[i], stock[i]);
	snprintf(out, size, "opening-%016" PRIx64, hash_bytes(key, text.data, text.len));
	buf_fini(&text);
}

static enum status give_opening(const struct each *each, struct err *err)
{
	const struct retail *retail = each->retail;
	char id[32];
	enum status status = OK;
	int64_t *stock = opening_stock(retail, each->options);
	opening_id(retail, stock, id, sizeof id);
	for (uint32_t sku = 0; sku < retail->skus.count && status == OK; sku++) {
		if (stock[sku] > 0)
			status = give_receipt(each, id, sku, stock[sku], retail->first_ms, err);
	}
	mem_free(stock);
	return status;
}

/* ---- invoices ---- */

static enum status give_returns(const struct each *each, struct err *err)
{
	const struct retail *retail = each->retail;
	size_t at = 0;
	for (size_t i = 0; i < retail->invoice_ids.count; i++) {
		const struct retail_invoice *invoice = &retail->invoices[i];
		const struct retail_line *lines = lines_of(retail, &at, i);
		for (uint32_t l = 0; l < invoice->lines && invoice->returned; l++) {
			enum status status = give_receipt(each, retail->invoice_ids.texts[i], lines[l].sku,
			                                  lines[l].quantity, invoice->time_ms, err);
			if (status != OK)
				return status;
		}
	}
	return OK;
}

static enum status give_order(const struct each *each, size_t number, const struct retail_line *lines, struct err *err)
{
	const struct retail *retail = each->retail;
	const struct retail_invoice *invoice = &retail->invoices[number];
	for (uint32_t l = 0; l < invoice->lines; l++)
		each->lines[l] = (struct order_line){.sku = retail->skus.texts[lines[l].sku],
		                                     .quantity = lines[l].quantity,
		                                     .unit_price_minor = lines[l].price_minor};
	const struct order_placed event = {.order_id = retail->invoice_ids.texts[number],
	                                   .customer_id = invoice->customer,
	                                   .currency = "GBP",
	                                   .placed_at = invoice->time_ms,
	                                   .lines = {each->lines, invoice->lines}};
	return publish_take(each->sink, &order_placed_type, &event, err);
}

static enum status give_cancel(const struct each *each, size_t number, struct err *err)
{
	const char *id = each->retail->invoice_ids.texts[number];
	if (!is_order(each->retail, number) || !publish_chosen(each->options->seed, id, each->options->cancel_one_in))
		return OK;
	const struct order_cancel_requested event = {
		.order_id = id, .requested_at = each->retail->invoices[number].time_ms + CANCEL_AFTER_MS};
	return publish_take(each->sink, &order_cancel_requested_type, &event, err);
}

static enum status give_orders(const struct each *each, struct err *err)
{
	const struct retail *retail = each->retail;
	size_t at = 0, count = retail->invoice_ids.count;
	enum status status = OK;
	for (size_t i = 0; i < count + RETAIL_CANCEL_LAG && status == OK; i++) {
		const struct retail_line *lines = i < count ? lines_of(retail, &at, i) : NULL;
		if (lines && is_order(retail, i))
			status = give_order(each, i, lines, err);
		if (status == OK && i >= RETAIL_CANCEL_LAG && i - RETAIL_CANCEL_LAG < count)
			status = give_cancel(each, i - RETAIL_CANCEL_LAG, err);
	}
	return status;
}

static uint32_t longest(const struct retail *retail)
{
	uint32_t most = 0;
	for (size_t i = 0; i < retail->invoice_ids.count; i++)
		most = retail->invoices[i].lines > most ? retail->invoices[i].lines : most;
	return most;
}

enum status retail_each(const struct retail *retail, const struct retail_options *options,
                        const struct publish_sink *sink, struct err *err)
{
	struct each each = {retail, options, sink, mem_alloc(longest(retail) * sizeof *each.lines)};
	enum status status = OK;
	if (options->only != PUBLISH_ORDERS && options->stock_cover)
		status = give_opening(&each, err);
	if (status == OK && options->only != PUBLISH_ORDERS)
		status = give_returns(&each, err);
	if (status == OK && options->only != PUBLISH_RECEIPTS)
		status = give_orders(&each, err);
	mem_free(each.lines);
	return status;
}
