#include "log_locks.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Not a member's own lock: it is held as long as the member lives. */
static const char *const patterns[] = {"%s/topics/*/*.lock", "%s/*.lock", "%s/topics/*/*.db*", "%s/*.db*"};

/* The inode of a lock that others wait for, 0: none of this process. */
static unsigned long long lock_of(pid_t pid, const char *line)
{
	char kind[16], mode[16];
	int holder;
	unsigned long long inode;
	if (sscanf(line, "%*s %15s %*s %15s %d %*x:%*x:%llu", kind, mode, &holder, &inode) != 4 || holder != pid)
		return 0;
	/* Who reads SQLite's files has shared ones all the time. */
	return strcmp(kind, "FLOCK") == 0 || strcmp(mode, "WRITE") == 0 ? inode : 0;
}

bool log_locks_held(pid_t pid, const char *folder)
{
	char pattern[4096], line[256];
	glob_t found;
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		snprintf(pattern, sizeof pattern, patterns[i], folder);
		glob(pattern, i ? GLOB_APPEND : 0, NULL, &found);
	}
	FILE *locks = fopen("/proc/locks", "r");
	if (!locks) {
		perror("/proc/locks");
		abort();
	}
	bool held = false;
	while (fgets(line, sizeof line, locks)) {
		unsigned long long inode = lock_of(pid, line);
		for (size_t i = 0; i < found.gl_pathc && inode; i++) {
			struct stat info;
			held = held || (stat(found.gl_pathv[i], &info) == 0 && info.st_ino == inode);
		}
	}
	fclose(locks);
	globfree(&found);
	return held;
}
