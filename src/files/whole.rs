//! Files that are there whole or not at all: written beside their place, synced, renamed. What a link leads to is
//! written, and the link stays; what is no regular file (a pipe, a device, a terminal) is written into. Knows no content.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, BufWriter, ErrorKind, Seek, Write};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Access, MemfdFlags, OFlags, access, fcntl_getfl, fcntl_setfl, fstat, memfd_create};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};

use super::look::{look_at, resolve};
use super::walk::{Links, walk};
use super::write::{check_local, folder, remove_file, sync_dir};

/// Links that are followed one after the other, as many as the system follows.
const MOST_LINKS: usize = 40;

/// What the name of a file under way begins with, and how many characters follow.
const TEMPORARY: (&str, usize) = (".tmp", 6);

/// Whether a name is that of a file under way, as a process that was killed leaves it.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    let (prefix, n) = TEMPORARY;
    name.strip_prefix(prefix).is_some_and(|rest| rest.len() == n && rest.bytes().all(|c| c.is_ascii_alphanumeric()))
}

/// Removes what processes that were killed left under way in a folder, as deep as asked for. Nobody else may be at work
/// there.
///
/// # Errors
/// If something cannot be looked at or removed.
pub fn remove_temporary(root: &Path, depth: RangeInclusive<usize>) -> Result<()> {
    for found in walk(root, depth, Links::Keep) {
        let found = found?;
        if found.name().is_some_and(is_temporary) {
            remove_file(&found.path)?;
        }
    }
    Ok(())
}

/// A file under way. Dropped before it is complete, it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    /// As it was asked for.
    path: PathBuf,
    end: End,
}

/// Where a file is until it is complete, and what becomes of it then.
#[derive(Debug)]
enum End {
    /// It lies beside a place, which it takes.
    Replace(NamedTempFile, PathBuf, UnderWay),
    /// It is in memory, and is written into a stream.
    Into(File, File),
}

/// The temporary files of this process.
static ALL_UNDER_WAY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A name among them, for as long as it lives.
#[derive(Debug)]
struct UnderWay(PathBuf);

impl UnderWay {
    fn of(path: &Path) -> Self {
        ALL_UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        ALL_UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Removes every file under way, for a process that is about to end without dropping them. From then on whoever begins
/// or ends one waits for that, instead of telling that his file is gone.
pub fn remove_unfinished() {
    let under_way = ALL_UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    for path in under_way.iter() {
        // What is in its place by now, or cannot be removed, is left: nobody is there to be told.
        let _ = fs::remove_file(path);
    }
    std::mem::forget(under_way);
}

impl WholeFile {
    /// Starts a file that takes the place of `path` when it is complete. Before long work, this shows whether it can be
    /// written.
    ///
    /// # Errors
    /// If its folder cannot be written to, `path` is a folder, a file that may not be written to, or a pipe that nobody
    /// reads.
    pub fn create(path: &Path) -> Result<Self> {
        check_local(path)?;
        // Temporary files are private by default, but this one is to end as an ordinary file.
        let mut permissions = Permissions::from_mode(0o666);
        let stream = match look_at(path)? {
            Some(found) if found.is_dir() => return Err(Error::refused(path.display(), "a file", "a folder")),
            Some(found) => match own_stream(&found).map_err(Error::io(path, "open"))? {
                None if found.is_file() => {
                    check_writable(path, &found)?;
                    permissions = Permissions::from_mode(found.permissions().mode() & 0o777);
                    None
                }
                None => Some(open_stream(path).map_err(Error::io(path, "open"))?),
                stream => stream,
            },
            None => None,
        };
        let end = if let Some(stream) = stream {
            let memory = memfd_create("cellshard", MemfdFlags::CLOEXEC).map_err(io::Error::from);
            End::Into(memory.map_err(Error::io(path, "buffer"))?.into(), stream)
        } else {
            let place = follow_links(path)?;
            let file = tempfile::Builder::new()
                .prefix(TEMPORARY.0)
                .rand_bytes(TEMPORARY.1)
                .permissions(permissions)
                .tempfile_in(folder(&place));
            let file = file.map_err(Error::io(path, "create"))?;
            let under_way = UnderWay::of(file.path());
            End::Replace(file, place, under_way)
        };
        Ok(Self { path: path.to_owned(), end })
    }

    /// As it was asked for.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file is until it is complete, if it is not in memory.
    #[must_use]
    pub fn temporary(&self) -> Option<&Path> {
        match &self.end {
            End::Replace(file, ..) => Some(file.path()),
            End::Into(..) => None,
        }
    }

    /// Where to write to.
    #[must_use]
    pub fn as_file(&self) -> &File {
        match &self.end {
            End::Replace(file, ..) => file.as_file(),
            End::Into(memory, _) => memory,
        }
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// If it cannot be synced or renamed.
    pub fn finish(self) -> Result<()> {
        let Self { path, end } = self;
        match end {
            End::Replace(file, place, _under_way) => {
                file.as_file().sync_all().map_err(Error::io(&path, "sync"))?;
                file.persist(&place).map_err(|e| e.error).map_err(Error::io(&path, "rename into place"))?;
                sync_dir(folder(&place))
            }
            End::Into(mut memory, mut stream) => {
                memory.rewind().map_err(Error::io(&path, "read back"))?;
                let written = io::copy(&mut memory, &mut stream).and_then(|_| stream.flush());
                written.map_err(Error::io(&path, "write"))
            }
        }
    }

    /// Writes by way of a buffer and puts the file in its place.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish_by(self, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, self.as_file());
        let written = write(&mut out).and_then(|()| out.flush());
        drop(out);
        written.map_err(Error::io(&self.path, "write"))?;
        self.finish()
    }

    /// Writes the content and puts the file in its place.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish_with(self, content: &[u8]) -> Result<()> {
        self.as_file().write_all(content).map_err(Error::io(&self.path, "write"))?;
        self.finish()
    }
}

/// Our own stdout or stderr, if that is what was found, as it is where `/dev/stdout` is asked for: a file that it is
/// redirected to must not be replaced under it.
fn own_stream(found: &Metadata) -> io::Result<Option<File>> {
    let is_same =
        |fd: BorrowedFd<'_>| fstat(fd).is_ok_and(|own| (own.st_dev, own.st_ino) == (found.dev(), found.ino()));
    // Many processes write to the same null device; that it is also ours says nothing.
    if found.file_type().is_char_device() {
        return Ok(None);
    }
    for fd in [io::stdout().as_fd(), io::stderr().as_fd()] {
        if is_same(fd) {
            return Ok(Some(fd.try_clone_to_owned()?.into()));
        }
    }
    Ok(None)
}

/// A file without write permission was meant to stay, also by the superuser, whom the system does not hold to it.
fn check_writable(path: &Path, found: &Metadata) -> Result<()> {
    if found.permissions().mode() & 0o222 == 0 {
        return Err(Error::refused(path.display(), "a file that may be written to", "one without write permission"));
    }
    access(path, Access::WRITE_OK).map_err(|e| Error::io(path, "write to")(e.into()))
}

/// Opens a pipe or a device to write into it. A pipe that nobody reads is an error, never a wait.
fn open_stream(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    // Who reads it slowly is waited for.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// The place that a path leads to: where links end, be anything there or not. A [`WholeFile`] takes that place.
///
/// # Errors
/// If that cannot be told, or links go round in circles.
pub fn follow_links(path: &Path) -> Result<PathBuf> {
    if let Some(real) = resolve(path)? {
        return Ok(real);
    }
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&place) {
            Ok(target) => place = folder(&place).join(target),
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(place);
            }
            Err(e) => return Err(Error::io(path, "follow")(e)),
        }
    }
    Err(Error::io(path, "follow")(Errno::LOOP.into()))
}

/// Writes a file that has its name only when it is whole, unsynced: whoever is killed leaves no half of it there.
///
/// # Errors
/// If it cannot be written.
pub fn write_renamed(path: &Path, content: &[u8]) -> Result<()> {
    let WholeFile { end, .. } = WholeFile::create(path)?;
    match end {
        End::Replace(mut file, place, _under_way) => {
            file.write_all(content).map_err(Error::io(path, "write"))?;
            file.persist(&place).map(drop).map_err(|e| Error::io(path, "rename into place")(e.error))
        }
        End::Into(_, mut stream) => stream.write_all(content).map_err(Error::io(path, "write")),
    }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    WholeFile::create(path)?.finish_with(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_at_once_is_readable_by_others_and_one_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        write_whole(&path, b"one").unwrap();
        let given_up = WholeFile::create(&path).unwrap();
        given_up.as_file().write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o600, 0o600);
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(WholeFile::create(dir.path()).is_err());
        assert!(WholeFile::create(&dir.path().join("none/a.csv")).is_err());
    }

    #[test]
    fn what_a_link_leads_to_is_written_and_the_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link, second) = (dir.path().join("sub/real"), dir.path().join("link"), dir.path().join("second"));
        fs::create_dir(dir.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("sub/real", &link).unwrap();
        std::os::unix::fs::symlink("link", &second).unwrap();
        for content in ["there was nothing", "there was a file"] {
            write_whole(&second, content.as_bytes()).unwrap();
            assert!(link.is_symlink() && second.is_symlink());
            assert_eq!(fs::read_to_string(&real).unwrap(), content);
            assert_eq!(fs::read_dir(dir.path().join("sub")).unwrap().count(), 1);
        }
        let circle = dir.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(WholeFile::create(&circle).is_err());
    }

    #[test]
    fn a_pipe_and_a_device_are_written_into_and_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        let error = WholeFile::create(&pipe).unwrap_err();
        assert!(error.to_string().contains("cannot open"), "nobody reads it: {error}");
        // As a reader that is there already.
        let mut reader = File::options().read(true).write(true).open(&pipe).unwrap();
        write_whole(&pipe, b"content").unwrap();
        let mut found = [0; 7];
        io::Read::read_exact(&mut reader, &mut found).unwrap();
        assert!(&found == b"content" && fs::metadata(&pipe).unwrap().file_type().is_fifo());
        let link = dir.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        write_whole(&link, b"content").unwrap();
        assert!(link.is_symlink() && fs::metadata(&link).unwrap().file_type().is_char_device());
    }

    #[test]
    fn a_file_without_write_permission_is_refused_and_others_keep_their_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, "keep").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        assert!(write_whole(&path, b"new").unwrap_err().to_string().contains("without write permission"));
        assert_eq!(fs::read(&path).unwrap(), b"keep");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
