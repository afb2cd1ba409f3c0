// Pseudo-terminals: a pair of connected ends, what is written to one is read from the other, with a
// terminal's settings between. And those settings for any terminal: Node's raw mode still translates
// line ends of output.
//
// Sources: pty(7), posix_openpt(3), termios(3).
#pragma once

#include <termios.h>

#include <string>

namespace twinstep::pty {

struct Pair {
  int master = -1;   // non-blocking, closed on exec
  int slave = -1;    // the same end that `path` opens; while it is open the master sees no hang-up
  std::string path;  // /dev/pts/N
};

// Raw passes every byte as it is; otherwise the terminal has the system's usual settings. On failure
// `error` is errno and nothing is left open.
bool open(bool is_raw, Pair& pair, int& error);

// Makes the terminal at `fd` pass every byte as it is, in both directions; `before` is what restores
// it. False with errno in `error` when it is no terminal.
bool make_raw(int fd, termios& before, int& error);
bool restore(int fd, const termios& before, int& error);

}  // namespace twinstep::pty
