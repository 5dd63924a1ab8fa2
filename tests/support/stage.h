/* stage: a small installation with both services at work in every partition, on which a test lets one thing go wrong.
 *
 * A refusal is looked at from all sides (stage_refused), the others must go on meanwhile, and when the way out that its
 * message names was followed the task must run again (stage_recovers): a stage does not close on a refusal whose way out
 * nobody followed. What was provoked is kept, for stage_promises. */
#ifndef TANDEM_TESTS_STAGE_H
#define TANDEM_TESTS_STAGE_H

#include "flow.h"

/* The last two are started by tests that want them: a reader of order-events, and a second worker of `order`. */
enum { STAGE_ORDER, STAGE_INVENTORY, STAGE_REVENUE, STAGE_SECOND_ORDER, STAGE_WORKERS };

struct stage {
	struct flow flow;
	struct flow_worker workers[STAGE_WORKERS]; /* by STAGE_... */
	int serial;
	const char *refused; /* the code of a refusal whose way out was not followed yet; else NULL */
};

/* The installation without workers. */
void stage_make(struct stage *stage, int32_t orders, int32_t inventories);
/* And with both started, every partition having folded something, at rest. */
void stage_open(struct stage *stage, int32_t orders, int32_t inventories);
void stage_close(struct stage *stage); /* closes what runs */

const char *stage_service(int which);
void stage_start(struct stage *stage, int which);
/* By hand: static partitions, another folder, another service (a newer program), ... config->service may be NULL. */
void stage_start_with(struct stage *stage, int which, const struct worker_config *config);
void stage_stop(struct stage *stage, int which); /* as SIGTERM: to the end of worker_stop, then closed */
void stage_crash(struct stage *stage, int which);

void stage_rest(struct stage *stage);
void stage_run(struct stage *stage, int64_t ms); /* of virtual time */
/* Steps all until the worker has made this step. Fails after two minutes of virtual time. */
void stage_until(struct stage *stage, int which, enum worker_step step);

/* A fresh id whose partition is this one. */
const char *stage_id(struct stage *stage, const char *prefix, int32_t partition, int32_t count);
/* Publishes something for this partition that needs nobody else: a receipt, or a cancel request before its order; for
 * revenue an order that was cancelled before, which the order worker cancels at once. */
void stage_feed(struct stage *stage, int which, int32_t partition);
/* An order of order partition `from` for one unit of a SKU of inventory partition `to`, with the stock received before. */
const char *stage_order(struct stage *stage, int32_t from, int32_t to);

struct worker_task stage_task(const struct stage *stage, int which, int32_t partition);
const char *stage_path(struct stage *stage, int which, int32_t partition, const char *ending); /* ".db", ".halt", ... */
void stage_delete(struct stage *stage, int which, int32_t partition); /* the file with its -wal and -shm; lost */
void stage_exec(struct stage *stage, int which, int32_t partition, const char *sql); /* on a file nobody has open */
void stage_delete_marks(struct stage *stage, int which); /* as `rebuild --delete-marks`; the worker must not run */

/* A copy of a topic as it is, and the topic made again from it, offsets and times as they were. */
struct stage_copy;
struct stage_copy *stage_save(struct stage *stage, const char *topic);
void stage_restore(struct stage *stage, const struct stage_copy *copy);
/* Only this partition; the others stay as they are now. */
void stage_restore_partition(struct stage *stage, const struct stage_copy *copy, int32_t partition);
/* Deleted and created with as many partitions and settings, and no record. */
void stage_recreate(struct stage *stage, const struct stage_copy *copy);
/* The records of one partition from this offset on back behind its end; edit may change each (NULL: as they were). */
void stage_restore_tail(struct stage *stage, const struct stage_copy *copy, int32_t partition, int64_t from,
                        void (*edit)(struct log_record *record, void *arg), void *arg);
int64_t stage_end(struct stage *stage, const char *topic, int32_t partition);

/* Writes a numbered event of the service it reads from as its next in the stream to this partition, with the right chain. */
struct stage_forgery {
	int which; /* to whose input */
	int32_t partition;
	int32_t from; /* source partition */
	const struct event_type *type;
	const void *event; /* NULL: one of a schema that nobody knows */
};
void stage_forge(struct stage *stage, const struct stage_forgery *forgery);

/* Writes a control record with this value; one that asks for a logic version from there on. */
void stage_control(struct stage *stage, const char *topic, int32_t partition, const void *value, size_t len);
void stage_logic_version(struct stage *stage, const char *topic, int32_t partition, int32_t version);

/* ---- refusals ---- */

#define STAGE_ALL (-1)

struct stage_refusal {
	int which;
	int32_t partition; /* STAGE_ALL: every task of the service */
	const char *code;
	bool waiting;         /* RETRY: tried again, not shown as halted */
	const char *words[6]; /* each must be in the message: what was found, what was expected, what to do */
};

/* The worker says so, the halt file and the status report too; the other partitions of the service go on. */
void stage_refused(struct stage *stage, const struct stage_refusal *refusal);
/* The same at this very moment, the workers not coming to rest and the others not looked at. */
void stage_refused_now(struct stage *stage, const struct stage_refusal *refusal);
/* Within two minutes the task runs, its halt file is gone, and it folds what comes. Then every file is verified. */
void stage_recovers(struct stage *stage, int which, int32_t partition);
/* The way out was another than that the worker runs again; the test has seen that it works. */
void stage_followed(struct stage *stage);

/* Notes that a refusal was provoked, and its way out followed, without a stage. */
void stage_provoked(const char *code);
/* Every row of refusals.h that names this test file was provoked by it. */
void stage_promises(const char *test_file);

#endif
