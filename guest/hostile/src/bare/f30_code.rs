//! Programs of family 30: what each says, and the code that the assembler made of it.

/// By 32-bit instructions.
pub const A32: [(&str, &[u32]); 51] = [
    // svc #3
    ("svc", &[0xef000003]),
    // ldr r1,[r0]
    ("ldr", &[0xe5901000]),
    // ldrb r1,[r0,#4]
    ("ldrb", &[0xe5d01004]),
    // ldrsb r1,[r0,#4]
    ("ldrsb", &[0xe1d010d4]),
    // ldrsh r1,[r0,#12]
    ("ldrsh", &[0xe1d010fc]),
    // mov r2,#4; ldr r1,[r0,r2]
    ("ldr-register", &[0xe3a02004, 0xe7901002]),
    // sub r0,r0,#0xfc0; sub r0,r0,#12; mov r1,#0x34; str r1,[r0]; ldr r2,[r0]
    ("str", &[0xe2400d3f, 0xe240000c, 0xe3a01034, 0xe5801000, 0xe5902000]),
    // movs r1,#1; ldreq r1,[r0]; mov r2,#7
    ("ldr-failed", &[0xe3b01001, 0x05901000, 0xe3a02007]),
    // movs r1,#1; ldrne r1,[r0]; mov r2,#7
    ("ldr-passed", &[0xe3b01001, 0x15901000, 0xe3a02007]),
    // ldr r1,[r0],#4
    ("device-post", &[0xe4901004]),
    // ldrd r2,r3,[r0]
    ("device-pair", &[0xe1c020d0]),
    // ldm r0,{r1,r2}
    ("device-many", &[0xe8900006]),
    // ldrex r1,[r0]; clrex
    ("device-exclusive", &[0xe1901f9f, 0xf57ff01f]),
    // setend be; ldr r1,[r0]; setend le
    ("big-endian-setend", &[0xf1010200, 0xe5901000, 0xf1010000]),
    // mrc p15,0,r1,c13,c0,3
    ("tpidruro", &[0xee1d1f70]),
    // mov r1,#5; mcr p15,0,r1,c13,c0,2; mrc p15,0,r2,c13,c0,2
    ("tpidrurw", &[0xe3a01005, 0xee0d1f50, 0xee1d2f50]),
    // mrc p15,0,r1,c0,c0,0
    ("midr", &[0xee101f10]),
    // mrc p15,0,r1,c1,c0,0
    ("sctlr", &[0xee111f10]),
    // mcr p15,0,r0,c7,c14,2
    ("set-way", &[0xee070f5e]),
    // mcr p15,0,r0,c8,c7,0
    ("tlbi", &[0xee080f17]),
    // mcr p15,0,r1,c7,c10,4
    ("barrier", &[0xee071f9a]),
    // mrc p15,0,r1,c9,c13,0
    ("pmccntr", &[0xee191f1d]),
    // mrc p15,0,r1,c14,c0,0
    ("cntfrq", &[0xee1e1f10]),
    // mrrc p15,1,r1,r2,c14; mov r1,#1; mov r2,#2
    ("cntvct", &[0xec521f1e, 0xe3a01001, 0xe3a02002]),
    // mrrc p15,0,r1,r2,c14; mov r1,#1; mov r2,#2
    ("cntpct", &[0xec521f0e, 0xe3a01001, 0xe3a02002]),
    // mrc p15,0,r1,c14,c3,1
    ("timer-cntv", &[0xee1e1f33]),
    // mrc p15,0,r1,c14,c2,1
    ("physical-ctl", &[0xee1e1f32]),
    // movs r1,#1; mrceq p15,0,r1,c14,c2,1; mov r2,#7
    ("physical-failed", &[0xe3b01001, 0x0e1e1f32, 0xe3a02007]),
    // mrrc p15,2,r1,r2,c14
    ("physical-cval", &[0xec521f2e]),
    // mrc p14,0,r1,c0,c0,0
    ("dbgdidr", &[0xee101e10]),
    // mrc p14,0,r1,c0,c1,0
    ("dbgdscr", &[0xee101e11]),
    // ldc p14,c5,[r0]
    ("dbgdtr-ldc", &[0xed905e00]),
    // mrc p14,7,r1,c0,c0,0
    ("jidr", &[0xeef01e10]),
    // vmrs r1,fpscr
    ("vmrs", &[0xeef11a10]),
    // vmrs r1,mvfr0
    ("vmrs-mvfr0", &[0xeef71a10]),
    // mov r1,#0x90; vmov s1,r1; vmov r2,s1
    ("vmov", &[0xe3a01090, 0xee001a90, 0xee102a90]),
    // vldr s0,[r0]; vmov r1,s0
    ("vldr-device", &[0xed900a00, 0xee101a10]),
    // wfi; mov r2,#7
    ("wfi", &[0xe320f003, 0xe3a02007]),
    // movs r1,#1; wfieq; mov r2,#7
    ("wfi-failed", &[0xe3b01001, 0x0320f003, 0xe3a02007]),
    // sev; wfe; mov r2,#7
    ("wfe", &[0xe320f004, 0xe320f002, 0xe3a02007]),
    // udf #7
    ("udf", &[0xe7f000f7]),
    // bkpt #7
    ("bkpt", &[0xe1200077]),
    // smc #0
    ("smc", &[0xe1600070]),
    // hvc #0
    ("hvc", &[0xe1400070]),
    // eret
    ("eret", &[0xe160006e]),
    // mrs r1,sp_irq
    ("mrs-banked", &[0xe1011300]),
    // cpsid if; mov r2,#7
    ("cps", &[0xf10c00c0, 0xe3a02007]),
    // mov r1,#0xcb000000; ldr r2,[r1]
    ("nothing", &[0xe3a014cb, 0xe5912000]),
    // mov r1,#0xcb000000; str r2,[r1]
    ("nothing-store", &[0xe3a014cb, 0xe5812000]),
    // mov r1,#0xcb000000; bx r1
    ("fetch", &[0xe3a014cb, 0xe12fff11]),
    // mov r1,#0xa0000000; ldr r2,[r1]
    ("walk", &[0xe3a0120a, 0xe5912000]),
];
/// By instructions of two and four bytes, in IT blocks.
pub const T32: [(&str, &[u16]); 19] = [
    // ldr r1,[r0]; movs r2,#7
    ("ldr16", &[0x6801, 0x2207]),
    // ldr.w r1,[r0,#4]; movs r2,#7
    ("ldr32", &[0xf8d0, 0x1004, 0x2207]),
    // ldrb r1,[r0,#4]; movs r2,#7
    ("ldrb16", &[0x7901, 0x2207]),
    // movs r1,#1; itt ne; ldrne r1,[r0]; movne r2,#7
    ("it-ldr", &[0x2101, 0xbf1c, 0x6801, 0x2207]),
    // movs r1,#1; itttt ne; movne r3,#1; ldrne r1,[r0]; addne r3,#2; addne r3,#4
    ("it-ldr-4", &[0x2101, 0xbf1f, 0x2301, 0x6801, 0x3302, 0x3304]),
    // movs r1,#1; ite eq; ldreq r1,[r0]; movne r2,#7
    ("ite-ldr", &[0x2101, 0xbf0c, 0x6801, 0x2207]),
    // movs r1,#1; ite ne; movne r2,#7; ldreq r1,[r0]
    ("ite-ldr-last", &[0x2101, 0xbf14, 0x2207, 0x6801]),
    // movs r1,#1; sub.w r0,r0,#0xfc0; subs r0,#12; cmp r1,#0; itt ne; strne r1,[r0]; ldrne r2,[r0]
    ("it-str", &[0x2101, 0xf5a0, 0x607c, 0x380c, 0x2900, 0xbf1c, 0x6001, 0x6802]),
    // wfi; movs r2,#7
    ("wfi16", &[0xbf30, 0x2207]),
    // movs r1,#1; itt ne; wfine; movne r2,#7
    ("it-wfi", &[0x2101, 0xbf1c, 0xbf30, 0x2207]),
    // movs r1,#1; ite eq; wfieq; movne r2,#7
    ("ite-wfi", &[0x2101, 0xbf0c, 0xbf30, 0x2207]),
    // movs r1,#1; itt ne; vmrsne r3,fpscr; movne r2,#7
    ("it-vmrs", &[0x2101, 0xbf1c, 0xeef1, 0x3a10, 0x2207]),
    // movs r1,#1; itt ne; ldrdne r2,r3,[r0]; movne r2,#7
    ("it-device-pair", &[0x2101, 0xbf1c, 0xe9d0, 0x2300, 0x2207]),
    // movs r1,#1; itt ne; mrcne p15,0,r3,c14,c2,1; movne r2,#7
    ("it-physical", &[0x2101, 0xbf1c, 0xee1e, 0x3f32, 0x2207]),
    // movs r1,#1; ite eq; mrceq p15,0,r3,c14,c2,1; movne r2,#7
    ("ite-physical", &[0x2101, 0xbf0c, 0xee1e, 0x3f32, 0x2207]),
    // mov.w r1,#0xcb000000; cmp r1,#0; ittt ne; movne r3,#1; ldrne r2,[r1]; movne r3,#2
    ("it-nothing", &[0xf04f, 0x414b, 0x2900, 0xbf1e, 0x2301, 0x680a, 0x2302]),
    // movs r1,#1; itt ne; svcne #9; movne r2,#7
    ("it-svc", &[0x2101, 0xbf1c, 0xdf09, 0x2207]),
    // mov sp,r0; push {r1,r2}
    ("push-device", &[0x4685, 0xb406]),
    // ldm r0!,{r1,r2}
    ("ldm-device", &[0xc806]),
];
