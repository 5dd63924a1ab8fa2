/* librdkafka starts its threads with C11's thrd_create, which gcc 12's thread sanitizer does not know: such a thread ends in a
 * crash. Under that sanitizer these take its place and go through pthread_create, which it knows. Nor does it see C11's mutexes
 * and librdkafka's atomics, so what happens inside librdkafka is not its to report. */
#ifdef __SANITIZE_THREAD__
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:librdkafka.so\n";
}

struct start {
	thrd_start_t run;
	void *arg;
};

static void *run(void *arg)
{
	struct start start = *(struct start *)arg;
	free(arg);
	return (void *)(intptr_t)start.run(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
	struct start *start = malloc(sizeof *start);
	if (!start)
		return thrd_nomem;
	*start = (struct start){function, arg};
	if (pthread_create(thread, NULL, run, start) == 0)
		return thrd_success;
	free(start);
	return thrd_error;
}

int thrd_join(thrd_t thread, int *result)
{
	void *returned;
	if (pthread_join(thread, &returned))
		return thrd_error;
	if (result)
		*result = (int)(intptr_t)returned;
	return thrd_success;
}
#else
typedef int thread_sanitizer_unused; /* C11 wants a declaration in a file */
#endif
