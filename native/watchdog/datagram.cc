#include "watchdog/datagram.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace twinstep::watchdog {
namespace {

bool is_empty(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

sockaddr_in station(const Ipv4& address, uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  std::memcpy(&result.sin_addr, address.data(), address.size());
  return result;
}

}  // namespace

Result datagram_open(const Ipv4& address, uint16_t port) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return {0, errno};
  const sockaddr_in own = station(address, port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) < 0) {
    const int error = errno;
    close(fd);
    return {0, error};
  }
  return {fd, 0};
}

Result datagram_port(int fd) {
  sockaddr_in own{};
  socklen_t size = sizeof own;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) < 0) return {0, errno};
  return {ntohs(own.sin_port), 0};
}

Result datagram_say(int fd, const Ipv4& to, uint16_t port, const uint8_t* bytes, size_t size) {
  const sockaddr_in there = station(to, port);
  const ssize_t sent =
      sendto(fd, bytes, size, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&there), sizeof there);
  if (sent < 0) return {0, errno};
  return {sent, 0};
}

Result datagram_hear(int fd, uint8_t* bytes, size_t room, Ipv4& from) {
  sockaddr_in there{};
  // An error that waits on the socket is of a datagram sent before, and is told once: what came is behind it.
  for (int told = 0; told < 4; told++) {
    socklen_t size = sizeof there;
    const ssize_t got = recvfrom(fd, bytes, room, MSG_DONTWAIT | MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&there), &size);
    if (got >= 0) {
      std::memcpy(from.data(), &there.sin_addr, from.size());
      return {got, 0};
    }
    if (is_empty(errno)) return {-1, 0};
    if (errno == EBADF) return {0, errno};
  }
  return {-1, 0};
}

Result terminal_read(int fd, uint8_t* bytes, size_t room) {
  int there = 0;
  if (ioctl(fd, FIONREAD, &there) != 0) return {0, errno};
  if (there == 0) return {0, 0};
  const ssize_t got = read(fd, bytes, room);
  if (got >= 0) return {got, 0};
  if (is_empty(errno) || errno == EINTR) return {0, 0};
  return {0, errno};
}

}  // namespace twinstep::watchdog
