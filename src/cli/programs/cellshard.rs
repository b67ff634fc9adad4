//! `cellshard`: runs the program of the name that is given, which lies beside it, so that an installation needs one
//! name on the PATH. Looks at no argument but its own.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::cli::{self, Exit, pages};
use crate::error::{Error, Result};
use crate::files;
use crate::suggest::unknown;

/// Every program and what it does, in the order of use.
const PROGRAMS: [(&str, &str); 8] = [
    ("simulate", "Make realistic plates, in any layout, whose truth is known"),
    ("pack", "Turn a tree of images into a store of checksummed tensor shards"),
    ("verify", "Prove what of a store or of a raw tree is whole"),
    ("stats", "Show the grey levels of each plate, population and channel"),
    ("inspect", "Look at a store: what it holds, its sites, its plates"),
    ("bench", "Measure where the time of reading goes"),
    ("train", "Train a network on a store by a recipe"),
    ("predict", "Predict the class of every well of a store by trained runs"),
];

/// Runs it.
#[must_use]
pub fn main() -> ExitCode {
    cli::run("cellshard", body)
}

fn body() -> anyhow::Result<Exit> {
    if let Some(pages) = pages::asked() {
        pages::write(&pages, [])?;
        return Ok(Exit::Success);
    }
    let folder = folder()?;
    let mut args = std::env::args_os().skip(1);
    let first = args.next().unwrap_or_else(|| "help".into());
    match first.to_str() {
        Some("--help" | "-h") => list(&folder)?,
        Some("--version" | "-V") => writeln!(io::stdout(), "cellshard {}", env!("CARGO_PKG_VERSION"))?,
        Some("help") => match args.next() {
            None => list(&folder)?,
            Some(name) => return Err(replace_by(&folder, &name, ["--help".into()]).into()),
        },
        _ => return Err(replace_by(&folder, &first, args).into()),
    }
    Ok(Exit::Success)
}

/// The folder that this program really lies in, wherever a link to it does.
fn folder() -> Result<PathBuf> {
    let path = std::env::current_exe().map_err(Error::io(Path::new("cellshard"), "find"))?;
    let mut real = files::resolve(&path)?.ok_or_else(|| Error::refused(path.display(), "this program", "none"))?;
    real.pop();
    Ok(real)
}

/// Shows the programs that are there.
fn list(folder: &Path) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n", pages::ABOUT)?;
    writeln!(out, "Usage: cellshard PROGRAM [ARGS]...\n       cellshard help PROGRAM\n\nPrograms:")?;
    for (name, what) in PROGRAMS {
        if files::is_file(&folder.join(name))? {
            writeln!(out, "  {name:8}  {what}")?;
        }
    }
    writeln!(
        out,
        "\nOptions:\n  -h, --help     Print this\n  -V, --version  Print the version\n\n{}",
        cli::EXIT_CODES
    )?;
    Ok(())
}

/// Has this process become the program of a name. Returns only if it cannot.
fn replace_by(folder: &Path, name: &OsStr, args: impl IntoIterator<Item = OsString>) -> Error {
    let known = PROGRAMS.map(|(name, _)| name);
    let Some(known_name) = known.into_iter().find(|known| *known == name) else {
        return unknown("cellshard", "a program", &name.to_string_lossy(), known);
    };
    if matches!(known_name, "train" | "predict") && std::env::current_dir().is_err() {
        // MKL, which libtorch carries, would end the process before its first line: it cannot load libtorch, it says.
        return Error::refused(format!("cellshard {known_name}"), "a working folder", "that it was deleted");
    }
    let path = folder.join(known_name);
    // It calls itself as it was called, in its usage and where it says what to run.
    let error = Command::new(&path).arg0(format!("cellshard {known_name}")).args(args).exec();
    if error.kind() == io::ErrorKind::NotFound {
        return Error::refused(format!("cellshard {known_name}"), format!("the program {}", path.display()), "none");
    }
    Error::io(&path, "run")(error)
}
