#include "tally.h"

#include <stdio.h>
#include <string.h>

const char *const tally_classes[FAULT_CLASSES] = {
	"crash",    "power loss", "lost",      "unknown",     "late",      "doubled",   "refused",    "queue full",
	"producer", "slow read",  "commit",    "paused",      "expelled",  "leader",    "stopped",    "clock",
	"mark",     "file gone",  "file old",  "file other",  "file cut",  "file bit",  "disk",       "setting",
	"rebuilt",  "resent",     "no memory", "tail unread", "tail read", "head gone", "re-created",
};

static const char *const marks[MARK_KINDS] = {"lost", "older", "foreign"};

static const char *const inputs[INPUT_KINDS] = {
	"repeat",    "conflict",        "malformed",  "empty",    "unknown type", "against the rules",
	"wrong key", "wrong partition", "unnumbered", "stranger", "bad header",   "hostile time",
	"oversized", "forged",          "redrive",    "discard",
};

static const char *const seen[SEEN_KINDS] = {
	"seeds short of stock",
	"slow starts",
	"zombies",
	"two owners",
	"reassigned",
	"producers dropped",
	"caught up",
	"resend raced",
	"no memory: ended",
	"no memory: went on",
	"rebuilt equal",
	"verified",
	"audited",
	"keys held",
	"keys let go",
	"probed",
};

static const char *const trials[TRIAL_KINDS] = {
	"partitions added", "truncated",   "forked",      "twin",         "mark_record", "mark_differs", "mark kept",
	"retention",        "foreign_log", "destination", "foreign file", "cut file",    "setting",
};

void tally_halt(struct tally *tally, const char *code)
{
	for (size_t i = 0; i < TALLY_CODES_MAX; i++) {
		if (tally->halts[i].count && strcmp(tally->halts[i].code, code) != 0)
			continue;
		snprintf(tally->halts[i].code, sizeof tally->halts[i].code, "%s", code);
		tally->halts[i].count++;
		return;
	}
}

static void add(int64_t *total, const int64_t *one, size_t count)
{
	for (size_t i = 0; i < count; i++)
		total[i] += one[i];
}

#define ADD(total, one, field)                                                                                         \
	add((int64_t *)(total)->field, (const int64_t *)(one)->field, sizeof(one)->field / sizeof(int64_t))

void tally_add(struct tally *total, const struct tally *one)
{
	ADD(total, one, fired);
	ADD(total, one, disk);
	ADD(total, one, crashed_after);
	ADD(total, one, marks);
	ADD(total, one, inputs);
	ADD(total, one, verdicts);
	ADD(total, one, seen);
	ADD(total, one, trials);
	for (size_t i = 0; i < TALLY_CODES_MAX && one->halts[i].count; i++) {
		int64_t count = one->halts[i].count;
		size_t at = 0;
		while (at < TALLY_CODES_MAX - 1 && total->halts[at].count &&
		       strcmp(total->halts[at].code, one->halts[i].code) != 0)
			at++;
		memcpy(total->halts[at].code, one->halts[i].code, sizeof one->halts[i].code);
		total->halts[at].count += count;
	}
	if (one->held_max > total->held_max)
		total->held_max = one->held_max;
	if (one->rounds_max > total->rounds_max)
		total->rounds_max = one->rounds_max;
}

/* Every one, those that never happened too. */
static void print_line(const char *what, const char *const *names, const int64_t *counts, size_t count)
{
	printf("  %s:", what);
	for (size_t i = 0; i < count; i++)
		printf("%s %s %lld", i ? "," : "", names[i], (long long)counts[i]);
	printf("\n");
}

static void print_steps(const struct tally *tally)
{
	printf("  killed after:");
	for (int i = 0; i < WORKER_STEPS; i++)
		printf("%s %s %lld", i ? "," : "", worker_step_name((enum worker_step)i),
		       (long long)tally->crashed_after[i]);
	printf("\n  verdicts:");
	for (int i = 0; i < TASK_VERDICTS; i++)
		printf("%s %s %lld", i ? "," : "", task_verdict_name((enum task_verdict)i),
		       (long long)tally->verdicts[i]);
	printf("\n  SQLite's calls failed (once + for ever):");
	for (int i = DISK_SOUND + 1; i < DISK_FAULTS; i++)
		printf("%s %s %lld + %lld", i > DISK_SOUND + 1 ? "," : "", disk_fault_name((enum disk_fault)i),
		       (long long)tally->disk[i][0], (long long)tally->disk[i][1]);
	printf("\n  halts and back-offs:");
	for (size_t i = 0; i < TALLY_CODES_MAX && tally->halts[i].count; i++)
		printf("%s %s %lld", i ? "," : "", tally->halts[i].code, (long long)tally->halts[i].count);
	printf("\n");
}

void tally_print(const struct tally *tally)
{
	print_line("faults", tally_classes, tally->fired, FAULT_CLASSES);
	print_line("marks", marks, tally->marks, MARK_KINDS);
	print_line("input", inputs, tally->inputs, INPUT_KINDS);
	print_steps(tally);
	print_line("seen", seen, tally->seen, SEEN_KINDS);
	print_line("refused, and the way out worked", trials, tally->trials, TRIAL_KINDS);
	printf("  a worker at rest held at most %lld KiB; at rest after at most %lld rounds\n",
	       (long long)(tally->held_max / 1024), (long long)tally->rounds_max);
}
