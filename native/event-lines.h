/*
 * What an engine has to say to people, a line each, until its owner has written them to the log.
 *
 * Invariant: bounded. Beyond NX_EVENTS_BYTES_MAX lines are dropped, so a hostile client cannot make memory grow by what is
 * said of it; a line is cut where the buffer ends.
 */
#ifndef NX_EVENT_LINES_H
#define NX_EVENT_LINES_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "buffer.h"
#include "nx.h"

#define NX_EVENTS_BYTES_MAX 16384u

/* Appends one line, formatted as vprintf does it; false when there is no room for more. */
static inline bool nx_events_append(nx_buffer *events, const char *format, va_list arguments) {
  if (events->length > NX_EVENTS_BYTES_MAX) return false;
  char line[512];
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  NX_ASSERT(length >= 0);
  if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
  line[length] = '\n';
  nx_buffer_append(events, line, (uint64_t)length + 1);
  return true;
}

#endif
