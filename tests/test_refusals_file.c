/* What a worker refuses about its file, its lock and its disk: each is provoked, the other tasks go on, and the way out that
 * the message names is followed until the task runs and every file verifies. */
#include "support/faulty_vfs.h"
#include "support/stage.h"

#include "lock.h"
#include "status.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void copy_file(const char *from, const char *to)
{
	char bytes[65536];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	assert_non_null(in);
	assert_non_null(out);
	for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
		assert_int_equal(fwrite(bytes, 1, n, out), n);
	assert_int_equal(fclose(in) | fclose(out), 0);
}

static void write_text(const char *path, const char *text)
{
	FILE *out = fopen(path, "wb");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

/* The tasks of inventory are closed and folded to their end. */
static void open_and_stop(struct stage *stage)
{
	stage_open(stage, 2, 2);
	stage_order(stage, 0, 0);
	stage_rest(stage);
	stage_stop(stage, STAGE_INVENTORY);
}

static void refused_then_deleted(struct stage *stage, const char *code, const char *found)
{
	stage_start(stage, STAGE_INVENTORY);
	stage_refused(stage,
	              &(struct stage_refusal){
			      .which = STAGE_INVENTORY, .partition = 0, .code = code, .words = {found, "delete"}});
	stage_delete(stage, STAGE_INVENTORY, 0);
	stage_recovers(stage, STAGE_INVENTORY, 0);
	stage_close(stage);
}

static void the_file_of_another_partition_is_refused_until_it_is_deleted(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	copy_file(stage_path(&stage, STAGE_INVENTORY, 1, ".db"), stage_path(&stage, STAGE_INVENTORY, 0, ".db"));
	refused_then_deleted(&stage, "foreign_file", "expected inventory on inventory/0");
}

static void the_file_of_another_partition_is_refused_until_the_right_one_is_back(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	const char *live = stage_path(&stage, STAGE_INVENTORY, 0, ".db"),
		   *kept = stage_path(&stage, STAGE_INVENTORY, 0, ".kept");
	copy_file(live, kept);
	copy_file(stage_path(&stage, STAGE_INVENTORY, 1, ".db"), live);
	stage_start(&stage, STAGE_INVENTORY);
	stage_refused(&stage, &(struct stage_refusal){
				      .which = STAGE_INVENTORY,
				      .partition = 0,
				      .code = "foreign_file",
				      .words = {"another service, topic or partition", "put the right file here"}});
	stage_delete(&stage, STAGE_INVENTORY, 0);
	copy_file(kept, live);
	stage_recovers(&stage, STAGE_INVENTORY, 0);
	stage_close(&stage);
}

static void tables_of_another_program_are_refused_until_the_file_is_deleted(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	stage_exec(&stage, STAGE_INVENTORY, 0, "ALTER TABLE stock ADD COLUMN shelf TEXT");
	refused_then_deleted(&stage, "other_tables", "tables are not this program's (expected: CREATE TABLE stock");
}

/* Lines were once a table of their own. */
static void tables_of_an_older_program_are_refused_until_the_file_is_deleted(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	stage_exec(&stage, STAGE_INVENTORY, 0,
	           "DROP TABLE reservation; CREATE TABLE reservation (order_id ANY PRIMARY KEY NOT NULL, status INTEGER"
	           " NOT NULL, at_offset INTEGER NOT NULL, lines INTEGER NOT NULL, refusal BLOB) WITHOUT ROWID, STRICT;"
	           "CREATE TABLE reservation_line (order_id ANY NOT NULL, line INTEGER NOT NULL, sku TEXT NOT NULL,"
	           " quantity INTEGER NOT NULL, PRIMARY KEY (order_id, line)) WITHOUT ROWID, STRICT");
	refused_then_deleted(&stage, "other_tables", "expected: CREATE TABLE reservation (");
}

static void a_file_that_is_no_database_is_refused_until_it_is_deleted(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	write_text(stage_path(&stage, STAGE_INVENTORY, 0, ".db"),
	           "This is a letter to my aunt, and no database at all.\n");
	refused_then_deleted(&stage, "corrupt", "file is not a database");
}

static void an_unreadable_mark_in_the_file_is_refused_until_it_is_deleted(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	stage_exec(&stage, STAGE_INVENTORY, 0, "UPDATE meta SET mark = 'tandem1 9 rubbish'");
	refused_then_deleted(&stage, "corrupt", "is not readable: 'tandem1 9 rubbish'");
}

static void pinned_counts_that_differ_from_the_log_are_refused_until_the_file_is_deleted(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	stage_exec(&stage, STAGE_INVENTORY, 0, "UPDATE topic SET partitions = 9 WHERE name = 'orders'");
	refused_then_deleted(&stage, "partition_count", "genesis pins orders to 2 partitions, the file has 9");
}

static void the_file_of_another_installation_is_refused_until_it_is_deleted(void **state)
{
	(void)state;
	struct stage stage;
	open_and_stop(&stage);
	stage_exec(&stage, STAGE_INVENTORY, 0, "UPDATE meta SET installation = x'00112233445566778899aabbccddeeff'");
	refused_then_deleted(&stage, "foreign_log", "the file was folded from 00112233445566778899aabbccddeeff");
}

static void a_file_of_a_newer_version_waits_for_a_newer_program(void **state)
{
	(void)state;
	struct stage stage;
	struct service newer = *flow_service("inventory");
	newer.logic_version = 2;
	open_and_stop(&stage);
	stage_logic_version(&stage, "inventory", 0, 2);
	stage_start_with(&stage, STAGE_INVENTORY, &(struct worker_config){.service = &newer});
	stage_rest(&stage);
	stage_stop(&stage, STAGE_INVENTORY);
	stage_start(&stage, STAGE_INVENTORY);
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_INVENTORY,
	                                              .partition = 0,
	                                              .code = "unknown_version",
	                                              .words = {"folded with logic version 2", "knows up to 1",
	                                                        "run a newer program"}});
	stage_stop(&stage, STAGE_INVENTORY);
	stage_start_with(&stage, STAGE_INVENTORY, &(struct worker_config){.service = &newer});
	stage_feed(&stage, STAGE_INVENTORY, 0);
	stage_rest(&stage);
	assert_null(stage_task(&stage, STAGE_INVENTORY, 0).why);
	assert_int_equal(access(stage_path(&stage, STAGE_INVENTORY, 0, ".halt"), F_OK), -1);
	flow_verify_service(&stage.flow, &newer, NULL);
	stage_followed(&stage);
	stage_close(&stage);
}

/* Partition 0 of the inventory has 5 units of a SKU. */
struct stocked {
	struct stage stage;
	const char *sku, *order; /* an id for an order of 3 of them */
};

static void open_stocked(struct stocked *out)
{
	stage_open(&out->stage, 2, 2);
	out->sku = stage_id(&out->stage, "S", 0, 2);
	out->order = stage_id(&out->stage, "O", 0, 2);
	flow_receive(&out->stage.flow, "r", out->sku, 5);
	stage_rest(&out->stage);
}

static void rows_that_contradict_each_other_halt_until_the_file_is_deleted(void **state)
{
	(void)state;
	struct stocked stocked;
	struct stage *stage = &stocked.stage;
	open_stocked(&stocked);
	stage_stop(stage, STAGE_INVENTORY);
	stage_exec(stage, STAGE_INVENTORY, 0, "UPDATE stock SET received = 5, on_hand = 4, reserved = 0");
	stage_start(stage, STAGE_INVENTORY);
	flow_order_one(&stage->flow, stocked.order, stocked.sku, 3);
	stage_rest(stage);
	stage_stop(stage, STAGE_INVENTORY);
	stage_exec(stage, STAGE_INVENTORY, 0, "UPDATE stock SET received = on_hand");
	flow_cancel(&stage->flow, stocked.order); /* what comes back is more than ever came */
	stage_rest(stage);
	refused_then_deleted(stage, "corrupt", "would have 4 units on hand, 0 of them reserved, of 1");
}

static void lines_cannot_be_read(const char *lines)
{
	struct stocked stocked;
	struct stage *stage = &stocked.stage;
	open_stocked(&stocked);
	flow_order_one(&stage->flow, stocked.order, stocked.sku, 3);
	stage_rest(stage);
	stage_stop(stage, STAGE_INVENTORY);
	stage_exec(stage, STAGE_INVENTORY, 0,
	           arena_format(&stage->flow.arena, "UPDATE reservation SET lines = %s", lines));
	flow_cancel(&stage->flow, stocked.order);
	stage_rest(stage);
	refused_then_deleted(stage, "corrupt", "the lines kept for order");
}

static void lines_that_cannot_be_read_halt_until_the_file_is_deleted(void **state)
{
	(void)state;
	static const char *const damaged[] = {
		"NULL",
		"''",
		"'{}'",
		"'}'",
		"'{'",
		"'{\"'",
		"'3 S'",
		"'null'",
		"'{\"\":3}'",
		"'{\"S'",
		"'{\"S\"'",
		"'{\"S\":'",
		"'{\"S\":}'",
		"'{\"S\":3'",
		"'{\"S\":0}'",
		"'{\"S\":-3}'",
		"'{\"S\":03}'",
		"'{\"S\":3.0}'",
		"'{\"S\": 3}'",
		"'{\"S\":9223372036854775808}'",
		"'{\"S\":\"3\"}'",
		"'{\"S\":3,}'",
		"'{\"S\":3,\"'",
		"'{\"S\":3}}'",
		"'{\"S\":3}' || char(0)",
		"'{\"S' || char(0) || '\":3}'",
		"'{\"S' || char(10) || '\":3}'",
		"'{\"S\\\\'",
		"'{\"S\\\":3}'",
		"'{\"S\\n\":3}'",
		"'{\"' || printf('%065d', 0) || '\":3}'",
	};
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
		lines_cannot_be_read(damaged[i]);
}

/* ---- lock and disk ---- */

static void a_file_that_another_process_holds_is_waited_for(void **state)
{
	(void)state;
	struct stage stage;
	struct lock *lock;
	struct err err = {0};
	struct status_report report;
	char pid[32];
	open_and_stop(&stage);
	assert_int_equal(lock_open(stage_path(&stage, STAGE_INVENTORY, 0, ".lock"), &lock, &err), OK);
	lock_set(lock, LOCK_FOLDING);
	stage_start(&stage, STAGE_INVENTORY);
	stage_run(&stage, 300000); /* however long it takes, it is no halt */
	snprintf(pid, sizeof pid, "process %d (folding)", getpid());
	stage_refused(&stage, &(struct stage_refusal){.which = STAGE_INVENTORY,
	                                              .partition = 0,
	                                              .code = "locked",
	                                              .waiting = true,
	                                              .words = {"0.lock is held by", pid, "stop it, or wait"}});
	assert_int_equal(status_read(flow_service("inventory"), stage.flow.data, 0, stage.flow.log, &stage.flow.seam,
	                             &stage.flow.arena, &report, &err),
	                 OK);
	assert_true(report.running);
	assert_int_equal(report.pid, getpid());
	assert_int_equal(report.state, LOCK_FOLDING);
	assert_false(report.halted);
	lock_close(lock);
	stage_recovers(&stage, STAGE_INVENTORY, 0);
	stage_close(&stage);
}

static void a_folder_that_cannot_be_made_is_tried_again_and_shown(void **state)
{
	(void)state;
	struct stage stage;
	stage_make(&stage, 1, 1);
	const char *data = arena_format(&stage.flow.arena, "%s/in-the-way", stage.flow.data);
	write_text(data, "no folder");
	stage_start_with(&stage, STAGE_ORDER, &(struct worker_config){.data = data});
	stage_until(&stage, STAGE_ORDER, WORKER_BACKED_OFF);
	const struct err *why = stage_task(&stage, STAGE_ORDER, 0).why;
	assert_string_equal(why->code, "io");
	assert_non_null(strstr(why->text, "in-the-way/order cannot be made: Not a directory"));
	stage_until(&stage, STAGE_ORDER, WORKER_HALTED); /* it has not passed */
	stage_provoked("io");
	unlink(data);
	stage_run(&stage, 125000);
	assert_null(stage_task(&stage, STAGE_ORDER, 0).why);
	stage_feed(&stage, STAGE_ORDER, 0);
	stage_rest(&stage);
	flow_verify_service(&stage.flow, flow_service("order"), data);
	stage_close(&stage);
}

/* COMMIT of one task fails, the others stand; then the disk has room again. */
static void a_full_disk_stops_one_task_and_the_others_stand(void **state)
{
	(void)state;
	static const struct {
		enum faulty_vfs_kind kind;
		const char *code, *found;
	} cases[] = {{FAULTY_FULL, "disk_full", "full"}, {FAULTY_IO, "io", "I/O error"}};
	for (size_t i = 0; i < 2; i++) {
		struct stage stage;
		faulty_vfs_install();
		stage_make(&stage, 2, 2);
		stage_start(&stage, STAGE_ORDER);
		stage_start_with(&stage, STAGE_INVENTORY, &(struct worker_config){.vfs = FAULTY_VFS});
		stage_rest(&stage);
		faulty_vfs_fail("inventory/0.db", cases[i].kind);
		stage_order(&stage, 0, 0);
		stage_until(&stage, STAGE_INVENTORY, WORKER_BACKED_OFF);
		assert_string_equal(stage_task(&stage, STAGE_INVENTORY, 0).why->code, cases[i].code);
		stage_feed(&stage, STAGE_INVENTORY, 0);
		stage_feed(&stage, STAGE_INVENTORY, 1);
		stage_until(&stage, STAGE_INVENTORY, WORKER_HALTED);
		stage_refused(&stage, &(struct stage_refusal){.which = STAGE_INVENTORY,
		                                              .partition = 0,
		                                              .code = cases[i].code,
		                                              .words = {"inventory/0.db", cases[i].found}});
		faulty_vfs_fail("", FAULTY_NONE);
		stage_recovers(&stage, STAGE_INVENTORY, 0);
		assert_int_equal(flow_count(&stage.flow, "order-events", &order_confirmed_type), 1);
		stage_close(&stage);
	}
}

static void every_refusal_promised_here_was_provoked(void **state)
{
	(void)state;
	stage_promises("test_refusals_file.c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_of_another_partition_is_refused_until_it_is_deleted),
		cmocka_unit_test(the_file_of_another_partition_is_refused_until_the_right_one_is_back),
		cmocka_unit_test(tables_of_another_program_are_refused_until_the_file_is_deleted),
		cmocka_unit_test(tables_of_an_older_program_are_refused_until_the_file_is_deleted),
		cmocka_unit_test(a_file_that_is_no_database_is_refused_until_it_is_deleted),
		cmocka_unit_test(an_unreadable_mark_in_the_file_is_refused_until_it_is_deleted),
		cmocka_unit_test(pinned_counts_that_differ_from_the_log_are_refused_until_the_file_is_deleted),
		cmocka_unit_test(the_file_of_another_installation_is_refused_until_it_is_deleted),
		cmocka_unit_test(a_file_of_a_newer_version_waits_for_a_newer_program),
		cmocka_unit_test(rows_that_contradict_each_other_halt_until_the_file_is_deleted),
		cmocka_unit_test(lines_that_cannot_be_read_halt_until_the_file_is_deleted),
		cmocka_unit_test(a_file_that_another_process_holds_is_waited_for),
		cmocka_unit_test(a_folder_that_cannot_be_made_is_tried_again_and_shown),
		cmocka_unit_test(a_full_disk_stops_one_task_and_the_others_stand),
		cmocka_unit_test(every_refusal_promised_here_was_provoked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
