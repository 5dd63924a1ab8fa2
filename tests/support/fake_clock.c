#include "fake_clock.h"

#include <string.h>

static int64_t wall(void *arg)
{
	return ((const struct fake_clock *)arg)->wall_ms;
}

static int64_t monotonic(void *arg)
{
	struct fake_clock *clock = arg;
	return clock->monotonic_us += clock->tick_us;
}

static void draw(void *arg, void *out, size_t len)
{
	struct fake_clock *clock = arg;
	memset(out, clock->random, len);
	clock->random += clock->random_step;
}

void fake_clock_init(struct fake_clock *clock)
{
	*clock = (struct fake_clock){
		.seam = {wall, monotonic, draw, clock}, .wall_ms = 1795406435042, .monotonic_us = 0, .random = 7};
}
