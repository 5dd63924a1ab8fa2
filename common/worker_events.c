/* What the log says: records, which are compared or folded; ends of partitions; assignments; failures. */
#include "worker_impl.h"

#include "hash.h"
#include "mark.h"
#include "meter.h"
#include "tracer.h"

/* ---- records ---- */

static enum worker_step check_last(struct worker *worker, struct slot *slot, const struct log_record *record)
{
	struct task_position position;
	struct err err = {0};
	task_position(slot->task, &position);
	slot->expect_last = false;
	worker->mark_due = true;
	if (record->offset == position.last_offset &&
	    hash_record(task_seal(slot->task)->key, record) == position.last_hash)
		return WORKER_CHECKED;
	err_set(&err, FATAL, "forked",
	        "%s/%d has another record at offset %lld than the one consumed at %lld: its history has changed (an unclean"
	        " election, or a restored log); restore it, or accept its history: " WORKER_FOLD_AFRESH,
	        worker->full_input, slot->partition, (long long)record->offset, (long long)position.last_offset,
	        slot->db, worker->config.service->name);
	return worker_set_aside(worker, slot, FATAL, &err);
}

static enum worker_step mark_differs(struct worker *worker, struct slot *slot)
{
	struct err err = {0};
	err_set(&err, FATAL, "mark_differs",
	        "%s/%d folded up to the mark at offset %lld gives other hashes than the mark's: the log was changed, or this"
	        " program folds differently; the file was deleted. Restore the log or run the program that folded it, or accept"
	        " this history: " WORKER_FOLD_AFRESH,
	        worker->full_input, slot->partition, (long long)slot->target.next_offset, slot->db,
	        worker->config.service->name);
	task_close(slot->task); /* the lock is held until the file is gone */
	slot->task = NULL;
	slot->stopped_next = slot->target.next_offset;
	worker_delete_file(slot); /* it holds records that were folded and not sent */
	return worker_set_aside(worker, slot, FATAL, &err);
}

/* False: the mark disagrees. */
static bool caught_up(struct worker *worker, struct slot *slot)
{
	struct task_position position;
	task_position(slot->task, &position);
	if (position.next_offset < slot->target.next_offset)
		return true;
	if (!mark_equal(&position, &slot->target))
		return false;
	task_clear_mark(slot->task);
	slot->catching_up = false;
	logging_write(worker->config.logging, LOGGING_INFO, "caught up with the mark: outputs go out again",
	              LOGGING_INT("partition", slot->partition), LOGGING_INT("suppressed", slot->suppressed));
	return true;
}

/* Whoever may write to the topic can write many: every power of two is said. */
static void say_forged(struct worker *worker, const struct slot *slot, const struct log_record *record)
{
	int64_t count = task_count(slot->task, TASK_FORGED);
	if ((count & (count - 1)) == 0)
		logging_write(
			worker->config.logging, LOGGING_WARNING,
			"a record claims to be a worker's and does not verify: it was not applied; find who writes it",
			LOGGING_TEXT("topic", worker->full_input), LOGGING_INT("partition", slot->partition),
			LOGGING_INT("offset", record->offset), LOGGING_INT("forged", count));
}

static enum worker_step fold_record(struct worker *worker, struct slot *slot, const struct log_record *record)
{
	struct err err = {0};
	enum task_verdict verdict;
	size_t count;
	tracer_begin(worker->config.tracer, record);
	int64_t begun_us = meter_begin(worker->config.meter);
	enum status status = task_fold(slot->task, record, &verdict, &err);
	if (status != OK)
		return worker_set_aside(worker, slot, status, &err);
	meter_folded(worker->config.meter, slot->task, record, verdict, begun_us);
	if (!worker->batch_at_us)
		worker->batch_at_us = worker_now_us(worker);
	worker->batch_records++;
	worker->polled_acks++;
	worker->counts.folded++;
	worker->counts.verdicts[verdict]++;
	if (verdict == TASK_FORGED)
		say_forged(worker, slot, record);
	else if (verdict != TASK_APPLIED)
		worker_say_verdict(worker, slot, record, verdict);
	slot->folded_since_open++;
	slot->last_ms = record->timestamp_ms;
	if (!slot->catching_up)
		tracer_folded(worker->config.tracer, slot->task, record, verdict);
	task_outputs(slot->task, &count);
	if (slot->catching_up) {
		slot->suppressed += (int64_t)count;
		if (!caught_up(worker, slot))
			return mark_differs(worker, slot);
	} else if (count) {
		slot->outputs_sent = 0;
		worker->sending = slot;
	}
	worker_show_folding(worker, slot);
	return WORKER_FOLDED;
}

static enum worker_step take_record(struct worker *worker, const struct log_record *record)
{
	struct slot *slot = worker_find_slot(worker, record->partition);
	if (!slot || slot->state != SLOT_OPEN)
		return WORKER_POLLED; /* set aside, and not yet unassigned */
	return slot->expect_last ? check_last(worker, slot, record) : fold_record(worker, slot, record);
}

/* Everything of the partition was delivered. */
static enum worker_step take_end(struct worker *worker, int32_t partition, int64_t offset)
{
	struct slot *slot = worker_find_slot(worker, partition);
	struct err err = {0};
	if (!slot || slot->state != SLOT_OPEN)
		return WORKER_POLLED;
	if (slot->expect_last)
		err_set(&err, FATAL, "truncated",
		        "%s/%d ends before the last record consumed: it has lost its tail (an unclean election?); restore it, or"
		        " accept the loss and publish what is missing again: " WORKER_FOLD_AFRESH,
		        worker->full_input, partition, slot->db, worker->config.service->name);
	else if (slot->catching_up)
		err_set(&err, FATAL, "mark_record",
		        "%s/%d ends at offset %lld, before the mark at %lld: the log has lost its tail; restore it, or accept its"
		        " history: " WORKER_FOLD_AFRESH,
		        worker->full_input, partition, (long long)offset, (long long)slot->target.next_offset, slot->db,
		        worker->config.service->name);
	if (err.code)
		return worker_set_aside(worker, slot, FATAL, &err);
	slot->end_seen = slot->end < 0 || offset >= slot->end;
	if (!task_is_open(slot->task))
		worker_runs_again(slot);
	return WORKER_POLLED;
}

/* ---- other events ---- */

static enum worker_step take_assignment(struct worker *worker, const struct log_event *event)
{
	worker->joined = true;
	worker->assign_due = true;
	if (worker->to_mark)
		return WORKER_POLLED; /* it has been given its task */
	worker_make_slots(worker, event->partitions, event->partition_count);
	worker->settings_at_us = 0;
	logging_write(worker->config.logging, LOGGING_INFO, "partitions assigned",
	              LOGGING_TEXT("topic", worker->full_input), LOGGING_INT("count", (int64_t)event->partition_count));
	return WORKER_POLLED;
}

/* The open batch is dropped: somebody else may fold it already. Outputs in flight are the same as theirs. */
static enum worker_step take_revocation(struct worker *worker)
{
	struct err err = {0};
	worker_roll_back(worker);
	worker_free_slots(worker, false);
	worker->joined = false;
	worker->assign_due = false;
	worker->marking = false;
	if (log_consumer_assign(worker->consumer, NULL, 0, &err) == FATAL)
		return worker_finish(worker, FATAL, &err);
	logging_write(worker->config.logging, LOGGING_INFO, "partitions revoked",
	              LOGGING_TEXT("topic", worker->full_input));
	return WORKER_ROLLED_BACK;
}

static enum worker_step take_failure(struct worker *worker, const struct log_event *event)
{
	const struct err *err = &event->err;
	logging_write(
		worker->config.logging, LOGGING_WARNING,
		"the log cannot be read and is tried again; if that does not help, look at the brokers, the network and"
		" the rights",
		LOGGING_INT("partition", event->partition), LOGGING_TEXT("reason", err->code),
		LOGGING_TEXT("detail", err->text));
	struct slot *slot = event->partition >= 0 ? worker_find_slot(worker, event->partition) : NULL;
	if (slot && slot->state == SLOT_OPEN)
		return worker_set_aside(worker, slot, event->status, err);
	if (event->partition < 0 && event->status == FATAL && !worker->joined) {
		struct err why = *err;
		if (err_is(err, "unknown_topic"))
			err_set(&why, FATAL, "unknown_topic", "topic %s does not exist; run `tandem topics create`",
			        worker->full_input);
		return worker_finish(worker, FATAL, &why);
	}
	if (event->partition < 0) { /* look at everything again */
		worker->rollback_due = worker->joined;
		worker->settings_at_us = 0;
	}
	return WORKER_POLLED;
}

enum worker_step worker_take_event(struct worker *worker)
{
	struct log_event event;
	log_consumer_poll(worker->consumer, &event);
	switch (event.kind) {
	case LOG_RECORD:
		return take_record(worker, &event.record);
	case LOG_END:
		return take_end(worker, event.partition, event.offset);
	case LOG_ASSIGNED:
		return take_assignment(worker, &event);
	case LOG_REVOKED:
		return take_revocation(worker);
	case LOG_CHECK:
		logging_write(worker->config.logging, LOGGING_INFO, "the partition may have another leader: comparing",
		              LOGGING_INT("partition", event.partition));
		worker->rollback_due = true;
		return WORKER_POLLED;
	case LOG_COMMITTED:
		return worker_take_marked(worker, &event);
	case LOG_FAILED:
		return take_failure(worker, &event);
	default:
		return WORKER_IDLE;
	}
}
