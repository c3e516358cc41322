/*
 * A paced generator and its sink, for trials in which every frame is accounted for.
 *
 * testpmd's generators send as fast as they can; a search for the highest loss-free rate needs one that sends at the
 * rate it is told, says which frames the port refused, and keeps receiving until nothing more comes. Sends on port 0 and
 * receives on port 1: by turns on one lcore, or on two when there are two.
 *
 *   generator EAL...
 *
 * Reads commands, one a line, and answers each with one line of JSON:
 *
 *   load FILE           frames to send, in turn: the packets of a capture
 *   trial RATE SECONDS  frames a second (0: as many as the port takes) for so long; then waits until nothing comes
 *   link                state and speed of both ports
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#define BURST 32
#define DESCRIPTORS 1024
#define FRAMES 4096
/* After a pause of its own, at most so much of what is overdue is sent at once; the rest is forfeited, and counted. */
#define CATCH_UP_PER_SECOND 2000
/* A trial has ended when nothing has come for so long. */
#define QUIET_MILLISECONDS 50

enum { TRANSMIT, RECEIVE, PORTS };

static struct rte_mempool *frame_pool, *receive_pool;
static struct rte_mbuf *frames[FRAMES];
static unsigned frame_count, next_frame;
static volatile uint64_t last_arrival;
static volatile bool receiving;

struct trial {
    uint64_t refused, forfeited, longest_pause, clocks;
};

static void fail(const char *what) {
    fprintf(stderr, "generator: %s\n", what);
    exit(1);
}

static void start_port(uint16_t port) {
    struct rte_eth_conf configuration = {0};
    uint16_t receive = DESCRIPTORS, transmit = DESCRIPTORS;
    if (rte_eth_dev_configure(port, 1, 1, &configuration) != 0 ||
        rte_eth_dev_adjust_nb_rx_tx_desc(port, &receive, &transmit) != 0 ||
        rte_eth_rx_queue_setup(port, 0, receive, rte_eth_dev_socket_id(port), NULL, receive_pool) != 0 ||
        rte_eth_tx_queue_setup(port, 0, transmit, rte_eth_dev_socket_id(port), NULL) != 0 ||
        rte_eth_dev_start(port) != 0)
        fail("a port does not start");
    /* Frames are addressed to others; a driver without the notion receives them anyway. */
    (void)rte_eth_promiscuous_enable(port);
}

/* One burst off the sink's port. */
static inline unsigned receive_burst(void) {
    struct rte_mbuf *burst[BURST];
    uint16_t count = rte_eth_rx_burst(RECEIVE, 0, burst, BURST);
    if (count == 0) return 0;
    rte_pktmbuf_free_bulk(burst, count);
    last_arrival = rte_rdtsc();
    return count;
}

static int receive_until_told(void *unused) {
    (void)unused;
    while (receiving) receive_burst();
    return 0;
}

/* Sends so many of the frames, in turn, and returns how many the port took. A frame is never copied: the port gets one
 * more reference to it. */
static inline uint16_t send_burst(unsigned count) {
    struct rte_mbuf *burst[BURST];
    unsigned place = next_frame;
    for (unsigned i = 0; i < count; i++) {
        burst[i] = frames[place];
        rte_mbuf_refcnt_update(burst[i], 1);
        if (++place == frame_count) place = 0;
    }
    uint16_t taken = rte_eth_tx_burst(TRANSMIT, 0, burst, (uint16_t)count);
    for (unsigned i = taken; i < count; i++) rte_mbuf_refcnt_update(burst[i], -1);
    next_frame = (next_frame + taken) % frame_count;
    return taken;
}

static struct trial send_at(double rate, double seconds, bool receives) {
    struct trial trial = {0};
    const uint64_t hertz = rte_get_tsc_hz(), start = rte_rdtsc();
    const uint64_t end = start + (uint64_t)(seconds * (double)hertz);
    const double per_clock = rate / (double)hertz;
    const uint64_t catch_up = RTE_MAX((uint64_t)(rate / CATCH_UP_PER_SECOND), (uint64_t)BURST);
    uint64_t accounted = 0, before = start, now;
    while ((now = rte_rdtsc()) < end) {
        if (now - before > trial.longest_pause) trial.longest_pause = now - before;
        before = now;
        uint64_t owed = BURST;
        if (rate > 0) {
            owed = (uint64_t)((double)(now - start) * per_clock) - accounted;
            if (owed > catch_up) {
                trial.forfeited += owed - catch_up;
                accounted += owed - catch_up;
                owed = catch_up;
            }
        }
        if (owed > 0) {
            const unsigned count = (unsigned)RTE_MIN(owed, (uint64_t)BURST);
            const uint16_t taken = send_burst(count);
            trial.refused += count - taken;
            accounted += count;
        }
        if (receives) receive_burst();
    }
    trial.clocks = rte_rdtsc() - start;
    return trial;
}

static void wait_for_quiet(bool receives) {
    const uint64_t quiet = rte_get_tsc_hz() / 1000 * QUIET_MILLISECONDS;
    last_arrival = rte_rdtsc();
    for (;;) {
        if (receives && receive_burst() > 0) continue;
        const uint64_t arrival = last_arrival, now = rte_rdtsc();
        if (now > arrival && now - arrival > quiet) return;
    }
}

static void run_trial(double rate, double seconds) {
    if (frame_count == 0) fail("nothing is loaded");
    const unsigned other = rte_get_next_lcore(-1, 1, 0);
    const bool alone = other == RTE_MAX_LCORE;
    struct rte_eth_stats before[PORTS], after[PORTS];
    for (uint16_t port = 0; port < PORTS; port++) rte_eth_stats_get(port, &before[port]);
    receiving = true;
    if (!alone) rte_eal_remote_launch(receive_until_told, NULL, other);
    const struct trial trial = send_at(rate, seconds, alone);
    wait_for_quiet(alone);
    receiving = false;
    if (!alone) rte_eal_wait_lcore(other);
    for (uint16_t port = 0; port < PORTS; port++) rte_eth_stats_get(port, &after[port]);
    const double hertz = (double)rte_get_tsc_hz();
    printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"missed\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"forfeited\": %" PRIu64 ", \"seconds\": %.6f, \"longestPauseMicroseconds\": %.0f}\n",
           after[TRANSMIT].opackets - before[TRANSMIT].opackets, after[RECEIVE].ipackets - before[RECEIVE].ipackets,
           after[RECEIVE].imissed - before[RECEIVE].imissed, trial.refused, trial.forfeited,
           (double)trial.clocks / hertz, (double)trial.longest_pause / hertz * 1e6);
}

/* Makes an mbuf of every packet of a capture: little-endian, microseconds, as captures.py writes it. */
static void load(const char *path) {
    for (unsigned i = 0; i < frame_count; i++) rte_pktmbuf_free(frames[i]);
    frame_count = next_frame = 0;
    FILE *file = fopen(path, "rb");
    uint32_t header[6], record[4];
    if (file == NULL || fread(header, sizeof header, 1, file) != 1 || header[0] != 0xA1B2C3D4) fail("no capture");
    while (frame_count < FRAMES && fread(record, sizeof record, 1, file) == 1) {
        struct rte_mbuf *frame = rte_pktmbuf_alloc(frame_pool);
        char *bytes = frame == NULL ? NULL : rte_pktmbuf_append(frame, (uint16_t)record[2]);
        if (bytes == NULL || fread(bytes, record[2], 1, file) != 1) fail("a packet of the capture does not fit");
        frames[frame_count++] = frame;
    }
    fclose(file);
    printf("{\"frames\": %u}\n", frame_count);
}

static void print_links(void) {
    struct rte_eth_link links[PORTS] = {0};
    for (uint16_t port = 0; port < PORTS; port++) rte_eth_link_get_nowait(port, &links[port]);
    printf("{\"up\": [%d, %d], \"megabits\": [%u, %u]}\n", links[TRANSMIT].link_status, links[RECEIVE].link_status,
           links[TRANSMIT].link_speed, links[RECEIVE].link_speed);
}

int main(int count, char **arguments) {
    if (rte_eal_init(count, arguments) < 0) fail("EAL does not start");
    if (rte_eth_dev_count_avail() != PORTS) fail("two ports are needed");
    frame_pool = rte_pktmbuf_pool_create("frames", FRAMES, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    receive_pool = rte_pktmbuf_pool_create("received", 16383, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (frame_pool == NULL || receive_pool == NULL) fail("no memory for frames");
    /* The sink first: when the ports are connected with one another, the receiving one is who waits to be called. */
    start_port(RECEIVE);
    start_port(TRANSMIT);
    char line[4096], path[4096];
    double rate, seconds;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "trial %lf %lf", &rate, &seconds) == 2) run_trial(rate, seconds);
        else if (sscanf(line, "load %4095s", path) == 1) load(path);
        else if (strncmp(line, "link", 4) == 0) print_links();
        else fail("an unknown command");
    }
    rte_eth_dev_stop(TRANSMIT);
    rte_eth_dev_stop(RECEIVE);
    return rte_eal_cleanup() == 0 ? 0 : 1;
}
