// Raw Ethernet of one EtherType on one interface, as cheap as the kernel offers it.
//
// Receiving: TPACKET_V2 ring. Version 3 hands frames over in blocks, after a timer of at least a
// millisecond when a block does not fill: that would be the channel's latency. Version 2 wakes us for
// the first frame and lets us take all that have arrived meanwhile without a system call.
// Sending: send() from a staging area. The transmit ring was measured and gains nothing
// (docs/decisions/0020).
#pragma once

#include <net/ethernet.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace twinstep::ring {

using Mac = std::array<uint8_t, ETH_ALEN>;

// What the kernel refused, in words; `error` is the errno, 0 when nothing failed.
struct Failure {
  int error = 0;
  std::string words;
};

struct Interface {
  int index = 0;
  Mac mac{};
  bool up = false;
  uint32_t mtu = 0;
};

// The interface as it is now; fails for one that does not exist or is no Ethernet.
Failure look_up(const std::string& name, Interface& into);

// A received frame: where its payload begins in the ring, behind the Ethernet header.
struct FrameRef {
  uint32_t offset;
  uint32_t bytes;
};

struct Counters {
  uint64_t overrun = 0;    // no slot was free
  uint64_t oversized = 0;  // larger than a slot
  uint64_t foreign = 0;    // for another station, or from one that is not the wanted peer
  uint64_t unsent = 0;     // refused when sending
};

class PacketSocket {
 public:
  struct Options {
    int interface = 0;
    Mac mac{};
    uint16_t ethertype = 0;
    uint32_t payload_bytes_max = 0;  // of a received frame; larger ones are counted
    uint32_t receive_slots = 0;
    uint32_t send_slots = 0;
  };
  struct Opened {
    std::unique_ptr<PacketSocket> socket;  // null on failure
    Failure failure;
  };
  static Opened open(const Options& options);
  ~PacketSocket();
  PacketSocket(const PacketSocket&) = delete;
  PacketSocket& operator=(const PacketSocket&) = delete;

  int fd() const { return fd_; }
  uint8_t* ring() const { return ring_; }
  size_t ring_bytes() const { return ring_bytes_; }
  // Frames to send are put here: slot i at i * send_stride(), Ethernet header first.
  uint8_t* staging() const { return staging_.get(); }
  size_t staging_bytes() const { return size_t{options_.send_slots} * send_stride(); }
  uint32_t send_stride() const;

  // Collects up to `max` frames that have arrived; they are ours until release().
  size_t receive(FrameRef* into, size_t max);
  void release();

  // Sends payloads of `bytes[i]` from slots first, first + 1, ... (around the end); how many were
  // dealt with. Fewer than `count`: the socket's buffer is full, wait until it is writable.
  uint32_t send(uint32_t first, uint32_t count, const uint32_t* bytes);

  void set_destination(const Mac& mac);
  // Frames of other senders are dropped and counted.
  void set_wanted_sender(const Mac& mac) { wanted_sender_ = mac, wants_sender_ = true; }

  // Clears what made the socket signal an error: the interface went down.
  int take_error();
  Counters counters();

 private:
  PacketSocket(const Options& options, int fd) : options_(options), fd_(fd) {}
  Failure set_up();
  uint8_t* slot(uint64_t index) const;

  Options options_;
  int fd_;
  uint8_t* ring_ = nullptr;
  size_t ring_bytes_ = 0;
  uint32_t slot_bytes_ = 0;
  uint32_t slots_per_block_ = 0;
  uint64_t next_ = 0;      // slot the kernel fills next that we have not looked at
  uint64_t released_ = 0;  // slots before this one are the kernel's
  std::unique_ptr<uint8_t[]> staging_;
  Mac wanted_sender_{};
  bool wants_sender_ = false;
  Counters counters_;
};

}  // namespace twinstep::ring
