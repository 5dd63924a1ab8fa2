/* tandem top: how the workers of this machine are doing, refreshed: a row a partition, from the task files and the log. Disturbs
 * nobody: files are read beside their owners, the log is asked for its ends. */
#include "command.h"
#include "config.h"
#include "interrupt.h"
#include "json.h"
#include "mem.h"
#include "partitions.h"
#include "seam.h"
#include "service.h"
#include "status.h"
#include "timestamp.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SLICE_MS      100
#define COLUMNS       80
#define HEADING_LINES 2

static const char summary[] =
	"Shows how workers are doing, every --interval: a row a partition of each service that has files under --data. On a\n"
	"terminal the table stays in its place; elsewhere each look adds lines.\n"
	"RECORDS/S: folded and committed since the last look. LAG: records of the log that are not. BEHIND: the age of the\n"
	"oldest of them, by this machine's clock. WRONG: what `tandem SERVICE status` explains.";

static const char examples[] = "  tandem top --log local:demo --data state\n"
			       "  tandem top -b localhost:9092 --data state --interval 5s order\n"
			       "  tandem top --log local:demo --data state --count 10 -J | jq .lag\n";

struct settings {
	const char *data;
	int64_t interval_ms, count;
	bool json;
};

struct row { /* one partition, over all looks */
	const struct service *service;
	struct status_report report;            /* in the arena of its look */
	const char *unreadable;                 /* NULL: it was read */
	int64_t last_next, last_us, per_second; /* per_second -1: not known yet */
	int64_t behind_ms;                      /* -1: not known */
};

struct top {
	const struct settings *settings;
	const struct seam *seam;
	struct log *log;
	struct row *rows;
	size_t count;
	struct arena arena; /* of the look */
	bool terminal;
};

/* ---- looking ---- */

static bool is_wanted(const struct config *config, const char *data, const struct service *service)
{
	bool named = false;
	for (size_t i = 0; i < config->rest_count; i++)
		named = named || strcmp(config->rest[i], service->name) == 0;
	char *folder = mem_format("%s/%s", data, service->name);
	bool there = access(folder, F_OK) == 0;
	mem_free(folder);
	return config->rest_count ? named : there;
}

static enum status add_service(struct top *top, const struct service *service, struct err *err)
{
	struct partitions all;
	enum status status = partitions_all(top->log, service->input, &all, err);
	if (status != OK)
		return status;
	top->rows = mem_realloc(top->rows, (top->count + all.count) * sizeof *top->rows);
	for (size_t i = 0; i < all.count; i++)
		top->rows[top->count++] = (struct row){
			.service = service, .report.partition = all.items[i], .per_second = -1, .behind_ms = -1};
	partitions_fini(&all);
	return OK;
}

/* The first record that is not committed says since when the task is behind. */
static int64_t behind_ms(struct top *top, const struct row *row)
{
	const struct status_report *report = &row->report;
	struct log_record record;
	bool found = false;
	if (report->lag <= 0)
		return report->lag;
	if (log_read_at(top->log, row->service->input, report->partition, report->next_offset, &top->arena, &record,
	                &found, NULL) != OK ||
	    !found)
		return -1;
	int64_t ms = seam_wall_ms(top->seam) - record.timestamp_ms;
	return ms > 0 ? ms : 0;
}

static void look_at(struct top *top, struct row *row)
{
	struct err err = {0};
	int32_t partition = row->report.partition;
	row->unreadable = NULL;
	if (status_glance(row->service, top->settings->data, partition, top->log, top->seam, &top->arena, &row->report,
	                  &err) != OK)
		row->unreadable = arena_copy(&top->arena, err.text, strlen(err.text));
	int64_t now_us = seam_monotonic_us(top->seam), folded = row->report.next_offset - row->last_next;
	row->per_second = -1;
	if (row->last_us && now_us > row->last_us && folded >= 0 && !row->unreadable)
		row->per_second = folded * 1000000 / (now_us - row->last_us);
	row->last_us = now_us;
	row->last_next = row->report.next_offset;
	row->behind_ms = row->unreadable ? -1 : behind_ms(top, row);
}

static void look(struct top *top)
{
	arena_reset(&top->arena);
	for (size_t i = 0; i < top->count && !interrupt_requested(); i++)
		look_at(top, &top->rows[i]);
}

/* ---- showing ---- */

static const char *state_text(const struct status_report *report)
{
	if (report->halted)
		return "halted";
	if (!report->running)
		return report->has_file ? "stopped" : "no file";
	return report->catching_up ? "catching up" : lock_state_name(report->state);
}

/* What needs a look, in few words. */
static const char *wrong_text(struct top *top, const struct row *row)
{
	const struct status_report *report = &row->report;
	if (row->unreadable)
		return row->unreadable;
	if (report->halted)
		return report->halt.reason;
	if (report->gap_count)
		return arena_format(&top->arena, "%s of %s", report->gaps[0].verdict,
		                    *report->gaps[0].service ? report->gaps[0].service : "unknown");
	return report->log_error ? report->log_error : "";
}

static const char *number_text(struct top *top, int64_t number)
{
	return number < 0 ? "-" : arena_format(&top->arena, "%lld", (long long)number);
}

static const char *age_text(struct top *top, int64_t ms)
{
	if (ms < 0)
		return "-";
	if (ms < 10000)
		return arena_format(&top->arena, "%lld ms", (long long)ms);
	return ms < 600000 ? arena_format(&top->arena, "%lld s", (long long)ms / 1000)
	                   : arena_format(&top->arena, "%lld min", (long long)ms / 60000);
}

static const char *row_text(struct top *top, const struct row *row)
{
	return arena_format(&top->arena, "%-12s %4d  %-11s %10s %10s %9s  %s", row->service->name,
	                    row->report.partition, state_text(&row->report), number_text(top, row->per_second),
	                    number_text(top, row->report.lag), age_text(top, row->behind_ms), wrong_text(top, row));
}

static const char *heading(struct top *top)
{
	return arena_format(&top->arena, "%-12s %4s  %-11s %10s %10s %9s  %s", "SERVICE", "PART", "STATE", "RECORDS/S",
	                    "LAG", "BEHIND", "WRONG");
}

static const char *totals(struct top *top)
{
	char time[TIMESTAMP_TEXT_BYTES];
	int64_t per_second = 0, lag = 0;
	size_t halted = 0, running = 0;
	for (size_t i = 0; i < top->count; i++) {
		const struct row *row = &top->rows[i];
		per_second += row->per_second > 0 ? row->per_second : 0;
		lag += row->report.lag > 0 ? row->report.lag : 0;
		running += row->report.running;
		halted += row->report.halted;
	}
	return arena_format(&top->arena, "%s  %zu partitions, %zu running, %zu halted, %lld/s, lag %lld",
	                    timestamp_text(seam_wall_ms(top->seam), time), top->count, running, halted,
	                    (long long)per_second, (long long)lag);
}

/* Nothing that a file holds can drive the terminal, or break the table. */
static void put_line(const char *text, size_t columns)
{
	for (size_t i = 0; text[i] && i < columns; i++)
		putchar(text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
	fputs("\033[K\n", stdout);
}

static void show_on_terminal(struct top *top)
{
	struct winsize size = {0};
	size_t columns = COLUMNS, lines = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		columns = size.ws_col;
		lines = size.ws_row;
	}
	size_t room = lines > HEADING_LINES + 2 ? lines - HEADING_LINES - 2 : 1;
	fputs("\033[H", stdout);
	put_line(totals(top), columns);
	put_line(heading(top), columns);
	for (size_t i = 0; i < top->count && i < room; i++)
		put_line(row_text(top, &top->rows[i]), columns);
	if (top->count > room)
		put_line(arena_format(&top->arena, "and %zu more: name a service, or make the window higher",
		                      top->count - room),
		         columns);
	fputs("\033[J", stdout);
}

static void show_plainly(struct top *top)
{
	puts(totals(top));
	puts(heading(top));
	for (size_t i = 0; i < top->count; i++) {
		char *text = mem_strdup(row_text(top, &top->rows[i]));
		for (char *end = text + strlen(text); end > text && end[-1] == ' ';)
			*--end = 0;
		puts(text);
		mem_free(text);
	}
}

static json_t *unless_negative(int64_t number)
{
	return number < 0 ? json_null() : json_integer(number);
}

static void show_json(struct top *top)
{
	for (size_t i = 0; i < top->count; i++) {
		const struct row *row = &top->rows[i];
		json_t *json = json_pack("{s:I, s:s, s:i, s:s, s:I, s:o, s:o, s:o}", "ts_ms",
		                         (json_int_t)seam_wall_ms(top->seam), "service", row->service->name,
		                         "partition", row->report.partition, "state", state_text(&row->report),
		                         "next_offset", (json_int_t)row->report.next_offset, "records_per_second",
		                         unless_negative(row->per_second), "lag", unless_negative(row->report.lag),
		                         "behind_ms", unless_negative(row->behind_ms));
		const char *wrong = wrong_text(top, row);
		json_object_set_new(json, "wrong", *wrong ? json_string(wrong) : json_null());
		json_print_line(stdout, json);
	}
}

/* ---- the loop ---- */

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
			break;
		if (top->settings->json)
			show_json(top);
		else if (top->terminal)
			show_on_terminal(top);
		else
			show_plainly(top);
		if (fflush(stdout) != 0)
			return EXIT_FAILED;
	}
	return EXIT_DONE;
}

static int open_and_show(const struct config *config, const struct settings *settings)
{
	int exit_status = EXIT_DONE;
	struct err err = {0};
	struct top top = {
		.settings = settings, .seam = &seam_system, .terminal = isatty(STDOUT_FILENO) && !settings->json};
	for (size_t i = 0; i < config->rest_count; i++)
		if (!command_service(config->rest[i]))
			return config_misuse(config, "found '%s', expected the name of a service, such as order",
			                     config->rest[i]);
	top.log = config_open_log(config, &exit_status);
	if (!top.log)
		return exit_status;
	enum status status = OK;
	for (size_t i = 0; i < command_count && status == OK; i++)
		if (commands[i]->service && is_wanted(config, settings->data, commands[i]->service))
			status = add_service(&top, commands[i]->service, &err);
	if (status == OK && !top.count)
		status = err_set(&err, REJECT, "usage", "%s holds no service's files; name a service, or give --data",
		                 settings->data);
	if (status == OK)
		exit_status = show(&top);
	else
		fprintf(stderr, "tandem top: %s\n", err.text);
	if (status != OK)
		exit_status = status == REJECT ? EXIT_USAGE : EXIT_FAILED;
	mem_free(top.rows);
	arena_fini(&top.arena);
	log_close(top.log);
	return exit_status;
}

static int top(int argc, char **argv)
{
	struct settings settings = {.data = "data", .interval_ms = 2000};
	const struct config_option options[] = {
		{.name = "data",
	         .letter = 'd',
	         .kind = CONFIG_TEXT,
	         .value = &settings.data,
	         .placeholder = "DIR",
	         .help = "folder of the task files"},
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
	struct config config;
	int exit_status = -1;
	interrupt_install();
	config_parse(&program, argc, argv, &config, &exit_status);
	if (exit_status >= 0)
		return exit_status;
	exit_status = open_and_show(&config, &settings);
	config_free(&config);
	return exit_status;
}

const struct command top_command = {
	.name = "top", .summary = "how the workers of this machine are doing, refreshed", .main = top};
