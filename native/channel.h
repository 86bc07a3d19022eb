/*
 * What store.c and channel.c share: the structs behind the handles of store.h, and changes that take a
 * prepared key.
 */
#ifndef NX_CHANNEL_H
#define NX_CHANNEL_H
#include "effects.h"
#include "expiry.h"
#include "record.h"
#include "slab.h"
#include "store.h"
#include "table.h"

struct nx_channel {
  nx_store *store;
  uint64_t id; /* creation order; never reused */
  nx_table table;
  nx_expiry expiry;
  uint64_t key_bytes;
  uint64_t value_bytes;
  uint64_t swarm_records;
  uint64_t swarm_value_bytes;
  void *attachment; /* of a protocol engine */
  void *mirrors;    /* of the neo protocol's */
  nx_channel *next_removed;
  nx_channel *next_expiring, *previous_expiring; /* ring of the channels that have expiring records */
  uint32_t name_length;
  uint8_t name[NX_CHANNEL_NAME_BYTES_MAX];
};

struct nx_store {
  nx_slab slab;
  nx_seed seed;
  nx_table names;        /* channel name -> address of the channel */
  nx_channel **channels; /* by id */
  uint32_t channel_count, channel_capacity;
  nx_channel *expiring; /* whose turn it is in the ring of channels that have expiring records */
  uint32_t expiring_count;
  uint64_t last_id;
  nx_channel *removed; /* channels whose records are still to be freed */
  uint64_t swarm_records, swarm_value_bytes; /* of all channels */
  uint32_t observer_count;
  struct {
    nx_observer_fn fn;
    void *context;
  } observers[NX_OBSERVERS_MAX];
  nx_buffer effects[2];
  uint32_t effects_current;
  bool is_logging, logs_removals;
  nx_store_stats stats;
};

/* These do what the functions of store.h do, but take no time: whether a record has expired does not matter.
 * `force` passes the memory limit. */
int nx_channel_put_key(nx_channel *channel, const nx_key *key, nx_slice value, int64_t expires_at_ms,
                       bool force);
int nx_channel_patch_key(nx_channel *channel, const nx_key *key, uint64_t offset, nx_slice bytes,
                         uint64_t *length_after, bool force);
bool nx_channel_remove_key(nx_channel *channel, const nx_key *key);
bool nx_channel_expire_key(nx_channel *channel, const nx_key *key, int64_t expires_at_ms);
/* Removes a record that the expiry heap found due. */
void nx_channel_remove_due(nx_channel *channel, nx_rec *rec);

/* Frees some records of removed channels; returns the steps taken, 0 when there is nothing to free. */
uint32_t nx_store_reclaim(nx_store *store, uint32_t steps_max);

/* Enters and leaves the ring of channels that have expiring records. */
void nx_store_ring_add(nx_channel *channel);
void nx_store_ring_remove(nx_channel *channel);

void nx_store_log(nx_store *store, const nx_effect *effect);
void nx_store_tell(nx_store *store, nx_channel *channel, nx_change change, nx_slice key);

#endif
