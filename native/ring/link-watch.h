// The cable and the size of one interface, told by the kernel the moment they change (rtnetlink), so
// that a pulled cable is known long before silence proves it. Needs no privilege.
#pragma once

#include <memory>

#include "ring/packet-socket.h"

namespace twinstep::ring {

class LinkWatch {
 public:
  struct Opened {
    std::unique_ptr<LinkWatch> watch;  // null on failure
    Failure failure;
  };
  static Opened open(int interface);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  int fd() const { return fd_; }
  // Reads what there is; whether it was about our interface (`gone`: it does not exist any more).
  struct News {
    bool changed = false;
    bool gone = false;
  };
  News read();

 private:
  LinkWatch(int interface, int fd) : interface_(interface), fd_(fd) {}
  int interface_;
  int fd_;
};

}  // namespace twinstep::ring
