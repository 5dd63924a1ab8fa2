/* A whole worker beside a hostile log and a hostile mark: files, locks, the commit protocol, outputs to a log in memory. It may
 * be killed between any two pieces of its input, lose its file, or find any metadata where its mark stands. In the end its file
 * verifies, what it has written is each stream's numbers without a hole or a second history, and it has halted, if at all, in
 * words that are documented.
 *
 * Input: what happens (1 byte, the bits below), a mark (a byte of length; with MARK_CHANGED the first two bytes change the true
 * one), then a task's records as script.h says; its commits are the ends of the pieces. */
#include "events.h"
#include "genesis.h"
#include "header.h"
#include "log_memory.h"
#include "policy.h"
#include "script.h"
#include "verify.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CRASHES = 1, MARK_GIVEN = 2, MARK_CHANGED = 4, FILE_LOST = 8, PIECES_OF_ONE = 16 };

#define STEPS_MAX 100000
#define QUIET_US  300000
#define NUMBERS   1024 /* outputs of a stream: more than SCRIPT_STEPS_MAX records give */

static const char *const refusals[] = {
	"no_genesis",      "bad_genesis",         "unknown_version",
	"foreign_log",     "foreign_destination", "installation",
	"partition_count", "unknown_topic",       "unknown_control",
	"newer_header",    "unknown_schema",      "malformed",
	"unknown_order",   "contradiction",       "malformed_command",
	"not_owned",       "illegal_transition",  "numbered_publisher_event",
	"mark_record",     "mark_differs",        "truncated",
};

struct world {
	struct script script;
	struct log_memory *memory;
	struct log *log;
	struct worker *worker;
	struct seam seam;
	int64_t now_us;
	uint64_t random;
	char data[64];
};

/* ---- time and place ---- */

static int64_t wall(void *arg)
{
	return 1700000000000 + ((struct world *)arg)->now_us / 1000;
}

static int64_t monotonic(void *arg)
{
	return ((struct world *)arg)->now_us;
}

static void random_bytes(void *arg, void *out, size_t len)
{
	struct world *world = arg;
	for (size_t i = 0; i < len; i++) {
		world->random = world->random * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)out)[i] = (uint8_t)(world->random >> 56);
	}
}

/* Made for each input and gone behind it: libFuzzer ends without destructors. */
static void make_folder(char path[64])
{
	strcpy(path, access("/dev/shm", W_OK) == 0 ? "/dev/shm/tandem-fuzz-XXXXXX" : "/tmp/tandem-fuzz-XXXXXX");
	FUZZ_MUST(mkdtemp(path), "no folder");
}

static void remove_files(const struct world *world)
{
	static const char *const endings[] = {"db", "db-wal", "db-shm", "halt", "halt.new", "lock"};
	char path[128];
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		snprintf(path, sizeof path, "%s/%s/%d.%s", world->data, world->script.service->name,
		         world->script.partition, endings[i]);
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/%s", world->data, world->script.service->name);
	rmdir(path);
}

/* ---- the log ---- */

static void import(struct world *world, const char *topic, const struct log_record *record)
{
	struct err err = {0};
	FUZZ_MUST(log_import(world->log, topic, record->partition, record, 1, &err) == OK, "%s", err.text);
}

static void make_topic(struct world *world, const struct genesis_topic *of)
{
	struct log_setting settings[POLICY_SETTINGS_MAX];
	struct log_topic topic = {.name = of->name, .partitions = of->partitions, .settings = settings};
	struct genesis genesis = script_genesis(of->name, 0);
	struct log_record record;
	struct err err = {0};
	topic.setting_count = policy_settings(true, settings);
	FUZZ_MUST(log_topic_create(world->log, &topic, &err) == OK, "%s", err.text);
	for (genesis.partition = 0; genesis.partition < of->partitions; genesis.partition++) {
		if (strcmp(of->name, world->script.service->input) == 0 && genesis.partition == world->script.partition)
			continue; /* this one's is the script's */
		FUZZ_MUST(genesis_record(&genesis, &world->script.arena, &record, &err) == OK, "%s", err.text);
		import(world, of->name, &record);
	}
}

/* Time in a log never goes back. */
static void append_records(struct world *world, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct log_record *record = &world->script.records[i];
		int64_t before = i ? record[-1].timestamp_ms : 0;
		if (record->timestamp_ms < before)
			record->timestamp_ms = before;
		import(world, world->script.service->input, record);
	}
}

/* ---- the worker ---- */

static void start(struct world *world)
{
	struct err err = {0};
	const struct worker_config config = {.service = world->script.service,
	                                     .log = world->log,
	                                     .seam = &world->seam,
	                                     .data = world->data,
	                                     .partitions = &world->script.partition,
	                                     .partition_count = 1};
	FUZZ_MUST(worker_open(&config, &world->worker, &err) == OK, "%s", err.text);
}

static bool is_documented(const struct err *err)
{
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (err_is(err, refusals[i]))
			return true;
	return false;
}

static void check_halt(const struct world *world)
{
	struct worker_task task;
	for (size_t i = 0; i < worker_task_count(world->worker); i++) {
		worker_task(world->worker, i, &task);
		FUZZ_MUST(!task.why || is_documented(task.why), "%s: %s", task.why->code, task.why->text);
	}
}

/* With FUZZ_SAY in the environment. */
static void say(const struct world *world)
{
	struct worker_counts counts;
	struct worker_task task;
	if (!getenv("FUZZ_SAY") || !worker_task_count(world->worker))
		return;
	worker_counts(world->worker, &counts);
	worker_task(world->worker, 0, &task);
	printf("folded %lld, sent %lld, marks %lld, suppressed %lld%s%s\n", (long long)counts.folded,
	       (long long)counts.sent, (long long)counts.marks, (long long)task.suppressed, task.why ? ", halts: " : "",
	       task.why ? task.why->text : "");
}

/* Until nothing moves: a halted task is tried again only later. */
static void rest(struct world *world)
{
	int64_t quiet_since = world->now_us;
	for (int steps = 0; world->now_us - quiet_since < QUIET_US; steps++) {
		bool moved = worker_step(world->worker) != WORKER_IDLE;
		world->now_us += moved ? 5 : 20000;
		if (moved)
			quiet_since = world->now_us;
		FUZZ_MUST(steps < STEPS_MAX, "it does not come to rest");
	}
	check_halt(world);
	say(world);
}

static void crash(struct world *world)
{
	worker_drop(world->worker);
	start(world);
}

static void give_mark(struct world *world, int64_t offset, const char *text)
{
	struct log_mark mark = {.partition = world->script.partition, .offset = offset};
	char group[32];
	snprintf(group, sizeof group, "tandem-%s", world->script.service->name);
	snprintf(mark.metadata, sizeof mark.metadata, "%s", text);
	log_memory_mark(world->memory, group, world->script.service->input, &mark);
}

/* A mark of ours, one byte of it another. */
static void change_mark(struct world *world, const char *change)
{
	struct log_mark mark = {.partition = world->script.partition};
	struct err err = {0};
	char group[32];
	snprintf(group, sizeof group, "tandem-%s", world->script.service->name);
	FUZZ_MUST(log_committed(world->log, group, world->script.service->input, &mark, &err) == OK, "%s", err.text);
	size_t len = strlen(mark.metadata);
	if (mark.offset < 0 || !len || !change[0] || !change[1])
		return;
	mark.metadata[(unsigned char)change[0] % len] = change[1];
	give_mark(world, mark.offset, mark.metadata);
}

/* ---- what must hold ---- */

static void check_verify(struct world *world)
{
	struct err err = {0};
	struct verify_result result;
	const struct verify_config config = {.service = world->script.service,
	                                     .log = world->log,
	                                     .data = world->data,
	                                     .partition = world->script.partition,
	                                     .reverse = true};
	const struct verify_difference *d = &result.difference;
	enum status status = verify_partition(&config, &result, &err);
	if (status == REJECT && err_is(&err, "no_file")) /* nothing was ever committed */
		return;
	FUZZ_MUST(status == OK, "%s: %s", err.code, err.text);
	FUZZ_MUST(result.same, "%s %s %s: %s, folded afresh %s", d->table, d->key, d->column, d->file, d->folded);
}

/* A partition's records of one source: 1, 2, 3, ..., each as often as it likes, and always the same. */
static void check_partition(struct world *world, const char *topic, int32_t partition)
{
	static uint64_t chains[NUMBERS];
	struct log_reader *reader;
	const struct log_record *record;
	struct header_stream stream;
	struct err err = {0};
	uint64_t last = 0;
	FUZZ_MUST(log_reader_open(world->log, topic, partition, 1, &reader, &err) == OK, "%s", err.text);
	for (;;) {
		FUZZ_MUST(log_reader_next(reader, 0, &record, &err) == OK, "%s", err.text);
		if (!record)
			break;
		FUZZ_MUST(header_stream_parse(record, &stream) == HEADER_VALID, "%s/%d@%lld", topic, partition,
		          (long long)record->offset);
		FUZZ_MUST(stream.number <= last + 1 && stream.number < NUMBERS, "%s/%d: %llu behind %llu", topic,
		          partition, (unsigned long long)stream.number, (unsigned long long)last);
		FUZZ_MUST(stream.number > last || chains[stream.number] == stream.chain, "%s/%d: another %llu", topic,
		          partition, (unsigned long long)stream.number);
		chains[stream.number] = stream.chain;
		last = stream.number > last ? stream.number : last;
	}
	log_reader_close(reader);
}

static void check_outputs(struct world *world)
{
	const struct genesis genesis = script_genesis("orders", 0);
	for (size_t i = 0; i < genesis.topics.count; i++) {
		const struct genesis_topic *topic = &genesis.topics.items[i];
		for (int32_t p = 0; p < topic->partitions; p++)
			if (strcmp(topic->name, world->script.service->input) != 0)
				check_partition(world, topic->name, p);
	}
}

/* ---- one input ---- */

static void play(struct world *world, unsigned happens, const char *mark)
{
	struct script *script = &world->script;
	start(world);
	for (size_t from = 0, to = 1; from < script->count; from = to++) {
		while (to < script->count && !script->commit[to - 1] && !(happens & PIECES_OF_ONE))
			to++;
		append_records(world, from, to);
		rest(world);
		if (happens & CRASHES)
			crash(world);
	}
	rest(world);
	check_verify(world);
	if (!(happens & (FILE_LOST | MARK_CHANGED)))
		return;
	worker_drop(world->worker);
	if (happens & FILE_LOST)
		remove_files(world);
	if (happens & MARK_CHANGED)
		change_mark(world, mark);
	start(world);
	rest(world);
	check_verify(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	struct world *world = mem_zalloc(1, sizeof *world);
	const struct genesis genesis = script_genesis("orders", 0);
	struct err err = {0};
	unsigned happens = fuzz_u8(&input);
	const char *mark = fuzz_text(&input, fuzz_u8(&input));
	world->random = 1;
	world->seam = (struct seam){wall, monotonic, random_bytes, world};
	world->memory = log_memory_new(&world->seam);
	make_folder(world->data);
	script_read(&world->script, input.at, fuzz_left(&input));
	const struct log_config config = {.seam = &world->seam, .memory = world->memory};
	FUZZ_MUST(log_open("local::memory:", &config, &world->log, &err) == OK, "%s", err.text);
	for (size_t i = 0; i < genesis.topics.count; i++)
		make_topic(world, &genesis.topics.items[i]);
	if (happens & MARK_GIVEN)
		give_mark(world, (int64_t)(happens >> 5), mark);
	play(world, happens, mark);
	check_outputs(world);
	worker_close(world->worker);
	log_close(world->log);
	log_memory_free(world->memory);
	remove_files(world);
	rmdir(world->data);
	script_fini(&world->script);
	mem_free(world);
	return 0;
}
