//! How a tree is packed: the command that takes all that there is of it.

use std::path::Path;

use crate::simulate::config::Config;
use crate::simulate::layout::{Layout, Tables};
use crate::simulate::plates::positives;

use super::screen::{LABELS, LOAD_DATA, POSITIVE, UNTREATED};

/// The command that packs a tree in `dst`, with its arguments quoted for a shell where they need it.
pub(crate) fn pack_command(config: &Config, dst: &Path) -> String {
    let mut command = "cellshard pack".to_owned();
    for argument in pack_arguments(config, dst) {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.,/=".contains(&b);
        if argument.bytes().all(is_plain) {
            command += &format!(" {argument}");
        } else {
            command += &format!(" '{}'", argument.replace('\'', r"'\''"));
        }
    }
    command
}

/// The arguments of `pack` for a tree in `dst`, whose store lies beside it.
fn pack_arguments(config: &Config, dst: &Path) -> Vec<String> {
    let store = dst.with_file_name(match dst.file_name() {
        Some(name) => format!("{}-store", name.display()),
        None => "store".to_owned(),
    });
    let path = |path: &Path| path.display().to_string();
    let mut arguments = vec![path(dst), path(&store)];
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
    let layout = config.layout;
    if layout == Layout::Table {
        add(&["--table", &path(&dst.join(LOAD_DATA))]);
    } else if layout.has_barcodes() || matches!(layout, Layout::KaggleFlat | Layout::Wilds | Layout::Rxrx) {
        add(&["--layout", layout.name()]);
    }
    let [label, control] = match layout.tables() {
        Tables::LoadData => ["Metadata_Treatment", "Metadata_Control"],
        Tables::Wells => {
            add(&["--labels", &path(&dst.join(LABELS)), "--on", "plate,well"]);
            ["treatment", "control"]
        }
        Tables::None | Tables::Kaggle | Tables::RxRx1 | Tables::Relative => return arguments,
    };
    add(&["--label-column", label, "--negative-control", UNTREATED]);
    // A control that no well has would be taken for a slip of the pen.
    if positives(config.n_wells.into()) > 0 {
        add(&["--positive-control", &format!("{control}={POSITIVE}")]);
    }
    arguments
}
