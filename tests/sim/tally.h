/* tally: what really happened in a seed, or in many: faults by class as they fired, what the workers met with, and how they
 * answered. A class that never fires proves nothing, so the summary shows them all. */
#ifndef TANDEM_SIM_TALLY_H
#define TANDEM_SIM_TALLY_H

#include "vfs.h"

#include "task.h"
#include "worker.h"

#include <stdint.h>

enum sim_class {
	FAULT_CRASH,      /* a process ends without a word */
	FAULT_POWER,      /* and its last commits are not on the disk */
	FAULT_LOST,       /* a record is not written, the writer hears "timeout" */
	FAULT_UNKNOWN,    /* a record is written, the writer hears "timeout" */
	FAULT_LATE,       /* it is written later, and everything of this producer behind it */
	FAULT_DOUBLED,    /* it is written twice */
	FAULT_REFUSED,    /* the log refuses it */
	FAULT_QUEUE_FULL, /* the producer takes nothing now */
	FAULT_PRODUCER,   /* the producer is broken for good */
	FAULT_SLOW,       /* a reader does not get what is there for a while */
	FAULT_COMMIT,     /* a group commit is refused */
	FAULT_PAUSE,      /* a process stands still beyond its session: a zombie when it wakes */
	FAULT_EXPEL,      /* all members are thrown out of their group */
	FAULT_LEADER,     /* the log says that a partition may have another leader */
	FAULT_STOP,       /* a process is ended politely */
	FAULT_CLOCK,      /* the wall clock jumps */
	FAULT_MARK,       /* a mark is lost, older, or not ours */
	FAULT_FILE_GONE,  /* a task's file is deleted */
	FAULT_FILE_OLD,   /* ... is one of an earlier moment */
	FAULT_FILE_OTHER, /* ... is another partition's */
	FAULT_FILE_SHORT, /* ... has lost its end */
	FAULT_FILE_BIT,   /* ... has one bit turned over */
	FAULT_DISK,       /* SQLite's calls fail: see enum disk_fault */
	FAULT_SETTING,    /* a topic's setting is changed, and put right later */
	FAULT_REBUILD,    /* an operator rebuilds a file up to the mark */
	FAULT_RESEND,     /* an operator sends a stream again, beside the workers */
	FAULT_MEMORY,     /* malloc fails from the n-th call on, in a child of ours */
	FAULT_TAIL,       /* a log loses an acknowledged tail that nobody has read */
	FAULT_TAIL_READ,  /* ... that somebody has read */
	FAULT_HEAD,       /* retention has removed records, the topic is restored later */
	FAULT_RECREATED,  /* a topic is deleted and created again alone */
	FAULT_CLASSES
};

enum sim_mark { MARK_LOST, MARK_OLDER, MARK_FOREIGN, MARK_KINDS };

enum sim_input { /* what is not well meant, or comes twice */
	         INPUT_REPEAT,
	         INPUT_CONFLICT,
	         INPUT_MALFORMED,
	         INPUT_EMPTY,
	         INPUT_UNKNOWN_TYPE,
	         INPUT_AGAINST_RULES,
	         INPUT_WRONG_KEY,
	         INPUT_WRONG_PARTITION,
	         INPUT_UNNUMBERED,
	         INPUT_STRANGER,
	         INPUT_BAD_HEADER,
	         INPUT_HOSTILE_TIME,
	         INPUT_OVERSIZED,
	         INPUT_FORGED,  /* where chains are keyed */
	         INPUT_REDRIVE, /* what says that it is a dead letter, which may be one or not */
	         INPUT_DISCARD,
	         INPUT_KINDS
};

enum sim_seen {
	SEEN_SHORT,       /* seeds in which an order was refused for want of stock */
	SEEN_SLOW_START,  /* a process came up when others were at work */
	SEEN_ZOMBIE,      /* a process woke and somebody else had its partition */
	SEEN_TWO_OWNERS,  /* two processes began to have the same partition open */
	SEEN_REVOKED,     /* a process was given other partitions */
	SEEN_PRODUCERS,   /* a producer was dropped, and all that depended on it rolled back */
	SEEN_CAUGHT_UP,   /* outputs were recomputed and not sent */
	SEEN_RACED,       /* a resend went on while the workers did */
	SEEN_MEMORY_ENDS, /* a process without memory said so and ended */
	SEEN_MEMORY_GOES, /* ... went on to the end of its step */
	SEEN_REBUILT,     /* a state hash compared: live and rebuilt */
	SEEN_VERIFIED,
	SEEN_AUDITED,
	SEEN_HELD,   /* seeds in which keys were held at the end */
	SEEN_LET_GO, /* ... and all of them let go by redrives and discards */
	SEEN_PROBED, /* a badly written service folded to the end: see probe.c */
	SEEN_KINDS
};

enum sim_trial { /* see trial.h */
	         TRIAL_PARTITIONS,
	         TRIAL_TRUNCATED,
	         TRIAL_FORKED,
	         TRIAL_TWIN,
	         TRIAL_MARK_RECORD,
	         TRIAL_MARK_DIFFERS,
	         TRIAL_MARK_KEPT,
	         TRIAL_RETENTION,
	         TRIAL_FOREIGN_LOG,
	         TRIAL_DESTINATION,
	         TRIAL_FILE,
	         TRIAL_FILE_SHORT,
	         TRIAL_SETTING,
	         TRIAL_KINDS
};

#define TALLY_CODES_MAX 48

struct tally {
	int64_t fired[FAULT_CLASSES];
	int64_t disk[DISK_FAULTS][2];        /* calls of SQLite's that failed: once, and for ever */
	int64_t crashed_after[WORKER_STEPS]; /* the step after which a process was killed */
	int64_t marks[MARK_KINDS];
	int64_t inputs[INPUT_KINDS];
	int64_t verdicts[TASK_VERDICTS];
	int64_t seen[SEEN_KINDS];
	int64_t trials[TRIAL_KINDS];
	struct {
		char code[24];
		int64_t count;
	} halts[TALLY_CODES_MAX]; /* by reason */
	int64_t held_max;         /* bytes that a process at rest gave back when it was closed */
	int64_t rounds_max;       /* until a world was at rest */
};

extern const char *const tally_classes[FAULT_CLASSES];

void tally_halt(struct tally *tally, const char *code);
void tally_add(struct tally *total, const struct tally *one);
void tally_print(const struct tally *tally);

#endif
