/* worker_impl: what worker.c (the commit protocol) and worker_open.c (opening a task, and every refusal) share. */
#ifndef TANDEM_WORKER_IMPL_H
#define TANDEM_WORKER_IMPL_H

#include "events.h"
#include "worker.h"

/* The way out where a log's history is no longer the file's and the mark's: neither of them may stay. Takes file, service. */
#define WORKER_FOLD_AFRESH                                                                                                     \
	"stop the workers, delete %s and the marks (`tandem %s rebuild --delete-marks`): everything is folded and sent again," \
	" which is safe"

#define SETTINGS_CHECK_INTERVAL_US (600 * 1000000LL)

enum slot_state {
	SLOT_CLOSED, /* to be opened now */
	SLOT_OPEN,
	SLOT_WAITING, /* something passing is in the way: opened again at retry_at_us */
	SLOT_HALTED,  /* something that stays is in the way: the same, shown to people */
};

struct slot { /* one partition we own */
	int32_t partition;
	enum slot_state state;
	char *db, *lock_path, *halt_path;
	struct lock *lock;
	struct task *task;
	bool expect_last; /* the next record must be the last one consumed */
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
	struct slot *sending; /* whose record's outputs are being handed over */
	struct destination *destinations;
	size_t destination_count;
	enum phase phase;
	size_t commit_at; /* PHASE_COMMIT: the next slot */
	bool joined;      /* an assignment has come */
	bool opened;      /* a task was open */
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
	bool caught_up;         /* while the batch was open, there was a moment with nothing to be folded */
	int64_t waiting_us;     /* since when nothing was acknowledged that is waited for; 0: nothing is */
	int64_t polled_acks;    /* records folded since acknowledgements were last looked at */
	int64_t settings_at_us; /* when the topics' settings were last found right; 0: never */
	struct arena scratch;
	struct worker_counts counts;
};

int64_t worker_now_us(const struct worker *worker);

/* Opens the slot's task: lock, log, file, mark. On OK it is SLOT_OPEN. Every refusal is said in err. */
enum status worker_open_slot(struct worker *worker, struct slot *slot, struct err *err);

/* Closes task and lock, nothing committed; crash: descriptors only. */
void worker_close_slot(struct slot *slot, bool crash);

/* Checks the destination's genesis before the first output there. */
enum status worker_check_destination(struct worker *worker, const struct slot *slot, const char *topic,
                                     int32_t partition, struct err *err);
void worker_forget_destinations(struct worker *worker);

/* Deletes a file that holds records which were folded and not sent. */
void worker_delete_file(const struct slot *slot);

/* Says of a record that was not simply applied what to do about it; of others nothing. (worker_log.c) */
void worker_say_verdict(const struct worker *worker, const struct slot *slot, const struct log_record *record,
                        enum task_verdict verdict);

#endif
