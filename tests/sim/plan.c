/* What a seed chooses: topology, load, and which faults there may be. */
#include "sim.h"

/* Classes after which a run may end loudly and stay so. All others must come right, with the way out at most. */
bool sim_may_be_loud(const struct plan *plan)
{
	return plan->may[FAULT_FILE_BIT] || plan->may[FAULT_TAIL_READ];
}

static void choose_topology(struct plan *plan, struct dice *dice)
{
	for (int s = 0; s < SIM_SERVICES; s++) {
		plan->partitions[s] = dice_from(dice, 1, SIM_PARTITIONS_MAX - 1);
		plan->processes[s] = dice_chance(dice, 500) ? 1 : dice_from(dice, 2, 3);
	}
	plan->shared_folder = dice_chance(dice, 400);
	plan->fixed = dice_chance(dice, 150);
	plan->named = dice_chance(dice, 200);
	plan->reverse = dice_chance(dice, 300);
	plan->full_sync = dice_chance(dice, 250);
	plan->commit_interval_ms = dice_from(dice, 1, 30);
	plan->commit_records_max = dice_chance(dice, 500) ? 0 : dice_from(dice, 1, 20);
	plan->session_timeout_ms = dice_from(dice, 500, 3000);
}

static void choose_load(struct plan *plan, struct dice *dice)
{
	plan->orders = dice_chance(dice, 800) ? dice_from(dice, 3, 14) : dice_from(dice, 15, 40);
	plan->skus = dice_from(dice, 1, 10);
	plan->lines_max = dice_from(dice, 1, 5);
	plan->covered = dice_chance(dice, 400);
	plan->oversized = dice_chance(dice, 15);
}

/* Each class with its own chance, so that most seeds have a few together and some have one alone. */
static void choose_faults(struct plan *plan, struct dice *dice)
{
	for (int class = FAULT_CRASH; class <= FAULT_MEMORY; class ++)
		plan->may[class] = dice_chance(dice, class == FAULT_FILE_BIT ? 40 : class == FAULT_REFUSED ? 100 : 350);
	switch (dice_below(dice, 12)) {
	case 0:
		plan->may[FAULT_TAIL] = true;
		break;
	case 1:
		plan->may[FAULT_TAIL_READ] = true;
		break;
	case 2:
		plan->may[FAULT_HEAD] = true;
		break;
	case 3:
		plan->may[FAULT_RECREATED] = dice_chance(dice, 500);
		break;
	default:
		break;
	}
	plan->told = dice_chance(dice, 800);
	plan->faults_max = dice_below(dice, 25);
	plan->fault_every = dice_from(dice, 5, 120);
	plan->net_in_thousand = dice_chance(dice, 500) ? dice_from(dice, 1, 20) : dice_from(dice, 20, 200);
}

/* From a generator of its own, so that the others stay what they were; and none of those in seeds.txt is aimed. */
static void choose_aim(struct plan *plan, uint64_t seed)
{
	struct dice dice = dice_make(seed, 75);
	plan->aimed = dice_chance(&dice, 350);
	if (!plan->aimed)
		return;
	plan->may[FAULT_CRASH] = true;
	plan->faults_max += dice_from(&dice, 5, 20);
}

void plan_make(struct plan *plan, uint64_t seed)
{
	struct dice dice = dice_make(seed, 1);
	*plan = (struct plan){0};
	plan->held_bytes = seed % 3 ? 0 : 2000; /* some seven rows: they are written and forgotten all the time */
	choose_topology(plan, &dice);
	choose_load(plan, &dice);
	choose_faults(plan, &dice);
	choose_aim(plan, seed);
}
