/* dice: a seeded generator of our own, so that a seed is the same run on every machine. */
#ifndef TANDEM_SIM_DICE_H
#define TANDEM_SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

/* splitmix64 */
static inline uint64_t dice_next(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline struct dice dice_make(uint64_t seed, uint64_t stream)
{
	struct dice dice = {seed * 0x2545f4914f6cdd1du + stream};
	dice_next(&dice);
	return dice;
}

/* 0 .. below - 1; below > 0 */
static inline int dice_below(struct dice *dice, int below)
{
	return (int)(dice_next(dice) % (uint64_t)below);
}

/* from .. to, both included */
static inline int dice_from(struct dice *dice, int from, int to)
{
	return from + dice_below(dice, to - from + 1);
}

static inline bool dice_chance(struct dice *dice, int in_thousand)
{
	return dice_below(dice, 1000) < in_thousand;
}

#endif
