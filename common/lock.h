/* lock: one owner a task file. A flock on <partition>.lock, held while the task is open, so that a dead owner's lock is free
 * at once and a stopped owner's is not.
 *
 * The lock file says who holds it and what it is doing, in a line that `status` and people read:
 *     pid 4711 folding
 * The page is mapped: changing the state is a store, not a system call. One thread a lock; none of it waits for an owner. */
#ifndef TANDEM_LOCK_H
#define TANDEM_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

struct lock;

/* What the holder is doing; the states of the commit protocol. */
enum lock_state {
	LOCK_OPENING, /* checking log and file */
	LOCK_READY,   /* nothing folded that is not committed */
	LOCK_FOLDING, /* a batch is open, every output so far is acknowledged */
	LOCK_SENDING, /* a batch is open, outputs are not acknowledged yet */
	LOCK_ACKS,    /* waiting for acknowledgements, to commit */
	LOCK_COMMIT,  /* COMMIT is next or under way */
	LOCK_MARKING, /* committed, the group commit is under way */
	LOCK_HALTED,
	LOCK_STATES
};

const char *lock_state_name(enum lock_state state);

/* RETRY "locked": another process holds it; the text has its pid. RETRY "io". *out is the caller's: lock_close. */
enum status lock_open(const char *path, struct lock **out, struct err *err);
void lock_set(struct lock *lock, enum lock_state state);
void lock_close(struct lock *lock); /* NULL is fine */

/* Who holds it? False: nobody, or there is no such file. Does not disturb the holder. */
bool lock_holder(const char *path, pid_t *pid, enum lock_state *state);

#endif
