#define _GNU_SOURCE
#include "datagrams.h"

#include <stddef.h>
#include <sys/socket.h>

struct vectors {
    struct mmsghdr messages[datagram_batch];
    struct iovec buffers[datagram_batch];
};

static void point(struct vectors *vectors, struct datagram *slots, int count, int receives) {
    for (int index = 0; index < count; index++) {
        struct datagram *slot = &slots[index];
        vectors->buffers[index] =
            (struct iovec){.iov_base = slot->bytes, .iov_len = receives ? datagram_capacity : slot->length};
        vectors->messages[index] = (struct mmsghdr){.msg_hdr = {
            .msg_name = &slot->peer, .msg_namelen = sizeof slot->peer,
            .msg_iov = &vectors->buffers[index], .msg_iovlen = 1}};
    }
}

int datagrams_receive(int descriptor, struct datagram *slots) {
    struct vectors vectors;
    point(&vectors, slots, datagram_batch, 1);
    int count = recvmmsg(descriptor, vectors.messages, datagram_batch, MSG_DONTWAIT, NULL);
    for (int index = 0; index < count; index++) slots[index].length = vectors.messages[index].msg_len;
    return count < 0 ? 0 : count;
}

void datagrams_send(int descriptor, struct datagram *slots, int count) {
    struct vectors vectors;
    point(&vectors, slots, count, 0);
    for (int first = 0; first < count;) {
        int sent = sendmmsg(descriptor, vectors.messages + first, count - first, MSG_DONTWAIT);
        /* The error is the first one's. */
        first += sent > 0 ? sent : 1;
    }
}
