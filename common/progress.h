/* progress: how far a long job is, one line on stderr that is rewritten in place, only where stderr is a terminal. */
#ifndef TANDEM_PROGRESS_H
#define TANDEM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "seam.h"

struct progress {
	const struct seam *seam;
	const char *what; /* "acknowledged" */
	int64_t total;    /* 0: unknown */
	int64_t start_us, shown_us, shown_done;
	bool terminal, shown;
};

/* what: static text, put behind the number. Costs nothing where stderr is no terminal. */
void progress_start(struct progress *progress, const struct seam *seam, const char *what, int64_t total);
void progress_update(struct progress *progress, int64_t done); /* shows it at most five times a second */
void progress_end(struct progress *progress);                  /* clears the line */

#endif
