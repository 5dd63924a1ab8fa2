#include "records.h"

#include "check.h"
#include "command.h"
#include "genesis.h"
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const uint8_t records_installation[HASH_KEY_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

void records_genesis(struct genesis *out, const char *topic, int32_t partition)
{
	static struct genesis_topic topics[] = {
		{"inventory", RECORDS_INVENTORY_PARTITIONS, HEADER_FORM_COMPACT},
		{"inventory.dlq", RECORDS_INVENTORY_PARTITIONS, HEADER_FORM_COMPACT},
		{"order-events", RECORDS_ORDER_PARTITIONS, HEADER_FORM_CLOUDEVENTS},
		{"order-events.dlq", RECORDS_ORDER_PARTITIONS, HEADER_FORM_COMPACT},
		{"orders", RECORDS_ORDER_PARTITIONS, HEADER_FORM_COMPACT},
		{"orders.dlq", RECORDS_ORDER_PARTITIONS, HEADER_FORM_COMPACT},
	};
	*out = (struct genesis){.topic = topic, .partition = partition, .single_replica = true, .logic_version = 1};
	memcpy(out->installation, records_installation, sizeof out->installation);
	out->topics.items = topics;
	out->topics.count = sizeof topics / sizeof *topics;
}

/* ---- the task ---- */

static struct task *open_task(const struct records *records, const char *path, bool reverse)
{
	struct err err = {0};
	struct task *task = NULL;
	const struct task_config config = {.service = records->service,
	                                   .partition = records->partition,
	                                   .path = path,
	                                   .reverse = reverse,
	                                   .secret = records->secret};
	check(task_open(&config, &task, &err), &err);
	return task;
}

static void begin(struct records *records, const struct service *service, int32_t partition, bool file,
                  const struct secret *secret)
{
	*records = (struct records){.service = service,
	                            .partition = partition,
	                            .reverse = getenv("TANDEM_REVERSE") != NULL,
	                            .time_ms = 1700000000000,
	                            .secret = secret};
	assert_non_null(records->service);
	if (file) {
		folder_make(&records->folder);
		records->path = arena_format(&records->arena, "%s/%d.db", records->folder.path, partition);
	}
	struct genesis genesis;
	struct err err = {0};
	struct log_record record;
	check(seal_open(records_installation, secret != NULL, secret, &records->seal, &err), &err);
	records->task = open_task(records, records->path, records->reverse);
	records_genesis(&genesis, records->service->input, partition);
	genesis.chain = secret ? CHAIN_KEY_KEYED : CHAIN_KEY_PUBLIC;
	check(genesis_record(&genesis, &records->arena, &record, &err), &err);
	seal_control(&records->seal, genesis.topic, partition, &records->arena, &record);
	assert_int_equal(records_fold(records, &record), TASK_CONTROL);
}

void records_begin_service(struct records *records, const struct service *service, int32_t partition)
{
	begin(records, service, partition, false, NULL);
}

void records_begin_file(struct records *records, const struct service *service, int32_t partition)
{
	begin(records, service, partition, true, NULL);
}

void records_begin(struct records *records, const char *service, int32_t partition)
{
	begin(records, command_service(service), partition, false, NULL);
}

void records_begin_keyed(struct records *records, const char *service, int32_t partition, const struct secret *secret)
{
	begin(records, command_service(service), partition, false, secret);
}

void records_drop(struct records *records)
{
	task_close(records->task);
	if (records->path)
		folder_remove(&records->folder);
	arena_fini(&records->arena);
	mem_free(records->folded);
	*records = (struct records){0};
}

void records_reopen(struct records *records)
{
	task_close(records->task);
	records->task = open_task(records, records->path, records->reverse);
	struct task_position position;
	task_position(records->task, &position);
	while (records->folded_count && records->folded[records->folded_count - 1].offset >= position.next_offset)
		records->folded_count--;
	records->offset = position.next_offset;
}

void records_edit(struct records *records, const char *sql)
{
	struct err err = {0};
	struct store *store;
	const struct store_config config = {.path = records->path, .mode = STORE_WRITE};
	task_close(records->task);
	records->task = NULL;
	check(store_open(&config, &store, &err), &err);
	check(store_exec(store, sql, &err), &err);
	store_close(store);
	records_reopen(records);
}

/* The same records, one COMMIT each, unordered SELECTs the other way round: the same rows and outputs. */
void records_end(struct records *records)
{
	struct err err = {0};
	enum task_verdict verdict;
	struct task *first = records->task, *second = open_task(records, NULL, !records->reverse);
	check(task_commit(first, &err), &err);
	for (size_t i = 0; i < records->folded_count; i++) {
		check(task_fold(second, &records->folded[i], &verdict, &err), &err);
		check(task_commit(second, &err), &err);
	}
	const char *expected = records_dump(records);
	records->task = second;
	assert_string_equal(expected, records_dump(records));
	task_close(first);
	records_drop(records);
}

/* ---- making records ---- */

static struct log_bytes bytes_of(struct records *records, const void *data, size_t len)
{
	return (struct log_bytes){arena_copy(&records->arena, data, len), (int32_t)len};
}

static struct log_bytes encoded(struct records *records, const struct event_type *type, const void *event)
{
	struct buf value = {0};
	struct err err = {0};
	check(event_encode(type, event, &value, &err), &err);
	struct log_bytes out = bytes_of(records, value.data, value.len);
	buf_fini(&value);
	return out;
}

struct log_record records_publisher(struct records *records, const struct event_type *type, const void *event)
{
	const char *key = type->key ? type->key(event) : "";
	return (struct log_record){.partition = records->partition,
	                           .key = bytes_of(records, key, strlen(key)),
	                           .value = encoded(records, type, event)};
}

struct records_peer *records_peer(struct records *records, const char *service, int32_t source)
{
	for (size_t i = 0; i < records->peer_count; i++)
		if (records->peers[i].partition == source && strcmp(records->peers[i].service, service) == 0)
			return &records->peers[i];
	assert_true(records->peer_count < sizeof records->peers / sizeof *records->peers);
	struct records_peer *peer = &records->peers[records->peer_count++];
	*peer = (struct records_peer){.partition = source};
	snprintf(peer->service, sizeof peer->service, "%s", service);
	peer->chain = hash_chain_start(records->seal.key, service, source, records->service->input, records->partition);
	return peer;
}

struct log_record records_with_header(struct records *records, const struct log_record *record, const char *name,
                                      const void *value, size_t len)
{
	struct log_header *headers = arena_alloc(&records->arena, (record->header_count + 1) * sizeof *headers);
	if (record->header_count)
		memcpy(headers, record->headers, record->header_count * sizeof *headers);
	headers[record->header_count] =
		(struct log_header){arena_copy(&records->arena, name, strlen(name)), bytes_of(records, value, len)};
	struct log_record out = *record;
	out.headers = headers;
	out.header_count++;
	return out;
}

struct log_record records_restreamed(struct records *records, const struct log_record *record,
                                     const struct header_stream *stream)
{
	struct header_list list;
	header_list_init(&list, &records->arena, 1);
	header_add_stream(&list, stream);
	struct log_record out = *record;
	out.headers = list.items;
	out.header_count = list.count;
	return out;
}

const char *records_order_id(struct records *records, int from)
{
	return records_id(records, "A", from, records->partition, RECORDS_ORDER_PARTITIONS);
}

struct order_placed records_order_placed(struct records *records, const char *order_id)
{
	struct order_line *line = arena_alloc(&records->arena, sizeof *line);
	*line = (struct order_line){.sku = "SKU", .quantity = 1, .unit_price_minor = 100};
	struct order_placed event = {.order_id = order_id, .currency = "GBP", .placed_at = 1};
	event.lines.items = line;
	event.lines.count = 1;
	return event;
}

struct log_record records_order(struct records *records, int from)
{
	const struct order_placed event = records_order_placed(records, records_order_id(records, from));
	return records_publisher(records, &order_placed_type, &event);
}

struct log_record records_control(struct records *records, const struct event_type *type, const void *event)
{
	struct log_record record = records_publisher(records, type, event);
	return records_with_header(records, &record, GENESIS_CONTROL_HEADER, "1", 1);
}

struct log_record records_numbered(struct records *records, const char *service, int32_t source, const char *key,
                                   const struct event_type *type, const void *event)
{
	struct log_record record = {.partition = records->partition,
	                            .key = bytes_of(records, key, strlen(key)),
	                            .value = encoded(records, type, event)};
	struct records_peer *peer = records_peer(records, service, source);
	peer->number++;
	peer->chain = hash_chain(records->seal.key, peer->chain, peer->number, type->fingerprint, &record.key,
	                         (const uint8_t *)record.value.data + EVENT_HEADER_BYTES,
	                         (size_t)record.value.len - EVENT_HEADER_BYTES);
	struct header_stream stream = {.partition = source, .number = peer->number, .chain = peer->chain};
	snprintf(stream.service, sizeof stream.service, "%s", service);
	seal_event(&records->seal, &stream, records->service->input, &record);
	return records_restreamed(records, &record, &stream);
}

/* ---- folding ---- */

static void keep(struct records *records, const struct log_record *record)
{
	records->folded = mem_realloc(records->folded, (records->folded_count + 1) * sizeof *records->folded);
	log_record_copy(&records->folded[records->folded_count++], record, &records->arena);
}

enum status records_try(struct records *records, const struct log_record *record, enum task_verdict *verdict)
{
	struct log_record placed = *record;
	placed.offset = records->offset;
	placed.timestamp_ms = records->time_ms;
	records->err = (struct err){0};
	enum status status = task_fold(records->task, &placed, verdict, &records->err);
	if (status == OK) {
		keep(records, &placed);
		records->offset++;
		records->time_ms++;
	}
	return status;
}

enum task_verdict records_fold(struct records *records, const struct log_record *record)
{
	enum task_verdict verdict = TASK_VERDICTS;
	check(records_try(records, record, &verdict), &records->err);
	return verdict;
}

const char *records_refused(struct records *records, const struct log_record *record)
{
	enum task_verdict verdict;
	assert_int_equal(records_try(records, record, &verdict), FATAL);
	assert_int_equal(records_output_count(records), 0);
	return records->err.code;
}

enum task_verdict records_publish(struct records *records, const struct event_type *type, const void *event)
{
	struct log_record record = records_publisher(records, type, event);
	return records_fold(records, &record);
}

enum task_verdict records_send(struct records *records, int32_t source, const char *key, const struct event_type *type,
                               const void *event)
{
	struct log_record record =
		records_numbered(records, records->service->sources[0].service, source, key, type, event);
	return records_fold(records, &record);
}

/* ---- what came out ---- */

size_t records_output_count(const struct records *records)
{
	size_t count;
	task_outputs(records->task, &count);
	return count;
}

const struct task_output *records_raw_output(const struct records *records, size_t index)
{
	size_t count;
	const struct task_output *outputs = task_outputs(records->task, &count);
	assert_true(index < count);
	return &outputs[index];
}

const void *records_output(struct records *records, size_t index, const struct event_type *type)
{
	const struct task_output *output = records_raw_output(records, index);
	uint64_t writer;
	const uint8_t *body;
	size_t len;
	struct err err = {0};
	assert_true(output->record.value.len > 0);
	assert_true(event_split(output->record.value.data, (size_t)output->record.value.len, &writer, &body, &len));
	const struct event_type *found = event_type_of_writer(writer);
	assert_string_equal(found ? found->name : "no event of ours", type->name);
	void *event = arena_alloc(&records->arena, type->size);
	check(event_decode(type, writer, body, len, &records->arena, event, &err), &err);
	return event;
}

int64_t records_number(struct records *records, const char *sql)
{
	struct store_statement *s;
	struct err err = {0};
	bool row;
	check(store_prepare(task_store(records->task), sql, &s, &err), &err);
	check(store_step(s, &row, &err), &err);
	assert_true(row);
	int64_t value = store_int(s, 0);
	store_done(s);
	return value;
}

const char *records_id(struct records *records, const char *prefix, int from, int32_t partition, int32_t count)
{
	for (int n = from;; n++) {
		char *id = arena_format(&records->arena, "%s-%d", prefix, n);
		if (log_partition_of(id, strlen(id), count) == partition)
			return id;
	}
}

static void dump_row(struct store_statement *s, struct buf *out, struct arena *arena)
{
	for (int i = 0; i < store_column_count(s); i++) {
		struct store_value value;
		store_value(s, i, &value);
		buf_putf(out, "%s%s=%s", i ? ", " : "  ", store_column_name(s, i), store_value_text(&value, arena));
	}
	buf_putf(out, "\n");
}

static void dump_table(struct records *records, const char *table, struct buf *out)
{
	struct store_statement *s;
	struct err err = {0};
	const char *sql = arena_format(&records->arena, "SELECT * FROM %s ORDER BY 1, 2", table);
	buf_putf(out, "%s\n", table);
	check(store_prepare(task_store(records->task), sql, &s, &err), &err);
	for (bool row = true; row;) {
		check(store_step(s, &row, &err), &err);
		if (row)
			dump_row(s, out, &records->arena);
	}
}

const char *records_dump(struct records *records)
{
	struct buf out = {0};
	struct store_statement *s;
	struct err err = {0};
	check(store_prepare(task_store(records->task),
	                    "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", &s, &err),
	      &err);
	for (bool row = true; row;) {
		check(store_step(s, &row, &err), &err);
		if (row)
			dump_table(records, store_text(s, 0), &out);
	}
	const char *text = arena_copy(&records->arena, out.data, out.len);
	buf_fini(&out);
	return text;
}
