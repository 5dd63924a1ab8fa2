/* tandem dlq: which records are letters, what was done about them, and that each is sent back or given up once, whatever
 * happens on the way. The fold's part is in test_letters.c and test_held.c. */
#include "../producers/dlq/letters.h"

#include "command.h"
#include "header.h"
#include "redrive.h"
#include "support/capture.h"
#include "support/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct command dlq_command;

static struct fixture {
	struct flow flow;
	struct flow_worker workers[2];
	struct letters letters;
	struct act_result result;
	struct err err;
	int calls, stop_at, produced;
	enum log_memory_fate fate;
} f;

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){0};
	flow_init(&f.flow, 2, 2);
	flow_start(&f.flow, &f.workers[0], "order", NULL, 0);
	flow_start(&f.flow, &f.workers[1], "inventory", NULL, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	letters_close(&f.letters);
	for (int i = 0; i < 2; i++)
		flow_close(&f.workers[i]);
	flow_fini(&f.flow);
	return 0;
}

static void fold(void)
{
	flow_rest(&f.flow, f.workers, 2);
}

/* ---- letters ---- */

static const char *id_of(const char *prefix, int n, int32_t partition)
{
	for (int i = 0;; i++) {
		char *id = arena_format(&f.flow.arena, "%s-%d-%d", prefix, n, i);
		if (log_partition_of(id, strlen(id), 2) == partition)
			return id;
	}
}

/* An order of another currency under an id that was taken: a conflict. */
static void conflict(const char *order_id)
{
	struct order_line line = {.sku = "SKU", .quantity = 1, .unit_price_minor = 7};
	const struct order_placed event = {
		.order_id = order_id, .currency = "EUR", .placed_at = 1, .lines = {&line, 1}};
	flow_publish(&f.flow, &order_placed_type, &event);
}

/* An order in the partition that is not its own. */
static void misplace(const char *order_id)
{
	struct order_line line = {.sku = "SKU", .quantity = 1, .unit_price_minor = 7};
	const struct order_placed event = {
		.order_id = order_id, .currency = "GBP", .placed_at = 1, .lines = {&line, 1}};
	struct buf value = {0};
	assert_int_equal(event_encode(&order_placed_type, &event, &value, &f.err), OK);
	const struct log_header header = {"note", {"mine", 4}};
	const struct log_record record = {.partition = 1 - log_partition_of(order_id, strlen(order_id), 2),
	                                  .key = {order_id, (int32_t)strlen(order_id)},
	                                  .value = {value.data, (int32_t)value.len},
	                                  .headers = &header,
	                                  .header_count = 1};
	flow_write(&f.flow, "orders", &record);
	buf_fini(&value);
}

static void misplace_many(int count)
{
	for (int n = 0; n < count; n++)
		misplace(id_of("M", n, n % 2));
	fold();
}

static bool stop_later(void)
{
	return f.stop_at && ++f.calls >= f.stop_at;
}

/* Reads all there is to know; every open letter is chosen. Returns how many are. */
static int64_t look(struct letters *letters)
{
	int64_t chosen = 0;
	letters_close(letters);
	assert_int_equal(letters_open(f.flow.log, "orders", stop_later, letters, &f.err), OK);
	assert_int_equal(done_read(letters, &f.err), OK);
	for (size_t i = 0; i < letters->count; i++) {
		letters->items[i].chosen = letters->items[i].state == LETTER_OPEN;
		chosen += letters->items[i].chosen;
	}
	return chosen;
}

static enum status act(const struct letters *letters, bool discard)
{
	const struct act_config config = {
		.discard = discard, .why = "test", .patience_ms = 60000, .seam = &f.flow.seam};
	f.result = (struct act_result){0};
	return act_run(letters, &config, &f.result, &f.err);
}

static int64_t count_state(enum letter_state state)
{
	int64_t count = 0;
	for (size_t i = 0; i < f.letters.count; i++)
		count += f.letters.items[i].state == state;
	return count;
}

static int64_t orders(void)
{
	return flow_sum(&f.flow, "order", "SELECT count(*) FROM orders");
}

static int64_t of_meta(const char *column)
{
	return flow_sum(&f.flow, "order", arena_format(&f.flow.arena, "SELECT %s FROM meta", column));
}

/* ---- what is a letter, and what was done ---- */

static void letters_are_known_with_their_reason_and_their_place(void **state)
{
	(void)state;
	const char *id = id_of("A", 1, 0), *other = id_of("A", 2, 1);
	flow_order_one(&f.flow, id, "SKU", 1);
	conflict(id);
	misplace(other);
	fold();
	assert_int_equal(look(&f.letters), 2);
	const struct letter *first = &f.letters.items[0], *second = &f.letters.items[1];
	assert_string_equal(first->reason, "conflict");
	assert_int_equal(first->partition, 0);
	assert_int_equal(first->number, 1);
	assert_int_equal(first->original_offset, 2);
	assert_int_equal(first->target, 0);
	assert_memory_equal(first->key.data, id, strlen(id));
	assert_string_equal(second->reason, "wrong_partition");
	assert_int_equal(second->partition, 0);
	assert_int_equal(second->number, 2);
	assert_int_equal(second->target, 1); /* where its key belongs */
}

static void what_was_done_stands_in_the_topic(void **state)
{
	(void)state;
	misplace_many(3);
	assert_int_equal(look(&f.letters), 3);
	f.letters.items[1].chosen = f.letters.items[2].chosen = false;
	assert_int_equal(act(&f.letters, false), OK);
	assert_int_equal(f.result.sent, 1);
	assert_int_equal(look(&f.letters), 2);
	assert_int_equal(f.letters.items[0].state, LETTER_REDRIVEN);
	f.letters.items[2].chosen = false;
	assert_int_equal(act(&f.letters, true), OK);
	assert_int_equal(look(&f.letters), 1);
	assert_int_equal(f.letters.items[1].state, LETTER_DISCARDED);
	fold();
	assert_int_equal(orders(), 1);
	assert_int_equal(of_meta("repeats"), 0);
	flow_verify(&f.flow);
}

static void a_redriven_record_is_the_publishers_again(void **state)
{
	(void)state;
	const char *id = id_of("A", 1, 1);
	misplace(id);
	fold();
	look(&f.letters);
	assert_int_equal(act(&f.letters, false), OK);
	struct log_record record;
	struct redrive redrive;
	bool found;
	assert_int_equal(log_read_at(f.flow.log, "orders", 1, 1, &f.flow.arena, &record, &found, &f.err), OK);
	assert_true(found);
	assert_int_equal(record.header_count, 2);
	assert_string_equal(record.headers[0].name, "note");
	assert_int_equal(redrive_parse(&record, &redrive), HEADER_VALID);
	assert_string_equal(redrive.topic, "orders.dlq");
	assert_int_equal(redrive.partition, 0);
	assert_int_equal(redrive.number, 1);
	assert_int_equal(redrive.offset, 1);
	fold();
	assert_int_equal(orders(), 1);
}

static void one_that_is_rejected_again_is_a_letter_of_its_own(void **state)
{
	(void)state;
	const char *id = id_of("A", 1, 0);
	flow_order_one(&f.flow, id, "SKU", 1);
	conflict(id);
	fold();
	for (uint64_t round = 1; round <= 3; round++) {
		assert_int_equal(look(&f.letters), 1);
		assert_int_equal(f.letters.count, round);
		assert_int_equal(f.letters.items[round - 1].again_of, round - 1);
		assert_int_equal(act(&f.letters, false), OK);
		fold();
	}
	assert_int_equal(look(&f.letters), 1);
	assert_int_equal(act(&f.letters, true), OK);
	fold();
	assert_int_equal(look(&f.letters), 0);
	assert_int_equal(of_meta("rejected"), 4);
	flow_verify(&f.flow);
}

static void a_letter_that_was_sent_twice_is_one(void **state)
{
	(void)state;
	struct log_record record;
	bool found;
	misplace_many(2);
	assert_int_equal(log_read_at(f.flow.log, "orders.dlq", 1, 1, &f.flow.arena, &record, &found, &f.err), OK);
	assert_true(found);
	flow_write(&f.flow, "orders.dlq", &record);
	flow_write(&f.flow, "orders.dlq", &record);
	assert_int_equal(look(&f.letters), 2);
	assert_int_equal(f.letters.of[1].repeats, 2);
	assert_int_equal(f.letters.of[1].foreign, 0);
}

static void what_others_write_there_is_left_alone(void **state)
{
	(void)state;
	struct log_record record, wrong;
	bool found;
	misplace_many(2);
	assert_int_equal(log_read_at(f.flow.log, "orders.dlq", 1, 1, &f.flow.arena, &record, &found, &f.err), OK);
	assert_true(found);
	struct log_header *headers = arena_alloc(&f.flow.arena, record.header_count * sizeof *headers);
	/* no headers at all; bytes of every kind */
	wrong = (struct log_record){.partition = 1, .key = {NULL, -1}, .value = {NULL, -1}};
	flow_write(&f.flow, "orders.dlq", &wrong);
	wrong.value = (struct log_bytes){"\xc3\x01\xff\x00\xfe", 5};
	flow_write(&f.flow, "orders.dlq", &wrong);
	/* the next number, forged: other bytes than its chain says */
	wrong = record;
	memcpy(headers, record.headers, record.header_count * sizeof *headers);
	wrong.headers = headers;
	for (size_t i = 0; i < record.header_count; i++) {
		if (strcmp(headers[i].name, HEADER_STREAM) != 0)
			continue;
		char *bytes = arena_copy(&f.flow.arena, headers[i].value.data, (size_t)headers[i].value.len);
		bytes[12]++; /* its number */
		headers[i].value.data = bytes;
		flow_write(&f.flow, "orders.dlq", &wrong);
		bytes[12] = (char)(bytes[12] + 5);
		flow_write(&f.flow, "orders.dlq", &wrong);
		headers[i].value.len = 9; /* cut */
		flow_write(&f.flow, "orders.dlq", &wrong);
	}
	assert_int_equal(look(&f.letters), 2);
	assert_int_equal(f.letters.of[1].foreign, 5);
	assert_int_equal(f.letters.of[1].foreign_offset, 2);
	assert_int_equal(act(&f.letters, false), OK);
	fold();
	assert_int_equal(orders(), 2);
}

/* Headers of a letter that make no sense: it is shown and sent back all the same. */
static void headers_that_make_no_sense_are_lived_with(void **state)
{
	(void)state;
	struct log_record record;
	bool found;
	misplace_many(1);
	assert_int_equal(log_read_at(f.flow.log, "orders.dlq", 1, 1, &f.flow.arena, &record, &found, &f.err), OK);
	assert_true(found);
	struct log_header *headers = arena_alloc(&f.flow.arena, record.header_count * sizeof *headers);
	memcpy(headers, record.headers, record.header_count * sizeof *headers);
	for (size_t i = 0; i < record.header_count; i++)
		if (strncmp(headers[i].name, "kafka_dlt-", 10) == 0)
			headers[i].value = i % 2 ? (struct log_bytes){"\xff\xfe\x00", 3} : (struct log_bytes){NULL, -1};
	record.headers = headers;
	log_memory_truncate(f.flow.memory, "orders.dlq", 1, 1);
	flow_write(&f.flow, "orders.dlq", &record);
	assert_int_equal(look(&f.letters), 1);
	assert_int_equal(f.letters.items[0].original_offset, -1);
	assert_int_equal(f.letters.items[0].target, 1);
	assert_int_equal(act(&f.letters, false), OK);
	fold();
	assert_int_equal(look(&f.letters), 1); /* the wrong partition again */
	assert_int_equal(count_state(LETTER_REDRIVEN), 1);
}

static void a_redrive_that_was_refused_has_done_nothing(void **state)
{
	(void)state;
	const char *id = id_of("A", 1, 0);
	flow_order_one(&f.flow, id, "SKU", 1);
	fold();
	/* forged, before there is such a letter: refused as letter 1; then letter 2 comes */
	struct log_record record;
	bool found;
	assert_int_equal(log_read_at(f.flow.log, "orders", 0, 1, &f.flow.arena, &record, &found, &f.err), OK);
	assert_true(found);
	const struct redrive forged = {.topic = "orders.dlq", .partition = 0, .number = 2, .offset = 2};
	struct header_list list;
	header_list_init(&list, &f.flow.arena, 1);
	redrive_add(&list, &forged);
	record.headers = list.items;
	record.header_count = 1;
	flow_write(&f.flow, "orders", &record);
	conflict(id);
	fold();
	assert_int_equal(look(&f.letters), 2);
	assert_string_equal(f.letters.items[0].reason, "unknown_letter");
	assert_string_equal(f.letters.items[1].reason, "conflict");
	flow_verify(&f.flow);
}

/* ---- once ---- */

static void two_who_do_it_at_the_same_time_do_it_once(void **state)
{
	(void)state;
	struct letters other = {0};
	misplace_many(20);
	assert_int_equal(look(&f.letters), 20);
	assert_int_equal(look(&other), 20);
	assert_int_equal(act(&f.letters, false), OK);
	assert_int_equal(act(&other, false), OK);
	fold();
	assert_int_equal(orders(), 20);
	assert_int_equal(of_meta("repeats"), 20);
	assert_int_equal(look(&other), 0);
	letters_close(&other);
	flow_verify(&f.flow);
}

static void one_redrives_and_another_discards_and_the_first_counts(void **state)
{
	(void)state;
	struct letters other = {0};
	misplace_many(6);
	look(&f.letters);
	look(&other);
	f.letters.items[0].chosen = f.letters.items[1].chosen = false;
	assert_int_equal(act(&f.letters, true), OK); /* gives up four */
	assert_int_equal(act(&other, false), OK);    /* comes late for those */
	fold();
	assert_int_equal(look(&f.letters), 0);
	assert_int_equal(count_state(LETTER_DISCARDED), 4);
	assert_int_equal(count_state(LETTER_REDRIVEN), 2);
	assert_int_equal(orders(), 2);
	letters_close(&other);
	flow_verify(&f.flow);
}

static enum log_memory_fate fail_some(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)topic;
	(void)record;
	(void)delay_us;
	return ++f.produced % 4 == 2 ? f.fate : LOG_MEMORY_WRITE;
}

static void let_time_pass(void *arg, int timeout_ms)
{
	(void)arg;
	f.flow.now_us += timeout_ms * 1000;
}

static void writes_that_are_lost_doubled_or_unknown_are_taken_once(void **state)
{
	(void)state;
	static const enum log_memory_fate fates[] = {LOG_MEMORY_LOSE, LOG_MEMORY_UNKNOWN, LOG_MEMORY_DOUBLE,
	                                             LOG_MEMORY_FULL, LOG_MEMORY_BROKEN};
	for (size_t i = 0; i < sizeof fates / sizeof *fates; i++) {
		for (int n = 0; n < 9; n++)
			misplace(id_of(arena_format(&f.flow.arena, "F%zu", i), n, n % 2));
		fold();
		const struct log_memory_faults faults = {.produce = fail_some, .wait = let_time_pass};
		f.fate = fates[i];
		log_memory_set_faults(f.flow.memory, &faults);
		for (int tries = 0; look(&f.letters) && tries < 100; tries++)
			act(&f.letters, false); /* a broken one is begun again */
		log_memory_set_faults(f.flow.memory, NULL);
		fold();
		assert_int_equal(look(&f.letters), 0);
		assert_int_equal(orders(), 9 * (i + 1));
	}
	flow_verify(&f.flow);
}

/* Stopped after any number of looks at the flag; then the same command again. */
static void an_interruption_anywhere_is_made_good_by_running_it_again(void **state)
{
	(void)state;
	bool ended = false;
	int64_t count = 0;
	for (int stop_at = 1; !ended && stop_at < 200; stop_at++) {
		for (int n = 0; n < 3; n++)
			misplace(id_of(arena_format(&f.flow.arena, "I%d", stop_at), n, n % 2));
		count += 3;
		fold();
		f.stop_at = 0;
		look(&f.letters);
		f.calls = 0;
		f.stop_at = stop_at;
		enum status status = act(&f.letters, false);
		f.stop_at = 0;
		ended = status == OK;
		assert_true(ended || err_is(&f.err, "interrupted"));
		look(&f.letters);
		assert_int_equal(act(&f.letters, false), OK);
		fold();
		assert_int_equal(look(&f.letters), 0);
		assert_int_equal(orders(), count);
	}
	assert_true(ended);
	flow_verify(&f.flow);
}

/* ---- wrong usage ---- */

static void wrong_usage_is_said(void **state)
{
	(void)state;
	static const struct capture_case table[] = {
		{{NULL}, 2, "found 0 operands, expected one of list, show, redrive, discard"},
		{{"-t", "orders", NULL}, 2, "found 0 operands"},
		{{"list", NULL}, 2, "found no topic, expected -t TOPIC"},
		{{"-t", "orders", "drop", NULL}, 2, "found 'drop', expected one of list, show, redrive, discard"},
		{{"-t", "orders", "--offset", "7-3", "list", NULL}, 2, "--offset: found '7-3'"},
		{{"-t", "orders", "--offset", "-1", "list", NULL}, 2, "--offset: found '-1'"},
		{{"-t", "orders", "--since", "yesterday", "list", NULL}, 2, "--since: found 'yesterday'"},
		{{"-t", "orders", "--until", "", "list", NULL}, 2, "--until: found ''"},
		{{"-t", "orders", "--state", "done", "list", NULL}, 2, "done"},
	};
	capture_commands(&dlq_command, table, sizeof table / sizeof *table);
}

static void a_topic_that_nobody_reads_is_refused(void **state)
{
	(void)state;
	struct letters letters;
	static const char *const names[] = {"order", "orders.dlq.dlq", ".dlq", "plain"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		assert_int_equal(letters_open(f.flow.log, names[i], NULL, &letters, &f.err), REJECT);
		assert_true(err_is(&f.err, "usage"));
		letters_close(&letters);
	}
	assert_int_equal(letters_open(f.flow.log, "orders.dlq", NULL, &letters, &f.err), OK);
	assert_string_equal(letters.topic, "orders");
	letters_close(&letters);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(letters_are_known_with_their_reason_and_their_place),
		TEST(what_was_done_stands_in_the_topic),
		TEST(a_redriven_record_is_the_publishers_again),
		TEST(one_that_is_rejected_again_is_a_letter_of_its_own),
		TEST(a_letter_that_was_sent_twice_is_one),
		TEST(what_others_write_there_is_left_alone),
		TEST(headers_that_make_no_sense_are_lived_with),
		TEST(a_redrive_that_was_refused_has_done_nothing),
		TEST(two_who_do_it_at_the_same_time_do_it_once),
		TEST(one_redrives_and_another_discards_and_the_first_counts),
		TEST(writes_that_are_lost_doubled_or_unknown_are_taken_once),
		TEST(an_interruption_anywhere_is_made_good_by_running_it_again),
		cmocka_unit_test(wrong_usage_is_said),
		TEST(a_topic_that_nobody_reads_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
