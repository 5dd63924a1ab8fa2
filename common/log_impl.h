/* log_impl: what an implementation of the log interface (log.h) fills in. Private to log*.c.
 *
 * log.c dispatches by URL and puts the namespace before every topic and group, so an implementation only ever sees full
 * names. It allocates its own structs with the base struct of the same name as first member, and casts. Operations have the
 * contract of the log.h function of the same name; log.c passes on NULL handles to none of them. */
#ifndef TANDEM_LOG_IMPL_H
#define TANDEM_LOG_IMPL_H

#include "log.h"
#include "secret.h"

#define LOG_TIMEOUT_MS_DEFAULT         10000
#define LOG_SESSION_TIMEOUT_MS_DEFAULT 45000

struct log_ops {
	bool local;
	void (*close)(struct log *log); /* frees the implementation's struct, the base with it */
	void (*wait)(struct log *log, int timeout_ms);

	/* The config's strings live during the call only. session_timeout_ms is never 0. */
	enum status (*consumer_open)(struct log *log, const struct log_consumer_config *config,
	                             struct log_consumer **out, struct err *err);
	void (*consumer_close)(struct log_consumer *consumer, bool leave);
	/* *event is zeroed (LOG_NOTHING), its partition and offset -1. */
	void (*consumer_poll)(struct log_consumer *consumer, struct log_event *event);
	enum status (*consumer_assign)(struct log_consumer *consumer, const struct log_position *positions,
	                               size_t count, struct err *err);
	void (*consumer_hold)(struct log_consumer *consumer, bool hold);
	enum status (*consumer_commit)(struct log_consumer *consumer, const struct log_mark *marks, size_t count,
	                               struct err *err);
	enum status (*consumer_committed)(struct log_consumer *consumer, struct log_mark *mark, struct err *err);
	enum status (*committed)(struct log *log, const char *group, const char *topic, struct log_mark *mark,
	                         struct err *err);

	enum status (*producer_open)(struct log *log, struct log_producer **out, struct err *err);
	int (*producer_topic)(struct log_producer *producer, const char *topic);
	enum status (*produce)(struct log_producer *producer, int topic, const struct log_record *record,
	                       uint64_t token, struct err *err);
	void (*producer_flush)(struct log_producer *producer);
	bool (*producer_ack)(struct log_producer *producer, struct log_ack *ack);
	size_t (*producer_pending)(const struct log_producer *producer);
	void (*producer_close)(struct log_producer *producer);

	enum status (*reader_open)(struct log *log, const char *topic, int32_t partition, int64_t offset,
	                           struct log_reader **out, struct err *err);
	enum status (*reader_next)(struct log_reader *reader, int timeout_ms, const struct log_record **record,
	                           struct err *err);
	void (*reader_close)(struct log_reader *reader);
	enum status (*read_at)(struct log *log, const char *topic, int32_t partition, int64_t offset,
	                       struct arena *arena, struct log_record *record, bool *found, struct err *err);
	enum status (*bounds)(struct log *log, const char *topic, int32_t partition, int64_t *low, int64_t *high,
	                      struct err *err);
	enum status (*offset_at)(struct log *log, const char *topic, int32_t partition, int64_t ms, int64_t *offset,
	                         struct err *err);

	/* topic->name is the full name. */
	enum status (*topic_create)(struct log *log, const struct log_topic *topic, struct err *err);
	enum status (*topic_delete)(struct log *log, const char *name, struct err *err);
	/* Fills all but out->name; *out is zeroed before. */
	enum status (*topic_describe)(struct log *log, const char *name, struct arena *arena, struct log_topic *out,
	                              struct err *err);
	/* Every topic there is, full names in any order, in the arena; log.c filters, strips and sorts. */
	enum status (*topic_list)(struct log *log, struct arena *arena, const char ***names, size_t *count,
	                          struct err *err);
	enum status (*group_delete)(struct log *log, const char *group, struct err *err);
	enum status (*node_count)(struct log *log, int *nodes, struct err *err);
	/* NULL: "unsupported". */
	enum status (*import)(struct log *log, const char *topic, int32_t partition, const struct log_record *records,
	                      size_t count, struct err *err);
};

struct log {
	const struct log_ops *ops;
	const struct seam *seam;
	const char *url, *name_space; /* name_space is never NULL */
	int timeout_ms;               /* never 0 */
	struct arena arena;           /* url, name_space, names; log.c's, lives until log_close */
	struct log_name *names;       /* topics and groups with the namespace, interned */
	struct secret *secret;        /* NULL: none */
	const struct log_statistics *statistics; /* NULL: nobody wants any */
};

struct log_consumer {
	struct log *log;
};

struct log_producer {
	struct log *log;
};

struct log_reader {
	struct log *log;
};

/* What comes first in an implementation's open: fills the base, config copied as far as it stands here. */
void log_base_init(struct log *log, const struct log_ops *ops, const char *url, const struct log_config *config);

/* The implementations. rest: the URL behind "kafka://" or "local:". On a failure nothing is left behind, log_base_fini was
 * called if log_base_init was. */
enum status log_kafka_open(const char *url, const char *rest, const struct log_config *config, struct log **out,
                           struct err *err);
enum status log_local_open(const char *url, const char *rest, const struct log_config *config, struct log **out,
                           struct err *err);
enum status log_memory_open(const char *url, const char *rest, const struct log_config *config, struct log **out,
                            struct err *err);
void log_base_fini(struct log *log);

/* Kafka's rule for topic names (1 to 249 of [a-zA-Z0-9._-]), and none that begins with a dot. */
bool log_name_valid(const char *name);

/* For qsort and bsearch of anything that begins with a partition's number (int32_t). */
int log_partition_compare(const void *a, const void *b);
/* *to becomes a copy of these, sorted; it is grown as needed, the caller's to free (mem_free). */
void log_partitions_set(int32_t **to, size_t *to_count, const int32_t *from, size_t count);

/* May these be imported behind a partition's end (next, time of the last one)? REJECT "invalid". */
enum status log_import_check(const struct log_record *records, size_t count, int64_t next, int64_t last_ms,
                             struct err *err);

#endif
