/* All of Online Retail, 541,909 rows, over local:DIR or over Kafka ($KAFKA): published, folded by both workers side by side,
 * drained, verified, audited; every row accounted for. Prints seconds, events a second and the most memory of each worker,
 * and holds them against what they may be.
 *
 *   RETAIL   the file: online-retail.csv.xz, or the .csv (tests/data/README.md says where the data set is from) */
#include "../support/rig.h"
#include "../support/view.h"

#include "json.h"
#include "seam.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS         541909
#define PEAK_KIB_MAX (200 * 1024)
#define SECONDS_MAX  120

static struct rig rig;

static int open_installation(void **state)
{
	(void)state;
	rig_open_topics(&rig, 4, 4);
	return 0;
}

/* The CSV itself, unpacked where it must be. */
static const char *find_rows(void)
{
	const char *path = getenv("RETAIL");
	if (!path || access(path, R_OK) != 0)
		fail_msg("%s cannot be read: RETAIL=FILE says where online-retail.csv.xz is (or the .csv)",
		         path ? path : "no file");
	size_t len = strlen(path);
	if (len < 3 || strcmp(path + len - 3, ".xz") != 0)
		return path;
	const char *csv = arena_format(&rig.arena, "%s/online-retail.csv", rig.folder);
	if (system(arena_format(&rig.arena, "xz -dc '%s' > '%s'", path, csv)) != 0)
		fail_msg("%s could not be unpacked by xz", path);
	return csv;
}

static int64_t sum_of(json_t *object)
{
	const char *name;
	json_t *value;
	int64_t sum = 0;
	json_object_foreach(object, name, value) sum += json_integer_value(value);
	return sum;
}

/* Every row is one thing or another, and what is an order's line is in an order. */
static void check_rows(const char *said, const struct view *view)
{
	json_t *json = json_loads(said, JSON_DISABLE_EOF_CHECK, NULL);
	assert_int_equal(json_integer_value(json_object_get(json, "rows")), ROWS);
	json_t *kinds = json_object_get(json, "row_counts");
	assert_int_equal(sum_of(kinds), ROWS);
	json_t *events = json_object_get(json, "events");
	assert_int_equal(json_integer_value(json_object_get(json, "acknowledged")), sum_of(events));
	assert_int_equal(json_integer_value(json_object_get(events, "OrderPlaced")), view->placed);
	assert_int_equal(json_integer_value(json_object_get(events, "OrderCancelRequested")), view->cancel_requests);
	int64_t lines = json_integer_value(json_object_iter_value(json_object_iter(kinds)));
	assert_int_equal(rig_sum(&rig, "order", "SELECT sum(line_count) FROM orders"), lines);
	assert_int_equal(rig_sum(&rig, "order", "SELECT count(*) FROM orders"), view->placed);
	print_message("rows %d = order lines %lld + others %lld\n", ROWS, (long long)lines, (long long)(ROWS - lines));
	json_decref(json);
}

static int64_t count_records(void)
{
	static const char *const topics[] = {"orders", "inventory", "order-events"};
	int64_t low, high, sum = 0;
	struct err err = {0};
	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
		for (int32_t p = 0; p < 4; p++) {
			if (log_bounds(rig.log, topics[i], p, &low, &high, &err) != OK)
				fail_msg("%s", err.text);
			sum += high;
		}
	return sum;
}

static void end_worker(struct rig_process *worker)
{
	assert_int_equal(rig_end(&rig, worker, SIGTERM, 30), 0);
	print_message("%-10s peak memory %ld MB, CPU %.1f s\n", worker->name, worker->peak_kib / 1024,
	              worker->cpu_seconds);
	assert_in_range(worker->peak_kib, 1, PEAK_KIB_MAX);
}

static double seconds_since(int64_t start_us)
{
	return (double)(seam_monotonic_us(&seam_system) - start_us) / 1e6;
}

static void all_rows_are_folded_verified_and_audited(void **state)
{
	(void)state;
	struct view view;
	const char *csv = find_rows();
	int64_t start = seam_monotonic_us(&seam_system);
	rig_ok(&rig, "publish --only receipts --stock-cover 90 %s", csv);
	rig_ok(&rig, "inventory run --until-end");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run");
	struct rig_process *order = rig_start(&rig, "order", "order run");
	int64_t orders_start = seam_monotonic_us(&seam_system);
	int64_t before = count_records();
	const char *said = rig_ok(&rig, "publish -J --only orders --stock-cover 90 --cancel-one-in 50 %s", csv);
	double published = seconds_since(orders_start);
	rig_drain(&rig, SECONDS_MAX);
	double flow = seconds_since(orders_start), whole = seconds_since(start);
	int64_t events = count_records() - before;
	end_worker(order);
	end_worker(inventory);
	int64_t verify_start = seam_monotonic_us(&seam_system);
	rig_verify_all(&rig);
	double proof = seconds_since(verify_start);
	view_read(&rig, &view);
	check_rows(said, &view);
	print_message("orders %lld: confirmed %lld, rejected %lld, cancelled %lld\n", (long long)view.placed,
	              (long long)view.confirmed, (long long)view.rejected, (long long)view.cancelled);
	print_message(
		"published in %.1f s; drained in %.1f s: %lld events, %.0f a second; with receipts %.1f s; revenue, verify"
		" and audit %.1f s\n",
		published, flow, (long long)events, (double)events / flow, whole, proof);
	assert_true(whole < SECONDS_MAX);
	assert_int_equal(view.dead_letters, 0);
	rig.passed = true;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(all_rows_are_folded_verified_and_audited, open_installation,
	                                                 rig_teardown, &rig),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
