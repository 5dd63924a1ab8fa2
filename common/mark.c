#include "mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void mark_print(const struct task_position *position, char text[MARK_TEXT_MAX + 1])
{
	snprintf(text, MARK_TEXT_MAX + 1,
	         "tandem1 %" PRId64 " %" PRId64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %d",
	         position->next_offset, position->last_offset, position->last_hash, position->input_hash,
	         position->output_hash, position->logic_version);
}

bool mark_parse(const char *text, int64_t offset, struct task_position *out)
{
	struct task_position p;
	char again[MARK_TEXT_MAX + 1];
	if (strnlen(text, MARK_TEXT_MAX + 1) > MARK_TEXT_MAX)
		return false;
	if (sscanf(text, "tandem1 %" SCNd64 " %" SCNd64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %d", &p.next_offset,
	           &p.last_offset, &p.last_hash, &p.input_hash, &p.output_hash, &p.logic_version) != 6)
		return false;
	/* scanf is lenient; only what we would have printed is ours. */
	mark_print(&p, again);
	if (strcmp(text, again) != 0 || p.last_offset < 0 || p.next_offset <= p.last_offset ||
	    p.next_offset != offset || p.logic_version < 1)
		return false;
	*out = p;
	return true;
}

bool mark_equal(const struct task_position *a, const struct task_position *b)
{
	return a->next_offset == b->next_offset && a->last_offset == b->last_offset && a->last_hash == b->last_hash &&
	       a->input_hash == b->input_hash && a->output_hash == b->output_hash &&
	       a->logic_version == b->logic_version;
}

void mark_write(const struct task_position *position, const struct seal *seal, const char *service, int32_t partition,
                char metadata[MARK_TEXT_MAX + 1])
{
	mark_print(position, metadata);
	seal_mark(seal, service, partition, metadata);
}

bool mark_read(const char *metadata, int64_t offset, const struct seal *seal, const char *service, int32_t partition,
               struct task_position *out)
{
	char text[MARK_TEXT_MAX + 1];
	size_t len = strnlen(metadata, sizeof text);
	if (len == sizeof text)
		return false;
	memcpy(text, metadata, len + 1);
	return seal_mark_holds(seal, service, partition, text) && mark_parse(text, offset, out);
}
