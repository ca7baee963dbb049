//! How far a command is that keeps a person waiting: one line on standard error, from the second second on, where that is
//! a terminal. It is gone when the work is done.
//!
//! Guarantees: a program that reads either stream sees nothing of it, and work that is quick shows nothing.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::style::{columns, one_line};

/// Whoever waits shorter need not be told.
const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(250);

/// What is being done, and how much of it is.
pub(super) struct Progress {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    doing: String,
    done: usize,
    total: Option<usize>,
}

impl Progress {
    /// Something that is done once, or whose end nobody knows.
    pub(super) fn of(doing: impl Into<String>) -> Self {
        let state = State { doing: doing.into(), done: 0, total: None };
        Self { began: Instant::now(), state: Mutex::new(state) }
    }

    /// Something that is done for each of so many.
    pub(super) fn of_many(doing: impl Into<String>, total: usize) -> Self {
        let progress = Self::of(doing);
        progress.change(|state| state.total = Some(total));
        progress
    }

    /// What is done from now on.
    pub(super) fn now(&self, doing: impl Into<String>) {
        self.change(|state| state.doing = doing.into());
    }

    /// One more is done.
    pub(super) fn step(&self) {
        self.change(|state| state.done += 1);
    }

    /// Does the work, and shows meanwhile how far it is. The work is on the heap, so that whoever waits stays small.
    pub(super) fn during<'a, T: 'a>(
        &'a self,
        work: impl Future<Output = T> + 'a,
    ) -> impl Future<Output = T> + 'a {
        let mut work = Box::pin(work);
        async move {
            if !std::io::stderr().is_terminal() {
                return work.await;
            }
            let (mut ticks, mut is_shown) = (tokio::time::interval(EVERY), false);
            loop {
                tokio::select! {
                    biased;
                    done = &mut work => {
                        if is_shown {
                            show("");
                        }
                        return done;
                    }
                    _ = ticks.tick() => {
                        if let Some(line) = self.line(self.began.elapsed()) {
                            show(&line);
                            is_shown = true;
                        }
                    }
                }
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn line(&self, elapsed: Duration) -> Option<String> {
        if elapsed < PATIENCE {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match (state.total, state.done) {
            (Some(total), done) if total > 1 => format!(", {done} of {total}"),
            (None, done) if done > 0 => format!(", {done}"),
            _ => String::new(),
        };
        Some(format!("{} ...{count}, {} s", one_line(&state.doing), elapsed.as_secs()))
    }
}

/// In place of the line before, and no longer than the terminal is wide: a longer one could not be taken back.
fn show(line: &str) {
    let width = columns(std::io::stderr()).unwrap_or(80).saturating_sub(1);
    let line: String = line.chars().take(width).collect();
    let mut terminal = std::io::stderr();
    // A terminal that has gone away is no reason to fail.
    let _ = write!(terminal, "\r{line}\u{1b}[K").and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_work_shows_nothing_and_slow_work_how_far_it_is() {
        let progress = Progress::of_many("signing", 3);
        progress.step();
        assert_eq!(progress.line(Duration::from_millis(999)), None);
        assert_eq!(progress.line(Duration::from_secs(1)).unwrap(), "signing ..., 1 of 3, 1 s");
        progress.now("asking\u{1b}[2J\nr.test");
        assert_eq!(progress.line(Duration::from_secs(61)).unwrap(), "asking [2J; r.test ..., 1 of 3, 61 s");
    }

    #[test]
    fn one_thing_is_not_counted_and_an_unknown_number_is() {
        let progress = Progress::of("reading runs");
        assert_eq!(progress.line(PATIENCE).unwrap(), "reading runs ..., 1 s");
        progress.step();
        assert_eq!(progress.line(PATIENCE).unwrap(), "reading runs ..., 1, 1 s");
        assert_eq!(Progress::of_many("verifying", 1).line(PATIENCE).unwrap(), "verifying ..., 1 s");
    }

    #[tokio::test]
    async fn the_work_is_done_whether_or_not_somebody_looks_on() {
        assert_eq!(Progress::of("counting").during(async { 2 + 3 }).await, 5);
    }
}
