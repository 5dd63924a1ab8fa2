/* letters: the dead letters of a topic, as its .dlq holds them, and what was done about each, as the topic itself says.
 *
 *   letters_*  reads the .dlq of every partition, in the order of numbers; what is no letter of ours is counted and left alone
 *   done_*     reads the topic for redrives and discards, which is where their first one counts
 *   act_*      sends redrives and discards
 *
 * A letter is named by partition and number: one that was sent twice stands at two offsets and is one. Of each letter a few words
 * are kept in memory, its key among them, not its value. Nothing here joins a group. Blocking; one thread. */
#ifndef TANDEM_DLQ_LETTERS_H
#define TANDEM_DLQ_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "genesis.h"
#include "log.h"
#include "mem.h"
#include "seal.h"
#include "seam.h"

enum letter_state { LETTER_OPEN, LETTER_REDRIVEN, LETTER_DISCARDED, LETTER_STATES };

struct letter {
	int32_t partition;
	uint64_t number;
	int64_t offset, timestamp_ms; /* in the .dlq */
	const char *reason;           /* "" where the header is missing */
	struct log_bytes key;
	int64_t original_offset; /* -1: the header makes no sense */
	int32_t target;          /* the partition of the topic that it goes back to */
	uint64_t again_of;       /* it is a redrive of this letter that was rejected once more; 0: it is none */
	enum letter_state state;
	int64_t done_offset; /* in the target partition; -1 while it is open */
	bool chosen;
};

struct letters_partition {
	size_t first, count; /* in the list; numbers are dense from the first one's on */
	int64_t repeats;     /* letters that stand there once more */
	int64_t foreign; /* records that are no letter: no or another's header, a number out of turn, another chain */
	int64_t foreign_offset; /* of the first one */
};

struct letters {
	struct log *log; /* borrowed */
	const char *topic, *dlq;
	const char *service; /* that sends them */
	struct genesis genesis;
	struct seal seal;
	int32_t partitions;
	struct letters_partition *of;
	struct letter *items;
	size_t count, room;
	bool (*stopped)(void);
	struct arena arena;
};

/* topic: with or without `.dlq`; REJECT "usage" where it is no service's input. Reads all of the .dlq. RETRY "interrupted"; else
 * the log's. letters_close whatever is returned. */
enum status letters_open(struct log *log, const char *topic, bool (*stopped)(void), struct letters *out,
                         struct err *err);
void letters_close(struct letters *letters);

struct letter *letters_find(const struct letters *letters, int32_t partition, uint64_t number); /* NULL: none such */

/* The records of the chosen letters, in order. Stops at the first status that is not OK. */
enum status letters_each(const struct letters *letters,
                         enum status (*each)(void *arg, const struct letter *letter, const struct log_record *record,
                                             struct err *err),
                         void *arg, struct err *err);

/* Sets state and done_offset. Reads the topic from the first record on that could say so. */
enum status done_read(struct letters *letters, struct err *err);

const char *letter_state_name(enum letter_state state);

/* ---- doing something ---- */

struct act_config {
	bool discard;
	const char *why; /* of a discard; "" for nothing */
	int64_t rate;    /* at most so many a second; 0: as they go */
	int64_t patience_ms;
	const struct seam *seam;
};

struct act_result {
	int64_t sent; /* acknowledged */
};

/* Sends every chosen letter that is open, each partition in the order of numbers. RETRY "interrupted"; else delivery's. */
enum status act_run(const struct letters *letters, const struct act_config *config, struct act_result *result,
                    struct err *err);

#endif
