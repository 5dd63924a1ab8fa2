/* disk: a small file system of its own (tmpfs) for a test that fills it, and a disk that fails: strace puts errors and delays under
 * the programs that the rig starts.
 *
 * Mounting needs root, or user namespaces: then the test moves into one, with its children. Where neither is allowed it fails and
 * says so: what cannot be tried was not shown. */
#ifndef TANDEM_TESTS_DISK_H
#define TANDEM_TESTS_DISK_H

#include <stddef.h>

#include "rig.h"

struct disk {
	char path[64]; /* "" while there is none */
};

/* Before the test has threads: see above. Zero-initialise disk before. */
void disk_mount(struct disk *disk, size_t bytes);
void disk_fill(const struct disk *disk);      /* a file that takes all there is left */
void disk_make_room(const struct disk *disk); /* takes it away */
void disk_unmount(struct disk *disk);         /* whoever still uses it; a path of "" is fine */

/* The words for rig->wrap: strace's injection (`inject`, as strace(1) has it: "pwrite64:error=EIO:when=3+") into calls on these
 * files alone; paths is a list with spaces between. What it does is written to the file `trace`. */
const char *disk_injection(struct rig *rig, const char *inject, const char *paths, const char *trace);
/* How often it was done so far. */
int disk_injected(const char *trace);
/* From now on it does not happen any more; the program goes on. */
void disk_repair(struct rig *rig, const struct rig_process *process);

#endif
