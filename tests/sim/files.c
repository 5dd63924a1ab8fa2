/* What happens to task files while nobody has them open: lost, older, another's, cut, one bit turned over. */
#include "sim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAST_PAGE 4096

/* NULL: there is none, or it is empty. The caller owns it. */
static void *read_whole(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	*len = 0;
	if (fd < 0)
		return NULL;
	void *bytes = NULL;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		bytes = mem_alloc((size_t)st.st_size);
		*len = (size_t)pread(fd, bytes, (size_t)st.st_size, 0);
	}
	close(fd);
	return bytes;
}

static void write_whole(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		perror(path);
	if (fd >= 0)
		close(fd);
}

/* Nobody may have it open: whoever uses this folder ends. */
static void let_go(struct world *world, int service, int folder)
{
	for (int i = 0; i < world->process_count; i++) {
		struct process *process = &world->processes[i];
		if (process->service != service || process->folder != folder || !process->worker)
			continue;
		world_drop(world, process);
		process->up_at_us = world->now_us + dice_below(&world->schedule, 2000000);
	}
}

static void choose(struct world *world, struct dice *dice, int *service, int *folder, int32_t *partition)
{
	*service = dice_below(dice, SIM_SERVICES);
	*folder = world->plan.shared_folder ? 0 : dice_below(dice, world->plan.processes[*service]);
	*partition = dice_below(dice, world->plan.partitions[*service]);
}

bool files_there(struct world *world, int service, int folder, int32_t partition)
{
	struct stat st;
	char *path = world_file(world, service, folder, partition, "db");
	bool there = stat(path, &st) == 0 && st.st_size > 0;
	mem_free(path);
	return there;
}

void files_snapshot(struct world *world, struct dice *dice)
{
	struct snapshot taken = {0};
	choose(world, dice, &taken.service, &taken.folder, &taken.partition);
	char *db = world_file(world, taken.service, taken.folder, taken.partition, "db");
	char *wal = world_file(world, taken.service, taken.folder, taken.partition, "db-wal");
	taken.db = read_whole(db, &taken.db_len);
	taken.wal = read_whole(wal, &taken.wal_len);
	mem_free(db);
	mem_free(wal);
	if (!taken.db) {
		mem_free(taken.wal);
		return;
	}
	struct snapshot *at = &world->snapshots[world->snapshot_count++ % SIM_SNAPSHOTS_MAX];
	mem_free(at->db);
	mem_free(at->wal);
	*at = taken;
}

void files_free(struct world *world)
{
	for (int i = 0; i < SIM_SNAPSHOTS_MAX; i++) {
		mem_free(world->snapshots[i].db);
		mem_free(world->snapshots[i].wal);
	}
}

bool files_delete(struct world *world, int service, int folder, int32_t partition)
{
	static const char *const endings[] = {"db", "db-wal", "db-shm"};
	bool there = false;
	let_go(world, service, folder);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		char *path = world_file(world, service, folder, partition, endings[i]);
		there = unlink(path) == 0 || there;
		vfs_set_synced(path, 0); /* a new one begins */
		mem_free(path);
	}
	world_trace(world, "file of %s/%d in folder %d is deleted", world_service(service)->name, partition, folder);
	return there;
}

/* Somebody else has written there: nothing of it is taken back by a later power loss, since nobody knows what was synced. */
void files_are_synced(struct world *world, int service, int folder)
{
	for (int32_t p = 0; p < world->plan.partitions[service]; p++) {
		struct stat st;
		char *wal = world_file(world, service, folder, p, "db-wal");
		vfs_set_synced(wal, stat(wal, &st) == 0 ? st.st_size : 0);
		mem_free(wal);
	}
}

static void make_folder(struct world *world, int service, int folder)
{
	const char *data = world_path(world, service, folder);
	mkdir(data, 0755); /* it may be there */
	mkdir(arena_format(&world->arena, "%s/%s", data, world_service(service)->name), 0755);
}

/* Puts an earlier copy in its own place, or in that of another partition or folder. A file of another owner of the same
 * partition is as good as one's own. */
bool files_restore(struct world *world, struct dice *dice, bool other)
{
	int kept = world->snapshot_count < SIM_SNAPSHOTS_MAX ? world->snapshot_count : SIM_SNAPSHOTS_MAX;
	if (!kept)
		return false;
	const struct snapshot *from = &world->snapshots[dice_below(dice, kept)];
	int service = from->service, folder = from->folder;
	int32_t partition = from->partition;
	if (other) {
		choose(world, dice, &service, &folder, &partition);
		if (service == from->service && partition == from->partition)
			return false;
	}
	files_delete(world, service, folder, partition);
	make_folder(world, service, folder);
	char *db = world_file(world, service, folder, partition, "db");
	char *wal = world_file(world, service, folder, partition, "db-wal");
	write_whole(db, from->db, from->db_len);
	if (from->wal)
		write_whole(wal, from->wal, from->wal_len);
	vfs_set_synced(wal, (int64_t)from->wal_len);
	mem_free(db);
	mem_free(wal);
	world_trace(world, "file of %s/%d in folder %d is an earlier one of %s/%d", world_service(service)->name,
	            partition, folder, world_service(from->service)->name, from->partition);
	return true;
}

/* Nobody has either of them open. */
void files_copy(struct world *world, int service, int folder, int32_t partition, int to_service, int to_folder,
                int32_t to_partition)
{
	static const char *const endings[] = {"db", "db-wal"};
	files_delete(world, to_service, to_folder, to_partition);
	make_folder(world, to_service, to_folder);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t len;
		char *from = world_file(world, service, folder, partition, endings[i]);
		char *to = world_file(world, to_service, to_folder, to_partition, endings[i]);
		void *bytes = read_whole(from, &len);
		if (bytes)
			write_whole(to, bytes, len);
		vfs_set_synced(to, (int64_t)len);
		mem_free(bytes);
		mem_free(from);
		mem_free(to);
	}
}

/* Of the file with this ending: false: there is nothing to cut. */
bool files_cut_one(struct world *world, struct dice *dice, int service, int folder, int32_t partition,
                   const char *ending)
{
	struct stat st;
	let_go(world, service, folder);
	char *path = world_file(world, service, folder, partition, ending);
	int64_t from = strcmp(ending, "db") == 0 ? 1 : vfs_synced(path); /* an empty one would be a new one */
	bool done = stat(path, &st) == 0 && st.st_size > from;
	/* SQLite misses whole pages itself, but takes what is gone of the last one for zeros. */
	int64_t lowest = dice_chance(dice, 750) && st.st_size - LAST_PAGE > from ? st.st_size - LAST_PAGE : from;
	int64_t size = done ? lowest + (int64_t)(dice_next(dice) % (uint64_t)(st.st_size - lowest)) : 0;
	done = done && truncate(path, size) == 0;
	mem_free(path);
	if (done)
		world_trace(world, "%s of %s/%d in folder %d is cut at %lld", ending, world_service(service)->name,
		            partition, folder, (long long)size);
	return done;
}

/* "db-wal": as a power loss does it, which takes back what was not synced. "db": damage. */
bool files_cut(struct world *world, struct dice *dice, const char *ending)
{
	int service, folder;
	int32_t partition;
	choose(world, dice, &service, &folder, &partition);
	return files_cut_one(world, dice, service, folder, partition, ending);
}

bool files_flip(struct world *world, struct dice *dice)
{
	int service, folder;
	int32_t partition;
	size_t len;
	choose(world, dice, &service, &folder, &partition);
	let_go(world, service, folder);
	const char *ending = dice_chance(dice, 500) ? "db" : "db-wal";
	char *path = world_file(world, service, folder, partition, ending);
	uint8_t *bytes = read_whole(path, &len);
	if (bytes) {
		size_t at = dice_next(dice) % len;
		bytes[at] ^= (uint8_t)(1u << dice_below(dice, 8));
		world->flipped[service][partition] = true;
		write_whole(path, bytes, len);
		world_trace(world, "%s of %s/%d in folder %d has a bit turned over at %zu", ending,
		            world_service(service)->name, partition, folder, at);
	}
	mem_free(bytes);
	mem_free(path);
	return bytes != NULL;
}
