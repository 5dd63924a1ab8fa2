/* worker: the loop and the commit protocol. The only place that puts log, file and fold together.
 *
 * One commit: fold records, hand each one's outputs to the producer once its handler has said OK; at the commit interval wait
 * until every output is acknowledged, COMMIT each task, then commit the group offset with the mark. Any delivery failure
 * rolls back all tasks of the producer and drops it; the files say where to go on, and the same outputs come out again with
 * the same numbers.
 *
 * A worker is driven step by step, in one thread (but see catch_up_threads): worker_step does one thing and returns which. It never waits for
 * records, acknowledgements or time; checks at opening (record 0, bounds, marks, settings) are bounded calls to the log.
 * Between any two steps the process may die. worker_drop is that death, for tests. */
#ifndef TANDEM_WORKER_H
#define TANDEM_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "lock.h"
#include "log.h"
#include "logging.h"
#include "seam.h"
#include "service.h"
#include "task.h"

struct meter;
struct tracer;
struct worker;

/* What a worker's tasks take together, divided among them: where there are more than four, each holds less of its file than
 * TASK_MEMORY_BYTES, so that with what it takes besides it all stays the same; but TASK_MEMORY_BYTES_MIN it may hold. */
#define WORKER_MEMORY_BYTES (4 * (size_t)(TASK_MEMORY_BYTES + TASK_FIXED_BYTES))

struct worker_config {
	const struct service *service;
	struct log *log;           /* borrowed */
	const struct seam *seam;   /* time */
	struct logging *logging;   /* NULL: says nothing */
	const char *data;          /* folder of the files; <data>/<service>/ is made */
	const int32_t *partitions; /* NULL: join the group tandem-<service>. Else exactly these, without joining */
	size_t partition_count;
	const char *instance_id;    /* static member, or NULL */
	int session_timeout_ms;     /* 0: the log's default */
	int64_t commit_interval_ms; /* 0: 200; up to five of them where there is more to fold, or COMMIT takes long */
	int64_t commit_records_max; /* 0: 100000 */
	bool until_end;             /* ends when what was there at the start is folded, committed and marked */
	bool full_sync;             /* synchronous=FULL for the files */
	bool reverse;               /* reverse_unordered_selects, for tests */
	const char *vfs;            /* SQLite VFS, for tests; NULL: the default */
	int catch_up_threads; /* tasks behind their mark are folded in so many; 0: in the caller's, between its steps */
	struct log *(*connect)(
		void *arg); /* a connection for each of them, log_close'd by the worker; NULL from it: none */
	void *connect_arg;
	size_t held_bytes;     /* of rows, a task; 0: as rows_open has it */
	struct tracer *tracer; /* told what is handled and sent; borrowed. NULL: no spans */
	struct meter *meter;   /* told what it does; borrowed. NULL: nothing is measured */
};

enum worker_step {
	WORKER_IDLE,        /* nothing to do now: worker_wait */
	WORKER_POLLED,      /* took an event from the log (not a record to fold) */
	WORKER_OPENED,      /* opened, or tried to open, one task */
	WORKER_ASSIGNED,    /* told the log where to read */
	WORKER_CHECKED,     /* compared the first record with the last one consumed */
	WORKER_FOLDED,      /* folded one record */
	WORKER_SENT,        /* handed one output to the producer */
	WORKER_ACKED,       /* took acknowledgements */
	WORKER_HELD,        /* stopped reading, to commit */
	WORKER_COMMITTED,   /* COMMIT of one task */
	WORKER_MARKED,      /* started the group commit */
	WORKER_ROLLED_BACK, /* dropped the producer and every open batch */
	WORKER_HALTED,      /* one task halted */
	WORKER_BACKED_OFF,  /* one task will be opened again later */
	WORKER_DONE,        /* there is nothing more to do, see worker_result */
	WORKER_STEPS
};

const char *worker_step_name(enum worker_step step);

/* *out is the caller's: worker_close or worker_drop. Opens the consumer, nothing else. */
enum status worker_open(const struct worker_config *config, struct worker **out, struct err *err);

enum worker_step worker_step(struct worker *worker);

/* Waits until there may be something to do, at most ms. */
void worker_wait(struct worker *worker, int ms);

/* From now on nothing new is read; the open batch is committed, then worker_step gives WORKER_DONE. */
void worker_stop(struct worker *worker);

/* After WORKER_DONE: OK; RETRY: some tasks are halted or could not be opened (done in part); FATAL: it could not go on
 * (err says why). */
enum status worker_result(const struct worker *worker, struct err *err);

/* Leaves the group, closes everything; an open batch is dropped. NULL is fine. */
void worker_close(struct worker *worker);

/* As a crash does it: descriptors closed, no rollback, no checkpoint, no word to the group. */
void worker_drop(struct worker *worker);

/* ---- what it is doing, for tests, metrics and people ---- */

struct worker_task {
	int32_t partition;
	enum lock_state state;
	const struct task *task; /* NULL while it is not open, and while another thread has it (then catching_up) */
	bool catching_up;        /* outputs are recomputed, not sent; it is open */
	int64_t suppressed;      /* outputs not sent so since it was opened */
	size_t unacknowledged;   /* outputs handed over and not acknowledged, of all tasks */
	const struct err *why;   /* halted or backing off: why; else NULL */
	bool halted;             /* shown to people; false while backing off */
	int64_t stopped_next;    /* while there is no task: the offset it would go on at, if it was ever open; else 0 */
	int64_t target_next;     /* while catching up: where it ends */
	int64_t last_ms;         /* the log's time of the last record folded since it was opened; 0: none */
	const char *db;          /* its file */
};

bool worker_joined(const struct worker *worker);       /* it was told which partitions are its own */
bool worker_stopping(const struct worker *worker);     /* worker_stop was called */
const char *worker_topic(const struct worker *worker); /* the input with its namespace; lives as long as the worker */
size_t worker_task_count(const struct worker *worker);
void worker_task(const struct worker *worker, size_t index, struct worker_task *out);

struct worker_counts {
	int64_t folded, sent, acknowledged, commits, marks, rollbacks, halts;
	int64_t verdicts[TASK_VERDICTS];
};
void worker_counts(const struct worker *worker, struct worker_counts *out);

#endif
