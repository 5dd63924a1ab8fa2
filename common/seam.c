#include "seam.h"

#include "hash.h"

#include <time.h>

static int64_t clock_read(clockid_t clock, int64_t per_second)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * per_second + now.tv_nsec / (1000000000 / per_second);
}

static int64_t system_wall_ms(void *arg)
{
	(void)arg;
	return clock_read(CLOCK_REALTIME, 1000);
}

static int64_t system_monotonic_us(void *arg)
{
	(void)arg;
	return clock_read(CLOCK_MONOTONIC, 1000000);
}

static void system_random(void *arg, void *out, size_t len)
{
	(void)arg;
	hash_random(out, len);
}

const struct seam seam_system = {system_wall_ms, system_monotonic_us, system_random, NULL};
