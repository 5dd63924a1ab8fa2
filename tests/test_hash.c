/* The protocol's hashes against vectors that were computed without any code of ours: tests/hash_vectors.py. */
#include "hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[HASH_KEY_BYTES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

#define START  0x95f826df07b95149u
#define FIRST  0x91cf759edfcafb7au
#define SECOND 0xbd52e2edb9abb65fu
#define LONG   0x0327d242fc351014u
#define RECORD 0x0704635dbb98a464u

static void it_is_siphash_2_4(void **state)
{
	(void)state;
	uint8_t bytes[15];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)i;
	assert_true(hash_bytes(key, bytes, sizeof bytes) == 0xa129ca6149be45e5u); /* appendix A of the paper */
}

static void a_stream_begins_with_the_hash_of_who_sends_where(void **state)
{
	(void)state;
	assert_true(hash_chain_start(key, "order", 3, "inventory", 7) == START);
	assert_true(hash_chain_start(key, "order", 3, "inventory", 8) != START);
	assert_true(hash_chain_start(key, "order", 4, "inventory", 7) != START);
	assert_true(hash_chain_start(key, "orde", 3, "rinventory", 7) != START);
}

static void each_number_is_chained_to_the_one_before(void **state)
{
	(void)state;
	static uint8_t body[5000];
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (uint8_t)i;
	const struct log_bytes some = {"A-1", 3}, null = {NULL, -1}, empty = {"", 0};
	assert_true(hash_chain(key, START, 1, 0x0123456789abcdefu, &some,
	                       "\x06"
	                       "A-1",
	                       4) == FIRST);
	assert_true(hash_chain(key, FIRST, 2, 0, &null, NULL, 0) == SECOND);
	assert_true(hash_chain(key, FIRST, 2, 0, &empty, NULL, 0) != SECOND);
	assert_true(hash_chain(key, SECOND, 3, UINT64_MAX, &empty, body, sizeof body) == LONG);
}

static void a_record_is_hashed_with_all_that_was_delivered(void **state)
{
	(void)state;
	const struct log_header headers[] = {{"tandem", {"\x01", 1}}, {"empty", {"", 0}}, {"null", {NULL, -1}}};
	struct log_record record = {.offset = 41,
	                            .timestamp_ms = 1700000000000,
	                            .partition = 5,
	                            .key = {"k", 1},
	                            .value = {NULL, -1},
	                            .headers = headers,
	                            .header_count = 3};
	assert_true(hash_record(key, &record) == RECORD);
	assert_true(hash_running_input(key, 0, RECORD) == 0xc50b82ec47b1e33fu);
	record.header_count = 2;
	assert_true(hash_record(key, &record) != RECORD);
}

static void an_output_is_hashed_by_its_place_in_its_stream(void **state)
{
	(void)state;
	assert_true(hash_running_output(key, 0, "orders.dlq", 2, 9, FIRST) == 0x605e46b01efb375fu);
}

static void a_proof_is_a_hash_of_its_kind_place_and_content(void **state)
{
	(void)state;
	const struct log_record event = {.key = {"A-1", 3}, .value = {"value", 5}};
	const struct log_record null = {.key = {NULL, -1}, .value = {NULL, -1}};
	const struct log_record control = {.key = {NULL, -1}, .value = {"value", 5}};
	const struct log_header headers[] = {
		{"empty", {"", 0}}, {"tandem", {"whatever it says", 16}}, {"null", {NULL, -1}}};
	const struct log_record with_headers = {
		.key = {"A-1", 3}, .value = {"value", 5}, .headers = headers, .header_count = 3};
	assert_true(hash_proof_event(key, START, 1, FIRST, &event, "tandem") == 0x836b4aa7fc317a89u);
	assert_true(hash_proof_event(key, START, 1, FIRST, &with_headers, "tandem") == 0xca6e01d1ccd3611eu);
	assert_true(hash_proof_event(key, START, 2, SECOND, &null, "tandem") == 0x707433aa2a014294u);
	assert_true(hash_proof_control(key, "orders", 3, &control, "tandem-proof") == 0xe37a6bd2ef8d716fu);
	assert_true(hash_proof_mark(key, "order", 3, "tandem1 1") == 0x9e53399304ddfc84u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_siphash_2_4),
		cmocka_unit_test(a_stream_begins_with_the_hash_of_who_sends_where),
		cmocka_unit_test(each_number_is_chained_to_the_one_before),
		cmocka_unit_test(a_record_is_hashed_with_all_that_was_delivered),
		cmocka_unit_test(an_output_is_hashed_by_its_place_in_its_stream),
		cmocka_unit_test(a_proof_is_a_hash_of_its_kind_place_and_content),
	};
	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
