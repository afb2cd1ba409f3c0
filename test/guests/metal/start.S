# From the Multiboot hand-over (32-bit, flat, no paging) to guest_main() in 64-bit mode, and the
# way back from every trap.
  .intel_syntax noprefix

  .section .multiboot, "a"
  .balign 4
  .long 0x1badb002, 0, -0x1badb002

  .text
  .code32
  .globl start
start:
  cli
  cld
  mov esp, offset boot_stack_top
  push 0
  popfd
  # Identity map of 4 GiB in 2 MiB pages, open to user mode.
  mov edi, offset boot_pd
  mov eax, 0x87
1:
  mov dword ptr [edi], eax
  mov dword ptr [edi + 4], 0
  add edi, 8
  add eax, 0x200000
  jnc 1b
  mov eax, offset boot_pd + 7
  mov edi, offset boot_pdpt
2:
  mov dword ptr [edi], eax
  add edi, 8
  add eax, 0x1000
  cmp edi, offset boot_pdpt + 32
  jne 2b
  mov dword ptr [boot_pml4], offset boot_pdpt + 7
  mov eax, offset boot_pml4
  mov cr3, eax
  mov eax, 0x620            # PAE, OSFXSR, OSXMMEXCPT
  mov cr4, eax
  mov ecx, 0xc0000080
  xor edx, edx
  mov eax, 0x901            # SCE, LME, NXE
  wrmsr
  mov eax, 0x80010033       # PG, WP, NE, ET, MP, PE
  mov cr0, eax
  lgdt [gdt_pointer]
  .byte 0xea
  .long start64
  .word 0x10

  .code64
start64:
  mov eax, 0x18
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov fs, eax
  mov gs, eax
  lea rsp, [boot_stack_top]
  call metal_start
  call guest_main
  call finish

# ---- traps ---------------------------------------------------------------------------------------
# Every stub makes the frame alike: error code (or 0) and vector below what the CPU pushed.
  .balign 16
  .globl trap_stubs
trap_stubs:
  .set vector, 0
  .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
    .else
      push 0
    .endif
    push vector
    jmp trap_common
    .set vector, vector + 1
  .endr

trap_common:
  cld
  push rax
  push rcx
  push rdx
  push rbx
  push rbp
  push rsi
  push rdi
  push r8
  push r9
  push r10
  push r11
  push r12
  push r13
  push r14
  push r15
  mov rdi, rsp
  mov rbx, rsp
  and rsp, -16
  call trap
  mov rsp, rbx
  pop r15
  pop r14
  pop r13
  pop r12
  pop r11
  pop r10
  pop r9
  pop r8
  pop rdi
  pop rsi
  pop rbp
  pop rbx
  pop rdx
  pop rcx
  pop rax
  add rsp, 16
  iretq

# bool attempt(void (*fn)(u64), u64 arg): true if fn trapped; `caught` then says how.
  .globl attempt
attempt:
  push rbx
  push rbp
  push r12
  push r13
  push r14
  push r15
  mov [attempt_rsp], rsp
  mov rax, rdi
  mov rdi, rsi
  call rax
  mov qword ptr [attempt_rsp], 0
  xor eax, eax
  jmp 1f
  .globl attempt_caught
attempt_caught:
  mov ecx, 0x18
  mov ds, ecx
  mov es, ecx
  mov eax, 1
1:
  pop r15
  pop r14
  pop r13
  pop r12
  pop rbp
  pop rbx
  ret

# void enter_user(const struct user *): never returns; leave by a trap.
  .globl enter_user
enter_user:
  push qword ptr [rdi + 32]   # ss
  push qword ptr [rdi + 24]   # rsp
  push qword ptr [rdi + 16]   # rflags
  push qword ptr [rdi + 8]    # cs
  push qword ptr [rdi]        # rip
  mov rsi, [rdi + 48]
  mov rdi, [rdi + 40]
  iretq

  .data
  .balign 16
  .globl gdt, gdt_pointer
gdt:
  .quad 0
  .quad 0x00cf9b000000ffff    # 08 code, 32-bit
  .quad 0x00af9b000000ffff    # 10 code, 64-bit
  .quad 0x00cf93000000ffff    # 18 data
  .quad 0x00cffb000000ffff    # 20 user code, 32-bit
  .quad 0x00cff3000000ffff    # 28 user data
  .quad 0x00affb000000ffff    # 30 user code, 64-bit
  .quad 0x00cff3000000ffff    # 38 user data again, where SYSEXIT wants it
  .quad 0x00009b000000ffff    # 40 code, 16-bit, base 0
  .quad 0x000093000000ffff    # 48 data, 16-bit, base 0
  .fill 16, 8, 0              # 50 TSS (two slots), 60.. for tests
gdt_pointer:
  .word . - gdt - 1
  .quad gdt

  .bss
  .balign 4096
  .globl boot_pml4, boot_pdpt, boot_pd, boot_stack_top
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd: .skip 4 * 4096
  .skip 16384
boot_stack_top:
