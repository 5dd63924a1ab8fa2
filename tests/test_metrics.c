/* metrics: the page's format; what a worker tells its meter; that what is measured changes nothing that is folded. */
#include "support/flow.h"
#include "kafka_metrics.h"
#include "lag_watch.h"
#include "meter.h"
#include "metrics.h"
#include "process_metrics.h"
#include "worker_metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the format ---- */

static void a_family_has_help_type_and_samples(void **state)
{
	(void)state;
	struct buf page = {0};
	metrics_family(&page, "a_total", "counter", "How many.");
	metrics_sample(&page, "a_total", 7);
	metrics_sample(&page, "a_total", -3, METRICS_TEXT("topic", "orders"), METRICS_INT("partition", 12));
	metrics_seconds(&page, "b_seconds", 1500000);
	metrics_seconds(&page, "b_seconds", -20, METRICS_INT("p", 0));
	assert_string_equal(buf_text(&page), "# HELP a_total How many.\n# TYPE a_total counter\na_total 7\n"
	                                     "a_total{topic=\"orders\",partition=\"12\"} -3\n"
	                                     "b_seconds 1.500000\nb_seconds{p=\"0\"} -0.000020\n");
	buf_fini(&page);
}

static void a_label_takes_any_text(void **state)
{
	(void)state;
	struct buf page = {0};
	metrics_sample(&page, "a", 1, METRICS_TEXT("t", "a\"b\\c\nd\xff\xc3\xa9\xc3"));
	assert_string_equal(buf_text(&page), "a{t=\"a\\\"b\\\\c\\nd?\xc3\xa9?\"} 1\n");
	buf_fini(&page);
}

static void a_histogram_is_cumulative(void **state)
{
	(void)state;
	struct histogram histogram = {0};
	struct buf page = {0};
	static const int64_t values[] = {-5, 0, 1, 2, 3, 20, 1000000, 100000001};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		histogram_add(&histogram, values[i]);
	metrics_histogram_us(&page, "h_seconds", (const struct metrics_label[]){METRICS_TEXT("p", "x"), {0}},
	                     &histogram);
	const char *text = buf_text(&page);
	assert_non_null(strstr(text, "h_seconds_bucket{p=\"x\",le=\"0.000001\"} 3\n"));
	assert_non_null(strstr(text, "h_seconds_bucket{p=\"x\",le=\"0.000002\"} 4\n"));
	assert_non_null(strstr(text, "h_seconds_bucket{p=\"x\",le=\"0.00002\"} 6\n"));
	assert_non_null(strstr(text, "h_seconds_bucket{p=\"x\",le=\"0.5\"} 6\n"));
	assert_non_null(strstr(text, "h_seconds_bucket{p=\"x\",le=\"100\"} 7\n"));
	assert_non_null(strstr(text, "h_seconds_bucket{p=\"x\",le=\"+Inf\"} 8\n"));
	assert_non_null(strstr(text, "h_seconds_sum{p=\"x\"} 101.000027\nh_seconds_count{p=\"x\"} 8\n"));
	buf_reset(&page);
	metrics_histogram(&page, "h", NULL, &histogram);
	assert_non_null(strstr(buf_text(&page), "h_bucket{le=\"100000000\"} 7\n"));
	buf_fini(&page);
}

/* ---- a page ---- */

/* The value behind this text at the beginning of a line; fails where there is none. */
static double value_of(struct buf *page, const char *sample)
{
	size_t len = strlen(sample);
	for (const char *line = buf_text(page); line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, sample, len) == 0 && line[len] == ' ')
			return strtod(line + len + 1, NULL);
	fail_msg("the page has no %s:\n%s", sample, buf_text(page));
	return 0;
}

/* Each family once, each sample within its family and once. */
static void is_well_formed(struct buf *page)
{
	struct arena arena = {0};
	char family[200] = "", *text = arena_copy(&arena, buf_text(page), page->len);
	const char *seen[2000];
	size_t count = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *key = line;
		if (strncmp(line, "# HELP ", 7) == 0) {
			snprintf(family, sizeof family, "%.*s", (int)strcspn(line + 7, " "), line + 7);
			key = arena_format(&arena, "family %s", family);
		} else if (*line == '#') {
			continue;
		} else {
			assert_int_equal(strncmp(line, family, strlen(family)), 0);
			*strrchr(line, ' ') = 0;
		}
		for (size_t i = 0; i < count; i++)
			if (strcmp(seen[i], key) == 0)
				fail_msg("%s stands twice on the page", key);
		assert_true(count < sizeof seen / sizeof *seen);
		seen[count++] = key;
	}
	arena_fini(&arena);
}

struct measured {
	struct flow flow;
	struct flow_worker workers[2];
	struct worker_config configs[2];
	struct meter *meters[2];
};

static void measured_open(struct measured *m)
{
	static const char *const names[] = {"order", "inventory"};
	flow_init(&m->flow, 2, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct service *service = flow_service(names[i]);
		m->meters[i] = meter_new(&m->flow.seam, service->input);
		m->configs[i] = (struct worker_config){.service = service, .meter = m->meters[i]};
		flow_start_with(&m->flow, &m->workers[i], &m->configs[i]);
		m->configs[i].log = m->workers[i].log;
		m->configs[i].data = m->flow.data;
	}
}

static void measured_close(struct measured *m)
{
	for (size_t i = 0; i < 2; i++) {
		flow_close(&m->workers[i]);
		meter_free(m->meters[i]);
	}
	flow_fini(&m->flow);
}

static void measured_page(struct measured *m, int which, struct buf *page)
{
	buf_reset(page);
	worker_metrics(m->workers[which].worker, &m->configs[which], NULL, page);
	is_well_formed(page);
}

#define EVENTS(type, result) "tandem_events_processed_total{topic=\"orders\",type=\"" type "\",result=\"" result "\"}"

static void a_worker_counts_what_came_of_each_event(void **state)
{
	(void)state;
	struct measured m;
	struct buf page = {0};
	measured_open(&m);
	flow_receive(&m.flow, "r1", "a", 10);
	flow_rest(&m.flow, m.workers, 2);
	flow_order_one(&m.flow, "o1", "a", 3);
	flow_order_one(&m.flow, "o2", "a", 100); /* rejected */
	flow_order_one(&m.flow, "o3", "a", -1);  /* a dead letter */
	flow_order_one(&m.flow, "o1", "a", 4);   /* another */
	flow_rest(&m.flow, m.workers, 2);
	measured_page(&m, 0, &page);
	assert_true(value_of(&page, EVENTS("OrderPlaced", "applied")) == 2);
	assert_true(value_of(&page, EVENTS("OrderPlaced", "rejected")) == 2);
	assert_true(value_of(&page, EVENTS("StockReserved", "applied")) == 1);
	assert_true(value_of(&page, EVENTS("StockRejected", "applied")) == 1);
	assert_true(value_of(&page, EVENTS("Genesis", "control")) == 2);
	assert_true(value_of(&page, "tandem_dead_letters_total{topic=\"orders\",reason=\"conflict\"}") == 1);
	assert_true(value_of(&page, "tandem_dead_letters_total{topic=\"orders\",reason=\"invalid_quantity\"}") == 1);
	assert_true(value_of(&page, "tandem_end_to_end_seconds_count{topic=\"orders\",type=\"OrderConfirmed\"}") == 1);
	assert_true(value_of(&page, "tandem_end_to_end_seconds_count{topic=\"orders\",type=\"OrderRejected\"}") == 1);
	assert_true(value_of(&page, "tandem_end_to_end_seconds_sum{topic=\"orders\",type=\"OrderConfirmed\"}") < 60);
	double commits = value_of(&page, "tandem_commit_seconds_count{topic=\"orders\"}");
	assert_true(commits >= 1);
	assert_true(value_of(&page, "tandem_commit_part_seconds_count{topic=\"orders\",part=\"sqlite\"}") == commits);
	assert_true(value_of(&page, "tandem_commit_part_seconds_count{topic=\"orders\",part=\"acks\"}") == commits);
	assert_true(value_of(&page, "tandem_commit_records_sum{topic=\"orders\"}") == 8);
	assert_true(value_of(&page, "tandem_group_commits_total{topic=\"orders\"}") >= 1);
	buf_fini(&page);
	measured_close(&m);
}

/* The number that the source gave out last is the one that the reader has accepted, under the same labels. */
static void a_stream_is_told_on_both_sides_with_the_same_labels(void **state)
{
	(void)state;
	struct measured m;
	struct buf order = {0}, inventory = {0};
	measured_open(&m);
	flow_receive(&m.flow, "r1", "a", 10);
	for (int i = 0; i < 20; i++) {
		char id[16];
		snprintf(id, sizeof id, "o%d", i);
		flow_order_one(&m.flow, id, "a", 1);
	}
	flow_rest(&m.flow, m.workers, 2);
	measured_page(&m, 0, &order);
	measured_page(&m, 1, &inventory);
	size_t streams = 0;
	for (int from = 0; from < 2; from++)
		for (int to = 0; to < 2; to++) {
			char sent[200], accepted[200];
			const char *labels =
				"source=\"order\",source_partition=\"%d\",topic=\"inventory\",partition=\"%d\"";
			char pair[150];
			snprintf(pair, sizeof pair, labels, from, to); // NOLINT
			snprintf(sent, sizeof sent, "tandem_stream_sent_number{%s}", pair);
			snprintf(accepted, sizeof accepted, "tandem_stream_accepted_number{%s}", pair);
			if (!strstr(buf_text(&order), sent))
				continue;
			streams++;
			assert_true(value_of(&order, sent) == value_of(&inventory, accepted));
		}
	assert_true(streams >= 1);
	assert_true(value_of(&inventory, "tandem_gaps{topic=\"inventory\",partition=\"0\",verdict=\"fork\"}") == 0);
	buf_fini(&order);
	buf_fini(&inventory);
	measured_close(&m);
}

static void a_halted_task_is_told_with_its_reason(void **state)
{
	(void)state;
	struct measured m;
	struct buf page = {0};
	measured_open(&m);
	flow_rest(&m.flow, m.workers, 2);
	struct log_header control = {"tandem-control", {"1", 1}};
	flow_write(&m.flow, "orders",
	           &(struct log_record){.partition = 1,
	                                .key = {NULL, -1},
	                                .value = {"junk", 4},
	                                .headers = &control,
	                                .header_count = 1});
	flow_rest(&m.flow, m.workers, 2);
	measured_page(&m, 0, &page);
	assert_true(value_of(&page,
	                     "tandem_task_halted{topic=\"orders\",partition=\"1\",reason=\"unknown_control\"}") == 1);
	assert_true(value_of(&page, "tandem_task_running{topic=\"orders\",partition=\"1\"}") == 0);
	assert_true(value_of(&page, "tandem_task_running{topic=\"orders\",partition=\"0\"}") == 1);
	assert_true(value_of(&page, "tandem_task_state{topic=\"orders\",partition=\"1\",state=\"halted\"}") == 1);
	assert_true(value_of(&page,
	                     "tandem_task_refusals_total{topic=\"orders\",reason=\"unknown_control\",kind=\"halt\"}") >=
	            1);
	assert_null(strstr(buf_text(&page), "tandem_task_halted{topic=\"orders\",partition=\"0\""));
	buf_fini(&page);
	measured_close(&m);
}

/* The same input, with and without a meter: the same files, by the fold's own hashes. */
static void what_is_measured_changes_nothing(void **state)
{
	(void)state;
	int64_t hashes[2][2];
	for (int with = 0; with < 2; with++) {
		struct measured m;
		flow_init(&m.flow, 1, 1);
		for (size_t i = 0; i < 2; i++) {
			const struct service *service = flow_service(i ? "inventory" : "order");
			m.meters[i] = with ? meter_new(&m.flow.seam, service->input) : NULL;
			flow_start_with(&m.flow, &m.workers[i],
			                &(struct worker_config){.service = service, .meter = m.meters[i]});
		}
		flow_receive(&m.flow, "r1", "a", 5);
		flow_rest(&m.flow, m.workers, 2);
		flow_order_one(&m.flow, "o1", "a", 3);
		flow_order_one(&m.flow, "o2", "a", 3);
		flow_rest(&m.flow, m.workers, 2);
		flow_verify(&m.flow);
		hashes[with][0] =
			flow_sum(&m.flow, "order", "SELECT sum(status * total_minor + decided_offset) FROM orders");
		hashes[with][1] = flow_sum(&m.flow, "inventory", "SELECT sum(on_hand * 1000 + reserved) FROM stock");
		measured_close(&m);
	}
	assert_memory_equal(hashes[0], hashes[1], sizeof hashes[0]);
}

/* ---- librdkafka ---- */

static void statistics_of_librdkafka_become_metrics(void **state)
{
	(void)state;
	static const char consumer[] =
		"{\"type\":\"consumer\",\"msg_cnt\":0,\"tx\":5,\"rxmsgs\":70,\"brokers\":{"
		"\"h:1/bootstrap\":{\"nodeid\":-1,\"source\":\"configured\",\"state\":\"UP\"},"
		"\"h:1/3\":{\"nodeid\":3,\"source\":\"learned\",\"state\":\"UP\",\"req_timeouts\":2,"
		"\"rtt\":{\"p50\":1500,\"p99\":20000}},"
		"\"GroupCoordinator\":{\"nodeid\":3,\"source\":\"logical\",\"state\":\"UP\"}},"
		"\"cgrp\":{\"rebalance_cnt\":4,\"assignment_size\":2},"
		"\"topics\":{\"orders\":{\"partitions\":{\"0\":{\"fetchq_cnt\":6},\"1\":{\"fetchq_cnt\":7}}}}}";
	static const char producer[] =
		"{\"type\":\"producer\",\"msg_cnt\":9,\"topics\":{\"in\\\"ventory\":{\"batchcnt\":{"
		"\"avg\":44}}}}";
	static const char *const junk[] = {"", "{", "[]", "{\"type\":7}", "{\"type\":\"else\"}", "{\"brokers\":[]}"};
	struct kafka_metrics *metrics = kafka_metrics_new();
	struct buf page = {0};
	for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
		kafka_metrics_take(metrics, junk[i], strlen(junk[i]));
	kafka_metrics_put(metrics, &page);
	assert_int_equal(page.len, 0);
	kafka_metrics_take(metrics, consumer, sizeof consumer - 1);
	kafka_metrics_take(metrics, producer, sizeof producer - 1);
	kafka_metrics_take(metrics, producer, sizeof producer - 1);
	kafka_metrics_put(metrics, &page);
	is_well_formed(&page);
	assert_true(value_of(&page, "tandem_kafka_queue_messages{client=\"producer\"}") == 9);
	assert_true(value_of(&page, "tandem_kafka_received_messages_total{client=\"consumer\"}") == 70);
	assert_true(value_of(&page, "tandem_kafka_broker_up{client=\"consumer\",broker=\"3\"}") == 1);
	assert_true(value_of(&page,
	                     "tandem_kafka_broker_faults_total{client=\"consumer\",broker=\"3\",kind=\"timeout\"}") ==
	            2);
	assert_true(
		value_of(&page,
	                 "tandem_kafka_broker_round_trip_seconds{client=\"consumer\",broker=\"3\",percentile=\"99\"}") >
		0.0199);
	assert_true(value_of(&page, "tandem_kafka_rebalances_total") == 4);
	assert_true(value_of(&page, "tandem_kafka_fetched_messages") == 13);
	assert_true(value_of(&page, "tandem_kafka_batch_messages{topic=\"in\\\"ventory\"}") == 44);
	assert_null(strstr(buf_text(&page), "broker=\"-1\""));
	buf_fini(&page);
	kafka_metrics_free(metrics);
}

static void the_process_tells_what_it_takes(void **state)
{
	(void)state;
	struct buf page = {0};
	process_metrics(&page, 1795406435042);
	is_well_formed(&page);
	assert_true(value_of(&page, "process_resident_memory_bytes") > 1e6);
	assert_true(value_of(&page, "process_open_fds") >= 3);
	assert_true(value_of(&page, "process_start_time_seconds") > 1795406435.0);
	buf_fini(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_family_has_help_type_and_samples),
		cmocka_unit_test(a_label_takes_any_text),
		cmocka_unit_test(a_histogram_is_cumulative),
		cmocka_unit_test(a_worker_counts_what_came_of_each_event),
		cmocka_unit_test(a_stream_is_told_on_both_sides_with_the_same_labels),
		cmocka_unit_test(a_halted_task_is_told_with_its_reason),
		cmocka_unit_test(what_is_measured_changes_nothing),
		cmocka_unit_test(statistics_of_librdkafka_become_metrics),
		cmocka_unit_test(the_process_tells_what_it_takes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
