/* rig: an installation of its own whose programs run as processes, for tests of the whole: over local:DIR, or over Kafka
 * where $KAFKA says which broker (a fresh namespace, deleted at the end).
 *
 * The program is build/tandem beside the test ($TANDEM_PROGRAM: another). Log, namespace and data reach it by environment,
 * so a command here is what a person would type. Nothing stays behind: processes end with the test, however it ends; the
 * folder and the topics go at rig_close. TANDEM_KEEP=1 keeps the folder. Every wait has a limit. What goes wrong fails the
 * test (cmocka) on the spot; rig_close belongs into its teardown. */
#ifndef TANDEM_TESTS_RIG_H
#define TANDEM_TESTS_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h"
#include "mem.h"

#define RIG_PROCESSES_MAX  16
#define RIG_PARTITIONS_MAX 16

struct rig_process {
	char name[32]; /* of its output's file in the folder: <name>.log */
	pid_t pid;     /* 0: it has ended */
	long peak_kib; /* the most memory it had, once it has ended */
	double cpu_seconds;
};

struct rig_result {
	int exit_status;       /* minus the signal where one ended it */
	const char *out, *err; /* what it wrote; live until rig_close */
	double seconds;
};

struct rig {
	bool on_kafka;
	char folder[64], program[4096];
	const char *url, *name_space, *data;
	int32_t orders, inventory; /* partitions */
	uint64_t seed, random;
	bool keep_topics; /* rig_close leaves them: the broker is the test's own */
	bool passed;      /* set by the test at its end: else its processes' last words are shown */
	struct log *log;  /* for looking */
	struct arena arena;
	struct rig_process processes[RIG_PROCESSES_MAX];
	int command_count;
	struct witness *witness; /* witness.h; closed with the rig */
	const char *wrap;        /* words put before the program while set, such as strace's; NULL: none */
};

/* True where the tests go over Kafka. */
bool rig_wants_kafka(void);

/* The folder and the log, no topics yet. Seed: $TANDEM_TEST_SEED, else random; it is printed. */
void rig_open(struct rig *rig);
/* From here on another namespace, with data of its own. Over Kafka; the topics of the old one are left behind. */
void rig_move(struct rig *rig, const char *name_space);
/* The same as rig_open, and the topics with so many partitions. */
void rig_open_topics(struct rig *rig, int32_t orders, int32_t inventory);
void rig_close(struct rig *rig);
/* The same, as a teardown: cmocka_unit_test_prestate_setup_teardown(test, setup, rig_teardown, &rig). */
int rig_teardown(void **state);

uint64_t rig_random(struct rig *rig, uint64_t below);

/* ---- commands: words with single spaces between, without "tandem" ---- */

/* Runs it to its end, at most this long. */
void rig_run(struct rig *rig, struct rig_result *result, int seconds_max, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same with this on stdin. */
void rig_run_with(struct rig *rig, struct rig_result *result, int seconds_max, const char *input, const char *format,
                  ...) __attribute__((format(printf, 5, 6)));
/* Must end with 0. Returns its stdout. */
const char *rig_ok(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* So many units of each SKU are published, and folded by the inventory worker. */
#define RIG_SKUS 40 /* that witness_orders chooses from */
void rig_receive(struct rig *rig, int skus, int stock);

/* Starts it. The process lives until rig_end. Output is appended to <name>.log. */
struct rig_process *rig_start(struct rig *rig, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Has it ended by itself? Then *exit_status says how. */
bool rig_has_ended(struct rig_process *process, int *exit_status);
/* Sends the signal (0: none; SIGTERM: as soon as it hears it) and waits for the end, at most this long. Returns the exit status, or minus the signal. */
int rig_end(struct rig *rig, struct rig_process *process, int signal, int seconds_max);
/* Everything the process wrote so far. */
const char *rig_words(struct rig *rig, const struct rig_process *process);

/* ---- waiting ---- */

/* Looks again and again until met is true; fails the test after this long, saying for what it waited. */
void rig_until(struct rig *rig, int seconds_max, const char *what, bool (*met)(struct rig *rig, void *arg), void *arg);

/* ---- what the installation says of itself ---- */

int32_t rig_partitions(const struct rig *rig, const char *service);

/* verify of every partition must say "same". hashes: the state's, by partition; may be NULL. data NULL: the rig's. */
void rig_verify(struct rig *rig, const char *service, const char *data, uint64_t hashes[RIG_PARTITIONS_MAX]);
/* Of order, inventory and revenue; and audit. Everything must be drained. */
void rig_verify_all(struct rig *rig);
/* Until both workers have folded all there is and every stream has arrived (audit --wait). */
void rig_drain(struct rig *rig, int seconds_max);

/* A hash over all rows of the service's own tables (not the positions), over all partitions. */
uint64_t rig_tables_hash(struct rig *rig, const char *service);

/* One integer by SQL from the file of a partition. */
int64_t rig_number(struct rig *rig, const char *service, int32_t partition, const char *sql);
/* Summed over the partitions. */
int64_t rig_sum(struct rig *rig, const char *service, const char *sql);

#endif
