/* The network between everybody and one broker: slow, silent, lossy. The brokers among themselves do not notice, so nobody
 * else takes over what it leads: all wait for it. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEADY  100
#define WORKERS 2
#define BROKER  1 /* the one that is far away */
#define SLOW_MS 300
#define STORMS  4

static void begin(struct load *load)
{
	load_publish(load);
	load_start_all(load, WORKERS);
	load_flows(load, STEADY);
}

static void end(struct load *load)
{
	nodes_weather(BROKER, PROXY_FAIR, 0);
	load_flows(load, STEADY);
	load_finish(load);
}

static void a_slow_broker_makes_all_slow_and_loses_nothing(void **state)
{
	struct load *load = *state;
	begin(load);
	load_fault(load, __func__, "a broker 600 ms away");
	nodes_weather(BROKER, PROXY_SLOW, SLOW_MS);
	load_flows(load, STEADY);
	end(load);
}

/* Waits for traffic to the broker. */
struct traffic {
	struct load *load;
	struct proxy_counts until;
};

static bool has_come(struct rig *rig, void *arg)
{
	const struct traffic *traffic = arg;
	struct proxy_counts now;
	(void)rig;
	nodes_traffic(BROKER, &now);
	return now.connections >= traffic->until.connections && now.bytes_up >= traffic->until.bytes_up;
}

static void await_traffic(struct load *load, int connections, long bytes_up)
{
	struct traffic traffic = {.load = load};
	nodes_traffic(BROKER, &traffic.until);
	traffic.until.connections += connections;
	traffic.until.bytes_up += bytes_up;
	rig_until(&load->rig, LOAD_SECONDS, "clients try to reach the broker", has_come, &traffic);
}

/* Nothing passes, nobody is told. Every worker must give up a connection. */
static void a_broker_that_is_cut_off_is_waited_for(void **state)
{
	struct load *load = *state;
	begin(load);
	load_fault(load, __func__, "a broker cut off until connections to it are given up");
	nodes_weather(BROKER, PROXY_HOLE, 0);
	await_traffic(load, WORKERS * LOAD_SERVICES, 0);
	end(load);
}

/* What was sent has arrived, was done, and its answer is lost: every client must ask again, and may not do it twice. */
static void answers_that_are_lost_with_their_connections_are_asked_for_again(void **state)
{
	struct load *load = *state;
	begin(load);
	load_fault(load, __func__, "answers lost and connections reset, four times");
	for (int i = 0; i < STORMS; i++) {
		nodes_weather(BROKER, PROXY_MUTE, 0);
		await_traffic(load, 0, 1);
		nodes_weather(BROKER, PROXY_RESET, 0);
		await_traffic(load, WORKERS * LOAD_SERVICES, 0);
		nodes_weather(BROKER, PROXY_FAIR, 0);
		load_flows(load, STEADY / 2);
	}
	end(load);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, load_open_short, load_close)

int cluster_network(void)
{
	const struct CMUnitTest network[] = {
		TEST(a_slow_broker_makes_all_slow_and_loses_nothing),
		TEST(a_broker_that_is_cut_off_is_waited_for),
		TEST(answers_that_are_lost_with_their_connections_are_asked_for_again),
	};
	return cmocka_run_group_tests(network, NULL, NULL);
}
