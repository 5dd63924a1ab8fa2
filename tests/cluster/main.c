/* Tests with a controller and three brokers that misbehave, under load; all share one cluster, which is whole again before
 * each. Every one ends in verify of each partition, audit, the outcome of every order as an outsider sees it, and the time
 * it took to recover (tests/support/recovery.h).
 *
 *   TANDEM_ROUNDS=N        all of it so many times (1)
 *   TANDEM_TEST_FILTER=G   only tests whose name matches, like '*killed*' */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

int main(void)
{
	const char *rounds = getenv("TANDEM_ROUNDS"), *filter = getenv("TANDEM_TEST_FILTER");
	int failed = 0;
	if (filter)
		cmocka_set_test_filter(filter);
	nodes_start();
	for (int i = rounds ? atoi(rounds) : 1; i > 0; i--)
		failed += cluster_brokers() + cluster_network() + cluster_members() + cluster_elections();
	nodes_stop();
	return failed != 0;
}
