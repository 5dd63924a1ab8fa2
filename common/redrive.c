#include "redrive.h"

#include "bytes.h"

#include <string.h>

#define VERSION     1
#define FIXED_BYTES 21 /* version, partition, number, offset */

static enum header_found parse(const struct log_bytes *value, struct redrive *out)
{
	const uint8_t *bytes = value->data;
	int32_t len = value->len - FIXED_BYTES;
	if (value->len < 0 || len < 1 || len > REDRIVE_TOPIC_MAX || bytes[0] != VERSION ||
	    memchr(bytes + FIXED_BYTES, 0, (size_t)len))
		return HEADER_MALFORMED;
	memcpy(out->topic, bytes + FIXED_BYTES, (size_t)len);
	out->topic[len] = 0;
	out->partition = (int32_t)be32_get(bytes + 1);
	out->number = be64_get(bytes + 5);
	out->offset = (int64_t)be64_get(bytes + 13);
	bool sound = out->partition >= 0 && out->number >= 1 && out->number <= INT64_MAX && out->offset >= 0;
	return sound ? HEADER_VALID : HEADER_MALFORMED;
}

enum header_found redrive_parse(const struct log_record *record, struct redrive *out)
{
	const struct log_header *found = NULL;
	for (size_t i = 0; i < record->header_count; i++) {
		if (strcmp(record->headers[i].name, REDRIVE_HEADER) != 0)
			continue;
		if (found)
			return HEADER_MALFORMED;
		found = &record->headers[i];
	}
	return found ? parse(&found->value, out) : HEADER_NONE;
}

void redrive_add(struct header_list *list, const struct redrive *redrive)
{
	uint8_t bytes[FIXED_BYTES + REDRIVE_TOPIC_MAX];
	size_t len = strnlen(redrive->topic, REDRIVE_TOPIC_MAX);
	bytes[0] = VERSION;
	be32_put(bytes + 1, (uint32_t)redrive->partition);
	be64_put(bytes + 5, redrive->number);
	be64_put(bytes + 13, (uint64_t)redrive->offset);
	memcpy(bytes + FIXED_BYTES, redrive->topic, len);
	header_add(list, REDRIVE_HEADER, bytes, FIXED_BYTES + len);
}
