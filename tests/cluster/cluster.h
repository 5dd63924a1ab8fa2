/* The groups of tests that share one cluster; main.c runs them. */
#ifndef TANDEM_TESTS_CLUSTER_H
#define TANDEM_TESTS_CLUSTER_H

#include "load.h"

#define CLUSTER_TEST(test, open) cluster_test(#test, test, open)

/* Each runs its tests and returns how many failed. */
int cluster_brokers(void);
int cluster_network(void);
int cluster_members(void);
int cluster_elections(void);

#endif
