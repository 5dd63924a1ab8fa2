/* halt: what a halted task leaves for people: <partition>.halt beside its file, a JSON object (reason, message, since), written
 * by rename and taken away when the task runs again. It is not state: nothing but `status` reads it. The room for it is taken
 * beforehand (<partition>.halt.new), since a full disk is a reason to halt. Whoever holds the task's lock writes; anybody reads.
 * Blocks as writing a small file does. */
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

/* Failures of all three are ignored: the task is halted either way, and the log line has said why. */
void halt_reserve(const char *path); /* takes the room, unless it has it */
void halt_write(const char *path, const struct err *err, int64_t since_ms);
void halt_remove(const char *path); /* keeps the room */

/* False: there is none, or it is not readable. Texts live in the arena. */
bool halt_read(const char *path, struct arena *arena, struct halt *out);

#endif
