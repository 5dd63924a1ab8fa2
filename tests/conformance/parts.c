#include "../support/log_locks.h"
#include "conformance.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void topic_make(const char *name, int32_t partitions)
{
	CHECK_OK(log_topic_create(leg.log, &(struct log_topic){.name = name, .partitions = partitions, .replicas = 1},
	                          &failure));
}

struct log_bytes text(const char *s)
{
	return s ? (struct log_bytes){s, (int32_t)strlen(s)} : (struct log_bytes){.len = -1};
}

struct log_producer *producer_open(struct log *log)
{
	struct log_producer *producer;
	CHECK_OK(log_producer_open(log, &producer, &failure));
	return producer;
}

void send(struct log_producer *producer, const char *topic, int32_t partition, const char *value, uint64_t token)
{
	struct log_record record = {.partition = partition, .key = text(NULL), .value = text(value)};
	CHECK_OK(log_produce(producer, log_producer_topic(producer, topic), &record, token, &failure));
}

void ack_wait(struct log_producer *producer, struct log_ack *ack)
{
	int64_t limit = now_ms() + LIMIT_MS;
	log_producer_flush(producer);
	while (!log_producer_ack(producer, ack)) {
		CHECK(now_ms() < limit);
		log_wait(leg.log, 100);
	}
}

void send_all(const char *topic, int32_t partition, int from, int count)
{
	struct log_producer *producer = producer_open(leg.log);
	for (int i = from; i < from + count; i++) {
		char value[16];
		snprintf(value, sizeof value, "%d", i);
		send(producer, topic, partition, value, (uint64_t)i);
	}
	for (int i = 0; i < count; i++) {
		struct log_ack ack;
		ack_wait(producer, &ack);
		check_ok(ack.status, &ack.err, "an acknowledgement", __FILE__, __LINE__);
	}
	log_producer_close(producer);
}

void assign_at(struct log_consumer *consumer, const int32_t *partitions, size_t count, int64_t offset)
{
	struct log_position *positions = mem_zalloc(count, sizeof *positions);
	for (size_t i = 0; i < count; i++)
		positions[i] = (struct log_position){.partition = partitions[i], .offset = offset};
	CHECK_OK(log_consumer_assign(consumer, positions, count, &failure));
	mem_free(positions);
}

struct log_consumer *reads(struct log *log, const char *topic, int32_t partition, int64_t offset)
{
	struct log_consumer *consumer;
	struct log_consumer_config config = {
		.topic = topic, .group = "reads", .partitions = &partition, .partition_count = 1};
	CHECK_OK(log_consumer_open(log, &config, &consumer, &failure));
	struct log_event event;
	event_wait(log, consumer, LOG_ASSIGNED, &event);
	CHECK_INT(event.partition_count, 1);
	CHECK_INT(event.partitions[0], partition);
	assign_at(consumer, &partition, 1, offset);
	return consumer;
}

struct log_consumer *joins(struct log *log, const char *topic, const char *group, const char *instance)
{
	struct log_consumer *consumer;
	struct log_consumer_config config = {
		.topic = topic, .group = group, .instance_id = instance, .session_timeout_ms = leg.session_ms};
	CHECK_OK(log_consumer_open(log, &config, &consumer, &failure));
	return consumer;
}

void event_wait(struct log *log, struct log_consumer *consumer, enum log_event_kind kind, struct log_event *event)
{
	int64_t limit = now_ms() + LIMIT_MS;
	for (;;) {
		log_consumer_poll(consumer, event);
		if (event->kind == kind)
			return;
		if (event->kind == LOG_NOTHING)
			log_wait(log, 100);
		else if (event->kind != LOG_END && event->kind != LOG_CHECK) {
			fprintf(stderr, "    event %d, expected %d: %s %s\n", (int)event->kind, (int)kind,
			        event->err.code ? event->err.code : "", event->err.text);
			CHECK(event->kind == kind);
		}
		CHECK(now_ms() < limit);
	}
}

bool value_is(const struct log_record *record, const char *s)
{
	return record->value.len == (int32_t)strlen(s) && memcmp(record->value.data, s, strlen(s)) == 0;
}

int value_number(const struct log_record *record)
{
	char number[16] = "";
	if (record->value.len <= 0 || record->value.len >= (int32_t)sizeof number)
		return -1;
	memcpy(number, record->value.data, (size_t)record->value.len);
	return atoi(number);
}

/* ---- members ---- */

void member_open(struct member *m, const char *instance)
{
	*m = (struct member){.log = leg_open(NULL)};
	m->consumer = joins(m->log, "t", "g", instance);
}

void member_close(struct member *m, bool leave)
{
	log_consumer_close(m->consumer, leave);
	log_close(m->log);
	m->consumer = NULL;
	m->count = 0;
	m->assigned = false;
}

void member_step(struct member *m)
{
	struct log_event event;
	log_consumer_poll(m->consumer, &event);
	switch (event.kind) {
	case LOG_ASSIGNED:
		CHECK(event.partition_count <= PARTITIONS);
		CHECK(!m->assigned);
		m->count = event.partition_count;
		memcpy(m->owned, event.partitions, m->count * sizeof *m->owned);
		for (size_t i = 1; i < m->count; i++)
			CHECK(m->owned[i - 1] < m->owned[i]);
		m->assigned = true;
		m->rounds++;
		assign_at(m->consumer, m->owned, m->count, 0);
		break;
	case LOG_REVOKED:
		m->count = 0;
		m->assigned = false;
		CHECK_OK(log_consumer_assign(m->consumer, NULL, 0, &failure));
		break;
	case LOG_FAILED:
		check_ok(event.status, &event.err, "a member", __FILE__, __LINE__);
		break;
	default:
		break;
	}
}

void settle(struct member *members, size_t count, size_t each)
{
	int64_t limit = now_ms() + LIMIT_MS;
	for (;;) {
		int owners[PARTITIONS] = {0};
		bool shared = true;
		for (size_t i = 0; i < count; i++) {
			member_step(&members[i]);
			log_wait(members[i].log, 5);
		}
		for (size_t i = 0; i < count; i++) {
			shared = shared && members[i].assigned && members[i].count == each;
			for (size_t p = 0; p < members[i].count; p++)
				owners[members[i].owned[p]]++;
		}
		for (int p = 0; p < PARTITIONS; p++)
			CHECK(owners[p] <= 1);
		if (shared)
			return;
		CHECK(now_ms() < limit);
	}
}

/* ---- helpers ---- */

struct helper helper_start(const char *role, const char *a, const char *b)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	char session_ms[16];
	snprintf(session_ms, sizeof session_ms, "%d", leg.session_ms);
	pid_t parent = getpid(), pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl("/proc/self/exe", "conformance", "--helper", role, leg.url, leg.name_space, session_ms, a, b,
		      (char *)NULL);
		_exit(127);
	}
	CHECK(pid > 0);
	close(fds[1]);
	struct helper helper = {.pid = pid, .out = fdopen(fds[0], "r")};
	CHECK(helper.out != NULL);
	return helper;
}

bool helper_line(struct helper *helper, char *line, size_t room)
{
	if (!fgets(line, (int)room, helper->out))
		return false;
	line[strcspn(line, "\n")] = 0;
	return true;
}

void helper_kill(struct helper *helper, int sig)
{
	CHECK(kill(helper->pid, sig) == 0);
}

void helper_stop(struct helper *helper)
{
	char folder[300];
	snprintf(folder, sizeof folder, "%s/log", leg.dir);
	for (int64_t limit = now_ms() + LIMIT_MS;;) {
		int status;
		helper_kill(helper, SIGSTOP);
		CHECK(waitpid(helper->pid, &status, WUNTRACED) == helper->pid && WIFSTOPPED(status));
		if (leg.kind != LOCAL || !log_locks_held(helper->pid, folder))
			return;
		CHECK(now_ms() < limit);
		helper_kill(helper, SIGCONT);
		sched_yield();
	}
}

int helper_end(struct helper *helper)
{
	int status;
	while (waitpid(helper->pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	fclose(helper->out);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Writes "PARTITION VALUE OFFSET" for each acknowledgement, for ever or up to a count. */
static int helper_write(const char *topic, const char *count_text)
{
	int count = atoi(count_text);
	uint64_t token = 0;
	struct log_producer *producer = producer_open(leg.log);
	int id = log_producer_topic(producer, topic);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int written = 0, done = 0; !count || done < count;) {
		struct log_ack ack;
		char value[40];
		struct log_record record = {.partition = (int32_t)(token % 2), .key = text(NULL)};
		snprintf(value, sizeof value, "%d-%llu", (int)getpid(), (unsigned long long)token);
		record.value = text(value);
		if ((!count || written < count) && log_producer_pending(producer) < 200) {
			CHECK_OK(log_produce(producer, id, &record, token++, &failure));
			written++;
			continue;
		}
		ack_wait(producer, &ack);
		check_ok(ack.status, &ack.err, "an acknowledgement", __FILE__, __LINE__);
		if (printf("%d %d-%llu %lld\n", (int)(ack.token % 2), (int)getpid(), (unsigned long long)ack.token,
		           (long long)ack.offset) < 0)
			return 0;
		done++;
	}
	log_producer_close(producer);
	return 0;
}

/* A group member: says what happens to it, one line each, and commits an offset for each first partition it gets. */
static int helper_member(const char *topic, const char *group)
{
	struct log_consumer *consumer = joins(leg.log, topic, group, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	bool owner = false, lost = false;
	for (;;) {
		struct log_event event;
		log_consumer_poll(consumer, &event);
		struct log_mark mark = {.partition = 0, .offset = 99, .metadata = "stale"};
		switch (event.kind) {
		case LOG_ASSIGNED:
			printf("assigned %zu\n", event.partition_count);
			assign_at(consumer, event.partitions, event.partition_count, 0);
			owner = event.partition_count > 0;
			break;
		case LOG_REVOKED:
			printf("revoked %s\n", event.lost ? "lost" : "kept");
			lost = event.lost;
			/* Somebody else owns them now: this must be refused. */
			if (lost && owner)
				CHECK_OK(log_consumer_commit(consumer, &mark, 1, &failure));
			else
				CHECK_OK(log_consumer_assign(consumer, NULL, 0, &failure));
			break;
		case LOG_COMMITTED:
			printf("committed %d %s\n", (int)event.status, event.err.code ? event.err.code : "-");
			return 0;
		case LOG_FAILED:
			printf("failed %s\n", event.err.code);
			return 1;
		default:
			log_wait(leg.log, 100);
		}
	}
}

int helper_main(int argc, char **argv)
{
	CHECK(argc == 6);
	snprintf(leg.url, sizeof leg.url, "%s", argv[1]);
	snprintf(leg.name_space, sizeof leg.name_space, "%s", argv[2]);
	leg.session_ms = atoi(argv[3]);
	leg.log = leg_open(NULL);
	int status = 2;
	if (strcmp(argv[0], "write") == 0)
		status = helper_write(argv[4], argv[5]);
	else if (strcmp(argv[0], "member") == 0)
		status = helper_member(argv[4], argv[5]);
	fflush(stdout);
	_exit(status);
}
