/* The default file's methods are copied and xWrite replaced; the file itself stays the default's. */
#include "faulty_vfs.h"

#include <sqlite3.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FILES_MAX   64
#define METHODS_MAX 8

struct hooked {
	sqlite3_io_methods methods; /* first: file->pMethods points here */
	const sqlite3_io_methods *real;
};

static struct {
	sqlite3_file *file;
	const char *name; /* SQLite's, as long as the file is open */
} files[FILES_MAX];
static struct hooked hooked[METHODS_MAX];
static sqlite3_vfs vfs;
static const char *failing_part;
static enum faulty_vfs_kind failing;

static const struct hooked *hook_of(const sqlite3_file *file)
{
	return (const struct hooked *)(const void *)file->pMethods;
}

static int faulty_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
	for (size_t i = 0; i < FILES_MAX && failing && failing != FAULTY_OPEN; i++)
		if (files[i].file == file && strstr(files[i].name, failing_part))
			return failing == FAULTY_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	return hook_of(file)->real->xWrite(file, bytes, len, offset);
}

static int faulty_close(sqlite3_file *file)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (files[i].file == file)
			files[i].file = NULL;
	return hook_of(file)->real->xClose(file);
}

static void hook(sqlite3_file *file)
{
	size_t i = 0;
	while (i < METHODS_MAX && hooked[i].real && hooked[i].real != file->pMethods)
		i++;
	assert_true(i < METHODS_MAX);
	if (!hooked[i].real) {
		hooked[i].real = file->pMethods;
		hooked[i].methods = *file->pMethods;
		hooked[i].methods.xWrite = faulty_write;
		hooked[i].methods.xClose = faulty_close;
	}
	file->pMethods = &hooked[i].methods;
}

static int faulty_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	if (failing == FAULTY_OPEN && name && strstr(name, failing_part))
		flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
	int rc = sqlite3_vfs_find("unix")->xOpen(self, name, file, flags, out_flags);
	if (rc != SQLITE_OK || !file->pMethods || !name)
		return rc;
	size_t i = 0;
	while (i < FILES_MAX && files[i].file)
		i++;
	assert_true(i < FILES_MAX);
	files[i].file = file;
	files[i].name = name;
	hook(file);
	return rc;
}

void faulty_vfs_install(void)
{
	if (vfs.zName)
		return;
	vfs = *sqlite3_vfs_find("unix");
	vfs.zName = FAULTY_VFS;
	vfs.pNext = NULL;
	vfs.xOpen = faulty_open;
	assert_int_equal(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
}

void faulty_vfs_fail(const char *path_part, enum faulty_vfs_kind kind)
{
	failing_part = path_part;
	failing = kind;
}
