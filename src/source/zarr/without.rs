//! Builds without the feature `zarr` read no array, and say so.

use std::borrow::Cow;

use crate::source::image::ImageFault;

use super::document::ArrayDocument;

/// No array.
pub(super) enum OpenArray {}

/// No index.
pub(super) enum ShardIndex {}

impl OpenArray {
    pub(super) fn new(_: &ArrayDocument) -> Result<Self, ImageFault> {
        Err(ImageFault::undecodable("a build with the feature zarr", "one without"))
    }

    pub(super) fn key(&self, _: &[u64]) -> String {
        match *self {}
    }

    pub(super) fn index(&self, _: &ArrayDocument, _: &[u64], _: &[u8]) -> Result<ShardIndex, ImageFault> {
        match *self {}
    }

    pub(super) fn decode<'b>(&self, _: &ArrayDocument, _: &'b [u8]) -> Result<Cow<'b, [u8]>, ImageFault> {
        match *self {}
    }
}

impl ShardIndex {
    pub(super) fn chunk<'b>(&self, _: &[u64], _: &'b [u8]) -> Result<Option<&'b [u8]>, ImageFault> {
        match *self {}
    }
}
