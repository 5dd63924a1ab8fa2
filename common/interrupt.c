#include "interrupt.h"

#include "command.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t requested;

static void on_signal(int number)
{
	(void)number;
	if (requested)
		_exit(EXIT_INTERRUPTED);
	requested = 1;
}

void interrupt_install(void)
{
	struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

bool interrupt_requested(void)
{
	return requested != 0;
}
