#include "CDPDKShim.h"
#include <rte_eal.h>
int shim_eal_init(int argc, char **argv) { return rte_eal_init(argc, argv); }
