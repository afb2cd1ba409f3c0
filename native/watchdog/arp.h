// Asks a neighbour by ARP whether it is there. ARP is answered below any firewall, and a probe with
// an empty sender address (RFC 5227) needs no address of our own and changes nobody's tables.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "watchdog/wdt.h"

namespace twinstep::watchdog {

using Ipv4 = std::array<uint8_t, 4>;

// A packet socket for ARP on one interface. Needs CAP_NET_RAW. The value is the descriptor.
Result arp_open(const std::string& interface);
// Broadcasts one question for `target`.
Result arp_ask(int fd, const std::string& interface, const Ipv4& target);
// Drains what has arrived; the value is how many frames came from `target`.
Result arp_answers(int fd, const Ipv4& target);

}  // namespace twinstep::watchdog
