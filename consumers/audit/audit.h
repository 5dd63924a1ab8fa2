/* audit: do the services agree with each other, and with what stands in the log?
 *
 * A look takes a state of every task: a copy of its file where one is found, made beside the running worker, else a fold of its
 * log. Only then are the ends of the logs asked for. What has reached them all is one moment, and is judged strictly:
 *
 *   streams   the source's `outbound` against each reader's `inbound`, number and chain hash; what goes to readers outside
 *             (order-events, dead letters) against the last record of the source in the topic
 *   gaps      none of a known source is open
 *   orders    order against inventory: see orders.c
 *
 * Where a task has not reached its end a difference may still be on its way: it is unsettled, not wrong.
 * Blocking; one thread. */
#ifndef TANDEM_AUDIT_H
#define TANDEM_AUDIT_H

#include "genesis.h"
#include "json.h"
#include "log.h"
#include "refold.h"
#include "seal.h"
#include "service.h"
#include "task.h"

#include <stdbool.h>
#include <stdio.h>

#define AUDIT_READ_BACK 10000 /* records of a topic that are read for the last one of a source */
#define AUDIT_SHOWN     20    /* findings of a kind that are told; the rest is counted */

enum audit_verdict { /* the worse, the higher */
	             AUDIT_HOLDS,
	             AUDIT_UNSETTLED, /* something is under way, or may be: look again later */
	             AUDIT_UNSEEN,    /* it could not be looked at */
	             AUDIT_DIFFERS,
};

const char *audit_verdict_name(enum audit_verdict verdict);

/* One task. */
struct audit_view {
	const struct service *service;
	int32_t partition;
	const char *path;      /* its file; NULL: folded from the log */
	struct refold *refold; /* where it is folded */
	struct task *task;     /* the state; NULL: it could not be looked at */
	struct err why;        /* then */
	char scratch[512];     /* the copy or fold on disk; "" for none */
	int64_t next_offset, end;
	int64_t lag;      /* records behind the state that was taken */
	int64_t sent_lag; /* records whose outputs may not be sent yet: a file's lag; a fold's by the mark, -1 unknown */
	bool beyond_end;  /* the state has consumed records that the log has not got (any more) */
	char halted[64];  /* the reason; "": it is not halted */
};

/* One stream as its source and one reader have it. */
struct audit_stream {
	const struct audit_view *source;
	const char *topic;
	int32_t partition;
	const char *reader; /* the service; NULL: the last record in the topic */
	uint64_t sent, sent_chain, received, received_chain;
	enum audit_verdict verdict;
	const char *what; /* what is wrong and the command that heals it; "" where nothing is */
};

struct audit_gap {
	const struct audit_view *view;
	struct task_gap gap;
	enum audit_verdict verdict;
	const char *what;
};

struct audit_rule {
	const char *text;
	bool judged; /* false: not while something is unsettled */
	int64_t checked, wrong;
	const char *shown[AUDIT_SHOWN];
	size_t shown_count;
};

enum audit_rules {
	RULE_BOUNDS,
	RULE_RECEIPTS,
	RULE_COMMITTED,
	RULE_RESERVED,
	RULE_ENDED,
	RULE_CONFIRMED,
	RULE_DEAD,
	RULE_ORPHAN,
	AUDIT_RULES
};

struct audit_config {
	struct log *log;         /* borrowed */
	const char *const *data; /* folders of task files; where two have a task's, the one that is further */
	size_t data_count;
	const char
		*scratch; /* folder for copies and folds; NULL: beside the files, and in memory where there are none */
	bool (*going_on)(void *arg); /* NULL: always */
	void *arg;
};

struct audit {
	struct audit_config config;
	struct arena kept;  /* lives as long as the audit */
	struct arena arena; /* what the last look found */
	struct genesis genesis;
	struct seal seal;
	struct audit_view *views;
	size_t view_count;
	const char **left_out; /* services that the installation has not got, or nobody runs, and why */
	size_t left_out_count;

	struct audit_stream *streams;
	size_t stream_count, stream_room;
	struct audit_gap *gaps;
	size_t gap_count, gap_room;
	struct audit_rule rules[AUDIT_RULES];
	int64_t orders[5]; /* by status; [0] all */
	bool has_orders;   /* every task of order and inventory could be looked at */
	bool settled;      /* every state at its end, every stream equal: what concerns two tasks can be judged */
	bool drained;      /* and every worker too, as far as files and marks say */
	enum audit_verdict verdict;
};

/* Finds the installation and its tasks. FATAL, RETRY: see installation_find. *out is the caller's: audit_close. */
enum status audit_open(const struct audit_config *config, struct audit **out, struct err *err);
void audit_close(struct audit *audit);

/* Takes every state anew and compares. RETRY "interrupted"; other faults are those of a view, and make it unseen. */
enum status audit_look(struct audit *audit, struct err *err);

/* Has a task records left to fold or to send, as far as files, marks and ends say? Cheap: no state is taken. */
bool audit_behind(struct audit *audit);

void audit_print(const struct audit *audit, FILE *out);
json_t *audit_json(const struct audit *audit); /* a new reference */

/* ---- the parts ---- */

enum status views_find(struct audit *audit, struct err *err);
enum status views_take(struct audit *audit, struct err *err);
void views_release(struct audit *audit); /* closes the copies; folds are kept, to go on */
void views_close(struct audit *audit);
int64_t view_lag_behind(const struct audit *audit, const struct audit_view *view, int64_t next_offset);

void streams_compare(struct audit *audit);
void orders_check(struct audit *audit);

/* A text in the audit's arena. */
#define audit_text(audit, ...) arena_format(&(audit)->arena, __VA_ARGS__)

#endif
