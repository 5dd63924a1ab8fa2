/* position: where replaying begins and ends, partition by partition. */
#ifndef TANDEM_REPLAY_POSITION_H
#define TANDEM_REPLAY_POSITION_H

#include "replay.h"

/* beginning, end, N, -N, @time. False: none of these. */
bool position_parse(const char *text, struct replay_position *out);

/* The slices that a selection means, in the order of its topics and their partitions; they live in the arena. Blocks, bounded. */
enum status position_slices(const struct replay_run *run, struct arena *arena, struct replay_slice **slices,
                            size_t *count, struct err *err);

#endif
