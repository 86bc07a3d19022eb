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
#include <sys/socket.h>

NX_API uint32_t nx_unanswered_close(uint32_t port, uint32_t silent_ms_min, uint32_t received_bytes_max,
                                    uint32_t *connected);

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

static bool is_unanswered(int fd, uint32_t silent_ms_min, uint32_t received_bytes_max) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;
  /* A kernel before 4.19 does not count what was sent. */
  if (length < offsetof(struct tcp_info, tcpi_bytes_sent) + sizeof info.tcpi_bytes_sent) return false;
  return info.tcpi_bytes_sent == 0 && info.tcpi_bytes_received <= received_bytes_max &&
         info.tcpi_last_data_recv >= silent_ms_min;
}

/* Ends those that sent no more than so many bytes and were silent for so long. Returns how many; `connected`: how many
 * connections there were in all. */
uint32_t nx_unanswered_close(uint32_t port, uint32_t silent_ms_min, uint32_t received_bytes_max,
                             uint32_t *connected) {
  uint32_t closed = 0;
  *connected = 0;
  for (int fd = 0, free_run = 0; free_run < FREE_RUN_MAX; fd++) {
    errno = 0;
    bool is_connection = is_connection_at(fd, port);
    free_run = errno == EBADF ? free_run + 1 : 0;
    if (!is_connection) continue;
    ++*connected;
    if (is_unanswered(fd, silent_ms_min, received_bytes_max) && shutdown(fd, SHUT_RDWR) == 0) closed++;
  }
  return closed;
}
