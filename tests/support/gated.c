#include "gated.h"

#include "bytes.h"
#include "events.h"
#include "genesis.h"
#include "redrive.h"
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the service ---- */

enum { GATE, ENTRY };
enum { GATE_ONE, GATE_OPEN, GATE_COUNT, GATE_COLUMNS };

static const char *const tables[] = {
	"CREATE TABLE gate (one INTEGER PRIMARY KEY, is_open INTEGER NOT NULL, count INTEGER NOT NULL) STRICT",
	"CREATE TABLE entry (n INTEGER PRIMARY KEY, order_id ANY NOT NULL, what INTEGER NOT NULL) STRICT",
};

static enum status get_gate(struct fold *fold, struct store_value gate[GATE_COLUMNS], struct err *err)
{
	const struct store_value key = value_int(1), *row;
	enum status status = fold_get(fold, GATE, &key, &row, err);
	gate[GATE_ONE] = key;
	gate[GATE_OPEN] = value_int(row ? row[GATE_OPEN].number : 0);
	gate[GATE_COUNT] = value_int(row ? row[GATE_COUNT].number : 0);
	return status;
}

static enum status take(struct fold *fold, struct store_value *gate, const char *order_id, int64_t what,
                        struct err *err)
{
	const struct order_confirmed event = {
		.order_id = order_id, .currency = "GBP", .line_count = 1, .placed_at = what};
	gate[GATE_COUNT].number++;
	const struct store_value entry[] = {gate[GATE_COUNT], value_id(fold, order_id), value_int(what)};
	enum status status = fold_put(fold, GATE, gate, err);
	if (status == OK)
		status = fold_put(fold, ENTRY, entry, err);
	return status == OK ? fold_emit(fold, "order-events", fold_partition(fold), order_id, &order_confirmed_type,
	                                &event, err)
	                    : status;
}

static enum status on_order_placed(struct fold *fold, const void *event, struct err *err)
{
	const struct order_placed *order = event;
	struct store_value gate[GATE_COLUMNS];
	enum status status = get_gate(fold, gate, err);
	if (status != OK)
		return status;
	if (strcmp(order->currency, "GAT") == 0) {
		gate[GATE_OPEN].number = !gate[GATE_OPEN].number;
		return fold_put(fold, GATE, gate, err);
	}
	status = take(fold, gate, order->order_id, order->placed_at, err);
	if (status == OK && strcmp(order->currency, "EUR") == 0 && !gate[GATE_OPEN].number)
		return fold_reject(err, "shut", "the gate is shut"); /* late, so that there is something to undo */
	return status;
}

static enum status on_order_cancel_requested(struct fold *fold, const void *event, struct err *err)
{
	const struct order_cancel_requested *cancel = event;
	struct store_value gate[GATE_COLUMNS];
	enum status status = get_gate(fold, gate, err);
	return status == OK ? take(fold, gate, cancel->order_id, -cancel->requested_at, err) : status;
}

static const char *const outputs[] = {"order-events"};
static const struct service_handler handlers[] = {
	{&order_placed_type, on_order_placed},
	{&order_cancel_requested_type, on_order_cancel_requested},
};

#define DESCRIPTION                                                                                                    \
	.name = "gated", .summary = "a service of the tests", .input = "orders", .outputs = outputs,                   \
	.output_count = 1, .logic_version = 1, .tables = tables, .table_count = 2, .handlers = handlers,               \
	.handler_count = 2

const struct service gated_goes_on = {DESCRIPTION};
const struct service gated_holds = {DESCRIPTION, .holds_rejected_keys = true};

/* ---- records ---- */

const char *gated_key(struct records *records, int n)
{
	return records_id(records, arena_format(&records->arena, "K%d", n), 0, 0, RECORDS_ORDER_PARTITIONS);
}

struct log_record gated_order(struct records *records, const char *order_id, const char *currency, int64_t placed_at)
{
	struct order_line line = {.sku = "SKU", .quantity = 1, .unit_price_minor = 1};
	const struct order_placed event = {
		.order_id = order_id, .currency = currency, .placed_at = placed_at, .lines = {&line, 1}};
	return records_publisher(records, &order_placed_type, &event);
}

struct log_record gated_cancel(struct records *records, const char *order_id, int64_t requested_at)
{
	const struct order_cancel_requested event = {.order_id = order_id, .requested_at = requested_at};
	return records_publisher(records, &order_cancel_requested_type, &event);
}

void gated_turn(struct records *records)
{
	struct log_record record = gated_order(records, gated_key(records, 50), "GAT", 0);
	assert_int_equal(records_fold(records, &record), TASK_APPLIED);
}

struct log_record gated_redrive(struct records *records, const struct log_record *record, int32_t partition,
                                uint64_t number)
{
	const struct redrive redrive = {
		.topic = "orders.dlq", .partition = partition, .number = number, .offset = (int64_t)number};
	struct header_list list;
	header_list_init(&list, &records->arena, 1);
	redrive_add(&list, &redrive);
	return records_with_header(records, record, REDRIVE_HEADER, list.items[0].value.data,
	                           (size_t)list.items[0].value.len);
}

struct log_record gated_discard(struct records *records, int32_t partition, int64_t number)
{
	const struct letter_discarded event = {
		.topic = "orders.dlq", .partition = partition, .number = number, .offset = number, .why = "test"};
	struct log_record record = records_publisher(records, &letter_discarded_type, &event);
	record.key = (struct log_bytes){NULL, -1};
	return records_with_header(records, &record, GENESIS_CONTROL_HEADER, "1", 1);
}

/* ---- what came of them ---- */

const char *gated_taken(struct records *records)
{
	struct store_statement *s;
	struct err err = {0};
	struct buf out = {0};
	assert_int_equal(store_prepare(task_store(records->task), "SELECT n, what FROM entry ORDER BY n", &s, &err),
	                 OK);
	for (bool row = true; row;) {
		assert_int_equal(store_step(s, &row, &err), OK);
		if (row)
			buf_putf(&out, "%s%lld", out.len ? " " : "", (long long)store_int(s, 1));
	}
	const char *text = arena_copy(&records->arena, buf_text(&out), out.len);
	buf_fini(&out);
	return text;
}

const char *gated_outputs(struct records *records)
{
	struct buf out = {0};
	for (size_t i = 0; i < records_output_count(records); i++) {
		const struct task_output *output = records_raw_output(records, i);
		buf_putf(&out, "%s", i ? " " : "");
		if (output->type) {
			const struct order_confirmed *event = records_output(records, i, &order_confirmed_type);
			buf_putf(&out, "%lld", (long long)event->placed_at);
		} else {
			const struct log_header *why = header_find(&output->record, "kafka_dlt-exception-fqcn");
			assert_non_null(why);
			buf_putf(&out, "!%.*s", (int)why->value.len, (const char *)why->value.data);
		}
	}
	const char *text = arena_copy(&records->arena, buf_text(&out), out.len);
	buf_fini(&out);
	return text;
}
