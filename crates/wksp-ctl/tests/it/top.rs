//! `top`: on a terminal with keys, and printed.

use nix::sys::signal::Signal;

use crate::bench::Bench;
use crate::holders::Victim;
use crate::pictures::lived_in;
use crate::pty::Terminal;

const SCREEN: (u16, u16) = (110, 24);

fn with_three() -> Bench {
    let bench = lived_in();
    bench.ok(["new", "alpha", "--size", "64K"]);
    bench.ok(["new", "zulu", "--size", "8M"]);
    bench.ok(["alloc", "zulu", "6M"]);
    bench
}

/// The names of the workspaces from the top down.
fn names(screen: &vt100::Screen) -> Vec<String> {
    let contents = screen.contents();
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let rows = contents.lines().skip_while(|line| !line.starts_with("NAME")).skip(1);
    rows.map_while(first).collect()
}

/// The name in the row that is marked.
fn selected(screen: &vt100::Screen) -> Option<String> {
    let row = (3..SCREEN.1).find(|&row| screen.cell(row, 0).is_some_and(vt100::Cell::inverse))?;
    let line = screen.rows(0, SCREEN.0).nth(usize::from(row))?;
    line.split_whitespace().next().map(str::to_owned)
}

#[test]
fn keys_sort_select_and_open_maps() {
    let bench = with_three();
    let mut top = Terminal::start(&bench, &["top", "--delay", "0.1"], SCREEN);
    // Its own terminal may be set otherwise by the time that one could look.
    let before = Terminal::start(&bench, &["numa"], SCREEN).settings();
    let screen = top.wait_for(|screen| names(screen) == ["alpha", "demo", "zulu"]);
    assert!(screen.alternate_screen() && screen.hide_cursor());
    assert_eq!(selected(&screen).as_deref(), Some("alpha"));
    let title = screen.contents();
    assert!(title.contains("3 workspaces under") && title.contains("by name"), "{title}");

    top.type_keys("s");
    let screen = top.wait_for(|screen| names(screen) == ["zulu", "demo", "alpha"]);
    // The mark stays on what was selected.
    assert_eq!(selected(&screen).as_deref(), Some("alpha"));
    top.type_keys("r");
    top.wait_for(|screen| names(screen) == ["alpha", "demo", "zulu"]);
    top.wait_for_text("by size, reversed");
    top.type_keys("j");
    top.wait_for(|screen| selected(screen).as_deref() == Some("demo"));
    top.type_keys("\x1b[B");
    top.wait_for(|screen| selected(screen).as_deref() == Some("zulu"));
    top.type_keys("\x1b[A\r");
    let screen = top.wait_for_text("cells of");
    assert!(screen.contents().contains("demo: 512 normal pages"), "{}", screen.contents());
    assert!(screen.contents().contains("tag 8") && screen.contents().contains("largest"));
    top.type_keys("j");
    top.wait_for_text("zulu: 2048 normal pages");
    top.type_keys("\x1b");
    top.wait_for(|screen| names(screen).len() == 3);

    // What happens meanwhile is seen.
    bench.ok(["new", "young", "--size", "64K"]);
    top.wait_for(|screen| names(screen).contains(&"young".to_owned()));
    // It is mapped for the moment of each look.
    bench.ok(["rm", "young", "--force"]);
    top.wait_for(|screen| names(screen).len() == 3);
    let victim = Victim::start(&bench);
    top.wait_for(|screen| {
        let contents = screen.contents();
        contents.lines().any(|line| line.starts_with("demo") && line.contains(" ms"))
    });
    victim.kill();
    top.type_keys("q");
    let (code, screen) = top.end();
    assert_eq!(code, Some(0), "{}", screen.contents());
    assert!(!screen.alternate_screen() && !screen.hide_cursor());
    assert_eq!(top.settings(), before);
}

#[test]
fn whatever_ends_it_leaves_the_terminal_as_it_was() {
    let bench = with_three();
    for end in ["key", "signal", "count"] {
        let arguments: &[&str] =
            if end == "count" { &["top", "--count", "2", "--delay", "0.2"] } else { &["top"] };
        let mut top = Terminal::start(&bench, arguments, SCREEN);
        let raw = top.wait_for(|screen| screen.alternate_screen() && names(screen).len() == 3);
        assert!(raw.hide_cursor());
        match end {
            "key" => top.type_keys("\x03"),
            "signal" => top.signal(Signal::SIGTERM),
            _ => {}
        }
        let (code, screen) = top.end();
        assert_eq!(code, Some(if end == "count" { 0 } else { 130 }), "{end}");
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{end}");
        assert!(names(&screen).is_empty(), "{end}: {}", screen.contents());
        let fresh = Terminal::start(&bench, &["numa"], SCREEN).settings();
        assert_eq!(top.settings(), fresh, "{end}");
    }
}

#[test]
fn a_small_terminal_shows_what_matters_most() {
    let bench = with_three();
    let mut top = Terminal::start(&bench, &["top"], (50, 6));
    let screen = top.wait_for_text("NAME");
    let contents = screen.contents();
    assert!(contents.contains("LARGEST") && contents.contains("OWNER"), "{contents}");
    assert!(!contents.contains("PAGES"), "{contents}");
    top.type_keys("jj");
    // There is room for two of three.
    top.wait_for(|screen| screen.contents().contains("zulu"));
    top.type_keys("q");
    assert_eq!(top.end().0, Some(0));
}

#[test]
fn elsewhere_it_prints_as_often_as_it_is_told() {
    let bench = with_three();
    let once = bench.ok(["top", "--once"]);
    assert_eq!(once.lines().count(), 4, "{once}");
    assert!(once.starts_with("NAME") && !once.contains('\x1b'), "{once}");
    let ran = bench.run(["top", "--count", "3", "--delay", "0.05", "--json"]);
    let documents: Vec<serde_json::Value> =
        ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ran.code, documents.len()), (Some(0), 3), "{ran:?}");
    let zulu = &documents[0]["workspaces"][2];
    assert_eq!(
        (&zulu["name"], &zulu["activity"]["used_bytes"]),
        (&"zulu".into(), &(6 << 20).into())
    );
    assert!(zulu["activity"]["changes_per_s"].is_null() && zulu["why"].is_null());
    assert_eq!(documents[2]["workspaces"][2]["activity"]["changes_per_s"], 0.0);
}
