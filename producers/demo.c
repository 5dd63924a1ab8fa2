/* tandem demo: the main job on this machine, from nothing: topics, real orders, both workers as processes of their own, a kill
 * -9 in the middle, the outcome, the story of one order, verify and audit.
 *
 * Everything is done by the commands a person would type, run as processes, and each is shown before it runs. Only the
 * outcome is counted here, from order-events, as an outside reader would. */
#include "command.h"
#include "config.h"
#include "demo/demo.h"
#include "interrupt.h"
#include "mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char examples[] =
	"  tandem demo                                       on a log in a folder of its own, removed at the end\n"
	"  tandem demo --local /tmp/shop                     the same, the folder is kept\n"
	"  tandem demo -b localhost:9092 orders.csv          on a broker, with orders of your own\n";

#define SECOND_BATCH "4000" /* generated orders, in the middle of which a worker is killed */

struct options {
	const char *local;
	int64_t partitions;
};

/* --stock 150 of each SKU fills about nine in ten of the generated orders, as --stock-cover 90 does of the real ones. */
static bool publish_stock(struct demo *demo)
{
	demo_say("Stock: so much that about nine orders in ten can be filled.");
	if (demo->csv && !demo_run(demo, "publish", "--only", "receipts", "--stock-cover", "90", demo->csv, NULL))
		return false;
	if (!demo_run(demo, "publish", "--only", "receipts", "--orders", SECOND_BATCH, "--skus", "200", "--stock",
	              "150", NULL))
		return false;
	return demo_run(demo, "inventory", "run", "--until-end", NULL);
}

static bool first_batch(struct demo *demo)
{
	demo_say("Both workers start, each a process of its own.");
	if (!demo_start(demo, &demo->order) || !demo_start(demo, &demo->inventory))
		return false;
	if (!demo->csv)
		return true;
	demo_say("Orders: real ones, one in fifty cancelled by its customer.");
	return demo_run(demo, "publish", "--only", "orders", "--stock-cover", "90", "--cancel-one-in", "50", demo->csv,
	                NULL) &&
	       demo_run(demo, "audit", "--wait", NULL);
}

static bool second_batch(struct demo *demo)
{
	demo_say("A second batch. In the middle of it the order worker is killed with SIGKILL, and comes back.");
	struct demo_process publisher = {.name = "publish"};
	if (!demo_spawn(demo, &publisher, "publish", "--only", "orders", "--orders", SECOND_BATCH, "--skus", "200",
	                NULL))
		return false;
	bool killed = demo_kill_busy(demo, &demo->order);
	if (!demo_wait(demo, &publisher) || !killed)
		return false;
	return demo_start(demo, &demo->order) && demo_run(demo, "audit", "--wait", NULL);
}

static bool prove(struct demo *demo)
{
	demo_say("Is the state what the log determines? Every partition is folded afresh and compared.");
	if (!demo_run(demo, "order", "verify", NULL) || !demo_run(demo, "inventory", "verify", NULL))
		return false;
	demo_say("Do the services agree, stream by stream and order by order?");
	return demo_run(demo, "audit", NULL);
}

static bool play(struct demo *demo)
{
	demo_say("An installation: its topics, each partition beginning with a genesis record.");
	if (!demo_run(demo, "topics", "create", "--partitions", demo->partitions,
	              demo->config->secret_file ? "--keyed" : NULL, NULL))
		return false;
	if (!publish_stock(demo) || !first_batch(demo) || !second_batch(demo))
		return false;
	if (!demo_stop(demo, &demo->order) || !demo_stop(demo, &demo->inventory))
		return false;
	if (!demo_outcome(demo))
		return false;
	if (*demo->story) {
		demo_say("The story of one order, across both services.");
		if (!demo_run(demo, "explain", demo->story, NULL))
			return false;
	}
	return prove(demo);
}

/* Commands that work when pasted: where the folder does not stay, the first of them makes one that does. */
static void say_what_next(const struct demo *demo)
{
	static const struct {
		const char *command;
		bool story, data;
	} next[] = {{"replay -t order-events -c 3", false, false},
	            {"order status", false, true},
	            {"explain", true, true},
	            {"order verify", false, true},
	            {"audit", false, true}};
	const char *folder = demo->keep ? demo->folder : "/tmp/tandem-shop";
	printf("\nAll of it holds. What to try next:\n");
	if (!demo->keep)
		printf("  %s demo --local %s%s%s %s\n", demo->program, folder,
		       demo->config->secret_file ? " --secret-file " : "",
		       demo->config->secret_file ? demo->config->secret_file : "", demo->csv ? demo->csv : "");
	for (size_t i = 0; i < sizeof next / sizeof *next; i++) {
		printf("  %s %s%s%s", demo->program, next[i].command, next[i].story ? " " : "",
		       next[i].story ? demo->story : "");
		if (demo->keep && demo->on_broker)
			printf(" %s", demo->log_options);
		else
			printf(" --log local:%s/log", folder);
		if (next[i].data)
			printf(" --data %s/state", folder);
		if (next[i].data && demo->config->secret_file)
			printf(" --secret-file %s", demo->config->secret_file);
		printf("\n");
	}
}

static int run(const struct config *config, void *arg)
{
	const struct options *options = arg;
	struct demo demo = {0};
	if (config->rest_count > 1)
		return config_misuse(config, "found %zu files, expected one file of orders at most",
		                     config->rest_count);
	int exit_status = demo_open(&demo, config, options->local, (int)options->partitions);
	if (exit_status == EXIT_DONE) {
		bool played = play(&demo);
		if (played)
			say_what_next(&demo);
		exit_status = played ? EXIT_DONE : interrupt_requested() ? EXIT_INTERRUPTED : EXIT_FAILED;
	}
	demo_close(&demo);
	return exit_status;
}

static int demo_main(int argc, char **argv)
{
	struct options options = {.partitions = 4};
	const struct config_option table[] = {
		{.name = "local",
	         .kind = CONFIG_TEXT,
	         .value = &options.local,
	         .placeholder = "DIR",
	         .help = "keep log and state in this folder, which must be new or empty"},
		{.name = "partitions",
	         .kind = CONFIG_INT,
	         .value = &options.partitions,
	         .min = 1,
	         .max = 64,
	         .placeholder = "N",
	         .help = "of each input topic"},
	};
	const struct config_program program = {
		.usage = "tandem demo [options] [ORDERS.csv]",
		.summary =
			"Shows the whole of Tandem on this machine: topics, stock, orders, both workers, a kill -9, the outcome,\n"
			"the story of one order, verify and audit. ORDERS.csv is of Online Retail's form; without it orders are\n"
			"generated. On a broker it uses a namespace of its own, which it deletes at the end.",
		.examples = examples,
		.options = table,
		.option_count = sizeof table / sizeof *table};
	return config_run(&program, argc, argv, run, &options);
}

const struct command demo_command = {
	.name = "demo",
	.summary = "all of it on this machine: topics, workers, real orders, verify and audit",
	.main = demo_main,
};
