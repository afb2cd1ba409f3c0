// /dev/kvm as this engine uses it: one virtual machine with one vCPU, guest memory in at most two
// slots with a dirty log, no interrupt controller and no timer in the kernel.
//
// Thin on purpose: descriptors, ioctls and the shared page, with failures as words. What the calls
// mean for a guest is engine.cc's business. Source: Linux, Documentation/virt/kvm/api.rst.
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace twinstep::vtx {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

// KVM refused or gave up: the engine cannot go on. The text says what and why.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Of our kernel patch (buildroot/patches/linux): RDTSC and RDTSCP leave to user space.
inline constexpr u32 kCapRdtscExit = 0x5453;
inline constexpr u32 kReasonRdtsc = 1u << 16, kReasonRdtscp = 1u << 17;
inline constexpr u32 kTscMsr = 0x10;
// Of our other one: KVM's shadow of the guest's page tables follows them at once (docs/decisions/0081).
inline constexpr u32 kCapTablesFollow = 0x5454;
inline constexpr u64 kTablesWritten = 2, kTablesWrittenMax = 1024;

// As kvm_xsave, which has another size in C++ than in C.
struct XsaveImage {
  u32 region[1024];
};
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, XsaveImage);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, XsaveImage);

class File {
 public:
  explicit File(int fd = -1) : fd_(fd) {}
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  void take(int fd);
  int get() const { return fd_; }

 private:
  int fd_;
};

struct MsrList {
  static constexpr u32 kMax = 40;
  u32 count = 0;
  kvm_msr_entry entry[kMax];
  void add(u32 index, u64 value = 0) { entry[count++] = {index, 0, value}; }
};

class Kvm {
 public:
  struct Options {
    bool exits_for_tsc = false;   // ask for RDTSC exits; `tells_tsc` says whether they come
    bool filters_msrs = false;    // MSRs the guest model keeps itself leave to user space
  };
  Kvm(u8* ram, u64 ram_bytes, u64 low_bytes, Options options);
  ~Kvm();
  Kvm(const Kvm&) = delete;
  Kvm& operator=(const Kvm&) = delete;

  kvm_run& shared() { return *run_; }
  // KVM_RUN; false when a signal or immediate_exit ended it.
  bool run();
  // Lets what is under way inside KVM end without entering the guest; answers false when that made
  // one more exit (the next piece of a wide access).
  bool settle();
  // The same where nobody wants the outcome: guest memory is out of its reach meanwhile.
  void drop_pending();
  // Gives guest memory to KVM anew: it forgets every translation. The dirty log goes, too: take it before.
  void forget_all();
  // Where tables follow: page tables among these pages were written by us.
  void pages_written(u64 physical, u64 bytes);

  template <class T>
  void get(unsigned long request, T& into, const char* what) {
    call(vcpu_.get(), request, &into, what);
  }
  template <class T>
  void set(unsigned long request, const T& from, const char* what) {
    call(vcpu_.get(), request, const_cast<T*>(&from), what);
  }
  void get_msrs(MsrList& list);
  void set_msrs(const MsrList& list);
  void set_cpuid(const kvm_cpuid_entry2* entries, u32 count);
  void single_step(bool on);
  // ORs the pages written since the last call into `bitmap`, by offset in RAM.
  void take_dirty(u64* bitmap);
  bool tells_tsc() const { return tells_tsc_; }
  bool tables_follow() const { return tables_follow_; }
  // KVM has page tables of its own, made from the guest's: anything but nested paging.
  bool shadows_tables() const { return shadows_tables_; }
  // How often guest memory was given to KVM: each time it forgets every translation.
  u64 slots_made() const { return slots_made_; }

 private:
  static void call(int fd, unsigned long request, void* argument, const char* what);
  void map_memory(bool present);
  void filter_msrs();
  void enable(u32 capability, u64 argument, const char* what);

  u8* ram_;
  u64 ram_bytes_, low_bytes_;
  File device_, vm_, vcpu_;
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
  bool tells_tsc_ = false, tables_follow_ = false, shadows_tables_ = false;
  u64 slots_made_ = 0;
};

}  // namespace twinstep::vtx
