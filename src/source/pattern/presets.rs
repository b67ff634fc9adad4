//! The microscopes and data sets whose names are known. Where names were seen is said beside them.

use std::sync::OnceLock;

use super::preset::{Beside, Preset, PresetTables};

/// Folders of time points and planes, as an `ImageXpress` makes them where it takes several. A projection, or a channel
/// of one plane, lies beside the folders of planes or in `ZStep_0` (fmi-faim/faim-ipa, `hcs/imagexpress*`).
const STEPS: &[&str] = &["TimePoint_{t}/ZStep_{z}/", "TimePoint_{t}/", "ZStep_{z}/", ""];

static PRESETS: [Preset; 9] = [
    // Names of versions 5 and 7 of Harmony's index (broadinstitute/pe2loaddata, tests/data), of folders in JUMP-CP.
    Preset {
        name: "phenix",
        about: "Opera Phenix: PLATE__MEASUREMENT/Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
        // A folder that someone renamed is the plate as a whole; the images alone tell none.
        folders: &["{plate}__*/Images/", "{plate}/Images/", ""],
        files: &["r{row}c{column}f{site}p{z}-ch{channel}sk{t}fk1fl1.tiff"],
        channel: "ch",
        beside: Beside::None,
        tables: PresetTables::None,
        patterns: OnceLock::new(),
    },
    // A site or a channel is not named where there is only one (CellProfiler/CellProfiler, issue 505).
    Preset {
        name: "imagexpress",
        about: "ImageXpress, as it stores images: [TimePoint_1/][ZStep_1/]PLATE_B02[_s1][_w1]GUID.tif",
        folders: STEPS,
        files: &[
            "{plate}_{well}_s{site}_w{channel}{guid}.tif",
            "{plate}_{well}_w{channel}{guid}.tif",
            "{plate}_{well}_s{site}{guid}.tif",
            "{plate}_{well}{guid}.tif",
        ],
        channel: "w",
        beside: Beside::Thumbnails,
        tables: PresetTables::None,
        patterns: OnceLock::new(),
    },
    Preset {
        name: "metaxpress",
        about: "MetaXpress, as it exports images: [TimePoint_1/][ZStep_1/]PLATE_B02[_s1][_w1].TIF",
        folders: STEPS,
        files: &[
            "{plate}_{well}_s{site}_w{channel}.TIF",
            "{plate}_{well}_w{channel}.TIF",
            "{plate}_{well}_s{site}.TIF",
            "{plate}_{well}.TIF",
        ],
        channel: "w",
        beside: Beside::Thumbnails,
        tables: PresetTables::None,
        patterns: OnceLock::new(),
    },
    // L is the laser, A the action. Corrections are `DC_sCMOS #1_CAM1.tif` and `SC_BP445-45_40x_M10_CH01.tif`.
    Preset {
        name: "cv8000",
        about: "CellVoyager CV7000 and CV8000: PLATE/PLATE_B02_T0001F001L01A01Z01C01.tif",
        // Files on their own tell the plate, too.
        folders: &["{plate}/*", "{plate}"],
        files: &["_{well}_T{t}F{site}L*A*Z{z}C{channel}.tif"],
        channel: "C",
        beside: Beside::Corrections,
        tables: PresetTables::None,
        patterns: OnceLock::new(),
    },
    Preset {
        name: "jump-png",
        about: "JUMP-CP as PNGs: SOURCE__PLATE__B02__SITE__CHANNEL.png",
        folders: &[""],
        files: &["{experiment}__{plate}__{well}__{site}__{channel}.png"],
        channel: "",
        beside: Beside::None,
        tables: PresetTables::None,
        patterns: OnceLock::new(),
    },
    Preset {
        name: "bbbc021",
        about: "BBBC021: WEEK/WEEK_PLATE/B02_s1_w1GUID.tif",
        folders: &["{experiment}/{plate}/"],
        files: &["{well}_s{site}_w{channel}{guid}.tif"],
        channel: "w",
        beside: Beside::None,
        tables: PresetTables::None,
        patterns: OnceLock::new(),
    },
    Preset {
        name: "kaggle-flat",
        about: "RxRx1 in one folder: EXPERIMENT_PLATE_B02[_s1]_w1.png",
        folders: &[""],
        files: &["{experiment}_{plate}_{well}_s{site}_w{channel}.png", "{experiment}_{plate}_{well}_w{channel}.png"],
        channel: "w",
        beside: Beside::None,
        tables: PresetTables::Kaggle,
        patterns: OnceLock::new(),
    },
    // One image of a site, of three channels.
    Preset {
        name: "wilds",
        about: "RxRx1-WILDS: EXPERIMENT/Plate1/B02_s1.png, three channels in one RGB image",
        folders: &["{experiment}/Plate{plate}/"],
        files: &["{well}_s{site}.png"],
        channel: "",
        beside: Beside::None,
        tables: PresetTables::RxrxAi,
        patterns: OnceLock::new(),
    },
    Preset {
        name: "rxrx",
        about: "RxRx1, RxRx2: EXPERIMENT/Plate1/B02_s1_w1.png",
        folders: &["{experiment}/Plate{plate}/"],
        files: &["{well}_s{site}_w{channel}.png"],
        channel: "w",
        beside: Beside::None,
        tables: PresetTables::RxrxAi,
        patterns: OnceLock::new(),
    },
];

impl Preset {
    /// All presets, in the order in which they are listed to users.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

/// The first preset that reads more than half of some paths, those aside that it knows to lie beside images. It is to
/// be named to users, not to be taken for them.
#[must_use]
pub fn suggest(paths: &[&str]) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| {
        let n_read = paths.iter().filter(|path| matches!(preset.read(path), Ok(Some(_)))).count();
        let n_beside = paths.iter().filter(|path| preset.is_beside(path)).count();
        2 * n_read > paths.len() - n_beside
    })
}
