//! The buffers of a feed, lent to threads in pieces of one site each. One of the places with `unsafe`: safe Rust cannot
//! lend parts of a buffer to threads that outlive the loan, and threads that are started for each batch would cost more
//! than the copying. What is offered here is safe: a slot counts the pieces that are out, and hands its buffer to
//! nobody before all are back.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A place for a buffer, which is in it or with the caller.
pub(super) struct Slot<B> {
    buffer: UnsafeCell<Option<B>>,
    pieces: Mutex<Pieces>,
}

/// How a slot's buffer is divided.
struct Pieces {
    /// The buffer's first byte.
    start: *mut u8,
    length: usize,
    n: usize,
    /// Pieces that were handed out since the buffer was divided: the first of them.
    n_taken: usize,
    /// Pieces that are with threads now.
    n_out: usize,
}

// SAFETY: `pieces.start` is only used for pieces, for which see below.
unsafe impl Send for Pieces {}

// SAFETY: `buffer` is touched only while `pieces` is locked and no piece is out, so by one thread at a time, and what
// is in it may go from thread to thread.
unsafe impl<B: Send> Sync for Slot<B> {}

/// A part of a slot's buffer; nobody else has it.
pub(super) struct Piece<'a, B> {
    slot: &'a Slot<B>,
    start: *mut u8,
    length: usize,
}

impl<B: AsMut<[u8]>> Slot<B> {
    /// A slot, with a buffer or without.
    pub(super) fn new(buffer: Option<B>) -> Self {
        let pieces = Pieces { start: std::ptr::null_mut(), length: 0, n: 0, n_taken: 0, n_out: 0 };
        Self { buffer: UnsafeCell::new(buffer), pieces: Mutex::new(pieces) }
    }

    /// Runs `body` on the slot itself, while nobody has a part of its buffer.
    fn alone<T>(&self, body: impl FnOnce(&mut Option<B>, &mut Pieces) -> T) -> T {
        let mut pieces = self.lock();
        assert_eq!(pieces.n_out, 0, "the buffer of a slot is asked for when all of its pieces are back");
        (pieces.n, pieces.n_taken) = (0, 0);
        // SAFETY: `pieces` is locked, no piece is out, and none can be handed out, as there are 0 of them.
        let buffer = unsafe { &mut *self.buffer.get() };
        body(buffer, &mut pieces)
    }

    /// Puts a buffer into the slot.
    ///
    /// # Panics
    /// If a piece of the one before is still with a thread.
    pub(super) fn put(&self, buffer: B) {
        self.alone(|place, _| *place = Some(buffer));
    }

    /// Takes the buffer out of the slot.
    ///
    /// # Panics
    /// If a piece of it is still with a thread.
    pub(super) fn take(&self) -> Option<B> {
        self.alone(|place, _| place.take())
    }

    /// Divides the buffer into pieces of `length` bytes, as many as fit, none of which is handed out yet.
    ///
    /// # Panics
    /// If a piece of an earlier division is still with a thread.
    pub(super) fn divide(&self, length: usize) {
        self.alone(|place, pieces| {
            let bytes: &mut [u8] = place.as_mut().map_or(&mut [], AsMut::as_mut);
            (pieces.start, pieces.length, pieces.n) = (bytes.as_mut_ptr(), length, bytes.len() / length.max(1));
        });
    }
}

impl<B> Slot<B> {
    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece of the buffer, from its start on; `None` after the last.
    pub(super) fn next_piece(&self) -> Option<Piece<'_, B>> {
        let mut pieces = self.lock();
        if pieces.n_taken == pieces.n {
            return None;
        }
        let start = pieces.start.wrapping_add(pieces.n_taken * pieces.length);
        pieces.n_taken += 1;
        pieces.n_out += 1;
        Some(Piece { slot: self, start, length: pieces.length })
    }
}

impl<B> Piece<'_, B> {
    /// The piece's bytes.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the bytes lie in the slot's buffer, which stays where it is and untouched while a piece is out; every
        // piece has its own, as each of a division is handed out once.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl<B> Drop for Piece<'_, B> {
    fn drop(&mut self) {
        self.slot.lock().n_out -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_disjoint_and_cover_the_buffer() {
        let slot = Slot::new(Some(vec![0_u8; 10]));
        slot.divide(3);
        let mut pieces: Vec<_> = std::iter::from_fn(|| slot.next_piece()).collect();
        assert_eq!(pieces.len(), 3);
        pieces.iter_mut().zip(1..).for_each(|(piece, value)| piece.bytes().fill(value));
        drop(pieces);
        assert_eq!(slot.take(), Some(vec![1, 1, 1, 2, 2, 2, 3, 3, 3, 0]));
        assert_eq!(slot.take(), None);
        slot.divide(3);
        assert!(slot.next_piece().is_none());
        // A buffer that carries its bytes in itself is as good as one on the heap.
        let slot = Slot::new(Some([0_u8; 4]));
        slot.divide(2);
        slot.next_piece().unwrap().bytes().fill(5);
        slot.next_piece().unwrap().bytes().fill(6);
        assert_eq!(slot.take(), Some([5, 5, 6, 6]));
    }

    #[test]
    #[should_panic(expected = "when all of its pieces are back")]
    fn a_buffer_is_not_handed_out_while_a_piece_is_out() {
        let slot = Slot::new(Some(vec![0_u8; 10]));
        slot.divide(5);
        let _piece = slot.next_piece();
        slot.take();
    }
}
