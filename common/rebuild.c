#include "rebuild.h"

#include "genesis.h"
#include "lock.h"
#include "mark.h"
#include "refold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCEPT                                                                                                         \
	"or accept this history: delete the file and the marks (`tandem %s rebuild --delete-marks`), then `run` sends" \
	" everything again, which is safe"

static enum status failed(const char *path, struct err *err)
{
	return err_set(err, RETRY, "io", "%s: %s; nothing was changed: repair it and run rebuild again", path,
	               strerror(errno));
}

static enum status read_seal(const struct rebuild_config *config, struct seal *seal, struct err *err)
{
	struct arena arena = {0};
	struct genesis genesis;
	enum status status =
		genesis_read(config->log, config->service->input, config->partition, &arena, &genesis, err);
	if (status == OK)
		status = seal_open(genesis.installation, genesis.chain == CHAIN_KEY_KEYED, log_secret(config->log),
		                   seal, err);
	arena_fini(&arena);
	return status;
}

static enum status no_mark(const struct rebuild_config *config, struct err *err)
{
	return err_set(
		err, REJECT, "no_mark",
		"%s/%d has no mark: nothing says up to where outputs were published, so `run` folds it from its beginning"
		" and sends everything, which is safe",
		config->service->input, config->partition);
}

static enum status read_mark(const struct rebuild_config *config, struct task_position *mark, struct err *err)
{
	struct seal seal;
	struct log_mark found = {.partition = config->partition};
	char *group = mem_format("tandem-%s", config->service->name);
	enum status status = log_committed(config->log, group, config->service->input, &found, err);
	mem_free(group);
	if (status != OK)
		return status;
	if (found.offset < 0 || !*found.metadata)
		return no_mark(config, err);
	status = read_seal(config, &seal, err);
	if (status != OK ||
	    mark_read(found.metadata, found.offset, &seal, config->service->name, config->partition, mark))
		return status;
	return no_mark(config, err);
}

static enum status fold_to_mark(const struct rebuild_config *config, const char *path, const struct task_position *mark,
                                int64_t *records, struct err *err)
{
	struct refold *refold;
	struct task_position reached;
	const struct refold_config refold_config = {.service = config->service,
	                                            .log = config->log,
	                                            .partition = config->partition,
	                                            .path = path,
	                                            .scratch = true, /* one that is not finished is begun anew */
	                                            .memory_bytes = config->memory_bytes,
	                                            .progress = config->progress,
	                                            .arg = config->arg};
	enum status status = refold_open(&refold_config, &refold, err);
	if (status != OK)
		return status;
	status = refold_to(refold, mark->next_offset, err);
	task_position(refold_task(refold), &reached);
	*records = refold_records(refold);
	refold_close(refold);
	if (status == OK && reached.next_offset < mark->next_offset)
		return err_set(
			err, FATAL, "mark_record",
			"%s/%d ends at offset %lld, before the mark at %lld: the log has lost its tail. Restore it, " ACCEPT,
			config->service->input, config->partition, (long long)reached.next_offset,
			(long long)mark->next_offset, config->service->name);
	if (status == OK && !mark_equal(&reached, mark))
		return err_set(
			err, FATAL, "mark_differs",
			"%s/%d folded to offset %lld gives other hashes than the mark there: the log was changed, or"
			" this program folds differently. Restore the log, run the program that folded it, " ACCEPT,
			config->service->input, config->partition, (long long)mark->next_offset, config->service->name);
	return status;
}

static enum status sync_path(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum status status = fd >= 0 && fsync(fd) == 0 ? OK : failed(path, err);
	if (fd >= 0)
		close(fd);
	return status;
}

static void remove_with(const char *path, const char *ending)
{
	char *full = mem_format("%s%s", path, ending);
	unlink(full);
	mem_free(full);
}

/* The new file is complete and on disk before it takes the old one's place; the old one's WAL must not outlive it. */
static enum status replace(const char *fresh, const char *live, struct err *err)
{
	enum status status = sync_path(fresh, err);
	if (status != OK)
		return status;
	remove_with(live, "");
	remove_with(live, "-wal");
	remove_with(live, "-shm");
	return rename(fresh, live) == 0 ? OK : failed(live, err);
}

enum status rebuild_partition(const struct rebuild_config *config, int64_t *records, struct err *err)
{
	struct task_position mark;
	struct lock *lock = NULL;
	char *folder = mem_format("%s/%s", config->data, config->service->name);
	char *live = mem_format("%s/%d.db", folder, config->partition), *fresh = mem_format("%s.rebuild", live);
	char *lock_path = mem_format("%s/%d.lock", folder, config->partition);
	*records = 0;
	enum status status = OK;
	if ((mkdir(config->data, 0755) != 0 && errno != EEXIST) || (mkdir(folder, 0755) != 0 && errno != EEXIST))
		status = failed(folder, err);
	if (status == OK)
		status = lock_open(lock_path, &lock, err);
	if (status == OK)
		status = read_mark(config, &mark, err);
	if (status == OK) {
		remove_with(fresh, "");
		remove_with(fresh, "-wal");
		remove_with(fresh, "-shm");
		status = fold_to_mark(config, fresh, &mark, records, err);
		if (status == OK)
			status = replace(fresh, live, err);
		if (status != OK)
			remove_with(fresh, "");
	}
	lock_close(lock);
	mem_free(folder);
	mem_free(live);
	mem_free(fresh);
	mem_free(lock_path);
	return status;
}
