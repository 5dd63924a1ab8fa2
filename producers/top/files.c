/* The workers of this machine, from their task files and the log. Disturbs nobody: files are read beside their owners, the log is
 * asked for its ends. */
#include "top.h"

#include "command.h"
#include "interrupt.h"
#include "log.h"
#include "partitions.h"
#include "service.h"
#include "status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct file { /* one partition, over all looks */
	const struct service *service;
	int32_t partition;
	int64_t last_next, last_us;
};

struct top_files {
	const struct top_settings *settings;
	struct log *log;
	struct file *items;
	size_t count;
};

/* ---- which ---- */

static bool is_wanted(const struct top_settings *settings, const struct service *service)
{
	const struct config *config = settings->config;
	bool named = false;
	for (size_t i = 0; i < config->rest_count; i++)
		named = named || strcmp(config->rest[i], service->name) == 0;
	char *folder = mem_format("%s/%s", settings->data, service->name);
	bool there = access(folder, F_OK) == 0;
	mem_free(folder);
	return config->rest_count ? named : there;
}

static enum status add_service(struct top_files *files, const struct service *service, struct err *err)
{
	struct partitions all;
	enum status status = partitions_all(files->log, service->input, &all, err);
	if (status != OK)
		return status;
	files->items = mem_realloc(files->items, (files->count + all.count) * sizeof *files->items);
	for (size_t i = 0; i < all.count; i++)
		files->items[files->count++] = (struct file){.service = service, .partition = all.items[i]};
	partitions_fini(&all);
	return OK;
}

static enum status add_services(struct top_files *files, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; i < command_count && status == OK; i++)
		if (commands[i]->service && is_wanted(files->settings, commands[i]->service))
			status = add_service(files, commands[i]->service, err);
	if (status == OK && !files->count)
		status = err_set(err, REJECT, "usage", "%s holds no service's files; name a service, or give --data",
		                 files->settings->data);
	return status;
}

struct top_files *top_files_open(const struct top_settings *settings, int *exit_status)
{
	struct err err = {0};
	struct log *log = config_open_log(settings->config, exit_status);
	if (!log)
		return NULL;
	struct top_files *files = mem_zalloc(1, sizeof *files);
	files->settings = settings;
	files->log = log;
	enum status status = add_services(files, &err);
	if (status == OK)
		return files;
	fprintf(stderr, "tandem top: %s\n", err.text);
	*exit_status = status == REJECT ? EXIT_USAGE : EXIT_FAILED;
	top_files_close(files);
	return NULL;
}

void top_files_close(struct top_files *files)
{
	if (!files)
		return;
	log_close(files->log);
	mem_free(files->items);
	mem_free(files);
}

/* ---- a look ---- */

/* The first record that is not committed says since when the task is behind. */
static int64_t behind_ms(struct top_files *files, const struct service *service, const struct status_report *report,
                         struct arena *arena)
{
	struct log_record record;
	bool found = false;
	if (report->lag <= 0)
		return report->lag;
	if (log_read_at(files->log, service->input, report->partition, report->next_offset, arena, &record, &found,
	                NULL) != OK ||
	    !found)
		return -1;
	int64_t ms = seam_wall_ms(files->settings->seam) - record.timestamp_ms;
	return ms > 0 ? ms : 0;
}

/* What needs a look, in few words. */
static const char *wrong_text(struct arena *arena, const struct status_report *report)
{
	if (report->halted)
		return report->halt.reason;
	if (report->gap_count)
		return arena_format(arena, "%s of %s", report->gaps[0].verdict,
		                    *report->gaps[0].service ? report->gaps[0].service : "unknown");
	return report->log_error ? report->log_error : "";
}

static void look_at(struct top_files *files, struct file *file, struct top_table *table)
{
	struct err err = {0};
	struct arena *arena = &table->arena;
	struct status_report report = {.partition = file->partition};
	struct top_row *row = top_table_add(table, file->service->name, file->partition);
	bool read = status_glance(file->service, files->settings->data, file->partition, files->log,
	                          files->settings->seam, arena, &report, &err) == OK;
	int64_t now_us = seam_monotonic_us(files->settings->seam), folded = report.next_offset - file->last_next;
	row->state = status_state_text(&report);
	row->wrong = read ? wrong_text(arena, &report) : arena_copy(arena, err.text, strlen(err.text));
	row->next_offset = report.next_offset;
	row->lag = report.lag;
	row->running = report.running;
	row->halted = report.halted;
	if (file->last_us && now_us > file->last_us && folded >= 0 && read)
		row->per_second = folded * 1000000 / (now_us - file->last_us);
	if (read)
		row->behind_ms = behind_ms(files, file->service, &report, arena);
	file->last_us = now_us;
	file->last_next = report.next_offset;
}

void top_files_look(struct top_files *files, struct top_table *table)
{
	for (size_t i = 0; i < files->count && !interrupt_requested(); i++)
		look_at(files, &files->items[i], table);
}
