#define _GNU_SOURCE
#include "tunnelled.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

static uint8_t traffic_class(struct msghdr *message) {
    for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
        if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_TOS) return *(uint8_t *)CMSG_DATA(each);
        if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_TCLASS) {
            int value;
            memcpy(&value, CMSG_DATA(each), sizeof value);
            return (uint8_t)value;
        }
    }
    return 0;
}

int tunnelled_receive(int descriptor, struct tunnelled *slots) {
    struct mmsghdr messages[tunnelled_batch];
    struct iovec buffers[tunnelled_batch];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } controls[tunnelled_batch];
    for (int index = 0; index < tunnelled_batch; index++) {
        struct tunnelled *slot = &slots[index];
        buffers[index] = (struct iovec){.iov_base = slot->bytes, .iov_len = tunnelled_capacity};
        messages[index] = (struct mmsghdr){.msg_hdr = {
            .msg_name = &slot->peer, .msg_namelen = sizeof slot->peer,
            .msg_iov = &buffers[index], .msg_iovlen = 1,
            .msg_control = &controls[index], .msg_controllen = sizeof controls[index]}};
    }
    int count = recvmmsg(descriptor, messages, tunnelled_batch, MSG_DONTWAIT, NULL);
    for (int index = 0; index < count; index++) {
        slots[index].length = messages[index].msg_len;
        slots[index].traffic_class = traffic_class(&messages[index].msg_hdr);
        slots[index].is_cut = (messages[index].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    }
    return count < 0 ? 0 : count;
}
