//! Which device a run computes on. One binary serves CPU and CUDA: libtorch's CUDA half is loaded when the program
//! starts, where it is there.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use tch::{Cuda, Device};

use cellshard::error::{Error, Result};

pub use super::ffi::DeviceMemory;

use super::ffi;
use cellshard::training::recipe::Precision;
use cellshard::training::run::Environment;

/// A device as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU, or the CPU where there is none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// One GPU by its number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("expected auto, cpu, cuda or cuda:N, found {text:?}")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// Whether libtorch's CUDA half is loaded. The first call decides for the process: libtorch looks for CUDA once.
static CUDA: OnceLock<Result<bool, String>> = OnceLock::new();

/// The device, and why it is this one, for the log.
///
/// # Errors
/// If a GPU is asked for that is not there.
pub fn open(choice: DeviceChoice) -> Result<(Device, String)> {
    if choice == DeviceChoice::Cpu {
        return Ok((Device::Cpu, "cpu".to_owned()));
    }
    let loaded = CUDA.get_or_init(|| ffi::load_cuda().map_err(|e| e.to_string()));
    let (n_gpus, reason) = match loaded {
        Ok(true) if Cuda::is_available() => (Cuda::device_count(), String::new()),
        Ok(true) => (0, "no GPU that CUDA can use".to_owned()),
        Ok(false) => (0, "no libtorch_cuda.so beside libtorch_cpu.so".to_owned()),
        Err(error) => (0, error.clone()),
    };
    match choice {
        DeviceChoice::Auto if n_gpus > 0 => Ok((Device::Cuda(0), format!("cuda:0 of {n_gpus}"))),
        DeviceChoice::Auto => Ok((Device::Cpu, format!("cpu ({reason})"))),
        DeviceChoice::Cuda(n) if i64::try_from(n).is_ok_and(|n| n < n_gpus) => {
            Ok((Device::Cuda(n), format!("cuda:{n} of {n_gpus}")))
        }
        DeviceChoice::Cuda(_) if n_gpus > 0 => Err(Error::refused("--device", format!("a GPU below {n_gpus}"), choice)),
        _ => Err(Error::refused("--device", "a GPU that can be used", format!("{choice}: {reason}"))),
    }
}

/// Sets libtorch up for computing on a device in a precision; for the whole process, until the next network's is set.
///
/// # Errors
/// If libtorch refuses.
pub(crate) fn set_up(device: Device, precision: Precision) -> Result<()> {
    ffi::allow_tf32(precision == Precision::Tf32)?;
    // Batches are of one size, so what is tried at the first step is paid back from the second on.
    ffi::benchmark_cudnn(device.is_cuda())
}

/// On what a run begins; `name` is what [`open`] says of the device.
///
/// # Errors
/// If libtorch cannot say.
pub(crate) fn environment(device: Device, name: &str, command_line: &[String]) -> Result<Environment> {
    Ok(Environment {
        device: name.to_owned(),
        gpu: ffi::gpu_name(device)?,
        libtorch: versions(&ffi::show_config()?),
        command_line: command_line.to_vec(),
    })
}

/// The versions that libtorch's own description tells: its own, and those of what it computes by on a GPU.
fn versions(config: &str) -> String {
    let own = config.split_once("TORCH_VERSION=").map(|(_, rest)| rest.split([',', '\n']).next().unwrap_or_default());
    let of_gpu = config.lines().filter_map(|line| {
        let line = line.trim_start_matches([' ', '-']);
        ["CUDA Runtime ", "CuDNN "].iter().any(|name| line.starts_with(name)).then(|| line.trim().to_owned())
    });
    own.map(str::to_owned).into_iter().chain(of_gpu).collect::<Vec<_>>().join(", ")
}

/// What this process has taken of a device's memory; `None` for the CPU, and for a GPU that nothing was asked of yet.
#[must_use]
pub fn memory(device: Device) -> Option<DeviceMemory> {
    ffi::device_memory(device)
}

/// Waits until a device has done all that it was asked for.
///
/// # Errors
/// If the device reports that something failed.
pub fn synchronize(device: Device) -> Result<()> {
    ffi::synchronize(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_tells_its_versions() {
        let found = environment(Device::Cpu, "cpu", &["train".to_owned()]).unwrap();
        assert_eq!(
            (found.libtorch.as_str(), found.gpu, found.command_line),
            ("2.11.0", None, vec!["train".to_owned()])
        );
        let gpu = "PyTorch built with:\n  - CUDA Runtime 13.0\n  - CuDNN 91.9 \n  - Build settings: X=1, TORCH_VERSION=2.11.0, Y\n";
        assert_eq!(versions(gpu), "2.11.0, CUDA Runtime 13.0, CuDNN 91.9");
    }
}
