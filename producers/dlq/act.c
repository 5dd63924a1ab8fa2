/* Sends letters back, or says that they are given up. What arrives twice is taken once: the worker that folds the topic knows
 * each letter by its number, so that any of this may be interrupted, run again, or run by two at a time. */
#include "letters.h"

#include "delivery.h"
#include "interrupt.h"
#include "redrive.h"

#include <stdio.h>
#include <string.h>

#define GRACE_MS 5000
#define WAIT_MS  100 /* how often a stop is asked for */

struct act {
	const struct letters *letters;
	const struct act_config *config;
	struct delivery *delivery;
	struct arena arena; /* of one record */
	int64_t begun_us, sent;
};

static bool of_dead_letter(const char *name)
{
	return strcmp(name, HEADER_STREAM) == 0 || strcmp(name, HEADER_STREAM_ORIGINAL) == 0 ||
	       strcmp(name, REDRIVE_HEADER) == 0 || strcmp(name, SEAL_CONTROL_HEADER) == 0 ||
	       strncmp(name, "kafka_dlt-", strlen("kafka_dlt-")) == 0;
}

/* The publisher's record as it was, and which letter it is. */
static void redriven(struct act *act, const struct letter *letter, const struct log_record *record,
                     struct log_record *out)
{
	struct header_list list;
	struct redrive redrive = {.partition = letter->partition, .number = letter->number, .offset = letter->offset};
	snprintf(redrive.topic, sizeof redrive.topic, "%s", act->letters->dlq);
	header_list_init(&list, &act->arena, record->header_count + 1);
	for (size_t i = 0; i < record->header_count; i++)
		if (!of_dead_letter(record->headers[i].name))
			list.items[list.count++] = record->headers[i];
	redrive_add(&list, &redrive);
	*out = (struct log_record){.partition = letter->target,
	                           .key = record->key,
	                           .value = record->value,
	                           .headers = list.items,
	                           .header_count = list.count};
}

static enum status discarded(struct act *act, const struct letter *letter, struct log_record *out, struct err *err)
{
	struct header_list list;
	struct buf value = {0};
	const struct letter_discarded event = {.topic = act->letters->dlq,
	                                       .partition = letter->partition,
	                                       .number = (int64_t)letter->number,
	                                       .offset = letter->offset,
	                                       .why = act->config->why};
	enum status status = event_encode(&letter_discarded_type, &event, &value, err);
	header_list_init(&list, &act->arena, 1);
	header_add_constant(&list, GENESIS_CONTROL_HEADER, "1");
	*out = (struct log_record){
		.partition = letter->target, .key = {NULL, -1}, .headers = list.items, .header_count = list.count};
	if (status == OK)
		out->value = (struct log_bytes){arena_copy(&act->arena, value.data, value.len), (int32_t)value.len};
	buf_fini(&value);
	return status;
}

/* Until the next one may go. */
static enum status pace(struct act *act, struct err *err)
{
	const struct act_config *config = act->config;
	enum status status = OK;
	while (status == OK && config->rate) {
		int64_t due_us = act->begun_us + act->sent * 1000000 / config->rate;
		int64_t left_us = due_us - seam_monotonic_us(config->seam);
		if (left_us <= 0)
			break;
		if (act->letters->stopped && act->letters->stopped())
			return err_set(err, RETRY, "interrupted", "interrupted");
		int64_t left_ms = (left_us + 999) / 1000;
		delivery_flush(act->delivery);
		status = delivery_step(act->delivery, 0, err);
		log_wait(act->letters->log, (int)(left_ms < WAIT_MS ? left_ms : WAIT_MS));
	}
	return status;
}

static enum status send(void *arg, const struct letter *letter, const struct log_record *record, struct err *err)
{
	struct act *act = arg;
	struct log_record out;
	arena_reset(&act->arena);
	enum status status = pace(act, err);
	if (status == OK && act->config->discard)
		status = discarded(act, letter, &out, err);
	else if (status == OK)
		redriven(act, letter, record, &out);
	if (status != OK)
		return status;
	seal_control(&act->letters->seal, act->letters->topic, out.partition, &act->arena, &out);
	act->sent++;
	return delivery_take(act->delivery, act->letters->topic, &out,
	                     (struct delivery_origin){act->letters, letter->offset}, err);
}

enum status act_run(const struct letters *letters, const struct act_config *config, struct act_result *result,
                    struct err *err)
{
	struct act act = {.letters = letters, .config = config, .begun_us = seam_monotonic_us(config->seam)};
	const struct delivery_config delivery = {.log = letters->log,
	                                         .seam = config->seam,
	                                         .patience_ms = config->patience_ms,
	                                         .stopped = letters->stopped};
	act.delivery = delivery_open(&delivery);
	enum status status = letters_each(letters, send, &act, err);
	if (status == OK)
		status = delivery_finish(act.delivery, GRACE_MS, err);
	else
		delivery_finish(act.delivery, GRACE_MS, NULL);
	result->sent = delivery_counts(act.delivery)->acknowledged;
	delivery_close(act.delivery);
	arena_fini(&act.arena);
	return status;
}
