/*
 * The records of one channel that expire, as a 4-ary heap on the time at which to look at them.
 *
 * Each expiring record knows its position, so removing it is direct. Moving an expiry later (the usual
 * refresh) does not touch the heap: the entry comes up at the old time, is seen to be early and sinks to the
 * new one.
 *
 * Invariant: an entry's time is never later than its record's expiry, so nothing that is due hides below the
 * top.
 */
#ifndef NX_EXPIRY_H
#define NX_EXPIRY_H
#include <stdbool.h>
#include <stdint.h>
#include "paged.h"
#include "record.h"

typedef struct {
  int64_t look_at_ms;
  nx_rec *rec;
} nx_expiry_entry;

typedef struct {
  nx_paged entries;
  uint32_t count;
} nx_expiry;

void nx_expiry_init(nx_expiry *expiry);
void nx_expiry_free(nx_expiry *expiry, nx_slab *slab);
/* Makes sure that the next nx_expiry_add needs no memory. False when the slab refuses. */
bool nx_expiry_reserve(nx_expiry *expiry, nx_slab *slab, bool force);
/* Enters a record whose expiry is set; writes its position into it. */
void nx_expiry_add(nx_expiry *expiry, nx_rec *rec);
/* Tells the heap that an entered record has another expiry. */
void nx_expiry_changed(nx_expiry *expiry, nx_rec *rec);
/* Tells the heap that an entered record has another address. */
void nx_expiry_moved(nx_expiry *expiry, nx_rec *rec);
void nx_expiry_remove(nx_expiry *expiry, nx_slab *slab, const nx_rec *rec);

typedef enum { NX_EXPIRY_NOTHING, NX_EXPIRY_POSTPONED, NX_EXPIRY_DUE } nx_expiry_step;
/* Looks at the earliest entry. DUE: *due is a record whose time has come, still entered. */
nx_expiry_step nx_expiry_next(nx_expiry *expiry, int64_t now_ms, nx_rec **due);

#endif
