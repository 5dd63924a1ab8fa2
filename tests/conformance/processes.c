/* Several processes on one log, and what is left when one of them is killed or stopped. */
#include "conformance.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* An acknowledgement that a writing helper reported. */
struct written {
	int partition;
	char value[40];
	long long offset;
};

static bool written_read(struct helper *helper, struct written *w)
{
	char line[100];
	return helper_line(helper, line, sizeof line) &&
	       sscanf(line, "%d %39s %lld", &w->partition, w->value, &w->offset) == 3;
}

/* What was reported, to be looked for in the end. */
struct all_written {
	struct written *items;
	size_t count, room;
};

static void written_keep(struct all_written *all, const struct written *w)
{
	if (all->count == all->room) {
		all->room = all->room ? 2 * all->room : 1024;
		all->items = mem_realloc(all->items, all->room * sizeof *all->items);
	}
	all->items[all->count++] = *w;
}

static int written_compare(const void *a, const void *b)
{
	const struct written *x = a, *y = b;
	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Every one of them is in the log, at its offset. */
static void written_check(struct all_written *all)
{
	qsort(all->items, all->count, sizeof *all->items, written_compare);
	struct log_reader *reader = NULL;
	for (size_t i = 0; i < all->count; i++) {
		const struct written *w = &all->items[i];
		if (!i || w->partition != w[-1].partition) {
			log_reader_close(reader);
			CHECK_OK(log_reader_open(leg.log, "t", w->partition, 0, &reader, &failure));
		}
		CHECK(!i || written_compare(w - 1, w) < 0); /* no offset was given twice */
		const struct log_record *record;
		do {
			CHECK_OK(log_reader_next(reader, LIMIT_MS, &record, &failure));
			CHECK(record && record->offset <= w->offset);
		} while (record->offset < w->offset);
		CHECK(value_is(record, w->value));
	}
	log_reader_close(reader);
	mem_free(all->items);
}

/* Reads on until this many came, and checks that each writer's records come in its order. */
static void read_both(struct log_consumer *consumer, int count)
{
	struct {
		int writer;
		long long last[2];
	} writers[4] = {0};
	for (int i = 0; i < count; i++) {
		struct log_event event;
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		char value[40] = "";
		CHECK(event.record.value.len < (int32_t)sizeof value);
		memcpy(value, event.record.value.data, (size_t)event.record.value.len);
		int writer;
		long long number;
		CHECK(sscanf(value, "%d-%lld", &writer, &number) == 2);
		int w = 0;
		while (writers[w].writer && writers[w].writer != writer)
			CHECK(++w < 4);
		if (!writers[w].writer)
			writers[w].last[0] = writers[w].last[1] = -1;
		writers[w].writer = writer;
		CHECK(number > writers[w].last[event.partition]);
		writers[w].last[event.partition] = number;
	}
}

void two_processes_write_and_read_at_once(void)
{
	enum { COUNT = 1500 };
	topic_make("t", 2);
	struct helper writers[2];
	for (int i = 0; i < 2; i++)
		writers[i] = helper_start("write", "t", "1500");
	struct log_consumer *consumer;
	static const int32_t partitions[] = {0, 1};
	CHECK_OK(log_consumer_open(leg.log,
	                           &(struct log_consumer_config){
					   .topic = "t", .group = "g", .partitions = partitions, .partition_count = 2},
	                           &consumer, &failure));
	struct log_event event;
	event_wait(leg.log, consumer, LOG_ASSIGNED, &event);
	assign_at(consumer, event.partitions, event.partition_count, 0);
	read_both(consumer, 2 * COUNT);
	struct all_written all = {0};
	for (int i = 0; i < 2; i++) {
		struct written w;
		while (written_read(&writers[i], &w))
			written_keep(&all, &w);
		CHECK_INT(helper_end(&writers[i]), 0);
	}
	CHECK_INT(all.count, 2 * COUNT);
	written_check(&all);
	log_consumer_close(consumer, true);
}

void a_waiting_reader_is_woken_by_another_process(void)
{
	topic_make("t", 2);
	struct log_reader *reader;
	CHECK_OK(log_reader_open(leg.log, "t", 0, 0, &reader, &failure));
	struct helper writer = helper_start("write", "t", "1");
	const struct log_record *record = NULL;
	int64_t start = now_ms();
	CHECK_OK(log_reader_next(reader, LIMIT_MS, &record, &failure));
	CHECK(record != NULL);
	CHECK(now_ms() - start < LIMIT_MS / 2);
	CHECK_OK(log_reader_next(reader, 50, &record, &failure));
	CHECK(record == NULL);
	log_reader_close(reader);
	CHECK_INT(helper_end(&writer), 0);
}

static void helper_expect(struct helper *helper, const char *expected)
{
	char line[100];
	CHECK(helper_line(helper, line, sizeof line));
	CHECK_TEXT(line, expected);
}

void a_killed_member_is_followed_by_another(void)
{
	topic_make("t", PARTITIONS);
	if (leg.kind == KAFKA)
		leg.session_ms = SESSION_SHORT_MS;
	struct helper helper = helper_start("member", "t", "g");
	helper_expect(&helper, "assigned 6");
	struct member member;
	member_open(&member, NULL);
	settle(&member, 1, PARTITIONS / 2);
	helper_kill(&helper, SIGKILL);
	int64_t start = now_ms();
	settle(&member, 1, PARTITIONS);
	if (leg.kind == LOCAL)
		CHECK(now_ms() - start <
		      leg.session_ms / 2); /* the kernel tells; the session's end is not waited for */
	CHECK_INT(helper_end(&helper), 128 + SIGKILL);
	member_close(&member, true);
}

void a_stopped_member_is_fenced(void)
{
	topic_make("t", PARTITIONS);
	leg.session_ms = SESSION_SHORT_MS;
	struct helper helper = helper_start("member", "t", "g");
	helper_expect(&helper, "assigned 6");
	helper_stop(&helper);
	leg.session_ms = SESSION_MS;
	struct member member;
	member_open(&member, NULL);
	settle(&member, 1, PARTITIONS);
	struct log_mark mark = {.partition = 0, .offset = 7, .metadata = "mine"};
	struct log_event event;
	CHECK_OK(log_consumer_commit(member.consumer, &mark, 1, &failure));
	event_wait(member.log, member.consumer, LOG_COMMITTED, &event);
	check_ok(event.status, &event.err, "the new owner's commit", __FILE__, __LINE__);
	helper_kill(&helper, SIGCONT);
	helper_expect(&helper, "revoked lost");
	helper_expect(&helper, "committed 3 fenced");
	CHECK_INT(helper_end(&helper), 0);
	CHECK_OK(log_committed(leg.log, "g", "t", &mark, &failure));
	CHECK_INT(mark.offset, 7);
	CHECK_TEXT(mark.metadata, "mine");
	member_close(&member, true);
}

/* One of two writers is killed and replaced, again and again, in the middle of its work. */
void killed_writers_lose_nothing_acknowledged(void)
{
	enum { ROUNDS = 60 };
	topic_make("t", 2);
	struct helper writers[2];
	for (int i = 0; i < 2; i++)
		writers[i] = helper_start("write", "t", "0");
	unsigned seed = 12345;
	struct all_written all = {0};
	for (int round = 0; round < ROUNDS; round++) {
		struct helper *victim = &writers[round % 2];
		struct written w;
		for (int i = rand_r(&seed) % 400; i >= 0; i--) {
			CHECK(written_read(victim, &w));
			written_keep(&all, &w);
		}
		helper_kill(victim, SIGKILL);
		while (written_read(victim, &w)) /* what it said before it died */
			written_keep(&all, &w);
		CHECK_INT(helper_end(victim), 128 + SIGKILL);
		*victim = helper_start("write", "t", "0");
	}
	for (int i = 0; i < 2; i++) {
		helper_kill(&writers[i], SIGKILL);
		helper_end(&writers[i]);
	}
	printf("    %d kills, %zu acknowledged records to be found\n", ROUNDS, all.count);
	written_check(&all);
	send_all("t", 0, 0, 10);
	int64_t low, high;
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure));
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	do
		event_wait(leg.log, consumer, LOG_RECORD, &event);
	while (event.offset < high - 1);
	log_consumer_close(consumer, true);
}
