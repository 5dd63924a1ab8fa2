#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define INTERVAL_US 200000

void progress_start(struct progress *progress, const struct seam *seam, const char *what, int64_t total)
{
	*progress = (struct progress){.seam = seam, .what = what, .total = total, .terminal = isatty(STDERR_FILENO)};
	progress->start_us = progress->shown_us = seam_monotonic_us(seam);
}

void progress_update(struct progress *progress, int64_t done)
{
	if (!progress->terminal)
		return;
	int64_t now = seam_monotonic_us(progress->seam);
	if (now - progress->shown_us < INTERVAL_US)
		return;
	double rate = (double)(done - progress->shown_done) * 1e6 / (double)(now - progress->shown_us);
	fprintf(stderr, "\r\033[K%" PRId64, done);
	if (progress->total > 0)
		fprintf(stderr, " of %" PRId64 " (%" PRId64 " %%)", progress->total, done * 100 / progress->total);
	fprintf(stderr, " %s, %.0f/s", progress->what, rate);
	fflush(stderr);
	progress->shown_us = now;
	progress->shown_done = done;
	progress->shown = true;
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
