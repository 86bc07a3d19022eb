/*
 * The versions of one key, newest first.
 *
 * Invariant: timestamps descend strictly along `older`, and `newer` leads back: a chain is read from its new end and collected
 * from its old one, so that both cost what they touch, however many versions are kept. Only the last version may be a base: what was below it was
 * collected, and it holds the value instead of operations.
 */
#ifndef NX_VERSIONS_CHAIN_H
#define NX_VERSIONS_CHAIN_H
#include "keys.h"

typedef struct {
  uint32_t length;
  uint8_t type;
  uint8_t bytes[];
} nx_value;

struct nx_version {
  nx_version *older, *newer;
  uint64_t timestamp;
  uint64_t position;
  nx_value *value; /* folded; NULL when nobody asked for it yet */
  uint32_t ops_length;
  bool is_base;
  uint8_t ops[];
};

/* Bytes of all chains of a store, versions in them, and a place to fold in. */
typedef struct {
  uint64_t bytes, versions;
  nx_buffer scratch;
} nx_chains;

/* -EEXIST as in nx_versions_write; -ESTALE below a base. */
int nx_chain_insert(nx_chains *chains, nx_key_node *node, uint64_t timestamp, uint64_t position, nx_bytes ops);
/* Adds a base behind the versions of a node. */
void nx_chain_add_base(nx_chains *chains, nx_key_node *node, uint64_t timestamp, uint64_t position, uint8_t type,
                       nx_bytes value);
/* The newest version at or below the timestamp, and in `above` the one before it in the chain. */
nx_version *nx_chain_find(const nx_key_node *node, uint64_t timestamp, nx_version **above);
/* The value as of a version of the node; valid until the next call for this store. */
nx_bytes nx_chain_value(nx_chains *chains, nx_key_node *node, nx_version *version, uint8_t *type);
/* Forgets what no read at or above the horizon sees; true when nothing but a tombstone below it is left. */
bool nx_chain_collect(nx_chains *chains, nx_key_node *node, uint64_t horizon);
void nx_chain_free(nx_chains *chains, nx_key_node *node);

#endif
