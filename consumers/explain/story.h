/* story: one order as its logs tell it.
 *
 *   state_*    what the tasks' files know of it: where it was placed, decided, reserved
 *   search_*   reads those records, and finds the others near them by time
 *   causes_*   which record led to which
 *   print_*    as a tree, or JSON
 *
 * Files are opened read-only beside running workers, no topic is read from its start, nothing is written or locked. All of a
 * story lives in its arena. One thread. */
#ifndef TANDEM_EXPLAIN_STORY_H
#define TANDEM_EXPLAIN_STORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"
#include "events.h"
#include "log.h"
#include "mem.h"
#include "record_view.h"
#include "seal.h"

#define STORY_REACH 10000 /* records looked at each way from where one is expected */

/* orders.status */
enum story_status { STORY_PENDING = 1, STORY_CONFIRMED = 2, STORY_REJECTED = 3, STORY_CANCELLED = 4 };

/* The lines of the order that one inventory partition owns. */
struct story_group {
	int32_t partition;
	char state;        /* as in orders.groups: W waiting, R reserved, X refused, L released */
	bool known;        /* the partition's file has its reservation */
	int64_t at_offset; /* of the ReserveStock; where known */
};

struct story_event {
	const char *topic;
	struct log_record record;
	struct record_view view;
	bool repeat;      /* a second copy of an event that came before: it changes nothing */
	int cause;        /* index of the event that led to it; -1: it came from outside, or its cause was not found */
	const char *note; /* NULL: none */
};

struct story {
	struct arena arena;
	const char *order_id;
	struct log *log;
	struct genesis genesis; /* of orders */
	struct seal seal;
	int32_t partition; /* of orders */

	/* What the files know. */
	bool placed, cancel_requested;
	enum story_status status;
	const char *currency;
	int64_t total_minor, line_count;
	int64_t placed_offset, decided_offset, cancel_offset; /* -1: none */
	struct story_group *groups;
	size_t group_count;

	/* What was found. */
	struct story_event *events;
	size_t event_count, event_room;
	const char **looked_at; /* files and ranges, as text */
	size_t looked_count;
	const char **missing; /* what should be there and was not found, as text */
	size_t missing_count;
	bool older_letters; /* there are dead letters that were not looked at */
};

/* Tells the story. data: folders of the workers' files. OK: see placed, cancel_requested (both false: no file knows the
 * order, and its events are those of dead letters, where there are any) and missing. FATAL: no_genesis, a file that cannot be read; RETRY: the log cannot be read now. story_free in every
 * case. Blocks, bounded. */
enum status story_tell(struct story *story, struct log *log, const char *order_id, const char *const *data,
                       size_t data_count, struct err *err);
void story_free(struct story *story);

/* ---- its parts ---- */

enum status state_read(struct story *story, const char *const *data, size_t data_count, struct err *err);
enum status search(struct story *story, struct err *err);
/* Of an order that no file knows: the newest STORY_REACH dead letters, of its own partition first. */
enum status search_letters(struct story *story, struct err *err);
void causes_find(struct story *story);

void story_looked(struct story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));
void story_missing(struct story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The event at this place, copied where it is new. Returns its index. */
size_t story_add(struct story *story, const char *topic, const struct log_record *record);
int story_at(const struct story *story, const char *topic, int32_t partition, int64_t offset); /* -1: not found */

/* The first event of this type in this partition that is no repeat; for an answer in `orders` inventory says whose. -1: none. */
int story_find(const struct story *story, const char *topic, int32_t partition, const struct event_type *type,
               int32_t inventory);

/* Does this event name the order? (A record's key alone could be anybody's.) */
bool story_is_about(const struct story *story, const struct record_view *view);

/* The index of the answer of this group: StockReserved or StockRejected. -1: none was found. */
int story_answer(const struct story *story, int32_t inventory);

/* The answer that confirmed the order, also one that was cancelled later: the last of them, all reserved before. -1: none. */
int story_confirming(const struct story *story);

/* ---- for people and programs ---- */

void story_print(const struct story *story, FILE *out, bool tree);
void story_print_json(const struct story *story, FILE *out);
const char *story_status_text(const struct story *story);

#endif
