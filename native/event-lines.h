/*
 * What an engine has to say to people, a line each, until its owner has written them to the log.
 *
 * The owner finds them through two places of the engine's block: address, then length. Invariant: bounded. Beyond
 * NX_EVENTS_BYTES_MAX lines are dropped, so a hostile client cannot make memory grow by what is said of it; a line is
 * cut where the buffer ends.
 */
#ifndef NX_EVENT_LINES_H
#define NX_EVENT_LINES_H
#include "buffer.h"

#define NX_EVENTS_BYTES_MAX 16384u

typedef struct {
  nx_buffer lines; /* each ended by a line feed */
  double *places;  /* of the block: address and length of the lines */
} nx_event_lines;

/* One more line, formatted as printf does it. */
__attribute__((format(printf, 2, 3))) void nx_events_say(nx_event_lines *events, const char *format, ...);
/* They were written to the log. */
void nx_events_clear(nx_event_lines *events);
void nx_events_free(nx_event_lines *events);

#endif
