/* The checker itself: histories made by hand, each with one thing wrong, and some that look wrong and are not. */
#include "support/history.h"

#include "bytes.h"
#include "header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define READERS 2

struct made {
	struct history *history;
	struct history_writer *writer;
	struct history_view *views[READERS]; /* of orders/0, from its beginning */
	struct arena arena;
	int64_t end;
};

static struct made made;

static int begin(void **state)
{
	(void)state;
	made = (struct made){.history = history_new()};
	made.writer = history_writer(made.history, "w");
	made.views[0] = history_view(made.history, "r0", "orders", 0, 0);
	made.views[1] = history_view(made.history, "r1", "orders", 0, 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	history_free(made.history);
	arena_fini(&made.arena);
	return 0;
}

static struct log_bytes bytes_of(const char *text)
{
	return (struct log_bytes){text, (int32_t)strlen(text)};
}

/* ---- a writer's records ---- */

static uint64_t sent(const char *key, const char **id)
{
	const struct log_bytes bytes = bytes_of(key);
	return history_sent(made.writer, "orders", 0, &bytes, id);
}

/* Sent and acknowledged at this offset. Returns the id. */
static const char *acknowledged(const char *key, int64_t offset)
{
	const char *id;
	uint64_t sequence = sent(key, &id);
	history_acknowledged(made.writer, sequence, offset);
	return id;
}

static struct log_record record_of(int64_t offset, const char *key, const char *id)
{
	struct log_header *header = arena_alloc(&made.arena, sizeof *header);
	*header = (struct log_header){HISTORY_HEADER, bytes_of(id ? id : "")};
	return (struct log_record){.offset = offset,
	                           .timestamp_ms = 1000 + offset,
	                           .key = bytes_of(key),
	                           .value = bytes_of("value"),
	                           .headers = header,
	                           .header_count = id ? 1 : 0};
}

static void read_by(int reader, int64_t offset, const char *key, const char *id)
{
	const struct log_record record = record_of(offset, key, id);
	history_read(made.views[reader], &record);
}

static void read_by_all(int64_t offset, const char *key, const char *id)
{
	for (int i = 0; i < READERS; i++)
		read_by(i, offset, key, id);
}

static void all_came_to(int64_t offset)
{
	for (int i = 0; i < READERS; i++)
		history_read_all(made.views[i], offset);
}

/* ---- numbered records ---- */

struct numbered {
	int64_t offset;
	uint64_t number, chain;
	const char *key, *cause; /* cause NULL: no ce_id */
};

static void read_numbered_by(int reader, const struct numbered *n)
{
	struct header_list headers;
	struct header_stream stream = {.service = "order", .partition = 3, .number = n->number, .chain = n->chain};
	header_list_init(&headers, &made.arena, 2);
	header_add_stream(&headers, &stream);
	if (n->cause)
		header_add_text(&headers, "ce_id", "%s", n->cause);
	const struct log_record record = {.offset = n->offset,
	                                  .timestamp_ms = 1000 + n->offset,
	                                  .key = bytes_of(n->key),
	                                  .value = {"\xc3\x01"
	                                            "12345678body",
	                                            14},
	                                  .headers = headers.items,
	                                  .header_count = headers.count};
	history_read(made.views[reader], &record);
}

static void read_numbered(const struct numbered *numbered, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (int reader = 0; reader < READERS; reader++)
			read_numbered_by(reader, &numbered[i]);
	all_came_to(count ? numbered[count - 1].offset + 1 : 0);
}

#define READ_NUMBERED(...)                                                                                             \
	do {                                                                                                           \
		const struct numbered numbered_[] = {__VA_ARGS__};                                                     \
		read_numbered(numbered_, sizeof numbered_ / sizeof *numbered_);                                        \
	} while (0)

/* ---- judging ---- */

/* So many of this and nothing else; the first statement has these words. */
static struct history_result expect(enum history_anomaly anomaly, size_t count, const char *words)
{
	struct history_result result;
	history_check(made.history, &result);
	for (int i = 0; i < HISTORY_ANOMALIES; i++)
		if (result.counts[i] != (i == (int)anomaly ? count : 0))
			fail_msg("%zu %s, expected %zu of %s alone: %s", result.counts[i], history_anomaly_name(i),
			         count, history_anomaly_name(anomaly),
			         result.stated ? result.texts[0] : "nothing was stated");
	if (count && !strstr(result.texts[0], words))
		fail_msg("'%s' does not say '%s'", result.texts[0], words);
	return result;
}

static struct history_result expect_none(void)
{
	struct history_result result = expect(HISTORY_LOST, 0, "");
	history_expect_none(&result);
	return result;
}

static void what_was_acknowledged_and_read_by_all_is_right(void **state)
{
	(void)state;
	const char *a = acknowledged("k1", 1), *b = acknowledged("k2", 2), *c = acknowledged("k1", 4);
	read_by_all(0, "", NULL); /* nobody's */
	read_by_all(1, "k1", a);
	read_by_all(2, "k2", b);
	read_by_all(4, "k1", c); /* 3 is a hole: nobody knows a record there */
	all_came_to(5);
	const struct history_result result = expect_none();
	assert_int_equal(result.sent, 3);
	assert_int_equal(result.acknowledged, 3);
	assert_int_equal(result.read, 2 * 4);
	assert_int_equal(result.places, 4);
}

static void what_was_not_acknowledged_may_be_there_or_not(void **state)
{
	(void)state;
	const char *there, *not_there;
	sent("k", &there);
	sent("k", &not_there);
	read_by_all(0, "k", there);
	all_came_to(1);
	expect_none();
}

static void an_empty_history_is_right(void **state)
{
	(void)state;
	expect_none();
}

/* ---- lost ---- */

static void an_acknowledged_record_whose_place_was_passed_is_lost(void **state)
{
	(void)state;
	acknowledged("k", 0);
	const char *b = acknowledged("k", 1);
	read_by_all(1, "k", b);
	all_came_to(2);
	expect(HISTORY_LOST, 1, "lost: w/0 was acknowledged at orders/0 offset 0, where no record is");
}

static void an_acknowledged_tail_that_is_gone_is_lost(void **state)
{
	(void)state;
	const char *a = acknowledged("k", 0);
	acknowledged("k", 1);
	acknowledged("k", 2);
	read_by_all(0, "k", a);
	read_by_all(1, "", NULL); /* what the new leader wrote instead */
	all_came_to(3);
	expect(HISTORY_LOST, 2, "w/1 was acknowledged at orders/0 offset 1, where another record is");
}

static void an_acknowledgement_without_a_place_must_stand_somewhere(void **state)
{
	(void)state;
	const char *a = acknowledged("k", -1);
	acknowledged("k", -1);
	read_by_all(0, "k", a);
	all_came_to(1);
	expect(HISTORY_LOST, 1, "w/1 was acknowledged and stands nowhere");
}

/* ---- duplicated ---- */

static void an_id_at_two_places_is_duplicated(void **state)
{
	(void)state;
	const char *a = acknowledged("k", 0);
	read_by_all(0, "k", a);
	read_by_all(1, "k", a);
	all_came_to(2);
	expect(HISTORY_DUPLICATED, 1, "w/0 stands at orders/0 offset 0 and at orders/0 offset 1");
}

static void an_id_in_two_partitions_is_duplicated(void **state)
{
	(void)state;
	const char *a = acknowledged("k", 0);
	read_by_all(0, "k", a);
	all_came_to(1);
	struct history_view *other = history_view(made.history, "r0", "orders", 1, 0);
	const struct log_record record = record_of(7, "k", a);
	history_read(other, &record);
	expect(HISTORY_DUPLICATED, 1, "w/0 stands at orders/0 offset 0 and at orders/1 offset 7");
}

/* ---- reordered ---- */

static void records_of_a_key_in_another_order_than_sent_are_reordered(void **state)
{
	(void)state;
	const char *first, *second;
	uint64_t a = sent("k", &first), b = sent("k", &second);
	history_acknowledged(made.writer, a, 1);
	history_acknowledged(made.writer, b, 0);
	read_by_all(0, "k", second);
	read_by_all(1, "k", first);
	all_came_to(2);
	expect(HISTORY_REORDERED, 1, "w/0 stands at offset 1, behind 1 of the same key");
}

static void records_of_different_keys_have_no_order(void **state)
{
	(void)state;
	const char *first, *second;
	uint64_t a = sent("k1", &first), b = sent("k2", &second);
	history_acknowledged(made.writer, a, 1);
	history_acknowledged(made.writer, b, 0);
	read_by_all(0, "k2", second);
	read_by_all(1, "k1", first);
	all_came_to(2);
	expect_none();
}

/* The first attempt was not acknowledged and lands late: the acknowledged ones are in order. */
static void a_late_copy_of_an_attempt_that_failed_is_no_disorder(void **state)
{
	(void)state;
	const char *failed;
	sent("k", &failed);
	const char *again = acknowledged("k", 0);
	read_by_all(0, "k", again);
	read_by_all(1, "k", failed);
	all_came_to(2);
	expect_none();
}

static void a_reader_that_goes_back_is_reordered(void **state)
{
	(void)state;
	read_by_all(0, "k", NULL);
	read_by(0, 1, "k", NULL);
	read_by(0, 2, "k", NULL);
	read_by(0, 1, "k", NULL);
	expect(HISTORY_REORDERED, 1, "r0 read orders/0 offset 1 behind 2");
}

/* ---- unseen ---- */

static void a_reader_that_jumped_over_what_another_saw_has_not_seen_it(void **state)
{
	(void)state;
	read_by_all(0, "k", NULL);
	read_by(0, 1, "k", NULL);
	read_by_all(2, "k", NULL);
	all_came_to(3);
	expect(HISTORY_UNSEEN, 1, "r1 went from orders/0 offset 1 to 2, r0 read 1 there");
}

static void a_reader_that_says_it_is_at_the_end_before_it_is_has_not_seen_the_rest(void **state)
{
	(void)state;
	read_by_all(0, "k", NULL);
	read_by(0, 1, "k", NULL);
	all_came_to(2);
	expect(HISTORY_UNSEEN, 1, "r1 went from orders/0 offset 1 to 2, r0 read 1 there");
}

static void a_reader_that_has_not_come_so_far_misses_nothing(void **state)
{
	(void)state;
	read_by_all(0, "k", NULL);
	read_by(0, 1, "k", NULL);
	history_read_all(made.views[0], 2);
	expect_none();
}

static void a_reader_that_was_placed_has_not_jumped_but_must_go_on_from_there(void **state)
{
	(void)state;
	for (int64_t i = 0; i < 6; i++)
		read_by(0, i, "k", NULL);
	read_by(1, 0, "k", NULL);
	history_placed(made.views[1], 4);
	assert_int_equal(history_next(made.views[1]), 4);
	read_by(1, 4, "k", NULL);
	history_placed(made.views[1], 1); /* back */
	read_by(1, 1, "k", NULL);
	read_by(1, 2, "k", NULL);
	expect_none();
	history_placed(made.views[1], 3);
	read_by(1, 5, "k", NULL);
	expect(HISTORY_UNSEEN, 2, "r1 went from orders/0 offset 3 to 5, r0 read 3 there");
}

static void what_was_acknowledged_and_nobody_came_to_is_unseen(void **state)
{
	(void)state;
	const char *a = acknowledged("k", 0), *b;
	acknowledged("k", 1);
	read_by_all(0, "k", a);
	expect(HISTORY_UNSEEN, 1, "w/1, acknowledged at orders/0 offset 1: nobody read so far");
	const struct log_bytes key = bytes_of("k");
	uint64_t elsewhere = history_sent(made.writer, "inventory", 5, &key, &b);
	history_acknowledged(made.writer, elsewhere, 3);
	expect(HISTORY_UNSEEN, 2, "w/1");
}

/* ---- changed, unsent ---- */

static void two_readers_that_saw_different_records_at_a_place_show_a_change(void **state)
{
	(void)state;
	read_by(0, 0, "k", NULL);
	read_by(1, 0, "other", NULL);
	expect(HISTORY_CHANGED, 1, "orders/0 offset 0");
}

static void one_reader_that_comes_back_and_sees_another_record_shows_a_change(void **state)
{
	(void)state;
	read_by(0, 0, "k", NULL);
	history_placed(made.views[0], 0);
	read_by(0, 0, "other", NULL);
	expect(HISTORY_CHANGED, 1, "r0 saw another record than r0");
}

static void a_record_that_nobody_sent_is_unsent(void **state)
{
	(void)state;
	acknowledged("k", 0);
	read_by_all(0, "k", "w/0");
	read_by_all(1, "k", "w/1");
	all_came_to(2);
	expect(HISTORY_UNSENT, 2, "w/1 was never sent"); /* both readers tell */
}

static void an_id_of_a_writer_that_there_is_not_is_unsent(void **state)
{
	(void)state;
	read_by(0, 0, "k", "somebody/0");
	read_by(0, 1, "k", "no id");
	expect(HISTORY_UNSENT, 2, "was never sent");
}

/* ---- streams ---- */

static void a_stream_with_repeats_and_early_ones_that_come_again_is_right(void **state)
{
	(void)state;
	READ_NUMBERED({0, 1, 11, "a", "orders-0-5-0"}, {1, 2, 12, "b", "orders-0-5-1"}, {2, 1, 11, "a", "orders-0-5-0"},
	              {3, 4, 14, "d", "orders-0-7-0"}, /* 3 was lost on the way: too early */
	              {4, 3, 13, "c", "orders-0-6-0"}, {5, 4, 14, "d", "orders-0-7-0"});
	const struct history_result result = expect_none();
	assert_int_equal(result.taken, 2 * 4);
	assert_int_equal(result.repeats, 2 * 2);
}

static void a_stream_whose_number_never_comes_has_lost_it(void **state)
{
	(void)state;
	READ_NUMBERED({0, 1, 11, "a", NULL}, {1, 3, 13, "c", NULL});
	expect(HISTORY_LOST, 2, "number 2 of order/3 is missing");
}

static void a_repeat_that_is_not_the_same_is_a_change(void **state)
{
	(void)state;
	READ_NUMBERED({0, 1, 11, "a", NULL}, {1, 1, 99, "a", NULL});
	expect(HISTORY_CHANGED, 2, "number 1 of order/3 is there with two contents");
}

static void an_early_one_that_comes_again_as_another_is_a_change(void **state)
{
	(void)state;
	READ_NUMBERED({0, 2, 12, "b", NULL}, {1, 1, 11, "a", NULL}, {2, 2, 12, "other", NULL});
	expect(HISTORY_CHANGED, 2, "number 2 of order/3 is there with two contents");
}

static void an_event_under_two_numbers_is_duplicated(void **state)
{
	(void)state;
	READ_NUMBERED({0, 1, 11, "a", NULL}, {1, 2, 12, "b", NULL}, {2, 3, 13, "a", NULL});
	expect(HISTORY_DUPLICATED, 2, "the same event twice");
}

static void two_events_of_one_cause_and_index_are_duplicated(void **state)
{
	(void)state;
	READ_NUMBERED({0, 1, 11, "a", "orders-0-5-0"}, {1, 2, 12, "b", "orders-0-5-0"});
	expect(HISTORY_DUPLICATED, 2, "number 2 of order/3 has the cause of the one before it");
}

static void a_stream_that_goes_back_in_its_causes_is_reordered(void **state)
{
	(void)state;
	READ_NUMBERED({0, 1, 11, "a", "orders-0-5-1"}, {1, 2, 12, "b", "orders-0-5-0"}, {2, 3, 13, "c", "orders-0-4-0"},
	              {3, 4, 14, "d", "orders-0-10-0"});
	expect(HISTORY_REORDERED, 4, "number 2 of order/3 was caused before the one before it");
}

static void dead_letters_may_say_the_same_twice(void **state)
{
	(void)state;
	made.views[0] = history_view(made.history, "r0", "orders.dlq", 0, 0);
	made.views[1] = history_view(made.history, "r1", "orders.dlq", 0, 0);
	READ_NUMBERED({0, 1, 11, "a", NULL}, {1, 2, 12, "a", NULL});
	expect_none();
}

static void who_came_later_says_nothing_of_streams(void **state)
{
	(void)state;
	made.views[0] = history_view(made.history, "r2", "orders", 0, 7);
	made.views[1] = history_view(made.history, "r3", "orders", 0, 7);
	READ_NUMBERED({7, 5, 15, "a", NULL}, {8, 9, 19, "b", NULL});
	const struct history_result result = expect_none();
	assert_int_equal(result.taken, 0);
}

#define HISTORY(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HISTORY(what_was_acknowledged_and_read_by_all_is_right),
		HISTORY(what_was_not_acknowledged_may_be_there_or_not),
		HISTORY(an_empty_history_is_right),
		HISTORY(an_acknowledged_record_whose_place_was_passed_is_lost),
		HISTORY(an_acknowledged_tail_that_is_gone_is_lost),
		HISTORY(an_acknowledgement_without_a_place_must_stand_somewhere),
		HISTORY(an_id_at_two_places_is_duplicated),
		HISTORY(an_id_in_two_partitions_is_duplicated),
		HISTORY(records_of_a_key_in_another_order_than_sent_are_reordered),
		HISTORY(records_of_different_keys_have_no_order),
		HISTORY(a_late_copy_of_an_attempt_that_failed_is_no_disorder),
		HISTORY(a_reader_that_goes_back_is_reordered),
		HISTORY(a_reader_that_jumped_over_what_another_saw_has_not_seen_it),
		HISTORY(a_reader_that_says_it_is_at_the_end_before_it_is_has_not_seen_the_rest),
		HISTORY(a_reader_that_has_not_come_so_far_misses_nothing),
		HISTORY(a_reader_that_was_placed_has_not_jumped_but_must_go_on_from_there),
		HISTORY(what_was_acknowledged_and_nobody_came_to_is_unseen),
		HISTORY(two_readers_that_saw_different_records_at_a_place_show_a_change),
		HISTORY(one_reader_that_comes_back_and_sees_another_record_shows_a_change),
		HISTORY(a_record_that_nobody_sent_is_unsent),
		HISTORY(an_id_of_a_writer_that_there_is_not_is_unsent),
		HISTORY(a_stream_with_repeats_and_early_ones_that_come_again_is_right),
		HISTORY(a_stream_whose_number_never_comes_has_lost_it),
		HISTORY(a_repeat_that_is_not_the_same_is_a_change),
		HISTORY(an_early_one_that_comes_again_as_another_is_a_change),
		HISTORY(an_event_under_two_numbers_is_duplicated),
		HISTORY(two_events_of_one_cause_and_index_are_duplicated),
		HISTORY(a_stream_that_goes_back_in_its_causes_is_reordered),
		HISTORY(dead_letters_may_say_the_same_twice),
		HISTORY(who_came_later_says_nothing_of_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
