//! Every row of `fd_shmem_ctl`, right and wrong.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::bench::Bench;
use crate::legacy::Legacy;
use crate::machine::{cpus, near, nodes};

#[test]
fn the_machine_is_that_of_the_kernel() {
    let bench = Bench::new();
    let shmem = Legacy::shmem(&bench);
    let nodes = nodes();
    let all: usize = nodes.iter().map(|node| cpus(*node).len()).sum();
    assert_eq!(shmem.ok("numa-cnt cpu-cnt"), format!("{}\n{all}\n", nodes.len()));
    for &node in &nodes {
        let cpus = cpus(node);
        let lowest = cpus.first().map_or("-".to_owned(), u64::to_string);
        assert_eq!(shmem.ok(&format!("cpu-idx {node}")), format!("{lowest}\n"));
        for cpu in cpus {
            assert_eq!(shmem.ok(&format!("numa-idx {cpu}")), format!("{node}\n"));
        }
    }
    let none = "cpu-idx 65534 numa-idx 65534 cpu-idx -1 numa-idx -1 numa-idx 4294967296";
    assert_eq!(shmem.ok(none), "-\n-\n-\n-\n-\n");
    // What does not parse is 0.
    assert_eq!(shmem.ok("cpu-idx x numa-idx x"), shmem.ok("cpu-idx 0 numa-idx 0"));
    for line in ["cpu-idx", "numa-idx", "nonsense", "cpu-cnt-x"] {
        shmem.fails(line);
    }
}

#[test]
fn regions_are_created_queried_and_unlinked() {
    let bench = Bench::new();
    let shmem = Legacy::shmem(&bench);
    let cpu = near().1;
    assert_eq!(shmem.ok(&format!("create r 3 NORMAL {cpu} 0644")), "");
    let metadata = fs::metadata(bench.region("r")).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o7777), (3 * 4096, 0o644));
    // A region, and no workspace.
    assert!(fs::read(bench.region("r")).unwrap().iter().all(|byte| *byte == 0));
    Legacy::wksp(&bench).fails("check r");
    assert_eq!(
        shmem.ok("query r 0 query r normal query r 0x1000 query r junk"),
        "0 3 4096\n".repeat(4)
    );
    // One of other pages is another one.
    fs::create_dir(bench.path().join(".huge")).unwrap();
    fs::write(bench.path().join(".huge/r"), vec![0; 2 << 20]).unwrap();
    assert_eq!(
        shmem.ok("query r 0 query r huge query r 2097152 query r normal"),
        "0 1 2097152\n0 1 2097152\n0 1 2097152\n0 3 4096\n"
    );
    for (line, errno) in [
        ("query nope 0", 2),
        ("query r gigantic", 2),
        ("query n/a 0", 22),
        ("query -r 0", 22),
        ("query ragged 0", 22),
        ("query link 0", 40),
        ("query directory 0", 21),
    ] {
        fs::write(bench.region("ragged"), "x").unwrap();
        let _ = symlink("r", bench.region("link"));
        let _ = fs::create_dir(bench.region("directory"));
        shmem.shrugs(line, &format!("{errno} 0 0\n"));
    }
    for arguments in [
        format!("r 3 normal {cpu} 0600"),
        format!("a 0 normal {cpu} 0600"),
        format!("a 3 other {cpu} 0600"),
        "a 3 normal x 0600".to_owned(),
        "a 3 normal 65535 0600".to_owned(),
        format!("a 3 normal {cpu} 40000000000"),
        format!("n/a 3 normal {cpu} 0600"),
        format!("a 3 normal {cpu}"),
    ] {
        shmem.fails(&format!("create {arguments}"));
    }
    assert!(!bench.region("a").exists());
    // The largest first, then what is left.
    assert_eq!(shmem.ok("unlink r 0 query r 0 unlink r unknown"), "0 3 4096\n");
    for line in ["unlink r 0", "unlink nope normal", "unlink n/a 0", "unlink r", "query r", "query"]
    {
        shmem.fails(line);
    }
    assert_eq!(shmem.ok(&format!("create r 1 normal {cpu} 0600 unlink r normal")), "");
}
