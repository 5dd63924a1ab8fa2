/* faulty_vfs: SQLite's file system with writes that fail where and when a test wants it. */
#ifndef TANDEM_TESTS_FAULTY_VFS_H
#define TANDEM_TESTS_FAULTY_VFS_H

#define FAULTY_VFS "faulty" /* worker_config.vfs */

enum faulty_vfs_kind { FAULTY_NONE, FAULTY_FULL, FAULTY_IO, FAULTY_OPEN };

/* Registers it; again is fine. */
void faulty_vfs_install(void);

/* From now on every write to a file whose path contains this fails (FAULTY_NONE: no more). FAULTY_OPEN: it cannot be opened for
 * writing, and so, as SQLite does it then, is opened for reading. */
void faulty_vfs_fail(const char *path_part, enum faulty_vfs_kind kind);

#endif
