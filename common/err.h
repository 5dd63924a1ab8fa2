/* err: what a function that can fail returns, and what the caller must do about it.
 *
 * The status says what to do; the code (a short snake_case word with static storage, also used as reason in dead letters,
 * halts and metrics) says what it was; the text is for people: what was found, what was expected, what to do. Callers
 * branch on status and code, never on the text. A struct err is its caller's, zeroed before, and of one thread. */
#ifndef TANDEM_ERR_H
#define TANDEM_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum status {
	OK,     /* done */
	RETRY,  /* may succeed later as it is: roll back, wait, try again, bounded */
	REJECT, /* the input is wrong and stays wrong: a dead letter, or a message to the user */
	FATAL,  /* no retry cures it: this task halts, uncommitted; a program ends with its exit status */
};

struct err {
	const char *code; /* static storage; NULL while nothing was set */
	char text[600]; /* NUL-terminated UTF-8, cut where it does not fit; what is not printable is '?' in it */
};

/* Fills err (which may be NULL) and returns status, so that `return err_set(...)` is one line. code: static storage. */
enum status err_set(struct err *err, enum status status, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "context: " before the text, on the way up. Returns status unchanged. */
enum status err_context(struct err *err, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Is this the code? False where err holds none. */
bool err_is(const struct err *err, const char *code);

#endif
