//! How things look in a terminal: bold, colours and lines no longer than it is wide where a person looks, plain text where
//! a program reads (`NO_COLOR`, pipes), and tables.

use std::io::IsTerminal as _;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

/// A narrower terminal is treated like one of this width.
const NARROWEST: usize = 40;
/// Columns between two columns of a table.
const GAP: usize = 2;

/// Marks up text, or does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    coloured: bool,
    /// Columns; nothing where a program reads, whose lines are never broken.
    width: Option<usize>,
}

impl Style {
    /// As in a pipe.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { coloured: false, width: None };
    /// As in a terminal.
    #[cfg(test)]
    pub(super) const COLOURED: Self = Self { coloured: true, width: None };

    /// For standard output.
    pub(super) fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let is_terminal = std::io::stdout().is_terminal();
        Self {
            coloured: wanted && is_terminal,
            width: is_terminal.then(|| columns(std::io::stdout())).flatten(),
        }
    }

    /// As in a terminal without colours, so many columns wide.
    #[cfg(test)]
    pub(super) fn of_width(width: usize) -> Self {
        Self { coloured: false, width: Some(width) }
    }

    /// Without any mark-up.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self::PLAIN
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrapped("1", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.wrapped("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrapped("31", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.wrapped("2", text)
    }

    /// Breaks a text that begins in column `indent` between its words; its further lines begin there, too. A word that is
    /// longer than a line, as an address may be, stays whole.
    pub(super) fn folded(self, indent: usize, text: &str) -> String {
        self.broken(indent, indent, text)
    }

    /// The same for a line that brings its indentation along; its further lines begin two columns after the first.
    pub(super) fn fitted(self, line: &str) -> String {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        format!("{:indent$}{}", "", self.broken(indent, indent + 2, text))
    }

    fn broken(self, first: usize, others: usize, text: &str) -> String {
        let Some(width) = self.width else { return text.to_owned() };
        let (mut broken, mut column) = (String::new(), first);
        for word in text.split(' ') {
            let length = visible(word);
            if column > others && column + 1 + length > width.max(others + NARROWEST / 2) {
                broken.truncate(broken.trim_end_matches(' ').len());
                broken.push('\n');
                broken.extend(std::iter::repeat_n(' ', others));
                column = others;
            } else if !broken.is_empty() {
                broken.push(' ');
                column += 1;
            }
            broken.push_str(word);
            column += length;
        }
        broken
    }

    /// A [`table`] that is no wider than the terminal, less an indentation: its cells are broken between words, and where
    /// names alone are too wide for it, its rows stand below each other.
    pub(super) fn table(
        self,
        indent: usize,
        head: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> String {
        within(self.width.map(|width| width.saturating_sub(indent)), head, rows)
    }

    fn wrapped(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A table with a head and no lines, as `kubectl` prints them.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    within(None, head, rows)
}

fn within(width: Option<usize>, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let widths = match width.map(|width| widths(width, head, &rows)) {
        Some(Some(widths)) => Some(widths),
        Some(None) => return records(width, head, &rows),
        None => None,
    };
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head).add_rows(rows);
    if let Some(widths) = widths {
        let whole = widths.iter().map(|width| width + GAP).sum::<usize>();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(whole).unwrap_or(u16::MAX));
        for (column, width) in table.column_iter_mut().zip(widths) {
            let width = u16::try_from(width + GAP).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        }
    }
    // There is a space before the first column, too.
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// The columns of a table that is no wider than that: each has room for its longest word, and those on the left, where
/// names stand, are the first to get more. Nothing when there is not so much room.
fn widths(width: usize, head: &[&str], rows: &[Vec<String>]) -> Option<Vec<usize>> {
    let column = |number: usize| {
        let cells = rows.iter().filter_map(move |row| row.get(number).map(String::as_str));
        head.get(number).copied().into_iter().chain(cells)
    };
    let longest = |texts: &mut dyn Iterator<Item = &str>| texts.map(visible).max().unwrap_or_default();
    let mut widths: Vec<usize> =
        (0..head.len()).map(|number| longest(&mut column(number).flat_map(|text| text.split(' ')))).collect();
    let needed: usize = widths.iter().map(|width| width + GAP).sum();
    let mut left = (width + GAP).checked_sub(needed)?;
    for (number, width) in widths.iter_mut().enumerate() {
        let more = longest(&mut column(number)).saturating_sub(*width).min(left);
        *width += more;
        left -= more;
    }
    Some(widths)
}

/// A row below the other, a line for each cell: no name is broken.
fn records(width: Option<usize>, head: &[&str], rows: &[Vec<String>]) -> String {
    let style = Style { coloured: false, width };
    let label = head.iter().map(|head| head.len()).max().unwrap_or_default();
    let record = |row: &Vec<String>| {
        let cells = head.iter().zip(row).filter(|(_, cell)| !cell.is_empty() && *cell != "-");
        let line = |(head, cell): (&&str, &String)| {
            format!("{head:<label$}  {}", style.folded(label + GAP, cell)).trim_end().to_owned()
        };
        cells.map(line).collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(record).collect::<Vec<_>>().join("\n\n")
}

/// What is on several lines, on one; marks that only a terminal understands are taken out.
pub(super) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Columns that a word takes; marks of colours take none.
fn visible(word: &str) -> usize {
    let mut parts = word.split('\u{1b}');
    let plain = parts.next().map_or(0, |part| part.chars().count());
    plain + parts.filter_map(|part| part.split_once('m')).map(|(_, rest)| rest.chars().count()).sum::<usize>()
}

/// How wide a terminal is.
pub(super) fn columns(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col).max(NARROWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words_and_goes_on_under_its_beginning() {
        let text =
            "the credential can pull but not push: see https://registry.example/a/very/long/address now";
        assert_eq!(Style::PLAIN.folded(4, text), text);
        assert_eq!(
            Style::of_width(44).folded(4, text),
            "the credential can pull but not push:\n    see\n    \
             https://registry.example/a/very/long/address\n    now"
        );
    }

    #[test]
    fn a_line_keeps_its_indentation_and_colours_take_no_room() {
        let style = Style { coloured: true, width: Some(40) };
        let line = format!("   {} and more of it follows here", style.bold("a word of thirty columns, bold"));
        assert_eq!(
            style.fitted(&line),
            "   \u{1b}[1ma word of thirty columns, bold\u{1b}[0m and\n     more of it follows here"
        );
        assert_eq!(Style::PLAIN.fitted(&line), line);
        let spaced = "   NAME          a-value-of-twenty-nine-letters";
        assert_eq!(Style::of_width(40).fitted(spaced), "   NAME\n     a-value-of-twenty-nine-letters");
    }

    #[test]
    fn a_table_is_as_wide_as_the_terminal_and_no_wider() {
        let rows =
            || vec![vec!["1".to_owned(), "words ".repeat(20)], vec![String::new(), "second".to_owned()]];
        let plain = table(&["N", "REASON"], rows());
        assert!(plain.lines().any(|line| line.len() > 100), "{plain}");
        let folded = Style::of_width(50).table(2, &["N", "REASON"], rows());
        assert!(folded.lines().all(|line| line.len() <= 48) && folded.lines().count() > 4, "{folded}");
        assert!(folded.lines().last().is_some_and(|line| line.starts_with("   second")), "{folded}");
    }

    #[test]
    fn names_are_never_broken() {
        let row = || ["secret ci/registry-credentials", "registry.example:5000", "-", "there is no entry"];
        let rows = || vec![row().map(str::to_owned).to_vec(), row().map(str::to_owned).to_vec()];
        let head = ["PLACE", "ENTRY", "KIND", "RESULT"];
        assert_eq!(
            Style::of_width(71).table(2, &head, rows()).lines().take(3).collect::<Vec<_>>(),
            [
                "PLACE                           ENTRY                  KIND  RESULT",
                "secret ci/registry-credentials  registry.example:5000  -     there is",
                "                                                             no entry",
            ]
        );
        assert_eq!(
            Style::of_width(44).table(2, &head, rows()).lines().take(5).collect::<Vec<_>>(),
            [
                "PLACE   secret ci/registry-credentials",
                "ENTRY   registry.example:5000",
                "RESULT  there is no entry",
                "",
                "PLACE   secret ci/registry-credentials",
            ]
        );
    }
}
