/* Writing: what is written comes back, in order, acknowledged once. */
#include "conformance.h"

#include <stdlib.h>
#include <string.h>

void records_come_in_the_order_they_were_written(void)
{
	enum { COUNT = 5000 };
	topic_make("t", 1);
	send_all("t", 0, 0, COUNT);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	int64_t last = -1;
	for (int i = 0; i < COUNT; i++) {
		struct log_event event;
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK_INT(value_number(&event.record), i);
		CHECK_INT(event.record.partition, 0);
		CHECK_INT(event.offset, event.record.offset);
		CHECK(event.record.offset > last);
		last = event.record.offset;
	}
	log_consumer_close(consumer, true);
}

void a_record_goes_to_the_partition_it_names(void)
{
	topic_make("t", 4);
	for (int32_t p = 3; p >= 0; p--)
		send_all("t", p, p * 10, p + 1);
	for (int32_t p = 0; p < 4; p++) {
		int64_t low, high;
		CHECK_OK(log_bounds(leg.log, "t", p, &low, &high, &failure));
		CHECK_INT(high - low, p + 1);
		struct arena arena = {0};
		struct log_record record;
		bool found;
		CHECK_OK(log_read_at(leg.log, "t", p, 0, &arena, &record, &found, &failure));
		CHECK(found);
		CHECK_INT(value_number(&record), p * 10);
		CHECK_INT(record.partition, p);
		arena_fini(&arena);
	}
}

static void write_one(const struct log_record *record)
{
	struct log_producer *producer = producer_open(leg.log);
	struct log_ack ack;
	CHECK_OK(log_produce(producer, log_producer_topic(producer, "t"), record, 1, &failure));
	ack_wait(producer, &ack);
	check_ok(ack.status, &ack.err, "the acknowledgement", __FILE__, __LINE__);
	log_producer_close(producer);
}

void null_and_empty_keys_and_values_are_told_apart(void)
{
	topic_make("t", 1);
	static const struct log_bytes cases[][2] = {
		{{NULL, -1}, {NULL, -1}}, {{"", 0}, {"v", 1}},      {{"k", 1}, {"", 0}},
		{{"k", 1}, {NULL, -1}},   {{NULL, -1}, {"\0a", 2}}, {{"a\0b", 3}, {"\xff\xfe", 2}},
	};
	enum { COUNT = sizeof cases / sizeof *cases };
	for (size_t i = 0; i < COUNT; i++)
		write_one(&(struct log_record){.key = cases[i][0], .value = cases[i][1]});
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	for (size_t i = 0; i < COUNT; i++) {
		struct log_event event;
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		const struct log_bytes *is[2] = {&event.record.key, &event.record.value};
		for (int j = 0; j < 2; j++) {
			CHECK_INT(is[j]->len, cases[i][j].len);
			CHECK(is[j]->len <= 0 || memcmp(is[j]->data, cases[i][j].data, (size_t)is[j]->len) == 0);
		}
		CHECK_INT(event.record.header_count, 0);
	}
	log_consumer_close(consumer, true);
}

void headers_keep_order_repeats_and_nulls(void)
{
	topic_make("t", 1);
	static const struct log_header headers[] = {
		{"b", {"1", 1}},
		{"a", {"", 0}},
		{"b", {NULL, -1}},
		{"a", {"\0x", 2}},
		{"long name with spaces", {"v", 1}},
	};
	enum { COUNT = sizeof headers / sizeof *headers };
	write_one(
		&(struct log_record){.key = text("k"), .value = text("v"), .headers = headers, .header_count = COUNT});
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK_INT(event.record.header_count, COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		const struct log_header *is = &event.record.headers[i];
		CHECK_TEXT(is->name, headers[i].name);
		CHECK_INT(is->value.len, headers[i].value.len);
		CHECK(is->value.len <= 0 || memcmp(is->value.data, headers[i].value.data, (size_t)is->value.len) == 0);
	}
	log_consumer_close(consumer, true);
}

void large_records_come_back_whole(void)
{
	enum { BYTES = 900000, COUNT = 4 };
	topic_make("t", 1);
	char *value = mem_alloc(BYTES);
	for (int i = 0; i < COUNT; i++) {
		for (int j = 0; j < BYTES; j++)
			value[j] = (char)((j * 31 + i) ^ (j >> 8));
		write_one(&(struct log_record){.key = text("k"), .value = {value, BYTES}});
	}
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	for (int i = 0; i < COUNT; i++) {
		struct log_event event;
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK_INT(event.record.value.len, BYTES);
		const char *is = event.record.value.data;
		for (int j = 0; j < BYTES; j++)
			CHECK(is[j] == (char)((j * 31 + i) ^ (j >> 8)));
	}
	mem_free(value);
	log_consumer_close(consumer, true);
}

void timestamps_are_the_logs_and_never_go_back(void)
{
	topic_make("t", 1);
	int64_t before = seam_wall_ms(&seam_system), last = 0;
	write_one(&(struct log_record){.key = text("k"), .value = text("v"), .timestamp_ms = 5, .offset = 77});
	for (int i = 0; i < 5; i++)
		send_all("t", 0, i * 100, 100);
	int64_t after = seam_wall_ms(&seam_system);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	for (int i = 0; i < 501; i++) {
		struct log_event event;
		event_wait(leg.log, consumer, LOG_RECORD, &event);
		CHECK(event.record.timestamp_ms >= last);
		last = event.record.timestamp_ms;
		/* a broker's clock may be another machine's */
		CHECK(last >= before - 5000 && last <= after + 5000);
	}
	log_consumer_close(consumer, true);
}

void every_token_is_acknowledged_once_with_its_offset(void)
{
	enum { COUNT = 3000 };
	topic_make("t", 3);
	struct log_producer *producer = producer_open(leg.log);
	for (int i = 0; i < COUNT; i++) {
		char value[16];
		snprintf(value, sizeof value, "%d", i);
		send(producer, "t", i % 3, value, (uint64_t)i);
	}
	bool seen[COUNT] = {false};
	for (int i = 0; i < COUNT; i++) {
		struct log_ack ack;
		CHECK_INT(log_producer_pending(producer), COUNT - i);
		ack_wait(producer, &ack);
		check_ok(ack.status, &ack.err, "an acknowledgement", __FILE__, __LINE__);
		CHECK(ack.token < COUNT && !seen[ack.token]);
		seen[ack.token] = true;
		CHECK_INT(ack.offset, (int64_t)ack.token / 3);
	}
	struct log_ack more;
	CHECK(!log_producer_ack(producer, &more));
	CHECK_INT(log_producer_pending(producer), 0);
	log_producer_close(producer);
}

void an_acknowledged_record_is_read_at_once(void)
{
	topic_make("t", 1);
	struct log *other = leg_open(NULL);
	struct log_producer *producer = producer_open(leg.log);
	struct arena arena = {0};
	for (int i = 0; i < 20; i++) {
		char value[16];
		snprintf(value, sizeof value, "%d", i);
		send(producer, "t", 0, value, (uint64_t)i);
		struct log_ack ack;
		ack_wait(producer, &ack);
		check_ok(ack.status, &ack.err, "an acknowledgement", __FILE__, __LINE__);
		struct log_record record;
		bool found;
		CHECK_OK(log_read_at(other, "t", 0, ack.offset, &arena, &record, &found, &failure));
		CHECK(found);
		CHECK_INT(value_number(&record), i);
	}
	arena_fini(&arena);
	log_producer_close(producer);
	log_close(other);
}

void a_record_that_is_too_large_fails_alone(void)
{
	topic_make("t", 1);
	enum { BYTES = 3000000 };
	char *value = mem_alloc(BYTES);
	seam_random(&seam_system, value, BYTES); /* nothing that compresses */
	struct log_producer *producer = producer_open(leg.log);
	int id = log_producer_topic(producer, "t");
	int oks = 0;
	struct log_record large = {.key = text(NULL), .value = {value, BYTES}};
	send(producer, "t", 0, "before", 1);
	CHECK_OK(log_produce(producer, id, &large, 2, &failure));
	send(producer, "t", 0, "after", 3);
	for (int i = 0; i < 3; i++) {
		struct log_ack ack;
		ack_wait(producer, &ack);
		if (ack.token == 2) {
			CHECK_INT(ack.status, FATAL);
			CHECK_CODE(ack.err, "too_large");
		} else {
			oks += ack.status == OK;
		}
	}
	CHECK_INT(oks, 2);
	log_producer_close(producer);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK(value_is(&event.record, "before"));
	event_wait(leg.log, consumer, LOG_RECORD, &event);
	CHECK(value_is(&event.record, "after"));
	log_consumer_close(consumer, true);
	mem_free(value);
}

static void fails_with(const char *topic, int32_t partition, const char *code)
{
	struct log_producer *producer = producer_open(leg.log);
	send(producer, topic, partition, "lost", 9);
	send(producer, "t", 0, "kept", 10);
	for (int i = 0; i < 2; i++) {
		struct log_ack ack;
		ack_wait(producer, &ack);
		CHECK_INT(ack.status, ack.token == 9 ? FATAL : OK);
		if (ack.token == 9)
			CHECK_CODE(ack.err, code);
	}
	log_producer_close(producer);
}

void an_unknown_topic_shows_in_the_acknowledgement(void)
{
	topic_make("t", 1);
	fails_with("nowhere", 0, "unknown_topic");
}

void an_unknown_partition_shows_in_the_acknowledgement(void)
{
	topic_make("t", 2);
	fails_with("t", 2, "unknown_partition");
	if (leg.kind != KAFKA) /* a negative number is "any" to Kafka's client */
		fails_with("t", -1, "unknown_partition");
}

void a_full_queue_takes_nothing_and_recovers(void)
{
	enum { LIMIT = 2000000 };
	topic_make("t", 1);
	struct log_producer *producer = producer_open(leg.log);
	int id = log_producer_topic(producer, "t");
	struct log_record record = {.key = text(NULL), .value = text("x")};
	int64_t taken = 0;
	enum status status;
	while ((status = log_produce(producer, id, &record, (uint64_t)taken, &failure)) == OK && taken < LIMIT)
		taken++;
	CHECK_INT(status, RETRY);
	CHECK_CODE(failure, "queue_full");
	CHECK_INT(log_producer_pending(producer), taken);
	struct log_ack ack;
	ack_wait(producer, &ack);
	while (log_produce(producer, id, &record, (uint64_t)taken, &failure) != OK)
		ack_wait(producer, &ack);
	taken++;
	while (log_producer_pending(producer))
		ack_wait(producer, &ack);
	log_producer_close(producer);
	int64_t low, high;
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure));
	CHECK_INT(high, taken);
}

void a_producer_closed_early_drops_what_waits(void)
{
	topic_make("t", 1);
	struct log_producer *producer = producer_open(leg.log);
	for (uint64_t i = 0; i < 1000; i++)
		send(producer, "t", 0, "x", i);
	int64_t start = now_ms();
	log_producer_close(producer);
	CHECK(now_ms() - start < LIMIT_MS / 2);
	int64_t low, high;
	CHECK_OK(log_bounds(leg.log, "t", 0, &low, &high, &failure));
	CHECK(high <= 1000);
	send_all("t", 0, 0, 1);
}

void waiting_ends_in_time(void)
{
	if (leg.kind == LOCAL)
		disk_in_memory(8); /* so that what takes time is the waiting */
	topic_make("t", 1);
	struct log_consumer *consumer = reads(leg.log, "t", 0, 0);
	struct log_event event;
	event_wait(leg.log, consumer, LOG_END, &event);
	int64_t start = now_ms();
	for (int i = 0; i < 5; i++) {
		log_consumer_poll(consumer, &event);
		log_wait(leg.log, 50);
	}
	CHECK(now_ms() - start < LIMIT_MS / 2);
	/* An acknowledgement ends a long wait, and so does a record. */
	enum { COUNT = 30 };
	struct log_producer *producer = producer_open(leg.log);
	int quick = 0;
	for (int i = 0; i < COUNT; i++) {
		struct log_ack ack;
		start = now_ms();
		send(producer, "t", 0, "x", 1);
		while (!log_producer_ack(producer, &ack)) {
			CHECK(now_ms() - start < LIMIT_MS);
			log_wait(leg.log, LIMIT_MS);
			log_consumer_poll(consumer, &event);
		}
		quick += now_ms() - start < 80;
	}
	if (leg.kind == LOCAL)
		CHECK(quick >= COUNT / 4); /* without the bell it would be 100 ms each; others may want the processor */
	log_producer_close(producer);
	log_consumer_close(consumer, true);
	if (leg.kind == LOCAL)
		disk_leave();
}
