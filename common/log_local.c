/* local:DIR, the log in a folder of SQLite files (its files: log_local_impl.h; for operators: docs/local-log.md).
 *
 *   log_local_file.c      locks, the bell, folders
 *   log_local_topic.c     topics as folders
 *   log_local_write.c     one transaction into a partition, under its lock
 *   log_local_producer.c  queues and the writer thread
 *   log_local_read.c      batches out of a partition, readers, questions
 *   log_local_consumer.c  consumers
 *   log_local_group.c     groups.db
 *
 * What orders everything: a record is written by COMMIT of its partition's file, synced, under the partition's lock; only
 * then its offset is published, then it is acknowledged, then the bell rings. Every waiting is on the bell, and everything
 * that may be waited for rings it: commits, acknowledgements, changes of groups and topics. The bell and what is published
 * are hints: after LOCAL_ASK_US without them the files are asked. The seam's clocks are read by producers' threads too. */
#include "log_local_impl.h"

#include <string.h>
#include <time.h>

static void local_close(struct log *base)
{
	struct local_log *log = (struct local_log *)base;
	while (log->partitions) {
		struct local_partition *partition = log->partitions;
		log->partitions = partition->next;
		local_partition_close(partition);
	}
	local_writer_close(log->importer);
	local_groups_close(log);
	local_lock_close(&log->bell);
	mem_free(log->dir);
	mem_free(log);
}

/* The bell has rung since the last wait: something may have come. Else sleep on it. */
static void local_wait(struct log *base, int timeout_ms)
{
	struct local_log *log = (struct local_log *)base;
	if (local_consumers_ready(log) || local_producers_ready(log))
		return;
	if (!local_root_open(log)) { /* nothing is there yet that could ring */
		int64_t us = (int64_t)timeout_ms * 1000 < LOCAL_ASK_US ? (int64_t)timeout_ms * 1000 : LOCAL_ASK_US;
		nanosleep(&(struct timespec){.tv_nsec = (long)us * 1000}, NULL);
		return;
	}
	local_sleep(&log->bell, log->rings_seen, timeout_ms);
	log->rings_seen = local_rings(&log->bell);
}

static enum status local_node_count(struct log *log, int *nodes, struct err *err)
{
	(void)log;
	(void)err;
	*nodes = 1;
	return OK;
}

static const struct log_ops local_ops = {
	.local = true,
	.close = local_close,
	.wait = local_wait,
	.consumer_open = local_consumer_open,
	.consumer_close = local_consumer_close,
	.consumer_poll = local_consumer_poll,
	.consumer_assign = local_consumer_assign,
	.consumer_hold = local_consumer_hold,
	.consumer_commit = local_consumer_commit,
	.consumer_committed = local_consumer_committed,
	.committed = local_committed,
	.producer_open = local_producer_open,
	.producer_topic = local_producer_topic,
	.produce = local_produce,
	.producer_flush = local_producer_flush,
	.producer_ack = local_producer_ack,
	.producer_pending = local_producer_pending,
	.producer_close = local_producer_close,
	.reader_open = local_reader_open,
	.reader_next = local_reader_next,
	.reader_close = local_reader_close,
	.read_at = local_read_at,
	.bounds = local_bounds,
	.offset_at = local_offset_at,
	.topic_create = local_topic_create,
	.topic_delete = local_topic_delete,
	.topic_describe = local_topic_describe,
	.topic_list = local_topic_list,
	.group_delete = local_group_delete,
	.node_count = local_node_count,
	.import = local_import,
};

enum status log_local_open(const char *url, const char *rest, const struct log_config *config, struct log **out,
                           struct err *err)
{
	(void)err; /* a folder that is not there yet is no fault: its topics are unknown */
	struct local_log *log = mem_zalloc(1, sizeof *log);
	log_base_init(&log->base, &local_ops, url, config);
	log->dir = mem_strdup(rest);
	for (size_t len = strlen(log->dir); len > 1 && log->dir[len - 1] == '/'; len--)
		log->dir[len - 1] = 0;
	log->bell.fd = -1;
	*out = &log->base;
	return OK;
}
