//! Every row of `fd_shmem_cfg`, right and wrong.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;

use nix::unistd::geteuid;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran};
use crate::legacy::Legacy;
use crate::machine::{Pool, in_private_mounts, lack, near, nodes, turn};

const NOBODY: u32 = 65534;

/// Whether the kernel has pages of every size, without which there is no `init`.
fn has_all_pages() -> bool {
    let has_all = ["hugepages-2048kB", "hugepages-1048576kB"]
        .iter()
        .all(|pool| fs::exists(format!("/sys/kernel/mm/hugepages/{pool}")).unwrap());
    if !has_all {
        lack("huge and gigantic pages");
    }
    has_all
}

#[test]
fn a_machine_is_set_up_and_set_back() {
    let stage = Bench::new();
    let base = stage.path().join("base");
    let cfg = Legacy::cfg(&base);
    if !has_all_pages() {
        return;
    }
    in_private_mounts(|| {
        cfg.fails("fini");
        for arguments in [
            "0700 root",
            "",
            "0700 no-such-user root",
            "0700 root no-such-group",
            "-1 root root",
            "020000 root root",
        ] {
            cfg.fails(&format!("init {arguments}"));
            assert!(!base.exists(), "{arguments}");
        }
        let owned = |user: &str, mode: u32, line: &str| {
            let ran = cfg.line(line);
            assert_eq!((ran.code, ran.text().as_str()), (Some(0), ""), "{ran:?}");
            for directory in [".normal", ".huge", ".gigantic"] {
                let metadata = fs::metadata(base.join(directory)).unwrap();
                let uid = user.parse::<u32>().unwrap();
                assert_eq!((metadata.uid(), metadata.gid()), (uid, uid), "{directory}");
                assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{directory}");
                assert_ne!(metadata.dev(), fs::metadata(&base).unwrap().dev(), "{directory}");
            }
        };
        owned("0", 0o700, "init 0700 root root");
        cfg.fails("init 0700 root root");
        assert_eq!(cfg.ok("fini"), "");
        assert!(!base.exists());
        owned("65534", 0o750, "init 750 65534 65534");
        assert_eq!(cfg.ok("fini"), "");
        // Everybody may make regions, but not remove those of others.
        owned("0", 0o1777, "init 0777 root root");
        assert_eq!(cfg.ok("fini"), "");
        let ran = cfg.run(&["init", "0700", "", ""]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");

        // Regions are listed, lose their names, and prevent nothing.
        let wksp = Legacy::wksp_at(&base);
        let cpu = near().1;
        wksp.ok(&format!("new one 16 normal {cpu} 0600 new two 32 normal {cpu} 0600"));
        let query = cfg.ok("query");
        assert!(query.contains("normal regions\n\tone: 16 pages\n\ttwo: 32 pages\n"), "{query}");
        assert_eq!(cfg.ok("reset"), "");
        assert!(cfg.ok("query").ends_with("normal regions\n"));
        wksp.ok(&format!("new one 16 normal {cpu} 0600"));
        fs::write(base.join("else"), "").unwrap();
        cfg.fails("fini");
        assert!(base.join("else").exists() && !base.join(".normal").exists());
        fs::remove_file(base.join("else")).unwrap();
        assert_eq!(cfg.ok("fini"), "");
        assert!(!base.exists());
    });
}

/// Pages of a node of which nobody uses any, with their size; says so if there are none.
fn unused_pages(node: u64) -> Option<(Pool, &'static str, u64)> {
    let mut found = None;
    for (page_size, bytes) in [("huge", 2 << 20), ("gigantic", 1 << 30)] {
        let pool = Pool::of(node, page_size)?;
        if pool.count("nr") == pool.count("free") {
            found = found.or(Some((pool, page_size, bytes)));
        } else {
            // Which is a failure, and one that changes nothing.
            let cfg = Legacy::cfg(Bench::new().path());
            cfg.fails(&format!("alloc 1000 {page_size} {node}"));
            cfg.fails(&format!("free {page_size} {node}"));
            assert_eq!(pool.count("nr"), pool.before());
        }
    }
    if found.is_none() {
        lack("pages that nobody else uses");
    }
    found
}

#[test]
fn pages_are_kept_and_given_back_unless_somebody_uses_any() {
    let _turn = turn();
    let (node, cpu) = near();
    let Some((pool, page_size, bytes)) = unused_pages(node) else { return };
    let stage = Bench::new();
    let base = stage.path().join("base");
    let cfg = Legacy::cfg(&base);
    let wanted = pool.before() + 2;
    let ran = cfg.line(&format!("alloc {wanted} {} {node}", page_size.to_uppercase()));
    if ran.code != Some(0) {
        return lack(&format!("memory for 2 more {page_size} pages"));
    }
    assert_eq!((ran.text().as_str(), pool.count("nr")), ("", wanted));
    let query = cfg.line("query").text();
    let (_, below) = query.split_once(&format!("{page_size} pages\n")).unwrap();
    assert!(
        below.starts_with(&format!("\tnode {node}: {wanted} total, {wanted} free\n")),
        "{query}"
    );
    // As many as are asked for, fewer too.
    let kept = wanted - 1;
    assert_eq!(cfg.ok(&format!("alloc {kept:#x} {bytes} {node}")), "");
    assert_eq!(pool.count("nr"), kept);
    for line in [
        format!("alloc 1 normal {node}"),
        format!("alloc 1 other {node}"),
        format!("alloc 1 {page_size} 65535"),
        format!("alloc 1 {page_size} -1"),
        format!("alloc 1000000000 {page_size} {node}"),
        format!("alloc -1 {page_size} {node}"),
        format!("alloc 1 {page_size}"),
        format!("free {page_size}"),
        format!("free normal {node}"),
    ] {
        cfg.fails(&line);
    }
    assert_eq!(pool.count("nr"), kept);
    in_private_mounts(|| {
        if !has_all_pages() {
            return;
        }
        cfg.ok("init 0700 root root");
        let wksp = Legacy::wksp_at(&base);
        assert_eq!(wksp.ok(&format!("new demo 1 {page_size} {cpu} 0600 check demo")), "");
        assert_eq!(Legacy::shmem_at(&base).ok("query demo 0"), format!("0 1 {bytes}\n"));
        cfg.fails(&format!("free {page_size} {node}"));
        cfg.fails(&format!("alloc {wanted} {page_size} {node}"));
        assert_eq!(pool.count("nr"), kept);
        let regions = format!("{page_size} regions\n\tdemo: 1 pages\n");
        assert!(cfg.ok("query").contains(&regions));
        // One page too many.
        wksp.fails(&format!("new more {wanted} {page_size} {cpu} 0600"));
        wksp.ok("delete demo");
        cfg.ok("fini");
    });
    assert_eq!(cfg.ok(&format!("free {page_size} {node}")), "");
    assert_eq!(pool.count("nr"), 0);
}

#[test]
fn without_privilege_all_is_seen_and_nothing_changed() {
    let stage = Bench::new();
    let base = stage.path().join("base");
    let cfg = Legacy::cfg(&base);
    let query = cfg.line("query");
    assert_eq!(query.code, Some(0), "{query:?}");
    let titles: Vec<String> =
        query.text().lines().filter(|line| !line.starts_with('\t')).map(str::to_owned).collect();
    assert_eq!(
        titles,
        [
            "gigantic pages",
            "huge pages",
            "normal pages",
            "gigantic regions",
            "huge regions",
            "normal regions"
        ]
    );
    assert!(query.text().matches("\tnode ").count() >= nodes().len() || !has_all_pages());
    for line in ["nonsense", "reset", "fini", "init", "alloc", "free"] {
        cfg.fails(line);
    }
    if !geteuid().is_root() {
        return skip("only root can become somebody else");
    }
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (node, _) = near();
    // Pages that another test has reserved just now would be what is asked for.
    let _turn = wksp_testkit::turn::turn();
    for line in ["init 0700 root root".to_owned(), format!("alloc 1 huge {node}")] {
        let mut command = cfg.command(&line.split(' ').collect::<Vec<_>>());
        let ran = match command.uid(NOBODY).gid(NOBODY).output() {
            Ok(output) => Ran::of(output),
            Err(error) => return skip(format_args!("nobody cannot run the tool: {error}")),
        };
        assert_eq!((ran.code, ran.text().as_str()), (Some(1), ""), "{ran:?}");
    }
    assert!(!base.exists());
}
