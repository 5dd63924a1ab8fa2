/* Consumer groups of the local log. What a group is stands in log_group.h; here it is kept in groups.db, under the rule of
 * one lock (groups.lock) for every change, checkpoint and open, and changed by whoever sees the reason: a member that joins,
 * leaves or answers, or finds that another one is gone. A change is one transaction: read the group, change the value,
 * write it back; marks are written in it too, so the check of who may commit and the mark are one.
 *
 * Alive is who holds the flock on members/ID and has polled within the session timeout; the time stands in that file's first
 * page (CLOCK_MONOTONIC, so that one after "now" is from before a boot). The kernel lets go of a lock when its process ends,
 * however it does. A static member needs no lock to stay, only the time.
 *
 * Members look at the group when groups.lock's page says that it changed, and every LOCAL_ASK_US. */
#include "log_local_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOOK_LOCK_MS     200 /* a poll waits no longer for the lock, and tries again at its next look */
#define WAL_CHANGE_BYTES 16384
#define WAL_BYTES        (1024 * 1024)

enum {
	READ_GROUP,
	WRITE_GROUP,
	CLEAR_MEMBERS,
	WRITE_MEMBER,
	READ_MARK,
	WRITE_MARK,
	DELETE_GROUP,
	DELETE_MARKS,
	FORGET_TOPIC,
	CHECKPOINT,
	STATEMENT_COUNT
};

static const char *const statements[STATEMENT_COUNT] = {
	[READ_GROUP] = "SELECT g.generation, g.rebalancing, m.id, m.instance, m.topic, m.topic_partitions, "
		       "m.session_timeout_ms, m.generation, m.holds, m.partitions FROM consumer_group g "
		       "LEFT JOIN member m ON m.consumer_group = g.name WHERE g.name = ?1 "
		       "ORDER BY coalesce(m.instance, m.id)",
	[WRITE_GROUP] = "INSERT INTO consumer_group VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET "
			"generation = excluded.generation, rebalancing = excluded.rebalancing",
	[CLEAR_MEMBERS] = "DELETE FROM member WHERE consumer_group = ?1",
	[WRITE_MEMBER] = "INSERT INTO member VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[READ_MARK] =
		"SELECT \"offset\", metadata FROM mark WHERE consumer_group = ?1 AND topic = ?2 AND partition = ?3",
	[WRITE_MARK] = "INSERT INTO mark VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET "
		       "\"offset\" = excluded.\"offset\", metadata = excluded.metadata",
	[DELETE_GROUP] = "DELETE FROM consumer_group WHERE name = ?1",
	[DELETE_MARKS] = "DELETE FROM mark WHERE consumer_group = ?1",
	[FORGET_TOPIC] = "DELETE FROM mark WHERE topic = ?1",
	[CHECKPOINT] = "PRAGMA wal_checkpoint(RESTART)",
};

static const char ddl[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE IF NOT EXISTS consumer_group (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, "
	"rebalancing INTEGER NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS member (consumer_group TEXT NOT NULL, id TEXT NOT NULL, "
	"instance TEXT, topic TEXT NOT NULL, topic_partitions INTEGER NOT NULL, "
	"session_timeout_ms INTEGER NOT NULL, generation INTEGER NOT NULL, holds INTEGER NOT NULL, "
	"partitions TEXT NOT NULL, PRIMARY KEY (consumer_group, id)) STRICT;"
	"CREATE TABLE IF NOT EXISTS mark (consumer_group TEXT NOT NULL, topic TEXT NOT NULL, "
	"partition INTEGER NOT NULL, \"offset\" INTEGER NOT NULL, metadata TEXT NOT NULL, "
	"PRIMARY KEY (consumer_group, topic, partition)) STRICT;"
	"COMMIT";

struct local_groups {
	struct local_lock lock;
	char *path;
	struct store *store; /* NULL after an error */
	struct store_statement *s[STATEMENT_COUNT];
};

/* A group within one transaction. */
struct change {
	struct local_log *log;
	struct local_groups *groups;
	const char *name;
	struct log_group group;
	bool dirty; /* the group is to be written back */
};

/* ---- the file ---- */

static enum status groups_open(struct local_log *log, struct err *err)
{
	if (log->groups)
		return OK;
	struct local_groups *groups = mem_zalloc(1, sizeof *groups);
	enum status status = local_lock_open(&groups->lock, mem_format("%s/groups.lock", log->dir), err);
	if (status != OK) {
		mem_free(groups);
		return status;
	}
	groups->path = mem_format("%s/groups.db", log->dir);
	log->groups = groups;
	return OK;
}

void local_groups_close(struct local_log *log)
{
	struct local_groups *groups = log->groups;
	if (!groups)
		return;
	if (groups->store)
		local_lock_take(&groups->lock, log->base.seam, LOOK_LOCK_MS, NULL, NULL);
	store_close(groups->store);
	local_lock_close(&groups->lock);
	mem_free(groups->path);
	mem_free(groups);
	log->groups = NULL;
}

static void broken(struct local_groups *groups)
{
	store_close(groups->store);
	groups->store = NULL;
}

/* Called with the lock. */
static enum status store_ready(struct local_groups *groups, struct err *err)
{
	if (groups->store)
		return OK;
	struct store_config config = {.path = groups->path,
	                              .mode = STORE_WRITE,
	                              .full_sync = true,
	                              .keep_wal = true,
	                              .busy_timeout_ms = LOOK_LOCK_MS};
	enum status status = store_open(&config, &groups->store, err);
	if (status != OK) {
		groups->store = NULL;
		return status;
	}
	status = store_exec(groups->store, ddl, err);
	for (int i = 0; i < STATEMENT_COUNT && status == OK; i++)
		status = store_prepare(groups->store, statements[i], &groups->s[i], err);
	if (status != OK)
		broken(groups);
	return status;
}

static enum status groups_ready(struct local_log *log, int timeout_ms, struct err *err)
{
	enum status status = groups_open(log, err);
	if (status != OK || log->groups->store)
		return status;
	status = local_lock_take(&log->groups->lock, log->base.seam, timeout_ms, NULL, err);
	if (status != OK)
		return status;
	status = store_ready(log->groups, err);
	local_lock_release(&log->groups->lock);
	return status;
}

/* ---- rows ---- */

static int32_t *partitions_parse(const char *text, size_t *count)
{
	int32_t *partitions = mem_zalloc(strlen(text) / 2 + 1, sizeof *partitions);
	*count = 0;
	for (const char *at = text; *at;) {
		char *end;
		long value = strtol(at, &end, 10);
		if (end == at)
			break;
		partitions[(*count)++] = (int32_t)value;
		at = *end ? end + 1 : end;
	}
	return partitions;
}

static void member_restore(struct store_statement *row, struct log_group *group)
{
	struct log_member member = {.topic_partitions = (int32_t)store_int(row, 5),
	                            .session_timeout_ms = (int)store_int(row, 6),
	                            .generation = store_int(row, 7),
	                            .holds = store_int(row, 8) != 0};
	/* Copied by log_group_restore before the row goes. */
	member.id = (char *)store_text(row, 2);
	member.instance = store_is_null(row, 3) ? NULL : (char *)store_text(row, 3);
	member.topic = (char *)store_text(row, 4);
	member.partitions = partitions_parse(store_text(row, 9), &member.partition_count);
	log_group_restore(group, &member);
	mem_free(member.partitions);
}

/* One statement, so one state even without the lock. */
static enum status group_load(struct local_groups *groups, const char *name, struct log_group *group, struct err *err)
{
	*group = (struct log_group){0};
	struct store_statement *read = groups->s[READ_GROUP];
	store_bind_text(read, 1, name);
	bool row = true;
	enum status status;
	while ((status = store_step(read, &row, err)) == OK && row) {
		group->generation = store_int(read, 0);
		group->rebalancing = store_int(read, 1) != 0;
		if (!store_is_null(read, 2))
			member_restore(read, group);
	}
	if (status != OK)
		log_group_fini(group);
	return status;
}

static enum status member_write(struct local_groups *groups, const char *name, const struct log_member *member,
                                struct err *err)
{
	struct buf partitions = {0};
	for (size_t i = 0; i < member->partition_count; i++)
		buf_putf(&partitions, i ? ",%d" : "%d", (int)member->partitions[i]);
	struct store_statement *write = groups->s[WRITE_MEMBER];
	store_bind_text(write, 1, name);
	store_bind_text(write, 2, member->id);
	store_bind_text(write, 3, member->instance);
	store_bind_text(write, 4, member->topic);
	store_bind_int(write, 5, member->topic_partitions);
	store_bind_int(write, 6, member->session_timeout_ms);
	store_bind_int(write, 7, member->generation);
	store_bind_int(write, 8, member->holds);
	store_bind_text(write, 9, buf_text(&partitions));
	enum status status = store_run(write, err);
	buf_fini(&partitions);
	return status;
}

static enum status group_write(struct change *change, struct err *err)
{
	struct local_groups *groups = change->groups;
	store_bind_text(groups->s[WRITE_GROUP], 1, change->name);
	store_bind_int(groups->s[WRITE_GROUP], 2, change->group.generation);
	store_bind_int(groups->s[WRITE_GROUP], 3, change->group.rebalancing);
	enum status status = store_run(groups->s[WRITE_GROUP], err);
	store_bind_text(groups->s[CLEAR_MEMBERS], 1, change->name);
	if (status == OK)
		status = store_run(groups->s[CLEAR_MEMBERS], err);
	for (size_t i = 0; i < change->group.member_count && status == OK; i++)
		status = member_write(groups, change->name, &change->group.members[i], err);
	return status;
}

/* ---- one change ---- */

/* After OK, change_end must follow. */
static enum status change_begin(struct local_log *log, const char *name, int timeout_ms, struct change *change,
                                struct err *err)
{
	*change = (struct change){.log = log, .name = name};
	enum status status = groups_open(log, err);
	if (status != OK)
		return status;
	struct local_groups *groups = change->groups = log->groups;
	status = local_lock_take(&groups->lock, log->base.seam, timeout_ms, NULL, err);
	if (status != OK)
		return status;
	status = store_ready(groups, err);
	if (status == OK)
		status = store_begin(groups->store, err);
	if (status == OK)
		status = group_load(groups, name, &change->group, err);
	if (status != OK) {
		broken(groups);
		local_lock_release(&groups->lock);
	}
	return status;
}

static void checkpoint(struct local_groups *groups)
{
	_Atomic int64_t *wal_bytes = &groups->lock.page->wal_bytes;
	if (atomic_fetch_add(wal_bytes, WAL_CHANGE_BYTES) < WAL_BYTES)
		return;
	bool row;
	if (store_step(groups->s[CHECKPOINT], &row, NULL) != OK) {
		broken(groups);
		return;
	}
	store_done(groups->s[CHECKPOINT]);
	atomic_store(wal_bytes, 0);
}

static enum status change_end(struct change *change, enum status so_far, struct err *err)
{
	struct local_groups *groups = change->groups;
	enum status status = so_far;
	if (status == OK && change->dirty)
		status = group_write(change, err);
	if (status == OK)
		status = store_commit(groups->store, err);
	if (status == OK)
		checkpoint(groups);
	else
		broken(groups);
	if (status == OK && change->dirty)
		atomic_fetch_add(&groups->lock.page->rings, 1);
	local_lock_release(&groups->lock);
	if (status == OK && change->dirty)
		local_ring(&change->log->bell);
	log_group_fini(&change->group);
	return status;
}

/* ---- who is alive ---- */

static char *member_path(const struct local_log *log, const char *id)
{
	return mem_format("%s/members/%s", log->dir, id);
}

static void member_file_remove(const struct local_log *log, const char *id)
{
	char *path = member_path(log, id);
	unlink(path);
	mem_free(path);
}

static bool has_expired(const struct local_log *log, int fd, const struct log_member *member)
{
	int64_t seen_ms, now_ms = seam_monotonic_us(log->base.seam) / 1000;
	if (pread(fd, &seen_ms, sizeof seen_ms, offsetof(struct local_page, seen_ms)) != sizeof seen_ms)
		return true;
	return seen_ms > now_ms + 1000 || now_ms - seen_ms > member->session_timeout_ms;
}

static bool is_gone(const struct local_log *log, const struct log_member *member)
{
	char *path = member_path(log, member->id);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool gone = fd < 0 && errno == ENOENT;
	mem_free(path);
	if (fd < 0)
		return gone;
	bool unlocked = flock(fd, LOCK_SH | LOCK_NB) == 0;
	gone = (unlocked && !member->instance) || has_expired(log, fd, member);
	close(fd);
	return gone;
}

static bool somebody_is_gone(const struct local_log *log, const struct log_group *group, const char *self)
{
	for (size_t i = 0; i < group->member_count; i++)
		if (strcmp(group->members[i].id, self) != 0 && is_gone(log, &group->members[i]))
			return true;
	return false;
}

static void remove_gone(struct change *change, const char *self)
{
	for (size_t i = change->group.member_count; i-- > 0;) {
		const struct log_member *member = &change->group.members[i];
		if (strcmp(member->id, self) == 0 || !is_gone(change->log, member))
			continue;
		member_file_remove(change->log, member->id);
		log_group_remove(&change->group, i);
		change->dirty = true;
	}
}

static void alive_now(const struct local_log *log, struct local_member *member)
{
	atomic_store(&member->alive.page->seen_ms, seam_monotonic_us(log->base.seam) / 1000);
}

static enum status alive_begin(struct local_log *log, struct local_member *member, struct err *err)
{
	enum status status = local_lock_open(&member->alive, member_path(log, member->membership.id), err);
	if (status != OK)
		return status;
	if (flock(member->alive.fd, LOCK_EX | LOCK_NB) != 0)
		status = local_io(err, "lock", member->alive.path);
	alive_now(log, member);
	return status;
}

static void alive_end(struct local_log *log, struct local_member *member, bool remove)
{
	if (member->alive.fd < 0)
		return;
	if (remove)
		member_file_remove(log, member->membership.id);
	local_lock_close(&member->alive);
}

/* ---- membership ---- */

static enum status join(struct local_log *log, struct local_member *member, struct err *err)
{
	struct local_topic topic;
	enum status status = local_topic_load(log, member->topic, &topic, err);
	if (status != OK)
		return status;
	int32_t partitions = topic.partitions;
	local_topic_fini(&topic);
	alive_end(log, member, true);
	log_membership_new_id(&member->membership, log->base.seam);
	status = alive_begin(log, member, err);
	struct change change;
	if (status == OK)
		status = change_begin(log, member->group, LOOK_LOCK_MS, &change, err);
	if (status != OK)
		return status;
	remove_gone(&change, member->membership.id);
	for (size_t i = 0; member->instance && i < change.group.member_count; i++) {
		const struct log_member *old = &change.group.members[i];
		if (old->instance && strcmp(old->instance, member->instance) == 0)
			member_file_remove(log, old->id);
	}
	struct log_member joining = {.id = member->membership.id,
	                             .topic_partitions = partitions,
	                             .session_timeout_ms = member->session_timeout_ms};
	joining.instance = (char *)member->instance;
	joining.topic = (char *)member->topic;
	log_group_join(&change.group, &joining);
	change.dirty = true;
	return change_end(&change, OK, err);
}

static bool tell_failed(struct log_event *event, enum status status)
{
	event->kind = LOG_FAILED;
	event->status = status;
	return true;
}

/* A topic that is not there is told once; it may be made, and is joined then. So is a full disk, or one that fails; a lock that
 * somebody else has is waited for in silence. */
static bool step_join(struct local_log *log, struct local_member *member, struct log_event *event)
{
	bool lost = member->membership.lost;
	enum status status = join(log, member, &event->err);
	if (status == OK) {
		member->told = OK;
		return false;
	}
	alive_end(log, member, true);
	member->membership.state = LOG_OUTSIDE;
	member->membership.lost = lost;
	if (err_is(&event->err, "busy") || status == member->told)
		return false;
	member->told = status;
	return tell_failed(event, status);
}

void local_member_give_back(struct local_log *log, struct local_member *member)
{
	struct change change;
	member->looked_us = 0;
	if (change_begin(log, member->group, LOOK_LOCK_MS, &change, NULL) != OK)
		return; /* the next look sees that it still holds them, and gives them back */
	log_group_give_back(&change.group, member->membership.id);
	change.dirty = true;
	change_end(&change, OK, NULL);
}

static bool act(struct local_log *log, struct local_member *member, enum log_membership_step step,
                const struct log_group *group, struct log_event *event)
{
	switch (step) {
	case LOG_STEP_NONE:
		return false;
	case LOG_STEP_JOIN:
		return step_join(log, member, event);
	case LOG_STEP_GIVE_BACK:
		local_member_give_back(log, member);
		return false;
	case LOG_STEP_ASSIGNED: {
		const struct log_member *self = log_group_find(group, member->membership.id);
		event->kind = LOG_ASSIGNED;
		event->partitions = self->partitions; /* the caller copies them before the group goes */
		event->partition_count = self->partition_count;
		return true;
	}
	case LOG_STEP_REVOKED:
		event->kind = LOG_REVOKED;
		event->lost = member->membership.lost;
		return true;
	case LOG_STEP_FENCED:
		alive_end(log, member, true);
		return tell_failed(event, err_set(&event->err, FATAL, "fenced", "group %s: another consumer runs as %s",
		                                  member->group, member->instance));
	}
	return false;
}

static enum status bury(struct local_log *log, const struct local_member *member)
{
	struct change change;
	enum status status = change_begin(log, member->group, LOOK_LOCK_MS, &change, NULL);
	if (status != OK)
		return status;
	remove_gone(&change, member->membership.id);
	return change_end(&change, OK, NULL);
}

/* True: the group is as it was at the last look, and that was not long ago. */
static bool nothing_new(struct local_log *log, struct local_member *member)
{
	int64_t now_us = seam_monotonic_us(log->base.seam);
	uint32_t changes = log->groups ? atomic_load(&log->groups->lock.page->rings) : 0;
	if (member->looked_us && changes == member->changes_seen && now_us - member->looked_us < LOCAL_ASK_US)
		return true;
	member->looked_us = now_us;
	member->changes_seen = changes;
	return false;
}

bool local_member_step(struct local_log *log, struct local_member *member, struct log_event *event,
                       struct log_group *group)
{
	*group = (struct log_group){0};
	if (member->alive.fd >= 0)
		alive_now(log, member);
	if (nothing_new(log, member))
		return false;
	struct err err;
	if (!local_root_open(log))
		return step_join(log, member, event);
	for (int i = 0; i < 4; i++) {
		log_group_fini(group);
		enum status status = groups_ready(log, LOOK_LOCK_MS, &err);
		if (status == OK)
			status = group_load(log->groups, member->group, group, &err);
		if (status != OK)
			return false; /* looked at again soon */
		if (somebody_is_gone(log, group, member->membership.id) && bury(log, member) == OK)
			continue;
		enum log_membership_step step = log_membership_next(&member->membership, group, member->instance);
		if (act(log, member, step, group, event))
			return true;
		if (step == LOG_STEP_NONE || member->membership.state == LOG_OUTSIDE)
			return false;
	}
	return false;
}

void local_member_close(struct local_log *log, struct local_member *member, bool leave)
{
	struct change change;
	bool leaves = leave && !member->instance && member->alive.fd >= 0;
	if (leaves && change_begin(log, member->group, log->base.timeout_ms, &change, NULL) == OK) {
		for (size_t i = change.group.member_count; i-- > 0;) {
			if (strcmp(change.group.members[i].id, member->membership.id) != 0)
				continue;
			log_group_remove(&change.group, i);
			change.dirty = true;
		}
		change_end(&change, OK, NULL);
	}
	alive_end(log, member, leaves);
}

/* ---- marks ---- */

static enum status may_commit(struct change *change, const struct local_member *member, bool joined, struct err *err)
{
	const struct log_membership *m = &member->membership;
	if (joined && (m->state == LOG_OWNER || m->state == LOG_LEAVING) &&
	    log_group_may_commit(&change->group, m->id, m->generation))
		return OK;
	if (joined)
		return err_set(err, FATAL, "fenced", "group %s: this consumer owns nothing any more", member->group);
	remove_gone(change, "");
	if (!change->group.member_count)
		return OK;
	return err_set(err, FATAL, "group_busy", "group %s has %zu members: a group runs here", member->group,
	               change->group.member_count);
}

static enum status marks_write(struct change *change, const char *topic, const struct log_mark *marks, size_t count,
                               struct err *err)
{
	struct store_statement *write = change->groups->s[WRITE_MARK];
	enum status status = OK;
	for (size_t i = 0; i < count && status == OK; i++) {
		store_bind_text(write, 1, change->name);
		store_bind_text(write, 2, topic);
		store_bind_int(write, 3, marks[i].partition);
		store_bind_int(write, 4, marks[i].offset);
		store_bind_text(write, 5, marks[i].metadata);
		status = store_run(write, err);
	}
	return status;
}

enum status local_member_commit(struct local_log *log, struct local_member *member, bool joined,
                                const struct log_mark *marks, size_t count, struct err *err)
{
	struct change change;
	if (!local_root_open(log))
		return local_unknown_topic(member->topic, err);
	enum status status = change_begin(log, member->group, log->base.timeout_ms, &change, err);
	if (status != OK)
		return status;
	struct err why = {0};
	enum status allowed = may_commit(&change, member, joined, &why);
	if (allowed == OK)
		status = marks_write(&change, member->topic, marks, count, err);
	status = change_end(&change, status, err);
	if (status == OK && allowed != OK && err)
		*err = why;
	return status == OK ? allowed : status;
}

static bool has_groups(const struct local_log *log)
{
	char *path = mem_format("%s/groups.db", log->dir);
	bool there = access(path, F_OK) == 0;
	mem_free(path);
	return there;
}

enum status local_committed(struct log *base, const char *group, const char *topic, struct log_mark *mark,
                            struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	*mark = (struct log_mark){.partition = mark->partition, .offset = -1};
	if (!has_groups(log))
		return OK;
	enum status status = groups_ready(log, base->timeout_ms, err);
	if (status != OK)
		return status;
	struct store_statement *read = log->groups->s[READ_MARK];
	store_bind_text(read, 1, group);
	store_bind_text(read, 2, topic);
	store_bind_int(read, 3, mark->partition);
	bool row;
	status = store_step(read, &row, err);
	if (status != OK) {
		broken(log->groups);
		return status;
	}
	if (row) {
		mark->offset = store_int(read, 0);
		snprintf(mark->metadata, sizeof mark->metadata, "%s", store_text(read, 1));
		store_done(read);
	}
	return OK;
}

static enum status run_text(struct store_statement *statement, const char *text, struct err *err)
{
	store_bind_text(statement, 1, text);
	return store_run(statement, err);
}

enum status local_group_delete(struct log *base, const char *group, struct err *err)
{
	struct local_log *log = (struct local_log *)base;
	if (!has_groups(log) || !local_root_open(log))
		return OK;
	struct change change;
	enum status status = change_begin(log, group, base->timeout_ms, &change, err);
	if (status != OK)
		return status;
	remove_gone(&change, "");
	size_t members = change.group.member_count;
	if (!members) {
		change.dirty = false;
		status = run_text(change.groups->s[CLEAR_MEMBERS], group, err);
		if (status == OK)
			status = run_text(change.groups->s[DELETE_MARKS], group, err);
		if (status == OK)
			status = run_text(change.groups->s[DELETE_GROUP], group, err);
	}
	status = change_end(&change, status, err);
	if (status == OK && members)
		return err_set(err, RETRY, "group_busy", "group %s has %zu members", group, members);
	return status;
}

enum status local_groups_forget(struct local_log *log, const char *topic, struct err *err)
{
	if (!has_groups(log))
		return OK;
	struct change change;
	enum status status = change_begin(log, "", log->base.timeout_ms, &change, err);
	if (status != OK)
		return status;
	return change_end(&change, run_text(change.groups->s[FORGET_TOPIC], topic, err), err);
}
