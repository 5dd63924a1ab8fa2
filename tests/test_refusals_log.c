/* What a worker refuses about its topics and about a log that is not the one its file was folded from: each is provoked, the
 * other tasks go on, and the way out that the message names is followed until the task runs and every file verifies. */
#include "support/stage.h"

#include "genesis.h"
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TEN_MINUTES_MS 601000
#define AFRESH         "--delete-marks"

static void look_again(struct stage *stage, const char *topic)
{
	log_memory_check(stage->flow.memory, topic, -1);
	stage_rest(stage);
}

/* "stop the workers, delete FILE and the marks": what WORKER_FOLD_AFRESH says. */
static void fold_afresh(struct stage *stage, int which, int32_t partition)
{
	stage_stop(stage, which);
	stage_delete(stage, which, partition);
	stage_delete_marks(stage, which);
	stage_start(stage, which);
}

/* ---- topics ---- */

static void a_topic_that_has_gone_halts_until_it_is_created_again(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	stage_open(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "orders.dlq");
	assert_int_equal(log_topic_delete(stage.flow.log, "orders.dlq", &err), OK);
	stage_run(&stage, TEN_MINUTES_MS); /* the settings are looked at every ten minutes */
	for (int which = 0; which < 2; which++)
		stage_refused(&stage, &(struct stage_refusal){
					      .which = which,
					      .partition = STAGE_ALL,
					      .code = "unknown_topic",
					      .words = {"orders.dlq", "does not exist", "tandem topics create"}});
	stage_restore(&stage, copy);
	stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
	stage_recovers(&stage, STAGE_INVENTORY, STAGE_ALL);
	stage_close(&stage);
}

static void an_input_that_has_gone_halts_until_it_is_back(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	stage_open(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "orders");
	assert_int_equal(log_topic_delete(stage.flow.log, "orders", &err), OK);
	stage_refused(&stage,
	              &(struct stage_refusal){.which = STAGE_ORDER,
	                                      .partition = STAGE_ALL,
	                                      .code = "unknown_topic",
	                                      .words = {"topic orders does not exist", "tandem topics create"}});
	stage_restore(&stage, copy);
	stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
	stage_close(&stage);
}

static void without_its_topic_a_worker_ends_and_says_how_to_make_it(void **state)
{
	(void)state;
	struct stage stage;
	struct err err = {0};
	stage_make(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "orders");
	assert_int_equal(log_topic_delete(stage.flow.log, "orders", &err), OK);
	stage_start(&stage, STAGE_ORDER);
	stage_until(&stage, STAGE_ORDER, WORKER_DONE);
	assert_int_equal(worker_result(stage.workers[STAGE_ORDER].worker, &err), FATAL);
	assert_string_equal(err.code, "unknown_topic");
	assert_non_null(strstr(err.text, "topic orders does not exist; run `tandem topics create`"));
	flow_close(&stage.workers[STAGE_ORDER]);
	stage_restore(&stage, copy);
	stage_start(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_INVENTORY);
	stage_rest(&stage);
	stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
	stage_close(&stage);
}

/* The publishers' events of a topic, written to the same topic of another installation. */
static void copy_publishers(struct stage *from, struct stage *to, const char *topic)
{
	struct err err = {0};
	for (int32_t p = 0; p < 2; p++) {
		struct log_reader *reader;
		const struct log_record *record;
		assert_int_equal(log_reader_open(from->flow.log, topic, p, 1, &reader, &err), OK);
		while (log_reader_next(reader, 0, &record, &err) == OK && record)
			if (record->header_count == 0)
				flow_write(&to->flow, topic, record);
		log_reader_close(reader);
	}
}

static void more_partitions_than_pinned_end_in_a_new_installation_with_the_publishers_events(void **state)
{
	(void)state;
	struct stage stage, fresh;
	struct err err = {0};
	stage_open(&stage, 2, 2);
	for (int i = 0; i < 4; i++)
		stage_order(&stage, i % 2, i / 2);
	stage_rest(&stage);
	const int64_t orders = flow_sum(&stage.flow, "order", "SELECT count(*) FROM orders WHERE status = 2");
	assert_int_equal(orders, 4);
	assert_int_equal(log_topic_delete(stage.flow.log, "inventory.dlq", &err), OK);
	assert_int_equal(
		log_topic_create(stage.flow.log, &(struct log_topic){.name = "inventory.dlq", .partitions = 3}, &err),
		OK);
	stage_run(&stage, TEN_MINUTES_MS);
	stage_refused(&stage, &(struct stage_refusal){
				      .which = STAGE_ORDER,
				      .partition = STAGE_ALL,
				      .code = "partition_count",
				      .words = {"inventory.dlq has 3", "pins 2", "new installation", "tandem replay"}});
	stage_open(&fresh, 2, 2);
	copy_publishers(&stage, &fresh, "inventory");
	copy_publishers(&stage, &fresh, "orders");
	stage_rest(&fresh);
	assert_int_equal(flow_sum(&fresh.flow, "order", "SELECT count(*) FROM orders WHERE status = 2"), orders);
	flow_verify(&fresh.flow);
	stage_close(&fresh);
	stage_followed(&stage);
	stage_close(&stage);
}

static void a_setting_that_would_lose_records_halts_until_it_is_set_right(void **state)
{
	(void)state;
	static const struct {
		const char *topic, *name, *wrong, *right;
	} cases[] = {
		{"order-events", "cleanup.policy", "compact", "delete"},
		{"orders", "retention.ms", "604800000", "-1"},
		{"inventory", "retention.bytes", "1000000", "-1"},
		{"inventory.dlq", "message.timestamp.type", "CreateTime", "LogAppendTime"},
	};
	struct stage stage;
	stage_open(&stage, 2, 2);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *found =
			arena_format(&stage.flow.arena, "%s has %s=%s", cases[i].topic, cases[i].name, cases[i].wrong);
		assert_true(log_memory_set(stage.flow.memory, cases[i].topic, cases[i].name, cases[i].wrong));
		stage_run(&stage, TEN_MINUTES_MS);
		stage_refused(&stage,
		              &(struct stage_refusal){.which = STAGE_INVENTORY,
		                                      .partition = STAGE_ALL,
		                                      .code = "topic_settings",
		                                      .words = {found, "expected", cases[i].right, "kafka-configs"}});
		assert_true(log_memory_set(stage.flow.memory, cases[i].topic, cases[i].name, cases[i].right));
		stage_recovers(&stage, STAGE_INVENTORY, STAGE_ALL);
	}
	stage_close(&stage);
}

/* ---- genesis ---- */

struct genesis_edit {
	struct stage *stage;
	const char *topic;
	int32_t partition;
	void (*edit)(struct genesis *genesis);
};

static void edit_record_0(struct log_record *record, void *arg)
{
	struct genesis_edit *how = arg;
	struct genesis genesis;
	struct err err = {0};
	if (record->offset != 0)
		return;
	const int64_t ms = record->timestamp_ms;
	assert_int_equal(genesis_parse(record, how->topic, how->partition, &how->stage->flow.arena, &genesis, &err),
	                 OK);
	how->edit(&genesis);
	assert_int_equal(genesis_record(&genesis, &how->stage->flow.arena, record, &err), OK);
	record->timestamp_ms = ms;
}

static void edit_genesis(struct stage *stage, const struct stage_copy *copy, int32_t partition,
                         void (*edit)(struct genesis *genesis))
{
	struct genesis_edit how = {stage, "orders", partition, edit};
	stage_recreate(stage, copy);
	for (int32_t p = 0; p < 2; p++)
		stage_restore_tail(stage, copy, p, 0, p == partition ? edit_record_0 : NULL, &how);
}

static void a_partition_without_genesis_halts_until_topics_create_has_written_it(void **state)
{
	(void)state;
	struct stage stage;
	stage_make(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "orders");
	stage_recreate(&stage, copy);
	stage_restore_tail(&stage, copy, 0, 0, NULL, NULL);
	stage_start(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_INVENTORY);
	stage_refused(&stage,
	              &(struct stage_refusal){.which = STAGE_ORDER,
	                                      .partition = 1,
	                                      .code = "no_genesis",
	                                      .words = {"orders/1 has no record at offset 0", "tandem topics create"}});
	stage_restore_tail(&stage, copy, 1, 0, NULL, NULL); /* topics create writes to empty partitions */
	stage_recovers(&stage, STAGE_ORDER, 1);
	stage_close(&stage);
}

static void a_topic_that_was_not_made_by_us_halts_until_it_is_made_anew(void **state)
{
	(void)state;
	struct stage stage;
	stage_make(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "orders");
	stage_recreate(&stage, copy);
	stage_restore_tail(&stage, copy, 0, 0, NULL, NULL);
	flow_write(&stage.flow, "orders", &(struct log_record){.partition = 1, .key = {"k", 1}, .value = {"v", 1}});
	stage_start(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_INVENTORY);
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
	                                              .partition = 1,
	                                              .code = "no_genesis",
	                                              .words = {"record 0 of orders/1 is no genesis",
	                                                        "delete the topic", "tandem topics create"}});
	stage_restore_partition(&stage, copy, 1);
	stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
	stage_close(&stage);
}

static void keyed(struct genesis *genesis)
{
	genesis->chain = CHAIN_KEY_KEYED;
}

static void another_partition(struct genesis *genesis)
{
	genesis->partition = 0;
}

static void not_counted(struct genesis *genesis)
{
	for (size_t i = 0; i < genesis->topics.count; i++)
		if (strcmp(genesis->topics.items[i].name, "orders") == 0)
			genesis->topics.items[i].partitions = 1;
}

static void no_partitions(struct genesis *genesis)
{
	genesis->topics.items[0].partitions = 0;
}

static void too_many_partitions(struct genesis *genesis)
{
	genesis->topics.items[0].partitions = GENESIS_PARTITIONS_MAX + 1;
}

static void listed_twice(struct genesis *genesis)
{
	genesis->topics.items[3] = (struct genesis_topic){"inventory", 2, HEADER_FORM_CLOUDEVENTS};
}

static void too_many_topics(struct genesis *genesis)
{
	static struct genesis_topic topics[1001];
	static char names[1001][8];
	for (size_t i = 0; i < 1001; i++) {
		snprintf(names[i], sizeof names[i], "t%zu", i);
		topics[i] = (struct genesis_topic){names[i], 1, HEADER_FORM_COMPACT};
	}
	memcpy(topics, genesis->topics.items, genesis->topics.count * sizeof *topics);
	genesis->topics.items = topics;
	genesis->topics.count = 1001;
}

static void version_0(struct genesis *genesis)
{
	genesis->logic_version = 0;
}

static void version_2(struct genesis *genesis)
{
	genesis->logic_version = 2;
}

static void without_dead_letters(struct genesis *genesis)
{
	genesis->topics.count--; /* sorted: orders.dlq is the last */
}

static void a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored(void **state)
{
	(void)state;
	static const struct {
		void (*edit)(struct genesis *genesis);
		const char *code, *found, *way_out;
	} cases[] = {
		{another_partition, "bad_genesis", "orders/1 begins with the genesis of orders/0", "restore the topic"},
		{not_counted, "bad_genesis", "does not count this partition", "restore the topic"},
		{no_partitions, "bad_genesis", "0 partitions", "restore the topic"},
		{too_many_partitions, "bad_genesis", "10001 partitions", "restore the topic"},
		{listed_twice, "bad_genesis", "inventory 2 partitions, the second time it lists it",
	         "restore the topic"},
		{too_many_topics, "bad_genesis", "lists more than 1000 topics", "restore the topic"},
		{version_0, "bad_genesis", "logic version 0, expected 1 or more", "restore the topic"},
		{keyed, "secret", "chains of this installation are keyed", "--secret-file"},
		{without_dead_letters, "foreign_log", "does not name the topic orders.dlq",
	         "create a new installation"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct stage stage;
		stage_make(&stage, 2, 2);
		struct stage_copy *copy = stage_save(&stage, "orders");
		edit_genesis(&stage, copy, 1, cases[i].edit);
		stage_start(&stage, STAGE_ORDER);
		stage_start(&stage, STAGE_INVENTORY);
		stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
		                                              .partition = 1,
		                                              .code = cases[i].code,
		                                              .words = {cases[i].found, cases[i].way_out}});
		stage_restore_partition(&stage, copy, 1);
		stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
		stage_close(&stage);
	}
}

static void spoil_schema(struct log_record *record, void *arg)
{
	struct stage *stage = arg;
	char *value = arena_copy(&stage->flow.arena, record->value.data, (size_t)record->value.len);
	value[5] ^= 1; /* of the fingerprint */
	record->value.data = value;
}

static void spoil_body(struct log_record *record, void *arg)
{
	(void)arg;
	record->value.len--;
}

static void a_genesis_that_cannot_be_read_halts_until_it_can(void **state)
{
	(void)state;
	static const struct {
		void (*edit)(struct log_record *, void *);
		const char *code, *found, *way_out;
	} cases[] = {
		{spoil_schema, "unknown_version", "which this program does not know", "or restore the topic"},
		{spoil_body, "bad_genesis", "record 0 of orders/1 cannot be read", "restore the topic"},
	};
	for (size_t i = 0; i < 2; i++) {
		struct stage stage;
		stage_make(&stage, 2, 2);
		struct stage_copy *copy = stage_save(&stage, "orders");
		stage_recreate(&stage, copy);
		stage_restore_tail(&stage, copy, 0, 0, NULL, NULL);
		stage_restore_tail(&stage, copy, 1, 0, cases[i].edit, &stage);
		stage_start(&stage, STAGE_ORDER);
		stage_start(&stage, STAGE_INVENTORY);
		stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
		                                              .partition = 1,
		                                              .code = cases[i].code,
		                                              .words = {cases[i].found, cases[i].way_out}});
		stage_restore_partition(&stage, copy, 1);
		stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
		stage_close(&stage);
	}
}

static void a_log_that_begins_with_a_newer_version_waits_for_a_newer_program(void **state)
{
	(void)state;
	struct stage stage;
	struct service newer = *flow_service("order");
	newer.logic_version = 2;
	stage_make(&stage, 2, 2);
	edit_genesis(&stage, stage_save(&stage, "orders"), 1, version_2);
	stage_start(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_INVENTORY);
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
	                                              .partition = 1,
	                                              .code = "unknown_version",
	                                              .words = {"begins with logic version 2", "knows up to 1",
	                                                        "run a newer program"}});
	stage_stop(&stage, STAGE_ORDER);
	stage_start_with(&stage, STAGE_ORDER, &(struct worker_config){.service = &newer});
	stage_rest(&stage);
	assert_null(stage_task(&stage, STAGE_ORDER, 1).why);
	flow_verify_service(&stage.flow, &newer, NULL);
	stage_followed(&stage);
	stage_close(&stage);
}

static void other_installation(struct genesis *genesis)
{
	memset(genesis->installation, 0x77, sizeof genesis->installation);
}

static void outputs_to_a_topic_of_another_installation_wait_until_it_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "order-events");
	struct genesis_edit how = {&stage, "order-events", 0, other_installation};
	stage_recreate(&stage, copy);
	for (how.partition = 0; how.partition < 2; how.partition++)
		stage_restore_tail(&stage, copy, how.partition, 0, edit_record_0, &how);
	stage_order(&stage, 0, 1);
	stage_refused(&stage,
	              &(struct stage_refusal){.which = STAGE_ORDER,
	                                      .partition = 0,
	                                      .code = "foreign_destination",
	                                      .words = {"order-events/0 is of installation 7777", "re-created alone",
	                                                "restore the one that is missing"}});
	assert_int_equal(stage_end(&stage, "order-events", 0), 1);
	stage_restore(&stage, copy);
	stage_recovers(&stage, STAGE_ORDER, 0);
	assert_int_equal(flow_count(&stage.flow, "order-events", &order_confirmed_type), 1);
	stage_close(&stage);
}

/* ---- a log that is not the file's ---- */

static void a_log_without_its_head_is_refused_until_it_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	stage_feed(&stage, STAGE_ORDER, 0);
	stage_rest(&stage);
	struct stage_copy *copy = stage_save(&stage, "orders");
	log_memory_trim(stage.flow.memory, "orders", 0, 2);
	look_again(&stage, "orders");
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
	                                              .partition = 0,
	                                              .code = "retention",
	                                              .words = {"orders/0 begins at offset 2", "expected 0",
	                                                        "restore the topic", "retention.ms=-1"}});
	stage_restore_partition(&stage, copy, 0);
	stage_recovers(&stage, STAGE_ORDER, 0);
	stage_close(&stage);
}

static const struct stage_refusal truncated = {
	.which = STAGE_INVENTORY,
	.partition = 0,
	.code = "truncated",
	.words = {"inventory/0", "lost its tail", "restore it", "publish what is missing again", AFRESH},
};

static void a_log_without_its_tail_is_refused_until_it_is_restored(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	stage_feed(&stage, STAGE_INVENTORY, 0);
	stage_rest(&stage);
	struct stage_copy *copy = stage_save(&stage, "inventory");
	log_memory_truncate(stage.flow.memory, "inventory", 0, 1);
	look_again(&stage, "inventory");
	stage_refused(&stage, &truncated);
	stage_restore_tail(&stage, copy, 0, 1, NULL, NULL);
	stage_recovers(&stage, STAGE_INVENTORY, 0);
	stage_close(&stage);
}

static void a_log_without_its_tail_is_accepted_by_folding_afresh(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	const char *sku = stage_id(&stage, "S", 0, 2);
	flow_receive(&stage.flow, "lost", sku, 5);
	stage_rest(&stage);
	log_memory_truncate(stage.flow.memory, "inventory", 0, 1);
	look_again(&stage, "inventory");
	stage_refused(&stage, &truncated);
	fold_afresh(&stage, STAGE_INVENTORY, 0);
	flow_receive(&stage.flow, "lost", sku, 5); /* what is missing is published again */
	stage_recovers(&stage, STAGE_INVENTORY, 0);
	assert_int_equal(
		flow_number(&stage.flow, "inventory", 0, "SELECT count(*) FROM receipt WHERE receipt_id = 'lost'"), 1);
	stage_close(&stage);
}

static void a_tail_that_goes_while_the_task_is_opened_is_seen_at_the_end(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	struct stage_copy *copy = stage_save(&stage, "inventory");
	log_memory_check(stage.flow.memory, "inventory", -1);
	stage_until(&stage, STAGE_INVENTORY, WORKER_ASSIGNED);
	log_memory_truncate(stage.flow.memory, "inventory", 0, stage_end(&stage, "inventory", 0) - 1);
	stage_until(&stage, STAGE_INVENTORY, WORKER_HALTED);
	assert_non_null(
		strstr(stage_task(&stage, STAGE_INVENTORY, 0).why->text, "ends before the last record consumed"));
	stage_refused(&stage, &truncated);
	stage_restore_tail(&stage, copy, 0, stage_end(&stage, "inventory", 0), NULL, NULL);
	stage_recovers(&stage, STAGE_INVENTORY, 0);
	stage_close(&stage);
}

static void another_record_where_the_last_one_was_is_a_fork_restored_or_folded_afresh(void **state)
{
	(void)state;
	for (int restore = 0; restore < 2; restore++) {
		struct stage stage;
		stage_open(&stage, 2, 2);
		struct stage_copy *copy = stage_save(&stage, "inventory");
		const int64_t end = stage_end(&stage, "inventory", 0);
		log_memory_truncate(stage.flow.memory, "inventory", 0, end - 1);
		stage_feed(&stage, STAGE_INVENTORY, 0);
		look_again(&stage, "inventory");
		stage_refused(&stage, &(struct stage_refusal){.which = STAGE_INVENTORY,
		                                              .partition = 0,
		                                              .code = "forked",
		                                              .words = {"inventory/0 has another record at offset",
		                                                        "history has changed", "restore it", AFRESH}});
		if (restore) {
			log_memory_truncate(stage.flow.memory, "inventory", 0, end - 1);
			stage_restore_tail(&stage, copy, 0, end - 1, NULL, NULL);
		} else {
			fold_afresh(&stage, STAGE_INVENTORY, 0);
		}
		stage_recovers(&stage, STAGE_INVENTORY, 0);
		stage_close(&stage);
	}
}

/* ---- the mark ---- */

static const struct stage_refusal mark_record = {
	.which = STAGE_ORDER,
	.partition = 0,
	.code = "mark_record",
	.words = {"orders/0", "mark", "restore it", AFRESH},
};

static void a_mark_beyond_the_log_is_refused_and_nothing_is_folded_in_silence(void **state)
{
	(void)state;
	for (int other = 0; other < 2; other++) {
		struct stage stage;
		stage_open(&stage, 2, 2);
		stage_order(&stage, 0, 0);
		stage_rest(&stage);
		stage_stop(&stage, STAGE_ORDER);
		stage_delete(&stage, STAGE_ORDER, 0);
		const int64_t end = stage_end(&stage, "orders", 0);
		log_memory_truncate(stage.flow.memory, "orders", 0, end - 1);
		if (other)
			stage_feed(&stage, STAGE_ORDER, 0);
		stage_start(&stage, STAGE_ORDER);
		stage_refused(&stage, &mark_record);
		assert_non_null(strstr(stage_task(&stage, STAGE_ORDER, 0).why->text,
		                       other ? "another record is there" : "no record is there"));
		fold_afresh(&stage, STAGE_ORDER, 0);
		stage_recovers(&stage, STAGE_ORDER, 0);
		stage_close(&stage);
	}
}

static bool hide_behind_1(void *arg, const char *topic, int32_t partition, int64_t offset)
{
	(void)arg;
	return strcmp(topic, "orders") != 0 || partition != 0 || offset < 2;
}

static void the_mark_in_a_file_outlives_the_groups_so_the_file_goes_with_it(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	stage_order(&stage, 0, 0);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.deliver = hide_behind_1});
	stage_start(&stage, STAGE_ORDER); /* folds a part, commits it, and is not caught up */
	stage_rest(&stage);
	assert_true(stage_task(&stage, STAGE_ORDER, 0).catching_up);
	log_memory_truncate(stage.flow.memory, "orders", 0, 3);
	log_memory_set_faults(stage.flow.memory, NULL);
	look_again(&stage, "orders");
	stage_refused(&stage, &mark_record);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete_marks(&stage, STAGE_ORDER); /* alone, it is not enough: the file must not move on */
	stage_start(&stage, STAGE_ORDER);
	stage_refused(&stage, &mark_record);
	fold_afresh(&stage, STAGE_ORDER, 0);
	stage_recovers(&stage, STAGE_ORDER, 0);
	stage_close(&stage);
}

static void a_tail_that_goes_while_catching_up_is_seen_at_the_end(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 2, 2);
	stage_order(&stage, 0, 0);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	struct stage_copy *copy = stage_save(&stage, "orders");
	stage_start(&stage, STAGE_ORDER);
	stage_until(&stage, STAGE_ORDER, WORKER_ASSIGNED);
	log_memory_truncate(stage.flow.memory, "orders", 0, 2);
	stage_until(&stage, STAGE_ORDER, WORKER_HALTED);
	assert_non_null(strstr(stage_task(&stage, STAGE_ORDER, 0).why->text, "before the mark at"));
	stage_refused(&stage, &mark_record);
	stage_restore_tail(&stage, copy, 0, 2, NULL, NULL);
	stage_recovers(&stage, STAGE_ORDER, 0);
	stage_close(&stage);
}

static void swap_key(struct log_record *record, void *arg)
{
	if (record->offset == *(const int64_t *)arg)
		record->key = (struct log_bytes){"another", 7}; /* a dead letter instead */
}

static void a_changed_log_below_the_mark_deletes_the_file_before_it_halts(void **state)
{
	(void)state;
	struct stage stage;
	int64_t changed = 2;
	stage_open(&stage, 2, 2);
	for (int i = 0; i < 3; i++)
		stage_feed(&stage, STAGE_ORDER, 0);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	stage_delete(&stage, STAGE_ORDER, 0);
	struct stage_copy *copy = stage_save(&stage, "orders");
	log_memory_truncate(stage.flow.memory, "orders", 0, 1);
	stage_restore_tail(&stage, copy, 0, 1, swap_key, &changed);
	stage_start(&stage, STAGE_ORDER);
	stage_until(&stage, STAGE_ORDER, WORKER_HALTED);
	assert_int_equal(access(stage_path(&stage, STAGE_ORDER, 0, ".db"), F_OK), -1);
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_ORDER,
	                                              .partition = 0,
	                                              .code = "mark_differs",
	                                              .words = {"other hashes than the mark's", "the file was deleted",
	                                                        "Restore the log", AFRESH}});
	assert_int_equal(access(stage_path(&stage, STAGE_ORDER, 0, ".db"), F_OK), -1);
	fold_afresh(&stage, STAGE_ORDER, 0);
	stage_recovers(&stage, STAGE_ORDER, 0);
	assert_int_equal(stage_end(&stage, "orders.dlq", 0), 2); /* the dead letter was sent */
	stage_close(&stage);
}

static void marks_reach_the_end(struct stage *stage)
{
	struct err err = {0};
	for (int32_t p = 0; p < 2; p++) {
		struct log_mark mark = {.partition = p};
		stage_feed(stage, STAGE_ORDER, p);
		stage_rest(stage);
		assert_int_equal(log_committed(stage->flow.log, "tandem-order", "orders", &mark, &err), OK);
		assert_int_equal(mark.offset, stage_end(stage, "orders", p));
	}
}

/* The second worker of `order` is the group; the first has been given its partitions. */
static void begin_beside_a_group(struct stage *stage, const char **groups_folder)
{
	static const int32_t both[] = {0, 1};
	stage_make(stage, 2, 2);
	*groups_folder = arena_format(&stage->flow.arena, "%s/group", stage->flow.data);
	stage_start(stage, STAGE_INVENTORY);
	stage_start_with(stage, STAGE_SECOND_ORDER, &(struct worker_config){.data = *groups_folder});
	stage_rest(stage);
	stage_start_with(stage, STAGE_ORDER, &(struct worker_config){.partitions = both, .partition_count = 2});
	stage_rest(stage); /* caught up with the group's mark */
	stage_feed(stage, STAGE_ORDER, 0);
	stage_until(stage, STAGE_ORDER, WORKER_MARKED);
	stage_until(stage, STAGE_ORDER, WORKER_ROLLED_BACK);
	stage_refused_now(
		stage, &(struct stage_refusal){.which = STAGE_ORDER,
	                                       .partition = STAGE_ALL,
	                                       .code = "group_busy",
	                                       .words = {"group tandem-order has members", "stop the group's workers",
	                                                 "run this one without --partitions"}});
}

static void marks_are_not_committed_beside_a_group_until_it_has_ended(void **state)
{
	(void)state;
	struct stage stage;
	const char *groups_folder;
	begin_beside_a_group(&stage, &groups_folder);
	stage_stop(&stage, STAGE_SECOND_ORDER);
	stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
	marks_reach_the_end(&stage);
	stage_close(&stage);
}

static void marks_are_committed_beside_a_group_by_who_joins_it(void **state)
{
	(void)state;
	struct stage stage;
	const char *groups_folder;
	begin_beside_a_group(&stage, &groups_folder);
	stage_stop(&stage, STAGE_ORDER);
	stage_start(&stage, STAGE_ORDER);
	stage_rest(&stage);
	assert_int_equal(worker_task_count(stage.workers[STAGE_ORDER].worker), 1);
	assert_int_equal(worker_task_count(stage.workers[STAGE_SECOND_ORDER].worker), 1);
	marks_reach_the_end(&stage);
	stage_stop(&stage, STAGE_SECOND_ORDER);
	stage_recovers(&stage, STAGE_ORDER, STAGE_ALL);
	flow_verify_service(&stage.flow, flow_service("order"), groups_folder);
	stage_close(&stage);
}

static void every_refusal_promised_here_was_provoked(void **state)
{
	(void)state;
	stage_promises("test_refusals_log.c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_topic_that_has_gone_halts_until_it_is_created_again),
		cmocka_unit_test(an_input_that_has_gone_halts_until_it_is_back),
		cmocka_unit_test(without_its_topic_a_worker_ends_and_says_how_to_make_it),
		cmocka_unit_test(more_partitions_than_pinned_end_in_a_new_installation_with_the_publishers_events),
		cmocka_unit_test(a_setting_that_would_lose_records_halts_until_it_is_set_right),
		cmocka_unit_test(a_partition_without_genesis_halts_until_topics_create_has_written_it),
		cmocka_unit_test(a_topic_that_was_not_made_by_us_halts_until_it_is_made_anew),
		cmocka_unit_test(a_genesis_that_makes_no_sense_halts_until_the_topic_is_restored),
		cmocka_unit_test(a_genesis_that_cannot_be_read_halts_until_it_can),
		cmocka_unit_test(a_log_that_begins_with_a_newer_version_waits_for_a_newer_program),
		cmocka_unit_test(outputs_to_a_topic_of_another_installation_wait_until_it_is_restored),
		cmocka_unit_test(a_log_without_its_head_is_refused_until_it_is_restored),
		cmocka_unit_test(a_log_without_its_tail_is_refused_until_it_is_restored),
		cmocka_unit_test(a_log_without_its_tail_is_accepted_by_folding_afresh),
		cmocka_unit_test(a_tail_that_goes_while_the_task_is_opened_is_seen_at_the_end),
		cmocka_unit_test(another_record_where_the_last_one_was_is_a_fork_restored_or_folded_afresh),
		cmocka_unit_test(a_mark_beyond_the_log_is_refused_and_nothing_is_folded_in_silence),
		cmocka_unit_test(the_mark_in_a_file_outlives_the_groups_so_the_file_goes_with_it),
		cmocka_unit_test(a_tail_that_goes_while_catching_up_is_seen_at_the_end),
		cmocka_unit_test(a_changed_log_below_the_mark_deletes_the_file_before_it_halts),
		cmocka_unit_test(marks_are_not_committed_beside_a_group_until_it_has_ended),
		cmocka_unit_test(marks_are_committed_beside_a_group_by_who_joins_it),
		cmocka_unit_test(every_refusal_promised_here_was_provoked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
