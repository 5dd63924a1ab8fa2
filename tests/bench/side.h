/* side: one of those who race: Tandem over Kafka, Tandem over local:, or bare over Kafka. An installation of its own (rig.h)
 * of 4 and 4 partitions, its order and its inventory program, what they cost, and what they wrote.
 *
 * Everything fails by ending the program (rig.h); every wait is bounded. */
#ifndef TANDEM_TESTS_BENCH_SIDE_H
#define TANDEM_TESTS_BENCH_SIDE_H

#include "../../producers/publish/generate.h"
#include "../support/rig.h"
#include "bench.h"

#define SIDE_PARTITIONS 4

enum side_kind { SIDE_BARE, SIDE_KAFKA, SIDE_LOCAL, SIDE_KINDS };

extern const char *const side_names[SIDE_KINDS];

/* Those that $SIDES names (all where it is not set) and that can run: bare and kafka need $KAFKA. */
void side_choose(bool on[SIDE_KINDS]);

struct side {
	enum side_kind kind;
	struct rig rig;
	const char *more; /* words for the order's and the inventory's command line; "" at first */
	struct rig_process *order, *inventory;
	int64_t order_peak_kib, inventory_peak_kib; /* the most memory each had, once side_stop ended it */
};

void side_open(struct side *side, enum side_kind kind);
void side_close(struct side *side); /* ends what runs, removes everything */

void side_start(struct side *side); /* both programs; does not wait */
/* "order" or "inventory", the one that is not running. The caller keeps side->order, side->inventory right. */
struct rig_process *side_start_one(struct side *side, const char *role);
void side_stop(struct side *side); /* SIGTERM; both must end well */
/* After side_stop: the most memory each had, in MB, with the target for Tandem's. during: what they did. */
void side_note_memory(const struct side *side, struct bench *bench, const char *during);
void side_pause(struct side *side); /* SIGSTOP: what is published now is preloaded */
void side_resume(struct side *side);

/* Publishes generated orders of number from..options->orders-1, or the receipts of options->stock (PUBLISH_RECEIPTS). Waits
 * until all are acknowledged. */
void side_publish(struct side *side, const struct generate_options *options, int64_t from);
/* One line over so many SKUs, 10,000 in general; stock for all there can be. */
struct generate_options side_orders(int64_t orders);

int64_t side_records(struct side *side, const char *topic); /* behind the genesis, of all partitions */
void side_ends(struct side *side, const char *topic, int64_t ends[SIDE_PARTITIONS]);
/* The log's time of the first record at or behind these, which must be there. */
int64_t side_first_ms(struct side *side, const char *topic, const int64_t ends[SIDE_PARTITIONS]);

/* CPU seconds that the processes have used so far. broker: 0 where it is not known ($KAFKA_PID). */
struct side_cpu {
	double order, inventory, broker;
};
void side_cpu(const struct side *side, struct side_cpu *out);

/* ---- one drain: begin, start or resume, end ---- */

struct side_batch {
	int64_t orders; /* outcomes that there must be more at its end */
	int64_t commands[SIDE_PARTITIONS], outcomes;
	struct side_cpu cpu;
	double started;
};

struct side_rate {
	double seconds;              /* from the first command's record to the last outcome's, by the log's own time */
	double whole_seconds;        /* from side_begin until everything is consumed and committed */
	double orders_per_second;    /* by seconds */
	double worker_us, broker_us; /* of CPU, an order; NAN where it is not known */
	struct side_cpu cpu;
};

void side_begin(struct side *side, struct side_batch *batch, int64_t orders);
void side_end(struct side *side, const struct side_batch *batch, int seconds_max, struct side_rate *out);

double side_now(void); /* seconds, monotonic */

#endif
