/* tandem SERVICE run */
#include "service_args.h"

#include "command.h"
#include "interrupt.h"
#include "logging.h"
#include "observer.h"
#include "seam.h"
#include "trace_options.h"
#include "tracer.h"
#include "worker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_MS        100
#define AWAIT_FIRST_MS 250
#define AWAIT_MAX_MS   10000
#define AWAIT_SAY_MS   60000

static const char examples[] =
	"  tandem order run --log local:demo --data state                 a broker is not needed\n"
	"  tandem order run -b localhost:9092 --data state                joins the group tandem-order\n"
	"  tandem order run -b localhost:9092 --data state --until-end    drains what is there, then ends\n"
	"  tandem order run -b localhost:9092 --data state --partitions 0,2    without a group\n";

struct run {
	struct service_args args;
	const char *instance_id, *listen;
	int64_t commit_interval_ms, commit_records, session_timeout_ms, ready_lag_ms;
	bool until_end, full_sync;
	struct trace_options traces;
	struct logging *logging;
	struct observer *observer; /* NULL: nobody asked for it */
	struct span_export *export;
};

static void loop(struct worker *worker, const struct worker_config *config, struct observer *observer)
{
	for (;;) {
		enum worker_step step = worker_step(worker);
		observer_turn(observer, worker, config, step == WORKER_IDLE);
		if (step == WORKER_DONE)
			return;
		if (step == WORKER_IDLE)
			worker_wait(worker, WAIT_MS);
		if (interrupt_requested())
			worker_stop(worker);
	}
}

static int exit_status_of(const struct service_args *args, enum status result, const struct err *err)
{
	if (result == OK)
		return EXIT_DONE;
	service_say(args, "run", err);
	if (result == RETRY)
		return EXIT_PARTLY;
	return config_exit_status(err);
}

/* A task that catches up has a thread and a connection of its own. */
static struct log *connect_another(void *arg)
{
	const struct service_args *args = arg;
	int exit_status;
	return config_open_log(&args->config, &exit_status);
}

static int run_worker(struct run *run, struct tracer *tracer)
{
	struct service_args *args = &run->args;
	struct err err = {0};
	struct worker *worker;
	const struct worker_config config = {
		.service = args->service,
		.log = args->log,
		.seam = &seam_system,
		.logging = run->logging,
		.data = args->data,
		.partitions = args->partitions ? args->chosen.items : NULL,
		.partition_count = args->partitions ? args->chosen.count : 0,
		.instance_id = run->instance_id,
		.session_timeout_ms = (int)run->session_timeout_ms,
		.commit_interval_ms = run->commit_interval_ms,
		.commit_records_max = run->commit_records,
		.until_end = run->until_end,
		.full_sync = run->full_sync,
		.tracer = tracer,
		.meter = observer_meter(run->observer),
		.catch_up_threads = (int)sysconf(_SC_NPROCESSORS_ONLN),
		.connect = connect_another,
		.connect_arg = args,
		.reverse =
			getenv("TANDEM_REVERSE") != NULL, /* for the tests: SELECTs without ORDER BY come backwards */
	};
	log_set_statistics(args->log, observer_statistics(run->observer));
	enum status status = worker_open(&config, &worker, &err);
	if (status != OK)
		return exit_status_of(args, FATAL, &err);
	loop(worker, &config, run->observer);
	status = worker_result(worker, &err);
	struct worker_counts counts;
	worker_counts(worker, &counts);
	logging_write(run->logging, LOGGING_INFO, "worker ends", LOGGING_INT("folded", counts.folded),
	              LOGGING_INT("sent", counts.sent), LOGGING_INT("commits", counts.commits),
	              LOGGING_INT("rejected", counts.verdicts[TASK_REJECTED]),
	              LOGGING_INT("repeats", counts.verdicts[TASK_REPEAT]), LOGGING_INT("rollbacks", counts.rollbacks));
	worker_close(worker);
	return exit_status_of(args, status, &err);
}

/* With spans, where they are asked for. */
static int run_traced(struct run *run)
{
	const struct service_args *args = &run->args;
	const struct tracer_config config = {.seam = &seam_system,
	                                     .log = args->log,
	                                     .service = args->service->name,
	                                     .input = args->service->input,
	                                     .export = run->export,
	                                     .one_in = run->traces.one_in};
	struct tracer *tracer = run->export ? tracer_new(&config) : NULL;
	int exit_status = run_worker(run, tracer);
	tracer_free(tracer);
	return exit_status;
}

/* ---- before the worker: what others see of it, then the log ---- */

/* What is of a wrong form is refused before anything is asked of the log. */
static enum status open_outside(struct run *run, struct err *err)
{
	const struct service *service = run->args.service;
	char *name = mem_format("tandem-%s", service->name);
	const struct otlp_source source = {.service = name, .group = name, .instance = run->instance_id};
	const struct observer_config config = {.address = run->listen,
	                                       .seam = &seam_system,
	                                       .logging = run->logging,
	                                       .service = service->name,
	                                       .ready_lag_ms = run->ready_lag_ms};
	enum status status =
		trace_options_open(&run->traces, &run->args.config, &source, run->logging, &run->export, err);
	if (status == OK && run->listen)
		status = observer_open(&config, &run->observer, err);
	mem_free(name);
	return status;
}

static void wait_ms(int64_t ms)
{
	for (; ms > 0 && !interrupt_requested(); ms -= WAIT_MS)
		poll(NULL, 0, WAIT_MS);
}

/* Who is watched waits for a log that does not answer yet, and says so: a broker may start after its workers. Who is not, and who
 * drains and ends, gives up at once. RETRY: it is to stop. */
static enum status await_log(struct run *run, struct err *err)
{
	struct service_args *args = &run->args;
	int64_t pause_ms = AWAIT_FIRST_MS, said_us = 0;
	for (;;) {
		enum status status =
			partitions_choose(args->log, args->service->input, args->partitions, &args->chosen, err);
		if (status != RETRY || !run->observer || run->until_end || interrupt_requested()) {
			observer_waits(run->observer, NULL);
			return status;
		}
		observer_waits(run->observer, err->text);
		int64_t now_us = seam_monotonic_us(&seam_system);
		if (!said_us || now_us - said_us >= AWAIT_SAY_MS * 1000LL) {
			logging_write(run->logging, LOGGING_WARNING, "the log does not answer yet; it is tried again",
			              LOGGING_TEXT("reason", err->code), LOGGING_TEXT("detail", err->text));
			said_us = now_us;
		}
		wait_ms(pause_ms);
		pause_ms = pause_ms * 2 < AWAIT_MAX_MS ? pause_ms * 2 : AWAIT_MAX_MS;
	}
}

static enum status watch_log(struct run *run, struct err *err)
{
	const struct service_args *args = &run->args;
	const struct observer_log log = {.topic = args->service->input,
	                                 .full_topic = log_full_name(args->log, args->service->input),
	                                 .url = args->config.log,
	                                 .name_space = args->config.name_space,
	                                 .settings = args->config.settings,
	                                 .setting_count = args->config.setting_count};
	return run->observer ? observer_watch(run->observer, &log, err) : OK;
}

static int run_all(struct run *run)
{
	struct service_args *args = &run->args;
	struct err err = {0};
	int exit_status;
	enum status status = open_outside(run, &err);
	if (status == OK) {
		args->log = config_open_log(&args->config, &exit_status);
		if (!args->log)
			return exit_status;
		status = await_log(run, &err);
		if (status == RETRY && run->observer && interrupt_requested())
			return EXIT_DONE;
	}
	if (status == OK)
		status = watch_log(run, &err);
	if (status == OK)
		return run_traced(run);
	service_say(args, "run", &err);
	return status == REJECT ? EXIT_USAGE : config_exit_status(&err);
}

int service_run(const struct service *service, int argc, char **argv)
{
	struct run run = {.args = {.service = service, .data = "data"},
	                  .commit_interval_ms = 200,
	                  .commit_records = 100000,
	                  .session_timeout_ms = 45000,
	                  .traces = TRACE_OPTIONS_DEFAULT,
	                  .ready_lag_ms = 30000};
	const struct config_option options[] = {
		SERVICE_DATA_OPTION(&run.args),
		SERVICE_PARTITIONS_OPTION(&run.args, "exactly these, without joining the group, like 0,2-4"),
		{.name = "until-end",
	         .kind = CONFIG_FLAG,
	         .value = &run.until_end,
	         .help = "end when what is there now is folded, committed and marked (3: a task halted)"},
		{.name = "commit-interval",
	         .kind = CONFIG_DURATION,
	         .value = &run.commit_interval_ms,
	         .min = 1,
	         .max = 60000,
	         .placeholder = "TIME",
	         .help = "between two commits; while there is more to fold, up to five times that"},
		{.name = "commit-records",
	         .kind = CONFIG_INT,
	         .value = &run.commit_records,
	         .min = 1,
	         .max = 1000000,
	         .placeholder = "N",
	         .help = "at most so many records a commit"},
		{.name = "instance-id",
	         .kind = CONFIG_TEXT,
	         .value = &run.instance_id,
	         .placeholder = "NAME",
	         .help = "static membership: keeps its partitions over a restart"},
		{.name = "session-timeout",
	         .kind = CONFIG_DURATION,
	         .value = &run.session_timeout_ms,
	         .min = 1000,
	         .max = 1800000,
	         .placeholder = "TIME",
	         .help = "a member silent for so long is gone"},
		{.name = "full-sync",
	         .kind = CONFIG_FLAG,
	         .value = &run.full_sync,
	         .help = "fsync the task files at every commit (they can be rebuilt without)"},
		{.name = "listen",
	         .kind = CONFIG_TEXT,
	         .value = &run.listen,
	         .placeholder = "[HOST:]PORT",
	         .help = "serve /livez, /readyz, /health and /metrics there; on 127.0.0.1 without HOST"},
		{.name = "ready-lag",
	         .kind = CONFIG_DURATION,
	         .value = &run.ready_lag_ms,
	         .min = 1000,
	         .max = 86400000,
	         .placeholder = "TIME",
	         .help = "ready while the oldest record not folded is no older"},
		TRACE_OPTIONS(&run.traces),
	};
	char usage[SERVICE_USAGE_ROOM];
	service_usage(usage, service, "run [options]");
	const struct config_program program = {
		.usage = usage,
		.summary =
			"Runs the worker: folds its partitions into the files under --data and sends what follows from it.\n"
			"SIGTERM commits the open batch and leaves the group. With --listen it waits for a log that does not\n"
			"answer yet, alive and not ready; without, and with --until-end, it ends with 1 then.",
		.examples = examples,
		.options = options,
		.option_count = COUNT_OF(options)};
	int exit_status;
	interrupt_install();
	if (!service_args_parse(&run.args, &program, argc, argv, &exit_status))
		return exit_status;
	struct logging_config logging = run.args.config.logging;
	logging.service = service->name;
	logging.seam = &seam_system;
	run.logging = logging_new(&logging);
	exit_status = run_all(&run);
	span_export_close(run.export);
	service_args_close(&run.args);
	observer_close(run.observer);
	logging_free(run.logging);
	return exit_status;
}
