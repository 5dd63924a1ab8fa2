/* What verify, rebuild and resend refuse: each is provoked, and the way out that the message names is followed. */
#include "support/stage.h"

#include "rebuild.h"
#include "resend.h"
#include "verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static enum status rebuild(struct stage *stage, const char *data, struct err *err)
{
	int64_t records;
	const struct rebuild_config config = {.service = flow_service("order"), .log = stage->flow.log, .data = data};
	return rebuild_partition(&config, &records, err);
}

static enum status verify(struct stage *stage, struct err *err)
{
	struct verify_result result;
	const struct verify_config config = {
		.service = flow_service("order"), .log = stage->flow.log, .data = stage->flow.data};
	enum status status = verify_partition(&config, &result, err);
	assert_true(status != OK || result.same);
	return status;
}

static enum status resend(struct stage *stage, struct resend_result *result, struct err *err)
{
	const struct resend_config config = {.service = flow_service("order"),
	                                     .log = stage->flow.log,
	                                     .seam = &stage->flow.seam,
	                                     .topic = "inventory",
	                                     .from = 1};
	return resend_stream(&config, result, err);
}

static void says(const struct err *err, const char *code, const char *found, const char *way_out)
{
	assert_string_equal(err->code, code);
	if (!strstr(err->text, found) || !strstr(err->text, way_out))
		fail_msg("'%s' does not say '%s' and '%s'", err->text, found, way_out);
	stage_provoked(code);
}

/* Three orders, folded; the order worker is stopped. */
static void open_and_stop(struct stage *stage)
{
	stage_open(stage, 1, 1);
	for (int i = 0; i < 3; i++)
		stage_order(stage, 0, 0);
	stage_rest(stage);
	stage_stop(stage, STAGE_ORDER);
}

static void work_goes_on(struct stage *stage)
{
	stage_start(stage, STAGE_ORDER);
	stage_recovers(stage, STAGE_ORDER, 0);
	stage_close(stage);
}

/* ---- the log ---- */

static void nothing_is_folded_from_a_log_without_its_head_until_it_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct resend_result result;
	open_and_stop(&stage);
	struct stage_copy *copy = stage_save(&stage, "orders");
	log_memory_trim(stage.flow.memory, "orders", 0, 2);
	assert_int_equal(verify(&stage, &err), FATAL);
	says(&err, "retention", "orders/0 begins at offset 2, expected 0", "restore the topic");
	assert_int_equal(rebuild(&stage, stage.flow.data, &err), FATAL);
	says(&err, "retention", "orders/0 begins at offset 2, expected 0", "restore the topic");
	assert_int_equal(resend(&stage, &result, &err), FATAL);
	stage_restore(&stage, copy);
	assert_int_equal(verify(&stage, &err), OK);
	assert_int_equal(resend(&stage, &result, &err), OK);
	work_goes_on(&stage);
}

static void a_log_that_ends_before_the_mark_is_not_rebuilt_until_it_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	open_and_stop(&stage);
	struct stage_copy *copy = stage_save(&stage, "orders");
	log_memory_truncate(stage.flow.memory, "orders", 0, 3);
	assert_int_equal(rebuild(&stage, stage.flow.data, &err), FATAL);
	says(&err, "mark_record", "orders/0 ends at offset 3, before the mark at", "Restore it");
	stage_restore_tail(&stage, copy, 0, 3, NULL, NULL);
	assert_int_equal(rebuild(&stage, stage.flow.data, &err), OK);
	work_goes_on(&stage);
}

static void swap_key(struct log_record *record, void *arg)
{
	(void)arg;
	if (record->offset == 1) /* what stage_open fed: a dead letter instead, on which nothing rests */
		record->key = (struct log_bytes){"another", 7};
}

static void a_changed_log_is_not_rebuilt_until_its_history_is_accepted(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	open_and_stop(&stage);
	struct stage_copy *copy = stage_save(&stage, "orders");
	log_memory_truncate(stage.flow.memory, "orders", 0, 1);
	stage_restore_tail(&stage, copy, 0, 1, swap_key, NULL);
	assert_int_equal(rebuild(&stage, stage.flow.data, &err), FATAL);
	says(&err, "mark_differs", "gives other hashes than the mark", "order rebuild --delete-marks");
	stage_delete(&stage, STAGE_ORDER, 0);
	stage_delete_marks(&stage, STAGE_ORDER);
	assert_int_equal(rebuild(&stage, stage.flow.data, &err), REJECT);
	assert_string_equal(err.code, "no_mark");
	assert_non_null(strstr(err.text, "`run` folds it from its beginning"));
	work_goes_on(&stage);
}

/* ---- the machine ---- */

static void a_folder_that_cannot_be_made_is_no_place_to_rebuild_in(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	open_and_stop(&stage);
	const char *data = arena_format(&stage.flow.arena, "%s/in-the-way", stage.flow.data);
	FILE *file = fopen(data, "w");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(rebuild(&stage, data, &err), RETRY);
	says(&err, "io", "in-the-way/order: Not a directory", "repair it and run rebuild again");
	unlink(data);
	assert_int_equal(rebuild(&stage, data, &err), OK);
	flow_verify_service(&stage.flow, flow_service("order"), data);
	work_goes_on(&stage);
}

/* ---- resend ---- */

/* Whenever resend looks at the clock, time passes, and meanwhile() may do something. */
static struct {
	struct stage *stage;
	void (*meanwhile)(void);
	int sent, answered; /* answered: how many were sent when the worker was last given an order */
	int64_t delay_us, sent_us;
	bool inside;
	struct log_record lost;
} race;

static int64_t racing_clock(void *arg)
{
	struct flow *flow = arg;
	if (race.inside)
		return flow->now_us;
	race.inside = true;
	flow->now_us += 1000;
	if (race.meanwhile)
		race.meanwhile();
	race.inside = false;
	return flow->now_us;
}

/* All of resend's records but the first of a round take a while, so that another's come between. */
static enum log_memory_fate slow(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)topic;
	(void)record;
	if (!race.inside) {
		*delay_us = race.sent++ ? race.delay_us : 0;
		race.sent_us = ((struct flow *)arg)->now_us;
	}
	return LOG_MEMORY_WRITE;
}

static enum status resend_racing(struct stage *stage, void (*meanwhile)(void), int64_t delay_us, struct err *err)
{
	struct resend_result result;
	int64_t (*clock)(void *) = stage->flow.seam.monotonic_us;
	race.stage = stage;
	race.meanwhile = meanwhile;
	race.sent = race.answered = 0;
	race.delay_us = delay_us;
	stage->flow.seam.monotonic_us = racing_clock;
	log_memory_set_faults(stage->flow.memory, &(struct log_memory_faults){.produce = slow, .arg = &stage->flow});
	enum status status = resend(stage, &result, err);
	log_memory_set_faults(stage->flow.memory, NULL);
	stage->flow.seam.monotonic_us = clock;
	return status;
}

static void a_resend_that_is_not_acknowledged_is_run_again(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct resend_result result;
	open_and_stop(&stage);
	assert_int_equal(resend_racing(&stage, NULL, 3600000000, &err), RETRY);
	says(&err, "timeout", "were not acknowledged within 60 s", "run it again");
	assert_int_equal(resend(&stage, &result, &err), OK);
	work_goes_on(&stage);
}

static void the_worker_is_faster(void)
{
	struct stage *stage = race.stage;
	const int64_t since_us = stage->flow.now_us - race.sent_us;
	if (since_us < race.delay_us / 3 || since_us > race.delay_us)
		return; /* it folds, or looks; it does not wait for acknowledgements */
	if (race.sent != race.answered)
		flow_order_one(&stage->flow, stage_id(stage, "N", 0, 1), "S0", 1);
	race.answered = race.sent;
	for (int i = 0; i < 5; i++)
		worker_step(stage->workers[STAGE_ORDER].worker);
}

static void a_resend_beside_a_worker_that_is_always_faster_is_run_again(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct resend_result result;
	open_and_stop(&stage);
	stage_start(&stage, STAGE_ORDER);
	stage_rest(&stage);
	assert_int_equal(resend_racing(&stage, the_worker_is_faster, 30000, &err), RETRY);
	says(&err, "busy", "the live worker writes faster than this", "stop it, or run it again");
	stage_stop(&stage, STAGE_ORDER);
	assert_int_equal(resend(&stage, &result, &err), OK);
	work_goes_on(&stage);
}

static void the_worker_sends_what_the_input_has_lost(void)
{
	if (race.sent == 2 && race.answered++ == 0)
		flow_write(&race.stage->flow, "inventory", &race.lost);
}

static void a_destination_that_is_ahead_of_the_input_waits_until_the_input_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct resend_result result;
	bool found;
	stage_open(&stage, 1, 1);
	for (int i = 0; i < 3; i++)
		flow_receive(&stage.flow, "r", arena_format(&stage.flow.arena, "L%d", i), 1);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_INVENTORY);
	for (int i = 0; i < 3; i++)
		flow_order_one(&stage.flow, stage_id(&stage, "O", 0, 1), arena_format(&stage.flow.arena, "L%d", i), 1);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	const int64_t last = stage_end(&stage, "inventory", 0) - 1, end = stage_end(&stage, "orders", 0);
	struct log_record third;
	assert_int_equal(log_read_at(stage.flow.log, "inventory", 0, last, &stage.flow.arena, &third, &found, &err),
	                 OK);
	assert_true(found);
	race.lost = third; /* a live worker's, whose file still has the order */
	struct stage_copy *copy = stage_save(&stage, "orders");
	log_memory_truncate(stage.flow.memory, "orders", 0, end - 1);
	assert_int_equal(resend_racing(&stage, the_worker_sends_what_the_input_has_lost, 30000, &err), FATAL);
	says(&err, "ahead", "the input has lost records", "restore it, and run it again");
	stage_restore_tail(&stage, copy, 0, end - 1, NULL, NULL);
	assert_int_equal(resend(&stage, &result, &err), OK);
	stage_start(&stage, STAGE_INVENTORY);
	work_goes_on(&stage);
}

static void every_refusal_promised_here_was_provoked(void **state)
{
	(void)state;
	stage_promises("test_refusals_tools.c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_folded_from_a_log_without_its_head_until_it_is_restored),
		cmocka_unit_test(a_log_that_ends_before_the_mark_is_not_rebuilt_until_it_is_restored),
		cmocka_unit_test(a_changed_log_is_not_rebuilt_until_its_history_is_accepted),
		cmocka_unit_test(a_folder_that_cannot_be_made_is_no_place_to_rebuild_in),
		cmocka_unit_test(a_resend_that_is_not_acknowledged_is_run_again),
		cmocka_unit_test(a_resend_beside_a_worker_that_is_always_faster_is_run_again),
		cmocka_unit_test(a_destination_that_is_ahead_of_the_input_waits_until_the_input_is_restored),
		cmocka_unit_test(every_refusal_promised_here_was_provoked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
