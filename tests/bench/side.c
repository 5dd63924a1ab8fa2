#include "side.h"

#include "../support/check.h"
#include "../support/log_locks.h"

#include "../../producers/publish/sender.h"
#include "events.h"
#include "seam.h"

#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#define STOP_SECONDS 30
#define PEAK_MB_MAX  64
#define PATIENCE_MS  60000
#define GRACE_MS     60000

const char *const side_names[SIDE_KINDS] = {[SIDE_BARE] = "bare", [SIDE_KAFKA] = "kafka", [SIDE_LOCAL] = "local"};

double side_now(void)
{
	return (double)seam_monotonic_us(&seam_system) / 1e6;
}

/* ---- the installation and its programs ---- */

void side_choose(bool on[SIDE_KINDS])
{
	bench_choose("SIDES", side_names, SIDE_KINDS, on);
	for (int kind = 0; kind < SIDE_KINDS; kind++)
		on[kind] = on[kind] && (kind == SIDE_LOCAL || rig_wants_kafka());
}

/* A failed side ends the program: its programs' last words are shown, its folder goes. */
static char left_behind[64];

static void clear_away(void)
{
	char command[256];
	if (!left_behind[0])
		return;
	snprintf(command, sizeof command, "tail -n 5 %s/*.log >&2%s%s", left_behind,
	         getenv("TANDEM_KEEP") ? " # kept: " : "; rm -rf ", left_behind);
	if (system(command) != 0)
		fprintf(stderr, "%s could not be cleared away\n", left_behind);
}

void side_open(struct side *side, enum side_kind kind)
{
	static bool registered;
	if (!registered)
		atexit(clear_away);
	registered = true;
	*side = (struct side){.kind = kind, .more = ""};
	const char *given = getenv("KAFKA");
	char *kafka = given ? strdup(given) : NULL;
	if (kind == SIDE_LOCAL)
		unsetenv("KAFKA"); /* which is how a rig is told */
	rig_open_topics(&side->rig, SIDE_PARTITIONS, SIDE_PARTITIONS);
	if (kafka)
		setenv("KAFKA", kafka, 1);
	free(kafka);
	memcpy(left_behind, side->rig.folder, sizeof left_behind);
	side->rig.passed = true;
}

void side_close(struct side *side)
{
	rig_close(&side->rig);
	left_behind[0] = 0;
}

struct rig_process *side_start_one(struct side *side, const char *role)
{
	struct rig *rig = &side->rig;
	char tandem[sizeof rig->program];
	if (side->kind != SIDE_BARE)
		return rig_start(rig, role, "%s run%s", role, side->more);
	memcpy(tandem, rig->program, sizeof tandem);
	snprintf(strrchr(rig->program, '/'), 32, "/tests/bench/bare");
	struct rig_process *process = rig_start(rig, role, "%s%s", role, side->more);
	memcpy(rig->program, tandem, sizeof tandem);
	return process;
}

void side_start(struct side *side)
{
	side->inventory = side_start_one(side, "inventory");
	side->order = side_start_one(side, "order");
}

static void end(struct side *side, struct rig_process **process)
{
	if (!*process)
		return;
	int exit_status = rig_end(&side->rig, *process, SIGTERM, STOP_SECONDS);
	if (exit_status != 0)
		fail_msg("%s %s ended with %d:\n%s", side_names[side->kind], (*process)->name, exit_status,
		         rig_words(&side->rig, *process));
	*process = NULL;
}

/* getrusage's would count what the process was before it became the program: this one, forked. */
static int64_t peak_kib(const struct rig_process *process)
{
	char path[64], line[256];
	long long kib = 0;
	snprintf(path, sizeof path, "/proc/%d/status", process ? (int)process->pid : 0);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "VmHWM: %lld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

void side_note_memory(const struct side *side, struct bench *bench, const char *during)
{
	const int64_t peaks[] = {side->order_peak_kib, side->inventory_peak_kib};
	static const char *const roles[] = {"order", "inventory"};
	for (size_t i = 0; i < 2; i++) {
		bench_note(bench, "MB", (double)peaks[i] / 1024, NAN, "%s, %s, memory of %s", side_names[side->kind],
		           during, roles[i]);
		if (side->kind != SIDE_BARE)
			bench_want(bench, BENCH_AT_MOST, false, PEAK_MB_MAX, "%s, %s, memory of %s",
			           side_names[side->kind], during, roles[i]);
	}
}

void side_stop(struct side *side)
{
	side->order_peak_kib = peak_kib(side->order);
	side->inventory_peak_kib = peak_kib(side->inventory);
	end(side, &side->order);
	end(side, &side->inventory);
}

/* Outside of the local log's locks: nobody could publish. */
static void pause_one(const struct side *side, const struct rig_process *process)
{
	char folder[80];
	int status;
	double until = side_now() + STOP_SECONDS;
	snprintf(folder, sizeof folder, "%s/log", side->rig.folder);
	for (;;) {
		kill(process->pid, SIGSTOP);
		assert_int_equal(waitpid(process->pid, &status, WUNTRACED), process->pid);
		if (side->kind != SIDE_LOCAL || !log_locks_held(process->pid, folder))
			return;
		kill(process->pid, SIGCONT);
		assert_true(side_now() < until);
		sched_yield();
	}
}

void side_pause(struct side *side)
{
	pause_one(side, side->order);
	pause_one(side, side->inventory);
}

void side_resume(struct side *side)
{
	kill(side->inventory->pid, SIGCONT);
	kill(side->order->pid, SIGCONT);
}

/* ---- publishing ---- */

struct feed {
	struct sender *sender;
	int64_t skip;
};

static enum status feed_take(void *arg, const struct event_type *type, const void *event, struct err *err)
{
	struct feed *feed = arg;
	if (feed->skip > 0) {
		feed->skip--;
		return OK;
	}
	return sender_take(feed->sender, type, event, err);
}

void side_publish(struct side *side, const struct generate_options *options, int64_t from)
{
	struct err err = {0};
	const struct sender_config config = {.log = side->rig.log, .seam = &seam_system, .patience_ms = PATIENCE_MS};
	struct feed feed = {sender_open(&config), from};
	const struct publish_sink sink = {feed_take, &feed};
	check(generate_each(options, &sink, &err), &err);
	check(sender_finish(feed.sender, GRACE_MS, &err), &err);
	sender_close(feed.sender);
}

struct generate_options side_orders(int64_t orders)
{
	return (struct generate_options){.only = PUBLISH_ORDERS,
	                                 .seed = 1,
	                                 .orders = orders,
	                                 .skus = 10000,
	                                 .hot_skus = 10,
	                                 .lines_min = 1,
	                                 .lines_max = 1,
	                                 .stock = 1000000000};
}

/* ---- what stands in the log ---- */

static int64_t end_of(struct side *side, const char *topic, int32_t partition)
{
	struct err err = {0};
	int64_t low, high;
	check(log_bounds(side->rig.log, topic, partition, &low, &high, &err), &err);
	return high;
}

int64_t side_records(struct side *side, const char *topic)
{
	int64_t sum = 0;
	for (int32_t p = 0; p < SIDE_PARTITIONS; p++)
		sum += end_of(side, topic, p) - 1;
	return sum;
}

static int64_t time_at(struct side *side, const char *topic, int32_t partition, int64_t offset)
{
	struct err err = {0};
	struct log_record record;
	struct arena arena = {0};
	bool found;
	check(log_read_at(side->rig.log, topic, partition, offset, &arena, &record, &found, &err), &err);
	if (!found)
		fail_msg("%s/%d has no record at %lld", topic, partition, (long long)offset);
	arena_fini(&arena);
	return record.timestamp_ms;
}

void side_ends(struct side *side, const char *topic, int64_t ends[SIDE_PARTITIONS])
{
	for (int32_t p = 0; p < SIDE_PARTITIONS; p++)
		ends[p] = end_of(side, topic, p);
}

int64_t side_first_ms(struct side *side, const char *topic, const int64_t ends[SIDE_PARTITIONS])
{
	int64_t first = INT64_MAX;
	for (int32_t p = 0; p < SIDE_PARTITIONS; p++) {
		int64_t ms = end_of(side, topic, p) > ends[p] ? time_at(side, topic, p, ends[p]) : INT64_MAX;
		first = ms < first ? ms : first;
	}
	return first;
}

/* Has the group of this program committed everything that is in its input? */
static bool consumed(struct side *side, const char *role, const char *input)
{
	struct err err = {0};
	char group[64];
	snprintf(group, sizeof group, "%s-%s", side->kind == SIDE_BARE ? "bare" : "tandem", role);
	for (int32_t p = 0; p < SIDE_PARTITIONS; p++) {
		struct log_mark mark = {.partition = p};
		check(log_committed(side->rig.log, group, input, &mark, &err), &err);
		if (mark.offset < end_of(side, input, p))
			return false;
	}
	return true;
}

/* ---- CPU ---- */

static double cpu_of(pid_t pid)
{
	clockid_t clock;
	struct timespec used;
	if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
		return 0;
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

void side_cpu(const struct side *side, struct side_cpu *out)
{
	const char *broker = side->kind == SIDE_LOCAL ? NULL : getenv("KAFKA_PID");
	*out = (struct side_cpu){.order = side->order ? cpu_of(side->order->pid) : 0,
	                         .inventory = side->inventory ? cpu_of(side->inventory->pid) : 0,
	                         .broker = broker ? cpu_of((pid_t)strtol(broker, NULL, 10)) : 0};
}

/* ---- a drain ---- */

void side_begin(struct side *side, struct side_batch *batch, int64_t orders)
{
	*batch = (struct side_batch){.orders = orders, .outcomes = side_records(side, "order-events")};
	side_ends(side, "inventory", batch->commands);
	side_cpu(side, &batch->cpu);
	batch->started = side_now();
}

struct goal {
	struct side *side;
	int64_t outcomes;
};

static void check_alive(struct side *side, struct rig_process *process)
{
	int exit_status;
	if (rig_has_ended(process, &exit_status))
		fail_msg("%s %s ended with %d:\n%s", side_names[side->kind], process->name, exit_status,
		         rig_words(&side->rig, process));
}

/* Looks rarely: whoever asks a broker takes its time. */
static bool drained(struct rig *rig, void *arg)
{
	const struct goal *goal = arg;
	const struct timespec rest = {.tv_nsec = 50000000};
	(void)rig;
	nanosleep(&rest, NULL);
	check_alive(goal->side, goal->side->order);
	check_alive(goal->side, goal->side->inventory);
	return side_records(goal->side, "order-events") >= goal->outcomes && consumed(goal->side, "order", "orders") &&
	       consumed(goal->side, "inventory", "inventory");
}

static double log_seconds(struct side *side, const struct side_batch *batch)
{
	int64_t first = side_first_ms(side, "inventory", batch->commands), last = 0;
	for (int32_t p = 0; p < SIDE_PARTITIONS; p++) {
		int64_t outcomes = end_of(side, "order-events", p);
		int64_t ended = outcomes > 1 ? time_at(side, "order-events", p, outcomes - 1) : 0;
		last = ended > last ? ended : last;
	}
	return last > first ? (double)(last - first) / 1e3 : 1e-3;
}

void side_end(struct side *side, const struct side_batch *batch, int seconds_max, struct side_rate *out)
{
	struct side_cpu cpu;
	struct goal goal = {side, batch->outcomes + batch->orders};
	rig_until(&side->rig, seconds_max, "every order has its outcome, and all is consumed", drained, &goal);
	side_cpu(side, &cpu);
	*out = (struct side_rate){.whole_seconds = side_now() - batch->started,
	                          .seconds = log_seconds(side, batch),
	                          .cpu = {cpu.order - batch->cpu.order, cpu.inventory - batch->cpu.inventory,
	                                  cpu.broker - batch->cpu.broker}};
	double orders = (double)batch->orders;
	out->orders_per_second = orders / out->seconds;
	out->worker_us = (out->cpu.order + out->cpu.inventory) * 1e6 / orders;
	out->broker_us = cpu.broker > 0 ? out->cpu.broker * 1e6 / orders : NAN;
	if (side_records(side, "order-events") != batch->outcomes + batch->orders)
		fail_msg("%s: %lld outcomes, expected %lld", side_names[side->kind],
		         (long long)side_records(side, "order-events"), (long long)(batch->outcomes + batch->orders));
}
