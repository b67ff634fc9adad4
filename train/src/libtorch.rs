//! What libtorch refuses, as one line of ours. tch's operators and most of its functions panic where libtorch throws, as
//! when memory runs out or a GPU fails in the middle of a step: such a panic is caught here, at one door around all that
//! computes, and is an error like any other.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use cellshard::error::{Error, Result};

/// What to do where memory ran out.
const MORE_MEMORY: &str = "memory for it: begin again with a smaller --batch, and when training with as many times more \
                           --accumulate for the same steps (what was saved is kept, and --resume goes on where there is more)";

thread_local! {
    /// How many doors this thread is behind.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// What libtorch refused, by its message: where in its sources it did so helps nobody here.
pub(crate) fn refused(what: &str, expected: &str, message: &str) -> Error {
    let first = message.lines().next().unwrap_or_default();
    // The check that failed stands before what it says.
    let first = first.split_once("DefaultCPUAllocator: ").map_or(first, |(_, rest)| rest);
    let first = first.trim_start_matches("Internal torch error: ");
    // The last is all that oneDNN says where it gets no memory to prepare a convolution.
    let signs =
        ["out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "could not create a primitive"];
    let expected = if signs.iter().any(|sign| message.contains(sign)) { MORE_MEMORY } else { expected };
    Error::refused(what, expected, first)
}

/// Raises an error where only a panic gets out, for [`caught`] to catch.
pub(crate) fn raise(error: Error) -> ! {
    panic::panic_any(error)
}

/// Runs what computes with libtorch: what libtorch refuses of it is an error, also where tch panics. Whatever was being
/// changed is not to be used again.
///
/// # Errors
/// Those of `body`, and what libtorch refuses.
pub(crate) fn caught<T>(what: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    /// Counts a door, and counts it off again when it is left, however.
    struct Door;
    impl Drop for Door {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let door = Door;
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    drop(door);
    outcome.unwrap_or_else(|payload| match payload.downcast::<Error>() {
        Ok(error) => Err(*error),
        Err(payload) => match message(payload.as_ref()) {
            Some(message) => Err(refused(what, "libtorch to compute it", &message)),
            None => panic::resume_unwind(payload),
        },
    })
}

/// Has panics that will be caught say nothing on stderr, as the error says it all. For programs, before they begin.
pub fn hide_what_is_caught() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let is_ours = info.payload().is::<Error>() || message(info.payload()).is_some();
        if DEPTH.get() == 0 || !is_ours {
            before(info);
        }
    }));
}

/// The message of libtorch that a panic of tch tells: `Torch("...")`, with escapes.
fn message(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>()?;
    let (_, quoted) = text.strip_prefix("called `Result::unwrap()` on an `Err` value: Torch")?.split_once('"')?;
    let first = quoted.split("\\n").next().unwrap_or_default();
    Some(first.trim_end_matches("\")").replace("\\\"", "\"").replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn what_libtorch_refuses_is_one_line_and_memory_says_what_to_change() {
        let [a, b] = [2, 3].map(|n| Tensor::zeros([n], (Kind::Float, Device::Cpu)));
        let error = caught("a sum", || Ok(&a + &b)).unwrap_err().to_string();
        assert!(error.starts_with("a sum: expected libtorch to compute it, found The size of tensor a (2)"), "{error}");
        assert!(!error.contains('\n') && !error.contains("\\n"), "{error}");
        let error =
            caught("a step", || Ok(Tensor::zeros([1 << 55], (Kind::Float, Device::Cpu)))).unwrap_err().to_string();
        assert!(error.contains("--batch") && error.contains("--accumulate") && error.contains("memory"), "{error}");
        // What was refused without a panic goes the same way, and what is no refusal of libtorch's goes on.
        let error = caught("x", || -> Result<()> { raise(Error::refused("pinned", "a", "b")) }).unwrap_err();
        assert_eq!(error.to_string(), "pinned: expected a, found b");
        assert_eq!(caught("x", || Ok(7)).unwrap(), 7);
        let other = panic::catch_unwind(|| caught("x", || -> Result<()> { panic!("a fault of ours") }));
        assert_eq!(other.unwrap_err().downcast_ref::<&str>(), Some(&"a fault of ours"));
        assert_eq!(DEPTH.get(), 0);
    }
}
