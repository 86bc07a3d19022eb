/* The lines of event-lines.h. */
#include "event-lines.h"

#include <stdarg.h>
#include <stdio.h>

#include "nx.h"

static void show(nx_event_lines *events) {
  events->places[0] = (double)(uintptr_t)events->lines.data;
  events->places[1] = (double)events->lines.length;
}

void nx_events_say(nx_event_lines *events, const char *format, ...) {
  if (events->lines.length > NX_EVENTS_BYTES_MAX) return;
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  NX_ASSERT(length >= 0);
  if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
  line[length] = '\n';
  nx_buffer_append(&events->lines, line, (uint64_t)length + 1);
  show(events);
}

void nx_events_clear(nx_event_lines *events) {
  events->lines.length = 0;
  show(events);
}

void nx_events_free(nx_event_lines *events) { nx_buffer_free(&events->lines); }
