/* redrive: the header by which a publisher's record says that it is a dead letter, sent again.
 *
 * `tandem-redrive`: version 1 (1 byte), the letter's partition (4), its number in the stream of dead letters (8), its offset
 * (8), all big-endian, then the name of its topic, without the namespace (1 to 249 bytes). `tandem dlq redrive` writes it; the
 * task that the record comes to takes each letter once. Partition and number say which letter it is, since one that was sent
 * twice stands at two offsets; the offset is for people. The bytes stand in docs/wire.md. Pure functions, thread-safe. */
#ifndef TANDEM_REDRIVE_H
#define TANDEM_REDRIVE_H

#include <stdint.h>

#include "header.h"

#define REDRIVE_HEADER    "tandem-redrive"
#define REDRIVE_TOPIC_MAX 249

struct redrive {
	char topic[REDRIVE_TOPIC_MAX + 1];
	int32_t partition;
	uint64_t number; /* 1 to 2^63-1 */
	int64_t offset;
};

/* HEADER_MALFORMED: doubled, too short or long, of another version, or with a number that makes no sense. */
enum header_found redrive_parse(const struct log_record *record, struct redrive *out);
void redrive_add(struct header_list *list, const struct redrive *redrive);

#endif
