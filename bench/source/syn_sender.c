/*
 * Sends first SYNs of ever other clients out of an interface, as fast as it can or at a rate, until it is killed.
 *
 *   syn_sender INTERFACE DESTINATION-MAC SOURCE-MAC SERVER PORT RATE
 *
 * RATE is in frames a second, 0 for as many as go. The frames lie in a ring that the kernel reads (packet(7),
 * PACKET_TX_RING) and pass no queueing discipline, so that the sender's CPU does little else than the interface's own
 * work. They are what Linux sends: MSS, SACK permitted, timestamps, window scale.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

enum { FRAMES = 4096, PLACE = 128, FRAME = 74, BATCH = 32 };

static void fail(const char *what) {
    fprintf(stderr, "syn_sender: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t random64(void) {
    static uint64_t state = 20261122;
    uint64_t mixed = state += 0x9E3779B97F4A7C15;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    return mixed ^ mixed >> 31;
}

static uint16_t checksum(const uint8_t *bytes, size_t count, uint32_t sum) {
    for (size_t i = 0; i < count; i += 2) sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void mac(uint8_t *place, const char *text) {
    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", place, place + 1, place + 2, place + 3, place + 4, place + 5) != 6)
        fail("an Ethernet address is expected");
}

/* A client of 10.0.0.0/8, its port, its number and its clock. */
static void fill(uint8_t *frame) {
    uint8_t *network = frame + 14, *tcp = frame + 34;
    uint32_t client = htonl(0x0A000001 | (uint32_t)(random64() & 0xFFFFFE)), number = (uint32_t)random64();
    uint16_t port = htons(1024 + (uint16_t)(random64() % 60000));
    memcpy(network + 12, &client, 4);
    memcpy(tcp, &port, 2);
    memcpy(tcp + 4, &number, 4);
    number = (uint32_t)random64();
    memcpy(tcp + 28, &number, 4);
    memset(network + 10, 0, 2);
    memset(tcp + 16, 0, 2);
    uint16_t sum = checksum(network, 20, 0);
    memcpy(network + 10, &sum, 2);
    sum = checksum(network + 12, 48, 6 + 40);
    memcpy(tcp + 16, &sum, 2);
}

static uint8_t *ring_of(int wire, const char *interface) {
    const int on = 1, version = TPACKET_V2;
    const struct tpacket_req shape = {.tp_block_size = 1 << 16, .tp_block_nr = FRAMES * PLACE >> 16,
                                      .tp_frame_size = PLACE, .tp_frame_nr = FRAMES};
    if (setsockopt(wire, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
        setsockopt(wire, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) ||
        setsockopt(wire, SOL_PACKET, PACKET_TX_RING, &shape, sizeof shape))
        fail("no ring");
    uint8_t *ring = mmap(NULL, FRAMES * PLACE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, wire, 0);
    const struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(interface)};
    if (ring == MAP_FAILED || bind(wire, (const struct sockaddr *)&to, sizeof to)) fail(interface);
    return ring;
}

/* Hands the kernel what is ready. */
static void push(int wire) {
    if (send(wire, NULL, 0, MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != ENOBUFS) fail("send");
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **words) {
    if (count != 7) {
        fprintf(stderr, "syn_sender INTERFACE DESTINATION-MAC SOURCE-MAC SERVER PORT RATE\n");
        return 2;
    }
    uint8_t frame[FRAME] = {
        [12] = 8, [14] = 0x45, [17] = 60, [20] = 0x40, [22] = 64, [23] = 6, [46] = 0xA0, [47] = 2, [48] = 0xFA, [49] = 0xF0,
        [54] = 2, 4, 5, 0xB4, 4, 2, 8, 10, [70] = 1, 3, 3, 7};
    mac(frame, words[2]);
    mac(frame + 6, words[3]);
    if (inet_pton(AF_INET, words[4], frame + 30) != 1) fail(words[4]);
    const uint16_t port = htons((uint16_t)atoi(words[5]));
    memcpy(frame + 36, &port, 2);
    const double rate = atof(words[6]);

    const int wire = socket(AF_PACKET, SOCK_RAW, 0);
    if (wire < 0) fail("no socket");
    uint8_t *ring = ring_of(wire, words[1]);
    for (unsigned place = 0; place < FRAMES; place++) {
        struct tpacket2_hdr *header = (struct tpacket2_hdr *)(ring + place * PLACE);
        fill(frame);
        memcpy((uint8_t *)header + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), frame, FRAME);
        header->tp_len = FRAME;
    }
    double start = now();
    uint64_t sent = 0;
    for (unsigned place = 0;; place = (place + BATCH) % FRAMES) {
        while (rate > 0 && (double)sent > (now() - start) * rate) {}
        for (unsigned i = place; i < place + BATCH; i++) {
            volatile struct tpacket2_hdr *header = (struct tpacket2_hdr *)(ring + i * PLACE);
            /* The last one of this place may still be under way, or not have been taken. */
            while (header->tp_status != TP_STATUS_AVAILABLE) push(wire);
            header->tp_status = TP_STATUS_SEND_REQUEST;
        }
        push(wire);
        sent += BATCH;
    }
}
