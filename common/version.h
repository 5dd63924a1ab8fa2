/* version: what this build calls itself (git describe), generated. */
#ifndef TANDEM_VERSION_H
#define TANDEM_VERSION_H

extern const char tandem_version[];

#endif
