#include "resend.h"

#include "genesis.h"
#include "header.h"
#include "refold.h"

#include <stdio.h>
#include <string.h>

#define WAIT_MS      50
#define WAIT_ACKS_MS 60000
#define ROUNDS_MAX   1000 /* a live worker that is faster than we are, for ever */
#define FOLD_WAIT_MS 10000

struct resend {
	const struct resend_config *config;
	struct refold *refold;
	struct log_producer *producer;
	int topic;
	int64_t unacknowledged;
	int64_t first_offset, last_offset; /* of ours, acknowledged; -1: none */
	uint64_t last_number;              /* folded, whether sent or not */
	struct resend_result *result;
};

/* ---- sending ---- */

static enum status take_acks(struct resend *resend, struct err *err)
{
	struct log_ack ack;
	while (log_producer_ack(resend->producer, &ack)) {
		resend->unacknowledged--;
		if (ack.status != OK) {
			*err = ack.err;
			return err_context(err, ack.status, "sending to %s/%d; run it again, repeats are dropped",
			                   resend->config->topic, resend->config->to_partition);
		}
		if (resend->first_offset < 0 || ack.offset < resend->first_offset)
			resend->first_offset = ack.offset;
		if (ack.offset > resend->last_offset)
			resend->last_offset = ack.offset;
	}
	return OK;
}

static enum status send(struct resend *resend, const struct task_output *output, struct err *err)
{
	enum status status;
	for (;;) {
		status = log_produce(resend->producer, resend->topic, &output->record, output->number, err);
		if (status != RETRY || !err_is(err, "queue_full"))
			break;
		log_wait(resend->config->log, WAIT_MS);
		status = take_acks(resend, err);
		if (status != OK)
			return status;
	}
	if (status != OK)
		return status;
	struct resend_result *result = resend->result;
	resend->unacknowledged++;
	result->sent++;
	result->last = (int64_t)output->number;
	if (!result->first)
		result->first = (int64_t)output->number;
	return take_acks(resend, err);
}

static enum status wait_acks(struct resend *resend, struct err *err)
{
	const struct seam *seam = resend->config->seam ? resend->config->seam : &seam_system;
	int64_t until = seam_monotonic_us(seam) + WAIT_ACKS_MS * 1000LL;
	enum status status = OK;
	if (!resend->producer)
		return OK;
	log_producer_flush(resend->producer);
	while (status == OK && resend->unacknowledged > 0) {
		if (seam_monotonic_us(seam) > until)
			return err_set(err, RETRY, "timeout",
			               "%lld records were not acknowledged within %d s; run it again",
			               (long long)resend->unacknowledged, WAIT_ACKS_MS / 1000);
		log_wait(resend->config->log, WAIT_MS);
		status = take_acks(resend, err);
	}
	return status;
}

/* ---- folding ---- */

static enum status send_outputs(struct resend *resend, struct err *err)
{
	size_t count;
	const struct resend_config *config = resend->config;
	const struct task_output *outputs = task_outputs(refold_task(resend->refold), &count);
	enum status status = OK;
	for (size_t i = 0; i < count && status == OK; i++) {
		if (outputs[i].partition != config->to_partition || strcmp(outputs[i].topic, config->topic) != 0)
			continue;
		resend->last_number = outputs[i].number;
		if ((int64_t)outputs[i].number >= config->from && !config->dry_run)
			status = send(resend, &outputs[i], err);
		else if ((int64_t)outputs[i].number >= config->from)
			resend->result->sent++;
	}
	return status;
}

/* Folds to the end of the log; where that is not far enough, waits for the records that the live worker has folded. */
static enum status fold_until(struct resend *resend, uint64_t number, struct err *err)
{
	enum status status = OK;
	bool folded = true;
	while (status == OK && (folded || resend->last_number < number)) {
		status = refold_next(resend->refold, -1, resend->last_number < number ? FOLD_WAIT_MS : 0, &folded, err);
		if (status == OK && folded)
			status = send_outputs(resend, err);
		else if (status == OK && resend->last_number < number)
			return err_set(
				err, FATAL, "ahead",
				"%s/%d holds number %llu of this stream, but the input %s/%d ends at number %llu: the input has"
				" lost records; restore it, and run it again",
				resend->config->topic, resend->config->to_partition, (unsigned long long)number,
				resend->config->service->input, resend->config->partition,
				(unsigned long long)resend->last_number);
	}
	resend->result->folded = refold_records(resend->refold);
	return status;
}

/* The highest number of our stream between the first and the last of ours in the destination. */
static enum status highest_between(struct resend *resend, uint64_t *highest, struct err *err)
{
	const struct resend_config *config = resend->config;
	struct log_reader *reader;
	const struct seal *seal = task_seal(refold_task(resend->refold));
	*highest = 0;
	enum status status =
		log_reader_open(config->log, config->topic, config->to_partition, resend->first_offset, &reader, err);
	while (status == OK) {
		const struct log_record *record;
		struct header_stream stream;
		status = log_reader_next(reader, WAIT_MS, &record, err);
		if (status != OK || !record || record->offset > resend->last_offset)
			break;
		if (header_stream_parse(record, &stream) == HEADER_VALID && stream.partition == config->partition &&
		    strcmp(stream.service, config->service->name) == 0 && stream.number > *highest &&
		    seal_holds(seal, config->topic, config->to_partition, record))
			*highest = stream.number;
	}
	log_reader_close(reader);
	return status;
}

static enum status send_until_healed(struct resend *resend, struct err *err)
{
	uint64_t highest = 0;
	for (;;) {
		enum status status = fold_until(resend, highest, err);
		if (status == OK)
			status = wait_acks(resend, err);
		if (status != OK || resend->last_offset < 0)
			return status;
		resend->result->rounds++;
		status = highest_between(resend, &highest, err);
		if (status != OK || highest <= resend->last_number)
			return status;
		if (resend->result->rounds == ROUNDS_MAX)
			return err_set(err, RETRY, "busy",
			               "the live worker writes faster than this; stop it, or run it again");
	}
}

/* ---- all of it ---- */

static bool is_output(const struct service *service, const char *topic)
{
	char *dead_letters = mem_format("%s.dlq", service->input);
	bool found = strcmp(dead_letters, topic) == 0;
	for (size_t i = 0; i < service->output_count; i++)
		found = found || strcmp(service->outputs[i], topic) == 0;
	mem_free(dead_letters);
	return found;
}

static enum status refuse_topic(const struct resend_config *config, struct err *err)
{
	struct arena arena = {0};
	const char *outputs = "";
	for (size_t i = 0; i < config->service->output_count; i++)
		outputs = arena_format(&arena, "%s%s, ", outputs, config->service->outputs[i]);
	err_set(err, REJECT, "usage", "%s writes nothing to %s, expected one of %s%s.dlq", config->service->name,
	        config->topic, outputs, config->service->input);
	arena_fini(&arena);
	return REJECT;
}

static enum status check_destination(const struct resend_config *config, struct err *err)
{
	struct arena arena = {0};
	struct genesis input, destination;
	enum status status = genesis_read(config->log, config->service->input, config->partition, &arena, &input, err);
	if (status == OK)
		status = genesis_read(config->log, config->topic, config->to_partition, &arena, &destination, err);
	if (err_is(err, "unknown_partition")) /* the input's is there, so it is the one that was asked for */
		status = REJECT;
	if (status == OK)
		status = genesis_same(&input, &destination, err);
	arena_fini(&arena);
	return status;
}

enum status resend_stream(const struct resend_config *config, struct resend_result *result, struct err *err)
{
	struct resend resend = {.config = config, .result = result, .first_offset = -1, .last_offset = -1};
	const struct refold_config refold = {.service = config->service,
	                                     .log = config->log,
	                                     .partition = config->partition,
	                                     .path = "", /* a temporary file that SQLite removes */
	                                     .scratch = true,
	                                     .progress = config->progress,
	                                     .arg = config->arg};
	*result = (struct resend_result){0};
	if (!is_output(config->service, config->topic))
		return refuse_topic(config, err);
	enum status status = check_destination(config, err);
	if (status == OK)
		status = refold_open(&refold, &resend.refold, err);
	if (status == OK && !config->dry_run)
		status = log_producer_open(config->log, &resend.producer, err);
	if (status == OK && resend.producer)
		resend.topic = log_producer_topic(resend.producer, config->topic);
	if (status == OK)
		status = send_until_healed(&resend, err);
	log_producer_close(resend.producer);
	refold_close(resend.refold);
	return status;
}
