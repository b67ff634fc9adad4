//! Reports for machines: what `--json` prints. Each says which tool printed it and by which version of the schema, which
//! docs/json.md describes key by key.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Error;

/// The version of the schema. A key that goes or means another thing makes the next one; a new key does not.
pub const SCHEMA: u32 = 1;

/// How many faults or files of a kind are listed; how many there are is told beside them.
pub const MOST_LISTED: usize = 1000;

/// Prints a report to stdout, with the schema's version and who printed it.
///
/// # Errors
/// If stdout is closed.
///
/// # Panics
/// If the report is no object.
pub fn print_json(tool: &str, report: &impl Serialize) -> anyhow::Result<()> {
    let mut report = serde_json::to_value(report)?;
    let object = report.as_object_mut().expect("a report is an object");
    object.insert("schema".to_owned(), SCHEMA.into());
    object.insert("tool".to_owned(), tool.into());
    object.insert("tool_version".to_owned(), env!("CARGO_PKG_VERSION").into());
    // The same bytes whether or not another crate has `serde_json` keep the order in which maps were filled.
    report.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Prints an error that ended a program, in place of its report.
///
/// # Errors
/// If stdout is closed.
pub fn print_error(tool: &str, error: &anyhow::Error, exit_code: u8) -> anyhow::Result<()> {
    let (kind, place, compared) = match error.downcast_ref::<Error>() {
        Some(Error::Io { path, .. }) => ("io", Some(path.display().to_string()), None),
        Some(Error::Malformed { place, expected, found }) => {
            ("malformed", Some(place.clone()), Some((expected, found)))
        }
        Some(Error::Refused { what, expected, found }) => ("refused", Some(what.clone()), Some((expected, found))),
        Some(Error::Unfinished { path }) => ("unfinished", Some(path.display().to_string()), None),
        Some(Error::NoSuchSite { path, .. }) => ("no-such-site", Some(path.display().to_string()), None),
        None if error.is::<clap::Error>() => ("usage", None, None),
        None => ("other", None, None),
    };
    // `FILE:LINE`, where a line of a file is meant.
    let with_line = |place: &str| Some((place.rsplit_once(':')?.0.to_owned(), place.rsplit_once(':')?.1.parse().ok()?));
    let (path, line): (Option<String>, Option<u64>) = match place.as_deref().map(|place| (with_line(place), place)) {
        Some((Some((path, line)), _)) => (Some(path), Some(line)),
        Some((None, place)) => (Some(place.to_owned()), None),
        None => (None, None),
    };
    let (expected, found) = compared.unzip();
    let message = format!("{error:#}");
    let error = json!({
        "kind": kind,
        "message": message.trim_start_matches("error: ").trim_end(),
        "path": path,
        "line": line,
        "expected": expected,
        "found": found,
    });
    print_json(tool, &json!({ "error": error, "exit_code": exit_code }))
}

/// The first of many things, and how many there are.
pub(super) fn listed(all: impl ExactSizeIterator<Item = Value>) -> Value {
    json!({ "n": all.len(), "listed": all.take(MOST_LISTED).collect::<Vec<_>>() })
}
