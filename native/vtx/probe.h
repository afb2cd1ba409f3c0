// What this host's KVM is good for, found out by trying it on guests of a few instructions.
#pragma once

#include <string>
#include <vector>

namespace twinstep::vtx {

struct Probe {
  bool is_usable = false;       // single steps, exits and long mode give the right results
  bool is_limited = false;      // usable, but slow or lacking instructions
  bool tells_tsc = false;       // RDTSC exits (our kernel patch)
  bool tables_follow = false;   // KVM's shadow of page tables is never behind (our kernel patch)
  bool counts_branches = false; // a branch counter for guests
  std::vector<std::string> words;
};

// Never throws; a KVM that fails is one that is not usable. Takes some milliseconds, on a limited KVM
// some hundred. `only_exact`: a host that counts no branches is not looked at any further.
Probe probe(bool only_exact);

}  // namespace twinstep::vtx
