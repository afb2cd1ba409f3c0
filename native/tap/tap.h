// A TAP interface: Ethernet frames to and from the host's network, one read or write a frame.
//
// The guest's network card on the host's side. Frames carry no header of the kernel's (IFF_NO_PI,
// no virtio header) and no unfinished checksums or oversized segments: offloads are switched off,
// so a frame is what would be on a wire.
//
// Sources: Linux Documentation/networking/tuntap.rst, netdevice(7).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace twinstep::tap {

// The largest frame any MTU allows, with room for a VLAN tag.
inline constexpr size_t kFrameBytesMax = 65536;

// Why an interface could not be opened; `code` is stable, `words` are for people.
struct Failure {
  const char* code;
  std::string words;
};

enum class ReadOutcome { frame, none, gone, failed };
struct ReadResult {
  ReadOutcome outcome;
  size_t bytes;
};

enum class WriteOutcome {
  sent,
  full,        // the kernel takes no more at the moment (EAGAIN, ENOBUFS)
  down,        // the interface is not up
  bad_length,  // no Ethernet frame
  gone,        // the interface was deleted
  failed,      // anything else
};

struct Info {
  std::string name;  // as it is called now
  std::array<uint8_t, 6> mac;
  uint32_t mtu_bytes;
  bool is_up;
};

// Owns the descriptor. All calls are non-blocking.
class Tap {
 public:
  // Opens the existing TAP interface `name`, to which nobody else may be attached.
  static std::optional<Tap> open(const std::string& name, Failure& failure);

  Tap(Tap&& other) noexcept;
  Tap& operator=(Tap&& other) noexcept;
  ~Tap();

  int fd() const { return fd_; }
  ReadResult read(uint8_t* into, size_t capacity) const;
  WriteOutcome write(const uint8_t* frame, size_t bytes) const;
  std::optional<Info> info(Failure& failure) const;

 private:
  explicit Tap(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace twinstep::tap
