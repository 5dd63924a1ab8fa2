/* seam: the only way to time and randomness. Everything that needs either takes a seam from its caller, so that a
 * simulator decides both. Handlers get neither (they have stream time). Thread-safe for seam_system. */
#ifndef TANDEM_SEAM_H
#define TANDEM_SEAM_H

#include <stddef.h>
#include <stdint.h>

struct seam {
	int64_t (*wall_ms)(void *arg);      /* milliseconds since 1970, for timestamps and people; may jump */
	int64_t (*monotonic_us)(void *arg); /* microseconds from some start, never back; for waiting and measuring */
	void (*random_bytes)(void *arg, void *out, size_t len);
	void *arg;
};

extern const struct seam seam_system; /* the machine's clocks and random numbers */

static inline int64_t seam_wall_ms(const struct seam *seam)
{
	return seam->wall_ms(seam->arg);
}

static inline int64_t seam_monotonic_us(const struct seam *seam)
{
	return seam->monotonic_us(seam->arg);
}

static inline void seam_random(const struct seam *seam, void *out, size_t len)
{
	seam->random_bytes(seam->arg, out, len);
}

#endif
