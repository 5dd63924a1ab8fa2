/* The end of a batch: when it is due, the acknowledgements that are waited for, COMMIT of one task a step, then the group
 * commit with the marks. */
#include "worker_impl.h"

#include "mark.h"
#include "meter.h"

/* A batch that was never at an end of the log lasts longer: a page of a file is written once for more rows. So does one whose
 * COMMIT will take long, be it at the end: so many times as long as that. */
#define BEHIND_INTERVALS 5
#define COMMIT_SHARE     4
#define TELLING_RECORDS  1000 /* a batch of so many tells what COMMIT takes a record */

static bool all_read(const struct worker *worker)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].state == SLOT_OPEN && !worker->slots[i].end_seen)
			return false;
	return true;
}

int64_t worker_commit_at_us(const struct worker *worker)
{
	int64_t least_us = worker->config.commit_interval_ms * 1000, most_us = least_us * BEHIND_INTERVALS;
	int64_t commit_us = worker->batch_records * worker->record_commit_ns / 1000;
	int64_t lasts_us = worker->caught_up ? commit_us * COMMIT_SHARE : most_us;
	return worker->batch_at_us + (lasts_us < least_us ? least_us : lasts_us > most_us ? most_us : lasts_us);
}

bool worker_commit_is_due(struct worker *worker)
{
	if (!worker->batch_at_us || !worker_anything_open(worker))
		return false;
	if (worker->stopping || worker->batch_records >= worker->config.commit_records_max)
		return true;
	if (worker->to_mark && !worker->slots->catching_up)
		return true;
	if (worker->config.until_end && all_read(worker))
		return true;
	return worker_now_us(worker) >= worker_commit_at_us(worker);
}

enum worker_step worker_begin_commit(struct worker *worker)
{
	worker->phase = PHASE_ACKS;
	meter_commit_held(worker->config.meter, worker->batch_records);
	log_consumer_hold(worker->consumer, true);
	if (worker->producer)
		log_producer_flush(worker->producer);
	worker_show(worker, LOCK_ACKS);
	return WORKER_HELD;
}

/* A commit short of what stopped it is no success: back-off must grow. */
static bool got_past(const struct slot *slot)
{
	struct task_position position;
	task_position(slot->task, &position);
	return !slot->catching_up && position.next_offset >= slot->stopped_next;
}

static enum worker_step commit_one(struct worker *worker)
{
	while (worker->commit_at < worker->slot_count) {
		struct slot *slot = &worker->slots[worker->commit_at++];
		if (slot->state != SLOT_OPEN || !task_is_open(slot->task))
			continue;
		lock_set(slot->lock, LOCK_COMMIT);
		struct err err = {0};
		enum status status = task_commit(slot->task, &err);
		if (status != OK)
			return worker_set_aside(worker, slot, status, &err);
		worker->counts.commits++;
		if (got_past(slot))
			worker_runs_again(slot);
		return WORKER_COMMITTED;
	}
	worker->phase = PHASE_RUN;
	if (worker->batch_records >= TELLING_RECORDS)
		worker->record_commit_ns =
			(worker_now_us(worker) - worker->commit_began_us) * 1000 / worker->batch_records;
	worker->mark_due = true;
	meter_commit_done(worker->config.meter);
	worker_new_batch(worker);
	log_consumer_hold(worker->consumer, worker->stopping);
	return WORKER_COMMITTED;
}

/* ---- marks ---- */

/* What a file has committed is acknowledged, whoever committed it; but the log must be known to be the file's. (No batch is
 * open where marks are collected. It is asked again, since a mark above what is committed loses outputs without a word.) */
static bool mark_is_due(const struct slot *slot, struct task_position *position)
{
	if (slot->state != SLOT_OPEN || slot->catching_up || slot->expect_last || task_is_open(slot->task))
		return false;
	task_position(slot->task, position);
	return position->next_offset > 0 && position->next_offset != slot->marked_next;
}

static size_t collect_marks(struct worker *worker, struct log_mark *marks)
{
	size_t count = 0;
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		struct task_position position;
		if (!mark_is_due(slot, &position))
			continue;
		struct log_mark *mark = &marks[count++];
		*mark = (struct log_mark){.partition = slot->partition, .offset = position.next_offset};
		mark_write(&position, task_seal(slot->task), worker->config.service->name, slot->partition,
		           mark->metadata);
		slot->marked_next = position.next_offset;
		lock_set(slot->lock, LOCK_MARKING);
	}
	return count;
}

enum worker_step worker_take_marked(struct worker *worker, const struct log_event *event)
{
	struct err err = event->err;
	enum status status = event->status;
	if (!worker->marking)
		return WORKER_POLLED; /* of an assignment that is gone */
	worker->marking = false;
	meter_mark_ends(worker->config.meter);
	if (status == OK) {
		if (!worker_anything_open(worker))
			worker_show(worker, LOCK_READY);
		return WORKER_POLLED;
	}
	if (err_is(&err, "group_busy"))
		err_set(&err, FATAL, "group_busy",
		        "group %s has members, and this worker was given its partitions; stop the group's workers, or run this one"
		        " without --partitions",
		        worker->group);
	/* Whatever it was, the partitions may be somebody else's. The files stand; they are closed and looked at again. */
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		slot->marked_next = -1;
		if (slot->state == SLOT_OPEN)
			worker_set_aside(worker, slot, err_is(&err, "group_busy") ? FATAL : RETRY, &err);
	}
	worker->rollback_due = true;
	return WORKER_POLLED;
}

bool worker_start_mark(struct worker *worker, enum worker_step *step)
{
	if (worker->marking || worker->batch_at_us || !worker->mark_due)
		return false;
	struct log_mark *marks = mem_zalloc(worker->slot_count, sizeof *marks);
	struct err err = {0};
	worker->mark_due = false;
	meter_mark_begins(worker->config.meter);
	size_t count = collect_marks(worker, marks);
	enum status status = count ? log_consumer_commit(worker->consumer, marks, count, &err) : OK;
	mem_free(marks);
	*step = WORKER_MARKED;
	if (count) {
		worker->marking = true;
		worker->counts.marks++;
	} else if (!worker_anything_open(worker)) {
		worker_show(worker, LOCK_READY); /* else take_marked does */
	}
	if (status != OK) {
		struct log_event refused = {.kind = LOG_COMMITTED, .status = status, .err = err};
		*step = worker_take_marked(worker, &refused);
	}
	return count > 0;
}

enum worker_step worker_go_on_committing(struct worker *worker)
{
	switch (worker->phase) {
	case PHASE_ACKS:
		/* Polling keeps the membership alive while we wait; records are held. */
		if (worker_take_acks(worker))
			return WORKER_ACKED;
		if (!worker->producer || log_producer_pending(worker->producer) == 0) {
			worker->phase = PHASE_COMMIT;
			worker->waiting_us = 0;
			worker->commit_at = 0;
			worker->commit_began_us = worker_now_us(worker);
			meter_commit_acknowledged(worker->config.meter);
			return WORKER_ACKED;
		}
		worker_wait_for_acks(worker);
		return worker_take_event(worker);
	default:
		return commit_one(worker);
	}
}
