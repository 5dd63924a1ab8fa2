/* interrupt: SIGINT and SIGTERM ask a program to stop; a second one ends it at once with status 130.
 *
 * Signals are the process's, and so is the one flag here. */
#ifndef TANDEM_INTERRUPT_H
#define TANDEM_INTERRUPT_H

#include <stdbool.h>

void interrupt_install(void);   /* blocking calls end with EINTR from now on. SIGPIPE is ignored */
bool interrupt_requested(void); /* async-signal-safe, any thread */

#endif
