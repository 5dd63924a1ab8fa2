/* A record as a reader meets it, without a task: the `tandem` header and the other headers of the protocol, CloudEvents' and
 * the trace, genesis, and how it is shown to people.
 *
 * Input: partition, offset and time (8 bytes each), key and value (a byte of length each; 255: null), then headers: a byte
 * that chooses the name (or the length of one that follows), a byte of length (255: null), the value. */
#include "event.h"
#include "fuzz.h"
#include "genesis.h"
#include "hash.h"
#include "header.h"
#include "record_view.h"
#include "redrive.h"
#include "seal.h"
#include "wire.h"

#include <string.h>

#define PER_BYTE    128
#define BASE        (256 * 1024)
#define HEADERS_MAX 300

static const char *const names[] = {
	"tandem",
	"tandem-control",
	"tandem_dlt_original",
	"traceparent",
	"ce_id",
	"ce_source",
	"ce_specversion",
	"ce_type",
	"ce_sequence",
	"content-type",
	"kafka_dlt-original-topic",
	"kafka_dlt-original-partition",
	"kafka_dlt-original-offset",
	"kafka_dlt-original-timestamp",
	"kafka_dlt-exception-fqcn",
};
#define NAMES (sizeof names / sizeof *names)

static struct log_bytes bytes_of(struct fuzz_input *input)
{
	size_t len, want = fuzz_u8(input);
	if (want == 255)
		return (struct log_bytes){NULL, -1};
	const uint8_t *bytes = fuzz_bytes(input, want, &len);
	return (struct log_bytes){bytes, (int32_t)len};
}

static size_t read_headers(struct fuzz_input *input, struct log_header headers[HEADERS_MAX])
{
	size_t count = 0;
	for (; fuzz_left(input) && count < HEADERS_MAX; count++) {
		size_t which = fuzz_u8(input);
		headers[count].name = which < NAMES ? names[which] : fuzz_text(input, which - NAMES);
		headers[count].value = bytes_of(input);
	}
	return count;
}

/* A stream that is taken is written again as the same bytes, and is one that SQLite can hold. */
static void check_stream(const struct log_record *record, struct arena *arena)
{
	struct header_stream stream, again;
	struct header_list list;
	enum header_found found = header_stream_parse(record, &stream);
	const struct log_header *header = header_find(record, HEADER_STREAM);
	FUZZ_MUST((found == HEADER_NONE) == !header, "%d", found);
	if (found != HEADER_VALID)
		return;
	FUZZ_MUST(stream.number >= 1 && stream.number <= INT64_MAX && stream.partition >= 0 && *stream.service,
	          "number %llu of %d", (unsigned long long)stream.number, stream.partition);
	header_list_init(&list, arena, 0);
	header_add_stream(&list, &stream);
	FUZZ_MUST(list.items[0].value.len == header->value.len &&
	                  memcmp(list.items[0].value.data, header->value.data, (size_t)header->value.len) == 0,
	          "other bytes");
	const struct log_record written = {.headers = list.items, .header_count = list.count};
	FUZZ_MUST(header_stream_parse(&written, &again) == HEADER_VALID, "not read back");
}

/* A redrive that is taken is written again as the same bytes. */
static void check_redrive(const struct log_record *record, struct arena *arena)
{
	struct redrive redrive;
	struct header_list list;
	enum header_found found = redrive_parse(record, &redrive);
	const struct log_header *header = header_find(record, REDRIVE_HEADER);
	FUZZ_MUST((found == HEADER_NONE) == !header && found != HEADER_NEWER, "%d", found);
	if (found != HEADER_VALID)
		return;
	header_list_init(&list, arena, 0);
	redrive_add(&list, &redrive);
	FUZZ_MUST(list.items[0].value.len == header->value.len &&
	                  memcmp(list.items[0].value.data, header->value.data, (size_t)header->value.len) == 0,
	          "other bytes");
}

/* Where chains are keyed nothing that these bytes claim is believed, and what has a proof is, at its place alone. */
static void check_seal(const struct log_record *record, struct arena *arena)
{
	static const struct secret secret = {"0123456789abcdef0123456789abcdef", 32};
	static const uint8_t installation[16] = {1};
	struct seal seal;
	struct header_stream stream;
	struct header_list list;
	seal_open(installation, true, &secret, &seal, NULL);
	bool claims =
		genesis_is_control(record) || header_find(record, HEADER_STREAM) || header_find(record, REDRIVE_HEADER);
	FUZZ_MUST(seal_holds(&seal, "orders", record->partition, record) == !claims, "claims %d", claims);
	if (genesis_is_control(record) || header_stream_parse(record, &stream) != HEADER_VALID)
		return;
	struct log_record sealed = *record;
	sealed.headers = NULL;
	sealed.header_count = 0;
	seal_event(&seal, &stream, "orders", &sealed);
	header_list_init(&list, arena, 1);
	header_add_stream(&list, &stream);
	sealed.headers = list.items;
	sealed.header_count = list.count;
	FUZZ_MUST(seal_holds(&seal, "orders", record->partition, &sealed), "its own proof");
	FUZZ_MUST(!seal_holds(&seal, "inventory", record->partition, &sealed), "another topic");
}

/* A trace that is carried on is one that every hop carries on. */
static void check_trace(const struct log_record *record, struct arena *arena)
{
	const struct log_header *trace = header_find(record, "traceparent");
	struct header_list list;
	if (!trace || !header_trace_valid(trace))
		return;
	header_list_init(&list, arena, 1);
	header_add_trace(&list, trace, hash_record((const uint8_t *)"0123456789abcdef", record));
	FUZZ_MUST(header_trace_valid(&list.items[0]), "%.*s", list.items[0].value.len,
	          (const char *)list.items[0].value.data);
}

static bool is_shown_safely(const struct buf *text)
{
	for (size_t i = 0; i < text->len; i++)
		if (text->data[i] < 0x20 || text->data[i] == 0x7f ||
		    (text->data[i] == 0xc2 && i + 1 < text->len && text->data[i + 1] < 0xa0))
			return false;
	return wire_text_valid(text->data, text->len);
}

static void check_views(const struct log_record *record, struct arena *arena)
{
	struct record_view view;
	struct buf line = {0}, dump = {0};
	record_view(record, arena, &view);
	FUZZ_MUST(view.event || view.why, "neither an event nor a reason");
	record_view_line(&view, "orders", &line);
	FUZZ_MUST(is_shown_safely(&line), "%.*s", (int)line.len, (const char *)line.data);
	json_t *json = record_view_json(&view, "orders", "append");
	FUZZ_MUST(json, "no JSON");
	record_view_dump(json, &dump);
	FUZZ_MUST(dump.len > 4 && is_shown_safely(&dump), "%.*s", (int)dump.len, (const char *)dump.data);
	json_decref(json);
	buf_fini(&line);
	buf_fini(&dump);
}

static void check_genesis(const struct log_record *record, struct arena *arena)
{
	struct genesis genesis;
	struct err err = {0};
	if (genesis_parse(record, "orders", record->partition, arena, &genesis, &err) == OK) {
		const struct genesis_topic *own = genesis_topic(&genesis, "orders");
		FUZZ_MUST(own && record->partition >= 0 && record->partition < own->partitions, "%d",
		          record->partition);
		FUZZ_MUST(genesis_same(&genesis, &genesis, &err) == OK, "%s", err.text);
	} else {
		FUZZ_MUST(err_is(&err, "no_genesis") || err_is(&err, "bad_genesis") || err_is(&err, "unknown_version"),
		          "%s", err.code);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	struct arena arena = {0};
	struct log_header headers[HEADERS_MAX];
	struct log_record record = {.partition = (int32_t)fuzz_be32(&input),
	                            .offset = (int64_t)fuzz_be64(&input),
	                            .timestamp_ms = (int64_t)fuzz_be64(&input)};
	record.key = bytes_of(&input);
	record.value = bytes_of(&input);
	record.header_count = read_headers(&input, headers);
	record.headers = headers;
	memory_begin();
	check_stream(&record, &arena);
	check_redrive(&record, &arena);
	check_seal(&record, &arena);
	check_trace(&record, &arena);
	check_genesis(&record, &arena);
	check_views(&record, &arena);
	arena_fini(&arena);
	FUZZ_WITHIN("record", memory_end(), size, PER_BYTE, BASE);
	fuzz_forget();
	return 0;
}
