/* What a worker refuses about a record, an answer of its own handlers, or an output: each is provoked, the other tasks go on,
 * and the way out that the message names is followed. "Run a program that can" is a service that can. */
#include "support/stage.h"

#include "genesis.h"
#include "header.h"
#include "task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum status take_anything(struct fold *fold, const void *event, struct err *err)
{
	(void)fold;
	(void)event;
	(void)err;
	return OK;
}

/* The service of a newer program: it takes events of this type, whatever they say. */
struct newer {
	struct service service;
	struct service_handler handlers[16];
};

static const struct service *newer_service(struct newer *newer, const char *name, const struct event_type *type)
{
	newer->service = *flow_service(name);
	size_t count = newer->service.handler_count, i = 0;
	memcpy(newer->handlers, newer->service.handlers, count * sizeof *newer->handlers);
	while (type && i < count && newer->handlers[i].type != type)
		i++;
	if (type)
		newer->handlers[i] = (struct service_handler){type, take_anything};
	newer->service.handlers = newer->handlers;
	newer->service.handler_count = i == count && type ? count + 1 : count;
	newer->service.logic_version = 2;
	return &newer->service;
}

/* Halts inventory/0 (or orders/0); then a newer program is run. */
static void refused_until_newer(struct stage *stage, const struct stage_refusal *refusal, const struct event_type *type)
{
	struct newer newer;
	const struct service *service = newer_service(&newer, stage_service(refusal->which), type);
	stage_refused(stage, refusal);
	stage_stop(stage, refusal->which);
	stage_start_with(stage, refusal->which, &(struct worker_config){.service = service});
	stage_feed(stage, refusal->which, 0);
	stage_rest(stage);
	const struct worker_task task = stage_task(stage, refusal->which, 0);
	if (task.why)
		fail_msg("%s: %s", task.why->code, task.why->text);
	flow_verify_service(&stage->flow, service, NULL);
	stage_followed(stage);
	stage_close(stage);
}

static void refused_until_restored(struct stage *stage, const struct stage_copy *copy,
                                   const struct stage_refusal *refusal)
{
	stage_refused(stage, refusal);
	stage_restore_partition(stage, copy, 0);
	stage_recovers(stage, refusal->which, 0);
	stage_close(stage);
}

#define NUMBERED "is never skipped: run a program that can, or restore the log"

/* Both ways out of an event that the program cannot take: the log without it, and a program that can. */
static void forged(int which, const struct event_type *type, const void *event, const struct stage_refusal *refusal,
                   const struct event_type *taken)
{
	for (int newer = 0; newer < 2; newer++) {
		struct stage stage;
		stage_open(&stage, 2, 2);
		if (which == STAGE_REVENUE) {
			stage_start(&stage, which);
			stage_rest(&stage);
		}
		struct stage_copy *copy = stage_save(&stage, flow_service(stage_service(which))->input);
		stage_forge(&stage, &(struct stage_forgery){.which = which, .from = 1, .type = type, .event = event});
		if (newer)
			refused_until_newer(&stage, refusal, taken);
		else
			refused_until_restored(&stage, copy, refusal);
	}
}

static void forged_to_inventory(const struct event_type *type, const void *event, const char *code, const char *found,
                                const char *way_out)
{
	const struct stage_refusal refusal = {.which = STAGE_INVENTORY,
	                                      .code = code,
	                                      .words = {"inventory/0 offset", found, way_out, "restore the log"}};
	forged(STAGE_INVENTORY, type, event, &refusal, type);
}

/* ---- numbered events ---- */

static void a_numbered_event_of_an_unknown_type_waits_for_a_newer_program(void **state)
{
	(void)state;
	const struct order_confirmed event = {.order_id = "x", .currency = "GBP"};
	forged_to_inventory(&order_confirmed_type, &event, "unknown_schema",
	                    "number 1 of order/1 is written with schema", "run a newer program");
}

static void a_numbered_event_of_a_schema_that_nobody_knows_stays_until_the_log_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "inventory");
	stage_forge(&stage, &(struct stage_forgery){.which = STAGE_INVENTORY, .from = 1});
	refused_until_restored(&stage, copy,
	                       &(struct stage_refusal){.which = STAGE_INVENTORY,
	                                               .code = "unknown_schema",
	                                               .words = {"schema 0807060504030201", "does not know"}});
}

static void a_publishers_event_that_comes_numbered_halts(void **state)
{
	(void)state;
	struct stage stage;
	const struct stock_received event = {.receipt_id = "r", .sku = "S", .quantity = 1};
	stage_open(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "inventory");
	stage_forge(&stage,
	            &(struct stage_forgery){
			    .which = STAGE_INVENTORY, .from = 1, .type = &stock_received_type, .event = &event});
	refused_until_restored(
		&stage, copy,
		&(struct stage_refusal){.which = STAGE_INVENTORY,
	                                .code = "numbered_publisher_event",
	                                .words = {"number 1 of order/1 is a StockReceived",
	                                          "which only publishers send", "restore the topic without it"}});
}

static void a_command_for_stock_of_another_partition_halts(void **state)
{
	(void)state;
	struct stage keys = {0};
	struct reserve_line line = {.sku = stage_id(&keys, "S", 1, 2), .quantity = 1};
	struct reserve_stock command = {.order_id = "x", .lines = {&line, 1}};
	forged_to_inventory(&reserve_stock_type, &command, "not_owned", "which partition 0 does not own", NUMBERED);
	arena_fini(&keys.flow.arena);
}

static void a_command_with_lines_out_of_order_halts(void **state)
{
	(void)state;
	struct stage keys = {0};
	struct reserve_line lines[] = {{.sku = stage_id(&keys, "S", 0, 2), .quantity = 1}, {.quantity = 1}};
	lines[1].sku = lines[0].sku;
	struct reserve_stock command = {.order_id = "x", .lines = {lines, 2}};
	forged_to_inventory(&reserve_stock_type, &command, "malformed_command", "its lines are not in order", NUMBERED);
	arena_fini(&keys.flow.arena);
}

static void a_command_without_lines_halts(void **state)
{
	(void)state;
	struct reserve_stock command = {.order_id = "x"};
	forged_to_inventory(&reserve_stock_type, &command, "malformed_command", "has no line", NUMBERED);
}

static void a_commit_of_nothing_halts(void **state)
{
	(void)state;
	struct commit_stock command = {.order_id = "x"};
	forged_to_inventory(&commit_stock_type, &command, "illegal_transition",
	                    "CommitStock for order x, whose reservation is"
	                    " unknown",
	                    NUMBERED);
}

static void a_refusal_that_cannot_be_read_back_halts_until_the_file_is_rebuilt(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	const char *sku = stage_id(&stage, "S", 0, 2), *order = stage_id(&stage, "O", 0, 2);
	flow_order_one(&stage.flow, order, sku, 3); /* nothing is there */
	stage_rest(&stage);
	stage_stop(&stage, STAGE_INVENTORY);
	stage_exec(&stage, STAGE_INVENTORY, 0, "UPDATE reservation SET refusal = x'C301'");
	stage_start(&stage, STAGE_INVENTORY);
	struct reserve_line line = {.sku = sku, .quantity = 3};
	struct reserve_stock again = {.order_id = order, .lines = {&line, 1}};
	stage_forge(&stage, &(struct stage_forgery){
				    .which = STAGE_INVENTORY, .from = 0, .type = &reserve_stock_type, .event = &again});
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_INVENTORY,
	                                              .code = "corrupt",
	                                              .words = {"the refusal kept for order", "delete it", "rebuilt"}});
	stage_delete(&stage, STAGE_INVENTORY, 0);
	stage_recovers(&stage, STAGE_INVENTORY, 0);
	stage_close(&stage);
}

static void an_answer_for_an_order_that_is_not_there_halts(void **state)
{
	(void)state;
	const struct stock_reserved event = {.order_id = "nobody's", .inventory_partition = 1};
	const struct stage_refusal refusal = {
		.which = STAGE_ORDER,
		.code = "unknown_order",
		.words = {"answers for order nobody's", "the input log has lost records", "tandem audit", NUMBERED}};
	forged(STAGE_ORDER, &stock_reserved_type, &event, &refusal, &stock_reserved_type);
}

static void an_answer_that_contradicts_the_one_before_halts(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	const char *order = stage_order(&stage, 0, 1);
	stage_rest(&stage);
	const struct stock_rejected event = {
		.order_id = order, .inventory_partition = 1, .reason = REJECT_REASON_INSUFFICIENT_STOCK};
	const struct stage_refusal refusal = {
		.which = STAGE_ORDER, .code = "contradiction", .words = {order, NUMBERED}};
	struct stage_copy *copy = stage_save(&stage, "orders");
	for (int newer = 0; newer < 2; newer++) {
		stage_forge(&stage,
		            &(struct stage_forgery){
				    .which = STAGE_ORDER, .from = 1, .type = &stock_rejected_type, .event = &event});
		if (newer) {
			refused_until_newer(&stage, &refusal, &stock_rejected_type);
			continue;
		}
		stage_refused(&stage, &refusal);
		stage_restore_partition(&stage, copy, 0);
		stage_recovers(&stage, STAGE_ORDER, 0);
	}
}

/* ---- control records and headers ---- */

static void a_control_record_that_is_none_of_ours_stays_until_the_log_is_restored(void **state)
{
	(void)state;
	static const struct {
		const char *value, *found, *way_out;
	} cases[] = {
		{"rubbish, no control", "not single-object encoded", "restore the topic without it"},
		{"\xc3\x01"
	         "ABCDEFGH1",
	         "schema 4847464544434241", "run a newer program, or restore the topic without it"},
	};
	for (size_t i = 0; i < 2; i++) {
		struct stage stage;
		stage_open(&stage, 2, 2);
		struct stage_copy *copy = stage_save(&stage, "inventory");
		stage_control(&stage, "inventory", 0, cases[i].value, strlen(cases[i].value));
		refused_until_restored(&stage, copy,
		                       &(struct stage_refusal){.which = STAGE_INVENTORY,
		                                               .code = "unknown_control",
		                                               .words = {cases[i].found, cases[i].way_out}});
	}
}

static void a_logic_version_that_is_too_new_waits_for_a_newer_program(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	stage_logic_version(&stage, "inventory", 0, 2);
	refused_until_newer(
		&stage,
		&(struct stage_refusal){.which = STAGE_INVENTORY,
	                                .code = "unknown_version",
	                                .words = {"asks for logic version 2", "knows up to 1", "run a newer program"}},
		NULL);
}

static void a_header_of_a_newer_version_stays_until_the_log_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	static const char bytes[22] = {3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'x'};
	const struct log_header header = {HEADER_STREAM, {bytes, sizeof bytes}};
	stage_open(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "inventory");
	flow_write(&stage.flow, "inventory",
	           &(struct log_record){.key = {"k", 1}, .value = {"v", 1}, .headers = &header, .header_count = 1});
	refused_until_restored(&stage, copy,
	                       &(struct stage_refusal){.which = STAGE_INVENTORY,
	                                               .code = "newer_header",
	                                               .words = {"newer version", "run a newer program",
	                                                         "or restore the topic without it"}});
}

/* ---- handlers and outputs ---- */

static enum status (*right_handler)(struct fold *fold, const void *event, struct err *err);

static enum status emit_to_nowhere(struct fold *fold, const void *event, struct err *err)
{
	if (fold_partition(fold) != 0)
		return right_handler(fold, event, err);
	return fold_emit(fold, "orders", 99, "k", &stock_received_type, event, err);
}

static enum status emit_to_no_topic(struct fold *fold, const void *event, struct err *err)
{
	if (fold_partition(fold) != 0)
		return right_handler(fold, event, err);
	return fold_emit(fold, "nowhere", fold_partition_of(fold, "nowhere", "k"), "k", &stock_received_type, event,
	                 err);
}

static enum status emit_nonsense(struct fold *fold, const void *event, struct err *err)
{
	const struct stock_reserved answer = {.order_id = "\xff"};
	if (fold_partition(fold) != 0)
		return right_handler(fold, event, err);
	return fold_emit(fold, "orders", 0, "k", &stock_reserved_type, &answer, err);
}

static enum status put_nonsense(struct fold *fold, const void *event, struct err *err)
{
	const struct store_value row[] = {value_text("SKU"), value_text("many"), value_int(0), value_int(1)};
	if (fold_partition(fold) != 0)
		return right_handler(fold, event, err);
	return fold_put(fold, 0, row, err);
}

static enum status look_for_nonsense(struct fold *fold, const void *event, struct err *err)
{
	const struct store_value key = value_int(1), *row;
	if (fold_partition(fold) != 0)
		return right_handler(fold, event, err);
	return fold_get(fold, 0, &key, &row, err);
}

static void a_handler_that_does_what_it_must_not_halts_until_the_program_is_replaced(void **state)
{
	(void)state;
	static const struct {
		enum status (*handle)(struct fold *fold, const void *event, struct err *err);
		const char *code, *found;
	} cases[] = {
		{emit_to_nowhere, "handler",
	         "inventory emits StockReceived to orders/99, which is none of its outputs"},
		{emit_to_no_topic, "handler",
	         "inventory emits StockReceived to nowhere/-1, which is none of its outputs"},
		{emit_nonsense, "invalid_utf8", "inventory emits a StockReserved that its schema cannot hold"},
		{put_nonsense, "handler", "a row for table stock has a value that its column 2 cannot hold"},
		{look_for_nonsense, "handler", "a key of table stock has another type than its column 1"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct stage stage;
		struct newer faulty;
		newer_service(&faulty, "inventory", NULL);
		faulty.service.logic_version = 1;
		size_t at = 0;
		while (faulty.handlers[at].type != &stock_received_type)
			at++;
		right_handler = faulty.handlers[at].handle;
		faulty.handlers[at].handle = cases[i].handle;
		stage_open(&stage, 2, 2);
		stage_stop(&stage, STAGE_INVENTORY);
		stage_start_with(&stage, STAGE_INVENTORY, &(struct worker_config){.service = &faulty.service});
		stage_feed(&stage, STAGE_INVENTORY, 0);
		stage_refused(&stage, &(struct stage_refusal){.which = STAGE_INVENTORY,
		                                              .code = cases[i].code,
		                                              .words = {cases[i].found, "a fault of this program",
		                                                        "run one without it"}});
		stage_stop(&stage, STAGE_INVENTORY);
		stage_start(&stage, STAGE_INVENTORY);
		stage_recovers(&stage, STAGE_INVENTORY, 0);
		assert_int_equal(stage_end(&stage, "orders", 0), 2); /* nothing of the record went out */
		stage_close(&stage);
	}
}

/* Order 0's command is larger than its topic takes. Its batch mate is rolled back with it, and goes on. */
static void an_output_that_is_too_large_halts_its_own_task_alone(void **state)
{
	(void)state;
	struct stage stage;
	struct order_line lines[200];
	stage_open(&stage, 2, 2);
	for (int i = 0; i < 200; i++)
		lines[i] =
			(struct order_line){.sku = stage_id(&stage, "S", 1, 2), .quantity = 1, .unit_price_minor = 1};
	assert_true(log_memory_set(stage.flow.memory, "inventory", "max.message.bytes", "600"));
	flow_order(&stage.flow, stage_id(&stage, "O", 0, 2), lines, 200);
	const char *mate = stage_order(&stage, 1, 1);
	stage_until(&stage, STAGE_ORDER, WORKER_ROLLED_BACK);
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
	                                              .code = "too_large",
	                                              .words = {"an output was refused", "topic inventory takes 600",
	                                                        "raise max.message.bytes"}});
	const char *sql = arena_format(&stage.flow.arena, "SELECT status FROM orders WHERE order_id = '%s'", mate);
	assert_int_equal(flow_number(&stage.flow, "order", 1, sql), 2);
	assert_true(log_memory_set(stage.flow.memory, "inventory", "max.message.bytes", "1048588"));
	stage_recovers(&stage, STAGE_ORDER, 0);
	assert_int_equal(flow_sum(&stage.flow, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0);
	stage_close(&stage);
}

static enum log_memory_fate refuse_from_order_0(void *arg, const char *topic, const struct log_record *record,
                                                int64_t *delay_us)
{
	struct header_stream stream;
	(void)arg;
	(void)delay_us;
	bool ours = strcmp(topic, "inventory") == 0 && header_stream_parse(record, &stream) == HEADER_VALID;
	return ours && stream.partition == 0 ? LOG_MEMORY_REFUSE : LOG_MEMORY_WRITE;
}

static void an_output_that_the_log_refuses_is_tried_again_with_growing_pauses(void **state)
{
	(void)state;
	struct stage stage;
	struct worker_counts counts;
	stage_open(&stage, 2, 2);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.produce = refuse_from_order_0});
	stage_order(&stage, 0, 0);
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
	                                              .code = "io",
	                                              .words = {"an output was refused", "tried again by itself"}});
	stage_run(&stage, 600000);
	worker_counts(stage.workers[STAGE_ORDER].worker, &counts);
	assert_in_range(counts.halts, 8 + 8, 8 + 12); /* 250 ms doubled up to a minute */
	log_memory_set_faults(stage.flow.memory, NULL);
	stage_recovers(&stage, STAGE_ORDER, 0);
	assert_int_equal(flow_count(&stage.flow, "order-events", &order_confirmed_type), 1);
	stage_close(&stage);
}

/* ---- a log that gives what it should not ---- */

struct misreading {
	int64_t at, instead;
};

static int64_t misread(void *arg, const char *topic, int32_t partition, int64_t offset)
{
	const struct misreading *wrong = arg;
	return strcmp(topic, "orders") == 0 && partition == 0 && offset == wrong->at ? wrong->instead : offset;
}

static void a_log_that_repeats_or_skips_is_read_again_until_it_gives_what_it_has(void **state)
{
	(void)state;
	static const struct {
		struct misreading wrong;
		bool fresh; /* the file is folded from the beginning */
		const char *found;
	} cases[] = {
		{{3, 2}, false, "orders/0 gave record 2 where 3 or a later one was expected"},
		{{0, 1}, true, "orders/0 gave record 1 where 0 was expected"},
	};
	for (size_t i = 0; i < 2; i++) {
		struct stage stage;
		struct misreading wrong = cases[i].wrong;
		stage_open(&stage, 2, 2);
		stage_feed(&stage, STAGE_ORDER, 0);
		stage_rest(&stage);
		stage_stop(&stage, STAGE_ORDER);
		if (cases[i].fresh)
			stage_delete(&stage, STAGE_ORDER, 0);
		stage_feed(&stage, STAGE_ORDER, 0);
		log_memory_set_faults(stage.flow.memory,
		                      &(struct log_memory_faults){.arg = &wrong, .misread = misread});
		stage_start(&stage, STAGE_ORDER);
		stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
		                                              .code = "out_of_order",
		                                              .words = {cases[i].found, "a fault of the log",
		                                                        "read again from the last commit",
		                                                        "restore the topic"}});
		log_memory_set_faults(stage.flow.memory, NULL);
		stage_recovers(&stage, STAGE_ORDER, 0);
		stage_close(&stage);
	}
}

/* ---- a reader of order-events ---- */

static void a_cancellation_of_what_was_never_confirmed_halts_the_reader(void **state)
{
	(void)state;
	const struct order_cancelled event = {
		.order_id = "nobody's", .currency = "GBP", .total_minor = 1, .was = CANCELLED_FROM_CONFIRMED};
	const struct stage_refusal refusal = {
		.which = STAGE_REVENUE,
		.code = "illegal_transition",
		.words = {"order nobody's was cancelled after it was confirmed", "not confirmed here", NUMBERED}};
	forged(STAGE_REVENUE, &order_cancelled_type, &event, &refusal, &order_cancelled_type);
}

static void every_refusal_promised_here_was_provoked(void **state)
{
	(void)state;
	stage_promises("test_refusals_record.c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_numbered_event_of_an_unknown_type_waits_for_a_newer_program),
		cmocka_unit_test(a_numbered_event_of_a_schema_that_nobody_knows_stays_until_the_log_is_restored),
		cmocka_unit_test(a_publishers_event_that_comes_numbered_halts),
		cmocka_unit_test(a_command_for_stock_of_another_partition_halts),
		cmocka_unit_test(a_command_with_lines_out_of_order_halts),
		cmocka_unit_test(a_command_without_lines_halts),
		cmocka_unit_test(a_commit_of_nothing_halts),
		cmocka_unit_test(a_refusal_that_cannot_be_read_back_halts_until_the_file_is_rebuilt),
		cmocka_unit_test(an_answer_for_an_order_that_is_not_there_halts),
		cmocka_unit_test(an_answer_that_contradicts_the_one_before_halts),
		cmocka_unit_test(a_control_record_that_is_none_of_ours_stays_until_the_log_is_restored),
		cmocka_unit_test(a_logic_version_that_is_too_new_waits_for_a_newer_program),
		cmocka_unit_test(a_header_of_a_newer_version_stays_until_the_log_is_restored),
		cmocka_unit_test(a_handler_that_does_what_it_must_not_halts_until_the_program_is_replaced),
		cmocka_unit_test(an_output_that_is_too_large_halts_its_own_task_alone),
		cmocka_unit_test(an_output_that_the_log_refuses_is_tried_again_with_growing_pauses),
		cmocka_unit_test(a_log_that_repeats_or_skips_is_read_again_until_it_gives_what_it_has),
		cmocka_unit_test(a_cancellation_of_what_was_never_confirmed_halts_the_reader),
		cmocka_unit_test(every_refusal_promised_here_was_provoked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
