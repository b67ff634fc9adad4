//! Images that are told one by one, by their names or by a table, as the sites of plates: one plane of each, no image
//! twice. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::site::{ParseError, PlateId, Well, natural_cmp, parse_number};

use super::tree::{PlateFiles, Unplaced};

/// The most channels that a site may have: one bit each.
const MOST_CHANNELS: usize = 64;

/// An image and what is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedImage {
    /// Its plate.
    pub(super) plate: PlateId,
    /// Its well.
    pub(super) well: Well,
    /// Its site.
    pub(super) site: u16,
    /// Its channel, as it is told; empty where none is.
    pub(super) channel: String,
    /// Its plane and its time.
    pub(super) z: Option<u16>,
    pub(super) t: Option<u16>,
    /// Its path, relative to the root, with `/`.
    pub(super) path: String,
}

/// Which of several planes and times of a site is packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plane {
    z: Option<Only>,
    t: Option<Only>,
}

/// One plane, or one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Number(u16),
    /// Images whose names tell none, such as projections beside folders of planes.
    Unnumbered,
    /// Either, as where one channel is a stack and another a single plane.
    NumberOrNone(u16),
}

impl Only {
    fn is(self, found: Option<u16>) -> bool {
        match self {
            Self::Number(number) => found == Some(number),
            Self::Unnumbered => found.is_none(),
            Self::NumberOrNone(number) => found.is_none_or(|found| found == number),
        }
    }
}

impl Plane {
    /// Whether an image of this plane and time is meant.
    fn takes(self, z: Option<u16>, t: Option<u16>) -> bool {
        self.z.is_none_or(|only| only.is(z)) && self.t.is_none_or(|only| only.is(t))
    }

    /// Whether one plane and one time of these images is meant, and some have it.
    fn check(self, images: &[ListedImage]) -> Result<()> {
        let Some(first) = images.first() else { return Ok(()) };
        for (axis, only) in [("z", self.z), ("t", self.t)] {
            let of = |image: &ListedImage| if axis == "z" { image.z } else { image.t };
            let there: BTreeSet<Option<u16>> = images.iter().map(of).collect();
            let shown = || {
                let name = |found: &Option<u16>| found.map_or("none".to_owned(), |number| number.to_string());
                let some: Vec<String> = there.iter().take(8).map(name).collect();
                let more = if there.len() > some.len() { ", ..." } else { "" };
                format!("{axis} of {}{more} (such as {})", some.join(", "), first.path)
            };
            match only {
                None if there.len() > 1 => return Err(several(axis, shown())),
                Some(only) if !there.iter().any(|&found| only.is(found)) => return Err(none_such(axis, shown())),
                _ => {}
            }
        }
        if images.iter().any(|image| self.takes(image.z, image.t)) {
            return Ok(());
        }
        Err(none_such("z and t", format!("none with both (such as {})", first.path)))
    }

    /// The place along an axis of an array, `z` or `t`, of so many planes or times; 0 where it has no such axis.
    ///
    /// # Errors
    /// If there are several and none is chosen, or not the one that is.
    pub(super) fn place(self, axis: &str, n: Option<u64>, example: &str) -> Result<u64> {
        let only = if axis == "z" { self.z } else { self.t };
        let shown = || match n {
            Some(n) => format!("{axis} of 0 to {} (such as {example})", n - 1),
            None => format!("no {axis} (such as {example})"),
        };
        match (only, n) {
            (None | Some(Only::Unnumbered | Only::NumberOrNone(_)), None) | (None, Some(1)) => Ok(0),
            (Some(Only::Number(number) | Only::NumberOrNone(number)), Some(n)) if u64::from(number) < n => {
                Ok(number.into())
            }
            (None, _) => Err(several(axis, shown())),
            (Some(_), _) => Err(none_such(axis, shown())),
        }
    }
}

fn several(axis: &str, found: String) -> Error {
    Error::refused("images", format!("one {axis} of each site (--plane {axis}=N chooses one)"), found)
}

fn none_such(axis: &str, found: String) -> Error {
    Error::refused("--plane", format!("a {axis} that images have"), found)
}

impl FromStr for Plane {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError { expected: "z=3, t=1, z=none, or several as z=3,z=none,t=1", found: text.to_owned() };
        let mut plane = Self::default();
        for part in text.split(',') {
            let (axis, number) = part.split_once('=').ok_or_else(fail)?;
            let only = match number {
                "none" => Only::Unnumbered,
                number => Only::Number(parse_number(number).filter(|_| !number.is_empty()).ok_or_else(fail)?),
            };
            let of_axis = match axis {
                "z" => &mut plane.z,
                "t" => &mut plane.t,
                _ => return Err(fail()),
            };
            *of_axis = Some(match (*of_axis, only) {
                (None, only) => only,
                (Some(Only::Number(number)), Only::Unnumbered) | (Some(Only::Unnumbered), Only::Number(number)) => {
                    Only::NumberOrNone(number)
                }
                _ => return Err(fail()),
            });
        }
        Ok(plane)
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = [("z", self.z), ("t", self.t)].into_iter().filter_map(|(axis, only)| {
            Some(match only? {
                Only::Number(number) => format!("{axis}={number}"),
                Only::Unnumbered => format!("{axis}=none"),
                Only::NumberOrNone(number) => format!("{axis}={number},{axis}=none"),
            })
        });
        f.pad(&shown.collect::<Vec<_>>().join(","))
    }
}

/// What images come to.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) plates: BTreeMap<PlateId, PlateFiles>,
    /// The channels, in the order of their numbers or names.
    pub(super) channels: Vec<String>,
    /// Images whose place another has.
    pub(super) unplaced: Vec<Unplaced>,
    /// Images of other planes and times than the one that is packed.
    pub(super) n_of_other_planes: usize,
}

/// Of each site of a plate, the path of each channel.
type Sites = BTreeMap<(Well, u16), BTreeMap<usize, String>>;

/// The channels that images may have.
pub(super) enum Channels {
    /// In this order.
    Told(Vec<String>),
    /// Those of all images that were found, wherever they are: in the order of their numbers and names.
    Found(BTreeSet<String>),
}

/// Puts images into their plates. A site or a channel
/// that other planes have and the chosen one has not is there without its images.
///
/// # Errors
/// If sites have several planes or times and none is chosen, or there are more than 64 channels.
pub(super) fn place(mut images: Vec<ListedImage>, plane: Plane, channels: Channels) -> Result<Placed> {
    plane.check(&images)?;
    let channels = match channels {
        Channels::Told(channels) => channels,
        Channels::Found(channels) => {
            let mut channels: Vec<String> = channels.into_iter().collect();
            channels.sort_by(|a, b| natural_cmp(a, b));
            channels
        }
    };
    if channels.len() > MOST_CHANNELS {
        let found = format!("{}: {}, ...", channels.len(), channels[..4].join(", "));
        return Err(Error::refused("channels of the images", format!("at most {MOST_CHANNELS}"), found));
    }
    // In the order of paths, so that of two that claim one place it is always the same that has it.
    images.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let number = |channel: &str| channels.iter().position(|known| known == channel).unwrap_or_default();
    let mut sites: BTreeMap<PlateId, Sites> = BTreeMap::new();
    let mut unplaced = Vec::new();
    let mut n_of_other_planes = 0;
    for ListedImage { plate, well, site, channel, path, z, t } in images {
        let of_site = sites.entry(plate.clone()).or_default().entry((well, site)).or_default();
        if !plane.takes(z, t) {
            n_of_other_planes += 1;
            continue;
        }
        match of_site.get(&number(&channel)) {
            None => drop(of_site.insert(number(&channel), path)),
            Some(first) => {
                let of_channel = if channel.is_empty() { String::new() } else { format!(", channel {channel}") };
                let expected = format!("one image of {}{of_channel}: {first}", plate.site(well, site));
                unplaced.push(Unplaced { found: format!("{path:?}"), path, plate: Some(plate), expected });
            }
        }
    }
    let files = |sites: Sites| {
        let mut plate = PlateFiles::default();
        for (site, images) in sites {
            plate.sites.insert(site, images.keys().fold(0, |bits, channel| bits | 1 << channel));
            plate.listed.insert(site, images.into_values().map(String::into_boxed_str).collect());
        }
        plate
    };
    let plates = sites.into_iter().map(|(plate, sites)| (plate, files(sites))).collect();
    Ok(Placed { plates, channels, unplaced, n_of_other_planes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: &str, channel: &str, [z, t]: [Option<u16>; 2]) -> ListedImage {
        let (plate, well) = ("e/P1".parse().unwrap(), "B02".parse().unwrap());
        ListedImage { plate, well, site: 1, channel: channel.to_owned(), z, t, path: path.to_owned() }
    }

    #[test]
    fn a_plane_is_parsed_and_shown() {
        for text in ["z=3", "t=1", "z=3,t=0", "z=none", "z=none,t=2", "z=3,z=none", "z=1,z=none,t=0"] {
            assert_eq!(text.parse::<Plane>().unwrap().to_string(), text);
        }
        for text in ["", "z", "z=", "3", "x=1", "z=1,z=2", "z=1,z=none,z=none", "z=-1", "z=65536", "z=1,"] {
            assert!(text.parse::<Plane>().is_err(), "{text}");
        }
    }

    /// The channels of images.
    fn found(images: &[ListedImage]) -> Channels {
        Channels::Found(images.iter().map(|image| image.channel.clone()).collect())
    }

    /// Puts images of these channels into their plates.
    fn place(images: Vec<ListedImage>, plane: Plane) -> Result<Placed> {
        let channels = found(&images);
        super::place(images, plane, channels)
    }

    #[test]
    fn channels_are_in_the_order_of_their_numbers_and_a_site_knows_its_files() {
        let images = vec![image("c", "10", [None; 2]), image("a", "2", [None; 2]), image("b", "1", [None; 2])];
        let placed = place(images, Plane::default()).unwrap();
        assert_eq!(placed.channels, ["1", "2", "10"]);
        let plate = placed.plates.values().next().unwrap();
        let site = ("B02".parse().unwrap(), 1);
        assert_eq!(plate.sites[&site], 0b111);
        assert_eq!(plate.listed[&site].iter().map(|path| &**path).collect::<Vec<_>>(), ["b", "a", "c"]);
    }

    #[test]
    fn two_images_of_one_place_are_told_and_the_first_by_its_path_stays() {
        for paths in [["a", "b"], ["b", "a"]] {
            let placed = place(paths.map(|path| image(path, "1", [None; 2])).to_vec(), Plane::default()).unwrap();
            assert_eq!(placed.unplaced.len(), 1);
            let Unplaced { path, expected, .. } = &placed.unplaced[0];
            assert_eq!((path.as_str(), expected.as_str()), ("b", "one image of e/P1/B02/1, channel 1: a"));
        }
    }

    #[test]
    fn one_plane_remains_or_the_images_are_refused() {
        let stack =
            || vec![image("a", "1", [Some(1), None]), image("b", "1", [Some(2), None]), image("c", "1", [None; 2])];
        let error = place(stack(), Plane::default()).unwrap_err().to_string();
        assert!(error.contains("--plane z=N") && error.contains("z of none, 1, 2"), "{error}");
        for (plane, kept) in [("z=1", "a"), ("z=2", "b"), ("z=none", "c")] {
            let placed = place(stack(), plane.parse().unwrap()).unwrap();
            let plate = placed.plates.values().next().unwrap();
            assert_eq!((&*plate.listed.values().next().unwrap()[0], placed.n_of_other_planes), (kept, 2), "{plane}");
        }
        for plane in ["z=3", "z=1,t=1"] {
            assert!(place(stack(), plane.parse().unwrap()).unwrap_err().to_string().contains("that images have"));
        }
        let times = vec![image("a", "1", [Some(4), Some(1)]), image("b", "2", [Some(4), Some(2)])];
        assert!(place(times, Plane::default()).unwrap_err().to_string().contains("--plane t=N"));
    }
}
