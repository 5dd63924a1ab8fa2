/* The states of the tasks: where they come from, and how far they are. */
#include "audit.h"

#include "command.h"
#include "halt.h"
#include "installation.h"
#include "mark.h"
#include "store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- which tasks there are ---- */

static bool has_mark(struct audit *audit, const struct service *service, int32_t partition)
{
	struct log_mark mark = {.partition = partition};
	const char *group = arena_format(&audit->arena, "tandem-%s", service->name);
	return log_committed(audit->config.log, group, service->input, &mark, NULL) == OK && mark.offset >= 0;
}

static bool has_file(struct audit *audit, const struct service *service, int32_t partition)
{
	for (size_t i = 0; i < audit->config.data_count; i++)
		if (access(audit_text(audit, "%s/%s/%d.db", audit->config.data[i], service->name, partition), F_OK) ==
		    0)
			return true;
	return false;
}

/* A worker that nobody depends on need not run; the others are folded where they have no file. */
static bool runs(struct audit *audit, const struct service *service, int32_t partitions)
{
	if (service->output_count)
		return true;
	for (int32_t p = 0; p < partitions; p++)
		if (has_file(audit, service, p) || has_mark(audit, service, p))
			return true;
	return false;
}

static void leave_out(struct audit *audit, const struct service *service, const char *why)
{
	audit->left_out[audit->left_out_count++] = arena_format(&audit->kept, "%s %s", service->name, why);
}

static void add_views(struct audit *audit, const struct service *service)
{
	const char *dead_letters = arena_format(&audit->kept, "%s.dlq", service->input);
	const struct genesis_topic *topic = genesis_topic(&audit->genesis, service->input);
	if (!topic || !genesis_topic(&audit->genesis, dead_letters)) {
		leave_out(audit, service, "is not in this installation");
		return;
	}
	if (!runs(audit, service, topic->partitions)) {
		leave_out(audit, service, "does not run here: it has no task file, and no mark in the log");
		return;
	}
	audit->views =
		mem_realloc(audit->views, (audit->view_count + (size_t)topic->partitions) * sizeof *audit->views);
	for (int32_t p = 0; p < topic->partitions; p++)
		audit->views[audit->view_count++] = (struct audit_view){.service = service, .partition = p};
}

enum status views_find(struct audit *audit, struct err *err)
{
	enum status status = installation_find(audit->config.log, &audit->kept, &audit->genesis, err);
	if (status == OK)
		status = seal_open(audit->genesis.installation, audit->genesis.chain == CHAIN_KEY_KEYED,
		                   log_secret(audit->config.log), &audit->seal, err);
	if (status != OK)
		return status;
	audit->left_out = arena_alloc(&audit->kept, command_count * sizeof *audit->left_out);
	for (size_t i = 0; i < command_count; i++)
		if (commands[i]->service)
			add_views(audit, commands[i]->service);
	return OK;
}

/* ---- how far they are ---- */

static int64_t next_offset_of(const char *path)
{
	const struct store_config config = {.path = path, .mode = STORE_READ, .busy_timeout_ms = 1000};
	struct store *store;
	struct store_statement *s;
	int64_t next = -1;
	bool row;
	if (store_open(&config, &store, NULL) != OK)
		return -1;
	if (store_prepare(store, "SELECT next_offset FROM meta", &s, NULL) == OK && store_step(s, &row, NULL) == OK)
		next = row ? store_int(s, 0) : 0;
	store_close(store);
	return next;
}

/* Offsets have holes: what counts is whether a record is there. */
static bool any_record_from(const struct audit *audit, const struct audit_view *view, int64_t offset)
{
	struct log_reader *reader;
	const struct log_record *record = NULL;
	if (log_reader_open(audit->config.log, view->service->input, view->partition, offset, &reader, NULL) != OK)
		return true;
	enum status status = log_reader_next(reader, 0, &record, NULL);
	bool any = status != OK || record;
	log_reader_close(reader);
	return any;
}

/* -1: the log could not be asked. */
int64_t view_lag_behind(const struct audit *audit, const struct audit_view *view, int64_t next_offset)
{
	int64_t low, high;
	if (log_bounds(audit->config.log, view->service->input, view->partition, &low, &high, NULL) != OK)
		return -1;
	if (next_offset >= high || !any_record_from(audit, view, next_offset))
		return 0;
	return high - next_offset;
}

static int64_t lag_by_mark(struct audit *audit, const struct audit_view *view)
{
	struct log_mark mark = {.partition = view->partition};
	const char *group = audit_text(audit, "tandem-%s", view->service->name);
	struct task_position position;
	if (log_committed(audit->config.log, group, view->service->input, &mark, NULL) != OK || mark.offset < 0 ||
	    !mark_read(mark.metadata, mark.offset, &audit->seal, view->service->name, view->partition, &position))
		return -1;
	return view_lag_behind(audit, view, mark.offset);
}

/* The file that is furthest: a worker that handed the partition on may have left an older one behind. */
static const char *find_file(struct audit *audit, const struct audit_view *view)
{
	const char *best = NULL;
	int64_t best_next = 0;
	for (size_t i = 0; i < audit->config.data_count; i++) {
		const char *path =
			audit_text(audit, "%s/%s/%d.db", audit->config.data[i], view->service->name, view->partition);
		if (access(path, F_OK) != 0)
			continue;
		int64_t next = next_offset_of(path);
		if (!best || next > best_next) {
			best = path;
			best_next = next;
		}
	}
	return best;
}

bool audit_behind(struct audit *audit)
{
	for (size_t i = 0; i < audit->view_count; i++) {
		const struct audit_view *view = &audit->views[i];
		const char *path = find_file(audit, view);
		int64_t lag = path ? view_lag_behind(audit, view, next_offset_of(path)) : lag_by_mark(audit, view);
		if (lag != 0)
			return true;
	}
	return false;
}

/* ---- taking the states ---- */

static void name_scratch(const struct audit *audit, struct audit_view *view, const char *what)
{
	const char *folder = audit->config.scratch;
	const char *slash = view->path ? strrchr(view->path, '/') : NULL;
	view->scratch[0] = 0;
	if (folder)
		snprintf(view->scratch, sizeof view->scratch, "%s/.%s-%s-%d-%d", folder, what, view->service->name,
		         view->partition, getpid());
	else if (slash)
		snprintf(view->scratch, sizeof view->scratch, "%.*s/.%s-%d-%d", (int)(slash - view->path), view->path,
		         what, view->partition, getpid());
	unlink(view->scratch);
}

static enum status check_installation(struct audit *audit, const struct audit_view *view, struct err *err)
{
	struct genesis genesis;
	enum status status =
		genesis_read(audit->config.log, view->service->input, view->partition, &audit->arena, &genesis, err);
	return status == OK ? task_check_genesis(view->task, &genesis, err) : status;
}

static void read_halt(struct audit *audit, struct audit_view *view)
{
	struct halt halt;
	size_t stem = strlen(view->path) - strlen(".db");
	view->halted[0] = 0;
	if (halt_read(audit_text(audit, "%.*s.halt", (int)stem, view->path), &audit->arena, &halt))
		snprintf(view->halted, sizeof view->halted, "%s", halt.reason);
}

/* The copy is deleted as soon as it is open, so that nothing of it is left behind whatever happens. */
static enum status take_file(struct audit *audit, struct audit_view *view, struct err *err)
{
	name_scratch(audit, view, "audit");
	read_halt(audit, view);
	enum status status = store_copy(view->path, view->scratch, err);
	const struct task_config config = {.service = view->service,
	                                   .partition = view->partition,
	                                   .path = view->scratch,
	                                   .scratch = true,
	                                   .secret = log_secret(audit->config.log)};
	if (status == OK)
		status = task_open(&config, &view->task, err);
	unlink(view->scratch);
	view->scratch[0] = 0;
	return status == OK ? check_installation(audit, view, err) : status;
}

static bool on_progress(void *arg, int32_t partition, int64_t records)
{
	const struct audit *audit = arg;
	(void)partition;
	(void)records;
	return !audit->config.going_on || audit->config.going_on(audit->config.arg);
}

static enum status take_fold(struct audit *audit, struct audit_view *view, struct err *err)
{
	enum status status = OK;
	if (!view->refold) {
		name_scratch(audit, view, "audit-fold");
		const struct refold_config config = {.service = view->service,
		                                     .log = audit->config.log,
		                                     .partition = view->partition,
		                                     .path = *view->scratch ? view->scratch : NULL,
		                                     .scratch = true,
		                                     .progress = on_progress,
		                                     .arg = audit};
		status = refold_open(&config, &view->refold, err);
	}
	if (status == OK)
		status = refold_to(view->refold, -1, err);
	if (status == OK)
		view->task = refold_task(view->refold);
	return status;
}

static void close_fold(struct audit_view *view)
{
	refold_close(view->refold);
	view->refold = NULL;
	if (*view->scratch)
		unlink(view->scratch);
	view->scratch[0] = 0;
}

static void release(struct audit_view *view)
{
	if (view->path)
		task_close(view->task);
	view->task = NULL;
	view->path = NULL;
}

static enum status take(struct audit *audit, struct audit_view *view)
{
	struct err err = {0};
	view->path = find_file(audit, view);
	if (view->path)
		close_fold(view); /* its worker has begun meanwhile */
	enum status status = view->path ? take_file(audit, view, &err) : take_fold(audit, view, &err);
	view->why = (struct err){0};
	if (status != OK) {
		view->why = err;
		if (view->path)
			task_close(view->task);
		else
			close_fold(view);
		view->task = NULL;
	}
	return status;
}

static void measure(struct audit *audit, struct audit_view *view)
{
	struct task_position position = {0};
	if (view->task)
		task_position(view->task, &position);
	int64_t low;
	struct err err = {0};
	view->next_offset = position.next_offset;
	view->lag = view_lag_behind(audit, view, view->next_offset);
	if (log_bounds(audit->config.log, view->service->input, view->partition, &low, &view->end, &err) != OK) {
		view->end = view->lag = -1;
		view->why = view->task ? err : view->why;
	}
	view->beyond_end = view->task && view->end >= 0 && position.last_offset >= view->end;
	view->sent_lag = view->path ? view->lag : lag_by_mark(audit, view);
}

enum status views_take(struct audit *audit, struct err *err)
{
	for (size_t i = 0; i < audit->view_count; i++)
		if (take(audit, &audit->views[i]) != OK && err_is(&audit->views[i].why, "interrupted"))
			return err_set(err, RETRY, "interrupted", "%s", audit->views[i].why.text);
	/* Only when all are taken: who is at its end now was there when the others were taken. */
	for (size_t i = 0; i < audit->view_count; i++)
		measure(audit, &audit->views[i]);
	return OK;
}

void views_release(struct audit *audit)
{
	for (size_t i = 0; i < audit->view_count; i++)
		release(&audit->views[i]);
}

void views_close(struct audit *audit)
{
	views_release(audit);
	for (size_t i = 0; i < audit->view_count; i++)
		close_fold(&audit->views[i]);
	mem_free(audit->views);
}
