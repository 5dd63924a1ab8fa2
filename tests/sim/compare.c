#include "compare.h"

#include "store.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct compare {
	struct world *world;
	const struct view *view;
	char *what;
	size_t room;
	bool marks; /* what they stand for is still there */
};

static void differs(const struct compare *compare, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void differs(const struct compare *compare, const char *format, ...)
{
	if (*compare->what)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(compare->what, compare->room, format, args);
	va_end(args);
}

static int input_of(int service)
{
	return service == SIM_ORDER ? SIM_ORDERS : SIM_INVENTORIES;
}

/* ---- the oracle over one log ---- */

static void ask_oracle(const struct compare *compare, int service, int32_t partition, struct arena *arena,
                       struct oracle *oracle)
{
	const struct plan *plan = &compare->world->plan;
	const struct view_log *log = &compare->view->logs[input_of(service)][partition];
	*oracle = (struct oracle){.arena = arena,
	                          .partition = partition,
	                          .own_count = plan->partitions[service],
	                          .holds_keys = plan->holds[service],
	                          .inventory_count = plan->partitions[SIM_INVENTORY]};
	for (size_t i = 0; i < log->count && !oracle->absurd; i++) {
		if (service == SIM_ORDER)
			oracle_take_order(oracle, &log->taken[i]);
		else
			oracle_take_inventory(oracle, &log->taken[i]);
	}
	if (oracle->absurd)
		differs(compare, "%s/%d was given %s", world_service(service)->input, partition, oracle->absurd);
}

/* ---- outputs ---- */

static int topic_of(int service, enum oracle_to to)
{
	switch (to) {
	case TO_INVENTORY:
		return SIM_INVENTORIES;
	case TO_ORDERS:
		return SIM_ORDERS;
	case TO_EVENTS:
		return SIM_EVENTS;
	default:
		return service == SIM_ORDER ? SIM_ORDERS_DLQ : SIM_INVENTORIES_DLQ;
	}
}

static bool same_bytes(const struct log_bytes *a, const struct log_bytes *b)
{
	return a->len == b->len && (a->len <= 0 || memcmp(a->data, b->data, (size_t)a->len) == 0);
}

static bool as_expected(const struct oracle_output *expected, const struct oracle_given *seen)
{
	if (!expected->type)
		return same_bytes(&expected->record->key, &seen->record->key) &&
		       same_bytes(&expected->record->value, &seen->record->value);
	return seen->type == expected->type && event_equal(expected->type, expected->event, seen->event);
}

/* No mark ever stood above a record one of whose outputs was not in the log yet. */
static void check_marks(const struct compare *compare, int service, int32_t from, const struct oracle_output *output,
                        int topic, int64_t stands_at)
{
	const struct world *world = compare->world;
	if (!compare->marks || world->flipped[service][from])
		return;
	for (size_t i = 0; i < world->mark_count; i++) {
		const struct marked *mark = &world->marks[i];
		if (mark->service == service && mark->partition == from && mark->offset > output->cause &&
		    mark->ends[topic][output->partition] <= stands_at)
			differs(compare, "%s/%d was marked at %lld before an output of record %lld stood in %s/%d",
			        world_service(service)->name, from, (long long)mark->offset, (long long)output->cause,
			        world->topics[topic].name, output->partition);
	}
}

/* One stream: what the oracle wants of it, in order, against what stands in the topic. */
static void compare_stream(const struct compare *compare, int service, const struct oracle *oracle, enum oracle_to to,
                           int32_t partition)
{
	int topic = topic_of(service, to);
	const struct view_log *log = &compare->view->logs[topic][partition];
	const struct view_stream *stream = &log->from[service][oracle->partition];
	const char *name = compare->world->topics[topic].name;
	size_t at = 0, number = 0;
	for (size_t i = 0; i < oracle->output_count; i++) {
		const struct oracle_output *expected = &oracle->outputs[i];
		if (expected->to != to || expected->partition != partition)
			continue;
		number++;
		while (at < log->count && log->taken[at].from != oracle->partition)
			at++;
		if (at == log->count) {
			differs(compare, "%s/%d to %s/%d: number %zu (%s) is missing", world_service(service)->name,
			        oracle->partition, name, partition, number,
			        expected->type ? expected->type->name : "dead letter");
			return;
		}
		if (!as_expected(expected, &log->taken[at])) {
			differs(compare, "%s/%d to %s/%d: number %zu is a %s and not the %s that must come",
			        world_service(service)->name, oracle->partition, name, partition, number,
			        log->taken[at].type ? log->taken[at].type->name : "dead letter",
			        expected->type ? expected->type->name : "dead letter");
			return;
		}
		check_marks(compare, service, oracle->partition, expected, topic, stream->offsets[number - 1]);
		at++;
	}
	if (stream->number > number)
		differs(compare, "%s/%d to %s/%d: %llu events and not %zu", world_service(service)->name,
		        oracle->partition, name, partition, (unsigned long long)stream->number, number);
	if (stream->highest > stream->number)
		differs(compare, "%s/%d to %s/%d: number %llu stands there and %llu never came",
		        world_service(service)->name, oracle->partition, name, partition,
		        (unsigned long long)stream->highest, (unsigned long long)stream->number + 1);
}

static void compare_streams(const struct compare *compare, int service, const struct oracle *oracle)
{
	static const enum oracle_to of[SIM_SERVICES][3] = {{TO_INVENTORY, TO_EVENTS, TO_DEAD_LETTERS},
	                                                   {TO_ORDERS, TO_DEAD_LETTERS, TO_DEAD_LETTERS}};
	for (size_t i = 0; i < 3; i++)
		for (int32_t p = 0; p < compare->world->topics[topic_of(service, of[service][i])].partitions; p++)
			compare_stream(compare, service, oracle, of[service][i], p);
}

/* Where there was stock for everybody nothing but a cancel stops an order, whatever went wrong on the way. */
static void check_ends(const struct compare *compare, const struct oracle *oracle)
{
	const struct plan *plan = &compare->world->plan;
	bool covered = plan->covered && !compare->world->recreated && !plan->may[FAULT_TAIL] &&
	               !plan->may[FAULT_TAIL_READ] && /* receipts can be lost there, or wait */
	               !plan->holds[SIM_ORDER] && !plan->holds[SIM_INVENTORY];
	for (size_t i = 0; i < oracle->order_count; i++) {
		const struct oracle_order *order = &oracle->orders[i];
		if (!order->placed)
			continue;
		if (order->end == OPEN)
			differs(compare, "order %s has no end", order->placed->order_id);
		else if (covered && order->end != (order->cancel ? DEAD : DONE))
			differs(compare, "order %s has ended as %d although there was stock for all",
			        order->placed->order_id, order->end);
	}
	for (size_t i = 0; i < oracle->stock_count; i++) {
		const struct oracle_stock *stock = &oracle->stock[i];
		if (stock->reserved != 0 || stock->on_hand < 0 || stock->on_hand > stock->received)
			differs(compare, "stock of %s: %lld on hand, %lld reserved, %lld received", stock->sku,
			        (long long)stock->on_hand, (long long)stock->reserved, (long long)stock->received);
	}
}

static bool ran_short(const struct oracle *oracle)
{
	for (size_t i = 0; i < oracle->order_count; i++)
		if (oracle->orders[i].end == SHORT)
			return true;
	return false;
}

void compare_outputs(struct world *world, const struct view *view, char *what, size_t room)
{
	const struct plan *plan = &world->plan;
	const struct compare compare = {world, view, what, room,
	                                !plan->may[FAULT_TAIL] && !plan->may[FAULT_TAIL_READ] && !world->recreated};
	bool short_of_stock = false;
	world->held_places = 0;
	for (int s = 0; s < SIM_SERVICES; s++) {
		for (int32_t p = 0; p < plan->partitions[s]; p++) {
			struct arena arena = {0};
			struct oracle oracle;
			ask_oracle(&compare, s, p, &arena, &oracle);
			compare_streams(&compare, s, &oracle);
			check_ends(&compare, &oracle);
			short_of_stock = short_of_stock || ran_short(&oracle);
			for (size_t i = 0; i < oracle.place_count; i++)
				world->held_places += !oracle.places[i].gone;
			arena_fini(&arena);
		}
	}
	if (short_of_stock)
		world->tally.seen[SEEN_SHORT] = 1;
}

/* ---- tables ---- */

struct table {
	struct store *store;
	struct store_statement *rows;
	struct err err;
};

static bool next_row(struct table *table)
{
	bool row = false;
	return store_step(table->rows, &row, &table->err) == OK && row;
}

static void compare_orders(const struct compare *compare, struct table *table, const struct oracle *oracle,
                           struct arena *arena)
{
	size_t rows = 0, placed = 0;
	for (size_t i = 0; i < oracle->order_count; i++)
		placed += oracle->orders[i].placed != NULL;
	for (; next_row(table); rows++) {
		const char *id = store_id(table->rows, 0, arena);
		const struct oracle_order *order = NULL;
		for (size_t i = 0; i < oracle->order_count; i++)
			if (oracle->orders[i].placed && strcmp(oracle->orders[i].placed->order_id, id) == 0)
				order = &oracle->orders[i];
		if (!order || store_int(table->rows, 1) != order->end || store_int(table->rows, 2) != order->total)
			differs(compare, "order/%d keeps order %s with status %lld, total %lld; expected %d, %lld",
			        oracle->partition, id, (long long)store_int(table->rows, 1),
			        (long long)store_int(table->rows, 2), order ? (int)order->end : 0,
			        order ? (long long)order->total : 0);
	}
	if (rows != placed)
		differs(compare, "order/%d keeps %zu orders and not %zu", oracle->partition, rows, placed);
}

static void compare_stock(const struct compare *compare, struct table *table, const struct oracle *oracle)
{
	size_t rows = 0;
	for (; next_row(table); rows++) {
		const char *sku = store_text(table->rows, 0);
		const struct oracle_stock *stock = NULL;
		for (size_t i = 0; i < oracle->stock_count; i++)
			if (strcmp(oracle->stock[i].sku, sku) == 0)
				stock = &oracle->stock[i];
		if (!stock || store_int(table->rows, 1) != stock->on_hand ||
		    store_int(table->rows, 2) != stock->reserved || store_int(table->rows, 3) != stock->received)
			differs(compare, "inventory/%d keeps other stock of %s than is there", oracle->partition, sku);
	}
	if (rows != oracle->stock_count)
		differs(compare, "inventory/%d keeps %zu SKUs and not %zu", oracle->partition, rows,
		        oracle->stock_count);
}

/* As it is kept: no SKU here has anything to escape. "": what is refused or released holds nothing. */
static const char *lines_held(const struct oracle_hold *hold, struct arena *arena)
{
	const char *text = "";
	for (size_t i = 0; hold->state < 3 && i < hold->command->lines.count; i++) {
		const struct reserve_line *line = &hold->command->lines.items[i];
		text = arena_format(arena, "%s%c\"%s\":%" PRId64, text, i ? ',' : '{', line->sku, line->quantity);
	}
	return *text ? arena_format(arena, "%s}", text) : text;
}

static void compare_holds(const struct compare *compare, struct table *table, const struct oracle *oracle,
                          struct arena *arena)
{
	size_t rows = 0;
	for (; next_row(table); rows++) {
		const char *id = store_id(table->rows, 0, arena);
		const struct oracle_hold *hold = NULL;
		for (size_t i = 0; i < oracle->hold_count; i++)
			if (strcmp(oracle->holds[i].command->order_id, id) == 0)
				hold = &oracle->holds[i];
		const char *lines = hold ? lines_held(hold, arena) : "";
		if (!hold || store_int(table->rows, 1) != hold->state || strcmp(store_text(table->rows, 2), lines) != 0)
			differs(compare,
			        "inventory/%d keeps a reservation of order %s with status %lld, lines %s; expected %d, %s",
			        oracle->partition, id, (long long)store_int(table->rows, 1), store_text(table->rows, 2),
			        hold ? hold->state : 0, lines);
	}
	if (rows != oracle->hold_count)
		differs(compare, "inventory/%d keeps %zu reservations and not %zu", oracle->partition, rows,
		        oracle->hold_count);
}

static bool select_rows(struct table *table, const char *sql)
{
	return store_prepare(table->store, sql, &table->rows, &table->err) == OK;
}

/* No row is left behind that no fact asks for. */
static void compare_count(const struct compare *compare, struct table *table, const struct oracle *oracle,
                          const char *what, const char *sql, size_t expected)
{
	if (!select_rows(table, sql) || !next_row(table))
		return;
	if ((size_t)store_int(table->rows, 0) != expected)
		differs(compare, "the file of partition %d has %lld rows of %s and not %zu", oracle->partition,
		        (long long)store_int(table->rows, 0), what, expected);
	store_done(table->rows);
}

static size_t cancels_of(const struct oracle *oracle)
{
	size_t count = 0;
	for (size_t i = 0; i < oracle->order_count; i++)
		count += oracle->orders[i].cancel != NULL;
	return count;
}

/* ---- tables of letters ---- */

static bool has_blob(struct store_statement *row, int column, const struct log_bytes *bytes)
{
	size_t len;
	const void *blob = store_blob(row, column, &len);
	if (store_is_null(row, column) || bytes->len < 0)
		return store_is_null(row, column) && bytes->len < 0;
	return len == (size_t)bytes->len && (!len || memcmp(blob, bytes->data, len) == 0);
}

/* The row says what waits at this place. */
static bool is_place(struct store_statement *row, const struct oracle_place *place)
{
	const struct log_bytes none = {NULL, -1};
	return has_blob(row, 0, &place->key) && (uint64_t)store_int(row, 1) == place->letter &&
	       has_blob(row, 2, place->letter ? &none : &place->given->record->value);
}

/* Each row is the first of its key's places that no row before was. */
static void compare_held(const struct compare *compare, struct table *table, const struct oracle *oracle,
                         struct arena *arena)
{
	bool *met = arena_alloc(arena, oracle->place_count + 1);
	size_t left = 0, i;
	for (i = 0; i < oracle->place_count; i++)
		left += !(met[i] = oracle->places[i].gone);
	for (; next_row(table); left--) {
		for (i = 0; i < oracle->place_count; i++)
			if (!met[i] && has_blob(table->rows, 0, &oracle->places[i].key))
				break;
		if (i == oracle->place_count || !is_place(table->rows, &oracle->places[i])) {
			differs(compare, "partition %d holds other records, or in another order", oracle->partition);
			return;
		}
		met[i] = true;
	}
	if (left)
		differs(compare, "partition %d does not hold %zu letters and records", oracle->partition, left);
}

static size_t letters_of(const struct oracle *oracle)
{
	size_t count = oracle->done_count;
	for (size_t i = 0; i < oracle->place_count; i++)
		count += !oracle->places[i].gone && oracle->places[i].letter;
	return count;
}

/* Places of different keys. */
static size_t keys_of(const struct oracle *oracle)
{
	size_t count = 0;
	for (size_t i = 0; i < oracle->place_count; i++) {
		size_t k = 0;
		while (k < i && (oracle->places[k].gone || !same_bytes(&oracle->places[k].key, &oracle->places[i].key)))
			k++;
		count += k == i && !oracle->places[i].gone;
	}
	return count;
}

static void compare_letters(const struct compare *compare, struct table *table, const struct oracle *oracle,
                            struct arena *arena)
{
	compare_count(compare, table, oracle, "letter", "SELECT count(*) FROM letter", letters_of(oracle));
	if (!oracle->holds_keys)
		return;
	compare_count(compare, table, oracle, "held_key", "SELECT count(*) FROM held_key", keys_of(oracle));
	if (select_rows(table, "SELECT key, letter, value FROM held ORDER BY key, place"))
		compare_held(compare, table, oracle, arena);
}

/* Does every gap of a known source close in the end? */
static bool gaps_close(const struct world *world)
{
	const struct plan *plan = &world->plan;
	return !plan->may[FAULT_TAIL] && !plan->may[FAULT_TAIL_READ] && !plan->may[FAULT_FILE_BIT] && !world->recreated;
}

static void compare_file(const struct compare *compare, struct table *table, int service, const struct oracle *oracle,
                         struct arena *arena)
{
	compare_letters(compare, table, oracle, arena);
	if (gaps_close(compare->world))
		compare_count(compare, table, oracle, "gap", "SELECT count(*) FROM gap WHERE service <> ''", 0);
	if (service == SIM_ORDER) {
		if (select_rows(table, "SELECT order_id, status, total_minor FROM orders"))
			compare_orders(compare, table, oracle, arena);
		compare_count(compare, table, oracle, "cancel_request", "SELECT count(*) FROM cancel_request",
		              cancels_of(oracle));
		return;
	}
	if (select_rows(table, "SELECT sku, on_hand, reserved, received FROM stock"))
		compare_stock(compare, table, oracle);
	if (select_rows(table, "SELECT order_id, status, lines FROM reservation"))
		compare_holds(compare, table, oracle, arena);
	compare_count(compare, table, oracle, "receipt", "SELECT count(*) FROM receipt", oracle->receipt_count);
}

void compare_tables(struct world *world, const struct view *view, int folders[SIM_SERVICES][SIM_PARTITIONS_MAX],
                    char *what, size_t room)
{
	const struct compare compare = {world, view, what, room, false};
	for (int s = 0; s < SIM_SERVICES; s++) {
		for (int32_t p = 0; p < world->plan.partitions[s] && folders[s][p] >= 0; p++) {
			struct arena arena = {0};
			struct oracle oracle;
			struct table table = {0};
			char *path = world_file(world, s, folders[s][p], p, "db");
			const struct store_config config = {.path = path, .mode = STORE_READ};
			ask_oracle(&compare, s, p, &arena, &oracle);
			if (store_open(&config, &table.store, &table.err) == OK)
				compare_file(&compare, &table, s, &oracle, &arena);
			store_close(table.store);
			if (table.err.code)
				differs(&compare, "%s/%d cannot be read: %s", world_service(s)->name, p,
				        table.err.text);
			mem_free(path);
			arena_fini(&arena);
		}
	}
}
