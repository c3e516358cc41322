/*
 * A source of packets of any number of connections, for any DPDK program, by LD_PRELOAD.
 *
 * net_pcap with infinite_rx holds every packet of its capture in an mbuf of its own: a million connections are 2.6 GB,
 * each read from memory once and never again soon, which costs more than what is to be measured. This library lets the
 * port receive a capture of a few packets, which stay in the cache, and makes each received packet one of connection
 * number i: source address and port, the server's last byte, and the checksums (incrementally, RFC 1624, equation 3).
 * i goes through 0 ..< FLOWS in an order without neighbours: it grows by the golden section of FLOWS, modulo FLOWS.
 *
 * Programs are not changed: the library stands before rte_eth_dev_start and adds a receive callback to the queues of
 * every net_pcap port. The environment says what to do:
 *
 *   BENCH_SOURCE_FLOWS   number of connections; nothing is done without it
 *   BENCH_SOURCE_FIRST   number of the first one (0)
 *   BENCH_SOURCE_LISTS   instead of that order: queue q takes the numbers in the file of this name with .q behind it, as
 *                        32-bit words, one after another, as if the port chose the queue by a hash of the flow
 *
 * The connections are those of bench/captures.py and bench/baton-bench/FlowNumbers.swift.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_tcp.h>

struct source {
    uint32_t next, stride, flows, first;
    const uint32_t *list;
} __rte_cache_aligned;

/* The varying parts of a connection, in network byte order. */
struct flow {
    uint32_t client, server;
    uint16_t client_port;
};

static inline struct flow flow_of(uint32_t number) {
    return (struct flow){
        .client = (uint32_t)(number * 2654435761u) & 0xFFFFFF,
        .server = number & 0xFF,
        .client_port = rte_cpu_to_be_16((uint16_t)(1024 + number % 50000)),
    };
}

/* ~HC + ~m + m' of 32 bits; `sum` may be of many words, its halves are added at the end. */
static inline uint64_t changed(uint32_t old, uint32_t new) { return (uint64_t)(uint32_t)~old + new; }

static inline uint16_t updated(uint16_t checksum, uint64_t sum) {
    sum += (uint16_t)~checksum;
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

static inline void write_port(struct rte_tcp_hdr *tcp, uint16_t port, uint64_t sum) {
    sum += (uint16_t)~tcp->src_port + (uint64_t)port;
    tcp->src_port = port;
    tcp->cksum = updated(tcp->cksum, sum);
}

static inline void write_packet(struct rte_mbuf *packet, uint32_t number) {
    struct flow flow = flow_of(number);
    struct rte_ether_hdr *ethernet = rte_pktmbuf_mtod(packet, struct rte_ether_hdr *);
    if (ethernet->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
        struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ethernet + 1);
        uint32_t client = rte_cpu_to_be_32(0x0A000000 | flow.client);
        uint32_t server = rte_cpu_to_be_32(0xC6120000 | flow.server);
        uint64_t sum = changed(ip->src_addr, client) + changed(ip->dst_addr, server);
        ip->src_addr = client;
        ip->dst_addr = server;
        ip->hdr_checksum = updated(ip->hdr_checksum, sum);
        write_port((struct rte_tcp_hdr *)(ip + 1), flow.client_port, sum);
    } else {
        struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(ethernet + 1);
        uint32_t client = rte_cpu_to_be_32(flow.client), server = rte_cpu_to_be_32(flow.server), old[2];
        memcpy(&old[0], ip->src_addr + 12, 4);
        memcpy(&old[1], ip->dst_addr + 12, 4);
        memcpy(ip->src_addr + 12, &client, 4);
        memcpy(ip->dst_addr + 12, &server, 4);
        write_port((struct rte_tcp_hdr *)(ip + 1), flow.client_port, changed(old[0], client) + changed(old[1], server));
    }
}

static uint16_t write_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, uint16_t room,
                            void *context) {
    (void)port, (void)queue, (void)room;
    struct source *source = context;
    uint32_t next = source->next;
    for (uint16_t index = 0; index < count; index++) {
        write_packet(packets[index], source->list != NULL ? source->list[next] : source->first + next);
        uint32_t sum = next + source->stride;
        next = sum >= source->flows ? sum - source->flows : sum;
    }
    source->next = next;
    return count;
}

static uint32_t common_divisor(uint32_t one, uint32_t other) {
    while (other != 0) {
        uint32_t rest = one % other;
        one = other;
        other = rest;
    }
    return one;
}

static uint32_t number_of(const char *variable) {
    const char *text = getenv(variable);
    return text == NULL ? 0 : (uint32_t)strtoul(text, NULL, 10);
}

/* All of a file; its length goes to `words`. */
static const uint32_t *read_list(const char *path, uint32_t *words) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        rte_exit(EXIT_FAILURE, "flow_source: cannot read %s\n", path);
    size_t bytes = (size_t)ftell(file);
    uint32_t *list = rte_malloc("flow_source", bytes, RTE_CACHE_LINE_SIZE);
    rewind(file);
    if (bytes < sizeof *list || list == NULL || fread(list, 1, bytes, file) != bytes)
        rte_exit(EXIT_FAILURE, "flow_source: cannot read %s\n", path);
    fclose(file);
    *words = (uint32_t)(bytes / sizeof *list);
    return list;
}

static void set_order(struct source *source, uint16_t queue, uint16_t queues, uint32_t flows) {
    const char *lists = getenv("BENCH_SOURCE_LISTS");
    if (lists != NULL) {
        char path[4096];
        snprintf(path, sizeof path, "%s.%u", lists, queue);
        source->list = read_list(path, &source->flows);
        source->stride = 1;
        return;
    }
    source->flows = flows;
    source->first = number_of("BENCH_SOURCE_FIRST");
    source->stride = (uint32_t)(flows * 0.6180339887498949) | 1;
    while (common_divisor(source->stride, flows) != 1)
        source->stride++;
    /* Queues do not walk in step. */
    source->next = (uint32_t)((uint64_t)flows * queue / queues);
}

static void attach(uint16_t port, uint32_t flows) {
    struct rte_eth_dev_info info;
    if (rte_eth_dev_info_get(port, &info) != 0 || strcmp(info.driver_name, "net_pcap") != 0)
        return;
    for (uint16_t queue = 0; queue < info.nb_rx_queues; queue++) {
        struct source *source = rte_zmalloc("flow_source", sizeof *source, RTE_CACHE_LINE_SIZE);
        if (source == NULL)
            rte_exit(EXIT_FAILURE, "flow_source: no memory\n");
        set_order(source, queue, info.nb_rx_queues, flows);
        if (rte_eth_add_rx_callback(port, queue, write_burst, source) == NULL)
            rte_exit(EXIT_FAILURE, "flow_source: no receive callback on port %u\n", port);
    }
}

int rte_eth_dev_start(uint16_t port) {
    static int (*start)(uint16_t);
    if (start == NULL)
        start = (int (*)(uint16_t))dlsym(RTLD_NEXT, "rte_eth_dev_start");
    int result = start(port);
    uint32_t flows = number_of("BENCH_SOURCE_FLOWS");
    if (result == 0 && flows > 0)
        attach(port, flows);
    return result;
}
