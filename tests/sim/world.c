/* The simulated world: one log in memory, a virtual clock, and processes that are worker handles with a folder each. */
#include "sim.h"

#include "genesis.h"
#include "policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const topic_names[SIM_TOPICS] = {"orders",        "orders.dlq",   "inventory",
                                                    "inventory.dlq", "order-events", "order-events.dlq"};

const struct secret world_secret = {"the simulator's secret, 32 bytes", 32};

static int64_t wall(void *arg)
{
	const struct world *world = arg;
	return 1700000000000 + world->wall_skew_ms + world->now_us / 1000;
}

static int64_t monotonic(void *arg)
{
	return 1000000 + ((const struct world *)arg)->now_us; /* a machine has been up for a while: never 0 */
}

static void numbers(void *arg, void *out, size_t len)
{
	struct world *world = arg;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)(dice_next(&world->numbers) >> 32);
}

/* ---- what happened ---- */

static void hash_in(struct world *world, const char *text)
{
	for (; *text; text++)
		world->trace_hash = (world->trace_hash ^ (uint8_t)*text) * 0x100000001b3u;
}

void world_trace(struct world *world, const char *format, ...)
{
	char *line = world->trace[world->trace_count++ % SIM_TRACE_LINES];
	int used = snprintf(line, sizeof world->trace[0], "%9.3f ms  ", (double)world->now_us / 1000);
	va_list args;
	va_start(args, format);
	vsnprintf(line + used, sizeof world->trace[0] - (size_t)used, format, args);
	va_end(args);
	hash_in(world, line);
	if (world->options->trace)
		printf("%s\n", line);
}

bool world_fail(struct world *world, const char *format, ...)
{
	if (*world->failure)
		return false;
	va_list args;
	va_start(args, format);
	vsnprintf(world->failure, sizeof world->failure, format, args);
	va_end(args);
	world_trace(world, "FAILED");
	return false;
}

/* The simulator's own set-up cannot go wrong. */
static void must(enum status status, const struct err *err)
{
	if (status == OK)
		return;
	fprintf(stderr, "the simulator cannot set itself up: %s: %s\n", err->code, err->text);
	abort();
}

/* ---- topics ---- */

struct log *world_log(struct world *world)
{
	struct log *log;
	struct err err = {0};
	const struct log_config config = {
		.seam = &world->seam, .memory = world->memory, .secret = world->plan.keyed ? &world_secret : NULL};
	must(log_open("local::memory:", &config, &log, &err), &err);
	return log;
}

static void make_topic(struct world *world, struct genesis *genesis, const struct genesis_topic *of)
{
	struct err err = {0};
	struct seal seal;
	struct log_setting settings[POLICY_SETTINGS_MAX];
	struct log_topic topic = {.name = of->name, .partitions = of->partitions, .settings = settings};
	topic.setting_count = policy_settings(true, settings);
	must(log_topic_create(world->log, &topic, &err), &err);
	must(seal_open(genesis->installation, world->plan.keyed, log_secret(world->log), &seal, &err), &err);
	genesis->topic = of->name;
	for (int32_t p = 0; p < of->partitions; p++) {
		struct log_record record;
		genesis->partition = p;
		must(genesis_record(genesis, &world->arena, &record, &err), &err);
		seal_control(&seal, of->name, p, &world->arena, &record);
		record.offset = 0;
		record.timestamp_ms = seam_wall_ms(&world->seam);
		must(log_import(world->log, of->name, p, &record, 1, &err), &err);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct genesis_topic *)a)->name, ((const struct genesis_topic *)b)->name);
}

static void topic_genesis(struct world *world, struct genesis *genesis)
{
	struct genesis_topic *topics = arena_alloc(&world->arena, sizeof world->topics);
	memcpy(topics, world->topics, sizeof world->topics);
	qsort(topics, SIM_TOPICS, sizeof *topics, by_name);
	*genesis = (struct genesis){.single_replica = true, .logic_version = 1, .topics = {topics, SIM_TOPICS}};
	memcpy(genesis->installation, world->installation, sizeof genesis->installation);
	genesis->chain = world->plan.keyed ? CHAIN_KEY_KEYED : CHAIN_KEY_PUBLIC;
}

void world_topics(struct world *world)
{
	struct genesis genesis;
	seam_random(&world->seam, world->installation, sizeof world->installation);
	must(seal_open(world->installation, world->plan.keyed, log_secret(world->log), &world->seal, NULL), NULL);
	topic_genesis(world, &genesis);
	for (int t = 0; t < SIM_TOPICS; t++)
		make_topic(world, &genesis, &world->topics[t]);
}

/* What is under way to it is written before the name is taken again, so it meets no topic. */
enum status world_topic_delete(struct world *world, int topic, struct err *err)
{
	enum status status = log_topic_delete(world->log, world->topics[topic].name, err);
	world->now_us += LATE_MAX_US;
	log_wait(world->log, 0);
	return status;
}

void world_topic_again(struct world *world, int topic, bool same_installation)
{
	struct genesis genesis;
	topic_genesis(world, &genesis);
	if (!same_installation)
		seam_random(&world->seam, genesis.installation, sizeof genesis.installation);
	make_topic(world, &genesis, &world->topics[topic]);
}

int64_t world_end(struct world *world, int topic, int32_t partition)
{
	int64_t low, high = 0;
	struct err err = {0};
	must(log_bounds(world->log, topic_names[topic], partition, &low, &high, &err), &err);
	return high;
}

/* ---- the world ---- */

static void make_processes(struct world *world)
{
	const struct plan *plan = &world->plan;
	for (int s = 0; s < SIM_SERVICES; s++) {
		for (int i = 0; i < plan->processes[s]; i++) {
			struct process *process = &world->processes[world->process_count++];
			*process = (struct process){.service = s, .folder = plan->shared_folder ? 0 : i};
			snprintf(process->name, sizeof process->name, "%s-%d", s == SIM_ORDER ? "order" : "inventory",
			         i);
			/* Given partitions: every one has an owner, some have two. */
			for (int32_t p = 0; p < plan->partitions[s]; p++)
				if (p % plan->processes[s] == i || dice_chance(&world->schedule, 300))
					process->partitions[process->partition_count++] = p;
		}
	}
}

void world_open(struct world *world, uint64_t seed, const struct options *options)
{
	struct err err = {0};
	*world = (struct world){.seed = seed, .options = options, .trace_hash = 0xcbf29ce484222325u};
	plan_make(&world->plan, seed);
	letters_decide(world);
	services_choose(&world->plan);
	world->schedule = dice_make(seed, 2);
	world->input = dice_make(seed, 3);
	world->faults = dice_make(seed, 4);
	world->net = dice_make(seed, 5);
	world->numbers = dice_make(seed, 6);
	vfs_reset(seed);
	world->seam = (struct seam){wall, monotonic, numbers, world};
	world->memory = log_memory_new(&world->seam);
	world->plan.keyed = forge_decide(world);
	world->log = world_log(world);
	snprintf(world->folder, sizeof world->folder, "%s", options->folder);
	for (int t = 0; t < SIM_TOPICS; t++) {
		int32_t count = world->plan.partitions[t == SIM_INVENTORIES || t == SIM_INVENTORIES_DLQ ? SIM_INVENTORY
		                                                                                        : SIM_ORDER];
		world->topics[t] = (struct genesis_topic){.name = topic_names[t], .partitions = count};
	}
	world->topics[SIM_EVENTS].headers = HEADER_FORM_CLOUDEVENTS;
	for (int s = 0; s < SIM_SERVICES; s++)
		for (int32_t p = 0; p < SIM_PARTITIONS_MAX; p++)
			world->last_mark[s][p].offset = -1;
	must(log_producer_open(world->log, &world->producer, &err), &err);
	if (world->plan.keyed)
		must(log_producer_open(world->log, &world->forging, &err), &err);
	for (int t = 0; t < SIM_TOPICS; t++)
		world->producer_topics[t] = log_producer_topic(world->producer, topic_names[t]);
	world_topics(world);
	make_processes(world);
}

void world_close(struct world *world)
{
	for (int i = 0; i < world->process_count; i++)
		world_drop(world, &world->processes[i]);
	log_producer_close(world->producer);
	log_producer_close(world->forging);
	log_close(world->log);
	log_memory_free(world->memory);
	files_free(world);
	mem_free(world->items);
	mem_free(world->marks);
	arena_fini(&world->arena);
}

/* ---- processes ---- */

const char *world_path(struct world *world, int service, int folder)
{
	return arena_format(&world->arena, "%s/%c%d", world->folder, service == SIM_ORDER ? 'o' : 'i', folder);
}

char *world_file(struct world *world, int service, int folder, int32_t partition, const char *ending)
{
	return mem_format("%s/%c%d/%s/%d.%s", world->folder, service == SIM_ORDER ? 'o' : 'i', folder,
	                  world_service(service)->name, partition, ending);
}

void world_start(struct world *world, struct process *process)
{
	struct err err = {0};
	const struct plan *plan = &world->plan;
	const struct worker_config config = {.service = world_service(process->service),
	                                     .log = process->log = world_log(world),
	                                     .seam = &world->seam,
	                                     .data = world_path(world, process->service, process->folder),
	                                     .partitions = plan->fixed ? process->partitions : NULL,
	                                     .partition_count = plan->fixed ? process->partition_count : 0,
	                                     .instance_id = plan->named ? process->name : NULL,
	                                     .session_timeout_ms = plan->session_timeout_ms,
	                                     .commit_interval_ms = plan->commit_interval_ms,
	                                     .commit_records_max = plan->commit_records_max,
	                                     .full_sync = plan->full_sync,
	                                     .reverse = plan->reverse,
	                                     .held_bytes = plan->held_bytes};
	world_trace(world, "%s starts", process->name);
	must(worker_open(&config, &process->worker, &err), &err);
	process->awake_at_us = 0;
	watch_start(world, process);
}

static void put_down(struct process *process)
{
	log_close(process->log);
	process->worker = NULL;
	process->log = NULL;
	process->up_at_us = -1;
}

void world_drop(struct world *world, struct process *process)
{
	if (!process->worker)
		return;
	world_trace(world, "%s is killed", process->name);
	watch_end(world, process, true);
	worker_drop(process->worker);
	put_down(process);
}

void world_close_process(struct world *world, struct process *process)
{
	if (!process->worker)
		return;
	world_trace(world, "%s is closed", process->name);
	watch_end(world, process, false);
	worker_close(process->worker);
	put_down(process);
}

enum worker_step world_step(struct world *world, struct process *process)
{
	struct process *before = world->acting;
	world->acting = process;
	vfs_use(&process->disk);
	int64_t failed = process->disk.failed;
	enum disk_fault fault = process->disk.fault;
	enum worker_step step = worker_step(process->worker);
	vfs_use(before ? &before->disk : NULL);
	world->acting = before;
	world->steps++;
	world->tally.disk[fault][process->disk.for_ever] += process->disk.failed - failed;
	if (process->disk.failed != failed)
		world_trace(world, "%s: %s", process->name, disk_fault_name(fault));
	watch_step(world, process, step);
	return step;
}
