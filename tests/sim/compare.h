/* compare: what the oracle makes of each log against what the workers wrote and keep. */
#ifndef TANDEM_SIM_COMPARE_H
#define TANDEM_SIM_COMPARE_H

#include "view.h"

/* Fills what (unless it is filled) with the first thing that differs. */
void compare_outputs(struct world *world, const struct view *view, char *what, size_t room);

/* The tables of the file that is furthest, by service and partition; folder -1: there is none. */
void compare_tables(struct world *world, const struct view *view, int folders[SIM_SERVICES][SIM_PARTITIONS_MAX],
                    char *what, size_t room);

#endif
