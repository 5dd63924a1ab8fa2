/* halt: what a halted task leaves for people: <partition>.halt beside its file, a JSON object (reason, message, offset,
 * since), written by rename and removed when the task runs again. It is not state: nothing but `status` reads it. */
#ifndef TANDEM_HALT_H
#define TANDEM_HALT_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"

struct halt {
	const char *reason;  /* the code */
	const char *message; /* what was found, what was expected, what to do */
	int64_t since_ms;    /* wall clock */
};

/* Failures are ignored: the task is halted either way, and the log line has said why. */
void halt_write(const char *path, const struct err *err, int64_t since_ms);
void halt_remove(const char *path);

/* False: there is none, or it is not readable. Texts live in the arena. */
bool halt_read(const char *path, struct arena *arena, struct halt *out);

#endif
