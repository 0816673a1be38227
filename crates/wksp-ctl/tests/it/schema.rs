//! docs/json-schema.json: every document that any test sees is as it says, and has nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

/// The definitions of the documents, by the names that [`name`] gives them.
///
/// It is built in, since tests also run on machines that do not have the checkout.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../docs/json-schema.json")).unwrap()
});

/// What the schema is known by to what reads it; nothing is looked for there.
const LOCATION: &str = "file:///json-schema.json";

/// What judges documents, and the schemas of each by their names.
static VALIDATORS: LazyLock<(Schemas, BTreeMap<String, SchemaIndex>)> = LazyLock::new(|| {
    let mut strict = SCHEMA.clone();
    // Users have to bear more fields than they know; here each has to be known.
    close(&mut strict);
    let mut compiler = Compiler::new();
    compiler.add_resource(LOCATION, strict).unwrap();
    let mut schemas = Schemas::new();
    let mut compile = |name: String| {
        let location = format!("{LOCATION}#/$defs/{name}");
        let index = compiler.compile(&location, &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{error:#}"));
        (name, index)
    };
    let names = documents().into_iter().map(&mut compile).collect();
    (schemas, names)
});

/// Allows no other fields than are named, at any depth.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.contains_key("properties") {
                object.entry("additionalProperties").or_insert(false.into());
            }
        }
        Value::Array(array) => array.iter_mut().for_each(close),
        _ => {}
    }
}

/// The names of all documents that there can be.
pub(crate) fn documents() -> BTreeSet<String> {
    let references = SCHEMA["oneOf"].as_array().unwrap().iter();
    let names = references.map(|one| one["$ref"].as_str().unwrap().rsplit('/').next().unwrap());
    names.map(str::to_owned).collect()
}

/// What the document of a command is called.
pub(crate) fn name(command: &str) -> String {
    command.replace(' ', "-")
}

/// The lines that are documents of ours.
fn lines(text: &str) -> impl Iterator<Item = Value> {
    let lines = text.lines().filter(|line| line.starts_with("{\"schema\":"));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

fn validate(name: &str, document: &Value) -> Result<(), String> {
    let (schemas, names) = &*VALIDATORS;
    let index = *names.get(name).ok_or_else(|| format!("no document {name}"))?;
    schemas.validate(document, index).map_err(|error| format!("{error:#}"))
}

/// Checks all documents in what the tool has written.
pub(crate) fn check(stdout: &[u8], stderr: &str) {
    for document in lines(&String::from_utf8_lossy(stdout)) {
        let found = validate(&name(document["command"].as_str().unwrap()), &document);
        assert_eq!(found, Ok(()), "{document}");
    }
    for document in lines(stderr) {
        let is_error = document.get("error").is_some();
        let found = validate(if is_error { "error" } else { "notice" }, &document);
        assert_eq!(found, Ok(()), "{document}");
    }
}

#[test]
fn what_is_not_as_the_schema_says_is_found() {
    let rm = json!({
        "schema": 1, "command": "rm", "name": "demo", "page_size": "normal", "path": "/x",
    });
    assert_eq!(validate("rm", &rm), Ok(()));
    for (field, value) in [
        ("schema", json!(2)),
        ("command", json!("ls")),
        ("page_size", json!("large")),
        ("path", json!(null)),
        ("new", json!(1)),
    ] {
        let mut other = rm.clone();
        other[field] = value;
        let found = validate("rm", &other).unwrap_err();
        assert!(found.contains(field) || found.contains(&other[field].to_string()), "{found}");
    }
    let mut without = rm.clone();
    without.as_object_mut().unwrap().remove("name");
    assert!(validate("rm", &without).unwrap_err().contains("name"));
}

#[test]
fn the_schema_is_one() {
    let mut compiler = Compiler::new();
    compiler.add_resource(LOCATION, SCHEMA.clone()).unwrap();
    let compiled = compiler.compile(LOCATION, &mut Schemas::new());
    compiled.unwrap_or_else(|error| panic!("{error:#}"));
    // What is defined is used.
    let text = SCHEMA.to_string();
    for name in SCHEMA["$defs"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("\"#/$defs/{name}\"")), "{name}");
    }
}
