/*
 * The peer of `baton-bench table`: DPDK's own hash, with the same keys in the same order.
 *
 * rte_hash as a forwarder with one writer and lock-free readers uses it, looked up in bursts of 32. Prints one line of
 * JSON: TSC clocks for each find (median over samples), insert and delete (mean of the best pass over all keys).
 *
 *   rte_hash_bench EAL... -- KEYS 4|6 SECONDS
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>

#define BURST 32
/* Lookups between two readings of the clock. */
#define SAMPLE 8192

/* The 5-tuple without its protocol, and the VLAN, as in Baton's FlowKey. */
struct key4 {
    uint32_t client, server;
    uint16_t client_port, server_port, vlan, padding;
};
struct key6 {
    uint64_t client[2], server[2];
    uint16_t client_port, server_port, vlan, padding;
};

static uint64_t random_state = 1;

/* splitmix64, as in baton-bench/FlowNumbers.swift. */
static uint64_t mixed(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}
static uint64_t next_random(void) { return mixed(random_state += 0x9E3779B97F4A7C15ull); }

static size_t key_size;
static long count;
static char *in_order, *shuffled;
static struct rte_hash *table;

static void make_key(char *place, long index, uint64_t random, int version) {
    uint16_t client_port = (uint16_t)(random >> 16);
    uint32_t server = (uint32_t)(random & 0xFF);
    if (version == 4) {
        struct key4 key = {(uint32_t)index * 2654435761u + 12345u, 0xC6120000u | server, client_port, 80, 0, 0};
        memcpy(place, &key, sizeof key);
    } else {
        struct key6 key = {{0x20010DB800010000ull, mixed((uint64_t)index)},
                           {0x20010DB800020000ull, server}, client_port, 80, 0, 0};
        memcpy(place, &key, sizeof key);
    }
}

static void make_keys(int version) {
    in_order = rte_malloc(NULL, key_size * (size_t)count, 64);
    shuffled = rte_malloc(NULL, key_size * (size_t)count, 64);
    if (in_order == NULL || shuffled == NULL)
        rte_exit(EXIT_FAILURE, "no memory for %ld keys\n", count);
    for (long index = 0; index < count; index++)
        make_key(in_order + (size_t)index * key_size, index, next_random(), version);
    memcpy(shuffled, in_order, key_size * (size_t)count);
    for (long last = count - 1; last > 0; last--) {
        char saved[sizeof(struct key6)];
        char *one = shuffled + (size_t)last * key_size;
        char *other = shuffled + (size_t)(next_random() % (uint64_t)(last + 1)) * key_size;
        memcpy(saved, one, key_size);
        memmove(one, other, key_size);
        memcpy(other, saved, key_size);
    }
}

/* Looks a burst up, which brings its memory: Baton does the same before it inserts and removes. */
static uint64_t look_up(const char *first, long length) {
    const void *keys[BURST];
    void *data[BURST];
    uint64_t hits = 0;
    for (long index = 0; index < length; index++)
        keys[index] = first + (size_t)index * key_size;
    rte_hash_lookup_bulk_data(table, keys, (uint32_t)length, &hits, data);
    return hits;
}

/* `burst`: with a lookup of each 32 keys before. The better of the two ways counts. */
static double insert_all(bool burst) {
    uint64_t start = rte_rdtsc(), hits = 0;
    for (long index = 0; index < count; index++) {
        if (burst && index % BURST == 0)
            hits += look_up(in_order + (size_t)index * key_size, RTE_MIN(BURST, count - index));
        if (rte_hash_add_key_data(table, in_order + (size_t)index * key_size, (void *)(uintptr_t)(index + 1)) != 0)
            rte_exit(EXIT_FAILURE, "key %ld of %ld does not fit (%lu)\n", index, count, hits);
    }
    return (double)(rte_rdtsc() - start) / (double)count;
}

/* With lock-free readers a deleted key's place is given back by a second call. */
static double delete_all(bool burst) {
    uint64_t start = rte_rdtsc(), hits = 0;
    for (long index = 0; index < count; index++) {
        if (burst && index % BURST == 0)
            hits += look_up(shuffled + (size_t)index * key_size, RTE_MIN(BURST, count - index));
        int32_t position = rte_hash_del_key(table, shuffled + (size_t)index * key_size);
        if (position < 0 || rte_hash_free_key_with_position(table, position) != 0)
            rte_exit(EXIT_FAILURE, "key %ld cannot be deleted (%lu)\n", index, hits);
    }
    return (double)(rte_rdtsc() - start) / (double)count;
}

static uint64_t found, sum;

static uint64_t find_sample(long *first) {
    const void *keys[BURST];
    void *data[BURST];
    uint32_t length = count < BURST ? (uint32_t)count : BURST;
    uint64_t start = rte_rdtsc();
    for (int left = SAMPLE; left > 0; left -= BURST) {
        if (*first + BURST > count)
            *first = 0;
        for (uint32_t index = 0; index < length; index++)
            keys[index] = shuffled + (size_t)(*first + index) * key_size;
        /* The next burst's keys: a worker's come from packets, which it has asked for in time. */
        const char *next = shuffled + (size_t)(*first + BURST) * key_size;
        for (size_t offset = 0; offset < BURST * key_size; offset += 64)
            rte_prefetch0(next + offset);
        uint64_t hits = 0;
        rte_hash_lookup_bulk_data(table, keys, length, &hits, data);
        for (uint32_t index = 0; index < length; index++) {
            if (hits & (1ull << index)) {
                found++;
                sum += (uintptr_t)data[index];
            }
        }
        *first += BURST;
    }
    return rte_rdtsc() - start;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    int used = rte_eal_init(argc, argv);
    if (used < 0 || argc - used < 4)
        rte_exit(EXIT_FAILURE, "usage: rte_hash_bench EAL... -- KEYS 4|6 SECONDS\n");
    count = atol(argv[used + 1]);
    int version = atoi(argv[used + 2]);
    double seconds = atof(argv[used + 3]);
    key_size = version == 4 ? sizeof(struct key4) : sizeof(struct key6);

    struct rte_malloc_socket_stats before, after;
    rte_malloc_get_socket_stats((int)rte_socket_id(), &before);
    struct rte_hash_parameters parameters = {
        .name = "bench",
        .entries = (uint32_t)(count < 64 ? 64 : count),
        .key_len = (uint32_t)key_size,
        .hash_func = rte_hash_crc,
        .socket_id = (int)rte_socket_id(),
        .extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
    };
    table = rte_hash_create(&parameters);
    if (table == NULL)
        rte_exit(EXIT_FAILURE, "no table of %ld: %s\n", count, rte_strerror(rte_errno));
    rte_malloc_get_socket_stats((int)rte_socket_id(), &after);
    make_keys(version);

    long passes = 1000000 / count;
    passes = passes < 4 ? 4 : passes > 50 ? 50 : passes;
    double best_insert = 1e18, best_delete = 1e18;
    for (long pass = 0; pass < passes; pass++) {
        if (pass > 0)
            best_delete = RTE_MIN(best_delete, delete_all(pass & 1));
        best_insert = RTE_MIN(best_insert, insert_all(pass & 1));
    }
    size_t capacity = 1000000, samples = 0;
    double *clocks = malloc(capacity * sizeof *clocks);
    uint64_t end = rte_rdtsc() + (uint64_t)(seconds * (double)rte_get_tsc_hz()), lookups = 0;
    long first = 0, done = 0;
    /* At least one pass over all keys, and one more to warm up. */
    while (rte_rdtsc() < end || done < 2 * count) {
        double sample = (double)find_sample(&first) / SAMPLE;
        done += SAMPLE;
        lookups += SAMPLE;
        if (done > count && samples < capacity)
            clocks[samples++] = sample;
    }
    if (found != lookups)
        rte_exit(EXIT_FAILURE, "%lu of %lu found (%lu)\n", found, lookups, sum);
    qsort(clocks, samples, sizeof *clocks, compare);
    best_delete = RTE_MIN(best_delete, delete_all(false));
    printf("{\"keys\": %ld, \"lookups\": %lu, \"found\": %lu, \"find\": %.3f, \"insert\": %.3f, \"delete\": %.3f, "
           "\"bytesPerKey\": %.1f}\n",
           count, lookups, found, clocks[samples / 2], best_insert, best_delete,
           (double)(after.heap_allocsz_bytes - before.heap_allocsz_bytes) / (double)count);
    return 0;
}
