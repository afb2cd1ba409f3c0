# Into 16- or 32-bit code with every register given: see forms.c.
  .intel_syntax noprefix
  .code64
  .text
# void enter_form(const struct start *): RDI at eight registers, a 64-bit frame, DS, ES. Left by a trap.
# IRET to a 16-bit stack loads SP only: the upper half of ESP is that of the stack it is done on, 0001.
  .globl enter_form
enter_form:
  mov eax, [rdi + 104]
  mov ds, eax
  mov eax, [rdi + 112]
  mov es, eax
  mov esp, 0x1f000
  push qword ptr [rdi + 96]   # ss
  push qword ptr [rdi + 88]   # rsp
  push qword ptr [rdi + 80]   # rflags
  push qword ptr [rdi + 72]   # cs
  push qword ptr [rdi + 64]   # rip
  mov rax, [rdi]
  mov rcx, [rdi + 8]
  mov rdx, [rdi + 16]
  mov rbx, [rdi + 24]
  mov rbp, [rdi + 40]
  mov rsi, [rdi + 48]
  mov rdi, [rdi + 56]
  iretq
