/* local::memory:, the consumers' side: groups whose members live and die by the seam's clock, and reading what is
 * assigned. A poll looks in this order: what became of a commit, the group, a check that is due, and only then records. */
#include "log_memory_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TURN_RECORDS 100 /* delivered from one partition before the next has its turn */

struct memory_position {
	struct log_position at;
	int64_t end_told; /* where LOG_END was told, -1: not */
	bool failed;      /* LOG_FAILED was told */
};

struct memory_consumer {
	struct log_consumer base;
	struct memory_consumer *next;
	char *topic_name, *group_name, *instance;
	int session_timeout_ms;
	bool joins;
	struct log_membership membership;
	int32_t *partitions; /* static ones, or those last told */
	size_t partition_count;
	bool static_told, unknown_told;
	struct memory_topic *topic; /* NULL while nothing is assigned */
	struct memory_position *positions;
	size_t position_count, turn, turn_left;
	bool held;
	bool commit_done, check_due;
	int32_t check_partition;
	enum status commit_status;
	struct err commit_err;
};

/* ---- groups ---- */

static struct memory_group *group_find(const struct log_memory *memory, const char *name)
{
	struct memory_group *group = memory->groups;
	while (group && strcmp(group->name, name) != 0)
		group = group->next;
	return group;
}

static struct memory_group *group_get(struct log_memory *memory, const char *name)
{
	struct memory_group *group = group_find(memory, name);
	if (group)
		return group;
	group = mem_zalloc(1, sizeof *group);
	group->name = mem_strdup(name);
	group->next = memory->groups;
	memory->groups = group;
	return group;
}

static void group_free(struct memory_group *group)
{
	while (group->marks) {
		struct memory_mark *mark = group->marks;
		group->marks = mark->next;
		mem_free(mark->topic);
		mem_free(mark);
	}
	log_group_fini(&group->group);
	mem_free(group->name);
	mem_free(group);
}

void memory_groups_free(struct log_memory *memory)
{
	while (memory->groups) {
		struct memory_group *group = memory->groups;
		memory->groups = group->next;
		group_free(group);
	}
}

void memory_groups_forget(struct log_memory *memory, const char *topic)
{
	for (struct memory_group *group = memory->groups; group; group = group->next) {
		for (struct memory_mark **at = &group->marks; *at;) {
			struct memory_mark *mark = *at;
			if (strcmp(mark->topic, topic) != 0) {
				at = &mark->next;
				continue;
			}
			*at = mark->next;
			mem_free(mark->topic);
			mem_free(mark);
		}
	}
}

static int64_t now_ms(const struct log_memory *memory)
{
	return seam_monotonic_us(memory->seam) / 1000;
}

static void expire(const struct log_memory *memory, struct log_group *group)
{
	for (size_t i = group->member_count; i-- > 0;)
		if (now_ms(memory) - group->members[i].seen_ms > group->members[i].session_timeout_ms)
			log_group_remove(group, i);
}

enum status memory_group_delete(struct log *log, const char *name, struct err *err)
{
	struct log_memory *memory = memory_of(log);
	struct memory_group *group = group_find(memory, name);
	if (!group)
		return OK;
	expire(memory, &group->group);
	if (group->group.member_count)
		return err_set(err, RETRY, "group_busy", "group %s has %zu members", name, group->group.member_count);
	struct memory_group **at = &memory->groups;
	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	group_free(group);
	return OK;
}

/* ---- marks ---- */

static struct memory_mark *mark_find(const struct memory_group *group, const char *topic, int32_t partition)
{
	struct memory_mark *mark = group ? group->marks : NULL;
	while (mark && (mark->mark.partition != partition || strcmp(mark->topic, topic) != 0))
		mark = mark->next;
	return mark;
}

static void mark_set(struct memory_group *group, const char *topic, const struct log_mark *mark)
{
	struct memory_mark *there = mark_find(group, topic, mark->partition);
	if (!there) {
		there = mem_zalloc(1, sizeof *there);
		there->topic = mem_strdup(topic);
		there->next = group->marks;
		group->marks = there;
	}
	there->mark = *mark;
}

enum status memory_committed(struct log *log, const char *name, const char *topic, struct log_mark *mark,
                             struct err *err)
{
	(void)err;
	const struct memory_mark *there = mark_find(group_find(memory_of(log), name), topic, mark->partition);
	*mark = there ? there->mark : (struct log_mark){.partition = mark->partition, .offset = -1};
	return OK;
}

enum status memory_consumer_committed(struct log_consumer *base, struct log_mark *mark, struct err *err)
{
	struct memory_consumer *c = (struct memory_consumer *)base;
	return memory_committed(base->log, c->group_name, c->topic_name, mark, err);
}

static enum status commit(struct memory_consumer *c, const struct log_mark *marks, size_t count, struct err *err)
{
	struct log_memory *memory = memory_of(c->base.log);
	struct memory_group *group = group_get(memory, c->group_name);
	expire(memory, &group->group);
	if (c->joins && !log_group_may_commit(&group->group, c->membership.id, c->membership.generation))
		return err_set(err, FATAL, "fenced", "group %s: this consumer owns nothing any more", c->group_name);
	if (!c->joins && group->group.member_count)
		return err_set(err, FATAL, "group_busy", "group %s has members: a group runs here", c->group_name);
	if (memory->faults.commit) {
		enum status status = memory->faults.commit(memory->faults.arg, c->group_name, c->topic_name, err);
		if (status != OK)
			return status;
	}
	for (size_t i = 0; i < count; i++)
		mark_set(group, c->topic_name, &marks[i]);
	return OK;
}

enum status memory_consumer_commit(struct log_consumer *base, const struct log_mark *marks, size_t count,
                                   struct err *err)
{
	struct memory_consumer *c = (struct memory_consumer *)base;
	if (c->commit_done)
		return err_set(err, RETRY, "busy", "a commit is under way");
	c->commit_err = (struct err){0};
	c->commit_status = commit(c, marks, count, &c->commit_err);
	c->commit_done = true;
	return OK;
}

/* ---- opening and closing ---- */

enum status memory_consumer_open(struct log *log, const struct log_consumer_config *config, struct log_consumer **out,
                                 struct err *err)
{
	(void)err;
	struct log_memory *memory = memory_of(log);
	struct memory_consumer *c = mem_zalloc(1, sizeof *c);
	c->base.log = log;
	c->topic_name = mem_strdup(config->topic);
	c->group_name = mem_strdup(config->group);
	c->instance = config->instance_id ? mem_strdup(config->instance_id) : NULL;
	c->session_timeout_ms = config->session_timeout_ms;
	c->joins = !config->partitions;
	if (!c->joins)
		log_partitions_set(&c->partitions, &c->partition_count, config->partitions, config->partition_count);
	struct memory_consumer **at = &memory->consumers;
	while (*at)
		at = &(*at)->next;
	*at = c;
	*out = &c->base;
	return OK;
}

void memory_consumer_close(struct log_consumer *base, bool leave)
{
	struct memory_consumer *c = (struct memory_consumer *)base;
	struct log_memory *memory = memory_of(base->log);
	struct memory_group *group = group_find(memory, c->group_name);
	for (size_t i = 0; group && leave && !c->instance && i < group->group.member_count; i++)
		if (strcmp(group->group.members[i].id, c->membership.id) == 0)
			log_group_remove(&group->group, i--);
	struct memory_consumer **at = &memory->consumers;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	memory_topic_put(c->topic);
	mem_free(c->topic_name);
	mem_free(c->group_name);
	mem_free(c->instance);
	mem_free(c->partitions);
	mem_free(c->positions);
	mem_free(c);
}

/* ---- what is read ---- */

static void positions_set(struct memory_consumer *c, const struct log_position *positions, size_t count)
{
	c->positions = mem_realloc(c->positions, count * sizeof *c->positions);
	for (size_t i = 0; i < count; i++)
		c->positions[i] = (struct memory_position){.at = positions[i], .end_told = -1};
	c->position_count = count;
	c->turn = 0;
	c->turn_left = TURN_RECORDS;
}

enum status memory_consumer_assign(struct log_consumer *base, const struct log_position *positions, size_t count,
                                   struct err *err)
{
	struct memory_consumer *c = (struct memory_consumer *)base;
	struct log_memory *memory = memory_of(base->log);
	if (count && c->joins && c->membership.state != LOG_OWNER)
		return err_set(err, REJECT, "fenced", "group %s: nothing is assigned to this consumer", c->group_name);
	positions_set(c, positions, count);
	memory_topic_put(c->topic);
	struct memory_topic *topic = count ? memory_topic_find(memory, c->topic_name) : NULL;
	c->topic = topic ? memory_topic_get(topic) : NULL;
	if (!count && c->joins && log_membership_answered(&c->membership))
		log_group_give_back(&group_get(memory, c->group_name)->group, c->membership.id);
	return OK;
}

void memory_consumer_hold(struct log_consumer *base, bool hold)
{
	((struct memory_consumer *)base)->held = hold;
}

static bool tell_failed(struct log_event *event, int32_t partition, int64_t offset, enum status status)
{
	event->kind = LOG_FAILED;
	event->partition = partition;
	event->offset = offset;
	event->status = status;
	return true;
}

/* Why this position cannot be read; OK where it can. */
static enum status position_check(const struct memory_consumer *c, const struct memory_position *p, struct err *err)
{
	if (!c->topic || c->topic->gone)
		return memory_gone(c->topic_name, err);
	if (p->at.partition < 0 || p->at.partition >= c->topic->partition_count)
		return err_set(err, FATAL, "unknown_partition", "topic %s has no partition %d", c->topic_name,
		               (int)p->at.partition);
	return memory_range(&c->topic->partitions[p->at.partition], c->topic_name, p->at.partition, p->at.offset, err);
}

static bool may_deliver(const struct memory_consumer *c, const struct log_record *record)
{
	const struct log_memory_faults *faults = &memory_of(c->base.log)->faults;
	return !faults->deliver || faults->deliver(faults->arg, c->topic_name, record->partition, record->offset);
}

static int64_t read_at(const struct memory_consumer *c, const struct memory_position *p)
{
	const struct log_memory_faults *faults = &memory_of(c->base.log)->faults;
	return faults->misread ? faults->misread(faults->arg, c->topic_name, p->at.partition, p->at.offset)
	                       : p->at.offset;
}

/* The next of one partition; false: nothing new to tell of it. */
static bool read_position(struct memory_consumer *c, struct memory_position *p, struct log_event *event)
{
	if (p->at.paused || p->failed)
		return false;
	enum status status = position_check(c, p, &event->err);
	if (status != OK) {
		p->failed = true;
		return tell_failed(event, p->at.partition, p->at.offset, status);
	}
	const struct memory_partition *partition = &c->topic->partitions[p->at.partition];
	size_t at = memory_at(partition, read_at(c, p));
	if (at < partition->count) {
		if (!may_deliver(c, &partition->records[at]))
			return false;
		event->kind = LOG_RECORD;
		event->record = partition->records[at];
		event->partition = p->at.partition;
		event->offset = event->record.offset;
		p->at.offset = event->record.offset + 1;
		return true;
	}
	if (p->end_told == partition->next)
		return false;
	p->end_told = partition->next;
	event->kind = LOG_END;
	event->partition = p->at.partition;
	event->offset = partition->next;
	return true;
}

static void read_next(struct memory_consumer *c, struct log_event *event)
{
	for (size_t tried = 0; tried < c->position_count; tried++) {
		if (c->turn_left && read_position(c, &c->positions[c->turn], event)) {
			c->turn_left--;
			return;
		}
		c->turn = (c->turn + 1) % c->position_count;
		c->turn_left = TURN_RECORDS;
	}
	/* The one that was left for the others' sake may have more. */
	if (c->position_count && read_position(c, &c->positions[c->turn], event))
		c->turn_left--;
}

/* ---- the membership ---- */

static bool join(struct memory_consumer *c, struct log_group *group, struct log_event *event)
{
	struct log_memory *memory = memory_of(c->base.log);
	const struct memory_topic *topic = memory_topic_find(memory, c->topic_name);
	if (!topic) {
		if (c->unknown_told)
			return false;
		c->unknown_told = true;
		return tell_failed(event, -1, -1, memory_gone(c->topic_name, &event->err));
	}
	c->unknown_told = false;
	log_membership_new_id(&c->membership, memory->seam);
	log_group_join(group, &(struct log_member){.id = c->membership.id,
	                                           .instance = c->instance,
	                                           .topic = c->topic_name,
	                                           .topic_partitions = topic->partition_count,
	                                           .session_timeout_ms = c->session_timeout_ms,
	                                           .seen_ms = now_ms(memory)});
	return false;
}

static bool tell_assigned(struct memory_consumer *c, struct log_event *event)
{
	event->kind = LOG_ASSIGNED;
	event->partitions = c->partitions;
	event->partition_count = c->partition_count;
	return true;
}

/* True: there is something to tell. */
static bool membership_step(struct memory_consumer *c, struct log_group *group, enum log_membership_step step,
                            struct log_event *event)
{
	const struct log_member *self = log_group_find(group, c->membership.id);
	switch (step) {
	case LOG_STEP_NONE:
		return false;
	case LOG_STEP_JOIN:
		return join(c, group, event);
	case LOG_STEP_GIVE_BACK:
		log_group_give_back(group, c->membership.id);
		return false;
	case LOG_STEP_ASSIGNED:
		log_partitions_set(&c->partitions, &c->partition_count, self->partitions, self->partition_count);
		return tell_assigned(c, event);
	case LOG_STEP_REVOKED:
		positions_set(c, NULL, 0);
		event->kind = LOG_REVOKED;
		event->lost = c->membership.lost;
		return true;
	case LOG_STEP_FENCED:
		positions_set(c, NULL, 0);
		return tell_failed(event, -1, -1,
		                   err_set(&event->err, FATAL, "fenced", "group %s: another consumer runs as %s",
		                           c->group_name, c->instance));
	}
	return false;
}

static bool look_at_group(struct memory_consumer *c, struct log_event *event)
{
	if (!c->joins) {
		if (c->static_told)
			return false;
		c->static_told = true;
		return tell_assigned(c, event);
	}
	struct log_memory *memory = memory_of(c->base.log);
	struct log_group *group = &group_get(memory, c->group_name)->group;
	expire(memory, group);
	struct log_member *self = log_group_find(group, c->membership.id);
	if (self)
		self->seen_ms = now_ms(memory);
	/* A step that tells nothing may be followed by one that does: join, then be assigned at once. */
	for (int i = 0; i < 3; i++) {
		enum log_membership_step step = log_membership_next(&c->membership, group, c->instance);
		if (step == LOG_STEP_NONE)
			return false;
		if (membership_step(c, group, step, event))
			return true;
	}
	return false;
}

void memory_consumer_poll(struct log_consumer *base, struct log_event *event)
{
	struct memory_consumer *c = (struct memory_consumer *)base;
	memory_advance(memory_of(base->log));
	if (c->commit_done) {
		c->commit_done = false;
		event->kind = LOG_COMMITTED;
		event->status = c->commit_status;
		event->err = c->commit_err;
		return;
	}
	if (look_at_group(c, event))
		return;
	if (c->check_due) {
		c->check_due = false;
		event->kind = LOG_CHECK;
		event->partition = c->check_partition;
		return;
	}
	if (!c->held)
		read_next(c, event);
}

/* ---- for the simulator ---- */

void log_memory_expel(struct log_memory *memory, const char *name)
{
	struct memory_group *group = group_find(memory, name);
	for (size_t i = group ? group->group.member_count : 0; i-- > 0;)
		log_group_remove(&group->group, i);
}

void log_memory_mark(struct log_memory *memory, const char *group, const char *topic, const struct log_mark *mark)
{
	mark_set(group_get(memory, group), topic, mark);
}

void log_memory_check(struct log_memory *memory, const char *topic, int32_t partition)
{
	for (struct memory_consumer *c = memory->consumers; c; c = c->next) {
		if (strcmp(c->topic_name, topic) != 0 || !c->position_count)
			continue;
		c->check_partition = c->check_due ? -1 : partition;
		c->check_due = true;
	}
}
