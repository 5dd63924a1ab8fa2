/* Groups: who owns what, who may commit, and what was committed. */
#include "conformance.h"

#include <string.h>

static struct log_event committed;

static void commit(struct log *log, struct log_consumer *consumer, int32_t partition, int64_t offset,
                   const char *metadata)
{
	struct log_mark mark = {.partition = partition, .offset = offset};
	snprintf(mark.metadata, sizeof mark.metadata, "%s", metadata);
	CHECK_OK(log_consumer_commit(consumer, &mark, 1, &failure));
	int64_t limit = now_ms() + LIMIT_MS;
	do {
		CHECK(now_ms() < limit);
		log_consumer_poll(consumer, &committed);
		if (committed.kind == LOG_NOTHING)
			log_wait(log, 100);
	} while (committed.kind != LOG_COMMITTED);
}

void marks_are_kept_with_their_metadata(void)
{
	topic_make("t", 2);
	send_all("t", 0, 0, 3);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_mark mark = {.partition = 0, .offset = 5};
	CHECK_OK(log_consumer_committed(consumer, &mark, &failure));
	CHECK_INT(mark.offset, -1);
	CHECK_TEXT(mark.metadata, "");
	static const char metadata[] = "tandem1 3 2 0123456789abcdef 0123456789abcdef 0123456789abcdef 1";
	commit(leg.log, consumer, 0, 3, metadata);
	check_ok(committed.status, &committed.err, "the commit", __FILE__, __LINE__);
	commit(leg.log, consumer, 1, 0, "");
	check_ok(committed.status, &committed.err, "the commit", __FILE__, __LINE__);
	CHECK_OK(log_consumer_committed(consumer, &mark, &failure));
	CHECK_INT(mark.offset, 3);
	CHECK_TEXT(mark.metadata, metadata);
	log_consumer_close(consumer, true);
	struct log *other = leg_open(NULL);
	CHECK_OK(log_committed(other, "reads", "t", &mark, &failure));
	CHECK_INT(mark.partition, 0);
	CHECK_INT(mark.offset, 3);
	CHECK_TEXT(mark.metadata, metadata);
	mark.partition = 1;
	CHECK_OK(log_committed(other, "reads", "t", &mark, &failure));
	CHECK_INT(mark.offset, 0);
	CHECK_TEXT(mark.metadata, "");
	CHECK_OK(log_committed(other, "others", "t", &mark, &failure));
	CHECK_INT(mark.offset, -1);
	/* A lower one may follow. */
	consumer = reads(leg.log, "t", 0, 0);
	commit(leg.log, consumer, 0, 1, "again");
	check_ok(committed.status, &committed.err, "the commit", __FILE__, __LINE__);
	mark.partition = 0;
	CHECK_OK(log_committed(other, "reads", "t", &mark, &failure));
	CHECK_INT(mark.offset, 1);
	CHECK_TEXT(mark.metadata, "again");
	log_consumer_close(consumer, true);
	log_close(other);
}

/* ---- members ---- */

void a_group_shares_its_partitions(void)
{
	topic_make("t", PARTITIONS);
	struct member members[MEMBERS_MAX];
	for (size_t n = 0; n < MEMBERS_MAX; n++) {
		member_open(&members[n], NULL);
		settle(members, n + 1, PARTITIONS / (n + 1));
	}
	/* They read what they own, and nothing else. */
	for (int32_t p = 0; p < PARTITIONS; p++)
		send_all("t", p, p, 1);
	for (size_t n = 0; n < MEMBERS_MAX; n++) {
		struct log_event event;
		bool got[PARTITIONS] = {false};
		for (size_t i = 0; i < members[n].count; i++) {
			event_wait(members[n].log, members[n].consumer, LOG_RECORD, &event);
			CHECK_INT(value_number(&event.record), event.partition);
			got[event.partition] = true;
		}
		for (size_t i = 0; i < members[n].count; i++)
			CHECK(got[members[n].owned[i]]);
	}
	for (size_t n = 0; n < MEMBERS_MAX; n++)
		member_close(&members[n], true);
}

void a_member_that_leaves_is_followed_at_once(void)
{
	topic_make("t", PARTITIONS);
	struct member members[2];
	member_open(&members[0], NULL);
	member_open(&members[1], NULL);
	settle(members, 2, PARTITIONS / 2);
	commit(members[0].log, members[0].consumer, members[0].owned[0], 0, "first");
	check_ok(committed.status, &committed.err, "the commit", __FILE__, __LINE__);
	member_close(&members[0], true);
	int64_t start = now_ms();
	settle(&members[1], 1, PARTITIONS);
	CHECK(now_ms() - start < leg.session_ms / 2); /* the session's end is not waited for */
	member_close(&members[1], true);
}

void a_commit_after_the_revoke_is_refused(void)
{
	topic_make("t", PARTITIONS);
	struct member members[2];
	member_open(&members[0], NULL);
	settle(members, 1, PARTITIONS);
	int32_t mine = members[0].owned[0];
	commit(members[0].log, members[0].consumer, mine, 1, "mine");
	check_ok(committed.status, &committed.err, "the owner's commit", __FILE__, __LINE__);
	member_open(&members[1], NULL);
	struct log_event event;
	int64_t limit = now_ms() + LIMIT_MS;
	do {
		CHECK(now_ms() < limit);
		member_step(&members[1]);
		log_consumer_poll(members[0].consumer, &event);
		if (event.kind == LOG_NOTHING)
			log_wait(members[0].log, 20);
	} while (event.kind != LOG_REVOKED);
	CHECK(!event.lost);
	CHECK_OK(log_consumer_assign(members[0].consumer, NULL, 0, &failure));
	commit(members[0].log, members[0].consumer, mine, 2, "not mine");
	CHECK_INT(committed.status, FATAL);
	CHECK_CODE(committed.err, "fenced");
	struct log_mark mark = {.partition = mine};
	CHECK_OK(log_committed(leg.log, "g", "t", &mark, &failure));
	CHECK_INT(mark.offset, 1);
	CHECK_TEXT(mark.metadata, "mine");
	members[0].assigned = false;
	members[0].count = 0;
	settle(members, 2, PARTITIONS / 2);
	member_close(&members[0], true);
	member_close(&members[1], true);
}

void static_partitions_commit_only_without_members(void)
{
	topic_make("t", PARTITIONS);
	struct member member;
	member_open(&member, NULL);
	settle(&member, 1, PARTITIONS);
	struct log_consumer *alone;
	int32_t zero = 0;
	CHECK_OK(log_consumer_open(
		leg.log,
		&(struct log_consumer_config){.topic = "t", .group = "g", .partitions = &zero, .partition_count = 1},
		&alone, &failure));
	struct log_event event;
	event_wait(leg.log, alone, LOG_ASSIGNED, &event);
	assign_at(alone, &zero, 1, 0);
	commit(leg.log, alone, 0, 1, "alone");
	CHECK_INT(committed.status, FATAL);
	CHECK_CODE(committed.err, "group_busy");
	member_step(&member);
	CHECK(member.assigned); /* it was not disturbed */
	member_close(&member, true);
	int64_t limit = now_ms() + LIMIT_MS;
	do { /* a broker takes a moment to see that the group is empty */
		CHECK(now_ms() < limit);
		commit(leg.log, alone, 0, 2, "alone");
		log_wait(leg.log, 100);
	} while (committed.status != OK);
	log_consumer_close(alone, true);
	struct log_mark mark = {.partition = 0};
	CHECK_OK(log_committed(leg.log, "g", "t", &mark, &failure));
	CHECK_INT(mark.offset, 2);
	CHECK_TEXT(mark.metadata, "alone");
}

void a_static_member_comes_back_to_its_partitions(void)
{
	topic_make("t", PARTITIONS);
	struct member members[2];
	member_open(&members[0], "one");
	settle(members, 1, PARTITIONS);
	member_open(&members[1], "two");
	settle(members, 2, PARTITIONS / 2);
	int32_t before[PARTITIONS];
	memcpy(before, members[0].owned, sizeof before);
	int rounds = members[1].rounds;
	member_close(&members[0], true); /* static: it does not leave */
	member_open(&members[0], "one");
	settle(members, 2, PARTITIONS / 2);
	CHECK_INT(members[0].count, 3);
	CHECK(memcmp(before, members[0].owned, 3 * sizeof *before) == 0);
	CHECK_INT(members[1].rounds, rounds); /* the other was not disturbed */
	member_close(&members[0], true);
	member_close(&members[1], true);
}

void a_group_with_members_is_not_deleted(void)
{
	topic_make("t", PARTITIONS);
	struct member member;
	member_open(&member, NULL);
	settle(&member, 1, PARTITIONS);
	commit(member.log, member.consumer, 2, 4, "m");
	CHECK_INT(log_group_delete(leg.log, "g", &failure), RETRY);
	CHECK_CODE(failure, "group_busy");
	member_close(&member, true);
	enum status status;
	int64_t limit = now_ms() + LIMIT_MS;
	while ((status = log_group_delete(leg.log, "g", &failure)) != OK) {
		CHECK(now_ms() < limit);
		log_wait(leg.log, 100);
	}
	struct log_mark mark = {.partition = 2};
	CHECK_OK(log_committed(leg.log, "g", "t", &mark, &failure));
	CHECK_INT(mark.offset, -1);
}

void a_consumer_of_an_unknown_topic_is_told(void)
{
	struct log_event event;
	struct log_consumer *consumer = joins(leg.log, "nowhere", "g", NULL);
	event_wait(leg.log, consumer, LOG_FAILED, &event);
	CHECK_CODE(event.err, "unknown_topic");
	log_consumer_close(consumer, true);
}

void a_consumer_of_an_unknown_partition_is_told(void)
{
	struct log_event event;
	struct log_consumer *consumer;
	topic_make("t", 1);
	int32_t partition = 3;
	CHECK_OK(log_consumer_open(leg.log,
	                           &(struct log_consumer_config){
					   .topic = "t", .group = "g", .partitions = &partition, .partition_count = 1},
	                           &consumer, &failure));
	event_wait(leg.log, consumer, LOG_ASSIGNED, &event);
	assign_at(consumer, &partition, 1, 0);
	event_wait(leg.log, consumer, LOG_FAILED, &event);
	CHECK_CODE(event.err, "unknown_partition");
	CHECK_INT(event.partition, 3);
	log_consumer_close(consumer, true);
}
