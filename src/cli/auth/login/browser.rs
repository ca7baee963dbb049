//! Opens a page in this person's browser, if there is one.

use std::process::{Command, Stdio};

use url::Url;

use super::super::super::environment;

/// Programs that open a page, of the desktops that there are.
const OPENERS: [&str; 4] = ["xdg-open", "open", "wslview", "sensible-browser"];

/// Answers whether a program took it; whether the person sees the page, nobody can tell.
pub(super) fn open(address: &Url) -> bool {
    let folders = environment::search_path();
    let programs = OPENERS
        .iter()
        .filter_map(|name| folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file()));
    programs.into_iter().any(|program| {
        let mut command = Command::new(program);
        // A tool may be reading our output: nothing else may write there.
        command.arg(address.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().is_ok()
    })
}
