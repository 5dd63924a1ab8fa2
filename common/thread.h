/* thread: starting one beside the main thread. */
#ifndef TANDEM_THREAD_H
#define TANDEM_THREAD_H

#include <pthread.h>

/* pthread_create with every signal blocked in it: they are the main thread's. 0, or the error's number. */
int thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
