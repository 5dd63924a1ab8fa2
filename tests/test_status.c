/* What `status` reads beside a running worker. */
#include "support/stage.h"

#include "halt.h"
#include "status.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct status_report look(struct stage *stage, int which, bool with_log)
{
	struct status_report report;
	struct err err = {0};
	assert_int_equal(status_read(flow_service(which ? "inventory" : "order"), stage->flow.data, 0,
	                             with_log ? stage->flow.log : NULL, &stage->flow.seam, &stage->flow.arena, &report,
	                             &err),
	                 OK);
	return report;
}

static void without_a_file_there_is_only_the_log(void **state)
{
	(void)state;
	struct stage stage;
	stage_make(&stage, 1, 1);
	struct status_report report = look(&stage, STAGE_ORDER, true);
	assert_false(report.has_file);
	assert_false(report.running);
	assert_false(report.halted);
	assert_int_equal(report.end, 1);
	assert_int_equal(report.lag, 1);
	stage_close(&stage);
}

static void a_running_task_is_shown_with_its_owner_and_streams(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 1, 1);
	stage_order(&stage, 0, 0);
	stage_rest(&stage);
	struct status_report report = look(&stage, STAGE_ORDER, true);
	assert_true(report.has_file && report.running);
	assert_int_equal(report.pid, getpid());
	assert_int_equal(report.state, LOCK_READY);
	assert_int_equal(report.lag, 0);
	assert_int_equal(report.next_offset, stage_end(&stage, "orders", 0));
	assert_int_equal(report.rows, 2); /* an order and a cancel request */
	assert_int_equal(report.inbound_count, 1);
	assert_string_equal(report.inbound[0].name, "inventory");
	assert_int_equal(report.outbound_count, 2);
	assert_int_equal(report.logic_version, 1);
	assert_false(report.catching_up);
	stage_close(&stage);
}

static void without_the_log_lag_is_not_known_and_with_a_broken_one_it_says_why(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	stage_open(&stage, 1, 1);
	struct status_report report = look(&stage, STAGE_ORDER, false);
	assert_int_equal(report.lag, -1);
	assert_int_equal(report.end, -1);
	assert_null(report.log_error);
	assert_int_equal(log_topic_delete(stage.flow.log, "orders", &err), OK);
	report = look(&stage, STAGE_ORDER, true);
	assert_int_equal(report.lag, -1);
	assert_non_null(strstr(report.log_error, "orders"));
	stage_close(&stage);
}

static void a_gap_is_young_then_standing_and_its_command_heals_it(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 1, 1);
	stage_stop(&stage, STAGE_INVENTORY);
	const int64_t end = stage_end(&stage, "inventory", 0);
	flow_order_one(&stage.flow, "lost", "S", 1);
	stage_rest(&stage);
	log_memory_truncate(stage.flow.memory, "inventory", 0, end);
	flow_order_one(&stage.flow, "found", "S", 1);
	stage_rest(&stage);
	stage_start(&stage, STAGE_INVENTORY);
	stage_rest(&stage);
	struct status_report report = look(&stage, STAGE_INVENTORY, true);
	assert_int_equal(report.gap_count, 1);
	assert_string_equal(report.gaps[0].service, "order");
	assert_string_equal(report.gaps[0].verdict, "gap");
	assert_int_equal(report.gaps[0].first_missing, 1);
	assert_int_equal(report.gaps[0].highest, 2);
	assert_false(report.gaps[0].standing);
	assert_string_equal(report.gaps[0].what_to_do, "tandem order resend --partitions 0 --to inventory/0 --from 1");
	stage.flow.now_us += (STATUS_STANDING_MS + 2000) * 1000LL;
	assert_true(look(&stage, STAGE_INVENTORY, true).gaps[0].standing);
	assert_true(look(&stage, STAGE_INVENTORY, false).gaps[0].standing); /* not known: told rather than hidden */
	stage_close(&stage);
}

/* Its own numbers, under another history: what status says to do, done. */
static void a_fork_is_shown_with_what_heals_it_and_that_heals(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 1, 1);
	stage_order(&stage, 0, 0);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	stage_exec(&stage, STAGE_ORDER, 0, "UPDATE outbound SET chain = chain + 1 WHERE topic = 'inventory'");
	stage_start(&stage, STAGE_ORDER);
	stage_order(&stage, 0, 0);
	stage_rest(&stage);
	struct status_report report = look(&stage, STAGE_INVENTORY, true);
	assert_int_equal(report.gap_count, 1);
	assert_string_equal(report.gaps[0].verdict, "fork");
	const char *what = report.gaps[0].what_to_do;
	static const char *const said[] = {
		"tandem order verify --partitions 0", "delete that file", "tandem order rebuild --delete-marks",
		"orders/0 has lost records",          "restore",          "a new installation"};
	for (size_t i = 0; i < sizeof said / sizeof *said; i++)
		if (!strstr(what, said[i]))
			fail_msg("'%s' does not say '%s'", what, said[i]);
	assert_null(strstr(what, "resend"));
	struct verify_result result;
	struct err err = {0};
	const struct verify_config verify = {
		.service = flow_service("order"), .log = stage.flow.log, .data = stage.flow.data};
	assert_int_equal(verify_partition(&verify, &result, &err), OK);
	assert_false(result.same); /* so the file is wrong */
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	stage_delete_marks(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_ORDER);
	stage_rest(&stage);
	assert_int_equal(look(&stage, STAGE_INVENTORY, true).gap_count, 0);
	flow_verify(&stage.flow);
	stage_close(&stage);
}

static void a_foreign_header_is_counted_and_shown_with_the_way_to_find_its_writer(void **state)
{
	(void)state;
	struct stage stage;
	const struct log_header header = {"tandem", {"\1x", 2}};
	stage_open(&stage, 1, 1);
	for (int i = 0; i < 3; i++)
		flow_write(&stage.flow, "inventory",
		           &(struct log_record){
				   .key = {"k", 1}, .value = {"v", 1}, .headers = &header, .header_count = 1});
	stage_rest(&stage);
	struct status_report report = look(&stage, STAGE_INVENTORY, true);
	assert_int_equal(report.gap_count, 1);
	assert_string_equal(report.gaps[0].service, "");
	assert_int_equal(report.gaps[0].count, 3);
	assert_non_null(strstr(report.gaps[0].what_to_do, "tandem replay -t inventory -p 0 -o "));
	assert_false(report.halted);
	flow_verify(&stage.flow);
	stage_close(&stage);
}

static void a_halt_file_that_is_no_json_is_not_shown(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 1, 1);
	static const char *const texts[] = {
		"", "{", "[]", "{\"reason\":1}", "\xff", "{\"reason\":\"x\",\"message\":\"y\"}"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		FILE *out = fopen(stage_path(&stage, STAGE_ORDER, 0, ".halt"), "wb");
		assert_non_null(out);
		fputs(texts[i], out);
		fclose(out);
		assert_false(look(&stage, STAGE_ORDER, true).halted);
	}
	stage_close(&stage);
}

static void a_file_that_is_no_database_is_an_error_beside_what_is_known(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct status_report report;
	stage_open(&stage, 1, 1);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	FILE *out = fopen(stage_path(&stage, STAGE_ORDER, 0, ".db"), "wb");
	assert_non_null(out);
	for (int i = 0; i < 200; i++)
		fputs("no database at all\n", out);
	fclose(out);
	assert_int_equal(status_read(flow_service("order"), stage.flow.data, 0, stage.flow.log, &stage.flow.seam,
	                             &stage.flow.arena, &report, &err),
	                 FATAL);
	assert_string_equal(err.code, "corrupt");
	assert_int_equal(report.end, 2);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_file_there_is_only_the_log),
		cmocka_unit_test(a_running_task_is_shown_with_its_owner_and_streams),
		cmocka_unit_test(without_the_log_lag_is_not_known_and_with_a_broken_one_it_says_why),
		cmocka_unit_test(a_gap_is_young_then_standing_and_its_command_heals_it),
		cmocka_unit_test(a_fork_is_shown_with_what_heals_it_and_that_heals),
		cmocka_unit_test(a_foreign_header_is_counted_and_shown_with_the_way_to_find_its_writer),
		cmocka_unit_test(a_halt_file_that_is_no_json_is_not_shown),
		cmocka_unit_test(a_file_that_is_no_database_is_an_error_beside_what_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
