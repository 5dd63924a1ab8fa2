/* The audit over both services in one process (support/flow.h): what holds, what is under way, what was lost or forged. */
#include "../consumers/audit/audit.h"

#include "header.h"
#include "store.h"
#include "support/flow.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ORDER_PARTITIONS     2
#define INVENTORY_PARTITIONS 3

struct scene {
	struct flow flow;
	struct flow_worker workers[3];
	size_t count;
	struct audit *audit;
	const char *data[2];
};

static void start(struct scene *scene, const char *service)
{
	flow_start(&scene->flow, &scene->workers[scene->count++], service, NULL, 0);
}

static void rest(struct scene *scene)
{
	flow_rest(&scene->flow, scene->workers, scene->count);
}

static void stop(struct scene *scene)
{
	while (scene->count)
		flow_close(&scene->workers[--scene->count]);
}

static void publish_some(struct scene *scene, int from)
{
	struct flow *flow = &scene->flow;
	char id[32], sku[32];
	for (int i = from; i < from + 6; i++) {
		snprintf(id, sizeof id, "R-%d", i);
		snprintf(sku, sizeof sku, "SKU-%d", i);
		flow_receive(flow, id, sku, 10);
	}
	rest(scene);
	for (int i = from; i < from + 6; i++) {
		snprintf(id, sizeof id, "A-%d", i);
		struct order_line lines[3] = {{.quantity = 1, .unit_price_minor = 5}};
		for (int l = 0; l < 3; l++) {
			lines[l] = lines[0];
			lines[l].sku = arena_format(&flow->arena, "SKU-%d", from + (i + l) % 6);
		}
		lines[2].quantity = i == from ? 11 : 1; /* the first has too much of something */
		flow_order(flow, id, lines, 3);
		if (i == from + 1)
			flow_cancel(flow, id);
	}
	flow_order_one(flow, arena_format(&flow->arena, "W-%d", from), "SKU-1", 0); /* a dead letter */
}

/* Everything has happened; the workers still have their files open. */
static void begin(struct scene *scene)
{
	*scene = (struct scene){0};
	flow_init(&scene->flow, ORDER_PARTITIONS, INVENTORY_PARTITIONS);
	scene->data[0] = scene->flow.data;
	start(scene, "order");
	start(scene, "inventory");
	rest(scene);
	publish_some(scene, 1);
	rest(scene);
}

static void open_audit(struct scene *scene, size_t data_count)
{
	struct err err = {0};
	const struct audit_config config = {.log = scene->flow.log, .data = scene->data, .data_count = data_count};
	if (audit_open(&config, &scene->audit, &err) != OK)
		fail_msg("%s", err.text);
}

static void look(struct scene *scene, enum audit_verdict expected)
{
	struct err err = {0};
	if (!scene->audit)
		open_audit(scene, 1);
	if (audit_look(scene->audit, &err) != OK)
		fail_msg("%s", err.text);
	if (scene->audit->verdict != expected) {
		audit_print(scene->audit, stderr);
		fail_msg("expected %s, found %s", audit_verdict_name(expected),
		         audit_verdict_name(scene->audit->verdict));
	}
}

static void end(struct scene *scene)
{
	audit_close(scene->audit);
	stop(scene);
	flow_fini(&scene->flow);
}

static void change(struct scene *scene, const char *service, int32_t partition, const char *sql)
{
	char path[128];
	struct err err = {0};
	struct store *store;
	snprintf(path, sizeof path, "%s/%s/%d.db", scene->flow.data, service, partition);
	assert_int_equal(store_open(&(struct store_config){.path = path, .mode = STORE_WRITE}, &store, &err), OK);
	if (store_exec(store, sql, &err) != OK)
		fail_msg("%s", err.text);
	store_close(store);
}

/* The one stream with this verdict. */
static const struct audit_stream *only(const struct scene *scene, enum audit_verdict verdict)
{
	const struct audit_stream *found = NULL;
	for (size_t i = 0; i < scene->audit->stream_count; i++) {
		if (scene->audit->streams[i].verdict != verdict)
			continue;
		assert_null(found);
		found = &scene->audit->streams[i];
	}
	assert_non_null(found);
	return found;
}

static void tail_of(struct scene *scene, const char *topic, int32_t partition, int64_t *end)
{
	int64_t low;
	assert_int_equal(log_bounds(scene->flow.log, topic, partition, &low, end, NULL), OK);
}

/* Cuts the last record of a partition that has more than its genesis. Its partition. */
static int32_t cut_tail(struct scene *scene, const char *topic, int32_t partitions)
{
	for (int32_t p = 0; p < partitions; p++) {
		int64_t high;
		tail_of(scene, topic, p, &high);
		if (high < 3)
			continue;
		log_memory_truncate(scene->flow.memory, topic, p, high - 1);
		return p;
	}
	fail_msg("%s is empty", topic);
	return -1;
}

/* ---- what holds ---- */

static void drained_services_agree_while_their_workers_run(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	look(&scene, AUDIT_HOLDS);
	const struct audit *audit = scene.audit;
	assert_true(audit->settled && audit->drained);
	assert_true(audit->has_orders);
	assert_int_equal(audit->view_count, ORDER_PARTITIONS + INVENTORY_PARTITIONS);
	for (size_t i = 0; i < audit->view_count; i++)
		assert_non_null(audit->views[i].path);
	assert_true(audit->stream_count > ORDER_PARTITIONS);
	assert_int_equal(audit->orders[0], 6);
	assert_int_equal(audit->orders[0], audit->orders[2] + audit->orders[3] + audit->orders[4]);
	assert_true(audit->orders[2] >= 1 && audit->orders[3] >= 1);
	for (int i = 0; i < AUDIT_RULES; i++) {
		assert_true(audit->rules[i].judged);
		assert_true(audit->rules[i].checked > 0);
		assert_int_equal(audit->rules[i].wrong, 0);
	}
	assert_false(audit_behind(scene.audit));
	publish_some(&scene, 100); /* the workers were not disturbed */
	rest(&scene);
	look(&scene, AUDIT_HOLDS);
	assert_int_equal(audit->orders[0], 12);
	flow_verify(&scene.flow);
	end(&scene);
}

static void without_files_the_log_is_folded(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	open_audit(&scene, 0);
	look(&scene, AUDIT_HOLDS);
	for (size_t i = 0; i < scene.audit->view_count; i++) {
		assert_null(scene.audit->views[i].path);
		assert_int_equal(scene.audit->views[i].sent_lag, 0);
	}
	assert_int_equal(scene.audit->orders[0], 6);
	publish_some(&scene, 100); /* the folds go on where they were */
	rest(&scene);
	look(&scene, AUDIT_HOLDS);
	assert_int_equal(scene.audit->orders[0], 12);
	end(&scene);
}

static void a_worker_that_nobody_runs_is_left_out(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	look(&scene, AUDIT_HOLDS);
	assert_int_equal(scene.audit->left_out_count, 1);
	assert_non_null(strstr(scene.audit->left_out[0], "revenue does not run here"));
	audit_close(scene.audit);
	scene.audit = NULL;
	start(&scene, "revenue");
	rest(&scene);
	look(&scene, AUDIT_HOLDS);
	assert_int_equal(scene.audit->left_out_count, 0);
	size_t by_revenue = 0, by_topic = 0;
	for (size_t i = 0; i < scene.audit->stream_count; i++) {
		const struct audit_stream *stream = &scene.audit->streams[i];
		if (strcmp(stream->topic, "order-events") != 0)
			continue;
		by_revenue += stream->reader && strcmp(stream->reader, "revenue") == 0;
		by_topic += !stream->reader;
	}
	assert_int_equal(by_revenue, ORDER_PARTITIONS);
	assert_int_equal(by_topic, ORDER_PARTITIONS);
	end(&scene);
}

static void of_two_folders_the_file_that_is_further_counts(void **state)
{
	(void)state;
	struct scene scene;
	char other[] = "/tmp/tandem-audit-XXXXXX", command[256];
	begin(&scene);
	assert_non_null(mkdtemp(other));
	snprintf(command, sizeof command, "cp -r '%s'/. '%s'", scene.flow.data, other);
	stop(&scene); /* so that the copies are whole */
	assert_int_equal(system(command), 0);
	start(&scene, "order");
	start(&scene, "inventory");
	publish_some(&scene, 100);
	rest(&scene);
	scene.data[0] = other;
	scene.data[1] = scene.flow.data;
	open_audit(&scene, 2);
	look(&scene, AUDIT_HOLDS);
	for (size_t i = 0; i < scene.audit->view_count; i++)
		assert_memory_equal(scene.audit->views[i].path, scene.flow.data, strlen(scene.flow.data));
	end(&scene);
	snprintf(command, sizeof command, "rm -rf '%s'", other);
	assert_int_equal(system(command), 0);
}

static void nothing_is_left_behind(void **state)
{
	(void)state;
	struct scene scene;
	char command[256];
	begin(&scene);
	look(&scene, AUDIT_HOLDS);
	snprintf(command, sizeof command, "test -z \"$(find '%s' -name '.audit*')\"", scene.flow.data);
	assert_int_equal(system(command), 0);
	end(&scene);
}

/* ---- what is under way ---- */

static void what_is_not_folded_yet_is_unsettled_and_not_wrong(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	flow_order_one(&scene.flow, "A-100", "SKU-1", 1);
	look(&scene, AUDIT_UNSETTLED);
	assert_false(scene.audit->settled);
	assert_true(audit_behind(scene.audit));
	for (int i = 0; i < AUDIT_RULES; i++) {
		assert_int_equal(scene.audit->rules[i].judged, i <= RULE_RESERVED);
		assert_int_equal(scene.audit->rules[i].wrong, 0);
	}
	rest(&scene);
	look(&scene, AUDIT_HOLDS);
	end(&scene);
}

static void a_command_nobody_has_read_yet_is_unsettled(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	start(&scene, "order");
	flow_order_one(&scene.flow, "A-100", "SKU-1", 1);
	rest(&scene);
	look(&scene, AUDIT_UNSETTLED);
	const struct audit_stream *stream = only(&scene, AUDIT_UNSETTLED);
	assert_string_equal(stream->source->service->name, "order");
	assert_string_equal(stream->reader, "inventory");
	assert_int_equal(stream->sent, stream->received + 1);
	end(&scene);
}

/* Outputs go out before the COMMIT: a reader may be further than its source's file says. */
static void what_was_sent_and_not_committed_is_unsettled(void **state)
{
	(void)state;
	struct scene scene;
	struct worker_counts before, now;
	begin(&scene);
	struct worker *order = scene.workers[0].worker;
	worker_counts(order, &before);
	flow_order_one(&scene.flow, "A-100", "SKU-1", 1);
	do {
		worker_step(order);
		scene.flow.now_us += 100;
		worker_counts(order, &now);
	} while (now.sent == before.sent || now.acknowledged < now.sent);
	assert_int_equal(now.commits, before.commits);
	flow_rest(&scene.flow, &scene.workers[1], 1); /* the inventory alone */
	look(&scene, AUDIT_UNSETTLED);
	size_t ahead = 0;
	for (size_t i = 0; i < scene.audit->stream_count; i++)
		ahead += scene.audit->streams[i].received > scene.audit->streams[i].sent;
	assert_int_equal(ahead, 1);
	rest(&scene);
	look(&scene, AUDIT_HOLDS);
	end(&scene);
}

/* At every step of both workers a look finds nothing wrong: at most something under way. */
static void whatever_the_workers_are_doing_nothing_differs(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	publish_some(&scene, 100);
	open_audit(&scene, 1);
	struct err err = {0};
	int unsettled = 0, looks = 0;
	for (int quiet = 0; quiet < 100 && looks < 20000; looks++) {
		bool moved = false;
		for (size_t i = 0; i < scene.count; i++)
			moved = worker_step(scene.workers[i].worker) != WORKER_IDLE || moved;
		scene.flow.now_us += moved ? 100 : 20000;
		quiet = moved ? 0 : quiet + 1;
		if (looks % (moved ? 11 : 50))
			continue;
		assert_int_equal(audit_look(scene.audit, &err), OK);
		unsettled += scene.audit->verdict == AUDIT_UNSETTLED;
		if (scene.audit->verdict > AUDIT_UNSETTLED) {
			audit_print(scene.audit, stderr);
			fail_msg("a difference in step %d", looks);
		}
	}
	assert_true(unsettled > 0);
	look(&scene, AUDIT_HOLDS);
	end(&scene);
}

/* ---- what differs ---- */

static void an_event_that_its_destination_lost_is_named_with_its_cure(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	start(&scene, "order");
	flow_order_one(&scene.flow, "A-100", "SKU-1", 1);
	rest(&scene);
	const char *sku = "SKU-1";
	int32_t p = log_partition_of(sku, strlen(sku), INVENTORY_PARTITIONS);
	int64_t high;
	tail_of(&scene, "inventory", p, &high);
	log_memory_truncate(scene.flow.memory, "inventory", p, high - 1);
	start(&scene, "inventory");
	rest(&scene);
	look(&scene, AUDIT_DIFFERS);
	const struct audit_stream *stream = only(&scene, AUDIT_DIFFERS);
	assert_int_equal(stream->sent, stream->received + 1);
	char cure[128];
	snprintf(cure, sizeof cure,
	         "1 events are lost; tandem order resend --partitions %d --to inventory/%d --from %llu",
	         stream->source->partition, p, (unsigned long long)stream->sent);
	assert_string_equal(stream->what, cure);
	assert_false(scene.audit->settled);
	assert_int_equal(scene.audit->orders[1], 1);
	end(&scene);
}

static void an_event_that_order_events_lost_is_found(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	int32_t p = cut_tail(&scene, "order-events", ORDER_PARTITIONS);
	look(&scene, AUDIT_DIFFERS);
	const struct audit_stream *stream = only(&scene, AUDIT_DIFFERS);
	assert_string_equal(stream->topic, "order-events");
	assert_null(stream->reader);
	assert_int_equal(stream->partition, p);
	assert_int_equal(stream->sent, stream->received + 1);
	assert_non_null(strstr(stream->what, "tandem order resend --partitions"));
	end(&scene);
}

static void a_dead_letter_that_was_lost_is_found(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	const char *id = "W-1";
	int32_t p = log_partition_of(id, strlen(id), ORDER_PARTITIONS);
	int64_t high;
	tail_of(&scene, "orders.dlq", p, &high);
	assert_int_equal(high, 2);
	log_memory_truncate(scene.flow.memory, "orders.dlq", p, 1);
	look(&scene, AUDIT_DIFFERS);
	assert_string_equal(only(&scene, AUDIT_DIFFERS)->topic, "orders.dlq");
	assert_int_equal(only(&scene, AUDIT_DIFFERS)->received, 0);
	end(&scene);
}

static void the_same_number_with_another_hash_is_found(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	change(&scene, "order", 0, "UPDATE outbound SET chain = chain + 1 WHERE topic = 'order-events'");
	look(&scene, AUDIT_DIFFERS);
	const struct audit_stream *stream = only(&scene, AUDIT_DIFFERS);
	assert_int_equal(stream->sent, stream->received);
	assert_true(stream->sent_chain == stream->received_chain + 1);
	end(&scene);
}

static void a_source_that_went_back_is_found(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	change(&scene, "order", 1, "UPDATE outbound SET number = number - 1 WHERE topic = 'order-events'");
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(only(&scene, AUDIT_DIFFERS)->received, only(&scene, AUDIT_DIFFERS)->sent + 1);
	change(&scene, "order", 1, "DELETE FROM outbound WHERE topic = 'order-events'");
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(only(&scene, AUDIT_DIFFERS)->sent, 0);
	end(&scene);
}

/* An event of a history that the source has lost since stands before the last one of the history it has. */
static void a_number_that_the_source_never_came_to_is_found_wherever_it_stands(void **state)
{
	(void)state;
	struct scene scene;
	struct log_record records[2];
	struct header_stream before;
	struct arena arena = {0};
	int64_t high;
	char sql[160];
	begin(&scene);
	stop(&scene);
	int32_t p = 0;
	for (tail_of(&scene, "order-events", p, &high); high < 4; tail_of(&scene, "order-events", p, &high))
		p++;
	for (int i = 0; i < 2; i++) { /* the last one first */
		bool found;
		assert_int_equal(
			log_read_at(scene.flow.log, "order-events", p, high - 1 - i, &arena, &records[i], &found, NULL),
			OK);
		assert_true(found);
	}
	log_memory_truncate(scene.flow.memory, "order-events", p, high - 2);
	records[0].offset = high - 2;
	records[1].offset = high - 1;
	records[0].timestamp_ms = records[1].timestamp_ms;
	assert_int_equal(log_import(scene.flow.log, "order-events", p, records, 2, NULL), OK);
	assert_int_equal(header_stream_parse(&records[1], &before), HEADER_VALID);
	snprintf(sql, sizeof sql,
	         "UPDATE outbound SET number = %lld, chain = %lld WHERE topic = 'order-events' AND partition = %d",
	         (long long)before.number, (long long)before.chain, (int)p);
	change(&scene, "order", p, sql);
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(only(&scene, AUDIT_DIFFERS)->received, before.number + 1);
	assert_int_equal(only(&scene, AUDIT_DIFFERS)->sent, before.number);
	arena_fini(&arena);
	end(&scene);
}

static void a_file_that_is_ahead_of_its_log_is_found(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	cut_tail(&scene, "orders", ORDER_PARTITIONS);
	look(&scene, AUDIT_DIFFERS);
	end(&scene);
}

/* A well-formed header with a number from the future, and another with a source that nobody knows. */
static void open_gaps_are_reported(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	struct header_list headers;
	struct header_stream stream = {.service = "inventory", .partition = 1, .number = 1000, .chain = 7};
	header_list_init(&headers, &scene.flow.arena, 1);
	header_add_stream(&headers, &stream);
	struct log_record record = {.key = {"k", 1}, .value = {"v", 1}, .headers = headers.items, .header_count = 1};
	int64_t offset = flow_write(&scene.flow, "orders", &record);
	rest(&scene);
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(scene.audit->gap_count, 1);
	const struct audit_gap *gap = &scene.audit->gaps[0];
	assert_string_equal(gap->gap.service, "inventory");
	assert_int_equal(gap->gap.partition, 1);
	assert_int_equal(gap->gap.highest, 1000);
	assert_int_equal(gap->gap.first_offset, offset);
	assert_non_null(strstr(gap->what, "tandem inventory resend --partitions 1 --to orders/0 --from "));
	end(&scene);
}

/* What the source sends under its numbers is another history than the one that was taken. */
static void a_fork_is_told_with_what_heals_it(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	change(&scene, "inventory", 1, "UPDATE outbound SET chain = chain + 1 WHERE topic = 'orders'");
	start(&scene, "order");
	start(&scene, "inventory");
	rest(&scene);
	publish_some(&scene, 20);
	rest(&scene);
	look(&scene, AUDIT_DIFFERS);
	assert_true(scene.audit->gap_count > 0);
	for (size_t i = 0; i < scene.audit->gap_count; i++) {
		const struct audit_gap *gap = &scene.audit->gaps[i];
		assert_int_equal(gap->gap.verdict, TASK_FORK);
		assert_non_null(strstr(gap->what, "tandem inventory verify --partitions 1"));
		assert_null(strstr(gap->what, "resend"));
	}
	for (size_t i = 0; i < scene.audit->stream_count; i++)
		if (scene.audit->streams[i].verdict == AUDIT_DIFFERS)
			assert_null(strstr(scene.audit->streams[i].what, "resend"));
	end(&scene);
}

/* Its last number once more, with another chain: whoever wrote it, the source did not. */
static void a_fork_by_somebody_else_leaves_nothing_missing(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	int64_t number = flow_number(&scene.flow, "order", 0,
	                             "SELECT number FROM inbound WHERE service = 'inventory' AND partition = 1");
	struct header_list headers;
	struct header_stream stream = {.service = "inventory", .partition = 1, .number = (uint64_t)number, .chain = 7};
	header_list_init(&headers, &scene.flow.arena, 1);
	header_add_stream(&headers, &stream);
	struct log_record record = {.key = {"k", 1}, .value = {"v", 1}, .headers = headers.items, .header_count = 1};
	flow_write(&scene.flow, "orders", &record);
	rest(&scene);
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(scene.audit->gap_count, 1);
	assert_non_null(strstr(scene.audit->gaps[0].what, "nothing is missing"));
	publish_some(&scene, 20);
	rest(&scene);
	look(&scene, AUDIT_HOLDS); /* with the next event */
	end(&scene);
}

static void records_of_unknown_sources_are_told_and_harm_nothing(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	struct log_record record = {.key = {"k", 1}, .value = {"v", 1}, .header_count = 1};
	record.headers = &(struct log_header){HEADER_STREAM, {"\1x", 2}};
	flow_write(&scene.flow, "orders", &record);
	rest(&scene);
	look(&scene, AUDIT_HOLDS);
	assert_int_equal(scene.audit->gap_count, 1);
	assert_string_equal(scene.audit->gaps[0].gap.service, "");
	end(&scene);
}

/* ---- orders and stock ---- */

static int64_t wrong(const struct scene *scene, enum audit_rules rule)
{
	return scene->audit->rules[rule].wrong;
}

static int32_t partition_with(struct scene *scene, const char *service, int32_t partitions, const char *sql)
{
	for (int32_t p = 0; p < partitions; p++)
		if (flow_number(&scene->flow, service, p, sql) > 0)
			return p;
	fail_msg("no partition has any: %s", sql);
	return -1;
}

static void stock_that_does_not_add_up_is_named(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	int32_t p = partition_with(&scene, "inventory", INVENTORY_PARTITIONS, "SELECT count(*) FROM stock");
	change(&scene, "inventory", p,
	       "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = (SELECT min(sku) FROM stock)");
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(wrong(&scene, RULE_COMMITTED), 1);
	assert_int_equal(wrong(&scene, RULE_RECEIPTS) + wrong(&scene, RULE_RESERVED) + wrong(&scene, RULE_BOUNDS), 0);
	assert_non_null(strstr(scene.audit->rules[RULE_COMMITTED].shown[0], "SKU SKU-"));
	change(&scene, "inventory", p,
	       "UPDATE receipt SET quantity = quantity + 1 WHERE sku = (SELECT min(sku) FROM receipt)");
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(wrong(&scene, RULE_RECEIPTS), 1);
	change(&scene, "inventory", p,
	       "INSERT INTO receipt VALUES ('X', 'never seen', 9223372036854775807, 0), ('Y', 'never"
	       " seen', 1, 0)");
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(wrong(&scene, RULE_RECEIPTS), 2);
	end(&scene);
}

static int32_t partition_with_committed(struct scene *scene)
{
	return partition_with(scene, "inventory", INVENTORY_PARTITIONS,
	                      "SELECT count(*) FROM reservation WHERE status = 2");
}

static void a_confirmed_order_whose_goods_are_not_committed_is_named(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	int32_t p = partition_with_committed(&scene);
	change(&scene, "inventory", p,
	       "UPDATE reservation SET status = 1 WHERE order_id = (SELECT min(order_id) FROM reservation WHERE status = 2)");
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(wrong(&scene, RULE_CONFIRMED), 1);
	assert_int_equal(wrong(&scene, RULE_ORPHAN), 1);
	assert_true(wrong(&scene, RULE_RESERVED) >= 1);
	assert_non_null(
		strstr(scene.audit->rules[RULE_CONFIRMED].shown[0], "is confirmed, its reservation in inventory/"));
	change(&scene, "inventory", p, "DELETE FROM reservation WHERE status = 1");
	look(&scene, AUDIT_DIFFERS);
	assert_int_equal(wrong(&scene, RULE_CONFIRMED), 1);
	assert_non_null(strstr(scene.audit->rules[RULE_CONFIRMED].shown[0], "is missing"));
	end(&scene);
}

static void a_dead_order_that_holds_stock_is_named(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	int32_t p = partition_with(&scene, "order", ORDER_PARTITIONS, "SELECT count(*) FROM orders WHERE status = 2");
	change(&scene, "order", p,
	       "UPDATE orders SET status = 4 WHERE order_id = (SELECT min(order_id) FROM orders WHERE status = 2)");
	look(&scene, AUDIT_DIFFERS);
	assert_true(wrong(&scene, RULE_DEAD) >= 1);
	assert_int_equal(wrong(&scene, RULE_DEAD), wrong(&scene, RULE_ORPHAN));
	assert_int_equal(wrong(&scene, RULE_CONFIRMED) + wrong(&scene, RULE_ENDED), 0);
	end(&scene);
}

static void an_order_without_an_end_is_named(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	int32_t p = partition_with(&scene, "order", ORDER_PARTITIONS, "SELECT count(*) FROM orders WHERE status = 3");
	change(&scene, "order", p, "UPDATE orders SET status = 1 WHERE status = 3");
	look(&scene, AUDIT_DIFFERS);
	assert_true(wrong(&scene, RULE_ENDED) >= 1);
	assert_non_null(strstr(scene.audit->rules[RULE_ENDED].shown[0], "is pending"));
	end(&scene);
}

/* ---- what cannot be seen ---- */

static void a_broken_file_is_unseen_and_the_rest_is_compared(void **state)
{
	(void)state;
	struct scene scene;
	char path[128];
	begin(&scene);
	stop(&scene);
	snprintf(path, sizeof path, "%s/order/0.db", scene.flow.data);
	int fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(
		write(fd,
	              "this is no database, and it is longer than the 100 bytes of a header, so that nobody takes "
	              "it for one that is cut off",
	              117),
		117);
	close(fd);
	look(&scene, AUDIT_UNSEEN);
	assert_false(scene.audit->has_orders);
	assert_true(scene.audit->stream_count > 0);
	size_t unseen = 0;
	for (size_t i = 0; i < scene.audit->view_count; i++)
		unseen += scene.audit->views[i].why.code != NULL;
	assert_int_equal(unseen, 1);
	end(&scene);
}

static void a_file_whose_lines_cannot_be_read_is_unseen(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	int32_t p = partition_with_committed(&scene);
	change(&scene, "inventory", p, "UPDATE reservation SET lines = '{' WHERE status = 2");
	look(&scene, AUDIT_UNSEEN);
	const char *why = "";
	for (size_t i = 0; i < scene.audit->view_count; i++)
		if (scene.audit->views[i].why.code)
			why = scene.audit->views[i].why.text;
	assert_non_null(strstr(why, "malformed JSON"));
	end(&scene);
}

static void a_file_of_another_installation_is_unseen(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	stop(&scene);
	change(&scene, "order", 0, "UPDATE meta SET installation = x'00112233445566778899aabbccddeeff'");
	look(&scene, AUDIT_UNSEEN);
	end(&scene);
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void a_long_fold_can_be_interrupted(void **state)
{
	(void)state;
	struct scene scene;
	struct err err = {0};
	begin(&scene);
	for (int i = 0; i < 4200; i++) /* the fold asks every few thousand records */
		flow_write(&scene.flow, "orders", &(struct log_record){.key = {NULL, -1}, .value = {"x", 1}});
	const struct audit_config config = {.log = scene.flow.log, .going_on = never};
	assert_int_equal(audit_open(&config, &scene.audit, &err), OK);
	assert_int_equal(audit_look(scene.audit, &err), RETRY);
	assert_string_equal(err.code, "interrupted");
	end(&scene);
}

/* ---- what is shown ---- */

static void json_says_what_the_table_says(void **state)
{
	(void)state;
	struct scene scene;
	begin(&scene);
	cut_tail(&scene, "order-events", ORDER_PARTITIONS);
	look(&scene, AUDIT_DIFFERS);
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	audit_print(scene.audit, out);
	fclose(out);
	json_t *json = audit_json(scene.audit);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "verdict")), "differs");
	assert_int_equal(json_array_size(json_object_get(json, "streams")), scene.audit->stream_count);
	assert_int_equal(json_array_size(json_object_get(json, "tasks")), scene.audit->view_count);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "orders"), "placed")), 6);
	const struct audit_stream *stream = only(&scene, AUDIT_DIFFERS);
	assert_non_null(strstr(text, stream->what));
	assert_non_null(strstr(text, "audit: DIFFERS"));
	json_decref(json);
	free(text);
	end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drained_services_agree_while_their_workers_run),
		cmocka_unit_test(without_files_the_log_is_folded),
		cmocka_unit_test(a_worker_that_nobody_runs_is_left_out),
		cmocka_unit_test(of_two_folders_the_file_that_is_further_counts),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(what_is_not_folded_yet_is_unsettled_and_not_wrong),
		cmocka_unit_test(a_command_nobody_has_read_yet_is_unsettled),
		cmocka_unit_test(what_was_sent_and_not_committed_is_unsettled),
		cmocka_unit_test(whatever_the_workers_are_doing_nothing_differs),
		cmocka_unit_test(an_event_that_its_destination_lost_is_named_with_its_cure),
		cmocka_unit_test(an_event_that_order_events_lost_is_found),
		cmocka_unit_test(a_dead_letter_that_was_lost_is_found),
		cmocka_unit_test(the_same_number_with_another_hash_is_found),
		cmocka_unit_test(a_source_that_went_back_is_found),
		cmocka_unit_test(a_number_that_the_source_never_came_to_is_found_wherever_it_stands),
		cmocka_unit_test(a_file_that_is_ahead_of_its_log_is_found),
		cmocka_unit_test(open_gaps_are_reported),
		cmocka_unit_test(a_fork_is_told_with_what_heals_it),
		cmocka_unit_test(a_fork_by_somebody_else_leaves_nothing_missing),
		cmocka_unit_test(records_of_unknown_sources_are_told_and_harm_nothing),
		cmocka_unit_test(stock_that_does_not_add_up_is_named),
		cmocka_unit_test(a_confirmed_order_whose_goods_are_not_committed_is_named),
		cmocka_unit_test(a_dead_order_that_holds_stock_is_named),
		cmocka_unit_test(an_order_without_an_end_is_named),
		cmocka_unit_test(a_broken_file_is_unseen_and_the_rest_is_compared),
		cmocka_unit_test(a_file_whose_lines_cannot_be_read_is_unseen),
		cmocka_unit_test(a_file_of_another_installation_is_unseen),
		cmocka_unit_test(a_long_fold_can_be_interrupted),
		cmocka_unit_test(json_says_what_the_table_says),
	};
	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
