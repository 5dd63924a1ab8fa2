/* One owner a task file, and what others learn of it. */
#include "lock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/stage.h"

static char folder[64], path[128];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/tandem-lock-XXXXXX");
	snprintf(path, sizeof path, "%s/0.lock", mkdtemp(folder));
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	rmdir(path);
	return rmdir(folder);
}

static void the_second_owner_waits_and_hears_who_has_it(void **state)
{
	(void)state;
	struct lock *first, *second;
	struct err err = {0};
	char who[64];
	assert_int_equal(lock_open(path, &first, &err), OK);
	for (int i = 0; i < LOCK_STATES; i++) {
		lock_set(first, (enum lock_state)i);
		assert_int_equal(lock_open(path, &second, &err), RETRY);
		assert_string_equal(err.code, "locked");
		snprintf(who, sizeof who, "process %d (%s); stop it, or wait", getpid(),
		         lock_state_name((enum lock_state)i));
		assert_non_null(strstr(err.text, who));
	}
	lock_close(first);
	assert_int_equal(lock_open(path, &second, &err), OK);
	lock_close(second);
}

static void looking_does_not_disturb_the_holder(void **state)
{
	(void)state;
	struct lock *lock, *second;
	struct err err = {0};
	pid_t pid;
	enum lock_state now;
	assert_false(lock_holder(path, &pid, &now));
	assert_int_equal(lock_open(path, &lock, &err), OK);
	lock_set(lock, LOCK_ACKS);
	for (int i = 0; i < 3; i++) {
		assert_true(lock_holder(path, &pid, &now));
		assert_int_equal(pid, getpid());
		assert_int_equal(now, LOCK_ACKS);
	}
	assert_int_equal(lock_open(path, &second, &err), RETRY);
	lock_close(lock);
	assert_false(lock_holder(path, &pid, &now)); /* the line stays, the lock does not */
}

static void spoil(const char *text)
{
	FILE *out = fopen(path, "r+b");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void a_holder_that_has_not_said_who_it_is_is_held_by_another_process(void **state)
{
	(void)state;
	static const char *const lines[] = {"                               \n", "pid x folding                  \n",
	                                    "pid 12 dancing                 \n", "pid 99999999999999999999 acks   \n"};
	struct lock *lock, *second;
	struct err err = {0};
	pid_t pid;
	enum lock_state now;
	assert_int_equal(lock_open(path, &lock, &err), OK);
	for (size_t i = 0; i < 3; i++) {
		spoil(lines[i]);
		assert_int_equal(lock_open(path, &second, &err), RETRY);
		assert_non_null(strstr(err.text, "is held by another process; stop it, or wait until it ends"));
		assert_false(lock_holder(path, &pid, &now));
	}
	spoil(lines[3]); /* whatever number that gives, it is no crash */
	assert_int_equal(lock_open(path, &second, &err), RETRY);
	assert_string_equal(err.code, "locked");
	lock_close(lock);
	assert_int_equal(lock_open(path, &lock, &err), OK); /* it has ended */
	lock_close(lock);
	stage_provoked("locked");
}

static void refused(const char *found)
{
	struct lock *lock;
	struct err err = {0};
	assert_int_equal(lock_open(path, &lock, &err), RETRY);
	assert_string_equal(err.code, "io");
	assert_non_null(strstr(err.text, "0.lock cannot be used: "));
	assert_non_null(strstr(err.text, found));
	assert_non_null(strstr(err.text, "tried again by itself"));
}

static void opens(void)
{
	struct lock *lock;
	struct err err = {0};
	assert_int_equal(lock_open(path, &lock, &err), OK);
	lock_close(lock);
}

/* How large a file may become: a disk without room for a page. */
static void allow_bytes(rlim_t bytes)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_lock_file_that_cannot_be_made_says_why_and_is_made_when_it_can_be(void **state)
{
	(void)state;
	assert_int_equal(rmdir(folder), 0);
	refused("No such file");
	assert_int_equal(mkdir(folder, 0755), 0);
	opens();
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	refused("Is a directory");
	assert_int_equal(rmdir(path), 0);
	opens();
	signal(SIGXFSZ, SIG_IGN);
	allow_bytes(0);
	refused("File too large"); /* locked, and cannot be written */
	allow_bytes(RLIM_INFINITY);
	opens();
	stage_provoked("io");
	stage_promises("test_lock.c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_second_owner_waits_and_hears_who_has_it, make_folder,
	                                        remove_folder),
		cmocka_unit_test_setup_teardown(looking_does_not_disturb_the_holder, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_holder_that_has_not_said_who_it_is_is_held_by_another_process,
	                                        make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_lock_file_that_cannot_be_made_says_why_and_is_made_when_it_can_be,
	                                        make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
