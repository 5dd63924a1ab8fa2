#include "vfs.h"

#include "dice.h"
#include "heap.h"

#include <sqlite3.h>

#include <string.h>

#define WALS_MAX  64
#define PATH_ROOM 256

struct wal {
	char path[PATH_ROOM];
	int64_t synced; /* bytes */
};

struct file {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct */
	struct wal *wal;    /* NULL: it is none */
};

static sqlite3_vfs *machine;
static struct disk *disk;
static struct dice numbers;
static struct wal wals[WALS_MAX];
static size_t wal_count;

static const char *const names[DISK_FAULTS] = {"sound",     "read-error", "write-error", "short-write",
                                               "disk-full", "sync-error", "busy",        "no-memory"};

const char *disk_fault_name(enum disk_fault fault)
{
	return names[fault];
}

/* Does this call fail? */
static bool fails(enum disk_fault fault)
{
	if (!disk || disk->fault != fault)
		return false;
	if (disk->after > 0) {
		disk->after--;
		return false;
	}
	disk->failed++;
	if (!disk->for_ever)
		disk->fault = DISK_SOUND;
	return true;
}

/* ---- what a power loss leaves ---- */

/* NULL: too many, or not a WAL. */
static struct wal *wal_of(const char *path)
{
	size_t len = path ? strlen(path) : 0;
	if (len < 4 || len >= PATH_ROOM || strcmp(path + len - 4, "-wal") != 0)
		return NULL;
	for (size_t i = 0; i < wal_count; i++)
		if (strcmp(wals[i].path, path) == 0)
			return &wals[i];
	if (wal_count == WALS_MAX)
		return NULL;
	memcpy(wals[wal_count].path, path, len + 1);
	wals[wal_count].synced = 0;
	return &wals[wal_count++];
}

int64_t vfs_synced(const char *path)
{
	const struct wal *wal = wal_of(path);
	return wal ? wal->synced : INT64_MAX;
}

void vfs_set_synced(const char *path, int64_t len)
{
	struct wal *wal = wal_of(path);
	if (wal)
		wal->synced = len;
}

/* ---- files ---- */

static sqlite3_file *real(sqlite3_file *file)
{
	return ((struct file *)file)->real;
}

static int file_close(sqlite3_file *file)
{
	return real(file)->pMethods->xClose(real(file));
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
	return fails(DISK_READ_ERROR) ? SQLITE_IOERR_READ : real(file)->pMethods->xRead(real(file), out, len, at);
}

static int file_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	if (fails(DISK_WRITE_ERROR))
		return SQLITE_IOERR_WRITE;
	if (fails(DISK_FULL))
		return SQLITE_FULL;
	if (fails(DISK_SHORT_WRITE)) {
		real(file)->pMethods->xWrite(real(file), bytes, len / 2, at);
		return SQLITE_FULL;
	}
	struct wal *wal = ((struct file *)file)->wal;
	if (wal && at < wal->synced) /* it begins again */
		wal->synced = at;
	return real(file)->pMethods->xWrite(real(file), bytes, len, at);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	if (fails(DISK_WRITE_ERROR))
		return SQLITE_IOERR_TRUNCATE;
	struct wal *wal = ((struct file *)file)->wal;
	if (wal && size < wal->synced)
		wal->synced = size;
	return real(file)->pMethods->xTruncate(real(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
	if (fails(DISK_SYNC_ERROR))
		return SQLITE_IOERR_FSYNC;
	struct wal *wal = ((struct file *)file)->wal;
	sqlite3_int64 size;
	if (wal && real(file)->pMethods->xFileSize(real(file), &size) == SQLITE_OK)
		wal->synced = size;
	return real(file)->pMethods->xSync(real(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return real(file)->pMethods->xFileSize(real(file), size);
}

static int file_lock(sqlite3_file *file, int level)
{
	return fails(DISK_BUSY) ? SQLITE_BUSY : real(file)->pMethods->xLock(real(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xUnlock(real(file), level);
}

static int file_check_reserved(sqlite3_file *file, int *out)
{
	return real(file)->pMethods->xCheckReservedLock(real(file), out);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	return real(file)->pMethods->xFileControl(real(file), op, arg);
}

static int file_sector_size(sqlite3_file *file)
{
	return real(file)->pMethods->xSectorSize(real(file));
}

static int file_characteristics(sqlite3_file *file)
{
	return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
	return real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
	if ((flags & SQLITE_SHM_LOCK) && fails(DISK_BUSY))
		return SQLITE_BUSY;
	return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
	real(file)->pMethods->xShmBarrier(real(file));
}

static int file_shm_unmap(sqlite3_file *file, int remove)
{
	return real(file)->pMethods->xShmUnmap(real(file), remove);
}

static const sqlite3_io_methods file_methods = {
	.iVersion = 2, /* no memory-mapped database pages: every read is a call */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};

/* ---- the file system ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *out, int flags, int *out_flags)
{
	(void)vfs;
	struct file *file = (struct file *)out;
	file->real = (sqlite3_file *)(void *)(file + 1);
	file->wal = wal_of(name);
	int rc = machine->xOpen(machine, name, file->real, flags, out_flags);
	file->base.pMethods = rc == SQLITE_OK ? &file_methods : NULL;
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	if (wal_of(name))
		wal_of(name)->synced = 0;
	return machine->xDelete(machine, name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	(void)vfs;
	return machine->xAccess(machine, name, flags, out);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int room, char *out)
{
	(void)vfs;
	return machine->xFullPathname(machine, name, room, out);
}

static int vfs_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	for (int i = 0; i < len; i++)
		out[i] = (char)(dice_next(&numbers) >> 32);
	return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
	(void)vfs;
	*out = INT64_C(212471942400000); /* some day in 2020: nothing may depend on it */
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	(void)len;
	(void)out;
	return 0;
}

static void *allocate(int size)
{
	return fails(DISK_NO_MEMORY) ? NULL : heap_get(size);
}

static void *reallocate(void *old, int size)
{
	return fails(DISK_NO_MEMORY) ? NULL : heap_resize(old, size);
}

static int allocator_init(void *arg)
{
	(void)arg;
	return SQLITE_OK;
}

static void allocator_shutdown(void *arg)
{
	(void)arg;
}

/* One thread, no statistics, and no lookaside: every small piece is an allocation that may fail. */
static bool configure(void)
{
	static const sqlite3_mem_methods allocator = {allocate,   heap_put,       reallocate,         heap_size,
	                                              heap_round, allocator_init, allocator_shutdown, NULL};
	return sqlite3_config(SQLITE_CONFIG_MALLOC, &allocator) == SQLITE_OK &&
	       sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) == SQLITE_OK &&
	       sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK &&
	       sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK && sqlite3_initialize() == SQLITE_OK;
}

bool vfs_install(void)
{
	static sqlite3_vfs own;
	if (own.zName)
		return true;
	if (!configure())
		return false;
	machine = sqlite3_vfs_find(NULL);
	own = *machine;
	own.zName = "simulated";
	own.szOsFile = (int)sizeof(struct file) + machine->szOsFile;
	own.xOpen = vfs_open;
	own.xDelete = vfs_delete;
	own.xAccess = vfs_access;
	own.xFullPathname = vfs_full_path;
	own.xRandomness = vfs_randomness;
	own.xSleep = vfs_sleep;
	own.iVersion = 2;
	own.xCurrentTime = NULL;
	own.xCurrentTimeInt64 = vfs_time;
	own.xGetLastError = vfs_last_error;
	return sqlite3_vfs_register(&own, 1) == SQLITE_OK;
}

void vfs_reset(uint64_t seed)
{
	numbers = dice_make(seed, 99);
	wal_count = 0;
	sqlite3_randomness(0, NULL);
}

void vfs_use(struct disk *used)
{
	disk = used;
}
