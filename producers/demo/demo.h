/* demo: running Tandem's own commands as processes, and counting what came out. */
#ifndef TANDEM_DEMO_H
#define TANDEM_DEMO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"
#include "mem.h"

struct demo_process {
	const char *name; /* "order": its output goes to <folder>/<name>.log */
	pid_t pid;        /* 0: not running */
};

struct demo {
	const struct config *config;
	char program[4096];  /* this program's path */
	char *folder, *data; /* all files; of it the workers' */
	const char *csv;     /* NULL: orders are generated */
	char *log_url, *name_space;
	char *log_options; /* for people: "--log local:DIR" */
	char partitions[16];
	bool keep; /* the folder stays */
	bool on_broker;
	struct demo_process order, inventory;
	char story[80]; /* the order that is explained */
	int64_t start_us;
};

/* Makes the folder and chooses the log. Returns an exit status; demo_close in any case. */
int demo_open(struct demo *demo, const struct config *config, const char *local, int partitions);
void demo_close(struct demo *demo); /* ends what still runs, removes what is not kept */

void demo_say(const char *text);

/* Shows the command, runs it, waits. Arguments end with NULL; log, namespace and data are added. False: it failed, or the user
 * interrupted. */
bool demo_run(struct demo *demo, const char *first, ...) __attribute__((sentinel));
bool demo_spawn(struct demo *demo, struct demo_process *process, const char *first, ...) __attribute__((sentinel));
bool demo_wait(struct demo *demo, struct demo_process *process);

/* A worker, for ever; its log goes to a file. */
bool demo_start(struct demo *demo, struct demo_process *worker);
bool demo_stop(struct demo *demo, struct demo_process *worker); /* SIGTERM, and waits */

/* Waits until the worker has an open batch, says which state of the protocol it is in, and ends it with SIGKILL. */
bool demo_kill_busy(struct demo *demo, struct demo_process *worker);

/* Reads order-events as anybody would, dropping repeats, and prints what became of the orders. */
bool demo_outcome(struct demo *demo);

#endif
