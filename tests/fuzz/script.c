#include "script.h"

#include "command.h"
#include "events.h"
#include "genesis.h"
#include "hash.h"
#include "header.h"
#include "redrive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAW_MAX    255 /* bytes of what is read raw */
#define LINES_MAX  6
#define TWISTS_MAX 8
#define MANY       300 /* headers: more than are taken */

static const uint8_t installation[HASH_KEY_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

enum kind {
	FIRST_EVENT,    /* a publisher's: OrderPlaced, StockReceived */
	SECOND_EVENT,   /* OrderCancelRequested, StockReceived */
	FIRST_COMMAND,  /* the next number of a stream: StockReserved, ReserveStock */
	SECOND_COMMAND, /* StockRejected, CommitStock */
	THIRD_COMMAND,  /* StockReserved, ReleaseStock */
	ANY_EVENT,      /* of any type, the body raw, as a publisher's */
	ANY_COMMAND,    /* the same, numbered */
	RAW_EVENT,      /* the value raw */
	RAW_COMMAND,
	AGAIN,   /* a record from before */
	CONTROL, /* genesis, a logic version, any event, as control records */
	COMMIT,
	HOLE,  /* offsets that are left out, time that passes */
	TWIST, /* the next record */
	SCRIPT_KINDS,
};

/* The first ones change what is numbered, the others what is then there. */
enum twist_kind {
	VALUE_BYTE,
	VALUE_CUT,
	VALUE_LONGER,
	VALUE_NULL,
	KEY_NULL,
	KEY_RAW,
	NUMBER,
	CHAIN,
	SOURCE,
	SERVICE,
	NEWER,
	DOUBLED,
	CUT,
	HEADER,
	HEADERS,
	TIME,
	TWIST_KINDS,
};

struct twist {
	enum twist_kind kind;
	uint8_t at, by;
	const char *name;
	struct log_bytes raw;
};

struct stream {
	uint64_t number, chain;
};

struct writing {
	struct script *script;
	struct fuzz_input *input;
	struct stream streams[SCRIPT_INVENTORIES]; /* of the other service's partitions */
	int64_t offset, time_ms;
	struct twist twists[TWISTS_MAX];
	size_t twist_count;
};

/* ---- pieces ---- */

static struct log_bytes raw(struct writing *w)
{
	size_t len, want = fuzz_u8(w->input);
	const uint8_t *bytes = fuzz_bytes(w->input, want, &len);
	return (struct log_bytes){bytes, (int32_t)len};
}

/* One of few, of this partition unless the byte says another; or raw. */
static const char *id(struct writing *w, const char *prefix, int32_t partition, int32_t partitions)
{
	uint8_t byte = fuzz_u8(w->input);
	struct arena *arena = &w->script->arena;
	if (byte >= 0xf0)
		return fuzz_text(w->input, byte & 0x0f ? (byte & 0x0f) * 6u : 70);
	if (byte >= 0xe0) /* a UUID, kept in 16 bytes */
		return arena_format(arena, "01234567-89ab-cdef-0123-456789abcd%02x", byte);
	int32_t owner = byte & 0x40 ? (partition + 1) % partitions : partition;
	for (int n = byte & 0x07, skip = 0;; skip++) {
		const char *text = arena_format(arena, "%s%d", prefix, n * 100 + skip);
		if (log_partition_of(text, strlen(text), partitions) == owner)
			return text;
	}
}

static const char *order_id(struct writing *w)
{
	return id(w, "o", w->script->which == SCRIPT_ORDER ? w->script->partition : 0, SCRIPT_ORDERS);
}

static const char *own_sku(struct writing *w)
{
	return id(w, "s", w->script->partition, SCRIPT_INVENTORIES);
}

static int64_t quantity(struct writing *w)
{
	static const int64_t telling[] = {0, -1, INT64_MAX, INT64_MIN, INT64_MAX / 2 + 1, INT64_MAX - 3, 1000000007};
	uint8_t byte = fuzz_u8(w->input);
	return byte < 0xe0 ? byte % 16 + 1 : telling[byte % (sizeof telling / sizeof *telling)];
}

static struct log_bytes value_of(struct writing *w, const struct event_type *type, const void *event)
{
	struct buf out = {0};
	struct err err = {0};
	struct log_bytes value = {"", 0};
	if (event_encode(type, event, &out, &err) == OK) /* not where a raw text is no UTF-8 */
		value = (struct log_bytes){arena_copy(&w->script->arena, out.data, out.len), (int32_t)out.len};
	buf_fini(&out);
	return value;
}

static struct log_bytes text_bytes(const char *text)
{
	return (struct log_bytes){text, (int32_t)strlen(text)};
}

/* ---- events ---- */

static void order_placed(struct writing *w, struct log_record *out)
{
	static const char *const currencies[] = {"GBP", "EUR", "gbp", ""};
	struct order_line lines[LINES_MAX] = {0};
	struct order_placed event = {.order_id = order_id(w), .placed_at = 1291191960000};
	uint8_t byte = fuzz_u8(w->input);
	event.currency = currencies[byte >> 6 == 3 ? byte >> 4 & 3 : 0];
	event.customer_id = byte & 8 ? fuzz_text(w->input, (byte & 4) ? RAW_MAX + 5 : 4) : NULL;
	event.lines.items = lines;
	event.lines.count = byte % LINES_MAX;
	for (size_t i = 0; i < event.lines.count; i++) {
		lines[i].sku = id(w, "s", (int32_t)(i % SCRIPT_INVENTORIES), SCRIPT_INVENTORIES);
		lines[i].quantity = quantity(w);
		lines[i].unit_price_minor = quantity(w);
		lines[i].currency = byte & 16 ? currencies[i % 4] : NULL;
	}
	*out = (struct log_record){.key = text_bytes(event.order_id), .value = value_of(w, &order_placed_type, &event)};
}

static void cancel_requested(struct writing *w, struct log_record *out)
{
	struct order_cancel_requested event = {.order_id = order_id(w), .requested_at = fuzz_u8(w->input)};
	if (event.requested_at & 1)
		event.reason = fuzz_text(w->input, (size_t)event.requested_at + 10);
	*out = (struct log_record){.key = text_bytes(event.order_id),
	                           .value = value_of(w, &order_cancel_requested_type, &event)};
}

static void stock_received(struct writing *w, struct log_record *out)
{
	struct stock_received event = {.sku = own_sku(w), .received_at = 1291191960000};
	event.receipt_id = id(w, "r", 0, 1);
	event.quantity = quantity(w);
	*out = (struct log_record){.key = text_bytes(event.sku), .value = value_of(w, &stock_received_type, &event)};
}

static void stock_answer(struct writing *w, int32_t source, bool reserved, struct log_record *out)
{
	const char *order = order_id(w);
	*out = (struct log_record){.key = text_bytes(order)};
	if (reserved) {
		struct stock_reserved event = {.order_id = order, .inventory_partition = source};
		out->value = value_of(w, &stock_reserved_type, &event);
		return;
	}
	struct shortage shortage = {.sku = own_sku(w), .known = true, .wanted = quantity(w)};
	struct stock_rejected event = {.order_id = order, .inventory_partition = source, .shortage_count = 1};
	event.shortages.items = &shortage;
	event.shortages.count = 1;
	out->value = value_of(w, &stock_rejected_type, &event);
}

static int by_sku(const void *a, const void *b)
{
	return strcmp(((const struct reserve_line *)a)->sku, ((const struct reserve_line *)b)->sku);
}

static void reserve_stock(struct writing *w, struct log_record *out)
{
	struct reserve_line lines[LINES_MAX] = {0};
	struct reserve_stock event = {.order_id = order_id(w)};
	uint8_t byte = fuzz_u8(w->input);
	size_t kept = 0;
	event.lines.items = lines;
	event.lines.count = byte % LINES_MAX;
	for (size_t i = 0; i < event.lines.count; i++)
		lines[i] = (struct reserve_line){.sku = own_sku(w), .quantity = quantity(w)};
	if (!(byte & 0x80)) { /* as an order worker writes it */
		qsort(lines, event.lines.count, sizeof *lines, by_sku);
		for (size_t i = 0; i < event.lines.count; i++)
			if (!kept || by_sku(&lines[kept - 1], &lines[i]) != 0)
				lines[kept++] = lines[i];
		event.lines.count = kept;
	}
	*out = (struct log_record){.key = text_bytes(event.order_id),
	                           .value = value_of(w, &reserve_stock_type, &event)};
}

static void stock_command(struct writing *w, bool commits, struct log_record *out)
{
	const char *order = order_id(w);
	struct commit_stock commit = {.order_id = order};
	struct release_stock release = {.order_id = order};
	*out = (struct log_record){.key = text_bytes(order),
	                           .value = commits ? value_of(w, &commit_stock_type, &commit)
	                                            : value_of(w, &release_stock_type, &release)};
}

/* The fingerprint of any schema that was ever published, or of none, before raw bytes. */
static void any_event(struct writing *w, struct log_record *out)
{
	uint8_t byte = fuzz_u8(w->input);
	uint64_t fingerprint = 0;
	if (byte < event_type_count)
		fingerprint = event_types[byte]->writers[fuzz_below(w->input, event_types[byte]->writer_count)];
	struct log_bytes body = raw(w);
	uint8_t *value = arena_alloc(&w->script->arena, EVENT_HEADER_BYTES + (size_t)body.len);
	value[0] = 0xc3;
	value[1] = 0x01;
	for (int i = 0; i < 8; i++)
		value[2 + i] = (uint8_t)(fingerprint >> (8 * i));
	if (body.len)
		memcpy(value + EVENT_HEADER_BYTES, body.data, (size_t)body.len);
	*out = (struct log_record){.key = raw(w), .value = {value, body.len + EVENT_HEADER_BYTES}};
}

struct genesis script_genesis(const char *topic, int32_t partition)
{
	static struct genesis_topic topics[] = {
		{"inventory", SCRIPT_INVENTORIES, HEADER_FORM_COMPACT},
		{"inventory.dlq", SCRIPT_INVENTORIES, HEADER_FORM_COMPACT},
		{"order-events", SCRIPT_ORDERS, HEADER_FORM_CLOUDEVENTS},
		{"orders", SCRIPT_ORDERS, HEADER_FORM_COMPACT},
		{"orders.dlq", SCRIPT_ORDERS, HEADER_FORM_COMPACT},
	};
	struct genesis genesis = {.topic = topic,
	                          .partition = partition,
	                          .topics = {topics, sizeof topics / sizeof *topics},
	                          .single_replica = true,
	                          .logic_version = 1};
	memcpy(genesis.installation, installation, sizeof genesis.installation);
	return genesis;
}

static void first_genesis(struct writing *w, struct log_record *out)
{
	const struct genesis genesis = script_genesis(w->script->service->input, w->script->partition);
	struct err err = {0};
	FUZZ_MUST(genesis_record(&genesis, &w->script->arena, out, &err) == OK, "%s", err.text);
}

/* One of the first letters, mostly of the script's own partition. */
static struct redrive letter_of(const struct writing *w, uint8_t byte)
{
	struct redrive letter = {.number = 1 + byte % 8};
	letter.partition = byte & 0x20 ? 0 : w->script->partition;
	snprintf(letter.topic, sizeof letter.topic, "%s.dlq", w->script->service->input);
	return letter;
}

static struct log_bytes redrive_of(struct writing *w, uint8_t byte)
{
	const struct redrive letter = letter_of(w, byte);
	struct header_list list;
	header_list_init(&list, &w->script->arena, 1);
	redrive_add(&list, &letter);
	return list.items[0].value;
}

/* ---- twists ---- */

static void read_twist(struct writing *w)
{
	static const char *const names[] = {"traceparent",
	                                    "ce_id",
	                                    "ce_source",
	                                    HEADER_STREAM,
	                                    GENESIS_CONTROL_HEADER,
	                                    "tandem_dlt_original",
	                                    "kafka_dlt-original-topic",
	                                    REDRIVE_HEADER};
	if (w->twist_count == TWISTS_MAX)
		return;
	struct twist *twist = &w->twists[w->twist_count++];
	*twist = (struct twist){.kind = (enum twist_kind)fuzz_below(w->input, TWIST_KINDS)};
	twist->at = fuzz_u8(w->input);
	twist->by = fuzz_u8(w->input);
	if (twist->kind == HEADER) {
		twist->name =
			twist->at < sizeof names / sizeof *names ? names[twist->at] : fuzz_text(w->input, twist->at);
		twist->raw = raw(w);
		if (w->script->holds && twist->at == sizeof names / sizeof *names - 1 && !twist->raw.len)
			twist->raw = redrive_of(w, twist->by);
	}
	if (twist->kind == SERVICE || twist->kind == KEY_RAW || twist->kind == VALUE_LONGER)
		twist->raw = raw(w);
}

static void change_value(struct writing *w, const struct twist *twist, struct log_bytes *value)
{
	size_t len = value->len > 0 ? (size_t)value->len : 0, more = (size_t)twist->raw.len;
	size_t at = len ? twist->at % len : 0;
	uint8_t *copy = arena_alloc(&w->script->arena, len + more);
	if (len)
		memcpy(copy, value->data, len);
	if (twist->kind == VALUE_BYTE && len) {
		copy[at] ^= (uint8_t)(twist->by | 1);
	} else if (twist->kind == VALUE_CUT) {
		len = at;
	} else if (twist->kind == VALUE_LONGER) {
		memmove(copy + at + more, copy + at, len - at);
		if (more)
			memcpy(copy + at, twist->raw.data, more);
		len += more;
	}
	*value = (struct log_bytes){copy, (int32_t)len};
}

static void twist_content(struct writing *w, struct log_record *record)
{
	for (size_t i = 0; i < w->twist_count; i++) {
		const struct twist *twist = &w->twists[i];
		if (twist->kind <= VALUE_LONGER)
			change_value(w, twist, &record->value);
		else if (twist->kind == VALUE_NULL)
			record->value = (struct log_bytes){NULL, -1};
		else if (twist->kind == KEY_NULL)
			record->key = (struct log_bytes){NULL, -1};
		else if (twist->kind == KEY_RAW)
			record->key = twist->raw;
	}
}

static void twist_stream(const struct twist *twist, struct header_stream *stream)
{
	if (twist->kind == NUMBER)
		stream->number = twist->at & 1 ? UINT64_MAX - twist->by : stream->number + twist->by - (twist->at >> 1);
	if (twist->kind == CHAIN)
		stream->chain ^= (uint64_t)(twist->by | 1) << twist->at % 56;
	if (twist->kind == SOURCE)
		stream->partition = twist->at & 1 ? -twist->by : twist->by;
	if (twist->kind == SERVICE)
		snprintf(stream->service, sizeof stream->service, "%.*s", (int)twist->raw.len,
		         (const char *)twist->raw.data);
}

static void add_header(struct writing *w, struct log_record *record, const struct log_header *header)
{
	struct log_header *list = arena_alloc(&w->script->arena, (record->header_count + 1) * sizeof *list);
	if (record->header_count)
		memcpy(list, record->headers, record->header_count * sizeof *list);
	list[record->header_count] = *header;
	record->headers = list;
	record->header_count++;
}

static void twist_last_header(struct writing *w, const struct twist *twist, struct log_record *record)
{
	if (!record->header_count)
		return;
	struct log_header last = record->headers[record->header_count - 1];
	if (twist->kind == DOUBLED) {
		add_header(w, record, &last);
		return;
	}
	if (last.value.len < 1)
		return;
	uint8_t *copy = (uint8_t *)arena_copy(&w->script->arena, last.value.data, (size_t)last.value.len);
	if (twist->kind == NEWER)
		copy[0] = twist->by;
	else
		last.value.len = twist->at % last.value.len;
	last.value.data = copy;
	record->header_count--;
	add_header(w, record, &last);
}

static void twist_headers(struct writing *w, struct log_record *record)
{
	static const int64_t times[] = {0, -1, INT64_MAX, INT64_MIN, 1};
	for (size_t i = 0; i < w->twist_count; i++) {
		const struct twist *twist = &w->twists[i];
		const struct log_header header = {twist->name, twist->raw};
		if (twist->kind == NEWER || twist->kind == DOUBLED || twist->kind == CUT)
			twist_last_header(w, twist, record);
		else if (twist->kind == HEADER)
			add_header(w, record, &header);
		else if (twist->kind == HEADERS)
			for (int n = 0; n < MANY; n++)
				add_header(w, record, &(struct log_header){"h", {"", 0}});
		else if (twist->kind == TIME)
			record->timestamp_ms = times[twist->at % (sizeof times / sizeof *times)];
	}
}

/* ---- records ---- */

static void number(struct writing *w, int32_t source, struct log_record *record)
{
	struct script *script = w->script;
	struct stream *last = &w->streams[source];
	struct header_stream stream = {.partition = source};
	struct header_list list;
	uint64_t fingerprint = 0;
	const uint8_t *body = record->value.data;
	size_t len = record->value.len > 0 ? (size_t)record->value.len : 0;
	bool twisted = false;
	snprintf(stream.service, sizeof stream.service, "%s", script->service->sources[0].service);
	if (!last->number)
		last->chain = hash_chain_start(installation, stream.service, source, script->service->input,
		                               script->partition);
	if (!event_split(body, len, &fingerprint, &body, &len))
		fingerprint = 0;
	stream.number = last->number + 1;
	stream.chain = hash_chain(installation, last->chain, stream.number, fingerprint, &record->key, body, len);
	for (size_t i = 0; i < w->twist_count; i++) {
		twisted = twisted || (w->twists[i].kind >= NUMBER && w->twists[i].kind <= CUT);
		twist_stream(&w->twists[i], &stream);
	}
	if (!twisted) /* else it is not taken, and the next one has this number */
		*last = (struct stream){stream.number, stream.chain};
	header_list_init(&list, &script->arena, 1);
	header_add_stream(&list, &stream);
	record->headers = list.items;
	record->header_count = list.count;
}

static void control(struct writing *w, struct log_record *out)
{
	static const struct log_header header = {GENESIS_CONTROL_HEADER, {"1", 1}};
	uint8_t byte = fuzz_u8(w->input);
	if (byte < 0x40) {
		first_genesis(w, out);
		return;
	}
	if (byte < 0x80) {
		struct logic_version version = {.logic_version = (int32_t)(byte & 3)};
		*out = (struct log_record){.key = {NULL, -1}, .value = value_of(w, &logic_version_type, &version)};
	} else if (byte >= 0xc0 && w->script->holds) {
		const struct redrive letter = letter_of(w, byte);
		const struct letter_discarded event = {.topic = letter.topic,
		                                       .partition = letter.partition,
		                                       .number = (int64_t)letter.number,
		                                       .why = ""};
		*out = (struct log_record){.key = {NULL, -1}, .value = value_of(w, &letter_discarded_type, &event)};
	} else {
		any_event(w, out);
	}
	add_header(w, out, &header);
}

static void make(struct writing *w, enum kind kind, int32_t source, struct log_record *out)
{
	bool orders = w->script->which == SCRIPT_ORDER;
	switch (kind) {
	case FIRST_EVENT:
		orders ? order_placed(w, out) : stock_received(w, out);
		break;
	case SECOND_EVENT:
		orders ? cancel_requested(w, out) : stock_received(w, out);
		break;
	case FIRST_COMMAND:
		orders ? stock_answer(w, source, true, out) : reserve_stock(w, out);
		break;
	case SECOND_COMMAND:
		orders ? stock_answer(w, source, false, out) : stock_command(w, true, out);
		break;
	case THIRD_COMMAND:
		orders ? stock_answer(w, source, true, out) : stock_command(w, false, out);
		break;
	case ANY_EVENT:
	case ANY_COMMAND:
		any_event(w, out);
		break;
	case RAW_EVENT:
	case RAW_COMMAND:
		*out = (struct log_record){.key = raw(w), .value = raw(w)};
		break;
	default:
		control(w, out);
	}
}

static bool is_numbered(enum kind kind)
{
	return (kind >= FIRST_COMMAND && kind <= THIRD_COMMAND) || kind == ANY_COMMAND || kind == RAW_COMMAND;
}

static void append(struct writing *w, const struct log_record *record)
{
	struct script *script = w->script;
	struct log_record *out = &script->records[script->count++];
	*out = *record;
	out->partition = script->partition;
	out->offset = w->offset++;
	if (!out->timestamp_ms)
		out->timestamp_ms = w->time_ms++;
	script->bytes +=
		(size_t)(out->key.len > 0 ? out->key.len : 0) + (size_t)(out->value.len > 0 ? out->value.len : 0);
	for (size_t i = 0; i < out->header_count; i++)
		script->bytes += strlen(out->headers[i].name) + 16 +
		                 (size_t)(out->headers[i].value.len > 0 ? out->headers[i].value.len : 0);
}

static void add_record(struct writing *w, enum kind kind)
{
	struct script *script = w->script;
	struct log_record record = {0};
	int32_t sources = script->which == SCRIPT_ORDER ? SCRIPT_INVENTORIES : SCRIPT_ORDERS;
	int32_t source = is_numbered(kind) ? (int32_t)fuzz_below(w->input, (size_t)sources) : 0;
	if (kind == AGAIN) {
		record = script->records[fuzz_below(w->input, script->count)];
		record.timestamp_ms = 0;
	} else {
		make(w, kind, source, &record);
	}
	twist_content(w, &record);
	if (is_numbered(kind))
		number(w, source, &record);
	twist_headers(w, &record);
	w->twist_count = 0;
	append(w, &record);
}

static void step(struct writing *w)
{
	enum kind kind = (enum kind)fuzz_below(w->input, SCRIPT_KINDS);
	if (kind == COMMIT) {
		w->script->commit[w->script->count - 1] = true;
	} else if (kind == HOLE) {
		w->offset += fuzz_u8(w->input);
		w->time_ms += fuzz_u8(w->input) * INT64_C(1000);
	} else if (kind == TWIST) {
		read_twist(w);
	} else {
		add_record(w, kind);
	}
}

void script_read(struct script *script, const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	struct writing w = {.script = script, .input = &input, .time_ms = 1700000000000};
	struct log_record first;
	*script = (struct script){.partition = 1};
	uint8_t choice = fuzz_u8(&input);
	script->which = choice & 1;
	script->service = command_service(script->which == SCRIPT_ORDER ? "order" : "inventory");
	FUZZ_MUST(script->service, "no such service");
	script->holds = choice & 0x10;
	if (script->holds) {
		script->own = *script->service;
		script->own.holds_rejected_keys = true;
		script->service = &script->own;
	}
	if ((choice & 6) == 6)
		control(&w, &first);
	else
		first_genesis(&w, &first);
	append(&w, &first);
	while (fuzz_left(&input) && script->count <= SCRIPT_STEPS_MAX)
		step(&w);
}

void script_fini(struct script *script)
{
	arena_fini(&script->arena);
	fuzz_forget();
}
