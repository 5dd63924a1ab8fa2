/* command: one entry of the table that main dispatches over. Each file NAME.c in producers/ and consumers/ defines
 * `const struct command NAME_command`; the Makefile makes the table from the file names ('-' in names is '_' in C).
 * The table is const. A command runs once in a process, on its first thread. */
#ifndef TANDEM_COMMAND_H
#define TANDEM_COMMAND_H

#include <stddef.h>

struct service;

struct command {
	const char *name;
	const char *summary;                /* one line */
	const struct service *service;      /* a worker: run, verify, rebuild, status, resend are the runtime's */
	int (*main)(int argc, char **argv); /* else: argv[0] is the command's name; returns the exit status */
};

extern const struct command *const commands[]; /* sorted by name, generated */
extern const size_t command_count;

/* Exit statuses (docs/reference.md). */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,  /* failed at run time */
	EXIT_USAGE = 2,   /* wrong usage or configuration */
	EXIT_PARTLY = 3,  /* done in part */
	EXIT_DIFFERS = 4, /* verify, audit: state differs */
	EXIT_INTERRUPTED = 130,
};

/* The description of a service by name, from the table; NULL: unknown. */
const struct service *command_service(const char *name);

#endif
