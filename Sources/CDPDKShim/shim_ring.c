/* Ports made of two rings, for tests and measurements inside one process. */
#include "CDPDKShim.h"

#include <stdio.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>

int shim_ring_port(const char *name, unsigned capacity, struct rte_ring **inbound, struct rte_ring **outbound) {
    char ring[RTE_RING_NAMESIZE];
    snprintf(ring, sizeof ring, "%s_in", name);
    *inbound = rte_ring_create(ring, capacity, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(ring, sizeof ring, "%s_out", name);
    *outbound = rte_ring_create(ring, capacity, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (*inbound == NULL || *outbound == NULL)
        return -rte_errno;
    int port = rte_eth_from_rings(name, inbound, 1, outbound, 1, 0);
    return port < 0 ? -rte_errno : port;
}

int shim_ring_put(struct rte_ring *ring, struct rte_mbuf *packet) { return rte_ring_sp_enqueue(ring, packet); }

struct rte_mbuf *shim_ring_take(struct rte_ring *ring) {
    void *packet = NULL;
    return rte_ring_sc_dequeue(ring, &packet) == 0 ? packet : NULL;
}
