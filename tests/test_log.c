/* local::memory: under a clock of the test's own. What all logs promise is in tests/conformance; here is what only memory
 * has: virtual time, faults, and group members that die by the clock. */
#include "log_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct clock {
	int64_t us, random;
};

static int64_t clock_wall_ms(void *arg)
{
	return 1000000 + ((struct clock *)arg)->us / 1000;
}

static int64_t clock_us(void *arg)
{
	return ((struct clock *)arg)->us;
}

static void clock_random(void *arg, void *out, size_t len)
{
	memset(out, 0, len);
	int64_t value = ++((struct clock *)arg)->random;
	memcpy(out, &value, len < sizeof value ? len : sizeof value);
}

struct world {
	struct clock clock;
	struct seam seam;
	struct log_memory *memory;
	struct log *log;
	struct err err;
};

static struct log *handle(struct world *w)
{
	struct log *log;
	assert_int_equal(
		log_open("local::memory:", &(struct log_config){.seam = &w->seam, .memory = w->memory}, &log, &w->err),
		OK);
	return log;
}

static void topic(struct world *w, const char *name, int32_t partitions)
{
	assert_int_equal(log_topic_create(w->log, &(struct log_topic){.name = name, .partitions = partitions}, &w->err),
	                 OK);
}

static int world_open(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	w->seam = (struct seam){clock_wall_ms, clock_us, clock_random, &w->clock};
	w->memory = log_memory_new(&w->seam);
	w->log = handle(w);
	topic(w, "t", 4);
	*state = w;
	return 0;
}

static int world_close(void **state)
{
	struct world *w = *state;
	log_close(w->log);
	log_memory_free(w->memory);
	free(w);
	return 0;
}

static enum status send(struct log_producer *producer, int32_t partition, const char *value, uint64_t token)
{
	struct log_record record = {.partition = partition, .key.len = -1, .value = {value, (int32_t)strlen(value)}};
	return log_produce(producer, log_producer_topic(producer, "t"), &record, token, NULL);
}

static struct log_consumer *member(struct world *w, struct log *log, const char *instance)
{
	struct log_consumer *consumer;
	struct log_consumer_config config = {
		.topic = "t", .group = "g", .instance_id = instance, .session_timeout_ms = 1000};
	assert_int_equal(log_consumer_open(log, &config, &consumer, &w->err), OK);
	return consumer;
}

static enum log_event_kind poll_kind(struct log_consumer *consumer, struct log_event *event)
{
	log_consumer_poll(consumer, event);
	return event->kind;
}

static void own(struct log_consumer *consumer, const struct log_event *event)
{
	struct log_position positions[8] = {0};
	for (size_t i = 0; i < event->partition_count; i++)
		positions[i] = (struct log_position){.partition = event->partitions[i]};
	assert_int_equal(log_consumer_assign(consumer, positions, event->partition_count, NULL), OK);
}

static void disown(struct log_consumer *consumer)
{
	assert_int_equal(log_consumer_assign(consumer, NULL, 0, NULL), OK);
}

static void time_is_the_seams_and_never_goes_back_in_a_partition(void **state)
{
	struct world *w = *state;
	struct log_producer *producer;
	assert_int_equal(log_producer_open(w->log, &producer, &w->err), OK);
	static const int64_t at_us[] = {5000000, 2000000, 7000000};
	for (size_t i = 0; i < 3; i++) {
		w->clock.us = at_us[i];
		assert_int_equal(send(producer, 0, "x", i), OK);
	}
	struct arena arena = {0};
	static const int64_t expected[] = {1005000, 1005000, 1007000};
	for (int64_t i = 0; i < 3; i++) {
		struct log_record record;
		bool found;
		assert_int_equal(log_read_at(w->log, "t", 0, i, &arena, &record, &found, &w->err), OK);
		assert_true(found);
		assert_int_equal(record.timestamp_ms, expected[i]);
	}
	int64_t offset;
	assert_int_equal(log_offset_at(w->log, "t", 0, 1005001, &offset, &w->err), OK);
	assert_int_equal(offset, 2);
	arena_fini(&arena);
	log_producer_close(producer);
}

static enum log_memory_fate next_fate;
static int64_t next_delay_us;

static enum log_memory_fate fate(void *arg, const char *name, const struct log_record *record, int64_t *delay_us)
{
	(void)arg;
	(void)name;
	(void)record;
	*delay_us = next_delay_us;
	return next_fate;
}

static void a_fault_decides_what_is_written_and_what_is_said(void **state)
{
	struct world *w = *state;
	static const struct {
		enum log_memory_fate fate;
		enum status status;
		int64_t written;
	} cases[] = {{LOG_MEMORY_WRITE, OK, 1},
	             {LOG_MEMORY_UNKNOWN, RETRY, 1},
	             {LOG_MEMORY_LOSE, RETRY, 0},
	             {LOG_MEMORY_REFUSE, FATAL, 0},
	             {LOG_MEMORY_DOUBLE, OK, 2}};
	struct log_producer *producer;
	assert_int_equal(log_producer_open(w->log, &producer, &w->err), OK);
	log_memory_set_faults(w->memory, &(struct log_memory_faults){.produce = fate});
	next_delay_us = 0;
	int64_t low, before = 0, after;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		next_fate = cases[i].fate;
		struct log_ack ack;
		assert_int_equal(send(producer, 1, "x", i), OK);
		assert_true(log_producer_ack(producer, &ack));
		assert_int_equal(ack.token, i);
		assert_int_equal(ack.status, cases[i].status);
		assert_int_equal(log_bounds(w->log, "t", 1, &low, &after, &w->err), OK);
		assert_int_equal(after - before, cases[i].written);
		before = after;
	}
	log_producer_close(producer);
}

static void a_delayed_write_lands_in_order_even_after_its_producer_is_closed(void **state)
{
	struct world *w = *state;
	struct log_producer *producer;
	struct log_ack ack;
	assert_int_equal(log_producer_open(w->log, &producer, &w->err), OK);
	log_memory_set_faults(w->memory, &(struct log_memory_faults){.produce = fate});
	next_fate = LOG_MEMORY_WRITE;
	next_delay_us = 1000;
	assert_int_equal(send(producer, 0, "first", 1), OK);
	next_delay_us = 0;
	assert_int_equal(send(producer, 0, "second", 2), OK);
	assert_false(log_producer_ack(producer, &ack));
	assert_int_equal(log_producer_pending(producer), 2);
	log_producer_close(producer);
	int64_t low, high;
	assert_int_equal(log_bounds(w->log, "t", 0, &low, &high, &w->err), OK);
	assert_int_equal(high, 0);
	w->clock.us += 1000;
	assert_int_equal(log_bounds(w->log, "t", 0, &low, &high, &w->err), OK);
	assert_int_equal(high, 2);
}

static void a_member_that_does_not_poll_is_gone_after_its_session(void **state)
{
	struct world *w = *state;
	struct log *other = handle(w);
	struct log_consumer *a = member(w, w->log, NULL), *b = member(w, other, NULL);
	struct log_event event;
	assert_int_equal(poll_kind(a, &event), LOG_ASSIGNED);
	assert_int_equal(event.partition_count, 4);
	own(a, &event);
	assert_int_equal(poll_kind(b, &event), LOG_NOTHING); /* a has not given anything back */
	w->clock.us += 999000;
	assert_int_equal(poll_kind(b, &event), LOG_NOTHING);
	w->clock.us += 2000; /* 1001 ms after a's last poll */
	assert_int_equal(poll_kind(b, &event), LOG_ASSIGNED);
	assert_int_equal(event.partition_count, 4);
	own(b, &event);
	struct log_mark mark = {.partition = 0, .offset = 7, .metadata = "m"};
	assert_int_equal(log_consumer_commit(a, &mark, 1, &w->err), OK);
	assert_int_equal(poll_kind(a, &event), LOG_COMMITTED);
	assert_int_equal(event.status, FATAL);
	assert_true(err_is(&event.err, "fenced"));
	assert_int_equal(poll_kind(a, &event), LOG_REVOKED);
	assert_true(event.lost);
	disown(a);
	assert_int_equal(poll_kind(a, &event), LOG_NOTHING); /* it joins again; b must give back first */
	assert_int_equal(poll_kind(b, &event), LOG_REVOKED);
	assert_false(event.lost);
	assert_int_equal(log_consumer_commit(b, &mark, 1, &w->err), OK); /* still the only owner */
	assert_int_equal(poll_kind(b, &event), LOG_COMMITTED);
	assert_int_equal(event.status, OK);
	disown(b);
	assert_int_equal(poll_kind(a, &event), LOG_ASSIGNED);
	assert_int_equal(event.partition_count, 2);
	assert_int_equal(poll_kind(b, &event), LOG_ASSIGNED);
	assert_int_equal(event.partition_count, 2);
	log_consumer_close(a, true);
	log_consumer_close(b, true);
	log_close(other);
}

static void a_static_member_comes_back_to_its_partitions_and_fences_its_old_self(void **state)
{
	struct world *w = *state;
	struct log_consumer *a = member(w, w->log, "a"), *b = member(w, w->log, "b");
	struct log_event event;
	assert_int_equal(poll_kind(a, &event), LOG_ASSIGNED);
	own(a, &event);
	assert_int_equal(poll_kind(b, &event), LOG_NOTHING);
	assert_int_equal(poll_kind(a, &event), LOG_REVOKED);
	disown(a);
	assert_int_equal(poll_kind(a, &event), LOG_ASSIGNED);
	own(a, &event);
	int32_t first = event.partitions[0];
	assert_int_equal(event.partition_count, 2);
	assert_int_equal(poll_kind(b, &event), LOG_ASSIGNED);
	own(b, &event);
	struct log_consumer *again = member(w, w->log, "a");
	assert_int_equal(poll_kind(again, &event), LOG_ASSIGNED);
	assert_int_equal(event.partitions[0], first);
	assert_int_equal(poll_kind(b, &event), LOG_END); /* nobody else is disturbed */
	assert_int_equal(poll_kind(a, &event), LOG_REVOKED);
	assert_true(event.lost);
	disown(a);
	assert_int_equal(poll_kind(a, &event), LOG_FAILED);
	assert_true(err_is(&event.err, "fenced"));
	assert_int_equal(poll_kind(a, &event), LOG_NOTHING);
	log_consumer_close(a, true);
	log_consumer_close(again, true); /* does not leave */
	assert_int_equal(poll_kind(b, &event), LOG_END);
	w->clock.us += 900000;
	assert_int_equal(poll_kind(b, &event), LOG_NOTHING);
	w->clock.us += 200000;
	assert_int_equal(poll_kind(b, &event), LOG_REVOKED);
	log_consumer_close(b, true);
}

static void a_check_and_a_truncation_reach_the_consumer(void **state)
{
	struct world *w = *state;
	struct log_producer *producer;
	struct log_event event;
	assert_int_equal(log_producer_open(w->log, &producer, &w->err), OK);
	for (uint64_t i = 0; i < 5; i++)
		assert_int_equal(send(producer, 0, "x", i), OK);
	struct log_consumer *a = member(w, w->log, NULL);
	assert_int_equal(poll_kind(a, &event), LOG_ASSIGNED);
	struct log_position at = {.partition = 0, .offset = 4};
	assert_int_equal(log_consumer_assign(a, &at, 1, &w->err), OK);
	assert_int_equal(poll_kind(a, &event), LOG_RECORD);
	log_memory_truncate(w->memory, "t", 0, 3);
	log_memory_check(w->memory, "t", 0);
	assert_int_equal(poll_kind(a, &event), LOG_CHECK);
	assert_int_equal(event.partition, 0);
	assert_int_equal(poll_kind(a, &event), LOG_FAILED);
	assert_true(err_is(&event.err, "out_of_range"));
	assert_int_equal(poll_kind(a, &event), LOG_NOTHING);
	log_memory_trim(w->memory, "t", 0, 2);
	at.offset = 1;
	assert_int_equal(log_consumer_assign(a, &at, 1, &w->err), OK);
	assert_int_equal(poll_kind(a, &event), LOG_FAILED);
	at.offset = 2;
	assert_int_equal(log_consumer_assign(a, &at, 1, &w->err), OK);
	assert_int_equal(poll_kind(a, &event), LOG_RECORD);
	assert_int_equal(event.offset, 2);
	log_consumer_close(a, true);
	log_producer_close(producer);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
	const struct CMUnitTest tests[] = {
		CASE(time_is_the_seams_and_never_goes_back_in_a_partition),
		CASE(a_fault_decides_what_is_written_and_what_is_said),
		CASE(a_delayed_write_lands_in_order_even_after_its_producer_is_closed),
		CASE(a_member_that_does_not_poll_is_gone_after_its_session),
		CASE(a_static_member_comes_back_to_its_partitions_and_fences_its_old_self),
		CASE(a_check_and_a_truncation_reach_the_consumer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
