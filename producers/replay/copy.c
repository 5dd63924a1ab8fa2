/* Records into another topic or log. Three ways, decided by the target:
 *
 *   an installation's topic      publishers' events for it, as a publisher sends them: the key's partition by murmur2 over the
 *                                pinned count, none of the headers that workers and dead letters add. So a dead letter that is
 *                                copied to its topic is a redrive: a new, unnumbered record
 *   any topic of a local log     everything but control records, with its timestamp (import.c)
 *   any other                    everything but control records; the time is the target's
 *
 * Outside an installation the partition stays the same where the counts are equal, else it is the key's. */
#include "delivery.h"
#include "header.h"
#include "import.h"
#include "installation.h"
#include "record_view.h"
#include "redrive.h"
#include "replay.h"

#include <inttypes.h>
#include <string.h>

#define GRACE_MS 5000

struct target {
	const char *from, *name;
	bool installation;
	int32_t partitions;
};

struct copy {
	struct copy_config config;
	struct replay_result *result;
	struct arena arena, scratch;
	struct target *targets;
	size_t target_count;
	struct delivery *delivery;
	struct import *import;
};

/* ---- targets ---- */

static bool takes_publishers(const char *topic)
{
	for (size_t i = 0; i < event_type_count; i++) {
		const struct event_type *type = event_types[i];
		if (type->origin == EVENT_PUBLISHER && type->topic && strcmp(type->topic, topic) == 0)
			return true;
	}
	return false;
}

static enum status create(struct copy *copy, const struct target *target, struct err *err)
{
	struct log_topic source;
	enum status status = log_topic_describe(copy->config.source, target->from, &copy->arena, &source, err);
	if (status == OK && !source.exists)
		status = err_set(err, FATAL, "unknown_topic", "%s: there is no topic %s", log_url(copy->config.source),
		                 target->from);
	if (status != OK)
		return status;
	static const struct log_setting setting = {"message.timestamp.type", "LogAppendTime"};
	const struct log_topic topic = {
		.name = target->name, .partitions = source.partitions, .settings = &setting, .setting_count = 1};
	return copy->config.dry_run ? OK : log_topic_create(copy->config.target, &topic, err);
}

/* *exists is false for one that a dry run would make. */
static enum status describe_target(struct copy *copy, struct target *target, bool *exists, struct err *err)
{
	struct log_topic topic;
	struct arena *arena = &copy->arena;
	enum status status = log_topic_describe(copy->config.target, target->name, arena, &topic, err);
	if (status == OK && !topic.exists && copy->config.create) {
		status = create(copy, target, err);
		if (status == OK)
			status = copy->config.dry_run
			                 ? log_topic_describe(copy->config.source, target->from, arena, &topic, err)
			                 : log_topic_describe(copy->config.target, target->name, arena, &topic, err);
		*exists = !copy->config.dry_run;
	}
	if (status == OK && !topic.exists)
		status = err_set(err, FATAL, "unknown_topic", "%s: there is no topic %s; %s makes it",
		                 log_url(copy->config.target), target->name,
		                 copy->config.publishers ? "`tandem topics create`" : "--create-topic");
	target->partitions = topic.partitions;
	return status;
}

static enum status pinned(struct copy *copy, struct target *target, struct err *err)
{
	struct genesis genesis;
	struct arena *arena = &copy->arena;
	enum status status =
		installation_topic(copy->config.target, target->name, arena, &genesis, &target->installation, err);
	if (status == OK && !target->installation && copy->config.publishers)
		return err_set(err, REJECT, "usage",
		               "topic %s is of no installation, expected one made by `tandem topics create`",
		               target->name);
	if (status != OK || !target->installation)
		return status;
	const struct genesis_topic *topic = genesis_topic(&genesis, target->name);
	if (topic->partitions != target->partitions)
		return err_set(err, FATAL, "partition_count",
		               "topic %s has %" PRId32 " partitions, its genesis pins %" PRId32, target->name,
		               target->partitions, topic->partitions);
	if (!takes_publishers(target->name))
		return err_set(
			err, REJECT, "usage",
			"topic %s is of installation %s, and only its workers write to it; copy to an input topic, or to"
			" a topic of no installation",
			target->name, genesis_id_text(genesis.installation, arena));
	return OK;
}

static enum status add_target(struct copy *copy, const char *from, struct err *err)
{
	const struct copy_config *config = &copy->config;
	struct target *target = &copy->targets[copy->target_count];
	*target = (struct target){.from = from, .name = config->topic ? config->topic : from};
	if (config->source == config->target && strcmp(target->from, target->name) == 0)
		return err_set(err, REJECT, "usage", "found topic %s as source and target, expected two", from);
	bool exists = true;
	enum status status = describe_target(copy, target, &exists, err);
	if (status == OK && exists)
		status = pinned(copy, target, err);
	copy->target_count += status == OK;
	return status;
}

static const struct target *target_of(const struct copy *copy, const char *from)
{
	for (size_t i = 0; i < copy->target_count; i++)
		if (strcmp(copy->targets[i].from, from) == 0)
			return &copy->targets[i];
	return NULL;
}

/* ---- records ---- */

static bool of_protocol(const char *name)
{
	return strcmp(name, HEADER_STREAM) == 0 || strcmp(name, HEADER_STREAM_ORIGINAL) == 0 ||
	       strcmp(name, REDRIVE_HEADER) == 0 || strncmp(name, "kafka_dlt-", strlen("kafka_dlt-")) == 0;
}

/* Why a publisher cannot have sent it to this topic; REPLAY_SKIPS: one can. */
static enum replay_skip no_publishers(const struct target *target, const struct log_record *record)
{
	const struct event_type *type = record_type(record);
	if (genesis_is_control(record))
		return REPLAY_CONTROL;
	if (!type)
		return REPLAY_NO_EVENT;
	if (type->origin != EVENT_PUBLISHER)
		return type->origin == EVENT_CONTROL ? REPLAY_CONTROL : REPLAY_WORKERS;
	return strcmp(type->topic, target->name) == 0 ? REPLAY_SKIPS : REPLAY_OTHER_TOPIC;
}

/* *fits is false where a publisher cannot have sent it there; it is counted then. */
static void as_publishers(struct copy *copy, const struct target *target, const struct log_record *record,
                          struct log_record *out, bool *fits)
{
	enum replay_skip skip = no_publishers(target, record);
	*fits = skip == REPLAY_SKIPS;
	if (!*fits) {
		copy->result->skipped[skip]++;
		return;
	}
	struct log_header *kept = arena_alloc(&copy->scratch, (record->header_count + 1) * sizeof *kept);
	*out = *record;
	out->headers = kept;
	out->header_count = 0;
	for (size_t i = 0; i < record->header_count; i++)
		if (!of_protocol(record->headers[i].name))
			kept[out->header_count++] = record->headers[i];
	out->partition = log_partition_of(record->key.data, record->key.len > 0 ? (size_t)record->key.len : 0,
	                                  target->partitions);
}

static void as_it_is(struct copy *copy, const struct replay_slice *slice, const struct target *target,
                     const struct log_record *record, struct log_record *out, bool *fits)
{
	*fits = !genesis_is_control(record);
	copy->result->skipped[REPLAY_CONTROL] += !*fits;
	*out = *record;
	if (slice->topic->partitions == target->partitions)
		return;
	out->partition = record->key.len < 0
	                         ? record->partition % target->partitions
	                         : log_partition_of(record->key.data, (size_t)record->key.len, target->partitions);
}

static enum status send(struct copy *copy, const struct target *target, const struct replay_slice *slice,
                        const struct log_record *record, int64_t offset, struct err *err)
{
	const struct delivery_origin origin = {slice, offset};
	if (copy->config.dry_run) {
		copy->result->taken++;
		return OK;
	}
	if (!target->installation && copy->import) {
		enum status status = import_take(copy->import, target->name, record, origin, err);
		copy->result->moved = import_moved(copy->import);
		copy->result->taken = import_written(copy->import);
		return status;
	}
	if (!copy->delivery) {
		const struct delivery_config config = {.log = copy->config.target,
		                                       .seam = copy->config.seam,
		                                       .patience_ms = copy->config.patience_ms,
		                                       .stopped = copy->config.stopped};
		copy->delivery = delivery_open(&config);
	}
	return delivery_take(copy->delivery, target->name, record, origin, err);
}

static void count(struct copy *copy)
{
	if (copy->config.dry_run)
		return;
	copy->result->taken = copy->delivery ? delivery_counts(copy->delivery)->acknowledged : 0;
	if (copy->import) {
		copy->result->taken += import_written(copy->import);
		copy->result->moved = import_moved(copy->import);
	}
}

static enum status copy_take(void *arg, const struct replay_slice *slice, const struct log_record *record,
                             struct err *err)
{
	struct copy *copy = arg;
	const struct target *target = target_of(copy, slice->topic->name);
	struct log_record out;
	bool fits;
	arena_reset(&copy->scratch);
	if (target->installation)
		as_publishers(copy, target, record, &out, &fits);
	else
		as_it_is(copy, slice, target, record, &out, &fits);
	enum status status = fits ? send(copy, target, slice, &out, record->offset, err) : OK;
	count(copy);
	return status;
}

static enum status copy_idle(void *arg, struct err *err)
{
	struct copy *copy = arg;
	enum status status = copy->import ? import_flush(copy->import, err) : OK;
	if (status == OK && copy->delivery) {
		delivery_flush(copy->delivery);
		status = delivery_step(copy->delivery, 0, err);
	}
	count(copy);
	return status;
}

static enum status copy_finish(void *arg, struct err *err)
{
	struct copy *copy = arg;
	enum status status = copy->import ? import_flush(copy->import, err) : OK;
	if (status == OK && copy->delivery)
		status = delivery_finish(copy->delivery, GRACE_MS, err);
	count(copy);
	return status;
}

static bool copy_unsafe(void *arg, const struct replay_slice *slice, int64_t *offset)
{
	struct copy *copy = arg;
	int64_t other;
	bool any = copy->delivery && delivery_oldest(copy->delivery, slice, offset);
	if (copy->import && import_oldest(copy->import, slice, &other)) {
		*offset = any && *offset < other ? *offset : other;
		any = true;
	}
	return any;
}

enum status copy_open(const struct copy_config *config, const struct replay_selection *selection,
                      struct replay_result *result, struct copy **out, struct replay_sink *sink, struct err *err)
{
	struct copy *copy = mem_zalloc(1, sizeof *copy);
	copy->config = *config;
	copy->result = result;
	copy->targets = arena_alloc(&copy->arena, selection->topic_count * sizeof *copy->targets);
	enum status status = OK;
	for (size_t i = 0; i < selection->topic_count && status == OK; i++)
		status = add_target(copy, selection->topics[i], err);
	if (status == OK && log_is_local(config->target) && !config->dry_run)
		copy->import = import_open(config->target);
	*sink = (struct replay_sink){.take = copy_take,
	                             .idle = copy_idle,
	                             .finish = copy_finish,
	                             .settle = copy_finish,
	                             .unsafe = copy_unsafe,
	                             .arg = copy};
	*out = copy;
	return status;
}

void copy_close(struct copy *copy)
{
	if (!copy)
		return;
	delivery_close(copy->delivery);
	import_close(copy->import);
	arena_fini(&copy->arena);
	arena_fini(&copy->scratch);
	mem_free(copy);
}
