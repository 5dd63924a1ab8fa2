/* tandem publish: events from JSON lines, from a CSV of orders, or generated. The work is in publish/. */
#include "publish/run.h"

#include "command.h"
#include "config.h"
#include "interrupt.h"
#include "trace_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum format { FORMAT_AUTO, FORMAT_JSONL, FORMAT_CSV };

static const char *const formats[] = {"auto", "jsonl", "csv", NULL};
static const char *const selections[] = {"all", "receipts", "orders", NULL}; /* enum publish_only */
static const char *const id_kinds[] = {"time", "random", NULL};              /* enum generate_ids */
static const char *const trace_ids[] = {"random", "seed", NULL};             /* enum traces_ids */

struct settings {
	int format, only, ids, trace_ids;
	int64_t trace_one_in;
	struct trace_options traces;
	int64_t stock_cover, cancel_one_in, seed, orders, skus, skew, hot_skus, stock, rate, patience_ms;
	const char *lines;
	bool dry_run, json, cloudevents;
};

static const struct settings defaults = {.skus = 1000,
                                         .hot_skus = 10,
                                         .stock = 0,
                                         .seed = 1,
                                         .patience_ms = 60000,
                                         .lines = "1-4",
                                         .traces = TRACE_OPTIONS_DEFAULT};

static const char summary[] =
	"Publishes events: from files of JSON lines ({\"type\": \"OrderPlaced\", \"event\": {...}}), from a CSV of "
	"Online\n"
	"Retail's form, or generated from a seed. A file is checked whole before the first record is sent; stdin (-) "
	"line\n"
	"by line, a CSV whole. A repeat changes nothing downstream: an interrupted run is resumed by running it again.";

static const char examples[] =
	"  tandem publish --log local:data events.jsonl        every event of a file\n"
	"  tandem publish -b localhost:9092 -                  JSON lines from stdin, as they come\n"
	"  xzcat online-retail.csv.xz | tandem publish --format csv --dry-run -\n"
	"                                                      what would become of each row\n"
	"  tandem publish --stock-cover 90 --only receipts orders.csv\n"
	"  tandem publish --cancel-one-in 50 --only orders orders.csv\n"
	"                                                      stock first, orders when it is folded\n"
	"  tandem publish --orders 100000 --skus 1000 --skew 90 --stock 1000000 --rate 5000\n";

/* "2" or "1-5". */
static bool parse_range(const char *text, int64_t *min, int64_t *max)
{
	char *end;
	*min = *max = strtoll(text, &end, 10);
	if (end != text && *end == '-') {
		text = end + 1;
		*max = strtoll(text, &end, 10);
	}
	return end != text && !*end && *min >= 1 && *max >= *min && *max <= GENERATE_LINES_MAX;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static enum publish_source source_of(const struct settings *settings, const struct config *config)
{
	if (settings->orders || (!config->rest_count && settings->stock))
		return PUBLISH_GENERATED;
	if (settings->format == FORMAT_CSV ||
	    (settings->format == FORMAT_AUTO && config->rest_count && ends_with(config->rest[0], ".csv")))
		return PUBLISH_CSV;
	return PUBLISH_JSONL;
}

/* NULL: the settings go together. */
static const char *misuse(const struct settings *settings, const struct config *config, enum publish_source source)
{
	if (source == PUBLISH_GENERATED && config->rest_count)
		return "found --orders and a FILE, expected one of them";
	if (source != PUBLISH_GENERATED && !config->rest_count)
		return "found nothing to publish, expected FILE..., - for stdin, or --orders N";
	if (source == PUBLISH_CSV && config->rest_count > 1)
		return "found several files, expected one CSV: its invoices are gathered over the whole file";
	if (source != PUBLISH_CSV && settings->stock_cover)
		return "--stock-cover is for a CSV; generated orders have --stock";
	if (source == PUBLISH_JSONL && (settings->only != PUBLISH_ALL || settings->cancel_one_in))
		return "--only and --cancel-one-in are for a CSV and for generated orders";
	for (size_t i = 0; i < config->rest_count; i++) {
		if (strcmp(config->rest[i], "-") == 0 && isatty(STDIN_FILENO))
			return "stdin is a terminal, expected a pipe or a file";
	}
	return NULL;
}

static void fill_options(const struct settings *settings, const struct config *config, struct publish_options *options)
{
	*options = (struct publish_options){.source = source_of(settings, config),
	                                    .files = config->rest,
	                                    .file_count = config->rest_count,
	                                    .dry_run = settings->dry_run,
	                                    .errors = stderr,
	                                    .retail = {.only = (enum publish_only)settings->only,
	                                               .seed = (uint64_t)settings->seed,
	                                               .stock_cover = settings->stock_cover,
	                                               .cancel_one_in = settings->cancel_one_in},
	                                    .generate = {.only = (enum publish_only)settings->only,
	                                                 .seed = (uint64_t)settings->seed,
	                                                 .orders = settings->orders,
	                                                 .skus = settings->skus,
	                                                 .hot_percent = settings->skew,
	                                                 .hot_skus = settings->hot_skus,
	                                                 .stock = settings->stock,
	                                                 .cancel_one_in = settings->cancel_one_in,
	                                                 .ids = (enum generate_ids)settings->ids},
	                                    .sender = {.seam = &seam_system,
	                                               .rate = settings->rate,
	                                               .patience_ms = settings->patience_ms,
	                                               .cloudevents = settings->cloudevents,
	                                               .traces = {.one_in = settings->trace_one_in,
	                                                          .seed = (uint64_t)settings->seed,
	                                                          .ids = (enum traces_ids)settings->trace_ids,
	                                                          .export_one_in = settings->traces.one_in},
	                                               .stopped = interrupt_requested}};
}

static void print_outcome(const struct publish_options *options, const struct publish_result *result,
                          enum status status, const struct err *err)
{
	if (status == OK)
		return;
	if (!err_is(err, "told"))
		fprintf(stderr, "tandem publish: %s\n", err->text);
	if (options->dry_run)
		return;
	if (!result->sent.acknowledged && !result->sent.taken)
		fputs("tandem publish: nothing was sent\n", stderr);
	else
		fprintf(stderr,
		        "tandem publish: %" PRId64 " of %" PRId64
		        " events were acknowledged; the same command again sends all "
		        "of them, and what arrives twice changes nothing\n",
		        result->sent.acknowledged,
		        result->total > result->sent.taken ? result->total : result->sent.taken);
}

static int publish(const struct settings *settings, const struct publish_options *options)
{
	struct publish_result result;
	struct err err = {0};
	enum status status = publish_run(options, &result, &err);
	if (settings->json)
		json_print_line(stdout, publish_json(&result, options->dry_run, status == OK));
	else if (status == OK || result.sent.taken)
		publish_print(&result, options->dry_run, stdout);
	fflush(stdout);
	print_outcome(options, &result, status, &err);
	return status == OK ? EXIT_DONE : result.sent.acknowledged ? EXIT_PARTLY : config_exit_status(&err);
}

/* With spans, where traces are begun and somebody wants them. */
static int run_traced(const struct settings *settings, const struct config *config, struct publish_options *options)
{
	const struct otlp_source source = {.service = "tandem-publish"};
	struct logging_config logging_config = config->logging;
	struct err err = {0};
	logging_config.seam = &seam_system;
	logging_config.service = "publish";
	struct logging *logging = logging_new(&logging_config);
	enum status status = OK;
	if (settings->trace_one_in && !settings->dry_run)
		status = trace_options_open(&settings->traces, config, &source, logging, &options->sender.traces.export,
		                            &err);
	int exit_status = status == REJECT ? EXIT_USAGE : EXIT_FAILED;
	if (status == OK)
		exit_status = publish(settings, options);
	else
		fprintf(stderr, "tandem publish: %s\n", err.text);
	span_export_close(options->sender.traces.export);
	logging_free(logging);
	return exit_status;
}

static int run(const struct config *config, void *arg)
{
	const struct settings *settings = arg;
	struct publish_options options;
	int exit_status;
	fill_options(settings, config, &options);
	const char *wrong = misuse(settings, config, options.source);
	if (wrong)
		return config_misuse(config, "%s", wrong);
	if (!parse_range(settings->lines, &options.generate.lines_min, &options.generate.lines_max))
		return config_misuse(config, "--lines: found '%s', expected a number or MIN-MAX, from 1 to %d",
		                     settings->lines, GENERATE_LINES_MAX);
	if (!settings->dry_run && !(options.sender.log = config_open_log(config, &exit_status)))
		return exit_status;
	exit_status = run_traced(settings, config, &options);
	log_close(options.sender.log);
	return exit_status;
}

static int publish_main(int argc, char **argv)
{
	struct settings settings = defaults;
	const struct config_option table[] = {
		{.name = "format",
	         .kind = CONFIG_CHOICE,
	         .value = &settings.format,
	         .choices = formats,
	         .placeholder = "FORMAT",
	         .help = "of FILE; auto: by its name"},
		{.name = "only",
	         .kind = CONFIG_CHOICE,
	         .value = &settings.only,
	         .choices = selections,
	         .placeholder = "WHAT",
	         .help = "a part of a CSV or of what is generated"},
		CONFIG_DRY_RUN_OPTION(&settings.dry_run, "check and count, send nothing"),
		CONFIG_JSON_OPTION(&settings.json, "print the counts as JSON"),
		{.name = "rate",
	         .kind = CONFIG_INT,
	         .value = &settings.rate,
	         .min = 0,
	         .max = 100000000,
	         .placeholder = "N",
	         .help = "events a second; 0: as fast as it goes"},
		CONFIG_PATIENCE_OPTION(&settings.patience_ms, "give up when nothing was acknowledged for so long"),
		{.name = "cloudevents",
	         .kind = CONFIG_FLAG,
	         .value = &settings.cloudevents,
	         .help = "add CloudEvents headers to every record"},
		{.name = "trace-one-in",
	         .kind = CONFIG_INT,
	         .value = &settings.trace_one_in,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "begin a trace (W3C traceparent) for one in N events; 0: for none"},
		{.name = "trace-ids",
	         .kind = CONFIG_CHOICE,
	         .value = &settings.trace_ids,
	         .choices = trace_ids,
	         .placeholder = "KIND",
	         .help = "of traces: drawn at random, or the same at each run with this seed"},
		TRACE_OPTIONS(&settings.traces),
		{.name = "seed",
	         .kind = CONFIG_INT,
	         .value = &settings.seed,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "of all that is chosen or generated"},
		{.name = "stock-cover",
	         .kind = CONFIG_INT,
	         .value = &settings.stock_cover,
	         .min = 0,
	         .max = 100,
	         .placeholder = "PERCENT",
	         .help = "CSV: receive stock for about so many of 100 orders; 0: none"},
		{.name = "cancel-one-in",
	         .kind = CONFIG_INT,
	         .value = &settings.cancel_one_in,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "cancel a share of the orders; 0: none"},
		{.name = "orders",
	         .kind = CONFIG_INT,
	         .value = &settings.orders,
	         .max = INT64_MAX / 1000,
	         .placeholder = "N",
	         .help = "generate so many orders"},
		{.name = "skus",
	         .kind = CONFIG_INT,
	         .value = &settings.skus,
	         .min = 1,
	         .max = 100000000,
	         .placeholder = "N",
	         .help = "generated: stock keeping units"},
		{.name = "skew",
	         .kind = CONFIG_INT,
	         .value = &settings.skew,
	         .min = 0,
	         .max = 100,
	         .placeholder = "PERCENT",
	         .help = "generated: of the lines want one of the --hot-skus"},
		{.name = "hot-skus",
	         .kind = CONFIG_INT,
	         .value = &settings.hot_skus,
	         .min = 1,
	         .max = 100000000,
	         .placeholder = "N",
	         .help = "generated: the SKUs that --skew means"},
		{.name = "lines",
	         .kind = CONFIG_TEXT,
	         .value = &settings.lines,
	         .placeholder = "N|MIN-MAX",
	         .help = "generated: lines an order"},
		{.name = "stock",
	         .kind = CONFIG_INT,
	         .value = &settings.stock,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "generated: receive so many of each SKU first; 0: none"},
		{.name = "ids",
	         .kind = CONFIG_CHOICE,
	         .value = &settings.ids,
	         .choices = id_kinds,
	         .placeholder = "KIND",
	         .help = "generated: order ids that grow with time, or not"},
	};
	const struct config_program program = {.usage = "tandem publish [options] FILE... | - | --orders N",
	                                       .summary = summary,
	                                       .examples = examples,
	                                       .options = table,
	                                       .option_count = sizeof table / sizeof *table};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command publish_command = {.name = "publish",
                                        .summary = "publish events: JSON lines, a CSV of orders, or generated ones",
                                        .main = publish_main};
