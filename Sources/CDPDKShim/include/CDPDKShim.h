#ifndef CDPDK_SHIM_H
#define CDPDK_SHIM_H
#include <stdint.h>
#include <rte_cycles.h>
/* The time-stamp counter: an instruction that Swift has no name for. */
static inline uint64_t shim_tsc(void) { return rte_rdtsc(); }
int shim_eal_init(int argc, char *_Nonnull *_Nonnull argv);
#endif
