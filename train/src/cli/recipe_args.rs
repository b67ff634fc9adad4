//! The keys of a recipe as flags of `train`.

use clap::{Arg, ArgMatches, Command};

use cellshard::training::recipe::{KEYS, Recipe};

/// Those that the short help shows.
const SHOWN: [&str; 3] = ["epochs", "batch", "lr"];

/// Adds a flag for every key of a recipe.
#[must_use]
pub(super) fn add(command: Command) -> Command {
    command.args(KEYS.iter().map(|key| {
        // Not clap's own default, which would be taken for something that was asked for.
        let help = match Recipe::default().value(key.name) {
            Some(default) => format!("{} [default: {default}]", key.help),
            None => key.help.to_owned(),
        };
        let flag = Arg::new(key.name).long(key.name).value_name(key.value).help(help).help_heading(key.group);
        let flag = flag.hide_short_help(!SHOWN.contains(&key.name));
        // `--flip` alone says what `--flip true` does.
        if key.value == "true|false" { flag.num_args(0..=1).default_missing_value("true") } else { flag }
    }))
}

/// The keys that were given, each with its text.
#[must_use]
pub(super) fn given(matches: &ArgMatches) -> Vec<(String, String)> {
    let given = |name: &str| matches.get_one::<String>(name).cloned();
    KEYS.iter().filter_map(|key| given(key.name).map(|text| (key.name.to_owned(), text))).collect()
}
