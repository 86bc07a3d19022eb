/*
 * What an engine counts of the requests it serves, for stats.log: how many of each kind, how long they took, how
 * many were under way at once, and what was done to records.
 *
 * The requests that one call completes share its time in equal parts: clients that wait for each answer, as the
 * standard ones do, have one request per call, and the clock is read twice a call, not per request. Waiting
 * for the log or for a slow reader is not in it. Figures only: nothing that the engine does depends on them.
 */
#ifndef NX_REQUEST_FIGURES_H
#define NX_REQUEST_FIGURES_H
#include <stdint.h>
#include "nx.h"

/* One kind of request, an array of doubles (src/channels/request-figures.ts reads it). */
enum {
  NX_FIGURE_HANDLED,
  NX_FIGURE_MICROSECONDS,
  NX_FIGURE_10_US, /* handled within this time, and not within the one before */
  NX_FIGURE_100_US,
  NX_FIGURE_1_MS,
  NX_FIGURE_10_MS,
  NX_FIGURE_100_MS,
  NX_FIGURE_LONGER,
  NX_FIGURE_ACTIVE,
  NX_FIGURE_ACTIVE_MAX, /* since it was last set to ACTIVE, by whoever reports it */
  NX_FIGURES
};

/* What was done to records, two doubles each: records and bytes of their values. */
enum {
  NX_ACTION_WRITTEN,
  NX_ACTION_READ,
  NX_ACTION_FORWARDED,
  NX_ACTION_ITERATED,
  NX_ACTION_DELETED,
  NX_ACTIONS
};

#define NX_FIGURE_KINDS 40u /* codes of requests are below it */

typedef struct {
  double kinds[NX_FIGURE_KINDS][NX_FIGURES];
  double actions[NX_ACTIONS][2];
  /* Of the call under way. */
  uint64_t call_start_ns;
  uint32_t call_requests;
  uint32_t call_kinds[NX_FIGURE_KINDS];
} nx_request_figures;

void nx_figures_begin_call(nx_request_figures *figures);
/* Gives the requests of the call their share of its time. */
void nx_figures_end_call(nx_request_figures *figures);

static inline void nx_figures_active(nx_request_figures *figures, uint32_t code, int change) {
  double *kind = figures->kinds[code];
  kind[NX_FIGURE_ACTIVE] += change;
  if (kind[NX_FIGURE_ACTIVE] > kind[NX_FIGURE_ACTIVE_MAX]) kind[NX_FIGURE_ACTIVE_MAX] = kind[NX_FIGURE_ACTIVE];
}

/* A request was executed in this call. */
static inline void nx_figures_handled(nx_request_figures *figures, uint32_t code) {
  NX_ASSERT(code < NX_FIGURE_KINDS);
  double *kind = figures->kinds[code];
  if (kind[NX_FIGURE_ACTIVE_MAX] < kind[NX_FIGURE_ACTIVE] + 1)
    kind[NX_FIGURE_ACTIVE_MAX] = kind[NX_FIGURE_ACTIVE] + 1;
  figures->call_kinds[code] += 1;
  figures->call_requests += 1;
}

static inline void nx_figures_action(nx_request_figures *figures, uint32_t action, uint64_t bytes) {
  figures->actions[action][0] += 1;
  figures->actions[action][1] += (double)bytes;
}

#endif
