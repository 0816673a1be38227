//! `map`: honest at every width, with and without colours.

use std::fs;
use std::time::Instant;

use wksp_core::{Align, Name, Tag};
use wksp_shmem::{BaseDir, LockOptions, SharedWorkspace};

use crate::bench::Bench;
use crate::pty::Terminal;

/// A workspace with allocations of several tags and gaps between them.
pub(crate) fn lived_in() -> Bench {
    let bench = Bench::with_demo("2M");
    let mut addresses = Vec::new();
    for (at, bytes) in
        [9000, 200_000, 70_000, 1000, 300_000, 50_000, 4000, 150_000].iter().enumerate()
    {
        let (bytes, tag) = (bytes.to_string(), (at % 3 + 7).to_string());
        let address = bench.ok(["alloc", "demo", &bytes, "--tag", &tag]);
        addresses.push(address.trim().to_owned());
    }
    bench.ok(["free", &addresses[2], &addresses[5]]);
    bench
}

/// The cells of a map in text: what stands behind the labels of every other row.
fn cells(text: &str) -> Vec<String> {
    let rows = text.lines().skip(3).take_while(|line| line.len() > 11);
    let rows = rows.map(|line| line[11..].to_owned());
    rows.enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, row)| row).collect()
}

#[test]
fn every_cell_is_what_the_list_of_partitions_says() {
    let bench = lived_in();
    let text = bench.ok(["map", "demo"]);
    let map = bench.json(["map", "demo"]);
    let drawn = map["cells"].as_str().unwrap();
    assert_eq!(cells(&text).concat(), drawn.trim_end_matches(' '), "{text}");
    let cell_bytes = map["cell_bytes"].as_u64().unwrap();
    assert_eq!(drawn.len() as u64, (2_u64 << 20).div_ceil(cell_bytes));
    assert_eq!(map["nodes"].as_str().unwrap().len(), drawn.len());

    let shown = bench.json(["show", "demo"]);
    let letter = |tag: &str| {
        let tags = map["tags"].as_array().unwrap();
        let at = tags.iter().position(|sum| sum["tag"] == tag).unwrap();
        "ABCDEFGHIJKL".chars().nth(at).unwrap()
    };
    let mut stretches = vec![(0, shown["workspace"]["gaddr_lo"].as_u64().unwrap(), '#')];
    for partition in shown["partitions"].as_array().unwrap() {
        let field = |name: &str| partition[name].as_u64().unwrap();
        let glyph = partition["tag"].as_str().map_or('.', letter);
        stretches.push((field("gaddr_lo"), field("gaddr_hi"), glyph));
    }
    let data_hi = shown["workspace"]["gaddr_hi"].as_u64().unwrap();
    stretches.push((data_hi, 2 << 20, ' '));
    for (at, glyph) in (0_u64..).zip(drawn.chars()) {
        let (lo, hi) = (at * cell_bytes, (at + 1) * cell_bytes);
        let mut kinds: Vec<char> =
            stretches.iter().filter(|one| one.0 < hi && lo < one.1).map(|one| one.2).collect();
        kinds.dedup();
        match kinds[..] {
            [only] => assert_eq!(glyph, only, "cell {at}"),
            _ => assert!("-+*".contains(glyph), "cell {at} is {glyph} but has {kinds:?}"),
        }
    }

    let sum = |filter: fn(&serde_json::Value) -> bool| -> u64 {
        let partitions = shown["partitions"].as_array().unwrap().iter();
        partitions.filter(|one| filter(one)).map(|one| one["bytes"].as_u64().unwrap()).sum()
    };
    assert_eq!(map["free_bytes"], sum(|one| one["tag"].is_null()));
    assert_eq!(
        map["too_small_bytes"],
        sum(|one| one["tag"].is_null() && one["bytes"].as_u64().unwrap() < 1 << 20)
    );
    let all = bench.json(["map", "demo", "--for", "1E"]);
    assert_eq!(all["too_small_bytes"], all["free_bytes"]);
    assert_eq!(bench.json(["map", "demo", "--for", "1"])["too_small_count"], 0);
}

#[test]
fn a_map_fits_the_terminal_and_says_the_same_without_colours() {
    let bench = lived_in();
    for columns in [60, 80, 200] {
        let size = (columns, 50);
        let mut coloured = Terminal::start(&bench, &["map", "demo"], size);
        let (code, screen) = coloured.end();
        let contents = screen.contents();
        assert_eq!(code, Some(0), "{contents}");
        let rows = cells(&contents);
        let width = rows[0].len();
        assert!(
            width.is_multiple_of(16) && width + 11 <= usize::from(columns),
            "{columns}: {contents}"
        );
        assert!(width + 11 + 16 > usize::from(columns), "{columns}: {contents}");
        assert!(rows.len() <= 8 && rows[..rows.len() - 1].iter().all(|row| row.len() == width));
        // No line was broken by the edge of the screen.
        assert!((0..50).all(|row| !screen.row_wrapped(row)), "{contents}");
        // A cell has the colour of its letter in the legend, and others have another one.
        let row =
            u16::try_from(contents.lines().position(|line| line.contains("  tag 8")).unwrap());
        let legend = screen.cell(row.unwrap(), 0).unwrap();
        let lines = (0..rows.len()).map(|row| u16::try_from(3 + 2 * row).unwrap());
        let places = lines.flat_map(|line| (11..columns).map(move |column| (line, column)));
        let drawn: Vec<_> = places.filter_map(|(line, column)| screen.cell(line, column)).collect();
        let same = drawn.iter().filter(|cell| cell.contents() == legend.contents());
        assert!(legend.bgcolor() != vt100::Color::Default && same.clone().count() > 0);
        assert!(same.clone().all(|cell| cell.bgcolor() == legend.bgcolor()));
        let free = drawn.iter().filter(|cell| cell.contents() == ".");
        assert!(free.clone().count() > 0);
        assert!(free.clone().all(|cell| cell.bgcolor() == vt100::Color::Default));

        let plain = [("NO_COLOR", "1")];
        let mut plain = Terminal::start_with(&bench, &["map", "demo"], size, &plain);
        let screen = plain.end().1;
        assert_eq!(screen.contents(), contents, "{columns}");
        let is_plain = |row, column| {
            screen.cell(row, column).is_none_or(|cell| cell.bgcolor() == vt100::Color::Default)
        };
        assert!((0..50).all(|row| (0..columns).all(|column| is_plain(row, column))));
        if columns == 80 {
            let piped = bench.ok(["map", "demo"]);
            assert_eq!(contents.trim_end_matches("END-OF-OUTPUT").trim_end(), piped.trim_end());
        }
    }
    assert!(bench.ok(["map", "demo", "--color", "always"]).contains("\x1b["));
}

#[test]
fn a_page_is_well_formed_and_never_written_over_another() {
    let bench = lived_in();
    let path = bench.path().join("map.svg");
    let file = path.to_str().unwrap();
    assert_eq!(bench.json(["map", "demo", "--svg", file])["svg"], file);
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("<svg") && page.ends_with("</svg>\n"));
    assert!(page.contains("<title id=\"title\">Map of workspace demo</title>"));
    assert!(page.contains("tag 8") && page.contains("The largest free piece has"));
    // What is opened is closed, in order.
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let name = tag.split([' ', '>', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.split('>').next().unwrap().ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let (cause, remedy) = bench.fails(&["map", "demo", "--svg", file], 1, "demo");
    assert!(cause.contains("is there already") && remedy.contains("--force"), "{cause} {remedy}");
    bench.ok(["map", "demo", "--svg", file, "--force"]);
}

#[test]
fn damage_is_drawn_as_far_as_the_list_goes() {
    let bench = lived_in();
    // The list ends behind its first partition: `next` of that record is NIL.
    let region = fs::read(bench.region("demo")).unwrap();
    let head = u32::from_le_bytes(region[88..92].try_into().unwrap()) as usize;
    bench.patch("demo", 128 + 64 * head + 32, &u32::MAX.to_le_bytes());
    let ran = bench.run(["map", "demo", "--json"]);
    assert!(ran.error(5).0.contains("ends early"), "{ran:?}");
    let cells = ran.document()["cells"].as_str().unwrap().to_owned();
    assert!(cells.contains('!') && cells.starts_with('#'), "{cells}");
}

#[test]
fn many_partitions_are_drawn_as_quickly_as_they_can_be_read() {
    let bench = Bench::new();
    bench.ok(["new", "many", "--size", "64M", "--part-max", "300000"]);
    let base = BaseDir::resolve(Some(bench.path())).unwrap();
    let name = Name::new("many").unwrap();
    let shared = SharedWorkspace::attach(&base, &name, None, LockOptions::default()).unwrap();
    let mut guard = shared.lock().unwrap();
    for tag in 1..=200_000 {
        guard.alloc(Align::BYTE, 64, Tag::new(tag % 1000 + 1).unwrap()).unwrap();
    }
    drop(guard);
    let began = Instant::now();
    let map = bench.json(["map", "many"]);
    // Far more than it takes, but nothing that is quadratic comes to an end by then.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert_eq!(map["other_tags"]["tag_count"], 988);
    assert!(map["cells"].as_str().unwrap().contains('*'));
}
