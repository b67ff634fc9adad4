//! Where a store is to lie: apart from its source, and with room for it.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;

/// Where a path really leads, links followed; what is not there yet will lie in the last folder of it that is.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let mut rest = Vec::new();
    for folder in path.ancestors() {
        let folder_or_here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match files::resolve(folder_or_here)? {
            Some(real) => return Ok(rest.iter().rev().fold(real, |path: PathBuf, name| path.join(name))),
            None => rest.extend(folder.components().next_back()),
        }
    }
    Ok(path.to_owned())
}

pub(super) fn check_free_space(dst: &Path, needed: u64) -> Result<()> {
    let mut path = Path::new(".");
    for folder in dst.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
        if files::exists(folder)? {
            path = folder;
            break;
        }
    }
    let stat = rustix::fs::statvfs(path).map_err(|e| Error::io(path, "ask for free space of")(e.into()))?;
    let free = stat.f_bavail * stat.f_frsize;
    if free < needed {
        let (needed, free) = told_apart(needed, free);
        return Err(Error::refused(dst.display(), format!("{needed} of free space"), free));
    }
    Ok(())
}

/// Two numbers of bytes that differ, in MB where that tells them apart.
fn told_apart(a: u64, b: u64) -> (String, String) {
    let mega = |bytes: u64| format!("{} MB", bytes.div_ceil(1_000_000));
    if mega(a) == mega(b) { (format!("{a} bytes"), format!("{b} bytes")) } else { (mega(a), mega(b)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sizes_that_differ_are_never_told_by_the_same_words() {
        assert_eq!(told_apart(200_000_001, 7_000_000), ("201 MB".to_owned(), "7 MB".to_owned()));
        assert_eq!(told_apart(983_040, 900_000), ("983040 bytes".to_owned(), "900000 bytes".to_owned()));
    }
}
