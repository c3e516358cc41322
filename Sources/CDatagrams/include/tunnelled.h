/* Packets that came inside others, many in one system call, each with the traffic class of what it came in. In C for the
 * reasons in datagrams.h, and because control messages are read by macros. */
#ifndef TUNNELLED_H
#define TUNNELLED_H

#include <netinet/in.h>
#include <stdint.h>

enum { tunnelled_batch = 64, tunnelled_capacity = 9728 };

struct tunnelled {
    struct sockaddr_in6 peer;
    uint32_t length;
    /* TOS or traffic class of the outer header; 0 unless the socket tells it (IP_RECVTOS, IPV6_RECVTCLASS). */
    uint8_t traffic_class;
    /* It was longer than there is room for. */
    uint8_t is_cut;
    _Alignas(8) uint8_t bytes[tunnelled_capacity];
};

/* Swift does not import so long an array. */
static inline uint8_t *_Nonnull tunnelled_bytes(struct tunnelled *_Nonnull slot) { return slot->bytes; }

/* Fills up to `tunnelled_batch` slots with what waits. Returns how many; 0 when none waits. */
int tunnelled_receive(int descriptor, struct tunnelled *_Nonnull slots);

#endif
