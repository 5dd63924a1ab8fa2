/* Dead letters that come back: the task takes each one once, whoever sends it and however often. What waits behind one is in
 * test_held.c. Every test folds its records twice (see support/records.h). */
#include "support/gated.h"

#include "genesis.h"
#include "redrive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct records r;

static int setup(void **state)
{
	(void)state;
	records_begin_service(&r, &gated_goes_on, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	records_drop(&r); /* of a test that has failed */
	return 0;
}

/* An order that is rejected, with letter `number`. */
static struct log_record rejected(int n, int64_t what)
{
	struct log_record order = gated_order(&r, gated_key(&r, n), "EUR", what);
	assert_int_equal(records_fold(&r, &order), TASK_REJECTED);
	assert_string_equal(gated_outputs(&r), "!shut");
	return order;
}

static enum task_verdict redrive(const struct log_record *record, int32_t partition, uint64_t number)
{
	struct log_record again = gated_redrive(&r, record, partition, number);
	return records_fold(&r, &again);
}

static enum task_verdict discard(int32_t partition, int64_t number)
{
	struct log_record record = gated_discard(&r, partition, number);
	return records_fold(&r, &record);
}

static int64_t letters(const char *state)
{
	return records_number(&r, arena_format(&r.arena, "SELECT count(*) FROM letter WHERE state = '%s'", state));
}

static void a_letter_that_is_redriven_is_a_publishers_record_again(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	gated_turn(&r);
	assert_int_equal(redrive(&order, 0, 1), TASK_APPLIED);
	assert_string_equal(gated_outputs(&r), "7");
	assert_string_equal(gated_taken(&r), "7");
	assert_int_equal(letters("redriven"), 1);
	records_end(&r);
}

static void a_letter_is_taken_once_however_often_it_is_sent(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	gated_turn(&r);
	assert_int_equal(redrive(&order, 0, 1), TASK_APPLIED);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(redrive(&order, 0, 1), TASK_REPEAT);
		assert_int_equal(records_output_count(&r), 0);
	}
	/* also with other bytes: it is the letter that was taken */
	struct log_record other = gated_order(&r, gated_key(&r, 2), "EUR", 8);
	assert_int_equal(redrive(&other, 0, 1), TASK_REPEAT);
	assert_string_equal(gated_taken(&r), "7");
	assert_int_equal(task_count(r.task, TASK_REPEAT), 6);
	records_end(&r);
}

static void a_letter_that_stands_twice_in_its_topic_is_one_letter(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	gated_turn(&r);
	struct redrive second = {.topic = "orders.dlq", .partition = 0, .number = 1, .offset = 99};
	struct header_list list;
	header_list_init(&list, &r.arena, 1);
	redrive_add(&list, &second);
	assert_int_equal(redrive(&order, 0, 1), TASK_APPLIED);
	struct log_record again = records_with_header(&r, &order, REDRIVE_HEADER, list.items[0].value.data,
	                                              (size_t)list.items[0].value.len);
	assert_int_equal(records_fold(&r, &again), TASK_REPEAT);
	records_end(&r);
}

static void a_redrive_that_is_rejected_again_is_a_new_letter(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	assert_int_equal(redrive(&order, 0, 1), TASK_REJECTED);
	assert_string_equal(gated_outputs(&r), "!shut");
	assert_int_equal(records_raw_output(&r, 0)->number, 2);
	assert_non_null(header_find(&records_raw_output(&r, 0)->record, REDRIVE_HEADER));
	gated_turn(&r);
	assert_int_equal(redrive(&order, 0, 1), TASK_REPEAT);
	assert_int_equal(redrive(&order, 0, 2), TASK_APPLIED);
	assert_int_equal(redrive(&order, 0, 2), TASK_REPEAT);
	assert_string_equal(gated_taken(&r), "7");
	records_end(&r);
}

static void a_letter_that_was_discarded_does_not_come_back(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	gated_turn(&r);
	assert_int_equal(discard(0, 1), TASK_CONTROL);
	assert_int_equal(discard(0, 1), TASK_CONTROL);
	assert_int_equal(redrive(&order, 0, 1), TASK_REPEAT);
	assert_string_equal(gated_taken(&r), "");
	assert_int_equal(letters("discarded"), 1);
	records_end(&r);
}

static void a_discard_behind_a_redrive_changes_nothing(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	gated_turn(&r);
	assert_int_equal(redrive(&order, 0, 1), TASK_APPLIED);
	assert_int_equal(discard(0, 1), TASK_CONTROL);
	assert_int_equal(letters("redriven"), 1);
	assert_int_equal(letters("discarded"), 0);
	records_end(&r);
}

/* ---- forged ---- */

static void a_redrive_of_a_letter_that_was_never_sent_is_a_dead_letter(void **state)
{
	(void)state;
	struct log_record order = gated_order(&r, gated_key(&r, 1), "GBP", 7);
	assert_int_equal(redrive(&order, 0, 1), TASK_REJECTED); /* none was sent at all */
	assert_string_equal(gated_outputs(&r), "!unknown_letter");
	assert_int_equal(redrive(&order, 0, 3), TASK_REJECTED); /* one was: the last */
	assert_string_equal(gated_outputs(&r), "!unknown_letter");
	assert_int_equal(redrive(&order, 0, INT64_MAX), TASK_REJECTED);
	assert_int_equal(redrive(&order, 2, 1), TASK_REJECTED); /* of two partitions */
	assert_int_equal(letters("redriven"), 0);
	assert_string_equal(gated_taken(&r), "");
	records_end(&r);
}

static void a_letter_of_another_topic_is_a_dead_letter(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	const struct redrive other = {.topic = "inventory.dlq", .partition = 0, .number = 1};
	struct header_list list;
	header_list_init(&list, &r.arena, 1);
	redrive_add(&list, &other);
	struct log_record again = records_with_header(&r, &order, REDRIVE_HEADER, list.items[0].value.data,
	                                              (size_t)list.items[0].value.len);
	assert_int_equal(records_fold(&r, &again), TASK_REJECTED);
	assert_string_equal(gated_outputs(&r), "!unknown_letter");
	records_end(&r);
}

static void a_header_that_makes_no_sense_is_a_dead_letter(void **state)
{
	(void)state;
	struct log_record order = rejected(1, 7);
	struct log_record sound = gated_redrive(&r, &order, 0, 1);
	uint8_t bytes[512] = {0};
	size_t len = (size_t)sound.headers[0].value.len;
	memcpy(bytes, sound.headers[0].value.data, len);
	for (size_t cut = 0; cut <= 21; cut++) {
		struct log_record wrong = records_with_header(&r, &order, REDRIVE_HEADER, bytes, cut);
		assert_int_equal(records_fold(&r, &wrong), TASK_REJECTED);
		assert_string_equal(gated_outputs(&r), "!bad_redrive");
	}
	struct log_record wrong =
		records_with_header(&r, &order, REDRIVE_HEADER, bytes, 21 + 250); /* and a NUL in it */
	assert_int_equal(records_fold(&r, &wrong), TASK_REJECTED);
	bytes[0] = 2;
	wrong = records_with_header(&r, &order, REDRIVE_HEADER, bytes, len);
	assert_int_equal(records_fold(&r, &wrong), TASK_REJECTED);
	assert_string_equal(gated_outputs(&r), "!bad_redrive");
	wrong = gated_redrive(&r, &sound, 0, 1); /* two of them */
	assert_int_equal(records_fold(&r, &wrong), TASK_REJECTED);
	assert_string_equal(gated_outputs(&r), "!bad_redrive");
	wrong = records_with_header(&r, &order, REDRIVE_HEADER, bytes, 0);
	struct log_header null = {REDRIVE_HEADER, {NULL, -1}};
	wrong.headers = &null;
	assert_int_equal(records_fold(&r, &wrong), TASK_REJECTED);
	assert_string_equal(gated_outputs(&r), "!bad_redrive");
	assert_int_equal(letters("redriven"), 0);
	records_end(&r);
}

static void a_discard_of_what_is_not_there_changes_nothing(void **state)
{
	(void)state;
	rejected(1, 7);
	assert_int_equal(discard(0, 2), TASK_CONTROL);
	assert_int_equal(discard(0, 0), TASK_CONTROL);
	assert_int_equal(discard(0, -1), TASK_CONTROL);
	assert_int_equal(discard(-1, 1), TASK_CONTROL);
	assert_int_equal(discard(5, 1), TASK_CONTROL);
	assert_int_equal(records_number(&r, "SELECT count(*) FROM letter"), 0);
	records_end(&r);
}

/* What stood in the wrong partition goes on in the right one, which has never heard of the letter. */
static void a_letter_of_another_partition_is_taken_once_too(void **state)
{
	(void)state;
	struct log_record order = gated_order(&r, gated_key(&r, 1), "GBP", 7);
	assert_int_equal(redrive(&order, 1, 4), TASK_APPLIED);
	assert_int_equal(redrive(&order, 1, 4), TASK_REPEAT);
	rejected(2, 8);
	assert_int_equal(discard(1, 5), TASK_CONTROL);
	assert_int_equal(redrive(&order, 1, 5), TASK_REPEAT);
	assert_string_equal(gated_taken(&r), "7");
	records_end(&r);
}

static void a_letter_at_the_limits_may_come_back_with_a_header_more(void **state)
{
	(void)state;
	struct log_record order = gated_order(&r, gated_key(&r, 1), "EUR", 7);
	char *large = arena_alloc(&r.arena, TASK_HEADERS_BYTES_MAX);
	memset(large, 'x', TASK_HEADERS_BYTES_MAX);
	order = records_with_header(&r, &order, "note", large, TASK_HEADERS_BYTES_MAX - 4 - (TASK_HEADERS_MAX - 1));
	while (order.header_count < TASK_HEADERS_MAX)
		order = records_with_header(&r, &order, "n", "", 0);
	assert_int_equal(records_fold(&r, &order), TASK_REJECTED);
	assert_string_equal(gated_outputs(&r), "!shut");
	gated_turn(&r);
	assert_int_equal(redrive(&order, 0, 1), TASK_APPLIED);
	records_end(&r);
}

/* ---- files ---- */

static void a_letter_stays_taken_through_a_restart(void **state)
{
	(void)state;
	struct err err = {0};
	records_drop(&r);
	records_begin_file(&r, &gated_goes_on, 0);
	struct log_record order = rejected(1, 7);
	gated_turn(&r);
	assert_int_equal(task_commit(r.task, &err), OK);
	for (int i = 0; i < 2; i++) { /* the first one is folded, and forgotten with the process */
		assert_int_equal(redrive(&order, 0, 1), TASK_APPLIED);
		if (i == 0)
			records_reopen(&r);
	}
	assert_int_equal(task_commit(r.task, &err), OK);
	records_reopen(&r);
	assert_int_equal(redrive(&order, 0, 1), TASK_REPEAT);
	assert_string_equal(gated_taken(&r), "7");
	records_end(&r);
}

/* As a file of a program before this one has it. */
static void a_file_without_the_table_gets_it(void **state)
{
	(void)state;
	struct err err = {0};
	records_drop(&r);
	records_begin_file(&r, &gated_goes_on, 0);
	struct log_record order = rejected(1, 7);
	gated_turn(&r);
	assert_int_equal(task_commit(r.task, &err), OK);
	records_edit(&r, "DROP TABLE letter");
	assert_int_equal(redrive(&order, 0, 1), TASK_APPLIED);
	assert_int_equal(redrive(&order, 0, 1), TASK_REPEAT);
	records_end(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_letter_that_is_redriven_is_a_publishers_record_again),
		TEST(a_letter_is_taken_once_however_often_it_is_sent),
		TEST(a_letter_that_stands_twice_in_its_topic_is_one_letter),
		TEST(a_redrive_that_is_rejected_again_is_a_new_letter),
		TEST(a_letter_that_was_discarded_does_not_come_back),
		TEST(a_discard_behind_a_redrive_changes_nothing),
		TEST(a_redrive_of_a_letter_that_was_never_sent_is_a_dead_letter),
		TEST(a_letter_of_another_topic_is_a_dead_letter),
		TEST(a_header_that_makes_no_sense_is_a_dead_letter),
		TEST(a_discard_of_what_is_not_there_changes_nothing),
		TEST(a_letter_of_another_partition_is_taken_once_too),
		TEST(a_letter_at_the_limits_may_come_back_with_a_header_more),
		TEST(a_letter_stays_taken_through_a_restart),
		TEST(a_file_without_the_table_gets_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
