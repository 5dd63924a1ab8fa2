/* input: records that publishers will write, as input.c makes them, for others who make some. Each becomes an item, which is
 * written until it is acknowledged. Names and lines are the arena's. */
#ifndef TANDEM_SIM_INPUT_H
#define TANDEM_SIM_INPUT_H

#include "sim.h"

/* The last one is the world's next: it lives until another is added. key NULL: none; len < 0: no value. */
struct item *input_add(struct world *world, int topic, int32_t partition, const char *key, const void *value, int len);
struct item *input_add_order(struct world *world, const struct order_placed *placed);
struct item *input_add_cancel(struct world *world, const char *order_id, const char *reason);
struct item *input_add_receipt(struct world *world, const char *sku, int receipt, int64_t quantity);
void input_add_wrong_order(struct world *world, int order); /* one that is rejected */

int32_t input_home(const struct world *world, int topic, const char *key); /* the partition that owns it */
const char *input_sku(struct world *world, int sku);
const char *input_order_name(struct world *world, int order);
struct order_placed input_order(struct world *world, int order,
                                int64_t *wanted); /* wanted: by SKU, added to; NULL: none */

#endif
