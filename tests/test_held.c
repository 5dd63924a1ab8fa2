/* A service that holds: what comes behind a dead letter waits for it, key by key, and goes on in its order. Every test folds its
 * records twice (see support/records.h). */
#include "support/gated.h"

#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct records r;

static int setup(void **state)
{
	(void)state;
	records_begin_service(&r, &gated_holds, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	records_drop(&r); /* of a test that has failed */
	return 0;
}

static struct log_record order(int key, const char *currency, int64_t what)
{
	return gated_order(&r, gated_key(&r, key), currency, what);
}

static enum task_verdict place(int key, const char *currency, int64_t what)
{
	struct log_record record = order(key, currency, what);
	return records_fold(&r, &record);
}

static enum task_verdict cancel(int key, int64_t what)
{
	struct log_record record = gated_cancel(&r, gated_key(&r, key), what);
	return records_fold(&r, &record);
}

static enum task_verdict redrive(int key, const char *currency, int64_t what, uint64_t number)
{
	struct log_record record = order(key, currency, what), again = gated_redrive(&r, &record, 0, number);
	return records_fold(&r, &again);
}

static enum task_verdict discard(int64_t number)
{
	struct log_record record = gated_discard(&r, 0, number);
	return records_fold(&r, &record);
}

static void taken(const char *expected)
{
	assert_string_equal(gated_taken(&r), expected);
}

static void gives(const char *expected)
{
	assert_string_equal(gated_outputs(&r), expected);
}

static void nothing_is_held(void)
{
	assert_int_equal(records_number(&r, "SELECT count(*) FROM held_key"), 0);
	assert_int_equal(records_number(&r, "SELECT count(*) FROM held"), 0);
	assert_int_equal(records_number(&r, "SELECT count(*) FROM letter WHERE state = 'open'"), 0);
	assert_int_equal(task_count(r.task, TASK_HELD), 0);
}

/* ---- order ---- */

static void later_events_of_the_key_wait_and_others_do_not(void **state)
{
	(void)state;
	assert_int_equal(place(1, "EUR", 1), TASK_REJECTED);
	assert_int_equal(place(1, "GBP", 2), TASK_HELD);
	assert_int_equal(cancel(1, 3), TASK_HELD);
	gives("");
	assert_int_equal(place(2, "GBP", 4), TASK_APPLIED);
	taken("4");
	assert_int_equal(task_count(r.task, TASK_HELD), 2);
	records_end(&r);
}

static void a_redrive_lets_them_go_on_in_their_order(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	place(1, "GBP", 2);
	cancel(1, 3);
	gated_turn(&r);
	assert_int_equal(redrive(1, "EUR", 1, 1), TASK_APPLIED);
	gives("1 2 -3");
	taken("1 2 -3");
	nothing_is_held();
	assert_int_equal(place(1, "GBP", 4), TASK_APPLIED);
	/* genesis; 1 rejected; 2, 3, the gate, 1 again and 4 applied */
	assert_int_equal(task_count(r.task, TASK_APPLIED), 5);
	assert_int_equal(task_count(r.task, TASK_REJECTED), 1);
	records_end(&r);
}

static void a_discard_lets_them_go_on_without_it(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	place(1, "GBP", 2);
	cancel(1, 3);
	assert_int_equal(discard(1), TASK_CONTROL);
	gives("2 -3");
	nothing_is_held();
	assert_int_equal(redrive(1, "GBP", 1, 1), TASK_REPEAT);
	taken("2 -3");
	records_end(&r);
}

static void one_that_is_rejected_when_its_turn_comes_is_the_next_letter(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	place(1, "GBP", 2);
	place(1, "EUR", 3);
	place(1, "GBP", 4);
	assert_int_equal(discard(1), TASK_CONTROL);
	gives("2 !shut"); /* letter 2, whose offset is the record's own */
	assert_int_equal(records_number(&r, "SELECT offset FROM letter WHERE number = 2"), 3);
	taken("2");
	assert_int_equal(place(1, "GBP", 5), TASK_HELD);
	gated_turn(&r);
	assert_int_equal(redrive(1, "EUR", 3, 2), TASK_APPLIED);
	gives("3 4 5");
	taken("2 3 4 5");
	nothing_is_held();
	records_end(&r);
}

static void a_redrive_that_is_rejected_again_keeps_its_place(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	place(1, "GBP", 2);
	assert_int_equal(redrive(1, "EUR", 1, 1), TASK_REJECTED);
	gives("!shut");
	assert_int_equal(redrive(1, "GBP", 9, 1), TASK_REPEAT);
	taken("");
	assert_int_equal(redrive(1, "GBP", 3, 2), TASK_APPLIED); /* in another form */
	gives("3 2");
	nothing_is_held();
	records_end(&r);
}

static void a_letter_that_is_redriven_before_its_turn_waits_in_its_place(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	for (int i = 0; i < TASK_HELD_A_KEY_MAX; i++)
		assert_int_equal(place(1, "GBP", 100 + i), TASK_HELD);
	assert_int_equal(place(1, "GBP", 2), TASK_REJECTED); /* letter 2: there is no room */
	gives("!held_full");
	assert_int_equal(place(1, "GBP", 3), TASK_REJECTED);
	assert_int_equal(redrive(1, "GBP", 3, 3), TASK_REJECTED); /* still none: letter 4 in the place of 3 */
	assert_int_equal(discard(1), TASK_CONTROL);
	assert_int_equal(records_output_count(&r), TASK_HELD_A_KEY_MAX);
	assert_int_equal(redrive(1, "GBP", 3, 4), TASK_HELD); /* 2 comes first */
	assert_int_equal(place(1, "GBP", 5), TASK_HELD);
	assert_int_equal(redrive(1, "GBP", 2, 2), TASK_APPLIED);
	gives("2 3 5");
	nothing_is_held();
	records_end(&r);
}

static void a_letter_in_the_middle_may_be_discarded(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	for (int i = 0; i < TASK_HELD_A_KEY_MAX; i++)
		place(1, "GBP", 100 + i);
	assert_int_equal(place(1, "GBP", 2), TASK_REJECTED);
	assert_int_equal(place(1, "GBP", 3), TASK_REJECTED);
	assert_int_equal(discard(2), TASK_CONTROL);
	gives("");
	assert_int_equal(discard(1), TASK_CONTROL);
	assert_int_equal(records_output_count(&r), TASK_HELD_A_KEY_MAX);
	assert_int_equal(redrive(1, "GBP", 3, 3), TASK_APPLIED);
	nothing_is_held();
	records_end(&r);
}

static void a_redrive_with_another_key_leaves_its_place_to_those_behind(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	place(1, "GBP", 2);
	place(3, "EUR", 3);
	assert_int_equal(redrive(2, "GBP", 1, 1), TASK_APPLIED);
	gives("1 2");
	place(1, "EUR", 4); /* letter 3 */
	place(1, "GBP", 5);
	assert_int_equal(redrive(3, "GBP", 6, 3), TASK_HELD); /* that key has a letter of its own */
	gives("5");
	assert_int_equal(discard(2), TASK_CONTROL);
	gives("6");
	nothing_is_held();
	records_end(&r);
}

/* ---- what holds nothing ---- */

static void a_record_without_a_key_of_this_partition_holds_nothing(void **state)
{
	(void)state;
	struct log_record record = order(1, "GBP", 1);
	const char *foreign = records_id(&r, "K", 1, 1, RECORDS_ORDER_PARTITIONS);
	struct log_record wrong = gated_order(&r, foreign, "GBP", 1);
	assert_int_equal(records_fold(&r, &wrong), TASK_REJECTED);
	assert_int_equal(records_fold(&r, &wrong), TASK_REJECTED);
	record.key = (struct log_bytes){NULL, -1};
	assert_int_equal(records_fold(&r, &record), TASK_REJECTED);
	record.key = (struct log_bytes){"", 0};
	assert_int_equal(records_fold(&r, &record), TASK_REJECTED);
	char *large = arena_alloc(&r.arena, TASK_KEY_BYTES_MAX + 64);
	memset(large, 'x', TASK_KEY_BYTES_MAX + 64);
	for (int32_t len = TASK_KEY_BYTES_MAX + 1; len <= TASK_KEY_BYTES_MAX + 64; len++) {
		record.key = (struct log_bytes){large, len};
		assert_int_equal(records_fold(&r, &record), TASK_REJECTED);
	}
	nothing_is_held();
	records_end(&r);
}

static void a_forged_redrive_holds_nothing(void **state)
{
	(void)state;
	assert_int_equal(redrive(1, "GBP", 1, 5), TASK_REJECTED);
	gives("!unknown_letter");
	nothing_is_held();
	assert_int_equal(place(1, "GBP", 2), TASK_APPLIED);
	place(2, "EUR", 3);
	assert_int_equal(redrive(2, "GBP", 4, 77), TASK_REJECTED);
	assert_int_equal(place(2, "GBP", 5), TASK_HELD);
	assert_int_equal(discard(2), TASK_CONTROL); /* letter 2 is the key's; 1 and 3 were forged */
	gives("5");
	nothing_is_held();
	records_end(&r);
}

/* ---- bounds ---- */

static void what_waits_is_bounded_in_bytes_too(void **state)
{
	(void)state;
	char *large = arena_alloc(&r.arena, 600000);
	memset(large, 'x', 600000);
	place(1, "EUR", 1);
	int64_t held = 0;
	for (int i = 0; i < 6; i++) {
		struct log_record record = order(1, "GBP", 2),
				  big = records_with_header(&r, &record, "note", large, 600000);
		held += records_fold(&r, &big) == TASK_HELD;
	}
	assert_int_equal(held, TASK_HELD_A_KEY_BYTES_MAX / 600000);
	assert_int_equal(task_count(r.task, TASK_HELD), held);
	records_end(&r);
}

static void a_letter_is_not_taken_twice_by_the_queue(void **state)
{
	(void)state;
	place(1, "EUR", 1);
	place(1, "GBP", 2);
	gated_turn(&r);
	assert_int_equal(redrive(1, "EUR", 1, 1), TASK_APPLIED);
	assert_int_equal(redrive(1, "EUR", 1, 1), TASK_REPEAT);
	assert_int_equal(discard(1), TASK_CONTROL);
	gives("");
	place(1, "GBP", 3);
	taken("1 2 3");
	records_end(&r);
}

static void headers_wait_with_their_record(void **state)
{
	(void)state;
	struct log_record record = order(1, "GBP", 2);
	record = records_with_header(&r, &record, "traceparent",
	                             "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 55);
	record = records_with_header(&r, &record, "empty", "", 0);
	struct log_header *null = arena_alloc(&r.arena, 3 * sizeof *null);
	memcpy(null, record.headers, 2 * sizeof *null);
	null[2] = (struct log_header){"null", {NULL, -1}};
	record.headers = null;
	record.header_count = 3;
	place(1, "EUR", 1);
	assert_int_equal(records_fold(&r, &record), TASK_HELD);
	discard(1);
	gives("2");
	assert_non_null(header_find(&records_raw_output(&r, 0)->record, "traceparent"));
	/* and as a letter again it has all of them */
	place(1, "EUR", 3);
	record = order(1, "EUR", 4);
	record.headers = null;
	record.header_count = 3;
	assert_int_equal(records_fold(&r, &record), TASK_HELD);
	discard(2);
	gives("!shut");
	const struct log_record *letter = &records_raw_output(&r, 0)->record;
	assert_int_equal(header_find(letter, "null")->value.len, -1);
	assert_int_equal(header_find(letter, "empty")->value.len, 0);
	records_end(&r);
}

/* ---- files ---- */

/* A process that dies between any two records goes on from its last commit. */
static void a_restart_between_any_two_records_changes_nothing(void **state)
{
	(void)state;
	struct err err = {0};
	records_drop(&r);
	records_begin_file(&r, &gated_holds, 0);
	struct log_record log[10];
	size_t count = 0;
	log[count++] = order(1, "EUR", 1);
	log[count++] = order(1, "GBP", 2);
	log[count++] = order(1, "EUR", 3);
	log[count++] = gated_cancel(&r, gated_key(&r, 1), 4);
	log[count++] = order(9, "GAT", 0);
	struct log_record again = order(1, "EUR", 1);
	log[count++] = gated_redrive(&r, &again, 0, 1);
	log[count++] = gated_redrive(&r, &again, 0, 1);
	log[count++] = order(9, "GAT", 0);
	log[count++] = order(1, "EUR", 5);
	log[count++] = gated_discard(&r, 0, 2);
	assert_int_equal(task_commit(r.task, &err), OK);
	for (size_t i = 0; i < count; i++) {
		records_fold(&r, &log[i]);
		records_reopen(&r); /* forgotten */
		records_fold(&r, &log[i]);
		assert_int_equal(task_commit(r.task, &err), OK);
		records_reopen(&r);
	}
	taken("1 2 3 -4");
	nothing_is_held();
	records_end(&r);
}

/* verify sees what waits. */
static void a_file_whose_queue_is_another_is_not_the_same(void **state)
{
	(void)state;
	static const char *const damages[] = {
		"UPDATE held SET value = x'00' WHERE place = 1",
		"UPDATE held_key SET next = next + 1",
		"DELETE FROM letter",
	};
	for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
		struct verify_result result;
		struct err err = {0};
		struct records other;
		records_drop(&r);
		records_begin_service(&r, &gated_holds, 0);
		records_begin_service(&other, &gated_holds, 0);
		place(1, "EUR", 1);
		place(1, "GBP", 2);
		for (size_t k = 1; k < r.folded_count; k++)
			records_fold(&other, &r.folded[k]);
		assert_int_equal(task_commit(r.task, &err), OK);
		assert_int_equal(task_commit(other.task, &err), OK);
		assert_int_equal(verify_tasks(r.task, other.task, &result, &err), OK);
		assert_true(result.same);
		assert_int_equal(store_exec(task_store(other.task), damages[i], &err), OK);
		assert_int_equal(verify_tasks(r.task, other.task, &result, &err), OK);
		assert_false(result.same);
		records_drop(&other);
	}
}

/* Rows that no fold has written: the task halts, and says that it is the file. */
static void a_damaged_queue_halts(void **state)
{
	(void)state;
	static const char *const damages[] = {
		"UPDATE held SET headers = x'00000009' WHERE place = 1",
		"UPDATE held SET headers = x'ffffffff' WHERE place = 1",
		"UPDATE held SET headers = x'0000000161ffffff7f' WHERE place = 1",
		"UPDATE letter SET key = NULL",
	};
	for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
		struct err err = {0};
		records_drop(&r);
		records_begin_file(&r, &gated_holds, 0);
		place(1, "EUR", 1);
		place(1, "GBP", 2);
		assert_int_equal(task_commit(r.task, &err), OK);
		records_edit(&r, damages[i]);
		struct log_record record = gated_discard(&r, 0, 1);
		assert_string_equal(records_refused(&r, &record), "corrupt");
		records_drop(&r);
	}
}

/* ---- many ---- */

/* Any mixture: each key's events are taken in the order they came, but for letters that were given up; nothing is taken twice;
 * and in the end nothing is held. TANDEM_TEST_SEED runs one again. */
static void any_mixture_keeps_the_order_of_each_key(void **state)
{
	(void)state;
	const char *given = getenv("TANDEM_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 1, last = given ? seed : 25;
	for (; seed <= last; seed++) {
		uint64_t random = seed * 0x9E3779B97F4A7C15u;
		struct log_record letters[400];
		size_t letter_count = 0;
		int64_t placed = 0;
		records_drop(&r);
		records_begin_service(&r, &gated_holds, 0);
		for (int step = 1; step <= 150; step++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			unsigned what = (unsigned)(random >> 33) % 10, key = (unsigned)(random >> 43) % 3;
			size_t letter = letter_count ? (size_t)(random >> 50) % letter_count : 0;
			struct log_record record;
			if (what < 3)
				record = order((int)key + 1, "EUR", step);
			else if (what < 6)
				record = order((int)key + 1, "GBP", step);
			else if (what == 6)
				record = order(9, "GAT", 0);
			else if (what == 7)
				record = gated_discard(&r, 0, (int64_t)letter + 1);
			else if (letter_count)
				record = gated_redrive(&r, &letters[letter], 0, letter + 1);
			else
				continue;
			records_fold(&r, &record);
			placed += what < 6;
			for (size_t i = 0; i < records_output_count(&r); i++) {
				const struct task_output *output = records_raw_output(&r, i);
				if (output->type)
					continue;
				struct log_record copy;
				log_record_copy(&copy, &output->record, &r.arena);
				copy.headers = NULL;
				copy.header_count = 0;
				assert_int_equal(output->number, letter_count + 1);
				assert_true(letter_count < 400);
				letters[letter_count++] = copy;
			}
		}
		for (size_t i = 0; i < letter_count; i++)
			discard((int64_t)i + 1);
		while (records_number(&r, "SELECT count(*) FROM held_key")) /* what was rejected on its way */
			discard(records_number(&r, "SELECT min(number) FROM letter WHERE state = 'open'"));
		nothing_is_held();
		/* each one is taken, or given up */
		assert_int_equal(placed, records_number(&r, "SELECT (SELECT count(*) FROM entry) + (SELECT count(*)"
		                                            " FROM letter WHERE state = 'discarded')"));
		for (unsigned key = 0; key < 3; key++) {
			const char *wrong = arena_format(
				&r.arena,
				"SELECT count(*) FROM entry a JOIN entry b ON a.order_id = b.order_id AND a.n < b.n"
				" AND a.what >= b.what WHERE a.order_id = '%s'",
				gated_key(&r, (int)key + 1));
			if (records_number(&r, wrong))
				fail_msg("seed %llu: key %u is out of order: %s; TANDEM_TEST_SEED=%llu",
				         (unsigned long long)seed, key + 1, gated_taken(&r), (unsigned long long)seed);
		}
		records_end(&r);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(later_events_of_the_key_wait_and_others_do_not),
		TEST(a_redrive_lets_them_go_on_in_their_order),
		TEST(a_discard_lets_them_go_on_without_it),
		TEST(one_that_is_rejected_when_its_turn_comes_is_the_next_letter),
		TEST(a_redrive_that_is_rejected_again_keeps_its_place),
		TEST(a_letter_that_is_redriven_before_its_turn_waits_in_its_place),
		TEST(a_letter_in_the_middle_may_be_discarded),
		TEST(a_redrive_with_another_key_leaves_its_place_to_those_behind),
		TEST(a_record_without_a_key_of_this_partition_holds_nothing),
		TEST(a_forged_redrive_holds_nothing),
		TEST(what_waits_is_bounded_in_bytes_too),
		TEST(a_letter_is_not_taken_twice_by_the_queue),
		TEST(headers_wait_with_their_record),
		TEST(a_restart_between_any_two_records_changes_nothing),
		TEST(a_file_whose_queue_is_another_is_not_the_same),
		TEST(a_damaged_queue_halts),
		TEST(any_mixture_keeps_the_order_of_each_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
