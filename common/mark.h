/* mark: up to where a task's outputs are known to be published. It is the metadata of the group offset:
 *
 *     tandem1 <next> <last offset> <record hash> <input hash> <output hash> <logic version>
 *
 * ASCII, at most 200 bytes, hashes in 16 hex digits. Anything else is no mark, which is always safe: everything is sent. In an
 * installation with keyed chains its proof stands behind it (seal.h), and one that does not verify is no mark either. */
#ifndef TANDEM_MARK_H
#define TANDEM_MARK_H

#include <stdbool.h>

#include "task.h"

#define MARK_TEXT_MAX 200

void mark_print(const struct task_position *position, char text[MARK_TEXT_MAX + 1]);

/* What is committed: the text with its proof. */
void mark_write(const struct task_position *position, const struct seal *seal, const char *service, int32_t partition,
                char metadata[MARK_TEXT_MAX + 1]);
/* False: no mark, or no genuine one. */
bool mark_read(const char *metadata, int64_t offset, const struct seal *seal, const char *service, int32_t partition,
               struct task_position *out);

/* False: no mark. offset is the group's offset beside it, which must be the mark's next. */
bool mark_parse(const char *text, int64_t offset, struct task_position *out);

/* Are both the same position, hashes and version included? */
bool mark_equal(const struct task_position *a, const struct task_position *b);

#endif
