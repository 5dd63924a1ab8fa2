/* flow: both services in one process over one local::memory: log and a virtual clock, driven a step at a time. */
#ifndef TANDEM_TESTS_FLOW_H
#define TANDEM_TESTS_FLOW_H

#include "events.h"
#include "log.h"
#include "log_memory.h"
#include "task.h"
#include "worker.h"

struct flow {
	struct log_memory *memory;
	struct seam seam;
	int64_t now_us;
	uint64_t random;
	struct log *log; /* for publishing and looking; workers have handles of their own */
	char data[64];   /* a folder under /dev/shm or /tmp */
	int32_t order_partitions, inventory_partitions;
	struct log_producer *producer;
	struct arena arena;
};

/* A fresh log with the installation's topics. Fails the test where something is wrong. */
void flow_init(struct flow *flow, int32_t order_partitions, int32_t inventory_partitions);
void flow_fini(struct flow *flow); /* every worker must be closed */

struct flow_worker {
	struct worker *worker;
	struct log *log;
	const char *service;
};

/* Starts a worker of the service ("order", "inventory"); partitions NULL: joins the group. */
void flow_start(struct flow *flow, struct flow_worker *out, const char *service, const int32_t *partitions,
                size_t count);
/* The same, with more of the configuration; log and clock are the flow's, and the data folder where none is given. */
void flow_start_with(struct flow *flow, struct flow_worker *out, const struct worker_config *config);
void flow_drop(struct flow_worker *worker); /* as a crash does */
void flow_close(struct flow_worker *worker);

/* Steps the workers in turn, the clock running, until nothing moves for a second of virtual time. Fails the test after
 * 2,000,000 steps. */
void flow_rest(struct flow *flow, struct flow_worker *workers, size_t count);

/* Publishes and waits for the acknowledgement. */
void flow_publish(struct flow *flow, const struct event_type *type, const void *event);
void flow_order(struct flow *flow, const char *order_id, const struct order_line *lines, size_t count);
void flow_order_one(struct flow *flow, const char *order_id, const char *sku, int64_t quantity);
void flow_cancel(struct flow *flow, const char *order_id);
void flow_receive(struct flow *flow, const char *receipt_id, const char *sku, int64_t quantity);

/* Writes a record as it is. Returns its offset. */
int64_t flow_write(struct flow *flow, const char *topic, const struct log_record *record);

/* How many events of this type a reader of the topic sees who drops repeats (by `tandem` header: source and number). */
size_t flow_count(struct flow *flow, const char *topic, const struct event_type *type);

/* One integer from a task's file: SELECT on the closed or live file of service/partition. */
int64_t flow_number(struct flow *flow, const char *service, int32_t partition, const char *sql);
/* The sum over all partitions. */
int64_t flow_sum(struct flow *flow, const char *service, const char *sql);

const struct service *flow_service(const char *name);

/* Folds every partition afresh and compares with the files (verify): fails the test naming the difference. */
void flow_verify(struct flow *flow);
void flow_verify_service(struct flow *flow, const struct service *service,
                         const char *data); /* data NULL: the flow's */

#endif
