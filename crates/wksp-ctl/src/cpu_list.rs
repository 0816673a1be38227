//! CPUs in as few words as possible, written as `--near` reads them.

use wksp_shmem::CpuIndex;

/// Writes ascending CPUs as ranges: `0-7`, or `0-62:2` for every second one.
///
/// The items are separate, so that a long list can be broken between them.
pub(crate) fn items(cpus: &[CpuIndex]) -> Vec<String> {
    let mut items = Vec::new();
    let mut rest = cpus;
    while let Some(run) = Run::first_of(rest) {
        items.push(run.to_string());
        rest = rest.get(run.count..).unwrap_or_default();
    }
    items
}

/// Joins items with commas in lines of at most `columns` columns, unless one alone has more.
pub(crate) fn lines(items: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut items = items.iter().peekable();
    while let Some(item) = items.next() {
        let item = format!("{item}{}", if items.peek().is_some() { "," } else { "" });
        match lines.last_mut() {
            Some(line) if line.len().saturating_add(item.len()) <= columns => line.push_str(&item),
            _ => lines.push(item),
        }
    }
    lines
}

/// CPUs at equal distances.
struct Run {
    first: u32,
    last: u32,
    stride: u32,
    count: usize,
}

impl Run {
    /// The longest one at the beginning; two CPUs are one only if they are neighbours.
    fn first_of(cpus: &[CpuIndex]) -> Option<Self> {
        let mut numbers = cpus.iter().map(|cpu| cpu.get());
        let first = numbers.next()?;
        let mut run = Self { first, last: first, stride: 1, count: 1 };
        let Some(stride) = numbers.next().and_then(|second| second.checked_sub(first)) else {
            return Some(run);
        };
        let steps = cpus.iter().zip(cpus.iter().skip(1));
        let equal = steps.take_while(|(a, b)| b.get().checked_sub(a.get()) == Some(stride));
        let (count, last) = equal
            .fold((1_usize, first), |(count, _), (_, next)| (count.saturating_add(1), next.get()));
        if stride == 1 || (stride > 1 && count > 2) {
            run = Self { first, last, stride, count };
        }
        Some(run)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { first, last, stride, count } = self;
        match (count, stride) {
            (1, _) => write!(f, "{first}"),
            (_, 1) => write!(f, "{first}-{last}"),
            _ => write!(f, "{first}-{last}:{stride}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wksp_shmem::CpuSequence;

    fn cpus(numbers: &[u32]) -> Vec<CpuIndex> {
        numbers.iter().copied().map(CpuIndex::new).collect()
    }

    #[test]
    fn runs_are_found() {
        for (numbers, text) in [
            (&[][..], ""),
            (&[7], "7"),
            (&[0, 1], "0-1"),
            (&[0, 2], "0,2"),
            (&[0, 1, 2, 3, 8], "0-3,8"),
            (&[0, 2, 4, 6], "0-6:2"),
            (&[1, 3, 5, 6, 7], "1-5:2,6-7"),
            (&[0, 5, 6, 7, u32::MAX], "0,5-7,4294967295"),
        ] {
            assert_eq!(items(&cpus(numbers)).join(","), text);
        }
    }

    #[test]
    fn what_is_written_can_be_typed_again() {
        // Every set of ten CPUs.
        for bits in 1..1 << 10 {
            let numbers: Vec<u32> = (0..10).filter(|cpu| bits >> cpu & 1 == 1).collect();
            let text = items(&cpus(&numbers)).join(",");
            let read: CpuSequence = text.parse().unwrap();
            assert_eq!(read.cpus(), cpus(&numbers), "{text}");
        }
    }

    #[test]
    fn lists_are_broken_at_commas() {
        let items: Vec<String> = ["0-3", "8", "10-20:2"].map(str::to_owned).to_vec();
        assert_eq!(lines(&items, 80), ["0-3,8,10-20:2"]);
        assert_eq!(lines(&items, 6), ["0-3,8,", "10-20:2"]);
        assert_eq!(lines(&items, 1), ["0-3,", "8,", "10-20:2"]);
        assert_eq!(lines(&[], 10), [""; 0]);
    }
}
