/*
 * DPDK's telemetry: commands of our own for dpdk-telemetry.py. Only set-up and a thread of DPDK's come here.
 */
#ifndef SHIM_TELEMETRY_H
#define SHIM_TELEMETRY_H

#include <rte_telemetry.h>

/* Answers a command: fills `data`, which must be begun by one of the functions below. `parameters` may be null. */
typedef int (*shim_telemetry_answer)(const char *_Nonnull command, const char *_Nullable parameters,
                                     struct rte_tel_data *_Nonnull data);

/* 0, or a negative errno. */
static inline int shim_telemetry_register(const char *_Nonnull command, shim_telemetry_answer _Nonnull answer,
                                          const char *_Nonnull help) {
    return rte_telemetry_register_cmd(command, answer, help);
}

static inline void shim_telemetry_begin_dictionary(struct rte_tel_data *_Nonnull data) { rte_tel_data_start_dict(data); }
static inline void shim_telemetry_add_number(struct rte_tel_data *_Nonnull data, const char *_Nonnull name,
                                             uint64_t value) {
    rte_tel_data_add_dict_u64(data, name, value);
}
static inline void shim_telemetry_add_text(struct rte_tel_data *_Nonnull data, const char *_Nonnull name,
                                           const char *_Nonnull value) {
    rte_tel_data_add_dict_string(data, name, value);
}

/* An empty one to fill, or null when there is no memory. DPDK frees it with what it is put into. */
static inline struct rte_tel_data *_Nullable shim_telemetry_make(void) { return rte_tel_data_alloc(); }
/* Puts one dictionary into another. 0, or a negative errno: it is full, or takes no such name. */
static inline int shim_telemetry_put(struct rte_tel_data *_Nonnull data, const char *_Nonnull name,
                                     struct rte_tel_data *_Nonnull entry) {
    return rte_tel_data_add_dict_container(data, name, entry, 0);
}
static inline void shim_telemetry_free(struct rte_tel_data *_Nonnull data) { rte_tel_data_free(data); }

#endif
