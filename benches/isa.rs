//! What a real GPU compiler makes of the kernels of training steps, without a GPU: Mesa's RADV on its null device.
//!
//! ```text
//! cargo bench --bench isa                                  # all kernels, for navi21
//! cargo bench --bench isa -- conv_blocks tiles_8x8         # those whose names contain one of these words
//! RADV_FORCE_FAMILY=vega10 cargo bench --bench isa         # for another GPU: polaris10, gfx1100, ...
//! ```
//!
//! Instructions are those of the inner loop; a kernel without a loop has none.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../tests/isa/assembly.rs"]
mod assembly;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../tests/isa/kernels.rs"]
mod kernels;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../tests/common/steps.rs"]
mod networks;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../tests/isa/radv.rs"]
mod radv;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../tests/isa/steps.rs"]
mod steps;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(dead_code, reason = "the tests compare with baselines too")]
#[path = "../tests/isa/table.rs"]
mod table;
mod timing;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() {
    let Some(wanted) = timing::chosen(kernels::all(), |(name, _)| name.clone()) else { return };
    let driver = radv::driver().expect("RADV is installed, on Debian by the package mesa-vulkan-drivers");
    if std::env::var_os("VK_DRIVER_FILES").is_none_or(|files| files != driver) {
        // Both variables are read as the driver is loaded.
        let family = std::env::var("RADV_FORCE_FAMILY").unwrap_or_else(|_| "navi21".to_owned());
        let own = std::env::current_exe().expect("a running binary has a path");
        let mut again = std::process::Command::new(own);
        again.args(std::env::args().skip(1)).env("RADV_FORCE_FAMILY", family).env("VK_DRIVER_FILES", driver);
        std::process::exit(again.status().expect("it starts").code().unwrap_or(1));
    }
    let device = radv::NullDevice::open().unwrap_or_else(|e| panic!("{e}"));
    let row = |(name, kernel): (String, kernels::Kernel)| {
        let compiled = device.compile(&kernel.words(), kernel.entry);
        let compiled = compiled.unwrap_or_else(|e| panic!("{name}: {e}"));
        table::Row::new(name, &compiled)
    };
    let rows: Vec<_> = wanted.into_iter().map(row).collect();
    println!("{}, {}\n{}", device.name, device.version, table::table(&rows));
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    eprintln!("RADV, which compiles these kernels, runs on Linux");
}
