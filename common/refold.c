#include "refold.h"

#include "genesis.h"

#define PROGRESS_EVERY 4096

struct refold {
	struct refold_config config;
	struct task *task;
	struct log_reader *reader;
	const struct log_record *held; /* read, and not folded yet */
	int64_t records;
};

static enum status check_begin(const struct refold_config *config, struct err *err)
{
	struct arena arena = {0};
	struct genesis genesis;
	enum status status =
		genesis_read(config->log, config->service->input, config->partition, &arena, &genesis, err);
	arena_fini(&arena);
	return status;
}

enum status refold_open(const struct refold_config *config, struct refold **out, struct err *err)
{
	enum status status = check_begin(config, err);
	if (status != OK)
		return status;
	struct refold *refold = mem_zalloc(1, sizeof *refold);
	refold->config = *config;
	const struct task_config task = {.service = config->service,
	                                 .partition = config->partition,
	                                 .path = config->path,
	                                 .scratch = config->scratch,
	                                 .reverse = config->reverse,
	                                 .memory_bytes = config->memory_bytes,
	                                 .full_input = log_full_name(config->log, config->service->input),
	                                 .secret = log_secret(config->log)};
	status = task_open(&task, &refold->task, err);
	if (status == OK)
		status = log_reader_open(config->log, config->service->input, config->partition, 0, &refold->reader,
		                         err);
	if (status != OK) {
		refold_close(refold);
		return status;
	}
	*out = refold;
	return OK;
}

void refold_close(struct refold *refold)
{
	if (!refold)
		return;
	log_reader_close(refold->reader);
	task_close(refold->task);
	mem_free(refold);
}

static enum status tell_progress(struct refold *refold, struct err *err)
{
	const struct refold_config *config = &refold->config;
	if (refold->records % PROGRESS_EVERY == 0 && config->progress &&
	    !config->progress(config->arg, config->partition, refold->records))
		return err_set(err, RETRY, "interrupted", "interrupted after %lld records", (long long)refold->records);
	return OK;
}

enum status refold_next(struct refold *refold, int64_t until, int timeout_ms, bool *folded, struct err *err)
{
	*folded = false;
	enum status status = OK;
	if (!refold->held)
		status = log_reader_next(refold->reader, timeout_ms, &refold->held, err);
	if (status != OK || !refold->held || (until >= 0 && refold->held->offset >= until))
		return status;
	enum task_verdict verdict;
	status = task_fold(refold->task, refold->held, &verdict, err);
	refold->held = NULL;
	if (status != OK)
		return status;
	*folded = true;
	refold->records++;
	return tell_progress(refold, err);
}

enum status refold_to(struct refold *refold, int64_t until, struct err *err)
{
	bool folded = true;
	enum status status = OK;
	while (status == OK && folded)
		status = refold_next(refold, until, 0, &folded, err);
	return status == OK ? task_commit(refold->task, err) : status;
}

struct task *refold_task(struct refold *refold)
{
	return refold->task;
}

int64_t refold_records(const struct refold *refold)
{
	return refold->records;
}
