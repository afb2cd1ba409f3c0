# One tour through the modes: 64-bit -> compatibility -> protected 32-bit (without paging, with both
# kinds of 32-bit paging, ring 3, virtual 8086) -> protected 16-bit -> real -> and all the way back.
# It notes what it sees in `tour`; modes.c says what that must be.
  .intel_syntax noprefix
  .set CODE32, 0x08
  .set CODE64, 0x10
  .set DATA, 0x18
  .set USER32, 0x23
  .set USERDATA, 0x2b
  .set CODE16, 0x40
  .set DATA16, 0x48
  .set TSS32, 0x60
  .set SMALL, 0x68            # data segment of 0x20 bytes, for limits
  .set REAL, 0x8000           # the 16-bit part runs here
  .set NOTES16, 0x9800        # and notes what it sees here
  .set V86_CODE, 0x9000

  .macro note name, what
    mov dword ptr [tour_\name], \what
  .endm
  # Runs the next instruction; its trap comes back to the label behind it.
  .macro trapping to
    mov dword ptr [resume32], offset \to
  .endm

  .text
  .code64
  .globl take_tour
take_tour:
  push rbx
  push rbp
  push r12
  push r13
  push r14
  push r15
  mov [tour_rsp], rsp
  sidt [idt64_pointer]
  cld
  lea rsi, [real_part]
  mov edi, REAL
  mov ecx, offset real_end - real_part
  rep movsb
  lea rsi, [v86_part]
  mov edi, V86_CODE
  mov ecx, offset v86_end - v86_part
  rep movsb
  push CODE32
  lea rax, [compatibility]
  push rax
  retfq

# ---- compatibility mode ---------------------------------------------------------------------------
  .code32
compatibility:
  mov eax, DATA
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, offset tour_stack
  xor eax, eax
  .byte 0x40                  # INC EAX here, a prefix in 64-bit mode
  note inc, eax
  mov ebx, esp
  push 0x12345678
  sub ebx, esp
  note push_bytes, ebx
  pop dword ptr [tour_popped]
  call 1f
1:pop eax
  sub eax, offset 1b
  note call, eax
  mov ecx, 0xc0000080
  rdmsr
  note efer_compatibility, eax

# ---- protected mode, no paging ----------------------------------------------------------------------
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  rdmsr
  note efer_unpaged, eax
  and eax, 0xfffffeff
  wrmsr
  mov eax, cr4
  and eax, 0xffffffdf         # PAE off
  mov cr4, eax
  lidt [idt32_pointer]

  trapping 2f
tour_ud_at:
  ud2
2:mov eax, [seen32]
  note ud_vector, eax
  mov eax, [seen32 + 8]
  sub eax, offset tour_ud_at
  note ud_eip, eax
  mov eax, [seen32 + 12]
  note ud_cs, eax

  mov eax, SMALL
  mov es, eax
  mov eax, es:[0x1c]
  trapping 3f
  mov eax, es:[0x1d]
3:mov eax, [seen32]
  note limit_vector, eax
  mov eax, [seen32 + 4]
  note limit_error, eax
  push ds
  pop es

  mov eax, 0x7fffffff
  add eax, 1
  trapping 4f
  into
4:mov eax, [seen32]
  note into_vector, eax

  mov eax, 0x0f
  aaa                         # 0F: adjust to 0105
  note aaa, eax
  mov eax, 0x9b
  clc
  daa
  note daa, eax
  mov ax, 0x0063
  aam
  note aam, eax
  mov ax, 0x0203
  aad
  note aad, eax

  mov eax, 1
  mov ebx, 2
  mov esi, 3
  pushad
  mov eax, [esp + 16]
  xor ebx, ebx
  popad
  add ebx, esi
  note popad, ebx

  # Ring 3 and back through a 32-bit gate, on the stack of a 32-bit TSS.
  mov eax, TSS32
  ltr ax
  trapping 5f
  push USERDATA
  push 0x7777000
  push 2
  push USER32
  push offset user_32
  iretd
user_32:
  mov eax, cs
  int 0x80
5:mov eax, [seen32]
  note user_vector, eax
  mov eax, [seen32 + 12]
  note user_cs, eax
  mov eax, [seen32 + 20]
  note user_esp, eax
  mov eax, [seen32 + 24]
  note user_ss, eax
  mov eax, [seen32 + 28]
  note user_frame, eax        # where the frame lay

# ---- virtual 8086 -----------------------------------------------------------------------------------
  trapping 6f
  push 0                      # GS
  push 0x1111                 # FS
  push V86_CODE >> 4          # DS
  push 0x2222                 # ES
  push 0x0700                 # SS
  push 0x0100                 # ESP
  push 0x20002                # VM
  push V86_CODE >> 4          # CS
  push 0
  iretd
6:mov eax, [seen32]
  note v86_vector, eax
  mov eax, [seen32 + 4]
  note v86_error, eax
  mov eax, [seen32 + 8]
  note v86_ip, eax
  mov eax, [seen32 + 16]
  note v86_flags, eax
  mov eax, [seen32 + 24]
  note v86_ss, eax
  mov eax, [seen32 + 32]
  note v86_es, eax
  mov eax, [seen32 + 40]
  note v86_fs, eax
  movzx eax, word ptr [V86_CODE + v86_data - v86_part]
  note v86_stored, eax
  movzx eax, word ptr [0x70fe]
  note v86_pushed, eax
  mov eax, DATA
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax

# ---- 32-bit paging: two levels, with a 4 MiB page ------------------------------------------------------
  mov eax, cr4
  or eax, 0x10                # PSE
  mov cr4, eax
  mov eax, offset pd32
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  mov dword ptr [0x40000010], 0x5a5a
  mov eax, [pool]             # not touched
  mov eax, [pool + 0x10]
  note two_level_alias, eax
  mov eax, [pt32]
  note two_level_pte, eax
  trapping 7f
  mov eax, [0x40001234]
7:mov eax, [seen32 + 4]
  note two_level_error, eax
  mov eax, cr2
  note two_level_cr2, eax
  trapping 8f
  mov dword ptr [0x40002000], 1   # read-only; WP is on
8:mov eax, [seen32 + 4]
  note two_level_write_error, eax
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax

# ---- 32-bit paging: PAE, with a 2 MiB page and NX ------------------------------------------------------
  mov eax, cr4
  or eax, 0x20
  mov cr4, eax
  mov eax, offset pdpt32
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  mov dword ptr [0x80000020], 0x6b6b
  mov eax, [pool + 0x20]
  note pae_alias, eax
  trapping 9f
  mov eax, 0x80000100
  jmp eax
9:mov eax, [seen32 + 4]
  note pae_fetch_error, eax
  mov eax, [seen32 + 8]
  note pae_fetch_eip, eax
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax

# ---- 16-bit protected mode, then real mode -------------------------------------------------------------
  mov eax, DATA
  mov fs, eax                 # keeps its 4 GiB in real mode
  mov eax, DATA16
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, 0x7000
  .byte 0xea                  # far jump to 16-bit code
  .long REAL
  .word CODE16

back_32:
  mov eax, DATA
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov fs, eax
  mov gs, eax
  mov esp, offset tour_stack
  mov eax, offset boot_pml4
  mov cr3, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x100
  wrmsr
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  .byte 0xea
  .long back_64
  .word CODE64
  .code64
back_64:
  lidt [idt64_pointer]
  mov rsp, [tour_rsp]
  mov rax, cr4
  and rax, -17                # PSE off again
  mov cr4, rax
  pop r15
  pop r14
  pop r13
  pop r12
  pop rbp
  pop rbx
  ret

# ---- the 16-bit part, copied to REAL ------------------------------------------------------------------
  .code16
real_part:
  mov ax, cs
  mov word ptr [NOTES16], ax           # CODE16: still protected
  mov eax, 0x12345678                  # operand-size prefix
  mov dword ptr [NOTES16 + 4], eax
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  ljmp REAL >> 4, offset real_mode - real_part
real_mode:
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7000
  mov ax, cs
  mov word ptr [NOTES16 + 2], ax
  lidt [REAL + ivt_pointer - real_part]
  mov word ptr [0x21 * 4], offset int_21 - real_part
  mov word ptr [0x21 * 4 + 2], REAL >> 4
  mov word ptr [13 * 4], offset int_13 - real_part
  mov word ptr [13 * 4 + 2], REAL >> 4
  # INT and IRET: 6 bytes on the stack, flags kept.
  stc
  int 0x21
  setc byte ptr [NOTES16 + 8]
  mov word ptr [NOTES16 + 10], bx
  # Segments: base = selector * 16, offsets wrap at 64 KiB.
  mov ax, 0x1000
  mov es, ax
  mov bx, 0xfff0
  mov byte ptr es:[bx + 0x20], 0x77    # 0x10010
  mov ax, 0x1001
  mov es, ax
  mov al, byte ptr es:[0]
  mov byte ptr [NOTES16 + 12], al
  # Limits: FS came with 4 GiB, DS has 64 KiB.
  mov ebx, 0x100000
  mov eax, fs:[ebx]
  mov dword ptr [NOTES16 + 16], eax
  mov byte ptr [NOTES16 + 13], 0
  mov eax, ds:[ebx]
after_13:
  # String instruction with 16-bit registers, over the end of the segment.
  mov ax, 0x1000
  mov es, ax
  mov edi, 0x1234fffe
  mov cx, 4
  mov al, 0x3c
  cld
  rep stosb
  mov dword ptr [NOTES16 + 20], edi
  mov al, es:[0xffff]
  mov ah, es:[1]
  mov word ptr [NOTES16 + 24], ax
  mov eax, esp
  mov dword ptr [NOTES16 + 28], eax
  pushfd
  pop eax
  mov dword ptr [NOTES16 + 32], eax
  smsw ax
  mov word ptr [NOTES16 + 36], ax
  # And back.
  mov eax, cr0
  or al, 1
  mov cr0, eax
  .byte 0x66, 0xea
  .long back_32
  .word CODE32
int_21:
  mov bp, sp
  mov bx, [bp + 4]                     # flags as pushed: CF set
  iret
int_13:
  mov byte ptr [NOTES16 + 13], 1
  add sp, 6
  jmp after_13
ivt_pointer:
  .word 0x3ff
  .long 0
real_end:

# ---- virtual 8086 code, copied to V86_CODE -----------------------------------------------------------
v86_part:
  mov ax, 0x1234
  mov [v86_data - v86_part], ax
  push ax
v86_int:
  int 0x21                             # IOPL 0: #GP(0) in the monitor
v86_data:
  .word 0
v86_end:
  .globl v86_int_offset
  .set v86_int_offset, v86_int - v86_part

# ---- 32-bit traps: note the frame, go on at resume32 ----------------------------------------------------
  .code32
  .balign 16
  .globl trap32_stubs
trap32_stubs:
  .set vector, 0
  .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
    .else
      push 0
    .endif
    push vector
    jmp trap32
    .set vector, vector + 1
  .endr
trap32:
  mov eax, DATA
  mov ds, eax
  mov es, eax
  mov esi, esp
  mov [seen32 + 28], esp
  mov edi, offset seen32
  mov ecx, 7
  cld
  rep movsd
  add edi, 4
  mov ecx, 4                           # the segments of virtual 8086 mode, if any
  rep movsd
  mov esp, offset tour_stack
  jmp [resume32]

  .data
  .balign 8
idt64_pointer:
  .skip 10
  .balign 8
  .globl idt32_pointer
idt32_pointer:
  .word 256 * 8 - 1
  .long idt32
tour_rsp: .quad 0
resume32: .long 0
seen32: .skip 64                       # vector, error, eip, cs, eflags, esp, ss, address, es, ds, fs, gs
  .bss
  .balign 4096
  .globl tour_stack, pd32, pt32, pdpt32, pd32_pae, pt32_pae, idt32
pd32: .skip 4096
pt32: .skip 4096
pdpt32: .skip 4096
pd32_pae: .skip 3 * 4096
pt32_pae: .skip 4096
idt32: .skip 2048
  .skip 4096
tour_stack:
  .skip 64
  .macro noted names:vararg
    .irp name, \names
      .globl tour_\name
      tour_\name: .skip 4
    .endr
  .endm
  noted inc, push_bytes, popped, call, efer_compatibility, efer_unpaged, ud_vector, ud_eip, ud_cs
  noted limit_vector, limit_error, into_vector, aaa, daa, aam, aad, popad
  noted user_vector, user_cs, user_esp, user_ss, user_frame
  noted v86_vector, v86_error, v86_ip, v86_flags, v86_ss, v86_es, v86_fs, v86_stored, v86_pushed
  noted two_level_alias, two_level_pte, two_level_error, two_level_cr2, two_level_write_error
  noted pae_alias, pae_fetch_error, pae_fetch_eip
