/* Dead letters sent back, and a stream with two histories, with processes over local:DIR or over Kafka ($KAFKA): a redrive that
 * is killed in the middle and run again, by two at a time; a fork healed by what status says. */
#include "../support/check.h"
#include "../support/rig.h"
#include "../support/view.h"

#include "command.h"
#include "delivery.h"
#include "events.h"
#include "store.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ORDERS       3
#define INVENTORY    2
#define LETTERS      400
#define WAIT_SECONDS 120

static struct rig rig;

static int open_installation(void **state)
{
	(void)state;
	rig_open_topics(&rig, ORDERS, INVENTORY);
	return 0;
}

static void publish_orders(int count, int seed)
{
	rig_ok(&rig, "publish --only orders --orders %d --seed %d --skus 40 --lines 1-4", count, seed);
}

static struct rig_process *start(const char *service)
{
	return rig_start(&rig, service, "%s run", service);
}

static void stop(struct rig_process *worker)
{
	assert_int_equal(rig_end(&rig, worker, SIGTERM, WAIT_SECONDS), 0);
}

/* ---- redrive ---- */

/* An order in a partition that is not its own. */
static void misplace(struct delivery *delivery, int n)
{
	const char *id = arena_format(&rig.arena, "misplaced-%d", n);
	struct order_line line = {.sku = "SKU-none", .quantity = 1, .unit_price_minor = 5};
	const struct order_placed event = {
		.order_id = id, .currency = "GBP", .placed_at = 1291191960000, .lines = {&line, 1}};
	struct buf value = {0};
	struct err err = {0};
	check(event_encode(&order_placed_type, &event, &value, &err), &err);
	const struct log_record record = {.partition = (log_partition_of(id, strlen(id), ORDERS) + 1) % ORDERS,
	                                  .key = {id, (int32_t)strlen(id)},
	                                  .value = {value.data, (int32_t)value.len}};
	check(delivery_take(delivery, "orders", &record, (struct delivery_origin){0}, &err), &err);
	buf_fini(&value);
}

static void misplace_orders(void)
{
	struct err err = {0};
	const struct delivery_config config = {
		.log = rig.log, .seam = &seam_system, .patience_ms = WAIT_SECONDS * 1000};
	struct delivery *delivery = delivery_open(&config);
	for (int n = 0; n < LETTERS; n++)
		misplace(delivery, n);
	check(delivery_finish(delivery, WAIT_SECONDS * 1000, &err), &err);
	delivery_close(delivery);
}

static int64_t end_of(const char *topic, int32_t partitions)
{
	int64_t sum = 0;
	for (int32_t p = 0; p < partitions; p++) {
		struct err err = {0};
		int64_t low, high;
		check(log_bounds(rig.log, topic, p, &low, &high, &err), &err);
		sum += high;
	}
	return sum;
}

struct growth {
	int64_t from, by;
};

static bool orders_have_grown(struct rig *of, void *arg)
{
	const struct growth *growth = arg;
	(void)of;
	return end_of("orders", ORDERS) >= growth->from + growth->by;
}

static int64_t redriven(void)
{
	return rig_sum(&rig, "order", "SELECT count(*) FROM letter WHERE state = 'redriven'");
}

static void a_redrive_that_is_killed_and_run_again_is_taken_once(void **state)
{
	(void)state;
	struct view view;
	int exit_status;
	misplace_orders();
	rig_ok(&rig, "order run --until-end");
	const char *list = rig_ok(&rig, "dlq list -t orders -J");
	if (!strstr(list, arena_format(&rig.arena, "\"open\":%d", LETTERS)))
		fail_msg("not all are letters: %s", list);
	struct growth growth = {end_of("orders", ORDERS), LETTERS / 20};
	struct rig_process *order = start("order"), *inventory = start("inventory");
	struct rig_process *killed =
		rig_start(&rig, "redrive", "dlq redrive -t orders --yes --rate 5"); /* it would take 80 s */
	rig_until(&rig, WAIT_SECONDS, "some letters are sent back", orders_have_grown, &growth);
	if (rig_has_ended(killed, &exit_status))
		fail_msg("it was to be killed, and has ended with %d", exit_status);
	assert_int_equal(rig_end(&rig, killed, SIGKILL, WAIT_SECONDS), -SIGKILL);
	struct rig_process *other = rig_start(&rig, "other", "dlq redrive -t orders --yes --rate 0");
	rig_ok(&rig, "dlq redrive -t orders --yes --rate 0");
	assert_int_equal(rig_end(&rig, other, 0, WAIT_SECONDS), 0);
	rig_drain(&rig, WAIT_SECONDS);
	stop(order);
	stop(inventory);
	list = rig_ok(&rig, "dlq list -t orders -J");
	if (!strstr(list, arena_format(&rig.arena, "\"redriven\":%d", LETTERS)) || !strstr(list, "\"open\":0"))
		fail_msg("not all are sent back: %s", list);
	assert_int_equal(redriven(), LETTERS);
	assert_int_equal(rig_sum(&rig, "order", "SELECT count(*) FROM orders"), LETTERS);
	assert_int_equal(rig_sum(&rig, "order", "SELECT rejected FROM meta"), LETTERS);
	/* what came more than once was dropped */
	int64_t sent = end_of("orders", ORDERS) - growth.from;
	assert_true(sent >= 2 * LETTERS); /* each redrive, and each answer */
	assert_int_equal(rig_sum(&rig, "order", "SELECT repeats FROM meta"), sent - 2 * LETTERS);
	rig_verify_all(&rig);
	view_read(&rig, &view);
	assert_int_equal(view.rejected, LETTERS); /* there is no such stock */
	rig.passed = true;
}

static void a_letter_that_was_discarded_is_not_sent_back(void **state)
{
	(void)state;
	misplace_orders();
	rig_ok(&rig, "order run --until-end");
	rig_ok(&rig, "dlq discard -t orders --key misplaced-7 --why test --yes --rate 0");
	rig_ok(&rig, "dlq redrive -t orders --reason wrong_partition --yes --rate 0");
	rig_ok(&rig, "order run --until-end");
	assert_int_equal(redriven(), LETTERS - 1);
	assert_int_equal(rig_sum(&rig, "order", "SELECT count(*) FROM orders"), LETTERS - 1);
	const char *shown = rig_ok(&rig, "dlq show -t orders --key misplaced-7");
	if (!strstr(shown, "(discarded at orders/") || !strstr(shown, "\"order_id\":\"misplaced-7\""))
		fail_msg("it is not shown as discarded: %s", shown);
	rig_verify(&rig, "order", NULL, NULL);
	rig.passed = true;
}

/* ---- forks ---- */

static void exec(const char *path, const char *sql)
{
	struct store *store;
	struct err err = {0};
	check(store_open(&(struct store_config){.path = path, .mode = STORE_WRITE}, &store, &err), &err);
	check(store_exec(store, sql, &err), &err);
	store_close(store);
}

static const char *status_of(const char *service)
{
	struct rig_result result;
	rig_run(&rig, &result, WAIT_SECONDS, "%s status", service);
	return result.out;
}

static bool shows_fork(struct rig *of, void *arg)
{
	(void)of;
	return strstr(status_of("inventory"), arg) != NULL;
}

static bool shows_nothing(struct rig *of, void *arg)
{
	(void)of;
	(void)arg;
	return strstr(status_of("inventory"), " in the stream of ") == NULL;
}

/* A file whose chain is another sends another history. verify says that it is the file. */
static void a_fork_is_shown_and_what_status_says_heals_it(void **state)
{
	(void)state;
	struct rig_result result;
	rig_receive(&rig, RIG_SKUS, 100);
	publish_orders(60, 1);
	struct rig_process *order = start("order"), *inventory = start("inventory");
	rig_drain(&rig, WAIT_SECONDS);
	stop(order);
	const char *file = arena_format(&rig.arena, "%s/order/1.db", rig.data);
	exec(file, "UPDATE outbound SET chain = chain + 1 WHERE topic = 'inventory'");
	publish_orders(120, 1);
	order = start("order");
	rig_until(&rig, WAIT_SECONDS, "status shows a fork", shows_fork,
	          (void *)(uintptr_t) "fork in the stream of order/1");
	const char *shown = status_of("inventory");
	static const char *const said[] = {"tandem order verify --partitions 1", "tandem order rebuild --delete-marks"};
	for (int i = 0; i < 2; i++)
		if (!strstr(shown, said[i]))
			fail_msg("status does not say '%s': %s", said[i], shown);
	rig_run(&rig, &result, WAIT_SECONDS, "order verify --partitions 1");
	assert_int_equal(result.exit_status, EXIT_DIFFERS);
	stop(order);
	for (int i = 0; i < 3; i++) {
		static const char *const endings[] = {"", "-wal", "-shm"};
		unlink(arena_format(&rig.arena, "%s%s", file, endings[i]));
	}
	rig_ok(&rig, "order rebuild --delete-marks");
	order = start("order");
	rig_until(&rig, WAIT_SECONDS, "status shows none any more", shows_nothing, NULL);
	rig_drain(&rig, WAIT_SECONDS);
	stop(order);
	stop(inventory);
	rig_ok(&rig, "order verify");
	rig_ok(&rig, "inventory verify");
	rig_ok(&rig, "audit");
	rig.passed = true;
}

#define LETTER(test) cmocka_unit_test_prestate_setup_teardown(test, open_installation, rig_teardown, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LETTER(a_redrive_that_is_killed_and_run_again_is_taken_once),
		LETTER(a_letter_that_was_discarded_is_not_sent_back),
		LETTER(a_fork_is_shown_and_what_status_says_heals_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
