/* Faults: the log's hooks, and turns at which something happens to a process, its files or the log. Each one that could be
 * injected has an index, so that a run can leave out any of them and stay the same otherwise. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

static int topic_number(const struct world *world, const char *name)
{
	for (int t = 0; t < SIM_TOPICS; t++)
		if (strcmp(world->topics[t].name, name) == 0)
			return t;
	return 0;
}

bool fault_due(struct world *world, enum sim_class class)
{
	size_t index = world->fault_index++;
	const struct options *options = world->options;
	if (index < options->left_out_count && options->left_out[index])
		return false;
	world_trace(world, "FAULT %zu: %s", index, tally_classes[class]);
	return true;
}

/* ---- the log's hooks ---- */

static enum log_memory_fate on_produce(void *arg, const char *topic, const struct log_record *record, int64_t *delay_us)
{
	static const struct {
		enum sim_class class;
		enum log_memory_fate fate;
	} kinds[] = {{FAULT_LOST, LOG_MEMORY_LOSE},       {FAULT_UNKNOWN, LOG_MEMORY_UNKNOWN},
	             {FAULT_LATE, LOG_MEMORY_WRITE},      {FAULT_DOUBLED, LOG_MEMORY_DOUBLE},
	             {FAULT_REFUSED, LOG_MEMORY_REFUSE},  {FAULT_QUEUE_FULL, LOG_MEMORY_FULL},
	             {FAULT_PRODUCER, LOG_MEMORY_BROKEN}, {FAULT_LATE, LOG_MEMORY_UNKNOWN}};
	(void)topic;
	(void)record;
	struct world *world = arg;
	for (int i = world->resend_race; i > 0; i--) { /* a resend is under way, and the others go on */
		struct process *process = &world->processes[dice_below(&world->schedule, world->process_count)];
		world->resend_race = 0;
		if (process->worker)
			world_step(world, process);
		world->tally.seen[SEEN_RACED]++;
		world->resend_race = i;
	}
	if (!world->faults_on || !dice_chance(&world->net, world->plan.net_in_thousand))
		return LOG_MEMORY_WRITE;
	size_t count = sizeof kinds / sizeof *kinds, kind = (size_t)dice_below(&world->net, (int)count);
	for (size_t i = 0; i < count && !world->plan.may[kinds[kind].class]; i++)
		kind = (kind + 1) % count;
	int late_us = dice_from(&world->net, 10, LATE_MAX_US);
	bool late = dice_chance(&world->net, 500); /* what is lost is heard of at once, or after a while */
	if (!world->plan.may[kinds[kind].class] || !fault_due(world, kinds[kind].class))
		return LOG_MEMORY_WRITE;
	world->tally.fired[kinds[kind].class]++;
	if (kinds[kind].class == FAULT_LATE || (kinds[kind].class == FAULT_LOST && late))
		*delay_us = late_us;
	return kinds[kind].fate;
}

static enum status on_commit(void *arg, const char *group, const char *topic, struct err *err)
{
	(void)group;
	(void)topic;
	struct world *world = arg;
	if (!world->faults_on || !world->plan.may[FAULT_COMMIT] || !dice_chance(&world->net, 60) ||
	    !fault_due(world, FAULT_COMMIT))
		return OK;
	world->tally.fired[FAULT_COMMIT]++;
	return dice_chance(&world->net, 500) ? err_set(err, RETRY, "timeout", "no answer")
	                                     : err_set(err, FATAL, "fenced", "not the owner any more");
}

static bool on_deliver(void *arg, const char *topic, int32_t partition, int64_t offset)
{
	struct world *world = arg;
	int number = topic_number(world, topic);
	if (world->faults_on && world->now_us < world->hidden_until_us[number][partition])
		return false;
	if (world->hidden_from[number][partition] && offset >= world->hidden_from[number][partition])
		return false;
	if (offset >= world->read_to[number][partition])
		world->read_to[number][partition] = offset + 1;
	return true;
}

static void on_wait(void *arg, int timeout_ms)
{
	((struct world *)arg)->now_us += timeout_ms > 0 ? timeout_ms * 1000 : 0;
}

void faults_install(struct world *world)
{
	const struct log_memory_faults faults = {
		.arg = world, .produce = on_produce, .commit = on_commit, .deliver = on_deliver, .wait = on_wait};
	log_memory_set_faults(world->memory, &faults);
	world->faults_on = true;
}

/* ---- what may happen at a turn ---- */

struct process *fault_any_up(struct world *world, struct dice *dice)
{
	struct process *process = &world->processes[dice_below(dice, world->process_count)];
	return process->worker ? process : NULL;
}

static bool put_down(struct world *world, struct dice *dice, bool politely)
{
	struct process *process = fault_any_up(world, dice);
	int64_t pause_us = dice_chance(dice, 600) ? dice_below(dice, 20000) : dice_below(dice, 6000000);
	if (!process)
		return false;
	if (politely && dice_chance(dice, 700))
		worker_stop(process->worker); /* and it commits what is open; put down when it is done */
	else if (politely)
		world_close_process(world, process);
	else
		world_drop(world, process);
	process->up_at_us = world->now_us + pause_us;
	return true;
}

static bool crash(struct world *world, struct dice *dice)
{
	struct process *process = world->plan.aimed ? fault_any_up(world, dice) : NULL;
	if (process)
		process->dies_after = (enum worker_step)dice_from(dice, WORKER_IDLE + 1, WORKER_BACKED_OFF);
	return process || put_down(world, dice, false);
}

/* After a step: has it been hit? */
bool fault_hits(struct world *world, struct process *process, enum worker_step step)
{
	if (step == WORKER_IDLE || step != process->dies_after)
		return false;
	process->dies_after = WORKER_IDLE;
	world_drop(world, process);
	return true;
}

static bool stop(struct world *world, struct dice *dice)
{
	return put_down(world, dice, true);
}

static bool stand_still(struct world *world, struct dice *dice)
{
	struct process *process = fault_any_up(world, dice);
	int64_t us = (int64_t)dice_below(dice, 4 * world->plan.session_timeout_ms) * 1000;
	if (process) {
		process->awake_at_us = world->now_us + us;
		process->paused = true;
	}
	return process != NULL;
}

static bool bad_disk(struct world *world, struct dice *dice)
{
	struct process *process = fault_any_up(world, dice);
	if (!process || process->disk.fault != DISK_SOUND)
		return false;
	process->disk.fault = (enum disk_fault)dice_from(dice, DISK_SOUND + 1, DISK_FAULTS);
	if (process->disk.fault == DISK_FAULTS) /* twice as often: there are the most places */
		process->disk.fault = DISK_NO_MEMORY;
	process->disk.after = dice_below(dice, dice_chance(dice, 700) ? 8 : 60);
	if (process->disk.fault == DISK_NO_MEMORY)
		process->disk.after = dice_below(dice, 2000); /* an opening takes so many */
	process->disk.for_ever = dice_chance(dice, 250);
	return true;
}

static void group_name(char out[32], int service)
{
	snprintf(out, 32, "tandem-%s", world_service(service)->name);
}

static bool spoil_mark(struct world *world, struct dice *dice)
{
	char group[32];
	int service = dice_below(dice, SIM_SERVICES);
	struct log_mark mark = {.partition = dice_below(dice, world->plan.partitions[service]), .offset = -1};
	int kept = world->old_mark_count[service][mark.partition];
	int kind = dice_below(dice, 3), which = dice_below(dice, 4);
	group_name(group, service);
	if (kind == 1 && kept)
		mark = world->old_marks[service][mark.partition][which % (kept < 4 ? kept : 4)];
	else if (kind == 2)
		mark.offset = dice_below(dice, 50);
	if (kind == 2 && which)
		snprintf(mark.metadata, sizeof mark.metadata, "%s", which == 1 ? "tandem2 1" : "tandem1 5 4 0 0 0 1");
	log_memory_mark(world->memory, group, world_service(service)->input, &mark);
	world->last_mark[service][mark.partition] = mark; /* no worker's */
	world->tally.marks[kind == 1 && kept ? MARK_OLDER : mark.offset < 0 ? MARK_LOST : MARK_FOREIGN]++;
	world_trace(world, "mark of %s/%d is now %lld '%s'", group, mark.partition, (long long)mark.offset,
	            mark.metadata);
	return true;
}

static bool expel(struct world *world, struct dice *dice)
{
	char group[32];
	group_name(group, dice_below(dice, SIM_SERVICES));
	log_memory_expel(world->memory, group);
	return true;
}

static bool leader(struct world *world, struct dice *dice)
{
	int topic = dice_chance(dice, 500) ? SIM_ORDERS : SIM_INVENTORIES;
	log_memory_check(world->memory, world->topics[topic].name,
	                 dice_chance(dice, 300) ? -1 : dice_below(dice, world->topics[topic].partitions));
	return true;
}

static bool slow(struct world *world, struct dice *dice)
{
	int topic = dice_chance(dice, 500) ? SIM_ORDERS : SIM_INVENTORIES;
	world->hidden_until_us[topic][dice_below(dice, world->topics[topic].partitions)] =
		world->now_us + dice_below(dice, 500000);
	return true;
}

static bool setting(struct world *world, struct dice *dice)
{
	int topic = dice_below(dice, SIM_TOPICS);
	world->setting_wrong = !world->setting_wrong;
	for (int t = 0; t < SIM_TOPICS; t++)
		if (t == topic || !world->setting_wrong)
			log_memory_set(world->memory, world->topics[t].name, "retention.ms",
			               world->setting_wrong ? "604800000" : "-1");
	leader(world, dice); /* it is looked at when a task is opened */
	return true;
}

static bool power_loss(struct world *world, struct dice *dice)
{
	return dice_chance(dice, 500) ? files_cut(world, dice, "db-wal") : files_restore(world, dice, false);
}

static bool rebuild(struct world *world, struct dice *dice)
{
	int service = dice_below(dice, SIM_SERVICES);
	int folder = world->plan.shared_folder ? 0 : dice_below(dice, world->plan.processes[service]);
	return remedy_rebuild(world, service, folder, dice_below(dice, world->plan.partitions[service]));
}

static bool resend(struct world *world, struct dice *dice)
{
	static const int to[SIM_SERVICES][3] = {{SIM_INVENTORIES, SIM_EVENTS, SIM_ORDERS_DLQ},
	                                        {SIM_ORDERS, SIM_ORDERS, SIM_INVENTORIES_DLQ}};
	int service = dice_below(dice, SIM_SERVICES), topic = to[service][dice_below(dice, 3)];
	int32_t to_partition = dice_below(dice, world->topics[topic].partitions);
	return remedy_resend(world, service, dice_below(dice, world->plan.partitions[service]),
	                     world->topics[topic].name, to_partition, (uint64_t)dice_from(dice, 1, 6));
}

static bool jump(struct world *world, struct dice *dice)
{
	world->wall_skew_ms += (int64_t)dice_below(dice, 7200000) - 3600000;
	return true;
}

static bool file_gone(struct world *world, struct dice *dice)
{
	int service = dice_below(dice, SIM_SERVICES);
	return files_delete(world, service,
	                    world->plan.shared_folder ? 0 : dice_below(dice, world->plan.processes[service]),
	                    dice_below(dice, world->plan.partitions[service]));
}

static bool file_old(struct world *world, struct dice *dice)
{
	return files_restore(world, dice, false);
}

static bool file_other(struct world *world, struct dice *dice)
{
	return files_restore(world, dice, true);
}

static bool file_short(struct world *world, struct dice *dice)
{
	return files_cut(world, dice, "db");
}

static bool tail_unread(struct world *world, struct dice *dice)
{
	return loss_tail(world, dice, true);
}

static bool tail_read(struct world *world, struct dice *dice)
{
	return loss_tail(world, dice, false);
}

/* What happens at a turn; false: there was nothing that it could happen to. The others are the hooks' own. */
static bool (*const injections[FAULT_CLASSES])(struct world *world, struct dice *dice) = {
	[FAULT_CRASH] = crash,
	[FAULT_POWER] = power_loss,
	[FAULT_SLOW] = slow,
	[FAULT_PAUSE] = stand_still,
	[FAULT_EXPEL] = expel,
	[FAULT_LEADER] = leader,
	[FAULT_STOP] = stop,
	[FAULT_CLOCK] = jump,
	[FAULT_MARK] = spoil_mark,
	[FAULT_FILE_GONE] = file_gone,
	[FAULT_FILE_OLD] = file_old,
	[FAULT_FILE_OTHER] = file_other,
	[FAULT_FILE_SHORT] = file_short,
	[FAULT_FILE_BIT] = files_flip,
	[FAULT_DISK] = bad_disk,
	[FAULT_SETTING] = setting,
	[FAULT_REBUILD] = rebuild,
	[FAULT_RESEND] = resend,
	[FAULT_MEMORY] = memory_runs_out,
	[FAULT_TAIL] = tail_unread,
	[FAULT_TAIL_READ] = tail_read,
	[FAULT_HEAD] = loss_head,
	[FAULT_RECREATED] = loss_recreate,
};

void faults_turn(struct world *world)
{
	struct dice *dice = &world->faults;
	if (dice_below(dice, 20) == 0)
		files_snapshot(world, dice);
	if (!world->faults_on || world->fault_turns >= world->plan.faults_max ||
	    dice_below(dice, world->plan.fault_every) != 0)
		return;
	enum sim_class class;
	int tries = 0;
	do
		class = (enum sim_class)dice_below(dice, FAULT_CLASSES);
	while ((!world->plan.may[class] || !injections[class]) && ++tries < 100);
	if (tries == 100)
		return;
	world->fault_turns++;
	/* A generator of its own for each, so that leaving one out changes no other. */
	struct dice own = {dice_next(dice)};
	if (fault_due(world, class) && injections[class](world, &own))
		world->tally.fired[class]++;
}

void faults_stop(struct world *world)
{
	world->faults_on = false;
	world_trace(world, "faults stop");
	for (int i = 0; i < world->process_count; i++) {
		struct process *process = &world->processes[i];
		process->disk.fault = DISK_SOUND;
		process->awake_at_us = 0;
		process->dies_after = WORKER_IDLE;
		if (!process->worker)
			process->up_at_us = world->now_us;
	}
	for (int t = 0; t < SIM_TOPICS && world->setting_wrong; t++)
		log_memory_set(world->memory, world->topics[t].name, "retention.ms", "-1");
	world->setting_wrong = false;
	loss_restore_head(world);
}
