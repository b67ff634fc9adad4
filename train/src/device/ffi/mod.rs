//! The C++ shim, made safe, by theme: what tch 0.24 lacks of libtorch. None of it offers an unsafe function.

mod cuda;
mod memory;
mod message;
mod optim;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trace;

#[cfg(test)]
pub(crate) use cuda::allows_tf32;
pub(crate) use cuda::{allow_tf32, benchmark_cudnn, gpu_name, load_cuda, show_config, with_bf16};
pub use memory::DeviceMemory;
pub(crate) use memory::{HostBuffer, device_memory, empty, pinned_like, within_reach};
pub(crate) use optim::{Adam, clip_gradients, drop_gradients, fused_adam, fused_sgd};
pub(crate) use stream::{Event, Stream, synchronize};
