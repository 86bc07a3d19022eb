/*
 * The store: its channels by name, the effects, background work, replay and export.
 *
 * Invariant: `channels` is ordered by id, and ids are never reused, so an export that stops at a channel
 * finds its place again whatever channels come and go. A crash loses what is here: the effects that the
 * caller made durable are replayed into an empty store.
 */
#include "store.h"

#include <errno.h>
#include <sys/random.h>

#include "channel.h"
#include "nx.h"

#define EXPORT_BUCKETS_MAX 4096u
#define EFFECTS_KEEP_BYTES (4u << 20) /* what a burst leaves behind in an effects buffer */

nx_store *nx_store_new_seeded(uint64_t memory_bytes_max, uint64_t seed_low, uint64_t seed_high) {
  nx_store *store = __builtin_calloc(1, sizeof *store);
  NX_ASSERT(store != NULL);
  store->seed = (nx_seed){seed_low, seed_high};
  nx_slab_init(&store->slab, memory_bytes_max);
  NX_ASSERT(nx_table_init(&store->names, &store->slab, store->seed, true));
  return store;
}

nx_store *nx_store_new(uint64_t memory_bytes_max) {
  uint64_t seed[2];
  NX_ASSERT(getrandom(seed, sizeof seed, 0) == sizeof seed);
  return nx_store_new_seeded(memory_bytes_max, seed[0], seed[1]);
}

void nx_store_free(nx_store *store) {
  nx_slab_destroy(&store->slab);
  nx_buffer_free(&store->effects[0]);
  nx_buffer_free(&store->effects[1]);
  __builtin_free(store);
}

void nx_store_memory_limit(nx_store *store, uint64_t memory_bytes_max) {
  store->slab.memory_bytes_max = memory_bytes_max;
}

void nx_store_observe(nx_store *store, nx_observer_fn fn, void *context) {
  NX_ASSERT(store->observer_count < NX_OBSERVERS_MAX);
  store->observers[store->observer_count].fn = fn;
  store->observers[store->observer_count].context = context;
  store->observer_count += 1;
}

void nx_store_unobserve(nx_store *store, nx_observer_fn fn, void *context) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < store->observer_count; i++) {
    if (store->observers[i].fn == fn && store->observers[i].context == context) continue;
    store->observers[kept++] = store->observers[i];
  }
  NX_ASSERT(kept + 1 == store->observer_count);
  store->observer_count = kept;
}

void nx_store_tell(nx_store *store, nx_channel *channel, nx_change change, nx_slice key) {
  for (uint32_t i = 0; i < store->observer_count; i++)
    store->observers[i].fn(store->observers[i].context, channel, change, key);
}

void nx_store_logging(nx_store *store, bool on) { store->is_logging = on; }
void nx_store_log_removals(nx_store *store, bool on) { store->logs_removals = on; }
nx_buffer *nx_store_effects(nx_store *store) { return &store->effects[store->effects_current]; }

nx_buffer *nx_store_effects_swap(nx_store *store) {
  nx_buffer *full = nx_store_effects(store);
  store->effects_current ^= 1;
  nx_store_effects(store)->length = 0;
  nx_buffer_trim(nx_store_effects(store), EFFECTS_KEEP_BYTES);
  return full;
}

void nx_store_log(nx_store *store, const nx_effect *effect) {
  bool is_removal = effect->operation == NX_EFFECT_CHANNEL_REMOVE;
  if (store->is_logging || (store->logs_removals && is_removal))
    nx_effect_append(nx_store_effects(store), effect);
}

/* --- channels ------------------------------------------------------------------------------------------- */

bool nx_channel_name_valid(nx_slice name) {
  if (name.length == 0 || name.length > NX_CHANNEL_NAME_BYTES_MAX) return false;
  for (uint64_t i = 0; i < name.length; i++) {
    uint8_t c = name.data[i], letter = c | 0x20;
    if (!((letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) return false;
  }
  return true;
}

static bool reserve_channel_slot(nx_store *store, bool force) {
  if (store->channel_count < store->channel_capacity) return true;
  NX_ASSERT(store->channel_count < UINT32_MAX / 2);
  uint32_t capacity = store->channel_capacity == 0 ? 16 : store->channel_capacity * 2;
  nx_channel **channels = nx_slab_alloc(&store->slab, capacity * sizeof *channels, force);
  if (channels == NULL) return false;
  nx_copy(channels, store->channels, store->channel_count * sizeof *channels);
  if (store->channels != NULL)
    nx_slab_free(&store->slab, store->channels, store->channel_capacity * sizeof *channels);
  store->channels = channels;
  store->channel_capacity = capacity;
  return true;
}

/* Enters `name` -> address into the names table, as a record whose value is the address. */
static bool enter_name(nx_store *store, const nx_key *key, nx_channel *channel, bool force) {
  if (!nx_table_reserve(&store->names, key->hash, force)) return false;
  nx_rec *rec = nx_slab_alloc(&store->slab, nx_rec_bytes_for(key->length, sizeof channel, false), force);
  if (rec == NULL) return false;
  nx_rec_set_header(rec, key->length, sizeof channel, key->is_compact, false);
  memcpy(rec + nx_rec_key_offset(false), key->data, key->length);
  memcpy(nx_rec_value(rec), &channel, sizeof channel);
  nx_table_insert(&store->names, key->hash, rec);
  return true;
}

static nx_channel *channel_create(nx_store *store, nx_slice name, const nx_key *key, bool force) {
  if (!nx_channel_name_valid(name) || !reserve_channel_slot(store, force)) return NULL;
  nx_channel *channel = nx_slab_alloc(&store->slab, sizeof *channel, force);
  if (channel == NULL) return NULL;
  *channel = (nx_channel){.store = store, .id = store->last_id + 1, .name_length = (uint32_t)name.length};
  memcpy(channel->name, name.data, name.length);
  nx_expiry_init(&channel->expiry);
  bool has_table = nx_table_init(&channel->table, &store->slab, store->seed, force);
  if (!has_table || !enter_name(store, key, channel, force)) {
    if (has_table) nx_table_free(&channel->table);
    nx_slab_free(&store->slab, channel, sizeof *channel);
    return NULL;
  }
  store->last_id += 1;
  store->channels[store->channel_count++] = channel;
  return channel;
}

static nx_channel *find_or_create(nx_store *store, nx_slice name, bool create, bool force) {
  if (name.length == 0 || name.length > NX_CHANNEL_NAME_BYTES_MAX) return NULL;
  nx_key key;
  nx_key_make(&key, name, store->seed);
  nx_place place = nx_table_find(&store->names, &key);
  if (place.bucket == NULL) return create ? channel_create(store, name, &key, force) : NULL;
  nx_channel *channel;
  memcpy(&channel, nx_rec_value(nx_table_at(place)), sizeof channel);
  return channel;
}

nx_channel *nx_store_channel(nx_store *store, nx_slice name, bool create) {
  return find_or_create(store, name, create, false);
}

/* Index of the first channel with this id or a later one. */
static uint32_t index_from_id(const nx_store *store, uint64_t id) {
  uint32_t low = 0, high = store->channel_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (store->channels[middle]->id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

void nx_store_channel_remove(nx_store *store, nx_channel *channel) {
  nx_store_tell(store, channel, NX_CHANGE_CHANNEL, (nx_slice){NULL, 0});
  NX_ASSERT(channel->attachment == NULL && channel->mirrors == NULL);
  nx_effect effect = {.operation = NX_EFFECT_CHANNEL_REMOVE, .name = nx_channel_name(channel)};
  nx_store_log(store, &effect);
  if (channel->expiry.count != 0) nx_store_ring_remove(channel);
  nx_key key;
  nx_key_make(&key, nx_channel_name(channel), store->seed);
  nx_place place = nx_table_find(&store->names, &key);
  NX_ASSERT(place.bucket != NULL);
  nx_rec *name = nx_table_at(place);
  nx_table_remove(&store->names, key.hash, place);
  nx_slab_free(&store->slab, name, nx_rec_bytes(name));

  uint32_t index = index_from_id(store, channel->id);
  NX_ASSERT(index < store->channel_count && store->channels[index] == channel);
  nx_channel **at = &store->channels[index];
  store->channel_count -= 1;
  memmove(at, at + 1, (store->channel_count - index) * sizeof *at);

  store->stats.records -= channel->table.records;
  store->stats.key_bytes -= channel->key_bytes;
  store->stats.value_bytes -= channel->value_bytes;
  store->stats.expiring -= channel->expiry.count;
  store->swarm_records -= channel->swarm_records;
  store->swarm_value_bytes -= channel->swarm_value_bytes;
  channel->next_removed = store->removed;
  store->removed = channel;
}

uint64_t nx_store_swarm_records(const nx_store *store) { return store->swarm_records; }
uint64_t nx_store_swarm_value_bytes(const nx_store *store) { return store->swarm_value_bytes; }

uint32_t nx_store_channel_count(const nx_store *store) { return store->channel_count; }

nx_channel *nx_store_channel_at(nx_store *store, uint32_t index) {
  NX_ASSERT(index < store->channel_count);
  return store->channels[index];
}

/* --- background work ------------------------------------------------------------------------------------ */

static void free_record(void *context, nx_rec *rec) { nx_slab_free(context, rec, nx_rec_bytes(rec)); }

uint32_t nx_store_reclaim(nx_store *store, uint32_t steps_max) {
  uint32_t steps = 0;
  while (store->removed != NULL && steps < steps_max) {
    nx_channel *channel = store->removed;
    if (channel->expiry.entries.capacity != 0) nx_expiry_free(&channel->expiry, &store->slab);
    steps += 1 + nx_table_drain(&channel->table, free_record, &store->slab);
    if (channel->table.records == 0) {
      store->removed = channel->next_removed;
      nx_table_free(&channel->table);
      nx_slab_free(&store->slab, channel, sizeof *channel);
    }
  }
  return steps;
}

static uint32_t expire_channel(nx_channel *channel, int64_t now_ms, uint32_t steps_max) {
  uint32_t steps = 0;
  nx_rec *due;
  for (; steps < steps_max; steps++) {
    nx_expiry_step step = nx_expiry_next(&channel->expiry, now_ms, &due);
    if (step == NX_EXPIRY_NOTHING) break;
    if (step == NX_EXPIRY_DUE) nx_channel_remove_due(channel, due);
  }
  return steps;
}

void nx_store_ring_add(nx_channel *channel) {
  nx_store *store = channel->store;
  nx_channel *next = store->expiring == NULL ? channel : store->expiring;
  nx_channel *previous = store->expiring == NULL ? channel : next->previous_expiring;
  channel->next_expiring = next;
  channel->previous_expiring = previous;
  next->previous_expiring = channel;
  previous->next_expiring = channel;
  store->expiring = next;
  store->expiring_count += 1;
}

void nx_store_ring_remove(nx_channel *channel) {
  nx_store *store = channel->store;
  channel->previous_expiring->next_expiring = channel->next_expiring;
  channel->next_expiring->previous_expiring = channel->previous_expiring;
  store->expiring_count -= 1;
  if (store->expiring == channel)
    store->expiring = store->expiring_count == 0 ? NULL : channel->next_expiring;
}

uint32_t nx_store_tick(nx_store *store, int64_t now_ms, uint32_t steps_max) {
  uint32_t steps = nx_store_reclaim(store, steps_max);
  for (uint32_t turns = store->expiring_count; turns != 0 && steps < steps_max; turns--) {
    nx_channel *channel = store->expiring;
    store->expiring = channel->next_expiring;
    steps += expire_channel(channel, now_ms, steps_max - steps);
  }
  return steps;
}

void nx_store_stats_read(const nx_store *store, nx_store_stats *out) {
  *out = store->stats;
  out->memory_bytes = store->slab.memory_bytes;
  out->memory_peak_bytes = store->slab.memory_peak_bytes;
}

/* --- replay and export ---------------------------------------------------------------------------------- */

static void key_from_effect(nx_key *key, const nx_effect *effect, nx_seed seed) {
  if (!effect->is_key_compact) {
    nx_key_make(key, effect->key, seed);
    return;
  }
  *key = (nx_key){.data = effect->key.data, .length = 8, .is_compact = true};
  key->hash = nx_siphash(seed, key->data, key->length);
}

static void apply(nx_channel *channel, const nx_effect *effect) {
  nx_key key;
  key_from_effect(&key, effect, channel->table.seed);
  uint64_t length_after;
  switch (effect->operation) {
    case NX_EFFECT_PUT:
      NX_ASSERT(nx_channel_put_key(channel, &key, effect->value, effect->expires_at_ms, true) == 0);
      return;
    case NX_EFFECT_PATCH:
      NX_ASSERT(nx_channel_patch_key(channel, &key, effect->offset, effect->value, &length_after, true) == 0);
      NX_ASSERT(nx_channel_expire_key(channel, &key, effect->expires_at_ms));
      return;
    case NX_EFFECT_REMOVE:
      (void)nx_channel_remove_key(channel, &key);
      return;
    case NX_EFFECT_EXPIRE:
      (void)nx_channel_expire_key(channel, &key, effect->expires_at_ms);
      return;
    case NX_EFFECT_CHANNEL_REMOVE:
      nx_store_channel_remove(channel->store, channel);
      return;
  }
}

int64_t nx_store_replay(nx_store *store, const uint8_t *bytes, uint64_t length, uint64_t *bad_offset) {
  bool was_logging = store->is_logging;
  store->is_logging = false;
  int64_t count = 0;
  nx_channel *channel = NULL;
  for (uint64_t at = 0; at < length;) {
    nx_effect effect;
    int64_t taken = nx_effect_read(bytes + at, length - at, &effect);
    if (taken < 0) {
      *bad_offset = at;
      count = taken;
      break;
    }
    bool is_same = channel != NULL && channel->name_length == effect.name.length &&
                   memcmp(channel->name, effect.name.data, effect.name.length) == 0;
    bool creates = effect.operation == NX_EFFECT_PUT || effect.operation == NX_EFFECT_PATCH;
    if (!is_same) channel = find_or_create(store, effect.name, creates, true);
    if (channel != NULL) apply(channel, &effect);
    if (effect.operation == NX_EFFECT_CHANNEL_REMOVE) channel = NULL;
    at += (uint64_t)taken;
    count += 1;
  }
  store->is_logging = was_logging;
  return count;
}

typedef struct {
  nx_channel *channel;
  nx_buffer *out;
} export_to;

/* Exports what is there, expired or not: a patch logged before the expiry must meet the record it was made
 * on. */
static void export_record(void *context, nx_rec *rec) {
  export_to *to = context;
  nx_effect effect = {
      .operation = NX_EFFECT_PUT,
      .is_key_compact = nx_rec_is_compact(rec),
      .name = nx_channel_name(to->channel),
      .key = {nx_rec_key(rec), nx_rec_key_length(rec)},
      .value = {nx_rec_value(rec), nx_rec_value_length(rec)},
      .expires_at_ms = nx_rec_expires_at_ms(rec),
  };
  nx_effect_append(to->out, &effect);
}

int nx_store_export(nx_store *store, nx_export *state, uint64_t bytes_target, nx_buffer *out) {
  for (uint32_t buckets = 0; buckets < EXPORT_BUCKETS_MAX; buckets++) {
    uint32_t index = index_from_id(store, state->channel_id);
    if (index == store->channel_count) return 0;
    nx_channel *channel = store->channels[index];
    if (channel->id != state->channel_id) {
      state->channel_id = channel->id;
      state->cursor = 0;
    }
    export_to to = {channel, out};
    state->cursor = nx_table_scan(&channel->table, state->cursor, export_record, &to);
    if (state->cursor == 0) state->channel_id += 1;
    if (out->length >= bytes_target) break;
  }
  return 1;
}
