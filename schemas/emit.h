/* emit: the parts of the generated source, one function each; emit_source puts them together. */
#ifndef TANDEM_EMIT_H
#define TANDEM_EMIT_H

#include "model.h"

void emit_literal(struct buf *out, const char *text, size_t len); /* a C string literal, without line breaks */
bool emit_null_is_pointer(const struct type *type);               /* string and bytes have no bool has_* */

void emit_encoder(struct model *model, const struct type *type, struct buf *out);
void emit_equal(struct model *model, const struct type *type, struct buf *out);
void emit_defaults(struct model *model, const struct type *record, struct buf *out);
void emit_reflection(const struct type *type, struct buf *out);

/* The decoders for what one writer's schema wrote, those that are there already left out; returns the name of the root's
 * function. *ratio: at least what event_type.decode_ratio must be for it. */
struct decoders {
	struct model *model;
	struct buf *out;
	const char **done;
	size_t done_count;
};

const char *emit_decoders(struct decoders *decoders, const struct schema *reader, const struct schema *writer,
                          size_t *ratio);

#endif
