/* nodes: a controller and three brokers, which are children of the test and end with it, however it ends; and the network
 * between them and everybody else (tests/support/proxy.h). Brokers talk to each other past it.
 *
 * Brokers are numbered 1 to 3. Topics have three replicas and min.insync.replicas=2. What goes wrong fails the test on the
 * spot (cmocka); every wait has a limit. */
#ifndef TANDEM_TESTS_NODES_H
#define TANDEM_TESTS_NODES_H

#include "../support/proxy.h"
#include "../support/rig.h"

#define BROKERS 3

/* Starts all, and sets $KAFKA to the addresses that clients are told. */
void nodes_start(void);
void nodes_stop(void);

void nodes_kill(int broker);   /* SIGKILL; it is gone on return */
void nodes_end(int broker);    /* SIGTERM: it hands over what it leads; it is gone on return */
void nodes_freeze(int broker); /* SIGSTOP */
void nodes_thaw(int broker);
void nodes_launch(int broker); /* starts it on its data; nodes_await: until it serves */
void nodes_await(int broker);

/* A line of the story, with the seconds since the start: what a failed test shows. */
void nodes_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What clients meet on their way to the broker. */
void nodes_weather(int broker, enum proxy_weather weather, int delay_ms);
void nodes_traffic(int broker, struct proxy_counts *out);

/* All alive, the weather fair, every replica in sync, every leader the preferred one. */
void nodes_heal(struct rig *rig);
/* Until every replica of every partition is in sync. */
void nodes_in_sync(struct rig *rig);

/* Who leads the partition, by the metadata of a broker that answers; -1: nobody. */
int nodes_leader(struct rig *rig, const char *topic, int32_t partition);
/* How many of its replicas are in sync, at most and at least, over all partitions of the rig's topics. */
void nodes_isr(struct rig *rig, int *least, int *most);

/* One of the broker's tools (1 to 2 s): its class and arguments, words with single spaces between. */
void nodes_tool(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Settings of a topic of the rig's, "a=b,c=d". */
void nodes_set_topic(struct rig *rig, const char *topic, const char *settings);

#endif
