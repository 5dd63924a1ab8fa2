/* Reading: each row is classified, and kept in 24 bytes. Afterwards the rows are sorted by invoice, stably. */
#include "retail.h"

#include "csv.h"
#include "service.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 10000000
#define COLUMNS  8

enum column { INVOICE, STOCK_CODE, DESCRIPTION, QUANTITY, DATE, PRICE, CUSTOMER, COUNTRY };

static const char *const columns[COLUMNS] = {"InvoiceNo",   "StockCode", "Description", "Quantity",
                                             "InvoiceDate", "UnitPrice", "CustomerID",  "Country"};

const char *const retail_row_texts[RETAIL_ROW_KINDS] = {
	"kept as lines of orders",
	"returns (C invoices), received as stock",
	"skipped: book adjustments (A invoices)",
	"skipped: quantity not above 0 outside C invoices",
	"skipped: quantity not below 0 in C invoices",
	"skipped: price below 0",
	"skipped: price with a third decimal",
};
const char *const retail_row_names[RETAIL_ROW_KINDS] = {
	"order_lines",     "returns",        "adjustments",   "quantity_not_positive",
	"return_positive", "price_negative", "third_decimal",
};
const char *const retail_note_texts[RETAIL_NOTES] = {
	"order lines of price 0, kept",
	"order lines that repeat their invoice's stock code, kept",
	"orders without a customer, kept",
	"invoices with several times, the earliest stands",
	"invoices in several places of the file, gathered",
	"invoices without any kept row, no order",
};
const char *const retail_note_names[RETAIL_NOTES] = {
	"free_lines",         "repeated_codes", "orders_without_customer", "invoices_several_times",
	"invoices_scattered", "invoices_empty",
};

/* ---- fields ---- */

static enum status wrong_field(struct err *err, enum column column, const char *found, const char *expected)
{
	return err_set(err, REJECT, "field", "%s: found '%.80s', expected %s", columns[column], found, expected);
}

static enum status parse_quantity(const char *text, int64_t *quantity, struct err *err)
{
	const char *digits = *text == '-' ? text + 1 : text;
	int64_t value = 0;
	bool good = *digits != 0;
	for (; good && *digits; digits++)
		good = *digits >= '0' && *digits <= '9' && !__builtin_mul_overflow(value, 10, &value) &&
		       !__builtin_add_overflow(value, *digits - '0', &value);
	if (!good)
		return wrong_field(err, QUANTITY, text, "a whole number");
	*quantity = *text == '-' ? -value : value;
	return OK;
}

/* "2.55" to 255. *third: there is more behind the second decimal than zeros. */
static enum status parse_price(const char *text, int64_t *minor, bool *third, struct err *err)
{
	const char *c = *text == '-' ? text + 1 : text;
	int64_t value = 0;
	int decimals = -1; /* -1: no point yet */
	bool good = *c >= '0' && *c <= '9';
	*third = false;
	for (; good && *c; c++) {
		if (*c == '.' && decimals < 0 && c[1]) {
			decimals = 0;
		} else if (*c < '0' || *c > '9') {
			good = false;
		} else if (decimals >= 2) {
			*third = *third || *c != '0';
		} else {
			decimals += decimals >= 0;
			good = !__builtin_mul_overflow(value, 10, &value) &&
			       !__builtin_add_overflow(value, *c - '0', &value);
		}
	}
	for (int i = decimals < 0 ? 0 : decimals; good && i < 2; i++)
		good = !__builtin_mul_overflow(value, 10, &value);
	if (!good)
		return wrong_field(err, PRICE, text, "a price such as 2.55");
	*minor = *text == '-' ? -value : value;
	return OK;
}

static enum status parse_time(const char *text, int64_t *ms, struct err *err)
{
	size_t len = strlen(text);
	if (!strchr(text, 'T') || text[len - 1] != 'Z' || !timestamp_parse(text, ms))
		return wrong_field(err, DATE, text, "a time in UTC such as 2010-12-01T08:26:00Z");
	return OK;
}

/* ---- rows ---- */

struct row {
	const char *invoice, *sku, *customer;
	int64_t quantity, price_minor, time_ms;
	bool third_decimal;
};

static enum status parse_row(const struct csv_record *record, struct row *row, struct err *err)
{
	const char *const *f = record->fields;
	if (record->count != COLUMNS)
		return err_set(err, REJECT, "columns", "found %zu fields, expected %d", record->count, COLUMNS);
	*row = (struct row){.invoice = f[INVOICE], .sku = f[STOCK_CODE], .customer = *f[CUSTOMER] ? f[CUSTOMER] : NULL};
	if (!service_id_valid(row->invoice))
		return wrong_field(err, INVOICE, row->invoice, "1 to 64 printable ASCII characters");
	if (!service_id_valid(row->sku))
		return wrong_field(err, STOCK_CODE, row->sku, "1 to 64 printable ASCII characters");
	if (row->customer && !service_id_valid(row->customer))
		return wrong_field(err, CUSTOMER, row->customer, "nothing or 1 to 64 printable ASCII characters");
	enum status status = parse_quantity(f[QUANTITY], &row->quantity, err);
	if (status == OK)
		status = parse_time(f[DATE], &row->time_ms, err);
	if (status == OK)
		status = parse_price(f[PRICE], &row->price_minor, &row->third_decimal, err);
	return status;
}

static enum retail_row classify(const struct row *row)
{
	if (*row->invoice == 'A')
		return RETAIL_ADJUSTMENT;
	if (*row->invoice == 'C')
		return row->quantity < 0 ? RETAIL_RETURN : RETAIL_POSITIVE_RETURN;
	if (row->quantity <= 0)
		return RETAIL_NOT_POSITIVE;
	if (row->third_decimal)
		return RETAIL_THIRD_DECIMAL;
	return row->price_minor < 0 ? RETAIL_NEGATIVE_PRICE : RETAIL_LINE;
}

static struct retail_invoice *invoice_of(struct retail *retail, const struct row *row, uint32_t *number)
{
	size_t known = retail->invoice_ids.count;
	*number = names_add(&retail->invoice_ids, row->invoice);
	if (*number >= retail->invoice_room) {
		retail->invoice_room = retail->invoice_room ? 2 * retail->invoice_room : 1024;
		retail->invoices = mem_realloc(retail->invoices, retail->invoice_room * sizeof *retail->invoices);
	}
	struct retail_invoice *invoice = &retail->invoices[*number];
	if (*number == known)
		*invoice = (struct retail_invoice){.time_ms = row->time_ms, .returned = *row->invoice == 'C'};
	else if (*number != retail->last_invoice)
		invoice->scattered = true;
	retail->last_invoice = *number;
	return invoice;
}

static void keep_line(struct retail *retail, uint32_t invoice, const struct row *row)
{
	if (retail->line_count == retail->line_room) {
		retail->line_room = retail->line_room ? 2 * retail->line_room : 4096;
		retail->lines = mem_realloc(retail->lines, retail->line_room * sizeof *retail->lines);
	}
	retail->lines[retail->line_count++] =
		(struct retail_line){invoice, names_add(&retail->skus, row->sku), row->quantity, row->price_minor};
}

static void take_row(struct retail *retail, const struct row *row)
{
	uint32_t number;
	enum retail_row kind = classify(row);
	struct retail_invoice *invoice = invoice_of(retail, row, &number);
	retail->row_counts[kind]++;
	if (invoice->time_ms != row->time_ms)
		invoice->several_times = true;
	if (row->time_ms < invoice->time_ms)
		invoice->time_ms = row->time_ms;
	if (!retail->rows++ || row->time_ms < retail->first_ms)
		retail->first_ms = row->time_ms;
	if (row->customer && !invoice->customer) {
		uint32_t customer = names_add(&retail->customers, row->customer);
		invoice->customer = retail->customers.texts[customer];
	}
	if (kind == RETAIL_LINE || kind == RETAIL_RETURN) {
		invoice->lines++;
		keep_line(retail, number, row);
		retail->notes[RETAIL_FREE] += kind == RETAIL_LINE && row->price_minor == 0;
	}
}

/* ---- the file ---- */

struct reading {
	struct input *input;
	bool (*stopped)(void);
	FILE *errors;
	int64_t line; /* of the record, from 1 */
	int error_count;
	struct csv_record record;
};

/* Remembers the first error, writes each. OK: reading may go on. */
static enum status complain(struct reading *reading, struct err *first, const struct err *found)
{
	struct err err = *found;
	err_context(&err, REJECT, "%s:%" PRId64, reading->input->name, reading->line);
	fprintf(reading->errors, "%s\n", err.text);
	if (!reading->error_count++)
		*first = err;
	return reading->error_count < RETAIL_ERRORS ? OK : REJECT;
}

/* The next record; *there is false at the end. */
static enum status next_record(struct reading *reading, bool *there, struct err *err)
{
	for (;;) {
		size_t len, used, lines;
		const char *wrong, *bytes = input_bytes(reading->input, &len);
		if (reading->stopped && reading->stopped())
			return err_set(err, RETRY, "interrupted", "interrupted");
		switch (csv_parse(bytes, len, reading->input->last, &reading->record, &used, &lines, &wrong)) {
		case CSV_RECORD:
			input_use(reading->input, used);
			reading->line = reading->input->line + 1;
			reading->input->line += (int64_t)lines;
			*there = true;
			return OK;
		case CSV_END:
			*there = false;
			return OK;
		case CSV_BAD:
			reading->line = reading->input->line + 1 + (int64_t)lines;
			return err_set(err, REJECT, "csv", "%s", wrong);
		case CSV_MORE:
			if (input_fill(reading->input, -1, err) == INPUT_FAILED)
				return REJECT;
		}
	}
}

static bool is_blank(const struct csv_record *record)
{
	return record->count == 1 && !*record->fields[0];
}

static enum status read_header(struct reading *reading, struct err *err)
{
	bool there;
	enum status status = next_record(reading, &there, err);
	if (status != OK)
		return status;
	const struct csv_record *record = &reading->record;
	for (size_t i = 0; i < COLUMNS; i++) {
		const char *found = there && i < record->count ? record->fields[i] : "";
		if (i == 0 && strncmp(found, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
			found += 3;
		if (strcmp(found, columns[i]) != 0)
			return err_set(err, REJECT, "header", "header: found '%.80s' in column %zu, expected '%s'",
			               found, i + 1, columns[i]);
	}
	return OK;
}

static enum status read_rows(struct reading *reading, struct retail *retail, struct err *first)
{
	struct err err = {0};
	bool there = true;
	enum status status = read_header(reading, &err);
	while (status == OK && (status = next_record(reading, &there, &err)) == OK && there) {
		struct row row = {0};
		if (is_blank(&reading->record))
			continue;
		status = retail->rows == ROWS_MAX
		                 ? err_set(&err, REJECT, "too_large", "found more than %d rows", ROWS_MAX)
		                 : parse_row(&reading->record, &row, &err);
		if (status == OK)
			take_row(retail, &row);
		else if (retail->rows < ROWS_MAX)
			status = complain(reading, first, &err);
	}
	if (status == RETRY)
		*first = err;
	else if (status != OK && reading->error_count < RETAIL_ERRORS)
		complain(reading, first, &err);
	return status == RETRY ? RETRY : reading->error_count ? REJECT : OK;
}

/* ---- by invoice ---- */

static int compare_skus(const void *a, const void *b)
{
	const struct retail_line *x = a, *y = b;
	return x->sku < y->sku ? -1 : x->sku > y->sku;
}

/* Counting sort by invoice; the file's order stays within one. */
static void sort_by_invoice(struct retail *retail)
{
	size_t count = retail->invoice_ids.count, at = 0;
	size_t *places = mem_zalloc(count, sizeof *places);
	struct retail_line *sorted = mem_alloc(retail->line_count * sizeof *sorted);
	for (size_t i = 0; i < count; i++) {
		places[i] = at;
		at += retail->invoices[i].lines;
	}
	for (size_t i = 0; i < retail->line_count; i++)
		sorted[places[retail->lines[i].invoice]++] = retail->lines[i];
	mem_free(places);
	mem_free(retail->lines);
	retail->lines = sorted;
	retail->line_room = retail->line_count;
}

/* A return's rows of one stock code become one, of the positive sum. */
static enum status sum_return(struct retail_line *lines, uint32_t *count, const char *id, struct err *err)
{
	uint32_t kept = 0;
	qsort(lines, *count, sizeof *lines, compare_skus);
	for (uint32_t i = 0; i < *count; i++) {
		int64_t quantity = -lines[i].quantity;
		if (kept && lines[kept - 1].sku == lines[i].sku) {
			if (__builtin_add_overflow(lines[kept - 1].quantity, quantity, &lines[kept - 1].quantity))
				return err_set(err, REJECT, "too_large",
				               "invoice %s: returns add up to more than 2^63-1", id);
		} else {
			lines[kept] = lines[i];
			lines[kept++].quantity = quantity;
		}
	}
	*count = kept;
	return OK;
}

static int64_t count_repeats(const struct retail_line *lines, uint32_t count)
{
	int64_t repeats = 0;
	struct retail_line *copy = mem_alloc(count * sizeof *copy);
	memcpy(copy, lines, count * sizeof *copy);
	qsort(copy, count, sizeof *copy, compare_skus);
	for (uint32_t i = 1; i < count; i++)
		repeats += copy[i].sku == copy[i - 1].sku;
	mem_free(copy);
	return repeats;
}

/* Sums returns in place, and counts what is told about. */
static enum status settle_invoices(struct retail *retail, struct err *err)
{
	size_t from = 0, to = 0;
	for (size_t i = 0; i < retail->invoice_ids.count; i++) {
		struct retail_invoice *invoice = &retail->invoices[i];
		uint32_t rows = invoice->lines;
		struct retail_line *lines = retail->lines + from;
		retail->notes[RETAIL_SEVERAL_TIMES] += invoice->several_times;
		retail->notes[RETAIL_SCATTERED] += invoice->scattered;
		retail->notes[RETAIL_EMPTY] += rows == 0;
		if (invoice->returned) {
			enum status status = sum_return(lines, &invoice->lines, retail->invoice_ids.texts[i], err);
			if (status != OK)
				return status;
		} else if (rows) {
			retail->notes[RETAIL_REPEATED_CODE] += count_repeats(lines, rows);
			retail->notes[RETAIL_NO_CUSTOMER] += !invoice->customer;
		}
		memmove(retail->lines + to, lines, invoice->lines * sizeof *lines);
		from += rows;
		to += invoice->lines;
	}
	retail->line_count = to;
	return OK;
}

enum status retail_read(struct input *input, bool (*stopped)(void), FILE *errors, struct retail *out, struct err *err)
{
	struct reading *reading = mem_alloc(sizeof *reading);
	*reading = (struct reading){.input = input, .stopped = stopped, .errors = errors};
	*out = (struct retail){0};
	enum status status = read_rows(reading, out, err);
	mem_free(reading);
	if (status != OK)
		return status;
	sort_by_invoice(out);
	status = settle_invoices(out, err);
	return status == OK ? OK : err_context(err, status, "%s", input->name);
}

void retail_fini(struct retail *retail)
{
	names_fini(&retail->invoice_ids);
	names_fini(&retail->skus);
	names_fini(&retail->customers);
	mem_free(retail->invoices);
	mem_free(retail->lines);
	*retail = (struct retail){0};
}
