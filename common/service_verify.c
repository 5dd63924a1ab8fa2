/* tandem SERVICE verify: the partitions side by side on all cores, one log connection a thread. */
#include "service_args.h"

#include "command.h"
#include "interrupt.h"
#include "json.h"
#include "metrics.h"
#include "metrics_file.h"
#include "progress.h"
#include "seam.h"
#include "verify.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char examples[] =
	"  tandem order verify --log local:demo --data state           every partition\n"
	"  tandem inventory verify -b localhost:9092 --data state -p 3    one of them, while its worker runs\n"
	"  tandem order verify -b localhost:9092 --data state --metrics-file /var/lib/prometheus/node-exporter/order.prom\n";

#define MEMORY_BYTES (128 << 20) /* of all that is folded side by side */

struct job {
	enum status status;
	struct verify_result result;
	struct err err;
	double seconds;
};

struct verify_run {
	struct service_args args;
	int64_t threads;
	const char *metrics_path;
	struct job *jobs; /* one a partition */
	atomic_size_t next;
	atomic_llong records; /* folded by all, for the progress line */
	pthread_mutex_t lock; /* of progress */
	struct progress progress;
};

static size_t thread_count(const struct verify_run *run)
{
	return run->args.chosen.count < (size_t)run->threads ? run->args.chosen.count : (size_t)run->threads;
}

/* What is held need not be written, read back and written again: as much of it as there is room. */
static size_t memory_of_one(const struct verify_run *run)
{
	size_t share = MEMORY_BYTES / thread_count(run);
	return share > TASK_MEMORY_BYTES ? share : TASK_MEMORY_BYTES;
}

struct verify_thread {
	struct verify_run *run;
	int64_t shown; /* records of this partition that are in run->records */
};

static bool on_progress(void *arg, int32_t partition, int64_t records)
{
	struct verify_thread *thread = arg;
	(void)partition;
	int64_t all = atomic_fetch_add(&thread->run->records, records - thread->shown) + records - thread->shown;
	thread->shown = records;
	pthread_mutex_lock(&thread->run->lock);
	progress_update(&thread->run->progress, all);
	pthread_mutex_unlock(&thread->run->lock);
	return !interrupt_requested();
}

static void verify_one(struct verify_thread *thread, struct log *log, size_t at)
{
	struct verify_run *run = thread->run;
	struct job *job = &run->jobs[at];
	const struct verify_config config = {.service = run->args.service,
	                                     .log = log,
	                                     .data = run->args.data,
	                                     .partition = run->args.chosen.items[at],
	                                     .memory_bytes = memory_of_one(run),
	                                     .reverse = getenv("TANDEM_REVERSE") != NULL,
	                                     .progress = on_progress,
	                                     .arg = thread};
	int64_t start = seam_monotonic_us(&seam_system);
	thread->shown = 0;
	job->status = verify_partition(&config, &job->result, &job->err);
	job->seconds = (double)(seam_monotonic_us(&seam_system) - start) / 1e6;
}

static void *verify_some(void *arg)
{
	struct verify_thread thread = {.run = arg};
	int exit_status;
	struct log *log = config_open_log(&thread.run->args.config, &exit_status);
	for (size_t at; log && (at = atomic_fetch_add(&thread.run->next, 1)) < thread.run->args.chosen.count;)
		verify_one(&thread, log, at);
	log_close(log);
	return NULL;
}

static void verify_all(struct verify_run *run)
{
	size_t count = thread_count(run);
	pthread_t *threads = mem_zalloc(count, sizeof *threads);
	size_t started = 0;
	while (started < count && pthread_create(&threads[started], NULL, verify_some, run) == 0)
		started++;
	if (started == 0)
		verify_some(run);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	mem_free(threads);
}

static const char *verdict_of(const struct job *job)
{
	if (job->status == OK)
		return job->result.same ? "same" : "DIFFERS";
	return job->status == REJECT ? "no file" : "FAILED";
}

static void print_difference(const struct service *service, int32_t partition, const struct verify_difference *d)
{
	printf("first difference in %s/%d: table %s, key %s%s%s: the file has %s, the log gives %s; ", service->name,
	       partition, d->table, d->key, *d->column ? ", column " : "", d->column, d->file, d->folded);
	if (d->offset >= 0)
		printf("record %s/%d offset %lld wrote it last\n", service->input, partition, (long long)d->offset);
	else
		printf("no record wrote it\n");
}

static void print_table(const struct verify_run *run)
{
	printf("%-10s %9s %10s %10s  %-16s %s\n", "SERVICE", "PARTITION", "RECORDS", "RECORDS/S", "STATE", "VERDICT");
	for (size_t i = 0; i < run->args.chosen.count; i++) {
		const struct job *job = &run->jobs[i];
		printf("%-10s %9d %10lld %10.0f  %016" PRIx64 " %s\n", run->args.service->name,
		       run->args.chosen.items[i], (long long)job->result.records,
		       job->seconds > 0 ? (double)job->result.records / job->seconds : 0.0, job->result.state_hash,
		       verdict_of(job));
	}
	for (size_t i = 0; i < run->args.chosen.count; i++)
		if (run->jobs[i].status == OK && !run->jobs[i].result.same)
			print_difference(run->args.service, run->args.chosen.items[i], &run->jobs[i].result.difference);
}

static json_t *difference_json(const struct verify_difference *d)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}", "table", d->table, "key", d->key, "column", d->column,
	                         "file", d->file, "log", d->folded);
	if (json)
		json_object_set_new(json, "offset", d->offset >= 0 ? json_integer(d->offset) : json_null());
	return json ? json : json_null();
}

static void print_json(const struct verify_run *run)
{
	for (size_t i = 0; i < run->args.chosen.count; i++) {
		const struct job *job = &run->jobs[i];
		char hash[17];
		snprintf(hash, sizeof hash, "%016" PRIx64, job->result.state_hash);
		json_t *json = json_pack("{s:s, s:i, s:s, s:I, s:s}", "service", run->args.service->name, "partition",
		                         run->args.chosen.items[i], "verdict", verdict_of(job), "records",
		                         (json_int_t)job->result.records, "state", hash);
		if (job->status == OK && !job->result.same)
			json_object_set_new(json, "difference", difference_json(&job->result.difference));
		if (job->status != OK)
			json_object_set_new(json, "error", json_string(job->err.text));
		json_print_line(stdout, json);
	}
}

/* ---- for who was not there ---- */

static int64_t count_of(const struct verify_run *run, const char *verdict, int64_t *records)
{
	int64_t count = 0;
	*records = 0;
	for (size_t i = 0; i < run->args.chosen.count; i++) {
		count += strcmp(verdict_of(&run->jobs[i]), verdict) == 0;
		*records += run->jobs[i].result.records;
	}
	return count;
}

static void put_metrics(const struct verify_run *run, int64_t seconds_us, struct buf *page)
{
	static const char partitions[] = "tandem_verify_partitions", at[] = "tandem_verify_timestamp_seconds",
			  took[] = "tandem_verify_duration_seconds", folded[] = "tandem_verify_records";
	static const char *const results[][2] = {
		{"same", "same"}, {"DIFFERS", "differs"}, {"no file", "no_file"}, {"FAILED", "failed"}};
	const char *service = run->args.service->name;
	int64_t records = 0;
	metrics_family(page, partitions, "gauge", "What verify found last, partition by partition.");
	for (size_t i = 0; i < COUNT_OF(results); i++)
		metrics_sample(page, partitions, count_of(run, results[i][0], &records),
		               METRICS_TEXT("service", service), METRICS_TEXT("result", results[i][1]));
	metrics_family(page, at, "gauge", "When verify ended last.");
	metrics_seconds(page, at, seam_wall_ms(&seam_system) * 1000, METRICS_TEXT("service", service));
	metrics_family(page, took, "gauge", "How long it took.");
	metrics_seconds(page, took, seconds_us, METRICS_TEXT("service", service));
	metrics_family(page, folded, "gauge", "Records that it folded.");
	metrics_sample(page, folded, records, METRICS_TEXT("service", service));
}

/* What was interrupted says nothing. */
static enum status write_metrics(const struct verify_run *run, struct metrics_file *file, int64_t begun_us,
                                 struct err *err)
{
	struct buf page = {0};
	if (!file || interrupt_requested()) {
		metrics_file_drop(file);
		return OK;
	}
	put_metrics(run, seam_monotonic_us(&seam_system) - begun_us, &page);
	enum status status = metrics_file_write(file, &page, err);
	buf_fini(&page);
	return status;
}

static int exit_status_of(const struct verify_run *run)
{
	int exit_status = EXIT_DONE;
	for (size_t i = 0; i < run->args.chosen.count; i++) {
		const struct job *job = &run->jobs[i];
		if (job->status == OK && !job->result.same)
			exit_status = EXIT_DIFFERS;
		if (job->status == OK || exit_status == EXIT_DIFFERS)
			continue;
		fprintf(stderr, "tandem %s verify: partition %d: %s\n", run->args.service->name,
		        run->args.chosen.items[i], job->err.text);
		exit_status = job->status == REJECT || err_is(&job->err, "interrupted") ? EXIT_PARTLY
		                                                                        : config_exit_status(&job->err);
	}
	return exit_status;
}

static void look(struct verify_run *run)
{
	for (size_t i = 0; i < run->args.chosen.count; i++) {
		run->jobs[i].status = FATAL;
		err_set(&run->jobs[i].err, FATAL, "not_done", "it was not looked at");
	}
	pthread_mutex_init(&run->lock, NULL);
	progress_start(&run->progress, &seam_system, "records folded", 0);
	verify_all(run);
	progress_end(&run->progress);
	pthread_mutex_destroy(&run->lock);
}

static int verify_and_say(struct verify_run *run)
{
	struct err err = {0};
	struct metrics_file *file = NULL;
	int64_t begun_us = seam_monotonic_us(&seam_system);
	if (run->metrics_path && metrics_file_open(run->metrics_path, &file, &err) != OK)
		return config_misuse(&run->args.config, "--metrics-file: %s", err.text);
	run->jobs = mem_zalloc(run->args.chosen.count, sizeof *run->jobs);
	look(run);
	if (run->args.json)
		print_json(run);
	else
		print_table(run);
	int exit_status = exit_status_of(run);
	if (write_metrics(run, file, begun_us, &err) != OK) {
		service_say(&run->args, "verify", &err);
		exit_status = exit_status == EXIT_DONE ? EXIT_FAILED : exit_status;
	}
	mem_free(run->jobs);
	return exit_status;
}

int service_verify(const struct service *service, int argc, char **argv)
{
	struct verify_run run = {.args = {.service = service, .data = "data", .folds = true},
	                         .threads = sysconf(_SC_NPROCESSORS_ONLN)};
	const struct config_option options[] = {
		SERVICE_DATA_OPTION(&run.args),
		SERVICE_PARTITIONS_OPTION(&run.args, "only these, like 0,2-4"),
		SERVICE_JSON_OPTION(&run.args),
		{.name = "threads",
	         .kind = CONFIG_INT,
	         .value = &run.threads,
	         .min = 1,
	         .max = 256,
	         .placeholder = "N",
	         .help = "partitions side by side"},
		{.name = "metrics-file",
	         .kind = CONFIG_TEXT,
	         .value = &run.metrics_path,
	         .placeholder = "FILE",
	         .help = "put the result there for Prometheus, by node_exporter's textfile collector (*.prom)"},
	};
	char usage[SERVICE_USAGE_ROOM];
	service_usage(usage, service, "verify [options]");
	const struct config_program program = {
		.usage = usage,
		.summary =
			"Folds the log afresh up to where each file is and compares every table. Disturbs nothing; the worker\n"
			"may run. Exit status 0: the state is what the log determines. 4: it is not, and the first difference\n"
			"is named. 3: some files are not there.",
		.examples = examples,
		.options = options,
		.option_count = COUNT_OF(options)};
	int exit_status;
	interrupt_install();
	if (!service_args_open(&run.args, &program, argc, argv, &exit_status))
		return exit_status;
	exit_status = verify_and_say(&run);
	service_args_close(&run.args);
	return exit_status;
}
