//! What microscopes put beside the images of wells: indices, thumbnails, and images by which others are corrected.

use std::fmt::Write;
use std::path::Path;

use crate::error::Result;
use crate::files;
use crate::simulate::config::Config;
use crate::simulate::encode;
use crate::simulate::layout::Layout;

use super::names::{folder, image};
use super::well::LabelledWell;

/// The name of the thumbnail of an image, where the microscope makes one.
pub(crate) fn thumbnail(layout: Layout, image: &str) -> Option<String> {
    // `NAME_thumbGUID.tif`: the GUID, which is the last 36 letters, stays behind all else.
    let at = image.len().checked_sub("XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX.tif".len())?;
    (layout == Layout::ImageXpress).then(|| format!("{}_thumb{}", &image[..at], &image[at..]))
}

/// Writes what belongs to whole plates. `wells` are in the order of plates.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(config: &Config, dst: &Path, wells: &[LabelledWell]) -> Result<()> {
    for plate in wells.chunk_by(|a, b| a.id.plate == b.id.plate) {
        let dir = dst.join(folder(config.layout, &plate[0].id.plate, plate[0].dataset));
        match config.layout {
            Layout::Phenix | Layout::Table => {
                files::write_renamed(&dir.join("Index.idx.xml"), phenix_index(config, plate).as_bytes())?;
            }
            Layout::Cv8000 => {
                files::write_renamed(&dir.join("MeasurementData.mlf"), measurement_data(config, plate).as_bytes())?;
                let level = |level| vec![level; usize::from(config.size).pow(2)];
                let dark = encode::tiff(&level(100.0), config.size, config.bits, &dir)?;
                files::write_renamed(&dir.join("DC_sCMOS #1_CAM1.tif"), &dark)?;
                let flat = encode::tiff(&level(200.0), config.size, config.bits, &dir)?;
                for channel in 1..=config.n_channels {
                    files::write_renamed(&dir.join(format!("SC_BP445-45_40x_M10_CH{channel:02}.tif")), &flat)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every image of a plate: its well, site, channel and name.
fn images<'w>(config: &Config, plate: &'w [LabelledWell]) -> impl Iterator<Item = (&'w LabelledWell, u16, u8, String)> {
    let (layout, n_sites, n_channels) = (config.layout, config.n_sites, config.n_channels);
    plate.iter().flat_map(move |well| {
        (1..=n_sites).flat_map(move |site| {
            (1..=n_channels).map(move |channel| {
                let name = image(layout, well, (site, n_sites), (channel, n_channels));
                (well, site, channel, name)
            })
        })
    })
}

/// The index that Harmony writes beside images, as far as who looks for images reads it.
fn phenix_index(config: &Config, plate: &[LabelledWell]) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n".to_owned();
    xml += "<EvaluationInputData Version=\"1\" xmlns=\"http://www.perkinelmer.com/PEHH/HarmonyV5\">\n";
    xml += &format!("  <Plates><Plate><PlateID>{}</PlateID></Plate></Plates>\n  <Images>\n", plate[0].id.plate.plate);
    for (well, site, channel, name) in images(config, plate) {
        let (row, column) = (well.id.well.row() + 1, well.id.well.column());
        writeln!(
            xml,
            "    <Image Version=\"1\"><id>{row:02}{column:02}K1F{site}P1R{channel}</id><URL>{name}</URL>\
             <Row>{row}</Row><Col>{column}</Col><FieldID>{site}</FieldID><PlaneID>1</PlaneID>\
             <ChannelID>{channel}</ChannelID></Image>"
        )
        .expect("a text takes all that is written");
    }
    xml + "  </Images>\n</EvaluationInputData>\n"
}

/// The list of images that a `CellVoyager` writes.
fn measurement_data(config: &Config, plate: &[LabelledWell]) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n".to_owned();
    xml += "<bts:MeasurementData xmlns:bts=\"http://www.yokogawa.co.jp/BTS/BTSSchema/1.0\" bts:Version=\"1.0\">\n";
    for (well, site, channel, name) in images(config, plate) {
        let (row, column) = (well.id.well.row() + 1, well.id.well.column());
        writeln!(
            xml,
            "  <bts:MeasurementRecord bts:Type=\"IMG\" bts:Row=\"{row}\" bts:Column=\"{column}\" bts:TimePoint=\"1\" \
             bts:FieldIndex=\"{site}\" bts:ZIndex=\"1\" bts:ActionIndex=\"{channel}\" bts:Ch=\"{channel}\">{name}\
             </bts:MeasurementRecord>"
        )
        .expect("a text takes all that is written");
    }
    xml + "</bts:MeasurementData>\n"
}
