/* The tasks of the partitions a worker owns: made, opened one by one, put aside with a back-off when they cannot go on, rolled
 * back together, and where each of them reads from. */
#include "worker_impl.h"

#include "halt.h"
#include "meter.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS   60000

/* ---- one of them ---- */

struct slot *worker_find_slot(struct worker *worker, int32_t partition)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].partition == partition)
			return &worker->slots[i];
	return NULL;
}

void worker_say_problem(struct worker *worker, const struct slot *slot, const char *msg, enum logging_level level,
                        const struct err *why)
{
	logging_write(worker->config.logging, level, msg, LOGGING_TEXT("topic", worker->full_input),
	              LOGGING_INT("partition", slot->partition), LOGGING_TEXT("reason", why->code),
	              LOGGING_TEXT("detail", why->text));
}

void worker_new_batch(struct worker *worker)
{
	worker->batch_at_us = 0;
	worker->batch_records = 0;
	worker->caught_up = false;
}

bool worker_anything_open(const struct worker *worker)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].task && task_is_open(worker->slots[i].task))
			return true;
	return false;
}

static int64_t backoff_us(const struct slot *slot)
{
	int64_t ms = BACKOFF_FIRST_MS;
	for (int i = 1; i < slot->attempts && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS) * 1000;
}

enum worker_step worker_set_aside(struct worker *worker, struct slot *slot, enum status status, const struct err *why)
{
	struct task_position position;
	if (worker->sending == slot)
		worker->sending = NULL;
	if (slot->task) {
		task_position(slot->task, &position);
		slot->stopped_next = position.next_offset;
	}
	worker_close_slot(slot, false);
	if (!worker_anything_open(worker))
		worker_new_batch(worker);
	worker->all_open = false;
	worker->assign_due = true; /* so that it is not read any more */
	slot->why = *why;
	slot->attempts++;
	slot->retry_at_us = worker_now_us(worker) + backoff_us(slot);
	bool halted = status == FATAL || (slot->attempts > ATTEMPTS_BEFORE_HALT && !err_is(why, "locked"));
	meter_refused(worker->config.meter, why, halted);
	if (!halted) {
		slot->state = SLOT_WAITING;
		worker_say_problem(
			worker, slot,
			"task cannot go on now and is tried again; if that does not help, `status` shows what to do",
			LOGGING_WARNING, why);
		return WORKER_BACKED_OFF;
	}
	if (!slot->halted_since_ms)
		slot->halted_since_ms = seam_wall_ms(worker->config.seam);
	slot->state = SLOT_HALTED;
	slot->halt_file = true;
	worker->counts.halts++;
	halt_write(slot->halt_path, why, slot->halted_since_ms);
	worker_say_problem(worker, slot, "task halted; the others go on", LOGGING_ERROR, why);
	return WORKER_HALTED;
}

void worker_runs_again(struct slot *slot)
{
	slot->stopped_next = 0;
	slot->attempts = 0;
	slot->halted_since_ms = 0;
	if (slot->halt_file)
		halt_remove(slot->halt_path);
	slot->halt_file = false;
}

/* ---- all of them ---- */

static size_t task_share(size_t tasks)
{
	size_t share = tasks ? WORKER_MEMORY_BYTES / tasks : WORKER_MEMORY_BYTES;
	if (share < TASK_FIXED_BYTES + TASK_MEMORY_BYTES_MIN)
		return TASK_MEMORY_BYTES_MIN;
	share -= TASK_FIXED_BYTES;
	return share < TASK_MEMORY_BYTES ? share : TASK_MEMORY_BYTES;
}

void worker_make_slots(struct worker *worker, const int32_t *partitions, size_t count)
{
	worker_free_slots(worker, false);
	worker_new_batch(worker);
	worker->all_open = false;
	worker->slots = mem_zalloc(count, sizeof *worker->slots);
	worker->slot_count = count;
	worker->task_bytes = task_share(count);
	for (size_t i = 0; i < count; i++) {
		struct slot *slot = &worker->slots[i];
		slot->partition = partitions[i];
		slot->db = mem_format("%s/%d.db", worker->folder, partitions[i]);
		slot->lock_path = mem_format("%s/%d.lock", worker->folder, partitions[i]);
		slot->halt_path = mem_format("%s/%d.halt", worker->folder, partitions[i]);
		slot->end = -1;
		slot->marked_next = -1;
		slot->halt_file = true; /* an earlier owner's may be there: ours to remove or to confirm */
	}
}

void worker_free_slots(struct worker *worker, bool crash)
{
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		worker_close_slot(slot, crash);
		mem_free(slot->db);
		mem_free(slot->lock_path);
		mem_free(slot->halt_path);
	}
	mem_free(worker->slots);
	worker->slots = NULL;
	worker->slot_count = 0;
	worker->sending = NULL;
}

enum worker_step worker_roll_back(struct worker *worker)
{
	worker->rollback_due = false;
	log_producer_close(worker->producer);
	worker->producer = NULL;
	worker->generation++;
	worker->sending = NULL;
	worker->waiting_us = 0;
	worker->phase = PHASE_RUN;
	worker_forget_destinations(worker);
	worker_new_batch(worker);
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		if (slot->state != SLOT_OPEN && slot->state != SLOT_CATCHING_UP)
			continue;
		worker_close_slot(slot, false);
		slot->state = SLOT_CLOSED;
	}
	worker->all_open = false;
	worker->assign_due = true;
	worker->counts.rollbacks++;
	log_consumer_hold(worker->consumer, worker->stopping);
	return WORKER_ROLLED_BACK;
}

bool worker_open_next(struct worker *worker, enum worker_step *step)
{
	if (worker->all_open)
		return false;
	int64_t now = worker_now_us(worker);
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		bool due = slot->state == SLOT_CLOSED ||
		           ((slot->state == SLOT_WAITING || slot->state == SLOT_HALTED) && slot->retry_at_us <= now);
		if (!due)
			continue;
		struct err err = {0};
		enum status status = worker_open_slot(worker, slot, &err);
		worker->opened = worker->opened || status == OK;
		/* No partition's fault: the program was set up so. */
		if (err_is(&err, "secret") && status == FATAL && !worker->opened) {
			*step = worker_finish(worker, FATAL, &err);
			return true;
		}
		*step = status == OK ? WORKER_OPENED : worker_set_aside(worker, slot, status, &err);
		worker->assign_due = true;
		/* Opening asks the log, and beside a slow one takes seconds: before the next file the membership is kept. */
		worker->poll_due = true;
		log_consumer_hold(worker->consumer, true);
		return true;
	}
	return false;
}

enum worker_step worker_assign(struct worker *worker)
{
	struct log_position *positions = mem_zalloc(worker->slot_count, sizeof *positions);
	worker->all_open = true;
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		worker->all_open = worker->all_open && slot->state == SLOT_OPEN;
		struct task_position position = {.last_offset = -1};
		if (slot->task)
			task_position(slot->task, &position);
		slot->expect_last = position.last_offset >= 0;
		slot->end_seen = false;
		positions[i] = (struct log_position){.partition = slot->partition,
		                                     .offset = slot->expect_last ? position.last_offset : 0,
		                                     .paused = slot->state != SLOT_OPEN};
	}
	struct err err = {0};
	enum status status = log_consumer_assign(worker->consumer, positions, worker->slot_count, &err);
	mem_free(positions);
	worker->assign_due = status == RETRY;
	if (status == FATAL)
		return worker_finish(worker, FATAL, &err);
	if (status == OK)
		log_consumer_hold(worker->consumer, worker->stopping);
	return status == OK ? WORKER_ASSIGNED : WORKER_IDLE; /* tried again at the next step */
}
