/* A service of the simulator's own, which does what ours are too well written for: it sends before it has decided, writes and
 * then rejects, puts and deletes one row again and again, holds more than is kept in memory, and forgets to look at a status. The
 * runtime must make up for all of it. It is folded as a task, without a log, while SQLite's calls fail, and killed and opened
 * again in between. */
#include "sim.h"

#include "genesis.h"

#include <stdio.h>
#include <string.h>

#define RECORDS_MAX 24
#define TRIES_MAX   2000
#define LARGE_BYTES 400000 /* a dozen of them are more than a task keeps of its rows */

enum { SEEN, TOTAL };

static const char *const tables[] = {
	[SEEN] = "CREATE TABLE seen (at INTEGER PRIMARY KEY, receipt TEXT NOT NULL, quantity INTEGER NOT NULL,"
		 " pad TEXT NOT NULL) STRICT",
	[TOTAL] = "CREATE TABLE total (one INTEGER PRIMARY KEY CHECK (one = 1), quantity INTEGER NOT NULL) STRICT",
};

static bool wrong(const struct stock_received *received)
{
	return received->quantity % 3 == 0;
}

/* Which earlier record's row it deletes or, where that is gone, puts again; 0: none. */
static int64_t other_of(const struct stock_received *received, int64_t at)
{
	return received->quantity % 2 ? received->quantity % at : 0;
}

/* With what it has counted so far, which it does not know where that could not be read. */
static enum status tell(struct fold *fold, const char *receipt, struct err *err)
{
	struct err forgotten;
	const struct store_value one = value_int(1), *row = NULL;
	fold_get(fold, TOTAL, &one, &row, &forgotten);
	const struct stock_reserved event = {.order_id = receipt,
	                                     .inventory_partition = row ? (int32_t)row[1].number : 0};
	return fold_emit(fold, "replies", 0, receipt, &stock_reserved_type, &event, err);
}

static void put_seen(struct fold *fold, int64_t at, const struct stock_received *received)
{
	struct err forgotten;
	bool large = received->received_at > 1;
	char *pad = arena_alloc(fold_arena(fold), LARGE_BYTES + 1);
	memset(pad, 'x', LARGE_BYTES);
	pad[large ? LARGE_BYTES : 1] = 0;
	const struct store_value row[] = {value_int(at), value_text(received->receipt_id),
	                                  value_int(received->quantity), value_text(pad)};
	fold_put(fold, SEEN, row, &forgotten);
}

static void count_up(struct fold *fold, int64_t quantity)
{
	struct err forgotten;
	const struct store_value one = value_int(1), *row = NULL;
	fold_get(fold, TOTAL, &one, &row, &forgotten);
	const struct store_value sum[] = {one, value_int(quantity + (row ? row[1].number : 0))};
	fold_put(fold, TOTAL, sum, &forgotten);
}

static enum status on_received(struct fold *fold, const void *event, struct err *err)
{
	struct err forgotten;
	const struct stock_received *received = event;
	int64_t at = fold_offset(fold), other = other_of(received, at);
	const struct store_value key = value_int(other), *row = NULL;
	enum status status = tell(fold, received->receipt_id, err);
	put_seen(fold, at, received);
	count_up(fold, received->quantity);
	if (other)
		fold_get(fold, SEEN, &key, &row, &forgotten);
	if (row)
		fold_delete(fold, SEEN, &key, &forgotten);
	else if (other)
		put_seen(fold, other, received);
	count_up(fold, 1);
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
	bool large;
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
	probe->large = dice_chance(&probe->dice, 150);
	for (size_t i = 1; i <= probe->count; i++) {
		struct buf value = {0};
		const char *name = arena_format(&world->arena, "P%zu", i);
		probe->received[i] = (struct stock_received){.receipt_id = name,
		                                             .sku = name,
		                                             .quantity = dice_from(&probe->dice, 1, 1000),
		                                             .received_at = probe->large ? 2 : 1};
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
	bool soon = dice_chance(&probe->dice, 600) || probe->disk.fault != DISK_NO_MEMORY;
	probe->disk.after = dice_below(&probe->dice, soon ? 6 : 80);
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
	if (status != OK || dice_chance(&probe->dice, 200))
		drop(probe);
	return true;
}

/* ---- what came of it ---- */

/* By record: whose receipt its row has; 0: it has none. */
static int64_t model(const struct probe *probe, int64_t owner[RECORDS_MAX + 1])
{
	int64_t total = 0;
	for (int64_t i = 1; i <= (int64_t)probe->count; i++) {
		int64_t other = other_of(&probe->received[i], i);
		if (wrong(&probe->received[i]))
			continue;
		owner[i] = i;
		if (other)
			owner[other] = owner[other] ? 0 : i;
		total += probe->received[i].quantity + 1;
	}
	return total;
}

static bool check_row(struct probe *probe, struct store_statement *row, int64_t at, int64_t owner)
{
	const struct stock_received *received = &probe->received[owner];
	if (store_int(row, 0) == at && strcmp(store_text(row, 1), received->receipt_id) == 0 &&
	    store_int(row, 2) == received->quantity && store_int(row, 3) == (probe->large ? LARGE_BYTES : 1))
		return true;
	return world_fail(probe->world, "probe: a row %lld of %s where row %lld of %s must stand",
	                  (long long)store_int(row, 0), store_text(row, 1), (long long)at, received->receipt_id);
}

static bool check_rows(struct probe *probe, struct store_statement *rows, const int64_t owner[RECORDS_MAX + 1])
{
	struct err err = {0};
	bool row = true;
	enum status status = OK;
	for (int64_t i = 1; i <= (int64_t)probe->count && status == OK; i++) {
		if (!owner[i])
			continue;
		status = store_step(rows, &row, &err);
		if (status == OK && !row)
			return world_fail(probe->world, "probe: row %lld is missing", (long long)i);
		if (status == OK && !check_row(probe, rows, i, owner[i]))
			return false;
	}
	if (status == OK)
		status = store_step(rows, &row, &err);
	if (status == OK && row)
		return world_fail(probe->world, "probe: row %lld is left behind", (long long)store_int(rows, 0));
	return status == OK || world_fail(probe->world, "probe: %s", err.text);
}

static bool check_tables(struct probe *probe)
{
	struct err err = {0};
	struct store_statement *rows;
	int64_t owner[RECORDS_MAX + 1] = {0}, total = model(probe, owner);
	bool row = false;
	struct store *store = task_store(probe->task);
	enum status status =
		store_prepare(store, "SELECT at, receipt, quantity, length(pad) FROM seen ORDER BY at", &rows, &err);
	if (status == OK && !check_rows(probe, rows, owner))
		return false;
	if (status == OK)
		status = store_prepare(store, "SELECT sum(quantity) FROM total", &rows, &err);
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
	if (!*world->failure && check_tables(&probe))
		world->tally.seen[SEEN_PROBED]++;
	task_close(probe.task);
	vfs_use(NULL);
}
