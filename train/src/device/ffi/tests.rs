use tch::{Device, Kind, Tensor};

use super::*;

const CPU: Device = Device::Cpu;

#[test]
fn a_buffer_lends_its_bytes_and_is_copied_from_the_start() {
    let mut buffer = HostBuffer::new(10, CPU).unwrap();
    assert_eq!(buffer.as_mut(), [0; 10]);
    buffer.as_mut().iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
    let to = Tensor::zeros([2, 3], (Kind::Uint8, CPU));
    let stream = Stream::beside(CPU).unwrap();
    buffer.copy_to(&to, stream).unwrap();
    buffer.as_mut().fill(0);
    assert_eq!(Vec::<u8>::try_from(to.view(-1)).unwrap(), [1, 2, 3, 4, 5, 6]);
    let large = Tensor::zeros([11], (Kind::Uint8, CPU));
    assert!(buffer.copy_to(&large, stream).unwrap_err().to_string().contains("as many bytes"));
}

#[test]
fn a_buffer_can_be_filled_by_another_thread() {
    let mut buffer = HostBuffer::new(4, CPU).unwrap();
    let mut buffer = std::thread::spawn(move || {
        buffer.as_mut()[3] = 7;
        buffer
    })
    .join()
    .unwrap();
    assert_eq!(buffer.as_mut(), [0, 0, 0, 7]);
}

#[test]
fn on_the_cpu_everything_has_always_come() {
    let (mut event, stream) = (Event::new(CPU).unwrap(), Stream::beside(CPU).unwrap());
    event.record(stream).unwrap();
    event.holds_back(Stream::current(CPU)).unwrap();
    event.wait().unwrap();
    assert!(event.has_come().unwrap());
    synchronize(CPU).unwrap();
    assert_eq!(device_memory(CPU), None);
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_and_no_crash() {
    // The tests run without libtorch's CUDA half; what asks for it gets its message.
    if tch::Cuda::is_available() {
        return;
    }
    let gpu = Device::Cuda(0);
    assert!(Stream::beside(gpu).is_err() && Event::new(gpu).is_err() && synchronize(gpu).is_err());
    assert!(HostBuffer::new(8, gpu).is_err());
    assert_eq!(device_memory(gpu), None);
}
