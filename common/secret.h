/* secret: what an installation with keyed chains is protected by, from a file: --secret-file.
 *
 * The file's bytes without the newlines at its end, SECRET_BYTES_MIN at least. Only its owner and group may have any right to
 * it. Whoever may write numbered events has it (order, inventory, ...), publishers do not. */
#ifndef TANDEM_SECRET_H
#define TANDEM_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define SECRET_BYTES_MIN 32
#define SECRET_BYTES_MAX 4096

struct secret {
	uint8_t bytes[SECRET_BYTES_MAX];
	size_t len;
};

/* FATAL "secret": it cannot be read, others may read or write it, it is too short or too long; nothing of it is in the text.
 * Blocks as reading a file does. */
enum status secret_read(const char *path, struct secret *out, struct err *err);
void secret_wipe(struct secret *secret);

#endif
