/*
 * Entries of a stream that were delivered and not acknowledged, by id: a treap, which is a search tree by id and a
 * heap by a pseudo-random priority. Each entry hangs in two of them at once, its group's and its consumer's,
 * by two pairs of links, and costs no memory beside itself.
 */
#ifndef NX_QUEUE_PENDING_H
#define NX_QUEUE_PENDING_H
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  uint64_t ms, sequence;
} nx_stream_id;

static inline int nx_id_compare(nx_stream_id left, nx_stream_id right) {
  if (left.ms != right.ms) return left.ms < right.ms ? -1 : 1;
  if (left.sequence != right.sequence) return left.sequence < right.sequence ? -1 : 1;
  return 0;
}

struct nx_consumer;

typedef struct nx_pending {
  nx_stream_id id;
  struct nx_consumer *consumer;
  int64_t delivered_ms;
  uint64_t deliveries;
  uint64_t priority;
  struct nx_pending *links[2][2]; /* [tree][left, right] */
} nx_pending;

/* Which pair of links a tree uses. */
enum { NX_OF_GROUP, NX_OF_CONSUMER };

typedef struct {
  nx_pending *root;
  uint64_t count;
} nx_pending_tree;

nx_pending *nx_pending_find(const nx_pending_tree *tree, int which, nx_stream_id id);
/* The first one that is not below `id`, or NULL. */
nx_pending *nx_pending_lower(const nx_pending_tree *tree, int which, nx_stream_id id);
nx_pending *nx_pending_last(const nx_pending_tree *tree, int which);
/* Its id must not be in the tree. */
void nx_pending_insert(nx_pending_tree *tree, int which, nx_pending *pending);
void nx_pending_remove(nx_pending_tree *tree, int which, nx_pending *pending);
/* The next id; false behind the largest one. */
static inline bool nx_id_next(nx_stream_id *id) {
  if (++id->sequence != 0) return true;
  return ++id->ms != 0;
}
static inline bool nx_id_previous(nx_stream_id *id) {
  if (id->sequence-- != 0) return true;
  return id->ms-- != 0;
}

#endif
