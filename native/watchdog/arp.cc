#include "watchdog/arp.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace twinstep::watchdog {
namespace {

// The Ethernet payload of ARP for IPv4, RFC 826.
struct [[gnu::packed]] Arp {
  uint16_t hardware = htons(1);
  uint16_t protocol = htons(ETHERTYPE_IP);
  uint8_t hardware_bytes = 6;
  uint8_t protocol_bytes = 4;
  uint16_t operation = htons(ARPOP_REQUEST);
  Mac sender_mac{};
  Ipv4 sender{};
  Mac target_mac{};
  Ipv4 target{};
};
static_assert(sizeof(Arp) == 28);

sockaddr_ll address_of(int index) {
  sockaddr_ll address;
  std::memset(&address, 0, sizeof address);
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ARP);
  address.sll_ifindex = index;
  return address;
}

}  // namespace

Result arp_open(const std::string& interface) {
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) return {0, errno};
  const int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return {0, errno};
  const sockaddr_ll address = address_of(static_cast<int>(index));
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    const int error = errno;
    close(fd);
    return {0, error};
  }
  return {fd, 0};
}

Result arp_ask(int fd, const Ipv4& target, const Mac& to) {
  // The name of the socket has index and address of its interface as they are now; it is asked a hundred times a
  // second. Of an interface that is gone it has neither.
  sockaddr_ll own{};
  socklen_t size = sizeof own;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) < 0) return {0, errno};
  Arp arp;
  if (own.sll_ifindex <= 0 || own.sll_halen != arp.sender_mac.size()) return {0, ENODEV};
  std::copy_n(own.sll_addr, arp.sender_mac.size(), arp.sender_mac.begin());
  arp.target = target;
  sockaddr_ll address = address_of(own.sll_ifindex);
  address.sll_halen = 6;
  std::copy(to.begin(), to.end(), address.sll_addr);
  const ssize_t sent = sendto(fd, &arp, sizeof arp, MSG_DONTWAIT,
                              reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (sent < 0) return {0, errno};
  return {sent, 0};
}

Result arp_answers(int fd, const Ipv4& target, Mac& from) {
  int64_t found = 0;
  // Bounded, so that a flood of ARP cannot hold the event loop.
  for (int frame = 0; frame < 256; frame++) {
    Arp arp;
    const ssize_t got = recv(fd, &arp, sizeof arp, MSG_DONTWAIT);
    if (got < 0) {
      const bool empty = errno == EAGAIN || errno == EWOULDBLOCK;
      return {found, empty ? 0 : errno};
    }
    if (got < static_cast<ssize_t>(sizeof arp)) continue;
    // Its questions count as well as its answers: whoever speaks from that address is there.
    if (arp.protocol != htons(ETHERTYPE_IP) || arp.sender != target) continue;
    from = arp.sender_mac;
    found++;
  }
  return {found, 0};
}

}  // namespace twinstep::watchdog
