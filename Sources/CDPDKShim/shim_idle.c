/* Sleeping and waking: the only system calls of a worker besides its ports' own. */
#define _GNU_SOURCE
#include "CDPDKShim.h"

#include <poll.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int shim_event_descriptor(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void shim_signal(int descriptor) {
    uint64_t one = 1;
    ssize_t written = write(descriptor, &one, sizeof one);
    (void)written; /* full means readable already */
}

/* DPDK's interrupts come by an epoll descriptor, which can itself be waited for; only DPDK knows how to take them. */
int shim_queue_interrupt(uint16_t port, uint16_t queue) {
    int descriptor = epoll_create1(EPOLL_CLOEXEC);
    if (descriptor < 0)
        return -1;
    if (rte_eth_dev_rx_intr_ctl_q(port, queue, descriptor, RTE_INTR_EVENT_ADD, NULL) == 0) {
        if (rte_eth_dev_rx_intr_enable(port, queue) == 0) {
            rte_eth_dev_rx_intr_disable(port, queue);
            return descriptor;
        }
        rte_eth_dev_rx_intr_ctl_q(port, queue, descriptor, RTE_INTR_EVENT_DEL, NULL);
    }
    close(descriptor);
    return -1;
}

void shim_queue_arm(uint16_t port, uint16_t queue) { rte_eth_dev_rx_intr_enable(port, queue); }

void shim_queue_disarm(uint16_t port, uint16_t queue, int interrupt) {
    struct rte_epoll_event event;
    rte_eth_dev_rx_intr_disable(port, queue);
    rte_epoll_wait(interrupt, &event, 1, 0);
}

void shim_wait(const int *descriptors, int count, uint64_t microseconds) {
    struct pollfd polled[64];
    if (count > 64)
        count = 64;
    for (int index = 0; index < count; index++)
        polled[index] = (struct pollfd){.fd = descriptors[index], .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)(microseconds / 1000000), .tv_nsec = (long)(microseconds % 1000000) * 1000};
    if (ppoll(polled, (nfds_t)count, &time, NULL) > 0 && polled[count - 1].revents != 0) {
        uint64_t taken;
        ssize_t got = read(descriptors[count - 1], &taken, sizeof taken);
        (void)got;
    }
}
