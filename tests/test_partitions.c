/* The list of partitions a person gives. */
#include "partitions.h"

#include "support/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_list_is_sorted_and_each_is_there_once(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t count;
		int32_t items[8];
	} cases[] = {
		{"0", 1, {0}},           {"4095", 1, {4095}},
		{"3,1,2", 3, {1, 2, 3}}, {"0,2-4", 4, {0, 2, 3, 4}},
		{"5-5", 1, {5}},         {"2-4,3,0-2", 5, {0, 1, 2, 3, 4}},
		{"007", 1, {7}},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct partitions found;
		struct err err = {0};
		assert_int_equal(partitions_parse(cases[i].text, &found, &err), OK);
		assert_int_equal(found.count, cases[i].count);
		assert_memory_equal(found.items, cases[i].items, found.count * sizeof *found.items);
		partitions_fini(&found);
	}
}

static void what_is_no_list_is_refused_with_an_example(void **state)
{
	(void)state;
	static const char *const texts[] = {"",
	                                    ",",
	                                    "1,",
	                                    ",1",
	                                    "1,,2",
	                                    "-1",
	                                    "1-",
	                                    "3-2",
	                                    "1-2-3",
	                                    "a",
	                                    "1 ",
	                                    " 1",
	                                    "1;2",
	                                    "+1",
	                                    "0x1",
	                                    "4096",
	                                    "0-4096",
	                                    "1.5",
	                                    "99999999999999999999"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct partitions found;
		struct err err = {0};
		if (partitions_parse(texts[i], &found, &err) != REJECT)
			fail_msg("'%s' is taken for a list", texts[i]);
		assert_string_equal(err.code, "usage");
		assert_non_null(strstr(err.text, "expected one like 0,2-4"));
		assert_null(found.items);
	}
}

static void what_is_chosen_must_be_in_the_topic(void **state)
{
	(void)state;
	struct flow flow;
	struct partitions found;
	struct err err = {0};
	flow_init(&flow, 3, 1);
	assert_int_equal(partitions_choose(flow.log, "orders", NULL, &found, &err), OK);
	assert_int_equal(found.count, 3);
	partitions_fini(&found);
	assert_int_equal(partitions_choose(flow.log, "orders", "0,2", &found, &err), OK);
	assert_int_equal(found.count, 2);
	partitions_fini(&found);
	assert_int_equal(partitions_choose(flow.log, "orders", "1-3", &found, &err), REJECT);
	assert_non_null(strstr(err.text, "partition 3 was asked for, orders has 3 (0 to 2)"));
	assert_int_equal(partitions_choose(flow.log, "nothing", NULL, &found, &err), FATAL);
	assert_string_equal(err.code, "unknown_topic");
	assert_non_null(strstr(err.text, "tandem topics create"));
	flow_fini(&flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_sorted_and_each_is_there_once),
		cmocka_unit_test(what_is_no_list_is_refused_with_an_example),
		cmocka_unit_test(what_is_chosen_must_be_in_the_topic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
