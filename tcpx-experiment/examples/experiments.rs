//! The experiments as a WebAssembly module without imports, for Node.js or a page: `make wasm`
//! builds it, and `tests/wasm/report.mjs` shows how to call it.

use std::cell::RefCell;
use tcpx_experiment::report::{SEED, simulated};

thread_local! {
    static REPORT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs all experiments in the simulation; returns the length in bytes of their report, which is
/// JSON, or of an error message.
// SAFETY: no other symbol of this module has the name.
#[unsafe(no_mangle)]
pub extern "C" fn run() -> usize {
    REPORT.with_borrow_mut(|report| {
        *report = simulated(&[], SEED).unwrap_or_else(|error| error.to_string());
        report.len()
    })
}

/// Where the report of the last [`run`] is in the module's memory, in UTF-8.
// SAFETY: no other symbol of this module has the name.
#[unsafe(no_mangle)]
pub extern "C" fn report() -> *const u8 {
    REPORT.with_borrow(|report| report.as_ptr())
}
