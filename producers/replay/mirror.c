#include "mirror.h"

#include "installation.h"
#include "position.h"

#include <inttypes.h>
#include <string.h>

#define BATCH_RECORDS_MAX 5000
#define BATCH_BYTES_MAX   (16 << 20)
#define SKEW_MS           500 /* between this machine's clock and a broker's, either way */

struct mirror {
	const struct mirror_config *config;
	struct mirror_result *result;
	struct arena arena;
	const char **topics;
	size_t topic_count;
	bool installation; /* all of one: record 0 must be there */
	bool has_until;
	int64_t until_ms;
	struct arena batch_arena;
	struct log_record *batch;
	size_t batch_count, batch_bytes;
};

const char *mirror_url(const char *text, struct arena *arena)
{
	if (strncmp(text, "kafka:", strlen("kafka:")) == 0 || strstr(text, "://"))
		return NULL;
	return strncmp(text, "local:", strlen("local:")) == 0 ? text : arena_format(arena, "local:%s", text);
}

/* ---- topics ---- */

static enum status check_empty(struct mirror *mirror, struct err *err)
{
	const char **names;
	size_t count;
	struct log *target = mirror->config->target;
	enum status status = log_topic_list(target, &mirror->arena, &names, &count, err);
	if (status != OK || !count)
		return status;
	return err_set(err, FATAL, "not_empty",
	               "%s: found topic %s, expected a new, empty log; give another folder, or"
	               " delete this one",
	               log_url(target), names[0]);
}

static enum status choose_topics(struct mirror *mirror, struct err *err)
{
	const struct mirror_config *config = mirror->config;
	struct genesis genesis;
	if (config->topic_count) {
		mirror->topics = arena_alloc(&mirror->arena, config->topic_count * sizeof *mirror->topics);
		memcpy(mirror->topics, config->topics, config->topic_count * sizeof *mirror->topics);
		mirror->topic_count = config->topic_count;
		return OK;
	}
	enum status status = installation_find(config->source, &mirror->arena, &genesis, err);
	if (status != OK)
		return status;
	mirror->installation = true;
	mirror->topic_count = genesis.topics.count;
	mirror->topics = arena_alloc(&mirror->arena, mirror->topic_count * sizeof *mirror->topics);
	for (size_t i = 0; i < mirror->topic_count; i++)
		mirror->topics[i] = genesis.topics.items[i].name;
	return OK;
}

/* A local log does these one way only; another value of the source is left out, and said. */
static bool is_fixed(struct mirror *mirror, const char *topic, const struct log_setting *setting)
{
	static const struct log_setting fixed[] = {{"cleanup.policy", "delete"},
	                                           {"message.timestamp.type", "LogAppendTime"},
	                                           {"retention.bytes", "-1"},
	                                           {"retention.ms", "-1"}};
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
		if (strcmp(setting->name, fixed[i].name) != 0)
			continue;
		if (strcmp(setting->value, fixed[i].value) != 0 && mirror->config->notes)
			fprintf(mirror->config->notes, "tandem replay: topic %s has %s=%s; the mirror has %s\n", topic,
			        setting->name, setting->value, fixed[i].value);
		return true;
	}
	return false;
}

static enum status make_topic(struct mirror *mirror, const char *name, struct err *err)
{
	struct log_topic topic;
	enum status status = log_topic_describe(mirror->config->source, name, &mirror->arena, &topic, err);
	if (status != OK)
		return status;
	struct log_setting *kept = arena_alloc(&mirror->arena, (topic.setting_count + 1) * sizeof *kept);
	size_t count = 0;
	for (size_t i = 0; i < topic.setting_count; i++)
		if (!is_fixed(mirror, name, &topic.settings[i]))
			kept[count++] = topic.settings[i];
	topic.replicas = 1;
	topic.settings = kept;
	topic.setting_count = count;
	return mirror->config->dry_run ? OK : log_topic_create(mirror->config->target, &topic, err);
}

/* ---- one moment ---- */

/* Everything that is there when this is called is before the cut; and nothing that is appended once it has returned. */
static enum status cut(struct mirror *mirror, struct err *err)
{
	const struct mirror_config *config = mirror->config;
	int64_t skew_ms = log_is_local(config->source) ? 1 : SKEW_MS; /* one clock for all of a local log */
	int64_t cut_ms = seam_wall_ms(config->seam) + skew_ms;
	int64_t begun_us = seam_monotonic_us(config->seam), left_ms;
	while ((left_ms = 2 * skew_ms - (seam_monotonic_us(config->seam) - begun_us) / 1000) > 0) {
		if (config->stopped && config->stopped())
			return err_set(err, RETRY, "interrupted", "interrupted");
		log_wait(config->source, (int)left_ms);
	}
	mirror->has_until = true;
	mirror->until_ms = config->has_until && config->until_ms < cut_ms ? config->until_ms : cut_ms;
	return OK;
}

/* ---- records ---- */

static enum status flush(struct mirror *mirror, const struct replay_slice *slice, struct err *err)
{
	enum status status = OK;
	if (mirror->batch_count && !mirror->config->dry_run)
		status = log_import(mirror->config->target, slice->topic->name, slice->partition, mirror->batch,
		                    mirror->batch_count, err);
	if (status == OK)
		mirror->result->records += (int64_t)mirror->batch_count;
	mirror->batch_count = mirror->batch_bytes = 0;
	arena_reset(&mirror->batch_arena);
	return status == OK ? OK : err_context(err, status, "%s/%" PRId32, slice->topic->name, slice->partition);
}

static enum status mirror_take(void *arg, const struct replay_slice *slice, const struct log_record *record,
                               struct err *err)
{
	struct mirror *mirror = arg;
	log_record_copy(&mirror->batch[mirror->batch_count++], record, &mirror->batch_arena);
	mirror->batch_bytes += (size_t)(record->value.len > 0 ? record->value.len : 0);
	if (mirror->batch_count < BATCH_RECORDS_MAX && mirror->batch_bytes < BATCH_BYTES_MAX)
		return OK;
	return flush(mirror, slice, err);
}

/* What folds an installation's partition needs all of it. */
static enum status check_whole(struct mirror *mirror, const char *topic, int32_t partition, struct err *err)
{
	int64_t low, high;
	enum status status = log_bounds(mirror->config->source, topic, partition, &low, &high, err);
	if (status != OK || low == 0 || !mirror->installation)
		return status;
	return err_set(err, FATAL, "truncated",
	               "%s/%" PRId32 " begins at offset %" PRId64
	               ", expected 0: retention has eaten records, and what folds the rest comes to another state",
	               topic, partition, low);
}

static enum status read_partition(struct mirror *mirror, const char *topic, int32_t partition, struct replay_run *run,
                                  struct err *err)
{
	struct arena arena = {0};
	struct replay_slice *slices;
	struct replay_result result = {0};
	size_t count = 0;
	struct replay_selection selection = *run->selection;
	selection.topics = &topic;
	selection.topic_count = 1;
	selection.partition = partition;
	struct replay_run one = *run;
	one.selection = &selection;
	enum status status = check_whole(mirror, topic, partition, err);
	if (status == OK)
		status = replay_run(&one, &arena, &slices, &count, &result, err);
	if (count) {
		enum status flushed = flush(mirror, &slices[0], status == OK ? err : NULL);
		status = status == OK ? flushed : status;
	}
	mirror->result->partitions += status == OK;
	arena_fini(&arena);
	return status;
}

static enum status read_topic(struct mirror *mirror, const char *name, struct err *err)
{
	const struct mirror_config *config = mirror->config;
	const struct replay_sink sink = {.take = mirror_take, .arg = mirror};
	const struct replay_selection selection = {
		.to_offset = -1, .has_until = mirror->has_until, .until_ms = mirror->until_ms};
	struct replay_run run = {.log = config->source,
	                         .seam = config->seam,
	                         .selection = &selection,
	                         .sink = &sink,
	                         .stopped = config->stopped,
	                         .progress = config->progress,
	                         .notes = config->notes};
	struct log_topic topic;
	enum status status = log_topic_describe(config->source, name, &mirror->arena, &topic, err);
	if (status == OK && !topic.exists)
		status =
			err_set(err, FATAL, "unknown_topic", "%s: there is no topic %s", log_url(config->source), name);
	if (status == OK)
		status = make_topic(mirror, name, err);
	for (int32_t p = 0; status == OK && p < topic.partitions; p++)
		status = read_partition(mirror, name, p, &run, err);
	mirror->result->topics += status == OK;
	return status;
}

enum status mirror_run(const struct mirror_config *config, struct mirror_result *result, struct err *err)
{
	struct mirror mirror = {
		.config = config, .result = result, .has_until = config->has_until, .until_ms = config->until_ms};
	*result = (struct mirror_result){0};
	mirror.batch = mem_zalloc(BATCH_RECORDS_MAX, sizeof *mirror.batch);
	enum status status = config->target ? check_empty(&mirror, err) : OK;
	if (status == OK)
		status = choose_topics(&mirror, err);
	if (status == OK && mirror.installation)
		status = cut(&mirror, err);
	for (size_t i = 0; i < mirror.topic_count && status == OK; i++)
		status = read_topic(&mirror, mirror.topics[i], err);
	mem_free(mirror.batch);
	arena_fini(&mirror.batch_arena);
	arena_fini(&mirror.arena);
	return status;
}
