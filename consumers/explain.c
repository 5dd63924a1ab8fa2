/* tandem explain: the story of one order, from the workers' files and the logs. The work is in explain/. */
#include "explain/story.h"

#include "command.h"
#include "config.h"
#include "service.h"

#include <string.h>
#include <unistd.h>

struct settings {
	struct config_list data;
	bool json;
};

static const char summary[] =
	"Tells what became of an order and why: every event of both services in the order of cause and effect, with its\n"
	"place, the time since what led to it, and for a rejection the numbers behind it. It begins with what the\n"
	"workers' files know (--data; they may be running) and reads those very records; the rest is found by time, at\n"
	"most 10,000 records each way, and what is not found is said. Of an order that no file knows the newest 10,000\n"
	"dead letters are looked at. No topic is read from its start.";

static const char examples[] =
	"  tandem explain --log local:demo --data state 536365\n"
	"  tandem explain -b localhost:9092 --data /data/order --data /data/inventory 536365\n"
	"                                                      files of workers with a folder each\n"
	"  tandem explain -J 536365 | jq -r '.events[] | [.type, .details] | @tsv'\n";

/* No file knows it, and no dead letter that was looked at is about it: the places say why. */
static int unknown(const struct story *story)
{
	fprintf(stderr, "tandem explain: no file knows order %s of orders/%d, nor a dead letter; looked at:\n",
	        story->order_id, (int)story->partition);
	for (size_t i = 0; i < story->looked_count; i++)
		fprintf(stderr, "  %s\n", story->looked_at[i]);
	if (story->older_letters)
		fprintf(stderr,
		        "An order that was refused is a dead letter, and older ones than these were not looked at:"
		        " tandem replay -t orders.dlq --key '%s'\n",
		        story->order_id);
	else
		fputs("No dead letter is about it. Was it published, and has the order worker come so far?"
		      " tandem order status\n",
		      stderr);
	return EXIT_FAILED;
}

static int tell(const struct settings *settings, struct log *log, const char *order_id)
{
	struct story story;
	struct err err = {0};
	int exit_status = EXIT_FAILED;
	if (story_tell(&story, log, order_id, settings->data.items, settings->data.count, &err) != OK) {
		fprintf(stderr, "tandem explain: %s\n", err.text);
		exit_status = config_exit_status(&err);
	} else if (!story.event_count && !story.placed && !story.cancel_requested) {
		exit_status = unknown(&story);
	} else {
		if (settings->json)
			story_print_json(&story, stdout);
		else
			story_print(&story, stdout, isatty(STDOUT_FILENO));
		exit_status = story.missing_count ? EXIT_PARTLY : EXIT_DONE;
	}
	story_free(&story);
	return exit_status;
}

static int run(const struct config *config, void *arg)
{
	int exit_status;
	if (config->rest_count != 1)
		return config_misuse(config, "found %zu operands, expected one ORDER_ID", config->rest_count);
	const char *order_id = config->rest[0];
	if (!service_id_valid(order_id))
		return config_misuse(config, "found '%s', expected an ORDER_ID of 1 to 64 printable ASCII bytes",
		                     order_id);
	struct log *log = config_open_log(config, &exit_status);
	if (!log)
		return exit_status;
	exit_status = tell(arg, log, order_id);
	log_close(log);
	return exit_status;
}

static int explain_main(int argc, char **argv)
{
	const char *here[] = {"data"};
	struct settings settings = {.data = {here, 1}};
	const struct config_option table[] = {
		CONFIG_DATA_LIST_OPTION(&settings.data),
		CONFIG_JSON_OPTION(&settings.json,
	                           "print one JSON object: the events, each with the index of its cause"),
	};
	const struct config_program program = {.usage = "tandem explain [options] ORDER_ID",
	                                       .summary = summary,
	                                       .examples = examples,
	                                       .options = table,
	                                       .option_count = sizeof table / sizeof *table};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command explain_command = {
	.name = "explain", .summary = "the story of one order: what led to what, and why", .main = explain_main};
