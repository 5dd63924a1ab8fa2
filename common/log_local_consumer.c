/* Consuming from the local log: one batch at a time, of one partition after the other. The partition's published offset says
 * whether there is something to read; without it the file is asked every LOCAL_ASK_US. What was read ahead goes with the
 * assignment it was read for. */
#include "log_local_impl.h"

#include <stdlib.h>
#include <string.h>

#define BUSY_MAX 50 /* reads in a row that found the file busy, before it is a failure */

struct position {
	struct log_position at;
	struct local_partition *partition; /* NULL until it is first read */
	bool checked;                      /* the offset was found to be in range */
	bool failed;                       /* LOG_FAILED was told */
	bool more;                         /* the last batch was cut by its bounds */
	int64_t end_told;                  /* where LOG_END was told, -1: not */
	int64_t hint_seen;                 /* published offset when the file had nothing */
	int64_t asked_us;
	int busy;
};

struct local_consumer {
	struct log_consumer base;
	struct local_consumer *next;
	char *topic, *group, *instance;
	bool joins, static_told;
	struct local_member member;
	int32_t *partitions; /* static ones, or those last told */
	size_t partition_count;
	struct position *positions;
	size_t position_count, turn; /* turn: whose batch it is */
	struct local_batch batch;
	bool held, idle; /* idle: the last poll had nothing */
	bool commit_done;
	enum status commit_status;
	struct err commit_err;
};

static struct local_log *log_of(const struct local_consumer *c)
{
	return (struct local_log *)c->base.log;
}

/* ---- opening and closing ---- */

enum status local_consumer_open(struct log *base, const struct log_consumer_config *config, struct log_consumer **out,
                                struct err *err)
{
	(void)err;
	struct local_log *log = (struct local_log *)base;
	struct local_consumer *c = mem_zalloc(1, sizeof *c);
	c->base.log = base;
	c->topic = mem_strdup(config->topic);
	c->group = mem_strdup(config->group);
	c->instance = config->instance_id ? mem_strdup(config->instance_id) : NULL;
	c->joins = !config->partitions;
	if (!c->joins)
		log_partitions_set(&c->partitions, &c->partition_count, config->partitions, config->partition_count);
	c->member = (struct local_member){.group = c->group,
	                                  .topic = c->topic,
	                                  .instance = c->instance,
	                                  .session_timeout_ms = config->session_timeout_ms,
	                                  .alive.fd = -1};
	c->next = log->consumers;
	log->consumers = c;
	*out = &c->base;
	return OK;
}

static void positions_clear(struct local_consumer *c)
{
	for (size_t i = 0; i < c->position_count; i++)
		local_partition_close(c->positions[i].partition);
	c->position_count = 0;
	c->turn = 0;
	c->batch.count = c->batch.next = 0;
}

void local_consumer_close(struct log_consumer *base, bool leave)
{
	struct local_consumer *c = (struct local_consumer *)base;
	struct local_consumer **at = &log_of(c)->consumers;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	local_member_close(log_of(c), &c->member, leave);
	positions_clear(c);
	local_batch_fini(&c->batch);
	mem_free(c->positions);
	mem_free(c->partitions);
	mem_free(c->topic);
	mem_free(c->group);
	mem_free(c->instance);
	mem_free(c);
}

/* ---- what is read ---- */

/* A connection that stays in use is kept, since opening one costs more than reading from it. */
static struct local_partition *partition_take(struct position *from, size_t count, int32_t number)
{
	for (size_t i = 0; i < count; i++) {
		struct local_partition *partition = from[i].partition;
		if (!partition || from[i].at.partition != number || local_partition_gone(partition, NULL) != OK)
			continue;
		from[i].partition = NULL;
		return partition;
	}
	return NULL;
}

enum status local_consumer_assign(struct log_consumer *base, const struct log_position *positions, size_t count,
                                  struct err *err)
{
	struct local_consumer *c = (struct local_consumer *)base;
	if (count && c->joins && c->member.membership.state != LOG_OWNER)
		return err_set(err, REJECT, "fenced", "group %s: nothing is assigned to this consumer", c->group);
	struct position *fresh = mem_zalloc(count, sizeof *fresh);
	for (size_t i = 0; i < count; i++)
		fresh[i] = (struct position){
			.at = positions[i],
			.partition = partition_take(c->positions, c->position_count, positions[i].partition),
			.end_told = -1,
			.hint_seen = -1};
	positions_clear(c);
	mem_free(c->positions);
	c->positions = fresh;
	c->position_count = count;
	c->idle = false;
	if (!count && c->joins && log_membership_answered(&c->member.membership))
		local_member_give_back(log_of(c), &c->member);
	return OK;
}

void local_consumer_hold(struct log_consumer *base, bool hold)
{
	struct local_consumer *c = (struct local_consumer *)base;
	c->held = hold;
	c->idle = false;
}

static bool tell_failed(struct position *p, struct log_event *event, enum status status)
{
	p->failed = true;
	event->kind = LOG_FAILED;
	event->partition = p->at.partition;
	event->offset = p->at.offset;
	event->status = status;
	return true;
}

static bool tell_record(struct local_consumer *c, struct position *p, struct log_event *event)
{
	event->kind = LOG_RECORD;
	event->record = c->batch.records[c->batch.next++];
	event->partition = event->record.partition;
	event->offset = event->record.offset;
	p->at.offset = event->offset + 1;
	return true;
}

static bool tell_end(struct position *p, struct log_event *event)
{
	if (p->end_told == p->at.offset)
		return false;
	p->end_told = p->at.offset;
	event->kind = LOG_END;
	event->partition = p->at.partition;
	event->offset = p->at.offset;
	return true;
}

/* Is it worth asking the file? A published offset that the file did not bear out is not believed twice. */
static bool should_ask(struct local_consumer *c, struct position *p)
{
	if (p->more)
		return true;
	int64_t hint = p->partition->lock.page->next;
	if (hint > p->at.offset && hint != p->hint_seen)
		return true;
	return seam_monotonic_us(c->base.log->seam) - p->asked_us >= LOCAL_ASK_US;
}

static enum status position_ready(struct local_consumer *c, struct position *p, struct err *err)
{
	enum status status = OK;
	if (!p->partition)
		status = local_partition_open(log_of(c), c->topic, p->at.partition, &p->partition, err);
	if (status == OK && !p->checked) {
		status = local_range(p->partition, p->at.offset, err);
		p->checked = status == OK;
	}
	return status;
}

static enum status fill(struct local_consumer *c, struct position *p, struct err *err)
{
	int64_t hint = p->partition->lock.page->next;
	p->asked_us = seam_monotonic_us(c->base.log->seam);
	enum status status = local_partition_read(p->partition, p->at.offset, LOCAL_BATCH_RECORDS, &c->batch, err);
	p->more = status == OK && !c->batch.ended;
	if (status != OK || c->batch.count)
		return status;
	p->hint_seen = hint;
	return local_partition_gone(p->partition, err);
}

/* The next of one partition; false: nothing new to tell of it. */
static bool read_position(struct local_consumer *c, struct position *p, struct log_event *event)
{
	if (p->at.paused || p->failed)
		return false;
	enum status status = OK;
	if (!p->partition || !p->checked)
		status = position_ready(c, p, &event->err);
	if (status == OK && !should_ask(c, p))
		return tell_end(p, event);
	if (status == OK)
		status = fill(c, p, &event->err);
	if (status == OK) {
		p->busy = 0;
		return c->batch.count ? tell_record(c, p, event) : tell_end(p, event);
	}
	/* Another process recovers the file after a crash: for moments. */
	if (err_is(&event->err, "busy") && p->busy++ < BUSY_MAX)
		return false;
	return tell_failed(p, event, status);
}

static void read_next(struct local_consumer *c, struct log_event *event)
{
	if (c->batch.next < c->batch.count) {
		tell_record(c, &c->positions[c->turn], event);
		return;
	}
	for (size_t tried = 0; tried < c->position_count; tried++) {
		c->turn = (c->turn + 1) % c->position_count;
		if (read_position(c, &c->positions[c->turn], event))
			return;
	}
}

/* ---- polling ---- */

static bool look_at_group(struct local_consumer *c, struct log_event *event)
{
	if (!c->joins) {
		if (c->static_told)
			return false;
		c->static_told = true;
		event->kind = LOG_ASSIGNED;
	} else {
		struct log_group group;
		bool told = local_member_step(log_of(c), &c->member, event, &group);
		if (told && event->kind == LOG_ASSIGNED)
			log_partitions_set(&c->partitions, &c->partition_count, event->partitions,
			                   event->partition_count);
		else if (told)
			positions_clear(c);
		log_group_fini(&group);
		if (!told)
			return false;
	}
	event->partitions = event->kind == LOG_ASSIGNED ? c->partitions : NULL;
	event->partition_count = event->kind == LOG_ASSIGNED ? c->partition_count : 0;
	return true;
}

static void poll_event(struct local_consumer *c, struct log_event *event)
{
	if (c->commit_done) {
		c->commit_done = false;
		event->kind = LOG_COMMITTED;
		event->status = c->commit_status;
		event->err = c->commit_err;
		return;
	}
	if (!look_at_group(c, event) && !c->held)
		read_next(c, event);
}

void local_consumer_poll(struct log_consumer *base, struct log_event *event)
{
	struct local_consumer *c = (struct local_consumer *)base;
	poll_event(c, event);
	c->idle = event->kind == LOG_NOTHING;
}

bool local_consumers_ready(const struct local_log *log)
{
	for (const struct local_consumer *c = log->consumers; c; c = c->next)
		if (!c->idle)
			return true;
	return false;
}

/* ---- marks ---- */

/* The commit is done here and now; only its result waits for the next poll. It costs one sync of groups.db. */
enum status local_consumer_commit(struct log_consumer *base, const struct log_mark *marks, size_t count,
                                  struct err *err)
{
	struct local_consumer *c = (struct local_consumer *)base;
	if (c->commit_done)
		return err_set(err, RETRY, "busy", "a commit is under way");
	c->commit_err = (struct err){0};
	c->commit_status = local_member_commit(log_of(c), &c->member, c->joins, marks, count, &c->commit_err);
	c->commit_done = true;
	c->idle = false;
	return OK;
}

enum status local_consumer_committed(struct log_consumer *base, struct log_mark *mark, struct err *err)
{
	struct local_consumer *c = (struct local_consumer *)base;
	return local_committed(base->log, c->group, c->topic, mark, err);
}
