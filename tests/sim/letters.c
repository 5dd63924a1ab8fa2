/* Dead letters that come back. In one seed of five records say that they are one, at a guess. In others a service, or both, holds
 * the keys of what it rejects, and somebody looks after its letters while everything goes wrong: sends one again as it was, in a
 * form that is right, or under another key, gives one up, or uses `tandem dlq`, and is interrupted. Whatever he does, the oracle
 * knows what must come of it. When all is at rest, the documented way out lets go of every key. */
#include "input.h"

#include "../../producers/dlq/letters.h"

#include "genesis.h"
#include "header.h"
#include "redrive.h"

#include <stdio.h>
#include <string.h>

/* Of its own, so that what is drawn elsewhere stays as it was; and nothing is held in the seeds of seeds.txt. */
#define DICE_STREAM 27
#define ANSWERS_MAX 30 /* a seed */
#define ROUNDS_MAX  100
#define PATIENCE_MS 3000

void letters_decide(struct world *world)
{
	struct plan *plan = &world->plan;
	world->letters = dice_make(world->seed, DICE_STREAM);
	int which = dice_below(&world->letters, 100);
	plan->holds[SIM_ORDER] = which < 22;
	plan->holds[SIM_INVENTORY] = which >= 12 && which < 30;
}

static bool anybody_holds(const struct world *world)
{
	return world->plan.holds[SIM_ORDER] || world->plan.holds[SIM_INVENTORY];
}

/* ---- at a guess ---- */

static const char *dead_letters_of(int topic)
{
	return topic == SIM_ORDERS ? "orders.dlq" : "inventory.dlq";
}

/* Of the first few letters, which may have been sent by then, of its own partition or of another. */
static void choose_letter(struct world *world, const struct item *item, struct redrive *out)
{
	struct dice *dice = &world->input;
	int32_t count = world->topics[item->topic].partitions;
	*out = (struct redrive){.partition = item->record.partition, .number = (uint64_t)dice_from(dice, 1, 3)};
	if (dice_chance(dice, 300))
		out->partition = dice_below(dice, count + 1);
	snprintf(out->topic, sizeof out->topic, "%s",
	         dead_letters_of(dice_chance(dice, 50) ? SIM_EVENTS : item->topic));
}

static void say_redrive(struct world *world, struct item *item, const struct redrive *redrive, bool cut)
{
	struct header_list list;
	header_list_init(&list, &world->arena, 1);
	redrive_add(&list, redrive);
	if (cut)
		list.items[0].value.len -= 11; /* in its topic, or before */
	item->record.headers = list.items;
	item->record.header_count = list.count;
	item->kind = INPUT_REDRIVE;
}

static void add_redrive(struct world *world, int n, int64_t *wanted)
{
	struct dice *dice = &world->input;
	struct redrive redrive;
	struct order_placed placed = input_order(world, 900 + n, wanted);
	struct item *item =
		dice_chance(dice, 700)
			? input_add_order(world, &placed)
			: input_add_receipt(world, input_sku(world, dice_below(dice, world->plan.skus)), 5000 + n, 3);
	choose_letter(world, item, &redrive);
	say_redrive(world, item, &redrive, dice_chance(dice, 50));
}

static void say_discard(struct world *world, struct item *item, const struct redrive *of, int64_t number)
{
	struct buf value = {0};
	struct err err = {0};
	struct header_list list;
	const struct letter_discarded event = {
		.topic = of->topic, .partition = of->partition, .number = number, .why = "it was nothing"};
	if (event_encode(&letter_discarded_type, &event, &value, &err) != OK)
		world_fail(world, "the input cannot be encoded: %s", err.text);
	item->record.value = (struct log_bytes){arena_copy(&world->arena, value.data, value.len), (int32_t)value.len};
	buf_fini(&value);
	header_list_init(&list, &world->arena, 1);
	header_add_constant(&list, GENESIS_CONTROL_HEADER, "1");
	item->record.headers = list.items;
	item->record.header_count = list.count;
	item->kind = INPUT_DISCARD;
}

static void add_discard(struct world *world)
{
	struct dice *dice = &world->input;
	struct redrive redrive;
	int topic = dice_chance(dice, 700) ? SIM_ORDERS : SIM_INVENTORIES;
	struct item *item = input_add(world, topic, dice_below(dice, world->topics[topic].partitions), NULL, NULL, -1);
	choose_letter(world, item, &redrive);
	say_discard(world, item, &redrive, (int64_t)redrive.number - dice_chance(dice, 100));
}

/* In one seed of five, so that the others are what they were. */
static void guess(struct world *world, int64_t *wanted)
{
	if (world->seed % 5 != 1)
		return;
	for (int n = dice_from(&world->input, 1, 8); n > 0; n--)
		add_redrive(world, n, wanted);
	for (int n = dice_below(&world->input, 3); n > 0; n--)
		add_discard(world);
	for (int n = dice_from(&world->input, 1, 4); n > 0; n--)
		input_add_wrong_order(world, 500 + dice_below(&world->input, 100)); /* letters to come back */
}

/* ---- keys that are held ---- */

/* More of one order than may wait. */
static void add_crowd(struct world *world)
{
	const char *id = input_order_name(world, 0);
	for (int i = 0; i < 3; i++)
		input_add_wrong_order(world, 0);
	for (int i = dice_from(&world->letters, 70, 100); i > 0; i--)
		input_add_cancel(world, id, NULL)->kind = INPUT_REPEAT;
}

void letters_make(struct world *world, int64_t *wanted)
{
	struct dice *dice = &world->letters;
	guess(world, wanted);
	for (int o = 0; world->plan.holds[SIM_ORDER] && o < world->plan.orders; o++)
		if (dice_chance(dice, 300))
			input_add_wrong_order(world, o);
	if (world->plan.holds[SIM_ORDER] && dice_chance(dice, 60))
		add_crowd(world);
	for (int sku = 0; world->plan.holds[SIM_INVENTORY] && sku < world->plan.skus; sku++)
		if (dice_chance(dice, 300))
			input_add_receipt(world, input_sku(world, sku), 7000 + sku, 0)->kind = INPUT_AGAINST_RULES;
}

/* ---- somebody looks after them ---- */

struct answer {
	struct world *world;
	int service, topic;       /* whose letter it is, and his input */
	struct log_record letter; /* as it stands among the dead letters; in the world's arena */
	struct redrive redrive;
};

/* A letter at random, as a person reads it: what claims to be one. */
static bool choose(struct answer *answer)
{
	struct world *world = answer->world;
	struct dice *dice = &world->letters;
	struct header_stream stream;
	bool found = false;
	int64_t low = 0, high = 0;
	answer->service = dice_below(dice, SIM_SERVICES);
	answer->topic = answer->service == SIM_ORDER ? SIM_ORDERS : SIM_INVENTORIES;
	const char *dlq = dead_letters_of(answer->topic);
	int32_t partition = dice_below(dice, world->plan.partitions[answer->service]);
	if (!world->plan.holds[answer->service] || log_bounds(world->log, dlq, partition, &low, &high, NULL) != OK ||
	    high - low < 1)
		return false;
	int64_t at = low + dice_below(dice, (int)(high - low));
	if (log_read_at(world->log, dlq, partition, at, &world->arena, &answer->letter, &found, NULL) != OK || !found ||
	    header_stream_parse(&answer->letter, &stream) != HEADER_VALID)
		return false;
	answer->redrive = (struct redrive){.partition = partition, .number = stream.number, .offset = at};
	snprintf(answer->redrive.topic, sizeof answer->redrive.topic, "%s", dlq);
	return true;
}

/* An event that may well be right, with this key. */
static struct item *add_right(struct answer *answer, const char *key)
{
	struct world *world = answer->world;
	struct dice *dice = &world->letters;
	if (answer->service == SIM_INVENTORY)
		return input_add_receipt(world, key, 8000 + dice_below(dice, 1000), dice_from(dice, 1, 9));
	if (dice_chance(dice, 300))
		return input_add_cancel(world, key, NULL);
	struct order_placed placed = input_order(world, 0, NULL);
	placed.order_id = key;
	return input_add_order(world, &placed);
}

static struct item *add_as_it_was(struct answer *answer)
{
	const struct log_record *letter = &answer->letter;
	struct item *item =
		input_add(answer->world, answer->topic, letter->partition, NULL, letter->value.data, letter->value.len);
	item->record.key = letter->key;
	return item;
}

static const char *another_key(struct answer *answer)
{
	struct world *world = answer->world;
	return answer->service == SIM_ORDER ? input_order_name(world, dice_below(&world->letters, world->plan.orders))
	                                    : input_sku(world, dice_below(&world->letters, world->plan.skus));
}

static void give_answer(struct answer *answer)
{
	struct world *world = answer->world;
	const struct log_bytes *key = &answer->letter.key;
	const char *text = key->len > 0 ? arena_copy(&world->arena, key->data, (size_t)key->len) : "k";
	int how = dice_below(&world->letters, 8);
	if (how < 2) {
		say_redrive(world, add_as_it_was(answer), &answer->redrive, false);
	} else if (how < 6) {
		struct item *item = add_right(answer, how == 5 ? another_key(answer) : text);
		say_redrive(world, item, &answer->redrive, false);
	} else {
		struct item *item = input_add(world, answer->topic, answer->redrive.partition, NULL, NULL, -1);
		say_discard(world, item, &answer->redrive, (int64_t)answer->redrive.number);
	}
	world->item_next = world->item_count - 1; /* at once */
	world_trace(world, "letter %llu of %s/%d is answered", (unsigned long long)answer->redrive.number,
	            answer->redrive.topic, answer->redrive.partition);
}

/* ---- tandem dlq ---- */

static int questions; /* until somebody is interrupted; -1: he is not */

static bool stopped(void)
{
	return questions >= 0 && questions-- == 0;
}

static enum status use_tool(struct world *world, int service, bool discard, int in_thousand, struct err *err)
{
	struct letters letters;
	struct act_result result = {0};
	const struct act_config config = {
		.discard = discard, .why = "", .patience_ms = PATIENCE_MS, .seam = &world->seam};
	enum status status = letters_open(world->log, world_service(service)->input, stopped, &letters, err);
	if (status == OK)
		status = done_read(&letters, err);
	for (size_t i = 0; status == OK && i < letters.count; i++)
		letters.items[i].chosen = dice_chance(&world->letters, in_thousand);
	if (status == OK)
		status = act_run(&letters, &config, &result, err);
	letters_close(&letters);
	world_trace(world, "dlq %s of %s: %s, %lld sent", discard ? "discard" : "redrive", world_service(service)->name,
	            status == OK ? "ok" : err->code, (long long)result.sent);
	world->tally.inputs[discard ? INPUT_DISCARD : INPUT_REDRIVE] += result.sent;
	return status;
}

static void use_tool_while_all_goes_wrong(struct world *world)
{
	struct dice *dice = &world->letters;
	struct err err = {0};
	int service = dice_below(dice, SIM_SERVICES);
	if (!world->plan.holds[service])
		return;
	questions = dice_chance(dice, 500) ? dice_below(dice, 40) : -1;
	world->resend_race = dice_from(dice, 0, 10);
	use_tool(world, service, dice_chance(dice, 500), dice_chance(dice, 500) ? 1000 : 300, &err);
	world->resend_race = 0;
}

void letters_step(struct world *world)
{
	struct answer answer = {.world = world};
	if (!anybody_holds(world) || world->letters_answered >= ANSWERS_MAX || !dice_chance(&world->letters, 12))
		return;
	if (dice_chance(&world->letters, 100))
		use_tool_while_all_goes_wrong(world);
	else if (choose(&answer))
		give_answer(&answer);
	else
		return;
	world->letters_answered++;
}

/* ---- the way out ---- */

static bool clear_round(struct world *world, int round)
{
	struct err err = {0};
	for (int s = 0; s < SIM_SERVICES; s++) {
		bool discard = round > 1 || dice_chance(&world->letters, 500);
		questions = -1;
		if (world->plan.holds[s] && use_tool(world, s, discard, 1000, &err) != OK)
			return world_fail(world, "dlq at rest: %s: %s", err.code, err.text);
	}
	if (!rest_reach(world))
		return false;
	check_places(world);
	return true;
}

bool letters_clear(struct world *world)
{
	int round = 0;
	struct verdict verdict;
	if (!world->held_places)
		return true;
	world->tally.seen[SEEN_HELD]++;
	if (!dice_chance(&world->letters, 500))
		return true;
	while (world->held_places && round < ROUNDS_MAX)
		if (!clear_round(world, round++))
			return false;
	world->tally.seen[SEEN_LET_GO]++;
	if (world->held_places)
		return world_fail(world, "keys are still held after %d rounds of dlq", round);
	return remedy_recover(world, &verdict) || world_fail(world, "after dlq: %s | %s", verdict.signs, verdict.what);
}
