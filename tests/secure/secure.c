/* A broker that wants to know who asks: client certificates, SASL/PLAIN over TLS, and access control that allows nothing by
 * itself. Each program has a principal of its own with exactly the rights that `tandem topics acls` lists.
 * tests/system/kafka/with-secure.sh starts the broker. An argument: only tests whose name is like it. */
#include "../../producers/topics/acls.h"
#include "../../producers/topics/plan.h"
#include "../support/kafka_admin.h"
#include "../support/rig.h"
#include "command.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define SCRAM_SINCE 0x020601ff

static struct rig rig;
static struct acl_list rights; /* of the rig's namespace */

/* ---- who asks ---- */

static const char *of_tls(const char *name, const char *ending)
{
	return arena_format(&rig.arena, "%s/%s.%s", getenv("SECURE_DIR"), name, ending);
}

static void nobody(void)
{
	static const char *const names[] = {"SECURITY_PROTOCOL", "SSL_CA_LOCATION", "SSL_CERTIFICATE_LOCATION",
	                                    "SSL_KEY_LOCATION",  "SASL_MECHANISM",  "SASL_USERNAME",
	                                    "SASL_PASSWORD_FILE"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(arena_format(&rig.arena, "TANDEM_X_%s", names[i]));
	setenv("TANDEM_LOG", rig.url, 1); /* every right, and no TLS */
}

/* The next programs are this one's, by certificate. */
static void as(const char *name)
{
	nobody();
	setenv("TANDEM_LOG", arena_format(&rig.arena, "kafka://%s", getenv("SECURE_MTLS")), 1);
	setenv("TANDEM_X_SECURITY_PROTOCOL", "ssl", 1);
	setenv("TANDEM_X_SSL_CA_LOCATION", of_tls("ca", "crt"), 1);
	setenv("TANDEM_X_SSL_CERTIFICATE_LOCATION", of_tls(name, "crt"), 1);
	setenv("TANDEM_X_SSL_KEY_LOCATION", of_tls(name, "key"), 1);
}

/* The same by password. */
static void by_password(const char *name, const char *mechanism, const char *password)
{
	nobody();
	setenv("TANDEM_LOG", arena_format(&rig.arena, "kafka://%s", getenv("SECURE_PLAIN")), 1);
	setenv("TANDEM_X_SECURITY_PROTOCOL", "sasl_ssl", 1);
	setenv("TANDEM_X_SSL_CA_LOCATION", of_tls("ca", "crt"), 1);
	setenv("TANDEM_X_SASL_MECHANISM", mechanism, 1);
	setenv("TANDEM_X_SASL_USERNAME", name, 1);
	setenv("TANDEM_X_SASL_PASSWORD_FILE", of_tls(password, "password"), 1);
}

/* ---- rights ---- */

static struct kafka_acl acl_of(const struct acl *right)
{
	return (struct kafka_acl){arena_format(&rig.arena, "User:%s", right->role), right->operation, right->resource,
	                          right->name};
}

static void grant(const struct acl *right)
{
	struct kafka_acl acl = acl_of(right);
	assert_string_equal(kafka_admin_grant(&acl, 1), "");
}

static void take_away(const struct acl *right)
{
	struct kafka_acl acl = acl_of(right);
	assert_string_equal(kafka_admin_revoke(&acl), "");
}

static const struct acl *right_of(const char *role, const char *operation, const char *name)
{
	for (size_t i = 0; i < rights.count; i++) {
		const struct acl *right = &rights.items[i];
		const char *dot = strchr(right->name, '.');
		if (!strcmp(right->role, role) && !strcmp(right->operation, operation) && !strcmp(dot + 1, name))
			return right;
	}
	fail_msg("%s has no right %s to %s", role, operation, name);
	return NULL;
}

static void grant_all(void)
{
	struct genesis_topic_array topics;
	struct err err = {0};
	const struct plan_request request = {.partitions = 2};
	assert_int_equal(plan_topics(commands, command_count, &request, &rig.arena, &topics, &err), OK);
	acls_list(commands, command_count, &topics, rig.name_space, &rig.arena, &rights);
	struct kafka_acl *acls = arena_alloc(&rig.arena, rights.count * sizeof *acls);
	for (size_t i = 0; i < rights.count; i++)
		acls[i] = acl_of(&rights.items[i]);
	assert_string_equal(kafka_admin_grant(acls, rights.count), "");
}

static int open_secure(void **state)
{
	*state = &rig;
	rig_open(&rig);
	rig.orders = rig.inventory = 2;
	grant_all();
	const char *path = arena_format(&rig.arena, "%s/secret", rig.folder);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs("0123456789abcdef0123456789abcdef", file);
	fclose(file);
	chmod(path, 0600);
	setenv("TANDEM_SECRET_FILE", path, 1);
	as("operator");
	rig_ok(&rig, "topics create --keyed --partitions 2 --single-replica");
	return 0;
}

static int close_secure(void **state)
{
	nobody();
	unsetenv("TANDEM_SECRET_FILE");
	return rig_teardown(state);
}

/* ---- with the right credentials ---- */

static void the_system_runs_with_exactly_the_rights_that_are_listed(void **state)
{
	(void)state;
	as("order");
	struct rig_process *order = rig_start(&rig, "order", "order run --session-timeout 6s");
	as("inventory");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run --session-timeout 6s");
	as("publisher");
	rig_ok(&rig, "publish --orders 200 --skus 10 --stock 100");
	as("auditor");
	rig_drain(&rig, 240);
	assert_int_equal(rig_end(&rig, order, SIGTERM, 60), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, 60), 0);
	as("revenue");
	rig_ok(&rig, "revenue run --until-end");
	as("auditor");
	rig_verify(&rig, "order", NULL, NULL);
	rig_verify(&rig, "inventory", NULL, NULL);
	rig_verify(&rig, "revenue", NULL, NULL);
	rig_ok(&rig, "audit");
	rig_ok(&rig, "order status");
	rig_ok(&rig, "replay -t order-events -c 3");
	assert_null(strstr(rig_words(&rig, order), "DescribeConfigs"));

	by_password("order", "PLAIN", "order");
	rig_ok(&rig, "order run --until-end");
	by_password("auditor", "PLAIN", "auditor");
	rig_ok(&rig, "audit");

	as("operator");
	rig_ok(&rig, "topics check");
	rig_ok(&rig, "order resend --to inventory/1");
	rig_ok(&rig, "dlq -t orders list");
	rig_ok(&rig, "order rebuild --delete-marks");
	rig_ok(&rig, "topics delete --yes --wait 3m");
	rig.passed = true;
}

/* ---- with the wrong ones ---- */

static void refused(const char *command, int exit_status, const char *says)
{
	struct rig_result result;
	rig_run(&rig, &result, 180, "%s", command);
	if (result.exit_status != exit_status || !strstr(result.err, says))
		fail_msg("tandem %s: %d, expected %d and '%s': %s", command, result.exit_status, exit_status, says,
		         result.err);
	assert_null(strstr(result.err, "-password"));
}

static void wrong_credentials_end_a_program_with_one_line_and_2(void **state)
{
	(void)state;
	static const char *const commands_tried[] = {"order run", "order run --listen 0", "publish --orders 1"};
	for (size_t i = 0; i < sizeof commands_tried / sizeof *commands_tried; i++) {
		by_password("order", "PLAIN", "wrong");
		refused(commands_tried[i], 2,
		        "Invalid username or password; expected credentials that the broker takes");
		as("stranger");
		refused(commands_tried[i], 2, "SSL alert number 46; expected credentials that the broker takes");
	}
	by_password("order", "SCRAM-SHA-512", "wrong");
	refused("order run", 2,
	        log_kafka_version() < SCRAM_SINCE ? "cannot log in to Kafka 4 by SCRAM, whatever the password is"
	                                          : "invalid credentials");
	as("order");
	unsetenv("TANDEM_X_SSL_CERTIFICATE_LOCATION");
	unsetenv("TANDEM_X_SSL_KEY_LOCATION");
	refused("order run", 2, "; expected credentials that the broker takes");
	as("order");
	setenv("TANDEM_X_SSL_CA_LOCATION", of_tls("other-ca", "crt"), 1);
	refused("audit", 2, "broker certificate could not be verified");
	as("order");
	unsetenv("TANDEM_X_SECURITY_PROTOCOL");
	refused("topics list", 1, ": metadata: ");
	as("order");
	refused("order run -X sasl.password=order-passwort", 2, "-X sasl.password-file=PATH");
	rig.passed = true;
}

/* Of an authority that is trusted: who would take it could be told anything by whoever has one. */
static void a_certificate_for_another_host_ends_a_program_with_one_line_and_2(void **state)
{
	(void)state;
	static const char *const commands_tried[] = {"order run", "order run --listen 0", "publish --orders 1",
	                                             "audit"};
	for (size_t i = 0; i < sizeof commands_tried / sizeof *commands_tried; i++) {
		as("order");
		setenv("TANDEM_LOG", arena_format(&rig.arena, "kafka://%s", getenv("SECURE_ELSEWHERE")), 1);
		refused(commands_tried[i], 2, "/bootstrap: the broker's certificate is for another host;");
	}
	rig.passed = true;
}

/* With a broker that takes what librdkafka 2.0.2 sends (up to Kafka 3.9), or a newer librdkafka. */
static void scram_lets_in_who_has_the_password(void **state)
{
	(void)state;
	by_password("publisher", "SCRAM-SHA-512", "publisher");
	rig_ok(&rig, "publish --orders 20 --skus 10 --stock 100");
	by_password("order", "SCRAM-SHA-512", "order");
	rig_ok(&rig, "order run --until-end");
	by_password("auditor", "SCRAM-SHA-512", "auditor");
	rig_verify(&rig, "order", NULL, NULL);
	by_password("order", "SCRAM-SHA-512", "wrong");
	refused("order run", 2,
	        log_kafka_version() < SCRAM_SINCE ? "the user or the password is wrong" : "invalid credentials");
	rig.passed = true;
}

/* ---- a right that is missing ---- */

/* Records that make each worker send to each of its topics when it folds them, and no marks. */
static void prepare_records(void)
{
	static const char wrong[] =
		"{\"type\": \"OrderPlaced\", \"event\": {\"order_id\": \"L-%d\", \"currency\": \"gbp\", "
		"\"placed_at\": 1, \"lines\": [{\"sku\": \"s\", \"quantity\": 1, "
		"\"unit_price_minor\": 1}]}}\n";
	struct rig_result result;
	nobody();
	struct buf lines = {0};
	for (int i = 0; i < 8; i++)
		buf_putf(&lines, wrong, i);
	rig_run_with(&rig, &result, 60, buf_text(&lines), "publish -");
	buf_fini(&lines);
	assert_int_equal(result.exit_status, 0);
	rig_ok(&rig, "publish --orders 30 --skus 10 --stock 100");
	rig_ok(&rig, "order run --until-end");
	rig_ok(&rig, "inventory run --until-end");
	rig_ok(&rig, "order run --until-end");
	struct err err = {0};
	struct log_ack ack;
	struct log_producer *producer;
	assert_int_equal(log_producer_open(rig.log, &producer, &err), OK);
	static const char *const topics[] = {"order-events", "inventory"};
	for (int32_t i = 0; i < 4; i++) {
		const struct log_record record = {.partition = i % 2, .key = {NULL, -1}, .value = {"no event", 8}};
		assert_int_equal(log_produce(producer, log_producer_topic(producer, topics[i / 2]), &record, 0, &err),
		                 OK);
	}
	log_producer_flush(producer);
	for (int got = 0, i = 0; got < 4; i++) {
		assert_true(i < 600);
		log_wait(rig.log, 100);
		while (log_producer_ack(producer, &ack))
			got++;
	}
	log_producer_close(producer);
	rig_ok(&rig, "order rebuild --delete-marks");
	rig_ok(&rig, "inventory rebuild --delete-marks");
}

/* What the role does that needs the right. */
static const char *command_of(const struct acl *right, int turn)
{
	const char *fresh = arena_format(&rig.arena, "%s/%s-%d", rig.folder, right->role, turn);
	if (!strcmp(right->role, "publisher"))
		return arena_format(&rig.arena, "publish --only %s --orders 1 --skus 10 --stock 1",
		                    strstr(right->name, "inventory") ? "receipts" : "orders");
	if (!strcmp(right->role, "auditor"))
		return arena_format(&rig.arena, "replay -t %s -c 1", strchr(right->name, '.') + 1);
	return arena_format(&rig.arena, "%s run --until-end --data %s", right->role, fresh);
}

/* Without it the program says so, by name, and does not end well; with it again it does. */
static void try_command(const struct acl *right, const char *command)
{
	struct rig_result result;
	as(right->role);
	take_away(right);
	rig_run(&rig, &result, 240, "%s", command);
	grant(right);
	/* Where nothing else implies it, Describe is asked for first. */
	const char *exact =
		arena_format(&rig.arena, "missing: %s on %s %s", right->operation, right->resource, right->name);
	const char *first =
		arena_format(&rig.arena, "missing: Describe on %s %s, which Read", right->resource, right->name);
	bool named = strstr(result.err, exact) || strstr(result.err, first) || strstr(result.out, exact) ||
	             strstr(result.out, first);
	if (!named || result.exit_status == 0 || result.exit_status == 2)
		fail_msg("tandem %s without %s on %s %s: %d, %s%s", command, right->operation, right->resource,
		         right->name, result.exit_status, result.out, result.err);
	print_message("without %s on %s %s: tandem %s ends with %d, %.1f s\n", right->operation, right->resource,
	              right->name, right->role, result.exit_status, result.seconds);
}

static void a_right_that_is_missing_is_named(const char *role)
{
	int turn = 0;
	for (size_t i = 0; i < rights.count; i++) {
		const struct acl *right = &rights.items[i];
		bool quiet = !strcmp(right->operation, "DescribeConfigs") ||
		             (!strcmp(role, "auditor") && !strcmp(right->resource, "Group")); /* marks are not seen */
		if (strcmp(right->role, role) != 0 || quiet)
			continue;
		nobody();
		if (command_service(role)) /* a partition may have got to its mark the last time */
			rig_ok(&rig, "%s rebuild --delete-marks", role);
		try_command(right, command_of(right, turn++));
	}
	assert_true(turn > 0);
}

/* One of each kind, since they end with the topics. */
static void operators_rights(void)
{
	static const struct {
		const char *operation, *name, *command;
	} cases[] = {{"Read", "orders", "topics check"},
	             {"Write", "inventory", "order resend --to inventory/0"},
	             {"Delete", "tandem-order", "order rebuild --delete-marks"},
	             {"Delete", "orders", "topics delete --yes --wait 3m"},
	             {"Create", "orders", "topics create --keyed --partitions 2 --single-replica"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct acl *right = right_of("operator", cases[i].operation, cases[i].name);
		try_command(right, cases[i].command);
		if (!strcmp(cases[i].name, "orders") && !strcmp(cases[i].operation, "Delete"))
			rig_ok(&rig, "topics delete --yes --wait 3m");
	}
	rig_ok(&rig, "topics create --keyed --partitions 2 --single-replica");
}

static void each_right_that_is_missing_is_named(void **state)
{
	(void)state;
	prepare_records();
	a_right_that_is_missing_is_named("order");
	a_right_that_is_missing_is_named("publisher");
	a_right_that_is_missing_is_named("inventory");
	a_right_that_is_missing_is_named("revenue");
	a_right_that_is_missing_is_named("auditor");
	operators_rights();
	rig.passed = true;
}

/* Settings that cannot be looked at are no reason to stop, but to say so. */
static void without_the_right_to_read_settings_a_worker_says_so_and_goes_on(void **state)
{
	(void)state;
	struct rig_result result;
	take_away(right_of("order", "DescribeConfigs", "orders.dlq"));
	as("order");
	rig_run(&rig, &result, 60, "order run --until-end");
	grant(right_of("order", "DescribeConfigs", "orders.dlq"));
	assert_int_equal(result.exit_status, 0);
	assert_non_null(strstr(result.err, "topic settings cannot be checked"));
	assert_non_null(strstr(result.err, "\"topic\":\"orders.dlq\""));
	rig.passed = true;
}

static bool is_halted(struct rig *all, void *arg)
{
	struct rig_result result;
	rig_run(all, &result, 60, "order status");
	return result.exit_status == 1 && strstr(result.out, arg);
}

static void a_right_that_is_taken_away_halts_a_worker_until_it_is_given_back(void **state)
{
	(void)state;
	const struct acl *right = right_of("order", "Write", "inventory");
	as("order");
	struct rig_process *order = rig_start(&rig, "order", "order run --session-timeout 6s");
	as("inventory");
	struct rig_process *inventory = rig_start(&rig, "inventory", "inventory run --session-timeout 6s");
	as("publisher");
	rig_ok(&rig, "publish --orders 20 --skus 10 --stock 100");
	as("auditor");
	rig_drain(&rig, 240);
	take_away(right);
	as("publisher");
	rig_ok(&rig, "publish --only orders --orders 20 --seed 5 --skus 10");
	as("auditor");
	char says[300];
	snprintf(says, sizeof says, "missing: Write on Topic %s", right->name);
	rig_until(&rig, 240, "the worker to halt", is_halted, says);
	grant(right);
	rig_drain(&rig, 300);
	assert_int_equal(rig_end(&rig, order, SIGTERM, 60), 0);
	assert_int_equal(rig_end(&rig, inventory, SIGTERM, 60), 0);
	rig_verify(&rig, "order", NULL, NULL);
	rig_verify(&rig, "inventory", NULL, NULL);
	rig.passed = true;
}

#define SECURE(test) cmocka_unit_test_setup_teardown(test, open_secure, close_secure)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SECURE(the_system_runs_with_exactly_the_rights_that_are_listed),
		SECURE(wrong_credentials_end_a_program_with_one_line_and_2),
		SECURE(a_certificate_for_another_host_ends_a_program_with_one_line_and_2),
		SECURE(each_right_that_is_missing_is_named),
		SECURE(without_the_right_to_read_settings_a_worker_says_so_and_goes_on),
		SECURE(a_right_that_is_taken_away_halts_a_worker_until_it_is_given_back),
	};
	const struct CMUnitTest scram[] = {SECURE(scram_lets_in_who_has_the_password)};
	if (!getenv("SECURE_DIR")) {
		fprintf(stderr, "secure: run me by tests/system/kafka/with-secure.sh\n");
		return 1;
	}
	if (getenv("SCRAM"))
		return cmocka_run_group_tests(scram, NULL, NULL);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]); /* only that one */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
