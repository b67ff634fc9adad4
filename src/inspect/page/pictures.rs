//! Small pictures as a page carries them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Result;
use crate::inspect::drawing::picture::Picture;
use crate::inspect::drawing::render::{Window, composite};
use crate::inspect::site_picture::histograms;
use crate::store::Store;

/// How well they are kept, of 100.
const JPEG_QUALITY: u8 = 82;

/// A picture as a JPEG within the page.
///
/// # Errors
/// If there is no memory for it.
pub(crate) fn jpeg_url(picture: &Picture) -> Result<String> {
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(picture.jpeg(JPEG_QUALITY)?)))
}

/// A site, `[C, H, W]`, in its colours, at most `tile` pixels wide, by its own percentiles: one that is dark is shown
/// bright.
///
/// # Errors
/// If there is no memory for it.
pub(crate) fn thumbnail(store: &Store, pixels: &[u8], tile: u32) -> Result<String> {
    let windows: Vec<Window> = histograms(store, pixels).iter().map(Window::of).collect();
    jpeg_url(&composite(pixels, store.spec(), &windows)?.fitted(tile)?)
}
