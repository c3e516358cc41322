/* Sleeping and waking: the only system calls of a worker besides its ports' own. */
#define _GNU_SOURCE
#include "CDPDKShim.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int shim_event_descriptor(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void shim_signal(int descriptor) {
    uint64_t one = 1;
    ssize_t written = write(descriptor, &one, sizeof one);
    (void)written; /* full means readable already */
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
