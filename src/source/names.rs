//! What names in a tree mean: which folder is a plate, which file an image of which site, and what is nobody's.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::Error;
use crate::files;
use crate::site::{Plate, PlateId, Well, parse_number};

/// The folder by which a store is known.
pub(super) const STORE: &str = "pixels.zarr";
/// The folder of a store's listings.
const LISTINGS: &str = "plates";
/// Folders that systems make wherever they are.
const OF_SYSTEMS: [&str; 6] =
    [".AppleDouble", "lost+found", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"];
/// What names of images end in, of whatever kind.
const IMAGES: [&str; 16] =
    ["png", "tif", "tiff", "stk", "lsm", "bmp", "dib", "pgm", "ppm", "pnm", "pbm", "jpg", "jpeg", "jp2", "gif", "webp"];

/// The name of one channel's image, such as `B02_s1_w3.png`; `channel` counts from 1.
#[must_use]
pub fn image_name(well: &str, site: u16, channel: usize) -> String {
    format!("{well}_s{site}_w{channel}.png")
}

/// Parses [`image_name`]: the well as it is spelled, the site, and the channel from 1. A number is written without
/// zeros before it; a well's column may be (`A1` is A01).
pub(super) fn parse_image_name(name: &str) -> Option<(&str, Well, u16, usize)> {
    let (spelled, rest) = name.strip_suffix(".png")?.split_once("_s")?;
    let (site, channel) = rest.split_once("_w")?;
    let well = parse_well(spelled)?;
    let (site, channel) = (parse_number(site)?, parse_number::<usize>(channel)?);
    let known = (1..=64).contains(&channel) && image_name(spelled, site, channel) == name;
    known.then_some((spelled, well, site, channel))
}

/// A well as file names may spell it: `A01`, `A1`.
fn parse_well(text: &str) -> Option<Well> {
    text.parse().ok().or_else(|| {
        let digit = text.char_indices().last().filter(|(_, last)| last.is_ascii_digit())?.0;
        let (row, column) = text.split_at(digit);
        format!("{row}0{column}").parse().ok()
    })
}

/// The plate of a folder `EXPERIMENT/PlateN`; `plate_2`, `Plate 2` and `PLATE-02` are plate 2, too.
pub(super) fn plate_of(folder: &Path) -> Option<PlateId> {
    let plate = Plate::number_as_written(folder.file_name()?.to_str()?)?;
    let experiment = folder.parent()?.file_name()?.to_str()?.parse().ok()?;
    Some(PlateId { experiment, plate: plate.into() })
}

/// Whether plates are looked for in a folder of a tree that begins at `root`: below a plate there is none, a store in
/// the tree has folders named like plates, and some folders are nobody's.
pub(super) fn is_entered(root: &Path, dir: &files::Found) -> bool {
    let is_plate = dir.path.strip_prefix(root).is_ok_and(|below| plate_of(below).is_some());
    !is_nobodys(dir) && !is_plate && !is_of_store(dir)
}

/// Whether a folder has nothing to do with plates: one that systems make, or a hidden one. What is in `.HUVEC-02/Plate1`
/// or `.Plate1` was hidden by a slip: no plate takes it, and that is said.
pub(super) fn is_nobodys(dir: &files::Found) -> bool {
    let is_plate = |dir: &files::Found| {
        let name = dir.path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| Plate::number_as_written(name.trim_start_matches('.')).is_some())
    };
    let holds_plates = || {
        files::walk(&dir.path, 1..=2, files::Links::Follow).any(|found| match found {
            Ok(found) => found.is_dir() && is_plate(&found),
            // Others' rubbish bins may be closed to us; what else cannot be looked at is named by the walk.
            Err(Error::Io { source, .. }) => source.kind() != ErrorKind::PermissionDenied,
            Err(_) => true,
        })
    };
    is_of_system(dir) || (is_hidden(dir) && !is_plate(dir) && !holds_plates())
}

pub(super) fn is_of_system(dir: &files::Found) -> bool {
    dir.name().is_some_and(|name| OF_SYSTEMS.contains(&name))
}

/// Whether a folder is one of a store, which has folders named like plates; not, where that cannot be told: then the walk
/// names what it cannot look at.
pub(super) fn is_of_store(dir: &files::Found) -> bool {
    let is_named = dir.name().is_some_and(|name| [STORE, LISTINGS].contains(&name));
    is_named && dir.path.parent().is_some_and(is_store)
}

/// Whether there is a store in a folder, as far as that can be told.
pub(super) fn is_store(dir: &Path) -> bool {
    files::exists(&dir.join(STORE).join("zarr.json")).unwrap_or(false)
}

/// Whether a path, relative to a tree, or a folder on its way is hidden.
pub(super) fn is_hidden_path(path: &Path) -> bool {
    path.iter().any(|part| part.as_encoded_bytes().starts_with(b"."))
}

fn is_hidden(found: &files::Found) -> bool {
    found.path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a file is an image by its name, of whatever kind and for whatever plate.
pub(super) fn is_image(found: &files::Found) -> bool {
    !found.is_dir() && !is_hidden(found) && is_image_name(&found.path.to_string_lossy())
}

/// Whether a name is that of an image, of whatever kind.
pub(super) fn is_image_name(name: &str) -> bool {
    let extension = Path::new(name).extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| IMAGES.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_well_site_and_channel_and_a_column_may_lack_its_zero() {
        let b02 = "B02".parse().unwrap();
        assert_eq!(parse_image_name("B02_s1_w6.png"), Some(("B02", b02, 1, 6)));
        assert_eq!(parse_image_name("B2_s1_w64.png"), Some(("B2", b02, 1, 64)));
        assert_eq!(parse_image_name("AA2_s1_w1.png"), Some(("AA2", "AA02".parse().unwrap(), 1, 1)));
        for name in [
            "B02_s1_w0.png",
            "B02_s01_w1.png",
            "B0_s1_w1.png",
            "B002_s1_w1.png",
            "b2_s1_w1.png",
            "2_s1_w1.png",
            "_s1_w1.png",
            "B02_s1_w1.PNG",
            "B02_s1.png",
            "B02_s1_w65.png",
            "B02_s1_w1.png.part",
            "B02_s70000_w1.png",
            ".B02_s1_w1.png",
        ] {
            assert_eq!(parse_image_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_plates_folder_is_read_as_people_write_it() {
        for name in ["Plate2", "plate2", "Plate_2", "Plate 2", "PLATE-02"] {
            let plate = plate_of(&Path::new("HUVEC-01").join(name)).unwrap();
            assert_eq!(plate.to_string(), "HUVEC-01/Plate2", "{name}");
        }
        let long = format!("{}/Plate1", "x".repeat(65));
        for path in ["Plate2", "a b/Plate2", "a/Plate", "a/Plate_", "a/Plate2b", "a/Plates2", &long, "a/plàte2"] {
            assert_eq!(plate_of(Path::new(path)), None, "{path}");
        }
    }
}
