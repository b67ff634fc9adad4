//! Errors of the library as exceptions of the package.

use cellshard::error::Error;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pyo3::import_exception!(cellshard._errors, DamagedError);
pyo3::import_exception!(cellshard._errors, UnfinishedError);
pyo3::import_exception!(cellshard._errors, NoSuchSiteError);
pyo3::import_exception!(cellshard._errors, RefusedError);
pyo3::import_exception!(cellshard._errors, ForkedError);
pyo3::import_exception!(cellshard._errors, BatchesHeldError);

/// What a result of the library is in Python.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception that says why there is none.
    fn or_raise(self) -> PyResult<T>;
}

impl<T> OrRaise<T> for cellshard::Result<T> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(raised)
    }
}

/// An error with its causes, as one text.
fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// The exception of an error.
pub(crate) fn raised(error: Error) -> PyErr {
    let message = text(&error);
    match error {
        Error::Io { path, action, source } => match source.raw_os_error() {
            Some(number) => {
                let said = format!("cannot {action}: {source}");
                PyOSError::new_err((number, said, path.display().to_string()))
            }
            None => PyOSError::new_err(message),
        },
        Error::Malformed { place, expected, found } => damaged(&message, &place, &expected, &found),
        Error::Unfinished { .. } => UnfinishedError::new_err(message),
        Error::NoSuchSite { .. } => NoSuchSiteError::new_err(message),
        // An argument here, a flag there.
        _ => RefusedError::new_err(message.trim_start_matches("--").to_owned()),
    }
}

/// A `DamagedError` with what it knows.
fn damaged(message: &str, place: &str, expected: &str, found: &str) -> PyErr {
    Python::attach(|py| {
        let made = || -> PyResult<PyErr> {
            let fields = PyDict::new(py);
            for (name, value) in [("place", place), ("expected", expected), ("found", found)] {
                fields.set_item(name, value)?;
            }
            let class = py.get_type::<DamagedError>();
            Ok(PyErr::from_value(class.call((message,), Some(&fields))?))
        };
        made().unwrap_or_else(|error| error)
    })
}
