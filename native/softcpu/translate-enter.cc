// The way into handlers and translations.
//
// Translated code keeps guest registers in all of the host's, and has no frame: handlers it jumps to return
// to here. So this saves what a C++ caller wants back, and its unwind rules bring exceptions through.
#include <cpuid.h>

#include "translate.h"

asm(R"(
  .pushsection .text
  .p2align 4
  .globl twinstep_soft_execute
  .hidden twinstep_soft_execute
  .type twinstep_soft_execute, @function
twinstep_soft_execute:
  .cfi_startproc
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  pushq %r12
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r12, 0
  pushq %r13
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r13, 0
  pushq %r14
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r14, 0
  pushq %r15
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r15, 0
  pushq %rdi
  .cfi_adjust_cfa_offset 8
1:
  call *(%rsi)
  movq (%rsp), %rdi
  movq %rax, %rsi
  testq %rax, %rax
  jne 1b
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %r15
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r15
  popq %r14
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r14
  popq %r13
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r13
  popq %r12
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r12
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbp
  ret
  .cfi_endproc
  .size twinstep_soft_execute, . - twinstep_soft_execute
  .popsection
)");

namespace twinstep::soft::translate {

static_assert(offsetof(Insn, fn) == 0);

namespace {

// QEMU's own processor: in 7.2 its IRET reads the stack with the kernel's rights also where a program executes it, and
// a kernel with SMAP dies of that ("supervisor read access in user mode", seen in emulated boards).
bool is_qemu_tcg() {
  u32 a = 0, b = 0, c = 0, d = 0;
  __cpuid(1, a, b, c, d);
  if ((c >> 31 & 1) == 0) return false;
  __cpuid(0x40000000, a, b, c, d);
  return b == 0x54474354 && c == 0x43544743 && d == 0x47435447;  // TCGTCGTCGTCG
}

}  // namespace

// SDM vol. 3A 8.1.3: code written through another address than it runs at needs a serialising
// instruction in between. IRET is one that no hypervisor intercepts; CPUID is the other.
[[gnu::noinline]] void serialise() {
  static const bool by_cpuid = is_qemu_tcg();
  if (by_cpuid) {
    u32 leaf = 0;
    asm volatile("cpuid" : "+a"(leaf) : : "rbx", "rcx", "rdx", "memory");
    return;
  }
  u64 a, b;
  asm volatile(
      "movq %%rsp, %0\n\t"
      "subq $128, %%rsp\n\t"
      "andq $-16, %%rsp\n\t"
      "movl %%ss, %k1\n\t"
      "pushq %1\n\t"
      "pushq %0\n\t"
      "pushfq\n\t"
      "movl %%cs, %k1\n\t"
      "pushq %1\n\t"
      "leaq 1f(%%rip), %1\n\t"
      "pushq %1\n\t"
      "iretq\n"
      "1:"
      : "=&r"(a), "=&r"(b)
      :
      : "memory", "cc");
}

}  // namespace twinstep::soft::translate
