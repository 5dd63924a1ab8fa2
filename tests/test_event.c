/* Events from struct to bytes, to JSON and back, and what is refused on the way: see common/event.h. */
#include "events.h"
#include "test_events.h"

#include "support/random_event.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 300

static const uint8_t hash_key[16] = "0123456789abcde";

static struct order_line lines[2] = {
	{.sku = "A-1", .quantity = 3, .unit_price_minor = 499},
	{.sku = "b\xc3\xa9", .quantity = 1, .unit_price_minor = INT64_MAX, .currency = "GBP"},
};

static struct order_placed an_order(void)
{
	return (struct order_placed){
		.order_id = "o-1", .currency = "GBP", .placed_at = 1700000000000, .lines = {lines, 2}};
}

/* Runs `check` with seeded values of every event; prints how to run a failure again. */
static void with_random_events(void (*check)(const struct event_type *, const void *, struct arena *))
{
	struct rng rng = rng_begin(20240607);
	struct arena arena = {0};
	for (size_t i = 0; every_event_type(i); i++)
		for (int round = 0; round < ROUNDS; round++) {
			const struct event_type *type = every_event_type(i);
			arena_reset(&arena);
			void *event = arena_alloc(&arena, type->size);
			random_event(&rng, type->record, &arena, event);
			check(type, event, &arena);
		}
	arena_fini(&arena);
}

/* Decodes a whole single-object value as its type. */
static enum status decode(const struct event_type *type, const struct buf *value, struct arena *arena, void *event,
                          struct err *err)
{
	uint64_t writer;
	const uint8_t *body;
	size_t len;
	assert_true(event_split(value->data, value->len, &writer, &body, &len));
	return event_decode(type, writer, body, len, arena, event, err);
}

static void an_order_has_the_bytes_that_avro_says(void **state)
{
	(void)state;
	static const uint8_t body[] = "\x06o-1"
				      "\x00"
				      "\x06"
				      "GBP"
				      "\x80\xa0\xab\xfe\xf9\x62"
				      "\x04"
				      "\x06"
				      "A-1"
				      "\x06"
				      "\xe6\x07"
				      "\x00"
				      "\x06"
				      "b\xc3\xa9"
				      "\x02"
				      "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
				      "\x02\x06"
				      "GBP"
				      "\x00";
	struct order_placed order = an_order();
	struct buf out = {0};
	struct err err = {0};
	assert_int_equal(order_placed_encode(&order, &out, &err), OK);
	assert_int_equal(out.len, EVENT_HEADER_BYTES + sizeof body - 1);
	assert_memory_equal(out.data, "\xc3\x01", 2);
	for (int i = 0; i < 8; i++)
		assert_int_equal(out.data[2 + i], (order_placed_type.fingerprint >> (8 * i)) & 0xff);
	assert_memory_equal(out.data + EVENT_HEADER_BYTES, body, sizeof body - 1);
	buf_fini(&out);
}

static void a_value_is_split_only_where_it_has_a_header(void **state)
{
	(void)state;
	uint64_t writer;
	const uint8_t *body;
	size_t len;
	assert_false(event_split("\xc3\x01"
	                         "1234567",
	                         9, &writer, &body, &len));
	assert_false(event_split("\x00\x01"
	                         "12345678",
	                         10, &writer, &body, &len));
	assert_false(event_split("\xc3\x02"
	                         "12345678",
	                         10, &writer, &body, &len));
	assert_false(event_split(NULL, 0, &writer, &body, &len));
	assert_true(event_split("\xc3\x01"
	                        "\x01\x02\x03\x04\x05\x06\x07\x08"
	                        "x",
	                        11, &writer, &body, &len));
	assert_true(writer == UINT64_C(0x0807060504030201) && len == 1 && *body == 'x');
	assert_true(event_split("\xc3\x01"
	                        "12345678",
	                        10, &writer, &body, &len));
	assert_int_equal(len, 0);
}

static void check_bytes_and_back(const struct event_type *type, const void *event, struct arena *arena)
{
	struct buf out = {0};
	struct err err = {0};
	void *back = arena_alloc(arena, type->size);
	memset(back, 0xa5, type->size);
	assert_int_equal(event_encode(type, event, &out, &err), OK);
	assert_int_equal(decode(type, &out, arena, back, &err), OK);
	assert_true(event_equal(type, event, back));
	assert_true(event_content_hash(type, event, hash_key) == event_content_hash(type, back, hash_key));
	buf_fini(&out);
}

static void every_event_comes_back_from_its_bytes(void **state)
{
	(void)state;
	with_random_events(check_bytes_and_back);
}

static void check_json_and_back(const struct event_type *type, const void *event, struct arena *arena)
{
	struct err err = {0};
	void *back = arena_alloc(arena, type->size);
	memset(back, 0xa5, type->size);
	json_t *json = event_to_json(type, event);
	char *text = json_dumps(json, JSON_COMPACT);
	json_t *parsed = json_loads(text, JSON_ALLOW_NUL, NULL); /* bytes may hold NUL */
	assert_int_equal(event_from_json(type, parsed, arena, back, &err), OK);
	assert_true(event_equal(type, event, back));
	free(text);
	json_decref(parsed);
	json_decref(json);
}

static void every_event_comes_back_from_its_json(void **state)
{
	(void)state;
	with_random_events(check_json_and_back);
}

/* Another event of the same content is equal, one of other content is not: told by their bytes. */
static void check_equality(const struct event_type *type, const void *event, struct arena *arena)
{
	static struct buf before;
	static struct arena kept;
	static const struct event_type *kept_type;
	static void *kept_event;
	struct buf out = {0};
	struct err err = {0};
	assert_int_equal(event_encode(type, event, &out, &err), OK);
	if (kept_type == type) {
		bool same = out.len == before.len && memcmp(out.data, before.data, out.len) == 0;
		assert_int_equal(event_equal(type, event, kept_event), same);
		assert_int_equal(event_equal(type, kept_event, event), same);
		assert_int_equal(event_content_hash(type, event, hash_key) ==
		                         event_content_hash(type, kept_event, hash_key),
		                 same);
	}
	arena_fini(&kept);
	buf_fini(&before);
	kept_type = type;
	kept_event = arena_alloc(&kept, type->size);
	assert_int_equal(decode(type, &out, &kept, kept_event, &err), OK);
	before = out;
	(void)arena;
}

static void events_are_equal_where_their_bytes_are(void **state)
{
	(void)state;
	with_random_events(check_equality);
}

static void encoding_refuses_what_the_schema_cannot_hold(void **state)
{
	(void)state;
	struct order_placed order = an_order();
	struct order_line line = lines[0];
	struct order_rejected rejected = {.order_id = "o", .currency = "GBP", .reason = (enum reject_reason)3};
	struct buf out = {0};
	struct err err = {0};
	buf_put(&out, "before", 6);

	order.order_id = NULL;
	assert_int_equal(order_placed_encode(&order, &out, &err), REJECT);
	assert_true(err_is(&err, "null"));
	assert_string_equal(err.text, "OrderPlaced: OrderPlaced.order_id: found NULL where a value is needed");
	order.order_id = "caf\xe9";
	assert_int_equal(order_placed_encode(&order, &out, &err), REJECT);
	assert_true(err_is(&err, "invalid_utf8"));
	order = an_order();
	order.lines.items = NULL;
	assert_int_equal(order_placed_encode(&order, &out, &err), REJECT);
	assert_true(err_is(&err, "null"));
	order.lines.items = &line;
	order.lines.count = 1;
	line.sku = NULL;
	assert_int_equal(order_placed_encode(&order, &out, &err), REJECT);
	assert_string_equal(err.text,
	                    "OrderPlaced: OrderPlaced.lines: [0]: OrderLine.sku: found NULL where a value is needed");
	line = lines[0];
	line.currency = "\xff";
	assert_int_equal(order_placed_encode(&order, &out, &err), REJECT);
	assert_true(err_is(&err, "invalid_utf8"));
	assert_int_equal(order_rejected_encode(&rejected, &out, &err), REJECT);
	assert_true(err_is(&err, "enum_range"));
	assert_string_equal(err.text, "OrderRejected: OrderRejected.reason: found 3, but its enum has 0 to 2");

	assert_int_equal(out.len, 6);
	assert_memory_equal(out.data, "before", 6);
	buf_fini(&out);
}

static void check_every_cut(const struct event_type *type, const void *event, struct arena *arena)
{
	struct buf out = {0};
	struct err err = {0};
	void *back = arena_alloc(arena, type->size);
	assert_int_equal(event_encode(type, event, &out, &err), OK);
	size_t body = out.len - EVENT_HEADER_BYTES, step = body / 40 + 1;
	for (size_t len = 0; len < body; len += step) {
		struct arena scratch = {0};
		uint8_t *exact = mem_alloc(len); /* so that a checker sees a read behind it */
		memcpy(exact, out.data + EVENT_HEADER_BYTES, len);
		assert_int_equal(event_decode(type, type->fingerprint, exact, len, &scratch, back, &err), REJECT);
		assert_true(err_is(&err, "malformed"));
		mem_free(exact);
		arena_fini(&scratch);
	}
	buf_put_u8(&out, 0);
	assert_int_equal(decode(type, &out, arena, back, &err), REJECT);
	assert_non_null(strstr(err.text, "more bytes than its schema has"));
	buf_fini(&out);
}

static void a_body_that_is_cut_or_goes_on_is_refused(void **state)
{
	(void)state;
	with_random_events(check_every_cut);
}

static void decoding_says_what_is_wrong_in_which_field_and_where(void **state)
{
	(void)state;
	static const struct {
		const struct event_type *type;
		const char *body;
		size_t len;
		const char *text;
	} table[] = {
#define CASE(type, body, text) {&(type), (body), sizeof(body) - 1, (text)}
		CASE(commit_stock_type,
	             "\x06"
	             "a\0b",
	             "CommitStock.order_id: NUL within a string (byte 1 of 4)"),
		CASE(commit_stock_type, "\x02\xff", "CommitStock.order_id: string that is not UTF-8 (byte 1 of 2)"),
		CASE(commit_stock_type, "\x01", "CommitStock.order_id: negative length (byte 0 of 1)"),
		CASE(commit_stock_type,
	             "\x08"
	             "abc",
	             "CommitStock.order_id: length beyond what is left (byte 0 of 4)"),
		CASE(commit_stock_type, "", "CommitStock.order_id: ends within a number (byte 0 of 0)"),
		CASE(logic_version_type, "\x80\x80\x80\x80\x10", "LogicVersion.logic_version: integer beyond 32 bits"),
		CASE(logic_version_type, "\x82\x00", "LogicVersion.logic_version: integer longer than it needs to be"),
		CASE(reserve_stock_type, "\x02o\xfe\xff\xff\xff\x0f",
	             "ReserveStock.lines: more items than the bytes left "
	             "can hold (byte 2 of 7)"),
		CASE(reserve_stock_type, "\x02o\x02\x02s\x02\x05", "ReserveStock.lines: ends within a number"),
		CASE(reserve_stock_type, "\x02o\x01\x0a\x02s\x02\x00",
	             "ReserveStock.lines: length beyond what is left"),
		CASE(reserve_stock_type, "\x02o\x01\x08\x02s\x02\x00\x00",
	             "ReserveStock.lines: block that is not as long "
	             "as it says"),
		CASE(reserve_stock_type, "\x02o\x01\x01\x02s\x02\x00", "ReserveStock.lines: negative length"),
		CASE(order_cancel_requested_type, "\x02o\x00\x04",
	             "OrderCancelRequested.reason: index of an enum or a union "
	             "out of range (byte 3 of 4)"),
		CASE(order_cancelled_type,
	             "\x02o\x02"
	             "G\x00\x08",
	             "OrderCancelled.was: index of an enum or a union out of "
	             "range"),
		CASE(stock_rejected_type, "\x02o\x00\x00\x02\x02s\x02\x00\x00\x00\x00\x00",
	             "Shortage.known: boolean that is neither 0 nor 1 (byte 7 of 13)"),
#undef CASE
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct arena arena = {0};
		struct err err = {0};
		void *event = arena_alloc(&arena, table[i].type->size);
		assert_int_equal(event_decode(table[i].type, table[i].type->fingerprint, (const uint8_t *)table[i].body,
		                              table[i].len, &arena, event, &err),
		                 REJECT);
		assert_true(err_is(&err, "malformed"));
		if (strncmp(err.text, table[i].text, strlen(table[i].text)) != 0)
			assert_string_equal(err.text, table[i].text);
		arena_fini(&arena);
	}
}

static void an_array_may_come_in_blocks_with_and_without_their_size(void **state)
{
	(void)state;
	static const char body[] = "\x02o"
				   "\x02"
				   "\x02"
				   "a"
				   "\x02" /* one line */
				   "\x03\x0c"
				   "\x02"
				   "b"
				   "\x04"
				   "\x02"
				   "c"
				   "\x06" /* two lines in six bytes */
				   "\x02"
				   "\x02"
				   "d"
				   "\x08"
				   "\x00";
	struct arena arena = {0};
	struct err err = {0};
	struct reserve_stock event;
	assert_int_equal(reserve_stock_decode(reserve_stock_type.fingerprint, (const uint8_t *)body, sizeof body - 1,
	                                      &arena, &event, &err),
	                 OK);
	assert_int_equal(event.lines.count, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(event.lines.items[i].sku[0], 'a' + i);
		assert_int_equal(event.lines.items[i].quantity, 1 + i);
	}
	arena_fini(&arena);
}

static void a_schema_that_nobody_knows_is_refused(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct err err = {0};
	struct commit_stock event;
	assert_int_equal(commit_stock_decode(1, (const uint8_t *)"\x02o", 2, &arena, &event, &err), REJECT);
	assert_true(err_is(&err, "unknown_schema"));
	assert_int_equal(
		commit_stock_decode(release_stock_type.fingerprint, (const uint8_t *)"\x02o", 2, &arena, &event, &err),
		REJECT);
	assert_true(err_is(&err, "unknown_schema"));
	arena_fini(&arena);
}

static void types_are_found_by_name_and_by_any_writer(void **state)
{
	(void)state;
	assert_true(event_type_count >= 14);
	for (size_t i = 0; i < event_type_count; i++) {
		const struct event_type *type = event_types[i];
		assert_true(i == 0 || strcmp(event_types[i - 1]->name, type->name) < 0);
		assert_ptr_equal(event_type_named(type->name), type);
		assert_true(type->writer_count >= 1 && type->writers[0] == type->fingerprint);
		for (size_t w = 0; w < type->writer_count; w++)
			assert_ptr_equal(event_type_of_writer(type->writers[w]), type);
	}
	assert_null(event_type_named("Nothing"));
	assert_null(event_type_named(""));
	assert_null(event_type_of_writer(0));
	assert_null(event_type_of_writer(UINT64_MAX));
}

static void a_type_says_where_it_comes_from_and_what_keys_it(void **state)
{
	(void)state;
	struct order_placed order = an_order();
	assert_int_equal(order_placed_type.origin, EVENT_PUBLISHER);
	assert_string_equal(order_placed_type.topic, "orders");
	assert_string_equal(order_placed_type.key(&order), "o-1");
	assert_string_equal(order_placed_type.full_name, "tandem.OrderPlaced");
	assert_int_equal(reserve_stock_type.origin, EVENT_WORKER);
	struct reserve_stock reserve = {.order_id = "o-2"};
	assert_string_equal(reserve_stock_type.key(&reserve), "o-2");
	assert_null(genesis_type.key);
	assert_int_equal(genesis_type.origin, EVENT_CONTROL);
	assert_null(genesis_type.topic);
	assert_int_equal(everything_type.origin, EVENT_OTHER);
	assert_string_equal(reject_reason_name(REJECT_REASON_INSUFFICIENT_STOCK), "INSUFFICIENT_STOCK");
	assert_string_equal(suit_name(SUIT_CLUBS), "clubs");
	assert_null(reject_reason_name((enum reject_reason)3));
	assert_null(reject_reason_name((enum reject_reason) - 1));
}

static void json_is_avros(void **state)
{
	(void)state;
	struct order_placed order = an_order();
	json_t *json = event_to_json(&order_placed_type, &order);
	char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(
		text, "{\"order_id\":\"o-1\",\"customer_id\":null,\"currency\":\"GBP\",\"placed_at\":1700000000000,"
		      "\"lines\":[{\"sku\":\"A-1\",\"quantity\":3,\"unit_price_minor\":499,\"currency\":null},"
		      "{\"sku\":\"b\xc3\xa9\",\"quantity\":1,\"unit_price_minor\":9223372036854775807,"
		      "\"currency\":{\"string\":\"GBP\"}}]}");
	free(text);
	json_decref(json);
}

static void json_is_refused_with_the_path_what_was_found_and_what_was_expected(void **state)
{
	(void)state;
	static const struct {
		const struct event_type *type;
		const char *json, *code, *text;
	} table[] = {
		{&commit_stock_type, "[]", "wrong_type", "CommitStock: found an array, expected an object"},
		{&commit_stock_type, "{}", "missing_field",
	         "CommitStock: order_id: missing, and its schema has no default"},
		{&commit_stock_type, "{\"order_id\": 1}", "wrong_type",
	         "CommitStock: order_id: found an integer, expected a string"},
		{&commit_stock_type, "{\"order_id\": \"a\\u0000\"}", "embedded_nul",
	         "CommitStock: order_id: found a string with a NUL in it"},
		{&commit_stock_type, "{\"order_id\": \"a\", \"more\": 1}", "unknown_field",
	         "CommitStock: more: no such field in tandem.CommitStock"},
		{&logic_version_type, "{\"logic_version\": 1.5}", "wrong_type",
	         "LogicVersion: logic_version: found a number with a fraction, expected an integer"},
		{&logic_version_type, "{\"logic_version\": 2147483648}", "out_of_range",
	         "LogicVersion: logic_version: found 2147483648, expected -2147483648 to 2147483647"},
		{&reserve_stock_type, "{\"order_id\": \"o\", \"lines\": {}}", "wrong_type",
	         "ReserveStock: lines: found an object, expected an array"},
		{&reserve_stock_type,
	         "{\"order_id\": \"o\", \"lines\": [{\"sku\": \"s\", \"quantity\": 1}, {\"sku\": \"s\", \"quantity\": "
	         "\"1\"}]}",
	         "wrong_type", "ReserveStock: lines[1].quantity: found a string, expected an integer"},
		{&order_cancel_requested_type, "{\"order_id\": \"o\", \"requested_at\": 1, \"reason\": \"late\"}",
	         "wrong_type", "OrderCancelRequested: reason: found a string, expected null or {\"string\": ...}"},
		{&order_cancelled_type,
	         "{\"order_id\": \"o\", \"currency\": \"GBP\", \"total_minor\": 1, \"was\": \"WHAT\"}", "out_of_range",
	         "OrderCancelled: was: found \"WHAT\", which is no symbol of tandem.CancelledFrom"},
		{&order_cancelled_type, "{\"order_id\": \"o\", \"currency\": \"GBP\", \"total_minor\": 1, \"was\": 0}",
	         "wrong_type", "OrderCancelled: was: found an integer, expected a symbol (a string)"},
		{&genesis_type, "{\"installation\": \"123\"}", "out_of_range",
	         "Genesis: installation: found 3 bytes, expected 16"},
		{&genesis_type, "{\"installation\": \"\\u0100\"}", "out_of_range",
	         "Genesis: installation: found a code point above 255 in bytes"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct arena arena = {0};
		struct err err = {0};
		void *event = arena_alloc(&arena, table[i].type->size);
		json_t *json = json_loads(table[i].json, JSON_ALLOW_NUL, NULL);
		assert_int_equal(event_from_json(table[i].type, json, &arena, event, &err), REJECT);
		assert_string_equal(err.text, table[i].text);
		assert_string_equal(err.code, table[i].code);
		json_decref(json);
		arena_fini(&arena);
	}
}

static void fields_that_json_leaves_out_take_their_defaults(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct err err = {0};
	struct everything event;
	json_t *json =
		json_loads("{\"a_boolean\": true, \"an_int\": 1, \"a_long\": 2, \"a_time\": 3, \"a_string\": \"s\","
	                   " \"some_bytes\": \"\", \"a_fixed\": \"12345\", \"an_enum\": \"SPADES\","
	                   " \"a_record\": {\"x\": 4}, \"maybe_long\": {\"long\": 5}}",
	                   0, NULL);
	assert_int_equal(event_from_json(&everything_type, json, &arena, &event, &err), OK);
	json_decref(json);
	assert_true(event.a_record.y == -7 && !event.a_record.label);
	assert_true(!event.has_maybe_boolean && event.has_maybe_int && event.maybe_int == -5);
	assert_true(event.has_maybe_long && event.maybe_long == 5);
	assert_string_equal(event.maybe_string, "a \"string\"\n\t\\ \xc3\xa9 ?"
	                                        "?/");
	assert_true(!event.maybe_bytes.data && !event.has_maybe_fixed && !event.has_maybe_record &&
	            !event.has_maybe_array);
	assert_true(event.has_maybe_enum && event.maybe_enum == SUIT_CLUBS);
	assert_int_equal(event.booleans.count, 0);
	assert_true(event.ints.count == 4 && event.ints.items[3] == INT32_MIN);
	assert_true(event.longs.count == 2 && event.longs.items[0] == INT64_MAX && event.longs.items[1] == INT64_MIN);
	assert_true(event.strings.count == 2 && !event.maybe_strings.items[0] && event.maybe_strings.count == 2);
	assert_string_equal(event.strings.items[1], "two");
	assert_true(event.some_bytes_more.count == 2 && event.some_bytes_more.items[0].len == 2);
	assert_memory_equal(event.some_bytes_more.items[0].data, "\xff\x01", 2);
	assert_memory_equal(event.fixeds.items[1], "\xff\xfe\xfd\x80\x7f", 5);
	assert_true(event.enums.count == 2 && event.enums.items[0] == SUIT_CLUBS);
	assert_true(event.records.count == 2 && event.records.items[0].y == -7 && event.records.items[1].y == 3);
	assert_true(event.arrays.count == 2 && event.arrays.items[0].count == 1 && event.arrays.items[1].count == 0);
	assert_true(event.with_default_boolean && event.with_default_long == INT64_MIN);
	assert_memory_equal(event.with_default_bytes.data,
	                    "\xff\x80"
	                    "A",
	                    3);
	assert_memory_equal(event.with_default_fixed,
	                    "AB\xff"
	                    "DE",
	                    5);
	assert_true(event.with_default_record.x == 5 && event.with_default_record.y == -7);
	arena_fini(&arena);
}

static void a_field_at_its_default_changes_no_content_hash(void **state)
{
	(void)state;
	struct order_line line = {.sku = "s", .quantity = 1};
	struct order_placed a = {.order_id = "o", .currency = "GBP", .lines = {&line, 1}}, b = a;
	uint64_t hash = event_content_hash(&order_placed_type, &a, hash_key);
	b.customer_id = "c";
	assert_true(event_content_hash(&order_placed_type, &b, hash_key) != hash);
	b.customer_id = NULL;
	assert_true(event_content_hash(&order_placed_type, &b, hash_key) == hash);
	line.currency = "GBP"; /* nested fields count too */
	assert_true(event_content_hash(&order_placed_type, &a, hash_key) != hash);
	line.currency = ""; /* empty is not null */
	assert_true(event_content_hash(&order_placed_type, &a, hash_key) != hash);
	uint8_t other_key[16] = {1};
	assert_true(event_content_hash(&order_placed_type, &a, other_key) !=
	            event_content_hash(&order_placed_type, &a, hash_key));
}

/* What the hash is over, to the byte: names and values in the order of their names. Fields that another version of the
 * schema has at their defaults do not show, nor does the order in which the schema has them. */
static void the_content_hash_is_over_names_and_values_sorted_by_name(void **state)
{
	(void)state;
	struct order_cancel_requested event = {.order_id = "o", .requested_at = -2, .reason = "r"};
	struct buf content = {0};
	event_reflect_content(order_cancel_requested_type.record, &event, &content);
	static const char expected[] = "{"
				       "f\0\0\0\0\0\0\0\x08order_id"
				       "s\0\0\0\0\0\0\0\x01o"
				       "f\0\0\0\0\0\0\0\x06reason"
				       "s\0\0\0\0\0\0\0\x01r"
				       "f\0\0\0\0\0\0\0\x0crequested_at"
				       "i\xff\xff\xff\xff\xff\xff\xff\xfe"
				       "}";
	assert_int_equal(content.len, sizeof expected - 1);
	assert_memory_equal(content.data, expected, content.len);
	buf_fini(&content);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_order_has_the_bytes_that_avro_says),
		cmocka_unit_test(a_value_is_split_only_where_it_has_a_header),
		cmocka_unit_test(every_event_comes_back_from_its_bytes),
		cmocka_unit_test(every_event_comes_back_from_its_json),
		cmocka_unit_test(events_are_equal_where_their_bytes_are),
		cmocka_unit_test(encoding_refuses_what_the_schema_cannot_hold),
		cmocka_unit_test(a_body_that_is_cut_or_goes_on_is_refused),
		cmocka_unit_test(decoding_says_what_is_wrong_in_which_field_and_where),
		cmocka_unit_test(an_array_may_come_in_blocks_with_and_without_their_size),
		cmocka_unit_test(a_schema_that_nobody_knows_is_refused),
		cmocka_unit_test(types_are_found_by_name_and_by_any_writer),
		cmocka_unit_test(a_type_says_where_it_comes_from_and_what_keys_it),
		cmocka_unit_test(json_is_avros),
		cmocka_unit_test(json_is_refused_with_the_path_what_was_found_and_what_was_expected),
		cmocka_unit_test(fields_that_json_leaves_out_take_their_defaults),
		cmocka_unit_test(a_field_at_its_default_changes_no_content_hash),
		cmocka_unit_test(the_content_hash_is_over_names_and_values_sorted_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
