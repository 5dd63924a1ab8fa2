/* Many partitions in one process, over local:: what tasks hold of their files is the process', and is divided among them. */
#include "../support/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define PARTITIONS RIG_PARTITIONS_MAX
#define ORDERS     80000 /* as many that tasks would hold more than the target, had each what one of four has */
#define TARGET_KIB (64 * 1024)
#define LIMIT_S    600

static struct rig rig;

static int setup(void **state)
{
	*state = &rig;
	rig_open_topics(&rig, PARTITIONS, PARTITIONS);
	return 0;
}

/* Runs it until everything is folded. */
static void drain(const char *service)
{
	struct rig_process *process = rig_start(&rig, service, "%s run --until-end", service);
	assert_int_equal(rig_end(&rig, process, 0, LIMIT_S), 0);
	print_message("%s: %ld KiB\n", service, process->peak_kib);
	assert_true(process->peak_kib > 0);
	assert_in_range((uintmax_t)process->peak_kib, 1, TARGET_KIB);
}

static void lose_files(const char *service)
{
	assert_int_equal(system(arena_format(&rig.arena, "rm -r '%s/%s'", rig.data, service)), 0);
}

static void sixteen_partitions_are_drained_and_made_again_within_64_mb(void **state)
{
	(void)state;
	rig_ok(&rig, "publish --orders %d --skus 10000 --lines 1 --stock 1000000", ORDERS);
	drain("order");
	drain("inventory");
	drain("order");
	lose_files("order");
	lose_files("inventory");
	drain("order");
	drain("inventory");
	drain("order");
	rig_verify(&rig, "order", NULL, NULL);
	rig_verify(&rig, "inventory", NULL, NULL);
	rig.passed = true;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sixteen_partitions_are_drained_and_made_again_within_64_mb, setup,
	                                        rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
