/* What is wrong on the command line, in a file or in the surroundings, for every program: the exit status, and a piece of
 * what it says. One table; `make system-local` runs each line as a process. */
#include "../support/rig.h"

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

struct input {
	const char *command; /* {} is the test's folder */
	const char *in;      /* stdin; NULL: nothing */
	int exit_status;
	const char *says; /* on stdout or stderr */
};

#define ORDER(fields) "{\"type\": \"OrderPlaced\", \"event\": {" fields "}}\n"

static const struct input inputs[] = {
	/* the program itself */
	{"nosuch", NULL, 2, "there is no command 'nosuch'"},
	{"pubish", NULL, 2, "there is no command 'pubish'"},
	{"--nosuch", NULL, 2, "there is no command '--nosuch'"},
	/* a worker's actions and options */
	{"order", NULL, 2, "usage: tandem order ACTION"},
	{"order nosuch", NULL, 2, "'nosuch' is none of run, status, verify, rebuild, resend"},
	{"order run extra", NULL, 2, "found 'extra', expected options alone"},
	{"order run --nosuch", NULL, 2, "option '--nosuch'"},
	{"order run --partitions x", NULL, 2, "'x' is no list of partitions"},
	{"order run --partitions 3-1", NULL, 2, "'3-1' is no list of partitions"},
	{"order run --partitions 0,9", NULL, 2, "partition 9 was asked for, orders has 2 (0 to 1)"},
	{"order run --commit-interval 0", NULL, 2, "--commit-interval: found '0'"},
	{"order run --commit-interval 61s", NULL, 2, "from 1 to 60000 ms"},
	{"order run --commit-interval soon", NULL, 2, "--commit-interval: found 'soon'"},
	{"order run --commit-records 0", NULL, 2, "--commit-records: found '0'"},
	{"order run --session-timeout 10ms", NULL, 2, "--session-timeout: found '10ms'"},
	{"order verify --threads 0", NULL, 2, "--threads: found '0'"},
	{"order verify --partitions 7", NULL, 2, "partition 7 was asked for"},
	{"order verify --data {}/nothing", NULL, 3, "there is nothing to verify"},
	{"order status --partitions -1", NULL, 2, "'-1' is no list of partitions"},
	{"order rebuild extra", NULL, 2, "found 'extra', expected options alone"},
	{"order rebuild --namespace nosuch", NULL, 1, "topic nosuch.orders does not exist; run `tandem topics create`"},
	{"order resend", NULL, 2, "found no --to, expected"},
	{"order resend --to inventory", NULL, 2, "--to: found 'inventory', expected TOPIC/PARTITION"},
	{"order resend --to nosuch/0", NULL, 2,
         "order writes nothing to nosuch, expected one of inventory, order-events, orders.dlq"},
	{"order resend --to inventory/9", NULL, 2, "has no partition 9, it has 2"},
	{"order resend --to inventory/0 --from 0", NULL, 2, "--from: found '0'"},
	{"inventory resend --to order-events/0", NULL, 2, "inventory writes nothing to order-events"},
	{"inventory run --commit-records many", NULL, 2, "--commit-records: found 'many'"},
	{"revenue run --until-end --namespace nosuch", NULL, 1, "topic nosuch.order-events does not exist"},
	/* logs */
	{"order run --log nosuch:x", NULL, 2, "is neither kafka://HOST:PORT,... nor local:DIR"},
	{"order run --log local:", NULL, 2, "is neither kafka://HOST:PORT,... nor local:DIR"},
	{"order run --log kafka://", NULL, 2, "names no brokers"},
	{"topics create --log local::memory:", NULL, 2, "lives inside one process"},
	{"order run --log local:{}/nothing --until-end", NULL, 1,
         "topic orders does not exist; run `tandem topics create`"},
	{"order run --log local:{}/bare --until-end", NULL, 3, "genesis"},
	{"order verify --log local:{}/bare", NULL, 3, "there is nothing to verify"},
	{"publish --orders 1 --log local:{}/bare", NULL, 1, "has no record at offset 0"},
	{"topics check --log local:{}/bare", NULL, 4, "genesis"},
	{"audit --log local:{}/bare", NULL, 1, "genesis"},
	{"order run --namespace no/slash", NULL, 2, "--namespace: found 'no/slash'"},
	/* librdkafka's properties: what the protocol rests on, and what there is not */
	{"order run -X group.id=x", NULL, 2, "'group.id' cannot be set"},
	{"order run -X enable.auto.commit=true", NULL, 2, "'enable.auto.commit' cannot be set"},
	{"order run -X enable.auto.offset.store=true", NULL, 2, "'enable.auto.offset.store' cannot be set"},
	{"order run -X auto.offset.reset=earliest", NULL, 2, "'auto.offset.reset' cannot be set"},
	{"order run -X isolation.level=read_uncommitted", NULL, 2, "'isolation.level' cannot be set"},
	{"order run -X check.crcs=false", NULL, 2, "'check.crcs' cannot be set"},
	{"order run -X enable.partition.eof=false", NULL, 2, "'enable.partition.eof' cannot be set"},
	{"publish --orders 1 -X enable.idempotence=false", NULL, 2, "'enable.idempotence' cannot be set"},
	{"publish --orders 1 -X acks=1", NULL, 2, "'acks' cannot be set"},
	{"publish --orders 1 -X partitioner=random", NULL, 2, "'partitioner' cannot be set"},
	{"publish --orders 1 -X message.timeout.ms=1", NULL, 2, "'message.timeout.ms' cannot be set"},
	{"publish --orders 1 -X message.max.bytes=1", NULL, 2, "'message.max.bytes' cannot be set"},
	{"order run -X session.timeout.ms=6000", NULL, 2, "given by --session-timeout"},
	{"order run -X max.poll.interval.ms=6000", NULL, 2, "'max.poll.interval.ms' cannot be set"},
	{"order run -X heartbeat.interval.ms=3000", NULL, 2, "'heartbeat.interval.ms' cannot be set"},
	{"order run -X group.instance.id=a", NULL, 2, "given by --instance-id"},
	{"order run -X allow.auto.create.topics=true", NULL, 2, "'allow.auto.create.topics' cannot be set"},
	{"publish --orders 1 -X transactional.id=x", NULL, 2, "'transactional.id' cannot be set"},
	{"order run -X nosuch=1 -b 127.0.0.1:1", NULL, 2, "has no property 'nosuch'"},
	{"order run -X noequals", NULL, 2, "found no name=value"},
	{"order run -X ssl.key.password-file={}/nothing", NULL, 2, "No such file or directory"},
	{"order run -X sasl.password=hunter2", NULL, 2, "-X sasl.password-file=PATH"},
	{"topics acls --principal nobody=User:x", NULL, 2, "found 'nobody=User:x', expected ROLE=PRINCIPAL"},
	/* what all programs share */
	{"order run --log-level loud", NULL, 2, "--log-level: found 'loud'"},
	{"order run --log-format xml", NULL, 2, "--log-format: found 'xml'"},
	{"order run --config {}/nothing", NULL, 2, "No such file or directory"},
	{"order run --config {}/unknown.conf", NULL, 2, "unknown.conf:2: 'colour' is no setting of this command"},
	{"order run --config {}/value.conf", NULL, 2, "value.conf: found 'many'"},
	/* publish */
	{"publish", NULL, 2, "found nothing to publish"},
	{"publish {}/nothing", NULL, 1, "No such file or directory"},
	{"publish {}", NULL, 1, "found a folder, expected a file"},
	{"publish --orders 1 {}/file", NULL, 2, "found --orders and a FILE"},
	{"publish --orders x", NULL, 2, "--orders: found 'x'"},
	{"publish --orders 1 --skus 0", NULL, 2, "--skus: found '0'"},
	{"publish --orders 1 --skew 101", NULL, 2, "--skew: found '101'"},
	{"publish --orders 1 --hot-skus 0", NULL, 2, "--hot-skus: found '0'"},
	{"publish --orders 1 --lines 0", NULL, 2, "--lines: found '0', expected a number or MIN-MAX, from 1 to 4096"},
	{"publish --orders 1 --lines 5-2", NULL, 2, "--lines: found '5-2'"},
	{"publish --orders 1 --lines 5000", NULL, 2, "--lines: found '5000'"},
	{"publish --orders 1 --stock -1", NULL, 2, "--stock: found '-1'"},
	{"publish --orders 1 --ids uuid", NULL, 2, "--ids: found 'uuid'"},
	{"publish --orders 1 --seed x", NULL, 2, "--seed: found 'x'"},
	{"publish --orders 1 --rate -1", NULL, 2, "--rate: found '-1'"},
	{"publish --orders 1 --timeout 0", NULL, 2, "--timeout: found '0'"},
	{"publish --orders 1 --stock-cover 101", NULL, 2, "--stock-cover: found '101'"},
	{"publish --orders 1 --stock-cover 10", NULL, 2, "--stock-cover is for a CSV"},
	{"publish --orders 1 --cancel-one-in -1", NULL, 2, "--cancel-one-in: found '-1'"},
	{"publish --orders 1 --namespace nosuch", NULL, 1, "there is no topic nosuch.orders"},
	{"publish --format xml {}/file", NULL, 2, "--format: found 'xml'"},
	{"publish --only cats {}/file", NULL, 2, "--only: found 'cats'"},
	{"publish {}/header.csv", NULL, 1, "header.csv:1: header: found 'a' in column 1"},
	{"publish {}/quantity.csv", NULL, 1, "quantity.csv:2: Quantity: found 'zz'"},
	{"publish -", "{\"type\": \"OrderPlaced\"", 1, "found no JSON"},
	{"publish -", "[]\n", 1, "stdin:1: found no object, expected {"},
	{"publish -", "{\"type\": \"OrderPlacd\", \"event\": {}}\n", 1, "did you mean 'OrderPlaced'"},
	{"publish -", "{\"type\": \"OrderConfirmed\", \"event\": {}}\n", 1, "which only a worker sends"},
	{"publish -", ORDER("\"order_id\": \"1\""), 1, "currency"},
	{"publish -", ORDER("\"order_id\": 1, \"currency\": \"GBP\", \"placed_at\": 1, \"lines\": []"), 1, "order_id"},
	{"publish -", ORDER("\"order_id\": \"\", \"currency\": \"GBP\", \"placed_at\": 1, \"lines\": []"), 1,
         "order_id"},
	{"publish -", ORDER("\"order_id\": \"1\", \"currency\": \"GBP\", \"placed_at\": 1.5, \"lines\": []"), 1,
         "placed_at"},
	{"publish -", ORDER("\"order_id\": \"1\", \"currency\": \"GBP\", \"placed_at\": 1, \"lines\": [], \"more\": 1"),
         1, "more"},
	{"publish -",
         ORDER("\"order_id\": \"1\", \"currency\": \"GBP\", \"placed_at\": 1, \"lines\": [{\"sku\": \"A\", \"quantity\": \"one\","
               " \"unit_price_minor\": 1}]"),
         1, "quantity"},
	/* topics */
	{"topics", NULL, 2, "found 0 operands, expected one of create, check, list, delete"},
	{"topics nosuch", NULL, 2, "found 'nosuch', expected one of create, check, list, delete"},
	{"topics create check", NULL, 2, "found 2 operands, expected one of"},
	{"topics create --partitions 0", NULL, 2, "--partitions: found '0'"},
	{"topics create --partitions 3", NULL, 1, "pins 2 partitions, expected 3"},
	{"topics create --partitions-of nosuch=3", NULL, 2, "nosuch is no input of a service that writes"},
	{"topics create --partitions-of orders", NULL, 2, "expected TOPIC=N"},
	{"topics create --partitions-of orders=0", NULL, 2, "expected TOPIC=N"},
	{"topics check --namespace nosuch", NULL, 4, "does not exist"},
	{"topics delete", NULL, 2, "found no --yes, so nothing was deleted"},
	{"topics create --log local:/proc/nosuch", NULL, 1, "cannot make /proc/nosuch"},
	/* demo */
	{"demo a b", NULL, 2, "found 2 files, expected one file of orders at most"},
	{"demo {}/nothing", NULL, 2, "No such file or directory"},
	{"demo --local {}", NULL, 2, "expected a new or empty folder"},
	{"demo --partitions 0", NULL, 2, "--partitions: found '0'"},
	{"demo --partitions 65", NULL, 2, "--partitions: found '65'"},
	/* replay */
	{"replay", NULL, 2, "found no topic"},
	{"replay -t nosuch", NULL, 1, "there is no topic nosuch"},
	{"replay -t orders extra", NULL, 2, "found 'extra', expected options alone"},
	{"replay -t orders -p 9", NULL, 2, "-p: found 9, expected 0 to 1 of topic orders"},
	{"replay -t orders -p x", NULL, 2, "--partition: found 'x'"},
	{"replay -t orders -o nowhere", NULL, 2, "-o: found 'nowhere', expected beginning, end"},
	{"replay -t orders --to-offset -5", NULL, 2, "--to-offset: found '-5'"},
	{"replay -t orders --until-time yesterday", NULL, 2, "--until-time: found 'yesterday', expected"},
	{"replay -t orders --type Nosuch", NULL, 2, "--type: found 'Nosuch', expected an event such as OrderPlaced"},
	{"replay -t orders -c -1", NULL, 2, "--count: found '-1'"},
	{"replay -t orders --export {}/x.avro", NULL, 2, "--export needs --type"},
	{"replay -t orders --export /proc/x.avro --type OrderPlaced", NULL, 1, "cannot be created"},
	{"replay -t orders --codec zip", NULL, 2, "--codec: found 'zip'"},
	{"replay -t orders --to-topic nosuch", NULL, 1, "--create-topic makes it"},
	{"replay -t orders --to-topic orders", NULL, 2, "as source and target"},
	{"replay -t orders --to-log nosuch:x", NULL, 2, "is neither kafka://HOST:PORT,... nor local:DIR"},
	{"replay --import {}/nothing", NULL, 1, "nothing: cannot be opened: No such file or directory"},
	{"replay --import {}/file", NULL, 1, "file: no Avro container file (it does not begin with Obj 01)"},
	{"replay --import {}/file -t orders", NULL, 2, "--import takes a file to the topic of its events"},
	{"replay --mirror kafka://127.0.0.1:1", NULL, 2, "expected a folder or local:DIR"},
	/* explain, audit */
	{"explain", NULL, 2, "found 0 operands, expected one ORDER_ID"},
	{"explain a b", NULL, 2, "found 2 operands, expected one ORDER_ID"},
	{"explain nosuch", NULL, 1, "no file knows order nosuch"},
	{"audit extra", NULL, 2, "found 'extra', expected options alone"},
	{"audit --timeout x", NULL, 2, "--timeout: found 'x'"},
	{"audit --namespace nosuch", NULL, 1, "no topic begins with a genesis"},
};

/* These wait before they give up: for a broker that is not there, for a folder that cannot be made. They run beside the others. */
static const struct input slow_inputs[] = {
	{"order run --until-end --data {}/file", NULL, 3, "Not a directory"},
	{"order run -b 127.0.0.1:1 --until-end", NULL, 1, "127.0.0.1:1"},
	{"publish --orders 1 -b 127.0.0.1:1", NULL, 1, "nothing was sent"},
	{"topics check -b 127.0.0.1:1", NULL, 1, "127.0.0.1:1"},
	{"replay -t orders -b 127.0.0.1:1", NULL, 1, "127.0.0.1:1"},
	{"audit -b 127.0.0.1:1", NULL, 1, "127.0.0.1:1"},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static struct rig rig;

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(arena_format(&rig.arena, "%s/%s", rig.folder, name), "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* A log whose topics are there, and begin with nothing. */
static void make_bare_log(void)
{
	struct log *log;
	struct err err = {0};
	struct rig_result result;
	const char *url = arena_format(&rig.arena, "local:%s/bare", rig.folder);
	const struct log_config config = {.seam = &seam_system};
	rig_run(&rig, &result, 30, "topics create --log local:%s/bare --partitions 1 --dry-run", rig.folder);
	assert_int_equal(result.exit_status, 0);
	assert_int_equal(log_open(url, &config, &log, &err), OK);
	const struct log_topic topics[] = {{.name = "orders", .partitions = 1}, {.name = "inventory", .partitions = 1}};
	for (size_t i = 0; i < 2; i++)
		if (log_topic_create(log, &topics[i], &err) != OK)
			fail_msg("%s", err.text);
	log_close(log);
}

static int open_surroundings(void **state)
{
	(void)state;
	rig_open_topics(&rig, 2, 2);
	make_bare_log();
	write_file("file", "");
	write_file("unknown.conf", "# a remark\ncolour = red\n");
	write_file("value.conf", "commit-records = many\n");
	write_file("header.csv", "a,b\n1,2\n");
	write_file("quantity.csv", "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
	                           "1,A,x,zz,2010-12-01T08:26:00Z,1.0,,UK\n");
	return 0;
}

static const char *with_folder(const char *command)
{
	const char *at = strstr(command, "{}");
	return at ? arena_format(&rig.arena, "%.*s%s%s", (int)(at - command), command, rig.folder, at + 2) : command;
}

static bool is_as_expected(const struct input *input, const char *command, int exit_status, const char *out,
                           const char *err)
{
	bool says = strstr(out, input->says) || strstr(err, input->says);
	if (exit_status == input->exit_status && says)
		return true;
	print_message("tandem %s\n  %s%sended with %d, expected %d and '%s'; it wrote:\n%s%s\n", command,
	              input->in ? input->in : "", input->in ? "  " : "", exit_status, input->exit_status, input->says,
	              out, err);
	return false;
}

static bool holds(const struct input *input)
{
	struct rig_result result;
	const char *command = with_folder(input->command);
	rig_run_with(&rig, &result, 120, input->in ? input->in : "", "%s", command);
	return is_as_expected(input, command, result.exit_status, result.out, result.err);
}

static void every_wrong_input_is_refused_with_its_status_and_a_reason(void **state)
{
	(void)state;
	struct rig_process *slow[COUNT(slow_inputs)];
	int wrong = 0;
	for (size_t i = 0; i < COUNT(slow_inputs); i++)
		slow[i] = rig_start(&rig, arena_format(&rig.arena, "slow-%zu", i), "%s",
		                    with_folder(slow_inputs[i].command));
	for (size_t i = 0; i < COUNT(inputs); i++)
		wrong += !holds(&inputs[i]);
	for (size_t i = 0; i < COUNT(slow_inputs); i++) {
		int exit_status = rig_end(&rig, slow[i], 0, 120);
		wrong += !is_as_expected(&slow_inputs[i], with_folder(slow_inputs[i].command), exit_status,
		                         rig_words(&rig, slow[i]), "");
	}
	print_message("%zu inputs, %d not refused as they should be\n", COUNT(inputs) + COUNT(slow_inputs), wrong);
	assert_int_equal(wrong, 0);
	rig.passed = true;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(every_wrong_input_is_refused_with_its_status_and_a_reason,
	                                                 open_surroundings, rig_teardown, &rig),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
