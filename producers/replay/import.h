/* import: records appended to local topics with the timestamps they had.
 *
 * They are gathered and written in batches, each durable when it is written. A timestamp that is before the last one there
 * is moved up to it, since time in a partition never goes back. Other writers may append beside it: offsets are given where
 * the log ends at the moment. One thread. */
#ifndef TANDEM_REPLAY_IMPORT_H
#define TANDEM_REPLAY_IMPORT_H

#include "delivery.h"
#include "log.h"

struct import;

struct import *import_open(struct log *log); /* borrowed; local */
void import_close(struct import *import);    /* what was not flushed is gone. NULL is fine */

/* Copies the record; its partition counts, its offset does not. topic must live until close. */
enum status import_take(struct import *import, const char *topic, const struct log_record *record,
                        struct delivery_origin origin, struct err *err);
enum status import_flush(struct import *import, struct err *err);
bool import_oldest(const struct import *import, const void *from, int64_t *offset); /* as delivery_oldest */
int64_t import_written(const struct import *import);
int64_t import_moved(const struct import *import); /* written with another timestamp than they had */

#endif
