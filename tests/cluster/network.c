/* The network between everybody and one broker: slow, silent, lossy. The brokers among themselves do not notice, so nobody
 * else takes over what the broker leads: all wait for it. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEADY  100
#define WORKERS 2
#define SLOW_MS 300
#define CUT_S   8 /* longer than what the client waits for before it looks for another way */

static void begin(struct load *load)
{
	load_publish(load);
	load_start_all(load, WORKERS);
	load_flows(load, STEADY);
}

static void a_slow_broker_makes_all_slow_and_loses_nothing(void **state)
{
	struct load *load = *state;
	begin(load);
	load_fault(load, __func__, "one broker answers 600 ms late");
	nodes_weather(1, PROXY_SLOW, SLOW_MS);
	load_flows(load, STEADY);
	nodes_weather(1, PROXY_FAIR, 0);
	load_flows(load, STEADY);
	load_finish(load);
}

int cluster_network(void)
{
	const struct CMUnitTest network[] = {
		cmocka_unit_test_setup_teardown(a_slow_broker_makes_all_slow_and_loses_nothing, load_open_short,
	                                        load_close),
	};
	return cmocka_run_group_tests(network, NULL, NULL);
}
