/* A worker's producer: each record's outputs handed over one by one, their acknowledgements, and what a failed one means. */
#include "worker_impl.h"

#include "genesis.h"
#include "meter.h"
#include "tracer.h"

#include <string.h>

#define ACKS_A_STEP          1024
#define ACKS_PATIENCE_US     30000000
#define TOKEN_PARTITION_BITS 32

/* ---- destinations ---- */

static enum status check_destination(struct worker *worker, const struct slot *slot, const char *topic,
                                     int32_t partition, struct err *err)
{
	for (size_t i = 0; i < worker->destination_count; i++)
		if (worker->destinations[i].partition == partition && strcmp(worker->destinations[i].topic, topic) == 0)
			return OK;
	struct genesis genesis;
	arena_reset(&worker->scratch);
	enum status status = genesis_read(worker->config.log, topic, partition, &worker->scratch, &genesis, err);
	if (status != OK)
		return err_context(err, status, "checking %s/%d before the first output there", topic, partition);
	if (memcmp(genesis.installation, task_installation(slot->task), sizeof genesis.installation) != 0)
		return err_set(
			err, FATAL, "foreign_destination",
			"%s/%d is of installation %s, this task of %s: one topic was re-created alone; delete all topics of"
			" the installation and create them together, or restore the one that is missing",
			topic, partition, genesis_id_text(genesis.installation, &worker->scratch),
			genesis_id_text(task_installation(slot->task), &worker->scratch));
	worker->destinations =
		mem_realloc(worker->destinations, (worker->destination_count + 1) * sizeof *worker->destinations);
	worker->destinations[worker->destination_count++] = (struct destination){mem_strdup(topic), partition};
	return OK;
}

void worker_forget_destinations(struct worker *worker)
{
	for (size_t i = 0; i < worker->destination_count; i++)
		mem_free(worker->destinations[i].topic);
	worker->destination_count = 0;
}

/* ---- handing over ---- */

static enum status open_producer(struct worker *worker, struct err *err)
{
	if (worker->producer)
		return OK;
	enum status status = log_producer_open(worker->config.log, &worker->producer, err);
	if (status != OK)
		return status;
	const struct service *service = worker->config.service;
	for (size_t i = 0; i < service->output_count; i++)
		worker->output_topics[i] = log_producer_topic(worker->producer, service->outputs[i]);
	char *dead_letters = mem_format("%s.dlq", service->input);
	worker->output_topics[service->output_count] = log_producer_topic(worker->producer, dead_letters);
	mem_free(dead_letters);
	return OK;
}

static int output_topic(const struct worker *worker, const char *topic)
{
	size_t i = 0;
	while (i < worker->config.service->output_count && strcmp(worker->config.service->outputs[i], topic) != 0)
		i++;
	return worker->output_topics[i];
}

void worker_wait_for_acks(struct worker *worker)
{
	int64_t now = worker_now_us(worker);
	if (!worker->waiting_us)
		worker->waiting_us = now;
	if (now - worker->waiting_us < ACKS_PATIENCE_US)
		return;
	logging_write(
		worker->config.logging, LOGGING_WARNING,
		"nothing is acknowledged: a new producer sends the open batch again; if that does not help, look at the"
		" brokers (min.insync.replicas, disks)",
		LOGGING_INT("waited_s", ACKS_PATIENCE_US / 1000000),
		LOGGING_INT("unacknowledged", (int64_t)log_producer_pending(worker->producer)));
	worker->rollback_due = true;
}

void worker_send_now(struct worker *worker)
{
	if (worker->lingering && worker->producer)
		log_producer_flush(worker->producer);
	worker->lingering = false;
}

enum worker_step worker_send_one(struct worker *worker)
{
	struct slot *slot = worker->sending;
	size_t count;
	const struct task_output *outputs = task_outputs(slot->task, &count);
	if (slot->outputs_sent == count) {
		worker->sending = NULL;
		return WORKER_SENT;
	}
	const struct task_output *output = &outputs[slot->outputs_sent];
	struct err err = {0};
	enum status status = open_producer(worker, &err);
	if (status == OK)
		status = check_destination(worker, slot, output->topic, output->partition, &err);
	if (status != OK)
		return worker_set_aside(worker, slot, status, &err);
	uint64_t token = worker->generation << TOKEN_PARTITION_BITS | (uint32_t)slot->partition;
	status = log_produce(worker->producer, output_topic(worker, output->topic), &output->record, token, &err);
	if (status == RETRY && err_is(&err, "queue_full")) {
		worker_wait_for_acks(worker);
		return WORKER_IDLE; /* acknowledgements are looked at before the next try */
	}
	if (status != OK) {
		worker_say_problem(
			worker, slot,
			"the producer took no more: the open batch is sent again; if it comes back, look at the brokers",
			LOGGING_WARNING, &err);
		worker->rollback_due = true;
		return WORKER_SENT;
	}
	worker->counts.sent++;
	worker->lingering = true;
	tracer_sent(worker->config.tracer, slot->task, output);
	meter_sent(worker->config.meter, output);
	slot->outputs_sent++;
	if (slot->outputs_sent == count)
		worker->sending = NULL;
	worker_show_folding(worker, slot);
	return WORKER_SENT;
}

/* ---- acknowledgements ---- */

/* What no retry cures is cured at the log: says what to do there. */
static enum worker_step refused_output(struct worker *worker, struct slot *slot, const struct err *refusal)
{
	struct err err;
	err_set(&err, FATAL, refusal->code, "an output was refused: %.400s; %s", refusal->text,
	        err_is(refusal, "too_large")        ? "raise max.message.bytes of its topic"
	        : err_is(refusal, "not_authorized") ? "grant this worker the right to write there"
	        : err_is(refusal, "unknown_topic")  ? "run `tandem topics create`"
	                                            : "look at the log's side; it is tried again by itself");
	return worker_set_aside(worker, slot, FATAL, &err);
}

/* All roll back; this one alone halts, or waits: a full disk stays full. */
static void failed_ack(struct worker *worker, const struct log_ack *ack)
{
	worker->rollback_due = true;
	struct slot *slot = worker_find_slot(worker, (int32_t)(ack->token & UINT32_MAX));
	if (!slot || slot->state != SLOT_OPEN)
		return;
	if (ack->status == FATAL)
		refused_output(worker, slot, &ack->err);
	else
		worker_set_aside(worker, slot, RETRY, &ack->err);
}

bool worker_take_acks(struct worker *worker)
{
	struct log_ack ack;
	int taken = 0;
	worker->polled_acks = 0;
	while (worker->producer && !worker->rollback_due && taken < ACKS_A_STEP &&
	       log_producer_ack(worker->producer, &ack)) {
		taken++;
		if (ack.token >> TOKEN_PARTITION_BITS != worker->generation)
			continue; /* of a producer that is gone */
		worker->counts.acknowledged++;
		if (ack.status != OK)
			failed_ack(worker, &ack);
	}
	if (taken)
		worker->waiting_us = 0;
	return taken > 0;
}
