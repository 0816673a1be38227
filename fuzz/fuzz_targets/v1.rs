//! `wksp_fuzz::v1` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wksp_fuzz::v1::run(data));
