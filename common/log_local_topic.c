/* Topics of the local log: folders that appear and vanish by one rename, under topics.lock. What begins with a dot in
 * DIR/topics is the remains of a creation or deletion that was cut off, and is removed by the next one. */
#include "json.h"
#include "log_local_impl.h"
#include "log_settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT         1
#define PARTITIONS_MAX 10000
#define TOPIC_FILE     "topic.json"

static char *topic_path(const struct local_log *log, const char *name)
{
	return mem_format("%s/topics/%s", log->dir, name);
}

char *local_partition_path(const struct local_log *log, const char *topic, int32_t partition, const char *suffix)
{
	return mem_format("%s/topics/%s/%d%s", log->dir, topic, (int)partition, suffix);
}

enum status local_unknown_topic(const char *topic, struct err *err)
{
	return err_set(err, FATAL, "unknown_topic", "there is no topic %s", topic);
}

/* ---- topic.json ---- */

static enum status settings_read(const json_t *object, struct local_topic *topic, const char *path, struct err *err)
{
	struct log_setting *settings = arena_alloc(&topic->arena, json_object_size(object) * sizeof *settings);
	size_t count = 0;
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)object, name, value)
	{
		if (!json_is_string(value))
			return err_set(err, FATAL, "corrupt", "%s: the setting %s is no string", path, name);
		settings[count++] = (struct log_setting){
			arena_copy(&topic->arena, name, strlen(name)),
			arena_copy(&topic->arena, json_string_value(value), json_string_length(value))};
	}
	topic->settings = log_settings_effective(settings, count, &topic->arena, &topic->setting_count);
	topic->record_bytes_max = log_settings_record_bytes_max(topic->settings, topic->setting_count);
	return OK;
}

static enum status topic_parse(const json_t *json, struct local_topic *topic, const char *path, struct err *err)
{
	json_int_t format = json_integer_value(json_object_get(json, "format"));
	if (format != FORMAT)
		return err_set(err, FATAL, format > FORMAT ? "unsupported" : "corrupt", "%s: format %lld, expected %d",
		               path, (long long)format, FORMAT);
	json_int_t partitions = json_integer_value(json_object_get(json, "partitions"));
	const json_t *settings = json_object_get(json, "settings");
	if (partitions < 1 || partitions > PARTITIONS_MAX || !json_is_object(settings))
		return err_set(err, FATAL, "corrupt", "%s: partitions or settings are missing", path);
	topic->partitions = (int32_t)partitions;
	return settings_read(settings, topic, path, err);
}

enum status local_topic_load(struct local_log *log, const char *name, struct local_topic *topic, struct err *err)
{
	*topic = (struct local_topic){0};
	if (!log_name_valid(name) || !local_root_open(log))
		return local_unknown_topic(name, err);
	char *path = mem_format("%s/topics/%s/" TOPIC_FILE, log->dir, name);
	json_error_t why;
	json_t *json = json_load_file(path, 0, &why);
	enum status status;
	if (json)
		status = topic_parse(json, topic, path, err);
	else if (access(path, F_OK) != 0 && errno == ENOENT)
		status = local_unknown_topic(name, err);
	else
		status = err_set(err, FATAL, "corrupt", "%s: %s", path, why.text);
	json_decref(json);
	mem_free(path);
	if (status != OK)
		local_topic_fini(topic);
	return status;
}

void local_topic_fini(struct local_topic *topic)
{
	arena_fini(&topic->arena);
}

enum status local_topic_has(struct local_log *log, const char *name, int32_t partition, int64_t *record_bytes_max,
                            struct err *err)
{
	struct local_topic topic;
	enum status status = local_topic_load(log, name, &topic, err);
	if (status != OK)
		return status;
	int32_t count = topic.partitions;
	if (record_bytes_max)
		*record_bytes_max = topic.record_bytes_max;
	local_topic_fini(&topic);
	return partition >= 0 && partition < count
	               ? OK
	               : err_set(err, FATAL, "unknown_partition", "topic %s has no partition %d, it has %d", name,
	                         (int)partition, (int)count);
}

/* Not by json_dumpfd, which overlooks that the name of a member could not be written. */
static bool write_whole(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t written = write(fd, text, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			errno = written < 0 ? errno : ENOSPC;
			return false;
		}
		text += written;
		len -= (size_t)written;
	}
	return true;
}

static enum status topic_write(const char *dir, const struct log_topic *topic, struct err *err)
{
	json_t *settings = json_object();
	for (size_t i = 0; i < topic->setting_count; i++)
		json_object_set_new(settings, topic->settings[i].name, json_string(topic->settings[i].value));
	json_t *json = json_object();
	json_object_set_new(json, "format", json_integer(FORMAT));
	json_object_set_new(json, "partitions", json_integer(topic->partitions));
	json_object_set_new(json, "settings", settings);
	char *path = mem_format("%s/" TOPIC_FILE, dir), *text = json_dumps(json, JSON_INDENT(2));
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	enum status status = OK;
	if (fd < 0 || !text || !write_whole(fd, text, strlen(text)) || fsync(fd) != 0)
		status = local_io(err, "write", path);
	if (fd >= 0)
		close(fd);
	mem_free(path);
	free(text);
	json_decref(json);
	return status;
}

/* ---- creation and deletion ---- */

static enum status topics_locked(struct local_log *log, struct local_lock *lock, struct err *err)
{
	enum status status = local_lock_open(lock, mem_format("%s/topics.lock", log->dir), err);
	if (status != OK)
		return status;
	status = local_lock_take(lock, log->base.seam, log->base.timeout_ms, NULL, err);
	if (status != OK)
		local_lock_close(lock);
	return status;
}

static void remove_remains(const struct local_log *log)
{
	char *topics = topic_path(log, "");
	DIR *dir = opendir(topics);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (entry->d_name[0] != '.' || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		char *path = topic_path(log, entry->d_name);
		local_remove_tree(path, NULL); /* what stays is tried again next time */
		mem_free(path);
	}
	if (dir)
		closedir(dir);
	mem_free(topics);
}

static enum status partition_files_create(const char *dir, int32_t number, struct err *err)
{
	struct local_lock lock;
	enum status status = local_lock_open(&lock, mem_format("%s/%d.lock", dir, (int)number), err);
	if (status != OK)
		return status;
	local_lock_close(&lock);
	char *path = mem_format("%s/%d.db", dir, (int)number);
	status = local_partition_file_create(path, err);
	mem_free(path);
	return status;
}

static enum status folder_fill(const char *dir, const struct log_topic *topic, struct err *err)
{
	enum status status = local_mkdir(dir, err);
	if (status == OK)
		status = topic_write(dir, topic, err);
	for (int32_t i = 0; i < topic->partitions && status == OK; i++)
		status = partition_files_create(dir, i, err);
	return status == OK ? local_sync_dir(dir, err) : status;
}

static enum status folder_move(const struct local_log *log, const char *from, const char *to, struct err *err)
{
	if (rename(from, to) != 0)
		return local_io(err, "rename", from);
	char *topics = topic_path(log, "");
	enum status status = local_sync_dir(topics, err);
	mem_free(topics);
	return status;
}

static enum status create_locked(struct local_log *log, const struct log_topic *topic, struct err *err)
{
	remove_remains(log);
	char *path = topic_path(log, topic->name), *fresh = mem_format("%s/topics/.new-%s", log->dir, topic->name);
	enum status status;
	if (access(path, F_OK) == 0)
		status = err_set(err, REJECT, "topic_exists", "topic %s is there already", topic->name);
	else
		status = folder_fill(fresh, topic, err);
	if (status == OK)
		status = folder_move(log, fresh, path, err);
	if (status != OK)
		local_remove_tree(fresh, NULL);
	mem_free(fresh);
	mem_free(path);
	return status;
}

enum status local_topic_create(struct log *base, const struct log_topic *topic, struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	if (topic->partitions > PARTITIONS_MAX)
		return err_set(err, REJECT, "invalid", "topic %s: at most %d partitions", topic->name, PARTITIONS_MAX);
	enum status status = log_settings_check(topic, err);
	if (status == OK)
		status = local_root_create(log, err);
	struct local_lock lock;
	if (status == OK)
		status = topics_locked(log, &lock, err);
	if (status != OK)
		return status;
	status = create_locked(log, topic, err);
	local_lock_close(&lock);
	if (status == OK)
		local_ring(&log->bell);
	return status;
}

/* With every partition's lock no append is under way; the next one finds that its lock file is no longer the one there. */
static enum status delete_locked(struct local_log *log, const char *name, int32_t partitions, struct err *err)
{
	struct local_lock *locks = mem_zalloc((size_t)partitions, sizeof *locks);
	enum status status = OK;
	int32_t taken = 0;
	while (taken < partitions && status == OK) {
		status = local_lock_open(&locks[taken], local_partition_path(log, name, taken, ".lock"), err);
		if (status != OK)
			break;
		status = local_lock_take(&locks[taken++], log->base.seam, log->base.timeout_ms, NULL, err);
	}
	char *path = topic_path(log, name), *gone = mem_format("%s/topics/.gone-%s", log->dir, name);
	if (status ==
	    OK) /* marks first: marks without their topic would be taken for those of the next one of that name */
		status = local_groups_forget(log, name, err);
	if (status == OK)
		status = folder_move(log, path, gone, err);
	if (status == OK) {
		local_ring(&log->bell);
		status = local_remove_tree(gone, err);
	}
	for (int32_t i = 0; i < taken; i++)
		local_lock_close(&locks[i]);
	mem_free(locks);
	mem_free(gone);
	mem_free(path);
	return status;
}

enum status local_topic_delete(struct log *base, const char *name, struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	struct local_topic topic;
	struct local_lock lock;
	struct err why = {0};
	if (!local_root_open(log)) {
		local_unknown_topic(name, err);
		return REJECT;
	}
	enum status status = topics_locked(log, &lock, err);
	if (status != OK)
		return status;
	remove_remains(log);
	status = local_topic_load(log, name, &topic, &why);
	if (status == OK) {
		status = delete_locked(log, name, topic.partitions, &why);
		local_topic_fini(&topic);
	} else if (err_is(&why, "unknown_topic")) {
		status = REJECT;
	}
	local_lock_close(&lock);
	if (status != OK && err)
		*err = why;
	return status;
}

/* ---- looking ---- */

enum status local_topic_describe(struct log *base, const char *name, struct arena *arena, struct log_topic *out,
                                 struct err *err)
{
	struct local_topic topic;
	struct err why = {0};
	enum status status = local_topic_load((struct local_log *)base, name, &topic, &why);
	if (err_is(&why, "unknown_topic"))
		return OK;
	if (status != OK) {
		if (err)
			*err = why;
		return status;
	}
	out->exists = true;
	out->partitions = topic.partitions;
	out->replicas = 1;
	out->settings_known = true;
	out->settings = log_settings_effective(topic.settings, topic.setting_count, arena, &out->setting_count);
	local_topic_fini(&topic);
	return OK;
}

enum status local_topic_list(struct log *base, struct arena *arena, const char ***names, size_t *count, struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	*count = 0;
	*names = NULL;
	char *topics = topic_path(log, "");
	DIR *dir = opendir(topics);
	enum status status = dir || errno == ENOENT ? OK : local_io(err, "open", topics);
	size_t room = 0;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (!log_name_valid(entry->d_name))
			continue;
		if (*count == room) {
			const char **more = arena_alloc(arena, (2 * room + 16) * sizeof *more);
			if (room)
				memcpy(more, *names, room * sizeof *more);
			*names = more;
			room = 2 * room + 16;
		}
		(*names)[(*count)++] = arena_copy(arena, entry->d_name, strlen(entry->d_name));
	}
	if (dir)
		closedir(dir);
	mem_free(topics);
	return status;
}
