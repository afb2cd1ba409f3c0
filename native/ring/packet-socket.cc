// See packet-socket.h. Sources: packet(7), Documentation/networking/packet_mmap.rst of Linux.
#include "ring/packet-socket.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace twinstep::ring {
namespace {

constexpr uint32_t kBlockBytes = 1 << 18;
// What the kernel puts in front of a frame in its slot, rounded up generously.
constexpr uint32_t kSlotOverheadBytes = 128;

Failure failure(const std::string& what) {
  const int error = errno;
  return {error, what + ": " + std::strerror(error)};
}

bool ask(int fd, unsigned long request, ifreq& about) { return ioctl(fd, request, &about) == 0; }

}  // namespace

Failure look_up(const std::string& name, Interface& into) {
  ifreq about{};
  if (name.empty() || name.size() >= sizeof(about.ifr_name)) {
    return {ENODEV, "no interface can be named \"" + name + "\""};
  }
  std::memcpy(about.ifr_name, name.data(), name.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);  // any socket will do to ask
  if (fd < 0) return failure("socket");
  Failure result;
  if (!ask(fd, SIOCGIFINDEX, about)) {
    result = failure(name);
  } else {
    into.index = about.ifr_ifindex;
    if (!ask(fd, SIOCGIFHWADDR, about)) {
      result = failure(name);
    } else if (about.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
      result = {EMEDIUMTYPE, name + " is not an Ethernet interface"};
    } else {
      std::memcpy(into.mac.data(), about.ifr_hwaddr.sa_data, into.mac.size());
    }
  }
  if (result.error == 0 && ask(fd, SIOCGIFMTU, about)) into.mtu = about.ifr_mtu;
  if (result.error == 0 && ask(fd, SIOCGIFFLAGS, about)) {
    into.up = (about.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
  }
  close(fd);
  return result;
}

PacketSocket::Opened PacketSocket::open(const Options& options) {
  // Protocol 0: it receives nothing before it is bound to its interface.
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return {nullptr, failure("raw Ethernet socket")};
  std::unique_ptr<PacketSocket> made(new PacketSocket(options, fd));
  Failure failed = made->set_up();
  if (failed.error != 0) return {nullptr, failed};
  return {std::move(made), {}};
}

Failure PacketSocket::set_up() {
  const int version = TPACKET_V2;
  if (setsockopt(fd_, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0) {
    return failure("TPACKET_V2");
  }
  const uint32_t needed = options_.payload_bytes_max + ETH_HLEN + kSlotOverheadBytes;
  slot_bytes_ = (needed + TPACKET_ALIGNMENT - 1) / TPACKET_ALIGNMENT * TPACKET_ALIGNMENT;
  slots_per_block_ = kBlockBytes / slot_bytes_;
  tpacket_req request{};
  request.tp_block_size = kBlockBytes;
  request.tp_frame_size = slot_bytes_;
  request.tp_block_nr = (options_.receive_slots + slots_per_block_ - 1) / slots_per_block_;
  request.tp_frame_nr = request.tp_block_nr * slots_per_block_;
  options_.receive_slots = request.tp_frame_nr;
  if (setsockopt(fd_, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) != 0) {
    return failure("receive ring");
  }
  ring_bytes_ = size_t{request.tp_block_nr} * kBlockBytes;
  void* mapped = mmap(nullptr, ring_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (mapped == MAP_FAILED) return failure("mapping the receive ring");
  ring_ = static_cast<uint8_t*>(mapped);

  staging_ = std::make_unique<uint8_t[]>(staging_bytes());
  const uint16_t type = htons(options_.ethertype);
  for (uint32_t i = 0; i < options_.send_slots; i++) {
    uint8_t* header = staging_.get() + size_t{i} * send_stride();
    std::memcpy(header + ETH_ALEN, options_.mac.data(), ETH_ALEN);
    std::memcpy(header + 2 * ETH_ALEN, &type, sizeof(type));
  }
  set_destination({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});

  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = type;
  address.sll_ifindex = options_.interface;
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return failure("binding to the interface");
  }
  return {};
}

PacketSocket::~PacketSocket() {
  if (ring_ != nullptr) munmap(ring_, ring_bytes_);
  close(fd_);
}

uint32_t PacketSocket::send_stride() const {
  // Slots on cache lines of their own.
  return (options_.payload_bytes_max + ETH_HLEN + 63) / 64 * 64;
}

uint8_t* PacketSocket::slot(uint64_t index) const {
  const uint64_t at = index % options_.receive_slots;
  return ring_ + at / slots_per_block_ * kBlockBytes + at % slots_per_block_ * slot_bytes_;
}

size_t PacketSocket::receive(FrameRef* into, size_t max) {
  size_t count = 0;
  // Slots not released yet are still ours and look as if they had just arrived.
  while (count < max && next_ - released_ < options_.receive_slots) {
    uint8_t* at = slot(next_);
    // SAFETY: the kernel writes a slot only while its status says so; the acquire pairs with that.
    auto* header = reinterpret_cast<tpacket2_hdr*>(at);
    const uint32_t status = __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE);
    if ((status & TP_STATUS_USER) == 0) break;
    next_++;
    const auto* from =
        reinterpret_cast<const sockaddr_ll*>(at + TPACKET_ALIGN(sizeof(tpacket2_hdr)));
    const bool for_us = from->sll_pkttype != PACKET_OTHERHOST;
    const uint8_t* ethernet = at + header->tp_mac;
    if (!for_us || header->tp_snaplen < ETH_HLEN ||
        (wants_sender_ && std::memcmp(ethernet + ETH_ALEN, wanted_sender_.data(), ETH_ALEN) != 0)) {
      counters_.foreign++;
    } else if (header->tp_snaplen < header->tp_len) {
      counters_.oversized++;
    } else {
      into[count].offset = static_cast<uint32_t>(ethernet + ETH_HLEN - ring_);
      into[count].bytes = header->tp_snaplen - ETH_HLEN;
      count++;
    }
  }
  return count;
}

void PacketSocket::release() {
  for (; released_ < next_; released_++) {
    auto* header = reinterpret_cast<tpacket2_hdr*>(slot(released_));
    __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  }
}

uint32_t PacketSocket::send(uint32_t first, uint32_t count, const uint32_t* bytes) {
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t at = (first + i) % options_.send_slots;
    const uint32_t payload = std::min(bytes[at], options_.payload_bytes_max);
    const uint8_t* frame = staging_.get() + size_t{at} * send_stride();
    ssize_t sent;
    do sent = ::send(fd_, frame, ETH_HLEN + payload, MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) continue;
    if (errno == EAGAIN) return i;
    counters_.unsent++;  // link down, queue full, too large: as good as lost on the way
  }
  return count;
}

void PacketSocket::set_destination(const Mac& mac) {
  for (uint32_t i = 0; i < options_.send_slots; i++) {
    std::memcpy(staging_.get() + size_t{i} * send_stride(), mac.data(), mac.size());
  }
}

int PacketSocket::take_error() {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

Counters PacketSocket::counters() {
  tpacket_stats now{};  // reading sets the kernel's own back to zero
  socklen_t size = sizeof(now);
  if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &now, &size) == 0) {
    counters_.overrun += now.tp_drops;
  }
  return counters_;
}

}  // namespace twinstep::ring
