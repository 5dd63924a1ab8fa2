/* tandem replay: reads a range of a topic, and prints, copies, exports or mirrors it. The work is in replay/. */
#include "replay/format.h"
#include "replay/mirror.h"
#include "replay/position.h"
#include "replay/replay.h"

#include "command.h"
#include "config.h"
#include "interrupt.h"
#include "json.h"
#include "nearest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define NOT_READ_MAX 8 /* partitions named in the message */

static const char *const codecs[] = {"deflate", "null", NULL};

struct settings {
	struct config_list topics;
	int64_t partition, to_offset, count, rate, patience_ms;
	const char *from, *key, *type, *format;
	struct config_time until;
	const struct format *parsed; /* format's */
	const char *to_topic, *to_log, *to_namespace, *mirror, *export, *import;
	int codec;
	bool follow, json, dry_run, create;
};

static const struct settings defaults = {.partition = -1, .to_offset = -1, .patience_ms = 60000, .from = "beginning"};

static const char summary[] =
	"Reads topics and prints their records, one a line; or copies them (--to-topic, --to-log), writes the events of\n"
	"one type to an Avro container file (--export), or mirrors a whole installation into a new local log (--mirror).\n"
	"Partitions are read one after the other, each in the order of its offsets, from -o up to what was there at the\n"
	"start. No group is joined and nothing is committed: what runs is not disturbed.\n"
	"\n"
	"A copy into an installation's topic takes publishers' events alone and sends them as a publisher does: by their\n"
	"key, without the headers of workers and dead letters. So copying orders.dlq to orders is a redrive. A copy into\n"
	"any other topic keeps key, value and headers, and in a local log the timestamp. Control records stay behind.\n"
	"\n"
	"--format writes %t topic, %p partition, %o offset, %k key, %s value (an event as JSON), %T timestamp in\n"
	"milliseconds, %h headers, %K and %S the length of key and value (-1: null), %R the value's as 4 bytes big-endian,\n"
	"and no newline but \\n. To a terminal what is not printable is written as \\xNN, else as it is.\n"
	"\n"
	"--import goes the other way: it sends the events of such a container file, of whatever program, as a publisher\n"
	"does. The file is checked whole before the first is sent; sent again, it changes nothing.";

static const char examples[] =
	"  tandem replay --log local:data -t orders            every order, a line each\n"
	"  tandem replay -b localhost:9092 -t orders -p 0 -o -10 -J\n"
	"                                                      the last ten of partition 0, as JSON\n"
	"  tandem replay -t order-events --key 536365          all that became of one order\n"
	"  tandem replay -t orders -f '%p/%o %k %s\\n' --rate 10\n"
	"                                                      line by line as the format says, ten a second\n"
	"  tandem replay -t orders -o @2026-11-23T04:00:00Z --until-time 2026-11-23T05:00:00Z --type OrderPlaced\n"
	"  tandem replay -t orders.dlq --to-topic orders       send dead letters again, when their cause is gone\n"
	"  tandem replay -t orders --to-log local:copy --create-topic\n"
	"  tandem replay -t order-events --type OrderConfirmed --export confirmed.avro\n"
	"  tandem replay --log local:data --import orders.avro\n"
	"  tandem replay -b broker:9092 --mirror captured      verify it: tandem order verify --log local:captured\n";

static bool copies(const struct settings *settings)
{
	return settings->to_topic || settings->to_log || settings->to_namespace;
}

static bool prints(const struct settings *settings)
{
	return !copies(settings) && !settings->mirror && !settings->export && !settings->import;
}

static bool selects(const struct settings *settings)
{
	return settings->partition >= 0 || settings->to_offset >= 0 || settings->count || settings->key ||
	       settings->type || settings->follow || strcmp(settings->from, defaults.from) != 0;
}

/* NULL: the settings go together. */
static const char *misuse(const struct settings *settings)
{
	if (settings->format && (settings->json || !prints(settings)))
		return "--format prints: -J, --mirror, --export, --import and copying exclude it";
	if (settings->import && (settings->topics.count || selects(settings) || settings->until.given ||
	                         settings->create || copies(settings) || settings->mirror || settings->export))
		return "--import takes a file to the topic of its events: of the other options only -n, -J, --rate and --timeout"
		       " go with it";
	if (settings->import)
		return NULL;
	int targets = copies(settings) + (settings->mirror != NULL) + (settings->export != NULL);
	if (targets > 1)
		return "--mirror, --export and copying (--to-topic, --to-log, --to-namespace) exclude each other";
	if (settings->mirror && (selects(settings) || settings->rate))
		return "--mirror takes whole topics: only -t and --until-time go with it";
	if (!settings->topics.count && !settings->mirror)
		return "found no topic, expected -t TOPIC";
	if (settings->export && !settings->type)
		return "--export needs --type: a container file holds events of one type";
	if (settings->export && settings->follow)
		return "--export and --follow exclude each other: the file is whole at its end";
	if (settings->follow && settings->until.given)
		return "--follow and --until-time exclude each other";
	if (settings->create && !copies(settings))
		return "--create-topic goes with --to-topic or --to-log";
	return NULL;
}

static const char *type_name(const void *names, size_t i)
{
	(void)names;
	return i < event_type_count ? event_types[i]->name : NULL;
}

/* The event's name, with or without its namespace. */
static const struct event_type *type_named(const char *name)
{
	const char *dot = strrchr(name, '.');
	const struct event_type *type = event_type_named(dot ? dot + 1 : name);
	return type && (!dot || strcmp(type->full_name, name) == 0) ? type : NULL;
}

/* -1, or the exit status where --format is none. What is parsed lives in the arena. */
static int read_format(const struct config *config, struct settings *settings, struct arena *arena)
{
	const char *wrong = NULL;
	if (settings->format)
		settings->parsed = format_parse(settings->format, arena, &wrong);
	return wrong ? config_misuse(config, "--format: %s", wrong) : -1;
}

/* -1, or the exit status where a setting makes no sense. */
static int select_records(const struct config *config, const struct settings *settings,
                          struct replay_selection *selection)
{
	*selection = (struct replay_selection){.topics = settings->topics.items,
	                                       .topic_count = settings->topics.count,
	                                       .partition = settings->partition,
	                                       .to_offset = settings->to_offset,
	                                       .has_until = settings->until.given,
	                                       .until_ms = settings->until.ms,
	                                       .key = settings->key,
	                                       .count = settings->count,
	                                       .rate = settings->dry_run ? 0 : settings->rate,
	                                       .follow = settings->follow};
	if (!position_parse(settings->from, &selection->from))
		return config_misuse(
			config,
			"-o: found '%s', expected beginning, end, an offset, -N for the last N, or @ and a time",
			settings->from);
	if (!settings->type)
		return -1;
	selection->type = type_named(settings->type);
	if (selection->type)
		return -1;
	const char *near = nearest(settings->type, type_name, NULL);
	return config_misuse(config, "--type: found '%s', expected an event such as OrderPlaced%s%s%s", settings->type,
	                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* ---- what came of it ---- */

static json_t *left_out(const struct replay_result *result)
{
	json_t *json = json_object();
	for (int i = 0; i < REPLAY_SKIPS; i++)
		json_object_set_new(json, replay_skip_text((enum replay_skip)i, true),
		                    json_integer(result->skipped[i]));
	return json;
}

static void print_result(const struct settings *settings, const struct replay_result *result, bool whole)
{
	const char *verb = settings->export   ? "exported"
	                   : settings->import ? "imported"
	                   : prints(settings) ? "found"
	                                      : "copied";
	if (settings->json) {
		json_t *json = json_object();
		json_object_set_new(json, "read", json_integer(result->read));
		json_object_set_new(json, verb, json_integer(result->taken));
		json_object_set_new(json, "moved", json_integer(result->moved));
		json_object_set_new(json, "left_out", left_out(result));
		json_object_set_new(json, "dry_run", json_boolean(settings->dry_run));
		json_object_set_new(json, "whole", json_boolean(whole));
		json_print_line(stdout, json);
		return;
	}
	printf("%s%s %" PRId64 " of %" PRId64 " %s read\n", settings->dry_run && !prints(settings) ? "would have " : "",
	       verb, result->taken, result->read, settings->import ? "events" : "records");
	for (int i = 0; i < REPLAY_SKIPS; i++)
		if (result->skipped[i])
			printf("left out: %" PRId64 " %s\n", result->skipped[i],
			       replay_skip_text((enum replay_skip)i, false));
	if (result->moved)
		printf("%" PRId64 " have a later time than they had: the topic held later ones\n", result->moved);
}

static void print_not_read(const struct replay_slice *slices, size_t count)
{
	int shown = 0;
	for (size_t i = 0; i < count; i++) {
		if (slices[i].next >= slices[i].to)
			continue;
		if (shown++ == NOT_READ_MAX) {
			fputs("tandem replay: ... and more\n", stderr);
			return;
		}
		fprintf(stderr,
		        "tandem replay: not done: %s/%" PRId32 "; go on with -t %s -p %" PRId32 " -o %" PRId64 "\n",
		        slices[i].topic->name, slices[i].partition, slices[i].topic->name, slices[i].partition,
		        slices[i].next);
	}
}

static int exit_of(enum status status, const struct err *err, bool some)
{
	if (status == OK)
		return EXIT_DONE;
	if (!err_is(err, "pipe"))
		fprintf(stderr, "tandem replay: %s\n", err->text);
	if (err_is(err, "usage"))
		return EXIT_USAGE;
	return some ? EXIT_PARTLY : config_exit_status(err);
}

/* ---- doing it ---- */

struct sinks {
	struct print *print;
	struct copy *copy;
	struct export *export;
	struct replay_sink sink;
};

static enum status open_sink(const struct settings *settings, const struct replay_run *run, struct log *target,
                             struct replay_result *result, struct sinks *sinks, struct err *err)
{
	const struct replay_selection *selection = run->selection;
	const struct copy_config config = {.source = run->log,
	                                   .target = target,
	                                   .seam = run->seam,
	                                   .topic = settings->to_topic,
	                                   .create = settings->create,
	                                   .dry_run = settings->dry_run,
	                                   .patience_ms = settings->patience_ms,
	                                   .stopped = run->stopped};
	if (copies(settings))
		return copy_open(&config, selection, result, &sinks->copy, &sinks->sink, err);
	if (settings->export)
		return export_open(settings->export, selection->type, codecs[settings->codec], settings->dry_run,
		                   result, &sinks->export, &sinks->sink, err);
	if (settings->dry_run)
		count_open(result, &sinks->sink);
	else
		sinks->print = print_open(&(struct print_config){.out = stdout,
		                                                 .json = settings->json,
		                                                 .format = settings->parsed,
		                                                 .raw = !isatty(STDOUT_FILENO)},
		                          result, &sinks->sink);
	return OK;
}

static int run_slices(const struct settings *settings, const struct replay_selection *selection, struct log *log,
                      struct log *target)
{
	struct arena arena = {0};
	struct sinks sinks = {0};
	struct replay_result result = {0};
	struct replay_slice *slices = NULL;
	struct err err = {0};
	size_t count = 0;
	bool shows = prints(settings) && !settings->dry_run;
	const struct replay_run run = {.log = log,
	                               .seam = &seam_system,
	                               .selection = selection,
	                               .sink = &sinks.sink,
	                               .stopped = interrupt_requested,
	                               .progress = !shows || !isatty(STDOUT_FILENO),
	                               .notes = stderr};
	enum status status = open_sink(settings, &run, target, &result, &sinks, &err);
	bool began = status == OK;
	if (began)
		status = replay_run(&run, &arena, &slices, &count, &result, &err);
	if (!shows && (status == OK || result.taken))
		print_result(settings, &result, status == OK);
	fflush(stdout);
	int exit_status = exit_of(status, &err, result.taken && !settings->export && !settings->dry_run);
	if (status != OK && began && !settings->export && !err_is(&err, "pipe"))
		print_not_read(slices, count);
	print_close(sinks.print);
	copy_close(sinks.copy);
	export_close(sinks.export);
	arena_fini(&arena);
	return exit_status;
}

static int run_mirror(const struct settings *settings, const struct replay_selection *selection, struct log *log,
                      struct log *target)
{
	const struct mirror_config config = {.source = log,
	                                     .target = target,
	                                     .seam = &seam_system,
	                                     .topics = selection->topics,
	                                     .topic_count = selection->topic_count,
	                                     .has_until = selection->has_until,
	                                     .until_ms = selection->until_ms,
	                                     .dry_run = settings->dry_run,
	                                     .stopped = interrupt_requested,
	                                     .progress = true,
	                                     .notes = stderr};
	struct mirror_result result;
	struct err err = {0};
	enum status status = mirror_run(&config, &result, &err);
	if (settings->json) {
		json_t *json = json_object();
		json_object_set_new(json, "topics", json_integer((json_int_t)result.topics));
		json_object_set_new(json, "partitions", json_integer(result.partitions));
		json_object_set_new(json, "records", json_integer(result.records));
		json_object_set_new(json, "dry_run", json_boolean(settings->dry_run));
		json_object_set_new(json, "whole", json_boolean(status == OK));
		json_print_line(stdout, json);
	} else if (status == OK || result.records) {
		printf("%s %" PRId64 " records of %" PRId64 " partitions, %zu topics%s\n",
		       settings->dry_run ? "would mirror" : "mirrored", result.records, result.partitions,
		       result.topics, status == OK ? "" : ": not all of it");
	}
	bool some = result.records && !settings->dry_run;
	int exit_status = exit_of(status, &err, some);
	if (status != OK && some)
		fprintf(stderr, "tandem replay: delete %s and mirror again: a part is no mirror\n", settings->mirror);
	return exit_status;
}

static int run_import(const struct settings *settings, struct log *log)
{
	const struct load_config config = {.path = settings->import,
	                                   .log = log,
	                                   .seam = &seam_system,
	                                   .dry_run = settings->dry_run,
	                                   .rate = settings->dry_run ? 0 : settings->rate,
	                                   .patience_ms = settings->patience_ms,
	                                   .stopped = interrupt_requested,
	                                   .progress = true};
	struct replay_result result;
	struct err err = {0};
	enum status status = load_run(&config, &result, &err);
	if (settings->json || status == OK || result.taken)
		print_result(settings, &result, status == OK);
	fflush(stdout);
	int exit_status = exit_of(status, &err, result.taken && !settings->dry_run);
	if (status != OK && !settings->dry_run)
		fprintf(stderr, "tandem replay: %s\n",
		        result.taken
		                ? "the same command again sends all of the file, and what arrives twice changes nothing"
		                : "nothing was sent");
	return exit_status;
}

/* Is the log that is copied to another one than the source? */
static bool is_another(const struct settings *settings, const struct config *config)
{
	return (settings->to_log && config->log && strcmp(settings->to_log, config->log) != 0) ||
	       (settings->to_namespace && strcmp(settings->to_namespace, config->name_space) != 0);
}

/* The log that is written to: another one, or the source with its own namespace. NULL: *exit_status says why. */
static struct log *open_target(const struct settings *settings, const struct config *config, const char *url,
                               int *exit_status)
{
	struct config other = *config;
	other.log = url;
	other.secret_file = NULL; /* the source's: what is written needs none */
	if (settings->to_namespace)
		other.name_space = settings->to_namespace;
	return config_open_log(&other, exit_status);
}

static int open_and_run(const struct settings *settings, const struct config *config,
                        const struct replay_selection *selection)
{
	struct arena arena = {0};
	int exit_status = EXIT_FAILED;
	const char *url = settings->mirror   ? mirror_url(settings->mirror, &arena)
	                  : settings->to_log ? settings->to_log
	                                     : config->log;
	if (settings->mirror && !url) {
		arena_fini(&arena);
		return config_misuse(
			config,
			"--mirror %s: Kafka gives records its own offsets, and a mirror keeps them; expected a folder or"
			" local:DIR",
			settings->mirror);
	}
	bool two = settings->mirror ? !settings->dry_run : is_another(settings, config);
	struct log *target = NULL, *log = config_open_log(config, &exit_status);
	if (log && two)
		target = open_target(settings, config, url, &exit_status);
	if (log && settings->import)
		exit_status = run_import(settings, log);
	else if (log && (target || !two))
		exit_status = settings->mirror ? run_mirror(settings, selection, log, target)
		                               : run_slices(settings, selection, log, target ? target : log);
	log_close(target);
	log_close(log);
	arena_fini(&arena);
	return exit_status;
}

static int run(const struct config *config, void *arg)
{
	struct settings *settings = arg;
	struct replay_selection selection;
	struct arena arena = {0};
	if (config->rest_count)
		return config_misuse(config, "found '%s', expected options alone; topics are given with -t",
		                     config->rest[0]);
	const char *wrong = misuse(settings);
	int exit_status = wrong ? config_misuse(config, "%s", wrong) : select_records(config, settings, &selection);
	if (exit_status < 0)
		exit_status = read_format(config, settings, &arena);
	if (exit_status < 0)
		exit_status = open_and_run(settings, config, &selection);
	arena_fini(&arena);
	return exit_status;
}

static int replay_main(int argc, char **argv)
{
	struct settings settings = defaults;
	const struct config_option table[] = {
		{.name = "topic",
	         .letter = 't',
	         .kind = CONFIG_LIST,
	         .value = &settings.topics,
	         .placeholder = "TOPIC",
	         .help = "read this topic; may be given several times"},
		CONFIG_PARTITION_OPTION(&settings.partition, "read this partition alone; -1: all"),
		{.name = "from",
	         .letter = 'o',
	         .kind = CONFIG_TEXT,
	         .value = &settings.from,
	         .placeholder = "WHERE",
	         .help = "begin at: beginning, end, an offset, -N (the last N), @TIME"},
		{.name = "to-offset",
	         .kind = CONFIG_INT,
	         .value = &settings.to_offset,
	         .min = -1,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "end before this offset; -1: at the end as it was at the start"},
		{.name = "until-time",
	         .kind = CONFIG_TIME,
	         .value = &settings.until,
	         .placeholder = "TIME",
	         .help = "end before this time: milliseconds since 1970, or ISO 8601 (UTC without an offset)"},
		CONFIG_KEY_OPTION(&settings.key),
		{.name = "type",
	         .kind = CONFIG_TEXT,
	         .value = &settings.type,
	         .placeholder = "EVENT",
	         .help = "only events of this type, such as OrderPlaced"},
		{.name = "count",
	         .letter = 'c',
	         .kind = CONFIG_INT,
	         .value = &settings.count,
	         .min = 0,
	         .max = INT64_MAX,
	         .placeholder = "N",
	         .help = "end after so many records; 0: all"},
		{.name = "rate",
	         .kind = CONFIG_INT,
	         .value = &settings.rate,
	         .min = 0,
	         .max = 1000000000,
	         .placeholder = "N",
	         .help = "print, copy or send at most so many records a second; 0: as fast as it goes"},
		{.name = "follow",
	         .kind = CONFIG_FLAG,
	         .value = &settings.follow,
	         .help = "go on with what comes, until interrupted"},
		CONFIG_JSON_OPTION(&settings.json, "print one JSON object a line, as kcat -J"),
		{.name = "format",
	         .letter = 'f',
	         .kind = CONFIG_TEXT,
	         .value = &settings.format,
	         .placeholder = "FORMAT",
	         .help = "print by a format, as kcat -f: %t %p %o %k %s %T %h %K %S %R %% \\n \\r \\t \\xNN; see above"},
		CONFIG_DRY_RUN_OPTION(&settings.dry_run, "read, check and count; write nothing"),
		{.name = "to-topic",
	         .kind = CONFIG_TEXT,
	         .value = &settings.to_topic,
	         .placeholder = "TOPIC",
	         .help = "copy to this topic"},
		{.name = "to-log",
	         .kind = CONFIG_TEXT,
	         .value = &settings.to_log,
	         .placeholder = "URL",
	         .help = "copy to this log; without --to-topic to topics of the same names"},
		{.name = "to-namespace",
	         .kind = CONFIG_TEXT,
	         .value = &settings.to_namespace,
	         .placeholder = "NAME",
	         .help = "copy to topics of this namespace; else the source's"},
		{.name = "create-topic",
	         .kind = CONFIG_FLAG,
	         .value = &settings.create,
	         .help = "create the target topic where there is none, with as many partitions"},
		CONFIG_PATIENCE_OPTION(&settings.patience_ms,
	                               "copying: give up when nothing was acknowledged for so long"),
		{.name = "mirror",
	         .kind = CONFIG_TEXT,
	         .value = &settings.mirror,
	         .placeholder = "DIR",
	         .help = "mirror the installation, or the -t topics, into a new local log"},
		{.name = "export",
	         .kind = CONFIG_TEXT,
	         .value = &settings.export,
	         .placeholder = "FILE",
	         .help = "write the events of --type to an Avro container file; its schema has no docs, defaults and logical types"},
		{.name = "import",
	         .kind = CONFIG_TEXT,
	         .value = &settings.import,
	         .placeholder = "FILE",
	         .help = "send the events of an Avro container file to their topic, as a publisher; they must be a publisher's"},
		{.name = "codec",
	         .kind = CONFIG_CHOICE,
	         .value = &settings.codec,
	         .choices = codecs,
	         .placeholder = "CODEC",
	         .help = "of --export"},
	};
	const struct config_program program = {
		.usage = "tandem replay -t TOPIC [options] | --mirror DIR | --import FILE",
		.summary = summary,
		.examples = examples,
		.options = table,
		.option_count = sizeof table / sizeof *table};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command replay_command = {
	.name = "replay",
	.summary = "read a range of a topic: print, copy, export or mirror it; import a file",
	.main = replay_main};
