//! `wksp_fuzz::v2_by_offset` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wksp_fuzz::v2_by_offset::run(data));
