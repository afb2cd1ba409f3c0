// A pair of pseudo-terminals, raw and without echo.
#pragma once

#include <string>

namespace twinstep::pty {

struct Pair {
  int master = -1;
  std::string slave_path;
  int error = 0;
};

Pair open_pair();

}  // namespace twinstep::pty
