/* The expiry heap of expiry.h. */
#include "expiry.h"

#include "nx.h"

#define WIDTH 4u

static nx_expiry_entry *entry_at(const nx_expiry *expiry, uint32_t i) {
  return nx_paged_at(&expiry->entries, i);
}

static uint32_t position_of(const nx_rec *rec) { return nx_load32(rec + 16); }

static void place(nx_expiry *expiry, uint32_t i, nx_expiry_entry entry) {
  *entry_at(expiry, i) = entry;
  nx_store32(entry.rec + 16, i);
}

static void sift_up(nx_expiry *expiry, uint32_t i, nx_expiry_entry entry) {
  while (i != 0) {
    nx_expiry_entry parent = *entry_at(expiry, (i - 1) / WIDTH);
    if (parent.look_at_ms <= entry.look_at_ms) break;
    place(expiry, i, parent);
    i = (i - 1) / WIDTH;
  }
  place(expiry, i, entry);
}

static void sift_down(nx_expiry *expiry, uint32_t i, nx_expiry_entry entry) {
  for (;;) {
    uint64_t first = (uint64_t)i * WIDTH + 1;
    if (first >= expiry->count) break;
    uint64_t end = first + WIDTH < expiry->count ? first + WIDTH : expiry->count;
    uint32_t least = (uint32_t)first;
    for (uint32_t child = least + 1; child < end; child++) {
      if (entry_at(expiry, child)->look_at_ms < entry_at(expiry, least)->look_at_ms) least = child;
    }
    if (entry_at(expiry, least)->look_at_ms >= entry.look_at_ms) break;
    place(expiry, i, *entry_at(expiry, least));
    i = least;
  }
  place(expiry, i, entry);
}

void nx_expiry_init(nx_expiry *expiry) {
  nx_paged_init(&expiry->entries, sizeof(nx_expiry_entry));
  expiry->count = 0;
}

void nx_expiry_free(nx_expiry *expiry, nx_slab *slab) {
  nx_paged_free(&expiry->entries, slab);
  expiry->count = 0;
}

bool nx_expiry_reserve(nx_expiry *expiry, nx_slab *slab, bool force) {
  NX_ASSERT(expiry->count < UINT32_MAX);
  return nx_paged_reserve(&expiry->entries, slab, (uint64_t)expiry->count + 1, force);
}

void nx_expiry_add(nx_expiry *expiry, nx_rec *rec) {
  uint32_t last = expiry->count++;
  sift_up(expiry, last, (nx_expiry_entry){nx_rec_expires_at_ms(rec), rec});
}

void nx_expiry_changed(nx_expiry *expiry, nx_rec *rec) {
  uint32_t i = position_of(rec);
  int64_t expires_at_ms = nx_rec_expires_at_ms(rec);
  NX_ASSERT(i < expiry->count && entry_at(expiry, i)->rec == rec);
  if (expires_at_ms < entry_at(expiry, i)->look_at_ms)
    sift_up(expiry, i, (nx_expiry_entry){expires_at_ms, rec});
}

void nx_expiry_moved(nx_expiry *expiry, nx_rec *rec) {
  uint32_t i = position_of(rec);
  NX_ASSERT(i < expiry->count);
  entry_at(expiry, i)->rec = rec;
}

void nx_expiry_remove(nx_expiry *expiry, nx_slab *slab, const nx_rec *rec) {
  uint32_t i = position_of(rec);
  NX_ASSERT(i < expiry->count && entry_at(expiry, i)->rec == rec);
  nx_expiry_entry last = *entry_at(expiry, --expiry->count);
  if (i != expiry->count) {
    if (i != 0 && last.look_at_ms < entry_at(expiry, (i - 1) / WIDTH)->look_at_ms) sift_up(expiry, i, last);
    else sift_down(expiry, i, last);
  }
  nx_paged_trim(&expiry->entries, slab, expiry->count);
}

nx_expiry_step nx_expiry_next(nx_expiry *expiry, int64_t now_ms, nx_rec **due) {
  if (expiry->count == 0) return NX_EXPIRY_NOTHING;
  nx_expiry_entry top = *entry_at(expiry, 0);
  if (top.look_at_ms > now_ms) return NX_EXPIRY_NOTHING;
  int64_t expires_at_ms = nx_rec_expires_at_ms(top.rec);
  if (expires_at_ms <= now_ms) {
    *due = top.rec;
    return NX_EXPIRY_DUE;
  }
  top.look_at_ms = expires_at_ms;
  sift_down(expiry, 0, top);
  return NX_EXPIRY_POSTPONED;
}
