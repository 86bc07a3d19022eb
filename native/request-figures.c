/* The share of each request in the time of its call (request-figures.h). */
#include "request-figures.h"

#include <time.h>

static uint64_t now_ns(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0;
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void nx_figures_begin_call(nx_request_figures *figures) { figures->call_start_ns = now_ns(); }

static uint32_t bucket_of(double microseconds) {
  double limit = 10;
  uint32_t bucket = NX_FIGURE_10_US;
  while (bucket < NX_FIGURE_LONGER && microseconds > limit) {
    limit *= 10;
    bucket += 1;
  }
  return bucket;
}

void nx_figures_end_call(nx_request_figures *figures) {
  if (figures->call_requests == 0) return;
  double each = (double)(now_ns() - figures->call_start_ns) / 1000 / figures->call_requests;
  uint32_t bucket = bucket_of(each);
  for (uint32_t code = 0; code < NX_FIGURE_KINDS && figures->call_requests > 0; code++) {
    uint32_t count = figures->call_kinds[code];
    if (count == 0) continue;
    double *kind = figures->kinds[code];
    kind[NX_FIGURE_HANDLED] += count;
    kind[NX_FIGURE_MICROSECONDS] += each * count;
    kind[bucket] += count;
    figures->call_kinds[code] = 0;
    figures->call_requests -= count;
  }
}
