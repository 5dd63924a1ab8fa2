/* explain: stories of orders that both workers folded, in one process over local::memory:. */
#include "../consumers/explain/story.h"

#include "command.h"
#include "support/capture.h"
#include "support/flow.h"
#include "support/installation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct command explain_command;

static struct fixture {
	struct flow flow;
	struct flow_worker workers[2]; /* order, inventory */
	struct story story;
	char *text;
} f;

static void setup(int32_t orders, int32_t inventory)
{
	f = (struct fixture){0};
	flow_init(&f.flow, orders, inventory);
	flow_start(&f.flow, &f.workers[0], "order", NULL, 0);
	flow_start(&f.flow, &f.workers[1], "inventory", NULL, 0);
}

static void forget_story(void)
{
	story_free(&f.story);
	free(f.text);
	f.text = NULL;
	f.story = (struct story){0};
}

static void teardown(void)
{
	forget_story();
	for (int i = 0; i < 2; i++)
		if (f.workers[i].worker)
			flow_close(&f.workers[i]);
	flow_fini(&f.flow);
}

static void rest(void)
{
	flow_rest(&f.flow, f.workers, 2);
}

/* Tells the story and prints it into f.text. */
static void tell(const char *order_id)
{
	struct err err = {0};
	size_t len;
	const char *data = f.flow.data;
	forget_story();
	if (story_tell(&f.story, f.flow.log, order_id, &data, 1, &err) != OK)
		fail_msg("%s: %s", err.code, err.text);
	FILE *out = open_memstream(&f.text, &len);
	story_print(&f.story, out, true);
	fclose(out);
}

/* How many events of this type, repeats left out. */
static int count(const struct event_type *type)
{
	int n = 0;
	for (size_t i = 0; i < f.story.event_count; i++)
		n += f.story.events[i].view.type == type && !f.story.events[i].repeat;
	return n;
}

/* The type of the event that led to the only one of this type. */
static const char *cause_of(const struct event_type *type)
{
	for (size_t i = 0; i < f.story.event_count; i++) {
		const struct story_event *event = &f.story.events[i];
		if (event->view.type == type && !event->repeat)
			return event->cause < 0 ? "nothing" : f.story.events[event->cause].view.type->name;
	}
	return "no such event";
}

static void every_numbered_event_has_its_cause(void)
{
	for (size_t i = 0; i < f.story.event_count; i++)
		if (f.story.events[i].view.numbered == HEADER_VALID && f.story.events[i].cause < 0)
			fail_msg("event %zu has no cause:\n%s", i, f.text);
}

static void nothing_is_missing(void)
{
	if (f.story.missing_count)
		fail_msg("%s", f.text);
	every_numbered_event_has_its_cause();
}

#define SAYS(part)                                                                                                     \
	do {                                                                                                           \
		if (!strstr(f.text, (part)))                                                                           \
			fail_msg("expected '%s' in:\n%s", (part), f.text);                                             \
	} while (0)

static void a_rejection_tells_the_numbers_that_led_to_it(void **state)
{
	(void)state;
	setup(1, 1);
	flow_receive(&f.flow, "R1", "A", 10);
	rest();
	flow_order_one(&f.flow, "first", "A", 3);
	flow_order_one(&f.flow, "second", "A", 12);
	rest();
	tell("second");
	SAYS("order second: rejected, 1 line, total_minor 3060 GBP\nOrderPlaced  orders/0@2  ");
	SAYS("1 line: A x 12\n└─ ReserveStock  inventory/0@3  ");
	SAYS("\n   └─ StockRejected  orders/0@4  ");
	SAYS("by inventory/0: A wanted 12, on hand 10, reserved 3\n      └─ OrderRejected  order-events/0@");
	assert_int_equal(f.story.event_count, 4);
	nothing_is_missing();
	teardown();
}

/* Lines of SKUs S0, S1, ... */
static void place_wide(const char *order_id, size_t lines)
{
	struct order_line items[16];
	char skus[16][8];
	for (size_t i = 0; i < lines; i++) {
		snprintf(skus[i], sizeof skus[i], "S%zu", i);
		items[i] = (struct order_line){.sku = skus[i], .quantity = 2, .unit_price_minor = 100};
	}
	flow_order(&f.flow, order_id, items, lines);
}

static void receive_wide(size_t skus)
{
	char sku[8];
	for (size_t i = 0; i < skus; i++) {
		snprintf(sku, sizeof sku, "S%zu", i);
		flow_receive(&f.flow, "R", sku, 100);
	}
	rest();
}

static void an_order_over_many_partitions_is_told_group_by_group(void **state)
{
	(void)state;
	setup(2, 4);
	receive_wide(12);
	place_wide("wide", 12);
	rest();
	tell("wide");
	int groups = (int)f.story.group_count;
	assert_true(groups > 1);
	assert_int_equal(count(&reserve_stock_type), groups);
	assert_int_equal(count(&stock_reserved_type), groups);
	assert_int_equal(count(&commit_stock_type), groups);
	assert_int_equal(count(&order_confirmed_type), 1);
	assert_int_equal(f.story.event_count, 2 + 3 * groups);
	assert_string_equal(cause_of(&order_confirmed_type), "StockReserved");
	assert_string_equal(cause_of(&commit_stock_type), "StockReserved");
	nothing_is_missing();
	teardown();
}

static void a_confirmed_order_that_is_cancelled_has_both_endings(void **state)
{
	(void)state;
	setup(1, 4);
	receive_wide(8);
	place_wide("o", 8);
	rest();
	flow_cancel(&f.flow, "o");
	rest();
	tell("o");
	int groups = (int)f.story.group_count;
	assert_int_equal(count(&commit_stock_type), groups);
	assert_int_equal(count(&release_stock_type), groups);
	assert_int_equal(count(&order_confirmed_type), 1);
	assert_int_equal(count(&order_cancelled_type), 1);
	assert_string_equal(cause_of(&order_confirmed_type), "StockReserved");
	assert_string_equal(cause_of(&order_cancelled_type), "OrderCancelRequested");
	assert_string_equal(cause_of(&release_stock_type), "OrderCancelRequested");
	SAYS("was CONFIRMED");
	nothing_is_missing();
	teardown();
}

static void a_cancel_before_its_order_is_told_before_and_after(void **state)
{
	(void)state;
	setup(1, 1);
	flow_cancel(&f.flow, "early");
	rest();
	tell("early");
	SAYS("order early: not placed; its cancelling was requested");
	assert_int_equal(f.story.event_count, 1);
	flow_order_one(&f.flow, "early", "A", 1);
	rest();
	tell("early");
	SAYS("order early: cancelled");
	SAYS("was NOT_PLACED");
	assert_string_equal(cause_of(&order_cancelled_type), "OrderPlaced");
	assert_int_equal(f.story.event_count, 3);
	nothing_is_missing();
	teardown();
}

static void a_late_answer_is_what_its_release_follows_from(void **state)
{
	(void)state;
	setup(1, 1);
	flow_receive(&f.flow, "R", "A", 5);
	flow_close(&f.workers[1]);
	flow_order_one(&f.flow, "o", "A", 1);
	rest();
	tell("o");
	SAYS("order o: pending");
	SAYS("waits for inventory/0\n");
	flow_cancel(&f.flow, "o");
	rest();
	flow_start(&f.flow, &f.workers[1], "inventory", NULL, 0);
	rest();
	tell("o");
	assert_string_equal(cause_of(&order_cancelled_type), "OrderCancelRequested");
	assert_string_equal(cause_of(&release_stock_type), "StockReserved");
	assert_int_equal(count(&commit_stock_type), 0);
	nothing_is_missing();
	teardown();
}

static void an_answer_that_the_order_worker_has_not_taken_is_told(void **state)
{
	(void)state;
	setup(1, 1);
	flow_receive(&f.flow, "R", "A", 5);
	flow_order_one(&f.flow, "o", "A", 1);
	flow_close(&f.workers[1]);
	rest();
	flow_close(&f.workers[0]);
	flow_start(&f.flow, &f.workers[1], "inventory", NULL, 0);
	rest();
	tell("o");
	SAYS("whose answer is in the log: the order worker has not taken it yet");
	assert_int_equal(count(&stock_reserved_type), 1);
	nothing_is_missing();
	teardown();
}

static void what_a_publisher_sends_again_is_told_apart_from_a_conflict(void **state)
{
	(void)state;
	setup(1, 1);
	flow_receive(&f.flow, "R", "A", 50);
	flow_order_one(&f.flow, "o", "A", 1);
	flow_order_one(&f.flow, "o", "A", 2);
	rest();
	tell("o");
	SAYS("(sent again with other content: a conflict)\n└─ OrderPlaced  orders.dlq/0@1");
	SAYS("dead letter: conflict: order o was placed before with other content");
	assert_int_equal(count(&order_placed_type), 3);
	nothing_is_missing();
	teardown();
}

static enum log_memory_fate twice(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)record;
	(void)delay_us;
	return strcmp(topic, "inventory") == 0 ? LOG_MEMORY_DOUBLE : LOG_MEMORY_WRITE;
}

static void a_second_copy_in_the_log_is_a_repeat(void **state)
{
	(void)state;
	setup(1, 1);
	flow_receive(&f.flow, "R", "A", 5);
	flow_order_one(&f.flow, "o", "A", 1);
	log_memory_set_faults(f.flow.memory, &(struct log_memory_faults){.produce = twice});
	rest();
	log_memory_set_faults(f.flow.memory, NULL);
	tell("o");
	SAYS("order o: confirmed");
	SAYS("  A x 1  (a repeat: dropped)\n");
	assert_int_equal(count(&reserve_stock_type), 1);
	nothing_is_missing();
	teardown();
}

static void without_the_inventorys_files_its_records_are_found_by_time(void **state)
{
	(void)state;
	char command[128];
	setup(2, 3);
	receive_wide(6);
	for (int i = 0; i < 50; i++) {
		char id[16];
		snprintf(id, sizeof id, "o%d", i);
		place_wide(id, 1 + (size_t)i % 6);
		f.flow.now_us += 5000;
		rest();
	}
	flow_close(&f.workers[1]);
	snprintf(command, sizeof command, "rm -r '%s/inventory'", f.flow.data);
	assert_int_equal(system(command), 0);
	tell("o29");
	assert_int_equal(f.story.event_count, 2 + 3 * f.story.group_count);
	nothing_is_missing();
	snprintf(command, sizeof command, "%s/inventory", f.flow.data);
	assert_int_not_equal(access(command, F_OK), 0); /* nothing was made */
	teardown();
}

static void write_others(const char *topic, int n)
{
	const struct log_record other = {.key = {"other", 5}, .value = {"x", 1}};
	for (int i = 0; i < n; i++)
		flow_write(&f.flow, topic, &other);
}

static void what_lies_too_far_away_is_said_not_found(void **state)
{
	(void)state;
	setup(1, 1);
	flow_receive(&f.flow, "R", "A", 5);
	rest();
	flow_order_one(&f.flow, "o", "A", 1);
	/* The answer is there, the order worker is not: it tells everybody when there is much in between. */
	while (flow_count(&f.flow, "inventory", &reserve_stock_type) == 0)
		flow_rest(&f.flow, f.workers, 1);
	flow_close(&f.workers[0]);
	flow_rest(&f.flow, &f.workers[1], 1);
	f.flow.now_us += 10000;
	write_others("order-events", STORY_REACH);
	flow_start(&f.flow, &f.workers[0], "order", NULL, 0);
	rest();
	tell("o");
	SAYS("not found: OrderConfirmed in order-events/0, offsets 1 to 10000");
	assert_int_equal(f.story.missing_count, 1);
	teardown();
}

static void what_the_log_has_lost_is_said_not_found(void **state)
{
	(void)state;
	setup(1, 1);
	flow_receive(&f.flow, "R", "A", 5);
	flow_order_one(&f.flow, "o", "A", 1);
	rest();
	log_memory_truncate(f.flow.memory, "order-events", 0, 1);
	log_memory_truncate(f.flow.memory, "inventory", 0, 3);
	tell("o");
	SAYS("not found: OrderConfirmed in order-events/0, which has no record there");
	SAYS("not found: CommitStock in inventory/0");
	assert_int_equal(f.story.missing_count, 2);
	teardown();
}

static void json_names_each_cause_by_its_index(void **state)
{
	(void)state;
	size_t len;
	setup(1, 1);
	flow_receive(&f.flow, "R", "A", 5);
	flow_order_one(&f.flow, "o", "A", 7);
	rest();
	tell("o");
	free(f.text);
	FILE *out = open_memstream(&f.text, &len);
	story_print_json(&f.story, out);
	fclose(out);
	json_t *json = json_loads(f.text, 0, NULL), *events = json_object_get(json, "events");
	assert_string_equal(json_string_value(json_object_get(json, "status")), "rejected");
	assert_int_equal(json_array_size(events), 4);
	assert_true(json_is_null(json_object_get(json_array_get(events, 0), "cause")));
	for (size_t i = 1; i < 4; i++)
		assert_int_equal(json_integer_value(json_object_get(json_array_get(events, i), "cause")), i - 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(events, 3), "details")),
	                    "A wanted 7, on hand 5, reserved 0");
	json_decref(json);
	teardown();
}

static void an_order_no_file_knows_gives_the_places_that_were_looked_at(void **state)
{
	(void)state;
	setup(1, 1);
	flow_order_one(&f.flow, "o", "A", 7);
	rest();
	tell("other");
	assert_false(f.story.placed);
	assert_int_equal(f.story.event_count, 0);
	assert_non_null(strstr(f.story.looked_at[0], "/order/0.db: up to offset "));
	teardown();
}

static void an_order_that_was_refused_shows_the_reason_of_its_dead_letter(void **state)
{
	(void)state;
	setup(2, 1);
	const char *id = "of-nothing";
	const int32_t own = log_partition_of(id, strlen(id), 2);
	flow_order_one(&f.flow, id, "A", 0);
	flow_order_one(&f.flow, "o", "A", 7);
	rest();
	tell(id);
	assert_string_equal(story_status_text(&f.story), "refused");
	assert_int_equal(f.story.event_count, 2);
	assert_string_equal(f.story.events[0].topic, "orders.dlq");
	assert_int_equal(f.story.events[0].cause, 1);
	assert_string_equal(f.story.events[1].topic, "orders");
	SAYS("order of-nothing: refused\n");
	SAYS("dead letter: invalid_quantity: line 1: quantity 0, expected at least 1");
	assert_int_equal(f.story.events[0].record.partition, own);
	nothing_is_missing();
	assert_false(f.story.older_letters);
	teardown();
}

/* Written where it does not belong, and under a key that is not its own: found all the same. */
static void a_dead_letter_of_another_partition_or_key_is_found(void **state)
{
	(void)state;
	setup(2, 1);
	const char *id = "misplaced";
	struct err err = {0};
	struct buf value = {0};
	struct order_line line = {.sku = "A", .quantity = 1};
	const struct order_placed event = {.order_id = id, .currency = "GBP", .lines = {&line, 1}};
	assert_int_equal(event_encode(&order_placed_type, &event, &value, &err), OK);
	const int32_t other = 1 - log_partition_of(id, strlen(id), 2);
	const char *const keys[] = {id, "another"};
	for (int i = 0; i < 2; i++)
		flow_write(&f.flow, "orders",
		           &(struct log_record){.partition = other,
		                                .key = {keys[i], (int32_t)strlen(keys[i])},
		                                .value = {value.data, (int32_t)value.len}});
	rest();
	tell(id);
	assert_int_equal(f.story.event_count, 4);
	SAYS("dead letter: wrong_partition: ");
	SAYS("dead letter: wrong_key: ");
	nothing_is_missing();
	buf_fini(&value);
	teardown();
}

static void older_dead_letters_than_the_newest_10000_are_said_not_to_be_looked_at(void **state)
{
	(void)state;
	setup(1, 1);
	flow_order_one(&f.flow, "long ago", "A", 0);
	for (int i = 0; i < STORY_REACH; i++)
		flow_write(&f.flow, "orders", &(struct log_record){.key = {"k", 1}, .value = {"no event", 8}});
	rest();
	tell("long ago");
	assert_int_equal(f.story.event_count, 0);
	assert_true(f.story.older_letters);
	assert_string_equal(f.story.looked_at[f.story.looked_count - 1], "orders.dlq/0: offsets 2 to 10001");
	teardown();
}

static void files_of_another_installation_are_passed_over(void **state)
{
	(void)state;
	struct err err = {0};
	struct story story;
	setup(1, 1);
	flow_order_one(&f.flow, "o", "A", 7);
	rest();
	struct log_memory *memory = log_memory_new(&f.flow.seam);
	struct log *log;
	assert_int_equal(
		log_open("local::memory:", &(struct log_config){.seam = &f.flow.seam, .memory = memory}, &log, &err),
		OK);
	installation_make(log, 9, 1, 1);
	const char *data = f.flow.data;
	assert_int_equal(story_tell(&story, log, "o", &data, 1, &err), OK);
	assert_false(story.placed);
	assert_non_null(strstr(story.looked_at[0], "of another installation, or empty"));
	story_free(&story);
	log_close(log);
	log_memory_free(memory);
	teardown();
}

static void wrong_inputs_are_told_with_their_exit_status(void **state)
{
	(void)state;
	char dir[] = "/tmp/tandem-explain-XXXXXX", url[64], empty[64], remove[64];
	struct log *log;
	struct err err = {0};
	assert_non_null(mkdtemp(dir));
	snprintf(url, sizeof url, "local:%s/log", dir);
	snprintf(empty, sizeof empty, "local:%s/empty", dir);
	assert_int_equal(log_open(url, &(struct log_config){.seam = &seam_system}, &log, &err), OK);
	installation_make(log, 3, 1, 1);
	log_close(log);
	const struct capture_case table[] = {
		{{"--log", url}, EXIT_USAGE, "found 0 operands, expected one ORDER_ID"},
		{{"--log", url, "a", "b"}, EXIT_USAGE, "found 2 operands, expected one ORDER_ID"},
		{{"--log", url, "a\nb"}, EXIT_USAGE, "printable ASCII"},
		{{"--log", url, ""}, EXIT_USAGE, "1 to 64"},
		{{"--dta", "x", "a"}, EXIT_USAGE, "did you mean '--data'?"},
		{{"a"}, EXIT_USAGE, "no log was named"},
		{{"--log", "http://x", "a"}, EXIT_USAGE, "neither kafka://"},
		{{"--log", empty, "a"}, EXIT_FAILED, "orders"},
		{{"--log", url, "--data", dir, "a"}, EXIT_FAILED, "/order/0.db: No such file or directory"},
		{{"--help"}, EXIT_DONE, ""},
	};
	unsetenv("TANDEM_LOG");
	capture_commands(&explain_command, table, sizeof table / sizeof *table);
	snprintf(remove, sizeof remove, "rm -rf '%s'", dir);
	assert_int_equal(system(remove), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rejection_tells_the_numbers_that_led_to_it),
		cmocka_unit_test(an_order_over_many_partitions_is_told_group_by_group),
		cmocka_unit_test(a_confirmed_order_that_is_cancelled_has_both_endings),
		cmocka_unit_test(a_cancel_before_its_order_is_told_before_and_after),
		cmocka_unit_test(a_late_answer_is_what_its_release_follows_from),
		cmocka_unit_test(an_answer_that_the_order_worker_has_not_taken_is_told),
		cmocka_unit_test(what_a_publisher_sends_again_is_told_apart_from_a_conflict),
		cmocka_unit_test(a_second_copy_in_the_log_is_a_repeat),
		cmocka_unit_test(without_the_inventorys_files_its_records_are_found_by_time),
		cmocka_unit_test(what_lies_too_far_away_is_said_not_found),
		cmocka_unit_test(what_the_log_has_lost_is_said_not_found),
		cmocka_unit_test(json_names_each_cause_by_its_index),
		cmocka_unit_test(an_order_no_file_knows_gives_the_places_that_were_looked_at),
		cmocka_unit_test(an_order_that_was_refused_shows_the_reason_of_its_dead_letter),
		cmocka_unit_test(a_dead_letter_of_another_partition_or_key_is_found),
		cmocka_unit_test(older_dead_letters_than_the_newest_10000_are_said_not_to_be_looked_at),
		cmocka_unit_test(files_of_another_installation_are_passed_over),
		cmocka_unit_test(wrong_inputs_are_told_with_their_exit_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
