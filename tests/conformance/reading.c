/* Reading: from where it is asked, to the end, and never from anywhere else. */
#include "conformance.h"

#include <string.h>

void the_end_of_a_partition_is_told(void)
{
	topic_make("t", 1);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_END, &event);
	CHECK_INT(event.offset, 0);
	CHECK_INT(event.partition, 0);
	for (int round = 1; round <= 3; round++) {
		send_all("t", 0, round, 1);
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK_INT(value_number(&event.record), round);
		event_wait(leg.log, consumer, LOG_END, &event);
		CHECK_INT(event.offset, round);
	}
	log_consumer_close(consumer, true);
}

void several_partitions_are_read_to_their_ends(void)
{
	enum { TOPIC_PARTITIONS = 3, COUNT = 2500 };
	topic_make("t", TOPIC_PARTITIONS);
	for (int32_t p = 0; p < TOPIC_PARTITIONS; p++)
		send_all("t", p, 0, COUNT);
	struct log_consumer *consumer;
	static const int32_t partitions[] = {0, 1, 2};
	CHECK_OK(log_consumer_open(
		leg.log,
		&(struct log_consumer_config){
			.topic = "t", .group = "g", .partitions = partitions, .partition_count = TOPIC_PARTITIONS},
		&consumer, &failure));
	struct log_event event;
	event_wait(leg.log, consumer, LOG_ASSIGNED, &event);
	assign_at(consumer, event.partitions, event.partition_count, 0);
	int next[TOPIC_PARTITIONS] = {0}, ends = 0;
	bool ended[TOPIC_PARTITIONS] = {false};
	for (int64_t limit = now_ms() + LIMIT_MS; ends < TOPIC_PARTITIONS;) {
		CHECK(now_ms() < limit);
		log_consumer_poll(consumer, &event);
		if (event.kind == LOG_NOTHING) {
			log_wait(leg.log, 100);
		} else if (event.kind == LOG_RECORD) {
			CHECK_INT(value_number(&event.record), next[event.partition]);
			next[event.partition]++;
		} else if (event.kind == LOG_END) {
			CHECK_INT(next[event.partition], COUNT);
			CHECK_INT(event.offset, COUNT);
			ends += !ended[event.partition];
			ended[event.partition] = true;
		}
	}
	log_consumer_close(consumer, true);
}

void watermarks_follow_the_records(void)
{
	topic_make("t", 2);
	int64_t low = -1, high = -1;
	CHECK_OK(log_bounds(leg.log, "t", 1, &low, &high, &failure));
	CHECK_INT(low, 0);
	CHECK_INT(high, 0);
	send_all("t", 1, 0, 7);
	CHECK_OK(log_bounds(leg.log, "t", 1, &low, &high, &failure));
	CHECK_INT(low, 0);
	CHECK_INT(high, 7);
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure));
	CHECK_INT(high, 0);
	CHECK(log_bounds(leg.log, "t", 2, &low, &high, &failure) != OK);
	CHECK_CODE(failure, "unknown_partition");
	CHECK(log_bounds(leg.log, "nowhere", 0, &low, &high, &failure) != OK);
	CHECK_CODE(failure, "unknown_topic");
	int nodes = 0;
	CHECK_OK(log_node_count(leg.log, &nodes, &failure));
	CHECK(nodes >= 1);
}

void reading_begins_at_any_offset(void)
{
	enum { COUNT = 30 };
	topic_make("t", 1);
	send_all("t", 0, 0, COUNT);
	for (int64_t from = 0; from <= COUNT; from += 5) {
		struct log_reader *reader;
		const struct log_record *record;
		CHECK_OK(log_reader_open(leg.log, "t", 0, from, &reader, &failure));
		for (int64_t i = from; i < COUNT; i++) {
			CHECK_OK(log_reader_next(reader, LIMIT_MS, &record, &failure));
			CHECK(record != NULL);
			CHECK_INT(record->offset, i);
			CHECK_INT(value_number(record), i);
		}
		CHECK_OK(log_reader_next(reader, 0, &record, &failure));
		CHECK(record == NULL);
		log_reader_close(reader);
		struct log_consumer *consumer = reads(leg.log, "t", 0, from);
		struct log_event event;
		event_wait(leg.log, consumer, from < COUNT ? LOG_RECORD : LOG_END, &event);
		CHECK_INT(event.offset, from);
		log_consumer_close(consumer, true);
	}
	struct arena arena = {0};
	struct log_record record;
	bool found;
	CHECK_OK(log_read_at(leg.log, "t", 0, 17, &arena, &record, &found, &failure));
	CHECK(found);
	CHECK_INT(value_number(&record), 17);
	CHECK_INT(record.offset, 17);
	CHECK_OK(log_read_at(leg.log, "t", 0, COUNT, &arena, &record, &found, &failure));
	CHECK(!found);
	arena_fini(&arena);
}

void an_offset_out_of_range_is_never_reset(void)
{
	topic_make("t", 2);
	send_all("t", 0, 0, 5);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 5000);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_FAILED, &event);
	CHECK_INT(event.partition, 0);
	CHECK_INT(event.status, FATAL);
	CHECK_CODE(event.err, "out_of_range");
	/* It is cured by another assignment. */
	static const int32_t zero[] = {0};
	assign_at(consumer, zero, 1, 2);
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK_INT(event.offset, 2);
	log_consumer_close(consumer, true);
	struct log_reader *reader = NULL;
	const struct log_record *record;
	enum status status = log_reader_open(leg.log, "t", 0, 5000, &reader, &failure);
	if (status == OK)
		status = log_reader_next(reader, LIMIT_MS, &record, &failure);
	CHECK_INT(status, FATAL);
	CHECK_CODE(failure, "out_of_range");
	log_reader_close(reader);
}

void a_time_finds_its_offset(void)
{
	topic_make("t", 1);
	int64_t offset = -1;
	CHECK_OK(log_offset_at(leg.log, "t", 0, 0, &offset, &failure));
	CHECK_INT(offset, 0);
	enum { ROUNDS = 6, EACH = 10 };
	for (int i = 0; i < ROUNDS; i++) {
		send_all("t", 0, i * EACH, EACH);
		for (int64_t then = seam_wall_ms(&seam_system); seam_wall_ms(&seam_system) < then + 3;)
			log_wait(leg.log, 1);
	}
	int64_t times[ROUNDS * EACH];
	struct log_reader *reader;
	CHECK_OK(log_reader_open(leg.log, "t", 0, 0, &reader, &failure));
	for (int i = 0; i < ROUNDS * EACH; i++) {
		const struct log_record *record;
		CHECK_OK(log_reader_next(reader, LIMIT_MS, &record, &failure));
		CHECK(record != NULL);
		times[i] = record->timestamp_ms;
	}
	log_reader_close(reader);
	for (int i = 0; i < ROUNDS * EACH; i++) {
		int first = i;
		while (first > 0 && times[first - 1] == times[i])
			first--;
		CHECK_OK(log_offset_at(leg.log, "t", 0, times[i], &offset, &failure));
		CHECK_INT(offset, first);
	}
	CHECK_OK(log_offset_at(leg.log, "t", 0, times[0] - 100000, &offset, &failure));
	CHECK_INT(offset, 0);
	CHECK_OK(log_offset_at(leg.log, "t", 0, times[ROUNDS * EACH - 1] + 1, &offset, &failure));
	CHECK_INT(offset, ROUNDS * EACH);
}

void a_held_consumer_delivers_no_record(void)
{
	topic_make("t", 1);
	send_all("t", 0, 0, 3);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	log_consumer_hold(consumer, true);
	for (int i = 0; i < 20; i++) {
		log_consumer_poll(consumer, &event);
		CHECK(event.kind == LOG_NOTHING || event.kind == LOG_CHECK);
		log_wait(leg.log, 20);
	}
	struct log_mark mark = {.partition = 0, .offset = 1, .metadata = ""};
	CHECK_OK(log_consumer_commit(consumer, &mark, 1, &failure));
	event_wait(leg.log, consumer, LOG_COMMITTED, &event); /* comes all the same */
	CHECK_INT(event.status, OK);
	log_consumer_hold(consumer, false);
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK_INT(value_number(&event.record), 1);
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK_INT(value_number(&event.record), 2);
	log_consumer_close(consumer, true);
}

void a_paused_partition_is_not_read(void)
{
	topic_make("t", 2);
	send_all("t", 0, 0, 3);
	send_all("t", 1, 10, 3);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_position positions[] = {{.partition = 0, .paused = true}, {.partition = 1}};
	CHECK_OK(log_consumer_assign(consumer, positions, 2, &failure));
	struct log_event event;
	for (int i = 0; i < 3; i++) {
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK_INT(event.partition, 1);
	}
	for (int i = 0; i < 20; i++) {
		log_consumer_poll(consumer, &event);
		CHECK(event.kind != LOG_RECORD && event.kind != LOG_FAILED);
		log_wait(leg.log, 20);
	}
	positions[0].paused = false;
	positions[1].offset = 3;
	CHECK_OK(log_consumer_assign(consumer, positions, 2, &failure));
	for (int i = 0; i < 3; i++) {
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK_INT(event.partition, 0);
		CHECK_INT(value_number(&event.record), i);
	}
	log_consumer_close(consumer, true);
}

void a_replaced_assignment_delivers_nothing_stale(void)
{
	topic_make("t", 2);
	send_all("t", 0, 0, 2000);
	send_all("t", 1, 10000, 2000);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	static const int32_t one[] = {1}, zero[] = {0};
	struct log_event event;
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 5; i++) {
			event_wait(leg.log, consumer, LOG_RECORD, &event);
			CHECK_INT(value_number(&event.record), round * 100 + i);
		}
		assign_at(consumer, one, 1, 50 + round);
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK_INT(event.partition, 1);
		CHECK_INT(value_number(&event.record), 10050 + round);
		CHECK_OK(log_consumer_assign(consumer, NULL, 0, &failure));
		for (int i = 0; i < 3; i++) {
			log_consumer_poll(consumer, &event);
			CHECK(event.kind != LOG_RECORD && event.kind != LOG_END);
		}
		assign_at(consumer, zero, 1, (round + 1) * 100);
	}
	log_consumer_close(consumer, true);
}

void a_record_lives_until_the_next_call_and_its_copy_longer(void)
{
	topic_make("t", 1);
	struct log_header header = {"h", {"hv", 2}};
	struct log_producer *producer = producer_open(leg.log);
	char value[] = "value", key[] = "key";
	struct log_record record = {.key = text(key), .value = text(value), .headers = &header, .header_count = 1};
	CHECK_OK(log_produce(producer, log_producer_topic(producer, "t"), &record, 1, &failure));
	memset(value, 'x', 5); /* it was copied */
	memset(key, 'x', 3);
	struct log_ack ack;
	ack_wait(producer, &ack);
	log_producer_close(producer);
	send_all("t", 0, 1, 1);
	struct arena arena = {0};
	struct log_record copy;
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK(value_is(&event.record, "value"));
	log_record_copy(&copy, &event.record, &arena);
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	log_consumer_close(consumer, true);
	CHECK(value_is(&copy, "value"));
	CHECK(copy.key.len == 3 && memcmp(copy.key.data, "key", 3) == 0);
	CHECK_INT(copy.header_count, 1);
	CHECK_TEXT(copy.headers[0].name, "h");
	CHECK(memcmp(copy.headers[0].value.data, "hv", 2) == 0);
	arena_fini(&arena);
}

void keys_find_their_partition_as_in_java(void)
{
	CHECK_INT(log_partition_of("sku-1", 5, 12), 7);
	/* org.apache.kafka.common.utils.UtilsTest: murmur2("21") = -973932308, ("foobar") = -790332482 */
	CHECK_INT(log_partition_of("21", 2, 1000), (-973932308 & 0x7fffffff) % 1000);
	CHECK_INT(log_partition_of("foobar", 6, 1000), (-790332482 & 0x7fffffff) % 1000);
}
