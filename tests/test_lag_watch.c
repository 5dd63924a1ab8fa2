/* lag_watch: how many records a task is behind, and since when; asked beside it, on a log of files. */
#include "lag_watch.h"
#include "mem.h"
#include "support/folder.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE 12000 /* looks, 10 ms apart */

struct fixture {
	struct folder folder;
	struct log *log;
	struct lag_watch *watch;
};

static struct log *open_log(const struct fixture *f)
{
	struct log *log;
	struct err err = {0};
	char *url = mem_format("local:%s", f->folder.path);
	assert_int_equal(log_open(url, &(struct log_config){.seam = &seam_system}, &log, &err), OK);
	mem_free(url);
	return log;
}

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = {0};
	folder_make(&f.folder);
	f.log = open_log(&f);
	if (log_topic_create(f.log, &(struct log_topic){.name = "t", .partitions = 2, .replicas = 1}, &err) != OK ||
	    lag_watch_open(open_log(&f), "t", &seam_system, 10, &f.watch, &err) != OK) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	lag_watch_close(f->watch);
	log_close(f->log);
	folder_remove(&f->folder);
	return 0;
}

/* Three records at offsets 0, 2 and 5, a minute, half a minute and ten seconds old. */
static int64_t import(struct fixture *f)
{
	int64_t now = seam_wall_ms(&seam_system);
	struct err err = {0};
	struct log_record records[3] = {{.offset = 0, .timestamp_ms = now - 60000},
	                                {.offset = 2, .timestamp_ms = now - 30000},
	                                {.offset = 5, .timestamp_ms = now - 10000}};
	for (size_t i = 0; i < 3; i++)
		records[i].key = records[i].value = (struct log_bytes){"x", 1};
	assert_int_equal(log_import(f->log, "t", 0, records, 3, &err), OK);
	return now;
}

/* Tells the place again and again until what is found is this many records, and an age within the bounds. */
static void becomes(struct fixture *f, struct lag_place place, int64_t records, int64_t age_min_ms, int64_t age_max_ms)
{
	struct lag lag = {.records = -1};
	for (int i = 0; i < PATIENCE; i++) {
		lag_watch_tell(f->watch, &place, 1);
		if (lag_watch_get(f->watch, place.partition, &lag) && lag.records == records &&
		    lag.age_ms >= age_min_ms && lag.age_ms <= age_max_ms)
			return;
		poll(NULL, 0, 10);
	}
	fail_msg("found %lld records, %lld ms old", (long long)lag.records, (long long)lag.age_ms);
}

static void nothing_is_known_before_a_place_was_told(void **state)
{
	struct fixture *f = *state;
	struct lag lag;
	assert_false(lag_watch_get(f->watch, 0, &lag));
	becomes(f, (struct lag_place){.partition = 1}, 0, 0, 0);
	assert_false(lag_watch_get(f->watch, 0, &lag));
	assert_int_equal(lag_watch_failing_us(f->watch), 0);
}

static void a_task_that_stands_still_is_as_late_as_its_first_record(void **state)
{
	struct fixture *f = *state;
	import(f);
	becomes(f, (struct lag_place){.partition = 0, .next = 2, .last_ms = 1}, 4, 30000, 600000);
	becomes(f, (struct lag_place){.partition = 0, .next = 6}, 0, 0, 0);
}

/* A record that comes after a long rest is young, however old the last one folded is. */
static void what_comes_after_a_rest_is_not_late_since_the_rest_began(void **state)
{
	struct fixture *f = *state;
	int64_t now = import(f);
	becomes(f, (struct lag_place){.partition = 0, .next = 6, .last_ms = now - 900000}, 0, 0, 0);
	struct err err = {0};
	struct log_record more = {
		.offset = 6, .timestamp_ms = seam_wall_ms(&seam_system), .key = {"x", 1}, .value = {"x", 1}};
	assert_int_equal(log_import(f->log, "t", 0, &more, 1, &err), OK);
	becomes(f, (struct lag_place){.partition = 0, .next = 6, .last_ms = now - 900000}, 1, 0, 600000);
}

#define LONG_REST_MS 1000 /* longer than an import, on a slow disk, too */

/* A worker goes on folding: what came into the log since it told would be counted as late. */
static void what_was_told_during_a_rest_is_not_asked_with_behind_it(void **state)
{
	struct fixture *f = *state;
	struct lag_watch *watch;
	struct lag lag = {0};
	struct err err = {0};
	struct log_record record = {.offset = 6, .timestamp_ms = import(f), .key = {"x", 1}, .value = {"x", 1}};
	assert_int_equal(lag_watch_open(open_log(f), "t", &seam_system, LONG_REST_MS, &watch, &err), OK);
	for (int64_t begun_us = 0; seam_monotonic_us(&seam_system) - begun_us >= LONG_REST_MS * 1000; record.offset++) {
		struct lag_place place = {.partition = 0, .next = record.offset, .last_ms = 1};
		begun_us = seam_monotonic_us(&seam_system);
		for (int i = 0; i < PATIENCE && !(lag_watch_get(watch, 0, &lag) && lag.end == place.next); i++) {
			lag_watch_tell(watch, &place, 1); /* again: the rest of the round before may not be over */
			poll(NULL, 0, 10);
		}
		assert_int_equal(lag.end, place.next);
		lag_watch_tell(watch, &place, 1); /* it rests, or the loop begins again */
		assert_int_equal(log_import(f->log, "t", 0, &record, 1, &err), OK);
	}
	for (int i = 0; i < 2 * LONG_REST_MS / 10; i++) {
		assert_true(lag_watch_get(watch, 0, &lag) && lag.records == 0);
		poll(NULL, 0, 10);
	}
	lag_watch_close(watch);
}

static void a_log_that_cannot_be_asked_is_told(void **state)
{
	struct fixture *f = *state;
	becomes(f, (struct lag_place){.partition = 0}, 0, 0, 0);
	const struct lag_place nowhere = {.partition = 7};
	for (int i = 0; i < PATIENCE && !lag_watch_failing_us(f->watch); i++) {
		lag_watch_tell(f->watch, &nowhere, 1);
		poll(NULL, 0, 10);
	}
	assert_true(lag_watch_failing_us(f->watch) > 0);
	becomes(f, (struct lag_place){.partition = 0}, 0, 0, 0);
	for (int i = 0; i < PATIENCE && lag_watch_failing_us(f->watch); i++)
		poll(NULL, 0, 10);
	assert_int_equal(lag_watch_failing_us(f->watch), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_known_before_a_place_was_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_task_that_stands_still_is_as_late_as_its_first_record, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(what_comes_after_a_rest_is_not_late_since_the_rest_began, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(what_was_told_during_a_rest_is_not_asked_with_behind_it, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_cannot_be_asked_is_told, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
