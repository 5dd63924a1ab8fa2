/* history: what writers sent and were told, what readers saw, and whether the two fit: the questions that Jepsen's Kafka
 * workload asks of a log, asked of Tandem's records as well. It reads and writes nothing itself: witness.h notes what it does
 * while a test goes on, and test_history.c makes histories by hand.
 *
 * Every record of a writer carries its id in a header, another one at every attempt: so each id stands in the log at most once,
 * and where it was acknowledged exactly once, at the place that the acknowledgement named. A reader goes from record to
 * record and may not jump; it may be placed anew. Records with a `tandem` header are taken as their readers take them: of each
 * source's stream the next number, everything else is a repeat or too early, and dropped.
 *
 * A writer and a view belong to one thread each; they are made, and the history is checked, while none is at work. */
#ifndef TANDEM_TESTS_HISTORY_H
#define TANDEM_TESTS_HISTORY_H

#include <stdint.h>

#include "log.h"

#define HISTORY_HEADER     "history" /* "<writer>/<sequence>" */
#define HISTORY_NAME_MAX   31
#define HISTORY_TOPIC_MAX  63
#define HISTORY_STATED_MAX 12

enum history_anomaly {
	HISTORY_LOST, /* acknowledged, and a reader passed the place without it; a stream that ends before its highest number */
	HISTORY_DUPLICATED, /* an id at two places; the same event under two numbers of a stream */
	HISTORY_REORDERED, /* of one writer and key, acknowledged in another order than sent; a reader that went back; a stream
	                       whose events go back in what caused them */
	HISTORY_UNSEEN,  /* a reader jumped over a record that others know, or nobody came to what was acknowledged */
	HISTORY_CHANGED, /* two readers, or a repeat and its first copy, or record and acknowledgement, differ */
	HISTORY_UNSENT,  /* a record with an id that was never sent */
	HISTORY_ANOMALIES
};

const char *history_anomaly_name(enum history_anomaly anomaly);

struct history;
struct history_writer;
struct history_view; /* one reader's, of one partition */

struct history *history_new(void);
void history_free(struct history *history); /* and all that was made from it. NULL is fine */

/* ---- writing ---- */

struct history_writer *history_writer(struct history *history, const char *name);
/* Before it is sent: returns its sequence number, from 0, and its id, which lives as long as the history. */
uint64_t history_sent(struct history_writer *writer, const char *topic, int32_t partition, const struct log_bytes *key,
                      const char **id);
void history_acknowledged(struct history_writer *writer, uint64_t sequence, int64_t offset);
/* Nothing is noted where it is not known what became of it. */

/* ---- reading ---- */

/* The reader begins at this offset. */
struct history_view *history_view(struct history *history, const char *reader, const char *topic, int32_t partition,
                                  int64_t from);
void history_read(struct history_view *view, const struct log_record *record);
void history_placed(struct history_view *view, int64_t offset); /* it goes on there: a jump of its own will */
int64_t history_next(const struct history_view *view);          /* where it is to go on */
/* It has read everything below this offset. */
void history_read_all(struct history_view *view, int64_t end);

/* ---- judging ---- */

struct history_result {
	size_t counts[HISTORY_ANOMALIES];
	size_t sent, acknowledged; /* by writers */
	size_t read;               /* by all readers together */
	size_t places;             /* different records they saw */
	size_t taken, repeats;     /* numbered records, as the readers who read from the beginning take them */
	size_t stated;
	char texts[HISTORY_STATED_MAX][240]; /* the first of what was found */
};

void history_check(const struct history *history, struct history_result *out);

/* Prints a line; and fails the test, naming what was found, unless there is none of it. */
void history_expect_none(const struct history_result *result);

#endif
