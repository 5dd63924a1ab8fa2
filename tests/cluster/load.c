#include "load.h"

#include "../support/witness.h"

#include "json.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RATE           "100" /* orders a second */
#define WITNESS_RATE   50
#define WITNESS_ORDERS 200  /* a batch */
#define WITNESS_SEED   1000 /* of the first batch; the ids of other publishers come from lower ones */

const char *const load_services[LOAD_SERVICES] = {"order", "inventory"};

static struct load load;

/* ---- opening and closing ---- */

static void open_rig(void)
{
	load = (struct load){.options = "--session-timeout 20s --commit-interval 50ms"};
	rig_open(&load.rig);
	load.rig.orders = load.rig.inventory = LOAD_PARTITIONS;
	load.rig.keep_topics = true;
	nodes_heal(&load.rig);
}

static void create_topics(struct load *l)
{
	rig_ok(&l->rig, "topics create --partitions-of orders=%d --partitions-of inventory=%d", LOAD_PARTITIONS,
	       LOAD_PARTITIONS);
}

static int fill(void **state, int stock)
{
	create_topics(&load);
	rig_ok(&load.rig, "publish --only receipts --orders 1 --skus 60 --stock %d", stock); /* before any command */
	*state = &load;
	nodes_say("the installation is there");
	return 0;
}

int load_open_short(void **state)
{
	open_rig();
	load.witnessed = true;
	return fill(state, 60);
}

/* `topics create` takes a topic that is there and empty. */
int load_open_two_replicas(void **state, const char *topic)
{
	open_rig();
	nodes_tool(&load.rig,
	           "org.apache.kafka.tools.TopicCommand --create --topic %s.%s --replica-assignment 1:2,1:2,1:2"
	           " --config cleanup.policy=delete --config message.timestamp.type=LogAppendTime"
	           " --config retention.ms=-1 --config retention.bytes=-1 --config min.insync.replicas=2"
	           " --config unclean.leader.election.enable=false",
	           load.rig.name_space, topic);
	return fill(state, 1000000);
}

int load_close(void **state)
{
	(void)state;
	rig_close(&load.rig);
	return 0;
}

/* ---- processes ---- */

static int64_t json_number(json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json, name));
}

/* Its last line counts what it has handed over and what of it was acknowledged. */
static void note_counts(struct load *l, const char *words)
{
	const char *begin = strstr(words, "{\"events\"");
	json_t *json = begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	if (!json)
		fail_msg("the publisher has not said what it sent: %s", words);
	json_t *events = json_object_get(json, "events");
	l->orders_sent += json_number(events, "OrderPlaced");
	l->sent += json_number(events, "OrderPlaced") + json_number(events, "OrderCancelRequested");
	l->acknowledged += json_number(json, "acknowledged");
	json_decref(json);
}

#define LOAD "--skus 60 --lines 1-4 --cancel-one-in 20"

/* One batch after the other. */
static void keep_witness(struct load *l)
{
	if (!l->witnessed || !l->publisher || !witness_has_published(l->rig.witness))
		return;
	witness_publish(l->rig.witness,
	                &(struct generate_options){.only = PUBLISH_ORDERS,
	                                           .seed = WITNESS_SEED + (uint64_t)l->orders_witnessed,
	                                           .orders = WITNESS_ORDERS,
	                                           .skus = 60,
	                                           .hot_skus = 10,
	                                           .lines_min = 1,
	                                           .lines_max = 4},
	                WITNESS_RATE);
	l->orders_witnessed += WITNESS_ORDERS;
}

void load_publish(struct load *l)
{
	const char *name = arena_format(&l->rig.arena, "publish-%d", ++l->publishers);
	l->publisher =
		rig_start(&l->rig, name, "publish -J --only orders --orders 1000000 " LOAD " --rate " RATE " --seed %d",
	                  l->publishers);
	if (l->witnessed)
		witness_open(&l->rig, 1);
	keep_witness(l);
}

void load_publish_again(struct load *l)
{
	struct rig_result result;
	int64_t orders = l->orders_sent;
	l->orders_sent = l->sent = l->acknowledged = 0;
	rig_run(&l->rig, &result, LOAD_SECONDS, "publish -J --only orders --orders %" PRId64 " " LOAD " --seed %d",
	        orders, l->publishers);
	note_counts(l, result.out);
	assert_int_equal(l->orders_sent, orders);
	assert_int_equal(l->acknowledged, l->sent);
	nodes_say("%" PRId64 " orders are published again", orders);
}

void load_start(struct load *l, int service, int worker)
{
	const char *name = arena_format(&l->rig.arena, "%s-%d", load_services[service], worker + 1);
	l->workers[service][worker] =
		rig_start(&l->rig, name, "%s run %s%s%s", load_services[service], l->options,
	                  l->static_members ? " --instance-id " : "", l->static_members ? name : "");
}

void load_start_all(struct load *l, int workers)
{
	for (int s = 0; s < LOAD_SERVICES; s++)
		for (int w = 0; w < workers; w++)
			load_start(l, s, w);
}

void load_stop(struct load *l, int service, int worker)
{
	assert_int_equal(rig_end(&l->rig, l->workers[service][worker], SIGTERM, LOAD_SECONDS), 0);
	l->workers[service][worker] = NULL;
}

void load_stop_service(struct load *l, int service)
{
	for (int w = 0; w < LOAD_WORKERS_MAX; w++)
		if (l->workers[service][w])
			load_stop(l, service, w);
}

void load_begin_anew(struct load *l)
{
	const char *old = l->rig.name_space;
	for (int s = 0; s < LOAD_SERVICES; s++)
		load_stop_service(l, s);
	rig_move(&l->rig, arena_format(&l->rig.arena, "%s-anew", old));
	create_topics(l);
	rig_ok(&l->rig, "replay --namespace %s -t inventory --to-log %s --to-namespace %s", old, l->rig.url,
	       l->rig.name_space);
	rig_ok(&l->rig, "inventory run --until-end");
	rig_ok(&l->rig, "replay --namespace %s -t orders --to-log %s --to-namespace %s", old, l->rig.url,
	       l->rig.name_space);
	nodes_say("the publishers' events are in a new installation");
}

/* ---- how far it is ---- */

static int64_t number_of(struct load *l, const char *service, int32_t partition, const char *table, const char *sql)
{
	char there[128];
	if (access(arena_format(&l->rig.arena, "%s/%s/%d.db", l->rig.data, service, partition), F_OK) != 0)
		return 0;
	snprintf(there, sizeof there, "SELECT count(*) FROM sqlite_master WHERE name = '%s'", table);
	if (!rig_number(&l->rig, service, partition, there))
		return 0;
	return rig_number(&l->rig, service, partition, sql);
}

int64_t load_outcomes(struct load *l)
{
	int64_t sum = 0;
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++)
		sum += number_of(l, "order", p, "orders", "SELECT count(*) FROM orders WHERE status > 1");
	return sum;
}

int64_t load_folded(struct load *l, const char *service)
{
	int64_t sum = 0;
	for (int32_t p = 0; p < LOAD_PARTITIONS; p++)
		sum += number_of(l, service, p, "meta", "SELECT next_offset FROM meta");
	return sum;
}

struct goal {
	struct load *load;
	int64_t outcomes;
};

static bool all_run(struct load *l)
{
	int exit_status;
	for (int s = 0; s < LOAD_SERVICES; s++)
		for (int w = 0; w < LOAD_WORKERS_MAX; w++)
			if (l->workers[s][w] && rig_has_ended(l->workers[s][w], &exit_status))
				fail_msg("%s ended by itself with %d", l->workers[s][w]->name, exit_status);
	if (l->publisher && rig_has_ended(l->publisher, &exit_status))
		fail_msg("the publisher ended by itself with %d", exit_status);
	keep_witness(l);
	return true;
}

static bool reached(struct rig *rig, void *arg)
{
	const struct goal *goal = arg;
	(void)rig;
	return all_run(goal->load) && load_outcomes(goal->load) >= goal->outcomes;
}

void load_flows(struct load *l, int64_t more)
{
	struct goal goal = {l, load_outcomes(l) + more};
	rig_until(&l->rig, LOAD_SECONDS, "more orders have an end", reached, &goal);
	nodes_say("%" PRId64 " orders have an end", load_outcomes(l));
}

void load_fault(struct load *l, const char *test, const char *fault)
{
	recovery_begin(&l->recovery, test, fault);
}

/* ---- the end ---- */

void load_stop_publishing(struct load *l)
{
	rig_end(&l->rig, l->publisher, SIGTERM, LOAD_SECONDS);
	note_counts(l, rig_words(&l->rig, l->publisher));
	l->publisher = NULL;
	if (l->witnessed)
		witness_published(&l->rig, LOAD_SECONDS);
	nodes_say("publishing has ended");
}

void load_drain(struct load *l)
{
	if (l->publisher)
		load_stop_publishing(l);
	rig_drain(&l->rig, LOAD_SECONDS);
	nodes_say("drained");
	recovery_end(&l->rig, &l->recovery);
}

void load_prove(struct load *l)
{
	struct view *view = &l->view;
	for (int s = 0; s < LOAD_SERVICES; s++)
		load_stop_service(l, s);
	nodes_say("workers have ended");
	rig_verify_all(&l->rig);
	nodes_say("verified and audited");
	view_read(&l->rig, view);
	print_message("sent %" PRId64 ", acknowledged %" PRId64 "; placed %" PRId64 ": confirmed %" PRId64
	              ", rejected %" PRId64 ", cancelled %" PRId64 "; %" PRId64 " events taken, %" PRId64
	              " repeats on the wire\n",
	              l->sent, l->acknowledged, view->placed, view->confirmed, view->rejected, view->cancelled,
	              view->taken, view->dropped);
	/* Every id is its own; what was not acknowledged may be there all the same. */
	int64_t placed = view->placed - l->orders_witnessed;
	assert_in_range(placed + view->cancel_requests, l->acknowledged, l->sent);
	if (l->acknowledged == l->sent)
		assert_int_equal(placed, l->orders_sent);
	if (l->witnessed)
		witness_expect_none(&l->rig);
	assert_int_equal(view->dead_letters, 0);
	assert_int_equal(rig_sum(&l->rig, "order", "SELECT count(*) FROM orders"), view->placed);
	assert_int_equal(rig_sum(&l->rig, "order", "SELECT count(*) FROM orders WHERE status = 1"), 0); /* pending */
}

void load_finish(struct load *l)
{
	load_drain(l);
	load_prove(l);
	l->rig.passed = true;
}
