/* The schedules that once broke the design, each against the real code: it ends right, or it is loud, and how. Of the model's
 * scenes two stand in test_protocol.c: split-commit (a_commit_that_fails_in_one_task_...) and zombie-unfenced
 * (a_zombie_that_wakes_after_a_takeover_...). A lost tail that is healed stands in test_resend.c too. */
#include "support/stage.h"

#include "genesis.h"
#include "header.h"
#include "rebuild.h"
#include "resend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int32_t first[] = {0};

static void start_static(struct stage *stage, int which)
{
	stage_start_with(stage, which, &(struct worker_config){.partitions = first, .partition_count = 1});
}

static void receive(struct stage *stage, const char *receipt)
{
	flow_receive(&stage->flow, receipt, "S", 9);
}

static void order(struct stage *stage, const char *id)
{
	flow_order_one(&stage->flow, id, "S", 1);
}

/* One partition each, stock received, both at rest. */
static void play(struct stage *stage)
{
	stage_make(stage, 1, 1);
	receive(stage, "r");
	start_static(stage, STAGE_ORDER);
	start_static(stage, STAGE_INVENTORY);
	stage_rest(stage);
}

static int64_t sum(struct stage *stage, int which, const char *sql)
{
	return flow_sum(&stage->flow, which ? "inventory" : "order", sql);
}

static void right(struct stage *stage, int64_t confirmed)
{
	stage_run(stage, 125000);
	assert_int_equal(sum(stage, STAGE_ORDER, "SELECT count(*) FROM orders WHERE status = 2"), confirmed);
	assert_int_equal(sum(stage, STAGE_ORDER, "SELECT count(*) FROM orders WHERE status = 1"), 0);
	assert_int_equal(flow_count(&stage->flow, "order-events", &order_confirmed_type), confirmed);
	assert_int_equal(sum(stage, STAGE_INVENTORY, "SELECT sum(received - on_hand) FROM stock"), confirmed);
	assert_int_equal(sum(stage, STAGE_ORDER, "SELECT count(*) FROM gap"), 0);
	assert_int_equal(sum(stage, STAGE_INVENTORY, "SELECT count(*) FROM gap"), 0);
	flow_verify(&stage->flow);
	stage_close(stage);
}

static void loud(struct stage *stage, int which, const char *code)
{
	stage_rest(stage);
	const struct err *why = stage_task(stage, which, 0).why;
	if (!why)
		fail_msg("nothing is said, expected %s", code);
	assert_string_equal(why->code, code);
	stage_close(stage);
}

static void loud_gap(struct stage *stage, const char *verdict)
{
	stage_rest(stage);
	const char *sql = arena_format(&stage->flow.arena, "SELECT count(*) FROM gap WHERE verdict = '%s'", verdict);
	assert_int_equal(sum(stage, STAGE_INVENTORY, sql), 1);
	flow_verify(&stage->flow); /* a replay agrees */
	stage_close(stage);
}

/* ---- outputs and rejections ---- */

static enum status (*real_placed)(struct fold *fold, const void *event, struct err *err);

static enum status emit_then_reject(struct fold *fold, const void *event, struct err *err)
{
	const struct order_placed *placed = event;
	struct reserve_line line = {.sku = "S", .quantity = 9};
	struct reserve_stock command = {.order_id = placed->order_id, .lines = {&line, 1}};
	if (strcmp(placed->order_id, "phantom") != 0)
		return real_placed(fold, event, err);
	enum status status = fold_emit(fold, "inventory", 0, placed->order_id, &reserve_stock_type, &command, err);
	return status == OK ? fold_reject(err, "invalid_lines", "after its first group") : status;
}

struct edited {
	struct service service;
	struct service_handler handlers[16];
};

static void edit_service(struct edited *out, const char *name, const struct event_type *type,
                         enum status (*handle)(struct fold *fold, const void *event, struct err *err))
{
	out->service = *flow_service(name);
	for (size_t i = 0; i < out->service.handler_count; i++) {
		out->handlers[i] = out->service.handlers[i];
		if (out->handlers[i].type != type)
			continue;
		real_placed = out->handlers[i].handle;
		out->handlers[i].handle = handle;
	}
	out->service.handlers = out->handlers;
}

static void phantom_commands_of_a_rejected_order_are_never_sent(void **state)
{
	(void)state;
	struct stage stage;
	struct edited edited;
	play(&stage);
	stage_stop(&stage, STAGE_ORDER);
	edit_service(&edited, "order", &order_placed_type, emit_then_reject);
	stage_start_with(
		&stage, STAGE_ORDER,
		&(struct worker_config){.service = &edited.service, .partitions = first, .partition_count = 1});
	order(&stage, "phantom");
	order(&stage, "next");
	stage_rest(&stage);
	assert_int_equal(flow_count(&stage.flow, "inventory", &reserve_stock_type), 1);
	assert_int_equal(flow_count(&stage.flow, "orders.dlq", &order_placed_type), 1);
	assert_int_equal(sum(&stage, STAGE_INVENTORY, "SELECT number FROM inbound"), 2); /* reserve, commit: no hole */
	assert_int_equal(sum(&stage, STAGE_ORDER, "SELECT count(*) FROM orders WHERE status = 2"), 1);
	flow_verify_service(&stage.flow, &edited.service, NULL);
	stage_close(&stage);
}

/* Copies the last record of a topic's partition to another partition; without its `tandem` header as `tandem replay` does. */
static void copy_last(struct stage *stage, const char *from, int32_t from_partition, const char *to,
                      int32_t to_partition, bool with_ours)
{
	struct err err = {0};
	struct log_record record;
	bool found;
	const int64_t last = stage_end(stage, from, from_partition) - 1;
	assert_int_equal(
		log_read_at(stage->flow.log, from, from_partition, last, &stage->flow.arena, &record, &found, &err),
		OK);
	record.partition = to_partition;
	struct log_header kept[32];
	size_t count = 0;
	for (size_t i = 0; i < record.header_count && i < 32; i++)
		if (with_ours || strcmp(record.headers[i].name, HEADER_STREAM) != 0)
			kept[count++] = record.headers[i];
	record.headers = kept;
	record.header_count = count;
	flow_write(&stage->flow, to, &record);
}

static void wrong_partition_and_redrive_a_dead_letter_is_seen_with_its_own_number_and_taken_without(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 1);
	receive(&stage, "r");
	const char *id = stage_id(&stage, "O", 1, 2);
	struct order_line line = {.sku = "S", .quantity = 1, .unit_price_minor = 1};
	struct order_placed placed = {.order_id = id, .currency = "GBP", .lines = {&line, 1}};
	struct buf value = {0};
	struct err err = {0};
	assert_int_equal(event_encode(&order_placed_type, &placed, &value, &err), OK);
	flow_write(&stage.flow, "orders",
	           &(struct log_record){.partition = 0,
	                                .key = {id, (int32_t)strlen(id)},
	                                .value = {value.data, (int32_t)value.len}});
	buf_fini(&value);
	stage_rest(&stage);
	assert_int_equal(sum(&stage, STAGE_ORDER, "SELECT count(*) FROM orders"), 0);
	assert_int_equal(flow_count(&stage.flow, "orders.dlq", &order_placed_type), 1);
	copy_last(&stage, "orders.dlq", 0, "orders", 1, true); /* by a tool that knows nothing of us */
	stage_rest(&stage);
	assert_int_equal(flow_number(&stage.flow, "order", 1, "SELECT unknown_sources FROM meta"), 1);
	copy_last(&stage, "orders.dlq", 0, "orders", 1, false);
	stage_rest(&stage);
	assert_int_equal(sum(&stage, STAGE_ORDER, "SELECT count(*) FROM orders WHERE status = 2"), 1);
	flow_verify(&stage.flow);
	stage_close(&stage);
}

static enum status cannot(struct fold *fold, const void *event, struct err *err)
{
	(void)fold;
	(void)event;
	return fold_reject(err, "poison", "it cannot be processed");
}

static void dead_command_halts_and_is_answered_by_the_program_that_can(void **state)
{
	(void)state;
	struct stage stage;
	struct edited edited;
	play(&stage);
	stage_stop(&stage, STAGE_INVENTORY);
	edit_service(&edited, "inventory", &reserve_stock_type, cannot);
	stage_start_with(
		&stage, STAGE_INVENTORY,
		&(struct worker_config){.service = &edited.service, .partitions = first, .partition_count = 1});
	order(&stage, "1");
	stage_rest(&stage);
	const struct err *why = stage_task(&stage, STAGE_INVENTORY, 0).why;
	assert_non_null(why);
	assert_string_equal(why->code, "poison");
	assert_non_null(strstr(why->text, "is never skipped: run a program that can"));
	assert_int_equal(stage_end(&stage, "inventory.dlq", 0), 1);
	stage_stop(&stage, STAGE_INVENTORY);
	start_static(&stage, STAGE_INVENTORY);
	right(&stage, 1);
}

/* ---- the mark ---- */

static void mark_behind_the_end_is_loud_and_nothing_is_folded_with_outputs_off(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	for (int i = 0; i < 5; i++)
		order(&stage, "1");
	stage_rest(&stage);
	stage_crash(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	log_memory_truncate(stage.flow.memory, "orders", 0, 3);
	order(&stage, "3");
	start_static(&stage, STAGE_ORDER);
	loud(&stage, STAGE_ORDER, "mark_record");
}

static bool hide_most(void *arg, const char *topic, int32_t partition, int64_t offset)
{
	(void)arg;
	(void)partition;
	return strcmp(topic, "orders") != 0 || offset < 3;
}

static void mark_laundered_is_impossible_while_catching_up_no_mark_is_committed(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct log_mark before = {.partition = 0}, after = {.partition = 0};
	play(&stage);
	for (int i = 0; i < 5; i++)
		order(&stage, "1");
	stage_rest(&stage);
	stage_crash(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	assert_int_equal(log_committed(stage.flow.log, "tandem-order", "orders", &before, &err), OK);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.deliver = hide_most});
	start_static(&stage, STAGE_ORDER);
	stage_run(&stage, 10000);
	assert_true(stage_task(&stage, STAGE_ORDER, 0).catching_up);
	assert_true(flow_number(&stage.flow, "order", 0, "SELECT next_offset FROM meta") ==
	            3); /* a part is committed */
	assert_int_equal(log_committed(stage.flow.log, "tandem-order", "orders", &after, &err), OK);
	assert_int_equal(after.offset, before.offset);
	assert_string_equal(after.metadata, before.metadata);
	stage_crash(&stage, STAGE_ORDER);
	log_memory_set_faults(stage.flow.memory, NULL);
	log_memory_truncate(stage.flow.memory, "orders", 0, 3);
	order(&stage, "3");
	start_static(&stage, STAGE_ORDER); /* and the mark in the file speaks for those that were not sent */
	loud(&stage, STAGE_ORDER, "mark_record");
}

static void remedy_loses_nothing_since_the_file_went_before_the_halt(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	stage_crash(&stage, STAGE_INVENTORY);
	const int64_t then_us = stage.flow.now_us;
	for (int i = 0; i < 4; i++)
		order(&stage, "1");
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	struct stage_copy *copy = stage_save(&stage, "orders");
	const int64_t end = stage_end(&stage, "orders", 0);
	log_memory_truncate(stage.flow.memory, "orders", 0, end - 2);
	const int64_t now_us = stage.flow.now_us;
	stage.flow.now_us = then_us; /* so that the last record can be the mark's to the millisecond */
	order(&stage, "2");
	stage.flow.now_us = now_us;
	stage_restore_tail(&stage, copy, 0, end - 1, NULL, NULL);
	start_static(&stage, STAGE_ORDER);
	stage_until(&stage, STAGE_ORDER, WORKER_HALTED);
	assert_string_equal(stage_task(&stage, STAGE_ORDER, 0).why->code, "mark_differs");
	stage_stop(&stage, STAGE_ORDER);
	stage_delete_marks(&stage, STAGE_ORDER);
	start_static(&stage, STAGE_ORDER);
	start_static(&stage, STAGE_INVENTORY);
	right(&stage, 2);
}

static void foreign_mark_is_no_mark_and_everything_is_sent_again(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	struct log_consumer *tool;
	struct log_mark mark = {.partition = 0, .offset = 1, .metadata = "reset by a tool"};
	play(&stage);
	order(&stage, "1");
	stage_rest(&stage);
	stage_crash(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	const struct log_consumer_config config = {
		.topic = "orders", .group = "tandem-order", .partitions = first, .partition_count = 1};
	assert_int_equal(log_consumer_open(stage.flow.log, &config, &tool, &err), OK);
	assert_int_equal(log_consumer_commit(tool, &mark, 1, &err), OK);
	log_consumer_close(tool, true);
	start_static(&stage, STAGE_ORDER);
	right(&stage, 1);
}

static void rebuild_to_the_end_stops_at_the_mark_and_run_sends_the_rest(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	int64_t records;
	play(&stage);
	order(&stage, "1");
	stage_rest(&stage);
	stage_crash(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	const int64_t end = stage_end(&stage, "orders", 0);
	order(&stage, "2"); /* folded by nobody yet */
	const struct rebuild_config config = {
		.service = flow_service("order"), .log = stage.flow.log, .data = stage.flow.data};
	assert_int_equal(rebuild_partition(&config, &records, &err), OK);
	assert_int_equal(flow_number(&stage.flow, "order", 0, "SELECT next_offset FROM meta"), end);
	start_static(&stage, STAGE_ORDER);
	right(&stage, 2);
}

/* ---- a log that forgets ---- */

static void fork_uncommitted_is_seen_by_its_reader(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	order(&stage, "3");
	stage_rest(&stage);
	stage_crash(&stage, STAGE_INVENTORY); /* reads all of it in the end */
	const int64_t end = stage_end(&stage, "orders", 0);
	order(&stage, "1");
	stage_until(&stage, STAGE_ORDER, WORKER_SENT);
	stage_crash(&stage, STAGE_ORDER); /* the command is out, nothing is committed */
	log_memory_truncate(stage.flow.memory, "orders", 0, end);
	order(&stage, "2");
	start_static(&stage, STAGE_ORDER);
	stage_rest(&stage);
	order(&stage, "4"); /* its number fits, its chain does not */
	stage_rest(&stage);
	start_static(&stage, STAGE_INVENTORY);
	stage_rest(&stage);
	assert_int_equal(sum(&stage, STAGE_INVENTORY, "SELECT count(*) FROM reservation WHERE order_id IN ('2', '4')"),
	                 0);
	loud_gap(&stage, "fork");
}

static void fork_start_check_the_last_records_twin_has_another_time(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	receive(&stage, "1");
	receive(&stage, "2");
	stage_rest(&stage);
	log_memory_truncate(stage.flow.memory, "inventory", 0, 2);
	receive(&stage, "9");
	receive(&stage, "2");
	stage_crash(&stage, STAGE_INVENTORY);
	start_static(&stage, STAGE_INVENTORY);
	loud(&stage, STAGE_INVENTORY, "forked");
}

static void lost_tail_read_is_seen_when_the_leader_changes(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	receive(&stage, "1");
	receive(&stage, "2");
	stage_rest(&stage);
	log_memory_truncate(stage.flow.memory, "inventory", 0, 2);
	for (int i = 0; i < 3; i++) /* grown past the position before the next look */
		receive(&stage, "3");
	log_memory_check(stage.flow.memory, "inventory", 0);
	loud(&stage, STAGE_INVENTORY, "forked");
}

/* The command of order 1 is lost behind its acknowledgement, unread; then order 2, if any. */
static void lose_tail(struct stage *stage, bool then_another)
{
	play(stage);
	stage_crash(stage, STAGE_INVENTORY);
	const int64_t end = stage_end(stage, "inventory", 0);
	order(stage, "1");
	stage_rest(stage);
	log_memory_truncate(stage->flow.memory, "inventory", 0, end);
	if (then_another)
		order(stage, "2");
	stage_rest(stage);
	start_static(stage, STAGE_INVENTORY);
	stage_rest(stage);
}

static void lost_tail_unread_is_a_gap(void **state)
{
	(void)state;
	struct stage stage;
	lose_tail(&stage, true);
	loud_gap(&stage, "gap");
}

static void lost_tail_silent_is_what_audit_compares(void **state)
{
	(void)state;
	struct stage stage;
	lose_tail(&stage, false);
	assert_int_equal(sum(&stage, STAGE_INVENTORY, "SELECT count(*) FROM gap"), 0);
	assert_int_equal(sum(&stage, STAGE_ORDER, "SELECT number FROM outbound WHERE topic = 'inventory'"), 1);
	assert_int_equal(sum(&stage, STAGE_INVENTORY, "SELECT count(*) FROM inbound"), 0);
	flow_verify(&stage.flow);
	stage_close(&stage);
}

static void lost_tail_healed_by_resend(void **state)
{
	(void)state;
	for (int another = 0; another < 2; another++) {
		struct stage stage;
		struct err err = {0};
		struct resend_result result;
		lose_tail(&stage, another);
		assert_int_equal(resend_stream(&(struct resend_config){.service = flow_service("order"),
		                                                       .log = stage.flow.log,
		                                                       .topic = "inventory",
		                                                       .from = 1},
		                               &result, &err),
		                 OK);
		right(&stage, 1 + another);
	}
}

static void head_gone_is_loud(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	order(&stage, "1");
	stage_rest(&stage);
	log_memory_trim(stage.flow.memory, "orders", 0, 2);
	stage_crash(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	order(&stage, "2");
	start_static(&stage, STAGE_ORDER);
	loud(&stage, STAGE_ORDER, "retention");
}

static void answer_before_its_order_is_loud(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	order(&stage, "3");
	stage_rest(&stage);
	const int64_t end = stage_end(&stage, "orders", 0);
	order(&stage, "1");
	stage_until(&stage, STAGE_ORDER, WORKER_SENT);
	stage_crash(&stage, STAGE_ORDER);
	log_memory_truncate(stage.flow.memory, "orders", 0, end);
	stage_rest(&stage); /* the inventory answers */
	order(&stage, "1");
	start_static(&stage, STAGE_ORDER);
	loud(&stage, STAGE_ORDER, "unknown_order");
}

/* ---- topics made again ---- */

static void new_installation(struct log_record *record, void *arg)
{
	struct stage *stage = arg;
	struct genesis genesis;
	struct err err = {0};
	const char *topic = stage->serial < 0 ? "orders" : "inventory";
	const int64_t ms = record->timestamp_ms;
	assert_int_equal(genesis_parse(record, topic, 0, &stage->flow.arena, &genesis, &err), OK);
	memset(genesis.installation, 0x55, sizeof genesis.installation);
	assert_int_equal(genesis_record(&genesis, &stage->flow.arena, record, &err), OK);
	record->timestamp_ms = ms;
}

static void recreate_alone(struct stage *stage, const char *topic)
{
	struct err err = {0};
	stage->serial = strcmp(topic, "orders") == 0 ? -1 : 1;
	struct stage_copy *copy = stage_save(stage, topic);
	struct log_record record;
	bool found;
	assert_int_equal(log_read_at(stage->flow.log, topic, 0, 0, &stage->flow.arena, &record, &found, &err), OK);
	stage_recreate(stage, copy);
	new_installation(&record, stage);
	flow_write(&stage->flow, topic, &record);
}

static void same_first_record_is_another_installation(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	order(&stage, "1");
	order(&stage, "2");
	stage_rest(&stage);
	stage_crash(&stage, STAGE_ORDER);
	recreate_alone(&stage, "orders");
	stage_delete(&stage, STAGE_ORDER, 0);
	stage_delete_marks(&stage, STAGE_ORDER);
	order(&stage, "1");
	order(&stage, "3");
	start_static(&stage, STAGE_ORDER);
	loud(&stage, STAGE_ORDER, "foreign_destination");
}

static void destination_recreated_is_a_gap_at_once_and_refused_at_the_next_look(void **state)
{
	(void)state;
	struct stage stage;
	play(&stage);
	order(&stage, "1");
	stage_rest(&stage);
	stage_crash(&stage, STAGE_INVENTORY);
	recreate_alone(&stage, "inventory");
	stage_delete(&stage, STAGE_INVENTORY, 0);
	stage_delete_marks(&stage, STAGE_INVENTORY);
	receive(&stage, "r");
	start_static(&stage, STAGE_INVENTORY);
	order(&stage, "2");
	stage_rest(&stage);
	assert_true(sum(&stage, STAGE_INVENTORY, "SELECT count(*) FROM gap") == 1);
	stage_run(&stage, 601000);
	order(&stage, "3");
	loud(&stage, STAGE_ORDER, "foreign_destination");
}

/* ---- a newer program ---- */

/* Folds every order as if it were for another quantity. */
static enum status place_more(struct fold *fold, const void *event, struct err *err)
{
	struct order_placed placed = *(const struct order_placed *)event;
	struct order_line line = placed.lines.items[0];
	line.quantity++;
	placed.lines.items = &line;
	placed.lines.count = 1;
	return real_placed(fold, &placed, err);
}

static void start_program(struct stage *stage, const struct service *service)
{
	stage_start_with(stage, STAGE_ORDER,
	                 &(struct worker_config){.service = service, .partitions = first, .partition_count = 1});
}

/* Folded, committed and marked by the program that there is; then the file is lost. */
static void lose_the_file(struct stage *stage)
{
	play(stage);
	order(stage, "1");
	stage_rest(stage);
	stage_crash(stage, STAGE_ORDER);
	stage_delete(stage, STAGE_ORDER, 0);
}

static void version_fresh_file_is_folded_as_the_log_says_by_a_newer_program(void **state)
{
	(void)state;
	struct stage stage;
	struct service newer = *flow_service("order");
	newer.logic_version = 2; /* and the log is still at 1 */
	lose_the_file(&stage);
	start_program(&stage, &newer);
	order(&stage, "2");
	stage_rest(&stage);
	assert_int_equal(sum(&stage, STAGE_ORDER, "SELECT logic_version FROM meta"), 1);
	stage_stop(&stage, STAGE_ORDER);
	start_static(&stage, STAGE_ORDER); /* the older one goes on with that file */
	right(&stage, 2);
}

static void version_fresh_file_is_not_taken_from_a_program_that_folds_otherwise(void **state)
{
	(void)state;
	struct stage stage;
	struct edited edited;
	lose_the_file(&stage);
	edit_service(&edited, "order", &order_placed_type, place_more);
	start_program(&stage, &edited.service);
	stage_until(&stage, STAGE_ORDER, WORKER_HALTED);
	assert_string_equal(stage_task(&stage, STAGE_ORDER, 0).why->code, "mark_differs");
	stage_crash(&stage, STAGE_ORDER);
	start_static(&stage, STAGE_ORDER); /* "run the program that folded it": nothing was sent, nothing is lost */
	right(&stage, 1);
}

static void version_uncommitted_comes_out_the_same_from_a_newer_program(void **state)
{
	(void)state;
	struct stage stage;
	struct service newer = *flow_service("order");
	newer.logic_version = 2;
	play(&stage);
	order(&stage, "1");
	stage_until(&stage, STAGE_ORDER, WORKER_SENT);
	stage_crash(&stage, STAGE_ORDER); /* the command is out, nothing is committed */
	start_program(&stage, &newer);
	right(&stage, 1);
}

static void version_uncommitted_of_a_program_that_folds_otherwise_is_a_fork_for_its_reader(void **state)
{
	(void)state;
	struct stage stage;
	struct edited edited;
	play(&stage);
	order(&stage, "1");
	stage_until(&stage, STAGE_ORDER, WORKER_SENT);
	stage_crash(&stage, STAGE_ORDER);
	edit_service(&edited, "order", &order_placed_type, place_more);
	start_program(&stage, &edited.service);
	stage_rest(&stage);
	assert_int_equal(sum(&stage, STAGE_INVENTORY, "SELECT sum(value) FROM reservation, json_each(lines)"), 1);
	assert_int_equal(sum(&stage, STAGE_INVENTORY, "SELECT count(*) FROM gap WHERE verdict = 'fork'"), 1);
	flow_verify_service(&stage.flow, flow_service("inventory"), NULL);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phantom_commands_of_a_rejected_order_are_never_sent),
		cmocka_unit_test(
			wrong_partition_and_redrive_a_dead_letter_is_seen_with_its_own_number_and_taken_without),
		cmocka_unit_test(dead_command_halts_and_is_answered_by_the_program_that_can),
		cmocka_unit_test(mark_behind_the_end_is_loud_and_nothing_is_folded_with_outputs_off),
		cmocka_unit_test(mark_laundered_is_impossible_while_catching_up_no_mark_is_committed),
		cmocka_unit_test(remedy_loses_nothing_since_the_file_went_before_the_halt),
		cmocka_unit_test(foreign_mark_is_no_mark_and_everything_is_sent_again),
		cmocka_unit_test(rebuild_to_the_end_stops_at_the_mark_and_run_sends_the_rest),
		cmocka_unit_test(fork_uncommitted_is_seen_by_its_reader),
		cmocka_unit_test(fork_start_check_the_last_records_twin_has_another_time),
		cmocka_unit_test(lost_tail_read_is_seen_when_the_leader_changes),
		cmocka_unit_test(lost_tail_unread_is_a_gap),
		cmocka_unit_test(lost_tail_silent_is_what_audit_compares),
		cmocka_unit_test(lost_tail_healed_by_resend),
		cmocka_unit_test(head_gone_is_loud),
		cmocka_unit_test(answer_before_its_order_is_loud),
		cmocka_unit_test(same_first_record_is_another_installation),
		cmocka_unit_test(destination_recreated_is_a_gap_at_once_and_refused_at_the_next_look),
		cmocka_unit_test(version_fresh_file_is_folded_as_the_log_says_by_a_newer_program),
		cmocka_unit_test(version_fresh_file_is_not_taken_from_a_program_that_folds_otherwise),
		cmocka_unit_test(version_uncommitted_comes_out_the_same_from_a_newer_program),
		cmocka_unit_test(version_uncommitted_of_a_program_that_folds_otherwise_is_a_fork_for_its_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
