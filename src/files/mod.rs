//! The only door to the file system's awkward side. A path is looked at, read, listed or written here and nowhere else,
//! so that each of these holds everywhere:
//!
//! - an error is never "not there": whether something exists is a `Result<bool>`;
//! - only regular files are opened for reading, and only up to a limit read: a pipe or a device is an error, never a
//!   wait;
//! - what is written is there whole or not at all, and synced with all the folders that were made for it; nothing but a
//!   regular file is replaced by it;
//! - a walk names whatever it cannot enter, and follows links without going round in circles.
//!
//! Clippy forbids the functions of the standard library that promise less. Knows no format.
#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod all;
mod limit;
mod look;
mod read;
mod walk;
mod whole;
mod write;

pub use all::{AllFiles, AnyFile, all_files, every_file};
pub use limit::{most_kept_mapped, most_kept_open, most_open, raise_open_files};
pub use look::{exists, is_dir, is_file, is_link, is_on_same_device, is_taken, look_at, modified, resolve};
pub use read::{
    LARGEST_DOCUMENT, LARGEST_TEXT, open, open_if_there, read, read_at_most, read_document, read_document_if_there,
    read_if_there, read_text,
};
pub use walk::{Found, FoundKind, Links, is_empty_dir, list, walk, walk_into};
pub use whole::{
    WholeFile, follow_links, is_temporary, remove_temporary, remove_unfinished, write_renamed, write_whole,
};
pub use write::{
    append, create_dir, create_dirs, create_new, exchange, not_local, open_for_lock, remove_dir, remove_dir_all,
    remove_file, rename, set_modified, sync_dir, sync_up_to, write, write_synced,
};
