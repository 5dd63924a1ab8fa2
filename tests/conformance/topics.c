/* Topics: made once, with their settings, in their namespace; and imports. */
#include "conformance.h"

#include <string.h>

static const char *setting(const struct log_topic *topic, const char *name)
{
	for (size_t i = 0; i < topic->setting_count; i++)
		if (strcmp(topic->settings[i].name, name) == 0)
			return topic->settings[i].value;
	return NULL;
}

void a_topic_is_made_with_its_settings(void)
{
	static const struct log_setting settings[] = {{"cleanup.policy", "delete"},
	                                              {"message.timestamp.type", "LogAppendTime"},
	                                              {"retention.ms", "-1"},
	                                              {"max.message.bytes", "2000000"}};
	struct log_topic wanted = {
		.name = "t", .partitions = 5, .replicas = 1, .settings = settings, .setting_count = 4};
	struct arena arena = {0};
	struct log_topic is;
	CHECK_OK(log_topic_describe(leg.log, "t", &arena, &is, &failure));
	CHECK(!is.exists);
	CHECK_OK(log_topic_create(leg.log, &wanted, &failure));
	struct log *other = leg_open(NULL);
	CHECK_OK(log_topic_describe(other, "t", &arena, &is, &failure));
	CHECK(is.exists);
	CHECK_TEXT(is.name, "t");
	CHECK_INT(is.partitions, 5);
	CHECK_INT(is.replicas, 1);
	CHECK(is.settings_known);
	for (size_t i = 0; i < 4; i++)
		CHECK_TEXT(setting(&is, settings[i].name), settings[i].value);
	CHECK_TEXT(setting(&is, "retention.bytes"), "-1"); /* a default is told, too */
	log_close(other);
	/* The limit holds. */
	char *value = mem_zalloc(1, 1500000);
	struct log_record record = {.key = text(NULL), .value = {value, 1500000}};
	struct log_producer *producer = producer_open(leg.log);
	struct log_ack ack;
	CHECK_OK(log_produce(producer, log_producer_topic(producer, "t"), &record, 1, &failure));
	ack_wait(producer, &ack);
	check_ok(ack.status, &ack.err, "1,500,000 bytes of 2,000,000", __FILE__, __LINE__);
	log_producer_close(producer);
	mem_free(value);
	arena_fini(&arena);
}

void a_topic_is_made_only_once(void)
{
	topic_make("t", 2);
	struct log_topic again = {.name = "t", .partitions = 3, .replicas = 1};
	CHECK_INT(log_topic_create(leg.log, &again, &failure), REJECT);
	CHECK_CODE(failure, "topic_exists");
	struct arena arena = {0};
	struct log_topic is;
	CHECK_OK(log_topic_describe(leg.log, "t", &arena, &is, &failure));
	CHECK_INT(is.partitions, 2);
	arena_fini(&arena);
	static const char *const wrong[] = {"", "a/b", ".", "..", "a b", ".hidden"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct log *plain = leg_open("");
		struct log_topic topic = {.name = wrong[i], .partitions = 1, .replicas = 1};
		CHECK_INT(log_topic_create(plain, &topic, &failure), REJECT);
		CHECK_CODE(failure, "invalid");
		log_close(plain);
	}
	CHECK_INT(log_topic_create(leg.log, &(struct log_topic){.name = "none"}, &failure), REJECT);
	CHECK_INT(log_topic_delete(leg.log, "nowhere", &failure), REJECT);
	CHECK_CODE(failure, "unknown_topic");
}

void settings_that_cannot_be_kept_are_refused(void)
{
	static const struct log_setting wrong[] = {{"cleanup.policy", "compact"},
	                                           {"message.timestamp.type", "CreateTime"},
	                                           {"retention.ms", "1000"},
	                                           {"retention.bytes", "1"},
	                                           {"max.message.bytes", "lots"}};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct log_topic topic = {
			.name = "t", .partitions = 1, .replicas = 1, .settings = &wrong[i], .setting_count = 1};
		CHECK_INT(log_topic_create(leg.log, &topic, &failure), REJECT);
		CHECK_CODE(failure, "invalid");
	}
	CHECK_INT(log_topic_create(leg.log, &(struct log_topic){.name = "t", .partitions = 1, .replicas = 3}, &failure),
	          REJECT);
	struct arena arena = {0};
	struct log_topic is;
	CHECK_OK(log_topic_describe(leg.log, "t", &arena, &is, &failure));
	CHECK(!is.exists);
	arena_fini(&arena);
}

void namespaces_do_not_see_each_other(void)
{
	char a[80], b[80], full[100];
	snprintf(a, sizeof a, "%s.a", leg.name_space); /* within the case's, so that its end deletes them */
	snprintf(b, sizeof b, "%s.b", leg.name_space);
	struct log *in_a = leg_open(a), *in_b = leg_open(b);
	struct log_topic t = {.name = "t", .partitions = 1, .replicas = 1}, dlq = t, three = t;
	dlq.name = "t.dlq";
	three.partitions = 3;
	CHECK_OK(log_topic_create(in_a, &t, &failure));
	CHECK_OK(log_topic_create(in_a, &dlq, &failure));
	CHECK_OK(log_topic_create(in_b, &three, &failure));
	snprintf(full, sizeof full, "%s.t", a);
	CHECK_TEXT(log_full_name(in_a, "t"), full);
	CHECK(log_full_name(in_a, "t") == log_full_name(in_a, "t"));
	struct arena arena = {0};
	const char **names;
	size_t count;
	CHECK_OK(log_topic_list(in_a, &arena, &names, &count, &failure));
	CHECK_INT(count, 2);
	CHECK_TEXT(names[0], "t");
	CHECK_TEXT(names[1], "t.dlq");
	CHECK_OK(log_topic_list(in_b, &arena, &names, &count, &failure));
	CHECK_INT(count, 1);
	struct log_topic is;
	CHECK_OK(log_topic_describe(in_b, "t", &arena, &is, &failure));
	CHECK_INT(is.partitions, 3);
	CHECK_OK(log_topic_delete(in_b, "t", &failure));
	for (int64_t limit = now_ms() + LIMIT_MS; count; log_wait(in_b, 10)) { /* a broker takes a moment */
		CHECK(now_ms() < limit);
		CHECK_OK(log_topic_list(in_b, &arena, &names, &count, &failure));
	}
	CHECK_OK(log_topic_describe(in_a, "t", &arena, &is, &failure));
	CHECK(is.exists);
	/* Groups have the namespace as well: one of the same name elsewhere is another. */
	struct log_consumer *consumer;
	int32_t zero = 0;
	CHECK_OK(log_consumer_open(
		in_a,
		&(struct log_consumer_config){.topic = "t", .group = "g", .partitions = &zero, .partition_count = 1},
		&consumer, &failure));
	struct log_mark mark = {.partition = 0, .offset = 0, .metadata = "m"};
	struct log_event event;
	event_wait(in_a, consumer, LOG_ASSIGNED, &event);
	CHECK_OK(log_consumer_commit(consumer, &mark, 1, &failure));
	event_wait(in_a, consumer, LOG_COMMITTED, &event);
	check_ok(event.status, &event.err, "the commit", __FILE__, __LINE__);
	CHECK_OK(log_committed(in_a, "g", "t", &mark, &failure));
	CHECK_INT(mark.offset, 0);
	CHECK_OK(log_committed(in_b, "g", "t", &mark, &failure));
	CHECK_INT(mark.offset, -1);
	log_consumer_close(consumer, true);
	arena_fini(&arena);
	log_close(in_a);
	log_close(in_b);
}

void readers_of_a_deleted_topic_are_told(void)
{
	topic_make("t", 1);
	send_all("t", 0, 0, 3);
	struct log *other = leg_open(NULL);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_reader *reader;
	const struct log_record *record;
	struct log_event event;
	CHECK_OK(log_reader_open(leg.log, "t", 0, 3, &reader, &failure));
	for (int i = 0; i < 3; i++)
		event_wait(leg.log, consumer, LOG_RECORD, &event);
	struct log_producer *producer = producer_open(leg.log);
	struct log_ack ack;
	send(producer, "t", 0, "x", 1);
	ack_wait(producer, &ack);
	check_ok(ack.status, &ack.err, "before the deletion", __FILE__, __LINE__);
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK_OK(log_reader_next(reader, 0, &record, &failure));
	CHECK(record != NULL);
	CHECK_OK(log_topic_delete(other, "t", &failure));
	event_wait(leg.log, consumer, LOG_FAILED, &event);
	CHECK_CODE(event.err, "unknown_topic");
	CHECK_INT(log_reader_next(reader, 1000, &record, &failure), FATAL);
	CHECK_CODE(failure, "unknown_topic");
	send(producer, "t", 0, "x", 2);
	ack_wait(producer, &ack);
	CHECK_INT(ack.status, FATAL);
	CHECK_CODE(ack.err, "unknown_topic");
	/* Made again, it is another topic; the producer finds it. */
	topic_make("t", 1);
	send(producer, "t", 0, "new", 3);
	ack_wait(producer, &ack);
	check_ok(ack.status, &ack.err, "after it was made again", __FILE__, __LINE__);
	CHECK_INT(ack.offset, 0);
	CHECK_INT(log_reader_next(reader, 0, &record, &failure), FATAL);
	log_producer_close(producer);
	log_reader_close(reader);
	log_consumer_close(consumer, true);
	log_close(other);
}

void a_topic_made_again_is_empty_and_has_no_marks(void)
{
	topic_make("t", 1);
	send_all("t", 0, 0, 3);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_mark mark = {.partition = 0, .offset = 3, .metadata = "m"};
	struct log_event event;
	CHECK_OK(log_consumer_commit(consumer, &mark, 1, &failure));
	event_wait(leg.log, consumer, LOG_COMMITTED, &event);
	log_consumer_close(consumer, true);
	CHECK_OK(log_topic_delete(leg.log, "t", &failure));
	topic_make("t", 1);
	int64_t low, high;
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure));
	CHECK_INT(high, 0);
	CHECK_OK(log_committed(leg.log, "reads", "t", &mark, &failure));
	CHECK_INT(mark.offset, -1);
	CHECK_TEXT(mark.metadata, "");
}

/* ---- imports ---- */

static struct log_record imported(int64_t offset, int64_t ms, const char *value)
{
	return (struct log_record){.offset = offset, .timestamp_ms = ms, .key = text("k"), .value = text(value)};
}

void an_import_keeps_offsets_holes_and_times(void)
{
	topic_make("t", 1);
	struct log_header header = {"h", {NULL, -1}};
	struct log_record first[] = {imported(0, 1000, "0"), imported(1, 1000, "1"), imported(5, 1500, "5")};
	struct log_record second[] = {imported(6, 1500, "6"), imported(100, 9000, "100")};
	first[1].headers = &header;
	first[1].header_count = 1;
	CHECK_OK(log_import(leg.log, "t", 0, first, 3, &failure));
	CHECK_OK(log_import(leg.log, "t", 0, second, 2, &failure));
	static const int64_t offsets[] = {0, 1, 5, 6, 100}, times[] = {1000, 1000, 1500, 1500, 9000};
	int64_t low, high, offset;
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure));
	CHECK_INT(low, 0);
	CHECK_INT(high, 101);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	for (size_t i = 0; i < 5; i++) {
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK_INT(event.record.offset, offsets[i]);
		CHECK_INT(event.record.timestamp_ms, times[i]);
		CHECK_INT(value_number(&event.record), offsets[i]);
		CHECK_INT(event.record.header_count, i == 1);
		CHECK_OK(log_offset_at(leg.log, "t", 0, times[i], &offset, &failure));
		CHECK_INT(offset, i == 1 ? 0 : i == 3 ? 5 : offsets[i]);
	}
	event_wait(leg.log, consumer, LOG_END, &event);
	CHECK_INT(event.offset, 101);
	/* In the hole: nothing at it, and reading from it begins behind it. */
	struct arena arena = {0};
	struct log_record record;
	bool found;
	CHECK_OK(log_read_at(leg.log, "t", 0, 3, &arena, &record, &found, &failure));
	CHECK(!found);
	static const int32_t zero[] = {0};
	assign_at(consumer, zero, 1, 7);
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK_INT(event.offset, 100);
	CHECK_OK(log_offset_at(leg.log, "t", 0, 1501, &offset, &failure));
	CHECK_INT(offset, 100);
	CHECK_OK(log_offset_at(leg.log, "t", 0, 9001, &offset, &failure));
	CHECK_INT(offset, 101);
	arena_fini(&arena);
	log_consumer_close(consumer, true);
	/* What is written afterwards comes behind it. */
	struct log_producer *producer = producer_open(leg.log);
	struct log_ack ack;
	send(producer, "t", 0, "x", 1);
	ack_wait(producer, &ack);
	CHECK_INT(ack.offset, 101);
	log_producer_close(producer);
}

void an_import_out_of_order_is_refused(void)
{
	topic_make("t", 1);
	struct log_record good[] = {imported(10, 1000, "a"), imported(12, 1000, "b")};
	CHECK_OK(log_import(leg.log, "t", 0, good, 2, &failure));
	struct log_record wrong[][2] = {{imported(12, 2000, "x"), imported(13, 2000, "y")},
	                                {imported(13, 2000, "x"), imported(13, 2000, "y")},
	                                {imported(13, 999, "x"), imported(14, 2000, "y")},
	                                {imported(13, 2000, "x"), imported(14, 1999, "y")}};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		CHECK_INT(log_import(leg.log, "t", 0, wrong[i], 2, &failure), REJECT);
		CHECK_CODE(failure, "invalid");
	}
	int64_t low, high;
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure)); /* nothing of the wrong ones is there */
	CHECK_INT(low, 10);
	CHECK_INT(high, 13);
	CHECK(log_import(leg.log, "nowhere", 0, good, 2, &failure) != OK);
	CHECK_CODE(failure, "unknown_topic");
}

void an_import_is_unsupported(void)
{
	topic_make("t", 1);
	struct log_record record = imported(0, 1000, "a");
	CHECK_INT(log_import(leg.log, "t", 0, &record, 1, &failure), REJECT);
	CHECK_CODE(failure, "unsupported");
}
