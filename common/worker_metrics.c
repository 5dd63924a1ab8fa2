#include "worker_metrics.h"

#include "meter.h"
#include "metrics.h"
#include "version.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct page { /* being written */
	struct buf *out;
	const struct worker *worker;
	const struct worker_config *config;
	const char *topic;
};

/* One sample of a family for each task, or none. */
typedef void task_function(const struct page *page, const char *name, const struct worker_task *task);

static void each_task(const struct page *page, const char *name, const char *kind, const char *help, task_function *put)
{
	metrics_family(page->out, name, kind, help);
	for (size_t i = 0; i < worker_task_count(page->worker); i++) {
		struct worker_task task;
		worker_task(page->worker, i, &task);
		put(page, name, &task);
	}
}

static void put_value(const struct page *page, const char *name, const struct worker_task *task, int64_t value)
{
	metrics_sample(page->out, name, value, METRICS_TEXT("topic", page->topic),
	               METRICS_INT("partition", task->partition));
}

/* ---- the worker ---- */

static void put_total(const struct page *page, const char *name, const char *help, int64_t value)
{
	metrics_family(page->out, name, "counter", help);
	metrics_sample(page->out, name, value, METRICS_TEXT("topic", page->topic));
}

void worker_metrics_build(const char *service, struct buf *out)
{
	char librdkafka[16];
	int version = log_kafka_version();
	snprintf(librdkafka, sizeof librdkafka, "%d.%d.%d", version >> 24 & 0xff, version >> 16 & 0xff,
	         version >> 8 & 0xff);
	metrics_family(out, "tandem_build_info", "gauge", "The program that runs, and its worker.");
	metrics_sample(out, "tandem_build_info", 1, METRICS_TEXT("version", tandem_version),
	               METRICS_TEXT("service", service), METRICS_TEXT("librdkafka", librdkafka));
}

static void put_worker(const struct page *page)
{
	struct worker_counts counts;
	worker_counts(page->worker, &counts);
	worker_metrics_build(page->config->service->name, page->out);
	put_total(page, "tandem_outputs_total", "Events handed to the producer.", counts.sent);
	put_total(page, "tandem_outputs_acknowledged_total", "Events that the log has acknowledged, or refused.",
	          counts.acknowledged);
	put_total(page, "tandem_task_commits_total", "COMMITs of a task's file.", counts.commits);
	put_total(page, "tandem_group_commits_total", "Commits of the group's offsets.", counts.marks);
	put_total(page, "tandem_rollbacks_total", "Times that all open batches were dropped, to be folded again.",
	          counts.rollbacks);
}

/* ---- a task ---- */

static void put_running(const struct page *page, const char *name, const struct worker_task *task)
{
	put_value(page, name, task, task->task != NULL || task->catching_up);
}

static void put_state(const struct page *page, const char *name, const struct worker_task *task)
{
	const char *state = task->halted        ? "halted"
	                    : task->why         ? "retrying"
	                    : task->catching_up ? "catching up"
	                                        : lock_state_name(task->state);
	metrics_sample(page->out, name, 1, METRICS_TEXT("topic", page->topic),
	               METRICS_INT("partition", task->partition), METRICS_TEXT("state", state));
}

static void put_halted(const struct page *page, const char *name, const struct worker_task *task)
{
	if (task->halted)
		metrics_sample(page->out, name, 1, METRICS_TEXT("topic", page->topic),
		               METRICS_INT("partition", task->partition), METRICS_TEXT("reason", task->why->code));
}

static void put_next(const struct page *page, const char *name, const struct worker_task *task)
{
	struct task_position position = {.next_offset = task->stopped_next};
	if (!task->task && !task->catching_up)
		return;
	if (task->task)
		task_position(task->task, &position);
	put_value(page, name, task, position.next_offset);
}

static void put_catching_up(const struct page *page, const char *name, const struct worker_task *task)
{
	put_value(page, name, task, task->catching_up);
}

static void put_target(const struct page *page, const char *name, const struct worker_task *task)
{
	if (task->catching_up)
		put_value(page, name, task, task->target_next);
}

static void put_suppressed(const struct page *page, const char *name, const struct worker_task *task)
{
	put_value(page, name, task, task->suppressed);
}

static void put_tasks(const struct page *page)
{
	each_task(page, "tandem_task_running", "gauge",
	          "1 where the task's file is open, 0 where it is halted or being opened.", put_running);
	each_task(page, "tandem_task_state", "gauge", "1 for what the task is doing.", put_state);
	each_task(page, "tandem_task_halted", "gauge",
	          "1 for a task that is halted, by reason; no sample where it is not.", put_halted);
	each_task(page, "tandem_next_offset", "gauge", "The offset that is folded next.", put_next);
	each_task(page, "tandem_catching_up", "gauge",
	          "1 while a file is made again up to the mark, its outputs not sent.", put_catching_up);
	each_task(page, "tandem_catching_up_target_offset", "gauge", "Where catching up ends.", put_target);
	each_task(page, "tandem_outputs_suppressed", "gauge",
	          "Events not sent, since they were before, since the file was opened.", put_suppressed);
}

/* ---- lag ---- */

struct lag_field {
	const char *name, *help;
};

static void put_lag(const struct page *page, struct lag_watch *watch)
{
	static const char records[] = "tandem_consumer_lag", seconds[] = "tandem_consumer_lag_seconds",
			  end[] = "tandem_log_end_offset";
	static const struct lag_field fields[] = {
		{records, "Records in the log that are not folded."},
		{seconds, "Age of the first record that is not folded; 0 where there is none."},
		{end, "The offset that the next record in the log gets."},
	};
	for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
		metrics_family(page->out, fields[f].name, "gauge", fields[f].help);
		for (size_t i = 0; i < worker_task_count(page->worker); i++) {
			struct worker_task task;
			struct lag lag;
			worker_task(page->worker, i, &task);
			if (!lag_watch_get(watch, task.partition, &lag))
				continue;
			if (fields[f].name == seconds)
				metrics_seconds(page->out, seconds, lag.age_ms * 1000,
				                METRICS_TEXT("topic", page->topic),
				                METRICS_INT("partition", task.partition));
			else
				put_value(page, fields[f].name, &task, fields[f].name == end ? lag.end : lag.records);
		}
	}
	metrics_family(page->out, "tandem_log_answers", "gauge", "1 where the log answers questions about its end.");
	metrics_sample(page->out, "tandem_log_answers", lag_watch_failing_us(watch) == 0,
	               METRICS_TEXT("topic", page->topic));
}

/* ---- streams ---- */

static void put_accepted(const struct page *page, const char *name, const struct worker_task *task)
{
	size_t count = 0;
	const struct task_stream *streams = task->task ? task_inbound(task->task, &count) : NULL;
	for (size_t i = 0; i < count; i++)
		metrics_sample(page->out, name, (int64_t)streams[i].number, METRICS_TEXT("source", streams[i].name),
		               METRICS_INT("source_partition", streams[i].partition),
		               METRICS_TEXT("topic", page->topic), METRICS_INT("partition", task->partition));
}

/* While it is computed again, from 1 on, the number says nothing of what was sent. */
static void put_sent(const struct page *page, const char *name, const struct worker_task *task)
{
	size_t count = 0;
	const struct task_stream *streams = task->task && !task->catching_up ? task_outbound(task->task, &count) : NULL;
	for (size_t i = 0; i < count; i++)
		metrics_sample(page->out, name, (int64_t)streams[i].number,
		               METRICS_TEXT("source", page->config->service->name),
		               METRICS_INT("source_partition", task->partition),
		               METRICS_TEXT("topic", log_full_name(page->config->log, streams[i].name)),
		               METRICS_INT("partition", streams[i].partition));
}

static const enum task_verdict gap_verdicts[] = {TASK_GAP, TASK_FORK, TASK_UNKNOWN_SOURCE, TASK_FORGED};

/* Zeros are told, too: an alert on what was never there would be silent. */
static void put_gaps(const struct page *page, const char *name, const struct worker_task *task)
{
	size_t count = 0;
	const struct task_gap *gaps = task->task ? task_gaps(task->task, &count) : NULL;
	for (size_t v = 0; task->task && v < sizeof gap_verdicts / sizeof *gap_verdicts; v++) {
		int64_t open = 0;
		for (size_t i = 0; i < count; i++)
			open += gaps[i].count > 0 && gaps[i].verdict == gap_verdicts[v];
		metrics_sample(page->out, name, open, METRICS_TEXT("topic", page->topic),
		               METRICS_INT("partition", task->partition),
		               METRICS_TEXT("verdict", task_verdict_name(gap_verdicts[v])));
	}
}

static void put_gap_records(const struct page *page, const char *name, const struct worker_task *task)
{
	size_t count = 0;
	const struct task_gap *gaps = task->task ? task_gaps(task->task, &count) : NULL;
	for (size_t i = 0; i < count; i++)
		if (gaps[i].count > 0)
			metrics_sample(page->out, name, gaps[i].count,
			               METRICS_TEXT("source", *gaps[i].service ? gaps[i].service : "unknown"),
			               METRICS_INT("source_partition", gaps[i].partition),
			               METRICS_TEXT("topic", page->topic), METRICS_INT("partition", task->partition),
			               METRICS_TEXT("verdict", task_verdict_name(gaps[i].verdict)));
}

static void put_streams(const struct page *page)
{
	each_task(page, "tandem_stream_accepted_number", "gauge",
	          "The last number accepted of a stream, at its reader.", put_accepted);
	each_task(page, "tandem_stream_sent_number", "gauge", "The last number given out in a stream, at its source.",
	          put_sent);
	each_task(page, "tandem_gaps", "gauge",
	          "Streams with a gap or a fork that is open, or records of unknown sources.", put_gaps);
	each_task(page, "tandem_gap_records", "gauge", "Records behind a gap or a fork, not applied.", put_gap_records);
}

/* ---- files ---- */

static const char *const file_endings[] = {"", "-wal"};

static void put_files(const struct page *page, const char *name, const struct worker_task *task)
{
	for (size_t i = 0; i < sizeof file_endings / sizeof *file_endings; i++) {
		struct stat found;
		char *path = mem_format("%s%s", task->db, file_endings[i]);
		if (stat(path, &found) == 0)
			metrics_sample(page->out, name, (int64_t)found.st_size, METRICS_TEXT("topic", page->topic),
			               METRICS_INT("partition", task->partition),
			               METRICS_TEXT("file", i ? "wal" : "db"));
		mem_free(path);
	}
}

static void put_disk(const struct page *page)
{
	struct statvfs disk;
	each_task(page, "tandem_file_bytes", "gauge", "Size of a task's file, and of its write-ahead log.", put_files);
	if (statvfs(page->config->data, &disk) != 0)
		return;
	metrics_family(page->out, "tandem_disk_free_bytes", "gauge", "Room left on the disk of the task files.");
	metrics_sample(page->out, "tandem_disk_free_bytes", (int64_t)(disk.f_bavail * disk.f_frsize));
	metrics_family(page->out, "tandem_disk_size_bytes", "gauge", "Size of the disk of the task files.");
	metrics_sample(page->out, "tandem_disk_size_bytes", (int64_t)(disk.f_blocks * disk.f_frsize));
}

void worker_metrics(const struct worker *worker, const struct worker_config *config, struct lag_watch *lag,
                    struct buf *out)
{
	const struct page page = {out, worker, config, worker_topic(worker)};
	put_worker(&page);
	if (config->meter)
		meter_metrics(config->meter, out);
	put_tasks(&page);
	if (lag)
		put_lag(&page, lag);
	put_streams(&page);
	put_disk(&page);
}
