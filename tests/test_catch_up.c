/* Tasks behind their mark, folded up to it in threads of their own over local:DIR: what they are stopped by, and what must come
 * of it whatever it was: the rows that the log determines, nothing sent twice, no record folded without need.
 *
 * The service's handler waits at a gate, so that a test acts while they are in the middle. */
#include "events.h"
#include "genesis.h"
#include "hash.h"
#include "mark.h"
#include "meter.h"
#include "seam.h"
#include "service.h"
#include "support/folder.h"
#include "support/installation.h"
#include "support/stage.h"
#include "verify.h"
#include "worker.h"
#include "worker_metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>
#include <unistd.h>

#include <cmocka.h>

#define PARTITIONS 4
#define ORDERS     800 /* a partition */
#define AT         300 /* where the gate stands */
#define LIMIT_S    300

/* ---- a service with a gate ---- */

enum turn { OPEN, SLOW, SHUT }; /* SLOW: 20 ms a record, ten seconds a task */

static struct {
	mtx_t lock;
	cnd_t changed;
	enum turn turn;
	unsigned partitions; /* in which it stands, a bit each */
	int waiting;
} gate;

static void pass(int32_t partition, int64_t number)
{
	mtx_lock(&gate.lock);
	if (number >= AT && gate.partitions & 1u << partition) {
		gate.waiting++;
		while (gate.turn == SHUT)
			cnd_wait(&gate.changed, &gate.lock);
		struct timespec at;
		timespec_get(&at, TIME_UTC);
		at.tv_nsec += 20000000;
		at.tv_sec += at.tv_nsec / 1000000000;
		at.tv_nsec %= 1000000000;
		while (gate.turn == SLOW && cnd_timedwait(&gate.changed, &gate.lock, &at) == thrd_success)
			;
		gate.waiting--;
	}
	mtx_unlock(&gate.lock);
}

static void turn(enum turn to, unsigned partitions)
{
	mtx_lock(&gate.lock);
	gate.turn = to;
	gate.partitions = partitions;
	cnd_broadcast(&gate.changed);
	mtx_unlock(&gate.lock);
}

static int waiting(void)
{
	mtx_lock(&gate.lock);
	int count = gate.waiting;
	mtx_unlock(&gate.lock);
	return count;
}

static enum status on_order_placed(struct fold *fold, const void *event, struct err *err)
{
	const struct order_placed *order = event;
	const struct store_value row[] = {value_id(fold, order->order_id), value_int(order->placed_at)};
	const struct order_confirmed confirmed = {
		.order_id = order->order_id, .currency = "GBP", .line_count = 1, .placed_at = order->placed_at};
	pass(fold_partition(fold), order->placed_at);
	enum status status = fold_put(fold, 0, row, err);
	return status == OK ? fold_emit(fold, "order-events", fold_partition(fold), order->order_id,
	                                &order_confirmed_type, &confirmed, err)
	                    : status;
}

static const char *const tables[] = {
	"CREATE TABLE entry (order_id ANY PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID"};
static const char *const outputs[] = {"order-events"};
static const struct service_handler handlers[] = {{&order_placed_type, on_order_placed}};
static const struct service service = {.name = "waits",
                                       .summary = "a service of the tests",
                                       .input = "orders",
                                       .outputs = outputs,
                                       .output_count = 1,
                                       .logic_version = 1,
                                       .tables = tables,
                                       .table_count = 1,
                                       .handlers = handlers,
                                       .handler_count = 1};

/* ---- a log and workers ---- */

static struct fixture {
	struct folder folder;
	char url[96], data[2][96];
	struct log *log; /* for publishing and looking */
	struct log_producer *producer;
	int64_t published[PARTITIONS], begun_us;
	struct worker *workers[2];
	struct log *logs[2];
	struct worker_counts counts; /* of the worker that ended last */
	struct err err;
} f;

static void must(enum status status)
{
	if (status != OK)
		fail_msg("%s: %s", f.err.code, f.err.text);
}

static struct log *open_log(void)
{
	struct log *log = NULL;
	struct err err;
	if (log_open(f.url, &(struct log_config){.seam = &seam_system}, &log, &err) != OK)
		return NULL;
	return log;
}

static struct log *connect_another(void *arg)
{
	(void)arg;
	return open_log();
}

static void in_time(void)
{
	if (seam_monotonic_us(&seam_system) - f.begun_us > LIMIT_S * 1000000LL)
		fail_msg("not within %d s", LIMIT_S);
}

static void publish(int32_t partition)
{
	char id[64];
	struct buf value = {0};
	struct log_ack ack;
	int64_t number = f.published[partition]++;
	int n = 0;
	do
		snprintf(id, sizeof id, "O%d-%lld-%d", (int)partition, (long long)number, n++);
	while (log_partition_of(id, strlen(id), PARTITIONS) != partition);
	struct order_line line = {.sku = "S", .quantity = 1, .unit_price_minor = 1};
	const struct order_placed order = {.order_id = id, .currency = "GBP", .placed_at = number, .lines = {&line, 1}};
	must(event_encode(&order_placed_type, &order, &value, &f.err));
	const struct log_record record = {
		.partition = partition, .key = {id, (int32_t)strlen(id)}, .value = {value.data, (int32_t)value.len}};
	while (log_produce(f.producer, log_producer_topic(f.producer, "orders"), &record, 1, &f.err) == RETRY)
		log_wait(f.log, 10);
	while (log_producer_ack(f.producer, &ack))
		must(ack.status);
	buf_fini(&value);
}

static void published(void)
{
	struct log_ack ack;
	log_producer_flush(f.producer);
	while (log_producer_pending(f.producer)) {
		while (log_producer_ack(f.producer, &ack))
			must(ack.status);
		log_wait(f.log, 10);
		in_time();
	}
}

static void start_with(int which, const struct worker_config *more)
{
	struct worker_config config = *more;
	config.service = &service;
	config.log = f.logs[which] = open_log();
	config.seam = &seam_system;
	config.data = f.data[which];
	config.catch_up_threads = 2;
	config.connect = connect_another;
	config.commit_interval_ms = 20;
	assert_non_null(config.log);
	must(worker_open(&config, &f.workers[which], &f.err));
}

static void start(int which)
{
	start_with(which, &(struct worker_config){0});
}

static void ended(int which)
{
	log_close(f.logs[which]);
	f.workers[which] = NULL;
	f.logs[which] = NULL;
}

static void close_worker(int which)
{
	worker_counts(f.workers[which], &f.counts);
	worker_close(f.workers[which]);
	ended(which);
}

static void step_all(void)
{
	in_time();
	for (int i = 0; i < 2; i++)
		if (f.workers[i] && worker_step(f.workers[i]) == WORKER_IDLE)
			worker_wait(f.workers[i], 10);
}

static void run_to_end(int which)
{
	while (worker_step(f.workers[which]) != WORKER_DONE) {
		worker_wait(f.workers[which], 1);
		in_time();
	}
	must(worker_result(f.workers[which], &f.err));
	close_worker(which);
}

static void run_until_end(int which)
{
	start_with(which, &(struct worker_config){.until_end = true});
	run_to_end(which);
}

static int64_t sent(int32_t partition)
{
	int64_t low, high;
	must(log_bounds(f.log, "order-events", partition, &low, &high, &f.err));
	return high - 1;
}

static const char *path_of(int which, int32_t partition)
{
	static char path[200];
	snprintf(path, sizeof path, "%s/waits/%d.db", f.data[which], (int)partition);
	return path;
}

static void lose_files(unsigned partitions)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	for (int32_t p = 0; p < PARTITIONS; p++)
		for (size_t i = 0; partitions & 1u << p && i < 3; i++) {
			char path[210];
			snprintf(path, sizeof path, "%s%s", path_of(0, p), endings[i]);
			unlink(path);
		}
}

/* Two threads are in the middle of a task each, and the others wait. */
static void until_in_the_middle(void)
{
	while (waiting() < 2)
		step_all();
	for (size_t i = 0; i < PARTITIONS; i++) {
		struct worker_task task;
		worker_task(f.workers[0], i, &task);
		assert_true(task.catching_up);
		assert_int_equal(task.target_next, ORDERS + 1);
		assert_true(task.task || task.stopped_next <= AT + 1);
	}
	assert_int_equal(waiting(), 2);
}

/* Whatever happened: everything is sent once, the files are what the log gives. */
static void all_is_well(int which)
{
	for (int32_t p = 0; p < PARTITIONS; p++) {
		struct verify_result result;
		const struct verify_config config = {
			.service = &service, .log = f.log, .data = f.data[which], .partition = p};
		assert_int_equal(sent(p), f.published[p]);
		must(verify_partition(&config, &result, &f.err));
		if (!result.same)
			fail_msg("partition %d differs: %s %s", (int)p, result.difference.table, result.difference.key);
		assert_int_equal(result.next_offset, f.published[p] + 1);
	}
}

/* Everything is folded and marked, and the files are lost. */
static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.begun_us = seam_monotonic_us(&seam_system)};
	turn(OPEN, 0);
	folder_make(&f.folder);
	snprintf(f.url, sizeof f.url, "local:%s/log", f.folder.path);
	for (int i = 0; i < 2; i++)
		snprintf(f.data[i], sizeof f.data[i], "%s/data%d", f.folder.path, i);
	f.log = open_log();
	installation_make(f.log, 1, PARTITIONS, 1);
	if (log_producer_open(f.log, &f.producer, &f.err) != OK)
		return -1;
	for (int i = 0; i < ORDERS; i++)
		for (int32_t p = 0; p < PARTITIONS; p++)
			publish(p);
	published();
	run_until_end(0);
	all_is_well(0);
	lose_files(15);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	turn(OPEN, 0);
	for (int i = 0; i < 2; i++)
		if (f.workers[i])
			close_worker(i);
	log_producer_close(f.producer);
	log_close(f.log);
	folder_remove(&f.folder);
	return 0;
}

/* ---- tests ---- */

static void tasks_behind_their_mark_are_folded_side_by_side_and_send_nothing(void **state)
{
	(void)state;
	turn(SHUT, 15);
	start_with(0, &(struct worker_config){.until_end = true});
	until_in_the_middle();
	turn(OPEN, 0);
	run_to_end(0);
	assert_int_equal(f.counts.folded, PARTITIONS * (ORDERS + 1));
	assert_int_equal(f.counts.sent, 0);
	all_is_well(0);
}

/* A line of the page of metrics. */
static bool shows(struct worker *worker, struct meter *meter, const char *line)
{
	struct buf page = {0};
	const struct worker_config config = {.service = &service, .log = f.logs[0], .data = f.data[0], .meter = meter};
	worker_metrics(worker, &config, NULL, &page);
	bool found = strstr(buf_text(&page), line) != NULL;
	if (!found)
		print_message("%s\n", buf_text(&page));
	buf_fini(&page);
	return found;
}

static void what_is_folded_elsewhere_is_shown_and_counted(void **state)
{
	(void)state;
	struct meter *meter = meter_new(&seam_system, "orders");
	turn(SHUT, 15);
	start_with(0, &(struct worker_config){.meter = meter});
	until_in_the_middle();
	assert_true(shows(f.workers[0], meter, "tandem_task_running{topic=\"orders\",partition=\"0\"} 1\n"));
	assert_true(shows(f.workers[0], meter,
	                  "tandem_task_state{topic=\"orders\",partition=\"0\",state=\"catching up\"} 1\n"));
	assert_true(shows(f.workers[0], meter, "tandem_next_offset{topic=\"orders\",partition=\"0\"} "));
	assert_true(
		shows(f.workers[0], meter, "tandem_catching_up_target_offset{topic=\"orders\",partition=\"0\"} 801\n"));
	turn(OPEN, 0);
	for (bool caught_up = false; !caught_up; step_all()) {
		caught_up = true;
		for (size_t i = 0; i < PARTITIONS; i++) {
			struct worker_task task;
			worker_task(f.workers[0], i, &task);
			caught_up = caught_up && !task.catching_up;
		}
	}
	assert_true(shows(
		f.workers[0], meter,
		"tandem_events_processed_total{topic=\"orders\",type=\"OrderPlaced\",result=\"applied\"} 3200\n"));
	close_worker(0);
	meter_free(meter);
}

static void while_some_catch_up_the_others_are_folded_and_sent(void **state)
{
	(void)state;
	run_until_end(0);
	lose_files(3);
	turn(SHUT, 3);
	start(0);
	while (waiting() < 2)
		step_all();
	publish(2);
	published();
	while (sent(2) < f.published[2])
		step_all();
	assert_int_equal(waiting(), 2);
	turn(OPEN, 0);
	publish(0);
	published();
	while (sent(0) < f.published[0])
		step_all();
	worker_stop(f.workers[0]);
	run_to_end(0);
	all_is_well(0);
}

static void a_crash_in_the_middle_leaves_files_that_go_on_to_the_mark(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		lose_files(15);
		turn(SHUT, 15);
		start(0);
		until_in_the_middle();
		turn(SLOW, 15);
		worker_drop(f.workers[0]);
		ended(0);
		turn(OPEN, 0);
		run_until_end(0);
		assert_int_equal(f.counts.sent, 0);
		all_is_well(0);
	}
}

static void a_stop_commits_what_is_folded_and_the_next_start_goes_on_from_there(void **state)
{
	(void)state;
	turn(SHUT, 15);
	start(0);
	until_in_the_middle();
	turn(SLOW, 15);
	worker_stop(f.workers[0]);
	run_to_end(0);
	int64_t folded = f.counts.folded;
	assert_true(folded >= 2 * AT);
	assert_true(folded < PARTITIONS * (ORDERS + 1));
	turn(OPEN, 0);
	run_until_end(0);
	assert_int_equal(folded + f.counts.folded, PARTITIONS * (ORDERS + 1)); /* none a second time */
	assert_int_equal(f.counts.sent, 0);
	all_is_well(0);
}

static void partitions_that_are_revoked_in_the_middle_go_to_who_has_them_next(void **state)
{
	(void)state;
	turn(SHUT, 15);
	start(0);
	until_in_the_middle();
	turn(SLOW, 15);
	start(1);
	while (worker_task_count(f.workers[0]) == PARTITIONS)
		step_all();
	while (worker_task_count(f.workers[0]) + worker_task_count(f.workers[1]) < PARTITIONS)
		step_all();
	turn(OPEN, 0);
	close_worker(0);
	while (worker_task_count(f.workers[1]) < PARTITIONS)
		step_all();
	close_worker(1);
	run_until_end(1);
	all_is_well(1);
}

/* Says that everything was sent, with another history before it. */
static void forge_mark(int32_t partition)
{
	static const int32_t all[] = {0, 1, 2, 3};
	struct arena arena = {0};
	struct genesis genesis;
	struct seal seal;
	struct log_record record;
	bool found;
	must(genesis_read(f.log, "orders", partition, &arena, &genesis, &f.err));
	must(seal_open(genesis.installation, false, NULL, &seal, &f.err));
	must(log_read_at(f.log, "orders", partition, ORDERS, &arena, &record, &found, &f.err));
	const struct task_position position = {.next_offset = ORDERS + 1,
	                                       .last_offset = ORDERS,
	                                       .last_hash = hash_record(seal.key, &record),
	                                       .input_hash = 1,
	                                       .output_hash = 2,
	                                       .logic_version = 1};
	struct log_mark mark = {.partition = partition, .offset = ORDERS + 1};
	mark_write(&position, &seal, service.name, partition, mark.metadata);
	const struct log_consumer_config config = {
		.topic = "orders", .group = "tandem-waits", .partitions = all, .partition_count = PARTITIONS};
	struct log_consumer *tool;
	struct log_event event = {0};
	must(log_consumer_open(f.log, &config, &tool, &f.err));
	must(log_consumer_commit(tool, &mark, 1, &f.err));
	for (; event.kind != LOG_COMMITTED; in_time())
		log_consumer_poll(tool, &event);
	f.err = event.err;
	must(event.status);
	log_consumer_close(tool, true);
	arena_fini(&arena);
}

static bool has_halted(struct worker_task *task)
{
	if (worker_task_count(f.workers[0]) < PARTITIONS)
		return false;
	worker_task(f.workers[0], 1, task);
	return task->halted;
}

static void a_refusal_halts_that_task_alone(void **state)
{
	(void)state;
	struct worker_task task;
	forge_mark(1);
	start(0);
	while (!has_halted(&task))
		step_all();
	assert_string_equal(task.why->code, "mark_differs");
	assert_int_equal(access(path_of(0, 1), F_OK), -1); /* it held what was folded and not sent */
	publish(2);
	published();
	while (sent(2) < f.published[2])
		step_all();
	for (size_t i = 0; i < PARTITIONS; i++) {
		worker_task(f.workers[0], i, &task);
		assert_true(task.halted == (i == 1));
	}
	close_worker(0);
}

/* ---- without threads ---- */

static bool hide(void *arg, const char *topic, int32_t partition, int64_t offset)
{
	(void)arg;
	return strcmp(topic, "orders") != 0 || partition != 0 || offset < 2;
}

static void who_waits_for_the_log_gives_way_to_the_others(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, 3, 1);
	for (int32_t p = 0; p < 3; p++)
		stage_order(&stage, p, 0);
	stage_rest(&stage);
	stage_stop(&stage, STAGE_ORDER);
	for (int32_t p = 0; p < 3; p++)
		stage_delete(&stage, STAGE_ORDER, p);
	log_memory_set_faults(stage.flow.memory, &(struct log_memory_faults){.deliver = hide});
	stage_start(&stage, STAGE_ORDER);
	stage_run(&stage, 20000);
	for (int32_t p = 0; p < 3; p++)
		assert_true(stage_task(&stage, STAGE_ORDER, p).catching_up == (p == 0));
	log_memory_set_faults(stage.flow.memory, NULL);
	stage_rest(&stage);
	assert_false(stage_task(&stage, STAGE_ORDER, 0).catching_up);
	flow_verify(&stage.flow);
	stage_close(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tasks_behind_their_mark_are_folded_side_by_side_and_send_nothing, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(what_is_folded_elsewhere_is_shown_and_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(while_some_catch_up_the_others_are_folded_and_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_in_the_middle_leaves_files_that_go_on_to_the_mark, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(a_stop_commits_what_is_folded_and_the_next_start_goes_on_from_there,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(partitions_that_are_revoked_in_the_middle_go_to_who_has_them_next,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(a_refusal_halts_that_task_alone, setup, teardown),
		cmocka_unit_test(who_waits_for_the_log_gives_way_to_the_others),
	};
	mtx_init(&gate.lock, mtx_plain);
	cnd_init(&gate.changed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
