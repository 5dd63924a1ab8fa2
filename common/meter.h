/* meter: what a running worker measures of itself, for /metrics. Plain counters in the worker's thread, no locks.
 *
 * The fold knows nothing of it: the worker tells it what came of each record, output, commit and failure, and time comes from
 * the worker's seam. A NULL meter measures nothing and costs a comparison, so verify, replay and the simulator run as if
 * there were none. One in METER_SAMPLE records is timed.
 *
 * End to end: from the log's time of a publisher's record to when an event for everybody (one with CloudEvents headers) with
 * the same key is handed to the producer. Keys are remembered by a hash in METER_OPEN_KEYS places; where too many are open at a
 * time, the oldest give way and are not measured. */
#ifndef TANDEM_METER_H
#define TANDEM_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "seam.h"
#include "task.h"

#define METER_SAMPLE    8
#define METER_OPEN_KEYS 65536

struct meter;

/* topic: the input's full name; copied. */
struct meter *meter_new(const struct seam *seam, const char *topic);
void meter_free(struct meter *meter); /* NULL is fine */

/* One for another thread, whose worker sends nothing; and what it has counted is added. NULL is fine. */
struct meter *meter_new_beside(const struct meter *meter);
void meter_absorb(struct meter *meter, const struct meter *beside);

/* Around task_fold: begin gives what folded takes. */
int64_t meter_begin(struct meter *meter);
void meter_folded(struct meter *meter, const struct task *task, const struct log_record *record,
                  enum task_verdict verdict, int64_t begun_us);
void meter_sent(struct meter *meter, const struct task_output *output); /* handed to the producer */
void meter_refused(struct meter *meter, const struct err *why, bool halted);

/* A commit: held, all acknowledged, COMMIT of all tasks done. The group commit behind it overlaps with folding. */
void meter_commit_held(struct meter *meter, int64_t records);
void meter_commit_acknowledged(struct meter *meter);
void meter_commit_done(struct meter *meter);
void meter_mark_begins(struct meter *meter);
void meter_mark_ends(struct meter *meter);

/* Adds its families to the page. */
void meter_metrics(const struct meter *meter, struct buf *page);

#endif
