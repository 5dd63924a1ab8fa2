/* sim: the real runtime and services in one process over local::memory:, virtual time and a VFS of its own, driven by one
 * seed. The same seed is the same run, byte for byte; nothing reads the machine's clock or random numbers.
 *
 * A run: a seed chooses a plan (topology, input, faults: plan.c), processes are stepped in a random order while records are
 * published and faults injected (world.c, input.c, faults.c, files.c, vfs.c), then faults stop, everything is run until
 * nothing moves (rest.c), and what came of it is judged (view.c, oracle.c, check.c). A run is right, loud or silent; what is
 * loud is given the documented way out (remedy.c) and judged again. */
#ifndef TANDEM_SIM_H
#define TANDEM_SIM_H

#include "dice.h"
#include "tally.h"
#include "vfs.h"

#include "events.h"
#include "log.h"
#include "log_memory.h"
#include "seal.h"
#include "worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PARTITIONS_MAX 4 /* one of them is added while everybody runs */
#define SIM_PROCESSES_MAX  6 /* of both services */
#define SIM_SNAPSHOTS_MAX  12
#define SIM_TRACE_LINES    60
#define LATE_MAX_US        200000 /* a late record is written by then */

enum sim_service { SIM_ORDER, SIM_INVENTORY, SIM_SERVICES };
enum sim_topic {
	SIM_ORDERS,
	SIM_ORDERS_DLQ,
	SIM_INVENTORIES,
	SIM_INVENTORIES_DLQ,
	SIM_EVENTS,
	SIM_EVENTS_DLQ,
	SIM_TOPICS
};

/* ---- what the seed chose ---- */

struct plan {
	int32_t partitions[SIM_SERVICES];
	int processes[SIM_SERVICES];
	bool shared_folder; /* processes of a service share their files */
	bool fixed;         /* partitions are given, no group */
	bool named;         /* static members */
	bool reverse, full_sync;
	size_t held_bytes; /* of rows a task */
	int64_t commit_interval_ms, commit_records_max;
	int session_timeout_ms;
	int orders, skus, lines_max;
	bool covered;        /* stock covers all orders, and is there before them */
	bool oversized;      /* one record over every limit */
	int faults_max;      /* turns at which one is injected */
	int fault_every;     /* turns between two, on average */
	int net_in_thousand; /* records whose writing goes wrong */
	bool told;           /* the log says at once that a partition has another leader, where it loses a tail */
	bool may[FAULT_CLASSES];
	bool keyed; /* chains are, and somebody forges records: forge.c */
	bool aimed; /* crashes come after a step of a kind that is drawn, so that seldom ones are not seldom there */
	bool holds[SIM_SERVICES]; /* the service holds the keys of what it rejects: letters.c */
};

struct options {
	bool trace;              /* print every line as it happens */
	const uint8_t *left_out; /* by index of a fault: not injected (shrinking); NULL: all are */
	size_t left_out_count;
	const char *folder; /* for files */
};

/* ---- the world ---- */

struct snapshot { /* of one task's file */
	int folder, service;
	int32_t partition;
	void *db, *wal;
	size_t db_len, wal_len;
};

struct process {
	int service;
	int folder;            /* which of the service's folders is its own */
	struct worker *worker; /* NULL: it is down */
	struct log *log;
	struct disk disk;
	int64_t up_at_us;    /* when it is started again; -1: never by itself */
	int64_t awake_at_us; /* it stands still until then */
	int32_t partitions[SIM_PARTITIONS_MAX];
	size_t partition_count;
	char name[24];
	enum worker_step last;               /* what it did last */
	enum worker_step dies_after;         /* the next step of this kind; WORKER_IDLE: it does not */
	bool paused;                         /* and has not woken yet */
	bool has[SIM_PARTITIONS_MAX];        /* a task is open */
	const char *why[SIM_PARTITIONS_MAX]; /* it is not, and why; NULL: it is, or nobody knows yet */
};

struct item { /* a record that a publisher writes until it is acknowledged */
	int topic;
	struct log_record record;
	int kind; /* enum sim_input; -1: well meant */
	bool receipt, done, in_flight;
};

struct marked { /* a mark that a worker committed, and where the topics ended then */
	int service;
	int32_t partition;
	int64_t offset;
	int64_t ends[SIM_TOPICS][SIM_PARTITIONS_MAX];
};

struct world {
	uint64_t seed;
	const struct options *options;
	struct plan plan;
	struct dice schedule, input, faults, net;
	struct seam seam;
	int64_t now_us, wall_skew_ms;
	struct dice numbers; /* the seam's */
	struct log_memory *memory;
	struct log *log; /* the publishers' and the checks' */
	struct log_producer *producer;
	int producer_topics[SIM_TOPICS];
	struct arena arena;
	struct genesis_topic topics[SIM_TOPICS];
	uint8_t installation[16];
	struct seal seal; /* of the installation */
	struct dice forger, letters;
	int letters_answered;
	int64_t held_places; /* open letters that hold a key, and records that wait, as the last check found them */
	struct log_producer *forging; /* where chains are keyed */
	char folder[200];
	struct process processes[SIM_PROCESSES_MAX];
	int process_count;
	struct process *acting; /* whose step it is; NULL: a publisher, or a check */

	struct item *items;
	size_t item_count, item_next, items_in_flight;

	bool faults_on;
	int fault_turns;    /* injected so far */
	size_t fault_index; /* offered so far */
	struct tally tally;
	struct snapshot snapshots[SIM_SNAPSHOTS_MAX];
	int snapshot_count;
	bool setting_wrong;
	int64_t hidden_from[SIM_TOPICS][SIM_PARTITIONS_MAX]; /* offsets from here on are not delivered; 0: all are */
	const char
		*halted[SIM_SERVICES][SIM_PARTITIONS_MAX]; /* why a task was set aside last, since a trial has begun */
	/* A bit of its file was turned over: before anybody saw it, it may have sent a number again with other bytes. */
	bool flipped[SIM_SERVICES][SIM_PARTITIONS_MAX];
	int64_t read_to[SIM_TOPICS][SIM_PARTITIONS_MAX]; /* offsets below were delivered to somebody */
	int64_t hidden_until_us[SIM_TOPICS][SIM_PARTITIONS_MAX];
	struct log_mark old_marks[SIM_SERVICES][SIM_PARTITIONS_MAX][4];
	int old_mark_count[SIM_SERVICES][SIM_PARTITIONS_MAX];
	struct log_record *head[SIM_TOPICS][SIM_PARTITIONS_MAX]; /* what retention took away */
	size_t head_count[SIM_TOPICS][SIM_PARTITIONS_MAX];
	struct lost *lost[SIM_TOPICS][SIM_PARTITIONS_MAX]; /* with a tail */
	bool recreated, published_again;
	int resend_race; /* steps of the others between two records of a resend */

	struct marked *marks;
	size_t mark_count, mark_room;
	struct log_mark last_mark[SIM_SERVICES][SIM_PARTITIONS_MAX];

	int64_t steps, published;
	uint64_t trace_hash;
	char trace[SIM_TRACE_LINES][160];
	size_t trace_count;
	char failure[1200];
};

/* world.c */
void world_open(struct world *world, uint64_t seed, const struct options *options);
void world_close(struct world *world);
void world_topics(struct world *world); /* creates the installation's topics, under a new id */
struct log *world_log(struct world *world);
const char *world_path(struct world *world, int service, int folder); /* of the data folder; in the arena */
char *world_file(struct world *world, int service, int folder, int32_t partition, const char *ending);
enum status world_topic_delete(struct world *world, int topic, struct err *err);
void world_topic_again(struct world *world, int topic, bool same_installation);
int64_t world_end(struct world *world, int topic, int32_t partition); /* the log's high watermark */
void world_start(struct world *world, struct process *process);
void world_drop(struct world *world, struct process *process); /* as a crash does */
void world_close_process(struct world *world, struct process *process);
enum worker_step world_step(struct world *world, struct process *process);

/* services.c */
void services_choose(const struct plan *plan);
const struct service *world_service(int service);

/* watch.c: what a step has changed, for the tally and the checks */
void watch_step(struct world *world, struct process *process, enum worker_step step);
void watch_start(struct world *world, struct process *process);
void watch_end(struct world *world, struct process *process, bool killed); /* before the worker is gone */

void world_trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3))); /* false */

extern const struct secret world_secret; /* of an installation with keyed chains */

/* forge.c */
bool forge_decide(struct world *world); /* are the chains keyed? */
void forge_step(struct world *world);   /* may write a record that is forged */

/* letters.c: dead letters that come back, and services that hold */
void letters_decide(struct world *world);                /* who holds? */
void letters_make(struct world *world, int64_t *wanted); /* what becomes letters, and guesses at them */
void letters_step(struct world *world);                  /* may answer one, by hand or with the tool */
bool letters_clear(struct world *world); /* at rest and right: all that is held is let go. False: it failed */

/* input.c */
void input_make(struct world *world);
void input_step(struct world *world); /* publishes one, takes acknowledgements */
bool input_all_done(const struct world *world);
void input_again(struct world *world); /* everything is published once more */

/* faults.c */
void plan_make(struct plan *plan, uint64_t seed);
void faults_install(struct world *world);
void faults_turn(struct world *world); /* may inject one */
void faults_stop(struct world *world); /* heals what does not heal by itself */
bool fault_hits(struct world *world, struct process *process, enum worker_step step); /* after a step: it is down */
bool fault_due(struct world *world, enum sim_class class);                            /* false where it is left out */
struct process *fault_any_up(struct world *world, struct dice *dice); /* NULL: the one that was drawn is down */

/* memory.c */
bool memory_runs_out(struct world *world, struct dice *dice);
bool sim_may_be_loud(const struct plan *plan);

/* files.c */
void files_snapshot(struct world *world, struct dice *dice);
bool files_restore(struct world *world, struct dice *dice, bool other);
bool files_delete(struct world *world, int service, int folder, int32_t partition); /* false: it was not there */
bool files_cut_one(struct world *world, struct dice *dice, int service, int folder, int32_t partition,
                   const char *ending);
bool files_cut(struct world *world, struct dice *dice, const char *ending);
bool files_there(struct world *world, int service, int folder, int32_t partition);
void files_copy(struct world *world, int service, int folder, int32_t partition, int to_service, int to_folder,
                int32_t to_partition);
void files_are_synced(struct world *world, int service, int folder);
bool files_flip(struct world *world, struct dice *dice);
void files_free(struct world *world);

/* loss.c: the log's own faults */
bool loss_tail(struct world *world, struct dice *dice, bool unread);
/* Was a record that a tail has taken along written again, at its offset? Whoever has folded that one last finds it there. */
bool loss_came_again(struct world *world);
bool loss_head(struct world *world, struct dice *dice);
void loss_restore_head(struct world *world);
bool loss_recreate(struct world *world, struct dice *dice);

size_t loss_read(struct world *world, int topic, int32_t partition,
                 struct log_record **out); /* all that stands there */

/* trial.c: on a world at rest that is right, one thing goes wrong that the design answers with a refusal. Every task that it
 * concerns must refuse with that reason and no other, and the documented way out must lead back to right. */
void trial_run(struct world *world);

/* probe.c: a badly written service, folded while SQLite's calls fail. */
void probe_run(struct world *world);

/* rest.c: false: it does not come to rest */
bool rest_reach(struct world *world);
bool rest_anything_halted(const struct world *world); /* a task is set aside, and not because another process has it */

/* check.c */
enum outcome { RIGHT, LOUD, WRONG };
struct verdict {
	enum outcome outcome;
	char signs[400];   /* what an operator sees; "" for nothing */
	char what[800];    /* the first thing that is not as the oracle has it; "" for none */
	bool live_differs; /* verify says so of a file that a worker has open */
};
void check_all(struct world *world, struct verdict *verdict);
void check_places(struct world *world); /* only how much is held now */

/* remedy.c. False: it was not possible. */
void remedy_delete_marks(struct world *world, int service); /* as `rebuild --delete-marks` */
void remedy_begin_anew(
	struct world *world); /* all topics together, under a new installation, everything published again */
bool remedy_rebuild(struct world *world, int service, int folder, int32_t partition);
bool remedy_resend(struct world *world, int service, int32_t partition, const char *topic, int32_t to_partition,
                   uint64_t from);

/* May anything be loud after the faults of this run? */
bool remedy_is_due(const struct world *world);

/* What an operator does after what he sees. False: there is nothing more to do. */
bool remedy_apply(struct world *world, const struct verdict *verdict);

/* To rest, and right. What is left of faults before, as a damaged file that nobody has had open, is healed on the way. False:
 * it is not, as the verdict says. */
bool remedy_recover(struct world *world, struct verdict *verdict);

/* run.c */
struct run_result {
	bool failed;
	char failure[1200];
	enum outcome first; /* before any remedy */
	int remedies;
	uint64_t trace_hash;
	int64_t steps, records;
	size_t faults_offered;
	struct tally tally;
	struct plan plan;
	char trace[SIM_TRACE_LINES][160];
	size_t trace_count;
};
void run_seed(uint64_t seed, const struct options *options, struct run_result *result);

#endif
