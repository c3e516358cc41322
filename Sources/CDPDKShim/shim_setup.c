/* Set-up: called a few times in a process's life, so out of line. */
#include "CDPDKShim.h"

#include <dirent.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

uint64_t shim_tsc_hertz(void) { return rte_get_tsc_hz(); }

static bool eal_runs;

int shim_eal_init(int argc, char **argv) {
    int result = rte_eal_init(argc, argv);
    eal_runs = result >= 0;
    return result;
}
void shim_eal_cleanup(void) { rte_eal_cleanup(); }
const char *shim_error_text(void) { return rte_strerror(rte_errno); }

unsigned shim_main_lcore(void) { return rte_get_main_lcore(); }

int shim_worker_lcore(unsigned index) {
    unsigned lcore;
    RTE_LCORE_FOREACH_WORKER(lcore) {
        if (index-- == 0)
            return (int)lcore;
    }
    return -1;
}

int shim_lcore_cpu(unsigned lcore) { return rte_lcore_to_cpu_id((int)lcore); }
int shim_port_socket(uint16_t port) { return rte_eth_dev_socket_id(port); }

int shim_launch(int (*function)(void *), void *argument, unsigned lcore) {
    return rte_eal_remote_launch(function, argument, lcore);
}
void shim_wait_lcore(unsigned lcore) { rte_eal_wait_lcore(lcore); }

int shim_lcore_socket(unsigned lcore) { return eal_runs ? (int)rte_lcore_to_socket_id(lcore) : -1; }

void *shim_table_memory(size_t bytes, int socket) {
    /* DPDK's heap before rte_eal_init would crash, and without hugepages it is small and meant for packets. */
    if (eal_runs && rte_eal_has_hugepages() != 0) {
        void *memory = rte_zmalloc_socket("table", bytes, RTE_CACHE_LINE_SIZE, socket);
        if (memory != NULL)
            return memory;
    }
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    /* Touched now, so that no packet meets a page fault. */
    memset(memory, 0, bytes);
    return memory;
}

struct rte_mempool *shim_pool_make(const char *name, unsigned packets, unsigned cache, int socket) {
    /* Lcores may share a CPU: this pool's ring survives the preemption of one of its users. */
    return rte_pktmbuf_pool_create_by_ops(name, packets, cache, 64, RTE_MBUF_DEFAULT_BUF_SIZE, socket, "ring_mt_rts");
}
unsigned shim_pool_available(const struct rte_mempool *pool) { return rte_mempool_avail_count(pool); }

int shim_port_attach(const char *devargs) {
    uint16_t port, before[RTE_MAX_ETHPORTS], count = 0;
    RTE_ETH_FOREACH_DEV(port) before[count++] = port;
    if (rte_dev_probe(devargs) != 0) {
        /* A PCI device that EAL has probed already is not probed again: find it by its name. */
        return rte_eth_dev_get_port_by_name(devargs, &port) == 0 ? port : -ENODEV;
    }
    RTE_ETH_FOREACH_DEV(port) {
        bool known = false;
        for (uint16_t index = 0; index < count; index++)
            known = known || before[index] == port;
        if (!known)
            return port;
    }
    /* A vdev whose interface does not exist is "probed" without a port. */
    return rte_eth_dev_get_port_by_name(devargs, &port) == 0 ? port : -ENODEV;
}

int shim_port_configure(uint16_t port, uint16_t queues, bool interrupts) {
    struct rte_eth_conf configuration = {.intr_conf.rxq = interrupts};
    struct rte_eth_dev_info info;
    int result = rte_eth_dev_info_get(port, &info);
    if (result != 0)
        return result;
    if (queues > 1 && info.flow_type_rss_offloads != 0) {
        /* The symmetric key 6d5a…: both directions of a connection come to one queue. */
        static uint8_t key[64];
        for (size_t index = 0; index < sizeof key; index += 2) {
            key[index] = 0x6d;
            key[index + 1] = 0x5a;
        }
        configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        configuration.rx_adv_conf.rss_conf.rss_key = key;
        configuration.rx_adv_conf.rss_conf.rss_key_len = info.hash_key_size < sizeof key ? info.hash_key_size : sizeof key;
        configuration.rx_adv_conf.rss_conf.rss_hf = (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP) & info.flow_type_rss_offloads;
    }
    return rte_eth_dev_configure(port, queues, queues, &configuration);
}

int shim_port_queue(uint16_t port, uint16_t queue, struct rte_mempool *pool) {
    uint16_t receive = 1024, transmit = 1024;
    rte_eth_dev_adjust_nb_rx_tx_desc(port, &receive, &transmit);
    int socket = rte_eth_dev_socket_id(port);
    int result = rte_eth_rx_queue_setup(port, queue, receive, (unsigned)socket, NULL, pool);
    return result != 0 ? result : rte_eth_tx_queue_setup(port, queue, transmit, (unsigned)socket, NULL);
}

int shim_port_start(uint16_t port) {
    int result = rte_eth_dev_start(port);
    if (result != 0)
        return result;
    /* Not every driver knows these; those that do not receive everything anyway. */
    rte_eth_promiscuous_enable(port);
    rte_eth_allmulticast_enable(port);
    return 0;
}

void shim_port_stop(uint16_t port) {
    rte_eth_dev_stop(port);
    rte_eth_dev_close(port);
}

void shim_port_mac(uint16_t port, uint8_t mac[6]) {
    struct rte_ether_addr address = {{0}};
    rte_eth_macaddr_get(port, &address);
    memcpy(mac, address.addr_bytes, 6);
}

/* What the kernel says of the interface under a port; true when there is none, or it does not say. */
static bool kernel_link_is_up(uint16_t port) {
    struct rte_eth_dev_info info;
    struct ifreq request = {0};
    if (rte_eth_dev_info_get(port, &info) != 0 || info.if_index == 0 ||
        if_indextoname(info.if_index, request.ifr_name) == NULL)
        return true;
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return true;
    int result = ioctl(descriptor, SIOCGIFFLAGS, &request);
    close(descriptor);
    return result != 0 || (request.ifr_flags & IFF_RUNNING) != 0;
}

bool shim_port_totals(uint16_t port, uint64_t totals[6]) {
    struct rte_eth_stats stats;
    if (rte_eth_stats_get(port, &stats) != 0) return false;
    totals[0] = stats.ipackets;
    totals[1] = stats.ibytes;
    totals[2] = stats.opackets;
    totals[3] = stats.obytes;
    totals[4] = stats.imissed;
    totals[5] = stats.ierrors + stats.oerrors + stats.rx_nombuf;
    return true;
}

bool shim_port_link_is_up(uint16_t port) {
    struct rte_eth_link link = {0};
    if (rte_eth_link_get_nowait(port, &link) != 0 || link.link_status != RTE_ETH_LINK_UP)
        return false;
    /* net_af_xdp says for ever what was so at the start. */
    return kernel_link_is_up(port);
}

int shim_port_set_link(uint16_t port, bool up) {
    return up ? rte_eth_dev_set_link_up(port) : rte_eth_dev_set_link_down(port);
}

static bool is_pollable_port(int descriptor) {
    int domain = 0;
    socklen_t length = sizeof domain;
    if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0)
        return domain == AF_PACKET || domain == 44 /* AF_XDP */;
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    ssize_t count = readlink(path, target, sizeof target - 1);
    if (count < 0)
        return false;
    target[count] = 0;
    return strcmp(target, "/dev/net/tun") == 0;
}

int shim_pollable_descriptors(int *descriptors, int capacity) {
    int found = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL && found < capacity;) {
        char *end;
        long descriptor = strtol(entry->d_name, &end, 10);
        if (*end == 0 && descriptor != dirfd(directory) && is_pollable_port((int)descriptor))
            descriptors[found++] = (int)descriptor;
    }
    closedir(directory);
    return found;
}
