/*
 * The records of one channel: finding, changing, expiring and visiting them.
 *
 * Each change runs in three steps: reserve all memory (may be refused, nothing has changed yet), tell the
 * observer, apply and log. Counters of the store and the channel change in the last step only.
 */
#include "channel.h"

#include <errno.h>

#include "nx.h"

/* --- reporting a change --------------------------------------------------------------------------------- */

static void notify(nx_channel *channel, nx_change change, const uint8_t *stored, uint32_t length,
                   bool is_compact) {
  if (channel->store->observer_count == 0) return;
  uint8_t rec[NX_REC_HEADER_BYTES + 8], scratch[NX_HEX_KEY_BYTES];
  nx_slice text = {stored == NULL ? scratch : stored, length};
  if (is_compact) {
    nx_rec_set_header(rec, 8, 0, true, false);
    memcpy(rec + NX_REC_HEADER_BYTES, stored, 8);
    text = nx_rec_key_text(rec, scratch);
  }
  nx_store_tell(channel->store, channel, change, text);
}

static void notify_record(nx_channel *channel, nx_change change, const nx_rec *rec) {
  notify(channel, change, nx_rec_key(rec), nx_rec_key_length(rec), nx_rec_is_compact(rec));
}

static void log_change(nx_channel *channel, nx_effect_operation operation, const nx_rec *rec, nx_slice value,
                       uint64_t offset) {
  if (!channel->store->is_logging) return;
  nx_effect effect = {
      .operation = operation,
      .is_key_compact = nx_rec_is_compact(rec),
      .name = nx_channel_name(channel),
      .key = {nx_rec_key(rec), nx_rec_key_length(rec)},
      .value = value,
      .expires_at_ms = operation == NX_EFFECT_REMOVE ? 0 : nx_rec_expires_at_ms(rec),
      .offset = offset,
  };
  nx_store_log(channel->store, &effect);
}

/* `before` and `after` are lengths of the value; 0 also where there is no record. */
static void count_value(nx_channel *channel, bool is_compact, uint64_t before, uint64_t after) {
  channel->value_bytes += after - before;
  channel->store->stats.value_bytes += after - before;
  if (!is_compact) return;
  uint64_t records = (uint64_t)(after != 0) - (uint64_t)(before != 0);
  channel->swarm_value_bytes += after - before;
  channel->swarm_records += records;
  channel->store->swarm_value_bytes += after - before;
  channel->store->swarm_records += records;
}

static void count_record(nx_channel *channel, const nx_rec *rec, bool is_added) {
  bool is_compact = nx_rec_is_compact(rec);
  uint64_t text_length = nx_key_text_length(nx_rec_key_length(rec), is_compact);
  uint64_t one = is_added ? 1 : UINT64_MAX;
  channel->key_bytes += text_length * one;
  channel->store->stats.key_bytes += text_length * one;
  channel->store->stats.records += one;
  if (is_added) count_value(channel, is_compact, 0, nx_rec_value_length(rec));
  else count_value(channel, is_compact, nx_rec_value_length(rec), 0);
}

/* --- expiry of one record ------------------------------------------------------------------------------- */

static void enter_expiry(nx_channel *channel, nx_rec *rec) {
  if (channel->expiry.count == 0) nx_store_ring_add(channel);
  nx_expiry_add(&channel->expiry, rec);
  channel->store->stats.expiring += 1;
}

static void leave_expiry(nx_channel *channel, const nx_rec *rec) {
  nx_expiry_remove(&channel->expiry, &channel->store->slab, rec);
  if (channel->expiry.count == 0) nx_store_ring_remove(channel);
  channel->store->stats.expiring -= 1;
}

static void set_expires_at(nx_rec *rec, int64_t expires_at_ms) {
  nx_store64(rec + 8, (uint64_t)expires_at_ms);
}

/* --- creating, reshaping and removing a record ---------------------------------------------------------- */

/* A record with this key and an undefined value. NULL when the limit forbids it. */
static nx_rec *create(nx_channel *channel, const nx_key *key, uint64_t value_length, int64_t expires_at_ms,
                      bool force) {
  nx_slab *slab = &channel->store->slab;
  bool is_expiring = expires_at_ms != 0;
  uint64_t bytes = nx_rec_bytes_for(key->length, value_length, is_expiring);
  if (is_expiring && !nx_expiry_reserve(&channel->expiry, slab, force)) return NULL;
  if (!nx_table_reserve(&channel->table, key->hash, force)) return NULL;
  nx_rec *rec = nx_slab_alloc(slab, bytes, force);
  if (rec == NULL) return NULL;
  notify(channel, NX_CHANGE_VALUE, key->data, key->length, key->is_compact);
  nx_rec_set_header(rec, key->length, value_length, key->is_compact, is_expiring);
  nx_copy(rec + nx_rec_key_offset(is_expiring), key->data, key->length);
  if (is_expiring) {
    set_expires_at(rec, expires_at_ms);
    enter_expiry(channel, rec);
  }
  nx_table_insert(&channel->table, key->hash, rec);
  count_record(channel, rec, true);
  return rec;
}

/* A block to free once nothing reads it any more. */
typedef struct {
  nx_rec *block;
  uint64_t bytes;
} retired_block;

static void retire(nx_channel *channel, retired_block retired) {
  if (retired.block != NULL) nx_slab_free(&channel->store->slab, retired.block, retired.bytes);
}

/*
 * Gives a record room for `value_length` bytes and an expiry (0: none), keeping the first `keep` bytes of its
 * value. Returns where it is afterwards, or NULL (nothing changed) when the limit forbids it.
 */
static nx_rec *reshape(nx_channel *channel, nx_place place, nx_change change, uint64_t value_length,
                       int64_t expires_at_ms, uint64_t keep, bool force, retired_block *retired) {
  nx_slab *slab = &channel->store->slab;
  nx_rec *rec = nx_table_at(place);
  bool is_compact = nx_rec_is_compact(rec);
  bool was_expiring = nx_rec_is_expiring(rec), is_expiring = expires_at_ms != 0;
  uint32_t key_length = nx_rec_key_length(rec);
  uint64_t old_bytes = nx_rec_bytes(rec);
  uint64_t new_bytes = nx_rec_bytes_for(key_length, value_length, is_expiring);
  *retired = (retired_block){NULL, 0};
  if (is_expiring && !was_expiring && !nx_expiry_reserve(&channel->expiry, slab, force)) return NULL;
  nx_rec *target = rec;
  if (nx_slab_capacity(old_bytes) != nx_slab_capacity(new_bytes)) {
    target = nx_slab_alloc(slab, new_bytes, force);
    if (target == NULL) return NULL;
    *retired = (retired_block){rec, old_bytes};
  }
  notify_record(channel, change, rec);
  count_value(channel, is_compact, nx_rec_value_length(rec), value_length);
  if (was_expiring && !is_expiring) leave_expiry(channel, rec);
  uint32_t old_offset = nx_rec_key_offset(was_expiring), new_offset = nx_rec_key_offset(is_expiring);
  if (target != rec || old_offset != new_offset)
    memmove(target + new_offset, rec + old_offset, key_length + keep);
  if (target != rec && was_expiring && is_expiring) memcpy(target + 8, rec + 8, NX_REC_EXPIRY_BYTES);
  nx_rec_set_header(target, key_length, value_length, is_compact, is_expiring);
  if (target != rec) nx_table_replace(place, target);
  if (!is_expiring) return target;
  set_expires_at(target, expires_at_ms);
  if (!was_expiring) {
    enter_expiry(channel, target);
  } else {
    if (target != rec) nx_expiry_moved(&channel->expiry, target);
    nx_expiry_changed(&channel->expiry, target);
  }
  return target;
}

static void remove_place(nx_channel *channel, uint64_t hash, nx_place place) {
  nx_rec *rec = nx_table_at(place);
  notify_record(channel, NX_CHANGE_REMOVE, rec);
  if (nx_rec_is_expiring(rec)) leave_expiry(channel, rec);
  nx_table_remove(&channel->table, hash, place);
  count_record(channel, rec, false);
  log_change(channel, NX_EFFECT_REMOVE, rec, (nx_slice){NULL, 0}, 0);
  nx_slab_free(&channel->store->slab, rec, nx_rec_bytes(rec));
}

void nx_channel_remove_due(nx_channel *channel, nx_rec *rec) {
  uint64_t hash = nx_rec_hash(rec, channel->table.seed);
  nx_place place = nx_table_find_record(&channel->table, hash, rec);
  NX_ASSERT(place.bucket != NULL);
  remove_place(channel, hash, place);
  channel->store->stats.expired += 1;
}

/* --- changes by key ------------------------------------------------------------------------------------- */

/* Replaces the value of an existing record; the value may lie in that record itself. */
static nx_rec *replace(nx_channel *channel, nx_place place, nx_slice value, int64_t expires_at_ms,
                       bool force) {
  nx_rec *rec = nx_table_at(place);
  uint8_t *copy = NULL;
  bool is_inside = value.data >= rec && value.data < rec + nx_rec_bytes(rec);
  if (is_inside && value.length != 0 && nx_rec_is_expiring(rec) != (expires_at_ms != 0)) {
    /* The bytes would shift under the copy. */
    copy = __builtin_malloc(value.length);
    NX_ASSERT(copy != NULL);
    memcpy(copy, value.data, value.length);
    value.data = copy;
  }
  retired_block retired;
  rec = reshape(channel, place, NX_CHANGE_VALUE, value.length, expires_at_ms, 0, force, &retired);
  if (rec != NULL) {
    nx_move(nx_rec_value(rec), value.data, value.length);
    retire(channel, retired);
  }
  __builtin_free(copy);
  return rec;
}

int nx_channel_put_key(nx_channel *channel, const nx_key *key, nx_slice value, int64_t expires_at_ms,
                       bool force) {
  nx_place place = nx_table_find(&channel->table, key);
  nx_rec *rec;
  if (place.bucket != NULL) {
    rec = replace(channel, place, value, expires_at_ms, force);
  } else {
    rec = create(channel, key, value.length, expires_at_ms, force);
    if (rec != NULL) nx_copy(nx_rec_value(rec), value.data, value.length);
  }
  if (rec == NULL) return -ENOMEM;
  log_change(channel, NX_EFFECT_PUT, rec, (nx_slice){nx_rec_value(rec), value.length}, 0);
  return 0;
}

int nx_channel_patch_key(nx_channel *channel, const nx_key *key, uint64_t offset, nx_slice bytes,
                         uint64_t *length_after, bool force) {
  nx_place place = nx_table_find(&channel->table, key);
  uint64_t end = offset + bytes.length, length = 0;
  retired_block retired = {NULL, 0};
  nx_rec *rec;
  if (place.bucket == NULL) {
    rec = create(channel, key, end, 0, force);
  } else {
    rec = nx_table_at(place);
    length = nx_rec_value_length(rec);
    rec = reshape(channel, place, NX_CHANGE_VALUE, end > length ? end : length, nx_rec_expires_at_ms(rec),
                  length, force, &retired);
  }
  if (rec == NULL) return -ENOMEM;
  uint8_t *value = nx_rec_value(rec);
  if (offset > length) memset(value + length, 0, offset - length);
  nx_move(value + offset, bytes.data, bytes.length);
  retire(channel, retired);
  *length_after = nx_rec_value_length(rec);
  log_change(channel, NX_EFFECT_PATCH, rec, (nx_slice){value + offset, bytes.length}, offset);
  return 0;
}

bool nx_channel_remove_key(nx_channel *channel, const nx_key *key) {
  nx_place place = nx_table_find(&channel->table, key);
  if (place.bucket == NULL) return false;
  remove_place(channel, key->hash, place);
  return true;
}

bool nx_channel_expire_key(nx_channel *channel, const nx_key *key, int64_t expires_at_ms) {
  nx_place place = nx_table_find(&channel->table, key);
  if (place.bucket == NULL) return false;
  nx_rec *rec = nx_table_at(place);
  uint64_t length = nx_rec_value_length(rec);
  retired_block retired;
  rec = reshape(channel, place, NX_CHANGE_EXPIRY, length, expires_at_ms, length, true, &retired);
  retire(channel, retired);
  log_change(channel, NX_EFFECT_EXPIRE, rec, (nx_slice){NULL, 0}, 0);
  return true;
}

/* --- store.h -------------------------------------------------------------------------------------------- */

/* Prepares a key; one that is too long is no key of any record. */
static bool key_make(nx_channel *channel, nx_slice text, nx_key *key) {
  if (text.length > NX_KEY_BYTES_MAX) return false;
  nx_key_make(key, text, channel->table.seed);
  return true;
}

/* The record of a key, or NULL when there is none. One whose time has come is removed. */
static nx_rec *find_live(nx_channel *channel, const nx_key *key, int64_t now_ms) {
  nx_place place = nx_table_find(&channel->table, key);
  if (place.bucket == NULL) return NULL;
  nx_rec *rec = nx_table_at(place);
  if (!nx_rec_is_expired(rec, now_ms)) return rec;
  remove_place(channel, key->hash, place);
  channel->store->stats.expired += 1;
  return NULL;
}

static nx_record record_of(nx_rec *rec) {
  return (nx_record){{nx_rec_value(rec), nx_rec_value_length(rec)}, nx_rec_expires_at_ms(rec)};
}

bool nx_channel_get(nx_channel *channel, nx_slice text, int64_t now_ms, nx_record *out) {
  nx_key key;
  if (!key_make(channel, text, &key)) return false;
  nx_rec *rec = find_live(channel, &key, now_ms);
  if (rec == NULL) return false;
  *out = record_of(rec);
  return true;
}

void nx_channel_prefetch(const nx_channel *channel, const nx_slice *keys, uint32_t count) {
  uint64_t hashes[16];
  const nx_rec *recs[16];
  NX_ASSERT(count <= 16);
  for (uint32_t i = 0; i < count; i++) {
    nx_key key;
    nx_key_make(&key, keys[i], channel->table.seed);
    hashes[i] = key.hash;
    nx_table_prefetch_bucket(&channel->table, key.hash);
  }
  for (uint32_t i = 0; i < count; i++) recs[i] = nx_table_prefetch_head(&channel->table, hashes[i]);
  for (uint32_t i = 0; i < count; i++)
    if (recs[i] != NULL) nx_table_prefetch_rest(recs[i]);
}

int nx_channel_put(nx_channel *channel, nx_slice text, nx_slice value, int64_t expires_at_ms) {
  nx_key key;
  if (value.length > NX_VALUE_BYTES_MAX || expires_at_ms < 0 || !key_make(channel, text, &key))
    return -EINVAL;
  int result;
  do result = nx_channel_put_key(channel, &key, value, expires_at_ms, false);
  while (result == -ENOMEM && nx_store_reclaim(channel->store, 256) != 0);
  return result;
}

int nx_channel_patch(nx_channel *channel, nx_slice text, uint64_t offset, nx_slice bytes, int64_t now_ms,
                     uint64_t *length_after) {
  nx_key key;
  if (bytes.length > NX_VALUE_BYTES_MAX || offset > NX_VALUE_BYTES_MAX - bytes.length) return -EINVAL;
  if (!key_make(channel, text, &key)) return -EINVAL;
  (void)find_live(channel, &key, now_ms);
  int result;
  do result = nx_channel_patch_key(channel, &key, offset, bytes, length_after, false);
  while (result == -ENOMEM && nx_store_reclaim(channel->store, 256) != 0);
  return result;
}

bool nx_channel_remove(nx_channel *channel, nx_slice text, int64_t now_ms) {
  nx_key key;
  return key_make(channel, text, &key) && find_live(channel, &key, now_ms) != NULL &&
         nx_channel_remove_key(channel, &key);
}

bool nx_channel_expire(nx_channel *channel, nx_slice text, int64_t expires_at_ms, int64_t now_ms) {
  nx_key key;
  if (!key_make(channel, text, &key) || find_live(channel, &key, now_ms) == NULL) return false;
  return nx_channel_expire_key(channel, &key, expires_at_ms < 0 ? 1 : expires_at_ms);
}

nx_slice nx_channel_name(const nx_channel *channel) {
  return (nx_slice){channel->name, channel->name_length};
}
uint64_t nx_channel_id(const nx_channel *channel) { return channel->id; }
uint64_t nx_channel_records(const nx_channel *channel) { return channel->table.records; }
uint64_t nx_channel_key_bytes(const nx_channel *channel) { return channel->key_bytes; }
uint64_t nx_channel_value_bytes(const nx_channel *channel) { return channel->value_bytes; }
uint64_t nx_channel_swarm_records(const nx_channel *channel) { return channel->swarm_records; }
uint64_t nx_channel_swarm_value_bytes(const nx_channel *channel) { return channel->swarm_value_bytes; }
void **nx_channel_attachment(nx_channel *channel) { return &channel->attachment; }

void **nx_channel_mirrors(nx_channel *channel) { return &channel->mirrors; }

uint64_t nx_channel_record_bytes(nx_channel *channel, nx_slice text, int64_t now_ms) {
  nx_key key;
  nx_rec *rec = key_make(channel, text, &key) ? find_live(channel, &key, now_ms) : NULL;
  if (rec == NULL) return 0;
  uint64_t table_share = nx_table_bytes(&channel->table) / channel->table.records;
  return nx_slab_capacity(nx_rec_bytes(rec)) + table_share +
         (nx_rec_is_expiring(rec) ? sizeof(nx_expiry_entry) : 0);
}

/* --- visiting ------------------------------------------------------------------------------------------- */

typedef struct {
  int64_t now_ms;
  nx_visit_fn visit;
  void *context;
  uint64_t visited;
  uint64_t chosen; /* random only: which record to hand over; UINT64_MAX: all */
} visit_live;

static void visit_if_live(void *context, nx_rec *rec) {
  visit_live *to = context;
  if (nx_rec_is_expired(rec, to->now_ms)) return;
  uint64_t ordinal = to->visited++;
  if (to->visit == NULL || (to->chosen != UINT64_MAX && to->chosen != ordinal)) return;
  uint8_t scratch[NX_HEX_KEY_BYTES];
  nx_record record = record_of(rec);
  to->visit(to->context, nx_rec_key_text(rec, scratch), &record);
}

uint64_t nx_channel_scan(nx_channel *channel, uint64_t cursor, int64_t now_ms, nx_visit_fn visit,
                         void *context) {
  visit_live to = {now_ms, visit, context, 0, UINT64_MAX};
  for (int buckets = 0; buckets < 16 && to.visited == 0; buckets++) {
    cursor = nx_table_scan_unseen(&channel->table, cursor, visit_if_live, &to);
    if (cursor == 0) break;
  }
  return cursor;
}

uint64_t nx_channel_scan_order(const nx_channel *channel, nx_slice text) {
  nx_key key;
  nx_key_make(&key, text, channel->store->seed);
  return nx_table_order(key.hash);
}

uint64_t nx_scan_cursor_behind(uint64_t order) { return order == UINT64_MAX ? 0 : nx_table_order(order + 1); }

bool nx_channel_random(nx_channel *channel, uint64_t seed, int64_t now_ms, nx_visit_fn visit, void *context) {
  uint8_t bytes[8];
  nx_store64(bytes, seed);
  uint64_t mixed = nx_siphash((nx_seed){0x6e6f64652d782072u, 1}, bytes, 8);
  uint64_t cursor = mixed;
  /* From a random bucket on, once round: most buckets hold several records. */
  for (uint64_t buckets = 0; buckets <= channel->table.bucket_count; buckets++) {
    visit_live count = {now_ms, NULL, NULL, 0, UINT64_MAX};
    uint64_t next = nx_table_scan(&channel->table, cursor, visit_if_live, &count);
    if (count.visited != 0) {
      visit_live choose = {now_ms, visit, context, 0, (mixed >> 32) % count.visited};
      nx_table_scan(&channel->table, cursor, visit_if_live, &choose);
      return true;
    }
    cursor = next;
  }
  return false;
}
