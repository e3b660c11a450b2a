//! Family 22: the GIC's system registers where the guest has turned them off, and those of a GIC
//! that it doesn't have. A VM always has a GICv3 here, so there is none in which ICC_SRE_EL1 and
//! ICC_SGI1R_EL1 were UNDEFINED: what can be tried is to turn them off by ICC_SRE_EL1.SRE, to use
//! a GICv2's frames, and to use EL2's and EL3's own registers.

use crate::tools::{saw, saw_read, saw_write};
use crate::variant;
use guest_rt::vectors::expect_fault;
use guest_rt::{arch, el0, gic, mmio, mrs, msr};
use probes::scan::encoding;
use probes::{check, irq, program, user};

program!(read_sre: "mrs x0, S3_0_C12_C12_5");
program!(write_sre: "msr S3_0_C12_C12_5, x0");
program!(read_iar: "mrs x0, S3_0_C12_C12_0");
program!(write_eoir: "msr S3_0_C12_C12_1, x0");
program!(write_sgi1r: "msr S3_0_C12_C11_5, x0");
program!(write_pmr: "msr S3_0_C4_C6_0, x0");
program!(write_igrpen: "msr S3_0_C12_C12_7, x0");

/// Whether an SGI to oneself arrives.
fn works() -> (usize, u32) {
    irq::forget();
    gic::send_sgi(1, 1);
    irq::let_in();
    (irq::count(), irq::nth(0))
}

/// The attack.
pub fn attack() {
    irq::init();
    gic::enable(1);
    for (name, value) in [("zero", 0), ("sre", 1), ("bypass", 6), ("ones", !0), ("zero-again", 0)] {
        msr!(ICC_SRE_EL1, value);
        arch::isb();
        saw(&variant!("sre.after-{name}"), format_args!("{:#x}", mrs!(ICC_SRE_EL1)));
        check::equal(&variant!("sre.works-{name}"), works(), (1, 1));
    }
    others();
    frames();
    let programs: [(&str, el0::User); 7] = [
        ("read-sre", read_sre),
        ("write-sre", write_sre),
        ("read-iar", read_iar),
        ("write-eoir", write_eoir),
        ("write-sgi1r", write_sgi1r),
        ("write-pmr", write_pmr),
        ("write-igrpen", write_igrpen),
    ];
    for (name, program) in programs {
        let frame = user::run(program, 1 << 24 | 1);
        saw(&variant!("sre.el0-{name}"), format_args!("{:#x}", frame.esr));
    }
    check::equal("sre.works-at-last", works(), (1, 1));
}

/// ICH_ and ICC_ registers of EL2 and EL3.
fn others() {
    let el2 = |crm, op2| encoding(3, 4, 12, crm, op2);
    let el3 = |op2| encoding(3, 6, 12, 12, op2);
    let lists = (12..16).flat_map(|crm| (0..8).map(move |op2| el2(crm, op2)));
    let ich = (0..8).map(|op2| el2(11, op2));
    let active = [el2(8, 0), el2(9, 0), el2(9, 5), el3(4), el3(5), el3(7)];
    for register in lists.chain(ich).chain(active) {
        saw_read("sre", register);
        saw_write("sre", register, 0);
    }
    check::equal("sre.works-without", works(), (1, 1));
}

/// Where a GICv2 has its CPU interface, and a hypervisor its part of it; and affinity routing,
/// which can't be turned off.
fn frames() {
    for (name, address) in [
        ("gicc", 0x0801_0000),
        ("gicc-iar", 0x0801_000c),
        ("gich", 0x0803_0000),
        ("gicv", 0x0804_0000),
    ] {
        let fault = expect_fault(|| {
            mmio::read32(address);
        });
        saw(&variant!("sre.{name}"), format_args!("{:#x}", fault.map_or(0, |f| f.esr)));
        let fault = expect_fault(|| mmio::write32(address, 1));
        saw(&variant!("sre.{name}-write"), format_args!("{:#x}", fault.map_or(0, |f| f.esr)));
    }
    mmio::write32(gic::GICD_CTLR, 0);
    let after = mmio::read32(gic::GICD_CTLR) & 1 << 4;
    check::equal("sre.affinity-routing-stays", after, 1 << 4);
    gic::init_distributor();
    check::equal("sre.works-after-frames", works(), (1, 1));
}
