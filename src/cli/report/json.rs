//! Reports for machines.

use std::io::{self, Write};

use serde::Serialize;

/// Prints JSON to stdout.
///
/// # Errors
/// If stdout is closed.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
