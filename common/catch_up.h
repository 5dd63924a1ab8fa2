/* catch_up: tasks behind their mark, whose file is old or lost, folded up to it side by side.
 *
 * Each has a worker of its own, with this one task: it folds, refuses and commits as every worker does, sends nothing, since
 * what is before the mark was sent, and ends at the mark. Where there are threads it has one, and a connection to the log, so
 * that the worker that owns the partitions goes on: it polls, answers, folds and sends for its other tasks. Without threads
 * its owner steps it, one step at a time between its own. Either way a task is touched by one thread at a time: it goes over
 * to the other worker, and comes back when that has ended.
 *
 * Not more are at work than there are threads; the others wait for their turn, and who waits for the log gives way to them.
 * What is the worker's: worker.c calls all of this, in its thread. Whoever closes a slot (revoked, rolled back, ended) ends
 * its thread first, between two steps, none of which waits for more than a bounded question to the log. */
#ifndef TANDEM_CATCH_UP_H
#define TANDEM_CATCH_UP_H

#include "worker_impl.h"

/* Does something for those that catch up. False: there is nothing to do now. */
bool catch_up_step(struct worker *worker, enum worker_step *step);

/* The same where the worker stops: they commit what they have folded and are given back. False: all have. */
bool catch_up_stop(struct worker *worker, enum worker_step *step);

/* Gives the slot its task back as it is, whatever is open in it; crash: without a word to the log. */
void catch_up_end(struct slot *slot, bool crash);

/* Is somebody at work? He does not wake the owner when he has ended. */
bool catch_up_at_work(const struct worker *worker);

/* What it is doing, as of a moment ago. */
void catch_up_task(const struct slot *slot, struct worker_task *out);

/* What those have counted that are at work on the owner's thread is added. */
void catch_up_counts(const struct worker *worker, struct worker_counts *out);

#endif
