/*
 * Folding: from the version asked for downwards to the first one whose value is known (kept, absolute, or the oldest), then
 * upwards, applying operations. The newest version keeps the result, so that a counter that is read between increments costs
 * one step each time; the version that kept one before lets go of it. A fold over many versions leaves its result in any case,
 * so that a read a little below the newest of a long chain does not walk all of it again.
 */
#include "chain.h"
#include "fold.h"

#include <errno.h>
#include <stdlib.h>

#include "../bytes.h"
#include "../nx.h"

/* A fold over more versions than this keeps its result. */
#define LONG_FOLD 64u

static nx_bytes ops_of(const nx_version *version) { return (nx_bytes){version->ops, version->ops_length}; }

static bool is_absolute(const nx_version *version) {
  return version->is_base || nx_ops_absolute(ops_of(version));
}

static void drop_value(nx_chains *chains, nx_version *version) {
  if (version->value == NULL) return;
  chains->bytes -= sizeof(nx_value) + version->value->length;
  free(version->value);
  version->value = NULL;
}

static void keep_value(nx_chains *chains, nx_version *version, uint8_t type, nx_bytes bytes) {
  drop_value(chains, version);
  nx_value *value = malloc(sizeof *value + bytes.length);
  NX_ASSERT(value != NULL);
  value->length = (uint32_t)bytes.length;
  value->type = type;
  nx_copy(value->bytes, bytes.data, bytes.length);
  version->value = value;
  chains->bytes += sizeof *value + bytes.length;
}

static nx_version *new_version(nx_chains *chains, uint64_t timestamp, uint64_t position, nx_bytes ops) {
  nx_version *version = malloc(sizeof *version + ops.length);
  NX_ASSERT(version != NULL);
  *version = (nx_version){.timestamp = timestamp, .position = position, .ops_length = (uint32_t)ops.length};
  nx_copy(version->ops, ops.data, ops.length);
  chains->bytes += sizeof *version + ops.length;
  chains->versions += 1;
  return version;
}

static void free_version(nx_chains *chains, nx_version *version) {
  drop_value(chains, version);
  chains->bytes -= sizeof *version + version->ops_length;
  chains->versions -= 1;
  free(version);
}

/* Between two versions that are neighbours; NULL: there is none on this side. */
static void put_between(nx_key_node *node, nx_version *above, nx_version *version, nx_version *below) {
  version->newer = above;
  version->older = below;
  *(above == NULL ? &node->newest : &above->older) = version;
  *(below == NULL ? &node->oldest : &below->newer) = version;
}

int nx_chain_insert(nx_chains *chains, nx_key_node *node, uint64_t timestamp, uint64_t position, nx_bytes ops) {
  nx_version *above, *below = nx_chain_find(node, timestamp, &above);
  /* Only the last one may be a base. */
  if (above != NULL && above->is_base) return -ESTALE;
  if (below != NULL && below->timestamp == timestamp) return -EEXIST;
  /* What was folded above it does not know of it. */
  for (nx_version *higher = node->newest; higher != below; higher = higher->older) {
    if (!is_absolute(higher)) drop_value(chains, higher);
  }
  put_between(node, above, new_version(chains, timestamp, position, ops), below);
  return 0;
}

void nx_chain_add_base(nx_chains *chains, nx_key_node *node, uint64_t timestamp, uint64_t position, uint8_t type,
                       nx_bytes value) {
  nx_version *version = new_version(chains, timestamp, position, (nx_bytes){NULL, 0});
  version->is_base = true;
  keep_value(chains, version, type, value);
  put_between(node, node->oldest, version, NULL);
}

nx_version *nx_chain_find(const nx_key_node *node, uint64_t timestamp, nx_version **above) {
  nx_version *version = node->newest;
  *above = NULL;
  while (version != NULL && version->timestamp > timestamp) {
    *above = version;
    version = version->older;
  }
  return version;
}

/* Folds into the scratch buffer. `known` is where the fold begins: the versions up to `version` are applied. */
static uint8_t fold_from(nx_chains *chains, nx_version *known, nx_version *version) {
  nx_buffer *scratch = &chains->scratch;
  uint8_t type = NX_TYPE_ABSENT;
  scratch->length = 0;
  if (known->value != NULL) {
    type = known->value->type;
    nx_buffer_append(scratch, known->value->bytes, known->value->length);
  } else {
    nx_fold(&type, scratch, ops_of(known));
  }
  if (known == version) return type;
  /* The chain leads downwards: turn the part in between around, apply it, turn it back. */
  nx_version *below = known, *next = version;
  nx_version *turned = NULL;
  while (next != below) {
    nx_version *older = next->older;
    next->older = turned;
    turned = next;
    next = older;
  }
  while (turned != NULL) {
    nx_version *newer = turned->older;
    nx_fold(&type, scratch, ops_of(turned));
    turned->older = below;
    below = turned;
    turned = newer;
  }
  return type;
}

nx_bytes nx_chain_value(nx_chains *chains, nx_key_node *node, nx_version *version, uint8_t *type) {
  if (version->value != NULL) {
    *type = version->value->type;
    return (nx_bytes){version->value->bytes, version->value->length};
  }
  nx_version *known = version;
  uint32_t steps = 0;
  for (; known->value == NULL && !is_absolute(known) && known->older != NULL; known = known->older) steps += 1;
  *type = fold_from(chains, known, version);
  nx_bytes value = {chains->scratch.data, chains->scratch.length};
  bool is_long = steps > LONG_FOLD;
  if (!is_long && (version != node->newest || is_absolute(version))) return value;
  if (!is_long && !known->is_base) drop_value(chains, known);
  keep_value(chains, version, *type, value);
  return (nx_bytes){version->value->bytes, version->value->length};
}

bool nx_chain_collect(nx_chains *chains, nx_key_node *node, uint64_t horizon) {
  nx_version *base = NULL, *above = node->oldest;
  for (; above != NULL && above->timestamp <= horizon; above = above->newer) base = above;
  if (base == NULL) return false;
  if (!base->is_base) {
    uint8_t type;
    nx_bytes value = nx_chain_value(chains, node, base, &type);
    if (base->value == NULL) keep_value(chains, base, type, value);
    /* Without its operations: a version of its own size. */
    nx_version *smaller = new_version(chains, base->timestamp, base->position, (nx_bytes){NULL, 0});
    smaller->is_base = true;
    smaller->value = base->value;
    base->value = NULL;
    put_between(node, above, smaller, base->older);
    free_version(chains, base);
    base = smaller;
  }
  while (base->older != NULL) {
    nx_version *gone = base->older;
    base->older = gone->older;
    free_version(chains, gone);
  }
  node->oldest = base;
  return base == node->newest && base->value->type == NX_TYPE_ABSENT;
}

void nx_chain_free(nx_chains *chains, nx_key_node *node) {
  while (node->newest != NULL) {
    nx_version *version = node->newest;
    node->newest = version->older;
    free_version(chains, version);
  }
}
