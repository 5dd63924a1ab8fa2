/* Unclean elections: a broker that was out of sync leads, and what the last one in sync had acknowledged is gone. Nobody can
 * undo that; every reader must see it, and the documented way out (docs/operations.md) must work to its end.
 *
 * The topic that loses its tail has replicas on brokers 1 and 2 alone, and under running workers an operator has made two
 * mistakes: min.insync.replicas=1 and unclean.leader.election.enable=true. Broker 2 dies; 1 goes on alone, and all other topics
 * on 1 and 3; then 1 dies, 2 comes back and leads. */
#include "cluster.h"

#include "json.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define STEADY       60
#define TAIL         60 /* records at least that are lost, over all partitions */
#define COMMANDS_MAX 64

/* ---- the loss ---- */

static void read_ends(struct load *load, const char *topic, int64_t ends[LOAD_PARTITIONS])
{
	struct err err = {0};
	int64_t low;
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++)
		if (log_bounds(load->rig.log, topic, p, &low, &ends[p], &err) != OK)
			fail_msg("%s/%d: %s", topic, p, err.text);
}

static int64_t sum(const int64_t ends[LOAD_PARTITIONS])
{
	int64_t all = 0;
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++)
		all += ends[p];
	return all;
}

/* What only broker 1 holds: a hash of each record. */
struct tail {
	int64_t from[LOAD_PARTITIONS], to[LOAD_PARTITIONS];
	uint64_t *hashes[LOAD_PARTITIONS]; /* 0: no record */
};

static uint64_t mix(uint64_t hash, const void *bytes, size_t len) /* FNV-1a */
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
	return hash;
}

static void hash_records(struct load *load, const char *topic, int32_t partition, int64_t from, int64_t to,
                         uint64_t *hashes)
{
	struct err err = {0};
	struct log_reader *reader;
	const struct log_record *record;
	memset(hashes, 0, (size_t)(to - from) * sizeof *hashes);
	if (log_reader_open(load->rig.log, topic, partition, from, &reader, &err) != OK)
		return; /* it ends before */
	while (log_reader_next(reader, 500, &record, &err) == OK && record && record->offset < to) {
		uint64_t hash = mix(0xcbf29ce484222325, &record->timestamp_ms, sizeof record->timestamp_ms);
		hashes[record->offset - from] = mix(hash, record->value.data, (size_t)record->value.len);
	}
	log_reader_close(reader);
}

static void note_tail(struct load *load, const char *topic, struct tail *tail)
{
	read_ends(load, topic, tail->to);
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++) {
		size_t count = (size_t)(tail->to[p] - tail->from[p]);
		tail->hashes[p] = arena_alloc(&load->rig.arena, (count + 1) * sizeof *tail->hashes[p]);
		hash_records(load, topic, p, tail->from[p], tail->to[p], tail->hashes[p]);
	}
}

/* How many of them are not there any more. */
static size_t count_lost(struct load *load, const char *topic, const struct tail *tail)
{
	size_t lost = 0;
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++) {
		size_t count = (size_t)(tail->to[p] - tail->from[p]);
		uint64_t *now = arena_alloc(&load->rig.arena, (count + 1) * sizeof *now);
		hash_records(load, topic, p, tail->from[p], tail->to[p], now);
		for (size_t i = 0; i < count; i++)
			lost += now[i] != tail->hashes[p][i];
	}
	return lost;
}

struct growth {
	struct load *load;
	const char *topic;
	int64_t until;
};

static bool has_grown(struct rig *rig, void *arg)
{
	const struct growth *growth = arg;
	int64_t ends[LOAD_PARTITIONS];
	(void)rig;
	read_ends(growth->load, growth->topic, ends);
	return sum(ends) >= growth->until;
}

static bool one_is_left(struct rig *rig, void *arg)
{
	int least, most;
	(void)arg;
	nodes_isr(rig, &least, &most);
	return least == 1;
}

static bool broker_2_leads(struct rig *rig, void *arg)
{
	const char *topic = arg;
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++)
		if (nodes_leader(rig, topic, p) != 2)
			return false;
	return true;
}

static bool order_has_committed(struct rig *rig, void *arg)
{
	const struct growth *growth = arg;
	(void)rig;
	return load_folded(growth->load, "order") >= growth->until;
}

/* Broker 1 alone holds what is written from now on. What the order worker has sent and not committed it sends again by itself,
 * under the same numbers, and nothing is missing then; so it must have committed some of the tail. */
static void leave_one_in_sync(struct load *load, const char *topic, struct tail *tail)
{
	nodes_set_topic(&load->rig, topic, "min.insync.replicas=1,unclean.leader.election.enable=true");
	nodes_kill(2);
	rig_until(&load->rig, LOAD_SECONDS, "one replica is left in sync", one_is_left, NULL);
	read_ends(load, topic, tail->from);
	struct growth growth = {load, topic, sum(tail->from) + TAIL};
	rig_until(&load->rig, LOAD_SECONDS, "the tail has been written", has_grown, &growth);
	if (!load->workers[LOAD_ORDER][0])
		return;
	growth.until = load_folded(load, "order") + STEADY;
	rig_until(&load->rig, LOAD_SECONDS, "its writer has committed some of it", order_has_committed, &growth);
}

/* It dies; broker 2 leads without it. Ends with the settings as they must be, and everything in sync. */
static void lose_tail(struct load *load, const char *topic, struct tail *tail, const char *test, const char *fault)
{
	note_tail(load, topic, tail);
	load_fault(load, test, fault);
	nodes_kill(1);
	nodes_launch(2);
	nodes_await(2);
	rig_until(&load->rig, LOAD_SECONDS, "who was not in sync leads", broker_2_leads, (void *)(uintptr_t)topic);
	nodes_say("who was not in sync leads");
	nodes_launch(1);
	nodes_await(1);
	nodes_in_sync(&load->rig);
	nodes_set_topic(&load->rig, topic, "unclean.leader.election.enable=false,min.insync.replicas=2");
	size_t lost = count_lost(load, topic, tail);
	nodes_say("%s has lost %zu acknowledged records", topic, lost);
	assert_true(lost > 0);
}

/* ---- the signs, and what they say to do ---- */

/* Runs every `tandem SERVICE resend ...` that stands in the text, once each. Returns how many. */
static int follow_resends(struct load *load, const char *text)
{
	const char *done[COMMANDS_MAX];
	int count = 0;
	for (const char *at = text; (at = strstr(at, "tandem ")); at++) {
		size_t len = strcspn(at, "\"`\n;,)");
		const char *command = arena_copy(&load->rig.arena, at + strlen("tandem "), len - strlen("tandem "));
		bool known = !strstr(command, " resend ");
		for (int i = 0; i < count && !known; i++)
			known = strcmp(done[i], command) == 0;
		if (known)
			continue;
		assert_true(count < COMMANDS_MAX);
		done[count++] = command;
		nodes_say("tandem %s", command);
		rig_ok(&load->rig, "%s", command);
	}
	return count;
}

/* Waits until nothing is under way: then it holds, or what differs differs. */
static bool audit_is_settled(struct rig *rig, void *arg)
{
	struct rig_result *result = arg;
	rig_run(rig, result, LOAD_SECONDS, "audit");
	return result->exit_status == 0 || result->exit_status == 4;
}

/* What audit finds is resent, until it finds nothing, or what no resend heals. Returns how many commands were followed; *holds:
 * it finds nothing any more. */
static int follow_audit(struct load *load, bool *holds)
{
	struct rig_result result;
	int followed = 0;
	*holds = false;
	for (int round = 0; round < 3 && !*holds; round++) {
		rig_until(&load->rig, LOAD_SECONDS, "audit has a verdict", audit_is_settled, &result);
		*holds = result.exit_status == 0;
		int found = *holds ? 0 : follow_resends(load, result.out);
		followed += found;
		if (!found)
			break;
	}
	nodes_say("audit: %s, after %d resends", *holds ? "all holds" : "it differs", followed);
	return followed;
}

static void resend_what_audit_says(struct load *load)
{
	bool holds;
	assert_true(follow_audit(load, &holds) > 0);
	assert_true(holds);
}

struct halts {
	const char *service;
	int count; /* of tasks whose history is gone */
	int others;
	int32_t partitions[LOAD_PARTITIONS];
	const char *reasons[LOAD_PARTITIONS], *messages[LOAD_PARTITIONS];
};

static bool blames_history(const char *reason)
{
	static const char *const reasons[] = {"truncated", "forked", "out_of_range", "mark_record"};
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (strcmp(reason, reasons[i]) == 0)
			return true;
	return false;
}

static void add_halt(struct rig *rig, struct halts *halts, json_t *status, json_t *halt)
{
	const char *reason = json_string_value(json_object_get(halt, "reason"));
	if (!blames_history(reason)) {
		halts->others++;
		return;
	}
	int i = halts->count++;
	halts->partitions[i] = (int32_t)json_integer_value(json_object_get(status, "partition"));
	halts->reasons[i] = arena_format(&rig->arena, "%s", reason);
	halts->messages[i] = arena_format(&rig->arena, "%s", json_string_value(json_object_get(halt, "message")));
}

static void read_halts(struct rig *rig, struct halts *halts)
{
	struct rig_result result;
	halts->count = halts->others = 0;
	rig_run(rig, &result, LOAD_SECONDS, "%s status -J", halts->service);
	for (const char *line = result.out, *end; (end = strchr(line, '\n')); line = end + 1) {
		json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL), *halt = json_object_get(json, "halt");
		if (json_is_object(halt))
			add_halt(rig, halts, json, halt);
		json_decref(json);
	}
}

/* A task that was opened while the settings were wrong says that first, and goes on by itself. */
static bool any_halted(struct rig *rig, void *arg)
{
	struct halts *halts = arg;
	read_halts(rig, halts);
	return halts->count > 0 && halts->others == 0;
}

/* A task that had read what is gone says so, and what to do. */
static void await_halts(struct load *load, const char *service, struct halts *halts)
{
	*halts = (struct halts){.service = service};
	rig_until(&load->rig, LOAD_SECONDS, "a task that has read what is gone is halted", any_halted, halts);
	for (int i = 0; i < halts->count; i++) {
		nodes_say("%s/%d: %s: %s", service, (int)halts->partitions[i], halts->reasons[i], halts->messages[i]);
		if (!strstr(halts->messages[i], "restore") || !strstr(halts->messages[i], "rebuild --delete-marks"))
			fail_msg("the halt does not name the way out: %s", halts->messages[i]);
	}
}

struct gaps {
	const char *service;
	int count;
};

static bool any_gap(struct rig *rig, void *arg)
{
	struct gaps *gaps = arg;
	struct rig_result result;
	rig_run(rig, &result, LOAD_SECONDS, "%s status", gaps->service);
	for (const char *at = result.out; (at = strstr(at, " resend --partitions ")); at++)
		gaps->count++;
	return gaps->count > 0;
}

/* A task that had not read it finds the next number missing, and status says which command sends it again. */
static void await_gaps(struct load *load, const char *service)
{
	struct gaps gaps = {.service = service};
	rig_until(&load->rig, LOAD_SECONDS, "a task reports a gap", any_gap, &gaps);
	nodes_say("%s reports %d gaps", service, gaps.count);
}

static void delete_file(struct load *load, const char *service, int32_t partition)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
		unlink(arena_format(&load->rig.arena, "%s/%s/%d.db%s", load->rig.data, service, partition, endings[i]));
}

/* A member whose farewell the coordinator has lost is gone only with its session; until then the marks are refused. */
static bool marks_are_deleted(struct rig *rig, void *arg)
{
	struct rig_result result;
	rig_run(rig, &result, LOAD_SECONDS, "%s rebuild --delete-marks", ((const struct halts *)arg)->service);
	return result.exit_status == 0;
}

/* "stop the workers, delete FILE and the marks": they are stopped. */
static void accept_history(struct load *load, const char *service, struct halts *halts)
{
	read_halts(&load->rig, halts);
	for (int i = 0; i < halts->count; i++)
		delete_file(load, service, halts->partitions[i]);
	rig_until(&load->rig, LOAD_SECONDS, "the marks are deleted", marks_are_deleted, halts);
	nodes_say("%s: %d files and the marks are deleted", service, halts->count);
}

/* ---- the inventory's commands ---- */

static int open_commands(void **state)
{
	return load_open_two_replicas(state, "inventory");
}

static void begin(struct load *load)
{
	load_publish(load);
	load_start_all(load, 1);
	load_flows(load, STEADY);
}

/* The readers see a gap as soon as something follows, and audit sees it in any case. */
static void commands_lost_before_they_were_read_are_sent_again(void **state)
{
	struct load *load = *state;
	struct tail tail;
	begin(load);
	load_stop_service(load, LOAD_INVENTORY);
	leave_one_in_sync(load, "inventory", &tail);
	lose_tail(load, "inventory", &tail, __func__, "unclean election: commands, unread");
	load_start(load, LOAD_INVENTORY, 0);
	await_gaps(load, "inventory");
	load_stop_publishing(load);
	resend_what_audit_says(load);
	load_finish(load);
}

static void commands_lost_after_they_were_read_halt_their_reader_until_history_is_accepted(void **state)
{
	struct load *load = *state;
	struct halts halts;
	struct tail tail;
	begin(load);
	leave_one_in_sync(load, "inventory", &tail);
	load_flows(load, STEADY);
	lose_tail(load, "inventory", &tail, __func__, "unclean election: commands, read");
	await_halts(load, "inventory", &halts);
	load_stop_publishing(load);
	load_stop_service(load, LOAD_INVENTORY);
	accept_history(load, "inventory", &halts);
	load_start(load, LOAD_INVENTORY, 0);
	resend_what_audit_says(load);
	load_finish(load);
}

/* ---- events, for everybody else ---- */

static int open_events(void **state)
{
	return load_open_two_replicas(state, "order-events");
}

static bool revenue_has_read(struct rig *rig, void *arg)
{
	const struct growth *growth = arg;
	(void)rig;
	return load_folded(growth->load, "revenue") >= growth->until;
}

static void events_lost_after_they_were_read_are_sent_again_and_their_reader_begins_anew(void **state)
{
	struct load *load = *state;
	struct halts halts;
	struct tail tail;
	begin(load);
	struct rig_process *revenue = rig_start(&load->rig, "revenue-1", "revenue run %s", load->options);
	leave_one_in_sync(load, "order-events", &tail);
	read_ends(load, "order-events", tail.to);
	struct growth growth = {.load = load, .until = sum(tail.to)};
	rig_until(&load->rig, LOAD_SECONDS, "revenue has read the tail", revenue_has_read, &growth);
	lose_tail(load, "order-events", &tail, __func__, "unclean election: events, read");
	await_halts(load, "revenue", &halts);
	load_stop_publishing(load);
	assert_int_equal(rig_end(&load->rig, revenue, SIGTERM, LOAD_SECONDS), 0);
	accept_history(load, "revenue", &halts);
	resend_what_audit_says(load);
	load_finish(load);
}

/* ---- the publishers' orders ---- */

static int open_orders(void **state)
{
	return load_open_two_replicas(state, "orders");
}

/* Nobody but the publisher knows what is gone: it publishes again. What inventory had answered, inventory sends again. */
static void orders_lost_before_they_were_read_are_published_again(void **state)
{
	struct load *load = *state;
	struct tail tail;
	bool holds;
	begin(load);
	load_stop_service(load, LOAD_ORDER);
	leave_one_in_sync(load, "orders", &tail);
	load_stop_publishing(load);
	lose_tail(load, "orders", &tail, __func__, "unclean election: orders, unread");
	load_publish_again(load);
	load_start(load, LOAD_ORDER, 0);
	follow_audit(load, &holds);
	assert_true(holds);
	load_finish(load);
}

/* What the order worker had sent on stands in inventory's log, and a fold that begins anew sends something else under the same
 * numbers. That is seen, and nothing heals it in place: what is left of the publishers' events goes to a new installation. */
static void orders_lost_after_they_were_read_need_a_new_installation(void **state)
{
	struct load *load = *state;
	struct halts halts;
	struct tail tail;
	bool holds;
	begin(load);
	leave_one_in_sync(load, "orders", &tail);
	load_flows(load, STEADY);
	load_stop_publishing(load);
	lose_tail(load, "orders", &tail, __func__, "unclean election: orders, read");
	await_halts(load, "order", &halts);
	load_stop_service(load, LOAD_ORDER);
	accept_history(load, "order", &halts);
	load_publish_again(load);
	load_start(load, LOAD_ORDER, 0);
	follow_audit(load, &holds);
	assert_false(holds); /* never in silence */
	load_begin_anew(load);
	load_publish_again(load);
	load_start_all(load, 1);
	load_finish(load);
}

#define TEST(test, open) cmocka_unit_test_setup_teardown(test, open, load_close)

int cluster_elections(void)
{
	const struct CMUnitTest elections[] = {
		TEST(commands_lost_before_they_were_read_are_sent_again, open_commands),
		TEST(commands_lost_after_they_were_read_halt_their_reader_until_history_is_accepted, open_commands),
		TEST(events_lost_after_they_were_read_are_sent_again_and_their_reader_begins_anew, open_events),
		TEST(orders_lost_before_they_were_read_are_published_again, open_orders),
		TEST(orders_lost_after_they_were_read_need_a_new_installation, open_orders),
	};
	return cmocka_run_group_tests(elections, NULL, NULL);
}
