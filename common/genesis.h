/* genesis: record 0 of every partition of an installation.
 *
 * `tandem topics create` writes it; workers, publishers and tools read it back and start only where it says what they
 * expect. On the wire: an Avro `Genesis` (schemas/Genesis.avsc) in single-object encoding, key null, one header
 * `tandem-control` = `1`. It is recognised by that header *and* the fingerprint. Topic names in it carry no namespace. */
#ifndef TANDEM_GENESIS_H
#define TANDEM_GENESIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "events.h"
#include "log.h"
#include "mem.h"

#define GENESIS_CONTROL_HEADER "tandem-control"

/* More than these make no sense, and would cost whoever makes tables of them. */
#define GENESIS_TOPICS_MAX     1000
#define GENESIS_PARTITIONS_MAX 10000 /* of a topic; `topics create` makes as many */

/* Is this a control record of ours (it has the header, whatever the value)? Outside readers skip these. */
bool genesis_is_control(const struct log_record *record);

/* The record that says this, for partition genesis->partition: all but offset and timestamp. It lives in the arena.
 * REJECT where a text is no UTF-8 (see event_encode). */
enum status genesis_record(const struct genesis *genesis, struct arena *arena, struct log_record *out, struct err *err);

/* Decodes a record; *out points into the arena. FATAL:
 *   no_genesis       it has not the header, or is no Genesis event
 *   unknown_version  a Genesis that this binary cannot read
 *   bad_genesis      it is for another topic or partition, or counts and names in it make no sense (a topic listed twice) */
enum status genesis_parse(const struct log_record *record, const char *topic, int32_t partition, struct arena *arena,
                          struct genesis *out, struct err *err);

/* The same of record 0 as it was read from a log that was opened with the installation's secret: FATAL "secret" where it was not
 * written by one who has it (seal.h). Without a secret it is genesis_parse: who needs the keys opens the seal. */
enum status genesis_check(struct log *log, const struct log_record *record, const char *topic, int32_t partition,
                          struct arena *arena, struct genesis *out, struct err *err);

/* Reads and checks record 0 of a partition. Blocks, bounded by the log's timeout. As genesis_check, and
 *   FATAL no_genesis   the partition is empty (the text says what to do)
 *   FATAL retention    the partition does not begin at offset 0: its head is gone
 *   FATAL, RETRY       what log_read_at says */
enum status genesis_read(struct log *log, const char *topic, int32_t partition, struct arena *arena,
                         struct genesis *out, struct err *err);

/* What genesis says about one of the topics of its installation; NULL: not one of them. */
const struct genesis_topic *genesis_topic(const struct genesis *genesis, const char *topic);

/* Do two partitions belong to one installation, told alike? FATAL "installation" (another id) or "bad_genesis" (the same
 * id, but another list of topics, replication policy, chain or logic version); the text names both partitions. */
enum status genesis_same(const struct genesis *expected, const struct genesis *found, struct err *err);

/* The installation id as 32 hexadecimal digits, in the arena. */
const char *genesis_id_text(const uint8_t installation[16], struct arena *arena);

#endif
