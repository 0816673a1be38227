//! How much is said: -q, -v, and neither.

use std::fs;

use crate::bench::Bench;

#[test]
fn quiet_keeps_what_went_wrong() {
    let bench = Bench::new();
    let new = |name: &str, options: &[&str]| {
        fs::remove_dir_all(bench.path().join(".normal")).unwrap();
        bench.run([&["new", name, "--size", "64K"], options].concat())
    };
    assert!(new("loud", &[]).stderr.starts_with("note: made the directory "));
    for quiet in ["-q", "--quiet"] {
        assert_eq!(new("demo", &[quiet]).stderr, "");
    }
    let unheld = bench.run(["owner", "demo", "--break", "--yes", "-q"]);
    assert_eq!((unheld.code, unheld.stderr.as_str()), (Some(0), ""));
    assert!(unheld.text().contains("demo"), "{unheld:?}");

    // A lock word that no process can have; see `damage`.
    bench.patch("demo", 112, &0x3FFF_FF00_u64.to_le_bytes());
    let recovered = bench.run(["usage", "demo", "--lock", "-q"]);
    assert!(recovered.stderr.starts_with("note: demo: recovered from dead "), "{recovered:?}");
    assert!(recovered.text().contains("used"), "{recovered:?}");
    let failed = bench.run(["usage", "none", "-q"]);
    assert!(failed.cause_and_remedy().0.contains("none"));
}

#[test]
fn verbose_says_where_and_how_long() {
    let bench = Bench::with_demo("64K");
    let plain = bench.run(["usage", "demo", "--lock"]);
    for verbose in ["-v", "--verbose"] {
        let ran = bench.run(["usage", "demo", "--lock", verbose]);
        assert_eq!((ran.code, ran.text()), (Some(0), plain.text()));
        let lines: Vec<&str> = ran.stderr.lines().collect();
        let base = bench.path().display().to_string();
        assert_eq!(lines.len(), 3, "{ran:?}");
        assert_eq!(lines[0], format!("note: workspaces are in {base}, as --base says"));
        assert!(lines[1].contains(bench.region("demo").to_str().unwrap()), "{ran:?}");
        assert!(lines[2].contains("lock of demo"), "{ran:?}");
    }
    let ran = bench.run(["usage", "demo", "--lock", "-v", "--json"]);
    assert_eq!(ran.stderr.matches("\"kind\":\"detail\"").count(), 3, "{ran:?}");
    assert_eq!(bench.run(["ls", "-q", "-v"]).code, Some(2));
}
