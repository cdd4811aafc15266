//! The counter behind ticks: the processor's, where it can be relied on, else the monotonic clock.
//!
//! Takes what the processor and the kernel state about the processor's counter; gives readings, and the rate that is
//! stated for them. A program goes over from the processor's counter to the clock at most once, and never back. The
//! file does not know how ticks become times.
#![allow(unsafe_code, reason = "reading the counter is an intrinsic")]
#![allow(clippy::disallowed_methods, reason = "the kernel's word on the counter is a file of the system's")]

use std::sync::atomic::{AtomicBool, Ordering};

use super::clock_os::monotonic_ns;

/// A raw counter value.
pub(crate) type Ticks = u64;

/// True once ticks are nanoseconds of the monotonic clock. Nothing reads ticks before [`choose_counter`] has decided.
static IS_OS_CLOCK: AtomicBool = AtomicBool::new(false);

/// Reads ticks. A reading of the processor's counter takes 7 ns and is not ordered with the instructions around it.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn counter() -> Ticks {
    processor_counter().unwrap_or_else(os_ticks)
}

/// Reads the processor's counter. Returns `None` if ticks are nanoseconds of the monotonic clock instead. A caller that
/// leaves this second case to a tail call need not save registers around a call to the clock.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn processor_counter() -> Option<Ticks> {
    #[cfg(test)]
    if let Some(ticks) = super::clock_simulated::ticks() {
        return Some(ticks);
    }
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    if !IS_OS_CLOCK.load(Ordering::Relaxed) {
        return Some(read_counter());
    }
    None
}

/// Reads the processor's counter.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[cfg_attr(not(debug_assertions), inline(always))]
fn read_counter() -> Ticks {
    // SAFETY: every x86_64 processor has the instruction; it reads a register. `choose_counter` has seen that the system
    // does not forbid it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Reads the processor's counter.
#[cfg(all(target_arch = "aarch64", not(miri)))]
#[cfg_attr(not(debug_assertions), inline(always))]
fn read_counter() -> Ticks {
    let ticks: u64;
    // SAFETY: the register is readable by programs on all systems that this is compiled for, and reading it changes
    // nothing.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags))
    };
    ticks
}

#[cold]
#[inline(never)]
fn os_ticks() -> Ticks {
    monotonic_ns()
}

/// Returns true if ticks are nanoseconds of the monotonic clock.
pub(super) fn is_os_clock() -> bool {
    #[cfg(test)]
    if let Some(is_os_clock) = super::clock_simulated::is_os_clock() {
        return is_os_clock;
    }
    !HAS_COUNTER || IS_OS_CLOCK.load(Ordering::Relaxed)
}

/// Makes ticks nanoseconds of the monotonic clock from now on.
pub(super) fn use_os_clock() {
    #[cfg(test)]
    if super::clock_simulated::use_os_clock() {
        return;
    }
    IS_OS_CLOCK.store(true, Ordering::Relaxed);
}

/// Decides whether ticks are readings of the processor's counter or of the monotonic clock. A process that has gone
/// over to the clock stays with the clock.
pub(super) fn choose_counter() {
    let is_usable = is_permitted() && is_invariant() && is_believed();
    if !is_usable {
        use_os_clock();
    }
}

/// True where the processor has a counter that programs may read.
const HAS_COUNTER: bool = cfg!(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)));

/// Returns false if the system ends a program that reads the counter (`prctl(PR_SET_TSC)`).
fn is_permitted() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
    {
        let mut mode: std::ffi::c_int = libc::PR_TSC_ENABLE;
        // SAFETY: the call writes the mode to the place that it is handed, and changes nothing else.
        let told = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut mode) };
        told != 0 || mode != libc::PR_TSC_SIGSEGV
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(miri))))]
    {
        true
    }
}

/// Returns true if the counter runs at one rate in every state of every core. ARM's does by its architecture.
fn is_invariant() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let extended = read_cpuid(0x8000_0000).eax;
        extended >= 0x8000_0007 && read_cpuid(0x8000_0007).edx & (1 << 8) != 0
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        HAS_COUNTER
    }
}

/// Returns false if the kernel has found that the counters of the cores differ, or that their rate changes. The kernel
/// then reads another clock, and names that clock in a file. On a system without this file the function returns true.
pub(super) fn is_believed() -> bool {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", not(miri))) {
        return true;
    }
    let told = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    told.map_or(true, |source| is_based_on_counter(source.trim()))
}

/// Returns true for a clock source of the kernel's that reads the processor's counter.
fn is_based_on_counter(source: &str) -> bool {
    ["tsc", "tsc-early", "kvm-clock", "hyperv_clocksource_tsc_page"].contains(&source)
}

/// Returns the counter's rate as the processor or the hypervisor states it, in nanoseconds per tick as 32.32 fixed point.
/// If neither does, the rate is that of 3 GHz, which serves only until the first measurement.
pub(super) fn stated_rate() -> u64 {
    const GUESS_HZ: u64 = 3_000_000_000;
    let hz = stated_hz().filter(|hz| *hz > 0).unwrap_or(GUESS_HZ);
    u64::try_from((1_000_000_000_u128 << 32) / u128::from(hz)).unwrap_or(u64::MAX)
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
fn stated_hz() -> Option<u64> {
    let hz: u64;
    // SAFETY: as in `read_counter`.
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) hz, options(nomem, nostack, preserves_flags)) };
    Some(hz)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn stated_hz() -> Option<u64> {
    let leaves = read_cpuid(0).eax;
    if leaves >= 0x15 {
        let leaf = read_cpuid(0x15);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
        }
    }
    if leaves >= 0x16 {
        let mhz = u64::from(read_cpuid(0x16).eax & 0xFFFF);
        if mhz != 0 {
            return Some(mhz * 1_000_000);
        }
    }
    None
}

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
fn stated_hz() -> Option<u64> {
    None
}

/// Returns a leaf of the processor's description of itself.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(unused_unsafe, reason = "the intrinsic is safe in newer toolchains, but unsafe in the minimal one")]
fn read_cpuid(leaf: u32) -> core::arch::x86_64::CpuidResult {
    // SAFETY: every x86_64 processor has the instruction; it writes registers only.
    unsafe { core::arch::x86_64::__cpuid(leaf) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_verdict_on_the_counter_is_believed() {
        for source in ["tsc", "tsc-early", "kvm-clock", "hyperv_clocksource_tsc_page"] {
            assert!(is_based_on_counter(source), "{source}");
        }
        for source in ["hpet", "acpi_pm", "xen", "refined-jiffies", "hyperv_clocksource_msr", ""] {
            assert!(!is_based_on_counter(source), "{source}");
        }
    }
}
