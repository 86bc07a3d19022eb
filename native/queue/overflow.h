/*
 * Where rings put what does not fit their memory: equal areas of one file, which belongs to this process alone and means
 * nothing after a crash. An area's disk space is taken step by step before it is written to, so that a full disk is an
 * answer and not a signal, and is given back when the area is empty.
 */
#ifndef NX_QUEUE_OVERFLOW_H
#define NX_QUEUE_OVERFLOW_H
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  int32_t file; /* a descriptor; the caller keeps it open */
  uint64_t area_bytes; /* a multiple of 4096 */
  bool *taken; /* by the number of an area */
  uint32_t area_count;
} nx_overflow;

/* One area. */
typedef struct {
  uint32_t number;
  uint64_t allocated; /* bytes from its start that have disk space */
} nx_overflow_area;

void nx_overflow_free(nx_overflow *overflow);
/* Maps a free area; NULL when the system refuses. */
uint8_t *nx_overflow_take(nx_overflow *overflow, nx_overflow_area *area);
/* Disk space for the area's first `bytes` bytes; false when there is none. */
bool nx_overflow_back(const nx_overflow *overflow, nx_overflow_area *area, uint64_t bytes);
/* The area is empty: its disk space goes back. */
void nx_overflow_empty(const nx_overflow *overflow, nx_overflow_area *area);
void nx_overflow_give_back(nx_overflow *overflow, nx_overflow_area *area, uint8_t *bytes);

#endif
