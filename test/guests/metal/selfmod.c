// Code that changes: by itself, from elsewhere, through aliases, over page borders, by DMA, by
// remapping. No serialising instruction is needed on x86 when the store goes to the address that is
// executed (SDM 8.1.3); a jump is used between the two where the architecture asks for one.
#include "metal.h"

typedef u64 function(u64);
static u8 *const code = pool[0];

// mov eax, imm32; ret
static void emit_constant(u8 *at, u32 value) {
  at[0] = 0xb8;
  copy(at + 1, &value, 4);
  at[5] = 0xc3;
}
static u64 call(void *at, u64 arg) {
  asm volatile("" ::: "memory");
  return ((function *)at)(arg);
}

// Patches the immediate of an instruction in the very block that runs.
asm(".pushsection .text\n.balign 64\n"
    ".globl patch_next, patch_loop, patch_back, patch_back_end\n"
    "patch_next:\n"
    "  mov dword ptr [rip + 1f + 1], edi\n"
    "1: mov eax, 0x11111111\n"
    "  ret\n"
    // A loop whose body changes its own addend every time round: 1 + 2 + ... + n.
    "patch_loop:\n"
    "  xor eax, eax\n"
    "  mov ecx, 1\n"
    "2: mov dword ptr [rip + 3f + 1], ecx\n"
    "3: add eax, 0x22222222\n"
    "  inc ecx\n"
    "  cmp ecx, edi\n"
    "  jbe 2b\n"
    "  ret\n"
    // Changes an instruction it has already run, then runs it again.
    "patch_back:\n"
    "  xor edx, edx\n"
    "4: mov eax, 1\n"
    "  test edx, edx\n"
    "  jnz 5f\n"
    "  inc edx\n"
    "  mov dword ptr [rip + 4b + 1], edi\n"
    "  jmp 4b\n"
    "5: ret\n"
    "patch_back_end:\n"
    ".popsection\n");
u64 patch_next(u64), patch_loop(u64), patch_back(u64);

static void same_block(void) {
  CASE("a store into the next instruction takes effect at once") {
    for (u64 n = 1; n < 20; n++) SAME(patch_next(n * 0x01020304), (u32)(n * 0x01020304));
  }
  CASE("a loop that patches its own body each time round") {
    SAME(patch_loop(1), 1);
    SAME(patch_loop(100), 5050);
  }
  CASE("an instruction changed after it has run") {
    SAME(patch_back(77), 77);
    SAME(patch_back(78), 78);
  }
  CASE("REP STOSB over the code that runs it: it becomes NOPs behind itself") {
    // rep stosb writes 40 NOPs from just behind itself on; then mov eax, edx; ret.
    static const u8 text[] = {0xf3, 0xaa};
    copy(code, text, 2);
    fill(code + 2, 0xf4, 40);  // HLT, if they should ever run
    code[42] = 0x89, code[43] = 0xd0, code[44] = 0xc3;
    u64 result;
    asm volatile("call %1"
                 : "=a"(result)
                 : "r"(code), "D"(code + 2), "c"(40), "d"(0x77), "0"(0x90)
                 : "memory");
    SAME(result, 0x77);
  }
}

static void other_places(void) {
  CASE("code written into another page, again and again") {
    for (u32 n = 0; n < 50; n++) {
      emit_constant(code + 256, n);
      SAME(call(code + 256, 0), n);
    }
  }
  CASE("one byte of one function of many on a page") {
    for (u32 n = 0; n < 64; n++) emit_constant(code + n * 64, n);
    for (u32 n = 0; n < 64; n++) SAME(call(code + n * 64, 0), n);
    code[20 * 64 + 2] = 0xaa;
    for (u32 n = 0; n < 64; n++) SAME(call(code + n * 64, 0), n == 20 ? 0xaa14 : n);
  }
  CASE("data beside code on one page") {
    emit_constant(code, 5);
    volatile u64 *data = (volatile u64 *)(code + 8);
    for (u64 n = 0; n < 200; n++) {
      *data = n;
      SAME(call(code, 0) + *data, 5 + n);
    }
  }
  CASE("a direct jump to a target that changes: the caller is not touched") {
    // code: jmp +0x7b (to code + 0x80)
    code[0] = 0xe9;
    *(volatile u32 *)(code + 1) = 0x7b;
    for (u32 n = 0; n < 20; n++) {
      emit_constant(code + 0x80, n);
      SAME(call(code, 0), n);
    }
    // The same with the target on another page.
    *(volatile u32 *)(code + 1) = 4096 - 5;
    for (u32 n = 0; n < 20; n++) {
      emit_constant(pool[1], n + 100);
      SAME(call(code, 0), n + 100);
    }
  }
  CASE("a jump into the middle of an instruction is another program") {
    static const u8 text[] = {0xb8, 0x6a, 0x07, 0x58, 0xc3, 0xc3};  // mov eax, ..; ret | push 7; pop rax; ret
    copy(code, text, sizeof text);
    SAME(call(code, 0), 0xc358076a);
    SAME(call(code + 1, 0), 7);
    code[2] = 9;
    SAME(call(code, 0), 0xc358096a);
    SAME(call(code + 1, 0), 9);
  }
  CASE("code on the stack") {
    u8 local[16];
    for (u32 n = 0; n < 10; n++) {
      emit_constant(local, n * 3);
      SAME(call(local, 0), n * 3);
    }
  }
}

static void aliases(void) {
  map_space();
  set_pte(&space_pt[0], (u64)code | P | W, page(0));
  set_pte(&space_pt[1], (u64)code | P | W, page(1));
  u8 *first = (u8 *)page(0), *second = (u8 *)page(1);
  CASE("a store through another mapping changes what runs") {
    for (u32 n = 0; n < 30; n++) {
      emit_constant(second + 16, n);
      SAME(call(first + 16, 0), n);
      SAME(call(code + 16, 0), n);
      SAME(call(second + 16, 0), n);
    }
  }
  CASE("a page remapped to other code") {
    emit_constant(pool[2], 222);
    emit_constant(pool[3], 333);
    for (u32 n = 0; n < 10; n++) {
      set_pte(&space_pt[2], (u64)pool[2 + (n & 1)] | P, page(2));
      SAME(call((void *)page(2), 0), n & 1 ? 333 : 222);
    }
  }
  CASE("a jump linked between two pages, one of which is remapped") {
    // page(3): jmp to page(4)
    u8 *jump = pool[4];
    jump[0] = 0xe9;
    *(volatile u32 *)(jump + 1) = 4096 - 5;
    set_pte(&space_pt[3], (u64)jump | P, page(3));
    for (u32 n = 0; n < 10; n++) {
      set_pte(&space_pt[4], (u64)pool[2 + (n & 1)] | P, page(4));
      SAME(call((void *)page(3), 0), n & 1 ? 333 : 222);
    }
    set_pte(&space_pt[4], 0, page(4));
    CHECK(attempt((void (*)(u64))page(3), 0));
    SAME(caught.f.vector, PF);
    SAME(caught.cr2, page(4));
    SAME(caught.f.rip, page(4));
  }
  CASE("the same code under two addresses is position independent") {
    static const u8 text[] = {0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xc3};  // lea rax, [rip]; ret
    copy(code, text, sizeof text);
    SAME(call(first, 0), page(0) + 7);
    SAME(call(second, 0), page(1) + 7);
    SAME(call(code, 0), (u64)code + 7);
  }
}

static void borders(void) {
  map_space();
  u8 *end = pool[5] + 4096;  // pool[6] follows
  CASE("an instruction over two pages, either half of which changes") {
    for (u32 n = 0; n < 5; n++) {  // n bytes of it on the second page
      u8 *at = end - 5 + n;
      emit_constant(at, 0x01010101);
      SAME(call(at, 0), 0x01010101);
      at[1] = 0x22;
      SAME(call(at, 0), 0x01010122);
      at[4] = 0x33;
      SAME(call(at, 0), 0x33010122);
    }
  }
  CASE("its second half remapped") {
    emit_constant(end - 2, 0x44332211);  // two bytes here, four on the next page
    copy(pool[7], pool[6], 16);
    pool[7][2] = 0x99;
    set_pte(&space_pt[5], (u64)pool[5] | P, page(5));
    set_pte(&space_pt[6], (u64)pool[6] | P, page(6));
    void *at = (void *)(page(6) - 2);
    SAME(call(at, 0), 0x44332211);
    set_pte(&space_pt[6], (u64)pool[7] | P, page(6));
    SAME(call(at, 0), 0x99332211);
    set_pte(&space_pt[6], 0, page(6));
    CHECK(attempt((void (*)(u64))at, 0));
    SAME(caught.f.vector, PF);
    SAME(caught.cr2, page(6));
    SAME(caught.f.rip, page(6) - 2);
    set_pte(&space_pt[6], (u64)pool[6] | P, page(6));
    SAME(call(at, 0), 0x44332211);
  }
  CASE("straight-line code that runs into the next page") {
    fill(end - 32, 0x90, 32);
    emit_constant(end, 42);
    SAME(call(end - 32, 0), 42);
    emit_constant(end, 43);
    SAME(call(end - 32, 0), 43);
    set_pte(&space_pt[6], 0, page(6));
    CHECK(attempt((void (*)(u64))(page(6) - 32), 0));
    SAME(caught.f.rip, page(6));
    SAME(caught.cr2, page(6));
  }
  CASE("a page fault inside code leaves the instructions before it done") {
    static const u8 text[] = {0xb8, 0x34, 0x12, 0, 0, 0x90, 0x90};  // mov eax, 0x1234; nop; nop
    copy(end - 7, text, 7);
    CHECK(attempt((void (*)(u64))(page(6) - 7), 0));
    SAME(caught.f.rax, 0x1234);
    SAME(caught.f.rip, page(6));
  }
}

static void outside(void) {
  CASE("code changed by a device") {
    if (on_test_machine()) {
      for (u32 n = 0; n < 20; n++) {
        emit_constant(code, 1);
        SAME(call(code, 0), 1);
        out32(POKE_ADDRESS, (u32)(u64)code + 1);
        out32(POKE_VALUE, n * 1000);
        SAME(call(code, 0), n * 1000);
      }
    }
  }
  CASE("a page table changed by a device") {
    if (on_test_machine()) {
      map_space();
      write64((u64)pool[2], 2);
      write64((u64)pool[3], 3);
      set_pte(&space_pt[0], (u64)pool[2] | P | W, page(0));
      SAME(read64(page(0)), 2);
      out32(POKE_ADDRESS, (u32)(u64)space_pt);
      out32(POKE_VALUE, (u32)(u64)pool[3] | P | W);
      invlpg(page(0));
      SAME(read64(page(0)), 3);
    }
  }
  CASE("code that executes where a page table was") {
    // pool[8] serves as a table, then as code, then as a table again.
    map_space();
    u64 at = SPACE + (9ul << 21);
    for (u32 n = 0; n < 3; n++) {
      fill(pool[8], 0, 4096);
      *(volatile u64 *)pool[8] = (u64)pool[2] | P | W;
      set_pte(&space_pd[9], (u64)pool[8] | P | W, at);
      flush();
      write64((u64)pool[2], n);
      SAME(read64(at), n);
      set_pte(&space_pd[9], 0, at);
      flush();
      emit_constant(pool[8], n + 9);
      SAME(call(pool[8], 0), n + 9);
    }
  }
}

void guest_main(void) {
  same_block();
  other_places();
  aliases();
  borders();
  outside();
}
