//! The text format of Prometheus: what there is of it, and no more.
//!
//! Every figure is what it is at the moment, so all of them are gauges.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// All that there is, with what it means. Sizes are in bytes, all else in things that are counted.
const METRICS: [(&str, &str); 20] = [
    ("wksp_build_info", "Always 1; the version of wksp-ctl is a label."),
    ("wksp_up", "Whether the workspace can be read; if not, the reason is a label."),
    ("wksp_region_bytes", "Size of the region that the workspace lies in."),
    ("wksp_page_bytes", "Size of a page of the region."),
    ("wksp_data_bytes", "Bytes that can be allocated, used and free."),
    ("wksp_used_bytes", "Bytes that are allocated."),
    ("wksp_free_bytes", "Bytes that are free."),
    ("wksp_largest_free_bytes", "Bytes of the largest free partition."),
    ("wksp_allocations", "Number of allocations."),
    ("wksp_free_partitions", "Number of free partitions."),
    ("wksp_records", "Number of partition records."),
    ("wksp_free_records", "Number of partition records that are neither used nor free."),
    ("wksp_lock_held", "Whether somebody held the lock at this moment."),
    ("wksp_certain", "Whether what is used and free was so at one moment."),
    ("wksp_index_changes_total", "How often the index was about to be changed, from 4 on."),
    ("wksp_joined_processes", "Number of processes that have joined and say so."),
    ("wksp_node_pages", "Number of pages of the region on a node, or absent, swapped or unknown."),
    ("wksp_pool_pages", "Number of pages of a size that the kernel keeps on a node."),
    ("wksp_pool_free_pages", "Number of these that nobody has."),
    ("wksp_pool_surplus_pages", "Number of these that are gone when they are no longer used."),
];

/// A metric, and all its samples.
#[derive(Debug, Serialize)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
struct Sample {
    labels: BTreeMap<&'static str, String>,
    value: u64,
}

/// All samples, by metric, since those of one have to stand together.
#[derive(Debug, Default)]
pub(super) struct Families(BTreeMap<&'static str, Vec<Sample>>);

impl Families {
    /// Adds a sample.
    pub(super) fn add(
        &mut self,
        metric: &'static str,
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.0.entry(metric).or_default().push(Sample { labels, value });
    }

    /// All of them, in an order that does not change.
    pub(super) fn into_list(mut self) -> Vec<Family> {
        let families = METRICS.iter().filter_map(|&(name, help)| {
            let samples = self.0.remove(name)?;
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            Some(Family { name, help, kind, samples })
        });
        families.collect()
    }
}

/// The value of a label between quotes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, help, kind, samples } = self;
        writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for Sample { labels, value } in samples {
            write!(f, "{name}")?;
            for (at, (label, value)) in labels.iter().enumerate() {
                let before = if at == 0 { '{' } else { ',' };
                write!(f, "{before}{label}=\"{}\"", Escaped(value))?;
            }
            let after = if labels.is_empty() { "" } else { "}" };
            writeln!(f, "{after} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_below_their_metric() {
        let mut families = Families::default();
        families.add("wksp_up", &[("name", "b"), ("page_size", "")], 1);
        families.add("wksp_build_info", &[], 1);
        families.add("wksp_up", &[("name", "a \"\\\n")], 0);
        let text: String = families.into_list().iter().map(ToString::to_string).collect();
        let up = METRICS[1].1;
        let expected = format!(
            "# HELP wksp_build_info {}\n# TYPE wksp_build_info gauge\nwksp_build_info 1\n\
             # HELP wksp_up {up}\n# TYPE wksp_up gauge\nwksp_up{{name=\"b\"}} 1\n\
             wksp_up{{name=\"a \\\"\\\\\\n\"}} 0\n",
            METRICS[0].1
        );
        assert_eq!(text, expected);
    }
}
