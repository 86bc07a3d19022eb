/*
 * The requests of a dht node, what their files share. Arrows run one way: dht.c → get-all.c, mirror.c, hash-range.c.
 *
 * Codes, all of version 0, and what follows code and version (array: u64 length and its bytes):
 *
 *    1 GetHashRange   nothing                                    6 GetChannels    nothing
 *    2 Put            channel, u64 key, array value              7 Exists         channel, u64 key
 *    3 Get            channel, u64 key                           8 Remove         channel, u64 key
 *    4 Mirror         bool suspended, channel, bool refresh,     9 RemoveChannel  channel
 *                     u32 refresh period in seconds             10 Update         u8 1, channel, u64 key
 *    5 GetAll         bool suspended, channel, bool continuing,                   u8 2, channel, u64 key, u64 hash,
 *                     u64 last key, bool keys only, array filter                       array value
 *
 * Records are the swarm's: a key of 16 hex digits, a value that is not empty.
 */
#ifndef NX_NEO_DHT_H
#define NX_NEO_DHT_H
#include "service.h"

enum {
  NX_NEO_GET_HASH_RANGE = 1,
  NX_NEO_PUT = 2,
  NX_NEO_GET = 3,
  NX_NEO_MIRROR = 4,
  NX_NEO_GET_ALL = 5,
  NX_NEO_GET_CHANNELS = 6,
  NX_NEO_EXISTS = 7,
  NX_NEO_REMOVE = 8,
  NX_NEO_REMOVE_CHANNEL = 9,
  NX_NEO_UPDATE = 10,
};

/* The longest value that clients of this protocol send: 65536 less key and length. */
#define NX_NEO_VALUE_BYTES_MAX 65512u

/* Something that clients who asked for the range are told. */
typedef struct {
  uint32_t address; /* 0: the node's own range */
  uint16_t port;
  uint64_t min, max;
} nx_neo_range_event;

typedef struct {
  uint64_t range_min, range_max;
  nx_arrival arrival;
  bool is_refusing;
  nx_buffer range_events; /* of nx_neo_range_event */
  nx_buffer content;      /* of the batch being made */
  nx_buffer bucket;       /* records of the bucket being sent, in the order of scans */
  nx_lzo_table table;
} nx_neo_dht;

static inline bool nx_neo_owns(nx_neo *engine, uint64_t key) {
  const nx_neo_dht *dht = nx_neo_context(engine);
  return nx_neo_setting(engine, NX_NEO_OWNERSHIP_CHECKED) == 0 ||
         nx_is_in_range(key, dht->range_min, dht->range_max);
}

/* What clients of GetAll and Mirror send to control them, and are answered. */
enum { NX_NEO_SUSPEND = 1, NX_NEO_RESUME = 2, NX_NEO_STOP = 3, NX_NEO_ACK = 4, NX_NEO_STARTED = 5 };

/* get-all.c */
nx_neo_outcome nx_neo_get_all_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload);
nx_neo_outcome nx_neo_get_all_message(nx_neo *engine, nx_neo_request *request, nx_slice payload);
nx_neo_outcome nx_neo_get_all_pump(nx_neo *engine, nx_neo_request *request);
bool nx_neo_get_all_waits(const nx_neo_request *request);

/* mirror.c */
nx_neo_outcome nx_neo_mirror_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload);
nx_neo_outcome nx_neo_mirror_message(nx_neo *engine, nx_neo_request *request, nx_slice payload);
nx_neo_outcome nx_neo_mirror_pump(nx_neo *engine, nx_neo_request *request);
bool nx_neo_mirror_waits(const nx_neo_request *request, int64_t now_ms);
void nx_neo_mirror_drop(nx_neo_request *request);
void nx_neo_mirror_observe(void *context, nx_channel *channel, nx_change change, nx_slice key);

/* hash-range.c */
nx_neo_outcome nx_neo_hash_range_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id);
nx_neo_outcome nx_neo_hash_range_pump(nx_neo *engine, nx_neo_request *request);
bool nx_neo_hash_range_waits(const nx_neo_request *request);

/* update.c */
nx_neo_outcome nx_neo_update_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload);
nx_neo_outcome nx_neo_update_message(nx_neo *engine, nx_neo_request *request, nx_slice payload);

/* Stores a record of a channel that may have to be made; false when that is refused for whatever reason. */
bool nx_neo_store_record(nx_neo *engine, nx_slice channel, uint64_t key, nx_slice value);
/* The record of a key; false when there is none. */
bool nx_neo_find_record(nx_neo *engine, nx_channel *channel, uint64_t key, nx_record *record);

#endif
