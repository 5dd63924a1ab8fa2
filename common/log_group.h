/* log_group: a consumer group's coordinator as a plain value, without time, files or threads. Private to log*.c.
 *
 * local::memory: keeps one in memory; local:DIR reads it from groups.db, changes it and writes it back in one transaction
 * under one lock. Who is alive is for them to say (log_group_remove); what follows from it is said here:
 * - A join, a leave or a death begins a rebalance. It ends when no member holds partitions any more; only then does the
 *   generation rise and everybody gets new ones. So a partition never has two holders that both are alive.
 * - Partitions are spread as Kafka's range assignor does it, over members sorted by name, but a member keeps what it had
 *   as far as its share goes.
 * - A static member (instance) is not removed when it closes, and whoever comes back under its name gets its partitions.
 * - A commit counts only from a member that holds the assignment of its generation: log_group_may_commit. Until it has
 *   given its partitions back, a member being revoked may still commit, since nobody else has them yet.
 */
#ifndef TANDEM_LOG_GROUP_H
#define TANDEM_LOG_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define LOG_MEMBER_ID_ROOM 33

struct log_member {
	char *id;       /* of this process's consumer, random */
	char *instance; /* a static member's name, or NULL */
	char *topic;
	int32_t topic_partitions;
	int session_timeout_ms;
	int64_t seen_ms;     /* the owner's; not looked at here */
	int64_t generation;  /* of the assignment below; 0: none was given yet */
	bool holds;          /* it was given an assignment, maybe of nothing, and has not given it back */
	int32_t *partitions; /* sorted; kept after it was given back, to give the same again */
	size_t partition_count;
};

struct log_group {
	int64_t generation;
	bool rebalancing;
	struct log_member *members; /* sorted by name: the instance, or the id */
	size_t member_count;
};

void log_group_fini(struct log_group *group);

/* Copies what it is given. A static member's new incarnation takes the place of its old one. */
void log_group_join(struct log_group *group, const struct log_member *joining);
struct log_member *log_group_find(const struct log_group *group, const char *id); /* NULL: not a member (any more) */
void log_group_remove(struct log_group *group, size_t index);                     /* it left or is gone */
void log_group_give_back(struct log_group *group, const char *id);                /* the answer to a revoke */
bool log_group_may_commit(const struct log_group *group, const char *id, int64_t generation);

/* Adds a member as it was stored; members come in order. */
void log_group_restore(struct log_group *group, const struct log_member *member);

/* ---- one consumer's side ---- */

enum log_membership_state {
	LOG_OUTSIDE, /* not joined, or thrown out and the caller knows it */
	LOG_JOINED,  /* a member, without partitions */
	LOG_OWNER,   /* LOG_ASSIGNED was told */
	LOG_LEAVING, /* LOG_REVOKED was told, its answer is awaited */
	LOG_FENCED,  /* another consumer runs under this static member's name; for ever */
};

struct log_membership {
	enum log_membership_state state;
	char id[LOG_MEMBER_ID_ROOM]; /* new at every join */
	int64_t generation;          /* of the assignment that was told */
	bool lost;                   /* LOG_LEAVING: no member any more */
};

enum log_membership_step {
	LOG_STEP_NONE,
	LOG_STEP_JOIN,      /* join under a new id */
	LOG_STEP_GIVE_BACK, /* give back what the caller never heard of */
	LOG_STEP_ASSIGNED,  /* tell LOG_ASSIGNED (membership is moved on) */
	LOG_STEP_REVOKED,   /* tell LOG_REVOKED, lost as membership says */
	LOG_STEP_FENCED,    /* tell LOG_FAILED "fenced" */
};

/* What this consumer has to do next, looking at its group. */
enum log_membership_step log_membership_next(struct log_membership *membership, const struct log_group *group,
                                             const char *instance);

/* The caller assigned nothing: true where partitions are to be given back with log_group_give_back. */
bool log_membership_answered(struct log_membership *membership);
void log_membership_new_id(struct log_membership *membership, const struct seam *seam);

#endif
