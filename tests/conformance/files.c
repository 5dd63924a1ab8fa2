/* What only a log in files can suffer. */
#include "conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char *path_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *path_of(const char *format, ...)
{
	static char path[400];
	va_list args;
	va_start(args, format);
	int len = snprintf(path, sizeof path, "%s/log/", leg.dir);
	vsnprintf(path + len, sizeof path - (size_t)len, format, args);
	va_end(args);
	return path;
}

static void file_write(const char *path, const void *bytes, size_t len, bool truncate)
{
	int fd = open(path, O_RDWR | O_CREAT | (truncate ? O_TRUNC : 0), 0666);
	CHECK(fd >= 0);
	CHECK(write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

void disk_in_memory(int mebibytes)
{
	char dir[300], options[32];
	snprintf(dir, sizeof dir, "%s/log", leg.dir);
	snprintf(options, sizeof options, "size=%dm", mebibytes);
	CHECK(mkdir(dir, 0777) == 0);
	if (mount("tmpfs", dir, "tmpfs", 0, options) != 0) {
		fprintf(stderr, "    A DISK IN MEMORY CANNOT BE HAD: mounting a tmpfs failed (%s); this needs root\n",
		        strerror(errno));
		CHECK(!"mounted");
	}
}

void disk_leave(void)
{
	log_close(leg.log);
	leg.log = leg_open("elsewhere");
}

/* A file system of 8 MiB, with 2 MiB that can be given back. */
static void small_disk(void)
{
	disk_in_memory(8);
	char *ballast = mem_zalloc(1, 2 << 20);
	file_write(path_of("ballast"), ballast, 2 << 20, true);
	mem_free(ballast);
}

/* Writes until the disk is full. Returns how many were acknowledged. */
static int64_t fill_disk(struct log_producer *producer)
{
	static char value[2000];
	struct log_record record = {.key = text("k"), .value = {value, sizeof value}};
	int id = log_producer_topic(producer, "t");
	int64_t good = 0;
	for (uint64_t token = 0, full = 0; full < 100; token++) {
		CHECK(token < 100000);
		snprintf(value, sizeof value, "%lld", (long long)good);
		CHECK_OK(log_produce(producer, id, &record, token, &failure));
		struct log_ack ack;
		ack_wait(producer, &ack);
		if (ack.status == OK) {
			CHECK_INT(ack.offset, good);
			good++;
			full = 0;
			continue;
		}
		CHECK_CODE(ack.err, "disk_full");
		CHECK_INT(ack.offset, -1);
		full++;
	}
	return good;
}

void a_full_disk_fails_records_and_keeps_the_rest(void)
{
	small_disk();
	topic_make("t", 1);
	struct log_producer *producer = producer_open(leg.log);
	int64_t good = fill_disk(producer);
	CHECK(good > 100);
	struct log *other = leg_open(NULL);
	int64_t low, high;
	CHECK_OK(log_bounds(other, "t", 0, &low, &high, &failure));
	CHECK_INT(high, good); /* nothing of those that failed is there */
	struct log_reader *reader;
	CHECK_OK(log_reader_open(other, "t", 0, 0, &reader, &failure));
	for (int64_t i = 0; i < good; i++) {
		const struct log_record *record;
		CHECK_OK(log_reader_next(reader, 0, &record, &failure));
		CHECK(record && record->value.len == 2000);
		char expected[32];
		snprintf(expected, sizeof expected, "%lld", (long long)i);
		CHECK(strcmp(record->value.data, expected) == 0);
	}
	struct log_topic more = {.name = "more", .partitions = 50, .replicas = 1};
	CHECK_INT(log_topic_create(other, &more, &failure), RETRY);
	CHECK_CODE(failure, "disk_full");
	struct arena arena = {0};
	struct log_topic is;
	CHECK_OK(log_topic_describe(other, "more", &arena, &is, &failure));
	CHECK(!is.exists);
	arena_fini(&arena);
	/* There is room again: it goes on where it was. */
	CHECK(unlink(path_of("ballast")) == 0);
	send(producer, "t", 0, "after", 1);
	struct log_ack ack;
	ack_wait(producer, &ack);
	check_ok(ack.status, &ack.err, "after there was room again", __FILE__, __LINE__);
	CHECK_INT(ack.offset, good);
	const struct log_record *record;
	CHECK_OK(log_reader_next(reader, LIMIT_MS, &record, &failure));
	CHECK(record && value_is(record, "after"));
	log_reader_close(reader);
	log_producer_close(producer);
	log_close(other);
	disk_leave();
}

static void all_is_read(struct log *log, int count)
{
	struct log_consumer *consumer = reads(log, "t", 0, 0);
	int64_t limit = now_ms() + LIMIT_MS;
	for (int next = 0;;) {
		struct log_event event;
		CHECK(now_ms() < limit);
		log_consumer_poll(consumer, &event);
		if (event.kind == LOG_RECORD) {
			CHECK_INT(value_number(&event.record), next);
			next++;
		} else if (event.kind == LOG_END) {
			CHECK_INT(next, count);
			break;
		} else {
			CHECK_INT(event.kind, LOG_NOTHING);
			log_wait(log, 100);
		}
	}
	log_consumer_close(consumer, true);
}

void lost_hints_hide_nothing(void)
{
	enum { COUNT = 3500 };
	topic_make("t", 1);
	send_all("t", 0, 0, COUNT);
	static const char zeros[4096];
	static const int64_t hints[] = {0, 1, 2000, INT64_MAX, -1};
	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
		struct log *log = leg_open(NULL);
		file_write(path_of("bell"), zeros, sizeof zeros, false);
		file_write(path_of("topics/%s.t/0.lock", leg.name_space), &hints[i], sizeof hints[i], false);
		all_is_read(log, COUNT);
		log_close(log);
	}
	/* A reader at the end that is told of nothing still sees what comes. */
	struct log_consumer *consumer = reads(leg.log, "t", 0, COUNT);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_END, &event);
	send_all("t", 0, COUNT, 1);
	file_write(path_of("topics/%s.t/0.lock", leg.name_space), zeros, sizeof zeros, false);
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK_INT(value_number(&event.record), COUNT);
	log_consumer_close(consumer, true);
}

void an_append_waits_for_the_partitions_lock(void)
{
	topic_make("t", 2);
	send_all("t", 0, 0, 1);
	int fd = open(path_of("topics/%s.t/0.lock", leg.name_space), O_RDWR);
	CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0); /* nobody keeps it beyond a commit */
	struct log_producer *producer = producer_open(leg.log);
	struct log_ack ack;
	send(producer, "t", 0, "1", 1);
	for (int64_t start = now_ms(); now_ms() < start + 300; log_wait(leg.log, 50))
		CHECK(!log_producer_ack(producer, &ack));
	int64_t low, high;
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure)); /* readers need no lock */
	CHECK_INT(high, 1);
	CHECK(flock(fd, LOCK_UN) == 0);
	ack_wait(producer, &ack);
	check_ok(ack.status, &ack.err, "after the lock was free", __FILE__, __LINE__);
	CHECK_INT(ack.offset, 1);
	/* Closing a producer does not hang on it either, and drops what waits. */
	CHECK(flock(fd, LOCK_EX) == 0); /* who has just acknowledged may hold it for a moment */
	send(producer, "t", 0, "2", 2);
	int64_t start = now_ms();
	log_producer_close(producer);
	CHECK(now_ms() - start < 9000); /* less than the 10 s that a lock is waited for */
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure));
	CHECK_INT(high, 2);
	close(fd);
}

void damaged_files_are_errors(void)
{
	topic_make("t", 1);
	send_all("t", 0, 0, 10);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_mark mark = {.partition = 0, .offset = 1, .metadata = "m"};
	struct log_event event;
	CHECK_OK(log_consumer_commit(consumer, &mark, 1, &failure));
	event_wait(leg.log, consumer, LOG_COMMITTED, &event);
	log_consumer_close(consumer, true);
	log_close(leg.log);
	char noise[8192];
	memset(noise, 'x', sizeof noise);
	file_write(path_of("topics/%s.t/0.db", leg.name_space), noise, sizeof noise, true);
	unlink(path_of("topics/%s.t/0.db-wal", leg.name_space));
	unlink(path_of("topics/%s.t/0.db-shm", leg.name_space));
	file_write(path_of("groups.db"), noise, sizeof noise, true);
	unlink(path_of("groups.db-wal"));
	unlink(path_of("groups.db-shm"));
	leg.log = leg_open(NULL);
	int64_t low, high;
	CHECK_INT(log_bounds(leg.log, "t", 0, &low, &high, &failure), FATAL);
	CHECK_CODE(failure, "corrupt");
	struct log_producer *producer = producer_open(leg.log);
	struct log_ack ack;
	send(producer, "t", 0, "x", 1);
	ack_wait(producer, &ack);
	CHECK_INT(ack.status, FATAL);
	CHECK_CODE(ack.err, "corrupt");
	log_producer_close(producer);
	CHECK_INT(log_committed(leg.log, "reads", "t", &mark, &failure), FATAL);
	CHECK_CODE(failure, "corrupt");
	static const char *const settings[] = {"",
	                                       "{",
	                                       "[]",
	                                       "{\"format\": 1}",
	                                       "{\"format\": 1, \"partitions\": -1}",
	                                       "{\"format\": 1, \"partitions\": 1, \"settings\": {\"a\": 1}}"};
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		file_write(path_of("topics/%s.t/topic.json", leg.name_space), settings[i], strlen(settings[i]), true);
		struct log *log = leg_open(NULL);
		CHECK_INT(log_bounds(log, "t", 0, &low, &high, &failure), FATAL);
		CHECK_CODE(failure, "corrupt");
		log_close(log);
	}
}

void a_long_log_is_checkpointed_while_it_is_read(void)
{
	enum { COUNT = 80000, BYTES = 1000 };
	topic_make("t", 1);
	struct log_producer *producer = producer_open(leg.log);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	int id = log_producer_topic(producer, "t"), sent = 0, acked = 0, got = 0;
	static char value[BYTES];
	struct log_record record = {.key = text("k"), .value = {value, BYTES}};
	for (int64_t limit = now_ms() + 2 * LIMIT_MS; got < COUNT;) {
		CHECK(now_ms() < limit);
		struct log_ack ack;
		struct log_event event;
		snprintf(value, sizeof value, "%d", sent);
		if (sent < COUNT && sent - acked < 2000 && log_produce(producer, id, &record, 0, &failure) == OK)
			sent++;
		while (log_producer_ack(producer, &ack)) {
			check_ok(ack.status, &ack.err, "an acknowledgement", __FILE__, __LINE__);
			acked++;
		}
		log_consumer_poll(consumer, &event);
		if (event.kind == LOG_RECORD) {
			char expected[16];
			snprintf(expected, sizeof expected, "%d", got++);
			CHECK(strcmp(event.record.value.data, expected) == 0);
		} else if (sent == COUNT || sent - acked >= 2000) {
			log_wait(leg.log, 100);
		}
	}
	log_producer_close(producer);
	log_consumer_close(consumer, true);
	struct stat st;
	CHECK(stat(path_of("topics/%s.t/0.db-wal", leg.name_space), &st) == 0);
	CHECK(st.st_size < 48 << 20); /* it began anew; each time a reader was in the middle of a batch put that off */
	CHECK(stat(path_of("topics/%s.t/0.db", leg.name_space), &st) == 0);
	CHECK(st.st_size > 16 << 20);
}
