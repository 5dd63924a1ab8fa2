/* The commit protocol, one step at a time.
 *
 *   RUN     an event from the log: fold it, hand its outputs over one by one, look for acknowledgements now and then
 *   ACKS    the commit interval is over: reading is held until the producer has nothing unacknowledged
 *   COMMIT  COMMIT of one task a step; one that fails is opened anew, the others stand
 *   RUN     the group commit of those is started first; folding goes on while it is under way
 *
 * A failed acknowledgement, a refused mark, a revoked partition, a possible change of history: every open batch is dropped
 * with its producer and the files say where to go on (roll_back). There is no other way back, so there is one to test. */
#include "worker_impl.h"

#include "halt.h"
#include "hash.h"
#include "mark.h"
#include "meter.h"
#include "tracer.h"

#include <stdio.h>
#include <string.h>

#define COMMIT_INTERVAL_MS 200
#define COMMIT_RECORDS     100000
#define BEHIND_INTERVALS                                                                                               \
	5 /* a batch that was never at an end of the log: a page of a file is written once for more rows */
#define ACKS_EVERY           64 /* records folded between two looks for acknowledgements */
#define ACKS_A_STEP          1024
#define BACKOFF_FIRST_MS     250
#define BACKOFF_MAX_MS       60000
#define ATTEMPTS_BEFORE_HALT 6 /* a passing fault that does not pass is shown as a halt */
#define STOP_MS              30000
#define ACKS_PATIENCE_US     30000000
#define TOKEN_PARTITION_BITS 32

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

static void slots_free(struct worker *worker, bool crash)
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

static void end(struct worker *worker, bool crash)
{
	if (!worker)
		return;
	slots_free(worker, crash);
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

static enum worker_step finish(struct worker *worker, enum status result, const struct err *why)
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

/* ---- slots ---- */

static struct slot *find_slot(struct worker *worker, int32_t partition)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].partition == partition)
			return &worker->slots[i];
	return NULL;
}

static void say_problem(struct worker *worker, const struct slot *slot, const char *msg, enum logging_level level,
                        const struct err *why)
{
	logging_write(worker->config.logging, level, msg, LOGGING_TEXT("topic", worker->full_input),
	              LOGGING_INT("partition", slot->partition), LOGGING_TEXT("reason", why->code),
	              LOGGING_TEXT("detail", why->text));
}

static void new_batch(struct worker *worker)
{
	worker->batch_at_us = 0;
	worker->batch_records = 0;
	worker->caught_up = false;
}

static bool anything_open(const struct worker *worker)
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

/* Puts the task aside, uncommitted: what was folded since its last commit is folded again. */
static enum worker_step set_aside(struct worker *worker, struct slot *slot, enum status status, const struct err *why)
{
	struct task_position position;
	if (worker->sending == slot)
		worker->sending = NULL;
	if (slot->task) {
		task_position(slot->task, &position);
		slot->stopped_next = position.next_offset;
	}
	worker_close_slot(slot, false);
	if (!anything_open(worker))
		new_batch(worker);
	worker->all_open = false;
	worker->assign_due = true; /* so that it is not read any more */
	slot->why = *why;
	slot->attempts++;
	slot->retry_at_us = worker_now_us(worker) + backoff_us(slot);
	bool halted = status == FATAL || (slot->attempts > ATTEMPTS_BEFORE_HALT && !err_is(why, "locked"));
	meter_refused(worker->config.meter, why, halted);
	if (!halted) {
		slot->state = SLOT_WAITING;
		say_problem(worker, slot,
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
	say_problem(worker, slot, "task halted; the others go on", LOGGING_ERROR, why);
	return WORKER_HALTED;
}

/* A commit short of what stopped it is no success: back-off must grow. */
static bool got_past(const struct slot *slot)
{
	struct task_position position;
	task_position(slot->task, &position);
	return !slot->catching_up && position.next_offset >= slot->stopped_next;
}

/* It has got past what stopped it, or everything is folded and nothing uncommitted. */
static void runs_again(struct slot *slot)
{
	slot->stopped_next = 0;
	slot->attempts = 0;
	slot->halted_since_ms = 0;
	if (slot->halt_file)
		halt_remove(slot->halt_path);
	slot->halt_file = false;
}

static void make_slots(struct worker *worker, const int32_t *partitions, size_t count)
{
	slots_free(worker, false);
	new_batch(worker);
	worker->all_open = false;
	worker->slots = mem_zalloc(count, sizeof *worker->slots);
	worker->slot_count = count;
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

/* The only way back: no open batch, no producer; every task is opened again from its file. */
static enum worker_step roll_back(struct worker *worker)
{
	worker->rollback_due = false;
	log_producer_close(worker->producer);
	worker->producer = NULL;
	worker->generation++;
	worker->sending = NULL;
	worker->waiting_us = 0;
	worker->phase = PHASE_RUN;
	worker_forget_destinations(worker);
	new_batch(worker);
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		if (slot->state != SLOT_OPEN)
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

static bool open_one(struct worker *worker, enum worker_step *step)
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
		if (err_is(&err, "secret") && status == FATAL &&
		    !worker->opened) { /* no partition's fault: the program was set up so */
			*step = finish(worker, FATAL, &err);
			return true;
		}
		*step = status == OK ? WORKER_OPENED : set_aside(worker, slot, status, &err);
		worker->assign_due = true;
		/* Opening asks the log, and beside a slow one takes seconds: before the next file the membership is kept. */
		worker->poll_due = true;
		log_consumer_hold(worker->consumer, true);
		return true;
	}
	return false;
}

/* Every task reads from the last record it has folded, which must be there again; who is set aside is not read. */
static enum worker_step assign(struct worker *worker)
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
		return finish(worker, FATAL, &err);
	if (status == OK)
		log_consumer_hold(worker->consumer, worker->stopping);
	return status == OK ? WORKER_ASSIGNED : WORKER_IDLE; /* tried again at the next step */
}

/* ---- outputs and acknowledgements ---- */

static enum status open_producer(struct worker *worker, struct err *err)
{
	if (worker->producer)
		return OK;
	enum status status = log_producer_open(worker->config.log, &worker->producer, err);
	if (status != OK)
		return status;
	const struct service *service = worker->config.service;
	for (size_t i = 0; i < service->output_count; i++)
		worker->output_topics[i] = log_producer_topic(worker->producer, service->outputs[i]);
	char *dead_letters = mem_format("%s.dlq", service->input);
	worker->output_topics[service->output_count] = log_producer_topic(worker->producer, dead_letters);
	mem_free(dead_letters);
	return OK;
}

static int output_topic(const struct worker *worker, const char *topic)
{
	size_t i = 0;
	while (i < worker->config.service->output_count && strcmp(worker->config.service->outputs[i], topic) != 0)
		i++;
	return worker->output_topics[i];
}

static void show(struct worker *worker, enum lock_state state)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].lock)
			lock_set(worker->slots[i].lock, state);
}

/* What a task is doing, for the lock file: a batch is open, with or without unacknowledged outputs. */
static void show_folding(struct worker *worker, struct slot *slot)
{
	bool sending = worker->producer && log_producer_pending(worker->producer) > 0;
	lock_set(slot->lock, sending ? LOCK_SENDING : LOCK_FOLDING);
}

/* Records never expire in the producer, so one that is wedged says nothing at all: a new one sends the batch again. */
static void wait_for_acks(struct worker *worker)
{
	int64_t now = worker_now_us(worker);
	if (!worker->waiting_us)
		worker->waiting_us = now;
	if (now - worker->waiting_us < ACKS_PATIENCE_US)
		return;
	logging_write(
		worker->config.logging, LOGGING_WARNING,
		"nothing is acknowledged: a new producer sends the open batch again; if that does not help, look at the"
		" brokers (min.insync.replicas, disks)",
		LOGGING_INT("waited_s", ACKS_PATIENCE_US / 1000000),
		LOGGING_INT("unacknowledged", (int64_t)log_producer_pending(worker->producer)));
	worker->rollback_due = true;
}

/* Nothing more can be folded now: nothing is gained by waiting for more to send. Where more can, batches fill. */
static void send_now(struct worker *worker)
{
	if (worker->lingering && worker->producer)
		log_producer_flush(worker->producer);
	worker->lingering = false;
}

static enum worker_step send_one(struct worker *worker)
{
	struct slot *slot = worker->sending;
	size_t count;
	const struct task_output *outputs = task_outputs(slot->task, &count);
	if (slot->outputs_sent == count) {
		worker->sending = NULL;
		return WORKER_SENT;
	}
	const struct task_output *output = &outputs[slot->outputs_sent];
	struct err err = {0};
	enum status status = open_producer(worker, &err);
	if (status == OK)
		status = worker_check_destination(worker, slot, output->topic, output->partition, &err);
	if (status != OK)
		return set_aside(worker, slot, status, &err);
	uint64_t token = worker->generation << TOKEN_PARTITION_BITS | (uint32_t)slot->partition;
	status = log_produce(worker->producer, output_topic(worker, output->topic), &output->record, token, &err);
	if (status == RETRY && err_is(&err, "queue_full")) {
		wait_for_acks(worker);
		return WORKER_IDLE; /* acknowledgements are looked at before the next try */
	}
	if (status != OK) {
		say_problem(worker, slot,
		            "the producer took no more: the open batch is sent again; if it comes back, look at the brokers",
		            LOGGING_WARNING, &err);
		worker->rollback_due = true;
		return WORKER_SENT;
	}
	worker->counts.sent++;
	worker->lingering = true;
	tracer_sent(worker->config.tracer, slot->task, output);
	meter_sent(worker->config.meter, output);
	slot->outputs_sent++;
	if (slot->outputs_sent == count)
		worker->sending = NULL;
	show_folding(worker, slot);
	return WORKER_SENT;
}

/* What no retry cures is cured at the log: says what to do there. */
static enum worker_step refused_output(struct worker *worker, struct slot *slot, const struct err *refusal)
{
	struct err err;
	err_set(&err, FATAL, refusal->code, "an output was refused: %.400s; %s", refusal->text,
	        err_is(refusal, "too_large")        ? "raise max.message.bytes of its topic"
	        : err_is(refusal, "not_authorized") ? "grant this worker the right to write there"
	        : err_is(refusal, "unknown_topic")  ? "run `tandem topics create`"
	                                            : "look at the log's side; it is tried again by itself");
	return set_aside(worker, slot, FATAL, &err);
}

static void failed_ack(struct worker *worker, const struct log_ack *ack)
{
	worker->rollback_due = true;
	struct slot *slot = find_slot(worker, (int32_t)(ack->token & UINT32_MAX));
	if (!slot)
		return;
	if (ack->status == FATAL && slot->state == SLOT_OPEN)
		refused_output(worker, slot, &ack->err); /* all roll back, this one alone halts */
	else if (slot->state == SLOT_OPEN)
		set_aside(worker, slot, RETRY,
		          &ack->err); /* all roll back, this one alone waits: a full disk stays full */
}

static bool take_acks(struct worker *worker)
{
	struct log_ack ack;
	int taken = 0;
	worker->polled_acks = 0;
	while (worker->producer && !worker->rollback_due && taken < ACKS_A_STEP &&
	       log_producer_ack(worker->producer, &ack)) {
		taken++;
		if (ack.token >> TOKEN_PARTITION_BITS != worker->generation)
			continue; /* of a producer that is gone */
		worker->counts.acknowledged++;
		if (ack.status != OK)
			failed_ack(worker, &ack);
	}
	if (taken)
		worker->waiting_us = 0;
	return taken > 0;
}

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
	return set_aside(worker, slot, FATAL, &err);
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
	return set_aside(worker, slot, FATAL, &err);
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
		return set_aside(worker, slot, status, &err);
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
	show_folding(worker, slot);
	return WORKER_FOLDED;
}

static enum worker_step take_record(struct worker *worker, const struct log_record *record)
{
	struct slot *slot = find_slot(worker, record->partition);
	if (!slot || slot->state != SLOT_OPEN)
		return WORKER_POLLED; /* set aside, and not yet unassigned */
	return slot->expect_last ? check_last(worker, slot, record) : fold_record(worker, slot, record);
}

/* Everything of the partition was delivered. */
static enum worker_step take_end(struct worker *worker, int32_t partition, int64_t offset)
{
	struct slot *slot = find_slot(worker, partition);
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
		return set_aside(worker, slot, FATAL, &err);
	slot->end_seen = slot->end < 0 || offset >= slot->end;
	if (!task_is_open(slot->task))
		runs_again(slot);
	return WORKER_POLLED;
}

/* ---- other events ---- */

static enum worker_step take_assignment(struct worker *worker, const struct log_event *event)
{
	make_slots(worker, event->partitions, event->partition_count);
	worker->joined = true;
	worker->assign_due = true;
	worker->settings_at_us = 0;
	logging_write(worker->config.logging, LOGGING_INFO, "partitions assigned",
	              LOGGING_TEXT("topic", worker->full_input), LOGGING_INT("count", (int64_t)event->partition_count));
	return WORKER_POLLED;
}

/* The open batch is dropped: somebody else may fold it already. Outputs in flight are the same as theirs. */
static enum worker_step take_revocation(struct worker *worker)
{
	struct err err = {0};
	roll_back(worker);
	slots_free(worker, false);
	worker->joined = false;
	worker->assign_due = false;
	worker->marking = false;
	if (log_consumer_assign(worker->consumer, NULL, 0, &err) == FATAL)
		return finish(worker, FATAL, &err);
	logging_write(worker->config.logging, LOGGING_INFO, "partitions revoked",
	              LOGGING_TEXT("topic", worker->full_input));
	return WORKER_ROLLED_BACK;
}

static enum worker_step take_failure(struct worker *worker, const struct log_event *event)
{
	const struct err *err = &event->err;
	logging_write(worker->config.logging, LOGGING_WARNING,
	              "the log cannot be read and is tried again; if that does not help, look at the brokers, the network and"
	              " the rights",
	              LOGGING_INT("partition", event->partition), LOGGING_TEXT("reason", err->code),
	              LOGGING_TEXT("detail", err->text));
	struct slot *slot = event->partition >= 0 ? find_slot(worker, event->partition) : NULL;
	if (slot && slot->state == SLOT_OPEN)
		return set_aside(worker, slot, event->status, err);
	if (event->partition < 0 && event->status == FATAL && !worker->joined) {
		struct err why = *err;
		if (err_is(err, "unknown_topic"))
			err_set(&why, FATAL, "unknown_topic", "topic %s does not exist; run `tandem topics create`",
			        worker->full_input);
		return finish(worker, FATAL, &why);
	}
	if (event->partition < 0) { /* look at everything again */
		worker->rollback_due = worker->joined;
		worker->settings_at_us = 0;
	}
	return WORKER_POLLED;
}

static enum worker_step take_marked(struct worker *worker, const struct log_event *event)
{
	struct err err = event->err;
	enum status status = event->status;
	if (!worker->marking)
		return WORKER_POLLED; /* of an assignment that is gone */
	worker->marking = false;
	meter_mark_ends(worker->config.meter);
	if (status == OK) {
		if (!anything_open(worker))
			show(worker, LOCK_READY);
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
			set_aside(worker, slot, err_is(&err, "group_busy") ? FATAL : RETRY, &err);
	}
	worker->rollback_due = true;
	return WORKER_POLLED;
}

static enum worker_step take_event(struct worker *worker)
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
		return take_marked(worker, &event);
	case LOG_FAILED:
		return take_failure(worker, &event);
	default:
		return WORKER_IDLE;
	}
}

/* ---- committing ---- */

static bool all_read(const struct worker *worker)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].state == SLOT_OPEN && !worker->slots[i].end_seen)
			return false;
	return true;
}

static int64_t commit_at_us(const struct worker *worker)
{
	int64_t interval_us = worker->config.commit_interval_ms * 1000;
	return worker->batch_at_us + interval_us * (worker->caught_up ? 1 : BEHIND_INTERVALS);
}

static bool commit_is_due(struct worker *worker)
{
	if (!worker->batch_at_us || !anything_open(worker))
		return false;
	if (worker->stopping || worker->batch_records >= worker->config.commit_records_max)
		return true;
	if (worker->config.until_end && all_read(worker))
		return true;
	return worker_now_us(worker) >= commit_at_us(worker);
}

static enum worker_step begin_commit(struct worker *worker)
{
	worker->phase = PHASE_ACKS;
	meter_commit_held(worker->config.meter, worker->batch_records);
	log_consumer_hold(worker->consumer, true);
	if (worker->producer)
		log_producer_flush(worker->producer);
	show(worker, LOCK_ACKS);
	return WORKER_HELD;
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
			return set_aside(worker, slot, status, &err);
		worker->counts.commits++;
		if (got_past(slot))
			runs_again(slot);
		return WORKER_COMMITTED;
	}
	worker->phase = PHASE_RUN;
	worker->mark_due = true;
	meter_commit_done(worker->config.meter);
	new_batch(worker);
	log_consumer_hold(worker->consumer, worker->stopping);
	return WORKER_COMMITTED;
}

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

/* One group commit at a time. False: none is due. */
static bool start_mark(struct worker *worker, enum worker_step *step)
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
	} else if (!anything_open(worker)) {
		show(worker, LOCK_READY); /* else take_marked does */
	}
	if (status != OK) {
		struct log_event refused = {.kind = LOG_COMMITTED, .status = status, .err = err};
		*step = take_marked(worker, &refused);
	}
	return count > 0;
}

static enum worker_step commit_phase(struct worker *worker)
{
	switch (worker->phase) {
	case PHASE_ACKS:
		/* Polling keeps the membership alive while we wait; records are held. */
		if (take_acks(worker))
			return WORKER_ACKED;
		if (!worker->producer || log_producer_pending(worker->producer) == 0) {
			worker->phase = PHASE_COMMIT;
			worker->waiting_us = 0;
			worker->commit_at = 0;
			meter_commit_acknowledged(worker->config.meter);
			return WORKER_ACKED;
		}
		wait_for_acks(worker);
		return take_event(worker);
	default:
		return commit_one(worker);
	}
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
			return finish(worker, RETRY, &worker->slots[i].why);
	return finish(worker, OK, NULL);
}

static bool may_stop(const struct worker *worker)
{
	return !worker->marking && !anything_open(worker);
}

/* ---- the step ---- */

static void settings_again(struct worker *worker)
{
	if (!worker->settings_at_us || worker_now_us(worker) - worker->settings_at_us < SETTINGS_CHECK_INTERVAL_US ||
	    worker->batch_at_us || worker->marking)
		return;
	/* All that is checked at opening is checked again; nothing is open, so nothing is lost. */
	worker->settings_at_us = 0;
	worker->rollback_due = true;
}

static enum worker_step run_phase(struct worker *worker)
{
	enum worker_step step;
	if (worker->polled_acks >= ACKS_EVERY && take_acks(worker))
		return WORKER_ACKED;
	if (worker->sending) { /* before a commit is thought of: all outputs of a record belong to one batch */
		step = send_one(worker);
		return step == WORKER_IDLE && take_acks(worker) ? WORKER_ACKED : step;
	}
	if (commit_is_due(worker))
		return begin_commit(worker);
	if (start_mark(worker, &step))
		return step;
	if (worker->stopping)
		return may_stop(worker) ? ending(worker) : take_event(worker);
	settings_again(worker);
	if (worker->poll_due) {
		worker->poll_due = false;
		step = take_event(worker);
		if (step != WORKER_IDLE)
			return step;
	}
	if (open_one(worker, &step))
		return step;
	if (worker->assign_due)
		return assign(worker);
	if (worker->config.until_end && ended(worker))
		return ending(worker);
	step = take_event(worker);
	if (step == WORKER_IDLE) {
		worker->caught_up = true;
		send_now(worker);
	}
	return step == WORKER_IDLE && take_acks(worker) ? WORKER_ACKED : step;
}

enum worker_step worker_step(struct worker *worker)
{
	if (worker->done)
		return WORKER_DONE;
	if (worker->rollback_due)
		return roll_back(worker);
	if (worker->stopping && worker_now_us(worker) > worker->stop_at_us) {
		struct err err = {0};
		err_set(&err, FATAL, "timeout",
		        "the open batch could not be committed within %d s: the log does not acknowledge; look at its side."
		        " Nothing is lost: start again, and the batch is folded again",
		        STOP_MS / 1000);
		return finish(worker, FATAL, &err);
	}
	return worker->phase == PHASE_RUN ? run_phase(worker) : commit_phase(worker);
}

void worker_wait(struct worker *worker, int ms)
{
	int64_t now = worker_now_us(worker), at = now + ms * 1000LL;
	/* A commit under way waits for acknowledgements; the log wakes us for them. */
	if (worker->phase == PHASE_RUN && worker->batch_at_us && commit_at_us(worker) < at)
		at = commit_at_us(worker);
	for (size_t i = 0; i < worker->slot_count; i++) {
		const struct slot *slot = &worker->slots[i];
		if ((slot->state == SLOT_WAITING || slot->state == SLOT_HALTED) && slot->retry_at_us < at)
			at = slot->retry_at_us;
	}
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
}
