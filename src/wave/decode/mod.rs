//! From a stream to pixels: what a decoder is given and keeps, and the ways in which residuals are decoded.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod channel;
mod decoder;
#[cfg(target_arch = "x86_64")]
mod groups;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod skew;

#[cfg(test)]
pub(super) use decoder::By;
pub use decoder::Decoder;
