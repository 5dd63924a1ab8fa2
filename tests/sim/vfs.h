/* vfs: SQLite's file system for the simulator: the machine's own underneath, but no clock and no random numbers of the
 * machine, and calls that fail when a process's disk says so. Memory is SQLite's too: an allocation can fail.
 *
 * A disk belongs to a simulated process. Calls fail only while vfs_use has put one in place: what the checks do with the same
 * files is never disturbed. */
#ifndef TANDEM_SIM_VFS_H
#define TANDEM_SIM_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum disk_fault {
	DISK_SOUND,
	DISK_READ_ERROR,  /* IOERR of a read */
	DISK_WRITE_ERROR, /* IOERR of a write, nothing written */
	DISK_SHORT_WRITE, /* half of it is written, then FULL */
	DISK_FULL,
	DISK_SYNC_ERROR, /* fsync fails */
	DISK_BUSY,       /* a lock is not given */
	DISK_NO_MEMORY,  /* an allocation of SQLite's fails */
	DISK_FAULTS
};

const char *disk_fault_name(enum disk_fault fault);

struct disk {
	enum disk_fault fault;
	int64_t after;  /* so many calls of that kind still succeed */
	bool for_ever;  /* and from then on none, until the fault is taken away */
	int64_t failed; /* calls that have */
};

/* Before the first use of SQLite, once a process. It becomes the default. False: it could not be. */
bool vfs_install(void);

/* As at the start of a process: the same numbers come again. */
void vfs_reset(uint64_t seed);

/* How much of a WAL is known to be on the disk: a power loss takes back nothing before that. 0: nothing is known of it. */
int64_t vfs_synced(const char *path);
void vfs_set_synced(const char *path, int64_t len); /* it was put there as a whole */

/* From now on calls are this disk's; NULL: a sound one. */
void vfs_use(struct disk *disk);

#endif
