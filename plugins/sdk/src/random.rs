//! Randomness: there is none in the sandbox.
//!
//! Crates that ask `getrandom` do not compile for `wasm32-unknown-unknown` unless somebody answers. This answers that it is
//! not to be had, rather than with numbers that only look random: ids must come from the data, and keys from the engine.

#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the symbol that getrandom's custom backend calls; it touches no memory")]
unsafe extern "Rust" fn __getrandom_v03_custom(_destination: *mut u8, _bytes: usize) -> Result<(), getrandom::Error> {
    Err(getrandom::Error::UNSUPPORTED)
}
