/* survey: what there is of an installation in a log, before anything is made, checked or deleted. Reads only. */
#ifndef TANDEM_TOPICS_SURVEY_H
#define TANDEM_TOPICS_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "genesis.h"
#include "log.h"

enum survey_state {
	SURVEY_EMPTY,   /* no record was ever written */
	SURVEY_GENESIS, /* record 0 is a genesis of the installation */
	SURVEY_OTHER,   /* record 0 is something else, or gone, or another installation's: a problem was told */
};

struct survey_topic {
	struct genesis_topic planned;
	struct log_topic found;
	enum survey_state *states; /* of each partition found */
	bool made;                 /* by this run (create.c) */
};

struct survey {
	struct log *log;
	struct arena *arena;
	FILE *out; /* where problems go, a line each */
	struct survey_topic *topics;
	size_t count;
	bool found;             /* some record 0 is a genesis: */
	struct genesis genesis; /* the first */
	size_t problems;
	bool unreadable;       /* some topic's settings may not be read */
	bool must_delete;      /* a problem that only goes away with the topics */
	bool (*stopped)(void); /* asked before every step; NULL: never */
};

/* Looks at every topic of the plan and the first record of each partition. What is wrong goes to out and counts as problem.
 * single_replica: the policy that is wanted; an installation that is found has its own, which must be the same.
 * RETRY, FATAL: it could not be read; RETRY "interrupted": stopped() said so. */
enum status survey_read(struct survey *survey, const struct genesis_topic_array *plan, struct err *err);

/* Problems of what was found against what is wanted: pinned counts, header forms, the replication policy. */
void survey_compare_genesis(struct survey *survey, const struct genesis_topic_array *plan, bool single_replica);

/* The problem of an installation whose chains are keyed where they are to be public, or the other way round. */
void survey_compare_chain(struct survey *survey, bool keyed);

/* Problems of the topics that are there: partition counts, replicas and settings. */
void survey_compare_topics(struct survey *survey, bool single_replica);

void survey_problem(struct survey *survey, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* RETRY "interrupted", where stopped() says so. */
enum status survey_step(const struct survey *survey, struct err *err);

#endif
