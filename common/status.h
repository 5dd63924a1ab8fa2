/* status: what a partition's files say of a task, read beside a running worker without disturbing it. Blocks as reading the file
 * does, and for each question to the log (log.h). One thread a log. */
#ifndef TANDEM_STATUS_H
#define TANDEM_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "halt.h"
#include "lock.h"
#include "log.h"
#include "mem.h"
#include "service.h"

#define STATUS_STANDING_MS 30000 /* a gap that is open for so long does not close by itself */

struct status_stream {
	const char *name;
	int32_t partition;
	int64_t number;
};

struct status_gap {
	const char *service; /* "" for unknown sources (partition -1), and for what is forged (-2) */
	int32_t partition;
	int64_t first_missing, highest, first_offset, count;
	const char *verdict;
	bool standing;
	const char *what_to_do;
};

/* A key of a service that holds: what waits behind its first dead letter. */
struct status_held {
	const char *key; /* in quotes, safe to print */
	int64_t letter;  /* the number of that letter */
	int64_t records; /* that wait */
	const char *what_to_do;
};

#define STATUS_HELD_SHOWN 20

struct status_report {
	int32_t partition;
	bool has_file;
	int64_t next_offset, end, lag; /* end and lag -1: the log could not be asked */
	int64_t rows;                  /* of the worker's own tables */
	uint64_t input_hash, output_hash;
	int64_t applied, rejected, repeats, forged;
	int logic_version;
	bool catching_up;
	struct status_stream *inbound, *outbound;
	size_t inbound_count, outbound_count;
	struct status_gap *gaps;
	size_t gap_count;
	struct status_held *held; /* the first STATUS_HELD_SHOWN keys */
	size_t held_count;
	int64_t held_keys, held_records; /* of all keys */
	bool running;                    /* somebody holds the lock */
	pid_t pid;
	enum lock_state state;
	bool halted;
	struct halt halt;
	const char *log_error; /* NULL: the log was asked */
};

/* Everything lives in the arena. RETRY, FATAL: the file cannot be read. log may be NULL: end and lag are not known. */
enum status status_read(const struct service *service, const char *data, int32_t partition, struct log *log,
                        const struct seam *seam, struct arena *arena, struct status_report *out, struct err *err);

/* The same without rows, streams and held keys, which take the time of a look at whole tables: for who looks every second. */
enum status status_glance(const struct service *service, const char *data, int32_t partition, struct log *log,
                          const struct seam *seam, struct arena *arena, struct status_report *out, struct err *err);

/* What to do about a fork in the stream from service/source to topic/partition: no resend heals it. */
const char *status_fork_advice(struct arena *arena, const char *service, int32_t source, const char *topic,
                               int32_t partition, int64_t first_missing);

/* What the task is doing, for people: "halted", "no file", "folding", ... Static. */
const char *status_state_text(const struct status_report *report);

#endif
