#include "vtx/kvm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace twinstep::vtx {

namespace {

std::string words(const char* what, int error) {
  return std::string("KVM: ") + what + ": " + std::strerror(error);
}

// Intel without unrestricted guest keeps a TSS and a page table in guest-physical space: four pages
// below the firmware, where this machine has neither RAM nor devices.
constexpr u64 kIdentityMap = 0xfffbc000, kTss = 0xfffbd000;

// Structures with a flexible array have another size in C++ than in C, and with it requests that encode
// the size get another number. So these, and the structures, are written down again (XSAVE: kvm.h).
constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, u64);
constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, u64);
constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, u64);

// As the module that is loaded says; one that says nothing has none.
bool has_nested_paging() {
  for (const char* path : {"/sys/module/kvm_intel/parameters/ept", "/sys/module/kvm_amd/parameters/npt"}) {
    File file(open(path, O_RDONLY | O_CLOEXEC));
    char value = 0;
    if (file.get() >= 0 && read(file.get(), &value, 1) == 1 && (value == 'Y' || value == '1')) return true;
  }
  return false;
}

// kvm_msrs with room behind it.
struct Msrs {
  u32 count, pad;
  kvm_msr_entry entry[MsrList::kMax];
};
constexpr size_t kCountBytes = 8;  // number and padding before the entries, here and in kvm_cpuid2

}  // namespace

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

void File::take(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

void Kvm::call(int fd, unsigned long request, void* argument, const char* what) {
  while (ioctl(fd, request, argument) < 0) {
    if (errno != EINTR) throw Failure(words(what, errno));
  }
}

Kvm::Kvm(u8* ram, u64 ram_bytes, u64 low_bytes, Options options)
    : ram_(ram), ram_bytes_(ram_bytes), low_bytes_(low_bytes) {
  device_.take(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (device_.get() < 0) throw Failure(words("/dev/kvm does not open", errno));
  const int api = ioctl(device_.get(), KVM_GET_API_VERSION, 0);
  if (api != KVM_API_VERSION) throw Failure("KVM: interface version " + std::to_string(api));
  vm_.take(ioctl(device_.get(), KVM_CREATE_VM, 0));
  if (vm_.get() < 0) throw Failure(words("no virtual machine", errno));
  ioctl(vm_.get(), KVM_SET_IDENTITY_MAP_ADDR, &kIdentityMap);  // AMD has no use for these two
  ioctl(vm_.get(), KVM_SET_TSS_ADDR, kTss);
  if (options.exits_for_tsc &&
      ioctl(device_.get(), KVM_CHECK_EXTENSION, kCapRdtscExit) > 0) {
    enable(kCapRdtscExit, 1, "RDTSC exits");
    tells_tsc_ = true;
  }
  if (ioctl(device_.get(), KVM_CHECK_EXTENSION, kCapTablesFollow) > 0) {
    enable(kCapTablesFollow, 1, "tables that follow");
    tables_follow_ = true;
  }
  shadows_tables_ = tables_follow_ || !has_nested_paging();
  if (options.filters_msrs) filter_msrs();
  map_memory(true);
  vcpu_.take(ioctl(vm_.get(), KVM_CREATE_VCPU, 0));
  if (vcpu_.get() < 0) throw Failure(words("no virtual CPU", errno));
  const int bytes = ioctl(device_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (bytes < static_cast<int>(sizeof(kvm_run))) throw Failure("KVM: no shared page");
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_.get(), 0);
  if (at == MAP_FAILED) throw Failure(words("the shared page does not map", errno));
  run_ = static_cast<kvm_run*>(at);
  run_bytes_ = static_cast<size_t>(bytes);
}

Kvm::~Kvm() {
  if (run_ != nullptr) munmap(run_, run_bytes_);
}

void Kvm::enable(u32 capability, u64 argument, const char* what) {
  kvm_enable_cap cap{};
  cap.cap = capability;
  cap.args[0] = argument;
  call(vm_.get(), KVM_ENABLE_CAP, &cap, what);
}

// Every MSR is asked of user space, but for those the CPU itself uses at speed: SYSENTER, SYSCALL,
// FS, GS and KernelGS bases, EFER.
void Kvm::filter_msrs() {
  enable(KVM_CAP_X86_USER_SPACE_MSR,
         KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER,
         "MSR exits");
  u64 sysenter = 0x07;  // 174..176
  u64 fast = 0x1f;      // c0000080..84: EFER STAR LSTAR CSTAR SFMASK
  u64 bases = 0x07;     // c0000100..102
  kvm_msr_filter filter{};
  filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
  constexpr u32 both = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
  filter.ranges[0] = {both, 3, 0x174, reinterpret_cast<u8*>(&sysenter)};
  filter.ranges[1] = {both, 5, 0xc0000080, reinterpret_cast<u8*>(&fast)};
  filter.ranges[2] = {both, 3, 0xc0000100, reinterpret_cast<u8*>(&bases)};
  call(vm_.get(), KVM_X86_SET_MSR_FILTER, &filter, "MSR filter");
}

void Kvm::map_memory(bool present) {
  slots_made_ += present;
  const auto slot = [&](u32 number, u64 physical, u64 offset, u64 bytes) {
    if (bytes == 0) return;
    kvm_userspace_memory_region region{};
    region.slot = number;
    region.flags = KVM_MEM_LOG_DIRTY_PAGES;
    region.guest_phys_addr = physical;
    region.memory_size = present ? bytes : 0;
    region.userspace_addr = reinterpret_cast<u64>(ram_) + offset;
    call(vm_.get(), KVM_SET_USER_MEMORY_REGION, &region, "guest memory");
  };
  slot(0, 0, 0, low_bytes_);
  slot(1, u64{1} << 32, low_bytes_, ram_bytes_ - low_bytes_);
}

bool Kvm::run() {
  if (ioctl(vcpu_.get(), KVM_RUN, 0) == 0) return true;
  if (errno == EINTR || errno == EAGAIN) return false;
  throw Failure(words("running the guest", errno));
}

bool Kvm::settle() {
  run_->immediate_exit = 1;
  const bool made_exit = run();
  run_->immediate_exit = 0;
  return !made_exit || run_->exit_reason == KVM_EXIT_DEBUG;
}

void Kvm::drop_pending() {
  // Slots that go take their dirty log along: the caller has taken it before (Engine::drop).
  map_memory(false);
  for (int n = 0; n < 4096 && !settle(); n++) {
  }
  map_memory(true);
}

void Kvm::forget_all() {
  map_memory(false);
  map_memory(true);
}

void Kvm::pages_written(u64 physical, u64 bytes) {
  if (!tables_follow_ || bytes == 0) return;
  const u64 end = (physical + bytes - 1) / 4096 + 1;
  for (u64 page = physical / 4096; page < end; page += kTablesWrittenMax) {
    kvm_enable_cap cap{};
    cap.cap = kCapTablesFollow;
    cap.args[0] = kTablesWritten;
    cap.args[1] = page;
    cap.args[2] = std::min(kTablesWrittenMax, end - page);
    call(vm_.get(), KVM_ENABLE_CAP, &cap, "pages that were written");
  }
}

void Kvm::get_msrs(MsrList& list) {
  Msrs all{list.count, 0, {}};
  std::copy(list.entry, list.entry + list.count, all.entry);
  const int done = ioctl(vcpu_.get(), kGetMsrs, &all);
  if (done != static_cast<int>(list.count)) throw Failure("KVM: an MSR cannot be read");
  std::copy(all.entry, all.entry + list.count, list.entry);
}

void Kvm::set_msrs(const MsrList& list) {
  Msrs all{list.count, 0, {}};
  std::copy(list.entry, list.entry + list.count, all.entry);
  const int done = ioctl(vcpu_.get(), kSetMsrs, &all);
  if (done == static_cast<int>(list.count)) return;
  const u32 index = done < 0 ? 0 : list.entry[done].index;
  throw Failure("KVM: MSR " + std::to_string(index) + " cannot be set");
}

void Kvm::set_cpuid(const kvm_cpuid_entry2* entries, u32 count) {
  std::vector<u8> all(kCountBytes + count * sizeof(kvm_cpuid_entry2));
  std::memcpy(all.data(), &count, sizeof count);
  std::memcpy(all.data() + kCountBytes, entries, count * sizeof(kvm_cpuid_entry2));
  call(vcpu_.get(), kSetCpuid2, all.data(), "CPUID");
}

void Kvm::single_step(bool on) {
  kvm_guest_debug debug{};
  if (on) debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
  call(vcpu_.get(), KVM_SET_GUEST_DEBUG, &debug, "single step");
}

void Kvm::take_dirty(u64* bitmap) {
  const auto slot = [&](u32 number, u64 first_page, u64 pages) {
    if (pages == 0) return;
    std::vector<u64> words((pages + 63) / 64);
    kvm_dirty_log log{};
    log.slot = number;
    log.dirty_bitmap = words.data();
    call(vm_.get(), KVM_GET_DIRTY_LOG, &log, "dirty log");
    for (u64 n = 0; n < words.size(); n++) {
      for (u64 left = words[n]; left != 0; left &= left - 1) {
        const u64 page = first_page + n * 64 + static_cast<u64>(__builtin_ctzll(left));
        bitmap[page / 64] |= u64{1} << (page % 64);
      }
    }
  };
  slot(0, 0, low_bytes_ / 4096);
  slot(1, low_bytes_ / 4096, (ram_bytes_ - low_bytes_) / 4096);
}

}  // namespace twinstep::vtx
