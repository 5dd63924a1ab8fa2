#include "log_group.h"

#include "log_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void member_fini(struct log_member *member)
{
	mem_free(member->id);
	mem_free(member->instance);
	mem_free(member->topic);
	mem_free(member->partitions);
}

void log_group_fini(struct log_group *group)
{
	for (size_t i = 0; i < group->member_count; i++)
		member_fini(&group->members[i]);
	mem_free(group->members);
	*group = (struct log_group){0};
}

static const char *member_name(const struct log_member *member)
{
	return member->instance ? member->instance : member->id;
}

static int32_t *partitions_copy(const int32_t *partitions, size_t count)
{
	int32_t *copy = mem_zalloc(count, sizeof *copy);
	if (count)
		memcpy(copy, partitions, count * sizeof *copy);
	return copy;
}

static void member_insert(struct log_group *group, size_t at, const struct log_member *member)
{
	group->members = mem_realloc(group->members, (group->member_count + 1) * sizeof *group->members);
	memmove(&group->members[at + 1], &group->members[at], (group->member_count - at) * sizeof *group->members);
	group->member_count++;
	group->members[at] = *member;
	group->members[at].id = mem_strdup(member->id);
	group->members[at].instance = member->instance ? mem_strdup(member->instance) : NULL;
	group->members[at].topic = mem_strdup(member->topic);
	group->members[at].partitions = partitions_copy(member->partitions, member->partition_count);
}

void log_group_restore(struct log_group *group, const struct log_member *member)
{
	member_insert(group, group->member_count, member);
}

struct log_member *log_group_find(const struct log_group *group, const char *id)
{
	for (size_t i = 0; i < group->member_count; i++)
		if (strcmp(group->members[i].id, id) == 0)
			return &group->members[i];
	return NULL;
}

/* ---- the assignment ---- */

struct topic_share {
	struct log_member **members; /* of one topic, sorted by name */
	size_t count;
	int32_t partitions;
	bool *taken;
};

/* What range gives the i-th member: the first ones get one more where it does not come out even. */
static size_t share_size(const struct topic_share *share, size_t i)
{
	size_t all = (size_t)share->partitions;
	return all / share->count + (i < all % share->count);
}

static void keep_old(struct topic_share *share, size_t i)
{
	struct log_member *member = share->members[i];
	size_t kept = 0, size = share_size(share, i);
	int32_t *partitions = mem_zalloc(size, sizeof *partitions);
	for (size_t p = 0; p < member->partition_count && kept < size; p++) {
		int32_t partition = member->partitions[p];
		if (partition < 0 || partition >= share->partitions || share->taken[partition])
			continue;
		share->taken[partition] = true;
		partitions[kept++] = partition;
	}
	mem_free(member->partitions);
	member->partitions = partitions;
	member->partition_count = kept;
}

static void share_out(struct topic_share *share)
{
	for (size_t i = 0; i < share->count; i++)
		keep_old(share, i);
	int32_t next = 0;
	for (size_t i = 0; i < share->count; i++) {
		struct log_member *member = share->members[i];
		for (size_t size = share_size(share, i); member->partition_count < size; next++)
			if (!share->taken[next])
				member->partitions[member->partition_count++] = next;
		qsort(member->partitions, member->partition_count, sizeof *member->partitions, log_partition_compare);
	}
}

static void assign_topic(struct log_group *group, const char *topic)
{
	struct topic_share share = {.members = mem_zalloc(group->member_count, sizeof *share.members)};
	for (size_t i = 0; i < group->member_count; i++) {
		struct log_member *member = &group->members[i];
		if (strcmp(member->topic, topic) != 0)
			continue;
		share.members[share.count++] = member;
		if (member->topic_partitions > share.partitions)
			share.partitions = member->topic_partitions;
		member->generation = group->generation;
		member->holds = true;
	}
	share.taken = mem_zalloc((size_t)share.partitions, sizeof *share.taken);
	share_out(&share);
	mem_free(share.taken);
	mem_free(share.members);
}

/* Ends the rebalance as soon as nobody holds anything. */
static void settle(struct log_group *group)
{
	if (!group->rebalancing)
		return;
	for (size_t i = 0; i < group->member_count; i++)
		if (group->members[i].holds)
			return;
	group->rebalancing = false;
	group->generation++;
	for (size_t i = 0; i < group->member_count; i++)
		if (!group->members[i].holds) /* assign_topic does all members of one topic at once */
			assign_topic(group, group->members[i].topic);
}

static void rebalance(struct log_group *group)
{
	group->generation++;
	group->rebalancing = true;
	settle(group);
}

/* ---- members ---- */

/* The old incarnation is fenced by its id being gone. In the middle of a rebalance the new one holds nothing. */
static void take_place(struct log_group *group, struct log_member *old, const struct log_member *joining)
{
	bool same = strcmp(old->topic, joining->topic) == 0 && old->topic_partitions == joining->topic_partitions;
	mem_free(old->id);
	mem_free(old->topic);
	old->id = mem_strdup(joining->id);
	old->topic = mem_strdup(joining->topic);
	old->topic_partitions = joining->topic_partitions;
	old->session_timeout_ms = joining->session_timeout_ms;
	old->seen_ms = joining->seen_ms;
	if (same && !group->rebalancing)
		return;
	old->holds = false;
	rebalance(group);
}

void log_group_join(struct log_group *group, const struct log_member *joining)
{
	size_t at = 0;
	while (at < group->member_count && strcmp(member_name(&group->members[at]), member_name(joining)) < 0)
		at++;
	struct log_member *there = at < group->member_count ? &group->members[at] : NULL;
	if (there && joining->instance && there->instance && strcmp(there->instance, joining->instance) == 0) {
		take_place(group, there, joining);
		return;
	}
	struct log_member fresh = *joining;
	fresh.generation = 0;
	fresh.holds = false;
	fresh.partitions = NULL;
	fresh.partition_count = 0;
	member_insert(group, at, &fresh);
	rebalance(group);
}

void log_group_remove(struct log_group *group, size_t index)
{
	member_fini(&group->members[index]);
	group->member_count--;
	memmove(&group->members[index], &group->members[index + 1],
	        (group->member_count - index) * sizeof *group->members);
	rebalance(group);
}

void log_group_give_back(struct log_group *group, const char *id)
{
	struct log_member *member = log_group_find(group, id);
	if (!member)
		return;
	member->holds = false;
	settle(group);
}

bool log_group_may_commit(const struct log_group *group, const char *id, int64_t generation)
{
	const struct log_member *member = log_group_find(group, id);
	return member && member->holds && member->generation == generation;
}

/* ---- one consumer's side ---- */

static enum log_membership_step next_outside(struct log_membership *membership, const struct log_group *group,
                                             const char *instance)
{
	for (size_t i = 0; instance && i < group->member_count; i++) {
		const struct log_member *member = &group->members[i];
		if (member->instance && strcmp(member->instance, instance) == 0) {
			membership->state = LOG_FENCED;
			return LOG_STEP_FENCED;
		}
	}
	return LOG_STEP_JOIN;
}

enum log_membership_step log_membership_next(struct log_membership *membership, const struct log_group *group,
                                             const char *instance)
{
	const struct log_member *self = log_group_find(group, membership->id);
	switch (membership->state) {
	case LOG_LEAVING:
	case LOG_FENCED:
		return LOG_STEP_NONE;
	case LOG_OUTSIDE: /* a first join takes a static member's place; one thrown out by it must not */
		return membership->lost ? next_outside(membership, group, instance) : LOG_STEP_JOIN;
	case LOG_JOINED:
		if (!self) {
			membership->lost = true;
			return next_outside(membership, group, instance);
		}
		if (group->rebalancing)
			return self->holds ? LOG_STEP_GIVE_BACK : LOG_STEP_NONE;
		if (!self->holds)
			return LOG_STEP_NONE;
		membership->state = LOG_OWNER;
		membership->generation = self->generation;
		return LOG_STEP_ASSIGNED;
	case LOG_OWNER:
		membership->lost = !self || self->generation != membership->generation;
		if (!membership->lost && !group->rebalancing)
			return LOG_STEP_NONE;
		membership->state = LOG_LEAVING;
		return LOG_STEP_REVOKED;
	}
	return LOG_STEP_NONE;
}

bool log_membership_answered(struct log_membership *membership)
{
	if (membership->state != LOG_LEAVING)
		return false;
	membership->state = membership->lost ? LOG_OUTSIDE : LOG_JOINED;
	return !membership->lost;
}

void log_membership_new_id(struct log_membership *membership, const struct seam *seam)
{
	uint8_t random[(LOG_MEMBER_ID_ROOM - 1) / 2];
	seam_random(seam, random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(&membership->id[2 * i], 3, "%02x", random[i]);
	membership->state = LOG_JOINED;
	membership->generation = 0;
	membership->lost = false;
}
