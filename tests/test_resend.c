/* resend: a stream whose destination has lost what it had acknowledged, healed beside the live worker. */
#include "support/stage.h"

#include "genesis.h"
#include "resend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum status resend(struct stage *stage, int64_t from, bool dry_run, struct resend_result *result,
                          struct err *err)
{
	return resend_stream(&(struct resend_config){.service = flow_service("order"),
	                                             .log = stage->flow.log,
	                                             .topic = "inventory",
	                                             .from = from,
	                                             .dry_run = dry_run},
	                     result, err);
}

/* What `audit` says of the stream: the source's last number and hash are the reader's. */
static void stream_agrees(struct stage *stage)
{
	static const char *const columns[] = {"number", "chain"};
	for (int i = 0; i < 2; i++) {
		const char *out = arena_format(&stage->flow.arena, "SELECT %s FROM outbound WHERE topic = 'inventory'",
		                               columns[i]);
		const char *in = arena_format(&stage->flow.arena, "SELECT %s FROM inbound", columns[i]);
		assert_int_equal(flow_number(&stage->flow, "order", 0, out),
		                 flow_number(&stage->flow, "inventory", 0, in));
	}
	assert_int_equal(flow_sum(&stage->flow, "inventory", "SELECT count(*) FROM gap"), 0);
	assert_int_equal(flow_sum(&stage->flow, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0);
	flow_verify(&stage->flow);
}

/* The inventory is not there when its log loses the commands for `lost` orders; `after` more follow before it comes. */
static void lose_commands(struct stage *stage, int lost, int after)
{
	stage_open(stage, 1, 1);
	for (int i = 0; i < lost + after; i++)
		flow_receive(&stage->flow, "r", arena_format(&stage->flow.arena, "S%d", i), 1);
	stage_rest(stage);
	stage_stop(stage, STAGE_INVENTORY);
	const int64_t end = stage_end(stage, "inventory", 0);
	for (int i = 0; i < lost + after; i++) {
		if (i == lost) {
			stage_rest(stage);
			log_memory_truncate(stage->flow.memory, "inventory", 0, end);
		}
		flow_order_one(&stage->flow, arena_format(&stage->flow.arena, "L%d", i),
		               arena_format(&stage->flow.arena, "S%d", i), 1);
	}
	stage_rest(stage);
	if (!after)
		log_memory_truncate(stage->flow.memory, "inventory", 0, end);
	stage_start(stage, STAGE_INVENTORY);
	stage_rest(stage);
}

static void a_lost_tail_is_healed_and_its_gap_closes(void **state)
{
	(void)state;
	for (int after = 0; after < 4; after++) {
		struct stage stage;
		struct err err = {0};
		struct resend_result result;
		lose_commands(&stage, 3, after);
		assert_int_equal(flow_sum(&stage.flow, "order", "SELECT count(*) FROM orders WHERE status = 1"),
		                 3 + after);
		assert_int_equal(flow_sum(&stage.flow, "inventory", "SELECT count(*) FROM gap"), after > 0);
		assert_int_equal(resend(&stage, 1, true, &result, &err), OK);
		assert_int_equal(result.sent, 3 + after);
		assert_int_equal(result.last, 0);
		stage_rest(&stage);
		assert_int_equal(flow_sum(&stage.flow, "order", "SELECT count(*) FROM orders WHERE status = 1"),
		                 3 + after);
		assert_int_equal(resend(&stage, 1, false, &result, &err), OK);
		assert_int_equal(result.last, 3 + after);
		stage_rest(&stage);
		stream_agrees(&stage);
		assert_int_equal(resend(&stage, 1, false, &result, &err), OK); /* again: repeats are dropped */
		stage_rest(&stage);
		stream_agrees(&stage);
		stage_close(&stage);
	}
}

/* Whenever resend looks at the clock the live worker goes on, and new orders come; resend's own records but for the first
 * take a while, so that later numbers stand between them. */
static struct racing {
	struct stage *stage;
	int orders, looks, sent;
	bool inside;
} racing;

static int64_t racing_clock(void *arg)
{
	struct flow *flow = arg;
	if (racing.inside)
		return flow->now_us;
	racing.inside = true;
	flow->now_us += 1000;
	if (++racing.looks % 7 == 0 && racing.orders > 0) {
		flow_order_one(flow, stage_id(racing.stage, "N", 0, 1), "S0", 1);
		racing.orders--;
	}
	for (int i = 0; i < 5; i++)
		worker_step(racing.stage->workers[STAGE_ORDER].worker);
	racing.inside = false;
	return flow->now_us;
}

static enum log_memory_fate race(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)topic;
	(void)record;
	if (!racing.inside)
		*delay_us = racing.sent++ ? 30000 : 0;
	return LOG_MEMORY_WRITE;
}

static void a_live_worker_that_writes_between_is_followed_until_its_numbers_are_covered(void **state)
{
	(void)state;
	int rounds = 0;
	for (int orders = 1; orders <= 12; orders++) {
		struct stage stage;
		struct err err = {0};
		struct resend_result result;
		lose_commands(&stage, 3, 1);
		racing = (struct racing){.stage = &stage, .orders = orders};
		int64_t (*clock)(void *) = stage.flow.seam.monotonic_us;
		stage.flow.seam.monotonic_us = racing_clock;
		log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.produce = race});
		assert_int_equal(resend(&stage, 1, false, &result, &err), OK);
		log_memory_set_faults(stage.flow.memory, NULL);
		stage.flow.seam.monotonic_us = clock;
		rounds = result.rounds > rounds ? result.rounds : rounds;
		stage_rest(&stage);
		stream_agrees(&stage);
		stage_close(&stage);
	}
	assert_true(rounds > 1);
}

static enum log_memory_fate lose_one(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	int *at = arg;
	(void)topic;
	(void)record;
	(void)delay_us;
	return (*at)-- == 0 ? LOG_MEMORY_LOSE : LOG_MEMORY_WRITE;
}

static void a_resend_that_fails_says_to_run_it_again_and_that_heals(void **state)
{
	(void)state;
	for (int at = 0; at < 4; at++) {
		struct stage stage;
		struct err err = {0};
		struct resend_result result;
		int left = at;
		lose_commands(&stage, 3, 1);
		log_memory_set_faults(stage.flow.memory,
		                      &(struct log_memory_faults){.arg = &left, .produce = lose_one});
		assert_int_equal(resend(&stage, 1, false, &result, &err), RETRY);
		assert_non_null(strstr(err.text, "run it again, repeats are dropped"));
		log_memory_set_faults(stage.flow.memory, NULL);
		stage_rest(&stage);
		assert_int_equal(resend(&stage, 1, false, &result, &err), OK);
		stage_rest(&stage);
		stream_agrees(&stage);
		stage_close(&stage);
	}
}

/* ---- what it refuses ---- */

static void edit_first(struct log_record *record, void *arg)
{
	struct stage *stage = arg;
	struct genesis genesis;
	struct err err = {0};
	if (record->offset != 0)
		return;
	const int64_t ms = record->timestamp_ms;
	assert_int_equal(genesis_parse(record, "inventory", 0, &stage->flow.arena, &genesis, &err), OK);
	if (stage->serial < 0)
		memset(genesis.installation, 7, sizeof genesis.installation);
	else
		genesis.single_replica = false;
	assert_int_equal(genesis_record(&genesis, &stage->flow.arena, record, &err), OK);
	record->timestamp_ms = ms;
}

static void refuses_destination(bool other_installation, const char *code, const char *found)
{
	struct stage stage;
	struct err err = {0};
	struct resend_result result;
	stage_make(&stage, 1, 1);
	struct stage_copy *copy = stage_save(&stage, "inventory");
	stage.serial = other_installation ? -1 : 0;
	stage_recreate(&stage, copy);
	stage_restore_tail(&stage, copy, 0, 0, edit_first, &stage);
	assert_int_equal(resend(&stage, 1, false, &result, &err), FATAL);
	assert_string_equal(err.code, code);
	assert_non_null(strstr(err.text, found));
	assert_non_null(strstr(err.text, "restore the topic"));
	stage_restore(&stage, copy);
	assert_int_equal(resend(&stage, 1, false, &result, &err), OK);
	stage_provoked(code);
	stage_close(&stage);
}

static void a_destination_of_another_installation_is_refused(void **state)
{
	(void)state;
	refuses_destination(true, "installation", "inventory/0 of 0707070707");
}

static void a_destination_with_another_list_of_topics_is_refused(void **state)
{
	(void)state;
	refuses_destination(false, "bad_genesis", "their genesis records differ in topics, counts or policy");
	stage_promises("test_resend.c");
}

static void a_topic_that_is_no_output_is_a_mistake_of_the_caller(void **state)
{
	(void)state;
	struct flow flow;
	struct err err = {0};
	struct resend_result result;
	flow_init(&flow, 1, 1);
	const struct resend_config config = {
		.service = flow_service("order"), .log = flow.log, .topic = "orders", .from = 1};
	assert_int_equal(resend_stream(&config, &result, &err), REJECT);
	assert_string_equal(err.code, "usage");
	flow_fini(&flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_tail_is_healed_and_its_gap_closes),
		cmocka_unit_test(a_live_worker_that_writes_between_is_followed_until_its_numbers_are_covered),
		cmocka_unit_test(a_resend_that_fails_says_to_run_it_again_and_that_heals),
		cmocka_unit_test(a_destination_of_another_installation_is_refused),
		cmocka_unit_test(a_destination_with_another_list_of_topics_is_refused),
		cmocka_unit_test(a_topic_that_is_no_output_is_a_mistake_of_the_caller),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
