// Asks a neighbour by ARP whether it is there. ARP is answered below any firewall, and a probe with
// an empty sender address (RFC 5227) needs no address of our own and changes nobody's tables.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "watchdog/wdt.h"

namespace twinstep::watchdog {

using Ipv4 = std::array<uint8_t, 4>;
using Mac = std::array<uint8_t, 6>;

// A packet socket for ARP on one interface. Needs CAP_NET_RAW. The value is the descriptor.
Result arp_open(const std::string& interface);
// Sends one question for `target` to one station (RFC 1122, 2.3.2.1: a unicast poll), or to ff:ff:ff:ff:ff:ff.
Result arp_ask(int fd, const Ipv4& target, const Mac& to);
// Drains what has arrived; the value is how many frames came from `target`, `from` the station of the last.
Result arp_answers(int fd, const Ipv4& target, Mac& from);

}  // namespace twinstep::watchdog
