/* recovery: how long an installation took to come back from a fault, told by the log's own timestamps (append time), so that
 * nothing has to look while it happens.
 *
 * A test notes the fault when it happens and, once all is drained, ends the note: a line is printed and appended to
 * build/recovery.tsv ($TANDEM_RECOVERY: another file), which tests/support/recovery.sh shows as a table:
 *
 *   test  fault  first  everywhere  drained
 *
 * in seconds from the fault: until the first outcome (a record of order-events) of something that was published after it,
 * until every partition of order-events had one, and until everything was drained, the load that went on included. A minus
 * stands where there is none: nothing was published afterwards. */
#ifndef TANDEM_TESTS_RECOVERY_H
#define TANDEM_TESTS_RECOVERY_H

#include <stdint.h>

#include "rig.h"

struct recovery {
	const char *test, *fault; /* words without tabs, the caller's */
	int64_t fault_ms;         /* wall clock */
};

/* The fault happens now. */
void recovery_begin(struct recovery *recovery, const char *test, const char *fault);

/* All is drained now. Reads orders and order-events; fails the test where that cannot be done. */
void recovery_end(struct rig *rig, const struct recovery *recovery);

#endif
