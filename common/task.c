/* A task: opened and closed, bound to its installation by the genesis, and what is known of its streams. Its file is in task_file.c,
 * the fold in task_fold.c. */
#include "task.h"

#include "events.h"
#include "genesis.h"
#include "task_impl.h"

#include <stdio.h>
#include <string.h>

static const char *const verdict_names[TASK_VERDICTS] = {
	"applied", "rejected", "repeat", "gap", "fork", "unknown_source", "control", "held", "forged",
};

const char *task_verdict_name(enum task_verdict verdict)
{
	return verdict_names[verdict];
}

/* ---- streams ---- */

struct task_stream *streams_get(struct streams *streams, const char *name, int32_t partition)
{
	for (size_t i = 0; i < streams->count; i++)
		if (streams->items[i].partition == partition && strcmp(streams->items[i].name, name) == 0)
			return &streams->items[i];
	return NULL;
}

void streams_touch(struct streams *streams, const struct task_stream *stream)
{
	streams->dirty[stream - streams->items] = true;
}

struct task_stream *streams_put(struct task *task, struct streams *streams, const char *name, int32_t partition)
{
	struct task_stream *stream = streams_get(streams, name, partition);
	if (stream)
		return stream;
	if (streams->count == streams->room) {
		streams->room = streams->room ? 2 * streams->room : 16;
		streams->items = mem_realloc(streams->items, streams->room * sizeof *streams->items);
		streams->dirty = mem_realloc(streams->dirty, streams->room * sizeof *streams->dirty);
	}
	stream = &streams->items[streams->count];
	*stream = (struct task_stream){arena_copy(&task->names, name, strlen(name)), partition, 0, 0};
	streams->dirty[streams->count++] = false;
	return stream;
}

void task_add_topic(struct task *task, const char *name, int32_t partitions, enum headers_form form)
{
	task->topics = mem_realloc(task->topics, (task->topic_count + 1) * sizeof *task->topics);
	task->topics[task->topic_count++] =
		(struct topic){arena_copy(&task->names, name, strlen(name)), partitions, form};
}

struct task_gap *task_add_gap(struct task *task, const char *service, int32_t partition)
{
	if (task->gap_count == task->gap_room) {
		task->gap_room = task->gap_room ? 2 * task->gap_room : 8;
		task->gaps = mem_realloc(task->gaps, task->gap_room * sizeof *task->gaps);
		task->gap_rows = mem_realloc(task->gap_rows, task->gap_room * sizeof *task->gap_rows);
	}
	task->gap_rows[task->gap_count] = (struct gap_row){0};
	struct task_gap *gap = &task->gaps[task->gap_count++];
	*gap = (struct task_gap){.service = arena_copy(&task->names, service, strlen(service)), .partition = partition};
	return gap;
}

/* ---- opening ---- */

static void list_row_tables(struct task *task)
{
	size_t count = task->service->table_count, more = task_letter_table_count(task->service);
	task->row_table_count = count + more;
	task->row_tables = mem_zalloc(count + more, sizeof *task->row_tables);
	for (size_t i = 0; i < count + more; i++)
		task->row_tables[i] = i < count ? task->service->tables[i] : task_letter_tables[i - count];
}

static void list_accepted(struct task *task)
{
	const struct service *service = task->service;
	size_t count = 0;
	for (size_t i = 0; i < service->handler_count; i++)
		count += service->handlers[i].type->writer_count;
	task->accepts = mem_zalloc(count, sizeof *task->accepts);
	for (size_t i = 0; i < service->handler_count; i++)
		for (size_t w = 0; w < service->handlers[i].type->writer_count; w++)
			task->accepts[task->accept_count++] =
				(struct accepts){service->handlers[i].type->writers[w], &service->handlers[i]};
}

enum status task_open(const struct task_config *config, struct task **out, struct err *err)
{
	struct err own;
	if (!err)
		err = &own;
	struct task *task = mem_zalloc(1, sizeof *task);
	task->service = config->service;
	task->partition = config->partition;
	task->secret = config->secret;
	task->position.last_offset = -1;
	task->mark = mem_strdup("");
	task->full_input = mem_strdup(config->full_input ? config->full_input : config->service->input);
	task->dead_letter_topic = mem_format("%s.dlq", config->service->input);
	task->own.partition = config->partition;
	snprintf(task->own.service, sizeof task->own.service, "%s", config->service->name);
	list_accepted(task);
	list_row_tables(task);
	enum status status = task_file_advice(task_open_file(task, config, err), err);
	if (status == OK && task->position.logic_version > config->service->logic_version)
		status = err_set(
			err, FATAL, "unknown_version",
			"the file was folded with logic version %d, this program knows up to %d; run a newer program",
			task->position.logic_version, config->service->logic_version);
	if (status != OK) {
		task_close(task);
		return status;
	}
	*out = task;
	return OK;
}

static void task_free(struct task *task)
{
	rows_close(task->rows);
	arena_fini(&task->names);
	arena_fini(&task->decoded);
	arena_fini(&task->emitted);
	buf_fini(&task->encoded);
	mem_free(task->ce_source);
	mem_free(task->ce_id);
	mem_free(task->full_input);
	mem_free(task->dead_letter_topic);
	mem_free(task->mark);
	mem_free(task->topics);
	mem_free(task->inbound.items);
	mem_free(task->inbound.dirty);
	mem_free(task->outbound.items);
	mem_free(task->outbound.dirty);
	mem_free(task->gaps);
	mem_free(task->gap_rows);
	mem_free(task->accepts);
	mem_free(task->row_tables);
	mem_free(task->outputs);
	hash_wipe(&task->seal, sizeof task->seal);
	mem_free(task);
}

void task_close(struct task *task)
{
	if (!task)
		return;
	store_close(task->store);
	task_free(task);
}

void task_abandon(struct task *task)
{
	if (!task)
		return;
	store_abandon(task->store);
	task_free(task);
}

/* ---- genesis ---- */

static bool has_topic(const struct genesis *genesis, const char *name)
{
	for (size_t i = 0; i < genesis->topics.count; i++)
		if (strcmp(genesis->topics.items[i].name, name) == 0 && genesis->topics.items[i].partitions > 0)
			return true;
	return false;
}

static enum status missing_topic(const struct task *task, const char *name, struct err *err)
{
	return err_set(
		err, FATAL, "foreign_log",
		"the installation's genesis does not name the topic %s, which %s needs; it was made by another program:"
		" create a new installation for this one",
		name, task->service->name);
}

/* Every topic that the service reads from or writes to. */
static enum status check_topics(const struct task *task, const struct genesis *genesis, struct err *err)
{
	const struct service *service = task->service;
	if (!has_topic(genesis, service->input))
		return missing_topic(task, service->input, err);
	if (!has_topic(genesis, task->dead_letter_topic))
		return missing_topic(task, task->dead_letter_topic, err);
	for (size_t i = 0; i < service->output_count; i++)
		if (!has_topic(genesis, service->outputs[i]))
			return missing_topic(task, service->outputs[i], err);
	for (size_t i = 0; i < service->source_count; i++)
		if (!has_topic(genesis, service->sources[i].input))
			return missing_topic(task, service->sources[i].input, err);
	return OK;
}

enum status task_take_genesis(struct task *task, const struct genesis *genesis, struct err *err)
{
	if (genesis->logic_version < 1 || genesis->logic_version > task->service->logic_version)
		return err_set(err, FATAL, "unknown_version",
		               "the log begins with logic version %d, this program knows up to %d; run a newer program",
		               genesis->logic_version, task->service->logic_version);
	enum status status = check_topics(task, genesis, err);
	if (status != OK)
		return status;
	for (size_t i = 0; i < genesis->topics.count; i++) {
		const struct genesis_topic *topic = &genesis->topics.items[i];
		task_add_topic(task, topic->name, topic->partitions,
		               topic->headers == HEADER_FORM_CLOUDEVENTS ? HEADERS_CLOUDEVENTS : HEADERS_COMPACT);
	}
	memcpy(task->installation, genesis->installation, sizeof task->installation);
	task->has_genesis = task->topics_dirty = true;
	task->single_replica = genesis->single_replica;
	task->position.logic_version = genesis->logic_version;
	return seal_open(task->installation, genesis->chain == CHAIN_KEY_KEYED, task->secret, &task->seal, err);
}

static enum status foreign_log(const struct task *task, const struct genesis *genesis, struct err *err)
{
	struct arena arena = {0};
	err_set(err, FATAL, "foreign_log",
	        "the log is of installation %s, the file was folded from %s; use the data folder of this installation, or"
	        " delete the file: it is rebuilt from the log",
	        genesis_id_text(genesis->installation, &arena), genesis_id_text(task->installation, &arena));
	arena_fini(&arena);
	return FATAL;
}

enum status task_check_genesis(const struct task *task, const struct genesis *genesis, struct err *err)
{
	if (!task->has_genesis)
		return OK;
	if (memcmp(task->installation, genesis->installation, sizeof task->installation) != 0 ||
	    task->seal.keyed != (genesis->chain == CHAIN_KEY_KEYED))
		return foreign_log(task, genesis, err);
	for (size_t i = 0; i < genesis->topics.count; i++) {
		const struct topic *topic = task_topic(task, genesis->topics.items[i].name);
		if (!topic || topic->partitions != genesis->topics.items[i].partitions)
			return err_set(
				err, FATAL, "partition_count",
				"genesis pins %s to %d partitions, the file has %d; delete the file: it is rebuilt",
				genesis->topics.items[i].name, genesis->topics.items[i].partitions,
				topic ? topic->partitions : 0);
	}
	return check_topics(task, genesis, err); /* the file may be of a program that needed fewer */
}

/* ---- what it knows ---- */

bool task_is_open(const struct task *task)
{
	return store_in_transaction(task->store);
}

void task_position(const struct task *task, struct task_position *out)
{
	*out = task->position;
}

const struct task_stream *task_inbound(const struct task *task, size_t *count)
{
	*count = task->inbound.count;
	return task->inbound.items;
}

const struct task_stream *task_outbound(const struct task *task, size_t *count)
{
	*count = task->outbound.count;
	return task->outbound.items;
}

const struct task_gap *task_gaps(const struct task *task, size_t *count)
{
	*count = task->gap_count;
	return task->gaps;
}

int64_t task_count(const struct task *task, enum task_verdict verdict)
{
	return verdict == TASK_HELD ? task->held_count : task->counts[verdict];
}

int64_t task_stream_time_ms(const struct task *task)
{
	return task->stream_time_ms;
}

const struct topic *task_topic(const struct task *task, const char *name)
{
	for (size_t i = 0; i < task->topic_count; i++)
		if (strcmp(task->topics[i].name, name) == 0)
			return &task->topics[i];
	return NULL;
}

int32_t task_partition_count(const struct task *task, const char *topic)
{
	const struct topic *found = task_topic(task, topic);
	return found ? found->partitions : 0;
}

bool task_has_genesis(const struct task *task)
{
	return task->has_genesis;
}

const uint8_t *task_installation(const struct task *task)
{
	return task->installation;
}

const struct seal *task_seal(const struct task *task)
{
	return &task->seal;
}

struct store *task_store(struct task *task)
{
	rows_flush(task->rows, NULL); /* where that fails the store is broken, and says so to its next caller */
	return task->store;
}

const struct service *task_service(const struct task *task)
{
	return task->service;
}

const char *task_mark(const struct task *task)
{
	return task->mark;
}

void task_clear_mark(struct task *task)
{
	task->mark[0] = 0;
}

enum status task_set_mark(struct task *task, const char *mark, struct err *err)
{
	mem_free(task->mark);
	task->mark = mem_strdup(mark);
	if (!task->has_genesis)
		return OK; /* nothing is in the file yet: the first commit writes both */
	enum status status = store_begin(task->store, err);
	return status == OK ? task_commit(task, err) : status;
}

struct task_gap *task_gap_put(struct task *task, const char *service, int32_t partition)
{
	for (size_t i = 0; i < task->gap_count; i++) {
		if (task->gaps[i].partition != partition || strcmp(task->gaps[i].service, service) != 0)
			continue;
		if (task->gap_rows[i].gone) /* closed and open again before a commit */
			task->gaps[i] = (struct task_gap){.service = task->gaps[i].service, .partition = partition};
		task->gap_rows[i] = (struct gap_row){.dirty = true};
		return &task->gaps[i];
	}
	struct task_gap *gap = task_add_gap(task, service, partition);
	task->gap_rows[task->gap_count - 1].dirty = true;
	return gap;
}

void task_gap_close(struct task *task, const char *service, int32_t partition, uint64_t number)
{
	for (size_t i = 0; i < task->gap_count; i++)
		if (task->gaps[i].partition == partition && !strcmp(task->gaps[i].service, service) &&
		    number >= task->gaps[i].highest) {
			task->gaps[i].count = 0;
			task->gap_rows[i] = (struct gap_row){.dirty = true, .gone = true};
		}
}
