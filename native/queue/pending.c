/* See pending.h. */
#include "pending.h"

#include <stddef.h>

#include "../nx.h"

nx_pending *nx_pending_find(const nx_pending_tree *tree, int which, nx_stream_id id) {
  nx_pending *at = tree->root;
  while (at != NULL) {
    int order = nx_id_compare(id, at->id);
    if (order == 0) return at;
    at = at->links[which][order > 0];
  }
  return NULL;
}

nx_pending *nx_pending_lower(const nx_pending_tree *tree, int which, nx_stream_id id) {
  nx_pending *at = tree->root, *found = NULL;
  while (at != NULL) {
    bool is_below = nx_id_compare(at->id, id) < 0;
    if (!is_below) found = at;
    at = at->links[which][is_below];
  }
  return found;
}

nx_pending *nx_pending_last(const nx_pending_tree *tree, int which) {
  nx_pending *at = tree->root;
  while (at != NULL && at->links[which][1] != NULL) at = at->links[which][1];
  return at;
}

/* Parts `at` into what is below `id` and what is above. */
static void part(nx_pending *at, int which, nx_stream_id id, nx_pending **below, nx_pending **above) {
  while (at != NULL) {
    if (nx_id_compare(at->id, id) < 0) {
      *below = at;
      below = &at->links[which][1];
      at = *below;
    } else {
      *above = at;
      above = &at->links[which][0];
      at = *above;
    }
  }
  *below = *above = NULL;
}

void nx_pending_insert(nx_pending_tree *tree, int which, nx_pending *pending) {
  nx_pending **place = &tree->root;
  while (*place != NULL && (*place)->priority >= pending->priority) {
    int order = nx_id_compare(pending->id, (*place)->id);
    NX_ASSERT(order != 0);
    place = &(*place)->links[which][order > 0];
  }
  nx_pending *below, *above;
  part(*place, which, pending->id, &below, &above);
  pending->links[which][0] = below;
  pending->links[which][1] = above;
  *place = pending;
  tree->count += 1;
}

void nx_pending_remove(nx_pending_tree *tree, int which, nx_pending *pending) {
  nx_pending **place = &tree->root;
  while (*place != pending) {
    NX_ASSERT(*place != NULL);
    place = &(*place)->links[which][nx_id_compare(pending->id, (*place)->id) > 0];
  }
  /* Joins its two sides in its place. */
  nx_pending *below = pending->links[which][0], *above = pending->links[which][1];
  while (below != NULL && above != NULL) {
    if (below->priority >= above->priority) {
      *place = below;
      place = &below->links[which][1];
      below = *place;
    } else {
      *place = above;
      place = &above->links[which][0];
      above = *place;
    }
  }
  *place = below != NULL ? below : above;
  tree->count -= 1;
}
