/* replay: what the parts of `tandem replay` share.
 *
 *   position_*  where to begin and to end, and the partitions that gives
 *   run_*       reads them, one after the other and each in the order of offsets, and gives what was asked for to a sink
 *   pace_*      at most so many a second
 *   print_*     a sink: lines, JSON, or what a format says (format_*)
 *   copy_*      a sink: into another topic or log
 *   export_*    a sink: into an Avro container file
 *   load_*      the events of such a file, into an installation, by the sink that copies
 *   mirror_*    a whole installation, offsets and all, into a new local log
 *
 * Nothing here joins a group or commits an offset. One thread. */
#ifndef TANDEM_REPLAY_H
#define TANDEM_REPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"
#include "event.h"
#include "log.h"
#include "mem.h"
#include "progress.h"
#include "seam.h"

enum replay_at {
	REPLAY_BEGINNING,
	REPLAY_END,
	REPLAY_OFFSET,     /* value */
	REPLAY_BEFORE_END, /* value records' offsets before it */
	REPLAY_TIME,       /* the first record at or after value, milliseconds */
};

struct replay_position {
	enum replay_at at;
	int64_t value;
};

struct replay_topic {
	const char *name;
	int32_t partitions;
	const char *tstype; /* kcat's word: logappend, create, unknown */
};

/* What is read of one partition. */
struct replay_slice {
	const struct replay_topic *topic;
	int32_t partition;
	int64_t from, to; /* to is not read */
	int64_t next;     /* everything before it was read */
};

struct replay_selection {
	const char *const *topics;
	size_t topic_count;
	int64_t partition; /* -1: all */
	struct replay_position from;
	int64_t to_offset; /* not read; -1: to the end */
	bool has_until;
	int64_t until_ms;              /* not read */
	const char *key;               /* NULL: any */
	const struct event_type *type; /* NULL: any */
	int64_t count;                 /* ends after so many; 0: no such bound */
	int64_t rate;                  /* at most so many of them a second; 0: no such bound */
	bool follow;                   /* goes on behind the end */
};

/* Why a record that was asked for was left out. */
enum replay_skip {
	REPLAY_CONTROL,     /* a control record */
	REPLAY_WORKERS,     /* a worker's event, where only a publisher's may go */
	REPLAY_OTHER_TOPIC, /* an event that the target topic is not for */
	REPLAY_NO_EVENT,    /* its bytes are no event that this program knows */
	REPLAY_SKIPS
};

struct replay_result {
	int64_t read;  /* records looked at */
	int64_t taken; /* by the sink; printed, acknowledged, written */
	int64_t moved; /* copied with a later timestamp than they had */
	int64_t skipped[REPLAY_SKIPS];
};

struct replay_sink {
	/* A record that was asked for; borrowed. */
	enum status (*take)(void *arg, const struct replay_slice *slice, const struct log_record *record,
	                    struct err *err);
	/* Nothing comes just now: what waits goes out. NULL: nothing ever waits. */
	enum status (*idle)(void *arg, struct err *err);
	/* Everything was given. NULL: nothing is left to do. */
	enum status (*finish)(void *arg, struct err *err);
	/* It ends early: what was taken is made safe where that is possible. NULL: nothing is. */
	enum status (*settle)(void *arg, struct err *err);
	/* The first offset of the slice that was given and is not safe yet. False: there is none. NULL: never any. */
	bool (*unsafe)(void *arg, const struct replay_slice *slice, int64_t *offset);
	void *arg;
};

struct replay_run {
	struct log *log; /* borrowed */
	const struct seam *seam;
	const struct replay_selection *selection;
	const struct replay_sink *sink;
	bool (*stopped)(void); /* NULL: never */
	bool progress;         /* shown on stderr */
	FILE *notes;           /* what people should know; NULL: nowhere */
};

/* Reads and gives. *slices (in the arena) say how far each partition came, also on a failure. Statuses: the sink's, the
 * log's, and RETRY "interrupted" (not while following: that is how it ends); FATAL "out_of_range": an offset that is not there any more; FATAL unknown_topic;
 * REJECT "usage": a partition that is not there. */
enum status replay_run(const struct replay_run *run, struct arena *arena, struct replay_slice **slices, size_t *count,
                       struct replay_result *result, struct err *err);

/* ---- sinks; each lives until its close. result is the run's ---- */

struct format;
struct print_config {
	FILE *out;
	bool json;                   /* one object a line, else one line */
	const struct format *format; /* borrowed; NULL: lines or JSON */
	bool raw;                    /* by the format: bytes as they are, see format_put */
};

struct print;
struct print *print_open(const struct print_config *config, struct replay_result *result, struct replay_sink *sink);
void print_close(struct print *print); /* NULL is fine, here and below */

struct counter; /* a sink that only counts */
void count_open(struct replay_result *result, struct replay_sink *sink);

struct copy_config {
	struct log *source, *target; /* borrowed; may be the same. source NULL: what is taken comes from no log */
	const struct seam *seam;
	const char *topic; /* NULL: each source topic's name */
	bool create;       /* a topic that is not there is made */
	bool publishers;   /* the target must be an installation's */
	bool dry_run;      /* checks the target, sends nothing */
	int64_t patience_ms;
	bool (*stopped)(void);
};

/* Into an installation's topic go publishers' events alone, as a publisher's records; into any other everything but control
 * records. REJECT "usage": the target is none that can be copied to; FATAL unknown_topic, no_genesis, ... */
struct copy;
enum status copy_open(const struct copy_config *config, const struct replay_selection *selection,
                      struct replay_result *result, struct copy **out, struct replay_sink *sink, struct err *err);
void copy_close(struct copy *copy);

/* The file is written beside `path` and put there when it is whole (finish). dry_run: nothing is written. */
struct export;
enum status export_open(const char *path, const struct event_type *type, const char *codec, bool dry_run,
                        struct replay_result *result, struct export **out, struct replay_sink *sink, struct err *err);
void export_close(struct export *export);

/* ---- from a file ---- */

struct load_config {
	const char *path;
	struct log *log; /* borrowed */
	const struct seam *seam;
	bool dry_run; /* checks file and target, sends nothing */
	int64_t rate; /* events a second; 0: as fast as it goes */
	int64_t patience_ms;
	bool (*stopped)(void);
	bool progress; /* shown on stderr */
};

/* Sends the events of an Avro container file to their topic, as a publisher does. They must be of a publisher's type, written
 * with a schema that is known here. The whole file is read and checked before the first is sent; of it no more than a block is
 * kept in memory. result: read and taken (acknowledged; in a dry run: would be sent). REJECT "malformed", "unknown_codec",
 * "bad_schema", "unknown_schema", "not_publishers", "identifier": the file, naming block or event; FATAL "io"; else copy_open's
 * and the log's. Blocks. */
enum status load_run(const struct load_config *config, struct replay_result *result, struct err *err);

/* ---- names ---- */

const char *replay_skip_text(enum replay_skip skip, bool json);

#endif
