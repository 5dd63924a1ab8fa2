/* tandem audit: do the services agree with each other, and with the log? The work is in audit/. */
#include "audit/audit.h"

#include "command.h"
#include "config.h"
#include "interrupt.h"

#include <poll.h>
#include <stdio.h>

#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 1000

struct settings {
	struct config_list data;
	const char *scratch;
	bool wait, json;
	int64_t timeout_ms;
};

static const char summary[] =
	"Compares the services with each other and with the log: each stream's source with its readers (number and chain\n"
	"hash), what goes outside with the last record in its topic, open gaps, and orders with stock. Works beside\n"
	"running workers. Tasks whose file is in no --data folder are folded from the log.\n"
	"Exit status: 0 all holds, 4 something differs, 3 something is under way or could not be looked at.";

static const char examples[] = "  tandem audit --log local:demo --data state             now\n"
			       "  tandem audit -b localhost:9092 --data a --data b --wait  when everything is drained\n"
			       "  tandem audit --log local:demo -J | jq '.streams[] | select(.verdict != \"holds\")'\n";

static bool going_on(void *arg)
{
	(void)arg;
	return !interrupt_requested();
}

static void complain(const struct err *err)
{
	fprintf(stderr, "tandem audit: %s\n", err->text);
}

/* Is there any use in looking again? What differs while nothing is under way goes on to differ. */
static bool is_final(const struct audit *audit)
{
	if (audit->drained)
		return true;
	for (size_t i = 0; i < audit->view_count; i++)
		if (!audit->views[i].path || audit->views[i].lag != 0)
			return false;
	return audit->verdict == AUDIT_DIFFERS;
}

/* Looks until it is final, or time is up; at least once. Between looks only positions are asked for. */
static enum status look(struct audit *audit, const struct settings *settings, struct err *err)
{
	int64_t until = seam_monotonic_us(&seam_system) + settings->timeout_ms * 1000;
	for (int pause = PAUSE_MIN_MS;; pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS) {
		bool last = !settings->wait || seam_monotonic_us(&seam_system) >= until || interrupt_requested();
		if (last || !audit_behind(audit)) {
			enum status status = audit_look(audit, err);
			if (status != OK || last || is_final(audit))
				return status;
		}
		poll(NULL, 0, pause); /* ends early at a signal */
	}
}

static int show(const struct audit *audit, const struct settings *settings)
{
	static const int statuses[] = {[AUDIT_HOLDS] = EXIT_DONE,
	                               [AUDIT_UNSETTLED] = EXIT_PARTLY,
	                               [AUDIT_UNSEEN] = EXIT_PARTLY,
	                               [AUDIT_DIFFERS] = EXIT_DIFFERS};
	if (settings->json)
		json_print_line(stdout, audit_json(audit));
	else
		audit_print(audit, stdout);
	return statuses[audit->verdict];
}

static int run(const struct config *config, void *arg)
{
	const struct settings *settings = arg;
	struct err err = {0};
	struct audit *audit;
	int exit_status = config_no_operands(config);
	if (exit_status >= 0)
		return exit_status;
	struct log *log = config_open_log(config, &exit_status);
	if (!log)
		return exit_status;
	const struct audit_config audit_config = {.log = log,
	                                          .data = settings->data.items,
	                                          .data_count = settings->data.count,
	                                          .scratch = settings->scratch,
	                                          .going_on = going_on};
	exit_status = EXIT_FAILED;
	enum status status = audit_open(&audit_config, &audit, &err);
	if (status == OK) {
		status = look(audit, settings, &err);
		if (status == OK)
			exit_status = show(audit, settings);
		else if (err_is(&err, "interrupted"))
			exit_status = EXIT_PARTLY;
		audit_close(audit);
	}
	if (status != OK) {
		complain(&err);
		exit_status = exit_status == EXIT_FAILED ? config_exit_status(&err) : exit_status;
	}
	log_close(log);
	return exit_status;
}

static int audit_main(int argc, char **argv)
{
	const char *here[] = {"data"};
	struct settings settings = {.data = {here, 1}, .timeout_ms = 60000};
	const struct config_option options[] = {
		CONFIG_DATA_LIST_OPTION(&settings.data),
		{.name = "wait",
	         .letter = 'w',
	         .kind = CONFIG_FLAG,
	         .value = &settings.wait,
	         .help = "wait until everything is drained: every task at its end, every stream equal"},
		{.name = "timeout",
	         .kind = CONFIG_DURATION,
	         .value = &settings.timeout_ms,
	         .min = 0,
	         .max = 86400000,
	         .placeholder = "TIME",
	         .help = "how long to wait"},
		{.name = "scratch",
	         .kind = CONFIG_TEXT,
	         .value = &settings.scratch,
	         .placeholder = "DIR",
	         .help = "folder for copies and folds; without it beside the files, and in memory where there are none"},
		CONFIG_JSON_OPTION(&settings.json, "print JSON"),
	};
	const struct config_program program = {.usage = "tandem audit [options]",
	                                       .summary = summary,
	                                       .examples = examples,
	                                       .options = options,
	                                       .option_count = sizeof options / sizeof *options};
	return config_run(&program, argc, argv, run, &settings);
}

const struct command audit_command = {
	.name = "audit",
	.summary = "compare the services with each other and with the log",
	.main = audit_main,
};
