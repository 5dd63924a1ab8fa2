/* metrics_read: what metrics.h writes reads back; what others write does, too; what is no sample is none. */
#include "metrics.h"
#include "metrics_read.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;
static struct metrics_read_sample sample;

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	arena = (struct arena){0};
	return 0;
}

static struct metrics_read read_of(const char *page)
{
	return (struct metrics_read){.page = page, .len = strlen(page)};
}

static void what_we_write_reads_back(void **state)
{
	(void)state;
	struct buf page = {0};
	metrics_family(&page, "a_total", "counter", "How many.");
	metrics_sample(&page, "a_total", -3, METRICS_TEXT("t", "a\"b\\c\nd}"), METRICS_INT("partition", 12));
	metrics_seconds(&page, "b_seconds", 1500000);
	struct metrics_read read = read_of(buf_text(&page));
	assert_true(metrics_read_next(&read, &arena, &sample));
	assert_string_equal(sample.name, "a_total");
	assert_int_equal(sample.label_count, 2);
	assert_string_equal(metrics_read_label(&sample, "t"), "a\"b\\c\nd}");
	assert_string_equal(metrics_read_label(&sample, "partition"), "12");
	assert_string_equal(metrics_read_label(&sample, "other"), "");
	assert_true(sample.value == -3);
	assert_true(metrics_read_next(&read, &arena, &sample));
	assert_string_equal(sample.name, "b_seconds");
	assert_int_equal(sample.label_count, 0);
	assert_true(sample.value == 1.5);
	assert_false(metrics_read_next(&read, &arena, &sample));
	buf_fini(&page);
}

static void every_bucket_of_a_histogram_is_a_sample(void **state)
{
	(void)state;
	struct buf page = {0};
	struct histogram histogram = {0};
	size_t buckets = 0;
	histogram_add(&histogram, 7);
	metrics_histogram_us(&page, "h_seconds", NULL, &histogram);
	struct metrics_read read = read_of(buf_text(&page));
	while (metrics_read_next(&read, &arena, &sample))
		buckets += strcmp(sample.name, "h_seconds_bucket") == 0;
	assert_int_equal(buckets, HISTOGRAM_BOUNDS + 1);
	assert_string_equal(sample.name, "h_seconds_count");
	buf_fini(&page);
}

static void others_write_it_in_other_ways(void **state)
{
	(void)state;
	struct metrics_read read =
		read_of("  a:b { c = \"d\" , e=\"\", }\t+Inf 1700000000\r\n\n# TYPE x counter\nx{} nan\ny 1e3");
	assert_true(metrics_read_next(&read, &arena, &sample));
	assert_string_equal(sample.name, "a:b");
	assert_string_equal(metrics_read_label(&sample, "c"), "d");
	assert_int_equal(sample.label_count, 2);
	assert_true(isinf(sample.value));
	assert_true(metrics_read_next(&read, &arena, &sample));
	assert_true(isnan(sample.value));
	assert_true(metrics_read_next(&read, &arena, &sample)); /* no line's end behind */
	assert_true(sample.value == 1000);
	assert_false(metrics_read_next(&read, &arena, &sample));
}

static void what_is_no_sample_is_skipped(void **state)
{
	(void)state;
	struct metrics_read read =
		read_of("<html>\nalive\n1 2\na{b=\"c} 1\na{b=\"c\\\na{b} 1\na{b=\"c\" d=\"e\"} 1\na 1x\n"
	                "a{=\"c\"} 1\na{b=\"c\"\n{b=\"c\"} 1\n\x80 1\nlast 5\n");
	assert_true(metrics_read_next(&read, &arena, &sample));
	assert_string_equal(sample.name, "last");
	assert_false(metrics_read_next(&read, &arena, &sample));
}

static void labels_behind_the_last_that_fits_are_dropped(void **state)
{
	(void)state;
	struct buf page = {0};
	buf_putf(&page, "a{");
	for (int i = 0; i < 100; i++)
		buf_putf(&page, "l%d=\"%d\",", i, i);
	buf_putf(&page, "} 1\n");
	struct metrics_read read = read_of(buf_text(&page));
	assert_true(metrics_read_next(&read, &arena, &sample));
	assert_int_equal(sample.label_count, METRICS_READ_LABELS);
	assert_string_equal(metrics_read_label(&sample, "l15"), "15");
	assert_string_equal(metrics_read_label(&sample, "l16"), "");
	buf_fini(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_we_write_reads_back, teardown),
		cmocka_unit_test_teardown(every_bucket_of_a_histogram_is_a_sample, teardown),
		cmocka_unit_test_teardown(others_write_it_in_other_ways, teardown),
		cmocka_unit_test_teardown(what_is_no_sample_is_skipped, teardown),
		cmocka_unit_test_teardown(labels_behind_the_last_that_fits_are_dropped, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
