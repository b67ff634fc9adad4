//! What the flags of all programs have in common: the main thing as an argument or by its flag, the frame of their help,
//! and what is said of a flag that nobody knows.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::files;
use crate::suggest::nearest;

use super::exit::EXIT_CODES;

/// No line of help is longer, however wide the terminal.
const WIDEST: usize = 100;

/// What a program is about, as its help names it.
pub trait Place {
    /// The argument, such as `STORE`.
    const NAME: &'static str;
    /// The flag that may stand for it, such as `shards`.
    const FLAG: &'static str;
    /// What it is.
    const HELP: &'static str;
}

/// A [`Place`] that was given, as an argument or by its flag, and not by both.
#[derive(Debug, Clone)]
pub struct At<P: Place>(PathBuf, PhantomData<P>);

impl<P: Place> At<P> {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl<P: Place> Args for At<P> {
    fn augment_args(command: Command) -> Command {
        let path = value_parser!(PathBuf);
        // One that is required may be missing where another one is given that it cannot stand beside.
        let argument = Arg::new(P::NAME).value_name(P::NAME).help(P::HELP).required(true).conflicts_with(P::FLAG);
        let flag = Arg::new(P::FLAG).long(P::FLAG).value_name(P::NAME).hide_short_help(true);
        let flag = flag.help(format!("The same as {}, by a flag", P::NAME));
        command.arg(argument.value_parser(path.clone())).arg(flag.value_parser(path))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<P: Place> FromArgMatches for At<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let path = matches.get_one::<PathBuf>(P::NAME).or_else(|| matches.get_one(P::FLAG)).cloned();
        path.map(|path| Self(path, PhantomData)).ok_or_else(|| clap::Error::new(ErrorKind::MissingRequiredArgument))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The same of a program that has something to do without it.
#[derive(Debug, Clone)]
pub struct MaybeAt<P: Place>(Option<At<P>>);

impl<P: Place> MaybeAt<P> {
    /// Where it is, if it was given.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(At::path)
    }
}

impl<P: Place> Args for MaybeAt<P> {
    fn augment_args(command: Command) -> Command {
        At::<P>::augment_args(command).mut_arg(P::NAME, |argument| argument.required(false))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<P: Place> FromArgMatches for MaybeAt<P> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(At::from_arg_matches(matches).ok()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The store that `stats`, `bench`, `train` and `predict` are about.
#[derive(Debug, Clone)]
pub struct Shards;

impl Place for Shards {
    const NAME: &'static str = "STORE";
    const FLAG: &'static str = "shards";
    const HELP: &'static str = "The store";
}

/// The frame of a program's help: short by `-h`, all of it by `--help`.
#[must_use]
pub fn framed(command: Command) -> Command {
    framed_with(command, EXIT_CODES)
}

/// The same with other exit codes.
#[must_use]
pub fn framed_with(command: Command, exit_codes: &'static str) -> Command {
    command.max_term_width(WIDEST).after_long_help(exit_codes)
}

/// Parses a program's flags. What is wrong with them, and the text of `--help`, is for [`super::run`] to show.
///
/// # Errors
/// If they are not the program's, ask for a text, or name a place that is no path of this machine.
pub fn parse<P: FromArgMatches>(command: &Command) -> anyhow::Result<P> {
    Ok(P::from_arg_matches(&matches(command)?)?)
}

/// The same before a type is made of them.
///
/// # Errors
/// As [`parse`].
pub fn matches(command: &Command) -> anyhow::Result<ArgMatches> {
    let matches =
        command.clone().try_get_matches_from(super::arguments()).map_err(|error| explained(error, command))?;
    check_paths(&matches)?;
    Ok(matches)
}

/// Refuses `s3://bucket/data` and its like in any flag: nobody reads it here, and a folder `s3:` is not what is meant.
fn check_paths(matches: &ArgMatches) -> crate::Result<()> {
    let values = matches.ids().filter_map(|id| matches.try_get_raw(id.as_str()).ok().flatten()).flatten();
    let mut values = values.map(|value| value.to_string_lossy());
    values.find(|value| value.contains("://")).map_or(Ok(()), |url| Err(files::not_local(&url)))
}

/// Says of what is missing by which flag it can be given, too, and of a flag that is not known which one is meant.
fn explained(mut error: clap::Error, command: &Command) -> clap::Error {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => {
            let missing = missing.iter().map(|name| {
                let own = name.trim_start_matches('<').trim_end_matches('>');
                let is_same = |flag: &&Arg| flag.get_value_names().is_some_and(|names| names == [own]);
                let flag = command.get_opts().find(is_same).and_then(Arg::get_long);
                flag.map_or_else(|| name.clone(), |flag| format!("{name} (or --{flag} {name})"))
            });
            let missing = ContextValue::Strings(missing.collect());
            error.insert(ContextKind::InvalidArg, missing);
        }
        (ErrorKind::UnknownArgument, Some(ContextValue::String(found))) => {
            let known: Vec<&str> = command.get_opts().filter_map(Arg::get_long).collect();
            let found = found.strip_prefix("--").and_then(|found| nearest(found, &known));
            if let Some(name) = found {
                error.insert(ContextKind::SuggestedArg, ContextValue::String(format!("--{name}")));
            }
        }
        _ => {}
    }
    // Clap's own shortens the usage to what was given, and names an argument and its flag in it.
    if error.get(ContextKind::Usage).is_some() {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(command.clone().render_usage()));
    }
    error
}
