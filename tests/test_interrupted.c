/* Who is asked to stop before all partitions are done says so: 3, done in part. SIGTERM is sent once, before the commands. */
#include "command.h"
#include "interrupt.h"
#include "mem.h"
#include "seam.h"
#include "service_args.h"
#include "support/folder.h"
#include "support/installation.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct folder folder;

static int setup(void **state)
{
	(void)state;
	struct log *log;
	struct err err = {0};
	folder_make(&folder);
	char *url = mem_format("local:%s/log", folder.path);
	if (log_open(url, &(struct log_config){.seam = &seam_system}, &log, &err) != OK)
		return -1;
	installation_make(log, 1, 2, 4);
	log_close(log);
	setenv("TANDEM_LOG", url, 1);
	setenv("TANDEM_DATA", folder.path, 1);
	mem_free(url);
	interrupt_install();
	return raise(SIGTERM);
}

static int teardown(void **state)
{
	(void)state;
	folder_remove(&folder);
	return 0;
}

static void a_rebuild_that_was_interrupted_is_done_in_part(void **state)
{
	(void)state;
	char *argv[] = {"rebuild", NULL};
	assert_int_equal(service_rebuild(command_service("order"), 1, argv), EXIT_PARTLY);
}

static void a_resend_that_was_interrupted_is_done_in_part(void **state)
{
	(void)state;
	char *argv[] = {"resend", "--to", "inventory/0", NULL};
	assert_int_equal(service_resend(command_service("order"), 3, argv), EXIT_PARTLY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rebuild_that_was_interrupted_is_done_in_part),
		cmocka_unit_test(a_resend_that_was_interrupted_is_done_in_part),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
