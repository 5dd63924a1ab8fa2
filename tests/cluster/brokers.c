/* Brokers that die, hang or restart under load. */
#include "cluster.h"

#include "json.h"
#include "seam.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STEADY  100 /* outcomes before a fault and after it */
#define WORKERS 2   /* of each service */

static void begin(struct load *load)
{
	load_publish(load);
	load_start_all(load, WORKERS);
	load_flows(load, STEADY);
}

struct leader {
	const char *topic;
	int broker;
};

static bool is_known(struct rig *rig, void *arg)
{
	struct leader *leader = arg;
	leader->broker = nodes_leader(rig, leader->topic, 0);
	return leader->broker > 0;
}

/* Of partition 0. A busy broker may not answer at once. */
static int leader_of(struct load *load, const char *topic)
{
	struct leader leader = {.topic = topic};
	rig_until(&load->rig, LOAD_SECONDS, "it is known who leads", is_known, &leader);
	return leader.broker;
}

static void the_leader_is_killed_and_comes_back(void **state)
{
	struct load *load = *state;
	begin(load);
	int leader = leader_of(load, "order-events");
	load_fault(load, __func__, "kill -9 of a leader, then its restart");
	nodes_kill(leader);
	load_flows(load, STEADY);
	nodes_launch(leader);
	nodes_await(leader);
	nodes_in_sync(&load->rig);
	load_flows(load, STEADY);
	load_finish(load);
}

/* It keeps its connections, answers nobody, and comes back in the belief that it still leads. */
static void a_leader_that_hangs_is_replaced_and_comes_back(void **state)
{
	struct load *load = *state;
	begin(load);
	int leader = leader_of(load, "inventory");
	load_fault(load, __func__, "a leader hangs (SIGSTOP), then goes on");
	nodes_freeze(leader);
	load_flows(load, STEADY);
	nodes_thaw(leader);
	nodes_in_sync(&load->rig);
	load_flows(load, STEADY);
	load_finish(load);
}

static void all_brokers_restart_one_after_another(void **state)
{
	struct load *load = *state;
	begin(load);
	load_fault(load, __func__, "rolling restart of all brokers");
	for (int broker = 1; broker <= BROKERS; broker++) {
		nodes_end(broker);
		nodes_launch(broker);
		nodes_await(broker);
		nodes_in_sync(&load->rig);
	}
	load_flows(load, STEADY);
	load_finish(load);
}

/* ---- two of three ---- */

/* By the log's own time. */
static void nothing_was_written(struct load *load, int64_t from_ms, int64_t to_ms)
{
	static const char *const topics[] = {"orders", "inventory", "order-events"};
	struct err err = {0};
	int64_t from, to;
	for (size_t t = 0; t < sizeof topics / sizeof *topics; t++) {
		for (int32_t p = 0; p < LOAD_PARTITIONS; p++) {
			if (log_offset_at(load->rig.log, topics[t], p, from_ms, &from, &err) != OK ||
			    log_offset_at(load->rig.log, topics[t], p, to_ms, &to, &err) != OK)
				fail_msg("%s/%d: %s", topics[t], p, err.text);
			assert_int_equal(from, to);
		}
	}
}

static bool one_is_left(struct rig *rig, void *arg)
{
	int least, most;
	(void)arg;
	nodes_isr(rig, &least, &most);
	return least == 1 && most == 1;
}

/* A publisher of its own learns that nothing is acknowledged. */
static void nothing_is_acknowledged(struct load *load)
{
	struct rig_result result;
	rig_run(&load->rig, &result, LOAD_SECONDS,
	        "publish -J --only orders --orders 20 --skus 60 --seed 999 --timeout 3s");
	assert_int_not_equal(result.exit_status, 0);
	json_t *json = json_loads(result.out, JSON_DISABLE_EOF_CHECK, NULL);
	json_t *count = json_object_get(json, "acknowledged");
	if (!json_is_integer(count) || json_integer_value(count) != 0)
		fail_msg("expected nothing acknowledged: %s%s", result.out, result.err);
	load->sent += json_integer_value(json_object_get(json_object_get(json, "events"), "OrderPlaced"));
	json_decref(json);
}

static void with_two_of_three_brokers_gone_nothing_counts_until_they_return(void **state)
{
	struct load *load = *state;
	begin(load);
	load_fault(load, __func__, "two of three brokers gone, then back");
	nodes_kill(2);
	nodes_kill(3);
	rig_until(&load->rig, LOAD_SECONDS, "one replica is left in sync", one_is_left, NULL);
	int64_t from_ms = seam_wall_ms(&seam_system), outcomes = load_outcomes(load);
	nothing_is_acknowledged(load);
	assert_int_equal(load_outcomes(load), outcomes);
	int64_t to_ms = seam_wall_ms(&seam_system);
	nodes_launch(2);
	nodes_launch(3);
	nodes_await(2);
	nodes_await(3);
	load_flows(load, STEADY);
	nodes_in_sync(&load->rig);
	load_finish(load);
	nothing_was_written(load, from_ms, to_ms);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, load_open_short, load_close)

int cluster_brokers(void)
{
	const struct CMUnitTest brokers[] = {
		TEST(the_leader_is_killed_and_comes_back),
		TEST(a_leader_that_hangs_is_replaced_and_comes_back),
		TEST(all_brokers_restart_one_after_another),
		TEST(with_two_of_three_brokers_gone_nothing_counts_until_they_return),
	};
	return cmocka_run_group_tests(brokers, NULL, NULL);
}
