//! `metrics`, as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::bench::Bench;

/// A sample: its metric, its labels and its value.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads the text format strictly: every rule of it that a collector goes by, and promtool checks.
fn parse(text: &str) -> Samples {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    let (mut samples, mut seen) = (Samples::new(), BTreeSet::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (family, help) = line.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(!help.is_empty() && seen.insert(family.to_owned()), "{line}");
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(family.starts_with("wksp_") && family.chars().all(is_name), "{family}");
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {family} ")).unwrap();
        assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
        assert!(["counter", "gauge"].contains(&kind), "{kind}");
        let before = samples.len();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let rest = line.strip_prefix(family).unwrap_or_else(|| panic!("{line} in {family}"));
            let (labels, value) = match rest.strip_prefix('{') {
                None => (BTreeMap::new(), rest),
                Some(rest) => labels(rest),
            };
            let value = value.strip_prefix(' ').unwrap().parse().unwrap();
            let former = samples.insert((family.to_owned(), labels), value);
            assert_eq!(former, None, "twice: {line}");
        }
        assert!(samples.len() > before, "{family} has no samples");
    }
    samples
}

/// Reads labels up to the brace behind them.
fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("\\{c}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(!value.is_empty() && labels.insert(name.to_owned(), value).is_none(), "{name}");
        rest = &after[end + 1..];
        match rest.split_at(1) {
            (",", more) => rest = more,
            ("}", more) => return (labels, more),
            _ => panic!("{rest}"),
        }
    }
}

/// The value of a metric with all of these labels.
fn value(samples: &Samples, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |found: &BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
    };
    let mut found = samples.iter().filter(|((name, found), _)| name == metric && fits(found));
    let value = found.next().map(|(_, value)| *value);
    assert!(found.next().is_none(), "{metric} {labels:?}: {samples:?}");
    value
}

#[test]
fn figures_are_those_of_the_other_commands() {
    let bench = Bench::with_demo("1MiB");
    bench.ok(["new", "other", "--size", "64K"]);
    bench.ok(["alloc", "demo", "1000"]);
    let before = fs::read(bench.region("demo")).unwrap();
    let samples = parse(&bench.ok(["metrics"]));
    let usage = bench.json(["usage", "demo"]);
    let of = |metric: &str| value(&samples, metric, &[("name", "demo"), ("page_size", "normal")]);
    let expected = |value: &serde_json::Value| value.as_f64();
    for (metric, figure) in [
        ("wksp_data_bytes", &usage["data_max"]),
        ("wksp_used_bytes", &usage["used"]["bytes"]),
        ("wksp_free_bytes", &usage["free"]["bytes"]),
        ("wksp_largest_free_bytes", &usage["free"]["largest_bytes"]),
        ("wksp_allocations", &usage["used"]["count"]),
        ("wksp_free_partitions", &usage["free"]["count"]),
        ("wksp_records", &usage["part_max"]),
        ("wksp_free_records", &usage["idle_count"]),
    ] {
        assert!(of(metric).is_some(), "{metric}");
        assert_eq!(of(metric), expected(figure), "{metric}");
    }
    for (metric, figure) in [
        ("wksp_up", 1.0),
        ("wksp_certain", 1.0),
        ("wksp_lock_held", 0.0),
        ("wksp_joined_processes", 0.0),
        ("wksp_region_bytes", f64::from(1 << 20)),
        ("wksp_page_bytes", 4096.0),
    ] {
        assert_eq!(of(metric), Some(figure), "{metric}");
    }
    assert_eq!(value(&samples, "wksp_up", &[("name", "other")]), Some(1.0));
    let one = parse(&bench.ok(["metrics", "other"]));
    assert_eq!(value(&one, "wksp_up", &[("name", "other")]), Some(1.0));
    assert_eq!(value(&one, "wksp_up", &[("name", "demo")]), None);
    assert!(fs::read(bench.region("demo")).unwrap()[128..] == before[128..]);
}

#[test]
fn what_cannot_be_read_is_a_figure_and_no_failure() {
    let bench = Bench::with_demo("64K");
    fs::write(bench.region("junk"), [0; 4096]).unwrap();
    fs::write(bench.region("cut"), [0; 100]).unwrap();
    fs::write(bench.region("a \"quoted\"\\\nname"), [0; 4096]).unwrap();
    let samples = parse(&bench.ok(["metrics"]));
    for (name, reason) in
        [("junk", "corrupt"), ("cut", "corrupt"), ("a \"quoted\"\\\nname", "corrupt")]
    {
        let labels = [("name", name), ("reason", reason)];
        assert_eq!(value(&samples, "wksp_up", &labels), Some(0.0), "{name}: {samples:?}");
        assert_eq!(value(&samples, "wksp_data_bytes", &[("name", name)]), None);
    }
    assert_eq!(value(&samples, "wksp_up", &[("name", "demo")]), Some(1.0));
    let samples = parse(&bench.ok(["metrics", "none", "demo"]));
    let labels = [("name", "none"), ("reason", "not_found")];
    assert_eq!(value(&samples, "wksp_up", &labels), Some(0.0));
    assert_eq!(bench.run(["metrics", "not a name"]).code, Some(2));
}

#[test]
fn a_lock_that_is_held_is_seen_and_left_alone() {
    let bench = Bench::with_demo("64K");
    // A lock word that no process can have; see `damage`.
    bench.patch("demo", 112, &0x3FFF_FF00_u64.to_le_bytes());
    let before = fs::read(bench.region("demo")).unwrap();
    let samples = parse(&bench.ok(["metrics"]));
    assert_eq!(value(&samples, "wksp_lock_held", &[("name", "demo")]), Some(1.0));
    assert_eq!(value(&samples, "wksp_certain", &[("name", "demo")]), Some(0.0));
    assert!(fs::read(bench.region("demo")).unwrap() == before);
}

#[test]
fn the_file_is_replaced_as_a_whole() {
    let bench = Bench::with_demo("64K");
    let file = bench.path().join("wksp.prom");
    let output = file.to_str().unwrap();
    assert_eq!(bench.ok(["metrics", "--output", output]), "");
    let first = fs::metadata(&file).unwrap();
    assert_eq!(first.permissions().mode() & 0o7777, 0o644);
    parse(&fs::read_to_string(&file).unwrap());
    // Who has the old one open reads on there.
    let kept = fs::File::open(&file).unwrap();
    bench.ok(["new", "other", "--size", "64K"]);
    let json = bench.json(["metrics", "--output", output]);
    assert_eq!(json["file"], output);
    assert_ne!(fs::metadata(&file).unwrap().ino(), first.ino());
    let (old, new) = (std::io::read_to_string(kept).unwrap(), fs::read_to_string(&file).unwrap());
    assert_eq!(value(&parse(&old), "wksp_up", &[("name", "other")]), None);
    assert_eq!(value(&parse(&new), "wksp_up", &[("name", "other")]), Some(1.0));
    for bad in [bench.path().to_str().unwrap(), "/dev/shm/no/such/directory/file"] {
        let ran = bench.run(["metrics", "--output", bad]);
        assert!(ran.code != Some(0) && ran.cause_and_remedy().0.contains(bad), "{ran:?}");
    }
    assert!(Path::new(output).exists());
}
