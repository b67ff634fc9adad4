//! `cellshard`: runs the program of the name that is given, which lies beside it, so that an installation needs one
//! name on the PATH. Looks at no argument but its own. Where another language calls it, the programs are run in the same
//! process.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{self, Code, Exit, arguments, pages};
use crate::error::{Error, Result};
use crate::files;
use crate::suggest::unknown;

use super::{bench, inspect, pack, simulate, stats, verify};

/// A program: its name, what it does, and where it is one of the library, how it is run.
type Program = (&'static str, &'static str, Option<fn() -> Code>);

/// Every program, in the order of use.
const PROGRAMS: [Program; 8] = [
    ("simulate", "Make realistic plates, in any layout, whose truth is known", Some(simulate::main)),
    ("pack", "Turn a tree of images into a store of checksummed tensor shards", Some(pack::main)),
    ("verify", "Prove what of a store or of a raw tree is whole", Some(verify::main)),
    ("stats", "Show the grey levels of each plate, population and channel", Some(stats::main)),
    ("inspect", "Look at a store: what it holds, its sites, its plates", Some(inspect::main)),
    ("bench", "Measure where the time of reading goes", Some(bench::main)),
    ("train", "Train a network on a store by a recipe", None),
    ("predict", "Predict the class of every well of a store by trained runs", None),
];

/// Where the programs are.
enum Programs {
    /// Files in a folder.
    In(PathBuf),
    /// Functions of this library, which is all there is.
    Here,
}

/// Runs it.
pub fn main() -> Code {
    cli::run("cellshard", || body(&Programs::In(folder()?)))
}

/// Runs it as if it had been called by these arguments, the first of which is its own name: a program of the library in
/// this process. Once in a process.
pub fn run(mut arguments: Vec<OsString>) -> Code {
    if arguments.get(1).is_some_and(|first| first == "help") && arguments.len() > 2 {
        arguments.remove(1);
        arguments.insert(2, "--help".into());
    }
    let name = arguments.get(1).and_then(|name| name.to_str());
    let known = PROGRAMS.iter().find(|program| name == Some(program.0)).and_then(|program| program.2);
    let code = if let Some(main) = known {
        let called = [format!("cellshard {}", name.unwrap_or_default()).into()];
        cli::tell_arguments(called.into_iter().chain(arguments.into_iter().skip(2)).collect());
        main()
    } else {
        cli::tell_arguments(arguments);
        cli::run("cellshard", || body(&Programs::Here))
    };
    // Whoever calls has no end of `main` that does so.
    let _ = io::stdout().flush();
    code
}

fn body(programs: &Programs) -> anyhow::Result<Exit> {
    if let Some(pages) = pages::asked() {
        pages::write(&pages, [])?;
        return Ok(Exit::Success);
    }
    let mut args = arguments().skip(1);
    let first = args.next().unwrap_or_else(|| "help".into());
    match first.to_str() {
        Some("--help" | "-h") => list(programs)?,
        Some("--version" | "-V") => writeln!(io::stdout(), "cellshard {}", env!("CARGO_PKG_VERSION"))?,
        Some("help") => match args.next() {
            None => list(programs)?,
            Some(name) => return Err(replace_by(programs, &name, ["--help".into()]).into()),
        },
        _ => return Err(replace_by(programs, &first, args).into()),
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
fn list(programs: &Programs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n", pages::ABOUT)?;
    writeln!(out, "Usage: cellshard PROGRAM [ARGS]...\n       cellshard help PROGRAM\n\nPrograms:")?;
    for (name, what, main) in PROGRAMS {
        let is_there = match programs {
            Programs::In(folder) => files::is_file(&folder.join(name))?,
            Programs::Here => main.is_some(),
        };
        if is_there {
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
fn replace_by(programs: &Programs, name: &OsStr, args: impl IntoIterator<Item = OsString>) -> Error {
    let known = PROGRAMS.map(|(name, _, _)| name);
    let Some(known_name) = known.into_iter().find(|known| *known == name) else {
        return unknown("cellshard", "a program", &name.to_string_lossy(), known);
    };
    if matches!(known_name, "train" | "predict") && std::env::current_dir().is_err() {
        // MKL, which libtorch carries, would end the process before its first line: it cannot load libtorch, it says.
        return Error::refused(format!("cellshard {known_name}"), "a working folder", "that it was deleted");
    }
    let folder = match programs {
        Programs::In(folder) => folder,
        Programs::Here => {
            let expected =
                "a program that needs no libtorch, which is not in the wheel (the README builds all of them)";
            return Error::refused("cellshard", expected, known_name);
        }
    };
    let path = folder.join(known_name);
    // It calls itself as it was called, in its usage and where it says what to run.
    let error = Command::new(&path).arg0(format!("cellshard {known_name}")).args(args).exec();
    if error.kind() == io::ErrorKind::NotFound {
        return Error::refused(format!("cellshard {known_name}"), format!("the program {}", path.display()), "none");
    }
    Error::io(&path, "run")(error)
}
