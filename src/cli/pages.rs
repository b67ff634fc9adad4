//! Man pages, and completions for bash, zsh and fish, made of the programs' own flags.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::error::{Error, Result};
use crate::files;

use super::exit::EXIT_CODES;
use super::programs::{bench, inspect, pack, simulate, stats, verify};
use super::progress::EVERY;

/// The flag that asks for them, which is no user's: `--pages FOLDER`.
const ASKS: &str = "--pages";

/// What `cellshard` is.
pub const ABOUT: &str = "Pack microscopy plates into checksummed shards, prove them, train on them";

/// The folder that they are asked for in, where nothing but that is asked for.
#[must_use]
pub fn asked() -> Option<PathBuf> {
    let arguments: Vec<OsString> = super::arguments().skip(1).collect();
    match &arguments[..] {
        [flag, folder] if flag == ASKS => Some(folder.into()),
        _ => None,
    }
}

/// Writes the pages of all programs that need no libtorch, and of these: `man1/`, and a folder a shell.
///
/// # Errors
/// If one cannot be written.
pub fn write(folder: &Path, more: impl IntoIterator<Item = Command>) -> Result<()> {
    let own = [
        simulate::command(),
        pack::command(),
        verify::command(),
        stats::command(),
        inspect::command(),
        bench::command(),
    ];
    let programs: Vec<Command> = own.into_iter().chain(more).collect();
    let all = cellshard(&programs);
    write_page(folder, "cellshard".to_owned(), &all)?;
    for program in &programs {
        let name = program.get_name();
        let words = format!("cellshard {name}");
        write_page(folder, format!("cellshard-{name}"), &program.clone().bin_name(words))?;
    }
    for (shell, name) in
        [(Shell::Bash, "bash/cellshard"), (Shell::Zsh, "zsh/_cellshard"), (Shell::Fish, "fish/cellshard.fish")]
    {
        let mut script = Vec::new();
        generate(shell, &mut all.clone(), "cellshard", &mut script);
        write_file(&folder.join(name), &script)?;
    }
    Ok(())
}

/// `cellshard` as a command with the programs below it.
fn cellshard(programs: &[Command]) -> Command {
    let variable =
        format!("Environment:\n  {EVERY}  seconds between lines of progress in a log; 0: none\n\n{EXIT_CODES}");
    let flag =
        |name: &'static str, short, help| Arg::new(name).long(name).short(short).help(help).action(ArgAction::SetTrue);
    Command::new("cellshard")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .arg(flag("version", 'V', "Print the version"))
        .subcommands(programs.iter().cloned())
        .after_long_help(variable)
}

fn write_page(folder: &Path, name: String, command: &Command) -> Result<()> {
    let file = folder.join(format!("man1/{name}.1"));
    let mut page = Vec::new();
    // Pages are the programs', and no command of clap's own is one.
    let command = command.clone().disable_help_subcommand(true).name(&*name.leak());
    // A page is long help, and has what the short one hides.
    let command = command.mut_args(|flag| flag.hide_short_help(false));
    Man::new(command).render(&mut page).map_err(Error::io(&file, "make"))?;
    write_file(&file, &page)
}

fn write_file(file: &Path, content: &[u8]) -> Result<()> {
    files::create_dirs(file.parent().unwrap_or(Path::new(".")))?;
    files::write(file, content)
}
