//! The cost of allocations against their number, as a picture in SVG.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What is drawn, a panel each.
const OPERATIONS: [&str; 4] = ["fill", "churn", "tag", "drain"];
/// The figures that stand for the rest.
const GROUP: &str = "Allocation: 64 B to 32 KiB at multiples of 16, alloc_at_least";
/// The size of a panel, in pixels.
const PANEL: (f64, f64) = (180.0, 220.0);
/// What is left of and above the panels, and between them.
const LEFT: f64 = 76.0;
const TOP: f64 = 64.0;
const GAP: f64 = 36.0;
/// The costs at the lower and the upper edge, in nanoseconds, as powers of ten.
const COSTS: (f64, f64) = (1.0, 4.0);
/// Ours and the yardstick's colour, to be told apart on white and by those who see no red.
const COLOURS: [(&str, &str); 2] = [("ours", "#0b6e99"), ("yardstick", "#c2571a")];

/// One measurement.
struct Point {
    live: f64,
    cost: f64,
}

/// Draws the figures, one JSON object a line.
pub(super) fn draw(figures: &str) -> Result<String> {
    let rows: Vec<Value> = figures
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the figures are no JSON")?;
    let rows: Vec<&Value> =
        rows.iter().filter(|row| row.get("group").is_some_and(|group| group == GROUP)).collect();
    ensure!(!rows.is_empty(), "there are no figures of {GROUP:?}");
    let lives = rows.iter().filter_map(|row| row.get("n")?.as_f64());
    let highest = lives.fold(1e3, f64::max).log10();
    let width = LEFT + (PANEL.0 + GAP) * 4.0;
    let height = TOP + PANEL.1 + 56.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Nanoseconds for each operation against the number of live allocations</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">Nanoseconds per operation against live \
         allocations, both logarithmic</text>\n"
    );
    for (at, (name, colour)) in COLOURS.iter().enumerate() {
        let x = LEFT + 150.0 * at as f64;
        let label = if *name == "ours" { "wksp" } else { "BTreeMap and Mutex" };
        writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"34\" x2=\"{}\" y2=\"34\" stroke=\"{colour}\" \
             stroke-width=\"3\"/><text x=\"{}\" y=\"38\">{label}</text>",
            x + 20.0,
            x + 26.0
        )?;
    }
    for (panel, operation) in OPERATIONS.iter().enumerate() {
        let left = LEFT + (PANEL.0 + GAP) * panel as f64;
        draw_axes(&mut svg, operation, left, highest)?;
        for (whose, colour) in COLOURS {
            let points: Vec<Point> = rows
                .iter()
                .filter(|row| row.get("what").is_some_and(|what| what == operation))
                .filter_map(|row| {
                    let cost = row.get(whose)?.get("median")?.as_f64()?;
                    Some(Point { live: row.get("n")?.as_f64()?, cost })
                })
                .collect();
            draw_line(&mut svg, &points, colour, left, highest)?;
        }
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn x(left: f64, live: f64, highest: f64) -> f64 {
    left + PANEL.0 * (live.log10() - 3.0) / (highest - 3.0).max(1.0)
}

fn y(cost: f64) -> f64 {
    let share = (cost.log10() - COSTS.0) / (COSTS.1 - COSTS.0);
    TOP + PANEL.1 * (1.0 - share.clamp(0.0, 1.0))
}

fn draw_axes(svg: &mut String, operation: &str, left: f64, highest: f64) -> Result<()> {
    let bottom = TOP + PANEL.1;
    let mut power = COSTS.0;
    while power <= COSTS.1 {
        let cost = 10_f64.powf(power);
        let at = y(cost);
        let right = left + PANEL.0;
        writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>"
        )?;
        if left == LEFT {
            let text = left - 6.0;
            let baseline = at + 4.0;
            writeln!(
                svg,
                "<text x=\"{text}\" y=\"{baseline:.1}\" text-anchor=\"end\">{cost:.0} ns</text>"
            )?;
        }
        power += 1.0;
    }
    let mut power = 3.0;
    while power <= highest {
        let at = x(left, 10_f64.powf(power), highest);
        let baseline = bottom + 18.0;
        writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{baseline}\" text-anchor=\"middle\">10<tspan dy=\"-5\" \
             font-size=\"9\">{power:.0}</tspan></text>"
        )?;
        power += 1.0;
    }
    let (middle, baseline) = (left + PANEL.0 / 2.0, bottom + 42.0);
    writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{baseline}\" text-anchor=\"middle\" \
         font-weight=\"bold\">{operation}</text>"
    )?;
    Ok(())
}

fn draw_line(
    svg: &mut String,
    points: &[Point],
    colour: &str,
    left: f64,
    highest: f64,
) -> Result<()> {
    let places: Vec<(f64, f64)> =
        points.iter().map(|point| (x(left, point.live, highest), y(point.cost))).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let path = path.join(" ");
    writeln!(
        svg,
        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
    )?;
    for ((x, y), point) in places.iter().zip(points) {
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{:.0} ns at \
             {} live</title></circle>",
            point.cost, point.live
        )?;
    }
    Ok(())
}
