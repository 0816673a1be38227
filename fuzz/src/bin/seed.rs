//! Writes the seeds to a directory, in a subdirectory for each target.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let to = env::args_os().nth(1).map(PathBuf::from);
    let to = to.ok_or_else(|| io::Error::other("usage: seed DIRECTORY"))?;
    let golden = wksp_testkit::golden::dir();
    let seeds = wksp_fuzz::seeds::all(golden.as_deref());
    for seed in &seeds {
        let directory = to.join(seed.target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(&seed.name), &seed.bytes)?;
    }
    let from = golden.map_or("no golden files".into(), |golden| golden.display().to_string());
    println!("{} seeds in {}, with {from}", seeds.len(), to.display());
    Ok(())
}
