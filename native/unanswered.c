/*
 * Connections of a TCP listener that nobody ever answered, because no whole request came: the runtime's HTTP server
 * keeps them for ever, and each takes a file from this process. The kernel knows how long a peer has been silent, and
 * whether it was sent anything; shutting its socket down makes the runtime close it as if the peer had gone.
 *
 * Only on the thread that owns the sockets, so that a descriptor cannot become another's between look and act.
 */
#include "nx.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Whom to end. As src/native/system.ts lays it out. */
typedef struct {
  uint32_t silent_ms_min;      /* said nothing for so long, */
  uint32_t received_bytes_max; /* and no more than so much before */
  uint32_t connected_min;      /* while more connections than so many are left by the rules before */
} nx_unanswered_rule;

NX_API uint32_t nx_unanswered_close(uint32_t port, const nx_unanswered_rule *rules, uint32_t rule_count,
                                    uint32_t *closed);

/* Descriptors are given from the lowest free one: behind so many that are free there are none in use. */
#define FREE_RUN_MAX 2048

static uint32_t port_of(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)address)->sin_port);
  if (address->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
  return UINT32_MAX;
}

/* False for what is no connection that came in at this port. Leaves errno. */
static bool is_connection_at(int fd, uint32_t port) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) != 0 || port_of(&address) != port) return false;
  length = sizeof address;
  return getpeername(fd, (struct sockaddr *)&address, &length) == 0;
}

/* One that was never sent anything. */
typedef struct {
  int fd; /* -1 once it was ended */
  uint32_t silent_ms;
  uint64_t received_bytes;
} candidate;

typedef struct {
  candidate *list;
  size_t count, room;
} candidates;

static bool is_unanswered(int fd, candidate *found) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;
  /* A kernel before 4.19 does not count what was sent. */
  if (length < offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof info.tcpi_bytes_sent) return false;
  *found = (candidate){
    .fd = fd, .silent_ms = info.tcpi_last_data_recv, .received_bytes = info.tcpi_bytes_received};
  return info.tcpi_bytes_sent == 0;
}

static void add(candidates *all, const candidate *found) {
  if (all->count == all->room) {
    all->room = all->room == 0 ? 64 : 2 * all->room;
    all->list = realloc(all->list, all->room * sizeof *all->list);
    NX_ASSERT(all->list != NULL);
  }
  all->list[all->count++] = *found;
}

/* Returns how many connections there are at the port, answered or not. */
static uint32_t find(uint32_t port, candidates *all) {
  uint32_t connected = 0;
  for (int fd = 0, free_run = 0; free_run < FREE_RUN_MAX; fd++) {
    errno = 0;
    bool is_connection = is_connection_at(fd, port);
    free_run = errno == EBADF ? free_run + 1 : 0;
    if (!is_connection) continue;
    connected++;
    candidate found;
    if (is_unanswered(fd, &found)) add(all, &found);
  }
  return connected;
}

static uint32_t apply(const nx_unanswered_rule *rule, candidates *all) {
  uint32_t closed = 0;
  for (size_t index = 0; index < all->count; index++) {
    candidate *each = &all->list[index];
    if (each->fd < 0 || each->silent_ms < rule->silent_ms_min || each->received_bytes > rule->received_bytes_max)
      continue;
    if (shutdown(each->fd, SHUT_RDWR) == 0) closed++;
    each->fd = -1;
  }
  return closed;
}

/* Ends those that meet one of the rules, which are applied in their order to what one walk over all descriptors found.
 * Returns how many connections there were in all; `closed`: how many each rule ended. */
uint32_t nx_unanswered_close(uint32_t port, const nx_unanswered_rule *rules, uint32_t rule_count,
                             uint32_t *closed) {
  candidates all = {0};
  const uint32_t connected = find(port, &all);
  uint32_t left = connected;
  for (uint32_t index = 0; index < rule_count; index++) {
    closed[index] = left > rules[index].connected_min ? apply(&rules[index], &all) : 0;
    left -= closed[index];
  }
  free(all.list);
  return connected;
}
