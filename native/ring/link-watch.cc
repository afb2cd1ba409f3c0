// See link-watch.h. Source: rtnetlink(7).
#include "ring/link-watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace twinstep::ring {

LinkWatch::Opened LinkWatch::open(int interface) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return {nullptr, {errno, std::string("netlink: ") + std::strerror(errno)}};
  std::unique_ptr<LinkWatch> made(new LinkWatch(interface, fd));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return {nullptr, {errno, std::string("netlink: ") + std::strerror(errno)}};
  }
  return {std::move(made), {}};
}

LinkWatch::~LinkWatch() { close(fd_); }

LinkWatch::News LinkWatch::read() {
  News news;
  alignas(nlmsghdr) char buffer[16384];
  for (;;) {
    ssize_t bytes = recv(fd_, buffer, sizeof(buffer), 0);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) {
      // ENOBUFS: messages were lost; some of them may have been about us.
      if (errno == ENOBUFS) news.changed = true;
      if (errno == ENOBUFS) continue;
      return news;
    }
    auto left = static_cast<unsigned>(bytes);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      const bool about_link =
          message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK;
      if (!about_link || message->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) continue;
      const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
      if (link->ifi_index != interface_) continue;
      news.changed = true;
      if (message->nlmsg_type == RTM_DELLINK) news.gone = true;
    }
  }
}

}  // namespace twinstep::ring
