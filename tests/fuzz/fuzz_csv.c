/* CSV as `tandem publish` reads it: RFC 4180 records, and orders of Online Retail's form.
 *
 * Input: into which pieces the bytes are cut (1 byte), then the file; where its first bit is set, Online Retail's header
 * line is put before it. */
#include "../../producers/publish/csv.h"
#include "../../producers/publish/retail.h"
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#define PER_BYTE 256
#define BASE     (1536 * 1024) /* the reader's buffer, a record, and the first room of every table */

static const char header[] = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

static void same_record(const struct csv_record *a, const struct csv_record *b)
{
	FUZZ_MUST(a->count == b->count && a->count >= 1 && a->count <= CSV_FIELDS, "%zu and %zu fields", a->count,
	          b->count);
	for (size_t i = 0; i < a->count; i++)
		FUZZ_MUST(strcmp(a->fields[i], b->fields[i]) == 0, "field %zu: %s and %s", i, a->fields[i],
		          b->fields[i]);
}

/* However the bytes come, the records are the same: a record that is not complete is never taken for one. */
static void records_in_pieces(const char *bytes, size_t size, size_t piece)
{
	static struct csv_record whole, part;
	const char *wrong;
	size_t used, lines, used_part, lines_part;
	for (size_t at = 0;;) {
		enum csv_result result = csv_parse(bytes + at, size - at, true, &whole, &used, &lines, &wrong);
		enum csv_result in_part = CSV_MORE;
		for (size_t seen = piece; in_part == CSV_MORE; seen += piece) {
			bool last = at + seen >= size;
			in_part = csv_parse(bytes + at, last ? size - at : seen, last, &part, &used_part, &lines_part,
			                    &wrong);
			FUZZ_MUST(in_part != CSV_MORE || !last, "more of the last");
		}
		FUZZ_MUST(result == in_part, "%d and %d at %zu", result, in_part, at);
		if (result != CSV_RECORD)
			break;
		FUZZ_MUST(used == used_part && lines == lines_part && used > 0 && used <= size - at, "%zu and %zu",
		          used, used_part);
		same_record(&whole, &part);
		at += used;
	}
}

static enum status take(void *arg, const struct event_type *type, const void *event, struct err *err)
{
	struct buf *out = arg;
	buf_reset(out);
	FUZZ_MUST(type->key && *type->key(event), "%s without a key", type->name);
	FUZZ_MUST(event_encode(type, event, out, err) == OK, "%s", err->text);
	return OK;
}

static void orders(const char *path, uint64_t choice)
{
	struct input input;
	struct retail retail;
	struct err err = {0};
	struct buf out = {0};
	const struct publish_sink sink = {take, &out};
	const struct retail_options options = {.only = PUBLISH_ALL,
	                                       .seed = choice,
	                                       .stock_cover = choice & 4 ? 90 : 0,
	                                       .cancel_one_in = choice & 8 ? 2 : 0};
	FILE *errors = fopen("/dev/null", "w");
	FUZZ_MUST(errors && input_open(&input, path, &err) == OK, "%s", err.text);
	enum status status = retail_read(&input, NULL, errors, &retail, &err);
	if (status == OK) {
		int64_t rows = 0;
		for (int i = 0; i < RETAIL_ROW_KINDS; i++)
			rows += retail.row_counts[i];
		FUZZ_MUST(rows == retail.rows, "%lld rows of %lld", (long long)rows, (long long)retail.rows);
		status = retail_each(&retail, &options, &sink, &err);
	}
	FUZZ_MUST(status == OK || (status == REJECT && err.code && *err.text), "%d %s", status, err.text);
	retail_fini(&retail);
	input_close(&input);
	buf_fini(&out);
	fclose(errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	uint8_t choice = fuzz_u8(&input);
	size_t before = choice & 1 ? sizeof header - 1 : 0, len = before + fuzz_left(&input);
	char *bytes = mem_alloc(len);
	memcpy(bytes, header, before);
	if (len > before)
		memcpy(bytes + before, input.at, len - before);
	const char *path = fuzz_file(bytes, len);
	memory_begin();
	orders(path, choice);
	FUZZ_WITHIN("orders", memory_end(), len, PER_BYTE, BASE);
	memory_begin();
	records_in_pieces(bytes, len, (size_t)(choice >> 4) * 3 + 1);
	FUZZ_WITHIN("records", memory_end(), 0, 0, 0);
	mem_free(bytes);
	return 0;
}
