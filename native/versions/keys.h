/*
 * The ordered set of keys: a skip list (Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees", 1990). It gives
 * lookups, ranges and prefixes from one structure, and a place in it survives changes as a key does: whoever iterates in
 * steps looks up the key where it stopped.
 *
 * Invariant: nodes ascend by the bytes of their keys, a prefix before what it begins.
 */
#ifndef NX_VERSIONS_KEYS_H
#define NX_VERSIONS_KEYS_H
#include "versions.h"

#define NX_LEVELS 20u

typedef struct nx_version nx_version;

typedef struct nx_key_node {
  nx_version *newest, *oldest; /* never NULL while the node is in the list */
  uint32_t length;
  uint8_t levels;
  struct nx_key_node *next[]; /* `levels` of them, then the key's bytes */
} nx_key_node;

typedef struct {
  nx_key_node *first[NX_LEVELS];
  uint64_t coin;
  uint64_t count, bytes;
} nx_keys;

static inline nx_bytes nx_key_of(const nx_key_node *node) {
  return (nx_bytes){(const uint8_t *)(node->next + node->levels), node->length};
}

void nx_keys_init(nx_keys *keys);
/* Frees the nodes; their versions are the caller's. */
void nx_keys_free(nx_keys *keys);
nx_key_node *nx_keys_find(const nx_keys *keys, nx_bytes key);
/* The first node at or behind the key; strictly behind it when `after`. */
nx_key_node *nx_keys_from(const nx_keys *keys, nx_bytes key, bool after);
/* Finds or makes the node; a new one has no version yet. */
nx_key_node *nx_keys_add(nx_keys *keys, nx_bytes key);
void nx_keys_remove(nx_keys *keys, nx_bytes key);

#endif
