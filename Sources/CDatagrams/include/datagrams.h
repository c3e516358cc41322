/* Many datagrams in one system call. In C because `recvmmsg` and `sendmmsg` are behind _GNU_SOURCE, which Swift's Glibc
 * module does not define, and because their vectors of pointers to pointers are C's business. */
#ifndef DATAGRAMS_H
#define DATAGRAMS_H

#include <netinet/in.h>
#include <stdint.h>

enum { datagram_batch = 64, datagram_capacity = 2048 };

struct datagram {
    struct sockaddr_in6 peer;
    uint32_t length;
    uint8_t bytes[datagram_capacity];
};

/* Fills up to `datagram_batch` slots with what waits; a longer datagram is cut. Returns how many; 0 when none waits. */
int datagrams_receive(int descriptor, struct datagram *_Nonnull slots);
/* Sends `count` slots, `datagram_batch` at most. One that cannot be sent is lost and keeps no other from being sent. */
void datagrams_send(int descriptor, struct datagram *_Nonnull slots, int count);

#endif
