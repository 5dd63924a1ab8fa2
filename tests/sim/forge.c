/* Where the chains are keyed: somebody who may write to every topic, reads them, knows the installation's id and the code, and
 * has not got the secret. Whatever he writes, nothing but a count may come of it. */
#include "sim.h"

#include "genesis.h"
#include "hash.h"
#include "header.h"
#include "redrive.h"

#include <stdio.h>
#include <string.h>

/* Of its own, so that what is drawn elsewhere stays as it was; and the seeds of seeds.txt have public chains. */
#define DICE_STREAM 12

struct forgery {
	struct world *world;
	struct dice *dice;
	int topic;
	int32_t partition;
	struct log_record record;    /* of the topic, to be altered */
	struct header_stream stream; /* its header, where it is numbered */
	bool altered;                /* it is not what was read */
};

bool forge_decide(struct world *world)
{
	world->forger = dice_make(world->seed, DICE_STREAM);
	return dice_chance(&world->forger, 330);
}

/* A record that stands in the topic, at random. */
static bool choose(struct forgery *forgery)
{
	struct world *world = forgery->world;
	bool found = false;
	int64_t low = 0, high = 0;
	forgery->topic = dice_below(forgery->dice, SIM_TOPICS);
	forgery->partition = dice_below(forgery->dice, world->topics[forgery->topic].partitions);
	const char *name = world->topics[forgery->topic].name;
	if (log_bounds(world->log, name, forgery->partition, &low, &high, NULL) != OK || high - low < 1)
		return false;
	int64_t back = dice_chance(forgery->dice, 500) ? 0 : dice_below(forgery->dice, (int)(high - low));
	return log_read_at(world->log, name, forgery->partition, high - 1 - back, &world->arena, &forgery->record,
	                   &found, NULL) == OK &&
	       found;
}

static void put_stream(struct forgery *forgery)
{
	struct header_list list;
	header_list_init(&list, &forgery->world->arena, 1);
	header_add_stream(&list, &forgery->stream);
	forgery->record.headers = list.items;
	forgery->record.header_count = list.count;
}

/* Right in everything that needs no secret. */
static void seal_in_public(struct forgery *forgery)
{
	struct seal seal = {.keyed = true};
	memcpy(seal.key, forgery->world->installation, sizeof seal.key);
	memcpy(seal.proof, forgery->world->installation, sizeof seal.proof);
	seal_event(&seal, &forgery->stream, forgery->world->topics[forgery->topic].name, &forgery->record);
}

static void alter_value(struct forgery *forgery)
{
	struct log_bytes *value = &forgery->record.value;
	forgery->altered = value->len > 0;
	if (value->len <= 0)
		return;
	char *bytes = arena_copy(&forgery->world->arena, value->data, (size_t)value->len);
	int at = dice_below(forgery->dice, value->len);
	bytes[at] = (char)(bytes[at] ^ 1 << dice_below(forgery->dice, 8));
	value->data = bytes;
}

/* An event of the stream that the record is of: the next, a much later one, the same with another chain, body or proof. */
static void alter_event(struct forgery *forgery)
{
	switch (dice_below(forgery->dice, 7)) {
	case 0:
		forgery->stream.number++;
		break;
	case 1:
		forgery->stream.number += 1 + (uint64_t)dice_below(forgery->dice, 1000000);
		break;
	case 2:
		forgery->stream.chain ^= 1;
		break;
	case 3:
		forgery->stream.proof ^= 1;
		put_stream(forgery);
		return;
	case 4:
		forgery->stream.number++;
		seal_in_public(forgery);
		forgery->stream.keyed = dice_chance(forgery->dice, 500);
		put_stream(forgery);
		return;
	case 5:
		alter_value(forgery);
		return;
	default: /* a genuine one, elsewhere or once more */
		forgery->altered = false;
		forgery->partition = dice_below(forgery->dice, forgery->world->topics[forgery->topic].partitions);
		forgery->record.partition = forgery->partition;
		return;
	}
	if (dice_chance(forgery->dice, 500))
		seal_in_public(forgery);
	put_stream(forgery);
}

static void make_control(struct forgery *forgery)
{
	static const struct logic_version versions[] = {
		{.logic_version = 0}, {.logic_version = 1}, {.logic_version = 9}};
	struct buf value = {0};
	struct header_list list;
	const struct logic_version *version = &versions[dice_below(forgery->dice, 3)];
	if (event_encode(&logic_version_type, version, &value, NULL) == OK)
		forgery->record.value = (struct log_bytes){arena_copy(&forgery->world->arena, value.data, value.len),
		                                           (int32_t)value.len};
	buf_fini(&value);
	header_list_init(&list, &forgery->world->arena, 2);
	header_add_constant(&list, GENESIS_CONTROL_HEADER, "1");
	if (dice_chance(forgery->dice, 500))
		header_add_constant(&list, SEAL_CONTROL_HEADER, "12345678");
	forgery->record.headers = list.items;
	forgery->record.header_count = list.count;
}

/* That a letter is given up, or that this is one which comes back: with the proof of the record that was read, where it has one,
 * with another, or with none. */
static void make_letter(struct forgery *forgery)
{
	struct world *world = forgery->world;
	struct buf value = {0};
	struct header_list list;
	const struct log_header *proof = header_find(&forgery->record, SEAL_CONTROL_HEADER);
	const char *dlq = forgery->topic == SIM_ORDERS ? "orders.dlq" : "inventory.dlq";
	struct redrive redrive = {.partition = forgery->partition,
	                          .number = (uint64_t)dice_from(forgery->dice, 1, 6),
	                          .offset = INT64_MAX}; /* as nobody else has it */
	const struct letter_discarded event = {
		.topic = dlq, .partition = redrive.partition, .number = (int64_t)redrive.number, .why = "forged"};
	snprintf(redrive.topic, sizeof redrive.topic, "%s", dlq);
	header_list_init(&list, &world->arena, 2);
	if (dice_chance(forgery->dice, 500)) {
		redrive_add(&list, &redrive);
	} else if (event_encode(&letter_discarded_type, &event, &value, NULL) == OK) {
		forgery->record.value =
			(struct log_bytes){arena_copy(&world->arena, value.data, value.len), (int32_t)value.len};
		header_add_constant(&list, GENESIS_CONTROL_HEADER, "1");
	}
	buf_fini(&value);
	if (proof)
		list.items[list.count++] = *proof;
	else if (dice_chance(forgery->dice, 500))
		header_add_constant(&list, SEAL_CONTROL_HEADER, "12345678");
	forgery->record.headers = list.items;
	forgery->record.header_count = list.count;
}

static bool is_genuine(const struct forgery *forgery)
{
	const struct world *world = forgery->world;
	return seal_holds(&world->seal, world->topics[forgery->topic].name, forgery->partition, &forgery->record);
}

static void forge(struct forgery *forgery)
{
	struct world *world = forgery->world;
	bool numbered = header_stream_parse(&forgery->record, &forgery->stream) == HEADER_VALID;
	bool holds = world->plan.holds[SIM_ORDER] || world->plan.holds[SIM_INVENTORY];
	forgery->altered = true;
	if (holds && dice_chance(forgery->dice, 300)) {
		if (dice_chance(forgery->dice, 800))
			make_letter(forgery);
		else
			forgery->altered = false; /* once more */
	} else if (!numbered || dice_chance(forgery->dice, 150)) {
		make_control(forgery);
	} else {
		alter_event(forgery);
	}
}

void forge_step(struct world *world)
{
	struct forgery forgery = {.world = world, .dice = &world->forger};
	struct log_ack ack;
	if (!world->plan.keyed || !dice_chance(forgery.dice, 30) || !choose(&forgery))
		return;
	bool was_genuine = is_genuine(&forgery);
	forge(&forgery);
	/* What was altered before and is altered back, or comes once more to where it was, is genuine, and a repeat. */
	bool genuine = is_genuine(&forgery);
	if (was_genuine && forgery.altered && genuine)
		world_fail(world, "what was forged for %s/%d passes for genuine", world->topics[forgery.topic].name,
		           forgery.partition);
	int topic = log_producer_topic(world->forging, world->topics[forgery.topic].name);
	if (log_produce(world->forging, topic, &forgery.record, 0, NULL) == OK)
		world->tally.inputs[genuine ? INPUT_REPEAT : INPUT_FORGED]++;
	while (log_producer_ack(world->forging, &ack))
		;
}
