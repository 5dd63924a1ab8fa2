/* capture: what a piece of code writes to stdout or stderr. */
#ifndef TANDEM_TESTS_CAPTURE_H
#define TANDEM_TESTS_CAPTURE_H

#include <stddef.h>

struct capture {
	int fd, kept, file; /* the descriptor, a copy of what it was, where it goes */
	char *text;
};

void capture_begin(struct capture *capture, int fd); /* STDOUT_FILENO or STDERR_FILENO */
const char *capture_end(struct capture *capture);    /* what was written; lives until capture_free */
void capture_free(struct capture *capture);

#endif
