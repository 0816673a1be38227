//! Links to the program by the names of the existing tools.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::bench::{Bench, Ran, program};

const NAMES: [&str; 3] = ["fd_wksp_ctl", "fd_shmem_ctl", "fd_shmem_cfg"];

#[test]
fn links_are_made_once_and_call_the_tools() {
    let bench = Bench::new();
    let directory = bench.path().join("bin");
    fs::create_dir(&directory).unwrap();
    let word = directory.to_str().unwrap();
    for change in ["linked", "unchanged"] {
        let document = bench.json(["links", word]);
        assert_eq!(document["target"], fs::canonicalize(program()).unwrap().to_str().unwrap());
        for (link, name) in document["links"].as_array().unwrap().iter().zip(NAMES) {
            let path = directory.join(name);
            assert_eq!((&link["path"], &link["change"]), (&path.to_str().into(), &change.into()));
            assert_eq!(fs::canonicalize(&path).unwrap(), fs::canonicalize(program()).unwrap());
        }
    }
    let text = bench.ok(["links", word]);
    assert!(text.lines().count() == 3 && text.contains("fd_wksp_ctl -> /"), "{text}");
    let run = |name: &str, words: &[&str]| {
        let mut command = Command::new(directory.join(name));
        Ran::of(command.args(words).env("FD_SHMEM_PATH", bench.path()).output().unwrap())
    };
    let ran = run("fd_wksp_ctl", &["supported-styles"]);
    assert_eq!((ran.code, ran.text().as_str()), (Some(0), "0 1 2 3\n"), "{ran:?}");
    assert!(run("fd_shmem_ctl", &["help"]).text().starts_with("fd_shmem_ctl "));
    assert_eq!(run("fd_shmem_cfg", &[]).code, Some(1));
}

#[test]
fn what_is_in_the_way_stays_and_no_link_is_made() {
    let bench = Bench::new();
    let directory = bench.path().join("bin");
    fs::create_dir(&directory).unwrap();
    let word = directory.to_str().unwrap().to_owned();
    let last = directory.join("fd_shmem_cfg");
    let fails = |code: i32| {
        let error = bench.run(["links", &word, "--json"]).error(code);
        let text = bench.run(["links", &word]);
        assert_eq!((text.code, text.text().as_str()), (Some(code), ""), "{text:?}");
        error
    };
    fs::write(&last, "precious").unwrap();
    let (cause, remedy) = fails(1);
    assert!(cause.contains("fd_shmem_cfg") && remedy.contains("another directory"), "{cause}");
    assert_eq!(fs::read_to_string(&last).unwrap(), "precious");
    fs::remove_file(&last).unwrap();
    for other in ["/nowhere/at/all", "fd_shmem_cfg", "/bin/sh"] {
        symlink(other, &last).unwrap();
        let (cause, _) = fails(1);
        assert!(cause.contains(other), "{cause}");
        assert_eq!(fs::read_link(&last).unwrap().to_str(), Some(other));
        fs::remove_file(&last).unwrap();
    }
    fs::create_dir(&last).unwrap();
    fails(1);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    fs::remove_dir_all(&directory).unwrap();
    let (cause, remedy) = fails(3);
    assert!(cause.contains("cannot make the link") && remedy.contains("directory"), "{cause}");
    fs::write(&directory, "").unwrap();
    fails(1);
    bench.run(["links", "--json"]).error(2);
}
