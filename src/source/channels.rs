//! What the images of a site are called: channels by the numbers of file names, or as images tell them.

use crate::error::{Error, Result};
use crate::words::plural;

use super::config::SourceConfig;
use super::labels::{DataSet, Labels};
use super::layout::Layout;
use super::tree::PlateFiles;

/// The channel of images whose names tell none.
pub(super) const WHOLE: &str = "w1";

/// What channels are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelNames {
    /// The number of each in file names, or its place among the names that images tell, from 1.
    pub(super) numbers: Vec<usize>,
    /// The name of each: `w1`, or as images tell it.
    pub names: Vec<String>,
    /// Whether names tell channels, so that an image is one of them.
    pub(super) is_told: bool,
}

/// The names of channels as images or their table tell them.
pub(super) struct ToldChannels {
    pub(super) names: Vec<String>,
    /// Whether they tell any: else an image is all of its site.
    pub(super) is_told: bool,
}

/// The channels that images tell by name.
pub(super) fn told_channels(
    config: &SourceConfig,
    ToldChannels { mut names, is_told }: ToldChannels,
) -> Result<ChannelNames> {
    let n = config.channels.unwrap_or(names.len());
    if !(1..=64).contains(&n) {
        return Err(Error::refused("--channels", "1 to 64", n));
    }
    names.truncate(n);
    names.extend((names.len() + 1..=n).map(|number| format!("w{number}")));
    Ok(ChannelNames { numbers: (1..=n).collect(), names, is_told })
}

/// The number of each channel in file names: as many as most sites have (by their highest one; the larger one of two
/// equals). RxRx1's are numbered without a gap, so that one that is missing everywhere was lost; of other trees, the
/// numbers that no image has are none of theirs.
pub(super) fn channel_numbers<'a>(
    config: &SourceConfig,
    layout: Layout,
    plates: impl Iterator<Item = &'a PlateFiles>,
) -> Result<ChannelNames> {
    let mut votes = [0_u64; 65];
    let mut present = 0;
    for channels in plates.flat_map(|plate| plate.sites.values()) {
        votes[64 - channels.leading_zeros() as usize] += 1;
        present |= channels;
    }
    let most = (0..votes.len()).max_by_key(|&n| (votes[n], n)).filter(|&n| votes[n] > 0).unwrap_or(0);
    if most == 0 {
        let expected = format!("images named WELL_sS_wC.png in folders of the {} layout", layout.name());
        return Err(Error::refused(config.root.display(), expected, "none"));
    }
    let numbered =
        |numbers: &mut dyn Iterator<Item = usize>| numbers.filter(|n| present & (1 << (n - 1)) != 0).collect();
    let numbers: Vec<usize> = match config.channels {
        None if layout == Layout::Bare => numbered(&mut (1..=most)),
        None => (1..=most).collect(),
        Some(n) if !(1..=64).contains(&n) => return Err(Error::refused("--channels", "1 to 64", n)),
        Some(n) if layout == Layout::Bare && present.count_ones() as usize == n => numbered(&mut (1..=64)),
        Some(n) => (1..=n).collect(),
    };
    let names = numbers.iter().map(|number| format!("w{number}")).collect();
    Ok(ChannelNames { numbers, names, is_told: true })
}

/// Says which channels may have been lost everywhere; of images that are all of their sites, none can be by itself.
pub(super) fn unusual_channels(
    layout: Layout,
    labels: &Labels,
    ChannelNames { numbers, names, is_told }: &ChannelNames,
) -> Option<String> {
    if !is_told {
        return None;
    }
    let n = numbers.len();
    let data_set = match &labels.summary {
        Some(summary) => summary.data_set,
        None => (layout == Layout::Kaggle).then_some(DataSet::RxRx1),
    };
    if let Some((name, usual)) = data_set.and_then(|known| Some((known.name(), known.channels()?)))
        && n != usual
    {
        let remedy = format!("--channels {usual} finds what is lost");
        return Some(format!("sites have {}, those of {name} have {usual} ({remedy})", plural(n as u64, "channel")));
    }
    let last = *numbers.last()?;
    let gap = || format!("channels are {} (--channels {last} finds what is lost)", names.join(", "));
    (last != n).then(gap)
}
