/* Opening a task: everything that must hold between a file, its log and the mark before a record is folded. Each refusal is
 * one line: what was found, what was expected, what to do. docs/operations.md has a section for each code. */
#include "worker_impl.h"

#include "catch_up.h"
#include "genesis.h"
#include "halt.h"
#include "hash.h"
#include "mark.h"
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- topics ---- */

static enum status check_topic(struct worker *worker, const struct genesis_topic *pinned, bool single_replica,
                               struct err *err)
{
	struct log_topic found;
	enum status status = log_topic_describe(worker->config.log, pinned->name, &worker->scratch, &found, err);
	if (status != OK)
		return err_context(err, status, "checking topic %s", pinned->name);
	if (found.exists && !found.settings_known)
		logging_write(
			worker->config.logging, LOGGING_WARNING,
			"topic settings cannot be checked: the right to read them (DescribeConfigs) is missing; grant it",
			LOGGING_TEXT("topic", pinned->name));
	return policy_check(&found, pinned->partitions, single_replica, err);
}

static enum status check_settings(struct worker *worker, const struct genesis *genesis, struct err *err)
{
	if (worker->settings_at_us)
		return OK;
	enum status status = OK;
	for (size_t i = 0; i < genesis->topics.count && status == OK; i++)
		status = check_topic(worker, &genesis->topics.items[i], genesis->single_replica, err);
	if (status == OK)
		worker->settings_at_us = worker_now_us(worker);
	return status;
}

/* ---- the file against its log ---- */

static enum status read_record_0(struct worker *worker, const struct slot *slot, struct genesis *genesis,
                                 struct err *err)
{
	const char *topic = worker->config.service->input;
	enum status status = genesis_read(worker->config.log, topic, slot->partition, &worker->scratch, genesis, err);
	if (status != OK && err_is(err, "unknown_topic"))
		return err_set(err, status, "unknown_topic", "topic %s does not exist; run `tandem topics create`",
		               topic);
	return status;
}

static enum status check_end(struct worker *worker, struct slot *slot, struct err *err)
{
	int64_t low, high;
	const char *topic = worker->config.service->input;
	struct task_position position;
	task_position(slot->task, &position);
	enum status status = log_bounds(worker->config.log, topic, slot->partition, &low, &high, err);
	if (status != OK)
		return status;
	if (slot->end < 0)
		slot->end = high;
	if (position.last_offset < high)
		return OK;
	return err_set(
		err, FATAL, "truncated",
		"%s/%d ends at offset %lld, the file has consumed %lld: the log has lost its tail (an unclean election?);"
		" restore it, or accept the loss and publish what is missing again: " WORKER_FOLD_AFRESH,
		topic, slot->partition, (long long)high, (long long)position.last_offset, slot->db,
		worker->config.service->name);
}

/* ---- the mark ---- */

static enum status check_mark_record(struct worker *worker, const struct slot *slot, const uint8_t *key,
                                     const struct task_position *mark, struct err *err)
{
	struct log_record record;
	bool found;
	const char *topic = worker->config.service->input;
	enum status status = log_read_at(worker->config.log, topic, slot->partition, mark->last_offset,
	                                 &worker->scratch, &record, &found, err);
	if (status != OK)
		return err_context(err, status, "reading the record before the mark");
	if (found && hash_record(key, &record) == mark->last_hash)
		return OK;
	return err_set(
		err, FATAL, "mark_record",
		"the mark of %s/%d says that record %lld was consumed, but %s: the log has lost its tail, or is another"
		" one; restore it, or accept its history: " WORKER_FOLD_AFRESH,
		topic, slot->partition, (long long)mark->last_offset,
		found ? "another record is there" : "no record is there", slot->db, worker->config.service->name);
}

/* Where outputs begin to go out again: the mark in the file while it is not confirmed, else the committed one. */
static enum status find_target(struct worker *worker, struct slot *slot, const struct seal *seal, bool *some,
                               struct err *err)
{
	const char *kept = task_mark(slot->task);
	struct task_position now, target;
	task_position(slot->task, &now);
	*some = false;
	if (*kept) {
		long long next = 0;
		if (sscanf(kept, "tandem1 %lld ", &next) != 1 || !mark_parse(kept, next, &target))
			return err_set(err, FATAL, "corrupt",
			               "the mark in %s is not readable: '%.40s'; delete the file: it is rebuilt",
			               slot->db, kept);
		slot->target = target;
		*some = true;
		return OK;
	}
	struct log_mark mark = {.partition = slot->partition};
	enum status status = log_consumer_committed(worker->consumer, &mark, err);
	if (status != OK)
		return err_context(err, status, "reading the mark");
	if (mark.offset >= 0 &&
	    mark_read(mark.metadata, mark.offset, seal, worker->config.service->name, slot->partition, &target)) {
		slot->marked_next = target.next_offset;
		slot->target = target;
		*some = now.next_offset < target.next_offset;
	} else if (mark.offset >= 0) {
		logging_write(
			worker->config.logging, LOGGING_WARNING,
			"the group's offset is not a mark of ours and is ignored: everything is sent again, which is safe",
			LOGGING_INT("partition", slot->partition), LOGGING_INT("offset", mark.offset));
	}
	return OK;
}

static enum status open_mark(struct worker *worker, struct slot *slot, const struct genesis *genesis, struct err *err)
{
	bool some;
	struct seal seal;
	enum status status = seal_open(genesis->installation, genesis->chain == CHAIN_KEY_KEYED,
	                               log_secret(worker->config.log), &seal, err);
	if (status == OK)
		status = find_target(worker, slot, &seal, &some, err);
	if (status != OK || !some)
		return status;
	status = check_mark_record(worker, slot, seal.key, &slot->target, err);
	if (status != OK)
		return status;
	char text[MARK_TEXT_MAX + 1];
	mark_print(&slot->target, text);
	slot->catching_up = true;
	logging_write(worker->config.logging, LOGGING_INFO,
	              "catching up: outputs are recomputed, not sent, up to the mark",
	              LOGGING_INT("partition", slot->partition), LOGGING_INT("offset", slot->target.next_offset));
	return strcmp(text, task_mark(slot->task)) == 0 ? OK : task_set_mark(slot->task, text, err);
}

/* ---- all of it ---- */

static enum status make_folder(struct worker *worker, struct err *err)
{
	if ((mkdir(worker->config.data, 0755) != 0 && errno != EEXIST) ||
	    (mkdir(worker->folder, 0755) != 0 && errno != EEXIST))
		return err_set(err, RETRY, "io", "the folder %s cannot be made: %s; it is tried again by itself",
		               worker->folder, strerror(errno));
	return OK;
}

static enum status open_task(struct worker *worker, struct slot *slot, struct err *err)
{
	const struct task_config config = {.service = worker->config.service,
	                                   .partition = slot->partition,
	                                   .path = slot->db,
	                                   .full_sync = worker->config.full_sync,
	                                   .reverse = worker->config.reverse,
	                                   .vfs = worker->config.vfs,
	                                   .memory_bytes = worker->task_bytes,
	                                   .held_bytes = worker->config.held_bytes,
	                                   .full_input = worker->full_input,
	                                   .secret = log_secret(worker->config.log)};
	return task_open(&config, &slot->task, err);
}

static enum status open_steps(struct worker *worker, struct slot *slot, struct err *err)
{
	struct genesis genesis;
	enum status status = make_folder(worker, err);
	if (status == OK)
		status = lock_open(slot->lock_path, &slot->lock, err);
	if (status == OK)
		halt_reserve(slot->halt_path);
	if (status == OK)
		status = read_record_0(worker, slot, &genesis, err);
	if (status == OK)
		status = check_settings(worker, &genesis, err);
	if (status == OK)
		status = open_task(worker, slot, err);
	if (status == OK)
		status = task_check_genesis(slot->task, &genesis, err);
	if (status == OK)
		status = check_end(worker, slot, err);
	return status == OK ? open_mark(worker, slot, &genesis, err) : status;
}

enum status worker_open_slot(struct worker *worker, struct slot *slot, struct err *err)
{
	struct task_position position;
	slot->catching_up = slot->end_seen = false;
	slot->suppressed = slot->folded_since_open = 0;
	slot->outputs_sent = 0;
	slot->marked_next = -1;
	arena_reset(&worker->scratch);
	enum status status = open_steps(worker, slot, err);
	if (status != OK) {
		worker_close_slot(slot, false);
		return status == REJECT ? FATAL : status;
	}
	task_position(slot->task, &position);
	slot->expect_last = position.last_offset >= 0;
	slot->state = slot->catching_up && !worker->to_mark ? SLOT_CATCHING_UP : SLOT_OPEN;
	lock_set(slot->lock, LOCK_READY);
	return OK;
}

void worker_close_slot(struct slot *slot, bool crash)
{
	if (slot->catch_up)
		catch_up_end(slot, crash);
	if (crash)
		task_abandon(slot->task);
	else
		task_close(slot->task);
	slot->task = NULL;
	lock_close(slot->lock);
	slot->lock = NULL;
	slot->catching_up = false;
}

void worker_delete_file(const struct slot *slot)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		char *path = mem_format("%s%s", slot->db, endings[i]);
		unlink(path);
		mem_free(path);
	}
}
