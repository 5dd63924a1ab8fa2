/* log_locks: does a process hold a lock of a local log? Whoever is stopped there stops every writer (docs/local-log.md), so a
 * test that stops a process lets it go on and tries again where it does. */
#ifndef TANDEM_TESTS_LOG_LOCKS_H
#define TANDEM_TESTS_LOG_LOCKS_H

#include <stdbool.h>
#include <sys/types.h>

/* Of the log in that folder; as /proc/locks tells, so of a process that stands still. Aborts where that cannot be read. */
bool log_locks_held(pid_t pid, const char *folder);

#endif
