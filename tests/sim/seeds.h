/* seeds: runs one after the other, here or in children, and adds up what came of them. */
#ifndef TANDEM_SIM_SEEDS_H
#define TANDEM_SIM_SEEDS_H

#include "sim.h"

struct settings {
	uint64_t seed;  /* the first */
	int64_t seeds;  /* how many; < 0: until the time is over */
	double minutes; /* 0: as long as it takes */
	const char *list;
	int jobs; /* 0: in this process; else so many children */
	bool trace, shrink, twice, keep_going;
	char folder[64]; /* a new one, for files */
};

struct totals {
	int64_t seeds, failed, first[3], remedied, steps, records;
	int64_t left_bytes; /* that the first seed left behind: what is made once */
	struct tally tally;
};

/* The machine's clock, for summaries and limits alone: no run sees it. Seconds. */
double seeds_now(void);

/* False: it failed. Prints why, and the command that runs it again. */
bool seeds_try(const struct settings *settings, uint64_t seed, struct totals *totals);

/* All of them. Stops at the first that fails unless keep_going; every = seconds between two calls of `tell`, which may be NULL. */
void seeds_run(const struct settings *settings, double every, void (*tell)(const struct totals *),
               struct totals *totals);

void seeds_clean(const struct settings *settings); /* removes the folder */
void seeds_add(struct totals *total, const struct totals *one);

#endif
