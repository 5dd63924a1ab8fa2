/* tandem top: how workers are doing, refreshed: a row a partition. Of this machine's from their files and the log; of others, by what
 * they show over HTTP. */
#include "top/top.h"

#include "command.h"
#include "interrupt.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define SLICE_MS      100
#define ANSWER_MS_MAX 3000
#define REMOTE_MS_MIN 1000 /* a worker's page is made once a second */

static const char summary[] =
	"Shows how workers are doing, every --interval: a row a partition of each service that has files under --data. With\n"
	"--url the workers there are asked instead, and no file or log is. On a terminal the table stays in its place;\n"
	"elsewhere each look adds lines.\n"
	"RECORDS/S: folded (from files: and committed) since the last look. LAG: records of the log that are not. BEHIND: the\n"
	"age of the oldest of them, by this machine's clock or the worker's. LATENCY: 99 of 100 outcomes of the worker since the\n"
	"last look were out so long after their record. WRONG: what `tandem SERVICE status` explains.";

static const char examples[] = "  tandem top --log local:demo --data state\n"
			       "  tandem top -b localhost:9092 --data state --interval 5s order\n"
			       "  tandem top --url http://order-1:9464 --url http://inventory-1:9464/metrics\n"
			       "  tandem top --log local:demo --data state --count 10 -J | jq .lag\n";

struct settings {
	struct top_settings of_source;
	int64_t interval_ms, count;
	bool json;
};

struct top {
	const struct settings *settings;
	struct top_files *files; /* or */
	struct top_workers *workers;
	struct top_table table;
	bool terminal, answered;
};

/* ---- the loop ---- */

static void look(struct top *top)
{
	top_table_reset(&top->table);
	top->answered = true;
	if (top->workers)
		top->answered = top_workers_look(top->workers, &top->table);
	else
		top_files_look(top->files, &top->table);
}

static void show_table(struct top *top)
{
	const struct seam *seam = top->settings->of_source.seam;
	if (top->settings->json)
		top_show_json(&top->table, seam);
	else if (top->terminal)
		top_show_on_terminal(&top->table, seam);
	else
		top_show_plainly(&top->table, seam);
}

static void rest(int64_t ms)
{
	for (; ms > 0 && !interrupt_requested(); ms -= SLICE_MS)
		poll(NULL, 0, ms < SLICE_MS ? (int)ms : SLICE_MS);
}

/* The first look is not shown: there is no rate yet. */
static int show(struct top *top)
{
	look(top);
	if (top->terminal)
		fputs("\033[2J", stdout);
	for (int64_t shown = 0; !top->settings->count || shown < top->settings->count; shown++) {
		rest(top->settings->interval_ms);
		if (!interrupt_requested())
			look(top);
		if (interrupt_requested())
			return EXIT_DONE;
		show_table(top);
		if (fflush(stdout) != 0)
			return EXIT_FAILED;
	}
	return top->answered ? EXIT_DONE : EXIT_FAILED;
}

static int run(const struct config *config, void *arg)
{
	struct settings *settings = arg;
	int exit_status = EXIT_DONE;
	struct top top = {.settings = settings, .terminal = isatty(STDOUT_FILENO) && !settings->json};
	struct top_settings *of_source = &settings->of_source;
	of_source->config = config;
	of_source->timeout_ms = settings->interval_ms < ANSWER_MS_MAX ? settings->interval_ms : ANSWER_MS_MAX;
	top.table.remote = of_source->urls.count > 0;
	for (size_t i = 0; i < config->rest_count; i++)
		if (!command_service(config->rest[i]))
			return config_misuse(config, "found '%s', expected the name of a service, such as order",
			                     config->rest[i]);
	if (top.table.remote && settings->interval_ms < REMOTE_MS_MIN)
		return config_misuse(config, "--interval: found %lld ms, expected 1s or more where workers are asked",
		                     (long long)settings->interval_ms);
	if (top.table.remote)
		top.workers = top_workers_open(of_source, &exit_status);
	else
		top.files = top_files_open(of_source, &exit_status);
	if (top.workers || top.files)
		exit_status = show(&top);
	top_table_fini(&top.table);
	top_workers_close(top.workers);
	top_files_close(top.files);
	return exit_status;
}

static int top(int argc, char **argv)
{
	struct settings settings = {.of_source = {.seam = &seam_system, .data = "data"}, .interval_ms = 2000};
	const struct config_option options[] = {
		CONFIG_DATA_OPTION(&settings.of_source.data),
		{.name = "url",
	         .letter = 'u',
	         .kind = CONFIG_LIST,
	         .value = &settings.of_source.urls,
	         .placeholder = "URL",
	         .help = "a worker's --listen, like http://HOST:PORT; may be given several times"},
		{.name = "interval",
	         .kind = CONFIG_DURATION,
	         .value = &settings.interval_ms,
	         .min = 100,
	         .max = 3600000,
	         .placeholder = "TIME",
	         .help = "between two looks"},
		{.name = "count",
	         .letter = 'c',
	         .kind = CONFIG_INT,
	         .value = &settings.count,
	         .min = 0,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "end after so many; 0: never"},
		CONFIG_JSON_OPTION(&settings.json, "print JSON, a line a partition"),
	};
	const struct config_program program = {.usage = "tandem top [options] [SERVICE...]",
	                                       .summary = summary,
	                                       .examples = examples,
	                                       .options = options,
	                                       .option_count = sizeof options / sizeof *options};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command top_command = {
	.name = "top", .summary = "how the workers of this machine are doing, refreshed", .main = top};
