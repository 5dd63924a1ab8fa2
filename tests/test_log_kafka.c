/* The Kafka client where no broker is needed: errors sorted, properties layered, and librdkafka's own mock cluster for what
 * it is good for (the client's path; no admin requests, no truncation). What all logs promise is in tests/conformance. */
#include "../common/log_kafka.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if __has_include(<librdkafka/rdkafka_mock.h>)
#include <librdkafka/rdkafka_mock.h>
#define HAVE_MOCK 1
#else
#define HAVE_MOCK 0
#endif

#define LIMIT_US 60000000

static const struct seam *const seam = &seam_system;

static struct log *log_of(const char *url, const struct log_setting *settings, size_t count, int timeout_ms)
{
	struct log *log;
	struct err err = {0};
	const struct log_config config = {
		.seam = seam, .settings = settings, .setting_count = count, .timeout_ms = timeout_ms};
	if (log_open(url, &config, &log, &err) != OK)
		fail_msg("%s: %s", url, err.text);
	return log;
}

/* ---- errors ---- */

static void errors_are_sorted_by_what_the_caller_must_do(void **state)
{
	(void)state;
	static const struct {
		rd_kafka_resp_err_t error;
		enum status status;
		const char *code;
	} known[] = {
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, FATAL, "too_large"},
		{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, FATAL, "not_authorized"},
		{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, FATAL, "unknown_topic"},
		{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, FATAL, "unknown_topic"},
		{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, FATAL, "unknown_partition"},
		{RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, FATAL, "out_of_range"},
		{RD_KAFKA_RESP_ERR__AUTHENTICATION, FATAL, "authentication"},
		{RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, FATAL, "fenced"},
		{RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, FATAL, "fenced"},
		{RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, FATAL, "fenced"},
		{RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, FATAL, "fenced"},
		{RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, REJECT, "topic_exists"},
		{RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP, RETRY, "group_busy"},
		{RD_KAFKA_RESP_ERR__QUEUE_FULL, RETRY, "queue_full"},
		{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RETRY, "timeout"},
		{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RETRY, "transport"},
		{RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, RETRY, "transport"},
		{RD_KAFKA_RESP_ERR__FATAL, RETRY, "io"},
		{RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, RETRY, "io"},
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		const char *code;
		assert_int_equal(kafka_classify(known[i].error, &code), known[i].status);
		assert_string_equal(code, known[i].code);
	}
}

static void a_certificate_that_is_refused_is_told_from_a_broker_that_is_away(void **state)
{
	(void)state;
	static const struct {
		const char *reason;
		bool refused;
	} reasons[] = {
		{"ssl://h:1/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert "
	         "number 42 (after 1ms in state APIVERSION_QUERY)",
	         true},
		{"ssl://h:1/1: Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert "
	         "number 116",
	         true},
		{"ssl://h:1/1: error:14094416:SSL routines:ssl3_read_bytes:sslv3 alert certificate unknown", true},
		{"SSL handshake failed: error:0A000086:SSL routines::certificate verify failed", true},
		{"SSL handshake failed: error:1416F086:SSL routines:tls_process_server_certificate", true},
		{"SSL handshake failed: error:0A000126:SSL routines::unexpected eof while reading", false},
		{"SSL handshake failed: error:0A000438:SSL routines::tlsv1 alert internal error: SSL alert number 80", false},
		{"h:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused", false},
		{"error:", false},
		{"", false},
	};
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (kafka_certificate_refused(reasons[i].reason) != reasons[i].refused)
			fail_msg("%s", reasons[i].reason);
}

static void a_refusal_names_the_right_that_is_missing(void **state)
{
	(void)state;
	struct err err = {0};
	enum status status = kafka_err(&err, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NULL, "orders/0");
	assert_int_equal(kafka_denied(&err, status, "Write", "Topic", "orders"), FATAL);
	assert_string_equal(err.code, "not_authorized");
	assert_non_null(strstr(err.text, "; missing: Write on Topic orders; `tandem topics acls`"));
	assert_int_equal(kafka_denied(&err, status, "Describe", "Topic", "orders"), FATAL);
	assert_non_null(strstr(err.text, "Describe on Topic orders, which Read and Write imply"));
	status = kafka_err(&err, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, "orders/0");
	assert_int_equal(kafka_denied(&err, status, "Write", "Topic", "orders"), RETRY);
	assert_null(strstr(err.text, "missing"));
	assert_int_equal(kafka_denied(NULL, FATAL, "Write", "Topic", "orders"), FATAL);
}

static void no_error_of_librdkafka_is_taken_for_success_or_a_record_s_fault(void **state)
{
	(void)state;
	const struct rd_kafka_err_desc *all;
	size_t count;
	rd_kafka_get_err_descs(&all, &count);
	for (size_t i = 0; i < count; i++) {
		const char *code;
		if (!all[i].code)
			continue;
		enum status status = kafka_classify(all[i].code, &code);
		assert_true(status == RETRY || status == FATAL || strcmp(code, "topic_exists") == 0);
		assert_non_null(code);
	}
}

static void an_error_s_text_says_what_was_tried(void **state)
{
	(void)state;
	struct err err = {0};
	assert_int_equal(kafka_err(&err, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, "read %s/%d", "orders", 3), RETRY);
	assert_string_equal(err.text, "read orders/3: Local: Timed out");
	assert_int_equal(kafka_err(&err, RD_KAFKA_RESP_ERR__TIMED_OUT, "why", "x"), RETRY);
	assert_string_equal(err.text, "x: why");
	assert_int_equal(kafka_err(NULL, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, "x"), RETRY);
}

/* ---- keys ---- */

static void keys_find_their_partition_as_in_java(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		int32_t murmur2; /* org.apache.kafka.common.utils.Utils */
	} vectors[] = {
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	};
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
		for (int32_t count = 1; count < 200; count += 11)
			assert_int_equal(log_partition_of(vectors[i].key, strlen(vectors[i].key), count),
			                 (vectors[i].murmur2 & 0x7fffffff) % count);
	assert_in_range(log_partition_of("", 0, 7), 0, 6);
	assert_in_range(log_partition_of(NULL, 0, 7), 0, 6);
}

/* ---- URLs and properties ---- */

static const char *refusal(const char *url, const struct log_setting *setting)
{
	static struct err err;
	struct log *log = NULL;
	const struct log_config config = {.seam = seam, .settings = setting, .setting_count = setting ? 1 : 0};
	assert_int_equal(log_open(url, &config, &log, &err), REJECT);
	assert_null(log);
	assert_string_equal(err.code, "invalid");
	return err.text;
}

static void a_url_without_brokers_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {"kafka://", "kafka://,", "kafka://:9092", "kafka://a b:9092",
	                                    "kafka://a/topic"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_non_null(strstr(refusal(wrong[i], NULL), wrong[i]));
	log_close(log_of("kafka://[::1]:9092,broker-2.example:9093", NULL, 0, 0));
}

static void a_wrong_property_is_refused_when_the_log_is_opened(void **state)
{
	(void)state;
	assert_non_null(
		strstr(refusal("kafka://x", &(struct log_setting){"no.such.property", "1"}), "no.such.property"));
	const char *text = refusal("kafka://x", &(struct log_setting){"linger.ms", "secret-word"});
	assert_non_null(strstr(text, "linger.ms"));
	assert_null(strstr(text, "secret-word"));
}

static void check_conf(rd_kafka_t *rk, const char *name, const char *expected)
{
	char value[200];
	size_t size = sizeof value;
	assert_int_equal(rd_kafka_conf_get(rd_kafka_conf(rk), name, value, &size), RD_KAFKA_CONF_OK);
	assert_string_equal(value, expected);
}

static void the_user_s_properties_go_before_ours_but_not_before_the_protocol_s(void **state)
{
	(void)state;
	const struct log_setting settings[] = {
		{"client.id", "shop"}, {"fetch.wait.max.ms", "7"}, {"isolation.level", "read_uncommitted"}};
	struct log *log = log_of("kafka://127.0.0.1:1", settings, 3, 0);
	const struct kafka_role role = {
		.type = RD_KAFKA_CONSUMER,
		.defaults =
			(const struct log_setting[]){{"fetch.wait.max.ms", "100"}, {"queued.min.messages", "10"}, {0}},
		.fixed = (const struct log_setting[]){{"isolation.level", "read_committed"}, {0}},
	};
	struct kafka_client client;
	struct err err = {0};
	assert_int_equal(kafka_client_open(kafka_of(log), &role,
	                                   (const struct log_setting[]){{"client.rack", "r1"}, {0}}, &client, &err),
	                 OK);
	check_conf(client.rk, "client.id", "shop");
	check_conf(client.rk, "fetch.wait.max.ms", "7");
	check_conf(client.rk, "queued.min.messages", "10");
	check_conf(client.rk, "isolation.level", "read_committed");
	check_conf(client.rk, "client.rack", "r1");
	check_conf(client.rk, "bootstrap.servers", "127.0.0.1:1");
	kafka_client_close(&client);
	log_close(log);
}

/* ---- no broker there ---- */

static void a_dead_broker_holds_no_call_beyond_its_time(void **state)
{
	(void)state;
	struct log *log = log_of("kafka://127.0.0.1:1", NULL, 0, 500);
	struct err err = {0};
	struct log_event event;
	struct log_consumer *consumer;
	struct log_producer *producer;
	struct arena arena = {0};
	int nodes;
	int64_t low, high, begin_us = seam_monotonic_us(seam);
	assert_int_equal(log_node_count(log, &nodes, &err), RETRY);
	/* Refused at once, or not tried again within the time: librdkafka waits between two tries. */
	assert_true(err_is(&err, "transport") || err_is(&err, "timeout"));
	assert_non_null(strstr(err.text, "127.0.0.1:1"));
	assert_int_equal(log_bounds(log, "t", 0, &low, &high, &err), RETRY);
	struct log_mark mark = {.partition = 0};
	assert_int_equal(log_committed(log, "g", "t", &mark, &err), RETRY);
	assert_int_equal(
		log_consumer_open(log, &(struct log_consumer_config){.topic = "t", .group = "g"}, &consumer, &err), OK);
	log_consumer_poll(consumer, &event);
	assert_int_equal(event.kind, LOG_NOTHING);
	assert_int_equal(log_producer_open(log, &producer, &err), OK);
	const struct log_record record = {.key.len = -1, .value = {"x", 1}};
	assert_int_equal(log_produce(producer, log_producer_topic(producer, "t"), &record, 1, &err), OK);
	log_producer_flush(producer);
	log_wait(log, 50);
	assert_int_equal(log_producer_pending(producer), 1);
	log_producer_close(producer);
	log_consumer_close(consumer, true);
	log_close(log);
	arena_fini(&arena);
	assert_true(seam_monotonic_us(seam) - begin_us < 20000000);
}

/* ---- librdkafka's mock cluster ---- */

#if HAVE_MOCK
struct mock {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	struct log *log;
};

static int mock_open(void **state)
{
	static struct mock mock;
	char text[200], url[300];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, NULL);
	mock.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	mock.cluster = mock.rk ? rd_kafka_mock_cluster_new(mock.rk, 3) : NULL;
	if (!mock.cluster || rd_kafka_mock_topic_create(mock.cluster, "t", 4, 3))
		return 1;
	snprintf(url, sizeof url, "kafka://%s", rd_kafka_mock_cluster_bootstraps(mock.cluster));
	mock.log = log_of(url, NULL, 0, 5000);
	*state = &mock;
	return 0;
}

static int mock_close(void **state)
{
	struct mock *mock = *state;
	log_close(mock->log);
	rd_kafka_mock_cluster_destroy(mock->cluster);
	rd_kafka_destroy(mock->rk);
	return 0;
}

static void produce(struct log_producer *producer, int32_t partition, uint64_t token)
{
	const struct log_record record = {.partition = partition, .key.len = -1, .value = {&token, sizeof token}};
	assert_int_equal(log_produce(producer, log_producer_topic(producer, "t"), &record, token, NULL), OK);
}

static struct log_ack next_ack(struct log *log, struct log_producer *producer)
{
	struct log_ack ack;
	int64_t end_us = seam_monotonic_us(seam) + LIMIT_US;
	while (!log_producer_ack(producer, &ack)) {
		assert_true(seam_monotonic_us(seam) < end_us);
		log_wait(log, 100);
	}
	return ack;
}

/* The next event that is none of those that may come at any time; LOG_NOTHING after so long. */
static struct log_event event_within(struct log *log, struct log_consumer *consumer, int64_t us)
{
	struct log_event event;
	int64_t end_us = seam_monotonic_us(seam) + us;
	do {
		log_consumer_poll(consumer, &event);
		if (event.kind == LOG_NOTHING)
			log_wait(log, 100);
	} while ((event.kind == LOG_NOTHING || event.kind == LOG_END) && seam_monotonic_us(seam) < end_us);
	return event;
}

static struct log_event next_event(struct log *log, struct log_consumer *consumer)
{
	return event_within(log, consumer, LIMIT_US);
}

static void every_delivery_error_is_reported_with_its_record(void **state)
{
	struct mock *mock = *state;
	struct log_producer *producer;
	assert_int_equal(log_producer_open(mock->log, &producer, NULL), OK);
	produce(producer, 0, 1);
	assert_int_equal(next_ack(mock->log, producer).status, OK);
	rd_kafka_mock_push_request_errors(mock->cluster, 0 /* Produce */, 1,
	                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	produce(producer, 0, 2);
	struct log_ack ack = next_ack(mock->log, producer);
	assert_int_equal(ack.token, 2);
	assert_int_equal(ack.status, FATAL);
	assert_string_equal(ack.err.code, "not_authorized");
	assert_int_equal(ack.offset, -1);
	assert_int_equal(log_producer_pending(producer), 0);
	log_producer_close(producer);
}

static void a_passing_error_is_tried_again_inside(void **state)
{
	struct mock *mock = *state;
	struct log_producer *producer;
	assert_int_equal(log_producer_open(mock->log, &producer, NULL), OK);
	rd_kafka_mock_push_request_errors(mock->cluster, 0 /* Produce */, 3, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
	                                  RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	                                  RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
	produce(producer, 1, 7);
	struct log_ack ack = next_ack(mock->log, producer);
	assert_int_equal(ack.status, OK);
	assert_int_equal(ack.token, 7);
	log_producer_close(producer);
}

static void a_new_leader_is_told_as_a_check(void **state)
{
	struct mock *mock = *state;
	static const int32_t partition = 2;
	struct log_producer *producer;
	struct log_consumer *consumer;
	rd_kafka_mock_partition_set_leader(mock->cluster, "t", partition, 1);
	assert_int_equal(log_producer_open(mock->log, &producer, NULL), OK);
	produce(producer, partition, 1);
	assert_int_equal(next_ack(mock->log, producer).status, OK);
	assert_int_equal(
		log_consumer_open(mock->log,
	                          &(struct log_consumer_config){
					  .topic = "t", .group = "g", .partitions = &partition, .partition_count = 1},
	                          &consumer, NULL),
		OK);
	assert_int_equal(next_event(mock->log, consumer).kind, LOG_ASSIGNED);
	assert_int_equal(log_consumer_assign(consumer, &(struct log_position){.partition = partition}, 1, NULL), OK);
	assert_int_equal(next_event(mock->log, consumer).kind, LOG_RECORD);
	struct log_event event = {.kind = LOG_NOTHING};
	for (int32_t i = 0; i < 10 && event.kind != LOG_CHECK;
	     i++) { /* the first change may come before the first look */
		rd_kafka_mock_partition_set_leader(mock->cluster, "t", partition, 2 + i % 2);
		event = event_within(mock->log, consumer, 6000000);
	}
	assert_int_equal(event.kind, LOG_CHECK);
	assert_int_equal(event.partition, partition);
	log_consumer_close(consumer, true);
	log_producer_close(producer);
}

static void a_group_member_is_assigned_and_fenced_by_an_error_of_its_commit(void **state)
{
	struct mock *mock = *state;
	struct log_consumer *consumer;
	struct log_consumer_config config = {.topic = "t", .group = "members", .session_timeout_ms = 6000};
	assert_int_equal(log_consumer_open(mock->log, &config, &consumer, NULL), OK);
	struct log_event event = next_event(mock->log, consumer);
	assert_int_equal(event.kind, LOG_ASSIGNED);
	assert_int_equal(event.partition_count, 4);
	assert_int_equal(event.partitions[3], 3);
	assert_int_equal(log_consumer_assign(consumer, NULL, 0, NULL), OK);
	rd_kafka_mock_push_request_errors(mock->cluster, 8 /* OffsetCommit */, 1, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
	assert_int_equal(log_consumer_commit(consumer, &(struct log_mark){.partition = 1, .offset = 5}, 1, NULL), OK);
	assert_int_equal(log_consumer_commit(consumer, &(struct log_mark){.partition = 1, .offset = 5}, 1, NULL),
	                 RETRY);
	do
		event = next_event(mock->log, consumer);
	while (event.kind != LOG_COMMITTED);
	assert_int_equal(event.status, FATAL);
	assert_string_equal(event.err.code, "fenced");
	log_consumer_close(consumer, true);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_sorted_by_what_the_caller_must_do),
		cmocka_unit_test(a_certificate_that_is_refused_is_told_from_a_broker_that_is_away),
		cmocka_unit_test(a_refusal_names_the_right_that_is_missing),
		cmocka_unit_test(no_error_of_librdkafka_is_taken_for_success_or_a_record_s_fault),
		cmocka_unit_test(an_error_s_text_says_what_was_tried),
		cmocka_unit_test(keys_find_their_partition_as_in_java),
		cmocka_unit_test(a_url_without_brokers_is_refused),
		cmocka_unit_test(a_wrong_property_is_refused_when_the_log_is_opened),
		cmocka_unit_test(the_user_s_properties_go_before_ours_but_not_before_the_protocol_s),
		cmocka_unit_test(a_dead_broker_holds_no_call_beyond_its_time),
#if HAVE_MOCK
#define MOCK(name) cmocka_unit_test_setup_teardown(name, mock_open, mock_close)
		MOCK(every_delivery_error_is_reported_with_its_record),
		MOCK(a_passing_error_is_tried_again_inside),
		MOCK(a_new_leader_is_told_as_a_check),
		MOCK(a_group_member_is_assigned_and_fenced_by_an_error_of_its_commit),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
