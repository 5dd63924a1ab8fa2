#include "catch_up.h"

#include "meter.h"
#include "thread.h"

#include <pthread.h>
#include <stdatomic.h>

#define STUCK_US 1000000 /* without a record, while others wait for their turn */
#define IDLE_MS  10

struct catch_up {
	struct worker *owner;  /* of the slot */
	struct worker *worker; /* of the one task. With a thread, the thread's */
	struct log *log;       /* its connection; NULL: the owner's is used */
	struct meter *meter;   /* beside the owner's; NULL: that one itself, or none */
	int32_t partition;
	bool in_thread;
	pthread_t thread;
	atomic_bool leave; /* the thread is to end between two steps */
	atomic_bool over;  /* the thread has ended by itself */
	atomic_bool idle;  /* it waits for the log */
	_Atomic int64_t next, suppressed, last_ms;
	int64_t seen_next, seen_us; /* the owner's: when it saw it move last */
};

/* ---- the worker of one task ---- */

static bool put_aside(const struct worker *one)
{
	return one->slots->state == SLOT_WAITING || one->slots->state == SLOT_HALTED;
}

/* At its mark, stopped or put aside: its owner is to have it back. */
static bool is_over(const struct worker *one, enum worker_step step)
{
	return step == WORKER_DONE || put_aside(one);
}

static void publish(struct catch_up *c, enum worker_step step)
{
	atomic_store_explicit(&c->idle, step == WORKER_IDLE, memory_order_relaxed);
	const struct slot *slot = c->worker->slots;
	struct task_position position;
	if (!slot->task)
		return;
	task_position(slot->task, &position);
	atomic_store_explicit(&c->next, position.next_offset, memory_order_relaxed);
	atomic_store_explicit(&c->suppressed, slot->suppressed, memory_order_relaxed);
	atomic_store_explicit(&c->last_ms, slot->last_ms, memory_order_relaxed);
}

static void *run(void *arg)
{
	struct catch_up *c = arg;
	while (!atomic_load(&c->leave)) {
		enum worker_step step = worker_step(c->worker);
		publish(c, step);
		if (is_over(c->worker, step)) {
			atomic_store(&c->over, true);
			break;
		}
		if (step == WORKER_IDLE)
			worker_wait(c->worker, IDLE_MS);
	}
	return NULL;
}

/* Afterwards its worker is the owner's to step. */
static void end_thread(struct catch_up *c)
{
	if (!c->in_thread)
		return;
	atomic_store(&c->leave, true);
	pthread_join(c->thread, NULL);
	c->in_thread = false;
}

/* ---- there and back ---- */

static void swap(struct slot *a, struct slot *b)
{
	struct slot kept = *a;
	*a = *b;
	*b = kept;
}

static void add_counts(struct worker_counts *to, const struct worker_counts *from)
{
	to->folded += from->folded;
	to->commits += from->commits;
	to->rollbacks += from->rollbacks;
	to->halts += from->halts;
	for (int i = 0; i < TASK_VERDICTS; i++)
		to->verdicts[i] += from->verdicts[i];
}

static void connect(struct worker *worker, struct catch_up *c, struct worker_config *config)
{
	if (worker->config.catch_up_threads > 0 && worker->config.connect)
		c->log = worker->config.connect(worker->config.connect_arg);
	if (!c->log)
		return;
	config->log = c->log;
	config->meter = c->meter = meter_new_beside(worker->config.meter);
}

static void free_one(struct catch_up *c, bool crash)
{
	if (crash)
		worker_drop(c->worker);
	else
		worker_close(c->worker);
	log_close(c->log);
	meter_free(c->meter);
	mem_free(c);
}

static enum worker_step begin(struct worker *worker, struct slot *slot)
{
	struct catch_up *c = mem_zalloc(1, sizeof *c);
	struct worker_config config = worker->config;
	struct err err = {0};
	c->owner = worker;
	c->partition = slot->partition;
	config.partitions = &c->partition;
	config.partition_count = 1;
	config.instance_id = NULL;
	config.until_end = false;
	config.tracer = NULL; /* nothing is sent */
	connect(worker, c, &config);
	enum status status = worker_open(&config, &c->worker, &err);
	if (status != OK) {
		free_one(c, false);
		return worker_set_aside(worker, slot, status, &err);
	}
	struct worker *one = c->worker;
	one->to_mark = one->opened = true;
	one->settings_at_us = worker->settings_at_us;
	worker_make_slots(one, &c->partition, 1);
	one->task_bytes = worker->task_bytes;
	swap(slot, one->slots);
	one->slots->state = SLOT_OPEN;
	slot->state = SLOT_CATCHING_UP;
	slot->catch_up = c;
	slot->target = one->slots->target;
	c->seen_us = worker_now_us(worker);
	publish(c, WORKER_OPENED);
	c->in_thread = c->log && thread_start(&c->thread, run, c) == 0;
	return WORKER_OPENED;
}

void catch_up_end(struct slot *slot, bool crash)
{
	struct catch_up *c = slot->catch_up;
	end_thread(c);
	add_counts(&c->owner->counts, &c->worker->counts);
	meter_absorb(c->owner->config.meter, c->meter);
	slot->catch_up = NULL;
	swap(slot, c->worker->slots);
	free_one(c, crash);
}

/* It is where it was to be, or stopped, or put aside. */
static enum worker_step take_back(struct worker *worker, struct slot *slot, enum worker_step step)
{
	struct catch_up *c = slot->catch_up;
	struct err why;
	enum status result = c->worker->done ? worker_result(c->worker, &why) : OK;
	catch_up_end(slot, false);
	worker->all_open = false;
	worker->assign_due = true;
	if (result != OK)
		return worker_set_aside(worker, slot, result, &why);
	if (slot->state == SLOT_HALTED)
		return WORKER_HALTED;
	if (slot->state == SLOT_OPEN && slot->catching_up) {
		slot->state = SLOT_CATCHING_UP;
		slot->retry_at_us = worker_now_us(worker); /* behind those who wait already */
	}
	return step == WORKER_DONE ? WORKER_OPENED : step;
}

/* ---- the owner's side ---- */

static bool go_on(struct worker *worker, struct slot *slot, enum worker_step *step)
{
	struct catch_up *c = slot->catch_up;
	if (atomic_load(&c->over))
		end_thread(c);
	if (c->in_thread)
		return false;
	worker->poll_due = true; /* between two steps the membership is kept */
	*step = put_aside(c->worker) ? WORKER_BACKED_OFF : worker_step(c->worker);
	if (is_over(c->worker, *step))
		*step = take_back(worker, slot, *step);
	else
		publish(c, *step);
	return *step != WORKER_IDLE;
}

static bool is_stuck(const struct worker *worker, struct catch_up *c)
{
	int64_t now = worker_now_us(worker), next = atomic_load_explicit(&c->next, memory_order_relaxed);
	if (next != c->seen_next) {
		c->seen_next = next;
		c->seen_us = now;
	}
	return atomic_load_explicit(&c->idle, memory_order_relaxed) && now - c->seen_us > STUCK_US;
}

static void give_way(struct catch_up *c)
{
	end_thread(c);
	worker_stop(c->worker);
}

bool catch_up_step(struct worker *worker, enum worker_step *step)
{
	int running = 0, room = worker->config.catch_up_threads > 0 ? worker->config.catch_up_threads : 1;
	struct slot *first = NULL, *stuck = NULL;
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		if (slot->state != SLOT_CATCHING_UP)
			continue;
		if (!slot->catch_up) {
			if (!first || slot->retry_at_us < first->retry_at_us)
				first = slot;
			continue;
		}
		running++;
		if (go_on(worker, slot, step))
			return true;
		if (is_stuck(worker, slot->catch_up))
			stuck = slot;
	}
	if (first && running < room) {
		*step = begin(worker, first);
		return true;
	}
	if (first && stuck)
		give_way(stuck->catch_up);
	return false;
}

bool catch_up_stop(struct worker *worker, enum worker_step *step)
{
	for (size_t i = 0; i < worker->slot_count; i++) {
		struct slot *slot = &worker->slots[i];
		if (!slot->catch_up)
			continue;
		give_way(slot->catch_up);
		if (!go_on(worker, slot, step))
			*step = WORKER_IDLE;
		return true;
	}
	return false;
}

bool catch_up_at_work(const struct worker *worker)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].catch_up)
			return true;
	return false;
}

void catch_up_task(const struct slot *slot, struct worker_task *out)
{
	const struct catch_up *c = slot->catch_up;
	if (!c->in_thread) {
		worker_task(c->worker, 0, out);
		return;
	}
	*out = (struct worker_task){
		.partition = slot->partition,
		.state = LOCK_FOLDING,
		.catching_up = true,
		.suppressed = atomic_load_explicit(&c->suppressed, memory_order_relaxed),
		.stopped_next = atomic_load_explicit(&c->next, memory_order_relaxed),
		.target_next = slot->target.next_offset,
		.last_ms = atomic_load_explicit(&c->last_ms, memory_order_relaxed),
		.db = slot->db,
	};
}

void catch_up_counts(const struct worker *worker, struct worker_counts *out)
{
	for (size_t i = 0; i < worker->slot_count; i++)
		if (worker->slots[i].catch_up && !worker->slots[i].catch_up->in_thread)
			add_counts(out, &worker->slots[i].catch_up->worker->counts);
}
