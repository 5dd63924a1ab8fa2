/* worker_impl: what the files of a worker share (worker.c says which does what). One thread; a worker_step that is given back
 * is what the step has done. */
#ifndef TANDEM_WORKER_IMPL_H
#define TANDEM_WORKER_IMPL_H

#include "events.h"
#include "worker.h"

/* The way out where a log's history is no longer the file's and the mark's: neither of them may stay. Takes file, service. */
#define WORKER_FOLD_AFRESH                                                                                                     \
	"stop the workers, delete %s and the marks (`tandem %s rebuild --delete-marks`): everything is folded and sent again," \
	" which is safe"

#define SETTINGS_CHECK_INTERVAL_US (600 * 1000000LL)
#define ATTEMPTS_BEFORE_HALT       6 /* a passing fault that does not pass is shown as a halt */

enum slot_state {
	SLOT_CLOSED, /* to be opened now */
	SLOT_OPEN,
	SLOT_CATCHING_UP, /* behind its mark: folded up to it by a worker of its own, or waiting for one (catch_up.h) */
	SLOT_WAITING,     /* something passing is in the way: opened again at retry_at_us */
	SLOT_HALTED,      /* something that stays is in the way: the same, shown to people */
};

struct slot { /* one partition we own */
	int32_t partition;
	enum slot_state state;
	char *db, *lock_path, *halt_path;
	struct lock *lock;
	struct task *task;
	struct catch_up *catch_up; /* who has the task, SLOT_CATCHING_UP; NULL: nobody has yet */
	bool expect_last;          /* the next record must be the last one consumed */
	bool catching_up;
	struct task_position target; /* while catching up: where outputs begin to go out again */
	int64_t suppressed;
	size_t outputs_sent; /* of the current record */
	int64_t marked_next; /* next offset of the last mark that was committed here */
	int64_t end;         /* until_end: where it ends; -1: not known yet */
	bool end_seen;       /* the log says that everything was delivered */
	bool halt_file;      /* there may be one */
	int64_t retry_at_us;
	int attempts;         /* failures in a row */
	int64_t stopped_next; /* next offset when it was put aside; to be passed before it counts as running */
	int64_t folded_since_open;
	int64_t last_ms; /* the log's time of the last record folded */
	struct err why;
	int64_t halted_since_ms;
};

struct destination { /* a partition whose genesis was compared */
	char *topic;
	int32_t partition;
};

enum phase { PHASE_RUN, PHASE_ACKS, PHASE_COMMIT };

struct worker {
	struct worker_config config;
	char *group, *folder, *full_input;
	struct log_consumer *consumer;
	struct log_producer *producer; /* NULL: opened when there is something to send */
	uint64_t generation;           /* of the producer; in every token */
	int *output_topics;            /* log_producer_topic of service->outputs, the dead-letter topic last */
	struct slot *slots;            /* by partition */
	size_t slot_count;
	size_t task_bytes;    /* what a task may hold of its file: the process' share (worker_make_slots) */
	struct slot *sending; /* whose record's outputs are being handed over */
	struct destination *destinations;
	size_t destination_count;
	enum phase phase;
	size_t commit_at; /* PHASE_COMMIT: the next slot */
	bool joined;      /* an assignment has come */
	bool opened;      /* a task was open */
	bool to_mark;     /* of one task that catches up, and ends there (catch_up.c) */
	bool assign_due;
	bool poll_due; /* before the next file is opened */
	bool rollback_due;
	bool all_open;  /* no slot waits to be opened */
	bool mark_due;  /* something was committed, or found to be right, that may not be marked */
	bool lingering; /* outputs were handed over since the producer was last told not to wait for more */
	bool marking;   /* a group commit is under way */
	bool stopping, done;
	int64_t stop_at_us; /* when stopping gives up */
	enum status result;
	struct err why;      /* of result */
	int64_t batch_at_us; /* when the open batch began; 0: none is open */
	int64_t batch_records;
	int64_t commit_began_us;
	int64_t record_commit_ns; /* what COMMIT took a record of the last batch that was not small */
	bool caught_up;           /* while the batch was open, there was a moment with nothing to be folded */
	int64_t waiting_us;       /* since when nothing was acknowledged that is waited for; 0: nothing is */
	int64_t polled_acks;      /* records folded since acknowledgements were last looked at */
	int64_t settings_at_us;   /* when the topics' settings were last found right; 0: never */
	struct arena scratch;
	struct worker_counts counts;
};

/* ---- worker.c ---- */

int64_t worker_now_us(const struct worker *worker);

/* There is nothing more to do; why (NULL: nothing to say) is copied. */
enum worker_step worker_finish(struct worker *worker, enum status result, const struct err *why);

/* What the tasks are doing, for their lock files: all of them, or the one whose batch is open. */
void worker_show(struct worker *worker, enum lock_state state);
void worker_show_folding(struct worker *worker, struct slot *slot);

/* ---- worker_open.c ---- */

/* Opens the slot's task: lock, log, file, mark. On OK it is SLOT_OPEN or SLOT_CATCHING_UP. Every refusal is said in err. */
enum status worker_open_slot(struct worker *worker, struct slot *slot, struct err *err);

/* Ends who catches up, closes task and lock, nothing committed; crash: descriptors only. */
void worker_close_slot(struct slot *slot, bool crash);

/* Deletes a file that holds records which were folded and not sent. */
void worker_delete_file(const struct slot *slot);

/* ---- worker_slots.c ---- */

/* NULL: the partition is not ours. */
struct slot *worker_find_slot(struct worker *worker, int32_t partition);
bool worker_anything_open(const struct worker *worker); /* a batch */
void worker_new_batch(struct worker *worker);

/* One line about the task: topic, partition, why. */
void worker_say_problem(struct worker *worker, const struct slot *slot, const char *msg, enum logging_level level,
                        const struct err *why);

/* Puts the task aside, uncommitted: what was folded since its last commit is folded again, after a back-off. FATAL, or too
 * many tries: it is shown as halted. */
enum worker_step worker_set_aside(struct worker *worker, struct slot *slot, enum status status, const struct err *why);

/* It has got past what stopped it, or everything is folded and nothing uncommitted. */
void worker_runs_again(struct slot *slot);

/* These partitions and no others: closed, to be opened. */
void worker_make_slots(struct worker *worker, const int32_t *partitions, size_t count);
void worker_free_slots(struct worker *worker, bool crash);

/* The only way back: no open batch, no producer; every task is opened again from its file. */
enum worker_step worker_roll_back(struct worker *worker);

/* Opens the next task that is due. False: none is. */
bool worker_open_next(struct worker *worker, enum worker_step *step);

/* Every task reads from the last record it has folded, which must be there again; who is set aside is not read. */
enum worker_step worker_assign(struct worker *worker);

/* ---- worker_outputs.c ---- */

/* Hands the next output of worker->sending over; its destination's genesis is checked before the first one there. */
enum worker_step worker_send_one(struct worker *worker);

/* Nothing more can be folded now: nothing is gained by waiting for more to send. Where more can, batches fill. */
void worker_send_now(struct worker *worker);

/* Takes some; false: there was none. A failed one rolls back. */
bool worker_take_acks(struct worker *worker);

/* Records never expire in the producer, so one that is wedged says nothing at all: after a while a new one sends the batch
 * again. */
void worker_wait_for_acks(struct worker *worker);

void worker_forget_destinations(struct worker *worker);

/* ---- worker_events.c ---- */

/* The log's next event, if there is one. */
enum worker_step worker_take_event(struct worker *worker);

/* ---- worker_commit.c ---- */

bool worker_commit_is_due(struct worker *worker);
int64_t worker_commit_at_us(const struct worker *worker); /* of the open batch */

/* Reading stops and the outputs are sent at once; then worker_go_on_committing until it is PHASE_RUN again. */
enum worker_step worker_begin_commit(struct worker *worker);
enum worker_step worker_go_on_committing(struct worker *worker);

/* One group commit at a time. False: none is due. */
bool worker_start_mark(struct worker *worker, enum worker_step *step);

/* How the group commit went, LOG_COMMITTED. */
enum worker_step worker_take_marked(struct worker *worker, const struct log_event *event);

/* ---- worker_log.c ---- */

/* Says of a record that was not simply applied what to do about it; of others nothing. */
void worker_say_verdict(const struct worker *worker, const struct slot *slot, const struct log_record *record,
                        enum task_verdict verdict);

#endif
