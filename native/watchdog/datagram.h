// UDP datagrams of the front LAN, said and heard without waiting: whoever asks two hundred times a second whether
// one is there needs no event loop that wakes for each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "watchdog/arp.h"
#include "watchdog/wdt.h"

namespace twinstep::watchdog {

// A socket bound to this address and no other; port 0: any that is free. The value is the descriptor.
Result datagram_open(const Ipv4& address, uint16_t port);
// The port it is bound to.
Result datagram_port(int fd);
// Sends one to a station; the value is its bytes.
Result datagram_say(int fd, const Ipv4& to, uint16_t port, const uint8_t* bytes, size_t size);
// The next that has come, cut to `room` bytes, `from` whom; the value is its bytes, or -1 when there is none.
// What the network says of one that was sent (nobody listens) is none either.
Result datagram_hear(int fd, uint8_t* bytes, size_t room, Ipv4& from);

// What a terminal has now, at most `room` bytes; the value is how many, 0 for none. Asks before it reads: a read of an
// empty terminal waits until the kernel's ordinary thread has handed on what may be under way, which is behind everybody
// on a busy board (n_tty_read, tty_buffer_flush_work of Linux).
Result terminal_read(int fd, uint8_t* bytes, size_t room);

}  // namespace twinstep::watchdog
