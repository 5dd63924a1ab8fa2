/* micro: what one step costs, a step at a time: nanoseconds, and instructions as callgrind counts them.
 *
 *   micro                 nanoseconds of every step, as a workload of the bench
 *   micro --list          the steps' names
 *   micro --once STEP     that step's batches and nothing else inside micro_measured, for callgrind (micro.sh); prints how
 *                         many times the step was done
 *
 * A step comes in batches: prepare is not counted, micro_measured is. Files lie in a fresh folder under /tmp. */
#include "../support/check.h"
#include "../support/records.h"
#include "bench.h"
#include "command.h"
#include "seam.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BATCHES       20
#define BATCHES_ONCE  4
#define BATCH         1000
#define COMMIT_ORDERS 1000

struct micro {
	struct records records;
	struct order_placed order;
	struct order_line line;
	struct buf value;
	const uint8_t *body;
	size_t body_len;
	uint64_t fingerprint, chain;
	struct header_stream stream;
	struct header_list headers;
	struct arena arena;
	struct log_record record;
	struct log_record *batch; /* what the next batch folds */
	int64_t next;             /* number of the next order */
};

struct step {
	const char *name;
	void (*begin)(struct micro *micro);
	void (*prepare)(struct micro *micro); /* NULL: nothing */
	void (*run)(struct micro *micro);
	void (*end)(struct micro *micro);
	int count; /* steps in one run */
};

/* ---- codecs, hashes, headers ---- */

static void begin_event(struct micro *micro)
{
	struct err err = {0};
	micro->line = (struct order_line){.sku = "sku-001234", .quantity = 3, .unit_price_minor = 1999};
	micro->order = (struct order_placed){.order_id = "019b76da-a800-7123-8456-0123456789ab",
	                                     .customer_id = "customer-1234",
	                                     .currency = "GBP",
	                                     .placed_at = 1767225600000,
	                                     .lines = {&micro->line, 1}};
	check(event_encode(&order_placed_type, &micro->order, &micro->value, &err), &err);
	if (!event_split(micro->value.data, micro->value.len, &micro->fingerprint, &micro->body, &micro->body_len))
		fail_msg("an event that cannot be split");
	micro->stream = (struct header_stream){.service = "order", .partition = 3, .number = 1000000, .chain = 12345};
	header_list_init(&micro->headers, &micro->arena, 1);
	header_add_stream(&micro->headers, &micro->stream);
	micro->record = (struct log_record){.headers = micro->headers.items, .header_count = micro->headers.count};
}

static void end_event(struct micro *micro)
{
	buf_fini(&micro->value);
	arena_fini(&micro->arena);
}

static void run_encode(struct micro *micro)
{
	struct buf out = {0};
	struct err err = {0};
	for (int i = 0; i < BATCH; i++) {
		buf_reset(&out);
		check(event_encode(&order_placed_type, &micro->order, &out, &err), &err);
	}
	buf_fini(&out);
}

static void run_decode(struct micro *micro)
{
	struct order_placed out;
	struct arena arena = {0};
	struct err err = {0};
	for (int i = 0; i < BATCH; i++) {
		arena_reset(&arena);
		check(event_decode(&order_placed_type, micro->fingerprint, micro->body, micro->body_len, &arena, &out,
		                   &err),
		      &err);
	}
	arena_fini(&arena);
}

static void run_chain(struct micro *micro)
{
	const struct log_bytes key = {micro->order.order_id, 36};
	for (uint64_t i = 1; i <= BATCH; i++)
		micro->chain = hash_chain(records_installation, micro->chain, i, micro->fingerprint, &key, micro->body,
		                          micro->body_len);
}

static void run_header_build(struct micro *micro)
{
	struct arena arena = {0};
	struct header_list list;
	for (int i = 0; i < BATCH; i++) {
		arena_reset(&arena);
		header_list_init(&list, &arena, 1);
		header_add_stream(&list, &micro->stream);
	}
	arena_fini(&arena);
}

static void run_header_parse(struct micro *micro)
{
	struct header_stream out;
	for (int i = 0; i < BATCH; i++)
		if (header_stream_parse(&micro->record, &out) != HEADER_VALID)
			fail_msg("a header that was just built is not valid");
}

/* ---- folds: a record through streams, chain, codec, handler and its statements, outputs numbered; no COMMIT ---- */

static void open_records(struct micro *micro, const char *service)
{
	records_begin_file(&micro->records, command_service(service), 0);
	micro->batch = mem_zalloc(BATCH, sizeof *micro->batch);
	micro->next = 0;
}

static void close_records(struct micro *micro)
{
	mem_free(micro->batch);
	records_drop(&micro->records);
	arena_fini(&micro->arena);
}

/* Time-ordered, as the publisher's are; one that belongs to partition 0. */
static const char *order_id(struct micro *micro)
{
	char id[64];
	do
		snprintf(id, sizeof id, "019b76da-%04" PRIx64 "-7%03" PRIx64 "-8456-0123456789ab",
		         (uint64_t)micro->next >> 12 & 0xffff, (uint64_t)micro->next & 0xfff);
	while (micro->next++, log_partition_of(id, strlen(id), RECORDS_ORDER_PARTITIONS) != 0);
	return arena_format(&micro->arena, "%s", id);
}

/* A SKU of inventory partition 0. */
static const char *sku_of(struct micro *micro, int64_t number)
{
	return records_id(&micro->records, "sku", (int)(number * 7 % 10000), 0, RECORDS_INVENTORY_PARTITIONS);
}

static void fold_batch(struct micro *micro)
{
	struct err err = {0};
	enum task_verdict verdict = TASK_APPLIED;
	for (int i = 0; i < BATCH; i++) {
		micro->batch[i].offset = micro->records.offset++;
		micro->batch[i].timestamp_ms = micro->records.time_ms++;
		check(task_fold(micro->records.task, &micro->batch[i], &verdict, &err), &err);
		if (verdict != TASK_APPLIED)
			fail_msg("record %d: %s", i, task_verdict_name(verdict));
	}
}

static void commit(struct micro *micro)
{
	struct err err = {0};
	check(task_commit(micro->records.task, &err), &err);
}

static struct log_record placed_record(struct micro *micro, const char *id)
{
	struct order_line line = {.sku = sku_of(micro, micro->next), .quantity = 2, .unit_price_minor = 250};
	const struct order_placed event = {.order_id = id,
	                                   .customer_id = "customer-1234",
	                                   .currency = "GBP",
	                                   .placed_at = 1767225600000 + micro->next * 10,
	                                   .lines = {&line, 1}};
	return records_publisher(&micro->records, &order_placed_type, &event);
}

static void begin_order(struct micro *micro)
{
	open_records(micro, "order");
}

static void prepare_placed(struct micro *micro)
{
	commit(micro);
	for (int i = 0; i < BATCH; i++)
		micro->batch[i] = placed_record(micro, order_id(micro));
}

/* The orders are placed and committed; what is counted is their answers. */
static void prepare_reserved(struct micro *micro)
{
	const char *ids[BATCH];
	for (int i = 0; i < BATCH; i++) {
		ids[i] = order_id(micro);
		micro->batch[i] = placed_record(micro, ids[i]);
	}
	fold_batch(micro);
	commit(micro);
	for (int i = 0; i < BATCH; i++) {
		const struct stock_reserved event = {.order_id = ids[i], .inventory_partition = 0};
		micro->batch[i] =
			records_numbered(&micro->records, "inventory", 0, ids[i], &stock_reserved_type, &event);
	}
}

static void begin_inventory(struct micro *micro)
{
	open_records(micro, "inventory");
	for (int first = 0; first < 10000; first += BATCH) {
		for (int i = 0; i < BATCH; i++) {
			const struct stock_received event = {
				.receipt_id = arena_format(&micro->arena, "receipt-%d", first + i),
				.sku = sku_of(micro, first + i),
				.quantity = 1000000,
				.received_at = 1767225600000};
			micro->batch[i] = records_publisher(&micro->records, &stock_received_type, &event);
		}
		fold_batch(micro);
		commit(micro);
	}
}

static void reserve_records(struct micro *micro, const char *ids[BATCH])
{
	for (int i = 0; i < BATCH; i++) {
		struct reserve_line line = {.sku = sku_of(micro, micro->next), .quantity = 2};
		ids[i] = order_id(micro);
		const struct reserve_stock event = {.order_id = ids[i], .lines = {&line, 1}};
		micro->batch[i] = records_numbered(&micro->records, "order", 0, ids[i], &reserve_stock_type, &event);
	}
}

static void prepare_reserve(struct micro *micro)
{
	const char *ids[BATCH];
	commit(micro);
	reserve_records(micro, ids);
}

static void prepare_commit_stock(struct micro *micro)
{
	const char *ids[BATCH];
	reserve_records(micro, ids);
	fold_batch(micro);
	commit(micro);
	for (int i = 0; i < BATCH; i++) {
		const struct commit_stock event = {.order_id = ids[i]};
		micro->batch[i] = records_numbered(&micro->records, "order", 0, ids[i], &commit_stock_type, &event);
	}
}

/* ---- a COMMIT of so many orders ---- */

static void prepare_commit(struct micro *micro)
{
	for (int i = 0; i < COMMIT_ORDERS; i++)
		micro->batch[i] = placed_record(micro, order_id(micro));
	fold_batch(micro);
}

static void prepare_commit_reservations(struct micro *micro)
{
	const char *ids[COMMIT_ORDERS];
	reserve_records(micro, ids);
	fold_batch(micro);
}

static const struct step steps[] = {
	{"encode OrderPlaced", begin_event, NULL, run_encode, end_event, BATCH},
	{"decode OrderPlaced", begin_event, NULL, run_decode, end_event, BATCH},
	{"chain hash", begin_event, NULL, run_chain, end_event, BATCH},
	{"header build", begin_event, NULL, run_header_build, end_event, BATCH},
	{"header parse", begin_event, NULL, run_header_parse, end_event, BATCH},
	{"fold OrderPlaced", begin_order, prepare_placed, fold_batch, close_records, BATCH},
	{"fold StockReserved", begin_order, prepare_reserved, fold_batch, close_records, BATCH},
	{"fold ReserveStock", begin_inventory, prepare_reserve, fold_batch, close_records, BATCH},
	{"fold CommitStock", begin_inventory, prepare_commit_stock, fold_batch, close_records, BATCH},
	{"commit of 1000 orders", begin_order, prepare_commit, commit, close_records, 1},
	{"commit of 1000 reservations", begin_inventory, prepare_commit_reservations, commit, close_records, 1},
};
#define STEPS (sizeof steps / sizeof *steps)

/* ---- measuring ---- */

void micro_measured(const struct step *step, struct micro *micro);

/* callgrind counts what happens inside, and nothing else. */
__attribute__((noinline)) void micro_measured(const struct step *step, struct micro *micro)
{
	step->run(micro);
}

static void measure(const struct step *step, struct micro *micro, size_t batches, double *ns)
{
	step->begin(micro);
	for (size_t i = 0; i < batches; i++) {
		if (step->prepare)
			step->prepare(micro);
		int64_t start = seam_monotonic_us(&seam_system);
		micro_measured(step, micro);
		ns[i] = (double)(seam_monotonic_us(&seam_system) - start) * 1e3 / step->count;
	}
	step->end(micro);
}

static int once(struct micro *micro, const char *name)
{
	double ns[BATCHES_ONCE];
	for (size_t i = 0; i < STEPS; i++) {
		if (strcmp(steps[i].name, name) != 0)
			continue;
		measure(&steps[i], micro, BATCHES_ONCE, ns);
		printf("%d\n", BATCHES_ONCE * steps[i].count);
		return 0;
	}
	bench_say("micro: no step '%s'", name);
	return 2;
}

/* Counted by micro.sh before: lines of instructions and a name. */
static void add_instructions(struct bench *bench)
{
	const char *path = getenv("MICRO_COUNTED");
	FILE *file = path ? fopen(path, "r") : NULL;
	double count;
	char name[64];
	while (file && fscanf(file, "%lf %63[^\n]", &count, name) == 2)
		bench_note(bench, "instr", count, NAN, "%s, instructions", name);
	if (file)
		fclose(file);
}

static void all(struct micro *micro)
{
	struct bench bench;
	bench_open(&bench, "micro");
	for (size_t i = 0; i < STEPS; i++) {
		double ns[BATCHES];
		measure(&steps[i], micro, BATCHES, ns);
		for (size_t k = 0; k < BATCHES; k++)
			bench_note(&bench, "ns", ns[k], NAN, "%s", steps[i].name);
	}
	add_instructions(&bench);
	bench_close(&bench);
}

int main(int argc, char **argv)
{
	struct micro micro = {0};
	int exit_status = 0;
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < STEPS; i++)
			puts(steps[i].name);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "--once") == 0)
		exit_status = once(&micro, argv[2]);
	else
		all(&micro);
	return exit_status;
}
