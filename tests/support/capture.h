/* capture: what a piece of code writes to stdout or stderr. */
#ifndef TANDEM_TESTS_CAPTURE_H
#define TANDEM_TESTS_CAPTURE_H

#include "command.h"

#include <stddef.h>

struct capture {
	int fd, kept, file; /* the descriptor, a copy of what it was, where it goes */
	char *text;
};

void capture_begin(struct capture *capture, int fd); /* STDOUT_FILENO or STDERR_FILENO */
const char *capture_end(struct capture *capture);    /* what was written; lives until capture_free */
void capture_free(struct capture *capture);

#define CAPTURE_WORDS_MAX 12

/* A command line, and what must come of it. */
struct capture_case {
	const char *words[CAPTURE_WORDS_MAX]; /* behind the command's name */
	int exit_status;
	const char *message; /* a piece of what stands on stderr */
};

/* Runs each in this process; fails the test naming the first that is not as it should be. */
void capture_commands(const struct command *command, const struct capture_case *cases, size_t count);

#endif
