//! Whether the images of a plate are those that it was packed from, by what the system says of them alone. What it said
//! then (names, sizes and times) is not kept in any file, as that would be other bytes on every machine: the list of
//! sources bears it as its own time, whose fraction of a second is a code of it. So a store that was copied without its
//! times, an image that changed or was put back, and a clock that was set prove nothing, and the images are hashed.

use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::store::format::checksum::Sha;

/// An image that changed this shortly before it was looked at could change again without its time telling.
const UNSETTLED: Duration = Duration::from_secs(2);
/// What all file systems of use keep of a time.
const UNIT: u32 = 100;
const UNITS: u64 = 1_000_000_000 / UNIT as u64;

/// What the system says of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileTimes {
    /// When it was written to, in seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    /// When anything of it was changed.
    pub(super) changed: (i64, i64),
}

/// What the system said of all images of a plate, at one time.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    seconds: u64,
    digest: [u8; 32],
    is_settled: bool,
}

impl Stamp {
    /// Of images as path, size and times, looked at after `now`, and of what is told of them beside their paths.
    pub(super) fn new<'a>(
        now: SystemTime,
        images: impl Iterator<Item = (&'a str, u64, FileTimes)>,
        told: impl Iterator<Item = String>,
    ) -> Self {
        let settled = now.checked_sub(UNSETTLED).unwrap_or(SystemTime::UNIX_EPOCH);
        let settled = settled.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let settled = (settled.as_secs() as i64, i64::from(settled.subsec_nanos()));
        let mut hash = Sha256::new();
        let mut is_settled = true;
        for (path, size, FileTimes { modified, changed }) in images {
            is_settled &= modified.max(changed) < settled;
            hash.update(format!("{path}\0{size} {modified:?} {changed:?}\n"));
        }
        told.for_each(|told| hash.update(told));
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { seconds, digest: hash.finalize().into(), is_settled }
    }

    /// The time for the list of sources, whose SHA-256 is `sources`. It proves nothing later if an image was too new.
    pub(super) fn time(&self, sources: Sha) -> SystemTime {
        let code = (self.code(sources, self.seconds) + u64::from(!self.is_settled)) % UNITS;
        SystemTime::UNIX_EPOCH + Duration::new(self.seconds, code as u32 * UNIT)
    }

    /// Whether a list of sources with this time was made of images of which the system said the same.
    pub(super) fn is_proven_by(&self, sources: Sha, time: SystemTime) -> bool {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .is_ok_and(|time| u64::from(time.subsec_nanos()) == self.code(sources, time.as_secs()) * u64::from(UNIT))
    }

    fn code(&self, sources: Sha, seconds: u64) -> u64 {
        let hash = Sha256::new().chain_update(self.digest).chain_update(sources.0).chain_update(seconds.to_le_bytes());
        let first = hash.finalize().iter().take(8).fold(0_u64, |all, &byte| all << 8 | u64::from(byte));
        first % UNITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn stamp(now: u64, changed: i64) -> Stamp {
        told_stamp(now, changed, "")
    }

    fn told_stamp(now: u64, changed: i64, told: &str) -> Stamp {
        let times = FileTimes { modified: (500, 7), changed: (changed, 7) };
        Stamp::new(at(now), [("a/b.png", 10, times)].into_iter(), [told.to_owned()].into_iter())
    }

    #[test]
    fn the_time_of_a_list_proves_images_of_which_the_system_says_the_same_and_no_others() {
        let sources = Sha::of(b"sources");
        let time = stamp(1000, 600).time(sources);
        assert!(time >= at(1000) && time < at(1001));
        assert!(stamp(2000, 600).is_proven_by(sources, time), "whenever they are looked at again");
        assert!(!stamp(2000, 601).is_proven_by(sources, time), "an image that was put back");
        assert!(!told_stamp(2000, 600, "A02").is_proven_by(sources, time), "an image that is told to be another");
        assert!(!stamp(2000, 600).is_proven_by(Sha::of(b"others"), time), "another list");
        assert!(!stamp(2000, 600).is_proven_by(sources, time + Duration::from_secs(1)), "a list that was touched");
        assert!(!stamp(2000, 600).is_proven_by(sources, at(1000)), "a file system of whole seconds");
    }

    #[test]
    fn an_image_that_is_new_or_from_the_future_proves_nothing() {
        let sources = Sha::of(b"sources");
        for changed in [999, 1000, 5000] {
            let time = stamp(1000, changed).time(sources);
            assert!(!stamp(9000, changed).is_proven_by(sources, time), "{changed}");
        }
        assert!(stamp(9000, 997).is_proven_by(sources, stamp(1000, 997).time(sources)));
    }
}
