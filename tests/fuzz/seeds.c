/* seeds: inputs for every target, from real events: seeds FOLDER writes FOLDER/TARGET/seed-*. The same for ever (make
 * fuzz-seeds), so the files need not be looked at one by one. */
#include "event.h"
#include "events.h"
#include "fuzz.h"
#include "genesis.h"
#include "header.h"
#include "mark.h"
#include "metrics.h"
#include "script.h"
#include "../support/random_event.h"
#include "redrive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;

static void write_seed(const char *target, const char *name, const void *bytes, size_t len)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", folder, target);
	FUZZ_MUST(mkdir(path, 0777) == 0 || errno == EEXIST, "%s", path);
	snprintf(path, sizeof path, "%s/%s/seed-%s", folder, target, name);
	FILE *file = fopen(path, "wb");
	FUZZ_MUST(file && fwrite(bytes, 1, len, file) == len && fclose(file) == 0, "%s", path);
}

static void write_text(const char *target, const char *name, const char *text)
{
	write_seed(target, name, text, strlen(text));
}

/* ---- events ---- */

/* A value that is not long, in single-object encoding. */
static void *some_event(struct rng *rng, const struct event_type *type, struct arena *arena, struct buf *out)
{
	struct err err = {0};
	void *event = arena_alloc(arena, type->size);
	do {
		buf_reset(out);
		random_event(rng, type->record, arena, event);
		FUZZ_MUST(event_encode(type, event, out, &err) == OK, "%s", err.text);
	} while (out->len > 300);
	return event;
}

static void event_seeds(void)
{
	struct rng rng = {11};
	struct arena arena = {0};
	struct buf value = {0}, seed = {0};
	const struct event_type *type;
	char name[80];
	for (uint8_t i = 0; (type = every_event_type(i)); i++) {
		for (uint8_t writer = 0; writer < type->writer_count; writer++) {
			some_event(&rng, type, &arena, &value);
			buf_reset(&seed);
			buf_put_u8(&seed, i);
			buf_put_u8(&seed, writer);
			buf_put(&seed, value.data + EVENT_HEADER_BYTES, value.len - EVENT_HEADER_BYTES);
			snprintf(name, sizeof name, "%s-%d", type->name, writer);
			write_seed("event", name, seed.data, seed.len);
		}
		size_t len = strlen(type->schema);
		buf_reset(&seed);
		buf_put_u8(&seed, 255);
		buf_put_u8(&seed, (uint8_t)(len >> 8));
		buf_put_u8(&seed, (uint8_t)len);
		buf_put(&seed, type->schema, len);
		buf_put(&seed, value.data + EVENT_HEADER_BYTES, value.len - EVENT_HEADER_BYTES);
		if (len < 2500)
			write_seed("foreign", type->name, seed.data, seed.len);
	}
	buf_fini(&value);
	buf_fini(&seed);
	arena_fini(&arena);
}

static void foreign_seeds(void)
{
	write_seed(
		"foreign", "everything",
		"\0"
		"\x02\x00\x02\x02\x00\x02\x02x\x00\x00!!\x02\x00\x00\x00\x00\x00\x00\xf8\x7f\x04zz\x00\x00\xc0\x3f\x01",
		33);
	write_seed("foreign", "nulls", "\x02\x7f\x00", 3);
	write_seed("foreign", "nested", "\x09\x04\x02\x00\x02\x04\x00\x00\x00\x00", 10);
	write_seed("foreign", "list", "\x08\x02\x02\x02\x00", 5);
	write_seed("foreign", "maps", "\x05\x02\x02k\x02\x02l\x08\x00\x00", 10);
	write_seed("foreign", "union", "\x0a\x08\x00\x02\x01\x04\x04zz\x06\x05\x00", 12);
	write_seed("foreign", "negative-block", "\x01\x06zzz", 5);
}

/* ---- files ---- */

static void container_seed(struct rng *rng, const struct event_type *type, const char *codec, int count)
{
	struct event_file *file;
	struct err err = {0};
	struct arena arena = {0};
	struct buf value = {0};
	char path[512], name[64];
	uint8_t bytes[16384];
	snprintf(path, sizeof path, "%s/container.part", folder);
	FUZZ_MUST(event_file_create(path, type, codec, &file, &err) == OK, "%s", err.text);
	for (int i = 0; i < count; i++) {
		some_event(rng, type, &arena, &value);
		FUZZ_MUST(event_file_append(file, value.data + EVENT_HEADER_BYTES, value.len - EVENT_HEADER_BYTES,
		                            &err) == OK,
		          "%s", err.text);
	}
	FUZZ_MUST(event_file_close(file, &err) == OK, "%s", err.text);
	FILE *written = fopen(path, "rb");
	FUZZ_MUST(written, "%s", path);
	size_t len = fread(bytes, 1, sizeof bytes, written);
	fclose(written);
	unlink(path);
	/* avro-c draws the sync marker at random */
	for (size_t at = 0; len > 16 && at + 16 < len; at++)
		if (memcmp(bytes + at, bytes + len - 16, 16) == 0)
			memset(bytes + at, 's', 16);
	memset(bytes + len - 16, 's', 16);
	snprintf(name, sizeof name, "%s-%s-%d", type->name, codec, count);
	write_seed("container", name, bytes, len);
	buf_fini(&value);
	arena_fini(&arena);
}

static void container_seeds(void)
{
	struct rng rng = {12};
	container_seed(&rng, &order_placed_type, "null", 2);
	container_seed(&rng, &order_placed_type, "deflate", 3);
	container_seed(&rng, &stock_received_type, "null", 0);
	container_seed(&rng, &commit_stock_type, "deflate", 1);
	container_seed(&rng, &release_stock_type, "null", 1);
}

static void line_seeds(void)
{
	struct rng rng = {13};
	struct arena arena = {0};
	struct buf value = {0}, lines = {0};
	for (size_t i = 0; i < event_type_count; i++) {
		if (event_types[i]->origin != EVENT_PUBLISHER)
			continue;
		void *event = some_event(&rng, event_types[i], &arena, &value);
		json_t *json = json_pack("{s:s,s:o}", "type", event_types[i]->name, "event",
		                         event_to_json(event_types[i], event));
		char *text = json_dumps(json, JSON_COMPACT);
		buf_putf(&lines, "%s\n", text);
		write_text("jsonl", event_types[i]->name, text);
		json_decref(json);
		free(text);
	}
	write_seed("jsonl", "all", lines.data, lines.len);
	write_text(
		"jsonl", "order",
		"{\"type\": \"OrderPlaced\", \"event\": {\"order_id\": \"536365\", \"customer_id\": {\"string\": \"17850\"},"
		" \"currency\": \"GBP\", \"placed_at\": 1291191960000, \"lines\": [{\"sku\": \"85123A\", \"quantity\": 6,"
		" \"unit_price_minor\": 255}]}}\r\n\n{\"type\": \"StockReceived\", \"event\": {\"receipt_id\": \"r\","
		" \"sku\": \"s\", \"quantity\": 1, \"received_at\": 0}}");
	buf_fini(&value);
	buf_fini(&lines);
	arena_fini(&arena);
}

static void csv_seeds(void)
{
	write_text("csv", "orders",
	           "\x0d"
	           "536365,85123A,\"WHITE HANGING HEART, T-LIGHT\",6,2010-12-01T08:26:00Z,2.55,17850,United Kingdom\n"
	           "536365,71053,WHITE METAL LANTERN,6,2010-12-01T08:26:00Z,3.39,17850,United Kingdom\n"
	           "536366,22633,,3,2010-12-01T08:28:00Z,1.85,,United Kingdom\r\n"
	           "C536379,D,\"say \"\"no\"\"\",-1,2010-12-01T09:41:00Z,27.50,14527,United Kingdom\n"
	           "A563185,B,Adjust bad debt,1,2011-08-12T14:50:00Z,11062.06,,United Kingdom\n"
	           "536365,85123A,again,1,2010-12-01T08:27:00Z,0.00,17850,United Kingdom\n");
	write_text("csv", "quotes", "\x30\"a\"\"b\",\"c\nd\",,e\r\n\n\"\"\n\"last\"");
	write_text("csv", "wrong",
	           "\x20"
	           "a,b\"c\n\"d\" e\n\r\r\n\"open");
	write_text("csv", "columns",
	           "\x01"
	           "536365,85123A,x,9223372036854775807,2010-12-01T08:26:00Z,2.555,1,U\n1,2,3\n");
}

/* ---- records ---- */

static void put_bytes(struct buf *out, const struct log_bytes *bytes)
{
	buf_put_u8(out, bytes->len < 0 || bytes->len > 254 ? 255 : (uint8_t)bytes->len);
	if (bytes->len > 0 && bytes->len <= 254)
		buf_put(out, bytes->data, (size_t)bytes->len);
}

/* As fuzz_header reads it. */
static void record_seed(const char *name, const struct log_record *record)
{
	struct buf seed = {0};
	buf_put_be32(&seed, (uint32_t)record->partition);
	buf_put_be64(&seed, (uint64_t)record->offset);
	buf_put_be64(&seed, (uint64_t)record->timestamp_ms);
	put_bytes(&seed, &record->key);
	put_bytes(&seed, &record->value);
	for (size_t i = 0; i < record->header_count; i++) {
		size_t len = strlen(record->headers[i].name);
		buf_put_u8(&seed, (uint8_t)(len + 15)); /* fuzz_header.c's names are known by number below that */
		buf_put(&seed, record->headers[i].name, len);
		put_bytes(&seed, &record->headers[i].value);
	}
	write_seed("header", name, seed.data, seed.len);
	buf_fini(&seed);
}

static void header_seeds(void)
{
	struct rng rng = {14};
	struct arena arena = {0};
	struct buf value = {0};
	struct err err = {0};
	struct header_list list;
	struct log_record record = {.partition = 1, .offset = 17, .timestamp_ms = 1700000000000, .key = {"536365", 6}};
	struct genesis_topic topics[] = {{"orders", 2, HEADER_FORM_COMPACT}, {"orders.dlq", 2, HEADER_FORM_COMPACT}};
	struct genesis genesis = {.topic = "orders", .partition = 1, .topics = {topics, 2}, .logic_version = 1};
	some_event(&rng, &order_confirmed_type, &arena, &value);
	record.value = (struct log_bytes){value.data, (int32_t)value.len};
	header_list_init(&list, &arena, 16);
	header_add_stream(&list,
	                  &(struct header_stream){.service = "order", .partition = 1, .number = 7, .chain = 1234567});
	record.headers = list.items;
	record.header_count = list.count;
	record_seed("numbered", &record);
	header_add_text(&list, "ce_specversion", "1.0");
	header_add_text(&list, "ce_id", "orders-1-17-0");
	header_add_text(&list, "ce_source", "/tandem/000102030405060708090a0b0c0d0e0f/order/1");
	header_add_text(&list, "ce_type", "tandem.OrderConfirmed");
	header_add_text(&list, "content-type", "application/avro");
	header_add_text(&list, "ce_sequence", "7");
	header_add_text(&list, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	record.headers = list.items;
	record.header_count = list.count;
	record_seed("cloudevents", &record);
	header_list_init(&list, &arena, 16);
	header_add_be32(&list, "kafka_dlt-original-partition", 1);
	header_add_be64(&list, "kafka_dlt-original-offset", 17);
	header_add_text(&list, "kafka_dlt-exception-fqcn", "conflict");
	record.headers = list.items;
	record.header_count = list.count;
	record.value = (struct log_bytes){"\x00\x00\x00\x00\x01x", 6};
	record_seed("dead-letter", &record);
	header_list_init(&list, &arena, 1);
	redrive_add(&list, &(struct redrive){.topic = "orders.dlq", .partition = 1, .number = 7, .offset = 17});
	record.headers = list.items;
	record.header_count = list.count;
	record_seed("redrive", &record);
	FUZZ_MUST(genesis_record(&genesis, &arena, &record, &err) == OK, "%s", err.text);
	record_seed("genesis", &record);
	buf_fini(&value);
	arena_fini(&arena);
}

static void mark_seed(const char *name, int64_t offset, const char *text)
{
	struct buf seed = {0};
	buf_put_be64(&seed, (uint64_t)offset);
	buf_put(&seed, text, strlen(text));
	write_seed("mark", name, seed.data, seed.len);
	buf_fini(&seed);
}

static void metrics_seeds(void)
{
	struct buf page = {0};
	struct histogram histogram = {.count = 1, .sum = 20, .buckets = {1}};
	const struct metrics_label labels[] = {METRICS_TEXT("topic", "a\"b\\c\nd"), METRICS_INT("partition", 3), {0}};
	metrics_family(&page, "h_seconds", "histogram", "How long.");
	metrics_histogram_us(&page, "h_seconds", labels, &histogram);
	metrics_put(&page, "a_total", NULL, -1);
	write_seed("metrics", "page", page.data, page.len);
	write_text("metrics", "others", "a { b = \"c\" , } +Inf 1700000000\r\nb NaN\nc{d=\"\n\n# e\nf{} 1e400 7");
	buf_fini(&page);
}

static void mark_seeds(void)
{
	struct task_position position = {
		.next_offset = 18, .last_offset = 17, .last_hash = 0x0123456789abcdef, .logic_version = 1};
	char text[MARK_TEXT_MAX + 1];
	mark_print(&position, text);
	mark_seed("small", 18, text);
	position = (struct task_position){INT64_MAX, INT64_MAX - 1, UINT64_MAX, UINT64_MAX, UINT64_MAX, INT32_MAX};
	mark_print(&position, text);
	mark_seed("largest", INT64_MAX, text);
	mark_seed("another-tool", 18, "connector-7");
	mark_seed("spaces", 18, "tandem1  18 17 1 2 3 1");
}

static void config_seeds(void)
{
	static const char words[] =
		"-n\0"
		"3\0--list=a\0-lb\0-X\0client.id=shop\0--log\0local:/tmp/x\0rest\0\0# a comment\n"
		"number = 4\ntext = some text\nproperty = linger.ms=5\nduration = 10s\ncolour=green\n";
	static const char wrong[] = "\0numbr = 4\n";
	write_seed("config", "words-and-file", words, sizeof words - 1);
	write_seed("config", "unknown-name", wrong, sizeof wrong - 1);
	write_text("config", "help", "--help");
	write_text("config", "print", "--print-config");
	write_seed("config", "secret", "--secret-file=/dev/null\0--namespace=n\0\0log-level = debug\n", 60);
	write_seed("config", "refused", "\0property = group.id=x\n", 23);
}

/* ---- tasks: the bytes of script.c's steps ---- */

#define TASK_SEED(name, bytes)          task_seed(name, bytes, sizeof(bytes) - 1)
#define PLACE(id, lines)                "\x00" id lines
#define CANCEL(id)                      "\x01" id "\x00"
#define RESERVED(from, id)              "\x02" from id
#define REJECTED(from, id)              "\x03" from id "\x00\x05"
#define RECEIVE(sku, receipt, quantity) "\x00" sku receipt quantity
#define RESERVE(from, id, lines)        "\x02" from id lines
#define COMMIT(from, id)                "\x03" from id
#define RELEASE(from, id)               "\x04" from id
#define SAVE                            "\x0b"
#define AGAIN(which)                    "\x09" which
#define TWIST(kind, at, by)             "\x0d" kind at by
#define TWO_LINES                       "\x02\x00\x05\x09\x01\x03\x07"

/* Of a task; and of a worker that is killed behind each record, loses its file, and in every other seed finds another mark. */
static void task_seed(const char *name, const char *bytes, size_t len)
{
	static unsigned count;
	struct buf seed = {0};
	write_seed("task", name, bytes, len);
	buf_put_u8(&seed, count++ % 2 ? 31 : 25);
	buf_put_u8(&seed, 2);
	buf_put(&seed,
	        "\x0d"
	        "7",
	        2);
	buf_put(&seed, bytes, len);
	write_seed("worker", name, seed.data, seed.len);
	buf_fini(&seed);
}

/* A genesis in raw bytes, so that any of them can be another, and an order behind it. */
static void genesis_seed(const char *name, const struct genesis *genesis)
{
	struct buf value = {0}, seed = {0};
	struct err err = {0};
	static const char rest[] = PLACE("\1", TWO_LINES) SAVE RESERVED("\0", "\1") RESERVED("\1", "\1") CANCEL("\2");
	uint8_t index = 0;
	while (event_types[index] != &genesis_type)
		index++;
	FUZZ_MUST(event_encode(&genesis_type, genesis, &value, &err) == OK, "%s", err.text);
	size_t len = value.len - EVENT_HEADER_BYTES;
	FUZZ_MUST(len <= 255, "%zu bytes", len);
	buf_put(&seed, "\x06\x90", 2);
	buf_put_u8(&seed, index);
	buf_put_u8(&seed, 0);
	buf_put_u8(&seed, (uint8_t)len);
	buf_put(&seed, value.data + EVENT_HEADER_BYTES, len);
	buf_put_u8(&seed, 0); /* the key */
	buf_put(&seed, rest, sizeof rest - 1);
	task_seed(name, (const char *)seed.data, seed.len);
	buf_fini(&value);
	buf_fini(&seed);
}

static void genesis_seeds(void)
{
	struct genesis genesis = script_genesis("orders", 1);
	struct genesis_topic topics[8];
	genesis_seed("genesis-whole", &genesis);
	memcpy(topics, genesis.topics.items, genesis.topics.count * sizeof *topics);
	topics[genesis.topics.count++] = (struct genesis_topic){"inventory", 2, HEADER_FORM_COMPACT};
	genesis.topics.items = topics;
	genesis_seed("genesis-names-a-topic-twice", &genesis);
}

static void task_seeds(void)
{
	TASK_SEED("order-confirmed", "\0" PLACE("\1", TWO_LINES) SAVE RESERVED("\0", "\1") RESERVED("\1", "\1"));
	TASK_SEED("order-rejected", "\0" PLACE("\1", TWO_LINES) RESERVED("\0", "\1") SAVE REJECTED("\1", "\1"));
	TASK_SEED("order-cancelled",
	          "\0" PLACE("\1", TWO_LINES) CANCEL("\1") RESERVED("\1", "\1") RESERVED("\0", "\1"));
	TASK_SEED("cancel-first", "\0" CANCEL("\2") SAVE PLACE("\2", TWO_LINES) AGAIN("\1") AGAIN("\2"));
	TASK_SEED("order-gap",
	          "\0" PLACE("\1", TWO_LINES) TWIST("\6", "\0", "\3") RESERVED("\0", "\1") RESERVED("\0", "\1"));
	TASK_SEED("order-fork",
	          "\0" PLACE("\1", TWO_LINES) TWIST("\7", "\0", "\3") RESERVED("\0", "\1") SAVE AGAIN("\2"));
	TASK_SEED("order-wrong", "\0" TWIST("\0", "\x0c", "\xff") PLACE("\1", TWO_LINES) TWIST("\5", "\0", "\0\2zz")
	                                 PLACE("\1", "\0"));
	TASK_SEED("order-headers",
	          "\0" TWIST("\x0d", "\0",
	                     "\0\x37"
	                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") PLACE("\1", TWO_LINES)
	                  TWIST("\x0e", "\0", "\0") PLACE("\3", TWO_LINES) TWIST("\x0d", "\3", "\0\3xyz") CANCEL("\1"));
	TASK_SEED("order-control", "\0"
	                           "\x0a\x00"
	                           "\x0a\x41"
	                           "\x0a\x42");
	TASK_SEED("order-raw", "\0"
	                       "\x05\x08\x00\x04zzzz\x01k"
	                       "\x07\x02kk\x02vv"
	                       "\x0a\x90");
	TASK_SEED("stock-committed", "\1" RECEIVE("\0", "\1", "\x08") SAVE RESERVE("\0", "\1", "\1\0\2")
	                                     COMMIT("\0", "\1") RELEASE("\0", "\1"));
	TASK_SEED("stock-released",
	          "\1" RECEIVE("\0", "\1", "\x08") RECEIVE("\1", "\1", "\x08") RESERVE("\1", "\2", "\2\0\2\1\1")
	                  RELEASE("\1", "\2") RESERVE("\1", "\2", "\1\0\1"));
	TASK_SEED("stock-short",
	          "\1" RESERVE("\0", "\1", "\1\0\2") SAVE RECEIVE("\0", "\1", "\1") RESERVE("\0", "\2", "\1\0\x0f"));
	TASK_SEED("stock-conflict",
	          "\1" RECEIVE("\0", "\1", "\1") RECEIVE("\0", "\1", "\2") AGAIN("\1") RECEIVE("\x40", "\1", "\2"));
	TASK_SEED("stock-overflow",
	          "\1" RECEIVE("\0", "\1", "\xe6") RECEIVE("\0", "\2", "\xe5") RECEIVE("\0", "\3", "\xe2"));
	TASK_SEED("stock-halts", "\1" RESERVE("\0", "\1", "\1\x40\2"));
	TASK_SEED("stock-unknown",
	          "\1" TWIST("\x09", "\0", "\0\3xyz") COMMIT("\0", "\1") TWIST("\x0a", "\0", "\0") COMMIT("\0", "\1"));
	TASK_SEED("order-repeat", "\0" PLACE("\1", TWO_LINES) RESERVED("\0", "\1") AGAIN("\2") SAVE AGAIN("\2")
	                                  RESERVED("\1", "\1") AGAIN("\2") AGAIN("\1"));
	TASK_SEED("stock-repeat",
	          "\1" RECEIVE("\0", "\1", "\x08") RESERVE("\0", "\1", "\1\0\2") RESERVE("\0", "\1", "\1\0\2")
	                  AGAIN("\2") SAVE AGAIN("\3") COMMIT("\0", "\1") AGAIN("\2") AGAIN("\3"));
	TASK_SEED("genesis-raw", "\6\x90\x03\x00\x05zzzzz");
	/* a service that holds: letter 1, and what waits for it until it is discarded or redriven; letter 2 is one of those */
	TASK_SEED("held-discarded",
	          "\x11" RECEIVE("\0", "\1", "\1") RECEIVE("\0", "\1", "\2") RECEIVE("\0", "\2", "\3")
	                  SAVE RECEIVE("\0", "\2", "\4") "\x0a\xc0" RECEIVE("\0", "\3", "\1") SAVE "\x0a\xc1"
	                                                                                           "\x0a\xc1");
	TASK_SEED("held-redriven", "\x11" RECEIVE("\0", "\1", "\1") RECEIVE("\0", "\1", "\2") RECEIVE("\0", "\2", "\3")
	                                   TWIST("\x0d", "\7", "\0\0") RECEIVE("\0", "\3", "\2") SAVE AGAIN("\4"));
	TASK_SEED("held-order",
	          "\x10" PLACE("\1", "\0") PLACE("\1", TWO_LINES) CANCEL("\1") SAVE TWIST("\x0d", "\7", "\0\0")
	                  PLACE("\1", TWO_LINES) RESERVED("\0", "\1") RESERVED("\1", "\1"));
	TASK_SEED("held-elsewhere", "\x11" RECEIVE("\0", "\1", "\1") RECEIVE("\0", "\1", "\2") RECEIVE("\0", "\2", "\3")
	                                    TWIST("\x0d", "\7", "\0\0") RECEIVE("\1", "\3", "\2") SAVE AGAIN("\2"));
}

int main(int argc, char **argv)
{
	FUZZ_MUST(argc == 2, "usage: seeds FOLDER");
	folder = argv[1];
	event_seeds();
	foreign_seeds();
	container_seeds();
	line_seeds();
	csv_seeds();
	header_seeds();
	mark_seeds();
	metrics_seeds();
	config_seeds();
	task_seeds();
	genesis_seeds();
	return 0;
}
