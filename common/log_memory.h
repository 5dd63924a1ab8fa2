/* log_memory: where the simulator gets at local::memory:. What log.h says of it holds without any of this.
 *
 * Everything happens in the caller's thread and in the order of calls; time is the seam's alone. A write that is delayed
 * lands, and its acknowledgement comes, when some handle of the memory is used after its time has come. */
#ifndef TANDEM_LOG_MEMORY_H
#define TANDEM_LOG_MEMORY_H

#include "log.h"

enum log_memory_fate {
	LOG_MEMORY_WRITE,   /* written, acknowledged OK */
	LOG_MEMORY_UNKNOWN, /* written, acknowledged RETRY "timeout" */
	LOG_MEMORY_LOSE,    /* not written, acknowledged RETRY "timeout" */
	LOG_MEMORY_REFUSE,  /* not written, acknowledged FATAL "io" */
	LOG_MEMORY_DOUBLE,  /* written twice, acknowledged OK at the first */
	LOG_MEMORY_FULL,    /* not taken: log_produce returns RETRY "queue_full" */
	LOG_MEMORY_BROKEN,  /* not taken: log_produce returns FATAL "io", as a producer that is fenced or broken does */
};

/* Each may be NULL: no fault of that kind. Topics and groups are full names. */
struct log_memory_faults {
	void *arg;
	/* What becomes of a record; *delay_us (0 before) later. Records of one producer never overtake each other. */
	enum log_memory_fate (*produce)(void *arg, const char *topic, const struct log_record *record,
	                                int64_t *delay_us);
	/* A group commit: OK is done; otherwise it is not, and this is reported as LOG_COMMITTED. */
	enum status (*commit)(void *arg, const char *group, const char *topic, struct err *err);
	/* Somebody waits (log_wait): time may pass. Without it none does. */
	void (*wait)(void *arg, int timeout_ms);
	/* May this record be read now? False hides it and what follows from consumers, as a slow fetch does. */
	bool (*deliver)(void *arg, const char *topic, int32_t partition, int64_t offset);
	/* Where a consumer whose turn is this offset is read instead, as of a log that repeats or skips. */
	int64_t (*misread)(void *arg, const char *topic, int32_t partition, int64_t offset);
};

/* NULL: none from now on. Copied. */
void log_memory_set_faults(struct log_memory *memory, const struct log_memory_faults *faults);

/* Every group member of this group is thrown out, as if its session had timed out. */
void log_memory_expel(struct log_memory *memory, const char *group);

/* LOG_CHECK (partition -1: all) for every consumer of the topic, as a leader change gives. */
void log_memory_check(struct log_memory *memory, const char *topic, int32_t partition);

/* Takes the records from this offset on away, as an unclean election does. */
void log_memory_truncate(struct log_memory *memory, const char *topic, int32_t partition, int64_t offset);

/* Takes the records before this offset away, as retention does. */
void log_memory_trim(struct log_memory *memory, const char *topic, int32_t partition, int64_t offset);

/* Gives the topic more partitions, empty ones, as an administrator does. False: no such topic, or it has as many. */
bool log_memory_grow(struct log_memory *memory, const char *topic, int32_t partitions);

/* Sets what is committed for mark->partition, as an administrator or another tool does; offset -1 takes it away. */
void log_memory_mark(struct log_memory *memory, const char *group, const char *topic, const struct log_mark *mark);

/* Sets a topic's setting as an administrator does, whatever it is. False: no such topic. */
bool log_memory_set(struct log_memory *memory, const char *topic, const char *name, const char *value);

#endif
