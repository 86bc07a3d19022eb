/*
 * The multi-version store of one shard: every key has a chain of versions, each written at a commit timestamp.
 *
 * A version keeps the operations of its transaction, not only their result, because commutative operations may arrive
 * in another order than their timestamps: one that arrives late takes its place in the chain and changes everything
 * above it. A value is folded from its chain when it is read and kept with the version it belongs to.
 *
 * Invariant: the value at timestamp t depends only on the set of versions at or below t, never on the order in which they
 * arrived. The *horizon* ends the past: below it nothing is read, at or below it nothing is written, and what lies there counts as
 * one settled state. So every answer is the same whether old versions were collected yet or not; only the memory differs.
 * All replicas of a shard apply the same writes and raise the same horizon, so they answer alike; nothing here reads a clock.
 *
 * One store is used by one thread. It keeps nothing on disk: the owner streams it into a snapshot (`nx_versions_dump`)
 * while writes go on. Errors are negative errno: -EINVAL for bytes that are not what the tables below say. Allocation
 * failure aborts.
 *
 * Operations, one after the other; integers are little-endian:
 *
 *   kind           u8    fields behind it
 *   put            1     type u8, length u32, value (see below)
 *   delete         2
 *   add            3     amount i64; wraps at 64 bits. What is no counter counts as 0
 *   append         4     length u32, element. What is no list counts as empty
 *   set at index   5     index u32, length u32, element; nothing happens beyond the end
 *   insert         6     length u32, element, into a set; what is no set counts as empty
 *   remove         7     length u32, element, out of a set
 *   map set        8     length u32, field, length u32, value; what is no map counts as empty
 *   map delete     9     length u32, field
 *
 * Values by type; every value has one encoding, so equal values are equal bytes:
 *
 *   absent   0     nothing
 *   bytes    1     the bytes
 *   counter  2     i64
 *   list     3     count u32, then length u32 and bytes of each element
 *   set      4     as list; strictly ascending by bytes, a prefix before what it begins
 *   map      5     count u32, then length u32, field, length u32, value of each; strictly ascending by field
 */
#ifndef NX_VERSIONS_H
#define NX_VERSIONS_H
#include <stdbool.h>
#include <stdint.h>

#include "../buffer.h"

enum { NX_OP_PUT = 1, NX_OP_DELETE, NX_OP_ADD, NX_OP_APPEND, NX_OP_SET_INDEX, NX_OP_INSERT, NX_OP_REMOVE, NX_OP_MAP_SET,
       NX_OP_MAP_DELETE };
enum { NX_TYPE_ABSENT = 0, NX_TYPE_BYTES, NX_TYPE_COUNTER, NX_TYPE_LIST, NX_TYPE_SET, NX_TYPE_MAP };

/* What part of a value an operation or a read is about. */
enum { NX_PART_WHOLE = 0, NX_PART_INDEX, NX_PART_ELEMENT, NX_PART_FIELD };

#define NX_VERSION_KEY_BYTES_MAX 65535u
#define NX_VERSION_OPS_BYTES_MAX (64u * 1024u * 1024u)

typedef struct nx_versions nx_versions;

typedef struct {
  const uint8_t *data;
  uint64_t length;
} nx_bytes;

typedef struct {
  uint8_t kind; /* NX_PART_… */
  nx_bytes data; /* the index as u32, the element, the field; empty for the whole */
} nx_part;

/* One version, as a reader sees it. `value` is valid until the next call. */
typedef struct {
  uint64_t start;   /* its commit timestamp; 0: the key has no version there, or was deleted at or below the horizon */
  uint64_t next;    /* of the version above it; 0: none */
  uint8_t type;
  nx_bytes value;
} nx_version_view;

nx_versions *nx_versions_new(void);
void nx_versions_free(nx_versions *versions);

/* Moves the horizon up; a lower one changes nothing. The owner must keep it below what may still be committed. */
void nx_versions_raise_horizon(nx_versions *versions, uint64_t horizon);

/*
 * Adds what one transaction does to one key. `position` is the place in the shard's log, never less than in an earlier
 * call. -ESTALE when the timestamp is at or below the horizon; -EEXIST when the key has a version of it.
 */
int nx_versions_write(nx_versions *versions, nx_bytes key, uint64_t timestamp, uint64_t position, nx_bytes ops);

/* The newest version at or below the timestamp. -ESTALE below the horizon. */
int nx_versions_read(nx_versions *versions, nx_bytes key, uint64_t timestamp, nx_version_view *view);

/*
 * Whether a version above `since` touches the part. Of the versions at or below the horizon the newest touches every part, and
 * a tombstone is no trace of the key. `was_present`: the reader saw a value, so a key without a trace has changed for it.
 */
bool nx_versions_changed(nx_versions *versions, nx_bytes key, nx_part part, uint64_t since, bool was_present);

/*
 * Appends the present keys from `from` (exclusive when `after`) up to, not including, `to` (empty: no end) as
 *   key length u32, key, start u64, next u64, type u8, length u32, value
 * until `count_max` keys or `bytes_target` bytes are reached; true when there may be more. Below the horizon there are none.
 */
bool nx_versions_scan(nx_versions *versions, nx_bytes from, bool after, nx_bytes to, uint64_t timestamp,
                      uint32_t count_max, uint64_t bytes_target, nx_buffer *out);

/*
 * Forgets what nobody can see any more, for `keys_max` keys from where the last call stopped; true when it came round. Does
 * nothing while a dump is under way.
 */
bool nx_versions_collect(nx_versions *versions, uint32_t keys_max);

/*
 * A dump holds what was written up to `position`, whatever is written meanwhile. `begin` fixes it; `dump` appends about
 * `bytes_target` bytes and returns true while there is more; `end` lets versions be collected again. One at a time. The horizon
 * is not in it: who loads a dump raises it.
 *   per key: key length u32, key, versions u32, then oldest first: timestamp u64, position u64, is base u8, then
 *   ops: length u32, operations; base: type u8, length u32, value
 */
void nx_versions_dump_begin(nx_versions *versions, uint64_t position);
bool nx_versions_dump(nx_versions *versions, uint64_t bytes_target, nx_buffer *out);
void nx_versions_dump_end(nx_versions *versions);
/* Takes whole keys of a dump, into a store that has none of them. */
int nx_versions_load(nx_versions *versions, nx_bytes bytes);

typedef struct {
  double keys;
  double versions;
  double memory_bytes;
  double removed_keys; /* collected tombstones */
} nx_versions_stats;
void nx_versions_read_stats(const nx_versions *versions, nx_versions_stats *out);

#endif
