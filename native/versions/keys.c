/* One in four nodes of a level is on the next: a third of a pointer more than one link, twenty levels for 10^12 keys. */
#include "keys.h"

#include <stdlib.h>

#include "../nx.h"
#include "cursor.h"

/* xorshift64 (Marsaglia 2003). The shape of the list decides speed only, so replicas may differ in it. */
static uint8_t random_levels(nx_keys *keys) {
  keys->coin ^= keys->coin << 13;
  keys->coin ^= keys->coin >> 7;
  keys->coin ^= keys->coin << 17;
  uint32_t zeros = (uint32_t)__builtin_ctzll(keys->coin | UINT64_C(1) << 63);
  uint32_t levels = 1 + zeros / 2;
  return (uint8_t)(levels < NX_LEVELS ? levels : NX_LEVELS);
}

void nx_keys_init(nx_keys *keys) { *keys = (nx_keys){.coin = UINT64_C(0x9e3779b97f4a7c15)}; }

static uint64_t node_bytes(uint8_t levels, uint64_t length) {
  return sizeof(nx_key_node) + levels * sizeof(nx_key_node *) + length;
}

void nx_keys_free(nx_keys *keys) {
  nx_key_node *node = keys->first[0];
  while (node != NULL) {
    nx_key_node *next = node->next[0];
    free(node);
    node = next;
  }
  nx_keys_init(keys);
}

/* For each level the link that leads to the first node at or behind the key (strictly behind it when `after`). */
static void locate(const nx_keys *keys, nx_bytes key, bool after, nx_key_node **links[NX_LEVELS]) {
  nx_key_node **row = (nx_key_node **)keys->first;
  for (uint32_t level = NX_LEVELS; level-- > 0;) {
    for (;;) {
      nx_key_node *node = row[level];
      if (node == NULL || nx_bytes_compare(nx_key_of(node), key) >= (after ? 1 : 0)) break;
      row = node->next;
    }
    links[level] = &row[level];
  }
}

nx_key_node *nx_keys_from(const nx_keys *keys, nx_bytes key, bool after) {
  nx_key_node **links[NX_LEVELS];
  locate(keys, key, after, links);
  return *links[0];
}

nx_key_node *nx_keys_find(const nx_keys *keys, nx_bytes key) {
  nx_key_node *node = nx_keys_from(keys, key, false);
  return node != NULL && nx_bytes_compare(nx_key_of(node), key) == 0 ? node : NULL;
}

nx_key_node *nx_keys_add(nx_keys *keys, nx_bytes key) {
  nx_key_node **links[NX_LEVELS];
  locate(keys, key, false, links);
  nx_key_node *node = *links[0];
  if (node != NULL && nx_bytes_compare(nx_key_of(node), key) == 0) return node;
  uint8_t levels = random_levels(keys);
  uint64_t bytes = node_bytes(levels, key.length);
  node = malloc(bytes);
  NX_ASSERT(node != NULL);
  *node = (nx_key_node){.length = (uint32_t)key.length, .levels = levels};
  nx_copy((uint8_t *)(node->next + levels), key.data, key.length);
  for (uint32_t level = 0; level < levels; level++) {
    node->next[level] = *links[level];
    *links[level] = node;
  }
  keys->count += 1;
  keys->bytes += bytes;
  return node;
}

void nx_keys_remove(nx_keys *keys, nx_bytes key) {
  nx_key_node **links[NX_LEVELS];
  locate(keys, key, false, links);
  nx_key_node *node = *links[0];
  NX_ASSERT(node != NULL && nx_bytes_compare(nx_key_of(node), key) == 0);
  for (uint32_t level = 0; level < node->levels; level++) *links[level] = node->next[level];
  keys->count -= 1;
  keys->bytes -= node_bytes(node->levels, node->length);
  free(node);
}
