#include "stage.h"

#include "check.h"
#include "genesis.h"
#include "halt.h"
#include "hash.h"
#include "header.h"
#include "refusals.h"
#include "status.h"
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PROVOKED_MAX 64

static const char *const names[STAGE_WORKERS] = {"order", "inventory", "revenue", "order"};
static const int sources[STAGE_WORKERS] = {STAGE_INVENTORY, STAGE_ORDER, STAGE_ORDER, STAGE_INVENTORY};
static const char *provoked[PROVOKED_MAX];
static size_t provoked_count;

static int32_t count_of(const struct stage *stage, int which)
{
	return which == STAGE_INVENTORY ? stage->flow.inventory_partitions : stage->flow.order_partitions;
}

const char *stage_service(int which)
{
	return names[which];
}

static const char *input_of(int which)
{
	return flow_service(names[which])->input;
}

/* ---- workers ---- */

void stage_make(struct stage *stage, int32_t orders, int32_t inventories)
{
	*stage = (struct stage){0};
	flow_init(&stage->flow, orders, inventories);
}

void stage_open(struct stage *stage, int32_t orders, int32_t inventories)
{
	stage_make(stage, orders, inventories);
	stage_start(stage, STAGE_ORDER);
	stage_start(stage, STAGE_INVENTORY);
	for (int which = 0; which < 2; which++)
		for (int32_t p = 0; p < count_of(stage, which); p++)
			stage_feed(stage, which, p);
	stage_rest(stage);
}

void stage_close(struct stage *stage)
{
	if (stage->refused)
		fail_msg("%s was refused, and its way out not followed", stage->refused);
	for (int which = 0; which < STAGE_WORKERS; which++)
		if (stage->workers[which].worker)
			flow_close(&stage->workers[which]);
	flow_fini(&stage->flow);
}

void stage_start_with(struct stage *stage, int which, const struct worker_config *config)
{
	struct worker_config full = *config;
	if (!full.service)
		full.service = flow_service(names[which]);
	flow_start_with(&stage->flow, &stage->workers[which], &full);
}

void stage_start(struct stage *stage, int which)
{
	stage_start_with(stage, which, &(struct worker_config){0});
}

void stage_stop(struct stage *stage, int which)
{
	worker_stop(stage->workers[which].worker);
	stage_until(stage, which, WORKER_DONE);
	flow_close(&stage->workers[which]);
}

void stage_crash(struct stage *stage, int which)
{
	flow_drop(&stage->workers[which]);
}

void stage_rest(struct stage *stage)
{
	flow_rest(&stage->flow, stage->workers, STAGE_WORKERS);
}

static bool step_all(struct stage *stage, int watched, enum worker_step wanted, bool *seen)
{
	bool moved = false;
	for (int which = 0; which < STAGE_WORKERS; which++) {
		if (!stage->workers[which].worker)
			continue;
		enum worker_step step = worker_step(stage->workers[which].worker);
		moved = moved || (step != WORKER_IDLE && step != WORKER_DONE);
		*seen = *seen || (which == watched && step == wanted);
		if (*seen)
			return true;
	}
	return moved;
}

void stage_run(struct stage *stage, int64_t ms)
{
	bool seen = false;
	for (int64_t until = stage->flow.now_us + ms * 1000; stage->flow.now_us < until;)
		stage->flow.now_us += step_all(stage, -1, WORKER_IDLE, &seen) ? 5 : 20000;
}

void stage_until(struct stage *stage, int which, enum worker_step step)
{
	bool seen = false;
	for (int64_t until = stage->flow.now_us + 120000000; !seen;) {
		stage->flow.now_us += step_all(stage, which, step, &seen) ? 5 : 20000;
		if (stage->flow.now_us > until)
			fail_msg("the %s worker never made the step %s", names[which], worker_step_name(step));
	}
}

/* ---- publishing ---- */

const char *stage_id(struct stage *stage, const char *prefix, int32_t partition, int32_t count)
{
	for (;;) {
		char *id = arena_format(&stage->flow.arena, "%s%d", prefix, stage->serial++);
		if (log_partition_of(id, strlen(id), count) == partition)
			return id;
	}
}

void stage_feed(struct stage *stage, int which, int32_t partition)
{
	const char *id = stage_id(stage, which == STAGE_INVENTORY ? "S" : "C", partition, count_of(stage, which));
	if (which == STAGE_INVENTORY)
		flow_receive(&stage->flow, "fed", id, 1);
	else
		flow_cancel(&stage->flow, id);
	if (which == STAGE_REVENUE)
		flow_order_one(&stage->flow, id, "S", 1);
}

const char *stage_order(struct stage *stage, int32_t from, int32_t to)
{
	const char *sku = stage_id(stage, "S", to, count_of(stage, STAGE_INVENTORY));
	const char *id = stage_id(stage, "O", from, count_of(stage, STAGE_ORDER));
	flow_receive(&stage->flow, id, sku, 1);
	flow_order_one(&stage->flow, id, sku, 1);
	return id;
}

/* ---- files ---- */

struct worker_task stage_task(const struct stage *stage, int which, int32_t partition)
{
	struct worker_task task = {.partition = -1};
	const struct worker *worker = stage->workers[which].worker;
	for (size_t i = 0; i < worker_task_count(worker); i++) {
		worker_task(worker, i, &task);
		if (task.partition == partition)
			return task;
	}
	fail_msg("%s/%d is not assigned", names[which], partition);
	return task;
}

const char *stage_path(struct stage *stage, int which, int32_t partition, const char *ending)
{
	return arena_format(&stage->flow.arena, "%s/%s/%d%s", stage->flow.data, names[which], partition, ending);
}

void stage_delete(struct stage *stage, int which, int32_t partition)
{
	static const char *const endings[] = {".db", ".db-wal", ".db-shm"};
	for (size_t i = 0; i < 3; i++)
		unlink(stage_path(stage, which, partition, endings[i]));
}

void stage_exec(struct stage *stage, int which, int32_t partition, const char *sql)
{
	struct store *store;
	struct err err = {0};
	const struct store_config config = {.path = stage_path(stage, which, partition, ".db"), .mode = STORE_WRITE};
	check(store_open(&config, &store, &err), &err);
	check(store_exec(store, sql, &err), &err);
	store_close(store);
}

void stage_delete_marks(struct stage *stage, int which)
{
	struct err err = {0};
	char group[64];
	snprintf(group, sizeof group, "tandem-%s", names[which]);
	check(log_group_delete(stage->flow.log, group, &err), &err);
}

/* ---- topics ---- */

struct stage_copy {
	const char *topic;
	struct log_topic info;
	struct log_record **records; /* by partition */
	size_t *counts;
};

static void save_partition(struct stage *stage, struct stage_copy *copy, int32_t partition)
{
	struct err err = {0};
	struct log_reader *reader;
	const struct log_record *record;
	struct arena *arena = &stage->flow.arena;
	copy->records[partition] =
		arena_alloc(arena, (size_t)stage_end(stage, copy->topic, partition) * sizeof *record);
	int64_t low, high;
	check(log_bounds(stage->flow.log, copy->topic, partition, &low, &high, &err), &err);
	check(log_reader_open(stage->flow.log, copy->topic, partition, low, &reader, &err), &err);
	for (;;) {
		check(log_reader_next(reader, 0, &record, &err), &err);
		if (!record)
			break;
		log_record_copy(&copy->records[partition][copy->counts[partition]++], record, arena);
	}
	log_reader_close(reader);
}

struct stage_copy *stage_save(struct stage *stage, const char *topic)
{
	struct err err = {0};
	struct arena *arena = &stage->flow.arena;
	struct stage_copy *copy = arena_alloc(arena, sizeof *copy);
	copy->topic = topic;
	check(log_topic_describe(stage->flow.log, topic, arena, &copy->info, &err), &err);
	size_t partitions = (size_t)copy->info.partitions;
	copy->records = arena_alloc(arena, partitions * sizeof *copy->records);
	copy->counts = arena_alloc(arena, partitions * sizeof *copy->counts);
	memset(copy->counts, 0, partitions * sizeof *copy->counts);
	for (int32_t p = 0; p < copy->info.partitions; p++)
		save_partition(stage, copy, p);
	return copy;
}

void stage_restore_tail(struct stage *stage, const struct stage_copy *copy, int32_t partition, int64_t from,
                        void (*edit)(struct log_record *record, void *arg), void *arg)
{
	struct err err = {0};
	for (size_t i = 0; i < copy->counts[partition]; i++) {
		struct log_record record = copy->records[partition][i];
		if (record.offset < from)
			continue;
		if (edit)
			edit(&record, arg);
		check(log_import(stage->flow.log, copy->topic, partition, &record, 1, &err), &err);
	}
}

void stage_recreate(struct stage *stage, const struct stage_copy *copy)
{
	struct err err = {0};
	struct log_topic topic = copy->info;
	topic.name = copy->topic;
	if (log_topic_delete(stage->flow.log, copy->topic, &err) != OK)
		assert_string_equal(err.code, "unknown_topic");
	check(log_topic_create(stage->flow.log, &topic, &err), &err);
}

void stage_restore(struct stage *stage, const struct stage_copy *copy)
{
	stage_recreate(stage, copy);
	for (int32_t p = 0; p < copy->info.partitions; p++)
		stage_restore_tail(stage, copy, p, 0, NULL, NULL);
}

void stage_restore_partition(struct stage *stage, const struct stage_copy *copy, int32_t partition)
{
	const struct stage_copy *now = stage_save(stage, copy->topic);
	stage_recreate(stage, copy);
	for (int32_t p = 0; p < copy->info.partitions; p++)
		stage_restore_tail(stage, p == partition ? copy : now, p, 0, NULL, NULL);
}

int64_t stage_end(struct stage *stage, const char *topic, int32_t partition)
{
	int64_t low, high;
	struct err err = {0};
	check(log_bounds(stage->flow.log, topic, partition, &low, &high, &err), &err);
	return high;
}

/* ---- forged events ---- */

static int64_t stream_of(struct stage *stage, const struct stage_forgery *f, const char *column)
{
	return flow_number(&stage->flow, names[f->which], f->partition,
	                   arena_format(&stage->flow.arena,
	                                "SELECT %s FROM inbound WHERE service = '%s' AND partition = %d", column,
	                                names[sources[f->which]], f->from));
}

void stage_forge(struct stage *stage, const struct stage_forgery *f)
{
	struct err err = {0};
	struct buf value = {0};
	struct genesis genesis;
	struct arena *arena = &stage->flow.arena;
	const char *source = names[sources[f->which]], *topic = input_of(f->which);
	static const uint8_t unknown[] = {0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0};
	check(genesis_read(stage->flow.log, topic, f->partition, arena, &genesis, &err), &err);
	if (f->event)
		check(event_encode(f->type, f->event, &value, &err), &err);
	struct log_bytes key = {"forged", 6};
	const void *bytes = f->event ? value.data : unknown;
	size_t len = f->event ? value.len : sizeof unknown, body_len;
	const uint8_t *body;
	uint64_t fingerprint, number = (uint64_t)stream_of(stage, f, "number") + 1;
	assert_true(event_split(bytes, len, &fingerprint, &body, &body_len));
	uint64_t before = number > 1 ? (uint64_t)stream_of(stage, f, "chain")
	                             : hash_chain_start(genesis.installation, source, f->from, topic, f->partition);
	struct header_stream stream = {
		.partition = f->from,
		.number = number,
		.chain = hash_chain(genesis.installation, before, number, fingerprint, &key, body, body_len)};
	snprintf(stream.service, sizeof stream.service, "%s", source);
	struct header_list headers;
	header_list_init(&headers, arena, 1);
	header_add_stream(&headers, &stream);
	struct log_record record = {.partition = f->partition,
	                            .key = key,
	                            .value = {bytes, (int32_t)len},
	                            .headers = headers.items,
	                            .header_count = headers.count};
	flow_write(&stage->flow, topic, &record);
	buf_fini(&value);
}

void stage_control(struct stage *stage, const char *topic, int32_t partition, const void *value, size_t len)
{
	const struct log_header header = {GENESIS_CONTROL_HEADER, {"1", 1}};
	flow_write(&stage->flow, topic,
	           &(struct log_record){.partition = partition,
	                                .key = {NULL, -1},
	                                .value = {value, (int32_t)len},
	                                .headers = &header,
	                                .header_count = 1});
}

void stage_logic_version(struct stage *stage, const char *topic, int32_t partition, int32_t version)
{
	struct buf value = {0};
	struct err err = {0};
	check(event_encode(&logic_version_type, &(struct logic_version){version}, &value, &err), &err);
	stage_control(stage, topic, partition, value.data, value.len);
	buf_fini(&value);
}

/* ---- refusals ---- */

void stage_provoked(const char *code)
{
	for (size_t i = 0; i < provoked_count; i++)
		if (strcmp(provoked[i], code) == 0)
			return;
	assert_true(provoked_count < PROVOKED_MAX);
	provoked[provoked_count++] = code;
}

void stage_promises(const char *test_file)
{
	for (size_t i = 0; i < refusal_count; i++) {
		bool found = strcmp(refusals[i].test_file, test_file) != 0;
		for (size_t k = 0; k < provoked_count; k++)
			found = found || strcmp(provoked[k], refusals[i].code) == 0;
		if (!found)
			fail_msg("%s is to be provoked here, as refusals.h says, and was not", refusals[i].code);
	}
}

static void says(const char *where, const char *text, const struct stage_refusal *r)
{
	for (size_t i = 0; i < sizeof r->words / sizeof *r->words && r->words[i]; i++)
		if (!strstr(text, r->words[i]))
			fail_msg("%s: '%s' does not say '%s'", where, text, r->words[i]);
}

static void check_refused(struct stage *stage, const struct stage_refusal *r, int32_t partition)
{
	struct err err = {0};
	struct halt halt;
	struct status_report report;
	struct arena *arena = &stage->flow.arena;
	const struct worker_task task = stage_task(stage, r->which, partition);
	if (!task.why)
		fail_msg("%s/%d runs, expected %s", names[r->which], partition, r->code);
	if (strcmp(task.why->code, r->code) != 0)
		fail_msg("%s/%d is refused with %s (%s), expected %s", names[r->which], partition, task.why->code,
		         task.why->text, r->code);
	assert_null(task.task);
	says("worker", task.why->text, r);
	bool halted = halt_read(stage_path(stage, r->which, partition, ".halt"), arena, &halt);
	assert_int_equal(halted, !r->waiting);
	if (!halted)
		return;
	assert_string_equal(halt.reason, r->code);
	says("halt file", halt.message, r);
	/* A file that is damaged cannot be read by status either; the halt is shown all the same. */
	(void)status_read(flow_service(names[r->which]), stage->flow.data, partition, stage->flow.log,
	                  &stage->flow.seam, arena, &report, &err);
	assert_true(report.halted);
	assert_string_equal(report.halt.reason, r->code);
	says("status", report.halt.message, r);
}

static bool folds_what_comes(struct stage *stage, int which, int32_t partition)
{
	struct task_position position;
	stage_feed(stage, which, partition);
	stage_rest(stage);
	const struct worker_task task = stage_task(stage, which, partition);
	if (task.why)
		print_message("%s/%d: %s: %s\n", names[which], partition, task.why->code, task.why->text);
	if (!task.task)
		return false;
	task_position(task.task, &position);
	return position.next_offset == stage_end(stage, input_of(which), partition) && !task_is_open(task.task);
}

void stage_refused_now(struct stage *stage, const struct stage_refusal *r)
{
	stage_provoked(r->code);
	stage->refused = r->code;
	for (int32_t p = 0; p < count_of(stage, r->which); p++)
		if (r->partition == STAGE_ALL || p == r->partition)
			check_refused(stage, r, p);
}

void stage_refused(struct stage *stage, const struct stage_refusal *r)
{
	stage_rest(stage);
	stage_refused_now(stage, r);
	for (int32_t p = 0; p < count_of(stage, r->which); p++)
		if (r->partition != STAGE_ALL && p != r->partition && !folds_what_comes(stage, r->which, p))
			fail_msg("%s/%d does not go on while %d is halted", names[r->which], p, r->partition);
}

void stage_recovers(struct stage *stage, int which, int32_t partition)
{
	stage_run(stage, 125000);
	for (int32_t p = 0; p < count_of(stage, which); p++) {
		if (p != partition && partition != STAGE_ALL)
			continue;
		if (!folds_what_comes(stage, which, p))
			fail_msg("%s/%d does not run again", names[which], p);
		assert_int_equal(access(stage_path(stage, which, p, ".halt"), F_OK), -1);
	}
	flow_verify(&stage->flow);
	if (which == STAGE_REVENUE)
		flow_verify_service(&stage->flow, flow_service(names[which]), NULL);
	stage_followed(stage);
}

void stage_followed(struct stage *stage)
{
	stage->refused = NULL;
}
