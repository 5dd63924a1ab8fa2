#include "survey.h"

#include "plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void survey_problem(struct survey *survey, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vfprintf(survey->out, format, args);
	va_end(args);
	fputc('\n', survey->out);
	survey->problems++;
}

enum status survey_step(const struct survey *survey, struct err *err)
{
	return survey->stopped && survey->stopped() ? err_set(err, RETRY, "interrupted", "interrupted") : OK;
}

/* ---- record 0 of each partition ---- */

static enum survey_state other(struct survey *survey, const char *text)
{
	survey_problem(survey, "%s", text);
	survey->must_delete = true;
	return SURVEY_OTHER;
}

static enum survey_state judge(struct survey *survey, const struct genesis *genesis)
{
	struct err err = {0};
	if (!survey->found) {
		survey->found = true;
		survey->genesis = *genesis;
	}
	return genesis_same(&survey->genesis, genesis, &err) == OK ? SURVEY_GENESIS : other(survey, err.text);
}

/* What the genesis is wrong about is a problem; what the log cannot tell is a failure. */
static enum status look(struct survey *survey, const char *topic, int32_t partition, enum survey_state *state,
                        struct err *err)
{
	int64_t low, high;
	struct log_record record;
	struct genesis genesis;
	bool found = false;
	enum status status = log_bounds(survey->log, topic, partition, &low, &high, err);
	if (status != OK || !high) {
		*state = SURVEY_EMPTY;
		return status;
	}
	status = log_read_at(survey->log, topic, partition, 0, survey->arena, &record, &found, err);
	if (status != OK)
		return status;
	struct err why = {0};
	if (!found)
		*state = other(survey,
		               arena_format(survey->arena, "%s/%d begins at offset %" PRId64 ", its genesis is gone",
		                            topic, (int)partition, low));
	else if (genesis_check(survey->log, &record, topic, partition, survey->arena, &genesis, &why) != OK)
		*state = other(survey, why.text);
	else
		*state = judge(survey, &genesis);
	return OK;
}

static enum status read_topic(struct survey *survey, struct survey_topic *topic, struct err *err)
{
	enum status status = survey_step(survey, err);
	if (status == OK)
		status = log_topic_describe(survey->log, topic->planned.name, survey->arena, &topic->found, err);
	if (status != OK || !topic->found.exists)
		return status;
	survey->unreadable = survey->unreadable || !topic->found.settings_known;
	topic->states = arena_alloc(survey->arena, (size_t)topic->found.partitions * sizeof *topic->states);
	for (int32_t p = 0; status == OK && p < topic->found.partitions; p++) {
		status = survey_step(survey, err);
		if (status == OK)
			status = look(survey, topic->planned.name, p, &topic->states[p], err);
	}
	return status;
}

enum status survey_read(struct survey *survey, const struct genesis_topic_array *plan, struct err *err)
{
	enum status status = OK;
	survey->topics = arena_alloc(survey->arena, plan->count * sizeof *survey->topics);
	survey->count = plan->count;
	for (size_t i = 0; i < plan->count; i++)
		survey->topics[i] = (struct survey_topic){.planned = plan->items[i]};
	for (size_t i = 0; status == OK && i < plan->count; i++)
		status = read_topic(survey, &survey->topics[i], err);
	return status;
}

/* ---- against what is wanted ---- */

static const struct genesis_topic *planned(const struct genesis_topic_array *plan, const char *name)
{
	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(plan->items[i].name, name) == 0)
			return &plan->items[i];
	return NULL;
}

void survey_compare_genesis(struct survey *survey, const struct genesis_topic_array *plan, bool single_replica)
{
	const struct genesis *genesis = &survey->genesis;
	if (!survey->found)
		return;
	for (size_t i = 0; i < plan->count; i++) {
		const struct genesis_topic *want = &plan->items[i], *have = genesis_topic(genesis, want->name);
		if (!have)
			survey_problem(survey,
			               "%s is not in the installation that is there: this program has a newer service",
			               want->name);
		else if (have->partitions != want->partitions)
			survey_problem(survey, "%s: the genesis that is there pins %d partitions, expected %d",
			               want->name, (int)have->partitions, (int)want->partitions);
		else if (have->headers != want->headers)
			survey_problem(survey, "%s: the genesis that is there has %s headers, expected %s", want->name,
			               header_form_name(have->headers), header_form_name(want->headers));
	}
	for (size_t i = 0; i < genesis->topics.count; i++)
		if (!planned(plan, genesis->topics.items[i].name))
			survey_problem(survey,
			               "%s belongs to the installation that is there, and no service here knows it",
			               genesis->topics.items[i].name);
	if (genesis->single_replica != single_replica)
		survey_problem(survey, "the installation that is there was created %s --single-replica, expected %s",
		               genesis->single_replica ? "with" : "without", single_replica ? "with" : "without");
}

static const char *value_of(const struct log_topic *topic, const char *name)
{
	for (size_t i = 0; i < topic->setting_count; i++)
		if (strcmp(topic->settings[i].name, name) == 0)
			return topic->settings[i].value;
	return NULL;
}

/* More replicas in sync and larger records are as good. */
static bool at_least(const char *name)
{
	return strcmp(name, "min.insync.replicas") == 0 || strcmp(name, "max.message.bytes") == 0;
}

static void compare_settings(struct survey *survey, const struct log_topic *found, bool single_replica)
{
	struct log_setting want[PLAN_SETTINGS_MAX];
	size_t count = plan_settings(found->name, single_replica, want);
	for (size_t i = 0; i < count; i++) {
		const char *value = value_of(found, want[i].name);
		bool enough = at_least(want[i].name);
		if (value && (enough ? strtoll(value, NULL, 10) >= strtoll(want[i].value, NULL, 10)
		                     : strcmp(value, want[i].value) == 0))
			continue;
		survey_problem(survey, "%s has %s=%s, expected %s%s", found->name, want[i].name,
		               value ? value : "(not set)", enough ? "at least " : "", want[i].value);
	}
}

void survey_compare_chain(struct survey *survey, bool keyed)
{
	bool found = survey->found && survey->genesis.chain == CHAIN_KEY_KEYED;
	if (survey->found && found != keyed)
		survey_problem(survey, "the installation that is there has %s chains, expected %s ones%s",
		               chain_key_name(survey->genesis.chain),
		               chain_key_name(keyed ? CHAIN_KEY_KEYED : CHAIN_KEY_PUBLIC),
		               found ? " (--keyed --secret-file)" : "");
}

void survey_compare_topics(struct survey *survey, bool single_replica)
{
	for (size_t i = 0; i < survey->count; i++) {
		const struct log_topic *found = &survey->topics[i].found;
		if (!found->exists)
			continue;
		const struct genesis_topic *pinned =
			survey->found ? genesis_topic(&survey->genesis, found->name) : NULL;
		bool told = pinned && pinned->partitions == found->partitions; /* by survey_compare_genesis */
		if (!told && found->partitions != survey->topics[i].planned.partitions)
			survey_problem(survey, "%s has %d partitions, expected %d", found->name, (int)found->partitions,
			               (int)survey->topics[i].planned.partitions);
		if (!single_replica && found->replicas < 2)
			survey_problem(survey, "%s has %d replica, expected at least 2 (or --single-replica)",
			               found->name, (int)found->replicas);
		if (found->settings_known)
			compare_settings(survey, found, single_replica);
	}
}
