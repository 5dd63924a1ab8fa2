/* config: precedence, refusals, help and secrets. */
#include "command.h"
#include "config.h"
#include "mem.h"
#include "support/capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct fixture {
	int64_t count, wait_ms;
	bool flag;
	const char *word, *secret;
	struct config_list list;
	struct config_time since;
	int choice;
	struct config config;
	int exit_status;
	char out[16384], err[4096];
} f;

static const char *const colours[] = {"red", "green", NULL};
static const struct config_option options[] = {
	{.name = "count",
         .letter = 'n',
         .kind = CONFIG_INT,
         .value = &f.count,
         .min = 1,
         .max = 100,
         .placeholder = "N",
         .help = "how many"},
	{.name = "wait", .kind = CONFIG_DURATION, .value = &f.wait_ms, .placeholder = "TIME", .help = "how long"},
	{.name = "flag", .letter = 'f', .kind = CONFIG_FLAG, .value = &f.flag, .help = "whether"},
	{.name = "some-word", .kind = CONFIG_TEXT, .value = &f.word, .placeholder = "WORD", .help = "which"},
	{.name = "pass",
         .kind = CONFIG_TEXT,
         .value = &f.secret,
         .placeholder = "TEXT",
         .help = "the secret",
         .secret = true},
	{.name = "since", .kind = CONFIG_TIME, .value = &f.since, .placeholder = "TIME", .help = "since when"},
	{.name = "item", .kind = CONFIG_LIST, .value = &f.list, .placeholder = "ITEM", .help = "several"},
	{.name = "colour",
         .kind = CONFIG_CHOICE,
         .value = &f.choice,
         .choices = colours,
         .placeholder = "C",
         .help = "a colour"},
};
static struct config_program program = {.usage = "tandem probe [options] FILE...",
                                        .summary = "Probes.",
                                        .examples = "  tandem probe -n 3\n",
                                        .options = options,
                                        .option_count = sizeof options / sizeof *options};

/* Parses the words up to a NULL behind "probe". */
static void parse(const char *const *words)
{
	struct capture out, err;
	static char *argv[32]; /* what is left of it stays in f.config.rest */
	argv[0] = (char *)(uintptr_t) "probe";
	int argc = 1;
	while (words[argc - 1]) {
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
		argc++;
	}
	config_free(&f.config);
	f = (struct fixture){.count = 7, .word = "default"};
	capture_begin(&out, STDOUT_FILENO);
	capture_begin(&err, STDERR_FILENO);
	config_parse(&program, argc, argv, &f.config, &f.exit_status);
	snprintf(f.err, sizeof f.err, "%s", capture_end(&err));
	snprintf(f.out, sizeof f.out, "%s", capture_end(&out));
	capture_free(&err);
	capture_free(&out);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})
#define REFUSED(text)                                                                                                  \
	do {                                                                                                           \
		assert_int_equal(f.exit_status, EXIT_USAGE);                                                           \
		assert_non_null(strstr(f.err, text));                                                                  \
	} while (0)

static const char *write_file(const char *text)
{
	static char path[64];
	snprintf(path, sizeof path, "/tmp/tandem-config-XXXXXX");
	int fd = mkstemp(path);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	return path;
}

static int forget(void **state)
{
	(void)state;
	config_free(&f.config);
	static const char *const names[] = {
		"TANDEM_COUNT",     "TANDEM_SOME_WORD", "TANDEM_LOG",         "TANDEM_PASS",
		"TANDEM_PASS_FILE", "TANDEM_ITEM",      "TANDEM_X_CLIENT_ID", "TANDEM_X_SASL_PASSWORD_FILE",
		"TANDEM_FLAG",      "TANDEM_NAMESPACE", "TANDEM_CONFIG"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(names[i]);
	return 0;
}

static void defaults_stand_where_nothing_is_given(void **state)
{
	(void)state;
	PARSE(NULL);
	assert_int_equal(f.exit_status, -1);
	assert_int_equal(f.count, 7);
	assert_string_equal(f.word, "default");
	assert_string_equal(f.config.name_space, "");
	assert_null(f.config.log);
}

static void a_flag_wins_over_the_environment_and_that_over_the_file(void **state)
{
	(void)state;
	const char *path = write_file("# a comment\n\ncount = 3\n  some-word=from file = yes \nitem = a\nitem = b\n");
	PARSE("--config", path);
	assert_int_equal(f.exit_status, -1);
	assert_int_equal(f.count, 3);
	assert_string_equal(f.word, "from file = yes");
	assert_int_equal(f.list.count, 2);
	setenv("TANDEM_COUNT", "4", 1);
	setenv("TANDEM_ITEM", "x, y ,z", 1);
	PARSE("--config", path);
	assert_int_equal(f.count, 4);
	assert_int_equal(f.list.count, 3);
	assert_string_equal(f.list.items[1], "y");
	PARSE("-n", "5", "--config", path, "--item=only");
	assert_int_equal(f.count, 5);
	assert_int_equal(f.list.count, 1);
	assert_string_equal(f.list.items[0], "only");
	setenv("TANDEM_CONFIG", path, 1);
	unsetenv("TANDEM_COUNT");
	PARSE(NULL);
	assert_int_equal(f.count, 3);
	unlink(path);
}

static void operands_may_stand_between_options(void **state)
{
	(void)state;
	PARSE("one", "-f", "two", "--", "-three");
	assert_true(f.flag);
	assert_int_equal(f.config.rest_count, 3);
	assert_string_equal(f.config.rest[2], "-three");
}

static void brokers_are_a_log(void **state)
{
	(void)state;
	PARSE("-b", "one:9092,two:9092");
	assert_string_equal(f.config.log, "kafka://one:9092,two:9092");
	setenv("TANDEM_LOG", "local:/x", 1);
	PARSE("-b", "one:9092");
	assert_string_equal(f.config.log, "kafka://one:9092");
	PARSE(NULL);
	assert_string_equal(f.config.log, "local:/x");
	PARSE("-b", "one:9092", "--log", "local:x");
	REFUSED("expected one of them");
}

static void values_out_of_range_or_of_another_kind_are_refused(void **state)
{
	(void)state;
	PARSE("-n", "101");
	REFUSED("--count: found '101', expected a whole number from 1 to 100");
	PARSE("-n", "9x");
	REFUSED("found '9x'");
	PARSE("-n", "99999999999999999999");
	REFUSED("found '99999999999999999999'");
	PARSE("--wait", "3 weeks");
	REFUSED("expected a duration");
	PARSE("--wait", "9223372036854775807h");
	REFUSED("expected a duration");
	PARSE("--colour", "blue");
	REFUSED("--colour: found 'blue', expected one of red, green");
	setenv("TANDEM_FLAG", "maybe", 1);
	PARSE(NULL);
	REFUSED("TANDEM_FLAG: found 'maybe', expected true or false");
	unsetenv("TANDEM_FLAG");
	PARSE("--namespace", "a.b");
	REFUSED("--namespace");
}

static void durations_take_units(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {{"250ms", 250}, {"10s", 10000}, {"5m", 300000}, {"2h", 7200000}, {"17", 17}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		PARSE("--wait", cases[i].text);
		assert_int_equal(f.wait_ms, cases[i].ms);
	}
}

static void a_time_is_milliseconds_or_iso_8601_and_may_be_missing(void **state)
{
	(void)state;
	PARSE(NULL);
	assert_false(f.since.given);
	PARSE("--since", "1970-01-01T00:00:02Z");
	assert_true(f.since.given);
	assert_int_equal(f.since.ms, 2000);
	PARSE("--since=17", "--print-config");
	assert_non_null(strstr(f.out, "\nsince = 17\n"));
	PARSE("--print-config");
	assert_non_null(strstr(f.out, "\n#since = \n"));
	PARSE("--since", "yesterday");
	REFUSED("--since: found 'yesterday', expected milliseconds since 1970 or ISO 8601 such as");
}

struct ran {
	int times;
	bool flag;
};

static int run(const struct config *config, void *arg)
{
	struct ran *ran = arg;
	ran->times++;
	ran->flag = f.flag;
	return config->rest_count ? EXIT_PARTLY : EXIT_DONE;
}

static void a_program_is_run_with_what_was_parsed_and_gives_its_status(void **state)
{
	(void)state;
	struct capture err;
	struct ran ran = {0};
	char *good[] = {"probe", "-f", "operand", NULL}, *wrong[] = {"probe", "--nonsense", NULL};
	f = (struct fixture){.count = 7};
	assert_int_equal(config_run(&program, 3, good, run, &ran), EXIT_PARTLY);
	assert_int_equal(ran.times, 1);
	assert_true(ran.flag);
	capture_begin(&err, STDERR_FILENO);
	int exit_status = config_run(&program, 2, wrong, run, &ran);
	capture_end(&err);
	capture_free(&err);
	assert_int_equal(exit_status, EXIT_USAGE);
	assert_int_equal(ran.times, 1);
}

static void a_mistyped_name_is_answered_with_the_nearest(void **state)
{
	(void)state;
	PARSE("--cuont", "3");
	REFUSED("did you mean '--count'?");
	PARSE("-q");
	REFUSED("unknown option '-q'");
	PARSE("--count");
	REFUSED("option '--count' needs a value");
	const char *path = write_file("count = 1\nsome-wrod = x\n");
	PARSE("--config", path);
	REFUSED(":2: 'some-wrod' is no setting of this command; did you mean 'some-word'?");
	unlink(path);
	path = write_file("count 1\n");
	PARSE("--config", path);
	REFUSED(":1: found 'count 1', expected 'name = value'");
	unlink(path);
	PARSE("--config", "/nowhere/at/all");
	REFUSED("/nowhere/at/all: No such file");
}

static void properties_are_merged_by_name(void **state)
{
	(void)state;
	const char *path = write_file("property = client.id=from-file\nproperty = linger.ms=5\n");
	setenv("TANDEM_X_CLIENT_ID", "from-environment", 1);
	PARSE("--config", path, "-X", "linger.ms=7", "-X", "debug=broker");
	assert_int_equal(f.exit_status, -1);
	assert_int_equal(f.config.setting_count, 3);
	assert_string_equal(f.config.settings[0].name, "client.id");
	assert_string_equal(f.config.settings[0].value, "from-environment");
	assert_string_equal(f.config.settings[1].value, "7");
	unlink(path);
	PARSE("-X", "no-equals");
	REFUSED("expected for example");
}

static void properties_the_protocol_rests_on_are_refused_with_the_reason(void **state)
{
	(void)state;
	static const char *const names[] = {"group.id",
	                                    "enable.auto.commit",
	                                    "enable.auto.offset.store",
	                                    "auto.offset.reset",
	                                    "isolation.level",
	                                    "check.crcs",
	                                    "enable.partition.eof",
	                                    "enable.idempotence",
	                                    "acks",
	                                    "partitioner",
	                                    "message.timeout.ms",
	                                    "message.max.bytes",
	                                    "transactional.id",
	                                    "request.required.acks",
	                                    "session.timeout.ms",
	                                    "max.poll.interval.ms",
	                                    "heartbeat.interval.ms",
	                                    "group.instance.id",
	                                    "allow.auto.create.topics",
	                                    "bootstrap.servers"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *pair = mem_format("%s=x", names[i]),
		     *text = mem_format("property '%s' cannot be set: ", names[i]);
		PARSE("-X", pair);
		REFUSED(text);
		mem_free(pair);
		mem_free(text);
	}
}

static void a_cooperative_assignment_needs_a_newer_librdkafka(void **state)
{
	(void)state;
	const char *name = "partition.assignment.strategy";
	assert_non_null(config_property_refused(name, "cooperative-sticky", 0x020000ff));
	assert_non_null(config_property_refused(name, "range,cooperative-sticky", 0x020900ff));
	assert_null(config_property_refused(name, "cooperative-sticky", 0x020a00ff));
	assert_null(config_property_refused(name, "range", 0x020000ff));
}

static void secrets_come_from_files_and_are_never_printed(void **state)
{
	(void)state;
	const char *path = write_file("hunter2\n");
	PARSE("--pass-file", path);
	assert_string_equal(f.secret, "hunter2");
	setenv("TANDEM_PASS_FILE", path, 1);
	setenv("TANDEM_X_SASL_PASSWORD_FILE", path, 1);
	PARSE(NULL);
	assert_string_equal(f.secret, "hunter2");
	assert_string_equal(f.config.settings[0].name, "sasl.password");
	assert_string_equal(f.config.settings[0].value, "hunter2");
	PARSE("--print-config", "-n", "8", "-X", "client.id=shop");
	assert_int_equal(f.exit_status, EXIT_DONE);
	assert_null(strstr(f.out, "hunter2"));
	assert_non_null(strstr(f.out, "pass = (redacted)\n"));
	assert_non_null(strstr(f.out, "property = sasl.password=(redacted)\n"));
	assert_non_null(strstr(f.out, "property = client.id=shop\n"));
	assert_non_null(strstr(f.out, "# from the flag\ncount = 8\n"));
	PARSE("--some-word-file", path);
	assert_int_equal(f.exit_status, EXIT_USAGE);
	PARSE("-X", "sasl.password=hunter2"); /* which ps would show */
	assert_int_equal(f.exit_status, EXIT_USAGE);
	char pair[200];
	snprintf(pair, sizeof pair, "sasl.password-file=%s", path);
	PARSE("-X", pair);
	assert_int_equal(f.exit_status, -1);
	unlink(path);
}

static void what_print_config_prints_can_be_read_again(void **state)
{
	(void)state;
	PARSE("--print-config", "-n", "9", "--wait", "90s", "-f", "--colour", "green", "-b", "h:1", "--item", "a");
	assert_int_equal(f.exit_status, EXIT_DONE);
	const char *path = write_file(f.out);
	PARSE("--config", path);
	assert_int_equal(f.exit_status, -1);
	assert_int_equal(f.count, 9);
	assert_int_equal(f.wait_ms, 90000);
	assert_int_equal(f.choice, 1);
	assert_true(f.flag);
	assert_string_equal(f.config.log, "kafka://h:1");
	unlink(path);
}

static void help_shows_every_option_defaults_and_examples(void **state)
{
	(void)state;
	PARSE("--help", "--colour", "nonsense");
	assert_int_equal(f.exit_status, EXIT_DONE);
	assert_non_null(strstr(f.out, "usage: tandem probe [options] FILE..."));
	assert_non_null(strstr(f.out, "-n, --count N"));
	assert_non_null(strstr(f.out, "(default 7)"));
	assert_non_null(strstr(f.out, "-X, --property NAME=VALUE"));
	assert_non_null(strstr(f.out, "examples:\n  tandem probe -n 3\n"));
	PARSE("--version");
	assert_int_equal(f.exit_status, EXIT_DONE);
	assert_int_equal(strncmp(f.out, "tandem probe ", 13), 0);
}

static void a_program_without_a_log_has_no_log_options_but_shares_the_file(void **state)
{
	(void)state;
	program.no_log = true;
	const char *path = write_file("log = local:x\ncount = 2\n");
	PARSE("--config", path);
	assert_int_equal(f.exit_status, -1);
	assert_null(f.config.log);
	assert_int_equal(f.count, 2);
	PARSE("--help");
	assert_null(strstr(f.out, "--brokers"));
	program.no_log = false;
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(defaults_stand_where_nothing_is_given, forget),
		cmocka_unit_test_teardown(a_flag_wins_over_the_environment_and_that_over_the_file, forget),
		cmocka_unit_test_teardown(operands_may_stand_between_options, forget),
		cmocka_unit_test_teardown(brokers_are_a_log, forget),
		cmocka_unit_test_teardown(values_out_of_range_or_of_another_kind_are_refused, forget),
		cmocka_unit_test_teardown(durations_take_units, forget),
		cmocka_unit_test_teardown(a_time_is_milliseconds_or_iso_8601_and_may_be_missing, forget),
		cmocka_unit_test_teardown(a_program_is_run_with_what_was_parsed_and_gives_its_status, forget),
		cmocka_unit_test_teardown(a_mistyped_name_is_answered_with_the_nearest, forget),
		cmocka_unit_test_teardown(properties_are_merged_by_name, forget),
		cmocka_unit_test_teardown(properties_the_protocol_rests_on_are_refused_with_the_reason, forget),
		cmocka_unit_test_teardown(a_cooperative_assignment_needs_a_newer_librdkafka, forget),
		cmocka_unit_test_teardown(secrets_come_from_files_and_are_never_printed, forget),
		cmocka_unit_test_teardown(what_print_config_prints_can_be_read_again, forget),
		cmocka_unit_test_teardown(help_shows_every_option_defaults_and_examples, forget),
		cmocka_unit_test_teardown(a_program_without_a_log_has_no_log_options_but_shares_the_file, forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
