/* log_kafka: what the files log_kafka*.c share, the only users of rdkafka.h.
 *
 *   log_kafka.c           the log's handle: URL, properties, clients, waiting
 *   log_kafka_error.c     librdkafka's errors, sorted by what the caller must do
 *   log_kafka_consumer.c  groups, assignments, group commits
 *   log_kafka_watch.c     looks after a consumer's topic and its leaders
 *   log_kafka_producer.c  the idempotent producer
 *   log_kafka_reader.c    readers without a group, single records, offsets
 *   log_kafka_admin.c     topics, groups, committed offsets
 *   log_kafka_stats.c     what librdkafka says of itself
 *
 * Threads: librdkafka has its own, and calls back only from a poll of ours. A handle's two helper threads (a consumer's
 * watch, a producer's flush) touch nothing of ours but what their files say. */
#ifndef TANDEM_LOG_KAFKA_H
#define TANDEM_LOG_KAFKA_H

#include <librdkafka/rdkafka.h>

#include <stdatomic.h>

#include "log_impl.h"

/* A librdkafka instance and what its error callback said last. The callback runs in the thread that polls the instance. */
struct kafka_client {
	rd_kafka_t *rk;
	rd_kafka_resp_err_t error; /* _ALL_BROKERS_DOWN or _AUTHENTICATION, since a call that got its answer */
	bool scram_fails;          /* with brokers of version 4, whatever the password: this librdkafka is too old */
	atomic_int certificate; /* what OpenSSL said last of a broker's certificate that it did not take; 0: nothing */
	char why[520];          /* the last error's text that says more than "all brokers are down" */
	const char *user, *password;             /* see kafka_client_nudge; NULL: it cannot be nudged */
	size_t records, bytes;                   /* delivered since it was nudged, or had nothing to deliver */
	size_t records_max, bytes_max;           /* with so much in its queue it stops fetching */
	const struct log_statistics *statistics; /* NULL: none */
};

/* What librdkafka is to be: the defaults give way to the user's properties, the fixed ones do not. Both end with {0}. */
struct kafka_role {
	rd_kafka_type_t type;
	const struct log_setting *defaults, *fixed;
	void (*prepare)(rd_kafka_conf_t *conf); /* callbacks; may be NULL */
	bool polled;                            /* all the time, so that it may say statistics */
};

/* What every client has that reads without a group. */
#define KAFKA_READING                                                                                                  \
	{"auto.commit.enable", "false"}, {"auto.offset.reset", "error"}, {"isolation.level", "read_committed"},        \
		{"check.crcs", "true"}, {"enable.partition.eof", "true"},                                              \
	{                                                                                                              \
		"allow.auto.create.topics", "false"                                                                    \
	}

struct kafka_source; /* a client for a reader, kept for the next one */

struct kafka_log {
	struct log base;
	const char *brokers;
	struct log_setting *settings; /* the user's, copied into base.arena */
	size_t setting_count;
	bool debug;  /* the user asked for librdkafka's debug lines: they go to stderr */
	int wake_fd; /* eventfd: something may be there */
	struct kafka_wakeup *wakeups;
	struct kafka_client client; /* admin, metadata, offsets, single records; opened at first use */
	struct {
		char *group;
		struct kafka_client client;
	} asker; /* asks what a group has committed; opened at first use */
	struct {
		const char *topic; /* interned by log.c */
		int32_t partitions;
		int64_t at_us;
	} known;                   /* the topic last asked for, and when */
	struct kafka_source *idle; /* clients of closed readers */
	int64_t asked_us;          /* when a call was last begun */
};

/* A queue that log_wait wakes up for. */
struct kafka_wakeup {
	struct kafka_wakeup *next;
	rd_kafka_queue_t *queue;
};

static inline struct kafka_log *kafka_of(struct log *log)
{
	return (struct kafka_log *)log;
}

/* ---- log_kafka.c ---- */

/* Makes a client; `more` (may be NULL) are further fixed properties. FATAL "invalid": a property librdkafka refuses. */
enum status kafka_client_open(struct kafka_log *log, const struct kafka_role *role, const struct log_setting *more,
                              struct kafka_client *client, struct err *err);
/* Bounded: librdkafka may wait for ever on a request that has no answer. False: it still does, in a thread that is left to it,
 * and may call back into what the client's opaque stands in. A group is left before, by consumer_close. */
bool kafka_client_close(struct kafka_client *client);

/* A client that asks, and whose requests end with the log's timeout. */
enum status kafka_asking_open(struct kafka_log *log, const struct log_setting *more, struct kafka_client *client,
                              struct err *err);

/* The handle's own client. NULL: err says why (status in *status). */
struct kafka_client *kafka_log_client(struct kafka_log *log, enum status *status, struct err *err);

/* A reading client stops fetching when enough waits in its queue, and librdkafka 2.0.2 looks a second later whether it does
 * no more: 10,000 records a second. These make it look: called after each record delivered, and when there is none to deliver.
 * That wakes every thread of the client, so it is done only where as much was delivered that it may have stopped. */
void kafka_client_delivered(struct kafka_client *client, const struct log_record *record);
void kafka_client_empty(struct kafka_client *client);
void kafka_client_nudge(struct kafka_client *client);

/* log_wait returns at once, the next time. */
void kafka_wake(struct kafka_log *log);
void kafka_wakeup_add(struct kafka_log *log, struct kafka_wakeup *wakeup, rd_kafka_queue_t *queue);
void kafka_wakeup_remove(struct kafka_log *log, struct kafka_wakeup *wakeup);

/* A blocking call: bounded by the log's timeout, and given up earlier where waiting is no use. */
struct kafka_call {
	struct kafka_log *log;
	struct kafka_client *client;
	int64_t begin_us, end_us;
	rd_kafka_resp_err_t
		before; /* the client's error when it began: librdkafka tells the same one only twice a minute */
};
void kafka_call_begin(struct kafka_call *call, struct kafka_log *log, struct kafka_client *client);
int kafka_call_slice_ms(const struct kafka_call *call); /* what to wait for next; 0: the time is over */
/* Looks at the client's errors. False: given up, *status and err say why; `what` is what was tried. */
bool kafka_call_go_on(struct kafka_call *call, const char *what, enum status *status, struct err *err);

/* ---- log_kafka_stats.c ---- */

/* The client gives its statistics to whom the log says, if anybody. */
void kafka_statistics_set(const struct kafka_log *log, rd_kafka_conf_t *conf, struct kafka_client *client);
/* A client that is polled for events has them there. Any other event: does nothing. */
void kafka_statistics_event(const struct kafka_client *client, rd_kafka_event_t *event);

/* ---- log_kafka_error.c ---- */

/* What the caller must do, and our code for it. */
enum status kafka_classify(rd_kafka_resp_err_t error, const char **code);

/* err_set with both, and the text: what, then librdkafka's (`why`, or its own name for the error where NULL). */
enum status kafka_err(struct err *err, rd_kafka_resp_err_t error, const char *why, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Where status says not_authorized: the text names the ACL that is missing. Returns status. */
enum status kafka_denied(struct err *err, enum status status, const char *operation, const char *resource,
                         const char *name);

/* Has the broker, or have we, refused the other's certificate? reason: what librdkafka's error callback says. */
bool kafka_certificate_refused(const char *reason);

/* From now on OpenSSL's verdict is noted in client->certificate, by librdkafka's threads: its own text tells of a wrong name the same as
 * of an authority that is not known. client lives as long as what is made of conf. */
void kafka_certificate_watch(rd_kafka_conf_t *conf);
bool kafka_certificate_of_another_host(struct kafka_client *client); /* the last one that was looked at */

/* ---- log_kafka_reader.c ---- */

/* Headers of a record that is being read; the memory is kept from one to the next. */
struct kafka_headers {
	struct log_header *items;
	size_t room;
};

/* *record points into the message and the headers. False: its headers make no sense. */
bool kafka_record(const rd_kafka_message_t *message, struct kafka_headers *headers, struct log_record *record);
void kafka_sources_close(struct kafka_log *log);

enum status kafka_reader_open(struct log *log, const char *topic, int32_t partition, int64_t offset,
                              struct log_reader **out, struct err *err);
enum status kafka_reader_next(struct log_reader *reader, int timeout_ms, const struct log_record **record,
                              struct err *err);
void kafka_reader_close(struct log_reader *reader);
enum status kafka_read_at(struct log *log, const char *topic, int32_t partition, int64_t offset, struct arena *arena,
                          struct log_record *record, bool *found, struct err *err);
enum status kafka_bounds(struct log *log, const char *topic, int32_t partition, int64_t *low, int64_t *high,
                         struct err *err);
enum status kafka_offset_at(struct log *log, const char *topic, int32_t partition, int64_t ms, int64_t *offset,
                            struct err *err);

/* ---- log_kafka_consumer.c ---- */

enum status kafka_consumer_open(struct log *log, const struct log_consumer_config *config, struct log_consumer **out,
                                struct err *err);
void kafka_consumer_close(struct log_consumer *consumer, bool leave);
void kafka_consumer_poll(struct log_consumer *consumer, struct log_event *event);
enum status kafka_consumer_assign(struct log_consumer *consumer, const struct log_position *positions, size_t count,
                                  struct err *err);
void kafka_consumer_hold(struct log_consumer *consumer, bool hold);
enum status kafka_consumer_commit(struct log_consumer *consumer, const struct log_mark *marks, size_t count,
                                  struct err *err);
enum status kafka_consumer_committed(struct log_consumer *consumer, struct log_mark *mark, struct err *err);

/* ---- log_kafka_watch.c ---- */

/* A thread that looks at a topic every two seconds: is it there, with how many partitions, led by whom. It uses the instance
 * only to ask; what it heard is handed over under its own lock. */
struct kafka_watch;

struct kafka_sight {
	enum {
		SIGHT_LEADER, /* the partition has another leader than it had */
		SIGHT_BACK,   /* the brokers were away, and are back */
		SIGHT_COUNT,  /* told after every look: so many partitions; 0: there is no such topic */
	} kind;
	int32_t partition, count;
};

/* wake_fd: written to when there is something new. NULL: no thread could be had. */
struct kafka_watch *kafka_watch_start(rd_kafka_t *rk, const char *topic, int wake_fd);
/* What is new. False: nothing is. Called from the consumer's thread, does not wait. */
bool kafka_watch_next(struct kafka_watch *watch, struct kafka_sight *sight);

/* Asks what is committed for these partitions; takes the list. One question at a time. */
void kafka_watch_ask(struct kafka_watch *watch, rd_kafka_topic_partition_list_t *list);
/* The answer, the caller's to destroy; NULL: not yet. Does not wait. */
rd_kafka_topic_partition_list_t *kafka_watch_answer(struct kafka_watch *watch, rd_kafka_resp_err_t *error);

void kafka_watch_stop(struct kafka_watch *watch); /* NULL is fine; waits for an answer under way, at most a second */

/* ---- log_kafka_producer.c ---- */

enum status kafka_producer_open(struct log *log, struct log_producer **out, struct err *err);
int kafka_producer_topic(struct log_producer *producer, const char *topic);
enum status kafka_produce(struct log_producer *producer, int topic, const struct log_record *record, uint64_t token,
                          struct err *err);
void kafka_producer_flush(struct log_producer *producer);
bool kafka_producer_ack(struct log_producer *producer, struct log_ack *ack);
size_t kafka_producer_pending(const struct log_producer *producer);
void kafka_producer_close(struct log_producer *producer);

/* ---- log_kafka_admin.c ---- */

/* Is the partition there? FATAL unknown_topic, unknown_partition. Asks the brokers, where they were not asked for this topic
 * within the last second. */
enum status kafka_partition_check(struct kafka_log *log, const char *topic, int32_t partition, struct err *err);

void kafka_asker_close(struct kafka_log *log);
enum status kafka_committed(struct log *log, const char *group, const char *topic, struct log_mark *mark,
                            struct err *err);
/* Fills a mark from librdkafka's element. */
void kafka_mark(const rd_kafka_topic_partition_t *element, struct log_mark *mark);
enum status kafka_topic_create(struct log *log, const struct log_topic *topic, struct err *err);
enum status kafka_topic_delete(struct log *log, const char *name, struct err *err);
enum status kafka_topic_describe(struct log *log, const char *name, struct arena *arena, struct log_topic *out,
                                 struct err *err);
enum status kafka_topic_list(struct log *log, struct arena *arena, const char ***names, size_t *count, struct err *err);
enum status kafka_group_delete(struct log *log, const char *group, struct err *err);
enum status kafka_node_count(struct log *log, int *nodes, struct err *err);

#endif
