//! Memory of a size that a file claims: asked for in a way that ends in an error where there is none, never in an abort.

use std::fmt::Display;

use crate::error::{Error, Result};

/// A buffer of zeros; `what` names in errors what it is for.
///
/// # Errors
/// If there is no memory for it.
pub fn zeroed(bytes: usize, what: impl Display) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    resize(&mut buffer, bytes, what)?;
    Ok(buffer)
}

/// Makes room in a buffer for so many more of what it holds; `what` names in errors what it is for.
///
/// # Errors
/// If there is no memory for it.
pub fn reserve<T>(buffer: &mut Vec<T>, more: usize, what: impl Display) -> Result<()> {
    buffer.try_reserve(more).map_err(|_| lack::<T>(more, what))
}

/// Makes a buffer as long as asked, what is new of it zero; `what` names in errors what it is for.
///
/// # Errors
/// If there is no memory for it.
pub fn resize<T: Clone + Default>(buffer: &mut Vec<T>, length: usize, what: impl Display) -> Result<()> {
    buffer.try_reserve_exact(length.saturating_sub(buffer.len())).map_err(|_| lack::<T>(length, what))?;
    buffer.resize(length, T::default());
    Ok(())
}

fn lack<T>(n: usize, what: impl Display) -> Error {
    Error::refused(what, format!("memory of {} bytes", n.saturating_mul(size_of::<T>())), "less")
}

/// What a program needs before its work: its threads, tables of nothing, what it says of an error.
const LEAST: usize = 32 << 20;

/// Whether there is enough to begin with (`ulimit -v`): small pieces are asked for without a word, and lacking them
/// aborts. Asks for no memory but that.
#[must_use]
pub fn is_enough_to_begin() -> bool {
    let mut buffer: Vec<u8> = Vec::new();
    std::hint::black_box(&mut buffer).try_reserve_exact(LEAST).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_an_error_and_the_rest_is_zero() {
        assert_eq!(zeroed(3, "x").unwrap(), [0; 3]);
        let mut buffer = vec![7];
        resize(&mut buffer, 2, "x").unwrap();
        assert_eq!(buffer, [7, 0]);
        reserve(&mut buffer, 100, "x").unwrap();
        assert!(buffer.capacity() >= 102 && reserve(&mut buffer, usize::MAX / 4, "x").is_err());
        let error = zeroed(usize::MAX / 4, "shard").unwrap_err();
        assert!(!error.is_data_fault() && error.to_string().starts_with("shard: expected memory of"), "{error}");
    }
}
