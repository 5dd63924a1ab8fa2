/* retail: a CSV of Online Retail's form (Chen, Sain and Guo, 2012) to orders and receipts.
 *
 * The columns: InvoiceNo, StockCode, Description, Quantity, InvoiceDate (2010-12-01T08:26:00Z), UnitPrice, CustomerID,
 * Country; Description and Country are not used. An invoice is gathered over the whole file and becomes one order in
 * GBP with the earliest of its times; one of 'C' (a cancellation) becomes one receipt a stock code, for the goods that
 * came back. What happens to each row is one of enum retail_row, and their counts add up to the rows. A row that is
 * none of these is an error. */
#ifndef TANDEM_PUBLISH_RETAIL_H
#define TANDEM_PUBLISH_RETAIL_H

#include <stdint.h>
#include <stdio.h>

#include "input.h"
#include "names.h"
#include "publish.h"

enum retail_row {
	RETAIL_LINE,            /* a line of an order */
	RETAIL_RETURN,          /* quantity < 0 of a C invoice: stock received */
	RETAIL_ADJUSTMENT,      /* skipped: an A invoice, a book entry */
	RETAIL_NOT_POSITIVE,    /* skipped: quantity <= 0 outside C: stock taken out, damaged, lost */
	RETAIL_POSITIVE_RETURN, /* skipped: quantity >= 0 of a C invoice */
	RETAIL_NEGATIVE_PRICE,  /* skipped: price < 0 of an order's line */
	RETAIL_THIRD_DECIMAL,   /* skipped: a price that pence cannot hold */
	RETAIL_ROW_KINDS,
};

/* Kept as they are, and told about. */
enum retail_note {
	RETAIL_FREE,          /* order lines of price 0 */
	RETAIL_REPEATED_CODE, /* order lines that repeat their invoice's stock code: both stand */
	RETAIL_NO_CUSTOMER,   /* orders without a customer */
	RETAIL_SEVERAL_TIMES, /* invoices with more than one time: the earliest stands */
	RETAIL_SCATTERED,     /* invoices whose rows are not next to each other */
	RETAIL_EMPTY,         /* invoices of which no row was kept: no order */
	RETAIL_NOTES,
};

extern const char *const retail_row_texts[RETAIL_ROW_KINDS]; /* for people */
extern const char *const retail_row_names[RETAIL_ROW_KINDS]; /* for JSON */
extern const char *const retail_note_texts[RETAIL_NOTES];
extern const char *const retail_note_names[RETAIL_NOTES];

struct retail_line {
	uint32_t invoice, sku;
	int64_t quantity, price_minor;
};

struct retail_invoice {
	int64_t time_ms;
	const char *customer; /* NULL: unknown */
	uint32_t lines;       /* kept rows */
	bool returned, several_times, scattered;
};

struct retail {
	struct names invoice_ids, skus, customers;
	struct retail_invoice *invoices; /* by number of invoice_ids */
	size_t invoice_room;
	struct retail_line *lines; /* by invoice once read, in the file's order within; a return's are one a sku */
	size_t line_count, line_room;
	int64_t rows, row_counts[RETAIL_ROW_KINDS], notes[RETAIL_NOTES];
	int64_t first_ms; /* the earliest time */
	uint32_t last_invoice;
};

struct retail_options {
	enum publish_only only;
	uint64_t seed;
	int64_t stock_cover;   /* book in stock so that about this many of 100 orders can be filled; 0: none */
	int64_t cancel_one_in; /* 0: none */
};

/* Reads all of it. REJECT: file, line, field, what was found and what was expected; at most RETAIL_ERRORS are written
 * to errors before the first one is returned. *out is to be freed in any case. stopped: RETRY "interrupted". */
enum status retail_read(struct input *input, bool (*stopped)(void), FILE *errors, struct retail *out, struct err *err);
void retail_fini(struct retail *retail);

/* Receipts (opening stock, then returns), then orders in the file's order, each cancel RETAIL_CANCEL_LAG orders behind
 * its own. The same for the same file and options for ever. Stops at the first status of the sink that is not OK. */
enum status retail_each(const struct retail *retail, const struct retail_options *options,
                        const struct publish_sink *sink, struct err *err);

#define RETAIL_ERRORS     10
#define RETAIL_CANCEL_LAG 100

#endif
