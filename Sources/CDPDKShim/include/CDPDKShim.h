/*
 * Every DPDK call that Baton makes crosses here.
 *
 * On the packet way: `static inline` over opaque mbufs, so that Swift compiles them to the same instructions as C
 * would. Set-up is out of line, in shim_setup.c. Each function says why Swift cannot do it itself.
 */
#ifndef CDPDK_SHIM_H
#define CDPDK_SHIM_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_vect.h>

#include "shim_telemetry.h"

/* MARK: time */

/* The time-stamp counter: an instruction that Swift has no name for. */
static inline uint64_t shim_tsc(void) { return rte_rdtsc(); }

/* MARK: packets (rte_mbuf is over-aligned: Swift sees only pointers to it) */

static inline uint8_t *_Nonnull shim_mbuf_data(const struct rte_mbuf *_Nonnull packet) {
    return rte_pktmbuf_mtod(packet, uint8_t *);
}
/* Bytes in the first segment: all that Baton reads. */
static inline uint32_t shim_mbuf_length(const struct rte_mbuf *_Nonnull packet) { return packet->data_len; }
static inline uint32_t shim_mbuf_total_length(const struct rte_mbuf *_Nonnull packet) { return packet->pkt_len; }
static inline void shim_mbuf_free(struct rte_mbuf *_Nonnull packet) { rte_pktmbuf_free(packet); }

/* Bytes that a packet can have without being moved. */
static inline uint32_t shim_mbuf_room(const struct rte_mbuf *_Nonnull packet) {
    return (uint32_t)packet->data_len + rte_pktmbuf_tailroom(packet);
}
/* Makes a packet of one segment `length` bytes long, at most `shim_mbuf_room`. */
static inline void shim_mbuf_resize(struct rte_mbuf *_Nonnull packet, uint16_t length) {
    packet->data_len = length;
    packet->pkt_len = length;
}

/* Makes room before a packet's first byte, and gives the new first one; null without so much headroom. */
static inline uint8_t *_Nullable shim_mbuf_prepend(struct rte_mbuf *_Nonnull packet, uint16_t length) {
    return (uint8_t *)rte_pktmbuf_prepend(packet, length);
}

/* The same for `header` bytes where there are so many, of a packet in one segment that is to be `length` bytes long then.
   One look at the packet's metadata instead of several. */
static inline uint8_t *_Nullable shim_mbuf_wrap(struct rte_mbuf *_Nonnull packet, uint16_t header, uint16_t length) {
    if (packet->data_off < header || packet->nb_segs != 1) return NULL;
    packet->data_off -= header;
    packet->data_len = length;
    packet->pkt_len = length;
    return rte_pktmbuf_mtod(packet, uint8_t *);
}
/* Asks the memory for what will be written before a packet's first byte. */
static inline void shim_prefetch_headroom(const struct rte_mbuf *_Nonnull packet) {
    rte_prefetch0_write(rte_pktmbuf_mtod_offset(packet, uint8_t *, -64));
}
/* Takes that many bytes, at most those of the first segment, away from a packet's beginning. */
static inline void shim_mbuf_trim(struct rte_mbuf *_Nonnull packet, uint16_t length) {
    rte_pktmbuf_adj(packet, length);
}

/* An empty packet of `length` bytes, or null when the pool is empty. */
static inline struct rte_mbuf *_Nullable shim_mbuf_make(struct rte_mempool *_Nonnull pool, uint16_t length) {
    struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);
    if (packet != NULL && rte_pktmbuf_append(packet, length) == NULL) {
        rte_pktmbuf_free(packet);
        packet = NULL;
    }
    return packet;
}

/* 64 bytes of our own beside each packet (HeldPacket.swift says what for). */
static inline void *_Nonnull shim_mbuf_private(struct rte_mbuf *_Nonnull packet) { return rte_mbuf_to_priv(packet); }

/* MARK: ports (inline functions of DPDK that index its global port table) */

static inline uint16_t shim_receive(uint16_t port, uint16_t queue, struct rte_mbuf *_Nullable *_Nonnull packets,
                                    uint16_t count) {
    return rte_eth_rx_burst(port, queue, packets, count);
}
static inline uint16_t shim_transmit(uint16_t port, uint16_t queue, struct rte_mbuf *_Nullable *_Nonnull packets,
                                     uint16_t count) {
    return rte_eth_tx_burst(port, queue, packets, count);
}

/* A hint, not an access: no Swift expression means "prefetch". */
static inline void shim_prefetch(const void *_Nonnull address) { rte_prefetch0(address); }
/* The same, but only into the second level: the first has room for so few lines on their way that a burst would wait for
 * one another. */
static inline void shim_prefetch_near(const void *_Nonnull address) { rte_prefetch1(address); }

/* MARK: eight tags at once (Swift's SIMD8 compares in one instruction, but has no name for the next one, which makes a
 * number of the result) */

/* Bit 2i (and on some machines bit 2i + 1) is set when the i-th of eight 16-bit tags equals `tag`. `tags` is aligned to
 * 16 bytes. */
static inline uint32_t shim_equal_tags(const void *_Nonnull tags, uint16_t tag) {
#if defined(__SSSE3__)
    const __m128i twoBytes = _mm_set1_epi16(0x0100);
    __m128i wanted = _mm_shuffle_epi8(_mm_cvtsi32_si128(tag), twoBytes);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_load_si128((const __m128i *)tags), wanted));
#else
    const uint16_t *each = (const uint16_t *)tags;
    uint32_t found = 0;
    for (uint32_t index = 0; index < 8; index++)
        found |= (uint32_t)(each[index] == tag) << (2 * index);
    return found;
#endif
}

/* True when 16 bytes, as two little-endian words, have the two values where the masks have ones: one test for several
 * fields of a header. */
static inline bool shim_equal_where(const void *_Nonnull bytes, uint64_t low, uint64_t lowMask, uint64_t high,
                                    uint64_t highMask) {
#if defined(__SSE4_1__)
    const __m128i value = _mm_set_epi64x((long long)high, (long long)low);
    const __m128i mask = _mm_set_epi64x((long long)highMask, (long long)lowMask);
    return _mm_testz_si128(_mm_xor_si128(_mm_loadu_si128((const __m128i *)bytes), value), mask) != 0;
#else
    uint64_t words[2];
    __builtin_memcpy(words, bytes, 16);
    return (((words[0] ^ low) & lowMask) | ((words[1] ^ high) & highMask)) == 0;
#endif
}

/* True when 32 bytes are these sixteen and those sixteen: one test for an IPv6 packet's two addresses. */
static inline bool shim_equal_32(const void *_Nonnull bytes, const void *_Nonnull first, const void *_Nonnull second) {
#if defined(__SSE4_1__)
    const __m128i *pair = (const __m128i *)bytes;
    __m128i low = _mm_xor_si128(_mm_loadu_si128(pair), _mm_loadu_si128((const __m128i *)first));
    __m128i high = _mm_xor_si128(_mm_loadu_si128(pair + 1), _mm_loadu_si128((const __m128i *)second));
    __m128i different = _mm_or_si128(low, high);
    return _mm_testz_si128(different, different) != 0;
#else
    return __builtin_memcmp(bytes, first, 16) == 0 && __builtin_memcmp((const char *)bytes + 16, second, 16) == 0;
#endif
}

/* Swaps the two addresses of an Ethernet frame of at least 16 bytes: one shuffle (Swift's SIMD16 shuffles by
 * single elements). */
static inline void shim_swap_addresses(uint8_t *_Nonnull frame) {
#if defined(__SSSE3__)
    const __m128i order = _mm_setr_epi8(6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
    _mm_storeu_si128((__m128i *)frame, _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)frame), order));
#else
    uint8_t saved[6];
    __builtin_memcpy(saved, frame, 6);
    __builtin_memcpy(frame, frame + 6, 6);
    __builtin_memcpy(frame + 6, saved, 6);
#endif
}

/* MARK: set-up, out of line */

/* Zeroed memory for a worker's tables, aligned to cache lines and never freed: of DPDK's hugepages on a NUMA node (-1 for any)
 * where there are enough, else of the kernel's with transparent hugepages. Null when there is none. */
void *_Nullable shim_table_memory(size_t bytes, int socket);
/* NUMA node of an lcore; -1 without an EAL. */
int shim_lcore_socket(unsigned lcore);

uint64_t shim_tsc_hertz(void);
int shim_eal_init(int argc, char *_Nonnull *_Nonnull argv);
void shim_eal_cleanup(void);
/* DPDK's reason for the last failure, as text. */
const char *_Nonnull shim_error_text(void);
unsigned shim_main_lcore(void);
/* The n-th worker lcore of EAL's list, or -1. */
int shim_worker_lcore(unsigned index);
/* The CPU that an lcore is pinned to, or -1 for several. */
int shim_lcore_cpu(unsigned lcore);
/* NUMA node of a port; -1 for any. */
int shim_port_socket(uint16_t port);
int shim_launch(int (*_Nonnull function)(void *_Nullable), void *_Nullable argument, unsigned lcore);
void shim_wait_lcore(unsigned lcore);

/* A packet pool whose packets have 64 private bytes each. */
struct rte_mempool *_Nullable shim_pool_make(const char *_Nonnull name, unsigned packets, unsigned cache, int socket);
unsigned shim_pool_available(const struct rte_mempool *_Nonnull pool);

/* Attaches a device by its devargs (a PCI address or a vdev) and returns its port, or a negative errno. */
int shim_port_attach(const char *_Nonnull devargs);
/* Configures, but does not start: queues each way, with interrupts of the receive queues if wanted. 0 or a negative errno:
 * not every driver has interrupts. */
int shim_port_configure(uint16_t port, uint16_t queues, bool interrupts);
/* Sets up one queue pair; af_xdp opens its socket here. */
int shim_port_queue(uint16_t port, uint16_t queue, struct rte_mempool *_Nonnull pool);
int shim_port_start(uint16_t port);
void shim_port_stop(uint16_t port);
void shim_port_mac(uint16_t port, uint8_t mac[_Nonnull 6]);
/* Whether a port has a link, by its driver's word and by the kernel's where an interface lies under it. */
bool shim_port_link_is_up(uint16_t port);
/* What a port's driver has counted: packets and bytes received, packets and bytes transmitted, packets missed, errors.
 * False when it counts nothing (struct rte_eth_stats has arrays that Swift would see as tuples of 16). */
bool shim_port_totals(uint16_t port, uint64_t totals[_Nonnull 6]);
/* Sets a port's link up or down; 0, or a negative errno: -ENOTSUP from drivers that cannot. */
int shim_port_set_link(uint16_t port, bool up);

/* Writes up to `capacity` descriptors of this process that a port's receive queue may be waited on by poll(2): AF_XDP
 * and packet sockets, TAP devices. DPDK does not give them out. Returns how many. */
int shim_pollable_descriptors(int *_Nonnull descriptors, int capacity);

/* Makes, but does not configure, a port that receives what is put on `*inbound` and puts what it transmits on `*outbound`; returns its
 * number or a negative errno. */
int shim_ring_port(const char *_Nonnull name, unsigned capacity, struct rte_ring *_Nullable *_Nonnull inbound,
                   struct rte_ring *_Nullable *_Nonnull outbound);
int shim_ring_put(struct rte_ring *_Nonnull ring, struct rte_mbuf *_Nonnull packet);
struct rte_mbuf *_Nullable shim_ring_take(struct rte_ring *_Nonnull ring);

/* A flag that another thread sets: read anew each time. */
static inline int shim_load_flag(const int *_Nonnull flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED); }
static inline void shim_store_flag(int *_Nonnull flag, int value) { __atomic_store_n(flag, value, __ATOMIC_RELAXED); }

/* MARK: sleep (the idle policy's system calls) */

/* A new eventfd (no Swift overlay has the call), or -1. */
int shim_event_descriptor(void);
/* Makes an eventfd readable. */
void shim_signal(int descriptor);
/* A descriptor that becomes readable when a started port's queue has received something while its interrupt is armed, or -1
 * when the driver has no such interrupt. */
int shim_queue_interrupt(uint16_t port, uint16_t queue);
/* Before the last look at the queue, and after the sleep. */
void shim_queue_arm(uint16_t port, uint16_t queue);
void shim_queue_disarm(uint16_t port, uint16_t queue, int interrupt);
/* Waits until one of the descriptors is readable, for `microseconds` at most; empties the last one, an eventfd. */
void shim_wait(const int *_Nonnull descriptors, int count, uint64_t microseconds);

#endif
