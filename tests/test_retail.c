/* retail: what becomes of each row of the sample of Online Retail, and of rows made up here. */
#include "../producers/publish/retail.h"
#include "events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLE "tests/data/online-retail-sample.csv"
#define HEADER "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

static struct retail retail;
static struct err err;
static char *errors;
static size_t errors_len;

static enum status read_path(const char *path)
{
	struct input input;
	retail_fini(&retail);
	free(errors);
	errors = NULL;
	FILE *out = open_memstream(&errors, &errors_len);
	assert_int_equal(input_open(&input, path, &err), OK);
	enum status status = retail_read(&input, NULL, out, &retail, &err);
	input_close(&input);
	fclose(out);
	return status;
}

static enum status read_text(const char *rows)
{
	char path[] = "/tmp/tandem-retail-XXXXXX";
	int fd = mkstemp(path);
	FILE *out = fdopen(fd, "w");
	fprintf(out, "%s%s", HEADER, rows);
	fclose(out);
	enum status status = read_path(path);
	unlink(path);
	return status;
}

static int finish(void **state)
{
	(void)state;
	retail_fini(&retail);
	free(errors);
	errors = NULL;
	return 0;
}

/* ---- a sink that writes every event down as text ---- */

static struct buf seen;

static enum status note(void *arg, const struct event_type *type, const void *event, struct err *e)
{
	(void)arg;
	(void)e;
	json_t *json = event_to_json(type, event);
	char *text = json_dumps(json, JSON_COMPACT);
	buf_putf(&seen, "%s %s\n", type->name, text);
	free(text);
	json_decref(json);
	return OK;
}

static const char *events(const struct retail_options *options)
{
	buf_reset(&seen);
	assert_int_equal(retail_each(&retail, options, &(struct publish_sink){note, NULL}, &err), OK);
	return buf_text(&seen);
}

static int forget_seen(void **state)
{
	buf_fini(&seen);
	return finish(state);
}

/* ---- the sample ---- */

static void every_row_of_the_sample_is_accounted_for(void **state)
{
	(void)state;
	static const int64_t expected[RETAIL_ROW_KINDS] = {
		[RETAIL_LINE] = 15238,      [RETAIL_RETURN] = 496,      [RETAIL_ADJUSTMENT] = 3,
		[RETAIL_NOT_POSITIVE] = 49, [RETAIL_THIRD_DECIMAL] = 4,
	};
	int64_t sum = 0;
	assert_int_equal(read_path(SAMPLE), OK);
	for (size_t i = 0; i < RETAIL_ROW_KINDS; i++) {
		assert_int_equal(retail.row_counts[i], expected[i]);
		sum += retail.row_counts[i];
	}
	assert_int_equal(retail.rows, 15790);
	assert_int_equal(sum, retail.rows);
	static const int64_t notes[RETAIL_NOTES] = {
		[RETAIL_FREE] = 78,          [RETAIL_REPEATED_CODE] = 250, [RETAIL_NO_CUSTOMER] = 75,
		[RETAIL_SEVERAL_TIMES] = 12, [RETAIL_SCATTERED] = 1,       [RETAIL_EMPTY] = 52,
	};
	for (size_t i = 0; i < RETAIL_NOTES; i++)
		assert_int_equal(retail.notes[i], notes[i]);
}

struct tally {
	int64_t orders, lines, receipts, cancels, filled;
	int64_t *stock; /* by sku */
	struct names skus;
};

static int64_t *stock_of(struct tally *tally, const char *sku)
{
	uint32_t number = names_add(&tally->skus, sku);
	assert_true(number < 10000);
	return &tally->stock[number];
}

/* All or nothing, in the order they come. */
static void fill(struct tally *tally, const struct order_placed *order)
{
	size_t taken = 0;
	while (taken < order->lines.count) {
		int64_t *stock = stock_of(tally, order->lines.items[taken].sku);
		if (*stock < order->lines.items[taken].quantity)
			break;
		*stock -= order->lines.items[taken++].quantity;
	}
	tally->filled += taken == order->lines.count;
	if (taken < order->lines.count) {
		while (taken--)
			*stock_of(tally, order->lines.items[taken].sku) += order->lines.items[taken].quantity;
	}
}

static enum status tally_take(void *arg, const struct event_type *type, const void *event, struct err *e)
{
	struct tally *tally = arg;
	(void)e;
	if (type == &stock_received_type) {
		const struct stock_received *receipt = event;
		tally->receipts++;
		*stock_of(tally, receipt->sku) += receipt->quantity;
	} else if (type == &order_placed_type) {
		const struct order_placed *order = event;
		tally->orders++;
		tally->lines += (int64_t)order->lines.count;
		fill(tally, order);
	} else {
		tally->cancels++;
	}
	return OK;
}

static struct tally tally_of(const struct retail_options *options)
{
	struct tally tally = {.stock = mem_zalloc(10000, sizeof(int64_t))};
	assert_int_equal(retail_each(&retail, options, &(struct publish_sink){tally_take, &tally}, &err), OK);
	names_fini(&tally.skus);
	mem_free(tally.stock);
	return tally;
}

static void the_samples_events_hold_every_kept_row(void **state)
{
	(void)state;
	assert_int_equal(read_path(SAMPLE), OK);
	struct tally all = tally_of(&(struct retail_options){.seed = 1, .cancel_one_in = 50});
	assert_int_equal(all.lines, retail.row_counts[RETAIL_LINE]);
	assert_int_equal(all.orders, 828);
	assert_true(all.cancels > 5 && all.cancels < 40);
	struct tally receipts =
		tally_of(&(struct retail_options){.only = PUBLISH_RECEIPTS, .seed = 1, .cancel_one_in = 50});
	struct tally orders =
		tally_of(&(struct retail_options){.only = PUBLISH_ORDERS, .seed = 1, .cancel_one_in = 50});
	assert_int_equal(receipts.orders + receipts.cancels, 0);
	assert_int_equal(orders.receipts, 0);
	assert_int_equal(receipts.receipts, all.receipts);
	assert_int_equal(orders.orders, all.orders);
	assert_int_equal(orders.cancels, all.cancels);
}

static void opening_stock_fills_about_nine_orders_in_ten(void **state)
{
	(void)state;
	assert_int_equal(read_path(SAMPLE), OK);
	struct tally all = tally_of(&(struct retail_options){.seed = 1, .stock_cover = 100});
	assert_int_equal(all.filled, all.orders);
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct tally most = tally_of(&(struct retail_options){.seed = seed, .stock_cover = 90});
		assert_in_range(most.filled, most.orders * 85 / 100, most.orders * 95 / 100);
	}
}

static void the_same_file_and_options_give_the_same_events(void **state)
{
	(void)state;
	const struct retail_options options = {.seed = 3, .stock_cover = 90, .cancel_one_in = 20};
	assert_int_equal(read_path(SAMPLE), OK);
	char *first = mem_strdup(events(&options));
	assert_int_equal(read_path(SAMPLE), OK);
	assert_string_equal(events(&options), first);
	assert_string_not_equal(events(&(struct retail_options){.seed = 4, .stock_cover = 90, .cancel_one_in = 20}),
	                        first);
	mem_free(first);
}

/* ---- rows made up ---- */

static void an_invoice_is_gathered_and_keeps_its_earliest_time(void **state)
{
	(void)state;
	assert_int_equal(read_text("1,b,\"x, \"\"y\"\"\",2,2010-12-01T08:27:00Z,2.5,,UK\n"
	                           "2,b,,1,2011-01-01T00:00:00Z,3,17850,UK\r\n"
	                           "1,a,,3,2010-12-01T08:26:00Z,0,12,UK\n"
	                           "1,b,,1,2010-12-01T08:28:00Z,2.55,12,UK\n"),
	                 OK);
	assert_string_equal(
		events(&(struct retail_options){0}),
		"OrderPlaced {\"order_id\":\"1\",\"customer_id\":{\"string\":\"12\"},\"currency\":\"GBP\","
		"\"placed_at\":1291191960000,\"lines\":["
		"{\"sku\":\"b\",\"quantity\":2,\"unit_price_minor\":250,\"currency\":null},"
		"{\"sku\":\"a\",\"quantity\":3,\"unit_price_minor\":0,\"currency\":null},"
		"{\"sku\":\"b\",\"quantity\":1,\"unit_price_minor\":255,\"currency\":null}]}\n"
		"OrderPlaced {\"order_id\":\"2\",\"customer_id\":{\"string\":\"17850\"},\"currency\":\"GBP\","
		"\"placed_at\":1293840000000,\"lines\":["
		"{\"sku\":\"b\",\"quantity\":1,\"unit_price_minor\":300,\"currency\":null}]}\n");
	assert_int_equal(retail.notes[RETAIL_SCATTERED], 1);
	assert_int_equal(retail.notes[RETAIL_SEVERAL_TIMES], 1);
	assert_int_equal(retail.notes[RETAIL_REPEATED_CODE], 1);
	assert_int_equal(retail.notes[RETAIL_FREE], 1);
}

static void returns_come_back_as_stock_summed_by_sku(void **state)
{
	(void)state;
	assert_int_equal(read_text("C9,a,,-2,2010-12-01T08:26:00Z,2.5,,UK\n"
	                           "C9,b,,-1,2010-12-01T08:26:00Z,0.001,,UK\n"
	                           "C9,a,,-5,2010-12-01T08:26:00Z,2,,UK\n"
	                           "C9,c,,1,2010-12-01T08:26:00Z,2,,UK\n"),
	                 OK);
	assert_string_equal(
		events(&(struct retail_options){0}),
		"StockReceived {\"receipt_id\":\"C9\",\"sku\":\"a\",\"quantity\":7,\"received_at\":1291191960000}\n"
		"StockReceived {\"receipt_id\":\"C9\",\"sku\":\"b\",\"quantity\":1,\"received_at\":1291191960000}\n");
	assert_int_equal(retail.row_counts[RETAIL_RETURN], 3);
	assert_int_equal(retail.row_counts[RETAIL_POSITIVE_RETURN], 1);
}

static void odd_rows_are_skipped_and_counted_by_reason(void **state)
{
	(void)state;
	assert_int_equal(read_text("A1,B,Adjust bad debt,1,2010-12-01T08:26:00Z,-11062.06,,UK\n"
	                           "1,a,damaged,0,2010-12-01T08:26:00Z,0,,UK\n"
	                           "1,a,lost,-7,2010-12-01T08:26:00Z,0,,UK\n"
	                           "1,a,,1,2010-12-01T08:26:00Z,0.001,,UK\n"
	                           "1,a,,1,2010-12-01T08:26:00Z,-1,,UK\n"
	                           "2,BANK CHARGES,,1,2010-12-01T08:26:00Z,2.500,,UK\n\n"),
	                 OK);
	assert_int_equal(retail.rows, 6);
	assert_int_equal(retail.row_counts[RETAIL_ADJUSTMENT], 1);
	assert_int_equal(retail.row_counts[RETAIL_NOT_POSITIVE], 2);
	assert_int_equal(retail.row_counts[RETAIL_THIRD_DECIMAL], 1);
	assert_int_equal(retail.row_counts[RETAIL_NEGATIVE_PRICE], 1);
	assert_int_equal(retail.row_counts[RETAIL_LINE], 1);
	assert_int_equal(retail.notes[RETAIL_EMPTY], 2);
	assert_non_null(strstr(events(&(struct retail_options){0}),
	                       "\"BANK CHARGES\",\"quantity\":1,\"unit_price_minor\":250"));
}

static void a_wrong_field_is_named_with_file_line_found_and_expected(void **state)
{
	(void)state;
	static const struct {
		const char *row, *text;
	} cases[] = {
		{"1,a,,x,2010-12-01T08:26:00Z,1,,UK\n", ":2: Quantity: found 'x', expected a whole number"},
		{"1,a,,,2010-12-01T08:26:00Z,1,,UK\n", "Quantity: found ''"},
		{"1,a,,9223372036854775808,2010-12-01T08:26:00Z,1,,UK\n", "Quantity: found '9223372036854775808'"},
		{"1,a,,1,2010-12-01 08:26,1,,UK\n", "InvoiceDate: found '2010-12-01 08:26', expected a time in UTC"},
		{"1,a,,1,2011-02-29T08:26:00Z,1,,UK\n", "InvoiceDate"},
		{"1,a,,1,2010-12-01T24:00:00Z,1,,UK\n", "InvoiceDate"},
		{"1,a,,1,2010-12-01T08:26:00Z,1e3,,UK\n", "UnitPrice: found '1e3'"},
		{"1,a,,1,2010-12-01T08:26:00Z,1.,,UK\n", "UnitPrice: found '1.'"},
		{"1,a,,1,2010-12-01T08:26:00Z,99999999999999999999,,UK\n", "UnitPrice"},
		{"1,,,1,2010-12-01T08:26:00Z,1,,UK\n", "StockCode: found '', expected 1 to 64 printable ASCII"},
		{",a,,1,2010-12-01T08:26:00Z,1,,UK\n", "InvoiceNo"},
		{"1,a\xc3\xa4,,1,2010-12-01T08:26:00Z,1,,UK\n", "StockCode"},
		{"1,a,1,2010-12-01T08:26:00Z,1,,UK\n", "found 7 fields, expected 8"},
		{"1,\"a\"b,,1,2010-12-01T08:26:00Z,1,,UK\n", ":2: found text behind a closing quote"},
		{"1,a,\"two\nlines\",1,2010-12-01T08:26:00Z,1,,UK\n2,a,,x,2010-12-01T08:26:00Z,1,,UK\n",
	         ":4: Quantity"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(read_text(cases[i].row), REJECT);
		assert_non_null(strstr(errors, cases[i].text));
		assert_non_null(strstr(err.text, cases[i].text));
	}
}

static void several_errors_are_told_and_then_it_stops(void **state)
{
	(void)state;
	struct buf rows = {0};
	size_t lines = 0;
	for (int i = 0; i < 30; i++)
		buf_putf(&rows, "1,a,,x,2010-12-01T08:26:00Z,1,,UK\n");
	assert_int_equal(read_text(buf_text(&rows)), REJECT);
	for (const char *c = errors; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, RETAIL_ERRORS);
	assert_non_null(strstr(err.text, ":2: "));
	buf_fini(&rows);
}

static void another_header_is_refused(void **state)
{
	(void)state;
	char path[] = "/tmp/tandem-retail-XXXXXX";
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "Invoice,StockCode\n", 18), 18);
	close(fd);
	assert_int_equal(read_path(path), REJECT);
	assert_non_null(strstr(err.text, ":1: header: found 'Invoice' in column 1, expected 'InvoiceNo'"));
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(read_path(path), REJECT);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_row_of_the_sample_is_accounted_for, finish),
		cmocka_unit_test_teardown(the_samples_events_hold_every_kept_row, finish),
		cmocka_unit_test_teardown(opening_stock_fills_about_nine_orders_in_ten, finish),
		cmocka_unit_test_teardown(the_same_file_and_options_give_the_same_events, forget_seen),
		cmocka_unit_test_teardown(an_invoice_is_gathered_and_keeps_its_earliest_time, forget_seen),
		cmocka_unit_test_teardown(returns_come_back_as_stock_summed_by_sku, forget_seen),
		cmocka_unit_test_teardown(odd_rows_are_skipped_and_counted_by_reason, forget_seen),
		cmocka_unit_test_teardown(a_wrong_field_is_named_with_file_line_found_and_expected, finish),
		cmocka_unit_test_teardown(several_errors_are_told_and_then_it_stops, finish),
		cmocka_unit_test_teardown(another_header_is_refused, finish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
