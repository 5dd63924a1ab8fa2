/* A service of the simulator's own, which does what ours are too well written for: it sends before it has decided, writes and
 * then rejects, reads a number as text, and forgets to look at a statement's status. The runtime must make up for all of it.
 * It is folded as a task, without a log, while SQLite's calls fail, and killed and opened again in between. */
#include "sim.h"

#include "genesis.h"
#include "hash.h"

#include <stdio.h>
#include <string.h>

#define RECORDS_MAX 24
#define TRIES_MAX   2000

enum { PUT, COUNT_UP, READ, PUT_TEXT };

static const char *const tables[] = {
	"CREATE TABLE seen (at INTEGER PRIMARY KEY, receipt TEXT NOT NULL, quantity INTEGER NOT NULL, again TEXT NOT NULL) STRICT",
	"CREATE TABLE total (one INTEGER PRIMARY KEY CHECK (one = 1), quantity INTEGER NOT NULL) STRICT",
};
static const char *const statements[] = {
	[PUT] = "INSERT INTO seen VALUES (?1, ?2, ?3, '')",
	[COUNT_UP] = "INSERT INTO total VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET quantity = quantity + ?1",
	[READ] = "SELECT quantity FROM seen WHERE at = ?1",
	[PUT_TEXT] = "UPDATE seen SET again = ?2 WHERE at = ?1",
};

static bool wrong(const struct stock_received *received)
{
	return received->quantity % 3 == 0;
}

static enum status tell(struct fold *fold, const char *receipt, struct err *err)
{
	const struct stock_reserved event = {.order_id = receipt};
	return fold_emit(fold, "replies", 0, receipt, &stock_reserved_type, &event, err);
}

static void write_again(struct fold *fold)
{
	struct err err;
	bool found;
	struct store_statement *read = fold_statement(fold, READ), *put = fold_statement(fold, PUT_TEXT);
	store_bind_int(read, 1, fold_offset(fold));
	store_step(read, &found, &err);
	const char *text = arena_format(fold_arena(fold), "%s", found ? store_text(read, 0) : "none");
	store_done(read);
	store_bind_int(put, 1, fold_offset(fold));
	store_bind_text(put, 2, text);
	store_run(put, &err);
}

static enum status on_received(struct fold *fold, const void *event, struct err *err)
{
	struct err forgotten;
	const struct stock_received *received = event;
	enum status status = tell(fold, received->receipt_id, err);
	struct store_statement *s = fold_statement(fold, PUT);
	store_bind_int(s, 1, fold_offset(fold));
	store_bind_text(s, 2, received->receipt_id);
	store_bind_int(s, 3, received->quantity);
	store_run(s, &forgotten);
	s = fold_statement(fold, COUNT_UP);
	store_bind_int(s, 1, received->quantity);
	store_run(s, &forgotten);
	write_again(fold);
	if (wrong(received))
		return fold_reject(err, "wrong", "the quantity is a multiple of three");
	return status;
}

static const struct service_handler handlers[] = {{&stock_received_type, on_received}};
static const char *const outputs[] = {"replies"};
static const struct service probe_service = {.name = "probe",
                                             .summary = "the simulator's own",
                                             .input = "probes",
                                             .outputs = outputs,
                                             .output_count = 1,
                                             .logic_version = 1,
                                             .tables = tables,
                                             .table_count = sizeof tables / sizeof *tables,
                                             .statements = statements,
                                             .statement_count = sizeof statements / sizeof *statements,
                                             .handlers = handlers,
                                             .handler_count = 1};

struct probe {
	struct world *world;
	struct dice dice;
	struct task *task;
	struct disk disk;
	char path[240];
	struct log_record records[RECORDS_MAX + 1]; /* the genesis first */
	struct stock_received received[RECORDS_MAX + 1];
	size_t count;
	uint64_t chains[RECORDS_MAX + 1]; /* of what each record made, when it was folded first */
};

/* ---- input ---- */

static void make_records(struct probe *probe)
{
	struct world *world = probe->world;
	struct err err = {0};
	struct genesis_topic topics[] = {{.name = "probes", .partitions = 1},
	                                 {.name = "probes.dlq", .partitions = 1},
	                                 {.name = "replies", .partitions = 1}};
	struct genesis genesis = {.topic = "probes", .single_replica = true, .logic_version = 1, .topics = {topics, 3}};
	memcpy(genesis.installation, world->installation, sizeof genesis.installation);
	if (genesis_record(&genesis, &world->arena, &probe->records[0], &err) != OK)
		world_fail(world, "probe: %s", err.text);
	probe->count = (size_t)dice_from(&probe->dice, 4, RECORDS_MAX);
	for (size_t i = 1; i <= probe->count; i++) {
		struct buf value = {0};
		const char *name = arena_format(&world->arena, "P%zu", i);
		probe->received[i] = (struct stock_received){.receipt_id = name,
		                                             .sku = name,
		                                             .quantity = dice_from(&probe->dice, 1, 1000),
		                                             .received_at = 1};
		event_encode(&stock_received_type, &probe->received[i], &value, &err);
		probe->records[i] = (struct log_record){
			.offset = (int64_t)i,
			.timestamp_ms = 1000 + (int64_t)i,
			.key = {name, (int32_t)strlen(name)},
			.value = {arena_copy(&world->arena, value.data, value.len), (int32_t)value.len}};
		buf_fini(&value);
	}
}

/* ---- folding ---- */

static void maybe_fail(struct probe *probe)
{
	static const enum disk_fault faults[] = {DISK_NO_MEMORY, DISK_NO_MEMORY, DISK_WRITE_ERROR, DISK_FULL,
	                                         DISK_READ_ERROR};
	if (!dice_chance(&probe->dice, 250))
		return;
	probe->disk.fault = faults[dice_below(&probe->dice, (int)(sizeof faults / sizeof *faults))];
	probe->disk.after = dice_below(&probe->dice, probe->disk.fault == DISK_NO_MEMORY ? 80 : 6);
}

static void drop(struct probe *probe)
{
	probe->disk.fault = DISK_SOUND;
	if (dice_chance(&probe->dice, 500))
		task_abandon(probe->task);
	else
		task_close(probe->task);
	probe->task = NULL;
}

static bool check_outputs(struct probe *probe, size_t at, enum task_verdict verdict)
{
	size_t count, number = 0;
	bool rejected = wrong(&probe->received[at]);
	const struct task_output *out = task_outputs(probe->task, &count);
	for (size_t i = 1; i <= at; i++)
		number += wrong(&probe->received[i]) == rejected;
	if (verdict != (rejected ? TASK_REJECTED : TASK_APPLIED))
		return world_fail(probe->world, "probe: record %zu is %s", at, task_verdict_name(verdict));
	if (count != 1 || strcmp(out->topic, rejected ? "probes.dlq" : "replies") != 0 || out->number != number)
		return world_fail(
			probe->world, "probe: record %zu made %zu outputs, the first number %llu to %s and not %zu", at,
			count, count ? (unsigned long long)out->number : 0, count ? out->topic : "nobody", number);
	if (probe->chains[at] && probe->chains[at] != out->chain)
		return world_fail(probe->world, "probe: record %zu made other bytes than before", at);
	probe->chains[at] = out->chain;
	return true;
}

static size_t next_of(const struct probe *probe)
{
	struct task_position position;
	task_position(probe->task, &position);
	return (size_t)position.next_offset;
}

/* One record, as a worker folds it. What fails is opened anew. */
static bool fold_one(struct probe *probe)
{
	struct err err = {0};
	enum task_verdict verdict;
	size_t at = next_of(probe);
	maybe_fail(probe);
	int64_t failed = probe->disk.failed;
	enum disk_fault fault = probe->disk.fault;
	enum status status = task_fold(probe->task, &probe->records[at], &verdict, &err);
	if (status == OK && at && !check_outputs(probe, at, verdict))
		return false;
	if (status == OK && (at == probe->count || dice_chance(&probe->dice, 300)))
		status = task_commit(probe->task, &err);
	probe->world->tally.disk[fault][0] += probe->disk.failed - failed;
	if (status == FATAL && !err_is(&err, "corrupt"))
		return world_fail(probe->world, "probe: %s: %s", err.code, err.text);
	if (status != OK || dice_chance(&probe->dice, 60))
		drop(probe);
	return true;
}

/* ---- what came of it ---- */

static bool check_row(struct probe *probe, struct store_statement *row, size_t at)
{
	const struct stock_received *received = &probe->received[at];
	char again[32];
	snprintf(again, sizeof again, "%lld", (long long)received->quantity);
	if ((size_t)store_int(row, 0) == at && strcmp(store_text(row, 1), received->receipt_id) == 0 &&
	    store_int(row, 2) == received->quantity && strcmp(store_text(row, 3), again) == 0)
		return true;
	return world_fail(probe->world,
	                  "probe: a row of record %lld (quantity %lld '%s') where record %zu (%s) must stand",
	                  (long long)store_int(row, 0), (long long)store_int(row, 2), store_text(row, 3), at, again);
}

static bool check_table(struct probe *probe)
{
	struct err err = {0};
	struct store_statement *rows;
	int64_t total = 0;
	bool row = true;
	enum status status =
		store_prepare(task_store(probe->task), "SELECT * FROM seen ORDER BY at", false, &rows, &err);
	for (size_t i = 1; i <= probe->count && status == OK; i++) {
		if (wrong(&probe->received[i]))
			continue;
		total += probe->received[i].quantity;
		status = store_step(rows, &row, &err);
		if (status == OK && !row)
			return world_fail(probe->world, "probe: the row of record %zu is missing", i);
		if (status == OK && !check_row(probe, rows, i))
			return false;
	}
	if (status == OK)
		status = store_step(rows, &row, &err);
	if (status == OK && row)
		return world_fail(probe->world, "probe: a row was left behind");
	if (status == OK)
		status = store_prepare(task_store(probe->task), "SELECT sum(quantity) FROM total", false, &rows, &err);
	if (status == OK)
		status = store_step(rows, &row, &err);
	if (status == OK && store_int(rows, 0) != total)
		return world_fail(probe->world, "probe: a total of %lld and not %lld", (long long)store_int(rows, 0),
		                  (long long)total);
	return status == OK || world_fail(probe->world, "probe: %s", err.text);
}

static bool open_task(struct probe *probe)
{
	struct err err = {0};
	const struct task_config config = {.service = &probe_service, .path = probe->path};
	enum status status = task_open(&config, &probe->task, &err);
	return status == OK || world_fail(probe->world, "probe: it cannot be opened again: %s", err.text);
}

void probe_run(struct world *world)
{
	struct probe probe = {.world = world, .dice = dice_make(world->seed, 8)};
	int tries = 0;
	if (!dice_chance(&probe.dice, 300))
		return;
	snprintf(probe.path, sizeof probe.path, "%s/probe.db", world->folder);
	make_records(&probe);
	vfs_use(&probe.disk);
	while (!*world->failure && (probe.task || open_task(&probe)) && next_of(&probe) <= probe.count &&
	       tries++ < TRIES_MAX)
		if (!fold_one(&probe))
			break;
	probe.disk.fault = DISK_SOUND;
	if (tries > TRIES_MAX)
		world_fail(world, "probe: it never ends");
	if (!*world->failure && check_table(&probe))
		world->tally.seen[SEEN_PROBED]++;
	task_close(probe.task);
	vfs_use(NULL);
}
