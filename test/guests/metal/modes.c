// All modes on one tour (modes.S), several times over: what it noted must be what the manuals say.
#include "metal.h"

#define NOTED(name) extern u32 tour_##name
NOTED(inc); NOTED(push_bytes); NOTED(popped); NOTED(call);
NOTED(efer_compatibility); NOTED(efer_unpaged);
NOTED(ud_vector); NOTED(ud_eip); NOTED(ud_cs);
NOTED(limit_vector); NOTED(limit_error); NOTED(into_vector);
NOTED(aaa); NOTED(daa); NOTED(aam); NOTED(aad); NOTED(popad);
NOTED(user_vector); NOTED(user_cs); NOTED(user_esp); NOTED(user_ss); NOTED(user_frame);
NOTED(v86_vector); NOTED(v86_error); NOTED(v86_ip); NOTED(v86_flags); NOTED(v86_ss);
NOTED(v86_es); NOTED(v86_fs); NOTED(v86_stored); NOTED(v86_pushed);
NOTED(two_level_alias); NOTED(two_level_pte); NOTED(two_level_error); NOTED(two_level_cr2);
NOTED(two_level_write_error); NOTED(pae_alias); NOTED(pae_fetch_error); NOTED(pae_fetch_eip);

void take_tour(void);
extern u8 trap32_stubs[], v86_int_offset[];
extern u64 idt32[], pdpt32[], pd32_pae[3][512], pt32_pae[];
extern u32 pd32[], pt32[];
#define SEEN16(type, offset) (*(volatile type *)(0x9800ul + (offset)))

static u32 tss32[32];

static void prepare(void) {
  for (u32 v = 0; v < 256; v++) {
    u64 to = (u64)trap32_stubs + v * 16, type = v == 0x80 || v == OF ? 0xee : 0x8e;
    idt32[v] = (to & 0xffff) | (u64)CODE32 << 16 | type << 40 | (to >> 16 & 0xffff) << 48;
  }
  u64 at = (u64)tss32;
  tss32[1] = (u32)KERNEL_STACK;
  tss32[2] = DATA;
  gdt[0x60 / 8] = 0x0000890000000067 | (at & 0xffffff) << 16 | (at >> 24) << 56;
  gdt[0x68 / 8] = 0x004093000000001f | ((u64)pool[9] & 0xffffff) << 16;
  // Two levels: 16 MiB identity in 4 MiB pages; 40000000 small pages.
  for (u32 n = 0; n < 4; n++) pd32[n] = n << 22 | PS | P | W;
  pd32[0x40000000u >> 22] = (u32)(u64)pt32 | P | W;
  pt32[0] = (u32)frame_of(0) | P | W;
  pt32[1] = 0;
  pt32[2] = (u32)frame_of(1) | P;
  // PAE: the first GiB identity in 2 MiB pages; 80000000 one small page that cannot be executed.
  for (u64 n = 0; n < 512; n++) pd32_pae[0][n] = n << 21 | PS | P | W;
  pd32_pae[2][0] = (u64)pt32_pae | P | W;
  pt32_pae[0] = frame_of(0) | P | W | NX;
  pdpt32[0] = (u64)pd32_pae[0] | P;
  pdpt32[2] = (u64)pd32_pae[2] | P;
}

static void check_tour(void) {
  CASE("compatibility mode: 32-bit code under long mode") {
    SAME(tour_inc, 1);
    SAME(tour_push_bytes, 4);
    SAME(tour_popped, 0x12345678);
    SAME(tour_call, 0);
    SAME(tour_efer_compatibility & 0x500, 0x500);
    SAME(tour_efer_unpaged & 0x500, 0x100);
  }
  CASE("protected mode: 32-bit gates, limits, what 64-bit mode dropped") {
    SAME(tour_ud_vector, UD);
    SAME(tour_ud_eip, 0);
    SAME(tour_ud_cs, CODE32);
    SAME(tour_limit_vector, GP);
    SAME(tour_limit_error, 0);
    SAME(tour_into_vector, OF);
    SAME(tour_aaa, 0x105);
    SAME(tour_daa, 0x01);
    SAME(tour_aam & 0xffff, 0x0909);
    SAME(tour_aad & 0xffff, 23);
    SAME(tour_popad, 5);
  }
  CASE("ring 3 and back over a 32-bit TSS") {
    SAME(tour_user_vector, 0x80);
    SAME(tour_user_cs, USER32);
    SAME(tour_user_esp, 0x7777000);
    SAME(tour_user_ss, USERDATA);
    SAME(tour_user_frame, KERNEL_STACK - 28);
  }
  CASE("virtual 8086 mode: real-mode addressing, INT goes to the monitor") {
    SAME(tour_v86_vector, GP);
    SAME(tour_v86_error, 0);
    SAME(tour_v86_ip, (u64)v86_int_offset);
    SAME(tour_v86_flags & 0x20000, 0x20000);
    SAME(tour_v86_ss, 0x700);
    SAME(tour_v86_es, 0x2222);
    SAME(tour_v86_fs, 0x1111);
    SAME(tour_v86_stored, 0x1234);
    SAME(tour_v86_pushed, 0x1234);
  }
  CASE("32-bit paging of two levels") {
    SAME(tour_two_level_alias, 0x5a5a);
    SAME(tour_two_level_pte, frame_of(0) | P | W | A | D);
    SAME(tour_two_level_error, 0);
    SAME(tour_two_level_cr2, 0x40001234);
    SAME(tour_two_level_write_error, 3);
  }
  CASE("32-bit paging with PAE") {
    SAME(tour_pae_alias, 0x6b6b);
    SAME(tour_pae_fetch_error, 0x11);
    SAME(tour_pae_fetch_eip, 0x80000100);
  }
  CASE("16-bit protected mode, real mode") {
    SAME(SEEN16(u16, 0), CODE16);
    SAME(SEEN16(u32, 4), 0x12345678);
    SAME(SEEN16(u16, 2), 0x800);
    SAME(SEEN16(u8, 8), 1);             // IRET brought CF back
    SAME(SEEN16(u16, 10) & 1, 1);
    SAME(SEEN16(u8, 12), 0x77);
    SAME(SEEN16(u32, 16), 0x1badb002);  // beyond 64 KiB, through FS
    SAME(SEEN16(u8, 13), 1);            // but not through DS
    SAME(SEEN16(u32, 20), 0x12340002);  // DI wraps, the upper half stays
    SAME(SEEN16(u16, 24), 0x3c3c);
    SAME(SEEN16(u16, 28), 0x7000);
    SAME(SEEN16(u32, 32) & 0x20202, 2);
    SAME(SEEN16(u16, 36) & 1, 0);
  }
}

SNIPPET(undefined, "", "ud2");

void guest_main(void) {
  for (u32 n = 0; n < 3; n++) {
    prepare();
    fill((void *)0x9800ul, 0xcc, 64);
    take_tour();
    check_tour();
  }
  CASE("the 64-bit TSS again, and traps as before") {
    gdt[TSS_SELECTOR / 8] &= ~(1ul << 41);  // not busy
    asm volatile("ltr %0" ::"r"((u16)TSS_SELECTOR));
    TRAPS(undefined, 0, UD, 0);
    SAME(run_user(undefined, 0), UD);
  }
}
