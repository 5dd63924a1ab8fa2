/* The commit protocol, one step at a time.
 *
 *   RUN     an event from the log: fold it, hand its outputs over one by one, look for acknowledgements now and then
 *   ACKS    the commit interval is over: reading is held until the producer has nothing unacknowledged
 *   COMMIT  COMMIT of one task a step; one that fails is opened anew, the others stand
 *   RUN     the group commit of those is started first; folding goes on while it is under way
 *
 * A failed acknowledgement, a refused mark, a revoked partition, a possible change of history: every open batch is dropped
 * with its producer and the files say where to go on (worker_roll_back). There is no other way back, so there is one to test.
 *
 * Here is the step and its order. What a step does is in worker_open.c (a task's file against its log), worker_slots.c (tasks
 * made, put aside, rolled back), worker_events.c (what the log says), worker_outputs.c (the producer), worker_commit.c, and
 * catch_up.c (tasks behind their mark). */
#include "worker_impl.h"

#include "catch_up.h"

#define COMMIT_INTERVAL_MS 200
#define COMMIT_RECORDS     100000
#define ACKS_EVERY         64 /* records folded between two looks for acknowledgements */
#define STOP_MS            30000
#define CATCH_UP_LOOK_US   10000 /* between two looks at those that catch up elsewhere */

static const char *const step_names[WORKER_STEPS] = {
	"idle", "polled",    "opened", "assigned",    "checked", "folded",     "sent", "acked",
	"held", "committed", "marked", "rolled_back", "halted",  "backed_off", "done",
};

const char *worker_step_name(enum worker_step step)
{
	return step_names[step];
}

int64_t worker_now_us(const struct worker *worker)
{
	return seam_monotonic_us(worker->config.seam);
}

/* ---- opening and closing ---- */

enum status worker_open(const struct worker_config *config, struct worker **out, struct err *err)
{
	struct worker *worker = mem_zalloc(1, sizeof *worker);
	worker->config = *config;
	if (!worker->config.commit_interval_ms)
		worker->config.commit_interval_ms = COMMIT_INTERVAL_MS;
	if (!worker->config.commit_records_max)
		worker->config.commit_records_max = COMMIT_RECORDS;
	worker->group = mem_format("tandem-%s", config->service->name);
	worker->folder = mem_format("%s/%s", config->data, config->service->name);
	worker->full_input = mem_strdup(log_full_name(config->log, config->service->input));
	worker->output_topics = mem_zalloc(config->service->output_count + 1, sizeof *worker->output_topics);
	const struct log_consumer_config consumer = {.topic = config->service->input,
	                                             .group = worker->group,
	                                             .partitions = config->partitions,
	                                             .partition_count = config->partition_count,
	                                             .instance_id = config->instance_id,
	                                             .session_timeout_ms = config->session_timeout_ms};
	enum status status = log_consumer_open(config->log, &consumer, &worker->consumer, err);
	if (status != OK) {
		worker_close(worker);
		return status;
	}
	*out = worker;
	return OK;
}

static void end(struct worker *worker, bool crash)
{
	if (!worker)
		return;
	worker_free_slots(worker, crash);
	log_producer_close(worker->producer);
	log_consumer_close(worker->consumer, !crash);
	worker_forget_destinations(worker);
	mem_free(worker->destinations);
	mem_free(worker->output_topics);
	mem_free(worker->group);
	mem_free(worker->folder);
	mem_free(worker->full_input);
	arena_fini(&worker->scratch);
	mem_free(worker);
}

void worker_close(struct worker *worker)
{
	end(worker, false);
}

void worker_drop(struct worker *worker)
{
	end(worker, true);
}

void worker_stop(struct worker *worker)
{
	if (worker->stopping)
		return;
	worker->stopping = true;
	log_consumer_hold(worker->consumer, true);
	worker->stop_at_us = worker_now_us(worker) + STOP_MS * 1000LL;
}

enum worker_step worker_finish(struct worker *worker, enum status result, const struct err *why)
{
	worker->done = true;
	worker->result = result;
	if (why)
		worker->why = *why;
	return WORKER_DONE;
}

enum status worker_result(const struct worker *worker, struct err *err)
{
	if (err)
		*err = worker->why;
	return worker->result;
}

/* ---- the end ---- */

/* until_end: everything that was there is folded, committed and marked, or cannot be. */
static bool slot_ended(const struct slot *slot)
{
	struct task_position position;
	if (slot->state == SLOT_HALTED)
		return true;
	if (slot->state != SLOT_OPEN || !slot->end_seen || slot->expect_last || task_is_open(slot->task))
		return slot->state == SLOT_WAITING && slot->attempts > ATTEMPTS_BEFORE_HALT;
	task_position(slot->task, &position);
	return position.next_offset == slot->marked_next || position.next_offset == 0;
}

static bool ended(const struct worker *worker)
{
	if (!worker->joined || worker->marking || worker->mark_due || worker->phase != PHASE_RUN ||
	    worker->assign_due || worker->sending)
		return false;
	for (size_t i = 0; i < worker->slot_count; i++)
		if (!slot_ended(&worker->slots[i]))
			return false;
	return true;
}

static enum worker_step ending(struct worker *worker)
{
	for (size_t i = 0; i < worker->slot_count && !worker->stopping; i++)
		if (worker->slots[i].state != SLOT_OPEN)
			return worker_finish(worker, RETRY, &worker->slots[i].why);
	return worker_finish(worker, OK, NULL);
}

static bool may_stop(const struct worker *worker)
{
	return !worker->marking && !worker_anything_open(worker);
}

/* The worker of one task that catches up: nothing more is to be done by it. */
static bool is_at_mark(const struct worker *worker)
{
	const struct slot *slot = worker->slots;
	return worker->to_mark && slot->state == SLOT_OPEN && !slot->catching_up && !task_is_open(slot->task);
}

/* ---- the step ---- */

static void settings_again(struct worker *worker)
{
	if (!worker->settings_at_us || worker->batch_at_us || worker->marking ||
	    worker_now_us(worker) - worker->settings_at_us < SETTINGS_CHECK_INTERVAL_US)
		return;
	/* All that is checked at opening is checked again; nothing is open, so nothing is lost. */
	worker->settings_at_us = 0;
	worker->rollback_due = true;
}

static enum worker_step run_phase(struct worker *worker)
{
	enum worker_step step;
	if (worker->polled_acks >= ACKS_EVERY && worker_take_acks(worker))
		return WORKER_ACKED;
	if (worker->sending) { /* before a commit is thought of: all outputs of a record belong to one batch */
		step = worker_send_one(worker);
		return step == WORKER_IDLE && worker_take_acks(worker) ? WORKER_ACKED : step;
	}
	if (worker_commit_is_due(worker))
		return worker_begin_commit(worker);
	if (is_at_mark(worker))
		return worker_finish(worker, OK, NULL);
	if (worker_start_mark(worker, &step))
		return step;
	if (worker->stopping && catch_up_stop(worker, &step))
		return step;
	if (worker->stopping)
		return may_stop(worker) ? ending(worker) : worker_take_event(worker);
	settings_again(worker);
	if (worker->poll_due) {
		worker->poll_due = false;
		step = worker_take_event(worker);
		if (step != WORKER_IDLE)
			return step;
	}
	if (worker_open_next(worker, &step))
		return step;
	if (worker->assign_due)
		return worker_assign(worker);
	if (worker->config.until_end && ended(worker))
		return ending(worker);
	if (catch_up_step(worker, &step))
		return step;
	step = worker_take_event(worker);
	if (step == WORKER_IDLE) {
		worker->caught_up = true;
		worker_send_now(worker);
	}
	return step == WORKER_IDLE && worker_take_acks(worker) ? WORKER_ACKED : step;
}

enum worker_step worker_step(struct worker *worker)
{
	if (worker->done)
		return WORKER_DONE;
	if (worker->rollback_due)
		return worker_roll_back(worker);
	if (worker->stopping && worker_now_us(worker) > worker->stop_at_us) {
		struct err err = {0};
		err_set(&err, FATAL, "timeout",
		        "the open batch could not be committed within %d s: the log does not acknowledge; look at its side."
		        " Nothing is lost: start again, and the batch is folded again",
		        STOP_MS / 1000);
		return worker_finish(worker, FATAL, &err);
	}
	return worker->phase == PHASE_RUN ? run_phase(worker) : worker_go_on_committing(worker);
}

void worker_wait(struct worker *worker, int ms)
{
	int64_t now = worker_now_us(worker), at = now + ms * 1000LL;
	/* A commit under way waits for acknowledgements; the log wakes us for them. */
	if (worker->phase == PHASE_RUN && worker->batch_at_us && worker_commit_at_us(worker) < at)
		at = worker_commit_at_us(worker);
	for (size_t i = 0; i < worker->slot_count; i++) {
		const struct slot *slot = &worker->slots[i];
		if ((slot->state == SLOT_WAITING || slot->state == SLOT_HALTED) && slot->retry_at_us < at)
			at = slot->retry_at_us;
	}
	if (catch_up_at_work(worker) && at > now + CATCH_UP_LOOK_US)
		at = now + CATCH_UP_LOOK_US;
	logging_poll(worker->config.logging);
	if (at > now)
		log_wait(worker->config.log, (int)((at - now + 999) / 1000));
}

/* ---- what it is doing ---- */

bool worker_joined(const struct worker *worker)
{
	return worker->joined;
}

bool worker_stopping(const struct worker *worker)
{
	return worker->stopping;
}

const char *worker_topic(const struct worker *worker)
{
	return worker->full_input;
}

size_t worker_task_count(const struct worker *worker)
{
	return worker->slot_count;
}

void worker_show(struct worker *worker, enum lock_state state)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].lock)
			lock_set(worker->slots[i].lock, state);
}

void worker_show_folding(struct worker *worker, struct slot *slot)
{
	bool sending = worker->producer && log_producer_pending(worker->producer) > 0;
	lock_set(slot->lock, sending ? LOCK_SENDING : LOCK_FOLDING);
}

static enum lock_state slot_shows(const struct worker *worker, const struct slot *slot)
{
	if (slot->state == SLOT_HALTED || slot->state == SLOT_WAITING)
		return LOCK_HALTED;
	if (slot->state == SLOT_CLOSED)
		return LOCK_OPENING;
	if (worker->phase == PHASE_ACKS)
		return LOCK_ACKS;
	if (worker->phase == PHASE_COMMIT)
		return LOCK_COMMIT;
	if (!task_is_open(slot->task))
		return worker->marking ? LOCK_MARKING : LOCK_READY;
	return worker->producer && log_producer_pending(worker->producer) ? LOCK_SENDING : LOCK_FOLDING;
}

void worker_task(const struct worker *worker, size_t index, struct worker_task *out)
{
	const struct slot *slot = &worker->slots[index];
	if (slot->catch_up) {
		catch_up_task(slot, out);
		return;
	}
	*out = (struct worker_task){
		.partition = slot->partition,
		.state = slot_shows(worker, slot),
		.task = slot->task,
		.catching_up = slot->catching_up,
		.suppressed = slot->suppressed,
		.unacknowledged = worker->producer ? log_producer_pending(worker->producer) : 0,
		.why = slot->state == SLOT_HALTED || slot->state == SLOT_WAITING ? &slot->why : NULL,
		.halted = slot->state == SLOT_HALTED,
		.stopped_next = slot->stopped_next,
		.target_next = slot->target.next_offset,
		.last_ms = slot->last_ms,
		.db = slot->db,
	};
}

void worker_counts(const struct worker *worker, struct worker_counts *out)
{
	*out = worker->counts;
	catch_up_counts(worker, out);
}
