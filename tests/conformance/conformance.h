/* conformance: what every log promises (common/log.h), tried on each of them through the interface alone.
 *
 * `conformance memory|local|kafka [CASE]` runs the cases of one table (conformance.c), each in a process of its own with a
 * fresh folder or namespace, and fails if one fails or if fewer ran than the table says. Kafka's address comes from
 * KAFKA=host:port. `conformance --helper ROLE ...` is the other process of a case. A failed check ends the process. */
#ifndef TANDEM_CONFORMANCE_H
#define TANDEM_CONFORMANCE_H

#include <stdio.h>
#include <sys/types.h>

#include "log.h"

enum { MEMORY = 1, LOCAL = 2, KAFKA = 4, ALL = MEMORY | LOCAL | KAFKA, FILES = LOCAL, PROCESSES = LOCAL | KAFKA };

/* The leg this process runs on. */
struct leg {
	int kind;
	char url[300], dir[200], name_space[60];
	struct log_memory *memory;
	struct log *log; /* every case finds it open */
	int session_ms;  /* of those who join a group: long, but where a case waits for its end */
};
extern struct leg leg;

struct log *leg_open(const char *name_space); /* another handle; NULL: the case's own namespace */

void check(bool holds, const char *what, const char *file, int line);
void check_int(int64_t is, int64_t expected, const char *what, const char *file, int line);
void check_text(const char *is, const char *expected, const char *what, const char *file, int line);
void check_ok(enum status status, const struct err *err, const char *what, const char *file, int line);

#define CHECK(holds)                check((holds), #holds, __FILE__, __LINE__)
#define CHECK_INT(is, expected)     check_int((int64_t)(is), (int64_t)(expected), #is, __FILE__, __LINE__)
#define CHECK_TEXT(is, expected)    check_text((is), (expected), #is, __FILE__, __LINE__)
#define CHECK_OK(call)              check_ok((call), &failure, #call, __FILE__, __LINE__)
#define CHECK_CODE(error, expected) check_text((error).code, (expected), #error ".code", __FILE__, __LINE__)

extern struct err failure; /* where CHECK_OK's calls put their error */

#define LIMIT_MS         60000 /* of every waiting */
#define SESSION_MS       30000 /* a busy machine does not end it */
#define SESSION_SHORT_MS 6000  /* its end is waited for; the least that a broker takes */

int64_t now_ms(void);

/* ---- what cases are made of (parts.c) ---- */

void topic_make(const char *name, int32_t partitions);
struct log_bytes text(const char *text); /* NULL: null */
struct log_producer *producer_open(struct log *log);
void send(struct log_producer *producer, const char *topic, int32_t partition, const char *value, uint64_t token);
void ack_wait(struct log_producer *producer, struct log_ack *ack);        /* the next one, within LIMIT_MS */
void send_all(const char *topic, int32_t partition, int from, int count); /* values "N", each acknowledged */
struct log_consumer *reads(struct log *log, const char *topic, int32_t partition,
                           int64_t offset); /* static, assigned */
struct log_consumer *joins(struct log *log, const char *topic, const char *group, const char *instance);
void assign_at(struct log_consumer *consumer, const int32_t *partitions, size_t count, int64_t offset);

/* Polls until there is an event of this kind, within LIMIT_MS; others are not expected, but for LOG_END and LOG_CHECK. */
void event_wait(struct log *log, struct log_consumer *consumer, enum log_event_kind kind, struct log_event *event);
bool value_is(const struct log_record *record, const char *text);
int value_number(const struct log_record *record); /* -1: none */

/* Before anything is written: the local log's folder is a file system of its own in memory. Needs root. */
void disk_in_memory(int mebibytes);
void disk_leave(void); /* closes what is open there: it goes with the case */

/* A member of group g on topic t of PARTITIONS partitions, with a handle of its own. */
enum { MEMBERS_MAX = 3, PARTITIONS = 6 };

struct member {
	struct log *log;
	struct log_consumer *consumer;
	int32_t owned[PARTITIONS];
	size_t count;
	bool assigned;
	int rounds; /* assignments so far */
};

void member_open(struct member *m, const char *instance);
void member_close(struct member *m, bool leave);
void member_step(struct member *m); /* one poll, answered */
/* Steps all until each owns so many; never may two own the same partition. */
void settle(struct member *members, size_t count, size_t each);

/* A helper process with the leg's URL and namespace as its first arguments; its stdout can be read. */
struct helper {
	pid_t pid;
	FILE *out;
};
struct helper helper_start(const char *role, const char *a, const char *b);
bool helper_line(struct helper *helper, char *line, size_t room); /* waits for one; false: it has ended */
void helper_kill(struct helper *helper, int sig);
void helper_stop(struct helper *helper); /* outside of the log's locks */
int helper_end(struct helper *helper);   /* waits; its exit status, 128 + the signal */

int helper_main(int argc, char **argv);

/* ---- cases: records.c, reading.c, topics.c, groups.c, processes.c, files.c ---- */

#define CONFORMANCE_CASE(name) void name(void)
CONFORMANCE_CASE(records_come_in_the_order_they_were_written);
CONFORMANCE_CASE(a_record_goes_to_the_partition_it_names);
CONFORMANCE_CASE(null_and_empty_keys_and_values_are_told_apart);
CONFORMANCE_CASE(headers_keep_order_repeats_and_nulls);
CONFORMANCE_CASE(large_records_come_back_whole);
CONFORMANCE_CASE(timestamps_are_the_logs_and_never_go_back);
CONFORMANCE_CASE(every_token_is_acknowledged_once_with_its_offset);
CONFORMANCE_CASE(an_acknowledged_record_is_read_at_once);
CONFORMANCE_CASE(a_record_that_is_too_large_fails_alone);
CONFORMANCE_CASE(an_unknown_topic_shows_in_the_acknowledgement);
CONFORMANCE_CASE(an_unknown_partition_shows_in_the_acknowledgement);
CONFORMANCE_CASE(a_full_queue_takes_nothing_and_recovers);
CONFORMANCE_CASE(a_producer_closed_early_drops_what_waits);
CONFORMANCE_CASE(waiting_ends_in_time);

CONFORMANCE_CASE(the_end_of_a_partition_is_told);
CONFORMANCE_CASE(several_partitions_are_read_to_their_ends);
CONFORMANCE_CASE(watermarks_follow_the_records);
CONFORMANCE_CASE(reading_begins_at_any_offset);
CONFORMANCE_CASE(an_offset_out_of_range_is_never_reset);
CONFORMANCE_CASE(a_time_finds_its_offset);
CONFORMANCE_CASE(a_held_consumer_delivers_no_record);
CONFORMANCE_CASE(a_paused_partition_is_not_read);
CONFORMANCE_CASE(a_replaced_assignment_delivers_nothing_stale);
CONFORMANCE_CASE(a_record_lives_until_the_next_call_and_its_copy_longer);
CONFORMANCE_CASE(keys_find_their_partition_as_in_java);

CONFORMANCE_CASE(a_topic_is_made_with_its_settings);
CONFORMANCE_CASE(a_topic_is_made_only_once);
CONFORMANCE_CASE(settings_that_cannot_be_kept_are_refused);
CONFORMANCE_CASE(namespaces_do_not_see_each_other);
CONFORMANCE_CASE(readers_of_a_deleted_topic_are_told);
CONFORMANCE_CASE(a_topic_made_again_is_empty_and_has_no_marks);
CONFORMANCE_CASE(an_import_keeps_offsets_holes_and_times);
CONFORMANCE_CASE(an_import_out_of_order_is_refused);
CONFORMANCE_CASE(an_import_is_unsupported);

CONFORMANCE_CASE(marks_are_kept_with_their_metadata);
CONFORMANCE_CASE(a_group_shares_its_partitions);
CONFORMANCE_CASE(a_member_that_leaves_is_followed_at_once);
CONFORMANCE_CASE(a_commit_after_the_revoke_is_refused);
CONFORMANCE_CASE(static_partitions_commit_only_without_members);
CONFORMANCE_CASE(a_static_member_comes_back_to_its_partitions);
CONFORMANCE_CASE(a_group_with_members_is_not_deleted);
CONFORMANCE_CASE(a_consumer_of_an_unknown_topic_is_told);
CONFORMANCE_CASE(a_consumer_of_an_unknown_partition_is_told);

CONFORMANCE_CASE(two_processes_write_and_read_at_once);
CONFORMANCE_CASE(a_waiting_reader_is_woken_by_another_process);
CONFORMANCE_CASE(a_killed_member_is_followed_by_another);
CONFORMANCE_CASE(a_stopped_member_is_fenced);

CONFORMANCE_CASE(killed_writers_lose_nothing_acknowledged);
CONFORMANCE_CASE(a_full_disk_fails_records_and_keeps_the_rest);
CONFORMANCE_CASE(lost_hints_hide_nothing);
CONFORMANCE_CASE(an_append_waits_for_the_partitions_lock);
CONFORMANCE_CASE(damaged_files_are_errors);
CONFORMANCE_CASE(a_long_log_is_checkpointed_while_it_is_read);

#endif
