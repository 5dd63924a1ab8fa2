/* tandem dlq: the dead letters of a topic: listed, shown, sent back, given up. The work is in dlq/. */
#include "dlq/letters.h"

#include "command.h"
#include "config.h"
#include "interrupt.h"
#include "json.h"
#include "record_view.h"
#include "timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char summary[] =
	"Dead letters are publishers' records that a worker has refused. list counts them by reason; show prints them,\n"
	"decoded; redrive sends them back to the topic they came from, as new records; discard gives them up. Each is\n"
	"redriven or discarded once, for ever: the worker takes the first of what is sent and drops the rest, so any of this\n"
	"may be interrupted, run again, or run by two people at a time. What was done stands in the topic itself, and is\n"
	"read there; --state open is what is left.\n"
	"Without --yes, or with --dry-run, redrive and discard only say what they would do.";

static const char examples[] =
	"  tandem dlq list -t orders --log local:data\n"
	"  tandem dlq show -t orders -b localhost:9092 --reason conflict -J\n"
	"  tandem dlq show -t orders -p 0 --offset 17\n"
	"  tandem dlq redrive -t orders --reason unknown_schema --since 2026-11-23T04:00:00Z --dry-run\n"
	"  tandem dlq redrive -t orders --reason unknown_schema --since 2026-11-23T04:00:00Z --yes\n"
	"  tandem dlq redrive -t orders --key 536365 --yes\n"
	"  tandem dlq discard -t inventory --reason malformed --why 'test data' --yes\n";

static const char *const states[] = {"all", "open", "redriven", "discarded", NULL};

struct settings {
	const char *topic, *reason, *key, *offset, *why;
	struct config_time since, until;
	int64_t partition, rate, patience_ms;
	int state;
	bool dry_run, yes, json;
};

struct job {
	const struct config *config;
	const struct settings *settings;
	int64_t from, to; /* offsets, both taken; -1: any */
	struct letters letters;
	int64_t chosen[LETTER_STATES];
	struct err err;
};

typedef int action_run(struct job *job);

static int failed(const struct job *job, const char *action, int exit_status)
{
	fprintf(stderr, "tandem dlq %s: %s\n", action, job->err.text);
	return exit_status;
}

/* ---- what was asked for ---- */

static bool offsets_parse(const char *text, int64_t *from, int64_t *to)
{
	char *end;
	errno = 0;
	if (*text < '0' || *text > '9')
		return false;
	*from = *to = strtoll(text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		*to = strtoll(end + 1, &end, 10);
	return !*end && !errno && *from <= *to;
}

/* -1, or the exit status where a setting makes no sense. */
static int select_letters(struct job *job)
{
	const char *offset = job->settings->offset;
	if (!job->settings->topic)
		return config_misuse(job->config, "found no topic, expected -t TOPIC");
	if (offset && !offsets_parse(offset, &job->from, &job->to))
		return config_misuse(job->config, "--offset: found '%s', expected an offset, or two such as 17-20",
		                     offset);
	return -1;
}

static bool is_chosen(const struct job *job, const struct letter *letter)
{
	const struct settings *settings = job->settings;
	size_t key_len = settings->key ? strlen(settings->key) : 0;
	return (settings->partition < 0 || letter->partition == settings->partition) &&
	       (!settings->reason || strcmp(letter->reason, settings->reason) == 0) &&
	       (!settings->key || (letter->key.len >= 0 && (size_t)letter->key.len == key_len &&
	                           memcmp(letter->key.data, settings->key, key_len) == 0)) &&
	       (!settings->since.given || letter->timestamp_ms >= settings->since.ms) &&
	       (!settings->until.given || letter->timestamp_ms < settings->until.ms) &&
	       (job->from < 0 || (letter->offset >= job->from && letter->offset <= job->to)) &&
	       (settings->state == 0 || (int)letter->state == settings->state - 1);
}

static void choose(struct job *job)
{
	for (size_t i = 0; i < job->letters.count; i++) {
		struct letter *letter = &job->letters.items[i];
		letter->chosen = is_chosen(job, letter);
		job->chosen[letter->state] += letter->chosen;
	}
}

/* What is in the .dlq and is no letter: somebody else wrote it, or the stream is broken there. */
static void say_foreign(const struct job *job)
{
	const struct letters *letters = &job->letters;
	for (int32_t p = 0; p < letters->partitions; p++)
		if (letters->of[p].foreign)
			fprintf(stderr,
			        "tandem dlq: %s/%" PRId32 ": %" PRId64
			        " records are no dead letters of %s, the first at"
			        " offset %" PRId64 "; they are left alone: tandem replay -t %s -p %" PRId32
			        " -o %" PRId64 " -c 1\n",
			        letters->dlq, p, letters->of[p].foreign, letters->service,
			        letters->of[p].foreign_offset, letters->dlq, p, letters->of[p].foreign_offset);
}

/* ---- list ---- */

struct line {
	const char *reason;
	int64_t counts[LETTER_STATES], first_ms, last_ms;
};

static size_t count_by_reason(const struct letters *letters, struct line *lines, size_t room)
{
	size_t count = 0;
	for (size_t i = 0; i < letters->count; i++) {
		const struct letter *letter = &letters->items[i];
		size_t at = 0;
		if (!letter->chosen)
			continue;
		while (at < count && strcmp(lines[at].reason, letter->reason) != 0)
			at++;
		if (at == room)
			continue;
		if (at == count)
			lines[count++] = (struct line){.reason = letter->reason,
			                               .first_ms = letter->timestamp_ms,
			                               .last_ms = letter->timestamp_ms};
		lines[at].counts[letter->state]++;
		if (letter->timestamp_ms < lines[at].first_ms)
			lines[at].first_ms = letter->timestamp_ms;
		if (letter->timestamp_ms > lines[at].last_ms)
			lines[at].last_ms = letter->timestamp_ms;
	}
	return count;
}

static int by_reason(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->reason, ((const struct line *)b)->reason);
}

static void print_line(const struct job *job, const struct line *line)
{
	char first[TIMESTAMP_TEXT_BYTES], last[TIMESTAMP_TEXT_BYTES];
	struct buf reason = {0};
	int64_t all = line->counts[LETTER_OPEN] + line->counts[LETTER_REDRIVEN] + line->counts[LETTER_DISCARDED];
	if (job->settings->json) {
		const struct log_bytes bytes = {line->reason, (int32_t)strlen(line->reason)};
		json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "topic", job->letters.topic, "letters",
		                         (json_int_t)all, "open", (json_int_t)line->counts[LETTER_OPEN], "redriven",
		                         (json_int_t)line->counts[LETTER_REDRIVEN], "discarded",
		                         (json_int_t)line->counts[LETTER_DISCARDED], "first",
		                         (json_int_t)line->first_ms, "last", (json_int_t)line->last_ms);
		json_object_set_new(json, "reason", record_view_bytes_json(&bytes));
		json_print_line(stdout, json);
		return;
	}
	record_view_text(*line->reason ? line->reason : "(none)", &reason);
	printf("%-24s %9" PRId64 " %9" PRId64 " %9" PRId64 " %9" PRId64 "  %-24s  %-24s\n", buf_text(&reason), all,
	       line->counts[LETTER_OPEN], line->counts[LETTER_REDRIVEN], line->counts[LETTER_DISCARDED],
	       timestamp_text(line->first_ms, first), timestamp_text(line->last_ms, last));
	buf_fini(&reason);
}

#define REASONS_MAX 1000 /* of a .dlq that others write to, too */

static int list(struct job *job)
{
	struct line *lines = arena_alloc(&job->letters.arena, REASONS_MAX * sizeof *lines);
	size_t count = count_by_reason(&job->letters, lines, REASONS_MAX);
	qsort(lines, count, sizeof *lines, by_reason);
	if (!job->settings->json)
		printf("%-24s %9s %9s %9s %9s  %-24s  %-24s\n", "REASON", "LETTERS", "OPEN", "REDRIVEN", "DISCARDED",
		       "FIRST", "LAST");
	for (size_t i = 0; i < count; i++)
		print_line(job, &lines[i]);
	return EXIT_DONE;
}

/* ---- show ---- */

static void put_state(const struct letters *letters, const struct letter *letter, struct buf *out)
{
	buf_putf(out, "%s", letter_state_name(letter->state));
	if (letter->state != LETTER_OPEN)
		buf_putf(out, " at %s/%" PRId32 "@%" PRId64, letters->topic, letter->target, letter->done_offset);
	if (letter->again_of)
		buf_putf(out, ", a redrive of letter %" PRIu64, letter->again_of);
}

static json_t *letter_json(const struct letters *letters, const struct letter *letter, const struct record_view *view)
{
	json_t *json = record_view_json(view, letters->dlq, "unknown");
	json_object_set_new(json, "letter",
	                    json_pack("{s:I, s:s, s:o, s:o}", "number", (json_int_t)letter->number, "state",
	                              letter_state_name(letter->state), "done_offset",
	                              letter->state == LETTER_OPEN ? json_null() : json_integer(letter->done_offset),
	                              "again_of",
	                              letter->again_of ? json_integer((json_int_t)letter->again_of) : json_null()));
	return json;
}

static enum status print_letter(void *arg, const struct letter *letter, const struct log_record *record,
                                struct err *err)
{
	const struct job *job = arg;
	struct arena arena = {0};
	struct buf line = {0};
	struct record_view view;
	record_view(record, &arena, &view);
	if (job->settings->json) {
		json_t *json = letter_json(&job->letters, letter, &view);
		record_view_dump(json, &line);
		json_decref(json);
	} else {
		buf_putf(&line, "%" PRIu64 " (", letter->number);
		put_state(&job->letters, letter, &line);
		buf_putf(&line, ") ");
		record_view_line(&view, job->letters.dlq, &line);
	}
	buf_put_u8(&line, '\n');
	enum status status = OK;
	if (fwrite(line.data, 1, line.len, stdout) != line.len)
		status = err_set(err, FATAL, errno == EPIPE ? "pipe" : "io", "standard output: %s", strerror(errno));
	buf_fini(&line);
	arena_fini(&arena);
	return status;
}

static int show(struct job *job)
{
	enum status status = letters_each(&job->letters, print_letter, job, &job->err);
	if (status == OK)
		return EXIT_DONE;
	return err_is(&job->err, "pipe") ? EXIT_FAILED : failed(job, "show", EXIT_FAILED);
}

/* ---- redrive, discard ---- */

static bool takes_publishers(const char *topic)
{
	for (size_t i = 0; i < event_type_count; i++)
		if (event_types[i]->origin == EVENT_PUBLISHER && event_types[i]->topic &&
		    strcmp(event_types[i]->topic, topic) == 0)
			return true;
	return false;
}

static void print_acted(const struct job *job, const char *verb, int64_t done, bool really, bool whole)
{
	int64_t open = job->chosen[LETTER_OPEN];
	if (job->settings->json) {
		json_print_line(stdout,
		                json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b}", "topic", job->letters.topic,
		                          "action", verb, "open", (json_int_t)open, "sent", (json_int_t)done,
		                          "redriven_before", (json_int_t)job->chosen[LETTER_REDRIVEN],
		                          "discarded_before", (json_int_t)job->chosen[LETTER_DISCARDED], "dry_run",
		                          !really, "whole", whole));
		return;
	}
	printf("%s%s %" PRId64 " of %" PRId64 " open letters of %s\n", really ? "" : "would have ", verb,
	       really ? done : open, open, job->letters.topic);
	if (job->chosen[LETTER_REDRIVEN] || job->chosen[LETTER_DISCARDED])
		printf("done before: %" PRId64 " redriven, %" PRId64 " discarded\n", job->chosen[LETTER_REDRIVEN],
		       job->chosen[LETTER_DISCARDED]);
}

static int act(struct job *job, const char *action, const char *verb, bool discards)
{
	const struct settings *settings = job->settings;
	bool really = settings->yes && !settings->dry_run;
	struct act_result result = {0};
	const struct act_config config = {.discard = discards,
	                                  .why = settings->why ? settings->why : "",
	                                  .rate = settings->rate,
	                                  .patience_ms = settings->patience_ms,
	                                  .seam = &seam_system};
	if (!discards && !takes_publishers(job->letters.topic))
		return config_misuse(job->config, "redrive: no publisher sends to %s, so nothing could be taken there",
		                     job->letters.topic);
	for (size_t i = 0; i < job->letters.count; i++) /* what is done is counted, and not done again */
		job->letters.items[i].chosen &= job->letters.items[i].state == LETTER_OPEN;
	enum status status = really ? act_run(&job->letters, &config, &result, &job->err) : OK;
	print_acted(job, verb, result.sent, really, status == OK);
	if (status != OK) {
		failed(job, action, EXIT_FAILED);
		fprintf(stderr,
		        "tandem dlq %s: the same command again does the rest; what was sent is not taken twice\n",
		        action);
		return result.sent ? EXIT_PARTLY : EXIT_FAILED;
	}
	if (really || settings->dry_run || !job->chosen[LETTER_OPEN])
		return EXIT_DONE;
	fprintf(stderr, "tandem dlq %s: found no --yes, so nothing was sent\n", action);
	return EXIT_USAGE;
}

static int redrive(struct job *job)
{
	return act(job, "redrive", "redriven", false);
}

static int discard(struct job *job)
{
	return act(job, "discard", "discarded", true);
}

/* ---- */

static const struct {
	const char *name;
	action_run *run;
} actions[] = {{"list", list}, {"show", show}, {"redrive", redrive}, {"discard", discard}};

static int run_action(struct job *job, size_t action)
{
	struct log *log;
	int exit_status = EXIT_FAILED;
	if (!(log = config_open_log(job->config, &exit_status)))
		return exit_status;
	enum status status = letters_open(log, job->settings->topic, interrupt_requested, &job->letters, &job->err);
	if (status == OK && job->settings->partition >= job->letters.partitions)
		status = err_set(&job->err, REJECT, "usage",
		                 "-p: found %" PRId64 ", expected 0 to %" PRId32 " of topic %s",
		                 job->settings->partition, job->letters.partitions - 1, job->letters.topic);
	if (status == OK)
		status = done_read(&job->letters, &job->err);
	if (status == OK) {
		say_foreign(job);
		choose(job);
		exit_status = actions[action].run(job);
		if (fflush(stdout) != 0 && exit_status == EXIT_DONE)
			exit_status = EXIT_FAILED;
	} else {
		exit_status = failed(job, actions[action].name,
		                     err_is(&job->err, "usage") ? EXIT_USAGE : config_exit_status(&job->err));
	}
	letters_close(&job->letters);
	log_close(log);
	return exit_status;
}

static int run(const struct config *config, void *arg)
{
	struct job job = {.config = config, .settings = arg, .from = -1, .to = -1};
	if (config->rest_count != 1)
		return config_misuse(config, "found %zu operands, expected one of list, show, redrive, discard",
		                     config->rest_count);
	int exit_status = select_letters(&job);
	if (exit_status >= 0)
		return exit_status;
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (strcmp(config->rest[0], actions[i].name) == 0)
			return run_action(&job, i);
	return config_misuse(config, "found '%s', expected one of list, show, redrive, discard", config->rest[0]);
}

static int dlq_main(int argc, char **argv)
{
	struct settings settings = {.partition = -1, .rate = 100, .patience_ms = 60000};
	const struct config_option options[] = {
		{.name = "topic",
	         .letter = 't',
	         .kind = CONFIG_TEXT,
	         .value = &settings.topic,
	         .placeholder = "TOPIC",
	         .help = "the dead letters of this input topic"},
		CONFIG_PARTITION_OPTION(&settings.partition, "only of this partition; -1: all"),
		{.name = "reason",
	         .kind = CONFIG_TEXT,
	         .value = &settings.reason,
	         .placeholder = "CODE",
	         .help = "only with this reason (docs/dead-letters.md)"},
		CONFIG_KEY_OPTION(&settings.key),
		{.name = "since",
	         .kind = CONFIG_TIME,
	         .value = &settings.since,
	         .placeholder = "TIME",
	         .help = "only from this time on: milliseconds since 1970, or ISO 8601 (UTC without an offset)"},
		{.name = "until",
	         .kind = CONFIG_TIME,
	         .value = &settings.until,
	         .placeholder = "TIME",
	         .help = "only before this time"},
		{.name = "offset",
	         .kind = CONFIG_TEXT,
	         .value = &settings.offset,
	         .placeholder = "N[-M]",
	         .help = "only at this offset of the .dlq, or from N to M"},
		{.name = "state",
	         .kind = CONFIG_CHOICE,
	         .value = &settings.state,
	         .choices = states,
	         .placeholder = "STATE",
	         .help = "list, show: only these"},
		{.name = "rate",
	         .kind = CONFIG_INT,
	         .value = &settings.rate,
	         .min = 0,
	         .max = 1000000,
	         .placeholder = "N",
	         .help = "redrive, discard: at most so many a second; 0: as fast as they go"},
		{.name = "why",
	         .kind = CONFIG_TEXT,
	         .value = &settings.why,
	         .placeholder = "TEXT",
	         .help = "discard: kept beside it in the topic"},
		CONFIG_DRY_RUN_OPTION(&settings.dry_run, "redrive, discard: say what would be done"),
		{.name = "yes", .kind = CONFIG_FLAG, .value = &settings.yes, .help = "redrive, discard: really do it"},
		CONFIG_PATIENCE_OPTION(&settings.patience_ms, "give up when nothing was acknowledged for so long"),
		CONFIG_JSON_OPTION(&settings.json, "print JSON"),
	};
	const struct config_program program = {.usage = "tandem dlq -t TOPIC [options] list|show|redrive|discard",
	                                       .summary = summary,
	                                       .examples = examples,
	                                       .options = options,
	                                       .option_count = sizeof options / sizeof *options};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command dlq_command = {.name = "dlq",
                                    .summary = "dead letters: list and show them, send them back, or give them up",
                                    .main = dlq_main};
