// Native execution: a breakpoint's signal frame is rewritten to the case's registers; returning
// from the handler runs the instruction; the next signal (fault, or the INT3 behind it) has the
// result.
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "oracle.h"

namespace twinstep::soft::oracle {
namespace {

u8* code_view;  // writable aliases of what the guest side has with its own protections
u8* data_view;

enum class Phase : u8 { idle, enter, running };
volatile Phase phase = Phase::idle;
const Case* current;
Snapshot* result;
gregset_t host_registers;
u8 host_fp[512];

constexpr int kGregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// Linux's 32-bit code segment, and its flat data segment, which compatibility mode needs in DS and
// ES.
constexpr greg_t kUserCs32 = 0x23;
constexpr u16 kUserDs = 0x2b;

// The frame may hold an XSAVE area behind the legacy part: both components are in it.
constexpr u32 kMagicAt = 464, kXsaveMagic = 0x46505853, kHeaderAt = 512;
void put_fp(u8* frame, const void* image) {
  memcpy(frame, image, 416);
  u32 magic;
  memcpy(&magic, frame + kMagicAt, 4);
  if (magic == kXsaveMagic) frame[kHeaderAt] |= 3;
}

void enter(ucontext_t& u) {
  greg_t* g = u.uc_mcontext.gregs;
  memcpy(host_registers, g, sizeof host_registers);
  memcpy(host_fp, u.uc_mcontext.fpregs, 512);
  const Snapshot& in = current->in;
  for (int n = 0; n < 16; n++) g[kGregs[n]] = static_cast<greg_t>(in.gpr[n]);
  g[REG_RIP] = static_cast<greg_t>(in.rip);
  g[REG_EFL] = static_cast<greg_t>(in.rflags);
  // CS sits in the low word of the segment registers.
  if (current->bits == 32) g[REG_CSGSFS] = (g[REG_CSGSFS] & ~greg_t{0xffff}) | kUserCs32;
  put_fp(reinterpret_cast<u8*>(u.uc_mcontext.fpregs), &in.fx);
  phase = Phase::running;
}

void leave(ucontext_t& u) {
  greg_t* g = u.uc_mcontext.gregs;
  Snapshot& out = *result;
  for (int n = 0; n < 16; n++) out.gpr[n] = static_cast<u64>(g[kGregs[n]]);
  out.rip = static_cast<u64>(g[REG_RIP]);
  out.rflags = static_cast<u64>(g[REG_EFL]);
  out.vector = static_cast<u8>(g[REG_TRAPNO]);
  out.error = static_cast<u64>(g[REG_ERR]);
  out.cr2 = static_cast<u64>(g[REG_CR2]);
  memcpy(&out.fx, u.uc_mcontext.fpregs, 416);
  memcpy(g, host_registers, sizeof host_registers);
  put_fp(reinterpret_cast<u8*>(u.uc_mcontext.fpregs), host_fp);
  phase = Phase::idle;
}

void handler(int signal, siginfo_t*, void* context) {
  // The guest may have left AC on, and NT and ID, which a signal frame cannot reset.
  asm volatile("pushfq\n\tandq $~0x244000, (%%rsp)\n\tpopfq" ::: "memory", "cc");
  ucontext_t& u = *static_cast<ucontext_t*>(context);
  if (phase == Phase::enter) {
    enter(u);
  } else if (phase == Phase::running) {
    leave(u);
  } else {
    fprintf(stderr, "signal %d outside of a case at %llx\n", signal,
            static_cast<unsigned long long>(u.uc_mcontext.gregs[REG_RIP]));
    _exit(2);
  }
}

void* map_at(u64 at, u64 bytes, int protection, int fd, u64 offset) {
  void* want = reinterpret_cast<void*>(at);
  const int fixed = at ? MAP_FIXED_NOREPLACE : 0;
  void* p = mmap(want, bytes, protection, MAP_SHARED | MAP_POPULATE | fixed, fd,
                 static_cast<off_t>(offset));
  if (p == MAP_FAILED || (at && p != want)) {
    perror("mapping the case's memory");
    exit(2);
  }
  return p;
}

}  // namespace

bool native_has_32() {
  bool readable;
  asm("verr %w1" : "=@ccz"(readable) : "r"(static_cast<u16>(kUserCs32)));
  return readable;
}

void native_start() {
  asm volatile("movw %0, %%ds\n\tmovw %0, %%es" : : "r"(kUserDs));
  const int fd = memfd_create("oracle", 0);
  const u64 total = kCodeBytes + sizeof(Memory);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(total)) != 0) {
    perror("memory of the case");
    exit(2);
  }
  u8* all = static_cast<u8*>(map_at(0, total, PROT_READ | PROT_WRITE, fd, 0));
  code_view = all;
  data_view = all + kCodeBytes;
  memset(all, 0xcc, total);
  map_at(kCodeAt, kCodeBytes, PROT_READ | PROT_EXEC, fd, 0);
  for (u32 n = 0; n < kDataPages; n++) {
    const bool fixed = kDataPageAt[n] == kReadOnlyAt;
    map_at(kDataPageAt[n], kPage, fixed ? PROT_READ : PROT_READ | PROT_WRITE, fd,
           kCodeBytes + n * kPage);
  }
  // The holes stay holes.
  for (const u64 hole : {kDataAt - kPage, kHoleAt, kHoleAt + kPage, kReadOnlyAt + 2 * kPage}) {
    mmap(reinterpret_cast<void*>(hole), kPage, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  }
  constexpr int kSetGs = 0x1001;
  syscall(SYS_arch_prctl, kSetGs, kGsBase);
  static u8 stack[256 * 1024];
  stack_t alternate = {};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  sigaltstack(&alternate, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int s : {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(s, &action, nullptr);
}

void native_run(const Case& c, Memory& memory, Snapshot& out) {
  memcpy(data_view, memory, sizeof memory);
  memcpy(code_view + (c.at - kCodeAt), c.code, c.length);
  current = &c;
  result = &out;
  phase = Phase::enter;
  asm volatile("int3" ::: "memory");
  memset(code_view + (c.at - kCodeAt), 0xcc, c.length);
  memcpy(memory, data_view, sizeof memory);
}

}  // namespace twinstep::soft::oracle
