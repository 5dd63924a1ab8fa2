/* installation: the topics that belong together, found from what a log holds. For tools that read all of it; workers know
 * their topics from their own record 0 (genesis.h). */
#ifndef TANDEM_INSTALLATION_H
#define TANDEM_INSTALLATION_H

#include <stdbool.h>

#include "genesis.h"
#include "log.h"

/* Record 0 of a topic's partition 0, where it is a genesis. *found is false for a topic that is of no installation (record 0
 * is none of our control records, or the partition is empty). Else as genesis_read. Blocks, bounded. */
enum status installation_topic(struct log *log, const char *topic, struct arena *arena, struct genesis *out,
                               bool *found, struct err *err);

/* The genesis of the one installation among the topics of the log's namespace; out->topics names every topic and its pinned
 * partition count. Blocks, bounded. FATAL:
 *   no_genesis     no topic begins with one (the text says what to do)
 *   installation   there are two of them: the text names a topic of each
 * and what genesis_read and log_topic_list say. */
enum status installation_find(struct log *log, struct arena *arena, struct genesis *out, struct err *err);

#endif
