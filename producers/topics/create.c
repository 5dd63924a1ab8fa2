#include "create.h"

#include "plan.h"
#include "seal.h"

#include <string.h>

/* ---- topics ---- */

static bool still_empty(const struct survey *survey, const struct survey_topic *topic)
{
	int64_t low, high;
	for (int32_t p = 0; p < topic->planned.partitions; p++)
		if (log_bounds(survey->log, topic->planned.name, p, &low, &high, NULL) != OK || high)
			return false;
	return true;
}

/* All or none: what this run made goes, and nothing else. */
static void undo(const struct survey *survey)
{
	for (size_t i = 0; i < survey->count; i++)
		if (survey->topics[i].made && still_empty(survey, &survey->topics[i]))
			log_topic_delete(survey->log, survey->topics[i].planned.name, NULL);
}

static enum status make_topic(const struct survey *survey, struct survey_topic *topic, bool single_replica,
                              struct err *err)
{
	struct log_setting settings[PLAN_SETTINGS_MAX];
	struct log_topic wanted = {
		.name = topic->planned.name, .partitions = topic->planned.partitions, .settings = settings};
	wanted.setting_count = plan_settings(wanted.name, single_replica, settings);
	wanted.replicas = single_replica ? 1 : 0;
	enum status status = log_topic_create(survey->log, &wanted, err);
	if (status != OK)
		return err_context(err, status, "topic %s", wanted.name);
	topic->made = true;
	topic->found = wanted;
	topic->found.exists = true;
	topic->states = arena_alloc(survey->arena, (size_t)wanted.partitions * sizeof *topic->states);
	for (int32_t p = 0; p < wanted.partitions; p++)
		topic->states[p] = SURVEY_EMPTY;
	return OK;
}

static enum status make_topics(struct survey *survey, bool single_replica, struct err *err)
{
	enum status status = OK;
	for (size_t i = 0; status == OK && i < survey->count; i++) {
		if (survey->topics[i].found.exists)
			continue;
		status = survey_step(survey, err);
		if (status == OK)
			status = make_topic(survey, &survey->topics[i], single_replica, err);
	}
	if (status != OK && !err_is(err, "interrupted"))
		undo(survey);
	return status;
}

/* ---- genesis ---- */

struct writing {
	struct survey *survey;
	const struct create_request *request;
	struct log_producer *producer;
	struct seal seal;
	struct err err; /* the first acknowledgement that was none */
	enum status status;
};

static void take_acks(struct writing *writing)
{
	struct log_ack ack;
	while (log_producer_ack(writing->producer, &ack)) {
		if (ack.status == OK || writing->status != OK)
			continue;
		writing->status = ack.status;
		writing->err = ack.err;
	}
}

static enum status write_one(struct writing *writing, struct genesis *genesis, struct err *err)
{
	struct log_record record;
	enum status status = genesis_record(genesis, writing->survey->arena, &record, err);
	seal_control(&writing->seal, genesis->topic, genesis->partition, writing->survey->arena, &record);
	int topic = status == OK ? log_producer_topic(writing->producer, genesis->topic) : 0;
	if (status == OK)
		status = log_produce(writing->producer, topic, &record, 0, err);
	take_acks(writing);
	return status;
}

static enum status write_empty(struct writing *writing, struct genesis *genesis, struct err *err)
{
	enum status status = OK;
	struct survey *survey = writing->survey;
	for (size_t i = 0; i < survey->count; i++) {
		genesis->topic = survey->topics[i].planned.name;
		for (int32_t p = 0; status == OK && p < survey->topics[i].planned.partitions; p++) {
			if (survey->topics[i].states[p] != SURVEY_EMPTY)
				continue;
			genesis->partition = p;
			status = survey_step(survey, err);
			if (status == OK)
				status = write_one(writing, genesis, err);
		}
	}
	return status;
}

static enum status await_acks(struct writing *writing, struct err *err)
{
	const struct seam *seam = writing->request->seam;
	int64_t end_us = seam_monotonic_us(seam) + writing->request->patience_ms * 1000;
	log_producer_flush(writing->producer);
	for (take_acks(writing); log_producer_pending(writing->producer) && writing->status == OK; take_acks(writing)) {
		if (survey_step(writing->survey, err) != OK)
			return RETRY;
		if (seam_monotonic_us(seam) >= end_us)
			return err_set(err, RETRY, "timeout", "the genesis records were not acknowledged in %d ms",
			               (int)writing->request->patience_ms);
		log_wait(writing->survey->log, 100);
	}
	if (writing->status != OK && err)
		*err = writing->err;
	return writing->status;
}

static enum status write_genesis(struct survey *survey, const struct create_request *request, struct genesis *genesis,
                                 struct err *err)
{
	struct writing writing = {.survey = survey, .request = request};
	enum status status =
		seal_open(genesis->installation, request->keyed, log_secret(survey->log), &writing.seal, err);
	if (status == OK)
		status = log_producer_open(survey->log, &writing.producer, err);
	if (status == OK)
		status = write_empty(&writing, genesis, err);
	if (status == OK)
		status = await_acks(&writing, err);
	log_producer_close(writing.producer);
	return status == OK ? OK : err_context(err, status, "genesis");
}

static enum status read_back(struct survey *survey, struct genesis *expected, struct err *err)
{
	struct genesis found;
	enum status status = OK;
	for (size_t i = 0; i < survey->count; i++) {
		expected->topic = survey->topics[i].planned.name;
		for (int32_t p = 0; status == OK && p < survey->topics[i].planned.partitions; p++) {
			expected->partition = p;
			status = survey_step(survey, err);
			if (status == OK)
				status = genesis_read(survey->log, expected->topic, p, survey->arena, &found, err);
			if (status == OK)
				status = genesis_same(expected, &found, err);
		}
	}
	return status;
}

/* ---- */

static bool complete(const struct survey *survey)
{
	for (size_t i = 0; i < survey->count; i++) {
		if (!survey->topics[i].found.exists)
			return false;
		for (int32_t p = 0; p < survey->topics[i].planned.partitions; p++)
			if (survey->topics[i].states[p] != SURVEY_GENESIS)
				return false;
	}
	return true;
}

enum status create_run(struct survey *survey, const struct create_request *request, bool *made, struct err *err)
{
	enum status status = survey_read(survey, &request->plan, err);
	*made = false;
	if (status != OK)
		return status;
	survey_compare_genesis(survey, &request->plan, request->single_replica);
	survey_compare_chain(survey, request->keyed);
	survey_compare_topics(survey, request->single_replica);
	if (survey->problems)
		return err_set(err, FATAL, "refused", "nothing was made: %zu problem%s", survey->problems,
		               survey->problems == 1 ? "" : "s");
	*made = !complete(survey);
	if (request->dry_run || !*made)
		return OK;
	struct genesis genesis = {.topics = request->plan,
	                          .single_replica = request->single_replica,
	                          .chain = request->keyed ? CHAIN_KEY_KEYED : CHAIN_KEY_PUBLIC,
	                          .logic_version = 1};
	if (survey->found)
		memcpy(genesis.installation, survey->genesis.installation, sizeof genesis.installation);
	else
		seam_random(request->seam, genesis.installation, sizeof genesis.installation);
	status = make_topics(survey, request->single_replica, err);
	if (status == OK)
		status = write_genesis(survey, request, &genesis, err);
	if (status == OK)
		status = read_back(survey, &genesis, err);
	survey->genesis = genesis;
	return status;
}
