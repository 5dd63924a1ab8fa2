/* What publishers write: receipts, orders, cancels, the same again, the same with other content, and nonsense. A publisher
 * writes a record until it is acknowledged, so faults of the log make repeats of their own. */
#include "input.h"

#include "header.h"

#include <stdio.h>
#include <string.h>

#define IN_FLIGHT_MAX 8
#define PLACED_AT     1291191960000

struct item *input_add(struct world *world, int topic, int32_t partition, const char *key, const void *value, int len)
{
	if ((world->item_count & (world->item_count - 1)) == 0)
		world->items = mem_realloc(world->items, 2 * (world->item_count + 1) * sizeof *world->items);
	struct item *item = &world->items[world->item_count++];
	*item = (struct item){.topic = topic, .kind = -1};
	item->record.partition = partition;
	item->record.key = (struct log_bytes){key ? arena_copy(&world->arena, key, strlen(key)) : NULL,
	                                      key ? (int32_t)strlen(key) : -1};
	item->record.value = (struct log_bytes){len < 0 ? NULL : arena_copy(&world->arena, value, (size_t)len), len};
	return item;
}

int32_t input_home(const struct world *world, int topic, const char *key)
{
	return log_partition_of(key, strlen(key), world->topics[topic].partitions);
}

static struct item *add_event(struct world *world, int topic, const struct event_type *type, const void *event)
{
	struct buf value = {0};
	struct err err = {0};
	const char *key = type->key(event);
	if (event_encode(type, event, &value, &err) != OK)
		world_fail(world, "the input cannot be encoded: %s", err.text);
	struct item *item = input_add(world, topic, input_home(world, topic, key), key, value.data, (int)value.len);
	buf_fini(&value);
	return item;
}

const char *input_sku(struct world *world, int sku)
{
	/* Two that differ in case, as real stock codes do. */
	return arena_format(&world->arena, sku % 2 ? "85123%c" : "85123%c ", sku % 3 ? 'A' + sku : 'a' + sku);
}

/* The low ones more often. */
static int any_sku(struct world *world)
{
	int a = dice_below(&world->input, world->plan.skus), b = dice_below(&world->input, world->plan.skus);
	return a < b ? a : b;
}

const char *input_order_name(struct world *world, int order)
{
	return arena_format(&world->arena, order % 5 ? "%d" : "01890a5d-ac96-774b-bcce-b302099a%04d", 1000 + order);
}

/* ---- what is well meant ---- */

struct order_placed input_order(struct world *world, int order, int64_t *wanted)
{
	struct dice *dice = &world->input;
	size_t count = (size_t)dice_from(dice, 1, world->plan.lines_max);
	struct order_line *lines = arena_alloc(&world->arena, count * sizeof *lines);
	for (size_t i = 0; i < count; i++) {
		int sku = any_sku(world);
		lines[i] = (struct order_line){.sku = input_sku(world, sku),
		                               .quantity = dice_from(dice, 1, 6),
		                               .unit_price_minor = dice_below(dice, 2000)};
		if (wanted)
			wanted[sku] += lines[i].quantity;
	}
	struct order_placed placed = {
		.order_id = input_order_name(world, order), .currency = "GBP", .placed_at = PLACED_AT + order};
	placed.lines.items = lines;
	placed.lines.count = count;
	return placed;
}

struct item *input_add_order(struct world *world, const struct order_placed *placed)
{
	struct item *item = add_event(world, SIM_ORDERS, &order_placed_type, placed);
	if (dice_chance(&world->input, 100)) {
		struct log_header *trace = arena_alloc(&world->arena, sizeof *trace);
		static const char text[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
		*trace = (struct log_header){.name = "traceparent", .value = {text, sizeof text - 1}};
		item->record.headers = trace;
		item->record.header_count = 1;
	}
	return item;
}

struct item *input_add_cancel(struct world *world, const char *order_id, const char *reason)
{
	struct order_cancel_requested request = {.order_id = order_id, .requested_at = PLACED_AT, .reason = reason};
	return add_event(world, SIM_ORDERS, &order_cancel_requested_type, &request);
}

struct item *input_add_receipt(struct world *world, const char *sku, int receipt, int64_t quantity)
{
	struct stock_received received = {.receipt_id = arena_format(&world->arena, "R%d", receipt),
	                                  .sku = sku,
	                                  .quantity = quantity,
	                                  .received_at = PLACED_AT};
	struct item *item = add_event(world, SIM_INVENTORIES, &stock_received_type, &received);
	item->receipt = true;
	return item;
}

static void add_repeat(struct world *world)
{
	struct item again = world->items[dice_below(&world->input, (int)world->item_count)];
	struct item *item = input_add(world, again.topic, again.record.partition, NULL, NULL, -1);
	*item = again;
	item->kind = INPUT_REPEAT;
}

/* Times are the publisher's, in the event and in the record: neither may move anything but itself. */
static void add_order_of_any_time(struct world *world, struct order_placed *placed)
{
	static const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX, 4102444800000};
	struct dice *dice = &world->input;
	placed->placed_at = times[dice_below(dice, (int)(sizeof times / sizeof *times))];
	struct item *item = input_add_order(world, placed);
	item->record.timestamp_ms = times[dice_below(dice, (int)(sizeof times / sizeof *times))];
	item->kind = INPUT_HOSTILE_TIME;
}

static void make_orders(struct world *world, int64_t *wanted)
{
	struct dice *dice = &world->input;
	for (int o = 0; o < world->plan.orders; o++) {
		struct order_placed placed = input_order(world, o, wanted);
		if (dice_chance(dice, 50))
			add_order_of_any_time(world, &placed);
		else
			input_add_order(world, &placed);
		if (dice_chance(dice, 200))
			input_add_cancel(world, input_order_name(world, o), NULL);
		if (dice_chance(dice, 40))
			input_add_cancel(world, input_order_name(world, o), "another reason")->kind = INPUT_CONFLICT;
		if (dice_chance(dice, 80)) {
			placed = input_order(world, o, wanted); /* whichever comes first stands */
			input_add_order(world, &placed)->kind = INPUT_CONFLICT;
		}
	}
}

static void make_receipts(struct world *world, const int64_t *wanted)
{
	struct dice *dice = &world->input;
	int receipt = 0;
	for (int sku = 0; sku < world->plan.skus; sku++) {
		int64_t all = world->plan.covered ? wanted[sku] + 1 : wanted[sku] * dice_from(dice, 0, 100) / 100;
		int parts = dice_from(dice, 1, 3);
		for (int i = 0; i < parts && all > 0; i++) {
			int64_t part = i == parts - 1 ? all : 1 + all / 3;
			input_add_receipt(world, input_sku(world, sku), receipt++, part);
			all -= part;
		}
		if (receipt && dice_chance(dice, 60))
			input_add_receipt(world, input_sku(world, sku), receipt - 1, 1000)->kind =
				INPUT_CONFLICT; /* another SKU or quantity under the same id */
	}
}

/* ---- what is not ---- */

static struct item *add_raw(struct world *world, const void *value, int len)
{
	int topic = dice_chance(&world->input, 500) ? SIM_ORDERS : SIM_INVENTORIES;
	return input_add(world, topic, dice_below(&world->input, world->topics[topic].partitions), "k", value, len);
}

static void add_tandem_header(struct world *world, struct item *item, bool well_formed)
{
	struct header_list list;
	header_list_init(&list, &world->arena, 2);
	if (well_formed) {
		struct header_stream stream = {.service = "stranger", .partition = 0, .number = 1, .chain = 7};
		header_add_stream(&list, &stream);
	} else {
		header_add(&list, HEADER_STREAM, "\1\0\0", 3);
	}
	item->record.headers = list.items;
	item->record.header_count = list.count;
	item->kind = well_formed ? INPUT_STRANGER : INPUT_BAD_HEADER;
}

void input_add_wrong_order(struct world *world, int order)
{
	struct dice *dice = &world->input;
	struct order_placed placed = input_order(world, order, NULL);
	struct order_line *line = &placed.lines.items[placed.lines.count - 1];
	switch (dice_below(dice, 5)) {
	case 0:
		line->quantity = 0;
		break;
	case 1:
		line->quantity = INT64_MAX;
		line->unit_price_minor = 2;
		break;
	case 2:
		placed.currency = "gbp";
		break;
	case 3:
		line->sku = "not\nprintable";
		break;
	default:
		placed.lines.count = 0;
		break;
	}
	input_add_order(world, &placed)->kind = INPUT_AGAINST_RULES;
}

static void add_astray(struct world *world, bool wrong_key)
{
	struct order_placed placed = input_order(world, 700 + dice_below(&world->input, 100), NULL);
	struct item *item = input_add_order(world, &placed);
	wrong_key = wrong_key || world->topics[SIM_ORDERS].partitions == 1;
	item->kind = wrong_key ? INPUT_WRONG_KEY : INPUT_WRONG_PARTITION;
	if (wrong_key)
		item->record.key.len--;
	else
		item->record.partition = (item->record.partition + 1) % world->topics[SIM_ORDERS].partitions;
}

static void add_nonsense(struct world *world)
{
	uint8_t bytes[40];
	struct dice *dice = &world->input;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)dice_next(dice);
	struct commit_stock command = {.order_id = "1001"};
	struct stock_received received = {
		.receipt_id = "E", .sku = input_sku(world, 0), .quantity = -1, .received_at = 1};
	switch (dice_below(dice, 9)) {
	case 0:
		add_raw(world, bytes, dice_below(dice, (int)sizeof bytes))->kind = INPUT_MALFORMED;
		break;
	case 1:
		add_raw(world, NULL, -1)->kind = INPUT_EMPTY;
		break;
	case 2:
		bytes[0] = 0xc3;
		bytes[1] = 1;
		add_raw(world, bytes, sizeof bytes)->kind = INPUT_UNKNOWN_TYPE;
		break;
	case 3:
		input_add_wrong_order(world, 500 + dice_below(dice, 100));
		break;
	case 4:
		add_astray(world, dice_chance(dice, 500));
		break;
	case 5: /* a worker's event without its number */
		add_event(world, SIM_INVENTORIES, &commit_stock_type, &command)->kind = INPUT_UNNUMBERED;
		break;
	case 6:
		add_event(world, SIM_INVENTORIES, &stock_received_type, &received)->kind = INPUT_AGAINST_RULES;
		break;
	default:
		add_tandem_header(world, add_raw(world, bytes, sizeof bytes), dice_chance(dice, 500));
		break;
	}
}

static void shuffle(struct world *world, size_t from, size_t to)
{
	for (size_t i = to - from; i > 1; i--) {
		size_t j = (size_t)dice_below(&world->input, (int)i);
		struct item swapped = world->items[from + i - 1];
		world->items[from + i - 1] = world->items[from + j];
		world->items[from + j] = swapped;
	}
}

void input_make(struct world *world)
{
	int64_t wanted[16] = {0};
	make_orders(world, wanted);
	letters_make(world, wanted);
	size_t orders = world->item_count;
	make_receipts(world, wanted);
	for (int i = dice_below(&world->input, 2 + world->plan.orders / 2); i > 0; i--)
		add_repeat(world);
	for (int i = dice_below(&world->input, 6); i > 0; i--)
		add_nonsense(world);
	if (world->plan.oversized) {
		char *large = mem_zalloc(1, 960000);
		add_raw(world, large, 960000)->kind = INPUT_OVERSIZED;
		mem_free(large);
	}
	/* Most orders stand together, so that two of them want the last of a SKU at once. */
	shuffle(world, dice_chance(&world->input, 300) ? orders : 0, world->item_count);
}

/* ---- writing ---- */

static bool receipts_done(const struct world *world)
{
	for (size_t i = 0; i < world->item_count; i++)
		if (world->items[i].receipt && !world->items[i].done)
			return false;
	return true;
}

bool input_all_done(const struct world *world)
{
	for (size_t i = 0; i < world->item_count; i++)
		if (!world->items[i].done)
			return false;
	return true;
}

static void take_acks(struct world *world)
{
	struct log_ack ack;
	while (log_producer_ack(world->producer, &ack)) {
		struct item *item = &world->items[ack.token];
		item->in_flight = false;
		world->items_in_flight--;
		item->done = item->done || ack.status == OK;
	}
}

/* The next one that may go out now; in the order of the items, around. */
static struct item *next_item(struct world *world)
{
	bool receipts_only = world->plan.covered && !receipts_done(world);
	for (size_t tried = 0; tried < world->item_count; tried++) {
		struct item *item = &world->items[world->item_next++ % world->item_count];
		if (!item->done && !item->in_flight && (item->receipt || !receipts_only))
			return item;
	}
	return NULL;
}

void input_step(struct world *world)
{
	struct err err = {0};
	take_acks(world);
	struct item *item = world->items_in_flight < IN_FLIGHT_MAX ? next_item(world) : NULL;
	if (!item)
		return;
	struct log_record record = item->record;
	if (item->kind == INPUT_REDRIVE || item->kind == INPUT_DISCARD)
		seal_control(&world->seal, world->topics[item->topic].name, record.partition, &world->arena, &record);
	enum status status = log_produce(world->producer, world->producer_topics[item->topic], &record,
	                                 (uint64_t)(item - world->items), &err);
	if (status != OK)
		return; /* tried again */
	item->in_flight = true;
	if (item->kind >= 0)
		world->tally.inputs[item->kind]++;
	world->items_in_flight++;
	world->published++;
	world_trace(world, "published item %zu to %s/%d", (size_t)(item - world->items),
	            world->topics[item->topic].name, item->record.partition);
}

void input_again(struct world *world)
{
	for (size_t i = 0; i < world->item_count; i++)
		world->items[i].done = false;
	world->item_next = 0;
	world_trace(world, "everything is published again");
}
