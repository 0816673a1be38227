//! `wksp_fuzz::preview` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wksp_fuzz::preview::run(data));
