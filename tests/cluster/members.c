/* Workers that come and go, under load. */
#include "cluster.h"

#include "lock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define STEADY 100

/* ---- who holds what ---- */

static pid_t holder_of(struct load *load, int service, int32_t partition)
{
	pid_t pid = 0;
	enum lock_state state;
	const char *path =
		arena_format(&load->rig.arena, "%s/%s/%d.lock", load->rig.data, load_services[service], partition);
	return lock_holder(path, &pid, &state) && state != LOCK_OPENING && state != LOCK_HALTED ? pid : 0;
}

/* Every partition has a holder, and every worker some. */
static bool shared_out(struct load *load, int service)
{
	int held[LOAD_WORKERS_MAX] = {0}, all = 0;
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++) {
		pid_t pid = holder_of(load, service, p);
		for (int w = 0; w < LOAD_WORKERS_MAX; w++)
			if (load->workers[service][w] && load->workers[service][w]->pid == pid)
				held[w]++, all++;
	}
	for (int w = 0; w < LOAD_WORKERS_MAX; w++)
		if (load->workers[service][w] && !held[w])
			return false;
	return all == LOAD_PARTITIONS;
}

static bool all_shared_out(struct rig *rig, void *arg)
{
	(void)rig;
	return shared_out(arg, LOAD_ORDER) && shared_out(arg, LOAD_INVENTORY);
}

static void await_sharing(struct load *load)
{
	rig_until(&load->rig, LOAD_SECONDS, "each worker holds its share of the partitions", all_shared_out, load);
}

/* ---- scaling ---- */

static void workers_become_three_and_one_again(void **state)
{
	struct load *load = *state;
	load_publish(load);
	load_start_all(load, 1);
	await_sharing(load);
	load_flows(load, STEADY);
	load_fault(load, __func__, "1 worker of each service becomes 3, then 1");
	for (int w = 1; w < 3; w++)
		for (int s = 0; s < LOAD_SERVICES; s++)
			load_start(load, s, w);
	await_sharing(load);
	load_flows(load, STEADY);
	for (int w = 1; w < 3; w++)
		for (int s = 0; s < LOAD_SERVICES; s++)
			load_stop(load, s, w);
	await_sharing(load);
	load_flows(load, STEADY);
	load_finish(load);
}

/* ---- static members ---- */

static int count_words(struct load *load, int service, int worker, const char *words)
{
	int count = 0;
	const char *at = rig_words(&load->rig, load->workers[service][worker]);
	while ((at = strstr(at, words))) {
		at += strlen(words);
		count++;
	}
	return count;
}

struct holders {
	pid_t pids[LOAD_SERVICES][LOAD_PARTITIONS];
};

static void note_holders(struct load *load, struct holders *holders)
{
	for (int s = 0; s < LOAD_SERVICES; s++)
		for (int32_t p = 0; p < LOAD_PARTITIONS; p++)
			holders->pids[s][p] = holder_of(load, s, p);
}

static void restart(struct load *load, int worker, int signal)
{
	for (int s = 0; s < LOAD_SERVICES; s++) {
		int expected = signal == SIGKILL ? -SIGKILL : 0;
		assert_int_equal(rig_end(&load->rig, load->workers[s][worker], signal, LOAD_SECONDS), expected);
	}
	for (int s = 0; s < LOAD_SERVICES; s++)
		load_start(load, s, worker);
}

/* Within the session nobody is told that a member is away: its partitions wait for it. */
static void static_members_come_back_to_their_partitions_and_nobody_else_is_disturbed(void **state)
{
	struct load *load = *state;
	struct holders before, after;
	load->options = "--session-timeout 45s --commit-interval 50ms";
	load->static_members = true;
	load_publish(load);
	load_start_all(load, 2);
	await_sharing(load);
	load_flows(load, STEADY);
	note_holders(load, &before);
	int assigned[LOAD_SERVICES];
	for (int s = 0; s < LOAD_SERVICES; s++)
		assigned[s] = count_words(load, s, 1, "partitions assigned");
	pid_t first[LOAD_SERVICES] = {load->workers[LOAD_ORDER][0]->pid, load->workers[LOAD_INVENTORY][0]->pid};
	load_fault(load, __func__, "kill -9, then SIGTERM of static members, and their restart");
	restart(load, 0, SIGKILL);
	await_sharing(load);
	load_flows(load, STEADY);
	restart(load, 0, SIGTERM);
	await_sharing(load);
	load_flows(load, STEADY);
	note_holders(load, &after);
	for (int s = 0; s < LOAD_SERVICES; s++) {
		assert_int_equal(count_words(load, s, 1, "partitions assigned"), assigned[s]);
		for (int32_t p = 0; p < LOAD_PARTITIONS; p++)
			assert_int_equal(after.pids[s][p], before.pids[s][p] == first[s] ? load->workers[s][0]->pid
			                                                                 : load->workers[s][1]->pid);
	}
	load_finish(load);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, load_open_short, load_close)

int cluster_members(void)
{
	const struct CMUnitTest members[] = {
		TEST(workers_become_three_and_one_again),
		TEST(static_members_come_back_to_their_partitions_and_nobody_else_is_disturbed),
	};
	return cmocka_run_group_tests(members, NULL, NULL);
}
