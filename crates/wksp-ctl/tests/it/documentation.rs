//! docs/json.md has a row for every field that the tool writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use wksp_shmem::NumaCalls;

use crate::bench::Bench;
use crate::help::{COMMANDS, HOST_COMMANDS};
use crate::machine::near;
use crate::schema;

/// Adds the names of all fields of a document, at any depth.
fn fields(of: &Value, names: &mut BTreeSet<String>) {
    match of {
        Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                fields(value, names);
            }
        }
        Value::Array(array) => array.iter().for_each(|value| fields(value, names)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let bench = Bench::new();
    let mut names = BTreeSet::from(["doubt", "holder_pid", "changed"].map(String::from));
    let put = bench.path().join("file");
    fs::write(&put, "hello").unwrap();
    let put = put.to_str().unwrap();
    let got = bench.path().join("got");
    let mut commands = BTreeSet::new();
    let mut run = |arguments: &[&str]| {
        let document = bench.json(arguments);
        let command = document["command"].as_str().unwrap();
        commands.insert(schema::name(command));
        assert!(arguments.join(" ").starts_with(command), "{command}");
        fields(&document, &mut names);
        document
    };
    run(&["new", "demo", "--size", "64K"]);
    let address = run(&["put", "demo", put])["address"].as_str().unwrap().to_owned();
    let address = address.as_str();
    run(&["alloc", "demo", "100", "--tag", "7", "--align", "1"]);
    run(&["get", address, got.to_str().unwrap()]);
    run(&["tag", address, "8"]);
    run(&["fill", address, "0"]);
    run(&["ls"]);
    run(&["show", "demo"]);
    run(&["usage", "demo", "--tag", "8"]);
    run(&["verify", "demo"]);
    run(&["map", "demo"]);
    run(&["top", "--once"]);
    run(&["rebuild", "demo"]);
    run(&["free", address]);
    run(&["tag-free", "demo", "7"]);
    let checkpoint = bench.path().join("checkpoint");
    let extracted = bench.path().join("extracted");
    let (checkpoint, extracted) = (checkpoint.to_str().unwrap(), extracted.to_str().unwrap());
    run(&["alloc", "demo", "100", "--tag", "7", "--align", "1"]);
    run(&["checkpt", "demo", checkpoint]);
    run(&["restore", "demo", checkpoint, "--yes"]);
    run(&["inspect", checkpoint]);
    run(&["checkpt-verify", checkpoint]);
    run(&["extract", checkpoint, "--tag", "7", extracted]);
    run(&["reset", "demo", "--yes"]);
    let differ = bench.run(["diff", checkpoint, "demo", "--json"]).document();
    run(&["diff", "demo", "demo"]);
    run(&["metrics", "--nodes"]);
    run(&["completions", "bash"]);
    run(&["man", "diff"]);
    // A lock word that no process can have; see `damage`.
    bench.patch("demo", 112, &0x3FFF_FF00_u64.to_le_bytes());
    let in_doubt = bench.run(["usage", "demo", "--json"]).document();
    assert!(in_doubt["doubt"].is_object(), "{in_doubt}");
    run(&["owner", "demo", "--break", "--yes"]);
    bench.patch("demo", 112, &0x3FFF_FF00_u64.to_le_bytes());
    run(&["check"]);
    bench.patch("demo", 112, &0x3FFF_FF00_u64.to_le_bytes());
    run(&["janitor", "--once"]);
    run(&["numa"]);
    let node = near().0.to_string();
    run(&["plan", "--pages", "1", "--near-node", &node]);
    run(&["new", "off", "--size", "64K", "--near-node", &node, "--binding", "off"]);
    run(&["doctor"]);
    run(&["host", "status"]);
    // What changes nothing takes no privilege.
    run(&["host", "release", "--page-size", "huge", "--keep", "18446744073709551615"]);
    run(&["host", "fini", "--page-size", "gigantic"]);
    if NumaCalls::probe().locate.is_ok() {
        run(&["new", "placed", "--size", "64K", "--near-node", &node]);
        run(&["where", "placed"]);
    }
    run(&["rm", "demo"]);
    run(&["links", bench.path().to_str().unwrap()]);
    // What cannot be done everywhere has tests of its own.
    for elsewhere in ["where", "host-init", "host-reserve", "host-reset"] {
        commands.insert(elsewhere.to_owned());
    }
    commands.extend(["error", "notice"].map(str::to_owned));
    assert_eq!(commands, schema::documents());
    // `legacy` writes what another tool would, and never JSON.
    let typed = COMMANDS
        .iter()
        .filter(|name| !["host", "legacy"].contains(name))
        .map(|name| (*name).to_owned());
    let typed = typed.chain(HOST_COMMANDS.iter().map(|name| format!("host-{name}")));
    assert!(typed.into_iter().all(|name| schema::documents().contains(&name)));
    fields(&differ, &mut names);
    for line in bench.run(["show", "demo", "--json"]).stderr.lines() {
        fields(&serde_json::from_str(line).unwrap(), &mut names);
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let documented = fs::read_to_string(path).unwrap();
    let missing: Vec<_> =
        names.iter().filter(|name| !documented.contains(&format!("| `{name}` |"))).collect();
    assert!(missing.is_empty(), "not in docs/json.md: {missing:?}");
    assert!(names.len() > 50, "{names:?}");
}
