/* What may happen to workers and their files, over local:DIR or over Kafka ($KAFKA): an end on request, a stopped process
 * whose partitions another takes, scaling, lost and old files, lost marks, a changed row, everything published again. */
#include "../support/check.h"
#include "../support/log_locks.h"
#include "../support/rig.h"
#include "../support/view.h"
#include "../support/witness.h"

#include "command.h"
#include "json.h"
#include "lock.h"
#include "store.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ORDERS       3
#define INVENTORY    3
#define WAIT_SECONDS 120
#define LOAD         "--skus 40 --lines 1-4 --cancel-one-in 15"

static struct rig rig;

static int open_installation(void **state)
{
	(void)state;
	rig_open_topics(&rig, ORDERS, INVENTORY);
	return 0;
}

/* ---- load ---- */

static void publish_orders(int count, int seed)
{
	rig_ok(&rig, "publish --only orders --orders %d --seed %d " LOAD, count, seed);
}

/* At 500 a second, noted by witnesses. */
static void publish_before_witnesses(int count, int seed)
{
	witness_open(&rig, 1);
	witness_publish(rig.witness,
	                &(struct generate_options){.only = PUBLISH_ORDERS,
	                                           .seed = (uint64_t)seed,
	                                           .orders = count,
	                                           .skus = 40,
	                                           .hot_skus = 10,
	                                           .lines_min = 1,
	                                           .lines_max = 4,
	                                           .cancel_one_in = 15},
	                500);
}

static struct rig_process *start(const char *service)
{
	return rig_start(&rig, service, "%s run", service);
}

static void stop(struct rig_process *worker)
{
	assert_int_equal(rig_end(&rig, worker, SIGTERM, WAIT_SECONDS), 0);
}

/* ---- looking ---- */

static bool holder(const char *data, const char *service, int32_t partition, pid_t *pid, enum lock_state *state)
{
	return lock_holder(arena_format(&rig.arena, "%s/%s/%d.lock", data, service, partition), pid, state);
}

/* Has a task of this worker an open batch? */
static bool has_open_batch(struct rig *of, void *arg)
{
	const struct rig_process *worker = arg;
	pid_t pid;
	enum lock_state state;
	for (int32_t p = 0; p < rig_partitions(of, worker->name); p++)
		if (holder(of->data, worker->name, p, &pid, &state) && pid == worker->pid &&
		    (state == LOCK_FOLDING || state == LOCK_SENDING || state == LOCK_ACKS))
			return true;
	return false;
}

struct sharing {
	const struct rig_process *workers[2];
	int held[2]; /* by each of them */
};

static int held_of_all(struct rig *of, struct sharing *sharing)
{
	sharing->held[0] = sharing->held[1] = 0;
	for (int32_t p = 0; p < of->orders; p++) {
		pid_t pid;
		enum lock_state state;
		if (!holder(of->data, "order", p, &pid, &state) || state == LOCK_OPENING || state == LOCK_HALTED)
			continue;
		for (int i = 0; i < 2; i++)
			sharing->held[i] += sharing->workers[i] && sharing->workers[i]->pid == pid;
	}
	return sharing->held[0] + sharing->held[1];
}

static bool both_hold_some(struct rig *of, void *arg)
{
	struct sharing *sharing = arg;
	return held_of_all(of, sharing) == of->orders && sharing->held[0] > 0 && sharing->held[1] > 0;
}

static bool the_first_holds_all(struct rig *of, void *arg)
{
	struct sharing *sharing = arg;
	return held_of_all(of, sharing) == of->orders && sharing->held[0] == of->orders;
}

static int64_t next_sum(const char *data, const char *service)
{
	const char *own = rig.data;
	int64_t sum = 0;
	rig.data = data;
	for (int32_t p = 0; p < rig_partitions(&rig, service); p++)
		if (access(arena_format(&rig.arena, "%s/%s/%d.db", data, service, p), F_OK) == 0 &&
		    rig_number(&rig, service, p, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'"))
			sum += rig_number(&rig, service, p, "SELECT next_offset FROM meta");
	rig.data = own;
	return sum;
}

static int64_t mark_sum(const char *service, const char *input)
{
	int64_t sum = 0;
	for (int32_t p = 0; p < rig_partitions(&rig, service); p++) {
		struct err err = {0};
		struct log_mark mark = {.partition = p};
		check(log_committed(rig.log, arena_format(&rig.arena, "tandem-%s", service), input, &mark, &err), &err);
		sum += mark.offset;
	}
	return sum;
}

/* ---- folding ---- */

static int64_t end_sum(const char *service, const char *input)
{
	int64_t low, high, sum = 0;
	for (int32_t p = 0; p < rig_partitions(&rig, service); p++) {
		struct err err = {0};
		check(log_bounds(rig.log, input, p, &low, &high, &err), &err);
		sum += high;
	}
	return sum;
}

/* Marks alone tell nothing of files that are gone or old. */
static bool all_are_folded(struct rig *of, void *arg)
{
	(void)arg;
	return next_sum(of->data, "order") == end_sum("order", "orders") &&
	       next_sum(of->data, "inventory") == end_sum("inventory", "inventory");
}

/* Until everything is folded, then ends both. */
static void fold_everything(void)
{
	struct rig_process *order = start("order"), *inventory = start("inventory");
	rig_drain(&rig, WAIT_SECONDS);
	rig_until(&rig, WAIT_SECONDS, "every file is folded to the end", all_are_folded, NULL);
	stop(order);
	stop(inventory);
}

static void publish_and_fold(int count, int seed)
{
	publish_orders(count, seed);
	fold_everything();
}

/* ---- ending ---- */

static void a_worker_that_is_told_to_end_commits_its_open_batch(void **state)
{
	(void)state;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(10, 1); /* so that there are files and marks */
	int64_t before = next_sum(rig.data, "order");
	struct rig_process *order = rig_start(&rig, "order", "order run --commit-interval 60s");
	publish_orders(500, 2);
	rig_until(&rig, WAIT_SECONDS, "the order worker has an open batch", has_open_batch, order);
	assert_int_equal(next_sum(rig.data, "order"), before);
	assert_int_equal(rig_end(&rig, order, SIGTERM, WAIT_SECONDS), 0);
	int64_t after = next_sum(rig.data, "order");
	assert_true(after > before);
	assert_int_equal(mark_sum("order", "orders"), after);
	fold_everything();
	rig_verify_all(&rig);
	rig.passed = true;
}

/* ---- two workers ---- */

static const char *other_data;

/* With an open batch, but outside of the local log's locks. */
static bool stopped_at_work(struct rig *of, void *arg)
{
	const struct rig_process *worker = arg;
	const char *log_folder = arena_format(&of->arena, "%s/log", of->folder);
	int status;
	if (!has_open_batch(of, arg))
		return false;
	kill(worker->pid, SIGSTOP);
	assert_int_equal(waitpid(worker->pid, &status, WUNTRACED), worker->pid);
	if (has_open_batch(of, arg) && (of->on_kafka || !log_locks_held(worker->pid, log_folder)))
		return true;
	kill(worker->pid, SIGCONT);
	return false;
}

static bool the_other_is_ahead(struct rig *of, void *arg)
{
	const int64_t *zombie = arg;
	return next_sum(other_data, "order") > *zombie + of->orders;
}

static void a_stopped_worker_that_comes_back_disturbs_nothing(void **state)
{
	(void)state;
	struct view view;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(60, 30); /* so that there is a file of each partition */
	other_data = arena_format(&rig.arena, "%s/other", rig.folder);
	struct rig_process *inventory = start("inventory");
	struct rig_process *zombie = rig_start(&rig, "order", "order run --session-timeout 6s");
	publish_before_witnesses(WITNESS_ENDLESS, 3);
	rig_until(&rig, WAIT_SECONDS, "the order worker is stopped with an open batch", stopped_at_work, zombie);
	int64_t reached = next_sum(rig.data, "order");
	struct rig_process *other = rig_start(&rig, "other", "order run --session-timeout 6s --data %s", other_data);
	rig_until(&rig, WAIT_SECONDS, "the other worker has taken the partitions and gone on", the_other_is_ahead,
	          &reached);
	kill(zombie->pid, SIGCONT);
	int64_t orders = witness_enough(&rig, WAIT_SECONDS);
	rig_ok(&rig, "audit --wait --timeout 110s --data %s --data %s", rig.data, other_data);
	stop(zombie);
	stop(other);
	stop(inventory);
	rig_ok(&rig, "audit --data %s --data %s", rig.data, other_data);
	rig_verify(&rig, "order", NULL, NULL);
	rig_verify(&rig, "order", other_data, NULL);
	rig_verify(&rig, "inventory", NULL, NULL);
	view_read(&rig, &view);
	assert_int_equal(view.placed, 60 + orders);
	witness_expect_none(&rig);
	rig.passed = true;
}

static void workers_may_become_two_and_one_again(void **state)
{
	(void)state;
	struct view view;
	rig_receive(&rig, RIG_SKUS, 100);
	struct rig_process *inventory = start("inventory");
	publish_before_witnesses(3000, 4);
	struct sharing sharing = {{start("order")}, {0}};
	rig_until(&rig, WAIT_SECONDS, "one worker holds all", the_first_holds_all, &sharing);
	sharing.workers[1] = rig_start(&rig, "second", "order run");
	rig_until(&rig, WAIT_SECONDS, "two workers hold all between them", both_hold_some, &sharing);
	struct rig_process *first = (struct rig_process *)(uintptr_t)sharing.workers[0];
	struct rig_process *second = (struct rig_process *)(uintptr_t)sharing.workers[1];
	stop(second);
	sharing.workers[1] = NULL;
	rig_until(&rig, WAIT_SECONDS, "one worker holds all again", the_first_holds_all, &sharing);
	witness_published(&rig, WAIT_SECONDS);
	rig_drain(&rig, WAIT_SECONDS);
	stop(first);
	stop(inventory);
	rig_verify_all(&rig);
	view_read(&rig, &view);
	assert_int_equal(view.placed, 3000);
	witness_expect_none(&rig);
	rig.passed = true;
}

/* ---- files ---- */

static const char *file_of(const char *service, int32_t partition, const char *ending)
{
	return arena_format(&rig.arena, "%s/%s/%d.db%s", rig.data, service, partition, ending);
}

static void delete_file(const char *service, int32_t partition)
{
	assert_int_equal(unlink(file_of(service, partition, "")), 0);
	unlink(file_of(service, partition, "-wal"));
	unlink(file_of(service, partition, "-shm"));
}

static void keep_file(const char *service, int32_t partition)
{
	struct stat wal;
	/* No worker runs: all of it is in the file itself, whatever readers have left. */
	assert_true(stat(file_of(service, partition, "-wal"), &wal) != 0 || wal.st_size == 0);
	const char *copy = arena_format(&rig.arena, "cp '%s' '%s'", file_of(service, partition, ""),
	                                file_of(service, partition, "-kept"));
	assert_int_equal(system(copy), 0);
}

static void restore_file(const char *service, int32_t partition)
{
	delete_file(service, partition);
	assert_int_equal(rename(file_of(service, partition, "-kept"), file_of(service, partition, "")), 0);
}

struct moment {
	uint64_t order[RIG_PARTITIONS_MAX], inventory[RIG_PARTITIONS_MAX];
	struct view view;
};

static void note_moment(struct moment *moment)
{
	rig_verify(&rig, "order", NULL, moment->order);
	rig_verify(&rig, "inventory", NULL, moment->inventory);
	view_read(&rig, &moment->view);
}

static void check_same_states(const struct moment *a, const struct moment *b)
{
	for (int32_t p = 0; p < ORDERS; p++)
		assert_int_equal(a->order[p], b->order[p]);
	for (int32_t p = 0; p < INVENTORY; p++)
		assert_int_equal(a->inventory[p], b->inventory[p]);
}

static void a_lost_file_is_made_again_and_says_nothing_new(void **state)
{
	(void)state;
	struct moment before, after;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(400, 5);
	note_moment(&before);
	delete_file("order", 0);
	delete_file("inventory", 1);
	fold_everything();
	note_moment(&after);
	check_same_states(&before, &after);
	assert_int_equal(before.view.hash, after.view.hash);
	assert_int_equal(before.view.dropped, after.view.dropped); /* up to the mark nothing is sent at all */
	rig_verify_all(&rig);
	rig.passed = true;
}

/* One that catches up has folded something, or all of it. */
static bool is_catching_up(struct rig *of, void *arg)
{
	const struct rig_process *worker = arg;
	pid_t pid;
	enum lock_state state;
	for (int32_t p = 0; p < ORDERS; p++)
		if (holder(of->data, "order", p, &pid, &state) && pid == worker->pid && state == LOCK_FOLDING)
			return true;
	return strstr(rig_words(of, worker), "caught up with the mark") ||
	       next_sum(of->data, "order") == end_sum("order", "orders"); /* the one before had all of it */
}

static void files_that_are_all_lost_are_made_again_whatever_ends_it(void **state)
{
	(void)state;
	static const int signals[] = {SIGKILL, SIGTERM, SIGKILL};
	struct moment before, after;
	rig_receive(&rig, RIG_SKUS, 1000000);
	publish_and_fold(12000, 8);
	note_moment(&before);
	for (int32_t p = 0; p < ORDERS; p++)
		delete_file("order", p);
	for (int i = 0; i < 3; i++) { /* without a group, which would wait for the session of who was killed */
		struct rig_process *worker = rig_start(&rig, arena_format(&rig.arena, "catching-up-%d", i),
		                                       "order run --partitions 0-%d", ORDERS - 1);
		rig_until(&rig, WAIT_SECONDS, "files are made again", is_catching_up, worker);
		assert_int_equal(rig_end(&rig, worker, signals[i], WAIT_SECONDS), signals[i] == SIGKILL ? -SIGKILL : 0);
	}
	fold_everything();
	note_moment(&after);
	check_same_states(&before, &after);
	assert_int_equal(before.view.hash, after.view.hash);
	assert_int_equal(before.view.dropped, after.view.dropped);
	rig_verify_all(&rig);
	rig.passed = true;
}

static void an_old_file_catches_up_and_says_nothing_new(void **state)
{
	(void)state;
	struct moment before, after;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(200, 6);
	keep_file("order", 1);
	keep_file("inventory", 2);
	publish_and_fold(300, 7);
	note_moment(&before);
	restore_file("order", 1);
	restore_file("inventory", 2);
	fold_everything();
	note_moment(&after);
	check_same_states(&before, &after);
	assert_int_equal(before.view.hash, after.view.hash);
	assert_int_equal(before.view.dropped, after.view.dropped);
	rig_verify_all(&rig);
	rig.passed = true;
}

static void lost_files_and_lost_marks_send_everything_again_and_change_nothing(void **state)
{
	(void)state;
	struct moment before, after;
	struct err err = {0};
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(300, 8);
	note_moment(&before);
	uint64_t tables = rig_tables_hash(&rig, "inventory");
	for (int32_t p = 0; p < ORDERS; p++)
		delete_file("order", p);
	check(log_group_delete(rig.log, "tandem-order", &err), &err);
	assert_int_equal(mark_sum("order", "orders"), -ORDERS);
	fold_everything();
	note_moment(&after);
	for (int32_t p = 0; p < ORDERS; p++)
		assert_int_equal(before.order[p], after.order[p]);
	assert_int_equal(rig_tables_hash(&rig, "inventory"), tables);
	assert_int_equal(before.view.hash, after.view.hash);
	assert_true(after.view.dropped >= before.view.dropped + 300); /* each order's outputs were there again */
	rig_verify_all(&rig);
	rig.passed = true;
}

/* ---- a changed row ---- */

struct change {
	const char *service, *table, *column, *key, *pick;
};

static void exec(const char *path, const char *sql)
{
	struct store *store;
	struct err err = {0};
	check(store_open(&(struct store_config){.path = path, .mode = STORE_WRITE}, &store, &err), &err);
	check(store_exec(store, sql, &err), &err);
	store_close(store);
}

static void check_difference(const struct change *change, int32_t partition, int64_t was, int64_t end)
{
	struct rig_result result;
	const char *table, *key, *column, *file, *folded;
	int64_t offset;
	char number[24];
	rig_run(&rig, &result, WAIT_SECONDS, "%s verify -J --partitions %d", change->service, partition);
	assert_int_equal(result.exit_status, EXIT_DIFFERS);
	json_t *json = json_loads(result.out, JSON_DISABLE_EOF_CHECK, NULL);
	if (json_unpack(json_object_get(json, "difference"), "{s:s, s:s, s:s, s:s, s:s, s:I}", "table", &table, "key",
	                &key, "column", &column, "file", &file, "log", &folded, "offset", &offset) != 0)
		fail_msg("no difference in %s", result.out);
	assert_string_equal(table, change->table);
	assert_string_equal(column, change->column);
	assert_memory_equal(key, change->key, strcspn(change->key, ","));
	snprintf(number, sizeof number, "%" PRId64, was);
	assert_string_equal(folded, number);
	snprintf(number, sizeof number, "%" PRId64, was ^ 1);
	assert_string_equal(file, number);
	assert_in_range(offset, 1, end - 1);
	rig_run(&rig, &result, WAIT_SECONDS, "%s verify --partitions %d", change->service, partition);
	assert_int_equal(result.exit_status, EXIT_DIFFERS);
	const char *const said[] = {table, key,    column,
	                            file,  folded, arena_format(&rig.arena, "offset %" PRId64, offset)};
	for (size_t i = 0; i < sizeof said / sizeof *said; i++)
		if (!strstr(result.out, said[i]))
			fail_msg("verify does not say '%s': %s", said[i], result.out);
	json_decref(json);
}

static void flip_and_verify(const struct change *change, int32_t partition)
{
	const char *path = file_of(change->service, partition, "");
	const char *where = arena_format(&rig.arena, "(%s) = (%s)", change->key, change->pick);
	const char *value =
		arena_format(&rig.arena, "SELECT %s FROM %s WHERE %s", change->column, change->table, where);
	const char *flip = arena_format(&rig.arena, "UPDATE %s SET %s = (%s | 1) - (%s & 1) WHERE %s", change->table,
	                                change->column, change->column, change->column, where);
	int64_t was = rig_number(&rig, change->service, partition, value);
	int64_t end = rig_number(&rig, change->service, partition, "SELECT next_offset FROM meta");
	exec(path, flip);
	assert_int_equal(rig_number(&rig, change->service, partition, value), was ^ 1);
	check_difference(change, partition, was, end);
	exec(path, flip);
}

static void one_changed_bit_is_found_and_its_record_named(void **state)
{
	(void)state;
	static const struct change changes[] = {
		{"order", "orders", "total_minor", "order_id", "SELECT order_id FROM orders LIMIT 1 OFFSET 7"},
		{"order", "orders", "content", "order_id", "SELECT order_id FROM orders LIMIT 1 OFFSET 9"},
		{"order", "cancel_request", "at_offset", "order_id", "SELECT order_id FROM cancel_request LIMIT 1"},
		{"inventory", "stock", "received", "sku", "SELECT sku FROM stock LIMIT 1"},
		{"inventory", "reservation", "at_offset", "order_id",
	         "SELECT order_id FROM reservation LIMIT 1 OFFSET 3"},
		{"inventory", "receipt", "quantity", "receipt_id, sku", "SELECT receipt_id, sku FROM receipt LIMIT 1"},
		{"revenue", "sale", "day", "order_id", "SELECT order_id FROM sale LIMIT 1 OFFSET 2"},
	};
	rig_receive(&rig, RIG_SKUS, 100);
	publish_and_fold(300, 9);
	rig_ok(&rig, "revenue run --until-end");
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		print_message("%s %s.%s\n", changes[i].service, changes[i].table, changes[i].column);
		flip_and_verify(&changes[i], (int32_t)rig_random(&rig, ORDERS));
	}
	rig_verify_all(&rig); /* all is as it was */
	rig.passed = true;
}

/* ---- once more ---- */

static void publishing_the_same_again_changes_no_row(void **state)
{
	(void)state;
	static const char *const services[] = {"order", "inventory", "revenue"};
	uint64_t before[3];
	struct view first, second;
	const char *sample = "tests/data/online-retail-sample.csv";
	rig_receive(&rig, RIG_SKUS, 100);
	rig_ok(&rig, "publish --stock-cover 90 --cancel-one-in 50 %s", sample);
	publish_and_fold(300, 10);
	rig_ok(&rig, "revenue run --until-end");
	for (int i = 0; i < 3; i++)
		before[i] = rig_tables_hash(&rig, services[i]);
	view_read(&rig, &first);
	rig_ok(&rig, "publish --only receipts --orders 1 --skus 40 --stock 100");
	rig_ok(&rig, "publish --stock-cover 90 --cancel-one-in 50 %s", sample);
	publish_and_fold(300, 10);
	rig_verify_all(&rig);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rig_tables_hash(&rig, services[i]), before[i]);
	view_read(&rig, &second);
	assert_int_equal(first.hash, second.hash);
	assert_int_equal(first.dropped, second.dropped); /* a repeat is answered by nothing */
	assert_int_equal(second.placed, 828 + 300);
	rig.passed = true;
}

#define FAULT(test) cmocka_unit_test_prestate_setup_teardown(test, open_installation, rig_teardown, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT(a_worker_that_is_told_to_end_commits_its_open_batch),
		FAULT(a_stopped_worker_that_comes_back_disturbs_nothing),
		FAULT(workers_may_become_two_and_one_again),
		FAULT(a_lost_file_is_made_again_and_says_nothing_new),
		FAULT(files_that_are_all_lost_are_made_again_whatever_ends_it),
		FAULT(an_old_file_catches_up_and_says_nothing_new),
		FAULT(lost_files_and_lost_marks_send_everything_again_and_change_nothing),
		FAULT(one_changed_bit_is_found_and_its_record_named),
		FAULT(publishing_the_same_again_changes_no_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
