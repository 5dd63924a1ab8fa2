/* installation: topics with their genesis in a log, as `tandem topics create` makes them, for tests of one module. */
#ifndef TANDEM_TESTS_INSTALLATION_H
#define TANDEM_TESTS_INSTALLATION_H

#include <stdint.h>

#include "log.h"

/* orders, inventory, order-events and the two .dlq, of installation id 16 times `id`. Ends the program where it fails.
 */
void installation_make(struct log *log, uint8_t id, int32_t orders, int32_t inventory);

/* Reads everything behind genesis, in the order of partitions. take is given each record. */
void installation_read(struct log *log, const char *topic, void (*take)(void *arg, const struct log_record *record),
                       void *arg);

#endif
