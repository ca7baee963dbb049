//! The figures: every value that was measured, their medians as a table with what must be reached, and as JSON lines.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

/// What is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    Rate,
    CosignRate,
    Cpu,
    CosignCpu,
    Peak,
    CosignPeak,
    After,
    CosignAfter,
    Idle,
    BesideSigned,
    BesideSignedPeak,
    Single,
    SingleTail,
    CosignSingle,
    CosignSingleTail,
    ApiRequests,
    ApiWrites,
    RegistryRequests,
    Start,
    StartBesideSigned,
    Binary,
    /// Of a situation that is measured only when it is asked for.
    Of(&'static Measured),
    Admissions,
    AdmissionsAtMost,
    Admission,
    AdmissionTail,
    AdmissionCpu,
}

/// A row of a situation: its place, name, unit and bound.
#[derive(Debug)]
pub struct Measured(pub u8, pub &'static str, pub &'static str, pub Must);

impl Ord for Measured {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl PartialOrd for Measured {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Measured {}

/// What has to be reached.
#[derive(Debug, Clone, Copy)]
pub enum Must {
    AtMost(f64),
    AtLeast(f64),
    TimesChains(f64),
    MoreThanIdle(f64),
    Nothing,
}

impl Row {
    fn facts(self) -> (&'static str, &'static str, Must) {
        use Must::{AtLeast, AtMost, MoreThanIdle, Nothing, TimesChains};
        match self {
            Self::Rate => ("runs per second", "1/s", TimesChains(3.0)),
            Self::CosignRate => ("runs per second, cosign.key", "1/s", Nothing),
            Self::Cpu => ("CPU per run", "ms", AtMost(2.0)),
            Self::CosignCpu => ("CPU per run, cosign.key", "ms", AtMost(2.0)),
            Self::Peak => ("peak memory", "MiB", AtMost(30.0)),
            Self::CosignPeak => ("peak memory, cosign.key", "MiB", AtMost(30.0)),
            Self::After => ("memory after the runs", "MiB", AtMost(30.0)),
            Self::CosignAfter => ("memory after the runs, cosign.key", "MiB", AtMost(30.0)),
            Self::Idle => ("memory with no runs", "MiB", AtMost(15.0)),
            Self::BesideSigned => ("memory with signed runs present", "MiB", MoreThanIdle(5.0)),
            Self::BesideSignedPeak => ("peak memory with signed runs present", "MiB", AtMost(30.0)),
            Self::Single => ("completion to mark, median", "ms", AtMost(10.0)),
            Self::SingleTail => ("completion to mark, p95", "ms", AtMost(20.0)),
            Self::CosignSingle => ("completion to mark, cosign.key, median", "ms", AtMost(10.0)),
            Self::CosignSingleTail => ("completion to mark, cosign.key, p95", "ms", AtMost(20.0)),
            Self::ApiRequests => ("API requests per run", "", AtMost(3.0)),
            Self::ApiWrites => ("API writes per run", "", AtMost(1.0)),
            Self::RegistryRequests => ("registry requests per run", "", AtMost(13.0)),
            Self::Start => ("process start to first mark", "ms", AtMost(150.0)),
            Self::StartBesideSigned => {
                ("process start to first mark, signed runs present", "ms", AtMost(300.0))
            }
            Self::Binary => ("binary", "MB", AtMost(25.0)),
            Self::Of(Measured(_, name, unit, must)) => (name, unit, *must),
            // At a rate of 1,000 the last is answered a moment after it was due.
            Self::Admissions => ("admissions per second, of 1,000 that were asked", "1/s", AtLeast(999.0)),
            Self::AdmissionsAtMost => ("admissions per second, as fast as possible", "1/s", AtLeast(1000.0)),
            Self::Admission => ("admission, median", "ms", Nothing),
            Self::AdmissionTail => ("admission, p99", "ms", AtMost(10.0)),
            Self::AdmissionCpu => ("CPU per admission", "ms", AtMost(1.0)),
        }
    }
}

/// Every value, by row and program.
#[derive(Debug, Default)]
pub struct Figures {
    values: BTreeMap<(Row, &'static str), Vec<f64>>,
}

impl Figures {
    /// Notes a value.
    pub fn add(&mut self, row: Row, program: &'static str, value: f64) {
        eprintln!("  {}: {value:.2} {}", row.facts().0, row.facts().1);
        self.values.entry((row, program)).or_default().push(value);
    }

    fn median(&self, row: Row, program: &'static str) -> Option<f64> {
        self.values.get(&(row, program)).map(|values| percentile(values, 50))
    }

    /// One line a row: both programs, the ratio, and what must be reached.
    pub fn table(&self) -> Table {
        let others: Vec<_> = ["chains", "chains, default settings"]
            .into_iter()
            .filter(|name| self.values.keys().any(|(_, program)| program == name))
            .collect();
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        let head = ["", "unit", "hallmark"].into_iter().chain(others.iter().copied());
        table.set_header(head.chain(["ratio", "must reach", ""]));
        let mut rows: Vec<Row> = self.values.keys().map(|(row, _)| *row).collect();
        rows.dedup();
        for row in rows {
            let (name, unit, _) = row.facts();
            let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
            let (ours, peer) = (self.median(row, "hallmark"), self.median(row, "chains"));
            let mut cells = vec![name.to_owned(), unit.to_owned(), number(ours)];
            cells.extend(others.iter().map(|program| number(self.median(row, program))));
            cells.push(number(ours.zip(peer).map(|(ours, peer)| ours / peer)));
            cells.extend(self.verdict(row));
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(2).take(2 + others.len()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// What must be reached, and whether it is.
    fn verdict(&self, row: Row) -> [String; 2] {
        let (must, ours) = (row.facts().2, self.median(row, "hallmark"));
        let bound = match must {
            Must::AtMost(value) | Must::AtLeast(value) => Some(value),
            Must::MoreThanIdle(more) => self.median(Row::Idle, "hallmark").map(|idle| idle + more),
            Must::TimesChains(times) => self.median(row, "chains").map(|peer| peer * times),
            Must::Nothing => None,
        };
        let Some((bound, ours)) = bound.zip(ours) else { return Default::default() };
        let at_least = matches!(must, Must::TimesChains(_) | Must::AtLeast(_));
        let reached = if at_least { ours >= bound } else { ours <= bound };
        let sign = if at_least { "at least" } else { "at most" };
        [format!("{sign} {bound:.1}"), (if reached { "yes" } else { "NO" }).to_owned()]
    }

    /// One object a line; `value` is the median of `values`, one a round or a start.
    pub fn json_lines(&self) -> String {
        let line = |((row, program), values): (&(Row, &'static str), &Vec<f64>)| {
            let (name, unit, _) = row.facts();
            // What is measured with other settings is another row of the same program.
            let (program, settings) = program.split_once(", ").unwrap_or((program, ""));
            let separator = if settings.is_empty() { "" } else { ", " };
            let (row, value) = (format!("{name}{separator}{settings}"), percentile(values, 50));
            let figure =
                json!({"row": row, "program": program, "value": value, "unit": unit, "values": values});
            format!("{figure}\n")
        };
        self.values.iter().map(line).collect()
    }
}

/// The value below which so many per cent of all lie.
pub fn percentile(values: &[f64], per_cent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * per_cent / 100).min(sorted.len() - 1)]
}
