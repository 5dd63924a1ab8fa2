/* service_main: what a worker does on the command line: run, verify, rebuild, status, resend. */
#ifndef TANDEM_SERVICE_MAIN_H
#define TANDEM_SERVICE_MAIN_H

#include "service.h"

/* argv[0] is the command's name ("order"), argv[1] what to do. Returns the exit status (command.h). */
int service_main(const struct service *service, int argc, char **argv);

#endif
